"""States that a session keeps on the way, and the cost of samples that stay, for whoever looks at records."""

import numpy as np
import pytest
import support
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resume import assert_same_run

import fastxor as fx
import fastxor.backends.fused as fused
from fastxor.backends.fused import choices, specialised
from fastxor.state import Job, State

DRAW = np.random.RandomState(3)
OPTIMIZERS = fx.SGD(0.1), fx.SGD(0.1, momentum=0.9), fx.Adam(0.01), fx.AdamW(0.01), fx.RMSprop(0.01)


def drawn(sizes, m, dtype, threads=1, optimizer=OPTIMIZERS[0], batch_size=None):
    """A job, and the state in which it begins."""
    net = fx.Network(sizes, output="softmax" if sizes[-1] > 1 else "sigmoid")
    X, Y = DRAW.randn(sizes[0], m).astype(dtype), DRAW.rand(sizes[-1], m).astype(dtype)
    Y /= Y.sum(axis=0) if sizes[-1] > 1 else 1
    job = Job(net, X, Y, optimizer, 100, batch_size, seed=5, threads=threads)
    return job, State.beginning(net.flatten(net.initialize(0)).astype(dtype), optimizer)


def assert_kept(job, state, steps, every):
    """In advances of so many steps, each state has the bits of a session that ends there."""
    session = fused.open(job, state)
    session.snapshot_interval = every
    for done in range(0, 4 * steps, steps):
        assert session.advance(steps, 0, 3)[0] == steps
        assert [*session.snapshot_thetas] == [i for i in range(done + 1, done + steps + 1) if i % every == 0]
        for iteration, theta in session.snapshot_thetas.items():
            alone = fused.open(job, state)
            alone.advance(iteration, 0, 100)
            wanted, kept = alone.state(), session.snapshot(iteration)
            assert kept.completed == wanted.completed == iteration
            np.testing.assert_array_equal(theta, wanted.theta)
            np.testing.assert_array_equal(kept.theta, wanted.theta)
            np.testing.assert_array_equal(kept.memory.rows, wanted.memory.rows)
            np.testing.assert_array_equal(kept.memory.powers, wanted.memory.powers)
    kept.theta[:] = np.nan  # it is a copy
    assert np.isfinite(session.snapshot_thetas[kept.completed]).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("m", "batch_size"), [(4, None), (40, None), (40, 7), (600, 300)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_states_on_the_way(optimizer, m, batch_size, dtype):
    assert_kept(*drawn((3, 5, 2), m, dtype, 1, optimizer, batch_size), steps=7, every=3)


@pytest.mark.parametrize("lockstep", [False, True])
def test_states_on_the_way_of_threads(lockstep):
    job, state = drawn((3, 50, 2), 200 if lockstep else 1100, "float32", 2, fx.Adam(0.01))
    with support.lockstep(lockstep):
        assert_kept(job, state, steps=6, every=2)


def test_states_on_the_way_of_a_specialised_kernel(monkeypatch):
    for worth in ("MIN_SECONDS_TO_COMPILE", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_CALL"):
        monkeypatch.setattr(choices, worth, 0.0)
    job, state = drawn((2, 2, 1), 4, "float32")  # one vector at any width
    assert specialised.fits(job.network, job.optimizer, 4, state.theta.dtype)
    assert_kept(job, state, steps=9, every=2)


def test_more_than_there_is_room_for_are_not_kept():
    job, state = drawn((3, 5, 2), 40, "float32")
    session = fused.open(job, state)
    session.snapshot_interval = 1
    session.advance(90, 0, 1)
    assert [*session.snapshot_thetas] == list(range(1, session.snapshot_capacity + 1))


def test_who_keeps_nothing_disturbs_nobody():
    """A set of buffers that has kept states serves a run that keeps none."""
    job, state = drawn((3, 5, 2), 40, "float32", None, fx.Adam(0.01))
    for every in (2, 0):
        session = fused.open(job, state)
        session.snapshot_interval = every
        session.advance(10, 0, 1)
        assert len(session.snapshot_thetas) == (5 if every else 0)
        session.close()


def test_nothing_is_trained_that_early_stopping_cannot_want(monkeypatch):
    """The run ends at the record where it stops, and no session has gone further."""
    reached, advance = [], fused.Session.advance

    def watched(session, *arguments):
        answer = advance(session, *arguments)
        reached.append(session.state().completed)
        return answer

    monkeypatch.setattr(fused.Session, "advance", watched)
    job, _state = drawn((3, 5, 2), 40, "float64")
    data = job.X, job.Y
    others = DRAW.randn(3, 30), np.eye(2)[:, DRAW.randint(0, 2, 30)]
    options = {"optimizer": fx.Adam(0.3), "epochs": 200, "batch_size": 8, "random_state": 0, "backend": "numba"}
    rule = fx.EarlyStopping(4, restore_best=False)
    run = fx.train(job.network, *data, validation=others, early_stopping=rule, **options)
    assert max(reached) == run.iterations < 1000
    assert run.history.validation_cost.argmin() == len(run.history) - 5


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_cost_of_samples_that_stay(data):
    """It has the bits of a pass over them."""
    draw = data.draw
    output, loss = draw(st.sampled_from([
        ("sigmoid", "binary_cross_entropy"), ("softmax", "cross_entropy"), ("identity", "huber"),
        ("exponential", "poisson"), ("sigmoid", "squared_error"),
    ]))  # fmt: skip
    hidden = draw(st.sampled_from(["tanh", "relu", "gelu", "sin"]))
    sizes = [draw(st.sampled_from([1, 2, 17, 40])) for _ in range(draw(st.integers(1, 3)))] + [draw(st.integers(2, 5))]
    net = fx.Network(sizes, hidden, output=output, loss=loss) if len(sizes) > 2 else None
    net = net or fx.Network([3, *sizes], hidden, output=output, loss=loss)
    m, dtype = draw(st.sampled_from([1, 3, 8, 17, 100, 357, 1100])), draw(st.sampled_from(["float64", "float32"]))
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((m, net.sizes[0])).astype(dtype).T, rng.random((net.sizes[-1], m)).astype(dtype)
    Y /= Y.sum(axis=0)
    order = draw(st.sampled_from("CF"))
    X, Y = np.asarray(X, order=order), np.asarray(Y, order=draw(st.sampled_from("CF")))
    given_X, given_Y = X.copy(), Y.copy()
    cost = fused.loss_on(net, X, Y)
    X[...] = Y[...] = np.nan  # they have been copied
    for seed in (0, 1):
        theta = net.flatten(net.initialize(seed)).astype(dtype)
        assert cost(theta) == fused.loss(net, theta, given_X, given_Y)


def test_large_data_are_not_copied(monkeypatch):
    monkeypatch.setattr(choices, "MAX_RESIDENT_VALIDATION_BYTES", 0)
    job, state = drawn((3, 5, 2), 40, "float64")
    cost, before = fused.loss_on(job.network, job.X, job.Y), fused.loss(job.network, state.theta, job.X, job.Y)
    assert cost(state.theta) == before
    job.X[...] += 1
    assert cost(state.theta) != before


def test_spans_may_have_any_length(monkeypatch):
    """What is looked at does not depend on how many records a span has."""
    net, start = fx.Network([3, 5, 2]), None
    X, Y = DRAW.randn(3, 40), DRAW.rand(2, 40)
    others, moments = (DRAW.randn(3, 9), DRAW.rand(2, 9)), []
    options = {"optimizer": fx.Adam(0.01), "validation": others, "gradient_norm": True, "backend": "numba"}
    options |= {"callback": lambda moment: moments.append(moment.parameters["W1"].sum()), "random_state": 0}
    for length in ({"epochs": 40, "batch_size": 7}, {"iterations": 90, "interval": 4, "batch_size": 7}):
        runs = []
        for room in (choices.MAX_SNAPSHOTS, 1, 3):
            monkeypatch.setattr(choices, "MAX_SNAPSHOTS", room)
            fused.session._pool.clear()
            moments.clear()
            runs.append((fx.train(net, X, Y, parameters=start, **length, **options), [*moments]))
            monkeypatch.undo()
        for run, seen in runs[1:]:
            assert_same_run(run, runs[0][0])
            assert seen == runs[0][1]
