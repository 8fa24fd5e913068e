"""Optimizers that are more than a step by the gradient: each is a session of its own, above every backend.

A run opens one of them instead of the backend's, and notices no difference: see `fastxor.backends.Session`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastxor.backends import Backend, Session
from fastxor.optimizers import LevenbergMarquardt, Memory
from fastxor.state import Job, State
from fastxor.views import Array

# Of a triangular system so many unknowns are solved for at once.
_BLOCK = 64


def open(core: Backend, job: Job, state: State) -> Session:
    """Go on with a run from this state: the backend's session, or that of the optimizer."""
    session = _SESSIONS.get(type(job.optimizer))
    return session(core, job, state) if session else core.open(job, state)


class LevenbergMarquardtSession:
    """Steps that solve (J J' / m + damping I) step = -J r / m, with the residuals r and their Jacobian J.

    Of the state's memory, `powers` hold the damping and its growth: by how much it is raised at the next failure. They
    begin with the first step, for the damping is in proportion to the matrix there.
    """

    def __init__(self, core: Backend, job: Job, state: State) -> None:
        self._job, self._state, self._core = job, state, core
        self._parts = core.residuals(job.network, job.X, job.Y)
        self._cost: float | None = None  # at the state's parameters
        self.finished = False
        operations = job.network.count**2 * (job.samples * job.network.sizes[-1] + job.network.count)
        self.speed = 1 / (5e-5 + operations / 2e10)

    def state(self) -> State:
        return self._state

    def advance(self, steps: int, first: int, interval: int) -> tuple[int, list[float]]:
        costs: list[float] = []
        with np.errstate(all="ignore"):
            for step in range(steps):
                cost = self._loss(self._state.theta) if self._cost is None else self._cost
                if not math.isfinite(cost):
                    return step, costs
                self._cost = cost
                if step >= first and (step - first) % interval == 0:
                    costs.append(cost)
                if not self._step(cost):
                    return step, costs
        return steps, costs

    def _step(self, cost: float) -> bool:
        """Take a step that lowers the cost; False if there is none, or the equations are not finite."""
        matrix = self._equations()
        if not np.isfinite(matrix).all():
            return False
        damping, growth = self._damping(matrix)
        while damping < math.inf:
            step = _solve(matrix, damping)
            if step is not None:
                theta = self._state.theta + step.astype(self._state.theta.dtype)
                if (theta == self._state.theta).all():
                    break
                lower = self._loss(theta)
                if lower < cost:
                    expected = step @ (damping * step - matrix[-1, :-1]) / 2
                    damping *= max(1 / 3, 1 - (2 * (cost - lower) / float(expected) - 1) ** 3)
                    memory = Memory(self._state.memory.rows, np.array([damping, 2.0]))
                    self._state, self._cost = State(theta, memory, self._state.completed + 1), lower
                    return True
            damping, growth = damping * growth, growth * 2
        self.finished = True
        return False

    def _damping(self, matrix: Array) -> tuple[float, float]:
        """It and its growth, after Nielsen, "Damping parameter in Marquardt's method" (1999)."""
        if self._state.completed:
            damping, growth = self._state.memory.powers.tolist()
            return damping, growth
        (damping,) = self._job.optimizer._numbers
        largest = float(matrix.diagonal()[:-1].max())
        return damping * (largest or 1.0), 2.0

    def _equations(self) -> Array:
        """J J' / m in float64, and in a last row and column J r / m."""
        matrix: Any = 0.0
        for rows in self._parts(self._state.theta):
            rows = rows.astype(np.float64, copy=False)
            matrix = matrix + rows @ rows.T
        return matrix / self._job.samples

    def _loss(self, theta: Array) -> float:
        cost = self._core.loss(self._job.network, theta, self._job.X, self._job.Y)
        return math.inf if cost is None or math.isnan(cost) else cost


def _solve(matrix: Array, damping: float) -> Array | None:
    """x with (M + damping I) x = -g, where g stands in the last row of the matrix beside M; None if it is singular.

    With that row the Cholesky factor L has one more as well: L' x = -it is what is left to solve.
    """
    matrix = matrix.copy()
    count = len(matrix) - 1
    matrix.flat[: -1 : count + 2] += damping
    matrix[-1, -1] = math.inf  # whatever makes it positive definite
    try:
        factor = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    x = -factor[-1, :-1]
    for stop in range(count, 0, -_BLOCK):
        block = slice(max(stop - _BLOCK, 0), stop)
        rest = x[block] - factor[stop:count, block].T @ x[stop:]
        x[block] = np.linalg.solve(factor[block, block].T, rest)
    return x


_SESSIONS: dict[type, Callable[[Backend, Job, State], Session]] = {LevenbergMarquardt: LevenbergMarquardtSession}
