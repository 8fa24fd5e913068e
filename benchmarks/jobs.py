"""A case made ready to be timed, for the tutorial's code and for each backend, its result checked before it is used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext

import fastxor
from benchmarks.cases import Array, Case
from fastxor.bench import tutorial_numpy

IMPLEMENTATIONS = ("tutorial", "numpy", "numba")  # the baseline, then fastxor's backends by name

Job = Callable[[], dict[str, Array]]


def whole_run(case: Case, implementation: str) -> Job:
    """All iterations inside one call of `model`."""
    X, Y = case.data()
    arguments = (X, Y, *case.sizes, case.iterations, case.learning_rate)
    extras = {"print_cost": False, "parameters": case.parameters()}
    if implementation == "tutorial":
        return functools.partial(tutorial_numpy.model, *arguments, **extras)
    return functools.partial(fastxor.model, *arguments, **extras, backend=implementation)


def own_loop(case: Case, implementation: str) -> Job:
    """The learner's own Python loop, calling the functions one by one."""
    functions, chosen = fastxor, functools.partial(fastxor.use_backend, implementation)
    if implementation == "tutorial":
        functions, chosen = tutorial_numpy, nullcontext
    X, Y = case.data()
    start = case.parameters()

    def run() -> dict[str, Array]:
        with chosen():
            return tutorial_numpy.own_loop(functions, X, Y, start, case.iterations + 1, case.learning_rate)

    return run


@functools.cache
def _expected(case: Case) -> dict[str, Array]:
    return whole_run(case, "tutorial")()


@functools.cache
def checked(kind: Callable[[Case, str], Job], case: Case, implementation: str) -> Job:
    """The job, after one call that compiles what has to be compiled and must end where the tutorial ends."""
    job = kind(case, implementation)
    case.assert_same(job(), _expected(case))
    return job
