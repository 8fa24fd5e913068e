"""What a user meets in the first minute: `help`, `dir` and tab completion."""

import importlib
import inspect
import pydoc
import re
import rlcompleter

import pytest
from support import X, Y, run_python

import fastxor as fx

NET = fx.Network([2, 3, 1])
RUN = fx.train(NET, X, Y, iterations=3, random_state=0, backend="numpy")

PUBLIC = {
    "net": (
        NET,
        "sizes hidden output loss count layers initialize forward predict cost gradient "
        "vjp jacobian hvp compile flatten unflatten to_torch",
    ),
    "run": (RUN, "network parameters history iterations forward predict cost save export"),
    "trained": (fx.Trained(NET, RUN.parameters), "network parameters forward predict cost export"),
    "population": (
        fx.train_population(NET, X, Y, members=2, iterations=3, random_state=0, backend="numpy"),
        "network networks parameters cost validation_cost history iterations converged iterations_to_target diverged "
        "seeds best top forward predict mean spread vote save index count",
    ),
    "table": (
        fx.sweep(NET, X, Y, {"l2": [0.0, 0.1]}, iterations=3, random_state=0, backend="numpy"),
        "columns population best of to_dict index count",
    ),
    "check": (
        fx.check_gradient(NET, RUN.parameters, X, Y),
        "ok error tolerance parameter index analytic numeric checked at_kinks count",
    ),
    "SGD": (fx.SGD(), "learning_rate momentum nesterov"),
    "Adam": (fx.Adam(), "learning_rate beta1 beta2 epsilon"),
    "warning": (fx.DivergenceWarning(), " ".join(dir(Warning()))),
    "interrupted": (
        fx.TrainingInterrupted({}, 3),
        " ".join(["parameters iterations result", *dir(KeyboardInterrupt())]),
    ),
    "parameters": (RUN.parameters, " ".join(dir({}))),
    "grads": (NET.gradient(RUN.parameters, X, Y)[1], " ".join(dir({}))),
    "cache": (fx.forward_prop(X, RUN.parameters)[1], " ".join(dir({}))),
}


def public(names):
    return {name for name in names if not name.startswith("_")}


def completed(name, value):
    """What the interpreter offers after `name` and a dot."""
    matches = rlcompleter.Completer({name: value}).attr_matches(f"{name}.")
    return public(match.removeprefix(f"{name}.").rstrip("()") for match in matches)


# ---------------------------------------------------------------- help


def test_help_opens_with_what_there_is():
    lines = pydoc.render_doc(fx, renderer=pydoc.plaintext).splitlines()
    assert lines[2:4] == ["NAME", "    fastxor - Small neural networks, fast on a CPU."]
    assert lines[5] == "DESCRIPTION"
    page = lines[6 : lines.index("PACKAGE CONTENTS")]
    assert len(page) < 80
    assert max(map(len, page)) <= 100  # indented by four
    rows = [re.match(r" {8}(\w+(?:, \w+)*)  +\S", line) for line in page]
    listed = [name for row in rows if row for name in row[1].split(", ")]
    assert listed == fx.__all__
    assert listed[:2] == ["Network", "train"]
    for word in ("fx.Network", "fx.model", "FASTXOR_BACKEND", "fastxor bench", "(n_x, m)"):
        assert any(word in line for line in page)


def test_help_says_what_a_user_types(tmp_path):
    done = run_python("-c", "import fastxor; help(fastxor)", cwd=tmp_path)
    names = re.findall(r"^(?: {5}\||   ) {1,2}(?:class )?(\w+)\(", done.stdout, re.MULTILINE)
    assert {"Network", "train", "forward", "predict", *fx.__all__} <= set(names)
    assert not [name for name in names if name.startswith("_") and not name.endswith("__")]
    assert not {"views", "activations", "is_intact"} & set(names)


@pytest.mark.parametrize("name", fx.__all__)
def test_everything_explains_itself(name):
    assert len(inspect.getdoc(getattr(fx, name)).splitlines()[0]) > 15
    assert getattr(fx, name).__module__.startswith("fastxor.")


# ---------------------------------------------------------------- dir and tab completion


def test_the_package_shows_its_public_names_only():
    assert sorted(public(dir(fx))) == sorted(fx.__all__)
    assert completed("fx", fx) == set(fx.__all__)
    assert {"__version__", "__doc__", "__file__", "__all__"} <= set(dir(fx))
    assert all(hasattr(fx, name) for name in dir(fx))


def test_the_package_shows_no_module_that_has_been_imported(tmp_path):
    code = "import fastxor as fx, fastxor.bench, fastxor.names; fx.warmup(); print(*dir(fx)); fx.bench, fx.names"
    done = run_python("-c", code, cwd=tmp_path)
    assert public(done.stdout.split()) == set(fx.__all__)


@pytest.mark.parametrize("name", ["bench", "names", "backends", "backends.fused", "validation", "views"])
def test_modules_that_are_not_shown_can_be_imported(name):
    module = importlib.import_module(f"fastxor.{name}")
    assert getattr(fx, name.split(".")[0]) is importlib.import_module(f"fastxor.{name.split('.')[0]}")
    assert module.__doc__


@pytest.mark.parametrize("name", PUBLIC)
def test_objects_show_their_public_names_only(name):
    value, names = PUBLIC[name]
    assert public(dir(value)) == public(names.split())
    assert completed("value", value) == public(names.split())


def test_a_star_imports_the_public_names():
    namespace = {}
    exec("from fastxor import *", namespace)
    assert public(namespace) == set(fx.__all__)
