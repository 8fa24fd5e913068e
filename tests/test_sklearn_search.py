"""The searches: results are those of scikit-learn's search over the same estimator."""

import signal
import threading
import time
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import loguniform
from sklearn import model_selection
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import fastxor as fx
import fastxor.sklearn
from fastxor import choices
from fastxor.sklearn import GridSearchCV, MLPClassifier, MLPRegressor, RandomizedSearchCV, batching, cohorts
from fastxor.state import Job

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

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


# ---------------------------------------------------------------- one population

SMALL = {"max_iter": 40, "random_state": 0, "learning_rate_init": 0.02}
KINDS = [
    {},
    {"solver": "sgd"},
    {"solver": "sgd", "momentum": 0.0, "learning_rate": "invscaling"},
    {"solver": "sgd", "momentum": 0.0, "learning_rate": "invscaling", "backend": "numpy", "max_iter": 6},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.01, "n_iter_no_change": 2, "learning_rate_init": 0.3},
    {"solver": fx.RMSprop(0.01)},
    {"early_stopping": True, "n_iter_no_change": 3},
    {"shuffle": False, "alpha": 0.0},
    {"batch_size": 16, "activation": "tanh"},
    {"tol": 0.01, "n_iter_no_change": 2},
    {"n_iter_no_change": np.inf, "dtype": "float32"},
]


class Spy:
    """A scorer that keeps what it is given."""

    def __init__(self):
        self.seen = {}

    def __call__(self, model, X, y):
        key = repr(sorted(model.get_params().items(), key=str)), X.tobytes()
        assert key not in self.seen
        self.seen[key] = model
        return model.score(X, y)


def both(model, grid, X, y, met, **settings):
    """Our search, with two jobs, and scikit-learn's; and in pairs the fitted estimators of both."""
    spies = Spy(), Spy()
    got = GridSearchCV(model, grid, scoring=spies[0], n_jobs=2, **settings).fit(X, y)
    count = sum(met)
    wanted = model_selection.GridSearchCV(model, grid, scoring=spies[1], **settings).fit(X, y)
    assert sum(met) == count
    assert spies[0].seen.keys() == spies[1].seen.keys()
    return got, wanted, [(spies[0].seen[key], spies[1].seen[key]) for key in spies[0].seen]


@pytest.fixture
def met(monkeypatch):
    """How many fits were trained together, each time."""
    for name, number in (("MAX_SEARCH_BATCH", 200), ("MAX_SEARCH_WORK", 10_000), ("MIN_SEARCH_STEPS", 1)):
        monkeypatch.setattr(choices, name, number)
    counts, train = [], cohorts.train

    def counted(courses, *rest):
        counts.append(len(courses))
        return train(courses, *rest)

    monkeypatch.setattr(cohorts, "train", counted)
    return counts


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("place", ["the search", "a grid", "an array in a list of grids"])
def test_the_block_of_a_backend_holds_in_every_fit(place, n_jobs):
    seen = []

    class Noting(MLPClassifier):
        def fit(self, X, y):
            seen.append(fx.get_backend())
            return super().fit(X, y)

    model, holder = Noting((3,), max_iter=2), Pipeline([("mlp", LogisticRegression())])
    search, grid = {
        "the search": (model, {"alpha": [0.1, 1.0]}),
        "a grid": (holder, {"mlp": [model], "mlp__alpha": [0.1, 1.0]}),
        "an array in a list of grids": (holder, [{"mlp": np.array([model, model])}]),
    }[place]
    with fx.use_backend("numpy"):
        GridSearchCV(search, grid, cv=2, n_jobs=n_jobs).fit(X, y)
    assert seen == ["numpy"] * 5


@pytest.mark.parametrize("grid", [3, {"alpha": 0.1}, {"alpha": "abc"}, [3], {"alpha": np.float64(2)}, {3: [1]}, {}])
def test_grids_that_are_none_are_refused_as_scikit_learn_does(grid):
    said = []
    for library in (model_selection, fastxor.sklearn):
        for name in ("GridSearchCV", "RandomizedSearchCV"):
            try:
                getattr(library, name)(MODEL, grid, cv=2, error_score="raise").fit(X, y)
            except Exception as error:
                said.append((type(error), str(error)))
            else:
                said.append(None)
    assert said[:2] == said[2:]


@pytest.mark.parametrize(
    ("samples", "nbytes"),
    [
        (np.zeros((30, 4)), 960),
        (np.zeros((30, 4), np.float32), 480),
        (np.zeros((30, 4), np.int8), 960),  # which a fit makes numbers of double precision
        (sparse.csr_matrix((30, 4)), 960),
        ([[0.0] * 4] * 30, 960),
        (["a", "b" * 10**6] * 15, 240),
        ([], 0),
        (None, 0),
    ],
)
def test_how_many_fits_wait_goes_by_what_the_samples_take_once_they_are_dense(samples, nbytes):
    assert fastxor.sklearn.search._bytes(samples) == nbytes


# ---------------------------------------------------------------- what is left behind


class Hushed(MLPClassifier):
    """Fits wait for each other within its block."""

    def fit(self, X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            return super().fit(X, y)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_filters_of_warnings_are_those_before(met, n_jobs, fails):
    def score(model, X, y):
        if fails:
            raise RuntimeError("no score")
        return 1.0

    show, filters = warnings.showwarning, list(warnings.filters)
    search = GridSearchCV(
        Hushed((4,), **SMALL), {"alpha": [1e-4, 1.0]}, scoring=score, cv=3, n_jobs=n_jobs, error_score="raise"
    )
    with nullcontext() if not fails else pytest.raises(RuntimeError, match="no score"):
        search.fit(X, y)
    assert sum(met) == 6
    assert not searching()
    assert warnings.filters == filters
    assert warnings.showwarning is show


def searching():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastxor-")]


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("sizes", [(4,), (60,)])
def test_an_error_ends_all_that_go_on(sizes, is_nested):
    """Also those who wait for nobody, and would never end."""
    endless = MLPClassifier(sizes, batch_size=32, random_state=0, max_iter=10**6, n_iter_no_change=10**6)
    model, name = endless, "beta_1"
    if is_nested:
        model, name = GridSearchCV(endless, {"alpha": [0.1]}, cv=2, error_score="raise"), "estimator__beta_1"
    with pytest.raises(ValueError, match="'beta_1' parameter"):
        GridSearchCV(model, {name: [0.9, -1.0]}, cv=2, n_jobs=4, error_score="raise").fit(X, y)
    until = time.perf_counter() + 10
    while searching():
        assert time.perf_counter() < until
        time.sleep(0.01)


@pytest.mark.parametrize("kind", KINDS, ids=repr)
def test_fits_that_meet_are_those_of_each_by_itself(kind, met):
    """With folds of two sizes, and two kinds of networks."""
    kind = dict(kind)
    x = X.astype(kind.pop("dtype", "float64"))[:143]
    tight = x.dtype == np.float64
    model = MLPClassifier((4,), **SMALL | kind)
    grid = {"hidden_layer_sizes": [(4,), (3, 2)], "random_state": [0, 1], "n_iter_no_change": [2, 30]}
    if "n_iter_no_change" in kind:
        grid["n_iter_no_change"] = [kind["n_iter_no_change"]]
    got, wanted, pairs = both(model, grid, x, y[:143], met, cv=3)
    assert met == [len(pairs)]
    for one, other in pairs:
        assert one.n_iter_ == other.n_iter_
        assert one.t_ == other.t_
        assert one._no_improvement_count == other._no_improvement_count
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-9 if tight else 1e-3)
        for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9 if tight else 1e-3)
        assert one.validation_scores_ == other.validation_scores_
        memories = one._optimizer.memory, other._optimizer.memory
        np.testing.assert_allclose(*(memory.rows for memory in memories), atol=1e-9 if tight else 1e-3)
        assert one._optimizer.learning_rate == other._optimizer.learning_rate
    assert_same(got, wanted)


def test_regressors_of_several_outputs_meet(met):
    targets = X[:, :2] @ [[1.0, -1.0], [0.5, 2.0]]
    model = MLPRegressor(hidden_layer_sizes=(4,), **SMALL)
    _got, _wanted, pairs = both(model, {"alpha": [0.0, 0.1, 10.0]}, X, targets, met, cv=3)
    assert met == [9]
    for one, other in pairs:
        np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-9)


def test_every_fold_of_a_pipeline_is_scaled_by_itself(met):
    pipe = make_pipeline(StandardScaler(), MLPClassifier((4,), **SMALL))
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "standardscaler__with_mean": [True, False]}
    got, wanted, _pairs = both(pipe, grid, X, y, met, cv=3)
    assert met == [12]
    assert_same(got, wanted)


def test_a_search_in_small_parts_and_by_one_is_the_same(met):
    grid = {"alpha": [1e-4, 1e-2, 1.0]}
    model = MLPClassifier((4,), **SMALL)
    whole = GridSearchCV(model, grid, cv=3, n_jobs=2, return_train_score=True).fit(X, y)
    parts = GridSearchCV(model, grid, cv=3, pre_dispatch=2, return_train_score=True).fit(X, y)
    assert met[0] == 9
    assert max(met[1:]) <= 2
    assert sum(met) == 18
    assert_same(parts, whole)


def test_who_does_not_meet(met):
    """Large networks, weights, L-BFGS: as by themselves, to the bit."""
    model = MLPClassifier((200,), max_iter=2, random_state=0)
    got, wanted, _pairs = both(model, {"alpha": [1e-4, 1.0]}, X, y, met, cv=2)
    assert_same(got, wanted)
    grid = {"solver": ["lbfgs"], "alpha": [1e-4, 1.0]}
    got, wanted, _pairs = both(MLPClassifier((4,), max_iter=5, random_state=0), grid, X, y, met, cv=2)
    assert_same(got, wanted)
    GridSearchCV(MLPClassifier((4,), **SMALL), {"alpha": [1.0]}, cv=2).fit(X, y, sample_weight=np.ones(len(X)))
    assert met == []


@pytest.mark.parametrize(
    ("sizes", "steps", "batch", "together"),
    [
        ([4, 3], 4000, 32, True),
        ([4, 3], 3999, 32, False),
        ([4, 3], 4000, 33, False),
        ([4, 15], 4000, 32, True),  # 2,400 products
        ([4, 16], 4000, 32, False),
    ],
)
def test_those_wait_for_whom_it_pays(sizes, steps, batch, together):
    job = Job(fx.Network(sizes), X.T, np.zeros((sizes[-1], len(X))), fx.Adam(), steps, batch)
    assert cohorts.is_batchable(job) == together


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_go_on_than_there_are_jobs(met, jobs, monkeypatch):
    """Small networks that wait, and large ones that do not, in one search."""
    lock, going, most = threading.Lock(), [0], [0]

    def count(change):
        with lock:
            going[0] += change
            most[0] = max(most[0], going[0])

    def do(self, func, future, do=batching.BatchingBackend._run_task):
        def counted():
            count(1)
            time.sleep(0.003)  # for others to begin, if they may
            result = func()
            count(-1)
            return result

        do(self, counted, future)

    def train_batched(self, *given, train_batched=batching.BatchingBackend.train_batched):
        count(-1)
        theta = train_batched(self, *given)
        count(1)
        return theta

    monkeypatch.setattr(batching.BatchingBackend, "_run_task", do)
    monkeypatch.setattr(batching.BatchingBackend, "train_batched", train_batched)
    grid = {"hidden_layer_sizes": [(4,), (100, 100), (5,)], "alpha": [1e-4, 1e-2]}
    GridSearchCV(MLPClassifier(**SMALL), grid, cv=2, n_jobs=jobs, refit=False).fit(X, y)
    assert met == [8]
    assert (going[0], most[0]) == (0, jobs)


def test_the_best_one_is_fitted_by_itself(met):
    search = GridSearchCV(MLPClassifier((4,), **SMALL), {"alpha": [1e-4, 1.0]}, cv=2).fit(X, y)
    assert met == [4]
    alone = clone(search.best_estimator_).fit(X, y)
    np.testing.assert_array_equal(search.best_estimator_.coefs_[0], alone.coefs_[0])


@pytest.mark.filterwarnings("ignore:One or more of the test scores")
def test_one_that_blows_up_spoils_nobody(met):
    grid = {"learning_rate_init": [0.01, 1e300]}
    model = MLPRegressor(hidden_layer_sizes=(4,), solver="sgd", max_iter=12, random_state=0)
    with pytest.warns(Warning, match="fits failed"):
        got, wanted, _pairs = both(model, grid, X, X[:, 0], met, cv=3)
    assert met == [6]
    assert np.isnan(got.cv_results_["mean_test_score"]).tolist() == [False, True]
    assert_close_scores(got, wanted)


def assert_close_scores(got, wanted):
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(got.cv_results_[name], wanted.cv_results_[name], rtol=1e-9)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_ends_all_that_wait(monkeypatch):
    """At once, and no thread of the search is left."""
    began = threading.Event()
    take = cohorts._CohortTraining._take

    def interrupted(self, *given):
        if not began.is_set():
            began.set()
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        take(self, *given)

    monkeypatch.setattr(cohorts._CohortTraining, "_take", interrupted)
    monkeypatch.setattr(choices, "SEARCH_SAMPLES_PER_CALL", 1)
    endless = MLPClassifier((4,), batch_size=32, random_state=0, max_iter=10**6, n_iter_no_change=10**6)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(endless, {"alpha": [1e-4, 1.0]}, cv=2, n_jobs=2).fit(X, y)
    assert began.is_set()
    until = time.perf_counter() + 10
    while searching():
        assert time.perf_counter() < until
        time.sleep(0.01)


def test_an_error_in_the_population_is_that_of_its_fits(met, monkeypatch):
    def broken(*given):
        raise RuntimeError("no epochs today")

    monkeypatch.setattr(cohorts._CohortTraining, "_take", broken)
    model = MLPClassifier((4,), **SMALL)
    with pytest.raises(RuntimeError, match="no epochs today"):
        GridSearchCV(model, {"alpha": [1e-4, 1.0]}, cv=2, error_score="raise").fit(X, y)
