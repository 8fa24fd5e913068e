"""Activations, outputs and losses, applied in place to the rows of a tile.

A block of `rows` rows of T samples begins at an offset in `work`. To add an activation, give it a number in
`ACTIVATIONS`, a branch in `activate` and one in `differentiate`. Hidden layers of tanh do not come here: dense.py and
narrow.py apply it, and its derivative, with their products.
"""

import math

from ._jit import inlined
from .simd import absolute, fma, full, get, lanes, load, put, select_less, store, sum_lanes
from .vmath import clamp, exp_down, expm1, gelu, log, maximum, sigmoid, sin_cos, softplus

ACTIVATIONS = {
    name: code
    for code, name in enumerate(
        ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "gelu", "sin", "identity", "softmax")
    )
}
TANH, SIGMOID, RELU, LEAKY_RELU, ELU, SOFTPLUS, GELU, SIN, IDENTITY, SOFTMAX = range(10)
NEED_SLOPE = ("gelu", "sin")  # the derivative cannot be had from the value: it is kept beside it
LOSSES = {name: code for code, name in enumerate(("binary_cross_entropy", "cross_entropy", "squared_error", "huber"))}
BINARY_CROSS_ENTROPY, CROSS_ENTROPY, SQUARED_ERROR, HUBER = range(4)

_MOST_ANGLE = 1e6  # of `vmath.sin_cos`


@inlined
def activate(work, code, at, n, slope):
    """Replace the n inputs at `at` by the activation's values; those that need it keep its derivative at `slope`."""
    end = at + n
    if code == SIGMOID:
        while at < end:
            store(work, at, sigmoid(load(work, at)))
            at += lanes(work)
    elif code == RELU:
        while at < end:
            store(work, at, maximum(load(work, at), 0.0))
            at += lanes(work)
    elif code == LEAKY_RELU:
        while at < end:
            z = load(work, at)
            store(work, at, select_less(z, 0.0, z * 0.01, z))
            at += lanes(work)
    elif code == ELU:
        while at < end:
            z = load(work, at)
            store(work, at, select_less(z, 0.0, expm1(z), z))
            at += lanes(work)
    elif code == SOFTPLUS:
        while at < end:
            store(work, at, softplus(load(work, at)))
            at += lanes(work)
    elif code == GELU:
        while at < end:
            value, derivative = gelu(load(work, at))
            store(work, at, value)
            store(work, slope, derivative)
            at += lanes(work)
            slope += lanes(work)
    elif code == SIN:
        _turn_back(work, at, n)
        while at < end:
            value, derivative = sin_cos(load(work, at))
            store(work, at, value)
            store(work, slope, derivative)
            at += lanes(work)
            slope += lanes(work)


@inlined
def _turn_back(work, at, n):
    """Replace angles beyond the range of `sin_cos`, which are rare, by those of a single turn."""
    far = full(work, 0.0)
    for i in range(at, at + n, lanes(work)):
        far = far + select_less(_MOST_ANGLE, absolute(load(work, i)), 1.0, 0.0)
    if sum_lanes(far) > 0:
        for i in range(at, at + n):
            z = get(work, i)
            if _MOST_ANGLE < abs(z) < math.inf:
                put(work, i, math.atan2(math.sin(z), math.cos(z)))


@inlined
def differentiate(work, code, at, n, slope):
    """Replace the n values of the activation at `at` by its derivatives there."""
    end = at + n
    if code == SIGMOID:
        while at < end:
            a = load(work, at)
            store(work, at, a * (1.0 - a))
            at += lanes(work)
    elif code == RELU:
        while at < end:
            store(work, at, _where_positive(load(work, at), 1.0, 0.0))
            at += lanes(work)
    elif code == LEAKY_RELU:
        while at < end:
            store(work, at, _where_positive(load(work, at), 1.0, 0.01))
            at += lanes(work)
    elif code == ELU:
        while at < end:
            a = load(work, at)
            store(work, at, _where_positive(a, 1.0, a + 1.0))
            at += lanes(work)
    elif code == SOFTPLUS:
        while at < end:
            store(work, at, -expm1(-load(work, at)))  # sigmoid(z) = 1 - e**-softplus(z)
            at += lanes(work)
    elif code == IDENTITY:
        while at < end:
            store(work, at, 1.0)
            at += lanes(work)
    else:
        while at < end:
            store(work, at, load(work, slope))
            at += lanes(work)
            slope += lanes(work)


@inlined
def _where_positive(a, yes, no):
    """`yes` where a > 0, `no` elsewhere, NaN where a is NaN."""
    return select_less(0.0, a, yes, no) + (a - a)


@inlined
def output(work, code, at, rows, T):
    """Replace the logits by the outputs."""
    if code == SOFTMAX:
        for s in range(at, at + T, lanes(work)):
            top = load(work, s)
            for r in range(1, rows):
                top = maximum(load(work, s + r * T), top)
            total = full(work, 0.0)
            for r in range(rows):
                e = exp_down(load(work, s + r * T) - top)
                store(work, s + r * T, e)
                total = total + e
            for r in range(rows):
                store(work, s + r * T, load(work, s + r * T) / total)
    elif code == SIGMOID:
        end = at + rows * T
        while at < end:
            store(work, at, sigmoid(load(work, at)))
            at += lanes(work)


@inlined
def cost(work, loss, code, at, target, weight, rows, T):
    """Sum over the tile of the weighted losses, from the logits."""
    total = full(work, 0.0)
    for s in range(0, T, lanes(work)):
        column = full(work, 0.0)
        if loss == BINARY_CROSS_ENTROPY:
            for r in range(rows):
                z = load(work, at + r * T + s)
                column = column + (softplus(z) - load(work, target + r * T + s) * z)
        elif loss == CROSS_ENTROPY:
            top = load(work, at + s)
            for r in range(1, rows):
                top = maximum(load(work, at + r * T + s), top)
            mass = full(work, 0.0)
            for r in range(rows):
                z = load(work, at + r * T + s) - top
                mass = mass + exp_down(z)
                column = column - load(work, target + r * T + s) * z
            column = column + log(mass)
        else:
            for r in range(rows):
                a = load(work, at + r * T + s)
                if code == SIGMOID:
                    a = sigmoid(a)
                error = a - load(work, target + r * T + s)
                if loss == SQUARED_ERROR:
                    column = fma(error * 0.5, error, column)
                else:
                    near = clamp(error, -1.0, 1.0)
                    column = column + near * (error - near * 0.5)
        share = load(work, weight + s)
        column = select_less(0.0, share, column, 0.0)  # padding may hold infinity, which its weight of 0 makes NaN
        total = fma(share, column, total)
    return sum_lanes(total)


@inlined
def delta(work, loss, code, at, target, weight, rows, T, logistic):
    """Replace the outputs A by the derivative of the weighted loss by the logits.

    With `logistic`, what stands at `at` are still the logits of a sigmoid output: one pass instead of two. Returns
    whether what stood there was finite.
    """
    bad = full(work, 0.0)
    for r in range(rows):
        for s in range(0, T, lanes(work)):
            a = load(work, at + r * T + s)
            bad = bad + (a - a)
            if logistic:
                a = sigmoid(a)
            error = a - load(work, target + r * T + s)
            if loss == HUBER:
                error = clamp(error, -1.0, 1.0)
            if loss >= SQUARED_ERROR and code == SIGMOID:
                error = error * (a * (1.0 - a))
            store(work, at + r * T + s, error * load(work, weight + s))
    return sum_lanes(bad) == 0.0


@inlined
def unfit(work, loss, target, weight, rows, T, tolerance):
    """0 if every target of the tile is what the loss wants, else a number above 0, or NaN."""
    total = full(work, 0.0)
    for s in range(0, T, lanes(work)):
        column = full(work, 0.0)
        for r in range(rows):
            y = load(work, target + r * T + s)
            column = column + y
            total = total + absolute(y - clamp(y, 0.0, 1.0)) if loss <= CROSS_ENTROPY else total + (y - y)
        if loss == CROSS_ENTROPY:
            excess = maximum(absolute(column - 1.0) - tolerance, 0.0)
            total = total + select_less(0.0, load(work, weight + s), excess, 0.0)
    return sum_lanes(total)
