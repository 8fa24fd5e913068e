"""Choosing a core: process-wide, for a block, for one call, from the environment, and where numba is missing."""

import asyncio
import threading

import numpy as np
import pytest
from support import GOLDEN_COSTS, X, Y, plain_parameters, plain_sigmoid, run_python

import fastxor as fx

CALLS = {
    "sigmoid": lambda **k: fx.sigmoid(0.0, **k),
    "forward_prop": lambda **k: fx.forward_prop(X, plain_parameters(2, 2, 1), **k),
    "calculate_cost": lambda **k: fx.calculate_cost([[0.5]], [[1]], **k),
    "backward_prop": lambda **k: fx.backward_prop(
        X, Y, {"A1": np.zeros((2, 4)), "A2": np.full((1, 4), 0.5)}, plain_parameters(2, 2, 1), **k
    ),
    "update_parameters": lambda **k: fx.update_parameters(
        plain_parameters(2, 2, 1), {"d" + n: v for n, v in plain_parameters(2, 2, 1).items()}, 0.1, **k
    ),
    "model": lambda **k: fx.model(X, Y, 2, 2, 1, 0, 0.3, print_cost=False, **k),
    "predict": lambda **k: fx.predict(X, plain_parameters(2, 2, 1), **k),
}


def assert_lists_the_known_ones(error, name):
    text = str(error.value)
    assert name in text
    assert "numpy" in text
    assert "numba" in text


# ---------------------------------------------------------------- set, get, use


def test_available_backends():
    assert {"numpy", "numba"} <= set(fx.available_backends())


def test_set_and_get():
    for name in ("numpy", "numba", "numpy"):
        fx.set_backend(name)
        assert fx.get_backend() == name


def test_use_backend_nests_and_restores():
    fx.set_backend("numba")
    with fx.use_backend("numpy"):
        assert fx.get_backend() == "numpy"
        with fx.use_backend("numba"):
            assert fx.get_backend() == "numba"
            with fx.use_backend("numpy"):
                assert fx.get_backend() == "numpy"
            assert fx.get_backend() == "numba"
        assert fx.get_backend() == "numpy"
    assert fx.get_backend() == "numba"


def test_use_backend_restores_after_an_exception():
    fx.set_backend("numba")

    def inner():
        with fx.use_backend("numba"):
            raise KeyError("inner")

    def outer():
        with fx.use_backend("numpy"):
            with pytest.raises(KeyError, match="inner"):
                inner()
            assert fx.get_backend() == "numpy"
            raise KeyError("outer")

    with pytest.raises(KeyError, match="outer"):
        outer()
    assert fx.get_backend() == "numba"


def test_a_block_outweighs_the_process_and_the_process_stays_set():
    fx.set_backend("numba")
    with fx.use_backend("numpy"):
        fx.set_backend("numba")
        assert fx.get_backend() == "numpy"
    assert fx.get_backend() == "numba"
    with fx.use_backend("numba"):
        fx.set_backend("numpy")
    assert fx.get_backend() == "numpy"


def test_a_block_can_be_entered_anew():
    for _ in range(3):
        with fx.use_backend("numpy"):
            assert fx.get_backend() == "numpy"
        with fx.use_backend("numba"):
            assert fx.get_backend() == "numba"


@pytest.mark.parametrize("name", CALLS)
def test_every_call_takes_a_backend(name):
    for backend in (None, "numpy", "numba"):
        before = fx.get_backend()
        CALLS[name](backend=backend)
        assert fx.get_backend() == before


def bits(**kwargs):
    """A result whose last bits tell the cores apart: a long sum of tanh."""
    features = np.random.RandomState(0).randn(7, 101)
    trained = fx.model(
        features,
        features[:1] > 0,
        7,
        13,
        1,
        300,
        0.1,
        parameters=plain_parameters(7, 13, 1),
        print_cost=False,
        **kwargs,
    )
    return trained["W1"].tobytes()


def test_each_way_of_choosing_reaches_the_core_it_names():
    by_call = {name: bits(backend=name) for name in ("numpy", "numba")}
    assert by_call["numpy"] != by_call["numba"]
    for name, other in (("numpy", "numba"), ("numba", "numpy")):
        fx.set_backend(name)
        assert bits() == by_call[name]
        with fx.use_backend(other):
            assert bits() == by_call[other]
            assert bits(backend=name) == by_call[name]
        assert bits(backend=other) == by_call[other]
        assert bits(backend=None) == by_call[name]


class SwitchingStream:
    """A standard output whose every line changes the selected core, as a callback of a user might."""

    def __init__(self):
        self.lines = 0

    def write(self, text):
        self.lines += "\n" in text
        fx.set_backend("numpy" if self.lines % 2 else "numba")
        return len(text)

    def flush(self):
        pass


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_the_core_is_resolved_once_per_run(monkeypatch, name):
    features = np.random.RandomState(0).randn(7, 101)
    arguments = (features, features[:1] > 0, 7, 13, 1, 300, 0.1)
    start = plain_parameters(7, 13, 1)
    wanted = fx.model(*arguments, parameters=start, print_cost=False, backend=name)
    fx.set_backend(name)
    stream = SwitchingStream()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        got = fx.model(*arguments, parameters=start)
    assert stream.lines == 4
    np.testing.assert_array_equal(got["W1"], wanted["W1"])


# ---------------------------------------------------------------- unknown names


@pytest.mark.parametrize("name", CALLS)
def test_unknown_backend_of_a_call(name):
    with pytest.raises(ValueError, match="backend") as error:
        CALLS[name](backend="fortran")
    assert_lists_the_known_ones(error, "fortran")


@pytest.mark.parametrize("select", [fx.set_backend, fx.use_backend])
def test_unknown_backend_of_the_selectors(select):
    before = fx.get_backend()
    with pytest.raises(ValueError, match="backend") as error, select("fortran") or pytest.fail("accepted"):
        pytest.fail("entered")
    assert_lists_the_known_ones(error, "fortran")
    assert fx.get_backend() == before


@pytest.mark.parametrize("wrong", [3, 1.5, b"numpy", ["numpy"], object()])
def test_a_backend_is_named_by_a_string(wrong):
    before = fx.get_backend()
    for call in (fx.set_backend, lambda n: fx.use_backend(n).__enter__(), lambda n: fx.sigmoid(0.0, backend=n)):
        with pytest.raises((TypeError, ValueError), match="backend"):
            call(wrong)
    assert fx.get_backend() == before


# ---------------------------------------------------------------- threads and tasks


def in_thread(function):
    """The function's result from a thread of its own; its exception, raised here."""
    outcome = []

    def target():
        try:
            outcome.append((True, function()))
        except BaseException as error:
            outcome.append((False, error))

    thread = threading.Thread(target=target)
    thread.start()
    thread.join(60)
    assert outcome, "the thread did not end"
    good, value = outcome[0]
    if not good:
        raise value
    return value


def test_set_backend_reaches_other_threads():
    fx.set_backend("numpy")
    assert in_thread(fx.get_backend) == "numpy"
    in_thread(lambda: fx.set_backend("numba"))
    assert fx.get_backend() == "numba"


def test_a_block_in_one_thread_does_not_reach_another():
    fx.set_backend("numba")
    inside, looked = threading.Event(), threading.Event()

    def hold():
        with fx.use_backend("numpy"):
            inside.set()
            assert looked.wait(60)
            return fx.get_backend()

    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(hold()))
    thread.start()
    try:
        assert inside.wait(60)
        assert fx.get_backend() == "numba"
        assert in_thread(fx.get_backend) == "numba"
        with fx.use_backend("numba"):
            looked.set()
            thread.join(60)
            assert outcome == ["numpy"]
            assert fx.get_backend() == "numba"
    finally:
        looked.set()
        thread.join(60)


def test_many_threads_hold_their_own_blocks():
    barrier = threading.Barrier(6, timeout=60)
    seen = {}

    def work(number):
        name = ("numpy", "numba")[number % 2]
        for _ in range(20):
            with fx.use_backend(name):
                barrier.wait()
                seen.setdefault(number, set()).add(fx.get_backend())
                barrier.wait()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == {n: {("numpy", "numba")[n % 2]} for n in range(6)}


def test_asyncio_tasks_hold_their_own_blocks():
    fx.set_backend("numba")

    async def work(name, mine, other):
        with fx.use_backend(name):
            mine.set()
            await other.wait()
            for _ in range(5):
                assert fx.get_backend() == name
                await asyncio.sleep(0)
            return fx.get_backend()

    async def main():
        a, b = asyncio.Event(), asyncio.Event()
        names = await asyncio.gather(work("numpy", a, b), work("numba", b, a))
        return names, fx.get_backend()

    assert asyncio.run(main()) == (["numpy", "numba"], "numba")


def test_a_task_inherits_the_block_it_was_started_in():
    async def name():
        return fx.get_backend()

    async def main():
        with fx.use_backend("numpy"):
            task = asyncio.create_task(name())
        return await task, fx.get_backend()

    fx.set_backend("numba")
    assert asyncio.run(main()) == ("numpy", "numba")


# ---------------------------------------------------------------- the environment


SHOW = "import fastxor as fx; print(fx.get_backend())"


@pytest.mark.parametrize(("value", "wanted"), [("numpy", "numpy"), ("numba", "numba"), (None, "numba"), ("", "numba")])
def test_environment_variable(tmp_path, value, wanted):
    done = run_python("-W", "error", "-c", SHOW, cwd=tmp_path, env={"FASTXOR_BACKEND": value})
    assert done.stdout.split() == [wanted]


def test_everything_outweighs_the_environment(tmp_path):
    script = """
import fastxor as fx
assert fx.get_backend() == "numpy"
with fx.use_backend("numba"):
    assert fx.get_backend() == "numba"
assert fx.get_backend() == "numpy"
fx.set_backend("numba")
assert fx.get_backend() == "numba"
"""
    run_python("-W", "error", "-c", script, cwd=tmp_path, env={"FASTXOR_BACKEND": "numpy"})


def test_unknown_name_in_the_environment(tmp_path):
    script = "import fastxor as fx; print(fx.sigmoid(0.0))"
    done = run_python("-c", script, cwd=tmp_path, env={"FASTXOR_BACKEND": "fortran"}, fails=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError")
    for word in ("FASTXOR_BACKEND", "fortran", "numpy", "numba"):
        assert word in last
    assert done.stdout == ""


def test_unknown_name_in_the_environment_does_not_spoil_an_explicit_choice(tmp_path):
    script = "import fastxor as fx; print(fx.sigmoid(0.0, backend='numpy'))"
    done = run_python("-c", script, cwd=tmp_path, env={"FASTXOR_BACKEND": "fortran"})
    assert done.stdout.split() == ["0.5"]


# ---------------------------------------------------------------- numba missing


WITHOUT_NUMBA = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fastxor as fx
    import numpy as np
    np.random.seed(2)
    parameters = fx.model([[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]], 2, 2, 1, 1000, 0.3)
    assert fx.predict([[1], [1]], parameters) == 0
    assert fx.sigmoid(0.0) == 0.5
    assert fx.available_backends() == ("numpy",), fx.available_backends()
    assert fx.get_backend() == "numpy", fx.get_backend()
    fx.set_backend("numpy")
    with fx.use_backend("numpy"):
        assert fx.sigmoid(0.0) == 0.5
    fx.warmup()
    fx.sigmoid(0.0)
assert len(caught) == 1, [str(w.message) for w in caught]
assert issubclass(caught[0].category, RuntimeWarning), caught[0].category
text = str(caught[0].message)
assert "numba" in text and "numpy" in text, text
"""


def test_numba_blocked(tmp_path):
    done = run_python("-c", "import sys; sys.modules['numba'] = None\n" + WITHOUT_NUMBA, cwd=tmp_path)
    assert done.stdout == GOLDEN_COSTS
    assert done.stderr == ""


@pytest.mark.parametrize("failure", ["ImportError('numba is broken')", "OSError('no shared library')"])
def test_numba_broken(tmp_path, failure):
    """A numba that is installed and fails to load, as with a numpy too new for it or a missing llvmlite library."""
    (tmp_path / "numba.py").write_text(f"raise {failure}\n")
    done = run_python("-c", WITHOUT_NUMBA, cwd=tmp_path)  # -c puts the working directory first on the path
    assert done.stdout == GOLDEN_COSTS
    assert done.stderr == ""


def test_numba_missing_and_asked_for_in_the_environment(tmp_path):
    done = run_python(
        "-c",
        "import sys; sys.modules['numba'] = None\n" + WITHOUT_NUMBA,
        cwd=tmp_path,
        env={"FASTXOR_BACKEND": "numba"},
    )
    assert done.stdout == GOLDEN_COSTS


def test_numba_missing_does_not_matter_to_who_chose_numpy(tmp_path):
    script = "import sys; sys.modules['numba'] = None; import fastxor as fx; print(fx.sigmoid(0.0))"
    done = run_python("-W", "error", "-c", script, cwd=tmp_path, env={"FASTXOR_BACKEND": "numpy"})
    assert done.stdout.split() == ["0.5"]
    script = "import sys; sys.modules['numba'] = None; import fastxor as fx; print(fx.sigmoid(0.0, backend='numpy'))"
    done = run_python("-W", "error", "-c", script, cwd=tmp_path)
    assert done.stdout.split() == ["0.5"]


def test_the_command_line_without_numba(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('numba is broken')\n")
    done = run_python("-m", "fastxor", cwd=tmp_path)
    assert done.stdout.startswith(GOLDEN_COSTS)
    assert done.stderr.count("RuntimeWarning") == 1


# ---------------------------------------------------------------- what an import costs


def test_import_does_not_import_numba(tmp_path):
    script = """
import sys
import fastxor
assert not [m for m in sys.modules if m.split(".")[0] in ("numba", "llvmlite")]
fastxor.sigmoid([0.0, 1.0], backend="numpy")
fastxor.set_backend("numpy")
fastxor.model([[0, 1]], [[0, 1]], 1, 1, 1, 1, 0.1, print_cost=False)
fastxor.initialize_parameters(2, 2, 1)
assert not [m for m in sys.modules if m.split(".")[0] in ("numba", "llvmlite")]
fastxor.sigmoid([0.0, 1.0], backend="numba")
assert "numba" in sys.modules
"""
    run_python("-W", "error", "-c", script, cwd=tmp_path)


IMPORTS = """
import time
times = [time.process_time()]
import numpy, dataclasses; times.append(time.process_time())
import fastxor; times.append(time.process_time())
print(times[1] - times[0], times[2] - times[1])
"""


def test_import_costs_little_on_top_of_numpy(tmp_path):
    """Less than half of what numpy and dataclasses cost, with which most programs begin; what else the machine
    does slows both.
    """
    env = {"PYTHONDONTWRITEBYTECODE": None, "PYTHONPYCACHEPREFIX": tmp_path}
    run_python("-c", IMPORTS, cwd=tmp_path, env=env)  # writes the bytecode
    rounds = [map(float, run_python("-c", IMPORTS, cwd=tmp_path, env=env).stdout.split()) for _ in range(9)]
    of_numpy, of_fastxor = map(min, zip(*rounds, strict=True))  # it can only add to what an import itself costs
    assert of_fastxor < of_numpy / 2


def test_sigmoid_is_right_whatever_was_selected(backend):
    with fx.use_backend(backend):
        assert fx.get_backend() == backend
        np.testing.assert_allclose(fx.sigmoid([0.0, 1.0, -3.0]), plain_sigmoid([0.0, 1.0, -3.0]), rtol=1e-14)


def test_tracebacks_show_the_line_that_calls_an_operation():
    core = fx.backends.resolve("numpy")
    with pytest.raises(TypeError) as raised:
        core.cost(None, None)
    assert "return operate(a0, a1)" in str(raised.getrepr())
