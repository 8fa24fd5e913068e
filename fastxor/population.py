"""`train_population`: many networks at once, each with what it has of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from types import SimpleNamespace
from typing import Any, Literal, Never, get_args

import numpy as np
from numpy.typing import ArrayLike

from fastxor import early_stopping as stopping
from fastxor import files
from fastxor import validation as checks
from fastxor.backends import Backend, check_name, get_backend, resolve
from fastxor.early_stopping import EarlyStopping
from fastxor.files import Path
from fastxor.names import BackendName, Initialization
from fastxor.network import INITIALIZATIONS, Network
from fastxor.optimizers import LBFGS, Optimizer, SecondOrder, each_of, with_numbers
from fastxor.penalties import NONE
from fastxor.population_result import Population
from fastxor.population_run import PopulationMoment, PopulationRun, RunOptions, interrupted
from fastxor.population_setup import (
    PopulationRequest,
    ValidateAtEnd,
    member_count,
    member_numbers,
    new_population,
    resumed_population,
    seeds,
)
from fastxor.population_state import Group, PopulationState
from fastxor.run_setup import DEFAULT_ITERATIONS, DEFAULT_OPTIMIZER
from fastxor.time_slice import undisturbed
from fastxor.training import INTERVAL, NEEDS_VALIDATION, kept_settings, length
from fastxor.views import Array
from fastxor.weights import of_members


def train_population(
    network: Network | Sequence[Network],
    X: ArrayLike,
    Y: ArrayLike,
    *,
    members: int | None = None,
    parameters: Mapping[str, ArrayLike] | Sequence[Mapping[str, ArrayLike]] | None = None,
    initialization: Initialization | None = None,
    optimizer: Optimizer = DEFAULT_OPTIMIZER,
    iterations: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
    sample_weight: ArrayLike | None = None,
    class_weight: Literal["balanced"] | Mapping[int, float] | None = None,
    l2: ArrayLike = 0.0,
    l1: ArrayLike = 0.0,
    clip_norm: ArrayLike | None = None,
    random_state: Any = None,
    interval: int | None = None,
    validation: float | tuple[ArrayLike, ArrayLike] | ArrayLike | None = None,
    early_stopping: EarlyStopping | None = None,
    target_cost: ArrayLike | None = None,
    callback: Callable[[PopulationMoment], Any] | None = None,
    progress: bool = False,
    executor: Any = None,
    checkpoint: Path | None = None,
    checkpoint_every: float = 60.0,
    resume: Population | None = None,
    threads: int | None = None,
    backend: BackendName | None = None,
    **unknown: Never,  # refused, with a hint at what was meant
) -> Population:
    """Train many networks at once, each as `train` would.

    Every member ends, to rounding, where `train` ends with the same data, start, seed and settings; and it has the same
    bits whatever the number of members, its place among them, the number of threads, shards or processes.

    Parameters
    ----------
    network : Network or list of Network
        That of all members, or one for each: those of one architecture are trained together.
    X : array_like, shape (n_x, m), or (members, n_x, m)
        Samples that all members share, or a set for each of them.
    Y : array_like, shape (n_y, m), or (members, n_y, m)
        Likewise; or vectors and class numbers, as in `train`, (m,) or (members, m). A shape of (n_y, m) is for all.
    members : int, optional
        How many there are; may be left out where an argument has an entry for each.
    parameters : dict, or a list of dict, optional
        Start from these: ``W1, b1, …``, each with an axis more, in front, of the members; or a dict for each member.
    optimizer : SGD, Adam, AdamW, RMSprop, Rprop or LevenbergMarquardt, optional
        Default: ``SGD(0.3)``. Each number of the first five may be an array with an entry for each member, as in
        ``fx.SGD(rates)`` or ``fx.Adam(rates, beta1=…)``; a function as learning rate is a schedule for all.
    l2, l1, clip_norm : float or array_like, shape (members,), optional
        As in `train`.
    sample_weight : array_like, shape (m,) or (members, m), optional
        How much each sample counts, for all members or for each: folds, bootstraps and splits of X that need no copy.
        As in `train`, a sample of weight 0 is left out.
    random_state : None, int, RandomState, Generator, or array_like of int, shape (members,), optional
        Where the members' seeds come from: see `Population.seeds`. A member's follows from the state and its number
        alone, so that those of a larger population begin with the same. An array has the seeds themselves.
    validation : float, (X, Y) or array_like of bool, shape (members, m), optional
        As in `train`: a fraction, which for each member follows from its seed, or data for all members, or a set for
        each; or which samples of X each member is validated on, and not trained on.
    early_stopping : EarlyStopping, optional
        When a member stops, by its validation cost.
    target_cost : float or array_like, shape (members,), optional
        A member stops at its first record whose cost is not above this.
    callback : callable, optional
        Called with a `PopulationMoment` at every record. If it returns True, all members stop there; if it returns an
        array of bool (members,), those of them. Not with `executor`.
    progress : bool, optional
        Show a bar by tqdm; if that is not installed, log a line every few seconds.
    executor : Executor, Client or "joblib", optional
        Who does the work: a `concurrent.futures.Executor`, such as a process pool; a `dask.distributed.Client`; the
        pool of mpi4py.futures; or "joblib", its active backend. The population is cut into shards, and one that is lost
        with its worker is done again. No bit changes.
    checkpoint : path, optional
        Save the population to this file while it goes on, after each shard of an executor, and at its end, however that
        comes. If the file is there, of the same call, the run goes on from it; that of another call is refused.
    checkpoint_every : float, optional
        Seconds from one checkpoint to the next, without an executor.
    resume : Population, optional
        Go on with a population, as `train` does with a run.
    threads : int, optional
        Threads that share the members. Default: as many as this process may use cores, but one in an executor's
        workers.
    initialization, iterations, epochs, batch_size, shuffle, drop_last, class_weight, interval, backend
        As in `train`.

    Returns
    -------
    Population

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    TrainingInterrupted
        On Ctrl-C; a KeyboardInterrupt whose ``result`` holds the population so far, to be gone on with.

    Warns
    -----
    DivergenceWarning
        If members diverged, with their numbers: each keeps its last finite parameters. The others are not concerned.

    Examples
    --------
    From how many random starts, and at which rates, does a tiny network learn XOR?

    >>> import numpy as np
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> rates = np.repeat([0.1, 1.0, 3.0], 100)
    >>> net = fx.Network([2, 2, 1])
    >>> pop = fx.train_population(net, X, Y, optimizer=fx.SGD(rates), target_cost=0.1, random_state=0)
    >>> share = pop.converged.reshape(3, 100).mean(axis=1)
    >>> bool(share[0] < share[1] < 1)
    True
    """
    given = dict(locals())
    return prepared(given | given.pop("unknown")).execute()


_DEFAULTS = {name: argument.default for name, argument in signature(train_population).parameters.items()}
del _DEFAULTS["unknown"]


def prepared(given: Mapping[str, Any]) -> PopulationRun:
    """The run of `train_population` with these arguments, all checked, before its first step."""
    unknown = {name: value for name, value in given.items() if name not in _DEFAULTS}
    if unknown:
        checks.no_more(train_population, unknown, get_args(Optimizer))
    asked = SimpleNamespace(**{**_DEFAULTS, **given})
    if asked.backend is not None:
        check_name(asked.backend)
    networks, resume = _networks(asked.network), asked.resume
    if resume is not None:
        own = {name: vars(asked)[name] for name in ("parameters", "initialization", "random_state")}
        _refuse_with_resume(resume, own)
    options = _options(asked)
    X = checks.cohort_inputs("X", asked.X, networks[0].sizes[0])
    request = _request(asked, networks, X)

    def make(core: Backend) -> PopulationState:
        if resume is None:
            return new_population(core, networks, X, asked.Y, asked.parameters, request)
        return resumed_population(networks, X, asked.Y, resume._state, request)

    core, population = _made(make, asked.backend)
    if request.early_stopping is not None and any(group.held is None for group in population.groups):
        raise ValueError(NEEDS_VALIDATION)
    return PopulationRun(population, core, asked.backend or get_backend(), asked.callback, options)


def _request(asked: Any, networks: Sequence[Network], X: Array) -> PopulationRequest:
    """What is asked of the population beside its networks and data."""
    optimizer, initialization, validation = asked.optimizer, asked.initialization, asked.validation
    for network in networks:
        kept = kept_settings(network, optimizer, asked.batch_size, asked.shuffle, asked.drop_last)
    if isinstance(optimizer, LBFGS):
        raise TypeError("optimizer LBFGS, whose steps are SciPy's, is not for populations: call train for each member")
    penalties = {name: vars(asked)[name] for name in ("l2", "l1", "clip_norm")}
    target = None if asked.target_cost is None else _each("target_cost", asked.target_cost)
    watched = not isinstance(validation, ValidateAtEnd)
    validation = validation if watched else validation.validation
    said = {"members": asked.members, "network": None if isinstance(asked.network, Network) else len(networks)}
    said |= {"resume": None if asked.resume is None else len(asked.resume)} | each_of(optimizer)
    said |= _lengths(penalties | {"target_cost": target})
    said |= _entries(asked.parameters, asked.sample_weight, validation, asked.random_state, (X, asked.Y))
    K = member_count(said)
    if initialization is not None:
        checks.only_one(parameters=asked.parameters, initialization=initialization)
        initialization = checks.choice("initialization", initialization, INITIALIZATIONS)
    fraction, mask, pair = _validation(validation, K, X.shape[-1])
    iterations, epochs = length(asked.iterations, asked.epochs)
    threads = int(asked.executor is not None) or None
    request = PopulationRequest(
        optimizer=optimizer,
        penalties=_penalties(optimizer, penalties, K),
        batch_size=kept["batch_size"],
        shuffled=kept["shuffled"],
        drop_last=kept["drop_last"],
        iterations=iterations,
        epochs=epochs,
        interval=None if asked.interval is None else checks.limit("interval", asked.interval),
        threads=threads if asked.threads is None else checks.limit("threads", asked.threads),
        initialization=initialization,
        fraction=fraction,
        mask=mask,
        pair=pair,
        watched=watched,
        early_stopping=stopping.checked(asked.early_stopping),
        target=None if target is None else np.broadcast_to(target, K).astype(float),
        weights=_weights(networks[0], X, asked.Y, (asked.sample_weight, asked.class_weight), mask, K),
    )
    return _fresh(request, asked.random_state, K) if asked.resume is None else _kept(request, asked.resume._state)


def _made(make: Callable[[Backend], PopulationState], backend: BackendName | None) -> tuple[Backend, PopulationState]:
    """The backend, which takes its time to be loaded, and the population where it begins. On Ctrl-C it ends there: the
    reference, which is there, draws the same starts.
    """
    try:
        core = resolve(backend)
        return core, make(core)
    except KeyboardInterrupt:
        raise undisturbed(lambda: interrupted(make(resolve("numpy")))) from None


# ---------------------------------------------------------------- what is asked


def _networks(network: Any) -> list[Network]:
    networks = [network] if isinstance(network, Network) else network
    if not (isinstance(networks, list | tuple) and networks and all(isinstance(each, Network) for each in networks)):
        raise TypeError(f"network must be a Network or a list of Networks, got {network!r}")
    n_x = networks[0].sizes[0]
    for number, each in enumerate(networks):
        if each.sizes[0] != n_x:
            raise ValueError(
                f"network, as a list, must have as many inputs everywhere, the rows of X; got {n_x} at 0 and "
                f"{each.sizes[0]} at {number}"
            )
    return list(networks)


def _options(asked: Any) -> RunOptions:
    callback, executor = asked.callback, asked.executor
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of one argument, got {callback!r}")
    if executor is not None:
        from fastxor import executors  # which few need

        if callback is not None:
            raise ValueError("callback must be left out with executor: its records are made in other processes")
        executor = executors.check(executor)
    every, checkpoint = checks.rate("checkpoint_every", asked.checkpoint_every), _place(asked.checkpoint)
    return RunOptions(executor, checkpoint, every, checks.flag("progress", asked.progress))


def _place(checkpoint: Any) -> Path | None:
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | os.PathLike):
        raise TypeError(f"checkpoint must be a path, got {checkpoint!r}")
    files.place(checkpoint)  # or it is refused, before a step is taken
    return os.path.abspath(checkpoint)  # a callback may change the working directory


def _lengths(values: Mapping[str, Any]) -> dict[str, int | None]:
    """How many entries those have that are arrays."""
    return {name: len(value) if checks.axes(name, value) else None for name, value in values.items()}


def _entries(
    parameters: Any, sample_weight: Any, validation: Any, random_state: Any, data: tuple[Any, Any]
) -> dict[str, int | None]:
    """How many members the data and the starts are of, where they say so."""
    pair = validation if _is_pair(validation) else ()
    mask = None if pair or checks.axes("validation", validation) != 2 else validation
    apart = [
        len(array) for name, array in zip("XY", pair, strict=False) if checks.axes(f"validation: {name}", array) == 3
    ]
    return {
        "parameters": _starts(parameters),
        **{name: len(array) if checks.axes(name, array) == 3 else None for name, array in zip("XY", data, strict=True)},
        "sample_weight": len(sample_weight) if checks.axes("sample_weight", sample_weight) == 2 else None,
        "validation": len(mask) if mask is not None else apart[0] if apart else None,
        "random_state": len(random_state) if checks.are_several(random_state) else None,
    }


def _starts(parameters: Any) -> int | None:
    """How many members there are parameters for, as far as they say so."""
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        axes = {name: checks.axes(f'parameters["{name}"]', value) for name, value in parameters.items()}
        if axes and set(axes.values()) == {2}:
            raise ValueError(
                "parameters must have an axis more, in front, of the members, and are of a single network; one start "
                "for all is [parameters] * members"
            )
        rows = [len(parameters[name]) for name in axes if axes[name]]
        return rows[0] if rows else None
    if checks.are_several(parameters):
        return len(parameters)
    raise TypeError(
        "parameters must be a dict of arrays, each with an axis more of the members in front, or a list of dicts, one "
        f"for each member; got {type(parameters).__name__}"
    )


def _penalties(optimizer: Optimizer, own: Mapping[str, Any], K: int) -> Array:
    """l2, l1 and clip_norm of each member, (K, 3)."""
    table = np.tile(np.array(NONE), (K, 1))
    for column, (name, value) in zip(table.T, own.items(), strict=True):
        if value is None:
            continue
        column[:] = _each(name, value)
        if name == "clip_norm" and not column.all():
            raise ValueError("clip_norm must be above 0, got 0.0")
    if isinstance(optimizer, SecondOrder) and (table != np.array(NONE)).any():
        raise ValueError(f"l2, l1 and clip_norm must be left out with {type(optimizer).__name__}")
    return table


def _each(name: str, value: Any) -> Any:
    """A number for all members, or an array with one for each."""
    return checks.rates(name, value, "members") if checks.axes(name, value) else checks.rate(name, value)


def _is_pair(validation: Any) -> bool:
    """Whether this is (X, Y), or was meant to be."""
    return isinstance(validation, tuple) or (
        isinstance(validation, list) and len(validation) == 2 and checks.axes("validation: X", validation[0]) > 1
    )


def _validation(value: Any, K: int, m: int) -> tuple[float | None, Array | None, Any]:
    """A fraction, or which samples (K, m), or a pair; two of them None."""
    if value is None:
        return None, None, None
    if _is_pair(value):
        if len(value) != 2:
            raise TypeError(
                f"validation must be a pair (X, Y), a fraction, or an array (members, m); got {len(value)} entries"
            )
        return None, None, tuple(value)
    if not checks.axes("validation", value):
        fraction = checks.rate("validation", value, below=1.0)
        if not fraction:
            raise ValueError("validation, as a fraction of the samples, must be above 0, got 0.0")
        return fraction, None, None
    mask = np.asarray(value)
    if mask.dtype != np.bool_ or mask.shape != (K, m):
        raise ValueError(
            f"validation, as an array, must be bool of shape (members, m) = {(K, m)}, got {mask.dtype} of {mask.shape}"
        )
    if not mask.any(axis=1).all():
        raise ValueError("validation, as an array, must be True for a sample of each member at least")
    return None, mask, None


def _weights(network: Network, X: Array, Y: Any, own: tuple[Any, Any], mask: Array | None, K: int) -> Array | None:
    """How much each sample counts, (m,) or (K, m); not those that a member is validated on."""
    weights = None
    if any(value is not None for value in own):
        Y = checks.cohort_answers(Y, network, X.shape[-1], K)
        weights = of_members(network, Y, *own, K)
    if mask is None:
        return weights
    weights = np.where(mask, 0.0, 1.0 if weights is None else weights)
    if not weights.any(axis=1).all():
        raise ValueError("validation and sample_weight must leave a sample to train on for each member")
    return weights


def _fresh(request: PopulationRequest, random_state: Any, K: int) -> PopulationRequest:
    """Terms of a population that begins."""
    interval = INTERVAL if request.interval is None and request.epochs is None else request.interval
    iterations = DEFAULT_ITERATIONS if request.iterations is None and request.epochs is None else request.iterations
    return replace(request, seeds=seeds(random_state, K), interval=interval, iterations=iterations)


def _kept(request: PopulationRequest, population: PopulationState) -> PopulationRequest:
    """Terms of a population that goes on: what it has, nobody may say otherwise."""
    for cohort in (group.cohort for group in population.groups):
        _refuse_other("batch_size", request.batch_size, cohort.batch_size, None)
        _refuse_other("shuffle", request.shuffled, cohort.shuffled, True)
        _refuse_other("drop_last", request.drop_last, cohort.drop_last, False)
    _refuse_other("interval", request.interval, population.history.interval, None)
    if population.fraction is not None and (request.mask is not None or request.pair is not None):
        raise ValueError(f"validation comes from the population that is resumed, {population.fraction}, and stays")
    _refuse_other("validation", request.fraction, population.fraction, None)
    table, penalties = member_numbers(request.optimizer, len(population)), np.array(NONE)
    for group in population.groups:
        if request.optimizer is not DEFAULT_OPTIMIZER and not _has_optimizer(
            group, request.optimizer, table[group.members]
        ):
            raise ValueError("optimizer comes from the population that is resumed, and stays; got another one")
        asked = request.penalties[group.members]
        if ((asked != penalties) & (asked != group.cohort.penalties)).any():
            raise ValueError("l2, l1 and clip_norm come from the population that is resumed, and stay; got others")
    if request.weights is not None and not np.array_equal(request.weights, population.weights):  # type: ignore[arg-type]
        raise ValueError("sample_weight, class_weight and samples to validate on stay as they were; got others")
    return replace(
        request,
        seeds=population.seeds,
        interval=population.history.interval,
        fraction=population.fraction,
        weights=population.weights,
    )


def _has_optimizer(group: Group, optimizer: Optimizer, numbers: Array) -> bool:
    """Whether it is that of a group's members, for whom it has these numbers; with its flags and its schedule."""
    has = group.cohort.optimizer
    if type(optimizer) is not type(has) or not np.array_equal(numbers, group.cohort.numbers):
        return False
    return with_numbers(optimizer, numbers[0]) == with_numbers(has, numbers[0])


def _refuse_other(name: str, value: Any, has: Any, default: Any) -> None:
    if value != default and value != has:
        raise ValueError(f"{name} comes from the population that is resumed, {has!r}, and stays; got {value!r}")


def _refuse_with_resume(resume: Any, arguments: Mapping[str, Any]) -> None:
    if not isinstance(resume, Population):
        raise TypeError(f"resume must be a Population, as train_population and load return it, got {resume!r}")
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} must not be given with resume: the population goes on from where it is")
