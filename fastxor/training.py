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
from fastxor.state import Job, State, steps_per_epoch
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
    resume: Result | None = None,
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
    resume : Result, optional
        Go on with a run: n steps and then n more give the bits of 2 n, for any number of threads, also in the middle
        of an epoch and after ``run.save(path)`` and ``fx.load(path)``. `X` and `Y` have to be those of the run. The
        optimizer, `batch_size`, `shuffle`, `drop_last` and all randomness come from it: another value is refused, as
        are `parameters` and `random_state`. `iterations` or `epochs` count the further steps; without them, the run
        goes on to where it was to end, or 1000 steps if it had come there. The other arguments may differ, and have to
        be given again; `interval` is the run's by default. The history goes on, too; the given run stays as it is.
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
    length = _length(iterations, epochs)
    if interval is not None:
        interval = checks.limit("interval", interval)
    if threads is not None:
        threads = checks.limit("threads", threads)
    settings = _settings(optimizer, batch_size, shuffle, drop_last)
    X = checks.inputs(X, network.sizes[0])
    Y = checks.targets(Y, network.sizes[-1], X.shape[1])
    if resume is None:
        run = _begun(network, X, Y, parameters, settings, checks.random_state(random_state), length, threads)
    else:
        _refuse_what_resume_has(resume, parameters=parameters, random_state=random_state)
        run = _resumed(network, X, Y, resume, settings, length, threads)
    if interval is None and epochs is None:
        interval = _INTERVAL if resume is None else resume._settings["interval"]
    try:
        run.go(core, interval, None, stacklevel=2)
        return run.result()
    except KeyboardInterrupt:
        raise run.interrupted() from None
    except Exception as error:
        run.failed(error)
        raise


Length = tuple[int | None, int | None]  # iterations or epochs, or neither


def _length(iterations: Any, epochs: Any) -> Length:
    """How long a run is to be."""
    if epochs is None:
        return (None if iterations is None else checks.integer("iterations", iterations, 0)), None
    if iterations is not None:
        raise ValueError(f"iterations and epochs both say how long to train; got {iterations!r} and {epochs!r}")
    return None, checks.integer("epochs", epochs, 0)


def _end(length: Length, steps_per_epoch: int, completed: int = 0, wanted: int = 0) -> int:
    """The step at which to end, from one that has been reached in a run that was to have so many."""
    iterations, epochs = length
    if epochs is not None:
        checks.integer("epochs", epochs, 0, (checks.MOST - completed) // steps_per_epoch)
        return completed + epochs * steps_per_epoch
    if iterations is None:
        return wanted if wanted > completed else min(completed + _ITERATIONS, checks.MOST)
    return completed + checks.integer("iterations", iterations, 0, checks.MOST - completed)


def _settings(optimizer: Any, batch_size: Any, shuffle: Any, drop_last: Any) -> dict[str, Any]:
    """What a run keeps to from its first step to its last, as a job has it."""
    if batch_size is not None:
        batch_size = checks.limit("batch_size", batch_size)
    if not isinstance(optimizer, SGD | Adam):
        raise TypeError(f"optimizer must be SGD(…) or Adam(…), got {optimizer!r}")
    shuffle, drop_last = checks.flag("shuffle", shuffle), checks.flag("drop_last", drop_last)
    return {"optimizer": optimizer, "batch_size": batch_size, "shuffled": shuffle, "drop_last": drop_last}


def _job(
    network: Network, X: Array, Y: Array, settings: dict[str, Any], length: Length, completed: int, wanted: int = 0
) -> Job:
    """What is trained, with an epoch that has a step."""
    samples, batch_size = X.shape[1], settings["batch_size"]
    steps = steps_per_epoch(samples, batch_size, settings["drop_last"])
    if not steps:
        raise ValueError(f"drop_last leaves no batch: batch_size is {batch_size}, and X has {samples} samples")
    return Job(network, X, Y, iterations=_end(length, steps, completed, wanted), **settings)


def _begun(
    network: Network,
    X: Array,
    Y: Array,
    parameters: Mapping[str, ArrayLike] | None,
    settings: dict[str, Any],
    rng: Any,
    length: Length,
    threads: int | None,
) -> Run:
    """A run from its first step."""
    theta, X, Y = start(network, X, Y, parameters, settings["optimizer"], rng)
    settings["seed"] = 0 if settings["batch_size"] is None else checks.seed(rng)
    job = _job(network, X, Y, settings | {"threads": threads}, length, 0)
    return Run(job, State.beginning(theta, job.optimizer))


# ---------------------------------------------------------------- going on


def _resumed(
    network: Network,
    X: Array,
    Y: Array,
    resume: Result,
    settings: dict[str, Any],
    length: Length,
    threads: int | None,
) -> Run:
    """A run from where another one is."""
    kept = resume._settings
    if network != resume.network:
        raise ValueError(f"network must be that of the run that is resumed, {resume.network}; got {network}")
    for name, default in _DEFAULTS.items():
        if settings[name] is not default and settings[name] != kept[name]:
            raise ValueError(_comes_from_it(_ARGUMENTS.get(name, name), kept[name], settings[name]))
    theta = checks.parameters(resume.parameters, network)
    checks.check_values(network.loss, X=X, Y=Y, parameters=network._views(theta))
    if X.shape[1] != kept["given"]:
        raise ValueError(f"X must be the data of the run that is resumed, of {kept['given']} samples; got {X.shape}")
    if np.result_type(X, theta) != resume._state.theta.dtype:
        raise ValueError(f"X must be {resume._state.theta.dtype}, as in the run that is resumed; got {X.dtype}")
    theta, X, Y = checks.one_dtype(theta, X, checks.cast("Y", Y, theta.dtype))
    settings = {name: kept[name] for name in (*_DEFAULTS, "seed")} | {"threads": threads}
    job = _job(network, X, Y, settings, length, resume.iterations, kept["iterations"])
    state = replace(resume._state, theta=theta.copy())
    return Run(job, state, resume.history._until(state.completed))


_DEFAULTS: dict[str, Any] = {"optimizer": _DESCENT, "batch_size": None, "shuffled": True, "drop_last": False}
_ARGUMENTS = {"shuffled": "shuffle"}


def _refuse_what_resume_has(resume: Any, **arguments: Any) -> None:
    if not isinstance(resume, Result):
        raise TypeError(f"resume must be a Result, as train and fx.load return it, got {type(resume).__name__}")
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} must not be given with resume: the run goes on from where it is")


def _comes_from_it(name: str, has: Any, got: Any) -> str:
    return f"{name} comes from the run that is resumed, {has!r}, and has not to be given; got {got!r}"


# ---------------------------------------------------------------- beginning


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
