"""The guard's logic, on made-up ratios: real regressions are red, noise is green, and a second look is all there is."""

import numpy as np
import pytest

from benchmarks import guard, timing
from fastxor.backends.fused._jit import VECTOR_BITS


class Ratios:
    """Stands in for measuring: gives these ratios, one for each look, and keeps the rounds that were asked for."""

    def __init__(self, *ratios):
        self.ratios, self.rounds = list(ratios), []

    def __call__(self, rounds):
        self.rounds.append(rounds)
        return self.ratios.pop(0)


def verdict(*looks, floor=5.0):
    said = []
    checks = [guard.Check(f"check {i}", look, {VECTOR_BITS: floor}) for i, look in enumerate(looks)]
    return guard.guard(checks, said.append), said


@pytest.fixture(autouse=True)
def x86(monkeypatch):
    monkeypatch.setattr(guard.platform, "machine", lambda: "x86_64")


def test_above_the_floor_is_green_at_the_first_look():
    look = Ratios(10.0)
    fine, said = verdict(look)
    assert fine
    assert look.rounds == [guard.ROUNDS]
    assert said == ["check 0: 10, floor 5: ok"]


def test_noise_is_green_at_the_second_look():
    look = Ratios(4.0, 9.0)
    fine, said = verdict(look)
    assert fine
    assert look.rounds == [guard.ROUNDS, guard.AGAIN]
    assert guard.AGAIN > guard.ROUNDS
    assert "4 at the first look" in said[0]


def test_a_regression_is_red_after_two_looks_and_no_more():
    look = Ratios(3.3, 3.4, 10.0)
    fine, said = verdict(look)
    assert not fine
    assert look.ratios == [10.0]
    assert said == ["check 0: 3.4, floor 5, 3.3 at the first look: TOO SLOW"]


def test_one_red_check_is_enough_and_all_are_looked_at():
    looks = Ratios(10.0), Ratios(3.0, 3.0), Ratios(4.0, 6.0), Ratios(7.0)
    fine, said = verdict(*looks)
    assert not fine
    assert [line.rpartition(": ")[2] for line in said] == ["ok", "TOO SLOW", "ok", "ok"]


def test_not_a_number_is_not_above_the_floor():
    assert not verdict(Ratios(float("nan"), float("nan")))[0]


def test_floors_are_lower_where_they_were_not_measured(monkeypatch):
    monkeypatch.setattr(guard.platform, "machine", lambda: "arm64")
    assert verdict(Ratios(2.6))[0]
    assert not verdict(Ratios(2.4, 2.4))[0]


class Clock:
    """Time that passes only when a job runs; a disturbed job takes up to ten times as long as it should."""

    def __init__(self, monkeypatch, disturbed):
        self.now, self.random, self.disturbed = 0.0, np.random.default_rng(0), disturbed
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def job(self, seconds):
        def run(iterations):
            slower = self.random.uniform(1, 10) if self.random.random() < self.disturbed else 1.0
            self.now += iterations * seconds * slower

        return run


@pytest.mark.parametrize(("slower", "green"), [(1, True), (3, False)])
def test_on_a_machine_that_is_disturbed_half_of_the_time(monkeypatch, slower, green):
    """A ratio of 10 with its floor at 5: 20 runs, each with half of the rounds disturbed."""
    clock = Clock(monkeypatch, disturbed=0.5)

    def ratio(rounds):
        times = timing.interleaved({"a": clock.job(1e-3), "b": clock.job(slower * 1e-4)}, rounds, 0.02)
        return times["a"].min() / times["b"].min()

    assert [verdict(ratio)[0] for _ in range(20)] == [green] * 20


@pytest.mark.parametrize("slow", range(4))
def test_a_call_that_compiles_does_not_shorten_the_timed_ones(monkeypatch, slow):
    clock = Clock(monkeypatch, disturbed=0)
    job, calls = clock.job(1e-5), iter(range(100))

    def run(iterations):
        clock.now += 5 * (next(calls) == slow)
        job(iterations)

    assert timing.length(run, 0.1) == pytest.approx(10_000)


def test_every_width_has_its_floor():
    assert all(set(check.floors) == {128, 256, 512} for check in guard.CHECKS)


def test_kernels_for_exact_sizes_are_put_back():
    before = guard.specialised.fits
    with pytest.raises(ZeroDivisionError), guard.general_kernels():
        1 / 0  # noqa: B018
    assert guard.specialised.fits is before
