"""Measure choices by cost, of fastxor/choices.py and the fused core's: `python -m benchmarks.choices [NAME …]`

For each of them a few cases are timed with other values beside the present one. A value is set before anyone has read
it, in a process of its own, with a cache of its own where it changes what is compiled. The processes take turns,
and the median over the rounds of the present value's time by the other's is printed: above 1, the other is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import numpy as np

    from fastxor import Network

ROUNDS = 7
SAMPLE = 0.1  # seconds
MODULES = "fastxor.choices", "fastxor.backends.fused.choices"


@dataclass(frozen=True)
class Case:
    """Training, or calls of `gradient` if `iterations` is 0, of a tanh network on so many samples."""

    sizes: tuple[int, ...]
    samples: int
    batch: int | None = None
    adam: bool = False
    scheduled: bool = False  # at a learning rate that falls
    least_squares: bool = False  # by Levenberg-Marquardt
    threads: int | None = 1
    iterations: int = -1  # as many as fill a sample
    dtype: str = "float32"
    members: int = 0  # of a population; with `iterations` 0, calls of its pass forward
    validation: int = 0  # samples whose cost is looked at once an epoch
    drawn: bool = False  # by the run that is timed, from seeds
    targeted: bool = False  # each stops at a cost, which nobody gets to
    searched: int = 0  # settings that scikit-learn's search tries, on two folds
    backend: str = "numba"
    first: bool = False  # only the first run of a process counts, with what it loads and compiles

    @property
    def label(self) -> str:
        parts = ["-".join(map(str, self.sizes)), f"{self.samples:,} samples"]
        parts += [f"{self.members:,} networks"] * bool(self.members)
        parts += [f"{self.validation:,} for validation"] * bool(self.validation)
        parts += [f"batches of {self.batch}"] * bool(self.batch) + ["Adam"] * self.adam
        parts += ["a schedule"] * self.scheduled + ["least squares"] * self.least_squares
        parts += [f"{self.threads or 'any'} threads"] * (self.threads != 1)
        parts += ["drawn"] * self.drawn + ["a target"] * self.targeted
        parts += [f"a search of {self.searched} settings"] * bool(self.searched)
        parts += [self.backend] * (self.backend != "numba")
        parts += ["gradient calls" if self.iterations == 0 else f"{self.iterations:,} steps"] * (self.iterations >= 0)
        return ", ".join([*parts, self.dtype])


@dataclass(frozen=True)
class Choice:
    others: tuple[float, ...]
    cases: tuple[Case, ...]
    cold: bool = False  # every process begins with an empty cache


EXPM, DIGITS, MID = Case((4, 32, 16, 4), 2000), Case((64, 32, 10), 1797, 32, adam=True), Case((32, 64, 32, 1), 2000)
WIDE, WIDEST = Case((64, 256, 256, 10), 1000), Case((600, 600, 10), 1024, 256)
XOR, XOR_8 = (Case((2, n, 1), 4, dtype="float64") for n in (2, 8))
FEW_STEPS = tuple(Case((2, 2, 1), 4, dtype="float64", iterations=n) for n in (10, 100, 1000))
LONGER = tuple(Case((2, 2, 1), 4, dtype="float64", iterations=n, first=True) for n in (300_000, 3_000_000, 30_000_000))
GROWING = tuple(Case((16, n, 4), 2000, threads=2) for n in (4, 16, 64, 256))
LOCKED = tuple(Case((n, n, 10), 128, 128, threads=2) for n in (64, 128, 256, 512))
SEEN = tuple(replace(DIGITS, samples=5000, validation=n) for n in (30, 360, 5000))
HALVED = tuple(
    Case((n, 32, 10), 1200, 200, adam=True, threads=threads, dtype=dtype)
    for threads in (1, 2)
    for n, dtype in ((16, "float64"), (64, "float64"), (64, "float32"))
)
CALLS = tuple(Case((16, 32, 4), m, iterations=0) for m in (100, 1000, 10_000))
SINGLE_STEPS = Case((784, 128, 10), 5000, 128, adam=True, iterations=1), Case((784, 128, 10), 1000, iterations=0)
SQUARES = tuple(
    Case((2, n, 1), m, dtype="float64", iterations=20, least_squares=True)  # so few, for it may end before more
    for n, m in ((5, 200), (20, 2000), (20, 20_000), (100, 2000))
)
FALLING = tuple(replace(case, scheduled=True) for case in (XOR, DIGITS))

DTYPES = "float64", "float32"
TINY_ONES = tuple(Case((2, n, 1), 4, dtype=dtype, members=1024) for n in (2, 8, 24) for dtype in DTYPES)
SMALL_ONES = tuple(
    Case(sizes, m, members=64)
    for sizes, m in (((4, 16, 3), 150), ((16, 64, 4), 64), ((4, 32, 16, 4), 256), ((30, 30, 2), 500))
)
BATCHED_ONES = tuple(Case(sizes, 500, 32, members=64) for sizes in ((2, 8, 1), (4, 16, 3), (13, 16, 1), (64, 32, 10)))
WIDER_ONES = tuple(
    Case(sizes, m, batch, members=64)
    for sizes, m, batch in (
        ((16, 64, 4), 400, None),
        ((16, 64, 4), 800, None),
        ((64, 32, 10), 1000, None),
        ((64, 128, 10), 500, 32),
        ((64, 128, 10), 500, 128),
        ((64, 256, 10), 500, 128),
    )
)
FEW_WIDE_ONES = tuple(replace(case, members=5) for case in WIDER_ONES[:3])
LONGER_ONES = tuple(replace(TINY_ONES[0], iterations=n, first=True) for n in (30_000, 300_000))
SEEN_ONES = tuple(Case((4, n, 3), m, iterations=0, members=500) for n, m in ((8, 10), (32, 100), (128, 2000)))
SHARED_ONES = tuple(Case((2, 2, 1), 4, dtype=dtype, members=16_384, threads=2) for dtype in DTYPES)
FEW_ONES = tuple(Case((2, 2, 1), 4, dtype="float64", members=64, threads=2, iterations=n) for n in (100, 1000, 10_000))
LONG_STARTS = tuple(Case((n, 8, 1), 4, members=20_000, threads=2, iterations=1, drawn=True) for n in (2, 100))
PAIRED_LANES = tuple(Case((2, n, 1), 4, dtype="float64") for n in (10, 12, 14, 16))
RECORDED_ONES = tuple(Case((2, n, 1), 4, dtype="float64", members=1024, targeted=True) for n in (2, 8))
LARGE_ONES = tuple(Case((100, 100, 10), 1000, batch, members=64, threads=2) for batch in (100, 1000))
LARGE_TARGETED = tuple(replace(case, targeted=True) for case in LARGE_ONES)
READ = tuple(replace(case, backend="numpy") for case in (MID, WIDE, EXPM, Case((64, 128, 10), 500)))
SQUARES_READ = tuple(replace(case, backend="numpy") for case in SQUARES)
SHUFFLED = tuple(Case((2, 8, 1), m, 3) for m in (8, 50, 300))
SEARCHED = tuple(
    Case((n, h, 1), m, batch, dtype="float64", searched=16, threads=2)
    for n, h, m, batch in ((4, 8, 200, 16), (10, 16, 200, 16), (10, 16, 400, 64), (30, 32, 400, 32))
)
SHORT_SEARCHES = tuple(replace(SEARCHED[0], iterations=n) for n in (20, 100, 1000))
DRAWN_ONES = tuple(Case((2, 2, 1), 4, members=n, threads=2, iterations=1, drawn=True) for n in (100, 1000, 10_000))

CHOICES = {
    "BLOCK_ROWS": Choice((4, 6, 8), (EXPM, MID, WIDE)),
    "HALF_BLOCK_ROWS": Choice((2,), (EXPM, DIGITS, Case((64, 100, 10), 1000))),
    "WEIGHT_PANEL_BYTES": Choice((32 * 1024, 1 << 30), (WIDE, WIDEST, Case((784, 400, 10), 2560, 128))),
    "BLOCK_COLUMNS": Choice((2, 4), (EXPM, MID, WIDE)),
    "TRANSPOSE_FMA_EIGHTHS": Choice((0, 8, 64), (EXPM, DIGITS, MID, WIDE)),
    "PARTIAL_SUMS": Choice((4, 16), (XOR_8, Case((2, 32, 1), 4, dtype="float64"))),
    "MAX_LANE_PADDING": Choice((1.0, 2.0), PAIRED_LANES),
    "MAX_REGISTER_PARAMETERS": Choice((0, 40), (XOR, XOR_8)),
    "MIN_TILE_SAMPLES": Choice((128, 512), (EXPM, MID, WIDE, Case((784, 128, 10), 5000, 512))),
    "MAX_TILE_SAMPLES": Choice((256, 1024), (Case((4, 32, 16, 4), 10_000), Case((16, 64, 4), 50_000))),
    "TARGET_TILES": Choice((4, 64), (Case((4, 32, 16, 4), 10_000, threads=2), Case((16, 64, 4), 50_000, threads=2))),
    "MAX_TILE_BYTES": Choice(
        (512 * 1024, 1024 * 1024, 2 * 1024 * 1024),
        (Case((784, 256, 10), 256), Case((784, 512, 10), 2000), Case((1024, 1024, 10), 512)),
    ),
    "CACHE_ALIAS_BYTES": Choice((1 << 30,), (MID, Case((64, 128, 1), 1024))),
    "MIN_SPLIT_OPERATIONS": Choice((0.0, math.inf), HALVED),
    "MIN_SPLIT_ROW_BYTES": Choice((0, 2048), HALVED),
    "MAX_CLEARED_BYTES": Choice((0, 1 << 30), (*CALLS, Case((784, 128, 10), 1000, iterations=0))),
    "PREFETCH_SAMPLES": Choice((0, 2, 16), (DIGITS, Case((784, 32, 10), 5000, 128), Case((784, 128, 10), 5000, 32))),
    "MIN_THREADED_OPERATIONS": Choice(
        (0.0, math.inf), tuple(Case((16, n, 4), 1000, threads=None) for n in (2, 8, 32, 128))
    ),
    "MIN_LOCKSTEP_OPERATIONS": Choice((0.0, math.inf), LOCKED),
    "MAX_GRADIENT_BUFFERS": Choice((1, 2, 8), GROWING),
    "GRADIENT_BUFFER_BYTES": Choice((16 * 1024, 1024 * 1024), GROWING),
    "SPINS_BEFORE_YIELD": Choice((100, 1_000_000), GROWING + LOCKED),
    "TRIAL_SECONDS": Choice(
        (0.002, 0.05), tuple(Case((16, 64, 4), 2000, threads=None, iterations=n) for n in (300, 3000))
    ),
    "TRUSTED_SECONDS": Choice(
        (0.05, 2.0), tuple(Case((16, 64, 4), 2000, threads=None, iterations=n) for n in (300, 3000))
    ),
    "MAX_SPECIALISED_PARAMETERS": Choice((30, 400), (XOR_8, Case((2, 32, 1), 4, dtype="float64"), Case((2, 60, 1), 4))),
    "MIN_SECONDS_TO_COMPILE": Choice((0.0, math.inf), LONGER, cold=True),
    "MIN_SECONDS_TO_LOAD": Choice((0.0, math.inf), LONGER),
    "MIN_SECONDS_TO_CALL": Choice((0.0, math.inf), FEW_STEPS),
    "MAX_LANE_STEP_WORK": Choice((0, math.inf), SMALL_ONES + BATCHED_ONES + WIDER_ONES + FEW_WIDE_ONES),
    "MAX_UNROLLED_WORK": Choice((0, 100, 1000), TINY_ONES),
    "MAX_PAIRED_REGISTER_PARAMETERS": Choice((0, 100), TINY_ONES),
    "MIN_SECONDS_TO_UNROLL": Choice((0.0, math.inf), LONGER_ONES, cold=True),
    "MAX_CALL_SECONDS": Choice((0.002, 0.2), TINY_ONES[:2]),
    "MAX_SHARD_SECONDS": Choice((0.0003, 0.01), SHARED_ONES),
    "MIN_SHARD_SECONDS": Choice((0.00002, 0.002), FEW_ONES),
    "SHARDS_PER_THREAD": Choice((2, 128), SHARED_ONES + DRAWN_ONES),
    "MAX_LANE_PASS_WORK": Choice((0, math.inf), SEEN_ONES),
    "MAX_PASS_CALL_WORK": Choice((1_000_000, 100_000_000), SEEN_ONES),
    "MIN_PASS_CALL_WORK": Choice((0, 5_000_000), tuple(replace(case, threads=2) for case in SEEN_ONES)),
    "STEPS_PER_CHECK": Choice((20, 2000), TINY_ONES[:4]),
    "MAX_RECORDED_COSTS": Choice((8, 512), RECORDED_ONES),
    "LANE_BLOCK_ROWS": Choice((2, 8), SMALL_ONES),
    "LANE_BLOCK_COLUMNS": Choice((2, 6), SMALL_ONES),
    "LANE_TILE_BYTES": Choice((32 * 1024, 512 * 1024), SMALL_ONES),
    "MAX_RESIDENT_SAMPLES_BYTES": Choice((0, 1 << 30), SMALL_ONES),
    "STEPS_TO_FIRST_CHECK": Choice((1, 64), TINY_ONES[:4]),
    "MIN_DRAWS_PER_THREAD": Choice((1_000, 10**9), DRAWN_ONES),
    "STREAMS": Choice((4, 32), DRAWN_ONES),
    "WORDS_PER_BLOCK": Choice((24, 104), DRAWN_ONES),
    "JACOBIAN_TILE_BYTES": Choice((64 * 1024, 8 * 1024 * 1024), SQUARES),
    "MIN_JACOBIAN_COLUMNS": Choice((64, 8192), SQUARES),
    "SHUFFLED_SAMPLES_PER_CALL": Choice((1, 20_000, 500_000), (Case((2, 8, 1), 8, 3), DIGITS)),
    "MAX_SNAPSHOTS": Choice((1, 4, 64), SEEN),
    "SNAPSHOT_BYTES": Choice((0, 64 * 1024, 1024 * 1024), SEEN),
    "MAX_RESIDENT_VALIDATION_BYTES": Choice((0,), SEEN),
    "SHUFFLED_SAMPLES_PER_THREADED_CALL": Choice((20_000, 2_000_000), HALVED),
    "RATES_PER_CALL": Choice((64, 65_536), FALLING),
    "MAX_TRANSPOSED_BYTES": Choice((0, 1 << 30), (Case((64, 32, 10), 1797, 32, iterations=50), DIGITS)),
    "MAX_POOLED_WORKSPACE_BYTES": Choice((0, 1 << 30), CALLS),
    "MAX_RETAINED_WORKSPACE_BYTES": Choice((0,), SINGLE_STEPS),
    "MIN_INTERRUPTIBLE_WORK": Choice((0, 10**6), CALLS),
    "REFERENCE_TILE_VALUES": Choice((2**12, 2**18), READ),
    "MIN_REFERENCE_TILE_SAMPLES": Choice((64, 1024), READ),
    "TRIANGULAR_BLOCK": Choice((16, 256), SQUARES_READ),
    "SHUFFLED_SAMPLES_PER_BLOCK": Choice((1, 4096), SHUFFLED),
    "MEMBERS_PER_THREAD": Choice((1, 64), LARGE_ONES),
    "STEPS_PER_TARGET_CHECK": Choice((1, 512), LARGE_TARGETED),
    "DRAWS_PER_CALL": Choice((10_000, 10**9), LONG_STARTS),
    "COSTS_PER_CALL": Choice((10_000, 10**9), RECORDED_ONES),
    "MAX_SEARCH_BATCH": Choice((0, 10**9), SEARCHED),
    "MAX_SEARCH_WORK": Choice((0, 10**9), SEARCHED),
    "MIN_SEARCH_STEPS": Choice((0, 10**9), SHORT_SEARCHES),
    "SEARCH_SAMPLES_PER_CALL": Choice((100_000, 10**9), SEARCHED[:2]),
    "SHARED_ORDERS": Choice((0, 10**9), SEARCHED[:2]),
}


class _Patched(SourceFileLoader):
    """Loads a module and then sets some of its names, before anyone else has read them."""

    settings: ClassVar[dict[str, float]] = {}

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        vars(module).update({name: value for name, value in self.settings.items() if name in vars(module)})


class _Finder:
    """Finds the choices ahead of Python's own finders."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in MODULES or path is None:
            return None
        file = str(Path(next(iter(path))) / "choices.py")
        return importlib.util.spec_from_file_location(name, file, loader=_Patched(name, file))


def serve(settings: dict[str, float]) -> None:
    """In a process of its own: for each case on standard input, with a length, the seconds that it took."""
    _Patched.settings = settings
    sys.meta_path.insert(0, _Finder())
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        case, length = json.loads(line)
        print(json.dumps(seconds(Case(**case), length)), flush=True)


def seconds(case: Case, length: int) -> float:
    """Of so many steps, or calls."""
    import numpy as np

    import fastxor as fx

    if case.first:
        fx.warmup()
    sizes = [int(n) for n in case.sizes]
    network = fx.Network(sizes, output="identity" if case.samples > 4 else "sigmoid")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.samples, sizes[0])).astype(case.dtype).T
    Y = rng.integers(0, 2, (sizes[-1], case.samples)).astype(case.dtype)
    parameters = {name: value / 2 for name, value in network.initialize(0, dtype=case.dtype).items()}
    rate = fx.schedules.cosine(1e-4, 10**9) if case.scheduled else 1e-4
    optimizer = fx.LevenbergMarquardt() if case.least_squares else fx.Adam(rate) if case.adam else fx.SGD(rate)
    if not case.first:
        fx.warmup(network, case.samples)
    if case.searched:
        return of_search(case, X, Y, length)
    if case.members:
        return of_many(case, network, X, Y, length)
    began = time.perf_counter()
    if case.iterations == 0:
        for _ in range(length):
            network.gradient(parameters, X, Y)
    else:
        seen = (X[:, : case.validation], Y[:, : case.validation]) if case.validation else None
        interval = case.samples // (case.batch or case.samples) if seen else length
        fx.train(
            network, X, Y, parameters=parameters, optimizer=optimizer, iterations=length, batch_size=case.batch,
            random_state=0, interval=interval, validation=seen, threads=case.threads, backend=case.backend,
        )  # fmt: skip
    return time.perf_counter() - began


def of_search(case: Case, X: np.ndarray, Y: np.ndarray, length: int) -> float:
    """Of so many epochs of each fit of a search."""
    import numpy as np

    from fastxor.sklearn import GridSearchCV, MLPRegressor

    hidden = tuple(int(n) for n in case.sizes[1:-1])
    fit = MLPRegressor(hidden, batch_size=case.batch, max_iter=length, tol=0.0, n_iter_no_change=length, random_state=0)
    search = GridSearchCV(fit, {"alpha": np.logspace(-4, 0, case.searched)}, cv=2, refit=False, n_jobs=case.threads)
    began = time.perf_counter()
    search.fit(np.ascontiguousarray(X.T), Y[0])
    return time.perf_counter() - began


def of_many(case: Case, network: Network, X: np.ndarray, Y: np.ndarray, length: int) -> float:
    """The same of a population."""
    import numpy as np

    import fastxor as fx
    from fastxor.backends import resolve

    theta = np.random.default_rng(0).standard_normal((case.members, network.count)).astype(case.dtype) / 2
    starts = [network.unflatten(row) for row in theta]
    parameters = {name: np.stack([start[name] for start in starts]) for name in starts[0]}
    begin = {"members": case.members} if case.drawn else {"parameters": parameters}
    began = time.perf_counter()
    if case.iterations == 0:
        for _ in range(length):
            resolve().cohort_outputs(network, theta, X, case.threads)
    else:
        fx.train_population(
            network, X, Y, **begin, optimizer=fx.Adam(1e-4) if case.adam else fx.SGD(1e-4),
            iterations=length, batch_size=case.batch, random_state=0, interval=1 if case.targeted else length,
            threads=case.threads, target_cost=0.0 if case.targeted else None, backend=case.backend,
        )  # fmt: skip
    return time.perf_counter() - began


class Process:
    """One with these settings, which times cases."""

    def __init__(self, settings: dict[str, float], cache: str | None) -> None:
        environment = {**os.environ, **({"NUMBA_CACHE_DIR": cache} if cache else {})}
        command = [sys.executable, "-m", "benchmarks.choices", "--serve", json.dumps(settings)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def __call__(self, case: Case, length: int) -> float:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([asdict(case), length]) + "\n")
        self._process.stdin.flush()
        return float(json.loads(self._process.stdout.readline()))

    def length(self, case: Case) -> int:
        """How many steps or calls fill a sample."""
        if case.iterations > 0:
            return case.iterations
        length = 1
        while (taken := self(case, length)) < SAMPLE / 4:
            length *= 4
        return max(1, round(length * SAMPLE / taken))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def ratios(name: str, choice: Choice, case: Case, folder: str) -> dict[float, float]:
    """For every other value, the median of the present one's time by its own; caches are in the folder."""
    settings: list[dict[str, float]] = [{}, *({name: value} for value in choice.others)]
    times: list[list[float]] = [[] for _ in settings]
    caches = [None, *(str(Path(folder) / str(value)) for value in choice.others)]

    def started() -> list[Process]:
        if choice.cold:
            return [Process(setting, tempfile.mkdtemp(dir=folder)) for setting in settings]
        return [Process(setting, cache) for setting, cache in zip(settings, caches, strict=True)]

    processes = started()
    length = processes[0].length(case)
    for _ in range(3 if case.first else ROUNDS):
        for process, taken in zip(processes, times, strict=True):
            if not case.first and not taken:
                process(case, length)  # what has to be compiled is
            taken.append(process(case, length))
        if case.first:
            for process in processes:
                process.close()
            processes = started()
    for process in processes:
        process.close()
    pairs = {value: zip(times[0], other, strict=True) for value, other in zip(choice.others, times[1:], strict=True)}
    return {value: statistics.median(now / then for now, then in pair) for value, pair in pairs.items()}


def present(name: str) -> float:
    from fastxor import choices as upper
    from fastxor.backends.fused import choices

    return float(vars(choices).get(name, vars(upper).get(name)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choices", description="Measure choices by cost.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CHOICES)}; default: all")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(json.loads(options.serve))
        return
    if unknown := set(options.names) - set(CHOICES):
        parser.error(f"there is no choice named {', '.join(sorted(unknown))}; there are {', '.join(CHOICES)}")
    for name in options.names or CHOICES:
        choice = CHOICES[name]
        print(f"{name} = {present(name):g}; speed with another value, beside this one:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            for case in choice.cases:
                found = ", ".join(f"{value:g}: {r:.3f}" for value, r in ratios(name, choice, case, folder).items())
                print(f"  {found}   {case.label}", flush=True)


if __name__ == "__main__":
    main()
