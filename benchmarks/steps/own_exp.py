"""Step 3: the same loops with an exponential of one's own.

A call of the C library is a wall to the compiler: it can neither look inside nor do eight at once. This exponential is
a dozen multiplications and additions without a branch: x = n ln 2 + r, a polynomial for e**r - 1, and 2**n put together
from its bits. `tanh` is expm1(2x) / (expm1(2x) + 2), which keeps the digits of small x.
"""

import math

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from benchmarks.steps.plain import FREE

LOG2E = 1 / math.log(2)
LN2_HIGH, LN2_LOW = 0.693359375, -2.1219444005469057e-4  # n * LN2_HIGH is exact in either precision
TERMS = {"float64": 12, "float32": 6}  # of e**r - 1 = r + r**2 / 2! + r**3 / 3! + ..., |r| <= ln(2) / 2
LIMIT = {"float64": 700.0, "float32": 85.0}  # beyond it, e**x is as good as 0 or infinite


@intrinsic
def power_of_two(context, n):
    """2**n: the exponent's bits of a floating-point number, with no mantissa."""

    def generate(context, builder, signature, arguments):
        (kind,) = signature.args
        whole = ir.IntType(kind.bitwidth)
        mantissa, bias = (52, 1023) if kind.bitwidth == 64 else (23, 127)
        exponent = builder.add(builder.fptosi(arguments[0], whole), ir.Constant(whole, bias))
        return builder.bitcast(builder.shl(exponent, ir.Constant(whole, mantissa)), arguments[0].type)

    return n(n), generate


def functions(dtype, flags):
    """tanh and sigmoid for float64 or float32, to be compiled into their callers."""
    kind = np.dtype(dtype).type
    log2e, high, low, limit = (kind(value) for value in (LOG2E, LN2_HIGH, LN2_LOW, LIMIT[dtype]))
    one, two, half = kind(1), kind(2), kind(0.5)
    series = tuple(kind(1 / math.factorial(k)) for k in range(TERMS[dtype], 0, -1))
    compiled = numba.njit(forceinline=True, **flags)

    @compiled
    def expm1(x):
        x = min(max(x, -limit), limit)
        n = np.floor(x * log2e + half)
        r = x - n * high - n * low
        p = series[0]
        for c in series[1:]:
            p = p * r + c
        scale = power_of_two(n)
        return scale * (p * r) + (scale - one)

    @compiled
    def tanh(x):
        e = expm1(min(x + x, limit / two))
        return e / (e + two)

    @compiled
    def sigmoid(x):
        return one / (two + expm1(-x))

    return tanh, sigmoid


def make(dtype, flags=FREE):
    tanh, sigmoid = functions(dtype, flags)
    one = np.dtype(dtype).type(1)

    @numba.njit(**flags)
    def train(X, Y, W1, b1, W2, b2, iterations, rate):
        n_x, m = X.shape
        n_h = b1.size
        rate = X.dtype.type(rate)
        share = one / X.dtype.type(m)
        A = np.empty_like(W2)
        dW1 = np.empty_like(W1)
        db1 = np.empty_like(W2)
        dW2 = np.empty_like(W2)
        for _ in range(iterations):
            dW1[:] = 0
            db1[:] = 0
            dW2[:] = 0
            db2 = X.dtype.type(0)
            for s in range(m):
                z2 = b2[0]
                for h in range(n_h):
                    z = b1[h]
                    for i in range(n_x):
                        z += W1[h, i] * X[i, s]
                    A[h] = tanh(z)
                    z2 += W2[h] * A[h]
                d2 = (sigmoid(z2) - Y[s]) * share
                db2 += d2
                for h in range(n_h):
                    d = W2[h] * d2 * (one - A[h] * A[h])
                    dW2[h] += d2 * A[h]
                    db1[h] += d
                    for i in range(n_x):
                        dW1[h, i] += d * X[i, s]
            W1 -= rate * dW1
            b1 -= rate * db1
            W2 -= rate * dW2
            b2[0] -= rate * db2

    return train
