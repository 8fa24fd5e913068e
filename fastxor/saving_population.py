"""A population in a file: which arrays and which entry of JSON it becomes, and the checks of those that come back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastxor import files, validation
from fastxor.cohort import Cohort, CohortState, Integers
from fastxor.files import Path
from fastxor.optimizers import Optimizer, with_numbers
from fastxor.population_state import Group, PopulationState, Records
from fastxor.saving import Known, array, check_memory, described, network_described, network_of
from fastxor.saving import optimizer_of as described_optimizer
from fastxor.state import steps_per_epoch
from fastxor.views import Array

_FLOAT, _INT, _BOOL = (np.dtype(kind) for kind in (np.float64, np.int64, np.bool_))
_STATE = ("memory", "powers", "completed")
# Columns of the members, whose values may be other than finite.
_MEMBERS = {"stopped": _BOOL, "diverged": _BOOL}
_MEMBERS |= dict.fromkeys(("reached", "first", "cost", "validation_cost"), _FLOAT)


def save(path: Path, population: PopulationState) -> None:
    """Write a population. The parameters stand under their own names, with an axis more; where there are several
    groups of members, each has its arrays under its number, as ``0.W1``.
    """
    history = population.history
    rows = int(history.count.max(initial=0))
    arrays: dict[str, Array] = {"seeds": population.seeds} | {name: getattr(population, name) for name in _MEMBERS}
    arrays |= {f"history.{name}": getattr(history, name) for name in ("steps", "count", "open")}
    arrays["history.cost"] = history.cost[:rows]
    if history.validation is not None:
        arrays["history.validation"] = history.validation[:rows]
    if population.target is not None:
        arrays["target"] = population.target
    if population.weights is not None:
        arrays["sample_weight"] = population.weights
    groups = []
    for number, group in enumerate(population.groups):
        prefix = f"{number}." if len(population.groups) > 1 else ""
        arrays |= {prefix + name: value for name, value in _group_arrays(group).items()}
        groups.append(_described(group))
    entry = {"groups": groups, "interval": history.interval, "seconds": history.seconds, "digest": population.digest}
    entry |= {"given": population.given, "fraction": population.fraction}
    files.write(path, arrays, {"population": entry})


def _group_arrays(group: Group) -> dict[str, Array]:
    k, cohort = len(group.members), group.cohort
    slots = cohort.network._slots
    arrays = {name: group.state.theta[:, place].reshape(k, *shape) for name, place, shape in slots}
    arrays |= {f"state.{name}": getattr(group.state, name) for name in _STATE}
    if group.best is not None:
        arrays |= {f"best.{name}": getattr(group.best, name) for name in ("theta", *_STATE)}
    arrays |= {"numbers": cohort.numbers, "penalties": cohort.penalties, "orders": cohort.seeds}
    return arrays | {"iterations": cohort.iterations, "members": group.members, "samples": group.samples}


def _described(group: Group) -> dict[str, Any]:
    """A group for JSON."""
    cohort = group.cohort
    network = network_described(cohort.network)
    rest = {name: getattr(cohort, name) for name in ("batch_size", "shuffled", "drop_last")}
    return {"network": network, "optimizer": described(cohort.optimizer), "best": group.best is not None} | rest


# ---------------------------------------------------------------- what comes back


def restored(path: Path, arrays: dict[str, Array], entry: dict[str, Any]) -> PopulationState:
    """A population from what stands in its file; a ValueError that names the file says what is wrong with it."""
    try:
        return _population_state(Known(arrays, "array"), Known(entry["population"], "entry"))
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"{files.refusal(path)}: {error}") from error


def _population_state(arrays: Known, entry: Known) -> PopulationState:
    K = arrays["seeds"].size
    seeds = array(arrays, "seeds", (K,), _INT)
    several = len(entry["groups"]) > 1
    groups = [
        _group(arrays, Known(group, "entry"), f"{number}." if several else "")
        for number, group in enumerate(entry["groups"])
    ]
    members = np.sort(np.concatenate([group.members for group in groups]))
    if not K or not np.array_equal(members, np.arange(K)):
        raise ValueError("its groups must have each member once")
    given = validation.integer("given", entry["given"], 1)
    weights = None
    if "sample_weight" in arrays:
        shape = (given,) if arrays["sample_weight"].ndim == 1 else (K, given)
        weights = array(arrays, "sample_weight", shape, _FLOAT)
        if not ((weights >= 0).all() and weights.any(axis=-1).all()):
            raise ValueError("its array 'sample_weight' must not be negative, nor 0 for all of a member")
    columns = {name: array(arrays, name, (K,), dtype, finite=False) for name, dtype in _MEMBERS.items()}
    fraction = None if entry["fraction"] is None else validation.rate("fraction", entry["fraction"], below=1.0)
    target = array(arrays, "target", (K,), _FLOAT) if "target" in arrays else None
    history = _columns(arrays, entry, K)
    for group in groups:
        how = group.cohort.batch_size, group.cohort.drop_last
        counts = [(steps_per_epoch(samples, *how), samples <= given) for samples in group.samples.tolist()]
        if counts != [(steps, True) for steps in history.steps[group.members].tolist()]:
            raise ValueError("its array 'history.steps' must be those of an epoch of its samples")
    return PopulationState(groups, history, seeds, weights, given, fraction, target, entry["digest"], **columns)


def _columns(arrays: Known, entry: Known, K: int) -> Records:
    interval = None if entry["interval"] is None else validation.integer("interval", entry["interval"], 1)
    steps, count = (array(arrays, f"history.{name}", (K,), _INT) for name in ("steps", "count"))
    rows = int(count.max())
    if (steps < 1).any() or (count < 0).any():
        raise ValueError("its array 'history.steps' must be above 0, and 'history.count' not below")
    cost = array(arrays, "history.cost", (rows, K), _FLOAT, finite=False)
    found = None
    if "history.validation" in arrays:
        found = array(arrays, "history.validation", (rows, K), _FLOAT, finite=False)
    opened = array(arrays, "history.open", (K,), _FLOAT)
    return Records(interval, steps, cost, found, count, opened, validation.rate("seconds", entry["seconds"]))


def _group(arrays: Known, entry: Known, prefix: str) -> Group:
    network, like = network_of(entry["network"]), described_optimizer(entry["optimizer"])
    k = arrays[prefix + "members"].size
    first = network._slots[0][0]
    dtype = arrays[prefix + first].dtype
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"its parameters must be float32 or float64, got {dtype}")
    parts = [array(arrays, prefix + name, (k, *shape), dtype).reshape(k, -1) for name, _place, shape in network._slots]
    state = _state(arrays, prefix + "state.", np.concatenate(parts, axis=1), like, 0)
    best = None
    if validation.flag("best", entry["best"]):
        theta = array(arrays, prefix + "best.theta", state.theta.shape, dtype)
        best = _state(arrays, prefix + "best.", theta, like, -1)  # where it is not known
    least = {"members": 0, "samples": 1, "orders": 0, "iterations": 0}
    integers = {name: _counts(arrays, prefix + name, k, lowest) for name, lowest in least.items()}
    if (state.completed > integers["iterations"]).any():
        raise ValueError(f"its array '{prefix}state.completed' must not be above '{prefix}iterations'")
    if (np.diff(integers["members"]) < 1).any():
        raise ValueError(f"its array '{prefix}members' must rise")
    numbers = array(arrays, prefix + "numbers", (k, len(like._numbers)), _FLOAT)
    with_numbers(like, numbers.T)  # of all members, or they are refused
    penalties = array(arrays, prefix + "penalties", (k, 3), _FLOAT, finite=False)  # where nothing is clipped, infinite
    if not (penalties >= 0).all():
        raise ValueError("its array 'penalties' must not be negative")
    batch_size = None if entry["batch_size"] is None else validation.integer("batch_size", entry["batch_size"], 1)
    cohort = Cohort(
        network,
        np.empty((network.sizes[0], 0), dtype),
        np.empty((network.sizes[-1], 0), dtype),
        like,
        numbers,
        penalties,
        integers["orders"],
        integers["iterations"],
        batch_size,
        validation.flag("shuffled", entry["shuffled"]),
        validation.flag("drop_last", entry["drop_last"]),
    )
    return Group(integers["members"], cohort, state, integers["samples"], best)


def _state(arrays: Known, prefix: str, theta: Array, optimizer: Optimizer, least: int) -> CohortState:
    k, count = theta.shape
    memory = array(arrays, prefix + "memory", (k, optimizer._rows, count), theta.dtype, finite=False)
    powers = array(arrays, prefix + "powers", (k, 2), _FLOAT, finite=False)
    check_memory(optimizer, (prefix + "memory", memory), (prefix + "powers", powers))
    return CohortState(theta, memory, powers, _counts(arrays, prefix + "completed", k, least))


def _counts(arrays: Known, name: str, k: int, least: int) -> Integers:
    counts = array(arrays, name, (k,), _INT)
    if (counts < least).any():
        raise ValueError(f"its array {name!r} must be at least {least}, got {counts.min()}")
    return counts
