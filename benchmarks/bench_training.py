"""asv: whole training runs, numpy against numba. A figure is the seconds of one run; the run's name ends in its length.

asv runs `setup` before every sample. Runs are kept, and start from the same weights each time: the first `setup`
compiles and compares the result with the reference's, later ones cost nothing, and no sample sees another's weights.
"""

from dataclasses import replace

from benchmarks.problems import BASES, TRAINED, TUTORIAL, checked, in_dtype, model, own_loop

BACKENDS = ["numpy", "numba"]
DTYPES = ["float64", "float32"]

# iterations of the runs: long enough for one call, short enough for numpy
LENGTHS = {
    "xor": 10_000,
    "xor-wide-8": 10_000,
    "xor-wide-32": 10_000,
    "expm": 20,
    "digits": 45,
    "mid": 50,
    "wide": 30,
}
TUTORIALS = {
    "xor-2-2-1-m4-float64": 10_000,
    "xor-2-2-1-m4-float32": 10_000,
    "3-5-2-m17-float64": 10_000,
    "7-13-3-m100-float64": 2_000,
    "64-100-10-m129-float64": 500,
    "64-100-10-m129-float32": 500,
}


def with_lengths(table, lengths):
    """Each problem and its length, by a name that says both."""
    return {f"{name} x{length}": (table[name], length) for name, length in lengths.items() if name in table}


class _Training:
    """What all have in common: one run is one sample, long enough to need no batching."""

    number = 1
    rounds = 2
    repeat = (5, 20, 5.0)  # at least, at most, seconds
    warmup_time = 0.1
    timeout = 120


class Tutorial(_Training):
    """One call of `model`: some of the grid that the tests hold both cores to."""

    cases = with_lengths(TUTORIAL, TUTORIALS)
    param_names = ["case", "backend"]
    params = (list(cases), BACKENDS)

    def setup(self, name, backend):
        problem, self.length = self.cases[name]
        self.run = checked(problem, backend, model)

    def time_run(self, name, backend):
        self.run(self.length)


class OwnLoop(_Training):
    """The tutorial's functions one by one, in the caller's own loop."""

    cases = with_lengths(TUTORIAL, {"xor-2-2-1-m4-float64": 1000})
    param_names = ["case", "backend"]
    params = (list(cases), BACKENDS)

    def setup(self, name, backend):
        problem, self.length = self.cases[name]
        self.run = checked(problem, backend, own_loop)

    def time_loop(self, name, backend):
        self.run(self.length)


class Engine(_Training):
    """One call of `train`: the cases of `fastxor bench`, in both precisions."""

    cases = with_lengths(TRAINED, LENGTHS)
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
        "-".join(map(str, sizes)): replace(BASES["batches"], sizes=sizes)
        for sizes in ((4, 8, 2), (16, 32, 16, 4), (64, 128, 10))
    }
    param_names = ["sizes", "batch", "dtype", "backend"]
    params = (list(problems), [8, 64, 2048], DTYPES, BACKENDS)

    def setup(self, sizes, batch, dtype, backend):
        self.problem = replace(in_dtype(self.problems[sizes], dtype), batch=batch, iterations=2048 // batch)
        self.run = checked(self.problem, backend)

    def time_epoch(self, sizes, batch, dtype, backend):
        self.run(self.problem.per_epoch)
