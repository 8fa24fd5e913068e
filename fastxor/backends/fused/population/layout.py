"""Where everything that a group of networks needs stands in one array: the plan that the kernels read.

A group has as many networks as a vector has lanes, and lane l holds network l. So what is one number for one network is
a vector here, and a parameter vector is as many of them as there are parameters. A tile is rows x T with T = samples x
lanes: sample by sample, each a vector. Offsets are counted in numbers, as everywhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastxor.architecture import Architecture

from .. import choices
from .._jit import VECTOR_BITS
from ..elementwise import ACTIVATIONS, LOSSES, NEED_DERIVATIVE_ROWS
from ..workspace import CODE, ROWS, SLOPE, STRIDE, TILE, B, W

# Entries of the plan: numbers first,
DEPTH = 0  # number of layers that have parameters
LOSS = 1  # its code
COUNT = 2  # parameters
SAMPLES = 3  # of a step
WIDTH = 4  # samples in a tile; the last one may have fewer
TILES = 5
MOMENT_ROWS = 6  # vectors that the optimizer remembers
RESIDENT = 7  # whether all samples have a place of their own, or those of one tile
SHARED = 8  # whether the networks have the same samples, in the same order: then X is read where it is
TILE_STRIDE = 9  # how far the samples of one tile stand from those of the next
# then offsets into the array, of
THETA = 10  # parameters; they stand first
MOMENTS = 11  # three parameter vectors: two for the optimizer, and one with a 1 for each weight, 0 for biases
GRADIENT = 12
BEFORE = 13  # parameters and moments before the step
NONFINITE = 14  # a vector: NaN in the lane of a network that is no longer finite, else 0
COST = 15  # a vector
INPUT = 16  # a tile's samples: X, Y and the row of weights
TARGET = 17
WEIGHT = 18
LAYERS = 19  # then, for each layer from 0, what workspace.py has there

LANES = {size: VECTOR_BITS // 8 // size for size in (4, 8)}


class Layout(NamedTuple):
    entries: np.ndarray
    length: int  # of the array


@lru_cache(maxsize=64)
def layout(network: Architecture, samples: int, size: int, shared: bool, resident: bool, registers: int = 1) -> Layout:
    """The plan for steps of so many samples, of numbers of `size` bytes, by vectors of so many registers.

    `resident` says that each step takes the same samples; the plan may say that they have no room nevertheless.
    """
    V = LANES[size] * registers
    slopes = [layer.n_out * (layer.activation in NEED_DERIVATIVE_ROWS) for layer in network.layers]
    rows = sum(network.sizes[shared:]) + sum(slopes)
    most = max(1, choices.LANE_TILE_BYTES // (size * V * rows))
    tiles = -(-samples // most)
    width = -(-samples // tiles)
    rows_per_sample = (0 if shared else network.sizes[0]) + network.sizes[-1] + 1
    resident = resident and rows_per_sample * samples * V * size <= choices.MAX_RESIDENT_SAMPLES_BYTES
    end = 0

    def place(vectors: int) -> int:
        nonlocal end
        start, end = end, end + vectors * V
        return start

    count = network.count
    vectors = [place(count), place(3 * count), place(count), place(3 * count), place(1), place(1)]
    step = rows_per_sample * width * V
    data = [place((0 if shared else network.sizes[0]) * width), place(network.sizes[-1] * width), place(width)]
    place(rows_per_sample * width * (tiles - 1) if resident else 0)
    layers = [network.sizes[0], data[0], 0, 0, ACTIVATIONS["identity"], 0]
    for layer, slope in zip(network.layers, slopes, strict=True):
        layers += [layer.n_out, place(layer.n_out * width), layer.weight.start * V, layer.bias.start * V]
        layers += [ACTIVATIONS[layer.activation], place(slope * width)]
    numbers = [len(network.layers), LOSSES[network.loss], count, samples, width, tiles, 2, resident, shared, step]
    return Layout(np.array([*numbers, *vectors, *data, *layers], np.int64), end)


__all__ = ["CODE", "ROWS", "SLOPE", "STRIDE", "TILE", "B", "W", "layout"]
