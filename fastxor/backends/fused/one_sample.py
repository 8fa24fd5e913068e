"""A network as functions that a user's own compiled code calls, for one sample at a time.

Each network has functions of its own, which are traced with its sizes and activations at hand. All values of a sample
stand on the stack, one layer after the other, each padded to whole vectors. A lane holds an input of a layer: of as
many rows of W as there are lanes, each is multiplied by the inputs, and one tree of additions makes a vector of their
sums, to which the activation is applied before it is stored. On the way back the lanes are the same inputs, and every
row of W adds to their derivatives while its own gradient is stored.
"""

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import TypingError, types
from numba.extending import overload

from fastxor.architecture import Architecture
from fastxor.backends import Compiled

from ._jit import FLAGS, UNJITTED, callee, inlined
from .elementwise import (
    ACTIVATIONS,
    DERIVATIVES,
    EXPONENTIAL,
    IDENTITY,
    MAX_ANGLE,
    NEED_DERIVATIVE_ROWS,
    SIGMOID,
    SIN,
    SOFTMAX,
    TANH,
    VALUES,
)
from .simd import (
    absolute,
    broadcast,
    cos,
    fma,
    full,
    get,
    lanes,
    load,
    load_part,
    opaque_count,
    put,
    scratch,
    select_less,
    sin,
    store,
    store_part,
    sum_each,
    sum_lanes,
)
from .tracing import cond, fori_loop, steps, traced, traced_inline
from .vmath import exp, exp_down, sin_cos, tanh

# Values of a sample, for they stand on the stack, of which a thread may have half a megabyte.
MOST_VALUES = 16_384


class _Layer(NamedTuple):
    """What is known of a layer when it is traced."""

    n_in: int
    n_out: int
    w: int  # where its weights,
    b: int  # and biases, begin in theta
    a: int  # where its inputs begin among the values,
    z: int  # and its outputs,
    slope: int  # and the derivatives that cannot be had from the outputs
    code: int


@lru_cache(maxsize=256)
def compiled(network: Architecture) -> Compiled:
    """The functions of this network. They are compiled for a dtype when they are first called with it."""
    if sum(network.sizes) > MOST_VALUES:
        raise ValueError(
            f"a network that is to be compiled may have {MOST_VALUES} inputs and units, got sizes {network.sizes}"
        )
    count, n_x, n_y = network.count, network.sizes[0], network.sizes[-1]
    run_forward, run_gradient = _traced(network)

    def forward(theta, x, out):
        """The outputs (n_y,) of the sample x (n_x,), into out; theta (count,) holds the parameters."""
        theta = checked("theta", theta, count, theta)
        x, out = checked("x", x, n_x, theta), checked("out", out, n_y, theta)
        run_forward(theta, x, step(x), out, step(out))

    def gradient(theta, x, dout, dtheta):
        """From the derivative dout (n_y,) of a number by the outputs to that by theta (count,), into dtheta."""
        theta, dtheta = checked("theta", theta, count, theta), checked("dtheta", dtheta, count, theta)
        x, dout = checked("x", x, n_x, theta), checked("dout", dout, n_y, theta)
        run_gradient(theta, x, step(x), dout, step(dout), dtheta)

    # A caller's machine code that comes from its cache has theirs in it, and a process has one code under a name.
    for function in (forward, gradient):
        function.__qualname__ += "_" + hashlib.sha256(repr(network).encode()).hexdigest()[:32]
    return Compiled(callee(forward), callee(gradient))


def _traced(network):
    """What the two functions do when their arguments are in order."""

    def plan(theta):
        """Places for this dtype: of the layers, of a vector of outputs, and how many values there are."""
        V, layers, end = lanes(theta), [], 0
        places = []
        for n in (*network.sizes, network.sizes[-1]):
            places.append(end)
            end += -(-n // V) * V
        for layer, a, z in zip(network.layers, places, places[1:], strict=False):
            code = ACTIVATIONS[layer.activation]
            layers.append(_Layer(layer.n_in, layer.n_out, layer.weight.start, layer.bias.start, a, z, end, code))
            end += -(-layer.n_out // V) * V * (layer.activation in NEED_DERIVATIVE_ROWS)
        return layers, places[-1], end

    @traced_inline
    def run_forward(theta, x, x_step, out, out_step):
        layers, _, size = plan(theta)
        values = scratch(theta, size)
        _forward(theta, x, x_step, values, layers)
        last = layers[-1]
        for i in _turns(theta, 0, last.n_out, 1):
            put(out, i * out_step, get(values, last.z + i))

    @traced_inline
    def run_gradient(theta, x, x_step, dout, dout_step, dtheta):
        layers, dA, size = plan(theta)
        values = scratch(theta, size)
        _forward(theta, x, x_step, values, layers)
        last = layers[-1]
        _fetch(dout, dout_step, values, dA, last.n_out)
        _through_output(values, last, dA)
        for number in reversed(range(len(layers))):
            _backward(theta, dtheta, values, layers[number], layers[number - 1] if number else None)

    return run_forward, run_gradient


# ---------------------------------------------------------------- loops


def _turns(array, start, stop, step):
    """`steps`, written out where there are one or two of them."""
    return steps(start, stop if stop - start <= 2 * step else opaque_count(array, stop), step)


def _sums(array, stop, step, body, state):
    """`fori_loop` likewise, from 0."""
    return fori_loop(0, stop if stop <= 2 * step else opaque_count(array, stop), step, body, state)


def _chunks(array, n):
    """(place, numbers) of whole vectors of n numbers, a loop over them, and then of what is left."""
    V = lanes(array)
    whole = n // V * V
    for i in _turns(array, 0, whole, V):
        yield i, V
    if whole < n:
        yield whole, n - whole


def _load(array, i, count):
    """So many numbers and then zeros; no others are read."""
    return load(array, i) if count == lanes(array) else load_part(array, i, count)


def _store(array, i, vector, count):
    if count == lanes(array):
        store(array, i, vector)
    else:
        store_part(array, i, vector, count)


# ---------------------------------------------------------------- forward


def _fetch(source, step, values, to, n):
    """Copy n numbers that stand `step` apart, and fill up with zeros."""
    V = lanes(values)
    if n % V:
        store(values, to + n // V * V, 0.0)
    for i in _turns(values, 0, n, 1):
        put(values, to + i, get(source, i * step))


def _forward(theta, x, step, values, layers):
    """The values of all layers."""
    _fetch(x, step, values, layers[0].a, layers[0].n_in)
    for layer in layers:
        for r, rows in _chunks(values, layer.n_out):
            value, slope = _activated(layer.code, _products(theta, values, layer, r, rows))
            store(values, layer.z + r, value)
            if slope is not None:
                store(values, layer.slope + r, slope)
        if layer.code == SIN:
            _sines(values, layer.z, layer.slope, layer.n_out)
    last = layers[-1]
    if last.code == SOFTMAX:
        _softmax(values, last.z, last.n_out)


def _products(theta, values, layer, r, rows):
    """A vector of W a + b for so many rows from r on, then zeros."""
    V, n = lanes(values), layer.n_in
    none, first, whole = full(values, 0.0), layer.w + r * n, n // V * V

    def chunk(k, sums, count=V):
        a = load(values, layer.a + k)
        return tuple(fma(_load(theta, first + i * n + k, count), a, total) for i, total in enumerate(sums))

    sums = _sums(values, whole, V, chunk, (none,) * rows)
    if whole < n:
        sums = chunk(whole, sums, n - whole)
    return sum_each(*sums, *(none,) * (V - rows)) + _load(theta, layer.b + r, rows)


def _activated(code, z):
    """The activation's value, and its derivative if that cannot be had from the value; `_sines` is for later."""
    if code == SIN:
        return z, None
    if code == TANH:
        return tanh(z), None
    if code == EXPONENTIAL:
        return exp(z), None
    value = VALUES.get(code, lambda z: z)(z)
    return value if isinstance(value, tuple) else (value, None)


@traced
def _sines(values, z, slope, n):
    """Sines at z of the angles there, and their derivatives; angles beyond a million, which are rare, take longer."""
    V = lanes(values)
    for i in steps(0, n, V):
        angles = load(values, z + i)

        def exact(i=i):
            for j in steps(i, i + V):
                angle = load(values, z + j, 1)
                store(values, slope + j, cos(angle))
                store(values, z + j, sin(angle))

        def soon(i=i, angles=angles):
            sines, cosines = sin_cos(angles)
            store(values, slope + i, cosines)
            store(values, z + i, sines)

        cond(sum_lanes(select_less(MAX_ANGLE, absolute(angles), 1.0, 0.0)) > 0.0, exact, soon)


def _softmax(values, z, n):
    V = lanes(values)
    top = _sums(values, n, 1, lambda i, top: _larger(get(values, z + i), top), get(values, z))
    for i in range(n, -(-n // V) * V):
        put(values, z + i, -np.inf)
    total = full(values, 0.0)

    def exponential(i, total):
        e = exp_down(load(values, z + i) - top)
        store(values, z + i, e)
        return total + e

    total = sum_lanes(_sums(values, -(-n // V) * V, V, exponential, total))
    for i in _turns(values, 0, -(-n // V) * V, V):
        store(values, z + i, load(values, z + i) / total)


def _larger(x, y):
    return cond(x < y, lambda: y, lambda: x)


# ---------------------------------------------------------------- back


def _through_output(values, last, dA):
    """Replace the outputs by the derivative by their activation's input, from that by them at dA."""
    padded = -(-last.n_out // lanes(values)) * lanes(values)
    V = lanes(values)

    def product(i, total):
        return fma(load(values, last.z + i), load(values, dA + i), total)

    mean = sum_lanes(_sums(values, padded, V, product, full(values, 0.0))) if last.code == SOFTMAX else 0.0
    for i in _turns(values, 0, padded, V):
        a, d = load(values, last.z + i), load(values, dA + i)
        if last.code == SOFTMAX:
            d = a * (d - mean)
        elif last.code == SIGMOID:
            d = d * (a * (1.0 - a))
        elif last.code == EXPONENTIAL:
            d = d * a
        store(values, last.z + i, d)


def _backward(theta, dtheta, values, layer, below):
    """The gradient of a layer from the derivatives at z; its inputs, if they are units, become their derivatives."""
    for r, rows in _chunks(values, layer.n_out):
        _store(dtheta, layer.b + r, load(values, layer.z + r), rows)
    for k, count in _chunks(values, layer.n_in):
        a = load(values, layer.a + k)

        def row(r, total, k=k, count=count, a=a):
            d, place = broadcast(values, layer.z + r), layer.w + r * layer.n_in + k
            _store(dtheta, place, d * a, count)
            return fma(d, _load(theta, place, count), total) if below else total

        total = _sums(values, layer.n_out, 1, row, full(values, 0.0))
        if below:
            slope = _slope(values, below, a, k)
            store(values, layer.a + k, total if slope is None else _let_through(slope, total))


def _slope(values, layer, a, k):
    """The activation's derivative where its values are a; None where it is 1."""
    if layer.code == IDENTITY:
        return None
    if layer.code == TANH:
        return fma(-a, a, 1.0)
    return DERIVATIVES[layer.code](a) if layer.code in DERIVATIVES else load(values, layer.slope + k)


def _let_through(slope, d):
    """slope * d, which is 0 where the slope is, also if d is infinite."""
    return select_less(0.0, absolute(slope), slope * d, slope - slope)


# ---------------------------------------------------------------- what a caller may pass


@inlined
def step(array):
    """How far its numbers stand from each other, in numbers."""
    return array.strides[0] // array.itemsize


if UNJITTED:

    def step(array):
        """An index counts the numbers."""
        return 1


def checked(name, array, size, theta):
    """The array; refused is what is no vector of so many numbers, or cannot be what its name says."""
    wanted = _wanted(name, size)
    fits = isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype in (np.float32, np.float64)
    if not fits or _is_unfit(name, array.flags.c_contiguous, array.flags.writeable, array.dtype == theta.dtype):
        raise TypeError(f"{wanted}, got {array!r}")
    if array.size != size:
        raise ValueError(wanted)
    return array


@overload(checked, jit_options=FLAGS, prefer_literal=True)
def _(name, array, size, theta):
    if not isinstance(name, types.StringLiteral):  # Numba's second attempt, after one that was refused
        return None
    wanted = _wanted(name.literal_value, size.literal_value)
    fits = isinstance(array, types.Array) and array.ndim == 1 and array.dtype in (types.float32, types.float64)
    if not fits or _is_unfit(name.literal_value, array.layout == "C", array.mutable, array.dtype == theta.dtype):
        raise TypingError(f"{wanted}, got {array}")

    def compared(name, array, size, theta):
        if array.size != size or array.strides[0] % array.itemsize != 0:
            raise ValueError(wanted)
        return array

    return compared


def _is_unfit(name, contiguous, writable, alike):
    whole, written = name in ("theta", "dtheta"), name in ("out", "dtheta")
    return (whole and not (contiguous and alike)) or (written and not writable)


def _wanted(name, size):
    kind = {"theta": "contiguous ", "dtheta": "contiguous "}.get(name, "")
    more = {"dtheta": ", of the kind of theta's", "out": ", writable"}.get(name, "")
    return f"{name} must be a {kind}vector of {size} numbers, float32 or float64{more}"
