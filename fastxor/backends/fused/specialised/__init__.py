"""Kernels for one tiny network each: not a loop over neurons nor a branch left.

`source` writes out a step of narrow.py for the exact sizes, one line for each operation, in the order that narrow.py
states, so that the result has the same bits. What is saved is the traffic between registers and memory, and half of a
wide register where the samples need no more than the other half. program.py has the lines and prints them; a layout
writes them: samples_in_lanes.py or, for a wide first hidden layer, neurons_in_lanes.py.

Compiling takes a good part of a second, so it is done only when the work ahead repays it; see `pays_off`.

The kernel does not stop at infinity or NaN, and its tanh and sigmoid are for numbers of ordinary size. Parameters that
are not finite stay so, and `far` keeps the largest size, so the caller looks once, after many steps, and has a piece
that failed done again by the engine, which does stop.
"""

from __future__ import annotations

import hashlib
import linecache
import logging
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fastxor.architecture import Architecture
from fastxor.optimizers import Optimizer

from .. import choices, simd, tracing, vmath
from .._jit import VECTOR_BITS, Kernel, kernel
from .._jit import code as code
from ..simd import get, put
from ..tracing import traced_inline
from . import neurons_in_lanes, samples_in_lanes
from .program import ACTIVATIONS

_LOGGER = logging.getLogger("fastxor")

_SIGNATURE = "boolean(T[::1], float64[::1], int64, float64, int64, int64)"


def fits(network: Architecture, optimizer: Optimizer, samples: int, dtype: np.dtype) -> bool:
    """Whether there can be a specialised kernel."""
    in_one_vector = samples * dtype.itemsize <= VECTOR_BITS // 8
    known = all(layer.activation in ACTIVATIONS for layer in network.layers[:-1])
    loss = network.loss == "binary_cross_entropy" or (network.loss, network.output) == ("squared_error", "identity")
    return (
        in_one_vector
        and known
        and loss
        and optimizer._kind == "descent"
        and network.count <= choices.MAX_SPECIALISED_PARAMETERS
    )


def pays_off(train: Kernel, dtype: np.dtype, seconds_left: float, seconds_spent: float) -> bool:
    """Whether to use the kernel for work that the engine needs `seconds_left` for, after so many spent on its like."""
    if train.is_loaded(dtype):
        return seconds_left > choices.MIN_SECONDS_TO_CALL
    seconds = max(seconds_left, seconds_spent)
    return seconds > choices.MIN_SECONDS_TO_LOAD and (seconds > choices.MIN_SECONDS_TO_COMPILE or train.is_ready(dtype))


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


def source(network: Architecture, samples: int, dtype: np.dtype) -> str:
    """Python text of the kernel, on the workspace that the engine uses for the same network and samples."""
    if neurons_in_lanes.fits(network, samples):
        return neurons_in_lanes.NeuronsInLanes(network, samples, dtype).text()
    return samples_in_lanes.SamplesInLanes(network, samples, dtype).text()


def move(work, start, down, across, to, down_to, across_to, rows, columns):
    """Copy a matrix whose neighbours stand `down` and `across` from each other to where they stand otherwise.

    Many arguments: see tracing.py.
    """
    for r in range(rows):
        for c in range(columns):
            put(work, to + r * down_to + c * across_to, get(work, start + r * down + c * across))
