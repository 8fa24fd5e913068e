"""Threads that share the steps of a run: how many, where they begin, and how they are started and ended."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import cycle

import numpy as np

from . import ring, update, workspace
from .cores import available_cores

# Operations of a step from which on a second thread pays, although it has to be started and waited for.
_WORTH_THREADS = 1e6

ALONE = np.zeros(0, np.int64)  # as what threads share


def useful_threads(threads: int | None, plan: workspace.Plan, parameters: int, samples: int) -> int:
    """How many threads a run takes: no more than a step has tiles, and by default one for steps of little work."""
    if threads is None:
        threads = available_cores() if 6 * parameters * samples > _WORTH_THREADS else 1
    return min(threads, -(-samples // int(plan.entries[workspace.WIDTH])))


def together(engine: Callable, threads: int, arguments: tuple, steps: tuple) -> int:
    """One call of the engine by each of several threads; how many steps were good."""
    if threads == 1:
        return engine(*arguments, *steps, ALONE, -1)
    shared = ring.shared_by(threads, arguments[-1].size - update.RING, _address_of_yield())
    calls = [(*arguments, *steps, shared, number) for number in range(threads)]
    begins = zip(cycle(_cores_in_turn() or [None]), calls[1:], strict=False)
    others = [threading.Thread(target=_begin_on, args=(engine, *begin), daemon=True) for begin in begins]
    begun = []
    try:
        for other in others:
            try:
                other.start()
            except RuntimeError:  # no more threads are to be had: those that are there do the work
                break
            begun.append(other)
        engine(*calls[0])
    finally:
        for other in begun:  # they come to their end without this one, too
            other.join()
    return int(shared[ring.GOOD])


def _cores_in_turn() -> list[int]:
    """The cores that this thread may use, the next one first and its own last; none where a thread cannot choose."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    here = _core()
    return sorted(os.sched_getaffinity(0), key=lambda core: (core <= here, core))


def _core() -> int:
    """The one that this thread is running on."""
    import ctypes

    return ctypes.CDLL(None).sched_getcpu()


def _begin_on(engine: Callable, core: int | None, call: tuple) -> None:
    """A further thread's call of the engine, begun on that core; from then on the system may move it as it likes.

    Left to itself, the system often has a thread begin on the core of the one that started it, and leaves both there
    for many milliseconds: whoever waits for the other lets it run, and what has just been running is not moved.
    """
    if core is not None:
        allowed = os.sched_getaffinity(0)
        with suppress(OSError):  # it may have been taken from the process
            os.sched_setaffinity(0, {core})
            os.sched_setaffinity(0, allowed)
    engine(*call)


@cache
def _address_of_yield() -> int:
    """The system's function that lets other threads run."""
    import ctypes

    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value
