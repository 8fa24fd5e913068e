"""The cost of samples that stay, as those for validation, at parameters that change."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastxor.architecture import Architecture
from fastxor.time_slice import run_interruptible
from fastxor.views import Array

from . import choices, kernels, workspace
from ._jit import VECTOR_BITS
from .session import ALL, flattened
from .update import TILE_COSTS
from .workspace import WIDTH


def loss_on(network: Architecture, X: Array, Y: Array) -> Callable[[Array], float]:
    """The cost as a function of theta; NaN or infinity where it is not finite.

    Every tile has a place of its own, and the samples are copied into it once.
    """
    samples, dtype = X.shape[1], X.dtype
    plan = workspace.plan(network, samples, dtype, narrow=samples * dtype.itemsize <= VECTOR_BITS // 8)
    tiles = -(-samples // int(plan.entries[WIDTH]))
    work = workspace.zeros(plan.common + tiles * plan.private, dtype)  # of which little is ever touched
    (X_flat, X_by_sample), (Y_flat, Y_by_sample) = flattened(X), flattened(Y)
    none, run = work[:0], kernels.cost_of_tiles[dtype]
    theta, hyper = work[: network.count], np.zeros(TILE_COSTS)  # THETA stands first
    run(plan.entries, work, X_flat, Y_flat, X_by_sample + 2 * Y_by_sample, samples, hyper, ALL, True)

    def cost() -> float:
        return run(plan.entries, work, none, none, 0, samples, hyper, ALL, False)

    def loss(at: Array) -> float:
        theta[...] = at
        return cost() if network.count * samples < choices.MIN_INTERRUPTIBLE_WORK else run_interruptible(cost)

    return loss
