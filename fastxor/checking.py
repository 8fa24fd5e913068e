"""`check_gradient`: a network's gradient beside finite differences of its cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fastxor import validation
from fastxor.names import BackendName
from fastxor.network import Network
from fastxor.views import Array

# How far a gradient in this dtype may be from finite differences, which are taken in float64.
_TOLERANCES = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 1e-3}

# An error counts in relation to the entry, but to no less than this share of the largest entry, or of the cost: both
# are rounded, and so are their differences. What rounding alone may do to an output, times the largest number that it
# is multiplied by, is no error.
_SHARE, _ROUNDINGS = 1e-3, 4

# Steps: the first in relation to a parameter, or to 1 if it is smaller, but no longer than moves some layer's input by
# _FARTHEST; each of the others a quarter of the one before. Where none down to the share _LAST of the first is free of
# kinks, there is no derivative to be found; at a place where only a second derivative jumps, the last one serves.
_FIRST, _FARTHEST, _LAST, _QUARTER, _LEVELS = 1e-2, 0.05, 1e-4, 0.25, 7

# An extrapolation whose error seems to be this small, in relation to what an error counts in, will do.
_ENOUGH = 1e-9

# The activations whose derivative jumps at 0, and the one whose second derivative does. That of huber's loss does at 1.
_KINKED, _BENT = ("relu", "leaky_relu"), ("elu",)


@dataclass(frozen=True, repr=False)
class GradientCheck:
    """What `check_gradient` found; true if the gradient is right.

    Attributes
    ----------
    ok : bool
        Whether the worst error is within the tolerance, as ``bool(check)`` says too.
    error : float
        The worst relative error: the difference, less what is rounding, over the larger of both values, or over a
        thousandth of the gradient's largest entry or of the cost, where these are more.
    tolerance : float
        What it may be: 1e-5, or 1e-3 for a gradient in float32, unless another one was asked for.
    parameter, index : str and tuple
        Where that was: in ``parameters[parameter][index]``.
    analytic, numeric : float
        The gradient and the finite difference there.
    checked, at_kinks, count : int
        Parameters judged, those left out since they are at a kink, and how many the network has.

    Examples
    --------
    >>> import fastxor as fx
    >>> net = fx.Network([1, 1], output="identity")
    >>> check = fx.check_gradient(net, {"W1": [[2.0]], "b1": [[1.0]]}, [[0.0, 3.0]], [[1.0, 5.0]])
    >>> check.ok, check.checked, check.error < 1e-9
    (True, 2, True)
    """

    error: float
    tolerance: float
    parameter: str
    index: tuple[int, int]
    analytic: float
    numeric: float
    checked: int
    at_kinks: int
    count: int

    @property
    def ok(self) -> bool:
        return self.error <= self.tolerance  # not so for NaN

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        place = f"{self.parameter}[{self.index[0]}, {self.index[1]}]"
        kinks = f", {self.at_kinks} at a kink left out" if self.at_kinks else ""
        return (
            f"<GradientCheck {'ok' if self.ok else 'WRONG'}: worst relative error {self.error:.2g} in d{place}, "
            f"{self.analytic:.9g} analytic and {self.numeric:.9g} numeric, tolerance {self.tolerance:g}; "
            f"{self.checked} of {self.count} parameters checked{kinks}>"
        )


def check_gradient(
    network: Network,
    parameters: Mapping[str, ArrayLike],
    X: ArrayLike,
    Y: ArrayLike,
    *,
    entries: int | None = 1000,
    tolerance: float | None = None,
    backend: BackendName | None = None,
) -> GradientCheck:
    """Compare `Network.gradient` with central finite differences of the cost.

    The differences are those of the numpy core in float64, whatever core and dtype the gradient is computed with.
    They are taken at ever smaller steps and extrapolated to none (Ridders' method), so that neither steep nor flat
    places need a step that suits them.

    relu and leaky_relu have a kink at 0. Steps that would take an input of theirs across it, for any sample, are
    replaced by smaller ones. Where even the smallest does, as for a bias of 0 and a sample of zeros, the cost has no
    derivative with respect to that parameter, and `Network.gradient` returns one of many right answers (relu's
    derivative at 0 counts as 0, leaky_relu's as 0.01): such parameters are not judged, and `at_kinks` says how many.

    Parameters
    ----------
    network : Network
    parameters : dict
        ``W1, b1, W2, b2, …``
    X, Y : array_like
        Features and targets, as for `Network.gradient`. Every parameter takes some ten forward passes, so a few
        samples are best.
    entries : int, optional
        How many parameters to look at; in a larger network, so many are picked from all matrices, always the
        same. None: all of them.
    tolerance : float, optional
        The relative error that is still right. Default: 1e-5, or 1e-3 if the gradient is in float32.
    backend : str, optional
        "numpy" or "numba", whose gradient is checked; default: see `get_backend`.

    Returns
    -------
    GradientCheck
        True if the gradient is right; when printed, it says how large the worst error is, and where.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    OverflowError
        If finite arguments give a cost or gradient that is not finite; the message says in which layer.

    References
    ----------
    Ridders, "Accurate computation of F'(x) and F'(x) F''(x)" (1982).

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> net = fx.Network([2, 3, 1])
    >>> bool(fx.check_gradient(net, net.initialize(0), X, Y))
    True
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    entries = network.count if entries is None else validation.limit("entries", entries)
    if tolerance is not None:
        tolerance = validation.rate("tolerance", tolerance)
    cost, grads = network.gradient(parameters, X, Y, backend=backend)
    analytic = network.flatten(grads)
    tolerance = _TOLERANCES[analytic.dtype] if tolerance is None else tolerance
    differences = _Differences(network, network.flatten(parameters), X, Y)
    slopes = {place: differences.slope(place) for place in _places(network, entries)}
    rounding = _ROUNDINGS * float(np.finfo(analytic.dtype).eps) * differences.largest
    judge = _Judge(rounding, abs(cost), tolerance)
    return judge.verdict(network, analytic.astype(np.float64), slopes)


def _places(network: Network, entries: int) -> list[int]:
    """Places in the flat vector of so many parameters, about, some of each matrix."""
    if entries >= network.count:
        return [*range(network.count)]
    rng, places = np.random.RandomState(0), []
    for _name, place, _shape in network._slots:
        size = place.stop - place.start
        share = -(-size * entries // network.count)  # rounded up
        places += np.sort(rng.permutation(size)[:share] + place.start).tolist()
    return places


@dataclass(frozen=True)
class _Judge:
    """How large an error is, and which is the worst."""

    rounding: float
    cost: float
    tolerance: float

    def verdict(self, network: Network, analytic: Array, slopes: Mapping[int, float | None]) -> GradientCheck:
        """A slope of None is none to be judged; the last layer's biases always have one."""
        numeric = {place: slope for place, slope in slopes.items() if slope is not None}
        places, found = np.array([*numeric]), np.array([*numeric.values()])
        given = analytic[places]
        errors = self._errors(given, found)
        worst = int(errors.argmax())  # the first NaN, if there is one
        name, place, shape = next(slot for slot in network._slots if places[worst] < slot[1].stop)
        row, column = divmod(int(places[worst]) - place.start, shape[1])
        return GradientCheck(
            error=float(errors[worst]),
            tolerance=self.tolerance,
            parameter=name,
            index=(row, column),
            analytic=float(given[worst]),
            numeric=float(found[worst]),
            checked=len(numeric),
            at_kinks=len(slopes) - len(numeric),
            count=network.count,
        )

    def _errors(self, given: Array, found: Array) -> Array:
        beyond = np.maximum(abs(given - found) - self.rounding, 0)
        least = _SHARE * max(float(abs(found).max()), self.cost)
        larger = np.maximum(np.maximum(abs(given), abs(found)), least)
        with np.errstate(invalid="ignore"):  # an infinite entry's error is NaN
            return np.divide(beyond, larger, out=np.zeros_like(larger), where=beyond != 0)


class _Differences:
    """Central differences of a network's cost, around some parameters."""

    def __init__(self, network: Network, theta: Array, X: ArrayLike, Y: ArrayLike) -> None:
        self.network, self.theta = network, theta.astype(np.float64)
        self.X = validation.inputs(X, network.sizes[0]).astype(np.float64)
        self.Y = validation.answers(Y, network, self.X.shape[1]).astype(np.float64)
        self.here, self.level = self._inputs(self.theta), abs(self._cost(self.theta) or 0.0)
        outputs = max(1.0, *(float(abs(array).max()) for array in (self.Y, *self.here)))
        self.largest = outputs * max(1.0, float(abs(self.X).max()))

    def slope(self, place: int) -> float | None:
        """The derivative of the cost by one parameter; None at a kink."""
        step = _FIRST * max(1.0, abs(float(self.theta[place])))
        farthest = max(self._distance(theta) for theta in self._moved(place, step))
        step *= _FARTHEST / max(farthest, _FARTHEST)
        last = _LAST * step
        while step >= last and any(self._crosses(theta) for theta in self._moved(place, step)):
            step *= _QUARTER
        if step < last and any(self._crosses(theta, bends=False) for theta in self._moved(place, step)):
            return None
        return self._ridders(place, step)

    def _inputs(self, theta: Array) -> list[Array]:
        """What each layer's activation is applied to, each (n, m)."""
        from fastxor.backends import reference  # which most users never need

        return reference.layer_inputs(self.network, theta, self.X)

    def _distance(self, theta: Array) -> float:
        """How far these parameters move what is an input of some layer."""
        return max(float(abs(there - here).max()) for there, here in zip(self._inputs(theta), self.here, strict=True))

    def _crosses(self, theta: Array, bends: bool = True) -> bool:
        """Whether they take an input of an activation, or an error of an output, across a kink, or else a bend."""
        kinds, huber = _KINKED + _BENT * bends, bends and self.network.loss == "huber"
        if not (huber or any(layer.activation in kinds for layer in self.network.layers)):
            return False
        there = self._inputs(theta)
        for layer, z, z_here in zip(self.network.layers, there, self.here, strict=True):
            if layer.activation in kinds and not np.array_equal(z > 0, z_here > 0):
                return True
        return huber and not np.array_equal(self._far(there), self._far(self.here))

    def _far(self, inputs: list[Array]) -> Array:
        """Which outputs are farther than 1 from their targets."""
        from fastxor.backends import reference

        A = reference.ACTIVATIONS[self.network.output][0](inputs[-1])
        return abs(A - self.Y) > 1

    def _moved(self, place: int, step: float) -> list[Array]:
        """The parameters with this one larger, and smaller."""
        above, below = self.theta.copy(), self.theta.copy()
        above[place] += step
        below[place] -= step
        return [above, below]

    def _central(self, place: int, step: float) -> float:
        above, below = self._moved(place, step)
        rise = [np.nan if cost is None else cost for cost in map(self._cost, (above, below))]
        return float((rise[0] - rise[1]) / (above[place] - below[place]))

    def _cost(self, theta: Array) -> float | None:
        from fastxor.backends import reference

        return reference.loss(self.network, theta, self.X, self.Y)

    def _ridders(self, place: int, step: float) -> float:
        """Differences at ever smaller steps, extrapolated; of all extrapolations, the one nearest to those before."""
        best, error = np.nan, np.inf
        before: list[float] = []
        for _ in range(_LEVELS):
            now = [self._central(place, step)]
            step *= _QUARTER
            for power, previous in enumerate(before, 1):
                factor = _QUARTER ** (-2 * power)  # the error is a series in the square of the step
                now.append((factor * now[-1] - previous) / (factor - 1))
                distance = max(abs(now[-1] - now[-2]), abs(now[-1] - previous))
                if distance < error:
                    best, error = now[-1], distance
            enough = error <= _ENOUGH * max(abs(best), _SHARE * self.level)
            if enough or (before and abs(now[-1] - before[-1]) >= 2 * error):  # or rounding has taken over
                break
            before = now
        return best
