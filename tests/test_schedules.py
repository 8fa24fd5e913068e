"""Learning rates that change: what each schedule gives, both cores, any number of threads, resumed and saved."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import support
from engine_cases import FULL_BATCHES, OPTIMIZERS, assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from test_penalties import NETS, data
from test_resume import assert_same_run, through_a_file

import fastxor as fx
from fastxor.backends.fused import choices
from fastxor.optimizers import with_rate

X, Y = data(NETS[0], 11)
KINDS = [name for name in OPTIMIZERS if name != "rprop"]  # whose rate is that of the beginning alone


@st.composite
def schedules(draw, rate, factors=(0.0, 0.5, 1.5)):
    """Those that can be saved."""
    simple = [
        fx.schedules.step(rate, draw(st.integers(1, 5)), draw(st.sampled_from(factors))),
        fx.schedules.cosine(rate, draw(st.integers(1, 12)), draw(st.sampled_from([0.0, 1e-4]))),
    ]
    more = [
        fx.schedules.warm_up(draw(st.integers(1, 9)), draw(st.sampled_from([rate, *simple]))),
        np.linspace(rate, 0, 20),
        [rate] * 20,
    ]
    return draw(st.sampled_from(simple + more))


def scheduled(name, schedule):
    return with_rate(OPTIMIZERS[name], schedule)


# ---------------------------------------------------------------- what they give


def test_step():
    rate = fx.schedules.step(0.4, every=3, factor=0.5)
    assert [rate(step) for step in range(7)] == [0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]


@given(st.integers(1, 100), st.floats(0, 10), st.floats(0, 10))
def test_cosine(steps, rate, end):
    schedule = fx.schedules.cosine(rate, steps, end)
    assert schedule(0) == rate
    assert schedule(steps) == schedule(steps + 7) == end
    for step in range(steps):
        wanted = end + (rate - end) * (1 + math.cos(math.pi * step / steps)) / 2
        assert schedule(step) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_warm_up():
    rate = fx.schedules.warm_up(4, 0.5)
    np.testing.assert_allclose([rate(step) for step in range(7)], [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5])
    rate = fx.schedules.warm_up(2, fx.schedules.step(0.3, 2))
    np.testing.assert_allclose([rate(step) for step in range(5)], [0.1, 0.2, 0.3, 0.3, 0.03])


def test_they_are_values():
    for make in (lambda: fx.schedules.step(0.1, 5), lambda: fx.schedules.warm_up(3, fx.schedules.cosine(0.1, 9))):
        assert make() == make() == pickle.loads(pickle.dumps(make()))
        assert hash(make()) == hash(make())
        assert (
            eval(repr(make()), {name: getattr(fx.schedules, name) for name in ("Step", "Cosine", "WarmUp")}) == make()
        )
    assert fx.SGD([0.1, 0.2]) == fx.SGD(np.array([0.1, 0.2])) != fx.SGD([0.1, 0.3])
    assert fx.SGD(pd.Series([0.1, 0.2], index=[5, 6])) == fx.SGD([0.1, 0.2])
    assert "2 rates, 0.1 to 0.2" in repr(fx.SGD([0.1, 0.2]))


@pytest.mark.parametrize("net", NETS[::2])
def test_descent_by_hand(net, backend):
    X, Y = data(net, 5)
    rates = [0.1, 0.0, 0.3, 0.05]
    parameters = start = net.initialize(0)
    for rate in rates:
        _cost, grads = net.gradient(parameters, X, Y, backend="numpy")
        parameters = {name: array - rate * grads[f"d{name}"] for name, array in parameters.items()}
    for schedule in (rates, np.array(rates), lambda step: rates[step]):
        run = fx.train(
            net, X, Y, parameters=start, optimizer=fx.SGD(schedule), iterations=4, interval=2, backend=backend
        )
        assert_close(run.parameters, parameters, 1e-11)
        np.testing.assert_array_equal(run.history.learning_rate, rates[::2])


@settings(deadline=None, max_examples=30)
@given(net=st.sampled_from(NETS), name=st.sampled_from(KINDS), core=st.sampled_from(["numpy", "numba"]))
def test_a_schedule_that_stays_is_a_number(net, name, core):
    X, Y = data(net, 9)
    optimizer = OPTIMIZERS[name]
    arguments = {"iterations": 6, "interval": 1, "random_state": 0, "backend": core}
    one = fx.train(net, X, Y, optimizer=optimizer, **arguments)
    other = fx.train(net, X, Y, optimizer=scheduled(name, lambda step: optimizer.learning_rate), **arguments)
    assert_close(other.parameters, one.parameters, 1e-12)
    np.testing.assert_array_equal(other.history.learning_rate, one.history.learning_rate)


# ---------------------------------------------------------------- both cores, any threads, resumed


@settings(deadline=None, max_examples=40)
@given(
    net=st.sampled_from(NETS), m=st.integers(1, 70), name=st.sampled_from(KINDS), draw=st.data(),
    batch_size=st.sampled_from([None, 3, 32]), dtype=st.sampled_from([np.float64, np.float32]),
)  # fmt: skip
def test_the_cores_agree(net, m, name, draw, batch_size, dtype):
    """At rates that do not rise: a run that diverges has no digits to compare."""
    X, Y = data(net, m, dtype)
    optimizer = scheduled(name, draw.draw(schedules(OPTIMIZERS[name].learning_rate, factors=(0.0, 0.5))))
    arguments = {"optimizer": optimizer, "iterations": 8, "interval": 1, "random_state": 0, "batch_size": batch_size}
    one, other = (fx.train(net, X, Y, backend=core, **arguments) for core in ("numba", "numpy"))
    rtol = 1e-9 if dtype is np.float64 else 2e-3
    assert_close(one.parameters, other.parameters, rtol)
    np.testing.assert_allclose(one.history.cost, other.history.cost, rtol=rtol)


@settings(deadline=None, max_examples=25)
@given(
    net=st.sampled_from(NETS), name=st.sampled_from(KINDS), cut=st.integers(0, 6), draw=st.data(),
    m=st.sampled_from([4, 20, 700]), dtype=st.sampled_from([np.float64, np.float32]), room=st.sampled_from([2, 4096]),
    lockstep=st.booleans(), core=st.sampled_from(["numpy", "numba", "numba"]), saved=st.booleans(),
)  # fmt: skip
def test_threads_and_cuts_change_no_bit(net, name, cut, draw, m, dtype, room, lockstep, core, saved):
    X, Y = data(net, m, dtype)
    optimizer = scheduled(name, draw.draw(schedules(OPTIMIZERS[name].learning_rate)))
    batch = None if name in FULL_BATCHES or m == 4 else m // 2
    arguments = {"optimizer": optimizer, "random_state": 0, "batch_size": batch, "interval": 2}
    with support.lockstep(lockstep) as patch:
        whole = fx.train(net, X, Y, iterations=6, threads=1, backend=core, **arguments)
        patch.setattr(choices, "RATES_PER_CALL", room)  # steps whose rates are worked out at a time
        part = fx.train(net, X, Y, iterations=cut, threads=2, backend=core, **arguments)
        part = through_a_file(part) if saved else part
        assert_same_run(fx.train(net, X, Y, resume=part, iterations=6 - cut, threads=3, backend=core), whole)


def test_a_long_run_is_scheduled_to_its_end(core):
    schedule = fx.schedules.cosine(0.5, 5000)
    run = fx.train(
        NETS[0], X, Y, optimizer=fx.SGD(schedule), iterations=5000, interval=1000, random_state=0, backend=core
    )
    assert run.iterations == 5000
    np.testing.assert_array_equal(run.history.learning_rate, [schedule(step) for step in range(0, 5000, 1000)])


def test_epochs_have_the_rate_of_the_next_step(core):
    run = fx.train(
        NETS[0], X, Y, optimizer=fx.SGD([0.1, 0.2, 0.3, 0.4]), batch_size=6, epochs=2, random_state=0, backend=core
    )
    np.testing.assert_array_equal(run.history.learning_rate, [0.3, 0.4])  # and after the last one, its


def test_a_rate_too_small_for_the_dtype_is_none(core):
    X, Y = data(NETS[0], 11, np.float32)
    start = NETS[0].initialize(0, dtype=np.float32)
    run = fx.train(NETS[0], X, Y, parameters=start, optimizer=fx.SGD(lambda step: 1e-42), iterations=3, backend=core)
    np.testing.assert_array_equal(run.parameters["W1"], start["W1"])


# ---------------------------------------------------------------- other functions, files


def test_any_function_can_be_resumed_and_not_saved(core, tmp_path):
    optimizer = fx.Adam(lambda step: 0.1 / (1 + step))
    arguments = {"optimizer": optimizer, "random_state": 0, "interval": 1, "backend": core}
    whole = fx.train(NETS[0], X, Y, iterations=9, **arguments)
    part = fx.train(NETS[0], X, Y, iterations=4, **arguments)
    assert_same_run(fx.train(NETS[0], X, Y, resume=part, iterations=5, backend=core), whole)
    message = r"a run is saved with numbers, arrays and fastxor.schedules only, .* learning_rate is <function"
    with pytest.raises(TypeError, match=message):
        part.save(tmp_path / "run.npz")
    with pytest.raises(TypeError, match=message) as caught:
        fx.train(NETS[0], X, Y, iterations=4, checkpoint=tmp_path / "run.npz", **arguments)
    assert caught.value.result.iterations == 0
    assert not list(tmp_path.iterdir())
    inside = fx.SGD(fx.schedules.warm_up(3, lambda step: 0.1))
    with pytest.raises(TypeError, match=r"rate is <function"):
        through_a_file(fx.train(NETS[0], X, Y, optimizer=inside, iterations=1))


def test_a_function_without_a_hash(core):
    class Rate:
        __hash__ = None

        def __call__(self, step):
            return 0.1

    fx.train(NETS[0], X, Y, optimizer=fx.SGD(Rate()), iterations=2, backend=core)


# ---------------------------------------------------------------- refused


def test_arrays_that_are_too_short(core):
    with pytest.raises(ValueError, match="learning_rate must have an entry for each of the 5 steps of the run, got 4"):
        fx.train(NETS[0], X, Y, optimizer=fx.SGD([0.1] * 4), iterations=5, backend=core)
    run = fx.train(NETS[0], X, Y, optimizer=fx.SGD([0.1] * 4), iterations=3, random_state=0, backend=core)
    with pytest.raises(ValueError, match="each of the 5 steps of the run, got 4"):
        fx.train(NETS[0], X, Y, resume=run, iterations=2, backend=core)


REFUSED = [
    (lambda: fx.SGD([]), ValueError, r"learning_rate, as an array, must have shape \(steps,\), got shape \(0,\)"),
    (lambda: fx.SGD(np.ones((2, 2))), ValueError, r"must have shape \(steps,\), got shape \(2, 2\)"),
    (lambda: fx.Adam([0.1, -0.1]), ValueError, "learning_rate must be finite and not negative, got -0.1 at 1"),
    (lambda: fx.Adam([0.1, np.nan]), ValueError, "learning_rate must be finite and not negative, got nan at 1"),
    (lambda: fx.Adam("fast"), TypeError, "learning_rate must be a real number, got 'fast'"),
    (lambda: fx.Rprop(lambda step: 0.1), TypeError, "learning_rate must be a real number, got <function"),
    (lambda: fx.schedules.step(-1, 3), ValueError, "rate must be finite and not negative"),
    (lambda: fx.schedules.step(1, 0), ValueError, "every must be at least 1, got 0"),
    (lambda: fx.schedules.cosine(1, 2.5), TypeError, "steps must be an integer, got 2.5"),
    (lambda: fx.schedules.warm_up(3, "much"), TypeError, "rate must be a real number, got 'much'"),
]


@pytest.mark.parametrize(("make", "error", "message"), REFUSED)
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("wrong", [-1.0, np.nan, "0.1", None])
def test_a_function_that_gives_no_rate(wrong, core):
    """The run ends there, and what had been reached is kept."""
    optimizer = fx.SGD(lambda step: 0.1 if step < 3 else wrong)
    with pytest.raises((TypeError, ValueError), match="learning_rate of step 3 must be") as caught:
        fx.train(NETS[0], X, Y, optimizer=optimizer, iterations=9, random_state=0, backend=core)
    assert caught.value.result.iterations == 3


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_schedule_that_explodes_ends_the_run_at_that_step(batch_size, core):
    """And not where its rates are worked out, which is some steps before; what had been reached can be gone on from."""
    arguments = {"random_state": 0, "interval": 1, "batch_size": batch_size, "backend": core}
    for last, schedule in ((600, fx.schedules.step(1e-300, 2, 10.0)), (6, fx.schedules.step(0.0, 1, 1e100))):
        whole = fx.train(NETS[0], X, Y, optimizer=fx.SGD(schedule), iterations=last, **arguments)
        assert whole.iterations == last
    schedule = fx.schedules.step(1e-308, 100, 1e308)
    assert schedule(200) == math.inf
    with pytest.raises(
        ValueError, match="learning_rate of step 200 must be finite and not negative, got inf"
    ) as caught:
        fx.train(NETS[0], X, Y, optimizer=fx.SGD(schedule), iterations=5000, **arguments)
    reached = caught.value.result
    assert_same_run(reached, fx.train(NETS[0], X, Y, optimizer=fx.SGD(schedule), iterations=200, **arguments))
    assert len(reached.history.learning_rate) == 200
    with pytest.raises(ValueError, match="learning_rate of step 200"):
        fx.train(NETS[0], X, Y, resume=reached, iterations=1, backend=core)


def test_a_function_that_fails(core):
    arguments = {"iterations": 9, "random_state": 0, "backend": core, "epochs": None}
    with pytest.raises(
        ValueError, match=r"learning_rate of step 4 must be finite, .* gave ZeroDivisionError"
    ) as caught:
        fx.train(NETS[0], X, Y, optimizer=fx.SGD(lambda step: 0.1 / (4 - step)), **arguments)
    assert caught.value.result.iterations == 4
    with pytest.raises(KeyError) as other:
        fx.train(NETS[0], X, Y, optimizer=fx.SGD(lambda step: {0: 0.1, 1: 0.2}[step]), **arguments)
    assert other.value.__notes__[0] == "in working out the learning_rate of step 2"
    assert other.value.result.iterations == 2
    arguments |= {"iterations": None, "epochs": 9, "batch_size": 6}
    with pytest.raises(KeyError) as ended:
        fx.train(NETS[0], X, Y, optimizer=fx.SGD(lambda step: {0: 0.1, 1: 0.2}[step]), **arguments)
    assert np.isnan(ended.value.result.history.learning_rate).tolist() == [True]
