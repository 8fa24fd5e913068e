"""A cohort in the hands of the fused core: groups of networks, dealt out to threads."""

from __future__ import annotations

import math
import queue
import time
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property

import numpy as np

from fastxor.architecture import Architecture
from fastxor.backends.parallel import parallel_for
from fastxor.cohort import Cohort, CohortProgress, CohortState, Integers
from fastxor.optimizers import schedule_of
from fastxor.state import InOrder, Orders, Shuffle
from fastxor.views import Array

from .. import choices, update
from ..workspace import zeros
from . import exact, kernel
from .layout import COUNT, LANES, MOMENTS, SAMPLES, layout

_NO_NUMBERS = np.empty(0, np.float64)
_NO_ORDERS = np.empty(0, np.int64)

# Seconds that the general kernel has spent, if nobody disturbed it, on cohorts of a kind for which there can be one of
# exact sizes: many short runs are as good a reason to compile it as a long one.
_general_kernel_seconds: dict[tuple, float] = defaultdict(float)


def flat(X: Array, Y: Array, weights: Array | None, shared: bool) -> tuple[Array, Array, Array]:
    """All of them as the kernels read them: see `kernel.Arrays`."""
    inputs = X if shared else X.swapaxes(-1, -2)
    return (
        np.ascontiguousarray(inputs).ravel(),
        np.ascontiguousarray(Y.swapaxes(-1, -2)).ravel(),
        np.empty(0, X.dtype) if weights is None else np.ascontiguousarray(weights).ravel(),
    )


def seconds(count: int, samples: int, lanes: int) -> float:
    """About what a step of one network of so many parameters takes the general kernel."""
    return (100 + (2 * samples + 6) * count) * 1e-9 / lanes


def _orders(seed: int, samples: int, shuffled: bool) -> Orders:
    return Shuffle(seed, samples) if shuffled else InOrder(samples)


class Buffers:
    """What a thread works on, with vectors of so many registers."""

    def __init__(
        self, network: Architecture, dtype: np.dtype, plan: np.ndarray, length: int, registers: int = 1
    ) -> None:
        """`length` is that of the plan, and of the costs at the end."""
        V = LANES[dtype.itemsize] * registers
        self.work = zeros(length, dtype)
        mask = self.work[plan[MOMENTS] + 2 * plan[COUNT] * V :]
        mask[: network.count * V] = np.repeat(network._weight_mask(dtype), V)
        if registers == 2:
            self.work = self.work.reshape(-1, 2)  # see `simd.lanes`
        self.hyper = np.zeros(update.TILE_COSTS * V)
        self.lane_state = np.zeros(2 * kernel.LANE_FIELDS * V, np.int64)


class Session:
    """See `fastxor.cohort.CohortSession`."""

    def __init__(self, cohort: Cohort, threads: int) -> None:
        self._cohort, self._threads = cohort, threads
        dtype, m = cohort.X.dtype, cohort.X.shape[-1]
        self._lanes = LANES[dtype.itemsize]
        self._batch = 0 if cohort.batch_size is None else min(cohort.batch_size, m)
        full = not self._batch
        has_gaps = cohort.weights is not None and not cohort.weights.all()
        shared = full and cohort.X.ndim == 2 and not has_gaps
        kind = update.KINDS[cohort.optimizer._kind]
        self._kind = cohort.network, m, dtype, shared, kind, self._penalized
        self._step = cohort.network, m if full else self._batch, dtype.itemsize, shared, full
        self._plan, self._pool = self._allocate(1)
        self._data = flat(cohort.X, cohort.Y, cohort.weights, shared)
        self._train = kernel.train[dtype]
        self._seconds = seconds(cohort.network.count, self._plan[SAMPLES], self._lanes) / threads
        self._exact = None
        if full and exact.fits(self._plan):
            registers = exact.registers(cohort.network, len(cohort.numbers), self._lanes)
            self._exact = exact.kernel_for(*self._kind, registers)
            self._exact_plan, self._exact_pool = self._allocate(registers)
            self._lanes *= registers
        self.block = threads * self._lanes
        self.speed = 1 / self._seconds

    def _allocate(self, registers: int) -> tuple[np.ndarray, queue.SimpleQueue[Buffers]]:
        """The plan, and buffers for each thread, for vectors of so many registers."""
        cohort = self._cohort
        plan, length = layout(*self._step, registers)
        length += choices.MAX_RECORDED_COSTS * LANES[cohort.X.dtype.itemsize] * registers
        pool: queue.SimpleQueue[Buffers] = queue.SimpleQueue()
        for _ in range(self._threads):
            pool.put(Buffers(cohort.network, cohort.X.dtype, plan, length, registers))
        return plan, pool

    def advance(
        self,
        state: CohortState,
        which: Integers,
        steps: Integers,
        first: Integers,
        interval: int,
        targets: Array | None = None,
    ) -> CohortProgress:
        progress, more = self._take(state, which, steps, first, interval, targets)
        left = np.flatnonzero(more)
        while len(left):  # add what these take to how far all have moved
            done, further = progress.good[left], more[left]
            following = np.where(done < first[left], first[left] - done, (first[left] - done) % interval)
            if progress.finished is not None:  # these have been recorded for the last time
                following = np.where(progress.finished[left], further, following)
            given = None if targets is None else targets[left]
            then, further = self._take(progress.state.take(left), which[left], further, following, interval, given)
            progress.state.put(left, then.state)
            progress.good[left] += then.good
            if progress.finished is not None and then.finished is not None:
                progress.finished[left] |= then.finished
            recorded = -(-np.maximum(done - first[left], 0) // interval)
            rows, columns = np.nonzero(then.costs == then.costs)
            progress.costs[left[rows], recorded[rows] + columns] = then.costs[rows, columns]
            more[left] = further
            left = left[further > 0]
        return progress

    def _take(
        self,
        state: CohortState,
        which: Integers,
        steps: Integers,
        first: Integers,
        interval: int,
        targets: Array | None,
    ) -> tuple[CohortProgress, Integers]:
        """See `advance`; and how many more steps each is to take, beside others."""
        cohort, n = self._cohort, len(which)
        records = np.where(first < steps, (steps - 1 - first) // interval + 1, 0)
        most = int(records.max(initial=0))
        rates, unrated = _NO_NUMBERS, np.zeros(n, np.int64)
        if schedule_of(cohort.optimizer) is not None and n:
            begin = int(state.completed.min())
            rates = cohort.rates(begin, int((state.completed + steps).max()) - begin)
            rated = np.clip(begin + rates.size - state.completed, 0, steps)
            unrated, steps = steps - rated, rated  # whoever has come to the end of these asks again, or has stopped
        call, members = np.zeros(kernel.CALL_FIELDS, np.int64), np.zeros((n, kernel.MEMBER_FIELDS), np.int64)
        call[kernel.KIND], call[kernel.PENALIZED] = self._kind[-2:]
        call[kernel.INTERVAL], call[kernel.RECORDS] = interval, most
        call[kernel.BATCH], call[kernel.ALL] = self._batch, cohort.X.shape[-1]
        call[kernel.WEIGHED], call[kernel.SCIKIT] = cohort.weights is not None, cohort.scikit
        call[kernel.OWN_X], call[kernel.OWN_Y] = cohort.X.ndim == 3, cohort.Y.ndim == 3
        call[kernel.TARGETS] = targets is not None
        members[:, kernel.MEMBER_INDEX], members[:, kernel.STEPS], members[:, kernel.FIRST] = which, steps, first
        members[:, kernel.TAKEN], members[:, kernel.GOOD] = state.completed, -1
        numbers = self._numbers(which, state.powers, targets)
        both = np.concatenate([state.theta[:, None], state.memory], axis=1)
        costs = np.full(n * most, np.nan)
        orders = _NO_ORDERS
        if rates.size:
            call[kernel.RATES], call[kernel.FIRST_RATE] = 1, begin
        if self._batch and n:
            orders = self._orders(which, state.completed, steps, members)
            call[kernel.ORDER] = orders.shape[1]
        self._run(
            (call, members.ravel(), numbers.ravel(), both.ravel(), *self._data, orders.ravel(), rates, costs),
            self._kernel(which, state.completed),
            int(steps.max(initial=1)),
            members,
        )
        good, more = members[:, kernel.GOOD].copy(), members[:, kernel.REMAINING].copy()
        more += unrated * ((good + more == steps) & (members[:, kernel.REACHED] == 0))
        powers = numbers[:, update.POWERS].copy()
        after = CohortState(both[:, 0], both[:, 1:], powers, state.completed + good)
        finished = None if targets is None else members[:, kernel.REACHED] != 0
        return CohortProgress(after, good, costs.reshape(n, most), finished), more

    def _run(self, arrays: tuple[Array, ...], train: Callable, steps: int, members: Integers) -> None:
        """Have threads take the steps, for some networks at a time."""
        n, networks_per_call, began = len(members), self._networks_per_call(steps, len(members)), time.perf_counter()
        plan, pool = (self._plan, self._pool) if train is self._train else (self._exact_plan, self._exact_pool)

        def some(number: int) -> None:
            buffers = pool.get()
            stop = min(n, (number + 1) * networks_per_call)
            train(plan, buffers.work, buffers.hyper, buffers.lane_state, *arrays, number * networks_per_call, stop)
            pool.put(buffers)

        parallel_for(-(-n // networks_per_call), self._threads, some)
        self._took(int(members[:, kernel.GOOD].sum()), time.perf_counter() - began, train)

    def _kernel(self, which: Integers, completed: Integers) -> Callable:
        """The one for these exact sizes, where that pays."""
        dtype = self._cohort.X.dtype
        if self._exact is not None:
            left = float((self._cohort.iterations[which] - completed).sum()) * self._seconds
            if exact.pays_off(self._exact, dtype, left, _general_kernel_seconds[self._kind]):
                return exact.code(self._exact, dtype) or self._train
        return self._train

    def _networks_per_call(self, steps: int, n: int) -> int:
        """Networks in one call of the kernel: whole groups; for several threads so few that these end together."""
        in_a_second = self.speed / self._threads / steps
        wanted = in_a_second * choices.MAX_CALL_SECONDS
        if self._threads > 1:
            piece = min(in_a_second * choices.MAX_SHARD_SECONDS, n / (choices.SHARDS_PER_THREAD * self._threads))
            wanted = max(in_a_second * choices.MIN_SHARD_SECONDS, piece)
        return math.ceil(max(1, wanted) / self._lanes) * self._lanes

    def _took(self, steps: int, seconds: float, train: Callable) -> None:
        """So many steps, of all networks together, took so long."""
        if steps:
            self.speed = steps / max(seconds, 1e-9)
        if self._exact is not None and train is self._train:
            _general_kernel_seconds[self._kind] += steps * self._seconds

    @cached_property
    def _penalized(self) -> bool:
        l2, l1, clip = self._cohort.penalties.T
        return bool(l2.any() or l1.any() or np.isfinite(clip).any())

    def _numbers(self, which: Integers, powers: Array, targets: Array | None) -> Array:
        """See `kernel.NUMBER_FIELDS`."""
        given = self._cohort.numbers
        numbers = np.zeros((len(which), kernel.NUMBER_FIELDS))
        numbers[:, update.RATE : update.RATE + given.shape[1]] = given.take(which, axis=0)
        numbers[:, update.POWERS] = powers
        if self._penalized:
            numbers[:, update.L2 : update.CLIP + 1] = self._cohort.penalties.take(which, axis=0)
        numbers[:, kernel.TARGET_COST] = -np.inf if targets is None else targets
        return numbers

    def _orders(self, which: Integers, completed: Integers, steps: Integers, members: Array) -> Array:
        """For each network the samples of its next steps, (n, most); and in `members`, where its epochs end."""
        cohort, rows = self._cohort, []
        known: dict[tuple[int, ...], Array] = {}  # members that differ in numbers often have the same seed
        for i, member in enumerate(which.tolist()):
            done, wanted = int(completed[i]), int(steps[i])
            there = None if cohort.weights is None else np.flatnonzero(cohort.weights[member])
            own = None if cohort.own is None else cohort.own[member]
            samples = cohort.X.shape[-1] if there is None else len(there)
            samples = samples if own is None else own.samples
            batch = min(cohort.batch_size or samples, samples)
            per_epoch = samples // batch if cohort.drop_last else -(-samples // batch)
            in_epoch = per_epoch * batch if cohort.drop_last else samples
            epoch, number = divmod(done, per_epoch)
            span = epoch, max(1, -(-(number + wanted) // per_epoch))
            if own is not None:
                drawn = own.orders.orders(*span)
            else:
                key = int(cohort.seeds[member]), samples, *span
                if key not in known:
                    known[key] = _orders(key[0], samples, cohort.shuffled).orders(*span)
                drawn = known[key]
            order = drawn[:, :in_epoch].ravel()[number * batch :]
            rows.append((order if there is None else there[order], 0 if own is None else own.first))
            members[i, kernel.EPOCH], members[i, kernel.EPOCH_REMAINING] = in_epoch, in_epoch - number * batch
        orders = np.zeros((len(rows), max(len(order) for order, _first in rows)), np.int64)
        for row, (order, first) in zip(orders, rows, strict=True):
            np.add(order, first, out=row[: len(order)])
        return orders

    def close(self) -> None:
        """Nothing is kept."""
