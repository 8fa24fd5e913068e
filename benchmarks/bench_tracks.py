"""asv: what a speed-up must not cost, and what it is worth: distance from numpy, ratios to it and to peers."""

import numpy as np

from benchmarks.problems import (
    OURS,
    PEERS,
    TRAINED,
    Effort,
    Missing,
    Outcome,
    Worker,
    checked,
    cores,
    measure,
    numpy_peer,
    run_of,
)
from benchmarks.timing import interleaved

SAMPLE, ROUNDS = 0.02, 7
EFFORT = Effort(trial=0.003, sample=SAMPLE, point=SAMPLE, rounds=ROUNDS, points=0, sweepers=frozenset())


class Distance:
    """numba's parameters after a run from numpy's, the largest of the arrays, as a share of how far it has moved."""

    param_names = ["case"]
    params = [list(TRAINED)]
    timeout = 120
    unit = "of the way"

    def track_from_numpy(self, name):
        problem = TRAINED[name]
        return problem.difference(run_of(problem, "numba")(problem.check), numpy_peer.reference(problem))


class Backends:
    """How many times as fast as the numpy backend: the median of interleaved rounds, in one process."""

    param_names = ["case"]
    params = [list(TRAINED)]
    timeout = 120
    unit = "x"

    def track_ratio(self, name):
        runs = {backend: checked(TRAINED[name], backend) for backend in ("numpy", "numba")}
        times = interleaved(runs, ROUNDS, SAMPLE)
        return float(np.median(times["numpy"] / times["numba"]))


class Peers:
    """How many times as fast as a peer that is installed, at its fastest; each has a process of its own."""

    param_names = ["case", "peer"]
    params = (list(TRAINED), list(PEERS))
    timeout = 600
    unit = "x"

    def setup(self, name, peer):
        """asv shows a peer as n/a when `setup` refuses it."""
        self.workers = [Worker(each, 1, {cores()[-1]}) for each in (OURS, peer)]
        try:
            self.workers[1]("version")
        except Missing as missing:
            self.teardown(name, peer)
            raise NotImplementedError(f"{peer} is not here: {missing}") from None

    def teardown(self, name, peer):
        for worker in self.workers:
            worker.close()

    def track_ratio(self, name, peer):
        outcome = Outcome(TRAINED[name])
        measure(outcome, self.workers, EFFORT, SAMPLE, lambda step: None)
        theirs = [contender for contender in outcome.names if not contender.startswith(OURS)]
        return min(float(np.median(outcome.ratios(contender))) for contender in theirs)
