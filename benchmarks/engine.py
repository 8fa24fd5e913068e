"""The engine beside its peers: the table of cases with what was asked and what was got.

`python -m benchmarks.engine` gives every peer a process of its own, compares every result with plain numpy's, lets the
fastest of each peer's ways speak for it, then times all of them in interleaved rounds and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.compare import processor, show_ratio, show_time
from benchmarks.peers import numpy_peer
from benchmarks.peers.problem import PROBLEMS, Problem, digits_split
from benchmarks.peers.worker import Refused, Way, Worker

OURS = "fastxor"
PEERS = ("fastxor", "c", "jax", "torch", "sklearn", "numpy")

# how many times as fast as the fastest of a peer's ways
ASKED: dict[str, dict[str, float]] = {
    "xor": {"tutorial": 600, "C": 1.5, "JAX": 2.8, "JAX idiomatic": 6},
    "xor-wide 8": {"C": 1.4, "JAX": 2.5},
    "xor-wide 32": {"C": 1.8, "JAX": 2},
    "expm": {"C": 1.15, "JAX": 1.35, "torch.compile": 3.5, "scikit-learn": 7},
    "digits": {"JAX": 1.8, "scikit-learn": 45, "PyTorch": 50},
    "mid": {"JAX": 1.2},
    "wide": dict.fromkeys(("C", "JAX", "PyTorch", "torch.compile", "scikit-learn", "numpy"), 1),
}
ASKED_OF_TWO_THREADS = {"C": 1.3}
ASKED_SECONDS = {"gradient": 12e-6, "predict": 5e-6}  # a call
ASKED_OF_PEAK, ASKED_SCALING, ASKED_FRESH = 0.5, 1.8, 1.5

FRESH = """
from benchmarks.peers.fastxor_peer import contenders
from benchmarks.peers.problem import PROBLEMS
contenders(PROBLEMS["expm"], 1)["fastxor"]["numba"](100)
"""


@dataclass
class Row:
    """One line of the table; `asked` and `got` are ready to be shown."""

    case: str
    peer: str
    time: str = ""
    ours: str = ""
    got: str = ""
    asked: str = ""
    met: bool | None = None
    samples: dict[str, list[float]] = field(default_factory=dict)

    def __str__(self) -> str:
        verdict = {None: "", True: "met", False: "**NOT MET**"}[self.met]
        return f"| {' | '.join((self.case, self.peer, self.time, self.ours, self.got, self.asked, verdict))} |"


@dataclass(frozen=True)
class Effort:
    """How long to look: seconds of one sample to choose a peer's best way and to compare, and the rounds."""

    trial: float
    sample: float
    rounds: int
    seeds: int


FULL, QUICK = Effort(0.03, 0.1, 21, 10), Effort(0.003, 0.01, 5, 2)


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def describe(problem: Problem) -> str:
    layers = f"{'-'.join(map(str, problem.sizes))} {problem.hidden}/{problem.output}"
    if problem.kind == "predict":
        return f"**{problem.name}** {layers}, one sample, {problem.dtype}, a call"
    how = "" if problem.kind == "gradient" else ", Adam" if problem.adam else ", gradient descent"
    batch = "" if problem.batch is None else f", batch {problem.batch}"
    return f"**{problem.name}** {layers}, {problem.m:,} samples{batch}, {problem.dtype}{how}, {problem.unit}"


def candidates(problem: Problem, workers: list[Worker]) -> dict[str, list[tuple[Worker, Way]]]:
    """By contender, the ways whose result is plain numpy's."""
    expected = numpy_peer.reference(problem)
    found: dict[str, list[tuple[Worker, Way]]] = {}
    for worker in workers:
        try:
            ways = worker("prepare", problem)
        except Refused as refusal:
            note(f"{problem.name}: {worker.name} is left out: {refusal}")
            continue
        for way in ways:
            try:
                difference = problem.difference(worker("run", way, problem.check), expected)
            except (Refused, AssertionError) as refusal:
                note(f"{problem.name}: {' by '.join(way)} is left out: {refusal}")
                continue
            if not difference <= problem.tolerance:
                note(f"{problem.name}: {' by '.join(way)} is left out: its result is {difference:.1e} from numpy's")
                continue
            found.setdefault(way[0], []).append((worker, way))
    return found


def fastest(ways: list[tuple[Worker, Way]], sample: float) -> tuple[Worker, Way]:
    """The one of a contender's ways that will speak for it, after three short samples of each."""

    def seconds(entry: tuple[Worker, Way]) -> float:
        worker, way = entry
        iterations = worker("length", way, sample)
        return min(worker("seconds", way, iterations) for _ in range(3)) / iterations

    return min(ways, key=seconds) if len(ways) > 1 else ways[0]


def measure(problem: Problem, workers: list[Worker], effort: Effort) -> dict[str, tuple[str, np.ndarray]]:
    """By contender, its fastest way and that way's seconds per unit, one per round; the order turns by one a round."""
    chosen = {
        name: fastest(ways, effort.trial if problem.batch is None else 3 * effort.trial)
        for name, ways in candidates(problem, workers).items()
    }
    lengths = {name: worker("length", way, effort.sample) for name, (worker, way) in chosen.items()}
    times: dict[str, list[float]] = {name: [] for name in chosen}
    names = list(chosen)
    for turn in range(effort.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            worker, way = chosen[name]
            times[name].append(worker("seconds", way, lengths[name]) / lengths[name] * problem.per_unit)
    return {name: (chosen[name][1][1], np.array(values)) for name, values in times.items()}


def compared(
    case: str, results: dict[str, tuple[str, np.ndarray]], asked: dict[str, float], seconds: float | None = None
) -> Iterator[Row]:
    """A row for each peer, and one for fastxor alone where a time is asked for."""
    ours = results[OURS][1] if OURS in results else None
    if seconds is not None:
        row = Row(case, "", asked=f"<= {seconds * 1e6:g} us")
        if ours is not None:
            row.ours = row.got = show_time(ours)
            row.met, row.samples = bool(np.median(ours) <= seconds), {OURS: ours.tolist()}
        yield row
    for name, (way, times) in results.items():
        if name == OURS:
            continue
        row = Row(case, f"{name} ({way})", show_time(times), samples={name: times.tolist()})
        if name in asked:
            row.asked = f">= {asked[name]:g} x"
        if ours is not None:
            ratios = times / ours
            row.ours, row.got = show_time(ours), show_ratio(ratios)
            row.samples[OURS] = ours.tolist()
            row.met = bool(np.median(ratios) >= asked[name]) if name in asked else None
        yield row
    for name in (name for name in asked if name not in results):
        yield Row(case, f"{name}: not here", asked=f">= {asked[name]:g} x")


def share_of_peak(problem: Problem, case: str, ours: np.ndarray, peaks: dict[int, float]) -> Iterator[Row]:
    """The products' multiply-adds alone, over the time that everything took."""
    rate = 2 * problem.multiply_adds / float(np.median(ours))
    for width, peak in peaks.items():
        name = f"peak of {width}-bit vectors, {peak / 1e9:.0f} GFLOP/s"
        share = f"{rate / peak:.0%}, {rate / 1e9:.0f} GFLOP/s"
        yield Row(case, name, "", show_time(ours), share, f">= {ASKED_OF_PEAK:.0%}", rate / peak >= ASKED_OF_PEAK)


def fresh_process(case: str, times: int) -> Row:
    """100 iterations of a new process, from its start to its end, once a first one has filled the cache."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
    }
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", FRESH], check=True, env=environment)
        taken.append(time.perf_counter() - start)
    middle = float(np.median(taken[1:]))
    label = "a fresh process, 100 iterations, warm cache"
    return Row(case, label, "", "", f"{middle:.2f} s", f"<= {ASKED_FRESH} s", middle <= ASKED_FRESH)


def accuracies(problem: Problem, worker: Worker, contender: str, seeds: int, epochs: int = 30) -> np.ndarray:
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


def same_accuracy(problem: Problem, case: str, workers: list[Worker], seeds: int) -> Row | None:
    """fastxor's and scikit-learn's, apart by no more than twice the standard error of what lies between them."""
    by_name = {worker.name: worker for worker in workers}
    if not {"fastxor", "sklearn"} <= by_name.keys():
        return None
    theirs = accuracies(problem, by_name["sklearn"], "scikit-learn", seeds)
    ours = accuracies(problem, by_name["fastxor"], OURS, seeds)
    noise = 2 * np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / seeds)
    apart = abs(ours.mean() - theirs.mean())
    label = f"test accuracy after 30 epochs, {seeds} seeds, scikit-learn"
    shown = [f"{values.mean():.2%} +- {values.std(ddof=1):.2%}" for values in (theirs, ours)]
    return Row(case, label, *shown, f"{apart:.2%} apart", f"<= {noise:.2%}", bool(apart <= noise))


def started(names: list[str], threads: int, cores: set[int], stack: ExitStack) -> tuple[list[Worker], list[str]]:
    """A worker for each peer that is here, and what each is; the others get a line."""
    workers, versions = [], []
    for name in names:
        worker = Worker(name, threads, cores)
        stack.callback(worker.close)
        try:
            versions.append(worker("version"))
            workers.append(worker)
        except Refused as refusal:
            note(f"{name} is not here and left out: {refusal}")
    return workers, versions


def one_thread(problems: list[Problem], workers: list[Worker], effort: Effort, floor: tuple) -> Iterator[Row]:
    for problem in problems:
        note(f"{problem.name}, one thread")
        case = describe(problem)
        results = measure(problem, workers, effort)
        yield from compared(case, results, ASKED.get(problem.name, {}), ASKED_SECONDS.get(problem.name))
        if OURS in results and problem.name == "expm":
            yield from share_of_peak(problem, case, results[OURS][1], floor[1])
            yield fresh_process(case, 3)
        if OURS in results and problem.name == "digits":
            row = same_accuracy(problem, case, workers, effort.seeds)
            if row is not None:
                yield row


def two_threads(problem: Problem, workers: list[Worker], alone: list[Worker], effort: Effort) -> Iterator[Row]:
    """The peers with two threads, and fastxor with one beside them."""
    note(f"{problem.name}, two threads")
    case = f"{describe(problem)}, two threads"
    results = measure(problem, workers, effort)
    yield from compared(case, results, ASKED_OF_TWO_THREADS)
    both = [worker for worker in (*workers, *alone) if worker.name == "fastxor"]
    if len(both) == 2:
        for worker in both:
            worker("prepare", problem)
        way = (OURS, "numba")
        length = both[0]("length", way, effort.sample)
        times = np.array([[worker("seconds", way, length) / length for worker in both] for _ in range(effort.rounds)])
        ratios = times[:, 1] / times[:, 0]
        met = bool(np.median(ratios) >= ASKED_SCALING)
        one, two = show_time(times[:, 1]), show_time(times[:, 0])
        yield Row(case, "fastxor on one thread", one, two, show_ratio(ratios), f">= {ASKED_SCALING:g} x", met)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it runs, not how fast")
    parser.add_argument("--cases", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), metavar="CASE")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--threads", type=int, choices=(1, 2), help="only the rows of one thread, or of two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows with every round's times")
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    problems = [PROBLEMS[name] for name in options.cases]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    pairs = options.threads != 1 and "expm" in options.cases and len(cores) > 1
    if options.threads == 2 and not pairs:
        parser.error("two threads want two cores and the case expm")

    rows: list[Row] = []
    print("| case | peer (its fastest way) | peer | fastxor | peer / fastxor | asked | |")
    print("|---|---|---:|---:|---:|---:|---|")

    def show(found: Iterator[Row]) -> None:
        for row in found:
            repeated = bool(rows) and rows[-1].case == row.case
            rows.append(row)
            print(replace(row, case="") if repeated else row, flush=True)

    with ExitStack() as stack:
        numbers = Worker("numpy", 1, {cores[-1]})
        stack.callback(numbers.close)
        clock, peaks = numbers("floor")
        workers, versions = started(options.peers, 1, {cores[-1]}, stack)
        if options.threads != 2:
            show(one_thread(problems, workers, effort, (clock, peaks)))
        if pairs:
            names = [worker.name for worker in workers if worker.name != "numpy"]
            show(two_threads(PROBLEMS["expm"], started(names, 2, set(cores[-2:]), stack)[0], workers, effort))

    speed = "clock not known" if clock is None else f"{clock / 1e9:.2f} GHz seen"
    peak = ", ".join(f"{value / 1e9:.0f} GFLOP/s with {width} bits" for width, value in peaks.items())
    machine = (
        f"{processor()}, {len(cores)} cores, {platform.system()} {platform.machine()}, {speed}, float32 peak of a core "
        f"{peak}; Python {platform.python_version()}, {', '.join(versions)}; {datetime.now(UTC):%Y-%m-%d}"
    )
    print(
        f"\nMedian time of {effort.rounds} interleaved rounds, each peer in a process of its own, on one core unless "
        "said. A ratio is the median of the rounds' own ratios, with their quartiles. All results were compared with "
        f"plain numpy's before they were timed.\n{machine}."
    )
    if options.json:
        record = {"machine": machine, "clock": clock, "peaks": peaks, "quick": options.quick}
        options.json.write_text(json.dumps({**record, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
