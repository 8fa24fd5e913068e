"""`cross_validate` and `sweep`: populations of folds and of settings, with a table as the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from operator import index
from typing import Any, NamedTuple, get_args, overload

import numpy as np
from numpy.typing import ArrayLike

from fastxor import suggestions
from fastxor import validation as checks
from fastxor.cohort import Integers
from fastxor.folds import Folds, folds_of
from fastxor.network import Network
from fastxor.optimizers import Optimizer, SecondOrder, each_of
from fastxor.population import prepared, train_population
from fastxor.population_result import Population
from fastxor.population_run import PopulationRun
from fastxor.population_setup import ValidateAtEnd, seeds
from fastxor.run_setup import DEFAULT_OPTIMIZER
from fastxor.training import length
from fastxor.views import Array

# Outputs that are held at a time while scores are worked out.
_OUTPUTS = 10_000_000

# Rows that are printed at most.
_PRINTED = 60

# What a setting may be beside a field of the optimizer: what each member of a population has for itself, and what all
# of them have in common.
_NUMBERS = ("l2", "l1", "clip_norm", "random_state")
_NETWORKS = ("hidden", "activation", "network")
_COMMON = ("batch_size", "shuffle", "drop_last", "epochs", "initialization", "class_weight", "early_stopping")


class Table(Sequence[dict[str, Any]]):
    """What `cross_validate` and `sweep` return: rows of named values, and the population behind them.

    ``table[i]`` is a row, a dict; ``table["cost"]`` a column; ``len(table)`` the number of rows; ``print(table)`` shows
    them. `pandas` makes a frame of it: ``pandas.DataFrame(table)``, or of its columns,
    ``pandas.DataFrame(table.to_dict())``.

    Attributes
    ----------
    columns : tuple of str
        Their names. First those of a fold or a setting; then ``cost``, ``validation_cost``, ``score`` and
        ``iterations`` as far as they are known, for a setting that was tried on folds as means over these, and
        ``validation_cost_std``, ``score_std``.
    population : Population
        All members: of each row one, or one for each fold.
    best : dict
        The row of the lowest validation cost, or of the lowest cost if there is no validation.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> table = fx.sweep(fx.Network([2, 4, 1]), X, Y, {"learning_rate": [0.01, 1.0]}, random_state=0)
    >>> table.columns, len(table)
    (('learning_rate', 'cost', 'iterations'), 2)
    >>> table["learning_rate"], table.best["learning_rate"]
    (array([0.01, 1.  ]), 1.0)
    >>> table.of(1).predict(X)  # by each member of that row
    array([[[0, 1, 1, 0]]])
    """

    def __init__(self, columns: dict[str, Any], population: Population, folds: int) -> None:
        self._columns, self.population, self._folds = columns, population, folds

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self._columns)

    @property
    def best(self) -> dict[str, Any]:
        return self[self._order()]

    def _order(self) -> int:
        score = np.asarray(self._columns.get("validation_cost", self._columns["cost"]), np.float64)
        return int(np.where(score == score, score, np.inf).argmin())

    def of(self, row: int) -> Population:
        """The members of a row: one, or one for each fold."""
        begin = range(len(self))[row] * self._folds
        return self.population[begin : begin + self._folds]

    def to_dict(self) -> dict[str, Any]:
        """The columns by name: arrays, or lists of what is no number."""
        return {name: column.copy() for name, column in self._columns.items()}

    def __len__(self) -> int:
        return len(self._columns["cost"])

    @overload
    def __getitem__(self, which: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, which: slice) -> list[dict[str, Any]]: ...

    @overload
    def __getitem__(self, which: str) -> Any: ...

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, str):
            return self._columns[checks.choice("column", which, self.columns)].copy()
        if isinstance(which, slice):
            return [self[i] for i in range(len(self))[which]]
        row = index(which)  # of True, 1, as for lists
        return {name: _plain(column[row]) for name, column in self._columns.items()}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        shown = {name: f"{value:g}" if isinstance(value, float) else repr(value) for name, value in self.best.items()}
        best = ", ".join(f"{name} {value}" for name, value in shown.items())
        return f"Table({len(self)} row{'s' * (len(self) != 1)}, best: {best})"

    def __str__(self) -> str:
        """The rows below the names of the columns; of very many, the first and the last."""
        half = _PRINTED // 2
        numbers = [*range(len(self))] if len(self) <= _PRINTED else [*range(half), *range(len(self) - half, len(self))]
        rows = [["", *self.columns], *([str(i), *map(_written, self[i].values())] for i in numbers)]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        if len(self) > _PRINTED:
            lines.insert(half + 1, "…".rjust(widths[0]))
        return "\n".join(lines)


def cross_validate(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    folds: Any = 5,
    random_state: Any = None,
    **options: Any,
) -> Table:
    """Train a network on all folds but one, for every fold at once, and evaluate it on the fold left out.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_x, m)
    Y : array_like, shape (n_y, m), or (m,)
    folds : int, splitter, pairs, or array_like, shape (m,) of int or (folds, m) of bool, optional
        Into how many parts the samples are cut, as even as can be, and in each class alike where the targets are
        labels; or an object with a method ``split``, such as scikit-learn's, or what that returns: pairs of samples to
        train on and to hold out; or the number of each sample's fold; or which samples each fold holds out. Samples of
        weight 0 are in no fold.
    random_state : None, int, RandomState or Generator, optional
        Where the folds, the first weights and the orders of the samples come from.
    **options
        As for `train_population`: ``optimizer``, ``epochs``, ``batch_size``, ``early_stopping``, ``executor``, …
        ``population.history`` has costs of validation if there is one of ``early_stopping``, ``callback`` and
        ``interval``; otherwise they are worked out at the end alone.

    Returns
    -------
    Table
        A row for each fold: ``fold``, ``samples`` held out, ``cost`` of those trained on, ``validation_cost`` and
        ``score`` of those held out, ``iterations``. The score is the share of right answers, or for output="identity"
        and "exponential" the share of the variance that is explained, NaN where there is none.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastxor as fx
    >>> draw = np.random.RandomState(0)
    >>> X = draw.randn(2, 103)
    >>> Y = (X[:1] * X[1:] > 0).astype(int)
    >>> table = fx.cross_validate(fx.Network([2, 8, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0)
    >>> table["samples"]
    array([21, 21, 21, 20, 20])
    >>> bool(table["score"].mean() > 0.9)
    True
    """
    _refuse(options, ("members", "parameters", "resume", "validation"))
    X, targets = _data(network, X, Y)
    cut = _cut(network, X, targets, folds, random_state, options)
    asked = options | {"random_state": cut.seeds} | _on_folds(cut, 1, options)
    asked["validation"] = _as_wanted(asked["validation"], asked)
    population = train_population(network, X, Y, **asked)
    columns = {"fold": np.arange(len(cut.held)), "samples": cut.held.sum(axis=1)} | _columns(population)
    columns["score"] = _scores(population, X, targets, cut.held, options)
    return Table(_in_order(columns), population, 1)


def sweep(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    grid: Mapping[str, Sequence[Any] | Array] | Sequence[Mapping[str, Any]],
    *,
    folds: Any = None,
    random_state: Any = None,
    **options: Any,
) -> Table:
    """Train a network with each of many settings, all at once.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_x, m)
    Y : array_like, shape (n_y, m), or (m,)
    grid : dict, or sequence of dict
        The values to be tried of each setting, in all combinations; or the settings themselves. A setting is

        - a field of the optimizer, as "learning_rate" or "beta1"; "l2", "l1" or "clip_norm"; "random_state", a seed;
        - "hidden", the units of the hidden layer, or a tuple of those of several, or the name of their activation;
          "activation", that name, beside units; or a whole "network", with as many inputs and outputs and the same
          loss;
        - "optimizer", "batch_size", "shuffle", "drop_last", "epochs", "initialization", "class_weight" or
          "early_stopping", as for `train_population`. Networks that share these go through the kernels together.
    folds : int, splitter, pairs or array_like, optional
        Try each setting on folds, as `cross_validate` does.
    random_state : None, int, RandomState or Generator, optional
        Where the folds and the seeds come from. All settings have the same seeds: what differs is not chance.
    **options
        As for `train_population`: ``optimizer``, ``epochs``, ``batch_size``, ``validation``, ``executor``, …, the same
        for all settings. Costs of validation are recorded as in `cross_validate`.

    Returns
    -------
    Table
        A row for each setting: its values, and ``cost``, ``validation_cost``, ``score``, ``iterations`` as in
        `cross_validate`, with folds as means over these.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    TrainingInterrupted
        On Ctrl-C; its ``result`` holds the population so far.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> grid = {"learning_rate": [0.01, 0.1, 1.0], "hidden": [2, 8]}
    >>> table = fx.sweep(fx.Network([2, 2, 1]), X, Y, grid, iterations=500, random_state=0)
    >>> len(table), table.columns
    (6, ('learning_rate', 'hidden', 'cost', 'iterations'))
    >>> table.best["learning_rate"], table.best["hidden"]
    (1.0, 8)
    """
    rows = _rows(grid)
    _refuse(options, ("members", "parameters", "resume"))
    _refuse_each(options)
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    settings = [_setting(network, row, options) for row in rows]
    for name in rows[0]:
        if options.get(name) is not None:
            raise ValueError(f"{name} must be left out, or not be in the grid, which says what to try")
    losses = {setting.network.loss for setting in settings}
    if len(losses) > 1:
        raise ValueError(f"grid['network'] must have one loss, for costs to compare, got {', '.join(sorted(losses))}")
    network = settings[0].network
    X, targets = _data(network, X, Y)
    cut = None
    if folds is not None:
        _refuse(options, ("validation",))
        cut = _cut(network, X, targets, folds, random_state, options)
    starts = seeds(_one_state(random_state), 1) if cut is None else cut.seeds
    population = _trained(settings, X, Y, cut, starts, options)
    columns = _columns(population)
    if cut is not None:
        columns["score"] = _scores(population, X, targets, cut.held, options)
    over = {name: _over_folds(name, column, len(starts)) for name, column in columns.items()}
    found = {name: column for columns in over.values() for name, column in columns.items()}
    tried = {name: _listed([row[name] for row in rows]) for name in rows[0]}
    return Table(tried | _in_order(found), population, len(starts))


def _refuse(options: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if options.get(name) is not None:
            raise ValueError(f"{name} must be left out: it follows from the other arguments")


# How many axes each may have that is the same for all settings.
_AXES = {"sample_weight": 1, "l2": 0, "l1": 0, "clip_norm": 0, "target_cost": 0}


def _refuse_each(options: Mapping[str, Any]) -> None:
    """Refuse what has an entry for each member."""
    for name, most in _AXES.items():
        if checks.axes(name, options.get(name)) > most:
            hint = "; values to be tried are for the grid" if name in _NUMBERS else ""
            raise ValueError(f"{name} must be the same for all settings, got an array for members of its own{hint}")
    if isinstance(options.get("validation"), np.ndarray) and options["validation"].ndim:
        raise ValueError("validation must be (X, Y) or a fraction, got an array; samples to hold out are for folds")


def _as_wanted(validation: Any, options: Mapping[str, Any]) -> Any:
    """What to validate on: at every record, if anybody looks at these, else at the end, for the table."""
    looks = any(options.get(name) is not None for name in ("early_stopping", "callback", "interval"))
    return validation if looks else ValidateAtEnd(validation)


def _data(network: Any, X: Any, Y: Any) -> tuple[Array, Array]:
    """X, and Y as (n_y, m)."""
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    X = checks.inputs(X, network.sizes[0])
    return X, checks.answers(Y, network, X.shape[1])


def _one_state(random_state: Any) -> Any:
    """What all seeds come from, which is no array of them."""
    return checks.random_state(random_state) if checks.are_several(random_state) else random_state


# ---------------------------------------------------------------- folds


def _cut(network: Network, X: Array, Y: Array, folds: Any, random_state: Any, options: Mapping[str, Any]) -> Folds:
    """The folds of the samples that count."""
    there = _there(options.get("sample_weight"), X.shape[1])
    return folds_of(network, X, Y, folds, _one_state(random_state), there)


def _there(sample_weight: Any, m: int) -> Array:
    """Which samples have a weight above 0, (m,)."""
    if sample_weight is not None:
        weights = checks.numeric("sample_weight", sample_weight)
        if weights.ndim in (1, 2) and weights.shape[-1] == m:
            there: Array = np.any(np.atleast_2d(weights) > 0, axis=0)
            if there.any():
                return there
    return np.ones(m, bool)  # others are refused where they are used


def _on_folds(folds: Folds, times: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by which members are trained and validated on folds, each fold so many times."""
    found = {"validation": np.tile(folds.held, (times, 1))}
    own: Any = asked.get("sample_weight")
    m = folds.held.shape[1]
    if checks.axes("sample_weight", own) == 2 and np.shape(own) != folds.held.shape:
        raise ValueError(f"sample_weight must have shape (m,) or (folds, m) = {folds.held.shape}, got {np.shape(own)}")
    if asked.get("class_weight") is None and ((folds.kept | folds.held) == _there(own, m)).all():
        return found
    # Who is neither trained on nor held out has to be told; and classes are to be counted where they are trained on.
    weights = np.ones(m) if own is None else checks.numeric("sample_weight", own)
    if weights.shape in ((m,), folds.kept.shape):  # any other is refused where it is used
        found["sample_weight"] = np.tile(np.where(folds.kept, weights, 0.0), (times, 1))
    return found


def _scores(population: Population, X: Array, Y: Array, held: Array, options: Mapping[str, Any]) -> Array:
    """How well each member does on its samples: right answers, or variance explained, as a share."""
    looked_at = held.any(axis=0)
    X, Y, held = X[:, looked_at], Y[:, looked_at], held[:, looked_at]
    how = {name: options.get(name) for name in ("backend", "threads")}
    scores, at_once = np.empty(len(population)), max(1, _OUTPUTS // Y.size)
    outputs = np.array([network.output for network in population.networks])
    for output in dict.fromkeys(outputs.tolist()):
        which = np.flatnonzero(outputs == output)
        for begin in range(0, len(which), at_once):
            some = which[begin : begin + at_once]
            for i, answer in zip(some.tolist(), _answers(population[some], X, how), strict=True):
                scores[i] = np.nan if answer is None else _score(output, answer, Y, held[i % len(held)])
    return scores


def _answers(population: Population, X: Array, how: dict[str, Any]) -> list[Array | None]:
    """What each member predicts; None for one that diverged so far that its outputs are not finite."""
    try:
        return [*population.predict(X, **how)]
    except OverflowError:
        if len(population) == 1:
            return [None]
        return [_answers(population[[i]], X, how)[0] for i in range(len(population))]


def _score(output: str, answer: Array, Y: Array, mask: Array) -> float:
    if output == "softmax":
        return float((answer == Y.argmax(axis=0))[mask].mean())
    if output == "sigmoid":
        return float((answer == (Y >= 0.5)).all(axis=0)[mask].mean())
    wanted = Y[:, mask]
    spread = np.sum((wanted - wanted.mean(axis=1, keepdims=True)) ** 2)
    with np.errstate(over="ignore"):  # of a member that diverged
        return float(1 - np.sum((answer[:, mask] - wanted) ** 2) / spread) if spread else float("nan")


# ---------------------------------------------------------------- settings


class _Setting(NamedTuple):
    """What is asked of the runs of a setting."""

    network: Network
    optimizer: Optimizer
    numbers: dict[str, float]  # of `_NUMBERS`
    common: dict[str, Any]  # of `_COMMON`

    def kind(self) -> tuple[Any, ...]:
        """What all members of a population have in common."""
        optimizer = self.optimizer
        flags: Any = [(name, value) for name, value in vars(optimizer).items() if not _is_number(value)]
        return optimizer if isinstance(optimizer, SecondOrder) else type(optimizer), flags, [*self.numbers], self.common


def _is_number(value: Any) -> bool:
    """Whether a field of an optimizer is a number, of which each member may have its own."""
    return not (isinstance(value, bool) or callable(value))


def _rows(grid: Any) -> list[dict[str, Any]]:
    """Each setting, in the order of the grid."""
    if isinstance(grid, Mapping):
        values = {name: _values(name, value) for name, value in grid.items()}
        rows = [dict(zip(values, row, strict=True)) for row in product(*values.values())] if values else []
    else:
        given = [*grid] if isinstance(grid, Iterable) else [grid]
        if not all(isinstance(row, Mapping) for row in given):
            raise TypeError(f"grid must be a dict of the values to be tried, or dicts of settings, got {grid!r}")
        rows = [dict(row) for row in given]
        for number, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise ValueError(f"grid must have the same names in each setting, got others in number {number}")
    if not rows or not rows[0]:
        raise ValueError("grid must have a value of a setting at least")
    return rows


def _values(name: str, value: Any) -> list[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [*value]
    if not checks.are_several(value):
        raise TypeError(f"grid[{name!r}] must be a sequence of values, got {value!r}")
    return np.asarray(value).tolist()


def _setting(network: Network, row: Mapping[str, Any], options: Mapping[str, Any]) -> _Setting:
    """A setting, checked as far as it can be without data."""
    optimizer = row.get("optimizer", options.get("optimizer", DEFAULT_OPTIMIZER))
    optimizer = checks.optimizer(optimizer, get_args(Optimizer))
    own = [field.name for field in fields(optimizer)]
    known = [*own, *_NUMBERS, *_NETWORKS, "optimizer", *_COMMON]
    for name in row:
        if name not in known:
            raise ValueError(
                f"grid has no setting {name!r}; there are {', '.join(known)}{suggestions.did_you_mean(name, known)}"
            )
    its = {name: row[name] for name in own if name in row}
    optimizer = replace(optimizer, **its) if its else optimizer
    for name, count in each_of(optimizer).items():
        raise ValueError(f"{name} must be one number, or a function, got {count}; values to be tried are for the grid")
    numbers = {name: row[name] for name in _NUMBERS if name in row}
    if numbers.get("clip_norm", 0) is None:
        del numbers["clip_norm"]
    for name, value in numbers.items():
        seed = name == "random_state"
        numbers[name] = checks.integer(name, value, 0, 2**32 - 1) if seed else checks.rate(name, value)
    common = {name: row[name] for name in _COMMON if name in row}
    if "epochs" in common:
        length(options.get("iterations"), common["epochs"])  # or it is refused
    return _Setting(_network(network, row), optimizer, numbers, common)


def _network(network: Network, row: Mapping[str, Any]) -> Network:
    """The network of a setting: a whole other one, or one with other hidden layers."""
    if not any(name in row for name in _NETWORKS):
        return network
    network = row.get("network", network)
    if not isinstance(network, Network):
        raise TypeError(f"grid['network'] must have Networks, got {network!r}")
    first, *units, last = network.sizes
    names: Any = network.hidden
    hidden = row.get("hidden", units)
    if isinstance(hidden, str):
        _refuse({"activation": row.get("activation")}, ("activation",))
        names = hidden
    elif hidden is not units:
        units = list(hidden) if isinstance(hidden, Sequence | np.ndarray) else [hidden]
        names = names if len(units) == len(names) else (names or ("tanh",))[0]
    names = row.get("activation", names)
    return Network([first, *units, last], names, network.output, network.loss)


# ---------------------------------------------------------------- populations of settings


def _trained(
    settings: Sequence[_Setting], X: Array, Y: Any, folds: Folds | None, starts: Integers, options: Mapping[str, Any]
) -> Population:
    """Members of all settings, each setting so many times as there are starts, in one population. Settings of a kind
    are its members of one call of `train_population`.
    """
    kinds: list[tuple[Any, ...]] = []
    lots: list[list[int]] = []
    for number, setting in enumerate(settings):
        kind = setting.kind()
        if kind not in kinds:
            kinds.append(kind)
            lots.append([])
        lots[kinds.index(kind)].append(number)
    same_for_all = {"X": X, "Y": Y, **options}
    runs = [prepared(_arguments([settings[i] for i in lot], folds, starts, same_for_all)) for lot in lots]
    members = [(np.array(lot)[:, None] * len(starts) + np.arange(len(starts))).ravel() for lot in lots]
    return PopulationRun.joined(runs, members).execute()


def _arguments(
    settings: Sequence[_Setting], folds: Folds | None, starts: Integers, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of a population of settings of one kind."""
    each, count = len(starts), len(settings)
    asked = {"random_state": np.tile(starts, count), **options, **settings[0].common}
    for name in settings[0].numbers:
        asked[name] = np.repeat([setting.numbers[name] for setting in settings], each)
    asked["optimizer"] = _together([setting.optimizer for setting in settings], each)
    networks = [setting.network for setting in settings]
    several = any(network != networks[0] for network in networks)
    asked["network"] = [network for network in networks for _ in range(each)] if several else networks[0]
    if folds is not None:
        asked |= _on_folds(folds, count, asked)
    if asked.get("validation") is not None:
        asked["validation"] = _as_wanted(asked["validation"], asked)
    return asked


def _together(optimizers: Sequence[Optimizer], each: int) -> Optimizer:
    """Optimizers of one kind as one, with an array for each number in which they differ."""
    first = optimizers[0]
    columns: dict[str, Any] = {}
    for name, value in vars(first).items():
        column = [getattr(optimizer, name) for optimizer in optimizers]
        if _is_number(value) and column.count(value) < len(column):
            columns[name] = np.repeat(column, each)
    return replace(first, **columns)


# ---------------------------------------------------------------- columns


def _columns(population: Population) -> dict[str, Any]:
    columns: dict[str, Any] = {"cost": population.cost, "iterations": population.iterations}
    if (population.validation_cost == population.validation_cost).any():
        columns["validation_cost"] = population.validation_cost
    if population._state.target is not None:
        columns |= {"converged": population.converged, "iterations_to_target": population.iterations_to_target}
    return {name: column.copy() for name, column in columns.items()}


def _over_folds(name: str, column: Array, folds: int) -> dict[str, Any]:
    """The means over each setting's folds, and for some how far they are apart."""
    if folds == 1:
        return {name: column}
    rows = column.reshape(-1, folds)
    with np.errstate(all="ignore"):  # costs of members that diverged may be of any size
        found: dict[str, Any] = {name: rows.mean(axis=1)}
        return found | ({f"{name}_std": rows.std(axis=1)} if name in ("validation_cost", "score") else {})


_ORDER = ("cost", "validation_cost", "validation_cost_std", "score", "score_std", "converged", "iterations_to_target")


def _in_order(columns: dict[str, Any]) -> dict[str, Any]:
    """Those of a fold first, `iterations` last."""
    known = [name for name in _ORDER if name in columns]
    first = {name: column for name, column in columns.items() if name not in (*known, "iterations")}
    return first | {name: columns[name] for name in known} | {"iterations": columns["iterations"]}


def _listed(values: list[Any]) -> Any:
    """A column: an array, if all values are numbers of a kind."""
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
        return np.array(values)
    return values


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
