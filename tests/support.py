"""What the tests share: the tutorial's own program, pairwise tables, input in every guise, and child processes."""

import gc
import itertools
import math
import os
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from allpairspy import AllPairs

import fastxor
from fastxor.backends.fused import choices, session
from fastxor.bench import tutorial_numpy

ROOT = Path(fastxor.__file__).resolve().parent.parent
PACKAGE = ROOT / "fastxor"
TESTS = Path(__file__).resolve().parent

X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
Y = np.array([[0, 1, 1, 0]])

GOLDEN_COSTS = """\
Cost after iteration# 0: 0.856267
Cost after iteration# 100: 0.347426
Cost after iteration# 200: 0.101195
Cost after iteration# 300: 0.053631
Cost after iteration# 400: 0.036031
Cost after iteration# 500: 0.027002
Cost after iteration# 600: 0.021543
Cost after iteration# 700: 0.017896
Cost after iteration# 800: 0.015293
Cost after iteration# 900: 0.013344
Cost after iteration# 1000: 0.011831
"""
GOLDEN_PREDICTION = "Neural Network prediction for example (1, 1) is 0\n"

KEYS = ("W1", "b1", "W2", "b2")

# Starts the processes of an MPI program, that of this environment first.
MPIEXEC = which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


# ---------------------------------------------------------------- the tutorial's program


def plain_sigmoid(z):
    """1/(1+e^-z), one value at a time, by the formula that does not overflow."""

    def one(v):
        return 1 / (1 + math.exp(-v)) if v >= 0 else math.exp(v) / (1 + math.exp(v))

    z = np.asarray(z, dtype=float)
    return np.array([one(v) for v in z.ravel()]).reshape(z.shape)


def plain_parameters(n_x, n_h, n_y, seed=0, biases=True):
    """Parameters with biases that are not zero, so that a forgotten bias shows."""
    draw = np.random.RandomState(seed)
    parameters = {"W1": draw.randn(n_h, n_x), "b1": np.zeros((n_h, 1))}
    parameters |= {"W2": draw.randn(n_y, n_h), "b2": np.zeros((n_y, 1))}
    if biases:
        parameters["b1"] = draw.randn(n_h, 1)
        parameters["b2"] = draw.randn(n_y, 1)
    return parameters


def plain_data(n_x, n_y, m, seed=0):
    """Features from a normal distribution, labels of 0 and 1."""
    draw = np.random.RandomState(seed + 1)
    return draw.randn(n_x, m), (draw.rand(n_y, m) > 0.5).astype(float)


def plain_forward(X, parameters):
    A2, cache = tutorial_numpy.forward_prop(X, parameters)
    return cache["A1"], A2


plain_cost = tutorial_numpy.calculate_cost


def plain_backward(X, Y, A1, A2, parameters):
    return tutorial_numpy.backward_prop(X, Y, {"A1": A1, "A2": A2}, parameters)


def plain_run(X, Y, parameters, updates, learning_rate):
    """The parameters after so many updates, and the cost before each of them."""
    costs = []
    for _ in range(updates):
        costs.append(plain_cost(plain_forward(X, parameters)[1], Y))
        parameters = tutorial_numpy.own_loop(tutorial_numpy, X, Y, parameters, 1, learning_rate)
    return parameters, costs


# ---------------------------------------------------------------- tables


def pairwise(columns):
    """Rows of a value from each column, as named tuples: every two values of two columns meet in one of them."""
    return list(AllPairs(OrderedDict(columns)))


def covering(rows, *columns):
    """A few of the rows, in which every two values of two columns meet that meet in any; a column is a function."""
    pairs = {row: set(itertools.combinations(enumerate(column(row) for column in columns), 2)) for row in rows}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        chosen.append(max(pairs, key=lambda row: len(pairs[row] & missing)))
        missing -= pairs[chosen[-1]]
    return chosen


# ---------------------------------------------------------------- comparing


def assert_same_dict(got, wanted, rtol, atol=0.0):
    """Same keys, shapes and values."""
    assert set(got) == set(wanted)
    for key, value in wanted.items():
        assert got[key].shape == value.shape, key
        np.testing.assert_allclose(got[key], value, rtol=rtol, atol=atol, err_msg=key)


def arrays_in(thing):
    """Every array in a result or an argument, through dicts, tuples and lists."""
    if isinstance(thing, np.ndarray):
        return [thing]
    if isinstance(thing, Mapping):
        thing = list(thing.values())
    if isinstance(thing, tuple | list):
        return [a for part in thing for a in arrays_in(part)]
    return []


def assert_no_alias(result, *arguments):
    """No array of the result shares memory with an array of the arguments."""
    for given in arrays_in(arguments):
        for got in arrays_in(result):
            assert not np.shares_memory(got, given)


def frozen(*arguments):
    """Byte for byte what the arguments hold, to compare before and after a call."""
    return [(a.dtype, a.shape, a.strides, a.tobytes()) for a in arrays_in(arguments)]


def guises(values):
    """The same matrix of small integers in every form that a caller may bring it in."""
    values = np.asarray(values, dtype=float)
    rows, cols = values.shape

    strided = np.full((2 * rows, 3 * cols), 7.0)
    strided[::2, ::3] = values
    readonly = values.copy()
    readonly.setflags(write=False)
    misaligned = np.frombuffer(bytearray(b"\0" + values.tobytes()), np.uint8)[1:].view(np.float64).reshape(rows, cols)
    forms = {
        "list": values.tolist(),
        "tuple": tuple(map(tuple, values.tolist())),
        "list of ints": values.astype(int).tolist(),
        "list of arrays": list(values.copy()),
        "float64": values.copy(),
        "float32": values.astype(np.float32),
        "float16": values.astype(np.float16),
        "longdouble": values.astype(np.longdouble),
        "int64": values.astype(np.int64),
        "int8": values.astype(np.int8),
        "big-endian": values.astype(">f8"),
        "fortran": np.asfortranarray(values),
        "transposed": np.ascontiguousarray(values.T).T,
        "strided": strided[::2, ::3],
        "reversed": np.ascontiguousarray(values[::-1, ::-1])[::-1, ::-1],
        "read-only": readonly,
        "misaligned": misaligned,
    }
    if (values >= 0).all():
        forms["uint8"] = values.astype(np.uint8)
    if np.isin(values, (0, 1)).all():
        forms["bool"] = values.astype(bool)
        forms["list of bools"] = values.astype(bool).tolist()
    return forms


# ---------------------------------------------------------------- refusing


def assert_refused(table, function, argument, call, good, core):
    """Each value that the table has for this argument raises its error, in one line that has its patterns.

    A row is (function, argument, wrong value, error, patterns); `good` are arguments that `call` would accept.
    """
    for name, of, wrong, error, patterns in table:
        if (name, of) != (function, argument):
            continue
        raised = None
        with fastxor.use_backend(core):
            try:
                call(**{**good, argument: wrong})
            except error as refusal:
                raised = refusal
        assert raised is not None, f"accepted: {wrong!r:.200}"
        text = str(raised)
        for pattern in patterns:
            assert re.search(pattern, text), f"{pattern!r} is not in what {wrong!r:.200} gets: {text}"
        assert len(text) < 600
        assert "\n" not in text


# ---------------------------------------------------------------- counting


def calls_during(function):
    """How many Python and C functions a call of `function` enters."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()  # a collection at an unlucky moment calls what has been registered with it, as hypothesis does
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


# ---------------------------------------------------------------- child processes


def child_environment(path=ROOT, **changes):
    """This process's environment without the package's own settings, with `path` and these tests to import from.

    Bytecode is kept, whatever this process does: there are a hundred children that would compile the package again.
    """
    ours = ("FASTXOR_", "NUMBA_DISABLE_JIT", "PYTHONWARNINGS", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment["PYTHONPATH"] = f"{path}{os.pathsep}{TESTS}"
    for key, value in changes.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = str(value)
    return environment


def run_python(*arguments, path=ROOT, env=None, **how):
    """Run Python with these arguments in `cwd`; `env` changes the environment, None removes a name."""
    return run(sys.executable, *arguments, env=child_environment(path, **(env or {})), **how)


def run(*command, cwd, env, fails=False, timeout=300):
    """Run a program in `cwd`; whether it is to fail."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if fails:
        assert done.returncode != 0, done.stdout + done.stderr
    else:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@contextmanager
def lockstep(pays=True):
    """Threads go in lockstep for the smallest step. Other runs' workspaces are not for these, nor theirs for others."""
    with pytest.MonkeyPatch.context() as patch:
        if pays:
            patch.setattr(choices, "MIN_LOCKSTEP_OPERATIONS", 0.0)
        session._pool.clear()
        yield patch
        session._pool.clear()
