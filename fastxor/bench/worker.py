"""A process of its own for each peer: its libraries, threads and cores disturb nobody else's."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from contextlib import suppress
from typing import Any

from fastxor.bench.problems import Problem, Result

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

Way = tuple[str, str]  # a contender's name, and which of its ways


class Peer:
    """What runs in the worker's process; every method is called from the other side of the pipe."""

    def __init__(self, name: str, threads: int) -> None:
        self.module, self.threads = importlib.import_module(f"fastxor.bench.peers.{name}_peer"), threads

    def version(self) -> str:
        return self.module.version()

    def prepare(self, problem: Problem) -> list[Way]:
        self.problem = problem
        self.ran: set[tuple[Way, int]] = set()
        fits = problem.kind in self.module.KINDS
        self.contenders = self.module.contenders(problem, self.threads) if fits else {}
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
        seconds = time.perf_counter() - start
        if self.threads > 1:
            rest()
        return seconds

    def length(self, way: Way, sample: float) -> int:
        """How many iterations take this many seconds, in whole units and at least one."""
        units, taken = 1, 0.0
        while taken < sample / 4:
            units *= max(2, min(10, int(sample / 2 / taken))) if taken else 1
            taken = self.seconds(way, units * self.problem.per_unit)
            if taken >= sample / 4:  # unless something came between
                taken = min(taken, self.seconds(way, units * self.problem.per_unit))
        return max(1, round(units * sample / taken)) * self.problem.per_unit

    def floor(self) -> tuple[float | None, dict[str, float]]:
        from fastxor.bench import floor

        return floor.clock(), floor.peaks()


def rest(most: float = 1) -> None:
    """Wait until this process's threads do, so that the next contender has all cores for itself.

    A pool goes on spinning when its work is done, in case that there is more: OpenBLAS's for a tenth of a second.
    """
    end = time.perf_counter() + most
    busy = True
    while busy and time.perf_counter() < end:
        before = time.process_time()
        time.sleep(0.01)
        busy = time.process_time() - before > 0.001


def _serve(pipe: Any, name: str, threads: int, cores: set[int]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which will say what becomes of this one
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    peer = None
    while True:
        try:
            message = pipe.recv()
        except EOFError:  # the parent is gone
            message = None
        if message is None:
            return
        method, arguments = message
        try:
            if peer is None:
                peer = Peer(name, threads)
            pipe.send((None, getattr(peer, method)(*arguments)))
        except ImportError as missing:
            pipe.send((Missing, str(missing)))
        except Exception as error:
            pipe.send((Refused, f"{type(error).__name__}: {error}"))


class Refused(Exception):
    """The peer could not do what it was asked."""


class Missing(Refused):
    """The peer's library, or something that it needs, is not installed."""


class Worker:
    """This side of the pipe: `worker(method, ...)` waits for the answer."""

    def __init__(self, name: str, threads: int, cores: set[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self.name, self.threads = name, threads
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
            refusal, answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(1)
            raise Refused(f"its process ended with exit code {self.process.exitcode}") from None
        if refusal is not None:
            raise refusal(answer)
        return answer

    def close(self, patience: float = 5) -> None:
        """Have the process end by itself, and end it if it does not."""
        with suppress(OSError):
            self.pipe.send(None)
        self.process.join(patience)
        if self.process.is_alive():
            self.process.terminate()
