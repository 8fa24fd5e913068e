"""Shards of a population in other threads, processes and clusters: the same bits, also where a worker is lost."""

import logging
import multiprocessing
import os
import re
import signal
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import distributed
import joblib
import numpy as np
import pytest
from support import ROOT, run_python
from test_population import NET, X, Y, assert_same

import fastxor as fx
from fastxor import executors

# Shards in the reference core: a process that loads kernels takes longer than all of this.
ASKED = {"random_state": 0, "optimizer": fx.Adam(0.02), "iterations": 40, "interval": 10, "target_cost": 0.5}
ASKED |= {"validation": 0.2, "batch_size": 8, "backend": "numpy"}
MEMBERS = 16


@pytest.fixture(scope="module")
def wanted():
    """The population without an executor."""
    return fx.train_population(NET, X, Y, members=MEMBERS, **ASKED)


def assert_whole(population, wanted):
    assert_same(population, wanted)
    for name in ("cost", "validation_cost", "converged", "diverged", "iterations_to_target", "seeds"):
        np.testing.assert_array_equal(getattr(population, name), getattr(wanted, name))


def killed(pid):
    os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)


class Killing:
    """An executor that kills a worker when so many shards have been handed out."""

    def __init__(self, executor, after, kill):
        self.executor, self.after, self.kill = executor, after, kill
        self.submitted = 0

    def submit(self, *call):
        self.submitted += 1
        future = self.executor.submit(*call)
        if self.submitted == self.after:
            self.kill()
        return future

    def shutdown(self, wait=True):
        self.executor.shutdown(wait)


def test_threads(core):
    asked = ASKED | {"backend": core}
    whole = fx.train_population(NET, X, Y, members=MEMBERS, **asked)
    with ThreadPoolExecutor(2) as pool:
        assert_whole(fx.train_population(NET, X, Y, members=MEMBERS, executor=pool, **asked), whole)


def test_processes_of_which_one_is_killed(wanted, caplog):
    """The pool is broken from then on: what it has not done is done here."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert_whole(fx.train_population(NET, X, Y, members=MEMBERS, executor=pool, **ASKED), wanted)

        def kill():
            killed(next(iter(pool._processes)))
            while not pool._broken:  # it takes a moment to see that
                time.sleep(0.01)

        killing = Killing(pool, 5, kill)
        with caplog.at_level(logging.WARNING, "fastxor"):
            assert_whole(fx.train_population(NET, X, Y, members=MEMBERS, executor=killing, **ASKED), wanted)
    assert killing.submitted >= 5
    assert "its workers were lost" in caplog.text


def test_a_dask_cluster_of_which_a_worker_is_killed(wanted):
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL) as one,
        distributed.Client(one) as client,
    ):
        pids = [*client.run(os.getpid).values()]
        killing = Killing(client.get_executor(pure=False), 5, lambda: killed(pids[0]))
        assert_whole(fx.train_population(NET, X, Y, members=MEMBERS, executor=killing, **ASKED), wanted)
        assert killing.submitted >= 5


def test_dask_as_the_guide_has_it(tmp_path):
    (program,) = re.findall(r"```python\n(.*?Client.*?)```", (ROOT / "docs" / "guide.md").read_text("utf-8"), re.DOTALL)
    assert len(program.strip().splitlines()) <= 10
    path = tmp_path / "program.py"
    path.write_text(program.replace("members=256", "members=8"), encoding="utf-8")
    done = run_python(path, cwd=tmp_path, env={"FASTXOR_BACKEND": "numpy"})
    assert "[[0 1 1 0]]" in done.stdout


def test_joblib(wanted):
    with joblib.parallel_config("threading", n_jobs=2):
        assert_whole(fx.train_population(NET, X, Y, members=MEMBERS, executor="joblib", **ASKED), wanted)


class Losing:
    """An executor of which workers are lost again and again, as often as `times` says of a shard; or which fails."""

    _max_workers = 2

    def __init__(self, times, error):
        self.times, self.error = times, error

    def submit(self, work, shard):
        future, self.times = Future(), self.times - 1
        if self.times >= 0:
            future.set_exception(self.error)
        else:
            future.set_result(work(shard))
        return future

    def shutdown(self, wait=True):
        pass


class KilledWorker(Exception):
    """As Dask's is called."""


@pytest.mark.parametrize("times", [1, 40, 10**6])
@pytest.mark.parametrize("error", [KilledWorker("gone"), BrokenExecutor("broken")])
def test_a_lost_shard_is_done_again(wanted, times, error):
    losing = Losing(times, error)
    assert_whole(fx.train_population(NET, X, Y, members=MEMBERS, executor=losing, **ASKED), wanted)


def test_an_error_in_a_shard_is_the_callers():
    with pytest.raises(MemoryError, match="full") as caught:
        fx.train_population(NET, X, Y, members=4, executor=Losing(1, MemoryError("full")), **ASKED)
    assert len(caught.value.result) == 4


def test_diverged_members_of_shards_are_named_once():
    net = fx.Network([1, 1], output="identity")
    rates = np.where(np.arange(20) % 7 == 3, 1e3, 0.01)
    with (
        pytest.warns(fx.DivergenceWarning, match="3 of 20 members diverged: 3, 10, 17 ") as caught,
        ThreadPoolExecutor(1) as pool,
    ):
        fx.train_population(
            net, [[1.0, 3.0]], [[1.0, 2.0]], optimizer=fx.SGD(rates), iterations=400, executor=pool, backend="numpy"
        )
    assert len(caught) == 1


def test_refusals():
    for executor in (3, "dask", np.ones(2)):
        with pytest.raises(TypeError, match="executor must be a concurrent"):
            fx.train_population(NET, X, Y, members=2, executor=executor, **ASKED)
    with pytest.raises(ValueError, match="callback must be left out with executor"):
        fx.train_population(NET, X, Y, members=2, executor="joblib", callback=print, **ASKED)


def test_shards_are_several_for_each_worker():
    with ThreadPoolExecutor(4) as pool:
        assert executors.size(pool, 3200) == 100
        assert executors.size(pool, 3) == 1


# ---------------------------------------------------------------- a file of what is done


def test_what_is_done_is_kept_and_not_done_again(wanted, tmp_path):
    path = tmp_path / "population.npz"
    done = []

    class Breaking(Losing):
        def submit(self, work, shard):
            done.append(len(shard))
            return super().submit(work, shard)

    class Stops(Breaking):
        def submit(self, work, shard):
            if len(done) == 9:
                raise KeyboardInterrupt
            return super().submit(work, shard)

    with pytest.raises(fx.TrainingInterrupted) as caught:
        fx.train_population(NET, X, Y, members=MEMBERS, executor=Stops(0, None), checkpoint=path, **ASKED)
    assert len(caught.value.result) == MEMBERS
    before = sum(done)
    kept = fx.load(path)
    assert 0 < (kept.iterations > 0).sum() <= before
    done.clear()
    whole = fx.train_population(NET, X, Y, members=MEMBERS, executor=Breaking(0, None), checkpoint=path, **ASKED)
    assert_whole(whole, wanted)
    assert sum(done) < MEMBERS
    done.clear()
    again = fx.train_population(NET, X, Y, members=MEMBERS, executor=Breaking(0, None), checkpoint=path, **ASKED)
    assert_whole(again, wanted)
    assert done == []
    assert_whole(fx.load(path), wanted)


def test_a_file_of_another_call_is_refused(tmp_path):
    path = tmp_path / "population.npz"
    asked = {"members": 3, "random_state": 0, "iterations": 4, "backend": "numpy", "checkpoint": path}
    fx.train_population(NET, X, Y, **asked)
    for other in (
        {"random_state": 1},
        {"iterations": 5},
        {"target_cost": 0.1},
        {"l2": 0.1},
        {"sample_weight": 1 + Y[0]},
    ):
        with pytest.raises(ValueError, match="is of another call"):
            fx.train_population(NET, X, Y, **asked | other)
    with pytest.raises(ValueError, match="is of another call"):
        fx.train_population(NET, X + 1, Y, **asked)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fx.train_population(NET, X, Y, **asked | {"checkpoint": tmp_path / "no" / "population.npz"})


KILLED = """
import os, sys
import numpy as np
import fastxor as fx
from fastxor.population_run import PopulationRun
from test_population import NET, X, Y

def look(self, steps, take=PopulationRun._on_progress):
    take(self, steps)
    if self.done > 400:
        os._exit(9)

if sys.argv[2] == "killed":
    PopulationRun._on_progress = look
population = fx.train_population(NET, X, Y, members=6, random_state=0, iterations=200, interval=10, validation=0.2,
                                 backend="numpy", checkpoint=sys.argv[1], checkpoint_every=0.0)
np.save("result.npy", population.parameters["W1"])
"""


def test_a_program_that_is_killed_goes_on(tmp_path):
    path = tmp_path / "population.npz"
    assert run_python("-c", KILLED, path, "killed", cwd=tmp_path, fails=True).returncode == 9
    kept = fx.load(path)
    assert 0 < kept.iterations.sum() < 1200
    asked = {"random_state": 0, "iterations": 200, "interval": 10, "validation": 0.2, "backend": "numpy"}
    whole = fx.train_population(NET, X, Y, members=6, **asked)
    assert_same(fx.train_population(NET, X, Y, members=6, checkpoint=path, **asked), whole)
