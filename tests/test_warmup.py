"""`warmup(network)`: a kernel for the exact sizes, ahead of time; and many short runs come to one by themselves."""

import numpy as np
import pytest
from support import X, Y

import fastxor as fx
from fastxor.backends.fused import choices, session, specialised

FLOAT64 = np.dtype(float)
FITS = session.VECTOR_BITS >= 4 * 64  # four samples of float64 in a vector


@pytest.fixture(autouse=True)
def unknown(monkeypatch):
    """No kernel of this process's own has been made, and none is on disk."""
    specialised.kernel_for.cache_clear()
    monkeypatch.setattr(specialised.Kernel, "is_ready", specialised.Kernel.is_loaded)
    monkeypatch.setattr(session, "_engine_seconds", session.defaultdict(float))
    yield
    specialised.kernel_for.cache_clear()


def loaded(network, samples=4):
    return specialised.kernel_for(network, samples, FLOAT64).is_loaded(FLOAT64)


def test_a_network_is_compiled_for_ahead_of_time():
    network = fx.Network([2, 3, 1], hidden="sigmoid")
    fx.warmup(network)
    assert loaded(network) == FITS
    run = fx.train(network, X, Y, iterations=500, random_state=0, backend="numba")
    again = fx.train(network, X, Y, iterations=500, random_state=0, backend="numpy")
    np.testing.assert_allclose(run.parameters["W1"], again.parameters["W1"], rtol=1e-9)


def test_for_its_number_of_samples():
    network = fx.Network([2, 3, 1])
    fx.warmup(network, samples=2)
    assert loaded(network, 2)
    assert not loaded(network, 4)


@pytest.mark.parametrize("network", [fx.Network([64, 100, 1]), fx.Network([2, 3, 1], hidden="gelu")])
@pytest.mark.parametrize("samples", [4, 10**6])
def test_for_others_there_is_nothing_to_do(network, samples):
    fx.warmup(network, samples)


@pytest.mark.parametrize("network", [[2, 2, 1], "xor", 3])
def test_what_is_no_network(network):
    with pytest.raises(TypeError, match="network must be a Network, got"):
        fx.warmup(network)


@pytest.mark.parametrize(("samples", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("4", TypeError)])
def test_a_number_of_samples_that_is_none(samples, error):
    with pytest.raises(error, match="samples must be"):
        fx.warmup(fx.Network([2, 2, 1]), samples)


def test_many_short_runs_come_to_a_kernel_of_their_own(monkeypatch):
    samples = 4 if FITS else 2
    monkeypatch.setattr(choices, "MIN_SECONDS_TO_COMPILE", 0.01)
    network = fx.Network([2, 4, 1])
    runs = 0
    while not loaded(network, samples):
        fx.train(network, X[:, :samples], Y[:, :samples], iterations=1000, random_state=runs, backend="numba")
        runs += 1
        assert runs < 10_000
    assert runs > 3  # one of them is no reason
