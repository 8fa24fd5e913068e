"""asv: how a step's time grows with hidden units, samples, layers and threads. A figure is the best step's seconds."""

from dataclasses import replace

from benchmarks.problems import BASES, cores, run_of
from benchmarks.timing import best

BACKENDS = ["numpy", "numba"]


class _Scaling:
    timeout = 120
    unit = "s"

    def step(self, backend, sizes=(16, 32, 4), samples=256, threads=1):
        return best(run_of(replace(BASES["scaling"], sizes=sizes, m=samples), backend, threads))


class Hidden(_Scaling):
    """16-n-4, 256 samples."""

    param_names = ["hidden units", "backend"]
    params = ([2, 4, 8, 16, 32, 64, 128, 256, 512], BACKENDS)

    def track_step(self, hidden, backend):
        return self.step(backend, sizes=(16, hidden, 4))


class Samples(_Scaling):
    """16-32-4."""

    param_names = ["samples", "backend"]
    params = ([1, 4, 16, 64, 256, 1024, 4096, 16384, 65536], BACKENDS)

    def track_step(self, samples, backend):
        return self.step(backend, samples=samples)


class Layers(_Scaling):
    """16, then n layers of 32, then 4; 256 samples."""

    param_names = ["hidden layers", "backend"]
    params = ([0, 1, 2, 4, 8, 16], BACKENDS)

    def track_step(self, layers, backend):
        return self.step(backend, sizes=(16, *[32] * layers, 4))


class Threads(_Scaling):
    """4-32-16-4, 10,000 samples; no more threads than there are cores."""

    param_names = ["threads", "samples"]
    params = ([1, 2, 4, 8], [1_000, 10_000, 100_000])

    def setup(self, threads, samples):
        """asv shows a combination as n/a when `setup` refuses it."""
        if threads > len(cores()):
            raise NotImplementedError("fewer cores")

    def track_step(self, threads, samples):
        return self.step("numba", sizes=(4, 32, 16, 4), samples=samples, threads=threads)
