"""Populations: thousands of networks at once, a lane of a vector for each.

layout.py says where a group of as many networks as lanes stands, step.py takes its steps, by the products of
products.py, kernel.py does so for many steps and groups, session.py for a cohort.
"""

from __future__ import annotations

from fastxor.cohort import Cohort

from .. import choices, update
from .session import Session

__all__ = ["Session", "pays_off"]


def pays_off(cohort: Cohort) -> bool:
    """Whether a network in each lane is faster than the engine, which takes one network after the other.

    That does not depend on how many networks there are, nor on anything else that one of them alone would not have:
    the last bits differ.
    """
    known = cohort.optimizer._kind in update.KINDS
    samples = min(cohort.batch_size or cohort.X.shape[-1], cohort.X.shape[-1])
    return known and cohort.network.count * samples <= choices.GROUP_WORK
