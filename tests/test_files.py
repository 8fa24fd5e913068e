"""Runs in files: plain arrays, whole or not at all, and nothing else is taken for one."""

import errno
import io
import json
import os
import pickle
import re
import signal
import stat
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import run_python
from test_resume import assert_same_run

import fastxor as fx
from fastxor.files import FORMAT
from fastxor.saving import described

NET = fx.Network([2, 3, 1])
DRAW = np.random.RandomState(5)
DATA = DRAW.randn(2, 11), (DRAW.rand(1, 11) > 0.5).astype(float)
ADAM = {"optimizer": fx.Adam(0.03), "batch_size": 4, "random_state": 0}
RUN = fx.train(NET, *DATA, iterations=13, interval=4, **ADAM)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.npz"


def contents(run, path):
    """The arrays of a saved run, and its entry of JSON."""
    run.save(path)
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop("fastxor")))


def put(path, arrays, entry, **more):
    with open(path, "wb") as file:
        np.savez(file, fastxor=np.array(entry if isinstance(entry, str) else json.dumps(entry)), **arrays, **more)


# ---------------------------------------------------------------- what is in it


@pytest.mark.parametrize("optimizer", [fx.SGD(0.1), fx.SGD(0.1, 0.9, nesterov=True), fx.Adam(1e-3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [{"iterations": 13, "interval": 4}, {"epochs": 3}])
def test_a_run_comes_back_as_it_was(path, core, optimizer, dtype, length):
    data = [array.astype(dtype) for array in DATA]
    run = fx.train(NET, *data, optimizer=optimizer, batch_size=4, random_state=0, backend=core, **length)
    run.save(path)
    again = fx.load(path)
    assert_same_run(again, run)
    assert again.network == NET
    assert again._settings == run._settings
    assert repr(again) == repr(run)
    np.testing.assert_array_equal(again.history.seconds, run.history.seconds)
    np.testing.assert_array_equal(again.predict(data[0]), run.predict(data[0]))
    assert {name: array.dtype for name, array in again.parameters.items()} == dict.fromkeys(run.parameters, dtype)


@pytest.mark.parametrize("optimizer", [fx.Adam(), fx.RMSprop(0.01, momentum=0.9)])
def test_a_gradient_whose_square_overflows_does_not_spoil_the_file(path, core, optimizer):
    net, X = fx.Network([1, 1], output="identity", loss="huber"), np.array([[1e22, -2e22]], np.float32)
    how = {"optimizer": optimizer, "random_state": 0, "backend": core}
    run = fx.train(net, X, X[::-1], iterations=5, **how)
    assert np.isinf(run._state.memory.rows).any()
    run.save(path)
    again = fx.train(net, X, X[::-1], resume=fx.load(path), iterations=5, backend=core)
    assert_same_run(again, fx.train(net, X, X[::-1], iterations=10, **how))
    pop = fx.train_population(net, X, X[::-1], members=2, iterations=5, **how)
    pop.save(path)
    assert len(fx.load(path)) == 2


@pytest.mark.parametrize("sizes", [[1, 1], [3, 4, 2], [2, 3, 3, 3, 2]])
def test_numpy_alone_opens_it(path, sizes):
    net = fx.Network(sizes, "relu", "identity", "huber")
    run = fx.train(net, np.ones((sizes[0], 2)), np.ones((sizes[-1], 2)), iterations=3, random_state=0)
    arrays, entry = contents(run, path)
    assert list(arrays)[: len(run.parameters)] == list(run.parameters)
    for name, array in run.parameters.items():
        np.testing.assert_array_equal(arrays[name], array)
    assert entry["format"] == FORMAT
    assert entry["network"] == {
        "sizes": sizes,
        "hidden": ["relu"] * (len(sizes) - 2),
        "output": "identity",
        "loss": "huber",
    }
    assert entry["optimizer"] == {"name": "SGD", "learning_rate": 0.3, "momentum": 0.0, "nesterov": False}
    assert entry["completed"] == 3


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("run", tmp_path / "with some.words", "ärmel.npz"):
        RUN.save(path)
        assert_same_run(fx.load(path), RUN)
    assert sorted(os.listdir(tmp_path)) == ["run", "with some.words", "ärmel.npz"]


def test_a_link_leads_on(tmp_path, path):
    path.write_bytes(b"old")
    link = tmp_path / "latest"
    try:
        link.symlink_to(path)
    except OSError:  # not everybody may make one
        return
    RUN.save(link)
    assert link.is_symlink()
    assert_same_run(fx.load(path), RUN)


def test_where_there_is_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*nowhere' to save '.*run.npz' in"):
        RUN.save(tmp_path / "nowhere" / "run.npz")
    with pytest.raises(FileNotFoundError):
        fx.load(tmp_path / "run.npz")


def test_the_place_of_a_device_is_not_taken(tmp_path):
    """Whose name would be a file's for good: root could do that to /dev/null."""
    pipe = tmp_path / "pipe"
    if not hasattr(os, "mkfifo"):  # there are no such files
        return
    os.mkfifo(pipe)
    with pytest.raises(OSError, match=r"pipe' is no ordinary file"):
        RUN.save(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_who_may_read_the_old_file_may_read_the_new_one(path):
    RUN.save(path)
    for mode in (0o600, 0o644):
        path.chmod(mode)
        wanted = path.stat().st_mode
        RUN.save(path)
        assert path.stat().st_mode == wanted


def test_a_name_as_long_as_names_may_be(tmp_path):
    path = tmp_path / f"{'ä' * 125}.npz"
    RUN.save(path)
    assert_same_run(fx.load(path), RUN)
    assert os.listdir(tmp_path) == [path.name]


def test_what_goes_wrong_leaves_the_old_file_and_no_other(path, monkeypatch):
    RUN.save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError("no space left")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, full)
            with pytest.raises(OSError, match="no space left"):
                RUN.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.usefixtures("ctrl_c")
def test_who_may_not_write_is_told_of_the_file_that_he_named(path, monkeypatch):
    def refused(name, mode):
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr("fastxor.files.open", refused, raising=False)
    with pytest.raises(PermissionError, match=re.escape(f"Permission denied: {str(path)!r}") + "$"):
        RUN.save(path)


def test_ctrl_c_while_a_file_is_written(path, monkeypatch, ctrl_c):
    """Where zipfile has begun with an entry, and nobody knows of it yet."""
    RUN.save(path)
    before, left = path.read_bytes(), [None]

    def begun(*arguments, begin=zipfile.ZipFile.open, **more):
        entry = begin(*arguments, **more)
        if left:
            left.pop()
            signal.raise_signal(signal.SIGINT)
        return entry

    monkeypatch.setattr(zipfile.ZipFile, "open", begun)
    with pytest.raises(KeyboardInterrupt):
        RUN.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


# ---------------------------------------------------------------- refused


def refused(path, *words):
    with pytest.raises(ValueError, match=r"run\.npz") as raised:
        fx.load(path)
    text = str(raised.value)
    assert all(word in text for word in words), text
    assert len(text) < 600


class Bomb:
    """Were it unpickled, it would say so."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


BAD_ARRAYS = {
    "missing": (lambda a: without(a, "b2"), "it has no array 'b2'"),
    "of a wrong shape": (
        lambda a: a | {"W1": a["W1"].T},
        "'W1' must be float64 of shape (3, 2), got",
    ),
    "one more": (lambda a: a | {"W2": np.zeros((1, 4))}, "'W2' must be float64 of shape (1, 3)"),
    "NaN": (lambda a: a | {"W1": np.full((3, 2), np.nan)}, "'W1' must be finite"),
    "infinite": (lambda a: a | {"b1": np.full((3, 1), np.inf)}, "'b1' must be finite"),
    "integers": (lambda a: a | {"W1": np.ones((3, 2), int)}, "float32 or float64, got int64"),
    "mixed": (lambda a: a | {"b1": a["b1"].astype(np.float32)}, "'b1' must be float64"),
    "complex": (lambda a: a | {"b2": a["b2"].astype(complex)}, "'b2' must be float64"),
    "text": (lambda a: a | {"W1": np.array([["a"] * 2] * 3)}, "float32 or float64"),
    "objects": (lambda a: a | {"W1": np.array([[Bomb()] * 2] * 3)}, "Object arrays cannot be loaded"),
    "objects beside": (lambda a: a | {"more": np.array([Bomb()])}, "Object arrays cannot be loaded"),
    "memory of a wrong shape": (lambda a: a | {"memory.rows": np.zeros((1, 13))}, "'memory.rows' must be"),
    "memory of a wrong dtype": (lambda a: a | {"memory.rows": np.zeros((2, 13), np.float32)}, "'memory.rows' must be"),
    "memory of NaN": (lambda a: a | {"memory.rows": np.full((2, 13), np.nan)}, "'memory.rows' must be finite"),
    "memory of infinity": (lambda a: a | {"memory.rows": np.full((2, 13), np.inf)}, "'memory.rows' must be finite"),
    "a mean of squares below 0": (
        lambda a: a | {"memory.rows": a["memory.rows"] - np.array([[0.0], [1.0]])},
        "'memory.rows' must be finite, and not negative where it has means of squares",
    ),
    "powers above 1": (lambda a: a | {"memory.powers": np.array([0.5, 1.5])}, "'memory.powers' must be finite, not"),
    "powers of NaN": (lambda a: a | {"memory.powers": np.full(2, np.nan)}, "'memory.powers' must be finite"),
    "powers below 0": (lambda a: a | {"memory.powers": np.array([-0.5, 0.5])}, "'memory.powers' must be finite, not"),
    "powers": (lambda a: a | {"memory.powers": np.zeros(3)}, "'memory.powers' must be"),
    "history of unlike lengths": (lambda a: a | {"history.cost": np.zeros(9)}, "'history.cost' must be"),
    "history of NaN": (lambda a: a | {"history.cost": np.full(4, np.nan)}, "'history.cost' must be finite"),
    "history backwards": (lambda a: a | {"history.iteration": a["history.iteration"][::-1]}, "must go up"),
    "history of floats": (lambda a: a | {"history.iteration": np.arange(4.0)}, "'history.iteration' must be int64"),
    "history without a clock": (lambda a: a | {"history.clock": np.zeros((0, 2))}, "'history.clock' must have a row"),
    "a clock that begins late": (lambda a: a | {"history.clock": a["history.clock"] + 99}, "must go up from 0"),
    "a clock backwards": (lambda a: a | {"history.clock": a["history.clock"] * [[1, -1]]}, "must go up from 0"),
    "a clock gone mad": (lambda a: a | {"history.clock": a["history.clock"] * [[1e300, 1]]}, "must go up from 0"),
    "a clock without hands": (lambda a: a | {"history.clock": np.zeros(())}, "history.clock"),
}
BAD_ENTRIES = {
    "another network": (lambda e: e | {"network": e["network"] | {"sizes": [2, 4, 1]}}, "'W1' must be"),
    "an unknown activation": (lambda e: e | {"network": e["network"] | {"hidden": ["tahn"]}}, "hidden must be one of"),
    "sizes of text": (lambda e: e | {"network": e["network"] | {"sizes": "231"}}, "sizes must be"),
    "no network": (lambda e: e | {"network": None}, "must have names"),
    "an unknown optimizer": (lambda e: e | {"optimizer": {"name": "Sdg"}}, "optimizer must be one of", "Adam"),
    "a network of no activations": (
        lambda e: e | {"network": without(e["network"], "hidden")},
        "it has no entry 'hidden'",
    ),
    "an optimizer's setting": (lambda e: e | {"optimizer": described(fx.SGD()) | {"rate": 1}}, "argument 'rate'"),
    "an optimizer without one": (
        lambda e: e | {"optimizer": without(described(fx.Adam()), "beta1")},
        "it has no entry 'beta1'",
    ),
    "a schedule without one": (
        lambda e: e | {"optimizer": described(fx.SGD()) | {"learning_rate": {"name": "Step", "rate": 1, "every": 1}}},
        "it has no entry 'factor'",
    ),
    "a rate that is NaN": (
        lambda e: e | {"optimizer": described(fx.Adam()) | {"learning_rate": np.nan}},
        "learning_rate",
    ),
    "a penalty less": (lambda e: e | {"penalties": without(e["penalties"], "l1")}, "it has no entry 'l1'"),
    "no steps": (lambda e: without(e, "completed"), "it has no entry 'completed'"),
    "fewer than no steps": (lambda e: e | {"completed": -1}, "completed must be at least 0"),
    "half a step": (lambda e: e | {"completed": 0.5}, "completed must be an integer"),
    "a batch of none": (lambda e: e | {"batch_size": 0}, "batch_size must be at least 1"),
    "no samples": (lambda e: e | {"samples": 0}, "samples must be at least 1"),
    "more samples than there were": (lambda e: e | {"samples": e["given"] + 1}, "samples must be at most"),
    "a fraction of none": (lambda e: e | {"fraction": 0.0}, "fraction must be above 0"),
    "a seed of text": (lambda e: e | {"seed": "1"}, "seed must be an integer"),
    "perhaps shuffled": (lambda e: e | {"shuffled": 1}, "shuffled must be True or False"),
    "no batch": (lambda e: e | {"drop_last": True, "batch_size": 12}, "its epochs have no step"),
    "a best that is not there": (lambda e: e | {"best": 3}, "it has no array 'best.theta'"),
    "an optimizer for another loss": (
        lambda e: e | {"optimizer": described(fx.LevenbergMarquardt())},
        "needs a network with the loss 'squared_error'",
    ),
    "an optimizer for no batches": (lambda e: e | {"optimizer": described(fx.Rprop())}, "batch_size must be left out"),
    "no format": (lambda e: without(e, "format"), "names no format"),
    "a format of text": (lambda e: e | {"format": "1"}, "names no format"),
    "a newer one": (
        lambda e: e | {"format": FORMAT + 1},
        f"of format {FORMAT + 1}, of a newer fastxor",
    ),
    "a list": (lambda e: json.dumps([e]), "names no format"),
    "no JSON": (lambda e: json.dumps(e)[:-1], "is no JSON"),
    "nothing": (lambda e: "", "is no JSON"),
    "more brackets than fit": (lambda e: "[" * 100_000, "is no JSON"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_arrays_that_no_run_has(path, name):
    change, *words = BAD_ARRAYS[name]
    arrays, entry = contents(RUN, path)
    put(path, change(arrays), entry)
    refused(path, *words)


@pytest.mark.parametrize("name", BAD_ENTRIES)
def test_entries_that_no_run_has(path, name):
    change, *words = BAD_ENTRIES[name]
    arrays, entry = contents(RUN, path)
    put(path, arrays, change(entry))
    refused(path, *words)


def foreign():
    """Files of other kinds, by name."""
    files = {"empty": b"", "text": b"W1,b1\n1,2\n", "noise": bytes(range(256)) * 9, "pickle": pickle.dumps(Bomb())}
    for name, save in {
        "npy": lambda file: np.save(file, np.ones(3)),
        "objects": lambda file: np.save(file, np.array([Bomb()])),
        "npz": lambda file: np.savez(file, W1=np.ones((3, 2))),
        "npz of objects": lambda file: np.savez(file, fastxor=np.array([Bomb()])),
    }.items():
        file = io.BytesIO()
        save(file)
        files[name] = file.getvalue()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("fastxor.npy", pickle.dumps(Bomb()))
    return files | {"zip": file.getvalue()}


FOREIGN = foreign()


@pytest.mark.parametrize("name", FOREIGN)
def test_files_of_other_kinds(path, name):
    path.write_bytes(FOREIGN[name])
    refused(path, "is not a whole run of fastxor")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "run.npz"
    RUN.save(path)
    return path.read_bytes()


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_file_that_is_cut_short(whole, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "cut run.npz"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused(path, "is not a whole run of fastxor")


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_byte_that_has_changed_is_seen_or_says_the_same(whole, tmp_path_factory, data):
    """There are bytes that say nothing, such as the time of writing."""
    path = tmp_path_factory.getbasetemp() / "changed run.npz"
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(changed)
    with suppress(ValueError):
        again = fx.load(path)
        assert_same_run(again, RUN)


def test_an_array_that_claims_more_than_there_is(path):
    arrays, entry = contents(RUN, path)
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13, 10**4)}
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    put(path, without(arrays, "W1"), entry)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("W1.npy", file.getvalue())
    refused(path, "is not a whole run of fastxor")


def test_a_name_that_is_there_twice(path):
    RUN.save(path)
    file = io.BytesIO()
    np.save(file, np.zeros((3, 2)))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("W1.npy", file.getvalue())
    refused(path, "it has 'W1' twice")


# ---------------------------------------------------------------- killed


KILLS = """
import os, random, signal, subprocess, sys, time
import numpy as np
import fastxor as fx

SAVE = "import fastxor as fx; run = fx.load('source.npz')\\nwhile True: run.save('run.npz')"  # where nothing forks
net = fx.Network([50, 400, 1])
runs = [fx.train(net, np.ones((50, 1)), [[1.0]], iterations=n, random_state=0, backend="numpy") for n in range(3)]

def begin_to_write(number):
    if hasattr(os, "fork"):
        said, say = os.pipe()
        writer = os.fork()
        if writer:
            os.read(said, 1)
            return lambda: (os.kill(writer, signal.SIGKILL), os.waitpid(writer, 0))
        while True:
            runs[number % 3].save("run.npz")
            os.write(say, b".")
            number += 1
    runs[0].save("source.npz")
    writer = subprocess.Popen([sys.executable, "-c", SAVE])
    return lambda: (writer.kill(), writer.wait())

random.seed(0)
runs[0].save("run.npz")
for number in range(50):
    kill = begin_to_write(number)
    time.sleep(0.01 * random.random())
    kill()
    run = fx.load("run.npz")
    wanted = runs[run.iterations]
    for name, array in wanted.parameters.items():
        np.testing.assert_array_equal(run.parameters[name], array)
    print(run.iterations)
"""


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    """Fifty kills, at any moments of their saving."""
    done = run_python("-c", KILLS, cwd=tmp_path, env={"OPENBLAS_NUM_THREADS": 1})
    assert len(done.stdout.split()) == 50
    if hasattr(os, "fork"):
        assert len(set(done.stdout.split())) > 1  # they did write


@pytest.mark.parametrize("wrong", [0, 1.5, None, ["run.npz"]])
def test_what_is_no_path_is_no_file(wrong):
    """A number is none that is open already."""
    with pytest.raises(TypeError, match="path must be a path, got "):
        fx.load(wrong)
    os.fstat(0)  # which is still open


def test_a_folder_is_no_file(tmp_path):
    """It is refused before the first step, not after the last one."""
    net, X = fx.Network([1, 1]), [[0.0, 1.0]]
    called = []
    with pytest.raises(IsADirectoryError, match="is a folder: name a file in it"):
        fx.train(net, X, [[0, 1]], iterations=5, checkpoint=tmp_path, interval=1, callback=called.append)
    assert not called
    with pytest.raises(IsADirectoryError, match="is a folder"):
        fx.train(net, X, [[0, 1]], iterations=1).save(tmp_path)
