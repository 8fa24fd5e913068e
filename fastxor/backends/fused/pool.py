"""Workspaces that calls leave for the next ones of their kind: to have new memory, and its pages, takes its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

import numpy as np

from . import choices


class _HasWork(Protocol):
    work: np.ndarray


Buffers = TypeVar("Buffers", bound=_HasWork)


class Shelf(Generic[Buffers]):
    """Buffers of a kind that no call is using: of small ones as many as were in use at once, of large ones the last.

    To take some away, or to give them back, is atomic: they serve one call at a time, many in turn, in any thread.
    """

    __slots__ = ("_large", "_make", "_small", "give")

    def __init__(self, make: Callable[[], Buffers], large: deque[tuple[Shelf[Buffers], Buffers]]) -> None:
        self._make, self._small, self._large = make, list[Buffers](), large
        self.give: Callable[[Buffers], object] = self._small.append

    def take(self) -> Buffers:
        """Some of them, or new ones."""
        try:
            return self._small.pop()
        except IndexError:
            return self._large_or_new()

    def _large_or_new(self) -> Buffers:
        with suppress(IndexError):
            shelf, buffers = self._large.pop()
            if shelf is self:
                return buffers
            self._large.append((shelf, buffers))
        buffers = self._make()
        if buffers.work.nbytes > choices.MAX_RETAINED_WORKSPACE_BYTES:
            self.give = lambda buffers: None
        elif buffers.work.nbytes > choices.MAX_POOLED_WORKSPACE_BYTES:
            self.give = lambda buffers: self._large.append((self, buffers))
        return buffers


class Pool(Generic[Buffers]):
    """The shelves of the kinds that were used last; one alone has something large on it.

    Parameters
    ----------
    make : callable
        Makes buffers of a kind, from what it consists of.
    """

    def __init__(self, make: Callable[..., Buffers]) -> None:
        large: deque[tuple[Shelf[Buffers], Buffers]] = deque(maxlen=1)

        @lru_cache(maxsize=32)
        def shelf(*kind: Hashable) -> Shelf[Buffers]:
            return Shelf(lambda: make(*kind), large)

        self.shelf, self._large = shelf, large

    def clear(self) -> None:
        """Keep nothing."""
        self.shelf.cache_clear()
        self._large.clear()
