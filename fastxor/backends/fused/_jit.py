"""The only place that names Numba's flags and the width of a vector; and when a kernel is compiled.

``kernel("int64(T[::1], int64)")`` declares a function that Python calls, for arrays of a dtype T:
``function[dtype]`` is its machine code, loaded from disk (see _cache.py) or compiled, once for each dtype.
`inlined` is for functions in plain Numba that only kernels call; those on whole vectors are traced (see tracing.py).

Numba is used through its public interface alone, and one compilation runs at a time.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import config
from numba.extending import register_jitable

from fastxor.backends import CompilationError, SettingError
from fastxor.time_slice import POLL_SECONDS

from ._cache import Cache

# error_model: a division may not raise, or no loop with one vectorises. fastmath: everything but the flags
# that would let LLVM assume that there is no NaN or infinity. nogil: other Python threads go on. _nrt off:
# no reference counts, each an atomic instruction, and no way for a kernel to allocate.
FLAGS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"},
    "nogil": True,
    "boundscheck": False,
    "_nrt": False,
    "no_cfunc_wrapper": True,
}
_WIDTHS = {"128": 128, "256": 256, "512": 512}
_ANNOUNCED = 1.0  # seconds after which a compilation is

_LOGGER = logging.getLogger("fastxor")


def _cpu() -> tuple[str, str]:
    """Name and features of the CPU that Numba compiles for."""
    features = llvm.get_host_cpu_features()
    if not config.ENABLE_AVX:
        features.update({name: False for name in features if name.startswith("avx")})
    wanted = config.CPU_FEATURES  # empty, as Numba has it for NUMBA_CPU_NAME=generic: none beyond the architecture's
    return config.CPU_NAME or llvm.get_host_cpu_name(), features.flatten() if wanted is None else wanted


def _vectors(features: str) -> tuple[int, int]:
    """Width and number of the vector registers of a CPU with these features.

    FASTXOR_VECTOR_BITS overrides the width.
    """
    present = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    bits = 512 if "avx512f" in present else 256 if "avx" in present else 128
    wanted = os.environ.get("FASTXOR_VECTOR_BITS") or str(bits)
    if wanted not in _WIDTHS:
        raise SettingError(f"FASTXOR_VECTOR_BITS must be one of {', '.join(_WIDTHS)}, got {wanted!r}")
    x86 = "sse2" in present or (not present and llvm.get_process_triple().startswith(("x86_64", "i686")))
    return _WIDTHS[wanted], 16 if x86 and bits < 512 else 32


UNJITTED = bool(config.DISABLE_JIT)  # NUMBA_DISABLE_JIT: the kernels run as plain Python
CPU = _cpu()
VECTOR_BITS, REGISTERS = _vectors(CPU[1])


def _settings() -> tuple:
    """What machine code depends on beside the sources and versions: with another value, it is another kernel.

    Numba looks at the environment again whenever it compiles.
    """
    loops = config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.USING_SVML
    return *CPU, llvm.get_process_triple(), VECTOR_BITS, config.OPT, loops, config.DEBUGINFO_DEFAULT, config.BOUNDSCHECK


cache = Cache(f"{CPU[0]}-{VECTOR_BITS}", _settings)


def inlined(function: Callable) -> Callable:
    """Compile into every kernel that calls it."""
    return function if UNJITTED else register_jitable(forceinline=True, **FLAGS)(function)


def callee(function: Callable) -> Callable:
    """Compile for whoever calls it from code compiled with `numba.njit`; also for Python."""
    return function if UNJITTED else numba.njit(**FLAGS)(function)


def kernel(signature: str, purpose: str = "", exact: bool = False) -> Callable[[Callable], Kernel]:
    """Decorator of a function that Python calls; `signature` is Numba's, with T for the dtype. With `exact`, each of
    its operations on numbers is done as it is written.
    """
    flags = FLAGS | {"fastmath": False} if exact else FLAGS
    return lambda function: Kernel(function, signature, purpose or "the fused core", flags)


class Kernel:
    """A function and its machine code for each dtype: ``kernel[dtype](…)``, which takes its arguments on trust."""

    def __init__(self, function: Callable, signature: str, purpose: str, flags: dict[str, Any] = FLAGS) -> None:
        self.function, self.signature, self.purpose, self._flags = function, signature, purpose, flags
        self.dispatchers: dict[np.dtype, Any] = {}  # of what this process has compiled
        self._code: dict[Any, Callable] = {}
        self._on_disk: dict[np.dtype, bool] = {}

    def __getitem__(self, dtype: np.dtype) -> Callable:
        code = self._code.get(dtype)
        return _off_main_thread(lambda: self._obtain(np.dtype(dtype))) if code is None else code

    def is_loaded(self, dtype: np.dtype) -> bool:
        """Whether this process has it."""
        return dtype in self._code or UNJITTED

    def is_ready(self, dtype: np.dtype) -> bool:
        """Whether it has been compiled, in this process or before this was first asked: to look takes a while."""
        if self.is_loaded(dtype):
            return True
        if dtype not in self._on_disk:
            self._on_disk[dtype] = cache.has(self.function, self._typed(dtype))
        return self._on_disk[dtype]

    def _typed(self, dtype: np.dtype) -> str:
        return self.signature.replace("T", dtype.name)

    def _obtain(self, dtype: np.dtype) -> Callable:
        with _lock:
            if dtype not in self._code:
                if UNJITTED:
                    self._code[dtype] = _quiet(self.function)
                else:
                    signature = self._typed(dtype)
                    self._code[dtype] = cache.load(self.function, signature) or self._compile(dtype, signature)
            return self._code[dtype]

    def _compile(self, dtype: np.dtype, signature: str) -> Callable:
        with _announced(f"{self.purpose} for {dtype}"), _without_gc():
            try:
                dispatcher = numba.njit(**self._flags)(self.function)
                code = dispatcher.compile(signature)
            except Exception as error:
                raise CompilationError(f"{self.purpose} cannot be compiled for {dtype}: {error}") from error
        self.dispatchers[dtype] = dispatcher
        cache.save(self.function, signature, dispatcher)
        return code


def code(wanted: Kernel, dtype: np.dtype) -> Callable | None:
    """The kernel's machine code; None if it cannot be compiled: another one does the same work, only slower."""
    if wanted in _failed:
        return None
    try:
        return wanted[dtype]
    except CompilationError as error:
        _failed.add(wanted)
        _LOGGER.debug("%s", error)
        return None


_failed: set[Kernel] = set()


# Whoever compiles holds this lock, and who forks waits for it: a child must not inherit a compiler that is at work.
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _off_main_thread(obtain: Callable[[], Callable]) -> Callable:
    """The result of `obtain`, from another thread if this is the main one, which signals interrupt.

    LLVM would swallow the exception of a Ctrl-C. So it ends the wait alone; what is being compiled is there next time.
    """
    if threading.current_thread() is not threading.main_thread():
        return obtain()
    future: Future = Future()

    def work() -> None:
        try:
            future.set_result(obtain())
        except BaseException as error:
            future.set_exception(error)

    worker = threading.Thread(target=work, name="fastxor-compiler")
    try:
        worker.start()
    except RuntimeError:  # no more threads are to be had, or the interpreter is about to end
        return obtain()
    while worker.is_alive():
        worker.join(POLL_SECONDS)
    return future.result()


_told: set[str] = set()


@contextmanager
def _without_gc():
    """Without Python's collector of cycles, which would go through all that Numba builds, time and again: a twelfth."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _announced(what: str):
    """Say so on the logger ``fastxor`` if it takes long, but not twice in the same words."""

    def announce() -> None:
        if what not in _told:
            _told.add(what)
            where = f"kept in {cache.directory}" if cache.directory else "not kept: no directory for it can be written"
            _LOGGER.warning("compiling %s, some seconds; the result is %s", what, where)

    timer = threading.Timer(_ANNOUNCED, announce)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _quiet(function: Callable) -> Callable:
    """The un-jitted body, as silent about overflow and NaN as the compiled one."""

    @functools.wraps(function)
    def call(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return call
