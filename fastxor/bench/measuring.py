"""How times are taken: results are compared first, then each contender's fastest way runs in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastxor.bench.peers import PEERS, numpy_peer
from fastxor.bench.problems import Problem
from fastxor.bench.worker import Refused, Way, Worker

OURS = "fastxor"
EVERYBODY = "everybody"  # in the place of a contender

Entry = tuple[Worker, Way]


@dataclass(frozen=True)
class Effort:
    """How long to look, in seconds, and at how much."""

    trial: float  # of a sample that helps to choose a peer's fastest way
    sample: float  # of one that counts
    point: float  # of one that counts in a sweep
    rounds: int
    points: int  # of a sweep
    sweepers: frozenset[str]  # the peers that go along
    without: frozenset[str] = frozenset()  # contenders that take too long to make ready


@dataclass
class Outcome:
    """One problem: seconds per unit by contender, one for each round, the way each went, and who was left out, why."""

    problem: Problem
    threads: int = 1
    times: dict[str, list[float]] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.problem.name + (f", {self.threads} threads" if self.threads > 1 else "")

    def seconds(self, name: str) -> NDArray[np.float64]:
        """The rounds that all contenders finished."""
        return np.array(self.times[name][: min(map(len, self.times.values()))])

    def ratios(self, name: str) -> NDArray[np.float64]:
        """How many times as long as fastxor, round by round."""
        return self.seconds(name) / self.seconds(OURS)

    @property
    def names(self) -> list[str]:
        """Who was timed, fastxor first."""
        if not self.times or not min(map(len, self.times.values())):
            return []
        return sorted(self.times, key=lambda name: name != OURS)

    @property
    def compared(self) -> bool:
        """Whether fastxor was timed, and somebody else."""
        return OURS in self.names and len(self.names) > 1

    def median(self, name: str) -> float:
        return float(np.median(self.seconds(name)))

    def as_dict(self) -> dict[str, Any]:
        contenders = {}
        for name in self.names:
            contenders[name] = {"way": self.ways[name], "median": self.median(name)}
            if OURS in self.names:
                contenders[name]["ratio"] = float(np.median(self.ratios(name)))
            contenders[name]["seconds"] = self.seconds(name).tolist()
        return {
            "case": self.problem.name,
            "description": self.problem.description,
            "threads": self.threads,
            "multiply_adds": self.problem.multiply_adds,
            "contenders": contenders,
            "left_out": self.left_out,
        }


def candidates(
    outcome: Outcome, workers: list[Worker], effort: Effort, step: Callable[[str], None]
) -> dict[str, list[Entry]]:
    """By contender, the ways whose result is plain numpy's; the others' reasons go into the outcome."""
    problem = outcome.problem
    try:
        expected = numpy_peer.reference(problem)
    except ImportError as missing:
        outcome.left_out[EVERYBODY] = f"{missing}, which has its data; to have it: {PEERS['sklearn']}"
        return {}
    found: dict[str, list[Entry]] = {}
    wrong: dict[Way, str] = {}
    for worker in workers:
        step(f"{problem.name}: {worker.name} gets ready")
        try:
            ways = worker("prepare", problem)
        except Refused as refusal:
            outcome.left_out[worker.name] = str(refusal)
            continue
        for way in ways:
            if way[0] in effort.without:
                outcome.left_out[way[0]] = "it compiles for too long for a quick run"
                continue
            try:
                difference = problem.difference(worker("run", way, problem.iterations), expected)
            except (Refused, AssertionError) as refusal:
                wrong[way] = str(refusal)
                continue
            if difference <= problem.tolerance:
                found.setdefault(way[0], []).append((worker, way))
            else:
                wrong[way] = f"its result is {difference:.1e} from numpy's, and {problem.tolerance:g} is allowed"
    for (name, way), reason in wrong.items():
        outcome.left_out[f"{name}, {way}" if name in found else name] = reason
    return found


def fastest(ways: list[Entry], sample: float) -> Entry:
    """The one of a contender's ways that will speak for it, after three short samples of each."""

    def seconds(entry: Entry) -> float:
        worker, way = entry
        iterations = worker("length", way, sample)
        return min(worker("seconds", way, iterations) for _ in range(3)) / iterations

    return min(ways, key=seconds) if len(ways) > 1 else ways[0]


def measure(
    outcome: Outcome, workers: list[Worker], effort: Effort, sample: float, step: Callable[[str], None]
) -> None:
    """Fill in the outcome, round by round, so that it holds what is known whenever this is interrupted.

    Every round times all contenders, in an order that turns by one. `step` hears of each piece of work before it
    begins: one for each worker, and one for each round. A contender that fails on the way is left out.
    """
    problem = outcome.problem
    # Threads that begin together on one core, as C's may, would have a short sample choose another way.
    trial = effort.trial if problem.batch is None and outcome.threads == 1 else 3 * effort.trial
    if problem.kind == "population":  # a call begins and ends with all networks' arrays, which takes a while
        trial, sample = 4 * trial, 4 * sample
    chosen: dict[str, tuple[Entry, int]] = {}
    for name, ways in candidates(outcome, workers, effort, step).items():
        try:
            worker, way = fastest(ways, trial)
            chosen[name] = (worker, way), worker("length", way, sample)
        except Refused as refusal:
            outcome.left_out[name] = str(refusal)
        else:
            outcome.ways[name], outcome.times[name] = way[1], []
    for turn in range(effort.rounds):
        step(f"{problem.name}: round {turn + 1} of {effort.rounds}")
        names = list(outcome.times)
        first = turn % max(1, len(names))
        for name in names[first:] + names[:first]:
            (worker, way), iterations = chosen[name]
            try:
                seconds = worker("seconds", way, iterations)
            except Refused as refusal:
                outcome.left_out[name] = str(refusal)
                del outcome.times[name]
            else:
                outcome.times[name].append(seconds / iterations * problem.per_unit / problem.members)
