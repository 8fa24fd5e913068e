"""The grid of a sweep: what each setting asks of a run, and which settings go together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any, NamedTuple, get_args

import numpy as np

from fastxor import suggestions
from fastxor import validation as checks
from fastxor.network import Network
from fastxor.optimizers import Optimizer, SecondOrder, each_of
from fastxor.run_setup import DEFAULT_OPTIMIZER
from fastxor.training import length

# What a setting may be beside a field of the optimizer: what each member of a population has for itself, and what all
# of them have in common.
NUMBERS = ("l2", "l1", "clip_norm", "random_state")
_NETWORKS = ("hidden", "activation", "network")
_COMMON = ("batch_size", "shuffle", "drop_last", "epochs", "initialization", "class_weight", "early_stopping")


class Setting(NamedTuple):
    """What is asked of the runs of a setting."""

    network: Network
    optimizer: Optimizer
    numbers: dict[str, float]  # of `NUMBERS`
    common: dict[str, Any]  # of `_COMMON`

    def kind(self) -> tuple[Any, ...]:
        """What all members of a population have in common."""
        optimizer = self.optimizer
        flags: Any = [(name, value) for name, value in vars(optimizer).items() if not _is_number(value)]
        return optimizer if isinstance(optimizer, SecondOrder) else type(optimizer), flags, [*self.numbers], self.common


def _is_number(value: Any) -> bool:
    """Whether a field of an optimizer is a number, of which each member may have its own."""
    return not (isinstance(value, bool) or callable(value))


def rows_of(grid: Any) -> list[dict[str, Any]]:
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


def setting_of(network: Network, row: Mapping[str, Any], options: Mapping[str, Any]) -> Setting:
    """A setting, checked as far as it can be without data."""
    optimizer = row.get("optimizer", options.get("optimizer", DEFAULT_OPTIMIZER))
    optimizer = checks.optimizer(optimizer, get_args(Optimizer))
    own = [field.name for field in fields(optimizer)]
    known = [*own, *NUMBERS, *_NETWORKS, "optimizer", *_COMMON]
    for name in row:
        if name not in known:
            raise ValueError(
                f"grid has no setting {name!r}; there are {', '.join(known)}{suggestions.did_you_mean(name, known)}"
            )
    its = {name: row[name] for name in own if name in row}
    optimizer = replace(optimizer, **its) if its else optimizer
    for name, count in each_of(optimizer).items():
        raise ValueError(f"{name} must be one number, or a function, got {count}; values to be tried are for the grid")
    numbers = {name: row[name] for name in NUMBERS if name in row}
    if numbers.get("clip_norm", 0) is None:
        del numbers["clip_norm"]
    for name, value in numbers.items():
        seed = name == "random_state"
        numbers[name] = checks.integer(name, value, 0, 2**32 - 1) if seed else checks.rate(name, value)
    common = {name: row[name] for name in _COMMON if name in row}
    if "epochs" in common:
        length(options.get("iterations"), common["epochs"])  # or it is refused
    return Setting(_network(network, row), optimizer, numbers, common)


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
        refuse({"activation": row.get("activation")}, ("activation",))
        names = hidden
    elif hidden is not units:
        units = list(hidden) if isinstance(hidden, Sequence | np.ndarray) else [hidden]
        names = names if len(units) == len(names) else (names or ("tanh",))[0]
    names = row.get("activation", names)
    return Network([first, *units, last], names, network.output, network.loss)


def together(optimizers: Sequence[Optimizer], each: int) -> Optimizer:
    """Optimizers of one kind as one, with an array for each number in which they differ."""
    first = optimizers[0]
    columns: dict[str, Any] = {}
    for name, value in vars(first).items():
        column = [getattr(optimizer, name) for optimizer in optimizers]
        if _is_number(value) and column.count(value) < len(column):
            columns[name] = np.repeat(column, each)
    return replace(first, **columns)


def refuse(options: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in names:
        if options.get(name) is not None:
            raise ValueError(f"{name} must be left out: it follows from the other arguments")
