"""scikit-learn's callbacks, which it has from version 1.9 on, with our estimators."""

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from test_sklearn_checks import QUICK, X, y

from fastxor.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_scores_of_each_epoch():
    monitor = ScoringMonitor(scoring="accuracy")
    model = MLPClassifier(**QUICK).set_callbacks(monitor).fit(X, y)
    (log,) = [monitor.get_logs()] if not isinstance(monitor.get_logs(), list) else monitor.get_logs()
    scores = [row["accuracy"] for row in log.data if row["task_name"] == "epoch"]
    assert len(scores) == model.n_iter_
    assert scores[-1] == model.score(X, y)
    plain = MLPClassifier(**QUICK).fit(X, y)
    assert model.loss_curve_ == plain.loss_curve_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_progress_bars(solver, capfd):
    MLPClassifier(**QUICK, solver=solver).set_callbacks(ProgressBar()).fit(X, y)
    out = capfd.readouterr().out
    assert "MLPClassifier - fit" in out
    assert "100%" in out


@pytest.mark.parametrize(("call", "epochs"), [("fit", QUICK["max_iter"]), ("partial_fit", 1)])
def test_a_callback_knows_how_many_epochs_there_may_be(call, epochs):
    class Look:
        def setup(self, estimator, context):
            self.epochs = context.max_subtasks

        def on_fit_task_begin(self, estimator, context):
            pass

        on_fit_task_end = teardown = on_fit_task_begin

    look = Look()
    getattr(MLPRegressor(**QUICK).set_callbacks(look), call)(X, y)
    assert look.epochs == epochs


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_can_end_training(solver):
    class Stop:
        ends = 0

        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            self.ends += context.task_name == "epoch"
            self.predicted = fitted_estimator.predict(X)
            return self.ends == 4

        def teardown(self, estimator, context):
            self.over = True

    stop = Stop()
    model = MLPClassifier(**QUICK, solver=solver).set_callbacks(stop).fit(X, y)
    assert (stop.ends, model.n_iter_, stop.over) == (4, 4, True)
    np.testing.assert_array_equal(stop.predicted, model.predict(X))
