"""Networks in files for other programs: each is computed with, and compared with what `forward` and `predict` say."""

import inspect
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from export_cases import CASES, assert_close, case_id, labels, samples, trained
from support import PACKAGE, X, Y, run_python

import fastxor as fx
from fastxor.exporting import FORMATS

RUN = fx.train(fx.Network([2, 4, 1]), X, Y, optimizer=fx.Adam(0.05), random_state=0, backend="numpy")


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_function_a_method_and_a_bare_network_write_the_same(tmp_path, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "abc"]
    fx.export(RUN, paths[0])
    RUN.export(str(paths[1]))
    fx.export(RUN.network, paths[2], parameters={name: array.tolist() for name, array in RUN.parameters.items()})
    texts = [sorted(path.read_bytes()) for path in paths]  # safetensors keeps no order of its metadata
    assert texts[0] == texts[1] == texts[2]
    assert len(list(tmp_path.iterdir())) == 3


def test_the_ending_may_be_in_capitals(tmp_path):
    RUN.export(tmp_path / "RUN.JSON")
    assert json.loads((tmp_path / "RUN.JSON").read_text())["sizes"] == [2, 4, 1]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("a.txt", "help(fx.export)"), ("a", "help(fx.export)"), ("a.npz", "run.save(path)"), ("a.pyy", "'.py'?")],
)
def test_an_unknown_ending_is_answered_with_those_that_there_are(tmp_path, name, hint):
    with pytest.raises(ValueError, match=re.escape(hint)) as caught:
        RUN.export(tmp_path / name)
    for suffix in FORMATS:
        assert repr(suffix) in str(caught.value)
        assert f"``{suffix}``" in inspect.getdoc(fx.export)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "words"),
    [
        ((RUN.network,), {}, TypeError, "got Network, which has no parameters of its own; pass fx.Trained(network"),
        ((RUN,), {"parameters": RUN.parameters}, TypeError, "parameters go with a Network"),
        ((RUN.parameters,), {}, TypeError, "run must be a Result or a Trained, got Views; of a dict, pass fx.Trained"),
        ((3,), {}, TypeError, "got int"),
        ((SimpleNamespace(coefs_=[]),), {}, TypeError, "got SimpleNamespace; pass fx.from_sklearn(…) of it"),
        ((RUN.network,), {"parameters": {"W1": [[1.0]]}}, ValueError, "missing 'b1'"),
        ((RUN,), {"prefix": "tiny"}, TypeError, "prefix is for names in C, '.c' and '.h', got 'tiny' for '.json'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, arguments, options, kind, words):
    with pytest.raises(kind, match=re.escape(words)):
        fx.export(*arguments, tmp_path / "a.json", **options)
    assert not list(tmp_path.iterdir())


def test_what_is_no_path_is_named():
    for write in (RUN.export, RUN.save):
        with pytest.raises(TypeError, match="path must be a path, got 3"):
            write(3)


@pytest.mark.parametrize("prefix", ["", "2nd", "a-b", "a b", "_a", "é", 3])
def test_a_prefix_is_a_name_in_c(tmp_path, prefix):
    with pytest.raises(ValueError, match="prefix must be a name in C"):
        RUN.export(tmp_path / "a.h", prefix=prefix)


@pytest.mark.parametrize("suffix", FORMATS)
def test_numbers_that_are_not_finite_are_refused(tmp_path, suffix):
    parameters = {name: array.copy() for name, array in RUN.parameters.items()}
    parameters["W2"][0, 1] = np.nan
    with pytest.raises(ValueError, match=r'parameters\["W2"\] must be finite, got nan at \(0, 1\)'):
        fx.export(RUN.network, tmp_path / f"a{suffix}", parameters=parameters)


def test_a_file_is_replaced_by_a_whole_one_or_stays(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    path.write_text("the old one")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        RUN.export(path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["the old one"]
    monkeypatch.undo()
    RUN.export(path)
    assert json.loads(path.read_text())["output"] == "sigmoid"
    with pytest.raises(FileNotFoundError, match="no folder"):
        RUN.export(tmp_path / "nowhere" / "run.json")


@pytest.mark.parametrize(
    ("suffix", "library", "extra"), [(".onnx", "onnx", "onnx"), (".safetensors", "safetensors.numpy", "safetensors")]
)
def test_without_its_library_it_says_what_to_install(tmp_path, monkeypatch, suffix, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=re.escape(f"pip install 'fastxor-nn[{extra}]'")):
        RUN.export(tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- numbers as they are


@pytest.mark.parametrize("case", CASES[::4], ids=case_id)
def test_json(tmp_path, case):
    run = trained(case)
    run.export(tmp_path / "run.json")
    entry = json.loads((tmp_path / "run.json").read_text())
    numbers = entry.pop("parameters")
    assert np.dtype(entry.pop("dtype")) == case.dtype
    again = fx.Network(**entry)
    assert again == run.network
    numbers = {name: np.reshape(array, run.parameters[name].shape) for name, array in numbers.items()}
    X = samples(run)
    np.testing.assert_array_equal(
        again.forward({k: v.astype(case.dtype) for k, v in numbers.items()}, X), run.forward(X)
    )


@pytest.mark.parametrize("case", CASES[::4], ids=case_id)
def test_safetensors(tmp_path, case):
    from safetensors import safe_open
    from safetensors.numpy import load_file

    run = trained(case)
    run.export(tmp_path / "run.safetensors")
    arrays = load_file(tmp_path / "run.safetensors")
    assert set(arrays) == set(run.parameters)
    for name, array in run.parameters.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    with safe_open(tmp_path / "run.safetensors", "np") as file:
        words = file.metadata()
    assert fx.Network(json.loads(words["sizes"]), json.loads(words["hidden"]), words["output"], words["loss"]) == (
        run.network
    )


# ---------------------------------------------------------------- Python


def module(path):
    """What the file defines, run as it stands."""
    namespace = {}
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), namespace)
    return SimpleNamespace(**namespace)


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_python(tmp_path, case):
    run = trained(case)
    run.export(tmp_path / "run.py")
    assert not re.search(r"[^\n]\n\n(def|@)|\n{4}", (tmp_path / "run.py").read_text())  # two lines, as is the custom
    program = module(tmp_path / "run.py")
    for m in (1, 33):
        X = samples(run, max(m, 3))[:, :m]
        given = X.copy()
        assert_close(program.forward(given), run, X)
        np.testing.assert_array_equal(program.predict(given), labels(run, program.forward(X)))
        np.testing.assert_array_equal(given, X)


def test_python_needs_nothing_but_numpy(tmp_path):
    RUN.export(tmp_path / "xor.py")
    code = "import sys; sys.modules['fastxor'] = None; import xor; print(xor.predict([[0, 0, 1, 1], [0, 1, 0, 1]]))"
    done = run_python("-W", "error", "-c", code, cwd=tmp_path, path=tmp_path)
    assert done.stdout == "[[0 1 1 0]]\n"


def test_python_reads_like_the_tutorial(tmp_path):
    RUN.export(tmp_path / "xor.py")
    text = (tmp_path / "xor.py").read_text()
    for line in ("A1 = np.tanh(W1 @ A0 + b1)", "A2 = sigmoid(W2 @ A1 + b2)", "return A2"):
        assert f"    {line}\n" in text
    assert max(map(len, text.splitlines())) <= 120
    assert "math" not in text
    with pytest.raises(ValueError, match=r"X must have shape \(2, m\), got \(2,\)"):
        module(tmp_path / "xor.py").forward([1, 1])


def test_the_polynomials_in_c_are_those_of_the_fused_core():
    from fastxor.backends.fused import vmath
    from fastxor.exporting import as_onnx, c_math

    for real, coefficients in (("float", vmath._EXPM1_32), ("double", vmath._EXPM1_64)):
        text = c_math._REDUCED[real]
        numbers = [float(number) for number in re.findall(r"\d+\.[\de-]+", text)]
        assert set(coefficients) <= set(numbers)
    assert (vmath._TAIL_TOP_32 + vmath._TAIL_32[0], *vmath._TAIL_32[1:]) == as_onnx._TAIL


def test_importing_the_package_imports_no_format(tmp_path):
    code = (
        "import sys, fastxor; print(*[name for name in sys.modules if 'exporting' in name or name in ('json', 'onnx')])"
    )
    assert run_python("-c", code, cwd=tmp_path).stdout == "\n"
    assert (
        run_python("-c", code.replace("fastxor;", "fastxor; fastxor.export;"), cwd=tmp_path).stdout
        == "fastxor.exporting\n"
    )
    assert {path.stem for path in (PACKAGE / "exporting").glob("as_*.py")} == {*FORMATS.values()}


@pytest.mark.parametrize("call", [lambda: fx.from_torch(None), lambda: RUN.network.to_torch(RUN.parameters)])
def test_without_torch_it_says_what_to_install(monkeypatch, call):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'fastxor-nn[torch]'")):
        call()
