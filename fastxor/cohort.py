"""`Cohort`: networks of one shape that are trained together; `CohortState`: how far each of them is.

The members of a cohort have one architecture, one kind of optimizer and one way through their samples. What they may
have for themselves is an array with an entry for each: k members, P parameters, m samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import inf
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastxor import schedules
from fastxor.architecture import Architecture
from fastxor.optimizers import Memory, Optimizer, SecondOrder, schedule_of
from fastxor.penalties import Penalties
from fastxor.state import Job, Orders, State, steps_per_epoch
from fastxor.views import Array

Integers = NDArray[np.int64]


class SampleRange(NamedTuple):
    """Which samples of X and Y are a member's own, one beside the other, and where their orders come from."""

    first: int
    samples: int
    orders: Orders


@dataclass(frozen=True, eq=False)
class Cohort:
    """What is trained. X, Y and the samples' weights have the dtype of the parameters, the numbers float64."""

    network: Architecture
    X: Array  # (n_x, m) for all members, or (k, n_x, m)
    Y: Array  # (n_y, m) or (k, n_y, m)
    optimizer: Optimizer  # the first member's, for what all have in common: its class, `_kind`, `_rows`, a schedule
    numbers: Array  # (k, n), each member's `optimizer._numbers`; in a schedule's column, 0
    penalties: Array  # (k, 3): l2, l1, clip_norm, which is infinite where there is none
    seeds: Integers  # (k,), of the orders of the samples
    iterations: Integers  # (k,), steps from the beginning to the end
    batch_size: int | None = None
    shuffled: bool = True
    drop_last: bool = False
    weights: Array | None = None  # (k, m); 0: as if the sample was not there; else of mean 1 over the others
    threads: int | None = None  # that share the members, which changes no bit; None leaves it to the backend
    own: Sequence[SampleRange] | None = (
        None  # (k,), for mini-batches of some of the samples that all share, without weights
    )
    scikit: bool = False  # see `Job`; for those that have samples of their own

    def __len__(self) -> int:
        return len(self.numbers)

    def data(self, i: int) -> tuple[Array, Array]:
        """All samples of a member, those of weight 0 too."""
        return self.X[i] if self.X.ndim == 3 else self.X, self.Y[i] if self.Y.ndim == 3 else self.Y

    def sample_counts(self) -> Integers:
        """How many samples each member has, without those of weight 0, (k,)."""
        if self.own is not None:
            return np.array([own.samples for own in self.own])
        if self.weights is None:
            return np.full(len(self), self.X.shape[-1])
        return np.count_nonzero(self.weights, axis=1)

    def steps_per_epoch(self) -> Integers:
        """(k,)"""
        sizes, inverse = np.unique(self.sample_counts(), return_inverse=True)
        steps = [steps_per_epoch(size, self.batch_size, self.drop_last) for size in sizes.tolist()]
        return np.array(steps, np.int64)[inverse]

    def rates(self, first: int, count: int) -> Array | None:
        """The learning rates of so many steps, if they are scheduled: for all members alike."""
        schedule = schedule_of(self.optimizer)
        return None if schedule is None else schedules.rates(schedule, first, count, self.X.dtype)

    def job(self, i: int, threads: int | None = 1) -> Job:
        """That of a member by itself; samples of weight 0 are left out."""
        X, Y = self.data(i)
        weights = orders = None
        if self.own is not None:
            first, samples, orders = self.own[i]
            X, Y = X[:, first : first + samples], Y[:, first : first + samples]
        if self.weights is not None:
            weights = self.weights[i]
            if not weights.all():
                mask = weights > 0
                X, Y, weights = self._some(X, mask), self._some(Y, mask), weights[mask]
            if (weights == weights[0]).all():
                weights = None
        l2, l1, clip_norm = self.penalties[i].tolist()
        return Job(
            self.network,
            X,
            Y,
            optimizer_of(self.optimizer, self.numbers[i]),
            int(self.iterations[i]),
            self.batch_size,
            int(self.seeds[i]),
            threads,
            self.shuffled,
            self.drop_last,
            Penalties(l2, l1, clip_norm),
            weights,
            orders,
            self.scikit,
        )

    def _some(self, array: Array, mask: Array) -> Array:
        """A copy of some samples; for mini-batches, each sample in one piece."""
        return np.ascontiguousarray(array.T[mask]).T if self.batch_size else array[:, mask]


def optimizer_of(like: Optimizer, numbers: Array) -> Optimizer:
    """An optimizer with these `_numbers`, (n,); with the schedule, and the flags, of another one."""
    if isinstance(like, SecondOrder):  # whose members are all alike
        return like
    values: dict[str, Any] = dict(zip(number_names(like), numbers.tolist(), strict=True))
    if schedule_of(like) is not None:
        values["learning_rate"] = like.learning_rate
    if hasattr(like, "nesterov"):
        values["nesterov"] = like.nesterov
    return type(like)(**values)


def number_names(optimizer: Optimizer) -> list[str]:
    """What its `_numbers` are called, in their order."""
    return [field.name for field in fields(optimizer) if field.name != "nesterov"]


@dataclass(frozen=True, eq=False)
class CohortState:
    """How far some members are, each by itself."""

    theta: Array  # (k, P)
    memory: Array  # (k, R, P), the rows that the optimizer remembers
    powers: Array  # (k, 2), float64
    completed: Integers  # (k,), steps

    def __len__(self) -> int:
        return len(self.theta)

    @classmethod
    def beginning(cls, theta: Array, optimizer: Optimizer) -> CohortState:
        """That of members that have not taken a step; it takes theta as it is."""
        k, P = theta.shape
        rows = np.zeros((k, optimizer._rows, P), theta.dtype)
        return cls(theta, rows, np.ones((k, 2)), np.zeros(k, np.int64))

    @classmethod
    def of(cls, states: Sequence[State]) -> CohortState:
        """Of members that have each a state of its own."""
        return cls(
            np.stack([state.theta for state in states]),
            np.stack([state.memory.rows for state in states]),
            np.stack([state.memory.powers for state in states]),
            np.array([state.completed for state in states], np.int64),
        )

    def state(self, i: int) -> State:
        """That of a member; a copy."""
        return State(self.theta[i].copy(), Memory(self.memory[i].copy(), self.powers[i].copy()), int(self.completed[i]))

    def take(self, which: Integers) -> CohortState:
        """Those of some members; a copy."""
        arrays = self.theta, self.memory, self.powers, self.completed
        return CohortState(*(array.take(which, axis=0) for array in arrays))

    def put(self, which: Integers, other: CohortState) -> None:
        """Let some members be as far as those of another state, which are as many, in that order."""
        self.theta[which], self.memory[which] = other.theta, other.memory
        self.powers[which], self.completed[which] = other.powers, other.completed

    def copy(self) -> CohortState:
        return CohortState(self.theta.copy(), self.memory.copy(), self.powers.copy(), self.completed.copy())


class CohortProgress(NamedTuple):
    """What became of n members, in the order in which they were asked for."""

    state: CohortState  # (n,) after their last good steps
    good: Integers  # (n,), how many steps were good
    costs: Array  # (n, records), float64: see `CohortSession.advance`
    finished: NDArray[np.bool_] | None = None  # (n,), whom no further step makes better; None: nobody


class CohortSession(Protocol):
    """A cohort in the hands of a backend. It keeps no member's state: who asks for steps has it, and gets another."""

    speed: float  # a single member's steps per second, of all threads together, a guess
    block: int  # how many members are worth taking at once

    def advance(
        self,
        state: CohortState,
        which: Integers,
        steps: Integers,
        first: Integers,
        interval: int,
        targets: Array | None = None,
    ) -> CohortProgress:
        """Take some members so many steps further.

        Parameters
        ----------
        state : CohortState
            That of the members in `which`, n of them, in that order; left unchanged.
        which : ndarray of int64, shape (n,)
            Their numbers in the cohort, in any order, each once.
        steps : ndarray of int64, shape (n,)
            How many to take, 0 or more; with mini-batches of unequal data, members have epochs of different lengths.
        first : ndarray of int64, shape (n,)
        interval : int
            Costs are recorded before a member's steps first, first + interval, …, counted from 0 in this call.
        targets : ndarray of float64, shape (n,), optional
            A member is finished at its first record that is not above this, before that step.

        Returns
        -------
        Advance
            Fewer than asked for are good where a cost or a parameter was no longer finite at a member's next step: it
            keeps the state before that step, and changes nothing for the others. Row i of ``costs`` has member i's
            records from its beginning on, that of the failing step too if it is finite, and then NaN; it is as long as
            the most that a member is asked for. A member has the same bits whoever its neighbours are.
        """

    def close(self) -> None:
        """No more steps are to come."""


NO_LIMIT = (0.0, 0.0, inf)  # a row of `Cohort.penalties` where there are none
