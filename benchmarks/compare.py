"""The README's comparison: the tutorial's numpy code against fastxor's two backends, side by side in one process.

`python -m benchmarks.compare` first checks that all results agree, then times the implementations in interleaved
rounds and prints a Markdown table. `--update-readme` puts that table into README.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.cases import TIMED, Case
from benchmarks.jobs import IMPLEMENTATIONS, Job, checked, own_loop, whole_run

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- comparison: begin, made by `python -m benchmarks.compare --update-readme` -->"
END = "<!-- comparison: end -->"


@dataclass(frozen=True)
class Row:
    """One line of the table: a kind of job and its case."""

    kind: Callable[[Case, str], Job]
    case: Case

    def __str__(self) -> str:
        c = self.case
        task = "XOR " if c.name.startswith("xor") else ""
        calls = "one call" if self.kind is whole_run else "function by function"
        samples = f"{c.m:,} sample" + "s" * (c.m > 1)
        return f"{task}{c.n_x}-{c.n_h}-{c.n_y}, {samples}, {c.dtype}; {c.iterations:,} iterations, {calls}"


XOR = TIMED[0]
LOOP = Row(own_loop, replace(XOR, iterations=1000))
ROWS = (Row(whole_run, XOR), LOOP, *(Row(whole_run, case) for case in TIMED[1:]))

# row, numerator, denominator, the speed-up that is aimed at
AIMS = ((ROWS[0], "tutorial", "numba", 300), (LOOP, "numpy", "numba", 3))


def seconds(job: Job, calls: int) -> float:
    """Seconds per call, over this many calls in a row."""
    start = time.perf_counter()
    for _ in range(calls):
        job()
    return (time.perf_counter() - start) / calls


def measure(row: Row, rounds: int, sample: float) -> dict[str, np.ndarray]:
    """Seconds per iteration, one per round, of each implementation; every round times them all, in turning order."""
    jobs = {name: checked(row.kind, row.case, name) for name in IMPLEMENTATIONS}
    calls = {name: max(1, math.ceil(sample / seconds(job, 1))) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(rounds):
        first = turn % len(jobs)
        for name in (*IMPLEMENTATIONS[first:], *IMPLEMENTATIONS[:first]):
            times[name].append(seconds(jobs[name], calls[name]) / (row.case.iterations + 1))
    return {name: np.array(values) for name, values in times.items()}


def digits(value: float) -> str:
    """Three significant digits, no more than two after the point."""
    return f"{value:,.{min(2, max(0, 2 - math.floor(math.log10(value))))}f}"


def show_time(values: np.ndarray) -> str:
    nanoseconds = float(np.median(values)) * 1e9
    return f"{digits(nanoseconds)} ns" if nanoseconds < 1000 else f"{digits(nanoseconds / 1e3)} us"


def show_ratio(ratios: np.ndarray) -> str:
    """The median of the rounds' own ratios, with their quartiles."""
    low, middle, high = (digits(value) for value in np.percentile(ratios, [25, 50, 75]))
    return f"{middle} x ({low} - {high})"


def processor() -> str:
    """The CPU's own name where the system tells it."""
    if sys.platform == "linux":
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    if sys.platform == "darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return platform.processor() or platform.machine()


def report(results: dict[Row, dict[str, np.ndarray]], rounds: int) -> str:
    lines = [
        "| Job | tutorial | `numpy` | `numba` | `numba` against tutorial | `numba` against `numpy` |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row, times in results.items():
        cells = [str(row), *(show_time(times[name]) for name in IMPLEMENTATIONS)]
        cells += [show_ratio(times[name] / times["numba"]) for name in ("tutorial", "numpy")]
        lines.append(f"| {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version(name)}" for name in ("fastxor", "numpy", "numba"))
    lines += [
        "",
        f"Median time per iteration of {rounds} interleaved rounds in one process, on one thread. A speed-up is the "
        "median of the rounds' own ratios, with their quartiles; below 1 the fused core is the slower one. "
        "All results were compared before they were timed. The tutorial works out the cost in every iteration, "
        "one call of `model` in every 100th, where it would print it.",
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}; "
        f"Python {platform.python_version()}, {versions}; {datetime.now(UTC):%Y-%m-%d}.",
    ]
    return "\n".join(lines)


def update_readme(table: str) -> None:
    before, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{README.name} has no place for the comparison: it wants the lines\n{BEGIN}\n{END}")
    README.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8", newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it runs, not how fast")
    parser.add_argument("--update-readme", action="store_true", help="put the table into README.md")
    options = parser.parse_args()
    if options.quick and options.update_readme:
        parser.error("--update-readme wants a full run, not a quick one")

    rounds, sample = (3, 0.0) if options.quick else (21, 0.1)
    results = {row: measure(row, rounds, sample) for row in ROWS}
    table = report(results, rounds)
    print(table)
    print()
    for row, slow, fast, aim in AIMS:
        reached = float(np.median(results[row][slow] / results[row][fast]))
        print(f"{row}: {fast} at {digits(reached)} x {slow}, aim {aim} x, {'met' if reached >= aim else 'NOT MET'}")
    if options.update_readme:
        update_readme(table)


if __name__ == "__main__":
    main()
