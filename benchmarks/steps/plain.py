"""Steps 1 and 2: the tutorial's mathematics as loops, sample by sample, the way one writes them first.

Numba turns them into machine code as they stand, and calls the C library for tanh and exp. Step 2 changes no line of
this, only what the compiler may assume.
"""

import math

import numba
import numpy as np


def train(X, Y, W1, b1, W2, b2, iterations, rate):
    n_x, m = X.shape
    n_h = b1.size
    rate = X.dtype.type(rate)
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
                A[h] = math.tanh(z)
                z2 += W2[h] * A[h]
            d2 = (1 / (1 + math.exp(-z2)) - Y[s]) / m
            db2 += d2
            for h in range(n_h):
                d = W2[h] * d2 * (1 - A[h] * A[h])
                dW2[h] += d2 * A[h]
                db1[h] += d
                for i in range(n_x):
                    dW1[h, i] += d * X[i, s]
        W1 -= rate * dW1
        b1 -= rate * db1
        W2 -= rate * dW2
        b2[0] -= rate * db2


# What the compiler may assume: a division by zero gives infinity, as in C, and does not raise; sums may be added up in
# another order, and a multiplication and an addition be one instruction. Not that there is no NaN: one has to be seen.
FREE = {"error_model": "numpy", "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"}}

as_it_stands = numba.njit(train)
freed = numba.njit(train, **FREE)
