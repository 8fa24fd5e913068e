"""How many steps a run takes at a time: long spans again after whatever made one last."""

import pytest
from engine_cases import job_with

from fastxor import pace
from fastxor.pace import SPAN, Pace


def spans(steps_per_second, seconds, first, pauses=(), overhead=2e-5):
    """The (steps, seconds) of each span of a run of so many seconds; those numbered in `pauses` last 5 s longer."""
    taken, kept = [], Pace(first / SPAN)
    while sum(time for _, time in taken) < seconds:
        steps = kept.steps
        time = steps / steps_per_second + overhead + 5 * (len(taken) in pauses)
        kept.took(steps, time)
        taken.append((steps, time))
    return taken


@pytest.mark.parametrize("speed", [3e7, 2e3, 30.0])
@pytest.mark.parametrize("first", [1, 1e3, 1e9])
def test_spans_soon_last_as_long_as_wanted(speed, first):
    taken = spans(speed, 5 + first / speed, first)
    assert all(SPAN / 2 < time < 2 * SPAN for _, time in taken[8:])


@pytest.mark.parametrize("speed", [3e7, 2e3, 30.0])
@pytest.mark.parametrize("pauses", [(0,), (3,), (0, 1, 2, 20)])
def test_a_pause_does_not_leave_short_spans_behind(speed, pauses):
    taken = spans(speed, 60, SPAN * speed, pauses)
    usual = [time for number, (_, time) in enumerate(taken) if number not in pauses]
    assert len(usual) < 1.1 * 60 / SPAN
    assert all(SPAN / 2 < time < 2 * SPAN for time in usual[-20:])


def test_steps_longer_than_a_span_are_taken_one_by_one():
    assert [steps for steps, _ in spans(2.0, 10, 50)][1:] == [1] * len(spans(2.0, 10, 50)[1:])


def test_a_clock_that_stands_still():
    kept = Pace(10 / SPAN)
    kept.took(10, 0.0)
    assert kept.steps == 10 * pace._GROWTH


def test_there_is_always_a_step():
    assert Pace(0.01).steps == 1


@pytest.mark.parametrize("batch_size", [None, 65])
def test_a_run_that_was_stopped_for_long_goes_on_as_before(monkeypatch, batch_size):
    """A thousand steps a second, and an hour in which the process was stopped."""
    job = job_with(
        (33, 50, 3), ("relu",), "softmax", "cross_entropy", "adam", batch_size, 300, "float32", iterations=4000
    )
    wanted, taken, took = job.train("numba", threads=1), [], Pace.took

    def after_an_hour(kept, steps, seconds):
        taken.append(steps)
        took(kept, steps, 3600.0 if len(taken) == 3 else steps / 1000)

    monkeypatch.setattr(Pace, "took", after_an_hour)
    run = job.train("numba", threads=1)
    assert sum(taken) == 4000
    assert taken[3] == 1
    assert len(taken) < 4000 / (1000 * SPAN) + 10
    for key, array in wanted.parameters.items():
        assert (run.parameters[key] == array).all()
