"""The kernels that train groups of networks, as many at a time as a vector has lanes; to be read from `train`.

Arrays are flat; `plan` and `work` are those of layout.py. `hyper` has a vector of float64 for each entry of
update.py's, `book` one of integers for each of those below.

A group takes its steps without looking back, and is looked at now and then: what is no longer finite stays so. If
something is not, the group goes back to where it was looked at last, and looks after every step. When it is known which
network that was, the others pause, and are to go on in a group that is full.
"""

import math
from typing import NamedTuple

from .. import choices, update
from .._jit import inlined, kernel
from ..simd import get, lanes, put, turn
from ..tracing import steps, traced, traced_inline
from ..vectors import copy
from . import step
from .layout import (
    BAD,
    BEFORE,
    COST,
    COUNT,
    DEPTH,
    INPUT,
    KEPT,
    LAYERS,
    ROWS,
    SAMPLES,
    SHARED,
    STEP,
    STRIDE,
    TARGET,
    THETA,
    TILES,
    WEIGHT,
    WIDTH,
)

# Of a call: how the networks are trained.
KIND, PENALIZED, INTERVAL, RECORDS, BATCH, WEIGHED, OWN_X, OWN_Y, ALL, ORDER, RATES, FROM, SCIKIT, CALL = range(14)
# Of a network: its number in the cohort; how many steps it is to take, and which is recorded first; the samples of an
# epoch, and how many are left of the present one; how many steps it had taken; how many were good; whether it pauses.
NUMBER, STEPS, FIRST, EPOCH, LEFT, TAKEN, GOOD, PAUSES, MEMBER = range(9)
# Of a lane: the network's place in the call; how many steps it takes, which is recorded next, and how many were; a step
# that was not good, or whether the lane is done; its place in the order, what is left of the epoch, the samples in its
# step; one of its samples that counts; and where its next sample stands in X and Y.
# A book has them twice, the second time as they were when they were kept.
PLACE, LAST, NEXT, RECORDED, DONE, AT, REST, SIZE, SPARE, IN_X, IN_Y, BOOK = range(12)

NEVER = 1 << 62  # a step that no network comes to
SOON = 8  # steps after which a group is first looked at: most that diverge do so at once


class Group(NamedTuple):
    """What a thread works on."""

    plan: object
    work: object
    hyper: object
    book: object


class Cohort(NamedTuple):
    """Of all networks, which are n."""

    call: object
    members: object  # (n, MEMBER)
    numbers: object  # (n, entries of `hyper`)
    state: object  # (n, 1 + rows, parameters): parameters, and what the optimizer remembers
    X: object  # (n_x, m) where it is read in its place, else (m, n_x) or (members, m, n_x)
    Y: object  # (m, n_y) or (members, m, n_y)
    weights: object  # (members, m)
    orders: object  # (n, ORDER)
    rates: object  # (RATES,), of the steps from FROM on
    costs: object  # (n, RECORDS)


# ---------------------------------------------------------------- a group's beginning


@inlined
def _open(group, cohort, begin, stop):
    """Put the networks from `begin` on into the lanes, the last of them again and again into those that are left."""
    plan, work, hyper, book = group
    V, P, rows = lanes(work), plan[COUNT], cohort.state.size // (cohort.members.size // MEMBER) // plan[COUNT]
    for lane in range(V):
        place = min(begin + lane, stop - 1)
        member = place * MEMBER
        put(book, PLACE * V + lane, place)
        is_done = begin + lane >= stop
        put(book, LAST * V + lane, get(cohort.members, member + STEPS))
        put(book, NEXT * V + lane, get(cohort.members, member + FIRST))
        put(book, RECORDED * V + lane, 0)
        put(book, DONE * V + lane, 1 if is_done else 0)
        put(book, AT * V + lane, place * cohort.call[ORDER])
        put(book, REST * V + lane, get(cohort.members, member + LEFT))
        for i in range(update.RING):
            put(hyper, i * V + lane, get(cohort.numbers, place * update.RING + i))
        for row in range(rows):
            spread(cohort.state, (place * rows + row) * P, P, work, plan[THETA] + row * P * V + lane)
        if not is_done:
            put_all(cohort.costs, place * cohort.call[RECORDS], cohort.call[RECORDS], math.nan)
        find_samples(group, cohort, place, lane)
    put_all(work, plan[BAD], V, 0.0)
    if plan[KEPT]:
        for tile in range(plan[TILES]):
            load_tile(group, cohort, tile, tile * plan[WIDTH], min(plan[WIDTH], plan[SAMPLES] - tile * plan[WIDTH]))


@traced_inline
def spread(source, start, n, work, at):
    for i in steps(0, n):
        put(work, at + i * lanes(work), get(source, start + i))


@traced_inline
def _gather(work, at, n, to, start):
    for i in steps(0, n):
        put(to, start + i, get(work, at + i * lanes(work)))


@traced_inline
def put_all(work, at, n, value):
    for i in steps(at, at + n):
        put(work, i, value)


@inlined
def find_samples(group, cohort, place, lane):
    """How many samples count in a step of all, and one that does, to take the place of those that do not."""
    V, m = lanes(group.work), group.plan[SAMPLES]
    size, spare = 0 if cohort.call[ORDER] else m, 0
    if cohort.call[WEIGHED] and cohort.call[ORDER] == 0:
        size, row = 0, get(cohort.members, place * MEMBER + NUMBER) * m
        for s in range(m):
            if get(cohort.weights, row + s) > 0.0:
                size += 1
                spare = s
    put(group.book, SIZE * V + lane, size)
    put(group.book, SPARE * V + lane, spare)


# ---------------------------------------------------------------- samples


@inlined
def load_tile(group, cohort, place, start, size):
    """Put `size` samples of each network's step, from the `start`-th on, into the tile at this place."""
    plan, work, _, book = group
    V, m = lanes(work), cohort.call[ALL]
    n_x, n_y = plan[LAYERS + ROWS], plan[LAYERS + STRIDE * plan[DEPTH] + ROWS]
    data = place * plan[STEP]
    for s in range(size):
        at = s * V
        for lane in range(V):
            member = get(cohort.members, get(book, PLACE * V + lane) * MEMBER + NUMBER)
            sample, weight = _sample(cohort, book, V, lane, start + s), work.dtype.type(0.0)
            if sample < 0:
                sample = get(cohort.orders, get(book, AT * V + lane))
            else:
                weight = work.dtype.type(1.0 / get(book, SIZE * V + lane))
                if cohort.call[WEIGHED]:
                    weight = weight * get(cohort.weights, member * m + sample)
                    sample = get(book, SPARE * V + lane) if weight == 0.0 else sample
            put(work, plan[WEIGHT] + data + at + lane, weight)
            put(book, IN_X * V + lane, ((member * m if cohort.call[OWN_X] else 0) + sample) * n_x)
            put(book, IN_Y * V + lane, ((member * m if cohort.call[OWN_Y] else 0) + sample) * n_y)
        if not plan[SHARED]:
            _turn_in(cohort.X, book, IN_X * V, n_x, work, plan[INPUT] + data + at, size * V)
        _turn_in(cohort.Y, book, IN_Y * V, n_y, work, plan[TARGET] + data + at, size * V)


@traced
def _turn_in(source, book, places, n, work, at, row):
    """The n numbers of a sample for each lane, which stand side by side at places in `book`, into rows."""
    V = lanes(work)
    starts, whole = [get(book, places + lane) for lane in range(V)], n // V * V
    for k in steps(0, whole, V):
        turn(source, [start + k for start in starts], work, at + k * row, row)
    for k in steps(whole, n):
        for lane, start in enumerate(starts):
            put(work, at + k * row + lane, get(source, start + k))


@inlined
def _sample(cohort, book, V, lane, s):
    """The s-th sample of a lane's step; -1 if it has no more."""
    if cohort.call[ORDER] == 0:
        return s
    if s >= get(book, SIZE * V + lane):
        return -1
    return get(cohort.orders, get(book, AT * V + lane) + s)


# ---------------------------------------------------------------- its steps


def trainer(advance):
    """The function that trains networks, with ``advance(group, cohort, count, record)`` for some steps."""

    def train(
        plan, work, hyper, book, call, members, numbers, state, X, Y, weights, orders, rates, costs, first, stop
    ):  # fmt: skip
        """Train networks `first` to `stop`; see `Group` and `Cohort`.

        Many arguments: see engine.py.
        """
        group = Group(plan, work, hyper, book)
        cohort = Cohort(call, members, numbers, state, X, Y, weights, orders, rates, costs)
        for begin in range(first, stop, lanes(work)):
            _open(group, cohort, begin, stop)
            run(group, cohort)

    @inlined
    def run(group, cohort):
        """Have all lanes take their steps. Up to step `care` they are looked at after each."""
        t, kept, following, care = 0, 0, 0, -1
        while True:
            if not _close(group, cohort, t, t <= care):
                t, care, following = kept, t, kept
                _go_back(group, cohort)
                continue
            if t == care:
                _pause(group, cohort, t)
            until, record = _next_event(group, cohort, t)
            if until == NEVER:
                return
            if t < care or t >= following:
                _keep(group)
                kept, following = t, t + max(SOON, min(t, choices.UNSEEN))
            until = min(until, following)
            if t < care or cohort.call[ORDER] or cohort.call[RATES]:
                until = t + 1
            if cohort.call[RATES]:
                _set_rates(group, cohort, t)
            advance(group, cohort, until - t, record)
            if record:
                _record(group, cohort, t)
            t = until

    return train


@inlined
def _next_event(group, cohort, t):
    """The next step before which a lane ends, or is recorded, and whether one is recorded before this one."""
    V, book = lanes(group.work), group.book
    until, record = NEVER, False
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            following = get(book, NEXT * V + lane)
            if following == t:
                record = True
                following += cohort.call[INTERVAL]
            until = min(until, get(book, LAST * V + lane), following)
    return until, record


@inlined
def _close(group, cohort, t, careful):
    """Hand out the networks that have taken their last step, or one that was not good. Without care, whether all were:
    for then it is not known which was not.
    """
    plan, work, _hyper, book = group
    V = lanes(work)
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            is_good = get(work, plan[BAD] + lane) == 0.0
            if not is_good and not careful:
                return False
            if get(book, LAST * V + lane) == t or not is_good:
                _hand_out(group, cohort, lane, plan[THETA] if is_good else plan[BEFORE], t if is_good else t - 1)
    return True


@inlined
def _pause(group, cohort, t):
    """Hand out those that are left, to go on beside others; but it does not pay for a few steps."""
    V, book = lanes(group.work), group.book
    most = 0
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            most = max(most, get(book, LAST * V + lane) - t)
    if most > choices.UNSEEN:
        for lane in range(V):
            if get(book, DONE * V + lane) == 0:
                put(cohort.members, get(book, PLACE * V + lane) * MEMBER + PAUSES, 1)
                _hand_out(group, cohort, lane, group.plan[THETA], t)


@inlined
def _hand_out(group, cohort, lane, start, good):
    """A network's parameters and what its optimizer remembers, which stand one after the other."""
    plan, work, hyper, book = group
    V, P = lanes(work), plan[COUNT]
    rows = cohort.state.size // (cohort.members.size // MEMBER) // P
    place = get(book, PLACE * V + lane)
    for row in range(rows):
        _gather(work, start + row * P * V + lane, P, cohort.state, (place * rows + row) * P)
    taken = update.POWER1 if start == plan[THETA] else update.TOTAL
    for i in range(2):
        put(cohort.numbers, place * update.RING + update.POWER1 + i, get(hyper, (taken + i) * V + lane))
    put(cohort.members, place * MEMBER + GOOD, good)
    put(book, DONE * V + lane, 1)


@inlined
def _keep(group):
    """What a step that is not good goes back to."""
    plan, work, hyper, book = group
    V = lanes(work)
    copy(work, plan[BEFORE], plan[THETA], 3 * plan[COUNT] * V)
    for i in range(2 * V):  # in places of which only the engine makes use
        put(hyper, update.TOTAL * V + i, get(hyper, update.POWER1 * V + i))
    for i in range(BOOK * V):
        put(book, BOOK * V + i, get(book, i))


@inlined
def _go_back(group, cohort):
    """To what was kept. What has been recorded since then is forgotten."""
    plan, work, hyper, book = group
    V, records = lanes(work), cohort.call[RECORDS]
    copy(work, plan[THETA], plan[BEFORE], 3 * plan[COUNT] * V)
    for i in range(2 * V):
        put(hyper, update.POWER1 * V + i, get(hyper, update.TOTAL * V + i))
    for i in range(BOOK * V):
        put(book, i, get(book, BOOK * V + i))
    put_all(work, plan[BAD], V, 0.0)
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            recorded = get(book, RECORDED * V + lane)
            put_all(cohort.costs, get(book, PLACE * V + lane) * records + recorded, records - recorded, math.nan)


@inlined
def _set_rates(group, cohort, t):
    V = lanes(group.work)
    for lane in range(V):
        if get(group.book, DONE * V + lane) == 0:
            taken = get(cohort.members, get(group.book, PLACE * V + lane) * MEMBER + TAKEN)
            put(group.hyper, update.RATE * V + lane, get(cohort.rates, taken + t - cohort.call[FROM]))


@inlined
def _record(group, cohort, t):
    """The costs of step t, for those who want it. One that is not finite makes its lane bad, like a parameter."""
    plan, work, _hyper, book = group
    V = lanes(work)
    for lane in range(V):
        if get(book, DONE * V + lane) == 0 and get(book, NEXT * V + lane) == t:
            cost = float(get(work, plan[COST] + lane))
            if -math.inf < cost < math.inf:
                record = get(book, RECORDED * V + lane)
                put(cohort.costs, get(book, PLACE * V + lane) * cohort.call[RECORDS] + record, cost)
                put(book, RECORDED * V + lane, record + 1)
            else:
                put(work, plan[BAD] + lane, math.nan)
            put(book, NEXT * V + lane, t + cohort.call[INTERVAL])


SIGNATURE = (
    "void(int64[::1], T[::1], float64[::1], int64[::1], int64[::1], int64[::1], float64[::1], T[::1], T[::1], T[::1], "
    "T[::1], int64[::1], float64[::1], float64[::1], int64, int64)"
)


# ---------------------------------------------------------------- networks of any size


@traced
def _begin(work, hyper, kind):
    step.begin(work, hyper, kind)


@traced
def _tile(work, X, plan, place, tile, start, size, record, scikit):
    """See `step.one_tile`. Many arguments: see tracing.py."""
    step.one_tile(work, X, step.Read(plan), place, tile, start, size, record, scikit)


@traced
def _finish(work, plan, hyper, kind, record, penalized):
    step.finish(work, step.Read(plan), hyper, kind, record, penalized)
    step.look(work, step.Read(plan))


@inlined
def advance(group, cohort, count, record):
    """So many steps, of all samples or of the next in each lane's order; the first one is recorded or not."""
    plan, work, hyper, _book = group
    kind, penalized, scikit = cohort.call[KIND], cohort.call[PENALIZED] != 0, cohort.call[SCIKIT] != 0
    for number in range(count):
        with_cost = record and number == 0
        size = _next_samples(group, cohort)
        if scikit and penalized:
            _share_penalties(group, cohort)
        _begin(work, hyper, kind)
        for tile in range((size + plan[WIDTH] - 1) // plan[WIDTH]):
            start = tile * plan[WIDTH]
            width = min(plan[WIDTH], size - start)
            place = tile
            if not plan[KEPT]:
                place = 0
                load_tile(group, cohort, 0, start, width)
            _tile(work, cohort.X, plan, place, tile, start, width, with_cost, scikit)
        _finish(work, plan, hyper, kind, with_cost, penalized)


@inlined
def _next_samples(group, cohort):
    """Go on to the next samples of each lane's order; the most that a lane has."""
    if cohort.call[ORDER] == 0:
        return group.plan[SAMPLES]
    V, book = lanes(group.work), group.book
    most = 0
    for lane in range(V):
        if get(book, DONE * V + lane):
            continue
        size, rest = get(book, SIZE * V + lane), get(book, REST * V + lane)
        put(book, AT * V + lane, get(book, AT * V + lane) + size)
        if rest == 0:
            rest = get(cohort.members, get(book, PLACE * V + lane) * MEMBER + EPOCH)
        size = min(cohort.call[BATCH], rest)
        put(book, SIZE * V + lane, size)
        put(book, REST * V + lane, rest - size)
        most = max(most, size)
    return most


@inlined
def _share_penalties(group, cohort):
    """Divide each lane's penalties by the samples of its batch; see `fastxor.state.Job.scikit`."""
    V, book = lanes(group.work), group.book
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            numbers, size = get(book, PLACE * V + lane) * update.RING, get(book, SIZE * V + lane)
            for i in (update.L2, update.L1):
                put(group.hyper, i * V + lane, get(cohort.numbers, numbers + i) * (1.0 / size))


train = kernel(SIGNATURE, "the core for populations")(trainer(advance))
