"""The elementary functions of the fused core, which only kernels call, on whole arrays; and the same by others' hands.

Each takes (x, y) and fills y, as long as x, with its values; `fused` wants a multiple of the vector's length.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import mpmath
import numba
import numpy as np

from fastxor.backends.fused import _jit, simd, tracing, vmath
from fastxor.backends.reference import ACTIVATIONS

Fill = Callable[[np.ndarray, np.ndarray], object]


_FUSED = {
    "exp": vmath.exp,
    "tanh": vmath.tanh,
    "sigmoid": vmath.sigmoid,
    "softplus": vmath.softplus,
    "gelu": lambda x: vmath.gelu(x)[0],
    "sin": lambda x: vmath.sin_cos(x)[0],
}
_LIBM = {
    "exp": lambda x: math.exp(x),
    "tanh": lambda x: math.tanh(x),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "softplus": lambda x: math.log1p(math.exp(x)),
    "gelu": lambda x: x / 2 * math.erfc(-x * math.sqrt(0.5)),
    "sin": lambda x: math.sin(x),
}
_EXACT = {
    "exp": mpmath.exp,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "gelu": lambda x: x / 2 * mpmath.erfc(-x / mpmath.sqrt(2)),
    "sin": mpmath.sin,
}
NAMES = tuple(_EXACT)


@functools.cache
def fused(name: str) -> Fill:
    """One register at a time, compiled when it is first called."""
    function = _FUSED[name]

    @tracing.traced_inline
    def whole(x, y, n):
        for i in tracing.steps(0, n, simd.lanes(x)):
            simd.store(y, i, function(simd.load(x, i)))

    @numba.njit(**_jit.FLAGS)
    def fill(x, y):
        whole(x, y, x.size)

    return fill


@functools.cache
def libm(name: str) -> Fill:
    """The C library's functions in a Numba loop."""
    function = numba.njit(_LIBM[name], error_model="numpy")

    @numba.njit(error_model="numpy")
    def fill(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    return fill


def in_numpy(name: str) -> Fill:
    """As the reference has it."""
    function = np.exp if name == "exp" else ACTIVATIONS[name][0]

    def fill(x, y):
        y[:] = function(x)

    return fill


def worst_ulp(name: str, dtype: str, values: int = 4096) -> float:
    """The largest error over a sample of arguments, in units in the last place of the exact value."""
    ends = np.geomspace(1e-30, 30, values // 2)
    x = np.concatenate([-ends, ends]).astype(dtype)
    y = np.empty_like(x)
    fused(name)(x, y)
    with mpmath.workdps(40):
        exact = [_EXACT[name](mpmath.mpf(value)) for value in x.tolist()]
        errors = np.array([float(got - want) for got, want in zip(y.tolist(), exact, strict=True)])
    size = np.abs(np.array(exact, float))
    normal = size >= np.finfo(dtype).tiny  # below that, results may be 0
    return float(np.abs(errors / np.spacing(size.astype(dtype)).astype(float))[normal].max())
