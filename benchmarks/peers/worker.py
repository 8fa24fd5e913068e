"""A process of its own for each peer: its libraries, threads and cores disturb nobody else's."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
import traceback
from typing import Any

from benchmarks.peers.problem import Problem, Result

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Way = tuple[str, str]  # a contender's name, and which of its ways


class Peer:
    """What runs in the worker's process; every method is called from the other side of the pipe."""

    def __init__(self, name: str, threads: int) -> None:
        self.module, self.threads = importlib.import_module(f"benchmarks.peers.{name}_peer"), threads

    def version(self) -> str:
        return self.module.version()

    def prepare(self, problem: Problem) -> list[Way]:
        self.problem, self.ran = problem, set()
        self.contenders = self.module.contenders(problem, self.threads)
        return [(name, way) for name, ways in self.contenders.items() for way in ways]

    def run(self, way: Way, iterations: int) -> Result:
        return self.contenders[way[0]][way[1]](iterations)

    def seconds(self, way: Way, iterations: int) -> float:
        """Of one run of this length, after a first one that is not timed: a new length may have to be compiled."""
        if (way, iterations) not in self.ran:
            self.run(way, iterations)
            self.ran.add((way, iterations))
        start = time.perf_counter()
        self.run(way, iterations)
        return time.perf_counter() - start

    def length(self, way: Way, sample: float) -> int:
        """How many iterations take this many seconds, in whole units and at least one."""
        units = 1
        while (taken := self.seconds(way, units * self.problem.per_unit)) < sample / 4:
            units *= max(2, min(10, int(sample / 2 / taken)))
        return max(1, round(units * sample / taken)) * self.problem.per_unit

    def floor(self) -> tuple[float | None, dict[int, float]]:
        from benchmarks.peers import floor

        return floor.clock(), floor.peaks()


def _serve(pipe: Any, name: str, threads: int, cores: set[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    peer = None
    while (message := pipe.recv()) is not None:
        method, arguments = message
        try:
            if peer is None:
                peer = Peer(name, threads)
            pipe.send((True, getattr(peer, method)(*arguments)))
        except ImportError as missing:
            pipe.send((False, str(missing)))
        except Exception:
            pipe.send((False, traceback.format_exc()))


class Refused(Exception):
    """The peer is missing, or could not do what it was asked."""


class Worker:
    """This side of the pipe: `worker(method, ...)` waits for the answer."""

    def __init__(self, name: str, threads: int, cores: set[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, name, threads, cores), daemon=True)
        before = {key: os.environ.get(key) for key in THREADS}
        os.environ.update(dict.fromkeys(THREADS, str(threads)))  # read when the new process imports its libraries
        self.process.start()
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        other.close()

    def __call__(self, method: str, *arguments: Any) -> Any:
        try:
            self.pipe.send((method, arguments))
            fine, answer = self.pipe.recv()
        except (EOFError, BrokenPipeError):
            raise Refused(f"its process ended with exit code {self.process.exitcode}") from None
        if not fine:
            raise Refused(answer)
        return answer

    def close(self) -> None:
        if self.process.is_alive():
            self.pipe.send(None)
            self.process.join(5)
        if self.process.is_alive():
            self.process.terminate()
