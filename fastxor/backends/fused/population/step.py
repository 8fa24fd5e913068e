"""A step of a group of networks: forward, back and the optimizer's, all in one lane for each network.

Everything here is traced, and ``plan(i)`` is entry i of the plan: a number that is read when the kernel runs or, for a
kernel of exact sizes, one that is known when it is compiled. Then every loop is written out and every branch decided,
by the same source, so that the result has the same bits.

The order of operations, for each network by itself: a weighted sum begins as its bias and takes one product after the
other. A delta is the sum over the neurons above, one product after the other, times the activation's derivative. A
gradient is the sum over the samples of a tile, one after the other, and tiles are added one after the other.
"""

from functools import partial, reduce
from operator import or_

from .. import choices, elementwise, update
from ..simd import absolute, broadcast, cos, fma, full, get, lanes, load, select_less, sin, store
from ..tracing import cond, fori_loop, steps, traced
from ..vmath import sigmoid_of_many, tanh
from .layout import (
    CODE,
    COST,
    COUNT,
    DEPTH,
    GRADIENT,
    INPUT,
    LAYERS,
    LOSS,
    MOMENTS,
    NONFINITE,
    ROWS,
    SAMPLES,
    SHARED,
    SLOPE,
    STRIDE,
    TARGET,
    THETA,
    TILE,
    TILE_STRIDE,
    TILES,
    WEIGHT,
    WIDTH,
    B,
    W,
)
from .products import multiply


class Read:
    """The plan of any network, read from an array."""

    is_known = False

    def __init__(self, entries):
        self.entries = entries

    def __call__(self, i):
        return get(self.entries, i)


class Known:
    """That of one network, known when its kernel is compiled."""

    is_known = True

    def __init__(self, entries):
        self.entries = entries.tolist()

    def __call__(self, i):
        return self.entries[i]


class Layer:
    """Of a tile: its rows, of so many samples, and where its parameters stand in a parameter vector."""

    def __init__(self, plan, number, tile):
        below, here = LAYERS + number * STRIDE, LAYERS + (number + 1) * STRIDE
        self.number = number
        self.n_in, self.n_out = plan(below + ROWS), plan(here + ROWS)
        self.a = cond(number == 0, lambda: plan(INPUT) + tile * plan(TILE_STRIDE), lambda: plan(below + TILE))
        self.below, self.slopes_below = plan(below + CODE), plan(below + SLOPE)
        self.z, self.code, self.slopes = plan(here + TILE), plan(here + CODE), plan(here + SLOPE)
        self.w, self.b = plan(here + W), plan(here + B)


def segment(work, X, plan, hyper, kind, count, records, penalized):
    """So many steps of all samples, which are in their places. `records` are the first step whose cost is stored,
    how many steps lie between two of them, and in which array, from which place on.
    """
    first, period, costs, start = records
    V = lanes(work)

    def one_step(step, state):
        following, at = state
        record = step == following
        begin(work, hyper, kind)
        for tile in steps(0, plan(TILES)):
            first_of = tile * plan(WIDTH)
            size = _smaller(plan(WIDTH), plan(SAMPLES) - first_of)
            one_tile(work, X, plan, tile, tile, first_of, size, record)
        finish(work, plan, hyper, kind, record, penalized)

        def store_cost():
            store(costs, at, load(work, plan(COST)))
            return following + period, at + V

        return cond(record, store_cost, lambda: (following, at))

    fori_loop(0, count, 1, one_step, (first, start))
    mark_nonfinite(work, plan)


def _smaller(x, y):
    return cond(x < y, lambda: x, lambda: y)


def begin(work, hyper, kind):
    """Before a step: the powers that Adam remembers."""
    V = lanes(work)

    def raised():
        for power, decay in ((update.POWER1, update.SECOND), (update.POWER2, update.THIRD)):
            store(hyper, power * V, load(hyper, power * V, V) * load(hyper, decay * V, V))

    cond(reduce(or_, (kind == known for known in update.WITH_POWERS)), raised)


def one_tile(work, X, plan, place, tile, start, size, record, scikit=False):
    """What a step's tile of this number, whose samples stand at this place, adds to the cost and the gradient.

    Many arguments: see tracing.py.
    """
    forward(work, X, plan, place, start, size)
    last = Layer(plan, plan(DEPTH) - 1, place)
    data, logistic = place * plan(TILE_STRIDE), last.code == elementwise.SIGMOID
    cond(record, lambda: cost(work, plan, place, tile, size, scikit))
    cond(logistic, lambda: None, lambda: output(work, plan, size))
    bad = elementwise.errors(
        work, plan(LOSS), last.code, last.z, plan(TARGET) + data, plan(WEIGHT) + data, last.n_out, size * lanes(work),
        logistic, sigmoid_of_many,
    )  # fmt: skip
    cond(logistic, lambda: store(work, plan(NONFINITE), load(work, plan(NONFINITE)) + bad))
    backward(work, X, plan, place, tile, start, size)


def cost(work, plan, place, tile, size, scikit=False):
    """Add a tile's to COST, from the last layer's input. With `scikit`, as `fastxor.state.Job` says."""
    last, data = Layer(plan, plan(DEPTH) - 1, place), place * plan(TILE_STRIDE)
    targets, weights = plan(TARGET) + data, plan(WEIGHT) + data
    found = elementwise.losses(
        work, plan(LOSS), last.code, last.z, targets, weights, last.n_out, size * lanes(work), scikit
    )
    store(work, plan(COST), cond(tile > 0, lambda: load(work, plan(COST)) + found, lambda: found))


def output(work, plan, size):
    """Replace the last layer's input by the outputs; NaN to the lanes of NONFINITE in which it is not finite."""
    last, T = Layer(plan, plan(DEPTH) - 1, 0), size * lanes(work)
    stop = last.z + last.n_out * T
    bad = fori_loop(last.z, stop, lanes(work), lambda i, bad: bad + _none(load(work, i)), load(work, plan(NONFINITE)))
    store(work, plan(NONFINITE), bad)
    _call(elementwise.output, plan, work, last.code, last.z, last.n_out, T)


def _none(x):
    """0 for every number, NaN for NaN and infinity."""
    return x - x


def _call(function, plan, *arguments):
    """Call a traced function; where all sizes are known, write it out here."""
    return (_known(function) if plan.is_known else function)(*arguments)


def _known(function):
    return getattr(function, "__wrapped__", function)


def forward(work, X, plan, place, start, size):
    """From a tile's samples to the last layer's input."""
    V, T = lanes(work), size * lanes(work)
    depth, theta = plan(DEPTH), plan(THETA)
    for number in steps(0, depth):
        layer = Layer(plan, number, place)

        def weighted_sums(right, layer=layer):
            multiply(
                layer.n_out,
                size,
                layer.n_in,
                lambda r, k: load(work, theta + layer.w + (r * layer.n_in + k) * V),
                right,
                lambda r: load(work, theta + layer.b + r * V),
                lambda r, s, z: store(work, layer.z + r * T + s * V, z),
            )

        inputs = _inputs(work, X, plan, start, T, layer)
        shared_or_own_inputs(
            plan, number, lambda f=weighted_sums, i=inputs: f(i[0]), lambda f=weighted_sums, i=inputs: f(i[1])
        )
        cond(number < depth - 1, partial(activate, work, plan, layer, layer.n_out * T))


def _inputs(work, X, plan, start, T, layer):
    """Two functions of a sample and a row: input `row` of the layer, where all networks share X, and else."""
    V = lanes(work)
    return (
        lambda s, k: broadcast(X, k * plan(SAMPLES) + start + s, V),
        lambda s, k: load(work, layer.a + k * T + s * V),
    )


def shared_or_own_inputs(plan, number, shared, own):
    """The first for a first layer whose samples are shared, else the other."""
    cond((number == 0) & (plan(SHARED) == 1), shared, own)


def activate(work, plan, layer, n):
    """Replace a hidden layer's n inputs by the activation's values."""

    def curve():
        _call(_curve, plan, work, layer.z, n)

    def others():
        _call(elementwise.activate, plan, work, layer.code, layer.z, n, layer.slopes)

    def waves():
        cond(elementwise.has_large_angles(work, layer.z, n), partial(_large_angle_sincos, work, layer, n), others)

    cond(layer.code == elementwise.TANH, curve, lambda: cond(layer.code == elementwise.SIN, waves, others))


@traced
def _curve(work, first, n):
    """A function of its own: only in a short one does LLVM keep the constants in registers from turn to turn."""
    for i in steps(first, first + n, lanes(work)):
        store(work, i, tanh(load(work, i)))


def _large_angle_sincos(work, layer, n):
    """Sine and cosine where there are angles beyond the range of `sin_cos`, which are rare. Other lanes keep theirs."""
    for i in steps(0, n, lanes(work)):
        z = load(work, layer.z + i)
        size, values = absolute(z), (elementwise.sin_cos(z), (sin(z), cos(z)))
        for at, near, far in zip((layer.z, layer.slopes), *values, strict=True):
            store(work, at + i, select_less(elementwise.MAX_ANGLE, size, far, near))


def backward(work, X, plan, place, tile, start, size):
    """From the deltas at the output to the gradient, to which the tile's is added."""
    V, T = lanes(work), size * lanes(work)
    depth, gradient = plan(DEPTH), plan(GRADIENT)

    def add(at, vector):
        store(work, at, cond(tile > 0, lambda: load(work, at) + vector, lambda: vector))

    for number in steps(0, depth):
        layer = Layer(plan, depth - 1 - number, place)

        def weights(right, layer=layer):
            multiply(
                layer.n_out,
                layer.n_in,
                size,
                lambda r, s: load(work, layer.z + r * T + s * V),
                lambda k, s: right(s, k),
                lambda r: full(work, 0.0),
                lambda r, k, g: add(gradient + layer.w + (r * layer.n_in + k) * V, g),
            )

        inputs = _inputs(work, X, plan, start, T, layer)
        shared_or_own_inputs(
            plan, layer.number, lambda f=weights, i=inputs: f(i[0]), lambda f=weights, i=inputs: f(i[1])
        )
        biases(work, layer, size, add, gradient)
        cond(layer.number > 0, partial(deltas_below, work, plan, layer, size))


def biases(work, layer, size, add, gradient):
    """The sums of the deltas' rows."""
    V, T = lanes(work), size * lanes(work)

    def some(r, count):
        def sample(s, sums):
            return [total + load(work, layer.z + (r + i) * T + s * V) for i, total in enumerate(sums)]

        for i, total in enumerate(fori_loop(0, size, 1, sample, [full(work, 0.0)] * count)):
            add(gradient + layer.b + (r + i) * V, total)

    whole = layer.n_out // choices.LANE_BLOCK_ROWS * choices.LANE_BLOCK_ROWS
    for r in steps(0, whole, choices.LANE_BLOCK_ROWS):
        some(r, choices.LANE_BLOCK_ROWS)
    for r in steps(whole, layer.n_out):
        some(r, 1)


def deltas_below(work, plan, layer, size):
    """The deltas of the layer below, in the place of its activations."""
    V, T = lanes(work), size * lanes(work)
    is_tanh = layer.below == elementwise.TANH

    def differentiate():
        _call(elementwise.differentiate, plan, work, layer.below, layer.a, layer.n_in * T, layer.slopes_below)

    def product(slope):
        multiply(
            layer.n_in,
            size,
            layer.n_out,
            lambda k, r: load(work, plan(THETA) + layer.w + (r * layer.n_in + k) * V),
            lambda s, r: load(work, layer.z + r * T + s * V),
            lambda k: full(work, 0.0),
            lambda k, s, d: store(work, layer.a + k * T + s * V, slope(load(work, layer.a + k * T + s * V)) * d),
        )

    def others():
        differentiate()
        product(lambda a: a)

    cond(is_tanh, lambda: product(lambda a: fma(-a, a, 1.0)), others)


def finish(work, plan, hyper, kind, record, penalized):
    """The optimizer's step, from the gradient of all tiles."""
    V, n = lanes(work), plan(COUNT) * lanes(work)
    theta, gradient, moments = plan(THETA), plan(GRADIENT), plan(MOMENTS)
    number = lambda i: load(hyper, i * V, V)  # noqa: E731

    def penalize():
        def raised():
            more = update.penalties(work, n, theta, moments, number)
            store(work, plan(COST), load(work, plan(COST)) + more)

        cond(record, raised)
        update.penalize_each(work, n, theta, gradient, moments, number)

    cond(penalized, penalize)
    update.moved(work, n, 0, n, theta, theta, gradient, moments, kind, number)


def mark_nonfinite(work, plan):
    """Put NaN into the lanes of NONFINITE whose parameters are not finite. That stays so until somebody looks."""
    n, V, theta = plan(COUNT) * lanes(work), lanes(work), plan(THETA)
    bad = fori_loop(theta, theta + n, V, lambda i, bad: bad + _none(load(work, i)), load(work, plan(NONFINITE)))
    store(work, plan(NONFINITE), bad)
