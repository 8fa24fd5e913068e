"""C: network.c compiled for one problem by gcc -O3 -march=native -ffast-math, called through ctypes."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from fastxor.bench.problems import Contenders, Problem, Result, Run, flat, views

KINDS = ("train", "gradient", "predict", "population")

SOURCE = Path(__file__).with_name("network.c")
POPULATION = Path(__file__).with_name("population.c")
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "-pthread")

# a product's block of sums: rows x vectors forward and back, rows x columns of vectors for the weights' gradients
BLOCKS = {256: {"ROWS": 8, "VECTORS": 1, "COLUMNS": 2}, 512: {"ROWS": 8, "VECTORS": 3, "COLUMNS": 4}}

COMPILER = shutil.which("gcc")
if COMPILER is None:
    raise ImportError("there is no gcc")


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fastxor-c-peer-")


def build(source: Path, macros: Mapping[str, object], flags: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Compile into a directory of this process's own, and load."""
    with tempfile.NamedTemporaryFile(suffix=".so", dir=_directory().name, delete=False) as library:
        defined = [f"-D{name}={value}" for name, value in macros.items()]
        wanted = os.environ.get("CFLAGS", "").split()
        command = [COMPILER, *FLAGS, *flags, *wanted, *defined, str(source), "-o", library.name, "-lm"]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{COMPILER} failed: {done.stderr.strip()}")
    return ctypes.CDLL(library.name)


TILE = 128  # samples


def tile(m: int, most: int = TILE) -> int:
    """The largest number of samples per tile that divides m, in whole vectors where that is possible."""
    divisors = [n for n in range(1, most + 1) if m % n == 0]
    return next(max(whole) for unit in (16, 8, 1) if (whole := [n for n in divisors if n % unit == 0]))


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _run(problem: Problem, library: ctypes.CDLL) -> Run:
    X, Y = problem.data

    def train(iterations: int) -> Result:
        P = flat(problem.start)
        orders = None if problem.batch is None else problem.orders(iterations)
        library.train(
            _pointer(X),
            _pointer(Y),
            None if orders is None else _pointer(orders),
            ctypes.c_long(iterations),
            ctypes.c_double(problem.learning_rate),
            _pointer(P),
        )
        return views(P, problem.start)

    def gradient(calls: int) -> Result:
        P = flat(problem.start)
        G = np.empty_like(P)
        library.gradient.restype = ctypes.c_double
        arguments = [_pointer(array) for array in (X, Y, P, G)]
        for _ in range(calls):
            cost = library.gradient(*arguments)
        return {"cost": np.asarray(cost), **{f"d{key}": value for key, value in views(G, problem.start).items()}}

    def predict(calls: int) -> Result:
        P = flat(problem.start)
        outputs = np.empty((problem.sizes[-1], 1), problem.dtype)
        arguments = [_pointer(array) for array in (X, P, outputs)]
        for _ in range(calls):
            library.predict(*arguments)
        return {"outputs": outputs}

    return {"train": train, "gradient": gradient, "predict": predict}[problem.kind]


def _population(problem: Problem, library: ctypes.CDLL) -> Run:
    X, Y = problem.data

    def train(iterations: int) -> Result:
        starts = [value.reshape(problem.members, -1).T for value in problem.start.values()]
        theta = _aligned(np.concatenate(starts))
        rates = _aligned(problem.rates.astype(problem.dtype))
        steps = ctypes.c_long(problem.members), ctypes.c_long(iterations)
        library.train(_pointer(X), _pointer(Y), _pointer(rates), *steps, _pointer(theta))
        rows = np.cumsum([len(start) for start in starts])[:-1]
        parts = zip(problem.start.items(), np.split(theta, rows), strict=True)
        return {key: part.T.reshape(start.shape) for (key, start), part in parts}

    return train


def _aligned(array: np.ndarray) -> np.ndarray:
    """A copy that begins where a cache line does."""
    space = np.empty(array.size + 64, array.dtype)
    start = -space.ctypes.data % 64 // array.itemsize
    copy = space[start : start + array.size].reshape(array.shape)
    copy[...] = array
    return copy


def _populations(problem: Problem) -> dict[str, Run]:
    """libm's exp and tanh or one's own, by the width of a vector, whose lanes are networks."""
    macros = {
        "REAL": "double" if problem.dtype == "float64" else "float",
        "INTEGER": "long long" if problem.dtype == "float64" else "int",
        "LAYERS": len(problem.layers),
        **{f"N{i}": n for i, n in enumerate((*problem.sizes, 0)[:4])},
        "SAMPLES": problem.m,
        "SIGMOID": int(problem.output == "sigmoid"),
        "ADAM": int(problem.adam),
    }
    runs = {}
    for math, width in product(("libm", "own"), BLOCKS):
        prefer = (f"-mprefer-vector-width={width}",) if platform.machine() in ("x86_64", "AMD64") else ()
        library = build(POPULATION, macros | {"OWN_MATH": int(math == "own"), "WIDTH": width}, prefer)
        runs[f"{math} math, {width} bits"] = _population(problem, library)
    return runs


def can_share(problem: Problem) -> bool:
    """Whether network.c's pair of threads has a half each: whole tiles of all samples, and no mini-batches."""
    return problem.kind == "train" and problem.batch is None and problem.m > TILE


def contenders(problem: Problem, threads: int) -> Contenders:
    """Each of the libraries."""
    if threads > 1 and not can_share(problem):
        return {}
    if problem.kind == "population":
        return {"C": _populations(problem)}
    return {"C": {name: _run(problem, library) for name, library in libraries(problem, threads).items()}}


def libraries(problem: Problem, threads: int = 1) -> dict[str, ctypes.CDLL]:
    """libm's exp and tanh or vectorised ones, by the vector width that gcc prefers and the samples in a tile."""
    macros = {
        "REAL": "double" if problem.dtype == "float64" else "float",
        "LAYERS": len(problem.layers),
        **{f"N{i}": n for i, n in enumerate((*problem.sizes, 0)[:4])},
        "SAMPLES": problem.m,
        "BATCH": problem.batch or problem.m,
        "SHUFFLED": int(problem.batch is not None),
        "TANH": int(problem.hidden == "tanh"),
        "SIGMOID": int(problem.output == "sigmoid"),
        "SOFTMAX": int(problem.output == "softmax"),
        "ADAM": int(problem.adam),
        "THREADS": threads,
    }
    tiles = sorted({tile(problem.batch or problem.m, most) for most in (TILE, 400)})
    found = {}
    for math, width, samples in product(("libm", "own"), BLOCKS, tiles):
        chosen = {"OWN_MATH": int(math == "own"), "WIDTH": width, "TILE": samples, **BLOCKS[width]}
        prefer = (f"-mprefer-vector-width={width}",) if platform.machine() in ("x86_64", "AMD64") else ()
        found[f"{math} math, {width} bits, tile {samples}"] = build(SOURCE, macros | chosen, prefer)
    return found


def version() -> str:
    return f"gcc {subprocess.check_output([COMPILER, '-dumpfullversion'], text=True).strip()}"
