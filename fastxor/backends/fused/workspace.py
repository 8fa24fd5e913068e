"""Where everything that a run needs stands in one array: the plan that the kernels read.

A kernel gets two arrays: `work`, of the run's dtype, and `plan`, of int64, which says where in `work` each
thing begins. The activations of layer l are a block of ``sizes[l]`` rows of `WIDTH` samples; layer 0 is X.
Every block starts at a multiple of the vector length and is padded with zeros to one, so that kernels
work on whole vectors and never need a tail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastxor.architecture import Architecture

from . import choices
from ._jit import VECTOR_BITS
from .elementwise import ACTIVATIONS, LOSSES, NEED_DERIVATIVE_ROWS

# Entries of the plan: numbers first, then offsets into `work`.
DEPTH = 0  # number of layers that have parameters
LOSS = 1  # its code
WIDTH = 2  # samples in a tile: whole vectors, at least two (or one, for narrow.py)
PADDED = 3  # length of a parameter vector, padded
THREAD_STRIDE = 4  # how far the tiles of one thread stand from those of the next
GRADIENT_BUFFERS = 5  # gradients of tiles that each thread has room for
THETA = 6  # parameters; stands first in `work`
AFTER = 7  # parameters after the step
BEFORE = 8  # parameters before the last step
GRADIENT = 9
MOMENTS = 10  # two vectors for the optimizer, and one with a 1 for each weight, 0 for biases
# From here on every thread has its own; these are the first one's.
TILE_GRADIENTS = 11  # gradients of single tiles
TARGET = 12  # tile of Y
WEIGHT = 13  # one row: 1/m for each sample of the tile, 0 for padding
SCRATCH = 14  # where a tile is turned: samples x rows, padded
TRANSPOSE_SCRATCH = 15  # a square of as many rows as lanes
SAMPLES = 16  # tile of X as it came, if one sample after the other, padded
LAYERS = 17  # then, for each layer from 0:
# number of rows, offset of the tile, offsets of W and b in a parameter vector, code of the activation, offset of slopes
ROWS, TILE, W, B, CODE, SLOPE, STRIDE = 0, 1, 2, 3, 4, 5, 6

_LINE = 64  # bytes of a cache line


class Plan(NamedTuple):
    """What the kernels read, and what Python needs to know beside it."""

    entries: np.ndarray
    common: int  # length of the part of `work` that all threads share
    private: int  # of what each of them has for itself
    gradient: int  # where it begins in `work`
    moments: int  # two vectors, likewise
    weights: int  # likewise
    narrow: bool  # a tile is a single vector


@lru_cache(maxsize=64)
def plan(network: Architecture, samples: int, dtype: np.dtype, narrow: bool = False, alone: bool = False) -> Plan:
    """The plan for steps of `samples` samples; a narrow one has tiles of a single vector, and one for a thread alone no
    tiles that are there for a second one.
    """
    lanes = VECTOR_BITS // 8 // dtype.itemsize

    def padded(n: int) -> int:
        return -(-n // lanes) * lanes

    block = lanes if narrow else 2 * lanes
    slopes = [layer.n_out * (layer.activation in NEED_DERIVATIVE_ROWS) for layer in network.layers]
    rows = sum(network.sizes) + network.sizes[-1] + sum(slopes) + max(network.sizes)
    wanted = min(max(choices.MIN_TILE_SAMPLES, samples // choices.TARGET_TILES), choices.MAX_TILE_SAMPLES)
    most = max(min(wanted, choices.MAX_TILE_BYTES // dtype.itemsize // rows) // block, 1)
    blocks = -(-samples // block)
    width = -(-blocks // -(-blocks // most)) * block  # tiles of equal size
    if samples <= width:
        width = max(padded(samples), block)  # one tile, whose last block may be a vector wide
        if not narrow and not alone and _is_worth_splitting(network, samples, dtype):
            width = padded(-(-samples // 2))
    if samples > width and width * dtype.itemsize % choices.CACHE_ALIAS_BYTES == 0:
        width += lanes
    line = max(lanes, _LINE // dtype.itemsize)
    end = 0

    def place(n: int) -> int:
        nonlocal end
        start, end = end, end + -(-n // line) * line
        return start

    count = network.count
    vectors = [place(count) for _ in range(4)]
    moments = place(3 * padded(count))  # one after the other, as the kernel finds them
    private = end
    buffers = max(
        1, min(choices.MAX_GRADIENT_BUFFERS, choices.GRADIENT_BUFFER_BYTES // (padded(count) * dtype.itemsize))
    )
    tile_buffers = [
        place(0 if width >= samples else buffers * padded(count)),
        place(network.sizes[-1] * width),
        place(width),
    ]
    # The tile of layer 0 is not the last thing in `work`: dense.py reads, and forgets, up to a vector of rows past one.
    tiles = [network.sizes[0], place(network.sizes[0] * width), 0, 0, ACTIVATIONS["identity"], 0]
    for layer, slope in zip(network.layers, slopes, strict=True):
        tiles += [layer.n_out, place(layer.n_out * width), layer.weight.start, layer.bias.start]
        tiles += [ACTIVATIONS[layer.activation], place(slope * width)]
    scratch = [place(n * width) for n in (padded(max(network.sizes)), lanes, padded(network.sizes[0]))]
    numbers = [len(network.layers), LOSSES[network.loss], width, padded(count), end - private, buffers]
    entries = np.array([*numbers, *vectors, moments, *tile_buffers, *scratch, *tiles], np.int64)
    return Plan(entries, private, end - private, vectors[3], moments, moments + 2 * padded(count), narrow)


def _is_worth_splitting(network: Architecture, samples: int, dtype: np.dtype) -> bool:
    """Whether two tiles are better than one, for two threads: enough work, and little that they have to exchange."""
    few = network.count * dtype.itemsize <= choices.GRADIENT_BUFFER_BYTES
    long = samples * dtype.itemsize >= choices.MIN_SPLIT_ROW_BYTES
    return few and long and 6 * network.count * samples > choices.MIN_SPLIT_OPERATIONS


def allocate(plan: Plan, threads: int, dtype: np.dtype) -> np.ndarray:
    """`work`, for so many threads.

    Large vectors of parameters are written before they are read, and are not cleared before that, but for their
    padding. (Specialised kernels, which are for small ones, have padding between their rows.)
    """
    if plan.common * dtype.itemsize <= choices.MAX_CLEARED_BYTES:
        return zeros(plan.common + threads * plan.private, dtype)
    work = _aligned(np.empty, plan.common + threads * plan.private, dtype)
    padded = int(plan.entries[PADDED])
    moments = (plan.moments + i * padded for i in range(3))
    for vector in (*plan.entries[[THETA, AFTER, BEFORE, GRADIENT]].tolist(), *moments):
        end = vector + padded
        work[max(vector, end - VECTOR_BITS // 8 // dtype.itemsize) : end] = 0
    work[plan.common :] = 0
    return work


def zeros(length: int, dtype: np.dtype) -> np.ndarray:
    """An array of them that begins where a cache line does: a vector that lies across two costs twice."""
    return _aligned(np.zeros, length, dtype)


def _aligned(make: Callable[..., np.ndarray], length: int, dtype: np.dtype) -> np.ndarray:
    space = make(length + _LINE // dtype.itemsize, dtype)
    start = -space.ctypes.data % _LINE // dtype.itemsize
    return space[start : start + length]
