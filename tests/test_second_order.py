"""Levenberg-Marquardt and L-BFGS: Jacobians in every core, steps written out, and how their runs end."""

import gc
import signal
import sys
import threading
from dataclasses import replace
from itertools import product
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import threadpoolctl
from engine_cases import DTYPES, ENDS, STEP, job_with
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_same_dict
from test_training import Interruption

import fastxor as fx
from fastxor import second_order
from fastxor.backends import resolve
from fastxor.backends.fused import choices
from fastxor.network import ACTIVATIONS
from fastxor.optimizers import check_run
from fastxor.state import Job as Training
from fastxor.state import State

threadpoolctl.threadpool_limits(1)  # of SciPy's BLAS too, which conftest.py had not seen: it stalls on a busy machine

OUTPUTS = ("identity", "sigmoid")
KINDS = [(), *((kind,) for kind in ACTIVATIONS), ("tanh", "gelu"), ("elu", "sin", "relu")]


def job_of(hidden, output="identity", m=9, dtype="float64", n_x=3, n_y=2, seed=0, **settings):
    sizes = (n_x, *(4 + layer for layer in range(len(hidden))), n_y)
    return job_with(sizes, hidden, output, "squared_error", "sgd", None, m, dtype, seed, **settings)


def equations(job, backend):
    """J J', J r and r r of all samples in one matrix, in float64."""
    theta = np.concatenate([value.ravel() for value in job.start.values()])
    total = 0.0
    for rows in resolve(backend).residuals(job.network, *job.data, None).parts(theta):
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
    net, (X, Y) = job.network, job.data
    theta = np.concatenate([value.ravel() for value in job.start.values()])
    outputs = lambda theta: net.forward(net._views(theta), X, backend="numpy")  # noqa: E731
    (rows,) = (rows.copy() for rows in resolve(backend).residuals(net, X, Y, None).parts(theta))
    columns = rows.reshape(net.count + 1, net.sizes[-1], -1)[:, :, : job.m]  # the rest is padding
    np.testing.assert_allclose(columns[-1], outputs(theta) - Y, rtol=1e-12, atol=1e-14)
    for i, row in enumerate(np.eye(net.count) * 1e-5):
        slope = (outputs(theta + row) - outputs(theta - row)) / 2e-5
        np.testing.assert_allclose(columns[i], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("order", ["C", "F"])
def test_many_samples_go_through_in_parts(monkeypatch, core, order):
    job = job_of(("tanh",), m=1000)
    whole = equations(job, "numpy")
    monkeypatch.setattr(choices, "JACOBIAN_TILE_BYTES", 100_000)
    monkeypatch.setattr(choices, "MIN_JACOBIAN_COLUMNS", 1)
    X, Y = (np.array(array, order=order) for array in job.data)
    theta = np.concatenate([value.ravel() for value in job.start.values()])
    parts = [rows @ rows.T for rows in resolve(core).residuals(job.network, X, Y, None).parts(theta)]
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
    job = job_with(tuple(sizes), (kind,) * (len(sizes) - 2), output, "squared_error", "sgd", None, m, "float64", seed)
    cost, grads = job.network.gradient(job.start, *job.data, backend="numpy")
    last = equations(job, "numba")[-1] / m
    gradient = np.concatenate([value.ravel() for value in grads.values()])
    np.testing.assert_allclose(last[:-1], gradient, rtol=1e-10, atol=1e-11 * max(1, np.abs(gradient).max()))
    assert last[-1] / 2 == pytest.approx(cost, rel=1e-11)


# ---------------------------------------------------------------- steps


def written_out(net, X, Y, parameters, steps, damping):
    """Nielsen's Levenberg-Marquardt with Transtrum and Sethna's acceleration: the parameters and all costs."""
    theta, growth = np.concatenate([value.ravel() for value in parameters.values()]), 2.0
    cost = net.cost(net._views(theta), X, Y, backend="numpy")
    costs = [cost]
    for number in range(steps):
        (rows,) = resolve("numpy").residuals(net, X, Y, None).parts(theta)
        J, r = rows[:-1], rows[-1]
        matrix, gradient = J @ J.T / X.shape[1], J @ r / X.shape[1]
        if number == 0:
            damping = damping * matrix.diagonal().max()
        while True:
            damped = matrix + damping * np.eye(len(matrix))
            step = np.linalg.solve(damped, -gradient)
            near = [resolve("numpy").outputs(net, theta + share * step, X) for share in (-0.1, 0, 0.1)]
            curvature = (near[0] - 2 * near[1] + near[2]).ravel() / 0.01
            bend = np.linalg.solve(damped, -J @ curvature / X.shape[1]) / 2
            if 4 * np.linalg.norm(bend) > 0.75 * np.linalg.norm(step):
                bend = 0 * step
            lower = net.cost(net._views(theta + step + bend), X, Y, backend="numpy")
            if lower < cost:
                break
            damping, growth = damping * growth, growth * 2
        expected = -gradient @ step - step @ matrix @ step / 2  # of the linear approximation
        damping, growth = damping * max(1 / 3, 1 - (2 * (cost - lower) / expected - 1) ** 3), 2.0
        theta, cost = theta + step + bend, lower
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
        wanted, costs = written_out(job.network, *job.data, job.start, 6, damping)
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


def test_systems_of_any_size_are_solved(backend):
    draw = np.random.RandomState(0)
    for count in (1, 2, 31, 63, 64, 65, 200):
        J = draw.randn(count + 1, 2 * count + 3)
        matrix, b = J[:-1] @ J[:-1].T, -J[:-1] @ J[-1]
        kept = b.copy()
        got = resolve(backend).solve(second_order._factor(matrix, 0.3), b)
        np.testing.assert_allclose(got, np.linalg.solve(matrix + 0.3 * np.eye(count), b), rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(b, kept)
    assert second_order._factor(-np.eye(3), 0.3) is None


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
    loss, calls = second_order.LevenbergMarquardtSession._evaluated, []

    def interrupted(self, theta):
        calls.append(theta)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return loss(self, theta)

    with monkeypatch.context() as patch:
        patch.setattr(second_order.LevenbergMarquardtSession, "_evaluated", interrupted)
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
        with pytest.raises(TypeError, match="LevenbergMarquardt"):
            resolve(core).open(Training(net, X, Y, optimizer, 3), state).advance(3, 0, 1)


def test_damping_that_is_as_good_as_0_may_rise(core):
    """As it has to where the equations have no single solution."""
    net, X, Y = fx.Network([1, 1], output="sigmoid", loss="squared_error"), np.zeros((1, 2)), np.zeros((1, 2))
    start = {"W1": [[0.0]], "b1": [[30.0]]}  # where the output is flat
    how = {"iterations": 1, "backend": core}
    run = fx.train(net, X, Y, optimizer=fx.LevenbergMarquardt(1e-300), parameters=start, **how)
    assert run.cost(X, Y) < 1e-20
    run._state.memory.powers[:] = 0  # as a file may have it
    run.parameters["b1"][:] = 30
    assert fx.train(net, X, Y, resume=run, **how).cost(X, Y) < 1e-20


# ---------------------------------------------------------------- L-BFGS


def lbfgs(job, core, **changes):
    return job.train(core, **({"optimizer": fx.LBFGS(), "iterations": 15, "interval": 1} | changes))


@pytest.mark.parametrize(("output", "loss"), ENDS)
def test_lbfgs_is_scipys_on_the_gradient(core, output, loss):
    """For every loss, to the bit."""
    job = job_with((3, 5, 2), ("tanh",), output, loss, "sgd", None, 40, "float64")
    net, (X, Y) = job.network, job.data

    def fun(theta):
        cost, grads = net.gradient(net._views(theta), X, Y, backend=core)
        return cost, np.concatenate([value.ravel() for value in grads.values()])

    start = np.concatenate([value.ravel() for value in job.start.values()])
    costs, options = [fun(start)[0]], {"maxcor": 5, "gtol": 1e-9, "ftol": 0, "maxiter": 15}
    wanted = scipy.optimize.minimize(
        fun, start, jac=True, method="L-BFGS-B", options=options, callback=lambda x: costs.append(fun(x)[0])
    )
    run = lbfgs(job, core, optimizer=fx.LBFGS(memory=5))
    assert_same_dict(run.parameters, net._views(wanted.x), rtol=0)
    assert list(run.history.values()) == costs[:15]
    assert costs == sorted(costs, reverse=True)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 6), max_size=5), interval=st.integers(1, 4))
def test_where_lbfgs_pauses_changes_nothing(cuts, interval):
    net, X, Y = curve()
    job = Training(net, X, Y, fx.LBFGS(), 30)
    begin = State.beginning(net.initialize(0)._flat, job.optimizer)
    whole = second_order.open(resolve("numba"), job, begin)
    good, costs = whole.advance(30, 0, 1)
    assert good == 30
    session, done, recorded = second_order.open(resolve("numba"), job, begin), 0, []
    for steps in (*cuts, 30 - sum(cuts)):
        good, some = session.advance(steps, -done % interval, interval)
        assert good == steps
        done, recorded = done + good, recorded + some
        assert session.state().completed == done
    np.testing.assert_array_equal(session.state().theta, whole.state().theta)
    assert recorded == costs[::interval]


@pytest.mark.parametrize("rhythm", [{"interval": 7}, {"interval": None, "iterations": None, "epochs": 400}])
def test_who_looks_on_sees_the_path_of_lbfgs(core, rhythm):
    """Also in spans after the first one, where a state does not tell what is known of the curvature."""
    net, X, Y = curve(hidden=20)
    arguments = {"optimizer": fx.LBFGS(), "iterations": 400, "parameters": net.initialize(0), "backend": core} | rhythm
    parameters, kept = {}, []

    def callback(moment):
        kept.append(moment)
        if moment.iteration % 3 == 0:
            parameters[moment.iteration] = moment.parameters

    whole = fx.train(net, X, Y, **arguments)
    watched = fx.train(net, X, Y, callback=callback, **arguments)
    assert_same_dict(watched.parameters, whole.parameters, rtol=0)
    assert watched.history == whole.history == {moment.iteration: moment.cost for moment in kept}
    shift = 1 if "epochs" in rhythm else 0  # an epoch's cost is that before its step
    for before, moment in zip(kept, kept[shift:], strict=False):
        assert net.cost(before.parameters, X, Y) == pytest.approx(moment.cost, rel=1e-9)
    for moment in kept[::3]:
        if moment.iteration in parameters:
            assert_same_dict(moment.parameters, parameters[moment.iteration], rtol=0)
    last = kept[-5]
    stops = {"callback": lambda moment: moment.iteration == last.iteration}, {"target_cost": last.cost}
    for stop in stops:
        run = fx.train(net, X, Y, **arguments, **stop)
        assert run.iterations == last.iteration
        assert_same_dict(run.parameters, last.parameters, rtol=0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lbfgs_of_both_cores_agrees(dtype):
    job = job_of(("softplus",), m=40, dtype=dtype)
    runs = [lbfgs(job, core, iterations=5) for core in ("numpy", "numba")]
    rtol = 1e-7 if dtype == "float64" else 1e-2
    assert_same_dict(runs[1].parameters, runs[0].parameters, rtol=rtol, atol=rtol)
    assert runs[1].parameters["W1"].dtype == np.dtype(dtype)


def test_lbfgs_ends_where_nothing_is_better(core):
    draw = np.random.RandomState(0)
    net, X, Y = fx.Network([3, 2], output="identity"), draw.randn(3, 50), draw.randn(2, 50)
    run = fx.train(net, X, Y, optimizer=fx.LBFGS(), iterations=1000, random_state=0, backend=core)
    assert 0 < run.iterations < 100
    W, *_ = np.linalg.lstsq(np.vstack([X, np.ones(50)]).T, Y.T, rcond=None)
    np.testing.assert_allclose(np.hstack([run.parameters["W1"], run.parameters["b1"]]), W.T, rtol=1e-6)
    near = fx.train(net, X, Y, optimizer=fx.LBFGS(tolerance=0.1), iterations=1000, random_state=0, backend=core)
    assert near.iterations < run.iterations
    grads = net.gradient(near.parameters, X, Y)[1]
    assert 1e-4 < max(np.abs(value).max() for value in grads.values()) <= 0.1


def test_a_step_too_far_is_taken_back():
    """The least cost is behind a wall, where it is infinite: the run comes near and stays in front of it."""

    def gradient(network, theta, X, Y):
        return (float(((theta - 3) ** 2).sum()), 2 * (theta - 3)) if (theta < 2).all() else (np.inf, theta)

    net, X, Y = curve()
    job = Training(net, X, Y, fx.LBFGS(), 50)
    state = State.beginning(np.zeros(net.count), job.optimizer)
    session = second_order.LBFGSSession(SimpleNamespace(gradient=gradient), job, state)
    good, costs = session.advance(50, 0, 1)
    assert session.finished or good == 50
    assert costs == sorted(costs, reverse=True)
    assert (session.state().theta > 1).all()
    assert (session.state().theta < 2).all()
    assert session.finished
    assert session.advance(5, 0, 1) == (0, [])


def threads_of_lbfgs():
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == "fastxor-lbfgs":
            thread.join(10)
    return [thread for thread in threading.enumerate() if thread.name == "fastxor-lbfgs"]


def test_lbfgs_leaves_no_thread_behind(core):
    net, X, Y = curve()
    for iterations in (0, 3):
        fx.train(net, X, Y, optimizer=fx.LBFGS(), iterations=iterations, random_state=0, backend=core)
    session = second_order.open(
        resolve(core), Training(net, X, Y, fx.LBFGS(), 9), State.beginning(np.ones(net.count), fx.LBFGS())
    )
    session.advance(2, 0, 1)
    del session
    assert not threads_of_lbfgs()


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_lbfgs_keeps_the_best(monkeypatch, core):
    net, X, Y = curve(hidden=20, points=3000)
    arguments = {"optimizer": fx.LBFGS(), "parameters": net.initialize(0), "backend": core}
    fx.train(net, X, Y, iterations=1, **arguments)
    backend, calls = resolve(core), []

    def gradient(*arguments, seen=backend.gradient):
        calls.append(arguments)
        if len(calls) == 30:  # by then the run has begun, however busy the machine is
            signal.raise_signal(signal.SIGINT)
        return seen(*arguments)

    monkeypatch.setattr(backend, "gradient", gradient)
    with pytest.raises(fx.TrainingInterrupted) as raised:
        fx.train(net, X, Y, iterations=10**6, **arguments)
    error = raised.value
    again = fx.train(net, X, Y, iterations=error.iterations, **arguments)
    assert_same_dict(error.parameters, again.parameters, rtol=0)
    del raised, error
    assert not threads_of_lbfgs()


def test_what_the_gradient_raises_is_raised(monkeypatch):
    net, X, Y = curve()
    core = resolve("numba")

    def broken(*_):
        raise RuntimeError("no gradient today")

    monkeypatch.setattr(core, "gradient", broken)
    with pytest.raises(RuntimeError, match="no gradient today"):
        fx.train(net, X, Y, optimizer=fx.LBFGS(), random_state=0, backend="numba")


def test_lbfgs_from_what_is_not_finite_diverges(core):
    net = fx.Network([1, 1], output="identity")
    start = {"W1": np.full((1, 1), 1e200), "b1": np.zeros((1, 1))}
    X = np.ones((1, 3))
    with pytest.warns(fx.DivergenceWarning, match="iteration 0, first in layer 1"):
        run = fx.train(net, X, X, parameters=start, optimizer=fx.LBFGS(), backend=core)
    assert run.iterations == 0
    assert_same_dict(run.parameters, start, rtol=0)


def test_without_scipy(monkeypatch, core):
    net, X, Y = curve()
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    np.random.seed(3)
    with pytest.raises(ImportError, match=r"LBFGS needs SciPy.*'scipy': pip install 'fastxor-nn\[scipy\]'$"):
        fx.train(net, X, Y, optimizer=fx.LBFGS(), backend=core)
    drawn = np.random.rand()
    np.random.seed(3)
    assert np.random.rand() == drawn


def test_scipy_is_imported_where_an_interrupt_leaves_a_result(monkeypatch):
    """Not before the run has begun: it takes a second."""
    monkeypatch.delitem(sys.modules, "scipy.optimize")
    check_run(fx.LBFGS(), curve()[0], None)
    assert "scipy.optimize" not in sys.modules


def test_a_scipy_that_is_broken(monkeypatch, core):
    net, X, Y = curve()
    broken = ModuleType("scipy.optimize")
    broken.__spec__ = scipy.optimize.__spec__
    monkeypatch.setitem(sys.modules, "scipy.optimize", broken)
    with pytest.raises(ImportError, match="cannot import name 'minimize'"):
        fx.train(net, X, Y, optimizer=fx.LBFGS(), backend=core)


@pytest.mark.parametrize("optimizer", [fx.LBFGS(), fx.LevenbergMarquardt()])
def test_an_interrupt_at_any_line_leaves_a_result(core, optimizer):
    """Also before the first record."""
    net, X, Y = curve()
    arguments = {"optimizer": optimizer, "random_state": 0, "interval": 2, "backend": core}
    whole = fx.train(net, X, Y, iterations=6, **arguments)
    with Interruption() as counted:
        fx.train(net, X, Y, iterations=6, **arguments)
    begins = next(place for place, (name, *_) in enumerate(counted.lines) if name == "execute")
    interrupted = 0
    for line in [*range(begins + 1, len(counted.lines), 9)]:
        try:
            with Interruption(line):
                fx.train(net, X, Y, iterations=6, **arguments)
        except fx.TrainingInterrupted as error:
            run = error.result
            interrupted += 1
            if optimizer == fx.LBFGS():
                until = fx.train(net, X, Y, iterations=run.iterations, **arguments)
                assert_same_dict(run.parameters, until.parameters, rtol=0)
            elif run.iterations < 6:
                run = fx.train(net, X, Y, resume=run, backend=core)
                assert_same_dict(run.parameters, whole.parameters, rtol=0)
                assert run.history == whole.history
    assert interrupted > 10


def test_lbfgs_takes_no_mini_batches(core):
    net, X, Y = curve()
    with pytest.raises(ValueError, match="batch_size must be left out with LBFGS"):
        fx.train(net, X, Y, optimizer=fx.LBFGS(), batch_size=4, backend=core)
