"""Times that a noisy machine can be trusted with: short samples, taken in turns, and the best of each kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

Sized = Callable[[int], object]  # does so many iterations


def seconds(run: Sized, iterations: int) -> float:
    """Of one iteration."""
    start = time.perf_counter()
    run(iterations)
    return (time.perf_counter() - start) / iterations


def length(run: Sized, sample: float) -> int:
    """How many iterations take about `sample` seconds, when everything is compiled and warm.

    Each count is timed twice: a call that compiles or loads something says nothing of those that follow.
    """
    run(1)
    count = 1
    while (taken := min(seconds(run, count) for _ in range(2)) * count) < sample / 4:
        count *= max(2, min(10, int(sample / 2 / taken)))
    return max(1, round(count * sample / taken))


def interleaved(runs: Mapping[str, Sized], rounds: int, sample: float) -> dict[str, np.ndarray]:
    """Seconds of one iteration, one for each round. Every round times all of them, in an order that turns."""
    lengths = {name: length(run, sample) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    names = list(runs)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(seconds(runs[name], lengths[name]))
    return {name: np.array(values) for name, values in times.items()}


def best(run: Sized, rounds: int = 7, sample: float = 0.01) -> float:
    """Seconds of one iteration in the best round: what disturbs a round only ever makes it longer."""
    return float(interleaved({"": run}, rounds, sample)[""].min())


def calls(call: Callable[[], object]) -> Sized:
    """A call without arguments as something that does so many of them."""

    def run(count: int) -> None:
        for _ in range(count):
            call()

    return run
