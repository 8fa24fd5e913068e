"""The estimators' numbers are scikit-learn's: losses, coefficients, scores and where training ends."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn import neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning

import fastxor as fx
import fastxor.sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
LABELLED = make_multilabel_classification(n_samples=90, n_features=6, n_classes=4, random_state=0)
DATA = {
    "binary": ("MLPClassifier", X, np.where(y == 1, 7, 3)),
    "multiclass": ("MLPClassifier", X, y),
    "multilabel": ("MLPClassifier", *LABELLED),
    "regression": ("MLPRegressor", X, X[:, 0] * X[:, 1] + y),
    "two outputs": ("MLPRegressor", X, np.c_[y, X[:, 0] * X[:, 2]]),
}
ADAM = {"learning_rate_init": 0.01}
SGD = {"solver": "sgd", "learning_rate_init": 0.02}
SETTINGS = {
    "adam": ADAM,
    "adam, other numbers": ADAM | {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "alpha": 3.0},
    "one batch": ADAM | {"batch_size": "auto"},
    "in order": ADAM | {"shuffle": False},
    "two layers": ADAM | {"hidden_layer_sizes": (7, 5)},
    "early stopping": ADAM | {"early_stopping": True, "tol": 1e-3, "validation_fraction": 0.2, "max_iter": 30},
    "nesterov": SGD,
    "momentum": SGD | {"nesterovs_momentum": False},
    "no momentum": SGD | {"momentum": 0.0},
    "all momentum": SGD | {"momentum": 1.0, "learning_rate_init": 1e-4},
    "inverse scaling": SGD | {"learning_rate": "invscaling", "learning_rate_init": 0.3},
    "adaptive": SGD | {"learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 2, "max_iter": 150},
    "adaptive, early stopping": SGD | {"learning_rate": "adaptive", "early_stopping": True, "n_iter_no_change": 2},
    "until it ends": SGD | {"tol": 0.01, "n_iter_no_change": 3, "max_iter": 150},
}
COMMON = {"hidden_layer_sizes": (7,), "batch_size": 32, "max_iter": 15, "random_state": 3}  # iris: a smaller last batch


def both(kind, parameters, *data, **more):
    """scikit-learn's estimator and ours, fitted."""
    return [getattr(library, kind)(**parameters).fit(*data, **more) for library in (theirs, ours)]


def assert_same(one, other, tolerance=1e-8):
    assert type(one).__name__ == type(other).__name__
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "_no_improvement_count"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("loss_curve_", "loss_", "best_loss_", "validation_scores_", "best_validation_score_"):
        wanted, got = getattr(one, name), getattr(other, name)
        assert (wanted is None) == (got is None), name
        if wanted is not None:
            assert np.shape(wanted) == np.shape(got), name
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance, err_msg=name)
        if isinstance(wanted, np.floating):
            assert isinstance(got, np.floating), name
    for wanted, got in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert (wanted.shape, wanted.dtype) == (got.shape, got.dtype)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("data", DATA)
def test_the_numbers_are_scikit_learns(data, settings):
    kind, X, y = DATA[data]
    one, other = both(kind, COMMON | SETTINGS[settings], X, y)
    assert_same(one, other)
    if kind == "MLPClassifier":
        np.testing.assert_array_equal(other.predict(X), one.predict(X))
    assert other.score(X, y) == pytest.approx(one.score(X, y), rel=1e-10)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("data", DATA)
def test_every_activation(data, activation):
    kind, X, y = DATA[data]
    both_solvers = [both(kind, COMMON | {"activation": activation} | solver, X, y) for solver in (ADAM, SGD)]
    assert_same(*both_solvers[1])
    one, other = both_solvers[0]
    assert_same(one, other)
    if kind == "MLPClassifier":
        np.testing.assert_allclose(other.predict_proba(X), one.predict_proba(X), rtol=1e-9)
        np.testing.assert_allclose(other.predict_log_proba(X), one.predict_log_proba(X), rtol=1e-9, atol=1e-12)
        assert [*other.classes_] == [*one.classes_]
    else:
        np.testing.assert_allclose(other.predict(X), one.predict(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("targets", [np.round(np.exp(X[:, 0])), np.c_[y, np.abs(X[:, 0])]], ids=["one", "two"])
def test_poisson(targets, solver, backend):
    parameters = COMMON | {"loss": "poisson", "solver": solver, "learning_rate_init": 0.01}
    one = theirs.MLPRegressor(**parameters).fit(X, targets)
    other = ours.MLPRegressor(**parameters, backend=backend).fit(X, targets)
    assert_same(one, other)
    np.testing.assert_allclose(other.predict(X), one.predict(X), rtol=1e-9)


def test_poisson_wants_targets_that_are_not_negative():
    with pytest.raises(ValueError, match="must not be negative"):
        ours.MLPRegressor(loss="poisson").fit(X, X[:, 0])


@pytest.mark.parametrize(("backend", "early_stopping"), [("numba", False), ("numba", True), ("numpy", False)])
@pytest.mark.parametrize("data", DATA)
def test_weights(data, early_stopping, backend):
    kind, X, y = DATA[data]
    weights = np.random.RandomState(0).exponential(size=len(X))
    parameters = COMMON | ADAM | {"early_stopping": early_stopping, "alpha": 0.5}
    one = getattr(theirs, kind)(**parameters).fit(X, y, sample_weight=weights)
    assert_same(one, getattr(ours, kind)(**parameters, backend=backend).fit(X, y, sample_weight=weights))


def test_a_batch_without_weight_leaves_the_penalty():
    weights = np.r_[np.zeros(10), np.ones(10)]
    parameters = COMMON | {"solver": "sgd", "shuffle": False, "batch_size": 10, "max_iter": 2, "alpha": 0.3}
    model = ours.MLPClassifier(**parameters).fit(X[45:65], y[45:65] > 0, weights)
    assert np.isfinite(model.loss_curve_).all()


def test_targets_of_single_precision_are_scored_in_double():
    targets = np.c_[X[:, 0] + 100, y].astype(np.float32)
    assert_same(*both("MLPRegressor", COMMON | SETTINGS["early stopping"], X, targets))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("settings", ["adam", "inverse scaling"])
def test_partial_fits_go_on(data, settings):
    kind, X, y = DATA[data]
    models = [getattr(library, kind)(**COMMON | SETTINGS[settings]) for library in (theirs, ours)]
    classes = np.arange(4) if data == "multilabel" else np.unique(y)
    first = {"classes": classes} if kind == "MLPClassifier" else {}
    for start, stop in ((0, 70), (40, 88), (20, 81)):  # also of another number of batches
        for model in models:
            model.partial_fit(X[start:stop], y[start:stop], **first)
    assert_same(*models)


@pytest.mark.parametrize("settings", ["adam", "adaptive", "early stopping"])
def test_warm_starts_go_on(settings):
    one, other = both("MLPClassifier", COMMON | SETTINGS[settings] | {"warm_start": True, "max_iter": 7}, X, y)
    for _ in range(2):
        assert_same(one.fit(X, y), other.fit(X, y))


@pytest.mark.parametrize("before", [{"solver": "lbfgs"}, {"early_stopping": True}, {}])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_warm_start_without_a_record_that_goes_on_begins_one(before, early_stopping):
    """scikit-learn has an `AttributeError` or a `TypeError` where the other fit left no record, or another one."""
    model = ours.MLPClassifier(**COMMON | ADAM | before, warm_start=True).fit(X, y)
    model.set_params(solver="adam", early_stopping=early_stopping).fit(X, y)
    goes_on = before.get("solver") != "lbfgs" and before.get("early_stopping", False) == early_stopping
    assert len(model.loss_curve_) == model.n_iter_ + 15 * goes_on
    assert (model.best_loss_ is None) == (model.validation_scores_ is not None) == early_stopping
    model.set_params(early_stopping=False).partial_fit(X, y)
    assert model.best_loss_ is not None


def test_another_activation_holds_at_once():
    models = both("MLPClassifier", COMMON | ADAM | {"warm_start": True}, X, y)
    for model in models:
        model.set_params(activation="tanh")
    wanted = models[0].predict_proba(X)
    np.testing.assert_allclose(models[1].predict_proba(X), wanted, rtol=1e-8)
    np.testing.assert_allclose(pickle.loads(pickle.dumps(models[1])).predict_proba(X), wanted, rtol=1e-8)
    assert_same(*(model.fit(X, y) for model in models))


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 2), (2, 1)])
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_what_goes_on_has_the_outputs_that_it_had(before, after, how):
    model = ours.MLPRegressor(**COMMON, warm_start=True).fit(X, X[:, 0] if before == 1 else X[:, :before])
    wanted = model.predict(X)
    with pytest.raises(ValueError, match=f"y must have as many outputs .*, {before}, got {after}"):
        getattr(model, how)(X, X[:, 0] if after == 1 else X[:, :after])
    np.testing.assert_array_equal(model.predict(X), wanted)


@pytest.mark.parametrize("classes", [2, 3])
def test_what_goes_on_with_a_label_has_no_several(classes):
    model = ours.MLPClassifier(**COMMON).fit(X, y % classes)
    with pytest.raises(ValueError, match="several labels for each sample"):
        model.partial_fit(X, np.eye(3, dtype=int)[y, :classes])


def test_coefficients_of_ones_own_for_other_features_are_refused():
    model = ours.MLPRegressor(**COMMON).fit(X, y)
    model.coefs_[0] = model.coefs_[0][:3]
    for call in (model.predict, lambda X: model.partial_fit(X, y)):
        with pytest.raises(ValueError, match="X has 4 features, and coefs_ are for 3"):
            call(X)


def test_a_batch_that_is_too_large_is_said_in_scikit_learns_words():
    said = []
    for library in (theirs, ours):
        with pytest.warns(UserWarning, match="batch") as seen:
            library.MLPClassifier(**COMMON | {"batch_size": 151}).fit(X, y)
        said.append([str(warning.message) for warning in seen if "batch" in str(warning.message)])
    assert said[0] == said[1]


@pytest.mark.parametrize("limit", ["max_iter", "max_fun"])
def test_lbfgs_that_does_not_converge_is_said_in_scikit_learns_words(limit):
    said = []
    for library in (theirs, ours):
        with pytest.warns(ConvergenceWarning) as seen:
            library.MLPRegressor(**COMMON | {"solver": "lbfgs", limit: 3}).fit(X, y)
        said.append([str(warning.message) for warning in seen if warning.category is ConvergenceWarning])
    assert said[0] == said[1]


def test_a_generator_is_left_where_scikit_learn_leaves_it():
    rngs = [np.random.RandomState(5) for _ in range(2)]
    for library, rng in zip((theirs, ours), rngs, strict=True):
        library.MLPClassifier(**COMMON | {"random_state": rng, "max_iter": 60, "tol": 0.05}).fit(X, y)
    assert rngs[0].randint(2**31) == rngs[1].randint(2**31)


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_losses_of_samples_that_are_quite_wrong(load):
    """Raw numbers in the thousands: probabilities of 0 and 1, whose logarithm scikit-learn clips."""
    parameters, data = {"random_state": 0, "max_iter": 10}, load(return_X_y=True)
    one, other = both("MLPClassifier", parameters, *data)
    assert one.loss_curve_[0] > 2
    assert_same(one, other)
    assert_same(one, ours.MLPClassifier(**parameters, backend="numpy").fit(*data))


@pytest.mark.parametrize("threads", [1, 2])
def test_large_batches_with_weights(threads):
    """More than a tile of the compiled core in each, dealt out to threads."""
    images, digits = load_digits(return_X_y=True)
    weights = np.random.RandomState(1).exponential(size=len(images))
    parameters = {"hidden_layer_sizes": (20,), "batch_size": 700, "alpha": 10.0, "random_state": 0, "max_iter": 4}
    one = theirs.MLPClassifier(**parameters).fit(images, digits, weights)
    assert_same(one, ours.MLPClassifier(**parameters, threads=threads).fit(images, digits, weights))


def test_digits():
    images, digits = load_digits(return_X_y=True)
    one, other = both("MLPClassifier", {"hidden_layer_sizes": (16,), "random_state": 0, "max_iter": 25}, images, digits)
    assert_same(one, other)


@pytest.mark.parametrize("data", [*DATA, "counts"])
def test_lbfgs_gets_as_low(data):
    kind, X, y = ("MLPRegressor", *DATA["multiclass"][1:]) if data == "counts" else DATA[data]
    parameters = {"hidden_layer_sizes": (5,), "solver": "lbfgs", "alpha": 0.1, "random_state": 0, "max_iter": 5}
    if data == "counts":
        parameters["loss"] = "poisson"
    one, other = both(kind, parameters, X, y)
    assert other.n_iter_ == one.n_iter_ == 5
    assert other.loss_ == pytest.approx(one.loss_, rel=1e-5)  # a few steps, which rounding has not parted yet
    assert not hasattr(other, "loss_curve_")


def test_without_a_hidden_layer_it_is_a_regression():
    for kind, X, y in (DATA["multiclass"], DATA["regression"]):
        assert_same(*both(kind, COMMON | ADAM | {"hidden_layer_sizes": ()}, X, y))


@pytest.mark.parametrize("activation", ["logistic", "tanh"])
def test_without_a_hidden_layer_first_weights_go_by_the_activation_all_the_same(activation):
    parameters = COMMON | ADAM | {"hidden_layer_sizes": (), "activation": activation, "max_iter": 2}
    assert_same(*both("MLPClassifier", parameters, X, y))


def test_a_warm_start_that_finds_nothing_better_ends_where_scikit_learns_does():
    parameters = COMMON | ADAM | {"early_stopping": True, "warm_start": True, "max_iter": 30}
    models = both("MLPClassifier", parameters, X, y)
    for more in (2, 1):  # epochs, none of which is better than the best of the 30
        for model in models:
            best = model.best_validation_score_
            assert model.set_params(max_iter=more).fit(X, y).best_validation_score_ == best
        assert_same(*models)


@pytest.mark.parametrize("kind", ["<U9", object])
def test_classes_are_as_wide_as_scikit_learns(kind):
    one, other = both("MLPClassifier", COMMON | ADAM | {"max_iter": 2}, X, np.array(["a", "bcd", "e"])[y].astype(kind))
    np.testing.assert_array_equal(other.classes_, one.classes_, strict=True)
    np.testing.assert_array_equal(other.predict(X), one.predict(X), strict=True)


def test_labels_of_text():
    one, other = both("MLPClassifier", COMMON | ADAM, X, np.array(["ash", "birch", "cedar"])[y])
    assert_same(one, other)
    np.testing.assert_array_equal(other.predict(X), one.predict(X))
    assert other.predict(X).dtype == one.predict(X).dtype


def test_float32_is_close():
    one, other = both("MLPClassifier", COMMON | ADAM, X.astype(np.float32), y)
    assert_same(one, other, 1e-3)


# Samples and labels that are taken as they are, and others, at which scikit-learn looks: in what form they come is to
# make no difference.
SAMPLES = {
    "as they are": X,
    "in columns": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=1)[:, ::2],
    "big-endian": X.astype(">f8"),
    "list": X.tolist(),
    "subclass": X.view(type("Samples", (np.ndarray,), {})),
}
THREE = {
    "numbers": y,
    "unsigned": y.astype(np.uint8),
    "text": np.array(["ash", "birch", "cedar"])[y],
    "objects": np.array(["ash", "birch", "cedar"], object)[y],
    "whole floats": y.astype(float),
    "list": y.tolist(),
    "column": y[:, None],
    "two classes": y == 1,
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("labels", THREE)
@pytest.mark.parametrize("samples", ["as they are", "list"])
def test_labels_of_every_kind(samples, labels):
    """Classes, answers and accuracy are scikit-learn's, whose `accuracy_score` is asked, or not."""
    y = THREE[labels]
    one, other = both("MLPClassifier", COMMON | ADAM | {"max_iter": 3}, SAMPLES[samples], y)
    assert_same(one, other)
    np.testing.assert_array_equal(other.classes_, one.classes_, strict=True)
    assert other.n_features_in_ == one.n_features_in_ == 4
    for weight in (None, np.arange(len(X))):
        assert other.score(X, y, weight) == one.score(X, y, weight)
    assert other.score(X[:40], y[:40]) == one.score(X[:40], y[:40])
    for few in (y[:-1], y[:0]):
        for model in (one, other):
            with pytest.raises(ValueError, match="inconsistent numbers of samples"):
                model.score(X, few)


def test_labels_that_no_fit_has_seen_are_wrong_answers():
    one, other = both("MLPClassifier", COMMON | ADAM, X, y)
    for seen in (y + 1, y.astype(np.uint8), y == 1, np.where(y == 2, 9, y)):
        assert other.score(X, seen) == one.score(X, seen)
    of_text = []
    for model in (one, other):
        try:
            of_text.append(model.score(X, THREE["text"]))
        except ValueError as error:  # since scikit-learn 1.9
            of_text.append(str(error))
    assert of_text[0] == of_text[1]
    one, other = both("MLPClassifier", COMMON | ADAM, X, THREE["text"])
    assert other.score(X, np.char.upper(THREE["text"])) == one.score(X, np.char.upper(THREE["text"])) == 0


@pytest.mark.parametrize("form", SAMPLES)
def test_samples_in_every_form_give_the_same_bits(form):
    wanted, got = (ours.MLPClassifier(**COMMON | ADAM).fit(samples, y) for samples in (X.copy(), SAMPLES[form]))
    assert got.n_features_in_ == 4
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(wanted, name), getattr(got, name), strict=True):
            np.testing.assert_array_equal(one, other)


def spoilt(value):
    samples = X.copy()
    samples[7, 2] = value
    return samples


REFUSED = {
    "not a number": (spoilt(np.nan), y, ValueError, "contains NaN"),
    "infinite": (spoilt(-np.inf), y, ValueError, "contains infinity"),
    "too few labels": (X, y[:-1], ValueError, "inconsistent numbers of samples"),
    "no samples": (X[:0], y[:0], ValueError, "minimum of 1 is required"),
    "no features": (X[:, :0], y, ValueError, "minimum of 1 is required"),
    "one row": (X[0], y[:4], ValueError, "Expected 2D array"),
    "bytes": (X, np.array([b"ash", b"birch", b"cedar"])[y], TypeError, "bytes"),
    "labels in a cube": (X, y[:, None, None], ValueError, "dim 3"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_data_are_refused_as_scikit_learn_does(what):
    samples, labels, error, message = REFUSED[what]
    for library in (theirs, ours):
        with pytest.raises(error, match=message):
            library.MLPClassifier(**COMMON).fit(samples, labels)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("targets", [y.astype(str), y.astype("S1"), y.astype("M8[s]"), sparse.csr_matrix(np.c_[y, y])])
def test_targets_that_are_no_numbers_are_refused(targets, loss):
    for early_stopping in (False, True):
        with pytest.raises(TypeError, match="y must be a dense array of numbers, got"):
            ours.MLPRegressor(loss, **COMMON, early_stopping=early_stopping).fit(X, targets)


def test_names_of_features_are_forgotten():
    """Those of a fit before, once the samples have none."""
    import pandas

    for library in (theirs, ours):
        model = library.MLPClassifier(**COMMON | {"max_iter": 1}).fit(pandas.DataFrame(X, columns=[*"abcd"]), y)
        assert model.feature_names_in_.tolist() == [*"abcd"]
        assert not hasattr(model.fit(X, y), "feature_names_in_")


def test_parameters_and_defaults_are_scikit_learns_in_order():
    import inspect

    for kind in ("MLPClassifier", "MLPRegressor"):
        wanted = inspect.signature(getattr(theirs, kind)).parameters
        got = inspect.signature(getattr(ours, kind)).parameters
        mine = [name for name in got if name not in ("class_weight", "threads", "backend")]
        assert [name for name in mine if name in wanted] == [*wanted]
        for name, parameter in wanted.items():
            assert got[name].default == parameter.default, name
        assert [*got][len(mine) :] == [name for name in ("class_weight", "threads", "backend") if name in got]


def test_attributes_are_scikit_learns():
    for data in ("multiclass", "regression"):
        kind, X, y = DATA[data]
        one, other = both(kind, COMMON, X, y)
        public = {name for name in vars(one) if name.endswith("_") and not name.startswith("_")}
        assert public == {name for name in vars(other) if name.endswith("_") and not name.startswith("_")}


WRONG = [{"solver": "rmsprop"}, {"activation": "swish"}, {"threads": 0}, {"backend": "c"}, {"tol": -1}]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_parameters_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        ours.MLPClassifier(**wrong).fit(X, y)


@pytest.mark.parametrize(
    ("fine", "wrong"), [({"shuffle": True}, {"shuffle": 1}), ({"tol": 0.0}, {"tol": -1.0}), ({}, {"batch_size": [9]})]
)
def test_what_was_fine_says_nothing_about_what_is_equal_or_comes_after(fine, wrong):
    """Parameters are validated once for their types and values: 1 is not True."""
    model = ours.MLPClassifier((2,), max_iter=1).set_params(**fine)
    for _ in range(2):
        model.fit(X, y)
    model.set_params(**wrong)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of MLPClassifier must be"):
            model.fit(X, y)
    model.set_params(**{name: getattr(ours.MLPClassifier(), name) for name in wrong}).fit(X, y)


def test_half_a_unit_is_an_error():
    for sizes in ((2.5,), (4, None), [[3]]):
        with pytest.raises(TypeError, match="integer"):
            ours.MLPClassifier(sizes).fit(X, y)


def test_divergence_is_an_error():
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="non-finite parameter weights"):
        ours.MLPRegressor(activation="identity", solver="sgd", learning_rate_init=1e3, random_state=0).fit(1e3 * X, y)


@pytest.mark.parametrize(
    ("rate", "kept"), [(0.3, "of the best validation score, -1"), (1e9, "with which training began")]
)
def test_divergence_with_early_stopping_is_told_and_the_best_is_kept(rate, kept):
    """scikit-learn goes on with NaN, and ends at the same parameters."""
    settings = COMMON | {"solver": "sgd", "learning_rate_init": rate, "early_stopping": True, "activation": "identity"}
    with np.errstate(all="ignore"):
        wanted = theirs.MLPRegressor(**settings).fit(X, y)
    model = ours.MLPRegressor(**settings)
    with pytest.warns(fx.DivergenceWarning, match=rf"in epoch \d+, .* {kept}.* smaller learning_rate_init") as seen:
        model.fit(X, y)
    assert [warning.filename for warning in seen] == [__file__]  # once, and it names the user's line
    assert f"epoch {model.n_iter_}," in str(seen[0].message)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_scores_) < wanted.n_iter_
    assert np.isnan(model.validation_scores_[-1])
    assert np.isnan(model.loss_)
    assert {type(model.loss_), *map(type, model.loss_curve_)} == {np.float64}
    for got, there in zip(model.coefs_, wanted.coefs_, strict=True):
        np.testing.assert_allclose(got, there, rtol=1e-9)


def test_verbose_says_what_scikit_learn_does(capsys):
    printed = []
    for library in (theirs, ours):
        library.MLPClassifier(**COMMON | SETTINGS["adaptive"], verbose=True).fit(X, y)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "Setting learning rate" in printed[1]
