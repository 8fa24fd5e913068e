"""`Network`: a dense network as its users have it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, Union, get_args

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastxor import validation
from fastxor.architecture import Architecture
from fastxor.backends import Compiled, resolve
from fastxor.initialization import draw
from fastxor.names import Activation, BackendName, Initialization, Loss, Output
from fastxor.views import Array, Views

ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
OUTPUTS: tuple[Output, ...] = get_args(Output)
INITIALIZATIONS: tuple[Initialization, ...] = get_args(Initialization)
# The outputs that each loss makes sense with, and the loss that each output has by default.
LOSSES: dict[Loss, tuple[Output, ...]] = {
    "binary_cross_entropy": ("sigmoid",),
    "cross_entropy": ("softmax",),
    "squared_error": ("identity", "sigmoid"),
    "huber": ("identity", "sigmoid"),
    "poisson": ("exponential",),
}
DEFAULT_LOSS: dict[Output, Loss] = {
    "sigmoid": "binary_cross_entropy",
    "softmax": "cross_entropy",
    "identity": "squared_error",
    "exponential": "poisson",
}

# In quotes, for numpy.random is slow to import, and not everybody needs it.
RandomState = Union[int, "np.random.RandomState", "np.random.Generator", None]


@validation.hinted
@dataclass(frozen=True, init=False, eq=False, repr=False)
class Network(Architecture):
    """A dense network: immutable, comparable, without parameters of its own.

    Layer ``l`` (from 1) computes ``A{l} = activation(W{l} A{l-1} + b{l})`` from ``A0 = X``, with ``W{l}`` of shape
    ``(sizes[l], sizes[l-1])`` and ``b{l}`` of shape ``(sizes[l], 1)``. All parameters lie one after the other in a
    flat vector of `count` numbers, and the dictionaries ``W1, b1, W2, b2, …`` hold views of it; a plain
    dictionary of separate arrays is accepted everywhere too.

    Parameters
    ----------
    sizes : sequence of int
        Number of inputs, of units in each hidden layer, and of outputs; two at least. ``[n_x, n_y]`` is
        logistic or linear regression.
    hidden : str or sequence of str, optional
        Activation of the hidden layers, or one for each: "tanh", "sigmoid", "relu", "leaky_relu" (slope 0.01),
        "elu" (alpha 1), "softplus", "gelu" (with the exact normal distribution function), "sin", "identity".
    output : str, optional
        "sigmoid", "softmax" (for two classes or more, an output for each), "identity" or "exponential" (for
        counts and other rates, which are positive).
    loss : str, optional
        "binary_cross_entropy" (default for sigmoid), "cross_entropy" (default for softmax), "squared_error"
        (default for identity; half the sum of squares over the outputs), "huber" (threshold 1, summed over the
        outputs) or "poisson" (default for exponential; half the Poisson deviance, ``a - y + y log(y / a)``, summed over
        the outputs, for targets that are not negative). All are averaged over samples, and computed from the input of
        the last activation.

    Attributes
    ----------
    sizes, hidden, output, loss
        As above; `hidden` has a name for each hidden layer.
    count : int
        Number of parameters.
    layers : tuple
        Of each layer ``n_in``, ``n_out`` and ``activation``, and the slices of the flat vector in which its ``weight``,
        row by row, and its ``bias`` stand.

    Raises
    ------
    TypeError, ValueError
        If a size or a name is wrong, or output and loss do not go together.

    Examples
    --------
    >>> import fastxor as fx
    >>> net = fx.Network([4, 32, 16, 4], hidden="tanh", output="identity")
    >>> net
    Network(sizes=(4, 32, 16, 4), hidden=('tanh', 'tanh'), output='identity', loss='squared_error')
    >>> net.count
    756
    """

    def __init__(
        self,
        sizes: Sequence[int],
        hidden: Activation | Sequence[Activation] = "tanh",
        output: Output = "sigmoid",
        loss: Loss | None = None,
    ) -> None:
        sizes = validation.sizes(sizes)
        validation.parameter_count(sizes)  # or it is refused
        hidden = validation.names("hidden", hidden, len(sizes) - 2, ACTIVATIONS)
        output = validation.choice("output", output, OUTPUTS)
        loss = DEFAULT_LOSS[output] if loss is None else validation.choice("loss", loss, LOSSES)
        if output not in LOSSES[loss]:
            raise ValueError(
                f"loss {loss!r} goes with output {' or '.join(map(repr, LOSSES[loss]))}, got output {output!r}; "
                f"the loss for {output!r} is {DEFAULT_LOSS[output]!r}"
            )
        if output == "softmax" and sizes[-1] == 1:
            raise ValueError(
                f"output 'softmax' needs an output for each class, two at least, got sizes {sizes}: a single one is "
                "always 1 and cannot learn; use output='sigmoid'"
            )
        super().__init__(sizes, hidden, output, loss)

    # ------------------------------------------------------------ for users

    def initialize(
        self,
        random_state: RandomState = None,
        initialization: Initialization | None = None,
        dtype: DTypeLike = np.float64,
        *,
        scheme: Initialization | None = None,
    ) -> dict[str, Array]:
        """Random weights and zero biases.

        Parameters
        ----------
        random_state : None, int, RandomState or Generator, optional
            Where the weights come from, layer by layer; None is numpy's global state.
        initialization : str, optional
            Default: what suits the activation of each layer, "he" for relu, leaky_relu, elu, softplus and gelu,
            "glorot" for all others. The weights of a layer with n_in inputs and n_out units are normal, with the
            standard deviation of "he" ``sqrt(2 / n_in)``, "glorot" ``sqrt(2 / (n_in + n_out))``, "lecun"
            ``sqrt(1 / n_in)``, "normal" 1. Glorot's paper draws from a uniform distribution of this standard
            deviation; here one seed gives the same weights for all of these, but for their scale. "orthogonal" is
            a random matrix with orthonormal columns, or rows if these are fewer.
        dtype : dtype, optional
            float64 (default) or float32. The draw is made in float64 and then rounded.
        scheme : str, optional
            The former name of `initialization`.

        Returns
        -------
        dict
            ``W1, b1, W2, b2, …``

        Raises
        ------
        TypeError, ValueError
            If an argument is not one of those named; the message names it.
        MemoryError
            If there is no room for so many parameters.

        References
        ----------
        He, Zhang, Ren and Sun, "Delving deep into rectifiers" (2015);
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks" (2010);
        LeCun, Bottou, Orr and Müller, "Efficient BackProp" (1998);
        Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks" (2014).

        Examples
        --------
        >>> import fastxor as fx
        >>> parameters = fx.Network([2, 3, 1]).initialize(random_state=0, initialization="glorot")
        >>> {name: array.shape for name, array in parameters.items()}
        {'W1': (3, 2), 'b1': (3, 1), 'W2': (1, 3), 'b2': (1, 1)}
        """
        rng = validation.random_state(random_state)
        if scheme is not None:
            validation.only_one(scheme=scheme, initialization=initialization)
            initialization = validation.choice("scheme", scheme, INITIALIZATIONS)
        elif initialization is not None:
            initialization = validation.choice("initialization", initialization, INITIALIZATIONS)
        return self._views(draw(self, rng, initialization, validation.float_dtype(dtype)))

    def forward(
        self, parameters: Mapping[str, ArrayLike], X: ArrayLike, *, backend: BackendName | None = None
    ) -> Array:
        """Outputs of the network.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.

        Returns
        -------
        ndarray, shape (n_y, m)
            float32 if X and every parameter are float32, else float64.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give an output that is not finite; the message says in which layer.

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([1, 1], output="identity")
        >>> net.forward({"W1": [[2.0]], "b1": [[1.0]]}, [[0.0, 3.0]])
        array([[1., 7.]])
        """
        core = resolve(backend)
        theta = validation.parameters(parameters, self)
        X = validation.inputs(X, self.sizes[0])
        if X.dtype != theta.dtype:
            theta, X = validation.one_dtype(theta, X)
        A = core.outputs(self, theta, X)
        if A is None:
            self._refuse(theta, X)
        return A

    def predict(
        self, parameters: Mapping[str, ArrayLike], X: ArrayLike, *, backend: BackendName | None = None
    ) -> Array:
        """What the outputs mean: labels, class numbers or values.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.

        Returns
        -------
        ndarray
            For sigmoid, ints (n_y, m), 1 where the output is at least 0.5. For softmax, ints (m,), the number of the
            largest output. For identity and exponential, the outputs (n_y, m) themselves.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give an output that is not finite; the message says in which layer.

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([1, 2], output="softmax")
        >>> net.predict({"W1": [[1.0], [-1.0]], "b1": [[0.0], [0.0]]}, [[-2.0, 3.0]])
        array([1, 0])
        """
        A = self.forward(parameters, X, backend=backend)
        if self.output == "softmax":
            return A.argmax(axis=0)
        return (A >= 0.5).astype(np.int_) if self.output == "sigmoid" else A

    def cost(
        self, parameters: Mapping[str, ArrayLike], X: ArrayLike, Y: ArrayLike, *, backend: BackendName | None = None
    ) -> float:
        """The loss, averaged over samples.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        Y : array_like, shape (n_y, m), or (m,)
            Targets: from 0 to 1 for the cross-entropies (with columns that sum to 1 for softmax), not negative for
            poisson, else finite. For softmax also class numbers from 0 to n_y - 1, as (m,) or (1, m); for one output
            also a vector (m,).
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.

        Returns
        -------
        float
            Computed from the input of the last activation, hence finite where the output saturates.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give a cost that is not finite; the message says in which layer.

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([1, 1], output="identity")
        >>> net.cost({"W1": [[2.0]], "b1": [[1.0]]}, [[0.0, 3.0]], [[1.0, 5.0]])
        1.0
        """
        return self._evaluate("loss", parameters, X, Y, backend)

    def gradient(
        self, parameters: Mapping[str, ArrayLike], X: ArrayLike, Y: ArrayLike, *, backend: BackendName | None = None
    ) -> tuple[float, dict[str, Array]]:
        """The cost and its gradient with respect to every parameter.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        Y : array_like, shape (n_y, m), or (m,)
            Targets, as for `cost`.
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.

        Returns
        -------
        cost : float
        grads : dict
            ``dW1, db1, dW2, db2, …``, each of the shape of its parameter.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give a cost or gradient that is not finite; the message says in which layer.

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([1, 1], output="identity")
        >>> net.gradient({"W1": [[2.0]], "b1": [[1.0]]}, [[0.0, 3.0]], [[1.0, 5.0]])
        (1.0, {'dW1': array([[3.]]), 'db1': array([[1.]])})
        """
        cost, gradient = self._evaluate("gradient", parameters, X, Y, backend)
        return cost, Views(self.sizes, self._gradient_slots, gradient)

    def vjp(
        self, parameters: Mapping[str, ArrayLike], X: ArrayLike, *, backend: BackendName | None = None
    ) -> tuple[Array, Callable[[ArrayLike], tuple[dict[str, Array], Array]]]:
        """The outputs and their pullback (a vector-Jacobian product), for losses of your own.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        backend : str, optional
            "numpy" or "numba", for this call and the pullback's; default: see `get_backend`.

        Returns
        -------
        A : ndarray, shape (n_y, m)
            The outputs, as of `forward`: after the activation of the last layer.
        pullback : callable
            ``grads, dX = pullback(dA)``. Given the derivative of any number by A, an array_like (n_y, m), it returns
            that number's derivative by every parameter, ``dW1, db1, …``, and by X, (n_x, m). Samples are added up, not
            averaged: for a mean, divide dA by m. It may be called any number of times, and always means the
            parameters and X as they were when it was made.

        Raises
        ------
        TypeError, ValueError
            If an argument, dA too, has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give a result that is not finite; the message says where.

        Examples
        --------
        The mean of the fourth powers of the errors:

        >>> import numpy as np
        >>> import fastxor as fx
        >>> net = fx.Network([1, 1], output="identity")
        >>> X, Y = np.array([[0.0, 3.0]]), np.array([[1.0, 5.0]])
        >>> A, pullback = net.vjp({"W1": [[2.0]], "b1": [[1.0]]}, X)
        >>> float(np.mean((A - Y) ** 4))
        8.0
        >>> grads, dX = pullback(4 * (A - Y) ** 3 / A.size)
        >>> grads, dX
        ({'dW1': array([[48.]]), 'db1': array([[16.]])}, array([[ 0., 32.]]))
        """
        core = resolve(backend)
        theta = validation.parameters(parameters, self)
        X = validation.inputs(X, self.sizes[0])
        if X.dtype != theta.dtype:
            theta, X = validation.one_dtype(theta, X)
        found = core.vjp(self, theta, X)
        if found is None:
            self._refuse(theta, X)
        A, back = found
        shape, dtype = A.shape, A.dtype

        def pullback(dA: ArrayLike) -> tuple[dict[str, Array], Array]:
            dA = validation.cotangent(dA, shape, dtype)
            result = back(dA)
            if result is None:
                validation.check_values(dA=dA)
                advice = "dA, X or the parameters are too large"
                validation.refuse_overflow({}, dtype, advice)
            gradient, dX = result
            return Views(self.sizes, self._gradient_slots, gradient), dX

        return A, pullback

    def jacobian(
        self, parameters: Mapping[str, ArrayLike], X: ArrayLike, *, backend: BackendName | None = None
    ) -> Array:
        """The derivatives of every output with respect to every input, for each sample.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.

        Returns
        -------
        ndarray, shape (n_y, n_x, m)
            ``J[i, j, k]`` is the derivative of ``A[i, k]`` by ``X[j, k]``, where A is what `forward` returns.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give a result that is not finite; the message says where.

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([2, 1], output="identity")
        >>> net.jacobian({"W1": [[2.0, 3.0]], "b1": [[1.0]]}, [[0.0], [5.0]])
        array([[[2.],
                [3.]]])
        """
        core = resolve(backend)
        theta = validation.parameters(parameters, self)
        X = validation.inputs(X, self.sizes[0])
        if X.dtype != theta.dtype:
            theta, X = validation.one_dtype(theta, X)
        J = core.input_jacobian(self, theta, X)
        if J is None:
            self._refuse(theta, X)
        return J

    def hvp(
        self,
        parameters: Mapping[str, ArrayLike],
        X: ArrayLike,
        Y: ArrayLike,
        direction: Mapping[str, ArrayLike],
        *,
        backend: BackendName | None = None,
    ) -> dict[str, Array]:
        """The Hessian of the cost times a direction: how the gradient changes along it (a Hessian-vector product).

        It is exact, by a pass forward and back that takes every number's derivative along the direction with it, and
        costs a few gradients; the Hessian itself is never there.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``
        X : array_like, shape (n_x, m)
            Features down, samples across; finite.
        Y : array_like, shape (n_y, m), or (m,)
            Targets, as for `cost`.
        direction : dict
            An array for each parameter, under its name, ``W1, b1, …``, or its gradient's, ``dW1, db1, …``.
        backend : str, optional
            "numpy" or "numba"; default: see `get_backend`.

        Returns
        -------
        dict
            ``dW1, db1, dW2, db2, …``: the derivative by t, at 0, of the gradient at ``parameters + t * direction``. The
            second derivatives of relu and leaky_relu count as 0.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong kind, shape or values; the message names it.
        OverflowError
            If finite arguments give a result that is not finite; the message says where.

        References
        ----------
        Pearlmutter, "Fast exact multiplication by the Hessian" (1994).

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([1, 1], output="identity")
        >>> start, along = {"W1": [[2.0]], "b1": [[1.0]]}, {"W1": [[1.0]], "b1": [[0.0]]}
        >>> net.hvp(start, [[0.0, 3.0]], [[1.0, 5.0]], along)
        {'dW1': array([[4.5]]), 'db1': array([[1.5]])}
        """
        core = resolve(backend)
        theta = validation.parameters(parameters, self)
        X = validation.inputs(X, self.sizes[0])
        Y = validation.answers(Y, self, X.shape[1])
        theta, X, Y = validation.one_dtype(theta, X, Y)
        v = validation.direction(direction, self, theta.dtype)
        validation.check_values(self.loss, X=X, Y=Y, parameters=self._views(theta), direction=self._views(v))
        result = core.hvp(self, theta, X, Y, v)
        if result is None:
            self._refuse(theta, X, Y)
        return Views(self.sizes, self._gradient_slots, result)

    def compile(self) -> Compiled:
        """This network as functions for your own compiled code: forward, and gradient, of one sample.

        A simulation, a controller or an optimizer that is itself compiled with `numba.njit` calls them without a way
        through Python. They are compiled with its caller, in about a second.

        Returns
        -------
        Compiled
            A named tuple of two functions that write their result into their last argument and return None:

            ``forward(theta, x, out)``
                The outputs of the sample x.
            ``gradient(theta, x, dout, dtheta)``
                The derivative by theta of any number whose derivative by the outputs is dout.

            All arguments are vectors of float32 or float64. ``theta`` (count,) is what `flatten` returns, and
            ``dtheta`` is like it, both contiguous and of one dtype, that of the computation; ``x`` (n_x,), ``out`` and
            ``dout`` (n_y,) may be columns of a matrix too.

        Raises
        ------
        ValueError
            If there are more than 16,384 inputs and units.
        ImportError
            If there is no numba.

        Notes
        -----
        The functions raise ValueError where a vector has the wrong length. One of the wrong kind is a TypingError when
        the caller is compiled, or a TypeError under ``NUMBA_DISABLE_JIT``.

        A caller may have ``cache=True``. Numba then keeps the network in its code, and looks for changes in the
        caller's source file alone: write sizes and activations there, or else delete the cache when they change.

        Examples
        --------
        >>> import numpy as np
        >>> from numba import njit
        >>> import fastxor as fx
        >>> net = fx.Network([2, 8, 2], output="identity")
        >>> forward = net.compile().forward
        >>> @njit
        ... def simulate(theta, x, steps):
        ...     change = np.empty(2)
        ...     for _ in range(steps):
        ...         forward(theta, x, change)
        ...         x += 0.01 * change
        >>> x = np.ones(2)
        >>> simulate(net.flatten(net.initialize(0)), x, 100)
        >>> x.round(2)
        array([1.39, 1.93])
        """
        from fastxor.backends.fused.one_sample import compiled  # which needs numba

        return compiled(self)

    def flatten(self, parameters: Mapping[str, ArrayLike]) -> Array:
        """Parameters, or a gradient, as one vector: W1 row by row, b1, W2, b2, …

        Optimizers of other libraries work on such vectors; `unflatten` is the way back.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …`` or ``dW1, db1, dW2, db2, …``, of any real values.

        Returns
        -------
        ndarray, shape (count,)
            A new array; float32 if every array of the dictionary is, else float64.

        Raises
        ------
        TypeError, ValueError
            If a key is missing or unknown, or an array has the wrong kind or shape; the message names it.

        Examples
        --------
        >>> import fastxor as fx
        >>> net = fx.Network([2, 1])
        >>> net.flatten({"W1": [[1.0, 2.0]], "b1": [[3.0]]})
        array([1., 2., 3.])
        >>> _, grads = net.gradient(net.unflatten([0.0, 0.0, 0.0]), [[0, 1], [1, 1]], [1, 1])
        >>> net.flatten(grads)
        array([-0.25, -0.5 , -0.5 ])
        """
        return validation.flat(parameters, self)

    def unflatten(self, theta: ArrayLike) -> dict[str, Array]:
        """A vector as a dictionary of parameters: the inverse of `flatten`.

        Parameters
        ----------
        theta : array_like, shape (count,)
            W1 row by row, b1, W2, b2, …; any real values. It is copied.

        Returns
        -------
        dict
            ``W1, b1, W2, b2, …``; float32 if `theta` is, else float64.

        Raises
        ------
        TypeError, ValueError
            If `theta` has the wrong kind or shape.

        Examples
        --------
        >>> import fastxor as fx
        >>> fx.Network([2, 1]).unflatten([1.0, 2.0, 3.0])
        {'W1': array([[1., 2.]]), 'b1': array([[3.]])}
        """
        return self._views(validation.vector("theta", theta, self.count))

    def to_torch(self, parameters: Mapping[str, ArrayLike]) -> Any:
        """The same network as a `torch.nn.Sequential`; `from_torch` is the way back.

        Parameters
        ----------
        parameters : dict
            ``W1, b1, W2, b2, …``; they are copied.

        Returns
        -------
        torch.nn.Sequential
            Of Linear modules and activations, float32 if every parameter is, else float64. Rows are samples in torch:
            ``model(torch.tensor(X.T))`` is ``net.forward(parameters, X).T``.

        Raises
        ------
        TypeError, ValueError
            If a parameter is missing, or has the wrong kind or shape; the message names it.
        ImportError
            If there is no torch.

        Examples
        --------
        ``net.to_torch(run.parameters)``, of ``fx.Network([2, 8, 3], hidden="relu", output="softmax")``, is
        ``Sequential(Linear(2, 8), ReLU(), Linear(8, 3), Softmax(dim=-1))``.
        """
        from fastxor.exporting import to_torch  # which most programs never need

        return to_torch.sequential(self, self._views(validation.parameters(parameters, self)))

    # ------------------------------------------------------------ for the rest of the package

    def _evaluate(
        self,
        operation: str,
        parameters: Mapping[str, ArrayLike],
        X: ArrayLike,
        Y: ArrayLike,
        backend: BackendName | None,
    ) -> Any:
        core = resolve(backend)
        theta = validation.parameters(parameters, self)
        X = validation.inputs(X, self.sizes[0])
        Y = validation.answers(Y, self, X.shape[1])
        if not (Y.dtype == X.dtype == theta.dtype):
            theta, X, Y = validation.one_dtype(theta, X, Y)
        result = getattr(core, operation)(self, theta, X, Y)
        if result is None:
            self._refuse(theta, X, Y)
        return result

    def _refuse(self, theta: Array, X: Array, Y: Array | None = None) -> NoReturn:
        """Say which argument has a value that it must not have; or, if none, where a pass left the finite numbers."""
        targets = {} if Y is None else {"Y": Y}
        validation.check_values(self.loss, X=X, **targets, parameters=self._views(theta))
        from fastxor.backends import reference  # which most users never need

        validation.refuse_overflow(reference.stages(self, theta, X, Y), theta.dtype)


@lru_cache(maxsize=256)
def two_layer(n_x: int, n_h: int, n_y: int) -> Network:
    """The tutorial's network, one object for each triple of sizes."""
    return Network((n_x, n_h, n_y))
