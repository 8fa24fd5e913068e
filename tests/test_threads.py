"""`threads=`: the same bits for any number of them, and no run that hangs because one of them is missing."""

import os
import signal
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import support
from engine_cases import OPTIMIZERS, job_with, optimizers_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import assert_same_dict, run_python

import fastxor as fx
import fastxor.backends.fused as fused
from fastxor.backends import parallel
from fastxor.backends.fused import threads as sharing
from fastxor.backends.fused import workspace

# Five tiles, the last two of them smaller, and with mini-batches steps of four tiles and of two.
JOB = job_with((17, 33, 5, 3), ("tanh", "gelu"), "softmax", "cross_entropy", "adam", None, 1100, "float32")
DTYPE = np.dtype(JOB.dtype)


# One tile, so that threads go in lockstep, with a share of every row of neurons each.
LOCKED = replace(JOB, m=200)

# Steps of two tiles, and a last one of a single tile: two threads go by a static schedule, each with a tile.
STATIC = replace(JOB, m=1000, batch=400)


@pytest.fixture
def lockstep():
    """It pays for the smallest step."""
    with support.lockstep():
        yield


def same(a, b):
    assert_same_dict(a.parameters, b.parameters, rtol=0)
    assert a.history == b.history
    assert a.iterations == b.iterations


@pytest.fixture
def started(monkeypatch):
    """The threads that were started."""
    threads = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (threads.append(thread), start(thread))[1])
    return threads


@pytest.mark.parametrize(("optimizer", "batch_size"), optimizers_with(None, 800))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_bits_for_any_number(started, optimizer, dtype, batch_size):
    job = replace(JOB, optimizer=OPTIMIZERS[optimizer], dtype=dtype, batch=batch_size)
    alone = job.train("numba", threads=1)
    assert not started
    for threads in (2, 3, 8):
        same(job.train("numba", threads=threads), alone)
        assert started
        started.clear()


@pytest.mark.parametrize("hidden", [5, 900])
@pytest.mark.parametrize("m", [4097, 4600])
def test_the_same_bits_of_many_tiles(hidden, m):
    """More threads than cores, so that some are far behind; with room for several gradients each, and for one."""
    job = replace(JOB, sizes=(17, hidden, 3), hidden=("tanh",), m=m, dtype="float64", iterations=5)
    ahead = workspace.plan(job.network, m, np.dtype(job.dtype)).entries[workspace.GRADIENT_BUFFERS]
    assert (ahead > 1) == (hidden == 5)
    alone = job.train("numba", threads=1)
    for threads in (2, 3, 5, 9):
        same(job.train("numba", threads=threads), alone)


@pytest.mark.parametrize(("optimizer", "batch_size"), optimizers_with(None, 70))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.usefixtures("lockstep")
def test_the_same_bits_in_lockstep(started, optimizer, dtype, batch_size):
    job = replace(LOCKED, optimizer=OPTIMIZERS[optimizer], dtype=dtype, batch=batch_size)
    alone = job.train("numba", threads=1)
    assert not started
    for threads in (2, 3):
        same(job.train("numba", threads=threads), alone)
        assert len(started) % (threads - 1) == 0 < len(started)
        started.clear()


@pytest.mark.usefixtures("lockstep")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_same_bits_of_any_network_in_lockstep(data):
    """Rows of neurons that blocks divide and others, every activation, samples in rows and in columns."""
    depth = data.draw(st.integers(1, 3))
    sizes = [data.draw(st.sampled_from([1, 3, 8, 16, 17, 40, 64, 100])) for _ in range(depth + 1)]
    sizes += [data.draw(st.sampled_from([1, 2, 10, 24]))]
    names = ["tanh", "relu", "sigmoid", "leaky_relu", "elu", "softplus", "gelu", "sin", "identity"]
    network = fx.Network(sizes, [data.draw(st.sampled_from(names)) for _ in range(depth)], loss="squared_error")
    dtype, m = data.draw(st.sampled_from(["float64", "float32"])), data.draw(st.integers(17, 130))
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((m, sizes[0])).astype(dtype), rng.random((sizes[-1], m)).astype(dtype)
    X = X.T if data.draw(st.booleans()) else np.ascontiguousarray(X.T)
    parameters = {name: value / 8 for name, value in network.initialize(0, dtype=dtype).items()}
    options = {"parameters": parameters, "optimizer": fx.Adam(0.001), "iterations": 5, "interval": 2}
    options["batch_size"] = data.draw(st.sampled_from([None, m // 2]))
    alone = fx.train(network, X, Y, **options, random_state=0, backend="numba", threads=1)
    same(fx.train(network, X, Y, **options, random_state=0, backend="numba", threads=3), alone)


@pytest.mark.parametrize(("optimizer", "batch_size"), optimizers_with(None, 400))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_bits_abreast(started, optimizer, dtype, batch_size):
    m = 1000 if batch_size else 500
    job = replace(STATIC, optimizer=OPTIMIZERS[optimizer], dtype=dtype, batch=batch_size, m=m)
    alone = job.train("numba", threads=1)
    for threads in (2, 3):  # of which the third would have nothing to do
        same(job.train("numba", threads=threads, clip_norm=0.1), job.train("numba", threads=1, clip_norm=0.1))
        started.clear()
        same(job.train("numba", threads=threads), alone)
        assert started


@pytest.mark.parametrize(("dtype", "m", "hidden", "tiles"), [
    ("float64", 240, 60, 2), ("float64", 176, 60, 1), ("float64", 240, 30, 1), ("float32", 240, 60, 1),
    ("float64", 240, 280, 1),
])  # fmt: skip
def test_a_small_step_is_halved_where_two_threads_gain(started, dtype, m, hidden, tiles):
    job = replace(JOB, sizes=(30, hidden, 3), hidden=("tanh",), dtype=dtype, m=m)
    width = workspace.plan(job.network, m, np.dtype(dtype)).entries[workspace.WIDTH]
    assert -(-m // int(width)) == tiles
    same(job.train("numba", threads=2), job.train("numba", threads=1))
    assert bool(started) == (tiles == 2 or hidden == 280)  # whose neurons are shared in lockstep


def test_the_default_gives_the_same_bits():
    same(JOB.train("numba"), JOB.train("numba", threads=1))


def test_the_default_starts_none_for_little_work_and_more_for_much(started, monkeypatch):
    monkeypatch.setattr(sharing, "available_cores", lambda: 2)
    replace(JOB, sizes=(2, 8, 1), hidden=("tanh",), output="sigmoid", loss="squared_error", m=600).train("numba")
    assert not started
    net = fx.Network([64, 128, 1])
    X, Y = np.ones((64, 4096), np.float32), np.ones((1, 4096))
    fx.train(net, X, Y, iterations=200, random_state=0, backend="numba")
    assert started


def test_no_more_threads_than_tiles(started):
    LOCKED.train("numba", threads=8)  # of one tile, and too little work for lockstep
    assert not started
    JOB.train("numba", threads=100)
    width = workspace.plan(JOB.network, JOB.m, np.dtype(JOB.dtype)).entries[workspace.WIDTH]
    assert 0 < len(started) < -(-JOB.m // int(width))


def test_the_reference_takes_the_argument(core):
    assert_same_dict(JOB.train(core, threads=2).parameters, JOB.train("numpy").parameters, rtol=1e-3)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_refused(core, value, error):
    with pytest.raises(error, match="threads must be"):
        JOB.train(core, threads=value)


@pytest.mark.parametrize("job", [JOB, LOCKED, STATIC], ids=["tiles", "lockstep", "static"])
@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.usefixtures("lockstep")
def test_no_thread_is_to_be_had(monkeypatch, job, most):
    """The system refuses, or does so after the first: those that are there do the work."""
    start, begun = threading.Thread.start, []

    def refuse(thread):
        if len(begun) % 2 == most:
            begun.clear()
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    wanted = job.train("numba", threads=1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    same(job.train("numba", threads=3), wanted)


@pytest.mark.parametrize("job", [JOB, LOCKED, STATIC], ids=["tiles", "lockstep", "static"])
@pytest.mark.usefixtures("lockstep")
def test_the_first_thread_never_comes(monkeypatch, job):
    """Ctrl-C between the start of the others and the first one's own call: they end by themselves."""
    engine = fused.kernels.engine[DTYPE]
    done = []

    def call(*arguments):
        if arguments[-1] == 0:
            raise KeyboardInterrupt
        done.append(engine(*arguments))

    monkeypatch.setattr(fused.kernels, "engine", {DTYPE: call})
    with pytest.raises(fx.TrainingInterrupted):
        job.train("numba", threads=3)
    assert done == {JOB: [job.iterations] * 2, LOCKED: [0, 0], STATIC: [0]}[job]


@pytest.mark.parametrize("job", [JOB, LOCKED, STATIC], ids=["tiles", "lockstep", "static"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.usefixtures("lockstep")
def test_a_run_that_overflows_ends_alike(threads, job):
    job = replace(job, hidden="identity", output="identity", loss="squared_error", optimizer=fx.SGD(50.0))
    with pytest.warns(fx.DivergenceWarning, match="iteration .* first in layer"):
        alone = job.train("numba", threads=1, iterations=1000)
    assert 0 < alone.iterations < 1000
    with pytest.warns(fx.DivergenceWarning, match="iteration .* first in layer"):
        same(job.train("numba", threads=threads, iterations=1000), alone)


def test_many_callers_with_threads_of_their_own():
    wanted = JOB.train("numba", threads=1)
    results = [None] * 6

    def call(place):
        results[place] = JOB.train("numba", threads=2)

    callers = [threading.Thread(target=call, args=(place,)) for place in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for result in results:
        same(result, wanted)


def test_interrupted():
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        JOB.train("numba", threads=2)
        for delay in (0.3, 2, 10):
            timer = threading.Timer(delay, signal.raise_signal, (signal.SIGINT,))
            timer.start()
            try:
                with pytest.raises(fx.TrainingInterrupted) as raised:
                    JOB.train("numba", threads=2, iterations=10**9, interval=10**9)
            finally:
                timer.join()
            if raised.value.iterations:
                break
    finally:
        signal.signal(signal.SIGINT, previous)
    again = JOB.train("numba", threads=1, iterations=raised.value.iterations, interval=10**9)
    assert_same_dict(raised.value.parameters, again.parameters, rtol=0)


# ---------------------------------------------------------------- how many, if that is left to us


def tuner(monkeypatch, seconds, spans, by_default=True):
    """How many threads took each of the spans, where a step takes ``seconds(threads, now)``."""
    clock, sizes = [0.0], []
    monkeypatch.setattr(sharing.time, "perf_counter", lambda: clock[0])
    tuner, speed = sharing.ThreadTuner(4, by_default), 1000.0
    for _ in range(spans):
        took = seconds(tuner.size, clock[0])
        steps = min(100, tuner.max_steps(speed))
        clock[0] += steps * took
        sizes.append(tuner.size)
        speed = 1 / took
        tuner.took(steps, steps * took)
    return sizes


def test_what_is_faster_is_taken(monkeypatch):
    sizes = tuner(monkeypatch, lambda threads, now: 1e-3 / threads, 300)
    assert sizes[:2] == [1, 4]
    assert sizes.count(4) > 0.9 * len(sizes)
    assert tuner(monkeypatch, lambda threads, now: 1e-3 * threads, 300).count(1) > 0.9 * 300


def test_a_core_that_is_wanted_by_another_program_and_then_free(monkeypatch):
    sizes = tuner(monkeypatch, lambda threads, now: 1e-3 if threads == 1 else 4e-3 if 0.5 < now < 2.0 else 4e-4, 600)
    most = len(sizes)
    begin = next(i for i in range(most) if sizes[i : i + 10] == [1] * 10)
    end = next(i for i in range(begin, most) if sizes[i : i + 10] == [4] * 10)
    assert 0 < begin < end < most


def test_what_the_caller_wants_is_taken(monkeypatch):
    assert set(tuner(monkeypatch, lambda threads, now: 1e-3 * threads, 100, by_default=False)) == {4}


# ---------------------------------------------------------------- where threads begin


def test_cores_in_turn(monkeypatch):
    """The one after this thread's first, its own last."""
    monkeypatch.setattr(os, "sched_setaffinity", None, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {6, 1, 9, 4}, raising=False)
    monkeypatch.setattr(parallel, "_current_core", lambda: 6)
    assert parallel._round_robin_cores() == [9, 1, 4, 6]


def test_where_a_thread_cannot_choose_its_core(monkeypatch):
    wanted = JOB.train("numba", threads=1)
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    same(JOB.train("numba", threads=3), wanted)


ONE_CORE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_threads import JOB, same
wanted = JOB.train("numba", threads=1)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
same(JOB.train("numba", threads=2), wanted)
same(JOB.train("numba"), wanted)
print(os.sched_getaffinity(0))
"""

if hasattr(os, "sched_setaffinity"):

    @pytest.fixture
    def moves(monkeypatch):
        """The cores that threads asked for, and those that they had when their work began."""
        asked, had = [], []
        move, engine = os.sched_setaffinity, fused.kernels.engine[DTYPE]
        monkeypatch.setattr(os, "sched_setaffinity", lambda *to: (asked.append(to), move(*to)))

        def call(*arguments):
            had.append(os.sched_getaffinity(0))
            return engine(*arguments)

        monkeypatch.setattr(fused.kernels, "engine", {DTYPE: call})
        return asked, had

    def test_each_thread_begins_on_a_core_of_its_own_and_is_then_free(moves, monkeypatch):
        asked, had = moves
        allowed = os.sched_getaffinity(0)
        monkeypatch.setattr(parallel, "_current_core", lambda: min(allowed))
        JOB.train("numba", threads=2)
        assert asked
        assert all(thread == 0 for thread, _ in asked)
        assert {frozenset(cores) for _, cores in asked} == {
            frozenset(parallel._round_robin_cores()[:1]),
            frozenset(allowed),
        }
        assert all(cores == allowed for cores in had)
        assert os.sched_getaffinity(0) == allowed

    def test_the_cores_of_a_thread_with_few_of_its_own(moves):
        """A thread of the caller's may use less than the process, and so may those that it starts."""
        _, had = moves
        first = {min(os.sched_getaffinity(0))}
        allowed = os.sched_getaffinity(0)

        def call():
            os.sched_setaffinity(0, first)
            had.clear()
            JOB.train("numba", threads=3)

        caller = threading.Thread(target=call)
        caller.start()
        caller.join()
        assert had
        assert all(cores == first for cores in had)
        assert os.sched_getaffinity(0) == allowed

    def test_the_core_is_taken_away(monkeypatch):
        def refuse(thread, cores):
            raise OSError("Invalid argument")

        wanted = JOB.train("numba", threads=1)
        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        same(JOB.train("numba", threads=3), wanted)

    def test_a_process_of_one_core(tmp_path):
        here = os.path.dirname(__file__)
        assert run_python("-W", "ignore", "-c", ONE_CORE, here, cwd=tmp_path).stdout.startswith("{")


# ---------------------------------------------------------------- after a fork

FORKED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from test_threads import JOB
wanted = JOB.train("numba", threads=2)
child = os.fork()
if child == 0:
    again = JOB.train("numba", threads=2)
    os._exit(not all((again.parameters[k] == wanted.parameters[k]).all() for k in wanted.parameters))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

if hasattr(os, "fork") and sys.platform != "darwin":  # macOS: the system's own libraries do not survive it

    def test_a_forked_child_trains_with_threads(tmp_path):
        here = os.path.dirname(__file__)
        assert run_python("-W", "ignore", "-c", FORKED, here, cwd=tmp_path).stdout == "0\n"


# ---------------------------------------------------------------- how the samples lie in memory


@pytest.mark.parametrize("batch_size", [None, 7, 64])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("sizes", [(3, 4, 1), (16, 5, 2), (33, 17, 3)])
def test_rows_and_columns_give_the_same_bits(sizes, dtype, batch_size):
    """Data as scikit-learn has them, one sample after the other, transposed; and one row after the other."""
    job = job_with(sizes, ("tanh",), "sigmoid", "squared_error", "adam", batch_size, 65, dtype)
    X, Y = job.data
    net, start = job.network, job.start
    wanted = job.train("numba")
    for x in (X, np.asfortranarray(X)):
        for y in (Y, np.asfortranarray(Y)):
            run = fx.train(
                net, x, y, parameters=start, optimizer=fx.Adam(0.01), iterations=job.iterations,
                batch_size=batch_size, random_state=job.generator(), interval=3, backend="numba",
            )  # fmt: skip
            same(run, wanted)
            grads = [net.gradient(start, *data, backend="numba") for data in ((x, y), (X, Y))]
            assert grads[0][0] == grads[1][0]
            assert_same_dict(grads[0][1], grads[1][1], rtol=0)
            np.testing.assert_array_equal(net.forward(start, x), net.forward(start, X))
