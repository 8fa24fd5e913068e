"""Shards on the pools of mpi4py, in processes that `mpiexec` has started."""

import sys

import pytest
from support import MPIEXEC, child_environment, run

PROGRAM = """
import sys
import numpy as np
from mpi4py import MPI
from mpi4py.futures import MPICommExecutor, MPIPoolExecutor
import fastxor as fx

OTHERS = {1, 2}

def work_there(work, shard):
    assert MPI.COMM_WORLD.Get_rank() in OTHERS
    return work(shard)

def fail_there(work, shard):
    raise MemoryError(f"full, at {MPI.COMM_WORLD.Get_rank() in OTHERS}")

class Pool:
    def __init__(self, pool, instead):
        self.pool, self.instead, self.shutdown = pool, instead, pool.shutdown

    def submit(self, work, shard):
        return self.pool.submit(self.instead, work, shard)

def main(pool):
    draw = np.random.RandomState(0)
    X = draw.randn(3, 40)
    asked = {"members": 37, "random_state": 0, "iterations": 60, "interval": 9, "target_cost": 0.5, "backend": "numpy"}
    call = fx.Network([3, 4, 1]), X, X[:1] * X[1:2] > 0
    alone = fx.train_population(*call, **asked)
    for executor in (pool, Pool(pool, work_there)):
        shared = fx.train_population(*call, executor=executor, **asked)
        for name, array in alone.parameters.items():
            np.testing.assert_array_equal(shared.parameters[name], array)
        np.testing.assert_array_equal(shared.history.cost, alone.history.cost)
        np.testing.assert_array_equal(shared.iterations, alone.iterations)
    try:
        fx.train_population(*call, executor=Pool(pool, fail_there), **asked)
    except MemoryError as error:
        print(error, len(error.result), len(set(shared.iterations)) > 1)

if __name__ == "__main__":
    with MPIPoolExecutor() if sys.argv[1] == "pool" else MPICommExecutor(MPI.COMM_WORLD) as pool:
        if pool is not None:
            main(pool)
"""


@pytest.mark.parametrize(("kind", "options"), [("pool", ["-m", "mpi4py.futures"]), ("world", [])])
def test_a_population_on_the_ranks_of_mpi(tmp_path, kind, options):
    """The same bits; and what fails on a rank fails here, with what there is."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    done = run(MPIEXEC, "-n", 3, sys.executable, *options, path, kind, cwd=tmp_path, env=child_environment())
    assert done.stdout == "full, at True 37 True\n"
