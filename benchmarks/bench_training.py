"""asv: whole training runs, numpy against numba. A figure is the seconds of one run; the run's name ends in its length.

asv runs `setup` before every sample. Runs are kept, and start from the same weights each time: the first `setup`
compiles and compares the result with the reference's, later ones cost nothing, and no sample sees another's weights.
"""

from dataclasses import replace

from benchmarks.cases import TIMED
from benchmarks.jobs import checked as checked_job
from benchmarks.jobs import own_loop, whole_run
from benchmarks.problems import TRAINED, Problem, checked, in_dtype

BACKENDS = ["numpy", "numba"]
DTYPES = ["float64", "float32"]

# iterations of the engine's runs: long enough for one call, short enough for numpy
LENGTHS = {
    "xor": 10_000,
    "xor-wide-8": 10_000,
    "xor-wide-32": 10_000,
    "expm": 20,
    "digits": 45,
    "mid": 50,
    "wide": 30,
}


class _Training:
    """What all have in common: one run is one sample, long enough to need no batching."""

    number = 1
    rounds = 2
    repeat = (5, 20, 5.0)  # at least, at most, seconds
    warmup_time = 0.1
    timeout = 120


class Tutorial(_Training):
    """One call of `model`: the table of cases that the tests share."""

    cases = {
        f"{case.name} x{case.iterations}": case
        for case in (replace(case, iterations=min(case.iterations, 10_000)) for case in TIMED)
    }
    param_names = ["case", "backend"]
    params = (list(cases), BACKENDS)

    def setup(self, name, backend):
        self.job = checked_job(whole_run, self.cases[name], backend)

    def time_run(self, name, backend):
        self.job()


class OwnLoop(_Training):
    """The tutorial's functions one by one, in the caller's own loop."""

    cases = {f"{case.name} x{case.iterations}": case for case in [replace(TIMED[0], iterations=1000)]}
    param_names = ["case", "backend"]
    params = (list(cases), BACKENDS)

    def setup(self, name, backend):
        self.job = checked_job(own_loop, self.cases[name], backend)

    def time_loop(self, name, backend):
        self.job()


class Engine(_Training):
    """One call of `train`: the engine's table of cases, in both precisions."""

    cases = {f"{name} x{LENGTHS[name]}": (problem, LENGTHS[name]) for name, problem in TRAINED.items()}
    param_names = ["case", "dtype", "backend"]
    params = (list(cases), DTYPES, BACKENDS)

    def setup(self, name, dtype, backend):
        problem, self.length = self.cases[name]
        self.run = checked(in_dtype(problem, dtype), backend)

    def time_run(self, name, dtype, backend):
        self.run(self.length)


class Batches(_Training):
    """One epoch of 2048 samples, by the size of the network and of its mini-batches."""

    problems = {
        "-".join(map(str, sizes)): Problem("batches", sizes, "tanh", "softmax", 2048, "float64", 1e-3, True, 2048)
        for sizes in ((4, 8, 2), (16, 32, 16, 4), (64, 128, 10))
    }
    param_names = ["sizes", "batch", "dtype", "backend"]
    params = (list(problems), [8, 64, 2048], DTYPES, BACKENDS)

    def setup(self, sizes, batch, dtype, backend):
        self.problem = replace(in_dtype(self.problems[sizes], dtype), batch=batch, check=2048 // batch)
        self.run = checked(self.problem, backend)

    def time_epoch(self, sizes, batch, dtype, backend):
        self.run(self.problem.per_epoch)
