"""The searches: results are those of scikit-learn's search over the same estimator."""

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn import model_selection
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastxor.sklearn import GridSearchCV, MLPClassifier, MLPRegressor, RandomizedSearchCV

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`"),  # which scikit-learn 1.7 uses
]

X, y = load_iris(return_X_y=True)
MODEL = MLPClassifier((5,), learning_rate_init=0.02, max_iter=12, random_state=0)
GRID = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(5,), (3, 2)]}


def assert_same(got, wanted):
    assert got.cv_results_.keys() == wanted.cv_results_.keys()
    for name, column in wanted.cv_results_.items():
        if "_time" not in name:
            np.testing.assert_array_equal(got.cv_results_[name], column, err_msg=name)
    for name in ("best_index_", "best_params_", "best_score_", "n_splits_", "n_features_in_"):
        if hasattr(wanted, name):
            assert getattr(got, name) == getattr(wanted, name), name


def test_a_grid():
    wanted = model_selection.GridSearchCV(MODEL, GRID, cv=3, return_train_score=True).fit(X, y)
    for n_jobs in (None, 2):
        got = GridSearchCV(MODEL, GRID, cv=3, return_train_score=True, n_jobs=n_jobs).fit(X, y)
        assert_same(got, wanted)
    assert isinstance(got.best_estimator_, MLPClassifier)
    np.testing.assert_array_equal(got.predict_proba(X), wanted.predict_proba(X))
    assert [*got.classes_] == [0, 1, 2]


def test_random_candidates():
    rates = {"learning_rate_init": loguniform(1e-3, 1e-1), "alpha": loguniform(1e-4, 1.0)}
    settings = {"n_iter": 4, "cv": 3, "random_state": 0}
    wanted = model_selection.RandomizedSearchCV(MODEL, rates, **settings).fit(X, y)
    assert_same(RandomizedSearchCV(MODEL, rates, **settings, n_jobs=2).fit(X, y), wanted)


@pytest.mark.parametrize("refit", [False, "f1_macro", lambda results: 1])
def test_several_scores(refit):
    settings = {"scoring": ["accuracy", "f1_macro"], "refit": refit, "cv": 3}
    grid = {"alpha": [1e-4, 3.0]}
    wanted = model_selection.GridSearchCV(MODEL, grid, **settings).fit(X, y)
    assert_same(GridSearchCV(MODEL, grid, **settings, n_jobs=2).fit(X, y), wanted)


def test_a_regressor_in_a_pipeline_with_weights():
    weights = np.linspace(0.5, 2, len(X))
    pipe = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=12, random_state=0))
    grid = {"mlpregressor__learning_rate_init": [0.01, 0.05]}
    routed = {"mlpregressor__sample_weight": weights}
    wanted = model_selection.GridSearchCV(pipe, grid, cv=3).fit(X, y, **routed)
    assert_same(GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, y, **routed), wanted)


def test_others_estimators():
    wanted = model_selection.GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}).fit(X, y)
    assert_same(GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, n_jobs=2).fit(X, y), wanted)


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_an_error_is_a_score_of_nan():
    grid = {"learning_rate_init": [-1.0, 0.01]}
    with pytest.warns(Warning, match="fits failed"):
        search = GridSearchCV(MODEL, grid, cv=3, n_jobs=2).fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_score"][0])
    assert search.best_index_ == 1
    with pytest.raises(ValueError, match="learning_rate_init"):
        GridSearchCV(MODEL, grid, cv=3, n_jobs=2, error_score="raise").fit(X, y)


def test_it_is_an_estimator():
    search = GridSearchCV(MODEL, GRID, n_jobs=2)
    assert clone(search).get_params()["param_grid"] == GRID
    assert repr(search).startswith("GridSearchCV(")
    assert isinstance(search, model_selection.GridSearchCV)
