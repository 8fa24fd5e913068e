"""Optimizers: small dataclasses that say how a gradient changes the parameters.

Each has all that the rest of the package needs to know of it: how many vectors it remembers, its numbers, as the fused
core reads them, and its step in numpy. The fused core's step is in ``backends/fused/update.py``. The numbers are
checked here as float64, and by a run in the dtype of its data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastxor import validation
from fastxor.views import Array


class Memory(NamedTuple):
    """What an optimizer remembers from step to step: vectors of the parameters' length, and powers of its decays."""

    rows: Array  # (rows, parameters)
    powers: Array  # (2,), float64

    def copy(self) -> Memory:
        return Memory(self.rows.copy(), self.powers.copy())


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum if asked for.

    With velocity ``v <- momentum v + g`` from 0, the parameters move by ``-learning_rate v``, or, with
    `nesterov`, by ``-learning_rate (g + momentum v)``.

    Parameters
    ----------
    learning_rate : float
        Step size, finite and not negative.
    momentum : float, optional
        From 0 (default, plain gradient descent) to below 1.
    nesterov : bool, optional
        Look ahead; needs a momentum above 0.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range; the message names it. A run refuses what the dtype of its
        data does not hold: a number above 0 and below the smallest normal one, or one that is infinite, or 1, in it.

    References
    ----------
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning" (2013).

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.SGD(0.3)
    SGD(learning_rate=0.3, momentum=0.0, nesterov=False)
    """

    learning_rate: float = 0.3
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", validation.rate("learning_rate", self.learning_rate))
        object.__setattr__(self, "momentum", validation.rate("momentum", self.momentum, below=1.0))
        object.__setattr__(self, "nesterov", validation.flag("nesterov", self.nesterov))
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0, got momentum 0.0")

    @property
    def _kind(self) -> str:
        return "nesterov" if self.nesterov else "momentum" if self.momentum else "descent"

    @property
    def _rows(self) -> int:
        return int(self.momentum > 0)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return self.learning_rate, self.momentum

    def _step(self, theta: Array, gradient: Array, memory: Memory) -> tuple[Array, Memory]:
        """Parameters and memory after a step; nothing that is given changes."""
        real = theta.dtype.type
        if self.momentum:
            velocity = real(self.momentum) * memory.rows[0] + gradient
            _flush(velocity)
            memory = memory._replace(rows=velocity[None])
            gradient = gradient + real(self.momentum) * velocity if self.nesterov else velocity
        return theta - real(self.learning_rate) * gradient, memory


@dataclass(frozen=True)
class Adam:
    """Adam: steps scaled by running means of the gradient and of its square.

    ``m <- beta1 m + (1 - beta1) g`` and ``v <- beta2 v + (1 - beta2) g**2`` from 0, and at step t the
    parameters move by ``-learning_rate m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float, optional
        Step size, finite and not negative.
    beta1, beta2 : float, optional
        Decay of the two means, from 0 to below 1.
    epsilon : float, optional
        Above 0; keeps the division finite.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range; the message names it. A run refuses what the dtype of its
        data does not hold: a number above 0 and below the smallest normal one, or one that is infinite, or 1, in it.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization" (2015).

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.Adam(0.01)
    Adam(learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-08)
    """

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", validation.rate("learning_rate", self.learning_rate))
        object.__setattr__(self, "beta1", validation.rate("beta1", self.beta1, below=1.0))
        object.__setattr__(self, "beta2", validation.rate("beta2", self.beta2, below=1.0))
        object.__setattr__(self, "epsilon", validation.rate("epsilon", self.epsilon))
        if not self.epsilon:
            raise ValueError("epsilon must be above 0, got 0.0")

    _kind = "adam"
    _rows = 2

    @property
    def _numbers(self) -> tuple[float, ...]:
        return self.learning_rate, self.beta1, self.beta2, self.epsilon

    def _step(self, theta: Array, gradient: Array, memory: Memory) -> tuple[Array, Memory]:
        """Parameters and memory after a step; nothing that is given changes."""
        rows, powers = memory.rows.copy(), memory.powers * (self.beta1, self.beta2)
        m, v = rows
        m *= self.beta1
        m += (1 - self.beta1) * gradient
        _flush(m)
        v *= self.beta2
        v += (1 - self.beta2) * (gradient * gradient)
        first, second = (1 / (1 - powers)).tolist()
        root = np.sqrt(second * v) + self.epsilon
        return theta - self.learning_rate * first * m / root, Memory(rows, powers)


def _flush(moment: Array) -> None:
    """The first moment of a parameter whose gradient is 0 for good, a dead neuron's, dies away and has to arrive at 0:
    0.9 of the smallest number is rounded to itself, which slows every step, and a small `epsilon` makes it a large one.
    """
    moment[np.abs(moment) < _SMALLEST_NORMAL[moment.dtype]] = 0


_SMALLEST_NORMAL = {np.dtype(kind): np.finfo(kind).smallest_normal for kind in (np.float32, np.float64)}

Optimizer = SGD | Adam
