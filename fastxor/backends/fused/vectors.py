"""Whole vectors of `work`, such as the parameters: `n` numbers from an offset on, padded to whole registers."""

from .simd import full, get, lanes, load, put, store, sum_lanes
from .tracing import cond, fori_loop, steps, traced_inline


@traced_inline
def fill(work, at, n, value):
    for i in steps(at, at + n, lanes(work)):
        store(work, i, value)


@traced_inline
def copy(work, to, start, n):
    for i in steps(0, n, lanes(work)):
        store(work, to + i, load(work, start + i))


@traced_inline
def copy_in(work, to, there, n):
    """The n numbers of another array, which is not padded."""
    whole = n // lanes(work) * lanes(work)
    for i in steps(0, whole, lanes(work)):
        store(work, to + i, load(there, i))
    for i in steps(whole, n):
        put(work, to + i, get(there, i))


@traced_inline
def copy_out(there, to, work, start, n):
    """From `work` to another array."""
    for i in steps(0, n, lanes(work)):
        store(there, to + i, load(work, start + i))


@traced_inline
def add(work, to, more, n):
    for i in steps(0, n, lanes(work)):
        store(work, to + i, load(work, to + i) + load(work, more + i))


@traced_inline
def all_finite(work, at, n):
    V = lanes(work)

    def pair(i, sums):  # x - x is 0 for every number, NaN for NaN and infinity; two sums that need not wait
        even, odd = sums
        x, y = load(work, i), load(work, i + V)
        return even + (x - x), odd + (y - y)

    def last(odd):
        x = load(work, at + n - V)
        return odd + (x - x)

    none = full(work, 0.0)
    even, odd = fori_loop(at, at + n - V, 2 * V, pair, (none, none))
    return sum_lanes(even + cond(n % (2 * V) > 0, lambda: last(odd), lambda: odd)) == 0.0
