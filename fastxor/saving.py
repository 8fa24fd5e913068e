"""A run in a file: which arrays and which entry of JSON it becomes, and the checks of those that come back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any, get_args

import numpy as np

from fastxor import files, schedules, validation
from fastxor.architecture import Architecture
from fastxor.files import Path
from fastxor.history import History
from fastxor.network import Network
from fastxor.optimizers import Adam, Memory, Optimizer, Rprop, check_fit
from fastxor.penalties import Penalties, checked, held
from fastxor.state import State, steps_per_epoch
from fastxor.views import Array, Views

OPTIMIZERS = {kind.__name__: kind for kind in get_args(Optimizer)}

_NETWORK = ("sizes", "hidden", "output", "loss")
_EPOCH = ("samples", "batch_size", "drop_last")

# The fields of a Result, in their order.
Fields = tuple[Network, Views, History, int, State, dict[str, Any], State | None]


def save(
    path: Path, network: Network, history: History, state: State, settings: dict[str, Any], best: State | None
) -> None:
    """Write a run. Its arrays are the parameters under their own names, ``memory.…`` of the optimizer, ``best.…`` of
    the best state if it is another one, and ``history.…``.
    """
    arrays: dict[str, Array] = dict(network._views(state.theta))
    arrays |= {f"memory.{name}": array for name, array in state.memory._asdict().items()}
    if best is not None:
        arrays |= {"best.theta": best.theta}
        arrays |= {f"best.{name}": array for name, array in best.memory._asdict().items()}
    if settings["weights"] is not None:
        arrays |= {"sample_weight": settings["weights"]}
    arrays |= {f"history.{name}": array for name, array in history._arrays().items()}
    entry: dict[str, Any] = {"network": network_described(network)}
    entry |= settings | {"optimizer": described(settings["optimizer"]), "completed": state.completed}
    entry |= {"weights": settings["weights"] is not None}
    entry |= {"penalties": _penalties_described(settings["penalties"])}
    files.write(path, arrays, entry | {"best": None if best is None else best.completed})


def restored(path: Path, arrays: dict[str, Array], entry: dict[str, Any]) -> Fields:
    """A run from what stands in its file; a ValueError that names the file says what is wrong with it."""
    try:
        return _fields(Known(arrays, "array"), Known(entry, "entry"))
    except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"{files.refusal(path)}: {error}") from error


class Known(dict[str, Any]):
    """What stands in a file, by name."""

    def __init__(self, values: Mapping[str, Any], kind: str) -> None:
        if not isinstance(values, Mapping):
            raise TypeError(f"its {kind} must have names, got {values!r}")
        super().__init__(values)
        self.kind = kind

    def __missing__(self, name: str) -> Any:
        raise ValueError(f"it has no {self.kind} {name!r}")


def network_described(network: Architecture) -> dict[str, Any]:
    """A network for JSON."""
    return {name: getattr(network, name) for name in _NETWORK}


def described(thing: Any) -> dict[str, Any]:
    """An optimizer, or a schedule, for JSON."""
    values = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing) if field.init}
    for name, value in values.items():
        if type(value) in schedules.KINDS.values():
            values[name] = described(value)
        elif not isinstance(value, bool | int | float | str | tuple | None):
            known = "numbers, arrays and fastxor.schedules"
            raise TypeError(f"a run is saved with {known} only, and its optimizer's {name} is {value!r}")
    return {"name": type(thing).__name__} | values


def network_of(described: Any) -> Network:
    """A network, of which everything has to be there."""
    return Network(**_all(Known(described, "entry"), _NETWORK))


def optimizer_of(described: Any) -> Optimizer:
    """An optimizer, likewise."""
    values = Known(described, "entry")
    return _made(OPTIMIZERS[validation.choice("optimizer", values.pop("name", None), OPTIMIZERS)], values)


def _made(kind: Any, values: Known) -> Any:
    """An optimizer, or a schedule, with those that are in it as they were."""
    values = _all(values, [field.name for field in dataclasses.fields(kind) if field.init])
    for name, value in values.items():
        if isinstance(value, dict):
            inner = Known(value, "entry")
            values[name] = _made(
                schedules.KINDS[validation.choice(name, inner.pop("name", None), schedules.KINDS)], inner
            )
    return kind(**values)


def _all(values: Known, names: Iterable[str]) -> Known:
    """Refuse what lacks one of the names: a default is not what a run had."""
    for name in names:
        values[name]
    return values


def _penalties_described(penalties: Penalties) -> dict[str, Any]:
    """Penalties for JSON, which has no infinity."""
    return {name: None if number == inf else number for name, number in penalties._asdict().items()}


# ---------------------------------------------------------------- what comes back


def _fields(arrays: Known, entry: Known) -> Fields:
    network = network_of(entry["network"])
    settings = _settings(entry)
    settings["weights"] = _weights(arrays, settings["given"]) if validation.flag("weights", entry["weights"]) else None
    optimizer, steps = settings["optimizer"], steps_per_epoch(*map(settings.get, _EPOCH))  # type: ignore[arg-type]
    if not steps:
        raise ValueError("its epochs have no step")
    check_fit(optimizer, network, settings["batch_size"])
    theta = _theta(arrays, network)
    validation.settings(optimizer, theta.dtype)
    held(settings["penalties"], theta.dtype)
    state = _state(arrays, theta, "memory", validation.integer("completed", entry["completed"], 0), optimizer)
    best = None
    if entry["best"] is not None:
        theta = array(arrays, "best.theta", theta.shape, theta.dtype)
        best = _state(arrays, theta, "best", validation.integer("best", entry["best"], 0), optimizer)
    history = History._of_arrays(_history(arrays), steps, optimizer)
    return network, network._views(state.theta), history, state.completed, state, settings, best


def _settings(entry: Known) -> dict[str, Any]:
    given = validation.integer("given", entry["given"], 1)
    numbers: dict[str, int | None] = {
        "samples": validation.integer("samples", entry["samples"], 1, given),
        "given": given,
        "seed": validation.integer("seed", entry["seed"], 0),
        "iterations": validation.integer("iterations", entry["iterations"], 0),
    }
    flags = {name: validation.flag(name, entry[name]) for name in ("shuffled", "drop_last")}
    for limit in ("batch_size", "interval"):
        numbers[limit] = None if entry[limit] is None else validation.integer(limit, entry[limit], 1)
    fraction = None if entry["fraction"] is None else validation.rate("fraction", entry["fraction"], below=1.0)
    if fraction == 0:
        raise ValueError("fraction must be above 0, got 0.0")
    of_file = checked(**_all(Known(entry["penalties"], "entry"), Penalties._fields))
    return {
        "optimizer": optimizer_of(entry["optimizer"]),
        **numbers,
        **flags,
        "fraction": fraction,
        "penalties": of_file,
    }


def _weights(arrays: Known, samples: int) -> Array:
    weights = array(arrays, "sample_weight", (samples,), np.dtype(np.float64))
    if not ((weights >= 0).all() and weights.any()):
        raise ValueError("its array 'sample_weight' must not be negative, nor 0 for all")
    return weights


def _theta(arrays: Known, network: Network) -> Array:
    dtype = arrays[network._slots[0][0]].dtype
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"its parameters must be float32 or float64, got {dtype}")
    return np.concatenate([array(arrays, name, shape, dtype) for name, _place, shape in network._slots], axis=None)


def _state(arrays: Known, theta: Array, prefix: str, completed: int, optimizer: Optimizer) -> State:
    beginning = State.beginning(theta, optimizer)
    memory = {
        name: array(arrays, f"{prefix}.{name}", like.shape, like.dtype, finite=False)
        for name, like in beginning.memory._asdict().items()
    }
    check_memory(optimizer, *((f"{prefix}.{name}", memory[name]) for name in Memory._fields))
    return State(beginning.theta, Memory(**memory), completed)


def check_memory(optimizer: Optimizer, rows: tuple[str, Array], powers: tuple[str, Array]) -> None:
    """Refuse what an optimizer cannot have come to remember: the names and arrays (…, rows, count) and (…, 2)."""
    name, array = rows
    fine, positive = np.isfinite(array), array[..., optimizer._not_negative, :]
    most = np.finfo(array.dtype).max if isinstance(optimizer, Rprop) else inf  # a square may have overflowed
    fine[..., optimizer._not_negative, :] = (positive >= 0) & (positive <= most)
    if not fine.all():
        raise ValueError(
            f"its array {name!r} must be finite, and not negative where it has means of squares, or step sizes"
        )
    name, array = powers
    if not ((array >= 0) & (array < inf)).all() or (isinstance(optimizer, Adam) and (array > 1).any()):
        raise ValueError(f"its array {name!r} must be finite, not negative, nor above 1 for powers of decays")


def _history(arrays: Known) -> dict[str, Array]:
    iteration = arrays["history.iteration"]
    count = iteration.shape
    array(arrays, "history.iteration", (iteration.size,), np.dtype(np.int64))
    if (np.diff(iteration) <= 0).any() or (iteration < 0).any():
        raise ValueError("its array 'history.iteration' must go up")
    columns = {"iteration": iteration, "cost": array(arrays, "history.cost", count, np.dtype(np.float64))}
    for name in ("validation_cost", "gradient_norm"):  # NaN where there is none
        columns[name] = array(arrays, f"history.{name}", count, np.dtype(np.float64), finite=False)
    for name in ("open", "clock"):
        shape = (arrays[f"history.{name}"].size // 2, 2)
        columns[name] = array(arrays, f"history.{name}", shape, np.dtype(np.float64))
    clock = columns["clock"]
    if not len(clock):
        raise ValueError("its array 'history.clock' must have a row")
    if clock[0, 0] != 0 or clock[-1, 0] > validation.MOST or (np.diff(clock, axis=0) < 0).any():
        raise ValueError("its array 'history.clock' must go up from 0")
    return columns


def array(arrays: Known, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], finite: bool = True) -> Array:
    """The array, which must be of that shape and dtype and, as a rule, finite; in this machine's byte order."""
    array: Array = arrays[name]
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"its array {name!r} must be {dtype} of shape {shape}, got {array.dtype} of {array.shape}")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"its array {name!r} must be finite")
    return np.ascontiguousarray(array, dtype)
