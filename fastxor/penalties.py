"""What a run adds to its cost, and how long it lets a gradient be: numbers, and what becomes of a gradient in numpy.

The fused core's part is in ``backends/fused/update.py``.
"""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

import numpy as np

from fastxor import validation
from fastxor.views import Array


class Penalties(NamedTuple):
    """The objective is cost + l2 / 2 sum(w**2) + l1 sum(abs(w)) over the weights w; its gradient is clipped."""

    l2: float = 0.0
    l1: float = 0.0
    clip_norm: float = inf

    @np.errstate(all="ignore")
    def value(self, theta: Array, weights: Array) -> float:
        """What the cost is raised by. `weights` is 1 for each, 0 for biases."""
        if not (self.l2 or self.l1):
            return 0.0
        real = theta.dtype.type
        return float(np.sum((real(self.l2 / 2) * weights * theta) * theta + real(self.l1) * weights * np.abs(theta)))

    @np.errstate(all="ignore")
    def applied(self, theta: Array, gradient: Array, weights: Array) -> Array:
        """The objective's gradient from that of the cost, clipped."""
        real = theta.dtype.type
        if self.l2 or self.l1:
            gradient = gradient + real(self.l2) * weights * theta + real(self.l1) * weights * np.sign(theta)
        return gradient if self.clip_norm == inf else clipped(gradient, self.clip_norm)


NONE = Penalties()


def clipped(gradient: Array, length: float) -> Array:
    """The gradient, shortened to that length if it is longer; what is not finite stays so.

    It is measured in units of its largest number, whose square may be infinite or 0.
    """
    top, limit = np.abs(gradient).max(), gradient.dtype.type(length)
    root = np.sqrt(np.sum((gradient / top) ** 2))
    return gradient / top * (limit / root) if root > limit / top else gradient


def checked(l2: Any, l1: Any, clip_norm: Any) -> Penalties:
    """What `train` is given."""
    if clip_norm is None:
        clip_norm = inf
    elif not validation.rate("clip_norm", clip_norm):
        raise ValueError(f"clip_norm must be above 0, got {clip_norm}")
    return Penalties(validation.rate("l2", l2), validation.rate("l1", l1), float(clip_norm))


def held(penalties: Penalties, dtype: np.dtype[Any]) -> None:
    """Refuse numbers that the dtype of a run does not hold."""
    for name, number in penalties._asdict().items():
        if number != inf:
            validation.held(name, number, dtype)
