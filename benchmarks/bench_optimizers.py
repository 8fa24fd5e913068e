"""asv: seconds until a smooth curve is fitted to a cost of 1e-8, by optimizer, and by SciPy's least squares.

A 1-10-1 network of tanh units fits 200 points of a curve, in float64 and on one thread, from several starts. For each
method and start it is first seen how many iterations the fit takes; a run of just so many is checked to be as good as
that, and timed. Adam has the best of some learning rates for each start, SciPy's least squares the best of its methods.
`python -m benchmarks.bench_optimizers` prints a table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import count

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


def trained(optimizer: fx.optimizers.Optimizer, most: int, seed: int) -> Run | None:
    """A run of fastxor's; None if so many iterations are not enough."""
    theta = NET._views(start(seed))

    def run(iterations: int, interval: int) -> fx.Result:
        arguments = {"optimizer": optimizer, "iterations": iterations, "interval": interval, "threads": 1}
        return fx.train(NET, X, Y, parameters=theta, **arguments)

    costs = run(most, 1).history
    needed = next((iteration for iteration, cost in costs.items() if cost <= WANTED), None)
    if needed is None:
        return None
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


def fitted(method: str, most: int, seed: int) -> Run | None:
    """A run of SciPy's least squares."""
    reached = []
    numbers = count(1)

    def watched(theta: np.ndarray) -> np.ndarray:
        number, r = next(numbers), residuals(theta)
        if r @ r / (2 * POINTS) <= WANTED:
            reached.append(number)
        return r

    settings = {"method": method, "x_scale": 1.0, "ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15}
    least_squares(watched, start(seed), jacobian, max_nfev=most, **settings)
    if not reached:
        return None
    settings |= {"max_nfev": reached[0]}
    return lambda: least_squares(residuals, start(seed), jacobian, **settings).cost / POINTS


METHODS: dict[str, list[Callable[[int], Run | None]]] = {
    "Levenberg-Marquardt": [functools.partial(trained, fx.LevenbergMarquardt(), 2_000)],
    "L-BFGS": [functools.partial(trained, fx.LBFGS(), 50_000)],
    "Adam": [functools.partial(trained, fx.Adam(rate), 300_000) for rate in (0.003, 0.01, 0.03)],
    "SciPy's least_squares": [functools.partial(fitted, method, 10_000) for method in ("lm", "trf", "dogbox")],
}


@functools.cache
def seconds(method: str, seed: int) -> float:
    """Of the quickest way in which the method gets there, NaN if none does."""
    times = []
    for way in METHODS[method]:
        run = way(seed)
        if run:
            cost = run()
            assert cost <= WANTED * (1 + 1e-6), f"{method}: {cost:g}"
            times.append(best(calls(run), rounds=5, sample=0.02))
    return min(times, default=np.nan)


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
        found = median(np.array([seconds(method, seed) for seed in range(SEEDS)]))
        return found if np.isfinite(found) else np.nan


if __name__ == "__main__":
    ours = np.array([seconds("Levenberg-Marquardt", seed) for seed in range(SEEDS)])
    for method in METHODS:
        times = np.array([seconds(method, seed) for seed in range(SEEDS)])
        ratios = ", ".join(f"{ratio:.1f}" for ratio in times / ours)
        print(f"{method}: {1e3 * median(times):.3g} ms, times Levenberg-Marquardt's for each start: {ratios}")
