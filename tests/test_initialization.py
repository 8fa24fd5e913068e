"""First weights: their distribution, whence they come, and which suit which activation."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import X, Y, assert_same_dict

import fastxor as fx
from fastxor.initialization import suited
from fastxor.network import ACTIVATIONS, INITIALIZATIONS, OUTPUTS

# The standard deviation of each kind that has independent weights, of n_in inputs and n_out units.
DEVIATIONS = {
    "he": lambda n_in, n_out: sqrt(2 / n_in),
    "glorot": lambda n_in, n_out: sqrt(2 / (n_in + n_out)),
    "lecun": lambda n_in, n_out: sqrt(1 / n_in),
    "normal": lambda n_in, n_out: 1.0,
}
ONE_SIDED = {"relu", "leaky_relu", "elu", "softplus", "gelu"}
NET = fx.Network([3, 5, 2])


def kolmogorov(sample, deviation):
    """The largest distance between a sample's distribution and the normal one, times the root of the sample's size."""
    from math import erf

    ordered = np.sort(np.asarray(sample).ravel()) / deviation
    wanted = np.array([(1 + erf(value / sqrt(2))) / 2 for value in ordered])
    steps = np.arange(ordered.size + 1) / ordered.size
    return max(np.max(steps[1:] - wanted), np.max(wanted - steps[:-1])) * sqrt(ordered.size)


# ---------------------------------------------------------------- distributions


@pytest.mark.parametrize("kind", DEVIATIONS)
def test_weights_are_normal_with_the_papers_variance(kind):
    net = fx.Network([60, 150, 40])
    parameters = net.initialize(3, kind)
    for number, (n_in, n_out) in enumerate([(60, 150), (150, 40)], 1):
        W, deviation = parameters[f"W{number}"], DEVIATIONS[kind](n_in, n_out)
        assert W.std() == pytest.approx(deviation, rel=0.03)
        assert abs(W.mean()) < 4 * deviation / sqrt(W.size)
        assert kolmogorov(W, deviation) < 1.63  # one draw in a hundred is further away
        assert kolmogorov(W, 1.1 * deviation) > 1.63
        assert not parameters[f"b{number}"].any()


@pytest.mark.parametrize("kind", DEVIATIONS)
def test_one_seed_gives_the_same_weights_but_for_their_scale(kind):
    net = fx.Network([6, 15, 4])
    normal, other = (net.initialize(3, each) for each in ("normal", kind))
    for number, (n_in, n_out) in enumerate([(6, 15), (15, 4)], 1):
        wanted = DEVIATIONS[kind](n_in, n_out) * normal[f"W{number}"]
        np.testing.assert_allclose(other[f"W{number}"], wanted, rtol=1e-15)


@given(n_in=st.integers(1, 20), n_out=st.integers(1, 20), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_orthogonal_columns_or_rows(n_in, n_out, seed):
    W = fx.Network([n_in, n_out], output="identity").initialize(seed, "orthogonal")["W1"]
    product = W.T @ W if n_out >= n_in else W @ W.T
    np.testing.assert_allclose(product, np.eye(min(n_in, n_out)), atol=1e-13)


@pytest.mark.parametrize("sizes", [(3, 3), (3, 4), (4, 3)])
def test_orthogonal_matrices_are_evenly_distributed(sizes):
    """Then each column of the shorter kind is a random direction: no entry, and no sign, is preferred."""
    net = fx.Network(sizes, output="identity")
    rng = np.random.RandomState(5)
    drawn = np.array([net.initialize(rng, "orthogonal")["W1"] for _ in range(2000)])
    most = max(sizes)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=4 / sqrt(most * 2000))
    np.testing.assert_allclose((drawn**2).mean(axis=0), 1 / most, atol=0.03)


# ---------------------------------------------------------------- what suits


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_layer_gets_what_suits_its_activation(activation):
    hidden = ["tanh", activation, "sigmoid"]
    net = fx.Network([4, 7, 6, 5, 3], hidden, "identity")
    got = net.initialize(1)
    kinds = ["glorot", "he" if activation in ONE_SIDED else "glorot", "glorot", "glorot"]
    for number, kind in enumerate(kinds, 1):
        np.testing.assert_array_equal(got[f"W{number}"], net.initialize(1, kind)[f"W{number}"])


def test_outputs_get_glorots():
    assert {suited(output) for output in OUTPUTS} == {"glorot"}
    assert {name for name in ACTIVATIONS if suited(name) == "he"} == ONE_SIDED


def test_a_deep_network_keeps_its_signal():
    """What the formulas are for: after 20 layers, outputs are neither gone nor at their limits."""
    features = np.random.RandomState(0).randn(50, 200)
    for hidden in ("relu", "leaky_relu", "tanh", "identity"):
        net = fx.Network([50] * 22, hidden, "identity")
        spread = net.forward(net.initialize(1), features).std()
        assert 0.05 < spread < 5, hidden
    poor = fx.Network([50] * 22, "relu", "identity")
    assert poor.forward(poor.initialize(1, "normal"), features).std() > 1e6


def test_a_wide_relu_network_learns_from_the_default(core):
    """From N(0, 1) the first cost is in the hundreds and a unit of each few is dead for good."""
    rng = np.random.RandomState(0)
    labels = rng.randint(0, 10, 400)
    features = rng.rand(10, 196)[labels].T + 0.3 * rng.randn(196, 400)
    net = fx.Network([196, 64, 10], "relu", "softmax")
    settings = {"optimizer": fx.Adam(1e-3), "iterations": 60, "random_state": 1, "backend": core}
    run = fx.train(net, features, labels, **settings)
    poor = fx.train(net, features, labels, initialization="normal", **settings)
    assert run.history[0] < 10 < 30 < poor.history[0]
    assert (run.predict(features) == labels).mean() > 0.95 > (poor.predict(features) == labels).mean()


# ---------------------------------------------------------------- whence


@pytest.mark.parametrize("kind", [None, *INITIALIZATIONS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "make", [lambda: 6, lambda: np.int64(6), lambda: np.random.RandomState(6), lambda: np.random.default_rng(6)]
)
def test_draws_can_be_repeated(kind, dtype, make):
    first, second = (NET.initialize(make(), kind, dtype) for _ in range(2))
    assert_same_dict(first, second, rtol=0)
    assert {array.dtype for array in first.values()} == {np.dtype(dtype)}
    state = np.random.get_state()[1].tolist()
    NET.initialize(make(), kind, dtype)
    assert np.random.get_state()[1].tolist() == state


@pytest.mark.parametrize("kind", [None, *INITIALIZATIONS])
def test_numpys_global_state_serves_for_none(kind):
    np.random.seed(6)
    got, after = NET.initialize(initialization=kind), np.random.rand()
    assert_same_dict(got, NET.initialize(6, kind), rtol=0)
    np.random.seed(6)
    np.random.randn(5, 3), np.random.randn(2, 5)
    assert np.random.rand() == after  # each kind takes as many numbers


@pytest.mark.parametrize("kind", [None, *INITIALIZATIONS])
def test_float32_is_rounded(kind):
    double = NET.initialize(1, kind)
    for dtype in (np.float32, "float32", np.dtype("f4")):
        for key, value in NET.initialize(1, kind, dtype).items():
            np.testing.assert_array_equal(value, double[key].astype(np.float32))


def test_the_former_name():
    for kind in INITIALIZATIONS:
        assert_same_dict(NET.initialize(1, scheme=kind), NET.initialize(1, kind), rtol=0)
    with pytest.raises(TypeError, match="scheme and initialization exclude each other"):
        NET.initialize(1, "he", scheme="he")


# ---------------------------------------------------------------- training and the tutorial


@pytest.mark.parametrize("kind", [None, *INITIALIZATIONS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_starts_from_them(core, kind, dtype):
    net = fx.Network([2, 3, 3, 1], ["relu", "tanh"])
    options = {"iterations": 0, "random_state": 4, "backend": core}
    run = fx.train(net, X.astype(dtype), Y, initialization=kind, **options)
    assert_same_dict(run.parameters, net.initialize(4, kind, dtype), rtol=0)
    assert run.parameters["W1"].dtype == dtype


def test_a_refused_kind_draws_nothing():
    rng = np.random.RandomState(1)
    for call in (NET.initialize, lambda **more: fx.train(fx.Network([2, 1]), X, Y, **more)):
        with pytest.raises(ValueError, match=r"initialization must be one of 'he', .*did you mean 'glorot'"):
            call(random_state=rng, initialization="xavier")
    assert rng.random_sample() == np.random.RandomState(1).random_sample()


def test_the_tutorial_keeps_its_own(core):
    got = fx.initialize_parameters(2, 3, 1, random_state=7)
    draw = np.random.RandomState(7)
    np.testing.assert_array_equal(got["W1"], draw.randn(3, 2))
    np.testing.assert_array_equal(got["W2"], draw.randn(1, 3))
    trained = fx.model(X, Y, 2, 3, 1, 5, 0.0, random_state=7, print_cost=False, backend=core)
    assert_same_dict(trained, got, rtol=0)
