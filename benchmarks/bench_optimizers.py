"""asv: seconds until a smooth curve is fitted to a cost of 1e-8, by optimizer, and by SciPy's least squares.

A 1-10-1 network of tanh units fits 200 points of a curve, in float64 and on one thread, from several starts. For each
method and start it is first seen how many iterations the fit takes; a run of just so many is checked to be as good as
that, and timed. Adam has the best of some learning rates for each start, steady ones and ones that fall along a cosine,
SciPy's least squares the best of its methods. `python -m benchmarks.bench_optimizers` prints a table; where none gets
there, with the time that the longest of them took in vain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import count
from time import perf_counter

import numpy as np
from scipy.optimize import least_squares

import fastxor as fx
from benchmarks.timing import best, calls

POINTS, HIDDEN, WANTED, SEEDS = 200, 10, 1e-8, 5
X = np.linspace(-1, 1, POINTS)[None]
Y = np.sin(3 * X)
NET = fx.Network([1, HIDDEN, 1], "tanh", "identity")

fx.warmup()

Run = Callable[[], float]  # from a start to the cost wanted, and what it costs there


def start(seed: int) -> np.ndarray:
    return np.concatenate([array.ravel() for array in NET.initialize(seed).values()])


def trained(optimizer: fx.optimizers.Optimizer, most: int, seed: int) -> Run | float:
    """A run of fastxor's; or, if so many iterations are not enough, the seconds that they take."""
    theta = NET._views(start(seed))

    def run(iterations: int, interval: int) -> fx.Result:
        arguments = {"optimizer": optimizer, "iterations": iterations, "interval": interval, "threads": 1}
        return fx.train(NET, X, Y, parameters=theta, **arguments)

    costs = run(most, 1).history
    needed = next((iteration for iteration, cost in costs.items() if cost <= WANTED), None)
    if needed is None:
        began = perf_counter()
        run(most, most + 1)
        return perf_counter() - began
    return lambda: NET.cost(run(needed, needed + 1).parameters, X, Y)


def layer(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden units' values, (HIDDEN, POINTS), and the output weights."""
    W, b, V = theta[: 3 * HIDDEN].reshape(3, HIDDEN, 1)
    return np.tanh(W * X + b), V


def residuals(theta: np.ndarray) -> np.ndarray:
    A, V = layer(theta)
    return V[:, 0] @ A + theta[-1] - Y[0]


def jacobian(theta: np.ndarray) -> np.ndarray:
    A, V = layer(theta)
    rows = np.empty((theta.size, POINTS))
    slopes = np.multiply(V, 1 - A * A, out=rows[HIDDEN : 2 * HIDDEN])
    np.multiply(slopes, X, out=rows[:HIDDEN])
    rows[2 * HIDDEN : 3 * HIDDEN] = A
    rows[-1] = 1
    return rows.T


def fitted(method: str, most: int, seed: int) -> Run | float:
    """A run of SciPy's least squares, or likewise."""
    reached = []
    numbers = count(1)

    def watched(theta: np.ndarray) -> np.ndarray:
        number, r = next(numbers), residuals(theta)
        if r @ r / (2 * POINTS) <= WANTED:
            reached.append(number)
        return r

    settings = {"method": method, "x_scale": 1.0, "ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    began = perf_counter()
    least_squares(watched, start(seed), jacobian, max_nfev=most, **settings)
    if not reached:
        return perf_counter() - began
    settings |= {"max_nfev": reached[0]}
    return lambda: least_squares(residuals, start(seed), jacobian, **settings).cost / POINTS


STEPS = 100_000  # the most for Adam
ADAMS = [fx.Adam(rate) for rate in (0.003, 0.01, 0.03)]
ADAMS += [fx.Adam(fx.schedules.cosine(rate, STEPS)) for rate in (0.003, 0.01, 0.03, 0.1)]

METHODS: dict[str, list[Callable[[int], Run | float]]] = {
    "Levenberg-Marquardt": [functools.partial(trained, fx.LevenbergMarquardt(), 2_000)],
    "L-BFGS": [functools.partial(trained, fx.LBFGS(), 50_000)],
    "Adam": [functools.partial(trained, optimizer, STEPS) for optimizer in ADAMS],
    "SciPy's least_squares": [functools.partial(fitted, method, 10_000) for method in ("lm", "trf", "dogbox")],
}


@functools.cache
def timed(method: str, seed: int) -> tuple[float, float]:
    """Seconds of the quickest way in which the method gets there, NaN if none does; and the longest one in vain."""
    times, in_vain = [], [0.0]
    for way in METHODS[method]:
        run = way(seed)
        if isinstance(run, float):
            in_vain.append(run)
            continue
        cost = run()
        assert cost <= WANTED * (1 + 1e-6), f"{method}: {cost:g}"
        times.append(best(calls(run), rounds=5, sample=0.02))
    return min(times, default=np.nan), max(in_vain)


def median(times: np.ndarray) -> float:
    """A start from which a method does not get there counts as endless."""
    return float(np.median(np.nan_to_num(times, nan=np.inf)))


class ToACost:
    """A figure is the median over the starts, NaN where a method gets there from less than half of them."""

    param_names = ["method"]
    params = [name for name in METHODS if name != "Adam"]  # which takes a minute: it is in the table alone
    timeout = 600
    unit = "s"

    def track_seconds(self, method):
        found = median(np.array([timed(method, seed)[0] for seed in range(SEEDS)]))
        return found if np.isfinite(found) else np.nan


if __name__ == "__main__":
    ours = [timed("Levenberg-Marquardt", seed)[0] for seed in range(SEEDS)]
    for method in METHODS:
        found = [timed(method, seed) for seed in range(SEEDS)]
        ratios = [
            f"{taken / our:.1f}" if taken == taken else f"{in_vain / our:.0f} in vain"
            for (taken, in_vain), our in zip(found, ours, strict=True)
        ]
        middle = 1e3 * median(np.array([taken for taken, _in_vain in found]))
        print(f"{method}: {middle:.3g} ms, times Levenberg-Marquardt's for each start: {', '.join(ratios)}", flush=True)
