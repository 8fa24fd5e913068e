"""The optimizers' steps, each a pass over the parameter vector. To add one: a line in `KINDS`, and one in `_MOVES`.

What a step needs beside vectors stands in `hyper`, an array of float64 that `numbers` makes.
"""

from functools import partial
from math import inf

import numpy as np

from fastxor.penalties import NONE

from . import choices
from ._jit import inlined
from .simd import absolute, fma, full, get, lanes, load, rounded, select_less, sqrt, store, sum_lanes
from .tracing import cond, fori_loop, steps, switch, traced
from .vmath import clamp, flush, maximum

DESCENT, MOMENTUM, NESTEROV, ADAM, ADAMW, RMSPROP, RMSPROP_MOMENTUM, RPROP, ADAM_HAT = range(9)
KINDS = {
    "descent": DESCENT,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "adam": ADAM,
    "adamw": ADAMW,
    "rmsprop": RMSPROP,
    "rmsprop with momentum": RMSPROP_MOMENTUM,
    "rprop": RPROP,
    "adam with epsilon hat": ADAM_HAT,
}

# Entries of `hyper`: which optimizer, its numbers (the learning rate first), the powers that it remembers, the cost of
# the step's tiles that are in, NaN if one was not finite; how many threads go in lockstep or by a static schedule, or
# 1; whether there are penalties or a limit to the gradient's length, 0 or 1, and these, see `fastxor.penalties`; where
# the learning rates of the next steps begin, or 0 if there is but one; whether it is a `scikit` run, see
# `fastxor.state.Job`; at how many steps from each other, or 0, snapshots are taken, and after which step the first one
# is; the powers of these. The costs of tiles in the threads' ring follow, and then these rates.
KIND, RATE, SECOND, THIRD, FOURTH, FIFTH, POWER1, POWER2, COST_SUM, SCHEDULE_PARTS = range(10)
PENALIZED, L2, L1, CLIP, RATES, SCIKIT, SNAPSHOT_INTERVAL, FIRST_SNAPSHOT, SNAPSHOT_POWERS = range(10, 19)
TILE_COSTS = SNAPSHOT_POWERS + 2 * choices.MAX_SNAPSHOTS
POWERS = slice(POWER1, POWER2 + 1)


def numbers(optimizer, tile_costs, penalties, rates=0, scikit=False):
    """`hyper` for an optimizer before its first step, with room for so many tiles' costs, and learning rates."""
    if optimizer._kind not in KINDS:
        raise TypeError(f"the numba backend has no step for {optimizer!r}")
    hyper = np.zeros(TILE_COSTS + tile_costs + rates)
    hyper[RATES] = TILE_COSTS + tile_costs if rates else 0
    hyper[KIND] = KINDS[optimizer._kind]
    hyper[RATE : RATE + len(optimizer._numbers)] = optimizer._numbers
    hyper[POWERS] = hyper[SCHEDULE_PARTS] = 1
    hyper[PENALIZED] = penalties != NONE
    hyper[L2], hyper[L1], hyper[CLIP] = penalties
    hyper[SCIKIT] = scikit
    return hyper


@inlined
def begin(hyper, step):
    """To be called once in a step, of that number, whatever the number of threads that take part in it."""
    if hyper[RATES] != 0.0:
        hyper[RATE] = hyper[int(hyper[RATES]) + step]
    if hyper[KIND] == ADAM or hyper[KIND] == ADAMW or hyper[KIND] == ADAM_HAT:
        hyper[POWER1] *= hyper[SECOND]
        hyper[POWER2] *= hyper[THIRD]


@traced
def step(work, n, first, stop, theta, after, gradient, moments, hyper, share):
    """One step of the parameters `first` to `stop`: those at `theta` and the gradient in, those at `after` out; are
    they finite?

    Unless `share` is 0, so much of l2 and l1 adds to the gradient, that of l1 where it stands. The optimizer's two
    vectors, of n numbers, stand one after the other at `moments`, and then one with a 1 for each weight, 0 for biases.

    Many arguments: see tracing.py.
    """
    kind, number = get(hyper, KIND), partial(get, hyper)

    def add_l1():
        objective = _objective(work, n, theta, gradient, moments, lambda i: number(i) * share, l2=False)
        for i in steps(first, stop, lanes(work)):
            store(work, gradient + i, objective(i))

    def penalized():
        cond(number(L1) != 0.0, add_l1)  # by itself: it is rare, and would be a quarter of the pass
        objective = _objective(work, n, theta, gradient, moments, lambda i: number(i) * share, l1=False)
        return moved(work, n, first, stop, theta, after, gradient, moments, kind, number, objective)

    def plain():
        return moved(work, n, first, stop, theta, after, gradient, moments, kind, number)

    return sum_lanes(cond(share != 0.0, penalized, plain)) == 0.0


def moved(work, n, first, stop, theta, after, gradient, moments, kind, number, objective=None):
    """The same; what is returned is 0 in each lane where all are finite, else NaN.

    ``number(i)`` is entry i of `hyper`: one for all lanes, or a vector of float64 with each lane's own. With
    ``objective(i)``, that is the gradient.

    Many arguments: see tracing.py.
    """

    def apply(begin):
        move = begin(work, n, moments, number)

        def vector(i, bad):
            g = load(work, gradient + i) if objective is None else objective(i)
            x = move(i, load(work, theta + i), g)
            store(work, after + i, x)
            return bad + (x - x)  # x - x is 0 for every number, NaN for NaN and infinity

        return fori_loop(first, stop, lanes(work), vector, full(work, 0.0))

    moves = {kind: partial(apply, begin) for kind, begin in _MOVES.items()}
    return switch(kind, moves, moves.pop(ADAM))


# ---------------------------------------------------------------- penalties


@traced
def penalty(work, n, theta, moments, hyper, share):
    """What the cost is raised by: l2 / 2 sum(w**2) + l1 sum(abs(w)), times `share`."""
    of = partial(penalties, work, n, theta, moments, lambda i: get(hyper, i) * share)
    return sum_lanes(cond(get(hyper, L1) != 0.0, of, partial(of, l1=False)))


def penalties(work, n, theta, moments, number, l1=True):
    """The same for each lane by itself, `l1` only if that is said; `number` as in `moved`."""
    half, size = rounded(work, number(L2) * 0.5), rounded(work, number(L1))

    def vector(i, total):
        x, weight = load(work, theta + i), load(work, moments + 2 * n + i)
        square = weight * half * x
        return total + (fma(square, x, weight * size * absolute(x)) if l1 else square * x)

    return fori_loop(0, n, lanes(work), vector, full(work, 0.0))


@traced
def clip(work, n, first, stop, theta, to, gradient, moments, hyper, share):
    """Put the objective's gradient, clipped, at `to`, for the parameters `first` to `stop`; as `fastxor.penalties`, of
    whose l2 and l1 `share` counts.

    Its length is that of all n numbers: whoever has a share of them goes through all, and finds the same bits. So what
    is at `gradient` stays as it is.

    Many arguments: see tracing.py.
    """
    objective = _objective(work, n, theta, gradient, moments, lambda i: get(hyper, i) * share)

    def all_lanes(vector):
        return full(work, 0.0) + sum_lanes(vector)

    limit = get(hyper, CLIP)
    divisor, factor = _factors(work, n, objective, limit, lambda tops: all_lanes(tops * (1.0 / lanes(work))), all_lanes)
    for i in steps(first, stop, lanes(work)):
        store(work, to + i, objective(i) / divisor * factor)


def penalize_each(work, n, theta, gradient, moments, number):
    """The same in its place and for each lane by itself; `number` as in `moved`."""
    objective = _objective(work, n, theta, gradient, moments, number)
    limits = number(CLIP)

    def clipped():
        divisor, factor = _factors(work, n, objective, limits, lambda top: top, lambda total: total)
        for i in steps(0, n, lanes(work)):
            store(work, gradient + i, objective(i) / divisor * factor)

    def whole():
        for i in steps(0, n, lanes(work)):
            store(work, gradient + i, objective(i))

    has_limits = sum_lanes(select_less(rounded(work, limits), inf, full(work, 1.0), full(work, 0.0)))
    cond(has_limits > 0.0, clipped, whole)


def _objective(work, n, theta, gradient, moments, number, l2=True, l1=True):
    """A function from a place to the objective's gradient there, or to that with one of the two alone."""
    strength, size = rounded(work, number(L2)), rounded(work, number(L1))

    def objective(i):
        x, weight, g = load(work, theta + i), load(work, moments + 2 * n + i), load(work, gradient + i)
        g = fma(weight * size, _sign(x), g) if l1 else g
        return fma(weight * strength, x, g) if l2 else g

    return objective


def _factors(work, n, objective, clip, largest, total):
    """What the gradient is divided and then multiplied by: about its largest number, lest a square overflows.

    What each lane has found makes `largest` and `total` what it is divided by, and the sum of squares.
    """
    V, none = lanes(work), full(work, 0.0)
    top = largest(fori_loop(0, n, V, lambda i, top: maximum(absolute(objective(i)), top), none))

    def square(i, total):
        share = objective(i) / top
        return fma(share, share, total)

    root = sqrt(total(fori_loop(0, n, V, square, none)))
    limit = none + rounded(work, clip)
    return tuple(select_less(limit / top, root, factor, 1.0) for factor in (top, limit / root))


# ---------------------------------------------------------------- the optimizers

# Each is called once before the pass, and returns ``move(i, x, g)``: the vector of parameters x after the step. What
# follows from its numbers alone is worked out in float64.


def _numbers(work, *numbers):
    return [rounded(work, x) for x in numbers]


def _descent(work, n, moments, number):
    (rate,) = _numbers(work, -number(RATE))
    return lambda i, x, g: fma(g, rate, x)


def _velocity(work, i, moments, momentum, g):
    """The first moment of a parameter whose gradient is 0 for good, a dead neuron's, dies away and has to arrive at 0:
    denormals slow every step.
    """
    v = flush(fma(load(work, moments + i), momentum, g))
    store(work, moments + i, v)
    return v


def _momentum(work, n, moments, number):
    rate, momentum = _numbers(work, -number(RATE), number(SECOND))
    return lambda i, x, g: fma(_velocity(work, i, moments, momentum, g), rate, x)


def _nesterov(work, n, moments, number):
    rate, momentum = _numbers(work, -number(RATE), number(SECOND))
    return lambda i, x, g: fma(fma(_velocity(work, i, moments, momentum, g), momentum, g), rate, x)


def _adam(work, n, moments, number, hat=False):
    """With `hat`, epsilon is added before the correction of the mean of the squares."""
    beta1, beta2 = number(SECOND), number(THIRD)
    rate, correction = number(RATE) / (1.0 - number(POWER1)), 1.0 / (1.0 - number(POWER2))
    share1, share2, beta1, beta2, epsilon, rate, correction = _numbers(
        work, 1.0 - beta1, 1.0 - beta2, beta1, beta2, number(FOURTH), rate, correction
    )
    if hat:
        epsilon = epsilon * sqrt(full(work, 0.0) + correction)

    def move(i, x, g):
        m = _velocity(work, i, moments, beta1, g * share1)
        v = fma(load(work, moments + n + i), beta2, g * g * share2)
        store(work, moments + n + i, v)
        return x - m * rate / (sqrt(v * correction) + epsilon)

    return move


def _adamw(work, n, moments, number):
    move = _adam(work, n, moments, number)
    (decay,) = _numbers(work, -(number(RATE) * number(FIFTH)))
    return lambda i, x, g: move(i, fma(load(work, moments + 2 * n + i) * x, decay, x), g)


def _scaled(work, moments, number):
    """A function of the gradient: divided by the root of the mean of its squares."""
    share, alpha, epsilon = _numbers(work, 1.0 - number(SECOND), number(SECOND), number(THIRD))

    def scaled(i, g):
        v = fma(load(work, moments + i), alpha, g * g * share)
        store(work, moments + i, v)
        return g / (sqrt(v) + epsilon)

    return scaled


def _rmsprop(work, n, moments, number):
    (rate,), scaled = _numbers(work, -number(RATE)), _scaled(work, moments, number)
    return lambda i, x, g: fma(scaled(i, g), rate, x)


def _rmsprop_momentum(work, n, moments, number):
    (rate, momentum), scaled = _numbers(work, -number(RATE), number(FOURTH)), _scaled(work, moments, number)
    return lambda i, x, g: fma(_velocity(work, i, moments + n, momentum, scaled(i, g)), rate, x)


def _rprop(work, n, moments, number):
    begin, minus, plus, smallest, largest = _numbers(work, *map(number, (RATE, SECOND, THIRD, FOURTH, FIFTH)))

    def move(i, x, g):
        size = load(work, moments + n + i)
        size = select_less(0.0, size, size, begin)  # 0 before the first step, and never again
        agreement = _sign(g) * _sign(load(work, moments + i))
        factor = select_less(0.0, agreement, plus, select_less(agreement, 0.0, minus, 1.0))
        size = clamp(size * factor, smallest, largest)
        bad = g - g  # 0, or NaN: the sign of infinity would hide it
        g = select_less(agreement, 0.0, 0.0, g)
        store(work, moments + i, g)
        store(work, moments + n + i, size)
        return x - size * (_sign(g) + bad)

    return move


def _sign(x):
    return select_less(0.0, x, 1.0, select_less(x, 0.0, -1.0, 0.0))


_MOVES = {
    DESCENT: _descent,
    MOMENTUM: _momentum,
    NESTEROV: _nesterov,
    ADAM: _adam,
    ADAMW: _adamw,
    ADAM_HAT: partial(_adam, hat=True),
    RMSPROP: _rmsprop,
    RMSPROP_MOMENTUM: _rmsprop_momentum,
    RPROP: _rprop,
}
