"""The one place where user input is checked, converted and refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from itertools import pairwise
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, NoReturn, TypeGuard, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastxor import suggestions
from fastxor.architecture import ENTROPIES, Architecture
from fastxor.views import Array, Slots, Views

FLOAT64, FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)

Name = TypeVar("Name", bound=str)
Class = TypeVar("Class")


# ---------------------------------------------------------------- numbers and choices


# The largest count that a compiled loop, or the length of an array, can have.
MOST = 2**63 - 1


def integer(name: str, value: Any, least: int, most: float = MOST) -> int:
    """`value` as an int, from `least` to `most`."""
    if type(value) is not int and (isinstance(value, bool | np.bool_) or not isinstance(value, Integral)):
        if _is_scalar_array(value):
            return integer(name, value[()], least, most)
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    number = int(value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {_shown(number)}")
    if number > most:
        raise ValueError(f"{name} must be at most {most}, got {_shown(number)}")
    return number


def limit(name: str, value: Any) -> int:
    """`value` as an int, at least 1, of something that cannot exceed the largest count anyway."""
    return min(integer(name, value, 1, most=inf), MOST)


def _shown(number: int) -> str:
    """A number for a message, which may have more digits than Python writes."""
    return str(number) if number.bit_length() <= 128 else f"about {'-' * (number < 0)}2**{number.bit_length()}"


def rate(name: str, value: Any, below: float = inf) -> float:
    """`value` as a finite float that is not negative, and below a limit."""
    if type(value) is not float and (isinstance(value, bool | np.bool_) or not isinstance(value, Real)):
        if _is_scalar_array(value):
            return rate(name, value[()], below)
        raise TypeError(f"{name} must be a real number, got {value!r} of type {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if not 0 <= number < below:
        limit = "finite" if below == inf else f"below {below:g}"
        raise ValueError(f"{name} must be {limit} and not negative, got {number}")
    return number


def rates(name: str, value: Any, each: str, below: float = inf) -> Array:
    """`value` as a vector of such numbers, float64; `each` says of what there is one for each."""
    numbers = np.asarray(numeric(name, value), np.float64)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(f"{name}, as an array, must have shape ({each},), got shape {numbers.shape}")
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers < below)))
    if wrong.size:
        limit = "finite" if below == inf else f"below {below:g}"
        raise ValueError(f"{name} must be {limit} and not negative, got {numbers[wrong[0]]} at {wrong[0]}")
    return numbers


def are_several(value: Any) -> bool:
    """Whether `value` is a list, or an array with axes, numpy's, pandas' or another library's."""
    return isinstance(value, list | tuple | range) or bool(getattr(value, "ndim", 0))


def axes(name: str, value: Any) -> int:
    """How many axes `value` has as an array, 0 for a number or None."""
    try:
        return np.ndim(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None


def settings(optimizer: Any, dtype: np.dtype[Any]) -> None:
    """Refuse a number of the optimizer that the dtype of the run does not hold."""
    for name, number in vars(optimizer).items():
        if not (isinstance(number, bool) or callable(number)):
            held(name, number, dtype, below_1=name in optimizer._below_1)


def held(name: str, number: float, dtype: np.dtype[Any], below_1: bool = False) -> None:
    """Refuse a number, 0 or above, that would be rounded to infinity, to 1, to 0 or to what a processor may take for 0.

    A step would divide by the 0, and has two answers for what is below the smallest normal number.
    """
    smallest, largest, next_to_1 = _LIMITS[dtype]
    if 0 < number < smallest:
        raise ValueError(f"{name} must be at least {smallest:g} for {dtype} data, got {number:g}")
    most = next_to_1 if below_1 else largest
    if number > most:
        raise ValueError(f"{name} must be at most {most:.9g} for {dtype} data, got {number!r}")


def _limits(dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """The smallest normal number of a dtype, the largest one, and the last one before 1."""
    info = np.finfo(dtype)
    return float(info.smallest_normal), float(info.max), 1 - float(info.epsneg)


_LIMITS = {dtype: _limits(dtype) for dtype in (FLOAT32, FLOAT64)}


def _is_scalar_array(value: Any) -> TypeGuard[NDArray[Any]]:
    """Whether `value` is an array without axes, which numpy's users take for the number in it."""
    return isinstance(value, np.ndarray) and value.ndim == 0


def flag(name: str, value: Any) -> bool:
    """`value` as a bool."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def choice(name: str, value: Any, known: Collection[Name]) -> Name:
    """`value`, which must be one of the names known."""
    if not isinstance(value, str) or value not in known:
        known_names = ", ".join(map(repr, known))
        raise ValueError(f"{name} must be one of {known_names}, got {value!r}{suggestions.did_you_mean(value, known)}")
    return next(item for item in known if item == value)  # not numpy's kind of string, nor an Enum's


def only_one(**arguments: Any) -> None:
    """Refuse two arguments of which each says what the other one says."""
    if all(value is not None for value in arguments.values()):
        raise TypeError(f"{' and '.join(arguments)} exclude each other, got both")


def optimizer(value: Any, kinds: Sequence[type[Any]]) -> Any:
    """`value`, which must be of one of these kinds."""
    if isinstance(value, tuple(kinds)):
        return value
    names = {kind.__name__: kind for kind in kinds}
    *some, last = (f"{name}(…)" for name in names)
    wanted = f"{', '.join(some)} or {last}"
    raise TypeError(f"optimizer must be {wanted}, got {value!r}{suggestions.optimizer(value, names)}")


def no_more(function: Callable[..., Any], unknown: Mapping[str, Any], kinds: Sequence[type[Any]]) -> None:
    """Refuse keyword arguments that a function does not have, as Python does, with a hint."""
    from inspect import signature  # needed by nobody who writes what there is

    for name, value in unknown.items():
        hint = suggestions.keyword(
            name, value, [*signature(function).parameters], {kind.__name__: kind for kind in kinds}
        )
        raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}{hint}")


def hinted(kind: type[Class]) -> type[Class]:
    """Decorator of a class: a keyword argument that its constructor has not is refused with a hint."""
    make = kind.__init__
    known = make.__code__.co_varnames[1 : make.__code__.co_argcount]

    @wraps(make)
    def init(self: Class, *arguments: Any, **more: Any) -> None:
        for name, value in more.items():
            if name not in known:
                hint = suggestions.argument(name, value, known)
                raise TypeError(f"{kind.__name__}() got an unexpected keyword argument {name!r}{hint}")
        make(self, *arguments, **more)

    kind.__init__ = init  # type: ignore[assignment, method-assign]
    return kind


def names(name: str, value: Any, number: int, known: Collection[Name]) -> tuple[Name, ...]:
    """`value`, one name for all of `number` layers or a sequence of one for each."""
    if isinstance(value, str):
        return (choice(name, value, known),) * number
    if not _is_sequence(value):
        raise TypeError(f"{name} must be a name or a sequence of names, got {value!r}")
    if len(value) != number:
        raise ValueError(f"{name} must have one name for each of the {number} hidden layers, got {len(value)}")
    return tuple([choice(name, item, known) for item in value])


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def sizes(value: Any) -> tuple[int, ...]:
    """`value` as a tuple of two or more layer sizes."""
    if not _is_sequence(value):
        raise TypeError(f"sizes must be a sequence of integers, got {value!r}")
    if len(value) < 2:
        raise ValueError(f"sizes must name at least the inputs and the outputs, got {value!r}")
    return tuple([integer(f"sizes[{i}]", size, 1) for i, size in enumerate(value)])


def parameter_count(sizes: tuple[int, ...]) -> int:
    """How many parameters layers of these sizes have, which one array must be able to hold."""
    count = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
    if count > MOST // FLOAT64.itemsize:
        raise ValueError(
            f"a network of sizes {sizes} has {_shown(count)} parameters, and an array holds at most "
            f"{MOST // FLOAT64.itemsize}"
        )
    return count


def float_dtype(value: DTypeLike) -> np.dtype[Any]:
    """`value` as a dtype, float32 or float64."""
    try:
        dtype = np.dtype(value)
    except TypeError:
        pass
    else:
        if dtype in (FLOAT32, FLOAT64):
            return dtype
    raise TypeError(f"dtype must be float32 or float64, got {value!r}")


def trained(name: str, value: Any) -> tuple[Architecture, Mapping[str, ArrayLike]]:
    """The network and the parameters of `value`, a Result or a Trained."""
    hint = ""
    if isinstance(value, Sequence):
        hint = ", which are several; pass one, such as its best" if hasattr(value, "best") else ""
        raise TypeError(f"{name} must be a Result or a Trained, got {type(value).__name__}{hint}")
    network, parameters = getattr(value, "network", None), getattr(value, "parameters", None)
    if isinstance(network, Architecture) and isinstance(parameters, Mapping):
        return network, parameters
    if isinstance(value, Architecture):
        hint = ", which has no parameters of its own; pass fx.Trained(network, parameters)"
    elif isinstance(value, Mapping):
        hint = "; of a dict, pass fx.Trained(fx.Network([…]), parameters)"
    elif hasattr(value, "coefs_"):
        hint = "; pass fx.from_sklearn(…) of it"
    raise TypeError(f"{name} must be a Result or a Trained, got {type(value).__name__}{hint}")


def random_state(value: Any) -> Any:
    """Something with `standard_normal`: numpy's global state for None, a new RandomState for an int."""
    if value is None or value is np.random:
        return np.random  # the tutorial seeds numpy's global state
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        if not 0 <= int(value) < 2**32:
            raise ValueError(f"random_state must be between 0 and 2**32 - 1, got {_shown(int(value))}")
        rng = np.random.RandomState(np.random.MT19937(_no_entropy()))
        rng.seed(int(value))
        return rng
    raise TypeError(
        f"random_state must be None, an int, a numpy RandomState or a numpy Generator, got {type(value).__name__}"
    )


@cache
def _no_entropy() -> Any:
    """The least that numpy takes for a first seed: to gather a good one takes far longer than the second, ours."""
    from numpy.random.bit_generator import ISeedSequence

    class Zeros(ISeedSequence):
        def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
            return np.zeros(n_words, dtype)

    return Zeros()


def seed(rng: Any) -> int:
    """An integer of 63 bits, drawn from what `random_state` gives."""
    most = 2**63 - 1
    return int(rng.integers(most) if isinstance(rng, np.random.Generator) else rng.randint(most, dtype=np.int64))


# ---------------------------------------------------------------- arrays
# Shapes and kinds are checked here, before any computation. Values (NaN, infinity, probabilities outside 0 to 1)
# are looked at by the backend while it works, which costs a compiled kernel next to nothing; when it finds
# one, `refuse_values` says which argument it was in.


def matrix(name: str, value: ArrayLike, shape: str, hint: str = "") -> Array:
    """`value` as a float matrix with at least one row and one column; `shape` says in words what is wanted."""
    array = numeric(name, value)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} must have shape {shape}, with no axis of length 0, got shape {array.shape}{hint}")
    return array


def numeric(name: str, value: ArrayLike) -> Array:
    """`value` as an array of float32 or float64: float32 stays, all other real numbers become float64."""
    if type(value) is np.ndarray and value.dtype is FLOAT64:  # as most are
        return value
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular array of numbers: {error}") from None
    if array is not value and isinstance(value, np.ndarray) and np.ma.is_masked(value):
        raise ValueError(f"{name} must not have masked values")
    if array.dtype == FLOAT64 or array.dtype == FLOAT32:  # not `is`: an unpickled array has a dtype object of its own
        return array
    if array.dtype.kind in "iub":
        return array.astype(FLOAT64)
    if array.dtype.kind == "O" and not isinstance(value, np.ndarray):  # ints too long for numpy's
        numbers = array.ravel().tolist()
        if numbers and all(isinstance(number, int) and abs(number) < 2**1023 for number in numbers):
            return array.astype(FLOAT64)
    if array.dtype.kind != "f":
        if value is None:
            raise TypeError(f"{name} must hold real numbers, got None")
        hint = ""
        if _holds_text(array):
            hint = _NUMBERED * (name in ("Y", "labels"))
        elif array.dtype.kind == "O" and array.ndim:  # as of pandas' frames with columns of several kinds
            hint = f"; where all of them are numbers, pass np.asarray({name}, float)"
        if name == "sample_weight" and array.ndim == 0 and array.dtype.kind == "U":
            hint = f"; by class, it is class_weight={str(value)!r}"
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{hint}")
    with np.errstate(over="ignore"):  # too large for float64 is refused as infinite
        return array.astype(FLOAT32 if array.dtype.type is np.float32 else FLOAT64)  # in this machine's byte order


def _holds_text(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "SUT" or (array.dtype.kind == "O" and any(isinstance(item, str) for item in array.flat))


_NUMBERED = " with text; number the classes: names, numbers = np.unique(labels, return_inverse=True)"


def inputs(X: ArrayLike, n_x: int) -> Array:
    """X as a matrix (n_x, m)."""
    X = numeric("X", X)
    if X.ndim != 2 or len(X) != n_x or not X.size:
        hint = ""
        if X.ndim == 1 and X.size:
            as_one = "; for one sample, pass X[:, None]" * (X.size == n_x)
            hint = "; for one feature, pass X[None, :]" if n_x == 1 else as_one
        matrix("X", X, "(n_x, m), features down and samples across", hint)
        hint = "; X looks transposed, pass X.T" if X.shape[1] == n_x else ""
        raise ValueError(f"X must have n_x = {n_x} rows, one for each feature, got shape {X.shape}{hint}")
    return X


def targets(Y: ArrayLike, n_y: int, m: int) -> Array:
    """Y as a matrix (n_y, m)."""
    Y = numeric("Y", Y)
    if Y.shape != (n_y, m):
        _refuse_shape(Y, n_y, m)
    return Y


def cotangent(dA: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """dA as a matrix (n_y, m) of a dtype."""
    dA = numeric("dA", dA)
    if dA.shape != shape:
        transposed = "; dA looks transposed, pass dA.T" * (dA.shape == shape[::-1])
        vector = "; pass dA[None, :]" * (shape == (1, *dA.shape))
        raise ValueError(f"dA must have shape (n_y, m) = {shape}, that of A, got shape {dA.shape}{transposed}{vector}")
    return cast("dA", dA, dtype)


def answers(Y: ArrayLike, network: Architecture, m: int) -> Array:
    """Y as a matrix (n_y, m), from one, from class numbers for softmax, or from a vector for one output."""
    Y, n_y = numeric("Y", Y), network.sizes[-1]
    if Y.shape == (n_y, m):
        return Y
    if n_y == 1 and Y.shape == (m,):
        return Y[None]
    if network.output == "softmax":
        if Y.shape in ((m,), (1, m)):
            return one_hot("Y", Y, n_y)
        _refuse_shape(Y, n_y, m, f", or class numbers {(m,)},")
    numbers = n_y > 1 and Y.shape in ((m,), (1, m))
    _refuse_shape(Y, n_y, m, hint="; for class numbers, take output='softmax' or fx.one_hot(Y, n_y)" * numbers)


def cohort_answers(Y: Any, network: Architecture, m: int, K: int) -> Array:
    """Y as (n_y, m) for all members or, if it has an axis more, (K, n_y, m): see `answers`."""
    Y = numeric("Y", Y)
    n_y = network.sizes[-1]
    vectors = Y.shape == (K, m) and (n_y == 1 or network.output == "softmax") and Y.shape not in ((n_y, m), (1, m))
    if Y.ndim == 3 or vectors:
        if len(Y) != K:
            raise ValueError(f"Y must have a set of targets for each of the {K} members, got shape {Y.shape}")
        if Y.shape[1:] == (n_y, m):
            return Y
        return np.stack([answers(own, network, m) for own in Y])
    return answers(Y, network, m)


def cohort_inputs(name: str, X: ArrayLike, n_x: int) -> Array:
    """X as (n_x, m) for all members or (K, n_x, m)."""
    X = numeric(name, X)
    if X.ndim == 3 and X.size:
        inputs(X[0], n_x)
        return X
    return inputs(X, n_x)


def _refuse_shape(Y: Array, n_y: int, m: int, or_else: str = "", hint: str = "") -> NoReturn:
    """Say which shape Y has to have, and what to do about it."""
    if Y.shape == (m, n_y) or (or_else and Y.shape == (m, 1)):
        hint = "; Y looks transposed, pass Y.T"
    raise ValueError(f"Y must have shape (n_y, m) = {(n_y, m)}{or_else} to go with X, got shape {Y.shape}{hint}")


def class_numbers(labels: ArrayLike) -> Array:
    """Class numbers as an array (m,) or (1, m)."""
    labels = numeric("labels", labels)
    if labels.ndim == 0 or labels.shape[:-1] not in ((), (1,)) or not labels.size:
        raise ValueError(f"labels must have shape (m,) or (1, m), with at least one sample, got shape {labels.shape}")
    return labels


def one_hot(name: str, labels: Array, classes: int) -> Array:
    """Class numbers, (m,) or (1, m), as columns (classes, m) with a 1 in the row of the class, else 0."""
    labels = labels.ravel()
    wrong = np.flatnonzero(~((labels >= 0) & (labels < classes) & (labels == np.floor(labels))))
    if wrong.size:
        more = f", and {wrong.size - 1} more such values" if wrong.size > 1 else ""
        came = f"got {labels[wrong[0]]:g} at {wrong[0]}{more}"
        raise ValueError(f"{name} must hold class numbers, integers from 0 to {classes - 1}, {came}")
    columns = np.zeros((classes, labels.size))
    columns[labels.astype(np.intp), np.arange(labels.size)] = 1
    return columns


def cost_arguments(A2: ArrayLike, Y: ArrayLike) -> tuple[Array, Array]:
    """A2 and Y as matrices of one shape, in the dtype of A2."""
    A2, Y = matrix("A2", A2, _OUTPUTS), matrix("Y", Y, _OUTPUTS)
    if Y.shape != A2.shape:
        raise ValueError(f"Y must have the shape of A2, {A2.shape}, got shape {Y.shape}")
    return A2, cast("Y", Y, A2.dtype)


def one_dtype(theta: Array, X: Array, *Y: Array) -> list[Array]:
    """theta, X and perhaps Y in one dtype: float64, unless theta and X are float32."""
    dtype = theta.dtype if X.dtype == theta.dtype else FLOAT64
    return [cast("Y", array, dtype) for array in (theta, X, *Y)]  # of the others, none goes from float64 to float32


def cast(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """The array in a dtype that holds its numbers."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", under="ignore"):
        result = array.astype(dtype)
    if dtype == FLOAT32 and np.isinf(result).any():
        where = np.argwhere(np.isinf(result) & np.isfinite(array))
        if where.size:
            place = tuple(where[0].tolist())
            most = _LIMITS[dtype][1]
            raise ValueError(f"{name} must lie within +-{most:.9g} for {dtype} data, got {array[place]} at {place}")
    return result


def finite(array: Array) -> bool:
    """Whether every value is. A finite sum of squares shows it at once, but that of finite values may overflow."""
    total = np.vdot(array, array) if array.size <= _BY_BLAS else _in_pieces(array)
    return isfinite(total) or bool(np.isfinite(array).all())


def _in_pieces(array: Array) -> float:
    """The sum of squares of a large array, at the speed of memory: by BLAS, in pieces for which it has no threads.

    Those wait for each other where others have the cores.
    """
    vector = array.ravel(order="K")
    pieces = vector[: vector.size // _BY_BLAS * _BY_BLAS].reshape(-1, _BY_BLAS)
    rest = vector[pieces.size :]
    with np.errstate(all="ignore"):
        return float(np.vecdot(pieces, pieces).sum() + np.vdot(rest, rest))


def check_values(loss: str = "binary_cross_entropy", /, **arguments: Array | Mapping[str, Array]) -> None:
    """Refuse the first argument with a value that is not finite, or, in A2 and Y, not what the loss wants."""
    for argument, value in arguments.items():
        for name, array in [("", value)] if isinstance(value, np.ndarray) else value.items():
            label, flags = f'{argument}["{name}"]' if name else argument, array.flags
            if flags.forc and argument not in ("A2", "Y") and finite(array):
                continue  # after one pass over it
            # No array of the size of this one, which may be large; and the least of calls for a small one.
            low, high = float(np.minimum.reduce(array, None)), float(np.maximum.reduce(array, None))
            if not (isfinite(low) and isfinite(high)):
                where = np.argwhere(~np.isfinite(array))
                place = tuple(where[0].tolist())
                more = f", and {len(where) - 1} more such values" if len(where) > 1 else ""
                raise ValueError(f"{label} must be finite, got {array[place]} at {place}{more}")
            if argument in ("A2", "Y") and loss in ENTROPIES:
                if not (low >= 0 and high <= 1):
                    hint = _of_labels(array) if argument == "Y" else ""
                    raise ValueError(f"{label} must lie between 0 and 1, got values from {low} to {high}{hint}")
                if loss == "cross_entropy":
                    _check_sums(label, array)
            if argument == "Y" and loss == "poisson" and low < 0:
                raise ValueError(f"{label} must not be negative for the loss 'poisson', got {low}")


def _of_labels(array: Array) -> str:
    """The ending for labels that are no probabilities."""
    if (abs(array) == 1).all():
        return "; of labels -1 and 1, pass Y > 0"
    numbers = array.min() >= 0 and (array == np.floor(array)).all()
    return "; for class numbers, take output='softmax', with an output for each class" if numbers else ""


def _check_sums(label: str, array: Array) -> None:
    if array.ndim == 3:  # of each member of a population
        for number, own in enumerate(array):
            _check_sums(f"{label}[{number}]", own)
        return
    for start in range(0, array.shape[1], _AT_ONCE):
        sums = np.ascontiguousarray(array[:, start : start + _AT_ONCE]).sum(axis=0)  # by row, which is sooner done
        worst = int(abs(sums - 1).argmax())
        if abs(sums[worst] - 1) > SUM_TOLERANCE:
            raise ValueError(f"{label} must have columns that sum to 1, got {sums[worst]} in column {start + worst}")


def refuse_values(loss: str = "binary_cross_entropy", /, **arguments: Array | Mapping[str, Array]) -> NoReturn:
    """As `check_values`, when a backend has said that there is one."""
    check_values(loss, **arguments)
    raise ValueError(f"{', '.join(arguments)} must be finite")


def refuse_overflow(
    parts: Mapping[str, Any], dtype: np.dtype[Any], advice: str = "X, Y or the parameters are too large"
) -> NoReturn:
    """Say which of the parts of a computation, in its order, was the first that is not finite."""
    for label, part in parts.items():
        array = np.asarray(part)
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            place = tuple(bad[0].tolist())
            where = f" at {place}" if place else ""
            raise OverflowError(f"{label} overflows {dtype}, got {array[place]}{where}; {advice}")
    raise OverflowError(f"the result overflows {dtype}; {advice}")


# How far from 1 a column of targets for softmax may sum: float32 probabilities of a thousand classes pass.
SUM_TOLERANCE = 1e-3
_BY_BLAS = 10_000
_AT_ONCE = 10_000  # columns whose sums, or numbers for which answers, are kept at a time
_OUTPUTS = "(n_y, m), outputs down and samples across"


# ---------------------------------------------------------------- dictionaries of arrays


def two_layer_sizes(value: Any) -> tuple[int, int, int]:
    """n_x, n_h and n_y of the network that a dictionary W1, b1, W2, b2 belongs to."""
    W1, _b1, W2, _b2 = _arrays("parameters", value, ("W1", "b1", "W2", "b2"))
    return W1.shape[1], W1.shape[0], W2.shape[0]


def parameters(value: Any, network: Architecture) -> Array:
    """The dictionary W1, b1, W2, … of a network as one flat vector: float32 if all its arrays are, else float64."""
    if type(value) is Views and value._slots is network._slots and value._is_intact():
        return value._flat
    return _vector(value, network._slots, network)


def direction(value: Any, network: Architecture, dtype: np.dtype[Any]) -> Array:
    """A dictionary W1, b1, W2, …, or dW1, db1, dW2, …, as one flat vector of a dtype."""
    slots = network._gradient_slots if isinstance(value, Mapping) and "dW1" in value else network._slots
    return _flat("direction", value, slots, dtype, ", the shape of the parameter")


def flat(value: Any, network: Architecture) -> Array:
    """That, or the dictionary dW1, db1, dW2, …, as a vector of its own."""
    if type(value) is Views and value._slots in (network._slots, network._gradient_slots) and value._is_intact():
        return value._flat.copy()
    gradient = isinstance(value, Mapping) and "dW1" in value
    return _vector(value, network._gradient_slots if gradient else network._slots, network)


def vector(name: str, value: ArrayLike, count: int) -> Array:
    """`value` as a vector of its own with so many numbers."""
    array = numeric(name, value)
    if array.shape != (count,):
        hint = f"; pass {name}.ravel()" if array.size == count else ""
        raise ValueError(f"{name} must have shape (count,) = {(count,)}, got shape {array.shape}{hint}")
    return array.copy()


def _vector(value: Any, slots: Slots, network: Architecture) -> Array:
    """A new vector, laid out by `slots`."""
    arrays = _arrays("parameters", value, tuple([name for name, _place, _shape in slots]))
    dtype = FLOAT32 if all(array.dtype == FLOAT32 for array in arrays) else FLOAT64
    what = "n_x, n_h, n_y =" if len(network.sizes) == 3 else "layer sizes"
    return _flatten("parameters", slots, arrays, dtype, f" to go with {what} {network.sizes}")


def gradients(value: Any, network: Architecture, dtype: np.dtype[Any]) -> Array:
    """The dictionary dW1, db1, dW2, … as one flat vector."""
    return _flat("grads", value, network._gradient_slots, dtype, ", the shape of the parameter")


def activations(value: Any, network: Architecture, m: int, dtype: np.dtype[Any]) -> Array:
    """A1, A2, … from the cache of `forward_prop` as one flat vector."""
    slots = network._activations(m)
    if type(value) is Views and value._slots is slots and value._flat.dtype == dtype and value._is_intact():
        return value._flat
    if isinstance(value, Mapping):  # may hold other things too
        value = {name: value[name] for name, _place, _shape in slots if name in value}
    return _flat("cache", value, slots, dtype, " to go with X and parameters")


def _flat(argument: str, value: Any, slots: Slots, dtype: np.dtype[Any], why: str) -> Array:
    """The dictionary `value` as one vector, laid out by `slots`."""
    if type(value) is Views and value._slots is slots and value._flat.dtype == dtype and value._is_intact():
        return value._flat
    return _flatten(argument, slots, _arrays(argument, value, tuple([slot[0] for slot in slots])), dtype, why)


def _arrays(argument: str, value: Any, names: tuple[str, ...]) -> list[Array]:
    """The arrays of `value` under exactly the keys `names`, each a matrix that is not empty."""
    if not isinstance(value, Mapping) or value.keys() != set(names):
        _refuse_keys(argument, value, names)
    arrays = []
    for name in names:
        label = f'{argument}["{name}"]'
        array = numeric(label, value[name])
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"{label} must be a matrix with at least one row and column, got shape {array.shape}")
        arrays.append(array)
    return arrays


def _refuse_keys(argument: str, value: Any, names: tuple[str, ...]) -> NoReturn:
    wanted = f"a dict with the keys {', '.join(names)}"
    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} must be {wanted}, got {type(value).__name__}")
    missing = [repr(name) for name in names if name not in value]
    unknown = [repr(key) for key in value if key not in names]
    faults = ("missing " + ", ".join(missing)) * bool(missing), ("unknown " + ", ".join(unknown)) * bool(unknown)
    raise ValueError(f"{argument} must be {wanted}; {' and '.join(filter(None, faults))}")


def _flatten(argument: str, slots: Slots, arrays: list[Array], dtype: np.dtype[Any], why: str) -> Array:
    for (name, _place, shape), array in zip(slots, arrays, strict=True):
        if array.shape != shape:
            raise ValueError(f'{argument}["{name}"] must have shape {shape}{why}, got shape {array.shape}')
    if dtype == FLOAT32:
        arrays = [cast(f'{argument}["{slot[0]}"]', array, dtype) for slot, array in zip(slots, arrays, strict=True)]
    return np.concatenate([array.ravel() for array in arrays], dtype=dtype)
