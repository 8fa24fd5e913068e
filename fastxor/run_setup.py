"""The beginning of a run: at its first step, or where another one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastxor import validation as checks
from fastxor.architecture import ENTROPIES
from fastxor.history import History
from fastxor.loop import Run
from fastxor.names import Initialization
from fastxor.network import Network
from fastxor.optimizers import SGD, Optimizer, schedule_of
from fastxor.penalties import NONE, Penalties, held
from fastxor.result import Result, TrainingInterrupted
from fastxor.schedules import check_length
from fastxor.state import Job, State, steps_per_epoch
from fastxor.time_slice import undisturbed
from fastxor.views import Array
from fastxor.weights import relative

DEFAULT_ITERATIONS = 1000
DEFAULT_OPTIMIZER = SGD(0.3)  # this object: the optimizer of who names none

Pair = tuple[Array, Array]  # X and Y


class RunRequest(NamedTuple):
    """What is asked of a run beside its network and data, checked."""

    settings: dict[str, Any]  # the optimizer, weights, …: what it keeps to from first step to last
    iterations: int | None
    epochs: int | None  # one of the two at most
    threads: int | None
    validation: float | Pair | None
    initialization: Initialization | None


def made(make: Callable[[], Run], random_state: Any, numbers: int) -> Run:
    """The run that `make` makes, looking at so many numbers. On Ctrl-C, as while these are many, it is made again, from
    the same draws, to end before its first step.
    """
    back = _way_back(random_state, numbers)

    def again() -> TrainingInterrupted:
        back()
        return make().interrupted()

    try:
        return make()
    except KeyboardInterrupt:
        raise undisturbed(again) from None


def _way_back(random_state: Any, numbers: int) -> Callable[[], None]:
    """What sets a generator back to where it is now; an int has none yet."""
    if isinstance(random_state, np.random.Generator):
        bits = random_state.bit_generator
        place = bits.state
        return lambda: setattr(bits, "state", place)
    rng = np.random if random_state is None else random_state
    if numbers < _MANY or not hasattr(rng, "get_state"):
        return lambda: None
    state = rng.get_state(legacy=False)
    return lambda: rng.set_state(state)


# Fewer numbers are looked at sooner than a Mersenne Twister, in 0.1 ms, tells its state; nobody interrupts that.
_MANY = 100_000


def new_run(
    network: Network, X: Array, Y: Array, parameters: Mapping[str, ArrayLike] | None, rng: Any, request: RunRequest
) -> Run:
    """A run from its first step."""
    settings = request.settings | {"given": X.shape[1], "iterations": 0}
    X, Y = _weighted_samples(X, Y, settings)
    if settings["drop_last"]:
        _steps_per_epoch(X.shape[1], settings)  # or it is refused, before anything is drawn
    begin = settings["optimizer"], rng, request.initialization, settings["penalties"]
    theta, X, Y = start(network, X, Y, parameters, *begin)
    settings["fraction"] = fraction = request.validation if isinstance(request.validation, float) else None
    drawn = settings["batch_size"] is not None or fraction is not None
    settings["seed"] = checks.seed(rng) if drawn else 0
    return _run(network, X, Y, settings, request, State.beginning(theta, settings["optimizer"]))


def resumed_run(network: Network, X: Array, Y: Array, run: Result, request: RunRequest) -> Run:
    """A run from where another one is."""
    settings = run._settings
    _refuse_changes(network, run, request)
    theta = run._theta()
    if X.shape[1] != settings["given"]:
        raise ValueError(f"X must be that of the run that is resumed, of {settings['given']} samples; got {X.shape}")
    X, Y = _weighted_samples(X, Y, settings)
    checks.check_values(network.loss, X=X, Y=Y, parameters=network._views(theta))
    if np.result_type(X, theta) != run._state.theta.dtype:
        raise ValueError(f"X must be {run._state.theta.dtype}, as in the run that is resumed; got {X.dtype}")
    theta, X, Y = checks.one_dtype(theta, X, checks.cast("Y", Y, theta.dtype))
    state = replace(run._state, theta=theta.copy())
    again = _run(network, X, Y, settings, request, state, run.history._until(state.completed))
    again.best = run._best
    return again


def _weighted_samples(X: Array, Y: Array, settings: Mapping[str, Any]) -> Pair:
    """The samples that count: those of weight 0 are as if they were not there."""
    weights = settings["weights"]
    return (X, Y) if weights is None or weights.all() else (X[:, weights > 0], Y[:, weights > 0])


def _refuse_changes(network: Network, run: Result, request: RunRequest) -> None:
    """What a run has, nobody else may say otherwise."""
    if network != run.network:
        raise ValueError(f"network must be that of the run that is resumed, {run.network}; got {network}")
    given: list[tuple[str, Any, Any]] = [(name, request.settings[name], _DEFAULTS[name]) for name in _DEFAULTS]
    has, wanted = run._settings["penalties"], request.settings["penalties"]
    for name, number in wanted._asdict().items():
        if number not in (getattr(NONE, name), getattr(has, name)):
            raise ValueError(
                f"{name} comes from the run that is resumed, {getattr(has, name)}, and stays; got {number}"
            )
    weights = request.settings["weights"]
    if weights is not None and not np.array_equal(weights, run._settings["weights"]):
        raise ValueError("sample_weight and class_weight come from the run that is resumed, and stay; got others")
    if run._settings["fraction"] is not None or isinstance(request.validation, float):
        given.append(("fraction", request.validation, None))
    for name, value, default in given:
        has, pair = run._settings[name], isinstance(value, tuple)
        if value is not default and (pair or value != has):
            label, shown = _ARGUMENTS.get(name, name), "a pair" if pair else repr(value)
            raise ValueError(f"{label} comes from the run that is resumed, {has!r}, and stays; got {shown}")


_DEFAULTS: dict[str, Any] = {"optimizer": DEFAULT_OPTIMIZER, "batch_size": None, "shuffled": True, "drop_last": False}
_ARGUMENTS = {"shuffled": "shuffle", "fraction": "validation"}


def _run(
    network: Network,
    X: Array,
    Y: Array,
    settings: dict[str, Any],
    request: RunRequest,
    state: State,
    history: History | None = None,
) -> Run:
    """The run of these settings, with a fraction of the samples held out if there is one."""
    held, fraction, weights = None, settings["fraction"], settings["weights"]
    if weights is not None:
        weights = weights[weights > 0]
    if fraction is not None:
        kept, out = held_out(network, Y, fraction, settings["seed"])
        X, Y, held = X[:, kept], Y[:, kept], (X[:, out], Y[:, out])
        weights = None if weights is None else weights[kept]
    elif isinstance(request.validation, tuple):
        x, y = request.validation
        held = checks.cast("validation X", x, X.dtype), checks.cast("validation Y", y, X.dtype)
    steps, optimizer = _steps_per_epoch(X.shape[1], settings), settings["optimizer"]
    end = _last_step(request, steps, state.completed, settings["iterations"])
    rest = settings["batch_size"], settings["seed"], request.threads, settings["shuffled"], settings["drop_last"]
    more = {"penalties": settings["penalties"], "weights": None if weights is None else relative(weights, X.dtype)}
    check_length(schedule_of(optimizer), end)
    job = Job(network, X, Y, optimizer, end, *rest, **more)
    run = Run(job, state, History(steps, optimizer) if history is None else history)
    run.given, run.weights, run.fraction, run.held_out = settings["given"], settings["weights"], fraction, held
    return run


def _steps_per_epoch(samples: int, settings: dict[str, Any]) -> int:
    """Those of an epoch."""
    batch_size = settings["batch_size"]
    steps = steps_per_epoch(samples, batch_size, settings["drop_last"])
    if not steps:
        raise ValueError(f"drop_last leaves no batch: batch_size is {batch_size}, for {samples} samples")
    return steps


def _last_step(request: RunRequest, steps_per_epoch: int, completed: int, wanted: int) -> int:
    """The step at which to end, from one that has been reached in a run that was to have so many."""
    if request.epochs is not None:
        checks.integer("epochs", request.epochs, 0, (checks.MOST - completed) // steps_per_epoch)
        return completed + request.epochs * steps_per_epoch
    if request.iterations is None:
        return wanted if wanted > completed else min(completed + DEFAULT_ITERATIONS, checks.MOST)
    if request.iterations > checks.MOST - completed:
        checks.integer("iterations", request.iterations, 0, checks.MOST - completed)
    return completed + request.iterations


def start(
    network: Network,
    X: Array,
    Y: Array,
    parameters: Mapping[str, ArrayLike] | None,
    optimizer: Optimizer,
    rng: Any,
    initialization: Initialization | None,
    penalties: Penalties = NONE,
) -> list[Array]:
    """The parameters to start from, X and Y, in the dtype of the run; for what is refused, nothing is drawn."""
    checks.check_values(network.loss, X=X, Y=Y)
    theta = None if parameters is None else checks.parameters(parameters, network)
    if theta is not None and not checks.finite(theta):
        checks.refuse_values(parameters=network._views(theta))
    dtype = X.dtype if theta is None or theta.dtype == X.dtype else checks.FLOAT64
    checks.settings(optimizer, dtype)
    held(penalties, dtype)
    Y = checks.cast("Y", Y, dtype)
    if theta is None:
        theta = checks.parameters(network.initialize(rng, initialization, dtype), network)
    return checks.one_dtype(theta, X, Y)


# ---------------------------------------------------------------- data for validation


def validation_data(value: Any, network: Network) -> float | Pair:
    """What `train` is given as validation: a fraction, or X and Y."""
    if (isinstance(value, Real) and not isinstance(value, bool)) or (isinstance(value, np.ndarray) and not value.ndim):
        fraction = checks.rate("validation", value, below=1.0)
        if not fraction:
            raise ValueError("validation, as a fraction of the samples, must be above 0, got 0.0")
        return fraction
    if not isinstance(value, tuple | list) or len(value) != 2:
        number = f" of {len(value)}" if isinstance(value, tuple | list) else ""
        came = f"{type(value).__name__}{number}"
        raise TypeError(f"validation must be a pair (X, Y) or a fraction of the samples, got {came}")
    try:
        X = checks.inputs(value[0], network.sizes[0])
        Y = checks.answers(value[1], network, X.shape[1])
        checks.check_values(network.loss, X=X, Y=Y)
    except (TypeError, ValueError) as error:
        raise type(error)(f"validation: {error}") from None
    return X, Y


def held_out(network: Network, Y: Array, fraction: float, seed: int) -> tuple[Array, Array]:
    """The numbers of the samples to train on, and of those held out; in each class, about the fraction.

    They follow from the seed alone. No class of more than one sample is held out whole.
    """
    m = Y.shape[1]
    if m < 2:
        raise ValueError("validation, as a fraction of the samples, needs two samples at least, got 1")
    bits = np.random.Philox(key=seed, counter=[0, 0, 1, 0])  # as no epoch's order is drawn
    order = np.random.Generator(bits).permutation(m)
    classes = classes_of(network, Y)[order]
    order = order[np.argsort(classes, kind="stable")]
    count = min(max(1, round(fraction * m)), m - 1)
    chosen = np.zeros(m, bool)
    chosen[((np.arange(count) + 0.5) * m / count).astype(int)] = True  # evenly, hence in every class
    sizes = np.bincount(classes)
    ends = np.cumsum(sizes)
    for start, end in zip(ends - sizes, ends, strict=True):
        if chosen[start:end].all():
            chosen[start] = False
    if not chosen.any():  # one sample of the largest class, then
        chosen[ends[sizes.argmax()] - 1] = True
    return np.sort(order[~chosen]), np.sort(order[chosen])


def classes_of(network: Network, Y: Array) -> Array:
    """The class of each sample; one for all, where the targets are no labels."""
    if network.loss not in ENTROPIES or not ((Y == 0) | (Y == 1)).all():
        return np.zeros(Y.shape[1], np.int64)
    return np.unique(Y, axis=1, return_inverse=True)[1].reshape(-1)
