"""Optimizers: small dataclasses that say how a gradient changes the parameters.

Each has all that the rest of the package needs to know of it: how many vectors it remembers, its numbers, as the fused
core reads them, and its step in numpy. The fused core's step is in ``backends/fused/update.py``. The numbers are
checked here as float64, and by a run in the dtype of its data.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import inf, sqrt
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np

from fastxor import schedules, validation
from fastxor.architecture import Architecture
from fastxor.schedules import LearningRate
from fastxor.views import Array


class Memory(NamedTuple):
    """What an optimizer remembers from step to step: vectors of the parameters' length, and powers of its decays."""

    rows: Array  # (rows, parameters)
    powers: Array  # (2,), float64

    def copy(self) -> Memory:
        return Memory(self.rows.copy(), self.powers.copy())


class Each(tuple[float, ...]):
    """A number of an optimizer for each member of a population, as an optimizer keeps it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} values, {min(self):g} to {max(self):g}>"


def _number(name: str, value: Any, below: float = inf) -> Any:
    """What an optimizer is given: a number; or, for a population, an array of them."""
    if not validation.are_several(value):
        return validation.rate(name, value, below)
    return Each(validation.rates(name, value, "members", below).tolist())


def _keep(optimizer: Any, *names: str) -> None:
    """Check these numbers, and keep them as they are to be read."""
    for name in names:
        below = 1.0 if name in optimizer._below_1 else inf
        object.__setattr__(optimizer, name, _number(name, getattr(optimizer, name), below))


def _each(compare: np.ufunc, one: Any, other: Any) -> bool:
    """Whether it holds for all members, if there are any."""
    return bool(np.all(compare(one, other)))


class _ByGradient:
    """What the rest of the package asks a class of optimizers, beside what each says for itself.

    `_kind`, a name for its step in the fused core, and `_rows`, how many vectors it remembers, may depend on which of
    its numbers are 0, and on nothing else. Its fields are its `_numbers`, in their order, and then flags.
    """

    _below_1: ClassVar[tuple[str, ...]] = ()  # numbers that a sum or a product of many steps cannot do with at 1
    _full_batches: ClassVar[bool] = False  # whether each step wants all samples
    _not_negative: ClassVar[tuple[int, ...]] = ()  # rows of the memory: means of squares, and step sizes
    _spares_biases: ClassVar[bool] = False  # whether a step asks which parameters are weights
    _goes_by_state: ClassVar[bool] = True  # whether the steps from a state, taken again, are the same


@validation.hinted
@dataclass(frozen=True)
class SGD(_ByGradient):
    """Gradient descent, with momentum if asked for.

    With velocity ``v <- momentum v + g`` from 0, the parameters move by ``-learning_rate v``, or, with
    `nesterov`, by ``-learning_rate (g + momentum v)``.

    Parameters
    ----------
    learning_rate : float, array_like or callable
        Step size, finite and not negative; or one for each step; or a function of the number of steps that have been
        taken, such as those of `fastxor.schedules`. In `train_population`, an array is one for each member; so may all
        numbers of this and the other optimizers be.
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

    learning_rate: LearningRate = 0.3
    momentum: Any = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", schedules.learning_rate(self.learning_rate))
        _keep(self, "momentum")
        object.__setattr__(self, "nesterov", validation.flag("nesterov", self.nesterov))
        if self.nesterov and not _each(np.greater, self.momentum, 0):
            raise ValueError("nesterov needs a momentum above 0, got momentum 0.0")

    _below_1 = ("momentum",)

    @property
    def _kind(self) -> str:
        return "nesterov" if self.nesterov else "momentum" if self.momentum else "descent"

    @property
    def _rows(self) -> int:
        return int(self.momentum > 0)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return _rate(self), self.momentum

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        """Parameters and memory after a step; nothing that is given changes.

        `weights` is 1 for each, 0 for biases. With `fade`, moments that die away are set to 0: see `fades_every`.
        """
        real = theta.dtype.type
        if self.momentum:
            velocity = real(self.momentum) * memory.rows[0] + gradient
            if fade:
                _flush(velocity)
            memory = memory._replace(rows=velocity[None])
            gradient = gradient + real(self.momentum) * velocity if self.nesterov else velocity
        return theta - real(_rate(self)) * gradient, memory


@validation.hinted
@dataclass(frozen=True)
class Adam(_ByGradient):
    """Adam: steps scaled by running means of the gradient and of its square.

    ``m <- beta1 m + (1 - beta1) g`` and ``v <- beta2 v + (1 - beta2) g**2`` from 0, and at step t the
    parameters move by ``-learning_rate m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + epsilon)``.

    Parameters
    ----------
    learning_rate : float, array_like or callable, optional
        Step size, finite and not negative; or a schedule, as in `SGD`.
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

    learning_rate: LearningRate = 1e-3
    beta1: Any = 0.9
    beta2: Any = 0.999
    epsilon: Any = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", schedules.learning_rate(self.learning_rate))
        _keep(self, "beta1", "beta2", "epsilon")
        if not _each(np.greater, self.epsilon, 0):
            raise ValueError("epsilon must be above 0, got 0.0")

    _kind = "adam"
    _rows = 2
    _below_1 = ("beta1", "beta2")
    _not_negative = (1,)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return _rate(self), self.beta1, self.beta2, self.epsilon

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        """See `SGD._step`."""
        power1, power2 = memory.powers.tolist()
        powers = power1 * self.beta1, power2 * self.beta2
        rows = memory.rows.copy()
        m, v = rows[0], rows[1]
        step = (1 - self.beta1) * gradient  # an array for all that follows: the nearest cache is small
        m *= self.beta1
        m += step
        if fade:
            _flush(m)
        np.multiply(gradient, gradient, out=step)
        step *= 1 - self.beta2
        v *= self.beta2
        v += step
        corrected = sqrt(1 - powers[1])  # of the root, whose correction numerator and denominator share
        np.sqrt(v, out=step)
        step += self.epsilon * corrected
        np.divide(m, step, out=step)
        step *= _rate(self) * corrected / (1 - powers[0])
        return np.subtract(theta, step, out=step), Memory(rows, np.array(powers))


@validation.hinted
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: each step first shrinks weights by ``learning_rate * weight_decay``.

    Unlike a penalty in the loss, the decay does not pass through Adam's means, so it is the same for every weight.
    Biases do not decay: they set a level and no steepness, so that there is nothing to make smooth, and shrinking them
    costs accuracy; scikit-learn's penalties leave them alone as well. PyTorch decays all that it is given: to compare,
    give it the biases in a group of their own with a decay of 0.

    Parameters
    ----------
    learning_rate, beta1, beta2, epsilon : float, optional
        As in `Adam`.
    weight_decay : float, optional
        Finite and not negative; 0 is `Adam`.

    Raises
    ------
    TypeError, ValueError
        As `Adam` does.

    References
    ----------
    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.AdamW(0.01)
    AdamW(learning_rate=0.01, beta1=0.9, beta2=0.999, epsilon=1e-08, weight_decay=0.01)
    """

    weight_decay: Any = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        _keep(self, "weight_decay")

    _kind = "adamw"
    _spares_biases = True

    @property
    def _numbers(self) -> tuple[float, ...]:
        return *super()._numbers, self.weight_decay

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        """See `SGD._step`."""
        shrunk = theta - _rate(self) * self.weight_decay * weights * theta
        return super()._step(shrunk, gradient, memory, weights, fade)


@dataclass(frozen=True)
class EpsilonHatAdam(Adam):
    """Adam with epsilon beside the root of the mean itself, and both corrections in the learning rate.

    At step t the parameters move by
    ``-learning_rate sqrt(1 - beta2**t) / (1 - beta1**t) m / (sqrt(v) + epsilon)``: the faster order of section 2 of
    Kingma and Ba's paper, whose "epsilon hat" this is. scikit-learn has it so. Not public: fastxor.sklearn's.
    """

    _kind = "adam with epsilon hat"

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        """As that of `Adam`, whose epsilon counts as much less as the mean of the squares is corrected by."""
        corrected = float(np.sqrt(1 - memory.powers[1] * self.beta2))
        return Adam._step(replace(self, epsilon=self.epsilon / corrected), theta, gradient, memory, weights, fade)


@validation.hinted
@dataclass(frozen=True)
class RMSprop(_ByGradient):
    """RMSprop: gradients divided by the root of a running mean of their squares.

    ``v <- alpha v + (1 - alpha) g**2`` from 0, and the parameters move by ``-learning_rate g / (sqrt(v) + epsilon)``.
    With momentum, they move by ``-learning_rate u``, where ``u <- momentum u + g / (sqrt(v) + epsilon)`` from 0.

    Parameters
    ----------
    learning_rate : float, array_like or callable, optional
        Step size, finite and not negative; or a schedule, as in `SGD`. The first step is ``1 / sqrt(1 - alpha)``
        times as large, ten times by default, for the mean begins at 0.
    alpha : float, optional
        Decay of the mean, from 0 to below 1. The default is PyTorch's; Hinton's lecture has 0.9.
    epsilon : float, optional
        Above 0; keeps the division finite.
    momentum : float, optional
        From 0 (default, none) to below 1.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range; the message names it. A run refuses what the dtype of its
        data does not hold: a number above 0 and below the smallest normal one, or one that is infinite, or 1, in it.

    References
    ----------
    Tieleman and Hinton, "Lecture 6.5 - rmsprop: divide the gradient by a running average of its recent magnitude"
    (2012).

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.RMSprop(0.001)
    RMSprop(learning_rate=0.001, alpha=0.99, epsilon=1e-08, momentum=0.0)
    """

    learning_rate: LearningRate = 1e-2
    alpha: Any = 0.99
    epsilon: Any = 1e-8
    momentum: Any = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "learning_rate", schedules.learning_rate(self.learning_rate))
        _keep(self, "alpha", "epsilon", "momentum")
        if not _each(np.greater, self.epsilon, 0):
            raise ValueError("epsilon must be above 0, got 0.0")

    _below_1 = ("alpha", "momentum")
    _not_negative = (0,)

    @property
    def _kind(self) -> str:
        return "rmsprop with momentum" if self.momentum else "rmsprop"

    @property
    def _rows(self) -> int:
        return 1 + (self.momentum > 0)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return _rate(self), self.alpha, self.epsilon, self.momentum

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        """See `SGD._step`."""
        rows = memory.rows.copy()
        rows[0] *= self.alpha
        rows[0] += (1 - self.alpha) * (gradient * gradient)
        move = gradient / (np.sqrt(rows[0]) + self.epsilon)
        if self.momentum:
            rows[1] *= self.momentum
            rows[1] += move
            if fade:
                _flush(rows[1])
            move = rows[1]
        return theta - _rate(self) * move, memory._replace(rows=rows)


@validation.hinted
@dataclass(frozen=True)
class Rprop(_ByGradient):
    """Resilient backpropagation: each parameter has its own step size, and only the sign of its gradient counts.

    A step size grows by `eta_plus` where the gradient has the sign of the step before, and shrinks by `eta_minus` where
    it has the other one; there the parameter rests for a step, and then goes on with the smaller one. That is iRprop-,
    as in PyTorch.

    As the size of a gradient does not count, one that is 0 but for rounding, a saturated unit's, moves a parameter as
    far as any other: there the two backends, whose rounding differs, may go different ways.

    It is for all samples in every step. Those of a mini-batch have other signs than the next one's, which would be
    taken for a minimum that was passed; so `train` refuses it together with `batch_size`.

    Parameters
    ----------
    learning_rate : float, optional
        The step size to begin with, from `min_step` to `max_step`.
    eta_minus, eta_plus : float, optional
        By how much a step size shrinks, above 0 and below 1, and grows, above 1.
    min_step, max_step : float, optional
        Between which the step sizes stay; above 0.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range; the message names it. A run refuses what the dtype of its
        data does not hold: a number above 0 and below the smallest normal one, or one that is infinite, or 1, in it.

    References
    ----------
    Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm" (1993);
    Igel and Huesken, "Improving the Rprop learning algorithm" (2000).

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.Rprop()
    Rprop(learning_rate=0.01, eta_minus=0.5, eta_plus=1.2, min_step=1e-06, max_step=50.0)
    """

    learning_rate: Any = 1e-2
    eta_minus: Any = 0.5
    eta_plus: Any = 1.2
    min_step: Any = 1e-6
    max_step: Any = 50.0

    def __post_init__(self) -> None:
        _keep(self, "learning_rate", "eta_minus", "eta_plus", "min_step", "max_step")
        for name in ("eta_minus", "min_step"):
            if not _each(np.greater, getattr(self, name), 0):
                raise ValueError(f"{name} must be above 0, got 0.0")
        if not _each(np.greater, self.eta_plus, 1):
            raise ValueError(f"eta_plus must be above 1, got {self.eta_plus}")
        if not _each(np.less_equal, self.min_step, self.max_step):
            raise ValueError(f"max_step must be at least min_step, {self.min_step}, got {self.max_step}")
        within = _each(np.less_equal, self.min_step, self.learning_rate)
        if not (within and _each(np.less_equal, self.learning_rate, self.max_step)):
            raise ValueError(
                f"learning_rate must lie between min_step and max_step, {self.min_step} and {self.max_step}, "
                f"got {self.learning_rate}"
            )

    _kind = "rprop"
    _rows = 2
    _below_1 = ("eta_minus",)
    _full_batches = True
    _not_negative = (1,)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return self.learning_rate, self.eta_minus, self.eta_plus, self.min_step, self.max_step

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        """See `SGD._step`."""
        real = theta.dtype.type
        previous, sizes = memory.rows
        sizes = np.where(sizes > 0, sizes, real(self.learning_rate))  # 0 before the first step, and never again
        agreement = np.sign(gradient) * np.sign(previous)
        factor = np.where(agreement > 0, real(self.eta_plus), np.where(agreement < 0, real(self.eta_minus), real(1)))
        sizes = np.clip(factor * sizes, real(self.min_step), real(self.max_step))
        bad = gradient - gradient  # 0, or NaN: the sign of infinity would hide it
        gradient = np.where(agreement < 0, 0, gradient)
        return theta - sizes * (np.sign(gradient) + bad), memory._replace(rows=np.stack([gradient, sizes]))


class _NoStep(_ByGradient):
    """An optimizer that is more than a step by the gradient: second_order.py has its session."""

    def _step(self, theta: Array, gradient: Array, memory: Memory, weights: Array, fade: bool) -> tuple[Array, Memory]:
        raise TypeError(f"{self!r} is no step by the gradient: fastxor.second_order has its session")


@validation.hinted
@dataclass(frozen=True)
class LevenbergMarquardt(_NoStep):
    """Levenberg-Marquardt: least squares by the network's linear approximation, as far as that can be trusted.

    A step solves ``(J J' / m + damping I) step = -J r / m`` for the residuals r, outputs less targets, and their
    derivatives J by each parameter, and bends as the outputs' curvature along it says. The damping falls where the cost
    does as expected, and rises until it falls at all: from steps down the gradient to those of Gauss and Newton. So the
    cost never rises, and near a solution that fits well a few steps give all digits.

    It is for the loss "squared_error", all samples in every step, and up to 5,000 parameters: a step solves a system of
    equations as large as their number. That is done in float64, also for float32 data. A run ends before its
    iterations are over where no step lowers the cost any more.

    Parameters
    ----------
    damping : float, optional
        To begin with, relative to the largest number on the diagonal of ``J J' / m``; finite and above 0.

    Raises
    ------
    TypeError, ValueError
        If the damping is of the wrong kind or out of range. `train` refuses networks with another loss or too many
        parameters, and `batch_size`.

    References
    ----------
    Hagan and Menhaj, "Training feedforward networks with the Marquardt algorithm" (1994); Nielsen, "Damping parameter
    in Marquardt's method" (1999); Transtrum and Sethna, "Improvements to the Levenberg-Marquardt algorithm for
    nonlinear least-squares minimization" (2012).

    Examples
    --------
    >>> import fastxor as fx
    >>> X = [[-1.0, -0.5, 0.0, 0.5, 1.0]]
    >>> Y = [[1.0, 0.25, 0.0, 0.25, 1.0]]
    >>> net = fx.Network([1, 4, 1], output="identity")
    >>> run = fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(), iterations=100, random_state=0)
    >>> net.cost(run.parameters, X, Y) < 1e-12
    True
    """

    damping: float = 1e-3

    def __post_init__(self) -> None:
        object.__setattr__(self, "damping", validation.rate("damping", self.damping))
        if not self.damping:
            raise ValueError("damping must be above 0, got 0.0")

    _kind = "levenberg-marquardt"
    _rows = 0
    _full_batches = True
    _most_parameters = 5_000

    @property
    def _numbers(self) -> tuple[float, ...]:
        return (self.damping,)


@validation.hinted
@dataclass(frozen=True)
class LBFGS(_NoStep):
    """L-BFGS: steps of a quasi-Newton method whose curvature comes from the last few gradients.

    SciPy's ``minimize(method="L-BFGS-B")`` on this package's cost and gradient, for any loss and any number of
    parameters, with all samples in every step. Needs SciPy, the extra "scipy". An iteration is one of SciPy's; it
    may look at the gradient more than once until the cost has fallen far enough. So the cost never rises, and a run
    ends before its iterations are over where it does not fall any more.

    SciPy's linear algebra may start threads, which small networks have no use for and busy machines suffer from:
    ``OPENBLAS_NUM_THREADS=1`` in the environment keeps it to one.

    SciPy keeps its own state. A run that is interrupted keeps the parameters, but one that goes on from them begins
    anew to learn of the curvature.

    Parameters
    ----------
    memory : int, optional
        How many gradients are remembered, at least 1; from 3 to 20 is usual.
    tolerance : float, optional
        The run ends where no derivative of the cost is larger; finite and not negative.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong kind or out of range. `train` refuses `batch_size`.

    References
    ----------
    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization" (1989).

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> run = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.LBFGS(), iterations=50, random_state=0)
    >>> run.predict(X)
    array([[0, 1, 1, 0]])
    """

    memory: int = 10
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        object.__setattr__(self, "memory", validation.integer("memory", self.memory, 1, most=1000))
        object.__setattr__(self, "tolerance", validation.rate("tolerance", self.tolerance))

    _kind = "l-bfgs"
    _rows = 0
    _full_batches = True
    _goes_by_state = False

    @property
    def _numbers(self) -> tuple[float, ...]:
        return self.memory, self.tolerance


def _rate(optimizer: SGD | Adam | RMSprop) -> float:
    """The learning rate of an optimizer of one step, which is a number: see `with_rate`."""
    return cast(float, optimizer.learning_rate)


def fades_every(optimizer: Optimizer, dtype: np.dtype[Any]) -> int:
    """In every which step moments that die away are set to 0. Beside a tiny epsilon, what is left of them is a step as
    large as any; beside others it is only slow.
    """
    return 1 if getattr(optimizer, "epsilon", 1.0) < _SMALLEST_NORMAL[dtype] * 2.0**60 else 32


def _flush(moment: Array) -> None:
    """The first moment of a parameter whose gradient is 0 for good, a dead neuron's, dies away and has to arrive at 0:
    0.9 of the smallest number is rounded to itself, which slows every step.
    """
    moment[np.abs(moment) < _SMALLEST_NORMAL[moment.dtype]] = 0


_SMALLEST_NORMAL = {np.dtype(kind): float(np.finfo(kind).smallest_normal) for kind in (np.float32, np.float64)}

SecondOrder = LevenbergMarquardt | LBFGS
Optimizer = SGD | Adam | AdamW | RMSprop | Rprop | SecondOrder


def number_names(optimizer: Optimizer) -> list[str]:
    """What its `_numbers` are called, in their order."""
    return [field.name for field in fields(optimizer) if not isinstance(getattr(optimizer, field.name), bool)]


def with_numbers(like: Optimizer, numbers: Array) -> Optimizer:
    """An optimizer with these `_numbers`, (n,), and the flags and the schedule of another one."""
    if isinstance(like, SecondOrder):  # whose members are all alike
        return like
    values: dict[str, Any] = dict(zip(number_names(like), numbers.tolist(), strict=True))
    schedule = schedule_of(like)
    if schedule is not None and not isinstance(schedule, schedules.Listed):
        del values["learning_rate"]
    return replace(like, **values)


def kinds_of(like: Optimizer, table: Array) -> Array:
    """Numbers (K,) that are the same where optimizers with these `_numbers`, (K, n), are of one kind."""
    above = table > 0
    if (above == above[0]).all():
        return np.zeros(len(table), np.int64)
    _patterns, first, inverse = np.unique(above, axis=0, return_index=True, return_inverse=True)
    found = [(one._kind, one._rows) for one in (with_numbers(like, table[i]) for i in first)]
    return np.array([found.index(kind) for kind in found])[inverse.ravel()]


def with_rate(optimizer: Optimizer, rate: float) -> Any:
    """The optimizer of one step of a schedule."""
    return replace(optimizer, learning_rate=rate)  # type: ignore[arg-type]  # which some have not


def each_of(optimizer: Optimizer) -> dict[str, int]:
    """Which of its numbers are arrays, of how many numbers."""
    sizes = {name: len(value) for name, value in vars(optimizer).items() if isinstance(value, Each)}
    rates = getattr(optimizer, "learning_rate", None)
    return sizes | ({"learning_rate": len(rates.rates)} if isinstance(rates, schedules.Listed) else {})


def refuse_each(optimizer: Optimizer) -> None:
    """Refuse numbers for the members of a population where there is none."""
    for name, value in vars(optimizer).items():
        if isinstance(value, Each):
            raise ValueError(f"{name} must be one number, got {len(value)}; those are for fx.train_population")


def schedule_of(optimizer: Optimizer) -> schedules.Schedule | None:
    """Its learning rate, if that is no number."""
    rate = getattr(optimizer, "learning_rate", None)
    return rate if callable(rate) else None


def check_run(optimizer: Optimizer, network: Architecture, batch_size: int | None) -> None:
    """Refuse an optimizer for another kind of run, and one that lacks what it is built on."""
    check_fit(optimizer, network, batch_size)
    if isinstance(optimizer, LBFGS) and not _is_there("scipy.optimize"):
        raise ImportError("optimizer LBFGS needs SciPy, the optional extra 'scipy': pip install 'fastxor-nn[scipy]'")


def _is_there(module: str) -> bool:
    """Whether it can be imported, which takes long and is for later, where Ctrl-C leaves a result."""
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ImportError:
        return False


def check_fit(optimizer: Optimizer, network: Architecture, batch_size: int | None) -> None:
    """Refuse an optimizer for another kind of run."""
    name = type(optimizer).__name__
    if isinstance(optimizer, LevenbergMarquardt):
        if network.loss != "squared_error":
            raise ValueError(f"optimizer {name} needs a network with the loss 'squared_error', got {network.loss!r}")
        if network.count > optimizer._most_parameters:
            raise ValueError(
                f"optimizer {name} needs a network of at most {optimizer._most_parameters} parameters, for it solves "
                f"as many equations in every step, got {network.count}"
            )
    if optimizer._full_batches and batch_size is not None:
        raise ValueError(
            f"batch_size must be left out with {name}, which needs all samples in every step, got {batch_size}"
        )
