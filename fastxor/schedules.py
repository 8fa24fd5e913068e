"""Schedules: learning rates that change from step to step, as small objects that a run can be saved with.

Each is a function of the number of steps that have been taken, from 0. Any other function of it will do as a learning
rate as well, and so will an array with an entry for each step; but a function cannot be written to a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastxor import validation

Schedule = Callable[[int], float]
LearningRate = float | Sequence[float] | NDArray[Any] | Schedule  # what an optimizer may be given


@validation.hinted
@dataclass(frozen=True)
class Step:
    """A rate that is multiplied by a factor every so many steps.

    Parameters
    ----------
    rate : float
        That of the first step, finite and not negative.
    every : int
        Steps from one change to the next.
    factor : float, optional
        What the rate is multiplied by; finite and not negative.

    Examples
    --------
    >>> import fastxor as fx
    >>> rate = fx.schedules.step(0.1, every=100, factor=0.5)
    >>> rate(0), rate(99), rate(100), rate(250)
    (0.1, 0.1, 0.05, 0.025)
    """

    rate: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", validation.rate("rate", self.rate))
        object.__setattr__(self, "every", validation.integer("every", self.every, 1))
        object.__setattr__(self, "factor", validation.rate("factor", self.factor))

    def __call__(self, step: int) -> float:
        """The rate of this step."""
        try:
            return self.rate * self.factor ** (step // self.every)
        except OverflowError:
            return math.inf if self.rate else 0.0


@validation.hinted
@dataclass(frozen=True)
class Cosine:
    """A rate that falls along half a wave of the cosine, slowly at both ends, and then stays.

    Parameters
    ----------
    rate : float
        That of the first step, finite and not negative.
    steps : int
        After how many steps the end is reached.
    end : float, optional
        The rate from there on; finite and not negative.

    References
    ----------
    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    Examples
    --------
    >>> import fastxor as fx
    >>> rate = fx.schedules.cosine(0.1, steps=1000, end=0.01)
    >>> rate(0), round(rate(500), 3), rate(1000), rate(2000)
    (0.1, 0.055, 0.01, 0.01)
    """

    rate: float
    steps: int
    end: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", validation.rate("rate", self.rate))
        object.__setattr__(self, "steps", validation.integer("steps", self.steps, 1))
        object.__setattr__(self, "end", validation.rate("end", self.end))

    def __call__(self, step: int) -> float:
        """The rate of this step."""
        share = (1 + math.cos(math.pi * min(step / self.steps, 1))) / 2
        return share * self.rate + (1 - share) * self.end


@validation.hinted
@dataclass(frozen=True)
class WarmUp:
    """A rate that rises evenly to its full size, and then follows another schedule.

    Parameters
    ----------
    steps : int
        At which step it is at its full size: the first one has ``1 / (steps + 1)`` of that.
    rate : float or callable
        The rate, or a schedule, whose first step is that at which the full size is reached.

    Examples
    --------
    >>> import fastxor as fx
    >>> rate = fx.schedules.warm_up(3, fx.schedules.step(0.4, every=100))
    >>> [round(rate(step), 2) for step in (0, 1, 2, 3, 102, 103)]
    [0.1, 0.2, 0.3, 0.4, 0.4, 0.04]
    """

    steps: int
    rate: float | Schedule

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", validation.integer("steps", self.steps, 1))
        if not callable(self.rate):
            object.__setattr__(self, "rate", validation.rate("rate", self.rate))

    def __call__(self, step: int) -> float:
        """The rate of this step."""
        full = self.rate(max(step - self.steps, 0)) if callable(self.rate) else self.rate
        return full * min((step + 1) / (self.steps + 1), 1.0)


@dataclass(frozen=True, repr=False)
class Listed:
    """An array with a rate for each step, as an optimizer keeps it."""

    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        rates = validation.rates("learning_rate", self.rates, "steps")
        object.__setattr__(self, "rates", tuple(rates.tolist()))

    def __repr__(self) -> str:
        return f"<{len(self.rates)} rates, {self.rates[0]:g} to {self.rates[-1]:g}>"

    def __call__(self, step: int) -> float:
        """The rate of this step; after the last one, its."""
        return self.rates[min(step, len(self.rates) - 1)]


step, cosine, warm_up = Step, Cosine, WarmUp
KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Step, Cosine, WarmUp, Listed)}


def learning_rate(value: Any) -> Any:
    """What an optimizer is given: a number, a function of the step, or an array."""
    if callable(value):
        return value
    if validation.are_several(value):
        return Listed(value)  # of which it makes a tuple
    return validation.rate("learning_rate", value)


def rates(schedule: Schedule, first: int, count: int, dtype: np.dtype[Any]) -> Any:
    """Those of so many steps, in float64: what the dtype of the run is too coarse for is 0.

    Fewer, if one of them is no rate; where the first is none, an exception says so. A run ends there, not before.
    """
    found = []
    limits = np.finfo(dtype)
    for step in range(first, first + count):
        try:
            rate = _checked(schedule, step, dtype)
        except Exception:
            if step == first:
                raise
            break
        found.append(rate if rate >= limits.smallest_normal else 0.0)
    return np.array(found, np.float64)


def _checked(schedule: Schedule, step: int, dtype: np.dtype[Any]) -> float:
    """The rate of one step, or what is wrong with it."""
    name = f"learning_rate of step {step}"
    try:
        value = schedule(step)
    except ArithmeticError as error:
        raise ValueError(f"{name} must be finite, and working it out gave {error!r}") from error
    except Exception as error:
        error.add_note(f"in working out the {name}")
        raise
    rate = validation.rate(name, value)
    if rate > 1:
        validation.held(name, rate, dtype)
    return rate


def recorded(schedule: Schedule, steps: Iterable[int]) -> Any:
    """The rates of some steps, in float64; NaN where there is none, as at a step at which a run could not go on."""
    found = []
    for step in steps:
        try:
            found.append(float(schedule(step)))
        except Exception:
            found.append(math.nan)
    return np.array(found, np.float64)


def check_length(schedule: Any, iterations: int) -> None:
    """Refuse an array that has fewer rates than a run has steps."""
    if isinstance(schedule, Listed) and len(schedule.rates) < iterations:
        raise ValueError(
            f"learning_rate must have an entry for each of the {iterations} steps of the run, got {len(schedule.rates)}"
        )
