"""What was asked of fastxor's speed, and what was got: `fastxor bench --asked`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastxor.bench.machine import Machine
from fastxor.bench.measuring import OURS, Outcome
from fastxor.bench.peers import numpy_peer
from fastxor.bench.problems import Problem, digits_split
from fastxor.bench.worker import Worker

# how many times as fast as the fastest of a peer's ways
RATIOS: dict[str, dict[str, float]] = {
    "xor": {"tutorial": 600, "C": 1.5, "JAX": 2.8, "JAX idiomatic": 6},
    "xor-wide-8": {"C": 1.4, "JAX": 2.5},
    "xor-wide-32": {"C": 1.8, "JAX": 2},
    "functions": {"fastxor's numpy": 3},
    "expm": {"C": 1.15, "JAX": 1.35, "torch.compile": 3.5, "scikit-learn": 7},
    "digits": {"JAX": 1.8, "scikit-learn": 45, "PyTorch": 50},
    "mid": {"JAX": 1.2},
    "wide": dict.fromkeys(("C", "JAX", "PyTorch", "torch.compile", "scikit-learn", "numpy"), 1),
}
RATIOS_OF_TWO_THREADS: dict[str, dict[str, float]] = {"expm": {"C": 1.3}}
SECONDS = {"gradient": 12e-6, "predict": 5e-6}  # a call
OF_PEAK = {"expm": 0.5}
SCALING, FRESH = 1.8, 1.5

FRESH_PROCESS = """
from fastxor.bench.peers.fastxor_peer import contenders
from fastxor.bench.problems import PROBLEMS
contenders(PROBLEMS["expm"], 1)["fastxor"]["numba"](100)
"""


@dataclass(frozen=True)
class Claim:
    """One thing that was asked; `met` is None where it could not be measured."""

    case: str
    what: str
    asked: str
    got: str = "not here"
    met: bool | None = None


def of_outcome(outcome: Outcome, machine: Machine) -> Iterator[Claim]:
    """What a case's times say."""
    problem = outcome.problem
    ours = outcome.median(OURS) if OURS in outcome.names else None
    ratios = {1: RATIOS, 2: RATIOS_OF_TWO_THREADS}.get(outcome.threads, {})
    for name, factor in ratios.get(problem.name, {}).items():
        claim = Claim(outcome.label, name, f">= {factor:g} x")
        if ours is not None and name in outcome.names:
            low, middle, high = np.percentile(outcome.ratios(name), [25, 50, 75])
            claim = replace(claim, got=f"{middle:.3g} ({low:.3g}-{high:.3g})", met=bool(middle >= factor))
        yield claim
    if outcome.threads > 1:
        return
    if problem.name in SECONDS:
        limit = SECONDS[problem.name]
        claim = Claim(outcome.label, "a call", f"<= {limit * 1e6:g} us")
        yield claim if ours is None else replace(claim, got=f"{ours * 1e6:.3g} us", met=ours <= limit)
    if problem.name in OF_PEAK:
        floor = machine.floor(problem.multiply_adds, problem.dtype, 1)
        claim = Claim(outcome.label, "share of the peak", f">= {OF_PEAK[problem.name]:.0%}")
        if ours is not None and floor is not None:
            claim = replace(claim, got=f"{floor / ours:.0%}", met=floor / ours >= OF_PEAK[problem.name])
        yield claim


def fresh_process(times: int = 3) -> Claim:
    """100 iterations of a new process, from its start to its end, once a first one has filled the cache."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", FRESH_PROCESS], check=True)
        taken.append(time.perf_counter() - start)
    middle = float(np.median(taken[1:]))
    what = "a fresh process, 100 iterations, warm cache"
    return Claim("expm", what, f"<= {FRESH} s", f"{middle:.2f} s", middle <= FRESH)


def accuracies(problem: Problem, worker: Worker, contender: str, seeds: int, epochs: int = 30) -> NDArray[np.float64]:
    """On the samples that were held back, one for each seed of starting parameters and batch order."""
    X, Y = digits_split(problem)[1]
    found = []
    for seed in range(seeds):
        seeded = replace(problem, seed=seed)
        way = next(way for way in worker("prepare", seeded) if way[0] == contender)
        parameters = worker("run", way, epochs * problem.per_epoch)
        outputs = numpy_peer.forward(problem, parameters, X)[-1]
        found.append(np.mean(outputs.argmax(axis=0) == Y.argmax(axis=0)))
    return np.array(found)


def same_accuracy(problem: Problem, workers: dict[str, Worker], seeds: int) -> Claim:
    """fastxor's and scikit-learn's, apart by no more than twice the standard error of what lies between them."""
    claim = Claim(problem.name, f"test accuracy as scikit-learn's, {seeds} seeds", "within noise")
    if "sklearn" not in workers:
        return claim
    theirs = accuracies(problem, workers["sklearn"], "scikit-learn", seeds)
    ours = accuracies(problem, workers[OURS], OURS, seeds)
    noise = 2 * np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / seeds)
    apart = abs(ours.mean() - theirs.mean())
    got = f"{ours.mean():.2%} and {theirs.mean():.2%}"
    return replace(claim, asked=f"<= {noise:.2%} apart", got=got, met=bool(apart <= noise))


def scaling(problem: Problem, one: Worker, two: Worker, sample: float, rounds: int) -> Claim:
    """fastxor on one thread over fastxor on two, side by side."""
    claim = Claim(problem.name, "two threads over one", f">= {SCALING:g} x")
    way = (OURS, "numba")
    if not all(way in worker("prepare", problem) for worker in (one, two)):
        return claim
    length = two("length", way, sample)
    ratios = [one("seconds", way, length) / two("seconds", way, length) for _ in range(rounds)]
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return replace(claim, got=f"{middle:.3g} ({low:.3g}-{high:.3g})", met=bool(middle >= SCALING))
