"""The tracer: what a function leaves behind, compiled, does what the same source does on numbers and numpy arrays."""

import numba
import numpy as np
import pytest

import fastxor.backends as backends
from fastxor.backends.fused import _jit, simd, tracing

UNJITTED = backends.importlib.import_module("fastxor.backends.unjitted")
DTYPES = (np.float64, np.float32)


def compiled(make):
    """``make(simd, tracing)``, a function of an array and its length, as machine code."""
    function = tracing.traced_inline(make(simd, tracing))

    @numba.njit(**_jit.FLAGS)
    def run(work, n):
        return function(work, n)

    return run


def plain(make):
    return make(UNJITTED.simd, UNJITTED.tracing)


def check(make, dtype=np.float64, n=7, rtol=0.0):
    """Both change the array alike and return the same."""
    lanes = simd.lanes(np.empty(0, dtype))
    start = np.random.RandomState(0).uniform(0.5, 2.0, 8 * lanes).astype(dtype)
    results = []
    for function in (compiled(make), plain(make)):
        work = start.copy()
        results.append((function(work, n), work))
    (got, changed), (wanted, array) = results
    np.testing.assert_allclose(changed, array, rtol=rtol)
    assert got == pytest.approx(wanted, rel=rtol) if wanted is not None else got is None
    return got


# ---------------------------------------------------------------- control flow


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_a_loop_hands_on_its_state(n):
    def make(simd, tracing):
        def fibonacci(work, n):
            a, (b, turns) = tracing.fori_loop(0, n, 1, lambda i, s: (s[1][0], (s[0] + s[1][0], i + 1)), (0, (1, 0)))
            simd.put(work, 0, a + 100 * turns)
            return b

        return fibonacci

    check(make, n=n)


@pytest.mark.parametrize("n", [0, 1, 5, 6])
def test_steps_and_steps_in_steps(n):
    def make(simd, tracing):
        def fill(work, n):
            for i in tracing.steps(0, n, 2):
                for j in tracing.steps(i, n):
                    simd.put(work, j, simd.get(work, j) * 2 + i)

        return fill

    check(make, n=n)


@pytest.mark.parametrize("n", range(5))
def test_branches(n):
    def make(simd, tracing):
        def choose(work, n):
            tracing.cond(n > 2, lambda: simd.put(work, 0, 5.0))
            value = tracing.switch(n, {0: lambda: 10, 1: lambda: 11, 3: lambda: 13}, lambda: 99)
            first, second = tracing.cond((n == 2) | (n > 3), lambda: (value, n), lambda: (n, value))
            return 1000 * first + second

        return choose

    check(make, n=n)


def test_a_function_of_its_own_is_called_from_several_places():
    def make(simd, tracing):
        @tracing.traced
        def scaled(work, i, factor):
            simd.put(work, i, simd.get(work, i) * factor)
            return i + 1

        def run(work, n):
            after = scaled(work, n, 3.0)
            return scaled(work, after, 0.5) + scaled(work, 0, n)

        return run

    check(make)


@pytest.mark.parametrize("n", [1, 4, 9])
def test_arithmetic_of_integers(n):
    def make(simd, tracing):
        def mix(work, n):
            signs = tracing.cond((n >= 4) & (n != 9), lambda: -n, lambda: n - 1)
            return (n * 7 + 3) // 2 + 100 * (n % 3) + signs + (2 - n) * (n <= 4)

        return mix

    def wanted(n):
        return (n * 7 + 3) // 2 + 100 * (n % 3) + (-n if n >= 4 and n != 9 else n - 1) + (2 - n) * (n <= 4)

    assert compiled(lambda *m: make(*m))(np.zeros(8), n) == wanted(n)


# ---------------------------------------------------------------- vectors


def make_vectors(simd, tracing):
    """One result of every operation on vectors, one after the other."""

    def run(work, n):
        V = simd.lanes(work)
        x, y = simd.load(work, 0), simd.load(work, V)
        scale = simd.get(work, 3)
        results = [
            x + y, x - 2.0, 3.0 - y, x * scale, x / y, -x, simd.fma(x, y, 0.25), simd.full(work, n) * x,
            simd.select_less(x, y, x, 7.0), simd.rint(x * 3.0), simd.copysign(x, 1.0 - y), simd.absolute(1.0 - x),
            simd.sqrt(x), simd.exponent(x * 9.0), simd.pow2(simd.rint(x * 4.0)),
            simd.three_halves(simd.pow2(simd.rint(y))), simd.first_lane(x),
            simd.sum_everywhere(x), simd.sum_across(x, y, x * y), simd.broadcast(work, n),
            simd.broadcast_lane(x, 1, V), simd.part(simd.concat(x, y), V - 1, V), simd.load_part(work, 0, V - 1),
            simd.full(work, simd.sum_lanes(x * y)),
            simd.full(work, 0.0) + simd.concat(*[simd.sum_each(x, y)] * (V // 2)),
        ]  # fmt: skip
        for place, value in enumerate(results):
            simd.store(work, (2 + place) * V, value)
        simd.store_part(work, (2 + len(results)) * V, y, 1)
        return len(results)

    return run


@pytest.mark.parametrize("dtype", DTYPES)
def test_operations_on_vectors(dtype):
    lanes = simd.lanes(np.empty(0, dtype))
    start = np.random.RandomState(0).uniform(0.5, 2.0, 30 * lanes).astype(dtype)
    got, wanted = start.copy(), start.copy()
    assert compiled(make_vectors)(got, 2) == plain(make_vectors)(wanted, 2)
    np.testing.assert_allclose(got, wanted, rtol=4 * np.finfo(dtype).eps)
    assert (got != start).mean() > 0.8


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_square_is_turned(dtype):
    def make(simd, tracing):
        def turn(work, n):
            V = simd.lanes(work)
            simd.transpose(work, n, V, work, n + V * V, V)

        return turn

    lanes = simd.lanes(np.empty(0, dtype))
    work = np.arange(2 * lanes * lanes + 3, dtype=dtype)
    compiled(make)(work, 3)
    square, turned = work[3:].reshape(2, lanes, lanes)
    np.testing.assert_array_equal(turned, square.T)


def test_two_functions_of_one_name():
    """Each becomes a function of the machine's own, in one and the same module."""

    def make(simd, tracing):
        def one():
            @tracing.traced
            def mark(work, i):
                simd.put(work, i, 1.0)

            return mark

        def other():
            @tracing.traced
            def mark(work, i):
                simd.put(work, i, 2.0)

            return mark

        marks = one(), other()

        def both(work, n):
            for i, mark in enumerate(marks):
                mark(work, i)

        return both

    check(make)


# ---------------------------------------------------------------- misuse


@pytest.mark.parametrize(
    "misuse",
    [
        lambda work, n: 1 if n > 2 else 2,
        lambda work, n: [i for i in range(n)],
        lambda work, n: tracing.cond(n > 2, lambda: 1, lambda: (1, 2)),
        lambda work, n: tracing.fori_loop(0, n, 1, lambda i, s: (s, s), 0),
        lambda work, n: next(iter(tracing.steps(0, n))),
    ],
)
def test_what_cannot_be_traced_is_refused(misuse):
    with pytest.raises(Exception, match=r"traced|mismatch|shorter|longer|argument|terminator|parsing|int"):
        compiled(lambda *_: misuse)(np.zeros(8), 3)
