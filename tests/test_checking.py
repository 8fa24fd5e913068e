"""`check_gradient`: right gradients pass, a wrong entry is found wherever it is, and kinks are told from errors."""

import pickle
import re
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from engine_cases import ENDS
from hypothesis import given, settings
from hypothesis import strategies as st
from support import X, Y, frozen

import fastxor as fx
from fastxor.network import ACTIVATIONS

NET = fx.Network([2, 4, 3, 2], ["tanh", "softplus"], "identity")
DATA = np.random.RandomState(0).randn(2, 5), np.random.RandomState(1).randn(2, 5)


class Spoiled(fx.Network):
    """A network whose gradient has one wrong entry."""

    place, factor, offset = 0, 1.0, 0.0

    def gradient(self, *arguments, **options):
        cost, grads = super().gradient(*arguments, **options)
        flat = grads._flat
        flat[self.place] = self.factor * flat[self.place] + self.offset
        return cost, grads


def spoiled(net, **how):
    wrong = Spoiled(net.sizes, net.hidden, net.output, net.loss)
    for name, value in how.items():
        object.__setattr__(wrong, name, value)
    return wrong


@st.composite
def problems(draw):
    """Networks of any kind, with data of any scale."""
    output, loss = draw(st.sampled_from(ENDS))
    middle = draw(st.lists(st.integers(1, 5), max_size=3))
    n_x, n_y = draw(st.integers(1, 4)), draw(st.integers(1, 4)) + (output == "softmax")
    hidden = [draw(st.sampled_from(ACTIVATIONS)) for _ in middle]
    net = fx.Network([n_x, *middle, n_y], hidden, output, loss)
    rng = np.random.RandomState(draw(st.integers(0, 1000)))
    m, dtype = draw(st.integers(1, 8)), draw(st.sampled_from([np.float32, np.float64]))
    scales = [0.01, 0.1] if output == "exponential" else [0.01, 1.0, 10.0, 100.0]
    features = rng.randn(n_x, m) * draw(st.sampled_from(scales))
    if output == "softmax":
        targets = rng.randint(0, n_y, m)
    elif loss in ("binary_cross_entropy", "poisson"):
        targets = rng.rand(n_y, m)
    else:
        targets = rng.randn(n_y, m) * rng.choice([1, 10])
    return net, net.initialize(rng, draw(st.sampled_from([None, "normal"])), dtype), features.astype(dtype), targets


@given(problems())
@settings(max_examples=30, deadline=None)
def test_right_gradients_are_ok(problem):
    for core in ("numpy", "numba"):
        check = fx.check_gradient(*problem, backend=core)
        assert check, check
        assert check.tolerance == (1e-3 if problem[2].dtype == np.float32 else 1e-5)
        assert check.checked + check.at_kinks == check.count == problem[0].count


@pytest.mark.parametrize("place", range(NET.count))
def test_a_wrong_entry_is_found(place):
    """By a thousandth of itself, by its sign, or by a little where it is small; and it is named."""
    start = NET.initialize(3)
    exact = NET.flatten(NET.gradient(start, *DATA)[1])
    name, slot, shape = next(slot for slot in NET._slots if place < slot[1].stop)
    for how in ({"factor": 1.001}, {"factor": -1.0}, {"offset": 1e-4 * abs(exact).max()}):
        check = fx.check_gradient(spoiled(NET, place=place, **how), start, *DATA)
        assert not check.ok
        assert (check.parameter, check.index) == (name, np.unravel_index(place - slot.start, shape))
        assert f"<GradientCheck WRONG: worst relative error {check.error:.2g} in d{name}[" in repr(check)
        assert check.numeric == pytest.approx(exact[place], rel=1e-6)
        assert check.analytic == how.get("factor", 1.0) * exact[place] + how.get("offset", 0.0)


def test_a_wrong_gradient_in_float32_is_found(core):
    start = NET.initialize(3, dtype=np.float32)
    features, targets = DATA[0].astype(np.float32), DATA[1]
    for place in range(0, NET.count, 4):
        check = fx.check_gradient(spoiled(NET, place=place, factor=-1.0), start, features, targets, backend=core)
        assert not check, check


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_wrong(value):
    check = fx.check_gradient(spoiled(NET, place=4, offset=value), NET.initialize(3), *DATA)
    assert not check
    assert (check.parameter, check.index) == ("W1", (2, 0))


# ---------------------------------------------------------------- kinks


@pytest.mark.parametrize("hidden", ["relu", "leaky_relu"])
def test_biases_of_zero_at_a_sample_of_zeros(core, hidden):
    """The hidden inputs are exactly 0 there: no derivative by these biases, and one by all else."""
    net = fx.Network([2, 4, 1], hidden)
    check = fx.check_gradient(net, net.initialize(1), X, Y, backend=core)
    assert check, check
    assert (check.checked, check.at_kinks) == (net.count - 4, 4)
    assert "13 of 17 parameters checked, 4 at a kink left out" in repr(check)
    moved = net.unflatten(net.flatten(net.initialize(1)) + 0.01)
    check = fx.check_gradient(net, moved, X, Y, backend=core)
    assert check
    assert check.at_kinks == 0
    assert "kink" not in repr(check)


@pytest.mark.parametrize("hidden", ["relu", "leaky_relu"])
@pytest.mark.parametrize("distance", [1e-2, -1e-3, 1e-4, -1e-5])
def test_near_a_kink(hidden, distance):
    """Within the steps that are taken elsewhere, on either side: judged, and an error is still seen."""
    net = fx.Network([1, 1, 1], hidden, "identity")
    start = {"W1": [[1.0]], "b1": [[distance]], "W2": [[1.5]], "b2": [[0.25]]}
    data = [[0.0, 2.0]], [[3.0, 1.0]]
    check = fx.check_gradient(net, start, *data)
    assert check, check
    assert (check.checked, check.at_kinks) == (4, 0)
    exact = net.gradient(start, *data)[1]["db1"].item()
    assert not fx.check_gradient(spoiled(net, place=1, offset=0.001 * exact), start, *data)


def test_many_kinks_are_no_errors():
    """Hundreds of inputs of relu, of which some are near 0."""
    net = fx.Network([3, 20, 20, 2], "relu", "identity")
    rng = np.random.RandomState(2)
    check = fx.check_gradient(net, net.initialize(rng), rng.randn(3, 300), rng.randn(2, 300), entries=60)
    assert check, check
    assert check.checked > 55


def test_smooth_activations_have_no_kinks():
    for hidden in set(ACTIVATIONS) - {"relu", "leaky_relu"}:
        net = fx.Network([2, 4, 1], hidden)
        check = fx.check_gradient(net, net.initialize(1), X, Y)
        assert check, check
        assert check.at_kinks == 0


# ---------------------------------------------------------------- arguments and result


def test_at_a_minimum_rounding_is_no_error(core):
    """Where the gradient is nothing but rounding."""
    net = fx.Network([1, 1], output="identity")
    for dtype in (np.float32, np.float64):
        features = np.linspace(-1, 1, 9, dtype=dtype)[None]
        start = net.unflatten(np.array([0.1, 0.3], dtype))
        for targets in (0.1 * features + 0.3, np.full((1, 9), 0.3) + 0.1 * features + np.array([[1, -2, 1] * 3])):
            assert fx.check_gradient(net, start, features, targets, backend=core)
    zeros = net.unflatten([0.0, 0.0])
    check = fx.check_gradient(net, zeros, [[0.0]], [[0.0]], backend=core)
    assert (check.ok, check.error) == (True, 0.0)


@pytest.mark.parametrize("entries", [1, 5, 20, 46, 47, 10**30, None])
def test_entries_come_from_every_matrix(entries):
    net = fx.Network([4, 5, 3, 1])
    start, data = net.initialize(0), (np.ones((4, 2)), [0, 1])
    check = fx.check_gradient(net, start, *data, entries=entries)
    wanted = net.count if entries is None else min(entries, net.count)
    assert wanted <= check.checked <= min(wanted + 6, net.count)
    assert repr(fx.check_gradient(net, start, *data, entries=entries)) == repr(check)
    for name, slot, _shape in net._slots:
        if entries == 1 and slot.stop - slot.start == 1:
            wrong = fx.check_gradient(spoiled(net, place=slot.start, offset=1.0), start, *data, entries=1)
            assert (bool(wrong), wrong.parameter) == (False, name)


def test_the_tolerance_may_be_chosen():
    wrong, start = spoiled(NET, place=9, factor=1.01), NET.initialize(3)
    assert not fx.check_gradient(wrong, start, *DATA)
    assert fx.check_gradient(wrong, start, *DATA, tolerance=0.02)
    assert not fx.check_gradient(NET, start, *DATA, tolerance=0)


def test_the_result_is_small_and_frozen():
    check = fx.check_gradient(NET, NET.initialize(3), *DATA)
    with pytest.raises(FrozenInstanceError):
        check.error = 0.0
    pattern = (
        r"<GradientCheck ok: worst relative error \S+ in d[Wb][123]\[\d, \d\], \S+ analytic and \S+ numeric, "
        r"tolerance 1e-05; 35 of 35 parameters checked>"
    )
    assert re.fullmatch(pattern, repr(check))
    assert pickle.loads(pickle.dumps(check)) == check


def test_arguments_stay_as_they_are_and_may_be_lists(core):
    start = NET.initialize(3)
    before = frozen(start, *DATA)
    check = fx.check_gradient(NET, start, *DATA, backend=core)
    assert frozen(start, *DATA) == before
    lists = {name: array.tolist() for name, array in start.items()}
    assert fx.check_gradient(NET, lists, *(array.tolist() for array in DATA), backend=core) == check


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"network": None}, TypeError, "network must be a Network"),
        ({"parameters": {}}, ValueError, "parameters must be a dict with the keys W1"),
        ({"X": np.ones((3, 5))}, ValueError, "X must have n_x = 2 rows"),
        ({"Y": [0, 1]}, ValueError, "Y must have shape"),
        ({"X": np.full((2, 5), np.nan)}, ValueError, "X must be finite"),
        ({"entries": 0}, ValueError, "entries must be at least 1"),
        ({"entries": 1.5}, TypeError, "entries must be an integer"),
        ({"tolerance": -1.0}, ValueError, "tolerance must be finite and not negative"),
        ({"tolerance": "1"}, TypeError, "tolerance must be a real number"),
        ({"backend": "jax"}, ValueError, "backend must be one of"),
    ],
)
def test_refused(wrong, error, message):
    arguments = {"network": NET, "parameters": NET.initialize(0), "X": DATA[0], "Y": DATA[1]}
    with pytest.raises(error, match=message):
        fx.check_gradient(**(arguments | wrong))
