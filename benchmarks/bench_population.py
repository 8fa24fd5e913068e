"""asv: populations, in steps of a network per second; by network, members, backend and threads."""

from benchmarks.problems import POPULATIONS, checked, cores, population
from benchmarks.timing import best

BACKENDS = ["numpy", "numba"]
SAMPLES = {"numpy": 0.5, "numba": 0.1}  # seconds of a run: numpy's takes many to come to a second step


def steps_per_second(name, backend, threads):
    """In the best run, after one whose result was compared with plain numpy's."""
    problem = POPULATIONS[name]
    return problem.members / best(checked(problem, backend, population(threads)), 3, SAMPLES[backend])


class Population:
    """One call of `train_population` for some thousands of steps."""

    unit = "network steps/s"
    timeout = 300
    param_names = ["case", "backend"]
    params = ([name for name, problem in POPULATIONS.items() if problem.members < 16_384], BACKENDS)

    def track_steps(self, name, backend):
        return steps_per_second(name, backend, 1)


class Threads:
    """The largest, by threads."""

    unit = "network steps/s"
    timeout = 300
    param_names = ["case", "threads"]
    params = (["population, 16,384", "population-float32, 16,384", "population-mid, 64"], [1, 2, 4])

    def setup(self, name, threads):
        """asv shows a combination as n/a when `setup` refuses it."""
        if threads > len(cores()):
            raise NotImplementedError("fewer cores")

    def track_steps(self, name, threads):
        return steps_per_second(name, "numba", threads)
