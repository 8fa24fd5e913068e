"""Threads, forks, spawned workers, divergence, Ctrl-C, and a training loop that allocates nothing."""

import math
import multiprocessing
import os
import re
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
from support import KEYS, X, Y, assert_same_dict, calls_during, plain_data, plain_parameters, plain_run, run_python

import fastxor as fx

# ---------------------------------------------------------------- threads and processes


def job(number, backend=None):
    """Training jobs of different sizes, in both dtypes."""
    n_x, n_h, n_y, m = 1 + number % 4, 2 + 3 * number, 1 + number % 3, 5 + 11 * number
    features, labels = plain_data(n_x, n_y, m, number)
    start = plain_parameters(n_x, n_h, n_y, number)
    if number % 2:
        features = features.astype(np.float32)
        start = {k: v.astype(np.float32) for k, v in start.items()}
    return fx.model(features, labels, n_x, n_h, n_y, 400, 0.1, parameters=start, print_cost=False, backend=backend)


def test_eight_threads_at_once(core):
    wanted = [job(n, core) for n in range(8)]
    barrier = threading.Barrier(8, timeout=60)
    got = [[] for _ in range(8)]

    def work(number):
        barrier.wait()
        for _ in range(3):
            got[number].append(job(number, core))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    for number in range(8):
        assert len(got[number]) == 3
        for trained in got[number]:
            assert_same_dict(trained, wanted[number], rtol=0)


def test_eight_threads_share_their_data(core):
    """The same arrays read by all; every thread gets arrays of its own back."""
    features, labels = plain_data(3, 2, 50)
    start = plain_parameters(3, 5, 2)
    barrier = threading.Barrier(8, timeout=60)
    got = []

    def work():
        barrier.wait()
        got.append(fx.model(features, labels, 3, 5, 2, 300, 0.1, parameters=start, print_cost=False, backend=core))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert len(got) == 8
    wanted, _ = plain_run(features, labels, start, 301, 0.1)
    for trained in got:
        assert_same_dict(trained, wanted, rtol=1e-9)
    assert len({trained["W1"].ctypes.data for trained in got}) == 8


WORKERS = """
import multiprocessing, os, sys, threading
import numpy as np
import fastxor as fx

X, Y = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]), np.array([[0, 1, 1, 0]])


def train(seed):
    parameters = fx.model(X, Y, 2, 2, 1, 1000, 0.3, random_state=seed, print_cost=False)
    return os.getpid(), parameters["W1"].tobytes() + parameters["b2"].tobytes()
"""
THREADS_FIRST = (
    WORKERS
    + """
barrier = threading.Barrier(8)
got = {}
def work(seed):
    barrier.wait()
    got[seed] = train(seed)[1]
threads = [threading.Thread(target=work, args=(s,)) for s in range(8)]
for t in threads: t.start()
for t in threads: t.join()
assert sorted(got) == list(range(8)), sorted(got)
for seed in range(8):
    assert train(seed)[1] == got[seed]
print("done")
"""
)
POOL = (
    WORKERS
    + """
def pool(method):
    with multiprocessing.get_context(method).Pool(2) as workers:
        got = workers.map(train, range(6), chunksize=1)
    assert os.getpid() not in {pid for pid, _ in got}, method
    return [bits for _, bits in got]


if __name__ == "__main__":
    first = pool(sys.argv[1])  # of a process that has not trained
    wanted = [train(seed)[1] for seed in range(6)]
    assert first == wanted
    for method in multiprocessing.get_all_start_methods():  # and of one that has
        assert pool(method) == wanted, method
    print("done")
"""
)
FORKS = (
    WORKERS
    + """
wanted = train(5)[1]
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        try:
            good = train(5)[1] == wanted and train(5)[1] == wanted
        except BaseException:
            good = False
        os._exit(0 if good else 1)
    children.append(child)
assert train(5)[1] == wanted
assert [os.waitpid(c, 0)[1] for c in children] == [0] * 4
print("done")
"""
)


def test_eight_threads_make_the_first_call_together(core, tmp_path):
    """The core is imported and loaded by whoever comes first; the others wait and get the same."""
    done = run_python("-W", "error", "-c", THREADS_FIRST, cwd=tmp_path, env={"FASTXOR_BACKEND": core})
    assert done.stdout == "done\n"
    assert done.stderr == ""


def test_process_pools(tmp_path):
    """However their processes begin, before and after their parent has trained."""
    script = tmp_path / "pool.py"
    script.write_text(POOL)
    done = run_python(script, multiprocessing.get_all_start_methods()[0], cwd=tmp_path)
    assert done.stdout == "done\n"


@pytest.mark.parametrize("backend", ["numpy", "numba"] if hasattr(os, "fork") else [])
def test_forked_children_train(tmp_path, backend):
    done = run_python("-c", FORKS, cwd=tmp_path, env={"FASTXOR_BACKEND": backend})
    assert done.stdout == "done\n"


# ---------------------------------------------------------------- divergence


def diverging(backend, capsys, *args, **kwargs):
    """The result, printed costs and divergence warnings of a run that should diverge."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = fx.model(*args, backend=backend, **kwargs)
    kinds = {w.category for w in caught}
    assert kinds <= {fx.DivergenceWarning}, [str(w.message) for w in caught]
    printed = capsys.readouterr().out.splitlines()
    return trained, printed, [str(w.message) for w in caught]


def test_divergence_warning_is_a_runtime_warning():
    assert issubclass(fx.DivergenceWarning, RuntimeWarning)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("learning_rate", [1e6, 1e12])
def test_a_diverging_run_ends_with_finite_reporting(capsys, seed, learning_rate):
    outcomes = {}
    for backend in ("numpy", "numba"):
        outcomes[backend] = diverging(backend, capsys, X, Y, 2, 2, 1, 1000, learning_rate, random_state=seed)
        trained, printed, messages = outcomes[backend]
        assert all(np.isfinite(trained[k]).all() for k in KEYS)
        assert len(messages) == 1
        assert re.search(r"diverg", messages[0], re.IGNORECASE)
        assert re.search(r"learning_rate|learning rate", messages[0])
        assert printed[0].startswith("Cost after iteration# 0: ")
        costs = [float(re.fullmatch(r"Cost after iteration# \d+: (\S+)", line)[1]) for line in printed]
        assert np.isfinite(costs).all()
        outcomes[backend] = trained, costs, messages
        answers = fx.predict(X, trained, backend=backend)
        assert np.isin(answers, (0, 1)).all()
    first, second = outcomes["numpy"], outcomes["numba"]
    np.testing.assert_allclose(second[1], first[1], rtol=1e-9)
    assert first[2] == second[2]
    assert_same_dict(second[0], first[0], rtol=1e-9)


def test_a_run_that_learns_gives_no_warning(core, capsys):
    _, _, messages = diverging(core, capsys, X, Y, 2, 2, 1, 1000, 0.3, random_state=2)
    assert messages == []


def test_a_run_that_wobbles_but_learns_gives_no_warning(core, capsys):
    """A learning rate that is bold, not absurd."""
    trained, _, messages = diverging(core, capsys, X, Y, 2, 8, 1, 3000, 2.0, random_state=0)
    np.testing.assert_array_equal(fx.predict(X, trained), Y)
    assert messages == []


def last_finite(features, labels, start, learning_rate):
    """The parameters before the first update that leaves the finite numbers, and how many updates came before."""
    parameters, updates = start, 0
    while True:
        with np.errstate(all="ignore"):
            following, _ = plain_run(features, labels, parameters, 1, learning_rate)
        if not all(np.isfinite(v).all() for v in following.values()):
            return parameters, updates
        parameters, updates = following, updates + 1


def test_parameters_that_overflow_stop_at_the_last_finite_ones(core, capsys):
    """A gradient of 1e306 and a learning rate of 1e3: the cost is finite, the updated weight is not."""
    features, labels = np.array([[1e307]]), np.array([[0.5]])
    start = {k: np.full((1, 1), v) for k, v in {"W1": 0.0, "b1": 0.0, "W2": 3.0, "b2": 0.2}.items()}
    wanted, updates = last_finite(features, labels, start, 1e3)
    trained, _, messages = diverging(
        core, capsys, features, labels, 1, 1, 1, 1000, 1e3, parameters=start, print_cost=False
    )
    assert len(messages) == 1
    assert re.search(rf"\b({updates}|{updates + 1})\b", messages[0]), (updates, messages[0])
    assert_same_dict(trained, wanted, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e308, 1.7e308])
def test_data_too_large_to_multiply(capsys, scale):
    """Products beyond the largest number. Where a sum of them ends depends on the machine, the rest does not."""
    features = np.array([[scale, scale, -scale], [scale, -scale, scale]])
    labels = np.array([[0, 1, 1]])
    start = {"W1": [[10.0, -10.0], [5.0, 5.0]], "b1": [[0.0], [0.0]], "W2": [[1.0, 1.0]], "b2": [[0.0]]}
    outcomes = []
    for backend in ("numpy", "numba"):
        trained, printed, messages = diverging(backend, capsys, features, labels, 2, 2, 1, 300, 0.5, parameters=start)
        assert len(messages) == (len(printed) < 4)
        assert all(np.isfinite(trained[k]).all() for k in KEYS)
        assert all(math.isfinite(float(line.split(":")[1])) for line in printed)
        outcomes.append((trained, printed, messages))
    assert outcomes[0][1:] == outcomes[1][1:]
    assert_same_dict(outcomes[1][0], outcomes[0][0], rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_large_finite_data_trains_in_silence(core, capsys, dtype):
    """Features of a million saturate every tanh and break nothing."""
    features, labels = plain_data(3, 1, 20)
    trained, _, messages = diverging(
        core, capsys, (features * 1e6).astype(dtype), labels, 3, 4, 1, 200, 1e-3, random_state=0
    )
    assert messages == []
    assert all(np.isfinite(trained[k]).all() for k in KEYS)


def test_a_run_after_a_diverged_one_is_untouched_by_it(core, capsys):
    wanted = fx.model(X, Y, 2, 2, 1, 50, 0.3, random_state=2, print_cost=False, backend=core)
    diverging(core, capsys, X, Y, 2, 2, 1, 1000, 1e6, random_state=2)
    again = fx.model(X, Y, 2, 2, 1, 50, 0.3, random_state=2, print_cost=False, backend=core)
    assert_same_dict(again, wanted, rtol=0)


# ---------------------------------------------------------------- Ctrl-C


INTERRUPTED = """
import signal, threading, time
import fastxor as fx
signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite started in the background has it ignored
X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
fx.model(X, Y, 2, 2, 1, 10, 0.3, random_state=0, print_cost=False)
asked = []
def ask():
    asked.append(time.perf_counter())
    signal.raise_signal(signal.SIGINT)
timer = threading.Timer(0.5, ask)
timer.start()
began = time.perf_counter()
try:
    fx.model(X, Y, 2, 2, 1, 10**9, 0.3, random_state=0, print_cost=False)
except KeyboardInterrupt:
    caught = time.perf_counter()
    assert asked and caught - began > 0.4, "interrupted before the run was under way"
    assert caught - asked[0] < 2, f"{caught - asked[0]:.1f} s from the signal to the exception"
    parameters = fx.model(X, Y, 2, 2, 1, 10, 0.3, random_state=0, print_cost=False)
    print("interrupted")
else:
    print("ran to its end")
"""


def test_keyboard_interrupt(core, tmp_path):
    """A run of many minutes ends within two seconds of Ctrl-C, and the process goes on."""
    done = run_python("-c", INTERRUPTED, cwd=tmp_path, env={"FASTXOR_BACKEND": core}, timeout=60)
    assert done.stdout == "interrupted\n"
    assert done.stderr == ""


# ---------------------------------------------------------------- allocation


ALLOCATIONS = """
import numpy as np
import numba
from numba.core.runtime import rtsys
import fastxor as fx
from support import plain_data, plain_parameters

@numba.njit
def allocate(n):
    total = 0.0
    for i in range(n):
        total += np.zeros(i + 1)[i]
    return total

def allocations(function):
    function()
    before = rtsys.get_allocation_stats()
    function()
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free
    return after.alloc - before.alloc

assert allocations(lambda: allocate(100)) >= 100  # the counter counts

for dtype in (np.float64, np.float32):
    for n_x, n_h, n_y, m in ((2, 2, 1, 4), (7, 13, 3, 100), (64, 100, 10, 17)):
        X, Y = plain_data(n_x, n_y, m)
        start = {k: v.astype(dtype) for k, v in plain_parameters(n_x, n_h, n_y).items()}
        counts = [
            allocations(
                lambda: fx.model(
                    X.astype(dtype), Y, n_x, n_h, n_y, n, 0.1, parameters=start, print_cost=False, backend="numba"
                )
            )
            for n in (0, 1, 200, 400)
        ]
        assert len(set(counts)) == 1, (dtype, n_x, n_h, n_y, m, counts)
print("done")
"""


def test_the_compiled_loop_allocates_nothing(tmp_path):
    done = run_python("-c", ALLOCATIONS, cwd=tmp_path, env={"NUMBA_NRT_STATS": "1"})
    assert done.stdout == "done\n"


def run_of(iterations, backend):
    start = plain_parameters(2, 2, 1)
    return lambda: fx.model(X, Y, 2, 2, 1, iterations, 0.1, parameters=start, print_cost=False, backend=backend)


def test_no_python_runs_inside_the_loop():
    """Between two recorded costs; there are a hundred iterations from one to the next."""
    run_of(10, "numba")()
    short, long = (calls_during(run_of(n, "numba")) for n in (1, 99))
    assert short == long
    reference = [calls_during(run_of(n, "numpy")) for n in (1, 99)]
    assert reference[1] > reference[0] + 97  # the counter counts


def test_python_memory_does_not_grow_with_the_iterations():
    def peak(iterations):
        tracemalloc.start()
        try:
            run_of(iterations, "numba")()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    run_of(10, "numba")()
    peak(10)
    # 200 recorded costs take some 150 bytes each in Python; one number for each iteration would take 160,000.
    assert peak(20_000) < peak(200) + 64_000


def test_a_long_loop_of_single_calls_keeps_no_memory(core):
    parameters = plain_parameters(2, 2, 1)

    def steps(count):
        nonlocal parameters
        for _ in range(count):
            _, cache = fx.forward_prop(X, parameters, backend=core)
            grads = fx.backward_prop(X, Y, cache, parameters, backend=core)
            parameters = fx.update_parameters(parameters, grads, 0.1, backend=core)

    steps(50)
    tracemalloc.start()
    try:
        steps(50)
        before = tracemalloc.get_traced_memory()[0]
        steps(500)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 8192


@pytest.mark.parametrize("optimizer", [fx.SGD(), fx.LevenbergMarquardt(), fx.LBFGS()])
def test_numpy_may_be_told_to_raise_at_every_rounding(core, optimizer):
    """As a user may tell it, to find out about code of their own: a number that is rounded to 0 is no error."""
    net, one = fx.Network([2, 3, 1], output="identity"), np.float32(1e-30)
    start = {name: np.full_like(array, one, np.float32) for name, array in net.initialize(0).items()}
    arguments = {"sample_weight": [1e300, 1, 1, 1e-300], "gradient_norm": True, "l2": 0.1, "iterations": 20}
    arguments |= {"optimizer": optimizer, "parameters": start, "backend": core}
    with np.errstate(all="raise"):
        run = fx.train(net, X.astype(np.float32), Y * 1e-60, **arguments)
    assert np.isfinite(run.history.gradient_norm).all()
    with np.errstate(all="raise"):
        fx.train(fx.Network([2, 1]), X, Y, sample_weight=[1, 1e-300, 1e300, 1], class_weight="balanced", backend=core)
