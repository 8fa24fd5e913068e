"""What seeds draw: numpy's bits, by kernels too, and so for each member the start that `train` has."""

import importlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import unjitted
from hypothesis import given, settings
from hypothesis import strategies as st

import fastxor as fx
from fastxor import backends, initialization, state
from fastxor.backends.fused import draws

SEEDS = np.concatenate([[0, 1, 2**31, 2**32 - 1], np.random.RandomState(0).randint(2**32, size=3000, dtype=np.int64)])


def assert_as_numpy(drawn, seeds, count):
    for got, wanted in zip(drawn(seeds, count, 2), initialization.drawn(seeds.tolist(), count), strict=True):
        np.testing.assert_array_equal(got, wanted)
        assert got.dtype == wanted.dtype


@pytest.mark.parametrize("count", [0, 1, 6, 9, 33])
def test_many_seeds(count):
    assert_as_numpy(draws.drawn, SEEDS, count)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40), st.integers(0, 1500))
def test_any_seeds_and_any_number_of_numbers(seeds, count):
    """Also more than a state has words for."""
    assert_as_numpy(draws.drawn, np.array(seeds), count)


def test_the_source_runs_unjitted():
    unjitted.install()
    plain = importlib.import_module(f"{backends._MODULES[unjitted.NAME]}.draws")
    assert_as_numpy(plain._drawn, SEEDS[:5], 7)
    assert plain._state_is_accessible()


@pytest.fixture
def asked_anew():
    """Whether the bits are numpy's is found out again, before a test and after it."""
    asked = draws._is_bitwise_numpy, draws._state_is_accessible
    for question in asked:
        question.cache_clear()
    yield
    for question in asked:
        question.cache_clear()


def test_the_kernels_are_used_here(asked_anew):
    assert draws._is_bitwise_numpy()
    assert draws._state_is_accessible()


def test_where_the_bits_differ_numpy_draws(asked_anew, monkeypatch):
    kernel = draws._drawn
    monkeypatch.setattr(
        draws, "_drawn", lambda *arguments: [np.nextafter(kernel(*arguments)[0], 9), kernel(*arguments)[1]]
    )
    assert_as_numpy(draws.drawn, SEEDS[:20], 5)


class Own(np.random.RandomState):
    """Shuffles backwards."""

    def shuffle(self, x):
        x[:] = x[::-1].copy()


def twice(make):
    """Two generators that draw the same, and have drawn some of it."""
    pair = make(), make()
    for rng in pair:
        rng.uniform(size=7)
        rng.standard_normal()
    return pair


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), m=st.integers(1, 3000), count=st.integers(0, 4))
def test_shuffles_are_numpys_and_leave_the_generator_where_it_would_be(seed, m, count):
    rng, numpys = twice(lambda: np.random.RandomState(seed))
    order = np.random.RandomState(seed).permutation(m)
    got, wanted = draws.shuffled(rng, order, count), state.shuffled(numpys, order, count)
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape) == (np.int64, (count, m))
    np.testing.assert_array_equal(got, wanted)
    for one, other in zip(rng.get_state(), numpys.get_state(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("m", [1, 2, 255, 256, 257, 70_000])
def test_shuffles_about_powers_of_two_and_of_many(core, m):
    rng, numpys = twice(lambda: np.random.RandomState(m))
    got = backends.resolve(core).shuffled(rng, np.arange(m), 2)
    np.testing.assert_array_equal(got, state.shuffled(numpys, np.arange(m), 2))
    assert rng.randint(2**31) == numpys.randint(2**31)


@pytest.mark.parametrize("make", [lambda: Own(3), lambda: np.random.RandomState(np.random.PCG64(3))])
def test_other_generators_shuffle_as_they_do(make, core):
    rng, numpys = twice(make)
    got = backends.resolve(core).shuffled(rng, np.arange(50), 3)
    np.testing.assert_array_equal(got, state.shuffled(numpys, np.arange(50), 3))


@pytest.mark.parametrize("where", ["elsewhere", "there, and other shuffles"])
def test_where_words_are_not_found_numpy_shuffles(asked_anew, monkeypatch, where):
    words, shuffled = draws._words, draws._shuffled
    if where == "elsewhere":
        monkeypatch.setattr(draws, "_words", lambda bits: words(bits)[::-1].copy())
    else:
        monkeypatch.setattr(draws, "_shuffled", lambda *arguments: shuffled(*arguments)[::-1])
    assert not draws._state_is_accessible()
    rng, numpys = twice(lambda: np.random.RandomState(4))
    got = draws.shuffled(rng, np.arange(50), 3)
    np.testing.assert_array_equal(got, state.shuffled(numpys, np.arange(50), 3))


def test_generators_that_threads_share_lose_nothing():
    """Whoever's turn it is, the words are drawn one after the other."""
    rng, numpys = twice(lambda: np.random.RandomState(6))
    with ThreadPoolExecutor(4) as pool:
        orders = list(pool.map(lambda _: draws.shuffled(rng, np.arange(2000), 1), range(40)))
    assert sorted(map(bytes, orders)) == sorted(bytes(state.shuffled(numpys, np.arange(2000), 1)) for _ in range(40))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", [None, "he", "glorot", "lecun", "normal", "orthogonal"])
def test_starts_are_those_of_train(core, kind, dtype):
    net = fx.Network([3, 5, 2, 1], hidden=["relu", "tanh"])
    X, Y = np.ones((3, 4), dtype), np.array([[0, 1, 1, 0]], dtype)
    asked = {"initialization": kind, "backend": core, "iterations": 0}
    population = fx.train_population(net, X, Y, members=40, random_state=3, **asked)
    for i, seed in enumerate(population.seeds.tolist()):
        wanted = fx.train(net, X, Y, random_state=seed, **asked).parameters
        for name, array in population.parameters.items():
            np.testing.assert_array_equal(array[i], wanted[name])
            assert array.dtype == dtype


@pytest.mark.parametrize("given", [True, False])
def test_orders_are_those_of_train(core, given):
    """The seeds of the samples' orders come after the weights, or without them."""
    net, rng = fx.Network([2, 3, 1]), np.random.RandomState(0)
    X, Y = rng.randn(2, 20), rng.randint(0, 2, (1, 20))
    asked = {"epochs": 2, "batch_size": 6, "validation": 0.2, "backend": core}
    start = [net.initialize(5)] * 3 if given else None
    population = fx.train_population(net, X, Y, random_state=[7, 8, 2**32 - 1], parameters=start, **asked)
    for seed, member in zip(population.seeds.tolist(), population, strict=True):
        run = fx.train(net, X, Y, random_state=seed, parameters=start and start[0], **asked)
        np.testing.assert_allclose(net.flatten(member.parameters), net.flatten(run.parameters), rtol=1e-9)
        np.testing.assert_allclose(member.history.validation_cost, run.history.validation_cost, rtol=1e-9)
