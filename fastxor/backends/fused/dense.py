"""The three matrix products of a dense layer, on one tile of samples.

A tile is a block of rows, one for each neuron, of T samples that lie side by side. Forward, backward and the gradient
of large layers are one product, `_product`, of a matrix M whose numbers are broadcast one by one and a
matrix B whose rows are read in whole vectors. It is built from blocks of `ROWS` x 2 vectors, whose sums stay
in registers from the first term to the last; what does not fill a block is done by blocks of `HALF` the rows, of one
row, or of one vector.

All offsets are positions in `work`.
"""

from ._jit import REGISTERS, called, inlined
from .simd import (
    lanes,
    load,
    store,
    tile_add,
    tile_derive_tanh,
    tile_fill,
    tile_inner,
    tile_outer,
    tile_scale,
    tile_store,
    tile_store_part,
    tile_sum,
    tile_zeros,
    transpose,
)
from .vmath import tanh

ROWS = 8 if REGISTERS >= 32 else 4  # of a block: rows x 2 sums, 2 vectors of B and a number of M want a register each
HALF = ROWS // 2
COLUMNS = 4 if REGISTERS >= 32 else 2  # of a block of `_inner`: 4 x COLUMNS sums and COLUMNS + 1 vectors


@inlined
def forward(work, T, w, b, n_out, n_in, a, z, is_tanh):
    """Z = W A + b, or its tanh: rows (n_out, T) at z from rows (n_in, T) at a."""
    _multiply(work, n_out, T, n_in, w, n_in, 1, a, T, z, T, ADD_TANH if is_tanh else ADD, b)


@inlined
def backward(work, T, w, n_out, n_in, d, a, is_tanh):
    """Rows (n_in, T) at a, which hold derivatives or, with `is_tanh`, its values, become W^T D times the former."""
    _multiply(work, n_in, T, n_out, w, 1, n_in, d, T, a, T, DERIVE if is_tanh else SCALE, 0)


# What becomes of a product.
SCALE, DERIVE, STORE, ADD, ADD_TANH = 0, 1, 2, 3, 4


@called
def _multiply(work, rows, columns, n, m, row, col, b, stride, to, to_stride, how, bias):
    """M B to the rows at `to`.

    M is (rows, n) with M[i, k] = work[m + i * row + k * col]. B has n rows at b. Each number of the product is
    stored, or added to its row's number at `bias`, or scales what stands in its place or the tanh's derivative there.
    The commonest activation is applied at once, while a few columns of all rows are in the first-level cache. What
    does not fill two vectors of columns, which no tile of samples has, is only stored.
    """
    V = lanes(work)
    s = 0
    while s < columns:
        r = 0
        if s + 2 * V <= columns:
            while r + ROWS <= rows:
                _block(tile_zeros(work, ROWS, 2), work, r, m, row, col, n, b + s, stride, to + s, to_stride, how, bias)
                r += ROWS
            if r + HALF <= rows:
                _block(tile_zeros(work, HALF, 2), work, r, m, row, col, n, b + s, stride, to + s, to_stride, how, bias)
                r += HALF
            while r < rows:
                _block(tile_zeros(work, 1, 2), work, r, m, row, col, n, b + s, stride, to + s, to_stride, how, bias)
                r += 1
            if how == ADD_TANH:
                _tanh(work, to + s, rows, to_stride)
            s += 2 * V
        else:
            while r + ROWS <= rows:
                tile = _product(tile_zeros(work, ROWS, 1), work, m + r * row, row, col, n, b + s, stride)
                tile_store_part(tile, work, to + s + r * to_stride, to_stride, columns - s)
                r += ROWS
            while r < rows:
                line = _product(tile_zeros(work, 1, 1), work, m + r * row, row, col, n, b + s, stride)
                tile_store_part(line, work, to + s + r * to_stride, to_stride, columns - s)
                r += 1
            s += V


@called
def _tanh(work, at, rows, stride):
    """The tanh of two vectors of every row."""
    V = lanes(work)
    for i in range(at, at + rows * stride, stride):
        store(work, i, tanh(load(work, i)))
        store(work, i + V, tanh(load(work, i + V)))


@inlined
def _block(tile, work, r, m, row, col, n, b, stride, to, to_stride, how, bias):
    """The rows of M B from r on, as many as the tile has; its zeros say its size."""
    if how >= ADD:
        tile = tile_fill(tile, work, bias + r)
    tile = _product(tile, work, m + r * row, row, col, n, b, stride)
    to += r * to_stride
    if how >= STORE:
        tile_store(tile, work, to, to_stride)
    elif how == SCALE:
        tile_scale(tile, work, to, to_stride)
    else:
        tile_derive_tanh(tile, work, to, to_stride)


@inlined
def _product(tile, work, m, row, col, n, b, stride):
    """tile += M B"""
    for _k in range(n):
        tile = tile_outer(tile, work, m, row, work, b)
        m += col
        b += stride
    return tile


@inlined
def gradient(work, T, gw, gb, n_out, n_in, d, a, turned, scratch):
    """D A^T, the weights' gradient (n_out, n_in), to gw, and the sums of D's rows, the biases', to gb.

    Either each of its numbers is the sum of the lanes of a register, or the lanes are columns of A^T, (T, n_in padded
    to whole vectors). That is at `turned`, or made at `scratch` if `turned` is -1; the choice does not depend on it,
    for the bits must not. The estimates count vector operations: of the multiply-adds, and of what comes on top.
    """
    V = lanes(work)
    vectors = (n_in + V - 1) // V
    if n_out * (vectors * T + T // V) + n_in * T * 3 // 8 < n_out * n_in * (T // V + 1):
        if turned < 0:
            turned = scratch
            for k in range(0, n_in, V):
                for s in range(0, T, V):
                    turn(work, a + k * T + s, T, turned + s * vectors * V + k, vectors * V)
        _gradient_by_columns(work, T, gw, gb, n_out, n_in, vectors * V, d, turned)
    else:
        _gradient_by_sums(work, T, gw, gb, n_out, n_in, d, a)


@called
def turn(work, i, stride, j, other):
    """The rows of a square of as many rows as lanes become columns."""
    transpose(work, i, stride, j, other)


@inlined
def _gradient_by_columns(work, T, gw, gb, n_out, n_in, width, d, turned):
    """What stands in the columns of A^T past n_in is of no account."""
    _multiply(work, n_out, n_in, T, d, T, 1, turned, width, gw, n_in, STORE, 0)
    r = 0
    while r + 4 <= n_out:
        tile_sum(_add_up(tile_zeros(work, 4, 1), work, T, d + r * T), work, gb + r, 1)
        r += 4
    while r < n_out:
        tile_sum(_add_up(tile_zeros(work, 1, 1), work, T, d + r * T), work, gb + r, 1)
        r += 1


@inlined
def _add_up(tile, work, T, d):
    for s in range(0, T, lanes(work)):
        tile = tile_add(tile, work, d + s, T)
    return tile


@inlined
def _gradient_by_sums(work, T, gw, gb, n_out, n_in, d, a):
    r = 0
    while r + 4 <= n_out:
        _gradient_rows(tile_zeros(work, 4, COLUMNS), tile_zeros(work, 4, 1), work, T, r, gw, gb, n_in, d, a)
        r += 4
    while r < n_out:
        _gradient_rows(tile_zeros(work, 1, COLUMNS), tile_zeros(work, 1, 1), work, T, r, gw, gb, n_in, d, a)
        r += 1


@inlined
def _gradient_rows(block, column, work, T, r, gw, gb, n_in, d, a):
    """The rows from r on, as many as the tiles have."""
    V = lanes(work)
    gw += r * n_in
    d += r * T
    sums = column
    c = 0
    if n_in >= COLUMNS:  # the biases' sums come along: additions have pipes of their own
        tile = block
        for s in range(0, T, V):
            tile = tile_inner(tile, work, d + s, T, work, a + s, T)
            sums = tile_add(sums, work, d + s, T)
        tile_sum(tile, work, gw, n_in)
        c += COLUMNS
    else:
        sums = _add_up(column, work, T, d)
    tile_sum(sums, work, gb + r, 1)
    while c + COLUMNS <= n_in:
        tile_sum(_inner(block, work, T, d, a + c * T), work, gw + c, n_in)
        c += COLUMNS
    while c < n_in:
        tile_sum(_inner(column, work, T, d, a + c * T), work, gw + c, n_in)
        c += 1


@inlined
def _inner(tile, work, T, d, a):
    for s in range(0, T, lanes(work)):
        tile = tile_inner(tile, work, d + s, T, work, a + s, T)
    return tile
