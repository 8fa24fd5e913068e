"""The elementary functions of fused/vmath.py, which only kernels call, as functions of numpy arrays.

Run as a program with a file's name, it writes there what the functions and the engine give at this process's vector
width (FASTXOR_VECTOR_BITS), for another process to compare.
"""

import sys
from functools import partial

import numba
import numpy as np
from engine_cases import JOBS, RUN, assert_close

import fastxor as fx
from fastxor.backends.fused import _jit, simd, tracing, vmath

NAMES = ("exp", "expm1", "log", "tanh", "sigmoid", "softplus", "gelu", "gelu_slope", "sin", "cos")
NAMES += ("exp_down", "tanh_soon", "sigmoid_of_many")
DOWN = ("expm1", "exp_down")  # of no positive numbers


_FUNCTIONS = {name: getattr(vmath, name) for name in NAMES if hasattr(vmath, name)}
_FUNCTIONS["gelu"] = lambda x: vmath.gelu(x)[0]
_FUNCTIONS["gelu_slope"] = lambda x: vmath.gelu(x)[1]
_FUNCTIONS["sin"] = lambda x: vmath.sin_cos(x)[0]
_FUNCTIONS["cos"] = lambda x: vmath.sin_cos(x)[1]


@tracing.traced_inline
def _fill(code, x, y, n):
    def apply(function):
        for i in tracing.steps(0, n, simd.lanes(x)):
            simd.store(y, i, function(simd.load(x, i)))

    tracing.switch(code, {NAMES.index(name): partial(apply, function) for name, function in _FUNCTIONS.items()})


@numba.njit(**_jit.FLAGS)
def _kernel(code, x, y):
    _fill(code, x, y, x.size)


def elementary(name, z):
    """The function of that name of each element of a vector; as many zeros are added as fill the last register."""
    lanes = simd.lanes(z)
    x = np.zeros(-(-z.size // lanes) * lanes, z.dtype)
    x[: z.size] = z
    y = np.empty_like(x)
    _kernel(NAMES.index(name), x, y)
    return y[: z.size]


def points(name, dtype):
    """Arguments over the whole range where the function is used: tiny, small, moderate and large, of both signs."""
    info = np.finfo(dtype)
    if name in ("sin", "cos"):
        z = np.concatenate([np.linspace(0, 10, 801), np.geomspace(10, 1e5, 400), np.geomspace(info.tiny, 1, 400)])
    else:
        ends = {
            "exp": 800.0,
            "exp_down": 800.0,
            "expm1": 60.0,
            "tanh": 25.0,
            "tanh_soon": 25.0,
            "sigmoid": 800.0,
            "sigmoid_of_many": 800.0,
            "softplus": 800.0,
        }
        end = ends.get(name, 45.0)
        z = np.concatenate(
            [
                np.geomspace(info.tiny, 1, 600),
                np.linspace(0, 3, 601),
                np.linspace(3, 45, 4001 if name.startswith("gelu") else 901),
                np.linspace(45, end, 301),
                [0.0, 100.0, 1000.0, 1e30, info.max],
            ]
        )
    if name == "log":  # of positive normal numbers
        z = np.concatenate([np.geomspace(info.tiny, info.max / 2, 800), np.linspace(0.5, 2, 1201), 1 + z[z < 1e-3]])
        return np.clip(z, info.tiny, info.max).astype(dtype)
    z = np.concatenate([-z[::-1], z])
    return (z[z <= 0] if name in DOWN else z).astype(dtype)


def engine_outputs():
    """What does not depend on the order of a sum: outputs and derivatives of networks of one weight a unit."""
    for activation in ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "softplus", "gelu", "sin"):
        for dtype in (np.float64, np.float32):
            z = points("sin" if activation == "sin" else "tanh", dtype)[::9]
            z = z[np.abs(z) < 1e4]
            net = fx.Network([1, z.size, 1], activation, "identity", "huber")
            start = {"W1": z[:, None], "b1": 0 * z[:, None], "W2": 0 * z[None] + 1, "b2": np.full((1, 1), 9e5)}
            start = {key: value.astype(dtype) for key, value in start.items()}
            one = np.ones((1, 1), dtype)
            yield net.gradient(start, one, one, backend="numba")[1]["db1"].ravel()  # W2 times huber's slope is 1
            single = fx.Network([1, 1, 1], activation, "identity")
            start = {"W1": one, "b1": 0 * one, "W2": one, "b2": 0 * one}
            yield single.forward(start, z[None], backend="numba").ravel()
    for output in ("sigmoid", "softmax"):
        net = fx.Network([7, 9, 5, 3], ["gelu", "tanh"], output)
        X = np.random.RandomState(0).standard_normal((7, 77))
        yield net.forward(net.initialize(1), X, backend="numba").ravel()


def main(path):
    functions = {f"{n} {np.dtype(d)}": elementary(n, points(n, d)) for n in NAMES for d in (np.float64, np.float32)}
    engine = {f"engine {number}": array for number, array in enumerate(engine_outputs())}
    # Training adds up lanes, in an order that follows from their number: equal to rounding, against the reference.
    for job in JOBS[::5]:
        assert_close(job.train("numba").parameters, job.train("numpy").parameters, RUN[job.dtype])
    np.savez(path, bits=_jit.VECTOR_BITS, **functions, **engine)


if __name__ == "__main__":
    main(sys.argv[1])
