"""`train_population`: many networks at once, each with what it has of its own."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from math import nan
from typing import Any, Literal, NamedTuple, Never, get_args

import numpy as np
from numpy.typing import ArrayLike

from fastxor import files, saving
from fastxor import validation as checks
from fastxor.backends import Backend, check_name, get_backend, resolve
from fastxor.cohort import Integers
from fastxor.files import Path
from fastxor.names import BackendName, Initialization
from fastxor.network import INITIALIZATIONS, Network
from fastxor.observers import Bar, EarlyStopping
from fastxor.optimizers import LBFGS, Optimizer, SecondOrder, each_of, with_numbers
from fastxor.penalties import NONE
from fastxor.population_loop import PopulationLoop, Rules
from fastxor.population_result import Population, load
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
from fastxor.result import DivergenceWarning, TrainingInterrupted, users_level
from fastxor.run_setup import DEFAULT_ITERATIONS, DEFAULT_OPTIMIZER
from fastxor.time_slice import undisturbed
from fastxor.training import INTERVAL, NEEDS_VALIDATION, kept_settings, length
from fastxor.views import Array
from fastxor.weights import of_members

# After a file was written, none is for so many times as long, though shards are done.
_REST = 5.0

# Numbers of members that a warning names.
_NAMED = 10


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
    if unknown:
        checks.no_more(train_population, unknown, get_args(Optimizer))
    if backend is not None:
        check_name(backend)
    networks = _networks(network)
    if resume is not None:
        _refuse_with_resume(resume, parameters=parameters, initialization=initialization, random_state=random_state)
    rules, observe = _rules(early_stopping, callback)
    if executor is not None:
        executor = _executor(executor, callback)
    options = _options(executor, checkpoint, checkpoint_every, progress)
    for each in networks:
        kept = kept_settings(each, optimizer, batch_size, shuffle, drop_last)
    if isinstance(optimizer, LBFGS):
        raise TypeError("optimizer LBFGS, whose steps are SciPy's, is not for populations: call train for each member")
    X = checks.cohort_inputs("X", X, networks[0].sizes[0])
    own = {"l2": l2, "l1": l1, "clip_norm": clip_norm}
    target = None if target_cost is None else _each("target_cost", target_cost)
    watched = not isinstance(validation, ValidateAtEnd)
    validation = validation.validation if isinstance(validation, ValidateAtEnd) else validation
    given = _entries(parameters, sample_weight, validation, random_state, (X, Y))
    said = {"members": members, "network": None if isinstance(network, Network) else len(networks)}
    said |= {"resume": None if resume is None else len(resume)} | each_of(optimizer)
    said |= _lengths(own | {"target_cost": target}) | given
    K = member_count(said)
    if initialization is not None:
        checks.only_one(parameters=parameters, initialization=initialization)
        initialization = checks.choice("initialization", initialization, INITIALIZATIONS)
    fraction, mask, pair = _validation(validation, K, X.shape[-1])
    steps, ends = length(iterations, epochs)
    request = PopulationRequest(
        optimizer=optimizer,
        penalties=_penalties(optimizer, own, K),
        batch_size=kept["batch_size"],
        shuffled=kept["shuffled"],
        drop_last=kept["drop_last"],
        iterations=steps,
        epochs=ends,
        interval=None if interval is None else checks.limit("interval", interval),
        threads=int(executor is not None) or None if threads is None else checks.limit("threads", threads),
        initialization=initialization,
        fraction=fraction,
        mask=mask,
        pair=pair,
        watched=watched,
        target=None if target is None else np.broadcast_to(target, K).astype(float),
        weights=_weights(networks[0], X, Y, (sample_weight, class_weight), mask, K),
    )
    request = _fresh(request, random_state, K) if resume is None else _kept(request, resume._state)

    def make(core: Backend) -> PopulationState:
        if resume is None:
            return new_population(core, networks, X, Y, parameters, request)
        return resumed_population(networks, X, Y, resume._state, request)

    core, population = _made(make, backend)
    if early_stopping is not None and any(group.held is None for group in population.groups):
        raise ValueError(NEEDS_VALIDATION)
    run = _Run(population, core, backend or get_backend(), rules, observe)
    return run.execute(options)


def _made(make: Callable[[Backend], PopulationState], backend: BackendName | None) -> tuple[Backend, PopulationState]:
    """The backend, which takes its time to be loaded, and the population where it begins. On Ctrl-C it ends there: the
    reference, which is there, draws the same starts.
    """
    try:
        core = resolve(backend)
        return core, make(core)
    except KeyboardInterrupt:
        raise undisturbed(lambda: _interrupted(make(resolve("numpy")))) from None


def _interrupted(population: PopulationState) -> TrainingInterrupted:
    """What becomes of Ctrl-C, with what had been reached."""
    result = Population(population.without_data())
    error = TrainingInterrupted({}, int(result.iterations.max()), result)  # type: ignore[arg-type]
    if len({group.cohort.network for group in population.groups}) == 1:
        error.parameters = result.parameters
    return error


class _Options(NamedTuple):
    """How a run is done, which changes nothing of its result."""

    executor: Any
    checkpoint: Path | None
    every: float
    progress: bool


class PopulationMoment:
    """What a callback is given: the records of a round. All arrays are copies.

    Attributes
    ----------
    iteration : ndarray of int, shape (members,)
        Steps that each member has taken.
    live : ndarray of bool, shape (members,)
        Who has been recorded; the others had ended.
    cost, validation_cost : ndarray, shape (members,)
        As in the history; NaN for those that had ended, or where not asked for.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> lowest = []
    >>> def look(moment):
    ...     lowest.append(moment.cost.min())
    >>> pop = fx.train_population(fx.Network([2, 2, 1]), X, Y, members=5, callback=look, random_state=0)
    >>> len(lowest), bool(lowest[-1] < lowest[0])
    (10, True)
    """

    def __init__(self, population: PopulationState, recorded: Integers, iteration: Integers) -> None:
        self.iteration, history = iteration, population.history
        self.live = np.zeros(len(population), bool)
        self.live[recorded] = True
        rows = history.count[recorded] - 1
        self.cost, self.validation_cost = np.full(len(population), nan), np.full(len(population), nan)
        self.cost[recorded] = history.cost[rows, recorded]
        if history.validation is not None:
            self.validation_cost[recorded] = history.validation[rows, recorded]

    def __repr__(self) -> str:
        return f"PopulationMoment({int(self.live.sum())} of {len(self.live)} members, lowest cost {self._lowest():g})"

    def _lowest(self) -> float:
        return float(np.nanmin(self.cost)) if self.live.any() else nan


class _Run:
    """A population from where it is to its end: here, or in shards elsewhere."""

    def __init__(
        self,
        population: PopulationState,
        core: Backend,
        backend: BackendName,
        rules: Rules,
        callback: Callable[..., Any] | None,
    ) -> None:
        self.population, self.core, self.backend, self.rules, self.callback = population, core, backend, rules, callback
        self.loop: PopulationLoop | None = None
        self.next_shard_save = 0.0  # from when on shards that are done may be saved again

    def execute(self, options: _Options) -> Population:
        self.checkpoint, self.every = options.checkpoint, options.every
        if self.checkpoint is not None:
            self._resume_checkpoint(self.checkpoint)
        total, done = int(self.population.iterations().sum()), int(self.population.completed().sum())
        self.bar, self.done = Bar(total, done) if options.progress else None, done
        self.next = time.perf_counter() + self.every
        try:
            if options.executor is None:
                observe = None if self.callback is None else self._observe
                self.loop = PopulationLoop(self.population, self.core, self.rules, observe, self._on_progress)
                self.loop.execute()
            else:
                self._run_shards(options.executor)
            self._close()
        except KeyboardInterrupt:
            raise self._interrupted() from None
        except Exception as error:
            with suppress(Exception):  # there are exceptions that take no attributes
                error.result = Population(self._settled().without_data())  # type: ignore[attr-defined]
            self._close()
            raise
        _warn(self.population)
        return Population(self.population.without_data())

    def _settled(self) -> PopulationState:
        """All members where their states are whole."""
        if self.loop is not None:
            self.loop.roll_back()
        return self.population

    def _interrupted(self) -> TrainingInterrupted:
        error = undisturbed(lambda: _interrupted(self._settled()))
        try:
            self._close()
        except (Exception, KeyboardInterrupt) as other:  # a file that cannot be saved must not cost what there is
            error.add_note(f"then {type(other).__name__}: {other}".removesuffix(": "))
        return error

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close(self.done, self._lowest)
        if self.checkpoint is not None:
            self._save()

    # ------------------------------------------------------------ between two calls of the backend

    def _on_progress(self, steps: int) -> None:
        self.done += steps
        if self.bar is not None:
            self.bar.span(self.done, self._lowest)
        if self.checkpoint is not None and time.perf_counter() >= self.next and not self._has_unobserved_steps():
            self._save()

    def _has_unobserved_steps(self) -> bool:
        """Whether there are steps that a callback has not seen."""
        return self.loop is not None and bool(self.loop.rollback_log)

    def _observe(self, recorded: Integers) -> Array:
        assert self.callback is not None
        answer = self.callback(PopulationMoment(self.population, recorded, self._recorded_at(recorded)))
        if answer is None or (isinstance(answer, bool | np.bool_) and not answer):
            return np.zeros(len(self.population), bool)
        if isinstance(answer, bool | np.bool_):
            return np.ones(len(self.population), bool)
        stop = np.asarray(answer)
        if stop.dtype != np.bool_ or stop.shape != (len(self.population),):
            raise TypeError(f"callback must return None, True or an array of bool (members,), got {answer!r}")
        return stop

    def _recorded_at(self, recorded: Integers) -> Integers:
        """The iteration of each member's last record."""
        history, completed = self.population.history, self.population.completed()
        if history.interval is not None:
            completed[recorded] = (history.count[recorded] - 1) * history.interval
        return completed

    def _lowest(self) -> float:
        """The lowest cost of the last records."""
        history = self.population.history
        known = history.last(history.cost)
        return float(np.nanmin(known)) if history.count.any() else nan

    # ------------------------------------------------------------ shards

    def _run_shards(self, executor: Any) -> None:
        from fastxor import executors  # which few need

        size = executors.size(executor, len(self.population))
        which = [*self.population.shards(size)]
        work = partial(_work, self.backend, self.rules)
        shards = Shards(self.population, which)
        for number, part in executors.done(executor, work, shards):
            before = int(self.population.completed()[which[number]].sum())
            self.population.put(which[number], part)
            self._on_progress(int(part.completed().sum()) - before)
            if self.checkpoint is not None and time.perf_counter() >= self.next_shard_save:
                self._save()
        rest = np.flatnonzero(self.population.cost != self.population.cost)
        if len(rest):  # who had nothing to do
            self.population.put(rest, _work(self.backend, self.rules, self.population.take(rest)))

    # ------------------------------------------------------------ a file of what is done

    def _resume_checkpoint(self, path: Path) -> None:
        """Go on from a file of the same call, if there is one."""
        self.population.digest = _digest(self.population, self.rules)
        for group in self.population.groups:
            saving.described(group.cohort.optimizer)  # or it is refused
        if not os.path.exists(path):
            return
        kept = load(path, Population)
        if kept._state.digest != self.population.digest:
            raise ValueError(
                f"checkpoint {os.fsdecode(path)!r} is of another call, with other data or arguments: remove it, or "
                "give another path"
            )
        self.population.put(np.arange(len(self.population)), kept._state)

    def _save(self) -> None:
        assert self.checkpoint is not None
        began = time.perf_counter()
        Population(self.population).save(self.checkpoint)
        now = time.perf_counter()
        self.next, self.next_shard_save = now + self.every, now + _REST * (now - began)


class Shards(Sequence[PopulationState]):
    """The parts of a population, each made when it is asked for: not all need be there at once."""

    def __init__(self, population: PopulationState, which: list[Integers]) -> None:
        self._state, self._which = population, which

    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, number: Any) -> Any:
        return self._state.take(self._which[number])


def _work(backend: BackendName, rules: Rules, population: PopulationState) -> PopulationState:
    """A shard from where it is to its end, in whichever process."""
    PopulationLoop(population, resolve(backend), rules).execute()
    return population.without_data()


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


def _rules(early_stopping: Any, callback: Any) -> tuple[Rules, Any]:
    if not isinstance(early_stopping, EarlyStopping | None):
        raise TypeError(f"early_stopping must be EarlyStopping(…), got {early_stopping!r}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be a function of one argument, got {callback!r}")
    return Rules(early_stopping), callback


def _options(executor: Any, checkpoint: Any, every: Any, progress: Any) -> _Options:
    every = checks.rate("checkpoint_every", every)
    return _Options(executor, _place(checkpoint), every, checks.flag("progress", progress))


def _executor(executor: Any, callback: Any) -> Any:
    from fastxor import executors  # which few need

    if callback is not None:
        raise ValueError("callback must be left out with executor: its records are made in other processes")
    return executors.check(executor)


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
        rows = [len(value) for name, value in parameters.items() if checks.axes(f'parameters["{name}"]', value)]
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
            raise TypeError(f"validation must be a pair (X, Y), a fraction, or an array (members, m); got {len(value)}")
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
    cohort = population.groups[0].cohort
    has: dict[str, Any] = {"batch_size": cohort.batch_size, "shuffle": cohort.shuffled, "drop_last": cohort.drop_last}
    has |= {"interval": population.history.interval, "validation": population.fraction}
    asks: dict[str, Any] = {
        "batch_size": request.batch_size,
        "shuffle": request.shuffled,
        "drop_last": request.drop_last,
    }
    asks |= {"interval": request.interval, "validation": request.fraction}
    for name, default in (("batch_size", None), ("shuffle", True), ("drop_last", False), ("interval", None)):
        _refuse_other(name, asks[name], has[name], default)
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


def _refuse_with_resume(resume: Any, **arguments: Any) -> None:
    if not isinstance(resume, Population):
        raise TypeError(f"resume must be a Population, as train_population and load return it, got {resume!r}")
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} must not be given with resume: the population goes on from where it is")


# ---------------------------------------------------------------- how it ended


def _warn(population: PopulationState) -> None:
    """Name those that diverged."""
    bad = np.flatnonzero(population.diverged).tolist()
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        warnings.warn(
            f"{len(bad)} of {len(population)} members diverged: {', '.join(map(str, bad[:_NAMED]))}{more} "
            "(see .diverged). Each keeps its last finite parameters. Try a smaller learning_rate.",
            DivergenceWarning,
            stacklevel=users_level(),
        )


def _digest(population: PopulationState, rules: Rules) -> str:
    """Of all that the bits of a population follow from."""
    import hashlib  # which few need

    digest = hashlib.sha256(repr((rules, population.given, population.fraction, population.history.interval)).encode())
    arrays: list[Any] = [population.seeds, population.weights, population.target]
    for group in population.groups:
        cohort, state, held = group.cohort, group.state, group.held
        how = cohort.network, cohort.optimizer, cohort.batch_size, cohort.shuffled, cohort.drop_last
        digest.update(repr(how).encode())
        arrays += [cohort.X, cohort.Y, cohort.numbers, cohort.penalties, cohort.seeds, cohort.iterations]
        arrays += [group.members, state.theta, state.memory, state.powers, state.completed, *(held or ())]
    for array in arrays:
        digest.update(repr(None if array is None else (array.shape, array.dtype)).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
