"""How an estimator is fitted: epochs of mini-batches, as scikit-learn counts and ends them, and its L-BFGS.

Whole epochs are in the hands of a backend, and as many of them at a time as there is no decision to take between.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import replace
from math import inf, nan
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.optimize import _check_optimize_result

from fastxor import second_order
from fastxor.architecture import Architecture
from fastxor.backends import Backend, Session
from fastxor.optimizers import SGD, EpsilonHatAdam, Optimizer, SecondOrder, schedule_of
from fastxor.penalties import Penalties
from fastxor.state import InOrder, Job, Orders, State
from fastxor.time_slice import SLICE_SECONDS
from fastxor.views import Array

NO_LOSS = np.float64(nan)  # that of an epoch which came to one that is not finite

_SMALLEST_RATE = 1e-6  # of an adaptive learning rate, from which on it is not divided any more
_DIVISOR = 5.0
_TINY = 1e-290  # a rate that counts as 0, and by which a velocity can still be divided


class Data(NamedTuple):
    """What is trained on. X is (m, n_x), Y (m, n_y), both of one dtype; weights are (m,)."""

    X: Array
    Y: Array
    weights: Array | None


class Shuffles:
    """The orders of scikit-learn's epochs: each is a shuffle of the one before, by a generator that others use, too."""

    def __init__(self, core: Backend, rng: Any, samples: int, is_own: bool = False) -> None:
        self._core, self._rng, self._is_own = core, rng, is_own
        self._order, self._epoch = np.arange(samples), -1  # the last one, and its number

    @property
    def key(self) -> tuple[Any, ...] | None:
        """What all of its orders follow from, before the first; None if others draw from the generator, too."""
        if not self._is_own:
            return None
        _name, words, place, *_rest = self._rng.get_state()
        return words.tobytes(), place, self._order.size

    def orders(self, first: int, count: int) -> NDArray[np.int64]:
        """Those of so many epochs, of which the first is the last one asked for, or the next."""
        new = first + count - 1 - self._epoch
        orders = self._core.shuffled(self._rng, self._order, new)
        if new < count:  # the last one again
            orders = np.concatenate([self._order[None], orders])
        self._order, self._epoch = orders[-1].copy(), self._epoch + new
        return orders


class Solver:
    """An optimizer, and what it remembers from one fit to the next."""

    def __init__(self, optimizer: Optimizer, theta: Array) -> None:
        self.optimizer = optimizer
        self.memory = State.beginning(theta, optimizer).memory
        self.steps = 0  # that were taken

    def going_on(self) -> Optimizer:
        """The optimizer, for steps that count from 0: a schedule goes on from those that were taken."""
        schedule, steps = schedule_of(self.optimizer), self.steps
        if schedule is None or not steps:
            return self.optimizer
        return replace(self.optimizer, learning_rate=lambda step: schedule(steps + step))  # type: ignore[arg-type]

    @property
    def learning_rate(self) -> Any:
        """That of the next step."""
        return getattr(self.optimizer, "learning_rate", None)

    def change_rate(self, rate: float) -> None:
        """Another one from now on. A velocity is scikit-learn's over the rate, which stays as it is there."""
        rate = max(rate, _TINY)
        if rate == self.learning_rate:
            return
        self.memory = self.memory._replace(rows=self.memory.rows * (self.learning_rate / rate))
        self.optimizer = replace(self.optimizer, learning_rate=rate)  # type: ignore[arg-type]


def solver_of(estimator: Any, theta: Array) -> Solver:
    """That which an estimator's parameters describe."""
    if estimator.solver == "adam":
        betas = float(estimator.beta_1), float(estimator.beta_2)
        kind: Optimizer = EpsilonHatAdam(float(estimator.learning_rate_init), *betas, float(estimator.epsilon))
    elif estimator.solver == "sgd":
        momentum = min(float(estimator.momentum), np.nextafter(1.0, 0.0))  # scikit-learn lets it be 1
        nesterov = bool(estimator.nesterovs_momentum) and momentum > 0
        kind = SGD(float(estimator.learning_rate_init), momentum, nesterov)
    else:
        kind = estimator.solver
    return Solver(kind, theta)


# ---------------------------------------------------------------- epochs


class Epochs:
    """Epochs of an estimator's training, in the hands of a backend."""

    def __init__(self, core: Backend, job: Job, solver: Solver, theta: Array) -> None:
        self._core, self._solver, self._before = core, solver, solver.steps
        self._job = replace(job, optimizer=solver.going_on())
        memory = solver.memory._replace(rows=solver.memory.rows.astype(theta.dtype, copy=False))
        self._state = State(theta, memory)
        self._session: Session | None = None
        self._seconds = 0.0  # that an epoch took; 0: not known

    @property
    def theta(self) -> Array:
        """The parameters after the last epoch."""
        return self._state.theta

    def run(self, most: int) -> list[float]:
        """Some epochs, no more than that; their losses, of which the last is NaN if it came to one that is not finite.

        On Ctrl-C the losses of the epochs that are over are the exception's.
        """
        if self._session is None:
            self._session = second_order.open(self._core, self._job, self._state)
        began, steps = time.perf_counter(), self._job.steps_per_epoch
        seconds = self._seconds or steps / self._session.speed
        count = max(1, min(most, int(SLICE_SECONDS / seconds)))
        try:
            good, costs = self._session.advance(count * steps, 0, 1)
        except KeyboardInterrupt as error:
            error.losses = self._losses([*self._session.recorded.values()])  # type: ignore[attr-defined]
            raise
        self._seconds = max((time.perf_counter() - began) / count, 1e-9)
        finished = good < count * steps and self._session.finished
        losses = self._losses(costs)
        return losses if finished or good == count * steps else [*losses, NO_LOSS]

    def _losses(self, costs: list[float]) -> list[float]:
        """Take over where the session is; the losses of its epochs, from the costs of its steps."""
        assert self._session is not None
        self._state = self._session.state()
        self._solver.memory, self._solver.steps = self._state.memory, self._before + self._state.completed
        return epoch_losses(self._job, costs)

    @property
    def finished(self) -> bool:
        """Whether no further step makes the parameters better."""
        return self._session is not None and self._session.finished

    def change_rate(self, rate: float) -> None:
        """Another learning rate from the next epoch on."""
        self.close()
        self._solver.change_rate(rate)
        self._job = replace(self._job, optimizer=self._solver.optimizer)
        self._state = replace(self._state, memory=self._solver.memory)

    def close(self) -> None:
        """No more epochs are to come, or not in this way."""
        if self._session is not None:
            self._session.close()
        self._session = None


def epoch_losses(job: Job, costs: Any) -> list[float]:
    """Those of whole epochs, each the mean over the samples, from the costs of steps; numpy's numbers, as users of
    scikit-learn expect them to be.
    """
    steps, size = job.steps_per_epoch, job.batch_size or job.samples
    sizes = np.full(steps, float(size))
    sizes[-1] = job.samples - size * (steps - 1)
    whole = np.array(costs[: len(costs) // steps * steps]).reshape(-1, steps)
    return list(whole @ sizes / job.samples)


def job_of(core: Backend, estimator: Any, net: Architecture, data: Data, optimizer: Optimizer, most: int) -> Job:
    """An estimator's training, of so many epochs at most."""
    samples = len(data.X)
    if optimizer._full_batches:
        batch_size = None
    elif estimator.batch_size == "auto":
        batch_size = min(200, samples)
    else:
        if estimator.batch_size > samples:
            warnings.warn(  # in scikit-learn's words, which users may filter
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
            )
        batch_size = min(int(estimator.batch_size), samples)
    orders: Orders = InOrder(samples)
    if estimator.shuffle:
        is_own = isinstance(estimator.random_state, Integral)
        orders = Shuffles(core, estimator._random_state, samples, is_own)
    steps = 1 if batch_size is None else -(-samples // batch_size)
    alpha, weights = float(estimator.alpha), data.weights
    if isinstance(optimizer, SecondOrder):  # whose sessions know nothing of `Job.scikit`
        alpha, weights = alpha / _total(data), _of_mean_1(data)
    return Job(
        net,
        np.ascontiguousarray(data.X).T,
        data.Y.T,
        optimizer,
        most * steps,
        batch_size,
        threads=estimator.threads,
        penalties=Penalties(l2=alpha),
        weights=weights,
        orders=orders,
        scikit=True,
    )


def _total(data: Data) -> float:
    """What scikit-learn divides the loss of all samples, and their penalty, by."""
    return float(len(data.X) if data.weights is None else data.weights.sum())


def _of_mean_1(data: Data) -> Array | None:
    """The weights, so that samples divided by their number are what they are divided by their weights' sum."""
    weights = data.weights
    return None if weights is None else (weights * (len(weights) / _total(data))).astype(weights.dtype)


class StoppingRule:
    """When training has come to its end, by scikit-learn's rule. It keeps its record in the estimator's attributes."""

    def __init__(self, estimator: Any, score: Callable[[Array], float] | None) -> None:
        self._estimator, self._score = estimator, score

    def most(self) -> int:
        """So many epochs can be taken before anybody need ask."""
        if self._score is not None or self._estimator.learning_rate == "invscaling":
            return 1
        left = self._estimator.n_iter_no_change - self._estimator._no_improvement_count + 1
        return 2**31 if left == inf else max(1, int(left))

    def note(self, losses: list[float], running: Any) -> None:
        """Epochs are over: one at most, if there are scores."""
        if not losses:
            return
        model = self._estimator
        best, stale, tol = model.best_loss_, model._no_improvement_count, model.tol
        if self._score is None:
            for loss in losses:
                stale = stale + 1 if loss > best - tol else 0
                best = loss if loss < best else best
        if model.verbose:
            for number, loss in enumerate(losses, model.n_iter_ + 1):
                print(f"Iteration {number}, loss = {loss:.8f}")
        model.loss_curve_ += losses
        model.n_iter_ += len(losses)
        model.loss_, model.best_loss_, model._no_improvement_count = losses[-1], best, stale
        if self._score is not None:
            self._note_score(self._score(running.theta) if losses[-1] == losses[-1] else nan, running)

    def _note_score(self, score: float, running: Any) -> None:
        model = self._estimator
        model.validation_scores_.append(score)
        if model.verbose:
            print(f"Validation score: {score:f}")
        stale = score < model.best_validation_score_ + model.tol
        model._no_improvement_count = model._no_improvement_count + 1 if stale else 0
        if score > model.best_validation_score_:
            model.best_validation_score_ = score
            model._best_theta = running.theta.copy()

    def is_reached(self, running: Any) -> bool:
        """Whether training is to end here. An adaptive learning rate becomes smaller instead, at first."""
        model = self._estimator
        if model._no_improvement_count <= model.n_iter_no_change:
            return False
        what = "Training loss" if self._score is None else "Validation score"
        message = f"{what} did not improve more than tol={model.tol:f} for {model.n_iter_no_change} consecutive epochs."
        adaptive = model.solver == "sgd" and model.learning_rate == "adaptive"
        rate = model._optimizer.learning_rate
        if not adaptive or rate <= _SMALLEST_RATE:
            if model.verbose:
                print(f"{message}{' Learning rate too small.' * adaptive} Stopping.")
            return True
        running.change_rate(rate / _DIVISOR)
        if model.verbose:
            print(f"{message} Setting learning rate to {rate / _DIVISOR:f}")
        model._no_improvement_count = 0
        return False


# It asks for so many epochs at most, is sent the losses of those that were taken, and returns the parameters.
FitCoroutine = Generator[int, list[float], Array]


def run_alone(coroutine: FitCoroutine, running: Epochs, check: Callable[[], None]) -> Array:
    """The parameters at the end of a coroutine, whose epochs are taken in a session of its own. `check` is asked from
    time to time, and may raise an exception.
    """
    try:
        most = next(coroutine)
        while True:
            check()
            try:
                losses = running.run(most)
            except KeyboardInterrupt as error:
                most = coroutine.throw(error)
            else:
                most = coroutine.send(losses)
    except StopIteration as end:
        return end.value
    finally:
        running.close()


def fit_epochs(
    estimator: Any,
    running: Any,
    samples: int,
    stopping_rule: StoppingRule,
    incremental: bool,
    passed: Callable[[Array], bool] | None = None,
) -> FitCoroutine:
    """Train until the end has come, or, if `incremental`, for an epoch; the parameters then. `passed` is told of each
    epoch, with the parameters, and may end it, too.

    Whose epochs they are that are `running`, this does not know: it asks for them.
    """
    model, most = estimator, 1 if incremental else estimator.max_iter
    model.n_iter_ = 0
    diverged = False
    try:
        while model.n_iter_ < most:
            span = 1 if passed is not None else min(stopping_rule.most(), most - model.n_iter_)
            losses = yield span
            diverged = bool(losses) and losses[-1] != losses[-1]
            stopping_rule.note(losses, running)
            model.t_ += samples * len(losses)
            if model.solver == "sgd" and model.learning_rate == "invscaling":
                running.change_rate(float(model.learning_rate_init) / (model.t_ + 1) ** model.power_t)
            if diverged:
                break  # of which whoever looks at the parameters tells
            if stopping_rule.is_reached(running) or running.finished or (passed is not None and passed(running.theta)):
                break
            if model.n_iter_ == model.max_iter and not incremental:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({model.max_iter}) reached and the optimization hasn't "
                    "converged yet.",
                    ConvergenceWarning,
                    stacklevel=5,
                )
    except KeyboardInterrupt as error:
        losses = getattr(error, "losses", [])
        stopping_rule.note(losses, running)
        model.t_ += samples * len(losses)
        warnings.warn("Training interrupted by user.", stacklevel=5)
    running.close()
    return np.full_like(running.theta, nan) if diverged else running.theta


# ---------------------------------------------------------------- L-BFGS


def fit_lbfgs(
    estimator: Any,
    core: Backend,
    net: Architecture,
    theta: Array,
    data: Data,
    passed: Callable[[Array], bool] | None = None,
) -> Array:
    """SciPy's L-BFGS on the loss of all samples; the parameters found. `passed` is told of each iteration's."""
    from scipy.optimize import minimize

    model, mask = estimator, net._weight_mask(theta.dtype)
    X, Y, shares, alpha = data.X.T, data.Y.T, _of_mean_1(data), float(model.alpha) / _total(data)
    outputs = len(Y) if net.loss == "squared_error" else 1  # of which scikit-learn's loss is the mean

    def objective(at: Array) -> tuple[float, Array]:
        at = at.astype(theta.dtype, copy=False)
        found = core.gradient(net, at, X, Y) if shares is None else core.weighted(net, at, X, Y, shares)
        if found is None:
            return inf, np.zeros(at.size)
        cost, gradient = found
        weights = mask * at
        return cost / outputs + alpha / 2 * float(weights @ weights), (gradient + alpha * weights).astype(np.float64)

    def after_iteration(intermediate_result: Any) -> None:
        model.n_iter_ += 1
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {intermediate_result.fun:.8f}")
        if passed is not None and passed(intermediate_result.x.astype(theta.dtype)):
            raise StopIteration

    model.n_iter_ = 0
    options = {"maxfun": model.max_fun, "maxiter": model.max_iter, "gtol": model.tol}
    watched = after_iteration if model.verbose or passed is not None else None
    found = minimize(
        objective, theta.astype(np.float64), method="L-BFGS-B", jac=True, options=options, callback=watched
    )
    if found.status == 99:  # a callback has ended it
        model.n_iter_ = int(found.nit)
    else:
        model.n_iter_ = int(_check_optimize_result("lbfgs", found, model.max_iter))  # which warns in its own words
    model.loss_ = np.float64(found.fun)
    return found.x.astype(theta.dtype)
