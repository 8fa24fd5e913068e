"""The engine: every way through a network, and every step of training, as one kernel that is compiled once.

To be read from `engine`, which schedules tiles and sends each of them through `_fetch`, `_forward`, `_backward` and
`_commit`; `_narrow_steps` does so for steps of a single vector. Arrays are flat; `plan` and `work` are those of
workspace.py.
"""

import math
from typing import NamedTuple

from . import choices, dense, elementwise, narrow, sync, update
from ._jit import inlined, kernel
from .samples import load_rows, store_rows, weigh, weigh_each
from .simd import get, lanes
from .vectors import add, all_finite, copy, copy_in, copy_out, fill
from .workspace import (
    AFTER,
    BEFORE,
    CODE,
    DEPTH,
    GRADIENT,
    GRADIENT_BUFFERS,
    LAYERS,
    LOSS,
    MOMENTS,
    PADDED,
    ROWS,
    SAMPLES,
    SCRATCH,
    SLOPE,
    STRIDE,
    TARGET,
    THETA,
    THREAD_STRIDE,
    TILE,
    TILE_GRADIENTS,
    TRANSPOSE_SCRATCH,
    WEIGHT,
    WIDTH,
    B,
    W,
)

# What the engine is asked to do.
TRAIN, FORWARD, EVALUATE, BACKWARD, PREDICT, COST, PULLBACK = 0, 1, 2, 3, 4, 5, 6
CONTINUES = -1


class Schedule(NamedTuple):
    """How a thread takes steps: alone, or with others in one of sync.py's ways."""

    thread: int  # its number
    parts: int  # as in Call, these three
    shares: int
    is_dynamic: bool
    is_narrow: bool  # tiles are a single vector


class Call(NamedTuple):
    """What is the same for all tiles of a call. Offsets are those of this thread's own part of the workspace; in
    lockstep, those of the first one's, but for what is marked as its own.
    """

    task: int
    is_dynamic: bool  # other threads have tiles of their own
    shares: int  # into which the work on a tile is divided: threads in lockstep, or 1
    share: int  # which of them is this thread's; the first one's has what is not worth dividing
    parts: int  # into which the parameters are divided: threads in lockstep or with a static schedule, or 1
    thread: int  # its number
    part: int  # which of them is this thread's; with a static schedule, also the number of its tile in every step
    shared: object  # see sync.py
    length: int  # of a parameter vector, padded
    last: int  # where the last layer's entries of the plan begin
    rows: int  # outputs
    out: int  # their tile
    code: int  # of their activation
    loss: int
    thread_offset: int  # what this thread's tiles stand further than the first one's
    target: int
    weight: int
    scratch: int  # its own
    transpose_scratch: int  # its own
    input_scratch: int  # samples as they came
    gain: float  # what a derivative is multiplied by: minus the learning rate where that is all that a step needs
    is_narrow: bool
    is_plain: bool  # gradient descent without a memory or a penalty, at one rate
    is_penalized: bool  # or its gradient clipped
    is_scikit: bool  # see `fastxor.state.Job`
    is_residual: bool  # the loss's derivative by the last layer's input is output less target
    is_short: bool  # see narrow.short
    is_logistic: bool  # the last layer's input is kept to the derivative, and its sigmoid taken there
    only_forward: bool


class Data(NamedTuple):
    """The caller's samples; see `engine`."""

    X: object
    Y: object
    by_sample: int
    samples: int
    order: object
    batch: int
    auxiliary: object


class Step(NamedTuple):
    """One of a call's steps: which samples it takes, and between which parameters."""

    number: int
    begin: int  # its first sample's place in the order
    size: int  # samples
    weight: float  # by which their losses are divided: the same number, or the sum of their weights
    tiles: int
    tiles_before: int  # tiles of the steps before it
    before: int  # the parameters before the last step,
    theta: int  # before this one,
    after: int  # and after it
    record: int  # the next step whose cost is recorded,
    recorded: int  # and how many were


class Tile(NamedTuple):
    """Samples of one step that are worked on together."""

    start: int  # their place in the order, or among all
    count: int
    width: int  # the same, rounded up to whole vectors
    of: float  # its step's weight


class TileResult(NamedTuple):
    """What became of a tile."""

    ticket: int  # its number, counted over all steps
    gradient: int  # where that stands
    cost: float


class Outputs(NamedTuple):
    """What the tiles of a step add up to, and where what becomes of it goes; see `engine`."""

    costs: object
    first: int
    interval: int
    hyper: object
    snapshots: object
    steps: int


@kernel(
    "int64(int64, int64[::1], T[::1], T[::1], T[::1], int64, int64, int64[::1], int64, T[::1], T[::1], "
    "float64[::1], float64[::1], int64, int64, int64, int64[::1], int64)"
)
def engine(
    task, plan, work, X, Y, by_sample, samples, order, batch, auxiliary, snapshots, costs, hyper, steps, first,
    interval, shared, thread,
):  # fmt: skip
    """Steps of training, or one pass over all samples. (Its arguments are many, as only such reach a kernel quickly.)

    X and Y are (rows, samples) or, where bit 0 or 1 of `by_sample` is set, (samples, rows). `order` lists the samples
    to go through in batches of `batch`, the rest of one epoch and then whole ones, or is empty for all in every step.

    TRAIN     takes `steps` steps from the parameters at THETA and returns how many were good. The cost before step
              first, first + interval, … goes to `costs`. A number below `steps` says that this step, or its
              cost, was not finite; THETA then holds the parameters before it. After some steps, as `hyper` says, the
              state is copied: the parameters and the optimizer's two vectors to `snapshots`, one after the other.
    FORWARD   writes the activations of every layer, each (n, samples), one after the other, to `auxiliary`.
    PREDICT   writes those of the last layer alone.
    COST      puts the cost in costs[0].
    EVALUATE  does so, and puts its gradient at GRADIENT.
    BACKWARD  puts it there for the activations of tanh layers and a sigmoid output in `auxiliary`, without the cost.
    PULLBACK  puts there that of any function of the outputs whose derivative by them is Y, and its derivative by X,
              (n, samples), in `auxiliary`; the values that FORWARD wrote follow on X.
              These six take the parameters from `snapshots` and return 1, or 0 if an input or a result is not finite or
              a target not what the loss wants.

    For TRAIN and EVALUATE, `auxiliary` has a weight for each sample, of which the mean is 1, or is empty.

    Several threads, numbered from 0, may train together: each makes this call, with the same arguments. `shared` is
    sync.py's; alone, `thread` is -1. No bit depends on their number. The tiles of all steps are dealt out in order, one
    at a time. A tile's gradient is worked out by itself and added to the step's when those of the tiles before it are
    in; whoever adds a step's last tile updates the parameters. So a slower thread is waited for at the end of a step
    alone, or when its tile is far behind, and none has to be there for the others to go on.

    Or they go in lockstep, and each has its share of every row of neurons, and of the parameters; the first one does
    what is not worth sharing. Or, two of them where a step is two tiles, by a static schedule: each has a tile, and its
    share of the parameters, and fetches its samples of the next step before it waits for the other. Until the second
    one comes, the first one takes steps alone.
    """
    data = Data(X, Y, by_sample, samples, order, batch, auxiliary)
    outputs = Outputs(costs, first, interval, hyper, snapshots, steps)
    if task != TRAIN:
        copy_in(work, plan[THETA], snapshots, snapshots.size)
    if lanes(work) == plan[WIDTH]:
        return _narrow_steps(task, plan, work, data, outputs, shared)
    schedule = _schedule(plan, data, hyper, shared, thread)
    if schedule.parts == sync.ABORTED:
        return 0
    is_dynamic, in_pair = schedule.is_dynamic, schedule.parts > schedule.shares
    is_static = in_pair and thread > 0
    call = _call(task, plan, work, hyper, schedule, shared)
    step = _first_step(plan, call, data, outputs)
    good, ticket, fetched = steps, -1, False
    fit = task == TRAIN or all_finite(work, step.theta, call.length)
    begin = min(sync.wait_to_be_admitted(shared), steps) if is_static else 0
    while step.number < begin:
        step = _next_step(plan, call, data, outputs, step)
    while True:
        ticket = step.tiles_before + _static_tile(call, step) if is_static else _next_ticket(shared, is_dynamic, ticket)
        while ticket >= step.tiles_before + step.tiles and step.number < steps:
            step = _next_step(plan, call, data, outputs, step)
        if step.number == steps:
            break
        if in_pair and not is_static and ticket == step.tiles_before and sync.partner_is_present(shared):
            sync.admit_partner(shared, step.number)
            is_static, fetched = True, False
        gradient = _gradient_buffer(plan, call, step, ticket)
        if gradient < 0:
            break
        tile = _tile_bounds(work, plan, step, ticket - step.tiles_before)
        if not fetched:
            _fetch(work, plan, call, data, tile)
            fit = _is_valid(work, plan, call, tile) and fit
        fetched = order.size == 0 and step.tiles == 1 and not is_dynamic  # they stay
        cost, good_values = _pass(work, plan, call, data, hyper, step, tile, gradient)
        fit = fit and good_values
        if call.only_forward:
            hyper[update.COST_SUM] = cost if ticket == 0 else hyper[update.COST_SUM] + cost
            continue
        done, next_step = TileResult(ticket, gradient, cost), step
        if is_static:
            next_step = _next_step(plan, call, data, outputs, step)
            fetched = next_step.number < steps
            done = _reduce_with_partner(work, plan, call, data, outputs, step, next_step, cost)
        elif is_dynamic and not _is_second_arrival(call, hyper, done):
            continue
        end = _commit(work, plan, call, outputs, step, done, schedule.parts if is_static else schedule.shares)
        if end != CONTINUES:
            good = end
            break
        step = next_step
    if in_pair and not is_static:
        sync.admit_partner(shared, steps)
        sync.end(shared, good)
    return _result(task, plan, work, outputs, good, fit)


@inlined
def _schedule(plan, data, hyper, shared, thread):
    """How this thread takes steps, where it is not one of narrow ones."""
    if thread < 0:
        return Schedule(0, 1, 1, False, False)
    parts = sync.wait_for_schedule(shared, thread, int(hyper[update.SCHEDULE_PARTS]))
    in_pair = parts > 1 and _tiles(plan, min(data.batch, data.samples)) > 1
    return Schedule(thread, parts, 1 if in_pair else parts, parts == 1, False)


@inlined
def _narrow_steps(task, plan, work, data, outputs, shared):
    """`engine` for steps of a single vector of samples, which one thread takes: a loop of its own, as such a step takes
    no longer than all that is asked at every tile of others.
    """
    call = _call(task, plan, work, outputs.hyper, Schedule(0, 1, 1, False, True), shared)
    step = _first_step(plan, call, data, outputs)
    good, fit = outputs.steps, task == TRAIN or all_finite(work, step.theta, call.length)
    while step.number < outputs.steps:
        tile = Tile(step.begin, step.size, lanes(work), step.weight)
        if data.order.size > 0 or step.number == 0:  # else they stay
            _fetch(work, plan, call, data, tile)
            fit = _is_valid(work, plan, call, tile) and fit
        cost, good_values = _pass(work, plan, call, data, outputs.hyper, step, tile, plan[GRADIENT])
        fit = fit and good_values
        outputs.hyper[update.COST_SUM] = cost
        end = _update(work, plan, call, outputs, step, cost, 1) if task == TRAIN else CONTINUES
        if end != CONTINUES:
            good = end
            break
        step = _next_step(plan, call, data, outputs, step)
    return _result(task, plan, work, outputs, good, fit)


@inlined
def _result(task, plan, work, outputs, good, fit):
    """What `engine` returns."""
    if task == TRAIN:
        return good
    outputs.costs[0] = outputs.hyper[update.COST_SUM]
    fit = fit and is_finite(outputs.costs[0])
    if task not in (FORWARD, PREDICT, COST):
        fit = fit and all_finite(work, plan[GRADIENT], plan[PADDED])
    return 1 if fit else 0


@kernel("float64(int64[::1], T[::1], T[::1], T[::1], int64, int64, float64[::1], int64[::1], boolean)", "validation")
def cost_of_tiles(plan, work, X, Y, by_sample, samples, hyper, order, fetch):
    """The cost of all samples, or, with `fetch`, put them into their tiles, where they stay for the next calls.

    Each tile is in a place that is a thread's in the engine. X and Y are as there; `order` is empty. (Many arguments:
    as those of the engine.)
    """
    data, outputs, total = (
        Data(X, Y, by_sample, samples, order, samples, work),
        Outputs(hyper, 0, 1, hyper, work, 1),
        0.0,
    )
    is_narrow = lanes(work) == plan[WIDTH]
    step = _first_step(plan, _call(COST, plan, work, hyper, Schedule(0, 1, 1, False, is_narrow), order), data, outputs)
    for number in range(step.tiles):
        call = _call(COST, plan, work, hyper, Schedule(number, 1, 1, False, is_narrow), order)
        tile = _tile_bounds(work, plan, step, number)
        if fetch:
            _fetch(work, plan, call, data, tile)
        else:
            total += _forward(work, plan, call, data, tile, plan[THETA], True)[0]
    return total


@inlined
def _next_ticket(shared, is_dynamic, ticket):
    """The number of the tile after that one, counted over all steps."""
    return sync.next_ticket(shared) if is_dynamic else ticket + 1


@inlined
def _gradient_buffer(plan, call, step, ticket):
    """Where the tile's gradient goes; -1 if the run has ended while there was no room for it."""
    gradient = plan[TILE_GRADIENTS] + call.thread_offset
    if call.is_dynamic:
        place = sync.acquire_buffer(call.shared, call.thread, plan[GRADIENT_BUFFERS], step.tiles_before, ticket)
        if place < 0:
            return -1
        gradient += place * call.length
    is_second = call.shares == 1 and call.part > 0  # of two threads with a static schedule
    return plan[GRADIENT] if ticket == step.tiles_before and not is_second else gradient


@inlined
def _is_second_arrival(call, hyper, done):
    """Hand in this tile, to whoever adds it."""
    hyper[update.TILE_COSTS + done.ticket % call.shared[sync.RING_LENGTH]] = done.cost
    return sync.is_second_arrival(call.shared, done.ticket, done.gradient)


@inlined
def _pass(work, plan, call, data, hyper, step, tile, gradient):
    """Forward and, where that is wanted, back: (the tile's cost, if it is recorded, NaN if a step fails; are the values
    that a single pass gives or is given finite). The gradient goes to `gradient`.
    """
    record = step.number == step.record or call.task in (EVALUATE, COST)
    cost, fine, fit = _forward(work, plan, call, data, tile, step.theta, record)
    if not call.only_forward:
        if call.share == 0:
            fine = _delta(work, call, tile) and fine
        if call.task == TRAIN and not fine:
            cost = math.nan
        cost = _broadcast_cost(call, hyper, step, cost)
        _backward(work, plan, call, data, tile, step, gradient)
        if call.task == PULLBACK:
            fit = _store_outputs(work, data, tile, get(plan, LAYERS + ROWS), _inputs_at(plan, call), tile.start) and fit
    return cost, fit


@inlined
def is_finite(x):
    """Not `math.isfinite`, which subtracts x from itself: under `FLAGS`, the terms of a sum may cancel one by one."""
    return -math.inf < x < math.inf


@inlined
def _call(task, plan, work, hyper, schedule, shared):
    thread, parts, shares, is_dynamic, is_narrow = schedule
    own = thread * plan[THREAD_STRIDE]
    thread_offset = own if shares == 1 else 0
    last = LAYERS + STRIDE * plan[DEPTH]
    rows = get(plan, last + ROWS)
    code = get(plan, last + CODE)
    is_penalized = task == TRAIN and hyper[update.PENALIZED] != 0.0
    is_one = hyper[update.RATES] == 0.0  # learning rate for all steps
    is_scikit = task == TRAIN and hyper[update.SCIKIT] != 0.0
    is_plain = task == TRAIN and hyper[update.KIND] == update.DESCENT and is_one and not is_penalized
    is_residual = elementwise.is_residual(plan[LOSS], code)
    one = work.dtype.type(1.0)
    return Call(
        task,
        is_dynamic,
        shares,
        thread if shares > 1 else 0,
        parts,
        thread,
        thread if parts > 1 else 0,
        shared,
        plan[PADDED],
        last,
        rows,
        get(plan, last + TILE) + thread_offset,
        code,
        elementwise.SQUARED_ERROR if task == PULLBACK else plan[LOSS],  # any finite Y will do
        thread_offset,
        plan[TARGET] + thread_offset,
        plan[WEIGHT] + thread_offset,
        plan[SCRATCH] + own,
        plan[TRANSPOSE_SCRATCH] + own,
        plan[SAMPLES] + thread_offset,
        -work.dtype.type(hyper[update.RATE]) if is_plain else one,
        is_narrow,
        is_plain,
        is_penalized,
        is_scikit,
        is_residual,
        is_narrow
        and is_plain
        and is_residual
        and plan[DEPTH] == 2
        and rows == 1
        and plan[PADDED] <= choices.MAX_REGISTER_PARAMETERS,
        code == elementwise.SIGMOID and task in (TRAIN, EVALUATE),
        task in (FORWARD, PREDICT, COST),
    )


# ---------------------------------------------------------------- which samples


@inlined
def _first_step(plan, call, data, outputs):
    size = _step_size(data, 0)
    weight = _weight(call, data, 0, size)
    return Step(0, 0, size, weight, _tiles(plan, size), 0, plan[BEFORE], plan[THETA], plan[AFTER], outputs.first, 0)


@inlined
def _next_step(plan, call, data, outputs, step):
    tiles_before = step.tiles_before + step.tiles
    begin = step.begin + step.size if step.begin + step.size < data.order.size else 0
    size = _step_size(data, begin)
    recorded = 1 if step.number == step.record else 0
    before = step.theta if call.is_narrow else step.before
    after = step.before if call.is_narrow else step.theta
    return Step(
        step.number + 1,
        begin,
        size,
        _weight(call, data, begin, size),
        _tiles(plan, size),
        tiles_before,
        before,
        step.after,
        after,
        step.record + recorded * outputs.interval,
        step.recorded + recorded,
    )


@inlined
def _step_size(data, begin):
    """Samples in the step that begins there: the last one of an epoch may be smaller than the others."""
    if data.order.size == 0:
        return data.samples
    return min(data.batch, (data.order.size - begin - 1) % data.samples + 1)


@inlined
def _weight(call, data, begin, size):
    """What a step divides its samples' losses by; 1 where none of them counts."""
    if not call.is_scikit or data.auxiliary.size == 0:
        return float(size)
    total = 0.0
    for i in range(begin, begin + size):
        total += get(data.auxiliary, get(data.order, i) if data.order.size > 0 else i)
    return total if total != 0.0 else 1.0


@inlined
def _tiles(plan, size):
    return (size + plan[WIDTH] - 1) // plan[WIDTH]


@inlined
def _tile_bounds(work, plan, step, number):
    """A step's tile of this number. The last two are about alike, so that two threads end a step together."""
    most = plan[WIDTH]
    start = number * most
    count = min(most, step.size - start)
    if number >= step.tiles - 2 and step.tiles > 1:
        rest = step.size - (step.tiles - 2) * most
        count = _whole_vectors(work, (rest + 1) // 2, most)
        if number == step.tiles - 1:
            start = step.size - rest + count
            count = rest - count
    return Tile(step.begin + start, count, most if count == most else _whole_vectors(work, count, most), step.weight)


@inlined
def _whole_vectors(work, count, most):
    """As many samples, rounded up to whole vectors."""
    V = lanes(work)
    return min(most, (count + V - 1) // V * V)


# ---------------------------------------------------------------- lockstep


@inlined
def _share(call, n, block):
    """This thread's of n rows, (first, stop), in whole blocks: it is to have the same bits as all of them at once."""
    return _part(n, block, call.share, call.shares)


@inlined
def _part(n, block, number, of):
    blocks = n // block
    return blocks * number // of * block, n if number == of - 1 else blocks * (number + 1) // of * block


@inlined
def _barrier(call):
    if call.shares > 1:
        sync.barrier(call.shared, call.share, call.shares)


@inlined
def _broadcast_cost(call, hyper, step, cost):
    """The step's cost, which the first thread knows."""
    if call.shares > 1:
        if call.share == 0:
            hyper[update.COST_SUM] = cost
            update.begin(hyper, step.number)
        _barrier(call)
        cost = hyper[update.COST_SUM]
    return cost


# ---------------------------------------------------------------- static schedule


@inlined
def _static_tile(call, step):
    """The number of this thread's tile. Of a step that is but one, the other thread's work on it is for nothing."""
    return min(call.part, step.tiles - 1)


@inlined
def _reduce_with_partner(work, plan, call, data, outputs, step, next_step, cost):
    """Hand in this tile, fetch one of the step that follows and, when the other thread's tile is in, add up a share of
    the gradient. What becomes of the step is as of its last tile, if all others' gradients were added to that.
    """
    outputs.hyper[update.TILE_COSTS + call.part] = cost
    if call.part == 0:
        update.begin(outputs.hyper, step.number)
    arrivals = sync.arrive(call.shared, call.part)
    if next_step.number < outputs.steps and data.order.size > 0:
        _fetch(work, plan, call, data, _tile_bounds(work, plan, next_step, _static_tile(call, next_step)))
    sync.wait_for_arrivals(call.shared, call.parts, arrivals)
    cost = outputs.hyper[update.TILE_COSTS]
    if step.tiles > 1:
        cost += outputs.hyper[update.TILE_COSTS + 1]
        first, stop = _part(call.length, lanes(work), call.part, call.parts)
        second = plan[TILE_GRADIENTS] + plan[THREAD_STRIDE]
        add(work, plan[GRADIENT] + first, second + first, stop - first)
    return TileResult(step.tiles_before + step.tiles - 1, plan[GRADIENT], cost)


# ---------------------------------------------------------------- what becomes of a tile


@inlined
def _fetch(work, plan, call, data, tile):
    """Copy the tile's samples into the workspace."""
    n_in = get(plan, LAYERS + ROWS)
    transposed = call.input_scratch if _keeps_transpose(work, plan, tile) or _needs_masks(work, n_in) else -1
    _load_rows(work, call, data, tile, data.X, data.by_sample & 1, n_in, _inputs_at(plan, call), transposed)
    if call.task not in (FORWARD, PREDICT):
        transposed = call.scratch if _needs_masks(work, call.rows) else -1
        _load_rows(work, call, data, tile, data.Y, data.by_sample & 2, call.rows, call.target, transposed)
        if call.share == 0:
            weigh(work, tile.width, call.weight, tile.count, 1.0 if call.task == PULLBACK else tile.of)
            if call.task in (TRAIN, EVALUATE) and data.auxiliary.size > 0:
                order, shuffled = data.order, data.order.size > 0
                weigh_each(work, call.weight, tile.count, data.auxiliary, order, shuffled, tile.start)
    _barrier(call)


@inlined
def _is_valid(work, plan, call, tile):
    """Whether the tile's samples are what a single pass may have."""
    if call.task == TRAIN:
        return True
    fit = all_finite(work, _inputs_at(plan, call), get(plan, LAYERS + ROWS) * tile.width)
    if call.task not in (FORWARD, PREDICT):
        unfit = elementwise.count_invalid_targets(
            work, call.loss, call.target, call.weight, call.rows, tile.width, 1e-3
        )
        fit = fit and unfit == 0.0
    return fit


@inlined
def _keeps_transpose(work, plan, tile):
    """Whether the samples are wanted as they came, too: for a first gradient by columns."""
    first = LAYERS + STRIDE
    return dense.prefers_columns(work, tile.width, get(plan, first + ROWS), get(plan, LAYERS + ROWS))


@inlined
def _needs_masks(work, n):
    """Whether samples of n numbers are neither squares nor soon copied one by one: masks are faster."""
    return 2 < n < lanes(work)


@inlined
def _load_rows(work, call, data, tile, source, by_sample, n, to, transposed):
    """Of X, Y or given activations: which, how it lies and where it goes are too many arguments by one."""
    order, shuffled = data.order, data.order.size > 0
    first, stop = _share(call, n, lanes(work))
    load_rows(
        work, tile.width, source, by_sample, data.samples, n, first, stop, to, order, shuffled, tile.start, tile.count,
        transposed, call.transpose_scratch,
    )  # fmt: skip


@inlined
def _forward(work, plan, call, data, tile, theta, record):
    """From the samples to the last layer: (the tile's cost, if it is to be recorded; is the last layer's input finite,
    if that is not left to the derivative; are the values that a single pass gives or is given).
    """
    cost, fine, good = 0.0, True, True
    place = tile.start + (data.samples * get(plan, LAYERS + ROWS) if call.task == PULLBACK else 0)
    values = data.X if call.task == PULLBACK else data.auxiliary
    for layer in range(LAYERS + STRIDE, call.last + STRIDE, STRIDE):
        n_out = get(plan, layer + ROWS)
        z = get(plan, layer + TILE) + call.thread_offset
        if call.task == BACKWARD or (
            call.task == PULLBACK and not elementwise.needs_derivative_rows(get(plan, layer + CODE))
        ):
            there = Tile(place, tile.count, tile.width, tile.of)
            _load_rows(work, call, data, there, values, 0, n_out, z, -1)
            good = good and all_finite(work, z, n_out * tile.width)
        else:
            _layer(work, plan, call, tile, theta, layer)
            _barrier(call)
            if layer == call.last and call.share == 0:
                keeps_logits = call.is_logistic or call.task == COST
                if not keeps_logits:
                    fine = all_finite(work, z, n_out * tile.width)
                if record:
                    cost = elementwise.cost(
                        work, call.loss, call.code, z, call.target, call.weight, n_out, tile.width, call.is_scikit
                    )
                if not (keeps_logits or (record and call.loss == elementwise.CROSS_ENTROPY)):  # which has done it
                    elementwise.output(work, call.code, z, n_out, tile.width)
            if call.task == FORWARD or (call.task == PREDICT and layer == call.last):
                good = _store_outputs(work, data, tile, n_out, z, place) and good
        if call.task != PREDICT:
            place += data.samples * n_out
    return float(cost), fine, good


@inlined
def _inputs_at(plan, call):
    """Where the tile's samples stand."""
    return get(plan, LAYERS + TILE) + call.thread_offset


@inlined
def _store_outputs(work, data, tile, n, at, place):
    """Copy the tile's n rows to the caller's array; whether they are finite."""
    store_rows(work, tile.width, data.auxiliary, data.samples, n, at, place, tile.count)
    return all_finite(work, at, n * tile.width)


@inlined
def _layer(work, plan, call, tile, theta, layer):
    """The layer's activations, or the last one's input of them, from those of the layer before."""
    n_out, n_in = get(plan, layer + ROWS), get(plan, layer - STRIDE + ROWS)
    z, a = get(plan, layer + TILE) + call.thread_offset, get(plan, layer - STRIDE + TILE) + call.thread_offset
    w, b = theta + get(plan, layer + W), theta + get(plan, layer + B)
    code = get(plan, layer + CODE)
    is_tanh = layer < call.last and code == elementwise.TANH
    if call.is_narrow:
        narrow.forward(work, w, b, n_out, n_in, a, z, is_tanh, call.task == TRAIN)
        first, stop = 0, n_out
    else:
        first, stop = _share(call, n_out, choices.BLOCK_ROWS)
        z += first * tile.width
        applied = code if layer < call.last else elementwise.IDENTITY
        dense.forward(work, tile.width, w + first * n_in, b + first, stop - first, n_in, a, z, applied)
    if layer < call.last and not is_tanh and (call.is_narrow or not dense.fuses_activation(code)):
        size = (stop - first) * tile.width
        if code == elementwise.SIN:
            elementwise.reduce_angles(work, z, size)
        slopes = get(plan, layer + SLOPE) + call.thread_offset + first * tile.width
        elementwise.activate(work, code, z, size, slopes)


@inlined
def _delta(work, call, tile):
    """The loss's derivative by the last layer's input, in its place; whether that was finite, if looked at here."""
    if call.task == PULLBACK:
        elementwise.pull_back(work, call.code, call.out, call.target, call.weight, call.rows, tile.width, call.out)
        return True
    fine = True
    if not (call.is_narrow and call.is_residual):
        fine = elementwise.delta(
            work, call.loss, call.code, call.out, call.target, call.weight, call.rows, tile.width, call.is_logistic
        )
    if call.is_narrow:
        fine = fine and narrow.delta(
            work, call.out, call.target, call.weight, call.rows, call.gain, call.is_logistic, not call.is_residual,
            call.scratch,
        )  # fmt: skip
    return fine


@inlined
def _backward(work, plan, call, data, tile, step, gradient):
    """The tile's gradient, at `gradient` or, in a narrow step of plain descent, in the parameters at once.

    The derivative by the samples, if it is wanted, takes their place.
    """
    if call.is_narrow and not call.is_plain:
        fill(work, gradient, call.length, 0.0)
    for layer in range(call.last, LAYERS, -STRIDE):
        _weight_gradient(work, plan, call, data, tile, step, gradient, layer)
        _barrier(call)
        if layer > LAYERS + STRIDE or call.task == PULLBACK:
            below = layer - STRIDE
            n_out, n_in = get(plan, layer + ROWS), get(plan, below + ROWS)
            d, a = get(plan, layer + TILE) + call.thread_offset, get(plan, below + TILE) + call.thread_offset
            w = step.theta + get(plan, layer + W)
            code = get(plan, below + CODE)
            is_tanh = code == elementwise.TANH
            first, stop = _share(call, n_in, choices.BLOCK_ROWS)
            if not is_tanh and (call.is_narrow or not dense.fuses_activation(code)):
                here = first * tile.width
                slopes = get(plan, below + SLOPE) + call.thread_offset + here
                elementwise.differentiate(work, code, a + here, (stop - first) * tile.width, slopes)
            if call.is_short:
                narrow.short(
                    work, step.after, step.theta, get(plan, below + W), get(plan, below + B), n_in,
                    get(plan, LAYERS + ROWS), w, a, _inputs_at(plan, call), call.scratch, call.weight,
                    call.gain, is_tanh,
                )  # fmt: skip
                break
            if call.is_narrow:
                narrow.backward(work, w, n_out, n_in, d, a, is_tanh)
            else:
                a += first * tile.width
                dense.backward(work, tile.width, w + first, n_out, n_in, stop - first, d, a, a, code)
                _barrier(call)


@inlined
def _weight_gradient(work, plan, call, data, tile, step, gradient, layer):
    """The gradient of one layer's weights and biases."""
    n_out, n_in = get(plan, layer + ROWS), get(plan, layer - STRIDE + ROWS)
    d, a = get(plan, layer + TILE) + call.thread_offset, get(plan, layer - STRIDE + TILE) + call.thread_offset
    w, b = get(plan, layer + W), get(plan, layer + B)
    if not call.is_narrow:
        transposed = call.input_scratch if data.by_sample & 1 and layer == LAYERS + STRIDE else -1
        columns = dense.prefers_columns(work, tile.width, n_out, n_in)
        first, stop = _share(call, n_out, choices.BLOCK_ROWS)
        w, b, d = gradient + w + first * n_in, gradient + b + first, d + first * tile.width
        dense.gradient(work, tile.width, tile.count, w, b, stop - first, n_in, d, a, columns, transposed, call.scratch)
    elif call.is_plain:  # the parameters move as soon as their gradient is known
        narrow.gradient(work, step.after, step.theta, w, b, n_out, n_in, d, a)
    else:
        narrow.gradient(work, gradient, gradient, w, b, n_out, n_in, d, a)


# ---------------------------------------------------------------- what becomes of its gradient


@inlined
def _commit(work, plan, call, outputs, step, done, parts):
    """Add this tile to its step, then those after it that were ready before it; update after the step's last one, by
    so many threads with a part of the parameters each. CONTINUES or, if the run has ended, how many steps were good.
    """
    ticket, gradient, cost = done
    while True:
        if gradient != plan[GRADIENT]:  # where the first one's stands
            add(work, plan[GRADIENT], gradient, call.length)
            cost += outputs.hyper[update.COST_SUM]
        outputs.hyper[update.COST_SUM] = cost
        is_last = ticket == step.tiles_before + step.tiles - 1
        if is_last and call.task == TRAIN:
            good = _update(work, plan, call, outputs, step, cost, parts)
            if good != CONTINUES:
                if call.is_dynamic or parts > 1:
                    sync.end(call.shared, good)
                return good
        if not call.is_dynamic:
            return CONTINUES
        gradient = sync.retire(call.shared, ticket, is_last)
        if gradient < 0:
            return CONTINUES
        ticket += 1
        cost = outputs.hyper[update.TILE_COSTS + ticket % call.shared[sync.RING_LENGTH]]


@inlined
def _update(work, plan, call, outputs, step, cost, parts):
    """The optimizer's step, if the gradient is in order; as `_commit`. At the end the result is copied to THETA.

    Parameters that narrow.py has moved are looked at one step later: by then they have left the store buffer, and whole
    vectors of them can be loaded without waiting for it.
    """
    if call.is_penalized and step.number == step.record:
        cost += update.penalty(work, call.length, step.theta, plan[MOMENTS], outputs.hyper, _penalty_scale(call, step))
    is_end = step.number == outputs.steps - 1
    good = outputs.steps
    if call.is_narrow and not all_finite(work, step.theta, call.length):
        good = step.number - 1
    elif not is_finite(cost):
        good = step.number
    else:
        if step.number == step.record:
            outputs.costs[step.recorded] = cost
        finite = (call.is_narrow and call.is_plain) or _optimizer_step(work, plan, call, outputs, step, parts)
        if not finite or (call.is_narrow and is_end and not all_finite(work, step.after, call.length)):
            good = step.number
        elif outputs.hyper[update.SNAPSHOT_INTERVAL] != 0.0 and call.share == 0:
            _store_snapshot(work, plan, call, outputs, step.number + 1, step.after)
    if good == outputs.steps and not is_end:
        return CONTINUES
    result = step.before if good < step.number else step.theta if good < outputs.steps else step.after
    if result != plan[THETA] and call.part == 0:
        copy(work, plan[THETA], result, call.length)
    return good


@inlined
def _store_snapshot(work, plan, call, outputs, steps, theta):
    """The state after so many steps, if it is one of those wanted."""
    hyper, to = outputs.hyper, update.SNAPSHOT_POWERS
    since, interval = steps - int(hyper[update.FIRST_SNAPSHOT]), int(hyper[update.SNAPSHOT_INTERVAL])
    number, size = since // interval, 3 * call.length
    if since >= 0 and since % interval == 0 and (number + 1) * size <= outputs.snapshots.size:
        copy_out(outputs.snapshots, number * size, work, theta, call.length)
        copy_out(outputs.snapshots, number * size + call.length, work, plan[MOMENTS], 2 * call.length)
        hyper[to + 2 * number], hyper[to + 2 * number + 1] = hyper[update.POWER1], hyper[update.POWER2]


@inlined
def _penalty_scale(call, step):
    """How much of l2 and l1 counts."""
    if not call.is_penalized:
        return 0.0
    return 1.0 / step.weight if call.is_scikit else 1.0


@inlined
def _optimizer_step(work, plan, call, outputs, step, parts):
    """All parameters moved; whether all of them are finite."""
    if parts == 1:
        update.begin(outputs.hyper, step.number)
    first, stop = _part(call.length, lanes(work), call.part, parts)
    gradient, share = plan[GRADIENT], _penalty_scale(call, step)
    if outputs.hyper[update.CLIP] < math.inf:
        if parts > call.shares:  # the others' parts of the sum may not be there
            sync.barrier(call.shared, call.part, parts)
        gradient = step.after  # where there is room for another one, that the step reads before it writes
        update.clip(
            work, call.length, first, stop, step.theta, gradient, plan[GRADIENT], plan[MOMENTS], outputs.hyper, share
        )
        share = 0.0
    finite = update.step(
        work, call.length, first, stop, step.theta, step.after, gradient, plan[MOMENTS], outputs.hyper, share
    )
    if parts > 1:
        finite = sync.all_reduce_and(call.shared, call.part, parts, finite)
    return finite
