"""Step 5, for a tiny network: its sizes are known before it is compiled, and every loop but the samples' is gone.

`source` writes a step out line by line, with a name for each weight, so that they stay in registers; the one loop that
is left is vectorised. Samples are filled up to a whole register with some that have no weight: LLVM goes over four of
them one by one, if eight fit into a register. For thousands of weights there are no registers, and already two hundred
take minutes to compile.
"""

import linecache

import numba
import numpy as np

from benchmarks.steps.own_exp import functions
from benchmarks.steps.plain import FREE
from fastxor.backends.fused._jit import VECTOR_BITS

MOST_WEIGHTS = 50


def source(n_x, n_h):
    hidden, features = range(n_h), range(n_x)
    names = [f"W1_{h}_{i}" for h in hidden for i in features]
    names += [f"b1_{h}" for h in hidden] + [f"W2_{h}" for h in hidden] + ["b2_0"]

    def place(name):
        array, *indices = name.split("_")
        return f"{array}[{', '.join(indices)}]"

    rows = {f"X{i}": f"X[{i}]" for i in features}
    load = [f"{name} = {place(name)}" for name in names]
    zero = [f"d{name} = zero" for name in names]
    inside = [f"x{i} = X{i}[s]" for i in features]
    for h in hidden:
        inside += [f"a{h} = tanh(b1_{h} + {' + '.join(f'W1_{h}_{i} * x{i}' for i in features)})"]
    inside += [f"d2 = (sigmoid(b2_0 + {' + '.join(f'W2_{h} * a{h}' for h in hidden)}) - T[s]) * share[s]"]
    inside += ["db2_0 += d2"]
    for h in hidden:
        inside += [f"d = W2_{h} * d2 * (one - a{h} * a{h})", f"dW2_{h} += d2 * a{h}", f"db1_{h} += d"]
        inside += [f"dW1_{h}_{i} += d * x{i}" for i in features]
    move = [f"{name} -= rate * d{name}" for name in names]
    store = [f"{place(name)} = {name}" for name in names]
    blocks = (
        (0, ["def train(X, Y, W1, b1, W2, b2, iterations, rate):"]),
        (1, ["rate = X.dtype.type(rate)", "m = -(-Y.size // unit) * unit"]),
        (1, [f"{name} = np.zeros(m, X.dtype)" for name in (*rows, "T", "share")]),
        (1, [f"{name}[: Y.size] = {value}" for name, value in rows.items()]),
        (1, ["T[: Y.size] = Y", "share[: Y.size] = one / X.dtype.type(Y.size)", *load]),
        (1, ["for _ in range(iterations):"]),
        (2, [*zero, "for s in range(m):"]),
        (3, inside),
        (2, move),
        (1, store),
    )
    return "".join(f"{'    ' * depth}{line}\n" for depth, lines in blocks for line in lines)


def make(dtype, n_x, n_h):
    tanh, sigmoid = functions(dtype, FREE)
    kind = np.dtype(dtype).type
    names = {"tanh": tanh, "sigmoid": sigmoid, "one": kind(1), "zero": kind(0), "np": np}
    names["unit"] = VECTOR_BITS // 8 // np.dtype(dtype).itemsize
    text, file = source(n_x, n_h), f"<{n_x}-{n_h}-1>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file  # tracebacks and profilers show it
    exec(compile(text, file, "exec"), names)
    return numba.njit(names["train"], **FREE)
