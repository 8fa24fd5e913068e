"""The numba backend: every operation is one call of a compiled kernel."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastxor.architecture import Architecture
from fastxor.backends import Loss, Pullback, sequential
from fastxor.backends.sequential import SequentialSession
from fastxor.cohort import Cohort, CohortSession
from fastxor.optimizers import Optimizer
from fastxor.time_slice import run_interruptible
from fastxor.views import Array

from . import choices, derivatives, draws, evaluation, jacobian, kernels, population, specialised, workspace
from ._jit import VECTOR_BITS
from .cores import available_cores
from .pool import Pool
from .population import forward as forward_in_lanes
from .session import ALL, Session, flat, flattened
from .threads import UNSHARED
from .update import TILE_COSTS

_EMPTY = {np.dtype(kind): np.empty(0, kind) for kind in (np.float64, np.float32)}
_WITH_GRADIENT = kernels.EVALUATE, kernels.BACKWARD, kernels.PULLBACK


def sigmoid(z: Array) -> Array:
    """1 / (1 + e**-z), elementwise."""
    lanes = VECTOR_BITS // 8 // z.itemsize
    work = np.zeros(-(-z.size // lanes) * lanes, z.dtype)
    work[: z.size] = z.ravel()
    kernels.logistic[z.dtype](work)
    return work[: z.size].reshape(z.shape)


def forward(network: Architecture, theta: Array, X: Array) -> Array | None:
    """The activations A1, A2, … of every layer in one vector."""
    activations = np.empty(sum(network.sizes[1:]) * X.shape[1], theta.dtype)
    return activations if _pass(kernels.FORWARD, network, theta, X, X, activations) else None


def outputs(network: Architecture, theta: Array, X: Array) -> Array | None:
    """The activations of the last layer alone."""
    A = np.empty((network.sizes[-1], X.shape[1]), theta.dtype)
    return A if _pass(kernels.PREDICT, network, theta, X, X, A.ravel()) else None


def loss(network: Architecture, theta: Array, X: Array, Y: Array) -> float | None:
    """The cost."""
    result = _pass(kernels.COST, network, theta, X, Y, theta)
    return result and result[0]


def loss_on(network: Architecture, X: Array, Y: Array) -> Loss:
    """The same as a function of theta."""
    if X.nbytes > choices.MAX_RESIDENT_VALIDATION_BYTES:
        return lambda theta: loss(network, theta, X, Y)
    return evaluation.loss_on(network, X, Y)


def gradient(network: Architecture, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
    """The cost and its flat gradient."""
    return _pass(kernels.EVALUATE, network, theta, X, Y, _EMPTY[theta.dtype])


def weighted(network: Architecture, theta: Array, X: Array, Y: Array, weights: Array) -> tuple[float, Array] | None:
    """The same, of losses that are multiplied by weights (m,)."""
    return _pass(kernels.EVALUATE, network, theta, X, Y, weights)


def backward(network: Architecture, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
    """Flat gradient of the tutorial's cost, for the activations that `forward` returned."""
    result = _pass(kernels.BACKWARD, network, theta, X, Y, activations)
    return result and result[1]


def vjp(network: Architecture, theta: Array, X: Array) -> tuple[Array, Pullback] | None:
    """The outputs, and the way back from them, which begins with what all layers gave."""
    theta, values = theta.copy(), np.empty((sum(network.sizes), X.shape[1]), theta.dtype)
    inputs, outputs = values[: network.sizes[0]], values[-network.sizes[-1] :]
    inputs[...] = X
    if not _pass(kernels.FORWARD, network, theta, inputs, inputs, values[network.sizes[0] :].ravel()):
        return None

    def pullback(dA: Array) -> tuple[Array, Array] | None:
        dX = np.empty(inputs.shape, theta.dtype)
        result = _pass(kernels.PULLBACK, network, theta, values, dA, dX.ravel())
        return result and (result[1], dX)

    return outputs.copy(), pullback


def cost(A: Array, Y: Array) -> float | None:
    """Cross-entropy of the probabilities A, averaged over samples."""
    value = float(kernels.cost[A.dtype](flat(A), flat(Y), A.shape[1]))
    return value if value == value else None


def update(theta: Array, gradient: Array, learning_rate: float) -> Array | None:
    """theta after one step of gradient descent."""
    after = np.empty(theta.size, theta.dtype)
    return after if kernels.descend[theta.dtype](theta, gradient, learning_rate, after) else None


def warmup(network: Architecture | None, samples: int, members: int, optimizer: Optimizer) -> None:
    """Compile the kernels for float64 and float32, or load them from the cache."""
    if members > 1:
        draws.drawn(np.zeros(1, np.int64), 1, 1)  # where members begin
    for dtype in map(np.dtype, (np.float64, np.float32)):
        for kernel in (kernels.engine, kernels.fetch, kernels.logistic, kernels.cost, kernels.descend):
            kernel[dtype]
        if members > 1:
            population.warmup(network, samples, members, optimizer, dtype)
        elif network is not None and specialised.fits(network, optimizer, samples, dtype):
            train = specialised.kernel_for(network, samples, dtype)
            if train:
                specialised.code(train, dtype)


residuals, solve = jacobian.Residuals, jacobian.solve
input_jacobian, hvp = derivatives.input_jacobian, derivatives.hvp
open = Session


def open_cohort(cohort: Cohort) -> CohortSession:
    """Its members, one in each lane or, if they are large, one by one."""
    threads = cohort.threads or available_cores()
    if population.pays_off(cohort):
        return population.Session(cohort, threads)
    kernels.engine[cohort.X.dtype]  # compiled here, or found not to be
    return SequentialSession(cohort, Session, threads)


def cohort_outputs(network: Architecture, theta: Array, X: Array, threads: int | None) -> Array | None:
    """The outputs of each member."""
    threads = threads or available_cores()
    if forward_in_lanes.pays_off(network, X.shape[-1]):
        return forward_in_lanes.outputs(network, theta, X, threads)
    return sequential.outputs(_self, network, theta, X, threads)


def cohort_losses(
    network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, threads: int | None
) -> Array:
    """The loss of each member."""
    threads = threads or available_cores()
    if forward_in_lanes.pays_off(network, X.shape[-1]):
        return forward_in_lanes.losses(network, theta, X, Y, weights, threads)
    return sequential.losses(_self, network, theta, X, Y, weights, threads)


def drawn(seeds: NDArray[np.int64], count: int, threads: int | None) -> tuple[Array, NDArray[np.int64]]:
    """What a RandomState of each seed draws."""
    return draws.drawn(seeds, count, threads or available_cores())


shuffled = draws.shuffled


_self = sys.modules[__name__]


class _Buffers:
    """What one pass works on, with the views of it that Python needs."""

    __slots__ = ("cost", "engine", "gradient", "hyper", "plan", "work")

    def __init__(self, network: Architecture, samples: int, dtype: np.dtype) -> None:
        plan = workspace.plan(network, samples, dtype, narrow=samples * dtype.itemsize <= VECTOR_BITS // 8)
        self.plan = plan.entries
        self.work = workspace.allocate(plan, 1, dtype)
        self.gradient = self.work[plan.gradient : plan.gradient + network.count]
        self.cost, self.hyper = np.empty(1), np.zeros(TILE_COSTS)
        self.engine = kernels.engine[dtype]


_pool = Pool(_Buffers)


def _interruptible(engine: Callable[..., int]) -> Callable[..., int]:
    return lambda *arguments: run_interruptible(lambda: engine(*arguments))


def _pass(
    task: int, network: Architecture, theta: Array, X: Array, Y: Array, auxiliary: Array
) -> tuple[float, Array] | None:
    """One pass of the engine over all samples: the cost and the gradient, or None if it found a bad value."""
    samples = X.shape[1]
    shelf = _pool.shelf(network, samples, theta.dtype)
    buffers = shelf.take()
    X_flat, X_by_sample = flattened(X)
    Y_flat, Y_by_sample = (X_flat, X_by_sample) if Y is X else flattened(Y)
    engine = buffers.engine
    if network.count * samples >= choices.MIN_INTERRUPTIBLE_WORK:
        engine = _interruptible(engine)
    good = engine(
        task,
        buffers.plan,
        buffers.work,
        X_flat,
        Y_flat,
        X_by_sample + 2 * Y_by_sample,
        samples,
        ALL,
        samples,
        auxiliary,
        theta,
        buffers.cost,
        buffers.hyper,
        1,
        1,
        1,
        UNSHARED,
        -1,
    )
    if not good:
        return None  # and nobody meets the bad value again
    result = buffers.cost.item(), buffers.gradient.copy() if task in _WITH_GRADIENT else theta
    shelf.give(buffers)
    return result
