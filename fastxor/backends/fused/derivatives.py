"""What few programs need, and so is compiled apart: outputs' derivatives by the inputs; the Hessian times a direction.

The tile of a layer has room for twice its rows: those of the values, and others that follow on them.

For the Jacobian these hold an output's derivatives by what goes into the layer's units, one output after the other.

For the Hessian they are tangents, derivatives by t where the parameters are theta + t * direction: the tangent of the
gradient is what is wanted (Pearlmutter, "Fast exact multiplication by the Hessian", 1994). What values and tangents add
to a number is one product, with the weights W and their direction V side by side forward, [V W], and V above W back.
"""

from __future__ import annotations

import numpy as np

from fastxor.architecture import Architecture
from fastxor.views import Array

from . import choices, dense, elementwise, workspace
from ._jit import VECTOR_BITS, inlined, kernel
from .elementwise import ACTIVATIONS, LOSSES
from .pool import Pool
from .samples import load_rows, weigh
from .session import flattened
from .simd import lanes
from .vectors import add, all_finite, fill

# Entries of the plan: numbers, then places in `work`, the first three of parameter vectors.
LAST, LOSS, WIDTH, PADDED = 0, 1, 2, 3
THETA, DIRECTION, RESULT, BY_VALUES, BY_TANGENTS, TARGET, WEIGHT, SCRATCH, SPILL, LAYERS = range(4, 14)
# Of each layer from 0: rows, activation, the tile, slopes, curvatures times tangents, where its weights and biases are
# among the parameters, and where V and W stand side by side and one above the other.
ROWS, CODE, TILE, SLOPE, CURVE, W, B, WIDE, TALL, STRIDE = range(10)


class _Buffers:
    """The plan, and memory for one call at a time, with the views of it that Python needs."""

    __slots__ = ("direction", "plan", "result", "theta", "work")

    def __init__(self, network: Architecture, samples: int, dtype: np.dtype) -> None:
        self.plan, length = _plan(network, samples, dtype)
        self.work = workspace.zeros(length, dtype)
        places = (self.plan[place] for place in (THETA, DIRECTION, RESULT))
        self.theta, self.direction, self.result = (self.work[place : place + network.count] for place in places)

    def put(self, place: int, numbers: Array) -> None:
        self.work[place : place + numbers.size] = numbers.ravel()


def _plan(network: Architecture, samples: int, dtype: np.dtype) -> tuple[np.ndarray, int]:
    """Where everything stands, and how long `work` is."""
    lanes = VECTOR_BITS // 8 // dtype.itemsize
    vectors = -(-samples // lanes)
    most = min(choices.MIN_TILE_SAMPLES, choices.MAX_TILE_BYTES // dtype.itemsize // (4 * sum(network.sizes))) // lanes
    tiles = -(-vectors // max(most, 2))
    width = -(-vectors // tiles) * lanes  # tiles of equal size
    if width * dtype.itemsize % choices.CACHE_ALIAS_BYTES == 0:
        width += lanes
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
        layers += [layer.weight.start, layer.bias.start, place(2 * weights), place(2 * weights)]
    places = [place(network.count) for _ in range(TARGET - THETA)]
    places += [place(n * width) for n in (network.sizes[-1], 1, padded(max(network.sizes)), lanes)]
    numbers = [LAYERS + STRIDE * len(network.layers), LOSSES[network.loss], width, padded(network.count)]
    return np.array([*numbers, *places, *layers], np.int64), end


_pool = Pool(_Buffers)


def input_jacobian(network: Architecture, theta: Array, X: Array) -> Array | None:
    """The derivatives of the outputs by the inputs."""
    (n_x, samples), dtype = X.shape, theta.dtype
    shelf = _pool.shelf(network, samples, dtype)
    buffers, J = shelf.take(), np.empty((network.sizes[-1], n_x, samples), dtype)
    buffers.theta[...] = theta
    X_flat, by_sample = flattened(X)
    if not input_derivatives[dtype](buffers.plan, buffers.work, X_flat, by_sample, samples, J.ravel()):
        return None  # and nobody meets the bad value again
    shelf.give(buffers)
    return J


def hvp(network: Architecture, theta: Array, X: Array, Y: Array, direction: Array) -> Array | None:
    """The Hessian of the cost times a direction."""
    shelf = _pool.shelf(network, X.shape[1], theta.dtype)
    buffers = shelf.take()
    buffers.theta[...], buffers.direction[...] = theta, direction
    for number, layer in enumerate(network.layers, 1):
        entries = buffers.plan[LAYERS + STRIDE * number :]
        both = [vector[layer.weight].reshape(layer.n_out, layer.n_in) for vector in (direction, theta)]
        buffers.put(entries[WIDE], np.hstack(both))
        buffers.put(entries[TALL], np.vstack(both))
    (X_flat, X_by_sample), (Y_flat, Y_by_sample) = flattened(X), flattened(Y)
    by_sample = X_by_sample + 2 * Y_by_sample
    if not hessian[theta.dtype](buffers.plan, buffers.work, X_flat, Y_flat, by_sample, X.shape[1]):
        return None
    result = buffers.result.copy()
    shelf.give(buffers)
    return result


@inlined
def _fetch(plan, work, source, by_sample, samples, n, to, start, count):
    """Put a tile's samples, or targets, in their place.

    Many arguments: which of the two, how it lies and where it goes are one too many.
    """
    T, turned, spill = plan[WIDTH], plan[SCRATCH], plan[SPILL]
    load_rows(work, T, source, by_sample, samples, n, 0, n, to, plan, False, start, count, turned, spill)


# ---------------------------------------------------------------- outputs by inputs


@kernel("boolean(int64[::1], T[::1], T[::1], int64, int64, T[::1])", "the Jacobian")
def input_derivatives(plan, work, X, by_sample, samples, J):
    """Write the derivatives of every output by the inputs, each (n_x, samples), to J; False if one is not finite."""
    T, last, good = plan[WIDTH], plan[LAST], all_finite(work, plan[THETA], plan[PADDED])
    n_x, n_y, x, at = plan[LAYERS + ROWS], plan[last + ROWS], plan[LAYERS + TILE], plan[last + TILE]
    code, target, ones = plan[last + CODE], plan[TARGET], plan[WEIGHT]
    fill(work, ones, T, 1.0)
    for start in range(0, samples, T):
        count = min(T, samples - start)
        if count == T and not by_sample:  # whole vectors, which need not be copied
            good = _first_layer(plan, work, X, start, samples) and good
        else:
            _fetch(plan, work, X, by_sample, samples, n_x, x, start, count)
            good = _first_layer(plan, work, work, x, T) and good
        _further_layers(plan, work)
        if code != elementwise.SOFTMAX:  # each output depends on its own logit alone
            fill(work, target, n_y * T, 1.0)
            elementwise.pull_back(work, code, at, target, ones, n_y, T, target)
        for output in range(n_y):
            if code == elementwise.SOFTMAX:
                fill(work, target, n_y * T, 0.0)
                fill(work, target + output * T, T, 1.0)
                elementwise.pull_back(work, code, at, target, ones, n_y, T, target)
            good = _through_layers(plan, work, output, count, J, output * n_x * samples + start, samples) and good
    return good


@inlined
def _first_layer(plan, work, X, at, stride):
    """What goes into its activation, or the values of one that the products apply. Returns whether X, whose rows are at
    `at` and each `stride` further, is finite.
    """
    layer, T, n_in = LAYERS + STRIDE, plan[WIDTH], plan[LAYERS + ROWS]
    w, b, code = plan[THETA] + plan[layer + W], plan[THETA] + plan[layer + B], _fused_activation(plan, layer)
    good = dense.forward_from(work, T, w, b, plan[layer + ROWS], n_in, X, at, stride, plan[layer + TILE], code)
    if not good:  # finite numbers may have a sum that is not
        good = True
        for row in range(n_in):
            good = all_finite(X, at + row * stride, T) and good
    return good


@inlined
def _fused_activation(plan, layer):
    """The activation that the layer's product is to apply: none in the last one."""
    return elementwise.IDENTITY if layer == plan[LAST] else plan[layer + CODE]


@inlined
def _further_layers(plan, work):
    """The outputs, unless they are identities; and of all hidden layers the slopes or, of activations that the products
    apply themselves, the values.
    """
    T, last, first = plan[WIDTH], plan[LAST], LAYERS + STRIDE
    n_in = a = before = 0
    for layer in range(first, last + STRIDE, STRIDE):
        n, z, code = plan[layer + ROWS], plan[layer + TILE], plan[layer + CODE]
        if layer > first:
            if layer < last or code != elementwise.IDENTITY:
                w, b = plan[THETA] + plan[layer + W], plan[THETA] + plan[layer + B]
                dense.forward(work, T, w, b, n, n_in, a, z, _fused_activation(plan, layer))
            if not dense.fuses_activation(before):  # the values below are no longer needed
                elementwise.differentiate(work, before, a, n_in * T, plan[layer - STRIDE + SLOPE])
        if layer == last:
            elementwise.output(work, code, z, n, T)
        elif not dense.fuses_activation(code):
            if code == elementwise.SIN:
                elementwise.reduce_angles(work, z, n * T)
            elementwise.activate(work, code, z, n * T, plan[layer + SLOPE])
        n_in, a, before = n, z, code


@inlined
def _through_layers(plan, work, output, count, J, place, samples):
    """From an output's derivatives by the logits to those by the inputs, which go to J: whether they are finite."""
    T, V, d, last = plan[WIDTH], lanes(work), plan[TARGET], plan[LAST]
    w = n_in = terms = 0
    for layer in range(last, LAYERS, -STRIDE):
        w, n_in, terms = plan[THETA] + plan[layer + W], plan[layer - STRIDE + ROWS], plan[layer + ROWS]
        if layer == last and plan[last + CODE] != elementwise.SOFTMAX:  # all other logits do not matter
            w, d, terms = w + output * n_in, d + output * T, 1
        if layer > LAYERS + STRIDE:
            below = layer - STRIDE
            slope, to = plan[below + TILE], plan[below + TILE] + n_in * T
            dense.backward(work, T, w, terms, n_in, n_in, d, slope, to, plan[below + CODE])
            d = to
    return dense.backward_out(work, (count + V - 1) // V * V, w, terms, n_in, d, T, J, place, samples, count)


@inlined
def _multiply_curvature(plan, work, layer):
    """The activation of a layer."""
    code, z, n = plan[layer + CODE], plan[layer + TILE], plan[layer + ROWS] * plan[WIDTH]
    if code == elementwise.SIN:
        elementwise.reduce_angles(work, z, n)
    elementwise.multiply_curvature(work, code, z, z + n, plan[layer + SLOPE], plan[layer + CURVE], n)


# ---------------------------------------------------------------- the Hessian times a direction


@kernel("boolean(int64[::1], T[::1], T[::1], T[::1], int64, int64)", "the Hessian's product")
def hessian(plan, work, X, Y, by_sample, samples):
    """Put the product at RESULT; False if it is not finite. X and Y are as for the engine."""
    T, n_x, n_y, x = plan[WIDTH], plan[LAYERS + ROWS], plan[plan[LAST] + ROWS], plan[LAYERS + TILE]
    fill(work, x + n_x * T, n_x * T, 0.0)  # the inputs have no tangents
    fill(work, plan[RESULT], plan[PADDED], 0.0)
    for start in range(0, samples, T):
        count = min(T, samples - start)
        _fetch(plan, work, X, by_sample & 1, samples, n_x, x, start, count)
        _fetch(plan, work, Y, by_sample & 2, samples, n_y, plan[TARGET], start, count)
        weigh(work, T, plan[WEIGHT], count, samples)
        _forward(plan, work)
        _backward(plan, work)
        add(work, plan[RESULT], plan[BY_VALUES], plan[PADDED])
        add(work, plan[RESULT], plan[BY_TANGENTS], plan[PADDED])
    return all_finite(work, plan[RESULT], plan[PADDED])


@inlined
def _forward(plan, work):
    """Values and tangents of all layers; in the last one, the derivatives of the loss by the logits, and theirs."""
    T = plan[WIDTH]
    for layer in range(LAYERS + STRIDE, plan[LAST] + STRIDE, STRIDE):
        n_in, n, a, z = plan[layer - STRIDE + ROWS], plan[layer + ROWS], plan[layer - STRIDE + TILE], plan[layer + TILE]
        w, b, code, tangents = plan[THETA] + plan[layer + W], plan[layer + B], plan[layer + CODE], z + n * T
        dense.forward(work, T, w, plan[THETA] + b, n, n_in, a, z, elementwise.IDENTITY)
        dense.forward(work, T, plan[layer + WIDE], plan[DIRECTION] + b, n, 2 * n_in, a, tangents, elementwise.IDENTITY)
        if layer == plan[LAST]:
            elementwise.output(work, code, z, n, T)
            elementwise.multiply_loss_curvature(work, plan[LOSS], code, z, tangents, plan[TARGET], plan[WEIGHT], n, T)
        else:
            _multiply_curvature(plan, work, layer)


@inlined
def _backward(plan, work):
    """What the tile adds to the product: by its values, with the biases', and by their tangents."""
    T = plan[WIDTH]
    fill(work, plan[BY_TANGENTS], plan[PADDED], 0.0)
    for layer in range(plan[LAST], LAYERS, -STRIDE):
        below = layer - STRIDE
        n, n_in, d, a = plan[layer + ROWS], plan[below + ROWS], plan[layer + TILE], plan[below + TILE]
        d_tangents, a_tangents, scratch = d + n * T, a + n_in * T, plan[SCRATCH]
        values, biases = plan[BY_VALUES] + plan[layer + W], plan[BY_VALUES] + plan[layer + B]
        tangents, weights = plan[BY_TANGENTS] + plan[layer + W], plan[THETA] + plan[layer + W]
        columns = dense.prefers_columns(work, T, n, n_in)
        dense.gradient(work, T, T, values, biases, n, n_in, d_tangents, a, columns, -1, scratch)
        dense.gradient(work, T, T, tangents, scratch, n, n_in, d, a_tangents, columns, -1, scratch)  # and no biases'
        if below > LAYERS:
            slopes, curves = plan[below + SLOPE], plan[below + CURVE]
            dense.backward(work, T, weights, n, n_in, n_in, d, slopes, a, elementwise.IDENTITY)
            dense.backward(work, T, plan[layer + TALL], 2 * n, n_in, n_in, d, slopes, a_tangents, elementwise.IDENTITY)
            dense.backward(work, T, weights, n, n_in, n_in, d, curves, curves, elementwise.IDENTITY)
            add(work, a_tangents, curves, n_in * T)
