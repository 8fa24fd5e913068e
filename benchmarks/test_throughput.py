"""pytest-benchmark over the tables of cases, right before fast: `pytest benchmarks --benchmark-enable`."""

import pytest

from benchmarks import jobs, problems
from benchmarks.cases import CASES

BACKENDS = ("numpy", "numba")


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("implementation", jobs.IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whole_run(benchmark, case, implementation):
    benchmark.group = f"whole run, {case.name}, {case.iterations} iterations"
    benchmark(jobs.checked(jobs.whole_run, case, implementation))


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("implementation", jobs.IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES[:1], ids=lambda case: case.name)
def test_own_loop(benchmark, case, implementation):
    benchmark.group = f"own loop, {case.name}, {case.iterations} iterations"
    benchmark(jobs.checked(jobs.own_loop, case, implementation))


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", problems.TRAINED)
def test_engine(benchmark, name, backend):
    problem = problems.TRAINED[name]
    benchmark.group = f"engine, {name}, {problem.check} iterations"
    benchmark(problems.checked(problem, backend), problem.check)
