"""Activations, outputs and losses, applied in place to the rows of a tile.

A block of `rows` rows of T samples begins at an offset in `work`. To add an activation, give it a number in
`ACTIVATIONS`, a line in `VALUES`, one in `DERIVATIVES` and one in `CURVATURES`. Hidden layers of tanh do not come here,
unless a second derivative is wanted: dense.py and narrow.py apply it, and its derivative, with their products.
"""

import functools
import math
import operator
from functools import partial

from fastxor.architecture import CANONICAL, ENTROPIES, GELU_RANGE, LEAK

from ._jit import inlined
from .simd import absolute, by_dtype, fma, full, get, lanes, load, put, select_less, store, sum_lanes, times
from .tracing import cond, fori_loop, steps, switch, traced, traced_inline
from .vmath import clamp, exp, exp_down, expm1, gelu, log, maximum, sigmoid, sin_cos, softplus, tanh

ACTIVATIONS = {
    name: code
    for code, name in enumerate(
        (
            "tanh",
            "sigmoid",
            "relu",
            "leaky_relu",
            "elu",
            "softplus",
            "gelu",
            "sin",
            "identity",
            "softmax",
            "exponential",
        )
    )
}
TANH, SIGMOID, RELU, LEAKY_RELU, ELU, SOFTPLUS, GELU, SIN, IDENTITY, SOFTMAX, EXPONENTIAL = range(11)
ONLY_OUTPUTS = SOFTMAX, EXPONENTIAL
NEED_DERIVATIVE_ROWS = ("gelu", "sin")  # the derivative cannot be had from the value: it is kept beside it
LOSSES = {
    name: code
    for code, name in enumerate(("binary_cross_entropy", "cross_entropy", "squared_error", "huber", "poisson"))
}
BINARY_CROSS_ENTROPY, CROSS_ENTROPY, SQUARED_ERROR, HUBER, POISSON = range(5)

MAX_ANGLE = 1e6  # of `vmath.sin_cos`


@traced_inline
def is_entropy(loss):
    """Whether it is one of `ENTROPIES`."""
    return functools.reduce(operator.or_, [loss == LOSSES[name] for name in ENTROPIES])


@traced_inline
def is_canonical(loss):
    """Whether it is one of `CANONICAL`."""
    return functools.reduce(operator.or_, [loss == LOSSES[name] for name in CANONICAL])


@traced_inline
def is_residual(loss, code):
    """Whether its derivative by the logits is output less target, and no more."""
    return is_canonical(loss) | ((loss == SQUARED_ERROR) & (code != SIGMOID))


@traced_inline
def needs_derivative_rows(code):
    """Whether it is one of `NEED_DERIVATIVE_ROWS`."""
    return functools.reduce(operator.or_, [code == ACTIVATIONS[name] for name in NEED_DERIVATIVE_ROWS])


# The value at z, or the value and the derivative; what is not here stays as it is.
VALUES = {
    SIGMOID: sigmoid,
    RELU: lambda z: maximum(z, 0.0),
    LEAKY_RELU: lambda z: select_less(z, 0.0, z * LEAK, z),
    ELU: lambda z: select_less(z, 0.0, expm1(z), z),
    SOFTPLUS: softplus,
    GELU: gelu,
    SIN: sin_cos,
}
# The derivative from the value a; where it is not here, it has been kept.
DERIVATIVES = {
    SIGMOID: lambda a: a * (1.0 - a),
    RELU: lambda a: _where_positive(a, 1.0, 0.0),
    LEAKY_RELU: lambda a: _where_positive(a, 1.0, LEAK),
    ELU: lambda a: _where_positive(a, 1.0, a + 1.0),
    SOFTPLUS: lambda a: -expm1(-a),  # sigmoid(z) = 1 - e**-softplus(z)
    IDENTITY: lambda a: 1.0,
}


def _where_positive(a, yes, no):
    """`yes` where a > 0, `no` elsewhere, NaN where a is NaN."""
    return select_less(0.0, a, yes, no) + (a - a)


@traced
def activate(work, code, at, n, slope):
    """Replace the n inputs at `at` by the activation's values; those that need it keep its derivative at `slope`."""

    def apply(function):
        for i in steps(0, n, lanes(work)):
            value = function(load(work, at + i))
            if isinstance(value, tuple):
                value, derivative = value
                store(work, slope + i, derivative)
            store(work, at + i, value)

    switch(code, {number: partial(apply, function) for number, function in VALUES.items()})


@traced
def differentiate(work, code, at, n, slope):
    """Replace the n values of the activation at `at` by its derivatives there."""

    def apply(function):
        for i in steps(at, at + n, lanes(work)):
            store(work, i, function(load(work, i)))

    def fetch():
        for i in steps(0, n, lanes(work)):
            store(work, at + i, load(work, slope + i))

    switch(code, {number: partial(apply, function) for number, function in DERIVATIVES.items()}, fetch)


# The second derivative from the input, the value and the first one; what is not here has none but 0.
CURVATURES = {
    TANH: lambda z, a, slope: a * slope * -2.0,
    SIGMOID: lambda z, a, slope: slope * (1.0 - 2.0 * a),
    ELU: lambda z, a, slope: _where_positive(a, 0.0, slope),
    SOFTPLUS: lambda z, a, slope: slope * (1.0 - slope),
    GELU: lambda z, a, slope: _gelu_curvature(clamp(z, -GELU_RANGE, GELU_RANGE)),
    SIN: lambda z, a, slope: -a,
}


def _gelu_curvature(z):
    return exp_down(z * z * -0.5) * (2.0 - z * z) * (1.0 / math.sqrt(2.0 * math.pi))


@traced
def multiply_curvature(work, code, at, tangent, slope, curve, n):
    """Replace the n inputs at `at` by the activation's values, and their tangents by these values'; keep the slopes,
    and the curvatures times the inputs' tangents.
    """

    def apply(number):
        for i in steps(0, n, lanes(work)):
            z, t = load(work, at + i), load(work, tangent + i)
            a = tanh(z) if number == TANH else VALUES.get(number, lambda z: z)(z)
            if isinstance(a, tuple):
                a, s = a
            else:
                s = fma(-a, a, 1.0) if number == TANH else DERIVATIVES[number](a)
            store(work, at + i, a)
            store(work, slope + i, s)
            store(work, tangent + i, t * s)
            store(work, curve + i, CURVATURES[number](z, a, s) * t if number in CURVATURES else 0.0)

    switch(code, {number: partial(apply, number) for number in ACTIVATIONS.values() if number not in ONLY_OUTPUTS})


@inlined
def reduce_angles(work, at, n):
    """Replace angles beyond the range of `sin_cos`, which are rare, by those of a single turn."""
    if has_large_angles(work, at, n):
        for i in range(at, at + n):
            z = get(work, i)
            if MAX_ANGLE < abs(z) < math.inf:
                put(work, i, math.atan2(math.sin(z), math.cos(z)))


@traced_inline
def has_large_angles(work, at, n):
    """Whether there are any."""

    def count(i, far):
        return far + select_less(MAX_ANGLE, absolute(load(work, i)), 1.0, 0.0)

    return sum_lanes(fori_loop(at, at + n, lanes(work), count, full(work, 0.0))) > 0.0


@traced
def output(work, code, at, rows, T):
    """Replace the logits by the outputs."""

    def softmax():
        for s in steps(at, at + T, lanes(work)):
            top = _largest(work, s, rows, T)

            def exponential(i, total, top=top):
                e = exp_down(load(work, i) - top)
                store(work, i, e)
                return total + e

            share = 1.0 / fori_loop(s, s + rows * T, T, exponential, full(work, 0.0))
            for i in steps(s, s + rows * T, T):
                store(work, i, times(load(work, i), share))

    def each(function):
        for i in steps(at, at + rows * T, lanes(work)):
            store(work, i, function(load(work, i)))

    switch(code, {SOFTMAX: softmax, SIGMOID: partial(each, sigmoid), EXPONENTIAL: partial(each, exp)})


def _largest(work, at, rows, T):
    """Of each column of one vector of samples."""
    return fori_loop(at + T, at + rows * T, T, lambda i, top: maximum(load(work, i), top), load(work, at))


@traced
def cost(work, loss, code, at, target, weight, rows, T, scikit):
    """Sum over the tile of the weighted losses, from the logits; for CROSS_ENTROPY, those become the outputs, as by
    `output`: both need the same exponentials. With `scikit`, as `fastxor.state.Job` says.

    Many arguments: see tracing.py.
    """
    return sum_lanes(losses(work, loss, code, at, target, weight, rows, T, scikit, in_place=True))


def losses(work, loss, code, at, target, weight, rows, T, scikit=False, in_place=False):
    """The same for each lane by itself; the outputs take the logits' place only if that is said.

    Many arguments: see tracing.py. Many lines: a loss is a few of them, and all have those arguments at hand.
    """
    least = by_dtype(work, 2.0**-23, 2.0**-52)  # what scikit-learn clips probabilities to
    most = -math.log(least)

    def over_rows(s, term):
        """The sum of ``term(its logits, its targets)`` over the rows, for a vector of samples."""
        step = lambda i, column: column + term(load(work, at + s + i), load(work, target + s + i))  # noqa: E731
        return fori_loop(0, rows * T, T, step, full(work, 0.0))

    def binary(s):
        return cond(scikit, partial(clipped, s), lambda: over_rows(s, lambda z, y: softplus(z) - y * z))

    def clipped(s):
        def term(z, y):
            p = clamp(1.0 / (1.0 + exp(-z)), least, 1.0 - least)  # rounded as it has them, close to 1
            return -(y * log(p) + (1.0 - y) * log(1.0 - p))

        return over_rows(s, term)

    def categorical(s):
        top = _largest(work, at + s, rows, T)

        def step(i, sums):
            mass, column = sums
            z = load(work, at + s + i) - top
            e = exp_down(z)
            if in_place:
                store(work, at + s + i, e)
            return mass + e, column - load(work, target + s + i) * z

        mass, column = fori_loop(0, rows * T, T, step, (full(work, 0.0), full(work, 0.0)))
        if in_place:
            share = 1.0 / mass
            for i in steps(at + s, at + s + rows * T, T):
                store(work, i, times(load(work, i), share))
        column = column + log(mass)
        return cond(scikit, lambda: select_less(most, column, most, column), lambda: column)

    def deviance(s):
        return over_rows(s, lambda z, y: exp(z) - y * z + (select_less(0.0, y, y * log(y), 0.0) - y))

    def of_errors(s):
        def step(i, column):
            a = load(work, at + s + i)
            a = cond(code == SIGMOID, lambda: sigmoid(a), lambda: a)
            error = a - load(work, target + s + i)
            near = clamp(error, -1.0, 1.0)
            return cond(
                loss == SQUARED_ERROR,
                lambda: fma(error * 0.5, error, column),
                lambda: column + near * (error - near * 0.5),
            )

        column = fori_loop(0, rows * T, T, step, full(work, 0.0))
        return cond(scikit, lambda: column / (full(work, 0.0) + rows), lambda: column)

    def samples(s, total):
        kinds = {BINARY_CROSS_ENTROPY: binary, CROSS_ENTROPY: categorical, POISSON: deviance}
        column = switch(loss, {kind: partial(value, s) for kind, value in kinds.items()}, partial(of_errors, s))
        share = load(work, weight + s)
        column = select_less(0.0, share, column, 0.0)  # padding may hold infinity, which its weight of 0 makes NaN
        return fma(share, column, total)

    return fori_loop(0, T, lanes(work), samples, full(work, 0.0))


@traced
def delta(work, loss, code, at, target, weight, rows, T, logistic):
    """Replace the outputs A by the derivative of the weighted loss by the logits.

    With `logistic`, what stands at `at` are still the logits of a sigmoid output: one pass instead of two. Returns
    whether what stood there was finite.

    Many arguments: see tracing.py.
    """
    return sum_lanes(errors(work, loss, code, at, target, weight, rows, T, logistic)) == 0.0


def errors(work, loss, code, at, target, weight, rows, T, logistic, sigmoid=sigmoid):
    """The same, with another function for the sigmoid if it is given; what is returned is 0 in each lane where all was
    finite, else NaN.

    Many arguments: see tracing.py.
    """

    def straight(r, bad):
        def samples(s, bad):
            i = r * T + s
            a = load(work, at + i)
            store(work, at + i, (a - load(work, target + i)) * load(work, weight + s))
            return bad + (a - a)

        return fori_loop(0, T, lanes(work), samples, bad)

    def by_logit(error, a):
        through = cond(code == SIGMOID, lambda: error * (a * (1.0 - a)), lambda: error)
        return cond(is_canonical(loss), lambda: error, lambda: through)

    def others(r, bad):
        def samples(s, bad):
            i = r * T + s
            z = load(work, at + i)
            a = cond(logistic, lambda: sigmoid(z), lambda: z)
            error = a - load(work, target + i)
            error = cond(loss == HUBER, lambda: clamp(error, -1.0, 1.0), lambda: error)
            store(work, at + i, by_logit(error, a) * load(work, weight + s))
            return bad + (z - z)

        return fori_loop(0, T, lanes(work), samples, bad)

    def all_rows(row):
        return fori_loop(0, rows, 1, row, full(work, 0.0))

    one_formula = is_residual(loss, code) & (logistic == 0)  # without a branch at every vector
    return cond(one_formula, lambda: all_rows(straight), lambda: all_rows(others))


@traced
def multiply_loss_curvature(work, loss, code, at, tangent, target, weight, rows, T):
    """Replace the outputs by the weighted loss's derivative by the logits, and the logits' tangents by that one's.

    Many arguments: see tracing.py.
    """

    def softmax(s):
        def product(i, total):
            return fma(load(work, at + s + i), load(work, tangent + s + i), total)

        mean = fori_loop(0, rows * T, T, product, full(work, 0.0))
        for i in steps(s, s + rows * T, T):
            a, share = load(work, at + i), load(work, weight + s)
            store(work, tangent + i, a * (load(work, tangent + i) - mean) * share)
            store(work, at + i, (a - load(work, target + i)) * share)

    def others(s):
        for i in steps(s, s + rows * T, T):
            a, t, share = load(work, at + i), load(work, tangent + i), load(work, weight + s)
            error, one = a - load(work, target + i), full(work, 1.0)
            slope = _output_slope(code, a, one)
            bent = cond(code == SIGMOID, lambda a=a, s=slope: s * (1.0 - 2.0 * a), lambda one=one: one * 0.0)
            near = clamp(error, -1.0, 1.0)
            inside = select_less(absolute(error), 1.0, one, 0.0)
            near, inside = cond(loss == HUBER, lambda n=near, i=inside: (n, i), lambda e=error, one=one: (e, one))
            through, change = cond(
                is_canonical(loss),
                lambda e=error, s=slope: (e, s),
                lambda n=near, i=inside, s=slope, b=bent: (n * s, s * s * i + n * b),
            )
            store(work, at + i, through * share)
            store(work, tangent + i, change * t * share)

    for s in steps(0, T, lanes(work)):
        cond(code == SOFTMAX, partial(softmax, s), partial(others, s))


def _output_slope(code, a, one):
    """The derivative of an output other than softmax, from its value."""
    kinds = {SIGMOID: lambda: a * (1.0 - a), EXPONENTIAL: lambda: a}
    return switch(code, kinds, lambda: one)


@traced
def pull_back(work, code, at, target, weight, rows, T, to):
    """From the derivative at `target` by the outputs, which are at `at`, to the weighted one by the logits, at `to`."""

    def softmax():
        for s in steps(0, T, lanes(work)):

            def product(i, total, s=s):
                return fma(load(work, at + s + i), load(work, target + s + i), total)

            mean = fori_loop(0, rows * T, T, product, full(work, 0.0))
            for i in steps(s, s + rows * T, T):
                error = (load(work, target + i) - mean) * load(work, weight + s)
                store(work, to + i, load(work, at + i) * error)

    def one_by_one():
        for r in steps(0, rows * T, T):
            for s in steps(0, T, lanes(work)):
                a = load(work, at + r + s)
                slope = _output_slope(code, a, full(work, 1.0))
                store(work, to + r + s, load(work, target + r + s) * slope * load(work, weight + s))

    switch(code, {SOFTMAX: softmax}, one_by_one)


def _below(loss, y):
    """How far below 0 a target is that must not be; NaN if it is not finite."""
    return (y - y) + cond(loss == POISSON, lambda: select_less(y, 0.0, -y, 0.0), lambda: y - y)


@traced
def count_invalid_targets(work, loss, target, weight, rows, T, tolerance):
    """0 if every target of the tile is what the loss wants, else a number above 0, or NaN."""

    def samples(s, total):
        def row(i, sums):
            column, total = sums
            y = load(work, target + s + i)
            outside = cond(is_entropy(loss), lambda: absolute(y - clamp(y, 0.0, 1.0)), lambda: _below(loss, y))
            return column + y, total + outside

        column, total = fori_loop(0, rows * T, T, row, (full(work, 0.0), total))

        def sums():
            excess = maximum(absolute(column - 1.0) - tolerance, 0.0)
            return total + select_less(0.0, load(work, weight + s), excess, 0.0)

        return cond(loss == CROSS_ENTROPY, sums, lambda: total)

    return sum_lanes(fori_loop(0, T, lanes(work), samples, full(work, 0.0)))
