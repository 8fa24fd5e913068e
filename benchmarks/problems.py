"""The engine's problems, and the peers that solve them, as the benchmarks here use them.

The one place that knows where they live.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

from benchmarks.engine import Effort, measure
from benchmarks.peers import fastxor_peer, numpy_peer
from benchmarks.peers.floor import peaks
from benchmarks.peers.problem import PROBLEMS, Problem, Result
from benchmarks.peers.worker import Refused, Worker

__all__ = [
    "OURS",
    "PEERS",
    "PROBLEMS",
    "TRAINED",
    "Effort",
    "Problem",
    "Refused",
    "Worker",
    "checked",
    "in_dtype",
    "measure",
    "numpy_peer",
    "peaks",
    "ways",
]

Run = Callable[[int], Result]

OURS = "fastxor"
PEERS = ("c", "jax", "torch", "sklearn", "numpy")

# The whole runs, by name; those whose data come with a library that is not here are left out.
TRAINED = {
    name: problem
    for name, problem in PROBLEMS.items()
    if problem.kind == "train" and (name != "digits" or find_spec("sklearn"))
}

TOLERANCE = {"float64": 1e-8, "float32": 1e-2}  # of how far a parameter array has moved, as `Problem.tolerance`


def in_dtype(problem: Problem, dtype: str) -> Problem:
    return problem if dtype == problem.dtype else replace(problem, dtype=dtype, tolerance=TOLERANCE[dtype])


def ways(problem: Problem, threads: int = 1) -> dict[str, Run]:
    """fastxor's backends on a problem: each runs so many iterations from the start. Empty if it has no threads."""
    return {way: run for runs in fastxor_peer.contenders(problem, threads).values() for way, run in runs.items()}


@functools.cache
def checked(problem: Problem, backend: str, threads: int = 1) -> Run:
    """The backend's run, after one that compiles what has to be compiled and must end where plain numpy ends."""
    run = ways(problem, threads)[backend]
    difference = problem.difference(run(problem.check), numpy_peer.reference(problem))
    assert difference <= problem.tolerance, f"{problem.name}, {backend}: {difference:.1e} from numpy"
    return run
