"""The kernels that Python calls: the engine, and the small ones beside it. Arrays are flat."""

import math

from ._jit import kernel
from .engine import BACKWARD, COST, EVALUATE, FORWARD, PREDICT, PULLBACK, TRAIN, cost_of_tiles, engine, is_finite
from .samples import fetch
from .simd import lanes, load, store
from .tracing import steps, traced_inline
from .vmath import sigmoid

__all__ = [
    "BACKWARD",
    "COST",
    "EVALUATE",
    "FORWARD",
    "PREDICT",
    "PULLBACK",
    "TRAIN",
    "cost",
    "cost_of_tiles",
    "descend",
    "engine",
    "fetch",
    "logistic",
]


@kernel("float64(T[::1], T[::1], int64)")
def cost(A, Y, samples):
    """-sum(Y log A + (1 - Y) log(1 - A)) / samples, with 0 log 0 = 0; NaN if a value is not between 0 and 1."""
    total = 0.0
    for i in range(A.size):
        a = A[i]
        y = Y[i]
        if not (0 <= a <= 1 and 0 <= y <= 1):
            return math.nan
        if y > 0:
            total -= y * (math.log(a) if a > 0 else -math.inf)
        if y < 1:
            total -= (1 - y) * (math.log1p(-a) if a < 1 else -math.inf)
    return total / samples


@kernel("void(T[::1])")
def logistic(z):
    """z = sigmoid(z) in place; the length is a multiple of the vector's."""
    _sigmoids(z, z.size)


@traced_inline
def _sigmoids(z, n):
    for i in steps(0, n, lanes(z)):
        store(z, i, sigmoid(load(z, i)))


@kernel("boolean(T[::1], T[::1], float64, T[::1])")
def descend(theta, gradient, rate, after):
    """after = theta - rate * gradient; False if that is not finite."""
    rate = theta.dtype.type(rate)
    good = True
    for i in range(theta.size):
        after[i] = theta[i] - rate * gradient[i]
        good = good and is_finite(after[i])  # which it is not if one of the others is not
    return good
