"""`Network.vjp` and `Network.jacobian`: both cores, and the fused one's source un-jitted, against the complex step."""

import threading

import numpy as np
import pytest
from derivative_cases import by_complex_step, close, draws, networks, outputs
from hypothesis import given, settings
from hypothesis import strategies as st
from support import arrays_in, assert_no_alias, frozen, guises

import fastxor as fx
from fastxor.network import ACTIVATIONS

NET = fx.Network([3, 4, 2], "tanh", "sigmoid")
CORES = "numpy", "numba"
RTOL = {"float64": 1e-10, "float32": 2e-4}


def assert_exact(net, m, seed, backend):
    parameters, X, dA = draws(net, m, seed)
    theta = net.flatten(parameters)
    A, pullback = net.vjp(parameters, X, backend=backend)
    grads, dX = pullback(dA)
    np.testing.assert_array_equal(A, net.forward(parameters, X, backend=backend))
    close(net.flatten(grads), by_complex_step(lambda theta: np.sum(dA * outputs(net, theta, X)), theta))
    close(dX, by_complex_step(lambda X: np.sum(dA * outputs(net, theta, X)), X).reshape(X.shape))
    J = net.jacobian(parameters, X, backend=backend)
    assert J.shape == (*A.shape[:1], *X.shape)
    shifts = np.eye(len(X))[:, :, None]  # of all samples at once, which have nothing to do with each other
    wanted = [by_complex_step(lambda t, s=s: outputs(net, theta, X + t * s), np.zeros(1))[0] for s in shifts]
    close(J, np.stack(wanted, axis=1))


@given(networks(), st.integers(1, 20), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_it_is_what_the_complex_step_says(net, m, seed):
    for backend in CORES:
        assert_exact(net, m, seed, backend)


@pytest.mark.parametrize("hidden", ACTIVATIONS)
@pytest.mark.parametrize("output", ["sigmoid", "softmax", "identity", "exponential"])
def test_every_activation(hidden, output, backend):
    assert_exact(fx.Network([2, 3, 2, 2], hidden, output), 3, 1, backend)
    if backend != "unjitted":
        assert_exact(fx.Network([2, 3, 2], hidden, output), 19, 2, backend)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("hidden", ["tanh", "gelu", "relu"])
def test_many_samples_and_units(hidden, dtype):
    """Several tiles, blocks of every size, samples in either order."""
    for sizes, m in (((5, 33, 17, 3), 1003), ((24, 8, 2), 200), ((70, 40, 10), 600), ((6, 7), 2)):
        net = fx.Network(sizes, hidden, "softmax")
        parameters, X, dA = draws(net, m, 3, dtype)
        wanted = net.vjp(parameters, X, backend="numpy")
        wanted = wanted[0], *wanted[1](dA), net.jacobian(parameters, X, backend="numpy")
        for features, along in ((X, dA), (np.asfortranarray(X), np.asfortranarray(dA))):
            A, pullback = net.vjp(parameters, features, backend="numba")
            grads, dX = pullback(along)
            J = net.jacobian(parameters, features, backend="numba")
            for got, want in zip((A, *grads.values(), dX, J), arrays_in(wanted), strict=True):
                assert got.dtype == want.dtype == np.dtype(dtype)
                close(got, want, RTOL[dtype])


def test_of_the_loss_it_is_the_gradient(core):
    net = fx.Network([3, 5, 2], "softplus", "identity")
    parameters, X, Y = draws(net, 30, 4)
    A, pullback = net.vjp(parameters, X, backend=core)
    grads, _dX = pullback((A - Y) / 30)
    wanted = net.gradient(parameters, X, Y, backend=core)[1]
    assert list(grads) == list(wanted)
    for name, array in wanted.items():
        close(grads[name], array)


def test_any_number_of_times_for_the_point_where_it_was_made(core):
    parameters, X, dA = draws(NET, 9, 5)
    parameters = NET.unflatten(NET.flatten(parameters))  # views of one vector, which the package may keep
    before = frozen(parameters, X, dA)
    A, pullback = NET.vjp(parameters, X, backend=core)
    _B, other = NET.vjp(parameters, 2 * X, backend=core)
    first = pullback(dA)
    assert frozen(parameters, X, dA) == before
    assert_no_alias((A, first), parameters, X, dA)
    kept = frozen(first)
    for array in (*parameters.values(), X, A):
        array[...] = 7.0
    other(dA)
    twice = pullback(2 * dA)
    again = pullback(dA)
    assert frozen(first) == frozen(again) == kept
    assert_no_alias(first, again)
    for got, once in zip(arrays_in(twice), arrays_in(first), strict=True):
        close(got, 2 * once)


def test_it_takes_what_the_other_functions_take(core):
    parameters, _X, _dA = draws(NET, 4, 6)
    X, dA = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]]), np.array([[1, 0, 0, 1], [0, 1, 1, 1]])
    wanted = NET.vjp(parameters, X, backend=core)[1](dA)
    for name, features in guises(X).items():
        got = NET.vjp(parameters, features, backend=core)[1](guises(dA)[name])
        assert frozen(got) == frozen(wanted), name


def test_single_precision_stays(core):
    parameters, X, dA = draws(NET, 5, 7, np.float32)
    A, pullback = NET.vjp(parameters, X, backend=core)
    for along in (dA, dA.astype(float), dA.tolist()):
        assert {array.dtype for array in (A, *arrays_in(pullback(along)))} == {np.dtype(np.float32)}
    assert NET.vjp(parameters, X.astype(float), backend=core)[1](dA)[1].dtype == np.float64


def test_the_backend_is_the_one_of_the_call():
    """Also where the pullback is called under another one."""
    parameters, X, dA = draws(NET, 40, 8, np.float32)
    results = {}
    for core in CORES:
        with fx.use_backend(core):
            pullback = NET.vjp(parameters, X)[1]
        results[core] = [frozen(pullback(dA)) for _ in map(fx.set_backend, CORES)]
    assert all(first == second for first, second in results.values())
    assert results["numpy"] != results["numba"]


def test_many_threads_may_call_one_pullback():
    parameters, X, dA = draws(NET, 300, 9)
    pullback = NET.vjp(parameters, X, backend="numba")[1]
    wanted, wrong = [frozen(pullback(k * dA)) for k in range(3)], []

    def work(k):
        wrong.extend(k for _ in range(200) if frozen(pullback(k * dA)) != wanted[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_wrong_is_refused_by_name(core):
    parameters, X, dA = draws(NET, 4, 10)
    with pytest.raises(ValueError, match=r"X must have n_x = 3 rows.*pass X.T"):
        NET.vjp(parameters, X.T, backend=core)
    with pytest.raises(ValueError, match=r'parameters\["W2"\] must be finite, got nan'):
        NET.vjp(parameters | {"W2": np.full((2, 4), np.nan)}, X, backend=core)
    with pytest.raises(ValueError, match="backend must be one of"):
        NET.vjp(parameters, X, backend="cuda")
    pullback = NET.vjp(parameters, X, backend=core)[1]
    with pytest.raises(ValueError, match=r"dA must have shape \(n_y, m\) = \(2, 4\), .*\(4, 2\).*pass dA.T"):
        pullback(dA.T)
    with pytest.raises(ValueError, match=r"dA must have shape .*\(2,\)"):
        pullback([1.0, 2.0])
    with pytest.raises(TypeError, match="dA must hold real numbers"):
        pullback(dA + 1j)
    for bad in (np.nan, np.inf):
        dA[1, 2] = bad
        with pytest.raises(ValueError, match=rf"dA must be finite, got {bad} at \(1, 2\)"):
            pullback(dA)
    one = fx.Network([3, 1])
    with pytest.raises(ValueError, match=r"pass dA\[None, :\]"):
        one.vjp(one.initialize(0), X, backend=core)[1](np.ones(4))


def test_what_a_jacobian_cannot_be_taken_of(core):
    parameters, X, _dA = draws(NET, 4, 11)
    before = frozen(parameters, X)
    J = NET.jacobian(parameters, X, backend=core)
    assert frozen(parameters, X) == before
    assert_no_alias(J, parameters, X)
    with pytest.raises(ValueError, match=r"X must have n_x = 3 rows"):
        NET.jacobian(parameters, X[:2], backend=core)
    with pytest.raises(ValueError, match="X must be finite, got nan"):
        NET.jacobian(parameters, X * np.nan, backend=core)
    with pytest.raises(ValueError, match=r'parameters\["W1"\] must be finite, got inf'):
        NET.jacobian(parameters | {"W1": np.full((4, 3), np.inf)}, X, backend=core)
    steep = fx.Network([1, 1, 1], "identity", "identity")
    with pytest.raises(OverflowError, match="overflows float64"):
        steep.jacobian({"W1": [[1e200]], "b1": [[0.0]], "W2": [[1e200]], "b2": [[0.0]]}, [[0.0]], backend=core)


@pytest.mark.parametrize("m", [1, 8, 11, 16, 21])
def test_the_last_vector_of_samples_may_be_a_part_of_one(m, backend):
    assert_exact(fx.Network([3, 9, 2]), m, 12, backend)


@pytest.mark.parametrize("where", [0, 7, 18, 299])
def test_no_sample_of_a_jacobian_hides_an_infinity(where, core):
    net, X = fx.Network([1, 1], output="exponential"), np.zeros((1, 300))
    parameters = {"W1": [[10.0]], "b1": [[0.0]]}
    assert np.all(net.jacobian(parameters, X, backend=core) == 10)
    X[0, where] = 70.9  # the output is just below the largest number, and its derivative ten times as large
    with pytest.raises(OverflowError, match="float64"):
        net.jacobian(parameters, X, backend=core)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("m", [5, 64, 600])
@pytest.mark.parametrize("sizes", [(3, 2), (3, 9, 2), (3, 4, 4, 2)])
def test_nor_a_sample_that_is_none(sizes, m, order, core):
    """Whose derivatives would be finite, for its units are saturated."""
    net = fx.Network(sizes, output="identity")
    parameters, X, _dA = draws(net, m, 13)
    for bad, row, column in ((np.nan, 0, 0), (np.inf, 1, m // 2), (-np.inf, 2, m - 1)):
        wrong = np.array(X, order=order)
        wrong[row, column] = bad
        with pytest.raises(ValueError, match=rf"X must be finite, got {bad} at \({row}, {column}\)"):
            net.jacobian(parameters, wrong, backend=core)


@pytest.mark.parametrize("m", [5, 64])
def test_but_a_finite_sample_may_have_a_sum_that_is_not(m, core):
    net = fx.Network([2, 3, 1], output="identity")
    parameters, X, _dA = draws(net, m, 14)
    parameters["W1"] = np.full((3, 2), 1e200)
    X[:, 1] = 1e200
    J = net.jacobian(parameters, X, backend=core)
    assert np.isfinite(J).all()
    assert not J[..., 1].any()


def test_an_overflow_is_an_error(core):
    net = fx.Network([1, 1, 1], "identity", "identity")
    parameters = {"W1": [[1e200]], "b1": [[0.0]], "W2": [[1e100]], "b2": [[0.0]]}
    pullback = net.vjp(parameters, [[1e-100]], backend=core)[1]
    with pytest.raises(OverflowError, match="overflows float64; dA, X or the parameters are too large"):
        pullback([[1e200]])
    with pytest.raises(OverflowError, match="layer 1 overflows float64"):
        net.vjp(parameters, [[1e200]], backend=core)
