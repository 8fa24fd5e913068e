"""Fixtures shared by the whole suite: the three cores, and a backend selection that no test leaks."""

import gc
import os
import signal
import sys
from importlib.util import find_spec
from shutil import which

import numpy as np
import pytest
import support
import threadpoolctl
import unjitted

import fastxor as fx
from fastxor.backends.fused import kernels, session

unjitted.install()

# Tests' bytecode is kept for the next time, as that of child processes is: half of what it takes to collect them.
sys.dont_write_bytecode = False

# Tests of what another program is to compute, where there is that program: PyTorch is large, ONNX Runtime comes later
# than Python, scikit-learn's callbacks than the oldest one that the extra takes, and not every system has gcc or MPI.
WANTED = {
    "test_mpi.py": find_spec("mpi4py") and support.MPIEXEC,
    "test_torch.py": find_spec("torch"),
    "test_onnx.py": find_spec("onnxruntime"),
    "test_sklearn_callbacks.py": find_spec("sklearn.callback"),
    "test_exporting_c.py": which("gcc"),
}
collect_ignore = [file for file, found in WANTED.items() if not found]

# The matrices are small: BLAS threads only get in each other's way, above all beside other test processes.
threadpoolctl.threadpool_limits(1)


# Fixtures that take seconds, once in each process of tests.
SHARED = {"fresh"}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """The longest tests come first, in whatever order the others are: no core is left alone with one at the end. Before
    them come those that share a fixture that takes long: together, so that of several processes one has them all.
    """
    items.sort(key=lambda item: item.get_closest_marker("takes_seconds") is None)
    items.sort(key=lambda item: SHARED.isdisjoint(item.fixturenames))


def pytest_collection_finish():
    """What has been imported and collected stays: Python's collector need not go through it again and again, nor come
    after every seven hundred objects, of which a compiler and a profiler make millions.
    """
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


@pytest.fixture(autouse=True, scope="session")
def compiled():
    """The core is compiled and cached before any test, so that no child process has to say that it compiles.

    Of two processes of tests each compiles it for one dtype, and finds what the other one has compiled.
    """
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
        kernels.engine[np.dtype("float32")]
    fx.warmup()


@pytest.fixture(autouse=True)
def backend_selection_restored():
    """Whatever a test selects process-wide is taken back."""
    before = fx.get_backend()
    yield
    fx.set_backend(before)


@pytest.fixture(autouse=True)
def workspaces_of_its_own():
    """No test has what another one's runs have left, perhaps with other choices or kernels."""
    session._pool.clear()


@pytest.fixture
def ctrl_c():
    """SIGINT interrupts, also in a suite that was started in the background, where a shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=["numpy", "numba"])
def core(request):
    """The two cores that a user can name."""
    return request.param


@pytest.fixture(params=["numpy", "numba", "unjitted"])
def backend(request):
    """Both cores, and the fused one's source run as plain Python."""
    return request.param
