"""How many steps of a run to take at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TypeVar

# Between two spans Ctrl-C and reports get through.
SLICE_SECONDS = 0.1

# A step that takes much longer than that is waited for, as Ctrl-C cannot get through to who takes it.
MAX_BLOCKING_SECONDS = 0.15

# So often a wait that cannot be interrupted, as on Windows, is broken off to let Ctrl-C through.
POLL_SECONDS = 0.05

# From one span to the next the number of steps grows by no more than this: what was measured may mislead.
_MAX_GROWTH = 16


class TimeSlice:
    """Steps that take about `SLICE_SECONDS`, by how long the last ones took.

    Each span is measured, a single step too, and the next one follows it up or down: after a pause (a stopped process,
    a compilation, another program on the core) a few short spans lead back to long ones.

    Parameters
    ----------
    speed : float
        Steps per second, a first guess.
    """

    def __init__(self, speed: float) -> None:
        self._steps = speed * SLICE_SECONDS

    @property
    def steps(self) -> int:
        """How many to take next, at least one."""
        return max(1, round(self._steps))

    def took(self, steps: int, seconds: float) -> None:
        """So many steps took so long."""
        self._steps = min(steps * SLICE_SECONDS / max(seconds, 1e-9), steps * _MAX_GROWTH)


Answer = TypeVar("Answer")


def run_interruptible(call: Callable[[], Answer]) -> Answer:
    """What the call returns or raises, made in a thread of its own, which Ctrl-C leaves at once.

    The call is then let go on to its end: what it works on must be of no use to anybody else.
    """
    answers: SimpleQueue[tuple[Answer | None, BaseException | None]] = SimpleQueue()
    context = copy_context()  # numpy's errors are set there

    def answer() -> None:
        try:
            answers.put((context.run(call), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=answer, name="fastxor-patience", daemon=True).start()
    while True:
        try:
            value, error = answers.get(timeout=POLL_SECONDS)
        except Empty:
            continue
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # which is there if there is no error
