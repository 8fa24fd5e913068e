"""scikit-learn: MLPClassifier or MLPRegressor, started from the problem's parameters and given its batch order, and its
samples to hold out."""

from __future__ import annotations

import warnings
from functools import partial
from unittest import mock

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.neural_network import _multilayer_perceptron as multilayer_perceptron

from fastxor.bench.problems import BETA1, BETA2, EPSILON, Contenders, Problem, Result

KINDS = ("train", "stopping", "predict")

Model = MLPClassifier | MLPRegressor


class Ordered(np.random.RandomState):
    """A random state whose shuffles put scikit-learn's own, ever reshuffled list of samples into the given orders."""

    def start(self, orders: np.ndarray) -> Ordered:
        self.before, self.orders = np.arange(orders.shape[1]), iter(orders)
        return self

    def shuffle(self, indices: np.ndarray) -> None:
        order = next(self.orders)
        indices[:] = np.argsort(self.before)[order]
        self.before = order


def targets(problem: Problem) -> np.ndarray:
    Y = problem.data[1]
    if problem.output == "softmax":
        return Y.argmax(axis=0)
    return Y.T if problem.output == "identity" else Y[0]


def begin(problem: Problem, model: Model) -> None:
    """The starting parameters, scikit-learn's way round."""
    model.coefs_ = [problem.start[f"W{layer}"].T.copy() for layer in problem.layers]
    model.intercepts_ = [problem.start[f"b{layer}"].ravel().copy() for layer in problem.layers]


def prepared(problem: Problem) -> Model:
    kind = MLPRegressor if problem.output == "identity" else MLPClassifier
    model = kind(
        hidden_layer_sizes=problem.sizes[1:-1],
        activation=problem.hidden,
        solver="adam" if problem.adam else "sgd",
        alpha=0,
        batch_size=problem.batch or problem.m,
        learning_rate_init=problem.learning_rate,
        max_iter=1,
        shuffle=problem.batch is not None,
        tol=0,
        momentum=0,
        nesterovs_momentum=False,
        warm_start=True,
        n_iter_no_change=10**9,
        beta_1=BETA1,
        beta_2=BETA2,
        epsilon=EPSILON,
    )
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(problem.data[0].T, targets(problem))  # so that a warm start finds its arrays
    begin(problem, model)
    return model


def train(problem: Problem, model: Model, iterations: int) -> Result:
    """Whole epochs: scikit-learn knows nothing less."""
    begin(problem, model)
    epochs = -(-iterations // problem.per_epoch)
    model.max_iter, model.n_iter_ = epochs, 0
    if problem.batch is not None:
        model.random_state = Ordered().start(problem.orders(epochs * problem.per_epoch).reshape(epochs, -1))
    model.fit(problem.data[0].T, targets(problem))
    result = {}
    for layer in problem.layers:
        result[f"W{layer}"] = model.coefs_[layer - 1].T
        result[f"b{layer}"] = model.intercepts_[layer - 1][:, None]
    return result


def stopping(problem: Problem, model: Model, iterations: int) -> Result:
    """The same with early stopping; it holds out what this problem does, and restores the best of its epochs."""
    (X, Y), (x, y) = problem.data, problem.held
    split = X.T, x.T, Y.T, y.T
    model.early_stopping, model.validation_scores_, model.best_validation_score_ = True, [], -np.inf
    with mock.patch.object(multilayer_perceptron, "train_test_split", return_value=split):
        return train(problem, model, iterations)


def predict_calls(problem: Problem, model: Model, calls: int) -> Result:
    x = np.ascontiguousarray(problem.data[0].T)
    for _ in range(calls):
        outputs = model.predict(x)
    return {"outputs": outputs.T.astype(problem.dtype, copy=False)}


def contenders(problem: Problem, threads: int) -> Contenders:
    model = prepared(problem)
    if problem.kind == "predict":
        return {"scikit-learn": {"predict": partial(predict_calls, problem, model)}}
    fit = stopping if problem.kind == "stopping" else train
    return {"scikit-learn": {"fit": partial(fit, problem, model)}}


def version() -> str:
    return f"scikit-learn {sklearn.__version__}"
