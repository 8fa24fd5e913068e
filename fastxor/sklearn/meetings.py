"""Where the fits of a search meet: each goes on in a thread of its own until its epochs begin, and waits there for the
others. Then those that suit each other are trained as populations, and every thread goes on with what it was to do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import copy
from typing import Any

import joblib
from joblib.parallel import ParallelBackendBase

from fastxor.sklearn import side_by_side
from fastxor.sklearn.side_by_side import Member
from fastxor.sklearn.solving import Course
from fastxor.state import Job
from fastxor.views import Array

# Fits that wait for each other, at most twice so many; and bytes of data that so many may have.
_SEATS = 256
_BYTES = 2**27

_thread = threading.local()


def here(job: Job) -> Meeting | None:
    """The meeting to which this thread's fit goes, if it is one that is trained sooner in company."""
    meeting = getattr(_thread, "meeting", None)
    return meeting if meeting is not None and side_by_side.suits(job) else None


class _Seat:
    """A fit that waits."""

    def __init__(self, course: Course, member: Member) -> None:
        self.course, self.member = course, member
        self.end: Array | BaseException | None = None
        self.ready = threading.Lock()  # held until the fit may go on
        self.ready.acquire()


class _Left(BaseException):
    """A search has been left, by Ctrl-C or an error, and nobody waits for what a fit comes to."""


class Meeting(ParallelBackendBase):
    """A backend of joblib's: tasks in threads, of which as many go on at a time as there are jobs.

    Whoever goes on has a turn. A thread that has done a task takes the next one; one whose task waits gives its turn to
    another. When all tasks that joblib has handed out wait, none of them would go on by itself any more, and they are
    trained. So what meets depends on no clock.

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
        self._seats = min(_SEATS, _BYTES // max(1, nbytes))
        self._search: Any = None  # joblib's `Parallel`
        self._is_open = self._is_left = False
        self._jobs = 1
        self._lock = threading.Lock()  # for what follows
        self._turns = 1  # that nobody has
        self._tasks: deque[tuple[Callable[[], Any], Future[Any]]] = deque()  # that have not begun
        self._out = 0  # tasks that are not done
        self._all_out = False  # whether no more come before one of them is done
        self._waiting: list[_Seat] = []
        self._trained: deque[_Seat] = deque()  # who may go on, when there is a turn

    # ------------------------------------------------------------ what joblib asks for

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """The first who comes is the search; what else there is, as when the best estimator is fitted, has no seats."""
        self._jobs = self._turns = _count(n_jobs)
        self.parallel = parallel
        if self._search is None:
            self._search, self._is_open = parallel, True
        return self.effective_n_jobs(n_jobs)

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many tasks there may be at a time."""
        return max(_count(n_jobs), self._seats) if self._is_open else _count(n_jobs)

    def terminate(self) -> None:
        """The search is over."""
        self._is_open = False

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Let those that wait go, and end what is trained; what goes on by itself comes to its end."""
        with self._lock:
            self._is_left = True
            for seat in self._waiting:
                seat.end = _Left()
            self._trained.extend(self._waiting)
            self._waiting = []
            self._go_on()

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any] | None = None) -> Future[Any]:
        """Begin a task, or have it wait for its turn."""
        future: Future[Any] = Future()
        if callback is not None:
            future.add_done_callback(callback)
        with self._lock:
            self._out += 1
            self._tasks.append((func, future))
            self._go_on()
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
            self._all_out = True
            self._go_on()
        try:
            yield
        finally:
            self._all_out = False

    # ------------------------------------------------------------ turns; the lock is held

    def _go_on(self) -> None:
        """Let as many go on as there are turns: first those that were trained. Tasks begin when joblib has handed them
        out, which would only take turns with them.
        """
        while self._turns and (self._trained or (self._tasks and self._all_out)):
            self._turns -= 1
            if self._trained:
                self._trained.popleft().ready.release()
            else:
                _start(self._work, *self._tasks.popleft())

    def _begin(self) -> None:
        """Train those who wait, if nobody else is to come."""
        if self._all_out and self._waiting and len(self._waiting) == self._out:
            seats, self._waiting = self._waiting, []
            _start(self._train, seats)

    # ------------------------------------------------------------ threads

    def _work(self, *task: Any) -> None:
        """Do a task, and then others."""
        _thread.meeting = self if self._is_open else None
        while task:
            self._do(*task)
            with self._lock:
                self._out -= 1
                self._begin()
                if self._trained or not self._tasks:
                    self._turns += 1
                    self._go_on()
                    return
                task = self._tasks.popleft()

    def _do(self, func: Callable[[], Any], future: Future[Any]) -> None:
        try:
            if self._is_left:
                raise _Left
            result = func()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)  # which hands out another task

    def attend(self, course: Course, member: Member) -> Array:
        """Where the course ends; meanwhile another task has this one's turn."""
        seat = _Seat(course, member)
        with self._lock:
            if self._is_left:
                raise _Left
            self._waiting.append(seat)
            self._begin()
            self._turns += 1
            self._go_on()
        seat.ready.acquire()
        if isinstance(seat.end, BaseException):
            raise seat.end
        assert seat.end is not None
        return seat.end

    def _train(self, seats: list[_Seat]) -> None:
        try:
            courses = [(seat.course, seat.member) for seat in seats]
            ends: list[Any] = [*side_by_side.train(courses, self._jobs, lambda: self._is_left)]
        except BaseException as error:
            ends = [copy(error) for _seat in seats]  # each is raised by itself
        for seat, end in zip(seats, ends, strict=True):
            seat.end = _Left() if end is None else end
        with self._lock:
            self._trained.extend(seats)
            self._go_on()


def _start(work: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=work, args=arguments, daemon=True, name="fastxor-search").start()


def _count(n_jobs: int | None) -> int:
    """How many that is."""
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 in Parallel has no meaning")
    if n_jobs is None:
        return 1
    return n_jobs if n_jobs > 0 else max(joblib.cpu_count() + 1 + n_jobs, 1)
