"""Members of a cohort one after the other, each in a session of its own: the way that every backend has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastxor.architecture import Architecture
from fastxor.backends import Session
from fastxor.cohort import Advance, Cohort, CohortState, Integers
from fastxor.state import Job, State
from fastxor.views import Array

Open = Callable[[Job, State], Session]


class OneByOne:
    """See `fastxor.cohort.CohortSession`.

    Parameters
    ----------
    cohort : Cohort
    open : callable
        Opens a session of one member, as `Backend.open` does.
    threads : int
        Threads that share the members; those that are left share a member's steps.
    """

    def __init__(self, cohort: Cohort, open: Open, threads: int = 1) -> None:
        self._cohort, self._open, self._threads = cohort, open, threads
        self.block = threads
        samples = min(cohort.batch_size or cohort.X.shape[-1], cohort.X.shape[-1])
        self.speed = threads * 1e9 / (20_000 + 6 * cohort.network.count * samples)

    def advance(self, state: CohortState, which: Integers, steps: Integers, first: Integers, interval: int) -> Advance:
        n = len(which)
        asked = np.where(first < steps, (steps - 1 - first) // interval + 1, 0)
        costs = np.full((n, int(asked.max(initial=0))), np.nan)
        after = state.copy()
        good, finished = np.zeros(n, np.int64), np.zeros(n, bool)
        inner = max(1, self._threads // max(n, 1))

        def member(i: int) -> None:
            session = self._open(self._cohort.job(int(which[i]), inner), state.state(i))
            good[i], known = session.advance(int(steps[i]), int(first[i]), interval)
            costs[i, : len(known)], finished[i] = known, session.finished
            reached = session.state()
            session.close()
            after.theta[i], after.memory[i], after.powers[i] = reached.theta, reached.memory.rows, reached.memory.powers
            after.completed[i] = reached.completed

        for_each(n, self._threads, member)
        return Advance(after, good, costs, finished if finished.any() else None)

    def close(self) -> None:
        """Nothing is kept."""


def for_each(n: int, threads: int, work: Callable[[int], None]) -> None:
    """Do something for each number below n, in several threads; whatever interrupts it, no thread goes on."""
    workers = min(threads, n)
    if workers < 2:
        for i in range(n):
            work(i)
        return
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and not everybody needs it

    numbers = iter(range(n))  # whose `next` is atomic
    stopped = False

    def some() -> None:
        for i in numbers:
            if stopped:
                break
            work(i)

    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in [pool.submit(some) for _ in range(workers)]:
                done.result()
        finally:
            stopped = True


def outputs(core: Any, network: Architecture, theta: Array, X: Array, threads: int) -> Array | None:
    """See `Backend.cohort_outputs`; `core` has the backend's `outputs`."""
    found = np.empty((len(theta), network.sizes[-1], X.shape[-1]), theta.dtype)
    good = np.ones(len(theta), bool)

    def member(i: int) -> None:
        A = core.outputs(network, theta[i], X[i] if X.ndim == 3 else X)
        if A is None:
            good[i] = False
        else:
            found[i] = A

    for_each(len(theta), threads, member)
    return found if good.all() else None


def losses(
    core: Any, network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, threads: int
) -> Array:
    """See `Backend.cohort_losses`; `core` has the backend's `loss` and `weighted`."""
    found = np.full(len(theta), np.inf)

    def member(i: int) -> None:
        x, y = X[i] if X.ndim == 3 else X, Y[i] if Y.ndim == 3 else Y
        shares = None if weights is None else weights[i]
        if shares is not None and not shares.all():
            there = shares != 0
            x, y, shares = x[:, there], y[:, there], shares[there]
        if shares is None or (shares == shares[0]).all():
            cost = core.loss(network, theta[i], x, y)
        else:
            both = core.weighted(network, theta[i], x, y, shares)
            cost = None if both is None else both[0]
        if cost is not None and np.isfinite(cost):
            found[i] = cost

    for_each(len(theta), threads, member)
    return found
