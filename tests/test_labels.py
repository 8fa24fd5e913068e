"""Labels and data as people have them, names as they write them, and what they are told."""

import inspect
import re
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import X, Y, assert_no_alias, assert_same_dict, frozen

import fastxor as fx
from fastxor import suggestions
from fastxor.network import ACTIVATIONS, INITIALIZATIONS, LOSSES, OUTPUTS
from fastxor.optimizers import Optimizer
from fastxor.schedules import KINDS

CLASSES = fx.Network([2, 5, 3], output="softmax")
ONE = {name: fx.Network([2, 3, 1], output=name) for name in ("sigmoid", "identity")}
FEATURES = np.random.RandomState(0).randn(2, 7)
NUMBERS = np.array([2, 0, 1, 1, 2, 0, 2])
COLUMNS = np.eye(3)[:, NUMBERS]


def results(net, features, targets, core, **options):
    """All that a network makes of targets: trained parameters, gradients, costs."""
    start = net.initialize(0, dtype=features.dtype)
    run = fx.train(net, features, targets, iterations=5, interval=1, random_state=1, backend=core, **options)
    cost, grads = net.gradient(start, features, targets, backend=core)
    costs = np.array([cost, net.cost(start, features, targets, backend=core), *run.history.values()])
    return {**run.parameters, **grads, "costs": costs}


# ---------------------------------------------------------------- class numbers for softmax


FORMS = {
    "ints": NUMBERS,
    "list": NUMBERS.tolist(),
    "row": NUMBERS[None],
    "list of a row": [NUMBERS.tolist()],
    "floats": NUMBERS.astype(float),
    "float32": NUMBERS.astype(np.float32),
    "bytes": NUMBERS.astype(np.uint8),
    "strided": np.repeat(NUMBERS, 3)[::3],
    "objects": list(map(int, NUMBERS)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_class_numbers_are_their_columns(core, form, dtype, batch_size):
    features, before = FEATURES.astype(dtype), frozen(FORMS[form])
    got = results(CLASSES, features, FORMS[form], core, batch_size=batch_size)
    assert_same_dict(got, results(CLASSES, features, COLUMNS, core, batch_size=batch_size), rtol=0)
    assert {array.dtype for name, array in got.items() if name != "costs"} == {np.dtype(dtype)}
    assert frozen(FORMS[form]) == before


def test_as_many_samples_as_classes(core):
    """A square of columns is never taken for class numbers, nor these for columns."""
    start, columns = CLASSES.initialize(0), np.eye(3)[:, [1, 2, 0]]
    wanted = CLASSES.cost(start, FEATURES[:, :3], columns, backend=core)
    assert CLASSES.cost(start, FEATURES[:, :3], [1, 2, 0], backend=core) == wanted
    assert CLASSES.cost(start, FEATURES[:, :1], [1], backend=core) == CLASSES.cost(
        start, FEATURES[:, :1], [[0], [1], [0]], backend=core
    )


def test_truth_values_are_the_numbers_of_two_classes(core):
    net = fx.Network([2, 3, 2], output="softmax")
    answers = NUMBERS == 2
    assert_same_dict(results(net, FEATURES, answers, core), results(net, FEATURES, answers.astype(int), core), rtol=0)


@pytest.mark.parametrize(
    ("wrong", "came"),
    [
        ([2, 0, 1, 3, 2, 0, 2], "got 3 at 3"),
        ([2, 0, -1, 1, 3, 0, 2], "got -1 at 2, and 1 more such value"),
        ([[2, 0, 1, 1.5, 2, 0, 2]], "got 1.5 at 3"),
        ([2, 0, 1, 1, 2, 0, np.nan], "got nan at 6"),
        ([2, 0, 1, 1, 2, np.inf, 2], "got inf at 5"),
    ],
)
def test_what_is_no_class_number(core, wrong, came):
    for call in (CLASSES.cost, CLASSES.gradient):
        with pytest.raises(ValueError, match=f"Y must hold class numbers, integers from 0 to 2, {came}"):
            call(CLASSES.initialize(0), FEATURES, wrong, backend=core)
    with pytest.raises(ValueError, match=f"Y must hold class numbers, integers from 0 to 2, {came}"):
        fx.train(CLASSES, FEATURES, wrong, backend=core)


SHAPES = [
    (CLASSES, (8,), r"\(n_y, m\) = \(3, 7\), or class numbers \(7,\), to go with X, got shape \(8,\)$"),
    (CLASSES, (7, 3), r"\(3, 7\), or class numbers .* got shape \(7, 3\); Y looks transposed, pass Y.T$"),
    (CLASSES, (7, 1), r"\(3, 7\), or class numbers .* got shape \(7, 1\); Y looks transposed, pass Y.T$"),
    (CLASSES, (), r"\(3, 7\), or class numbers .* got shape \(\)$"),
    (CLASSES, (0,), r"\(3, 7\), or class numbers .* got shape \(0,\)$"),
    (ONE["sigmoid"], (8,), r"\(1, 7\) to go with X, got shape \(8,\)$"),
    (ONE["sigmoid"], (7, 1), r"\(1, 7\) to go with X, got shape \(7, 1\); Y looks transposed, pass Y.T$"),
    (fx.Network([2, 3]), (7,), r"\(3, 7\) to go .* for class numbers, take output='softmax' or fx.one_hot\(Y, n_y\)$"),
    (fx.Network([2, 3]), (1, 7), r"\(3, 7\) to go .* for class numbers, take output='softmax' or fx.one_hot"),
]


@pytest.mark.parametrize(("net", "shape", "message"), SHAPES)
def test_other_shapes_are_refused(core, net, shape, message):
    for call in (net.cost, net.gradient):
        with pytest.raises(ValueError, match="Y must have shape .*" + message):
            call(net.initialize(0), FEATURES, np.zeros(shape), backend=core)
    with pytest.raises(ValueError, match="Y must have shape .*" + message):
        fx.train(net, FEATURES, np.zeros(shape), backend=core)


# ---------------------------------------------------------------- one output


@pytest.mark.parametrize("output", ONE)
@pytest.mark.parametrize("form", ["array", "list", "strided", "bools"])
def test_a_vector_for_one_output(core, output, form):
    vector = (NUMBERS > 1).astype(float)
    given = {"array": vector, "list": vector.tolist(), "strided": np.repeat(vector, 2)[::2], "bools": vector > 0}[form]
    got = results(ONE[output], FEATURES, given, core)
    assert_same_dict(got, results(ONE[output], FEATURES, vector[None], core), rtol=0)
    assert_no_alias(got, given)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    "names",
    [
        ["cat", "dog", "emu", "emu", "cat", "dog", "cat"],
        np.array(["cat", "dog", "emu", "emu", "cat", "dog", "cat"], dtype=object),
        ["0", "1", "2", "2", "1", "0", "1"],
    ],
)
def test_text_is_refused_with_what_to_do(core, names):
    hint = re.escape("number the classes: names, numbers = np.unique(labels, return_inverse=True)")
    for net in (CLASSES, ONE["sigmoid"]):
        for call in (
            lambda n=net: n.cost(n.initialize(0), FEATURES, names, backend=core),
            lambda n=net: n.gradient(n.initialize(0), FEATURES, names, backend=core),
            lambda n=net: fx.train(n, FEATURES, names, backend=core),
        ):
            with pytest.raises(TypeError, match=f"Y must hold real numbers, got .*{hint}"):
                call()
    with pytest.raises(TypeError, match=f"labels must hold real numbers, got .*{hint}"):
        fx.one_hot(names, 3)
    with pytest.raises(TypeError, match=r"Y must hold real numbers, got None$"):
        CLASSES.cost(CLASSES.initialize(0), FEATURES, None, backend=core)
    with pytest.raises(ValueError, match=r"from 0.0 to 2.0; for class numbers, take output='softmax', with an output"):
        fx.train(ONE["sigmoid"], FEATURES, NUMBERS, backend=core)
    with pytest.raises(ValueError, match=r"from 0.0 to 1.5$"):
        fx.train(ONE["sigmoid"], FEATURES, NUMBERS * 0.75, backend=core)
    _, numbers = np.unique(names, return_inverse=True)
    assert np.isfinite(CLASSES.cost(CLASSES.initialize(0), FEATURES, numbers))  # as the message says


# ---------------------------------------------------------------- one_hot


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_one_hot(data):
    classes = data.draw(st.integers(1, 9))
    labels = data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=20))
    columns = fx.one_hot(labels, classes)
    assert columns.shape == (classes, len(labels))
    assert columns.dtype == np.float64
    assert set(np.unique(columns)) <= {0.0, 1.0}
    np.testing.assert_array_equal(columns.sum(axis=0), 1)
    np.testing.assert_array_equal(columns.argmax(axis=0), labels)
    np.testing.assert_array_equal(fx.one_hot(np.array([labels], np.uint8), classes), columns)


@pytest.mark.parametrize(
    ("labels", "classes", "error", "message"),
    [
        ([0, 3], 3, ValueError, "labels must hold class numbers, integers from 0 to 2, got 3 at 1"),
        ([0, -1], 3, ValueError, "labels .* got -1 at 1"),
        ([0.5, 1], 3, ValueError, "labels .* got 0.5 at 0"),
        ([np.nan, 1], 3, ValueError, "labels .* got nan at 0"),
        (1, 3, ValueError, r"labels must have shape \(m,\) or \(1, m\), .* got shape \(\)"),
        ([], 3, ValueError, r"labels must have shape .* got shape \(0,\)"),
        ([[0], [1]], 3, ValueError, r"labels must have shape .* got shape \(2, 1\)"),
        (np.zeros((1, 1, 2)), 3, ValueError, r"labels must have shape .* got shape \(1, 1, 2\)"),
        ([0, 1], 0, ValueError, "classes must be at least 1, got 0"),
        ([0, 1], 2.5, TypeError, "classes must be an integer"),
        ([0, 1], ["a", "b"], TypeError, "classes must be an integer"),
        (None, 2, TypeError, "labels must hold real numbers"),
        ([1j], 2, TypeError, "labels must hold real numbers"),
    ],
)
def test_one_hot_refuses(labels, classes, error, message):
    with pytest.raises(error, match=message):
        fx.one_hot(labels, classes)


# ---------------------------------------------------------------- X


def test_x_of_one_axis(core):
    net = fx.Network([1, 3, 1])
    for call in (
        lambda n, x: n.forward(n.initialize(0), x, backend=core),
        lambda n, x: n.predict(n.initialize(0), x, backend=core),
        lambda n, x: n.gradient(n.initialize(0), x, Y, backend=core),
        lambda n, x: fx.train(n, x, Y, backend=core),
    ):
        with pytest.raises(ValueError, match=r"X must .* got shape \(4,\); for one feature, pass X\[None, :\]$"):
            call(net, np.arange(4.0))
        with pytest.raises(ValueError, match=r"X must .* got shape \(4,\); for one sample, pass X\[:, None\]$"):
            call(fx.Network([4, 1]), [1, 2, 3, 4])
        with pytest.raises(ValueError, match=r"X must .* got shape \(4,\)$"):  # which is neither
            call(fx.Network([2, 1]), [1, 2, 3, 4])
        with pytest.raises(ValueError, match=r"X must .* n_x = 2 .* got shape \(4, 2\); X looks transposed, pass X.T$"):
            call(fx.Network([2, 1]), X.T)


def test_softmax_of_one_is_refused():
    for sizes in ([2, 1], [2, 5, 1]):
        with pytest.raises(ValueError, match=r"'softmax' needs .* two at least, got sizes .*, 1\).* output='sigmoid'"):
            fx.Network(sizes, output="softmax")


# ---------------------------------------------------------------- names

MEANT = [
    ("hidden", "rellu", "relu"), ("hidden", "ReLU", "relu"), ("hidden", "LeakyReLU", "leaky_relu"),
    ("hidden", "leaky-relu", "leaky_relu"), ("hidden", "Tanh", "tanh"), ("hidden", "tahn", "tanh"),
    ("hidden", "linear", "identity"), ("hidden", "GELU", "gelu"), ("hidden", "logistic", "sigmoid"),
    ("hidden", "soft plus", "softplus"),
    ("output", "Softmax", "softmax"), ("output", "sigmoide", "sigmoid"), ("output", "linear", "identity"),
    ("output", "exp", "exponential"), ("loss", "PoissonNLLLoss", "poisson"),
    ("loss", "mse", "squared_error"), ("loss", "MSE", "squared_error"), ("loss", "crossentropy", "cross_entropy"),
    ("loss", "binary_crossentropy", "binary_cross_entropy"), ("loss", "log_loss", "binary_cross_entropy"),
    ("loss", "huber_loss", "huber"),
]  # fmt: skip


@pytest.mark.parametrize(("argument", "written", "meant"), MEANT)
def test_the_nearest_name(argument, written, meant):
    with pytest.raises(ValueError, match=rf"{argument} must be one of .*, got '{written}'; did you mean '{meant}'\?$"):
        fx.Network([2, 3, 2], **{argument: written})
    if argument == "hidden":
        with pytest.raises(ValueError, match=rf"got '{written}'; did you mean '{meant}'\?$"):
            fx.Network([2, 3, 3, 2], ["tanh", written])


@pytest.mark.parametrize(
    ("written", "meant"), [("numpi", "numpy"), ("NumPy", "numpy"), ("nunba", "numba"), ("Numba", "numba")]
)
def test_the_nearest_backend(written, meant):
    for call in (
        lambda: fx.set_backend(written),
        lambda: fx.use_backend(written).__enter__(),
        lambda: fx.sigmoid(0.0, backend=written),
        lambda: fx.train(ONE["sigmoid"], X, Y, backend=written),
    ):
        with pytest.raises(ValueError, match=rf"backend must be one of .* got '{written}'; did you mean '{meant}'\?$"):
            call()


def test_no_name_is_guessed_from_nothing():
    for wrong in ("", "quadratic", "xyz", 3, None, ("relu",)):
        assert suggestions.did_you_mean(wrong, ACTIVATIONS) == ""
    with pytest.raises(ValueError, match=r"got 'xyz'$"):
        fx.Network([2, 3, 1], "xyz")


@given(st.text(max_size=20), st.sampled_from([ACTIVATIONS, OUTPUTS, tuple(LOSSES), INITIALIZATIONS, ("SGD", "Adam")]))
@settings(max_examples=50, deadline=None)
def test_a_guess_is_among_the_known(text, known):
    assert suggestions.nearest(text, known) in {None, *known}


# ---------------------------------------------------------------- arguments of train

TRAIN = {"network": ONE["sigmoid"], "X": X, "Y": Y}


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("adam", "write optimizer=fx.Adam(0.001)"),
        ("Adam", "write optimizer=fx.Adam(0.001)"),
        ("adma", "write optimizer=fx.Adam(0.001)"),
        ("sgd", "write optimizer=fx.SGD(0.3)"),
        ("gd", "write optimizer=fx.SGD(0.3)"),
        (fx.Adam, "write optimizer=fx.Adam(0.001)"),
        (fx.SGD, "write optimizer=fx.SGD(0.3)"),
        ("lm", "write optimizer=fx.LevenbergMarquardt()"),
        ("L-BFGS-B", "write optimizer=fx.LBFGS()"),
        (0.1, "write optimizer=fx.SGD(0.1)"),
    ],
)
def test_what_to_write_for_an_optimizer(wrong, hint):
    with pytest.raises(
        TypeError, match=r"optimizer must be SGD\(…\), Adam\(…\), .* or LBFGS\(…\).*; " + re.escape(hint) + "$"
    ):
        fx.train(**TRAIN, optimizer=wrong)


@pytest.mark.parametrize(
    ("unknown", "hint"),
    [
        ({"lr": 0.1}, "; the learning rate is the optimizer's: write optimizer=fx.Adam(0.1) or optimizer=fx.SGD(0.1)"),
        ({"learning_rate": 1}, "; the learning rate is the optimizer's: write optimizer=fx.Adam(1) or optimizer="),
        ({"eta": np.float32(0.25)}, "write optimizer=fx.Adam(0.25) or optimizer=fx.SGD(0.25)"),
        ({"learning_rate_init": "x"}, "; the learning rate is the optimizer's: write optimizer=fx.Adam(0.01) or"),
        ({"momentum": 0.9}, "; it is the optimizer's: write optimizer=fx.SGD(momentum=0.9)"),
        ({"beta1": 0.9}, "; it is the optimizer's: write optimizer=fx.Adam(beta1=0.9)"),
        ({"loss": "huber"}, "; it is the network's: write fx.Network(…, loss='huber')"),
        ({"iteration": 5}, "; did you mean 'iterations'?"),
        ({"max_iter": 5}, "; did you mean 'iterations'?"),
        ({"batchsize": 5}, "; did you mean 'batch_size'?"),
        ({"optimiser": fx.Adam()}, "; did you mean 'optimizer'?"),
        ({"seed": 5}, "; did you mean 'random_state'?"),
        ({"initialisation": "he"}, "; did you mean 'initialization'?"),
        ({"verbose": 1}, "; did you mean 'progress'?"),
        ({"alpha": 1e-4}, "; did you mean 'l2'?"),
        ({"warm_start": True}, "; did you mean 'resume'?"),
        ({"weights": [1]}, "; did you mean 'sample_weight'?"),
        ({"grad_clip": 1.0}, "; did you mean 'clip_norm'?"),
        ({"scheduler": None}, "; the learning rate is the optimizer's: write"),
        ({"eps": 1e-8}, "; it is the optimizer's: write optimizer=fx.Adam(epsilon=1e-08)"),
        ({"beta_1": 0.5}, "; it is the optimizer's: write optimizer=fx.Adam(beta1=0.5)"),
        ({"activation": "relu"}, "; it is the network's: write fx.Network(…, hidden='relu')"),
        ({"patience": 5}, "; write early_stopping=fx.EarlyStopping(patience=5)"),
        ({"n_iter_no_change": 5}, "; write early_stopping=fx.EarlyStopping(patience=5)"),
        ({"dtype": np.float32}, "the precision of its data: pass X.astype(np.float32)"),
        ({"colour": "red"}, "'colour'"),
        ({"unknown": 1}, "'unknown'"),
    ],
)
def test_unknown_arguments(core, unknown, hint):
    message = re.escape(f"train() got an unexpected keyword argument {next(iter(unknown))!r}")
    with pytest.raises(TypeError, match=message) as raised:
        fx.train(**TRAIN, **unknown, backend=core)
    assert hint in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "unknown", "hint"),
    [
        (fx.SGD, {"lr": 0.1}, "; did you mean 'learning_rate'?"),
        (fx.SGD, {"momentun": 0.9}, "; did you mean 'momentum'?"),
        (fx.Adam, {"eps": 1e-8}, "; did you mean 'epsilon'?"),
        (fx.Adam, {"betas": (0.9, 0.99)}, "; did you mean 'beta1'?"),
        (fx.Adam, {"weight_decay": 0.1}, "; fx.AdamW has a weight decay, and a run a penalty: write fx.train(…, l2=…)"),
        (fx.AdamW, {"decay": 0.1}, "; did you mean 'weight_decay'?"),
        (fx.RMSprop, {"rho": 0.9}, "; did you mean 'alpha'?"),
        (fx.Rprop, {"step_sizes": (1, 2)}, "; did you mean 'min_step'?"),
        (fx.LBFGS, {"history_size": 5}, "; did you mean 'memory'?"),
        (fx.LevenbergMarquardt, {"mu": 0.1}, "; did you mean 'damping'?"),
        (fx.SGD, {"batch_size": 5}, "; it is the run's: write fx.train(…, batch_size=5)"),
        (fx.EarlyStopping, {"tol": 0.1}, "; did you mean 'min_delta'?"),
        (fx.EarlyStopping, {"restore_best_weights": True}, "; did you mean 'restore_best'?"),
        (fx.schedules.step, {"gamma": 0.1}, "; did you mean 'factor'?"),
        (fx.schedules.cosine, {"T_max": 9}, "; did you mean 'steps'?"),
        (fx.schedules.warm_up, {"lr": 0.1}, "; did you mean 'rate'?"),
        (fx.Network, {"activation": "relu"}, "; did you mean 'hidden'?"),
        (fx.Network, {"hidden_layer_sizes": (8,)}, "; did you mean 'sizes'?"),
        (fx.Network, {"lr": 0.5}, "; the learning rate is the optimizer's: write optimizer=fx.Adam(0.5) or"),
        (fx.Network, {"seed": 0}, "; it is the run's: write fx.train(…, random_state=0)"),
        (fx.Network, {"dtype": "float32"}, "the precision of its data"),
        (fx.Network, {"colour": "red"}, "'colour'"),
    ],
)
def test_arguments_that_a_class_has_not(kind, unknown, hint):
    with pytest.raises(TypeError) as raised:
        kind(**unknown)
    message = str(raised.value)
    assert message.startswith(f"{kind.__name__}() got an unexpected keyword argument {next(iter(unknown))!r}")
    assert message.endswith(hint) or hint in message.partition("argument")[2]


def test_hints_for_classes_are_up_to_date():
    known = {name for kind in (*get_args(Optimizer), *KINDS.values()) for name in kind.__dataclass_fields__}
    known |= {*inspect.signature(fx.Network).parameters, *fx.EarlyStopping.__dataclass_fields__}
    assert known.issuperset(suggestions._ARGUMENTS)
    assert {*inspect.signature(fx.train).parameters}.issuperset(suggestions._RUNS)
    others = [other for names in suggestions._ARGUMENTS.values() for other in names.split()]
    assert all(suggestions._plain(other) == other for other in others)


def test_what_others_call_it_is_here_by_one_name():
    """A list of names has each once, and none of them is what is meant itself."""
    known = {*ACTIVATIONS, *OUTPUTS, *LOSSES, *INITIALIZATIONS, *inspect.signature(fx.train).parameters}
    known |= {kind.__name__ for kind in get_args(Optimizer)} | {"learning_rate", "hidden"}  # which `sweep` takes, too
    assert known.issuperset(suggestions._ELSEWHERE.values())
    assert not {suggestions._plain(name) for name in known} & suggestions._ELSEWHERE.keys()
    assert all(suggestions._plain(name) == name for name in suggestions._ELSEWHERE)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"X": np.array([[0, 1, 2, 3], [0, True, 2.5, 3]], object)}, "pass np.asarray(X, float)"),
        ({"Y": 2 * np.asarray(Y) - 1}, "of labels -1 and 1, pass Y > 0"),
        ({"sample_weight": "balanced"}, "by class, it is class_weight='balanced'"),
    ],
)
def test_what_to_pass_instead(core, arguments, hint):
    with pytest.raises((TypeError, ValueError), match=re.escape(hint) + "$"):
        fx.train(**TRAIN | arguments, backend=core)


def test_arguments_twice_or_missing_are_pythons_business():
    with pytest.raises(TypeError, match="multiple values for argument 'X'"):
        fx.train(ONE["sigmoid"], X, Y, X=X)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'Y'"):
        fx.train(ONE["sigmoid"], X)
