"""Names of backends, and which one does the work now.

A backend is a module with the functions that `Backend` lists; it is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, cast

from fastxor.names import BackendName

if TYPE_CHECKING:
    from fastxor.network import Network
    from fastxor.training import Run
    from fastxor.views import Array

# To add a backend, write the module, and name it here and in names.py.
_MODULES: dict[BackendName, str] = {"numpy": "fastxor.backends.reference", "numba": "fastxor.backends.fused"}

_VARIABLE = "FASTXOR_BACKEND"
_process: BackendName | None = None
_environment = cast(BackendName, os.environ.get(_VARIABLE) or "numba")  # checked when it is used
_context: ContextVar[BackendName | None] = ContextVar("fastxor_backend", default=None)
_loaded: dict[BackendName, Backend | None] = {}  # None: could not be imported, or compiled

# What relative paths in the environment mean, wherever the program goes before a backend is imported.
try:
    directory_at_import = os.getcwd()
except OSError:  # it has been deleted
    directory_at_import = ""


class CompilationError(RuntimeError):
    """A kernel could not be compiled."""


class SettingError(ValueError):
    """An environment variable of the package has a value that it cannot have."""


class Backend(Protocol):
    """What every backend module provides.

    X is (n_x, m), Y is (n_y, m), `theta` holds the flat parameters, and all have one dtype. None of them is
    changed or returned. The functions that return "or None" return None if an input has a value
    that is not finite, or a target or probability that is not between 0 and 1.
    """

    def sigmoid(self, z: Array) -> Array:
        """1 / (1 + e**-z), elementwise."""

    def forward(self, network: Network, theta: Array, X: Array) -> Array | None:
        """The activations A1, A2, … of every layer in one vector, laid out by ``network._activations(m)``; or None."""

    def outputs(self, network: Network, theta: Array, X: Array) -> Array | None:
        """The activations of the last layer alone, (n_y, m); or None."""

    def cost(self, A: Array, Y: Array) -> float | None:
        """Cross-entropy of the probabilities A, averaged over samples; or None."""

    def loss(self, network: Network, theta: Array, X: Array, Y: Array) -> float | None:
        """The network's loss, from the last activation's input, averaged over samples; or None."""

    def gradient(self, network: Network, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
        """The same and its flat gradient; or None."""

    def backward(self, network: Network, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
        """Flat gradient of the tutorial's cost for the activations that `forward` returned; or None."""

    def update(self, theta: Array, gradient: Array, learning_rate: float) -> Array | None:
        """theta after one step of gradient descent; or None."""

    def train(
        self,
        run: Run,
        X: Array,
        Y: Array,
        iterations: int,
        batch_size: int | None,
        interval: int,
        report: Callable[[int, float], None] | None,
        threads: int | None,
    ) -> None:
        """Go on with the run up to step `iterations`, on all samples or on batches in the order of ``run.next_batch``.

        At every `interval`-th iteration, from 0, the cost before the step is recorded, and passed to `report`.
        `threads` is how many may share the work, which changes no bit of the result; None leaves it to the backend.
        Stops early, with ``run.diverged`` set, when the cost or a parameter is no longer finite.
        """

    def warmup(self) -> None:
        """Do now what the first calls would otherwise wait for."""


_OPERATIONS = tuple(name for name in vars(Backend) if not name.startswith("_"))


def available_backends() -> tuple[BackendName, ...]:
    """Names of the backends that can be used here.

    Returns
    -------
    tuple of str
        ``("numpy", "numba")``, or ``("numpy",)`` where numba cannot be imported.

    Examples
    --------
    >>> import fastxor as fx
    >>> "numpy" in fx.available_backends()
    True
    """
    return tuple(name for name in _MODULES if _load(name) is not None)


def get_backend() -> BackendName:
    """Name of the backend that a call without ``backend=`` uses now.

    Returns
    -------
    str
        The name given to the innermost `use_backend` block, else to `set_backend`, else in the
        environment variable ``FASTXOR_BACKEND`` (read at import), else ``"numba"``; and ``"numpy"``
        where numba cannot be imported.

    Raises
    ------
    ValueError
        If ``FASTXOR_BACKEND`` holds an unknown name.

    Examples
    --------
    >>> import fastxor as fx
    >>> with fx.use_backend("numpy"):
    ...     fx.get_backend()
    'numpy'
    """
    backend = resolve()
    return next(name for name, module in _loaded.items() if module is backend)


def set_backend(name: BackendName) -> None:
    """Choose the backend of the whole process.

    Parameters
    ----------
    name : str
        One of the names known: ``"numpy"`` or ``"numba"``.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known ones.

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.set_backend("numpy")
    >>> fx.get_backend()
    'numpy'
    >>> fx.set_backend("numba")
    """
    global _process
    _check(name)
    _process = name


@contextmanager
def use_backend(name: BackendName) -> Iterator[None]:
    """Choose the backend for a ``with`` block, in this thread or asyncio task only.

    Blocks nest; leaving one, also by an exception, restores what held outside.

    Parameters
    ----------
    name : str
        One of the names known: ``"numpy"`` or ``"numba"``.

    Raises
    ------
    ValueError
        If the name is unknown; the message lists the known ones.

    Examples
    --------
    >>> import fastxor as fx
    >>> with fx.use_backend("numpy"):
    ...     fx.sigmoid(0.0)
    0.5
    """
    _check(name)
    token = _context.set(name)
    try:
        yield
    finally:
        _context.reset(token)


def resolve(name: BackendName | None = None) -> Backend:
    """The backend for one call: `name` if given, else what `get_backend` says. numpy serves for a missing numba."""
    if name is None:
        name = _context.get() or _process
        if name is None:
            name = _environment
            _check(name, _VARIABLE)
    else:
        _check(name)
    return _loaded.get(name) or _load(name) or cast(Backend, _load("numpy"))


def _check(name: object, argument: str = "backend") -> None:
    if not isinstance(name, str) or name not in _MODULES:
        known = ", ".join(map(repr, _MODULES))
        raise ValueError(f"{argument} must be one of {known}, got {name!r}")


def _load(name: BackendName) -> Backend | None:
    """Import a backend; None, after one warning, if it or what it is built on cannot be imported."""
    if name not in _loaded:
        try:
            _loaded[name] = cast(Backend, _Guarded(name, importlib.import_module(_MODULES[name])))
        except SettingError:
            raise
        except Exception as error:  # a broken installation raises more than ImportError
            _do_without(name, f"the {name!r} backend cannot be imported ({error})")
    return _loaded[name]


def _do_without(name: BackendName, why: str) -> None:
    _loaded[name] = None
    warnings.warn(f"{why}; the slower 'numpy' backend serves instead", RuntimeWarning, stacklevel=2)


class _Guarded:
    """A backend's operations; numpy does the work, after one warning, from when a kernel cannot be compiled."""

    def __init__(self, name: BackendName, module: ModuleType) -> None:
        for operation in _OPERATIONS:
            setattr(self, operation, self._guard(name, getattr(module, operation), operation))

    @staticmethod
    def _guard(name: BackendName, operate: Callable[..., Any], operation: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return operate(*arguments)
            except CompilationError as error:
                if _loaded[name] is not None:
                    _do_without(name, str(error))
            return getattr(resolve("numpy"), operation)(*arguments)

        return call


def warmup() -> None:
    """Compile the fused core now, or load it from its cache, so that no later call waits for it.

    It is compiled once for each machine and dtype, in a few seconds, and then kept on disk; without this
    call that happens when a function first needs it.

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.warmup()
    """
    for name in available_backends():
        resolve(name).warmup()
