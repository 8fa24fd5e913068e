"""Searches over settings and folds beside scikit-learn's: `python -m benchmarks.searches [WORD …]`

All have as many jobs; 5 folds, which are not all of one size. scikit-learn's search is over its own MLP, whose fits go
into processes that stay from one search to the next. Best scores are compared first, then rounds are interleaved. A
figure is how many times as long scikit-learn takes, by the median of the rounds' own ratios, with the lowest and the
highest.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn import model_selection, neural_network
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

import fastxor as fx
import fastxor.sklearn as ours
from benchmarks.estimators import digits

FOLDS = 5


class Case(NamedTuple):
    """So many learning rates, tried on the folds of some data."""

    name: str
    data: Callable[[], tuple[Any, Any]]
    hidden: int
    batch: int
    epochs: int
    settings: int = 60
    dtype: str = "float32"


def _iris() -> tuple[Any, Any]:
    X, y = load_iris(return_X_y=True)
    return scale(X), y


def _signs() -> tuple[Any, Any]:
    X = np.random.RandomState(0).randn(200, 2)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


CASES = [
    Case("digits, 64-32-10, batches of 32", digits, 32, 32, 20),
    Case("iris, 4-8-3, batches of 32, float64", _iris, 8, 32, 1000, dtype="float64"),
    Case("signs, 2-4-1, batches of 8, float64", _signs, 4, 8, 200, dtype="float64"),
]


def searches(case: Case, jobs: int) -> dict[str, Callable[[], float]]:
    """Each returns its best score."""
    X, y = case.data()
    X = X.astype(case.dtype)
    grid = {"learning_rate_init": np.geomspace(1e-4, 1e-2, case.settings).tolist()}
    how = {
        "hidden_layer_sizes": (case.hidden,),
        "batch_size": case.batch,
        "max_iter": case.epochs,
        "tol": 0.0,
        "n_iter_no_change": case.epochs,
        "random_state": 0,
    }
    folds = {"cv": FOLDS, "n_jobs": jobs, "refit": False}
    several = y.max() > 1
    net = fx.Network(
        [X.shape[1], case.hidden, y.max() + 1 if several else 1], "relu", "softmax" if several else "sigmoid"
    )

    def searched(search: Any, model: Any) -> float:
        return float(search(model, grid, **folds).fit(X, y).best_score_)

    def swept() -> float:
        table = fx.sweep(
            net,
            X.T,
            y if several else y[None],
            {"learning_rate": grid["learning_rate_init"]},
            folds=FOLDS,
            optimizer=fx.Adam(),
            epochs=case.epochs,
            batch_size=case.batch,
            random_state=0,
            threads=jobs,
        )
        return float(table["score"].max())

    return {
        "theirs": partial(searched, model_selection.GridSearchCV, neural_network.MLPClassifier(**how)),
        "fastxor.sklearn.GridSearchCV": partial(searched, ours.GridSearchCV, ours.MLPClassifier(**how, threads=1)),
        "fastxor.sweep": swept,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searches", description="Beside scikit-learn's search.")
    parser.add_argument("names", nargs="*", metavar="WORD", help="only cases whose name has one of these in it")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="interleaved rounds (default: 5)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="of each search (default: 2)")
    parser.add_argument("--settings", type=int, metavar="N", help="fewer, for a look (default: 60)")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # a few epochs are no convergence
    os.environ["PYTHONWARNINGS"] = "ignore"  # nor in scikit-learn's processes
    for case in CASES:
        if not options.names or any(word in case.name for word in options.names):
            _compare(case._replace(settings=options.settings or case.settings), options.jobs, options.rounds)


def _compare(case: Case, jobs: int, rounds: int) -> None:
    runs = searches(case, jobs)
    scores = {name: run() for name, run in runs.items()}  # which warms up as well
    theirs, same, swept = scores.values()
    assert abs(same - theirs) < 0.02, scores
    assert swept > theirs - 0.2, scores  # which has other folds and starts
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            began = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - began)
    what = f"{case.name}, {case.settings} settings x {FOLDS} folds, {case.epochs} epochs, {jobs} jobs"
    for name in names[1:]:
        ratios = np.array(times["theirs"]) / np.array(times[name])
        low, middle, high = ratios.min(), np.median(ratios), ratios.max()
        print(f"{middle:6.1f} ({low:.1f}-{high:.1f}) {np.median(times[name]):8.3f} s  {name}, {what}", flush=True)


if __name__ == "__main__":
    main()
