"""Numba's flags: named in one file, the same for every kernel, and safe for NaN, threads and vectorising."""

import gc
import importlib
import pkgutil
import re

import numba
import numpy as np
import pytest
from numba.core.caching import NullCache
from support import PACKAGE

import fastxor.backends.fused as fused
from fastxor.backends.fused import _jit

FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
MODULES = [importlib.import_module(f"{fused.__name__}.{m.name}") for m in pkgutil.iter_modules(fused.__path__)]
KERNELS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": value
    for module in (fused, *MODULES)
    for name, value in vars(module).items()
    if isinstance(value, numba.core.dispatcher.Dispatcher)
}


def test_the_kernels_are_found():
    """Those that Python calls, and many that are compiled into them."""
    assert {f"kernels.{name}" for name in ("engine", "cost", "logistic", "update")} <= set(KERNELS)
    assert len(KERNELS) > 20


@pytest.mark.parametrize("name", KERNELS)
def test_flags_of_every_kernel(name):
    options = KERNELS[name].targetoptions
    assert options["error_model"] == "numpy"
    assert options["fastmath"] is not True
    assert set(options["fastmath"]) == FASTMATH
    assert options["nogil"] is True
    assert not options.get("boundscheck")
    assert not options.get("parallel")
    assert options["nopython"] is True


@pytest.mark.parametrize("collects", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_compiling_leaves_the_garbage_collector_as_it_was(collects, frozen):
    were = gc.isenabled()
    gc.enable() if collects else gc.disable()
    try:
        if frozen:
            gc.freeze()
        before = gc.get_freeze_count()
        kernel = _jit.kernel(lambda x: x + 1.0)
        kernel._cache = NullCache()
        assert kernel(1.0) == 2.0
        assert gc.isenabled() == collects
        assert (gc.get_freeze_count() > 0) == (before > 0) == frozen
    finally:
        gc.unfreeze()
        gc.enable() if were else gc.disable()


def test_only_one_file_names_the_flags():
    words = re.compile(
        r"\b(njit|fastmath|error_model|nogil|boundscheck)\b *(=|\(|\"|')|@(numba\.)?n?jit\b|cache *= *True"
    )
    naming = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if words.search(path.read_text())}
    assert {name.replace("\\", "/") for name in naming} == {"backends/fused/_jit.py"}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_kernels_keep_nan_and_infinity_honest(dtype):
    """Under a fast-math that assumes neither, `isfinite` would be folded away: every refusal rests on it."""
    theta = np.zeros(9, dtype)
    for place in range(9):
        for value in (np.nan, np.inf, -np.inf):
            spoiled = theta.copy()
            spoiled[place] = value
            assert fused.update(spoiled, theta, 0.1) is None
            assert fused.update(theta, spoiled, 0.1) is None
    np.testing.assert_array_equal(fused.update(theta, theta, 0.1), theta)
