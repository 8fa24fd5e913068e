"""SIMD vectors and register tiles: what kernels do with whole registers.

Kernels are written once, in Python, on whole vectors. Traced (see tracing.py), each operation here becomes the LLVM
vector instruction of its name; un-jitted, it works on short numpy arrays.

==========  ========================================  ==============================
what        traced                                    un-jitted
==========  ========================================  ==============================
vector      ``<lanes x dtype>``                       ``ndarray (lanes,)``
tile        nested lists of vectors, in registers     ``ndarray (rows, cols, lanes)``
==========  ========================================  ==============================

Three rules hold everywhere:

- Arrays are one-dimensional and contiguous, and an index is an offset from their start.
- Every operation means exactly what it says. Fast-math may not reorder it.
- The number of lanes comes from the CPU that will run the code, through `lanes`.
"""

import functools

import numpy as np
from llvmlite import ir

from ._jit import VECTOR_BITS
from .tracing import EXACT, FLOAT32, INT, Traced, Vector, alike, number, operation, splat, traced_inline

_I32 = ir.IntType(32)


def lanes(array):
    """How many elements of `array` one vector holds: a register of them, or two where it has two dimensions."""
    return array.ndim * (VECTOR_BITS // 8 // array.itemsize)


lanes = traced_inline(lanes)

# ---------------------------------------------------------------- the LLVM idioms that operations share


def _llvm_vector(array, count=None):
    """The LLVM type of a vector of the array's elements."""
    return ir.VectorType(array.value.type.pointee, count or lanes(array))


def _pointer(array, i, kind):
    """The address of array[i], as one of that kind of vector."""
    return array.builder.bitcast(array.address(i), kind.as_pointer())


def _declared(builder, name, result, arguments):
    """LLVM's intrinsic of that name, in this module."""
    known = builder.module.globals.get(name)
    return known or ir.Function(builder.module, ir.FunctionType(result, arguments), name)


def _call(name, *vectors):
    """LLVM's intrinsic that takes such vectors and returns one."""
    kind = vectors[0].value.type
    bits = vectors[0].dtype.itemsize * 8
    values = [x.value for x in vectors]
    function = _declared(vectors[0].builder, f"llvm.{name}.v{kind.count}f{bits}", kind, [kind] * len(values))
    return vectors[0].like(vectors[0].builder.call(function, values))


def _masked(name, builder, result, kind, *values):
    """LLVM's masked load or store of vectors of this kind."""
    bits = 32 if kind.element == ir.FloatType() else 64
    name = f"llvm.masked.{name}.v{kind.count}f{bits}.p0"
    return builder.call(_declared(builder, name, result, [v.type for v in values]), values)


def _mask(builder, count, lanes):
    """True in the first `count` lanes."""
    numbers = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(lanes)))
    return builder.icmp_signed("<", numbers, splat(number(builder, count, INT), lanes).value)


def _align(array):
    return ir.Constant(_I32, array.itemsize)


def _pick(first, second, places):
    """A vector of the lanes of `first` and, counted on, of `second`."""
    places = list(places)
    mask = ir.Constant(ir.VectorType(_I32, len(places)), places)
    return first.like(first.builder.shuffle_vector(first.value, second.value, mask))


def _add(x, y, flags=EXACT):
    return x.like(x.builder.fadd(x.value, y.value, flags=flags))


def _constant(vector, value):
    """A vector of the kind of another with this number in every lane."""
    kind = vector.value.type
    return vector.like(ir.Constant(kind, [value] * kind.count))


def _layout(vector):
    """The integer vector type of the same size, the exponent's bias, and the number of mantissa bits."""
    bits, bias, mantissa = (32, 127, 23) if vector.dtype == FLOAT32 else (64, 1023, 52)
    return ir.VectorType(ir.IntType(bits), vector.lanes), bias, mantissa


def _bits(vector, operate, *constants):
    """The vector that `operate(its bits, integers in every lane, …)` makes."""
    kind = _layout(vector)[0]
    constants = [ir.Constant(kind, [value] * kind.count) for value in constants]
    changed = operate(vector.builder.bitcast(vector.value, kind), *constants)
    return vector.like(vector.builder.bitcast(changed, vector.value.type))


# ---------------------------------------------------------------- memory


@operation
def load(array, i, count=None):
    """array[i : i + lanes]; or `count` instead of lanes."""
    return array[i : i + (count or lanes(array))].copy()


@load.traced
def _(array, i, count=None):
    value = array.builder.load(_pointer(array, i, _llvm_vector(array, count)))
    value.align = array.itemsize
    return Vector(array.builder, array.dtype, value)


@operation
def prefetch(array, i):
    """Have the cache line of array[i], which may be any place, fetched while the work goes on."""


@prefetch.traced
def _(array, i):
    builder, place = array.builder, ir.IntType(8).as_pointer()
    function = _declared(builder, "llvm.prefetch.p0", ir.VoidType(), [place, _I32, _I32, _I32])
    to_read, into_all_levels, data = _I32(0), _I32(3), _I32(1)
    builder.call(function, [builder.bitcast(array.address(i), place), to_read, into_all_levels, data])


@operation
def load_part(array, i, count):
    """The first `count` elements of array[i : i + lanes], of which no others are read, then zeros."""
    vector = np.zeros(lanes(array), array.dtype)
    part = array[i : i + min(max(count, 0), vector.size)]
    vector[: part.size] = part
    return vector


@load_part.traced
def _(array, i, count):
    kind, b = _llvm_vector(array), array.builder
    values = _pointer(array, i, kind), _align(array), _mask(b, count, kind.count), ir.Constant(kind, None)
    return Vector(b, array.dtype, _masked("load", b, kind, kind, *values))


@operation
def store(array, i, vector):
    """array[i : i + lanes] = vector"""
    array[i : i + (vector.size if isinstance(vector, np.ndarray) else lanes(array))] = vector


@store.traced
def _(array, i, vector):
    if not isinstance(vector, Vector):
        vector = full(array, vector)
    array.builder.store(vector.value, _pointer(array, i, vector.value.type)).align = array.itemsize


def store_part(array, i, vector, count):
    """array[i : i + count] = vector[:count]; no other element is touched."""
    part = vector[:count]
    array[i : i + part.size] = part


store_part = operation(store_part)


@store_part.traced
def _(array, i, vector, count):
    kind, b = vector.value.type, array.builder
    values = vector.value, _pointer(array, i, kind), _align(array), _mask(b, count, kind.count)
    _masked("store", b, ir.VoidType(), kind, *values)


@operation
def get(array, i):
    """array[i]"""
    return array[i]


@get.traced
def _(array, i):
    return Traced(array.builder, array.dtype, array.builder.load(array.address(i)))


@operation
def put(array, i, scalar):
    """array[i] = scalar"""
    array[i] = scalar


@put.traced
def _(array, i, scalar):
    array.builder.store(number(array.builder, scalar, array.dtype).value, array.address(i))


@operation
def broadcast(array, i, count=None):
    """A vector with array[i] in every lane; of `count` lanes instead of as many as the CPU has."""
    return np.full(count or lanes(array), array[i])


@broadcast.traced
def _(array, i, count=None):
    return splat(get(array, i), count or lanes(array))


@operation
def full(array, scalar):
    """A vector of the dtype of `array` with `scalar` in every lane."""
    return np.full(lanes(array), scalar, array.dtype)


@full.traced
def _(array, scalar):
    return splat(number(array.builder, scalar, array.dtype), lanes(array))


@operation
def rounded(array, x):
    """x, a number or a vector, in the dtype of `array`."""
    return x.astype(array.dtype)


@rounded.traced
def _(array, x):
    if x.dtype == array.dtype:
        return x
    if not isinstance(x, Vector):
        return number(array.builder, x, array.dtype)
    kind = ir.VectorType(array.value.type.pointee, x.lanes)
    convert = array.builder.fptrunc if array.itemsize < x.dtype.itemsize else array.builder.fpext
    return Vector(array.builder, array.dtype, convert(x.value, kind))


@operation
def scratch(array, count):
    """An array of `count` numbers of the dtype of `array`, on the stack of the function; they may be any numbers."""
    return np.full(count, np.nan, array.dtype)


@scratch.traced
def _(array, count):
    element = array.value.type.pointee
    with array.builder.goto_entry_block():
        place = array.builder.alloca(ir.ArrayType(element, count))
        place.align = VECTOR_BITS // 8
        return array.like(array.builder.bitcast(place, element.as_pointer()))


@operation
def opaque_count(array, n):
    """n, as a number that is not known when a function of `array` is traced: a loop to it stays a loop."""
    return n


@opaque_count.traced
def _(array, n):
    return number(array.builder, n, INT)


@operation
def transpose_from(array, starts, to, j, other):
    """The square whose rows begin at `starts`, of which there are as many as lanes, and its columns:
    to[j + c * other + r] = array[starts[r] + c].
    """
    n = lanes(array)
    square = np.stack([array[start:][:n] for start in starts])
    for c in range(n):
        to[j + c * other : j + c * other + n] = square[:, c]


@transpose_from.traced
def _(array, starts, to, j, other):
    n = lanes(array)
    rows = [load(array, start) for start in starts]
    # Squares of quarters' size, 128 bits, in their places; then the squares as wholes. Each step is one instruction.
    quarter = 16 // array.itemsize
    bands = [_columns(rows[r : r + quarter], 1, quarter) for r in range(0, n, quarter)]
    wholes = [_columns(list(band), quarter, n) for band in zip(*bands, strict=True)]
    for row in (row for part in zip(*wholes, strict=True) for row in part):
        store(to, j, row)
        j = j + other


def transpose(array, i, stride, to, j, other):
    """The same for rows that begin `stride` from each other, the first one at i.

    Many arguments: see tracing.py.
    """
    starts = [i]
    for _row in range(1, lanes(array)):
        starts.append(starts[-1] + stride)
    transpose_from(array, starts, to, j, other)


def _columns(rows, unit, group):
    """Vectors seen as groups of as many units as there are rows: unit c of every row, for each c."""
    if len(rows) == 1:
        return rows
    parts = []
    for odd in (0, unit):
        n = rows[0].lanes
        places = [
            vector * n + start + lane
            for start in range(0, n, group)
            for vector in (0, 1)
            for lane in range(group)
            if lane & unit == odd
        ]
        pairs = zip(rows[::2], rows[1::2], strict=True)
        parts.append(_columns([_pick(*pair, places) for pair in pairs], unit, group))
    return [column for pair in zip(*parts, strict=True) for column in pair]


# ---------------------------------------------------------------- arithmetic, beside + - * / and the sign


@operation
def fma(x, y, z):
    """x * y + z, rounded once where the CPU can."""
    return x * y + z


@fma.traced
def _(x, y, z):
    # fmuladd and not fma: where the CPU has no fused form, multiply and add beat a libm call.
    return _call("fmuladd", *alike(x, y, z))


@operation
def times(x, y):
    """x * y, rounded by itself wherever it stands: no FMA takes it in."""
    return x * y


@times.traced
def _(x, y):
    x, y = alike(x, y)
    return x.like(x.builder.fmul(x.value, y.value, flags=("arcp",)))  # which means nothing to a product


@operation
def select_less(x, y, if_less, otherwise):
    """if_less where x < y, else otherwise; NaN compares false."""
    vector = x if isinstance(x, np.ndarray) else y
    return np.where(x < y, if_less, otherwise).astype(vector.dtype)


@select_less.traced
def _(x, y, if_less, otherwise):
    x, y, if_less, otherwise = alike(x, y, if_less, otherwise)
    less = x.builder.fcmp_ordered("<", x.value, y.value, flags=EXACT)
    return x.like(x.builder.select(less, if_less.value, otherwise.value))


def _elementary(function, name):
    """An operation on one vector or more that LLVM has an intrinsic for."""
    either = operation(function)
    either.traced(lambda *vectors: _call(name, *alike(*vectors)))
    return either


def rint(x):
    """Nearest integer, ties to even."""
    return np.rint(x)


def copysign(magnitude, sign):
    """|magnitude| with the sign of `sign`."""
    return np.copysign(magnitude, sign)


def absolute(x):
    """|x|"""
    return np.abs(x)


def sqrt(x):
    """Square root."""
    return np.sqrt(x)


def sin(x):
    """Sine, of angles of any size: slow."""
    return np.sin(x)


def cos(x):
    """Cosine likewise."""
    return np.cos(x)


rint, copysign = _elementary(rint, "rint"), _elementary(copysign, "copysign")
absolute, sqrt = _elementary(absolute, "fabs"), _elementary(sqrt, "sqrt")
sin, cos = _elementary(sin, "sin"), _elementary(cos, "cos")


@operation
def exponent(x):
    """e with x = m * 2**e and 1 <= m < 2, for positive normal x."""
    return np.frexp(x)[1].astype(x.dtype) - x.dtype.type(1)


@exponent.traced
def _(x):
    kind, bias, mantissa = _layout(x)
    bits = x.builder.lshr(x.builder.bitcast(x.value, kind), ir.Constant(kind, [mantissa] * kind.count))
    return x.like(x.builder.sitofp(x.builder.sub(bits, ir.Constant(kind, [bias] * kind.count)), x.value.type))


@operation
def pow2(n):
    """2**n for integral n in the exponent range of normal numbers, made from the bits."""
    return np.ldexp(np.ones_like(n), n.astype(np.int32))


@pow2.traced
def _(n):
    kind, bias, mantissa = _layout(n)
    biased = n.builder.add(n.builder.fptosi(n.value, kind), ir.Constant(kind, [bias] * kind.count))
    return n.like(n.builder.bitcast(n.builder.shl(biased, ir.Constant(kind, [mantissa] * kind.count)), n.value.type))


@operation
def pow2_of_bits(t):
    """2**n for t = n + `rounder`, where n, biased like an exponent, stands in the last bits: one shift."""
    bits, mantissa = (np.int32, 23) if t.dtype == np.float32 else (np.int64, 52)
    return (t.view(bits) << mantissa).view(t.dtype)


@pow2_of_bits.traced
def _(t):
    return _bits(t, t.builder.shl, _layout(t)[2])


@operation
def three_halves(power):
    """1.5 times a power of two: one bit more."""
    return power * power.dtype.type(1.5)


@three_halves.traced
def _(power):
    return _bits(power, power.builder.or_, 1 << (_layout(power)[2] - 1))


# ---------------------------------------------------------------- lanes


@operation
def broadcast_lane(vector, lane, count):
    """A vector of `count` lanes, each of them this one of `vector`."""
    return np.full(count, vector[lane])


@broadcast_lane.traced
def _(vector, lane, count):
    return _pick(vector, vector, [lane] * count)


@operation
def concat(*vectors):
    """The vectors one after the other in a longer one: a function of it works on several registers by turns."""
    return np.concatenate(vectors)


@concat.traced
def _(*vectors):
    while len(vectors) > 1:
        places = range(2 * vectors[0].lanes)
        vectors = [_pick(*pair, places) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


@operation
def part(vector, first, count):
    """The `count` lanes from the `first` on."""
    return vector[first : first + count]


@part.traced
def _(vector, first, count):
    return _pick(vector, vector, range(first, first + count))


@operation
def first_lane(vector):
    """The first lane, and zeros."""
    return np.concatenate([vector[:1], np.zeros_like(vector[1:])])


@first_lane.traced
def _(vector):
    return _pick(vector, _constant(vector, 0.0), [0, *range(vector.lanes + 1, 2 * vector.lanes)])


@operation
def sum_lanes(vector):
    """Sum of the lanes: halves are added first, in the same order on every machine."""
    while vector.size > 1:
        half = vector.size // 2
        vector = vector[:half] + vector[half:]
    return vector[0]


@sum_lanes.traced
def _(vector):
    lane = vector.builder.extract_element(_sums([vector]).value, ir.Constant(_I32, 0))
    return Traced(vector.builder, vector.dtype, lane)


def _sums(vectors):
    """One vector of the sums of each vector's lanes; as many vectors as a power of two, no more than lanes.

    Every sum is added up in the order of `sum_lanes`, halves first, but as long as there are two vectors left to
    pair, one addition serves both: a third of the instructions of one sum after the other.
    """
    size = vectors[0].lanes  # that still have to be added up for each sum
    while size > 1:
        half = size // 2
        count = len(vectors) // 2
        if count:
            pairs = zip(vectors[:count], vectors[count:], strict=True)
            vectors = [_add(*_exchange(*pair, half)) for pair in pairs]
        else:
            vector = vectors[0]
            low = [lane for lane in range(vector.lanes) if not lane & half]
            vectors = [_add(_pick(vector, vector, low), _pick(vector, vector, [lane + half for lane in low]))]
        size = half
    return vectors[0]


def _exchange(first, second, half):
    """Two vectors, each in parts of `half` lanes: every second part from `first` and the others from `second`.

    One takes them in their places, which is a mere blend, the other as they remain, in each other's places.
    """
    n = first.lanes
    stay = [lane + n * bool(lane & half) for lane in range(n)]
    cross = [(lane ^ half) + n * bool(lane & half) for lane in range(n)]
    return _pick(first, second, stay), _pick(first, second, cross)


@operation
def sum_everywhere(vector):
    """A vector with `sum_lanes`, to the bit, in every lane."""
    return np.full_like(vector, sum_lanes(vector))


@sum_everywhere.traced
def _(vector):
    half = vector.lanes // 2
    while half:
        vector = _add(vector, _pick(vector, vector, [lane ^ half for lane in range(vector.lanes)]))
        half //= 2
    return vector


@operation
def sum_each(*vectors):
    """A vector with the `sum_lanes`, to the bit, of each vector: a power of two, up to the number of lanes."""
    return np.array([sum_lanes(vector) for vector in vectors])


@sum_each.traced
def _(*vectors):
    count, size = len(vectors), vectors[0].lanes

    def halves(first, second, low):
        return _add(_pick(first, second, low), _pick(first, second, [i + size // 2 for i in low]))

    while size > count:
        vectors = [halves(vector, vector, range(size // 2)) for vector in vectors]
        size //= 2
    while size > 1:  # both halves of each run of `size` lanes are added: of the first vector, then of the second
        low = [
            start + place + lane for start in range(0, count, size) for place in (0, count) for lane in range(size // 2)
        ]
        half = len(vectors) // 2
        vectors = [halves(*pair, low) for pair in zip(vectors[:half], vectors[half:], strict=True)]
        size //= 2
    return vectors[0]


@operation
def sum_across(*vectors):
    """A vector whose every lane is what `sum_lanes` makes, to the bit, of the lanes at this place."""
    return _halves_first(vectors, lambda x, y: x + y)


@sum_across.traced
def _(*vectors):
    # Not contracted to an FMA, for lanes cannot be either: this flag means nothing to an addition.
    return _halves_first(vectors, functools.partial(_add, flags=("arcp",)))


def _halves_first(items, add):
    """The sum in the order of `sum_lanes`; zeros that are missing for a power of two are left out."""
    while len(items) > 1:
        half = 1 << (len(items) - 1).bit_length() - 1
        items = [*map(add, items[:half], items[half:]), *items[len(items) - half : half]]
    return items[0]


# ---------------------------------------------------------------- register tiles: rows x cols vectors


@operation
def tile_zeros(array, rows, cols):
    """A tile of zeros of the dtype of `array`."""
    return np.zeros((rows, cols, lanes(array)), array.dtype)


@tile_zeros.traced
def _(array, rows, cols):
    return [[full(array, 0.0)] * cols for _ in range(rows)]


@operation
def tile_fill(array, i, rows, cols):
    """A tile with row r filled by array[i + r]."""
    return np.broadcast_to(array[i : i + rows, None, None], (rows, cols, lanes(array)))


@tile_fill.traced
def _(array, i, rows, cols):
    return [[broadcast(array, i + r)] * cols for r in range(rows)]


@operation
def tile_outer(tile, weights, i, stride, array, j):
    """tile[r, c] += weights[i + r * stride] * (vector c of array from j): a rank-one update."""
    rows, cols, n = tile.shape
    column = weights[i : i + (rows - 1) * stride + 1 : stride]
    return tile + column[:, None, None] * array[j : j + cols * n].reshape(1, cols, n)


@tile_outer.traced
def _(tile, weights, i, stride, array, j):
    vectors = _line(array, j, len(tile[0]))
    result = []
    for row in tile:
        weight = broadcast(weights, i)
        i = i + stride
        result.append([fma(weight, vector, old) for vector, old in zip(vectors, row, strict=True)])
    return result


def _line(array, i, count):
    """`count` vectors, one after the other."""
    return [load(array, i + c * lanes(array)) for c in range(count)]


@operation
def tile_inner(tile, left, i, left_stride, right, j, right_stride):
    """tile[r, c] += left[i + r * left_stride :] * right[j + c * right_stride :], lane by lane."""
    rows, cols, n = tile.shape
    a = np.stack([left[i + r * left_stride :][:n] for r in range(rows)])
    b = np.stack([right[j + c * right_stride :][:n] for c in range(cols)])
    return tile + a[:, None] * b[None]


@tile_inner.traced
def _(tile, left, i, left_stride, right, j, right_stride):
    columns = []
    for _column in tile[0]:
        columns.append(load(right, j))
        j = j + right_stride
    result = []
    for row in tile:
        vector = load(left, i)
        i = i + left_stride
        result.append([fma(vector, column, old) for column, old in zip(columns, row, strict=True)])
    return result


@operation
def tile_add(tile, array, i, stride):
    """tile[r] += array[i + r * stride :], vector by vector."""
    rows, cols, n = tile.shape
    return tile + np.stack([array[i + r * stride :][: cols * n].reshape(cols, n) for r in range(rows)])


@tile_add.traced
def _(tile, array, i, stride):
    result = []
    for row in tile:
        result.append([_add(old, vector) for old, vector in zip(row, _line(array, i, len(row)), strict=True)])
        i = i + stride
    return result


@operation
def tile_store(tile, array, i, stride):
    """array[i + r * stride :] = row r of the tile."""
    rows, cols, n = tile.shape
    for r in range(rows):
        array[i + r * stride : i + r * stride + cols * n] = tile[r].ravel()


@tile_store.traced
def _(tile, array, i, stride):
    for row in tile:
        for c, vector in enumerate(row):
            store(array, i + c * lanes(array), vector)
        i = i + stride


@operation
def tile_store_from(tile, least, array, i, stride):
    """array[i + r * stride :] = row r of the tile, or the number `least` where that is more; NaN stays."""
    tile_store(np.where(tile < least, array.dtype.type(least), tile), array, i, stride)


@tile_store_from.traced
def _(tile, least, array, i, stride):
    tile_store([[select_less(vector, least, least, vector) for vector in row] for row in tile], array, i, stride)


@operation
def tile_store_part(tile, array, i, stride, count):
    """The same for the first `count` numbers of each row."""
    for r in range(tile.shape[0]):
        store_part(array, i + r * stride, tile[r].ravel(), count)


@tile_store_part.traced
def _(tile, array, i, stride, count):
    for row in tile:
        for c, vector in enumerate(row):
            before = c * lanes(array)
            store_part(array, i + before, vector, count - before)
        i = i + stride


@operation
def tile_check(tile, array, i):
    """array[i:] += 0 in each lane in which every number of the tile is finite, NaN in the others."""
    array[i : i + tile.shape[2]] += (tile - tile).sum(axis=(0, 1))


@tile_check.traced
def _(tile, array, i):
    store(array, i, _add(load(array, i), _halves_first([vector - vector for row in tile for vector in row], _add)))


def _each_row(tile, array, i, j, stride, function):
    """array[i + r * stride :] = ``function(row r of the tile, array[j + r * stride :])``."""
    rows, cols, n = tile.shape
    for r in range(rows):
        to, other = i + r * stride, j + r * stride
        array[to : to + cols * n] = function(tile[r].ravel(), array[other : other + cols * n])


@operation
def tile_scale(tile, array, i, j, stride):
    """array[i + r * stride :] = row r of the tile times array[j + r * stride :]; where that is 0, 0, even if the tile
    has infinity there.
    """
    _each_row(tile, array, i, j, stride, lambda row, factor: factor * np.where(factor == 0, 0, row))


@tile_scale.traced
def _(tile, array, i, j, stride):
    _combine(tile, array, i, j, stride, _scaled)


def _scaled(vector, factor):
    zero = _constant(factor, 0.0)
    counts = factor.builder.fcmp_unordered("!=", factor.value, zero.value, flags=EXACT)
    return factor.like(factor.builder.select(counts, (vector * factor).value, zero.value))


def _combine(tile, array, i, j, stride, function):
    """The same on vectors."""
    for row in tile:
        for c, vector in enumerate(row):
            other = load(array, j + c * lanes(array))
            store(array, i + c * lanes(array), function(vector, other))
        i, j = i + stride, j + stride


@operation
def tile_derive_tanh(tile, array, i, j, stride):
    """The same for the derivatives of tanh, of which array[j + r * stride :] has the values."""

    def derive(row, a):
        slope = 1 - a * a
        return slope * np.where(slope == 0, 0, row)

    _each_row(tile, array, i, j, stride, derive)


@tile_derive_tanh.traced
def _(tile, array, i, j, stride):
    _combine(tile, array, i, j, stride, lambda vector, a: _scaled(vector, fma(-a, a, 1.0)))


@operation
def tile_derive_relu(tile, array, i, j, stride):
    """The same for those of relu; NaN where a value is not finite."""
    _each_row(tile, array, i, j, stride, lambda row, a: np.where(a > 0, row, 0) + (a - a))


@tile_derive_relu.traced
def _(tile, array, i, j, stride):
    _combine(tile, array, i, j, stride, lambda vector, a: select_less(0.0, a, vector, 0.0) + (a - a))


@operation
def tile_sum(tile, array, i, stride):
    """array[i + r * stride + c] = sum over the lanes of tile[r, c]."""
    rows, cols, _n = tile.shape
    for r in range(rows):
        for c in range(cols):
            array[i + r * stride + c] = sum_lanes(tile[r, c])


@tile_sum.traced
def _(tile, array, i, stride):
    cols = len(tile[0])
    vectors = [vector for row in tile for vector in row]
    at_once = min(len(vectors), lanes(array))
    run = min(at_once, cols)  # sums that lie side by side in the array
    for first in range(0, len(vectors), at_once):
        sums = _sums(vectors[first : first + at_once])
        for start in range(0, at_once, run):
            row, col = divmod(first + start, cols)
            store(array, i + (row * stride + col), part(sums, start, run))


# ---------------------------------------------------------------- constants that depend on the dtype


def by_dtype(x, single, double):
    """`single` for float32 vectors, `double` for float64."""
    return single if x.dtype == np.float32 else double


def polynomial(x, single, double):
    """sum of coefficients[i] * x**i by Estrin's scheme, with the tuple for the dtype of x."""
    terms = [x.dtype.type(c) for c in by_dtype(x, single, double)]
    while len(terms) > 1:
        pairs = [fma(high, x, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        x = x * x
    return terms[0]


# ---------------------------------------------------------------- threads that share an array of integers


@operation
def fetch_add(array, i):
    """array[i] before it is increased by one, as one step that no other thread comes between."""
    array[i] += 1
    return array[i] - 1


@fetch_add.traced
def _(array, i):
    one = ir.Constant(ir.IntType(64), 1)
    return Traced(array.builder, INT, array.builder.atomic_rmw("add", array.address(i), one, "acq_rel"))


@operation
def load_acquire(array, i):
    """array[i]; what its writer wrote before it is there too."""
    return array[i]


@load_acquire.traced
def _(array, i):
    return Traced(array.builder, INT, array.builder.load_atomic(array.address(i), "acquire", 8))


@operation
def store_release(array, i, value):
    """array[i] = value, after everything written before."""
    array[i] = value


@store_release.traced
def _(array, i, value):
    array.builder.store_atomic(number(array.builder, value, INT).value, array.address(i), "release", 8)


@operation
def yield_thread(function):
    """Let other threads run: call the system's function at this address."""


@yield_thread.traced
def _(function):
    kind = ir.FunctionType(ir.IntType(32), [])
    function.builder.call(function.builder.inttoptr(function.value, kind.as_pointer()), [])
