"""The Hessian times a direction: a pass forward and back in which every row of a tile has its tangent beside it.

The tangent of a number is its derivative by t where the parameters are theta + t * direction, so that the tangent of
the gradient is what is wanted (Pearlmutter, "Fast exact multiplication by the Hessian", 1994). In the tile of a layer
the tangents' rows follow on the values'. So what both of them add to a number is one product, with the weights W and
their direction V side by side forward, [V W], and V above W on the way back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastxor.architecture import Architecture
from fastxor.views import Array

from . import dense, elementwise
from ._jit import VECTOR_BITS, inlined, kernel
from .elementwise import ACTIVATIONS, LOSSES
from .samples import load_rows, weigh
from .vectors import add, all_finite, copy, fill

# Entries of the plan: numbers, then places in `work`.
LAST, LOSS, WIDTH, PADDED, BY_VALUES, BY_TANGENTS, RESULT = 0, 1, 2, 3, 4, 5, 6
TARGET, WEIGHT, SCRATCH, SPILL, SAMPLES, LAYERS = 7, 8, 9, 10, 11, 12
# Of each layer from 0: rows, code, the tile, slopes, curvatures times tangents, where its weights and biases are among
# the parameters; and where W stands, V and W side by side, V above W, the biases, and their direction.
ROWS, CODE, TILE, SLOPE, CURVE, W, B, WEIGHTS, WIDE, TALL, BIAS, BIAS_V, STRIDE = range(13)

_SAMPLES = 256
_MOST_BYTES = 2 * 1024 * 1024


class Plan(NamedTuple):
    """What the kernel reads, and how long `work` is."""

    entries: np.ndarray
    length: int


@lru_cache(maxsize=64)
def plan(network: Architecture, samples: int, dtype: np.dtype) -> Plan:
    """Where everything stands that one call needs."""
    lanes = VECTOR_BITS // 8 // dtype.itemsize
    block, most_rows = 2 * lanes, max(network.sizes)
    blocks = min(_SAMPLES, _MOST_BYTES // dtype.itemsize // (4 * sum(network.sizes))) // block
    width = min(max(blocks, 1), -(-samples // block)) * block
    end = 0

    def padded(n: int) -> int:
        return -(-n // lanes) * lanes

    def place(n: int) -> int:
        nonlocal end
        start, end = end, end + padded(n)
        return start

    layers = [network.sizes[0], 0, place(2 * network.sizes[0] * width), *[0] * (STRIDE - 3)]
    for layer in network.layers:
        n, weights = layer.n_out, layer.n_in * layer.n_out
        layers += [n, ACTIVATIONS[layer.activation], place(2 * n * width), place(n * width), place(n * width)]
        layers += [layer.weight.start, layer.bias.start]
        layers += [place(weights), place(2 * weights), place(2 * weights), place(n), place(n)]
    places = [place(network.count) for _ in (BY_VALUES, BY_TANGENTS, RESULT)]
    places += [place(n * width) for n in (network.sizes[-1], 1, padded(most_rows), lanes, padded(network.sizes[0]))]
    numbers = [LAYERS + STRIDE * len(network.layers), LOSSES[network.loss], width, padded(network.count)]
    return Plan(np.array([*numbers, *places, *layers], np.int64), end)


def hvp(network: Architecture, theta: Array, X: tuple, Y: tuple, samples: int, direction: Array) -> Array | None:
    """The product, for X and Y each as (vector, is it one sample after the other); None if it is not finite."""
    entries, length = plan(network, samples, theta.dtype)
    work = np.zeros(length, theta.dtype)
    for number, layer in enumerate(network.layers, 1):
        at = entries[LAYERS + STRIDE * number :]
        w, v = (vector[layer.weight].reshape(layer.n_out, layer.n_in) for vector in (theta, direction))
        for place, part in (
            (WEIGHTS, w),
            (WIDE, np.hstack([v, w])),
            (TALL, np.vstack([v, w])),
            (BIAS, theta[layer.bias]),
            (BIAS_V, direction[layer.bias]),
        ):
            work[at[place] : at[place] + part.size] = part.ravel()
    good = hessian[theta.dtype](entries, work, X[0], Y[0], X[1] + 2 * Y[1], samples)
    return work[entries[RESULT] :][: network.count].copy() if good else None


@kernel("boolean(int64[::1], T[::1], T[::1], T[::1], int64, int64)", "the Hessian's product")
def hessian(plan, work, X, Y, by_sample, samples):
    """Put the product at RESULT; False if it is not finite. X and Y are as for the engine."""
    fill(work, plan[RESULT], plan[PADDED], 0.0)
    for start in range(0, samples, plan[WIDTH]):
        count = min(plan[WIDTH], samples - start)
        _load(plan, work, X, Y, by_sample, samples, start, count)
        _forward(plan, work)
        _backward(plan, work)
        add(work, plan[RESULT], plan[BY_VALUES], plan[PADDED])
        add(work, plan[RESULT], plan[BY_TANGENTS], plan[PADDED])
    return all_finite(work, plan[RESULT], plan[PADDED])


@inlined
def _load(plan, work, X, Y, by_sample, samples, start, count):
    """The samples of a tile; their tangents are 0 and remain so."""
    T, n_x, n_y = plan[WIDTH], plan[LAYERS + ROWS], plan[plan[LAST] + ROWS]
    x, y, kept, spill = plan[LAYERS + TILE], plan[TARGET], plan[SAMPLES], plan[SPILL]
    load_rows(work, T, X, by_sample & 1, samples, n_x, 0, n_x, x, plan, False, start, count, kept, spill)
    load_rows(work, T, Y, by_sample & 2, samples, n_y, 0, n_y, y, plan, False, start, count, plan[SCRATCH], spill)
    weigh(work, T, plan[WEIGHT], count, samples)


@inlined
def _forward(plan, work):
    """Values and tangents of all layers; in the last one, the derivatives of the loss by the logits, and theirs."""
    T = plan[WIDTH]
    for layer in range(LAYERS + STRIDE, plan[LAST] + STRIDE, STRIDE):
        n_in, n, a, z = plan[layer - STRIDE + ROWS], plan[layer + ROWS], plan[layer - STRIDE + TILE], plan[layer + TILE]
        code, tangents = plan[layer + CODE], z + n * T
        dense.forward(work, T, plan[layer + WEIGHTS], plan[layer + BIAS], n, n_in, a, z, False)
        dense.forward(work, T, plan[layer + WIDE], plan[layer + BIAS_V], n, 2 * n_in, a, tangents, False)
        if layer == plan[LAST]:
            elementwise.output(work, code, z, n, T)
            elementwise.bend_loss(work, plan[LOSS], code, z, tangents, plan[TARGET], plan[WEIGHT], n, T)
        else:
            if code == elementwise.SIN:
                elementwise.turn_back(work, z, n * T)
            elementwise.bend(work, code, z, tangents, plan[layer + SLOPE], plan[layer + CURVE], n * T)


@inlined
def _backward(plan, work):
    """What the tile adds to the product: by its values, with the biases', and by their tangents."""
    T = plan[WIDTH]
    fill(work, plan[BY_TANGENTS], plan[PADDED], 0.0)
    for layer in range(plan[LAST], LAYERS, -STRIDE):
        n, n_in, d, a = plan[layer + ROWS], plan[layer - STRIDE + ROWS], plan[layer + TILE], plan[layer - STRIDE + TILE]
        d_tangents, a_tangents = d + n * T, a + n_in * T
        w, b, scratch = plan[layer + W], plan[layer + B], plan[SCRATCH]
        columns = dense.sooner_by_columns(work, T, n, n_in)
        values, tangents = plan[BY_VALUES], plan[BY_TANGENTS] + w
        dense.gradient(work, T, values + w, values + b, n, n_in, d_tangents, a, columns, -1, scratch)
        dense.gradient(work, T, tangents, scratch, n, n_in, d, a_tangents, columns, -1, scratch)  # and no biases'
        below = layer - STRIDE
        if below > LAYERS:
            weights, slopes, curves = plan[layer + WEIGHTS], plan[below + SLOPE], plan[below + CURVE]
            copy(work, a, slopes, n_in * T)
            copy(work, a_tangents, slopes, n_in * T)
            dense.backward(work, T, weights, n, n_in, n_in, d, a, False)
            dense.backward(work, T, plan[layer + TALL], 2 * n, n_in, n_in, d, a_tangents, False)
            dense.backward(work, T, weights, n, n_in, n_in, d, curves, False)
            add(work, a_tangents, curves, n_in * T)
