"""The kernels that Python calls. Arrays are flat; `plan` and `work` are those of workspace.py."""

import math

from . import dense, elementwise, narrow, update
from ._jit import inlined, kernel
from .simd import acquire, full, get, give_way, lanes, load, load_part, put, release, store, sum_lanes, take
from .tracing import cond, fori_loop, steps, traced, traced_inline
from .vmath import sigmoid
from .workspace import (
    AFTER,
    AHEAD,
    BEFORE,
    CODE,
    DEPTH,
    GRADIENT,
    LAYERS,
    LOSS,
    MOMENTS,
    OWN,
    PADDED,
    PRIVATE,
    ROWS,
    SAMPLES,
    SCRATCH,
    SLOPE,
    SPILL,
    STRIDE,
    TARGET,
    THETA,
    TILE,
    WEIGHT,
    WIDTH,
    B,
    W,
)

# What the engine is asked to do.
TRAIN, FORWARD, EVALUATE, BACKWARD, PREDICT, COST = 0, 1, 2, 3, 4, 5
# Entries of `shared`, lines of the cache apart: the next tile to be dealt out, how many are in, how many steps were
# good, the address of the system's function that lets other threads run, and the length of a ring of tiles. Then that
# ring, a line to a tile: how many have come to it, and where its gradient is. It holds all tiles that are not in: of
# each thread one for each place that it has for gradients, and one that waits for a place. Last, a line to a thread:
# for each of its places, how many tiles must be in before that is free.
NEXT, DONE, GOOD, YIELD, TILES, RING, LINE = 0, 16, 32, 33, 34, 48, 8
COME, PLACE = 0, 1
ALL_DONE = 1 << 62
# Looks at DONE, about 10 us, before other threads may run. Longer than most waits: a thread that gives way to another
# process has lost its core for milliseconds, and the others wait for it. Not by much: they may all be on one core.
SPINS = 10_000


@kernel(
    "int64(int64, int64[::1], T[::1], T[::1], T[::1], int64, int64, int64[::1], int64, T[::1], float64[::1], "
    "float64[::1], int64, int64, int64, int64[::1], int64)"
)
def engine(
    task, plan, work, X, Y, by_sample, samples, order, batch, activations, costs, hyper, steps, first, interval,
    shared, thread,
):  # fmt: skip
    """Steps of training, or one pass over all samples: every way through a network, so that it is compiled once.

    X and Y are (rows, samples) or, where bit 0 or 1 of `by_sample` is set, (samples, rows). `order` lists the samples
    to go through in batches of `batch`, the rest of one epoch and then whole ones, or is empty for all in every step.

    TRAIN     takes `steps` steps from the parameters at THETA and returns how many were good. The cost before step
              first, first + interval, … goes to `costs`. A number below `steps` says that this step, or its
              cost, was not finite; THETA then holds the parameters before it.
    FORWARD   writes the activations of every layer, each (n, samples), one after the other, to `activations`.
    PREDICT   writes those of the last layer alone.
    COST      puts the cost in costs[0].
    EVALUATE  does so, and puts its gradient at GRADIENT.
    BACKWARD  puts it there for the given `activations` of tanh layers and a sigmoid output, without the cost.
              These five return 1, or 0 if an input or a result is not finite or a target not what the loss wants.

    Several threads, numbered from 0, may train together: each makes this call, with the same arguments. The tiles of
    all steps are dealt out in order, one at a time. A tile's gradient is worked out by itself and added to the
    step's when those of the tiles before it are in, by whoever comes second to it: the one who worked it out or the
    one who added the tile before. Whoever adds a step's last tile updates the parameters. So no bit depends on the
    number of threads, a slower one is waited for at the end of a step alone, or when its tile is far behind, and none
    of them has to be there for the others to go on. `shared` holds what they agree on by; alone, `thread` is -1.
    """
    P = plan[PADDED]
    width = plan[WIDTH]
    is_narrow = lanes(work) == width
    is_plain = task == TRAIN and hyper[update.KIND] == update.DESCENT
    rate = work.dtype.type(hyper[update.RATE])
    gain = -rate if is_plain else work.dtype.type(1.0)
    base = max(thread, 0) * plan[PRIVATE]
    before = plan[BEFORE]
    theta = plan[THETA]
    after = plan[AFTER]
    loss = plan[LOSS]
    last = LAYERS + STRIDE * plan[DEPTH]
    rows = get(plan, last + ROWS)
    out = get(plan, last + TILE) + base
    code = get(plan, last + CODE)
    logistic = code == elementwise.SIGMOID and (task in (TRAIN, EVALUATE))
    target = plan[TARGET] + base
    weight = plan[WEIGHT] + base
    scratch = plan[SCRATCH] + base
    spill = plan[SPILL] + base
    kept = plan[SAMPLES] + base
    is_straight = elementwise.is_straight(loss, code)
    is_short = is_narrow and is_plain and is_straight and plan[DEPTH] == 2 and rows == 1 and P <= narrow.FEW
    forward = task in (FORWARD, PREDICT)
    shuffled = order.size > 0
    good = steps
    fit = task == TRAIN or _all_finite(work, theta, P)
    total = 0.0
    recorded = 0
    begin = 0
    step = 0
    size = _step_size(order, begin, batch, samples)
    tiles = (size + width - 1) // width
    passed = 0  # tiles of the steps before this one
    ticket = -1
    while True:
        ticket = ticket + 1 if thread < 0 else take(shared, NEXT)
        while ticket >= passed + tiles and step < steps:  # on to the step that the tile belongs to
            passed += tiles
            begin = begin + size if begin + size < order.size else 0
            size = _step_size(order, begin, batch, samples)
            tiles = (size + width - 1) // width
            if step == first:
                recorded += 1
                first += interval
            step += 1
            if is_narrow:
                before, theta, after = theta, after, before
            else:
                theta, after = after, theta
        if step == steps:
            break
        own = plan[OWN] + base
        if thread >= 0:
            free = RING + LINE * (shared[TILES] + thread)
            last_free = free + plan[AHEAD] - 1
            done = acquire(shared, DONE)
            while shared[free] > done and free < last_free:
                free += 1
                own += P
            if not _wait(shared, max(passed, shared[free])):
                break
            shared[free] = ticket + 1
        tile = ticket - passed
        record = step == first or task in (EVALUATE, COST)
        gradient = plan[GRADIENT] if tile == 0 else own
        start = tile * width
        count = min(width, size - start)
        if tile >= tiles - 2 and tiles > 1:  # the last two are about alike, so that two threads end a step together
            rest = size - (tiles - 2) * width
            count = _whole_blocks(work, (rest + 1) // 2, width)
            if tile == tiles - 1:
                start = size - rest + count
                count = rest - count
        start += begin
        T = width if count == width else _whole_blocks(work, count, width)

        if ticket == 0 or thread >= 0 or tiles > 1 or shuffled:  # else they are still there
            a = get(plan, LAYERS + TILE) + base
            n_in = get(plan, LAYERS + ROWS)
            _load_rows(work, T, X, by_sample & 1, samples, n_in, a, order, shuffled, start, count, kept, spill)
            if not forward:
                _load_rows(
                    work, T, Y, by_sample & 2, samples, rows, target, order, shuffled, start, count, scratch, spill
                )
                _weigh(work, T, weight, count, size)
            if task != TRAIN:
                fit = fit and _all_finite(work, a, n_in * T)
                if not forward:
                    fit = fit and elementwise.unfit(work, loss, target, weight, rows, T, 1e-3) == 0.0
        subtotal = 0.0
        fine = True
        place = start
        for layer in range(LAYERS + STRIDE, last + STRIDE, STRIDE):
            n_out = get(plan, layer + ROWS)
            n_in = get(plan, layer - STRIDE + ROWS)
            z = get(plan, layer + TILE) + base
            if task == BACKWARD:
                _load_rows(work, T, activations, 0, samples, n_out, z, order, shuffled, place, count, scratch, spill)
                fit = fit and _all_finite(work, z, n_out * T)
            else:
                a = get(plan, layer - STRIDE + TILE) + base
                w = theta + get(plan, layer + W)
                b = theta + get(plan, layer + B)
                act = get(plan, layer + CODE)
                is_tanh = layer < last and act == elementwise.TANH
                if is_narrow:
                    narrow.forward(work, w, b, n_out, n_in, a, z, is_tanh, task == TRAIN)
                else:
                    dense.forward(work, T, w, b, n_out, n_in, a, z, is_tanh)
                if layer < last:
                    if not is_tanh:
                        if act == elementwise.SIN:
                            elementwise.turn_back(work, z, n_out * T)
                        elementwise.activate(work, act, z, n_out * T, get(plan, layer + SLOPE) + base)
                else:
                    if record:
                        subtotal = elementwise.cost(work, loss, code, out, target, weight, rows, T)
                    if not logistic:
                        fine = _all_finite(work, z, n_out * T)
                        elementwise.output(work, code, out, rows, T)
                if task == FORWARD or (task == PREDICT and layer == last):
                    fit = fit and _all_finite(work, z, n_out * T)
                    _store_rows(work, T, activations, samples, n_out, z, place, count)
            if task != PREDICT:
                place += samples * n_out
        if forward or task == COST:
            total += float(subtotal)
            continue
        if not (is_narrow and is_straight):
            fine = elementwise.delta(work, loss, code, out, target, weight, rows, T, logistic) and fine
        if is_narrow:
            fine = narrow.delta(work, out, target, weight, rows, gain, logistic, not is_straight, scratch) and fine
            if not is_plain:
                _fill(work, gradient, P, 0.0)
        for layer in range(last, LAYERS, -STRIDE):
            n_out = get(plan, layer + ROWS)
            n_in = get(plan, layer - STRIDE + ROWS)
            d = get(plan, layer + TILE) + base
            a = get(plan, layer - STRIDE + TILE) + base
            w = get(plan, layer + W)
            b = get(plan, layer + B)
            if not is_narrow:
                turned = kept if by_sample & 1 and layer == LAYERS + STRIDE else -1
                dense.gradient(work, T, gradient + w, gradient + b, n_out, n_in, d, a, turned, scratch)
            elif is_plain:  # the parameters move as soon as their gradient is known
                narrow.gradient(work, after, theta, w, b, n_out, n_in, d, a)
            else:
                narrow.gradient(work, gradient, gradient, w, b, n_out, n_in, d, a)
            if layer > LAYERS + STRIDE:
                below = layer - STRIDE
                w = theta + get(plan, layer + W)
                act = get(plan, below + CODE)
                if act != elementwise.TANH:
                    elementwise.differentiate(work, act, a, n_in * T, get(plan, below + SLOPE) + base)
                if is_short:
                    x = get(plan, LAYERS + TILE) + base
                    narrow.short(
                        work, after, theta, get(plan, below + W), get(plan, below + B), n_in, get(plan, LAYERS + ROWS),
                        w, a, x, scratch, weight, gain, act == elementwise.TANH,
                    )  # fmt: skip
                    break
                if is_narrow:
                    narrow.backward(work, w, n_out, n_in, d, a, act == elementwise.TANH)
                else:
                    dense.backward(work, T, w, n_out, n_in, d, a, act == elementwise.TANH)

        if task == TRAIN and not fine:
            subtotal = math.nan
        at = ticket % shared[TILES] if thread >= 0 else 0
        line = RING + LINE * at
        if thread >= 0:
            hyper[update.RING + at] = subtotal
            shared[line + PLACE] = gradient
            if take(shared, line + COME) == 0:  # who adds the one before it will see to it
                continue
        ended = False
        while True:  # this tile is added, and then those after it that were ready before it
            if tile > 0:
                _add(work, plan[GRADIENT], gradient, P)
            total = subtotal if tile == 0 else hyper[update.TOTAL] + subtotal
            hyper[update.TOTAL] = total
            tile += 1
            if tile == tiles and task == TRAIN:
                # Those of narrow.py are looked at one step later: by then they have left the store buffer, and whole
                # vectors of them can be loaded without waiting for it.
                if is_narrow and not _all_finite(work, theta, P):
                    good = step - 1
                elif not _is_finite(total):
                    good = step
                else:
                    if record:
                        costs[recorded] = total
                    finite = (is_narrow and is_plain) or update.step(
                        work, P, theta, after, plan[GRADIENT], plan[MOMENTS], hyper
                    )
                    if not finite or (is_narrow and step == steps - 1 and not _all_finite(work, after, P)):
                        good = step
                ended = good < steps or step == steps - 1
                if ended:
                    result = before if good < step else theta if good < steps else after
                    if result != plan[THETA]:
                        _copy(work, plan[THETA], result, P)
                    if thread >= 0:
                        shared[GOOD] = good
                        release(shared, DONE, ALL_DONE)
            if thread < 0 or ended:
                break
            shared[line + COME] = 0
            ticket += 1
            at = ticket % shared[TILES]
            line = RING + LINE * at
            if tile == tiles:  # nobody can have come to the next step's first tile
                shared[line + COME] = 1
            release(shared, DONE, ticket)
            if tile == tiles or take(shared, line + COME) == 0:
                break
            subtotal = hyper[update.RING + at]
            gradient = shared[line + PLACE]
        if ended:
            break
    if task != TRAIN:
        costs[0] = total
        fit = fit and _is_finite(total)
        if task in (EVALUATE, BACKWARD):
            fit = fit and _all_finite(work, plan[GRADIENT], P)
        good = 1 if fit else 0
    return good


@inlined
def _is_finite(x):
    """Not `math.isfinite`, which subtracts x from itself: under `FLAGS`, the terms of a sum may cancel one by one."""
    return -math.inf < x < math.inf


@inlined
def _step_size(order, begin, batch, samples):
    """Samples in the step that begins there: the last one of an epoch may be smaller than the others."""
    return samples if order.size == 0 else min(batch, (order.size - begin - 1) % samples + 1)


@inlined
def _whole_blocks(work, count, width):
    """The samples of a tile that is not full, rounded up to what the products take at once."""
    block = 2 * lanes(work)
    return min(width, (count + block - 1) // block * block)


@inlined
def _wait(shared, tiles):
    """Wait until as many tiles are in; False if the run has ended before that."""
    spins = 0
    done = acquire(shared, DONE)
    while done < tiles:
        spins += 1
        if spins % SPINS == 0:
            give_way(shared[YIELD])
        done = acquire(shared, DONE)
    return done != ALL_DONE


@kernel("void(int64[::1], T[::1], T[::1], T[::1], int64, int64)")
def fetch(plan, work, X, Y, by_sample, samples):
    """Put all samples into the tile, which has room for them, for whoever begins without the engine."""
    T = plan[WIDTH]
    n, last = plan[LAYERS + ROWS], LAYERS + STRIDE * plan[DEPTH]
    to, target, kept, spill = plan[LAYERS + TILE], plan[TARGET], plan[SAMPLES], plan[SPILL]
    _load_rows(work, T, X, by_sample & 1, samples, n, to, plan, False, 0, samples, kept, spill)
    _load_rows(work, T, Y, by_sample & 2, samples, plan[last + ROWS], target, plan, False, 0, samples, kept, spill)
    _weigh(work, T, plan[WEIGHT], samples, samples)


# ---------------------------------------------------------------- tiles


@traced
def _load_rows(work, T, source, by_sample, samples, n, to, order, shuffled, start, count, turned, spill):
    """Copy `count` samples of a matrix (n, samples), or (samples, n) with `by_sample`, into a tile; the last one again
    and again follows, for what overflows in no sample must not do so in the padding.

    In the second case they stay at `turned`, too, one after the other.
    """

    def rows():
        for r in steps(0, n):
            row, line = r * samples, to + r * T

            def gather(row=row, line=line):
                for s in steps(0, count):
                    put(work, line + s, get(source, row + get(order, start + s)))

            def copy(row=row, line=line):
                for s in steps(0, T, lanes(work)):
                    store(work, line + s, load_part(source, row + start + s, count - s))

            cond(shuffled, gather, copy)
            last = get(work, line + count - 1)
            for s in steps(count, T):
                put(work, line + s, last)

    def by_samples():
        _load_samples(work, T, source, n, to, order, shuffled, start, count, turned, spill)

    cond(by_sample > 0, by_samples, rows)


def _load_samples(work, T, source, n, to, order, shuffled, start, count, turned, spill):
    """As many samples as lanes at a time are copied to `turned` and from there, as rows, into the tile."""
    V = lanes(work)
    whole = n // V * V
    width = (n + V - 1) // V * V
    for s in steps(0, T, V):
        for i in steps(s, s + V):
            sample = start + cond(i < count, lambda i=i: i, lambda: count - 1)
            sample = cond(shuffled, lambda sample=sample: get(order, sample), lambda sample=sample: sample)
            line = turned + i * width
            for k in steps(0, whole, V):
                store(work, line + k, load(source, sample * n + k))

            def rest(line=line, sample=sample):
                store(work, line + whole, load_part(source, sample * n + whole, n - whole))

            cond(whole < n, rest)
        for k in steps(0, whole, V):
            dense.turn(work, turned + s * width + k, width, to + k * T + s, T)

        def odd(s=s):  # what else a square would hold is not this tile's
            dense.turn(work, turned + s * width + whole, width, spill, V)
            for r in steps(0, n - whole):
                store(work, to + (whole + r) * T + s, load(work, spill + r * V))

        cond(whole < n, odd)


@traced
def _store_rows(work, T, to, samples, n, source, start, count):
    """The way back, for samples in their own order."""
    V = lanes(work)
    whole = count // V * V
    for r in steps(0, n):
        row, line = start + r * samples, source + r * T
        for s in steps(0, whole, V):
            store(to, row + s, load(work, line + s))
        for s in steps(whole, count):
            put(to, row + s, get(work, line + s))


@traced_inline
def _weigh(work, T, weight, count, size):
    share = 1.0 / size
    for s in steps(0, T, lanes(work)):
        store(work, weight + s, share)
    for s in steps(count, T):
        put(work, weight + s, 0.0)


# ---------------------------------------------------------------- parameter vectors


@traced_inline
def _fill(work, at, n, value):
    for i in steps(at, at + n, lanes(work)):
        store(work, i, value)


@traced_inline
def _copy(work, to, start, n):
    for i in steps(0, n, lanes(work)):
        store(work, to + i, load(work, start + i))


@traced_inline
def _add(work, to, more, n):
    for i in steps(0, n, lanes(work)):
        store(work, to + i, load(work, to + i) + load(work, more + i))


@traced_inline
def _all_finite(work, at, n):
    V = lanes(work)

    def pair(i, sums):  # x - x is 0 for every number, NaN for NaN and infinity; two sums that need not wait
        even, odd = sums
        x, y = load(work, i), load(work, i + V)
        return even + (x - x), odd + (y - y)

    def last(odd):
        x = load(work, at + n - V)
        return odd + (x - x)

    none = full(work, 0.0)
    even, odd = fori_loop(at, at + n - V, 2 * V, pair, (none, none))
    return sum_lanes(even + cond(n % (2 * V) > 0, lambda: last(odd), lambda: odd)) == 0.0


# ---------------------------------------------------------------- the tutorial's small functions


@kernel("float64(T[::1], T[::1], int64)")
def cost(A, Y, samples):
    """-sum(Y log A + (1 - Y) log(1 - A)) / samples, with 0 log 0 = 0; NaN if a value is not between 0 and 1."""
    total = 0.0
    for i in range(A.size):
        a = A[i]
        y = Y[i]
        if not (0 <= a <= 1 and 0 <= y <= 1):
            return math.nan
        if y > 0:
            total -= y * (math.log(a) if a > 0 else -math.inf)
        if y < 1:
            total -= (1 - y) * (math.log1p(-a) if a < 1 else -math.inf)
    return total / samples


@kernel("void(T[::1])")
def logistic(z):
    """z = sigmoid(z) in place; the length is a multiple of the vector's."""
    _sigmoids(z, z.size)


@traced_inline
def _sigmoids(z, n):
    for i in steps(0, n, lanes(z)):
        store(z, i, sigmoid(load(z, i)))


@kernel("boolean(T[::1], T[::1], float64, T[::1])")
def descend(theta, gradient, rate, after):
    """after = theta - rate * gradient; False if that is not finite."""
    rate = theta.dtype.type(rate)
    good = True
    for i in range(theta.size):
        after[i] = theta[i] - rate * gradient[i]
        good = good and _is_finite(after[i])  # which it is not if one of the others is not
    return good
