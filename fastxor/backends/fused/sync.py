"""How threads that share a run agree. There are three ways.

Tiles: a ticket counter deals them out, and a ring passes their gradients on in order. Or, where a step is one tile, in
lockstep: each thread has a share of every layer's neurons, with a barrier between one stage of a step and the next. Or,
where it is two tiles, a static schedule: two threads have one each, with a barrier before and after the optimizer's
step. The first one does not wait for the second one to come.

`shared` is what they agree on by. Its first entries stand cache lines apart; then comes the ring, a line to a tile; it
holds all tiles that are not in: of each thread one for each place that it has for gradients, and one that waits for a
place. Last, a line to a thread: for each of its places, how many tiles must be in before that is free; in lockstep
and with a static schedule, at how many barriers it has arrived, and its vote in a reduction.
"""

import numpy as np

from . import choices
from ._jit import inlined
from .simd import fetch_add, load_acquire, store_release, yield_thread

NEXT_TICKET = 0  # the ticket counter: the next tile to be dealt out
RETIRED = 16  # how many tiles are in
GOOD_STEPS = 32  # how many steps were good
YIELD_ADDRESS = 33  # address of the system's function that lets other threads run
RING_LENGTH = 34  # length of the ring
SCHEDULE = 35  # threads in lockstep or with a static schedule, or 1; 0: not known yet
ABORTED = -1  # the first thread does not come
PARTNER_PRESENT = 36  # static schedule: whether the second thread has come,
PARTNER_ADMITTED = 37  # and one more than the step from which on it is in
RING, LINE = 48, 8  # where it begins, and how long a line is
ARRIVALS, BUFFER = 0, 1  # of a line of the ring: how many have come to the tile, and where its gradient is
BARRIERS, VOTE = 0, 1  # of a thread's line
ALL_RETIRED = 1 << 62


def new_shared(threads, tiles, lockstep, address_of_yield):
    """`shared` before the first step, for a ring of so many tiles."""
    shared = np.zeros(RING + LINE * (tiles + threads), np.int64)
    shared[YIELD_ADDRESS], shared[RING_LENGTH], shared[SCHEDULE] = address_of_yield, tiles, 0 if lockstep else 1
    shared[RING + ARRIVALS] = 1  # before the first tile there is none
    return shared


@inlined
def next_ticket(shared):
    """The number of the tile that is this thread's next, counted over all steps."""
    return fetch_add(shared, NEXT_TICKET)


@inlined
def acquire_buffer(shared, thread, buffers, tiles_before, ticket):
    """Which of its `buffers` places the thread has for the tile's gradient, once the `tiles_before` tiles of the steps
    before are in; -1 if the run has ended before that.
    """
    first = RING + LINE * (shared[RING_LENGTH] + thread)
    free = first
    done = load_acquire(shared, RETIRED)
    while shared[free] > done and free < first + buffers - 1:
        free += 1
    if not _wait(shared, max(tiles_before, shared[free])):
        return -1
    shared[free] = ticket + 1
    return free - first


@inlined
def _wait(shared, tiles):
    """Wait until as many tiles are in; False if the run has ended before that."""
    spins = 0
    done = load_acquire(shared, RETIRED)
    while done < tiles:
        spins = _spin_wait(shared, spins)
        done = load_acquire(shared, RETIRED)
    return done != ALL_RETIRED


@inlined
def _spin_wait(shared, spins):
    if spins >= choices.SPINS_BEFORE_YIELD:
        yield_thread(shared[YIELD_ADDRESS])
        return 0
    return spins + 1


@inlined
def is_second_arrival(shared, ticket, gradient):
    """Of the one who worked a tile out and the one who added the tile before, whoever comes second adds it."""
    line = RING + LINE * (ticket % shared[RING_LENGTH])
    shared[line + BUFFER] = gradient
    return fetch_add(shared, line + ARRIVALS) != 0


@inlined
def retire(shared, ticket, is_last):
    """This tile is in: where the next one's gradient is, if that was ready before; else -1, and its own adds it."""
    shared[RING + LINE * (ticket % shared[RING_LENGTH]) + ARRIVALS] = 0
    line = RING + LINE * ((ticket + 1) % shared[RING_LENGTH])
    if is_last:  # nobody can have come to the next step's first tile
        shared[line + ARRIVALS] = 1
    store_release(shared, RETIRED, ticket + 1)
    if is_last or fetch_add(shared, line + ARRIVALS) == 0:
        return -1
    return shared[line + BUFFER]


@inlined
def wait_for_schedule(shared, thread, shares):
    """Wait until all threads are told how many they are in lockstep, by the first one; 1 is for tiles."""
    if thread == 0 and shared[SCHEDULE] == 0:
        store_release(shared, SCHEDULE, shares)
    spins = 0
    while load_acquire(shared, SCHEDULE) == 0:
        spins = _spin_wait(shared, spins)
    return shared[SCHEDULE]


@inlined
def barrier(shared, thread, threads):
    """A barrier of all threads."""
    wait_for_arrivals(shared, threads, arrive(shared, thread))


@inlined
def arrive(shared, thread):
    """Arrive at a barrier; at how many this thread has by now."""
    line = RING + LINE * (shared[RING_LENGTH] + thread)
    arrivals = shared[line + BARRIERS] + 1
    store_release(shared, line + BARRIERS, arrivals)
    return arrivals


@inlined
def wait_for_arrivals(shared, threads, arrivals):
    """Wait until all of them have arrived at so many barriers."""
    lines = RING + LINE * shared[RING_LENGTH]
    for other in range(threads):
        spins = 0
        while load_acquire(shared, lines + LINE * other + BARRIERS) < arrivals:
            spins = _spin_wait(shared, spins)


@inlined
def partner_is_present(shared):
    """Whether the second of two threads has come."""
    return load_acquire(shared, PARTNER_PRESENT) > 0


@inlined
def admit_partner(shared, step):
    """Let the second thread take part in this step and those that follow."""
    store_release(shared, PARTNER_ADMITTED, step + 1)


@inlined
def wait_to_be_admitted(shared):
    """The second thread has come; the number of the first step that it is to take part in."""
    store_release(shared, PARTNER_PRESENT, 1)
    spins = 0
    while load_acquire(shared, PARTNER_ADMITTED) == 0:
        spins = _spin_wait(shared, spins)
    return shared[PARTNER_ADMITTED] - 1


@inlined
def all_reduce_and(shared, thread, shares, vote):
    """A reduction: whether the vote of every thread was true."""
    lines = RING + LINE * shared[RING_LENGTH]
    shared[lines + LINE * thread + VOTE] = 1 if vote else 0
    barrier(shared, thread, shares)
    votes = 0
    for other in range(shares):
        votes += shared[lines + LINE * other + VOTE]
    return votes == shares


@inlined
def end(shared, good):
    """The run has ended, after so many good steps."""
    shared[GOOD_STEPS] = good
    store_release(shared, RETIRED, ALL_RETIRED)
