"""Some steps and then some more have the bits of all of them at once, wherever a run is cut."""

import os
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from engine_cases import FULL_BATCHES, OPTIMIZERS
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_same_dict

import fastxor as fx
from fastxor.backends.fused import choices, specialised

DRAW = np.random.RandomState(5)
NETS = [fx.Network([2, 3, 1]), fx.Network([2, 5, 3], "relu", "softmax")]


def data(net, m, dtype=np.float64):
    draw = np.random.RandomState(m)
    Y = np.eye(net.sizes[-1])[:, draw.randint(net.sizes[-1], size=m)] if net.output == "softmax" else draw.rand(1, m)
    return draw.randn(2, m).astype(dtype), Y.astype(dtype)


def assert_same_run(one, other):
    """Bit for bit, with what the optimizer remembers and all that was recorded but the time it took."""
    assert one.iterations == other.iterations
    assert dict(one.parameters).keys() == dict(other.parameters).keys()
    for name, array in one.parameters.items():
        np.testing.assert_array_equal(array, other.parameters[name])
    for kept, wanted in zip(one._state.memory, other._state.memory, strict=True):
        np.testing.assert_array_equal(kept, wanted)
    assert one.history == other.history
    for name in ("iteration", "epoch", "validation_cost", "gradient_norm", "learning_rate"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(other.history, name))
    assert one._settings.keys() == other._settings.keys()


def through_a_file(run):
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.npz")
        run.save(path)
        return fx.load(path)


WAYS = {"as it is": lambda run: run, "pickled": lambda run: pickle.loads(pickle.dumps(run)), "saved": through_a_file}


@st.composite
def runs(draw):
    """A network, data, and how to train on them."""
    net, m = draw(st.sampled_from(NETS)), draw(st.integers(1, 70))
    batch_size = draw(st.sampled_from([None, 1, 4, 7, 64, 100]))
    order = {"batch_size": batch_size, "shuffle": draw(st.booleans())}
    order["drop_last"] = draw(st.booleans()) and (batch_size or 1) <= m
    length = {} if draw(st.booleans()) else {"interval": draw(st.integers(1, 9))}
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    fitting = [name for name in OPTIMIZERS if not (batch_size and name in FULL_BATCHES)]
    optimizer = OPTIMIZERS[draw(st.sampled_from(fitting))]
    X, Y = data(net, m, dtype)
    X = np.asfortranarray(X) if draw(st.booleans()) else X
    return (net, X, Y), {"optimizer": optimizer, **order}, length


@pytest.mark.takes_seconds
@settings(deadline=None, max_examples=600)
@given(
    job=runs(), cuts=st.lists(st.integers(0, 25), min_size=1, max_size=3), epochs=st.sampled_from([None, 1, 4]),
    core=st.sampled_from(["numpy", "numba"]), threads=st.lists(st.sampled_from([None, 1, 2]), min_size=4, max_size=4),
    way=st.sampled_from(["as it is", *WAYS]),
)  # fmt: skip
def test_a_run_may_be_cut_anywhere(job, cuts, epochs, core, threads, way):
    """Recorded every few steps, or at the end of each epoch."""
    (net, X, Y), arguments, interval = job
    if epochs:
        whole = fx.train(net, X, Y, epochs=epochs, random_state=3, backend=core, **arguments)
        length = {"epochs": 0}
    else:
        whole = fx.train(net, X, Y, iterations=sum(cuts), random_state=3, backend=core, **arguments, **interval)
        length = {"iterations": 0, **interval}
    run = fx.train(net, X, Y, random_state=3, backend=core, threads=threads[0], **arguments, **length)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # hundreds would be felt
        for cut, number in zip([*cuts[1:], whole.iterations], threads[1:], strict=False):
            steps = min(cut, whole.iterations - run.iterations)
            run = fx.train(net, X, Y, resume=WAYS[way](run), iterations=steps, threads=number, backend=core)
    assert_same_run(run, whole)


def test_threads_may_change_where_they_matter(core):
    net = fx.Network([3, 40, 2], "relu", "identity")
    X, Y = DRAW.randn(3, 700), DRAW.randn(2, 700)
    for batch_size in (None, 300):
        arguments = {"optimizer": fx.Adam(0.01), "batch_size": batch_size, "random_state": 0, "backend": core}
        whole = fx.train(net, X, Y, iterations=12, interval=1, threads=1, **arguments)
        run = fx.train(net, X, Y, iterations=4, interval=1, threads=2, **arguments)
        run = fx.train(net, X, Y, resume=run, iterations=3, threads=3, backend=core)
        assert_same_run(fx.train(net, X, Y, resume=run, iterations=5, threads=1, backend=core), whole)


def test_a_kernel_of_the_exact_sizes_may_take_over(monkeypatch):
    """As it does in a long run: each part of the run is one that the general engine would have."""
    for worth in ("MIN_SECONDS_TO_COMPILE", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_CALL"):
        monkeypatch.setattr(choices, worth, 0.0)
    net = fx.Network([2, 2, 1])
    X, Y = data(net, 4)
    special = fx.train(net, X, Y, iterations=60, random_state=0, backend="numba")
    monkeypatch.setattr(specialised, "fits", lambda *_: False)
    whole = fx.train(net, X, Y, iterations=100, random_state=0, backend="numba")
    assert_same_run(fx.train(net, X, Y, resume=special, iterations=40, backend="numba"), whole)


# ---------------------------------------------------------------- how far


NET = NETS[0]
X, Y = data(NET, 11)
ADAM = {"optimizer": fx.Adam(0.03), "batch_size": 4, "random_state": 0}


def resumed(run, **arguments):
    return fx.train(NET, X, Y, resume=run, **arguments)


def test_epochs_are_so_many_more(core):
    run = fx.train(NET, X, Y, epochs=2, backend=core, **ADAM)
    run = resumed(run, epochs=3, backend=core)
    assert run.iterations == 15
    assert_same_run(run, fx.train(NET, X, Y, epochs=5, backend=core, **ADAM))


def test_without_a_length_a_run_goes_to_where_it_was_to_end(monkeypatch):
    whole = fx.train(NET, X, Y, iterations=30, interval=4, **ADAM)
    part = fx.train(NET, X, Y, iterations=13, interval=4, **ADAM)
    part._settings["iterations"] = 30  # as one that was interrupted
    assert_same_run(resumed(part), whole)
    assert resumed(whole).iterations == 1030


def test_what_is_resumed_stays_as_it_is(core):
    run = fx.train(NET, X, Y, iterations=10, interval=4, backend=core, **ADAM)
    kept = pickle.loads(pickle.dumps(run))
    for steps in (0, 5):
        again = resumed(run, iterations=steps, interval=1, backend=core)
        assert_same_run(run, kept)
        assert not np.shares_memory(again.parameters["W1"], run.parameters["W1"])
    assert list(again.history) == [0, 4, 8, 10, 11, 12, 13, 14]


def test_seconds_add_up():
    run = fx.train(NET, X, Y, iterations=10, interval=1, **ADAM)
    again = resumed(run, iterations=10)
    assert (np.diff(again.history.seconds) > 0).all()
    np.testing.assert_array_equal(again.history.seconds[:10], run.history.seconds)


def test_changed_parameters_are_gone_on_from():
    run = fx.train(NET, X, Y, iterations=10, **ADAM)
    run.parameters["W1"] = np.zeros((3, 2))
    assert not through_a_file(run).parameters["W1"].any()
    np.testing.assert_array_equal(resumed(run, iterations=0).parameters["W1"], 0)
    run.parameters["W1"] = np.full((3, 2), np.nan)
    with pytest.raises(ValueError, match=r'parameters\["W1"\] must be finite'):
        resumed(run)
    with pytest.raises(ValueError, match=r'parameters\["W1"\] must be finite'):
        through_a_file(run)


@pytest.mark.parametrize(("dtype", "other"), [("float32", "float64"), ("float64", "float32")])
def test_changed_parameters_have_the_dtype_of_the_run(dtype, other):
    """As of a mask in float64 on weights in float32."""
    data = X.astype(dtype), Y.astype(dtype)
    run = fx.train(NET, *data, iterations=10, **ADAM)
    run.parameters.update({name: array.astype(other) for name, array in run.parameters.items()})
    wanted = {name: array.astype(dtype) for name, array in run.parameters.items()}
    again = through_a_file(run)
    assert_same_dict(again.parameters, wanted, rtol=0)
    ends = [fx.train(NET, *data, resume=one, iterations=5) for one in (run, again)]
    assert_same_run(*ends)
    assert ends[0].parameters["W1"].dtype == ends[0]._state.memory.rows.dtype == dtype


# ---------------------------------------------------------------- refused


REFUSED = {
    "optimizer": (fx.SGD(0.3), ValueError, r"optimizer comes from the run that is resumed, Adam\(.*; got SGD\("),
    "batch_size": (5, ValueError, "batch_size comes from the run that is resumed, 4, and stays; got 5"),
    "shuffle": (False, ValueError, "shuffle comes from the run that is resumed, True, .*; got False"),
    "drop_last": (True, ValueError, "drop_last comes from the run that is resumed, False, .*; got True"),
    "parameters": (NET.initialize(0), ValueError, "parameters must not be given with resume"),
    "random_state": (0, ValueError, "random_state must not be given with resume"),
    "network": (fx.Network([2, 4, 1]), ValueError, "network must be that of the run that is resumed"),
    "resume": ("run.npz", TypeError, "resume must be a Result, as train and fx.load return it, got str"),
    "X": (X[:, :9], ValueError, r"Y must have shape|X must be that of the run that is resumed, of 11 samples"),
    "iterations": (2**63 - 5, ValueError, "iterations must be at most"),
    "epochs": (2**62, ValueError, "epochs must be at most"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    wrong, error, message = REFUSED[name]
    run = fx.train(NET, X, Y, iterations=10, **ADAM)
    with pytest.raises(error, match=message):
        fx.train(**{"network": NET, "X": X, "Y": Y, "resume": run, name: wrong})


def test_data_of_another_size_or_dtype_are_refused():
    run = fx.train(NET, X, Y, iterations=10, **ADAM)
    with pytest.raises(ValueError, match=r"X must be that of the run .*, of 11 samples; got \(2, 9\)"):
        fx.train(NET, X[:, :9], Y[:, :9], resume=run)
    single = fx.train(NET, X.astype(np.float32), Y, iterations=10, **ADAM)
    with pytest.raises(ValueError, match="X must be float32, as in the run that is resumed; got float64"):
        resumed(single)
    assert resumed(run, iterations=1).parameters["W1"].dtype == np.float64


def test_what_the_run_has_may_be_said_again():
    run = fx.train(NET, X, Y, iterations=10, **ADAM)
    again = resumed(run, iterations=5, optimizer=fx.Adam(0.03), batch_size=4, shuffle=True, drop_last=False)
    assert_same_run(again, fx.train(NET, X, Y, iterations=15, **ADAM))
