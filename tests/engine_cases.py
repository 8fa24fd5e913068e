"""Jobs for the general engine, of the one table's kind: a pairwise set of them, and a short way of writing others.

In `JOBS`, every two values of any two columns meet: every activation with every output and loss, every optimizer with
every number of samples, and so on.
"""

import itertools

import numpy as np
from support import pairwise

import fastxor as fx
from fastxor.bench.problems import Problem, soft
from fastxor.network import ACTIVATIONS, LOSSES

# Every output with every loss that goes with it.
ENDS = [(output, loss) for loss, outputs in LOSSES.items() for output in outputs]
OPTIMIZERS = {
    "sgd": fx.SGD(0.03),
    "momentum": fx.SGD(0.01, 0.9),
    "nesterov": fx.SGD(0.01, 0.9, nesterov=True),
    "adam": fx.Adam(0.01),
    "adamw": fx.AdamW(0.003, weight_decay=1.0),
    "rmsprop": fx.RMSprop(0.003),
    # Where a sum over many samples is nearly 0 in the first steps, its rounding would be as large as they are.
    "rmsprop-momentum": fx.RMSprop(0.001, 0.9, epsilon=1e-4, momentum=0.8),
    "rprop": fx.Rprop(1e-3),  # where a unit saturates, the sign of a gradient that is 0 to rounding decides on a step
}
FULL_BATCHES = [name for name, optimizer in OPTIMIZERS.items() if optimizer._full_batches]
DTYPES = ("float64", "float32")
# Around a vector's length, a register block's and a tile's.
SAMPLES = (1, 8, 9, 16, 17, 129, 257, 3, 300)
INPUTS = (3, 1, 17, 5, 33)
HIDDEN = ((5,), (33,), (17, 3), (1,), (3, 5, 17), (5, 33), (1, 17, 3))
ITERATIONS = 20

# What "the same answer" means: after one pass, where only rounding differs, and after a whole run.
STEP = {"float64": 1e-11, "float32": 2e-4}
RUN = {"float64": 1e-9, "float32": 1e-3}


def optimizers_with(*batch_sizes):
    """Pairs of an optimizer and a batch size: every one, but for mini-batches where an optimizer takes none."""
    pairs = itertools.product(OPTIMIZERS, batch_sizes)
    return [(name, size) for name, size in pairs if not (name in FULL_BATCHES and size)]


def job_with(sizes, hidden, output, loss, optimizer, batch_size, m, dtype, seed=0, iterations=ITERATIONS):
    """A job whose optimizer is known by its name, and whose data have hard and soft labels.

    Many arguments: a column of the tables below each.
    """
    activations = "+".join(dict.fromkeys(hidden)) or "none"
    batch = f"batch{batch_size}" if batch_size else "full"
    name = f"{activations}-{output}-{loss}-{optimizer}-{batch}-{dtype}-{'-'.join(map(str, sizes))}-m{m}"
    optimizer = OPTIMIZERS[optimizer]
    return Problem(
        name, sizes, hidden, output, m, dtype, optimizer, batch_size, loss, soft, iterations=iterations, seed=seed
    )


def _ragged(m):
    """A batch size that leaves a smaller last batch, and more than one of them, where there are samples enough."""
    return next((size for size in (64, 7, 5, 4, 2) if m > size and m % size), 2)


WITHOUT_HIDDEN = {
    "end": ENDS,
    "optimizer": tuple(OPTIMIZERS),
    "is_full": (True, False),
    "dtype": DTYPES,
    "m": SAMPLES,
    "n_x": INPUTS,
    "n_y": (1, 2, 5, 3),
}
WITH_HIDDEN = {"activation": ACTIVATIONS, "hidden": HIDDEN, **WITHOUT_HIDDEN}


def _jobs(columns, first_seed):
    """A job of each row, by its row."""
    jobs = {}
    for seed, row in enumerate(pairwise(columns), first_seed):
        hidden = getattr(row, "hidden", ())
        jobs[row] = job_with(
            (row.n_x, *hidden, row.n_y + (row.end[0] == "softmax")),
            (getattr(row, "activation", None),) * len(hidden),
            *row.end,
            row.optimizer,
            None if row.is_full or row.optimizer in FULL_BATCHES else _ragged(row.m),
            row.m,
            row.dtype,
            seed,
        )
    return jobs


TABLES = [(columns, _jobs(columns, seed)) for columns, seed in ((WITH_HIDDEN, 0), (WITHOUT_HIDDEN, 500))]
JOBS = [job for _columns, jobs in TABLES for job in jobs.values()]


def small(job):
    """Whether plain Python gets through a few steps of the un-jitted source in a moment."""
    weights = sum(n_in * n_out for n_in, n_out in zip(job.sizes, job.sizes[1:], strict=False))
    return weights * job.m <= 2500


def assert_close(got, wanted, rtol):
    """Same keys, shapes, dtype and values. A number that passes through zero has no relative accuracy of its own:
    its array's size has, and a cost or an array of ordinary size counts as 1."""
    assert list(got) == list(wanted)
    for key, value in wanted.items():
        value = np.asarray(value)
        assert np.shape(got[key]) == value.shape, key
        assert np.asarray(got[key]).dtype == value.dtype, key
        atol = 1e-2 * rtol * max(np.abs(value).max(), 1)
        np.testing.assert_allclose(got[key], value, rtol=rtol, atol=atol, err_msg=key)
