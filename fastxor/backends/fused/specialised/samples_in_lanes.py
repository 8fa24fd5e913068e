"""The layout for the fewest neurons: a vector of samples for each of them.

Few parameters stay in registers, each in every lane; of more, as many as there are lanes stand side by side in memory,
so that one addition serves several sums over the samples.
"""

from __future__ import annotations

import numpy as np

from fastxor.architecture import Architecture

from ..choices import MAX_REGISTER_PARAMETERS
from ..workspace import AFTER, LAYERS, PADDED, TARGET, TILE, WEIGHT
from .program import ACTIVATIONS, LOSSES, Program, affine, chain


class SamplesInLanes(Program):
    """Writes the program of such a kernel."""

    def __init__(self, network: Architecture, samples: int, dtype: np.dtype) -> None:
        super().__init__(network, samples, dtype)
        self.lanes = register(samples)
        self.last = len(network.layers)
        few = self.entries[PADDED] <= MAX_REGISTER_PARAMETERS
        self.short = self.last == 2 and network.sizes[-1] == 1 and few  # as in engine.py
        self.load_samples()
        self.load_parameters()
        self.load_more()
        for number in range(1, self.last + 1):
            self.forward(number)
        self.before_output()
        self.output()
        for number in range(self.last, 1, -1):  # before the weights move
            self.backward(number)
        self.descend()

    # What another layout does in its own way.

    @property
    def begin(self) -> int:
        """The first parameter in this layout."""
        return 0

    def load_more(self) -> None:
        """What stands elsewhere."""
        x = self.entries[LAYERS + TILE]
        names = range(self.network.sizes[0])
        self.load += [f"a0_{r} = load(work, {x + r * self.stride}, {self.lanes})" for r in names]

    def weighted_sum(self, number: int, r: int) -> str:
        """The input of neuron `r` of a layer."""
        layer = self.network.layers[number - 1]
        weights = self.parameter[layer.weight.start + r * layer.n_in :]
        values = [f"a{number - 1}_{k}" for k in range(layer.n_in)]
        return affine(self.parameter[layer.bias.start + r], weights, values, "zero")

    def before_output(self) -> None:
        """What may be done while the outputs are waited for."""

    # The whole way.

    def load_samples(self) -> None:
        entries, stride, lanes = self.entries, self.stride, self.lanes
        self.load += [
            f"weight = load(work, {entries[WEIGHT]}, {lanes})",
            "zero = weight - weight",
            "gain = weight * -rate",
        ]
        for r in range(self.network.sizes[-1]):
            self.load += [f"y{r} = load(work, {entries[TARGET] + r * stride}, {lanes})"]

    def load_parameters(self) -> None:
        count, begin, lanes = self.network.count, self.begin, self.lanes
        self.in_registers = count - begin <= MAX_REGISTER_PARAMETERS
        if self.in_registers:
            self.load += [f"p{i} = broadcast(work, {i}, {lanes})" for i in range(begin, count)]
            self.parameter = [f"p{i}" for i in range(count)]
            self.state += self.parameter[begin:]
        else:  # the parameters at `here` become those at `there`
            self.load += [f"here, there = 0, {self.entries[AFTER]}"]
            self.state += ["here", "there"]
            self.parameter = [f"broadcast(work, here + {i}, {lanes})" for i in range(count)]

    def forward(self, number: int) -> None:
        layer = self.network.layers[number - 1]
        for r in range(layer.n_out):
            z = self.weighted_sum(number, r)
            if number < self.last:
                value = ACTIVATIONS[layer.activation][0].format(z="z")
                self.step += [f"z = {z}", *self.keep_size(value, "z", "far", "zero"), f"a{number}_{r} = {value}"]
            else:
                value = LOSSES[self.network.loss][1]
                self.step += [f"z{r} = {z}", *self.keep_size(value, f"z{r}", "far", "zero")]

    def output(self) -> None:
        loss, error = LOSSES[self.network.loss]
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
                d = chain(factors, [f"d{number}_{r}" for r in range(layer.n_out)])
                self.update += [f"d{number - 1}_{k} = {d}"]

    def slope(self, number: int) -> str:
        return ACTIVATIONS[self.network.layers[number - 1].activation][1]

    def descend(self) -> None:
        count, begin, lanes = self.network.count, self.begin, self.lanes
        parts = self.moved()
        if self.in_registers:
            self.update += [f"p{i} = sum_everywhere({parts[i]})" for i in parts if i >= begin]
            # The lanes of a parameter are all alike, and their number is a power of two: nothing is rounded here.
            self.end[:0] = [f"put(work, {i}, sum_lanes(p{i}) * {1 / lanes})" for i in range(begin, count)]
        else:
            for start in range(begin - begin % lanes, count, lanes):
                some = [parts[i] if begin <= i < count else "zero" for i in range(start, start + lanes)]
                self.update += [f"store(work, there + {start}, sum_each({', '.join(some)}))"]
            self.update += ["here, there = there, here"]
            places = range(begin - begin % self.stride, self.entries[PADDED], self.stride)
            self.end[:0] = [f"store(work, {i}, load(work, here + {i}))" for i in places]

    def moved(self) -> dict[int, str]:
        """For each parameter, the vector whose sum over the samples it becomes: its first lane has the old value."""
        parts = {}
        for number, layer in enumerate(self.network.layers, 1):
            for r in range(layer.n_out):
                terms = [(layer.bias.start + r, "")]
                terms += [(layer.weight.start + r * layer.n_in + k, f"a{number - 1}_{k}") for k in range(layer.n_in)]
                for i, a in terms:
                    d, old = f"d{number}_{r}", f"first_lane({self.parameter[i]})"
                    if self.short and number == 1:
                        parts[i] = f"fma(e_0, f1_{r}{a and ' * '}{a}, {old})"
                    else:
                        parts[i] = f"fma({d}, {a}, {old})" if a else f"sum_across({d}, {old})"
        return parts


def register(samples: int) -> int:
    """Lanes of the smallest register for so many samples: what it leaves out is padding, whose weight is 0."""
    lanes = 2
    while lanes < samples:
        lanes *= 2
    return lanes
