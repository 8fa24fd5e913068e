"""Weights of samples and of classes: leaving out, repeating, both cores, any number of threads, resumed."""

import numpy as np
import pytest
import support
from engine_cases import FULL_BATCHES, OPTIMIZERS, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from test_penalties import NETS, data
from test_resume import assert_same_run, through_a_file

import fastxor as fx
from fastxor.backends.fused import choices, specialised

LABELS = fx.Network([3, 6, 3], "tanh", "softmax")
BINARY = fx.Network([2, 3, 1])


def labelled(net, m, seed=0):
    """Data with class numbers, of which some are rare."""
    draw = np.random.RandomState(seed)
    classes = (draw.rand(m) ** 2 * max(net.sizes[-1], 2)).astype(int)
    classes[: max(net.sizes[-1], 2)] = np.arange(max(net.sizes[-1], 2))
    return draw.randn(net.sizes[0], m), classes


def comparable(one, other, rtol=1e-9):
    assert_close(one.parameters, other.parameters, rtol)
    np.testing.assert_allclose(one.history.cost, other.history.cost, rtol=rtol, atol=1e-12)


full = st.sampled_from([name for name in OPTIMIZERS if name != "rprop"])  # which sees signs of rounding alone


# ---------------------------------------------------------------- what weights mean


@settings(deadline=None, max_examples=40)
@given(
    net=st.sampled_from(NETS), counts=st.lists(st.integers(0, 3), min_size=1, max_size=40).filter(any), name=full,
    core=st.sampled_from(["numpy", "numba"]), scale=st.sampled_from([1.0, 0.37, 1e200]),
)  # fmt: skip
def test_whole_numbers_are_copies(net, counts, name, core, scale):
    X, Y = data(net, len(counts))
    arguments = {"optimizer": OPTIMIZERS[name], "iterations": 8, "interval": 1, "random_state": 0, "backend": core}
    weighted = fx.train(net, X, Y, sample_weight=scale * np.array(counts), **arguments)
    comparable(weighted, fx.train(net, X.repeat(counts, axis=1), Y.repeat(counts, axis=1), **arguments), 1e-8)


@settings(deadline=None, max_examples=30)
@given(
    net=st.sampled_from(NETS), kept=st.lists(st.booleans(), min_size=6, max_size=60).filter(lambda kept: sum(kept) > 3),
    batch_size=st.sampled_from([None, 2, 3]), core=st.sampled_from(["numpy", "numba"]),
    more=st.sampled_from([{}, {"drop_last": True}, {"validation": 0.3}, {"shuffle": False}]), ones=st.booleans(),
)  # fmt: skip
def test_a_weight_of_zero_leaves_a_sample_out(net, kept, batch_size, core, more, ones):
    """To the bit, whatever stands in it."""
    kept = np.array(kept)
    X, Y = data(net, len(kept))
    weights = np.ones(len(kept)) if ones else np.random.RandomState(1).rand(len(kept)) + 0.1
    arguments = {"optimizer": fx.Adam(0.01), "iterations": 9, "interval": 1, "random_state": 0, "backend": core,
                 "batch_size": batch_size, **more}  # fmt: skip
    arguments["drop_last"] = bool(batch_size and more.get("drop_last"))
    wanted = fx.train(net, X[:, kept], Y[:, kept], sample_weight=weights[kept], **arguments)
    X[:, ~kept] = Y[:, ~kept] = np.nan
    got = fx.train(net, X, Y, sample_weight=weights * kept, **arguments)
    assert_same_run(got, wanted)


def test_weights_that_are_all_alike_change_nothing(core):
    X, Y = data(NETS[1], 30)
    arguments = {"iterations": 20, "batch_size": 7, "random_state": 0, "backend": core}
    assert_same_run(
        fx.train(NETS[1], X, Y, sample_weight=np.full(30, 0.3), **arguments), fx.train(NETS[1], X, Y, **arguments)
    )


def test_mini_batches_by_hand(backend):
    """Each loss is multiplied by its weight, of those whose mean is 1 over all samples."""
    net = fx.Network([1, 1], output="identity")
    X, Y, weights = np.array([[1.0, 2.0, 3.0]]), np.array([[1.0, 0.0, 2.0]]), np.array([2.0, 1.0, 6.0])
    run = fx.train(net, X, Y, parameters={"W1": [[0.5]], "b1": [[0.1]]}, optimizer=fx.SGD(0.01), batch_size=2, epochs=1,
                   shuffle=False, sample_weight=weights, backend=backend)  # fmt: skip
    w, b, costs = 0.5, 0.1, 0.0
    for batch in (slice(0, 2), slice(2, 3)):
        x, y, share = X[0, batch], Y[0, batch], weights[batch] / 3
        error = w * x + b - y
        costs += np.sum(share * error**2 / 2)
        w, b = w - 0.01 * np.mean(share * error * x), b - 0.01 * np.mean(share * error)
    assert run.parameters["W1"].item() == pytest.approx(w, rel=1e-12)
    assert run.parameters["b1"].item() == pytest.approx(b, rel=1e-12)
    assert run.history.cost.item() == pytest.approx(costs / 3, rel=1e-12)


def test_the_gradient_norm_is_weighted(core):
    X, Y = data(NETS[1], 9)
    counts = np.array([1, 2, 0, 1, 3, 1, 0, 2, 1])
    arguments = {"iterations": 3, "interval": 1, "gradient_norm": True, "random_state": 0, "backend": core}
    weighted = fx.train(NETS[1], X, Y, sample_weight=counts, l2=0.1, **arguments)
    copies = fx.train(NETS[1], X.repeat(counts, axis=1), Y.repeat(counts, axis=1), l2=0.1, **arguments)
    np.testing.assert_allclose(weighted.history.gradient_norm, copies.history.gradient_norm, rtol=1e-10)


def test_lbfgs_takes_weights(core):
    X, Y = data(BINARY, 30)
    counts = np.random.RandomState(0).randint(0, 4, 30)
    arguments = {"optimizer": fx.LBFGS(), "iterations": 10, "interval": 1, "random_state": 0, "backend": core}
    weighted = fx.train(BINARY, X, Y, sample_weight=counts, **arguments)
    comparable(weighted, fx.train(BINARY, X.repeat(counts, axis=1), Y.repeat(counts, axis=1), **arguments), 1e-4)


def test_levenberg_marquardt_takes_weights(monkeypatch, core):
    """As one part, and in parts."""
    net = fx.Network([2, 6, 2], output="identity")
    X, Y = data(net, 150)
    counts = np.random.RandomState(0).randint(0, 4, 150)
    arguments = {"optimizer": fx.LevenbergMarquardt(), "iterations": 6, "interval": 1, "backend": core}
    arguments["parameters"] = net.initialize(0)
    copies = fx.train(net, X.repeat(counts, axis=1), Y.repeat(counts, axis=1), **arguments)
    comparable(fx.train(net, X, Y, sample_weight=counts, **arguments), copies, 1e-6)
    monkeypatch.setattr(choices, "JACOBIAN_TILE_BYTES", 10_000)
    monkeypatch.setattr(choices, "MIN_JACOBIAN_COLUMNS", 1)
    comparable(fx.train(net, X, Y, sample_weight=counts, **arguments), copies, 1e-6)


def test_outliers_that_hardly_count_are_no_divergence(core):
    net = fx.Network([1, 1], output="identity")
    X, Y = np.linspace(-1, 1, 20)[None], np.zeros((1, 20))
    Y[0, 0] = 1e6
    weights = np.ones(20)
    weights[0] = 1e-16
    fx.train(net, X, Y, sample_weight=weights, iterations=50, random_state=0, backend=core)
    fx.train(net, X, Y, sample_weight=weights, iterations=50, batch_size=5, random_state=0, backend=core)


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize("net", [LABELS, BINARY])
def test_balanced_classes_count_alike(net, core):
    X, classes = labelled(net, 50)
    sizes = np.bincount(classes)
    arguments = {"iterations": 10, "random_state": 0, "backend": core}
    balanced = fx.train(net, X, classes, class_weight="balanced", **arguments)
    by_hand = fx.train(net, X, classes, sample_weight=1 / sizes[classes], **arguments)
    comparable(balanced, by_hand)
    for kind in (int, np.int8, float, bool) if net is BINARY else (int, np.float64):  # as labels may be
        by_dict = fx.train(net, X, classes, class_weight={kind(i): 1 / n for i, n in enumerate(sizes)}, **arguments)
        comparable(by_dict, by_hand)


def test_both_multiply(core):
    X, classes = labelled(LABELS, 50)
    weights = np.random.RandomState(1).randint(0, 3, 50)
    arguments = {"iterations": 10, "random_state": 0, "backend": core}
    both = fx.train(LABELS, X, classes, sample_weight=weights, class_weight={2: 5, 0: 0.5}, **arguments)
    factors = np.array([0.5, 1, 5])[classes]
    comparable(both, fx.train(LABELS, X, classes, sample_weight=weights * factors, **arguments))
    both = fx.train(LABELS, X, classes, sample_weight=weights, class_weight="balanced", **arguments)
    copies = X.repeat(weights, axis=1), classes.repeat(weights)
    comparable(both, fx.train(LABELS, *copies, class_weight="balanced", **arguments))


def test_a_class_may_be_left_out(core):
    X, classes = labelled(LABELS, 50)
    one = fx.train(LABELS, X, classes, class_weight={1: 0}, iterations=5, random_state=0, backend=core)
    kept = classes != 1
    other = fx.train(LABELS, X[:, kept], classes[kept], iterations=5, random_state=0, backend=core)
    assert_same_run(one, other)


# ---------------------------------------------------------------- both cores, any threads, resumed


@settings(deadline=None, max_examples=40)
@given(
    net=st.sampled_from(NETS), m=st.integers(2, 70), name=st.sampled_from([*OPTIMIZERS]), seed=st.integers(0, 9),
    batch_size=st.sampled_from([None, 3, 32]), dtype=st.sampled_from([np.float64, np.float32]), turned=st.booleans(),
)  # fmt: skip
def test_the_cores_agree(net, m, name, seed, batch_size, dtype, turned):
    X, Y = data(net, m, dtype)
    X, Y = (np.asfortranarray(array) for array in (X, Y)) if turned else (X, Y)
    weights = np.random.RandomState(seed).exponential(size=m)
    arguments = {"optimizer": OPTIMIZERS[name], "iterations": 8, "interval": 1, "random_state": 0}
    arguments["batch_size"] = None if name in FULL_BATCHES else batch_size
    one, other = (fx.train(net, X, Y, sample_weight=weights, backend=core, **arguments) for core in ("numba", "numpy"))
    comparable(one, other, 1e-9 if dtype is np.float64 else 2e-3)


def test_the_source_agrees(backend):
    for m in (5, 40):
        X, classes = labelled(LABELS, m)
        weights = np.random.RandomState(2).rand(m)
        runs = [
            fx.train(LABELS, X, classes, sample_weight=weights, batch_size=size, iterations=3, random_state=0,
                     backend=core)
            for size in (None, 3) for core in (backend, "numpy")
        ]  # fmt: skip
        for one, other in (runs[:2], runs[2:]):
            comparable(one, other)


@settings(deadline=None, max_examples=25)
@given(
    net=st.sampled_from(NETS), name=st.sampled_from([*OPTIMIZERS]), cut=st.integers(0, 6), fraction=st.booleans(),
    m=st.sampled_from([20, 150, 700]), dtype=st.sampled_from([np.float64, np.float32]),
    lockstep=st.booleans(), core=st.sampled_from(["numpy", "numba", "numba"]), saved=st.booleans(),
)  # fmt: skip
def test_threads_and_cuts_change_no_bit(net, name, cut, fraction, m, dtype, lockstep, core, saved):
    X, Y = data(net, m, dtype)
    weights = np.random.RandomState(m).randint(0, 3, m)
    arguments = {"optimizer": OPTIMIZERS[name], "random_state": 0, "interval": 2, "sample_weight": weights}
    arguments |= {"batch_size": None if name in FULL_BATCHES else m // 2, "validation": 0.2 if fraction else None}
    with support.lockstep(lockstep):
        whole = fx.train(net, X, Y, iterations=6, threads=1, backend=core, **arguments)
        part = fx.train(net, X, Y, iterations=cut, threads=2, backend=core, **arguments)
        part = through_a_file(part) if saved else part
        assert_same_run(fx.train(net, X, Y, resume=part, iterations=6 - cut, threads=3, backend=core), whole)


def test_no_kernel_of_the_exact_sizes_forgets_them(monkeypatch):
    for worth in ("MIN_SECONDS_TO_COMPILE", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_CALL"):
        monkeypatch.setattr(choices, worth, 0.0)
    X, Y = data(BINARY, 4)
    arguments = {"sample_weight": [1, 2, 3, 4], "iterations": 60, "random_state": 0, "backend": "numba"}
    one = fx.train(BINARY, X, Y, **arguments)
    monkeypatch.setattr(specialised, "fits", lambda *_: False)
    assert_same_run(one, fx.train(BINARY, X, Y, **arguments))


# ---------------------------------------------------------------- refused

X, Y = data(BINARY, 5)
LINE = fx.Network([2, 1], output="identity")
REFUSED = [
    (BINARY, {"sample_weight": [1, 2]}, ValueError, r"sample_weight must have shape \(m,\) = \(5,\) to go with X"),
    (BINARY, {"sample_weight": np.ones((1, 5))}, ValueError, r"got shape \(1, 5\); pass sample_weight.ravel\(\)"),
    (BINARY, {"sample_weight": [1, -1, 1, -1, 1]}, ValueError, "not negative, got -1.0 at 1, and 1 more such"),
    (BINARY, {"sample_weight": [1, 1, np.nan, 1, 1]}, ValueError, "sample_weight must be finite .* got nan at 2"),
    (BINARY, {"sample_weight": np.zeros(5)}, ValueError, "sample_weight must be above 0 for a sample at least"),
    (BINARY, {"sample_weight": "balanced"}, TypeError, "sample_weight must hold real numbers"),
    (BINARY, {"class_weight": "balance"}, ValueError, "class_weight must be one of 'balanced', got 'balance'; did"),
    (BINARY, {"class_weight": 3.0}, TypeError, "class_weight must be 'balanced' or a dict"),
    (BINARY, {"class_weight": "balanced"}, ValueError, r"class_weight needs labels, .*got 0\..* at \(0, 0\)"),
    (LINE, {"class_weight": "balanced"}, ValueError, "class_weight needs classes.*got 1 output of 'identity'"),
]  # fmt: skip


@pytest.mark.parametrize(("net", "more", "error", "message"), REFUSED)
def test_refused(net, more, error, message):
    with pytest.raises(error, match=message):
        fx.train(net, X, Y, **more)


def test_classes_that_there_are_not():
    data = labelled(LABELS, 9)
    for wrong in ({3: 1.0}, {-1: 1.0}):
        with pytest.raises(ValueError, match="a class of class_weight must be at"):
            fx.train(LABELS, *data, class_weight=wrong)
    with pytest.raises(TypeError, match="a class of class_weight must be an integer, got 'one'"):
        fx.train(LABELS, *data, class_weight={"one": 1.0})
    for wrong in (0.5, np.nan, np.inf):
        with pytest.raises(TypeError, match="a class of class_weight must be an integer"):
            fx.train(LABELS, *data, class_weight={wrong: 1.0})
    with pytest.raises(ValueError, match=r"class_weight\[1\] must be finite and not negative"):
        fx.train(LABELS, *data, class_weight={1: -1.0})
    with pytest.raises(ValueError, match="class_weight leaves no sample a weight above 0"):
        fx.train(LABELS, *data, class_weight={0: 0, 1: 0, 2: 0})


def test_a_run_that_is_resumed_keeps_its_own():
    run = fx.train(BINARY, X, Y, iterations=2, random_state=0, sample_weight=[0, 1, 2, 3, 4])
    again = fx.train(BINARY, X, Y, resume=run, iterations=1, sample_weight=[0, 1, 2, 3, 4])
    assert again.iterations == 3
    for other in ([0, 1, 2, 3, 5], np.ones(5)):
        with pytest.raises(ValueError, match="sample_weight and class_weight come from the run that is resumed"):
            fx.train(BINARY, X, Y, resume=run, iterations=1, sample_weight=other)
    run._settings["weights"] = -run._settings["weights"]
    with pytest.raises(ValueError, match="'sample_weight' must not be negative"):
        through_a_file(run)
