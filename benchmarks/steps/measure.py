"""The figures of docs/kernels.md: `python -m benchmarks.steps.measure --update`.

Every step trains both of its networks, and is compared with plain numpy; then all of them are timed in interleaved
rounds in this one process, and the table and the compiler's remarks are written between their markers.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import llvmlite.binding as llvm
import numba
import numpy as np

import fastxor
from benchmarks.guard import fused
from benchmarks.problems import (
    PROBLEMS,
    Machine,
    Problem,
    Run,
    clock,
    cores,
    digits,
    numpy_peer,
    peaks,
    run_of,
    show_time,
)
from benchmarks.steps import microkernel, own_exp, plain, unrolled, vectorised
from benchmarks.steps.network import run_with
from benchmarks.timing import interleaved, seconds

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kernels.md"
TINY, MIDDLE = PROBLEMS["xor"], PROBLEMS["mid"]
THREADS = 2
STRICT = {"error_model": "python", "fastmath": plain.FREE["fastmath"]}


@dataclass(frozen=True)
class Step:
    """`kernel(problem)` is a Numba function, or None if the step is not for that size; else `run(problem)` does it."""

    name: str
    kernel: Callable[[Problem], Callable | None] | None = None
    run: Callable[[Problem], Run | None] | None = None
    intensity: float | None = None  # operations for each byte between registers and the nearest cache
    threads: int = 1

    def on(self, problem: Problem) -> Run | None:
        if self.run:
            return self.run(problem)
        kernel = self.kernel(problem)
        return kernel and run_with(kernel, problem)


def of_dtype(make: Callable, **options) -> Callable[[Problem], Callable]:
    return lambda problem: make(problem.dtype, **options)


def with_sizes(problem: Problem) -> Callable | None:
    n_x, n_h, _ = problem.sizes
    return unrolled.make(problem.dtype, n_x, n_h) if n_x * n_h < unrolled.MOST_WEIGHTS else None


def with_blocks(problem: Problem) -> Callable | None:
    n_x, n_h, _ = problem.sizes
    unit = microkernel.width(problem.dtype)
    fits = n_x % unit == problem.m % unit == n_h % microkernel.ROWS == 0
    return microkernel.make(problem.dtype) if fits else None


def block_intensity(problem: Problem) -> float:
    """A block's multiply-adds over its loads."""
    columns = microkernel.width(problem.dtype)
    return 2 * microkernel.ROWS * columns / ((columns + microkernel.ROWS) * np.dtype(problem.dtype).itemsize)


LOOPS = 4 / 20  # float32: two loads forward, and two and a store for the gradient, to two multiply-adds

STEPS = (
    Step("0. the reference, in numpy", run=lambda problem: partial(numpy_peer.textbook, problem)),
    Step("1. plain Numba", lambda _: plain.as_it_stands, intensity=LOOPS),
    Step("2. error model and fast-math", lambda _: plain.freed, intensity=LOOPS),
    Step("3a. own exp, without step 2", of_dtype(own_exp.make, flags={}), intensity=LOOPS),
    Step("3. own exp", of_dtype(own_exp.make), intensity=LOOPS),
    Step("4a. along the samples, Python's error model", of_dtype(vectorised.make, flags=STRICT), intensity=LOOPS),
    Step("4. along the samples, vectorised", of_dtype(vectorised.make), intensity=LOOPS),
    Step("5. sizes known, unrolled", with_sizes),
    Step("6. a SIMD microkernel", with_blocks, intensity=block_intensity(MIDDLE)),
    Step("7. fastxor's engine", run=fused, intensity=block_intensity(MIDDLE)),
    Step(
        "8. fastxor, for these exact sizes", run=lambda problem: fused(problem, sizes=True) if problem is TINY else None
    ),
    Step(
        f"9. fastxor, {THREADS} threads",
        run=lambda problem: run_of(problem, "numba", THREADS) if problem is MIDDLE and threads_here() else None,
        threads=THREADS,
    ),
)


def threads_here() -> bool:
    return len(cores()) >= THREADS


def compared(step: Step, problem: Problem) -> Run | None:
    """The step, once its result is plain numpy's."""
    run = step.on(problem)
    if run is not None:
        difference = problem.difference(run(problem.iterations), numpy_peer.reference(problem))
        if not difference <= problem.tolerance:
            sys.exit(f"{step.name} on {problem.name}: its result is {difference:.1e} from numpy's")
    return run


@numba.njit(**plain.FREE)
def add_rows(to, row, times):
    for _ in range(times):
        for s in range(to.size):
            to[s] += row[s] * to.dtype.type(0.5)


def bandwidth(dtype: str) -> float:
    """Bytes a second between registers and the nearest cache: two loads and a store, again and again."""
    to, row = np.ones(1024, dtype), np.zeros(1024, dtype)
    add_rows(to, row, 1)
    best = min(seconds(lambda times: add_rows(to, row, times), 5000) for _ in range(7))
    return 3 * to.nbytes / best


# What is counted in the machine code of x86: arithmetic on whole registers of numbers, and on single ones.
ARITHMETIC = r"v?(?:add|sub|mul|div|max|min|sqrt|roundp?|rndscale|fn?m(?:add|sub)\d+){}[sd]"
PACKED, SINGLE = (re.compile(rf"^\s+{ARITHMETIC.format(kind)}\s", re.MULTILINE) for kind in "ps")


def instructions(step: Step, problem: Problem) -> str:
    if step.kernel is None or platform.machine() not in ("x86_64", "AMD64"):
        return ""
    kernel = step.kernel(problem)
    if kernel is None:
        return ""
    run_with(kernel, problem)(1)
    (code,) = (code for kinds, code in kernel.inspect_asm().items() if str(kinds[0].dtype) == problem.dtype)
    return f"{len(PACKED.findall(code))} / {len(SINGLE.findall(code))}"


def table(rounds: int, sample: float) -> str:
    taken: dict[str, dict[str, np.ndarray]] = {}
    for problem in (TINY, MIDDLE):
        runs = {step.name: run for step in STEPS if (run := compared(step, problem)) is not None}
        taken[problem.name] = interleaved(runs, rounds, sample)
    peak, speed = peaks()[MIDDLE.dtype], bandwidth(MIDDLE.dtype)
    floor = 2 * MIDDLE.multiply_adds / peak
    lines = [
        f"| Step | {TINY.name}, a step | times numpy | {MIDDLE.name}, a step | times numpy | GFLOP/s | its roof "
        "| vector / scalar arithmetic |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for step in STEPS:
        cells = [step.name]
        for problem in (TINY, MIDDLE):
            times = taken[problem.name]
            mine = times.get(step.name)
            if mine is None:
                cells += ["", ""]
            else:
                cells += [show_time(float(np.median(mine))), digits(float(np.median(times[STEPS[0].name] / mine)))]
        mine = taken[MIDDLE.name].get(step.name)
        roof = peak if step.intensity is None else min(peak, step.intensity * speed)
        cells += (
            ["", ""]
            if mine is None
            else [
                digits(2 * MIDDLE.multiply_adds / float(np.median(mine)) / 1e9),
                "" if step.run and step.intensity is None and step.threads == 1 else digits(step.threads * roof / 1e9),
            ]
        )
        cells += [instructions(step, TINY if mine is None else MIDDLE)]
        lines.append(f"| {' | '.join(cells)} |")
    versions = [f"fastxor {fastxor.__version__}", f"numpy {np.__version__}", f"numba {numba.__version__}"]
    machine = Machine(clock(), peaks(), versions)
    lines += [
        "",
        f"**{TINY.name}** is {TINY.description}. **{MIDDLE.name}** is {MIDDLE.description}: its products alone would "
        f"take {show_time(floor)} at the peak. Median of {rounds} interleaved rounds in one process, on one thread "
        "unless said, after every result was compared with plain numpy's. A roof is the smaller of the core's peak and "
        f"of what {speed / 1e9:.0f} GB/s between registers and the nearest cache allow a step's products.",
        f"{machine}.",
    ]
    return "\n".join(lines)


def explain(names: list[str]) -> None:
    """Compile these steps in a process where LLVM says why it does not vectorise a loop."""
    llvm.set_option("", "-pass-remarks-analysis=loop-vectorize")
    llvm.set_option("", "-pass-remarks=loop-vectorize")
    for step in STEPS:
        if step.name in names:
            problem = TINY if step.kernel is with_sizes else MIDDLE
            run_with(step.kernel(problem), problem)(1)


def remarks() -> str:
    """What LLVM says about each step's loops, and how often."""
    lines = ["```text"]
    for step in (step for step in STEPS if step.kernel and step.kernel is not with_blocks):
        command = [sys.executable, "-m", "benchmarks.steps.measure", "--explain", step.name]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        found = Counter(re.findall(r"remark: [^:]*:\d+:\d+: ((?:loop not )?vectorized.+)", said))
        found = Counter({text: count for text, count in found.items() if "already been vectorized" not in text})
        lines.append(step.name)
        lines += [f"    {count:2} x {text}" for text, count in found.most_common()] or ["     nothing to say"]
    return "\n".join([*lines, "```"])


def update(page: str, name: str, text: str) -> str:
    """The page with what stands between two markers replaced."""
    begin = f"<!-- {name}: begin, made by `python -m benchmarks.steps.measure --update` -->"
    end = f"<!-- {name}: end -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        sys.exit(f"{PAGE.name} has no place for the {name}: it wants the lines\n{begin}\n{end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps.measure", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and short rounds: shows that it runs, not how fast")
    parser.add_argument("--update", action="store_true", help=f"write {PAGE.name} anew")
    parser.add_argument("--explain", nargs="+", metavar="STEP", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.explain:
        explain(options.explain)
        return
    if options.quick and options.update:
        parser.error("--update wants a full run, not a quick one")
    made = {"table": table(3, 0.001) if options.quick else table(15, 0.02), "remarks": remarks()}
    print("\n\n".join(made.values()))
    if options.update:
        page = PAGE.read_text(encoding="utf-8")
        for name, text in made.items():
            page = update(page, name, text)
        PAGE.write_text(page, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
