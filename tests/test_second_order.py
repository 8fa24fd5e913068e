"""Levenberg-Marquardt: its Jacobian in every core, its steps written out, and how its runs end."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from engine_cases import DTYPES, STEP, Job
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_same_dict

import fastxor as fx
from fastxor import second_order
from fastxor.backends import resolve
from fastxor.backends.fused import jacobian
from fastxor.network import ACTIVATIONS
from fastxor.state import Job as Training
from fastxor.state import State

OUTPUTS = ("identity", "sigmoid")
KINDS = [(), *((kind,) for kind in ACTIVATIONS), ("tanh", "gelu"), ("elu", "sin", "relu")]


def job_of(hidden, output="identity", m=9, dtype="float64", n_x=3, n_y=2, seed=0, **settings):
    sizes = (n_x, *(4 + layer for layer in range(len(hidden))), n_y)
    return Job(sizes, hidden, output, "squared_error", "sgd", None, m, dtype, seed, **settings)


def equations(job, backend):
    """J J', J r and r r of all samples in one matrix, in float64."""
    theta = np.concatenate([value.ravel() for value in job.parameters().values()])
    total = 0.0
    for rows in resolve(backend).residuals(job.network(), *job.data())(theta):
        assert rows.dtype == np.dtype(job.dtype)
        total = total + rows.astype(float) @ rows.T.astype(float)
    return total


# ---------------------------------------------------------------- the Jacobian


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", KINDS, ids="-".join)
def test_the_jacobians_agree(hidden, output, dtype):
    for m, n_x, n_y in ((1, 1, 1), (9, 3, 2), (200, 5, 1), (600, 2, 3)):
        job = job_of(hidden, output, m, dtype, n_x, n_y)
        got, wanted = equations(job, "numba"), equations(job, "numpy")
        np.testing.assert_allclose(got, wanted, rtol=STEP[dtype], atol=STEP[dtype] * np.abs(wanted).max())


@pytest.mark.parametrize("hidden", KINDS[::3], ids="-".join)
def test_the_unjitted_jacobian_agrees(hidden):
    for output, dtype in product(OUTPUTS, DTYPES):
        job = job_of(hidden, output, 19, dtype)
        got, wanted = equations(job, "unjitted"), equations(job, "numpy")
        np.testing.assert_allclose(got, wanted, rtol=STEP[dtype], atol=STEP[dtype] * np.abs(wanted).max())


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", [(), ("tanh",), ("softplus", "sin")], ids="-".join)
def test_the_jacobian_is_that_of_central_differences(backend, hidden, output):
    job = job_of(hidden, output, 5)
    net, (X, Y) = job.network(), job.data()
    theta = np.concatenate([value.ravel() for value in job.parameters().values()])
    outputs = lambda theta: net.forward(net._views(theta), X, backend="numpy")  # noqa: E731
    (rows,) = (rows.copy() for rows in resolve(backend).residuals(net, X, Y)(theta))
    columns = rows.reshape(net.count + 1, net.sizes[-1], -1)[:, :, : job.m]  # the rest is padding
    np.testing.assert_allclose(columns[-1], outputs(theta) - Y, rtol=1e-12, atol=1e-14)
    for i, row in enumerate(np.eye(net.count) * 1e-5):
        slope = (outputs(theta + row) - outputs(theta - row)) / 2e-5
        np.testing.assert_allclose(columns[i], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("order", ["C", "F"])
def test_many_samples_go_through_in_parts(monkeypatch, core, order):
    job = job_of(("tanh",), m=1000)
    whole = equations(job, "numpy")
    monkeypatch.setattr(jacobian, "_MOST_BYTES", 100_000)
    X, Y = (np.array(array, order=order) for array in job.data())
    theta = np.concatenate([value.ravel() for value in job.parameters().values()])
    parts = [rows @ rows.T for rows in resolve(core).residuals(job.network(), X, Y)(theta)]
    assert (len(parts) > 1) == (core == "numba")
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-11, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 19), min_size=2, max_size=4),
    m=st.integers(1, 70),
    kind=st.sampled_from(ACTIVATIONS),
    output=st.sampled_from(OUTPUTS),
    seed=st.integers(0, 99),
)
def test_the_jacobian_gives_the_gradient_at_any_size(sizes, m, kind, output, seed):
    job = Job(tuple(sizes), (kind,) * (len(sizes) - 2), output, "squared_error", "sgd", None, m, "float64", seed)
    cost, grads = job.network().gradient(job.parameters(), *job.data(), backend="numpy")
    last = equations(job, "numba")[-1] / m
    gradient = np.concatenate([value.ravel() for value in grads.values()])
    np.testing.assert_allclose(last[:-1], gradient, rtol=1e-10, atol=1e-11 * max(1, np.abs(gradient).max()))
    assert last[-1] / 2 == pytest.approx(cost, rel=1e-11)


# ---------------------------------------------------------------- steps


def written_out(net, X, Y, parameters, steps, damping):
    """Levenberg-Marquardt as in Nielsen (1999), on the reference's Jacobian; the parameters and all costs."""
    theta, growth = np.concatenate([value.ravel() for value in parameters.values()]), 2.0
    cost = net.cost(net._views(theta), X, Y, backend="numpy")
    costs = [cost]
    for number in range(steps):
        (rows,) = resolve("numpy").residuals(net, X, Y)(theta)
        J, r = rows[:-1], rows[-1]
        matrix, gradient = J @ J.T / X.shape[1], J @ r / X.shape[1]
        if number == 0:
            damping = damping * matrix.diagonal().max()
        while True:
            step = np.linalg.lstsq(matrix + damping * np.eye(len(matrix)), -gradient, rcond=None)[0]
            lower = net.cost(net._views(theta + step), X, Y, backend="numpy")
            if lower < cost:
                break
            damping, growth = damping * growth, growth * 2
        expected = -gradient @ step - step @ matrix @ step / 2  # of the linear approximation
        damping, growth = damping * max(1 / 3, 1 - (2 * (cost - lower) / expected - 1) ** 3), 2.0
        theta, cost = theta + step, lower
        costs.append(cost)
    return net._views(theta), costs


def train(job, core, **changes):
    arguments = {"optimizer": fx.LevenbergMarquardt(), "iterations": 6, "interval": 1}
    return job.train(core, **(arguments | changes))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("hidden", [("tanh",), ("softplus", "sin")], ids="-".join)
def test_a_run_is_the_loop_written_out(backend, hidden, output):
    job = job_of(hidden, output, 40)
    for damping in (1e-3, 10.0):
        wanted, costs = written_out(job.network(), *job.data(), job.parameters(), 6, damping)
        run = train(job, backend, optimizer=fx.LevenbergMarquardt(damping))
        assert_same_dict(run.parameters, wanted, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(list(run.history.values()), costs[:6], rtol=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_cost_never_rises(core, kind, dtype):
    run = train(job_of((kind,), m=30, dtype=dtype), core, iterations=25)
    costs = list(run.history.values())
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]
    assert run.parameters["W1"].dtype == np.dtype(dtype)


def curve(hidden=8, points=60):
    """A smooth function, and a network that can follow it to all digits."""
    X = np.linspace(-1, 1, points)[None]
    return fx.Network([1, hidden, 1], output="identity"), X, 1 / (1 + 4 * X**2)


def test_it_comes_near_all_digits(core):
    net, X, Y = curve()
    arguments = {"optimizer": fx.LevenbergMarquardt(), "iterations": 200, "random_state": 1, "backend": core}
    assert net.cost(fx.train(net, X, Y, **arguments).parameters, X, Y) < 1e-10


def test_many_parameters_are_solved_for_in_blocks():
    draw = np.random.RandomState(0)
    for count in (1, 63, 64, 65, 200):
        J = draw.randn(count + 1, 2 * count + 3)
        wanted = np.linalg.solve(J[:-1] @ J[:-1].T + 0.3 * np.eye(count), -J[:-1] @ J[-1])
        np.testing.assert_allclose(second_order._solve(J @ J.T, 0.3), wanted, rtol=1e-9, atol=1e-12)
    assert second_order._solve(-np.eye(3), 0.3) is None


def test_a_run_ends_where_nothing_is_better(core):
    """Linear regression, whose best fit has no cost of 0: found at once, and the run says how many steps that took."""
    draw = np.random.RandomState(0)
    net, X, Y = fx.Network([3, 2], output="identity"), draw.randn(3, 50), draw.randn(2, 50)
    run = fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(), iterations=1000, random_state=0, backend=core)
    assert 0 < run.iterations < 100
    W, *_ = np.linalg.lstsq(np.vstack([X, np.ones(50)]).T, Y.T, rcond=None)
    np.testing.assert_allclose(np.hstack([run.parameters["W1"], run.parameters["b1"]]), W.T, rtol=1e-6)
    again = fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(), parameters=run.parameters, backend=core)
    np.testing.assert_allclose(again.parameters["W1"], run.parameters["W1"], rtol=1e-6)


def test_a_run_from_the_solution_takes_no_step(core):
    net = fx.Network([1, 1], output="identity")
    start = {"W1": np.ones((1, 1)), "b1": np.zeros((1, 1))}
    X = np.arange(4.0)[None]
    run = fx.train(net, X, X, parameters=start, optimizer=fx.LevenbergMarquardt(), backend=core)
    assert run.iterations == 0
    assert_same_dict(run.parameters, start, rtol=0)


# ---------------------------------------------------------------- state


@settings(max_examples=20, deadline=None)
@given(
    cut=st.integers(0, 12),
    hidden=st.integers(1, 9),
    dtype=st.sampled_from(DTYPES),
    core=st.sampled_from(["numpy", "numba"]),
)
def test_a_run_goes_on_with_the_same_bits(cut, hidden, dtype, core):
    """From the state at any step, the damping's included."""
    optimizer = fx.LevenbergMarquardt()
    net, X, Y = curve(hidden)
    job = Training(net, X.astype(dtype), Y.astype(dtype), optimizer, 12)
    results = []
    for cuts in ((12,), (cut, 12 - cut)):
        state, costs = State.beginning(net.initialize(0, dtype=dtype)._flat, optimizer), []
        for steps in cuts:
            session = second_order.open(resolve(core), replace(job, threads=1 + hidden % 2), state)
            costs += session.advance(steps, 0, 1)[1]
            state = session.state()
        results.append((state, costs))
    (one, costs), (other, more) = results
    assert one.completed == other.completed
    for got, wanted in zip((other.theta, *other.memory), (one.theta, *one.memory), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert list(dict.fromkeys(more)) == list(dict.fromkeys(costs))


def test_an_interrupted_run_keeps_what_it_has(monkeypatch, core):
    net, X, Y = curve()
    arguments = {"optimizer": fx.LevenbergMarquardt(), "random_state": 0, "backend": core}
    loss, calls = second_order.LevenbergMarquardtSession._loss, []

    def interrupted(self, theta):
        calls.append(theta)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return loss(self, theta)

    with monkeypatch.context() as patch:
        patch.setattr(second_order.LevenbergMarquardtSession, "_loss", interrupted)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            fx.train(net, X, Y, iterations=100, **arguments)
    error = raised.value
    assert 0 < error.iterations < 8
    assert_same_dict(error.parameters, fx.train(net, X, Y, iterations=error.iterations, **arguments).parameters, rtol=0)


def test_a_start_that_is_not_finite_diverges(core):
    net = fx.Network([1, 1], output="identity")
    start = {"W1": np.full((1, 1), 1e200), "b1": np.zeros((1, 1))}
    X = np.ones((1, 3))
    with pytest.warns(fx.DivergenceWarning, match="iteration 0, first in layer 1"):
        run = fx.train(net, X, X, parameters=start, optimizer=fx.LevenbergMarquardt(), backend=core)
    assert run.iterations == 0
    assert_same_dict(run.parameters, start, rtol=0)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity"])
def test_other_losses_are_refused(core, output):
    net = fx.Network([2, 3, 2], output=output, loss="huber" if output == "identity" else None)
    X, Y = np.ones((2, 5)), np.full((2, 5), 0.5)
    with pytest.raises(ValueError, match=rf"LevenbergMarquardt needs .* 'squared_error', got '{net.loss}'"):
        fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(), backend=core)


def test_mini_batches_are_refused(core):
    net, X, Y = curve()
    with pytest.raises(ValueError, match="batch_size must be left out with LevenbergMarquardt"):
        fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(), batch_size=4, backend=core)


def test_too_many_parameters_are_refused(core):
    net, X, Y = curve(hidden=1667)
    with pytest.raises(ValueError, match=r"LevenbergMarquardt needs .* at most 5000 parameters.*got 5002"):
        fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(), backend=core)


def test_it_is_no_step_by_the_gradient():
    net, X, Y = curve()
    optimizer = fx.LevenbergMarquardt()
    state = State.beginning(net.initialize(0)._flat, optimizer)
    for core in ("numpy", "numba"):
        with pytest.raises(NotImplementedError, match="LevenbergMarquardt"):
            resolve(core).open(Training(net, X, Y, optimizer, 3), state).advance(3, 0, 1)
