"""What a run returns, or leaves behind when it ends otherwise."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from typing import Any

from fastxor import saving, validation
from fastxor.files import Path
from fastxor.history import History
from fastxor.network import Network  # noqa: F401 - a type of Result's first field, which is Trained's
from fastxor.state import State
from fastxor.trained import Trained
from fastxor.views import Array


class DivergenceWarning(RuntimeWarning):
    """Training blew up: the learning rate is too large for the data, or the data are too large.

    Examples
    --------
    >>> import warnings
    >>> import fastxor as fx
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", fx.DivergenceWarning)  # an exception instead of a warning
    ...     run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], random_state=0)
    """


def users_level() -> int:
    """The `stacklevel` of a warning that names the line outside this package from which the caller was come to."""
    here = os.path.dirname(__file__) + os.sep
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back
    return level


@dataclass(frozen=True, eq=False, repr=False)
class Result(Trained):
    """What `train` returns: a trained network, its history, and all that is needed to continue.

    Attributes
    ----------
    network : Network
    parameters : dict
        Trained ``W1, b1, W2, b2, …``
    history : History
        What was recorded: a mapping from iteration to cost, with the columns ``iteration``, ``epoch``, ``cost``,
        ``validation_cost``, ``gradient_norm``, ``learning_rate``, ``seconds``.
    iterations : int
        Steps behind the parameters; fewer than asked for if the run diverged or was stopped.

    Examples
    --------
    >>> import fastxor as fx
    >>> run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], iterations=250, random_state=0)
    >>> list(run.history), run.iterations
    ([0, 100, 200], 250)
    >>> run  # doctest: +ELLIPSIS
    Result(1-1 network, 250 iterations, cost 0... to 0...)
    """

    history: History
    iterations: int
    _state: State = field(repr=False)
    _settings: dict[str, Any] = field(repr=False)  # of its job, and `interval`
    _best: State | None = field(default=None, repr=False)  # where the validation cost was lowest, if a run is to know

    def __post_init__(self) -> None:
        """Nothing: what a run has reached needs no check, nor a copy."""

    def __repr__(self) -> str:
        sizes = "-".join(map(str, self.network.sizes))
        records = [*self.history.items()]
        span = f", cost {records[0][1]:g} to {records[-1][1]:g}" if records else ""
        if len(records) == 1:  # which says nothing about where the run has ended
            span = f", cost {records[0][1]:g} at iteration {records[0][0]}"
        return f"Result({sizes} network, {self.iterations} iteration{'s' * (self.iterations != 1)}{span})"

    def save(self, path: Path) -> None:
        """Write the run to a file that `load` reads, with all that is needed to continue.

        It is a plain ``.npz``: ``numpy.load(path)["W1"]`` is that parameter, without this package too. A file that is
        there already is replaced in one go: a crash at any moment leaves the old one or the new one, whole.

        Parameters
        ----------
        path : str or path-like
            Taken as it is; nothing is appended.

        Raises
        ------
        OSError
            If it cannot be written.
        TypeError, ValueError
            If the optimizer's learning rate is a function that is not one of `fastxor.schedules`, or if parameters have
            been changed to what a run cannot have; the message names it.

        Examples
        --------
        >>> import os, tempfile
        >>> import fastxor as fx
        >>> run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], iterations=250, random_state=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "run.npz")
        ...     run.save(path)
        ...     again = fx.load(path)
        >>> again.iterations, bool((again.parameters["W1"] == run.parameters["W1"]).all())
        (250, True)
        """
        theta = self._theta()
        validation.check_values(parameters=self.network._views(theta))  # or nobody could load it
        state = replace(self._state, theta=theta)
        saving.save(path, self.network, self.history, state, self._settings, self._best)

    def _theta(self) -> Array:
        """The parameters, which a user may have changed, in the dtype of the run."""
        theta = validation.parameters(self.parameters, self.network)
        return validation.cast("parameters", theta, self._state.theta.dtype)


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during training; `result` holds what had been reached, to use or to continue from.

    A `KeyboardInterrupt`, so that a script which does not catch it ends as usual.

    Attributes
    ----------
    parameters : dict
    iterations : int
        Steps behind them.
    result : Result or None
        The same as a result; ``fx.train(network, X, Y, resume=error.result)`` goes on with the bits that the run would
        have had.

    Examples
    --------
    >>> import fastxor as fx
    >>> try:
    ...     run = fx.train(fx.Network([1, 1]), [[0.0, 1.0]], [[0, 1]], random_state=0)
    ... except fx.TrainingInterrupted as error:
    ...     run = error.result
    """

    def __init__(self, parameters: dict[str, Array], iterations: int, result: Result | None = None) -> None:
        super().__init__(f"training was interrupted after {iterations} iterations; they are kept in .result")
        self.parameters = parameters
        self.iterations = iterations
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.parameters, self.iterations, self.result), vars(self)  # the notes go along
