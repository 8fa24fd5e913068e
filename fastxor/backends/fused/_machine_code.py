"""A compiled kernel as bytes, and back: the one thing for which Numba has no public interface.

This relies on the methods with which Numba's own cache writes and reads the result of a compilation,
`CompileResultCacheImpl.reduce` and `rebuild`, and on how it pickles them. They have been the same in all releases from
0.61 to 0.68. Where they are missing or do something else, the cache takes the exception for a kernel that could not be
saved or loaded: everything works as before, but is compiled in every process anew.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any


def to_bytes(dispatcher: Any) -> bytes:
    """What a dispatcher has compiled, for one signature."""
    from numba.core.caching import CompileResultCacheImpl
    from numba.core.serialize import dumps

    (result,) = dispatcher.overloads.values()
    return dumps(CompileResultCacheImpl.reduce(None, result))


def from_bytes(data: bytes) -> Callable:
    """The machine code, ready to be called.

    Numba would first look through all that it can compile, which takes longer than the rest: it does so when it is to
    compile something. No kernel needs its memory manager, which is started there, too.
    """
    from numba.core.caching import CompileResultCacheImpl
    from numba.core.registry import cpu_target

    context = cpu_target.target_context
    return CompileResultCacheImpl.rebuild(None, context, pickle.loads(data)).entry_point
