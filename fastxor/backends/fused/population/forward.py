"""The outputs of many networks, and their losses: a pass forward, a network in each lane."""

from __future__ import annotations

import numpy as np

from fastxor.architecture import Architecture
from fastxor.backends.parallel import parallel_for
from fastxor.views import Array

from .. import choices
from .._jit import inlined, kernel
from ..simd import get, lanes, put, transpose
from ..tracing import steps, traced, traced_inline
from . import step
from .kernel import (
    ALL,
    CALL_FIELDS,
    CALL_INDEX,
    MEMBER_FIELDS,
    MEMBER_INDEX,
    ORDER,
    OWN_X,
    OWN_Y,
    WEIGHED,
    Arrays,
    LaneGroup,
    fill_range,
    find_samples,
    load_tile,
    scatter_lane,
)
from .layout import (
    COST,
    COUNT,
    DEPTH,
    LANES,
    LAYERS,
    NONFINITE,
    ROWS,
    SAMPLES,
    SHARED,
    STRIDE,
    THETA,
    TILES,
    WIDTH,
    layout,
)
from .session import Buffers, flat

WITH_LOSS = CALL_FIELDS  # an entry of a call behind kernel.py's: whether losses are wanted, and not outputs


@kernel(
    "void(int64[::1], T[::1], int64[::1], int64[::1], int64[::1], T[::1], T[::1], T[::1], T[::1], T[::1], "
    "float64[::1], int64, int64)",
    "the pass forward for populations",
)
def forward_pass(plan, work, lane_state, call, members, theta, X, Y, weights, outputs, losses, first, stop):
    """Put the outputs (n_y, m) of networks `first` to `stop` into `outputs`, or their losses into `losses`.

    A loss is NaN where a parameter, or the last layer's input, is not finite.

    Many arguments: see engine.py.
    """
    group = LaneGroup(plan, work, losses, lane_state)
    group_arrays = Arrays(call, members, losses, theta, X, Y, weights, members, losses, losses)
    V, n_y = lanes(work), plan[LAYERS + STRIDE * plan[DEPTH] + ROWS]
    for begin in range(first, stop, V):
        is_whole = begin + V <= stop
        _fill_lanes(group, group_arrays, begin, stop)
        for tile in range(plan[TILES]):
            start = tile * plan[WIDTH]
            size = min(plan[WIDTH], plan[SAMPLES] - start)
            if plan[SHARED] == 0 or call[WITH_LOSS]:
                load_tile(group, group_arrays, 0, start, size)
            if call[WITH_LOSS]:
                _loss(work, X, plan, tile, start, size)
            else:
                _outputs(work, X, plan, start, size)
                at = begin * n_y * plan[SAMPLES] + start
                if is_whole:
                    _store_lanes(work, plan, outputs, at, n_y, size, V)
                else:
                    _store_some_lanes(work, plan, outputs, at, n_y, size, stop - begin)
        _mark_nonfinite(work, plan)
        for lane in range(min(V, stop - begin)):
            put(losses, begin + lane, float(get(work, plan[COST] + lane)) + float(get(work, plan[NONFINITE] + lane)))


@inlined
def _fill_lanes(group, group_arrays, begin, stop):
    plan, work, _, lane_state = group
    V, P = lanes(work), plan[COUNT]
    if begin + V <= stop:
        _scatter_all_lanes(group_arrays.state, begin * P, P, work, plan[THETA])
    for lane in range(V):
        place = min(begin + lane, stop - 1)
        put(lane_state, CALL_INDEX * V + lane, place)
        find_samples(group, group_arrays, place, lane)
        if begin + V > stop:
            scatter_lane(group_arrays.state, place * P, P, work, plan[THETA] + lane)
    fill_range(work, plan[NONFINITE], V, 0.0)
    fill_range(work, plan[COST], V, 0.0)


@traced
def _scatter_all_lanes(theta, start, n, work, at):
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
def _mark_nonfinite(work, plan):
    step.mark_nonfinite(work, step.Read(plan))


@traced
def _store_lanes(work, plan, outputs, at, n_y, size, count):
    """The rows of all lanes, as many samples as lanes at a time."""
    plan, V = step.Read(plan), lanes(work)
    z, m, whole = step.Layer(plan, plan(DEPTH) - 1, 0).z, plan(SAMPLES), size // V * V
    for r in steps(0, n_y):
        for s in steps(0, whole, V):
            transpose(work, z + (r * size + s) * V, V, outputs, at + r * m + s, n_y * m)
    _store_rest(work, plan, outputs, at, n_y, size, whole, count)


@traced
def _store_some_lanes(work, plan, outputs, at, n_y, size, count):
    _store_rest(work, step.Read(plan), outputs, at, n_y, size, 0, count)


def _store_rest(work, plan, outputs, at, n_y, size, begin, count):
    V, m = lanes(work), plan(SAMPLES)
    z = step.Layer(plan, plan(DEPTH) - 1, 0).z
    for lane in steps(0, count):
        for r in steps(0, n_y):
            for s in steps(begin, size):
                put(outputs, at + (lane * n_y + r) * m + s, get(work, z + (r * size + s) * V + lane))


# ---------------------------------------------------------------- what Python calls


def pays_off(network: Architecture, samples: int) -> bool:
    """Whether a pass of so many samples is faster with a network in each lane than one network after the other."""
    return network.count * samples <= choices.MAX_LANE_PASS_WORK


def outputs(network: Architecture, theta: Array, X: Array, threads: int) -> Array | None:
    """See `Backend.cohort_outputs`."""
    found = np.empty((len(theta), network.sizes[-1], X.shape[-1]), theta.dtype)
    losses = _run_forward_pass(network, theta, X, X[..., :0, :], None, found, threads)
    return found if np.isfinite(losses).all() and np.isfinite(X).all() else None


def losses(network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, threads: int) -> Array:
    """See `Backend.cohort_losses`."""
    found = _run_forward_pass(network, theta, X, Y, weights, None, threads)
    found[~np.isfinite(found)] = np.inf
    return found


def _run_forward_pass(
    network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, found: Array | None, threads: int
) -> Array:
    dtype, k, m = theta.dtype, len(theta), X.shape[-1]
    V, shared = LANES[dtype.itemsize], X.ndim == 2 and (weights is None or bool(weights.all()))
    plan, length = layout(network, m, dtype.itemsize, shared, False)
    call, members = np.zeros(CALL_FIELDS + 1, np.int64), np.zeros((k, MEMBER_FIELDS), np.int64)
    call[ALL], call[OWN_X], call[OWN_Y], call[WITH_LOSS] = m, X.ndim == 3, Y.ndim == 3, found is None
    call[WEIGHED], call[ORDER] = weights is not None, 0
    members[:, MEMBER_INDEX] = np.arange(k)
    numbers = np.zeros(k)
    outputs = np.empty(0, dtype) if found is None else found.ravel()
    arrays = np.ascontiguousarray(theta).ravel(), *flat(X, Y, weights, shared), outputs
    compiled = forward_pass[dtype]
    work = network.count * m
    wanted = min(
        max(-(-k // (choices.SHARDS_PER_THREAD * threads)), choices.MIN_PASS_CALL_WORK // work),
        choices.MAX_PASS_CALL_WORK // work,
    )
    at_once = -(-max(1, wanted) // V) * V

    def some(number: int) -> None:
        buffers = Buffers(network, dtype, plan, length)
        stop = min(k, (number + 1) * at_once)
        compiled(
            plan, buffers.work, buffers.lane_state, call, members.ravel(), *arrays, numbers, number * at_once, stop
        )

    parallel_for(-(-k // at_once), threads, some)
    return numbers
