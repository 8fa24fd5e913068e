"""What it costs to look on: validation, a bar and callbacks, beside the same runs without them.

``python -m benchmarks.options`` prints the ratios of whole calls: digits for a thousand epochs, with 357 samples looked
at after each, with a bar by tqdm, with both and a callback; and XOR, with a callback that does nothing at every 100th
of a million steps. They take turns, and a ratio is the median of the rounds'; the parameters have to be the same.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

import fastxor as fx
from benchmarks.problems import PROBLEMS, Problem
from benchmarks.timing import Sized, interleaved

ROUNDS, SAMPLE = 15, 0.1  # a call is longer

Arguments = Mapping[str, Any]


def nothing(moment: fx.Moment) -> None:
    """A callback that looks at nothing."""


def runs(problem: Problem, plain: Arguments, options: Mapping[str, Arguments]) -> dict[str, Sized]:
    """Calls without and with each of the options, by name; all end with the same parameters."""
    network = fx.Network(problem.sizes, problem.hidden, problem.output)
    X, Y = problem.data

    def train(more: Arguments) -> np.ndarray:
        return network.flatten(fx.train(network, X, Y, parameters=problem.start, **plain, **more).parameters)

    def calls(more: Arguments, count: int) -> None:
        for _ in range(count):
            train(more)

    wanted = train({})
    for more in options.values():
        np.testing.assert_array_equal(train(more), wanted)
    return {name: functools.partial(calls, more) for name, more in {"": {}, **options}.items()}


def digits() -> dict[str, Sized]:
    """Epochs of mini-batches; all of these runs have a history."""
    problem = PROBLEMS["digits"]
    plain = {"optimizer": fx.Adam(problem.learning_rate), "epochs": 1000, "batch_size": problem.batch, "threads": 1}
    looked, bar = {"validation": problem.held}, {"progress": True}
    options = {
        "validation": looked,
        "a bar": bar,
        "both": looked | bar,
        "both, callback": looked | bar | {"callback": nothing},
    }
    return runs(problem, plain | {"random_state": 0}, options)


def xor() -> dict[str, Sized]:
    """Steps of a tiny network, recorded at every 100th."""
    problem = PROBLEMS["xor"]
    plain = {"optimizer": fx.SGD(problem.learning_rate), "iterations": 1_000_000, "threads": 1}
    return runs(problem, plain, {"a callback": {"callback": nothing}})


def main() -> None:
    with open(os.devnull, "w") as nowhere:
        for name, made in {"digits": digits, "xor": xor}.items():
            with contextlib.redirect_stderr(nowhere):
                times = interleaved(made(), ROUNDS, SAMPLE)
            print(f"{name}: {1e3 * np.median(times['']):.1f} ms a run", flush=True)
            for option in filter(None, times):
                ratios = times[option] / times[""]
                low, middle, high = np.percentile(ratios, [25, 50, 75])
                print(f"  with {option}: {middle:.3f} times as long ({low:.3f} - {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
