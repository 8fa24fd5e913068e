"""SIMD vectors and register tiles as Numba types.

Kernels are written once, in Python, on whole vectors. Compiled, each operation here becomes the
LLVM vector instruction of its name; un-jitted, the same source runs on short numpy arrays, which
is how the tests read the kernels line by line.

==========  =====================================  ==============================
type        compiled                               un-jitted
==========  =====================================  ==============================
Vector      ``<lanes x dtype>``                    ``ndarray (lanes,)``
Tile        ``[rows x [cols x <lanes x dtype>]]``  ``ndarray (rows, cols, lanes)``
==========  =====================================  ==============================

Three rules hold everywhere:

- Arrays are one-dimensional and contiguous, and an index is an offset from their start: no
  wrap-around of negative indices, no bounds check, hence no ``select`` in an inner loop.
- Every operation means exactly what it says. Fast-math may not reorder it: the exponential's
  range reduction and the fixed order of sums depend on that.
- The number of lanes comes from the CPU that will run the code, through `lanes`.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from ._jit import VECTOR_BITS

# A flag of its own keeps an instruction out of Numba's fast-math rewriting; "no signed zeros
# matter" would be wrong for copysign, so the mildest one is used: contraction to an FMA.
_EXACT = ("contract",)


class Vector(types.Type):
    """Numba type of one SIMD register of `dtype`; of a part of one, with fewer `lanes` than the CPU has."""

    def __init__(self, dtype, lanes=None):
        self.dtype = dtype
        self.lanes = lanes or VECTOR_BITS // dtype.bitwidth
        super().__init__(f"Vector({dtype}, {self.lanes})")


class Tile(types.Type):
    """Numba type of a block of rows x cols registers, held in registers."""

    def __init__(self, dtype, rows, cols):
        self.vector = Vector(dtype)
        self.dtype, self.rows, self.cols = dtype, rows, cols
        super().__init__(f"Tile({dtype}, {rows}, {cols}, {self.vector.lanes})")


def _llvm_vector(dtype, lanes=None):
    scalar = ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    return ir.VectorType(scalar, lanes or VECTOR_BITS // dtype.bitwidth)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _llvm_vector(fe_type.dtype, fe_type.lanes))


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        row = ir.ArrayType(_llvm_vector(fe_type.dtype), fe_type.cols)
        super().__init__(dmm, fe_type, ir.ArrayType(row, fe_type.rows))


# ---------------------------------------------------------------- how an operation is declared


def _operation(function, result):
    """Decorator: lower calls of the Python `function` by the code generator below it.

    ``result(*argument_types)`` names the Numba type of the result, or None if the arguments do
    not fit. The generator is called as ``emit(b, *values)`` with a `_Builder`.
    """

    def decorate(emit):
        class Template(AbstractTemplate):
            key = function
            prefer_literal = True

            def generic(self, args, kws):
                restype = result(*args)
                return None if restype is None else signature(restype, *args)

        infer_global(function, types.Function(Template))

        @lower_builtin(function, types.VarArg(types.Any))
        def lower(context, builder, sig, args):
            return emit(_Builder(context, builder, sig), *args)

        return emit

    return decorate


class _Builder:
    """The few LLVM idioms that the operations below share."""

    def __init__(self, context, builder, sig):
        self.context, self.ir, self.sig = context, builder, sig

    def address(self, position, array, index):
        """Pointer to array[index]; `position` is the array's place among the arguments."""
        model = self.context.data_model_manager[self.sig.args[position]]
        return self.ir.gep(self.ir.extract_value(array, model.get_field_position("data")), [index])

    def load(self, pointer, dtype, lanes=None):
        vector = _llvm_vector(dtype, lanes)
        value = self.ir.load(self.ir.bitcast(pointer, vector.as_pointer()))
        value.align = dtype.bitwidth // 8
        return value

    def mask(self, count, lanes):
        """True in the first `count` lanes."""
        numbers = ir.Constant(ir.VectorType(ir.IntType(64), lanes), list(range(lanes)))
        first = self.ir.insert_element(ir.Constant(numbers.type, ir.Undefined), count, ir.Constant(ir.IntType(32), 0))
        return self.ir.icmp_signed("<", numbers, self.pick(first, first, [0] * lanes))

    def masked(self, name, result, kind, *values):
        """LLVM's masked load or store of vectors of this kind."""
        function_type = ir.FunctionType(result, [v.type for v in values])
        suffix = f"v{kind.count}f{32 if kind.element == ir.FloatType() else 64}.p0"
        function = cgutils.get_or_insert_function(self.ir.module, function_type, f"llvm.masked.{name}.{suffix}")
        return self.ir.call(function, values)

    def store(self, vector, pointer):
        instruction = self.ir.store(vector, self.ir.bitcast(pointer, vector.type.as_pointer()))
        instruction.align = 4 if vector.type.element == ir.FloatType() else 8

    def splat(self, scalar, lanes=None):
        """A vector with `scalar` in every lane."""
        kind = ir.VectorType(scalar.type, lanes or VECTOR_BITS // (32 if scalar.type == ir.FloatType() else 64))
        if isinstance(scalar, ir.Constant):
            return ir.Constant(kind, [scalar.constant] * kind.count)
        first = self.ir.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
        return self.ir.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)

    def vector(self, position, value, dtype):
        """The argument as a vector: scalars fill every lane."""
        argument = self.sig.args[position]
        if isinstance(argument, Vector):
            return value
        scalar = self.context.cast(self.ir, value, argument, dtype)
        return self.splat(scalar, getattr(self.sig.return_type, "lanes", None))

    def call(self, name, *vectors, result=None):
        """Call an LLVM intrinsic overloaded on its first operand's type."""
        kind = vectors[0].type
        prefix = "f" if isinstance(kind.element, ir.FloatType | ir.DoubleType) else "i"
        bits = 32 if kind.element == ir.FloatType() else 64
        function_type = ir.FunctionType(result or kind, [v.type for v in vectors])
        function = cgutils.get_or_insert_function(
            self.ir.module, function_type, f"llvm.{name}.v{kind.count}{prefix}{bits}"
        )
        return self.ir.call(function, vectors)

    def scaled(self, vector, factor):
        """The product; 0 where the factor is 0, even if the vector is infinite there."""
        zero = ir.Constant(factor.type, None)
        counts = self.ir.fcmp_unordered("!=", factor, zero, flags=_EXACT)
        return self.ir.select(counts, self.ir.fmul(vector, factor, flags=_EXACT), zero)

    def combine(self, tile, array, i, stride, function=None):
        """Store ``function(vector of the tile, what stands in its place)``, or the vector itself."""
        kind = self.sig.args[0]
        step = self.context.get_constant(types.intp, kind.vector.lanes)
        for r in range(kind.rows):
            j = i
            for c in range(kind.cols):
                pointer = self.address(1, array, j)
                vector = self.ir.extract_value(tile, (r, c))
                self.store(function(vector, self.load(pointer, kind.dtype)) if function else vector, pointer)
                j = self.ir.add(j, step)
            i = self.ir.add(i, stride)

    def fma(self, x, y, z):
        # fmuladd and not fma: where the CPU has no fused form, multiply and add beat a libm call.
        return self.call("fmuladd", x, y, z)

    def float_layout(self, vector):
        """The integer vector type of the same size, the exponent's bias, and the number of mantissa bits."""
        bits, bias, mantissa = (32, 127, 23) if vector.type.element == ir.FloatType() else (64, 1023, 52)
        return ir.VectorType(ir.IntType(bits), vector.type.count), bias, mantissa

    def sum_lanes(self, vector):
        """Scalar sum of the lanes, halves first: log2(lanes) additions, in a fixed order."""
        return self.ir.extract_element(self.sum_each([vector]), ir.Constant(ir.IntType(32), 0))

    def sum_each(self, vectors):
        """One vector of the sums of each vector's lanes; as many vectors as a power of two, no more than lanes.

        Every sum is added up in the order of `sum_lanes`, halves first, but as long as there are two vectors
        left to pair, one addition serves both: a third of the instructions of one sum after the other.
        """
        size = vectors[0].type.count  # lanes that still have to be added up for each sum
        while size > 1:
            half = size // 2
            count = len(vectors) // 2
            if count:
                pairs = zip(vectors[:count], vectors[count:], strict=True)
                vectors = [self.ir.fadd(*self._exchange(*pair, half), flags=_EXACT) for pair in pairs]
            else:
                vector = vectors[0]
                low = [lane for lane in range(vector.type.count) if not lane & half]
                high = [lane + half for lane in low]
                vectors = [self.ir.fadd(self.pick(vector, vector, low), self.pick(vector, vector, high), flags=_EXACT)]
            size = half
        return vectors[0]

    def _exchange(self, first, second, half):
        """Two vectors, each in parts of `half` lanes: every second part from `first` and the others from `second`.

        One takes them in their places, which is a mere blend, the other as they remain, in each other's places.
        """
        n = first.type.count
        stay = [lane + n * bool(lane & half) for lane in range(n)]
        cross = [(lane ^ half) + n * bool(lane & half) for lane in range(n)]
        return self.pick(first, second, stay), self.pick(first, second, cross)

    def columns(self, rows, unit, group):
        """Vectors seen as groups of as many units as there are rows: unit c of every row, for each c."""
        if len(rows) == 1:
            return rows
        parts = []
        for odd in (0, unit):
            n = rows[0].type.count
            lanes = [
                vector * n + start + lane
                for start in range(0, n, group)
                for vector in (0, 1)
                for lane in range(group)
                if lane & unit == odd
            ]
            parts.append(
                self.columns([self.pick(*pair, lanes) for pair in zip(rows[::2], rows[1::2], strict=True)], unit, group)
            )
        return [column for pair in zip(*parts, strict=True) for column in pair]

    def pick(self, first, second, lanes):
        """A vector of the lanes of `first` and, counted on, of `second`."""
        lanes = list(lanes)
        return self.ir.shuffle_vector(first, second, ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), lanes))


def _vector_of(*args):
    """Result type of an elementwise operation: at least one vector, the rest scalars."""
    vectors = {a for a in args if isinstance(a, Vector)}
    fits = all(isinstance(a, Vector | types.Float | types.Integer | types.IntegerLiteral) for a in args)
    return vectors.pop() if len(vectors) == 1 and fits else None


def _is_array(a):
    return isinstance(a, types.Array) and a.ndim == 1


# ---------------------------------------------------------------- vectors


def lanes(array):
    """How many elements of `array` one vector holds."""
    return VECTOR_BITS // 8 // array.itemsize


@_operation(lanes, lambda a: types.intp if _is_array(a) else None)
def _(b, array):
    return b.context.get_constant(types.intp, VECTOR_BITS // b.sig.args[0].dtype.bitwidth)


def _few(array, count=None):
    """The type of a vector of `count` elements, a literal; without, of as many as the CPU has lanes."""
    if _is_array(array) and isinstance(count, types.IntegerLiteral | None):
        return Vector(array.dtype, count and count.literal_value)
    return None


def load(array, i, count=None):
    """array[i : i + lanes]; or `count`, a literal, instead of lanes."""
    return array[i : i + (count or lanes(array))].copy()


@_operation(load, lambda a, i, n=None: _few(a, n))
def _(b, array, i, count=None):
    return b.load(b.address(0, array, i), b.sig.args[0].dtype, b.sig.return_type.lanes)


def load_part(array, i, count):
    """The first `count` elements of array[i : i + lanes], of which no others are read, then zeros."""
    vector = np.zeros(lanes(array), array.dtype)
    part = array[i : i + min(max(count, 0), vector.size)]
    vector[: part.size] = part
    return vector


@_operation(load_part, lambda a, i, n: _few(a))
def _(b, array, i, count):
    kind = _llvm_vector(b.sig.args[0].dtype)
    pointer = b.ir.bitcast(b.address(0, array, i), kind.as_pointer())
    align = ir.Constant(ir.IntType(32), b.sig.args[0].dtype.bitwidth // 8)
    return b.masked("load", kind, kind, pointer, align, b.mask(count, kind.count), ir.Constant(kind, None))


def store(array, i, vector):
    """array[i : i + lanes] = vector"""
    array[i : i + (vector.size if isinstance(vector, np.ndarray) else lanes(array))] = vector


@_operation(store, lambda a, i, v: types.void if _is_array(a) and isinstance(v, Vector | types.Float) else None)
def _(b, array, i, vector):
    b.store(b.vector(2, vector, b.sig.args[0].dtype), b.address(0, array, i))
    return b.context.get_dummy_value()


def get(array, i):
    """array[i]"""
    return array[i]


@_operation(get, lambda a, i: a.dtype if _is_array(a) else None)
def _(b, array, i):
    return b.ir.load(b.address(0, array, i))


def put(array, i, scalar):
    """array[i] = scalar"""
    array[i] = scalar


@_operation(put, lambda a, i, s: types.void if _is_array(a) else None)
def _(b, array, i, scalar):
    b.ir.store(b.context.cast(b.ir, scalar, b.sig.args[2], b.sig.args[0].dtype), b.address(0, array, i))
    return b.context.get_dummy_value()


def broadcast(array, i, count=None):
    """A vector with array[i] in every lane; of `count` lanes, a literal."""
    return np.full(count or lanes(array), array[i])


@_operation(broadcast, lambda a, i, n=None: _few(a, n))
def _(b, array, i, count=None):
    return b.splat(b.ir.load(b.address(0, array, i)), b.sig.return_type.lanes)


def full(array, scalar):
    """A vector of the dtype of `array` with `scalar` in every lane."""
    return np.full(lanes(array), scalar, array.dtype)


@_operation(full, lambda a, s: Vector(a.dtype) if _is_array(a) else None)
def _(b, array, scalar):
    return b.splat(b.context.cast(b.ir, scalar, b.sig.args[1], b.sig.args[0].dtype))


def _arithmetic(function, name):
    @_operation(function, lambda x, y: _vector_of(x, y))
    def _(b, x, y):
        dtype = b.sig.return_type.dtype
        return getattr(b.ir, name)(b.vector(0, x, dtype), b.vector(1, y, dtype), flags=_EXACT)


_arithmetic(operator.add, "fadd")
_arithmetic(operator.sub, "fsub")
_arithmetic(operator.mul, "fmul")
_arithmetic(operator.truediv, "fdiv")


@_operation(operator.neg, lambda x: x if isinstance(x, Vector) else None)
def _(b, x):
    return b.ir.fneg(x)


def fma(x, y, z):
    """x * y + z, rounded once where the CPU can."""
    return x * y + z


@_operation(fma, _vector_of)
def _(b, x, y, z):
    dtype = b.sig.return_type.dtype
    return b.fma(*(b.vector(i, v, dtype) for i, v in enumerate((x, y, z))))


def select_less(x, y, if_less, otherwise):
    """if_less where x < y, else otherwise; NaN compares false."""
    vector = x if isinstance(x, np.ndarray) else y
    return np.where(x < y, if_less, otherwise).astype(vector.dtype)


@_operation(select_less, _vector_of)
def _(b, x, y, if_less, otherwise):
    x, y, if_less, otherwise = (
        b.vector(i, v, b.sig.return_type.dtype) for i, v in enumerate((x, y, if_less, otherwise))
    )
    return b.ir.select(b.ir.fcmp_ordered("<", x, y, flags=_EXACT), if_less, otherwise)


def rint(x):
    """Nearest integer, ties to even."""
    return np.rint(x)


@_operation(rint, lambda x: x if isinstance(x, Vector) else None)
def _(b, x):
    return b.call("rint", x)


def copysign(magnitude, sign):
    """|magnitude| with the sign of `sign`."""
    return np.copysign(magnitude, sign)


@_operation(copysign, _vector_of)
def _(b, magnitude, sign):
    dtype = b.sig.return_type.dtype
    return b.call("copysign", b.vector(0, magnitude, dtype), b.vector(1, sign, dtype))


def absolute(x):
    """|x|"""
    return np.abs(x)


@_operation(absolute, lambda x: x if isinstance(x, Vector) else None)
def _(b, x):
    return b.call("fabs", x)


def sqrt(x):
    """Square root."""
    return np.sqrt(x)


@_operation(sqrt, lambda x: x if isinstance(x, Vector) else None)
def _(b, x):
    return b.call("sqrt", x)


def exponent(x):
    """e with x = m * 2**e and 1 <= m < 2, for positive normal x."""
    return np.frexp(x)[1].astype(x.dtype) - x.dtype.type(1)


@_operation(exponent, lambda x: x if isinstance(x, Vector) else None)
def _(b, x):
    kind, bias, mantissa = b.float_layout(x)
    bits = b.ir.lshr(b.ir.bitcast(x, kind), ir.Constant(kind, [mantissa] * kind.count))
    return b.ir.sitofp(b.ir.sub(bits, ir.Constant(kind, [bias] * kind.count)), x.type)


def pow2(n):
    """2**n for integral n in the exponent range of normal numbers, made from the bits."""
    return np.ldexp(np.ones_like(n), n.astype(np.int32))


@_operation(pow2, lambda n: n if isinstance(n, Vector) else None)
def _(b, n):
    kind, bias, mantissa = b.float_layout(n)
    exponent = b.ir.add(b.ir.fptosi(n, kind), ir.Constant(kind, [bias] * kind.count))
    return b.ir.bitcast(b.ir.shl(exponent, ir.Constant(kind, [mantissa] * kind.count)), n.type)


def transpose(array, i, stride, j, other):
    """The square of as many rows as lanes: array[j + c * other + r] = array[i + r * stride + c]."""
    n = lanes(array)
    square = np.stack([array[i + r * stride :][:n] for r in range(n)])
    for c in range(n):
        array[j + c * other : j + c * other + n] = square[:, c]


@_operation(transpose, lambda a, i, s, j, o: types.void)
def _(b, array, i, stride, j, other):
    dtype = b.sig.args[0].dtype
    n = Vector(dtype).lanes
    rows = []
    for _r in range(n):
        rows.append(b.load(b.address(0, array, i), dtype))
        i = b.ir.add(i, stride)
    # Squares of quarters' size, 128 bits, in their places; then the squares as wholes. Each step is one instruction.
    quarter = 128 // dtype.bitwidth
    bands = [b.columns(rows[r : r + quarter], 1, quarter) for r in range(0, n, quarter)]
    wholes = [b.columns(list(band), quarter, n) for band in zip(*bands, strict=True)]
    rows = [row for part in zip(*wholes, strict=True) for row in part]
    for row in rows:
        b.store(row, b.address(0, array, j))
        j = b.ir.add(j, other)
    return b.context.get_dummy_value()


def pow2_of_bits(t):
    """2**n for t = n + `rounder`, where n, biased like an exponent, stands in the last bits: one shift."""
    bits, mantissa = (np.int32, 23) if t.dtype == np.float32 else (np.int64, 52)
    return (t.view(bits) << mantissa).view(t.dtype)


@_operation(pow2_of_bits, lambda t: t if isinstance(t, Vector) else None)
def _(b, t):
    kind, _bias, mantissa = b.float_layout(t)
    return b.ir.bitcast(b.ir.shl(b.ir.bitcast(t, kind), ir.Constant(kind, [mantissa] * kind.count)), t.type)


def three_halves(power):
    """1.5 times a power of two: one bit more."""
    return power * power.dtype.type(1.5)


@_operation(three_halves, lambda p: p if isinstance(p, Vector) else None)
def _(b, power):
    kind, _bias, mantissa = b.float_layout(power)
    half = ir.Constant(kind, [1 << (mantissa - 1)] * kind.count)
    return b.ir.bitcast(b.ir.or_(b.ir.bitcast(power, kind), half), power.type)


def spread(vector, lane, count):
    """A vector of `count` lanes, each of them this one of `vector`; both are literals."""
    return np.full(count, vector[lane])


@_operation(
    spread,
    lambda v, lane, n: Vector(v.dtype, n.literal_value) if isinstance(lane, types.IntegerLiteral) else None,
)
def _(b, vector, lane, count):
    return b.pick(vector, vector, [b.sig.args[1].literal_value] * b.sig.return_type.lanes)


def join(*vectors):
    """The vectors one after the other in a longer one: a function of it works on several registers by turns."""
    return np.concatenate(vectors)


@_operation(join, lambda *v: Vector(v[0].dtype, sum(x.lanes for x in v)) if isinstance(v[0], Vector) else None)
def _(b, *vectors):
    while len(vectors) > 1:
        lanes = range(2 * vectors[0].type.count)
        vectors = [b.pick(*pair, lanes) for pair in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]


def part(vector, first, count):
    """The `count` lanes from the `first` on; both are literals."""
    return vector[first : first + count]


@_operation(part, lambda v, first, n: Vector(v.dtype, n.literal_value) if isinstance(n, types.IntegerLiteral) else None)
def _(b, vector, first, count):
    return b.pick(vector, vector, [b.sig.args[1].literal_value + i for i in range(b.sig.return_type.lanes)])


def head(vector):
    """The first lane, and zeros."""
    return np.concatenate([vector[:1], np.zeros_like(vector[1:])])


@_operation(head, lambda v: v if isinstance(v, Vector) else None)
def _(b, vector):
    return b.pick(vector, ir.Constant(vector.type, None), [0, *range(vector.type.count + 1, 2 * vector.type.count)])


def sum_everywhere(vector):
    """A vector with `sum_lanes`, to the bit, in every lane."""
    return np.full_like(vector, sum_lanes(vector))


@_operation(sum_everywhere, lambda x: x if isinstance(x, Vector) else None)
def _(b, vector):
    half = vector.type.count // 2
    while half:
        partner = b.pick(vector, vector, [lane ^ half for lane in range(vector.type.count)])
        vector = b.ir.fadd(vector, partner, flags=_EXACT)
        half //= 2
    return vector


def sum_each(*vectors):
    """A vector with the `sum_lanes`, to the bit, of each vector: a power of two, up to the number of lanes."""
    return np.array([sum_lanes(vector) for vector in vectors])


@_operation(sum_each, lambda *v: Vector(v[0].dtype, len(v)) if isinstance(v[0], Vector) else None)
def _(b, *vectors):
    lanes = b.sig.return_type.lanes
    size = vectors[0].type.count

    def halves(first, second, low):
        return b.ir.fadd(b.pick(first, second, low), b.pick(first, second, [i + size // 2 for i in low]), flags=_EXACT)

    while size > lanes:
        vectors = [halves(vector, vector, range(size // 2)) for vector in vectors]
        size //= 2
    while size > 1:  # both halves of each run of `size` lanes are added: of the first vector, then of the second
        low = [
            start + place + lane for start in range(0, lanes, size) for place in (0, lanes) for lane in range(size // 2)
        ]
        half = len(vectors) // 2
        vectors = [halves(*pair, low) for pair in zip(vectors[:half], vectors[half:], strict=True)]
        size //= 2
    return vectors[0]


def _halves_first(items, add):
    """The sum in the order of `sum_lanes`; zeros that are missing for a power of two are left out."""
    while len(items) > 1:
        half = 1 << (len(items) - 1).bit_length() - 1
        items = [*map(add, items[:half], items[half:]), *items[len(items) - half : half]]
    return items[0]


def sum_across(*vectors):
    """A vector whose every lane is what `sum_lanes` makes, to the bit, of the lanes at this place."""
    return _halves_first(vectors, operator.add)


@_operation(sum_across, lambda *v: v[0] if len(set(v)) == 1 and isinstance(v[0], Vector) else None)
def _(b, *vectors):
    # Not contracted to an FMA, for lanes cannot be either: this flag means nothing to an addition.
    return _halves_first(vectors, lambda x, y: b.ir.fadd(x, y, flags=("arcp",)))


def sum_lanes(vector):
    """Sum of the lanes: halves are added first, in the same order on every machine."""
    while vector.size > 1:
        half = vector.size // 2
        vector = vector[:half] + vector[half:]
    return vector[0]


@_operation(sum_lanes, lambda x: x.dtype if isinstance(x, Vector) else None)
def _(b, vector):
    return b.sum_lanes(vector)


# ---------------------------------------------------------------- register tiles


def tile_zeros(array, rows, cols):
    """A tile of zeros of the dtype of `array`; rows and cols are literals."""
    return np.zeros((rows, cols, lanes(array)), array.dtype)


@_operation(
    tile_zeros,
    lambda a, r, c: Tile(a.dtype, r.literal_value, c.literal_value) if isinstance(r, types.IntegerLiteral) else None,
)
def _(b, array, rows, cols):
    return ir.Constant(b.context.get_value_type(b.sig.return_type), None)


def tile_fill(tile, array, i):
    """The tile with row r filled by array[i + r]."""
    tile[:] = array[i : i + tile.shape[0], None, None]
    return tile


@_operation(tile_fill, lambda t, a, i: t)
def _(b, tile, array, i):
    kind = b.sig.return_type
    for r in range(kind.rows):
        pointer = b.address(1, array, b.ir.add(i, b.context.get_constant(types.intp, r)))
        value = b.splat(b.ir.load(pointer))
        for c in range(kind.cols):
            tile = b.ir.insert_value(tile, value, (r, c))
    return tile


def tile_outer(tile, weights, i, stride, array, j):
    """tile[r, c] += weights[i + r * stride] * (vector c of array from j): a rank-one update."""
    rows, cols, n = tile.shape
    column = weights[i : i + (rows - 1) * stride + 1 : stride]
    return tile + column[:, None, None] * array[j : j + cols * n].reshape(1, cols, n)


@_operation(tile_outer, lambda t, w, i, s, a, j: t)
def _(b, tile, weights, i, stride, array, j):
    kind = b.sig.return_type
    step = b.context.get_constant(types.intp, kind.vector.lanes)
    vectors = []
    for _c in range(kind.cols):
        vectors.append(b.load(b.address(4, array, j), kind.dtype))
        j = b.ir.add(j, step)
    for r in range(kind.rows):
        weight = b.splat(b.ir.load(b.address(1, weights, i)))
        i = b.ir.add(i, stride)
        for c, vector in enumerate(vectors):
            tile = b.ir.insert_value(tile, b.fma(weight, vector, b.ir.extract_value(tile, (r, c))), (r, c))
    return tile


def tile_inner(tile, left, i, left_stride, right, j, right_stride):
    """tile[r, c] += left[i + r * left_stride :] * right[j + c * right_stride :], lane by lane."""
    rows, cols, n = tile.shape
    a = np.stack([left[i + r * left_stride :][:n] for r in range(rows)])
    b = np.stack([right[j + c * right_stride :][:n] for c in range(cols)])
    return tile + a[:, None] * b[None]


@_operation(tile_inner, lambda t, x, i, s, y, j, q: t)
def _(b, tile, left, i, left_stride, right, j, right_stride):
    kind = b.sig.return_type
    columns = []
    for _c in range(kind.cols):
        columns.append(b.load(b.address(4, right, j), kind.dtype))
        j = b.ir.add(j, right_stride)
    for r in range(kind.rows):
        row = b.load(b.address(1, left, i), kind.dtype)
        i = b.ir.add(i, left_stride)
        for c, column in enumerate(columns):
            tile = b.ir.insert_value(tile, b.fma(row, column, b.ir.extract_value(tile, (r, c))), (r, c))
    return tile


def tile_add(tile, array, i, stride):
    """tile[r] += array[i + r * stride :], vector by vector."""
    rows, cols, n = tile.shape
    return tile + np.stack([array[i + r * stride :][: cols * n].reshape(cols, n) for r in range(rows)])


@_operation(tile_add, lambda t, a, i, s: t)
def _(b, tile, array, i, stride):
    kind = b.sig.return_type
    step = b.context.get_constant(types.intp, kind.vector.lanes)
    for r in range(kind.rows):
        j = i
        for c in range(kind.cols):
            vector = b.load(b.address(1, array, j), kind.dtype)
            vector = b.ir.fadd(b.ir.extract_value(tile, (r, c)), vector, flags=_EXACT)
            tile = b.ir.insert_value(tile, vector, (r, c))
            j = b.ir.add(j, step)
        i = b.ir.add(i, stride)
    return tile


def tile_store(tile, array, i, stride):
    """array[i + r * stride :] = row r of the tile."""
    rows, cols, n = tile.shape
    for r in range(rows):
        array[i + r * stride : i + r * stride + cols * n] = tile[r].ravel()


@_operation(tile_store, lambda t, a, i, s: types.void)
def _(b, tile, array, i, stride):
    b.combine(tile, array, i, stride)
    return b.context.get_dummy_value()


def tile_store_part(tile, array, i, stride, count):
    """The same for the first `count` numbers of each row of a tile that is one vector wide."""
    for r in range(tile.shape[0]):
        part = tile[r].ravel()[:count]
        array[i + r * stride : i + r * stride + part.size] = part


@_operation(tile_store_part, lambda t, a, i, s, n: types.void)
def _(b, tile, array, i, stride, count):
    kind = b.sig.args[0]
    mask = b.mask(count, kind.vector.lanes)
    align = ir.Constant(ir.IntType(32), kind.dtype.bitwidth // 8)
    for r in range(kind.rows):
        vector = b.ir.extract_value(tile, (r, 0))
        pointer = b.ir.bitcast(b.address(1, array, i), vector.type.as_pointer())
        b.masked("store", ir.VoidType(), vector.type, vector, pointer, align, mask)
        i = b.ir.add(i, stride)
    return b.context.get_dummy_value()


def tile_scale(tile, array, i, stride):
    """array[i + r * stride :] *= row r of the tile; 0 stays 0, even if the other is infinity."""
    rows, cols, n = tile.shape
    for r in range(rows):
        a = array[i + r * stride : i + r * stride + cols * n]
        a[:] = a * np.where(a == 0, 0, tile[r].ravel())


@_operation(tile_scale, lambda t, a, i, s: types.void)
def _(b, tile, array, i, stride):
    b.combine(tile, array, i, stride, b.scaled)
    return b.context.get_dummy_value()


def tile_derive_tanh(tile, array, i, stride):
    """array[i + r * stride :] = (1 - itself squared) * row r of the tile; 0 as in `tile_scale`."""
    rows, cols, n = tile.shape
    for r in range(rows):
        a = array[i + r * stride : i + r * stride + cols * n]
        slope = 1 - a * a
        a[:] = slope * np.where(slope == 0, 0, tile[r].ravel())


@_operation(tile_derive_tanh, lambda t, a, i, s: types.void)
def _(b, tile, array, i, stride):
    def derive(vector, a):
        one = ir.Constant(a.type, [1.0] * a.type.count)
        return b.scaled(vector, b.fma(b.ir.fneg(a), a, one))

    b.combine(tile, array, i, stride, derive)
    return b.context.get_dummy_value()


def tile_sum(tile, array, i, stride):
    """array[i + r * stride + c] = sum over the lanes of tile[r, c]."""
    rows, cols, _n = tile.shape
    for r in range(rows):
        for c in range(cols):
            array[i + r * stride + c] = sum_lanes(tile[r, c])


@_operation(tile_sum, lambda t, a, i, s: types.void)
def _(b, tile, array, i, stride):
    kind = b.sig.args[0]
    vectors = [b.ir.extract_value(tile, (r, c)) for r in range(kind.rows) for c in range(kind.cols)]
    at_once = min(len(vectors), kind.vector.lanes)
    run = min(at_once, kind.cols)  # sums that lie side by side in the array
    for first in range(0, len(vectors), at_once):
        sums = b.sum_each(vectors[first : first + at_once])
        for start in range(0, at_once, run):
            row, col = divmod(first + start, kind.cols)
            place = b.ir.add(
                b.ir.mul(stride, b.context.get_constant(types.intp, row)), b.context.get_constant(types.intp, col)
            )
            part = b.pick(sums, sums, range(start, start + run))
            pointer = b.ir.bitcast(b.address(1, array, b.ir.add(i, place)), part.type.as_pointer())
            b.ir.store(part, pointer).align = kind.dtype.bitwidth // 8
    return b.context.get_dummy_value()


# ---------------------------------------------------------------- constants that depend on the dtype


def by_dtype(x, single, double):
    """`single` for float32 vectors, `double` for float64."""
    return single if x.dtype == np.float32 else double


@_operation(by_dtype, lambda x, single, double: x)
def _(b, x, single, double):
    position = 1 if b.sig.args[0].dtype == types.float32 else 2
    return b.vector(position, (single, double)[position - 1], b.sig.args[0].dtype)


def polynomial(x, single, double):
    """sum of coefficients[i] * x**i by Estrin's scheme, with the tuple for the dtype of x."""
    terms = [np.asarray(c, x.dtype) for c in by_dtype(x, single, double)]
    while len(terms) > 1:
        pairs = [fma(high, x, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        x = x * x
    return terms[0]


@_operation(polynomial, lambda x, single, double: x if isinstance(x, Vector) else None)
def _(b, x, single, double):
    dtype = b.sig.return_type.dtype
    position, table = (1, single) if dtype == types.float32 else (2, double)
    kind = b.sig.args[position]
    lanes = b.sig.return_type.lanes
    values = [b.context.cast(b.ir, b.ir.extract_value(table, i), kind.dtype, dtype) for i in range(kind.count)]
    terms = [b.splat(value, lanes) for value in values]
    while len(terms) > 1:
        pairs = [b.fma(high, x, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[len(pairs) * 2 :]
        x = b.ir.fmul(x, x, flags=_EXACT)
    return terms[0]


# ---------------------------------------------------------------- threads that share an array of integers


def take(array, i):
    """array[i] before it is increased by one, as one step that no other thread comes between."""
    array[i] += 1
    return array[i] - 1


@_operation(take, lambda a, i: types.int64)
def _(b, array, i):
    return b.ir.atomic_rmw("add", b.address(0, array, i), ir.Constant(ir.IntType(64), 1), "acq_rel")


def acquire(array, i):
    """array[i]; what its writer wrote before it is there too."""
    return array[i]


@_operation(acquire, lambda a, i: types.int64)
def _(b, array, i):
    return b.ir.load_atomic(b.address(0, array, i), "acquire", 8)


def release(array, i, value):
    """array[i] = value, after everything written before."""
    array[i] = value


@_operation(release, lambda a, i, v: types.void)
def _(b, array, i, value):
    value = b.context.cast(b.ir, value, b.sig.args[2], types.int64)
    b.ir.store_atomic(value, b.address(0, array, i), "release", 8)
    return b.context.get_dummy_value()


def give_way(function):
    """Let other threads run: call the system's function at this address."""


@_operation(give_way, lambda f: types.void)
def _(b, function):
    kind = ir.FunctionType(ir.IntType(32), [])
    b.ir.call(b.ir.inttoptr(function, kind.as_pointer()), [])
    return b.context.get_dummy_value()
