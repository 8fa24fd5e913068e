"""Training: `train`, and the checks of what it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import is_not
from typing import Any, Literal, Never, get_args

import numpy as np  # noqa: F401 - RandomState has it in quotes
from numpy.typing import ArrayLike

from fastxor import validation as checks
from fastxor.backends import check_name, resolve
from fastxor.early_stopping import EarlyStopping
from fastxor.files import Path
from fastxor.loop import Run
from fastxor.names import BackendName, Initialization
from fastxor.network import INITIALIZATIONS, Network, RandomState
from fastxor.observers import CHECKPOINT_SECONDS, Moment, Observers
from fastxor.optimizers import Optimizer, SecondOrder, check_run, refuse_each
from fastxor.penalties import NONE, Penalties, checked
from fastxor.result import Result
from fastxor.run_setup import DEFAULT_OPTIMIZER, RunRequest, made, new_run, resumed_run, validation_data
from fastxor.views import Array
from fastxor.weights import combined

INTERVAL = 100
_OPTIMIZERS = get_args(Optimizer)
_OFF = (None, None, False, None, False, None, CHECKPOINT_SECONDS)  # nobody looks on


def train(
    network: Network,
    X: ArrayLike,
    Y: ArrayLike,
    *,
    parameters: Mapping[str, ArrayLike] | None = None,
    initialization: Initialization | None = None,
    optimizer: Optimizer = DEFAULT_OPTIMIZER,
    iterations: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
    sample_weight: ArrayLike | None = None,
    class_weight: Literal["balanced"] | Mapping[int, float] | None = None,
    l2: float = 0.0,
    l1: float = 0.0,
    clip_norm: float | None = None,
    random_state: RandomState = None,
    interval: int | None = None,
    validation: float | tuple[ArrayLike, ArrayLike] | None = None,
    early_stopping: EarlyStopping | None = None,
    target_cost: float | None = None,
    gradient_norm: bool = False,
    callback: Callable[[Moment], Any] | None = None,
    progress: bool = False,
    checkpoint: Path | None = None,
    checkpoint_every: float = CHECKPOINT_SECONDS,
    resume: Result | None = None,
    threads: int | None = None,
    backend: BackendName | None = None,
    **unknown: Never,  # refused, with a hint at what was meant
) -> Result:
    """Train a network on all samples at once, or on mini-batches.

    Parameters
    ----------
    network : Network
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    Y : array_like, shape (n_y, m), or (m,)
        Targets: from 0 to 1 for the cross-entropies (with columns that sum to 1 for softmax), not negative for poisson,
        else finite. For softmax also class numbers from 0 to n_y - 1, as (m,) or (1, m); for one output also a vector
        (m,). For other classes see `one_hot`.
    parameters : dict, optional
        Start from these instead of ``network.initialize(random_state, initialization)``; left unchanged.
    initialization : str, optional
        How the first weights are drawn: "he", "glorot", "lecun", "normal" or "orthogonal"; see `Network.initialize`.
        Default: what suits the activation of each layer, "he" for relu and its like, "glorot" for all others.
    optimizer : SGD, Adam, AdamW, RMSprop, Rprop, LBFGS or LevenbergMarquardt, optional
        Default: ``SGD(0.3)``. The last three are for all samples at once, without `batch_size`.
        A learning rate may be a schedule: see `SGD`.
    iterations : int, optional
        Steps to take. With mini-batches, each batch is a step. Default: 1000.
    epochs : int, optional
        Times to go through all samples, instead of `iterations`. On full batches, each step is an epoch.
    batch_size : int, optional
        Samples in a mini-batch. Each epoch goes through all samples once; its last batch may be smaller. Default: all
        samples in every step. For an epoch or more, data whose samples lie across memory, as in an array
        ``(n_x, m)`` in C order, are copied once, so that each sample is in one piece; ``X.T`` of an array ``(m, n_x)``
        is taken as it stands.
    shuffle : bool, optional
        Whether each epoch has a new order of the samples; else mini-batches take them as they stand.
    drop_last : bool, optional
        Leave out an epoch's last mini-batch where it is smaller than the others.
    sample_weight : array_like, shape (m,), optional
        How much each sample counts, finite and not negative. The weights are divided by their mean, over the samples
        that are trained on: only how they compare counts, and each loss is multiplied by its sample's. A sample of
        weight 0 is left out, as if it was not in X; on full batches, weights of whole numbers are as good as so many
        copies. Recorded costs are weighted, that of the validation data is not.
    class_weight : "balanced" or dict, optional
        How much the samples of each class count: a dict from class to weight, 1 for those that are not in it; or
        "balanced", for all classes to count alike together, however many samples each has. For labels, 0 and 1 of one
        sigmoid output or the classes of softmax. With `sample_weight`, the two are multiplied, and a sample is counted
        by its weight.
    l2, l1 : float, optional
        Penalties on the weights, not on the biases: what is made small is the objective
        ``cost + l2 / 2 * sum(w**2) + l1 * sum(abs(w))``, where the cost is the mean over the samples, of a mini-batch
        with those. Recorded costs, and `target_cost`, include them; the cost of the validation data does not.
        scikit-learn divides its penalty by the number of samples in a step: its ``alpha`` is ``l2 * m``. PyTorch's
        ``weight_decay``, for optimizers other than AdamW, is `l2`, for the parameters that it is given. `LBFGS` and
        `LevenbergMarquardt` take `l2` alone: `l1` has kinks, where there is no curvature for them to follow.
    clip_norm : float, optional
        The most that the length of the objective's gradient, by all parameters together, may be: a longer one is
        shortened to it before the optimizer's step. Not with `LBFGS` and `LevenbergMarquardt`.
    random_state : None, int, RandomState or Generator, optional
        Where the first weights, and then a seed for the order of the samples, come from; None is numpy's global state.
        The order of an epoch follows from that seed and the epoch's number alone.
    interval : int, optional
        The cost is recorded at every `interval`-th iteration, from 0. Default: 100; with `epochs`, at the end of each
        epoch, as the mean over its samples.
    validation : (X, Y) or float, optional
        Data whose cost is computed at every record; or the fraction of the samples that is to be held out for that,
        in each class alike where the targets are labels. Which, follows from the seed. Unless they are large, the
        data are copied once.
    early_stopping : EarlyStopping, optional
        When to stop, by the validation cost.
    target_cost : float, optional
        Stop at the first record whose cost is not above this.
    gradient_norm : bool, optional
        Record the length of the gradient of the cost of all training samples, penalties and weights included, too.
    callback : callable, optional
        Called with a `Moment` at every record: ``iteration``, ``epoch``, ``cost``, ``validation_cost``, and
        ``parameters`` as copies. If it returns True, the run ends there. Steps are taken in spans of about a tenth of a
        second, and the records of a span are handed over after it. An exception that it raises ends the run; its
        ``result`` is what had been reached.
    progress : bool, optional
        Show a bar by tqdm; if that is not installed, log a line every few seconds.
    checkpoint : path, optional
        Save the run to this file while it goes on, and at its end, however that comes: see `Result.save` and `load`.
    checkpoint_every : float, optional
        Seconds from one checkpoint to the next.
    resume : Result, optional
        Go on with a run: n steps and then n more give the bits of 2 n, for any number of threads, also in the middle
        of an epoch and after ``run.save(path)`` and ``fx.load(path)``. `X` and `Y` have to be those of the run. The
        optimizer, `batch_size`, `shuffle`, `drop_last`, weights, penalties, `clip_norm` and all randomness come from
        it: another value is refused, as are `parameters`, `initialization` and `random_state`. `iterations` or `epochs`
        count the further steps; without them, the run goes on to where it was to end, or 1000 steps if it had come
        there. The other arguments may differ, and have to be given again, but for `interval` and a fraction as
        `validation`, which stay. The history goes on, too; the given run stays as it is.
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
        With ``parameters``, ``history``, ``iterations``, ``forward``, ``predict``, ``cost`` and ``save``.

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
        returned, or the best ones that `early_stopping` restores. Also if the cost ends ten times above where it began.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> run = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0)
    >>> run.predict(X)
    array([[0, 1, 1, 0]])
    >>> run = fx.train(fx.Network([2, 4, 1]), X, Y, resume=run, iterations=500)
    >>> run.iterations
    1500
    """
    if unknown:
        checks.no_more(train, unknown, _OPTIMIZERS)
    if backend is not None:
        check_name(backend)
    if not isinstance(network, Network):
        raise TypeError(f"network must be a Network, got {network!r}")
    threads = None if threads is None else checks.limit("threads", threads)
    settings = kept_settings(network, optimizer, batch_size, shuffle, drop_last)
    refuse_each(optimizer)
    settings["penalties"] = _penalties(optimizer, l2, l1, clip_norm)
    held = None if validation is None else validation_data(validation, network)
    if initialization is not None:
        checks.only_one(parameters=parameters, initialization=initialization)
        initialization = checks.choice("initialization", initialization, INITIALIZATIONS)
    request = RunRequest(settings, *length(iterations, epochs), threads, held, initialization)
    if interval is not None:
        interval = checks.limit("interval", interval)
    options = early_stopping, target_cost, gradient_norm, callback, progress, checkpoint, checkpoint_every
    observer = Observers(*options) if any(map(is_not, options, _OFF)) else None
    X = checks.inputs(X, network.sizes[0])
    Y = checks.answers(Y, network, X.shape[1])
    settings["weights"] = combined(network, Y, sample_weight, class_weight)
    if resume is not None:
        _refuse_with_resume(resume, parameters=parameters, initialization=initialization, random_state=random_state)
    elif early_stopping is not None and held is None:
        raise ValueError(NEEDS_VALIDATION)
    if interval is None and epochs is None:
        interval = INTERVAL if resume is None else resume._settings["interval"]
    make = partial(_made, network, X, Y, parameters, random_state, resume, request, interval)
    run = made(make, random_state, X.size + network.count)
    if run.held_out is not None:
        observer = observer or Observers()
    elif early_stopping is not None:
        raise ValueError(NEEDS_VALIDATION)
    try:  # to load a backend takes its time, too
        run.execute(resolve(backend), observer, stacklevel=2)
        return run.result()
    except KeyboardInterrupt:
        raise run.interrupted() from None
    except BaseException as error:  # SystemExit, too
        run.failed(error)
        raise


def _made(
    network: Network,
    X: Array,
    Y: Array,
    parameters: Mapping[str, ArrayLike] | None,
    random_state: RandomState,
    resume: Result | None,
    request: RunRequest,
    interval: int | None,
) -> Run:
    """The run, where it begins."""
    if resume is None:
        run = new_run(network, X, Y, parameters, checks.random_state(random_state), request)
    else:
        run = resumed_run(network, X, Y, resume, request)
    run.interval = interval
    return run


NEEDS_VALIDATION = "early_stopping needs validation, a pair (X, Y) or a fraction of the samples; got None"


def length(iterations: Any, epochs: Any) -> tuple[int | None, int | None]:
    """How long a run is to be, in one of the two."""
    if epochs is None:
        return (None if iterations is None else checks.integer("iterations", iterations, 0)), None
    if iterations is not None:
        raise ValueError(f"iterations and epochs both say how long to train; got {iterations!r} and {epochs!r}")
    return None, checks.integer("epochs", epochs, 0)


def kept_settings(network: Network, optimizer: Any, batch_size: Any, shuffle: Any, drop_last: Any) -> dict[str, Any]:
    """What a run keeps to from its first step to its last, as a job has it."""
    if batch_size is not None:
        batch_size = checks.limit("batch_size", batch_size)
    check_run(checks.optimizer(optimizer, _OPTIMIZERS), network, batch_size)
    if shuffle is not True or drop_last is not False:  # as they are for most
        shuffle, drop_last = checks.flag("shuffle", shuffle), checks.flag("drop_last", drop_last)
    return {"optimizer": optimizer, "batch_size": batch_size, "shuffled": shuffle, "drop_last": drop_last}


def _penalties(optimizer: Optimizer, l2: Any, l1: Any, clip_norm: Any) -> Penalties:
    """What is added to the cost, and where the gradient is clipped."""
    penalties = checked(l2, l1, clip_norm)
    for name, reason in _NOT_SECOND_ORDER.items() if isinstance(optimizer, SecondOrder) else ():
        number = getattr(penalties, name)
        if number != getattr(NONE, name):
            raise ValueError(f"{name} must be left out with {type(optimizer).__name__}, {reason}; got {number}")
    return penalties


_NOT_SECOND_ORDER = {
    "l1": "which needs a cost without kinks, for it follows the curvature (l2 has none)",
    "clip_norm": "whose step follows from more than the gradient",
}


def _refuse_with_resume(resume: Any, **arguments: Any) -> None:
    if not isinstance(resume, Result):
        raise TypeError(f"resume must be a Result, as train and fx.load return it, got {type(resume).__name__}")
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} must not be given with resume: the run goes on from where it is")
