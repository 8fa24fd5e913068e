"""Who looks on while a run goes on: validation, early stopping, callbacks, progress, checkpoints, Ctrl-C."""

import copy
import logging
import pickle
import signal
import sys
import threading
import time
import types
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from support import X as XOR
from support import Y as XOR_Y
from support import assert_same_dict
from test_resume import assert_same_run
from test_training import Interruption

import fastxor as fx
from fastxor import observers, tutorial, validation
from fastxor.backends import resolve
from fastxor.history import History
from fastxor.loop import Run
from fastxor.run_setup import held_out

NET = fx.Network([2, 3, 1])
DRAW = np.random.RandomState(5)
X, Y = DRAW.randn(2, 23), (DRAW.rand(1, 23) > 0.5).astype(float)
OTHERS = DRAW.randn(2, 9), (DRAW.rand(1, 9) > 0.5).astype(float)


def train(**arguments):
    start = {} if arguments.get("resume") else {"initialization": "normal"}
    return fx.train(NET, X, Y, **{"optimizer": fx.Adam(0.03), "random_state": 0} | start | arguments)


LENGTHS = {
    "steps": {"iterations": 40, "interval": 7},
    "batches": {"iterations": 40, "interval": 7, "batch_size": 5},
    "epochs": {"epochs": 6, "batch_size": 5},
    "epochs of a step": {"epochs": 30},
}


@pytest.fixture(params=LENGTHS)
def length(request):
    return LENGTHS[request.param]


def steps_of(run, steps, length):
    """Only the first of them, of a run without anybody who looks on."""
    return train(**{key: value for key, value in length.items() if key != "epochs"} | {"iterations": steps})


# ---------------------------------------------------------------- validation


def test_validation_is_looked_at_at_every_record(core, length):
    plain = train(backend=core, **length)
    run = train(backend=core, validation=OTHERS, gradient_norm=True, **length)
    assert_same_dict(run.parameters, plain.parameters, rtol=0)
    assert run.history == plain.history
    assert np.isfinite(run.history.validation_cost).all()
    for iteration, value, norm in zip(
        run.history.iteration, run.history.validation_cost, run.history.gradient_norm, strict=True
    ):
        then = train(**{**length, "epochs": None, "interval": None, "iterations": int(iteration)}, backend=core)
        assert value == pytest.approx(then.cost(*OTHERS), rel=1e-9)
        grads = NET.gradient(then.parameters, X, Y)[1]
        assert norm == pytest.approx(np.sqrt(sum((g**2).sum() for g in grads.values())), rel=1e-9)


def test_a_run_with_validation_may_be_cut(core, length):
    whole = train(backend=core, validation=OTHERS, **length)
    for cut in (1, 7, 13, 21):
        length_of_part = {key: value for key, value in length.items() if key not in ("iterations", "epochs")}
        rhythm = {"epochs": 0} if "epochs" in length else {"iterations": 0}
        run = train(backend=core, validation=OTHERS, **length_of_part, **rhythm)
        for steps in (cut, whole.iterations - cut):
            run = fx.train(NET, X, Y, resume=run, iterations=steps, validation=OTHERS, backend=core)
        assert_same_run(run, whole)


def test_a_fraction_is_held_out(core):
    run = train(validation=0.25, epochs=4, batch_size=5, backend=core)
    kept, out = held_out(NET, Y, 0.25, run._settings["seed"])
    assert sorted([*kept, *out]) == list(range(23))
    assert len(out) == 6
    parts = fx.train(
        NET, X[:, kept], Y[:, kept], epochs=4, batch_size=5, validation=(X[:, out], Y[:, out]),
        optimizer=fx.Adam(0.03), initialization="normal", random_state=0, backend=core,
    )  # fmt: skip
    assert_same_run(run, parts)
    again = train(validation=0.25, epochs=2, batch_size=5, backend=core)
    assert_same_run(fx.train(NET, X, Y, resume=again, epochs=2, backend=core), run)
    assert_same_run(fx.train(NET, X, Y, resume=again, epochs=2, validation=0.25, backend=core), run)
    for other in (0.5, OTHERS):
        with pytest.raises(ValueError, match=r"validation comes from the run that is resumed, 0.25, and stays; got"):
            fx.train(NET, X, Y, resume=again, validation=other)


@pytest.mark.parametrize("number", [np.float32(0.25), np.array(0.25)])
def test_a_fraction_may_be_numpys(number):
    assert_same_run(train(iterations=9, validation=number), train(iterations=9, validation=0.25))


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("sizes", [(100, 100), (70, 20, 10), (50, 3, 2, 1), (1, 1), (2, 1)])
def test_what_is_held_out_has_all_classes_alike(sizes, fraction):
    net = fx.Network([1, len(sizes)], output="softmax")
    classes = np.repeat(np.arange(len(sizes)), sizes)
    splits = [held_out(net, np.eye(len(sizes))[:, classes], fraction, seed) for seed in (1, 1, 2)]
    for kept, out in splits:
        assert sorted([*kept, *out]) == list(range(sum(sizes)))
        assert len(out) >= 1
        for number, size in enumerate(sizes):
            chosen = int((classes[out] == number).sum())
            assert abs(chosen - fraction * size) <= 1.5
            assert chosen < size or size == 1
    np.testing.assert_array_equal(splits[0][1], splits[1][1])
    if sum(sizes) > 50 and fraction > 0.05:
        assert splits[0][1].tolist() != splits[2][1].tolist()


def test_values_are_held_out_at_random():
    net = fx.Network([1, 1], output="identity")
    kept, out = held_out(net, DRAW.randn(1, 50), 0.2, 7)
    assert (len(kept), len(out)) == (40, 10)
    assert sorted([*kept, *out]) == list(range(50))


# ---------------------------------------------------------------- stopping


def scripted(monkeypatch, core, costs):
    """Let the validation data, which are told by their number of samples, have these costs."""
    backend, values = resolve(core), iter(costs)
    original = backend.loss_on

    def loss_on(network, x, y):
        return (lambda theta: next(values)) if x.shape[1] == 9 else original(network, x, y)

    monkeypatch.setattr(backend, "loss_on", loss_on)


@pytest.mark.parametrize("restore_best", [True, False])
def test_patience_is_counted_in_records(monkeypatch, core, restore_best):
    costs = [5.0, 3.0, 3.5, 2.0, 2.5, 2.0, 1.9, 1.95, 9.0, 9.0]
    for patience, min_delta, best, last in ((1, 0.0, 1, 2), (2, 0.0, 3, 5), (3, 0.5, 3, 6), (4, 0.0, 6, None)):
        scripted(monkeypatch, core, costs)
        stopping = fx.EarlyStopping(patience, min_delta, restore_best)
        run = train(iterations=70, interval=7, validation=OTHERS, early_stopping=stopping, backend=core)
        reached = 7 * best if restore_best else 70 if last is None else 7 * last
        assert run.iterations == reached
        assert run.history.validation_cost.tolist() == costs[: 10 if last is None else last + 1]
        assert_same_dict(run.parameters, train(iterations=reached, backend=core).parameters, rtol=0)
        monkeypatch.undo()


def test_early_stopping_in_epochs(monkeypatch, core):
    scripted(monkeypatch, core, [5.0, 3.0, 4.0, 4.0, 1.0])
    rule = fx.EarlyStopping(2)
    run = train(epochs=5, batch_size=5, validation=OTHERS, early_stopping=rule, backend=core)
    assert (run.iterations, list(run.history)) == (10, [5, 10, 15, 20])
    monkeypatch.undo()
    assert_same_dict(run.parameters, train(epochs=2, batch_size=5, backend=core).parameters, rtol=0)


@pytest.mark.parametrize("way", ["as it is", "saved"])
def test_patience_goes_on(tmp_path, core, length, way):
    """A run that is cut stops where it would have, in the state in which it would have."""
    rule = {"validation": OTHERS, "early_stopping": fx.EarlyStopping(2), "backend": core}
    fast = {"optimizer": fx.Adam(0.4)}
    whole = train(**fast, **length, **rule)
    assert whole.history.iteration[-1] < train(**fast, **length).iterations - 8
    for cut in range(1, int(whole.history.iteration[-1]), 5):
        part = {key: value for key, value in length.items() if key not in ("iterations", "epochs")}
        run = train(**fast, **part, **({"epochs": 0} if "epochs" in length else {"iterations": 0}), **rule)
        unrestored = fx.EarlyStopping(2, restore_best=False)
        run = fx.train(NET, X, Y, resume=run, iterations=cut, **{**rule, "early_stopping": unrestored})
        if way == "saved":
            run.save(tmp_path / "run.npz")
            run = fx.load(tmp_path / "run.npz")
        run = fx.train(NET, X, Y, resume=run, iterations=200, **rule)
        assert_same_run(run, whole)


def test_a_target_that_is_reached(core, length):
    costs = [*train(**length, backend=core).history.items()]
    target = min(cost for _, cost in costs[:3])
    wanted = next((iteration for iteration, cost in costs if cost <= target))
    run = train(**length, target_cost=target, backend=core)
    assert run.iterations == wanted
    assert [*run.history.items()] == [item for item in costs if item[0] <= wanted]
    assert_same_dict(run.parameters, steps_of(run, wanted, length | {"backend": core}).parameters, rtol=0)


def test_a_run_that_was_stopped_may_go_on(core, length):
    whole = train(**length, backend=core)
    stopped = train(**length, callback=lambda moment: moment.iteration >= 12, backend=core)
    assert 12 <= stopped.iterations < whole.iterations
    assert_same_run(fx.train(NET, X, Y, resume=stopped, backend=core), whole)


def test_early_stopping_is_a_small_frozen_dataclass():
    assert repr(fx.EarlyStopping()) == "EarlyStopping(patience=10, min_delta=0.0, restore_best=True)"
    with pytest.raises(FrozenInstanceError):
        fx.EarlyStopping().patience = 2


# ---------------------------------------------------------------- callbacks


def test_a_callback_sees_every_record(core, length):
    moments = []
    run = train(**length, backend=core, callback=moments.append)
    assert [(moment.iteration, moment.cost) for moment in moments] == [*run.history.items()]
    assert [moment.epoch for moment in moments] == run.history.epoch.tolist()
    assert all(np.isnan(moment.validation_cost) for moment in moments)
    for moment in moments[::-2] + moments:  # in any order, and when the run is over
        wanted = steps_of(run, moment.iteration, length | {"backend": core}).parameters
        assert_same_dict(moment.parameters, wanted, rtol=0)


def test_what_is_kept_of_moments_stays(core):
    """Some of them, in different ways; those that nobody keeps may be one object."""
    kept, asked, seen = [], {}, []

    def keep(moment):
        seen.append((moment.iteration, moment.cost))
        if moment.iteration % 3 == 0:
            kept.append(moment)
        elif moment.iteration % 3 == 1:
            asked[moment.iteration] = lambda: moment.cost

    run = train(iterations=40, interval=1, backend=core, callback=keep)
    assert seen == [*run.history.items()]
    assert [(moment.iteration, moment.cost) for moment in kept] == seen[::3]
    assert [(iteration, cost()) for iteration, cost in asked.items()] == seen[1::3]


def test_parameters_are_copies(core):
    def spoil(moment):
        moment.parameters["W1"][:] = np.nan

    run = train(iterations=40, interval=7, callback=spoil, backend=core)
    assert_same_dict(run.parameters, train(iterations=40, backend=core).parameters, rtol=0)


def test_a_moment(core):
    moments = []
    train(iterations=8, interval=7, callback=moments.append, validation=OTHERS, backend=core)
    moment = moments[1]
    assert repr(moment).startswith("Moment(iteration=7, epoch=7, cost=0.")
    assert "validation_cost=0." in repr(moment)
    for name in ("iteration", "colour"):
        with pytest.raises(AttributeError):
            setattr(moment, name, 3)


@pytest.mark.parametrize("validation", [None, OTHERS])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda moment: pickle.loads(pickle.dumps(moment))])
def test_a_moment_goes_elsewhere(core, length, validation, again):
    """To another process, say: as it was, and without the run."""
    seen = []

    def send(moment):
        seen.append((moment.parameters, repr(moment), again(moment)))

    run = train(**length, callback=send, validation=validation, backend=core)
    assert len(seen) == len(run.history)
    for (parameters, text, moment), epoch in zip(seen, run.history.epoch.tolist(), strict=True):
        assert repr(moment) == text
        assert moment.epoch == epoch
        moment.parameters["W1"][:] = np.nan
        assert_same_dict(moment.parameters, parameters, rtol=0)
    assert len(pickle.dumps(moment)) < 2000


@pytest.mark.parametrize("answer", [True, np.True_])
def test_true_stops(core, length, answer):
    run = train(**length, callback=lambda moment: answer if moment.iteration > 12 else None, backend=core)
    wanted = next(iteration for iteration in train(**length, backend=core).history if iteration > 12)
    assert run.iterations == wanted == run.history.iteration[-1]
    assert_same_dict(run.parameters, steps_of(run, wanted, length | {"backend": core}).parameters, rtol=0)


@pytest.mark.parametrize("answer", [None, False, 1, "yes", 0.5])
def test_nothing_else_does(answer):
    assert train(iterations=40, callback=lambda moment: answer).iterations == 40


def test_a_callback_that_raises_ends_the_run(core, length):
    class Mine(Exception):
        pass

    def fail(moment):
        if moment.iteration > 12:
            raise Mine("for a reason")

    with pytest.raises(Mine, match="for a reason") as raised:
        train(**length, callback=fail, backend=core)
    result = raised.value.result
    wanted = next(iteration for iteration in train(**length, backend=core).history if iteration > 12)
    assert result.iterations == wanted
    assert raised.value.__notes__ == [f"after {wanted} iterations of training; they are kept in .result"]
    assert_same_run(fx.train(NET, X, Y, resume=result, backend=core), train(**length, backend=core))


def test_a_program_that_ends_in_a_callback_has_saved_its_run(core, length, tmp_path):
    def leave(moment):
        if moment.iteration > 12:
            raise SystemExit(3)

    with pytest.raises(SystemExit) as raised:
        train(**length, callback=leave, checkpoint=tmp_path / "run.npz", backend=core)
    assert raised.value.code == 3
    kept = fx.load(tmp_path / "run.npz")
    assert kept.iterations == raised.value.result.iterations > 12
    assert_same_run(fx.train(NET, X, Y, resume=kept, backend=core), train(**length, backend=core))


@pytest.mark.parametrize("restore_best", [True, False])
def test_an_exception_at_the_record_that_was_to_be_the_last_one(core, length, restore_best):
    options = {"validation": OTHERS, "early_stopping": fx.EarlyStopping(2, 1.0, restore_best), "backend": core}
    seen, left = [], []
    whole = train(**length, **options, callback=lambda moment: seen.append(moment.iteration))
    assert len(seen) == 3  # for nothing is better by that much

    def leave(moment):
        if moment.iteration == seen[-1] and not left:
            left.append(moment)
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError) as raised:
        train(**length, **options, callback=leave)
    run = fx.train(NET, X, Y, resume=raised.value.result, **options, callback=leave)
    assert_same_run(run, whole)


def test_an_exception_at_the_record_that_reaches_the_target(core, length):
    costs = [*train(backend=core, **length).history.values()]
    options, seen = {"target_cost": costs[2], "backend": core}, []
    whole = train(**length, **options)
    assert whole.iterations in whole.history

    def leave(moment):
        seen.append(moment.iteration)
        if seen.count(whole.iterations) == 1 and moment.iteration == whole.iterations:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError) as raised:
        train(**length, **options, callback=leave)
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, **options, callback=leave), whole)
    assert fx.train(NET, X, Y, resume=whole, iterations=9, **options).iterations == whole.iterations


# ---------------------------------------------------------------- Ctrl-C


def test_an_interrupt_in_a_callback_is_made_up_for(core, length):
    """The record that was being looked at is looked at again."""
    whole, seen = train(**length, validation=OTHERS, backend=core), []

    def interrupt(moment):
        seen.append(moment.iteration)
        if moment.iteration > 12 and seen.count(moment.iteration) == 1:
            raise KeyboardInterrupt

    run = None
    for _ in range(len(whole.history) + 1):
        try:
            options = {"validation": OTHERS, "callback": interrupt, "backend": core}
            run = train(**length, **options) if run is None else fx.train(NET, X, Y, resume=run, **options)
            break
        except fx.TrainingInterrupted as error:
            run = error.result
    assert_same_run(run, whole)
    assert list(dict.fromkeys(seen)) == list(whole.history)
    assert len(seen) == len(whole.history) + sum(iteration > 12 for iteration in whole.history)


def test_an_interrupt_where_a_run_is_being_stopped(monkeypatch, core, length):
    left = [None]

    def interrupted(run, state, rewind=Run.rewind_to):
        if left:
            left.pop()
            raise KeyboardInterrupt
        rewind(run, state)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "rewind_to", interrupted)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            train(**length, callback=lambda moment: moment.iteration >= 12, backend=core)
    assert raised.value.result.iterations > 10
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, backend=core), train(**length, backend=core))


def test_an_interrupt_when_the_parameters_have_been_asked_for(core, length):
    def interrupt(moment):
        if moment.iteration > 12:
            assert moment.parameters
            raise KeyboardInterrupt

    with pytest.raises(fx.TrainingInterrupted) as raised:
        train(**length, callback=interrupt, backend=core)
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, backend=core), train(**length, backend=core))


@pytest.mark.filterwarnings("ignore::fastxor.DivergenceWarning")
def test_an_interrupt_at_any_line_is_made_up_for(monkeypatch, core, length):
    """At 30 random lines of the package, with all that may look on; the run that goes on ends as the whole one does."""
    monkeypatch.setattr("fastxor.time_slice.SLICE_SECONDS", 1e-4)  # so that there are many spans
    rule = fx.EarlyStopping(3, restore_best=False)
    seen = []
    options = {"validation": OTHERS, "early_stopping": rule, "gradient_norm": True, "backend": core}
    options |= {"callback": lambda moment: seen.append((moment.iteration, moment.parameters["b2"].item()))}
    whole = train(**length, **options)
    wanted = dict(seen)
    with Interruption() as counted:
        train(**length, **options)
    begins = next(place for place, (name, *_) in enumerate(counted.lines) if name == "execute")
    compared = 0
    for line in np.random.RandomState(1).randint(begins, len(counted.lines), 30).tolist():
        seen.clear()
        try:
            with Interruption(line):
                run = train(**length, **options)
        except fx.TrainingInterrupted as error:
            run = fx.train(NET, X, Y, resume=error.result, **options)
        if run.iterations <= whole.iterations:  # else it had come to its end, and was told to go on
            assert_same_run(run, whole)
            assert dict(seen) == wanted
            compared += 1
    assert compared > 20


def test_an_interrupt_while_the_backend_is_loaded(monkeypatch, core, length):
    """Which takes a second in a new process."""
    with monkeypatch.context() as patch:
        patch.setattr("fastxor.training.resolve", interrupt)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            train(**length, backend=core)
    assert raised.value.result.iterations == 0
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, backend=core), train(**length, backend=core))


def test_an_interrupt_while_a_models_backend_is_loaded(monkeypatch, core):
    data = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]], 2, 2, 1
    options = {"learning_rate": 0.3, "print_cost": False, "random_state": 2, "backend": core}
    with monkeypatch.context() as patch:
        patch.setattr("fastxor.tutorial.resolve", interrupt)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            fx.model(*data, 100, **options)
    assert raised.value.result.iterations == 0
    rest = fx.model(*data, 100, parameters=raised.value.parameters, **options)
    np.testing.assert_array_equal(rest["W1"], fx.model(*data, 100, **options)["W1"])


def test_an_interrupt_while_data_are_looked_at(monkeypatch, core, length):
    seen = []

    def look(*arguments, **data):
        seen.append(data)
        if len(seen) == 1:
            raise KeyboardInterrupt

    whole = train(**length, backend=core)
    with monkeypatch.context() as patch:
        patch.setattr("fastxor.validation.check_values", look)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            train(**length, backend=core)
    assert raised.value.result.iterations == 0
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, backend=core), whole)
    half = train(**length, backend=core, callback=lambda moment: moment.iteration > 9)
    seen.clear()
    with monkeypatch.context() as patch:
        patch.setattr("fastxor.validation.check_values", look)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            fx.train(NET, X, Y, resume=half, backend=core)
    assert raised.value.iterations == half.iterations
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, backend=core), whole)


def interrupt(*_):
    raise KeyboardInterrupt


SOURCES = {
    "Generator": lambda: np.random.default_rng(3),
    "RandomState": lambda: np.random.RandomState(3),
    "global": lambda: np.random.seed(3),
}


@pytest.mark.parametrize("source", SOURCES)
def test_an_interrupt_after_the_first_draws(monkeypatch, source, core):
    """A generator is where it was when all is drawn again."""
    monkeypatch.setattr("fastxor.run_setup._MANY", 0)
    settings = {"batch_size": 5, "iterations": 40, "validation": 0.2, "backend": core}
    whole = train(random_state=SOURCES[source](), **settings)
    original, draws = validation.seed, []

    def seed(rng):
        draws.append(original(rng))
        if len(draws) == 1:
            raise KeyboardInterrupt
        return draws[-1]

    with monkeypatch.context() as patch:
        patch.setattr("fastxor.validation.seed", seed)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            train(random_state=SOURCES[source](), **settings)
    assert draws[0] == draws[1]
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result, backend=core), whole)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_twice_loses_nothing(monkeypatch, core, length):
    """The second one comes while what had been reached is put together."""
    whole, original = train(**length, backend=core), History._cut

    def cut(*arguments):
        signal.raise_signal(signal.SIGINT)
        original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(History, "_cut", cut)
        patch.setattr("fastxor.loop.TimeSlice.took", interrupt)  # the first one, after a span
        with pytest.raises(fx.TrainingInterrupted) as raised:
            train(**length, backend=core)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    reached = raised.value.result
    rest = whole.iterations - reached.iterations
    assert_same_run(fx.train(NET, X, Y, resume=reached, iterations=rest, backend=core), whole)


def test_an_interrupt_before_the_tutorials_model_begins(monkeypatch, core):
    arguments = (XOR, XOR_Y, 2, 2, 1, 500, 0.3)
    settings = {"random_state": 2, "print_cost": False, "backend": core}
    whole, original, calls = fx.model(*arguments, **settings), tutorial.start, []

    def start(*given):
        calls.append(given)
        return interrupt() if len(calls) == 1 else original(*given)

    for name, change in (("resolve", interrupt), ("start", start)):
        with monkeypatch.context() as patch:
            patch.setattr(f"fastxor.tutorial.{name}", change)
            with pytest.raises(fx.TrainingInterrupted) as raised:
                fx.model(*arguments, **settings)
        result = raised.value.result
        assert result.iterations == 0
        assert_same_dict(fx.train(result.network, XOR, XOR_Y, resume=result, backend=core).parameters, whole, rtol=0)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("core", "batch_size"), [("numpy", 4), ("numba", 4), ("numba", None)])
def test_ctrl_c_ends_a_run_at_once_and_loses_nothing(core, batch_size):
    arguments = {"optimizer": fx.Adam(0.01), "batch_size": batch_size, "random_state": 0, "backend": core}
    fx.train(NET, X, Y, iterations=10, **arguments)
    took = []
    for delay in (0.15, 1, 5):  # a machine with other work may not have begun to train when the signal comes
        sent = []

        def send(sent=sent):
            sent.append(time.process_time())  # other programs may have the core
            signal.raise_signal(signal.SIGINT)

        timer = threading.Timer(delay, send)
        timer.start()
        try:
            with pytest.raises(fx.TrainingInterrupted) as raised:
                fx.train(NET, X, Y, iterations=10**12, interval=1000, **arguments)
        finally:
            timer.join()
        took.append(time.process_time() - sent[0])
        if took[-1] < 0.2 and raised.value.iterations:
            break
    assert min(took) < 0.2
    result = raised.value.result
    assert raised.value.iterations == result.iterations > 0
    steps = 501
    again = fx.train(NET, X, Y, resume=result, iterations=steps, backend=core)
    whole = fx.train(NET, X, Y, iterations=result.iterations + steps, interval=1000, **arguments)
    assert_same_run(again, whole)


def test_the_tutorials_model_may_be_gone_on_with(monkeypatch, core):
    def stop(text):
        if "100" in text:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("builtins.print", stop)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            fx.model(XOR, XOR_Y, 2, 2, 1, 500, 0.3, random_state=2, backend=core)
    result = raised.value.result
    assert result.iterations == raised.value.iterations == 100
    run = fx.train(result.network, XOR, XOR_Y, resume=result, backend=core)
    wanted = fx.model(XOR, XOR_Y, 2, 2, 1, 500, 0.3, random_state=2, print_cost=False, backend=core)
    assert_same_dict(run.parameters, wanted, rtol=0)
    assert list(run.history) == list(range(0, 501, 100))


# ---------------------------------------------------------------- progress


class Bar:
    """Stands for tqdm's."""

    def __init__(self, total, initial, **_):
        self.total, self.n, self.closed, self.texts = total, initial, 0, []
        BARS.append(self)

    def update(self, n):
        self.n += n

    def set_postfix_str(self, text, refresh):
        self.texts.append(text)

    def close(self):
        self.closed += 1


BARS = []


@pytest.fixture
def bars(monkeypatch):
    BARS.clear()
    auto = types.SimpleNamespace(tqdm=Bar)
    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(auto=auto))
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    return BARS


def test_a_bar(bars, core, length):
    run = train(**length, progress=True, backend=core)
    assert_same_run(run, train(**length, backend=core))
    fx.train(NET, X, Y, resume=run, iterations=5, progress=True)
    assert [(bar.total, bar.n, bar.closed) for bar in bars] == [
        (run.iterations,) * 2 + (1,),
        (run.iterations + 5,) * 2 + (1,),
    ]
    assert bars[0].texts[-1] == f"cost {[*run.history.values()][-1]:.4g}"


def test_a_bar_is_closed_whatever_happens(bars):
    def fail(moment):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        train(iterations=40, progress=True, callback=fail)
    assert [bar.closed for bar in bars] == [1]


def test_without_tqdm_there_are_lines(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(observers, "_LOG_SECONDS", 0.0)
    for level in (logging.WARNING, logging.INFO):  # it is seen where nothing has been set up, too
        caplog.clear()
        with caplog.at_level(level, logger="fastxor"):
            train(iterations=40, progress=True)
        assert [record.levelno for record in caplog.records] == [level]
        assert caplog.messages[0].startswith("iteration 40 of 40, cost 0.")
        assert caplog.messages[0].endswith(" per second")


# ---------------------------------------------------------------- divergence


@pytest.mark.parametrize(
    ("patience", "words"),
    [(5, "the cost rose from .* to .*"), (500, "no longer finite at iteration 146, first in layer 2")],
)
def test_a_better_state_does_not_hide_divergence(core, patience, words):
    steep = np.arange(9.0)[None]
    options = {"validation": (100 * steep, steep), "early_stopping": fx.EarlyStopping(patience), "interval": 1}
    network = fx.Network([1, 3, 1], "relu", "identity")
    with pytest.warns(fx.DivergenceWarning, match=f"{words}; the best parameters, of iteration 0, were restored"):
        run = fx.train(network, 100 * steep, steep, optimizer=fx.SGD(10.0), random_state=0, backend=core, **options)
    assert run.iterations == 0


@pytest.mark.parametrize("validation", [None, OTHERS])
def test_bars_and_files_do_not_wait_for_a_slow_callback(monkeypatch, core, validation):
    """Spans get shorter, so that there is one every tenth of a second or so, from the first record on."""
    seen = []
    monkeypatch.setattr(observers.Observers, "span", lambda _, run: seen.append(run.state.completed))
    train(iterations=60, interval=1, validation=validation, callback=lambda moment: time.sleep(0.01), backend=core)
    assert seen[0] == 1
    assert len(seen) >= 4
    assert max(np.diff(seen)) <= 32


# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_is_there_at_the_end(tmp_path, core, length):
    path = tmp_path / "run.npz"
    run = train(**length, checkpoint=path, backend=core)
    assert_same_run(fx.load(path), run)


def test_checkpoints_are_written_while_it_goes_on(tmp_path, monkeypatch, core, length):
    """Any of them leads to the end."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("fastxor.time_slice.SLICE_SECONDS", 1e-6)  # so that there are many spans
    path, kept = tmp_path / "run.npz", []

    def keep(moment):
        if path.exists():
            kept.append(fx.load(path))

    options = {"checkpoint": path, "checkpoint_every": 0, "validation": OTHERS}
    whole = train(**length, **options, callback=keep, backend=core)
    assert any(0 < run.iterations < whole.iterations for run in kept)
    for run in kept:
        assert_same_run(fx.train(NET, X, Y, resume=run, validation=OTHERS, backend=core), whole)


def test_a_checkpoint_stays_where_it_was_named(tmp_path, monkeypatch):
    """A callback may change the working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = train(iterations=40, interval=7, callback=lambda moment: monkeypatch.chdir(tmp_path), checkpoint="run.npz")
    assert_same_run(fx.load(tmp_path / "here" / "run.npz"), run)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_checkpoint_after_ctrl_c(tmp_path):
    def stop(moment):
        if moment.iteration == 14:
            raise KeyboardInterrupt

    with pytest.raises(fx.TrainingInterrupted) as raised:
        train(iterations=40, interval=7, callback=stop, checkpoint=tmp_path / "run.npz")
    assert_same_run(fx.load(tmp_path / "run.npz"), raised.value.result)


def test_ctrl_c_ends_the_wait_for_a_file_too(tmp_path, monkeypatch):
    """As where it is far away, and the network is down: what had been reached is there, and a note."""

    def stop(moment):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(fx.TrainingInterrupted) as raised:
        train(iterations=40, callback=stop, checkpoint=tmp_path / "run.npz")
    assert raised.value.__notes__ == ["then KeyboardInterrupt"]
    assert_same_run(fx.train(NET, X, Y, resume=raised.value.result), train(iterations=40))
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_be_written_does_not_lose_the_run(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space left") as raised:
        train(iterations=40, checkpoint=tmp_path / "run.npz")
    assert_same_run(raised.value.result, train(iterations=40))


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation": 0.0}, ValueError, "validation, as a fraction of the samples, must be above 0"),
        ({"validation": 1.0}, ValueError, "validation must be below 1"),
        ({"validation": -0.1}, ValueError, "validation must be below 1 and not negative"),
        ({"validation": True}, TypeError, r"validation must be a pair \(X, Y\) or a fraction of the samples, got bool"),
        ({"validation": X}, TypeError, r"validation must be a pair \(X, Y\) or a fraction of the samples, got ndarray"),
        ({"validation": (X,)}, TypeError, r"validation must be a pair \(X, Y\) .* got tuple of 1"),
        ({"validation": (X.T, Y)}, ValueError, "validation: X must have n_x = 2 rows"),
        ({"validation": (X, Y[:, 1:])}, ValueError, "validation: Y must have shape"),
        ({"validation": (X, 2 * Y)}, ValueError, "validation: Y must lie between 0 and 1"),
        ({"validation": (X * np.nan, Y)}, ValueError, "validation: X must be finite"),
        ({"early_stopping": fx.EarlyStopping()}, ValueError, r"early_stopping needs validation, a pair \(X, Y\) or"),
        ({"early_stopping": 5, "validation": 0.2}, TypeError, r"early_stopping must be EarlyStopping\(…\), got 5"),
        ({"target_cost": "0.1"}, TypeError, "target_cost must be a real number"),
        ({"target_cost": np.nan}, ValueError, "target_cost must be finite"),
        ({"gradient_norm": 2}, TypeError, "gradient_norm must be True or False, got 2"),
        ({"progress": "yes"}, TypeError, "progress must be True or False, got 'yes'"),
        ({"gradient_norm": 0}, TypeError, "gradient_norm must be True or False, got 0"),
        ({"progress": 0}, TypeError, "progress must be True or False, got 0"),
        ({"target_cost": np.array([0.1, 0.2])}, TypeError, "target_cost must be a real number"),
        ({"callback": "print"}, TypeError, "callback must be a function of one argument, got 'print'"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be a path, got 3"),
        ({"checkpoint": "nowhere/run.npz"}, FileNotFoundError, "there is no folder"),
        ({"checkpoint_every": "60"}, TypeError, "checkpoint_every must be a real number, got '60'"),
        ({"checkpoint": "run.npz", "checkpoint_every": -1}, ValueError, "checkpoint_every must be finite and not neg"),
    ],
)
def test_refused(arguments, error, message):
    rng = np.random.RandomState(1)
    with pytest.raises(error, match=message):
        train(random_state=rng, **arguments)
    assert rng.random_sample() == np.random.RandomState(1).random_sample()  # nothing has been drawn


@pytest.mark.parametrize("name", ["patience", "min_delta", "restore_best"])
def test_early_stopping_refuses(name):
    wrong = {"patience": (0, 1.5, None), "min_delta": (-1, "0", np.nan), "restore_best": (1, None)}[name]
    for value in wrong:
        with pytest.raises((TypeError, ValueError), match=name):
            fx.EarlyStopping(**{name: value})


def test_a_sample_alone_cannot_be_divided():
    with pytest.raises(ValueError, match="validation, as a fraction of the samples, needs two samples at least, got 1"):
        fx.train(NET, X[:, :1], Y[:, :1], validation=0.5, random_state=0)
