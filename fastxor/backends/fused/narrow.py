"""The products of dense.py for tiles of a single vector: the XOR problem and its like.

The loop over samples is gone: a row is one register, and a neuron's weights are broadcast to it one by one.

The order of operations, which specialised kernels keep too, so that they have the same bits:

- A weighted sum begins as its bias and takes one product after the other. One of `PARTIAL_SUMS` products or more is as
  many partial sums, each of every so-manieth product, which are added up as lanes are; the bias comes last.
- A delta at the output is output less target, times the gain. Below it, each weight times the activation's derivative
  is multiplied by the delta above, one after the other.
- A sum over samples has the old parameter in its first lane before the lanes are added up.
- A short step (see `short`) multiplies weight, derivative, gain and input first, and the output's difference last.
"""

from .choices import PARTIAL_SUMS
from .simd import broadcast, first_lane, fma, full, lanes, load, put, store, sum_across, sum_lanes
from .tracing import cond, fori_loop, steps, traced_inline
from .vmath import sigmoid, tanh, tanh_soon


@traced_inline
def forward(work, w, b, n_out, n_in, a, z, is_tanh, training):
    """Z = W A + b, or its tanh: the commonest activation is taken while the row is still in its register.

    In training, tanh and long sums are those of specialised/, else of dense.py: a sample has the same outputs alone
    and among others.

    Many arguments: see tracing.py.
    """
    V = lanes(work)

    def products(start, first, step, row):
        """`start` plus weight times activation of every `step`-th neuron from the `first` on."""

        def product(k, v):
            return fma(broadcast(work, row + k), load(work, a + k * V), v)

        return fori_loop(first, n_in, step, product, start)

    for r in steps(0, n_out):
        row, bias = w + r * n_in, broadcast(work, b + r)

        def long(row=row, bias=bias):
            none = full(work, 0.0)
            return bias + sum_across(*(products(none, i, PARTIAL_SUMS, row) for i in range(PARTIAL_SUMS)))

        def short(row=row, bias=bias):
            return products(bias, 0, 1, row)

        v = cond((n_in >= PARTIAL_SUMS) & training, long, short)

        def curved(v=v):
            return cond(training, lambda: tanh_soon(v), lambda: tanh(v))

        store(work, z + r * V, cond(is_tanh, curved, lambda v=v: v))


@traced_inline
def delta(work, at, target, weight, rows, gain, logistic, is_done, errors):
    """As elementwise.delta, where it is output less target, times `gain`; or, if `is_done`, what it left times `gain`.

    The last output's difference itself goes to `errors`.

    Many arguments: see tracing.py.
    """
    V = lanes(work)
    gains = load(work, weight) * gain

    def row(r, bad):
        z = load(work, at + r * V)

        def derivative():
            y = load(work, target + r * V)
            error = cond(logistic, lambda: sigmoid(z), lambda: z) - y
            store(work, errors, error)
            return error * gains

        store(work, at + r * V, cond(is_done, lambda: z * gain, derivative))
        return bad + (z - z)

    return sum_lanes(fori_loop(0, rows, 1, row, full(work, 0.0))) == 0.0


@traced_inline
def backward(work, w, n_out, n_in, d, a, is_tanh):
    """Rows at a, which hold activation derivatives or, with `is_tanh`, values of it, become W^T D times the former."""
    V = lanes(work)
    for k in steps(0, n_in):
        slope = _slope(work, a + k * V, is_tanh)

        def product(r, v, k=k, slope=slope):
            return fma(broadcast(work, w + k + r * n_in) * slope, load(work, d + r * V), v)

        store(work, a + k * V, fori_loop(0, n_out, 1, product, full(work, 0.0)))


def _slope(work, at, is_tanh):
    """The activation's derivative, from what stands there."""
    slope = load(work, at)
    return cond(is_tanh, lambda: fma(-slope, slope, 1.0), lambda: slope)


@traced_inline
def gradient(work, to, start, w, b, n_out, n_in, d, a):
    """Add D A^T and D's row sums to the weights and biases of the vector at `start`; result at `to`.

    The first sample's product is added to the weight, and then that to the others: one addition less to wait for.

    Many arguments: see tracing.py.
    """
    V = lanes(work)
    for r in steps(0, n_out):
        delta = load(work, d + r * V)
        row = w + r * n_in
        for k in steps(0, n_in):
            old = first_lane(broadcast(work, start + row + k))
            put(work, to + row + k, sum_lanes(fma(delta, load(work, a + k * V), old)))
        put(work, to + b + r, sum_lanes(sum_across(delta, first_lane(broadcast(work, start + b + r)))))


@traced_inline
def short(work, to, start, w, b, n_out, n_in, v, a, x, errors, weight, gain, is_tanh):
    """`backward` from the output of a network that has one, with the weights v, and `gradient` of the layer below.

    A single step is one long chain of operations. All that the output's difference from its target is multiplied by
    is ready before it is, so one operation after it comes the sum over the samples.

    Many arguments: see tracing.py.
    """
    V = lanes(work)
    error = load(work, errors)
    gains = load(work, weight) * gain
    for r in steps(0, n_out):
        factor = broadcast(work, v + r) * _slope(work, a + r * V, is_tanh) * gains
        row = w + r * n_in
        for k in steps(0, n_in):
            old = first_lane(broadcast(work, start + row + k))
            put(work, to + row + k, sum_lanes(fma(error, factor * load(work, x + k * V), old)))
        put(work, to + b + r, sum_lanes(fma(error, factor, first_lane(broadcast(work, start + b + r)))))
