"""Optimizers that are more than a step by the gradient: each is a session of its own, above every backend.

A run opens one of them instead of the backend's, and notices no difference: see `fastxor.backends.Session`.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from fastxor.backends import Backend, NoSnapshots, Session
from fastxor.optimizers import LBFGS, LevenbergMarquardt, Memory
from fastxor.state import Job, State
from fastxor.time_slice import MAX_BLOCKING_SECONDS, POLL_SECONDS, run_interruptible
from fastxor.views import Array

# How far along a step, as a share of it, its curvature is looked for; and how much of a step may be due to that.
_NEAR = 0.1
_MOST_BENT = 0.75

# From 0, to which it may have fallen, damping could not be raised.
_LEAST_DAMPING = float(np.finfo(np.float64).smallest_normal)


def open(core: Backend, job: Job, state: State) -> Session:
    """Go on with a run from this state: the backend's session, or that of the optimizer."""
    session = _SESSIONS.get(type(job.optimizer))
    return session(core, job, state) if session else core.open(job, state)


class LevenbergMarquardtSession(NoSnapshots):
    """Steps that solve (J J' / m + damping I) step = -J r / m for the residuals r and their Jacobian J, and then bend.

    An l2 penalty is as good as further residuals, one for each weight: it adds to the matrix's diagonal.

    Of the state's memory, `powers` hold the damping and its growth: by how much it is raised at the next failure, which
    is 2 after each step. They begin with the first step, for the damping is in proportion to the matrix there.
    """

    def __init__(self, core: Backend, job: Job, state: State) -> None:
        self._job, self._state = job, state
        self._residuals, self._solve = core.residuals(job.network, job.X, job.Y, job.weights), core.solve
        self._here: tuple[float, Array] | None = None  # the cost and the residuals at the state's parameters
        self._jacobian: Array | None = None  # there, if the samples are a single part
        self._l2 = job.penalties.l2 * job.weight_mask.astype(np.float64) if job.penalties.l2 else None
        self.recorded: dict[int, float] = {}
        self.finished = False
        operations = job.network.count**2 * (job.samples * job.network.sizes[-1] + job.network.count)
        self.speed = 1 / (1e-4 + operations / 2e10)

    def state(self) -> State:
        return self._state

    def close(self) -> None:
        """Nothing is kept."""

    def advance(self, steps: int, first: int, interval: int) -> tuple[int, list[float]]:
        self.recorded = {}
        good = 0
        with np.errstate(all="ignore"):
            while good < steps:
                here = self._evaluated(self._state.theta) if self._here is None else self._here
                if not math.isfinite(here[0]):
                    break
                self._here = here
                if good >= first and (good - first) % interval == 0:
                    self.recorded[self._state.completed] = here[0]
                step = partial(self._step, *here)
                if not (run_interruptible(step) if self.speed * MAX_BLOCKING_SECONDS < 1 else step()):
                    break
                good += 1
        return good, [*self.recorded.values()]

    def _step(self, cost: float, residuals: Array) -> bool:
        """Take a step that lowers the cost; False if there is none, or the equations are not finite."""
        theta = self._state.theta
        matrix, gradient = self._equations(theta)
        if not math.isfinite(matrix.sum()):
            return False
        damping, growth = self._damping(matrix), 2.0
        while damping < math.inf:
            factor = _factor(matrix, damping)
            if factor is not None:
                straight = self._solve(factor, -gradient)
                after = self._moved(straight + self._bend(residuals, straight, factor))
                if (after == theta).all():
                    break
                there = self._evaluated(after)
                if there[0] < cost:
                    expected = float(straight @ (damping * straight - gradient)) / 2
                    damping *= max(1 / 3, 1 - (2 * (cost - there[0]) / expected - 1) ** 3)
                    memory = Memory(self._state.memory.rows, np.array([damping, 2.0]))
                    self._state, self._here = State(after, memory, self._state.completed + 1), there
                    return True
            damping, growth = damping * growth, growth * 2
        self.finished = True
        return False

    def _damping(self, matrix: Array) -> float:
        """As in Nielsen, "Damping parameter in Marquardt's method" (1999)."""
        if self._state.completed:
            damping = float(self._state.memory.powers[0])
        else:
            (damping,) = self._job.optimizer._numbers
            damping *= float(matrix.diagonal().max()) or 1.0
        return max(damping, _LEAST_DAMPING)

    def _equations(self, theta: Array) -> tuple[Array, Array]:
        """J J' / m and J r / m, in float64, with the penalty's part."""
        products: Any = 0.0
        count = 0
        for rows in self._residuals.parts(theta):
            rows = rows.astype(np.float64, copy=False)
            products = products + rows @ rows.T
            count += 1
        self._jacobian = rows[:-1] if count == 1 else None
        products /= self._job.samples
        matrix, gradient = products[:-1, :-1], products[-1, :-1]
        if self._l2 is not None:
            matrix.flat[:: len(gradient) + 1] += self._l2
            gradient = gradient + self._l2 * theta
        return matrix, gradient

    def _bend(self, residuals: Array, straight: Array, factor: Array) -> Array:
        """What the residuals' curvature along the straight step adds to it; nothing where it would be too much.

        The geodesic acceleration of Transtrum and Sethna, "Improvements to the Levenberg-Marquardt algorithm for
        nonlinear least-squares minimization" (2012). Narrow, winding valleys are gone through in a third of the steps.
        """
        back = self._residuals.values(self._moved(-_NEAR * straight))
        forth = self._residuals.values(self._moved(_NEAR * straight))
        curvature = (back + forth - 2 * residuals) / _NEAR**2
        bend = self._solve(factor, self._against(curvature)) / 2
        return bend if 16 * (bend @ bend) <= _MOST_BENT**2 * (straight @ straight) else np.zeros_like(straight)

    def _against(self, direction: Array) -> Array:
        """-J direction / m, at the state's parameters."""
        total: Any = 0.0
        start = 0
        parts = (rows[:-1] for rows in self._residuals.parts(self._state.theta))
        for J in parts if self._jacobian is None else [self._jacobian]:
            total = total - J @ direction[start : start + J.shape[1]]
            start += J.shape[1]
        result: Array = total / self._job.samples
        return result.astype(np.float64, copy=False)

    def _moved(self, step: Array) -> Array:
        theta = self._state.theta
        return theta + step.astype(theta.dtype, copy=False)

    def _evaluated(self, theta: Array) -> tuple[float, Array]:
        """The cost, or infinity, and the residuals."""
        residuals = self._residuals.values(theta)
        errors = residuals.astype(np.float64, copy=False)
        cost = float(errors @ errors) / (2 * self._job.samples) + self._job.penalty(theta)
        return (math.inf if math.isnan(cost) else cost), residuals


def _factor(matrix: Array, damping: float) -> Array | None:
    """The Cholesky factor of the matrix with the damping on its diagonal; None if that is not positive definite."""
    matrix = matrix.copy()
    matrix.flat[:: len(matrix) + 1] += damping
    try:
        return np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None


class LBFGSSession(NoSnapshots):
    """SciPy's L-BFGS-B, as many iterations at a time as are asked for."""

    def __init__(self, core: Backend, job: Job, state: State) -> None:
        self._loop = _Loop(core, job, state)
        self._wanted = 0, 0, 1  # the state's `completed` before the steps, and which costs are recorded
        weakref.finalize(self, self._loop.orders.put, 0)  # the thread knows the loop, and not this session
        self.speed = 1 / (1e-4 + 6 * job.network.count * job.samples / 5e9)

    @property
    def finished(self) -> bool:
        return self._loop.finished

    def state(self) -> State:
        return self._loop.state

    def close(self) -> None:
        """End SciPy's loop, if that has not ended."""
        self._loop.stop()

    def advance(self, steps: int, first: int, interval: int) -> tuple[int, list[float]]:
        self._wanted = self._loop.state.completed, first, interval
        good = len(self._loop.go(steps))
        return good, [*self.recorded.values()]

    @property
    def recorded(self) -> dict[int, float]:
        """See `fastxor.backends.Session`."""
        began, first, interval = self._wanted
        costs = self._loop.costs[: self._loop.state.completed - began]
        return dict(zip(range(began + first, began + len(costs), interval), costs[first::interval], strict=True))


class _Stop(BaseException):
    """Ends SciPy's loop from inside its callback or the function that it minimizes."""


class _Loop:
    """A loop of SciPy's, which calls and cannot be called: it goes on in a thread of its own, by `steps` at a time.

    So it keeps what it knows of the curvature while its caller does other things, and Ctrl-C gets through at once.
    """

    def __init__(self, core: Backend, job: Job, state: State) -> None:
        self.state, self.finished = state, False
        self._core, self._job = core, job
        self._cost: float | None = None  # at the state's parameters
        self.costs: list[float] = []  # before each of the steps that were asked for
        self._left = 0  # of them
        self._ended = False  # or is asked to end
        self.orders: SimpleQueue[int] = SimpleQueue()  # of so many steps; 0 is the end
        self._reports: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def go(self, steps: int) -> list[float]:
        """Take so many steps; the costs before each that was taken."""
        if self._ended:
            return []
        if not self._thread:
            self._thread = threading.Thread(target=self._run, name="fastxor-lbfgs", daemon=True)
            self._thread.start()
        self.orders.put(steps)
        try:
            error = self._report()
        except BaseException:
            self.stop()
            raise
        if error:
            raise error
        return self.costs

    def stop(self) -> None:
        self._ended = True
        self.orders.put(0)

    def _report(self) -> BaseException | None:
        while True:
            try:
                return self._reports.get(timeout=POLL_SECONDS)
            except Empty:
                pass

    # ------------------------------------------------------------ in the thread

    def _run(self) -> None:
        memory, tolerance = self._job.optimizer._numbers
        most = self._job.iterations - self.state.completed
        options = {"maxcor": int(memory), "gtol": tolerance, "ftol": 0.0, "maxiter": most, "maxfun": 2**31 - 1}
        error: BaseException | None = None
        try:
            from scipy.optimize import minimize

            self._obey()
            with np.errstate(all="ignore"):
                start = self.state.theta.astype(np.float64)
                minimize(self._value, start, jac=True, method="L-BFGS-B", callback=self._accepted, options=options)
            self.finished = True
        except _Stop:
            pass
        except BaseException as caught:
            error = caught
        self._ended = True
        self._reports.put(error)

    def _obey(self) -> None:
        self._left, self.costs = self.orders.get(), []
        if not self._left:
            raise _Stop

    def _value(self, x: Array) -> tuple[float, Array]:
        """The cost and its gradient. Where they are not finite, a higher cost and level ground: a step too far."""
        if self._ended:
            raise _Stop
        theta = x.astype(self.state.theta.dtype)
        job, data = self._job, (self._job.X, self._job.Y)
        if job.weights is None:
            result = self._core.gradient(job.network, theta, *data)
        else:
            result = self._core.weighted(job.network, theta, *data, job.weights)
        if result is not None and job.penalties.l2:
            result = result[0] + job.penalty(theta), job.penalties.applied(theta, result[1], job.weight_mask)
        if result is None or not (math.isfinite(result[0]) and np.isfinite(result[1]).all()):
            if self._cost is None:
                raise _Stop  # it cannot even begin
            return 2 * abs(self._cost) + 1, np.zeros_like(x)
        if self._cost is None:
            self._cost = result[0]
        return result[0], result[1].astype(np.float64)

    def _accepted(self, intermediate_result: Any) -> None:
        """SciPy calls this after each of its iterations."""
        assert self._cost is not None
        theta = intermediate_result.x.astype(self.state.theta.dtype)
        self.costs.append(self._cost)
        self._cost = float(intermediate_result.fun)
        self.state = State(theta, self.state.memory, self.state.completed + 1)
        self._left -= 1
        if not self._left:
            self._reports.put(None)
            self._obey()


_SESSIONS: dict[type, Callable[[Backend, Job, State], Session]] = {
    LevenbergMarquardt: LevenbergMarquardtSession,
    LBFGS: LBFGSSession,
}
