"""The only place that names Numba's flags, its cache, and the width of a vector.

``@kernel`` compiles a function that Python calls, and caches it on disk; ``@inlined`` compiles one that
only kernels call, into its caller. The cache differs from Numba's own in three ways:

- A cached kernel is used only if *every* file of the fused core, and every setting that shapes its code, is
  as it was when the kernel was compiled. Numba looks at the file of the kernel alone.
- Nothing that goes wrong with the cache (no writable directory, a full disk, a damaged file) is an error:
  the kernel is compiled again.
- Compiling for more than a second is announced by one line on the logger ``fastxor``.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from numba import types
from numba.core import bytecode, caching, cgutils, config, interpreter, lowering, typed_passes
from numba.core.codegen import JITCodeLibrary, get_host_cpu_features
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import PassManager
from numba.misc.appdirs import AppDirs

# error_model: a division may not raise, or no loop with one vectorises. fastmath: everything but the flags
# that would let LLVM assume that there is no NaN or infinity. nogil: other Python threads go on. _nrt off:
# no reference counts, each an atomic instruction, and no way for a kernel to allocate.
_FLAGS: dict[str, Any] = {
    "error_model": "numpy",
    "fastmath": {"nsz", "arcp", "contract", "afn", "reassoc"},
    "nogil": True,
    "boundscheck": False,
    "_nrt": False,
}
_NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def _vectors() -> tuple[int, int]:
    """Width and number of the vector registers of the CPU that Numba compiles for.

    FASTXOR_VECTOR_BITS overrides the width.
    """
    features = config.CPU_FEATURES if config.CPU_FEATURES is not None else get_host_cpu_features()
    present = {feature[1:] for feature in features.split(",") if feature.startswith("+")}
    bits = 512 if "avx512f" in present else 256 if "avx" in present else 128
    return int(os.environ.get("FASTXOR_VECTOR_BITS", bits)), 16 if "sse2" in present and bits < 512 else 32


VECTOR_BITS, REGISTERS = _vectors()


def kernel(function: Callable, crowded: bool = False) -> Callable:
    """Compile on first call for its argument types, release the GIL while it runs, cache on disk.

    One that is `crowded` keeps more vectors than there are registers.
    """
    if config.DISABLE_JIT:
        return _quiet(function)
    compiler = _CrowdedCompiler if crowded else _KernelCompiler
    dispatcher = numba.njit(function, pipeline_class=compiler, no_cfunc_wrapper=True, **_FLAGS)
    dispatcher._cache = _Cache(function)
    return dispatcher


def compiled(dispatcher: Callable, *arguments: Any) -> Callable:
    """A kernel as it is for arguments of these types, which it takes on trust: a dispatcher looks at each one anew."""
    if not hasattr(dispatcher, "overloads"):
        return dispatcher  # un-jitted
    return dispatcher.compile(tuple(map(numba.typeof, arguments)))


def is_ready(dispatcher: Callable) -> bool:
    """Whether a kernel has been compiled, in this process or in an earlier one."""
    if not hasattr(dispatcher, "overloads"):
        return True  # un-jitted
    return bool(dispatcher.overloads) or dispatcher._cache.exists()


def inlined(function: Callable) -> Callable:
    """Compile into every kernel that calls it."""
    return _inner(function, _InlinedCompiler, forceinline=True)


def called(function: Callable) -> Callable:
    """Compile once into every kernel that calls it, and call it there: for what would be large in several places."""
    return _inner(function, _CalledCompiler, forceinline=False)  # said, or its caller's would hold


def _inner(function: Callable, compiler: type, **options: bool) -> Callable:
    if config.DISABLE_JIT:
        return function
    dispatcher = numba.njit(function, pipeline_class=compiler, **options, **_NO_WRAPPERS, **_FLAGS)
    template = dispatcher.get_call_template

    def get_call_template(args, kws):
        """A constant is an argument like any other: by itself, Numba would compile a copy for each."""
        return template([types.unliteral(arg) for arg in args], kws)

    dispatcher.get_call_template = get_call_template
    return dispatcher


class _KernelLibrary(JITCodeLibrary):
    """LLVM code of a kernel and of all that it calls, optimised and turned to machine code once.

    Numba would do both for each function of a chain of calls, and links each into every one above it. It also
    optimises twice, for reference counts that may go; here there are none.
    """

    def add_linking_library(self, library):
        if library not in self._linking_libraries:
            self._linking_libraries.append(library)
            for further in library._linking_libraries:
                self.add_linking_library(further)

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        # Code on whole vectors is in blocks already: to unroll it again would double its size, and speed nothing up.
        plain = not any(isinstance(library, _InlinedLibrary) for library in self._linking_libraries)
        options = llvm.create_pipeline_tuning_options(config.OPT if plain else min(config.OPT, 2))
        options.loop_unrolling, options.loop_vectorization = plain, bool(plain and config.LOOP_VECTORIZE)
        builder = llvm.create_pass_builder(self._codegen._tm, options)
        builder.getModulePassManager().run(self._final_module, builder)


class _CrowdedLibrary(_KernelLibrary):
    """With vectors on the stack that do not lie across two cache lines."""

    def add_ir_module(self, module):
        for function in module.functions:
            if not function.is_declaration:
                function.attributes.alignstack = VECTOR_BITS // 8
                function.attributes.add("nounwind")  # without one of these, llvmlite writes no attributes at all
        super().add_ir_module(module)


class _InlinedLibrary(_KernelLibrary):
    """The LLVM text of one function, read by every kernel that calls it."""

    _attribute = "alwaysinline"

    def add_ir_module(self, module):
        for function in module.functions:
            if not function.is_declaration:
                function.linkage = "linkonce_odr"
                function.attributes.add(self._attribute)
        self._text = cgutils.normalize_ir_text(str(module))

    def _get_module_for_linking(self):
        return llvm.parse_assembly(self._text)

    def finalize(self):
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, env):
        pass


class _CalledLibrary(_InlinedLibrary):
    """The same for a function that stays one."""

    _attribute = "noinline"


class _Typing:
    """Numba's typing context, but asked about an operation on the same types again, it remembers its answer."""

    def __init__(self, context):
        self._context, self._known = context, {}

    def __getattr__(self, name):
        return getattr(self._context, name)

    def resolve_function_type(self, function, args, kws):
        if not isinstance(function, types.Function) or kws:
            return self._context.resolve_function_type(function, args, kws)
        key = function, args
        if key not in self._known:
            self._known[key] = self._context.resolve_function_type(function, args, kws)
        return self._known[key]


_remembering = functools.cache(_Typing)


class _Lower(lowering.Lower):
    """Without what Numba does for debuggers and reference counts, nor working out an operator's types a second time."""

    def alloca_lltype(self, name, lltype, datamodel=None):
        return cgutils.alloca_once(self.builder, lltype, name=name)

    def storevar(self, value, name, argidx=None):
        self._alloca_var(name, self.typeof(name))
        if name in self._singly_assigned_vars:
            self._blk_local_varmap[name] = value
        else:
            self.builder.store(value, self.getvar(name))

    def lower_binop(self, resty, expr, op):
        context, signature = self.context, self.fndesc.calltypes[expr]
        args = [
            context.cast(self.builder, self.loadvar(side.name), self.typeof(side.name), wanted)
            for side, wanted in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        function = context.typing_context.resolve_value_type(op)  # + where `signature` may be that of +=
        typed = _remembering(context.typing_context).resolve_function_type(function, signature.args, {})
        result = context.get_function(function, typed)(self.builder, args)
        return context.cast(self.builder, result, signature.return_type, resty)


class _Lowering(typed_passes.NativeLowering):
    lowering_class = _Lower


@functools.lru_cache(maxsize=256)
def _read(function: Callable) -> tuple:
    """Numba's form of a function, which is the same for all types that the function is compiled for."""
    identity = bytecode.FunctionIdentity.from_function(function)
    return identity, interpreter.Interpreter(identity).interpret(bytecode.ByteCode(identity))


class _Passes(PassManager):
    """Runs them, without putting the function in order again after each."""

    def run(self, state):
        for step in self.passes:
            step().run_pass(state)


class _KernelCompiler(CompilerBase):
    """Numba's compiler without the passes that find nothing to do here: nine tenths of its Python time.

    One of those left out tells assignments to a variable apart. So a variable has one type in all of a function.
    """

    _library = _KernelLibrary

    def __init__(self, typingctx, targetctx, library, *rest):
        library = self._library(targetctx.codegen(), "fastxor")
        library.enable_object_caching()
        super().__init__(_remembering(typingctx), targetctx, library, *rest)

    def compile_extra(self, func):
        collects = gc.isenabled()
        gc.disable()  # nearly all that is made here stays to the end: looking for garbage takes a tenth of the time
        try:
            self.state.func_id, self.state.func_ir = _read(func)
            self.state.lifted = ()
            return self._compile_core()
        finally:
            if collects:
                if not gc.get_freeze_count():
                    gc.freeze()
                    gc.unfreeze()  # all count as old now; so many young ones would be gone through at once
                gc.enable()

    def define_pipelines(self):
        manager = _Passes("fastxor")
        manager.passes = [
            typed_passes.NopythonTypeInference,
            _Lowering,
            typed_passes.NoPythonBackend,
        ]
        return [manager]


class _CrowdedCompiler(_KernelCompiler):
    _library = _CrowdedLibrary


class _InlinedCompiler(_KernelCompiler):
    _library = _InlinedLibrary


class _CalledCompiler(_InlinedCompiler):
    _library = _CalledLibrary


def _quiet(function: Callable) -> Callable:
    """The un-jitted body, as silent about overflow and NaN as the compiled one."""

    @functools.wraps(function)
    def call(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return call


# ---------------------------------------------------------------- the cache


def _stamp() -> str:
    """Digest of everything that the machine code depends on, beyond what Numba's own key holds."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    settings = (VECTOR_BITS, config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.ENABLE_AVX, np.__version__)
    digest.update(repr(settings).encode())
    return digest.hexdigest()


def _writable_directory() -> str | None:
    """The first of these that can be written: NUMBA_CACHE_DIR, beside this file, the user's cache directory."""
    here = Path(__file__).parent
    place = f"fastxor_{hashlib.sha256(str(here).encode()).hexdigest()[:16]}"
    candidates = [
        Path(config.CACHE_DIR) / place if config.CACHE_DIR else None,
        here / "__pycache__",
        Path(AppDirs("fastxor", appauthor=False).user_cache_dir) / place,
    ]
    for path in candidates:
        if path is not None and path.is_absolute():
            try:
                path.mkdir(parents=True, exist_ok=True)
                probe = path / f".writable-{os.getpid()}-{threading.get_ident()}"
                probe.touch()
                probe.unlink()
            except OSError:
                continue
            return str(path)
    return None


class _Locator(caching._CacheLocator):
    """Tells Numba's cache where one kernel is kept, and when it is stale."""

    def __init__(self, function: Callable, directory: str) -> None:
        self._directory, self._line = directory, function.__code__.co_firstlineno

    def get_cache_path(self) -> str:
        return self._directory

    def get_source_stamp(self) -> str:
        return _STAMP

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Impl(caching.CompileResultCacheImpl):
    def __init__(self, function: Callable) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Locator(function, _DIRECTORY)
        self._filename_base = self.get_filename_base(
            f"{Path(__file__).parent.name}.{function.__name__}", getattr(sys, "abiflags", "")
        )


class _FileCache(caching.Cache):
    _impl_class = _Impl


class _Cache(caching.NullCache):
    """The cache of one kernel. A miss starts the compile clock; saving, which follows compiling, stops it."""

    def __init__(self, function: Callable) -> None:
        self._files = _FileCache(function) if _DIRECTORY else None

    @property
    def cache_path(self) -> str | None:
        return _DIRECTORY

    def exists(self) -> bool:
        """Whether there is a file; if it turns out stale, the kernel is compiled again."""
        return self._files is not None and os.path.exists(self._files._cache_file._index_path)

    def load_overload(self, sig, target_context):
        found = None
        if self._files:
            try:
                found = self._files.load_overload(sig, target_context)
            except Exception as error:  # a damaged file can raise anything while it is unpickled
                _LOGGER.debug("ignoring the cached kernel: %r", error)
        if found is None:
            compile_clock.start()
        return found

    def save_overload(self, sig, data):
        compile_clock.stop()
        if self._files:
            try:
                try:
                    self._files.save_overload(sig, data)
                except Exception:  # a damaged index: begin a new one
                    self._files.flush()
                    self._files.save_overload(sig, data)
            except Exception as error:  # the next process will compile again, that is all
                _LOGGER.debug("could not save a kernel: %r", error)


class _CompileClock:
    """Counts compilations and their time; says so, once a process, when they have taken a second."""

    def __init__(self) -> None:
        self.compilations = 0
        self.seconds = 0.0
        self._timer: threading.Timer | None = None
        self._announced = False

    def start(self) -> None:
        # Numba holds its global compiler lock around start and stop, so there is one compilation at a time.
        self.compilations += 1
        self._began = time.perf_counter()
        if not self._announced:
            self._timer = threading.Timer(max(0.0, 1.0 - self.seconds), self._announce)
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        self.seconds += time.perf_counter() - self._began
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _announce(self) -> None:
        self._announced = True
        where = f"kept in {_DIRECTORY}" if _DIRECTORY else "not kept: no directory for it can be written"
        _LOGGER.warning("compiling the fused core for this machine, a few seconds; the result is %s", where)


_LOGGER = logging.getLogger("fastxor")
_STAMP = _stamp()
_DIRECTORY = _writable_directory()
compile_clock = _CompileClock()
