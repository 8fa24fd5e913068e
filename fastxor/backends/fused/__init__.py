"""The numba backend: every operation is one call of a compiled kernel."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fastxor.network import Network
from fastxor.optimizers import SGD
from fastxor.training import Run
from fastxor.views import Array

from . import kernels, specialised, workspace
from ._jit import VECTOR_BITS

# A run is handed to the compiled loop in pieces of about this long, so that Ctrl-C and reports get through.
_PIECE_SECONDS = 0.1

_ALL = np.empty(0, np.int64)  # as an order: all samples, in theirs
_NO_HYPER = np.zeros(7)


def sigmoid(z: Array) -> Array:
    """1 / (1 + e**-z), elementwise."""
    lanes = VECTOR_BITS // 8 // z.itemsize
    work = np.zeros(-(-z.size // lanes) * lanes, z.dtype)
    work[: z.size] = z.ravel()
    kernels.logistic(work)
    return work[: z.size].reshape(z.shape)


def forward(network: Network, theta: Array, X: Array) -> Array | None:
    """The activations A1, A2, … of every layer in one vector."""
    activations = np.empty(sum(network.sizes[1:]) * X.shape[1], theta.dtype)
    work, _cost = _pass(kernels.FORWARD, network, theta, X, X, activations)
    return None if work is None else activations


def gradient(network: Network, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
    """The cost and its flat gradient."""
    work, cost = _pass(kernels.EVALUATE, network, theta, X, Y, theta)
    return None if work is None else (cost, _gradient_in(work, network, X))


def backward(network: Network, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
    """Flat gradient of the tutorial's cost, for the activations that `forward` returned."""
    work, _cost = _pass(kernels.BACKWARD, network, theta, X, Y, activations)
    return None if work is None else _gradient_in(work, network, X)


def cost(A: Array, Y: Array) -> float | None:
    """Cross-entropy of the probabilities A, averaged over samples."""
    value = float(kernels.cost(_flat(A), _flat(Y), A.shape[1]))
    return value if value == value else None


def update(theta: Array, gradient: Array, learning_rate: float) -> Array | None:
    """theta after one step of gradient descent."""
    after = np.empty_like(theta)
    return after if kernels.update(theta, gradient, learning_rate, after) else None


def train(
    run: Run,
    X: Array,
    Y: Array,
    iterations: int,
    batch_size: int | None,
    interval: int,
    report: Callable[[int, float], None] | None,
) -> None:
    """Train up to step `iterations`; see `fastxor.backends.Backend`."""
    network, samples = run.network, X.shape[1]
    at_once = min(batch_size or samples, samples)
    narrow = at_once * run.theta.itemsize <= VECTOR_BITS // 8
    plan = workspace.plan(network, at_once, run.theta.dtype, narrow)
    work = _workspace(plan.length, run.theta.dtype)
    theta = work[: network.count]  # THETA stands first
    theta[:] = run.theta
    moments = [work[start : start + network.count] for start in plan.moments]
    for moment, kept in zip(moments, run.moments, strict=False):
        moment[:] = kept
    hyper = _hyper(run)
    X, Y = _flat(X), _flat(Y)
    special = None
    if narrow and batch_size is None and specialised.fits(network, run.optimizer):
        special = specialised.kernel_for(network, samples, run.theta.dtype)
    speed = 5e9 / (3 * network.count * at_once + 500)  # of the engine, in steps per second; a first guess
    piece = int(_PIECE_SECONDS * speed)
    if special and specialised.pays_off(special, iterations / speed):
        piece = 1  # the engine loads the samples, then makes way
    begun = run.completed
    while run.completed < iterations and not run.diverged:
        started = time.perf_counter()
        steps = min(max(1, piece), iterations - run.completed)
        order = _ALL
        if batch_size is not None:
            run.start_epoch_if_due(samples)
            order = run.order[run.position :]
            steps = min(steps, -(-order.size // batch_size))
        first = -run.completed % interval
        costs = np.empty((steps - 1 - first) // interval + 1 if first < steps else 0)
        good = 0
        left = (iterations - run.completed) / speed
        use_special = special and run.completed > begun and specialised.pays_off(special, left)
        if use_special:  # on the samples that the engine has loaded into `work`
            fine = special(work, costs, steps, run.optimizer.learning_rate, first, interval)
            if fine and np.isfinite(theta).all() and np.isfinite(costs).all():
                good = steps
            else:
                theta[:], use_special, special = run.theta, False, None
        if not use_special:
            costs.fill(np.nan)
            good = kernels.engine(
                kernels.TRAIN,
                plan.entries,
                work,
                X,
                Y,
                samples,
                order,
                at_once,
                theta,
                costs,
                hyper,
                steps,
                first,
                interval,
            )
        done = run.completed
        for kept, moment in zip(run.moments, moments, strict=False):
            kept[:] = moment
        run.powers[:] = hyper[kernels.POWER1 :]
        position = run.position + min(good * at_once, order.size)
        # All right sides first: Ctrl-C does not come between these assignments.
        run.theta, run.completed, run.diverged, run.position = theta.copy(), done + good, good < steps, position
        for iteration, value in zip(range(done + first, done + steps, interval), costs.tolist(), strict=True):
            if value == value:
                run.costs[iteration] = value
                if report:
                    report(iteration, value)
        now = steps / (time.perf_counter() - started)
        speed = speed if use_special or steps == 1 else now
        piece = int(_PIECE_SECONDS * (speed if steps == 1 else now))


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


def _pass(
    task: int, network: Network, theta: Array, X: Array, Y: Array, activations: Array
) -> tuple[Array | None, float]:
    """One pass of the engine over all samples: its workspace, or None if it found a bad value, and the cost."""
    samples = X.shape[1]
    plan = workspace.plan(network, samples, theta.dtype)
    work = _workspace(plan.length, theta.dtype)
    work[: network.count] = theta  # THETA stands first
    costs = np.empty(1)
    good = kernels.engine(
        task, plan.entries, work, _flat(X), _flat(Y), samples, _ALL, samples, activations, costs, _NO_HYPER, 1, 1, 1
    )
    return work if good else None, costs.item()


def _workspace(length: int, dtype: np.dtype) -> Array:
    """Zeros that begin at a multiple of the vector's size: a vector across two cache lines is loaded as two."""
    size = VECTOR_BITS // 8
    memory = np.zeros(length * dtype.itemsize + size, np.uint8)
    return memory[-memory.ctypes.data % size :][: length * dtype.itemsize].view(dtype)


def _gradient_in(work: Array, network: Network, X: Array) -> Array:
    start = workspace.plan(network, X.shape[1], work.dtype).gradient
    return work[start : start + network.count].copy()


def _hyper(run: Run) -> np.ndarray:
    """The optimizer as the kernels read it."""
    optimizer = run.optimizer
    if isinstance(optimizer, SGD):
        kind = kernels.NESTEROV if optimizer.nesterov else kernels.MOMENTUM if optimizer.momentum else kernels.PLAIN
        return np.array([kind, optimizer.learning_rate, optimizer.momentum, 0.0, 0.0, *run.powers])
    settings = optimizer.learning_rate, optimizer.beta1, optimizer.beta2, optimizer.epsilon
    return np.array([kernels.ADAM, *settings, *run.powers])


def _flat(array: Array) -> Array:
    """All elements, row by row, as a vector that kernels compiled for writable arrays take."""
    flat = array.ravel()
    return flat if flat.flags.writeable else flat.copy()
