"""The outputs of many networks, and their losses: a pass forward, a network in each lane."""

from __future__ import annotations

import numpy as np

from fastxor.architecture import Architecture
from fastxor.views import Array

from .. import choices
from .._jit import inlined, kernel
from ..simd import get, lanes, put, transpose
from ..threads import deal
from ..tracing import steps, traced, traced_inline
from . import step
from .kernel import (
    ALL,
    CALL,
    MEMBER,
    NUMBER,
    ORDER,
    OWN_X,
    OWN_Y,
    PLACE,
    WEIGHED,
    Cohort,
    Group,
    find_samples,
    load_tile,
    put_all,
    spread,
)
from .layout import (
    BAD,
    COST,
    COUNT,
    DEPTH,
    LANES,
    LAYERS,
    ROWS,
    SAMPLES,
    SHARED,
    STRIDE,
    THETA,
    TILES,
    WIDTH,
    layout,
)
from .session import Desk, flat

WITH_LOSS = CALL  # an entry of a call behind kernel.py's: whether losses are wanted, and not outputs


@kernel(
    "void(int64[::1], T[::1], int64[::1], int64[::1], int64[::1], T[::1], T[::1], T[::1], T[::1], T[::1], "
    "float64[::1], int64, int64)",
    "the pass forward for populations",
)
def look(plan, work, book, call, members, theta, X, Y, weights, outputs, losses, first, stop):
    """Put the outputs (n_y, m) of networks `first` to `stop` into `outputs`, or their losses into `losses`.

    A loss is NaN where a parameter, or the last layer's input, is not finite.

    Many arguments: see engine.py.
    """
    group = Group(plan, work, losses, book)
    cohort = Cohort(call, members, losses, theta, X, Y, weights, members, losses, losses)
    V, n_y = lanes(work), plan[LAYERS + STRIDE * plan[DEPTH] + ROWS]
    for begin in range(first, stop, V):
        is_whole = begin + V <= stop
        _open(group, cohort, begin, stop)
        for tile in range(plan[TILES]):
            start = tile * plan[WIDTH]
            size = min(plan[WIDTH], plan[SAMPLES] - start)
            if plan[SHARED] == 0 or call[WITH_LOSS]:
                load_tile(group, cohort, 0, start, size)
            if call[WITH_LOSS]:
                _loss(work, X, plan, tile, start, size)
            else:
                _outputs(work, X, plan, start, size)
                at = begin * n_y * plan[SAMPLES] + start
                if is_whole:
                    _hand_out(work, plan, outputs, at, n_y, size, V)
                else:
                    _hand_out_some(work, plan, outputs, at, n_y, size, stop - begin)
        _look(work, plan)
        for lane in range(min(V, stop - begin)):
            put(losses, begin + lane, float(get(work, plan[COST] + lane)) + float(get(work, plan[BAD] + lane)))


@inlined
def _open(group, cohort, begin, stop):
    plan, work, _, book = group
    V, P = lanes(work), plan[COUNT]
    if begin + V <= stop:
        _spread_all(cohort.state, begin * P, P, work, plan[THETA])
    for lane in range(V):
        place = min(begin + lane, stop - 1)
        put(book, PLACE * V + lane, place)
        find_samples(group, cohort, place, lane)
        if begin + V > stop:
            spread(cohort.state, place * P, P, work, plan[THETA] + lane)
    put_all(work, plan[BAD], V, 0.0)
    put_all(work, plan[COST], V, 0.0)


@traced
def _spread_all(theta, start, n, work, at):
    """The parameters of as many networks as lanes, which stand one after the other."""
    V = lanes(work)
    whole = n // V * V
    for i in steps(0, whole, V):
        transpose(theta, start + i, n, work, at + i * V, V)
    for lane in range(V):
        for i in steps(whole, n):
            put(work, at + i * V + lane, get(theta, start + lane * n + i))


@traced
def _outputs(work, X, plan, start, size):
    plan = step.Read(plan)
    step.forward(work, X, plan, 0, start, size)
    step.output(work, plan, size)


@traced
def _loss(work, X, plan, tile, start, size):
    plan = step.Read(plan)
    step.forward(work, X, plan, 0, start, size)
    step.cost(work, plan, 0, tile, size)
    step.output(work, plan, size)


@traced_inline
def _look(work, plan):
    step.look(work, step.Read(plan))


@traced
def _hand_out(work, plan, outputs, at, n_y, size, count):
    """The rows of all lanes, as many samples as lanes at a time."""
    plan, V = step.Read(plan), lanes(work)
    z, m, whole = step.Layer(plan, plan(DEPTH) - 1, 0).z, plan(SAMPLES), size // V * V
    for r in steps(0, n_y):
        for s in steps(0, whole, V):
            transpose(work, z + (r * size + s) * V, V, outputs, at + r * m + s, n_y * m)
    _hand_out_rest(work, plan, outputs, at, n_y, size, whole, count)


@traced
def _hand_out_some(work, plan, outputs, at, n_y, size, count):
    _hand_out_rest(work, step.Read(plan), outputs, at, n_y, size, 0, count)


def _hand_out_rest(work, plan, outputs, at, n_y, size, begin, count):
    V, m = lanes(work), plan(SAMPLES)
    z = step.Layer(plan, plan(DEPTH) - 1, 0).z
    for lane in steps(0, count):
        for r in steps(0, n_y):
            for s in steps(begin, size):
                put(outputs, at + (lane * n_y + r) * m + s, get(work, z + (r * size + s) * V + lane))


# ---------------------------------------------------------------- what Python calls


def pays_off(network: Architecture, samples: int) -> bool:
    """Whether a pass of so many samples is faster with a network in each lane than one network after the other."""
    return network.count * samples <= choices.GROUP_PASS


def outputs(network: Architecture, theta: Array, X: Array, threads: int) -> Array | None:
    """See `Backend.cohort_outputs`."""
    found = np.empty((len(theta), network.sizes[-1], X.shape[-1]), theta.dtype)
    losses = _look_at(network, theta, X, X[..., :0, :], None, found, threads)
    return found if np.isfinite(losses).all() and np.isfinite(X).all() else None


def losses(network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, threads: int) -> Array:
    """See `Backend.cohort_losses`."""
    found = _look_at(network, theta, X, Y, weights, None, threads)
    found[~np.isfinite(found)] = np.inf
    return found


def _look_at(
    network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, found: Array | None, threads: int
) -> Array:
    dtype, k, m = theta.dtype, len(theta), X.shape[-1]
    V, shared = LANES[dtype.itemsize], X.ndim == 2 and (weights is None or bool(weights.all()))
    plan, length = layout(network, m, dtype.itemsize, shared, False)
    call, members = np.zeros(CALL + 1, np.int64), np.zeros((k, MEMBER), np.int64)
    call[ALL], call[OWN_X], call[OWN_Y], call[WITH_LOSS] = m, X.ndim == 3, Y.ndim == 3, found is None
    call[WEIGHED], call[ORDER] = weights is not None, 0
    members[:, NUMBER] = np.arange(k)
    numbers = np.zeros(k)
    outputs = np.empty(0, dtype) if found is None else found.ravel()
    arrays = np.ascontiguousarray(theta).ravel(), *flat(X, Y, weights, shared), outputs
    compiled = look[dtype]
    work = network.count * m
    wanted = min(max(-(-k // (choices.PIECES * threads)), choices.SHORT_PASS // work), choices.PASS // work)
    at_once = -(-max(1, wanted) // V) * V

    def some(number: int) -> None:
        desk = Desk(network, dtype, plan, length)
        stop = min(k, (number + 1) * at_once)
        compiled(plan, desk.work, desk.book, call, members.ravel(), *arrays, numbers, number * at_once, stop)

    deal(-(-k // at_once), threads, some)
    return numbers
