"""What is trained, and how far it is: all that a backend needs to go on with a run from any of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastxor import choices, schedules
from fastxor.architecture import Architecture
from fastxor.optimizers import Memory, Optimizer, schedule_of
from fastxor.penalties import NONE, Penalties
from fastxor.views import Array


class Orders(Protocol):
    """Where the order of the samples in each epoch comes from."""

    def orders(self, first: int, count: int) -> NDArray[np.int64]:
        """Permutations of the samples, (count, samples), of so many epochs.

        Epochs are asked for in turn, the last one perhaps again.
        """


class Shuffle:
    """The order of the samples in each epoch. It follows from the seed and the epoch's number alone.

    A counter-based generator jumps to any place at once; see Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
    as easy as 1, 2, 3" (2011). Of few samples, it draws the orders of a block of epochs there: the jump takes longer
    than they do.
    """

    def __init__(self, seed: int, samples: int) -> None:
        self._shape = max(1, choices.SHUFFLED_SAMPLES_PER_BLOCK // samples), samples  # of a block: epochs, samples
        self._bits = np.random.Philox(key=seed)
        self._generator = np.random.Generator(self._bits)
        self._fresh = self._bits.state
        self._last = -1, np.empty((0, samples), np.int64)

    def orders(self, first: int, count: int) -> NDArray[np.int64]:
        """Permutations of the samples, (count, samples), of so many epochs."""
        epochs = self._shape[0]
        number, start = divmod(first, epochs)
        drawn = [self._drawn(number) for number in range(number, (first + count - 1) // epochs + 1)]
        return (drawn[0] if len(drawn) == 1 else np.concatenate(drawn))[start : start + count]

    def _drawn(self, number: int) -> NDArray[np.int64]:
        """Those of a block."""
        if self._last[0] != number:
            self._fresh["state"]["counter"][3] = number  # the other words count what is drawn in it
            self._bits.state = self._fresh
            epochs, samples = self._shape
            if epochs == 1:  # which is sooner done by itself
                orders = self._generator.permutation(samples)[None]
            else:
                orders = self._generator.permuted(np.tile(np.arange(samples), (epochs, 1)), axis=1)
            self._last = number, orders
        return self._last[1]


class InOrder:
    """The samples as they stand, in each epoch."""

    def __init__(self, samples: int) -> None:
        self._order = np.arange(samples)

    def orders(self, first: int, count: int) -> NDArray[np.int64]:
        """The same every time."""
        return np.tile(self._order, (count, 1))


def shuffled(rng: np.random.RandomState, order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Orders (count, m), each what `rng` shuffles the one before into; `order` (m,) stands before the first."""
    orders = np.empty((count, order.size), np.int64)
    for row in orders:
        row[:] = order
        rng.shuffle(row)
        order = row
    return orders


@dataclass(frozen=True, eq=False)
class Job:
    """What is trained. X is (n_x, m) and Y (n_y, m), of the parameters' dtype."""

    network: Architecture
    X: Array
    Y: Array
    optimizer: Optimizer
    iterations: int  # steps, from the beginning to the end
    batch_size: int | None = None  # None: all samples in every step, in their order
    seed: int = 0  # of the order of the samples, for mini-batches
    threads: int | None = None  # that share a step's work, which changes no bit; None leaves it to the backend
    shuffled: bool = True  # or each epoch goes through the samples as they stand
    drop_last: bool = False  # leave out an epoch's last batch where it is smaller
    penalties: Penalties = NONE
    weights: Array | None = None  # (m,), of each sample, with a mean of 1 and of the dtype of X; None: all alike
    orders: Orders | None = None  # of mini-batches, where they follow from something else than the seed
    # As scikit-learn's MLP: a batch divides its loss, and the penalties, by the sum of its samples' weights, whatever
    # their mean; costs are of probabilities clipped to those that differ from 0 and 1, and means over the outputs of
    # squared errors.
    scikit: bool = False

    @property
    def samples(self) -> int:
        return self.X.shape[1]

    @cached_property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(self.samples, self.batch_size, self.drop_last)

    @property
    def samples_per_epoch(self) -> int:
        """Fewer than there are, where a smaller batch is left out."""
        return self.steps_per_epoch * self.batch_size if self.drop_last and self.batch_size else self.samples

    def penalty(self, theta: Array) -> float:
        """What the cost is raised by at these parameters."""
        if self.penalties == NONE:
            return 0.0
        return self.penalties.value(theta, self.weight_mask)

    @cached_property
    def weight_mask(self) -> Array:
        """1 for each weight, 0 for each bias."""
        return self.network._weight_mask(self.X.dtype)

    @cached_property
    def shuffle(self) -> Orders:
        if self.orders is not None:
            return self.orders
        return Shuffle(self.seed, self.samples) if self.shuffled else InOrder(self.samples)

    def rates(self, first: int, count: int) -> Array | None:
        """The learning rates of so many steps, if they are scheduled."""
        schedule = schedule_of(self.optimizer)
        return None if schedule is None else schedules.rates(schedule, first, count, self.X.dtype)

    def batch(self, step: int) -> slice | NDArray[np.int64]:
        """The samples of a step; the last batch of an epoch may be smaller."""
        if self.batch_size is None:
            return slice(None)
        epoch, number = divmod(step, self.steps_per_epoch)
        start = number * self.batch_size
        return self.shuffle.orders(epoch, 1)[0, start : start + self.batch_size]


def steps_per_epoch(samples: int, batch_size: int | None, drop_last: bool) -> int:
    """How many steps an epoch has; none, if all samples are too few for a batch and are left out."""
    if batch_size is None:
        return 1
    return samples // batch_size if drop_last else -(-samples // batch_size)


@dataclass(frozen=True, eq=False)
class State:
    """How far a run is. It never changes: a step further there is another one, whole like this one."""

    theta: Array  # the parameters, flat
    memory: Memory  # the optimizer's
    completed: int = 0  # steps

    @classmethod
    def beginning(cls, theta: Array, optimizer: Optimizer) -> State:
        """That of a run that has not taken a step."""
        zeros = np.ndarray((optimizer._rows, theta.size), theta.dtype, _ZERO, strides=(0, 0))  # which take no memory
        return cls(theta.copy(), Memory(zeros, _ONES.copy()))


_ZERO = bytes(8)
_ONES = np.ones(2)
