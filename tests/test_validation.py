"""Bad input: every refusal has the right type and names the argument, what came and what is wanted, on both cores."""

import pickle
import re
import warnings

import numpy as np
import pytest
from support import KEYS, X, Y, assert_refused, assert_same_dict, plain_data, plain_forward, plain_parameters

import fastxor as fx
from fastxor import validation

PARAMETERS = plain_parameters(2, 3, 1)
A1, A2 = plain_forward(X, PARAMETERS)
CACHE = {"A1": A1, "A2": A2}
GRADS = {"d" + key: value for key, value in plain_parameters(2, 3, 1, seed=5).items()}

GOOD = {
    "sigmoid": {"z": [0.0, 1.0]},
    "initialize_parameters": {"n_x": 2, "n_h": 3, "n_y": 1},
    "forward_prop": {"X": X, "parameters": PARAMETERS},
    "calculate_cost": {"A2": A2, "Y": Y},
    "backward_prop": {"X": X, "Y": Y, "cache": CACHE, "parameters": PARAMETERS},
    "update_parameters": {"parameters": PARAMETERS, "grads": GRADS, "learning_rate": 0.1},
    "model": {"X": X, "Y": Y, "n_x": 2, "n_h": 3, "n_y": 1, "num_of_iters": 3, "learning_rate": 0.1},
    "predict": {"X": X, "parameters": PARAMETERS},
}
STARTED = {**GOOD["model"], "parameters": PARAMETERS}


def with_one(array, value, place=(0, 0)):
    """The array as floats, with one element replaced."""
    changed = np.array(array, dtype=np.result_type(float, type(value)))
    changed[place] = value
    return changed


def without(mapping, key):
    return {k: v for k, v in mapping.items() if k != key}


def renamed(mapping, key, wrong):
    return {wrong if k == key else k: v for k, v in mapping.items()}


# ---------------------------------------------------------------- the table

# (function, the argument replaced, by what, exception, patterns in the message)
TABLE = []


def refuse(functions, argument, wrong, error, *patterns):
    for function in functions.split():
        TABLE.append((function, argument, wrong, error, patterns))


# What is no numeric array at all, wherever an array is expected.
NOT_NUMERIC = {
    "text": [["a", "b", "c", "d"], ["e", "f", "g", "h"]],
    "numeric text": [["0", "1", "0", "1"]] * 2,
    "a string": "0101",
    "bytes": b"0101",
    "None": None,
    "objects": np.array([[0, None, 1, 0]] * 2, dtype=object),
    "a dict": {"a": 1},
    "a set": {0, 1},
    "complex": np.ones((2, 4)) * 1j,
    "complex without imaginary part": np.ones((2, 4), complex),
    "a complex list": [[1j, 0, 0, 0], [0, 0, 0, 0]],
    "dates": np.zeros((2, 4), "datetime64[s]"),
    "durations": np.zeros((2, 4), "timedelta64[s]"),
    "records": np.zeros((2, 4), [("a", float)]),
    "a function": len,
}
for wrong in NOT_NUMERIC.values():
    refuse("forward_prop backward_prop model predict", "X", wrong, TypeError, r"\bX\b")
    refuse("calculate_cost backward_prop model", "Y", wrong, TypeError, r"\bY\b")
    refuse("calculate_cost", "A2", wrong, TypeError, r"\bA2\b")
    refuse("sigmoid", "z", wrong, TypeError, r"\bz\b")
refuse("forward_prop backward_prop model predict", "X", NOT_NUMERIC["complex"], TypeError, "complex", "real|float")
refuse("sigmoid", "z", 1j, TypeError, r"\bz\b", "complex")

# What numpy holds as objects, although all are numbers; and masked values, which are none.
refuse("forward_prop backward_prop model predict", "X", X.astype(object), TypeError, r"\bX\b", "object")
refuse("sigmoid", "z", np.array(10**20), TypeError, r"\bz\b", "object")
refuse("sigmoid", "z", 10**400, TypeError, r"\bz\b")
MASKED = np.ma.masked_array(X.astype(float), [[0, 0, 0, 0], [0, 0, 0, 1]])
refuse("forward_prop backward_prop model predict", "X", MASKED, ValueError, r"\bX\b", "masked")
refuse("calculate_cost backward_prop model", "Y", MASKED[1:], ValueError, r"\bY\b", "masked")

# Lists that are no matrix.
for ragged in ([[0, 1, 0, 1], [1, 0]], [[0, 1], 3]):
    refuse("forward_prop backward_prop model predict", "X", ragged, (TypeError, ValueError), r"\bX\b")
    refuse("calculate_cost backward_prop model", "Y", ragged, (TypeError, ValueError), r"\bY\b")
    refuse("sigmoid", "z", ragged, (TypeError, ValueError), r"\bz\b")

# Wrong rank.
refuse(
    "forward_prop backward_prop model predict", "X", 3.0, ValueError, r"\bX\b", r"\(\)|0-d|scalar", r"n_x, m|2-d|two"
)
refuse("forward_prop backward_prop model predict", "X", [1, 2], ValueError, r"\bX\b", r"\(2,\)", r"n_x, m|2-d|two")
refuse(
    "forward_prop backward_prop model predict", "X", X[None], ValueError, r"\bX\b", r"\(1, 2, 4\)", r"n_x, m|2-d|two"
)
refuse("calculate_cost backward_prop model", "Y", 1, ValueError, r"\bY\b", r"\(\)|0-d|scalar", r"n_y, m|2-d|two")
refuse("calculate_cost backward_prop model", "Y", [0, 1, 1, 0], ValueError, r"\bY\b", r"\(4,\)", r"n_y, m|2-d|two")
refuse("calculate_cost backward_prop model", "Y", Y[None], ValueError, r"\bY\b", r"\(1, 1, 4\)", r"n_y, m|2-d|two")
refuse("calculate_cost", "A2", A2[0], ValueError, r"\bA2\b", r"\(4,\)")

# Wrong n_x; the other way round.
refuse("forward_prop backward_prop model predict", "X", np.ones((3, 4)), ValueError, r"\bX\b", r"\(3, 4\)", r"\b2\b")
refuse("forward_prop backward_prop model predict", "X", np.ones((1, 4)), ValueError, r"\bX\b", r"\(1, 4\)", r"\b2\b")
refuse("forward_prop backward_prop model predict", "X", X.T, ValueError, r"\bX\b", r"\(4, 2\)", "transpose")
refuse("forward_prop predict", "X", np.ones((50, 2)), ValueError, r"\bX\b", r"\(50, 2\)", "transpose")

# X and Y of different m; Y of wrong n_y; Y the other way round.
for wrong in (np.ones((1, 5)), np.ones((1, 3)), np.ones((1, 1))):
    m = str(wrong.shape[1])
    refuse("backward_prop model", "Y", wrong, ValueError, r"\bY\b", r"\bX\b", rf"\b{m}\b", r"\b4\b")
    refuse("calculate_cost", "Y", wrong, ValueError, r"\bY\b", rf"\b{m}\b", r"\b4\b")
refuse("model", "X", np.ones((2, 5)), ValueError, r"\bX\b", r"\bY\b", r"\b5\b", r"\b4\b")
refuse("backward_prop", "X", np.ones((2, 5)), ValueError, r"\bX\b", r"\b5\b", r"\b4\b")
refuse("calculate_cost backward_prop model", "Y", np.ones((2, 4)), ValueError, r"\bY\b", r"\(2, 4\)", r"\b1\b")
refuse(
    "calculate_cost backward_prop model",
    "Y",
    Y.T,
    ValueError,
    r"\bY\b",
    r"\(4, 1\)",
    r"\(1, 4\)|\(1, m|\(n_y, m|transpose",
)

# Empty.
for empty in ([], [[]], [[], []], np.zeros((2, 0)), np.zeros((0, 4)), np.zeros((0, 0))):
    refuse("forward_prop backward_prop model predict", "X", empty, ValueError, r"\bX\b", r"empty|at least|0\)|\(0")
for empty in ([], [[]], np.zeros((1, 0)), np.zeros((0, 4))):
    refuse("calculate_cost backward_prop model", "Y", empty, ValueError, r"\bY\b", r"empty|at least|0\)|\(0")
    refuse("calculate_cost", "A2", empty, ValueError, r"\bA2\b", r"empty|at least|0\)|\(0")

# NaN and infinity, also in the last place, and where only the conversion to float64 makes an infinity.
HUGE = np.full((2, 4), np.longdouble("1e400"))
for value, named in ((np.nan, "(?i)nan"), (np.inf, "inf"), (-np.inf, "inf")):
    for place in ((0, 0), (1, 3)):
        wrong = with_one(X, value, place)
        refuse("forward_prop backward_prop model predict", "X", wrong, ValueError, r"\bX\b", named, "finite|infin")
        refuse("forward_prop model predict", "X", wrong.astype(np.float32), ValueError, r"\bX\b", named)
    wrong = with_one(Y, value, (0, 2))
    refuse("calculate_cost backward_prop model", "Y", wrong, ValueError, r"\bY\b", named)
    for key in KEYS:
        place = tuple(n - 1 for n in PARAMETERS[key].shape)
        wrong = {**PARAMETERS, key: with_one(PARAMETERS[key], value, place)}
        refuse(
            "forward_prop backward_prop update_parameters predict",
            "parameters",
            wrong,
            ValueError,
            rf"\b{key}\b",
            named,
        )
refuse("forward_prop backward_prop model predict", "X", HUGE, ValueError, r"\bX\b", "inf|finite")
refuse("calculate_cost", "A2", with_one(A2, np.nan), ValueError, r"\bA2\b", "(?i)nan")

# Labels outside [0, 1].
for value in (-1, 2, 1.0000001, -1e-9, 255):
    refuse("calculate_cost backward_prop model", "Y", with_one(Y, value), ValueError, r"\bY\b", r"\b0\b.*\b1\b")
refuse("model", "Y", np.array([[0, 1, 2, 3]]), ValueError, r"\bY\b", r"\b3\b|\b2\b", r"\b0\b.*\b1\b")
refuse("calculate_cost", "A2", with_one(A2, 1.5), ValueError, r"\bA2\b", r"1\.5", r"\b0\b.*\b1\b")
refuse("calculate_cost", "A2", with_one(A2, -0.5), ValueError, r"\bA2\b", r"-0\.5", r"\b0\b.*\b1\b")

# Parameters that are no mapping, lack a key or spell it wrongly.
ON_PARAMETERS = "forward_prop backward_prop update_parameters predict"
for wrong in (None, 3, "W1", list(PARAMETERS.values()), tuple(PARAMETERS), PARAMETERS["W1"]):
    refuse(ON_PARAMETERS, "parameters", wrong, TypeError, r"\bparameters\b", "mapping|dict")
for wrong in (3, "W1", list(PARAMETERS.values())):
    refuse("model", "parameters", wrong, TypeError, r"\bparameters\b", "mapping|dict")
for wrong in (None, 3, "A1", A2, (A1, A2)):
    refuse("backward_prop", "cache", wrong, TypeError, r"\bcache\b", "mapping|dict")
for wrong in (None, 3, "dW1", list(GRADS.values())):
    refuse("update_parameters", "grads", wrong, TypeError, r"\bgrads\b", "mapping|dict")
for key in KEYS:
    for wrong in (without(PARAMETERS, key), renamed(PARAMETERS, key, key.swapcase()), renamed(PARAMETERS, key, key[0])):
        refuse(
            ON_PARAMETERS + " model", "parameters", wrong, ValueError, r"\bparameters\b", *(rf"\b{k}\b" for k in KEYS)
        )
    for wrong in (without(GRADS, "d" + key), renamed(GRADS, "d" + key, key), renamed(GRADS, "d" + key, "D" + key)):
        refuse("update_parameters", "grads", wrong, ValueError, r"\bgrads\b", *(rf"\bd{k}\b" for k in KEYS))
refuse(ON_PARAMETERS + " model", "parameters", {}, ValueError, r"\bparameters\b", *(rf"\b{k}\b" for k in KEYS))
refuse(ON_PARAMETERS, "parameters", renamed(PARAMETERS, "W1", "w1"), ValueError, r"\bw1\b", r"\bW1\b")
for key in ("A1", "A2"):
    refuse("backward_prop", "cache", without(CACHE, key), ValueError, r"\bcache\b", r"\bA1\b", r"\bA2\b")
    refuse("backward_prop", "cache", renamed(CACHE, key, key.lower()), ValueError, r"\bcache\b", r"\bA1\b", r"\bA2\b")

# Entries that are no fitting matrix.
SHAPES = {"W1": [(3,), (1, 3, 2)], "b1": [(3,), (), (1, 3), (2, 1), (3, 2)]}
SHAPES |= {"W2": [(3,), (1, 2), (1, 4), (3, 1), (0, 3)], "b2": [(1,), (), (2, 1), (1, 2)]}
for key, shapes in SHAPES.items():
    for shape in shapes:
        came = re.escape(str(shape)) if shape else r"\(\)|0-d|scalar"
        wrong = {**PARAMETERS, key: np.ones(shape)}
        refuse(ON_PARAMETERS + " model", "parameters", wrong, ValueError, rf"\b({key}|W2)\b", came)
for key in KEYS:
    for wrong in (NOT_NUMERIC["text"], NOT_NUMERIC["complex"], None, "W1"):
        refuse(ON_PARAMETERS + " model", "parameters", {**PARAMETERS, key: wrong}, TypeError, rf"\b{key}\b")
        refuse("update_parameters", "grads", {**GRADS, "d" + key: wrong}, TypeError, rf"\bd{key}\b")
    shape = PARAMETERS[key].shape
    wrong = {**GRADS, "d" + key: np.ones((shape[0] + 1, shape[1]))}
    refuse(
        "update_parameters", "grads", wrong, ValueError, rf"\bd{key}\b", rf"\({shape[0] + 1}, {shape[1]}\)",
        rf"\({shape[0]}, {shape[1]}\)",
    )  # fmt: skip
refuse("update_parameters", "grads", {**GRADS, "dW1": GRADS["dW1"].T}, ValueError, r"\bdW1\b", r"\(2, 3\)", r"\(3, 2\)")
refuse("backward_prop", "cache", {**CACHE, "A1": A1[:2]}, ValueError, r"\bA1\b", r"\(2, 4\)", r"\(3, 4\)")
refuse("backward_prop", "cache", {**CACHE, "A1": A1[:, :3]}, ValueError, r"\bA1\b", r"\(3, 3\)", r"\(3, 4\)")
refuse("backward_prop", "cache", {**CACHE, "A2": A2[:, :3]}, ValueError, r"\bA2\b", r"\(1, 3\)", r"\(1, 4\)")
refuse("backward_prop", "cache", {**CACHE, "A2": A2[0]}, ValueError, r"\bA2\b", r"\(4,\)")
refuse("backward_prop", "cache", {**CACHE, "A1": "a"}, TypeError, r"\bA1\b")

# model(): sizes against the data and against the parameters.
refuse("model", "n_x", 3, ValueError, r"\bX\b", r"\bn_x\b", r"\b3\b", r"\b2\b|\(2, 4\)")
refuse("model", "n_y", 2, ValueError, r"\bY\b", r"\bn_y\b", r"\b2\b", r"\b1\b|\(1, 4\)")
for sizes in ((2, 4, 1), (3, 3, 1), (2, 3, 2)):
    came = r"\D+".join(map(str, sizes))
    wrong = plain_parameters(*sizes)
    refuse("model", "parameters", wrong, ValueError, r"\bparameters\b", rf"{came}|W[12]", r"n_x, n_h, n_y|n_[xhy]")
refuse("model", "parameters", {**PARAMETERS, "b2": [[np.nan]]}, ValueError, r"\bb2\b", "(?i)nan")

# Sizes and iterations.
for size in ("n_x", "n_h", "n_y"):
    for wrong in (0, -1, -(10**9), np.int64(0)):
        refuse("initialize_parameters model", size, wrong, ValueError, rf"\b{size}\b", str(wrong), r"1|positive")
    for wrong in (2.5, np.float64(1.5), "2", None, True, np.True_, [2], (2, 3), np.array([2, 3]), float("nan"), 1j):
        refuse("initialize_parameters model", size, wrong, TypeError, rf"\b{size}\b", "int")
for wrong in (-1, -100, np.int64(-5)):
    refuse("model", "num_of_iters", wrong, ValueError, r"\bnum_of_iters\b", str(wrong), r"\b0\b|negative")
for wrong in (
    1.5,
    np.float64(10.5),
    "10",
    None,
    True,
    [10],
    float("nan"),
    float("inf"),
    1j,
    np.array(1.5),
    np.array([10]),
):
    refuse("model", "num_of_iters", wrong, TypeError, r"\bnum_of_iters\b", "int")

# The learning rate.
for wrong in (float("nan"), float("inf"), -float("inf"), -0.1, -1, np.float32("nan")):
    refuse("model update_parameters", "learning_rate", wrong, ValueError, r"\blearning_rate\b", r"(?i)nan|inf|-0\.1|-1")
for wrong in ("0.3", None, 1j, {}):
    refuse("model update_parameters", "learning_rate", wrong, TypeError, r"\blearning_rate\b", "number|float|real")
for wrong in ([0.3, 0.1], np.array([0.1, 0.2]), np.array([0.1]), np.array("0.3"), np.array(1j), np.array(True)):
    refuse("model update_parameters", "learning_rate", wrong, (TypeError, ValueError), r"\blearning_rate\b", "number")

# Random states and dtypes.
for wrong in ("seed", 1.5, [], {}, object()):
    refuse("initialize_parameters model", "random_state", wrong, TypeError, r"\brandom_state\b", "Generator")
for wrong in (-1, 2**32):
    refuse("initialize_parameters model", "random_state", wrong, ValueError, r"\brandom_state\b", str(wrong))
for wrong in (int, np.int64, complex, np.complex128, bool, object, str, "int32"):
    refuse("initialize_parameters", "dtype", wrong, (TypeError, ValueError), r"\bdtype\b", "float32", "float64")
refuse("initialize_parameters", "dtype", "nonsense", (TypeError, ValueError), r"\bdtype\b", "nonsense")


@pytest.mark.parametrize(("function", "argument"), dict.fromkeys(row[:2] for row in TABLE))
def test_refused(capsys, core, function, argument):
    assert_refused(TABLE, function, argument, getattr(fx, function), GOOD[function], core)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("function", GOOD)
def test_what_the_table_starts_from_is_accepted(core, capsys, function):
    with fx.use_backend(core):
        getattr(fx, function)(**GOOD[function])


def test_the_start_of_the_model_rows_is_accepted(core):
    fx.model(**STARTED, print_cost=False, backend=core)


def test_a_random_state_is_looked_at_where_none_is_needed(core):
    with pytest.raises(TypeError, match="random_state"):
        fx.model(**STARTED, random_state="bad", print_cost=False, backend=core)


def test_arrays_without_axes_are_numbers(core):
    wanted = fx.model(**STARTED, print_cost=False, backend=core)
    sizes = {name: np.array(STARTED[name]) for name in ("n_x", "n_h", "n_y", "num_of_iters", "learning_rate")}
    got = fx.model(**{**STARTED, **sizes}, print_cost=False, backend=core)
    for key in KEYS:
        np.testing.assert_array_equal(got[key], wanted[key])


def test_a_masked_array_without_masked_values_is_an_array(core):
    A2, _cache = fx.forward_prop(np.ma.masked_array(X), PARAMETERS, backend=core)
    np.testing.assert_array_equal(A2, fx.forward_prop(X, PARAMETERS, backend=core)[0])


def test_the_table_covers_every_argument_of_the_tutorial():
    covered = {(row[0], row[1]) for row in TABLE}
    assert covered >= {(function, argument) for function, arguments in GOOD.items() for argument in arguments}


@pytest.mark.parametrize(
    ("argument", "wrong"), [("Y", [[0, 1, 1, 2]]), ("learning_rate", np.nan), ("num_of_iters", -1)]
)
def test_a_refusal_draws_no_random_numbers(core, argument, wrong):
    np.random.seed(4)
    after = np.random.rand()
    np.random.seed(4)
    with pytest.raises(ValueError, match=argument):
        fx.model(**{**GOOD["model"], argument: wrong}, backend=core)
    assert np.random.rand() == after


def test_a_refusal_leaves_its_arguments_alone(core):
    features, _ = plain_data(3, 1, 4)
    kept = features.copy()
    with pytest.raises(ValueError, match=r"\bX\b"):
        fx.forward_prop(features, PARAMETERS, backend=core)
    np.testing.assert_array_equal(features, kept)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_unpickled_array_is_not_copied(dtype):
    """Its dtype is equal to numpy's own, but another object."""
    array = pickle.loads(pickle.dumps(np.ones((3, 2), dtype)))
    assert array.dtype is not np.dtype(dtype)
    assert validation.numeric("X", array) is array


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_unpickled_arrays_give_the_same_results(core, dtype):
    net = fx.Network([2, 3, 1])
    X, Y = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], dtype), np.array([[0, 1, 1, 0]], dtype)
    plain = dict(net.initialize(0, dtype=dtype)), X, Y

    def results(parameters, X, Y):
        cost, grads = net.gradient(parameters, X, Y, backend=core)
        trained = fx.train(net, X, Y, parameters=parameters, iterations=3, backend=core).parameters
        return {**grads, **trained, "A": net.forward(parameters, X, backend=core), "cost": np.float64(cost)}

    wanted, got = results(*plain), results(*pickle.loads(pickle.dumps(plain)))
    assert_same_dict(got, wanted, rtol=4 * np.finfo(dtype).eps)
    assert all(got[key].dtype == wanted[key].dtype for key in wanted)


# ---------------------------------------------------------------- numbers that the dtype of a run does not hold

NEARLY_1 = 1 - 1e-9
NOT_HELD = [
    (fx.Adam(epsilon=1e-46), "epsilon must be at least 1.17549e-38 for float32 data, got 1e-46"),
    (fx.Adam(epsilon=1e-40), "epsilon must be at least 1.17549e-38 for float32 data, got 1e-40"),
    (fx.Adam(epsilon=1e39), "epsilon must be at most 3.40282347e+38 for float32 data, got 1e+39"),
    (fx.Adam(beta1=NEARLY_1), "beta1 must be at most 0.99999994 for float32 data, got 0.999999999"),
    (fx.Adam(beta2=NEARLY_1), "beta2 must be at most 0.99999994 for float32 data, got 0.999999999"),
    (fx.Adam(beta2=1e-42), "beta2 must be at least 1.17549e-38 for float32 data, got 1e-42"),
    (fx.Adam(1e39), "learning_rate must be at most 3.40282347e+38 for float32 data, got 1e+39"),
    (fx.SGD(1e39), "learning_rate must be at most 3.40282347e+38 for float32 data, got 1e+39"),
    (fx.SGD(1e-46), "learning_rate must be at least 1.17549e-38 for float32 data, got 1e-46"),
    (fx.AdamW(weight_decay=1e39), "weight_decay must be at most 3.40282347e+38 for float32 data, got 1e+39"),
    (fx.RMSprop(alpha=NEARLY_1), "alpha must be at most 0.99999994 for float32 data, got 0.999999999"),
    (fx.Rprop(eta_minus=NEARLY_1), "eta_minus must be at most 0.99999994 for float32 data, got 0.999999999"),
    (fx.Rprop(min_step=1e-46), "min_step must be at least 1.17549e-38 for float32 data, got 1e-46"),
    (fx.SGD(0.1, NEARLY_1), "momentum must be at most 0.99999994 for float32 data, got 0.999999999"),
    (fx.SGD(0.1, 1e-46, nesterov=True), "momentum must be at least 1.17549e-38 for float32 data, got 1e-46"),
]


def single(network=None):
    """The tutorial's data, and a start, in float32."""
    network = network or fx.Network([2, 3, 1])
    return X.astype(np.float32), Y.astype(np.float32), network.initialize(0, dtype=np.float32)


@pytest.mark.parametrize(("optimizer", "message"), NOT_HELD, ids=lambda value: str(value)[:40])
def test_an_optimizer_that_float32_does_not_hold(core, optimizer, message):
    net = fx.Network([2, 3, 1])
    features, labels, start = single(net)
    for parameters in (None, start):
        np.random.seed(4)
        with pytest.raises(ValueError, match=re.escape(message)):
            fx.train(net, features, labels, parameters=parameters, optimizer=optimizer, backend=core)
        drawn = np.random.rand()
        np.random.seed(4)
        assert drawn == np.random.rand()


@pytest.mark.parametrize(("optimizer", "_message"), NOT_HELD, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("wide", ["data", "parameters"])
def test_float64_holds_them(core, optimizer, _message, wide):
    """A run is in float64 if the data or the parameters are."""
    net = fx.Network([2, 3, 1])
    features, labels, start = single(net)
    if wide == "data":
        features = features.astype(np.float64)
    else:
        start = {name: array.astype(np.float64) for name, array in start.items()}
    arguments = {"parameters": start, "optimizer": optimizer, "iterations": 1, "backend": core}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.DivergenceWarning)  # of a step of 1e39
        assert fx.train(net, features, labels, **arguments).parameters["W1"].dtype == np.float64


@pytest.mark.parametrize(
    "settings", [{"epsilon": 5e-324}, {"epsilon": 1e-308}, {"beta1": 1e-310}, {"learning_rate": 1e-320}]
)
def test_an_optimizer_that_float64_holds_as_no_normal_number(core, settings):
    with pytest.raises(ValueError, match=rf"{next(iter(settings))} must be at least 2.22507e-308 for float64 data"):
        fx.train(fx.Network([2, 3, 1]), X, Y, optimizer=fx.Adam(**settings), backend=core)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_limits_themselves_are_held(core, dtype):
    info = np.finfo(dtype)
    last = float(np.nextafter(np.array(1, dtype), np.array(0, dtype)))
    data = X.astype(dtype), Y.astype(dtype)
    smallest = float(info.smallest_normal)
    for optimizer in (fx.Adam(smallest, 0.0, last, smallest), fx.Adam(0.0, last, smallest), fx.SGD(smallest, last)):
        run = fx.train(fx.Network([2, 3, 1]), *data, optimizer=optimizer, iterations=3, random_state=0, backend=core)
        assert run.iterations == 3
    validation.held("learning_rate", float(info.max), np.dtype(dtype))


@pytest.mark.parametrize("wrong", [1e39, 1e-46])
def test_a_learning_rate_that_float32_does_not_hold(core, wrong):
    features, labels, start = single()
    grads = {"d" + name: array for name, array in start.items()}
    wanted = r"learning_rate must be at (most 3\.4|least 1\.1)\S+ for float32 data, got 1e"
    for parameters in (start, None):
        with pytest.raises(ValueError, match=wanted):
            fx.model(features, labels, 2, 3, 1, 3, wrong, parameters=parameters, backend=core)
    with pytest.raises(ValueError, match=wanted):
        fx.update_parameters(start, grads, wrong, backend=core)


# ---------------------------------------------------------------- arrays that float32 does not hold


@pytest.mark.parametrize("value", [1e39, -1e39, 1.7e308])
def test_targets_that_float32_does_not_hold(core, value):
    net = fx.Network([2, 3, 1], output="identity")
    features, _labels, start = single(net)
    wrong = with_one(Y, value, (0, 2))
    wanted = re.escape(f"Y must lie within +-3.40282347e+38 for float32 data, got {value} at (0, 2)")
    for call in (
        lambda: net.cost(start, features, wrong, backend=core),
        lambda: net.gradient(start, features, wrong, backend=core),
        lambda: fx.train(net, features, wrong, parameters=start, backend=core),
        lambda: fx.train(net, features, wrong, backend=core),
    ):
        np.random.seed(4)
        with pytest.raises(ValueError, match=wanted):
            call()
        drawn = np.random.rand()
        np.random.seed(4)
        assert drawn == np.random.rand()
    assert np.isfinite(net.cost(start, X, with_one(Y, 1e100), backend=core))


def test_gradients_and_caches_that_float32_does_not_hold(core):
    features, labels, start = single()
    grads = {"d" + name: array.astype(float) for name, array in start.items()}
    grads["dW2"][0, 1] = -1e200
    with pytest.raises(ValueError, match=re.escape('grads["dW2"] must lie within +-3.40282347e+38 for float32 data')):
        fx.update_parameters(start, grads, 0.1, backend=core)
    cache = {"A1": np.full((3, 4), 1e200), "A2": np.full((1, 4), 0.5)}
    with pytest.raises(ValueError, match=re.escape('cache["A1"] must lie within +-3.40282347e+38 for float32 data')):
        fx.backward_prop(features, labels, cache, start, backend=core)
    with pytest.raises(ValueError, match=re.escape("Y must lie within +-3.40282347e+38 for float32 data")):
        fx.calculate_cost(np.full((1, 4), 0.5, np.float32), with_one(Y, 1e39), backend=core)


def test_infinity_is_refused_as_infinity(core):
    """Not as a number that is too large for float32."""
    features, _labels, start = single()
    with pytest.raises(ValueError, match=r"\bY\b must be finite, got inf at \(0, 1\)"):
        fx.Network([2, 3, 1]).cost(start, features, with_one(Y, np.inf, (0, 1)), backend=core)


# ---------------------------------------------------------------- integers beyond every limit

BEYOND = [2**63, 2**64, 10**30, 10**5000]  # the last has more digits than Python writes
NETWORK = fx.Network([2, 3, 1])


@pytest.mark.parametrize("name", ["interval", "batch_size", "threads"])
@pytest.mark.parametrize("large", [2**31, 2**63 - 1, *BEYOND], ids=lambda n: f"{n.bit_length()} bits")
def test_no_more_than_is_needed(core, name, large):
    plain = {"interval": 7, "batch_size": 4, "threads": 1}[name]
    arguments = {"optimizer": fx.SGD(0.1), "random_state": 0, "iterations": 7, "backend": core}
    wanted = fx.train(NETWORK, X, Y, **arguments, **{name: plain})
    run = fx.train(NETWORK, X, Y, **arguments, **{name: large})
    assert run.history == wanted.history
    assert_same_dict(run.parameters, wanted.parameters, rtol=0)


@pytest.mark.parametrize("name", ["interval", "batch_size", "threads"])
@pytest.mark.parametrize("small", [0, -1, -(2**64), -(10**5000)], ids=lambda n: f"{n.bit_length()} bits")
def test_less_than_one(core, name, small):
    with pytest.raises(ValueError, match=rf"{name} must be at least 1, got (0|-|about -2\*\*16610)"):
        fx.train(NETWORK, X, Y, **{name: small}, backend=core)


@pytest.mark.parametrize("large", BEYOND, ids=lambda n: f"{n.bit_length()} bits")
def test_more_than_can_be_counted(core, large):
    came = str(large) if large < 10**40 else r"about 2\*\*16610"
    limit = 2**63 - 1
    with pytest.raises(ValueError, match=f"iterations must be at most {limit}, got {came}$"):
        fx.train(NETWORK, X, Y, iterations=large, backend=core)
    with pytest.raises(ValueError, match=f"num_of_iters must be at most {limit - 1}, got {came}$"):
        fx.model(X, Y, 2, 3, 1, large, 0.1, backend=core)
    with pytest.raises(ValueError, match=rf"sizes\[1\] must be at most {limit}, got {came}$"):
        fx.Network([2, large, 1])
    for name in ("n_x", "n_h", "n_y"):
        sizes = {"n_x": 2, "n_h": 3, "n_y": 1, name: large}
        with pytest.raises(ValueError, match=f"{name} must be at most {limit}, got {came}$"):
            fx.initialize_parameters(**sizes)
        with pytest.raises(ValueError, match=f"{name} must be at most {limit}, got {came}$"):
            fx.model(X, Y, **sizes, num_of_iters=1, learning_rate=0.1, backend=core)
    with pytest.raises(ValueError, match=f"random_state must be between 0 and .*, got {came}$"):
        fx.initialize_parameters(2, 3, 1, random_state=large)


def test_the_longest_run_is_begun(monkeypatch, core):
    """Of 2**63 - 1 steps, the first of which is the last."""

    def stop(text):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", stop)
    with pytest.raises(fx.TrainingInterrupted):
        fx.model(X, Y, 2, 3, 1, 2**63 - 2, 0.1, random_state=0, backend=core)


@pytest.mark.parametrize("sizes", [(2**62, 1), (2, 2**62, 1), (2**40, 2**40), (2**63 - 1,) * 6])
def test_more_parameters_than_an_array_holds(sizes):
    with pytest.raises(
        ValueError, match=r"network of sizes \(.*\) has \S+.* parameters, and an array holds at most \d+$"
    ):
        fx.Network(sizes)


@pytest.mark.parametrize("sizes", [(2**50, 1), (2, 2**55, 1)])
def test_more_parameters_than_there_is_memory_for(sizes):
    network = fx.Network(sizes)
    with pytest.raises(MemoryError, match=rf"no memory for the {network.count} parameters .* GB in float32, and more"):
        network.initialize(dtype=np.float32)
    if len(sizes) == 3:
        with pytest.raises(MemoryError, match=rf"no memory for the {network.count} parameters .* GB in float64, and"):
            fx.model(X, Y, *sizes, num_of_iters=1, learning_rate=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2, 12345, 2**32 - 1])
def test_an_int_gives_numpys_own_random_state(seed):
    ours, numpys = validation.random_state(seed), np.random.RandomState(seed)
    for _ in range(2):
        np.testing.assert_array_equal(ours.standard_normal(1001), numpys.standard_normal(1001))
        assert validation.seed(ours) == validation.seed(numpys)
        numpys = pickle.loads(pickle.dumps(numpys))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("part", [np.s_[:, :], np.s_[:, ::2], np.s_[::2]])
def test_a_bad_value_is_found_wherever_it_is(dtype, order, part):
    """And the largest numbers, whose squares overflow, are none."""
    most = np.finfo(dtype).max
    whole = np.asarray(np.full((6, 9), most, dtype), order=order)[part]
    validation.check_values(X=whole)
    net = fx.Network([len(whole), 1])
    for place in np.ndindex(whole.shape):
        for bad in (np.nan, np.inf, -np.inf):
            spoilt = np.asarray(np.full((6, 9), most, dtype), order=order)[part]
            spoilt[place] = bad
            with pytest.raises(ValueError, match=re.escape(f"X must be finite, got {bad} at {place}")):
                fx.train(net, spoilt, np.zeros((1, spoilt.shape[1])), iterations=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [100, 30_000, 30_002])
def test_large_arrays_are_looked_at_like_small_ones(size, dtype):
    largest = np.finfo(dtype).max
    array = np.full(size, largest, dtype)
    assert validation.finite(array)  # though no sum of them is
    array[::2] *= -1
    assert validation.finite(array)
    for bad in ([np.inf], [np.nan], [np.inf, -np.inf]):
        for start in (0, size // 2, size - len(bad)):
            wrong = np.zeros(size, dtype)
            wrong[start : start + len(bad)] = bad
            assert not validation.finite(wrong)
            assert not validation.finite(wrong.reshape(2, -1).T)
            assert not validation.finite(wrong.reshape(2, -1)[:, ::-1])
