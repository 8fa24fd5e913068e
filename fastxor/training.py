"""Training: `train`, the checks of what it is given, and the beginning of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastxor import validation as checks
from fastxor.backends import resolve
from fastxor.loop import Run
from fastxor.names import BackendName
from fastxor.network import Network, RandomState
from fastxor.optimizers import SGD, Adam, Optimizer
from fastxor.result import Result
from fastxor.state import Job, State
from fastxor.views import Array

_ITERATIONS = 1000
_INTERVAL = 100
_DESCENT = SGD(0.3)  # this object: the optimizer of who names none


def train(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    parameters: Mapping[str, ArrayLike] | None = None,
    optimizer: Optimizer = _DESCENT,
    iterations: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
    random_state: RandomState = None,
    interval: int | None = None,
    threads: int | None = None,
    backend: BackendName | None = None,
) -> Result:
    """Train a network on all samples at once, or on mini-batches.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    Y : array_like, shape (n_y, m)
        Targets: from 0 to 1 for the cross-entropies (with columns that sum to 1 for softmax), else finite.
    parameters : dict, optional
        Start from these instead of ``network.initialize(random_state)``; left unchanged.
    optimizer : SGD or Adam, optional
        Default: ``SGD(0.3)``.
    iterations : int, optional
        Steps to take. With mini-batches, each batch is a step. Default: 1000.
    epochs : int, optional
        Times to go through all samples, instead of `iterations`. On full batches, each step is an epoch.
    batch_size : int, optional
        Samples in a mini-batch. Each epoch goes through all samples once; its last batch may be smaller. Default: all
        samples in every step. For more than one epoch, data whose samples lie across memory,
        as in an array ``(n_x, m)`` in C order, are copied once, so that each sample is in one piece; ``X.T`` of an
        array ``(m, n_x)`` is taken as it stands.
    shuffle : bool, optional
        Whether each epoch has a new order of the samples; else mini-batches take them as they stand.
    drop_last : bool, optional
        Leave out an epoch's last mini-batch where it is smaller than the others.
    random_state : None, int, RandomState or Generator, optional
        Where the first weights, and then a seed for the order of the samples, come from; None is numpy's global state.
        The order of an epoch follows from that seed and the epoch's number alone.
    interval : int, optional
        The cost is recorded at every `interval`-th iteration, from 0. Default: 100; with `epochs`, at the end of each
        epoch, as the mean over its samples.
    threads : int, optional
        Threads that share each step's samples; the result has the same bits for any number. Default: one where a
        step is little work, else as many as this process may use cores: those that it may run on, and no more than
        ``OMP_NUM_THREADS``, ``NUMBA_NUM_THREADS``, `numba.set_num_threads` or a container's CPU quota say. The
        numpy backend has none of its own.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    Result
        With ``parameters``, ``history``, ``iterations``, ``forward``, ``predict`` and ``cost``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    TrainingInterrupted
        On Ctrl-C; a KeyboardInterrupt whose ``result`` holds what had been reached.

    Warns
    -----
    DivergenceWarning
        If the cost or a parameter ceases to be finite: the run stops and the last finite parameters are
        returned. Also if the cost ends ten times above where it began.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> run = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0)
    >>> run.predict(X)
    array([[0, 1, 1, 0]])
    """
    core = resolve(backend)
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    iterations, epochs = _length(iterations, epochs)
    if interval is not None:
        interval = checks.limit("interval", interval)
    if threads is not None:
        threads = checks.limit("threads", threads)
    settings = _settings(optimizer, batch_size, shuffle, drop_last)
    X = checks.inputs(X, network.sizes[0])
    Y = checks.targets(Y, network.sizes[-1], X.shape[1])
    rng = checks.random_state(random_state)
    theta, X, Y = start(network, X, Y, parameters, optimizer, rng)
    settings["seed"] = 0 if batch_size is None else checks.seed(rng)
    job = _with_epochs(Job(network, X, Y, iterations=iterations or 0, threads=threads, **settings), epochs)
    run = Run(job, State.beginning(theta, optimizer))
    if epochs is None and interval is None:
        interval = _INTERVAL
    try:
        run.go(core, interval, None, stacklevel=2)
        return run.result()
    except KeyboardInterrupt:
        raise run.interrupted() from None
    except Exception as error:
        run.failed(error)
        raise


def _length(iterations: Any, epochs: Any) -> tuple[int | None, int | None]:
    """How long a run is to be, in one of the two."""
    if epochs is None:
        return (_ITERATIONS if iterations is None else checks.integer("iterations", iterations, 0)), None
    if iterations is not None:
        raise ValueError(f"iterations and epochs both say how long to train; got {iterations!r} and {epochs!r}")
    return None, checks.integer("epochs", epochs, 0)


def _settings(optimizer: Any, batch_size: Any, shuffle: Any, drop_last: Any) -> dict[str, Any]:
    """What a run keeps to from its first step to its last, as a job has it."""
    if batch_size is not None:
        batch_size = checks.limit("batch_size", batch_size)
    if not isinstance(optimizer, SGD | Adam):
        raise TypeError(f"optimizer must be SGD(…) or Adam(…), got {optimizer!r}")
    shuffle, drop_last = checks.flag("shuffle", shuffle), checks.flag("drop_last", drop_last)
    return {"optimizer": optimizer, "batch_size": batch_size, "shuffled": shuffle, "drop_last": drop_last}


def _with_epochs(job: Job, epochs: int | None) -> Job:
    """The job with so many more epochs, if that is how its length was given."""
    if not job.steps_per_epoch:
        raise ValueError(f"drop_last leaves no batch: batch_size is {job.batch_size}, and X has {job.samples} samples")
    if epochs is None:
        return job
    checks.integer("epochs", epochs, 0, (checks.MOST - job.iterations) // job.steps_per_epoch)
    return replace(job, iterations=job.iterations + epochs * job.steps_per_epoch)


def start(
    network: Network, X: Array, Y: Array, parameters: Mapping[str, ArrayLike] | None, optimizer: Optimizer, rng: Any
) -> list[Array]:
    """The parameters to start from, X and Y, in the dtype of the run; for what is refused, nothing is drawn."""
    checks.check_values(network.loss, X=X, Y=Y)
    theta = None if parameters is None else checks.parameters(parameters, network)
    if theta is not None and not np.isfinite(theta).all():
        checks.refuse_values(parameters=network._views(theta))
    dtype = X.dtype if theta is None else np.result_type(theta, X)
    checks.settings(optimizer, dtype)
    Y = checks.cast("Y", Y, dtype)
    if theta is None:
        theta = checks.parameters(network.initialize(rng, dtype=dtype), network)
    return checks.one_dtype(theta, X, Y)
