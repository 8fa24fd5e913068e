"""The tutorial's eight functions: check the input, hand it to a backend, give the result its tutorial form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastxor import validation
from fastxor.backends import check_name, resolve
from fastxor.loop import Observer, Run
from fastxor.names import BackendName
from fastxor.network import Network, RandomState, two_layer
from fastxor.optimizers import SGD
from fastxor.run_setup import made, start
from fastxor.state import Job, State
from fastxor.views import Array, Views

Parameters = dict[str, Array]

# model() records and prints the cost at every 100th iteration, as the tutorial does.
_INTERVAL = 100


@overload
def sigmoid(z: float, *, backend: BackendName | None = None) -> float: ...
@overload
def sigmoid(z: ArrayLike, *, backend: BackendName | None = None) -> Array | Any: ...
def sigmoid(z: ArrayLike, *, backend: BackendName | None = None) -> Any:
    """Logistic function 1 / (1 + e**-z), elementwise.

    Parameters
    ----------
    z : array_like
        Real numbers of any shape; a scalar too.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    float or ndarray
        Same shape as `z`, values in [0, 1]; float32 if `z` is a float32 array, else float64. No finite
        `z` overflows, infinities give 0 and 1, NaN stays NaN. The numba backend flushes
        results below the smallest normal number to zero.

    Raises
    ------
    TypeError
        If `z` does not hold real numbers.

    Examples
    --------
    >>> import fastxor as fx
    >>> fx.sigmoid(0.0)
    0.5
    >>> fx.sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    z = validation.numeric("z", z)
    a = resolve(backend).sigmoid(z)
    return a if z.ndim else a.item() if z.dtype == np.float64 else a[()]


def initialize_parameters(
    n_x: int, n_h: int, n_y: int, *, random_state: RandomState = None, dtype: DTypeLike = np.float64
) -> Parameters:
    """Standard normal weights and zero biases for an n_x-n_h-n_y network.

    Parameters
    ----------
    n_x, n_h, n_y : int
        Number of inputs, hidden units and outputs, each at least 1.
    random_state : None, int, RandomState or Generator, optional
        Where the weights come from. None draws from numpy's global state, exactly as
        ``np.random.randn(n_h, n_x)`` and then ``np.random.randn(n_y, n_h)`` would.
    dtype : dtype, optional
        float64 (default) or float32. The draw is made in float64 and then rounded.

    Returns
    -------
    dict
        ``W1`` (n_h, n_x), ``b1`` (n_h, 1), ``W2`` (n_y, n_h), ``b2`` (n_y, 1).

    Raises
    ------
    TypeError
        If a size is not an integer, or `random_state` or `dtype` is of another kind.
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> import fastxor as fx
    >>> parameters = fx.initialize_parameters(2, 3, 1, random_state=0)
    >>> {name: array.shape for name, array in parameters.items()}
    {'W1': (3, 2), 'b1': (3, 1), 'W2': (1, 3), 'b2': (1, 1)}
    """
    return two_layer(*_sizes(n_x, n_h, n_y)).initialize(random_state, "normal", dtype)


def forward_prop(
    X: ArrayLike, parameters: Mapping[str, ArrayLike], *, backend: BackendName | None = None
) -> tuple[Array, dict[str, Array]]:
    """Outputs of the network: A1 = tanh(W1 X + b1), A2 = sigmoid(W2 A1 + b2).

    Parameters
    ----------
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    parameters : dict
        ``W1`` (n_h, n_x), ``b1`` (n_h, 1), ``W2`` (n_y, n_h), ``b2`` (n_y, 1).
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    A2 : ndarray, shape (n_y, m)
        Outputs between 0 and 1; float32 if X and every parameter are float32, else float64.
    cache : dict
        ``A1`` (n_h, m) and ``A2``, for `backward_prop`.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    OverflowError
        If finite arguments give an output that is not finite; the message says in which layer.

    Examples
    --------
    >>> import fastxor as fx
    >>> parameters = fx.initialize_parameters(2, 2, 1, random_state=2)
    >>> A2, cache = fx.forward_prop([[0, 0, 1, 1], [0, 1, 0, 1]], parameters)
    >>> A2.round(3)
    array([[0.5  , 0.336, 0.821, 0.764]])
    >>> cache["A1"].shape
    (2, 4)
    """
    core = resolve(backend)
    network, theta = _network_of(parameters)
    X = validation.inputs(X, network.sizes[0])
    if X.dtype != theta.dtype:
        theta, X = validation.one_dtype(theta, X)
    activations = core.forward(network, theta, X)
    if activations is None:
        network._refuse(theta, X)
    cache = Views(network.sizes, network._activations(X.shape[1]), activations)
    return cache["A2"], cache


def calculate_cost(A2: ArrayLike, Y: ArrayLike, *, backend: BackendName | None = None) -> float:
    """Cross-entropy of the outputs, averaged over samples.

    Parameters
    ----------
    A2 : array_like, shape (n_y, m)
        Outputs, from 0 to 1.
    Y : array_like, shape (n_y, m)
        Targets, from 0 to 1.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    float
        -sum(Y log A2 + (1 - Y) log(1 - A2)) / m in nats, with 0 log 0 = 0: an output of exactly 0 or 1
        costs nothing on the right side, and infinity on the wrong one.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.

    Examples
    --------
    >>> import fastxor as fx
    >>> round(fx.calculate_cost([[0.5, 1.0]], [[1, 1]]), 6)
    0.346574
    >>> fx.calculate_cost([[0.0]], [[1]])
    inf
    """
    core = resolve(backend)
    A2, Y = validation.cost_arguments(A2, Y)
    cost = core.cost(A2, Y)
    if cost is None:
        validation.refuse_values(A2=A2, Y=Y)
    return cost


def backward_prop(
    X: ArrayLike,
    Y: ArrayLike,
    cache: Mapping[str, ArrayLike],
    parameters: Mapping[str, ArrayLike],
    *,
    backend: BackendName | None = None,
) -> dict[str, Array]:
    """Gradient of the cost with respect to every parameter.

    Parameters
    ----------
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    Y : array_like, shape (n_y, m)
        Targets, from 0 to 1.
    cache : dict
        ``A1`` (n_h, m) and ``A2`` (n_y, m), from `forward_prop`.
    parameters : dict
        ``W1``, ``b1``, ``W2``, ``b2``.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    dict
        ``dW1``, ``db1``, ``dW2``, ``db2``, each of the shape of its parameter.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    OverflowError
        If finite arguments give a gradient that is not finite; the message says in which layer.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> parameters = fx.initialize_parameters(2, 2, 1, random_state=2)
    >>> A2, cache = fx.forward_prop(X, parameters)
    >>> fx.backward_prop(X, Y, cache, parameters)["db2"].round(3)
    array([[0.105]])
    """
    core = resolve(backend)
    network, theta = _network_of(parameters)
    X = validation.inputs(X, network.sizes[0])
    Y = validation.targets(Y, network.sizes[-1], X.shape[1])
    if not (Y.dtype == X.dtype == theta.dtype):
        theta, X, Y = validation.one_dtype(theta, X, Y)
    activations = validation.activations(cache, network, X.shape[1], theta.dtype)
    gradient = core.backward(network, theta, X, Y, activations)
    if gradient is None:
        cache = Views(network.sizes, network._activations(X.shape[1]), activations)
        validation.check_values(X=X, Y=Y, cache=cache, parameters=network._views(theta))
        from fastxor.backends import reference  # which most users never need

        gradient = reference.tutorial_gradient(network, theta, X, Y, activations)
        validation.refuse_overflow(reference.derivatives(network, gradient), theta.dtype)
    return Views(network.sizes, network._gradient_slots, gradient)


def update_parameters(
    parameters: Mapping[str, ArrayLike],
    grads: Mapping[str, ArrayLike],
    learning_rate: float,
    *,
    backend: BackendName | None = None,
) -> Parameters:
    """Parameters after one step of gradient descent, as a new dict.

    Parameters
    ----------
    parameters : dict
        ``W1``, ``b1``, ``W2``, ``b2``; left unchanged.
    grads : dict
        ``dW1``, ``db1``, ``dW2``, ``db2``, each of the shape of its parameter.
    learning_rate : float
        Step size, not negative, and finite in the dtype of the parameters.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    dict
        Every parameter minus `learning_rate` times its gradient.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    OverflowError
        If finite arguments give a parameter that is not finite; the message says which.

    Examples
    --------
    >>> import fastxor as fx
    >>> parameters = {"W1": [[1.0]], "b1": [[0.0]], "W2": [[2.0]], "b2": [[0.0]]}
    >>> grads = {"dW1": [[0.5]], "db1": [[0.0]], "dW2": [[1.0]], "db2": [[0.0]]}
    >>> fx.update_parameters(parameters, grads, 0.1)["W1"]
    array([[0.95]])
    """
    core = resolve(backend)
    network, theta = _network_of(parameters)
    gradient = validation.gradients(grads, network, theta.dtype)
    learning_rate = validation.rate("learning_rate", learning_rate)
    validation.held("learning_rate", learning_rate, theta.dtype)
    after = core.update(theta, gradient, learning_rate)
    if after is None:
        validation.check_values(
            parameters=network._views(theta), grads=Views(network.sizes, network._gradient_slots, gradient)
        )
        with np.errstate(over="ignore"):
            after = theta - theta.dtype.type(learning_rate) * gradient
        validation.refuse_overflow(network._views(after), theta.dtype, "learning_rate or grads are too large")
    return network._views(after)


def model(
    X: ArrayLike,
    Y: ArrayLike,
    n_x: int,
    n_h: int,
    n_y: int,
    num_of_iters: int,
    learning_rate: float,
    *,
    print_cost: bool = True,
    random_state: RandomState = None,
    parameters: Mapping[str, ArrayLike] | None = None,
    backend: BackendName | None = None,
) -> Parameters:
    """Train an n_x-n_h-n_y network by gradient descent on all samples at once.

    Parameters
    ----------
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    Y : array_like, shape (n_y, m)
        Targets, from 0 to 1.
    n_x, n_h, n_y : int
        Number of inputs, hidden units and outputs, each at least 1.
    num_of_iters : int
        ``num_of_iters + 1`` steps are taken, as in the tutorial.
    learning_rate : float
        Step size, finite and not negative.
    print_cost : bool, optional
        Print ``Cost after iteration# {:d}: {:f}`` at every 100th iteration, from 0.
    random_state : None, int, RandomState or Generator, optional
        Where the first weights come from; see `initialize_parameters`.
    parameters : dict, optional
        Start from these instead of random weights; left unchanged.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    dict
        Trained ``W1``, ``b1``, ``W2``, ``b2``; float32 if X (and `parameters`) are float32, else float64.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    TrainingInterrupted
        On Ctrl-C; a KeyboardInterrupt whose ``result`` holds what had been reached, and its ``parameters``.

    Warns
    -----
    DivergenceWarning
        If the cost or a parameter ceases to be finite: the run stops and the last finite parameters are
        returned. Also if the cost ends ten times above where it began.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> parameters = fx.model(X, Y, 2, 2, 1, 200, 0.3, random_state=2)
    Cost after iteration# 0: 0.856267
    Cost after iteration# 100: 0.347426
    Cost after iteration# 200: 0.101195
    """
    if backend is not None:
        check_name(backend)
    n_x, n_h, n_y = _sizes(n_x, n_h, n_y)
    iterations = validation.integer("num_of_iters", num_of_iters, 0, validation.MOST - 1) + 1
    learning_rate = validation.rate("learning_rate", learning_rate)
    X = validation.inputs(X, n_x)
    Y = validation.targets(Y, n_y, X.shape[1])
    network = two_layer(n_x, n_h, n_y)
    make = partial(_run, network, X, Y, parameters, SGD(learning_rate), random_state, iterations)
    run = made(make, random_state, X.size + network.count)
    try:  # to load a backend takes its time, too
        run.execute(resolve(backend), _Printing() if print_cost else None, stacklevel=2)
        return run.parameters()
    except KeyboardInterrupt:
        raise run.interrupted() from None


def _run(
    network: Network,
    X: Array,
    Y: Array,
    parameters: Mapping[str, ArrayLike] | None,
    optimizer: SGD,
    random_state: RandomState,
    iterations: int,
) -> Run:
    theta, X, Y = start(network, X, Y, parameters, optimizer, validation.random_state(random_state), "normal")
    run = Run(Job(network, X, Y, optimizer, iterations), State.beginning(theta, optimizer))
    run.interval = _INTERVAL
    return run


def predict(
    X: ArrayLike, parameters: Mapping[str, ArrayLike], *, backend: BackendName | None = None
) -> NDArray[np.int_] | Any:  # an int for one sample and one output: how many there are, no type says
    """Outputs rounded at 0.5.

    Parameters
    ----------
    X : array_like, shape (n_x, m)
        Features down, samples across; finite.
    parameters : dict
        ``W1``, ``b1``, ``W2``, ``b2``.
    backend : str, optional
        "numpy" or "numba"; default: see `get_backend`.

    Returns
    -------
    int or ndarray of int, shape (n_y, m)
        1 where the output is at least 0.5, else 0; a plain int for one sample and one output.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values; the message names it.
    OverflowError
        If finite arguments give an output that is not finite; the message says in which layer.

    Examples
    --------
    >>> import fastxor as fx
    >>> X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
    >>> parameters = fx.model(X, Y, 2, 2, 1, 1000, 0.3, random_state=2, print_cost=False)
    >>> fx.predict(X, parameters)
    array([[0, 1, 1, 0]])
    >>> fx.predict([[1], [1]], parameters)
    0
    """
    A2, _cache = forward_prop(X, parameters, backend=backend)
    labels = (A2 >= 0.5).astype(np.int_)
    return labels.item() if labels.size == 1 else labels


def _network_of(parameters: Mapping[str, ArrayLike]) -> tuple[Network, Array]:
    """The tutorial's network with the sizes of the parameters, and the parameters as one flat vector."""
    if isinstance(parameters, Views) and len(parameters._sizes) == 3:
        network = two_layer(*parameters._sizes)
    else:
        network = two_layer(*validation.two_layer_sizes(parameters))
    return network, validation.parameters(parameters, network)


def _sizes(n_x: Any, n_h: Any, n_y: Any) -> tuple[int, int, int]:
    return validation.integer("n_x", n_x, 1), validation.integer("n_h", n_h, 1), validation.integer("n_y", n_y, 1)


class _Printing(Observer):
    def record(self, run: Run, iteration: int, cost: float) -> bool:
        _print_cost(iteration, cost)
        return False


def _print_cost(iteration: int, cost: float) -> None:
    print(f"Cost after iteration# {iteration:d}: {cost:f}")
