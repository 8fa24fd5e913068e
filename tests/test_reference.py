"""The numpy core by itself: samples in parts, what it works out in a step and what it does not, and what is finite."""

import tracemalloc

import numpy as np
import pytest
from engine_cases import ENDS, assert_close, job_with, optimizers_with
from support import X, Y, assert_same_dict

import fastxor as fx
from fastxor import choices
from fastxor.backends import reference
from fastxor.state import Job as Training
from fastxor.state import State

DTYPES = (np.float64, np.float32)


def cut_small(monkeypatch):
    """Parts of two samples, or of one that is left."""
    monkeypatch.setattr(choices, "REFERENCE_TILE_VALUES", 1)
    monkeypatch.setattr(choices, "MIN_REFERENCE_TILE_SAMPLES", 2)


# ---------------------------------------------------------------- parts


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 511, 513, 1023, 1025, 5000])
@pytest.mark.parametrize("widest", [1, 31, 32, 128, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_sample_is_in_one_part(samples, widest, order):
    """All parts have about as many, and there are no more parts than it takes."""
    network = fx.Network([2, widest, 1])
    numbers = np.arange(samples, dtype=float)
    data = np.array([numbers, numbers], order=order), numbers[None]
    parts = reference._parts(network, *data)
    for number, whole in enumerate(data):
        np.testing.assert_array_equal(np.concatenate([part[number] for part in parts], axis=1), whole)
    sizes = [x.shape[1] for x, _y, _w in parts]
    most = max(choices.MIN_REFERENCE_TILE_SAMPLES, choices.REFERENCE_TILE_VALUES // widest)
    assert len(parts) == -(-samples // most)
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) < len(parts)
    assert all(np.shares_memory(x, data[0]) for x, _y, _w in parts)


@pytest.mark.parametrize("m", [1, 2, 3, 8, 17])
@pytest.mark.parametrize(("output", "loss"), ENDS)
def test_parts_add_up_to_the_whole(monkeypatch, output, loss, m):
    job = job_with((3, 5, 4, 2), ("gelu", "relu"), output, loss, "adam", None, m, "float64")
    passes, runs = [], []
    for parts in (False, True):
        if parts:
            cut_small(monkeypatch)
        net, parameters, data = job.network, job.start, job.data
        cost, grads = net.gradient(parameters, *data, backend="numpy")
        assert cost == pytest.approx(net.cost(parameters, *data, backend="numpy"), rel=1e-14)
        passes.append((cost, grads))
        runs.append(job.train("numpy", interval=1))
    assert passes[1][0] == pytest.approx(passes[0][0], rel=1e-13)
    assert_close(passes[1][1], passes[0][1], 1e-12)
    assert_close(runs[1].parameters, runs[0].parameters, 1e-9)
    np.testing.assert_allclose([*runs[1].history.values()], [*runs[0].history.values()], rtol=1e-9)


@pytest.mark.parametrize("batch_size", [None, 5])
@pytest.mark.parametrize("optimizer", [fx.SGD(10.0), fx.SGD(1.0, 0.9), fx.Adam(1e80)])
def test_a_run_diverges_in_parts_as_it_does_whole(monkeypatch, optimizer, batch_size):
    """At the same step, first in the same layer, where the step or the inputs of a layer overflow."""
    net = fx.Network([2, 3, 3, 2], "identity", "identity")
    draw = np.random.RandomState(3)
    data, outcomes = (3 * draw.randn(2, 11), draw.randn(2, 11)), []
    settings = {"parameters": net.initialize(0), "optimizer": optimizer, "iterations": 500, "batch_size": batch_size}
    for parts in (False, True):
        if parts:
            cut_small(monkeypatch)
        with pytest.warns(fx.DivergenceWarning, match="first in layer") as caught:
            run = fx.train(net, *data, **settings, random_state=1, interval=7, backend="numpy")
        outcomes.append((str(caught[0].message), run))
    (said, whole), (also_said, cut) = outcomes
    assert said == also_said
    assert whole.iterations == cut.iterations < 500
    assert_same_dict(cut.parameters, whole.parameters, rtol=1e-6)


@pytest.mark.parametrize("place", range(7))
def test_one_bad_sample_is_seen_in_any_part(monkeypatch, place):
    """Its output saturates at its target: neither the gradient nor, where none is recorded, a cost would tell."""
    cut_small(monkeypatch)
    features, targets = np.zeros((1, 7)), np.full((1, 7), 0.5)
    features[0, place], targets[0, place] = 1e200, 1
    theta = np.array([1.0, 0.0, 1e200, 0.0])  # W1, b1, W2, b2
    job = Training(fx.Network([1, 1, 1], "identity"), features, targets, fx.SGD(0.1), 5)
    session = reference.open(job, State.beginning(theta, job.optimizer))
    assert session.advance(3, 2, 100) == (0, [])
    assert reference.first_overflow(job, session.state()) == 2


@pytest.mark.parametrize("operation", ["train", "gradient", "cost"])
def test_memory_does_not_grow_with_samples_times_neurons(operation):
    """Of many samples, one array of all values of a layer would be ten times what is allowed here."""
    samples, neurons = 40_000, 64
    net = fx.Network([2, neurons, 1])
    data = np.zeros((2, samples), order="F"), np.zeros((1, samples))
    parameters = net.initialize(0)
    calls = {
        "train": lambda: fx.train(net, *data, parameters=parameters, iterations=2, backend="numpy"),
        "gradient": lambda: net.gradient(parameters, *data, backend="numpy"),
        "cost": lambda: net.cost(parameters, *data, backend="numpy"),
    }
    tracemalloc.start()
    try:
        calls[operation]()
        assert tracemalloc.get_traced_memory()[1] < samples * neurons * 8 / 10 + 2 * data[0].nbytes
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------- a step


@pytest.mark.parametrize("interval", [1, 4, 100])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_costs_are_worked_out_where_they_are_recorded(monkeypatch, interval, batch_size):
    worked_out = []
    original = reference._cost

    def counting(*arguments):
        worked_out.append(1)
        return original(*arguments)

    run = {"iterations": 10, "interval": interval, "batch_size": batch_size, "random_state": 0, "backend": "numpy"}
    monkeypatch.setattr(reference, "_cost", counting)
    history = fx.train(fx.Network([2, 2, 1]), X, Y, **run).history
    around = 1 if batch_size is None else 2  # to tell whether the run blew up
    assert len(worked_out) == len(history) + around


@pytest.mark.parametrize("optimizer", [name for name, _ in optimizers_with(5)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_run_leaves_the_data_as_they_are(optimizer, order):
    """Laid out anew or not, they are the same data, and give the same bits."""
    job = job_with((3, 4, 1), ("tanh",), "sigmoid", "binary_cross_entropy", optimizer, 5, 23, "float64")
    data = [np.array(array, order=order) for array in job.data]
    kept = [array.copy() for array in data]
    settings = {"parameters": job.start, "iterations": 12, "batch_size": 5, "backend": "numpy"}
    runs = [fx.train(job.network, *arrays, random_state=1, **settings) for arrays in (data, job.data)]
    assert_same_dict(runs[0].parameters, runs[1].parameters, rtol=0)
    for array, before in zip(data, kept, strict=True):
        np.testing.assert_array_equal(array, before)


# ---------------------------------------------------------------- finite


@pytest.mark.parametrize("dtype", DTYPES)
def test_finite_values_are_finite_whatever_their_squares(dtype):
    largest = np.finfo(dtype).max
    for values in ([largest, -largest, largest], [0.0, -0.0, np.finfo(dtype).tiny], [largest / 2] * 9):
        assert reference.finite(np.array(values, dtype))
        assert reference.finite(np.array([values, values], dtype).T)
    for bad in (np.inf, -np.inf, np.nan):
        for place in range(9):
            for rest in (0.0, 1.0, largest):
                array = np.full((3, 3), rest, dtype)
                array.flat[place] = bad
                assert not reference.finite(array)
                assert not reference.finite(array.T)
