"""The guard: a few ratios with a floor under each, for CI. `python -m benchmarks.guard`

A ratio is taken in one process, in interleaved rounds, between the best round of either side: what else runs on the
machine can make a round longer, never shorter. The floors are half of what was measured, so that noise stays above
them and a kernel that takes three times as long falls below. A ratio under its floor is taken once more, for longer,
before the guard fails.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import fastxor
from benchmarks.problems import BASES, PROBLEMS, Problem, Run, numpy_peer, peaks, run_of
from benchmarks.timing import best, interleaved
from fastxor.backends.fused import specialised
from fastxor.backends.fused._jit import VECTOR_BITS

ROUNDS, AGAIN = 15, 60  # of the first look, and of the second
SAMPLE = 0.02  # seconds
X86 = ("x86_64", "AMD64")


@dataclass(frozen=True)
class Check:
    """One ratio: `measure(rounds)` takes it. The floor depends on the width of the vectors that are in use."""

    name: str
    measure: Callable[[int], float]
    floors: dict[int, float]  # by bits, as seen on x86

    @property
    def floor(self) -> float:
        return self.floors[VECTOR_BITS] / (1 if platform.machine() in X86 else 2)  # elsewhere numpy may be faster


def guard(checks: Iterable[Check], say: Callable[[str], None] = print) -> bool:
    """Whether every ratio is above its floor, at once or at the second look."""
    fine = True
    for check in checks:
        ratio, note = check.measure(ROUNDS), ""
        if ratio < check.floor:
            first, ratio = ratio, check.measure(AGAIN)
            note = f", {first:.3g} at the first look"
        verdict = "ok" if ratio >= check.floor else "TOO SLOW"
        fine = fine and ratio >= check.floor
        say(f"{check.name}: {ratio:.3g}, floor {check.floor:.3g}{note}: {verdict}")
    return fine


@contextmanager
def general_kernels() -> Iterator[None]:
    """Not those for the exact sizes of a tiny network."""
    fits = specialised.fits
    specialised.fits = lambda *_: False
    try:
        yield
    finally:
        specialised.fits = fits


def fused(problem: Problem, sizes: bool = False) -> Run:
    run = run_of(problem, "numba")
    if sizes:
        fastxor.warmup(problem.network, problem.m)

    def train(iterations: int):
        with nullcontext() if sizes else general_kernels():
            return run(iterations)

    difference = problem.difference(train(problem.iterations), numpy_peer.reference(problem))
    assert difference <= problem.tolerance, f"{problem.name}: {difference:.1e} from numpy"
    return train


def over_reference(problem: Problem) -> Callable[[int], float]:
    """The general kernels against the numpy backend."""

    def measure(rounds: int) -> float:
        times = interleaved({"numpy": run_of(problem, "numpy"), "numba": fused(problem)}, rounds, SAMPLE)
        return float(times["numpy"].min() / times["numba"].min())

    return measure


def over_general(problem: Problem) -> Callable[[int], float]:
    """The kernel for the exact sizes against the general one."""

    def measure(rounds: int) -> float:
        times = interleaved({"general": fused(problem), "sizes": fused(problem, sizes=True)}, rounds, SAMPLE)
        return float(times["general"].min() / times["sizes"].min())

    return measure


def share_of_peak(problem: Problem) -> Callable[[int], float]:
    """The products' multiply-adds of a step over what registers alone can do in its time."""

    def measure(rounds: int) -> float:
        rate = 2 * problem.multiply_adds / best(fused(problem), rounds, SAMPLE)
        return rate / peaks()[problem.dtype]

    return measure


CHECKS = (
    Check("xor, fused over reference", over_reference(PROBLEMS["xor"]), {128: 140, 256: 250, 512: 250}),
    Check("xor, exact sizes over general", over_general(PROBLEMS["xor"]), {128: 0.7, 256: 0.85, 512: 0.9}),
    Check("8-16-16-3, fused over reference", over_reference(BASES["small"]), {128: 1.8, 256: 3.5, 512: 3.8}),
    Check("expm, share of the peak", share_of_peak(PROBLEMS["expm"]), {128: 0.12, 256: 0.25, 512: 0.29}),
)

if __name__ == "__main__":
    sys.exit(0 if guard(CHECKS) else 1)
