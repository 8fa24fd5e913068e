"""asv: what a speed-up must not cost, and what it is worth: distance from numpy, ratios to it and to peers."""

import os

import numpy as np

from benchmarks.problems import (
    OURS,
    PEERS,
    TRAINED,
    Effort,
    Refused,
    Worker,
    checked,
    measure,
    numpy_peer,
    ways,
)
from benchmarks.timing import interleaved

EFFORT = Effort(trial=0.003, sample=0.02, rounds=7, seeds=1)


class Distance:
    """numba's parameters after a run from numpy's, the largest of the arrays, as a share of how far it has moved."""

    param_names = ["case"]
    params = [list(TRAINED)]
    timeout = 120
    unit = "of the way"

    def track_from_numpy(self, name):
        problem = TRAINED[name]
        return problem.difference(ways(problem)["numba"](problem.check), numpy_peer.reference(problem))


class Backends:
    """How many times as fast as the numpy backend: the median of interleaved rounds, in one process."""

    param_names = ["case"]
    params = [list(TRAINED)]
    timeout = 120
    unit = "x"

    def track_ratio(self, name):
        runs = {backend: checked(TRAINED[name], backend) for backend in ("numpy", "numba")}
        times = interleaved(runs, rounds=7, sample=0.02)
        return float(np.median(times["numpy"] / times["numba"]))


class Peers:
    """How many times as fast as a peer that is installed, at its fastest; each has a process of its own."""

    param_names = ["case", "peer"]
    params = (list(TRAINED), list(PEERS))
    timeout = 600
    unit = "x"

    def setup(self, name, peer):
        """asv shows a peer as n/a when `setup` refuses it."""
        cores = {max(os.sched_getaffinity(0))} if hasattr(os, "sched_getaffinity") else set()
        self.workers = [Worker(each, 1, cores) for each in (OURS, peer)]
        try:
            self.workers[1]("version")
        except Refused as missing:
            self.teardown(name, peer)
            raise NotImplementedError(f"{peer} is not here: {missing}") from None

    def teardown(self, name, peer):
        for worker in self.workers:
            worker.close()

    def track_ratio(self, name, peer):
        times = {name: seconds for name, (_way, seconds) in measure(TRAINED[name], self.workers, EFFORT).items()}
        ours = times.pop(OURS)
        times.pop("fastxor's reference", None)
        return float(min(np.median(theirs / ours) for theirs in times.values()))
