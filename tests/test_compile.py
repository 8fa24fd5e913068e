"""`Network.compile`: one sample from compiled code, against the reference and the complex step."""

import importlib
import itertools

import numpy as np
import pytest
from derivative_cases import by_complex_step, close, draws, networks, outputs
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import TypingError, njit
from support import frozen, run_python

import fastxor as fx
from fastxor.network import ACTIVATIONS

RTOL = {"float64": 1e-10, "float32": 2e-4}
SMALL = fx.Network([3, 5, 2], "gelu", "identity")

# A module of the user's, with functions of the network in its own.
MODULE = """\
import numpy as np
from numba import njit

import fastxor as fx

net = fx.Network([3, 5, 2], "gelu", "identity")
compiled = net.compile()
forward = compiled.forward

@njit(cache=True)
def outputs(theta, X):
    A = np.empty((2, X.shape[1]))
    for i in range(X.shape[1]):
        forward(theta, X[:, i], A[:, i])
    return A

@njit(cache=True)
def gradient(theta, X, dA):
    total, one = np.zeros(theta.size), np.empty(theta.size)
    for i in range(X.shape[1]):
        compiled.gradient(theta, X[:, i], dA[:, i], one)
        total += one
    return total

def run():
    rng = np.random.RandomState(0)
    theta, X, dA = rng.randn(net.count), rng.randn(3, 7), rng.randn(2, 7)
    return outputs(theta, X), gradient(theta, X, dA)
"""


def assert_right(net, compiled, seed, dtype="float64"):
    """Both functions for two samples, with memory that holds nonsense before."""
    parameters, X, dA = draws(net, 2, seed, dtype)
    theta = net.flatten(parameters)
    dtheta, out = np.full(net.count, np.nan, dtype), np.full(net.sizes[-1], np.nan, dtype)
    before = frozen(theta, X, dA)
    for i in range(2):
        x, d = X[:, i].copy(), dA[:, i].copy()
        assert compiled.forward(theta, x, out) is None
        assert compiled.gradient(theta, x, d, dtheta) is None
        A, pullback = net.vjp(parameters, X[:, i : i + 1], backend="numpy")
        close(out, A[:, 0], RTOL[dtype])
        close(dtheta, net.flatten(pullback(dA[:, i : i + 1])[0]), RTOL[dtype])
    assert frozen(theta, X, dA) == before


def unjitted(net):
    """The same source as plain Python."""
    return importlib.import_module("fastxor.backends.unjitted.one_sample").compiled(net)


@given(networks(9), st.integers(0, 1000), st.sampled_from([*RTOL]))
@settings(max_examples=40, deadline=None)
def test_the_source_as_plain_python(net, seed, dtype):
    assert_right(net, unjitted(net), seed, dtype)


@given(networks(), st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_gradient_is_what_the_complex_step_says(net, seed):
    parameters, X, dA = draws(net, 1, seed)
    theta, dtheta = net.flatten(parameters), np.empty(net.count)
    unjitted(net).gradient(theta, X[:, 0], dA[:, 0], dtheta)
    close(dtheta, by_complex_step(lambda theta: np.sum(dA * outputs(net, theta, X)), theta))


@pytest.mark.parametrize(("output", "dtype"), [("softmax", "float64"), ("sigmoid", "float32")])
def test_every_activation(output, dtype):
    widths = itertools.cycle([4, 17, 3, 9, 2, 16, 8, 5, 1])
    net = fx.Network([3, *itertools.islice(widths, len(ACTIVATIONS)), 3], ACTIVATIONS, output)
    assert_right(net, net.compile(), 1, dtype)


@pytest.mark.parametrize("dtype", RTOL)
def test_layers_that_are_not_written_out(dtype):
    net = fx.Network([53, 70, 40, 35], ["tanh", "relu"], "softmax")
    assert_right(net, net.compile(), 2, dtype)


def test_angles_of_any_size():
    net = fx.Network([1, 20, 1], "sin", "identity")
    theta = np.concatenate([10.0 ** np.arange(20), np.zeros(20), np.linspace(1, 2, 20), [0]])
    wanted, pullback = net.vjp(net.unflatten(theta), [[1.5]], backend="numpy")
    for compiled in (net.compile(), unjitted(net)):
        out, dtheta = np.empty(1), np.empty(net.count)
        compiled.forward(theta, np.array([1.5]), out)
        compiled.gradient(theta, np.array([1.5]), np.ones(1), dtheta)
        close(out, wanted[:, 0])
        close(dtheta, net.flatten(pullback([[1.0]])[0]))


def test_a_loop_that_goes_on_from_its_own_result():
    net = fx.Network([3, 4, 3], "elu", "identity")
    forward = net.compile().forward

    @njit
    def orbit(theta, x, steps):
        for _ in range(steps):
            forward(theta, x, x)

    parameters = draws(net, 1, 3)[0]
    x = np.array([1.0, 2.0, 3.0])
    wanted = x[:, None].copy()
    orbit(net.flatten(parameters), x, 5)
    for _ in range(5):
        wanted = net.forward(parameters, wanted, backend="numpy")
    close(x, wanted[:, 0])


def test_the_kinds_of_vectors():
    """Any two dtypes beside theta's, columns of a matrix, what may not be written."""
    parameters, X, dA = draws(SMALL, 2, 4)
    theta = SMALL.flatten(parameters)
    A, pullback = SMALL.vjp(parameters, X, backend="numpy")
    out, dtheta = np.empty((4, 3), np.float32), np.empty(SMALL.count)
    for array in (theta, X, dA):
        array.setflags(write=False)
    for compiled in (SMALL.compile(), unjitted(SMALL)):
        compiled.forward(theta, X[:, 1], out[::2, 1])
        compiled.gradient(theta, X[:, 1].astype(np.float32), dA[:, 1], dtheta)
        close(out[::2, 1], A[:, 1], 1e-6)
        close(dtheta, SMALL.flatten(pullback(dA * [[0, 1]])[0]), 1e-5)


# Run twice; the second process finds the machine code of the first one, and has before it compiled another network's
# functions, which have the same names and types.
CALLER = """\
import own_loop, numpy as np, fastxor as fx

other = fx.Network([3, 5, 2], "relu", "identity").compile()
other.forward(np.ones(32), np.ones(3), np.ones(2))
other.gradient(np.ones(32), np.ones(3), np.ones(2), np.ones(32))
A, dtheta = own_loop.run()
np.savez("results.npz", A=A, dtheta=dtheta)
print([sum(f.stats.cache_hits.values()) for f in (own_loop.outputs, own_loop.gradient)])
"""


def test_from_another_module_with_a_cache(tmp_path):
    (tmp_path / "own_loop.py").write_text(MODULE)
    rng = np.random.RandomState(0)
    theta, X, dA = rng.randn(SMALL.count), rng.randn(3, 7), rng.randn(2, 7)
    wanted, pullback = SMALL.vjp(SMALL.unflatten(theta), X, backend="numpy")
    for hits in ("[0, 0]\n", "[1, 1]\n"):
        assert run_python("-W", "error", "-c", CALLER, cwd=tmp_path).stdout == hits
        with np.load(tmp_path / "results.npz") as results:
            close(results["A"], wanted)
            close(results["dtheta"], SMALL.flatten(pullback(dA)[0]))


def test_equal_networks_share_their_functions():
    assert SMALL.compile() is fx.Network([3, 5, 2], "gelu", "identity").compile()
    assert SMALL.compile() is not fx.Network([3, 5, 2], "tanh", "identity").compile()


WRONG = {
    "theta": [np.ones(31), np.ones((32, 1)), np.ones(32, int), np.ones(64)[::2], 1.0],
    "x": [np.ones(4), np.ones((1, 3)), np.ones(3, complex), (1.0, 2.0, 3.0)],
    "out": [np.ones(1), np.ones(2, bool), np.frombuffer(bytes(16))],
    "dout": [np.ones(3), np.ones(2, np.int32)],
    "dtheta": [np.ones(33), np.ones(32, np.float32), np.ones(64)[::2]],
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_by_name(name):
    right = {"theta": np.ones(32), "x": np.ones(3)}
    right |= {"dout": np.ones(2), "dtheta": np.ones(32)} if name.startswith("d") else {"out": np.ones(2)}
    kind = "gradient" if name.startswith("d") else "forward"
    for value in WRONG[name]:
        for compiled in (SMALL.compile(), unjitted(SMALL)):
            with pytest.raises(
                (ValueError, TypingError, TypeError), match=rf"{name} must be a .*vector of \d+ numbers"
            ):
                getattr(compiled, kind)(*(right | {name: value}).values())


def test_a_network_that_does_not_fit_on_the_stack_is_refused():
    with pytest.raises(ValueError, match=r"may have 16384 inputs and units, got sizes \(16384, 1\)"):
        fx.Network([16384, 1]).compile()


def test_help_says_what_they_are():
    compiled = SMALL.compile()
    assert "into out" in compiled.forward.__doc__
    assert "into dtheta" in compiled.gradient.__doc__
