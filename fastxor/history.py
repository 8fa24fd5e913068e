"""What was recorded of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import Any

import numpy as np

from fastxor import schedules
from fastxor.optimizers import Optimizer
from fastxor.state import Job
from fastxor.views import Array


class History(Mapping[int, float]):
    """What was recorded of a run: a mapping from iteration to cost, and columns as arrays.

    There is a record at every `interval`-th iteration from 0; or, for a run of `epochs`, one at the end of each.

    Attributes
    ----------
    iteration : ndarray of int
        Steps that had been taken.
    epoch : ndarray of int
        Epochs that had been completed; on full batches, each step is one.
    cost : ndarray
        That of the next step, before it; for a run of `epochs`, the mean over the epoch's samples, each batch's cost
        before its step.
    validation_cost, gradient_norm : ndarray
        With the parameters of that moment: the cost of the validation data, and the length of the gradient of the cost
        of all training data. NaN where not asked for.
    learning_rate : ndarray
        That of the next step.
    seconds : ndarray
        Time that the run had taken.

    Examples
    --------
    >>> import fastxor as fx
    >>> run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], iterations=250, random_state=0)
    >>> run.history  # doctest: +ELLIPSIS
    History(3 records, iteration 0 to 200, cost 0... to 0...)
    >>> run.history.iteration
    array([  0, 100, 200])
    >>> run.history[200] < run.history[0]
    True
    """

    __slots__ = ("_clock", "_costs", "_norms", "_open", "_rate", "_steps", "_validation")

    def __init__(self, steps_per_epoch: int, optimizer: Optimizer) -> None:
        self._steps = steps_per_epoch
        self._rate: Any = getattr(optimizer, "learning_rate", np.nan)
        self._costs: dict[int, float] = {}  # as are the next two, by iteration
        self._validation: dict[int, float] = {}
        self._norms: dict[int, float] = {}
        self._open: dict[int, float] = {}  # the costs of the steps of the epoch that is under way, in a run of epochs
        self._clock: list[tuple[int, float]] = [(0, 0.0)]  # steps and seconds, at the end of each span

    # ------------------------------------------------------------ a mapping

    def __getitem__(self, iteration: int) -> float:
        try:
            return self._costs[iteration]
        except (KeyError, TypeError) as error:
            asked: Any = iteration
            if asked in COLUMNS or isinstance(asked, slice):
                column = asked if asked in COLUMNS else "cost"
                error.add_note(f"a history maps an iteration to its cost; the column is an array, history.{column}")
            raise

    def __iter__(self) -> Iterator[int]:
        return iter(self._costs)

    def __len__(self) -> int:
        return len(self._costs)

    def __repr__(self) -> str:
        if not self._costs:
            return "History(0 records)"
        first, last = next(iter(self._costs)), next(reversed(self._costs))
        span = f"iteration {first} to {last}, cost {self._costs[first]:g} to {self._costs[last]:g}"
        return f"History({len(self)} record{'s' * (len(self) > 1)}, {span})"

    # ------------------------------------------------------------ columns

    @property
    def iteration(self) -> Array:
        return np.fromiter(self._costs, np.int64, len(self))

    @property
    def epoch(self) -> Array:
        return self.iteration // self._steps

    @property
    def cost(self) -> Array:
        return np.fromiter(self._costs.values(), np.float64, len(self))

    @property
    def validation_cost(self) -> Array:
        return self._column(self._validation)

    @property
    def gradient_norm(self) -> Array:
        return self._column(self._norms)

    @property
    def learning_rate(self) -> Array:
        rate: float | Array | schedules.Schedule = self._rate
        if callable(rate):
            return schedules.recorded(rate, self._costs)
        if isinstance(rate, np.ndarray):
            return rate[np.minimum(self.iteration, rate.size - 1)].astype(np.float64)
        return np.full(len(self), rate, np.float64)

    @property
    def seconds(self) -> Array:
        return np.interp(self.iteration, *np.array(self._clock).T)

    def _column(self, values: dict[int, float]) -> Array:
        return np.array([values.get(iteration, np.nan) for iteration in self._costs], np.float64)

    def to_dict(self) -> dict[str, Array]:
        """All columns by name, as for ``pandas.DataFrame(run.history.to_dict())``.

        Returns
        -------
        dict
            ``iteration, epoch, cost, validation_cost, gradient_norm, learning_rate, seconds``, arrays of one length.

        Examples
        --------
        >>> import fastxor as fx
        >>> run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], iterations=250, random_state=0)
        >>> list(run.history.to_dict())[:3]
        ['iteration', 'epoch', 'cost']
        """
        return {name: getattr(self, name) for name in COLUMNS}

    def plot(self, ax: Any = None) -> Any:
        """Draw the costs over the iterations: the same as ``fx.plot.cost(run, ax=ax)``.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; default: axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from fastxor import plot  # which most programs never need

        return plot.cost(self, ax=ax)

    # ------------------------------------------------------------ for files

    def _arrays(self) -> dict[str, Array]:
        arrays = {name: getattr(self, name) for name in COLUMNS[:5] if name != "epoch"}
        return arrays | {"open": _pairs(self._open.items()), "clock": _pairs(self._clock)}

    @classmethod
    def _of_arrays(cls, arrays: Mapping[str, Array], steps_per_epoch: int, optimizer: Optimizer) -> History:
        history = cls(steps_per_epoch, optimizer)
        iterations = arrays["iteration"].tolist()
        history._costs = dict(zip(iterations, arrays["cost"].tolist(), strict=True))
        for name in ("validation_cost", "gradient_norm"):
            known = zip(iterations, arrays[name].tolist(), strict=True)
            getattr(history, _KEPT[name]).update({i: value for i, value in known if value == value})
        history._open = {int(step): cost for step, cost in arrays["open"].tolist()}
        history._clock = [(int(step), seconds) for step, seconds in arrays["clock"].tolist()]
        return history

    # ------------------------------------------------------------ for the run that writes it

    def _until(self, completed: int) -> History:
        """A copy that a run at that step may go on with."""
        copy = History.__new__(History)
        copy._steps, copy._rate = self._steps, self._rate
        for name in ("_costs", "_validation", "_norms", "_open", "_clock"):
            setattr(copy, name, getattr(self, name).copy())
        copy._cut(completed)
        return copy

    def _cut(self, completed: int) -> None:
        """Forget what is not of a run at that step. Of the rest there may be millions, and Ctrl-C is waiting."""
        for values in (self._costs, self._validation, self._norms):
            while values and next(reversed(values)) > completed:
                values.popitem()
        begun = (completed - 1) // self._steps * self._steps  # of the epoch that ends now, too: it may be cut further
        self._open = {i: cost for i, cost in self._open.items() if begun <= i < completed}
        while self._clock[-1][0] > completed:
            self._clock.pop()

    def _note_epochs(self, recorded: dict[int, float], began: int, completed: int, job: Job) -> Mapping[int, float]:
        """Those of all steps of a run of epochs, from `began` to `completed`: the records that have become of them."""
        steps, first = self._steps, began - began % self._steps  # of the epoch that was under way
        before = {step: self._open[step] for step in range(first, began) if step in self._open}
        self._open = costs = before | recorded if before else recorded
        known: list[Any] = [*costs.values()]
        if len(before) < began - first:  # that run was recorded less often
            known = [*map(costs.get, range(first, completed))]
        ended = {}
        for end in range(first + steps, completed + 1, steps):
            ended[end] = _mean(known[end - first - steps : end - first], job)
        self._costs |= ended
        return ended


def _mean(costs: list[Any], job: Job) -> float:
    """Over the samples of an epoch; None is the cost of a batch in an earlier run, which was not recorded so often."""
    size, total = job.batch_size or job.samples, job.samples_per_epoch
    last = total - (len(costs) - 1) * size
    if None not in costs:
        if len(costs) == 1:
            return costs[0]
        mean = (size * sum(costs[:-1]) + last * costs[-1]) / total
        if mean < inf:
            return mean
    sizes = [size] * (len(costs) - 1) + [last]
    known = [(n, cost) for n, cost in zip(sizes, costs, strict=True) if cost is not None]
    total = sum(n for n, _cost in known)
    return sum(n / total * cost for n, cost in known)  # divided first, for the sum may have overflowed


def _pairs(values: Iterable[tuple[int, float]]) -> Array:
    return np.array([*values], np.float64).reshape(-1, 2)


_KEPT = {"validation_cost": "_validation", "gradient_norm": "_norms"}
COLUMNS = ("iteration", "epoch", "cost", "validation_cost", "gradient_norm", "learning_rate", "seconds")
