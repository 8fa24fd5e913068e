"""Training: `train`, the state of a run, and what is said when it goes wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastxor import validation
from fastxor.backends import resolve
from fastxor.names import BackendName
from fastxor.network import Network, RandomState
from fastxor.optimizers import SGD, Adam, Optimizer
from fastxor.views import Array

if TYPE_CHECKING:
    from fastxor.backends import Backend

# A run that ends this many times above the cost it began with has not learned but blown up.
_BLOWN_UP = 10.0

# The orders of so many samples are drawn at once, for data of few samples whose epochs are soon over.
_MOST_DRAWN = 20_000


class DivergenceWarning(RuntimeWarning):
    """Training blew up: the learning rate is too large for the data, or the data are too large."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; `parameters` and `iterations` hold what had been reached.

    A `KeyboardInterrupt`, so that a script which does not catch it ends as usual.
    """

    def __init__(self, parameters: dict[str, Array], iterations: int) -> None:
        super().__init__(f"training was interrupted after {iterations} iterations; they are kept in .parameters")
        self.parameters = parameters
        self.iterations = iterations


@dataclass(eq=False)
class Run:
    """The state of a run, kept up to date while it goes on: stopped anywhere, it holds all that is needed to go on."""

    network: Network
    theta: Array  # the last finite parameters, flat
    optimizer: Optimizer
    rng: Any = None  # draws the order of the samples of each epoch, for mini-batches
    completed: int = 0  # steps taken
    diverged: bool = False  # step number `completed` gave a cost or a parameter that is not finite
    costs: dict[int, float] = field(default_factory=dict)  # cost before the step, by iteration
    moments: Array = field(init=False)  # what the optimizer remembers: rows of the length of theta
    powers: Array = field(init=False)  # Adam's beta1**t and beta2**t
    order: NDArray[np.int64] = field(init=False)  # the samples of this epoch, and perhaps of further ones, in order
    position: int = 0  # how many of them have been used

    def __post_init__(self) -> None:
        rows = 2 if isinstance(self.optimizer, Adam) else 1 if self.optimizer.momentum else 0
        self.moments = np.zeros((rows, self.theta.size), self.theta.dtype)
        self.powers = np.ones(2)
        self.order = np.empty(0, np.int64)

    def draw(self, samples: int, epochs: int = 1) -> None:
        """Once all samples drawn have been used, draw their order in as many epochs more as are sure to be begun."""
        if self.position >= self.order.size:
            epochs = max(1, min(epochs, _MOST_DRAWN // samples))
            orders = [self.rng.permutation(samples) for _ in range(epochs)]
            self.order, self.position = orders[0] if epochs == 1 else np.concatenate(orders), 0

    def _left_in_epoch(self, samples: int) -> int:
        return (self.order.size - self.position - 1) % samples + 1

    def next_batch(self, samples: int, size: int) -> NDArray[np.int64]:
        """The samples of the next mini-batch; the last one of an epoch may be smaller. `position` stays before it."""
        self.draw(samples)
        return self.order[self.position : self.position + min(size, self._left_in_epoch(samples))]

    def steps_drawn(self, samples: int, size: int) -> int:
        """Steps of mini-batches of this size until a new order has to be drawn."""
        left = self._left_in_epoch(samples)
        epochs = (self.order.size - self.position - left) // samples
        return -(-left // size) + epochs * -(-samples // size)

    def position_after(self, steps: int, samples: int, size: int | None) -> int:
        """`position` when so many steps more have been taken, of those that are drawn."""
        if size is None:
            return 0
        used = samples - self._left_in_epoch(samples)
        epochs, steps = divmod(used // size + steps, -(-samples // size))
        return self.position - used + epochs * samples + steps * size

    def go(
        self,
        core: Backend,
        X: Array,
        Y: Array,
        iterations: int,
        batch_size: int | None,
        interval: int,
        report: Callable[[int, float], None] | None,
        stacklevel: int,
        threads: int | None = None,
    ) -> None:
        """Train up to step `iterations`; warn if that went wrong, and lose nothing on Ctrl-C."""
        interval = min(interval, max(iterations, 1))  # no more is needed, and a compiled loop counts to 2**63
        # A batch's cost says little about that of all samples: these are looked at once before, and once after.
        before = None if batch_size is None else core.loss(self.network, self.theta, X, Y)
        try:
            core.train(self, X, Y, iterations, batch_size, interval, report, threads)
        except KeyboardInterrupt:
            raise TrainingInterrupted(self.network._views(self.theta), self.completed) from None
        problem = self._divergence(core, X, Y, batch_size, before)
        if problem:
            warnings.warn(problem, DivergenceWarning, stacklevel=stacklevel + 1)

    def _divergence(self, core: Backend, X: Array, Y: Array, batch_size: int | None, first: float | None) -> str | None:
        if self.diverged:
            from fastxor.backends import reference

            layer = reference.first_overflow(self, X, Y, batch_size)
            return (
                f"training diverged: the cost or a parameter was no longer finite at iteration {self.completed}, "
                f"first in layer {layer}; the run was stopped there and the last finite parameters were kept. "
                "Try a smaller learning_rate."
            )
        last = core.loss(self.network, self.theta, X, Y)
        last = np.nan if last is None else last
        if first is None:
            first = next(iter(self.costs.values()), last)
        if last <= _BLOWN_UP * (first + np.finfo(self.theta.dtype).eps):  # a run may begin at a cost of 0
            return None
        return f"training diverged: the cost rose from {first:g} to {last:g}. Try a smaller learning_rate."


@dataclass(frozen=True, eq=False)
class Result:
    """What `train` returns.

    Attributes
    ----------
    network : Network
    parameters : dict
        Trained ``W1, b1, W2, b2, …``
    history : dict
        The cost before the step, by iteration, at every `interval`-th iteration from 0; with mini-batches, the
        cost of the batch.
    iterations : int
        Steps taken; fewer than asked for if the run diverged.

    Examples
    --------
    >>> import fastxor as fx
    >>> run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], iterations=250, random_state=0)
    >>> list(run.history), run.iterations
    ([0, 100, 200], 250)
    """

    network: Network
    parameters: dict[str, Array]
    history: dict[int, float]
    iterations: int

    def predict(self, X: ArrayLike, *, backend: BackendName | None = None) -> Array:
        """`Network.predict` with the trained parameters: labels, class numbers or values for X (n_x, m)."""
        return self.network.predict(self.parameters, X, backend=backend)


def train(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    parameters: Mapping[str, ArrayLike] | None = None,
    optimizer: Optimizer = SGD(0.3),  # noqa: B008 - immutable
    iterations: int = 1000,
    batch_size: int | None = None,
    random_state: RandomState = None,
    interval: int = 100,
    threads: int | None = None,
    backend: BackendName | None = None,
) -> Result:
    """Train a network on all samples at once, or on mini-batches.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    Y : array_like, shape (n_y, m)
        Targets: from 0 to 1 for the cross-entropies (with columns that sum to 1 for softmax), else finite.
    parameters : dict, optional
        Start from these instead of ``network.initialize(random_state)``; left unchanged.
    optimizer : SGD or Adam, optional
    iterations : int, optional
        Steps to take. With mini-batches, each batch is a step.
    batch_size : int, optional
        Samples in a mini-batch. Each epoch goes through all samples once, in a new order; its last batch may be
        smaller. Default: all samples in every step.
    random_state : None, int, RandomState or Generator, optional
        Where the first weights, and then the order of the samples, come from; None is numpy's global state.
    interval : int, optional
        The cost is recorded at every `interval`-th iteration, from 0.
    threads : int, optional
        Threads that share each step's samples; the result has the same bits for any number. Default: one where a
        step is little work, else as many as this process may use cores. The numpy backend has none of its own.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    Result
        With ``parameters``, ``history``, ``iterations`` and ``predict``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    TrainingInterrupted
        On Ctrl-C; a KeyboardInterrupt whose ``parameters`` hold what had been reached.

    Warns
    -----
    DivergenceWarning
        If the cost or a parameter ceases to be finite: the run stops and the last finite parameters are
        returned. Also if the cost ends ten times above where it began.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> run = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0)
    >>> run.predict(X)
    array([[0, 1, 1, 0]])
    """
    core = resolve(backend)
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    iterations = validation.integer("iterations", iterations, 0)
    interval = validation.limit("interval", interval)
    if batch_size is not None:
        batch_size = validation.limit("batch_size", batch_size)
    if threads is not None:
        threads = validation.limit("threads", threads)
    if not isinstance(optimizer, SGD | Adam):
        raise TypeError(f"optimizer must be SGD(…) or Adam(…), got {optimizer!r}")
    X = validation.inputs(X, network.sizes[0])
    Y = validation.targets(Y, network.sizes[-1], X.shape[1])
    validation.check_values(network.loss, X=X, Y=Y)
    rng = validation.random_state(random_state)
    theta = None if parameters is None else validation.parameters(parameters, network)
    validation.settings(optimizer, X.dtype if theta is None else np.result_type(theta, X))
    if theta is None:
        theta = validation.parameters(network.initialize(rng, dtype=X.dtype), network)
    validation.check_values(parameters=network._views(theta))
    theta, X, Y = validation.one_dtype(theta, X, Y)
    run = Run(network, theta.copy(), optimizer, rng)
    run.go(core, X, Y, iterations, batch_size, interval, None, stacklevel=2, threads=threads)
    return Result(network, network._views(run.theta), run.costs, run.completed)
