"""`PopulationState`: all members of a population in groups of one shape, how far they are, and what was recorded of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from fastxor.cohort import Cohort, CohortState, Integers
from fastxor.early_stopping import EarlyStopping
from fastxor.views import Array


class HeldOut(NamedTuple):
    """Data for validation, each (…, m) for all members or (k, …, m); weights (k, m), 0 or 1, or None."""

    X: Array
    Y: Array
    weights: Array | None

    def take(self, which: Integers) -> HeldOut:
        return HeldOut(
            _member_part(self.X, which, 2), _member_part(self.Y, which, 2), _member_part(self.weights, which, 1)
        )


@dataclass(eq=False)
class Group:
    """Members that make a cohort."""

    members: Integers  # (k,), their numbers in the population
    cohort: Cohort
    state: CohortState
    samples: Integers  # (k,), that each is trained on
    best: CohortState | None = None  # where each member's validation cost was lowest, if that is to be known
    held: HeldOut | None = None
    early_stopping: EarlyStopping | None = None
    watched: bool = True  # validated at every record, not only at the end

    def take(self, which: Integers, members: Integers) -> Group:
        """Some of them, (n,) of (k,), and what their numbers are to be; copies, but for data that all share."""
        return Group(
            members,
            _cohort_of(self.cohort, which),
            self.state.take(which),
            self.samples[which],
            None if self.best is None else self.best.take(which),
            None if self.held is None else self.held.take(which),
            self.early_stopping,
            self.watched,
        )

    def without_data(self) -> Group:
        """What is to be kept of it when all is done."""
        sizes = self.cohort.network.sizes
        dtype = self.state.theta.dtype
        bare = replace(self.cohort, X=np.empty((sizes[0], 0), dtype), Y=np.empty((sizes[-1], 0), dtype), weights=None)
        return replace(self, cohort=bare, held=None)


def _cohort_of(cohort: Cohort, which: Integers) -> Cohort:
    return replace(
        cohort,
        X=_member_part(cohort.X, which, 2),
        Y=_member_part(cohort.Y, which, 2),
        numbers=cohort.numbers[which],
        penalties=cohort.penalties[which],
        seeds=cohort.seeds[which],
        iterations=cohort.iterations[which],
        weights=_member_part(cohort.weights, which, 1),
    )


def _member_part(array: Any, which: Integers, axes: int) -> Any:
    """Some members' part of an array that has an axis more than the `axes` of one member; else all of it."""
    return array if array is None or array.ndim == axes else array[which]


@dataclass(eq=False)
class Records:
    """What was recorded of each of K members, by the number of the record: see `fastxor.PopulationHistory`."""

    interval: int | None  # steps from one record to the next, or None: at the end of each epoch
    steps: Integers  # (K,), of an epoch
    cost: Array  # (records, K); of a member, as many are good as `count` says
    validation: Array | None  # likewise
    count: Integers  # (K,)
    open: Array  # (K,), of a member's epoch that is under way, what its steps add to the mean
    seconds: float = 0.0

    @classmethod
    def fresh(cls, interval: int | None, steps: Integers, iterations: Integers, held: bool) -> Records:
        K = len(steps)
        rows = int((-(-iterations // interval) if interval else iterations // steps).max(initial=0))
        # Of zeros, which take no memory before they are written to.
        validation = np.zeros((rows, K)) if held else None
        return cls(interval, steps, np.zeros((rows, K)), validation, np.zeros(K, np.int64), np.zeros(K))

    def extended(self, iterations: Integers, held: bool) -> Records:
        """A copy with room for more, up to these steps (K,)."""
        more = Records.fresh(self.interval, self.steps, iterations, held or self.validation is not None)
        rows = max(len(self.cost), len(more.cost))
        cost = _extended_rows(self.cost, rows)
        validation = None
        if self.validation is not None:
            validation = _extended_rows(self.validation, rows)
        elif held:
            validation = np.full_like(cost, np.nan)
        return replace(self, cost=cost, validation=validation, count=self.count.copy(), open=self.open.copy())

    def until(self, completed: Integers, members: Any = slice(None)) -> None:
        """Forget what is later than these steps, (K,) or those of some members."""
        most = completed // self.interval + 1 if self.interval else completed // self.steps[members]
        self.count[members] = np.minimum(self.count[members], most)

    def last(self, values: Array) -> Array:
        """Of `cost` or `validation`, each member's last one, (K,); NaN where there is none."""
        last, there = np.full(len(self.count), np.nan), np.flatnonzero(self.count)
        last[there] = values[self.count[there] - 1, there]
        return last

    def reached(self, target: Array) -> Array:
        """Steps before each member's first record whose cost is not above its target, (K,); NaN where there is none."""
        rows = int(self.count.max(initial=0))
        hit = (self.cost[:rows] <= target) & (np.arange(rows)[:, None] < self.count)
        first = hit.argmax(axis=0) if rows else np.zeros(len(target), np.int64)
        at = first * self.interval if self.interval else (first + 1) * self.steps
        return np.where(hit.any(axis=0), at, np.nan)

    def take(self, which: Integers) -> Records:
        part = None if self.validation is None else self.validation[:, which]
        cost, count = self.cost[:, which], self.count[which]
        return replace(self, steps=self.steps[which], cost=cost, validation=part, count=count, open=self.open[which])

    def put(self, which: Integers, other: Records) -> None:
        self.cost[: len(other.cost), which] = other.cost
        if self.validation is not None and other.validation is not None:
            self.validation[: len(other.cost), which] = other.validation
        self.count[which], self.open[which] = other.count, other.open
        self.seconds = max(self.seconds, other.seconds)


def _extended_rows(array: Array, rows: int) -> Array:
    longer = np.zeros((rows, array.shape[1]))
    longer[: len(array)] = array
    return longer


def _empty() -> Array:
    """To be made to measure."""
    return np.empty(0)


@dataclass(eq=False)
class PopulationState:
    """A population while it is trained, and what it is made of afterwards."""

    groups: list[Group]
    history: Records
    seeds: Integers  # (K,): member i begins as ``fastxor.train(random_state=seeds[i])`` does
    weights: Array | None  # of the samples as they were given, (m,) for all members or (K, m), float64
    given: int  # how many samples that were
    fraction: float | None = None  # of the samples given, held out for validation
    target: Array | None = None  # (K,), the cost with which each has converged; -infinity: none has
    digest: str | None = None  # of all that it began with
    stopped: Array = field(default_factory=_empty)  # (K,), before its time
    diverged: Array = field(default_factory=_empty)  # (K,)
    reached: Array = field(default_factory=_empty)  # (K,), steps to the target; NaN
    first: Array = field(default_factory=_empty)  # (K,), some samples' cost before mini-batches began; NaN
    cost: Array = field(default_factory=_empty)  # (K,), at the end; NaN before
    validation_cost: Array = field(default_factory=_empty)  # (K,), likewise

    def __post_init__(self) -> None:
        K = len(self.seeds)
        for name, value in _MEMBER_FIELDS.items():
            if not getattr(self, name).size:
                setattr(self, name, np.full(K, value))

    def __len__(self) -> int:
        return len(self.seeds)

    def find_member(self, member: int) -> tuple[Group, int]:
        """The group of a member, and its number there."""
        for group in self.groups:
            found = np.flatnonzero(group.members == member) if len(self.groups) > 1 else [member]
            if len(found):
                return group, int(found[0])
        raise IndexError(member)

    def completed(self) -> Integers:
        """Steps that each member has taken, (K,)."""
        return self._gathered([group.state.completed for group in self.groups])

    def iterations(self) -> Integers:
        """Those at its end, (K,)."""
        return self._gathered([group.cohort.iterations for group in self.groups])

    def _gathered(self, columns: Sequence[Integers]) -> Integers:
        all_of = np.empty(len(self), np.int64)
        for group, column in zip(self.groups, columns, strict=True):
            all_of[group.members] = column
        return all_of

    def shards(self, size: int) -> Iterator[Integers]:
        """The members that have still something to do, of one group at a time, about `size` of them."""
        for group in self.groups:
            left = group.members[(group.state.completed < group.cohort.iterations) & ~self.stopped[group.members]]
            pieces = -(-len(left) // size)
            yield from np.array_split(left, pieces) if pieces else ()

    def take(self, which: Integers) -> PopulationState:
        """Some members, numbered anew in this order; copies, but for data that all share."""
        groups = []
        new = np.full(len(self), -1)
        new[which] = np.arange(len(which))
        for group in self.groups:
            inside = np.flatnonzero(new[group.members] >= 0)
            inside = inside[np.argsort(new[group.members[inside]])]
            if len(inside):
                groups.append(group.take(inside, new[group.members[inside]]))
        weights = self.weights[which] if self.weights is not None and self.weights.ndim == 2 else self.weights
        columns = {name: getattr(self, name)[which] for name in _MEMBER_FIELDS}
        columns |= {"seeds": self.seeds[which], "target": None if self.target is None else self.target[which]}
        return replace(self, groups=groups, history=self.history.take(which), weights=weights, **columns)

    def put(self, which: Integers, other: PopulationState) -> None:
        """Let some members be as those of another population are, which are as many, in that order."""
        for group in other.groups:
            mine, _number = self.find_member(int(which[group.members[0]]))
            numbers = which[group.members]
            inside = np.searchsorted(mine.members, numbers)
            mine.state.put(inside, group.state)
            if group.best is not None:
                if mine.best is None:
                    mine.best = mine.state.copy()
                    mine.best.completed[:] = -1  # of those that are still to come
                mine.best.put(inside, group.best)
        self.history.put(which, other.history)
        for name in _MEMBER_FIELDS:
            getattr(self, name)[which] = getattr(other, name)

    def without_data(self) -> PopulationState:
        """What is to be kept of it when all is done."""
        return replace(self, groups=[group.without_data() for group in self.groups])


_MEMBER_FIELDS: dict[str, Any] = {
    "stopped": False,
    "diverged": False,
    "reached": np.nan,
    "first": np.nan,
    "cost": np.nan,
    "validation_cost": np.nan,
}


def joined(states: Sequence[PopulationState], members: Sequence[Integers]) -> PopulationState:
    """Populations of the same samples, before their first steps, as one: the members of each have these numbers."""
    if len(states) == 1:
        return states[0]
    groups = [
        replace(group, members=numbers[group.members])
        for numbers, state in zip(members, states, strict=True)
        for group in state.groups
    ]
    places, first = np.argsort(np.concatenate(members)), states[0]

    def placed(name: str) -> Any:
        return np.concatenate([getattr(state, name) for state in states])[places]

    steps = np.concatenate([state.history.steps for state in states])[places]
    iterations = np.concatenate([state.iterations() for state in states])[places]
    held = any(state.history.validation is not None for state in states)
    history = Records.fresh(first.history.interval, steps, iterations, held)
    for numbers, state in zip(members, states, strict=True):
        if history.validation is not None and state.history.validation is None:
            history.validation[:, numbers] = np.nan
    weights = first.weights
    if any(state.weights is not None for state in states):
        each = [1.0 if state.weights is None else state.weights for state in states]
        tables = [np.broadcast_to(own, (len(state), state.given)) for own, state in zip(each, states, strict=True)]
        weights = np.concatenate(tables)[places]
    target = None if first.target is None else placed("target")
    return PopulationState(groups, history, placed("seeds"), weights, first.given, first.fraction, target)
