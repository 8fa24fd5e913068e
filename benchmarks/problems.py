"""The table of jobs, and who does them, as the benchmarks here use them.

The one place here that knows where they live.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec

import fastxor
from fastxor.bench.floor import clock, peaks
from fastxor.bench.machine import Machine, cores
from fastxor.bench.measuring import OURS, Effort, Outcome, measure
from fastxor.bench.peers import PEERS, fastxor_peer, numpy_peer
from fastxor.bench.problems import (
    BASES,
    POPULATIONS,
    PROBLEMS,
    SHAPES,
    TUTORIAL,
    Problem,
    Result,
    Run,
    digits_split,
    in_dtype,
    labelled,
)
from fastxor.bench.report import digits, show_time
from fastxor.bench.worker import Missing, Worker

__all__ = [
    "BASES",
    "IMPLEMENTATIONS",
    "OURS",
    "PEERS",
    "POPULATIONS",
    "PROBLEMS",
    "SHAPES",
    "TRAINED",
    "TUTORIAL",
    "Effort",
    "Machine",
    "Missing",
    "Outcome",
    "Problem",
    "Result",
    "Run",
    "Worker",
    "checked",
    "clock",
    "cores",
    "digits",
    "digits_split",
    "in_dtype",
    "labelled",
    "measure",
    "model",
    "numpy_peer",
    "own_loop",
    "peaks",
    "population",
    "run_of",
    "show_time",
]

IMPLEMENTATIONS = ("tutorial", "numpy", "numba")  # the tutorial's own code, then fastxor's backends by name

# The whole runs, by name; the digits come with a library that may not be here.
TRAINED = {
    name: problem
    for name, problem in PROBLEMS.items()
    if problem.kind == "train" and (name != "digits" or find_spec("sklearn"))
}


def run_of(problem: Problem, backend: str, threads: int = 1) -> Run:
    """All iterations inside one call of `train`."""
    return functools.partial(fastxor_peer.train, problem, backend, threads)


def model(problem: Problem, implementation: str) -> Run:
    """All iterations inside one call of the tutorial's `model`."""
    if implementation == "tutorial":
        return functools.partial(numpy_peer.tutorial, problem)
    return lambda iterations: fastxor.model(
        *problem.data,
        *problem.sizes,
        iterations - 1,
        problem.learning_rate,
        print_cost=False,
        parameters=problem.start,
        backend=implementation,
    )


def own_loop(problem: Problem, implementation: str) -> Run:
    """The tutorial's functions one by one, in the caller's own loop."""
    if implementation == "tutorial":
        return functools.partial(numpy_peer.functions, problem)
    return functools.partial(fastxor_peer.functions, problem, implementation, 1)


@functools.cache
def population(threads: int) -> Callable[[Problem, str], Run]:
    """As `run_of`, for `train_population` on so many threads."""
    return lambda problem, backend: functools.partial(fastxor_peer.population, problem, backend, threads)


@functools.cache
def checked(problem: Problem, implementation: str, kind: Callable[[Problem, str], Run] = run_of) -> Run:
    """The run, after one that compiles what has to be compiled and must end where plain numpy ends."""
    run = kind(problem, implementation)
    difference = problem.difference(run(problem.iterations), numpy_peer.reference(problem))
    assert difference <= problem.tolerance, f"{problem.name}, {implementation}: {difference:.1e} from numpy"
    return run
