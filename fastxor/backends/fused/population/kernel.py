"""The kernels that train groups of networks, as many at a time as a vector has lanes; to be read from `train`.

Arrays are flat; `plan` and `work` are those of layout.py. `hyper` has a vector of float64 for each entry of
update.py's, `lane_state` one of integers for each of those below.

A group takes its steps without looking back, and is looked at now and then: what is no longer finite stays so. If
something is not, the group goes back to where it was looked at last, and looks after every step. Who has taken the last
step, has failed or has reached the target makes room for the next network. When no more of them wait, those that are
left pause, and are to go on in a group that is full.
"""

import math
from typing import NamedTuple

from .. import choices, update
from .._jit import inlined, kernel
from ..choices import MAX_RECORDED_COSTS
from ..simd import get, lanes, put, transpose_from
from ..tracing import steps, traced, traced_inline
from ..vectors import copy
from . import step
from .layout import (
    BEFORE,
    COST,
    COUNT,
    DEPTH,
    INPUT,
    LAYERS,
    NONFINITE,
    RESIDENT,
    ROWS,
    SAMPLES,
    SHARED,
    STRIDE,
    TARGET,
    THETA,
    TILE_STRIDE,
    TILES,
    WEIGHT,
    WIDTH,
)

# Of a call: how the networks are trained.
KIND, PENALIZED, INTERVAL, RECORDS, BATCH, WEIGHED, OWN_X, OWN_Y, ALL, ORDER, RATES, FIRST_RATE, SCIKIT, TARGETS = (
    range(14)
)
CALL_FIELDS = 14
# Of a network: its number in the cohort; how many steps it is to take, and which is recorded first; the samples of an
# epoch, and how many are left of the present one; how many steps it had taken; how many were good; how many more it is
# to take in another group; whether it has reached its target.
MEMBER_INDEX, STEPS, FIRST, EPOCH, EPOCH_REMAINING, TAKEN, GOOD, REMAINING, REACHED, MEMBER_FIELDS = range(10)
# Its numbers: the entries of `hyper` up to CLIP, and the cost that is its target, -infinity if there is none.
TARGET_COST = update.CLIP + 1
NUMBER_FIELDS = TARGET_COST + 1
# Of a lane: the network's place in the call; the group's step with which it began, and that with which it ends; which
# is recorded next, and how many were; whether the lane is done; its place in the order, what is left of the epoch, the
# samples in its step; one of its samples that counts; and where its next sample stands in X and Y.
# A book has them twice, the second time as they were when they were kept.
(
    CALL_INDEX,
    FIRST_STEP,
    LAST_STEP,
    NEXT,
    RECORDED,
    DONE,
    ORDER_AT,
    LANE_EPOCH_REMAINING,
    SIZE,
    FILLER_SAMPLE,
    IN_X,
    IN_Y,
    LANE_FIELDS,
) = range(13)

NEVER = 1 << 62  # a step that no network comes to
EMPTY_LANE = 2  # a lane that was done from the beginning, as there are not so many networks


class LaneGroup(NamedTuple):
    """What a thread works on."""

    plan: object
    work: object
    hyper: object
    lane_state: object


class Arrays(NamedTuple):
    """Of all networks, which are n."""

    call: object
    members: object  # (n, MEMBER_FIELDS)
    numbers: object  # (n, NUMBER_FIELDS)
    state: object  # (n, 1 + rows, parameters): parameters, and what the optimizer remembers
    X: object  # (n_x, m) where it is read in its place, else (m, n_x) or (members, m, n_x)
    Y: object  # (m, n_y) or (members, m, n_y)
    weights: object  # (members, m)
    orders: object  # (n, ORDER)
    rates: object  # (RATES,), of the steps from FIRST_RATE on
    costs: object  # (n, RECORDS)


# ---------------------------------------------------------------- networks come in


@inlined
def _fill_lanes(group, arrays, first, stop):
    """Put the first networks into the lanes, the last of them again and again into those that are left."""
    V = lanes(group.work)
    for lane in range(V):
        _load_lane(group, arrays, min(first + lane, stop - 1), lane, 0)
        if first + lane >= stop:
            put(group.lane_state, DONE * V + lane, EMPTY_LANE)
    _load_tiles(group, arrays)


@inlined
def _load_lane(group, arrays, place, lane, t):
    """Put a network into a lane, before the group's step t."""
    plan, work, hyper, lane_state = group
    V, P, rows = lanes(work), plan[COUNT], arrays.state.size // (arrays.members.size // MEMBER_FIELDS) // plan[COUNT]
    member = place * MEMBER_FIELDS
    put(lane_state, CALL_INDEX * V + lane, place)
    put(lane_state, FIRST_STEP * V + lane, t)
    put(lane_state, LAST_STEP * V + lane, t + get(arrays.members, member + STEPS))
    put(lane_state, NEXT * V + lane, t + get(arrays.members, member + FIRST))
    put(lane_state, RECORDED * V + lane, 0)
    put(lane_state, DONE * V + lane, 0)
    put(lane_state, ORDER_AT * V + lane, place * arrays.call[ORDER])
    put(lane_state, LANE_EPOCH_REMAINING * V + lane, get(arrays.members, member + EPOCH_REMAINING))
    for i in range(TARGET_COST):
        put(hyper, i * V + lane, get(arrays.numbers, place * NUMBER_FIELDS + i))
    for row in range(rows):
        scatter_lane(arrays.state, (place * rows + row) * P, P, work, plan[THETA] + row * P * V + lane)
    put(work, plan[NONFINITE] + lane, 0.0)
    find_samples(group, arrays, place, lane)


@inlined
def _load_tiles(group, arrays):
    """The samples of all lanes, where these stay in their places."""
    plan = group.plan
    if plan[RESIDENT]:
        for tile in range(plan[TILES]):
            load_tile(group, arrays, tile, tile * plan[WIDTH], min(plan[WIDTH], plan[SAMPLES] - tile * plan[WIDTH]))


@inlined
def _steps_to_refill(group, arrays, waiting, t):
    """In how many steps the next network may come in: at once if a lane is done, but beside others where its records
    are at the same steps as theirs, if there are many; NEVER if no lane is done.
    """
    V, lane_state, interval = lanes(group.work), group.lane_state, arrays.call[INTERVAL]
    steps, is_full = 0, True
    for lane in range(V):
        if get(lane_state, DONE * V + lane):
            is_full = False
        elif interval <= choices.STEPS_PER_CHECK:
            first = get(arrays.members, waiting * MEMBER_FIELDS + FIRST)
            steps = (get(lane_state, NEXT * V + lane) - t - first) % interval
    return NEVER if is_full else steps


@inlined
def _restart_lanes(group, arrays, t, lanes_filled_at):
    """Have those that are left begin anew, if all of them came in a few steps ago: then others may come in at once."""
    V, lane_state = lanes(group.work), group.lane_state
    if t - lanes_filled_at > choices.STEPS_TO_FIRST_CHECK:
        return False
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 0 and get(lane_state, FIRST_STEP * V + lane) != lanes_filled_at:
            return False
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 0:
            _load_lane(group, arrays, get(lane_state, CALL_INDEX * V + lane), lane, t)
    return True


@inlined
def _refill(group, arrays, waiting, stop, t):
    """Put those that wait into the lanes that are done; who waits then."""
    V = lanes(group.work)
    for lane in range(V):
        if get(group.lane_state, DONE * V + lane) and waiting < stop:
            _load_lane(group, arrays, waiting, lane, t)
            waiting += 1
    _load_tiles(group, arrays)
    return waiting


@traced_inline
def scatter_lane(source, start, n, work, at):
    for i in steps(0, n):
        put(work, at + i * lanes(work), get(source, start + i))


@traced_inline
def gather_lane(work, at, n, to, start):
    for i in steps(0, n):
        put(to, start + i, get(work, at + i * lanes(work)))


@traced_inline
def fill_range(work, at, n, value):
    for i in steps(at, at + n):
        put(work, i, value)


@inlined
def find_samples(group, arrays, place, lane):
    """How many samples count in a step of all, and one that does, to take the place of those that do not."""
    V, m = lanes(group.work), group.plan[SAMPLES]
    size, spare = 0 if arrays.call[ORDER] else m, 0
    if arrays.call[WEIGHED] and arrays.call[ORDER] == 0:
        size, row = 0, get(arrays.members, place * MEMBER_FIELDS + MEMBER_INDEX) * m
        for s in range(m):
            if get(arrays.weights, row + s) > 0.0:
                size += 1
                spare = s
    put(group.lane_state, SIZE * V + lane, size)
    put(group.lane_state, FILLER_SAMPLE * V + lane, spare)


# ---------------------------------------------------------------- samples


@inlined
def load_tile(group, arrays, place, start, size):
    """Put `size` samples of each network's step, from the `start`-th on, into the tile at this place."""
    plan, work, _, lane_state = group
    V, m = lanes(work), arrays.call[ALL]
    n_x, n_y = plan[LAYERS + ROWS], plan[LAYERS + STRIDE * plan[DEPTH] + ROWS]
    data = place * plan[TILE_STRIDE]
    for s in range(size):
        at = s * V
        for lane in range(V):
            member = get(arrays.members, get(lane_state, CALL_INDEX * V + lane) * MEMBER_FIELDS + MEMBER_INDEX)
            sample, weight = _sample(arrays, lane_state, V, lane, start + s), work.dtype.type(0.0)
            if sample < 0:
                sample = get(arrays.orders, get(lane_state, ORDER_AT * V + lane))
            else:
                weight = work.dtype.type(1.0 / get(lane_state, SIZE * V + lane))
                if arrays.call[WEIGHED]:
                    weight = weight * get(arrays.weights, member * m + sample)
                    sample = get(lane_state, FILLER_SAMPLE * V + lane) if weight == 0.0 else sample
            put(work, plan[WEIGHT] + data + at + lane, weight)
            put(lane_state, IN_X * V + lane, ((member * m if arrays.call[OWN_X] else 0) + sample) * n_x)
            put(lane_state, IN_Y * V + lane, ((member * m if arrays.call[OWN_Y] else 0) + sample) * n_y)
        if not plan[SHARED]:
            _load_transposed(arrays.X, lane_state, IN_X * V, n_x, work, plan[INPUT] + data + at, size * V)
        _load_transposed(arrays.Y, lane_state, IN_Y * V, n_y, work, plan[TARGET] + data + at, size * V)


@traced
def _load_transposed(source, lane_state, places, n, work, at, row):
    """The n numbers of a sample for each lane, which stand side by side at places in `lane_state`, into rows."""
    starts, V = [get(lane_state, places + lane) for lane in range(lanes(work))], lanes(source)
    whole = n // V * V
    for k in steps(0, whole, V):
        for lane in range(0, len(starts), V):
            transpose_from(source, [start + k for start in starts[lane : lane + V]], work, at + k * row + lane, row)
    for k in steps(whole, n):
        for lane, start in enumerate(starts):
            put(work, at + k * row + lane, get(source, start + k))


@inlined
def _sample(arrays, lane_state, V, lane, s):
    """The s-th sample of a lane's step; -1 if it has no more."""
    if arrays.call[ORDER] == 0:
        return s
    if s >= get(lane_state, SIZE * V + lane):
        return -1
    return get(arrays.orders, get(lane_state, ORDER_AT * V + lane) + s)


# ---------------------------------------------------------------- its steps


def make_trainer(advance):
    """The function that trains networks, with ``advance(group, arrays, count, first, period)`` for some steps, of which
    the costs before the steps `first`, `first` + `period`, … are stored.
    """

    def train(
        plan, work, hyper, lane_state, call, members, numbers, state, X, Y, weights, orders, rates, costs, first, stop
    ):  # fmt: skip
        """Train networks `first` to `stop`; see `LaneGroup` and `Arrays`.

        Many arguments: see engine.py.
        """
        group = LaneGroup(plan, work, hyper, lane_state)
        arrays = Arrays(call, members, numbers, state, X, Y, weights, orders, rates, costs)
        _fill_lanes(group, arrays, first, stop)
        run(group, arrays, first + lanes(work), stop)

    @inlined
    def run(group, arrays, waiting, stop):
        """Have all networks take their steps, those too that wait. Up to step `checked_until` they are looked at after
        each.
        """
        t, snapshot_at, next_check, checked_until, lanes_filled_at = 0, 0, 0, -1, 0
        while True:
            if not _retire_lanes(group, arrays, t, t <= checked_until):
                t, checked_until, next_check = snapshot_at, t, snapshot_at
                _restore_snapshot(group, arrays)
                continue
            wait = _steps_to_refill(group, arrays, waiting, t) if waiting < stop else NEVER
            if 0 < wait < NEVER and _restart_lanes(group, arrays, t, lanes_filled_at):
                wait = 0
            if wait == 0:
                waiting = _refill(group, arrays, waiting, stop, t)
                lanes_filled_at, next_check = t, t
            elif waiting >= stop and t >= checked_until:
                _compact(group, arrays, t)
            until, period = _next_event(group, arrays, t)
            if until == NEVER:
                return
            if t < checked_until or t >= next_check or (period and arrays.call[TARGETS]):
                _save_snapshot(group)
                snapshot_at = t
                if t < checked_until or t >= next_check:
                    next_check = t + max(
                        choices.STEPS_TO_FIRST_CHECK, min(t - lanes_filled_at, choices.STEPS_PER_CHECK)
                    )
            until = min(until, next_check, t + wait)
            if t < checked_until or arrays.call[ORDER] or arrays.call[RATES]:
                until = min(until, t + 1)  # one that has just come in may have no step to take
            if arrays.call[RATES]:
                _set_rates(group, arrays, t)
            advance(group, arrays, until - t, 0 if period else until - t, max(period, 1))
            if period and _record(group, arrays, t, until) and until == t + 1 and waiting < stop:
                _restore_snapshot(group, arrays)  # to take the step beside those that come in
            else:
                t = until

    return train


@inlined
def _next_event(group, arrays, t):
    """The next step before which a lane ends, or records that are to be seen to; and how many steps lie between the
    records from this one on, 0 if none is at this one.
    """
    V, lane_state, interval = lanes(group.work), group.lane_state, arrays.call[INTERVAL]
    until, next_check, any_lane, all_of = NEVER, NEVER, False, True
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 0:
            until = min(until, get(lane_state, LAST_STEP * V + lane))
            if get(lane_state, NEXT * V + lane) == t:
                any_lane = True
            else:
                all_of = False
                next_check = min(next_check, get(lane_state, NEXT * V + lane))
    if any_lane and arrays.call[TARGETS]:  # few steps beyond one that may be the last
        next_check = min(next_check, t + (1 if interval >= MAX_RECORDED_COSTS else MAX_RECORDED_COSTS))
    if any_lane and all_of:
        next_check = min(next_check, t + min(interval, NEVER // MAX_RECORDED_COSTS) * MAX_RECORDED_COSTS)
    elif any_lane:
        next_check = min(next_check, t + interval)
    return min(until, next_check), interval if any_lane else 0


@inlined
def _retire_lanes(group, arrays, t, check_each_step):
    """Hand out the networks that have taken their last step, or one that was not good. Without care, whether all were:
    for then it is not known which was not.
    """
    plan, work, _hyper, lane_state = group
    V = lanes(work)
    if not check_each_step:  # nobody is handed out who is then to go back: a network may have to begin anew
        for lane in range(V):
            if get(lane_state, DONE * V + lane) == 0 and get(work, plan[NONFINITE] + lane) != 0.0:
                return False
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 0:
            is_good = get(work, plan[NONFINITE] + lane) == 0.0
            if get(lane_state, LAST_STEP * V + lane) == t or not is_good:
                _store_lane(group, arrays, lane, plan[THETA] if is_good else plan[BEFORE], t if is_good else t - 1)
    return True


@inlined
def _compact(group, arrays, t):
    """Where some lanes are done, hand out those that are left, to go on beside others, if there are; but it does not
    pay for a few steps.
    """
    V, lane_state = lanes(group.work), group.lane_state
    most, is_full = 0, True
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 1:
            is_full = False
        elif get(lane_state, DONE * V + lane) == 0:
            most = max(most, get(lane_state, LAST_STEP * V + lane) - t)
    if most > choices.STEPS_PER_CHECK and not is_full and arrays.members.size > V * MEMBER_FIELDS:
        for lane in range(V):
            if get(lane_state, DONE * V + lane) == 0:
                _store_lane(group, arrays, lane, group.plan[THETA], t)
                left = get(lane_state, LAST_STEP * V + lane) - t
                put(arrays.members, get(lane_state, CALL_INDEX * V + lane) * MEMBER_FIELDS + REMAINING, left)


@inlined
def _store_lane(group, arrays, lane, start, t):
    """A network, before the group's step t: its parameters and what its optimizer remembers, which stand one after the
    other.
    """
    plan, work, hyper, lane_state = group
    V, P = lanes(work), plan[COUNT]
    rows = arrays.state.size // (arrays.members.size // MEMBER_FIELDS) // P
    place = get(lane_state, CALL_INDEX * V + lane)
    for row in range(rows):
        gather_lane(work, start + row * P * V + lane, P, arrays.state, (place * rows + row) * P)
    taken = update.POWER1 if start == plan[THETA] else update.COST_SUM
    for i in range(2):
        put(arrays.numbers, place * NUMBER_FIELDS + update.POWER1 + i, get(hyper, (taken + i) * V + lane))
    put(arrays.members, place * MEMBER_FIELDS + GOOD, t - get(lane_state, FIRST_STEP * V + lane))
    put(arrays.members, place * MEMBER_FIELDS + REMAINING, 0)
    put(lane_state, DONE * V + lane, 1)


@inlined
def _save_snapshot(group):
    """What a step that is not good goes back to."""
    plan, work, hyper, lane_state = group
    V = lanes(work)
    copy(work, plan[BEFORE], plan[THETA], 3 * plan[COUNT] * V)
    for i in range(2 * V):  # in places of which only the engine makes use
        put(hyper, update.COST_SUM * V + i, get(hyper, update.POWER1 * V + i))
    for i in range(LANE_FIELDS * V):
        put(lane_state, LANE_FIELDS * V + i, get(lane_state, i))


@inlined
def _restore_snapshot(group, arrays):
    """To what was kept, but for those that have reached their target. What the others have recorded is forgotten."""
    plan, work, hyper, lane_state = group
    V, records = lanes(work), arrays.call[RECORDS]
    copy(work, plan[THETA], plan[BEFORE], 3 * plan[COUNT] * V)
    for i in range(2 * V):
        put(hyper, update.POWER1 * V + i, get(hyper, update.COST_SUM * V + i))
    for i in range(LANE_FIELDS * V):
        put(lane_state, i, get(lane_state, LANE_FIELDS * V + i))
    fill_range(work, plan[NONFINITE], V, 0.0)
    for lane in range(V):
        place, recorded = get(lane_state, CALL_INDEX * V + lane), get(lane_state, RECORDED * V + lane)
        if get(arrays.members, place * MEMBER_FIELDS + REACHED):
            put(lane_state, DONE * V + lane, 1)
        elif get(lane_state, DONE * V + lane) == 0:
            fill_range(arrays.costs, place * records + recorded, records - recorded, math.nan)


@inlined
def _set_rates(group, arrays, t):
    V = lanes(group.work)
    for lane in range(V):
        if get(group.lane_state, DONE * V + lane) == 0:
            taken = get(arrays.members, get(group.lane_state, CALL_INDEX * V + lane) * MEMBER_FIELDS + TAKEN)
            step = taken + t - get(group.lane_state, FIRST_STEP * V + lane)
            put(group.hyper, update.RATE * V + lane, get(arrays.rates, step - arrays.call[FIRST_RATE]))


@inlined
def _record(group, arrays, t, until):
    """The costs of steps t to `until`, for those who want them. One that is not finite makes its lane bad, like a
    parameter. With one that is its target, a network ends: as it was kept before step t, and has so many more to take.
    Is there such a one?
    """
    plan, work, _hyper, lane_state = group
    V, interval, any_lane = lanes(work), arrays.call[INTERVAL], False
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 0 and get(lane_state, NEXT * V + lane) == t:
            place, record = get(lane_state, CALL_INDEX * V + lane), get(lane_state, RECORDED * V + lane)
            target = get(arrays.numbers, place * NUMBER_FIELDS + TARGET_COST)
            is_good = until == t + 1 or get(work, plan[NONFINITE] + lane) == 0.0
            at, step, to = work.size - MAX_RECORDED_COSTS * V + lane, t, place * arrays.call[RECORDS]
            goes_on = True
            while step < until and goes_on:
                cost = float(get(work, at))
                if -math.inf < cost < math.inf:
                    put(arrays.costs, to + record, cost)
                    record += 1
                    if cost <= target and is_good:
                        _store_lane(group, arrays, lane, plan[BEFORE], t)
                        put(arrays.members, place * MEMBER_FIELDS + REMAINING, step - t)
                        put(arrays.members, place * MEMBER_FIELDS + REACHED, 1)
                        goes_on, any_lane = False, True
                else:
                    put(work, plan[NONFINITE] + lane, math.nan)
                step += interval
                at += V
            put(lane_state, RECORDED * V + lane, record)
            put(lane_state, NEXT * V + lane, step)
    return any_lane


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
    step.mark_nonfinite(work, step.Read(plan))


@inlined
def advance(group, arrays, count, first, period):
    """So many steps, of all samples or of the next in each lane's order."""
    plan, work, hyper, _book = group
    kind, penalized, scikit = arrays.call[KIND], arrays.call[PENALIZED] != 0, arrays.call[SCIKIT] != 0
    recorded_costs = work.size - MAX_RECORDED_COSTS * lanes(work)
    for number in range(count):
        with_cost = number == first
        size = _next_samples(group, arrays)
        if scikit and penalized:
            _scale_penalties(group, arrays)
        _begin(work, hyper, kind)
        for tile in range((size + plan[WIDTH] - 1) // plan[WIDTH]):
            start = tile * plan[WIDTH]
            width = min(plan[WIDTH], size - start)
            place = tile
            if not plan[RESIDENT]:
                place = 0
                load_tile(group, arrays, 0, start, width)
            _tile(work, arrays.X, plan, place, tile, start, width, with_cost, scikit)
        _finish(work, plan, hyper, kind, with_cost, penalized)
        if with_cost:
            copy(work, recorded_costs, plan[COST], lanes(work))
            recorded_costs += lanes(work)
            first += period


@inlined
def _next_samples(group, arrays):
    """Go on to the next samples of each lane's order; the most that a lane has."""
    if arrays.call[ORDER] == 0:
        return group.plan[SAMPLES]
    V, lane_state = lanes(group.work), group.lane_state
    most = 0
    for lane in range(V):
        if get(lane_state, DONE * V + lane):
            continue
        size, rest = get(lane_state, SIZE * V + lane), get(lane_state, LANE_EPOCH_REMAINING * V + lane)
        put(lane_state, ORDER_AT * V + lane, get(lane_state, ORDER_AT * V + lane) + size)
        if rest == 0:
            rest = get(arrays.members, get(lane_state, CALL_INDEX * V + lane) * MEMBER_FIELDS + EPOCH)
        size = min(arrays.call[BATCH], rest)
        put(lane_state, SIZE * V + lane, size)
        put(lane_state, LANE_EPOCH_REMAINING * V + lane, rest - size)
        most = max(most, size)
    return most


@inlined
def _scale_penalties(group, arrays):
    """Divide each lane's penalties by the samples of its batch; see `fastxor.state.Job.scikit`."""
    V, lane_state = lanes(group.work), group.lane_state
    for lane in range(V):
        if get(lane_state, DONE * V + lane) == 0:
            numbers, size = get(lane_state, CALL_INDEX * V + lane) * NUMBER_FIELDS, get(lane_state, SIZE * V + lane)
            for i in (update.L2, update.L1):
                put(group.hyper, i * V + lane, get(arrays.numbers, numbers + i) * (1.0 / size))


train = kernel(SIGNATURE, "the core for populations")(make_trainer(advance))
