"""The table of training jobs for the general engine, and a run written out plainly to hold both cores against.

Every activation x output and loss x optimizer x batch mode x dtype is there once; sizes, depth and number of samples
rotate beside them with periods that have no common factor, so that they meet in many ways.
"""

from dataclasses import dataclass
from itertools import count, product

import numpy as np
from numpy.typing import NDArray

import fastxor as fx
from fastxor.network import ACTIVATIONS, LOSSES
from fastxor.state import Shuffle
from fastxor.validation import seed

# Every output with every loss that goes with it.
ENDS = [(output, loss) for loss, outputs in LOSSES.items() for output in outputs]
OPTIMIZERS = {
    "sgd": fx.SGD(0.03),
    "momentum": fx.SGD(0.01, 0.9),
    "nesterov": fx.SGD(0.01, 0.9, nesterov=True),
    "adam": fx.Adam(0.01),
    "adamw": fx.AdamW(0.003, weight_decay=1.0),
    "rmsprop": fx.RMSprop(0.003),
    "rmsprop-momentum": fx.RMSprop(0.001, 0.9, momentum=0.8),
    "rprop": fx.Rprop(1e-3),  # where a unit saturates, the sign of a gradient that is 0 to rounding decides on a step
}
FULL_BATCHES = [name for name, optimizer in OPTIMIZERS.items() if optimizer._full_batches]
DTYPES = ("float64", "float32")
# Around a vector's length, a register block's and a tile's.
SAMPLES = (1, 8, 9, 16, 17, 129, 257, 3, 300)
INPUTS = (3, 1, 17, 5, 33)
HIDDEN = ((5,), (33,), (17, 3), (1,), (3, 5, 17), (5, 33), (1, 17, 3))
ITERATIONS = 20

# What "the same answer" means: after one pass, where only rounding differs, and after a whole run.
STEP = {"float64": 1e-11, "float32": 2e-4}
RUN = {"float64": 1e-9, "float32": 1e-3}


def optimizers_with(*batch_sizes: int | None) -> list[tuple[str, int | None]]:
    """Pairs of an optimizer and a batch size: every one, but for mini-batches where an optimizer takes none."""
    pairs = product(OPTIMIZERS, batch_sizes)
    return [(name, size) for name, size in pairs if not (name in FULL_BATCHES and size)]


@dataclass(frozen=True)
class Job:
    """A network, data, a start and an optimizer, all fixed by the fields."""

    sizes: tuple[int, ...]
    hidden: tuple[str, ...]
    output: str
    loss: str
    optimizer: str
    batch_size: int | None
    m: int
    dtype: str
    seed: int = 0
    iterations: int = ITERATIONS

    @property
    def name(self) -> str:
        hidden = "+".join(dict.fromkeys(self.hidden)) or "none"
        batch = f"batch{self.batch_size}" if self.batch_size else "full"
        sizes = "-".join(map(str, self.sizes))
        return f"{hidden}-{self.output}-{self.loss}-{self.optimizer}-{batch}-{self.dtype}-{sizes}-m{self.m}"

    def network(self) -> fx.Network:
        return fx.Network(self.sizes, self.hidden, self.output, self.loss)

    def data(self) -> tuple[NDArray, NDArray]:
        """X (n_x, m) and Y (n_y, m): hard and soft labels, or values on both sides of 0 and 1."""
        draw = np.random.RandomState([self.seed, self.m])
        X = draw.standard_normal((self.sizes[0], self.m))
        n_y = self.sizes[-1]
        if self.loss == "cross_entropy":
            Y = draw.dirichlet(np.ones(n_y), self.m).T
            hard = np.arange(0, self.m, 2)
            Y[:, hard] = np.eye(n_y)[:, draw.randint(n_y, size=hard.size)]
        elif self.loss == "binary_cross_entropy":
            Y = draw.random_sample((n_y, self.m))
            Y[:, ::2] = Y[:, ::2] < 0.5
        else:
            Y = 1.5 * draw.standard_normal((n_y, self.m))
        return X.astype(self.dtype), Y.astype(self.dtype)

    def parameters(self) -> dict[str, NDArray]:
        """A plain dict of separate arrays, with biases that are not zero."""
        draw = np.random.RandomState([self.seed, 7])
        parameters = {}
        for number, (n_in, n_out) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), 1):
            parameters[f"W{number}"] = (draw.standard_normal((n_out, n_in)) / np.sqrt(n_in)).astype(self.dtype)
            parameters[f"b{number}"] = (0.3 * draw.standard_normal((n_out, 1))).astype(self.dtype)
        return parameters

    def train(self, backend: str, **changes) -> fx.Result:
        X, Y = self.data()
        arguments = {
            "parameters": self.parameters(),
            "optimizer": OPTIMIZERS[self.optimizer],
            "iterations": self.iterations,
            "batch_size": self.batch_size,
            "random_state": self.seed,
            "interval": 3,
            "backend": backend,
        }
        return fx.train(self.network(), X, Y, **(arguments | changes))


def _ragged(m: int) -> int:
    """A batch size that leaves a smaller last batch, and more than one of them, where there are samples enough."""
    return next((size for size in (64, 7, 5, 4, 2) if m > size and m % size), 2)


def _table() -> list[Job]:
    jobs = []
    kinds = product(("none", *ACTIVATIONS), ENDS, OPTIMIZERS, ("full", "ragged"), DTYPES)
    possible = (kind for kind in kinds if not (kind[2] in FULL_BATCHES and kind[3] == "ragged"))
    for number, (activation, (output, loss), optimizer, mode, dtype) in enumerate(possible):
        end = number // 30  # of the kinds of an activation and an end there are 30: turned by two from each to the next
        turn = number + 2 * end
        middle = () if activation == "none" else HIDDEN[turn % len(HIDDEN)]
        n_y = (1, 2, 5, 3)[end % 4] + (output == "softmax")
        m = SAMPLES[turn % len(SAMPLES)]
        jobs.append(
            Job(
                (INPUTS[turn % len(INPUTS)], *middle, n_y),
                (activation,) * len(middle),
                output,
                loss,
                optimizer,
                _ragged(m) if mode == "ragged" else None,
                m,
                dtype,
                seed=number,
            )
        )
    return jobs


JOBS = _table()


def small(job: Job) -> bool:
    """Whether plain Python gets through a few steps of the un-jitted source in a moment."""
    weights = sum(n_in * n_out for n_in, n_out in zip(job.sizes, job.sizes[1:], strict=False))
    return weights * job.m <= 2500


# ---------------------------------------------------------------- a run, written out


def batches(m, batch_size, rng):
    """Endlessly, the samples of each step: all, or the next of a permutation that each epoch has."""
    shuffle = None if batch_size is None else Shuffle(seed(rng), m)
    for epoch in count():
        order = np.arange(m) if shuffle is None else shuffle.order(epoch)
        for start in range(0, m, batch_size or m):
            yield order[start : start + (batch_size or m)]


def textbook_train(net, X, Y, parameters, optimizer, iterations, batch_size=None, rng=None):
    """Every optimizer as its docstring and its paper have it, on the gradients of the reference, in float64."""
    theta = {k: np.array(v, float) for k, v in parameters.items()}
    first = {k: np.zeros_like(v) for k, v in theta.items()}
    second = {k: np.zeros_like(v) for k, v in theta.items()}
    if isinstance(optimizer, fx.Rprop):
        second = {k: np.full_like(v, optimizer.learning_rate) for k, v in theta.items()}
    costs = []
    for step, batch in zip(range(iterations), batches(X.shape[1], batch_size, rng), strict=False):
        cost, grads = net.gradient(theta, X[:, batch], Y[:, batch], backend="numpy")
        costs.append(cost)
        for key in theta:
            if isinstance(optimizer, fx.AdamW) and key.startswith("W"):
                theta[key] = theta[key] - optimizer.learning_rate * optimizer.weight_decay * theta[key]
            move, first[key], second[key] = textbook_move(
                optimizer, step + 1, grads["d" + key], first[key], second[key]
            )
            theta[key] = theta[key] - (1 if isinstance(optimizer, fx.Rprop) else optimizer.learning_rate) * move
    return theta, costs


def textbook_move(optimizer, t, g, first, second):
    """By how much a parameter moves in step t, over the learning rate, and the optimizer's two memories after it."""
    if isinstance(optimizer, fx.Adam):
        first = optimizer.beta1 * first + (1 - optimizer.beta1) * g
        second = optimizer.beta2 * second + (1 - optimizer.beta2) * g**2
        m, v = first / (1 - optimizer.beta1**t), second / (1 - optimizer.beta2**t)
        return m / (np.sqrt(v) + optimizer.epsilon), first, second
    if isinstance(optimizer, fx.RMSprop):
        second = optimizer.alpha * second + (1 - optimizer.alpha) * g**2
        first = optimizer.momentum * first + g / (np.sqrt(second) + optimizer.epsilon)
        return first, first, second
    if isinstance(optimizer, fx.Rprop):
        up, down = g * first > 0, g * first < 0
        second = np.where(up, second * optimizer.eta_plus, np.where(down, second * optimizer.eta_minus, second))
        second = np.minimum(np.maximum(second, optimizer.min_step), optimizer.max_step)
        g = np.where(down, 0, g)
        return second * np.sign(g), g, second
    first = optimizer.momentum * first + g
    return g + optimizer.momentum * first if optimizer.nesterov else first, first, second


# ---------------------------------------------------------------- comparing


def assert_close(got, wanted, rtol):
    """Same keys, shapes, dtype and values. A number that passes through zero has no relative accuracy of its own:
    its array's size has, and a cost or an array of ordinary size counts as 1."""
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        value = np.asarray(value)
        assert np.shape(got[key]) == value.shape, key
        assert np.asarray(got[key]).dtype == value.dtype, key
        atol = 1e-2 * rtol * max(np.abs(value).max(), 1)
        np.testing.assert_allclose(got[key], value, rtol=rtol, atol=atol, err_msg=key)
