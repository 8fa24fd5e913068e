"""Networks that are exported, each with what it computes: every two values of two columns meet in one of them."""

import typing

import numpy as np
from support import pairwise

import fastxor as fx
from fastxor import names

# Sizes before the outputs: one feature, none but the outputs' layer, few units, many, inputs that fill no vector.
SHAPES = {"one": [1, 5], "linear": [2], "several": [3, 9, 4], "wide": [4, 90, 16], "eights": [2, 8, 20], "many": [35]}

# The activation and how many there are.
OUTPUTS = [("sigmoid", 1), ("sigmoid", 3), ("softmax", 2), ("softmax", 9), ("identity", 1), ("identity", 17)]
OUTPUTS += [("exponential", 2)]

CASES = pairwise(
    {
        "activation": typing.get_args(names.Activation),
        "output": OUTPUTS,
        "shape": list(SHAPES),
        "dtype": [np.float32, np.float64],
    }
)


def case_id(case):
    return f"{case.activation}-{case.output[0]}{case.output[1]}-{case.shape}-{np.dtype(case.dtype)}"


def trained(case, seed=0):
    """The network with parameters that are not 0, in the case's dtype."""
    output, n_y = case.output
    net = fx.Network([*SHAPES[case.shape], n_y], case.activation, output)
    draw = np.random.RandomState(seed)
    parameters = net.initialize(draw, dtype=case.dtype)
    for array in parameters.values():
        array += 0.2 * draw.randn(*array.shape).astype(case.dtype)
    return fx.Trained(net, parameters)


def samples(run, m=33, scale=2.0):
    """X (n_x, m) in the dtype of the parameters, some of whose units are saturated."""
    X = scale * np.random.RandomState(1).randn(run.network.sizes[0], m)
    X[:, :3] *= [1e-3, 30.0, -30.0]
    return X.astype(run.parameters["W1"].dtype)


def assert_close(got, run, X, tolerance=1.0):
    """`got` (n_y, m) is what the run computes, to rounding in its dtype."""
    wanted = run.forward(X, backend="numpy")
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    scale = max(1.0, float(np.abs(wanted).max()))
    few = tolerance * (1e-12 if wanted.dtype == np.float64 else 3e-6)  # inputs of +-60 are rounded before an activation
    np.testing.assert_allclose(got, wanted, rtol=0, atol=few * scale)


def labels(run, A):
    """What `predict` makes of outputs (n_y, m)."""
    if run.network.output == "softmax":
        return A.argmax(axis=0)
    return (A >= 0.5).astype(int) if run.network.output == "sigmoid" else A
