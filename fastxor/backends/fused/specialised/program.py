"""A kernel for one network as a straight line of operations, and how it is printed.

What a name in it stands for:

a1_2, d1_2     neuron 2 of layer 1, its activation and its delta: a vector of samples
a1_s3_g0       sample 3, group 0 of the neurons of layer 1: a vector of neurons; d1_s3_g0 likewise
e_0            output 0 less its target
f1_2           in a short step (see narrow.py), the delta of neuron 2 of layer 1 for an e_0 of 1
x1_s3          input 1 of sample 3, in every lane
p7             parameter 7, in every lane
b_g0, w1_g0    of the neurons of group 0, the biases and the weights of input 1
v2_g0          the weights that output 2 of the next layer gives them
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastxor.architecture import Architecture

from .. import vmath
from .._jit import VECTOR_BITS
from ..choices import PARTIAL_SUMS
from ..workspace import plan

# The activation of z, and w times its derivative from the value a, as in elementwise.py; and a z whose activation is 0.
ACTIVATIONS = {
    "tanh": ("tanh_inside({z})", "{w} * fma(-{a}, {a}, 1.0)", 0.0),
    "sigmoid": ("sigmoid({z})", "{w} * ({a} * (1.0 - {a}))", -1000.0),
    "identity": ("{z}", "{w}", 0.0),
}
# The loss of one output with input z and target y, and its derivative.
LOSSES = {
    "binary_cross_entropy": ("(softplus({z}) - {y} * {z})", "(sigmoid_inside({z}) - {y})"),
    "squared_error": ("(({z} - {y}) * 0.5 * ({z} - {y}))", "({z} - {y})"),
}


class Program:
    """Lines of text, by where they stand. A layout (samples or neurons in the lanes) writes them when it is made."""

    updates_first = True  # before the cost is recorded: faster, where there are registers for it

    def __init__(self, network: Architecture, samples: int, dtype: np.dtype) -> None:
        self.network, self.samples = network, samples
        self.entries = plan(network, samples, dtype, narrow=True).entries.tolist()
        self.stride = VECTOR_BITS // 8 // dtype.itemsize
        self.limit = vmath.INSIDE[dtype.itemsize]
        self.load: list[str] = []  # before the first step
        self.step: list[str] = []  # forward, and what does not need the outputs
        self.cost: list[str] = []  # where it is recorded
        self.update: list[str] = []  # from the outputs to the parameters
        self.end: list[str] = []  # after the last step
        self.state: list[str] = []  # the names that one step hands on to the next
        self.far: dict[str, str] = {}  # what keeps the sizes, and its first value

    def text(self) -> str:
        """The kernel's source."""
        state = f"({', '.join([*self.state, *self.far, 'recorded', 'first'])})"
        record = [
            "def record():",
            *(f"    {line}" for line in self.cost),
            "    return recorded + 1, first + interval",
            "recorded, first = cond(step == first, record, lambda: (recorded, first))",
        ]
        rest = [self.update, record] if self.updates_first else [record, self.update]
        lines = [
            (0, ["def train(work, costs, steps, rate, first, interval):"]),
            (1, ["recorded = 0", *self.load, *(f"{far} = {start}" for far, start in self.far.items())]),
            (1, ["def one_step(step, state):"]),
            (2, [f"{state} = state", *self.step, *rest[0], *rest[1], f"return {state}"]),
            (1, [f"{state} = fori_loop(0, steps, 1, one_step, {state})"]),
            (1, [*self.end, f"return {' & '.join(map(self._is_inside, self.far)) or True}"]),
        ]
        return "".join(f"{'    ' * depth}{line}\n" for depth, block in lines for line in block)

    def keep_size(self, value: str, z: str, far: str, first: str) -> list[str]:
        """The line that keeps in `far` how large z has been, if the function `value` needs it."""
        if "_inside(" not in value:
            return []
        self.far[far] = first
        return [f"{far} = maximum(absolute({z}), {far})"]

    def _is_inside(self, far: str) -> str:
        return f"(sum_lanes(select_less({far}, {self.limit}, 0.0, 1.0)) == 0.0)"


def chain(factors: Sequence[str], values: Sequence[str], start: str = "") -> str:
    """The sum of the products, one after the other."""
    for factor, value in zip(factors, values, strict=True):
        start = f"fma({factor}, {value}, {start})" if start else f"({factor}) * {value}"
    return start


def affine(bias: str, weights: Sequence[str], values: Sequence[str], zero: str) -> str:
    """The bias plus the products' sum, in the order of narrow.py."""
    weights = weights[: len(values)]
    if len(values) < PARTIAL_SUMS:
        return chain(weights, values, bias)
    every = [slice(i, None, PARTIAL_SUMS) for i in range(PARTIAL_SUMS)]
    return f"{bias} + sum_across({', '.join(chain(weights[part], values[part], zero) for part in every)})"
