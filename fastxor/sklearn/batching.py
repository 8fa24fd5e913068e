"""The fits of a search in batches: each goes on in a thread of its own until its epochs begin, and waits there for the
others. Then those that suit each other are trained as populations, and every thread goes on with what it was to do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from copy import copy
from typing import Any

import joblib
from joblib.parallel import ParallelBackendBase

from fastxor.sklearn import cohorts
from fastxor.sklearn.cohorts import CohortMember
from fastxor.sklearn.solving import FitCoroutine
from fastxor.state import Job
from fastxor.views import Array

# Fits that wait for each other, at most twice so many; and bytes of data that so many may have.
_MAX_WAITING = 256
_MAX_BYTES = 2**27

_SECONDS_TO_END = 1.0  # that a search waits for its threads when it is left

_thread = threading.local()


def current_backend(job: Job) -> BatchingBackend | None:
    """The backend that batches this thread's fit, if it is one that is trained sooner in company."""
    backend = getattr(_thread, "backend", None)
    return backend if backend is not None and cohorts.is_batchable(job) else None


def check_search() -> None:
    """End this thread's fit if the search that it is for has been left."""
    backend = getattr(_thread, "backend", None)
    if backend is not None and backend._is_cancelled:
        raise _SearchCancelled


class _WaitingFit:
    """A fit that waits."""

    def __init__(self, coroutine: FitCoroutine, member: CohortMember) -> None:
        self.coroutine, self.member = coroutine, member
        self.end: Array | BaseException | None = None
        self.ready = threading.Lock()  # held until the fit may go on
        self.ready.acquire()


class _SearchCancelled(BaseException):
    """A search has been left, by Ctrl-C or an error, and nobody waits for what a fit comes to."""


class BatchingBackend(ParallelBackendBase):
    """A backend of joblib's: tasks in threads, of which as many go on at a time as there are jobs.

    Whoever goes on has a turn. A thread that has done a task takes the next one; one whose task waits gives its turn to
    another. When all tasks that joblib has handed out wait, none of them would go on by itself any more, and they are
    trained. So what is trained together depends on no clock.

    Parameters
    ----------
    nbytes : int
        Bytes of the data that a fit has a part of.
    """

    supports_retrieve_callback = True
    supports_sharedmem = True
    uses_threads = True

    def __init__(self, nbytes: int) -> None:
        super().__init__(nesting_level=0)
        self._max_waiting = min(_MAX_WAITING, _MAX_BYTES // max(1, nbytes))
        self._search: Any = None  # joblib's `Parallel`
        self._outer: BatchingBackend | None = getattr(_thread, "backend", None)  # of the search whose task this one is
        self._is_open = self._is_left = False
        self._jobs = 1
        self._context = copy_context()
        self._lock = threading.Lock()  # for what follows
        self._free_threads = 1  # that nobody has
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()  # that have not begun
        self._unfinished = 0  # tasks that are not done
        self._is_idle = threading.Condition(self._lock)  # when there are none
        self._all_submitted = False  # whether no more come before one of them is done
        self._waiting: list[_WaitingFit] = []
        self._resumable: deque[_WaitingFit] = deque()  # who may go on, when there is a turn

    # ------------------------------------------------------------ what joblib asks for

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """The first who comes is the search; what else there is, as when the best estimator is fitted, waits for
        nobody.
        """
        self._jobs = self._free_threads = _thread_count(n_jobs)
        self.parallel = parallel
        if self._search is None:
            self._search, self._is_open = parallel, True
        return self.effective_n_jobs(n_jobs)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many tasks there may be at a time."""
        return max(_thread_count(n_jobs), self._max_waiting) if self._is_open else _thread_count(n_jobs)

    def terminate(self) -> None:
        """The search is over."""
        self._is_open = False

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Let those that wait go, and end what is trained. Threads that outlived the search would change the filters of
        warnings behind its caller's back, for scikit-learn sets them around each task, and sets them back; so they are
        waited for, but not for long: what is not this package's comes to its end by itself.
        """
        with self._lock:
            self._is_left = True
            self._unfinished -= len(self._tasks)
            self._tasks.clear()
            for fit in self._waiting:
                fit.end = _SearchCancelled()
            self._free_threads += len(self._waiting)  # none of them has anything to do
            self._resumable.extend(self._waiting)
            self._waiting = []
            self._schedule()
            self._is_idle.wait_for(lambda: not self._unfinished, _SECONDS_TO_END)

    @property
    def _is_cancelled(self) -> bool:
        """Whether nobody waits for the search any more, or for what it is a part of."""
        return self._is_left or (self._outer is not None and self._outer._is_cancelled)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future[Any]:
        """Begin a task, or have it wait for its turn."""
        future: Future[Any] = Future()
        if callback is not None:
            future.add_done_callback(callback)
        with self._lock:
            self._unfinished += 1
            self._tasks.append((func, future))
            self._schedule()
        return future

    def apply_async(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future[Any]:
        """What older versions of joblib call `submit`."""
        return self.submit(func, callback)

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The result of a task that is done."""
        return out.result()

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """From now on a task comes only when one is done."""
        with self._lock:
            self._all_submitted = True
            self._schedule()
        try:
            yield
        finally:
            self._all_submitted = False

    # ------------------------------------------------------------ turns; the lock is held

    def _schedule(self) -> None:
        """Let as many go on as there are turns: first those that were trained. Tasks begin when joblib has handed them
        out, which would only take turns with them.
        """
        while self._free_threads and (self._resumable or (self._tasks and self._all_submitted)):
            self._free_threads -= 1
            if self._resumable:
                self._resumable.popleft().ready.release()
            else:
                self._start_thread(self._run_tasks, *self._tasks.popleft())

    def _train_if_all_wait(self) -> None:
        """Train those who wait, if nobody else is to come."""
        if self._all_submitted and self._waiting and len(self._waiting) == self._unfinished:
            fits, self._waiting = self._waiting, []
            self._start_thread(self._train_cohorts, fits)

    # ------------------------------------------------------------ threads

    def _start_thread(self, work: Callable[..., None], *arguments: Any) -> None:
        """In the search's context, where the block of a `use_backend` holds."""
        run = self._context.copy().run
        threading.Thread(target=run, args=(work, *arguments), daemon=True, name="fastxor-search").start()

    def _run_tasks(self, *task: Any) -> None:
        """Do a task, and then others."""
        _thread.backend = self if self._is_open else None
        while task:
            self._run_task(*task)
            with self._lock:
                self._unfinished -= 1
                self._is_idle.notify_all()
                self._train_if_all_wait()
                if self._resumable or not self._tasks:
                    self._free_threads += 1
                    self._schedule()
                    return
                task = self._tasks.popleft()

    def _run_task(self, func: Callable[[], Any], future: Future[Any]) -> None:
        try:
            if self._is_cancelled:
                raise _SearchCancelled
            result = func()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)  # which hands out another task

    def train_batched(self, coroutine: FitCoroutine, member: CohortMember) -> Array:
        """Where the coroutine ends; meanwhile another task has this one's turn."""
        fit = _WaitingFit(coroutine, member)
        with self._lock:
            if self._is_cancelled:
                raise _SearchCancelled
            self._waiting.append(fit)
            self._train_if_all_wait()
            self._free_threads += 1
            self._schedule()
        fit.ready.acquire()
        if isinstance(fit.end, BaseException):
            raise fit.end
        assert fit.end is not None
        return fit.end

    def _train_cohorts(self, fits: list[_WaitingFit]) -> None:
        try:
            coroutines = [(fit.coroutine, fit.member) for fit in fits]
            ends: list[Any] = [*cohorts.train(coroutines, self._jobs, lambda: self._is_cancelled)]
        except BaseException as error:
            ends = [copy(error) for _fit in fits]  # each is raised by itself
        for fit, end in zip(fits, ends, strict=True):
            fit.end = _SearchCancelled() if end is None else end
        with self._lock:
            self._resumable.extend(fits)
            self._schedule()


def _thread_count(n_jobs: int | None) -> int:
    """How many that is."""
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 in Parallel has no meaning")
    if n_jobs is None:
        return 1
    return n_jobs if n_jobs > 0 else max(joblib.cpu_count() + 1 + n_jobs, 1)
