"""Accuracy of the mathematics in both cores, in units in the last place, seen through the public functions.

With one feature, one hidden unit, a weight of one and no bias, A1 is tanh of the feature itself. The functions that
the fused core is built on are looked at directly as well, over their whole range.
"""

import functools
import math

import mpmath
import numpy as np
import pytest
from elementary import DOWN, NAMES, elementary, engine_outputs, points
from support import TESTS, run_python

import fastxor as fx
from fastxor.backends.fused._jit import VECTOR_BITS

ULPS = 4


def tanh_of(z, backend):
    parameters = {k: np.full((1, 1), v, z.dtype) for k, v in {"W1": 1, "b1": 0, "W2": 0, "b2": 0}.items()}
    return fx.forward_prop(z[None, :], parameters, backend=backend)[1]["A1"][0]


def errors_in_ulp(got, wanted):
    """|got - wanted| over the distance between floats of that type at `wanted` (given in more than its precision)."""
    spacing = np.spacing(np.abs(np.asarray(wanted, got.dtype)))
    return np.abs((got.astype(np.float64) - wanted) / spacing)


def arguments(dtype):
    """Small, moderate and large; dense around zero, where 1 - 2/(1+e^2z) would lose its digits."""
    tiny = 10.0 ** np.linspace(-30, 0, 2001)
    z = np.concatenate([tiny, np.linspace(0, 3, 3001), np.linspace(3, 25, 1001), [100, 700, 1e30]])
    return np.concatenate([-z[::-1], z]).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_tanh(core, dtype):
    z = arguments(dtype)
    wanted = np.array([math.tanh(v) for v in z.tolist()])
    got = tanh_of(z, core)
    assert got.dtype == dtype
    assert errors_in_ulp(got, wanted).max() <= ULPS
    assert np.abs(got).max() <= 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sigmoid(core, dtype):
    z = arguments(dtype)
    z = z[np.abs(z) < (700 if dtype == np.float64 else 80)]
    wanted = np.array([1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v)) for v in z.tolist()])
    assert errors_in_ulp(fx.sigmoid(z, backend=core), wanted).max() <= ULPS


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logarithm_in_the_cost(core, dtype):
    """One sample with label one has the cost -log(A2)."""
    chances = np.concatenate([10.0 ** np.linspace(-37, -0.1, 400), np.linspace(0.5, 1, 401)[:-1]]).astype(dtype)
    for chance in chances:
        cost = fx.calculate_cost(chance.reshape(1, 1), np.ones((1, 1), dtype), backend=core)
        rel = 1e-15 if dtype == np.float64 else 1e-6
        assert cost == pytest.approx(-math.log(chance), rel=rel * 2, abs=rel / 4), chance


def test_tanh_and_sigmoid_of_the_unjitted_source():
    z = arguments(np.float64)[::50]
    assert errors_in_ulp(tanh_of(z, "unjitted"), np.array([math.tanh(v) for v in z.tolist()])).max() <= ULPS
    z = z[np.abs(z) < 700]
    wanted = np.array([1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v)) for v in z.tolist()])
    assert errors_in_ulp(fx.sigmoid(z, backend="unjitted"), wanted).max() <= ULPS


# ---------------------------------------------------------------- the elementary functions, against mpmath


def normal_cdf(x):
    """Beyond 10,000 standard deviations it is 0 or 1 to more than any float's digits."""
    return mpmath.erfc(-min(max(x, -10_000), 10_000) / mpmath.sqrt(2)) / 2


def normal_density(x):
    return mpmath.exp(-(min(abs(x), 10_000) ** 2) / 2) / mpmath.sqrt(2 * mpmath.pi)


EXACT = {
    "exp": mpmath.exp,
    "exp_down": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "tanh_soon": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sigmoid_of_many": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "gelu": lambda x: x * exact_value(normal_cdf, float(x)),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
}
# Where each ends: (at -inf, at +inf). The sine has no limit; log, expm1 and exp_down are not used beyond one end.
LIMITS = {
    "exp": (0, np.inf),
    "exp_down": (0, None),
    "expm1": (-1, None),
    "tanh": (-1, 1),
    "tanh_soon": (-1, 1),
    "sigmoid": (0, 1),
    "sigmoid_of_many": (0, 1),
    "softplus": (0, np.inf),
    "gelu": (0, np.inf),
}
DTYPES = (np.float64, np.float32)


def exactly(name, z):
    """The values to about 30 digits."""
    with mpmath.workdps(30):
        return [exact_value(EXACT[name], x) for x in z.tolist()]


@functools.cache
def exact_value(function, x):
    """Of a function at 30 digits; several tests look at the same arguments."""
    return function(mpmath.mpf(x))


def worst_in_ulp(got, wanted, dtype):
    """The largest error, in units in the last place of the exact value, and where it is.

    A result below the smallest normal number may be 0; one beyond the largest has to be infinite.
    """
    info = np.finfo(dtype)
    worst, place = 0.0, None
    with mpmath.workdps(30):
        for index, (value, exact) in enumerate(zip(got.tolist(), wanted, strict=True)):
            if value == exact:
                continue
            size = abs(exact)
            if size < float(info.tiny):
                error = 0.0 if value == 0 or abs(value) <= float(info.tiny) else math.inf
            elif size > float(info.max):
                error = 0.0 if value == math.copysign(math.inf, exact) else float(abs(abs(value) / size - 1) / info.eps)
            elif not math.isfinite(value):
                error = math.inf
            else:
                exponent = size.exp + size.bc - 1  # of the power of 2 below it
                error = math.ldexp(abs(float(exact - value)), info.nmant - exponent)
            if error > worst:
                worst, place = error, index
    return worst, place


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_elementary_function(name, dtype):
    """Over the whole range, relative to the value, down to the smallest arguments."""
    z = points(name, dtype)
    got = elementary(name, z)
    assert got.dtype == dtype
    worst, place = worst_in_ulp(got, exactly(name, z), dtype)
    assert worst <= ULPS, (worst, place and z[place], place and got[place])


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivative_of_gelu(dtype):
    """It has a zero of its own, at -0.75: relative to 1 there, to the value in the tail, and 0 once the density is."""
    z = points("gelu", dtype)
    with mpmath.workdps(30):
        wanted = [exact_value(normal_cdf, x) + x * normal_density(mpmath.mpf(x)) for x in z.tolist()]
        error = np.array([float(abs(g - w)) for g, w in zip(elementary("gelu_slope", z).tolist(), wanted, strict=True)])
        size = np.abs([float(w) for w in wanted])
    eps = np.finfo(dtype).eps
    assert (error / eps).max() <= ULPS
    assert (error <= ULPS * eps * size + np.abs(z) * np.finfo(dtype).tiny)[np.abs(z) > 1.5].all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIMITS)
def test_limits_are_exact(name, dtype):
    low, high = elementary(name, np.array([-np.inf, np.inf], dtype))
    assert low == LIMITS[name][0]
    if LIMITS[name][1] is not None:
        assert high == LIMITS[name][1]
    largest = np.finfo(dtype).max
    assert elementary(name, np.array([-largest], dtype))[0] == LIMITS[name][0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_none_is_beyond_its_limits(dtype):
    z = np.linspace(5, 45, 400_001).astype(dtype)
    z = np.concatenate([z, -z])
    assert np.abs(elementary("tanh", z)).max() == 1
    for name in ("sigmoid", "sigmoid_of_many"):
        outputs = elementary(name, z)
        assert outputs.min() > 0
        assert outputs.max() == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_not_a_number_stays(name, dtype):
    got = elementary(name, np.array([np.nan, 0.5, -np.nan, 1.0] * 5, dtype)[:17])
    if name != "log":  # is only given sums of exponentials that are at least 1
        assert np.isnan(got[::2]).all()
    assert np.isfinite(elementary(name, np.array([1.0] * 3, dtype) * (-1 if name in DOWN else 1))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "tanh_soon", "expm1", "gelu", "sin"])
def test_the_smallest_arguments(name, dtype):
    """tanh x = x, sin x = x, expm1 x = x and gelu x = x / 2 for every normal x that is small enough, and 0 at 0."""
    tiny = np.finfo(dtype).tiny * 2.0 ** np.arange(2, 50)
    x = -tiny.astype(dtype)
    np.testing.assert_array_equal(elementary(name, x), x / 2 if name == "gelu" else x)
    assert elementary(name, np.zeros(1, dtype))[0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_at_every_position(name):
    """In a full register and in a last one, and in every lane of it."""
    for dtype in DTYPES:
        z = points(name, dtype)[::7]
        wanted = elementary(name, z)
        for shift in (1, 2, 3, 5, 7, 15):
            np.testing.assert_array_equal(elementary(name, z[shift:]), wanted[shift:])
        np.testing.assert_array_equal(elementary(name, z[::-1].copy()), wanted[::-1])


# ---------------------------------------------------------------- the same, seen through a network


def through_a_network(activation, z, backend):
    """The activation's values: one weight of 1 before it and one after it."""
    one = np.ones((1, 1), z.dtype)
    start = {"W1": one, "b1": 0 * one, "W2": one, "b2": 0 * one}
    return fx.Network([1, 1, 1], activation, "identity").forward(start, z[None], backend=backend)[0]


def slopes_in_a_network(activation, z, backend):
    """The activation's derivatives: z are the weights of one layer, and the loss changes by 1 for each output."""
    net = fx.Network([1, z.size, 1], activation, "identity", "huber")
    column, one = z[:, None], np.ones((1, 1), z.dtype)
    start = {"W1": column, "b1": 0 * column, "W2": (0 * column + 1).T, "b2": 1e7 * one}
    return net.gradient(start, one, one, backend=backend)[1]["db1"].ravel()


def moderate(name, dtype):
    z = points(name, dtype)
    return z[np.abs(z) < 1e5]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "gelu", "sin"])
def test_activations_are_the_elementary_functions(activation, dtype):
    """Bit for bit: the network adds nothing."""
    z = moderate(activation, dtype)
    np.testing.assert_array_equal(through_a_network(activation, z, "numba"), elementary(activation, z))
    if activation in ("gelu", "sin"):
        slope = elementary("gelu_slope" if activation == "gelu" else "cos", z)
        np.testing.assert_array_equal(slopes_in_a_network(activation, z, "numba"), slope)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "sin", "elu"])
def test_activations_of_both_cores(core, activation, dtype):
    """The reference as well. (Its gelu takes the error function of a rounded argument: see below.)"""
    name = "expm1" if activation == "elu" else activation
    z = moderate(name, dtype)
    worst, place = worst_in_ulp(through_a_network(activation, z, core), exactly(name, z), dtype)
    assert worst <= ULPS, (worst, z[place])


def test_the_piecewise_activations_are_exact(core):
    for dtype in DTYPES:
        z = moderate("tanh", dtype)
        positive = z > 0
        np.testing.assert_array_equal(through_a_network("relu", z, core), np.where(positive, z, 0))
        np.testing.assert_array_equal(through_a_network("leaky_relu", z, core), np.where(positive, z, dtype(0.01) * z))
        np.testing.assert_array_equal(through_a_network("elu", z, core)[positive], z[positive])
        np.testing.assert_array_equal(through_a_network("identity", z, core), z)
        np.testing.assert_array_equal(slopes_in_a_network("relu", z, core), positive)
        np.testing.assert_array_equal(
            slopes_in_a_network("leaky_relu", z, core), np.where(positive, 1, 0.01).astype(dtype)
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "gelu", "sin", "elu"])
def test_derivatives_agree(activation, dtype):
    z = moderate("sin" if activation == "sin" else "tanh", dtype)
    got, wanted = (slopes_in_a_network(activation, z, backend) for backend in ("numba", "numpy"))
    assert got.dtype == wanted.dtype == dtype
    np.testing.assert_allclose(got, wanted, rtol=0, atol=ULPS * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_angles_of_many_turns(backend, dtype):
    """Beyond the range of the vectors' sine, beside ordinary angles; to absolute accuracy."""
    decades = np.arange(6.1, np.finfo(dtype).maxexp * 0.3, 0.37 if backend != "unjitted" else 11.3)
    z = np.stack([10.0**decades, -(10.0**decades) * 0.9, np.sin(decades)], axis=1).astype(dtype).ravel()
    tolerance = 4 * np.finfo(dtype).eps
    wide = [float(mpmath.sin(mpmath.mpf(float(value)))) for value in z]
    np.testing.assert_allclose(through_a_network("sin", z, backend), wide, rtol=0, atol=tolerance)
    steep = [float(mpmath.cos(mpmath.mpf(float(value)))) for value in z]
    np.testing.assert_allclose(slopes_in_a_network("sin", z, backend), steep, rtol=0, atol=tolerance)
    if backend == "numba":  # an ordinary angle has the same bits beside them as alone
        np.testing.assert_array_equal(
            through_a_network("sin", z, backend)[2::3], through_a_network("sin", z[2::3], backend)
        )


@pytest.mark.parametrize("activation", ["gelu", "sin", "softplus"])
def test_the_unjitted_source(activation):
    z = moderate(activation, np.float64)[::40]
    got, wanted = (through_a_network(activation, z, backend) for backend in ("unjitted", "numba"))
    np.testing.assert_allclose(got, wanted, rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_output_does_not_depend_on_its_neighbours(dtype):
    """A sample gives the same bits alone, among others, and wherever it stands in a tile."""
    net = fx.Network([5, 9, 4, 3], ["gelu", "sin"], "softmax")
    X = np.random.RandomState(0).standard_normal((5, 301)).astype(dtype)
    start = net.initialize(1, dtype=dtype)
    whole = net.forward(start, X, backend="numba")
    for part in (slice(0, 1), slice(7, 8), slice(1, 30), slice(5, 134), slice(3, 300), slice(None, None, -1)):
        np.testing.assert_array_equal(net.forward(start, X[:, part], backend="numba"), whole[:, part])


# ---------------------------------------------------------------- vector widths


@pytest.fixture(scope="session")
def at_width(tmp_path_factory):
    """What elementary.py wrote at a vector width. Its kernels are kept, in a folder of the width's own."""

    def results(bits):
        folder = tmp_path_factory.mktemp(f"width{bits}")
        env = {"FASTXOR_VECTOR_BITS": bits}
        run_python(TESTS / "elementary.py", folder / "values.npz", cwd=folder, env=env)
        with np.load(folder / "values.npz") as file:
            return dict(file)

    return functools.cache(results)


@pytest.mark.takes_seconds
@pytest.mark.parametrize("bits", sorted({128, 256, 512} - {VECTOR_BITS}))
def test_the_same_numbers_at_every_width(at_width, bits):
    """Every function at every argument, derivatives and whole networks' outputs, bit for bit with this process."""
    found = at_width(bits)
    assert found.pop("bits") == bits
    for name in NAMES:
        for dtype in DTYPES:
            key = f"{name} {np.dtype(dtype)}"
            np.testing.assert_array_equal(found.pop(key), elementary(name, points(name, dtype)), err_msg=key)
    for number, wanted in enumerate(engine_outputs()):
        np.testing.assert_array_equal(found.pop(f"engine {number}"), wanted, err_msg=f"engine {number}")
    assert not found
