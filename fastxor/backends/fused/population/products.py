"""The three matrix products of a dense layer, for a network in each lane.

They are one function: sums of products of two vectors, in blocks of `ROWS` x `COLUMNS` sums that stay in registers from
the first term to the last. Each term loads as many vectors as the block has rows and columns, and uses each of them for
all columns, or rows. Lanes have nothing to do with each other, so no sum is ever taken across them.
"""

from ..choices import LANE_BLOCK_COLUMNS, LANE_BLOCK_ROWS
from ..simd import fma
from ..tracing import fori_loop, steps


def multiply(rows, columns, terms, left, right, begin, end):
    """A matrix of sums over t of ``left(row, t) * right(column, t)``, added to ``begin(row)`` one after the other.

    ``end(row, column, sum)`` is called for each of them. All three return vectors, or take one.
    """

    def block(row, column, height, width):
        def term(t, sums):
            others = [right(column + j, t) for j in range(width)]
            return [
                [fma(vector, other, old) for other, old in zip(others, line, strict=True)]
                for vector, line in zip([left(row + i, t) for i in range(height)], sums, strict=True)
            ]

        start = [[begin(row + i)] * width for i in range(height)]
        for i, line in enumerate(fori_loop(0, terms, 1, term, start)):
            for j, vector in enumerate(line):
                end(row + i, column + j, vector)

    for column, width in _parts(columns, LANE_BLOCK_COLUMNS):
        for row, height in _parts(rows, LANE_BLOCK_ROWS):
            block(row, column, height, width)


def _parts(count, most):
    """(first, how many): as many at a time as `most` says, then a half of it and so on, down to one."""
    done = 0
    while most:
        whole = count // most * most
        for first in steps(done, whole, most):
            yield first, most
        done, most = whole, most // 2
