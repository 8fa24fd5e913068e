"""The one table of jobs: what `fastxor bench` and the benchmarks time, and what the tests hold both cores to.

A job is a `Problem`: a network, data, starting weights, an optimizer and the order of the samples, the same bits for
every core and peer. `PROBLEMS` are the cases of `fastxor bench`, `TUTORIAL` is a grid of the tutorial's networks,
`BASES` are what other benchmarks start from and vary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count, repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastxor as fx
from fastxor import validation
from fastxor.names import Activation, Loss, Output
from fastxor.optimizers import Optimizer
from fastxor.state import Shuffle

Array = NDArray[Any]
Result = dict[str, Array]
Run = Callable[[int], Result]  # this many iterations (or calls) from the start, and what they end with
Contenders = dict[str, dict[str, Run]]  # by name, the ways each has of doing it: the fastest speaks for it

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, in every peer
TOLERANCE = {"float64": 1e-8, "float32": 1e-2}  # where no problem has one of its own


# ---------------------------------------------------------------- data: X (n_x, m) and Y (n_y, m)


def labelled(problem: Problem) -> tuple[Array, Array]:
    """Normal features; random labels of 0 and 1, one-hot for softmax, or counts, or values on both sides of them."""
    draw, n_y = np.random.RandomState([problem.seed, problem.m]), problem.sizes[-1]
    X = draw.standard_normal((problem.sizes[0], problem.m))
    if problem.network.loss == "cross_entropy":
        return X, np.eye(n_y)[:, draw.randint(n_y, size=problem.m)]
    if problem.network.loss == "binary_cross_entropy":
        return X, (draw.random_sample((n_y, problem.m)) < 0.5).astype(float)
    if problem.network.loss == "poisson":
        return X, draw.poisson(1.0, (n_y, problem.m)).astype(float)
    return X, 1.5 * draw.standard_normal((n_y, problem.m))


def soft(problem: Problem) -> tuple[Array, Array]:
    """The same, where every other sample has probabilities in the place of labels."""
    X, Y = labelled(problem)
    draw, others = np.random.RandomState([problem.seed, problem.m, 1]), Y[:, 1::2]
    if problem.network.loss == "cross_entropy":
        others[:] = draw.dirichlet(np.ones(len(Y)), others.shape[1]).T
    elif problem.network.loss == "binary_cross_entropy":
        others[:] = draw.random_sample(others.shape)
    return X, Y


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


# ---------------------------------------------------------------- starting weights and biases, of each layer


def spread(problem: Problem) -> list[tuple[Array, Array]]:
    """Sums of about 1 in every layer, and biases that are not zero, so that a forgotten one shows."""
    draw = np.random.RandomState([problem.seed, 7])
    return [
        (draw.standard_normal((n, k)) / np.sqrt(k), 0.3 * draw.standard_normal((n, 1)))
        for n, k in zip(problem.sizes[1:], problem.sizes, strict=False)
    ]


def tutorials(problem: Problem, scale: float = 1.0) -> list[tuple[Array, Array]]:
    """As the tutorial draws them after `np.random.seed(seed)`, times `scale`: wide layers would start saturated."""
    draw = np.random.RandomState(problem.seed)
    return [
        (scale * draw.standard_normal((n, k)), np.zeros((n, 1)))
        for n, k in zip(problem.sizes[1:], problem.sizes, strict=False)
    ]


def each_its_own(problem: Problem) -> list[tuple[Array, Array]]:
    """As `spread`, for many networks: (members, n, k) and (members, n, 1)."""
    draw, members = np.random.RandomState([problem.seed, 7]), problem.members
    return [
        (draw.standard_normal((members, n, k)) / np.sqrt(k), 0.3 * draw.standard_normal((members, n, 1)))
        for n, k in zip(problem.sizes[1:], problem.sizes, strict=False)
    ]


# ---------------------------------------------------------------- a row of the table


@dataclass(frozen=True)
class Problem:
    """One job. `train` runs iterations, one update each, in one call, and `stopping` does so with an eye on samples
    held out, after each epoch; `functions` makes them from the tutorial's functions, in the caller's own loop;
    `gradient`, `vjp`, `jacobian` and `predict` make one call after the other from Python. `population` trains many
    networks, whose arrays have an axis in front, each at a learning rate of its own.
    """

    name: str
    sizes: tuple[int, ...]
    hidden: Activation | tuple[Activation, ...]  # tanh or relu in what peers are given, for all hidden layers
    output: Output
    m: int
    dtype: str
    optimizer: Optimizer
    batch: int | None = None  # samples per update, reshuffled each epoch; None: all of them, in order
    loss: Loss | None = None  # None: the one that belongs to the output
    source: Callable[[Problem], tuple[Array, Array]] = labelled
    weights: Callable[[Problem], list[tuple[Array, Array]]] = spread
    kind: str = "train"
    members: int = 1  # networks that are trained at once, of which stated times are for one
    unit: str = "step"  # what a stated time is for
    iterations: int = 20  # after which results are compared
    tolerance: float = 1e-9  # of a parameter array's movement since the start, in the root mean square
    seed: int = 0  # of the data, unless they are fixed, of the starting parameters and of the batch order

    @cached_property
    def network(self) -> fx.Network:
        return fx.Network(self.sizes, self.hidden, self.output, self.loss)

    @property
    def adam(self) -> bool:
        return isinstance(self.optimizer, fx.Adam)

    @property
    def learning_rate(self) -> float:
        rate: float = self.optimizer.learning_rate  # type: ignore[union-attr, assignment]  # of all with jobs here
        return rate

    @property
    def layers(self) -> range:
        return range(1, len(self.sizes))

    @property
    def per_epoch(self) -> int:
        return 1 if self.batch is None else -(-self.m // self.batch)

    @property
    def per_unit(self) -> int:
        """Iterations in one of the units that times are stated for."""
        return self.per_epoch if self.unit == "epoch" else 1

    @property
    def multiply_adds(self) -> int:
        """Of all samples once: products forward, for the weights' gradients, and back to all but the inputs, unless
        their derivative is asked for."""
        weights = [n * k for n, k in zip(self.sizes[1:], self.sizes, strict=False)]
        forward, back = sum(weights), 2 * sum(weights) - weights[0]
        if self.kind == "vjp":
            back += weights[0]
        if self.kind == "jacobian":  # a row of W, times a slope, through all layers below
            back = self.sizes[-1] * (forward - weights[-1])
        return self.m * (forward + back * (self.kind != "predict"))

    @property
    def description(self) -> str:
        layers = f"{'-'.join(map(str, self.sizes))} {'+'.join(dict.fromkeys(self.network.hidden))}/{self.output}"
        samples = "one sample" if self.m == 1 else f"{self.m:,} samples"
        batch = "" if self.batch is None else f" in batches of {self.batch}"
        rule = (", Adam" if self.adam else ", gradient descent") if self.kind in _SAYS else ""
        says, unit = (_SAYS | _CALLS)[self.kind].format(self.members), self.unit
        unit += " of one network" if self.kind == "population" else ""
        return f"{layers}, {samples}{batch}, {self.dtype}{rule}{says}; one {unit}"

    @cached_property
    def rates(self) -> Array:
        """The members' learning rates."""
        return np.linspace(0.5, 1.5, self.members) * self.learning_rate

    @cached_property
    def data(self) -> tuple[Array, Array]:
        """X (n_x, m) and Y (n_y, m)."""
        X, Y = self.source(self)
        return np.ascontiguousarray(X, self.dtype), np.ascontiguousarray(Y, self.dtype)

    @cached_property
    def held(self) -> tuple[Array, Array]:
        """X and Y that are held out."""
        X, Y = digits_split(self)[1]
        return np.ascontiguousarray(X, self.dtype), np.ascontiguousarray(Y, self.dtype)

    @cached_property
    def start(self) -> Result:
        """Starting parameters; read only, so that a peer that trains in place is found out."""
        parameters = {}
        for layer, (W, b) in zip(self.layers, self.weights(self), strict=True):
            parameters[f"W{layer}"], parameters[f"b{layer}"] = W.astype(self.dtype), b.astype(self.dtype)
        for value in parameters.values():
            value.flags.writeable = False
        return parameters

    def generator(self) -> np.random.Generator:
        """Where fastxor has the seed from that the orders of all epochs follow from."""
        return np.random.default_rng(self.seed)

    def batches(self) -> Iterator[Array | None]:
        """Endlessly, the samples of each step: all, or the next of an epoch's order. The last may be fewer."""
        return batches(self.m, self.batch, validation.seed(self.generator()))

    def orders(self, iterations: int) -> Array:
        """The same in one array, (iterations, batch): part of a run, so every peer draws them in its own."""
        assert self.batch is not None
        assert self.m % self.batch == 0
        shuffle = Shuffle(validation.seed(self.generator()), self.m)
        epochs = -(-iterations // self.per_epoch)
        return shuffle.orders(0, epochs).reshape(-1, self.batch)[:iterations].astype(np.int32)

    def train(self, backend: str, **changes: Any) -> fx.Result:
        """A run by fastxor, of this problem as it is or with other arguments."""
        arguments: dict[str, Any] = {
            "parameters": self.start,
            "optimizer": self.optimizer,
            "iterations": self.iterations,
            "batch_size": self.batch,
            "random_state": self.generator(),
            "interval": 3,  # so that costs on the way can be compared as well
            "backend": backend,
        }
        return fx.train(self.network, *self.data, **arguments | changes)

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


# What descriptions say of a kind: of runs, and of calls.
_SAYS = {
    "train": "",
    "stopping": ", early stopping on 357 samples held out",
    "functions": ", the tutorial's functions in one's own loop",
    "population": ", {:,} networks at learning rates of their own",
}
_CALLS = {
    "gradient": "",
    "vjp": ", outputs and the way back to parameters and samples",
    "jacobian": ", all outputs by all inputs",
    "predict": "",
}


def flat(parameters: Mapping[str, Array]) -> Array:
    """W1, b1, W2, ... in one new vector."""
    return np.concatenate([value.ravel() for value in parameters.values()])


def views(vector: Array, like: Mapping[str, Array]) -> Result:
    """The arrays that `flat` joined, as views."""
    ends = np.cumsum([value.size for value in like.values()])
    parts = np.split(vector, ends[:-1])
    return {key: part.reshape(value.shape) for (key, value), part in zip(like.items(), parts, strict=True)}


def batches(m: int, size: int | None, seed: int) -> Iterator[Array | None]:
    """As `Problem.batches`; None for all samples."""
    if size is None:
        return repeat(None)
    shuffle = Shuffle(seed, m)
    return (shuffle.orders(epoch, 1)[0, start : start + size] for epoch in count() for start in range(0, m, size))


# ---------------------------------------------------------------- the cases of `fastxor bench`

XOR: dict[str, Any] = {
    "hidden": "tanh",
    "output": "sigmoid",
    "m": 4,
    "dtype": "float64",
    "optimizer": fx.SGD(0.3),
    "source": xor,
    "iterations": 1000,
}
EXPM: dict[str, Any] = {
    "sizes": (4, 32, 16, 4),
    "hidden": "tanh",
    "output": "identity",
    "dtype": "float32",
    "optimizer": fx.Adam(1e-3),
}

DIGITS: dict[str, Any] = {
    "sizes": (64, 32, 10),
    "hidden": "relu",
    "output": "softmax",
    "m": 1440,
    "dtype": "float32",
    "optimizer": fx.Adam(1e-3),
    "batch": 32,
    "source": digits,
    "unit": "epoch",
    "iterations": 45,
    "tolerance": 1e-2,
}
CALLS: dict[str, Any] = {
    "sizes": (24, 8, 2),
    "hidden": "tanh",
    "output": "identity",
    "m": 200,
    "dtype": "float64",
    "optimizer": fx.SGD(),
    "unit": "call",
    "iterations": 1,
}

PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("xor", (2, 2, 1), **XOR),
        Problem("xor-wide-8", (2, 8, 1), **XOR),
        Problem("xor-wide-32", (2, 32, 1), **XOR),
        Problem("functions", (2, 2, 1), kind="functions", **XOR),
        Problem("expm", m=10_000, source=matrix_exponential, unit="epoch", tolerance=1e-2, **EXPM),
        Problem("digits", **DIGITS),
        Problem("stopping", kind="stopping", **DIGITS),
        Problem("mid", (64, 128, 1), "tanh", "sigmoid", 1024, "float32", fx.SGD(0.3), tolerance=1e-3),
        Problem("wide", (784, 256, 10), "relu", "softmax", 256, "float32", fx.SGD(0.1), tolerance=1e-3),
        *(Problem(kind, kind=kind, **CALLS) for kind in ("gradient", "vjp", "jacobian")),
        Problem("predict", m=1, kind="predict", unit="call", iterations=1, tolerance=1e-5, **EXPM),
    )
}  # fmt: skip

ADAM = fx.Adam(0.01)


def _populations(name: str, *members: int, **changes: Any) -> list[Problem]:
    base = {"kind": "population", "weights": each_its_own, "iterations": 20, "tolerance": TOLERANCE[changes["dtype"]]}
    return [Problem(f"{name}, {k:,}", members=k, **(changes | base)) for k in members]


# What `fastxor bench --cases population` times.
POPULATIONS = {
    problem.name: problem
    for problem in (
        *_populations("population", 64, 1024, 16384, sizes=(2, 2, 1), **XOR),
        *_populations("population-float32", 64, 1024, 16384, sizes=(2, 2, 1), **XOR | {"dtype": "float32"}),
        *_populations("population-adam", 1024, sizes=(2, 8, 1), **XOR | {"dtype": "float32", "optimizer": ADAM}),
        *_populations("population-mid", 64, m=256, **EXPM),
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
        return Problem(name, (8, hidden, 1), "tanh", "sigmoid", m, "float32", fx.SGD(0.1), tolerance=1e-3)

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


# ---------------------------------------------------------------- shapes of all kinds


def _shape(sizes: tuple[int, ...], m: int, batch: int | None = None, adam: bool = False) -> Problem:
    """relu and softmax for several outputs, else tanh and identity."""
    several = sizes[-1] > 2
    name = "-".join(map(str, sizes)) + (f" in batches of {batch}" if batch else f" on {m:,}") + ", Adam" * adam
    return Problem(
        name,
        sizes,
        "relu" if several else "tanh",
        "softmax" if several else "identity",
        m,
        "float32",
        fx.Adam(1e-3) if adam else fx.SGD(1e-2),
        batch,
        tolerance=2e-2,
    )


# Up to 400,000 parameters: tiny, deep, wide, of few samples and of many, on all of them and on mini-batches.
SHAPES = {
    problem.name: problem
    for problem in (
        *(_shape(sizes, m) for sizes in ((2, 4, 1), (2, 16, 1), (3, 5, 2), (2, 8, 8, 1)) for m in (8, 100)),
        *(_shape((4, 16, 3), 144, batch, adam) for batch in (None, 16) for adam in (False, True)),
        _shape((13, 50, 1), 506),
        _shape((13, 64, 64, 1), 480, 32, adam=True),
        _shape((30, 30, 2), 569),
        _shape((30, 100, 2), 576, 64, adam=True),
        _shape((1, 10, 1), 200, adam=True),
        _shape((1, 64, 64, 1), 200),
        _shape((2, 32, 32, 1), 256),
        _shape((2, 20, 20, 20, 20, 1), 1000, adam=True),
        _shape((8, 32, 1), 10_000),
        _shape((8, 32, 1), 10_240, 256, adam=True),
        _shape((4, 8, 2), 50_000),
        *(_shape((16, n, 4), 512) for n in (32, 256, 1024)),
        *(_shape((64, n, 10), 1440, 32, adam=True) for n in (64, 256)),
        *(_shape((64, 64, 64, 10), 1408, batch) for batch in (None, 128)),
        _shape((32, 64, 32, 1), 2000),
        _shape((100, 100, 100, 100), 256),
        _shape((128, 128, 10), 1024, 128),
        _shape((200, 500, 1), 1000),
        *(_shape((784, n, 10), 2560, 128, adam) for n in (32, 64, 128) for adam in (False, True)),
        _shape((784, 128, 10), 2560, 32, adam=True),
        _shape((784, 256, 10), 2560, 256, adam=True),
        _shape((784, 400, 10), 2560, 128),
        _shape((784, 128, 64, 10), 2560, 128, adam=True),
        _shape((784, 300, 100, 10), 2500, 100, adam=True),
        _shape((100, 256, 256, 10), 2560, 128, adam=True),
        _shape((256, 256, 256, 10), 1280, 128),
        _shape((512, 512, 10), 1280, 64),
        _shape((1000, 100, 2), 1000, 200),
        _shape((64, 512, 512, 4), 1024, 256),
        _shape((600, 600, 10), 1024, 256, adam=True),
    )
}


# ---------------------------------------------------------------- the tutorial's networks, and what others vary


def in_dtype(problem: Problem, dtype: str) -> Problem:
    return problem if dtype == problem.dtype else replace(problem, dtype=dtype, tolerance=TOLERANCE[dtype])


# sizes: the numbers of samples, then what differs from the rest. No run is chaotic: plain numpy stays within a tenth of
# the tests' tolerance of the same run in the next wider precision (which the last row's seed is chosen for: of its
# 6,400 weights none ends at zero).
_GRID: dict[tuple[int, int, int], tuple[tuple[int, ...], dict[str, Any]]] = {
    (2, 2, 1): ((1, 2, 3, 5, 7, 1000), {}),
    (1, 1, 1): ((1, 2, 4, 9, 100, 1000), {}),
    (3, 5, 2): ((1, 3, 4, 8, 17, 129), {}),
    (7, 13, 3): ((2, 5, 7, 9, 100, 1000), {}),
    (64, 100, 10): (
        (1, 3, 8, 17, 129),
        {"optimizer": fx.SGD(0.05), "weights": partial(tutorials, scale=0.1), "seed": 7},
    ),
}


def _tutorial() -> dict[str, Problem]:
    """The golden run, then the grid; first in float64, then in float32."""
    base = Problem(
        "", (1, 1, 1), "tanh", "sigmoid", 1, "float64", fx.SGD(0.1), weights=tutorials,
        iterations=1001,  # as many updates as `model` makes of `num_of_iters` 1000
        tolerance=TOLERANCE["float64"],
    )  # fmt: skip
    rows = [replace(base, name="xor", sizes=(2, 2, 1), m=4, optimizer=fx.SGD(0.3), source=xor, seed=2)]
    for sizes, (samples, changes) in _GRID.items():
        rows += [replace(base, sizes=sizes, m=m, **changes) for m in samples]
    table = {}
    for dtype in ("float64", "float32"):
        for row in rows:
            name = "-".join(filter(None, [row.name, *map(str, row.sizes), f"m{row.m}", dtype]))
            table[name] = replace(in_dtype(row, dtype), name=name)
    return table


TUTORIAL = _tutorial()

BASES = {
    problem.name: problem
    for problem in (
        Problem("small", (8, 16, 16, 3), "tanh", "softmax", 100, "float64", fx.SGD(0.1)),
        Problem("scaling", (16, 32, 4), "tanh", "identity", 256, "float32", fx.SGD(1e-3), tolerance=1e-3),
        Problem("batches", (4, 8, 2), "tanh", "softmax", 2048, "float64", fx.Adam(1e-3), batch=2048),
    )
}
