"""Members of a cohort one after the other, each in a session of its own: the way that every backend has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import numpy as np

from fastxor import choices
from fastxor.architecture import Architecture
from fastxor.backends import Session
from fastxor.backends.parallel import parallel_for
from fastxor.cohort import Cohort, CohortProgress, CohortState, Integers
from fastxor.state import Job, State
from fastxor.views import Array

Open = Callable[[Job, State], Session]


def speed(network: Architecture, samples: int) -> float:
    """Steps of the reference per second, a first guess."""
    return 1e9 / (20_000 + 6 * network.count * samples)


class SequentialSession:
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
        self._sessions: dict[int, Session] = {}  # of the members that were taken last
        self._numbers = cohort.numbers.copy()  # with which they were opened: a learning rate may change
        self.block = choices.MEMBERS_PER_THREAD * threads
        samples = min(cohort.batch_size or cohort.X.shape[-1], cohort.X.shape[-1])
        self.speed = threads * speed(cohort.network, samples)

    def advance(
        self,
        state: CohortState,
        which: Integers,
        steps: Integers,
        first: Integers,
        interval: int,
        targets: Array | None = None,
    ) -> CohortProgress:
        n = len(which)
        records = np.where(first < steps, (steps - 1 - first) // interval + 1, 0)
        costs = np.full((n, int(records.max(initial=0))), np.nan)
        after = state.copy()
        good, finished = np.zeros(n, np.int64), np.zeros(n, bool)
        inner = max(1, self._threads // max(n, 1))
        known = {int(member): self._sessions.pop(int(member), None) for member in which}
        self.close()  # those of others

        def take(i: int) -> None:
            number = int(which[i])
            session = self._at(known[number], number, state.state(i), inner)
            asked = int(steps[i]), int(first[i]), interval
            if targets is None or targets[i] == -inf:
                good[i], found = session.advance(*asked)
                finished[i] = session.finished
            else:
                reopen = partial(self._open, self._cohort.job(number, inner))
                session, good[i], found, finished[i] = _to_target(session, reopen, *asked, float(targets[i]))
            costs[i, : len(found)] = found
            reached = session.state()
            known[number] = session
            after.theta[i], after.memory[i], after.powers[i] = reached.theta, reached.memory.rows, reached.memory.powers
            after.completed[i] = reached.completed

        parallel_for(n, self._threads, take)
        self._sessions = {member: session for member, session in known.items() if session is not None}
        return CohortProgress(after, good, costs, finished if finished.any() else None)

    def _at(self, session: Session | None, member: int, state: State, threads: int) -> Session:
        """The session of a member, which is there already if it goes on from where it was."""
        if session is not None:
            there = session.state()
            same = there.completed == state.completed and np.array_equal(there.theta, state.theta)
            same = same and np.array_equal(there.memory.rows, state.memory.rows)
            if same and np.array_equal(self._numbers[member], self._cohort.numbers[member]):
                return session
            session.close()
        self._numbers[member] = self._cohort.numbers[member]
        return self._open(self._cohort.job(member, threads), state)

    def close(self) -> None:
        """No more steps are to come."""
        while self._sessions:
            self._sessions.popitem()[1].close()


def _to_target(
    session: Session, reopen: Callable[[State], Session], steps: int, first: int, interval: int, target: float
) -> tuple[Session, int, list[float], bool]:
    """So many steps, or to the first record that is not above the target: the session, which may be another one, how
    many steps were good, the records, and whether there is no more to do.
    """
    found: list[float] = []
    good = 0
    while good < steps:
        ahead = first - good if good < first else (first - good) % interval
        at_once = choices.STEPS_PER_TARGET_CHECK
        piece = ahead or (1 if interval >= at_once else at_once)
        piece, start = min(piece, steps - good), session.state()
        taken, costs = session.advance(piece, ahead, interval)
        hit = next((number for number, cost in enumerate(costs) if cost <= target), None)
        if hit is not None:
            session.close()
            session = reopen(start)
            if hit:
                session.advance(hit * interval, hit * interval, 1)
            return session, good + hit * interval, [*found, *costs[: hit + 1]], True
        found += costs
        good += taken
        if taken < piece or session.finished:
            break
    return session, good, found, session.finished


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

    parallel_for(len(theta), threads, member)
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

    parallel_for(len(theta), threads, member)
    return found
