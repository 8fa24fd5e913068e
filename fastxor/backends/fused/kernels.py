"""The kernels that Python calls. Arrays are flat; `plan` and `work` are those of workspace.py."""

import math

from . import dense, elementwise, narrow
from ._jit import inlined, kernel
from .simd import fma, full, get, lanes, load, sqrt, store, sum_lanes
from .vmath import sigmoid
from .workspace import (
    AFTER,
    BEFORE,
    CODE,
    DEPTH,
    GRADIENT,
    LAYERS,
    LOSS,
    MOMENTS,
    PADDED,
    ROWS,
    SLOPE,
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
TRAIN, FORWARD, EVALUATE, BACKWARD = 0, 1, 2, 3
# Entries of `hyper`.
OPTIMIZER, RATE, BETA1, BETA2, EPSILON, POWER1, POWER2 = 0, 1, 2, 3, 4, 5, 6
PLAIN, MOMENTUM, NESTEROV, ADAM = 0, 1, 2, 3


@kernel
def engine(task, plan, work, X, Y, samples, order, batch, activations, costs, hyper, steps, first, interval):
    """Steps of training, or one pass over all samples: every way through a network, so that it is compiled once.

    X and Y are (rows, samples). `order` lists the samples to go through in batches of `batch`, or is empty for all.

    TRAIN     takes `steps` steps from the parameters at THETA and returns how many were good. The cost before step
              first, first + interval, … goes to `costs`. A number below `steps` says that this step, or its
              cost, was not finite; THETA then holds the parameters before it.
    FORWARD   writes the activations of every layer, each (n, samples), one after the other, to `activations`.
    EVALUATE  puts the cost in costs[0] and its gradient at GRADIENT.
    BACKWARD  does so for the given `activations` of tanh layers and a sigmoid output, without the cost.
              These three return 1, or 0 if an input is not finite or a target not what the loss wants.
    """
    P = plan[PADDED]
    T = plan[WIDTH]
    is_narrow = lanes(work) == T
    is_plain = task == TRAIN and hyper[OPTIMIZER] == PLAIN
    rate = work.dtype.type(hyper[RATE])
    gain = -rate if is_plain else work.dtype.type(1.0)
    before = plan[BEFORE]
    theta = plan[THETA]
    after = plan[AFTER]
    gradient = plan[GRADIENT]
    loss = plan[LOSS]
    depth = plan[DEPTH]
    last = LAYERS + STRIDE * depth
    rows = get(plan, last + ROWS)
    out = get(plan, last + TILE)
    code = get(plan, last + CODE)
    logistic = code == elementwise.SIGMOID and (task in (TRAIN, EVALUATE))
    target = plan[TARGET]
    weight = plan[WEIGHT]
    is_straight = loss <= elementwise.CROSS_ENTROPY or (
        loss == elementwise.SQUARED_ERROR and code != elementwise.SIGMOID
    )
    good = steps
    fit = task == TRAIN or _all_finite(work, theta, P)
    recorded = 0
    begin = 0
    for step in range(steps):
        size = samples if order.size == 0 else min(batch, order.size - begin)
        tiles = 1 if size <= T else (size + T - 1) // T
        record = step == first or task == EVALUATE
        total = 0.0
        finite = True
        if not (is_narrow and is_plain) and task != FORWARD:
            _fill(work, gradient, P, 0.0)
        for tile in range(tiles):
            start = begin + tile * T
            count = min(T, size - tile * T)
            if tiles > 1 or step == 0 or order.size > 0:
                a = get(plan, LAYERS + TILE)
                _load_rows(work, T, X, samples, get(plan, LAYERS + ROWS), a, order, start, count)
                if task != FORWARD:
                    _load_rows(work, T, Y, samples, rows, target, order, start, count)
                    _weigh(work, T, weight, count, size)
                if task != TRAIN:
                    fit = fit and _all_finite(work, a, get(plan, LAYERS + ROWS) * T)
                    if task != FORWARD:
                        fit = fit and elementwise.unfit(work, loss, target, weight, rows, T, 1e-3) == 0.0
            place = start
            for layer in range(LAYERS + STRIDE, last + STRIDE, STRIDE):
                n_out = get(plan, layer + ROWS)
                n_in = get(plan, layer - STRIDE + ROWS)
                z = get(plan, layer + TILE)
                if task == BACKWARD:
                    _load_rows(work, T, activations, samples, n_out, z, order, place, count)
                    fit = fit and _all_finite(work, z, n_out * T)
                else:
                    a = get(plan, layer - STRIDE + TILE)
                    w = theta + get(plan, layer + W)
                    b = theta + get(plan, layer + B)
                    act = get(plan, layer + CODE)
                    inside = is_narrow and layer < last and act == elementwise.TANH
                    if is_narrow:
                        narrow.forward(work, w, b, n_out, n_in, a, z, inside)
                    else:
                        dense.forward(work, T, w, b, n_out, n_in, a, z)
                    if layer < last:
                        if not inside:
                            elementwise.activate(work, act, z, n_out * T, get(plan, layer + SLOPE))
                    else:
                        if record:
                            total += elementwise.cost(work, loss, code, out, target, weight, rows, T)
                        if not logistic:
                            finite = finite and _all_finite(work, z, n_out * T)
                            elementwise.output(work, code, out, rows, T)
                    if task == FORWARD:
                        _store_rows(work, T, activations, samples, n_out, z, place, count)
                place += samples * n_out
            if task == FORWARD:
                continue
            if not (is_narrow and is_straight):
                finite = elementwise.delta(work, loss, code, out, target, weight, rows, T, logistic) and finite
            if is_narrow:
                finite = narrow.delta(work, out, target, weight, rows, gain, logistic, not is_straight) and finite
            for layer in range(last, LAYERS, -STRIDE):
                n_out = get(plan, layer + ROWS)
                n_in = get(plan, layer - STRIDE + ROWS)
                d = get(plan, layer + TILE)
                a = get(plan, layer - STRIDE + TILE)
                w = get(plan, layer + W)
                b = get(plan, layer + B)
                if not is_narrow:
                    dense.gradient(work, T, gradient + w, gradient + b, n_out, n_in, d, a)
                elif is_plain:  # the parameters move as soon as their gradient is known
                    narrow.gradient(work, after, theta, w, b, n_out, n_in, d, a)
                else:
                    narrow.gradient(work, gradient, gradient, w, b, n_out, n_in, d, a)
                if layer > LAYERS + STRIDE:
                    below = layer - STRIDE
                    w = theta + get(plan, layer + W)
                    act = get(plan, below + CODE)
                    inside = is_narrow and act == elementwise.TANH
                    if not inside:
                        elementwise.differentiate(work, act, a, n_in * T, get(plan, below + SLOPE))
                    if is_narrow:
                        narrow.backward(work, w, n_out, n_in, d, a, inside)
                    else:
                        dense.backward(work, T, w, n_out, n_in, d, a)
        if task != TRAIN:
            costs[0] = total
            return 1 if fit else 0
        # The parameters of this step are looked at now, not when they were written: by now they have left
        # the store buffer, and whole vectors of them can be loaded without waiting for it.
        if not _all_finite(work, theta, P):
            good = step - 1
            theta = before
            break
        if not finite or (record and not math.isfinite(total)):
            good = step
            break
        if record:
            costs[recorded] = total
            recorded += 1
            first += interval
        if not (is_narrow and is_plain):
            _update(work, P, theta, after, gradient, plan[MOMENTS], hyper)
        before, theta, after = theta, after, before
        begin += size
        if begin >= order.size:
            begin = 0
    if good == steps and not _all_finite(work, theta, P):
        good = steps - 1
        theta = before
    if theta != plan[THETA]:
        for i in range(0, P, lanes(work)):
            store(work, plan[THETA] + i, load(work, theta + i))
    return good


# ---------------------------------------------------------------- tiles


@inlined
def _load_rows(work, T, source, samples, n, to, order, start, count):
    """Copy `count` samples of n rows of a matrix (rows, samples) into a tile padded with zeros."""
    for r in range(n):
        if order.size > 0:
            for s in range(count):
                work[to + r * T + s] = source[r * samples + order[start + s]]
        else:
            for s in range(count):
                work[to + r * T + s] = source[r * samples + start + s]
        for s in range(count, T):
            work[to + r * T + s] = 0.0


@inlined
def _store_rows(work, T, to, samples, n, source, start, count):
    """The way back, for samples in their own order."""
    for r in range(n):
        for s in range(count):
            to[r * samples + start + s] = work[source + r * T + s]


@inlined
def _weigh(work, T, weight, count, size):
    for s in range(count):
        work[weight + s] = 1.0 / size
    for s in range(count, T):
        work[weight + s] = 0.0


# ---------------------------------------------------------------- parameter vectors


@inlined
def _fill(work, at, n, value):
    for i in range(at, at + n, lanes(work)):
        store(work, i, value)


@inlined
def _all_finite(work, at, n):
    total = full(work, 0.0)  # x - x is 0 for every number, NaN for NaN and infinity
    for i in range(at, at + n, lanes(work)):
        x = load(work, i)
        total = total + (x - x)
    return sum_lanes(total) == 0.0


@inlined
def _update(work, n, theta, after, gradient, moments, hyper):
    """One step of the optimizer: parameters at `theta` and gradient in, parameters at `after` out."""
    V = lanes(work)
    rate = hyper[RATE]
    beta1 = hyper[BETA1]
    if hyper[OPTIMIZER] == ADAM:
        beta2 = hyper[BETA2]
        hyper[POWER1] *= beta1
        hyper[POWER2] *= beta2
        rate = rate / (1.0 - hyper[POWER1])
        correction = 1.0 / (1.0 - hyper[POWER2])
        for i in range(0, n, V):
            g = load(work, gradient + i)
            m = fma(load(work, moments + i), beta1, g * (1.0 - beta1))
            v = fma(load(work, moments + n + i), beta2, g * g * (1.0 - beta2))
            store(work, moments + i, m)
            store(work, moments + n + i, v)
            root = sqrt(v * correction) + hyper[EPSILON]
            store(work, after + i, load(work, theta + i) - m * rate / root)
    elif hyper[OPTIMIZER] == PLAIN:
        for i in range(0, n, V):
            store(work, after + i, fma(load(work, gradient + i), -rate, load(work, theta + i)))
    else:
        for i in range(0, n, V):
            g = load(work, gradient + i)
            v = fma(load(work, moments + i), beta1, g)
            store(work, moments + i, v)
            if hyper[OPTIMIZER] == NESTEROV:
                v = fma(v, beta1, g)
            store(work, after + i, fma(v, -rate, load(work, theta + i)))


# ---------------------------------------------------------------- the tutorial's small functions


@kernel
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


@kernel
def logistic(z):
    """z = sigmoid(z) in place; the length is a multiple of the vector's."""
    for i in range(0, z.size, lanes(z)):
        store(z, i, sigmoid(load(z, i)))


@kernel
def update(theta, gradient, rate, after):
    """after = theta - rate * gradient; False if theta or the gradient is not finite."""
    rate = theta.dtype.type(rate)
    good = True
    for i in range(theta.size):
        after[i] = theta[i] - rate * gradient[i]
        good = good and math.isfinite(theta[i]) and math.isfinite(gradient[i])
    return good
