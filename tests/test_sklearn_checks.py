"""scikit-learn's checks of estimators, without an exception; and what users of scikit-learn's tools expect."""

import importlib
import pickle
import sys

import joblib
import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import fastxor as fx
from fastxor.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
QUICK = {"hidden_layer_sizes": (6,), "learning_rate_init": 0.02, "max_iter": 30, "random_state": 0}


@pytest.mark.filterwarnings("ignore")  # theirs have warnings of their own
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_check_estimator(kind):
    results = check_estimator(kind(), on_fail=None, on_skip=None, expected_failed_checks={})
    assert len(results) > 50
    wrong = [
        (result["check_name"], result["exception"]) for result in results if result["status"] in ("failed", "xfail")
    ]
    assert not wrong
    skipped = {result["check_name"] for result in results if result["status"] == "skipped"}
    assert skipped <= {"check_array_api_input", "check_classifiers_multilabel_output_format_decision_function"}


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "fastxor.sklearn")
    with pytest.raises(ImportError, match=r"pip install 'fastxor-nn\[sklearn\]'"):
        importlib.import_module("fastxor.sklearn")


# ---------------------------------------------------------------- data of all kinds


@pytest.mark.parametrize("matrix", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_input_is_dense_input(matrix):
    dense, thin = MLPClassifier(**QUICK).fit(X, y), MLPClassifier(**QUICK).fit(matrix(X), y)
    assert dense.loss_curve_ == thin.loss_curve_
    np.testing.assert_array_equal(dense.predict_proba(X), thin.predict_proba(matrix(X)))


def test_many_sparse_rows_are_predicted_in_parts(monkeypatch):
    model = MLPClassifier(**QUICK).fit(X, y)
    monkeypatch.setattr("fastxor.sklearn.mlp._DENSE", 4 * 11)
    np.testing.assert_allclose(model.predict_proba(sparse.csc_matrix(X)), model.predict_proba(X), rtol=1e-12)


@pytest.mark.parametrize("first", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_model_may_go_on_in_another_precision(first, solver):
    second = {"float32": "float64", "float64": "float32"}[first]
    model = MLPClassifier(**QUICK, solver=solver).fit(X.astype(first), y).partial_fit(X.astype(second), y)
    assert {array.dtype for array in (*model.coefs_, *model.intercepts_)} == {np.dtype("float64")}
    alike = MLPClassifier(**QUICK, solver=solver).fit(X, y).partial_fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), alike.predict_proba(X), atol=1e-3)


def test_data_frames_and_their_names():
    import pandas

    names = ["a", "b", "c", "d"]
    table, labels = pandas.DataFrame(X, columns=names), pandas.Series(np.array(["u", "v", "w"])[y])
    model = MLPClassifier(**QUICK).fit(table, labels)
    assert [*model.feature_names_in_] == names
    assert set(model.predict(table)) <= {"u", "v", "w"}
    with pytest.warns(UserWarning, match="feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[names[::-1]])


@pytest.mark.parametrize("predict", ["predict", "predict_proba", "predict_log_proba"])
def test_the_quick_way_is_the_long_one(predict):
    """A plain array of the fitted dtype, and the same as a list, which takes all of scikit-learn's checks."""
    for target in (y, y == 1):
        model = MLPClassifier(**QUICK).fit(X, target)
        quick = getattr(model, predict)(X[:3])
        np.testing.assert_array_equal(quick, getattr(model, predict)(X[:3].tolist()))
        one_by_one = [getattr(model, predict)(X[i : i + 1])[0] for i in range(3)]
        np.testing.assert_allclose(np.asarray(quick, float), np.asarray(one_by_one, float), rtol=1e-12)
    model = MLPRegressor(**QUICK).fit(X, np.c_[y, X[:, 0]])
    np.testing.assert_array_equal(model.predict(X[:3]), model.predict(X[:3].tolist()))


def test_the_quick_way_refuses_what_the_long_one_does():
    model = MLPClassifier(**QUICK).fit(X, y)
    for wrong, message in (
        (X[:, :3], "3 features"),
        (X[0], "1D array"),
        (X[:0], "0 sample"),
        (np.full((1, 4), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(wrong)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        MLPClassifier().predict(X)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("asked", ["float32", "float64", "int64"])
def test_dtypes(kind, given, asked):
    model = kind(**QUICK).fit(X.astype(given), y)
    assert {array.dtype for array in (*model.coefs_, *model.intercepts_)} == {np.dtype(given)}
    rows = (4 * X[:5]).astype(asked)
    wanted = "float32" if asked == given == "float32" else "float64"
    got = model.predict_proba(rows) if kind is MLPClassifier else model.predict(rows)
    assert got.dtype == wanted
    exact = (
        model.predict_proba(rows.astype("float64")) if kind is MLPClassifier else model.predict(rows.astype("float64"))
    )
    np.testing.assert_allclose(got, exact, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- coefficients are the truth


def test_coefficients_that_are_changed_count():
    model = MLPRegressor(**QUICK).fit(X, y)
    before = model.predict(X)
    model.intercepts_[-1] += 1.0  # in place
    np.testing.assert_allclose(model.predict(X), before + 1, rtol=1e-12)
    model.coefs_[-1] = 2 * model.coefs_[-1]  # another array
    model.intercepts_[-1] = 2 * model.intercepts_[-1]
    np.testing.assert_allclose(model.predict(X), 2 * before + 2, rtol=1e-12)


@pytest.mark.parametrize("copy", [lambda m: pickle.loads(pickle.dumps(m)), sklearn.base.copy.deepcopy])
def test_a_copy_goes_on_as_the_model_would(copy):
    model = MLPClassifier(**QUICK).fit(X, y)
    other = copy(model)
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    for one in (model, other):
        one.partial_fit(X, y)
        one.intercepts_[0][0] += 0.5
    np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))


def test_joblib_files_and_processes(tmp_path):
    model = MLPClassifier(**QUICK).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model").predict(X), model.predict(X))


def test_a_clone_is_fresh_and_prints_what_was_given():
    model = MLPClassifier(**QUICK, threads=1, class_weight="balanced").fit(X, y)
    again = clone(model)
    assert not hasattr(again, "coefs_")
    assert again.get_params() == model.get_params()
    assert "threads=1" in repr(again)
    assert "MLPClassifier" in again._repr_html_()


def test_in_a_pipeline_and_cross_validation():
    raw, labels = load_iris(return_X_y=True)
    scores = cross_val_score(make_pipeline(StandardScaler(), MLPClassifier(**QUICK)), raw, labels, cv=3)
    assert scores.min() > 0.8


def test_set_output_of_a_pipeline_around_it():
    import pandas  # noqa: F401 - which set_output needs

    pipe = make_pipeline(StandardScaler(), MLPClassifier(**QUICK)).set_output(transform="pandas").fit(X, y)
    assert [*pipe[-1].feature_names_in_] == ["x0", "x1", "x2", "x3"]


def test_metadata_routing():
    weights = np.where(y == 0, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(**QUICK).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, model).fit(X, y, sample_weight=weights)
    alone = MLPClassifier(**QUICK).fit(StandardScaler().fit_transform(X), y, weights)
    np.testing.assert_array_equal(routed[-1].coefs_[0], alone.coefs_[0])


# ---------------------------------------------------------------- what is beyond scikit-learn


@pytest.mark.parametrize("solver", [fx.AdamW(0.02), fx.SGD(fx.schedules.cosine(0.3, 100), 0.9), fx.RMSprop(0.01)])
def test_optimizers_of_ones_own(solver):
    model = MLPClassifier(**QUICK | {"max_iter": 100}, solver=solver, activation="gelu").fit(X, y)
    assert model.score(X, y) > 0.9
    assert clone(model).get_params()["solver"] == solver


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("rate", [fx.schedules.step(0.3, every=7, factor=0.5), np.linspace(0.3, 0.1, 20)])
def test_partial_fits_go_on_with_a_schedule(rate, backend):
    settings = QUICK | {"solver": fx.SGD(rate, 0.9), "shuffle": False, "batch_size": 40, "backend": backend}
    whole, parts = MLPClassifier(**settings | {"max_iter": 5}).fit(X, y), MLPClassifier(**settings)
    for _ in range(5):
        parts = pickle.loads(pickle.dumps(parts)).partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-12)


def test_an_array_of_rates_has_one_for_each_step():
    model = MLPClassifier(**QUICK | {"solver": fx.SGD([0.3, 0.2, 0.1]), "max_iter": 4})
    with pytest.raises(ValueError, match="learning_rate must have an entry for each of the 4 steps"):
        model.fit(X, y)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="learning_rate must have an entry for each of the 4 steps"):
        model.partial_fit(X, y)


@pytest.mark.parametrize("solver", [fx.LBFGS(), fx.LevenbergMarquardt(), fx.Rprop()])
def test_optimizers_of_all_samples(solver):
    model = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", solver=solver, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9
    if not isinstance(solver, fx.Rprop):
        assert not hasattr(model, "partial_fit")
    with pytest.raises(ValueError, match="batch_size"):
        MLPRegressor(solver=solver, batch_size=10).fit(X, y)


@pytest.mark.parametrize("weights", [None, np.where(y == 0, 4.0, 0.5)])
@pytest.mark.parametrize("solver", [fx.LBFGS(), fx.LevenbergMarquardt()])
def test_second_order_optimizers_find_what_lbfgs_finds(solver, weights):
    settings = {"hidden_layer_sizes": (3,), "activation": "identity", "alpha": 2.0, "random_state": 0}
    plain = MLPRegressor(**settings, solver="lbfgs", tol=1e-9).fit(X, y, weights)
    other, heavy = (MLPRegressor(**settings, solver=solver, max_iter=60, tol=0) for _ in range(2))
    other.fit(X, y, weights)
    np.testing.assert_allclose([other.loss_, other.score(X, y)], [plain.loss_, plain.score(X, y)], rtol=1e-5)
    heavy.set_params(alpha=200.0).fit(X, y, np.full(len(y), 100.0) if weights is None else 100 * weights)
    np.testing.assert_allclose(heavy.loss_curve_[:4], other.loss_curve_[:4], rtol=1e-6)


@pytest.mark.parametrize("solver", [fx.LBFGS(), fx.LevenbergMarquardt()])
def test_second_order_optimizers_are_penalized_and_weigh(solver):
    settings = {"hidden_layer_sizes": (4,), "activation": "tanh", "random_state": 0, "max_iter": 30}
    free, held = (MLPRegressor(**settings, solver=solver, alpha=alpha).fit(X, y) for alpha in (0.0, 10.0))
    assert sum((W**2).sum() for W in held.coefs_) < sum((W**2).sum() for W in free.coefs_)
    weighed = MLPRegressor(**settings, solver=solver, alpha=0.0).fit(X, y, np.where(y == 0, 4.0, 0.5))
    assert weighed.loss_curve_[0] != free.loss_curve_[0]


def test_activations_of_each_layer():
    settings = QUICK | {"hidden_layer_sizes": (6, 5)}
    one = MLPClassifier(**settings, activation=["logistic", "logistic"]).fit(X, y)
    assert one.loss_curve_ == MLPClassifier(**settings, activation="sigmoid").fit(X, y).loss_curve_
    assert one.loss_curve_ != MLPClassifier(**settings, activation=["gelu", "sin"]).fit(X, y).loss_curve_
    with pytest.raises(ValueError, match="activation"):
        MLPClassifier(**settings, activation=["gelu"]).fit(X, y)


def test_class_weight():
    rare = np.r_[np.zeros(95, int), np.ones(5, int)]
    points = np.random.RandomState(0).randn(100, 2) + rare[:, None]
    plain = MLPClassifier(**QUICK | {"max_iter": 200}).fit(points, rare)
    fair = clone(plain).set_params(class_weight="balanced").fit(points, rare)
    assert fair.predict(points).sum() > plain.predict(points).sum()
    weights = np.where(rare == 1, 10.0, 0.5)
    same = clone(plain).set_params(class_weight={0: 0.5, 1: 10.0}).fit(points, rare)
    assert same.loss_curve_ == clone(plain).fit(points, rare, weights).loss_curve_
    repeated = [np.repeat(array, rare + 1, axis=0) for array in (points, rare)]  # whose batches are whole
    np.testing.assert_allclose(
        clone(fair).fit(points, rare, rare + 1.0).predict_proba(points),
        clone(fair).fit(*repeated).predict_proba(points),
    )
    with pytest.raises(ValueError, match="balanced"):
        fair.partial_fit(points, rare)


def test_a_class_with_a_weight_need_not_be_in_every_part():
    weighted, plain = (MLPClassifier(**QUICK, class_weight=weight) for weight in ({2: 5.0}, None))
    for part in (y < 2, y > 0):
        weighted.partial_fit(X[part], y[part], classes=[0, 1, 2])
        plain.partial_fit(X[part], y[part], np.where(y[part] == 2, 5.0, 1.0), classes=[0, 1, 2])
    assert weighted.loss_curve_ == plain.loss_curve_


def test_weights_of_the_classes_of_each_label():
    Y = np.c_[y == 0, y > 0].astype(int)
    wanted = MLPClassifier(**QUICK).fit(X, Y, np.where(y == 0, 6.0, 1.0))
    weights = [{0: 1.0, 1: 2.0}, {0: 3.0, 1: 1.0}]
    assert MLPClassifier(**QUICK, class_weight=weights).fit(X, Y).loss_curve_ == wanted.loss_curve_
    with pytest.raises(ValueError, match="class_weight"):
        MLPClassifier(**QUICK, class_weight=weights).fit(X, y)


def test_validation_data_of_ones_own():
    model = MLPClassifier(**QUICK, early_stopping=True).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert model.best_validation_score_ == max(model.validation_scores_) == model.score(X[1::2], y[1::2])
    assert len(model.validation_scores_) == model.n_iter_
    with pytest.raises(ValueError, match="early_stopping"):
        MLPClassifier(**QUICK).fit(X, y, X_val=X, y_val=y)
    with pytest.raises(ValueError, match="not for solver='lbfgs'"):
        MLPClassifier(**QUICK, early_stopping=True, solver="lbfgs").fit(X, y, X_val=X, y_val=y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MLPClassifier(**QUICK, early_stopping=True).fit(X, y, X_val=X, y_val=y[1:])
    with pytest.raises(ValueError, match="go together"):
        MLPClassifier(**QUICK, early_stopping=True).fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="sample_weight_val is for X_val and y_val"):
        MLPClassifier(**QUICK, early_stopping=True).fit(X, y, sample_weight_val=np.ones(len(X)))


@pytest.mark.parametrize(
    ("kind", "target", "wrong", "message"),
    [
        (MLPRegressor, X[:, :2], X[:, 0], r"y_val must have a row like those of y .*\(2,\), got \(\)"),
        (MLPRegressor, y, np.full(len(y), np.nan), "y_val contains NaN"),
        (MLPRegressor, y, np.full(len(y), "a"), "could not convert string"),
        (MLPClassifier, y, X > 0, r"y_val must have a row like those of y .*\(\), got \(4,\)"),
        (MLPClassifier, X > 0, y, r"y_val must have a row like those of y .*\(4,\), got \(\)"),
    ],
)
def test_validation_targets_of_another_kind_are_refused(kind, target, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**QUICK, early_stopping=True).fit(X, target, X_val=X, y_val=wrong)


@pytest.mark.parametrize("target", [X > 0, sparse.csr_matrix(X > 0).astype(int), np.array(["u", "v", "w"], object)[y]])
def test_validation_targets_of_every_kind(target):
    model = MLPClassifier(**QUICK, early_stopping=True).fit(X, target, X_val=X, y_val=target)
    assert model.best_validation_score_ == model.score(X, target)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(threads):
    wanted = MLPClassifier(**QUICK | {"hidden_layer_sizes": (70,)}).fit(X, y)
    assert (
        MLPClassifier(**QUICK | {"hidden_layer_sizes": (70,)}, threads=threads).fit(X, y).loss_curve_
        == wanted.loss_curve_
    )


def test_backends_agree():
    curves = [MLPClassifier(**QUICK, backend=name).fit(X, y).loss_curve_ for name in ("numba", "numpy")]
    np.testing.assert_allclose(*curves, rtol=1e-12)


def test_interrupted_training_is_kept(monkeypatch):
    from fastxor.sklearn import solving

    seen = []

    def interrupt(self, most, run=solving.Epochs.run):
        if seen:
            raise KeyboardInterrupt
        seen.append(most)
        return run(self, most)

    monkeypatch.setattr(solving.Epochs, "run", interrupt)
    with pytest.warns(UserWarning, match="interrupted by user"):
        model = MLPClassifier(**QUICK).fit(X, y)
    assert 0 < model.n_iter_ == len(model.loss_curve_) < QUICK["max_iter"]
    assert model.predict(X).shape == y.shape
