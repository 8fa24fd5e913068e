"""The default number of threads keeps to the limits that others have set; `threads=` wins over all of them."""

import pytest
from support import run_python

from fastxor.backends.fused import cores

HERE = cores._affinity()


@pytest.fixture(autouse=True)
def free(monkeypatch):
    """A machine of 64 cores, without limits."""
    monkeypatch.setattr(cores, "_affinity", lambda: 64)
    monkeypatch.setattr(cores.config, "NUMBA_NUM_THREADS", 64)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "_MEMBERSHIP", cores.Path("/not/there"))
    cores._quota.cache_clear()
    yield
    cores._quota.cache_clear()


def test_all_cores_without_a_limit():
    assert cores.available_cores() == 64


@pytest.mark.parametrize(
    ("value", "wanted"), [("3", 3), (" 5 ", 5), ("4,2", 4), ("", 64), ("0", 64), ("many", 64), ("-1", 64), ("100", 64)]
)
def test_openmp(monkeypatch, value, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cores.available_cores() == wanted


def test_numbas_variable(monkeypatch):
    monkeypatch.setattr(cores.config, "NUMBA_NUM_THREADS", 7)
    assert cores.available_cores() == 7


def test_numbas_function(monkeypatch):
    monkeypatch.setattr(cores.numba, "threading_layer", lambda: "omp")
    monkeypatch.setattr(cores.numba, "get_num_threads", lambda: 2)
    assert cores.available_cores() == 2


def membership(monkeypatch, tmp_path, line, files):
    """A process in a control group, and the files of the groups."""
    (tmp_path / "self").write_text(f"12:memory:/a/b\n{line}\n")
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(cores, "_MEMBERSHIP", tmp_path / "self")
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path / "groups")


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"a/b/cpu.max": "200000 100000\n"}, 2),
        ({"a/b/cpu.max": "150000 100000\n"}, 2),
        ({"a/b/cpu.max": "10000 100000\n"}, 1),
        ({"a/b/cpu.max": "max 100000\n"}, 64),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ({"a/b/cpu.max": "500000 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ({"cpu.max": "400000 100000\n"}, 4),
        ({"a/b/cpu.max": "nonsense"}, 64),
        ({}, 64),
    ],
)
def test_a_quota_of_version_2(monkeypatch, tmp_path, files, wanted):
    membership(monkeypatch, tmp_path, "0::/a/b", files)
    assert cores.available_cores() == wanted


@pytest.mark.parametrize(("quota", "wanted"), [("250000", 3), ("-1", 64), ("100000", 1)])
def test_a_quota_of_version_1(monkeypatch, tmp_path, quota, wanted):
    files = {"cpu/a/cpu.cfs_quota_us": quota, "cpu/a/cpu.cfs_period_us": "100000"}
    membership(monkeypatch, tmp_path, "4:cpu,cpuacct:/a", files)
    assert cores.available_cores() == wanted


SHOW = """
import threading
import numpy as np
import fastxor as fx
from fastxor.backends.fused.cores import available_cores

fx.warmup()
start, begun = threading.Thread.start, []
threading.Thread.start = lambda thread: (begun.append(thread), start(thread))[1]
net, X, Y = fx.Network([64, 128, 1]), np.ones((64, 4096), np.float32), np.ones((1, 4096))
fx.train(net, X, Y, iterations=100, random_state=0, backend="numba")
default = len(begun)
fx.train(net, X, Y, iterations=1, random_state=0, backend="numba", threads=2)
print(default > 0, len(begun) - default, available_cores() > 1)
"""


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "NUMBA_NUM_THREADS"])
def test_a_whole_process_keeps_to_it(tmp_path, variable):
    done = run_python("-c", SHOW, cwd=tmp_path, env={variable: "1"})
    assert done.stdout.split() == ["False", "1", "False"]


def test_a_whole_process_without_a_limit(tmp_path):
    done = run_python("-c", SHOW, cwd=tmp_path, env=dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")))
    default, asked, several = done.stdout.split()
    assert (default, asked) == (several, "1")
