"""First weights: how they are drawn, and which way suits which activation.

A weight of a layer with n_in inputs and n_out units has mean 0 and this variance:

=============  =====================  ==================================================================================
``he``         2 / n_in               He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015), equation 10
``glorot``     2 / (n_in + n_out)     Glorot and Bengio, "Understanding the difficulty of training deep feedforward
                                      neural networks" (2010), equation 12
``lecun``      1 / n_in               LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998), equation 16
``normal``     1                      the tutorial
=============  =====================  ==================================================================================

All four are drawn from the normal distribution, as He's paper does. The formulas are about the variance alone; Glorot's
paper takes a uniform distribution of this variance, on +-sqrt(6 / (n_in + n_out)), LeCun's leaves it open. So one seed
gives the same weights for all of them, but for their scale.

``orthogonal`` is for Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
linear neural networks" (2014): a matrix whose columns, or rows if these are fewer, are orthonormal, evenly distributed
among all such. It is the Q of the QR decomposition of a normal matrix, with the signs that make the diagonal of R
positive: Mezzadri, "How to generate random matrices from the classical compact groups" (2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastxor import validation
from fastxor.architecture import Architecture, Layer
from fastxor.names import Activation, Initialization, Output
from fastxor.views import Array

# The activations that, like relu, let through one side and hold back the other: half of the variance is lost.
_ONE_SIDED: tuple[Activation, ...] = ("relu", "leaky_relu", "elu", "softplus", "gelu")


def suited(activation: Activation | Output) -> Initialization:
    """What a layer gets whose user names nothing."""
    return "he" if activation in _ONE_SIDED else "glorot"


def draw(network: Architecture, rng: Any, kind: Initialization | None, dtype: np.dtype[Any]) -> Array:
    """The flat parameters: weights from `rng`, layer by layer, and biases of 0; for None, what suits each layer."""
    try:
        theta = np.zeros(network.count, dtype)
        for layer in network.layers:
            theta[layer.weight] = _weights(layer, rng.standard_normal((layer.n_out, layer.n_in)), kind).ravel()
    except MemoryError:
        gigabytes = network.count * dtype.itemsize / 1e9
        raise MemoryError(
            f"no memory for the {network.count} parameters of a network of sizes {network.sizes}: {gigabytes:.3g} GB "
            f"in {dtype}, and more while they are drawn"
        ) from None
    return theta


def weights(network: Architecture) -> int:
    """How many numbers `draw` takes from `rng`."""
    return sum(layer.n_out * layer.n_in for layer in network.layers)


def placed(network: Architecture, normal: Array, kind: Initialization | None, dtype: np.dtype[Any]) -> Array:
    """The flat parameters (k, P) of k networks, from standard normal numbers (k, weights)."""
    theta = np.zeros((len(normal), network.count), dtype)
    start = 0
    for layer in network.layers:
        stop = start + layer.n_out * layer.n_in
        own = normal[:, start:stop].reshape(-1, layer.n_out, layer.n_in)
        theta[:, layer.weight] = _weights(layer, own, kind).reshape(len(normal), -1)
        start = stop
    return theta


def drawn(seeds: Sequence[int], count: int) -> tuple[Array, Array]:
    """What a RandomState of each of k seeds draws: standard normal numbers (k, count), then what `validation.seed`
    does, (k,).
    """
    normal, integers = np.empty((len(seeds), count)), np.empty(len(seeds), np.int64)
    rng = np.random.RandomState()
    for i, seed in enumerate(seeds):
        rng.seed(int(seed))
        normal[i] = rng.standard_normal(count)
        integers[i] = validation.seed(rng)
    return normal, integers


def _weights(layer: Layer, normal: Array, kind: Initialization | None) -> Array:
    """The weights (…, n_out, n_in) of a layer, in float64; each kind takes as many numbers."""
    n_in, n_out = layer.n_in, layer.n_out
    kind = kind or suited(layer.activation)
    if kind == "orthogonal":
        return _orthogonal(normal)
    variance = {"he": 2 / n_in, "glorot": 2 / (n_in + n_out), "lecun": 1 / n_in, "normal": 1.0}[kind]
    weights: Array = variance**0.5 * normal
    return weights


def _orthogonal(normal: Array) -> Array:
    """The orthogonal factors of matrices, with the signs that make them unique."""
    wide = normal.shape[-2] < normal.shape[-1]
    Q, R = np.linalg.qr(normal.mT if wide else normal)
    Q *= np.where(R.diagonal(axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None, :]  # of each column
    return Q.mT if wide else Q
