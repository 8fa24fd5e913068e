"""How many steps of a run to take at a time."""

from __future__ import annotations

# Between two spans Ctrl-C and reports get through.
SPAN = 0.1  # seconds

# From one span to the next the number of steps grows by no more than this: what was measured may mislead.
_GROWTH = 16


class Pace:
    """Steps that take about `SPAN`, by how long the last ones took.

    Each span is measured, a single step too, and the next one follows it up or down: after a pause (a stopped process,
    a compilation, another program on the core) a few short spans lead back to long ones.

    Parameters
    ----------
    speed : float
        Steps per second, a first guess.
    """

    def __init__(self, speed: float) -> None:
        self._steps = speed * SPAN

    @property
    def steps(self) -> int:
        """How many to take next, at least one."""
        return max(1, round(self._steps))

    def took(self, steps: int, seconds: float) -> None:
        """So many steps took so long."""
        self._steps = min(steps * SPAN / max(seconds, 1e-9), steps * _GROWTH)
