"""Estimators' training as members of populations: who goes together, and the rounds of epochs that they take.

An estimator's coroutine, `solving.fit_epochs`, asks for epochs and is told their losses, so that it ends as it would
alone.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastxor import choices
from fastxor.backends import Backend
from fastxor.cohort import Cohort, CohortState, Integers, SampleRange
from fastxor.optimizers import Memory, schedule_of
from fastxor.sklearn.solving import NO_LOSS, FitCoroutine, Shuffles, Solver, epoch_losses
from fastxor.state import Job, Orders, State
from fastxor.time_slice import TimeSlice
from fastxor.views import Array


def is_batchable(job: Job) -> bool:
    """Whether it is trained sooner as one of many."""
    if job.batch_size is None or job.weights is not None or schedule_of(job.optimizer) is not None:
        return False
    work = job.network.count * job.batch_size
    small = job.batch_size <= choices.MAX_SEARCH_BATCH and work <= choices.MAX_SEARCH_WORK
    return small and job.iterations >= choices.MIN_SEARCH_STEPS


class CohortMember:
    """Epochs of an estimator's training in the hands of a population: to a coroutine what `solving.Epochs` is."""

    finished = False

    def __init__(self, core: Backend, job: Job, solver: Solver, theta: Array) -> None:
        self.core, self.job, self.solver = core, job, solver
        self.beginning = State(theta, solver.memory)
        self._group: _CohortTraining | None = None
        self._number = 0

    def join(self, group: _CohortTraining, number: int) -> None:
        self._group, self._number = group, number

    @property
    def kind(self) -> tuple[Any, ...]:
        """What members have in common that go together."""
        job = self.job
        batch_size = None if job.batch_size == job.samples else job.batch_size
        optimizer = self.solver.optimizer
        return id(self.core), job.network, job.X.dtype, type(optimizer), optimizer._kind, batch_size

    @property
    def theta(self) -> Array:
        """The parameters after the last epoch."""
        return self.beginning.theta if self._group is None else self._group.state.theta[self._number]

    def change_rate(self, rate: float) -> None:
        """Another learning rate from the next epoch on."""
        assert self._group is not None
        self.close()
        self.solver.change_rate(rate)
        self._group.state.memory[self._number] = self.solver.memory.rows
        self._group.cohort.numbers[self._number] = self.solver.optimizer._numbers

    def close(self) -> None:
        """No more epochs are to come, or not in this way."""
        if self._group is not None:
            state = self._group.state.state(self._number)
            self.solver.memory = Memory(state.memory.rows, state.memory.powers)


def train(
    coroutines: Sequence[tuple[FitCoroutine, CohortMember]], threads: int, is_cancelled: Callable[[], bool]
) -> list[Array | Exception | None]:
    """Where each coroutine ends, or what it has raised; None if `is_cancelled` has said that nobody waits for it any
    more.
    """
    kinds: dict[Any, list[int]] = defaultdict(list)
    for number, (_coroutine, member) in enumerate(coroutines):
        kinds[member.kind].append(number)
    results: list[Array | Exception | None] = [None] * len(coroutines)
    for numbers in kinds.values():
        group = _CohortTraining([coroutines[number] for number in numbers], threads)
        group.execute(is_cancelled)
        for number, end in zip(numbers, group.results, strict=True):
            results[number] = end
    return results


class _CohortTraining:
    """Members of one kind, k of them."""

    def __init__(self, coroutines: Sequence[tuple[FitCoroutine, CohortMember]], threads: int) -> None:
        self.coroutines = [coroutine for coroutine, _member in coroutines]
        members = [member for _coroutine, member in coroutines]
        self.jobs, k = [member.job for member in members], len(members)
        first, optimizers = self.jobs[0], [member.solver.optimizer for member in members]
        X, Y, own = _pooled_samples(self.jobs)
        self.per_epoch = np.array([job.steps_per_epoch for job in self.jobs])
        self.cohort = Cohort(
            first.network,
            X,
            Y,
            optimizers[0],
            np.array([optimizer._numbers for optimizer in optimizers], np.float64),
            np.array([job.penalties for job in self.jobs], np.float64),
            np.zeros(k, np.int64),
            np.array([job.iterations for job in self.jobs]),
            max(job.batch_size or 0 for job in self.jobs),
            threads=threads,
            own=own,
            scikit=True,
        )
        self.state = CohortState.of([member.beginning for member in members])
        self.session = members[0].core.open_cohort(self.cohort)
        self.time_slice = TimeSlice(self.session.speed)
        self.requested_epochs = np.zeros(k, np.int64)  # epochs
        self.results: list[Array | Exception | None] = [None] * k
        for number, member in enumerate(members):
            member.join(self, number)

    def execute(self, is_cancelled: Callable[[], bool]) -> None:
        """Take epochs until nobody asks for more."""
        for number in range(len(self.coroutines)):
            self._resume(number, None)
        try:
            while not is_cancelled() and len(live := np.flatnonzero(self.requested_epochs)):
                self._round(live, is_cancelled)
        finally:
            self.session.close()

    def _round(self, live: Integers, is_cancelled: Callable[[], bool]) -> None:
        """Epochs for all of them, some members at a time; those with as much to do share a vector."""
        steps = self.requested_epochs * self.per_epoch
        live = live[np.argsort(-steps[live], kind="stable")]
        start = 0
        while start < len(live) and not is_cancelled():
            at_once = min(self.time_slice.steps, choices.SEARCH_SAMPLES_PER_CALL // (self.cohort.batch_size or 1))
            block = max(1, self.session.block)
            which = live[start : start + max(block, at_once // int(steps[live[start]]) // block * block)]
            start += len(which)
            most = np.maximum(1, at_once // len(which) // self.per_epoch[which])
            self._take(which, np.minimum(self.requested_epochs[which], most))

    def _take(self, which: Integers, epochs: Integers) -> None:
        steps, none = epochs * self.per_epoch[which], np.zeros(len(which), np.int64)
        began = time.perf_counter()
        progress = self.session.advance(self.state.take(which), which, steps, none, 1)
        self.time_slice.took(int(steps.sum()), time.perf_counter() - began)
        self.state.put(which, progress.state)
        rows = zip(which.tolist(), progress.good.tolist(), steps.tolist(), progress.costs, strict=True)
        for number, good, wanted, costs in rows:
            losses = epoch_losses(self.jobs[number], costs[:good])
            self._resume(number, losses if good == wanted else [*losses, NO_LOSS])

    def _resume(self, number: int, losses: list[float] | None) -> None:
        """Tell a coroutine the losses of its epochs, and note what it asks for then."""
        self.requested_epochs[number] = 0
        try:
            self.requested_epochs[number] = self.coroutines[number].send(losses)  # type: ignore[arg-type]  # None begins it
        except StopIteration as end:
            self.results[number] = end.value.copy()
        except Exception as error:
            self.results[number] = error


def _orders(job: Job, known: dict[Any, Orders]) -> Orders:
    """Those of its epochs, which are drawn once for all that have the same seed and as many samples."""
    orders = job.shuffle
    few = job.iterations // job.steps_per_epoch * job.samples <= choices.SHARED_ORDERS
    key = orders.key if few and isinstance(orders, Shuffles) else None
    return orders if key is None else known.setdefault(key, _CachedOrders(orders))


class _CachedOrders:
    """Orders that are kept, for several to ask for."""

    def __init__(self, orders: Orders) -> None:
        self._orders, self._cached = orders, list[Integers]()
        self._last: tuple[tuple[int, int], Integers] | None = None  # which those that go together all ask for

    def orders(self, first: int, count: int) -> Integers:
        """Those of so many epochs."""
        missing = first + count - len(self._cached)
        if missing > 0:
            self._cached.extend(self._orders.orders(len(self._cached), missing))
        if self._last is None or self._last[0] != (first, count):
            self._last = (first, count), np.stack(self._cached[first : first + count])
        return self._last[1]


def _pooled_samples(jobs: Sequence[Job]) -> tuple[Array, Array, list[SampleRange]]:
    """The samples of all jobs, those that several have only once: X (n_x, m), Y (n_y, m), and which are whose."""
    known: dict[Any, list[tuple[Job, int]]] = defaultdict(list)
    parts: list[Job] = []
    drawn: dict[Any, Orders] = {}
    own, end = [], 0
    for job in jobs:
        alike = known[job.samples, hash(job.X.tobytes(order="A")), hash(job.Y.tobytes(order="A"))]
        same = (at for other, at in alike if np.array_equal(other.X, job.X) and np.array_equal(other.Y, job.Y))
        first = next(same, None)
        if first is None:
            first, end = end, end + job.samples
            alike.append((job, first))
            parts.append(job)
        own.append(SampleRange(first, job.samples, _orders(job, drawn)))
    X, Y = (np.concatenate([getattr(job, name).T for job in parts]).T for name in "XY")  # each sample in one piece
    return X, Y, own
