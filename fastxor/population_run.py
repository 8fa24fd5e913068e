"""How a population is trained, from its first step to its end: here, or in shards elsewhere; what is saved and said."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import nan
from typing import Any, NamedTuple

import numpy as np

from fastxor import saving
from fastxor import validation as checks
from fastxor.backends import Backend, resolve
from fastxor.cohort import Integers
from fastxor.files import Path
from fastxor.names import BackendName
from fastxor.observers import Bar
from fastxor.population_loop import PopulationLoop
from fastxor.population_result import Population, load
from fastxor.population_state import PopulationState, joined
from fastxor.result import DivergenceWarning, TrainingInterrupted, users_level
from fastxor.time_slice import undisturbed
from fastxor.views import Array

# After a file was written, none is for so many times as long, though shards are done.
_REST = 5.0

# Numbers of members that a warning names.
_NAMED = 10


class RunOptions(NamedTuple):
    """How a run is done, which changes nothing of its result."""

    executor: Any
    checkpoint: Path | None
    every: float
    progress: bool


class PopulationMoment:
    """What a callback is given: the records of a round. All arrays are copies.

    Attributes
    ----------
    iteration : ndarray of int, shape (members,)
        Steps that each member has taken.
    live : ndarray of bool, shape (members,)
        Who has been recorded; the others had ended.
    cost, validation_cost : ndarray, shape (members,)
        As in the history; NaN for those that had ended, or where not asked for.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> lowest = []
    >>> def look(moment):
    ...     lowest.append(moment.cost.min())
    >>> pop = fx.train_population(fx.Network([2, 2, 1]), X, Y, members=5, callback=look, random_state=0)
    >>> len(lowest), bool(lowest[-1] < lowest[0])
    (10, True)
    """

    def __init__(self, population: PopulationState, recorded: Integers, iteration: Integers) -> None:
        self.iteration, history = iteration, population.history
        self.live = np.zeros(len(population), bool)
        self.live[recorded] = True
        rows = history.count[recorded] - 1
        self.cost, self.validation_cost = np.full(len(population), nan), np.full(len(population), nan)
        self.cost[recorded] = history.cost[rows, recorded]
        if history.validation is not None:
            self.validation_cost[recorded] = history.validation[rows, recorded]

    def __repr__(self) -> str:
        return f"PopulationMoment({int(self.live.sum())} of {len(self.live)} members, lowest cost {self._lowest():g})"

    def _lowest(self) -> float:
        return float(np.nanmin(self.cost)) if self.live.any() else nan


class PopulationRun:
    """A population from where it is to its end: here, or in shards elsewhere."""

    def __init__(
        self,
        population: PopulationState,
        core: Backend,
        backend: BackendName,
        callback: Callable[..., Any] | None,
        options: RunOptions,
    ) -> None:
        self.population, self.core, self.backend, self.callback = population, core, backend, callback
        self.options, self.checkpoint = options, options.checkpoint
        self.loop: PopulationLoop | None = None
        self.next_shard_save = 0.0  # from when on shards that are done may be saved again

    @classmethod
    def joined(cls, runs: Sequence[PopulationRun], members: Sequence[Integers]) -> PopulationRun:
        """Several that have not begun, with the same options, as one: the members of each have these numbers there."""
        first = runs[0]
        population = joined([run.population for run in runs], members)
        return cls(population, first.core, first.backend, first.callback, first.options)

    def execute(self) -> Population:
        """Train to the end."""
        options = self.options
        if self.checkpoint is not None:
            self._resume_checkpoint(self.checkpoint)
        total, done = int(self.population.iterations().sum()), int(self.population.completed().sum())
        self.bar, self.done = Bar(total, done) if options.progress else None, done
        self.next = time.perf_counter() + options.every
        try:
            if options.executor is None:
                observe = None if self.callback is None else self._observe
                self.loop = PopulationLoop(self.population, self.core, observe, self._on_progress)
                self.loop.execute()
            else:
                self._run_shards(options.executor)
            self._close()
        except KeyboardInterrupt:
            raise self._interrupted() from None
        except Exception as error:
            with suppress(Exception):  # there are exceptions that take no attributes
                error.result = Population(self._settled().without_data())  # type: ignore[attr-defined]
            self._close()
            raise
        _warn(self.population)
        return Population(self.population.without_data())

    def _settled(self) -> PopulationState:
        """All members where their states are whole."""
        if self.loop is not None:
            self.loop.roll_back()
        return self.population

    def _interrupted(self) -> TrainingInterrupted:
        error = undisturbed(lambda: interrupted(self._settled()))
        try:
            self._close()
        except (Exception, KeyboardInterrupt) as other:  # a file that cannot be saved must not cost what there is
            error.add_note(f"then {type(other).__name__}: {other}".removesuffix(": "))
        return error

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close(self.done, self._lowest)
        if self.checkpoint is not None:
            self._save()

    # ------------------------------------------------------------ between two calls of the backend

    def _on_progress(self, steps: int) -> None:
        self.done += steps
        if self.bar is not None:
            self.bar.span(self.done, self._lowest)
        if self.checkpoint is not None and time.perf_counter() >= self.next and not self._has_unobserved_steps():
            self._save()

    def _has_unobserved_steps(self) -> bool:
        """Whether there are steps that a callback has not seen."""
        return self.loop is not None and bool(self.loop.rollback_log)

    def _observe(self, recorded: Integers) -> Array:
        assert self.callback is not None
        answer = self.callback(PopulationMoment(self.population, recorded, self._recorded_at(recorded)))
        if answer is None or (isinstance(answer, bool | np.bool_) and not answer):
            return np.zeros(len(self.population), bool)
        if isinstance(answer, bool | np.bool_):
            return np.ones(len(self.population), bool)
        stop = np.asarray(answer) if checks.axes("what callback returns", answer) == 1 else np.empty(0)
        if stop.dtype != np.bool_ or len(stop) != len(self.population):
            raise TypeError(f"callback must return None, True or an array of bool (members,), got {answer!r}")
        return stop

    def _recorded_at(self, recorded: Integers) -> Integers:
        """The iteration of each member's last record."""
        history, completed = self.population.history, self.population.completed()
        if history.interval is not None:
            completed[recorded] = (history.count[recorded] - 1) * history.interval
        return completed

    def _lowest(self) -> float:
        """The lowest cost of the last records."""
        history = self.population.history
        known = history.last(history.cost)
        return float(np.nanmin(known)) if history.count.any() else nan

    # ------------------------------------------------------------ shards

    def _run_shards(self, executor: Any) -> None:
        from fastxor import executors  # which few need

        size = executors.size(executor, len(self.population))
        which = [*self.population.shards(size)]
        work = partial(_work, self.backend)
        shards = Shards(self.population, which)
        for number, part in executors.done(executor, work, shards):
            before = int(self.population.completed()[which[number]].sum())
            self.population.put(which[number], part)
            self._on_progress(int(part.completed().sum()) - before)
            if self.checkpoint is not None and time.perf_counter() >= self.next_shard_save:
                self._save()
        rest = np.flatnonzero(self.population.cost != self.population.cost)
        if len(rest):  # who had nothing to do
            self.population.put(rest, _work(self.backend, self.population.take(rest)))

    # ------------------------------------------------------------ a file of what is done

    def _resume_checkpoint(self, path: Path) -> None:
        """Go on from a file of the same call, if there is one."""
        self.population.digest = _digest(self.population)
        for group in self.population.groups:
            saving.described(group.cohort.optimizer)  # or it is refused
        if not os.path.exists(path):
            return
        kept = load(path, Population)
        if kept._state.digest != self.population.digest:
            has_seeds = np.array_equal(kept.seeds, self.population.seeds)
            other = "data or arguments" if has_seeds else "seeds, which random_state=None draws anew each time"
            raise ValueError(
                f"checkpoint {os.fsdecode(path)!r} is of another call, with other {other}: remove it, or give another "
                "path"
            )
        self.population.put(np.arange(len(self.population)), kept._state)

    def _save(self) -> None:
        assert self.checkpoint is not None
        began = time.perf_counter()
        Population(self.population).save(self.checkpoint)
        now = time.perf_counter()
        self.next, self.next_shard_save = now + self.options.every, now + _REST * (now - began)


class Shards(Sequence[PopulationState]):
    """The parts of a population, each made when it is asked for: not all need be there at once."""

    def __init__(self, population: PopulationState, which: list[Integers]) -> None:
        self._state, self._which = population, which

    def __len__(self) -> int:
        return len(self._which)

    def __getitem__(self, number: Any) -> Any:
        return self._state.take(self._which[number])


def _work(backend: BackendName, population: PopulationState) -> PopulationState:
    """A shard from where it is to its end, in whichever process."""
    PopulationLoop(population, resolve(backend)).execute()
    return population.without_data()


def interrupted(population: PopulationState) -> TrainingInterrupted:
    """What becomes of Ctrl-C, with what had been reached."""
    result = Population(population.without_data())
    error = TrainingInterrupted({}, int(result.iterations.max()), result)  # type: ignore[arg-type]
    if len({group.cohort.network for group in population.groups}) == 1:
        error.parameters = result.parameters
    return error


def _warn(population: PopulationState) -> None:
    """Name those that diverged."""
    bad = np.flatnonzero(population.diverged).tolist()
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        rules = [group.early_stopping for group in population.groups]
        kept = "best" if all(rule is not None and rule.restore_best for rule in rules) else "last finite"
        warnings.warn(
            f"{len(bad)} of {len(population)} members diverged: {', '.join(map(str, bad[:_NAMED]))}{more} "
            f"(see .diverged). Each keeps its {kept} parameters. Try a smaller learning_rate.",
            DivergenceWarning,
            stacklevel=users_level(),
        )


def _digest(population: PopulationState) -> str:
    """Of all that the bits of a population follow from."""
    import hashlib  # which few need

    digest = hashlib.sha256(repr((population.given, population.fraction, population.history.interval)).encode())
    arrays: list[Any] = [population.seeds, population.weights, population.target]
    for group in population.groups:
        cohort, state, held = group.cohort, group.state, group.held
        how = cohort.network, cohort.optimizer, cohort.batch_size, cohort.shuffled, cohort.drop_last
        digest.update(repr((*how, group.early_stopping, group.watched)).encode())
        arrays += [cohort.X, cohort.Y, cohort.numbers, cohort.penalties, cohort.seeds, cohort.iterations]
        arrays += [group.members, state.theta, state.memory, state.powers, state.completed, *(held or ())]
    for array in arrays:
        digest.update(repr(None if array is None else (array.shape, array.dtype)).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
