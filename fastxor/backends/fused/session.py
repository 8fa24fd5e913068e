"""A run in the hands of the fused core: the engine's calls, those of a specialised kernel, and what is between them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from fastxor.architecture import Architecture
from fastxor.optimizers import Memory, Optimizer, schedule_of, with_rate
from fastxor.penalties import NONE, Penalties
from fastxor.state import Job, State
from fastxor.time_slice import MAX_BLOCKING_SECONDS, run_interruptible
from fastxor.views import Array

from . import choices, kernels, specialised, update, workspace
from ._jit import VECTOR_BITS
from .pool import Pool
from .threads import ALONE, ThreadTuner, default_threads, run_threads, useful_threads

ALL = np.empty(0, np.int64)  # as an order: all samples, in theirs

# Seconds that the engine has spent on a network, a number of samples and a dtype for which there can be a specialised
# kernel: many short runs are as good a reason to compile it as a long one.
_engine_seconds: dict[tuple, float] = defaultdict(float)

# A first guess of the engine's speed, some times too low on most machines: Ctrl-C waits for what it makes of it. What a
# vector of multiply-adds takes, and what is on top of them in a step.
_SECONDS_PER_VECTOR = 0.8e-9
_SECONDS_PER_STEP = 1e-7


class _Buffers:
    """What a run works on, and all that follows from its kind alone."""

    def __init__(
        self,
        network: Architecture,
        batch: int,
        dtype: np.dtype,
        optimizer: Optimizer,
        penalties: Penalties,
        rates: int,
        threads: int,
        scikit: bool,
    ) -> None:
        narrow = batch * dtype.itemsize <= VECTOR_BITS // 8
        plan = workspace.plan(network, batch, dtype, narrow)
        self.threads, self.lockstep = useful_threads(threads, network, batch, plan)
        self.plan = plan.entries
        self.work = workspace.allocate(plan, self.threads, dtype)
        self.theta = self.work[: network.count]  # THETA stands first
        moments = self.work[plan.moments : plan.weights].reshape(2, -1)
        self.rows = moments[: optimizer._rows, : network.count]
        if optimizer._spares_biases or penalties != NONE:
            self.work[plan.weights :][: network.count] = network._weight_mask(dtype)
        tile_costs = self.threads * (1 + int(self.plan[workspace.GRADIENT_BUFFERS]))
        self.hyper = update.numbers(optimizer, tile_costs, penalties, rates, scikit)
        row = 3 * int(self.plan[workspace.PADDED])  # of a snapshot: theta and the optimizer's vectors
        self.snapshot_capacity = min(choices.MAX_SNAPSHOTS, choices.SNAPSHOT_BYTES // dtype.itemsize // row)
        self.snapshot_states = np.empty((0, 3, row // 3), dtype)  # none until a run wants some
        self.snapshots = self.snapshot_states.ravel()
        self.rates = self.hyper[self.hyper.size - rates :]
        self.powers = self.hyper[update.POWERS]
        self.engine = kernels.engine[dtype]


_pool = Pool(_Buffers)


class Session:
    """See `fastxor.backends.Session`."""

    finished = False
    snapshot_interval = 0

    def __init__(self, job: Job, state: State) -> None:
        network, dtype, samples = job.network, state.theta.dtype, job.samples
        self._job, self._state = job, state
        self._batch = min(job.batch_size or samples, samples)
        self._scheduled = schedule_of(job.optimizer) is not None
        optimizer, rates = job.optimizer, 0
        if self._scheduled:
            optimizer, rates = with_rate(optimizer, 0.0), choices.RATES_PER_CALL
        threads = job.threads or default_threads(network, self._batch)
        self._shelf = _pool.shelf(network, self._batch, dtype, optimizer, job.penalties, rates, threads, job.scikit)
        self._buffers = self._shelf.take()
        self.snapshot_capacity = self._buffers.snapshot_capacity
        self._first_snapshot = 0
        alone = self._buffers.threads == 1
        self._tuner = ALONE if alone else ThreadTuner(self._buffers.threads, job.threads is None)
        shuffled = job.batch_size is not None
        # Where an epoch leaves samples out, the engine is not told of the others, which rows of all samples would have.
        epochs = (job.iterations - state.completed) / job.steps_per_epoch if shuffled else 0
        transposed = job.drop_last or epochs >= 1
        small = choices.MAX_TRANSPOSED_BYTES * epochs if shuffled else -1
        self._X, X_by_sample = flattened(job.X, transposed or job.X.nbytes <= small)
        self._Y, Y_by_sample = flattened(job.Y, transposed or job.Y.nbytes <= small)
        self._by_sample = X_by_sample + 2 * Y_by_sample
        self._special = None
        plain = job.penalties == NONE and job.weights is None and not self._scheduled
        fits = plain and not shuffled and specialised.fits(network, job.optimizer, samples, dtype)
        self._sample_weights = np.empty(0, dtype) if job.weights is None else job.weights
        if fits:
            self._special = specialised.kernel_for(network, samples, dtype)
        self._key = network, samples, dtype
        self._fetched = False
        self._costs: list[tuple[int, int, np.ndarray]] = []  # of the last `advance`: first step, interval, numbers
        drawing = (1e-5 + 1e-8 * samples) / job.steps_per_epoch if shuffled else 0.0  # the order of an epoch
        vectors = 3 * network.count * self._batch * dtype.itemsize * 8 / VECTOR_BITS  # multiplied and added
        self.speed = 1 / (vectors * _SECONDS_PER_VECTOR + _SECONDS_PER_STEP + drawing)
        self._restore()

    def state(self) -> State:
        return self._state

    def close(self) -> None:
        """No more steps are to come: the next run of the kind may have what this one worked on."""
        self._shelf.give(self._buffers)

    @property
    def recorded(self) -> dict[int, float]:
        costs: dict[int, float] = {}
        for first, interval, some in self._costs:
            costs |= zip(range(first, first + interval * some.size, interval), some.tolist(), strict=True)
        return costs

    @property
    def snapshot_thetas(self) -> dict[int, Array]:
        if not self.snapshot_interval:
            return {}
        iterations = range(self._first_snapshot, self._state.completed + 1, self.snapshot_interval)
        return dict(zip(iterations, self._buffers.snapshot_states[:, 0, : self._buffers.theta.size], strict=False))

    def snapshot(self, iteration: int) -> State:
        buffers, number = self._buffers, (iteration - self._first_snapshot) // self.snapshot_interval
        row = buffers.snapshot_states[number, :, : buffers.theta.size].copy()
        place = update.SNAPSHOT_POWERS + 2 * number
        memory = self._state.memory  # see `_take_over`
        if len(buffers.rows):
            memory = Memory(row[1 : 1 + len(buffers.rows)], buffers.hyper[place : place + 2].copy())
        return State(row[0], memory, iteration)

    def advance(self, steps: int, first: int, interval: int) -> tuple[int, list[float]]:
        self._costs = []
        self._buffers.hyper[update.SNAPSHOT_INTERVAL] = self.snapshot_interval
        if self.snapshot_interval:
            self._first_snapshot = (self._state.completed // self.snapshot_interval + 1) * self.snapshot_interval
            if not self._buffers.snapshots.size:
                self._buffers.snapshot_states = np.empty(
                    (self.snapshot_capacity, *self._buffers.snapshot_states.shape[1:]), self._state.theta.dtype
                )
                self._buffers.snapshots = self._buffers.snapshot_states.ravel()
        steps_done = 0
        while steps_done < steps:
            max_steps = min(steps - steps_done, self._tuner.max_steps(self.speed))
            if self._scheduled:  # perhaps not so far
                rates = self._job.rates(self._state.completed, min(max_steps, choices.RATES_PER_CALL))
                max_steps = rates.size
                self._buffers.rates[:max_steps] = rates
            chunk, order = self._next(max_steps)
            good = self._take(chunk, order, first, interval)
            first = first - chunk if first >= chunk else -(chunk - first) % interval
            steps_done += good
            if good < chunk:
                break
        return steps_done, [cost for _first, _interval, some in self._costs for cost in some.tolist()]

    def _next(self, steps: int) -> tuple[int, np.ndarray]:
        """How many of so many steps to take at once, and the order of their samples, from where the run is."""
        size = self._job.batch_size
        if size is None:
            return steps, ALL
        per_epoch = self._job.steps_per_epoch
        epoch, number = divmod(self._state.completed, per_epoch)
        alone, together = choices.SHUFFLED_SAMPLES_PER_CALL, choices.SHUFFLED_SAMPLES_PER_THREADED_CALL
        drawn = alone if self._tuner.size == 1 else together
        max_steps = max(1, drawn // self._job.samples) * per_epoch - number
        steps = min(steps, max_steps)
        orders = self._job.shuffle.orders(epoch, -(-(number + steps) // per_epoch))
        return steps, orders[:, : self._job.samples_per_epoch].ravel()[number * size :]

    def _take(self, steps: int, order: np.ndarray, first: int, interval: int) -> int:
        """Take the steps, whose samples stand at the order's beginning; how many were good."""
        costs = np.empty((steps - 1 - first) // interval + 1 if first < steps else 0)
        costs.fill(np.nan)
        train = self._specialised()
        if train is not None:
            fine = self._in_parts(train, steps, costs, first, interval)
            if not (fine and np.isfinite(self._buffers.theta).all() and np.isfinite(costs).all()):
                train, self._special = None, None  # the engine finds out where it went wrong
                self._restore()
                costs.fill(np.nan)
        if train is None:
            good = self._run(steps, order, costs, first, interval)
            if good < steps:  # what the optimizer remembers is that of the step that failed
                self._restore()
                self._run(good, order, np.empty(0), good, 1)
        else:
            good = steps
        steps_done = self._state.completed
        known = costs if good == steps else costs[costs == costs]
        self._costs.append((steps_done + first, interval, known))  # before the state
        self._take_over(good)
        return good

    def _specialised(self) -> Callable | None:
        """The machine code of the kernel for the exact sizes, with the samples in place; None where it does not pay."""
        if not self._special:
            return None
        dtype, buffers = self._state.theta.dtype, self._buffers
        left = (self._job.iterations - self._state.completed) / self.speed
        if not specialised.pays_off(self._special, dtype, left, _engine_seconds[self._key]):
            return None
        train = specialised.code(self._special, dtype)
        if train is None:
            self._special = None
        elif not self._fetched:
            kernels.fetch[dtype](buffers.plan, buffers.work, self._X, self._Y, self._by_sample, self._job.samples)
            self._fetched = True
        return train

    def _in_parts(self, train: Callable, steps: int, costs: np.ndarray, first: int, interval: int) -> bool:
        """The steps by a specialised kernel, up to one snapshot after the other; are they good?"""
        buffers, rate, steps_done, recorded = self._buffers, self._job.optimizer.learning_rate, 0, 0
        begun, every, fine = self._state.completed, self.snapshot_interval, True
        while steps_done < steps and fine:
            part = steps - steps_done
            if every:
                part = min(part, every - (begun + steps_done) % every)
            fine = train(buffers.work, costs[recorded:], part, rate, first, interval)
            steps_done += part
            recorded += (part - 1 - first) // interval + 1 if first < part else 0
            first = first - part if first >= part else -(part - first) % interval
            if every and (begun + steps_done) % every == 0:
                number = (begun + steps_done - self._first_snapshot) // every
                buffers.snapshot_states[number, 0, : buffers.theta.size] = buffers.theta
        return fine

    def _run(self, steps: int, order: np.ndarray, costs: np.ndarray, first: int, interval: int) -> int:
        """So many steps of the engine; how many were good."""
        if not steps:
            return 0
        began, buffers = time.perf_counter(), self._buffers
        if self.snapshot_interval:
            buffers.hyper[update.FIRST_SNAPSHOT] = self._first_snapshot - self._state.completed
        data = self._X, self._Y, self._by_sample, self._job.samples_per_epoch, order, self._batch, self._sample_weights
        arguments = kernels.TRAIN, buffers.plan, buffers.work, *data, buffers.snapshots, costs, buffers.hyper
        rest = buffers.engine, self._tuner.size, buffers.lockstep, arguments, (steps, first, interval)
        is_long = steps > MAX_BLOCKING_SECONDS * self.speed
        good = run_interruptible(lambda: run_threads(*rest)) if is_long else run_threads(*rest)
        seconds = max(time.perf_counter() - began, 1e-9)
        self.speed = steps / seconds
        self._tuner.took(steps, seconds)
        if self._special:
            _engine_seconds[self._key] += seconds
        return good

    def _restore(self) -> None:
        """Put the state into the workspace."""
        self._buffers.theta[:] = self._state.theta
        self._buffers.rows[...] = self._state.memory.rows
        self._buffers.powers[:] = self._state.memory.powers

    def _take_over(self, steps: int) -> None:
        """Take the state, so many steps further, out of the workspace."""
        buffers, completed, memory = self._buffers, self._state.completed + steps, self._state.memory
        if not len(buffers.rows):  # an optimizer without a memory has the same at every step
            self._state = State(buffers.theta.copy(), memory, completed)
            return
        vectors = np.empty((1 + len(buffers.rows), buffers.theta.size), buffers.theta.dtype)
        vectors[0], vectors[1:] = buffers.theta, buffers.rows
        self._state = State(vectors[0], Memory(vectors[1:], buffers.powers.copy()), completed)


def flattened(array: Array, transposed: bool = False) -> tuple[Array, bool]:
    """A matrix (rows, samples) as a vector, and whether that holds one sample after the other instead of the rows.

    Either order is taken as it stands, but samples in a shuffled order are found faster where each is in one piece:
    `transposed` makes it so, by a copy if need be.
    """
    flags = array.flags
    if flags.carray and not transposed:
        return array.ravel(), False
    if transposed and flags.c_contiguous and not flags.f_contiguous:  # one row is both
        return _by_sample(array).ravel(), True
    by_sample = transposed or (flags.f_contiguous and not flags.c_contiguous)
    return flat(array.T if by_sample else array), by_sample


def _by_sample(array: Array) -> Array:
    """The transpose in C order, copied as many rows at a time as fill a line of the cache: twice as fast as at once."""
    samples = np.empty(array.shape[::-1], array.dtype)
    rows = workspace.CACHE_LINE // array.itemsize
    for start in range(0, len(array), rows):
        samples[:, start : start + rows] = array[start : start + rows].T
    return samples


def flat(array: Array) -> Array:
    """All elements, row by row, as a vector of the one kind that kernels are compiled for: aligned and writable."""
    return array.ravel() if array.flags.carray else array.flatten()
