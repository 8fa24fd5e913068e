"""asv: what a speed-up must not cost, and what it is worth: distance from numpy, digits read, ratios to others."""

import functools
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from benchmarks.problems import (
    OURS,
    PEERS,
    PROBLEMS,
    SHAPES,
    TRAINED,
    Effort,
    Missing,
    Outcome,
    Worker,
    checked,
    cores,
    digits_split,
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
        return problem.difference(run_of(problem, "numba")(problem.iterations), numpy_peer.reference(problem))


@functools.cache
def digits_read(by, seeds=10, epochs=30):
    """The share of the digits held back that are named rightly, one for each seed of weights and batch order."""
    X, Y = digits_split(PROBLEMS["digits"])[1]
    shares = []
    for seed in range(seeds):
        problem = replace(PROBLEMS["digits"], seed=seed)
        if by == "scikit-learn":
            from fastxor.bench.peers import sklearn_peer

            run = sklearn_peer.contenders(problem, 1)[by]["fit"]
        else:
            run = run_of(problem, by)
        outputs = numpy_peer.forward(problem, run(epochs * problem.per_epoch), X)[-1]
        shares.append(np.mean(outputs.argmax(axis=0) == Y.argmax(axis=0)))
    return np.array(shares)


class Digits:
    """The share of 357 digits that a network names rightly, which has not seen them: of ten, 30 epochs each."""

    param_names = ["by"]
    params = [["numpy", "numba", "scikit-learn"]]
    timeout = 120
    unit = "of the digits"

    def setup(self, by):
        """asv shows these as n/a when `setup` refuses them."""
        if not find_spec("sklearn"):
            raise NotImplementedError("the digits come with scikit-learn")

    def track_mean(self, by):
        return float(digits_read(by).mean())

    def track_standard_error(self, by):
        shares = digits_read(by)
        return float(shares.std(ddof=1) / np.sqrt(len(shares)))


class TwoThreads:
    """How many times as fast as one thread: the median of interleaved rounds, in one process."""

    param_names = ["case"]
    params = [["expm", "mid", "wide"]]
    timeout = 120
    unit = "x"

    def setup(self, name):
        """asv shows a case as n/a when `setup` refuses it."""
        if len(cores()) < 2:
            raise NotImplementedError("one core")

    def track_ratio(self, name):
        times = interleaved({threads: run_of(TRAINED[name], "numba", threads) for threads in (1, 2)}, ROUNDS, SAMPLE)
        return float(np.median(times[1] / times[2]))


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
    problems = TRAINED

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
        outcome = Outcome(self.problems[name])
        measure(outcome, self.workers, EFFORT, SAMPLE, lambda step: None)
        theirs = [contender for contender in outcome.names if not contender.startswith(OURS)]
        return min(float(np.median(outcome.ratios(contender))) for contender in theirs)


class ShapesBesidePeers(Peers):
    """The same beside JAX alone, the fastest of them, for networks of all shapes."""

    params = (list(SHAPES), ["jax"])
    problems = SHAPES
