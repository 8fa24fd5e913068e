"""asv: iteration throughput, numpy against numba. A figure is the seconds of one job; its name ends in its iterations.

asv runs `setup` before every sample. Jobs are kept, and start from the same weights each time: the first `setup`
compiles and compares the result with the tutorial's, later ones cost nothing, and no sample sees another's weights.
"""

from dataclasses import replace

from benchmarks.cases import TIMED
from benchmarks.jobs import checked, own_loop, whole_run


class _Training:
    """What both benchmarks share: one job is one sample, long enough to need no batching."""

    param_names = ["case", "backend"]
    number = 1
    rounds = 2
    repeat = (5, 20, 5.0)  # at least, at most, seconds
    warmup_time = 0.1
    timeout = 120

    def setup(self, name, backend):
        self.job = checked(self.kind, self.cases[name], backend)


class WholeRun(_Training):
    """One call of `model`."""

    kind = staticmethod(whole_run)
    cases = {f"{case.name} x{case.iterations}": case for case in TIMED}
    params = (list(cases), ["numpy", "numba"])

    def time_run(self, name, backend):
        self.job()


class OwnLoop(_Training):
    """The functions one by one, in the caller's own loop."""

    kind = staticmethod(own_loop)
    cases = {f"{case.name} x{case.iterations}": case for case in [replace(TIMED[0], iterations=1000)]}
    params = (list(cases), ["numpy", "numba"])

    def time_loop(self, name, backend):
        self.job()
