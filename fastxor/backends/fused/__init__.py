"""The numba backend: every operation is one call of a compiled kernel."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from itertools import cycle

import numpy as np

from fastxor.network import Network
from fastxor.optimizers import SGD
from fastxor.pace import Pace
from fastxor.training import Run
from fastxor.views import Array

from . import kernels, specialised, workspace
from ._jit import VECTOR_BITS

# Operations of a step from which on a second thread pays, although it has to be started and waited for.
_WORTH_THREADS = 1e6

# Bytes of a matrix that may be copied for a run of mini-batches.
_SMALL = 1 << 20

_WITH_GRADIENT = kernels.EVALUATE, kernels.BACKWARD

_ALL = np.empty(0, np.int64)  # as an order: all samples, in theirs
_ALONE = np.zeros(0, np.int64)  # as what threads share
_WORK = 2  # the place of `work` among the engine's arguments

# A workspace up to this size is kept for the next call: making it would take longer than a small network's pass.
_KEPT_BYTES = 256 * 1024


def sigmoid(z: Array) -> Array:
    """1 / (1 + e**-z), elementwise."""
    lanes = VECTOR_BITS // 8 // z.itemsize
    work = np.zeros(-(-z.size // lanes) * lanes, z.dtype)
    work[: z.size] = z.ravel()
    kernels.logistic[z.dtype](work)
    return work[: z.size].reshape(z.shape)


def forward(network: Network, theta: Array, X: Array) -> Array | None:
    """The activations A1, A2, … of every layer in one vector."""
    activations = np.empty(sum(network.sizes[1:]) * X.shape[1], theta.dtype)
    return activations if _pass(kernels.FORWARD, network, theta, X, X, activations) else None


def outputs(network: Network, theta: Array, X: Array) -> Array | None:
    """The activations of the last layer alone."""
    A = np.empty((network.sizes[-1], X.shape[1]), theta.dtype)
    return A if _pass(kernels.PREDICT, network, theta, X, X, A.ravel()) else None


def loss(network: Network, theta: Array, X: Array, Y: Array) -> float | None:
    """The cost."""
    result = _pass(kernels.COST, network, theta, X, Y, theta)
    return result and result[0]


def gradient(network: Network, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
    """The cost and its flat gradient."""
    return _pass(kernels.EVALUATE, network, theta, X, Y, theta)


def backward(network: Network, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
    """Flat gradient of the tutorial's cost, for the activations that `forward` returned."""
    result = _pass(kernels.BACKWARD, network, theta, X, Y, activations)
    return result and result[1]


def cost(A: Array, Y: Array) -> float | None:
    """Cross-entropy of the probabilities A, averaged over samples."""
    value = float(kernels.cost[A.dtype](_flat(A), _flat(Y), A.shape[1]))
    return value if value == value else None


def update(theta: Array, gradient: Array, learning_rate: float) -> Array | None:
    """theta after one step of gradient descent."""
    after = np.empty(theta.size, theta.dtype)
    return after if kernels.update[theta.dtype](theta, gradient, learning_rate, after) else None


def train(
    run: Run,
    X: Array,
    Y: Array,
    iterations: int,
    batch_size: int | None,
    interval: int,
    report: Callable[[int, float], None] | None,
    threads: int | None,
) -> None:
    """Train up to step `iterations`; see `fastxor.backends.Backend`."""
    network, samples = run.network, X.shape[1]
    at_once = min(batch_size or samples, samples)
    narrow = at_once * run.theta.itemsize <= VECTOR_BITS // 8
    plan = workspace.plan(network, at_once, run.theta.dtype, narrow)
    threads = _useful_threads(threads, plan, network.count, at_once)
    work = workspace.allocate(plan, threads, run.theta.dtype)
    theta = work[: network.count]  # THETA stands first
    theta[:] = run.theta
    moments = [work[start : start + network.count] for start in plan.moments]
    for moment, kept in zip(moments, run.moments, strict=False):
        moment[:] = kept
    hyper = _hyper(run, ring=threads * (1 + int(plan.entries[workspace.AHEAD])))
    X, X_by_sample = _laid_out(X, batch_size is not None)
    Y, Y_by_sample = _laid_out(Y, batch_size is not None)
    by_sample = X_by_sample + 2 * Y_by_sample
    special = None
    if narrow and batch_size is None and specialised.fits(network, run.optimizer):
        special = specialised.kernel_for(network, samples, run.theta.dtype)
    speed = 5e9 / (3 * network.count * at_once + 500)  # of the engine, in steps per second; a first guess
    pace = Pace(speed)
    begins = special and specialised.pays_off(special, theta.dtype, iterations / speed)
    begun = run.completed
    while run.completed < iterations and not run.diverged:
        started = time.perf_counter()
        loads = begins and run.completed == begun  # the engine loads the samples, then makes way
        steps = 1 if loads else min(pace.steps, iterations - run.completed)
        order = _ALL
        if batch_size is not None:
            run.draw(samples, -(-steps // -(-samples // batch_size)))
            order = run.order[run.position :]
            steps = min(steps, run.steps_drawn(samples, batch_size))
        first = -run.completed % interval
        costs = np.empty((steps - 1 - first) // interval + 1 if first < steps else 0)
        good = 0
        left = (iterations - run.completed) / speed
        use_special = special and run.completed > begun and specialised.pays_off(special, theta.dtype, left)
        if use_special:  # on the samples that the engine has loaded into `work`
            train_special = specialised.code(special, theta.dtype)
            use_special = train_special is not None
        if use_special:
            fine = train_special(work, costs, steps, run.optimizer.learning_rate, first, interval)
            if fine and np.isfinite(theta).all() and np.isfinite(costs).all():
                good = steps
            else:
                theta[:], use_special, special = run.theta, False, None
        if not use_special:
            costs.fill(np.nan)
            good = _together(
                threads,
                (kernels.TRAIN, plan.entries, work, X, Y, by_sample, samples, order, at_once, theta, costs, hyper),
                (steps, first, interval),
            )
        done = run.completed
        for kept, moment in zip(run.moments, moments, strict=False):
            kept[:] = moment
        run.powers[:] = hyper[kernels.POWER1 : kernels.POWER2 + 1]
        position = run.position_after(good, samples, batch_size)
        # All right sides first: Ctrl-C does not come between these assignments.
        run.theta, run.completed, run.diverged, run.position = theta.copy(), done + good, good < steps, position
        for iteration, value in zip(range(done + first, done + steps, interval), costs.tolist(), strict=True):
            if value == value:
                run.costs[iteration] = value
                if report:
                    report(iteration, value)
        seconds = time.perf_counter() - started
        if not loads:
            pace.took(steps, seconds)
            speed = speed if use_special else steps / seconds


def _useful_threads(threads: int | None, plan: workspace.Plan, parameters: int, samples: int) -> int:
    """How many threads a run takes: no more than a step has tiles, and by default one for steps of little work."""
    if threads is None:
        threads = available_cores() if 6 * parameters * samples > _WORTH_THREADS else 1
    return min(threads, -(-samples // int(plan.entries[workspace.WIDTH])))


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _together(threads: int, arguments: tuple, steps: tuple) -> int:
    """One call of the engine by each of several threads; how many steps were good."""
    engine = kernels.engine[arguments[_WORK].dtype]
    if threads == 1:
        return engine(*arguments, *steps, _ALONE, -1)
    ring = arguments[-1].size - kernels.HYPER
    shared = np.zeros(kernels.RING + kernels.LINE * (ring + threads), np.int64)
    shared[kernels.YIELD], shared[kernels.TILES] = _address_of_yield(), ring
    shared[kernels.RING + kernels.COME] = 1  # before the first tile there is none
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
    return int(shared[kernels.GOOD])


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


def warmup() -> None:
    """Compile every kernel for float64 and float32, or load it from the cache."""
    network = Network((1, 1))
    for dtype in (np.float64, np.float32):
        theta = np.zeros(network.count, dtype)
        X = np.zeros((1, 1), dtype)
        sigmoid(theta)
        cost(X, X)
        update(theta, theta, 1.0)
        forward(network, theta, X)


class _Desk:
    """What one pass works on, with the views of it that Python needs. It serves one call at a time, many in turn."""

    __slots__ = ("cost", "engine", "gradient", "hyper", "plan", "theta", "work")

    def __init__(self, network: Network, samples: int, dtype: np.dtype) -> None:
        plan = workspace.plan(network, samples, dtype, narrow=samples * dtype.itemsize <= VECTOR_BITS // 8)
        self.plan = plan.entries
        self.work = workspace.allocate(plan, 1, dtype)
        self.theta = self.work[: network.count]  # THETA stands first
        self.gradient = self.work[plan.gradient : plan.gradient + network.count]
        self.cost, self.hyper = np.empty(1), np.zeros(kernels.HYPER)
        self.engine = kernels.engine[dtype]


@lru_cache(maxsize=32)
def _idle_desks(network: Network, samples: int, dtype: np.dtype) -> list[_Desk]:
    """The desks that no call is using; a call takes one away, which is atomic, or makes one."""
    return []


def _pass(
    task: int, network: Network, theta: Array, X: Array, Y: Array, activations: Array
) -> tuple[float, Array] | None:
    """One pass of the engine over all samples: the cost and the gradient, or None if it found a bad value."""
    samples = X.shape[1]
    idle = _idle_desks(network, samples, theta.dtype)
    try:
        desk = idle.pop()
    except IndexError:
        desk = _Desk(network, samples, theta.dtype)
    desk.theta[...] = theta
    X_flat, X_by_sample = _laid_out(X)
    Y_flat, Y_by_sample = (X_flat, X_by_sample) if Y is X else _laid_out(Y)
    good = desk.engine(
        task,
        desk.plan,
        desk.work,
        X_flat,
        Y_flat,
        X_by_sample + 2 * Y_by_sample,
        samples,
        _ALL,
        samples,
        activations,
        desk.cost,
        desk.hyper,
        1,
        1,
        1,
        _ALONE,
        -1,
    )
    if not good:
        return None  # and nobody meets the bad value again
    result = desk.cost.item(), desk.gradient.copy() if task in _WITH_GRADIENT else theta
    if desk.work.nbytes <= _KEPT_BYTES:
        idle.append(desk)
    return result


def _hyper(run: Run, ring: int) -> np.ndarray:
    """The optimizer as the kernels read it, and room for the cost of a step and of the tiles in the threads' ring."""
    optimizer = run.optimizer
    costs = np.zeros(1 + ring)
    if isinstance(optimizer, SGD):
        kind = kernels.NESTEROV if optimizer.nesterov else kernels.MOMENTUM if optimizer.momentum else kernels.PLAIN
        return np.array([kind, optimizer.learning_rate, optimizer.momentum, 0.0, 0.0, *run.powers, *costs])
    settings = optimizer.learning_rate, optimizer.beta1, optimizer.beta2, optimizer.epsilon
    return np.array([kernels.ADAM, *settings, *run.powers, *costs])


def _laid_out(array: Array, shuffled: bool = False) -> tuple[Array, bool]:
    """A matrix (rows, samples) as a vector, and whether that holds one sample after the other instead of the rows.

    Either order is taken as it stands. Samples in a shuffled order are found faster where each is in one piece, so
    that a small matrix is copied for it.
    """
    flags = array.flags
    if flags.carray and not shuffled:
        return array.ravel(), False
    by_sample = (flags.f_contiguous and not flags.c_contiguous) or (shuffled and array.nbytes <= _SMALL)
    return _flat(array.T if by_sample else array), by_sample


def _flat(array: Array) -> Array:
    """All elements, row by row, as a vector of the one kind that kernels are compiled for: aligned and writable."""
    return array.ravel() if array.flags.carray else array.flatten()
