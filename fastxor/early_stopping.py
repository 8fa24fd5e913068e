"""`EarlyStopping`: when a run ends by the cost of validation data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastxor import validation as checks


@checks.hinted
@dataclass(frozen=True)
class EarlyStopping:
    """Stop a run when its validation cost no longer improves.

    Parameters
    ----------
    patience : int, optional
        So many records after the best one, none of them better, end the run.
    min_delta : float, optional
        A record is better if its validation cost is lower by more than this.
    restore_best : bool, optional
        Whether the run ends in the state of the best record instead of the last one.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range; the message names it.

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.EarlyStopping(patience=5)
    EarlyStopping(patience=5, min_delta=0.0, restore_best=True)
    """

    patience: int = 10
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "patience", checks.integer("patience", self.patience, 1))
        object.__setattr__(self, "min_delta", checks.rate("min_delta", self.min_delta))
        object.__setattr__(self, "restore_best", checks.flag("restore_best", self.restore_best))

    def _is_better(self, cost: Any, best: Any) -> Any:
        """Whether a record is better than the best one so far, or which of several are."""
        return cost < best - self.min_delta

    def _is_enough(self, stale_records: Any) -> Any:
        """Whether so many records after the best one end a run, or which of several they end."""
        return stale_records >= self.patience


def checked(early_stopping: Any) -> EarlyStopping | None:
    """What a run was given as its rule, or it is refused."""
    if not isinstance(early_stopping, EarlyStopping | None):
        raise TypeError(f"early_stopping must be EarlyStopping(…), got {early_stopping!r}")
    return early_stopping
