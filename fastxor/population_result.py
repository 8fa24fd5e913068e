"""`Population`: what `train_population` returns; and `load`, for the files of populations and of single runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, cast, overload

import numpy as np
from numpy.typing import ArrayLike

from fastxor import files, saving, saving_population, validation
from fastxor.backends import resolve
from fastxor.cohort import Integers
from fastxor.files import Path
from fastxor.history import History
from fastxor.names import BackendName
from fastxor.network import Network
from fastxor.penalties import Penalties
from fastxor.population_state import Group, PopulationState, Records
from fastxor.result import Result
from fastxor.views import Array

Kind = TypeVar("Kind", bound="Result | Population")


class PopulationHistory:
    """What was recorded of a population: arrays with a row for each record and a column for each member.

    Attributes
    ----------
    iteration : ndarray of int, shape (records,) or (records, members)
        Steps that had been taken; the latter where the members' epochs have different numbers of steps.
    epoch : ndarray of int, shape (records,) or (records, members)
        Epochs that had been completed.
    cost : ndarray, shape (records, members)
        As in `History`; NaN from where a member had ended.
    validation_cost : ndarray, shape (records, members)
        NaN likewise, and where not asked for.
    seconds : float
        Time that it all took.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> pop = fx.train_population(fx.Network([2, 2, 1]), X, Y, members=5, iterations=300, random_state=0)
    >>> pop.history.iteration
    array([  0, 100, 200])
    >>> pop.history.cost.shape
    (3, 5)
    """

    def __init__(self, columns: Records) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return int(self._columns.count.max(initial=0))

    def __repr__(self) -> str:
        return f"PopulationHistory({len(self)} record{'s' * (len(self) != 1)} of {len(self._columns.count)} members)"

    @property
    def iteration(self) -> Array:
        numbers = np.arange(len(self))
        if self._columns.interval is not None:
            return numbers * self._columns.interval
        return _common((numbers + 1)[:, None] * self._columns.steps)

    @property
    def epoch(self) -> Array:
        if self._columns.interval is None:
            return np.arange(1, len(self) + 1)
        return _common(self.iteration[:, None] // self._columns.steps)

    @property
    def cost(self) -> Array:
        return self._column(self._columns.cost)

    @property
    def validation_cost(self) -> Array:
        if self._columns.validation is None:
            return np.full((len(self), len(self._columns.count)), np.nan)
        return self._column(self._columns.validation)

    @property
    def seconds(self) -> float:
        return self._columns.seconds

    def _column(self, values: Array) -> Array:
        rows = np.arange(len(self))[:, None]
        return np.where(rows < self._columns.count, values[: len(self)], np.nan)


def _common(rows: Array) -> Array:
    """Rows (records, members) as (records,), if they are the same for all members."""
    return rows[:, 0] if (rows == rows[:, :1]).all() else rows


class Population(Sequence[Result]):
    """Networks that were trained together: what `train_population` returns.

    ``pop[i]`` is a `Result`, ``len(pop)`` their number; ``pop[2:5]``, or an array of numbers or of bool, makes a
    population of some of them.

    Attributes
    ----------
    network : Network
        That of all members; `networks` where there are several.
    networks : tuple of Network
        Of each member.
    parameters : dict
        ``W1, b1, W2, b2, …``, each with an axis more, in front, of the members.
    cost : ndarray, shape (members,)
        That of each member's own data at the end, penalties and weights included; infinite if it is not finite, and NaN
        where a run was interrupted before a member's end.
    validation_cost : ndarray, shape (members,)
        That of the data for validation at the end; NaN if there were none, or as for `cost`.
    history : PopulationHistory
        What was recorded.
    iterations : ndarray of int, shape (members,)
        Steps behind the parameters.
    converged : ndarray of bool, shape (members,)
        Whether a cost was recorded, or is there at the end, that is not above `target_cost`; False without one.
    iterations_to_target : ndarray, shape (members,)
        Steps before the first such cost; NaN where there is none.
    diverged : ndarray of bool, shape (members,)
        Whether a cost or a parameter was no longer finite, or the cost ended ten times above where it began.
    seeds : ndarray of int, shape (members,)
        ``fx.train(…, random_state=int(pop.seeds[i]))`` begins as member i does.
    best : Result
        The member of the lowest validation cost, or of the lowest cost if there is no validation: that at the end, or
        the last that was recorded.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> net = fx.Network([2, 4, 1])
    >>> adam = fx.Adam(0.05)
    >>> pop = fx.train_population(net, X, Y, members=20, optimizer=adam, target_cost=0.01, random_state=0)
    >>> pop  # doctest: +ELLIPSIS
    Population(20 members, 2-4-1 network, 20 converged, cost 0.00... to 0.00...)
    >>> pop.parameters["W1"].shape
    (20, 4, 2)
    >>> pop.best.predict(X)
    array([[0, 1, 1, 0]])
    >>> pop.top(3).vote(X)
    array([[0, 1, 1, 0]])
    """

    def __init__(self, population: PopulationState) -> None:
        self._state = population

    # ------------------------------------------------------------ what there is of it

    @property
    def networks(self) -> tuple[Network, ...]:
        if len(self._state.groups) == 1:
            return (_network(self._state.groups[0]),) * len(self)
        return tuple(_network(self._state.find_member(i)[0]) for i in range(len(self)))

    @property
    def network(self) -> Network:
        first, *others = {_network(group): None for group in self._state.groups}
        if others:
            raise ValueError(f"the members have {1 + len(others)} architectures: see .networks, or pop[i].network")
        return first

    @property
    def parameters(self) -> dict[str, Array]:
        theta, k = self._theta(), len(self)
        return {name: theta[:, place].reshape(k, *shape) for name, place, shape in self.network._slots}

    def _theta(self) -> Array:
        """The flat parameters (members, P)."""
        network, groups = self.network, self._state.groups
        if len(groups) == 1:
            return groups[0].state.theta
        theta = np.empty((len(self), network.count), groups[0].state.theta.dtype)
        for group in groups:
            theta[group.members] = group.state.theta
        return theta

    @property
    def cost(self) -> Array:
        return self._state.cost

    @property
    def validation_cost(self) -> Array:
        return self._state.validation_cost

    @property
    def history(self) -> PopulationHistory:
        return PopulationHistory(self._state.history)

    @property
    def iterations(self) -> Integers:
        return self._state.completed()

    @property
    def converged(self) -> Array:
        return self._state.reached == self._state.reached

    @property
    def iterations_to_target(self) -> Array:
        return self._state.reached

    @property
    def diverged(self) -> Array:
        return self._state.diverged

    @property
    def seeds(self) -> Integers:
        return self._state.seeds

    @property
    def best(self) -> Result:
        return self[int(self._order()[0])]

    def top(self, k: int) -> Population:
        """The k best members, the best one first, as `best` compares them.

        Parameters
        ----------
        k : int

        Returns
        -------
        Population
        """
        return self[self._order()[: validation.integer("k", k, 1, len(self))]]

    def _order(self) -> Integers:
        validated, cost = self._last_costs()
        score = validated if (validated == validated).any() else cost
        return np.argsort(np.where(score == score, score, np.inf), kind="stable")

    def _last_costs(self) -> tuple[Array, Array]:
        """Validation costs and costs at the end; of those that have not come to it, the last that were recorded."""
        history, ended = self._state.history, self.cost == self.cost
        validated = np.nan if history.validation is None else history.last(history.validation)
        cost = np.where(ended, self.cost, history.last(history.cost))
        return np.where(ended, self.validation_cost, validated), cost

    def __len__(self) -> int:
        return len(self._state)

    def __iter__(self) -> Iterator[Result]:
        return (self._result(i) for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice | list[int] | Array) -> Population: ...

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(f"there is no member {index} of {len(self)}")
            return self._result(int(index) % len(self))
        which = np.arange(len(self))[np.asarray(index, None if index else int) if isinstance(index, list) else index]
        if which.ndim != 1 or not len(which):
            raise IndexError(f"a population has one member at least; {index!r} are none of {len(self)}")
        if len(np.unique(which)) < len(which):
            raise IndexError("a population has each member once")
        return Population(self._state.take(which))

    def __repr__(self) -> str:
        shapes = {"-".join(map(str, _network(group).sizes)) for group in self._state.groups}
        network = f"{shapes.pop()} network" if len(shapes) == 1 else f"{len(shapes)} architectures"
        cost = self._last_costs()[1]
        known = cost[np.isfinite(cost)]
        reached = "" if self._state.target is None else f", {int(self.converged.sum())} converged"
        span = f", cost {known.min():g} to {known.max():g}" if len(known) else ""
        return f"Population({len(self)} member{'s' * (len(self) != 1)}, {network}{reached}{span})"

    # ------------------------------------------------------------ a member by itself

    def _result(self, i: int) -> Result:
        group, number = self._state.find_member(i)
        state, best = group.state.state(number), None
        if group.best is not None and group.best.completed[number] >= 0:
            best = group.best.state(number)
        network = _network(group)
        settings = self._settings(group, number)
        history = self._history_of(i, settings["optimizer"])
        return Result(network, network._views(state.theta), history, state.completed, state, settings, best)

    def _history_of(self, i: int, optimizer: Any) -> History:
        columns = self._state.history
        steps, count = int(columns.steps[i]), int(columns.count[i])
        history = History(steps, optimizer)
        numbers = np.arange(count)
        at = (numbers * columns.interval if columns.interval else (numbers + 1) * steps).tolist()
        history._costs = dict(zip(at, columns.cost[:count, i].tolist(), strict=True))
        if columns.validation is not None:
            known = zip(at, columns.validation[:count, i].tolist(), strict=True)
            history._validation = {iteration: value for iteration, value in known if value == value}
        group, number = self._state.find_member(i)
        history._clock.append((int(group.state.completed[number]), columns.seconds))
        return history

    def _settings(self, group: Group, number: int) -> dict[str, Any]:
        """As `Run` has them."""
        job, population = group.cohort.job(number), self._state
        member = int(group.members[number])
        weights = population.weights
        if weights is not None and weights.ndim > 1:
            weights = weights[member].copy()
        return {
            "optimizer": job.optimizer,
            "batch_size": job.batch_size,
            "shuffled": job.shuffled,
            "drop_last": job.drop_last,
            "penalties": Penalties(*group.cohort.penalties[number].tolist()),
            "weights": weights,
            "seed": job.seed,
            "iterations": job.iterations,
            "interval": population.history.interval,
            "samples": int(group.samples[number]),
            "given": population.given,
            "fraction": population.fraction,
        }

    # ------------------------------------------------------------ all members at once

    def forward(self, X: ArrayLike, *, backend: BackendName | None = None, threads: int | None = None) -> Array:
        """The outputs of all members, (members, n_y, m), for X (n_x, m), or (members, n_x, m): its own for each.

        Parameters
        ----------
        X : array_like
            Features down, samples across; finite.
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.
        threads : int, optional
            Threads that share the members; default: as many as this process may use cores.

        Returns
        -------
        ndarray, shape (members, n_y, m)
            float32 if X and every parameter are float32, else float64.

        Raises
        ------
        TypeError, ValueError
            If X has the wrong kind, shape or values; also if members have different numbers of outputs.
        OverflowError
            If an output is not finite; the message says of which member.
        """
        core = resolve(backend)
        threads = None if threads is None else validation.limit("threads", threads)
        parts = [(group, _outputs(core, group, X, len(self), threads)) for group in self._state.groups]
        if len(parts) == 1:
            return parts[0][1]
        if len({part.shape[1] for _group, part in parts}) > 1:
            raise ValueError("the members have different numbers of outputs: ask each of them, pop[i].forward(X)")
        whole = np.empty((len(self), *parts[0][1].shape[1:]), np.result_type(*[part for _group, part in parts]))
        for group, part in parts:
            whole[group.members] = part
        return whole

    def predict(self, X: ArrayLike, *, backend: BackendName | None = None, threads: int | None = None) -> Array:
        """What the outputs of each member mean, as `Network.predict` says: labels, class numbers or values.

        Parameters
        ----------
        X, backend, threads
            As for `forward`.

        Returns
        -------
        ndarray, shape (members, n_y, m), or (members, m) for softmax
        """
        return _meaning(self._output(), self.forward(X, backend=backend, threads=threads), axis=1)

    def mean(self, X: ArrayLike, *, backend: BackendName | None = None, threads: int | None = None) -> Array:
        """The outputs (n_y, m), averaged over the members."""
        return cast(Array, self.forward(X, backend=backend, threads=threads).mean(axis=0))

    def spread(self, X: ArrayLike, *, backend: BackendName | None = None, threads: int | None = None) -> Array:
        """How far apart the members' outputs are, (n_y, m): their standard deviation."""
        return cast(Array, self.forward(X, backend=backend, threads=threads).std(axis=0))

    def vote(self, X: ArrayLike, *, backend: BackendName | None = None, threads: int | None = None) -> Array:
        """What most members predict: labels (n_y, m), or class numbers (m,) for softmax; on a tie, the lower.

        Raises
        ------
        ValueError
            If the outputs are values, output='identity', which have a `mean`.
        """
        output = self._output()
        if output == "identity":
            raise ValueError("vote is for labels and classes; for output='identity' take mean")
        A = self.forward(X, backend=backend, threads=threads)
        votes = _meaning(output, A, axis=1)
        if output == "sigmoid":
            return (2 * votes.sum(axis=0) > len(self)).astype(np.int_)
        counts = np.stack([(votes == number).sum(axis=0) for number in range(A.shape[1])])
        return cast(Array, counts.argmax(axis=0))

    def _output(self) -> str:
        first, *others = {_network(group).output for group in self._state.groups}
        if others:
            raise ValueError("the members have different kinds of outputs: ask each of them, pop[i].predict(X)")
        return first

    # ------------------------------------------------------------ files

    def save(self, path: Path) -> None:
        """Write the population to a file that `load` reads, with all that is needed to continue.

        It is a plain ``.npz``, written whole or not at all, as `Result.save` does.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        OSError
            If it cannot be written.
        TypeError
            If the optimizer's learning rate is a function that is not one of `fastxor.schedules`.
        """
        saving_population.save(path, self._state)


@overload
def load(path: Path) -> Result: ...


@overload
def load(path: Path, kind: type[Kind]) -> Kind: ...


def load(path: Path, kind: Any = None) -> Any:
    """Read a run or a population from a file that `save` or ``checkpoint=…`` has written.

    Parameters
    ----------
    path : str or path-like
    kind : type, optional
        `Result` or `Population`, if another kind is to be refused. Type checkers take ``load(path)`` for a `Result`,
        and ``load(path, fx.Population)`` for a `Population`.

    Returns
    -------
    Result or Population
        To predict with, or to go on from: ``fx.train(network, X, Y, resume=fx.load(path))``, or the same with
        `train_population`.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be read.
    ValueError
        If it is not a whole run: truncated, of another kind, of a newer format, or with arrays of wrong shapes, kinds
        or values; or not of the `kind` wanted. The message names the file. Nothing is ever unpickled.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> run = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run.save(os.path.join(folder, "run.npz"))
    ...     again = fx.load(os.path.join(folder, "run.npz"))
    >>> again.predict(X)
    array([[0, 1, 1, 0]])
    """
    arrays, entry = files.read(path)
    found: Result | Population
    if "population" in entry:
        found = Population(saving_population.restored(path, arrays, entry))
    else:
        found = Result(*saving.restored(path, arrays, entry))
    if kind is not None and not isinstance(found, kind):
        raise ValueError(f"{os.fsdecode(path)!r} holds a {type(found).__name__}, not a {kind.__name__}")
    return found


def _network(group: Group) -> Network:
    return cast(Network, group.cohort.network)


def _outputs(core: Any, group: Group, X: ArrayLike, K: int, threads: int | None) -> Array:
    network, theta = _network(group), group.state.theta
    X = validation.cohort_inputs("X", X, network.sizes[0])
    if X.ndim == 3:
        if len(X) != K:
            raise ValueError(f"X must have a set of samples for each of the {K} members, got shape {X.shape}")
        X = X if len(theta) == K else X[group.members]
    if X.dtype != theta.dtype:
        theta, X = validation.one_dtype(theta, X)
    A = core.cohort_outputs(network, theta, X, threads)
    if A is None:
        validation.check_values(X=X)
        for member, own in zip(group.members.tolist(), theta, strict=True):
            if core.outputs(network, own, X if X.ndim == 2 else X[member]) is None:
                raise OverflowError(
                    f"the outputs of member {member} are not finite in {theta.dtype}; pop[~pop.diverged] leaves out "
                    "those that diverged"
                )
        raise OverflowError(f"an output is not finite in {theta.dtype}")
    return cast(Array, A)


def _meaning(output: str, A: Array, axis: int) -> Array:
    """Labels, class numbers or values."""
    if output == "softmax":
        return cast(Array, A.argmax(axis=axis))
    return (A >= 0.5).astype(np.int_) if output == "sigmoid" else A
