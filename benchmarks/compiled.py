"""A sample forward in the user's compiled code: `Network.compile` beside C, and beside `Network.forward` from Python.

``python -m benchmarks.compiled`` prints the times and their ratios. In C the sizes are arguments, as they are of a
library that takes any network: plain loops, compiled by gcc -O3 -march=native -ffast-math, with libm's tanh or one
without branches, which gcc vectorises; the faster one counts. They take turns, each in a loop of its own language, and
each has the best of its rounds; results are compared before.
"""

from __future__ import annotations

import ctypes
import tempfile
from pathlib import Path

import numpy as np
from numba import njit

import fastxor as fx
from benchmarks.exported import pointer
from benchmarks.timing import Sized, calls, interleaved
from fastxor.bench.peers import c_peer

SHAPES = ((4, 32, 16, 4), (2, 2, 1), (24, 8, 2), (8, 64, 64, 4))
SAMPLES, ROUNDS, SAMPLE = 64, 15, 0.005

SOURCE = """
#include <math.h>
typedef REAL real;

static inline real tangent(real x)
{
#if OWN_MATH
    x = x < -19 ? -19 : x > 19 ? 19 : x;
    double y = 2.0 * x, n = rint(y * 1.4426950408889634), r = y - n * 0.6931471805599453, r2 = r * r;
    double low = 1 + r + r2 * (1. / 2 + r / 6 + r2 * (1. / 24 + r / 120));
    double high = 1. / 720 + r / 5040 + r2 * (1. / 40320 + r / 362880 + r2 * (1. / 3628800));
    union { long long bits; double value; } power = {.bits = ((long long)n + 1023) << 52};
    return (real)(1 - 2 / (1 + (low + r2 * r2 * r2 * high) * power.value));
#else
    return sizeof(real) == 8 ? (real)tanh(x) : (real)tanhf(x);
#endif
}

/* layers + 1 sizes; W1 row by row, b1, W2, ...; two buffers as long as the widest layer. */
void forward(const int *sizes, int layers, const real *theta, const real *x, real *out, real *one, real *other)
{
    for (int layer = 0; layer < layers; layer++) {
        const int n_in = sizes[layer], n_out = sizes[layer + 1];
        const real *bias = theta + n_out * n_in;
        real *to = layer == layers - 1 ? out : layer % 2 ? other : one;
        for (int row = 0; row < n_out; row++) {
            real sum = bias[row];
            for (int column = 0; column < n_in; column++)
                sum += theta[row * n_in + column] * x[column];
            to[row] = sum;
        }
        if (layer < layers - 1)
            for (int row = 0; row < n_out; row++)
                to[row] = tangent(to[row]);
        theta = bias + n_out;
        x = to;
    }
}

void loop(const int *sizes, int layers, const real *theta, const real *X, real *A, long count)
{
    real one[256], other[256];
    const int n_x = sizes[0], n_y = sizes[layers];
    for (long call = 0; call < count; call++) {
        long sample = call % SAMPLES;
        forward(sizes, layers, theta, X + sample * n_x, A + sample * n_y, one, other);
    }
}
"""


def contenders(sizes: tuple[int, ...], dtype: str, folder: Path) -> dict[str, Sized]:
    """What makes so many calls, by name, after a look at what comes out."""
    net = fx.Network(sizes, "tanh", "identity")
    parameters = net.initialize(0, dtype=dtype)
    theta = net.flatten(parameters)
    X = np.random.default_rng(0).normal(size=(SAMPLES, sizes[0])).astype(dtype)
    wanted = np.ascontiguousarray(net.forward(parameters, X.T).T)
    forward = net.compile().forward

    @njit
    def loop(theta, X, A, count):
        for call in range(count):
            forward(theta, X[call % SAMPLES], A[call % SAMPLES])

    A = np.zeros_like(wanted)
    loop(theta, X, A, SAMPLES)
    np.testing.assert_allclose(A, wanted, rtol=0, atol=1e-9 if dtype == "float64" else 1e-5)
    one = X[:1].T
    found: dict[str, Sized] = {
        "compiled": lambda count: loop(theta, X, A, count),
        "Python": calls(lambda: net.forward(parameters, one)),
    }
    (folder / "forward.c").write_text(SOURCE)
    numbers = (ctypes.c_int * len(sizes))(*sizes)
    for own in (0, 1):
        macros = {"REAL": "double" if dtype == "float64" else "float", "SAMPLES": SAMPLES, "OWN_MATH": own}
        library = c_peer.build(folder / "forward.c", macros)
        arguments = numbers, len(sizes) - 1, *map(pointer, (theta, X, A))

        def run(count: int, library: ctypes.CDLL = library, arguments: tuple = arguments) -> None:
            library.loop(*arguments, ctypes.c_long(count))

        A[:] = 0
        run(SAMPLES)
        np.testing.assert_allclose(A, wanted, rtol=0, atol=1e-9 if dtype == "float64" else 1e-4)
        found[f"C {own}"] = run
    return found


def main() -> None:
    print(f"{'sizes':12} {'dtype':8} {'compiled':>9} {'C':>9} {'of C':>6} {'Python':>9} {'times':>6}")
    for sizes in SHAPES:
        for dtype in ("float64", "float32"):
            with tempfile.TemporaryDirectory() as folder:
                times = interleaved(contenders(sizes, dtype, Path(folder)), ROUNDS, SAMPLE)
            best = {key: float(values.min()) * 1e9 for key, values in times.items()}
            ours, python = best.pop("compiled"), best.pop("Python")
            peer, shape = min(best.values()), "-".join(map(str, sizes))
            row = f"{shape:12} {dtype:8} {ours:6.1f} ns {peer:6.1f} ns {ours / peer:6.2f}"
            print(row, f"{python:6.0f} ns {python / ours:6.1f}", flush=True)


if __name__ == "__main__":
    main()
