"""How many steps of a run to take at a time, so that Ctrl-C gets through; and what it may, or may not, break into."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from math import inf
from queue import Empty, SimpleQueue
from typing import TypeVar

# Between two spans Ctrl-C and reports get through.
SLICE_SECONDS = 0.1

# A step that takes much longer than that is waited for, as Ctrl-C cannot get through to who takes it.
MAX_BLOCKING_SECONDS = 0.15

# So often a wait that cannot be interrupted, as on Windows, is broken off to let Ctrl-C through.
POLL_SECONDS = 0.05

# Beyond the first guess, steps grow by no more than this from one span to the next: what was measured may mislead.
_MAX_GROWTH = 16

# The first span is so much shorter than a guess of the speed says, which may be wrong: Ctrl-C waits for it, too.
_FIRST_SLICE_DIVISOR = 4


class TimeSlice:
    """Steps that take about `SLICE_SECONDS`, by how long the last ones took.

    Each span is measured, a single step too, and the next one follows it up or down: after a pause (a stopped process,
    a compilation, another program on the core) a few short spans lead back to long ones.

    Parameters
    ----------
    speed : float
        Steps per second, a first guess.
    first : float
        No more steps than that in the first span.
    """

    def __init__(self, speed: float, first: float = inf) -> None:
        self._guess = speed * SLICE_SECONDS / _FIRST_SLICE_DIVISOR
        self._steps = min(self._guess, first)

    @property
    def steps(self) -> int:
        """How many to take next, at least one."""
        return max(1, round(self._steps))

    def took(self, steps: int, seconds: float) -> None:
        """So many steps took so long."""
        self._steps = min(steps * SLICE_SECONDS / max(seconds, 1e-9), max(steps * _MAX_GROWTH, self._guess))


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


def undisturbed(call: Callable[[], Answer]) -> Answer:
    """What a call returns that puts together what had been reached when Ctrl-C came: it does not listen to another one,
    and is made again if that comes just before. It must take no time to speak of, and be of use a second time.
    """
    try:
        with _deaf():
            return call()
    except KeyboardInterrupt:
        with _deaf():
            return call()


@contextmanager
def _deaf() -> Iterator[None]:
    """Without Ctrl-C."""
    before = None
    if threading.current_thread() is threading.main_thread():  # which alone hears it
        before = signal.getsignal(signal.SIGINT)
    if before is not None:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
