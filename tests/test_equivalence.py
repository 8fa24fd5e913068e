"""The cores against each other over a grid of the tutorial's networks: every function, whole runs, gradients' truth.

The reference is the oracle for the compiled core and for the same source run as plain Python; the
reference itself is held against the complex step and finite differences.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from engine_cases import RUN, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from support import (
    KEYS,
    assert_no_alias,
    covering,
    frozen,
    plain_cost,
    plain_data,
    plain_forward,
    plain_parameters,
    run_python,
)

import fastxor as fx
from fastxor.bench.problems import TUTORIAL

FUSED = ("numba", "unjitted")

# One step: rounding alone. Float32 sums of 100 terms lose a few digits; float64 hardly any.
STEP = {"float64": {"rtol": 1e-11, "atol": 1e-13}, "float32": {"rtol": 2e-4, "atol": 2e-5}}


CASES = covering(
    TUTORIAL,
    *(lambda name, column=column: getattr(TUTORIAL[name], column) for column in ("sizes", "m", "dtype", "source")),
)


@pytest.fixture(params=CASES)
def case(request):
    return TUTORIAL[request.param]


def test_the_grid_covers_sizes_samples_and_dtypes():
    rows = [TUTORIAL[name] for name in CASES]
    assert {(1, 1, 1), (2, 2, 1), (3, 5, 2), (7, 13, 3), (64, 100, 10)} == {row.sizes for row in rows}
    assert {1, 4, 1000} <= {row.m for row in rows}
    assert any(row.m % 2 and row.m > 1 for row in rows)
    assert {row.dtype for row in rows} == {"float64", "float32"}
    assert {row.iterations for row in rows} == {1001}
    assert len({(row.sizes, row.m, row.dtype, row.source) for row in rows}) == len(rows)


def biased(case):
    """The case's parameters, with biases that are not zero."""
    parameters = dict(case.start)
    draw = np.random.RandomState(case.seed + 17)
    for key in ("b1", "b2"):
        parameters[key] = draw.standard_normal(parameters[key].shape).astype(case.dtype)
    return parameters


def every_function(X, Y, parameters, backend):
    """One pass through the tutorial's functions on one core.

    The cost is that of the reference's outputs: where one of them is a rounding away from 0 or 1 on the wrong side,
    the cost of the other core's, which may be its neighbour, is quite another.
    """
    A2, cache = fx.forward_prop(X, parameters, backend=backend)
    outputs, _cache = fx.forward_prop(X, parameters, backend="numpy")
    grads = fx.backward_prop(X, Y, cache, parameters, backend=backend)
    return {
        "sigmoid": fx.sigmoid(3 * X, backend=backend),
        "A1": cache["A1"],
        "A2": A2,
        "cost": np.asarray(fx.calculate_cost(outputs, Y, backend=backend)),
        **grads,
        **fx.update_parameters(parameters, grads, 0.3, backend=backend),
    }


def assert_step_agrees(X, Y, parameters, backend, dtype):
    before = frozen(X, Y, parameters)
    got = every_function(X, Y, parameters, backend)
    wanted = every_function(X, Y, parameters, "numpy")
    assert frozen(X, Y, parameters) == before
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert got[name].shape == value.shape, name
        if name != "cost":
            assert got[name].dtype == value.dtype == np.dtype(dtype), name
            assert_no_alias(got[name], X, Y, parameters)
        np.testing.assert_allclose(got[name], value, **STEP[dtype], err_msg=name)
    np.testing.assert_array_equal(fx.predict(X, parameters, backend=backend), got["A2"].reshape(-1, X.shape[1]) >= 0.5)


@pytest.mark.parametrize("fused", FUSED)
def test_every_function_agrees(case, fused):
    X, Y = case.data
    assert_step_agrees(X, Y, biased(case), fused, case.dtype)


def whole_run(case, backend):
    """The trained parameters, with everything checked that can be without a second core."""
    X, Y = case.data
    start = case.start
    before = frozen(X, Y, start)
    trained = fx.model(
        X,
        Y,
        *case.sizes,
        case.iterations - 1,
        case.learning_rate,
        parameters=start,
        print_cost=False,
        backend=backend,
    )
    assert frozen(X, Y, start) == before
    assert_no_alias(trained, X, Y, start)
    assert list(trained) == list(KEYS)
    for key in KEYS:
        assert trained[key].dtype == np.dtype(case.dtype)
        assert trained[key].shape == start[key].shape
        assert np.isfinite(trained[key]).all()
    return trained


def assert_run_agrees(case, backend):
    got, wanted = whole_run(case, backend), whole_run(case, "numpy")
    assert_close(got, wanted, RUN[case.dtype])
    return got


def test_a_whole_run_agrees(case):
    """And moves the parameters: else agreement would mean nothing."""
    start, trained = case.start, assert_run_agrees(case, "numba")
    assert all(np.abs(trained[k] - start[k]).max() > 1e-4 for k in ("W1", "W2"))


def unjitted_iterations(case):
    """As many as plain Python does in a fraction of a second; the first case, XOR's, whole."""
    n_x, n_h, n_y = case.sizes
    work = (n_x + n_y) * n_h * case.m
    return 200 if work < 50 else 20 if work < 2000 else 2


def test_a_run_of_the_unjitted_source_agrees(case):
    assert_run_agrees(replace(case, iterations=unjitted_iterations(case)), "unjitted")


def test_the_printed_costs_agree(case, capsys):
    """The costs recorded on the way inside the compiled run, and those of the reference."""
    X, Y = case.data
    printed = []
    for backend in ("numpy", "numba"):
        fx.model(X, Y, *case.sizes, 200, case.learning_rate, parameters=case.start, backend=backend)
        printed.append(capsys.readouterr().out.splitlines())
    assert len(printed[0]) == len(printed[1]) == 3
    for one, other in zip(*printed, strict=True):
        assert one.split(":")[0] == other.split(":")[0]
        tolerance = {"rel": 1e-3 if case.dtype == "float32" else 1e-8, "abs": 1.01e-6}
        assert float(one.split(":")[1]) == pytest.approx(float(other.split(":")[1]), **tolerance)


@pytest.mark.parametrize("name", ["xor-2-2-1-m4-float64", "7-13-3-m1000-float64"])
def test_the_same_run_twice_gives_the_same_bits(core, name):
    first, second = whole_run(TUTORIAL[name], core), whole_run(TUTORIAL[name], core)
    for key in KEYS:
        np.testing.assert_array_equal(first[key], second[key])


def test_the_compiled_core_is_another_core():
    """The selector reaches two implementations: their last bits differ somewhere, or one was tested against itself."""
    runs = [whole_run(TUTORIAL["7-13-3-m100-float64"], backend) for backend in ("numpy", "numba")]
    assert any(not np.array_equal(runs[0][key], runs[1][key]) for key in KEYS)


def test_the_whole_run_is_the_loop_function_by_function(core):
    case = replace(TUTORIAL["3-5-2-m17-float64"], iterations=100)
    X, Y = case.data
    parameters = case.start
    with fx.use_backend(core):
        for _ in range(case.iterations):
            _A2, cache = fx.forward_prop(X, parameters)
            grads = fx.backward_prop(X, Y, cache, parameters)
            parameters = fx.update_parameters(parameters, grads, case.learning_rate)
    trained = whole_run(case, core)
    for key in KEYS:
        np.testing.assert_allclose(trained[key], parameters[key], rtol=1e-11, atol=1e-13)


def test_the_source_runs_without_the_compiler(tmp_path):
    """NUMBA_DISABLE_JIT=1 gives the same answer, for whoever reads the kernels with a debugger."""
    script = (
        "import numpy as np, fastxor as fx\n"
        "from support import plain_data, plain_parameters\n"
        "X, Y = plain_data(3, 2, 7)\n"
        "run = lambda b: fx.model(X, Y, 3, 5, 2, 20, 0.3, parameters=plain_parameters(3, 5, 2), backend=b)\n"
        "one, other = run('numba'), run('numpy')\n"
        "for k in one: np.testing.assert_allclose(one[k], other[k], rtol=1e-11)\n"
        "print(fx.get_backend())\n"
    )
    done = run_python("-c", script, cwd=tmp_path, env={"NUMBA_DISABLE_JIT": "1"})
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0] == lines[1]
    assert lines[2] == "numba"


# ---------------------------------------------------------------- hypothesis


def ordered(array, order):
    """The same values laid out in C or Fortran order, or as every second element of something larger."""
    if order == "strided":
        room = np.full((array.shape[0], 2 * array.shape[1]), 9, array.dtype)
        room[:, ::2] = array
        return room[:, ::2]
    return np.asarray(array, order=order)


jobs = st.fixed_dictionaries(
    {
        "n_x": st.integers(1, 20),
        "n_h": st.integers(1, 40),
        "n_y": st.integers(1, 12),
        "m": st.integers(1, 70),
        "seed": st.integers(0, 10_000),
        "dtype": st.sampled_from(["float64", "float32"]),
        "orders": st.tuples(*[st.sampled_from(["C", "F", "strided"])] * 3),
    }
)


def make(job):
    """Data and parameters of a job; half of the labels soft, so that Y is more than 0 and 1."""
    X, Y = plain_data(job["n_x"], job["n_y"], job["m"], job["seed"])
    if job["seed"] % 2:
        Y = np.random.RandomState(job["seed"]).rand(*Y.shape)
    parameters = plain_parameters(job["n_x"], job["n_h"], job["n_y"], job["seed"])
    x_order, y_order, p_order = job["orders"]
    X, Y = ordered(X.astype(job["dtype"]), x_order), ordered(Y.astype(job["dtype"]), y_order)
    return X, Y, {k: ordered(v.astype(job["dtype"]), p_order) for k, v in parameters.items()}


@settings(max_examples=150, deadline=None)
@given(job=jobs)
def test_every_function_agrees_at_any_size(job):
    assert_step_agrees(*make(job), "numba", job["dtype"])


@settings(max_examples=15, deadline=None)
@given(job=jobs)
def test_every_unjitted_function_agrees_at_any_size(job):
    assert_step_agrees(*make(job), "unjitted", job["dtype"])


@settings(max_examples=60, deadline=None)
@given(job=jobs, iterations=st.integers(0, 40), boldness=st.sampled_from([0.03, 0.3, 1.0]))
def test_short_runs_agree_at_any_size(job, iterations, boldness):
    """At rates where descent is stable: above, it doubles every rounding error and no two programs agree."""
    X, Y, start = make(job)
    sizes = job["n_x"], job["n_h"], job["n_y"]
    learning_rate = boldness / (sizes[1] * (sizes[0] + 1))
    runs = [
        fx.model(X, Y, *sizes, iterations, learning_rate, parameters=start, print_cost=False, backend=b)
        for b in ("numpy", "numba")
    ]
    rtol = 1e-9 if job["dtype"] == "float64" else 2e-3
    for key in KEYS:
        assert runs[1][key].dtype == np.dtype(job["dtype"])
        np.testing.assert_allclose(runs[1][key], runs[0][key], rtol=rtol, atol=rtol, err_msg=key)


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.floats(width=64, allow_nan=True, allow_infinity=True), min_size=0, max_size=40),
    dtype=st.sampled_from(["float64", "float32"]),
)
def test_sigmoid_agrees_anywhere(values, dtype):
    with np.errstate(over="ignore"):
        z = np.array(values, np.float64).astype(dtype)
    s = fx.sigmoid(z, backend="numba")
    wanted = [math.nan if math.isnan(v) else 1 / (1 + math.exp(-v)) if v > -700 else 0.0 for v in z.tolist()]
    np.testing.assert_allclose(s, wanted, rtol=1e-14 if dtype == "float64" else 1e-6, atol=1e-38)
    np.testing.assert_allclose(
        s, fx.sigmoid(z, backend="numpy"), rtol=1e-14 if dtype == "float64" else 1e-6, atol=1e-38
    )


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 0.5, 1e-300, 1e-10, 1 - 2**-53]) | st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=40,
    )
)
def test_cost_agrees_anywhere(pairs):
    A2, Y = np.array(pairs).T[:, None, :]
    costs = [fx.calculate_cost(A2, Y, backend=b) for b in ("numpy", "numba")]
    wanted = 0.0
    for a, y in zip(A2[0], Y[0], strict=True):
        for label, chance in ((y, a), (1 - y, 1 - a)):
            if label:
                wanted -= label * math.log(chance) / A2.shape[1] if chance else -math.inf
    for cost in costs:
        assert cost == pytest.approx(wanted, rel=1e-12, abs=1e-15)


# ---------------------------------------------------------------- the reference against mathematics


GRADIENT_CASES = [TUTORIAL[name] for name in ("1-1-1-m1-float64", "3-5-2-m8-float64", "7-13-3-m9-float64")]


@pytest.mark.parametrize("job", GRADIENT_CASES, ids=lambda job: job.name)
def test_gradients_are_those_of_the_complex_step(job, backend):
    """cost(p + ih) = cost(p) + ih cost'(p): no cancellation, so the comparison is to full precision."""
    X, Y = job.data
    parameters = biased(job)
    _, cache = fx.forward_prop(X, parameters, backend=backend)
    grads = fx.backward_prop(X, Y, cache, parameters, backend=backend)
    for key in KEYS:
        for place in np.ndindex(parameters[key].shape):
            moved = {k: v.astype(complex) for k, v in parameters.items()}
            moved[key][place] += 1e-30j
            slope = plain_cost(plain_forward(X, moved)[1], Y).imag / 1e-30
            assert grads["d" + key][place] == pytest.approx(slope, rel=1e-10, abs=1e-14), (key, place)


@pytest.mark.parametrize("job", GRADIENT_CASES, ids=lambda job: job.name)
def test_gradients_are_those_of_finite_differences(job, core):
    """The package against itself: the cost that it computes falls as its gradients say."""
    X, Y = job.data
    parameters = biased(job)

    def cost_at(key, place, step):
        moved = {k: v.copy() for k, v in parameters.items()}
        moved[key][place] += step
        return fx.calculate_cost(fx.forward_prop(X, moved, backend=core)[0], Y, backend=core)

    _, cache = fx.forward_prop(X, parameters, backend=core)
    grads = fx.backward_prop(X, Y, cache, parameters, backend=core)
    for key in KEYS:
        for place in np.ndindex(parameters[key].shape):
            slope = (cost_at(key, place, 1e-6) - cost_at(key, place, -1e-6)) / 2e-6
            assert grads["d" + key][place] == pytest.approx(slope, rel=1e-5, abs=1e-8), (key, place)
