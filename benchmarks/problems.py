"""The problems of `fastxor bench`, and who solves them, as the benchmarks here use them.

The one place here that knows where they live.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from fastxor.bench.floor import clock, peaks
from fastxor.bench.machine import Machine, cores
from fastxor.bench.measuring import OURS, Effort, Outcome, measure
from fastxor.bench.peers import PEERS, numpy_peer
from fastxor.bench.peers.fastxor_peer import network, train
from fastxor.bench.problems import PROBLEMS, Problem, Result, digits_split
from fastxor.bench.report import digits, show_time
from fastxor.bench.worker import Missing, Worker

__all__ = [
    "OURS",
    "PEERS",
    "PROBLEMS",
    "TRAINED",
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
    "measure",
    "network",
    "numpy_peer",
    "peaks",
    "run_of",
    "show_time",
]

Run = Callable[[int], Result]  # so many iterations from the start, and what they end with

# The whole runs, by name; those whose data come with a library that is not here are left out.
TRAINED = {
    name: problem
    for name, problem in PROBLEMS.items()
    if problem.kind == "train" and (name != "digits" or find_spec("sklearn"))
}

TOLERANCE = {"float64": 1e-8, "float32": 1e-2}  # of how far a parameter array has moved, as `Problem.tolerance`


def in_dtype(problem: Problem, dtype: str) -> Problem:
    return problem if dtype == problem.dtype else replace(problem, dtype=dtype, tolerance=TOLERANCE[dtype])


def run_of(problem: Problem, backend: str, threads: int = 1) -> Run:
    return functools.partial(train, problem, network(problem), backend, threads)


@functools.cache
def checked(problem: Problem, backend: str) -> Run:
    """The backend's run, after one that compiles what has to be compiled and must end where plain numpy ends."""
    run = run_of(problem, backend)
    difference = problem.difference(run(problem.check), numpy_peer.reference(problem))
    assert difference <= problem.tolerance, f"{problem.name}, {backend}: {difference:.1e} from numpy"
    return run
