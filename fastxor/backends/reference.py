"""The numpy backend: forward, backward and update as in the tutorial. Read it, trust it, compare with it.

Every array is (neurons, samples); `theta` is the flat vector of all parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fastxor.network import Network
from fastxor.optimizers import Adam
from fastxor.training import Run
from fastxor.validation import SUM_TOLERANCE
from fastxor.views import Array

# Overflow and its like are answered with infinity and NaN, as a compiled kernel does, and reported by the caller.
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")

# ---------------------------------------------------------------- activations


@_quiet
def sigmoid(z: Array) -> Array:
    """1 / (1 + e**-z), by way of e**-|z|, which cannot overflow."""
    e = np.exp(-np.abs(z))
    a: Array = np.where(z < 0, e, np.ones_like(e)) / (1 + e)
    return a


def softplus(z: Array) -> Array:
    """log(1 + e**z), likewise."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softmax(Z: Array) -> Array:
    """e**z of each column, divided by the column's sum."""
    E = np.exp(Z - Z.max(axis=0))
    return E / E.sum(axis=0)


def normal_cdf(z: Array) -> Array:
    """Distribution function of the standard normal."""
    erfc = np.array([math.erfc(x) for x in (-z * math.sqrt(0.5)).ravel().tolist()], z.dtype)
    return erfc.reshape(z.shape) / 2


def normal_density(z: Array) -> Array:
    """Density of the standard normal."""
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def gelu(z: Array) -> Array:
    """z times the distribution function, which is 0 beyond -40: infinity times 0 would be no number."""
    return np.maximum(z, -40) * normal_cdf(z)


# The value, and the derivative from the input z and the value a.
ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]] = {
    "tanh": (np.tanh, lambda z, a: 1 - a * a),
    "sigmoid": (sigmoid, lambda z, a: a * (1 - a)),
    "relu": (lambda z: np.maximum(z, 0), lambda z, a: (z > 0).astype(z.dtype)),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z, a: np.where(z > 0, 1, 0.01).astype(z.dtype)),
    "elu": (lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))), lambda z, a: np.where(z > 0, 1, a + 1)),
    "softplus": (softplus, lambda z, a: sigmoid(z)),
    "gelu": (gelu, lambda z, a: normal_cdf(z) + np.clip(z, -40, 40) * normal_density(z)),
    "sin": (np.sin, lambda z, a: np.cos(z)),
    "identity": (lambda z: z, lambda z, a: np.ones_like(z)),
    "softmax": (softmax, lambda z, a: np.ones_like(z)),  # as an output only; its derivative is in the loss
}

# ---------------------------------------------------------------- losses of each sample, summed over outputs
# The value from the last layer's input Z, its activation A and the targets Y; then the derivative by Z, for the
# cross-entropies, or by A, for the others.


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


LOSSES = {
    "binary_cross_entropy": _binary_cross_entropy,
    "cross_entropy": _cross_entropy,
    "squared_error": _squared_error,
    "huber": _huber,
}


def _cost(network: Network, Z: Array, A: Array, Y: Array) -> float:
    """The mean over the samples, whose losses are divided before they are summed: that overflows later."""
    return float(np.sum(LOSSES[network.loss](Z, A, Y) / Y.shape[1]))


def _loss_derivative(network: Network, Z: Array, A: Array, Y: Array) -> Array:
    """Derivative of the summed loss by Z."""
    if network.loss.endswith("cross_entropy"):
        return A - Y
    error = A - Y if network.loss == "squared_error" else np.clip(A - Y, -1, 1)
    return error * ACTIVATIONS[network.output][1](Z, A)


# ---------------------------------------------------------------- forward, backward


@_quiet
def forward(network: Network, theta: Array, X: Array) -> Array | None:
    """A1, A2, … in one vector."""
    if not (_finite(theta) and _finite(X)):
        return None
    _Z, A = _forward(network, theta, X)
    return np.concatenate(A[1:], axis=None)


@_quiet
def outputs(network: Network, theta: Array, X: Array) -> Array | None:
    """The last of them."""
    return _forward(network, theta, X)[1][-1] if _finite(theta) and _finite(X) else None


def _forward(network: Network, theta: Array, X: Array) -> tuple[list[Array], list[Array]]:
    """The inputs [Z1, Z2, …] and the values [X, A1, A2, …] of the activations."""
    Z: list[Array] = []
    A = [X]
    for layer, (W, b) in zip(network.layers, _weights(network, theta), strict=True):
        Z.append(W @ A[-1] + b)
        A.append(ACTIVATIONS[layer.activation][0](Z[-1]))
    return Z, A


@_quiet
def layer_inputs(network: Network, theta: Array, X: Array) -> dict[str, Array]:
    """W A + b of every layer, under a label for a message: where does a pass leave the finite numbers?"""
    Z, _A = _forward(network, theta, X)
    return {f"W{n} {f'A{n - 1}' if n > 1 else 'X'} + b{n} of layer {n}": z for n, z in enumerate(Z, 1)}


@_quiet
def loss(network: Network, theta: Array, X: Array, Y: Array) -> float | None:
    """The cost."""
    if not (_finite(theta) and _finite(X) and _targets(network, Y)):
        return None
    Z, A = _forward(network, theta, X)
    return _cost(network, Z[-1], A[-1], Y)


@_quiet
def gradient(network: Network, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
    """The cost and its flat gradient."""
    if not (_finite(theta) and _finite(X) and _targets(network, Y)):
        return None
    return _cost_and_gradient(network, theta, X, Y)


def _cost_and_gradient(network: Network, theta: Array, X: Array, Y: Array) -> tuple[float, Array]:
    Z, A = _forward(network, theta, X)
    return _cost(network, Z[-1], A[-1], Y), _backward(network, theta, Z, A, Y)


def _backward(network: Network, theta: Array, Z: list[Array], A: list[Array], Y: Array) -> Array:
    """Flat gradient of the cost, from the last layer to the first."""
    dZ = _loss_derivative(network, Z[-1], A[-1], Y) / Y.shape[1]
    weights = _weights(network, theta)
    parts: list[Array] = []
    for number in reversed(range(len(network.layers))):
        parts = [(dZ @ A[number].T).ravel(), dZ.sum(axis=1), *parts]
        if number > 0:
            slope = ACTIVATIONS[network.layers[number - 1].activation][1](Z[number - 1], A[number])
            dZ = slope * np.where(slope == 0, 0, weights[number][0].T @ dZ)  # infinity times 0 would be no number
    return np.concatenate(parts)


@_quiet
def backward(network: Network, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
    """Flat gradient of the tutorial's cost, for the activations that `forward` returned."""
    if not (_finite(theta) and _finite(X) and _finite(activations) and _targets(network, Y)):
        return None
    A = [X, *(activations[place].reshape(shape) for _name, place, shape in network._activations(X.shape[1]))]
    return _backward(network, theta, A[1:], A, Y)  # neither tanh nor the cross-entropy looks at Z here


@_quiet
def cost(A: Array, Y: Array) -> float | None:
    """-sum(Y log A + (1 - Y) log(1 - A)) / m, with 0 log 0 = 0."""
    if not (_probabilities(A) and _probabilities(Y)):
        return None
    right = np.where(Y > 0, Y * np.log(A), 0)
    wrong = np.where(Y < 1, (1 - Y) * np.log1p(-A), 0)
    return float(np.abs(np.sum(right + wrong)) / Y.shape[1])  # abs, for -0.0 is no cost


# ---------------------------------------------------------------- update, training


@_quiet
def update(theta: Array, gradient: Array, learning_rate: float) -> Array | None:
    """theta - learning_rate * gradient"""
    if not (_finite(theta) and _finite(gradient)):
        return None
    return theta - theta.dtype.type(learning_rate) * gradient


def _remember(run: Run, gradient: Array) -> None:
    """What the optimizer keeps of a gradient, in ``run.moments``."""
    real = run.theta.dtype.type
    optimizer = run.optimizer
    if isinstance(optimizer, Adam):
        beta1, beta2 = optimizer.beta1, optimizer.beta2
        run.powers *= beta1, beta2
        run.moments[0] = real(beta1) * run.moments[0] + real(1 - beta1) * gradient
        run.moments[1] = real(beta2) * run.moments[1] + real(1 - beta2) * (gradient * gradient)
    elif optimizer.momentum:
        run.moments[0] = real(optimizer.momentum) * run.moments[0] + gradient


def _moved(run: Run, gradient: Array) -> Array:
    """The parameters after the optimizer's step, once it has remembered the gradient."""
    real = run.theta.dtype.type
    optimizer = run.optimizer
    if isinstance(optimizer, Adam):
        first, second = 1 / (1 - run.powers)
        root = np.sqrt(run.moments[1] * real(second)) + real(optimizer.epsilon)
        return run.theta - real(optimizer.learning_rate * first) * run.moments[0] / root
    if optimizer.nesterov:
        gradient = gradient + real(optimizer.momentum) * run.moments[0]
    elif optimizer.momentum:
        gradient = run.moments[0]
    return run.theta - real(optimizer.learning_rate) * gradient


@_quiet
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
    while run.completed < iterations:
        batch = slice(None) if batch_size is None else run.next_batch(X.shape[1], batch_size)
        Z, A = _forward(run.network, run.theta, X[:, batch])
        cost = _cost(run.network, Z[-1], A[-1], Y[:, batch])
        record = run.completed % interval == 0
        if not _finite(Z[-1]) or (record and not np.isfinite(cost)):
            break
        if record:
            run.costs[run.completed] = cost
            if report:
                report(run.completed, cost)
        gradient = _backward(run.network, run.theta, Z, A, Y[:, batch])
        _remember(run, gradient)
        theta = _moved(run, gradient)
        if not _finite(theta):
            break
        run.theta = theta
        run.completed += 1
        if batch_size is not None:
            run.position += A[-1].shape[1]
    run.diverged = run.completed < iterations


@_quiet
def first_overflow(run: Run, X: Array, Y: Array, batch_size: int | None) -> int:
    """The number of the layer in which the step that failed first left the finite numbers."""
    if batch_size is not None:
        batch = run.next_batch(X.shape[1], batch_size)
        X, Y = X[:, batch], Y[:, batch]
    Z, A = _forward(run.network, run.theta, X)
    bad = [number for number, z in enumerate(Z, 1) if not _finite(z)]
    if not bad:
        theta = _moved(run, _backward(run.network, run.theta, Z, A, Y))
        layers = enumerate(_weights(run.network, theta), 1)
        bad = [number for number, (W, b) in layers if not (_finite(W) and _finite(b))]
        bad.reverse()  # the backward pass meets the last layer first
    return bad[0] if bad else len(run.network.layers)  # all that is left is the cost, of the last layer


def warmup() -> None:
    """Nothing to compile."""


def _weights(network: Network, theta: Array) -> list[tuple[Array, Array]]:
    """(W, b) of every layer, as views of theta."""
    return [
        (theta[layer.weight].reshape(layer.n_out, layer.n_in), theta[layer.bias].reshape(layer.n_out, 1))
        for layer in network.layers
    ]


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


def _probabilities(array: Array) -> bool:
    return bool(((array >= 0) & (array <= 1)).all())  # NaN is neither


def _targets(network: Network, Y: Array) -> bool:
    """Whether the values of Y are what the loss wants."""
    if network.loss == "cross_entropy":
        return _probabilities(Y) and bool((np.abs(Y.sum(axis=0) - 1) <= SUM_TOLERANCE).all())
    return _probabilities(Y) if network.loss == "binary_cross_entropy" else _finite(Y)
