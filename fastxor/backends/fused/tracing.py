"""Functions that are run once, at compile time, on stand-ins for their arguments, and leave LLVM instructions behind.

Numba compiles the kernels' control flow. All that works on whole vectors is *traced* instead: called with stand-ins
(`Traced`), a Python function is its own compiler, and to compile it takes no longer than to run it. Un-jitted, the same
source runs on numbers and numpy arrays, which is how the tests read it line by line.

As everywhere in tracing, a Python ``if``, ``for`` or ``range`` is decided, and done, at compile time. What the machine
is to decide is said by `cond`; what it is to repeat, by `fori_loop`, which hands a state from turn to turn, or `steps`,
whose turns leave what they found in memory alone.

Each argument of a traced function is a number or an array, for that is what a stand-in stands for; what belongs
together cannot be handed over together. So some have more arguments than is good for a function elsewhere.
"""

import functools
import inspect

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ._jit import UNJITTED, VECTOR_BITS

INT, BOOL, FLOAT32, FLOAT64 = map(np.dtype, (np.int64, np.bool_, np.float32, np.float64))
_LLVM = {INT: ir.IntType(64), BOOL: ir.IntType(1), FLOAT32: ir.FloatType(), FLOAT64: ir.DoubleType()}
_NUMBA = {INT: types.int64, BOOL: types.boolean, FLOAT32: types.float32, FLOAT64: types.float64}
_DTYPE = {kind: dtype for dtype, kind in _NUMBA.items()}

# A flag of its own keeps an instruction out of Numba's fast-math rewriting: no operation may be reordered, as the
# exponential's range reduction and the fixed order of sums depend on it. "No signed zeros matter" would be wrong for
# copysign, so the mildest one is used: contraction to an FMA.
EXACT = ("contract",)

# Loops over whole vectors have long bodies: to unroll them would double the code's size, and speed nothing up.
_NOT_UNROLLED = "optsize"


class Traced:
    """Stands for a number while a function is traced: the LLVM value that will hold it."""

    __slots__ = ("builder", "dtype", "value")
    __hash__ = None

    def __init__(self, builder, dtype, value):
        self.builder, self.dtype, self.value = builder, dtype, value

    def like(self, value):
        """The same kind of thing, with another value."""
        return type(self)(self.builder, self.dtype, value)

    def __bool__(self):
        raise TypeError("a traced value is not known at compile time: use cond, fori_loop or select_less")

    def __neg__(self):
        return self.like(self.builder.neg(self.value) if self.dtype == INT else self.builder.fneg(self.value))

    def __and__(self, other):
        return self.like(self.builder.and_(self.value, number(self.builder, other, BOOL).value))

    def __or__(self, other):
        return self.like(self.builder.or_(self.value, number(self.builder, other, BOOL).value))

    __rand__, __ror__ = __and__, __or__


class Vector(Traced):
    """Stands for a SIMD register; its lanes are those of the LLVM vector."""

    __slots__ = ()

    @property
    def lanes(self):
        return self.value.type.count


class Memory(Traced):
    """Stands for a contiguous array, by the address of its first element. An index is an offset from there: no
    wrap-around of negative ones, no bounds check, hence no ``select`` in an inner loop.
    """

    __slots__ = ()
    ndim = 1

    @property
    def itemsize(self):
        return self.dtype.itemsize

    def address(self, i):
        return self.builder.gep(self.value, [number(self.builder, i, INT).value])


class PairedMemory(Memory):
    """The same for an array of two dimensions, which are only there to say that its vectors are two registers each."""

    __slots__ = ()
    ndim = 2


def number(builder, x, dtype):
    """x as a scalar of that dtype."""
    if not isinstance(x, Traced):
        return Traced(builder, dtype, ir.Constant(_LLVM[dtype], dtype.type(x).item()))
    if x.dtype == dtype:
        return x
    kinds = x.dtype.kind + dtype.kind, x.dtype.itemsize < dtype.itemsize
    convert = {
        ("if", False): builder.sitofp,
        ("if", True): builder.sitofp,
        ("ff", False): builder.fptrunc,
        ("ff", True): builder.fpext,
        ("bi", True): builder.zext,
    }[kinds]
    return Traced(builder, dtype, convert(x.value, _LLVM[dtype]))


def splat(x, lanes):
    """A vector with the scalar x in every lane."""
    kind = ir.VectorType(x.value.type, lanes)
    if isinstance(x.value, ir.Constant):
        return Vector(x.builder, x.dtype, ir.Constant(kind, [x.value.constant] * lanes))
    undefined, index = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    first = x.builder.insert_element(undefined, x.value, ir.Constant(index, 0))
    zeros = ir.Constant(ir.VectorType(index, lanes), [0] * lanes)
    return Vector(x.builder, x.dtype, x.builder.shuffle_vector(first, undefined, zeros))


def alike(*operands):
    """The operands as vectors, if one of them is one, or as scalars of one dtype. A Python number fits any other."""
    traced = [x for x in operands if isinstance(x, Traced)]
    builder = traced[0].builder
    vector = next((x for x in traced if isinstance(x, Vector)), None)
    if vector is not None:
        dtype = vector.dtype
        return [x if isinstance(x, Vector) else splat(number(builder, x, dtype), vector.lanes) for x in operands]
    dtype = functools.reduce(np.promote_types, [x.dtype for x in traced])
    if dtype == INT and any(isinstance(x, float) for x in operands):
        dtype = FLOAT64
    return [number(builder, x, dtype) for x in operands]


def _arithmetic(integer, real):
    def operate(x, y):
        x, y = alike(x, y)
        if x.dtype == INT:
            return x.like(getattr(x.builder, integer)(x.value, y.value))
        return x.like(getattr(x.builder, real)(x.value, y.value, flags=EXACT))

    return operate, lambda x, y: operate(y, x)


def _comparison(sign):
    def compare(x, y):
        x, y = alike(x, y)
        if x.dtype in (INT, BOOL):
            return Traced(x.builder, BOOL, x.builder.icmp_signed(sign, x.value, y.value))
        real = x.builder.fcmp_unordered if sign == "!=" else x.builder.fcmp_ordered
        return Traced(x.builder, BOOL, real(sign, x.value, y.value, flags=EXACT))

    return compare


for _name, _integer, _real in (
    ("add", "add", "fadd"),
    ("sub", "sub", "fsub"),
    ("mul", "mul", "fmul"),
    ("truediv", "", "fdiv"),
    ("floordiv", "sdiv", ""),  # of numbers that are not negative
    ("mod", "srem", ""),
):
    _operate, _reflected = _arithmetic(_integer, _real)
    setattr(Traced, f"__{_name}__", _operate)
    setattr(Traced, f"__r{_name}__", _reflected)
for _name, _sign in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    setattr(Traced, f"__{_name}__", _comparison(_sign))


# ---------------------------------------------------------------- control flow


def _builder(*values):
    """That of the first stand-in among them; None if there is none, and Python itself does the work."""
    return next((x.builder for x in values if isinstance(x, Traced)), None)


def _leaves(tree, builder):
    """The stand-ins in nested tuples and lists."""
    if isinstance(tree, tuple | list):
        return [leaf for branch in tree for leaf in _leaves(branch, builder)]
    if tree is None or isinstance(tree, Traced):
        return [] if tree is None else [tree]
    return [number(builder, tree, _dtype_of(tree))]


def _dtype_of(x):
    """That of a Python number."""
    return BOOL if isinstance(x, bool) else INT if isinstance(x, int) else FLOAT64


def _regrown(tree, leaves):
    """The same tree with other leaves, taken from an iterator."""
    if isinstance(tree, tuple | list):
        return type(tree)(_regrown(branch, leaves) for branch in tree)
    return None if tree is None else next(leaves)


class _Loop:
    """A loop under construction: between `__init__` and `close`, instructions go into its body."""

    def __init__(self, builder, start, stop, step, leaves):
        self.builder, self.step = builder, number(builder, step, INT).value
        start, stop = number(builder, start, INT), number(builder, stop, INT)
        before, self.head = builder.block, builder.append_basic_block("loop")
        body, self.done = builder.append_basic_block("body"), builder.append_basic_block("done")
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.phis = []
        for leaf in (start, *leaves):
            phi = builder.phi(leaf.value.type)
            phi.add_incoming(leaf.value, before)
            self.phis.append(phi)
        self.state = [leaf.like(phi) for leaf, phi in zip(leaves, self.phis[1:], strict=True)]
        self.index = start.like(self.phis[0])
        builder.cbranch(builder.icmp_signed("<", self.phis[0], stop.value), body, self.done)
        builder.position_at_end(body)

    def close(self, leaves):
        values = [self.builder.add(self.phis[0], self.step), *(leaf.value for leaf in leaves)]
        for phi, value in zip(self.phis, values, strict=True):
            phi.add_incoming(value, self.builder.block)
        self.builder.branch(self.head)
        self.builder.position_at_end(self.done)


def fori_loop(start, stop, step, body, state):
    """``for i in range(start, stop, step): state = body(i, state)``, and the last state. `step` is positive."""
    builder = _builder(start, stop)
    if builder is None:
        for i in range(start, stop, step):
            state = body(i, state)
        return state
    loop = _Loop(builder, start, stop, step, _leaves(state, builder))
    loop.close(_leaves(body(loop.index, _regrown(state, iter(loop.state))), builder))
    return _regrown(state, iter(loop.state))


def steps(start, stop, step=1):
    """``range(start, stop, step)``. A turn cannot hand on a variable to the next one: for that there is `fori_loop`."""
    builder = _builder(start, stop)
    if builder is None:
        yield from range(start, stop, step)
    else:
        loop = _Loop(builder, start, stop, step, [])
        yield loop.index
        loop.close([])


def cond(condition, then, otherwise=lambda: None):
    """``then() if condition else otherwise()``; what they return has the same kind."""
    builder = _builder(condition)
    if builder is None:
        return then() if condition else otherwise()
    blocks = [builder.append_basic_block(name) for name in ("then", "otherwise", "after")]
    builder.cbranch(condition.value, *blocks[:2])
    results, leaves, ends = [], [], []
    for block, branch in zip(blocks, (then, otherwise), strict=False):
        builder.position_at_end(block)
        results.append(branch())
        leaves.append(_leaves(results[-1], builder))
        ends.append(builder.block)
        builder.branch(blocks[2])
    builder.position_at_end(blocks[2])
    merged = []
    for pair in zip(*leaves, strict=True):
        phi = builder.phi(pair[0].value.type)
        for leaf, end in zip(pair, ends, strict=True):
            phi.add_incoming(leaf.value, end)
        merged.append(pair[0].like(phi))
    return _regrown(results[0], iter(merged))


def switch(index, branches, otherwise=lambda: None):
    """``branches.get(index, otherwise)()``"""
    for number, branch in reversed(branches.items()):
        otherwise = functools.partial(cond, index == number, branch, otherwise)
    return otherwise()


# ---------------------------------------------------------------- how functions are declared


def operation(plain):
    """Decorator of a function on numbers and numpy arrays. What a trace does in its stead is given by `NAME.traced`."""
    if UNJITTED:
        plain.traced = lambda function: function
        return plain

    @functools.wraps(plain)
    def either(*args):
        return (plain if _builder(*args) is None else either.emit)(*args)

    def traced(function):
        either.emit = function
        return function

    either.traced = traced
    return traced_inline(either)


def traced_inline(function, *, attributes=(_NOT_UNROLLED,)):
    """Decorator: kernels and traced functions may call this one, and get its instructions in the place of the call."""
    return function if UNJITTED else _declare(function, function, attributes)


def traced(function):
    """Decorator: kernels and traced functions may call this one; it becomes a function of its own in their modules.

    All arguments but those that are given by name, which are known at compile time, are the machine's.
    """
    if UNJITTED:
        return function

    @functools.wraps(function)
    def call(*args, **known):
        builder = _builder(*args)
        return function(*args, **known) if builder is None else _call(builder, function, args, known)

    return _declare(call, function, (_NOT_UNROLLED,))


def _declare(called, function, attributes):
    """Tell Numba of it: the type of its result, and how a call becomes instructions."""

    @type_callable(called)
    def typer(context):
        def typed(*args):
            return _result(context, function, args)

        typed.__signature__ = inspect.signature(function)
        return typed

    @lower_builtin(called, types.VarArg(types.Any))
    def lower(context, builder, sig, args):
        _attribute(builder.function, *attributes)
        result = called(*map(functools.partial(_stand_in, context, builder), sig.args, args))
        if result is None:
            return context.get_dummy_value()
        return number(builder, result, _DTYPE[sig.return_type]).value

    return called


def _attribute(function, *names):
    """LLVM's attributes of a function with traced code: it raises nothing, and no vector on its stack lies across two
    cache lines.
    """
    function.attributes.alignstack = VECTOR_BITS // 8
    for name in ("nounwind", *names):
        function.attributes.add(name)


_MEMORY = {kind.ndim: kind for kind in (Memory, PairedMemory)}


def _stand_in(context, builder, kind, value):
    """For an argument of a Numba type."""
    if isinstance(kind, types.Array):
        return _MEMORY[kind.ndim](builder, _DTYPE[kind.dtype], context.make_array(kind)(context, builder, value).data)
    if isinstance(kind, types.Integer):
        return Traced(builder, INT, context.cast(builder, value, kind, types.int64))
    return Traced(builder, _DTYPE[kind], value)


@functools.lru_cache(maxsize=1024)
def _trial(function, kinds, known):
    """The dtype of its result, by tracing it to nowhere; None without one. A kind is (class, dtype)."""
    builder = ir.IRBuilder(ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "nowhere").append_basic_block())
    args = [kind(builder, dtype, ir.Constant(_llvm(kind, dtype), ir.Undefined)) for kind, dtype in kinds]
    result = function(*args, **dict(known))
    if result is None:
        return None
    if isinstance(result, Traced):
        return result.dtype
    return _dtype_of(result)


def _llvm(kind, dtype):
    return _LLVM[dtype].as_pointer() if issubclass(kind, Memory) else _LLVM[dtype]


def _result(context, function, args):
    """The Numba type of its result for arguments of these types; None if they do not fit."""
    kinds = []
    for kind in args:
        if isinstance(kind, types.Array) and kind.ndim in _MEMORY and kind.dtype in _DTYPE:
            kinds.append((_MEMORY[kind.ndim], _DTYPE[kind.dtype]))
        elif isinstance(kind, types.Integer):
            kinds.append((Traced, INT))
        elif kind in _DTYPE:
            kinds.append((Traced, _DTYPE[kind]))
        else:
            return None
    dtype = _trial(function, tuple(kinds), ())
    return types.void if dtype is None else _NUMBA[dtype]


def _call(builder, function, args, known):
    """A call of the module's function for these arguments, which is made when it is first called."""
    args = [x if isinstance(x, Traced) else _leaves(x, builder)[0] for x in args]
    kinds, known = tuple((type(x), x.dtype) for x in args), tuple(sorted(known.items()))
    result = _trial(function, kinds, known)
    place = function.__module__, function.__qualname__  # two modules may have functions of one name
    name = ".".join([*place, *(dtype.str[1:] for _, dtype in kinds), *map(str, known)])
    made = builder.module.globals.get(name)
    if made is None:
        signature = ir.FunctionType(_LLVM[result] if result else ir.VoidType(), [x.value.type for x in args])
        made = ir.Function(builder.module, signature, name)
        made.linkage = "internal"
        _attribute(made, "noinline", _NOT_UNROLLED)
        inside = ir.IRBuilder(made.append_basic_block())
        value = function(*(x.like(y) for x, y in zip(_moved(args, inside), made.args, strict=True)), **dict(known))
        inside.ret(number(inside, value, result).value) if result else inside.ret_void()
    returned = builder.call(made, [x.value for x in args])
    return Traced(builder, result, returned) if result else None


def _moved(args, builder):
    return [type(x)(builder, x.dtype, x.value) for x in args]
