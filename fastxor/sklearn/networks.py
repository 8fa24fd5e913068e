"""Between scikit-learn's lists of ``coefs_`` and ``intercepts_`` and the flat parameters of a network."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np

from fastxor.architecture import Architecture
from fastxor.names import Activation, Loss, Output
from fastxor.network import Network
from fastxor.views import Array

# What scikit-learn calls otherwise.
ACTIVATIONS: dict[str, Activation] = {"logistic": "sigmoid"}
ENDS: dict[str, tuple[Output, Loss]] = {
    "identity": ("identity", "squared_error"),
    "exp": ("exponential", "poisson"),
    "logistic": ("sigmoid", "binary_cross_entropy"),
    "softmax": ("softmax", "cross_entropy"),
}

# A bound of Glorot's is the root of this over the inputs and outputs of a layer.
_GLOROT, _GLOROT_LOGISTIC = 6.0, 2.0


class Parameters(NamedTuple):
    """The flat parameters of a network, and the views of them that an estimator shows.

    A coefficient matrix is (n_in, n_out), as scikit-learn has it.
    """

    network: Architecture
    theta: Array
    coefs: list[Array]
    intercepts: list[Array]


def network(sizes: tuple[int, ...], hidden: str | tuple[str, ...], out_activation: str) -> Architecture:
    """The network of an estimator. Its loss is that of its output."""
    output, loss = ENDS[out_activation]
    names = hidden if isinstance(hidden, tuple) else (hidden,) * (len(sizes) - 2)
    return _network(sizes, tuple(ACTIVATIONS.get(name, cast(Activation, name)) for name in names), output, loss)


_network = lru_cache(maxsize=256)(Network)


def viewed(net: Architecture, theta: Array) -> Parameters:
    """The parameters at `theta`, (count,)."""
    coefs = [theta[layer.weight].reshape(layer.n_out, layer.n_in).T for layer in net.layers]
    return Parameters(net, theta, coefs, [theta[layer.bias] for layer in net.layers])


def packed(net: Architecture, coefs: Sequence[Any], intercepts: Sequence[Any], dtype: Any = None) -> Parameters:
    """The parameters in the two lists, copied; of their common dtype, if none is given."""
    arrays = [np.asarray(array) for array in (*coefs, *intercepts)]
    theta = np.empty(net.count, np.result_type(np.float32, *arrays) if dtype is None else dtype)
    for layer, W, b in zip(net.layers, arrays, arrays[len(coefs) :], strict=False):
        theta[layer.weight], theta[layer.bias] = W.T.ravel(), b
    return viewed(net, theta)


def drawn(net: Architecture, hidden: str | tuple[str, ...], rng: Any, dtype: Any) -> Parameters:
    """First weights and biases, uniform within Glorot's bounds, as scikit-learn draws them from `rng`.

    The bounds of the last layer go by the activation before it, or by the only one named if there is no hidden layer.
    """
    names = hidden if isinstance(hidden, tuple) else (hidden,) * max(1, len(net.hidden))
    coefs, intercepts = [], []
    for number, (n_in, n_out) in enumerate(pairwise(net.sizes)):
        name = names[min(number, len(names) - 1)] if names else ""
        factor = _GLOROT_LOGISTIC if ACTIVATIONS.get(name, name) == "sigmoid" else _GLOROT
        bound = np.sqrt(factor / (n_in + n_out))
        coefs.append(rng.uniform(-bound, bound, (n_in, n_out)))
        intercepts.append(rng.uniform(-bound, bound, n_out))
    return packed(net, coefs, intercepts, dtype)
