"""The loop of a population: rounds of steps for whoever is still in, and what ends a member's run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np

from fastxor import choices, second_order
from fastxor.backends import Backend
from fastxor.backends.sequential import SequentialSession
from fastxor.cohort import CohortSession, CohortState, Integers
from fastxor.loop import divergence_limit, probe_stride
from fastxor.optimizers import SecondOrder
from fastxor.population_state import Group, PopulationState
from fastxor.time_slice import TimeSlice
from fastxor.views import Array


class PopulationLoop:
    """All members of a population from where they are to their ends.

    In a round everybody who is still in goes on: to the next record, where that is looked at, or to the end. A round
    takes some members at a time, as many as make good use of the backend for about as long as `TimeSlice` says. Only
    what these have done can be lost to an interrupt, which `roll_back` answers.

    Parameters
    ----------
    population : PopulationState
        It is changed.
    core : Backend
    observe : callable, optional
        Called with the numbers of the members that have been recorded in a round, as what they are before the next
        step; it returns those that are to stop.
    on_progress : callable, optional
        Called after each call of the backend.
    """

    def __init__(
        self,
        population: PopulationState,
        core: Backend,
        observe: Callable[[Array], Array] | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.population, self.core = population, core
        self.observe, self.on_progress = observe, on_progress
        self.history = population.history
        self.rollback_log: list[tuple[Group, Integers, CohortState, Array]] = []
        self.recorded = np.zeros(len(population), bool)  # who has been, in this round
        self.recorded_now = np.zeros(0, bool)  # in the last call, of those who were in it

    def execute(self) -> None:
        """Train to the end."""
        began = time.perf_counter() - self.history.seconds
        self._note_first_costs()
        self.step_weights = [] if self.history.interval else _step_weights(self.population)
        parts = []
        for group in self.population.groups:
            session = _open(self.core, group)
            parts.append(_GroupTraining(group, session, TimeSlice(session.speed), _MemberPatience(self, group)))
        self._stop_those_at_their_end(parts)
        try:
            while self._has_live_members():
                for part in parts:
                    self._round(part)
                    self.history.seconds = time.perf_counter() - began
                if self.observe is not None:
                    self._apply_observer()
                self.rollback_log.clear()
                if self.on_progress is not None:
                    self.on_progress(0)
        finally:
            for part in parts:
                part.session.close()
        self.population.stopped[:] = True
        self._finish([part.patience for part in parts])

    def roll_back(self) -> None:
        """After an interrupt: all members at a step that has been looked at."""
        population, history = self.population, self.history
        for group, which, state, opened in reversed(self.rollback_log):
            members = group.members[which]
            group.state.put(which, state)
            population.stopped[members] = population.diverged[members] = False
            history.open[members] = opened
        self.rollback_log.clear()
        history.until(population.completed())
        if population.target is not None:
            population.reached = history.reached(population.target)

    def _stop_those_at_their_end(self, parts: Sequence[_GroupTraining]) -> None:
        """Who goes on may have come to its end before, as where another one was interrupted: see `Observers.begin`."""
        population, history, completed = self.population, self.history, self.population.completed()
        if history.interval is None and population.target is not None:  # else that of now is still to come
            at_record = history.count * history.steps == completed
            population.stopped |= at_record & (history.last(history.cost) <= population.target)
        for group, _session, _time_slice, patience in parts:
            if patience.rule is not None:
                population.stopped[group.members] |= patience.rule._is_enough(patience.stale_records)

    def _has_live_members(self) -> bool:
        return any(len(self._live_members(group)) for group in self.population.groups)

    def _live_members(self, group: Group) -> Integers:
        """Who of a group has still something to do."""
        left = (group.state.completed < group.cohort.iterations) & ~self.population.stopped[group.members]
        return np.flatnonzero(left)

    def _is_validated(self, group: Group) -> bool:
        """Whether that is done at records. A population that goes on may have been validated before, and not be now."""
        return self.history.validation is not None and group.held is not None and group.watched

    # ------------------------------------------------------------ a round

    def _round(self, part: _GroupTraining) -> None:
        group, time_slice = part.group, part.time_slice
        live = self._live_members(group)
        limits = self._step_limits(group, live)
        which, left, start = live[:0], limits[:0], 0
        while len(which) or start < len(live):
            typical = max(1, int(max(left.max(initial=0), limits[start:].max(initial=0))))
            block = max(1, part.session.block)
            stop = start + max(0, max(block, time_slice.steps // typical // block * block) - len(which))
            which, left = np.append(which, live[start:stop]), np.append(left, limits[start:stop])
            start = min(stop, len(live))
            most = max(1, time_slice.steps // len(which))
            if self.history.interval is None:
                most = min(most, max(1, choices.COSTS_PER_CALL // len(which)))
            steps = np.minimum(self._steps_to_check(group, which, left), most)
            go_on = self._take(part, which, steps)
            left = left - steps
            go_on &= left > 0
            which, left = which[go_on], left[go_on]

    def _step_limits(self, group: Group, live: Integers) -> Integers:
        """How many steps each is to take in a round. Where this loop looks at records, all go on together."""
        left = group.cohort.iterations[live] - group.state.completed[live]
        stops = self.population.target is not None or group.early_stopping is not None
        if self.observe is not None or (stops and (self.history.interval is None or self._is_validated(group))):
            return self._steps_to_check(group, live, left)
        return left

    def _steps_to_check(self, group: Group, which: Integers, left: Integers) -> Integers:
        """Of so many steps, those to where members are looked at next. A record's cost is that before a step: where a
        callback may stop a member, that step is taken by itself, if it pays, and the others by those who go on.
        """
        interval = self.history.interval
        watched = self._is_validated(group) or self.observe is not None
        if interval is None:
            if watched:
                every = self.history.steps[group.members[which]]
                return np.minimum(left, every - group.state.completed[which] % every)
            return left if self.population.target is None else np.minimum(left, choices.STEPS_PER_TARGET_CHECK)
        if not watched:
            return left
        since = group.state.completed[which] % interval
        at_once = self.observe is not None and interval >= choices.STEPS_PER_TARGET_CHECK
        return np.minimum(left, np.where(since == 0, 1 if at_once else interval, interval - since))

    def _take(self, part: _GroupTraining, which: Integers, steps: Integers) -> Array:
        """Take some members further, note what there is to note; who is still in."""
        before, checked = part.group.state.take(which), None
        if self._is_validated(part.group) and self.history.interval:
            checked = part.patience.observe(which, before)
            if checked.exhausted.any():  # they take a step, for the cost before it, beside each other
                order = np.argsort(checked.exhausted, kind="stable")
                steps = np.where(checked.exhausted, 1, steps)[order]
                checked = ValidationCheck(checked.values[order], checked.exhausted[order])
                go_on = np.empty(len(which), bool)
                go_on[order] = self._advance(part, which[order], steps, before.take(order), checked)
                return go_on
        return self._advance(part, which, steps, before, checked)

    def _advance(
        self,
        part: _GroupTraining,
        which: Integers,
        steps: Integers,
        before: CohortState,
        checked: ValidationCheck | None,
    ) -> Array:
        """See `_take`; `before` is where they are, and `checked` what validation says of that."""
        group, session, time_slice, patience = part
        population, interval, members = self.population, self.history.interval, group.members[which]
        every = interval or 1
        targets = None if population.target is None or not interval else population.target[members]
        began = time.perf_counter()
        progress = session.advance(before, which, steps, -before.completed % every, every, targets)
        time_slice.took(int(steps.sum()), time.perf_counter() - began)
        after = progress.state
        failed = progress.good < steps
        over = failed if progress.finished is None else failed | progress.finished
        bad = failed if progress.finished is None else failed & ~progress.finished
        if self.observe is None:
            self.rollback_log.clear()
        self.rollback_log.append((group, which, before, self.history.open[members]))
        if interval:
            at, costs = self._note(members, before.completed, progress.costs)
        else:
            at, costs = self._note_epochs(group, which, before.completed, progress.good, progress.costs)
        ends = self._target_iterations(at, interval or self.history.steps[members], costs, members)
        if self._is_validated(group):
            ends = np.minimum(ends, patience.record(which, before if interval else after, checked))
        stop = ends <= after.completed
        if stop.any():
            self._rewind(session, which, members, (before, after, ends))
        group.state.put(which, after)
        population.stopped[members] |= stop | over
        population.diverged[members] |= bad & ~stop
        if self.observe is None:
            self.rollback_log.clear()
        if self.on_progress is not None:
            self.on_progress(int((after.completed - before.completed).sum()))
        return ~(stop | over)

    def _note(self, members: Integers, completed: Integers, costs: Array) -> tuple[Array, Array]:
        """Put costs, (n, records), into the history; the iterations of the first ones, (n,), and they."""
        interval = self.history.interval or 1
        first, known = -(-completed // interval), costs == costs
        many = np.full(len(members), costs.shape[1]) if known.all() else known.sum(axis=1)
        self._store_costs(first, members, known, costs)
        self.history.count[members] = np.maximum(self.history.count[members], first + many)
        self._record(members, many > 0)
        return first * interval, costs

    def _record(self, members: Integers, now: Array) -> None:
        self.recorded_now = now
        self.recorded[members] |= now

    def _store_costs(self, first: Integers, members: Integers, known: Array, costs: Array) -> None:
        """Into the history: what is known of costs (n, records), at the records from `first`, (n,), on."""
        if costs.size and known.all() and (first == first[0]).all():  # as most are
            rows = slice(first[0], first[0] + costs.shape[1])
            together = bool((np.diff(members) == 1).all())
            self.history.cost[rows, slice(members[0], members[-1] + 1) if together else members] = costs.T
        else:
            who, number = np.nonzero(known)
            self.history.cost[first[who] + number, members[who]] = costs[known]

    def _note_epochs(
        self, group: Group, which: Integers, completed: Integers, good: Integers, costs: Array
    ) -> tuple[Array, Array]:
        """The same for the means over epochs of the costs (n, steps) of all good steps."""
        members, history = group.members[which], self.history
        per_epoch = history.steps[members]
        first, opened = completed // per_epoch, history.open[members]
        many = (completed + good) // per_epoch - first
        means = np.full((len(which), int(many.max(initial=0))), inf)
        for row, (start, steps) in enumerate(zip(completed.tolist(), good.tolist(), strict=True)):
            share = self.step_weights[int(members[row])]
            begin, number, left = 0, 0, len(share) - start % len(share)
            while begin + left <= steps:
                means[row, number] = _sequential_sum(opened[row], costs[row, begin : begin + left], share[-left:])
                begin, number, left, opened[row] = begin + left, number + 1, len(share), 0.0
            rest = steps - begin
            place = len(share) - left
            opened[row] = _sequential_sum(opened[row], costs[row, begin:steps], share[place : place + rest])
        history.open[members] = opened
        known = np.arange(means.shape[1]) < many[:, None]
        self._store_costs(first, members, known, means)
        history.count[members] = np.maximum(history.count[members], first + many)
        self._record(members, many > 0)
        return (first + 1) * per_epoch, means

    def _target_iterations(self, first: Integers, every: Any, costs: Array, members: Integers) -> Integers:
        """The iteration of the first record, (n,), that is not above the target; past all others if there is none. They
        are at `first`, (n,), and each so many steps after the one before.
        """
        ends = np.full(len(members), _NEVER)
        if self.population.target is not None and costs.shape[1]:
            hit = costs <= self.population.target[members, None]
            rows = np.flatnonzero(hit.any(axis=1))
            ends[rows] = (first + hit.argmax(axis=1) * every)[rows]
            known = self.population.reached[members[rows]]
            self.population.reached[members[rows]] = np.where(known == known, known, ends[rows])
        return ends

    def _rewind(
        self, session: CohortSession, which: Integers, members: Integers, steps: tuple[CohortState, CohortState, Any]
    ) -> None:
        """Put those that stop to the step at which they do, in the state after; what nobody has kept is taken again."""
        before, after, ends = steps
        back = np.flatnonzero(ends < after.completed)
        if not len(back):
            return
        again = ends[back] - before.completed[back]
        start = before.take(back)
        if again.any():
            start = session.advance(start, which[back], again, again, 1).state
        after.put(back, start)
        self.history.until(ends[back], members[back])
        if self.history.interval is None:
            self.history.open[members[back]] = 0.0

    # ------------------------------------------------------------ who looks on, and how it ended

    def _apply_observer(self) -> None:
        """Show the records of a round; who is to stop, goes back to the last one."""
        assert self.observe is not None
        if not self.recorded.any():
            return
        stop = self.observe(np.flatnonzero(self.recorded))
        self.recorded[:] = False
        if not stop.any():
            return
        if self.history.interval is not None:
            for group, which, before, _opened in reversed(self.rollback_log):
                back = np.flatnonzero(stop[group.members[which]])
                group.state.put(which[back], before.take(back))
                self.population.diverged[group.members[which[back]]] = False
            self.history.until(self.population.completed())
        self.population.stopped |= stop

    def _note_first_costs(self) -> None:
        """With mini-batches, the costs before the first step, of some samples that are spread over all."""
        first = self.population.first
        unknown = self._in_batches() & (first != first)
        if unknown.any():
            first[unknown] = self._costs(of_some=True)[unknown]

    def _in_batches(self) -> Array:
        """Whose steps are of mini-batches, (K,) bool."""
        found = np.zeros(len(self.population), bool)
        for group in self.population.groups:
            found[group.members] = group.cohort.batch_size is not None
        return found

    def _costs(self, of_some: bool = False) -> Array:
        """What the members' objective is on their own data, (K,), or on some of their samples: see `probe_stride`."""
        costs = np.empty(len(self.population))
        for group in self.population.groups:
            cohort = group.cohort
            X, Y, weights = cohort.X, cohort.Y, cohort.weights
            every = probe_stride(X.shape[-1]) if of_some else 1
            if every > 1 and (weights is None or weights[:, ::every].any(axis=1).all()):
                X, Y = (np.ascontiguousarray(array[..., ::every]) for array in (X, Y))
                weights = None if weights is None else np.ascontiguousarray(weights[:, ::every])
            losses = self.core.cohort_losses(cohort.network, group.state.theta, X, Y, weights, cohort.threads)
            costs[group.members] = losses + _penalty(group)
        return costs

    def _finish(self, patience: Sequence[_MemberPatience]) -> None:
        """The last costs. Who has blown up is told by those before the best states are restored, as in `train`."""
        population = self.population
        cost = self._costs()
        known = self.history.count > 0
        first = np.where(known, self.history.cost[0], cost) if len(self.history.cost) else cost
        first = np.where(self._in_batches(), population.first, first)
        with np.errstate(invalid="ignore"):
            blown_up = ~(cost <= divergence_limit(first, population.groups[0].state.theta.dtype))
        if any([each.restore_best() for each in patience]):
            cost = self._costs()
        self.rollback_log.clear()
        population.diverged |= blown_up
        population.cost = cost
        for group in population.groups:
            if group.held is not None:
                population.validation_cost[group.members] = _validation(self.core, group, group.state, None)
        if population.target is not None:
            done = (cost <= population.target) & (population.reached != population.reached)
            population.reached[done] = population.completed()[done]


class _GroupTraining(NamedTuple):
    """A group, and what its members are trained with."""

    group: Group
    session: CohortSession
    time_slice: TimeSlice
    patience: _MemberPatience


class ValidationCheck(NamedTuple):
    """What validation says of members' states before steps are taken."""

    values: Array  # (n,), NaN where there is no record
    exhausted: Array  # (n,) bool, who has waited long enough


class _MemberPatience:
    """How long ago each member's best record was; the costs of validation data."""

    def __init__(self, loop: PopulationLoop, group: Group) -> None:
        self.loop, self.group, self.rule = loop, group, group.early_stopping
        k = len(group.members)
        self.lowest, self.stale_records = np.full(k, inf), np.zeros(k, np.int64)
        if self.rule is not None:
            self._replay()

    def _replay(self) -> None:
        """Look at what the history has: members that go on have waited before."""
        history, group = self.loop.history, self.group
        assert history.validation is not None
        best_at = np.full(len(group.members), -1)
        completed, steps = group.state.completed, history.steps[group.members]
        over = self.loop.population.stopped[group.members] | (history.interval is None)
        for number in range(int(history.count[group.members].max(initial=0))):
            at = np.full_like(steps, number * history.interval) if history.interval else (number + 1) * steps
            values = history.validation[number, group.members]
            before = (at < completed) | (over & (at == completed))  # else that of now is still to come
            there = np.flatnonzero(before & (number < history.count[group.members]) & (values == values))
            better = self._update_best(there, values[there])
            best_at[there[better]] = at[there[better]]
        best = group.state.copy()
        best.completed[:] = -1
        if group.best is not None:
            kept = np.flatnonzero(group.best.completed == best_at)
            best.put(kept, group.best.take(kept))
        now = np.flatnonzero((completed == best_at) & (best.completed != best_at))
        best.put(now, group.state.take(now))
        unknown = best.completed < 0  # what cannot be restored is not waited for
        self.lowest[unknown], self.stale_records[unknown] = inf, 0
        group.best = best

    def _update_best(self, which: Integers, values: Array) -> Array:
        """Who of them is better than ever."""
        better, self.stale_records[which] = self._compare_to_best(which, values)
        self.lowest[which[better]] = values[better]
        return better

    def _compare_to_best(self, which: Integers, values: Array) -> tuple[Array, Integers]:
        """Who is better than ever with these costs, and how long each has waited then."""
        assert self.rule is not None
        better = self.rule._is_better(values, self.lowest[which])
        return better, np.where(better, 0, self.stale_records[which] + 1)

    def observe(self, which: Integers, state: CohortState) -> ValidationCheck:
        """Validate those who are at a record."""
        n, interval = len(which), self.loop.history.interval or 1
        values, exhausted = np.full(n, np.nan), np.zeros(n, bool)
        rows = np.flatnonzero(state.completed % interval == 0)
        if len(rows):
            values[rows] = self._validated(which, state, rows)
            if self.rule is not None:
                exhausted[rows] = self.rule._is_enough(self._compare_to_best(which[rows], values[rows])[1])
        return ValidationCheck(values, exhausted)

    def _validated(self, which: Integers, state: CohortState, rows: Integers) -> Array:
        all_of = len(rows) == len(which)
        return _validation(
            self.loop.core, self.group, state if all_of else state.take(rows), which if all_of else which[rows]
        )

    def record(self, which: Integers, state: CohortState, checked: ValidationCheck | None) -> Integers:
        """Note the validation of those that have been recorded in this state, where it was not seen before; the
        iteration at which each is to stop, past all others if none.
        """
        history, group = self.loop.history, self.group
        assert history.validation is not None
        ends = np.full(len(which), _NEVER)
        members = group.members[which]
        per_record = history.interval or history.steps[members]
        rows = np.flatnonzero(self.loop.recorded_now & (state.completed % per_record == 0))
        if not len(rows):
            return ends
        numbers = (state.completed // per_record)[rows] - (0 if history.interval else 1)
        values = self._validated(which, state, rows) if checked is None else checked.values[rows]
        history.validation[numbers, members[rows]] = values
        if self.rule is not None:
            better = rows[self._update_best(which[rows], values)]
            if group.best is not None:
                group.best.put(which[better], state.take(better))
            exhausted = rows[self.rule._is_enough(self.stale_records[which[rows]])]
            ends[exhausted] = state.completed[exhausted]
        return ends

    def restore_best(self) -> bool:
        """Put members to where they were best, if that is asked for; whether it is another state than their last."""
        group, history = self.group, self.loop.history
        if self.rule is None or not self.rule.restore_best or group.best is None:
            return False
        known = np.flatnonzero((group.best.completed >= 0) & (group.best.completed != group.state.completed))
        last = group.state.take(known)
        self.loop.rollback_log.append((group, known, last, history.open[group.members[known]]))
        group.state.put(known, group.best.take(known))
        return bool(len(known))


_NEVER = np.iinfo(np.int64).max


def _open(core: Backend, group: Group) -> CohortSession:
    cohort = group.cohort
    if isinstance(cohort.optimizer, SecondOrder):
        return SequentialSession(cohort, partial(second_order.open, core), cohort.threads or 1)
    return core.open_cohort(cohort)


def _validation(core: Backend, group: Group, state: CohortState, which: Integers | None) -> Array:
    """The costs of a group's data for validation, (n,), with the parameters of these members, or of all."""
    assert group.held is not None
    held = group.held if which is None else group.held.take(which)
    return core.cohort_losses(group.cohort.network, state.theta, held.X, held.Y, held.weights, group.cohort.threads)


def _penalty(group: Group) -> Array:
    """What the members' costs are raised by, (k,)."""
    l2, l1, _clip = group.cohort.penalties.T
    if not (l2.any() or l1.any()):
        return np.zeros(len(l2))
    weights = group.state.theta * group.cohort.network._weight_mask(group.state.theta.dtype)
    return l2 / 2 * np.sum(weights * weights, axis=1) + l1 * np.sum(np.abs(weights), axis=1)


def _step_weights(population: PopulationState) -> list[Array]:
    """What the cost of each step of an epoch is multiplied by in its mean, for each member (steps,)."""
    found: dict[tuple[int, int], Array] = {}
    step_weights: list[Array] = [np.empty(0)] * len(population)
    for group in population.groups:
        steps_of, cohort = population.history.steps[group.members].tolist(), group.cohort
        for member, samples, steps in zip(group.members.tolist(), group.samples.tolist(), steps_of, strict=True):
            if (samples, steps) not in found:
                size = cohort.batch_size or samples
                total = steps * size if cohort.drop_last and cohort.batch_size else samples
                share = np.full(steps, size / total)
                share[-1] = (total - (steps - 1) * size) / total
                found[samples, steps] = share
            step_weights[member] = found[samples, steps]
    return step_weights


def _sequential_sum(begin: float, costs: Array, step_weights: Array) -> float:
    """The sum one after the other, so that it does not matter where it is broken off."""
    return float(np.add.accumulate(np.append(begin, costs * step_weights))[-1])
