"""`cross_validate` and `sweep`: populations of folds and of settings, with a table as the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastxor import validation as checks
from fastxor.cohort import Integers
from fastxor.folds import Folds, folds_of
from fastxor.grid import NUMBERS, Setting, refuse, rows_of, setting_of, together
from fastxor.network import Network
from fastxor.population import prepared, train_population
from fastxor.population_result import Population
from fastxor.population_run import PopulationRun
from fastxor.population_setup import ValidateAtEnd, seeds
from fastxor.table import Table
from fastxor.views import Array

# Outputs that are held at a time while scores are worked out.
_OUTPUTS = 10_000_000


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
    refuse(options, ("members", "parameters", "resume", "validation"))
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
    rows = rows_of(grid)
    refuse(options, ("members", "parameters", "resume"))
    _refuse_each(options)
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    settings = [setting_of(network, row, options) for row in rows]
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
        refuse(options, ("validation",))
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


# How many axes each may have that is the same for all settings.
_AXES = {"sample_weight": 1, "l2": 0, "l1": 0, "clip_norm": 0, "target_cost": 0}


def _refuse_each(options: Mapping[str, Any]) -> None:
    """Refuse what has an entry for each member."""
    for name, most in _AXES.items():
        if checks.axes(name, options.get(name)) > most:
            hint = "; values to be tried are for the grid" if name in NUMBERS else ""
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


# ---------------------------------------------------------------- populations of settings


def _trained(
    settings: Sequence[Setting], X: Array, Y: Any, folds: Folds | None, starts: Integers, options: Mapping[str, Any]
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
    settings: Sequence[Setting], folds: Folds | None, starts: Integers, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of a population of settings of one kind."""
    each, count = len(starts), len(settings)
    asked = {"random_state": np.tile(starts, count), **options, **settings[0].common}
    for name in settings[0].numbers:
        asked[name] = np.repeat([setting.numbers[name] for setting in settings], each)
    asked["optimizer"] = together([setting.optimizer for setting in settings], each)
    networks = [setting.network for setting in settings]
    several = any(network != networks[0] for network in networks)
    asked["network"] = [network for network in networks for _ in range(each)] if several else networks[0]
    if folds is not None:
        asked |= _on_folds(folds, count, asked)
    if asked.get("validation") is not None:
        asked["validation"] = _as_wanted(asked["validation"], asked)
    return asked


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
