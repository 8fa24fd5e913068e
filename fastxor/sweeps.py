"""`cross_validate` and `sweep`: populations of folds and of settings, with a table as the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from operator import index
from typing import Any, get_args, overload

import numpy as np
from numpy.typing import ArrayLike

from fastxor import suggestions
from fastxor import validation as checks
from fastxor.cohort import Integers
from fastxor.network import Network
from fastxor.optimizers import Optimizer, SecondOrder, number_names
from fastxor.population import train_population
from fastxor.population_result import Population
from fastxor.population_setup import ValidateAtEnd, seeds
from fastxor.run_setup import DEFAULT_OPTIMIZER, classes_of
from fastxor.views import Array

# Outputs that are held at a time while scores are worked out.
_OUTPUTS = 10_000_000

# Rows that are printed at most.
_PRINTED = 60

# What a setting may be beside the optimizer's numbers.
_OWN = ("l2", "l1", "clip_norm", "random_state")


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
            return self.to_dict()[checks.choice("column", which, self.columns)]
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
    folds: int | ArrayLike = 5,
    random_state: Any = None,
    **options: Any,
) -> Table:
    """Train a network on all folds but one, for every fold at once, and evaluate it on the fold left out.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_x, m)
    Y : array_like, shape (n_y, m), or (m,)
    folds : int, or array_like, shape (m,) of int or (folds, m) of bool, optional
        Into how many parts the samples are cut, as even as can be, and in each class alike where the targets are
        labels; or the number of each sample's fold; or which samples each fold holds out.
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
        and "exponential" the share of the variance that is explained.

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
    _refuse(options, ("members", "network", "parameters", "validation"))
    X, targets = _data(network, X, Y)
    masks, starts = _folds(network, targets, folds, random_state)
    held = _as_wanted(masks, options)
    population = train_population(network, X, Y, validation=held, random_state=starts, **options)
    columns = {"fold": np.arange(len(masks)), "samples": masks.sum(axis=1)} | _columns(population)
    columns["score"] = _scores(population, X, targets, masks)
    return Table(_in_order(columns), population, 1)


def sweep(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    grid: Mapping[str, Sequence[Any] | Array] | Sequence[Mapping[str, Any]],
    *,
    folds: int | ArrayLike | None = None,
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
        The values to be tried of each setting, in all combinations; or the settings themselves. A setting is a number
        of the optimizer, as "learning_rate" or "beta1"; "l2", "l1" or "clip_norm"; "hidden", the units of the hidden
        layer, or a tuple of those of several, or the name of their activation; or "random_state", a seed.
    folds : int or array_like, optional
        Try each setting on folds, as `cross_validate` does.
    random_state : None, int, RandomState or Generator, optional
        Where the folds and the seeds come from. All settings have the same seeds: what differs is not chance.
    **options
        As for `train_population`: ``optimizer``, ``epochs``, ``batch_size``, ``validation``, ``executor``, …
        Costs of validation are recorded as in `cross_validate`.

    Returns
    -------
    Table
        A row for each setting: its values, and ``cost``, ``validation_cost``, ``score``, ``iterations`` as in
        `cross_validate`, with folds as means over these.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.

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
    _refuse(options, ("members", "network", "parameters"))
    settings = _settings(grid)
    X, targets = _data(network, X, Y)
    count = len(settings)
    masks = None
    if folds is None:
        starts = np.repeat(seeds(random_state, 1), count)
    else:
        _refuse(options, ("validation",))
        masks, starts = _folds(network, targets, folds, random_state)
        masks = np.tile(masks, (count, 1))
        options["validation"] = masks
        starts = np.tile(starts, count)
    each = 1 if masks is None else len(masks) // count
    if options.get("validation") is not None:
        options["validation"] = _as_wanted(options["validation"], options)
    networks, asked = _asked(network, settings, each, options)
    population = train_population(networks, X, Y, **{"random_state": starts} | asked)
    columns = _columns(population)
    if masks is not None:
        columns["score"] = _scores(population, X, targets, masks)
    over = {name: _over_folds(name, column, each) for name, column in columns.items()}
    found = {name: column for columns in over.values() for name, column in columns.items()}
    return Table(
        {name: _listed([row[name] for row in settings]) for name in settings[0]} | _in_order(found), population, each
    )


def _refuse(options: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if options.get(name) is not None:
            raise ValueError(f"{name} must be left out: it follows from the other arguments")


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


# ---------------------------------------------------------------- folds


def _folds(network: Network, Y: Array, folds: Any, random_state: Any) -> tuple[Array, Integers]:
    """Which samples each fold holds out, (folds, m), and a seed for each."""
    m = Y.shape[1]
    if isinstance(folds, int | float | np.number):
        count = checks.integer("folds", folds, 2, m)
        starts = seeds(random_state, count)
        numbers = _dealt(network, Y, count, int(starts[0]))
    else:
        try:
            given = np.asarray(folds)
        except ValueError:  # rows of different lengths
            given = np.empty((), object)
        if given.dtype == np.bool_ and given.ndim == 2 and given.shape[1] == m:
            return given, seeds(random_state, len(given))
        if given.dtype.kind not in "iu" or given.shape != (m,):
            raise ValueError(
                f"folds must be an int, or an array of int (m,) = {(m,)} or of bool (folds, m), got "
                + (f"{given.dtype} of shape {given.shape}" if given.ndim else type(folds).__name__)
            )
        numbers = np.unique(given, return_inverse=True)[1]
        count = checks.integer("the number of folds", int(numbers.max()) + 1, 2)
        starts = seeds(random_state, count)
    return numbers == np.arange(count)[:, None], starts


def _dealt(network: Network, Y: Array, count: int, seed: int) -> Integers:
    """The fold of each sample, (m,): dealt out one after the other, a class after the other, in random order."""
    m = Y.shape[1]
    order = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 2, 0])).permutation(m)
    order = order[np.argsort(classes_of(network, Y)[order], kind="stable")]
    numbers = np.empty(m, np.int64)
    numbers[order] = np.arange(m) % count
    return numbers


def _scores(population: Population, X: Array, Y: Array, masks: Array) -> Array:
    """How well each member does on its samples: right answers, or variance explained, as a share."""
    scores = np.empty(len(population))
    at_once = max(1, _OUTPUTS // Y.size)
    for begin in range(0, len(population), at_once):
        some = population[begin : begin + at_once]
        for i, answer in enumerate(_answers(some, X), begin):
            output = some.networks[i - begin].output
            scores[i] = np.nan if answer is None else _score(output, answer, Y, masks[i])
    return scores


def _answers(population: Population, X: Array) -> list[Array | None]:
    """What each member predicts; None for one that diverged so far that its outputs are not finite."""
    try:
        return [*population.predict(X)]
    except OverflowError:
        return [_answers(population[[i]], X)[0] for i in range(len(population))] if len(population) > 1 else [None]


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


def _settings(grid: Any) -> list[dict[str, Any]]:
    """Each setting, in the order of the grid."""
    if isinstance(grid, Mapping):
        values = {name: _values(name, value) for name, value in grid.items()}
        settings = [dict(zip(values, row, strict=True)) for row in product(*values.values())] if values else []
    elif isinstance(grid, Sequence) and all(isinstance(row, Mapping) for row in grid):
        settings = [dict(row) for row in grid]
        for number, row in enumerate(settings):
            if row.keys() != settings[0].keys():
                raise ValueError(f"grid must have the same names in each setting, got others in number {number}")
    else:
        raise TypeError(f"grid must be a dict of the values to be tried, or a sequence of dicts, got {grid!r}")
    if not settings or not settings[0]:
        raise ValueError("grid must have a value of a setting at least")
    return settings


def _values(name: str, value: Any) -> list[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [*value]
    if not checks.are_several(value):
        raise TypeError(f"grid[{name!r}] must be a sequence of values, got {value!r}")
    return np.asarray(value).tolist()


def _asked(
    network: Network, settings: list[dict[str, Any]], each: int, options: dict[str, Any]
) -> tuple[Network | list[Network], dict[str, Any]]:
    """The networks and the arguments of a population that has each setting `each` times."""
    optimizer = options.get("optimizer", DEFAULT_OPTIMIZER)
    numbers = (
        [] if isinstance(optimizer, SecondOrder) else number_names(checks.optimizer(optimizer, get_args(Optimizer)))
    )
    networks: Network | list[Network] = network
    arguments, of_optimizer = dict(options), {}
    for name in settings[0]:
        values = [row[name] for row in settings]
        if name == "hidden":
            networks = [one for value in values for one in [_with_hidden(network, value)] * each]
        elif name in numbers:
            of_optimizer[name] = np.repeat(np.asarray(checks.numeric(name, values), np.float64), each)
        elif name in _OWN:
            arguments[name] = np.repeat(checks.numeric(name, values), each)
        else:
            known = [*numbers, *_OWN, "hidden"]
            raise ValueError(
                f"grid has no setting {name!r}; there are {', '.join(known)}{suggestions.did_you_mean(name, known)}"
            )
    if of_optimizer:
        arguments["optimizer"] = replace(optimizer, **of_optimizer)
    if networks is network:
        arguments["members"] = each * len(settings)
    return networks, arguments


def _with_hidden(network: Network, value: Any) -> Network:
    """The network with other units, or another activation, in its hidden layers."""
    first, *_hidden, last = network.sizes
    if isinstance(value, str):
        return Network(network.sizes, value, network.output, network.loss)  # type: ignore[arg-type]  # it is checked
    units = list(value) if isinstance(value, Sequence | np.ndarray) else [value]
    names = network.hidden if len(units) == len(network.hidden) else (network.hidden or ("tanh",))[0]
    return Network([first, *units, last], names, network.output, network.loss)


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
