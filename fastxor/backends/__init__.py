"""Names of backends, and which one does the work now.

A backend is a module with the functions that `Backend` lists; it is imported when it is first used.
"""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from fastxor import validation
from fastxor.architecture import Architecture
from fastxor.names import BackendName
from fastxor.state import Job, State
from fastxor.views import Array

if TYPE_CHECKING:  # few programs have populations
    import numpy as np
    from numpy.typing import NDArray

    from fastxor.cohort import Cohort, CohortSession

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


class Session(Protocol):
    """A run in the hands of a backend."""

    speed: float  # steps per second, a guess
    snapshot_capacity: int  # so many states can be kept on the way in an `advance`
    snapshot_interval: int  # whose are those at each multiple of so many steps; 0: none

    @property
    def recorded(self) -> dict[int, float]:
        """The costs of the last `advance`, by iteration, also where it was interrupted: as far as `state`."""

    @property
    def finished(self) -> bool:
        """Whether no further step makes the parameters better."""

    def advance(self, steps: int, first: int, interval: int) -> tuple[int, list[float]]:
        """Take so many steps; how many were good, and the costs before steps first, first + interval, … of them.

        Fewer than asked for are good where a cost or a parameter was no longer finite at the next one. Of that one,
        the cost is there too, if it is finite. Or the session is `finished`.
        """

    @property
    def snapshot_thetas(self) -> dict[int, Array]:
        """The parameters in the states that the last `advance` has kept, by iteration; good until the next one."""

    def snapshot(self, iteration: int) -> State:
        """One of these states, and nobody changes what is returned."""

    def state(self) -> State:
        """How far it is: after the last good step, and nobody changes what is returned."""

    def close(self) -> None:
        """No more steps are to come. Sessions that are not closed are let go like any object."""


class NoSnapshots:
    """What a session says that has the state alone in which an `advance` ends."""

    snapshot_capacity = snapshot_interval = 0

    @property
    def snapshot_thetas(self) -> dict[int, Array]:
        """None."""
        return {}

    def snapshot(self, iteration: int) -> State:
        """Not to be called."""
        raise KeyError(iteration)


class Compiled(NamedTuple):
    """Functions of one network for `numba.njit` functions to call: see `fastxor.Network.compile`."""

    forward: Callable[[Array, Array, Array], None]  # (theta, x, out)
    gradient: Callable[[Array, Array, Array, Array], None]  # (theta, x, dout, dtheta)


# From flat parameters to the loss of some samples; None, or a number that is not finite, if it is not.
Loss = Callable[[Array], float | None]

# From the derivative dA (n_y, m) of a number by the outputs to its flat gradient and its derivative (n_x, m) by X; or
# None, if one of them is not finite.
Pullback = Callable[[Array], tuple[Array, Array] | None]


class Residuals(Protocol):
    """Outputs less targets, times the root of their sample's weight, as functions of the flat parameters.

    There may be zeros among them that stand for no sample.
    """

    def values(self, theta: Array) -> Array:
        """All of them."""

    def parts(self, theta: Array) -> Iterator[Array]:
        """The same, some after the others: of each part their derivatives by each parameter, row by row, and themselves
        in a last row. Such a matrix is good until the next one is asked for.
        """


class Tutorial(Protocol):
    """The tutorial's operations, one by one. X, Y, `theta` and None are as in `Backend`."""

    def sigmoid(self, z: Array) -> Array:
        """1 / (1 + e**-z), elementwise."""

    def forward(self, network: Architecture, theta: Array, X: Array) -> Array | None:
        """The activations A1, A2, … of every layer in one vector, laid out by ``network._activations(m)``; or None."""

    def cost(self, A: Array, Y: Array) -> float | None:
        """Cross-entropy of the probabilities A, averaged over samples; or None."""

    def backward(self, network: Architecture, theta: Array, X: Array, Y: Array, activations: Array) -> Array | None:
        """Flat gradient of the tutorial's cost for the activations that `forward` returned; or None."""

    def update(self, theta: Array, gradient: Array, learning_rate: float) -> Array | None:
        """theta after one step of gradient descent; or None."""


class Backend(Tutorial, Protocol):
    """What every backend module provides, beside the tutorial's operations.

    X is (n_x, m), Y is (n_y, m), `theta` holds the flat parameters, and all have one dtype. None of them is
    changed or returned. The functions that return "or None" return None if an input or the result has
    a value that is not finite (`cost` alone may be infinite), or a target or probability is not what the loss wants.
    """

    def outputs(self, network: Architecture, theta: Array, X: Array) -> Array | None:
        """The activations of the last layer alone, (n_y, m); or None."""

    def loss(self, network: Architecture, theta: Array, X: Array, Y: Array) -> float | None:
        """The network's loss, from the last activation's input, averaged over samples; or None."""

    def loss_on(self, network: Architecture, X: Array, Y: Array) -> Loss:
        """The same as a function of theta, for samples that have been checked and stay as they are."""

    def gradient(self, network: Architecture, theta: Array, X: Array, Y: Array) -> tuple[float, Array] | None:
        """The same and its flat gradient; or None."""

    def weighted(
        self, network: Architecture, theta: Array, X: Array, Y: Array, weights: Array
    ) -> tuple[float, Array] | None:
        """The same, each sample's loss multiplied by its weight, of those (m,)."""

    def residuals(self, network: Architecture, X: Array, Y: Array, weights: Array | None) -> Residuals:
        """Those of the squared error, with weights (m,) of the samples or none."""

    def solve(self, factor: Array, b: Array) -> Array:
        """x with L L' x = b, for a lower triangular L, the factor, in float64."""

    def vjp(self, network: Architecture, theta: Array, X: Array) -> tuple[Array, Pullback] | None:
        """The outputs (n_y, m), and the way back from a derivative by them; or None.

        What the caller changes later in theta and X does not matter to the way back.
        """

    def input_jacobian(self, network: Architecture, theta: Array, X: Array) -> Array | None:
        """The derivatives (n_y, n_x, m) of the outputs by the inputs; or None."""

    def hvp(self, network: Architecture, theta: Array, X: Array, Y: Array, direction: Array) -> Array | None:
        """The Hessian of the network's loss times a flat direction, for arguments that have been checked; or None."""

    def open(self, job: Job, state: State) -> Session:
        """Go on with a run from this state."""

    def open_cohort(self, cohort: Cohort) -> CohortSession:
        """Get ready to train a cohort."""

    def cohort_outputs(self, network: Architecture, theta: Array, X: Array, threads: int | None) -> Array | None:
        """The outputs (k, n_y, m) of k members, from their parameters (k, P); or None. X is (n_x, m) or (k, n_x, m)."""

    def cohort_losses(
        self, network: Architecture, theta: Array, X: Array, Y: Array, weights: Array | None, threads: int | None
    ) -> Array:
        """The loss of k members, (k,) in float64, from their parameters (k, P); infinite where it is not finite.

        X is (n_x, m) or (k, n_x, m), Y likewise, and so are the weights, (k, m), of samples, by which their losses are
        multiplied before they are averaged over those of a weight that is not 0; None: of all, as they are.
        """

    def drawn(self, seeds: NDArray[np.int64], count: int, threads: int | None) -> tuple[Array, NDArray[np.int64]]:
        """What a RandomState of each of k seeds draws: see `fastxor.initialization.drawn`. The bits are numpy's."""

    def shuffled(self, rng: np.random.RandomState, order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Orders (count, m), each a RandomState's shuffle of the one before: see `fastxor.state.shuffled`."""

    def warmup(self, network: Architecture | None, samples: int) -> None:
        """Do now what the first calls would otherwise wait for, those for this network and so many samples included."""


_OPERATIONS = tuple(name for kind in (Tutorial, Backend) for name in vars(kind) if not name.startswith("_"))


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
    check_name(name)
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
    check_name(name)
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
            if name not in _loaded:
                check_name(name, _VARIABLE)
    else:
        check_name(name)
    return _loaded.get(name) or _load(name) or cast(Backend, _load("numpy"))


def check_name(name: object, argument: str = "backend") -> None:
    """Refuse what is not the name of a backend."""
    if not isinstance(name, str) or name not in _MODULES:
        validation.choice(argument, name, _MODULES)  # says which there are


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
            setattr(self, operation, _guarded(name, getattr(module, operation), operation))


# Written out for each number of arguments: to pack and unpack them would be felt in the smallest calls.
_GUARD = """\
def guarded({arguments}):
    try:
        return operate({arguments})
    except CompilationError as error:
        return instead(error, {arguments})
"""


def _guarded(name: BackendName, operate: Callable[..., Any], operation: str) -> Callable[..., Any]:
    def instead(error: CompilationError, *arguments: Any) -> Any:
        if _loaded[name] is not None:
            _do_without(name, str(error))
        return getattr(resolve("numpy"), operation)(*arguments)

    count = len(inspect.signature(operate).parameters)
    namespace: dict[str, Any] = {"operate": operate, "instead": instead, "CompilationError": CompilationError}
    exec(_GUARD.format(arguments=", ".join(f"a{i}" for i in range(count))), namespace)
    return cast(Callable[..., Any], namespace["guarded"])


def warmup(network: Architecture | None = None, samples: int = 4) -> None:
    """Compile the fused core now, or load it from its cache, so that no later call waits for it.

    It is compiled once for each machine and dtype, in a few seconds, and then kept on disk; without this
    call that happens when a function first needs it. A tiny network that is trained for long gets a kernel of its
    own, by itself once that pays; given the network, it is compiled now, and used from its first run on.

    Parameters
    ----------
    network : Network, optional
        One to be trained by plain gradient descent on all its samples, which fit in a register of the CPU. For any
        other there is no kernel of its own, and nothing to do.
    samples : int, optional
        How many samples it will be trained on.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind or value; the message names it.

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.warmup()
    >>> fx.warmup(fx.Network([2, 2, 1]), samples=4)
    """
    if network is not None and not isinstance(network, Architecture):
        raise TypeError(f"network must be a Network, got {network!r}")
    samples = validation.integer("samples", samples, 1)
    for name in available_backends():
        resolve(name).warmup(network, samples)
