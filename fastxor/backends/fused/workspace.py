"""Where everything that a run needs stands in one array: the plan that the kernels read.

A kernel gets two arrays: `work`, of the run's dtype, and `plan`, of int64, which says where in `work` each
thing begins. The activations of layer l are a block of ``sizes[l]`` rows of `WIDTH` samples; layer 0 is X.
Every block starts at a multiple of the vector length and is padded with zeros to one, so that kernels
work on whole vectors and never need a tail.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastxor.network import Network

from ._jit import VECTOR_BITS
from .elementwise import ACTIVATIONS, LOSSES, NEED_SLOPE

# Entries of the plan: numbers first, then offsets into `work`.
DEPTH = 0  # number of layers that have parameters
LOSS = 1  # its code
WIDTH = 2  # samples in a tile, a multiple of two vectors (or one vector, for narrow.py)
PADDED = 3  # length of a parameter vector, padded
THETA = 4  # parameters; stands first in `work`
AFTER = 5  # parameters after the step
BEFORE = 6  # parameters before the last step
GRADIENT = 7
MOMENTS = 8  # two vectors for the optimizer
TARGET = 9  # tile of Y
WEIGHT = 10  # one row: 1/m for each sample of the tile, 0 for padding
LAYERS = 11  # then, for each layer from 0:
# number of rows, offset of the tile, offsets of W and b in a parameter vector, code of the activation, offset of slopes
ROWS, TILE, W, B, CODE, SLOPE, STRIDE = 0, 1, 2, 3, 4, 5, 6

# Samples in a tile: enough that the products' loops are long, few enough that all activations stay near the core.
_MOST_SAMPLES = 128
_MOST_BYTES = 128 * 1024


class Plan(NamedTuple):
    """What the kernels read, and what Python needs to know beside it."""

    entries: np.ndarray
    length: int  # of `work`
    gradient: int  # where it begins in `work`
    moments: tuple[int, int]  # likewise


@lru_cache(maxsize=64)
def plan(network: Network, samples: int, dtype: np.dtype, narrow: bool = False) -> Plan:
    """The plan for steps of `samples` samples; a narrow one has tiles of a single vector."""
    lanes = VECTOR_BITS // 8 // dtype.itemsize

    def padded(n: int) -> int:
        return -(-n // lanes) * lanes

    block = lanes if narrow else 2 * lanes
    slopes = [layer.n_out * (layer.activation in NEED_SLOPE) for layer in network.layers]
    rows = sum(network.sizes) + network.sizes[-1] + sum(slopes)
    most = max(min(_MOST_SAMPLES, _MOST_BYTES // dtype.itemsize // rows) // block, 1)
    blocks = -(-samples // block)
    width = -(-blocks // -(-blocks // most)) * block  # tiles of equal size
    end = 0

    def place(n: int) -> int:
        nonlocal end
        start, end = end, end + padded(n)
        return start

    count = network.count
    vectors = [place(count) for _ in range(6)]
    entries = [len(network.layers), LOSSES[network.loss], width, padded(count), *vectors[:5]]
    entries += [place(network.sizes[-1] * width), place(width)]
    entries += [network.sizes[0], place(network.sizes[0] * width), 0, 0, 0, 0]
    for layer, slope in zip(network.layers, slopes, strict=True):
        entries += [layer.n_out, place(layer.n_out * width), layer.weight.start, layer.bias.start]
        entries += [ACTIVATIONS[layer.activation], place(slope * width)]
    return Plan(np.array(entries, np.int64), end, vectors[3], (vectors[4], vectors[5]))
