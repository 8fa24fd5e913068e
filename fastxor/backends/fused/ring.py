"""How threads that share a run agree. There are three ways.

Tiles: a ticket counter deals them out, and a ring passes their gradients on in order. Or, where a step is one tile, in
lockstep: each thread has a share of every layer's neurons, and all meet between one stage of a step and the next. Or,
where it is two tiles, abreast: two threads have one each, and meet before and after they move the parameters.
The first one does not wait for the second one to come.

`shared` is what they agree on by. Its first entries stand cache lines apart; then comes the ring, a line to a tile; it
holds all tiles that are not in: of each thread one for each place that it has for gradients, and one that waits for a
place. Last, a line to a thread: for each of its places, how many tiles must be in before that is free; in lockstep
and abreast, how often it has come to a meeting, and what it says there.
"""

import numpy as np

from . import choices
from ._jit import inlined
from .simd import acquire, give_way, release, take
from .workspace import CACHE_LINE

NEXT = 0  # the ticket counter: the next tile to be dealt out
DONE = 16  # how many tiles are in
GOOD = 32  # how many steps were good
YIELD = 33  # address of the system's function that lets other threads run
TILES = 34  # length of the ring
SHARES = 35  # threads in lockstep or abreast, or 1; 0 until the first one tells the others, GONE if it does not come
GONE = -1
COMING = 36  # abreast: whether the second thread has come,
JOINED = 37  # and one more than the step from which on it is in
RING, LINE = 48, CACHE_LINE // 8  # where it begins, and how long a line is
COME, PLACE = 0, 1  # of a line of the ring: how many have come to the tile, and where its gradient is
MET, SAYS = 0, 1  # of a thread's line
ALL_DONE = 1 << 62


def shared_by(threads, tiles, lockstep, address_of_yield):
    """`shared` before the first step, for a ring of so many tiles."""
    shared = np.zeros(RING + LINE * (tiles + threads), np.int64)
    shared[YIELD], shared[TILES], shared[SHARES] = address_of_yield, tiles, 0 if lockstep else 1
    shared[RING + COME] = 1  # before the first tile there is none
    return shared


@inlined
def next_ticket(shared):
    """The number of the tile that is this thread's next, counted over all steps."""
    return take(shared, NEXT)


@inlined
def room(shared, thread, ahead, passed, ticket):
    """Which of its `ahead` places the thread has for the tile's gradient, once the `passed` tiles of the steps before
    are in; -1 if the run has ended before that.
    """
    first = RING + LINE * (shared[TILES] + thread)
    free = first
    done = acquire(shared, DONE)
    while shared[free] > done and free < first + ahead - 1:
        free += 1
    if not _wait(shared, max(passed, shared[free])):
        return -1
    shared[free] = ticket + 1
    return free - first


@inlined
def _wait(shared, tiles):
    """Wait until as many tiles are in; False if the run has ended before that."""
    spins = 0
    done = acquire(shared, DONE)
    while done < tiles:
        spins = _spin(shared, spins)
        done = acquire(shared, DONE)
    return done != ALL_DONE


@inlined
def _spin(shared, spins):
    if spins >= choices.SPINS:
        give_way(shared[YIELD])
        return 0
    return spins + 1


@inlined
def is_mine_to_add(shared, ticket, gradient):
    """Of the one who worked a tile out and the one who added the tile before, whoever comes second adds it."""
    line = RING + LINE * (ticket % shared[TILES])
    shared[line + PLACE] = gradient
    return take(shared, line + COME) != 0


@inlined
def pass_on(shared, ticket, is_last):
    """This tile is in: where the next one's gradient is, if that was ready before; else -1, and its own adds it."""
    shared[RING + LINE * (ticket % shared[TILES]) + COME] = 0
    line = RING + LINE * ((ticket + 1) % shared[TILES])
    if is_last:  # nobody can have come to the next step's first tile
        shared[line + COME] = 1
    release(shared, DONE, ticket + 1)
    if is_last or take(shared, line + COME) == 0:
        return -1
    return shared[line + PLACE]


@inlined
def set_off(shared, thread, shares):
    """Wait until all threads are told how many they are in lockstep, by the first one; 1 is for tiles."""
    if thread == 0 and shared[SHARES] == 0:
        release(shared, SHARES, shares)
    spins = 0
    while acquire(shared, SHARES) == 0:
        spins = _spin(shared, spins)
    return shared[SHARES]


@inlined
def meet(shared, thread, threads):
    """Wait until all threads have come as far."""
    wait_for(shared, threads, come(shared, thread))


@inlined
def come(shared, thread):
    """This thread has; how often it has come to a meeting."""
    line = RING + LINE * (shared[TILES] + thread)
    often = shared[line + MET] + 1
    release(shared, line + MET, often)
    return often


@inlined
def wait_for(shared, threads, often):
    """Wait until all of them have come so often."""
    lines = RING + LINE * shared[TILES]
    for other in range(threads):
        spins = 0
        while acquire(shared, lines + LINE * other + MET) < often:
            spins = _spin(shared, spins)


@inlined
def has_come(shared):
    """Whether the second of two threads abreast has."""
    return acquire(shared, COMING) > 0


@inlined
def let_join(shared, step):
    """It takes part in this step and those that follow."""
    release(shared, JOINED, step + 1)


@inlined
def join(shared):
    """The second thread has come; the number of the first step that it is to take part in."""
    release(shared, COMING, 1)
    spins = 0
    while acquire(shared, JOINED) == 0:
        spins = _spin(shared, spins)
    return shared[JOINED] - 1


@inlined
def all_say(shared, thread, shares, word):
    """Meet; whether the word of each of them was true."""
    lines = RING + LINE * shared[TILES]
    shared[lines + LINE * thread + SAYS] = 1 if word else 0
    meet(shared, thread, shares)
    said = 0
    for other in range(shares):
        said += shared[lines + LINE * other + SAYS]
    return said == shares


@inlined
def end(shared, good):
    """The run has ended, after so many good steps."""
    shared[GOOD] = good
    release(shared, DONE, ALL_DONE)
