"""The tutorial's eight functions on every core: names, values, shapes, dtypes, printing, kinds of input."""

import inspect
import math
import re
import time
import types
import warnings

import numpy as np
import pytest
from support import (
    GOLDEN_COSTS,
    GOLDEN_PREDICTION,
    KEYS,
    X,
    Y,
    assert_no_alias,
    assert_same_dict,
    frozen,
    guises,
    plain_backward,
    plain_cost,
    plain_data,
    plain_forward,
    plain_parameters,
    plain_run,
    plain_sigmoid,
    run_python,
)

import fastxor as fx

SIZES = [(1, 1, 1, 1), (2, 2, 1, 4), (3, 5, 2, 9), (7, 13, 3, 33), (1, 17, 1, 100), (5, 1, 4, 6)]
SIGNATURES = {
    "sigmoid": ["z"],
    "initialize_parameters": ["n_x", "n_h", "n_y"],
    "forward_prop": ["X", "parameters"],
    "calculate_cost": ["A2", "Y"],
    "backward_prop": ["X", "Y", "cache", "parameters"],
    "update_parameters": ["parameters", "grads", "learning_rate"],
    "model": ["X", "Y", "n_x", "n_h", "n_y", "num_of_iters", "learning_rate"],
    "predict": ["X", "parameters"],
}
EXTRAS = {
    "initialize_parameters": {"random_state", "dtype"},
    "model": {"print_cost", "random_state", "parameters", "backend"},
    "sigmoid": {"backend"},
    "forward_prop": {"backend"},
    "calculate_cost": {"backend"},
    "backward_prop": {"backend"},
    "update_parameters": {"backend"},
    "predict": {"backend"},
}


# ---------------------------------------------------------------- names and order


@pytest.mark.parametrize("name", SIGNATURES)
def test_names_order_and_extras(name):
    parameters = inspect.signature(getattr(fx, name)).parameters
    required = [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    assert list(parameters)[: len(required)] == required == SIGNATURES[name]
    assert all(parameters[n].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for n in required)
    assert EXTRAS[name] <= set(parameters) - set(required)


@pytest.mark.parametrize("name", SIGNATURES)
def test_every_function_explains_itself(name):
    text = inspect.getdoc(getattr(fx, name))
    assert text
    assert len(text) > 40


def test_all_lists_the_public_names():
    wanted = {*SIGNATURES, "set_backend", "get_backend", "use_backend", "available_backends", "warmup"}
    assert wanted <= set(fx.__all__)
    assert all(hasattr(fx, name) for name in fx.__all__)
    assert wanted <= set(dir(fx))


def test_positional_and_keyword_calls_agree(core):
    parameters = plain_parameters(2, 3, 1)
    with fx.use_backend(core):
        by_place = fx.model(X, Y, 2, 3, 1, 5, 0.3, parameters=parameters, print_cost=False)
        by_name = fx.model(
            learning_rate=0.3, num_of_iters=5, n_y=1, n_h=3, n_x=2, Y=Y, X=X, parameters=parameters, print_cost=False
        )
    assert_same_dict(by_place, by_name, rtol=0)


# ---------------------------------------------------------------- sigmoid


def test_sigmoid_values(backend):
    z = np.concatenate([np.linspace(-700, 700, 1001), np.linspace(-2, 2, 1001), [1e-300, -1e-300, 1e-9, -1e-9]])
    np.testing.assert_allclose(fx.sigmoid(z, backend=backend), plain_sigmoid(z), rtol=1e-14)


def test_sigmoid_never_leaves_zero_to_one_and_never_falls(backend):
    z = np.concatenate([np.linspace(-800, -690, 2001), np.linspace(30, 40, 2001), np.linspace(690, 800, 2001)])
    s = fx.sigmoid(z, backend=backend)
    assert s.min() >= 0
    assert s.max() <= 1
    assert np.all(np.diff(s) >= -1e-15 * s[1:])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sigmoid_at_the_extremes_is_silent_and_exact(backend, dtype):
    big = np.finfo(dtype).max
    z = np.array([-np.inf, -big, -1e4, -800, -89, -0.0, 0.0, 89, 800, 1e4, big, np.inf, np.nan], dtype)
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        s = fx.sigmoid(z, backend=backend)
    assert s.dtype == dtype
    np.testing.assert_array_equal(s[[0, 1, 2]], 0)
    assert s[3] <= 1e-300
    np.testing.assert_allclose(s[4], math.exp(-89), rtol=1e-4, atol=1e-38)
    np.testing.assert_array_equal(s[[5, 6]], 0.5)
    np.testing.assert_array_equal(s[[8, 9, 10, 11]], 1)
    np.testing.assert_allclose(s[7], 1, rtol=1e-6)
    assert np.isnan(s[12])


@pytest.mark.parametrize("place", range(9))
def test_sigmoid_keeps_nan_where_it_is(backend, place):
    """In any lane of a vector register and in any tail."""
    z = np.linspace(-4, 4, 9)
    z[place] = np.nan
    s = fx.sigmoid(z, backend=backend)
    assert np.isnan(s[place])
    others = np.arange(9) != place
    np.testing.assert_allclose(s[others], plain_sigmoid(z[others]), rtol=1e-14)


@pytest.mark.parametrize("z", [0.3, 0, 2, -5, True, np.float64(0.3), np.int64(-2), np.float32(0.25), np.array(1.5)])
def test_sigmoid_of_a_scalar(backend, z):
    s = fx.sigmoid(z, backend=backend)
    assert np.shape(s) == ()
    single = getattr(z, "dtype", None) == np.float32
    assert np.asarray(s).dtype == (np.float32 if single else np.float64)
    assert float(s) == pytest.approx(1 / (1 + math.exp(-float(z))), rel=1e-6 if single else 1e-14)


@pytest.mark.parametrize("z", [math.inf, -math.inf, math.nan, 1e308, -1e308, 10**6, -(10**6), 10**20, -(10**300)])
def test_sigmoid_of_an_extreme_scalar(backend, z):
    s = fx.sigmoid(z, backend=backend)
    if math.isnan(z):
        assert math.isnan(s)
    else:
        assert float(s) == (1.0 if z > 0 else 0.0)


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 1), (3, 4), (2, 3, 4), (2, 1, 3, 5), (0,), (0, 3), (1000,)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sigmoid_of_any_shape(backend, shape, dtype):
    z = np.linspace(-5, 5, math.prod(shape)).reshape(shape).astype(dtype)
    s = fx.sigmoid(z, backend=backend)
    assert isinstance(s, np.ndarray)
    assert s.shape == shape
    assert s.dtype == dtype
    np.testing.assert_allclose(s, plain_sigmoid(z), rtol=1e-14 if dtype == np.float64 else 1e-6)


@pytest.mark.parametrize("guise", guises([[-3, 0, 2, 5, 1], [7, -1, 4, -6, 3]]))
def test_sigmoid_of_any_guise(backend, guise):
    z = guises([[-3, 0, 2, 5, 1], [7, -1, 4, -6, 3]])[guise]
    before = frozen(z)
    s = fx.sigmoid(z, backend=backend)
    assert s.dtype == (np.float32 if guise == "float32" else np.float64)
    np.testing.assert_allclose(s, plain_sigmoid(z), rtol=1e-6 if guise == "float32" else 1e-14)
    assert frozen(z) == before
    assert_no_alias(s, z)
    s[:] = 0  # writable, and the caller's own


# ---------------------------------------------------------------- initialize_parameters


@pytest.mark.parametrize(("n_x", "n_h", "n_y", "m"), SIZES)
def test_initial_parameters_have_the_tutorials_shapes(n_x, n_h, n_y, m):
    parameters = fx.initialize_parameters(n_x, n_h, n_y)
    assert list(parameters) == list(KEYS)
    assert [parameters[k].shape for k in KEYS] == [(n_h, n_x), (n_h, 1), (n_y, n_h), (n_y, 1)]
    assert all(parameters[k].dtype == np.float64 for k in KEYS)
    assert not parameters["b1"].any()
    assert not parameters["b2"].any()
    assert all(parameters[k].flags.writeable for k in KEYS)
    assert not np.shares_memory(parameters["W1"], parameters["b1"])


def test_initial_parameters_draw_from_the_global_state_as_randn_does():
    np.random.seed(2)
    W1, W2, after = np.random.randn(5, 3), np.random.randn(2, 5), np.random.rand()
    np.random.seed(2)
    parameters = fx.initialize_parameters(3, 5, 2)
    np.testing.assert_array_equal(parameters["W1"], W1)
    np.testing.assert_array_equal(parameters["W2"], W2)
    assert np.random.rand() == after


def test_an_odd_number_of_draws_leaves_the_same_state():
    """randn keeps a spare normal; one that draws in another way would lose or keep another."""
    np.random.seed(9)
    np.random.randn(3, 1)
    np.random.randn(2, 3)
    after = np.random.randn(3)
    np.random.seed(9)
    fx.initialize_parameters(1, 3, 2)
    np.testing.assert_array_equal(np.random.randn(3), after)


def test_random_state_int_is_the_seed_of_a_random_state():
    wanted = fx.initialize_parameters(3, 4, 2, random_state=np.random.RandomState(7))
    for seed in (7, np.int64(7), np.uint8(7)):
        assert_same_dict(fx.initialize_parameters(3, 4, 2, random_state=seed), wanted, rtol=0)
    np.random.seed(7)
    assert_same_dict(fx.initialize_parameters(3, 4, 2), wanted, rtol=0)
    other = fx.initialize_parameters(3, 4, 2, random_state=8)
    assert not np.array_equal(other["W1"], wanted["W1"])


def test_random_state_object_is_drawn_from_in_place():
    state, twin = np.random.RandomState(3), np.random.RandomState(3)
    for _ in range(2):
        parameters = fx.initialize_parameters(3, 4, 2, random_state=state)
        np.testing.assert_array_equal(parameters["W1"], twin.randn(4, 3))
        np.testing.assert_array_equal(parameters["W2"], twin.randn(2, 4))


def test_generator_is_drawn_from_in_place():
    generator, twin = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(2):
        parameters = fx.initialize_parameters(3, 4, 2, random_state=generator)
        np.testing.assert_array_equal(parameters["W1"], twin.standard_normal((4, 3)))
        np.testing.assert_array_equal(parameters["W2"], twin.standard_normal((2, 4)))


@pytest.mark.parametrize("make", [lambda: 5, lambda: np.random.RandomState(5), lambda: np.random.default_rng(5)])
def test_a_random_state_of_ones_own_leaves_the_global_one_alone(make):
    np.random.seed(1)
    after = np.random.rand()
    np.random.seed(1)
    fx.initialize_parameters(2, 3, 1, random_state=make())
    fx.model(X, Y, 2, 3, 1, 2, 0.3, random_state=make(), print_cost=False)
    assert np.random.rand() == after


@pytest.mark.parametrize("dtype", [np.float32, "float32", np.dtype(np.float32)])
def test_float32_parameters_are_the_same_draws_rounded(dtype):
    single = fx.initialize_parameters(3, 4, 2, random_state=1, dtype=dtype)
    double = fx.initialize_parameters(3, 4, 2, random_state=1, dtype=np.float64)
    for key in KEYS:
        assert single[key].dtype == np.float32
        np.testing.assert_array_equal(single[key], double[key].astype(np.float32))


def test_sizes_may_be_numpy_integers():
    parameters = fx.initialize_parameters(np.int64(2), np.int32(3), np.uint8(1), random_state=0)
    assert_same_dict(parameters, fx.initialize_parameters(2, 3, 1, random_state=0), rtol=0)


def test_initial_weights_are_standard_normal():
    parameters = fx.initialize_parameters(100, 200, 100, random_state=0)
    for key in ("W1", "W2"):
        assert abs(parameters[key].mean()) < 0.05
        assert abs(parameters[key].std() - 1) < 0.05


# ---------------------------------------------------------------- forward_prop


@pytest.mark.parametrize(("n_x", "n_h", "n_y", "m"), SIZES)
def test_forward_values(backend, n_x, n_h, n_y, m):
    features, _ = plain_data(n_x, n_y, m)
    parameters = plain_parameters(n_x, n_h, n_y)
    A2, cache = fx.forward_prop(features, parameters, backend=backend)
    wanted_A1, wanted_A2 = plain_forward(features, parameters)
    assert A2.shape == cache["A2"].shape == (n_y, m)
    assert cache["A1"].shape == (n_h, m)
    assert A2.dtype == cache["A1"].dtype == cache["A2"].dtype == np.float64
    np.testing.assert_allclose(cache["A1"], wanted_A1, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(A2, wanted_A2, rtol=1e-12)
    np.testing.assert_array_equal(cache["A2"], A2)


def test_forward_saturates_in_silence(backend):
    parameters = {k: v * 1e200 for k, v in plain_parameters(2, 3, 1).items()}
    with np.errstate(all="raise", under="ignore"):
        A2, cache = fx.forward_prop(np.array([[1.0, 2.0, -3.0], [-1.0, 5.0, 2.0]]), parameters, backend=backend)
    np.testing.assert_array_equal(np.abs(cache["A1"]), 1)
    assert np.isin(A2, (0, 1)).all()


# ---------------------------------------------------------------- calculate_cost


@pytest.mark.parametrize(("n_x", "n_h", "n_y", "m"), SIZES)
def test_cost_value(backend, n_x, n_h, n_y, m):
    features, labels = plain_data(n_x, n_y, m)
    _, A2 = plain_forward(features, plain_parameters(n_x, n_h, n_y))
    cost = fx.calculate_cost(A2, labels, backend=backend)
    assert isinstance(cost, float)
    assert cost == pytest.approx(plain_cost(A2, labels), rel=1e-12)


def test_cost_of_soft_labels(backend):
    A2 = np.array([[0.2, 0.5, 0.9], [0.4, 0.6, 0.1]])
    labels = np.array([[0.25, 1, 0.0], [0.5, 0.125, 0.75]])
    assert fx.calculate_cost(A2, labels, backend=backend) == pytest.approx(plain_cost(A2, labels), rel=1e-13)


@pytest.mark.parametrize(
    ("A2", "labels", "wanted"),
    [
        ([[0, 1, 1, 0]], [[0, 1, 1, 0]], 0.0),
        ([[0.0]], [[0.0]], 0.0),
        ([[1.0]], [[1.0]], 0.0),
        ([[0, 1, 0.25]], [[0, 1, 1]], math.log(4) / 3),
        ([[1, 0.75, 0.0], [0.5, 1, 1]], [[1, 0, 0], [0, 1, 1]], (math.log(4) + math.log(2)) / 3),
        ([[0.0]], [[1.0]], math.inf),
        ([[1.0]], [[0.0]], math.inf),
        ([[0.5, 0.0, 0.5]], [[0, 1, 1]], math.inf),
        ([[0.5, 0.5, 1.0, 0.5, 0.5]], [[0, 1, 0, 1, 1]], math.inf),
        ([[0.0]], [[0.3]], math.inf),
        ([[1.0]], [[0.7]], math.inf),
        ([[0.0, 1.0]], [[1.0, 0.0]], math.inf),
        ([[0.0] * 37], [[0.0] * 37], 0.0),
        ([[1.0] * 36 + [0.0]], [[1.0] * 37], math.inf),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cost_where_the_output_saturates(backend, dtype, A2, labels, wanted):
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        cost = fx.calculate_cost(np.array(A2, dtype), np.array(labels, dtype), backend=backend)
    assert isinstance(cost, float)
    if math.isinf(wanted) or wanted == 0:
        assert cost == wanted
        assert math.copysign(1, cost) == 1  # printed as 0.000000, never -0.000000
    else:
        assert cost == pytest.approx(wanted, rel=1e-14 if dtype == np.float64 else 1e-6)


def test_cost_next_to_saturation(backend):
    """The last representable values before 0 and 1 give finite costs, to full precision."""
    below_one, tiny = 1 - 2.0**-53, 5e-324
    assert fx.calculate_cost([[below_one]], [[1]], backend=backend) == pytest.approx(2.0**-53, rel=1e-12)
    assert fx.calculate_cost([[below_one]], [[0]], backend=backend) == pytest.approx(53 * math.log(2), rel=1e-14)
    assert fx.calculate_cost([[tiny]], [[1]], backend=backend) == pytest.approx(1074 * math.log(2), rel=1e-14)
    assert fx.calculate_cost([[tiny]], [[0]], backend=backend) == pytest.approx(0, abs=1e-15)
    assert fx.calculate_cost([[1e-310]], [[1]], backend=backend) == pytest.approx(310 * math.log(10), rel=1e-13)


# ---------------------------------------------------------------- backward_prop


@pytest.mark.parametrize(("n_x", "n_h", "n_y", "m"), SIZES)
def test_gradients(backend, n_x, n_h, n_y, m):
    features, labels = plain_data(n_x, n_y, m)
    parameters = plain_parameters(n_x, n_h, n_y)
    A1, A2 = plain_forward(features, parameters)
    grads = fx.backward_prop(features, labels, {"A1": A1, "A2": A2}, parameters, backend=backend)
    wanted = plain_backward(features, labels, A1, A2, parameters)
    assert_same_dict(grads, wanted, rtol=1e-11, atol=1e-14)
    assert list(grads) == ["dW1", "db1", "dW2", "db2"]
    assert all(grads["d" + k].shape == parameters[k].shape for k in KEYS)
    assert all(g.dtype == np.float64 for g in grads.values())


def test_gradients_follow_the_cache_that_is_given(backend):
    """Backward trusts the cache, as the tutorial's does: it runs nothing forward again."""
    features, labels = plain_data(3, 2, 5)
    parameters = plain_parameters(3, 4, 2)
    A1, A2 = np.full((4, 5), 0.25), np.full((2, 5), 0.75)
    grads = fx.backward_prop(features, labels, {"A1": A1, "A2": A2}, parameters, backend=backend)
    assert_same_dict(grads, plain_backward(features, labels, A1, A2, parameters), rtol=1e-12, atol=1e-15)


def test_gradients_with_a_cache_from_the_other_core(core):
    other = {"numpy": "numba", "numba": "numpy"}[core]
    features, labels = plain_data(3, 2, 5)
    parameters = plain_parameters(3, 4, 2)
    _, cache = fx.forward_prop(features, parameters, backend=other)
    grads = fx.backward_prop(features, labels, cache, parameters, backend=core)
    A1, A2 = plain_forward(features, parameters)
    assert_same_dict(grads, plain_backward(features, labels, A1, A2, parameters), rtol=1e-11, atol=1e-14)


def test_a_cache_with_more_in_it_is_welcome(backend):
    """The tutorial's variants also keep Z1 and Z2."""
    features, labels = plain_data(3, 2, 5)
    parameters = plain_parameters(3, 4, 2)
    A1, A2 = plain_forward(features, parameters)
    cache = {"Z1": parameters["W1"] @ features, "A1": A1, "Z2": np.zeros((2, 5)), "A2": A2}
    grads = fx.backward_prop(features, labels, cache, parameters, backend=backend)
    assert_same_dict(grads, plain_backward(features, labels, A1, A2, parameters), rtol=1e-11, atol=1e-14)


# ---------------------------------------------------------------- update_parameters


@pytest.mark.parametrize("learning_rate", [0.3, 1, 0, 1e-12, np.float32(0.5), np.int64(2)])
def test_update(backend, learning_rate):
    parameters = plain_parameters(3, 4, 2)
    grads = {"d" + k: v for k, v in plain_parameters(3, 4, 2, seed=8).items()}
    before = frozen(parameters, grads)
    updated = fx.update_parameters(parameters, grads, learning_rate, backend=backend)
    assert updated is not parameters
    wanted = {k: parameters[k] - float(learning_rate) * grads["d" + k] for k in KEYS}
    assert_same_dict(updated, wanted, rtol=1e-13, atol=1e-15)
    assert list(updated) == list(KEYS)
    assert all(v.dtype == np.float64 for v in updated.values())
    assert frozen(parameters, grads) == before
    assert_no_alias(updated, parameters, grads)


# ---------------------------------------------------------------- model


def test_golden_costs(core, capsys):
    np.random.seed(2)
    parameters = fx.model(X, Y, 2, 2, 1, 1000, 0.3, backend=core)
    captured = capsys.readouterr()
    assert captured.out == GOLDEN_COSTS
    assert captured.err == ""
    answers = [fx.predict([[a], [b]], parameters, backend=core) for a in (0, 1) for b in (0, 1)]
    assert answers == [0, 1, 1, 0]


def test_golden_costs_unjitted(capsys):
    """The first hundred iterations of the fused core's source, run as plain Python."""
    np.random.seed(2)
    fx.model(X, Y, 2, 2, 1, 100, 0.3, backend="unjitted")
    assert capsys.readouterr().out.splitlines() == GOLDEN_COSTS.splitlines()[:2]


@pytest.mark.parametrize("random_state", [2, np.int64(2), "RandomState"])
def test_golden_costs_by_random_state(core, capsys, random_state):
    if random_state == "RandomState":
        random_state = np.random.RandomState(2)
    fx.model(X, Y, 2, 2, 1, 200, 0.3, backend=core, random_state=random_state)
    assert capsys.readouterr().out.splitlines() == GOLDEN_COSTS.splitlines()[:3]


def test_golden_costs_by_python_lists(core, capsys):
    np.random.seed(2)
    fx.model(X.tolist(), Y.tolist(), 2, 2, 1, 200, 0.3, backend=core)
    assert capsys.readouterr().out.splitlines() == GOLDEN_COSTS.splitlines()[:3]


@pytest.mark.parametrize("num_of_iters", [0, 1, 2, 7, 99, 100, 101])
def test_model_makes_one_update_more_than_it_is_asked(core, num_of_iters):
    start = plain_parameters(2, 3, 1)
    parameters = fx.model(X, Y, 2, 3, 1, num_of_iters, 0.3, parameters=start, print_cost=False, backend=core)
    wanted, _ = plain_run(X, Y, start, num_of_iters + 1, 0.3)
    assert_same_dict(parameters, wanted, rtol=1e-11)


def test_model_without_iterations_makes_one_update_unjitted():
    start = plain_parameters(2, 3, 1)
    parameters = fx.model(X, Y, 2, 3, 1, 0, 0.3, parameters=start, print_cost=False, backend="unjitted")
    assert_same_dict(parameters, plain_run(X, Y, start, 1, 0.3)[0], rtol=1e-12)


@pytest.mark.parametrize("num_of_iters", [0, 1, 99, 100, 199, 250, 1234])
def test_model_prints_every_hundredth(core, capsys, num_of_iters):
    start = plain_parameters(2, 2, 1, seed=4)
    fx.model(X, Y, 2, 2, 1, num_of_iters, 0.5, parameters=start, backend=core)
    _, costs = plain_run(X, Y, start, num_of_iters + 1, 0.5)
    wanted = [f"Cost after iteration# {i:d}: {costs[i]:f}" for i in range(0, num_of_iters + 1, 100)]
    assert capsys.readouterr().out == "".join(line + "\n" for line in wanted)


def test_model_prints_nothing_when_told(core, capsys):
    loud = fx.model(X, Y, 2, 2, 1, 300, 0.3, random_state=2, backend=core)
    assert capsys.readouterr().out != ""
    quiet = fx.model(X, Y, 2, 2, 1, 300, 0.3, random_state=2, backend=core, print_cost=False)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert_same_dict(quiet, loud, rtol=0)


def test_model_draws_from_the_global_state_as_initialize_parameters_does(core):
    np.random.seed(11)
    start = fx.initialize_parameters(2, 3, 1)
    after = np.random.randn()
    wanted, _ = plain_run(X, Y, start, 4, 0.3)
    np.random.seed(11)
    parameters = fx.model(X, Y, 2, 3, 1, 3, 0.3, print_cost=False, backend=core)
    assert_same_dict(parameters, wanted, rtol=1e-12)
    assert np.random.randn() == after


def test_model_draws_from_a_generator(core):
    wanted, _ = plain_run(X, Y, fx.initialize_parameters(2, 3, 1, random_state=np.random.default_rng(4)), 4, 0.3)
    state = np.random.default_rng(4)
    parameters = fx.model(X, Y, 2, 3, 1, 3, 0.3, print_cost=False, backend=core, random_state=state)
    assert_same_dict(parameters, wanted, rtol=1e-12)


def test_model_starts_from_given_parameters_and_draws_nothing(core):
    start = plain_parameters(2, 3, 1)
    before = frozen(start)
    np.random.seed(3)
    after = np.random.rand()
    np.random.seed(3)
    parameters = fx.model(X, Y, 2, 3, 1, 20, 0.3, parameters=start, print_cost=False, backend=core)
    assert np.random.rand() == after
    assert_same_dict(parameters, plain_run(X, Y, start, 21, 0.3)[0], rtol=1e-11)
    assert frozen(start) == before
    assert_no_alias(parameters, start, X, Y)


def test_model_goes_on_where_it_stopped(core):
    start = plain_parameters(2, 3, 1)
    once = fx.model(X, Y, 2, 3, 1, 99, 0.3, parameters=start, print_cost=False, backend=core)
    half = fx.model(X, Y, 2, 3, 1, 49, 0.3, parameters=start, print_cost=False, backend=core)
    twice = fx.model(X, Y, 2, 3, 1, 49, 0.3, parameters=half, print_cost=False, backend=core)
    assert_same_dict(twice, once, rtol=1e-12)


def test_model_result_serves_every_other_function(core):
    with fx.use_backend(core):
        parameters = fx.model(X, Y, 2, 2, 1, 10, 0.3, random_state=2, print_cost=False)
        assert isinstance(parameters, dict)
        assert list(parameters) == list(KEYS)
        A2, cache = fx.forward_prop(X, parameters)
        grads = fx.backward_prop(X, Y, cache, parameters)
        parameters = fx.update_parameters(parameters, grads, 0.3)
        again = fx.model(X, Y, 2, 2, 1, 11, 0.3, random_state=2, print_cost=False)
    assert_same_dict(parameters, again, rtol=1e-12)
    assert fx.calculate_cost(A2, Y) > 0


def test_a_learning_rate_of_zero_learns_nothing(core):
    start = plain_parameters(2, 2, 1)
    parameters = fx.model(X, Y, 2, 2, 1, 50, 0, parameters=start, print_cost=False, backend=core)
    assert_same_dict(parameters, start, rtol=0)


def test_the_loop_function_by_function_is_the_tutorials(backend):
    parameters = start = plain_parameters(2, 2, 1)
    costs = []
    for _ in range(30):
        A2, cache = fx.forward_prop(X, parameters, backend=backend)
        costs.append(fx.calculate_cost(A2, Y, backend=backend))
        grads = fx.backward_prop(X, Y, cache, parameters, backend=backend)
        parameters = fx.update_parameters(parameters, grads, 0.3, backend=backend)
    wanted, wanted_costs = plain_run(X, Y, start, 30, 0.3)
    assert_same_dict(parameters, wanted, rtol=1e-11)
    np.testing.assert_allclose(costs, wanted_costs, rtol=1e-11)


def test_the_loop_function_by_function_is_faster_on_the_fused_core():
    """Best of several short bursts on either core in turn; the benchmarks have the figures."""

    def burst(core):
        parameters = plain_parameters(2, 2, 1)
        with fx.use_backend(core):
            began = time.perf_counter()
            for _ in range(50):
                A2, cache = fx.forward_prop(X, parameters)
                fx.calculate_cost(A2, Y)
                grads = fx.backward_prop(X, Y, cache, parameters)
                parameters = fx.update_parameters(parameters, grads, 0.3)
            return time.perf_counter() - began

    bursts = [(burst("numpy"), burst("numba")) for _ in range(12)]
    reference, fused = (min(column) for column in zip(*bursts, strict=True))
    assert fused < reference


# ---------------------------------------------------------------- predict


def test_predict_one_sample_one_output_is_a_plain_int(backend):
    parameters = fx.model(X, Y, 2, 2, 1, 1000, 0.3, random_state=2, print_cost=False)
    for (a, b), wanted in {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0}.items():
        for sample in ([[a], [b]], np.array([[a], [b]]), np.array([[a], [b]], np.float32)):
            answer = fx.predict(sample, parameters, backend=backend)
            assert type(answer) is int
            assert answer == wanted
    assert f"{fx.predict([[1], [1]], parameters, backend=backend):d}" == "0"


@pytest.mark.parametrize(
    ("n_x", "n_h", "n_y", "m"), [s for s in SIZES if s[2:] != (1, 1)] + [(2, 3, 1, 2), (2, 3, 2, 1)]
)
def test_predict_more_is_an_int_array(backend, n_x, n_h, n_y, m):
    features, _ = plain_data(n_x, n_y, m)
    parameters = plain_parameters(n_x, n_h, n_y)
    answers = fx.predict(features, parameters, backend=backend)
    assert isinstance(answers, np.ndarray)
    assert answers.shape == (n_y, m)
    assert answers.dtype.kind == "i"
    np.testing.assert_array_equal(answers, plain_forward(features, parameters)[1] >= 0.5)


def test_predict_at_exactly_one_half_is_one(backend):
    """The tutorial asks for yhat >= 0.5."""
    parameters = {"W1": np.zeros((2, 2)), "b1": np.zeros((2, 1)), "W2": np.zeros((1, 2)), "b2": np.zeros((1, 1))}
    assert fx.predict([[1], [1]], parameters, backend=backend) == 1
    np.testing.assert_array_equal(fx.predict(X, parameters, backend=backend), [[1, 1, 1, 1]])
    parameters["b2"] = np.array([[-1e-15]])
    assert fx.predict([[1], [1]], parameters, backend=backend) == 0


# ---------------------------------------------------------------- kinds of input


SMALL_X, SMALL_Y = np.array([[0, 1, 2], [3, 1, 0]]), np.array([[1, 0, 1]])
SMALL_PARAMETERS = {"W1": [[1, -1], [2, 0], [0, 1]], "b1": [[1], [0], [-1]], "W2": [[1, -2, 1]], "b2": [[1]]}


def in_guise(values, guise):
    forms = guises(values)
    return forms.get(guise, forms["float64"])


def as_floats(parameters):
    return {k: np.array(v, float) for k, v in parameters.items()}


@pytest.mark.parametrize("guise", guises([[0, 1]]))
def test_every_guise_of_every_array(backend, guise):
    """One row of data types after another through all functions, against float64 contiguous arrays."""
    features = in_guise(SMALL_X % 2, guise)
    labels = in_guise(SMALL_Y, guise)
    parameters = {k: in_guise(v, guise) for k, v in SMALL_PARAMETERS.items()}
    floats = as_floats(SMALL_PARAMETERS)
    before = frozen(features, labels, parameters)
    dtype = np.float32 if guise == "float32" else np.float64
    rtol = 1e-5 if guise == "float32" else 1e-12

    A2, cache = fx.forward_prop(features, parameters, backend=backend)
    wanted_A1, wanted_A2 = plain_forward(SMALL_X % 2, floats)
    np.testing.assert_allclose(A2, wanted_A2, rtol=rtol)
    np.testing.assert_allclose(cache["A1"], wanted_A1, rtol=rtol)

    cost = fx.calculate_cost(A2 if "int" in guise else in_guise(A2, guise), labels, backend=backend)
    assert cost == pytest.approx(plain_cost(wanted_A2, SMALL_Y), rel=1e-2 if guise == "float16" else 1e-5)

    grads = fx.backward_prop(features, labels, cache, parameters, backend=backend)
    wanted_grads = plain_backward(SMALL_X % 2, SMALL_Y, wanted_A1, wanted_A2, floats)
    assert_same_dict(grads, wanted_grads, rtol=10 * rtol, atol=rtol)

    updated = fx.update_parameters(parameters, grads, 0.5, backend=backend)
    wanted_updated = {k: floats[k] - 0.5 * wanted_grads["d" + k] for k in KEYS}
    assert_same_dict(updated, wanted_updated, rtol=10 * rtol, atol=rtol)

    trained = fx.model(features, labels, 2, 3, 1, 3, 0.5, parameters=parameters, print_cost=False, backend=backend)
    assert_same_dict(trained, plain_run(SMALL_X % 2, SMALL_Y, floats, 4, 0.5)[0], rtol=100 * rtol, atol=rtol)

    answers = fx.predict(features, parameters, backend=backend)
    np.testing.assert_array_equal(answers, wanted_A2 >= 0.5)

    assert frozen(features, labels, parameters) == before
    results = (A2, cache, grads, updated, trained, answers)
    assert_no_alias(results, features, labels, parameters)
    assert_no_alias((updated, trained), grads, cache)
    for array in (A2, cache["A1"], cache["A2"], *grads.values(), *updated.values(), *trained.values()):
        assert array.dtype == dtype
        assert array.dtype.isnative
        assert array.flags.writeable
        assert type(array) is np.ndarray


def test_arrays_without_strides(backend):
    """Broadcast views, whose elements share their memory."""
    features = np.broadcast_to(np.array([[1.0], [2.0]]), (2, 5))
    labels = np.broadcast_to(1.0, (1, 5))
    start = {
        "W1": np.broadcast_to(0.5, (3, 2)),
        "b1": np.broadcast_to(0.1, (3, 1)),
        "W2": np.broadcast_to(-0.25, (1, 3)),
        "b2": np.broadcast_to(0.0, (1, 1)),
    }
    trained = fx.model(features, labels, 2, 3, 1, 3, 0.5, parameters=start, print_cost=False, backend=backend)
    assert_same_dict(trained, plain_run(features, labels, start, 4, 0.5)[0], rtol=1e-12)
    assert_no_alias(trained, start)


def test_parameters_may_be_any_mapping(backend):
    parameters = types.MappingProxyType(plain_parameters(2, 3, 1))
    A2, _ = fx.forward_prop(X, parameters, backend=backend)
    np.testing.assert_allclose(A2, plain_forward(X, parameters)[1], rtol=1e-12)


def test_parameters_that_are_views_of_one_vector_come_back_on_their_own(backend):
    """Updating the result of a step in place must never reach back into the inputs of that step."""
    flat = np.linspace(-1, 1, 13)
    parameters = {
        "W1": flat[:6].reshape(3, 2),
        "b1": flat[6:9].reshape(3, 1),
        "W2": flat[9:12].reshape(1, 3),
        "b2": flat[12:].reshape(1, 1),
    }
    _A2, cache = fx.forward_prop(X, parameters, backend=backend)
    grads = fx.backward_prop(X, Y, cache, parameters, backend=backend)
    first = fx.update_parameters(parameters, grads, 0.1, backend=backend)
    second = fx.update_parameters(first, grads, 0.1, backend=backend)
    kept = {k: v.copy() for k, v in first.items()}
    for array in second.values():
        array[:] = np.nan
    assert_same_dict(first, kept, rtol=0)
    np.testing.assert_array_equal(flat, np.linspace(-1, 1, 13))
    assert_no_alias(second, first)


def test_the_packages_own_dictionaries_are_left_alone(backend):
    """They reach the backend without a copy, and are the caller's all the same."""
    features, labels = plain_data(3, 2, 9)
    parameters = fx.initialize_parameters(3, 4, 2, random_state=0)
    A2, cache = fx.forward_prop(features, parameters, backend=backend)
    grads = fx.backward_prop(features, labels, cache, parameters, backend=backend)
    before = frozen(features, labels, parameters, cache, grads)
    again = fx.backward_prop(features, labels, cache, parameters, backend=backend)
    updated = fx.update_parameters(parameters, grads, 0.1, backend=backend)
    trained = fx.model(features, labels, 3, 4, 2, 150, 0.1, parameters=parameters, print_cost=False, backend=backend)
    fx.calculate_cost(A2, labels, backend=backend)
    fx.predict(features, parameters, backend=backend)
    assert frozen(features, labels, parameters, cache, grads) == before
    assert_no_alias((again, updated, trained), features, labels, parameters, cache, grads)


def test_two_calls_give_two_results(backend):
    """No scratch memory of a kernel is handed out twice."""
    features, labels = plain_data(3, 2, 9)
    parameters = plain_parameters(3, 4, 2)
    A2, cache = fx.forward_prop(features, parameters, backend=backend)
    kept = A2.copy(), cache["A1"].copy()
    other, other_cache = fx.forward_prop(features * 2, parameters, backend=backend)
    np.testing.assert_array_equal(A2, kept[0])
    np.testing.assert_array_equal(cache["A1"], kept[1])
    assert_no_alias((other, other_cache), A2, cache)
    grads = fx.backward_prop(features, labels, cache, parameters, backend=backend)
    kept = {k: v.copy() for k, v in grads.items()}
    fx.backward_prop(features * 2, 1 - labels, other_cache, parameters, backend=backend)
    assert_same_dict(grads, kept, rtol=0)


# ---------------------------------------------------------------- dtype


@pytest.mark.parametrize(
    ("x_dtype", "p_dtype", "wanted"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float64, np.float64, np.float64),
        (np.int64, np.float32, np.float64),
        (np.float32, np.int64, np.float64),
        (np.float16, np.float16, np.float64),
        (bool, bool, np.float64),
        (">f4", ">f4", np.float32),
    ],
)
def test_dtype_of_the_work(backend, x_dtype, p_dtype, wanted):
    features = X.astype(x_dtype)
    parameters = {k: np.array(v).astype(p_dtype) for k, v in SMALL_PARAMETERS.items()}
    A2, cache = fx.forward_prop(features, parameters, backend=backend)
    grads = fx.backward_prop(features, Y, cache, parameters, backend=backend)
    trained = fx.model(features, Y, 2, 3, 1, 1, 0.5, parameters=parameters, print_cost=False, backend=backend)
    for array in (A2, cache["A1"], cache["A2"], *grads.values(), *trained.values()):
        assert array.dtype == wanted


def test_one_float64_parameter_makes_the_work_float64(backend):
    features = X.astype(np.float32)
    for key in KEYS:
        parameters = {k: np.array(v, np.float32) for k, v in SMALL_PARAMETERS.items()}
        parameters[key] = parameters[key].astype(np.float64)
        A2, _ = fx.forward_prop(features, parameters, backend=backend)
        assert A2.dtype == np.float64


@pytest.mark.parametrize("labels", [Y, Y.astype(np.float64), Y.astype(np.float32), Y.astype(bool)])
def test_labels_have_no_say_in_the_dtype(backend, labels):
    parameters = {k: np.array(v, np.float32) for k, v in SMALL_PARAMETERS.items()}
    features = X.astype(np.float32)
    trained = fx.model(features, labels, 2, 3, 1, 1, 0.5, parameters=parameters, print_cost=False, backend=backend)
    assert {v.dtype for v in trained.values()} == {np.dtype(np.float32)}


def test_update_keeps_float32(backend):
    parameters = {k: np.array(v, np.float32) for k, v in SMALL_PARAMETERS.items()}
    grads = {"d" + k: np.array(v, np.float32) for k, v in SMALL_PARAMETERS.items()}
    updated = fx.update_parameters(parameters, grads, 0.1, backend=backend)
    for key in KEYS:
        assert updated[key].dtype == np.float32
        np.testing.assert_allclose(updated[key], 0.9 * parameters[key], rtol=1e-6)


def test_model_draws_float32_for_float32_data(core):
    start = fx.initialize_parameters(2, 3, 1, random_state=1, dtype=np.float32)
    features = X.astype(np.float32)
    drawn = fx.model(features, Y, 2, 3, 1, 5, 0.3, random_state=1, print_cost=False, backend=core)
    given = fx.model(features, Y, 2, 3, 1, 5, 0.3, parameters=start, print_cost=False, backend=core)
    assert {v.dtype for v in drawn.values()} == {np.dtype(np.float32)}
    assert_same_dict(drawn, given, rtol=0)


def test_float32_costs_print_like_float64_ones(core, capsys):
    np.random.seed(2)
    fx.model(X.astype(np.float32), Y, 2, 2, 1, 1000, 0.3, backend=core)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    for line, wanted in zip(lines, GOLDEN_COSTS.splitlines(), strict=True):
        assert line.split(":")[0] == wanted.split(":")[0]
        assert float(line.split(":")[1]) == pytest.approx(float(wanted.split(":")[1]), rel=1e-3, abs=2e-6)


# ---------------------------------------------------------------- the tutorial's script, unchanged


TUTORIAL = """
import numpy as np

from fastxor import (
    sigmoid, initialize_parameters, forward_prop, calculate_cost,
    backward_prop, update_parameters, model, predict,
)
{own_model}
np.random.seed(2)

# The 4 training examples by columns
X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])

# The outputs of the XOR for every example in X
Y = np.array([[0, 1, 1, 0]])

# No. of training examples
m = X.shape[1]

# Set the hyperparameters
n_x = 2     #No. of neurons in first layer
n_h = 2     #No. of neurons in hidden layer
n_y = 1     #No. of neurons in output layer
num_of_iters = 1000
learning_rate = 0.3

trained_parameters = model(X, Y, n_x, n_h, n_y, num_of_iters, learning_rate)

# Test 2X1 vector to calculate the XOR of its elements.
X_test = np.array([[1], [1]])

y_predict = predict(X_test, trained_parameters)

print('Neural Network prediction for example ({{:d}}, {{:d}}) is {{:d}}'.format(
    X_test[0][0], X_test[1][0], y_predict))
"""
OWN_MODEL = """
def model(X, Y, n_x, n_h, n_y, num_of_iters, learning_rate):
    parameters = initialize_parameters(n_x, n_h, n_y)

    for i in range(0, num_of_iters+1):
        a2, cache = forward_prop(X, parameters)
        cost = calculate_cost(a2, Y)
        grads = backward_prop(X, Y, cache, parameters)
        parameters = update_parameters(parameters, grads, learning_rate)

        if(i%100 == 0):
            print('Cost after iteration# {:d}: {:f}'.format(i, cost))

    return parameters
"""


@pytest.mark.parametrize("own_model", ["", OWN_MODEL], ids=["model", "own loop"])
def test_a_script_that_follows_the_tutorial(core, tmp_path, own_model):
    script = tmp_path / "xor.py"
    script.write_text(TUTORIAL.format(own_model=own_model))
    done = run_python("-W", "error", script, cwd=tmp_path, env={"FASTXOR_BACKEND": core})
    assert done.stdout == GOLDEN_COSTS + GOLDEN_PREDICTION
    assert done.stderr == ""


def test_version_is_a_release_number():
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(a|b|rc|dev)\d*)?", fx.__version__)


# ---------------------------------------------------------------- finite arguments, results that no float holds


def matrices(W1, b1, W2, b2, dtype="float64"):
    return {name: np.array(value, dtype) for name, value in zip(KEYS, (W1, b1, W2, b2), strict=True)}


@pytest.mark.parametrize(("dtype", "large"), [("float64", 1e308), ("float32", 1e38)])
@pytest.mark.parametrize("function", [fx.forward_prop, fx.predict])
def test_outputs_that_overflow(core, function, dtype, large):
    """Where infinities of both signs meet in a sum: whether they do depends on the order in which it is added up."""
    parameters = matrices(np.full((1, 64), 100.0), [[0.0]], [[1.0]], [[0.0]], dtype)
    features = np.where(np.arange(64) % 2, large, -large).astype(dtype)[:, None]
    result, message = 0, f"W1 X + b1 of layer 1 overflows {dtype}, got "
    try:
        result = function(features, parameters, backend=core)
    except OverflowError as error:
        message = str(error)
    assert message.startswith(f"W1 X + b1 of layer 1 overflows {dtype}, got ")
    assert np.isfinite(result[0] if isinstance(result, tuple) else result).all()


@pytest.mark.parametrize(("dtype", "large"), [("float64", 1e308), ("float32", 1e38)])
def test_a_gradient_that_overflows(core, dtype, large):
    parameters = matrices([[1.0, 1.0]], [[0.0]], [[large]], [[0.0]], dtype)
    cache = {"A1": np.array([[0.5]], dtype), "A2": np.array([[0.0]], dtype)}
    features, labels = np.array([[100.0], [1.0]], dtype), np.array([[1.0]], dtype)
    with pytest.raises(
        OverflowError, match=rf"dW1 of layer 1 overflows {dtype}, got -inf at \(0, 0\); X, Y or the par"
    ):
        fx.backward_prop(features, labels, cache, parameters, backend=core)


@pytest.mark.parametrize(("dtype", "large"), [("float64", 1e308), ("float32", 1e38)])
def test_parameters_that_overflow_in_one_step(core, dtype, large):
    parameters = matrices([[1.0, 1.0]], [[0.0]], [[large]], [[0.0]], dtype)
    grads = {"d" + name: -array for name, array in parameters.items()}
    with pytest.raises(OverflowError, match=rf"W2 overflows {dtype}, got inf at \(0, 0\); learning_rate or grads are"):
        fx.update_parameters(parameters, grads, 10.0, backend=core)


def test_what_float32_does_not_hold_beside_float32_parameters(core):
    parameters = matrices([[1.0, 1.0]], [[0.0]], [[1.0]], [[0.0]], "float32")
    grads = {"d" + name: array.astype(float) * 1e300 for name, array in parameters.items()}
    with pytest.raises(ValueError, match=r'grads\["dW1"\] must lie within .* for float32 data, got 1e\+300'):
        fx.update_parameters(parameters, grads, 0.1, backend=core)
    features, labels = np.ones((2, 1), np.float32), np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match=r'cache\["A1"\] must lie within .* for float32 data, got -1e\+300'):
        fx.backward_prop(features, labels, {"A1": [[-1e300]], "A2": [[0.5]]}, parameters, backend=core)
    with pytest.raises(ValueError, match=r"Y must lie within .* for float32 data, got 1e\+300"):
        fx.calculate_cost(np.full((1, 1), 0.5, np.float32), [[1e300]], backend=core)
