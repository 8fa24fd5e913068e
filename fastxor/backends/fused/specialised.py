"""Kernels for one tiny network each: not a loop over neurons nor a branch left.

`source` writes out a step of narrow.py for the exact sizes, one line for each operation, in the same order, so that
the result has the same bits. What is saved is the traffic between registers and memory, and half of a wide register
where the samples need no more than the other half. Few parameters stay in registers, each in every lane; of more,
as many as there are lanes stand side by side in memory, so that one addition serves several sums over the samples.
Compiling takes a good part of a second, so it is done only when the work ahead repays it; see `pays_off`.

The kernel does not stop at infinity or NaN. Parameters that are not finite stay so, and `bad` keeps that of a logit, so
the caller looks once, after many steps, and has a piece that failed done again by the engine, which does stop.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np

from fastxor.network import Network
from fastxor.optimizers import Optimizer

from . import simd, vmath
from ._jit import VECTOR_BITS, is_ready, kernel
from .workspace import AFTER, LAYERS, PADDED, STRIDE, TARGET, TILE, WEIGHT, plan

# Above this many parameters the registers overflow and compiling gets slow.
_MOST_PARAMETERS = 160

# Up to so many, each is kept in a register (or what the compiler takes for one); more are kept in memory, in groups.
_MOST_IN_REGISTERS = 16

# What the general engine has left to do, in seconds, before compiling pays, and before loading what is compiled does.
_WORTH_COMPILING = 2.0
_WORTH_LOADING = 0.05

# The activation of z, and w times its derivative from the value a; as in elementwise.py.
_ACTIVATIONS = {
    "tanh": ("tanh({z})", "{w} * fma(-{a}, {a}, 1.0)"),
    "sigmoid": ("sigmoid({z})", "{w} * ({a} * (1.0 - {a}))"),
    "identity": ("{z}", "{w}"),
}
# The loss of one output with input z and target y, and its value.
_LOSSES = {
    "binary_cross_entropy": ("(softplus({z}) - {y} * {z})", "sigmoid({z})"),
    "squared_error": ("(({z} - {y}) * 0.5 * ({z} - {y}))", "{z}"),
}


def fits(network: Network, optimizer: Optimizer) -> bool:
    """Whether there can be a specialised kernel, for samples that fit in one vector."""
    known = all(layer.activation in _ACTIVATIONS for layer in network.layers[:-1])
    loss = network.loss == "binary_cross_entropy" or (network.loss, network.output) == ("squared_error", "identity")
    plain = not getattr(optimizer, "momentum", 1.0)
    return known and loss and plain and network.count <= _MOST_PARAMETERS


def pays_off(train, seconds_left: float) -> bool:
    """Whether to use the kernel for work that the engine needs `seconds_left` for."""
    return seconds_left > (_WORTH_LOADING if is_ready(train) else _WORTH_COMPILING)


@lru_cache(maxsize=64)
def kernel_for(network: Network, samples: int, dtype: np.dtype):
    """The kernel ``train(work, costs, steps, rate, first, interval)``, not compiled yet; see `kernels.engine`."""
    text = source(network, samples, dtype)
    name = f"train_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    namespace = {**vars(simd), **vars(vmath), "__name__": __name__}
    exec(compile(text.replace("def train(", f"def {name}("), f"<fastxor: {network.sizes}>", "exec"), namespace)
    return kernel(namespace[name])


def source(network: Network, samples: int, dtype: np.dtype) -> str:
    """Python text of the kernel, on the workspace that the engine uses for the same network and samples."""
    entries = plan(network, samples, dtype, narrow=True).entries.tolist()
    stride = VECTOR_BITS // 8 // dtype.itemsize
    lanes = 2  # the smallest register for the samples: what it leaves out is padding, whose weight is 0
    while lanes < samples:
        lanes *= 2
    last = len(network.layers)
    tiles = [entries[LAYERS + STRIDE * number + TILE] for number in range(last + 1)]

    load, step, cost, update = [], [], [], []
    load += [f"a0_{r} = part(load(work, {tiles[0] + r * stride}), {lanes})" for r in range(network.sizes[0])]
    load += [
        f"weight = part(load(work, {entries[WEIGHT]}), {lanes})",
        "zero = weight - weight",
        "gain = weight * -rate",
    ]
    for r in range(network.sizes[-1]):
        load += [f"y{r} = part(load(work, {entries[TARGET] + r * stride}), {lanes})", f"t{r} = -(y{r} * gain)"]
    in_registers = network.count <= _MOST_IN_REGISTERS
    if in_registers:
        load += [f"p{i} = part(broadcast(work, {i}), {lanes})" for i in range(network.count)]
        parameter = [f"p{i}" for i in range(network.count)]
    else:  # the parameters at `here` become those at `there`
        load += [f"here, there = 0, {entries[AFTER]}"]
        parameter = [f"part(broadcast(work, here + {i}), {lanes})" for i in range(network.count)]
    products = [""] * network.count  # whose sum over the samples is the step of each parameter

    for number, layer in enumerate(network.layers, 1):
        w, b = layer.weight.start, layer.bias.start
        for r in range(layer.n_out):
            z = parameter[b + r]
            for k in range(layer.n_in):
                z = f"fma({parameter[w + r * layer.n_in + k]}, a{number - 1}_{k}, {z})"
            if number < last:
                step += [f"z = {z}", f"a{number}_{r} = {_ACTIVATIONS[layer.activation][0].format(z='z')}"]
            else:
                step += [f"z{r} = {z}", f"bad = bad + (z{r} - z{r})"]
    loss, value = _LOSSES[network.loss]
    cost += ["column = zero"]
    for r in range(network.sizes[-1]):
        cost += [f"column = column + {loss.format(z=f'z{r}', y=f'y{r}')}"]
        update += [f"d{last}_{r} = fma({value.format(z=f'z{r}')}, gain, t{r})"]
    cost += ["costs[recorded] = sum_lanes(fma(weight, column, zero))"]

    for number in range(last, 1, -1):  # before the weights move
        layer = network.layers[number - 1]
        slope = _ACTIVATIONS[network.layers[number - 2].activation][1]
        for k in range(layer.n_in):
            d = ""
            for r in range(layer.n_out):
                factor = slope.format(w=parameter[layer.weight.start + r * layer.n_in + k], a=f"a{number - 1}_{k}")
                d = f"fma({factor}, d{number}_{r}, {d})" if d else f"({factor}) * d{number}_{r}"
            update += [f"d{number - 1}_{k} = {d}"]
    for number, layer in enumerate(network.layers, 1):
        for r in range(layer.n_out):
            products[layer.bias.start + r] = f"d{number}_{r}"
            for k in range(layer.n_in):
                products[layer.weight.start + r * layer.n_in + k] = f"d{number}_{r} * a{number - 1}_{k}"
    if in_registers:
        update += [f"p{i} = p{i} + sum_everywhere({terms})" for i, terms in enumerate(products)]
        # The lanes of a parameter are all alike, and their number is a power of two: nothing is rounded here.
        end = [f"put(work, {i}, sum_lanes(p{i}) * {1 / lanes})" for i in range(network.count)]
    else:
        products += ["zero"] * (-network.count % lanes)
        for i in range(0, network.count, lanes):
            sums = f"sum_each({', '.join(products[i : i + lanes])})"
            update += [f"store(work, there + {i}, part(load(work, here + {i}), {lanes}) + {sums})"]
        update += ["here, there = there, here"]
        end = [f"store(work, {i}, load(work, here + {i}))" for i in range(0, entries[PADDED], stride)]

    lines = [
        (0, ["def train(work, costs, steps, rate, first, interval):"]),
        (1, ["recorded = 0", *load, "bad = zero", "for step in range(steps):"]),
        (2, [*step, "if step == first:"]),
        (3, [*cost, "recorded += 1", "first += interval"]),
        (2, update),
        (1, [*end, "return sum_lanes(bad) == 0.0"]),
    ]
    return "".join(f"{'    ' * depth}{line}\n" for depth, block in lines for line in block)
