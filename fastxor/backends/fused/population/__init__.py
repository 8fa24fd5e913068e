"""Populations: thousands of networks at once, a lane of a vector for each.

layout.py says where a group of as many networks as lanes stands, step.py takes its steps, by the products of
products.py, kernel.py does so for many steps and groups, session.py for a cohort.
"""

from __future__ import annotations

import numpy as np

from fastxor.architecture import Architecture
from fastxor.cohort import Cohort
from fastxor.optimizers import Optimizer

from .. import choices, update
from . import exact, kernel
from .layout import LANES, layout
from .session import Session

__all__ = ["Session", "pays_off", "warmup"]


def pays_off(cohort: Cohort) -> bool:
    """Whether a network in each lane is faster than the engine, which takes one network after the other.

    That does not depend on how many networks there are, nor on anything else that one of them alone would not have:
    the last bits differ.
    """
    known = cohort.optimizer._kind in update.KINDS
    samples = min(cohort.batch_size or cohort.X.shape[-1], cohort.X.shape[-1])
    return known and cohort.network.count * samples <= choices.MAX_LANE_STEP_WORK


def warmup(network: Architecture, samples: int, optimizer: Optimizer, dtype: np.dtype) -> None:
    """Compile now what many long runs of networks that share so many samples, without penalties, would compile."""
    kind = update.KINDS[optimizer._kind]
    if exact.fits(layout(network, samples, dtype.itemsize, True, True).entries):
        registers = exact.registers(network, members=10_000, lanes=LANES[dtype.itemsize])
        exact.code(exact.kernel_for(network, samples, dtype, True, kind, False, registers), dtype)
    kernel.train[dtype]
