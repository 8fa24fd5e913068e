"""The three matrix products of a dense layer, on one tile of samples.

A tile is a block of rows, one for each neuron, of T samples that lie side by side. Forward, backward and the gradient
of large layers are one product, `_multiply`, of a matrix M whose numbers are broadcast one by one and a
matrix B whose rows are read in whole vectors. It is built from blocks of `BLOCK_ROWS` x 2 vectors, whose sums stay in
registers from the first term to the last; what does not fill a block is done by blocks of `HALF_BLOCK_ROWS` rows, of
one row, or of one vector.

All offsets are positions in `work`.
"""

from functools import partial
from math import inf

from .choices import BLOCK_COLUMNS, BLOCK_ROWS, HALF_BLOCK_ROWS, TRANSPOSE_FMA_EIGHTHS, WEIGHT_PANEL_BYTES
from .elementwise import RELU, TANH
from .simd import (
    full,
    lanes,
    load,
    scratch,
    store,
    sum_lanes,
    tile_add,
    tile_check,
    tile_derive_relu,
    tile_derive_tanh,
    tile_fill,
    tile_inner,
    tile_outer,
    tile_scale,
    tile_store,
    tile_store_from,
    tile_store_part,
    tile_sum,
    tile_zeros,
    transpose,
)
from .tracing import cond, fori_loop, steps, switch, traced, traced_inline
from .vmath import tanh


@traced_inline
def fuses_activation(code):
    """Whether the products apply the activation with this code, and its derivative, themselves."""
    return (code == TANH) | (code == RELU)


@traced
def forward(work, T, w, b, n_out, n_in, a, z, code):
    """Z = W A + b: rows (n_out, T) at z from rows (n_in, T) at a; or the value there of an activation with that code,
    where `fuses_activation` says so.

    relu is applied in the registers, tanh while a few columns of all rows are in the first-level cache.

    Many arguments: see tracing.py.
    """
    _forward(work, T, w, b, n_out, n_in, work, a, T, z, code)


@traced
def forward_from(work, T, w, b, n_out, n_in, source, a, stride, z, code):
    """The same from rows in another array, at `a` and each `stride` further. Returns whether W A + b is finite, which
    it is in no sample that has a number in A that is not.

    Many arguments: see tracing.py.
    """
    bad = scratch(work, lanes(work))
    store(bad, 0, 0.0)
    _forward(work, T, w, b, n_out, n_in, source, a, stride, z, code, lambda tile: tile_check(tile, bad, 0))
    return sum_lanes(load(bad, 0)) == 0.0


def _forward(work, T, w, b, n_out, n_in, source, a, stride, z, code, inspect=lambda tile: None):
    """Both of them; ``inspect(tile)`` at each block of W A + b.

    Many arguments: see tracing.py.
    """

    def block(r, s, size, vectors):
        start = tile_fill(work, b + r, size, vectors)
        tile = _product(start, work, w + r * n_in, n_in, 1, n_in, source, a + s, stride)
        inspect(tile)
        tile_store_from(tile, least, work, z + r * T + s, T)

    def finish(r, s, rows, vectors):
        cond(code == TANH, lambda: _tanh(work, z + r * T + s, rows, T, vectors))

    least = cond(code == RELU, lambda: full(work, 0.0), lambda: full(work, -inf))  # a branch in a block would cost more
    _in_blocks(work, n_out, T, n_in, block, finish)


@traced
def backward(work, T, w, n_out, n_in, rows, d, slope, to, code):
    """W^T D times the derivatives at `slope`, or those of the activation with this code whose values stand there, where
    `fuses_activation` says so; result at `to`, perhaps the same place.

    They are `rows` of the n_in that there are, whose weights (n_out, n_in) have their first column at w.

    Many arguments: see tracing.py.
    """

    def block(r, s, size, vectors):
        tile = _product(tile_zeros(work, size, vectors), work, w + r, 1, n_in, n_out, work, d + s, T)
        row = r * T + s
        kinds = {TANH: tile_derive_tanh, RELU: tile_derive_relu}
        kinds = {number: partial(derive, tile, work, to + row, slope + row, T) for number, derive in kinds.items()}
        switch(code, kinds, lambda: tile_scale(tile, work, to + row, slope + row, T))

    _in_blocks(work, rows, T, n_out, block)


@traced
def backward_out(work, columns, w, n_out, n_in, d, T, out, at, samples, count):
    """W^T D, whose first `count` columns go to the array `out`, (n_in, samples) from `at` on. Returns whether they
    are finite. `columns` are as many, rounded up to whole vectors.

    Many arguments: see tracing.py.
    """
    bad = scratch(work, lanes(work))
    store(bad, 0, 0.0)

    def block(r, s, size, vectors):
        tile = _product(tile_zeros(work, size, vectors), work, w + r, 1, n_in, n_out, work, d + s, T)
        to, left = at + r * samples + s, count - s
        whole = left >= vectors * lanes(work)
        cond(whole, lambda: tile_store(tile, out, to, samples), lambda: tile_store_part(tile, out, to, samples, left))
        tile_check(tile, bad, 0)

    _in_blocks(work, n_in, columns, n_out, block)
    return sum_lanes(load(bad, 0)) == 0.0


def _in_blocks(work, rows, columns, terms, block, finish=None):
    """Call ``block(row, column, number of rows, of vectors)`` for a grid of blocks, and
    ``finish(row, column, number of rows, of vectors)`` at the end of a column of them.

    Columns go by two vectors, then by one. Each of them goes through as many rows as have their part of M, of so many
    terms a row, in the second-level cache.
    """
    V, size = lanes(work), work.dtype.itemsize
    group = BLOCK_ROWS + WEIGHT_PANEL_BYTES // size // terms // BLOCK_ROWS * BLOCK_ROWS
    pairs = columns // (2 * V) * 2 * V
    for g in steps(0, rows, group):
        count = cond(rows - g < group, lambda g=g: rows - g, lambda: group)
        whole, half = _blocks(count)
        for s in steps(0, pairs, 2 * V):
            for r in steps(g, g + whole, BLOCK_ROWS):
                block(r, s, BLOCK_ROWS, 2)
            for r in steps(g + whole, g + half, HALF_BLOCK_ROWS):
                block(r, s, HALF_BLOCK_ROWS, 2)
            for r in steps(g + half, g + count):
                block(r, s, 1, 2)
            if finish:
                finish(g, s, count, 2)
        whole = count // BLOCK_ROWS * BLOCK_ROWS
        for s in steps(pairs, columns, V):
            for r in steps(g, g + whole, BLOCK_ROWS):
                block(r, s, BLOCK_ROWS, 1)
            for r in steps(g + whole, g + count):
                block(r, s, 1, 1)
            if finish:
                finish(g, s, count, 1)


def _blocks(rows):
    """Where the blocks of `BLOCK_ROWS` rows end, and those of `HALF_BLOCK_ROWS`.

    The last one of the former is given up where that leaves fewer single rows: 8 rows are 4 + 4, not 6 + 1 + 1.
    """
    whole = rows // BLOCK_ROWS * BLOCK_ROWS
    if 2 * HALF_BLOCK_ROWS > BLOCK_ROWS:
        rest = rows - whole
        fits = (rest >= 2 * HALF_BLOCK_ROWS - BLOCK_ROWS) & (rest < HALF_BLOCK_ROWS) & (rows >= 2 * HALF_BLOCK_ROWS)
        whole = cond(fits, lambda: whole - BLOCK_ROWS, lambda: whole)
    return whole, whole + (rows - whole) // HALF_BLOCK_ROWS * HALF_BLOCK_ROWS


@traced
def _tanh(work, at, rows, stride, vectors):
    """The tanh of so many vectors of every row."""
    for i in steps(at, at + rows * stride, stride):
        for j in steps(i, i + vectors * lanes(work), lanes(work)):
            store(work, j, tanh(load(work, j)))


def _product(tile, work, m, row, col, n, there, b, stride):
    """tile + M B, for the rows of the tile: M[i, k] = work[m + i * row + k * col], and B has n rows in `there` at b.

    Many arguments: see tracing.py.
    """

    def term(_k, state):
        tile, m, b = state
        return tile_outer(tile, work, m, row, there, b), m + col, b + stride

    return fori_loop(0, n, 1, term, (tile, m, b))[0]


@traced
def prefers_columns(work, T, n_out, n_in):
    """How to make the gradient of a layer's weights: by columns, or by sums. The estimates count vector operations: of
    the multiply-adds, and of what comes on top. What is known of one caller alone, as whether A^T is there, must not
    count: the bits depend on the choice.
    """
    V = lanes(work)
    vectors = (n_in + V - 1) // V
    return n_out * (vectors * T + T // V) + n_in * T * TRANSPOSE_FMA_EIGHTHS // 8 < n_out * n_in * (T // V + 1)


@traced
def gradient(work, T, count, gw, gb, n_out, n_in, d, a, columns, transposed, scratch):
    """D A^T, the weights' gradient (n_out, n_in), to gw, and the sums of D's rows, the biases', to gb. D is 0 for all
    but `count` samples.

    Either each of its numbers is the sum of the lanes of a register, or, with `columns`, the lanes are columns of A^T,
    (T, n_in padded to whole vectors). That is at `transposed`, or made at `scratch` if `transposed` is -1.

    Many arguments: see tracing.py.
    """
    V = lanes(work)
    vectors = (n_in + V - 1) // V

    def transpose_all():
        for k in steps(0, n_in, V):
            for s in steps(0, T, V):
                transpose_block(work, a + k * T + s, T, scratch + s * vectors * V + k, vectors * V)
        return scratch

    def by_columns():
        at = cond(transposed < 0, transpose_all, lambda: transposed)
        _gradient_by_columns(work, T, count, gw, gb, n_out, n_in, vectors * V, d, at)

    cond(columns, by_columns, lambda: _gradient_by_sums(work, T, gw, gb, n_out, n_in, d, a))


@traced
def transpose_block(work, i, stride, j, other):
    """The rows of a square of as many rows as lanes become columns."""
    transpose(work, i, stride, work, j, other)


def _gradient_by_columns(work, T, count, gw, gb, n_out, n_in, width, d, transposed):
    """What stands in the columns of A^T past n_in is of no account: no more than n_in of a row are stored.

    Many arguments: see tracing.py.
    """

    def block(r, s, size, vectors):
        tile = _product(tile_zeros(work, size, vectors), work, d + r * T, T, 1, count, work, transposed + s, width)
        to = gw + r * n_in + s
        if vectors == 1:
            tile_store_part(tile, work, to, n_in, n_in - s)
        else:
            tile_store(tile, work, to, n_in)

    _in_blocks(work, n_out, n_in, T, block)
    for size, start, stop in _four_rows_at_a_time(n_out):
        for r in steps(start, stop, size):
            tile_sum(_row_sums(work, size, T, d + r * T), work, gb + r, 1)


def _four_rows_at_a_time(rows):
    """(size, start, stop): the rows in fours, and those that are left one by one."""
    fours = rows // 4 * 4
    return (4, 0, fours), (1, fours, rows)


def _row_sums(work, size, T, d):
    """A tile of sums over the samples of so many rows."""
    return fori_loop(0, T, lanes(work), lambda s, sums: tile_add(sums, work, d + s, T), tile_zeros(work, size, 1))


def _gradient_by_sums(work, T, gw, gb, n_out, n_in, d, a):
    for size, start, stop in _four_rows_at_a_time(n_out):
        for r in steps(start, stop, size):
            _gradient_rows(size, work, T, gw + r * n_in, gb + r, n_in, d + r * T, a)


def _gradient_rows(size, work, T, gw, gb, n_in, d, a):
    """So many rows of the gradient."""

    def first_columns():  # the biases' sums come along: additions have pipes of their own
        def samples(s, state):
            tile, sums = state
            return tile_inner(tile, work, d + s, T, work, a + s, T), tile_add(sums, work, d + s, T)

        start = tile_zeros(work, size, BLOCK_COLUMNS), tile_zeros(work, size, 1)
        tile, sums = fori_loop(0, T, lanes(work), samples, start)
        tile_sum(tile, work, gw, n_in)
        return sums

    tile_sum(cond(n_in >= BLOCK_COLUMNS, first_columns, lambda: _row_sums(work, size, T, d)), work, gb, 1)
    whole = n_in // BLOCK_COLUMNS * BLOCK_COLUMNS
    for c in steps(BLOCK_COLUMNS, whole, BLOCK_COLUMNS):
        tile_sum(_inner_product(tile_zeros(work, size, BLOCK_COLUMNS), work, T, d, a + c * T), work, gw + c, n_in)
    for c in steps(whole, n_in):
        tile_sum(_inner_product(tile_zeros(work, size, 1), work, T, d, a + c * T), work, gw + c, n_in)


def _inner_product(tile, work, T, d, a):
    return fori_loop(0, T, lanes(work), lambda s, sums: tile_inner(sums, work, d + s, T, work, a + s, T), tile)
