"""The products of dense.py for tiles of a single vector: the XOR problem and its like.

The loop over samples is gone: a row is one register, and a neuron's weights are broadcast to it one by one.
"""

from ._jit import inlined
from .simd import broadcast, fma, full, get, lanes, load, put, store, sum_lanes
from .vmath import tanh


@inlined
def forward(work, w, b, n_out, n_in, a, z, is_tanh):
    """Z = W A + b, or its tanh: the commonest activation is taken while the row is still in its register."""
    V = lanes(work)
    end = b + n_out
    while b < end:
        v = broadcast(work, b)
        row = a
        row_end = w + n_in
        while w < row_end:
            v = fma(broadcast(work, w), load(work, row), v)
            w += 1
            row += V
        store(work, z, tanh(v) if is_tanh else v)
        z += V
        b += 1


@inlined
def backward(work, w, n_out, n_in, d, a, is_tanh):
    """Rows at a, which hold activation derivatives or, with `is_tanh`, values of it, become W^T D times the former."""
    V = lanes(work)
    end = w + n_in
    d_end = d + V * n_out
    while w < end:
        v = full(work, 0.0)
        weight = w
        row = d
        while row < d_end:
            v = fma(broadcast(work, weight), load(work, row), v)
            weight += n_in
            row += V
        slope = load(work, a)
        if is_tanh:
            slope = 1.0 - slope * slope
        store(work, a, v * slope)
        a += V
        w += 1


@inlined
def gradient(work, to, start, gain, w, b, n_out, n_in, d, a):
    """Add `gain` times D A^T and D's row sums to the weights and biases of the vector at `start`; result at `to`."""
    V = lanes(work)
    end = b + n_out
    while b < end:
        delta = load(work, d)
        row = a
        row_end = w + n_in
        while w < row_end:
            put(work, to + w, get(work, start + w) + gain * sum_lanes(delta * load(work, row)))
            w += 1
            row += V
        put(work, to + b, get(work, start + b) + gain * sum_lanes(delta))
        d += V
        b += 1
