"""Networks of any kind for the derivatives' tests, and the complex step, which knows every derivative to rounding."""

import numpy as np
from engine_cases import ENDS
from hypothesis import strategies as st
from scipy.special import erf

import fastxor as fx
from fastxor.architecture import CANONICAL
from fastxor.network import ACTIVATIONS


def softmax(z):
    e = np.exp(z - z.real.max(axis=0))
    return e / e.sum(axis=0)


# Analytic functions, or pieces of them that are chosen by the real part.
COMPLEX = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "leaky_relu": lambda z: np.where(z.real > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z.real > 0, z, np.exp(np.where(z.real > 0, 0, z)) - 1),
    "softplus": lambda z: np.log(1 + np.exp(z)),
    "gelu": lambda z: z * (1 + erf(z / np.sqrt(2))) / 2,
    "sin": np.sin,
    "identity": lambda z: z,
    "exponential": np.exp,
    "softmax": softmax,
}
# Their derivatives at z, where they are a.
SLOPES = {
    "tanh": lambda z, a: 1 - a * a,
    "sigmoid": lambda z, a: a * (1 - a),
    "relu": lambda z, a: np.where(z.real > 0, 1, 0),
    "leaky_relu": lambda z, a: np.where(z.real > 0, 1, 0.01),
    "elu": lambda z, a: np.where(z.real > 0, 1, a + 1),
    "softplus": lambda z, a: COMPLEX["sigmoid"](z),
    "gelu": lambda z, a: (1 + erf(z / np.sqrt(2))) / 2 + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi),
    "sin": lambda z, a: np.cos(z),
    "identity": lambda z, a: np.ones_like(z),
    "exponential": lambda z, a: a,
}
STEP = 1e-30


def outputs(net, theta, X):
    """The network for complex parameters and samples."""
    A = X
    for layer in net.layers:
        W, b = theta[layer.weight].reshape(layer.n_out, -1), theta[layer.bias].reshape(-1, 1)
        A = COMPLEX[layer.activation](W @ A + b)
    return A


def gradient(net, theta, X, Y):
    """The flat gradient of the cost for complex parameters."""
    A, Z, parts = [X], [], []
    weights = [(theta[layer.weight].reshape(layer.n_out, -1), theta[layer.bias, None]) for layer in net.layers]
    for layer, (W, b) in zip(net.layers, weights, strict=True):
        Z.append(W @ A[-1] + b)
        A.append(COMPLEX[layer.activation](Z[-1]))
    d = (A[-1] - Y) / X.shape[1]
    if net.loss == "huber":
        d = np.where(np.abs((A[-1] - Y).real) < 1, d, np.sign((A[-1] - Y).real) / X.shape[1])
    if net.loss not in CANONICAL:
        d = d * SLOPES[net.output](Z[-1], A[-1])
    for number in reversed(range(len(weights))):
        parts = [(d @ A[number].T).ravel(), d.sum(axis=1), *parts]
        if number:
            d = (weights[number][0].T @ d) * SLOPES[net.hidden[number - 1]](Z[number - 1], A[number])
    return np.concatenate(parts)


def targets(net, like, seed):
    """Some that the loss takes, for outputs of that shape."""
    Y = np.random.RandomState(seed).random_sample(like.shape)
    if net.loss == "cross_entropy":
        Y = Y / Y.sum(axis=0)
    return Y if net.loss in CANONICAL else 3 * Y - 1


def by_complex_step(function, at):
    """The derivatives of a function's real results by every number of an array, along the first axis."""
    results = []
    for i in np.ndindex(at.shape):
        moved = at.astype(complex)
        moved[i] += STEP * 1j
        results.append(np.asarray(function(moved)).imag / STEP)
    return np.array(results)


def draws(net, m, seed, dtype=np.float64):
    """Parameters with biases, samples, and something of the outputs' shape."""
    rng = np.random.RandomState(seed)
    parameters = {name: array + 0.3 * rng.randn(*array.shape) for name, array in net.initialize(rng).items()}
    parameters = {name: array.astype(dtype) for name, array in parameters.items()}
    return parameters, rng.randn(net.sizes[0], m).astype(dtype), rng.randn(net.sizes[-1], m).astype(dtype)


@st.composite
def networks(draw, most=5):
    """Small networks of any kind."""
    output, loss = draw(st.sampled_from(ENDS))
    middle = draw(st.lists(st.integers(1, most), max_size=3))
    n_x, n_y = draw(st.integers(1, most)), draw(st.integers(1, most)) + (output == "softmax")
    hidden = [draw(st.sampled_from(ACTIVATIONS)) for _ in middle]
    return fx.Network([n_x, *middle, n_y], hidden, output, loss)


def close(got, wanted, rtol=1e-10):
    """To rounding, in relation to the array's size."""
    wanted = np.asarray(wanted)
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * max(np.abs(wanted).max(), 1e-3))
