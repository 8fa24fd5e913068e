"""What a RandomState draws, in numpy's bits: the first numbers of each of many seeds, and shuffles.

Its generator is the Mersenne Twister: Matsumoto and Nishimura (1998), seeded as in their revision of 2002 by
multiplications each of which waits for the one before. So seeds are taken several at a time, side by side. A word of
the generator's state is renewed when it is its turn, so that few numbers need few of them. The normal numbers are made
of pairs by Marsaglia's polar method.

A shuffle is Fisher's and Yates's, by words that are rejected where they are too large: for a processor, a branch that
it cannot foresee. Here a rejected word has a number change places with itself instead.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fastxor import initialization
from fastxor.backends.parallel import parallel_for
from fastxor.state import shuffled as shuffled_by_numpy
from fastxor.views import Array

from . import choices
from ._jit import inlined, kernel
from .choices import STREAMS, WORDS_PER_BLOCK

WORDS, MIDDLE = 624, 397  # of a state

_INTEGERS = np.dtype(np.int64)


@kernel("void(int64[::1], uint32[::1], float64[::1], T[::1], int64, int64, int64)", "random numbers", exact=True)
def draw(seeds, words, normal, integers, count, first, stop):
    """Of seeds `first` to `stop`, the standard normal numbers (k, count), then an integer below 2**63 - 1 of each.

    `words` has the states (WORDS, STREAMS), and the words that have been made of them (WORDS_PER_BLOCK, STREAMS).
    """
    for begin in range(first, stop, STREAMS):
        _seed(seeds, words, begin, stop)
        end = min(begin + STREAMS, stop)
        for place in range(begin, end):
            integers[place] = -count - 1  # what it has still to draw
        turn, left = 0, end - begin
        while left:
            _make_words(words, turn)
            turn = (turn + WORDS_PER_BLOCK) % WORDS
            for place in range(begin, end):
                missing, at = -integers[place], WORDS * STREAMS + place - begin
                after = at + WORDS_PER_BLOCK * STREAMS
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
    for number in range(WORDS_PER_BLOCK):
        row = (first + number) * STREAMS
        following = (first + number + 1) % WORDS * STREAMS
        far = (first + number + MIDDLE) % WORDS * STREAMS
        for lane in range(STREAMS):
            word = _renewed(words[row + lane], words[following + lane], words[far + lane])
            words[row + lane] = word
            words[(WORDS + number) * STREAMS + lane] = _mixed(word)


@inlined
def _renewed(word, following, far):
    """The next one in its place in a state."""
    both = (word & 0x80000000) | (following & 0x7FFFFFFF)
    return np.uint32(far ^ (both >> 1) ^ ((both & 1) * 0x9908B0DF))


@inlined
def _mixed(word):
    """The bits that are drawn of it."""
    word ^= word >> 11
    word ^= (word << 7) & 0x9D2C5680
    word ^= (word << 15) & 0xEFC60000
    return np.uint32(word ^ (word >> 18))


@inlined
def _word(words, at):
    return np.int64(words[at])


@inlined
def _fraction(words, at):
    """A number of 53 bits, from 0 to below 1."""
    return ((_word(words, at) >> 5) * 67108864.0 + (_word(words, at + STREAMS) >> 6)) / 9007199254740992.0


def drawn(seeds: NDArray[np.int64], count: int, threads: int) -> tuple[Array, NDArray[np.int64]]:
    """See `initialization.drawn`."""
    if not _is_bitwise_numpy():
        return initialization.drawn(seeds.tolist(), count)
    return _drawn(seeds, count, threads)


def _drawn(seeds: NDArray[np.int64], count: int, threads: int) -> tuple[Array, NDArray[np.int64]]:
    k = len(seeds)
    normal, integers = np.empty((k, count)), np.empty(k, np.int64)
    compiled, seeds, flat = draw[_INTEGERS], np.ascontiguousarray(seeds), normal.ravel()
    wanted = max(
        -(-k // (choices.SHARDS_PER_THREAD * threads)), choices.MIN_DRAWS_PER_THREAD // (count + WORDS // STREAMS)
    )
    at_once = -(-wanted // STREAMS) * STREAMS

    def some(number: int) -> None:
        words = np.empty((WORDS + WORDS_PER_BLOCK) * STREAMS, np.uint32)
        first = number * at_once
        compiled(seeds, words, flat, integers, count, first, min(first + at_once, k))

    parallel_for(-(-k // at_once), threads, some)
    return normal, integers


@kernel("void(uint32[::1], uint32[::1], T[::1], int64)", "shuffles", exact=True)
def shuffle(words, mixed, orders, samples):
    """Orders (n, samples), of which the first is given: each becomes a shuffle of the one before.

    `words` has the generator's words and, last, how many of them have been drawn; `mixed` is room for their bits.
    """
    _mix(words, mixed)
    drawn = np.int64(words[WORDS])
    for begin in range(samples, orders.size, samples):
        for i in range(begin, begin + samples):
            orders[i] = orders[i - samples]
        last, mask = samples - 1, 1
        while mask < last:
            mask = 2 * mask + 1
        while last > 0:
            if drawn == WORDS:
                _renew(words)
                _mix(words, mixed)
                drawn = 0
            some = min(WORDS - drawn, last - mask // 2)  # for so many, neither words nor the mask run out
            for word in range(drawn, drawn + some):
                chosen = np.int64(mixed[word] & mask)
                is_taken = chosen <= last
                here, there = begin + last, begin + (chosen if is_taken else last)
                orders[here], orders[there] = orders[there], orders[here]
                last -= 1 if is_taken else 0
            drawn += some
            if last == mask // 2:
                mask //= 2
    words[WORDS] = drawn


@inlined
def _renew(words):
    """All words of a state."""
    near = WORDS - MIDDLE
    for i in range(near):
        words[i] = _renewed(words[i], words[i + 1], words[i + MIDDLE])
    for i in range(near, WORDS - 1):
        words[i] = _renewed(words[i], words[i + 1], words[i - near])
    words[WORDS - 1] = _renewed(words[WORDS - 1], words[0], words[MIDDLE - 1])


@inlined
def _mix(words, mixed):
    for i in range(WORDS):
        mixed[i] = _mixed(words[i])


def shuffled(rng: np.random.RandomState, order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """See `fastxor.state.shuffled`."""
    bits = getattr(rng, "_bit_generator", None)
    if type(rng) is np.random.RandomState and type(bits) is np.random.MT19937 and _state_is_accessible():
        return _shuffled(bits, order, count)
    return shuffled_by_numpy(rng, order, count)


def _shuffled(bits: np.random.MT19937, order: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    orders = np.empty((1 + count, order.size), np.int64)
    orders[0] = order
    compiled = shuffle[_INTEGERS]
    with bits.lock:
        compiled(_words(bits), np.empty(WORDS, np.uint32), orders.ravel(), order.size)
    return orders[1:]


def _words(bits: np.random.MT19937) -> NDArray[np.uint32]:
    """The generator's own, and after them how many have been drawn: where they are, and not a copy."""
    return np.frombuffer((ctypes.c_uint32 * (WORDS + 1)).from_address(bits.ctypes.state_address), np.uint32)


@cache
def _state_is_accessible() -> bool:
    """Whether a generator's words are where they are looked for, and shuffles are numpy's."""
    rng, numpys = np.random.RandomState(5), np.random.RandomState(5)
    _name, words, drawn, *_rest = rng.get_state()
    bits, order = rng._bit_generator, np.arange(300)
    if not np.array_equal(_words(bits), [*words, drawn]):
        return False
    same = np.array_equal(_shuffled(bits, order, 3), shuffled_by_numpy(numpys, order, 3))
    return same and rng.randint(2**31) == numpys.randint(2**31)


@cache
def _is_bitwise_numpy() -> bool:
    """Whether the bits are numpy's here: its compiler may have joined operations into one that rounds once, and its
    logarithm may be another.
    """
    seeds = np.arange(40) * 107374183
    return all(map(np.array_equal, _drawn(seeds, 15, 1), initialization.drawn(seeds.tolist(), 15)))
