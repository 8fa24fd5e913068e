"""Shards of a population on what others have for work to be spread: futures, Dask, joblib, MPI."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait
from typing import Any

# So many shards for each worker: a lost one costs little, and nobody waits long for the last.
_EACH = 8

# So many of them are handed out for each worker at a time.
_AHEAD = 2

# Of workers that do not say how many they are.
_WORKERS = 16

# How often a shard whose worker was lost is sent out again before it is done here.
_TRIES = 3

# What other libraries raise for a lost worker, by name, for they need not be there.
_LOST = ("KilledWorker", "TerminatedWorkerError", "FutureCancelledError", "FutureLostError", "LostTask")

Work = Callable[[Any], Any]


def check(executor: Any) -> Any:
    """An executor that `train_population` takes."""
    if isinstance(executor, Executor) or _is_client(executor):
        return executor
    if isinstance(executor, str) and executor == "joblib":
        return executor
    if callable(getattr(executor, "submit", None)) and callable(getattr(executor, "shutdown", None)):
        return executor  # another library's, of the same kind
    raise TypeError(
        "executor must be a concurrent.futures.Executor, a dask.distributed.Client, 'joblib' or an MPIPoolExecutor, "
        f"got {executor!r}"
    )


def size(executor: Any, members: int) -> int:
    """How many members make a shard."""
    return max(1, -(-members // (_EACH * _workers(executor))))


def _workers(executor: Any) -> int:
    if executor == "joblib":
        return max(1, int(_joblib().effective_n_jobs(None)))
    if _is_client(executor):
        return max(1, sum(executor.nthreads().values()))
    return max(1, getattr(executor, "_max_workers", None) or _WORKERS)


def done(executor: Any, work: Work, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """What the work makes of each shard, with its number, in the order in which they come; one that is lost with its
    worker is done again.
    """
    if executor == "joblib":
        return _by_joblib(work, shards)
    most = _AHEAD * _workers(executor)
    return _by_futures(executor.get_executor(pure=False) if _is_client(executor) else executor, most, work, shards)


def _is_client(executor: Any) -> bool:
    return callable(getattr(executor, "get_executor", None)) and callable(getattr(executor, "scatter", None))


def _is_lost(error: BaseException) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, BrokenExecutor | CancelledError) or bool(names & set(_LOST))


def _by_futures(executor: Any, most: int, work: Work, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    waiting: dict[Future[Any], int] = {}
    tries = [0] * len(shards)
    left = deque(range(len(shards)))
    try:
        while left or waiting:
            while left and len(waiting) < most:
                number = left.popleft()
                tries[number] += 1
                future = None if tries[number] > _TRIES else _submitted(executor, work, shards[number])
                if future is None:
                    _say("shard %d is done in this process: its workers were lost", number)
                    yield number, work(shards[number])
                else:
                    waiting[future] = number
            ready = wait(waiting, return_when=FIRST_COMPLETED).done if waiting else ()
            for future in sorted(ready, key=lambda future: _error(future) is not None):  # what there is, first
                number, error = waiting.pop(future), _error(future)
                if error is None:
                    yield number, future.result()
                elif _is_lost(error):
                    _say("shard %d was lost with its worker (%s), and is done again", number, error)
                    left.appendleft(number)
                else:
                    raise error
    finally:
        for future in waiting:
            future.cancel()


def _error(future: Future[Any]) -> BaseException | None:
    """What became of one that is done."""
    return CancelledError() if future.cancelled() else future.exception()


def _submitted(executor: Any, work: Work, shard: Any) -> Future[Any] | None:
    """None, if the executor takes no more work for its workers are lost."""
    try:
        return executor.submit(work, shard)
    except Exception as error:
        if not _is_lost(error):
            raise
        return None


def _by_joblib(work: Work, shards: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    joblib = _joblib()
    left = dict(enumerate(shards))
    for number_of_try in range(_TRIES):
        tasks = [joblib.delayed(_numbered)(work, number, shard) for number, shard in left.items()]
        try:
            parallel = joblib.Parallel(return_as="generator_unordered")
        except ValueError:  # a backend that cannot hand over what is ready
            parallel = joblib.Parallel()
        try:
            for number, result in parallel(tasks):
                del left[number]
                yield number, result
            return
        except Exception as error:
            if not _is_lost(error) or number_of_try == _TRIES - 1:
                raise
            _say("%d shards were lost with a worker (%s), and are done again", len(left), error)


def _numbered(work: Work, number: int, shard: Any) -> tuple[int, Any]:
    return number, work(shard)


def _joblib() -> Any:
    try:
        import joblib
    except ImportError as error:
        raise ImportError("executor='joblib' needs joblib: pip install joblib") from error
    return joblib


def _say(message: str, *arguments: Any) -> None:
    logging.getLogger("fastxor").warning(message, *arguments)
