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
from .choices import STREAMS, WORDS_AT_ONCE
from .threads import deal

WORDS, MIDDLE = 624, 397  # of a state

_INTEGERS = np.dtype(np.int64)


@kernel("void(int64[::1], uint32[::1], float64[::1], T[::1], int64, int64, int64)", exact=True)
def draw(seeds, words, normal, integers, count, first, stop):
    """Of seeds `first` to `stop`, the standard normal numbers (k, count), then an integer below 2**63 - 1 of each.

    `words` has the states (WORDS, STREAMS), and the words that have been made of them (WORDS_AT_ONCE, STREAMS).
    """
    for begin in range(first, stop, STREAMS):
        _seed(seeds, words, begin, stop)
        end = min(begin + STREAMS, stop)
        for place in range(begin, end):
            integers[place] = -count - 1  # what it has still to draw
        turn, left = 0, end - begin
        while left:
            _make_words(words, turn)
            turn = (turn + WORDS_AT_ONCE) % WORDS
            for place in range(begin, end):
                missing, at = -integers[place], WORDS * STREAMS + place - begin
                after = at + WORDS_AT_ONCE * STREAMS
                while missing > 1 and at < after:
                    x = 2.0 * _fraction(words, at) - 1.0
                    y = 2.0 * _fraction(words, at + 2 * STREAMS) - 1.0
                    at += 4 * STREAMS
                    square = x * x + y * y
                    if 0.0 < square < 1.0:
                        scale, i = math.sqrt(-2.0 * math.log(square) / square), (place + 1) * count - missing + 1
                        normal[i] = scale * y
                        if missing > 2:
                            normal[i + 1] = scale * x
                        missing = max(1, missing - 2)
                while missing == 1 and at < after:
                    integer = (_word(words, at) & 0x7FFFFFFF) << 32 | _word(words, at + STREAMS)
                    at += 2 * STREAMS
                    if integer < 2**63 - 1:
                        missing = -integer
                        left -= 1
                integers[place] = -missing


@inlined
def _seed(seeds, words, begin, stop):
    """Make the states of as many seeds, from `begin` on; the last one is repeated."""
    for lane in range(STREAMS):
        words[lane] = seeds[min(begin + lane, stop - 1)]
    for row in range(0, (WORDS - 1) * STREAMS, STREAMS):
        number = 1 + row // STREAMS
        for lane in range(STREAMS):
            word = words[row + lane]
            words[row + STREAMS + lane] = np.uint32(1812433253 * (word ^ (word >> 30)) + number)


@inlined
def _make_words(words, first):
    """Renew the states' words from `first` on, which are the next ones once their bits have been mixed."""
    for number in range(WORDS_AT_ONCE):
        row = (first + number) * STREAMS
        following = (first + number + 1) % WORDS * STREAMS
        far = (first + number + MIDDLE) % WORDS * STREAMS
        for lane in range(STREAMS):
            both = (words[row + lane] & 0x80000000) | (words[following + lane] & 0x7FFFFFFF)
            word = np.uint32(words[far + lane] ^ (both >> 1) ^ ((both & 1) * 0x9908B0DF))
            words[row + lane] = word
            word ^= word >> 11
            word ^= (word << 7) & 0x9D2C5680
            word ^= (word << 15) & 0xEFC60000
            words[(WORDS + number) * STREAMS + lane] = np.uint32(word ^ (word >> 18))


@inlined
def _word(words, at):
    return np.int64(words[at])


@inlined
def _fraction(words, at):
    """A number of 53 bits, from 0 to below 1."""
    return ((_word(words, at) >> 5) * 67108864.0 + (_word(words, at + STREAMS) >> 6)) / 9007199254740992.0


def drawn(seeds: NDArray[np.int64], count: int, threads: int) -> tuple[Array, NDArray[np.int64]]:
    """See `initialization.drawn`."""
    if not _as_numpy():
        return initialization.drawn(seeds.tolist(), count)
    return _drawn(seeds, count, threads)


def _drawn(seeds: NDArray[np.int64], count: int, threads: int) -> tuple[Array, NDArray[np.int64]]:
    k = len(seeds)
    normal, integers = np.empty((k, count)), np.empty(k, np.int64)
    compiled, seeds, flat = draw[_INTEGERS], np.ascontiguousarray(seeds), normal.ravel()
    wanted = max(-(-k // (4 * threads)), choices.DRAWS // (count + WORDS // STREAMS))
    at_once = -(-wanted // STREAMS) * STREAMS

    def some(number: int) -> None:
        words = np.empty((WORDS + WORDS_AT_ONCE) * STREAMS, np.uint32)
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
