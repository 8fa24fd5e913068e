"""The products of dense.py for tiles of a single vector: the XOR problem and its like.

The loop over samples is gone: a row is one register, and a neuron's weights are broadcast to it one by one.
"""

from ._jit import inlined
from .simd import broadcast, fma, full, head, lanes, load, put, store, sum_across, sum_lanes
from .vmath import sigmoid, tanh, tanh_soon

# A sum over so many neurons or more is added up as if that many of them stood side by side in a vector, which is how
# the kernels of specialised.py may have them.
SIDE_BY_SIDE = 8

# Up to so many parameters, specialised.py keeps each in a register (or what the compiler takes for one), and more in
# memory, in groups. So few have operations to spare for a shorter chain of them: see `short`.
FEW = 16


@inlined
def _every(work, w, w_end, a):
    """The sum over every eighth neuron of weight times activation."""
    v = full(work, 0.0)
    while w < w_end:
        v = fma(broadcast(work, w), load(work, a), v)
        w += SIDE_BY_SIDE
        a += SIDE_BY_SIDE * lanes(work)
    return v


@inlined
def forward(work, w, b, n_out, n_in, a, z, is_tanh, training):
    """Z = W A + b, or its tanh: the commonest activation is taken while the row is still in its register.

    In training, tanh and long sums are those of specialised.py, else of dense.py: a sample has the same outputs alone
    and among others.
    """
    V = lanes(work)
    end = b + n_out
    while b < end:
        v = broadcast(work, b)
        row_end = w + n_in
        if n_in < SIDE_BY_SIDE or not training:
            row = a
            while w < row_end:
                v = fma(broadcast(work, w), load(work, row), v)
                w += 1
                row += V
        else:
            v = v + sum_across(
                _every(work, w, row_end, a),
                _every(work, w + 1, row_end, a + V),
                _every(work, w + 2, row_end, a + V * 2),
                _every(work, w + 3, row_end, a + V * 3),
                _every(work, w + 4, row_end, a + V * 4),
                _every(work, w + 5, row_end, a + V * 5),
                _every(work, w + 6, row_end, a + V * 6),
                _every(work, w + 7, row_end, a + V * 7),
            )
            w = row_end
        if is_tanh:
            v = tanh_soon(v) if training else tanh(v)
        store(work, z, v)
        z += V
        b += 1


@inlined
def delta(work, at, target, weight, rows, gain, logistic, is_done, outputs):
    """As elementwise.delta, where it is output less target, times `gain`; or, if `is_done`, what it left times `gain`.

    The products with the target do not wait for the output: a single step is one long chain of operations. The last
    output itself goes to `outputs`.
    """
    V = lanes(work)
    bad = full(work, 0.0)
    gains = load(work, weight) * gain
    end = at + V * rows
    while at < end:
        a = load(work, at)
        bad = bad + (a - a)
        if is_done:
            store(work, at, a * gain)
        else:
            if logistic:
                a = sigmoid(a)
            store(work, outputs, a)
            store(work, at, fma(a, gains, -(load(work, target) * gains)))
        at += V
        target += V
    return sum_lanes(bad) == 0.0


@inlined
def backward(work, w, n_out, n_in, d, a, is_tanh):
    """Rows at a, which hold activation derivatives or, with `is_tanh`, values of it, become W^T D times the former."""
    V = lanes(work)
    end = w + n_in
    d_end = d + V * n_out
    while w < end:
        slope = load(work, a)
        if is_tanh:
            slope = fma(-slope, slope, 1.0)
        v = full(work, 0.0)
        weight = w
        row = d
        while row < d_end:
            v = fma(broadcast(work, weight) * slope, load(work, row), v)
            weight += n_in
            row += V
        store(work, a, v)
        a += V
        w += 1


@inlined
def gradient(work, to, start, w, b, n_out, n_in, d, a):
    """Add D A^T and D's row sums to the weights and biases of the vector at `start`; result at `to`.

    The first sample's product is added to the weight, and then that to the others: one addition less to wait for.
    """
    V = lanes(work)
    end = b + n_out
    while b < end:
        delta = load(work, d)
        row = a
        row_end = w + n_in
        while w < row_end:
            put(work, to + w, sum_lanes(fma(delta, load(work, row), head(broadcast(work, start + w)))))
            w += 1
            row += V
        put(work, to + b, sum_lanes(sum_across(delta, head(broadcast(work, start + b)))))
        d += V
        b += 1


@inlined
def short(work, to, start, w, b, n_out, n_in, v, a, x, output, target, weight, gain, is_tanh):
    """`backward` from the output of a network that has one, with the weights v, and `gradient` of the layer below.

    A hidden neuron's delta, and all that is multiplied by it, is the output times one number plus another: both are
    ready before the output is, so one operation after it comes the sum over the samples.
    """
    V = lanes(work)
    y = load(work, output)
    gains = load(work, weight) * gain
    rest = -(load(work, target) * gains)
    end = b + n_out
    while b < end:
        slope = load(work, a)
        if is_tanh:
            slope = fma(-slope, slope, 1.0)
        factor = broadcast(work, v) * slope
        delta = factor * rest
        more = factor * gains
        row = x
        row_end = w + n_in
        while w < row_end:
            r = load(work, row)
            put(work, to + w, sum_lanes(fma(y, more * r, fma(delta, r, head(broadcast(work, start + w))))))
            w += 1
            row += V
        put(work, to + b, sum_lanes(fma(y, more, sum_across(delta, head(broadcast(work, start + b))))))
        a += V
        v += 1
        b += 1
