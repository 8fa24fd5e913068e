"""Threads that share the steps of a run: how many there are, and their calls of the engine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from fastxor import validation
from fastxor.architecture import Architecture
from fastxor.backends.parallel import call_together

from . import choices, sync, update
from .cores import available_cores
from .workspace import WIDTH, Plan

UNSHARED = np.zeros(0, np.int64)  # as what threads share


def default_threads(network: Architecture, samples: int) -> int:
    """How many may share a run's steps if nobody says it: one where a step is little work, else one for each core."""
    return 1 if 6 * network.count * samples <= choices.MIN_THREADED_OPERATIONS else available_cores()


def useful_threads(threads: int, network: Architecture, samples: int, plan: Plan) -> tuple[int, bool]:
    """How many threads of these a run takes, and whether they go in lockstep, or by a static schedule where a step is
    two tiles.

    No more than a step has tiles, or else its widest layer blocks of neurons to share.
    """
    work, tiles = 6 * network.count * samples, -(-samples // int(plan.entries[WIDTH]))
    lockstep = tiles == 1 and not plan.narrow and work > choices.MIN_LOCKSTEP_OPERATIONS
    most = max(network.sizes[1:]) // choices.BLOCK_ROWS if lockstep else tiles
    threads = max(1, min(threads, most))
    return threads, lockstep or (tiles == threads == 2 and not plan.narrow)


class ThreadTuner:
    """How many threads take the next steps: as many as the caller wants or, where that is left to us, all that are
    useful or one alone, whichever was faster of late. Another program may want a core, now or later.
    """

    def __init__(self, threads: int, by_default: bool) -> None:
        self._seconds = dict.fromkeys([1, threads] if by_default else [threads], 0.0)  # that a step took; 0: not tried
        self.size = min(self._seconds)
        self._steps, self._took = 0, 0.0  # since it was chosen, or last looked at
        self._tried = time.perf_counter()

    def max_steps(self, speed: float) -> int:
        """The most steps to take before it is chosen anew, where as many as `speed` are taken in a second."""
        return validation.MOST if len(self._seconds) == 1 else max(1, round(speed * choices.TRIAL_SECONDS))

    def took(self, steps: int, seconds: float) -> None:
        """So many steps took so long."""
        self._steps, self._took = self._steps + steps, self._took + seconds
        if len(self._seconds) == 1 or self._took < 0.8 * choices.TRIAL_SECONDS:
            return
        self._seconds[self.size] = self._took / self._steps
        self._steps, self._took = 0, 0.0
        fastest = min(self._seconds, key=self._seconds.__getitem__)  # one that was not tried, if there is one
        now = time.perf_counter()
        if self.size == fastest and now > self._tried + choices.TRUSTED_SECONDS:
            self._tried = now
            self.size = next(size for size in self._seconds if size != fastest)
        else:
            self.size = fastest


class _Alone:
    """One thread takes all steps, and there is nothing to find out."""

    size = 1

    def max_steps(self, speed: float) -> int:
        """As many as there are."""
        return validation.MOST

    def took(self, steps: int, seconds: float) -> None:
        """That is of no account."""


ALONE = _Alone()


def run_threads(engine: Callable, threads: int, lockstep: bool, arguments: tuple, steps: tuple) -> int:
    """One call of the engine by each of several threads; how many steps were good."""
    if threads == 1:
        return engine(*arguments, *steps, UNSHARED, -1)
    hyper = arguments[-1]
    tiles = (int(hyper[update.RATES]) or hyper.size) - update.TILE_COSTS
    shared = sync.new_shared(threads, tiles, lockstep, _address_of_yield())
    calls = [partial(engine, *arguments, *steps, shared, number) for number in range(threads)]

    def first(others: int) -> None:
        hyper[update.SCHEDULE_PARTS] = 1 + others if lockstep else 1
        calls[0]()

    def release() -> None:
        if shared[sync.SCHEDULE] == 0:  # the first thread has not come to the engine, and will not
            shared[sync.SCHEDULE] = sync.ABORTED

    call_together(first, calls[1:], release)
    return int(shared[sync.GOOD_STEPS])


@cache
def _address_of_yield() -> int:
    """The system's function that lets other threads run."""
    import ctypes

    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value
