"""What a dense network is: its layers, its loss, and where each parameter stands in one flat vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from fastxor.names import Activation, Loss, Output
from fastxor.views import Array, Slots, Views

# The losses whose targets are probabilities; and all whose derivative by the last layer's input is output less target,
# whatever the output.
ENTROPIES: tuple[Loss, ...] = ("binary_cross_entropy", "cross_entropy")
CANONICAL: tuple[Loss, ...] = (*ENTROPIES, "poisson")

# How much of a negative number leaky_relu lets through.
LEAK = 0.01

# Where gelu's distribution function is 0, or 1, to the last bit: beyond that, infinity times 0 would be no number.
GELU_RANGE = 40.0


class Layer(NamedTuple):
    """One layer's size and activation, and where its parameters stand: W row by row, then b."""

    n_in: int
    n_out: int
    activation: Activation | Output
    weight: slice
    bias: slice


@dataclass(frozen=True, init=False)
class Architecture:
    """Sizes, activations and loss of a network, checked by whoever makes it, and what follows from them."""

    sizes: tuple[int, ...]
    hidden: tuple[Activation, ...]
    output: Output
    loss: Loss
    # What follows from these.
    layers: tuple[Layer, ...] = field(init=False, repr=False, compare=False)
    count: int = field(init=False, repr=False, compare=False)
    _slots: Slots = field(init=False, repr=False, compare=False)
    _gradient_slots: Slots = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __init__(self, sizes: tuple[int, ...], hidden: tuple[Activation, ...], output: Output, loss: Loss) -> None:
        slots, gradient_slots = _parameter_slots(sizes)
        places = [place for _name, place, _shape in slots]
        layers = [
            Layer(n_in, n_out, activation, weight, bias)
            for (n_in, n_out), activation, weight, bias in zip(
                pairwise(sizes), (*hidden, output), places[::2], places[1::2], strict=True
            )
        ]
        settings: dict[str, object] = {"sizes": sizes, "hidden": hidden, "output": output, "loss": loss}
        settings |= {"layers": tuple(layers), "count": places[-1].stop}
        settings |= {"_slots": slots, "_gradient_slots": gradient_slots, "_hash": hash((sizes, hidden, output, loss))}
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sizes, self.hidden, self.output, self.loss)  # hashes differ between processes

    def _views(self, theta: Array) -> Views:
        """The dictionary ``W1, b1, W2, …`` of views of `theta`."""
        return Views(self.sizes, self._slots, theta)

    def _weight_mask(self, dtype: Any) -> Array:
        """A flat vector of 1 for each weight and 0 for each bias."""
        mask = np.ones(self.count, dtype)
        for layer in self.layers:
            mask[layer.bias] = 0
        return mask

    @lru_cache(maxsize=64)  # noqa: B019 - networks are few and small
    def _activations(self, m: int) -> Slots:
        """Places of ``A1, A2, …``, each (n, m), in a flat vector of all layers' activations of m samples."""
        return Slots({f"A{number}": (n, m) for number, n in enumerate(self.sizes[1:], 1)})


@lru_cache(maxsize=256)
def _parameter_slots(sizes: tuple[int, ...]) -> tuple[Slots, Slots]:
    """Places of ``W1, b1, W2, …`` and of ``dW1, db1, dW2, …``: one object for all networks of the same sizes."""
    shapes: dict[str, tuple[int, int]] = {}
    for number, (n_in, n_out) in enumerate(pairwise(sizes), 1):
        shapes |= {f"W{number}": (n_out, n_in), f"b{number}": (n_out, 1)}
    return Slots(shapes), Slots({"d" + name: shape for name, shape in shapes.items()})
