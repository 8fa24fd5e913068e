"""Networks of all shapes beside JAX in its strongest form, losses named: `python -m benchmarks.shapes`

One thread each, results compared first, interleaved rounds; how many times as long as fastxor JAX takes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks.problems import OURS, SHAPES, Effort, Missing, Outcome, Worker, cores, measure, show_time

# Samples are long enough for ten epochs of the largest: a run begins once.
EFFORT = Effort(trial=0.01, sample=0.3, point=0.3, rounds=5, points=0, sweepers=frozenset())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description="Shapes of all kinds beside JAX.")
    parser.add_argument("names", nargs="*", metavar="WORD", help="only shapes whose name has one of these in it")
    wanted = parser.parse_args(arguments).names
    workers = [Worker(name, 1, {cores()[-1]}) for name in (OURS, "jax")]
    try:
        workers[1]("version")
    except Missing as missing:
        sys.exit(f"JAX is not here: {missing}")
    ratios = {}
    for name, problem in SHAPES.items():
        if wanted and not any(word in name for word in wanted):
            continue
        outcome = Outcome(problem)
        measure(outcome, workers, EFFORT, EFFORT.sample, lambda step: None)
        theirs = [contender for contender in outcome.names if contender != OURS and not contender.startswith(OURS)]
        if not theirs:
            print(f"{name}: not compared, {outcome.left_out}", flush=True)
            continue
        best = min(theirs, key=outcome.median)
        ratios[name] = float(np.median(outcome.ratios(best)))
        print(f"{ratios[name]:6.2f}  {show_time(outcome.median(OURS)):>8}  {name} ({outcome.ways[best]})", flush=True)
    for worker in workers:
        worker.close()
    lost = [name for name, ratio in ratios.items() if ratio < 1]
    print(f"{len(ratios)} shapes; behind JAX on {len(lost)}" + (": " + "; ".join(lost) if lost else ""))


if __name__ == "__main__":
    main()
