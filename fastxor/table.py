"""`Table`: rows of named values, for people and for pandas, and the population behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import index
from typing import Any, overload

import numpy as np

from fastxor import validation as checks
from fastxor.population_result import Population

# Rows that are printed at most.
_PRINTED = 60


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


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
