"""What looks on while a run goes on: validation, early stopping, callbacks, progress, checkpoints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from math import inf, isfinite, nan
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

from fastxor import files, saving
from fastxor import validation as checks
from fastxor.early_stopping import EarlyStopping, checked
from fastxor.files import Path
from fastxor.loop import Observer, Run
from fastxor.views import Array

# Without tqdm, progress is logged so often.
_LOG_SECONDS = 3.0
# Seconds from one checkpoint to the next.
CHECKPOINT_SECONDS = 60.0
# With tqdm, the bar moves so often.
_REFRESH_SECONDS = 0.1


class Moment:
    """What a callback is given: a record, and the parameters of that moment. It cannot be changed.

    Attributes
    ----------
    iteration : int
        Steps that had been taken.
    epoch : int
        Epochs that had been completed.
    cost, validation_cost : float
        As in the history; the latter is NaN where not asked for.
    parameters : dict
        ``W1, b1, W2, b2, …``, copies that are made when asked for.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> def learned(moment):  # ends the run where it returns True
    ...     return moment.cost < 0.1
    >>> net = fx.Network([2, 4, 1])
    >>> run = fx.train(net, X, Y, callback=learned, iterations=5000, interval=10, random_state=0)
    >>> run.iterations < 5000
    True
    """

    __slots__ = ("_iteration", "_source", "_value")

    def __init__(self, source: _LiveRun | _Detached, iteration: int, value: float = nan) -> None:
        self._source, self._iteration, self._value = source, iteration, value

    @property
    def iteration(self) -> int:
        return self._iteration

    @property
    def epoch(self) -> int:
        return self._iteration // self._source.steps_per_epoch

    @property
    def cost(self) -> float:
        return self._source.costs[self._iteration]

    @property
    def validation_cost(self) -> float:
        return self._value

    @property
    def parameters(self) -> dict[str, Array]:
        return self._source.parameters(self._iteration)

    def __reduce__(self) -> tuple[Any, ...]:  # without the run, which has data, and others who look on
        source = _Detached(self._source.steps_per_epoch, {self._iteration: self.cost}, self.parameters)
        return Moment, (source, self._iteration, self._value)

    def __repr__(self) -> str:
        more = "" if self._value != self._value else f", validation_cost={self._value:g}"
        return f"Moment(iteration={self.iteration}, epoch={self.epoch}, cost={self.cost:g}{more})"


class _LiveRun:
    """Where a moment's cost and parameters are found while its run is there: these by steps from the last span's
    beginning.
    """

    def __init__(self, run: Run, costs: Mapping[int, float]) -> None:
        self.run, self.steps_per_epoch, self.costs = run, run.job.steps_per_epoch, costs
        # A single record at the span's end has its state there, which not every optimizer comes to again.
        self.base = run.state if run.state.completed == next(iter(costs)) else run.before

    def parameters(self, iteration: int) -> dict[str, Array]:
        return self.run.job.network._views(self.run.state_at(iteration, self.base).theta.copy())


class _Detached(NamedTuple):
    """The same of a moment that has been copied, or comes from another process."""

    steps_per_epoch: int
    costs: Mapping[int, float]
    detached_parameters: dict[str, Array]

    def parameters(self, iteration: int) -> dict[str, Array]:
        return {name: array.copy() for name, array in self.detached_parameters.items()}


class Observers(Observer):
    """All that may look on."""

    def __init__(
        self,
        early_stopping: EarlyStopping | None = None,
        target_cost: float | None = None,
        gradient_norm: bool = False,
        callback: Callable[[Moment], Any] | None = None,
        progress: bool = False,
        checkpoint: Path | None = None,
        checkpoint_every: float = CHECKPOINT_SECONDS,
    ) -> None:
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be a function of one argument, got {callback!r}")
        rule = checked(early_stopping)
        self.patience = None if rule is None else Patience(rule)
        self.target = -inf if target_cost is None else checks.rate("target_cost", target_cost)
        self.norm = checks.flag("gradient_norm", gradient_norm)
        self.callback, self.may_take_long = callback, callback is not None
        self.spans: list[Any] = [Progress()] if checks.flag("progress", progress) else []
        every = checks.rate("checkpoint_every", checkpoint_every)
        if checkpoint is not None:
            self.spans.append(Checkpoint(checkpoint, every))

    def begin(self, run: Run) -> None:
        self.needs_states = run.held_out is not None or self.norm  # are wanted
        if not run.job.optimizer._goes_by_state:  # nor are they found again, where a run stops or parameters are wanted
            self.needs_states = True
        self.needs_records = self.needs_states or self.target > -inf
        if run.held_out is not None:
            self.loss = run.core.loss_on(run.job.network, *run.held_out)
        if self.patience is not None:
            self.patience.begin(run)
        if run.interval is None and run.history._costs.get(run.state.completed, inf) <= self.target:
            run.over = True  # as where a callback raised at that record; others are of now, and still to come
        for part in self.spans:
            part.begin(run)

    def lookahead(self) -> int:
        if not self.needs_states:
            return 0
        return checks.MOST if self.patience is None else self.patience.left

    def observe(self, run: Run, records: Mapping[int, float]) -> None:
        if self.needs_records:
            super().observe(run, records)
        elif self.callback is not None:
            _call(self.callback, run, records)

    def record(self, run: Run, iteration: int, cost: float) -> bool:
        value, stop = nan, cost <= self.target
        if run.held_out is not None:
            found = self.loss(_theta(run, iteration))
            value = run.history._validation[iteration] = inf if found is None or not isfinite(found) else found
            if self.patience is not None and self.patience.record(run, iteration, value):
                stop = True
        if self.norm:
            run.history._norms[iteration] = _gradient_norm(run, _theta(run, iteration))
        if self.callback is not None:
            stop = _is_true(self.callback(Moment(_LiveRun(run, {iteration: cost}), iteration, value))) or stop
        return stop

    def span(self, run: Run) -> None:
        for part in self.spans:
            part.span(run)

    def end(self, run: Run) -> None:
        if self.patience is not None:
            self.patience.end(run)

    def close(self, run: Run) -> None:
        for part in self.spans:
            part.close(run)


def _call(callback: Callable[[Moment], Any], run: Run, records: Mapping[int, float]) -> None:
    """Call with each record, where nobody else looks on, as soon as can be: of small networks, thousands in a span.

    Like the tuples of `zip`, a moment that nobody has kept is taken again for the next record.
    """
    if not records:
        return
    source, references = _LiveRun(run, records), getrefcount  # a global name takes longer to look up
    moment = Moment(source, next(iter(records)))
    alone = references(moment)
    try:
        for moment._iteration in records:
            answer = callback(moment)
            if answer is not None and _is_true(answer):
                run.stop_at(moment.iteration)
                break
            if references(moment) != alone:
                moment = Moment(source, moment.iteration)
    except BaseException:
        run.observed_at = moment.iteration
        raise


def _is_true(answer: Any) -> bool:
    """Whether a callback wants the run to stop; what it returns by the way does not."""
    return answer is True or (isinstance(answer, np.bool_) and bool(answer))


def _theta(run: Run, iteration: int) -> Array:
    """The parameters at a record of the last span."""
    theta = run.snapshot_thetas.get(iteration)
    return run.state_at(iteration).theta if theta is None else theta


@np.errstate(all="ignore")
def _gradient_norm(run: Run, theta: Array) -> float:
    job, data = run.job, (run.job.X, run.job.Y)
    if job.weights is None:
        found = run.core.gradient(job.network, theta, *data)
    else:
        found = run.core.weighted(job.network, theta, *data, job.weights)
    if found is None:
        return nan
    gradient = run.job.penalties._replace(clip_norm=inf).applied(theta, found[1], run.job.weight_mask)
    return float(np.linalg.norm(gradient.astype(np.float64)))


class Patience:
    """How long ago the best record was."""

    def __init__(self, rule: EarlyStopping) -> None:
        self.rule, self.best, self.stale_records = rule, inf, 0

    def begin(self, run: Run) -> None:
        """Look at what the history has: a run that goes on has waited before."""
        best = None
        for iteration, value in run.history._validation.items():
            if run.interval is None or iteration < run.state.completed:  # that of now is still to come
                best = iteration if self._better(value) else best
        known = [state for state in (run.best, run.state) if state is not None and state.completed == best]
        run.best = known[0] if known else None
        if not known:  # what cannot be restored is not waited for
            self.best, self.stale_records = inf, 0
        if self.rule._is_enough(self.stale_records):  # as where a callback raised at what was to be the last record
            run.over = True

    def _better(self, value: float) -> bool:
        if self.rule._is_better(value, self.best):
            self.best, self.stale_records = value, 0
            return True
        self.stale_records += 1
        return False

    @property
    def left(self) -> int:
        """So many records at least are still to come."""
        return max(1, self.rule.patience - self.stale_records)

    def record(self, run: Run, iteration: int, value: float) -> bool:
        """Whether it is time to stop."""
        if self._better(value):
            run.best = run.state_at(iteration)
        return self.rule._is_enough(self.stale_records)

    def end(self, run: Run) -> None:
        if self.rule.restore_best and run.best is not None:
            run.rewind_to(run.best)


class Progress:
    """A bar, or a line of the log every few seconds, of a run."""

    def begin(self, run: Run) -> None:
        self.bar = Bar(run.job.iterations, run.state.completed)

    def span(self, run: Run) -> None:
        self.bar.span(run.state.completed, partial(_last_cost, run))

    def close(self, run: Run) -> None:
        self.bar.close(run.state.completed, partial(_last_cost, run))


class Bar:
    """A bar by tqdm; without tqdm, a line of the log every few seconds."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self.bar = _bar(total, done)
        self.since, self.next = done, time.perf_counter() + (0.0 if self.bar is not None else _LOG_SECONDS)

    def span(self, completed: int, cost: Callable[[], float]) -> None:
        """So many steps have been taken, of all."""
        now = time.perf_counter()
        if now < self.next:
            return
        if self.bar is not None:
            self._move(completed, cost)
            self.next = time.perf_counter() + _REFRESH_SECONDS
        else:
            rate = (completed - self.since) / (now - self.next + _LOG_SECONDS)
            self._log(completed, cost(), rate)
            self.since, self.next = completed, now + _LOG_SECONDS

    def close(self, completed: int, cost: Callable[[], float]) -> None:
        """No more are to come."""
        if self.bar is not None:
            self._move(completed, cost)
            self.bar.close()

    def _move(self, completed: int, cost: Callable[[], float]) -> None:
        self.bar.set_postfix_str(f"cost {cost():.4g}", refresh=False)
        self.bar.update(completed - self.done)
        self.done = completed

    def _log(self, completed: int, cost: float, rate: float) -> None:
        import logging

        logger = logging.getLogger("fastxor")
        level = logging.INFO if logger.isEnabledFor(logging.INFO) else logging.WARNING  # it has been asked for
        logger.log(level, "iteration %d of %d, cost %.4g, %.4g per second", completed, self.total, cost, rate)


def _bar(total: int, done: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=done, unit="it", desc="training")


def _last_cost(run: Run) -> float:
    return next(reversed(run.history._costs.values()), nan)


class Checkpoint:
    """Saves the run to a file, every so many seconds and at its end, however it ends."""

    def __init__(self, path: Path, every: float) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"checkpoint must be a path, got {path!r}")
        files.place(path)  # or it is refused, before a step is taken
        self.path, self.every = os.path.abspath(path), every  # a callback may change the working directory

    def begin(self, run: Run) -> None:
        saving.described(run.job.optimizer)  # or it is refused, likewise
        self.next = time.perf_counter() + self.every

    def span(self, run: Run) -> None:
        if time.perf_counter() >= self.next:
            run.result().save(self.path)
            self.next = time.perf_counter() + self.every

    def close(self, run: Run) -> None:
        run.result().save(self.path)
