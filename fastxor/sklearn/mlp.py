"""`MLPClassifier` and `MLPRegressor`: scikit-learn's estimators, trained and evaluated by fastxor's cores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from numbers import Integral, Real
from operator import index
from typing import Any, get_args

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context, is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, Options, StrOptions, validate_parameter_constraints
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from fastxor import validation
from fastxor.backends import resolve
from fastxor.names import Activation, BackendName
from fastxor.optimizers import Optimizer, SecondOrder, check_run, schedule_of
from fastxor.result import DivergenceWarning, users_level
from fastxor.schedules import check_length
from fastxor.sklearn import batching, networks, solving
from fastxor.sklearn.cohorts import CohortMember
from fastxor.sklearn.labels import Labels, found, is_plain
from fastxor.sklearn.networks import Parameters
from fastxor.sklearn.solving import Data, Epochs
from fastxor.views import Array

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """There are no callbacks."""


_FLOATS = (np.float64, np.float32)
_SIMPLE = (bool, int, float, str, type(None))
_DENSE = 2**22  # numbers of a sparse matrix that are written out at a time, to be predicted from


def _has_epochs(model: _MLP) -> bool:
    """Whether `partial_fit` makes sense; for `available_if`."""
    if model.solver == "lbfgs" or isinstance(model.solver, SecondOrder):
        raise AttributeError(f"partial_fit is only available for stochastic optimizers, got solver={model.solver!r}")
    return True


class _MLP(CallbackSupportMixin, BaseEstimator):
    """What the two have in common."""

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's way
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({*get_args(Activation), *networks.ACTIVATIONS}), list, tuple],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"}), *get_args(Optimizer)],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "threads": [Interval(Integral, 1, None, closed="left"), None],
        "backend": [StrOptions(set(get_args(BackendName))), None],
    }

    @classmethod
    @lru_cache(maxsize=256)
    def _get_param_names(cls) -> list[str]:
        """As scikit-learn finds them, which it does several times in a fit, but found once for a class."""
        return super()._get_param_names()

    def _validate_params(self) -> None:
        """As scikit-learn does, but of parameters that a fit has had before: it takes as long as many an epoch."""
        values = self.get_params(deep=False)
        if all(map(_is_simple, values.values())):
            self._validate_once(*((name, type(value), value) for name, value in values.items()))
        else:
            super()._validate_params()

    @classmethod
    @lru_cache(maxsize=256)
    def _validate_once(cls, *parameters: tuple[str, type, Any]) -> None:
        """Validate these; what has been valid once is not looked at again."""
        values = {name: value for name, _type, value in parameters}
        validate_parameter_constraints(cls._parameter_constraints, values, cls.__name__)

    # ------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Any:
        """Train on data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples. A sparse matrix is made dense.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels, or numbers.
        sample_weight : array-like of shape (n_samples,), optional
            How much each sample counts. A batch's loss is divided by the sum of its weights.
        X_val, y_val, sample_weight_val : as the three above, optional
            Data to validate on for ``early_stopping=True``, instead of a part of X and y.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or an argument is not what it has to be, or training ends at parameters that are not finite.
        """
        held = None
        if X_val is not None or y_val is not None:
            if not self.early_stopping:
                raise ValueError("X_val and y_val are for early_stopping=True, got early_stopping=False")
            if self.solver == "lbfgs":
                raise ValueError("X_val and y_val are not for solver='lbfgs', which has no epochs to stop after")
            if X_val is None or y_val is None:
                raise ValueError("X_val and y_val go together, got one of them alone")
            held = X_val, y_val, sample_weight_val
        elif sample_weight_val is not None:
            raise ValueError("sample_weight_val is for X_val and y_val, got it alone")
        return self._fit(X, y, sample_weight, held=held)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False, held: Any = None) -> Any:
        sizes = self.hidden_layer_sizes
        hidden = [index(size) for size in sizes] if isinstance(sizes, Iterable) else [index(sizes)]
        if any(size <= 0 for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        given = X, y, sample_weight
        X, Y, labels = self._checked(X, y, incremental, first)
        weights = self._weights(sample_weight, X, labels, incremental)
        self._random_state = check_random_state(self.random_state)
        if first:
            self._begin((X.shape[1], *hidden, Y.shape[1]), X.dtype)
        parameters = self._parameters()
        _check_features(parameters.network, X)
        outputs = parameters.network.sizes[-1]
        if Y.shape[1] != outputs:
            raise ValueError(f"y must have as many outputs as in the fit before, {outputs}, got {Y.shape[1]}")
        if isinstance(self.solver, Optimizer):
            self._check_optimizer(parameters)
        core, passed = resolve(self.backend), self._reports(*given, epochs=1 if incremental else self.max_iter)
        dtype = np.result_type(parameters.theta, X)  # of a model that goes on, on other data
        X, Y = X.astype(dtype, copy=False), Y.astype(dtype, copy=False)
        weights = None if weights is None else weights.astype(dtype, copy=False)
        start = parameters.network, parameters.theta.astype(dtype)
        if self.solver == "lbfgs":
            theta = solving.fit_lbfgs(self, core, *start, Data(X, Y, weights), passed)
        else:
            theta = self._descend(core, *start, Data(X, Y, weights), labels, incremental, held, passed)
        if not np.isfinite(theta).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        self._show(networks.viewed(parameters.network, theta))
        if passed is not None:
            self._callback_fit_ctx.call_on_fit_task_end(
                estimator=self, X=given[0], y=given[1], metadata=_metadata(sample_weight), reconstruction_attributes={}
            )
        return self

    def _begin(self, sizes: tuple[int, ...], dtype: Any) -> None:
        """First parameters, and an empty record."""
        self.n_iter_ = self.t_ = 0
        self.n_layers_, self.n_outputs_ = len(sizes), sizes[-1]
        self.out_activation_ = self._out_activation()
        hidden = self._hidden(len(sizes) - 2)
        net = networks.network(sizes, hidden, self.out_activation_)
        self._show(networks.drawn(net, hidden, self._random_state, dtype))
        self._best_theta: Array | None = self._shown.theta.copy()
        self.__dict__.pop("_optimizer", None)
        if self.solver != "lbfgs":
            self._begin_record()

    def _begin_record(self) -> None:
        self.loss_curve_: list[float] = []
        self._no_improvement_count = 0
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _has_record(self) -> bool:
        """Whether there is one to go on with: "lbfgs" leaves none, and what counts changes with `early_stopping`."""
        return hasattr(self, "loss_curve_") and (self.best_loss_ is None) == self.early_stopping

    def _descend(
        self,
        core: Any,
        net: Any,
        theta: Array,
        data: Data,
        labels: Any,
        incremental: bool,
        held: Any,
        passed: Callable[[Array], bool] | None,
    ) -> Array:
        """The parameters after epochs of training, or the best of them."""
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = solving.solver_of(self, theta)
        if not self._has_record():
            self._begin_record()
            self._best_theta = theta.copy()
        score = None
        if self.early_stopping:
            if self.loss_curve_:  # a warm start: scikit-learn's best go along with it, until there are better ones
                self._best_theta = None
            data, score = self._held_out(core, net, data, labels, held)
        job = solving.job_of(core, self, net, data, self._optimizer.optimizer, 1 if incremental else self.max_iter)
        check_length(schedule_of(self._optimizer.optimizer), self._optimizer.steps + job.iterations)
        batching_backend = None if passed is not None else batching.current_backend(job)
        kind: Any = Epochs if batching_backend is None else CohortMember
        running = kind(core, job, self._optimizer, theta)
        coroutine = solving.fit_epochs(
            self, running, job.samples, solving.StoppingRule(self, score), incremental, passed
        )
        if batching_backend is None:
            theta = solving.run_alone(coroutine, running, batching.check_search)
        else:
            theta = batching_backend.train_batched(coroutine, running)
        if not self.early_stopping or self._best_theta is None:
            return theta
        if not np.isfinite(theta).all():
            self._warn_of_divergence()
        return self._best_theta

    def _warn_of_divergence(self) -> None:
        """Training has blown up, and the parameters are from before."""
        best: Any = self.best_validation_score_
        kept = f"of the best validation score, {best:g}" if np.isfinite(best) else "with which training began"
        rate = "learning_rate_init" if isinstance(self.solver, str) else "learning_rate"
        warnings.warn(
            f"training diverged: the loss or a parameter was no longer finite in epoch {self.n_iter_}, and training "
            f"was stopped there; the parameters are those {kept}. Try a smaller {rate}, or scale the data.",
            DivergenceWarning,
            stacklevel=users_level() + 1,  # behind what scikit-learn puts around `fit`
        )

    def _held_out(
        self, core: Any, net: Any, data: Data, labels: Any, held: Any
    ) -> tuple[Data, Callable[[Array], float]]:
        """What is left to train on, and the score of parameters on what is held out, or on data of the user's own."""
        X, Y, weights = data
        if held is not None:
            X_out = self._dense(validate_data(self, held[0], accept_sparse=["csr", "csc"], dtype=X.dtype, reset=False))
            y_out = self._like(labels, held[1])
            check_consistent_length(X_out, y_out)
            w_out = None if held[2] is None else _check_sample_weight(held[2], X_out)
        else:
            stratify = Y.astype(bool) if is_classifier(self) and self.n_outputs_ == 1 else None
            numbers = np.arange(len(X))
            kept, out = train_test_split(
                numbers, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
            )
            if len(out) < 2:
                raise ValueError(
                    "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
                )
            X_out, y_out, w_out = X[out], labels[out], None if weights is None else weights[out]
            data = Data(X[kept], Y[kept], None if weights is None else weights[kept])

        of_outputs = self._scoring(y_out, w_out)
        return data, lambda theta: of_outputs(_outputs(core, net, theta, X_out))

    def _like(self, y: Any, y_val: Any) -> Any:
        """The labels, or numbers, to validate by, if they are of the kind of y."""
        kind: dict[str, Any] = {"dtype": None, "accept_sparse": "csr"} if is_classifier(self) else {"dtype": np.float64}
        y_val = check_array(y_val, ensure_2d=False, input_name="y_val", **kind)
        if y_val.ndim == 2 and y_val.shape[1] == 1:
            y_val = column_or_1d(y_val, warn=True)
        if y_val.shape[1:] != y.shape[1:]:
            raise ValueError(
                f"y_val must have a row like those of y for each sample: {y.shape[1:]}, got {y_val.shape[1:]}"
            )
        return y_val

    def _check_optimizer(self, parameters: Parameters) -> None:
        """Refuse what an optimizer of the user's own cannot do."""
        check_run(self.solver, parameters.network, None if self.batch_size == "auto" else self.batch_size)
        if self.learning_rate != "constant":
            raise ValueError(
                f"learning_rate must be 'constant' with solver={self.solver!r}, got {self.learning_rate!r}"
            )
        validation.settings(self.solver, parameters.theta.dtype)

    def _reports(self, X: Any, y: Any, sample_weight: Any, epochs: int) -> Callable[[Array], bool] | None:
        """What scikit-learn's callbacks are told of each epoch by; None if there are none."""
        if not getattr(self, "_skl_callbacks", None):
            return None
        context = self._init_callback_context(max_subtasks=epochs)
        about = {"estimator": self, "X": X, "y": y, "metadata": _metadata(sample_weight)}
        context.call_on_fit_task_begin(**about)
        net = self._shown.network
        names = [name for name in vars(self) if name.endswith("_")] + ["_labels"] * is_classifier(self)

        def passed(theta: Array) -> bool:
            def attributes() -> dict[str, Any]:
                views = networks.viewed(net, theta.copy())
                there = {name: getattr(self, name) for name in names if hasattr(self, name)}
                return there | {"coefs_": views.coefs, "intercepts_": views.intercepts}

            epoch = context.subcontext(task_name="epoch")
            epoch.call_on_fit_task_begin(**about)
            return epoch.call_on_fit_task_end(**about, reconstruction_attributes=attributes)

        return passed

    # ------------------------------------------------------------ data

    def _checked(self, X: Any, y: Any, incremental: bool, first: bool) -> tuple[Array, Array, Array]:
        """X (m, n_x), the targets (m, n_y) of its dtype, and as they came."""
        if first and is_classifier(self) and _is_ready(X, y) and not hasattr(self, "feature_names_in_"):
            self.n_features_in_ = X.shape[1]
        else:
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr", "csc"],
                multi_output=True,
                y_numeric=not is_classifier(self),
                dtype=_FLOATS,
                reset=first,
            )
        X = self._dense(X)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if is_classifier(self):
            self._learn_classes(y, incremental)
        return X, self._targets(y, X.dtype), y

    @staticmethod
    def _dense(X: Any) -> Array:
        return X if isinstance(X, np.ndarray) else X.toarray()

    def _weights(self, sample_weight: Any, X: Array, y: Array, incremental: bool) -> Array | None:
        """The weight of each sample, of the dtype of X."""
        class_weight = getattr(self, "class_weight", None)
        if sample_weight is None and class_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, X)
        if class_weight is not None:
            if incremental and class_weight == "balanced":
                raise ValueError(
                    "class_weight='balanced' is not for partial_fit, which does not see all data; pass a dict"
                )
            weights = weights * self._class_factors(y, weights)
        return weights.astype(X.dtype, copy=False)

    # ------------------------------------------------------------ parameters

    def _hidden(self, layers: int) -> Any:
        """The activation, or one for each of so many hidden layers."""
        if isinstance(self.activation, str):
            return self.activation
        return validation.names("activation", self.activation, layers, (*get_args(Activation), *networks.ACTIVATIONS))

    def _show(self, parameters: Parameters) -> None:
        """Let these be the fitted ones."""
        self._shown, self._shown_activation = parameters, self.activation
        self.coefs_, self.intercepts_ = [*parameters.coefs], [*parameters.intercepts]

    def _parameters(self) -> Parameters:
        """The fitted ones: whatever stands in ``coefs_`` and ``intercepts_``, which a user may have changed."""
        shown = self._unchanged()
        if shown is not None:
            return shown
        sizes = (len(self.coefs_[0]), *(np.shape(W)[1] for W in self.coefs_))
        net = networks.network(sizes, self._hidden(len(sizes) - 2), self.out_activation_)
        self._show(networks.packed(net, self.coefs_, self.intercepts_))
        return self._shown

    def _unchanged(self) -> Parameters | None:
        """Those that were shown; None if a user has changed them, or the activation, which holds at once."""
        shown = self.__dict__.get("_shown")
        if shown is None or self.activation is not self._shown_activation:
            return None
        return shown if _same(self.coefs_, shown.coefs) and _same(self.intercepts_, shown.intercepts) else None

    def __getstate__(self) -> Any:
        """Without the views, which would be copies where they are read."""
        state = super().__getstate__().copy()
        state.pop("_shown", None)
        state.pop("_shown_activation", None)
        return state

    # ------------------------------------------------------------ predictions

    def _quick_outputs(self, X: Any) -> Array | None:
        """The outputs (n_y, m) of a plain array of the fitted dtype; None for all else, which takes longer."""
        shown = self._unchanged()
        if shown is None or type(X) is not np.ndarray or X.ndim != 2 or "feature_names_in_" in self.__dict__:
            return None
        net, theta, _coefs, _intercepts = shown
        if X.dtype != theta.dtype or X.shape[1] != net.sizes[0] or not len(X):
            return None
        return resolve(self.backend).outputs(net, theta, X.T)  # None, too, if a value is not finite

    def _all_outputs(self, X: Any) -> Array:
        """The outputs (n_y, m) of whatever scikit-learn takes."""
        A = self._quick_outputs(X)
        if A is None:
            check_is_fitted(self)
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
            net, theta, _coefs, _intercepts = self._parameters()
            _check_features(net, X)
            core = resolve(self.backend)
            A = np.concatenate([_outputs(core, net, theta, part) for part in _dense_parts(X)], axis=1)
        return A

    def predict(self, X: Any) -> Any:
        """Predict labels, or numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        return self._meaning(self._all_outputs(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _is_simple(value: Any) -> bool:
    """Whether a parameter is told from others by its type and value."""
    return type(value) in _SIMPLE or (type(value) is tuple and all(type(number) is int for number in value))


def _is_ready(X: Any, y: Any) -> bool:
    """Whether these are samples and labels of which scikit-learn would say nothing, and change nothing."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.type not in _FLOATS or not is_plain(y):
        return False
    return len(X) == len(y) and X.size > 0 and X.dtype.isnative and bool(np.isfinite(X).all())


def _same(there: Any, shown: list[Array]) -> bool:
    """Whether the arrays are those that were shown."""
    return len(there) == len(shown) and all(a is b for a, b in zip(there, shown, strict=True))


def _check_features(net: Any, X: Any) -> None:
    """``coefs_`` may be the user's own, and a core does not ask how large its arrays are."""
    if X.shape[1] != net.sizes[0]:
        raise ValueError(f"X has {X.shape[1]} features, and coefs_ are for {net.sizes[0]}")


def _balance(y: Array, weights: Array) -> Array:
    """How much each sample counts, beside its weight, for all classes to count alike together."""
    classes, numbers = np.unique(y, return_inverse=True)
    mass = np.bincount(numbers, weights, len(classes))
    factors = mass.sum() / np.count_nonzero(mass) / np.where(mass == 0, 1, mass)
    return factors[numbers]


def _dense_parts(X: Any) -> list[Array] | Iterator[Array]:
    """The rows of a matrix as dense arrays; those of a sparse one in parts, for all at once may be too many numbers."""
    if isinstance(X, np.ndarray):
        return [X]
    rows, size = X.tocsr(), max(1, _DENSE // X.shape[1])
    return (rows[start : start + size].toarray() for start in range(0, X.shape[0], size))


def _metadata(sample_weight: Any) -> dict[str, Any]:
    return {} if sample_weight is None else {"sample_weight": sample_weight}


def _outputs(core: Any, net: Any, theta: Array, X: Array) -> Array:
    """The outputs (n_y, m), infinite ones included, where the parameters are so large."""
    dtype = np.result_type(theta, X) if X.dtype.type in _FLOATS else np.dtype(np.float64)
    theta, X = theta.astype(dtype, copy=False), X.astype(dtype, copy=False)
    A = core.outputs(net, theta, X.T)
    if A is None:
        from fastxor.backends import reference

        with np.errstate(all="ignore"):
            A = reference.stages(net, theta, X.T)["the output"]
    return A


class MLPClassifier(ClassifierMixin, _MLP):
    """scikit-learn's multi-layer perceptron for classes, on fastxor's cores.

    Parameters up to `max_fun`, and attributes, are those of `sklearn.neural_network.MLPClassifier`, which describes
    them; what differs is below. In float64, for the solvers "adam" and "sgd", so are the numbers: losses and
    coefficients agree to rounding, which training amplifies slowly. They cannot be the same

    - for ``solver="lbfgs"``, whose line searches amplify rounding at once: the loss is as low, by another way;
    - where scikit-learn's own loss is mostly rounding: of a sample that is wrong by a probability of less than 1e-10;
    - for very large networks or long runs at a high learning rate, where rounding grows until it is seen;
    - where rounding decides whether a loss or a score is better, as for ``tol=0`` when nothing changes any more;
    - after a step that is not finite: training ends there, with scikit-learn's error, or with a `DivergenceWarning` and
      the best parameters if there is ``early_stopping``.

    A batch whose weights are all 0, which scikit-learn refuses, moves parameters by the penalty alone, divided by 1.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default=(100,)
        Units in each hidden layer.
    activation : str or list of str, default="relu"
        Also "sigmoid" (the same as "logistic"), "leaky_relu", "elu", "softplus", "gelu" and "sin"; or a list of one for
        each hidden layer.
    solver : {"adam", "sgd", "lbfgs"} or an optimizer, default="adam"
        Also an optimizer of fastxor's, such as ``fx.AdamW(0.01)``, with its own learning rate. To `LBFGS` and
        `LevenbergMarquardt`, `alpha` and weights mean what they mean to "lbfgs".
    alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, \
warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon, \
n_iter_no_change, max_fun
        As in scikit-learn.
    class_weight : dict, list of dict or "balanced", optional
        How much the samples of each class count, beside `sample_weight`; classes that a dict has not count once. For
        several labels, a dict for each of them. Validation data of one's own have `sample_weight_val` alone.
    threads : int, optional
        Threads that share a batch. Default: one where a batch is little work, else as many as there are free cores.
        The numbers are the same for any of them.
    backend : {"numba", "numpy"}, optional
        The core that does the work; default: see `fastxor.get_backend`.

    Attributes
    ----------
    classes_, coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, \
n_iter_, t_, n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn. The arrays of ``coefs_`` are views of one vector, and may be written to.

    Examples
    --------
    >>> from fastxor.sklearn import MLPClassifier
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["same", "other", "other", "same"]
    >>> model = MLPClassifier((8,), "tanh", learning_rate_init=0.05, random_state=0).fit(X, y)
    >>> model.predict([[1.0, 0.0], [1.0, 1.0]])
    array(['other', 'same'], dtype='<U5')
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's way
        **_MLP._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }
    loss = "log_loss"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        class_weight: Any = None,
        threads: int | None = None,
        backend: BackendName | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.class_weight = class_weight
        self.threads = threads
        self.backend = backend

    @available_if(_has_epochs)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train for one epoch, going on from where the last call has left off.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,)
            Labels.
        sample_weight : array-like of shape (n_samples,), optional
            How much each sample counts.
        classes : array-like of shape (n_classes,), optional
            All classes that there will be; needed in the first call.

        Returns
        -------
        self
        """
        first = not hasattr(self, "classes_")
        if classes is None and first:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if first:
            self._labels = Labels(y, unique_labels(classes))
            self.classes_ = self._labels.classes
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}"
            )
        return self._fit(X, y, sample_weight, incremental=True)

    def _class_factors(self, y: Array, weights: Array) -> Array:
        """How much the class of each sample makes it count, beside its weight."""
        if y.ndim > 1:
            return compute_sample_weight(self.class_weight, y)
        if isinstance(self.class_weight, str):
            return _balance(y, weights)
        factors = compute_class_weight(self.class_weight, classes=self.classes_, y=y)  # of which y may have some alone
        return factors[np.searchsorted(self.classes_, y)]

    def _learn_classes(self, y: Array, incremental: bool) -> None:
        """Which classes there are; or, of a model that goes on, whether they are the same."""
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._labels = Labels(y)
            self.classes_ = self._labels.classes
            return
        classes = found(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        elif np.setdiff1d(classes, self.classes_, assume_unique=True).size:
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _targets(self, y: Array, dtype: Any) -> Array:
        return self._labels.columns(y, dtype)

    def _scoring(self, y: Any, weights: Array | None) -> Callable[[Array], float]:
        """The accuracy of outputs (n_y, m), as a function of them. It is asked for in every epoch."""
        return self._labels.accuracy(y, weights)

    def _out_activation(self) -> str:
        return self._labels.out_activation

    def _meaning(self, A: Array) -> Array:
        """Labels from the outputs (n_y, m)."""
        return self._labels.meaning(A)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy on data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their labels.
        sample_weight : array-like of shape (n_samples,), optional
            How much each sample counts.

        Returns
        -------
        float
        """
        answers = self.predict(X)
        same_kind = is_plain(y) and is_plain(answers) and y.dtype.kind == answers.dtype.kind
        if same_kind and sample_weight is None and len(y) == len(answers):
            return float(np.mean(y == answers))  # without looking at each label several times
        return accuracy_score(y, answers, sample_weight=sample_weight)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            Classes as in ``classes_``; of several labels at once, the probability of each.
        """
        A = self._all_outputs(X)
        return np.stack([1 - A[0], A[0]], axis=1) if len(A) == 1 else A.T

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _MLP):
    """scikit-learn's multi-layer perceptron for numbers, on fastxor's cores.

    Parameters up to `max_fun`, and attributes, are those of `sklearn.neural_network.MLPRegressor`, which describes
    them; what differs is below, and `MLPClassifier` says where numbers cannot be the same. The "poisson" loss of a
    target and an output that are both 0, as an exponential may be, is 0; scikit-learn's is NaN. `partial_fit` is for
    stochastic solvers alone, as that of scikit-learn's classifier.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        With "poisson", half its deviance, outputs are exponentials, and targets not negative.
    hidden_layer_sizes : array-like of int, default=(100,)
        Units in each hidden layer.
    activation : str or list of str, default="relu"
        Also "sigmoid" (the same as "logistic"), "leaky_relu", "elu", "softplus", "gelu" and "sin"; or a list of one for
        each hidden layer.
    solver : {"adam", "sgd", "lbfgs"} or an optimizer, default="adam"
        Also an optimizer of fastxor's, such as ``fx.AdamW(0.01)``, with its own learning rate. To `LBFGS` and
        `LevenbergMarquardt`, `alpha` and weights mean what they mean to "lbfgs".
    alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle, random_state, tol, verbose, \
warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon, \
n_iter_no_change, max_fun
        As in scikit-learn.
    threads : int, optional
        Threads that share a batch. Default: one where a batch is little work, else as many as there are free cores.
        The numbers are the same for any of them.
    backend : {"numba", "numpy"}, optional
        The core that does the work; default: see `fastxor.get_backend`.

    Attributes
    ----------
    coefs_, intercepts_, loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_, \
n_layers_, n_outputs_, out_activation_, n_features_in_, feature_names_in_
        As in scikit-learn. The arrays of ``coefs_`` are views of one vector, and may be written to.

    Examples
    --------
    >>> import numpy as np
    >>> from fastxor.sklearn import MLPRegressor
    >>> x = np.linspace(-2, 2, 100)
    >>> model = MLPRegressor(hidden_layer_sizes=(16,), activation="tanh", solver="lbfgs", random_state=0)
    >>> model.fit(x[:, None], np.sin(2 * x)).score(x[:, None], np.sin(2 * x)) > 0.99
    True
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 - scikit-learn's way
        **_MLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "poisson"})],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: int = 15000,
        threads: int | None = None,
        backend: BackendName | None = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.threads = threads
        self.backend = backend

    @available_if(_has_epochs)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train for one epoch, going on from where the last call has left off.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers.
        sample_weight : array-like of shape (n_samples,), optional
            How much each sample counts.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _targets(self, y: Array, dtype: Any) -> Array:
        if not isinstance(y, np.ndarray) or y.dtype.kind not in "biuf":
            raise TypeError(f"y must be a dense array of numbers, got {type(y).__name__} of dtype {y.dtype}")
        if self.loss == "poisson" and (y < 0).any():
            raise ValueError(f"y must not be negative for loss='poisson', got {y.min()}")
        return y.reshape(len(y), -1).astype(dtype)

    def _scoring(self, y: Any, weights: Array | None) -> Callable[[Array], float]:
        """The coefficient of determination of outputs (n_y, m), as a function of them."""
        if len(y) < 2:
            return lambda A: float(r2_score(y, self._meaning(A), sample_weight=weights))
        Y, shares = y.reshape(len(y), -1).T.astype(np.float64), 1.0 if weights is None else weights
        spread = np.sum(shares * (Y - np.average(Y, axis=1, weights=weights)[:, None]) ** 2, axis=1)

        @np.errstate(over="ignore")  # of numbers that have blown up
        def determination(A: Array) -> float:
            if not np.isfinite(A).all():
                return np.nan
            errors = np.sum(shares * (Y - A) ** 2, axis=1)
            constant = np.where(errors == 0, 1.0, 0.0)  # of an output that has the same target everywhere
            return float(np.where(spread == 0, constant, 1 - errors / np.where(spread == 0, 1, spread)).mean())

        return determination

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    def _meaning(self, A: Array) -> Array:
        """The outputs (n_y, m) themselves."""
        return A[0] if len(A) == 1 else A.T
