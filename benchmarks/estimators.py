"""fastxor's estimators beside scikit-learn's, in one run: `python -m benchmarks.estimators`

The same data, parameters and seeds; losses compared first, then interleaved rounds, BLAS on one thread. A figure is how
many times as long scikit-learn takes, by the median of the rounds' own ratios, with its quartiles.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn import neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from threadpoolctl import threadpool_limits

import fastxor.sklearn as ours
from benchmarks.timing import interleaved

EPOCHS = 100


class Case(NamedTuple):
    """Estimators to be fitted, or fitted ones that predict."""

    name: str
    data: Callable[[], tuple[Any, Any]]
    parameters: dict[str, Any]
    dtype: str = "float64"


def digits() -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def _breast_cancer() -> tuple[Any, Any]:
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def _table() -> tuple[Any, Any]:
    return make_classification(10_000, 50, n_informative=20, random_state=0)


CASES = [
    Case("digits, 32 units", digits, {"hidden_layer_sizes": (32,)}),
    Case("breast cancer, 100 units", _breast_cancer, {}),
    Case("10,000 x 50, 32-16 units", _table, {"hidden_layer_sizes": (32, 16)}),
    Case("digits, batches of 32, float32", digits, {"hidden_layer_sizes": (32,), "batch_size": 32}, "float32"),
]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.estimators", description="Beside scikit-learn's MLP.")
    parser.add_argument("names", nargs="*", metavar="WORD", help="only cases whose name has one of these in it")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="interleaved rounds (default: 9)")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # a few epochs are no convergence
    with threadpool_limits(1, "blas"):
        for case in CASES:
            if not options.names or any(word in case.name for word in options.names):
                _fits(case, options.rounds)
        if not options.names or "predict" in options.names:
            _predictions(options.rounds)


def _fits(case: Case, rounds: int) -> None:
    """Time fits, with one thread and with two."""
    X, y = case.data()
    X = X.astype(case.dtype)
    settings = case.parameters | {"max_iter": EPOCHS, "tol": 0.0, "n_iter_no_change": EPOCHS, "random_state": 0}
    models = {
        "theirs": theirs.MLPClassifier(**settings),
        "one thread": ours.MLPClassifier(**settings, threads=1),
        "two threads": ours.MLPClassifier(**settings, threads=2),
    }
    losses = [model.fit(X, y).loss_ for model in models.values()]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-8 if case.dtype == "float64" else 1e-2)
    times = interleaved({name: partial(_fit, model, X, y) for name, model in models.items()}, rounds, 0.02)
    for name in ("one thread", "two threads"):
        _print(times["theirs"] / times[name], times[name] / EPOCHS, f"an epoch of {case.name}, {name}")
    _print(times["one thread"] / times["two threads"], None, "one thread over two")


def _predictions(rounds: int) -> None:
    """Time predictions of one row."""
    X, y = digits()
    for number, settings in enumerate(({"hidden_layer_sizes": (32,)}, {})):
        models = [kind.MLPClassifier(max_iter=5, random_state=0, **settings).fit(X, y) for kind in (theirs, ours)]
        row = X[:1].copy()
        assert models[0].predict(row) == models[1].predict(row)
        times = interleaved({str(i): partial(_predict, model, row) for i, model in enumerate(models)}, rounds, 0.01)
        _print(times["0"] / times["1"], times["1"], f"predict of one row, {(32, 100)[number]} units")


def _fit(model: Any, X: Any, y: Any, times: int) -> None:
    for _ in range(times):
        model.fit(X, y)


def _predict(model: Any, row: Any, times: int) -> None:
    for _ in range(times):
        model.predict(row)


def _print(ratios: Any, seconds: Any, what: str) -> None:
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    took = "" if seconds is None else f"{np.median(seconds) * 1e6:8.1f} us"
    print(f"{middle:6.2f} ({low:.2f}-{high:.2f}) {took:>11}  {what}", flush=True)


if __name__ == "__main__":
    main()
