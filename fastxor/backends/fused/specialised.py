"""Kernels for one tiny network each: not a loop over neurons nor a branch left.

`source` writes out a step of narrow.py for the exact sizes, one line for each operation, in the same order, so that
the result has the same bits. What is saved is the traffic between registers and memory, and half of a wide register
where the samples need no more than the other half. Few parameters stay in registers, each in every lane; of more,
as many as there are lanes stand side by side in memory, so that one addition serves several sums over the samples.

A wide first hidden layer has its neurons side by side instead, in groups of eight, and a vector for each sample: the
sums over samples are then additions of whole vectors, and only the next layer has to add up lanes.

Compiling takes a good part of a second, so it is done only when the work ahead repays it; see `pays_off`.

The kernel does not stop at infinity or NaN, and its tanh and sigmoid are for numbers of ordinary size. Parameters that
are not finite stay so, and `far` keeps the largest size, so the caller looks once, after many steps, and has a piece
that failed done again by the engine, which does stop.
"""

from __future__ import annotations

import hashlib
import linecache
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import product

import numpy as np

from fastxor.architecture import Architecture
from fastxor.backends import CompilationError
from fastxor.optimizers import Optimizer

from . import choices, simd, tracing, vmath
from ._jit import VECTOR_BITS, Kernel, kernel
from .choices import FEW, SIDE_BY_SIDE
from .simd import get, put
from .tracing import traced_inline
from .workspace import AFTER, GRADIENT, LAYERS, PADDED, TARGET, TILE, WEIGHT, plan

_LOGGER = logging.getLogger("fastxor")

_SIGNATURE = "boolean(T[::1], float64[::1], int64, float64, int64, int64)"

# The activation of z, and w times its derivative from the value a, as in elementwise.py; and a z whose activation is 0.
_ACTIVATIONS = {
    "tanh": ("tanh_inside({z})", "{w} * fma(-{a}, {a}, 1.0)", 0.0),
    "sigmoid": ("sigmoid({z})", "{w} * ({a} * (1.0 - {a}))", -1000.0),
    "identity": ("{z}", "{w}", 0.0),
}
# The loss of one output with input z and target y, and its derivative.
_LOSSES = {
    "binary_cross_entropy": ("(softplus({z}) - {y} * {z})", "(sigmoid_inside({z}) - {y})"),
    "squared_error": ("(({z} - {y}) * 0.5 * ({z} - {y}))", "({z} - {y})"),
}


def fits(network: Architecture, optimizer: Optimizer, samples: int, dtype: np.dtype) -> bool:
    """Whether there can be a specialised kernel."""
    in_one_vector = samples * dtype.itemsize <= VECTOR_BITS // 8
    known = all(layer.activation in _ACTIVATIONS for layer in network.layers[:-1])
    loss = network.loss == "binary_cross_entropy" or (network.loss, network.output) == ("squared_error", "identity")
    return (
        in_one_vector and known and loss and optimizer._kind == "descent" and network.count <= choices.MOST_PARAMETERS
    )


def pays_off(train: Kernel, dtype: np.dtype, seconds_left: float, seconds_spent: float) -> bool:
    """Whether to use the kernel for work that the engine needs `seconds_left` for, after so many spent on its like."""
    if train.is_loaded(dtype):
        return seconds_left > choices.WORTH_CALLING
    seconds = max(seconds_left, seconds_spent)
    return seconds > choices.WORTH_LOADING and (seconds > choices.WORTH_COMPILING or train.is_ready(dtype))


@lru_cache(maxsize=64)
def kernel_for(network: Architecture, samples: int, dtype: np.dtype) -> Kernel | None:
    """The kernel ``train(work, costs, steps, rate, first, interval)``, not compiled yet; see `kernels.engine`.

    None if it could not even be written, which the engine makes up for.
    """
    try:
        step_by_step = traced_inline(written(network, samples, dtype), attributes=())  # there is one loop, and no room
    except Exception as error:
        _LOGGER.debug("there is no specialised kernel for %r: %r", network, error)
        return None

    def train(work, costs, steps, rate, first, interval):
        return step_by_step(work, costs, steps, rate, first, interval)

    train.__name__ = train.__qualname__ = step_by_step.__name__
    return kernel(_SIGNATURE, f"a kernel for {'-'.join(map(str, network.sizes))}")(train)


def written(network: Architecture, samples: int, dtype: np.dtype) -> Callable:
    """The kernel as a Python function, to be traced. Its name has a digest of its text."""
    text = source(network, samples, dtype)
    name = f"train_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    file = f"<fastxor: {'-'.join(map(str, network.sizes))}, {name}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file  # tracebacks and profilers show it
    namespace = {**vars(simd), **vars(vmath), **vars(tracing), "move": move}
    exec(compile(text, file, "exec"), namespace)
    train = namespace["train"]
    train.__name__ = train.__qualname__ = name
    return train


def code(train: Kernel, dtype: np.dtype) -> Callable | None:
    """The kernel's machine code; None if it cannot be compiled: the engine does the same work."""
    if train in _failed:
        return None
    try:
        return train[dtype]
    except CompilationError as error:
        _failed.add(train)
        _LOGGER.debug("%s", error)
        return None


_failed: set[Kernel] = set()


def source(network: Architecture, samples: int, dtype: np.dtype) -> str:
    """Python text of the kernel, on the workspace that the engine uses for the same network and samples."""
    return _Writer(network, samples, dtype).text()


def move(work, start, down, across, to, down_to, across_to, rows, columns):
    """Copy a matrix whose neighbours stand `down` and `across` from each other to where they stand otherwise."""
    for r in range(rows):
        for c in range(columns):
            put(work, to + r * down_to + c * across_to, get(work, start + r * down + c * across))


class _Writer:
    """Writes the parts of a kernel; what a name in it stands for:

    a1_2, d1_2     neuron 2 of layer 1, its activation and its delta: a vector of samples
    a1_s3_g0       sample 3, group 0 of the neurons of layer 1: a vector of neurons; d1_s3_g0 likewise
    e_0            output 0 less its target
    f1_2           in a short step (see narrow.py), the delta of neuron 2 of layer 1 for an e_0 of 1
    x1_s3          input 1 of sample 3, in every lane
    p7             parameter 7, in every lane
    b_g0, w1_g0    of the neurons of group 0, the biases and the weights of input 1
    v2_g0          the weights that output 2 of the next layer gives them
    """

    def __init__(self, network: Architecture, samples: int, dtype: np.dtype) -> None:
        self.network, self.samples = network, samples
        self.entries = plan(network, samples, dtype, narrow=True).entries.tolist()
        self.stride = VECTOR_BITS // 8 // dtype.itemsize
        self.lanes = 2  # the smallest register for the samples: what it leaves out is padding, whose weight is 0
        while self.lanes < samples:
            self.lanes *= 2
        self.last = len(network.layers)
        self.load, self.step, self.cost, self.update, self.end = [], [], [], [], []
        self.state = []  # the names that one step hands on to the next
        self.far = {}  # what keeps the sizes, and its first value
        self.limit = vmath.INSIDE[dtype.itemsize]
        hidden = network.layers[0].n_out
        self.groups = range(-(-hidden // SIDE_BY_SIDE))
        in_groups, in_rows = SIDE_BY_SIDE * len(self.groups) * samples, self.lanes * hidden  # lanes to be worked on
        if not (
            self.last > 1
            and hidden >= SIDE_BY_SIDE >= samples
            and network.count > FEW
            and 3 * in_groups < 4 * in_rows  # for what sums over samples cost, some padding is put up with
        ):
            self.groups = range(0)
        self.short = self.last == 2 and network.sizes[-1] == 1 and network.count <= FEW  # as in kernels.py

    def text(self) -> str:
        self.load_samples()
        self.load_parameters()
        if self.groups:
            self.load_groups()
            self.groups_forward()
        for number in range(2 if self.groups else 1, self.last + 1):
            self.forward(number)
        if self.groups:
            self.groups_factors()
        self.output()
        for number in range(self.last, 1, -1):  # before the weights move
            if number > 2 or not self.groups:
                self.backward(number)
        if self.groups:
            self.groups_backward()
        self.descend()
        state = f"({', '.join([*self.state, *self.far, 'recorded', 'first'])})"
        record = [
            "def record():",
            *(f"    {line}" for line in self.cost),
            "    return recorded + 1, first + interval",
            "recorded, first = cond(step == first, record, lambda: (recorded, first))",
        ]
        lines = [
            (0, ["def train(work, costs, steps, rate, first, interval):"]),
            (1, ["recorded = 0", *self.load, *(f"{far} = {start}" for far, start in self.far.items())]),
            (1, ["def one_step(step, state):"]),
            (2, [f"{state} = state", *self.step]),
            (2, record if self.groups else self.update),
            (2, self.update if self.groups else record),  # faster, where there are registers for it
            (2, [f"return {state}"]),
            (1, [f"{state} = fori_loop(0, steps, 1, one_step, {state})"]),
            (1, [*self.end, f"return {' & '.join(map(self.is_inside, self.far)) or True}"]),
        ]
        return "".join(f"{'    ' * depth}{line}\n" for depth, block in lines for line in block)

    def keep_size(self, value: str, z: str, far: str, first: str) -> list[str]:
        """The line that does so, if the function `value` needs it."""
        if "_inside(" not in value:
            return []
        self.far[far] = first
        return [f"{far} = maximum(absolute({z}), {far})"]

    def is_inside(self, far: str) -> str:
        return f"(sum_lanes(select_less({far}, {self.limit}, 0.0, 1.0)) == 0.0)"

    # ------------------------------------------------------------ a vector of samples for each neuron

    def load_samples(self) -> None:
        entries, stride, lanes = self.entries, self.stride, self.lanes
        self.load += [
            f"weight = load(work, {entries[WEIGHT]}, {lanes})",
            "zero = weight - weight",
            "gain = weight * -rate",
        ]
        for r in range(self.network.sizes[-1]):
            self.load += [f"y{r} = load(work, {entries[TARGET] + r * stride}, {lanes})"]
        if not self.groups:
            x = entries[LAYERS + TILE]
            self.load += [f"a0_{r} = load(work, {x + r * stride}, {lanes})" for r in range(self.network.sizes[0])]

    def load_parameters(self) -> None:
        """Those that do not stand in groups: of the layers from the first or, after groups, the second bias on."""
        count, lanes = self.network.count, self.lanes
        self.begin = self.network.layers[1].bias.start if self.groups else 0
        self.in_registers = count - self.begin <= FEW
        if self.in_registers:
            self.load += [f"p{i} = broadcast(work, {i}, {lanes})" for i in range(self.begin, count)]
            self.parameter = [f"p{i}" for i in range(count)]
            self.state += self.parameter[self.begin :]
        else:  # the parameters at `here` become those at `there`
            self.load += [f"here, there = 0, {self.entries[AFTER]}"]
            self.state += ["here", "there"]
            self.parameter = [f"broadcast(work, here + {i}, {lanes})" for i in range(count)]

    def forward(self, number: int) -> None:
        layer = self.network.layers[number - 1]
        for r in range(layer.n_out):
            bias = self.parameter[layer.bias.start + r]
            if number == 2 and self.groups:
                z = f"{bias} + {self.groups_sum(r)}"
            else:
                weights = self.parameter[layer.weight.start + r * layer.n_in :]
                z = _affine(bias, weights, [f"a{number - 1}_{k}" for k in range(layer.n_in)], "zero")
            if number < self.last:
                value = _ACTIVATIONS[layer.activation][0].format(z="z")
                self.step += [f"z = {z}", *self.keep_size(value, "z", "far", "zero"), f"a{number}_{r} = {value}"]
            else:
                value = _LOSSES[self.network.loss][1]
                self.step += [f"z{r} = {z}", *self.keep_size(value, f"z{r}", "far", "zero")]

    def output(self) -> None:
        loss, error = _LOSSES[self.network.loss]
        self.cost += ["column = zero"]
        for r in range(self.network.sizes[-1]):
            self.cost += [f"column = column + {loss.format(z=f'z{r}', y=f'y{r}')}"]
            self.update += [f"e_{r} = {error.format(z=f'z{r}', y=f'y{r}')}", f"d{self.last}_{r} = e_{r} * gain"]
        self.cost += ["put(costs, recorded, sum_lanes(fma(weight, column, zero)))"]

    def backward(self, number: int) -> None:
        layer, slope = self.network.layers[number - 1], self.slope(number - 1)
        for k in range(layer.n_in):
            weights = self.parameter[layer.weight.start + k : layer.weight.stop : layer.n_in]
            factors = [slope.format(w=w, a=f"a{number - 1}_{k}") for w in weights]
            if self.short:
                self.step += [f"f1_{k} = {factors[0]} * gain"]
            else:
                d = _chain(factors, [f"d{number}_{r}" for r in range(layer.n_out)])
                self.update += [f"d{number - 1}_{k} = {d}"]

    def slope(self, number: int) -> str:
        return _ACTIVATIONS[self.network.layers[number - 1].activation][1]

    def descend(self) -> None:
        count, begin, lanes = self.network.count, self.begin, self.lanes
        parts = {}  # whose sum over the samples is each parameter, moved: the first one has its old value
        for number, layer in enumerate(self.network.layers, 1):
            for r in range(layer.n_out):
                terms = [(layer.bias.start + r, "")]
                terms += [(layer.weight.start + r * layer.n_in + k, f"a{number - 1}_{k}") for k in range(layer.n_in)]
                for i, a in terms:
                    d, old = f"d{number}_{r}", f"head({self.parameter[i]})"
                    if self.short and number == 1:
                        parts[i] = f"fma(e_0, f1_{r}{a and ' * '}{a}, {old})"
                    else:
                        parts[i] = f"fma({d}, {a}, {old})" if a else f"sum_across({d}, {old})"
        if self.in_registers:
            self.update += [f"p{i} = sum_everywhere({part})" for i, part in parts.items() if i >= begin]
            # The lanes of a parameter are all alike, and their number is a power of two: nothing is rounded here.
            self.end[:0] = [f"put(work, {i}, sum_lanes(p{i}) * {1 / lanes})" for i in range(begin, count)]
        else:
            for start in range(begin - begin % lanes, count, lanes):
                some = [parts[i] if begin <= i < count else "zero" for i in range(start, start + lanes)]
                self.update += [f"store(work, there + {start}, sum_each({', '.join(some)}))"]
            self.update += ["here, there = there, here"]
            places = range(begin - begin % self.stride, self.entries[PADDED], self.stride)
            self.end[:0] = [f"store(work, {i}, load(work, here + {i}))" for i in places]

    # ------------------------------------------------------------ a vector of neurons for each sample

    def load_groups(self) -> None:
        """The first layer's parameters, and the second's weights, neuron beside neuron."""
        first, second = self.network.layers[:2]
        n_in, n, n_out = first.n_in, first.n_out, second.n_out
        length = SIDE_BY_SIDE * len(self.groups)
        biases = self.entries[GRADIENT]  # of which plain descent makes no use, nor of the moments behind it
        columns, rows = biases + length, biases + (1 + n_in) * length
        for here, there, size in (
            (f"{first.bias.start}, {n}, 1", f"{biases}, {length}, 1", f"1, {n}"),
            (f"{first.weight.start}, 1, {n_in}", f"{columns}, {length}, 1", f"{n_in}, {n}"),
            (f"{second.weight.start}, {n}, 1", f"{rows}, {length}, 1", f"{n_out}, {n}"),
        ):
            self.load += [f"move(work, {here}, {there}, {size})"]
            self.end += [f"move(work, {there}, {here}, {size})"]
        quiet = _ACTIVATIONS[first.activation][2]
        self.load += [f"for i in range({biases + n}, {biases + length}):", f"    put(work, i, {quiet})"]

        names = ["b", *(f"w{k}" for k in range(n_in)), *(f"v{r}" for r in range(n_out))]
        places = {
            f"{name}_g{g}": biases + row * length + SIDE_BY_SIDE * g
            for row, name in enumerate(names)
            for g in self.groups
        }
        x = self.entries[LAYERS + TILE]
        self.load += [
            f"x{k}_s{s} = broadcast(work, {x + k * self.stride + s}, {SIDE_BY_SIDE})"
            for k in range(n_in)
            for s in range(self.samples)
        ]
        self.load += [f"none = spread(zero, 0, {SIDE_BY_SIDE})"]
        self.load += [f"{name} = load(work, {place}, {SIDE_BY_SIDE})" for name, place in places.items()]
        self.state += places
        self.end[:0] = [f"store(work, {place}, {name})" for name, place in places.items()]

    def groups_forward(self) -> None:
        """Activations, two vectors at a time: while one waits for a result, the other goes on."""
        first = self.network.layers[0]
        value = _ACTIVATIONS[first.activation][0]
        inputs = range(first.n_in)
        pairs = [(f"s{s}_g{g}", s, g) for g in self.groups for s in range(self.samples)]
        for i in range(0, len(pairs), 2):
            some = pairs[i : i + 2]
            sums = [
                _affine(f"b_g{g}", [f"w{k}_g{g}" for k in inputs], [f"x{k}_s{s}" for k in inputs], "none")
                for _, s, g in some
            ]
            sums += ["none"] * (2 - len(some))
            self.step += [f"z = join({', '.join(sums)})", *self.keep_size(value, "z", "farther", "join(none, none)")]
            self.step += [f"a = {value.format(z='z')}"]
            self.step += [
                f"a1_{name} = part(a, {n * SIDE_BY_SIDE}, {SIDE_BY_SIDE})" for n, (name, *_) in enumerate(some)
            ]

    def groups_factors(self) -> None:
        """Of the deltas, f0_s3_g0 for output 0; so early that the output's long chain of operations has company."""
        slope = self.slope(1)
        for g, s, r in product(self.groups, range(self.samples), range(self.network.layers[1].n_out)):
            self.step += [f"f{r}_s{s}_g{g} = {slope.format(w=f'v{r}_g{g}', a=f'a1_s{s}_g{g}')}"]

    def groups_sum(self, r: int) -> str:
        """The products with the weights of output `r`, summed: a vector of samples."""
        weights = [f"v{r}_g{g}" for g in self.groups]
        sums = [_chain(weights, [f"a1_s{s}_g{g}" for g in self.groups], "none") for s in range(self.samples)]
        return f"sum_each({', '.join(sums + ['none'] * (self.lanes - self.samples))})"

    def groups_backward(self) -> None:
        """Deltas, and the parameters moved by their products with what went in: every lane is a neuron's own."""
        n_in, n_out = self.network.layers[0].n_in, self.network.layers[1].n_out
        samples = range(self.samples)
        self.update += [f"d2_{r}_s{s} = spread(d2_{r}, {s}, {SIDE_BY_SIDE})" for r in range(n_out) for s in samples]
        for g in self.groups:
            for s in samples:
                factors = [f"f{r}_s{s}_g{g}" for r in range(n_out)]
                self.update += [f"d1_s{s}_g{g} = {_chain(factors, [f'd2_{r}_s{s}' for r in range(n_out)])}"]
            pairs = {
                **{f"w{k}_g{g}": [(f"d1_s{s}_g{g}", f"x{k}_s{s}") for s in samples] for k in range(n_in)},
                **{f"v{r}_g{g}": [(f"a1_s{s}_g{g}", f"d2_{r}_s{s}") for s in samples] for r in range(n_out)},
            }
            parts = {f"b_g{g}": [f"sum_across(d1_s0_g{g}, b_g{g})", *(f"d1_s{s}_g{g}" for s in samples[1:])]}
            for name, ((x, y), *rest) in pairs.items():
                parts[name] = [f"fma({x}, {y}, {name})", *(f"{x} * {y}" for x, y in rest)]
            self.update += [f"{name} = sum_across({', '.join(terms)})" for name, terms in parts.items()]


def _chain(factors: Sequence[str], values: Sequence[str], start: str = "") -> str:
    """The sum of the products, one after the other."""
    for factor, value in zip(factors, values, strict=True):
        start = f"fma({factor}, {value}, {start})" if start else f"({factor}) * {value}"
    return start


def _affine(bias: str, weights: Sequence[str], values: Sequence[str], zero: str) -> str:
    """The bias plus the products' sum, in the order of narrow.py."""
    weights = weights[: len(values)]
    if len(values) < SIDE_BY_SIDE:
        return _chain(weights, values, bias)
    every = [slice(i, None, SIDE_BY_SIDE) for i in range(SIDE_BY_SIDE)]
    return f"{bias} + sum_across({', '.join(_chain(weights[part], values[part], zero) for part in every)})"
