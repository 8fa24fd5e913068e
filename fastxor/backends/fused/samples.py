"""Samples between the caller's arrays and the tiles of the workspace."""

from . import dense
from ._jit import kernel
from .choices import PREFETCH_SAMPLES
from .simd import get, lanes, load, load_part, prefetch, put, store, transpose_from
from .tracing import cond, steps, traced, traced_inline
from .workspace import DEPTH, LAYERS, ROWS, SAMPLES, STRIDE, TARGET, TILE, TRANSPOSE_SCRATCH, WEIGHT, WIDTH


@kernel("void(int64[::1], T[::1], T[::1], T[::1], int64, int64)")
def fetch(plan, work, X, Y, by_sample, samples):
    """Put all samples into the tile, which has room for them, for whoever begins without the engine."""
    T = plan[WIDTH]
    n, last = plan[LAYERS + ROWS], LAYERS + STRIDE * plan[DEPTH]
    to, target, kept, spill = plan[LAYERS + TILE], plan[TARGET], plan[SAMPLES], plan[TRANSPOSE_SCRATCH]
    n_out = plan[last + ROWS]
    load_rows(work, T, X, by_sample & 1, samples, n, 0, n, to, plan, False, 0, samples, kept, spill)
    load_rows(work, T, Y, by_sample & 2, samples, n_out, 0, n_out, target, plan, False, 0, samples, kept, spill)
    weigh(work, T, plan[WEIGHT], samples, samples)


@traced
def load_rows(
    work, T, source, by_sample, samples, n, first, stop, to, order, shuffled, start, count, transposed, spill
):
    """Copy rows `first` to `stop` of `count` samples of a matrix (n, samples), or (samples, n) with `by_sample`, into a
    tile; the last sample again and again follows, for what overflows in no sample must not do so in the padding.

    In the second case they stay at `transposed`, too, one after the other, unless that is -1; and `first` is a multiple
    of the lanes.

    Many arguments: see tracing.py.
    """
    V = lanes(work)
    whole = count // V * V

    def rows():
        for r in steps(first, stop):
            row, line = r * samples, to + r * T

            def gather(row=row, line=line):
                for s in steps(0, count):
                    place = row + get(order, start + s)
                    prefetch(source, place + samples)  # of the next row, which is far from this one
                    put(work, line + s, get(source, place))

            def copy(row=row, line=line):
                for s in steps(0, whole, V):
                    store(work, line + s, load(source, row + start + s))
                for s in steps(whole, T, V):
                    store(work, line + s, load_part(source, row + start + s, count - s))

            cond(shuffled, gather, copy)
            last = get(work, line + count - 1)
            for s in steps(count, T):
                put(work, line + s, last)

    def number(i):
        """Of the tile's sample i among all."""
        sample = start + cond(i < count, lambda: i, lambda: count - 1)
        return cond(shuffled, lambda: get(order, sample), lambda: sample)

    def by_samples():
        cond(
            transposed < 0,
            lambda: _turn_samples(work, T, source, n, first, stop, to, number),
            lambda: _load_samples(work, T, source, n, first, stop, to, number, transposed, spill),
        )

    cond(by_sample > 0, by_samples, rows)


def _turn_samples(work, T, source, n, first, stop, to, number):
    """As many samples as lanes at a time go into the tile as rows; ``number(i)`` says which is its sample i.

    The last square overlaps the one before; of fewer rows than a square has, numbers go one by one.

    Many arguments: see tracing.py.
    """
    V = lanes(work)

    def squares():
        for s in steps(0, T, V):
            samples = [number(s + i) * n for i in range(V)]
            coming = [number(s + i + V) * n for i in range(V)]

            def square(k, s=s, samples=samples, coming=coming):
                for sample in coming:  # samples in a shuffled order are foreseen by no processor
                    prefetch(source, sample + k)
                transpose_from(source, [sample + k for sample in samples], work, to + k * T + s, T)

            for k in steps(first, stop - V + 1, V):
                square(k)
            cond((stop - first) % V > 0, lambda: square(stop - V))

    def one_by_one():
        for s in steps(0, T):
            sample = number(s) * n
            for k in steps(first, stop):
                put(work, to + k * T + s, get(source, sample + k))

    cond(stop - first < V, one_by_one, squares)


def _load_samples(work, T, source, n, first, stop, to, number, transposed, spill):
    """The same by way of `transposed`.

    Many arguments: see tracing.py.
    """
    V = lanes(work)
    whole = first + (stop - first) // V * V
    width = (n + V - 1) // V * V

    for s in steps(0, T, V):
        for i in steps(s, s + V):
            sample, coming, line = number(i), number(i + PREFETCH_SAMPLES), transposed + i * width
            for k in steps(first, whole, V):
                prefetch(source, coming * n + k)  # samples in a shuffled order are foreseen by no processor
                store(work, line + k, load(source, sample * n + k))

            def rest(line=line, sample=sample):
                store(work, line + whole, load_part(source, sample * n + whole, stop - whole))

            cond(whole < stop, rest)
        for k in steps(first, whole, V):
            dense.transpose_block(work, transposed + s * width + k, width, to + k * T + s, T)

        def odd(s=s):  # what else a square would hold is not this tile's
            dense.transpose_block(work, transposed + s * width + whole, width, spill, V)
            for r in steps(0, stop - whole):
                store(work, to + (whole + r) * T + s, load(work, spill + r * V))

        cond(whole < stop, odd)


@traced
def store_rows(work, T, to, samples, n, source, start, count):
    """The way back, for samples in their own order."""
    V = lanes(work)
    whole = count // V * V
    for r in steps(0, n):
        row, line = start + r * samples, source + r * T
        for s in steps(0, whole, V):
            store(to, row + s, load(work, line + s))
        for s in steps(whole, count):
            put(to, row + s, get(work, line + s))


@traced_inline
def weigh(work, T, weight, count, size):
    """The row of what each sample's loss is multiplied by: all alike, 0 for padding."""
    share = 1.0 / size
    for s in steps(0, T, lanes(work)):
        store(work, weight + s, share)
    for s in steps(count, T):
        put(work, weight + s, 0.0)


@traced
def weigh_each(work, weight, count, weights, order, shuffled, start):
    """That row times the samples' own weights."""
    for s in steps(0, count):
        sample = cond(shuffled, lambda s=s: get(order, start + s), lambda s=s: start + s)
        put(work, weight + s, get(work, weight + s) * get(weights, sample))
