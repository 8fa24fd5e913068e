"""The three matrix products of a dense layer, on one tile of samples.

A tile is a block of rows, one for each neuron, of T samples that lie side by side. Each product
is built from blocks of 4 neurons x 2 vectors of samples (forward, backward) or 4 x 4 neurons (gradient)
whose sums stay in registers from the first term to the last; what does not fill a block is done by blocks of one row.

All offsets are positions in `work`.
"""

from ._jit import inlined
from .simd import (
    full,
    lanes,
    load,
    sum_lanes,
    tile_fill,
    tile_inner,
    tile_multiply,
    tile_outer,
    tile_store,
    tile_sum,
    tile_zeros,
)


@inlined
def forward(work, T, w, b, n_out, n_in, a, z):
    """Z = W A + b: rows (n_out, T) at z from rows (n_in, T) at a."""
    for s in range(0, T, 2 * lanes(work)):
        r = 0
        while r + 4 <= n_out:
            t = tile_fill(tile_zeros(work, 4, 2), work, b + r)
            tile_store(_product(t, work, T, w + r * n_in, n_in, 1, n_in, a + s), work, z + r * T + s, T)
            r += 4
        while r < n_out:
            t = tile_fill(tile_zeros(work, 1, 2), work, b + r)
            tile_store(_product(t, work, T, w + r * n_in, n_in, 1, n_in, a + s), work, z + r * T + s, T)
            r += 1


@inlined
def _product(tile, work, T, w, row, col, n, a):
    """tile += M A over n terms, where M[i, k] = work[w + i * row + k * col] and A has n rows at a."""
    for _k in range(n):
        tile = tile_outer(tile, work, w, row, work, a)
        w += col
        a += T
    return tile


@inlined
def backward(work, T, w, n_out, n_in, d, a):
    """Rows (n_in, T) at a, which hold activation derivatives, times W^T D for rows (n_out, T) at d."""
    for s in range(0, T, 2 * lanes(work)):
        r = 0
        while r + 4 <= n_in:
            t = _product(tile_zeros(work, 4, 2), work, T, w + r, 1, n_in, n_out, d + s)
            tile_multiply(t, work, a + r * T + s, T)
            r += 4
        while r < n_in:
            t = _product(tile_zeros(work, 1, 2), work, T, w + r, 1, n_in, n_out, d + s)
            tile_multiply(t, work, a + r * T + s, T)
            r += 1


@inlined
def gradient(work, T, gw, gb, n_out, n_in, d, a):
    """Add D A^T to the weights' gradient (n_out, n_in) at gw, and the sums of D's rows to the biases' at gb."""
    r = 0
    while r + 4 <= n_out:
        _gradient_rows(work, T, gw + r * n_in, n_in, d + r * T, a, tile_zeros(work, 4, 4), tile_zeros(work, 4, 1))
        r += 4
    while r < n_out:
        _gradient_rows(work, T, gw + r * n_in, n_in, d + r * T, a, tile_zeros(work, 1, 4), tile_zeros(work, 1, 1))
        r += 1
    for r in range(n_out):
        total = full(work, 0.0)
        for s in range(0, T, lanes(work)):
            total = total + load(work, d + r * T + s)
        work[gb + r] += sum_lanes(total)


@inlined
def _gradient_rows(work, T, g, n_in, d, a, four, one):
    c = 0
    while c + 4 <= n_in:
        tile_sum(_inner(four, work, T, d, a + c * T), work, g + c, n_in)
        c += 4
    while c < n_in:
        tile_sum(_inner(one, work, T, d, a + c * T), work, g + c, n_in)
        c += 1


@inlined
def _inner(tile, work, T, d, a):
    for s in range(0, T, lanes(work)):
        tile = tile_inner(tile, work, d + s, T, work, a + s, T)
    return tile
