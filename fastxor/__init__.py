"""Small neural networks, fast on a CPU.

What is computed here is written twice: in plain numpy, to be read and trusted, and as fused
Numba kernels, to be fast. ``import fastxor as fx``, and ``help(fx.train)`` says all about one
of these:

Any dense network
    Network                 layers and loss; predict, gradient, vjp, jacobian, hvp, compile
    train                   on all samples at once, or on mini-batches; the result is a Result
    SGD, Adam, AdamW        the optimizers
    RMSprop, Rprop, LBFGS   more of them; the last two are for all samples at once
    LevenbergMarquardt      least squares, for up to some thousand parameters
    Result                  parameters, history, iterations, forward, predict, cost, save
    History                 what was recorded: a mapping from iteration to cost, and columns
    load                    a Result, or a Population, from its file
    export                  a trained network as Python, C, ONNX, safetensors or JSON
    Trained                 a network with its parameters, as a Result is one
    from_sklearn, from_torch  one of scikit-learn's or PyTorch's; Network.to_torch goes back
    EarlyStopping           when to stop, by the cost of validation data
    Moment                  what a callback is given
    one_hot                 class numbers as targets
    check_gradient          the gradient beside finite differences
    GradientCheck           the verdict

Many networks at once
    train_population        each with its own start, settings, data; it returns a Population
    Population              parameters, cost, best, predict, mean, vote; pop[i] is a Result
    PopulationHistory       what was recorded: rows of records, columns of members
    PopulationMoment        what a callback is given
    cross_validate, sweep   for each fold of the samples, for each of many settings
    Table                   what these two return

The tutorial's network, of one hidden layer, in eight functions
    sigmoid                 1 / (1 + e**-z)
    initialize_parameters   random W1 and W2, b1 and b2 of zeros
    forward_prop            the outputs A2, and the cache of A1 and A2
    calculate_cost          the cross-entropy
    backward_prop           the gradients dW1, db1, dW2, db2
    update_parameters       a step of gradient descent
    model                   training: all of these, again and again
    predict                 the outputs, rounded to 0 and 1

The backend that does the work: "numba", or "numpy"
    set_backend             for the process, as does the environment variable FASTXOR_BACKEND
    use_backend             for a ``with`` block; for one call, its argument ``backend="numpy"``
    get_backend             the one that is used now
    available_backends      those that can be used here
    warmup                  compile now what is compiled once per machine, or load it

How training may end
    DivergenceWarning       it blew up; the last finite parameters are kept
    TrainingInterrupted     Ctrl-C; the exception holds the result that was reached

X is (n_x, m): features down, samples across. Y is (n_y, m).

>>> import fastxor as fx
>>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
>>> net = fx.Network([2, 4, 1], hidden="tanh", output="sigmoid")
>>> run = fx.train(net, X, Y, optimizer=fx.Adam(0.05), random_state=0)
>>> run.predict(X)
array([[0, 1, 1, 0]])
>>> parameters = fx.model(X, Y, 2, 2, 1, 200, 0.3, random_state=2)
Cost after iteration# 0: 0.856267
Cost after iteration# 100: 0.347426
Cost after iteration# 200: 0.101195
>>> fx.predict([[1], [1]], parameters)
0

In a shell, ``fastxor`` or ``python -m fastxor`` runs the tutorial's program, ``fastxor bench``
the benchmark. `fastxor.schedules` has learning rates that change from step to step,
`fastxor.sklearn` scikit-learn's estimators, `fastxor.plot` pictures of costs, boundaries,
networks and weights. For type checkers, `fastxor.names` has the names of activations, outputs,
losses and backends as types.
"""

from typing import TYPE_CHECKING, Any

from fastxor import schedules as schedules
from fastxor.backends import available_backends, get_backend, set_backend, use_backend, warmup
from fastxor.early_stopping import EarlyStopping
from fastxor.history import History
from fastxor.labels import one_hot
from fastxor.network import Network
from fastxor.observers import Moment
from fastxor.optimizers import LBFGS, SGD, Adam, AdamW, LevenbergMarquardt, RMSprop, Rprop
from fastxor.result import DivergenceWarning, Result, TrainingInterrupted
from fastxor.trained import Trained
from fastxor.training import train
from fastxor.tutorial import (
    backward_prop,
    calculate_cost,
    forward_prop,
    initialize_parameters,
    model,
    predict,
    sigmoid,
    update_parameters,
)

if TYPE_CHECKING:
    from fastxor import plot as plot
    from fastxor.checking import GradientCheck, check_gradient
    from fastxor.conversion import from_sklearn, from_torch
    from fastxor.exporting import export
    from fastxor.population import train_population
    from fastxor.population_result import Population, PopulationHistory, load
    from fastxor.population_run import PopulationMoment
    from fastxor.sweeps import cross_validate, sweep
    from fastxor.table import Table
else:
    # What few programs need is imported when it is first asked for: to import all takes twice as long.
    _LATER = {
        **dict.fromkeys(("GradientCheck", "check_gradient"), "checking"),
        **dict.fromkeys(("from_sklearn", "from_torch"), "conversion"),
        **dict.fromkeys(("Population", "PopulationHistory", "load"), "population_result"),
        "export": "exporting",
        "train_population": "population",
        "PopulationMoment": "population_run",
        **dict.fromkeys(("cross_validate", "sweep"), "sweeps"),
        "Table": "table",
    }

    def __getattr__(name: str) -> Any:
        from importlib import import_module

        if name == "plot":
            return import_module("fastxor.plot")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"fastxor.{_LATER[name]}"), name)
        return value


__version__ = "0.1.0"

__all__ = [  # noqa: RUF022 - as above: what one looks for first comes first
    "Network",
    "train",
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Rprop",
    "LBFGS",
    "LevenbergMarquardt",
    "Result",
    "History",
    "load",
    "export",
    "Trained",
    "from_sklearn",
    "from_torch",
    "EarlyStopping",
    "Moment",
    "one_hot",
    "check_gradient",
    "GradientCheck",
    "train_population",
    "Population",
    "PopulationHistory",
    "PopulationMoment",
    "cross_validate",
    "sweep",
    "Table",
    "sigmoid",
    "initialize_parameters",
    "forward_prop",
    "calculate_cost",
    "backward_prop",
    "update_parameters",
    "model",
    "predict",
    "set_backend",
    "use_backend",
    "get_backend",
    "available_backends",
    "warmup",
    "DivergenceWarning",
    "TrainingInterrupted",
]


def __dir__() -> list[str]:
    """The public names, for tab completion: neither this package's modules nor `__dir__`."""
    return [*__all__, *(name for name in globals() if name.startswith("__") and name != "__dir__")]
