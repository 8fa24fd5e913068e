"""What is recorded of a run, as a mapping and as columns."""

import math
import pickle

import numpy as np
import pytest
from support import X, Y

import fastxor as fx

NET = fx.Network([2, 3, 1])
COLUMNS = ["iteration", "epoch", "cost", "validation_cost", "gradient_norm", "learning_rate", "seconds"]


def train(**arguments):
    return fx.train(NET, X, Y, **{"optimizer": fx.SGD(0.25), "random_state": 0} | arguments)


def test_a_mapping_from_iteration_to_cost(core):
    run = train(iterations=250, backend=core)
    history = run.history
    assert list(history) == [0, 100, 200]
    assert len(history) == 3
    assert 100 in history
    assert 50 not in history
    assert dict(history) == history == dict(history.items())
    assert history != {0: 1.0}
    assert history[0] == history.cost[0]
    with pytest.raises(KeyError) as raised:
        history[1]
    assert not hasattr(raised.value, "__notes__")


@pytest.mark.parametrize(("key", "column"), [("validation_cost", "validation_cost"), (slice(2), "cost")])
def test_where_a_column_was_meant(key, column):
    with pytest.raises((KeyError, TypeError)) as raised:
        train(iterations=1).history[key]
    assert raised.value.__notes__[-1].endswith(f"the column is an array, history.{column}")


def test_columns(core):
    history = train(iterations=250, batch_size=2, backend=core).history
    columns = history.to_dict()
    assert list(columns) == COLUMNS
    for name, column in columns.items():
        assert isinstance(column, np.ndarray)
        np.testing.assert_array_equal(column, getattr(history, name))
        assert column.shape == (3,)
        assert column.dtype.kind == ("i" if name in ("iteration", "epoch") else "f")
    assert columns["epoch"].tolist() == [0, 50, 100]
    assert columns["learning_rate"].tolist() == [0.25] * 3
    assert np.isnan(columns["validation_cost"]).all()
    assert np.isnan(columns["gradient_norm"]).all()
    assert columns["seconds"][0] == 0
    assert (np.diff(columns["seconds"]) > 0).all()
    assert columns["seconds"][-1] < 60


def test_of_no_steps():
    history = train(iterations=0).history
    assert history == {}
    assert repr(history) == "History(0 records)"
    assert all(column.shape == (0,) for column in history.to_dict().values())


def test_it_is_printed_in_a_line():
    run = train(iterations=10_000, interval=1)
    assert len(repr(run)) < 100
    assert repr(run).startswith("Result(2-3-1 network, 10000 iterations, cost ")
    assert repr(run.history).startswith("History(10000 records, iteration 0 to 9999, cost ")
    assert repr(train(iterations=1)).startswith("Result(2-3-1 network, 1 iteration, cost ")
    assert repr(train(iterations=1).history).startswith("History(1 record, ")
    assert repr(train(iterations=50)).endswith(" at iteration 0)")  # and not from this cost to the same
    assert repr(train(epochs=1)).endswith(" at iteration 1)")
    assert repr(train(iterations=0)) == "Result(2-3-1 network, 0 iterations)"


def test_it_survives_a_pickle():
    run = train(iterations=250)
    again = pickle.loads(pickle.dumps(run))
    assert again.history == run.history
    assert repr(again) == repr(run)
    for name, column in run.history.to_dict().items():
        np.testing.assert_array_equal(again.history.to_dict()[name], column)
    np.testing.assert_array_equal(again.predict(X), run.predict(X))


# ---------------------------------------------------------------- what a result computes


def test_a_result_computes_with_its_parameters(core):
    run = train(iterations=20)
    np.testing.assert_array_equal(run.forward(X, backend=core), NET.forward(run.parameters, X, backend=core))
    assert run.cost(X, Y, backend=core) == NET.cost(run.parameters, X, Y, backend=core)
    assert math.isclose(run.cost(X.tolist(), Y.tolist()), run.cost(X, Y))
    with pytest.raises(ValueError, match="X must have n_x = 2 rows"):
        run.forward(X.T)
