"""pytest-benchmark over the table of cases, right before fast: `pytest benchmarks --benchmark-enable`."""

import pytest

from benchmarks.cases import CASES
from benchmarks.jobs import IMPLEMENTATIONS, checked, own_loop, whole_run


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_whole_run(benchmark, case, implementation):
    benchmark.group = f"whole run, {case.name}, {case.iterations} iterations"
    benchmark(checked(whole_run, case, implementation))


@pytest.mark.benchmark(max_time=0.2)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("case", CASES[:1], ids=lambda case: case.name)
def test_own_loop(benchmark, case, implementation):
    benchmark.group = f"own loop, {case.name}, {case.iterations} iterations"
    benchmark(checked(own_loop, case, implementation))
