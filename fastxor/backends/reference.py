"""The numpy backend: forward, backward and update as in the tutorial. Read it, trust it, compare with it.

Every array is (neurons, samples); `theta` is the flat vector of all parameters.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastxor import choices, initialization
from fastxor.architecture import CANONICAL, ENTROPIES, GELU_RANGE, LEAK, Architecture
from fastxor.backends import Loss, NoSnapshots, Pullback, sequential
from fastxor.backends.sequential import SequentialSession
from fastxor.cohort import Cohort
from fastxor.optimizers import Optimizer, SecondOrder, fades_every, with_rate
from fastxor.penalties import Penalties
from fastxor.state import Job, State
from fastxor.state import shuffled as shuffled
from fastxor.validation import SUM_TOLERANCE, finite
from fastxor.views import Array

Weights = list[tuple[Array, Array]]  # (W, b) of every layer
Flat = tuple[Array, Weights]  # a vector, and they as views of it

# Overflow and its like are answered with infinity and NaN, as a compiled kernel does, and reported by the caller.
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")

# ---------------------------------------------------------------- activations


@_quiet
def sigmoid(z: Array) -> Array:
    """1 / (1 + e**-z), which is 0 where e**-z overflows."""
    a: Array = 1 / (1 + np.exp(-z))
    return a


def softplus(z: Array) -> Array:
    """log(1 + e**z), by way of e**-|z|, which cannot overflow."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softmax(Z: Array) -> Array:
    """e**z of each column, divided by the column's sum."""
    E = np.exp(Z - Z.max(axis=0))
    E /= E.sum(axis=0)
    return E


def normal_cdf(z: Array) -> Array:
    """Distribution function of the standard normal."""
    erfc = np.array([math.erfc(x) for x in (-z * math.sqrt(0.5)).ravel().tolist()], z.dtype)
    return erfc.reshape(z.shape) / 2


def normal_density(z: Array) -> Array:
    """Density of the standard normal."""
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def gelu(z: Array) -> Array:
    """z times the distribution function, which is 0 beyond `GELU_RANGE`."""
    return np.maximum(z, -GELU_RANGE) * normal_cdf(z)


# The value, and the derivative from the input z and the value a.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "tanh": (np.tanh, lambda z, a: 1 - a * a),
    "sigmoid": (sigmoid, lambda z, a: a * (1 - a)),
    "relu": (lambda z: np.maximum(z, 0), lambda z, a: np.sign(a)),
    "leaky_relu": (lambda z: np.where(z > 0, z, LEAK * z), lambda z, a: np.where(z > 0, 1, LEAK).astype(z.dtype)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z, a: np.where(z > 0, 1, a + 1)),
    "softplus": (softplus, lambda z, a: sigmoid(z)),
    "gelu": (gelu, lambda z, a: normal_cdf(z) + np.clip(z, -GELU_RANGE, GELU_RANGE) * normal_density(z)),
    "sin": (np.sin, lambda z, a: np.cos(z)),
    "identity": (lambda z: z, lambda z, a: np.ones_like(z)),
    # As outputs only; softmax's derivative is in the loss.
    "exponential": (np.exp, lambda z, a: a),
    "softmax": (softmax, lambda z, a: np.ones_like(z)),
}

# The second derivative likewise. Where it is not here, it is 0 wherever it exists.
CURVATURES: dict[str, Callable[[Array, Array], Array]] = {
    "tanh": lambda z, a: -2 * a * (1 - a * a),
    "sigmoid": lambda z, a: a * (1 - a) * (1 - 2 * a),
    "elu": lambda z, a: np.where(z > 0, 0, a + 1).astype(z.dtype),
    "softplus": lambda z, a: sigmoid(z) * sigmoid(-z),
    "gelu": lambda z, a: normal_density(z) * (2 - np.clip(z, -GELU_RANGE, GELU_RANGE) ** 2),
    "sin": lambda z, a: -a,
}

# ---------------------------------------------------------------- losses of each sample, summed over outputs
# The value from the last layer's input Z, its activation A and the targets Y; then the derivative by Z, for those that
# are `CANONICAL`, or by A, for the others.


def _binary_cross_entropy(Z: Array, A: Array, Y: Array) -> Array:
    return np.sum(softplus(Z) - Y * Z, axis=0)


def _cross_entropy(Z: Array, A: Array, Y: Array) -> Array:
    Z = Z - Z.max(axis=0)
    return np.log(np.exp(Z).sum(axis=0)) - np.sum(Y * Z, axis=0)


def _squared_error(Z: Array, A: Array, Y: Array) -> Array:
    return np.sum((A - Y) / 2 * (A - Y), axis=0)


def _huber(Z: Array, A: Array, Y: Array) -> Array:
    distance = np.abs(A - Y)
    return np.sum(np.where(distance < 1, distance * distance / 2, distance - 0.5), axis=0)


def _poisson(Z: Array, A: Array, Y: Array) -> Array:
    return np.sum(A - Y * Z + np.where(Y > 0, Y * np.log(Y), 0) - Y, axis=0)


LOSSES = {
    "binary_cross_entropy": _binary_cross_entropy,
    "cross_entropy": _cross_entropy,
    "squared_error": _squared_error,
    "huber": _huber,
    "poisson": _poisson,
}


def _as_scikit(network: Architecture, Z: Array, A: Array, Y: Array) -> Array:
    """The losses as `Job.scikit` says."""
    if network.loss not in ENTROPIES:
        return LOSSES[network.loss](Z, A, Y) / (1 if network.loss == "poisson" else len(Y))
    least = np.finfo(A.dtype).eps
    P = np.clip(A, least, 1 - least)
    wrong = (1 - Y) * np.log(1 - P) if network.loss == "binary_cross_entropy" else 0
    return -np.sum(Y * np.log(P) + wrong, axis=0)


def _cost(
    network: Architecture,
    Z: Array,
    A: Array,
    Y: Array,
    samples: int,
    weights: Array | None = None,
    scikit: bool = False,
) -> float:
    """The sum of the losses, each divided by the number of all samples before: that overflows later."""
    losses = (_as_scikit(network, Z, A, Y) if scikit else LOSSES[network.loss](Z, A, Y)) / samples
    return float(np.sum(losses if weights is None else losses * weights))


def _loss_derivative(network: Architecture, Z: Array, A: Array, Y: Array) -> Array:
    """Derivative of the summed loss by Z."""
    if network.loss in CANONICAL:
        return A - Y
    error = A - Y if network.loss == "squared_error" else np.clip(A - Y, -1, 1)
    return error * ACTIVATIONS[network.output][1](Z, A)


# ---------------------------------------------------------------- forward, backward


@_quiet
def forward(network: Architecture, theta: Array, X: Array) -> Array | None:
    """A1, A2, … in one vector."""
    if not (finite(theta) and finite(X)):
        return None
    _Z, A = _forward(network, _weights(network, theta), X)
    return _if_finite(np.concatenate(A[1:], axis=None))


@_quiet
def outputs(network: Architecture, theta: Array, X: Array) -> Array | None:
    """The last of them."""
    if not (finite(theta) and finite(X)):
        return None
    return _if_finite(_forward(network, _weights(network, theta), X)[1][-1])


def _forward(network: Architecture, weights: Weights, X: Array) -> tuple[list[Array], list[Array]]:
    """The inputs [Z1, Z2, …] and the values [X, A1, A2, …] of the activations."""
    Z: list[Array] = []
    A = [X]
    for layer, (W, b) in zip(network.layers, weights, strict=True):
        z = np.dot(W, A[-1])
        z += b
        Z.append(z)
        A.append(ACTIVATIONS[layer.activation][0](z))
    return Z, A


@_quiet
def loss(network: Architecture, theta: Array, X: Array, Y: Array) -> float | None:
    """The cost."""
    if not (finite(theta) and finite(X) and _targets(network, Y)):
        return None
    weights, cost = _weights(network, theta), 0.0
    for x, y, _w in _parts(network, X, Y):
        Z, A = _forward(network, weights, x)
        cost += _cost(network, Z[-1], A[-1], y, X.shape[1])
    return cost if math.isfinite(cost) else None


def loss_on(network: Architecture, X: Array, Y: Array) -> Loss:
    """The same as a function of theta."""
    return lambda theta: loss(network, theta, X, Y)


@_quiet
def gradient(network: Architecture, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
    """The cost and its flat gradient."""
    if not (finite(theta) and finite(X) and _targets(network, Y)):
        return None
    cost, gradient, _finite_inputs = _cost_and_gradient(network, theta, X, Y)
    return (cost, gradient) if math.isfinite(cost) and finite(gradient) else None


@_quiet
def weighted(network: Architecture, theta: Array, X: Array, Y: Array, weights: Array) -> tuple[float, Array] | None:
    """The same, of losses that are multiplied by weights (m,)."""
    if not (finite(theta) and finite(X) and _targets(network, Y)):
        return None
    cost, gradient, _finite_inputs = _cost_and_gradient(network, theta, X, Y, True, weights)
    return (cost, gradient) if math.isfinite(cost) and finite(gradient) else None


def _cost_and_gradient(
    network: Architecture,
    theta: Array,
    X: Array,
    Y: Array,
    with_cost: bool = True,
    sample_weights: Array | None = None,
    scikit: bool = False,
    space: Flat | None = None,
) -> tuple[float, Array, bool]:
    """The cost, or 0 if it is not wanted; its flat gradient; and whether the last activation's inputs were finite.

    The gradient may stand in a `space` that is given for it.
    """
    weights, cost, fine = _weights(network, theta), 0.0, True
    gradient: Any = None
    for x, y, w in _parts(network, X, Y, sample_weights):
        Z, A = _forward(network, weights, x)
        fine = fine and finite(Z[-1])
        if with_cost:
            cost += _cost(network, Z[-1], A[-1], y, X.shape[1], w, scikit)
        part = _backward(network, weights, Z, A, y, X.shape[1], w, space if gradient is None else None)
        gradient = part if gradient is None else np.add(gradient, part, out=gradient)
    return cost, gradient, fine


def _parts(
    network: Architecture, X: Array, Y: Array, weights: Array | None = None
) -> list[tuple[Array, Array, Array | None]]:
    """X, Y and the samples' weights, if they have any, cut between samples."""
    samples = X.shape[1]
    most = max(choices.REFERENCE_TILE_VALUES // max(network.sizes[1:]), choices.MIN_REFERENCE_TILE_SAMPLES)
    if samples <= most:
        return [(X, Y, weights)]
    size = -(-samples // -(-samples // most))  # all parts about as large
    cuts = [slice(start, start + size) for start in range(0, samples, size)]
    return [(X[:, cut], Y[:, cut], None if weights is None else weights[cut]) for cut in cuts]


def _backward(
    network: Architecture,
    weights: Weights,
    Z: list[Array],
    A: list[Array],
    Y: Array,
    samples: int,
    sample_weights: Array | None = None,
    space: Flat | None = None,
) -> Array:
    """Flat gradient of the cost, from the last layer to the first: what these of all `samples` add to it."""
    dZ = _loss_derivative(network, Z[-1], A[-1], Y)
    dZ /= samples
    return _spread(network, weights, Z, A, dZ if sample_weights is None else dZ * sample_weights, space)[0]


def _spread(
    network: Architecture, weights: Weights, Z: list[Array], A: list[Array], dZ: Array, space: Flat | None = None
) -> tuple[Array, Array]:
    """The flat gradient that follows from dZ, the derivative by the last layer's input, and that by the first's."""
    gradient, derivatives = _space(network, dZ.dtype) if space is None else space
    for number in reversed(range(len(network.layers))):
        dW, db = derivatives[number]
        np.dot(dZ, A[number].T, out=dW)
        dZ.sum(axis=1, keepdims=True, out=db)
        if number > 0:
            W, _b = weights[number]
            slope = ACTIVATIONS[network.layers[number - 1].activation][1](Z[number - 1], A[number])
            dZ = _let_through(slope, np.dot(W.T, dZ))
    return gradient, dZ


def _let_through(slope: Array, dA: Array) -> Array:
    """slope * dA, which is 0 where the slope is, also if dA is infinite."""
    dZ = slope * dA
    return dZ if finite(dZ) else np.where(slope == 0, 0, dZ)


class Residuals:
    """See `fastxor.backends.Residuals`."""

    def __init__(self, network: Architecture, X: Array, Y: Array, weights: Array | None) -> None:
        self._network = network
        shares = None if weights is None else np.sqrt(weights)
        self._data = [(x, y, 1 if w is None else w) for x, y, w in _parts(network, X, Y, shares)]

    @_quiet
    def values(self, theta: Array) -> Array:
        weights = _weights(self._network, theta)
        parts = [(root * (_forward(self._network, weights, x)[1][-1] - y)).ravel() for x, y, root in self._data]
        return np.concatenate(parts)

    def parts(self, theta: Array) -> Iterator[Array]:
        weights = _weights(self._network, theta)
        for x, y, root in self._data:
            rows = _residuals(self._network, weights, x, y)
            yield (rows * root).reshape(len(rows), -1)


@_quiet
def _residuals(network: Architecture, weights: Weights, X: Array, Y: Array) -> Array:
    """Of each residual the derivative by each parameter, and then itself, (count + 1, n_y, m)."""
    Z, A = _forward(network, weights, X)
    n_y, m = A[-1].shape
    rows = np.zeros((network.count + 1, n_y, m), A[-1].dtype)
    rows[-1] = A[-1] - Y
    for o in range(n_y):
        dZ = np.zeros_like(A[-1])
        dZ[o] = ACTIVATIONS[network.output][1](Z[-1], A[-1])[o]
        for number in reversed(range(len(network.layers))):
            layer = network.layers[number]
            rows[layer.weight, o] = (dZ[:, None] * A[number]).reshape(-1, m)
            rows[layer.bias, o] = dZ
            if number > 0:
                slope = ACTIVATIONS[network.layers[number - 1].activation][1](Z[number - 1], A[number])
                dZ = _let_through(slope, np.dot(weights[number][0].T, dZ))
    return rows


@_quiet
def solve(factor: Array, b: Array) -> Array:
    """x with L L' x = b, as square systems of a few unknowns at a time: numpy knows no triangular ones."""
    x, size = b.copy(), choices.TRIANGULAR_BLOCK
    blocks = [slice(start, start + size) for start in range(0, len(b), size)]
    for part in blocks:
        x[part] = np.linalg.solve(factor[part, part], x[part] - factor[part, : part.start] @ x[: part.start])
    for part in reversed(blocks):
        x[part] = np.linalg.solve(factor[part, part].T, x[part] - factor[part.stop :, part].T @ x[part.stop :])
    return x


@_quiet
def layer_inputs(network: Architecture, theta: Array, X: Array) -> list[Array]:
    """The inputs Z1, Z2, … of the activations."""
    return _forward(network, _weights(network, theta), X)[0]


@_quiet
def vjp(network: Architecture, theta: Array, X: Array) -> tuple[Array, Pullback] | None:
    """The outputs, and the way back from them."""
    if not (finite(theta) and finite(X)):
        return None
    weights = _weights(network, theta.copy())
    Z, A = _forward(network, weights, X.copy(order="K"))
    if not all(map(finite, A)):
        return None

    @_quiet
    def pullback(dA: Array) -> tuple[Array, Array] | None:
        gradient, dX = _pulled_back(network, weights, Z, A, dA)
        return (gradient, dX) if finite(gradient) and finite(dX) else None

    return A[-1].copy(), pullback


def _pulled_back(
    network: Architecture, weights: Weights, Z: list[Array], A: list[Array], dA: Array
) -> tuple[Array, Array]:
    """The flat gradient, and the derivative by X, of what has the derivative dA by the outputs."""
    gradient, dZ = _spread(network, weights, Z, A, _through_output(network, Z[-1], A[-1], dA))
    return gradient, np.dot(weights[0][0].T, dZ)


@_quiet
def input_jacobian(network: Architecture, theta: Array, X: Array) -> Array | None:
    """The derivatives of the outputs by the inputs, all outputs' at once."""
    if not (finite(theta) and finite(X)):
        return None
    weights = _weights(network, theta)
    return _if_finite(np.concatenate([_jacobian(network, weights, x) for x, _x, _w in _parts(network, X, X)], axis=2))


def _jacobian(network: Architecture, weights: Weights, X: Array) -> Array:
    Z, A = _forward(network, weights, X)
    one_hot = np.eye(len(A[-1]), dtype=X.dtype)[:, :, None]
    D = np.stack([_through_output(network, Z[-1], A[-1], dA) for dA in one_hot])
    for number in reversed(range(len(weights))):
        D = np.matmul(weights[number][0].T, D)
        if number > 0:
            D = _let_through(ACTIVATIONS[network.hidden[number - 1]][1](Z[number - 1], A[number]), D)
    return D


def _through_output(network: Architecture, Z: Array, A: Array, dA: Array) -> Array:
    """From the derivative by the outputs to that by their activation's input."""
    if network.output == "softmax":
        return A * (dA - np.sum(A * dA, axis=0))
    return dA * ACTIVATIONS[network.output][1](Z, A)


@_quiet
def stages(network: Architecture, theta: Array, X: Array, Y: Array | None = None) -> dict[str, Any]:
    """What a pass works out in turn, each under a label for a message: where does it leave the finite numbers?"""
    Z, A = _forward(network, _weights(network, theta), X)
    found: dict[str, Any] = {f"W{n} {f'A{n - 1}' if n > 1 else 'X'} + b{n} of layer {n}": z for n, z in enumerate(Z, 1)}
    if Y is None:
        return found | {"the output": A[-1]}
    cost, gradient, _finite_inputs = _cost_and_gradient(network, theta, X, Y)
    return found | {"the cost": cost} | derivatives(network, gradient)


def derivatives(network: Architecture, gradient: Array) -> dict[str, Array]:
    """A flat gradient's matrices in the order in which a pass works them out, under labels likewise."""
    return {
        f"d{name} of layer {number}": array
        for number, (W, b) in reversed([*enumerate(_weights(network, gradient), 1)])
        for name, array in ((f"b{number}", b), (f"W{number}", W))
    }


@_quiet
def backward(network: Architecture, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
    """Flat gradient of the tutorial's cost, for the activations that `forward` returned."""
    if not (finite(theta) and finite(X) and finite(activations) and _targets(network, Y)):
        return None
    return _if_finite(tutorial_gradient(network, theta, X, Y, activations))


@_quiet
def tutorial_gradient(network: Architecture, theta: Array, X: Array, Y: Array, activations: Array) -> Array:
    """The same, whatever it holds."""
    A = [X, *(activations[place].reshape(shape) for _name, place, shape in network._activations(X.shape[1]))]
    Z = A[1:]  # at which neither tanh nor the cross-entropy looks here
    return _backward(network, _weights(network, theta), Z, A, Y, X.shape[1])


@_quiet
def cost(A: Array, Y: Array) -> float | None:
    """-sum(Y log A + (1 - Y) log(1 - A)) / m, with 0 log 0 = 0."""
    if not (_probabilities(A) and _probabilities(Y)):
        return None
    right = np.where(Y > 0, Y * np.log(A), 0)
    wrong = np.where(Y < 1, (1 - Y) * np.log1p(-A), 0)
    return float(np.abs(np.sum(right + wrong)) / Y.shape[1])  # abs, for -0.0 is no cost


# ---------------------------------------------------------------- second derivatives
# Pearlmutter, "Fast exact multiplication by the Hessian" (1994): a pass forward and back in which every number x is
# followed by Rx, its derivative by t where the parameters are theta + t * direction.


@_quiet
def hvp(network: Architecture, theta: Array, X: Array, Y: Array, direction: Array) -> Array | None:
    """The Hessian of the cost, by all parameters, times the direction."""
    weights, directions = _weights(network, theta), _weights(network, direction)
    parts = [_hvp(network, weights, directions, x, y, X.shape[1]) for x, y, _w in _parts(network, X, Y)]
    return _if_finite(np.sum(parts, axis=0, dtype=theta.dtype))


def _hvp(network: Architecture, weights: Weights, directions: Weights, X: Array, Y: Array, samples: int) -> Array:
    """What these of all samples add to it."""
    Z, A = _forward(network, weights, X)
    RZ, RA = [], [np.zeros_like(X)]
    for layer, (W, _b), (V, c), a, z in zip(network.layers, weights, directions, A, Z, strict=False):
        RZ.append(np.dot(V, a) + c + np.dot(W, RA[-1]))
        RA.append(_slope(layer.activation, z, A[len(RA)]) * RZ[-1])
    dZ = _loss_derivative(network, Z[-1], A[-1], Y) / samples
    RdZ = _loss_curvature(network, Z[-1], A[-1], Y, RZ[-1]) / samples
    result = np.empty(network.count, dZ.dtype)
    for number, (RdW, Rdb) in reversed([*enumerate(_weights(network, result))]):
        RdW[...] = np.dot(RdZ, A[number].T) + np.dot(dZ, RA[number].T)
        Rdb[...] = RdZ.sum(axis=1, keepdims=True)
        if number > 0:
            W, V = weights[number][0], directions[number][0]
            below, z, a = network.layers[number - 1].activation, Z[number - 1], A[number]
            dA, RdA = np.dot(W.T, dZ), np.dot(V.T, dZ) + np.dot(W.T, RdZ)
            bend = CURVATURES[below](z, a) * RZ[number - 1] if below in CURVATURES else 0
            dZ, RdZ = _slope(below, z, a) * dA, _slope(below, z, a) * RdA + bend * dA
    return result


def _slope(activation: str, z: Array, a: Array) -> Array:
    return ACTIVATIONS[activation][1](z, a)


def _loss_curvature(network: Architecture, Z: Array, A: Array, Y: Array, RZ: Array) -> Array:
    """R of `_loss_derivative`."""
    if network.loss in CANONICAL:
        return _through_output(network, Z, A, RZ)
    slope, error = _slope(network.output, Z, A), A - Y
    bend = CURVATURES[network.output](Z, A) if network.output in CURVATURES else 0
    if network.loss == "huber":
        return (slope * slope * (np.abs(error) < 1) + np.clip(error, -1, 1) * bend) * RZ
    return (slope * slope + error * bend) * RZ


# ---------------------------------------------------------------- update, training


@_quiet
def update(theta: Array, gradient: Array, learning_rate: float) -> Array | None:
    """theta - learning_rate * gradient"""
    return _if_finite(theta - theta.dtype.type(learning_rate) * gradient)


class Session(NoSnapshots):
    """A run, one step after the other."""

    finished = False

    def __init__(self, job: Job, state: State) -> None:
        self._job, self._state = job, state
        self._weights = job.network._weight_mask(state.theta.dtype)
        self._space = _space(job.network, state.theta.dtype)  # the system takes long to give, and take back, much of it
        self._fades_every = fades_every(job.optimizer, state.theta.dtype)
        self.recorded: dict[int, float] = {}
        # (m, n_x) and (m, n_y): a sample in one piece is sooner read.
        self._samples = [job.X.T, job.Y.T]
        if job.batch_size is None or job.iterations - state.completed >= job.steps_per_epoch:
            self._samples = [np.ascontiguousarray(rows) for rows in self._samples]
        self.speed = sequential.speed(job.network, min(job.batch_size or job.samples, job.samples))

    def state(self) -> State:
        return self._state

    def close(self) -> None:
        """Nothing is kept."""

    @_quiet
    def advance(self, steps: int, first: int, interval: int) -> tuple[int, list[float]]:
        job = self._job
        self.recorded = {}
        for step in range(steps):
            state, record = self._state, step >= first and (step - first) % interval == 0
            optimizer = _optimizer(job, state.completed)
            batch = job.batch(state.completed)
            X, Y = [_gathered(rows, batch).T for rows in self._samples]
            weights, penalties = _of_batch(job, batch, X.shape[1])
            cost, gradient, fine = _cost_and_gradient(
                job.network, state.theta, X, Y, record, weights, job.scikit, self._space
            )
            if record:
                cost += penalties.value(state.theta, self._weights)
            if not (fine and math.isfinite(cost)):
                return step, [*self.recorded.values()]
            gradient = penalties.applied(state.theta, gradient, self._weights)
            if record:
                self.recorded[state.completed] = cost
            fade = state.completed % self._fades_every == 0
            theta, memory = optimizer._step(state.theta, gradient, state.memory, self._weights, fade)
            if not finite(theta):
                return step, [*self.recorded.values()]
            self._state = State(theta, memory, state.completed + 1)
        return steps, [*self.recorded.values()]


residuals, open = Residuals, Session


def open_cohort(cohort: Cohort) -> SequentialSession:
    """Its members, one by one."""
    return SequentialSession(cohort, Session, cohort.threads or 1)


def cohort_outputs(network: Architecture, theta: Array, X: Array, threads: int | None) -> Array | None:
    """The outputs of each member."""
    return sequential.outputs(_self, network, theta, X, threads or 1)


def cohort_losses(
    network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, threads: int | None
) -> Array:
    """The loss of each member."""
    return sequential.losses(_self, network, theta, X, Y, weights, threads or 1)


_self = sys.modules[__name__]


def drawn(seeds: NDArray[np.int64], count: int, threads: int | None) -> tuple[Array, NDArray[np.int64]]:
    """What a RandomState of each seed draws."""
    return initialization.drawn(seeds.tolist(), count)


def _gathered(rows: Array, batch: slice | Array) -> Array:
    """A batch's rows, in one layout, however the data lie: BLAS rounds differently in each."""
    if isinstance(batch, slice) or not rows.flags.c_contiguous:  # of which `take` would copy all
        return np.ascontiguousarray(rows[batch])
    return rows.take(batch, axis=0)


def _of_batch(job: Job, batch: slice | Array, samples: int) -> tuple[Array | None, Penalties]:
    """The weights of a batch's samples, for losses that are divided by their number, and its penalties."""
    weights, penalties = None if job.weights is None else job.weights[batch], job.penalties
    if job.scikit:
        total = float(samples if weights is None else weights.sum()) or 1.0  # where none of them counts
        weights = None if weights is None else weights * (samples / total)
        penalties = penalties._replace(l2=penalties.l2 / total, l1=penalties.l1 / total)
    return weights, penalties


def _optimizer(job: Job, step: int) -> Optimizer:
    """That of a step, whose learning rate is a number."""
    rates = job.rates(step, 1)
    return job.optimizer if rates is None else with_rate(job.optimizer, float(rates[0]))


@_quiet
def first_overflow(job: Job, state: State) -> int:
    """The number of the layer in which the step that failed first left the finite numbers."""
    batch = job.batch(state.completed)
    X, Y = job.X[:, batch], job.Y[:, batch]
    weights = _weights(job.network, state.theta)
    inputs = (enumerate(_forward(job.network, weights, x)[0], 1) for x, _y, _w in _parts(job.network, X, Y))
    bad = {number for Z in inputs for number, z in Z if not finite(z)}
    if bad or isinstance(job.optimizer, SecondOrder):  # whose step only lowers a cost that is finite
        return min(bad, default=len(job.network.layers))
    shares, penalties = _of_batch(job, batch, X.shape[1])
    _value, gradient, _inputs = _cost_and_gradient(job.network, state.theta, X, Y, False, shares)
    mask = job.network._weight_mask(state.theta.dtype)
    gradient = penalties.applied(state.theta, gradient, mask)
    theta, _memory = _optimizer(job, state.completed)._step(state.theta, gradient, state.memory, mask, True)
    layers = enumerate(_weights(job.network, theta), 1)
    bad = {number for number, (W, b) in layers if not (finite(W) and finite(b))}
    # The backward pass meets the last layer first; and where no layer is bad, what is left is the cost, of the last.
    return max(bad, default=len(job.network.layers))


def warmup(network: Architecture | None, samples: int, members: int, optimizer: Optimizer) -> None:
    """Nothing to compile."""


def _weights(network: Architecture, theta: Array) -> Weights:
    """(W, b) of every layer, as views of theta."""
    return [(theta[layer.weight].reshape(layer.n_out, layer.n_in), theta[layer.bias, None]) for layer in network.layers]


def _space(network: Architecture, dtype: np.dtype[Any]) -> Flat:
    """For a gradient."""
    vector = np.empty(network.count, dtype)
    return vector, _weights(network, vector)


def _if_finite(array: Array) -> Array | None:
    return array if finite(array) else None


def _probabilities(array: Array) -> bool:
    return bool(((array >= 0) & (array <= 1)).all())  # NaN is neither


def _targets(network: Architecture, Y: Array) -> bool:
    """Whether the values of Y are what the loss wants."""
    if network.loss == "cross_entropy":
        return _probabilities(Y) and bool((np.abs(Y.sum(axis=0) - 1) <= SUM_TOLERANCE).all())
    if network.loss == "binary_cross_entropy":
        return _probabilities(Y)
    return finite(Y) and not (network.loss == "poisson" and bool((Y < 0).any()))
