"""Residuals of the squared error and their Jacobian: how far each parameter moves each output.

Samples lie in the lanes. With T of them in a tile, padding included, residual (o, s) of output o and sample s stands in
column ``o * T + s``, and the Jacobian has a row of ``n_y * T`` such columns for each parameter; a last row holds the
residuals themselves. Every output is one pass back through the layers, in which a layer's delta, the derivative of the
output by what goes into its units, is a row for each unit; the derivative by a weight is its unit's delta times what
comes in by it, a product of two rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastxor.architecture import Architecture
from fastxor.views import Array

from . import choices, dense, elementwise, kernels, workspace
from ._jit import kernel
from .session import flattened
from .simd import get, lanes, load, select_less, store
from .tracing import cond, steps, traced
from .vectors import copy
from .workspace import CODE, DEPTH, LAYERS, ROWS, SLOPE, STRIDE, TARGET, THETA, TILE, WEIGHT, WIDTH, B, W


def solve(factor: Array, b: Array) -> Array:
    """See `fastxor.backends.Backend`."""
    x = b.copy()
    substitute[x.dtype](factor.ravel(), x)
    return x


class Residuals:
    """Tiles of samples, and the place where each of them is worked on in turn: see `fastxor.backends.Residuals`."""

    def __init__(self, network: Architecture, X: Array, Y: Array, weights: Array | None) -> None:
        dtype, samples, outputs = X.dtype, X.shape[1], network.sizes[-1]
        columns = max(choices.JACOBIAN_TILE_BYTES // (network.count * dtype.itemsize), choices.MIN_JACOBIAN_COLUMNS)
        at_once = max(1, min(samples, columns // outputs))
        plan = workspace.plan(network, at_once, dtype, alone=True)
        T, weight = int(plan.entries[WIDTH]), int(plan.entries[WEIGHT])
        self._plan, self._space = plan.entries, plan.common + plan.private
        more = 2 * T * sum(network.sizes[1:])  # behind the plan's own places: see `jacobian`
        self._work = workspace.allocate(plan._replace(private=plan.private + more), 1, dtype)
        self._theta = self._work[: network.count]  # THETA stands first
        self._roots = self._work[weight : weight + T]
        self._rows = np.zeros((network.count + 1, outputs * T), dtype)
        self._columns, self._flat = outputs * T, self._rows.ravel()
        roots = np.ones(samples, dtype) if weights is None else np.sqrt(weights)
        starts = [slice(start, min(start + T, samples)) for start in range(0, samples, T)]
        self._tiles = [(*_tile(X[:, part], Y[:, part]), roots[part]) for part in starts]
        self._there = -1  # which tile
        self._fetch, self._differentiate = kernels.fetch[dtype], jacobian[dtype]

    def values(self, theta: Array) -> Array:
        values = np.empty(len(self._tiles) * self._columns, theta.dtype)
        for number in self._each(theta):
            part = values[number * self._columns :][: self._columns]
            self._differentiate(self._plan, self._work, self._space, 0, part)
        return values

    def parts(self, theta: Array) -> Iterator[Array]:
        for _number in self._each(theta):
            self._differentiate(self._plan, self._work, self._space, theta.size, self._flat)
            yield self._rows

    def _each(self, theta: Array) -> Iterator[int]:
        """Put each tile into its place, and theta, in turn."""
        for number, (*tile, roots) in enumerate(self._tiles):
            self._theta[...] = theta
            if number != self._there:
                self._there = -1
                self._fetch(self._plan, self._work, *tile)
                self._roots[: roots.size] = roots
                self._there = number
            yield number


def _tile(X: Array, Y: Array) -> tuple[Array, Array, int, int]:
    """What `kernels.fetch` wants to know of some samples."""
    (X_flat, X_by_sample), (Y_flat, Y_by_sample) = flattened(X), flattened(Y)
    return X_flat, Y_flat, X_by_sample + 2 * Y_by_sample, X.shape[1]


@kernel("void(int64[::1], T[::1], int64, int64, T[::1])")
def jacobian(plan, work, space, count, J):
    """The Jacobian, `count` rows, and then the residuals, for the samples of one tile, which are in their place with
    the roots of their weights. If `count` is 0, the residuals alone.

    Of `work`, what begins at `space` holds the derivatives of all layers' activations, and then as many deltas. Where
    nothing is written, among the weights of other outputs, J is 0 and stays so.
    """
    T = plan[WIDTH]
    theta = plan[THETA]
    last = LAYERS + STRIDE * plan[DEPTH]
    slopes = space
    for layer in range(LAYERS + STRIDE, last + STRIDE, STRIDE):
        n_out = get(plan, layer + ROWS)
        z = get(plan, layer + TILE)
        act = get(plan, layer + CODE)
        a = get(plan, layer - STRIDE + TILE)
        w = theta + get(plan, layer + W)
        dense.forward(work, T, w, theta + get(plan, layer + B), n_out, get(plan, layer - STRIDE + ROWS), a, z, act)
        if not dense.fuses_activation(act):
            if act == elementwise.SIN:
                elementwise.reduce_angles(work, z, n_out * T)
            elementwise.activate(work, act, z, n_out * T, get(plan, layer + SLOPE))
        if count > 0:
            _derive(work, act, z, n_out * T, get(plan, layer + SLOPE), slopes)
        slopes += n_out * T
    size = slopes - space  # of all slopes, and of all deltas behind them
    outputs = get(plan, last + ROWS)
    at = get(plan, last + TILE)
    columns = outputs * T
    _subtract(work, J, count * columns, at, plan[TARGET], plan[WEIGHT], outputs, T)
    for o in range(outputs if count > 0 else 0):
        column = o * T
        here = slopes - columns  # of this layer's slopes
        _scale(work, here + column, here + column + size, plan[WEIGHT], T)
        for layer in range(last, LAYERS, -STRIDE):
            n_in = get(plan, layer - STRIDE + ROWS)
            a = get(plan, layer - STRIDE + TILE)
            w = get(plan, layer + W)
            b = get(plan, layer + B)
            n_out = get(plan, layer + ROWS)
            delta = here + size
            if layer == last:  # of this output alone
                n_out = 1
                delta += column
                w += o * n_in
                b += o
            _multiply(work, J, T, delta, a, n_out, n_in, w * columns + column, b * columns + column, columns)
            if layer > LAYERS + STRIDE:
                here -= n_in * T
                dense.backward(work, T, theta + w, n_out, n_in, n_in, delta, here, here + size, elementwise.IDENTITY)


@traced
def _derive(work, code, at, n, kept, to):
    """The derivatives of the n values of an activation; those that cannot be had from values have been `kept`."""

    def tanh():
        for i in steps(0, n, lanes(work)):
            a = load(work, at + i)
            store(work, to + i, 1.0 - a * a)

    def other():
        copy(work, to, at, n)
        elementwise.differentiate(work, code, to, n, kept)

    cond(code == elementwise.TANH, tanh, other)


@traced
def _subtract(work, J, to, outputs, targets, weight, rows, T):
    """Outputs less targets, times the roots of the weights, in J; 0 in the padding."""
    for r in steps(0, rows * T, T):
        for s in steps(0, T, lanes(work)):
            error = load(work, outputs + r + s) - load(work, targets + r + s)
            root = load(work, weight + s)
            store(J, to + r + s, select_less(0.0, root, error * root, 0.0))


@traced
def _scale(work, start, to, weight, T):
    """A row times the roots of the weights, with 0 in the padding."""
    for s in steps(0, T, lanes(work)):
        root = load(work, weight + s)
        store(work, to + s, select_less(0.0, root, load(work, start + s) * root, 0.0))


@traced
def _multiply(work, J, T, d, a, n_out, n_in, w, b, stride):
    """The products of every row at d with every row at a, one after the other to w, and the rows at d to b, in J.

    Many arguments: see tracing.py.
    """
    for r in steps(0, n_out):
        row = d + r * T
        for k in steps(0, n_in):
            to, column = w + (r * n_in + k) * stride, a + k * T
            for s in steps(0, T, lanes(work)):
                store(J, to + s, load(work, row + s) * load(work, column + s))
        to = b + r * stride
        for s in steps(0, T, lanes(work)):
            store(J, to + s, load(work, row + s))


@kernel("void(T[::1], T[::1])")
def substitute(L, x):
    """Replace b by x, with L L' x = b: forward, then back. Both ways go along the rows of L, as they lie in memory."""
    n = x.size
    for i in range(n):
        row = i * n
        total = x[i]
        for k in range(i):
            total -= L[row + k] * x[k]
        x[i] = total / L[row + i]
    for i in range(n - 1, -1, -1):
        row = i * n
        value = x[i] / L[row + i]
        x[i] = value
        for k in range(i):
            x[k] -= value * L[row + k]
