"""`Network.hvp`: both cores, and the fused one's source un-jitted, against the complex step of the gradient."""

import numpy as np
import pytest
from derivative_cases import STEP, close, draws, gradient, networks, targets
from engine_cases import ENDS
from hypothesis import given, settings
from hypothesis import strategies as st
from support import arrays_in, assert_no_alias, frozen

import fastxor as fx
from fastxor.network import ACTIVATIONS

NET = fx.Network([3, 4, 2], "tanh", "softmax")
RTOL = {"float64": 1e-10, "float32": 1e-3}


def problem(net, m, seed, dtype="float64"):
    """Parameters, X, Y and a direction."""
    parameters, X, like = draws(net, m, seed, dtype)
    direction = draws(net, 1, seed + 1, dtype)[0]
    return parameters, X, targets(net, like, seed).astype(dtype), direction


def assert_exact(net, m, seed, backend):
    parameters, X, Y, direction = problem(net, m, seed)
    got = net.flatten(net.hvp(parameters, X, Y, direction, backend=backend))
    theta, v = net.flatten(parameters), net.flatten(direction)
    close(got, gradient(net, theta + STEP * 1j * v, X, Y).imag / STEP)


@given(networks(), st.integers(1, 20), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_it_is_what_the_complex_step_says(net, m, seed):
    for backend in ("numpy", "numba"):
        assert_exact(net, m, seed, backend)


@pytest.mark.parametrize("hidden", ACTIVATIONS)
@pytest.mark.parametrize(("output", "loss"), ENDS)
def test_every_activation_and_loss(hidden, output, loss, backend):
    assert_exact(fx.Network([2, 3, 2], hidden, output, loss), 5, 1, backend)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("hidden", ["tanh", "gelu"])
def test_many_samples_and_units(hidden, dtype):
    """Several tiles, blocks of every size, samples in either order."""
    for sizes, m in (((5, 33, 17, 3), 1003), ((70, 40, 10), 600), ((6, 7), 2)):
        net = fx.Network(sizes, hidden, "softmax")
        parameters, X, Y, direction = problem(net, m, 3, dtype)
        wanted = net.hvp(parameters, X, Y, direction, backend="numpy")
        for turned in (np.ascontiguousarray, np.asfortranarray):
            got = net.hvp(parameters, turned(X), turned(Y), direction, backend="numba")
            assert list(got) == list(wanted)
            for name, array in wanted.items():
                assert got[name].dtype == array.dtype == np.dtype(dtype)
                close(got[name], array, RTOL[dtype])


@given(networks(), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_the_hessian_is_symmetric(net, seed):
    parameters, X, Y, v = problem(net, 9, seed)
    u = draws(net, 1, seed + 2)[0]
    along = [net.flatten(net.hvp(parameters, X, Y, direction)) for direction in (u, v)]
    there, back = (float(one @ net.flatten(other)) for one, other in zip(along, (v, u), strict=True))
    assert there == pytest.approx(back, rel=1e-9, abs=1e-9)


def test_what_a_direction_may_be(core):
    parameters, X, _Y, direction = problem(NET, 9, 4)
    Y = np.arange(9) % 2  # class numbers
    before = frozen(parameters, X, Y, direction)
    wanted = NET.hvp(parameters, X, Y, direction, backend=core)
    assert frozen(parameters, X, Y, direction) == before
    assert_no_alias(wanted, parameters, X, Y, direction)
    for other in (
        {"d" + name: array for name, array in direction.items()},
        {name: array.tolist() for name, array in direction.items()},
        NET.unflatten(NET.flatten(direction)),
    ):
        assert frozen(NET.hvp(parameters, X, Y, other, backend=core)) == frozen(wanted)
    grads = NET.gradient(parameters, X, Y)[1]
    twice = {name: 2 * array for name, array in grads.items()}
    for double, once in zip(
        *(arrays_in(NET.hvp(parameters, X, Y, v, backend=core)) for v in (twice, grads)), strict=True
    ):
        close(double, 2 * once)


def test_what_is_wrong_is_refused_by_name(core):
    parameters, X, Y, direction = problem(NET, 4, 5)
    for name, value, message in (
        ("W2", np.ones((4, 2)), r'direction\["W2"\] must have shape \(2, 4\), the shape of the parameter'),
        ("b1", np.full((4, 1), np.nan), r'direction\["b1"\] must be finite, got nan at \(0, 0\)'),
        ("b3", np.ones((1, 1)), "direction must be a dict with the keys W1, b1, W2, b2; unknown 'b3'"),
    ):
        with pytest.raises(ValueError, match=message):
            NET.hvp(parameters, X, Y, direction | {name: value}, backend=core)
    with pytest.raises(TypeError, match="direction must be a dict with the keys W1, b1, W2, b2, got list"):
        NET.hvp(parameters, X, Y, [1.0], backend=core)
    with pytest.raises(ValueError, match="Y must lie between 0 and 1"):
        NET.hvp(parameters, X, Y + 2, direction, backend=core)
    with pytest.raises(ValueError, match="X must be finite, got inf"):
        NET.hvp(parameters, X + np.inf, Y, direction, backend=core)
    line = fx.Network([1, 1], "tanh", "identity")
    with pytest.raises(OverflowError, match="overflows float64"):
        line.hvp(line.initialize(0), [[1e200]], [[0.0]], {"W1": [[1e200]], "b1": [[0.0]]}, backend=core)
