"""The layout for a wide first hidden layer: its neurons side by side, in groups, and a vector of them for each sample.

The sums over samples are then additions of whole vectors, and only the next layer has to add up lanes. The layers after
that have their samples in the lanes.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from fastxor.architecture import Architecture

from ..choices import MAX_REGISTER_PARAMETERS, PARTIAL_SUMS
from ..workspace import GRADIENT, LAYERS, TILE
from .program import ACTIVATIONS, affine, chain
from .samples_in_lanes import SamplesInLanes, register


def fits(network: Architecture, samples: int) -> bool:
    """Whether a network's kernel is laid out so."""
    hidden = network.layers[0].n_out
    in_groups, in_rows = PARTIAL_SUMS * _groups(network) * samples, register(samples) * hidden  # lanes to be worked on
    return (
        len(network.layers) > 1
        and hidden >= PARTIAL_SUMS >= samples
        and network.count > MAX_REGISTER_PARAMETERS
        and 3 * in_groups < 4 * in_rows  # for what sums over samples cost, some padding is put up with
    )


def _groups(network: Architecture) -> int:
    return -(-network.layers[0].n_out // PARTIAL_SUMS)


class NeuronsInLanes(SamplesInLanes):
    """Writes the program of such a kernel."""

    updates_first = False

    def __init__(self, network: Architecture, samples: int, dtype: np.dtype) -> None:
        self.groups = range(_groups(network))
        super().__init__(network, samples, dtype)

    @property
    def begin(self) -> int:
        """The second bias is the first parameter that stands in no group."""
        return self.network.layers[1].bias.start

    def load_more(self) -> None:
        """The first layer's parameters, and the second's weights, neuron beside neuron."""
        first, second = self.network.layers[:2]
        n_in, n, n_out = first.n_in, first.n_out, second.n_out
        length = PARTIAL_SUMS * len(self.groups)
        biases = self.entries[GRADIENT]  # of which plain descent makes no use, nor of the moments behind it
        columns, rows = biases + length, biases + (1 + n_in) * length
        for here, there, size in (
            (f"{first.bias.start}, {n}, 1", f"{biases}, {length}, 1", f"1, {n}"),
            (f"{first.weight.start}, 1, {n_in}", f"{columns}, {length}, 1", f"{n_in}, {n}"),
            (f"{second.weight.start}, {n}, 1", f"{rows}, {length}, 1", f"{n_out}, {n}"),
        ):
            self.load += [f"move(work, {here}, {there}, {size})"]
            self.end += [f"move(work, {there}, {here}, {size})"]
        quiet = ACTIVATIONS[first.activation][2]
        self.load += [f"for i in range({biases + n}, {biases + length}):", f"    put(work, i, {quiet})"]

        names = ["b", *(f"w{k}" for k in range(n_in)), *(f"v{r}" for r in range(n_out))]
        places = {
            f"{name}_g{g}": biases + row * length + PARTIAL_SUMS * g
            for row, name in enumerate(names)
            for g in self.groups
        }
        x = self.entries[LAYERS + TILE]
        self.load += [
            f"x{k}_s{s} = broadcast(work, {x + k * self.stride + s}, {PARTIAL_SUMS})"
            for k in range(n_in)
            for s in range(self.samples)
        ]
        self.load += [f"none = broadcast_lane(zero, 0, {PARTIAL_SUMS})"]
        self.load += [f"{name} = load(work, {place}, {PARTIAL_SUMS})" for name, place in places.items()]
        self.state += places
        self.end[:0] = [f"store(work, {place}, {name})" for name, place in places.items()]

    def forward(self, number: int) -> None:
        if number > 1:
            super().forward(number)
        else:
            self.forward_groups()

    def forward_groups(self) -> None:
        """The first layer's activations, two vectors at a time: while one waits for a result, the other goes on."""
        first = self.network.layers[0]
        value = ACTIVATIONS[first.activation][0]
        inputs = range(first.n_in)
        pairs = [(f"s{s}_g{g}", s, g) for g in self.groups for s in range(self.samples)]
        for i in range(0, len(pairs), 2):
            some = pairs[i : i + 2]
            sums = [
                affine(f"b_g{g}", [f"w{k}_g{g}" for k in inputs], [f"x{k}_s{s}" for k in inputs], "none")
                for _, s, g in some
            ]
            sums += ["none"] * (2 - len(some))
            self.step += [
                f"z = concat({', '.join(sums)})",
                *self.keep_size(value, "z", "farther", "concat(none, none)"),
            ]
            self.step += [f"a = {value.format(z='z')}"]
            self.step += [
                f"a1_{name} = part(a, {n * PARTIAL_SUMS}, {PARTIAL_SUMS})" for n, (name, *_) in enumerate(some)
            ]

    def weighted_sum(self, number: int, r: int) -> str:
        """Of the second layer, the products with the weights of its neuron `r`, summed: a vector of samples."""
        if number > 2:
            return super().weighted_sum(number, r)
        weights = [f"v{r}_g{g}" for g in self.groups]
        sums = [chain(weights, [f"a1_s{s}_g{g}" for g in self.groups], "none") for s in range(self.samples)]
        bias = self.parameter[self.network.layers[1].bias.start + r]
        return f"{bias} + sum_each({', '.join(sums + ['none'] * (self.lanes - self.samples))})"

    def before_output(self) -> None:
        """Factors of the deltas, f0_s3_g0 for output 0: the output's long chain of operations has company."""
        slope = self.slope(1)
        for g, s, r in product(self.groups, range(self.samples), range(self.network.layers[1].n_out)):
            self.step += [f"f{r}_s{s}_g{g} = {slope.format(w=f'v{r}_g{g}', a=f'a1_s{s}_g{g}')}"]

    def backward(self, number: int) -> None:
        if number > 2:
            super().backward(number)
        else:
            self.backward_groups()

    def backward_groups(self) -> None:
        """Deltas, and the parameters moved by their products with what went in: every lane is a neuron's own."""
        n_in, n_out = self.network.layers[0].n_in, self.network.layers[1].n_out
        samples = range(self.samples)
        self.update += [
            f"d2_{r}_s{s} = broadcast_lane(d2_{r}, {s}, {PARTIAL_SUMS})" for r in range(n_out) for s in samples
        ]
        for g in self.groups:
            for s in samples:
                factors = [f"f{r}_s{s}_g{g}" for r in range(n_out)]
                self.update += [f"d1_s{s}_g{g} = {chain(factors, [f'd2_{r}_s{s}' for r in range(n_out)])}"]
            pairs = {
                **{f"w{k}_g{g}": [(f"d1_s{s}_g{g}", f"x{k}_s{s}") for s in samples] for k in range(n_in)},
                **{f"v{r}_g{g}": [(f"a1_s{s}_g{g}", f"d2_{r}_s{s}") for s in samples] for r in range(n_out)},
            }
            parts = {f"b_g{g}": [f"sum_across(d1_s0_g{g}, b_g{g})", *(f"d1_s{s}_g{g}" for s in samples[1:])]}
            for name, ((x, y), *rest) in pairs.items():
                parts[name] = [f"fma({x}, {y}, {name})", *(f"{x} * {y}" for x, y in rest)]
            self.update += [f"{name} = sum_across({', '.join(terms)})" for name, terms in parts.items()]
