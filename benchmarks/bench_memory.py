"""asv: memory. A run needs its parameters and one tile, whatever the number of samples."""

import functools
import tracemalloc

import fastxor as fx
from benchmarks.problems import Problem

BACKENDS = ["numpy", "numba"]
SAMPLES = [1_000, 100_000, 1_000_000]


@functools.cache
def prepared(samples):
    problem = Problem("memory", (4, 32, 16, 4), "tanh", "identity", samples, "float32", 1e-3, adam=True)
    net = fx.Network(problem.sizes, "tanh", "identity")
    return net, *problem.data, net.initialize(0, dtype="float32")


def train(samples, backend):
    net, X, Y, parameters = prepared(samples)
    fx.train(net, X, Y, parameters=parameters, optimizer=fx.Adam(), iterations=2, backend=backend)


class Run:
    """A run of 4-32-16-4 with Adam, float32, on all samples at once."""

    param_names = ["samples", "backend"]
    params = (SAMPLES, BACKENDS)
    timeout = 120

    def peakmem_process(self, samples, backend):
        """The whole process, with Python, its libraries and the data themselves (32 bytes for each sample)."""
        train(samples, backend)

    def track_run(self, samples, backend):
        """The most that a run holds at any moment beyond what was there before it."""
        train(10, backend)  # what is only needed once
        prepared(samples)
        tracemalloc.start()
        try:
            train(samples, backend)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    track_run.unit = "bytes"
