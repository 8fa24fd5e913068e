"""Kernels for one tiny network each: every weight in a register, not a loop nor a branch left.

`source` writes out a step of narrow.py for the exact sizes, one line for each operation, in the same order, so that
the result has the same bits. What is saved is the traffic between registers and memory, a third of the time. Compiling
takes a good part of a second, so it is done only when the work ahead repays it; see `pays_off`.

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
from .workspace import LAYERS, STRIDE, TARGET, TILE, WEIGHT, plan

# Above this many parameters the registers overflow and compiling gets slow.
_MOST_PARAMETERS = 160

# What the general engine has left to do, in seconds, before compiling pays, and before loading what is compiled does.
_WORTH_COMPILING = 2.0
_WORTH_LOADING = 0.05

# The activation of z, and its derivative from the value a; as in elementwise.py.
_ACTIVATIONS = {
    "tanh": ("tanh({z})", "(1.0 - {a} * {a})"),
    "sigmoid": ("sigmoid({z})", "({a} * (1.0 - {a}))"),
    "identity": ("{z}", "full(work, 1.0)"),
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
    lanes = VECTOR_BITS // 8 // dtype.itemsize
    last = len(network.layers)
    tiles = [entries[LAYERS + STRIDE * number + TILE] for number in range(last + 1)]

    load, step, cost, update = [], [], [], []
    load += [f"a0_{r} = load(work, {tiles[0] + r * lanes})" for r in range(network.sizes[0])]
    load += [f"y_{r} = load(work, {entries[TARGET] + r * lanes})" for r in range(network.sizes[-1])]
    load += [f"weight = load(work, {entries[WEIGHT]})"]
    load += [f"p{i} = broadcast(work, {i})" for i in range(network.count)]

    for number, layer in enumerate(network.layers, 1):
        w, b = layer.weight.start, layer.bias.start
        for r in range(layer.n_out):
            z = f"p{b + r}"
            for k in range(layer.n_in):
                z = f"fma(p{w + r * layer.n_in + k}, a{number - 1}_{k}, {z})"
            if number < last:
                step += [f"z = {z}", f"a{number}_{r} = {_ACTIVATIONS[layer.activation][0].format(z='z')}"]
            else:
                step += [f"z{r} = {z}", f"bad = bad + (z{r} - z{r})"]
    loss, value = _LOSSES[network.loss]
    cost += ["column = full(work, 0.0)"]
    for r in range(network.sizes[-1]):
        cost += [f"column = column + {loss.format(z=f'z{r}', y=f'y_{r}')}"]
        update += [f"d{last}_{r} = ({value.format(z=f'z{r}')} - y_{r}) * weight"]
    cost += ["costs[recorded] = sum_lanes(fma(weight, column, full(work, 0.0)))"]

    for number in range(last, 0, -1):
        layer = network.layers[number - 1]
        w, b = layer.weight.start, layer.bias.start
        if number > 1:  # before the weights move
            slope = _ACTIVATIONS[network.layers[number - 2].activation][1]
            for k in range(layer.n_in):
                d = "0.0"
                for r in range(layer.n_out):
                    d = f"fma(p{w + r * layer.n_in + k}, d{number}_{r}, {d})"
                update += [f"d{number - 1}_{k} = {d} * {slope.format(a=f'a{number - 1}_{k}')}"]
        for r in range(layer.n_out):
            for k in range(layer.n_in):
                update += [_descend(w + r * layer.n_in + k, f"d{number}_{r} * a{number - 1}_{k}")]
            update += [_descend(b + r, f"d{number}_{r}")]

    lines = [
        (0, ["def train(work, costs, steps, rate, first, interval):"]),
        (1, ["rate = full(work, rate)", "recorded = 0", "bad = full(work, 0.0)", *load, "for step in range(steps):"]),
        (2, [*step, "if step == first:"]),
        (3, [*cost, "recorded += 1", "first += interval"]),
        (2, update),
        # The lanes of a parameter are all alike, and their number is a power of two: nothing is rounded here.
        (1, [f"put(work, {i}, sum_lanes(p{i}) * {1 / lanes})" for i in range(network.count)]),
        (1, ["return sum_lanes(bad) == 0.0"]),
    ]
    return "".join(f"{'    ' * depth}{line}\n" for depth, block in lines for line in block)


def _descend(index: int, products: str) -> str:
    return f"p{index} = fma(full(work, sum_lanes({products})), -rate, p{index})"
