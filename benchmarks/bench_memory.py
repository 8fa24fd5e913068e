"""asv: memory. A run needs its parameters and one tile, whatever the number of samples."""

import functools
import tracemalloc
from dataclasses import replace

from benchmarks.problems import PROBLEMS, labelled, run_of

BACKENDS = ["numpy", "numba"]
SAMPLES = [1_000, 100_000, 1_000_000]


@functools.cache
def prepared(samples):
    """The problem, and its data, which it keeps."""
    problem = replace(PROBLEMS["expm"], m=samples, source=labelled)
    return problem, problem.data


def train(samples, backend):
    problem, _data = prepared(samples)
    run_of(problem, backend)(2)


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
