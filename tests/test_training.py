"""A run that is cut short or goes wrong keeps what it had reached, and says so at the line that asked for it."""

import builtins
import copy
import pickle
import signal
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest
from support import PACKAGE, X, Y, assert_no_alias, assert_same_dict, plain_parameters, plain_run, run_python

import fastxor as fx
from fastxor.backends import reference, resolve
from fastxor.backends.fused import choices
from fastxor.loop import Run
from fastxor.optimizers import Optimizer
from fastxor.state import Job, Shuffle, State
from fastxor.time_slice import TimeSlice


def interrupted_at(line, monkeypatch, core, start):
    """The exception of a run during whose printing of that line Ctrl-C comes."""
    printed = []

    def stop(text):
        printed.append(text)
        if len(printed) == line:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "print", stop)
        with pytest.raises(KeyboardInterrupt) as raised:
            fx.model(X, Y, 2, 2, 1, 500, 0.3, parameters=start, backend=core)
    assert len(printed) == line
    return raised.value


@pytest.mark.parametrize("line", [1, 3])
def test_an_interrupted_run_hands_over_what_it_reached(monkeypatch, core, line):
    start = plain_parameters(2, 2, 1)
    error = interrupted_at(line, monkeypatch, core, start)
    assert isinstance(error, fx.TrainingInterrupted)
    assert 100 * (line - 1) <= error.iterations <= 501
    assert str(error.iterations) in str(error)
    assert_same_dict(error.parameters, plain_run(X, Y, start, error.iterations, 0.3)[0], rtol=1e-9)


def test_an_interrupted_run_can_be_finished(monkeypatch, core):
    start = plain_parameters(2, 2, 1)
    error = interrupted_at(2, monkeypatch, core, start)
    parameters = error.parameters
    if error.iterations < 501:
        left = 500 - error.iterations
        parameters = fx.model(X, Y, 2, 2, 1, left, 0.3, parameters=parameters, print_cost=False, backend=core)
    assert_same_dict(parameters, plain_run(X, Y, start, 501, 0.3)[0], rtol=1e-9)


def test_the_divergence_warning_points_at_the_call(core):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fx.model(X, Y, 2, 2, 1, 100, 1e6, random_state=2, print_cost=False, backend=core)
    assert [w.category for w in caught] == [fx.DivergenceWarning]
    assert caught[0].filename == __file__


def test_the_divergence_warning_may_be_made_an_error(core):
    with pytest.raises(fx.DivergenceWarning, match="learning_rate"):
        fx.model(X, Y, 2, 2, 1, 100, 1e6, random_state=2, print_cost=False, backend=core)


@pytest.mark.parametrize("m", [4, 300])
@pytest.mark.parametrize("num_of_iters", [0, 1, 10, 500])
def test_the_parameters_before_the_step_that_overflows_are_kept(core, m, num_of_iters):
    """A feature so large that the first step leaves the finite numbers: with samples few and many, as the last
    step of the run and as any other, and whether or not the start came from the package itself."""
    features, labels = np.full((1, m), 1e307), np.full((1, m), 0.5)
    start = {k: np.full((1, 1), v) for k, v in {"W1": 0.0, "b1": 0.0, "W2": 3.0, "b2": 0.2}.items()}
    zeros = {"d" + k: np.zeros((1, 1)) for k in start}
    for given in (start, fx.update_parameters(start, zeros, 0.1, backend=core)):
        with pytest.warns(fx.DivergenceWarning, match=r"iteration 0\b"):
            trained = fx.model(
                features, labels, 1, 1, 1, num_of_iters, 1e3, parameters=given, print_cost=False, backend=core
            )
        assert_same_dict(trained, start, rtol=0)
        assert_no_alias(trained, given)


@pytest.mark.parametrize("m", [4, 300])
@pytest.mark.parametrize("num_of_iters", [1, 2, 10, 500])
def test_the_second_step_may_be_the_one_that_overflows(core, m, num_of_iters):
    """The first step takes W2 to -1e307; the slope of b1 is then W2's, and the rate carries it over the edge."""
    features, labels, rate = np.zeros((1, m)), np.full((1, m), 0.25), 1e308
    start = {k: np.full((1, 1), v) for k, v in {"W1": 0.0, "b1": 0.5, "W2": 0.0, "b2": 0.0}.items()}
    wanted, _ = plain_run(features, labels, start, 1, rate)
    with pytest.warns(fx.DivergenceWarning, match=r"iteration 1\b"):
        trained = fx.model(
            features, labels, 1, 1, 1, num_of_iters, rate, parameters=start, print_cost=False, backend=core
        )
    assert wanted["W2"][0, 0] < -1e307
    assert_same_dict(trained, wanted, rtol=1e-12)


# ---------------------------------------------------------------- Ctrl-C at any place, and its exception


@pytest.fixture(params=[None, 3], ids=["all samples", "mini-batches"])
def batch_size(request):
    return request.param


@pytest.mark.parametrize("place", ["loss", "first_overflow"])
def test_an_interrupt_outside_the_steps_loses_nothing(monkeypatch, backend, batch_size, place):
    """While the cost is worked out before or after the run, or a divergence is looked into."""
    rate = 0.1 if place == "loss" else 1e300
    settings = {"batch_size": batch_size, "random_state": 0, "optimizer": fx.SGD(rate), "backend": backend}
    network = fx.Network([2, 3, 1], hidden="tanh" if place == "loss" else "identity", output="identity")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.DivergenceWarning)
        whole = fx.train(network, X, Y, iterations=20, **settings)
    core = resolve(backend) if place == "loss" else reference
    original, left = getattr(core, place), []

    def interrupted(*arguments):
        if left.pop():
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(core, place, interrupted)
    reached = []
    for calls in ([True], [True, False]) if batch_size and place == "loss" else ([True],):
        left[:] = calls  # the last one comes first
        with pytest.raises(fx.TrainingInterrupted) as raised:
            fx.train(network, X, Y, iterations=20, **settings)
        reached.append(raised.value.iterations)
        assert set(raised.value.parameters) == set(whole.parameters)
    assert reached[-1] == whole.iterations
    assert_same_dict(raised.value.parameters, whole.parameters, rtol=0)
    assert reached[:-1] == [0] * len(reached[:-1])


def test_the_tutorials_model_loses_nothing_either(monkeypatch, backend):
    whole = fx.model(X, Y, 2, 2, 1, 20, 0.3, random_state=0, print_cost=False, backend=backend)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(resolve(backend), "loss", interrupted)
    with pytest.raises(fx.TrainingInterrupted) as raised:
        fx.model(X, Y, 2, 2, 1, 20, 0.3, random_state=0, print_cost=False, backend=backend)
    assert raised.value.iterations == 21
    assert_same_dict(raised.value.parameters, whole, rtol=0)


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy])
def test_the_exception_survives_copies_and_pickles(copied):
    parameters = fx.Network([2, 3, 1]).initialize(0)
    error = copied(fx.TrainingInterrupted(parameters, 17))
    assert isinstance(error, fx.TrainingInterrupted)
    assert error.iterations == 17
    assert "17 iterations" in str(error)
    assert_same_dict(error.parameters, parameters, rtol=0)


# ---------------------------------------------------------------- the state is whole at any moment


class Interruption:
    """Ctrl-C at one of the lines of the package that this thread goes through, counted from 1; or which they are."""

    def __init__(self, line=None):
        self.left, self.lines = line, []

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self.enter)
        return self

    def __exit__(self, *_):
        sys.settrace(self.before)

    def enter(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(str(PACKAGE)):
            return None
        return self.note if self.left is None else self.count

    def note(self, frame, event, argument):
        if event == "line":
            self.lines.append((frame.f_code.co_name, frame.f_code.co_filename, frame.f_lineno))
        return self.note

    def count(self, frame, event, argument):
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)  # what follows goes at full speed
                raise KeyboardInterrupt
        return self.count


@dataclass(frozen=True)
class Training:
    hidden: int
    optimizer: Optimizer
    batch_size: int | None

    def begin(self):
        network = fx.Network([2, self.hidden, 1])
        rng = np.random.RandomState(3)
        features = X if self.batch_size is None else rng.standard_normal((2, 33))
        targets = Y if self.batch_size is None else rng.randint(0, 2, (1, 33))
        data = features.astype(float), targets.astype(float)
        job = Job(network, *data, self.optimizer, iterations=28, batch_size=self.batch_size, seed=9)
        return run_of(job, State.beginning(network.initialize(0)._flat, self.optimizer))


def run_of(job, state):
    run = Run(job, state)
    run.interval = 7
    return run


RUNS = {
    "adam": Training(8, fx.Adam(0.01), None),
    "adam, mini-batches": Training(8, fx.Adam(0.01), 5),
    "nesterov, mini-batches": Training(8, fx.SGD(0.01, 0.9, nesterov=True), 12),
    "descent": Training(2, fx.SGD(0.3), None),  # few enough parameters for a kernel of the exact sizes
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_goes_on_from_any_moment(monkeypatch, core, name):
    """Interrupted at 200 random lines, each run ends with the bits of the one that was not, history included."""
    monkeypatch.setattr("fastxor.time_slice.SLICE_SECONDS", 1e-5)  # so that there are many spans
    for worth in ("MIN_SECONDS_TO_COMPILE", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_CALL"):
        monkeypatch.setattr(choices, worth, 0.0)
    backend, training = resolve(core), RUNS[name]
    whole = training.begin()
    whole.execute(backend, None, stacklevel=1)
    with Interruption() as counted:
        training.begin().execute(backend, None, stacklevel=1)
    rng = np.random.RandomState(len(name))
    reached = set()
    for line in rng.randint(1, len(counted.lines), 200).tolist():
        run = training.begin()
        with suppress(KeyboardInterrupt), Interruption(line):
            run.execute(backend, None, stacklevel=1)
        reached.add(run.state.completed)
        again = run_of(run.job, run.state)
        again.execute(backend, None, stacklevel=1)
        assert again.state.completed == whole.state.completed
        np.testing.assert_array_equal(again.state.theta, whole.state.theta)
        for kept, wanted in zip(again.state.memory, whole.state.memory, strict=True):
            np.testing.assert_array_equal(kept, wanted)
        assert {**run.history, **again.history} == whole.history
    assert len(reached) >= 3


def test_what_a_session_hands_out_does_not_change(core):
    run = RUNS["adam, mini-batches"].begin()
    session = resolve(core).open(run.job, run.state)
    session.advance(3, 0, 1)
    state = session.state()
    before = state.theta.copy(), state.memory.rows.copy(), state.memory.powers.copy()
    session.advance(3, 0, 1)
    for array, kept in zip((state.theta, *state.memory), before, strict=True):
        np.testing.assert_array_equal(array, kept)
    assert (state.completed, session.state().completed) == (3, 6)


BOLD = [fx.Adam(1e12), fx.SGD(2.0, 0.9), fx.RMSprop(1e12), fx.Rprop(1e9, eta_plus=1e3, max_step=1e30)]


@pytest.mark.parametrize("optimizer", BOLD, ids=lambda optimizer: type(optimizer).__name__)
def test_the_state_after_a_divergence_is_that_of_the_last_good_step(core, optimizer):
    """What the optimizer remembers included: the step that failed has left no trace."""
    network = fx.Network([2, 3, 1], hidden="identity", output="identity")
    data = X.astype(np.float32) + 1, Y.astype(np.float32)
    job = Job(network, *data, optimizer, 50)
    beginning = State.beginning(network.initialize(0, dtype=np.float32)._flat, optimizer)
    session = resolve(core).open(job, beginning)
    good, _costs = session.advance(50, 0, 1)
    assert 0 < good < 50
    wanted = resolve(core).open(job, beginning)
    assert wanted.advance(good, 0, 1)[0] == good
    for got, kept in zip(
        (session.state().theta, *session.state().memory), (wanted.state().theta, *wanted.state().memory), strict=True
    ):
        np.testing.assert_array_equal(got, kept)
        assert np.isfinite(got).all()


# ---------------------------------------------------------------- the result is handed over


CURVED, STRAIGHT = (fx.Network([2, 3, 1], hidden, "identity") for hidden in ("tanh", "identity"))
CALLS = {
    "all samples": lambda n, **core: fx.train(CURVED, X, Y, iterations=n, optimizer=fx.Adam(0.1), **core).parameters,
    "mini-batches": lambda n, **core: fx.train(CURVED, X, Y, iterations=n, batch_size=3, **core).parameters,
    "Levenberg-Marquardt": lambda n, **core: (
        fx.train(CURVED, X, Y, iterations=n, optimizer=fx.LevenbergMarquardt(), **core).parameters
    ),
    "blows up": lambda n, **core: (
        fx.train(STRAIGHT, X, Y, iterations=n, batch_size=3, optimizer=fx.SGD(1e300), **core).parameters
    ),
    "rises": lambda n, **core: fx.train(STRAIGHT, X, Y, iterations=n, optimizer=fx.SGD(10.0), **core).parameters,
    "model": lambda n, **core: fx.model(X, Y, 2, 3, 1, n - 1, 0.3, print_cost=False, **core),
}


@pytest.mark.filterwarnings("ignore::fastxor.DivergenceWarning")
@pytest.mark.parametrize("kind", CALLS)
def test_an_interrupt_at_any_line_loses_nothing(core, kind):
    """From the moment that there is a state to the one that the caller has the result: the first and the last time
    that each line is run."""

    def run(steps=5):
        return CALLS[kind](steps, random_state=0, backend=core)

    first = fx.Network([2, 3, 1]).initialize(0, "normal" if kind == "model" else None)
    wanted = [first, *(run(steps) for steps in range(1, 6))]
    with Interruption() as counted:
        run()
    begins = next(place for place, (name, *_) in enumerate(counted.lines) if name == "execute")
    last = {line: place for place, line in enumerate(counted.lines) if place >= begins}
    reached = set()
    for place in sorted({*last.values(), *(counted.lines.index(line, begins) for line in last)}):
        with pytest.raises(KeyboardInterrupt) as raised, Interruption(place + 1):
            run()
        assert isinstance(raised.value, fx.TrainingInterrupted), counted.lines[place]
        reached.add(raised.value.iterations)
        assert_same_dict(raised.value.parameters, wanted[raised.value.iterations], rtol=0)
    assert len(last) > 20
    assert reached >= {0, 0 if kind == "blows up" else 5}


@pytest.mark.parametrize(("core", "epoch", "least"), [("numpy", 1000, 2000), ("numba", 75_000, 125_000)])
def test_an_interrupt_within_a_span_keeps_what_the_session_has(monkeypatch, core, epoch, least):
    """All steps of the numpy core, and of the fused one those whose samples were not drawn together with the last."""
    orders = Shuffle.orders

    def interrupted(shuffle, first, count):
        if first >= epoch:
            raise KeyboardInterrupt
        return orders(shuffle, first, count)

    settings = {"batch_size": 3, "random_state": 0, "interval": 10**6, "backend": core}
    with monkeypatch.context() as patch:
        patch.setattr(TimeSlice, "steps", 10**6)
        patch.setattr(Shuffle, "orders", interrupted)
        with pytest.raises(fx.TrainingInterrupted) as raised:
            fx.train(CURVED, X, Y, iterations=10**6, **settings)
    assert least <= raised.value.iterations <= 2 * epoch
    again = fx.train(CURVED, X, Y, iterations=raised.value.iterations, **settings)
    assert_same_dict(raised.value.parameters, again.parameters, rtol=0)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("batch_size", [None, 3])
def test_a_signal_in_the_closing_cost_loses_nothing(monkeypatch, core, batch_size):
    """The real thing, while the backend works."""
    settings = {"batch_size": batch_size, "random_state": 0, "backend": core}
    network = fx.Network([2, 3, 1])
    whole = fx.train(network, X, Y, iterations=20, **settings)
    backend, calls = resolve(core), []
    original = backend.loss

    def loss(*arguments):
        calls.append(arguments)
        if len(calls) == (1 if batch_size is None else 2):
            signal.raise_signal(signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(backend, "loss", loss)
    with pytest.raises(fx.TrainingInterrupted) as raised:
        fx.train(network, X, Y, iterations=20, **settings)
    assert raised.value.iterations == 20
    assert_same_dict(raised.value.parameters, whole.parameters, rtol=0)


SENT = """
import pickle, sys
import fastxor as fx
def stop(iteration, cost):
    raise KeyboardInterrupt
import fastxor.tutorial as tutorial
tutorial._print_cost = stop
try:
    fx.model([[0, 1]], [[0, 1]], 1, 2, 1, 500, 0.3, random_state=0, backend="numpy")
except fx.TrainingInterrupted as error:
    error.add_note("from afar")
    sys.stdout.buffer.write(pickle.dumps((error, {**error.parameters}, error.iterations)).hex().encode())
"""


def test_the_exception_reaches_another_process(tmp_path):
    sent = bytes.fromhex(run_python("-W", "error", "-c", SENT, cwd=tmp_path).stdout)
    error, parameters, iterations = pickle.loads(sent)
    assert type(error) is fx.TrainingInterrupted
    assert error.iterations == iterations
    assert str(iterations) in str(error)
    assert error.__notes__ == ["from afar"]
    assert_same_dict(error.parameters, parameters, rtol=0)
    again = pickle.loads(pickle.dumps(error))
    assert_same_dict(again.parameters, parameters, rtol=0)
    (tmp_path / "sent").write_bytes(pickle.dumps(error))
    code = "import pickle; error = pickle.load(open('sent', 'rb')); print(error, error.iterations, *error.parameters)"
    assert run_python("-W", "ignore", "-c", code, cwd=tmp_path).stdout == f"{error} {iterations} W1 b1 W2 b2\n"
