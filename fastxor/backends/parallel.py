"""Threads of Python that work side by side: where they begin, and how they are started and ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle

Call = Callable[[], object]


def parallel_for(count: int, threads: int, work: Callable[[int], None]) -> None:
    """Do something for each number below `count`, which threads take in turn; whatever interrupts it, none goes on."""
    numbers, stopped = iter(range(count)), threading.Event()  # whose `next` is atomic
    errors: list[BaseException] = []

    def some() -> None:
        try:
            for number in numbers:
                if stopped.is_set():
                    break
                work(number)
        except BaseException as error:
            errors.append(error)
            stopped.set()

    call_together(lambda _: some(), [some] * (min(threads, count) - 1), stopped.set)
    if errors:
        raise errors[0]


def call_together(first: Callable[[int], object], others: Sequence[Call], release: Call) -> None:
    """Make the first call here, which is told how many others there are, and these in threads of their own.

    `release` is called when the first one has ended, or has been interrupted, perhaps before it began: it lets the
    others, which are then waited for, come to their end without it.
    """
    begun: list[threading.Thread] = []
    try:
        for core, call in zip(cycle(_round_robin_cores() or [None]) if others else (), others, strict=False):
            other = threading.Thread(target=_call_on_core, args=(core, call), daemon=True)
            try:
                other.start()
            except RuntimeError:  # no more threads are to be had: those that are there do the work
                break
            begun.append(other)
        first(len(begun))
    finally:
        release()
        for other in begun:
            other.join()


def _round_robin_cores() -> list[int]:
    """The cores that this thread may use, the next one first and its own last; none where a thread cannot choose."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    here = _current_core()
    return sorted(os.sched_getaffinity(0), key=lambda core: (core <= here, core))


def _current_core() -> int:
    """The one that this thread is running on."""
    import ctypes

    return ctypes.CDLL(None).sched_getcpu()


def _call_on_core(core: int | None, call: Call) -> None:
    """A further thread's call, begun on that core; from then on the system may move it as it likes.

    Left to itself, the system often has a thread begin on the core of the one that started it, and leaves both there
    for many milliseconds: whoever waits for the other lets it run, and what has just been running is not moved.
    """
    if core is not None:
        allowed = os.sched_getaffinity(0)
        with suppress(OSError):  # it may have been taken from the process
            os.sched_setaffinity(0, {core})
            os.sched_setaffinity(0, allowed)
    call()
