"""The loop of a run, the one that there is, and what is said when it goes wrong."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from fastxor import second_order
from fastxor.backends import Backend, Session
from fastxor.history import History
from fastxor.result import DivergenceWarning, Result, TrainingInterrupted
from fastxor.state import Job, State
from fastxor.time_slice import TimeSlice, undisturbed
from fastxor.views import Array, Views

# A run that ends this many times above the cost it began with has not learned but blown up.
_DIVERGENCE_FACTOR = 10.0

# So many samples, about, are looked at after a run for that, and before one whose first step's cost tells less.
_PROBE_SAMPLES = 32


def divergence_limit(first: Any, dtype: np.dtype[Any]) -> Any:
    """The largest cost that a run may end with that began with this one, and not count as blown up."""
    return _DIVERGENCE_FACTOR * (first + float(np.finfo(dtype).eps))  # a run may begin at a cost of 0


def probe_stride(samples: int) -> int:
    """Every which sample is looked at for that, if not all are: a few, spread evenly over all."""
    return -(-samples // _PROBE_SAMPLES)


class Observer:
    """Looks on while a run goes on, and may stop it. This one has its eyes closed."""

    may_take_long = False  # at each record, nobody knows how long

    def begin(self, run: Run) -> None:
        """Before the first step."""

    def lookahead(self) -> int:
        """So many records, whose states are wanted, may come before they are looked at; 0: no state is wanted."""
        return 0

    def observe(self, run: Run, records: Mapping[int, float]) -> None:
        """These have been recorded, perhaps some time ago."""
        for run.observed_at, cost in records.items():
            if self.record(run, run.observed_at, cost):
                run.stop_at(run.observed_at)
                break

    def record(self, run: Run, iteration: int, cost: float) -> bool:
        """One of them; whether to stop there."""
        return False

    def span(self, run: Run) -> None:
        """Between two spans, about ten times a second or more often."""

    def end(self, run: Run) -> None:
        """No more steps are to come."""

    def close(self, run: Run) -> None:
        """The run is over, however it has ended."""


class Run:
    """A run from its state to its end, above every backend.

    Parameters
    ----------
    job : Job
    state : State
        Where it begins.
    history : History, optional
        What has been recorded before; it is added to.
    """

    replayed: State | None = None  # a state that has been asked for
    best: State | None = None  # that of the lowest validation cost, where this is to be restored
    snapshot_thetas: Mapping[int, Array] = {}  # at records of the last span, those that the session has kept
    session: Session | None = None  # within a span, it is further than `state`
    interval: int | None = None  # from record to record; None: there is one at the end of each epoch
    held_out: tuple[Array, Array] | None = None  # data for validation
    weights: Array | None = None  # of the samples given
    fraction: float | None = None  # of the samples given, if that is where they come from
    observer: Observer | None = None
    observed_at: int | None = None  # the record that is being looked at
    over = False
    diverged = False  # step number `state.completed` gave a cost or a parameter that is not finite

    def __init__(self, job: Job, state: State, history: History | None = None) -> None:
        self.job, self.state = job, state
        self.before = state  # the state at the beginning of the last span
        self.confirmed = state  # one up to which all records have been looked at
        self.history = History(job.steps_per_epoch, job.optimizer) if history is None else history
        self.given = job.X.shape[1]

    def execute(self, core: Backend, observer: Observer | None, stacklevel: int) -> None:
        """Train to the end; warn if that went wrong."""
        self.core = core
        if observer is not None:
            self.observer = observer
            observer.begin(self)
        before = None if self._first_step_tells() else self._cost()
        self._loop(observer)
        problem, last = self._divergence(before), self.state.completed  # of where it has come to, not of a better state
        if observer is not None:
            observer.end(self)
            self._close()
        if problem:
            if self.state.completed != last:
                problem += f"; the best parameters, of iteration {self.state.completed}, were restored"
            elif self.diverged:
                problem += "; the run was stopped there and the last finite parameters were kept"
            message = f"training diverged: {problem}. Try a smaller learning_rate."
            warnings.warn(message, DivergenceWarning, stacklevel=stacklevel + 1)

    def _close(self) -> None:
        """Tell whoever looks on, once."""
        observer, self.observer = self.observer, None
        if observer is not None:
            observer.close(self)

    # ------------------------------------------------------------ what there is at any moment

    def parameters(self) -> Views:
        return self.job.network._views(self.state.theta)

    def result(self) -> Result:
        state = self.state
        return Result(
            self.job.network,  # type: ignore[arg-type]  # whose runs have results
            self.parameters(),
            self.history,
            state.completed,
            state,
            self._settings(),
            self.best,
        )

    def _settings(self) -> dict[str, Any]:
        """All that a run needs to go on as it began, beside the network, the data and the state."""
        job = self.job
        return {
            "optimizer": job.optimizer,
            "batch_size": job.batch_size,
            "shuffled": job.shuffled,
            "drop_last": job.drop_last,
            "penalties": job.penalties,
            "weights": self.weights,
            "seed": job.seed,
            "iterations": job.iterations,
            "interval": self.interval,
            "samples": job.X.shape[1],
            "given": self.given,
            "fraction": self.fraction,
        }

    def interrupted(self) -> TrainingInterrupted:
        """What becomes of Ctrl-C at any moment from the first step to the hand-over of the result."""
        error = undisturbed(self._reached)
        self._close_after(error)
        return error

    def _reached(self) -> TrainingInterrupted:
        if self.observed_at is None:
            self._synchronize()
        else:  # it is to be looked at again
            self.stop_at(self.observed_at if self.interval else self.observed_at - 1)
        result = self.result()
        return TrainingInterrupted(result.parameters, result.iterations, result)

    def failed(self, error: BaseException) -> None:
        """Give an exception that ends the run what had been reached."""
        if self.observed_at is None:
            self._synchronize()
        else:
            self.stop_at(self.observed_at)
        with suppress(Exception):  # there are exceptions that take no attributes
            error.result = self.result()  # type: ignore[attr-defined]
            error.add_note(f"after {self.state.completed} iterations of training; they are kept in .result")
        self._close_after(error)

    def _close_after(self, error: BaseException) -> None:
        """Tell whoever looks on of an end before the end. A file that cannot be saved, or is waited for in vain until
        Ctrl-C comes again, must not cost what had been reached.
        """
        try:
            self._close()
        except (Exception, KeyboardInterrupt) as other:
            error.add_note(f"then {type(other).__name__}: {other}".removesuffix(": "))

    def state_at(self, iteration: int, base: State | None = None) -> State:
        """The state after so many steps of the last span, or after `base`; where nobody has kept it, they are taken
        again.
        """
        if iteration == self.state.completed:  # as where spans end at records
            return self.state
        if self.session is not None and iteration in self.snapshot_thetas:
            return self.session.snapshot(iteration)
        states = [state for state in (self.state, self.before, self.replayed, base) if state is not None]
        nearest = max((state for state in states if state.completed <= iteration), key=lambda state: state.completed)
        steps = iteration - nearest.completed
        if not steps:
            return nearest
        session = second_order.open(self.core, self.job, nearest)
        session.advance(steps, steps, 1)
        self.replayed = session.state()  # the next one is nearer from here
        return self.replayed

    def rewind_to(self, state: State) -> None:
        """Let this be the state, of a step that the run has passed."""
        self.session = None  # it is further than that
        self.state = self.confirmed = state
        self.over = True

    # ------------------------------------------------------------ the loop

    def _loop(self, observer: Observer | None) -> None:
        session = self.session = second_order.open(self.core, self.job, self.state)
        first = float("inf")
        if observer is not None and observer.may_take_long:  # a record at first, then as fast as can be
            first = self.interval or self.job.steps_per_epoch
        time_slice, began = TimeSlice(session.speed, first), time.perf_counter() - self.history._clock[-1][1]
        while not self.over and self.state.completed < self.job.iterations:
            since, done = time.perf_counter(), self.state.completed
            records = self._span(session, time_slice.steps, 0 if observer is None else observer.lookahead())
            taken = self.state.completed - done
            self.history._clock.append((self.state.completed, time.perf_counter() - began))
            if observer is not None:
                observer.observe(self, records)
                self.confirmed = self.state
                self.observed_at = None
                observer.span(self)
            time_slice.took(taken, time.perf_counter() - since)  # a callback's time, too: bars and files wait for it
        self.snapshot_thetas = {}  # what the session has kept, the next one may overwrite
        session.close()

    def _span(self, session: Session, steps: int, lookahead: int) -> Mapping[int, float]:
        """So many steps, no more than to some records ahead, if their states are wanted; the records there are now."""
        done = self.state.completed
        steps = min(steps, self.job.iterations - done)
        if lookahead:
            interval = self.interval or self.job.steps_per_epoch
            lookahead = max(min(lookahead, session.snapshot_capacity), 1)
            steps = min(steps, lookahead * interval - done % interval)
            session.snapshot_interval = interval if lookahead > 1 else 0
        every = min(self.interval or 1, max(self.job.iterations, 1))  # a compiled loop counts to 2**63, not further
        self.snapshot_thetas = {}
        good, _costs = session.advance(steps, -done % every, every)
        state = session.state()
        if session.snapshot_interval:
            self.snapshot_thetas = session.snapshot_thetas
        records = self._note(session, state.completed)  # before the state: what is done again gives the same again
        self.before = self.state
        self.state, self.diverged = state, good < steps and not session.finished
        self.over = self.diverged or session.finished
        return records

    def _note(self, session: Session, completed: int) -> Mapping[int, float]:
        """Put what the session has recorded into the history; what has become of it there."""
        records = session.recorded
        if self.interval:
            self.history._costs |= records
            return records
        return self.history._note_epochs(records, self.state.completed, completed, self.job)

    def stop_at(self, iteration: int) -> None:
        """End the run at a record of the last span."""
        state = self.state_at(iteration)
        self.history, self.diverged = self.history._until(iteration), False
        self.rewind_to(state)

    def _synchronize(self) -> None:
        """With the session, which may have gone on when an exception came; or, where somebody looks on, go back to what
        has been looked at, so that whoever goes on looks at the rest.
        """
        if self.observer is not None:
            self.state = self.confirmed
        elif self.session is not None:
            state = self.session.state()
            self._note(self.session, state.completed)
            self.state = state
        self.history._cut(self.state.completed)

    # ------------------------------------------------------------ did it blow up?

    def _first_step_tells(self) -> bool:
        """Whether its cost, which is recorded, is as good as a look at some samples."""
        batch = self.job.batch_size
        return batch is None or (batch >= _PROBE_SAMPLES and bool(self.interval) and not self.state.completed)

    def _cost(self) -> float | None:
        """That of all samples; with mini-batches, of a few: a run need not look at more than it trains on."""
        every = 1 if self.job.batch_size is None else probe_stride(self.job.samples)
        X, Y = (np.ascontiguousarray(array[:, ::every]) if every > 1 else array for array in (self.job.X, self.job.Y))
        if self.job.weights is None:
            cost = self.core.loss(self.job.network, self.state.theta, X, Y)
        else:
            found = self.core.weighted(self.job.network, self.state.theta, X, Y, self.job.weights[::every].copy())
            cost = None if found is None else found[0]
        return None if cost is None else cost + self.job.penalty(self.state.theta)

    def _divergence(self, before: float | None) -> str | None:
        """What shows that the run has blown up."""
        if self.diverged:
            from fastxor.backends import reference

            layer = reference.first_overflow(self.job, self.state)
            when = f"at iteration {self.state.completed}, first in layer {layer}"
            return f"the cost or a parameter was no longer finite {when}"
        last = self._cost()
        last = np.nan if last is None else last
        first = next(iter(self.history._costs.values()), last) if before is None else before
        if last <= divergence_limit(first, self.state.theta.dtype):
            return None
        return f"the cost rose from {first:g} to {last:g}"
