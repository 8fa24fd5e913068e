"""How much each sample counts: what `train` is given, and what a run makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastxor import validation
from fastxor.architecture import Architecture
from fastxor.views import Array


def combined(
    network: Architecture, Y: Array, sample_weight: ArrayLike | None, class_weight: str | Mapping[int, float] | None
) -> Array | None:
    """The weight of each sample, (m,) in float64, from its own and that of its class; None if there are no weights.

    Y is (n_y, m). Samples of weight 0 are as if they were not there: neither looked at nor counted.
    """
    if sample_weight is None and class_weight is None:
        return None
    weights = np.ones(Y.shape[1]) if sample_weight is None else _checked(sample_weight, Y.shape[1])
    if class_weight is not None:
        _check_kind(class_weight)
        there = np.flatnonzero(weights)
        classes, count = _classes(network, Y[:, there], there)
        weights[there] *= _of_classes(class_weight, classes, count, weights[there])[classes]
        if not weights.any():
            raise ValueError("class_weight leaves no sample a weight above 0")
        if not np.isfinite(weights).all():
            raise ValueError("class_weight times sample_weight must be finite")
    return weights


def of_members(network: Architecture, Y: Array, sample_weight: Any, class_weight: Any, members: int) -> Array | None:
    """The same for a population, (m,) for all members or (members, m). Y is (n_y, m) or (members, n_y, m)."""
    m = Y.shape[-1]
    own = sample_weight is not None and np.ndim(sample_weight) == 2
    if not own and Y.ndim == 2:
        return combined(network, Y, sample_weight, class_weight)
    if sample_weight is None and class_weight is None:
        return None
    table = np.ones((members, m)) if sample_weight is None else validation.numeric("sample_weight", sample_weight)
    if own and table.shape != (members, m):
        raise ValueError(f"sample_weight must have shape (members, m) = {(members, m)}, got shape {table.shape}")
    table = np.broadcast_to(table, (members, m))
    if class_weight is None:
        _check_table(table)
        return table.astype(np.float64)
    rows = zip(table, Y if Y.ndim == 3 else [Y] * members, strict=True)
    return np.stack([combined(network, y, row, class_weight) for row, y in rows])  # type: ignore[misc]


def _check_table(table: Array) -> None:
    wrong = np.argwhere(~((table >= 0) & np.isfinite(table)))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(f"sample_weight must be finite and not negative, got {table[place]} at {place}")
    empty = np.flatnonzero(~table.any(axis=1))
    if empty.size:
        raise ValueError(f"sample_weight must be above 0 for a sample at least, got 0 for all of member {empty[0]}")


@np.errstate(under="ignore")
def relative(weights: Array, dtype: np.dtype[Any]) -> Array | None:
    """Weights divided by their mean; None if all are alike, for then there is nothing to weigh."""
    weights = weights / weights.max()
    shares: Array = (weights / weights.mean()).astype(dtype)
    return None if (weights == 1).all() else shares


def _checked(sample_weight: ArrayLike, m: int) -> Array:
    weights = validation.numeric("sample_weight", sample_weight).astype(np.float64)
    if weights.shape != (m,):
        hint = "; pass sample_weight.ravel()" if weights.size == m else ""
        raise ValueError(f"sample_weight must have shape (m,) = {(m,)} to go with X, got shape {weights.shape}{hint}")
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if wrong.size:
        more = f", and {wrong.size - 1} more such values" if wrong.size > 1 else ""
        raise ValueError(f"sample_weight must be finite and not negative, got {weights[wrong[0]]} at {wrong[0]}{more}")
    if not weights.any():
        raise ValueError("sample_weight must be above 0 for a sample at least, got 0 for all")
    return weights


def _check_kind(class_weight: Any) -> None:
    if isinstance(class_weight, str):
        validation.choice("class_weight", class_weight, ("balanced",))
    elif not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight must be 'balanced' or a dict of a weight for each class, got {class_weight!r}")


def _classes(network: Architecture, Y: Array, numbers: Array) -> tuple[Array, int]:
    """The class of each sample, (m,), and how many there can be; `numbers` are for a message."""
    n_y = len(Y)
    if network.output != "softmax" and (network.output, n_y) != ("sigmoid", 1):
        raise ValueError(
            "class_weight needs classes, output='softmax' or one output of 'sigmoid'; "
            f"got {n_y} output{'s' * (n_y > 1)} of {network.output!r}"
        )
    soft = np.argwhere(~((Y == 0) | (Y == 1)).T)
    if soft.size:
        sample, row = soft[0].tolist()
        place = row, int(numbers[sample])
        raise ValueError(f"class_weight needs labels, Y of 0 and 1, got {Y[row, sample]} at {place}")
    return (Y[0].astype(np.intp), 2) if n_y == 1 else (Y.argmax(axis=0), n_y)


@np.errstate(under="ignore")
def _of_classes(class_weight: Any, classes: Array, count: int, weights: Array) -> Array:
    """The weight of each class, (count,)."""
    if isinstance(class_weight, str):
        mass = np.bincount(classes, weights / weights.max(), count)
        return mass.sum() / np.where(mass > 0, mass, 1) / np.count_nonzero(mass)
    factors = np.ones(count)
    for name, weight in class_weight.items():
        label = int(name) if isinstance(name, bool | np.bool_ | float) and name in range(count) else name  # as Y may be
        number = validation.integer("a class of class_weight", label, 0, count - 1)
        factors[number] = validation.rate(f"class_weight[{name}]", weight)
    return factors
