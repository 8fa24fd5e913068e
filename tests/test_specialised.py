"""Kernels specialised to one tiny network: the engine's bits, and the engine again when something goes wrong."""

import itertools
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support import run_python

import fastxor as fx
from fastxor.backends import CompilationError
from fastxor.backends.fused import _jit, choices, session, specialised, tracing
from fastxor.backends.fused._jit import VECTOR_BITS
from fastxor.backends.fused.tracing import Memory, Traced

# The kernels are for samples that fit in one vector: in narrow ones, four of float32 alone.
DTYPES = [name for name in ("float64", "float32") if 4 * np.finfo(name).bits <= VECTOR_BITS]
COUNTS = [count for count in (1, 2, 3, 5, 8) if count * np.finfo(DTYPES[0]).bits <= VECTOR_BITS]

X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], DTYPES[0])
Y = np.array([[0, 1, 1, 0]], DTYPES[0])


@pytest.fixture
def choose(monkeypatch):
    """Set whether the specialised kernel is used: always, or never."""

    def set_to(always):
        for name in ("MIN_SECONDS_TO_COMPILE", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_CALL"):
            monkeypatch.setattr(choices, name, 0.0 if always else np.inf)

    return set_to


@pytest.fixture
def used(monkeypatch):
    """The names of the specialised kernels that were called."""
    names = []
    original = specialised.code

    def code(kernel, dtype):
        train = original(kernel, dtype)

        def call(*values):
            names.append(kernel.function.__name__)
            return train(*values)

        return call

    monkeypatch.setattr(specialised, "code", code)
    return names


# Of few parameters and many, with one output and several; neurons side by side or not, with and without padding; sums
# of fewer and more than eight.
NETWORKS = [
    fx.Network([2, 2, 1]),
    fx.Network([2, 1]),
    fx.Network([2, 3, 1], hidden="identity"),
    fx.Network([5, 2, 1], hidden="sigmoid", output="identity"),
    fx.Network([2, 2, 2]),
    fx.Network([2, 5, 1], hidden="sigmoid"),
    fx.Network([2, 3, 4, 1], hidden=("tanh", "identity")),
    fx.Network([2, 4, 3], output="identity"),
    fx.Network([2, 3, 2]),
    fx.Network([2, 6, 1]),
    fx.Network([2, 32, 1]),
    fx.Network([2, 8, 1], hidden="sigmoid"),
    fx.Network([2, 13, 2], hidden="sigmoid"),
    fx.Network([2, 9, 5, 1]),
    fx.Network([2, 10, 2, 1], hidden=("identity", "tanh")),
    fx.Network([2, 3, 9, 1]),
    fx.Network([9, 8, 3], output="identity"),
    fx.Network([9, 1]),
]


def same(plain, special):
    for name, array in plain.parameters.items():
        np.testing.assert_array_equal(special.parameters[name], array)
    assert special.history == plain.history


def samples(network, count, dtype=DTYPES[0]):
    """The XOR problem or, for other sizes, numbers that look like it."""
    if count == 4 and network.sizes[0] == 2:
        return X.astype(dtype), np.resize(Y, (network.sizes[-1], 4)).astype(dtype)
    rng = np.random.default_rng(count)
    features = rng.standard_normal((network.sizes[0], count))
    return features.astype(dtype), rng.integers(0, 2, (network.sizes[-1], count)).astype(dtype)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: "-".join(map(str, network.sizes)))
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_bits_as_the_engine(choose, used, network, dtype):
    features, targets = samples(network, 4, dtype)
    start = network.initialize(3, dtype=dtype)
    results = []
    for always in (False, True):
        choose(always)
        results.append(fx.train(network, features, targets, parameters=start, iterations=701, interval=50))
        assert bool(used) is always
    same(*results)
    assert list(results[0].history) == list(range(0, 701, 50))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("sizes", [[2, 5, 1], [2, 8, 1], [2, 11, 2]], ids=["2-5-1", "2-8-1", "2-11-2"])
def test_same_bits_for_any_number_of_samples(choose, used, sizes, count):
    network = fx.Network(sizes)
    features, targets = samples(network, count)
    results = []
    for always in (False, True):
        choose(always)
        results.append(fx.train(network, features, targets, iterations=300, interval=50, random_state=1))
    assert used
    same(*results)


@pytest.mark.parametrize("sizes", [[2, 2, 1], [2, 12, 3, 1]], ids=["2-2-1", "2-12-3-1"])
def test_several_calls_are_one_run(choose, used, monkeypatch, sizes):
    network = fx.Network(sizes)
    targets = np.resize(Y, (1, 4))
    choose(True)
    whole = fx.train(network, X, targets, iterations=900, interval=100, random_state=1)
    monkeypatch.setattr("fastxor.time_slice.SLICE_SECONDS", 1e-6)
    pieces = fx.train(network, X, targets, iterations=900, interval=100, random_state=1)
    assert len(used) > 3
    same(whole, pieces)


def test_a_run_that_overflows_ends_as_with_the_engine(choose, used):
    network = fx.Network([2, 2, 1], hidden="identity", output="identity")
    start = network.initialize(0, dtype=X.dtype)
    results = []
    for always in (False, True):
        choose(always)
        with pytest.warns(fx.DivergenceWarning, match="iteration"):
            results.append(fx.train(network, X, Y, parameters=start, optimizer=fx.SGD(30.0), iterations=5000))
    assert used
    plain, special = results
    assert 0 < special.iterations == plain.iterations < 5000
    for name, array in plain.parameters.items():
        assert np.isfinite(array).all()
        np.testing.assert_array_equal(special.parameters[name], array)
    assert special.history == plain.history


@pytest.mark.parametrize("scale", [30.0, 1000.0])
@pytest.mark.parametrize("sizes", [[2, 2, 1], [2, 8, 1]], ids=["2-2-1", "2-8-1"])
def test_saturated_neurons(choose, used, sizes, scale):
    """Also where the kernel's tanh and sigmoid are not for such large numbers."""
    network = fx.Network(sizes)
    start = {name: scale * array for name, array in network.initialize(5, dtype=X.dtype).items()}
    results = []
    for always in (False, True):
        choose(always)
        results.append(fx.train(network, X, Y, parameters=start, iterations=200, interval=50))
    assert len(used) == 1
    same(*results)


@pytest.mark.parametrize("always", [False, True], ids=["engine", "specialised"])
@pytest.mark.parametrize("size", [1e4, 1e9, 1e30])
@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_nothing_moves_where_the_outputs_are_the_targets(choose, used, output, size, always):
    """Also for large features: what a step owes to the output and to the target may not be rounded apart."""
    choose(always)
    network = fx.Network([2, 2, 1], hidden="identity", output=output)
    start = network.initialize(0, dtype="float32")
    features = (np.array([[1, 1, -1, 2], [1, -1, 1, 3]]) * size).astype("float32")
    targets = network.forward(start, features)
    if output == "sigmoid":
        assert set(targets.ravel()) == {0.0, 1.0}
    result = fx.train(network, features, targets, parameters=start, optimizer=fx.SGD(1e-3), iterations=3)
    assert bool(used) is (always and 4 * np.finfo("float32").bits <= VECTOR_BITS)
    for name, array in start.items():
        np.testing.assert_array_equal(result.parameters[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        (fx.Network([2, 60, 1]), {}),
        (fx.Network([2, 2, 1], hidden="gelu"), {}),
        (fx.Network([2, 2, 1], loss="huber"), {}),
        (fx.Network([2, 2, 1]), {"optimizer": fx.Adam()}),
        (fx.Network([2, 2, 1]), {"optimizer": fx.SGD(0.1, momentum=0.9)}),
        (fx.Network([2, 2, 1]), {"batch_size": 2}),
    ],
)
def test_left_to_the_engine(choose, used, network, settings):
    choose(True)
    fx.train(network, X, Y, iterations=20, random_state=0, **settings)
    assert not used


def test_not_compiled_for_little_work(used):
    specialised.kernel_for.cache_clear()  # other tests may have loaded it, or spent time on its network
    session._engine_seconds.clear()
    fx.model(X, Y, 2, 3, 1, 1000, 0.3, random_state=0, print_cost=False)
    assert not used


def test_used_for_little_work_once_it_is_loaded(choose, used, monkeypatch):
    network = fx.Network([2, 2, 1])
    choose(True)
    fx.train(network, X, Y, iterations=20, random_state=0)
    used.clear()
    choose(False)
    monkeypatch.setattr(choices, "MIN_SECONDS_TO_CALL", 0.0)
    fx.train(network, X, Y, iterations=20, random_state=0)
    assert len(used) == 1  # not for the first step, which loads the samples, but for all others


def test_the_text_runs_uncompiled():
    network = fx.Network([2, 2, 1])
    text = specialised.source(network, 4, np.dtype(float))
    assert text.count("tanh_inside(") == 2
    assert text.startswith("def train(")
    compile(text, "<text>", "exec")


# ---------------------------------------------------------------- every network that a kernel can be made for


@st.composite
def networks(draw):
    """Networks of one layer to six, with every activation and loss that there are kernels for."""
    depth = draw(st.integers(0, 5))
    hidden = draw(st.lists(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 24]), min_size=depth, max_size=depth))
    sizes = [draw(st.integers(1, 9)), *hidden, draw(st.integers(1, 4))]
    activations = [draw(st.sampled_from(list(specialised.ACTIVATIONS))) for _ in hidden]
    network = fx.Network(sizes, activations, draw(st.sampled_from(["sigmoid", "identity"])))
    assume(specialised.fits(network, fx.SGD(), 1, np.dtype(float)))
    return network


@st.composite
def runs(draw):
    dtype = draw(st.sampled_from(["float64", "float32"]))
    count = draw(st.integers(1, VECTOR_BITS // np.finfo(dtype).bits))
    return draw(networks()), count, np.dtype(dtype), draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1, 7, 100]))


SETTINGS = {"iterations": 150, "optimizer": fx.SGD(0.01), "backend": "numba"}


def ends_alike(network, count, dtype, seed, interval):
    """The bits of the engine, parameters and costs, and the kernel has really run."""
    rng = np.random.RandomState(seed)
    features = rng.standard_normal((network.sizes[0], count)).astype(dtype)
    targets = rng.randint(0, 2, (network.sizes[-1], count)).astype(dtype)
    start = network.initialize(rng, scheme="glorot", dtype=dtype)
    calls, results, code = [], [], specialised.code

    def counted(*arguments):
        calls.append(arguments)
        return code(*arguments)

    for worth in (np.inf, 0.0):
        thresholds = dict.fromkeys(("MIN_SECONDS_TO_COMPILE", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_CALL"), worth)
        with mock.patch.multiple(choices, **thresholds), mock.patch.object(specialised, "code", counted):
            results.append(fx.train(network, features, targets, parameters=start, interval=interval, **SETTINGS))
    assert calls
    same(*results)


@pytest.fixture(scope="module")
def not_kept():
    """Kernels of random networks are of no use to anybody later."""
    with mock.patch.object(_jit.cache, "save"):
        yield


@settings(max_examples=11, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(run=runs())
def test_any_network_that_fits(not_kept, run):
    ends_alike(*run)


@pytest.mark.parametrize("sizes", [[2, 8, 4, 1], [2, 8, 8, 1], [3, 8, 2, 2, 1], [2, 9, 3, 3, 3, 2]])
def test_groups_of_neurons_below_further_layers(not_kept, sizes):
    for dtype in DTYPES:
        ends_alike(fx.Network(sizes), 4, np.dtype(dtype), 5, 10)


ELSEWHERE = """
from hypothesis import HealthCheck, given, settings
import test_specialised as tests

@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(run=tests.runs())
def campaign(run):
    tests.ends_alike(*run)

save = tests._jit.cache.save
tests._jit.cache.save = lambda function, *rest: function.__name__.startswith("train_") or save(function, *rest)
campaign()
print(tests.VECTOR_BITS)
"""


@pytest.mark.takes_seconds
@pytest.mark.parametrize("bits", sorted({128, 256, 512} - {VECTOR_BITS}))
def test_at_another_width_of_a_vector(tmp_path, bits):
    env = {"FASTXOR_VECTOR_BITS": bits}
    assert run_python("-W", "ignore", "-c", ELSEWHERE, cwd=tmp_path, env=env).stdout == f"{bits}\n"


def eligible(depth):
    """Every shape of so many layers that there is a kernel for, among those of up to 9 inputs and 3 outputs."""
    for sizes in itertools.product(range(1, 10), *[range(1, 33)] * (depth - 1), range(1, 4)):
        if sum(n * (k + 1) for k, n in itertools.pairwise(sizes)) <= choices.MAX_SPECIALISED_PARAMETERS:
            yield sizes


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_shapes_all_over_are_written_and_traced(depth):
    """To nowhere, which takes a fraction of the time of compiling: some dozen shapes, and all numbers of samples."""
    kinds = (Memory, tracing.FLOAT64), (Memory, tracing.FLOAT64), (Traced, tracing.INT)
    kinds += (Traced, tracing.FLOAT64), (Traced, tracing.INT), (Traced, tracing.INT)
    shapes = list(eligible(depth))
    counts = itertools.cycle(range(1, VECTOR_BITS // 64 + 1))
    for sizes, count in zip(shapes[:: max(1, len(shapes) // 12)], counts, strict=False):
        train = specialised.written(fx.Network(sizes), count, np.dtype(float))
        assert tracing._trial.__wrapped__(train, kinds, ()) == tracing.BOOL
    assert len(shapes) > 20


@pytest.mark.parametrize("fails", ["source", "_compile"])
def test_what_cannot_be_made_is_done_by_the_engine(monkeypatch, choose, caplog, fails):
    """Once found out, without another attempt, and without a word but to who debugs."""
    attempts = []

    def fail(*arguments):
        attempts.append(arguments)
        raise CompilationError("not today") if fails == "_compile" else IndexError("no such neuron")

    specialised.kernel_for.cache_clear()
    monkeypatch.setattr(_jit.cache, "load", lambda *_: None)
    monkeypatch.setattr(specialised if fails == "source" else _jit.Kernel, fails, fail)
    network, results = fx.Network([2, 7, 1]), []
    for always in (False, True, True):
        choose(always)
        with caplog.at_level("DEBUG", "fastxor"):
            results.append(fx.train(network, X, Y, iterations=300, random_state=1, backend="numba"))
    same(*results[:2])
    same(*results[::2])
    assert len(attempts) == 1
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    specialised.kernel_for.cache_clear()
