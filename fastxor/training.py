"""Training: `train`, the loop of a run, and what is said when it goes wrong."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastxor import second_order, validation
from fastxor.backends import Backend, Session, resolve
from fastxor.names import BackendName
from fastxor.network import Network, RandomState
from fastxor.optimizers import SGD, Optimizer, check_optimizer
from fastxor.pace import Pace
from fastxor.state import Job, State
from fastxor.views import Array, Views

# A run that ends this many times above the cost it began with has not learned but blown up.
_BLOWN_UP = 10.0

# So many samples, about, are looked at before and after a run for that.
_LOOKED_AT = 256

Report = Callable[[int, float], None]  # of an iteration and the cost before it


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

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.parameters, self.iterations), vars(self)  # the notes go along


class Run:
    """A run from its state to its end: the one loop that there is, above every backend."""

    def __init__(self, job: Job, state: State) -> None:
        self.job, self.state = job, state
        self.session: Session | None = None  # within a span, it is further than `state`
        self.costs: dict[int, float] = {}  # before the step, by iteration
        self.diverged = False  # step number `state.completed` gave a cost or a parameter that is not finite

    def go(self, core: Backend, interval: int, report: Report | None, stacklevel: int) -> None:
        """Train to the end; warn if that went wrong."""
        interval = min(interval, max(self.job.iterations, 1))  # no more is needed, and a compiled loop counts to 2**63
        before = self._cost(core) if self.job.batch_size else None  # else the first step's cost tells
        self._loop(core, interval, report)
        problem = self._divergence(core, before)
        if problem:
            warnings.warn(problem, DivergenceWarning, stacklevel=stacklevel + 1)

    def interrupted(self) -> TrainingInterrupted:
        """What becomes of Ctrl-C at any moment from the first step to the hand-over of the result."""
        state = self.session.state() if self.session else self.state
        return TrainingInterrupted(self.job.network._views(state.theta), state.completed)

    def parameters(self) -> Views:
        return self.job.network._views(self.state.theta)

    def _loop(self, core: Backend, interval: int, report: Report | None) -> None:
        session = self.session = second_order.open(core, self.job, self.state)
        pace = Pace(session.speed)
        while not (self.diverged or session.finished) and self.state.completed < self.job.iterations:
            began, done = time.perf_counter(), self.state.completed
            steps = min(pace.steps, self.job.iterations - done)
            first = -done % interval
            good, costs = session.advance(steps, first, interval)
            recorded = dict(zip(range(done + first, done + steps, interval), costs, strict=False))
            self.costs |= recorded  # before the state: what is done again gives the same costs again
            self.state, self.diverged = session.state(), good < steps and not session.finished
            pace.took(steps, time.perf_counter() - began)
            if report:
                for iteration, cost in recorded.items():
                    report(iteration, cost)

    def _cost(self, core: Backend) -> float | None:
        """That of all samples; with mini-batches, of a few that are spread evenly over all: a run need not look at more
        than it trains on, and these tell whether it blew up.
        """
        every = 1 if self.job.batch_size is None else max(1, self.job.samples // _LOOKED_AT)
        X, Y = (np.ascontiguousarray(array[:, ::every]) if every > 1 else array for array in (self.job.X, self.job.Y))
        return core.loss(self.job.network, self.state.theta, X, Y)

    def _divergence(self, core: Backend, before: float | None) -> str | None:
        if self.diverged:
            from fastxor.backends import reference

            layer = reference.first_overflow(self.job, self.state)
            return (
                f"training diverged: the cost or a parameter was no longer finite at iteration {self.state.completed}, "
                f"first in layer {layer}; the run was stopped there and the last finite parameters were kept. "
                "Try a smaller learning_rate."
            )
        last = self._cost(core)
        last = np.nan if last is None else last
        first = next(iter(self.costs.values()), last) if before is None else before
        if last <= _BLOWN_UP * (first + np.finfo(self.state.theta.dtype).eps):  # a run may begin at a cost of 0
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
        Steps taken; fewer than asked for if the run diverged, or if `LBFGS` or `LevenbergMarquardt` found no
        better.

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
    optimizer : SGD, Adam, AdamW, RMSprop, Rprop, LBFGS or LevenbergMarquardt, optional
        The last three are for all samples at once, without `batch_size`.
    iterations : int, optional
        Steps to take. With mini-batches, each batch is a step.
    batch_size : int, optional
        Samples in a mini-batch. Each epoch goes through all samples once, in a new order; its last batch may be
        smaller. Default: all samples in every step. For more than one epoch, data whose samples lie across memory,
        as in an array ``(n_x, m)`` in C order, are copied once, so that each sample is in one piece; ``X.T`` of an
        array ``(m, n_x)`` is taken as it stands.
    random_state : None, int, RandomState or Generator, optional
        Where the first weights, and then the order of the samples, come from; None is numpy's global state.
    interval : int, optional
        The cost is recorded at every `interval`-th iteration, from 0.
    threads : int, optional
        Threads that share each step's samples; the result has the same bits for any number. Default: one where a
        step is little work, else as many as this process may use cores: those that it may run on, and no more than
        ``OMP_NUM_THREADS``, ``NUMBA_NUM_THREADS``, `numba.set_num_threads` or a container's CPU quota say. The
        numpy backend has none of its own.
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
    check_optimizer(optimizer, network, batch_size)
    X = validation.inputs(X, network.sizes[0])
    Y = validation.targets(Y, network.sizes[-1], X.shape[1])
    rng = validation.random_state(random_state)
    theta, X, Y = start(network, X, Y, parameters, optimizer, rng)
    seed = 0 if batch_size is None else validation.seed(rng)
    job = Job(network, X, Y, optimizer, iterations, batch_size, seed, threads)
    run = Run(job, State.beginning(theta, optimizer))
    try:
        run.go(core, interval, None, stacklevel=2)
        return Result(network, run.parameters(), run.costs, run.state.completed)
    except KeyboardInterrupt:
        raise run.interrupted() from None


def start(
    network: Network, X: Array, Y: Array, parameters: Mapping[str, ArrayLike] | None, optimizer: Optimizer, rng: Any
) -> list[Array]:
    """The parameters to start from, X and Y, in the dtype of the run; for what is refused, nothing is drawn."""
    validation.check_values(network.loss, X=X, Y=Y)
    theta = None if parameters is None else validation.parameters(parameters, network)
    if theta is not None and not np.isfinite(theta).all():
        validation.refuse_values(parameters=network._views(theta))
    dtype = X.dtype if theta is None else np.result_type(theta, X)
    validation.settings(optimizer, dtype)
    Y = validation.cast("Y", Y, dtype)
    if theta is None:
        theta = validation.parameters(network.initialize(rng, dtype=dtype), network)
    return validation.one_dtype(theta, X, Y)
