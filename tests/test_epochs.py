"""A run of epochs: how long it is, which samples it takes in which order, and what is recorded of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxor as fx
from fastxor.state import InOrder, Job, Shuffle
from fastxor.validation import seed

NET = fx.Network([2, 3, 1])
DRAW = np.random.RandomState(5)
DATA = DRAW.randn(2, 11), (DRAW.rand(1, 11) > 0.5).astype(float)


def train(core, **arguments):
    return fx.train(NET, *DATA, **{"optimizer": fx.Adam(0.03), "random_state": 0, "backend": core} | arguments)


def same(one, other):
    assert set(one.parameters) == set(other.parameters)
    return all((one.parameters[name] == array).all() for name, array in other.parameters.items())


@pytest.mark.parametrize(("batch_size", "drop_last", "steps"), [(None, False, 1), (4, False, 3), (4, True, 2)])
def test_epochs_are_so_many_steps(backend, batch_size, drop_last, steps):
    order = {"batch_size": batch_size, "drop_last": drop_last}
    run = train(backend, epochs=5, **order)
    assert run.iterations == 5 * steps
    assert same(run, train(backend, iterations=5 * steps, **order))
    assert list(run.history) == [steps * epoch for epoch in range(1, 6)]
    assert run.history.epoch.tolist() == [1, 2, 3, 4, 5]
    assert train(backend, epochs=0, **order).iterations == 0


def by_hand(core, orders):
    """Plain descent over batches, each as a run of its own of one step; and the mean cost of each epoch."""
    parameters, means = NET.initialize(0), []
    for batches in orders:
        costs = []
        for batch in batches:
            x, y = (array[:, batch] for array in DATA)
            costs.append(NET.cost(parameters, x, y) * len(batch))
            step = {"optimizer": fx.SGD(0.5), "iterations": 1, "backend": core}
            parameters = fx.train(NET, x, y, parameters=parameters, **step).parameters
        means.append(sum(costs) / sum(map(len, batches)))
    return parameters, means


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_the_samples_of_each_batch(backend, shuffle, drop_last, batch_size):
    arguments = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": drop_last, "optimizer": fx.SGD(0.5)}
    run = train(backend, epochs=4, **arguments)
    rng = np.random.RandomState(0)
    NET.initialize(rng)
    order = (Shuffle(seed(rng), 11) if shuffle else InOrder(11)).orders(0, 4)
    steps = 11 // batch_size if drop_last else -(-11 // batch_size)
    orders = [[order[epoch, n * batch_size :][:batch_size] for n in range(steps)] for epoch in range(4)]
    parameters, means = by_hand("numpy" if backend == "numpy" else "numba", orders)
    for name, array in parameters.items():
        np.testing.assert_allclose(run.parameters[name], array, rtol=1e-9)
    np.testing.assert_allclose(run.history.cost, means, rtol=1e-9)


@settings(deadline=None, max_examples=30)
@given(
    m=st.integers(1, 40), batch_size=st.integers(1, 40), shuffle=st.booleans(), by_sample=st.booleans(),
    epochs=st.integers(1, 60),
)  # fmt: skip
def test_both_cores_leave_out_the_same_samples(m, batch_size, shuffle, by_sample, epochs):
    draw = np.random.RandomState(m)
    X, Y = draw.randn(2, m), draw.rand(1, m)
    X = np.asfortranarray(X) if by_sample else X
    arguments = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": True, "epochs": epochs, "random_state": 1}
    if batch_size > m:
        with pytest.raises(ValueError, match=f"drop_last leaves no batch: batch_size is {batch_size}, for {m} s"):
            fx.train(NET, X, Y, **arguments)
        return
    one, other = (fx.train(NET, X, Y, backend=core, **arguments) for core in ("numpy", "numba"))
    for name, array in one.parameters.items():
        np.testing.assert_allclose(other.parameters[name], array, rtol=1e-8)
    assert list(one.history) == list(other.history)
    np.testing.assert_allclose(one.history.cost, other.history.cost, rtol=1e-8)


def test_a_run_of_epochs_may_be_recorded_by_steps(core):
    run = train(core, epochs=4, batch_size=4, interval=5)
    assert list(run.history) == [0, 5, 10]
    assert run.history == train(core, iterations=12, batch_size=4, interval=5).history


def test_many_short_epochs_are_recorded_at_once(core):
    """On full batches, each step."""
    run = train(core, epochs=300, batch_size=None)
    every = train(core, iterations=300, interval=1)
    assert run.history.cost.tolist() == every.history.cost.tolist()
    assert run.history.iteration.tolist() == list(range(1, 301))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"iterations": 3, "epochs": 3}, ValueError, "iterations and epochs both say how long to train; got 3 and 3"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer, got 1.5 of type float"),
        ({"epochs": 2**62, "batch_size": 4}, ValueError, "epochs must be at most"),
        ({"shuffle": 1}, TypeError, "shuffle must be True or False, got 1"),
        ({"drop_last": None}, TypeError, "drop_last must be True or False, got None"),
    ],
)
def test_refused(core, arguments, error, message):
    with pytest.raises(error, match=message):
        train(core, **arguments)


def test_a_mean_does_not_overflow(core):
    net = fx.Network([1, 1], output="identity")
    start = {"W1": [[0.0]], "b1": [[0.0]]}
    arguments = {"parameters": start, "optimizer": fx.SGD(0.0), "batch_size": 2, "backend": core}
    run = fx.train(net, [[0.0] * 9], [[1.3e154] * 9], epochs=1, **arguments)  # two batches' costs are too much
    np.testing.assert_allclose(run.history.cost / 1e300, 1.3e154 / 2e150 * 1.3e154 / 1e150, rtol=1e-12)


def test_what_a_job_says_of_its_epochs():
    job = Job(NET, *DATA, fx.SGD(), 1, batch_size=4, drop_last=True)
    assert (job.steps_per_epoch, job.samples_per_epoch, job.samples) == (2, 8, 11)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**63 - 1), m=st.integers(1, 1500), first=st.integers(0, 500), count=st.integers(1, 300))
def test_the_order_of_an_epoch_follows_from_the_seed_and_its_number(seed, m, first, count):
    orders = Shuffle(seed, m).orders(first, count := min(count, 1 + 20_000 // m))
    assert orders.shape == (count, m)
    assert (np.sort(orders, axis=1) == np.arange(m)).all()
    shuffle = Shuffle(seed, m)
    for epoch in (count - 1, 0, count // 2):  # one by one, in any order of the epochs
        np.testing.assert_array_equal(shuffle.orders(first + epoch, 1)[0], orders[epoch])


@pytest.mark.parametrize("m", [4, 700])  # many epochs in a block, and one
def test_orders_are_uniform(m):
    """The chi-squared statistics of where each of four samples comes, and of the first one's neighbours in time."""
    orders = Shuffle(1, m).orders(0, 4000)
    places = orders[:, :4] * 4 // m
    counts = [np.bincount(column, minlength=4) for column in places.T]
    counts.append(np.bincount(places[1:, 0] * 4 + places[:-1, 0], minlength=16))
    for count in counts:
        expected = count.sum() / count.size
        assert ((count - expected) ** 2 / expected).sum() < {4: 21.1, 16: 44.3}[count.size]  # one in ten thousand
    assert len(np.unique(orders, axis=0)) == {4: 24, 700: 4000}[m]
