"""A population's members are what `train` makes of each of them, and have their own bits whoever is beside them."""

import os
import pickle
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxor as fx
from fastxor import one_hot, population_run
from fastxor import population as training
from fastxor.backends import reference
from fastxor.backends.fused import choices
from fastxor.population_loop import PopulationLoop
from fastxor.time_slice import TimeSlice

XOR = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0.0, 1, 1, 0]])
TINY = fx.Network([2, 2, 1])
DRAW = np.random.RandomState(0)
X = DRAW.randn(3, 40)
Y = (X[:1] * X[1:2] > 0).astype(float)
NET = fx.Network([3, 4, 1])


def flat(population):
    return np.concatenate(
        [np.reshape(array, (len(population), -1)) for array in population.parameters.values()], axis=1
    )


def assert_same(one, other, history=True):
    """Bit for bit."""
    np.testing.assert_array_equal(flat(one), flat(other))
    np.testing.assert_array_equal(one.iterations, other.iterations)
    if history:
        np.testing.assert_array_equal(one.history.cost, other.history.cost)
        np.testing.assert_array_equal(one.history.validation_cost, other.history.validation_cost)
        np.testing.assert_array_equal(one.history.iteration, other.history.iteration)


def assert_like_train(population, backend, arguments, data=(X, Y), **own):
    """Each member is what `train` makes of its seed; `own` are arguments that are its own."""
    net = population.network
    for i, member in enumerate(population):
        mine = {name: values[i] for name, values in own.items()}
        seed = int(population.seeds[i])
        run = fx.train(net, *data, random_state=seed, backend=backend, **arguments | mine)
        assert member.iterations == run.iterations
        np.testing.assert_allclose(net.flatten(member.parameters), net.flatten(run.parameters), rtol=1e-6, atol=1e-9)
        assert list(member.history) == list(run.history)
        np.testing.assert_allclose(member.history.cost, run.history.cost, rtol=1e-7)
        np.testing.assert_allclose(member.history.validation_cost, run.history.validation_cost, rtol=1e-7)
        assert member._settings.keys() == run._settings.keys()
        for name, value in run._settings.items():
            if name != "optimizer":
                np.testing.assert_array_equal(member._settings[name], value)


# ---------------------------------------------------------------- the same as train


CASES = {
    "descent": {"optimizer": fx.SGD(0.5), "iterations": 300},
    "momentum": {"optimizer": fx.SGD(0.1, 0.9, nesterov=True), "iterations": 150, "l2": 0.01, "interval": 7},
    "adam": {"optimizer": fx.Adam(0.02), "epochs": 12, "batch_size": 8, "clip_norm": 0.5},
    "adamw": {"optimizer": fx.AdamW(0.02), "epochs": 5, "batch_size": 7, "shuffle": False, "drop_last": True},
    "rmsprop": {"optimizer": fx.RMSprop(0.01, momentum=0.5), "iterations": 60, "batch_size": 16, "interval": 5},
    "rprop": {"optimizer": fx.Rprop(), "iterations": 25, "l1": 0.001},
    "schedule": {"optimizer": fx.Adam(fx.schedules.cosine(0.05, steps=90)), "iterations": 100},
}


@pytest.mark.parametrize("name", CASES)
def test_members_are_what_train_makes_of_them(core, name):
    population = fx.train_population(NET, X, Y, members=3, random_state=1, backend=core, **CASES[name])
    assert_like_train(population, core, CASES[name])


def test_numbers_weights_and_seeds_of_their_own(core):
    numbers = {"learning_rate": [0.01, 0.03, 0.05], "beta1": [0.9, 0.8, 0.0], "epsilon": [1e-8, 1e-3, 1e-5]}
    weights = DRAW.randint(0, 3, (3, 40)).astype(float)
    asked = {"epochs": 6, "batch_size": 9, "validation": 0.25}
    own = {"l2": [0.0, 0.1, 0.01], "clip_norm": [0.1, 1.0, 10.0], "sample_weight": weights}
    population = fx.train_population(
        NET, X, Y, optimizer=fx.Adam(**numbers), random_state=[7, 7, 2**32 - 1], backend=core, **asked, **own
    )
    optimizers = [fx.Adam(rate, beta, epsilon=small) for rate, beta, small in zip(*numbers.values(), strict=True)]
    assert population.seeds.tolist() == [7, 7, 2**32 - 1]
    assert [member._settings["optimizer"] for member in population] == optimizers
    assert_like_train(population, core, asked, optimizer=optimizers, **own)


def test_data_of_their_own(core):
    Xs, Ys = DRAW.randn(3, 3, 20), DRAW.rand(3, 1, 20)
    asked = {"iterations": 50, "optimizer": fx.SGD(0.1)}
    population = fx.train_population(NET, Xs, Ys, random_state=0, backend=core, **asked)
    again = fx.train_population(NET, Xs, Ys[:, 0], random_state=0, backend=core, **asked)
    assert_same(population, again)
    for i in range(3):
        run = fx.train(NET, Xs[i], Ys[i], random_state=int(population.seeds[i]), backend=core, **asked)
        np.testing.assert_allclose(flat(population)[i], NET.flatten(run.parameters), rtol=1e-8)


def test_classes_in_numbers_and_balanced(core):
    net, numbers = fx.Network([3, 3], output="softmax"), DRAW.randint(0, 3, 40)
    asked = {"class_weight": "balanced", "iterations": 40}
    population = fx.train_population(net, X, numbers, members=2, random_state=0, backend=core, **asked)
    assert_like_train(population, core, asked, (X, numbers))
    own = np.stack([numbers, (numbers + 1) % 3])
    of_each = fx.train_population(net, X, own, members=2, random_state=0, backend=core, **asked)
    same = fx.train_population(net, X, np.stack([one_hot(n, 3) for n in own]), random_state=0, backend=core, **asked)
    assert_same(of_each, same)
    np.testing.assert_array_equal(flat(of_each)[0], flat(population)[0])
    assert of_each.predict(X).shape == (2, 40)


def test_float32(core):
    x, y = X.astype(np.float32), Y.astype(np.float32)
    population = fx.train_population(NET, x, y, members=2, random_state=0, iterations=50, backend=core)
    assert flat(population).dtype == np.float32
    run = fx.train(NET, x, y, random_state=int(population.seeds[1]), iterations=50, backend=core)
    np.testing.assert_allclose(flat(population)[1], NET.flatten(run.parameters), rtol=1e-4, atol=1e-5)


def test_levenberg_marquardt():
    net = fx.Network([3, 3, 1], output="identity")
    asked = {"optimizer": fx.LevenbergMarquardt(), "iterations": 12, "interval": 1}
    population = fx.train_population(net, X, Y, members=2, random_state=0, **asked)
    assert_like_train(population, None, asked)


def test_what_train_stops_at_stops_a_member(core):
    asked = {"optimizer": fx.Adam(0.05), "iterations": 600, "interval": 20, "target_cost": 0.3}
    population = fx.train_population(NET, X, Y, members=4, random_state=0, backend=core, **asked)
    assert_like_train(population, core, asked)
    assert population.converged.any()
    assert (population.iterations[population.converged] < 600).all()
    np.testing.assert_array_equal(
        population.iterations_to_target[population.converged], population.iterations[population.converged]
    )
    at_each = {**asked, "interval": 1}
    population = fx.train_population(NET, X, Y, members=2, random_state=0, backend=core, **at_each)
    assert_like_train(population, core, at_each)


def test_early_stopping_is_each_members_own(core):
    stop = fx.EarlyStopping(patience=3)
    asked = {"optimizer": fx.Adam(0.1), "epochs": 60, "batch_size": 8, "validation": 0.3, "early_stopping": stop}
    population = fx.train_population(NET, X, Y, members=4, random_state=0, backend=core, **asked)
    assert_like_train(population, core, asked)
    assert len(set(population.iterations.tolist())) > 1
    full = {"optimizer": fx.Adam(0.1), "iterations": 400, "interval": 9, "validation": 0.3, "early_stopping": stop}
    population = fx.train_population(NET, X, Y, members=3, random_state=0, backend=core, **full)
    assert_like_train(population, core, full)


@pytest.mark.parametrize("length", [{"epochs": 4, "batch_size": 8}, {"iterations": 40, "interval": 9}])
def test_who_goes_on_has_waited_before(core, length):
    """Early stopping in a run that was cut: as `train` does it, best states and all."""
    stop = fx.EarlyStopping(patience=4)
    (name, count), rest = next(iter(length.items())), dict([*length.items()][1:])
    asked = {"optimizer": fx.Adam(0.1), "validation": 0.3, "backend": core, "early_stopping": stop} | rest
    begun = fx.train_population(NET, X, Y, members=3, random_state=1, **asked, **{name: count})
    more = {"early_stopping": stop, "backend": core, name: 10 * count}
    gone_on = fx.train_population(NET, X, Y, resume=begun, **more)
    for i, member in enumerate(gone_on):
        run = fx.train(NET, X, Y, random_state=int(begun.seeds[i]), **asked, **{name: count})
        run = fx.train(NET, X, Y, resume=run, **more)
        assert member.iterations == run.iterations
        np.testing.assert_allclose(NET.flatten(member.parameters), NET.flatten(run.parameters), rtol=1e-5, atol=1e-7)
        assert member.history.iteration.tolist() == run.history.iteration.tolist()
        np.testing.assert_allclose(member.history.validation_cost, run.history.validation_cost, rtol=1e-6)
    assert gone_on.iterations.max() < 11 * begun.iterations.max()


@pytest.mark.parametrize("length", [{"epochs": 4, "batch_size": 8}, {"iterations": 40, "interval": 9}])
def test_who_goes_on_need_not_be_validated_again(core, length, tmp_path):
    (name, count), rest = next(iter(length.items())), dict([*length.items()][1:])
    stop = {"early_stopping": fx.EarlyStopping(patience=2)}
    asked = {"optimizer": fx.Adam(0.3), "validation": (X[:, :9], Y[:, :9]), "backend": core} | stop | rest
    begun = fx.train_population(NET, X, Y, members=5, random_state=1, **asked, **{name: 5 * count})
    assert (begun.iterations < (begun.history.iteration[-1])).any()  # who has gone back to a better state
    begun.save(tmp_path / "population.npz")
    gone_on = fx.train_population(NET, X, Y, resume=begun, backend=core, **{name: count})
    assert np.isnan(gone_on.validation_cost).all()
    for i, member in enumerate(gone_on):
        run = fx.train(NET, X, Y, random_state=int(begun.seeds[i]), **asked, **{name: 5 * count})
        run = fx.train(NET, X, Y, resume=run, backend=core, **{name: count})
        np.testing.assert_allclose(NET.flatten(member.parameters), NET.flatten(run.parameters), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(member.history.validation_cost, run.history.validation_cost, rtol=1e-6)
    loaded = fx.load(tmp_path / "population.npz", fx.Population)
    assert_same(fx.train_population(NET, X, Y, resume=loaded, backend=core, **{name: count}), gone_on)


def test_folds_are_which_samples_to_validate_on(core):
    folds = np.arange(40) % 5 == np.arange(5)[:, None]
    asked = {"iterations": 80, "optimizer": fx.Adam(0.02)}
    population = fx.train_population(NET, X, Y, validation=folds, random_state=0, backend=core, **asked)
    for i, fold in enumerate(folds):
        held = X[:, fold], Y[:, fold]
        seed = int(population.seeds[i])
        run = fx.train(NET, X[:, ~fold], Y[:, ~fold], validation=held, random_state=seed, backend=core, **asked)
        np.testing.assert_allclose(flat(population)[i], NET.flatten(run.parameters), rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(population[i].history.validation_cost, run.history.validation_cost, rtol=1e-8)
        assert np.isclose(population.validation_cost[i], run.cost(*held))
        assert np.isclose(population.cost[i], run.cost(X[:, ~fold], Y[:, ~fold]))


# ---------------------------------------------------------------- the same bits


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_member_has_its_bits_alone_and_in_any_company(core, batch_size):
    weights = DRAW.randint(0, 3, (19, 40)).astype(float)
    rates = np.linspace(0.01, 0.5, 19)
    asked = {"iterations": 40, "batch_size": batch_size, "interval": 3, "backend": core}

    def some(which, **more):
        arguments = {"sample_weight": weights[which], "random_state": seeds[which]} | asked | more
        return fx.train_population(NET, X, Y, optimizer=fx.SGD(rates[which]), **arguments)

    seeds = np.arange(19)
    everybody = some(np.arange(19))
    for which in ([3], [18, 2, 11], list(range(18, -1, -1))):
        assert_same(some(np.array(which)), everybody[which])
    assert_same(some(np.arange(19), threads=2), everybody)
    assert_same(some(np.arange(19), threads=1), everybody)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("batch_size", [None, 8])
def test_what_others_have_of_their_own_changes_no_bit(core, dtype, batch_size):
    """Neighbours with gaps in their samples, penalties and momentum, beside one with none of these."""
    x, y, seeds = X.astype(dtype), Y.astype(dtype), np.arange(4)
    weights = DRAW.randint(0, 3, (4, 40)).astype(float)
    weights[1] = 2
    l2, momentum, rates = [0.1, 0.0, 0.0, 0.2], [0.0, 0.0, 0.9, 0.5], [0.1, 0.2, 0.3, 0.4]
    asked = {"iterations": 30, "batch_size": batch_size, "interval": 7, "backend": core}
    together = fx.train_population(
        NET, x, y, sample_weight=weights, l2=l2, optimizer=fx.SGD(rates, momentum), random_state=seeds, **asked
    )
    for i in range(4):
        own = {"l2": l2[i], "optimizer": fx.SGD(rates[i], momentum[i]), "random_state": seeds[[i]], **asked}
        alone = fx.train_population(NET, x, y, members=1, sample_weight=None if i == 1 else weights[i], **own)
        assert_same(alone, together[[i]])
        np.testing.assert_array_equal(alone.cost, together.cost[[i]])


def test_a_larger_population_begins_with_the_same(core):
    few = fx.train_population(TINY, *XOR, members=2, random_state=3, iterations=30, backend=core)
    many = fx.train_population(TINY, *XOR, members=9, random_state=3, iterations=30, backend=core)
    assert_same(few, many[:2])
    assert len(set(many.seeds.tolist())) == 9
    other = fx.train_population(TINY, *XOR, members=9, random_state=4, iterations=0, backend=core)
    assert not set(many.seeds.tolist()) & set(other.seeds.tolist())


def test_random_states(core):
    def start(state):
        return flat(fx.train_population(TINY, *XOR, members=2, random_state=state, iterations=0, backend=core))

    np.random.seed(5)
    first = start(None)
    np.random.seed(5)
    np.testing.assert_array_equal(first, start(None))
    np.testing.assert_array_equal(start(np.random.default_rng(1)), start(np.random.default_rng(1)))
    assert not np.array_equal(start(np.random.RandomState(1)), start(np.random.RandomState(2)))
    np.testing.assert_array_equal(start(pd.Series([5, 2])), start([5, 2]))
    np.testing.assert_array_equal(start(4)[1], TINY.flatten(TINY.initialize(int(start_seeds(4)[1]))))


def start_seeds(state):
    return fx.train_population(TINY, *XOR, members=2, random_state=state, iterations=0).seeds


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_a_run_may_be_cut_anywhere(data):
    batch_size = data.draw(st.sampled_from([None, 7]))
    length = "epochs" if data.draw(st.booleans()) else "iterations"
    asked = {"optimizer": fx.Adam(0.03), "batch_size": batch_size, "backend": "numpy"}
    asked |= {"sample_weight": np.arange(120).reshape(3, 40) % 4} if data.draw(st.booleans()) else {"members": 3}
    asked |= {"validation": 0.2} if data.draw(st.booleans()) else {}
    first, then = data.draw(st.integers(0, 9)), data.draw(st.integers(0, 9))
    whole = fx.train_population(NET, X, Y, random_state=0, **{length: first + then}, **asked)
    begun = fx.train_population(NET, X, Y, random_state=0, **{length: first}, **asked)
    gone_on = fx.train_population(
        NET, X, Y, resume=pickle.loads(pickle.dumps(begun)), **{length: then}, backend="numpy"
    )
    assert_same(gone_on, whole)
    assert begun.iterations.max() <= gone_on.iterations.max()


def test_a_member_goes_on_in_train(core):
    asked = {"optimizer": fx.Adam(0.02), "epochs": 4, "batch_size": 8, "backend": core}
    weights = DRAW.randint(0, 3, (3, 40)).astype(float)
    population = fx.train_population(NET, X, Y, sample_weight=weights, random_state=0, **asked)
    run = fx.train(NET, X, Y, resume=population[1], epochs=3, backend=core)
    whole = fx.train_population(NET, X, Y, sample_weight=weights, random_state=0, **asked | {"epochs": 7})
    np.testing.assert_allclose(NET.flatten(run.parameters), flat(whole)[1], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(run.history.cost, whole[1].history.cost, rtol=1e-8)
    assert run.history.iteration[-1] == whole[1].iterations


def test_files(core, tmp_path):
    stop = fx.EarlyStopping(patience=50)
    asked = {"optimizer": fx.SGD([0.1, 0.2], [0.0, 0.9]), "validation": 0.2, "early_stopping": stop, "backend": core}
    population = fx.train_population(NET, X, Y, sample_weight=1 + Y[0], random_state=0, iterations=120, **asked)
    population.save(tmp_path / "population.npz")
    again = fx.load(tmp_path / "population.npz")
    assert_same(population, again)
    assert repr(again) == repr(population)
    for name in ("cost", "validation_cost", "converged", "diverged", "seeds", "iterations_to_target"):
        np.testing.assert_array_equal(getattr(again, name), getattr(population, name))
    more = {"iterations": 30, "early_stopping": stop, "backend": core}
    assert_same(
        fx.train_population(NET, X, Y, resume=again, **more), fx.train_population(NET, X, Y, resume=population, **more)
    )
    with np.load(tmp_path / "population.npz") as arrays:
        np.testing.assert_array_equal(arrays["1.W1"][0], population[1].parameters["W1"])


@pytest.mark.parametrize("name", ["seeds", "W1", "state.completed", "members", "history.cost"])
def test_a_file_that_is_not_whole_is_refused(tmp_path, name):
    path = tmp_path / "population.npz"
    fx.train_population(TINY, *XOR, members=2, random_state=0, iterations=10, backend="numpy").save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = arrays[name][:0]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="is not a whole run of fastxor"):
        fx.load(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("penalties", np.nan, "'penalties' must not be negative"),
        ("sample_weight", -1, "'sample_weight' must not be negative, nor 0 for all of a member"),
        ("numbers", -1, "learning_rate must be finite and not negative, got -1.0 at 1"),
        ("samples", 0, "'samples' must be at least 1, got 0"),
        ("samples", 5, "'history.steps' must be those of an epoch of its samples"),
        ("samples", 1, "'history.steps' must be those of an epoch of its samples"),
        ("members", 0, "'members' must rise"),
        ("orders", -1, "'orders' must be at least 0, got -1"),
        ("state.completed", -1, "'state.completed' must be at least 0, got -1"),
        ("state.completed", 2**62, "'state.completed' must not be above 'iterations'"),
    ],
)
def test_a_file_with_values_that_there_are_not_is_refused(tmp_path, name, value, message):
    path = tmp_path / "population.npz"
    asked = {"random_state": 0, "iterations": 10, "batch_size": 3, "backend": "numpy"}
    fx.train_population(TINY, *XOR, sample_weight=np.ones((2, 4)), **asked).save(path)
    fx.load(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name][1] = value
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=f"is not a whole run of fastxor: .*{message}"):
        fx.load(path)


# ---------------------------------------------------------------- who is in, and who is out


def test_a_member_that_diverges_spoils_nobody(core):
    rates = np.array([0.01, 1e200, 0.02, 0.03])
    wide = np.array([[1e3, -1e3, 2e3]]), np.array([[1.0, 2.0, 3.0]])
    net = fx.Network([1, 1], output="identity")
    with pytest.warns(fx.DivergenceWarning, match="1 of 4 members diverged: 1 ") as caught:
        population = fx.train_population(
            net, *wide, optimizer=fx.SGD(rates * 1e-7), random_state=0, iterations=50, interval=10, backend=core
        )
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert population.diverged.tolist() == [False, True, False, False]
    assert population.iterations[1] < 50
    assert np.isfinite(flat(population)).all()
    calm = fx.train_population(
        net, *wide, optimizer=fx.SGD(rates[[0, 2, 3]] * 1e-7), random_state=population.seeds[[0, 2, 3]],
        iterations=50, interval=10, backend=core,
    )  # fmt: skip
    assert_same(population[[0, 2, 3]], calm)
    alone = {"optimizer": fx.SGD(rates[1] * 1e-7), "iterations": 50, "random_state": int(population.seeds[1])}
    with pytest.warns(fx.DivergenceWarning):
        run = fx.train(net, *wide, backend=core, **alone)
    assert run.iterations == population.iterations[1]


def test_a_checkpoint_has_where_members_began(tmp_path):
    """What ends ten times above that diverged, wherever the run was gone on with."""
    asked = {"members": 3, "optimizer": fx.SGD(2.0), "batch_size": 20, "iterations": 40, "interval": 10}
    asked |= {"parameters": {name: np.stack([value * 1e-3] * 3) for name, value in NET.initialize(0).items()}}
    asked |= {"checkpoint": tmp_path / "population.npz", "random_state": 0, "backend": "numpy"}

    def stop(moment):
        if moment.iteration.max() == 20:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fx.train_population(NET, X, Y, callback=stop, **asked)
    begun = caught.value.result._state.first
    assert np.isfinite(begun).all()
    ended = fx.train_population(NET, X, Y, **asked)
    np.testing.assert_array_equal(ended._state.first, begun)
    again = fx.train_population(NET, X, Y, resume=ended, iterations=1, backend="numpy")  # a run that begins there
    assert (again._state.first != begun).all()


def test_a_checkpoint_of_a_population_that_has_ended_is_that_population(tmp_path):
    asked = {"members": 4, "optimizer": fx.Adam([0.001, 0.01, 0.1, 0.3]), "iterations": 60, "interval": 5}
    asked |= {"validation": 0.25, "early_stopping": fx.EarlyStopping(2), "random_state": 0, "backend": "numpy"}
    ended, again = (fx.train_population(NET, X, Y, checkpoint=tmp_path / "population.npz", **asked) for _ in range(2))
    assert_same(ended, again)
    for one, other in zip(ended, again, strict=True):
        np.testing.assert_array_equal(one._best.theta, other._best.theta)


def test_a_checkpoint_wants_the_seeds_that_it_has(tmp_path):
    asked = {"members": 2, "iterations": 1, "checkpoint": tmp_path / "population.npz", "backend": "numpy"}
    fx.train_population(NET, X, Y, **asked)
    with pytest.raises(ValueError, match="with other seeds, which random_state=None draws anew each time: remove"):
        fx.train_population(NET, X, Y, **asked)


def test_one_that_blows_up_is_named():
    with pytest.warns(fx.DivergenceWarning, match="1 of 2 members diverged: 1 "):
        fx.train_population(
            fx.Network([1, 1], output="identity"), [[1.0, 3.0]], [[1.0, 2.0]], optimizer=fx.SGD([0.01, 1.0]),
            random_state=0, iterations=20, backend="numpy",
        )  # fmt: skip


@pytest.mark.parametrize("how", ["target", "early stopping"])
def test_those_that_are_out_cost_no_more_steps(monkeypatch, how):
    """The backend is asked for the steps of those who are still in, and for one more of each that stops."""
    asked, take = [], reference.Session.advance

    def counted(self, steps, first, interval):
        asked.append(steps)
        return take(self, steps, first, interval)

    monkeypatch.setattr(reference.Session, "advance", counted)
    rule = {"target_cost": 0.3}
    if how == "early stopping":
        rule = {"validation": (X, 1 - Y), "early_stopping": fx.EarlyStopping(patience=3, restore_best=False)}
    population = fx.train_population(
        NET, X, Y, members=30, random_state=0, optimizer=fx.Adam(0.05), iterations=900, interval=64, backend="numpy",
        **rule,
    )  # fmt: skip
    needed = int(population.iterations.sum())
    assert needed < 0.9 * 30 * 900
    assert needed <= sum(asked) <= needed + 30


def ending(reason, out):
    """Arguments of a run in which the members where `out` is True end at its beginning, and the others at its end."""
    K, net = len(out), fx.Network([2, 2, 1], output="identity")
    parameters = {name: np.zeros((K, *array.shape)) for name, array in net.initialize(0).items()}
    parameters["b2"][:] = 5.0
    asked = {"parameters": parameters, "iterations": 8000, "interval": 1000, "threads": 1, "backend": "numba"}
    rates = np.full(K, 1e-6)
    if reason == "target":
        parameters["b2"][out] = 0.5
        asked["target_cost"] = 0.2
    elif reason == "early stopping":
        rates[out] = 1e-300
        asked |= {"early_stopping": fx.EarlyStopping(patience=1, restore_best=False), "validation": XOR}
    else:
        rates[out] = 1e100
    return (net, *XOR), {"optimizer": fx.SGD(rates), **asked}


@pytest.mark.filterwarnings("ignore::fastxor.DivergenceWarning")
@pytest.mark.parametrize("reason", ["target", "early stopping", "divergence"])
@pytest.mark.parametrize(("of", "within"), [(2, 0.08), (10, 0.3)], ids=["half", "a tenth"])
def test_time_follows_those_who_are_still_in(monkeypatch, reason, of, within):
    """One of two, or of ten, is still in: so much of the time is enough, but for what it costs to begin with each.

    Of what each takes of the processor, the least of some rounds is what it takes where nobody interferes.
    """
    for name in ("MIN_SECONDS_TO_CALL", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_UNROLL"):  # one kernel all the time
        monkeypatch.setattr(choices, name, np.inf)
    K = 2048 if reason == "early stopping" else 1024  # to look at validation data is felt
    least, share = [np.inf, np.inf], 0.0
    for number in range(40):
        for some in (0, 1):
            call, asked = ending(reason, (np.arange(K) % of > 0) & (some == 1))
            began = time.process_time()
            population = fx.train_population(*call, **asked)
            least[some] = min(least[some], time.process_time() - began)
        share = population.iterations.sum() / population.iterations.max() / len(population)
        if number > 0 and abs(least[1] / least[0] / share - 1) <= within:
            break
    assert share < 0.6
    np.testing.assert_allclose(least[1] / least[0], share, rtol=within)


@pytest.mark.parametrize("how", ["here", "shards", "resumed", "checkpoint"])
def test_a_target_for_each_member(core, tmp_path, how):
    targets = np.linspace(0.05, 0.69, 12)
    asked = {"optimizer": fx.Adam(0.05), "random_state": 0, "interval": 20, "backend": core}
    if how == "shards":
        asked["executor"] = ThreadPoolExecutor(2)
    if how == "checkpoint":
        asked["checkpoint"] = tmp_path / "population.npz"
        other = {**asked, "iterations": 200, "target_cost": targets[::-1]}
        fx.train_population(NET, X, Y, **other)
        with pytest.raises(ValueError, match="of another call"):
            fx.train_population(NET, X, Y, iterations=200, target_cost=targets, **asked)
        asked["checkpoint"] = tmp_path / "another.npz"
    population = fx.train_population(NET, X, Y, iterations=200, target_cost=targets, **asked)
    if how == "resumed":
        begun = fx.train_population(NET, X, Y, iterations=90, target_cost=targets, **asked)
        begun.save(tmp_path / "population.npz")
        more = {name: value for name, value in asked.items() if name not in ("optimizer", "random_state")}
        left = fx.load(tmp_path / "population.npz", fx.Population)[np.isnan(begun.iterations_to_target)]
        population = fx.train_population(
            NET, X, Y, resume=left, target_cost=targets[np.isnan(begun.iterations_to_target)], iterations=110, **more
        )
        targets = targets[np.isnan(begun.iterations_to_target)]
        assert 0 < len(targets) < 12
    assert population.converged.any()
    assert not population.converged.all()
    for i, target in enumerate(targets):
        alone = fx.train_population(
            NET, X, Y, optimizer=fx.Adam(0.05), random_state=[int(population.seeds[i])], iterations=200,
            interval=20, backend=core, target_cost=float(target),
        )  # fmt: skip
        np.testing.assert_array_equal(flat(population)[i], flat(alone)[0])
        np.testing.assert_array_equal(population.iterations_to_target[i], alone.iterations_to_target[0])
        assert population.converged[i] == alone.converged[0]


@pytest.mark.parametrize("length", [{"interval": 2, "iterations": 100}, {"batch_size": 16, "epochs": 60}])
def test_a_population_that_goes_on_has_the_target_that_it_is_given(core, length):
    """As `train`: who is there takes no step, and what is asked of the others is asked of their records, too."""
    asked = {"optimizer": fx.Adam(0.05), "random_state": [5, 6], "target_cost": 0.5, "backend": core}
    begun = fx.train_population(NET, X, Y, **asked, **length)
    assert begun.converged.all()
    left = {name: 20 for name in ("iterations", "epochs") if name in length}
    for target, ends in [([0.5, 0.5], [True, True]), ([0.6, 0.0], [True, False])]:
        again = fx.train_population(NET, X, Y, resume=begun, target_cost=target, backend=core, **left)
        runs = [fx.train(NET, X, Y, resume=begun[i], target_cost=target[i], backend=core, **left) for i in (0, 1)]
        assert again.iterations.tolist() == [run.iterations for run in runs]
        assert (again.iterations == begun.iterations).tolist() == ends
        assert again.converged.tolist() == ends
    costs = begun.history.cost[:, 0]
    at = begun.history.iteration[np.argmax(costs <= 0.6)]
    assert again.iterations_to_target[0] == at < begun.iterations_to_target[0]
    assert not fx.train_population(NET, X, Y, resume=begun, backend=core, **left).converged.any()


def test_what_a_target_refuses():
    asked = {"members": 3, "iterations": 1}
    for value, message in [
        ([0.1, 0.2], "target_cost must have an entry for each of the 3 members, got 2"),
        ([0.1, -0.2, 0.3], "target_cost must be finite and not negative, got -0.2 at 1"),
        ([[0.1, 0.2, 0.3]], r"target_cost, as an array, must have shape \(members,\), got shape \(1, 3\)"),
        (["0.1"] * 3, "target_cost"),
        (float("nan"), "target_cost"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            fx.train_population(TINY, *XOR, target_cost=value, **asked)


def test_records_stand_with_their_members_where_some_stop(core):
    rates = np.full(9, 0.1)
    rates[[3, 8]] = 1e-300  # who gets no better, the last one among them
    asked = {
        "validation": XOR, "early_stopping": fx.EarlyStopping(patience=1), "iterations": 4, "interval": 1,
        "backend": core,
    }  # fmt: skip
    population = fx.train_population(TINY, *XOR, optimizer=fx.SGD(rates), random_state=0, **asked)
    for i, rate in enumerate(rates):
        seed = population.seeds[[i]]
        alone = fx.train_population(TINY, *XOR, optimizer=fx.SGD(rate), members=1, random_state=seed, **asked)
        assert len(population[i].history) == len(alone.history) == (2 if i in (3, 8) else 4)
        np.testing.assert_array_equal(population.history.cost[: len(alone.history), i], alone.history.cost[:, 0])


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_how_a_run_is_cut_changes_no_bit(data):
    """Into calls of whatever length: `TimeSlice` follows the clock."""
    draw = np.random.RandomState(data.draw(st.integers(0, 999)))
    K = data.draw(st.sampled_from([1, 9, 20]))
    asked = {
        "optimizer": fx.SGD(10 ** draw.uniform(-1, 2, K)),
        "iterations": data.draw(st.sampled_from([1, 50, 300])),
        "interval": data.draw(st.sampled_from([1, 3, 64, 100])),
        "random_state": 0,
        "backend": "numba",
    }
    if data.draw(st.booleans()):
        asked["target_cost"] = draw.uniform(0.05, 0.69, K)
    if data.draw(st.booleans()):
        asked |= {"validation": XOR, "early_stopping": fx.EarlyStopping(data.draw(st.integers(1, 3)))}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.DivergenceWarning)
        whole = fx.train_population(TINY, *XOR, threads=1, **asked)
        patch.setattr(TimeSlice, "steps", property(lambda _pace: int(10 ** draw.uniform(0, 4))))
        cut = fx.train_population(TINY, *XOR, threads=2, **asked)
    assert_same(whole, cut)
    np.testing.assert_array_equal(whole.iterations_to_target, cut.iterations_to_target)


def test_a_callback_sees_records_and_stops_whom_it_likes(core):
    moments = []

    def look(moment):
        moments.append(moment)
        return np.arange(4) == 2 if moment.iteration[0] == 20 else None

    asked = {"members": 4, "random_state": 0, "iterations": 50, "interval": 10, "backend": core}
    population = fx.train_population(NET, X, Y, callback=look, validation=0.2, **asked)
    assert population.iterations.tolist() == [50, 50, 20, 50]
    assert [moment.iteration[0] for moment in moments] == [0, 10, 20, 30, 40]
    assert moments[3].live.tolist() == [True, True, False, True]
    np.testing.assert_array_equal([moment.cost for moment in moments], population.history.cost)
    np.testing.assert_array_equal([moment.validation_cost for moment in moments], population.history.validation_cost)
    stopped = fx.train_population(NET, X, Y, callback=lambda moment: moment.iteration[0] == 30, **asked)
    assert stopped.iterations.tolist() == [30] * 4
    unwatched = fx.train_population(NET, X, Y, **asked | {"iterations": 30})
    np.testing.assert_array_equal(flat(stopped), flat(unwatched))
    assert "4 of 4 members" in repr(moments[0])


def test_ctrl_c_leaves_a_population_that_goes_on(core, ctrl_c):
    asked = {"members": 6, "random_state": 0, "optimizer": fx.Adam(0.01), "batch_size": 8, "backend": core}
    for after in (0.02, 0.1):
        timer = threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(fx.TrainingInterrupted) as caught:
            fx.train_population(NET, X, Y, iterations=10**7, **asked)
        timer.join()
        population = caught.value.result
        assert 0 <= population.iterations.max() < 10**7
        more = 5 + int(population.iterations.max())
        whole = fx.train_population(NET, X, Y, iterations=more, **asked)
        left = fx.train_population(NET, X, Y, resume=population, iterations=more, backend=core)
        one = fx.train(NET, X, Y, resume=population[3], iterations=more - population.iterations[3], backend=core)
        np.testing.assert_allclose(NET.flatten(one.parameters), flat(whole)[3], rtol=1e-6, atol=1e-8)
        assert (left.iterations == population.iterations + more).all()


def test_who_blew_up_is_told_though_its_best_state_is_restored(core):
    """As `train` does, by the cost before that."""
    rates, rule = [0.01, 30.0], fx.EarlyStopping(3)
    asked = {"iterations": 40, "interval": 2, "validation": 0.25, "early_stopping": rule, "backend": core}
    net, numbers = fx.Network([3, 4, 1], "tanh", "identity"), X[:1] - X[1:2] ** 2
    with pytest.warns(fx.DivergenceWarning, match=r"1 of 2 .*: 1 .*keeps its best parameters"):
        pop = fx.train_population(net, X, numbers, optimizer=fx.SGD(rates), random_state=[5, 5], **asked)
    assert pop.diverged.tolist() == [False, True]
    with pytest.warns(fx.DivergenceWarning, match="the cost rose"):
        alone = fx.train(net, X, numbers, optimizer=fx.SGD(rates[1]), random_state=5, **asked)
    assert pop.iterations[1] == alone.iterations


def test_starts_are_of_one_dtype():
    starts = [NET.initialize(0, dtype=dtype) for dtype in ("float32", "float32", "float64")]
    with pytest.raises(ValueError, match="parameters must be of one dtype, got float32 for member 0 and float64 for 2"):
        fx.train_population(NET, X.astype(np.float32), Y, parameters=starts)


@pytest.mark.parametrize("name", ["resolve", "new_population"])
def test_an_interrupt_before_the_first_step(monkeypatch, core, name):
    """As while a backend is being loaded, or starts are drawn."""
    asked = {"members": 6, "random_state": np.random.default_rng(1), "optimizer": fx.Adam(0.01), "iterations": 20}
    original, calls = getattr(training, name), []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, name, interrupted)
        with pytest.raises(fx.TrainingInterrupted) as caught:
            fx.train_population(NET, X, Y, backend=core, **asked)
    left = fx.train_population(NET, X, Y, resume=caught.value.result, iterations=20, backend=core)
    asked["random_state"] = np.random.default_rng(1)
    np.testing.assert_array_equal(flat(left), flat(fx.train_population(NET, X, Y, backend=core, **asked)))


@pytest.mark.parametrize("call", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "more", [{}, {"target_cost": 0.65}, {"callback": lambda moment: None}], ids=["alone", "target", "callback"]
)
def test_an_interrupt_between_what_is_noted_and_what_is_reached(monkeypatch, more, call):
    """Within epochs of several calls; those that have ended stay, and those that have not begun begin."""
    nets = [NET, fx.Network([3, 2, 1]), NET]
    asked = {"batch_size": 16, "optimizer": fx.Adam([0.2, 0.01, 0.1]), "backend": "numpy"} | more
    monkeypatch.setattr("fastxor.choices.COSTS_PER_CALL", 5)
    whole = fx.train_population(nets, X, Y, epochs=3, random_state=0, **asked)
    calls, note = [], PopulationLoop._target_iterations

    def interrupted(self, *arguments):
        calls.append(arguments)
        found = note(self, *arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(PopulationLoop, "_target_iterations", interrupted)
    with pytest.raises(fx.TrainingInterrupted) as caught:
        fx.train_population(nets, X, Y, epochs=3, random_state=0, **asked)
    population = caught.value.result
    assert not (population.iterations_to_target > population.iterations).any()
    left = fx.train_population(nets, X, Y, resume=population, **asked)
    for one, other in zip(whole, left, strict=True):
        np.testing.assert_array_equal(one._theta(), other._theta())
        np.testing.assert_array_equal(one.history.cost, other.history.cost)
    np.testing.assert_array_equal(whole.iterations_to_target, left.iterations_to_target)


def test_the_best_of_an_interrupted_population_is_that_of_its_last_records():
    def fail(moment):
        if moment.iteration[0] == 30:
            raise KeyboardInterrupt

    asked = {"optimizer": fx.Adam([0.001, 0.002, 0.1, 0.01]), "random_state": [1] * 4, "backend": "numpy"}
    with pytest.raises(fx.TrainingInterrupted) as caught:
        fx.train_population(NET, X, Y, iterations=100, interval=10, callback=fail, **asked)
    population = caught.value.result
    assert np.isnan(population.cost).all()
    np.testing.assert_array_equal(population.best._theta(), population[2]._theta())
    assert f"cost {population.history.cost[-1, 2]:g} to" in repr(population)


class Unhurried(ThreadPoolExecutor):
    """Hands nothing over before all that it has is done."""

    def submit(self, *arguments):
        future = super().submit(*arguments)
        wait([future])
        return future


def test_an_error_costs_no_shard_that_is_done(monkeypatch):
    """And members that none has come to have no best state."""
    work = population_run._work

    def failing(backend, population):
        if 5 in population.seeds:
            raise RuntimeError("enough")
        return work(backend, population)

    monkeypatch.setattr(population_run, "_work", failing)
    asked = {"validation": 0.25, "early_stopping": fx.EarlyStopping(3), "epochs": 4, "backend": "numpy"}
    with Unhurried(1) as executor, pytest.raises(RuntimeError, match="enough") as caught:
        fx.train_population(NET, X, Y, random_state=range(9), executor=executor, **asked)
    assert [member._best is None for member in caught.value.result] == [i in (4, 5, 8) for i in range(9)]


def test_an_exception_leaves_it_too():
    def fail(moment):
        if moment.iteration[0] == 20:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as caught:
        fx.train_population(NET, X, Y, members=2, random_state=0, interval=10, callback=fail, backend="numpy")
    assert caught.value.result.iterations.tolist() == [20, 20]


def test_progress(capsys):
    fx.train_population(TINY, *XOR, members=3, iterations=200, random_state=0, progress=True, backend="numpy")
    assert "600/600" in capsys.readouterr().err


# ---------------------------------------------------------------- several architectures


def test_several_architectures_in_one_call(core):
    nets = [fx.Network([3, 2, 1]), NET, fx.Network([3, 2, 1]), NET]
    rates = [0.1, 0.2, 0.3, 0.4]
    asked = {"random_state": 0, "iterations": 60, "backend": core}
    population = fx.train_population(nets, X, Y, optimizer=fx.SGD(rates), **asked)
    assert population.networks == tuple(nets)
    for i, net in enumerate(nets):
        run = fx.train(net, X, Y, optimizer=fx.SGD(rates[i]), **asked | {"random_state": int(population.seeds[i])})
        np.testing.assert_allclose(net.flatten(population[i].parameters), net.flatten(run.parameters), rtol=1e-8)
        np.testing.assert_allclose(population.forward(X)[i], run.forward(X), rtol=1e-8)
    with pytest.raises(ValueError, match="2 architectures"):
        population.parameters  # noqa: B018
    assert_same(population[[1, 3]], fx.train_population(
        NET, X, Y, optimizer=fx.SGD(rates[1::2]), **asked | {"random_state": population.seeds[1::2]}
    ))  # fmt: skip
    assert population.mean(X).shape == population.spread(X).shape == population.vote(X).shape == (1, 40)
    assert "2 architectures" in repr(population)


@pytest.mark.parametrize("kind", [tuple, list])
def test_sets_to_validate_on_say_how_many_members_there_are(kind):
    sets = kind((np.stack([X, X + 1]), np.stack([Y, 1 - Y])))
    population = fx.train_population(NET, X, Y, validation=sets, random_state=0, iterations=5, backend="numpy")
    costs = [run.cost(*data) for run, data in zip(population, zip(*sets, strict=True), strict=True)]
    np.testing.assert_allclose(population.validation_cost, costs)


def test_starts_of_their_own(core):
    starts = [NET.initialize(i) for i in range(3)]
    together = {name: np.stack([start[name] for start in starts]) for name in starts[0]}
    before = {name: array.copy() for name, array in together.items()}
    population = fx.train_population(NET, X, Y, parameters=together, iterations=30, backend=core)
    for name in before:
        np.testing.assert_array_equal(together[name], before[name])
    assert_same(population, fx.train_population(NET, X, Y, parameters=starts, iterations=30, backend=core))
    for i, start in enumerate(starts):
        run = fx.train(NET, X, Y, parameters=start, iterations=30, backend=core)
        np.testing.assert_allclose(flat(population)[i], NET.flatten(run.parameters), rtol=1e-9)
    same = fx.train_population(NET, X, Y, parameters=together, iterations=0, backend=core)
    np.testing.assert_array_equal(same.parameters["W1"], together["W1"])


# ---------------------------------------------------------------- as a whole


def test_all_members_at_once(core):
    population = fx.train_population(NET, X, Y, members=5, random_state=0, iterations=50, backend=core)
    outputs = population.forward(X, backend=core)
    for i, member in enumerate(population):
        np.testing.assert_allclose(outputs[i], member.forward(X, backend=core), rtol=1e-12)
        np.testing.assert_array_equal(population.predict(X, backend=core)[i], member.predict(X, backend=core))
    np.testing.assert_allclose(population.mean(X), outputs.mean(axis=0))
    np.testing.assert_allclose(population.spread(X), outputs.std(axis=0))
    np.testing.assert_array_equal(population.vote(X), ((outputs >= 0.5).sum(axis=0) >= 3).astype(int))
    own = np.stack([X + i for i in range(5)])
    np.testing.assert_allclose(population.forward(own, backend=core)[4], population[4].forward(own[4]), rtol=1e-12)
    with pytest.raises(ValueError, match="X must have n_x = 3 rows"):
        population.forward(X.T)
    with pytest.raises(ValueError, match="for each of the 5 members"):
        population.forward(own[:2])


def test_the_best_and_some():
    population = fx.train_population(NET, X, Y, members=6, random_state=0, iterations=50, backend="numpy")
    order = np.argsort(population.cost)
    np.testing.assert_array_equal(flat(population.top(2)), flat(population)[order[:2]])
    np.testing.assert_array_equal(NET.flatten(population.best.parameters), flat(population)[order[0]])
    assert_same(population[population.cost < np.median(population.cost)], population[np.sort(order[:3])])
    np.testing.assert_array_equal(NET.flatten(population[-1].parameters), flat(population)[5])
    for wrong in (6, -7):
        with pytest.raises(IndexError, match="there is no member"):
            population[wrong]
    for wrong in ([], [0, 0]):
        with pytest.raises(IndexError, match="a population has"):
            population[wrong]
    validated = fx.train_population(
        NET, X, Y, members=6, random_state=0, iterations=50, validation=(X[:, :9], Y[:, :9]), backend="numpy"
    )
    best = int(validated.validation_cost.argmin())
    np.testing.assert_array_equal(NET.flatten(validated.best.parameters), flat(validated)[best])


def test_results_are_nobodys_but_the_callers(core):
    rates, weights = np.array([0.1, 0.2]), np.ones((2, 40))
    weights[:, :3] = 0
    given_X, given_Y = X.copy(), Y.copy()
    given_X[0, 1] = np.nan  # of weight 0
    population = fx.train_population(
        NET,
        given_X,
        given_Y,
        optimizer=fx.SGD(rates),
        sample_weight=weights,
        random_state=0,
        iterations=9,
        backend=core,
    )
    kept = pickle.dumps(population)
    rates[:], weights[:], given_X[:], given_Y[:] = 7, 7, 7, 7
    member = population[0]
    member.parameters["W1"][:] = 7
    assert pickle.dumps(population) == kept


# ---------------------------------------------------------------- what is refused


START = NET.initialize(0)
REFUSALS = {
    "members": ({}, "members must be given"),
    "members 0": ({"members": 0}, "members must be at least 1"),
    "two counts": (
        {"members": 3, "optimizer": fx.SGD([0.1, 0.2])},
        "learning_rate must have an entry for each of the 3",
    ),
    "l2": ({"members": 3, "l2": [0.1]}, "l2 must have an entry for each of the 3"),
    "negative l2": ({"l2": [0.1, -1.0]}, "l2 must be finite and not negative, got -1.0 at 1"),
    "clip_norm": ({"clip_norm": [1.0, 0.0]}, "clip_norm must be above 0"),
    "seeds": ({"random_state": [1, -1]}, "random_state must hold integers"),
    "X": ({"X": np.ones((2, 2, 40)), "members": 2}, "X must have n_x = 3 rows"),
    "Y": ({"Y": np.ones((3, 1, 40)), "members": 2}, "Y must have an entry for each of the 2"),
    "Y values": ({"Y": Y + 1, "members": 2}, "Y must lie between 0 and 1"),
    "weights": ({"sample_weight": -np.ones((2, 40))}, "sample_weight must be finite and not negative"),
    "no weight": ({"sample_weight": np.outer([1, 0], np.ones(40))}, "0 for all of member 1"),
    "weights' shape": ({"sample_weight": np.ones((2, 39))}, "sample_weight must have shape"),
    "validation": ({"validation": np.ones((2, 40))}, "validation, as an array, must be bool"),
    "nobody left": ({"validation": np.ones((2, 40), bool)}, "must leave a sample to train on"),
    "none held": ({"validation": np.zeros((2, 40), bool)}, "must be True for a sample of each"),
    "fraction": ({"members": 2, "validation": 1.5}, "validation must be below 1"),
    "pair": ({"members": 2, "validation": (X[:2], Y)}, "validation: X must have n_x = 3 rows"),
    "patience": ({"members": 2, "early_stopping": fx.EarlyStopping()}, "early_stopping needs validation"),
    "parameters": ({"parameters": {"W1": np.ones((2, 4, 3))}}, "parameters must be a dict with the keys"),
    "shape": ({"parameters": {**NET.initialize(0), "W1": np.ones((2, 4, 3))}}, "must have shape .members, 4, 1"),
    "one start": ({"parameters": START, "members": 3}, r"of the members, .* \[parameters\] \* members"),
    "starts of several": (
        {"network": [NET, fx.Network([3, 2, 1])], "parameters": {name: [value] * 2 for name, value in START.items()}},
        "parameters must be a list of dicts, .* for networks of several sizes",
    ),
    "no start": ({"parameters": []}, "parameters must have an entry for each member, and has none"),
    "no seed": ({"random_state": []}, "random_state must have an entry for each member, and has none"),
    "half a pair": ({"members": 2, "validation": (X,)}, "validation must be a pair .* got 1 entries"),
    "answer": ({"members": 2, "callback": lambda moment: [[1], [2, 3]]}, "what callback returns must be a rectangular"),
    "answer of one": ({"members": 2, "callback": lambda moment: [True]}, "callback must return None, True or an array"),
    "both": ({"members": 2, "iterations": 1, "epochs": 1}, "iterations and epochs both say"),
    "momentum": ({"optimizer": fx.SGD(0.1, [0.1, 0.2]), "members": 3}, "momentum must have an entry for each of the 3"),
    "float32": (
        {"optimizer": fx.SGD([0.1, 1e-300]), "X": X.astype(np.float32), "Y": Y.astype(np.float32)},
        "learning_rate must be at least",
    ),
    "drop_last": ({"members": 2, "batch_size": 41, "drop_last": True}, "drop_last leaves no batch"),
    "target": ({"members": 2, "target_cost": -1.0}, "target_cost must be finite and not negative"),
    "resume": ({"members": 2, "resume": 3}, "resume must be a Population"),
    "interval": ({"members": 2, "interval": 0}, "interval must be at least 1"),
    "checkpoint": ({"members": 2, "checkpoint": 3}, "checkpoint must be a path"),
    "progress": ({"members": 2, "progress": 0}, "progress must be True or False, got 0"),
    "rows of weights": ({"sample_weight": [[1.0, 2.0], [1.0]]}, "sample_weight must be a rectangular array"),
    "rows of l2": ({"members": 2, "l2": [[1.0, 2.0], [1.0]]}, "l2 must be a rectangular array"),
    "rows of Y": ({"members": 2, "Y": [[1.0, 2.0], [1.0]]}, "Y must be a rectangular array"),
    "rows of validation": (
        {"members": 2, "validation": ([[1.0], [1.0, 2.0]], Y)},
        "validation: X must be a rectangular",
    ),
    "kind of parameters": (
        {"parameters": 3},
        "parameters must be a dict of arrays, .* or a list of dicts, .*; got int",
    ),
    "number as parameters": ({"members": 2, "parameters": {"W1": 3}}, "parameters must be a dict with the keys"),
    "lbfgs": ({"members": 2, "optimizer": fx.LBFGS()}, "LBFGS, whose steps are SciPy's, is not for populations"),
    "callback": ({"members": 2, "callback": 3}, "callback must be a function"),
    "rate": ({"members": 2, "learning_rate": 0.1}, "the learning rate is the optimizer's"),
    "network": ({"members": 2, "network": [NET, 3]}, "network must be a Network or a list"),
    "networks": ({"members": 3, "network": [NET, NET]}, "network must have an entry for each of the 3"),
    "inputs": (
        {"network": [NET, TINY]},
        "as many inputs everywhere, the rows of X; got 3 at 0 and 2 at 1",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    arguments, message = REFUSALS[name]
    arguments = {"network": NET, "X": X, "Y": Y, "backend": "numpy", "iterations": 2} | arguments
    if "epochs" not in arguments and name not in ("interval",):
        arguments["iterations"] = 2
    with pytest.raises((TypeError, ValueError), match=message):
        fx.train_population(arguments.pop("network"), arguments.pop("X"), arguments.pop("Y"), **arguments)


RESUMED = {
    "network": ({"network": TINY, "X": XOR[0]}, "network must be that of the run|X must be that of the run"),
    "data": ({"X": X[:, :9], "Y": Y[:, :9]}, "X must be that of the run that is resumed, of 40 samples"),
    "optimizer": ({"optimizer": fx.SGD(0.7)}, "optimizer comes from the population that is resumed"),
    "batch_size": ({"batch_size": 3}, "batch_size comes from the population"),
    "l2": ({"l2": 0.5}, "l2, l1 and clip_norm come from the population"),
    "weights": ({"sample_weight": np.arange(40)}, "sample_weight, class_weight and samples to validate on stay"),
    "members": ({"members": 3}, "resume must have an entry for each of the 3"),
    "random_state": ({"random_state": 3}, "random_state must not be given with resume"),
    "interval": ({"interval": 3}, "interval comes from the population"),
    "validation": ({"validation": 0.3}, "validation comes from the population"),
}


@pytest.mark.parametrize("name", RESUMED)
def test_what_a_population_has_nobody_may_say_otherwise(name):
    arguments, message = RESUMED[name]
    begun = fx.train_population(NET, X, Y, members=2, random_state=0, iterations=5, backend="numpy")
    arguments = {"network": NET, "X": X, "Y": Y, "backend": "numpy", "iterations": 2} | arguments
    with pytest.raises(ValueError, match=message):
        fx.train_population(arguments.pop("network"), arguments.pop("X"), arguments.pop("Y"), resume=begun, **arguments)


def test_an_optimizer_stays_with_its_flags_and_its_schedule():
    rate = fx.schedules.cosine
    for one, other in (
        (fx.SGD(0.1, 0.9), fx.SGD(0.1, 0.9, nesterov=True)),
        (fx.SGD(rate(0.1, 20)), fx.SGD(rate(0.1, 30))),
        (fx.SGD(rate(0.1, 20)), fx.SGD(0.0)),
    ):
        asked = {"iterations": 2, "backend": "numpy"}
        begun = fx.train_population(NET, X, Y, members=3, optimizer=one, random_state=0, **asked)
        fx.train_population(NET, X, Y, optimizer=one, resume=begun[[2, 0]], **asked)
        with pytest.raises(ValueError, match="optimizer comes from the population that is resumed"):
            fx.train_population(NET, X, Y, optimizer=other, resume=begun, **asked)
    rates = np.array([0.1, 0.2, 0.3])
    begun = fx.train_population(NET, X, Y, optimizer=fx.SGD(rates), random_state=0, **asked)
    fx.train_population(NET, X, Y, optimizer=fx.SGD(rates[[2, 0]]), resume=begun[[2, 0]], **asked)


def test_each_member_goes_on_as_the_network_that_it_is():
    asked = {"iterations": 2, "backend": "numpy"}
    begun = fx.train_population([NET, fx.Network([3, 2, 1]), NET], X, Y, random_state=0, **asked)
    networks = [NET, fx.Network([3, 2, 1]), fx.Network([3, 4, 1], "relu")]
    with pytest.raises(ValueError, match="network must be that of the run that is resumed"):
        fx.train_population(networks, X, Y, resume=begun, **asked)


def test_a_schedule_that_has_no_more_rates_ends_the_run(core):
    rates = [0.5] * 60
    asked = {"optimizer": fx.SGD(rates.__getitem__), "iterations": 90, "interval": 10, "random_state": 0}
    for more in ({"members": 12}, {"members": 3, "batch_size": 7}):
        with pytest.raises(IndexError) as caught:
            fx.train_population(NET, X, Y, backend=core, **asked, **more)
        assert caught.value.__notes__ == ["in working out the learning_rate of step 60"]
        assert (caught.value.result.iterations <= 60).all()
    plain = asked | {"iterations": 60, "backend": core, "members": 12}
    whole = fx.train_population(NET, X, Y, **plain)
    assert_same(whole, fx.train_population(NET, X, Y, **plain | {"optimizer": fx.SGD(0.5)}))


def test_numbers_of_members_are_no_business_of_train():
    with pytest.raises(ValueError, match="momentum must be one number, got 2; those are for"):
        fx.train(NET, X, Y, optimizer=fx.SGD(0.1, [0.5, 0.6]))
    with pytest.raises(ValueError, match="beta1 must be below 1 and not negative, got"):
        fx.Adam(beta1=[0.5, 1.0])
    assert "2 values, 0.5 to 0.6" in repr(fx.SGD(0.1, [0.5, 0.6]))


def test_many_members_need_little_memory():
    """No object is kept for a member: what is allocated stays within a few times the parameters."""
    import tracemalloc

    K = 1000
    for _ in range(2):  # the first time it imports what it needs, and fills Python's lists of objects to use again
        tracemalloc.start()
        try:
            population = fx.train_population(TINY, *XOR, members=K, random_state=0, iterations=2, backend="numpy")
            kept, _peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(population) == K
    assert kept < 3 * flat(population).nbytes + 200_000


def test_time_is_told():
    began = time.perf_counter()
    population = fx.train_population(TINY, *XOR, members=2, random_state=0, iterations=10, backend="numpy")
    assert 0 < population.history.seconds <= time.perf_counter() - began
