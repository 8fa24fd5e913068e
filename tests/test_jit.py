"""How kernels are compiled: flags that are safe for NaN, Numba's public interface, and what may go wrong."""

import ast
import gc
import importlib
import pkgutil
import re
import signal
import threading
import time

import numpy as np
import pytest
from support import PACKAGE, run_python

import fastxor as fx
import fastxor.backends.fused as fused
from fastxor.backends import CompilationError, SettingError
from fastxor.backends.fused import _jit

FUSED = PACKAGE / "backends" / "fused"
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
MODULES = [importlib.import_module(f"{fused.__name__}.{m.name}") for m in pkgutil.iter_modules(fused.__path__)]
KERNELS = {name: value for module in MODULES for name, value in vars(module).items() if isinstance(value, _jit.Kernel)}


@pytest.fixture
def kernel(monkeypatch):
    """A kernel of this test's own, which is not kept: ``kernel(function)``."""
    monkeypatch.setattr(_jit.cache, "load", lambda *_: None)
    monkeypatch.setattr(_jit.cache, "save", lambda *_: None)
    return _jit.kernel("float64(T)", "a kernel of the tests")


def test_the_kernels_are_found():
    assert set(KERNELS) == {
        "engine",
        "fetch",
        "cost",
        "cost_of_tiles",
        "logistic",
        "descend",
        "jacobian",
        "substitute",
        "input_derivatives",
        "hessian",
        "draw",
        "shuffle",
    }


def test_flags():
    assert _jit.FLAGS["error_model"] == "numpy"
    assert set(_jit.FLAGS["fastmath"]) == FASTMATH  # True would be more than these
    assert _jit.FLAGS["nogil"] is True
    assert not _jit.FLAGS.get("boundscheck")
    assert not _jit.FLAGS.get("parallel")


def test_the_disk_is_looked_at_once_for_a_kernel(kernel, monkeypatch):
    """Every one of many short calls asks whether it is there."""
    looked = []
    monkeypatch.setattr(_jit.cache, "has", lambda *_: looked.append(_) or False)
    half = kernel(lambda x: x / 2)
    dtypes = np.dtype(np.float64), np.dtype(np.float32)
    assert not any(half.is_ready(dtype) for dtype in 2 * dtypes)
    assert len(looked) == 2
    half[dtypes[0]]
    assert half.is_ready(dtypes[0])


def test_every_kernel_has_them(kernel):
    made = kernel(lambda x: x + 1.0)
    assert made[np.dtype(float)](1.0) == 2.0
    options = made.dispatchers[np.dtype(float)].targetoptions
    assert options == {**_jit.FLAGS, "nopython": True} | {
        key: options[key] for key in options.keys() - _jit.FLAGS.keys()
    }


def test_an_exact_kernel_does_what_is_written(kernel):
    """No operation is joined with another, whose result would then be rounded once."""
    made = _jit.kernel("float64(T, T, T)", "a kernel of the tests", exact=True)(lambda x, y, z: x * y + z)
    x = 1 + 2.0**-30
    assert made[np.dtype(float)](x, x, -1 - 2.0**-29) == 0
    options = made.dispatchers[np.dtype(float)].targetoptions
    assert not options["fastmath"]
    assert options["error_model"] == "numpy"


def test_only_one_file_names_the_flags():
    words = re.compile(
        r"\b(njit|fastmath|error_model|nogil|boundscheck)\b *(=|\(|\"|')|@(numba\.)?n?jit\b|cache *= *True"
    )
    naming = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if words.search(program(path))}
    assert {name.replace("\\", "/") for name in naming} == {"backends/fused/_jit.py"}


def program(path):
    """What is run of a file: docstrings may show what users write."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.unparse(tree)


def imports(path):
    """The modules that a file names in its imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_one_short_file_uses_what_numba_keeps_private():
    public = {
        "numba",
        "numba.TypingError",
        "numba.config",
        "numba.types",
        "numba.extending",
        "llvmlite",
        "llvmlite.ir",
        "llvmlite.binding",
    }
    private = set()
    for path in PACKAGE.rglob("*.py"):
        for name in imports(path):
            known = name in public or name.startswith("numba.extending.")
            if name.split(".")[0] in ("numba", "llvmlite") and not known:
                private.add(path)
    assert private == {FUSED / "_machine_code.py"}
    assert len((FUSED / "_machine_code.py").read_text().splitlines()) <= 80


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


# ---------------------------------------------------------------- a kernel that cannot be compiled


def test_a_function_that_does_not_compile(kernel):
    broken = kernel(lambda x: x.nothing_of_the_kind)
    with pytest.raises(CompilationError, match="kernel of the tests cannot be compiled for float64"):
        broken[np.dtype(float)]


NO_ENGINE = """
import sys, warnings
import numba
import numpy as np

import fastxor as fx
from fastxor.backends.fused import _jit

def njit(**flags):
    raise RuntimeError("no compiler today")

numba.njit = njit
X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
net, line = fx.Network([2, 3, 1]), fx.Network([2, 3, 1], output="identity")

def everything():
    start = net.initialize(0)
    two = fx.initialize_parameters(2, 2, 1, random_state=0)
    A2, cache = fx.forward_prop(X, two)
    return [
        fx.sigmoid(0.5), A2, fx.calculate_cost(A2, Y), *fx.backward_prop(X, Y, cache, two).values(),
        *fx.update_parameters(two, fx.backward_prop(X, Y, cache, two), 0.1).values(),
        net.forward(start, X), net.cost(start, X, Y), *net.gradient(start, X, Y)[1].values(),
        *fx.train(net, X, Y, iterations=20, random_state=0).parameters.values(),
        *fx.train(net, X, Y, iterations=20, random_state=0, batch_size=3, optimizer=fx.Adam()).parameters.values(),
        *fx.train(line, X, Y, iterations=3, random_state=0, optimizer=fx.LevenbergMarquardt()).parameters.values(),
        *fx.model(X, Y, 2, 2, 1, 20, 0.3, print_cost=False, random_state=0).values(),
    ]

fx.set_backend("numba")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    getattr(fx, sys.argv[1])(*eval(sys.argv[2]))
    got = everything()
    fx.warmup()
assert [w.category for w in caught] == [RuntimeWarning], caught
print(caught[0].message)
assert fx.available_backends() == ("numpy",) and fx.get_backend() == "numpy"
fx.set_backend("numpy")
for g, w in zip(got, everything(), strict=True):
    np.testing.assert_array_equal(g, w)
"""


@pytest.mark.parametrize(
    ("first", "arguments"),
    [("warmup", "()"), ("sigmoid", "(0.5,)"), ("train", "(net, X, Y)"), ("calculate_cost", "([[0.5]], [[1]])")],
)
def test_numpy_serves_when_the_core_does_not_compile(tmp_path, first, arguments):
    """With one warning that says why, whatever is called first."""
    done = run_python("-c", NO_ENGINE, first, arguments, cwd=tmp_path, env={"NUMBA_CACHE_DIR": tmp_path})
    assert "no compiler today" in done.stdout
    assert "'numpy' backend serves" in done.stdout


# ---------------------------------------------------------------- signals, threads and children while it compiles


def test_an_interrupt_ends_the_wait_and_loses_nothing(kernel, monkeypatch, ctrl_c):
    started, may_end, ended = threading.Event(), threading.Event(), []
    made = kernel(lambda x: x)

    def compile_slowly(*arguments):
        started.set()
        may_end.wait(60)
        ended.append(arguments)
        return lambda: 1

    monkeypatch.setattr(made, "_compile", compile_slowly)
    killer = threading.Thread(target=lambda: (started.wait(), signal.raise_signal(signal.SIGINT)))
    killer.start()
    with pytest.raises(KeyboardInterrupt):
        made[np.dtype(float)]
    assert not ended
    killer.join()
    may_end.set()
    assert made[np.dtype(float)]() == 1  # the compilation has gone on
    assert len(ended) == 1


def test_it_compiles_once_for_many_threads(kernel, monkeypatch):
    calls = []
    made = kernel(lambda x: x)
    monkeypatch.setattr(made, "_compile", lambda *a: (calls.append(a), time.sleep(0.05), lambda: 1)[-1])
    threads = [threading.Thread(target=lambda: made[np.dtype(float)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_where_no_thread_is_to_be_had(kernel, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    made = kernel(lambda x: x * 2.0)
    monkeypatch.setattr(_jit, "_announced", lambda what: __import__("contextlib").nullcontext())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert made[np.dtype(float)](2.0) == 4.0


FORK = """
import os, threading, time
import numpy as np
import fastxor as fx
from fastxor.backends.fused import _jit

begun = threading.Event()
compile_ = _jit.Kernel._compile

def noticed(self, *arguments):
    begun.set()
    return compile_(self, *arguments)

def small():  # kernels that take no seconds to compile
    z = np.zeros((1, 2), np.float32)
    fx.calculate_cost(fx.sigmoid(z), z)
    return fx.sigmoid(0.0)

_jit.Kernel._compile = noticed
other = threading.Thread(target=small)
other.start()
begun.wait()
child = os.fork()
if child == 0:
    os._exit(7 if small() == 0.5 else 1)
end = time.monotonic() + 60
while True:
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid or time.monotonic() > end:
        break
    time.sleep(0.02)
other.join()
print(os.waitstatus_to_exitcode(status) if pid else "the child hangs")
"""

if hasattr(__import__("os"), "fork"):

    def test_a_child_that_is_forked_while_a_thread_compiles(tmp_path):
        done = run_python(
            "-W", "ignore", "-c", FORK, cwd=tmp_path, env={"NUMBA_CACHE_DIR": tmp_path, "FASTXOR_BACKEND": "numba"}
        )
        assert done.stdout.strip() == "7"


@pytest.mark.parametrize("value", ["abc", "0", "64", "-128", "256.0", "1024"])
def test_a_width_that_no_vector_has(monkeypatch, value):
    monkeypatch.setenv("FASTXOR_VECTOR_BITS", value)
    with pytest.raises(SettingError, match=rf"FASTXOR_VECTOR_BITS must be one of 128, 256, 512, got '{value}'$"):
        _jit._vectors(_jit.CPU[1])


def test_a_width_that_no_vector_has_ends_the_program(tmp_path):
    script = "import fastxor as fx; fx.sigmoid(0.0)"
    done = run_python("-c", script, cwd=tmp_path, env={"FASTXOR_VECTOR_BITS": "abc"}, fails=True)
    assert "FASTXOR_VECTOR_BITS must be one of 128, 256, 512, got 'abc'" in done.stderr.splitlines()[-1]


def test_an_empty_width_is_none(monkeypatch):
    monkeypatch.delenv("FASTXOR_VECTOR_BITS", raising=False)
    wanted = _jit._vectors(_jit.CPU[1])
    monkeypatch.setenv("FASTXOR_VECTOR_BITS", "")
    assert _jit._vectors(_jit.CPU[1]) == wanted


def test_a_cpu_without_features(tmp_path):
    """As Numba has it for code that has to run everywhere: what every CPU of the architecture has, and no more."""
    script = "import fastxor as fx; from fastxor.backends.fused._jit import *; print(CPU, VECTOR_BITS, fx.sigmoid(0.0))"
    done = run_python("-c", script, cwd=tmp_path, env={"NUMBA_CPU_NAME": "generic", "FASTXOR_BACKEND": "numpy"})
    assert done.stdout == "('generic', '') 128 0.5\n"


def test_numpy_alone_does_not_look_at_the_width(tmp_path):
    script = "import fastxor as fx; print(fx.sigmoid(0.0))"
    env = {"FASTXOR_VECTOR_BITS": "abc", "FASTXOR_BACKEND": "numpy"}
    assert run_python("-c", script, cwd=tmp_path, env=env).stdout == "0.5\n"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was(kernel, enabled):
    """It rests while a kernel is compiled, also one that cannot be."""
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        assert kernel(lambda x: x + 2.0)[np.dtype(float)](1.0) == 3.0
        assert gc.isenabled() is enabled
        with pytest.raises(CompilationError):
            kernel(lambda x: x.nothing)[np.dtype(float)]
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()


def test_names_of_what_is_compiled(kernel, monkeypatch, caplog):
    """A compilation of more than a second is announced, with what it is for."""
    monkeypatch.setattr(_jit, "_ANNOUNCED", 0.0)
    made = kernel(lambda x: x)
    monkeypatch.setattr(_jit.numba, "njit", lambda **_: lambda function: time.sleep(0.3) or 1 / 0)
    with pytest.raises(CompilationError), caplog.at_level("WARNING", "fastxor"):
        made[np.dtype("float32")]
    (line,) = caplog.messages
    assert line.startswith("compiling a kernel of the tests for float32, ")
    assert fx  # the package is loaded
