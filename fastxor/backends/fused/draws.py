"""What a RandomState of each of many seeds draws first: numpy's bits, without making a RandomState for each.

Its generator is the Mersenne Twister: Matsumoto and Nishimura (1998), seeded as in their revision of 2002 by
multiplications each of which waits for the one before. So seeds are taken several at a time, side by side. A word of
the generator's state is renewed when it is its turn, so that few numbers need few of them. The normal numbers are made
of pairs by Marsaglia's polar method.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastxor import initialization
from fastxor.views import Array

from . import choices
from ._jit import inlined, kernel
from .threads import deal

SIDE_BY_SIDE = choices.STREAMS  # seeds
WORDS, MIDDLE = 624, 397  # of a state
SOME = choices.WORDS_AT_ONCE  # that are made of a state

_INTEGERS = np.dtype(np.int64)


@kernel("void(int64[::1], uint32[::1], float64[::1], T[::1], int64, int64, int64)", exact=True)
def draw(seeds, words, normal, integers, count, first, stop):
    """Of seeds `first` to `stop`, the standard normal numbers (k, count), then an integer below 2**63 - 1 of each.

    `words` has the states (WORDS, SIDE_BY_SIDE), and the words that have been made of them (SOME, SIDE_BY_SIDE).
    """
    for begin in range(first, stop, SIDE_BY_SIDE):
        _seed(seeds, words, begin, stop)
        end = min(begin + SIDE_BY_SIDE, stop)
        for place in range(begin, end):
            integers[place] = -count - 1  # what it has still to draw
        turn, left = 0, end - begin
        while left:
            _make_words(words, turn)
            turn = (turn + SOME) % WORDS
            for place in range(begin, end):
                missing, at = -integers[place], WORDS * SIDE_BY_SIDE + place - begin
                after = at + SOME * SIDE_BY_SIDE
                while missing > 1 and at < after:
                    x = 2.0 * _fraction(words, at) - 1.0
                    y = 2.0 * _fraction(words, at + 2 * SIDE_BY_SIDE) - 1.0
                    at += 4 * SIDE_BY_SIDE
                    square = x * x + y * y
                    if 0.0 < square < 1.0:
                        scale, i = math.sqrt(-2.0 * math.log(square) / square), (place + 1) * count - missing + 1
                        normal[i] = scale * y
                        if missing > 2:
                            normal[i + 1] = scale * x
                        missing = max(1, missing - 2)
                while missing == 1 and at < after:
                    integer = (_word(words, at) & 0x7FFFFFFF) << 32 | _word(words, at + SIDE_BY_SIDE)
                    at += 2 * SIDE_BY_SIDE
                    if integer < 2**63 - 1:
                        missing = -integer
                        left -= 1
                integers[place] = -missing


@inlined
def _seed(seeds, words, begin, stop):
    """Make the states of as many seeds, from `begin` on; the last one is repeated."""
    for lane in range(SIDE_BY_SIDE):
        words[lane] = seeds[min(begin + lane, stop - 1)]
    for row in range(0, (WORDS - 1) * SIDE_BY_SIDE, SIDE_BY_SIDE):
        number = 1 + row // SIDE_BY_SIDE
        for lane in range(SIDE_BY_SIDE):
            word = words[row + lane]
            words[row + SIDE_BY_SIDE + lane] = np.uint32(1812433253 * (word ^ (word >> 30)) + number)


@inlined
def _make_words(words, first):
    """Renew the states' words from `first` on, which are the next ones once their bits have been mixed."""
    for number in range(SOME):
        row = (first + number) * SIDE_BY_SIDE
        following = (first + number + 1) % WORDS * SIDE_BY_SIDE
        far = (first + number + MIDDLE) % WORDS * SIDE_BY_SIDE
        for lane in range(SIDE_BY_SIDE):
            both = (words[row + lane] & 0x80000000) | (words[following + lane] & 0x7FFFFFFF)
            word = np.uint32(words[far + lane] ^ (both >> 1) ^ ((both & 1) * 0x9908B0DF))
            words[row + lane] = word
            word ^= word >> 11
            word ^= (word << 7) & 0x9D2C5680
            word ^= (word << 15) & 0xEFC60000
            words[(WORDS + number) * SIDE_BY_SIDE + lane] = np.uint32(word ^ (word >> 18))


@inlined
def _word(words, at):
    return np.int64(words[at])


@inlined
def _fraction(words, at):
    """A number of 53 bits, from 0 to below 1."""
    return ((_word(words, at) >> 5) * 67108864.0 + (_word(words, at + SIDE_BY_SIDE) >> 6)) / 9007199254740992.0


def drawn(seeds: NDArray[np.int64], count: int, threads: int) -> tuple[Array, NDArray[np.int64]]:
    """See `initialization.drawn`."""
    if not _as_numpy():
        return initialization.drawn(seeds.tolist(), count)
    return _drawn(seeds, count, threads)


def _drawn(seeds: NDArray[np.int64], count: int, threads: int) -> tuple[Array, NDArray[np.int64]]:
    k = len(seeds)
    normal, integers = np.empty((k, count)), np.empty(k, np.int64)
    compiled, seeds, flat = draw[_INTEGERS], np.ascontiguousarray(seeds), normal.ravel()
    wanted = max(-(-k // (4 * threads)), choices.DRAWS // (count + WORDS // SIDE_BY_SIDE))
    at_once = -(-wanted // SIDE_BY_SIDE) * SIDE_BY_SIDE

    def some(number: int) -> None:
        words = np.empty((WORDS + SOME) * SIDE_BY_SIDE, np.uint32)
        first = number * at_once
        compiled(seeds, words, flat, integers, count, first, min(first + at_once, k))

    deal(-(-k // at_once), threads, some)
    return normal, integers


@cache
def _as_numpy() -> bool:
    """Whether the bits are numpy's here: its compiler may have joined operations into one that rounds once, and its
    logarithm may be another.
    """
    seeds = np.arange(40) * 107374183
    return all(map(np.array_equal, _drawn(seeds, 15, 1), initialization.drawn(seeds.tolist(), 15)))
