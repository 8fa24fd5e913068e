"""Networks of scikit-learn, taken over: their outputs and predictions are the same."""

import re

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import fastxor as fx
from fastxor.sklearn import MLPClassifier as OurClassifier

DRAW = np.random.RandomState(0)
TABLE = DRAW.randn(60, 3)
TWO = np.where(TABLE[:, 0] * TABLE[:, 1] > 0, "yes", "no")
THREE = np.array(["ash", "birch", "cedar"])[np.digitize(TABLE[:, 0], [-0.5, 0.5])]
LABELS = (TABLE[:, :2] > 0).astype(int)
NUMBERS = TABLE @ [[1.0, 2.0], [0.5, -1.0], [0.0, 1.0]]

TARGETS = {"two classes": TWO, "three classes": THREE, "labels": LABELS, "a number": NUMBERS[:, 0], "numbers": NUMBERS}


def fitted(kind, y, table=TABLE, **settings):
    mlp = kind(**{"hidden_layer_sizes": (7, 5), "max_iter": 3, "random_state": 0} | settings)
    with pytest.warns(ConvergenceWarning):
        return mlp.fit(table, y)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("kind", TARGETS)
def test_it_computes_what_scikit_learn_does(kind, activation):
    y = {"two classes": TWO, "three classes": THREE, "labels": LABELS, "a number": NUMBERS[:, 0], "numbers": NUMBERS}[
        kind
    ]
    mlp = fitted(MLPRegressor if "number" in kind else MLPClassifier, y, activation=activation)
    run = fx.from_sklearn(mlp)
    assert run.network.sizes == (3, 7, 5, mlp.n_outputs_)
    assert set(run.network.hidden) == {{"logistic": "sigmoid"}.get(activation, activation)}
    A, found = run.forward(TABLE.T).T, run.predict(TABLE.T)
    wanted = mlp.predict(TABLE)
    if "number" in kind:
        np.testing.assert_allclose(np.squeeze(A), wanted, rtol=0, atol=1e-12)
        return
    shares = mlp.predict_proba(TABLE)
    np.testing.assert_allclose(A, shares[:, 1:] if kind == "two classes" else shares, rtol=0, atol=1e-12)
    named = {"two classes": lambda: mlp.classes_[found[0]], "three classes": lambda: mlp.classes_[found]}
    np.testing.assert_array_equal(named.get(kind, lambda: found.T)(), wanted)


@pytest.mark.parametrize("activation", ["gelu", ["sin", "logistic"]])
def test_this_packages_estimators_are_taken_over_with_their_activations(activation):
    from fastxor.sklearn import MLPClassifier

    mlp = fitted(MLPClassifier, THREE, activation=activation)
    run = fx.from_sklearn(mlp)
    assert run.network.hidden == (("sin", "sigmoid") if isinstance(activation, list) else ("gelu", "gelu"))
    np.testing.assert_array_equal(run.forward(TABLE.T).T, mlp.predict_proba(TABLE))


def test_precision_is_kept_and_nothing_is_shared():
    mlp = fitted(MLPClassifier, THREE, TABLE.astype(np.float32))
    run = fx.from_sklearn(mlp)
    assert {array.dtype for array in run.parameters.values()} == {np.dtype(np.float32)}
    before = mlp.coefs_[0].copy()
    run.parameters["W1"][:] = 0
    np.testing.assert_array_equal(mlp.coefs_[0], before)


def test_it_can_be_trained_further_and_exported(tmp_path):
    mlp = fitted(MLPClassifier, THREE)
    run = fx.from_sklearn(mlp)
    numbers = np.searchsorted(mlp.classes_, THREE)
    further = fx.train(run.network, TABLE.T, numbers, parameters=run.parameters, iterations=20, backend="numpy")
    assert further.cost(TABLE.T, numbers) < run.cost(TABLE.T, numbers)
    run.export(tmp_path / "mlp.py")
    assert "sklearn" not in (tmp_path / "mlp.py").read_text()


def with_another_output():
    """As of a release that has one more."""
    mlp = fitted(MLPRegressor, NUMBERS)
    mlp.out_activation_ = "cosh"
    return mlp


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: MLPClassifier(), ValueError, "mlp is not fitted"),
        (lambda: SVC(), TypeError, "got SVC"),
        (lambda: make_pipeline(StandardScaler(), MLPClassifier()), TypeError, "got Pipeline; pass its last step"),
        (with_another_output, ValueError, "mlp has the output 'cosh', and there are sigmoid, softmax"),
        (lambda: fitted(MLPClassifier, TWO).set_params(activation="swish"), ValueError, "the activation 'swish'"),
        (lambda: MLPClassifier, TypeError, "got ABCMeta"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(make, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        fx.from_sklearn(make())


def test_our_own_estimator_may_have_a_list_of_activations():
    for sizes, names in [((), []), ((2,), ["gelu"]), ((2, 3), ["sin", "tanh"])]:
        model = OurClassifier(sizes, names, max_iter=5, tol=1.0, n_iter_no_change=1).fit(TABLE, TWO)
        run = fx.from_sklearn(model)
        assert run.network.hidden == tuple(names)
        np.testing.assert_allclose(run.forward(TABLE.T)[0], model.predict_proba(TABLE)[:, 1], rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_of_a_search_the_best_estimator_is_meant():
    search = GridSearchCV(MLPClassifier(2, max_iter=1), {"alpha": [0.1, 1.0]}, cv=2).fit(TABLE, TWO)
    with pytest.raises(TypeError, match="got GridSearchCV; pass its best_estimator_"):
        fx.from_sklearn(search)
    assert fx.from_sklearn(search.best_estimator_).network.sizes == (3, 2, 1)
