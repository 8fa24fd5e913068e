"""How many steps a run takes at a time: long spans again after whatever made one last."""

import signal
import threading
import time

import numpy as np
import pytest
from engine_cases import job_with

import fastxor as fx
from fastxor import second_order, time_slice
from fastxor.backends import fused
from fastxor.backends.fused import choices, session
from fastxor.time_slice import SLICE_SECONDS, TimeSlice, run_interruptible, undisturbed


def spans(steps_per_second, seconds, first, pauses=(), overhead=2e-5):
    """The (steps, seconds) of each span of a run of so many seconds; those numbered in `pauses` last 5 s longer."""
    taken, kept = [], TimeSlice(first / SLICE_SECONDS * time_slice._FIRST_SLICE_DIVISOR)
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
    assert all(SLICE_SECONDS / 2 < time < 2 * SLICE_SECONDS for _, time in taken[8:])


@pytest.mark.parametrize("speed", [3e7, 2e3, 30.0])
@pytest.mark.parametrize("pauses", [(0,), (3,), (0, 1, 2, 20)])
def test_a_pause_does_not_leave_short_spans_behind(speed, pauses):
    taken = spans(speed, 60, SLICE_SECONDS * speed, pauses)
    usual = [time for number, (_, time) in enumerate(taken) if number not in pauses]
    assert len(usual) < 1.1 * 60 / SLICE_SECONDS
    assert all(SLICE_SECONDS / 2 < time < 2 * SLICE_SECONDS for time in usual[-20:])


def test_steps_longer_than_a_span_are_taken_one_by_one():
    assert [steps for steps, _ in spans(2.0, 10, 50)][1:] == [1] * len(spans(2.0, 10, 50)[1:])


def test_a_clock_that_stands_still():
    kept = TimeSlice(10 / SLICE_SECONDS * time_slice._FIRST_SLICE_DIVISOR)
    kept.took(10, 0.0)
    assert kept.steps == 10 * time_slice._MAX_GROWTH


def test_after_a_short_first_span_the_guess_is_trusted_as_far_as_the_clock_allows():
    guess = 1e6 * SLICE_SECONDS / time_slice._FIRST_SLICE_DIVISOR
    kept = TimeSlice(1e6, first=100)
    assert kept.steps == 100
    kept.took(100, 1e-6)
    assert kept.steps == guess
    kept = TimeSlice(1e6, first=100)
    kept.took(100, 1.0)  # as where a callback sleeps
    assert kept.steps == 100 * SLICE_SECONDS


def test_there_is_always_a_step():
    assert TimeSlice(0.01).steps == 1


@pytest.mark.parametrize("batch_size", [None, 65])
def test_a_run_that_was_stopped_for_long_goes_on_as_before(monkeypatch, batch_size):
    """A thousand steps a second, and an hour in which the process was stopped."""
    job = job_with(
        (33, 50, 3), ("relu",), "softmax", "cross_entropy", "adam", batch_size, 300, "float32", iterations=4000
    )
    wanted, taken, took = job.train("numba", threads=1), [], TimeSlice.took

    def after_an_hour(kept, steps, seconds):
        taken.append(steps)
        took(kept, steps, 3600.0 if len(taken) == 3 else steps / 1000)

    monkeypatch.setattr(TimeSlice, "took", after_an_hour)
    run = job.train("numba", threads=1)
    assert sum(taken) == 4000
    assert taken[3] == 1
    assert len(taken) < 4000 / (1000 * SLICE_SECONDS) + 10
    for key, array in wanted.parameters.items():
        assert (run.parameters[key] == array).all()


# ---------------------------------------------------------------- what takes long


def test_what_is_waited_for_is_what_comes():
    with np.errstate(over="ignore"):
        assert run_interruptible(lambda: (threading.current_thread().name, np.geterr()["over"])) == (
            "fastxor-patience",
            "ignore",
        )

    def fail():
        raise LookupError("not there")

    with pytest.raises(LookupError, match="not there"):
        run_interruptible(fail)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("what", ["a step", "the closing cost", "Levenberg-Marquardt"])
def test_ctrl_c_does_not_wait_for_what_takes_long(monkeypatch, what):
    """At the fourth call of what is done, which takes seconds; the run loses nothing but that."""
    curve = fx.Network([1, 3, 1], output="identity")
    X = np.linspace(-1, 1, 9)[None]
    optimizer = fx.LevenbergMarquardt() if what == "Levenberg-Marquardt" else fx.Adam(0.1)
    arguments = {"iterations": 6, "random_state": 0, "optimizer": optimizer, "backend": "numba"}
    whole = fx.train(curve, X, X**2, **arguments)
    released, calls = threading.Event(), []

    def slow(function):
        def slowly(*values):
            calls.append(values)
            if len(calls) == (1 if what == "the closing cost" else 4):
                threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
                began.append(time.perf_counter())
                released.wait(10)
            return function(*values)

        return slowly

    began = []
    monkeypatch.setattr(TimeSlice, "steps", 1)
    if what == "a step":
        monkeypatch.setattr(session, "MAX_BLOCKING_SECONDS", 0.0)
        monkeypatch.setattr(session, "run_threads", slow(session.run_threads))
    elif what == "the closing cost":
        monkeypatch.setattr(choices, "MIN_INTERRUPTIBLE_WORK", 0)
        monkeypatch.setattr(fused, "run_interruptible", lambda call: run_interruptible(slow(call)))
    else:
        monkeypatch.setattr(second_order, "MAX_BLOCKING_SECONDS", 0.0)
        kind = second_order.LevenbergMarquardtSession
        monkeypatch.setattr(kind, "_step", slow(kind._step))
    with pytest.raises(fx.TrainingInterrupted) as raised:
        fx.train(curve, X, X**2, **arguments)
    took = time.perf_counter() - began[0]
    released.set()
    assert took < 1  # 0.05 of it before Ctrl-C
    monkeypatch.undo()
    run = raised.value.result
    assert run.iterations == {"a step": 3, "the closing cost": 6, "Levenberg-Marquardt": 3}[what]
    again = fx.train(curve, X, X**2, resume=run, iterations=6 - run.iterations, backend="numba")
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], array)


@pytest.mark.usefixtures("ctrl_c")
def test_what_had_been_reached_is_put_together_undisturbed():
    """Another Ctrl-C is not listened to; one that came just before has it done again."""
    calls = []

    def reached():
        calls.append(1)
        signal.raise_signal(signal.SIGINT)
        return len(calls)

    assert undisturbed(reached) == 1

    def interrupted_once():
        if len(calls) == 1:
            calls.append(1)
            raise KeyboardInterrupt
        return reached()

    assert undisturbed(interrupted_once) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    answers = []
    thread = threading.Thread(target=lambda: answers.append(undisturbed(lambda: 5)))  # which hears no signals
    thread.start()
    thread.join()
    assert answers == [5]
