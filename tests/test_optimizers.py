"""Optimizers on their own: their formulas by hand, what they remember from step to step, and where they refuse."""

from dataclasses import dataclass, replace
from itertools import islice
from typing import get_args

import numpy as np
import pytest
from engine_cases import OPTIMIZERS, job_with
from hypothesis import given, settings
from hypothesis import strategies as st
from support import assert_same_dict

import fastxor as fx
from fastxor.architecture import Architecture
from fastxor.backends import resolve
from fastxor.backends.fused import population, session, specialised, workspace
from fastxor.backends.fused.update import KINDS
from fastxor.bench.peers.numpy_peer import steps
from fastxor.cohort import Cohort
from fastxor.optimizers import EpsilonHatAdam, Optimizer, SecondOrder, _ByGradient
from fastxor.penalties import NONE
from fastxor.state import Job as Training
from fastxor.state import State

# One parameter whose gradient is known: the output is w, the target 0, so the gradient of w^2 / 2 is w.
NET = fx.Network([1, 1], output="identity")
ONE, NOTHING = np.ones((1, 1)), np.zeros((1, 1))


def test_all_are_among_the_jobs_that_both_cores_agree_on():
    """Or it is forgotten there: to add an optimizer is a class in optimizers.py and a step in the fused update.py."""
    assert {type(optimizer) for optimizer in OPTIMIZERS.values()} == {*get_args(Optimizer)} - {*get_args(SecondOrder)}
    kinds = {optimizer._kind for optimizer in (*OPTIMIZERS.values(), EpsilonHatAdam())}
    assert kinds == {*KINDS}


@dataclass(frozen=True)
class Newcomer(_ByGradient):
    """An optimizer that the fused core does not know: a step of fixed length, by the gradient's signs."""

    learning_rate: float = 0.1
    _kind, _rows = "newcomer", 0

    @property
    def _numbers(self):
        return (self.learning_rate,)

    def _step(self, theta, gradient, memory, weights, fade):
        return theta - self.learning_rate * np.sign(gradient), memory


def test_a_kernel_that_does_not_know_an_optimizer_refuses_it():
    """The engine says so, and no faster kernel takes it for an optimizer that it knows."""
    net, optimizer = fx.Network([2, 2, 1]), Newcomer()
    X, Y = np.zeros((2, 4)), np.zeros((1, 4))
    job, state = Training(net, X, Y, optimizer, 9), State.beginning(np.ones(9), optimizer)
    with pytest.raises(TypeError, match=r"the numba backend has no step for .*Newcomer"):
        resolve("numba").open(job, state)
    assert not specialised.fits(net, optimizer, 4, X.dtype)
    numbers, none = np.array([optimizer._numbers]), np.zeros(1, np.int64)
    cohort = Cohort(net, X, Y, optimizer, numbers, np.array([NONE]), none, none + 9)
    assert not population.pays_off(cohort)
    session = resolve("numpy").open(job, state)
    assert session.advance(9, 9, 1)[0] == 9


def path(optimizer, steps, core, weight=1.0):
    """The weight after each step from there, of a network whose bias moves beside it by the same gradient."""
    start = {"W1": np.full((1, 1), weight), "b1": np.zeros((1, 1))}
    arguments = {"parameters": start, "optimizer": optimizer, "backend": core}
    runs = [fx.train(NET, ONE, NOTHING, iterations=n + 1, **arguments) for n in range(steps)]
    return [run.parameters["W1"].item() for run in runs]


def test_rmsprop_by_hand(backend):
    """g = w + b: 1, then what is left of it."""
    w, b, v, wanted = 1.0, 0.0, 0.0, []
    for _ in range(4):
        g = w + b
        v = 0.9 * v + 0.1 * g * g
        w, b = w - 0.02 * g / (v**0.5 + 1e-3), b - 0.02 * g / (v**0.5 + 1e-3)
        wanted.append(w)
    assert path(fx.RMSprop(0.02, 0.9, 1e-3), 4, backend) == pytest.approx(wanted, rel=1e-12)


def test_rmsprop_with_momentum_by_hand(backend):
    w, b, v, u, wanted = 1.0, 0.0, 0.0, 0.0, []
    for _ in range(4):
        g = w + b
        v = 0.9 * v + 0.1 * g * g
        u = 0.7 * u + g / (v**0.5 + 1e-3)
        w, b = w - 0.02 * u, b - 0.02 * u
        wanted.append(w)
    assert path(fx.RMSprop(0.02, 0.9, 1e-3, 0.7), 4, backend) == pytest.approx(wanted, rel=1e-12)


def test_rprop_by_hand(backend):
    """From 1 by 0.3, then by 0.36 to w + b = -0.32, where it rests for a step, then back by half as much."""
    wanted = [0.7, 0.34, 0.34, 0.52]
    got = path(fx.Rprop(0.3), 4, backend)
    assert got == pytest.approx(wanted, rel=1e-12)


def test_rprop_keeps_its_step_sizes_between_the_limits(backend):
    far = path(fx.Rprop(0.3, 0.5, 2.0, 0.3, 0.5), 3, backend, weight=100.0)
    assert far == pytest.approx([99.7, 99.2, 98.7], rel=1e-12)
    near = path(fx.Rprop(0.3, 0.5, 2.0, 0.3, 0.5), 3, backend, weight=0.5)  # it passes 0, and may not get smaller
    assert near == pytest.approx([0.2, 0.2, 0.5], rel=1e-12)


def test_weights_decay_and_biases_do_not(backend):
    """Where the gradient is 0, nothing else moves them."""
    start = {"W1": np.full((3, 2), 2.0), "b1": np.full((3, 1), 2.0), "W2": np.zeros((1, 3)), "b2": np.full((1, 1), 2.0)}
    net = fx.Network([2, 3, 1], output="identity")
    optimizer = fx.AdamW(0.1, weight_decay=0.5)
    data = np.ones((2, 5)), np.full((1, 5), 2.0)  # the output is b2, which is right
    run = fx.train(net, *data, parameters=start, optimizer=optimizer, iterations=7, backend=backend)
    np.testing.assert_allclose(run.parameters["W1"], 2 * (1 - 0.1 * 0.5) ** 7, rtol=1e-12)
    np.testing.assert_array_equal(run.parameters["b1"], 2)
    np.testing.assert_array_equal(run.parameters["b2"], 2)


@pytest.mark.parametrize("m", [3, 40])
def test_without_decay_adamw_is_adam(core, m):
    job = job_with((3, 5, 2), ("tanh",), "identity", "squared_error", "adam", None, m, "float64")
    one, other = (job.train(core, optimizer=kind) for kind in (fx.Adam(0.03), fx.AdamW(0.03, weight_decay=0.0)))
    assert_same_dict(one.parameters, other.parameters, rtol=0)


real = st.floats(1e-3, 0.99)
ANY = (
    st.builds(fx.AdamW, st.floats(1e-4, 0.1), real, real, st.floats(1e-8, 1e-2), st.just(0.0) | st.floats(1e-3, 5))
    | st.builds(fx.RMSprop, st.floats(1e-4, 0.1), real, st.floats(1e-8, 1e-2), st.just(0.0) | real)
    | st.builds(fx.Rprop, st.floats(1e-4, 1e-2), real, st.floats(1.01, 2), st.floats(1e-8, 1e-4), st.floats(0.01, 1))
)


@settings(max_examples=60, deadline=None)
@given(optimizer=ANY, m=st.sampled_from([1, 5, 8, 70]), seed=st.integers(0, 99))
def test_any_numbers_give_the_loop_written_out(optimizer, m, seed):
    job = job_with((2, 4, 2), ("tanh",), "identity", "squared_error", "sgd", None, m, "float64", seed, iterations=9)
    job = replace(job, optimizer=optimizer)
    *_, (wanted, _outputs) = steps(job, job.start, islice(job.batches(), job.iterations))
    for core in ("numpy", "numba"):
        got = job.train(core).parameters
        assert_same_dict(got, wanted, rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- state


@pytest.mark.parametrize("optimizer", [fx.AdamW(0.1), fx.RMSprop(0.1, momentum=0.9), fx.Rprop()], ids=repr)
@pytest.mark.parametrize("m", [3, 600])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_run_goes_on_with_the_same_bits(optimizer, m, data):
    """From the state at any step, on any number of threads before and after."""
    core = resolve(data.draw(st.sampled_from(["numpy", "numba"])))
    cut, hidden = data.draw(st.integers(0, 12)), data.draw(st.integers(1, 9))
    network = fx.Network([2, hidden, 1])
    draw = np.random.RandomState(hidden)
    job = Training(network, draw.randn(2, m), (draw.rand(1, m) < 0.5).astype(float), optimizer, 12)
    states = []
    for cuts in ((12,), (cut, 12 - cut)):
        state = State.beginning(network.initialize(0)._flat, optimizer)
        for taken in cuts:
            session = core.open(replace(job, threads=data.draw(st.sampled_from([1, 2, 3]))), state)
            assert session.advance(taken, 0, 100)[0] == taken
            state = session.state()
        states.append(state)
    one, other = states
    for got, wanted in zip((other.theta, *other.memory), (one.theta, *one.memory), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("bits", [128, 256, 512])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_remembered_stands_where_the_kernel_looks(monkeypatch, bits, dtype):
    """One vector after the other, for registers of any width, also narrower than a cache line."""
    monkeypatch.setattr(workspace, "VECTOR_BITS", bits)
    for hidden in range(1, 20):
        network = Architecture((2, hidden, 1), ("tanh",), "sigmoid", "binary_cross_entropy")
        plan = workspace.plan.__wrapped__(network, 50, np.dtype(dtype))
        first, padded = plan.entries[workspace.MOMENTS], plan.entries[workspace.PADDED]
        assert (plan.moments, plan.weights) == (first, first + 2 * padded)
        assert plan.weights + padded <= plan.common


# ---------------------------------------------------------------- refusals


def test_rprop_takes_no_mini_batches(core):
    data = np.ones((2, 5)), np.ones((1, 5))
    for size in (1, 5, 8):
        with pytest.raises(ValueError, match=rf"batch_size must be left out with Rprop.*all samples.*got {size}"):
            fx.train(fx.Network([2, 3, 1]), *data, optimizer=fx.Rprop(), batch_size=size, backend=core)


def test_a_kernel_refuses_what_it_does_not_know():
    class Other(fx.SGD):
        _kind = "other"

    with pytest.raises(TypeError, match=r"no step for .*Other"):
        session.update.numbers(Other(), 1, NONE)
