"""Kernels for one tiny network each, a lane for every member: not a loop over neurons nor a branch left.

They are step.py, traced with a plan that is known: so they have the same bits. What a group works on stands on the
stack, where a compiler that knows every place makes registers of it, and drops what nobody reads again.

Compiling takes some seconds, so it is done only when the work ahead repays it; see `pays_off`.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from fastxor.architecture import Architecture

from .. import choices
from .._jit import UNJITTED, Kernel, inlined, kernel
from .._jit import code as code
from ..elementwise import SIN
from ..simd import lanes, load, scratch, store
from ..tracing import steps, traced_inline
from . import step
from .kernel import MAX_RECORDED_COSTS, SIGNATURE, make_trainer
from .layout import (
    CODE,
    COUNT,
    INPUT,
    LAYERS,
    MOMENTS,
    NONFINITE,
    RESIDENT,
    SAMPLES,
    STRIDE,
    THETA,
    TILE_STRIDE,
    TILES,
    layout,
)


def fits(entries: np.ndarray) -> bool:
    """Whether there can be such a kernel for a network with this plan."""
    is_sin = SIN in entries[LAYERS + CODE :: STRIDE]
    whole = entries[RESIDENT] and entries[TILES] == 1
    size = entries[COUNT] * max(entries[SAMPLES], 4)  # of few samples, the parameters are most of what is written out
    return bool(whole and not is_sin and size <= choices.MAX_UNROLLED_WORK)


def registers(network: Architecture, members: int, lanes: int) -> int:
    """In a vector of such a kernel: two have each other's operations for company in the long chain of a tiny network's
    step. Not for so few members that the second one would be empty.
    """
    return 2 if network.count <= choices.MAX_PAIRED_REGISTER_PARAMETERS and members > lanes and not UNJITTED else 1


def pays_off(train: Kernel, dtype: np.dtype, seconds_left: float, seconds_spent: float) -> bool:
    """Whether to use the kernel for work that the general one needs `seconds_left` for, after so many on its like."""
    if train.is_loaded(dtype):
        return seconds_left > choices.MIN_SECONDS_TO_CALL
    seconds = max(seconds_left, seconds_spent)
    return seconds > choices.MIN_SECONDS_TO_LOAD and (seconds > choices.MIN_SECONDS_TO_UNROLL or train.is_ready(dtype))


@lru_cache(maxsize=64)
def kernel_for(
    network: Architecture, samples: int, dtype: np.dtype, shared: bool, kind: int, penalized: bool, registers: int = 1
) -> Kernel:
    """The kernel, not compiled yet; see `kernel.train`."""
    plan, length = layout(network, samples, dtype.itemsize, shared, True, registers)
    segment = traced_inline(_segment(step.Known(plan), length, kind, penalized), attributes=())

    @inlined
    def advance(group, arrays, count, first, period):
        recorded_costs = group.work.size - MAX_RECORDED_COSTS * lanes(group.work)
        segment(group.work, arrays.X, group.hyper, count, first, period, recorded_costs)

    train = make_trainer(advance)
    key = repr((network, samples, shared, kind, penalized, registers))
    train.__name__ = train.__qualname__ = f"population_{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    signature = SIGNATURE.replace("T[::1]", "T[:, ::1]", 1) if registers == 2 else SIGNATURE
    return kernel(signature, f"a kernel for populations of {'-'.join(map(str, network.sizes))}")(train)


def _segment(plan, length, kind, penalized):
    """step.py's for this network."""

    def segment(work, X, hyper, count, first, period, recorded_costs):
        V = lanes(work)
        both = [(plan(at), n * V) for at, n in ((THETA, plan(COUNT)), (MOMENTS, 2 * plan(COUNT)), (NONFINITE, 1))]
        given = [(plan(MOMENTS) + 2 * plan(COUNT) * V, plan(COUNT) * V), (plan(INPUT), plan(TILE_STRIDE))]
        place = scratch(work, length)
        _copy(work, place, both + given)
        step.segment(place, X, plan, hyper, kind, count, (first, period, work, recorded_costs), penalized)
        _copy(place, work, both)

    return segment


def _copy(start, to, parts):
    for at, n in parts:
        for i in steps(at, at + n, lanes(start)):
            store(to, i, load(start, i))
