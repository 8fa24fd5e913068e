"""Step 6: a microkernel for the matrix products, in the instructions of the machine.

Step 4 loads two numbers and stores one for each multiplication. Here a block of 4 x 2 vectors of sums stays in
registers from the first term to the last: two loads of vectors and four of weights feed eight multiply-adds. It is
written as an intrinsic, a function that emits LLVM's vector instructions itself; sizes are arguments, so that it is
compiled once. Both products of a step are the same one: W1 X, and D X' with the samples as terms.
"""

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from benchmarks.steps.own_exp import functions
from benchmarks.steps.plain import FREE
from fastxor.backends.fused._jit import VECTOR_BITS

ROWS, VECTORS = 4, 2


def width(dtype):
    """Columns of a block."""
    return VECTORS * VECTOR_BITS // 8 // np.dtype(dtype).itemsize


@intrinsic
def block(context, Z, z, step, M, w, row, col, n, A, a, stride):
    """Z += M A on a block of Z: its rows begin at Z[z + r * step].

    M[r, k] is M[w + r * row + k * col], and row k of A begins at A[a + k * stride]; there are n terms. (Many arguments:
    three arrays and where in each of them.)
    """
    signature = types.void(Z, z, step, M, w, row, col, n, A, a, stride)

    def generate(context, builder, signature, arguments):
        Z, z, step, M, w, row, col, n, A, a, stride = arguments
        dtype = signature.args[0].dtype
        scalar = context.get_value_type(dtype)
        vector = ir.VectorType(scalar, VECTOR_BITS // dtype.bitwidth)
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fmuladd.v{vector.count}f{dtype.bitwidth}"
        multiply_add = cgutils.get_or_insert_function(builder.module, kind, name)
        Z, M, A = (
            context.make_array(signature.args[place])(context, builder, value).data
            for place, value in ((0, Z), (3, M), (8, A))
        )

        def index(start, times, by, more=0):
            offset = builder.add(start, builder.mul(context.get_constant(types.intp, times), by))
            return builder.add(offset, context.get_constant(types.intp, more))

        def vector_at(array, offset):
            return builder.bitcast(builder.gep(array, [offset]), vector.as_pointer())

        def fill(value):
            one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
            return builder.shuffle_vector(
                one, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
            )

        places = [
            (r, c, vector_at(Z, index(z, r, step, c * vector.count))) for r in range(ROWS) for c in range(VECTORS)
        ]
        sums = []
        for _r, _c, place in places:  # LLVM keeps these in registers: nothing takes their address
            sums.append(cgutils.alloca_once_value(builder, builder.load(place, align=dtype.bitwidth // 8)))
        with cgutils.for_range(builder, n) as loop:
            start = builder.add(a, builder.mul(loop.index, stride))
            columns = [
                builder.load(vector_at(A, index(start, 0, stride, c * vector.count)), align=dtype.bitwidth // 8)
                for c in range(VECTORS)
            ]
            first = builder.add(w, builder.mul(loop.index, col))
            weights = [fill(builder.load(builder.gep(M, [index(first, r, row)]))) for r in range(ROWS)]
            for (r, c, _place), total in zip(places, sums, strict=True):
                value = builder.call(multiply_add, [weights[r], columns[c], builder.load(total)])
                builder.store(value, total)
        for (_r, _c, place), total in zip(places, sums, strict=True):
            builder.store(builder.load(total), place, align=dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


def make(dtype):
    tanh, sigmoid = functions(dtype, FREE)
    one = np.dtype(dtype).type(1)
    columns = width(dtype)

    @numba.njit(**FREE)
    def multiply(Z, M, A, n_rows, n_columns, n):
        """Z += M A for whole blocks; all three flat, row by row."""
        for s in range(0, n_columns, columns):
            for r in range(0, n_rows, ROWS):
                block(Z, r * n_columns + s, n_columns, M, r * n, n, 1, n, A, s, n_columns)

    @numba.njit(**FREE)
    def train(X, Y, W1, b1, W2, b2, iterations, rate):
        n_x, m = X.shape
        n_h = b1.size
        rate = X.dtype.type(rate)
        share = one / X.dtype.type(m)
        A = np.empty((n_h, m), X.dtype)
        dW1 = np.empty((n_h, n_x), X.dtype)
        d2 = np.empty(m, X.dtype)
        columns_of_X = X.ravel()
        rows_of_X = X.T.copy().ravel()  # samples down: made once, for the samples do not change
        for _ in range(iterations):
            d2[:] = b2[0]
            for h in range(n_h):
                A[h, :] = b1[h]
            multiply(A.ravel(), W1.ravel(), columns_of_X, n_h, m, n_x)
            for h in range(n_h):
                a = A[h]
                for s in range(m):
                    a[s] = tanh(a[s])
                    d2[s] += W2[h] * a[s]
            total = X.dtype.type(0)
            for s in range(m):
                d2[s] = (sigmoid(d2[s]) - Y[s]) * share
                total += d2[s]
            b2[0] -= rate * total
            for h in range(n_h):
                a = A[h]
                total = X.dtype.type(0)
                other = X.dtype.type(0)
                for s in range(m):
                    other += d2[s] * a[s]
                    a[s] = W2[h] * d2[s] * (one - a[s] * a[s])
                    total += a[s]
                W2[h] -= rate * other
                b1[h] -= rate * total
            dW1[:] = 0
            multiply(dW1.ravel(), A.ravel(), rows_of_X, n_h, n_x, m)
            W1 -= rate * dW1

    return train
