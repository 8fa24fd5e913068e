"""What a type checker makes of users' programs, and the names that are types."""

import sys
import typing
from importlib.resources import files

import matplotlib as mpl
import pytest
import typed_programs
from matplotlib import pyplot
from support import ROOT, TESTS, run_python

import fastxor as fx
from fastxor import backends, names, network
from fastxor.backends import reference
from fastxor.backends.fused import elementwise


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """mypy at its strictest, on a program that knows nothing of this project's settings."""
    folder = tmp_path_factory.mktemp("mypy")
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--cache-dir=cache"]

    def check(program, fails=False):
        done = run_python("-m", "mypy", *options, program, cwd=folder, env={"MYPYPATH": ROOT}, fails=fails)
        return done.stdout

    return check


def test_right_programs_pass_and_wrong_ones_are_refused(mypy):
    assert "no issues found in 1 source file" in mypy(TESTS / "typed_programs.py")


def test_a_misspelt_name_is_answered_with_those_that_there_are(mypy, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import fastxor as fx\n\nfx.Network([2, 2, 1], 'rellu')\n")
    assert "'tanh', 'sigmoid', 'relu', 'leaky_relu'" in mypy(program, fails=True)


@pytest.mark.parametrize("program", ["learner", "practitioner", "names", "backends", "endings"])
def test_right_programs_run(program, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["program"])
    getattr(typed_programs, program)()


def test_right_programs_run_with_files(tmp_path):
    typed_programs.researcher(tmp_path)
    typed_programs.patient(tmp_path)
    with mpl.rc_context({"backend": "agg"}):
        typed_programs.giver(tmp_path)
        pyplot.close("all")


def test_checkers_are_told_that_there_are_types():
    assert files(fx).joinpath("py.typed").is_file()


# ---------------------------------------------------------------- names


def test_tables_have_the_names_that_the_types_have():
    activations, outputs = typing.get_args(names.Activation), typing.get_args(names.Output)
    assert set(reference.ACTIVATIONS) == set(elementwise.ACTIVATIONS) == {*activations, *outputs}
    assert set(network.LOSSES) == set(reference.LOSSES) == set(elementwise.LOSSES) == set(typing.get_args(names.Loss))
    assert set(network.DEFAULT_LOSS) == set(outputs)
    assert set(network.DEFAULT_LOSS.values()) <= set(network.LOSSES)
    assert {output for several in network.LOSSES.values() for output in several} == set(outputs)
    assert set(typing.get_args(names.BackendName)) == {*backends._MODULES} - {"unjitted"}


def test_every_name_is_taken():
    for activation in typing.get_args(names.Activation):
        assert fx.Network([2, 3, 1], activation).hidden == (activation,)
    for output in typing.get_args(names.Output):
        assert fx.Network([2, 3], output=output).output == output
    for initialization in typing.get_args(names.Initialization):
        assert fx.Network([2, 3]).initialize(0, initialization)
    for backend in typing.get_args(names.BackendName):
        assert fx.sigmoid(0.0, backend=backend) == 0.5


@pytest.mark.parametrize("name", fx.__all__)
def test_annotations_can_be_read(name):
    """Libraries that look at them, for documents or command lines, find what they name."""
    public = getattr(fx, name)
    methods = [value for value in vars(public).values() if callable(value)] if isinstance(public, type) else []
    for annotated in (public, *methods):
        typing.get_type_hints(annotated)


def test_types_do_not_import_what_numpy_leaves_out(tmp_path):
    code = "import sys, numpy; before = set(sys.modules); import fastxor; print(sorted(set(sys.modules) - before))"
    done = run_python("-c", code, cwd=tmp_path)
    assert "'fastxor.names'" in done.stdout
    assert "numpy.random" not in done.stdout
