"""Penalties on weights and a limit to the gradient's length: by hand, in both cores, on any number of threads."""

import numpy as np
import pytest
import support
from engine_cases import FULL_BATCHES, OPTIMIZERS, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resume import assert_same_run, through_a_file

import fastxor as fx
from fastxor.penalties import Penalties, clipped

DRAW = np.random.RandomState(8)
NETS = [
    fx.Network([2, 3, 1]),
    fx.Network([3, 17, 4, 2], "relu", "softmax"),
    fx.Network([1, 1], output="identity", loss="huber"),
    fx.Network([4, 33, 2], "sin", "identity"),
]


def data(net, m, dtype=np.float64):
    draw = np.random.RandomState(m)
    n_y = net.sizes[-1]
    Y = np.eye(n_y)[:, draw.randint(n_y, size=m)] if net.output == "softmax" else draw.rand(n_y, m)
    X = draw.randn(net.sizes[0], m)
    if net.loss == "huber":  # slopes of 1 and -1 might add up to 0, of which an adaptive optimizer divides the rounding
        X = np.abs(X)
    return X.astype(dtype), Y.astype(dtype)


def objective(net, parameters, X, Y, l2=0.0, l1=0.0):
    """The docstring's formula, and its gradient, a dictionary dW1, …"""
    cost, grads = net.gradient(parameters, X, Y, backend="numpy")
    for name, W in parameters.items():
        if name.startswith("W"):
            cost += l2 / 2 * np.sum(W**2) + l1 * np.sum(np.abs(W))
            grads[f"d{name}"] = grads[f"d{name}"] + l2 * W + l1 * np.sign(W)
    return cost, grads


def length(grads):
    return np.sqrt(sum(np.sum(array.astype(np.float64) ** 2) for array in grads.values()))


@st.composite
def penalties(draw):
    return {
        "l2": draw(st.sampled_from([0.0, 0.01, 0.5])),
        "l1": draw(st.sampled_from([0.0, 0.003, 0.2])),
        "clip_norm": draw(st.sampled_from([None, 0.05, 1.0, 1e3])),
    }


# ---------------------------------------------------------------- by hand


@pytest.mark.parametrize("net", NETS)
def test_descent_goes_down_the_objective(net, backend):
    X, Y = data(net, 5)
    parameters = {name: array + 0.1 for name, array in net.initialize(0).items()}
    more = {"l2": 0.3, "l1": 0.07}
    run = fx.train(net, X, Y, parameters=parameters, optimizer=fx.SGD(0.1), iterations=6, interval=1, **more,
                   gradient_norm=True, backend=backend)  # fmt: skip
    for iteration in range(6):
        cost, grads = objective(net, parameters, X, Y, **more)
        assert run.history[iteration] == pytest.approx(cost, rel=1e-12)
        assert run.history.gradient_norm[iteration] == pytest.approx(length(grads), rel=1e-10)
        parameters = {name: array - 0.1 * grads[f"d{name}"] for name, array in parameters.items()}
    assert_close(run.parameters, parameters, 1e-11)


@pytest.mark.parametrize("net", NETS)
def test_a_long_gradient_is_shortened(net, backend):
    X, Y = data(net, 5)
    start = net.initialize(1)
    _cost, grads = objective(net, start, X, Y, l2=0.3)
    for share in (0.25, 4.0):
        limit = share * length(grads)
        run = fx.train(net, X, Y, parameters=start, optimizer=fx.SGD(1.0), iterations=1, l2=0.3, clip_norm=limit,
                       backend=backend)  # fmt: skip
        factor = min(share, 1.0)
        assert_close(run.parameters, {name: array - factor * grads[f"d{name}"] for name, array in start.items()}, 1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_length_whose_square_overflows(dtype, backend):
    net = fx.Network([1, 1], output="identity", loss="huber")
    big = 100 * float(np.sqrt(np.finfo(dtype).max))
    X, Y = np.full((1, 3), big, dtype), np.full((1, 3), 5, dtype)
    start = {"W1": np.zeros((1, 1), dtype), "b1": np.zeros((1, 1), dtype)}
    run = fx.train(net, X, Y, parameters=start, optimizer=fx.SGD(1.0), iterations=1, clip_norm=1 / big, backend=backend)
    assert run.parameters["W1"].item() * big == pytest.approx(1, rel=1e-5)


def test_clipped():
    gradient = np.array([3.0, -4.0, 0.0])
    np.testing.assert_allclose(clipped(gradient, 1.0), [0.6, -0.8, 0.0])
    assert clipped(gradient, 5.0) is gradient
    with np.errstate(all="ignore"):
        assert not clipped(np.zeros(3), 1.0).any()
        assert np.isnan(clipped(np.array([1.0, np.nan]), 1.0)).any()
        assert np.isinf(clipped(np.array([1.0, np.inf]), 1.0)).any()


def test_penalties_make_weights_small_and_leave_biases_alone(core):
    X, Y = data(NETS[1], 60)
    arguments = {"optimizer": fx.Adam(0.01), "iterations": 400, "random_state": 0, "backend": core}
    free = fx.train(NETS[1], X, Y, **arguments)
    small = fx.train(NETS[1], X, Y, l2=0.05, **arguments)
    sparse = fx.train(NETS[1], X, Y, l1=0.05, **arguments)
    assert np.abs(small.parameters["W1"]).sum() < 0.5 * np.abs(free.parameters["W1"]).sum()
    assert (np.abs(sparse.parameters["W1"]) < 0.02).mean() > 2 * (np.abs(free.parameters["W1"]) < 0.02).mean()
    line = fx.Network([1, 1], output="identity")
    run = fx.train(line, [[-1.0, 1.0]], [[5.0, 5.0]], l2=10.0, l1=1.0, optimizer=fx.SGD(0.05), backend=core)
    assert run.parameters["b1"].item() == pytest.approx(5)


# ---------------------------------------------------------------- both cores, any threads, resumed


@settings(deadline=None, max_examples=60)
@given(
    net=st.sampled_from(NETS), m=st.integers(1, 70), name=st.sampled_from([*OPTIMIZERS]), more=penalties(),
    batch_size=st.sampled_from([None, 3, 32]), dtype=st.sampled_from([np.float64, np.float32]),
)  # fmt: skip
def test_the_cores_agree(net, m, name, more, batch_size, dtype):
    X, Y = data(net, m, dtype)
    if name == "rprop":  # of its gradients the signs alone count, also of those that are 0 but for rounding
        more["l1"] = 0.0
    arguments = {"optimizer": OPTIMIZERS[name], "iterations": 8, "interval": 1, "random_state": 0, **more}
    if name not in FULL_BATCHES:
        arguments["batch_size"] = batch_size
    one, other = (fx.train(net, X, Y, backend=core, **arguments) for core in ("numba", "numpy"))
    rtol = 1e-9 if dtype is np.float64 else 2e-3
    assert_close(one.parameters, other.parameters, rtol)
    np.testing.assert_allclose(one.history.cost, other.history.cost, rtol=rtol)


@settings(deadline=None, max_examples=25)
@given(
    net=st.sampled_from(NETS), name=st.sampled_from([*OPTIMIZERS]), more=penalties(), cut=st.integers(0, 6),
    m=st.sampled_from([20, 150, 700]), dtype=st.sampled_from([np.float64, np.float32]),
    lockstep=st.booleans(), core=st.sampled_from(["numpy", "numba", "numba"]), saved=st.booleans(),
)  # fmt: skip
def test_threads_and_cuts_change_no_bit(net, name, more, cut, m, dtype, lockstep, core, saved):
    X, Y = data(net, m, dtype)
    batch = None if name in FULL_BATCHES else m // 2
    arguments = {"optimizer": OPTIMIZERS[name], "random_state": 0, "batch_size": batch, "interval": 2, **more}
    with support.lockstep(lockstep):
        whole = fx.train(net, X, Y, iterations=6, threads=1, backend=core, **arguments)
        part = fx.train(net, X, Y, iterations=cut, threads=2, backend=core, **arguments)
        part = through_a_file(part) if saved else part
        assert_same_run(fx.train(net, X, Y, resume=part, iterations=6 - cut, threads=3, backend=core), whole)


# ---------------------------------------------------------------- trouble


def test_a_penalty_that_overflows_is_a_divergence(backend):
    X, Y = data(NETS[0], 5)
    with pytest.warns(fx.DivergenceWarning):
        run = fx.train(NETS[0], X, Y, l2=1e300, optimizer=fx.SGD(1e10), iterations=5, random_state=0, backend=backend)
    assert run.iterations < 5
    assert all(np.isfinite(array).all() for array in run.parameters.values())


REFUSED = {
    "l2": (-0.1, ValueError, "l2 must be finite and not negative, got -0.1"),
    "l1": ("much", TypeError, "l1 must be a real number, got 'much'"),
    "clip_norm": (0, ValueError, "clip_norm must be above 0, got 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, core):
    wrong, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        fx.train(NETS[0], *data(NETS[0], 5), backend=core, **{name: wrong})
    for worse in (np.inf, np.nan, True, np.ones(2)):
        with pytest.raises((TypeError, ValueError), match=name):
            fx.train(NETS[0], *data(NETS[0], 5), backend=core, **{name: worse})
    with pytest.raises(ValueError, match=rf"{name} must be at least 1.17549e-38 for float32 data, got 1e-40"):
        fx.train(NETS[0], *data(NETS[0], 5, np.float32), backend=core, **{name: 1e-40})


@pytest.mark.parametrize("optimizer", [fx.LBFGS(), fx.LevenbergMarquardt()], ids=repr)
def test_second_order_takes_l2_alone(optimizer, core):
    line = fx.Network([2, 1], output="identity")
    for name, reason in (("l1", "kinks"), ("clip_norm", "more than the gradient")):
        with pytest.raises(
            ValueError, match=rf"{name} must be left out with {type(optimizer).__name__}.*{reason}.*0.5"
        ):
            fx.train(line, *data(NETS[0], 5), optimizer=optimizer, backend=core, **{name: 0.5})


@pytest.mark.parametrize("optimizer", [fx.LBFGS(), fx.LevenbergMarquardt()], ids=repr)
@pytest.mark.parametrize("weights", [None, [1, 3, 0, 2, 2, 0.5, 1, 4]])
def test_second_order_finds_the_ridge_regression(optimizer, weights, core):
    """Whose normal equations are solved here: the bias is not penalized, and weights are relative to their mean."""
    draw = np.random.RandomState(1)
    X, Y, l2 = draw.randn(3, 8), draw.randn(2, 8), 0.3
    net = fx.Network([3, 2], output="identity")
    share = np.ones(8) / 8 if weights is None else np.array(weights) / np.sum(weights)
    arguments = {"optimizer": optimizer, "iterations": 100, "interval": 1, "random_state": 0, "backend": core}
    run = fx.train(net, X, Y, l2=l2, sample_weight=weights, **arguments)
    A = np.vstack([X, np.ones(8)])
    wanted = np.linalg.solve((A * share) @ A.T + l2 * np.diag([1, 1, 1, 0]), (A * share) @ Y.T).T
    np.testing.assert_allclose(np.hstack([run.parameters["W1"], run.parameters["b1"]]), wanted, rtol=1e-5, atol=1e-7)
    W, b = wanted[:, :3], wanted[:, 3:]
    lowest = np.sum(share * (W @ X + b - Y) ** 2) / 2 + l2 / 2 * np.sum(W**2)
    costs = run.history.cost
    assert costs[-1] == pytest.approx(lowest, rel=1e-9)
    assert (np.diff(costs) < 0).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_both_cores_penalize_levenberg_marquardt_alike(dtype):
    draw = np.random.RandomState(2)
    net = fx.Network([3, 5, 2], "softplus", "identity")
    X, Y = draw.randn(3, 40).astype(dtype), draw.randn(2, 40).astype(dtype)
    arguments = {"optimizer": fx.LevenbergMarquardt(), "iterations": 5, "interval": 1, "random_state": 0, "l2": 0.02}
    arguments["sample_weight"] = draw.randint(0, 4, 40)
    one, other = (fx.train(net, X, Y, backend=name, **arguments) for name in ("numpy", "numba"))
    rtol = {"float64": 1e-7, "float32": 2e-3}[dtype]
    np.testing.assert_allclose(other.history.cost, one.history.cost, rtol=rtol)
    for name, array in one.parameters.items():
        np.testing.assert_allclose(other.parameters[name], array, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", REFUSED)
def test_a_run_that_is_resumed_keeps_its_own(name, core):
    X, Y = data(NETS[0], 5)
    run = fx.train(NETS[0], X, Y, iterations=2, random_state=0, backend=core, **{name: 0.5})
    assert fx.train(NETS[0], X, Y, resume=run, iterations=1, backend=core, **{name: 0.5}).iterations == 3
    with pytest.raises(ValueError, match=rf"{name} comes from the run that is resumed, 0.5, and stays; got 0.25"):
        fx.train(NETS[0], X, Y, resume=run, iterations=1, backend=core, **{name: 0.25})


def test_penalties_from_a_file_are_checked():
    assert Penalties() == (0.0, 0.0, np.inf)
    run = fx.train(NETS[0], *data(NETS[0], 5), iterations=2, random_state=0, l2=0.5)
    assert through_a_file(run)._settings["penalties"] == (0.5, 0.0, np.inf)
    run._settings["penalties"] = Penalties(-1.0)
    with pytest.raises(ValueError, match="l2 must be finite and not negative"):
        through_a_file(run)
