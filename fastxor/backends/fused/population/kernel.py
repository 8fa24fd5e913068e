"""The kernels that train groups of networks, as many at a time as a vector has lanes; to be read from `train`.

Arrays are flat; `plan` and `work` are those of layout.py. `hyper` has a vector of float64 for each entry of
update.py's, `book` one of integers for each of those below.

A group takes its steps without looking back, and is looked at now and then: what is no longer finite stays so. If
something is not, the group goes back to where it was looked at last, and looks after every step. Who has taken the last
step, has failed or has reached the target makes room for the next network. When no more of them wait, those that are
left pause, and are to go on in a group that is full.
"""

import math
from typing import NamedTuple

from .. import choices, update
from .._jit import inlined, kernel
from ..choices import MOST_COSTS
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
KIND, PENALIZED, INTERVAL, RECORDS, BATCH, WEIGHED, OWN_X, OWN_Y, ALL, ORDER, RATES, FROM, SCIKIT, TARGETS = range(14)
CALL = 14
# Of a network: its number in the cohort; how many steps it is to take, and which is recorded first; the samples of an
# epoch, and how many are left of the present one; how many steps it had taken; how many were good; how many more it is
# to take in another group; whether it has reached its target.
NUMBER, STEPS, FIRST, EPOCH, LEFT, TAKEN, GOOD, MORE, REACHED, MEMBER = range(10)
# Its numbers: the entries of `hyper` up to CLIP, and the cost that is its target, -infinity if there is none.
ENOUGH = update.CLIP + 1
NUMBERS = ENOUGH + 1
# Of a lane: the network's place in the call; the group's step with which it began, and that with which it ends; which
# is recorded next, and how many were; whether the lane is done; its place in the order, what is left of the epoch, the
# samples in its step; one of its samples that counts; and where its next sample stands in X and Y.
# A book has them twice, the second time as they were when they were kept.
PLACE, BEGIN, LAST, NEXT, RECORDED, DONE, AT, REST, SIZE, SPARE, IN_X, IN_Y, BOOK = range(13)

NEVER = 1 << 62  # a step that no network comes to
NOBODY = 2  # a lane that was done from the beginning, as there are not so many networks


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
    numbers: object  # (n, NUMBERS)
    state: object  # (n, 1 + rows, parameters): parameters, and what the optimizer remembers
    X: object  # (n_x, m) where it is read in its place, else (m, n_x) or (members, m, n_x)
    Y: object  # (m, n_y) or (members, m, n_y)
    weights: object  # (members, m)
    orders: object  # (n, ORDER)
    rates: object  # (RATES,), of the steps from FROM on
    costs: object  # (n, RECORDS)


# ---------------------------------------------------------------- networks come in


@inlined
def _open(group, cohort, first, stop):
    """Put the first networks into the lanes, the last of them again and again into those that are left."""
    V = lanes(group.work)
    for lane in range(V):
        _enter(group, cohort, min(first + lane, stop - 1), lane, 0)
        if first + lane >= stop:
            put(group.book, DONE * V + lane, NOBODY)
    _load_tiles(group, cohort)


@inlined
def _enter(group, cohort, place, lane, t):
    """Put a network into a lane, before the group's step t."""
    plan, work, hyper, book = group
    V, P, rows = lanes(work), plan[COUNT], cohort.state.size // (cohort.members.size // MEMBER) // plan[COUNT]
    member = place * MEMBER
    put(book, PLACE * V + lane, place)
    put(book, BEGIN * V + lane, t)
    put(book, LAST * V + lane, t + get(cohort.members, member + STEPS))
    put(book, NEXT * V + lane, t + get(cohort.members, member + FIRST))
    put(book, RECORDED * V + lane, 0)
    put(book, DONE * V + lane, 0)
    put(book, AT * V + lane, place * cohort.call[ORDER])
    put(book, REST * V + lane, get(cohort.members, member + LEFT))
    for i in range(ENOUGH):
        put(hyper, i * V + lane, get(cohort.numbers, place * NUMBERS + i))
    for row in range(rows):
        spread(cohort.state, (place * rows + row) * P, P, work, plan[THETA] + row * P * V + lane)
    put(work, plan[BAD] + lane, 0.0)
    find_samples(group, cohort, place, lane)


@inlined
def _load_tiles(group, cohort):
    """The samples of all lanes, where these stay in their places."""
    plan = group.plan
    if plan[KEPT]:
        for tile in range(plan[TILES]):
            load_tile(group, cohort, tile, tile * plan[WIDTH], min(plan[WIDTH], plan[SAMPLES] - tile * plan[WIDTH]))


@inlined
def _wait(group, cohort, waiting, t):
    """In how many steps the next network may come in: at once if a lane is done, but beside others where its records
    are at the same steps as theirs, if there are many; NEVER if no lane is done.
    """
    V, book, interval = lanes(group.work), group.book, cohort.call[INTERVAL]
    steps, is_full = 0, True
    for lane in range(V):
        if get(book, DONE * V + lane):
            is_full = False
        elif interval <= choices.UNSEEN:
            steps = (get(book, NEXT * V + lane) - t - get(cohort.members, waiting * MEMBER + FIRST)) % interval
    return NEVER if is_full else steps


@inlined
def _start_again(group, cohort, t, since):
    """Have those that are left begin anew, if all of them came in a few steps ago: then others may come in at once."""
    V, book = lanes(group.work), group.book
    if t - since > choices.FIRST_LOOK:
        return False
    for lane in range(V):
        if get(book, DONE * V + lane) == 0 and get(book, BEGIN * V + lane) != since:
            return False
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            _enter(group, cohort, get(book, PLACE * V + lane), lane, t)
    return True


@inlined
def _refill(group, cohort, waiting, stop, t):
    """Put those that wait into the lanes that are done; who waits then."""
    V = lanes(group.work)
    for lane in range(V):
        if get(group.book, DONE * V + lane) and waiting < stop:
            _enter(group, cohort, waiting, lane, t)
            waiting += 1
    _load_tiles(group, cohort)
    return waiting


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
    starts, V = [get(book, places + lane) for lane in range(lanes(work))], lanes(source)
    whole = n // V * V
    for k in steps(0, whole, V):
        for lane in range(0, len(starts), V):
            turn(source, [start + k for start in starts[lane : lane + V]], work, at + k * row + lane, row)
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
    """The function that trains networks, with ``advance(group, cohort, count, first, period)`` for some steps, of which
    the costs before the steps `first`, `first` + `period`, … are put aside.
    """

    def train(
        plan, work, hyper, book, call, members, numbers, state, X, Y, weights, orders, rates, costs, first, stop
    ):  # fmt: skip
        """Train networks `first` to `stop`; see `Group` and `Cohort`.

        Many arguments: see engine.py.
        """
        group = Group(plan, work, hyper, book)
        cohort = Cohort(call, members, numbers, state, X, Y, weights, orders, rates, costs)
        _open(group, cohort, first, stop)
        run(group, cohort, first + lanes(work), stop)

    @inlined
    def run(group, cohort, waiting, stop):
        """Have all networks take their steps, those too that wait. Up to step `care` they are looked at after each."""
        t, kept, following, care, since = 0, 0, 0, -1, 0
        while True:
            if not _close(group, cohort, t, t <= care):
                t, care, following = kept, t, kept
                _go_back(group, cohort)
                continue
            wait = _wait(group, cohort, waiting, t) if waiting < stop else NEVER
            if 0 < wait < NEVER and _start_again(group, cohort, t, since):
                wait = 0
            if wait == 0:
                waiting = _refill(group, cohort, waiting, stop, t)
                since, following = t, t
            elif waiting >= stop and t >= care:
                _pause(group, cohort, t)
            until, period = _next_event(group, cohort, t)
            if until == NEVER:
                return
            if t < care or t >= following or (period and cohort.call[TARGETS]):
                _keep(group)
                kept = t
                if t < care or t >= following:
                    following = t + max(choices.FIRST_LOOK, min(t - since, choices.UNSEEN))
            until = min(until, following, t + wait)
            if t < care or cohort.call[ORDER] or cohort.call[RATES]:
                until = t + 1
            if cohort.call[RATES]:
                _set_rates(group, cohort, t)
            advance(group, cohort, until - t, 0 if period else until - t, max(period, 1))
            if period and _record(group, cohort, t, until) and until == t + 1 and waiting < stop:
                _go_back(group, cohort)  # to take the step beside those that come in
            else:
                t = until

    return train


@inlined
def _next_event(group, cohort, t):
    """The next step before which a lane ends, or records that are to be seen to; and how many steps lie between the
    records from this one on, 0 if none is at this one.
    """
    V, book, interval = lanes(group.work), group.book, cohort.call[INTERVAL]
    until, following, some, all_of = NEVER, NEVER, False, True
    for lane in range(V):
        if get(book, DONE * V + lane) == 0:
            until = min(until, get(book, LAST * V + lane))
            if get(book, NEXT * V + lane) == t:
                some = True
            else:
                all_of = False
                following = min(following, get(book, NEXT * V + lane))
    if some and cohort.call[TARGETS]:  # few steps beyond one that may be the last
        following = min(following, t + (1 if interval >= MOST_COSTS else MOST_COSTS))
    if some and all_of:
        following = min(following, t + min(interval, NEVER // MOST_COSTS) * MOST_COSTS)
    elif some:
        following = min(following, t + interval)
    return min(until, following), interval if some else 0


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
    """Where some lanes are done, hand out those that are left, to go on beside others, if there are; but it does not
    pay for a few steps.
    """
    V, book = lanes(group.work), group.book
    most, is_full = 0, True
    for lane in range(V):
        if get(book, DONE * V + lane) == 1:
            is_full = False
        elif get(book, DONE * V + lane) == 0:
            most = max(most, get(book, LAST * V + lane) - t)
    if most > choices.UNSEEN and not is_full and cohort.members.size > V * MEMBER:
        for lane in range(V):
            if get(book, DONE * V + lane) == 0:
                _hand_out(group, cohort, lane, group.plan[THETA], t)
                left = get(book, LAST * V + lane) - t
                put(cohort.members, get(book, PLACE * V + lane) * MEMBER + MORE, left)


@inlined
def _hand_out(group, cohort, lane, start, t):
    """A network, before the group's step t: its parameters and what its optimizer remembers, which stand one after the
    other.
    """
    plan, work, hyper, book = group
    V, P = lanes(work), plan[COUNT]
    rows = cohort.state.size // (cohort.members.size // MEMBER) // P
    place = get(book, PLACE * V + lane)
    for row in range(rows):
        _gather(work, start + row * P * V + lane, P, cohort.state, (place * rows + row) * P)
    taken = update.POWER1 if start == plan[THETA] else update.TOTAL
    for i in range(2):
        put(cohort.numbers, place * NUMBERS + update.POWER1 + i, get(hyper, (taken + i) * V + lane))
    put(cohort.members, place * MEMBER + GOOD, t - get(book, BEGIN * V + lane))
    put(cohort.members, place * MEMBER + MORE, 0)
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
    """To what was kept, but for those that have reached their target. What the others have recorded is forgotten."""
    plan, work, hyper, book = group
    V, records = lanes(work), cohort.call[RECORDS]
    copy(work, plan[THETA], plan[BEFORE], 3 * plan[COUNT] * V)
    for i in range(2 * V):
        put(hyper, update.POWER1 * V + i, get(hyper, update.TOTAL * V + i))
    for i in range(BOOK * V):
        put(book, i, get(book, BOOK * V + i))
    put_all(work, plan[BAD], V, 0.0)
    for lane in range(V):
        place, recorded = get(book, PLACE * V + lane), get(book, RECORDED * V + lane)
        if get(cohort.members, place * MEMBER + REACHED):
            put(book, DONE * V + lane, 1)
        elif get(book, DONE * V + lane) == 0:
            put_all(cohort.costs, place * records + recorded, records - recorded, math.nan)


@inlined
def _set_rates(group, cohort, t):
    V = lanes(group.work)
    for lane in range(V):
        if get(group.book, DONE * V + lane) == 0:
            taken = get(cohort.members, get(group.book, PLACE * V + lane) * MEMBER + TAKEN)
            step = taken + t - get(group.book, BEGIN * V + lane)
            put(group.hyper, update.RATE * V + lane, get(cohort.rates, step - cohort.call[FROM]))


@inlined
def _record(group, cohort, t, until):
    """The costs of steps t to `until`, for those who want them. One that is not finite makes its lane bad, like a
    parameter. With one that is its target, a network ends: as it was kept before step t, and has so many more to take.
    Is there such a one?
    """
    plan, work, _hyper, book = group
    V, interval, some = lanes(work), cohort.call[INTERVAL], False
    for lane in range(V):
        if get(book, DONE * V + lane) == 0 and get(book, NEXT * V + lane) == t:
            place, record = get(book, PLACE * V + lane), get(book, RECORDED * V + lane)
            enough = get(cohort.numbers, place * NUMBERS + ENOUGH)
            is_good = until == t + 1 or get(work, plan[BAD] + lane) == 0.0
            at, step, to = work.size - MOST_COSTS * V + lane, t, place * cohort.call[RECORDS]
            goes_on = True
            while step < until and goes_on:
                cost = float(get(work, at))
                if -math.inf < cost < math.inf:
                    put(cohort.costs, to + record, cost)
                    record += 1
                    if cost <= enough and is_good:
                        _hand_out(group, cohort, lane, plan[BEFORE], t)
                        put(cohort.members, place * MEMBER + MORE, step - t)
                        put(cohort.members, place * MEMBER + REACHED, 1)
                        goes_on, some = False, True
                else:
                    put(work, plan[BAD] + lane, math.nan)
                step += interval
                at += V
            put(book, RECORDED * V + lane, record)
            put(book, NEXT * V + lane, step)
    return some


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
def advance(group, cohort, count, first, period):
    """So many steps, of all samples or of the next in each lane's order."""
    plan, work, hyper, _book = group
    kind, penalized, scikit = cohort.call[KIND], cohort.call[PENALIZED] != 0, cohort.call[SCIKIT] != 0
    aside = work.size - MOST_COSTS * lanes(work)
    for number in range(count):
        with_cost = number == first
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
        if with_cost:
            copy(work, aside, plan[COST], lanes(work))
            aside += lanes(work)
            first += period


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
            numbers, size = get(book, PLACE * V + lane) * NUMBERS, get(book, SIZE * V + lane)
            for i in (update.L2, update.L1):
                put(group.hyper, i * V + lane, get(cohort.numbers, numbers + i) * (1.0 / size))


train = kernel(SIGNATURE, "the core for populations")(trainer(advance))
