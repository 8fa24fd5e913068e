"""What is timed, as problems: data, starting parameters and batch order, the same bits for every peer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastxor import validation
from fastxor.state import Shuffle

Array = NDArray[Any]
Result = dict[str, Array]
Run = Callable[[int], Result]  # this many iterations (or calls) from the start, and what they end with
Contenders = dict[str, dict[str, Run]]  # by name, the ways each has of doing it: the fastest speaks for it

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, in every peer


@dataclass(frozen=True)
class Problem:
    """One case. `train` runs iterations, one update each, in one call; `functions` makes them from the tutorial's
    functions, in the caller's own loop; `gradient` and `predict` make one call after the other from Python."""

    name: str
    sizes: tuple[int, ...]
    hidden: str  # tanh or relu
    output: str  # sigmoid, softmax or identity, with the loss that belongs to it
    m: int
    dtype: str
    learning_rate: float
    adam: bool = False
    batch: int | None = None  # samples per update, reshuffled each epoch; None: all of them, in order
    kind: str = "train"
    unit: str = "step"  # what a stated time is for
    check: int = 20  # iterations after which results are compared
    tolerance: float = 1e-9  # of a parameter array's movement since the start, in the root mean square
    seed: int = 0  # of the starting parameters and of the batch order

    @property
    def loss(self) -> str:
        return {"sigmoid": "binary_cross_entropy", "softmax": "cross_entropy", "identity": "squared_error"}[self.output]

    @property
    def layers(self) -> range:
        return range(1, len(self.sizes))

    @property
    def per_epoch(self) -> int:
        return 1 if self.batch is None else self.m // self.batch

    @property
    def per_unit(self) -> int:
        """Iterations in one of the units that times are stated for."""
        return self.per_epoch if self.unit == "epoch" else 1

    @property
    def multiply_adds(self) -> int:
        """Of all samples once: products forward, for the weights' gradients, and back to all but the inputs."""
        weights = [n * k for n, k in zip(self.sizes[1:], self.sizes, strict=False)]
        return self.m * (sum(weights) if self.kind == "predict" else 3 * sum(weights) - weights[0])

    @property
    def description(self) -> str:
        layers = f"{'-'.join(map(str, self.sizes))} {self.hidden}/{self.output}"
        samples = "one sample" if self.m == 1 else f"{self.m:,} samples"
        batch = "" if self.batch is None else f" in batches of {self.batch}"
        rule = "" if self.kind in ("gradient", "predict") else ", Adam" if self.adam else ", gradient descent"
        loop = ", the tutorial's functions in one's own loop" if self.kind == "functions" else ""
        return f"{layers}, {samples}{batch}, {self.dtype}{rule}{loop}; one {self.unit}"

    @cached_property
    def data(self) -> tuple[Array, Array]:
        """X (n_x, m) and Y (n_y, m)."""
        X, Y = DATA.get(self.name.partition("-")[0], random_data)(self)
        return np.ascontiguousarray(X, self.dtype), np.ascontiguousarray(Y, self.dtype)

    @cached_property
    def start(self) -> Result:
        """Starting parameters; read only, so that a peer that trains in place is found out."""
        random = np.random.default_rng([2, self.seed])
        parameters = {}
        for layer, n, k in zip(self.layers, self.sizes[1:], self.sizes, strict=False):
            parameters[f"W{layer}"] = (random.standard_normal((n, k)) / np.sqrt(k)).astype(self.dtype)
            parameters[f"b{layer}"] = np.zeros((n, 1), self.dtype)
        for value in parameters.values():
            value.flags.writeable = False
        return parameters

    def generator(self) -> np.random.Generator:
        """Where fastxor has the seed from that the orders of all epochs follow from."""
        return np.random.default_rng(self.seed)

    def orders(self, iterations: int) -> Array:
        """The samples of each mini-batch, (iterations, batch): part of a run, so every peer draws them in its own."""
        assert self.batch is not None
        shuffle = Shuffle(validation.seed(self.generator()), self.m)
        epochs = -(-iterations // self.per_epoch)
        drawn = np.concatenate([shuffle.order(epoch) for epoch in range(epochs)])
        return drawn.reshape(-1, self.batch)[:iterations].astype(np.int32)

    def difference(self, actual: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
        """The largest distance over the arrays, each as a share of how far the expected one has moved."""
        assert set(actual) == set(expected), f"{set(actual)} is not {set(expected)}"
        worst = 0.0
        for key, value in expected.items():
            found = np.asarray(actual[key])
            assert found.shape == value.shape, f"{key} is {found.shape}, not {value.shape}"
            assert found.dtype == self.dtype, f"{key} is {found.dtype}, not {self.dtype}"
            wanted = value.astype(float)
            moved = np.linalg.norm(wanted - self.start.get(key, 0))
            worst = max(worst, float(np.linalg.norm(found - wanted) / max(moved, np.finfo(self.dtype).tiny)))
        return worst


def flat(parameters: Mapping[str, Array]) -> Array:
    """W1, b1, W2, ... in one new vector."""
    return np.concatenate([value.ravel() for value in parameters.values()])


def views(vector: Array, like: Mapping[str, Array]) -> Result:
    """The arrays that `flat` joined, as views."""
    ends = np.cumsum([value.size for value in like.values()])
    parts = np.split(vector, ends[:-1])
    return {key: part.reshape(value.shape) for (key, value), part in zip(like.items(), parts, strict=True)}


def random_data(problem: Problem) -> tuple[Array, Array]:
    """Normal features; random targets of the output's kind."""
    random = np.random.default_rng(1)
    X = random.standard_normal((problem.sizes[0], problem.m))
    n = problem.sizes[-1]
    if problem.output == "softmax":
        return X, np.eye(n)[random.integers(n, size=problem.m)].T
    if problem.output == "sigmoid":
        return X, random.integers(2, size=(n, problem.m))
    return X, random.standard_normal((n, problem.m))


def xor(problem: Problem) -> tuple[Array, Array]:
    return np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0, 1, 1, 0]])


def matrix_exponential(problem: Problem) -> tuple[Array, Array]:
    """Random 2 x 2 matrices A, a column each, and exp(A) = exp(s) (cosh(q) I + sinh(q) / q (A - s I)), 2 s = tr(A)."""
    a, b, c, d = X = np.random.default_rng(1).standard_normal((4, problem.m))
    s, q = (a + d) / 2, np.sqrt(((a - d) / 2) ** 2 + b * c + 0j)
    even, odd = (np.exp(s) * part.real for part in (np.cosh(q), np.sinh(q) / q))
    return X, np.array([even + odd * (a - s), odd * b, odd * c, even + odd * (d - s)])


def digits(problem: Problem) -> tuple[Array, Array]:
    """The training part of scikit-learn's digits: the first samples of its table in one fixed random order."""
    return digits_split(problem)[0]


def digits_split(problem: Problem) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """scikit-learn's digits over 16, one-hot: the samples to train on, and the rest."""
    from sklearn.datasets import load_digits

    table = load_digits()
    order = np.random.default_rng(1).permutation(len(table.target))
    X, Y = table.data.T[:, order] / 16, np.eye(10)[table.target[order]].T
    m = problem.m
    return (X[:, :m], Y[:, :m]), (X[:, m:], Y[:, m:])


DATA = {"xor": xor, "functions": xor, "expm": matrix_exponential, "digits": digits}

XOR: dict[str, Any] = {
    "hidden": "tanh",
    "output": "sigmoid",
    "m": 4,
    "dtype": "float64",
    "learning_rate": 0.3,
    "check": 1000,
}
EXPM: dict[str, Any] = {
    "sizes": (4, 32, 16, 4),
    "hidden": "tanh",
    "output": "identity",
    "dtype": "float32",
    "learning_rate": 1e-3,
}

PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("xor", (2, 2, 1), **XOR),
        Problem("xor-wide-8", (2, 8, 1), **XOR),
        Problem("xor-wide-32", (2, 32, 1), **XOR),
        Problem("functions", (2, 2, 1), kind="functions", **XOR),
        Problem("expm", m=10_000, adam=True, unit="epoch", tolerance=1e-2, **EXPM),
        Problem(
            "digits",
            (64, 32, 10),
            "relu",
            "softmax",
            1440,
            "float32",
            1e-3,
            True,
            32,
            unit="epoch",
            check=45,
            tolerance=1e-2,
        ),
        Problem("mid", (64, 128, 1), "tanh", "sigmoid", 1024, "float32", 0.3, tolerance=1e-3),
        Problem("wide", (784, 256, 10), "relu", "softmax", 256, "float32", 0.1, tolerance=1e-3),
        Problem("gradient", (24, 8, 2), "tanh", "identity", 200, "float64", 0, kind="gradient", unit="call", check=1),
        Problem("predict", m=1, kind="predict", unit="call", check=1, tolerance=1e-5, **EXPM),
    )
}


@dataclass(frozen=True)
class Sweep:
    """Problems that differ in one number alone, by that number."""

    axis: str
    description: str
    problems: dict[int, Problem]


def sweeps(points: int) -> dict[str, Sweep]:
    """Small networks as in the tutorial, by what grows: so many of each, even on a scale of logarithms."""

    def scale(most: int) -> list[int]:
        return sorted({int(value) for value in np.geomspace(1, most, points).round()})

    def problem(name: str, hidden: int, m: int) -> Problem:
        return Problem(name, (8, hidden, 1), "tanh", "sigmoid", m, "float32", 0.1, tolerance=1e-3)

    rule = "tanh/sigmoid, {}, float32, gradient descent on all samples; one step"
    return {
        "hidden": Sweep(
            "hidden units",
            f"8-n-1 {rule.format('256 samples')}",
            {n: problem(f"hidden-{n}", n, 256) for n in scale(1024)},
        ),
        "samples": Sweep(
            "samples",
            f"8-32-1 {rule.format('n samples')}",
            {m: problem(f"samples-{m}", 32, m) for m in scale(65536)},
        ),
    }
