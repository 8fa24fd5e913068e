"""What a user of the general engine types: Network, initialize, SGD and Adam, train and its result, every refusal."""

import copy
import pickle
import re
import signal
import threading
import tracemalloc
import warnings
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from engine_cases import ENDS, FULL_BATCHES, OPTIMIZERS, assert_close, job_with, optimizers_with
from support import X, Y, arrays_in, assert_no_alias, assert_refused, assert_same_dict, calls_during, frozen, run_python

import fastxor as fx
from fastxor import validation
from fastxor.network import ACTIVATIONS, INITIALIZATIONS, LOSSES, OUTPUTS
from fastxor.state import Shuffle

# ---------------------------------------------------------------- Network


def test_a_network_is_printed_as_it_is_typed():
    net = fx.Network([4, 32, 16, 4], hidden=["tanh", "gelu"], output="identity")
    text = "Network(sizes=(4, 32, 16, 4), hidden=('tanh', 'gelu'), output='identity', loss='squared_error')"
    assert repr(net) == str(net) == text
    assert eval(text, {"Network": fx.Network}) == net
    assert repr(fx.Network([3, 1])) == "Network(sizes=(3, 1), hidden=(), output='sigmoid', loss='binary_cross_entropy')"


def test_a_network_is_immutable():
    net = fx.Network([2, 3, 1])
    for name, value in (("sizes", (2, 4, 1)), ("loss", "huber"), ("hidden", ("relu",)), ("colour", "red")):
        with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
            setattr(net, name, value)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        del net.sizes
    assert isinstance(net.sizes, tuple)
    assert isinstance(net.hidden, tuple)


def test_a_network_does_not_change_with_what_it_was_made_from():
    sizes, hidden = [2, 3, 4, 1], ["tanh", "relu"]
    net = fx.Network(sizes, hidden)
    sizes[1], hidden[0] = 9, "sin"
    assert net == fx.Network([2, 3, 4, 1], ["tanh", "relu"])


def test_networks_are_equal_when_they_compute_the_same():
    same = [
        fx.Network([2, 3, 4, 1], "relu"),
        fx.Network((2, 3, 4, 1), ["relu", "relu"]),
        fx.Network(np.array([2, 3, 4, 1]), ("relu", "relu"), output="sigmoid", loss="binary_cross_entropy"),
        fx.Network(sizes=[np.int64(2), 3, np.uint8(4), 1], hidden="relu"),
    ]
    other = [
        fx.Network([2, 3, 4, 2], "relu"),
        fx.Network([2, 3, 1], "relu"),
        fx.Network([2, 3, 4, 1], ["relu", "tanh"]),
        fx.Network([2, 3, 4, 1], "relu", "identity"),
        fx.Network([2, 3, 4, 1], "relu", loss="huber"),
    ]
    assert len(set(same)) == 1
    assert len({*same, *other}) == 6
    assert all(one == same[0] and hash(one) == hash(same[0]) for one in same)
    assert all(one != same[0] for one in other)
    assert same[0] != "Network"
    assert {type(size) for net in same for size in net.sizes} == {int}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_networks_can_be_copied_and_sent(copied, core):
    net = fx.Network([2, 3, 4, 1], ["elu", "relu"], "identity", "huber")
    again = copied(net)
    assert again == net
    assert hash(again) == hash(net)
    assert repr(again) == repr(net)
    parameters = net.initialize(0)
    np.testing.assert_array_equal(again.forward(parameters, X, backend=core), net.forward(parameters, X, backend=core))
    assert again.count == net.count


def test_a_network_is_found_by_its_hash_in_another_process(tmp_path):
    """Strings have other hashes there, and so has what is made of them."""
    net = fx.Network([2, 3, 1], "relu")
    (tmp_path / "net").write_bytes(pickle.dumps(net))
    code = "import pickle, fastxor as fx; print(pickle.load(open('net', 'rb')) in {fx.Network([2, 3, 1], 'relu')})"
    for seed in (1, 2):
        done = run_python("-W", "ignore", "-c", code, cwd=tmp_path, env={"PYTHONHASHSEED": str(seed)})
        assert done.stdout == "True\n"


def test_a_network_can_be_replaced_in_part():
    net = fx.Network([2, 3, 1], "relu", "identity", "huber")
    assert replace(net, sizes=[2, 4, 1]) == fx.Network([2, 4, 1], "relu", "identity", "huber")
    with pytest.raises(ValueError, match="softmax"):
        replace(net, output="softmax")


def test_names_may_be_those_of_numpy():
    names = np.array(["tanh", "relu"])
    net = fx.Network([2, 3, 4, 1], names, np.str_("sigmoid"), np.str_("huber"))
    assert net == fx.Network([2, 3, 4, 1], ["tanh", "relu"], "sigmoid", "huber")
    assert repr(net) == repr(fx.Network([2, 3, 4, 1], ["tanh", "relu"], "sigmoid", "huber"))


def test_a_network_of_ones_own_class(core):
    class Mine(fx.Network):
        pass

    run = fx.train(Mine([2, 3, 1]), X, Y, parameters=START, iterations=3, backend=core)
    wanted = fx.train(NET, X, Y, parameters=START, iterations=3, backend=core)
    assert_same_dict(run.parameters, wanted.parameters, rtol=0)
    with pytest.raises(TypeError, match="network must be a Network"):
        fx.train(type("Network", (), {})(), X, Y, backend=core)


def test_the_loss_follows_from_the_output():
    assert {output: fx.Network([2, 3, 2], output=output).loss for output in OUTPUTS} == {
        "sigmoid": "binary_cross_entropy",
        "softmax": "cross_entropy",
        "identity": "squared_error",
        "exponential": "poisson",
    }
    assert fx.Network([2, 1]).output == "sigmoid"
    assert fx.Network([2, 5, 5, 1]).hidden == ("tanh", "tanh")


def test_the_names_of_activations_outputs_and_losses():
    assert " ".join(ACTIVATIONS) == "tanh sigmoid relu leaky_relu elu softplus gelu sin identity"
    assert set(OUTPUTS) == {"sigmoid", "softmax", "identity", "exponential"}
    assert set(LOSSES) == {"binary_cross_entropy", "cross_entropy", "squared_error", "huber", "poisson"}


SENSE = {
    "sigmoid": "binary_cross_entropy",
    "softmax": "cross_entropy",
    "identity": "squared_error",
    "exponential": "poisson",
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_combinations_without_sense_name_the_sensible_one(output, loss):
    if (output, loss) in ENDS:
        assert fx.Network([2, 2], output=output, loss=loss).loss == loss
        return
    with pytest.raises(ValueError, match=rf"{loss}.*{output}.*{SENSE[output]}"):
        fx.Network([2, 2], output=output, loss=loss)


# ---------------------------------------------------------------- initialize


def test_initialize_draws_as_the_tutorial_does():
    """numpy's global state, W1 then W2 then …, and nothing for the biases."""
    net = fx.Network([3, 5, 4, 2])
    np.random.seed(6)
    parameters = net.initialize(initialization="normal")
    after = np.random.rand()
    np.random.seed(6)
    for number, shape in enumerate([(5, 3), (4, 5), (2, 4)], 1):
        np.testing.assert_array_equal(parameters[f"W{number}"], np.random.randn(*shape))
        np.testing.assert_array_equal(parameters[f"b{number}"], np.zeros((shape[0], 1)))
    assert np.random.rand() == after
    assert list(parameters) == ["W1", "b1", "W2", "b2", "W3", "b3"]


@pytest.mark.parametrize("make", [lambda: 6, lambda: np.int64(6), lambda: np.random.RandomState(6)])
def test_initialize_from_a_seed(make):
    np.random.seed(6)
    wanted = fx.Network([3, 5, 2]).initialize()
    state = np.random.get_state()[1].tolist()
    assert_same_dict(fx.Network([3, 5, 2]).initialize(make()), wanted, rtol=0)
    assert np.random.get_state()[1].tolist() == state


def test_initialize_from_a_generator():
    got = fx.Network([3, 5, 2]).initialize(np.random.default_rng(6), "normal")
    rng = np.random.default_rng(6)
    np.testing.assert_array_equal(got["W1"], rng.standard_normal((5, 3)))
    np.testing.assert_array_equal(got["W2"], rng.standard_normal((2, 5)))


def test_each_call_of_initialize_gives_new_arrays():
    net = fx.Network([3, 5, 2])
    first, second = net.initialize(1), net.initialize(1)
    assert_no_alias(first, second)


# ---------------------------------------------------------------- what comes in


def plain(dictionary):
    return {key: np.array(array) for key, array in dictionary.items()}


FORMS = {
    "plain": plain,
    "lists": lambda d: {key: array.tolist() for key, array in d.items()},
    "reordered": lambda d: dict(reversed(plain(d).items())),
    "fortran": lambda d: {key: np.asfortranarray(array) for key, array in d.items()},
    "read-only": lambda d: {key: np.frombuffer(a.tobytes()).reshape(a.shape) for key, a in d.items()},
    "one replaced": lambda d: {**d, "W2": np.array(d["W2"])},
}


@pytest.mark.parametrize("form", FORMS)
def test_parameters_in_any_form(core, form):
    job = job_with((3, 5, 4, 2), ("elu", "sin"), "softmax", "cross_entropy", "adam", 4, 9, "float64")
    net, (features, labels) = job.network, job.data
    ours = net.initialize(2)
    theirs = FORMS[form](ours)
    before = frozen(theirs)
    for call in (
        lambda p: net.forward(p, features, backend=core),
        lambda p: net.predict(p, features, backend=core),
        lambda p: np.float64(net.cost(p, features, labels, backend=core)),
        lambda p: net.gradient(p, features, labels, backend=core)[1],
        lambda p: job.train(core, parameters=p).parameters,
    ):
        got, wanted = call(theirs), call(ours)
        assert_no_alias(got, theirs, ours)
        for one, other in zip(arrays_in(got), arrays_in(wanted), strict=True):
            np.testing.assert_array_equal(one, other)
    assert frozen(theirs) == before


@pytest.mark.parametrize("of_parameters", ["float64", "float32", "one float64"])
@pytest.mark.parametrize("of_X", ["float64", "float32", "int", "float16"])
@pytest.mark.parametrize("of_Y", ["float64", "float32", "int"])
def test_float32_only_if_data_and_parameters_are(core, of_parameters, of_X, of_Y):
    net = fx.Network([2, 3, 1], loss="squared_error")
    parameters = plain(net.initialize(1, dtype=np.float32 if "32" in of_parameters else np.float64))
    if of_parameters == "one float64":
        parameters = {k: v.astype(np.float64 if k == "b2" else np.float32) for k, v in parameters.items()}
    features, labels = X.astype(of_X), Y.astype(of_Y)
    wanted = np.float32 if (of_X, of_parameters) == ("float32", "float32") else np.float64
    results = {
        "forward": net.forward(parameters, features, backend=core),
        "gradient": net.gradient(parameters, features, labels, backend=core)[1],
        "train": fx.train(net, features, labels, parameters=parameters, iterations=3, backend=core).parameters,
    }
    for name, result in results.items():
        assert {a.dtype for a in arrays_in(result)} == {np.dtype(wanted)}, name


def test_training_from_random_weights_stays_in_the_dtype_of_the_data(core):
    net = fx.Network([2, 3, 1], "gelu")
    for dtype in (np.float32, np.float64):
        run = fx.train(net, X.astype(dtype), Y, iterations=5, random_state=0, optimizer=fx.Adam(0.01), backend=core)
        assert {a.dtype for a in arrays_in(run.parameters)} == {np.dtype(dtype)}
        start = net.initialize(0, dtype=dtype)
        again = fx.train(net, X.astype(dtype), Y, iterations=5, parameters=start, optimizer=fx.Adam(0.01), backend=core)
        assert_same_dict(again.parameters, run.parameters, rtol=0)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("SGD", "momentum", 0.5),
        ("Adam", "beta1", 0.5),
        ("AdamW", "weight_decay", 0.1),
        ("RMSprop", "epsilon", 1e-3),
        ("Rprop", "eta_plus", 1.5),
    ],
)
def test_a_run_has_one_of_each_number(core, kind, name, value):
    """Several are those of a population's members."""
    optimizer = getattr(fx, kind)(**{name: [value, value / 1.1]})
    with pytest.raises(ValueError, match=rf"\b{name}\b.*one number.*got 2.*train_population"):
        fx.train(NET, X, Y, optimizer=optimizer, backend=core)


def test_regression_targets_may_lie_anywhere(core):
    for output, loss in ENDS:
        if loss == "poisson":  # counts
            continue
        net = fx.Network([2, 2], output=output, loss=loss)
        targets = np.array([[-7.0, 3.0, 1e3, 0.5], [2.0, -1.0, 0.0, 4.0]])
        if loss.endswith("cross_entropy"):
            for call in (net.cost, net.gradient):
                with pytest.raises(ValueError, match=r"\bY\b.*between 0 and 1.*-7.*1000"):
                    call(net.initialize(0), X, targets, backend=core)
            with pytest.raises(ValueError, match=r"\bY\b.*between 0 and 1.*-7.*1000"):
                fx.train(net, X, targets, backend=core)
        else:
            assert np.isfinite(net.cost(net.initialize(0), X, targets, backend=core))
            fx.train(net, X, targets, iterations=3, optimizer=fx.SGD(1e-3), random_state=0, backend=core)


@pytest.mark.parametrize("column", [0, 3, 7, 11])
def test_targets_of_softmax_sum_to_one(core, column):
    net = fx.Network([2, 3], output="softmax")
    features = np.random.RandomState(0).randn(2, 12)
    targets = np.eye(3)[:, np.arange(12) % 3]
    net.cost(net.initialize(0), features, targets, backend=core)
    net.cost(net.initialize(0), features, targets * (1 - 1e-6), backend=core)
    for wrong in (0.5, 0.9, 0.0):
        spoiled = targets.copy()
        spoiled[:, column] *= wrong
        for call in (
            lambda y: net.cost(net.initialize(0), features, y, backend=core),
            lambda y: net.gradient(net.initialize(0), features, y, backend=core),
            lambda y: fx.train(net, features, y, random_state=0, backend=core),
        ):
            with pytest.raises(ValueError, match=rf"\bY\b.*sum to 1.*{wrong}.*column {column}\b"):
                call(spoiled)
    both = targets.copy()
    both[:, column] = 1
    with pytest.raises(ValueError, match=rf"\bY\b.*sum to 1.*3\.0.*column {column}\b"):
        net.cost(net.initialize(0), features, both, backend=core)


# ---------------------------------------------------------------- refusals

NET = fx.Network([2, 3, 1])
START = NET.initialize(0)
CALLS = {
    "Network": (fx.Network, {"sizes": [2, 3, 4, 1]}),
    "initialize": (NET.initialize, {}),
    "forward": (NET.forward, {"parameters": START, "X": X}),
    "predict": (NET.predict, {"parameters": START, "X": X}),
    "cost": (NET.cost, {"parameters": START, "X": X, "Y": Y}),
    "gradient": (NET.gradient, {"parameters": START, "X": X, "Y": Y}),
    "train": (fx.train, {"network": NET, "X": X, "Y": Y, "parameters": START, "iterations": 3}),
    "SGD": (fx.SGD, {"learning_rate": 0.1, "momentum": 0.5}),
    "Adam": (fx.Adam, {"learning_rate": 0.1}),
    "AdamW": (fx.AdamW, {"learning_rate": 0.1}),
    "RMSprop": (fx.RMSprop, {"learning_rate": 0.1}),
    "Rprop": (fx.Rprop, {"learning_rate": 0.1}),
    "LevenbergMarquardt": (fx.LevenbergMarquardt, {}),
    "LBFGS": (fx.LBFGS, {}),
}
# (function, the argument replaced, by what, exception, patterns in the message)
TABLE = []


def refuse(functions, argument, wrong, error, *patterns):
    for function in functions.split():
        TABLE.append((function, argument, wrong, error, patterns))


for wrong in (3, None, "231", b"23", 2.5, {2, 3}, np.array(3)):
    refuse("Network", "sizes", wrong, TypeError, r"\bsizes\b")
for wrong in ([], [3], ()):
    refuse("Network", "sizes", wrong, ValueError, r"\bsizes\b")
for wrong in ([2, 0], [2, -3, 1], [0, 1]):
    refuse("Network", "sizes", wrong, ValueError, r"\bsizes\[\d\]", "at least 1")
for wrong in (
    [2, 1.5],
    [2, "3", 1],
    [2, None],
    [True, 2],
    np.array([2.0, 3.0]),
    [[2, 3], [3, 1]],
    np.ones((2, 2), int),
):
    refuse("Network", "sizes", wrong, TypeError, r"\bsizes\[\d\]", "integer")
for wrong in ("Tanh", "swish", "", "softmax"):
    refuse("Network", "hidden", wrong, ValueError, r"\bhidden\b", re.escape(repr(wrong)), *ACTIVATIONS)
    refuse("Network", "hidden", ["tanh", wrong], ValueError, r"\bhidden\b", re.escape(repr(wrong)), *ACTIVATIONS)
for wrong in (None, 3, np.tanh, b"tanh", np.array("tanh")):
    refuse("Network", "hidden", wrong, TypeError, r"\bhidden\b")
refuse("Network", "hidden", ["tanh", None], (TypeError, ValueError), r"\bhidden\b", "None")
for wrong in (["tanh"], ["tanh"] * 3, []):
    refuse("Network", "hidden", wrong, ValueError, r"\bhidden\b", r"\b2\b", rf"\b{len(wrong)}\b")
for wrong in ("tanh", "Sigmoid", "", None, 1, ["sigmoid"]):
    refuse("Network", "output", wrong, (TypeError, ValueError), r"\boutput\b", *OUTPUTS)
for wrong in ("mse", "", 1, ["huber"], "log_loss"):
    refuse("Network", "loss", wrong, (TypeError, ValueError), r"\bloss\b", *LOSSES)

for wrong in ("Xavier", "", 1):
    for name in ("initialization", "scheme"):
        refuse("initialize", name, wrong, ValueError, rf"\b{name}\b", *INITIALIZATIONS)
refuse("train", "initialization", "he", TypeError, "parameters and initialization exclude each other")
for wrong in (int, "float16", complex, "nonsense"):
    refuse("initialize", "dtype", wrong, (TypeError, ValueError), r"\bdtype\b", "float32", "float64")
for wrong in ("seed", 1.5, [], object):
    refuse("initialize train", "random_state", wrong, TypeError, r"\brandom_state\b", "Generator")
for wrong in (-1, 2**32):
    refuse("initialize train", "random_state", wrong, ValueError, r"\brandom_state\b", str(wrong))

ALL = "forward predict cost gradient train"
WITH_Y = "cost gradient train"
for name, functions in (("X", ALL), ("Y", WITH_Y)):
    for wrong in ("0101", None, [["a", "b"]], np.ones((2, 4)) * 1j, len):
        refuse(functions, name, wrong, TypeError, rf"\b{name}\b")
    refuse(functions, name, [[1, 2], [3]], ValueError, rf"\b{name}\b")
    for wrong in (1.0, [0, 1, 1], np.ones((1, 2, 4))):
        refuse(functions, name, wrong, ValueError, rf"\b{name}\b", re.escape(str(np.shape(wrong))))
    for value in (np.nan, np.inf, -np.inf):
        wrong = np.zeros((2 if name == "X" else 1, 4))
        wrong[-1, 3] = value
        refuse(functions, name, wrong, ValueError, rf"\b{name}\b", str(value), "finite")
        refuse(functions, name, wrong.astype(np.float32), ValueError, rf"\b{name}\b", str(value), "finite")
refuse(ALL, "X", np.zeros((2, 0)), ValueError, r"\bX\b", r"\(2, 0\)")
refuse(ALL, "X", np.zeros((3, 4)), ValueError, r"\bX\b", r"\(3, 4\)", r"\b2\b")
refuse(ALL, "X", np.zeros((4, 2)), ValueError, r"\bX\b", r"\(4, 2\)", "transpose")
refuse(WITH_Y, "Y", np.zeros((4, 1)), ValueError, r"\bY\b", r"\(4, 1\)", "transpose")
refuse(WITH_Y, "Y", np.zeros((1, 5)), ValueError, r"\bY\b", r"\(1, 5\)", r"\(1, 4\)")
refuse(WITH_Y, "Y", np.zeros((2, 4)), ValueError, r"\bY\b", r"\(2, 4\)", r"\(1, 4\)")
for wrong in ([[0, 1, 2, 0]], [[0, -0.1, 1, 0]], [[255] * 4]):
    refuse(WITH_Y, "Y", wrong, ValueError, r"\bY\b", "between 0 and 1")

for wrong in (3, "W1", list(START.values()), START["W1"]):
    refuse(ALL, "parameters", wrong, TypeError, r"\bparameters\b", "dict", "W1, b1, W2, b2")
refuse("forward predict cost gradient", "parameters", None, TypeError, r"\bparameters\b", "dict")
for wrong in ({}, {k: v for k, v in START.items() if k != "b2"}, {**START, "W3": np.ones((1, 1))}):
    refuse(ALL, "parameters", wrong, ValueError, r"\bparameters\b", "missing|unknown", "'(W1|b2|W3)'")
for key in START:
    wrong = np.ones((START[key].shape[0] + 1, START[key].shape[1]))
    refuse(ALL, "parameters", {**START, key: wrong}, ValueError, rf"\b{key}\b", re.escape(str(wrong.shape)))
    refuse(ALL, "parameters", {**START, key: START[key][0]}, ValueError, rf"\b{key}\b")
    refuse(ALL, "parameters", {**START, key: "W"}, TypeError, rf"\b{key}\b")
    for value in (np.nan, np.inf):
        wrong = np.array(START[key])
        wrong[-1, -1] = value
        refuse(ALL, "parameters", {**START, key: wrong}, ValueError, rf"\b{key}\b", "finite")
refuse(ALL, "parameters", fx.Network([2, 4, 1]).initialize(0), ValueError, r"\bW1\b", r"\(3, 2\)", r"\(4, 2\)")
refuse(ALL, "parameters", fx.Network([2, 3, 3, 1]).initialize(0), ValueError, r"\bparameters\b", "W3")
refuse(ALL, "parameters", NET.gradient(START, X, Y)[1], ValueError, r"\bparameters\b", "dW1")

for wrong in (None, [2, 3, 1], "Network", fx.Network):
    refuse("train", "network", wrong, TypeError, r"\bnetwork\b", r"\bNetwork\b")
for wrong in (None, 0.3, "sgd", fx.SGD, fx.Adam, lambda g: g):
    refuse(
        "train",
        "optimizer",
        wrong,
        TypeError,
        r"\boptimizer\b",
        "SGD",
        "Adam",
        "AdamW",
        "RMSprop",
        "Rprop",
        "Levenberg",
    )
for name, least in (("iterations", 0), ("batch_size", 1), ("interval", 1)):
    for wrong in (least - 1, -5, np.int64(-1)):
        refuse("train", name, wrong, ValueError, rf"\b{name}\b", f"at least {least}", str(wrong))
    for wrong in (1.5, "10", True, [10], np.float64(3.0), 1j):
        refuse("train", name, wrong, TypeError, rf"\b{name}\b", "integer")
for wrong in ("cuda", "", "NumPy"):
    refuse(ALL, "backend", wrong, ValueError, r"\bbackend\b", "numpy", "numba")

# The numbers of each optimizer, those below 1, and those above 0.
NUMBERS = {
    "SGD": ("learning_rate", "momentum"),
    "Adam": ("learning_rate", "beta1", "beta2", "epsilon"),
    "AdamW": ("learning_rate", "beta1", "beta2", "epsilon", "weight_decay"),
    "RMSprop": ("learning_rate", "alpha", "epsilon", "momentum"),
    "Rprop": ("learning_rate", "eta_minus", "eta_plus", "min_step", "max_step"),
    "LevenbergMarquardt": ("damping",),
    "LBFGS": ("tolerance",),
}
BELOW_1 = ("momentum", "beta1", "beta2", "alpha", "eta_minus")
ABOVE_0 = ("damping", "epsilon", "eta_minus", "min_step")
for kind, names in NUMBERS.items():
    for name in names:
        for wrong in (-0.1, np.nan, np.inf, 10**400):
            refuse(kind, name, wrong, ValueError, rf"\b{name}\b")
        alone = kind in ("LevenbergMarquardt", "LBFGS")  # others' may be several, for populations
        for wrong in ("0.1", None, 1j, True, *(([0.1], np.array([0.1, 0.2])) if alone else ())):
            refuse(kind, name, wrong, TypeError, rf"\b{name}\b")
        for wrong in (1, 1.0, 2) if name in BELOW_1 else ():
            refuse(kind, name, wrong, ValueError, rf"\b{name}\b", "below 1")
        if name in ABOVE_0:
            refuse(kind, name, 0, ValueError, rf"\b{name}\b", "above 0")
for wrong in (0, -1, 1001):
    refuse("LBFGS", "memory", wrong, ValueError, r"\bmemory\b", str(wrong))
for wrong in (1.5, None, "10", True):
    refuse("LBFGS", "memory", wrong, TypeError, r"\bmemory\b", "integer")
for wrong in (1, 1.0, 0.5):
    refuse("Rprop", "eta_plus", wrong, ValueError, r"\beta_plus\b", "above 1")
refuse("Rprop", "learning_rate", 51.0, ValueError, r"\blearning_rate\b", "max_step", "51")
refuse("Rprop", "learning_rate", 1e-7, ValueError, r"\blearning_rate\b", "min_step", "1e-07")
refuse("Rprop", "min_step", 51.0, ValueError, r"\bmax_step\b", "min_step", "51")
for wrong in (1, 0, "yes", None):
    refuse("SGD", "nesterov", wrong, TypeError, r"\bnesterov\b")


@pytest.mark.parametrize(("function", "argument"), dict.fromkeys(row[:2] for row in TABLE))
def test_refused(core, function, argument):
    assert_refused(TABLE, function, argument, *CALLS[function], core)


@pytest.mark.parametrize("function", CALLS)
def test_what_the_table_starts_from_is_accepted(core, function):
    call, good = CALLS[function]
    with fx.use_backend(core):
        call(**good)


def test_nesterov_needs_momentum():
    with pytest.raises(ValueError, match=r"nesterov.*momentum"):
        fx.SGD(0.1, nesterov=True)


def test_a_refused_run_draws_no_random_numbers(core):
    rng = np.random.RandomState(1)
    for argument, wrong in (("Y", 2 * Y), ("interval", 0), ("batch_size", 0), ("iterations", -1), ("optimizer", None)):
        with pytest.raises((TypeError, ValueError), match=argument):
            fx.train(**{"network": NET, "X": X, "Y": Y, "random_state": rng, argument: wrong}, backend=core)
    assert rng.random_sample() == np.random.RandomState(1).random_sample()


# ---------------------------------------------------------------- optimizers


def test_optimizers_are_small_frozen_dataclasses():
    assert repr(fx.SGD(0.3)) == "SGD(learning_rate=0.3, momentum=0.0, nesterov=False)"
    assert repr(fx.SGD(1, 0.5, True)) == "SGD(learning_rate=1.0, momentum=0.5, nesterov=True)"
    assert repr(fx.Adam()) == "Adam(learning_rate=0.001, beta1=0.9, beta2=0.999, epsilon=1e-08)"
    assert fx.SGD(np.float32(0.5), 0) == fx.SGD(0.5)
    assert fx.Adam(0.1) != fx.SGD(0.1)
    assert len({fx.SGD(0.1), fx.SGD(0.1), fx.Adam(0.1)}) == 2
    assert replace(fx.Adam(), beta1=0.5).beta1 == 0.5
    with pytest.raises(ValueError, match="momentum"):
        replace(fx.SGD(0.1, 0.9), momentum=1.0)
    with pytest.raises(FrozenInstanceError):
        fx.SGD(0.1).learning_rate = 0.2


@pytest.mark.parametrize("optimizer", [fx.SGD(0.0), fx.SGD(0.0, 0.5), fx.Adam(0.0)])
def test_a_rate_of_zero_moves_nothing(core, optimizer):
    run = fx.train(NET, X, Y, parameters=START, optimizer=optimizer, iterations=50, backend=core)
    assert_same_dict(run.parameters, START, rtol=0)


def test_edges_of_the_optimizers_ranges(backend):
    """No memory at all: then Adam is the sign of the gradient, and its first step always is nearly that."""
    for beta1, beta2 in ((0.0, 0.0), (0.9, 0.999), (0.0, 0.5)):
        optimizer = fx.Adam(0.25, beta1, beta2, 1e-30)
        run = fx.train(NET, X, Y, parameters=START, optimizer=optimizer, iterations=1, backend=backend)
        _, grads = NET.gradient(START, X, Y, backend=backend)
        for key, value in START.items():
            np.testing.assert_allclose(run.parameters[key], value - 0.25 * np.sign(grads["d" + key]), rtol=1e-12)


# ---------------------------------------------------------------- train and its result


@pytest.mark.parametrize("interval", [2**63 - 1, 2**63, 10**30])
def test_an_interval_beyond_the_run(core, interval):
    run = fx.train(NET, X, Y, parameters=START, iterations=7, interval=interval, backend=core)
    assert list(run.history) == [0]
    assert fx.train(NET, X, Y, parameters=START, iterations=0, interval=interval, backend=core).history == {}


def test_a_result_predicts(core):
    for output, loss in ENDS:
        job = job_with((3, 5, 4), ("tanh",), output, loss, "adam", None, 9, "float64")
        run = job.train(core)
        features, _ = job.data
        for given in (features, features[:, :1], features.tolist()):
            np.testing.assert_array_equal(
                run.predict(given, backend=core), run.network.predict(run.parameters, given, backend=core)
            )


def test_a_run_can_start_from_anothers_end(core):
    """Plain descent has no memory: two runs of 10 are one of 20."""
    first = fx.train(NET, X, Y, parameters=START, optimizer=fx.SGD(0.5), iterations=10, backend=core)
    kept = plain(first.parameters)
    second = fx.train(NET, X, Y, parameters=first.parameters, optimizer=fx.SGD(0.5), iterations=10, backend=core)
    whole = fx.train(NET, X, Y, parameters=START, optimizer=fx.SGD(0.5), iterations=20, backend=core)
    assert_same_dict(second.parameters, whole.parameters, rtol=0)
    assert_same_dict(first.parameters, kept, rtol=0)


def test_the_default_run_learns_xor(core):
    run = fx.train(fx.Network([2, 4, 1]), X, Y, random_state=0, optimizer=fx.Adam(0.05), backend=core)
    assert run.iterations == 1000
    np.testing.assert_array_equal(run.predict(X), Y)
    assert list(run.history) == list(range(0, 1000, 100))
    assert run.history[900] < 0.1 < run.history[0]


def test_train_is_the_tutorials_model(core):
    """Bit for bit: nothing is computed in two ways within one core."""
    net = fx.Network([2, 3, 1])
    for m in (4, 200):
        features, labels = np.tile(X, m // 4), np.tile(Y, m // 4)
        settings = {"optimizer": fx.SGD(0.3), "iterations": 101, "random_state": 2, "backend": core}
        run = fx.train(net, features, labels, initialization="normal", **settings)
        trained = fx.model(features, labels, 2, 3, 1, 100, 0.3, random_state=2, print_cost=False, backend=core)
        assert_same_dict(run.parameters, trained, rtol=0)
        outputs, cache = fx.forward_prop(features, trained, backend=core)
        np.testing.assert_array_equal(net.forward(trained, features, backend=core), outputs)
        grads = net.gradient(trained, features, labels, backend=core)[1]
        assert_same_dict(grads, fx.backward_prop(features, labels, cache, trained, backend=core), rtol=1e-12)


def test_a_batch_as_large_as_the_data_is_the_full_batch(core):
    for batch_size in (9, 10, 10**12):
        job = job_with((3, 5, 2), ("relu",), "softmax", "cross_entropy", "nesterov", batch_size, 9, "float64")
        assert_close(job.train(core).parameters, job.train(core, batch_size=None).parameters, 1e-9)


# ---------------------------------------------------------------- divergence


def diverging(core, net, features, targets, start, optimizer, **options):
    """The result and the one message of a run that diverges."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run = fx.train(
            net, features, targets, parameters=start, optimizer=optimizer, backend=core, **{"interval": 1, **options}
        )
    assert [w.category for w in caught] == [fx.DivergenceWarning], [str(w.message) for w in caught]
    assert caught[0].filename == __file__
    assert all(np.isfinite(a).all() for a in arrays_in(run.parameters))
    assert all(np.isfinite(c) for c in run.history.values())
    return run, str(caught[0].message)


def constant(net, *weights):
    """Every weight of a layer the same, and no biases."""
    return {
        name: np.full(shape, weights[(int(name[1:]) - 1)] if name[0] == "W" else 0.0)
        for name, _place, shape in net._slots
    }


DEEP = fx.Network([1, 2, 2, 1], "identity", "identity")
# Which layer leaves the finite numbers first, in the step of iteration 0: (layer, weights, features, optimizer).
FIRST_STEPS = {
    "forward 1": (1, (1e2, 1.0, 1.0), 1e307, fx.SGD(0.1)),
    "forward 2": (2, (1e2, 1e200, 1.0), 1e200, fx.SGD(0.1)),
    "forward 3": (3, (1.0, 1.0, 1e200), 1e150, fx.SGD(0.1)),
    "backward 1": (1, (0.0, 1e5, 1e5), 1e300, fx.SGD(0.1)),
    "the step of layer 1": (1, (0.0, 1.0, 1.0), 1e10, fx.SGD(1e300)),
    "momentum": (1, (1e2, 1.0, 1.0), 1e307, fx.SGD(0.1, 0.9)),
    "adam": (2, (1e2, 1e200, 1.0), 1e200, fx.Adam(0.1)),
}


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("m", [4, 40])
@pytest.mark.parametrize("kind", FIRST_STEPS)
def test_divergence_names_iteration_and_layer(core, kind, m, batch_size):
    layer, weights, size, optimizer = FIRST_STEPS[kind]
    start = constant(DEEP, *weights)
    features, targets = np.full((1, m), size), np.full((1, m), 4.0)
    run, message = diverging(
        core, DEEP, features, targets, start, optimizer, iterations=5, batch_size=batch_size, random_state=0
    )
    assert re.search(r"iteration 0\b", message), message
    assert re.search(rf"layer {layer}\b", message), message
    assert run.iterations == 0
    assert_same_dict(run.parameters, start, rtol=0)


@pytest.mark.parametrize("optimizer", [fx.SGD(10.0), fx.SGD(1.0, 0.9), fx.SGD(1.0, 0.9, True)])
@pytest.mark.parametrize(("m", "batch_size"), [(4, None), (40, None), (4, 3), (40, 7), (40, 2)])
def test_both_cores_diverge_alike(optimizer, m, batch_size):
    """A few dozen steps of growth: the same step, the same layer, the same last parameters."""
    net = fx.Network([2, 3, 2], "identity", "identity")
    draw = np.random.RandomState(3)
    features, targets = 3 * draw.randn(2, m), draw.randn(2, m)
    outcomes = [
        diverging(
            core, net, features, targets, net.initialize(0), optimizer, iterations=500, batch_size=batch_size,
            random_state=1,
        )
        for core in ("numpy", "numba")
    ]  # fmt: skip
    (one, said), (other, also_said) = outcomes
    assert said == also_said
    assert re.search(rf"iteration {one.iterations}\b.*layer [12]\b", said), said
    assert 0 < one.iterations == other.iterations < 500
    assert list(one.history) == list(other.history)
    assert_same_dict(other.parameters, one.parameters, rtol=1e-6)


@pytest.mark.parametrize("m", [4, 40])
@pytest.mark.parametrize("hidden", ["tanh", "sigmoid", "relu", "elu"])
@pytest.mark.parametrize("rate", [1e6, 1e100])
def test_both_cores_diverge_alike_where_neurons_saturate(rate, hidden, m):
    net = fx.Network([2, 2, 1], hidden, "identity")
    features, targets = np.tile(X, m // 4), np.tile(Y, m // 4)
    for optimizer in (fx.SGD(rate), fx.SGD(rate, 0.9), fx.SGD(rate, 0.9, nesterov=True)):
        (one, said), (other, also_said) = (
            diverging(core, net, features, targets, net.initialize(2), optimizer, iterations=100, interval=100)
            for core in ("numpy", "numba")
        )
        assert said == also_said
        assert 0 < one.iterations == other.iterations < 100


@pytest.mark.parametrize("m", [1, 4, 40])
@pytest.mark.parametrize(("hidden", "z"), [("tanh", 50.0), ("sigmoid", 800.0), ("relu", -1.0), ("elu", -50.0)])
def test_a_saturated_neuron_passes_nothing_on(core, hidden, z, m):
    """Nor does it when what comes back from the next layer is too large for a float."""
    net = fx.Network([1, 1, 1], hidden, "identity")
    start, features = constant(net, z, 1e160), np.ones((1, m))
    _, grads = net.gradient(start, features, net.forward(start, features) - 1e149, backend=core)
    assert np.isfinite(grads["dW2"]).all()
    np.testing.assert_array_equal(grads["dW1"], 0)
    np.testing.assert_array_equal(grads["db1"], 0)


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_only_the_batch_that_failed_is_blamed(core, batch):
    """One sample overflows in layer 2, and one of the next batch would in layer 1."""
    order = Shuffle(validation.seed(np.random.RandomState(5)), 12).orders(0, 1)[0]
    features = np.zeros((1, 12))
    features[0, order[3 * batch + 1]] = 1e210
    features[0, order[3 * batch + 4]] = 1e308
    start = constant(DEEP, 10.0, 1e100, 1.0)
    run, message = diverging(
        core, DEEP, features, np.zeros((1, 12)), start, fx.SGD(1e-3), iterations=50, batch_size=3, random_state=5
    )
    assert run.iterations == batch
    assert re.search(rf"iteration {batch}\b.*layer 2\b", message), message
    assert_same_dict(run.parameters, start, rtol=0)


def test_a_cost_that_overflows_is_divergence(core):
    """Errors of 1e200, whose squares no float holds: a cost of infinity beside finite parameters."""
    net = fx.Network([1, 1], output="identity")
    start = {"W1": np.ones((1, 1)), "b1": np.zeros((1, 1))}
    run, message = diverging(core, net, [[1.0]], [[1e200]], start, fx.SGD(0.1), iterations=5)
    assert re.search(r"iteration 0\b", message), message
    assert run.iterations == 0
    assert_same_dict(run.parameters, start, rtol=0)


@pytest.mark.parametrize("output", ["sigmoid", "identity"])
def test_infinite_logits_stop_the_run_whatever_the_interval(core, output):
    """Their gradient is finite where the sigmoid saturates, or huber's slope does: the run has to be stopped all the
    same, at the iteration where it happened and not at the next that is recorded."""
    net = fx.Network([1, 1, 1], "identity", output, "huber" if output == "identity" else None)
    start = constant(net, 1e200, 1e200)
    run, message = diverging(core, net, [[1.0]], [[0.5]], start, fx.SGD(1e-3), iterations=50, interval=100)
    assert re.search(r"iteration 0\b.*layer 2\b", message), message
    assert run.iterations == 0
    start = constant(net, 1.0, 1.0)
    start["W2"][:] = 1e200
    start["b1"][:] = 1e107  # the first step carries layer 1 to where layer 2 overflows
    run, message = diverging(core, net, [[1.0]], [[0.0]], start, fx.SGD(1e-85), iterations=50, interval=100)
    assert re.search(r"iteration 1\b.*layer 2\b", message), message


@pytest.mark.parametrize("m", [1, 4, 5, 9, 20, 257])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_overflows_in_no_sample_overflows_nowhere(core, m, order):
    """The biases alone would overflow in the second layer; in every sample, the feature outweighs them. (Tiles are
    filled up with something, and this must not be what no sample is.)"""
    net = fx.Network([1, 1, 1], "identity", "identity")
    start = constant(net, -1e200, 1e200)
    start["b1"][:] = 1e200
    features, targets = np.ones((1, m), order=order), np.full((1, m), 2.0, order=order)
    cost, grads = net.gradient(start, features, targets, backend=core)
    assert cost == pytest.approx(2)
    assert grads["db2"][0, 0] == pytest.approx(-2)
    assert all(np.isfinite(a).all() for a in grads.values())
    for batch_size in (None, 3):
        run = fx.train(
            net, features, targets, parameters=start, optimizer=fx.SGD(1e-250), iterations=4, batch_size=batch_size,
            random_state=0, interval=1, backend=core,
        )  # fmt: skip
        assert run.iterations == 4
        np.testing.assert_allclose([*run.history.values()], 2)


def test_a_mean_that_a_float_holds_is_finite_whatever_the_sum(core):
    net = fx.Network([1, 1], output="identity")
    start = {"W1": np.zeros((1, 1)), "b1": np.full((1, 1), 1e154)}
    for m in (1, 4, 300):
        features, targets = np.ones((1, m)), np.zeros((1, m))
        assert net.cost(start, features, targets, backend=core) == pytest.approx(5e307, rel=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_infinite_sum_has_the_activations_limit(core, activation):
    """A weighted sum may overflow in a hidden layer: what the next layer gets is the limit, and no invented NaN."""
    net = fx.Network([1, 1, 1], activation, "identity")
    limits = {
        "tanh": (-1, 1), "sigmoid": (0, 1), "relu": (0, np.inf), "leaky_relu": (-np.inf, np.inf), "elu": (-1, np.inf),
        "softplus": (0, np.inf), "gelu": (0, np.inf), "sin": (np.nan, np.nan), "identity": (-np.inf, np.inf),
    }  # fmt: skip
    for sign, limit in zip((-1, 1), limits[activation], strict=True):
        start = constant(net, sign * 1e200, 1.0)
        if np.isfinite(limit):
            assert net.forward(start, [[1e200]], backend=core).item() == limit
        else:
            with pytest.raises(OverflowError, match=r"W1 X \+ b1 of layer 1 overflows float64, got -?inf at \(0, 0\)"):
                net.forward(start, [[1e200]], backend=core)


def test_a_small_first_batch_is_no_divergence(core):
    """The cost of the first batch says nothing about the cost of all: this run only improves."""
    net = fx.Network([1, 1], output="identity")
    start = {"W1": np.ones((1, 1)), "b1": np.zeros((1, 1))}
    features = np.arange(8.0)[None]
    first = Shuffle(validation.seed(np.random.RandomState(0)), 8).orders(0, 1)[0, 0]
    targets = features + 1
    targets[0, first] -= 0.999
    run = fx.train(
        net, features, targets, parameters=start, optimizer=fx.SGD(1e-3), iterations=16, batch_size=1, random_state=0,
        backend=core,
    )  # fmt: skip
    before, after = (net.cost(p, features, targets) for p in (start, run.parameters))
    assert after < before


def test_a_run_that_starts_at_the_solution_is_no_divergence(core):
    """From a cost of 1e-32 to one of 1e-30 is rounding."""
    net = fx.Network([2, 1], output="identity")
    draw = np.random.RandomState(0)
    start = {"W1": draw.randn(1, 2), "b1": draw.randn(1, 1)}
    features = draw.randn(2, 50)
    targets = start["W1"] @ features + start["b1"]
    fx.train(net, features, targets, parameters=start, optimizer=fx.Adam(0.01), iterations=300, backend=core)


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("optimizer", "batch_size"), optimizers_with(None, 3))
def test_an_interrupted_run_keeps_its_state(core, optimizer, batch_size):
    """Ctrl-C in the middle: the parameters are those of a run of just so many iterations."""
    job = job_with((2, 3, 1), ("tanh",), "sigmoid", "squared_error", optimizer, batch_size, 7, "float64")
    job.train(core)
    for delay in (0.02, 1, 10):  # a machine with other work may not have begun to train when the signal comes
        timer = threading.Timer(delay, signal.raise_signal, (signal.SIGINT,))
        with pytest.raises(KeyboardInterrupt) as raised:  # noqa: PT012 - it may come at once
            timer.start()
            job.train(core, iterations=10**9, interval=10**6)
        timer.join()
        error = raised.value
        if getattr(error, "iterations", 0):
            break
    assert isinstance(error, fx.TrainingInterrupted)
    assert error.iterations > 0
    assert str(error.iterations) in str(error)
    again = job.train(core, iterations=error.iterations, interval=10**6)
    assert_same_dict(error.parameters, again.parameters, rtol=0)


# ---------------------------------------------------------------- allocation


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_python_runs_between_epochs(optimizer):
    job = job_with((2, 3, 1), ("gelu",), "sigmoid", "squared_error", optimizer, None, 7, "float64")
    job.train("numba")
    short, long = (calls_during(lambda n=n: job.train("numba", iterations=n, interval=100)) for n in (2, 99))
    assert short == long
    if optimizer in FULL_BATCHES:
        return
    # In mini-batches, from one order of the samples to the next.
    job = replace(job, m=350, batch=7)
    job.train("numba")
    short, long = (calls_during(lambda n=n: job.train("numba", iterations=n, interval=100)) for n in (2, 49))
    assert short == long


@pytest.mark.parametrize("batch_size", [None, 50])
def test_memory_does_not_grow_with_the_iterations(batch_size):
    job = job_with((2, 3, 1), ("gelu",), "sigmoid", "squared_error", "adam", batch_size, 300, "float32")

    def peak(iterations):
        tracemalloc.start()
        try:
            job.train("numba", iterations=iterations, interval=10**6)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    # Orders are drawn for some epochs at once, and the end of each span is noted in about 100 bytes: on a busy machine
    # there are many. One number for each iteration would be 144,000 bytes more.
    assert peak(27_000) < peak(9000) + 10_000


@pytest.mark.parametrize("batch_size", [None, 1000])
def test_memory_does_not_grow_with_the_samples(batch_size):
    """Beside the data, a tile and the order of the samples: no activations of all of them at once, and no copy of X."""
    net = fx.Network([8, 16, 16, 1], output="identity")
    features, targets = np.zeros((8, 100_000), np.float32), np.zeros((1, 100_000), np.float32)

    def peak():
        tracemalloc.start()
        try:
            fx.train(
                net, features, targets, iterations=3, batch_size=batch_size, optimizer=fx.SGD(0.0), random_state=0,
                backend="numba",
            )  # fmt: skip
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak()
    order = 0 if batch_size is None else 8 * 100_000
    assert peak() < 500_000 + order  # two threads, tiles of 480; X 3,200,000 bytes, all activations 13,200,000


def test_memory_of_a_prediction_is_that_of_its_result():
    net = fx.Network([8, 16, 16, 1], output="identity")
    parameters, features = net.initialize(0, dtype=np.float32), np.zeros((8, 100_000), np.float32)

    def peak():
        tracemalloc.start()
        try:
            net.predict(parameters, features, backend="numba")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak()
    assert peak() < 500_000  # the result 400,000 bytes, all activations 13,200,000


def test_an_autoencoders_targets_are_its_inputs(backend):
    net = fx.Network([3, 2, 3], output="identity")
    parameters, features = net.initialize(0), np.random.RandomState(1).randn(3, 20)
    cost, grads = net.gradient(parameters, features, features, backend=backend)
    wanted = net.gradient(parameters, features, features.copy(), backend=backend)
    assert cost == wanted[0]
    for key, array in wanted[1].items():
        np.testing.assert_array_equal(grads[key], array)
