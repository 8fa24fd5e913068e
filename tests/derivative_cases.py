"""Networks of any kind for the derivatives' tests, and the complex step, which knows every derivative to rounding."""

import numpy as np
from engine_cases import ENDS
from hypothesis import strategies as st
from scipy.special import erf

import fastxor as fx
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
    "softmax": softmax,
}
STEP = 1e-30


def outputs(net, theta, X):
    """The network for complex parameters and samples."""
    A = X
    for layer in net.layers:
        W, b = theta[layer.weight].reshape(layer.n_out, -1), theta[layer.bias].reshape(-1, 1)
        A = COMPLEX[layer.activation](W @ A + b)
    return A


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
