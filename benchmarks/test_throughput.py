"""pytest-benchmark over the table of jobs, right before fast: `pytest benchmarks --benchmark-enable`."""

import pytest

from benchmarks.problems import IMPLEMENTATIONS, TRAINED, TUTORIAL, checked, model, own_loop

BACKENDS = ("numpy", "numba")


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", TUTORIAL)
def test_whole_run(benchmark, name, implementation):
    problem = TUTORIAL[name]
    benchmark.group = f"whole run, {name}, {problem.iterations} iterations"
    benchmark(checked(problem, implementation, model), problem.iterations)


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", ["xor-2-2-1-m4-float64"])
def test_own_loop(benchmark, name, implementation):
    problem = TUTORIAL[name]
    benchmark.group = f"own loop, {name}, {problem.iterations} iterations"
    benchmark(checked(problem, implementation, own_loop), problem.iterations)


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TRAINED)
def test_engine(benchmark, name, backend):
    problem = TRAINED[name]
    benchmark.group = f"engine, {name}, {problem.iterations} iterations"
    benchmark(checked(problem, backend), problem.iterations)
