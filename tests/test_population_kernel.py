"""The kernels that train a network in each lane: numpy's results, and each network's bits as if it was alone."""

import dataclasses
import importlib
import threading
import time
from functools import cache

import numpy as np
import pytest
import unjitted
from engine_cases import JOBS, RUN, assert_close, small

import fastxor as fx
from fastxor import backends
from fastxor.backends import reference, sequential
from fastxor.backends.fused import _jit, choices, population
from fastxor.backends.fused._jit import VECTOR_BITS, Kernel
from fastxor.backends.parallel import parallel_for
from fastxor.backends.sequential import SequentialSession
from fastxor.cohort import NO_LIMIT, Cohort, CohortState, SampleRange

MEMBERS = 5
LANES = {"float64": VECTOR_BITS // 64, "float32": VECTOR_BITS // 32}
X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], float)
Y = np.array([[0, 1, 1, 0]], float)


@cache
def plain():
    """The un-jitted kernels' module."""
    unjitted.install()
    return importlib.import_module(f"{backends._MODULES[unjitted.NAME]}.population")


def cohort_of(network, X, Y, optimizers, **settings):
    """A cohort with a member for each optimizer."""
    k = len(optimizers)
    settings = {
        "penalties": np.tile(NO_LIMIT, (k, 1)),
        "seeds": np.arange(k) + 3,
        "iterations": np.full(k, 10_000),
    } | settings
    if "numbers" not in settings:
        settings["numbers"] = np.array([optimizer._numbers for optimizer in optimizers], float)
    return Cohort(network, X, Y, optimizers[0], **settings)


def beginning(cohort, scale=1.0):
    """The state of members that begin with weights of their own."""
    starts = [cohort.network.initialize(seed, dtype=cohort.X.dtype) for seed in range(len(cohort))]
    theta = scale * np.stack([cohort.network.flatten(start) for start in starts])
    return CohortState.beginning(theta.astype(cohort.X.dtype), cohort.optimizer)


def taken(session, state, steps=20, which=None, first=0, interval=3):
    """So many steps, or each member's own, and what a member is then."""
    which = np.arange(len(state)) if which is None else np.asarray(which)
    steps, first = (np.broadcast_to(values, which.shape).astype(np.int64) for values in (steps, first))
    return session.advance(state, which, steps, first, interval)


def in_lanes(cohort, threads=1):
    return population.Session(cohort, threads)


def in_numpy(cohort):
    return SequentialSession(cohort, reference.Session)


def close(got, wanted, rtol):
    np.testing.assert_array_equal(got.good, wanted.good)
    np.testing.assert_array_equal(np.isnan(got.costs), np.isnan(wanted.costs))
    arrays = [{**vars(one.state), "costs": np.nan_to_num(one.costs)} for one in (got, wanted)]
    assert_close(*({name: array for name, array in one.items() if array.size} for one in arrays), rtol)


def same(got, wanted, rows=slice(None)):
    """The same bits, of all members or of some of the first."""
    for field in dataclasses.fields(CohortState):
        np.testing.assert_array_equal(getattr(got.state, field.name)[rows], getattr(wanted.state, field.name))
    np.testing.assert_array_equal(got.good[rows], wanted.good)
    np.testing.assert_array_equal(got.costs[rows][:, : wanted.costs.shape[1]], wanted.costs)


def varied(optimizer):
    """Optimizers like this one with other numbers."""
    rate = "start" if isinstance(optimizer, fx.Rprop) else "learning_rate"
    rate = rate if hasattr(optimizer, rate) else next(iter(dataclasses.asdict(optimizer)))
    return [dataclasses.replace(optimizer, **{rate: getattr(optimizer, rate) * f}) for f in (1, 0.5, 0.25, 1, 0.1)]


@cache
def job_cohort(job):
    return cohort_of(job.network, *job.data, varied(job.optimizer), batch_size=job.batch)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_as_numpy_one_after_the_other(job):
    cohort = job_cohort(job)
    state = beginning(cohort)
    close(taken(in_lanes(cohort), state), taken(in_numpy(cohort), state), RUN[job.dtype])


@pytest.mark.parametrize("job", JOBS[::3], ids=lambda job: job.name)
def test_same_bits_alone_and_at_any_place(job):
    cohort = job_cohort(job)
    state = beginning(cohort)
    alone = [taken(in_lanes(cohort), state.take(np.array([i])), which=[i]) for i in range(MEMBERS)]
    order = np.tile(np.arange(MEMBERS), 9)[::-1][: 2 * LANES[job.dtype] + 3]  # some groups, the last one not full
    together = taken(in_lanes(cohort, threads=2), state.take(order), which=order)
    for place, member in enumerate(order):
        same(together, alone[member], slice(place, place + 1))


@pytest.mark.parametrize("job", [job for job in JOBS if small(job) and job.m < 20][::4], ids=lambda job: job.name)
def test_the_source_runs_unjitted(monkeypatch, job):
    force(monkeypatch, plain(), False)
    cohort = job_cohort(job)
    state = beginning(cohort)
    close(taken(plain().Session(cohort, 1), state, 4), taken(in_numpy(cohort), state, 4), RUN[job.dtype])


# ---------------------------------------------------------------- kernels of exact sizes

WORTH = "MIN_SECONDS_TO_CALL", "MIN_SECONDS_TO_LOAD", "MIN_SECONDS_TO_UNROLL"


def force(monkeypatch, module, always):
    """Have kernels of exact sizes used wherever there can be one, or never."""
    choices = importlib.import_module(f"{module.__package__.rpartition('.')[0]}.choices")
    for name in WORTH:
        monkeypatch.setattr(choices, name, -1.0 if always else np.inf)


@pytest.fixture
def used(monkeypatch):
    """The names of the kernels of exact sizes that were asked for."""
    names, original = [], population.exact.code

    def code(kernel, dtype):
        names.append(kernel.function.__name__)
        return original(kernel, dtype)

    monkeypatch.setattr(population.exact, "code", code)
    return names


@pytest.mark.parametrize(
    ("network", "optimizer", "settings"),
    [
        (fx.Network([2, 2, 1]), fx.SGD(0.3), {}),
        (fx.Network([2, 5, 1], hidden="gelu", output="identity", loss="huber"), fx.Adam(0.02), {}),
        (fx.Network([2, 3, 2, 3], hidden="relu", output="softmax"), fx.RMSprop(0.01), {"weights": True}),
        (fx.Network([2, 1]), fx.SGD(0.3, 0.9), {"penalties": True}),
    ],
    ids=["2-2-1", "2-5-1", "2-3-2-3", "2-1"],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exact_sizes_have_the_same_bits(monkeypatch, used, network, optimizer, settings, dtype):
    targets = np.eye(network.sizes[-1])[:, [0, -1, -1, 0]] if network.output == "softmax" else np.resize(Y, (1, 4))
    if "weights" in settings:
        settings = {"weights": some_weights(4)[:, [0, 1, 2, 3]].astype(dtype)}
    if "penalties" in settings:
        settings = {"penalties": np.array(PENALTIES)}
    cohort = cohort_of(network, X.astype(dtype), targets.astype(dtype), varied(optimizer), **settings)
    state, results = beginning(cohort), []
    for always in (False, True):
        force(monkeypatch, population, always)
        results.append(taken(in_lanes(cohort), state, [200, 7, 300, 0, 150], interval=7))
        assert len(set(used)) == always  # asked for again where few lanes make those that are left pause
    same(*results)
    assert results[0].good.tolist() == [200, 7, 300, 0, 150]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("sizes", "optimizer", "own"), [([2, 2, 1], fx.SGD, False), ([8, 1], fx.Adam, True)])
def test_two_registers_in_a_vector_have_the_same_bits(monkeypatch, used, sizes, optimizer, own, dtype):
    k, network, draw = 2 * LANES[dtype] + 3, fx.Network(sizes), np.random.RandomState(0)
    data = draw.standard_normal((k, sizes[0], 4)) if own else X
    rates = draw.uniform(0.01, 1.0, k)
    rates[5] = 1e300 if dtype == "float64" else 1e38

    def members(some):
        return cohort_of(
            network, (data[some] if own else data).astype(dtype), Y.astype(dtype), [optimizer(r) for r in rates[some]]
        )

    many, taking = members(np.arange(k)), 50 + np.arange(k) % 7
    state = beginning(many)
    force(monkeypatch, population, True)
    assert population.exact.registers(network, k, LANES[dtype]) == 2
    together = taken(in_lanes(many), state, taking, interval=7)
    for i in (0, 5, LANES[dtype], k - 1):
        same(together, taken(in_lanes(members([i])), state.take(np.array([i])), taking[i], interval=7), slice(i, i + 1))
    assert len(used) == 5
    force(monkeypatch, population, False)
    same(taken(in_lanes(many), state, taking, interval=7), together)


@pytest.mark.parametrize("job", [job for job in JOBS if small(job) and job.m < 20][::3], ids=lambda job: job.name)
def test_exact_sizes_of_any_kind_unjitted(monkeypatch, job):
    cohort = dataclasses.replace(job_cohort(job), batch_size=None)
    state, results = beginning(cohort), []
    for always in (False, True):
        force(monkeypatch, plain(), always)
        results.append(taken(plain().Session(cohort, 1), state, 3))
    same(*results)


def test_one_that_diverges_with_exact_sizes(monkeypatch, used):
    network = fx.Network([2, 2, 1], hidden="identity", output="identity")
    cohort = cohort_of(network, X, Y, [fx.SGD(0.01), fx.SGD(30.0), fx.SGD(0.1)])
    state, results = beginning(cohort), []
    for always in (False, True):
        force(monkeypatch, population, always)
        results.append(taken(in_lanes(cohort), state, 3000, interval=9))
    same(*results)
    assert used
    assert (results[0].good < 3000).tolist() == [False, True, False]


def test_not_compiled_for_little_work(monkeypatch, used):
    monkeypatch.setattr(Kernel, "is_loaded", lambda kernel, dtype: dtype in kernel._code)  # or nothing is ever compiled
    population.exact.kernel_for.cache_clear()  # other tests may have loaded it, or spent time on its network
    population.session._general_kernel_seconds.clear()
    cohort = cohort_of(fx.Network([2, 4, 1]), X, Y, [fx.SGD(0.3)] * 20, iterations=np.full(20, 1000))
    session, state = in_lanes(cohort), beginning(cohort)
    session.speed = 1e-3  # others have kept it from its work
    taken(session, state, 30)
    assert not used
    cohort = dataclasses.replace(cohort, iterations=np.full(20, 10**8))
    taken(in_lanes(cohort), state, 30)
    assert used


class Uncompilable(Kernel):
    def __getitem__(self, dtype):
        raise backends.CompilationError("no")


def test_what_cannot_be_compiled_is_done_by_the_general_kernel(monkeypatch, used):
    cohort = cohort_of(fx.Network([2, 2, 1]), X, Y, [fx.SGD(0.3)] * 3)
    state = beginning(cohort)
    force(monkeypatch, population, False)
    wanted = taken(in_lanes(cohort), state)
    force(monkeypatch, population, True)
    monkeypatch.setattr(_jit, "_failed", set(_jit._failed))
    session = in_lanes(cohort)
    monkeypatch.setattr(session, "_exact", Uncompilable(lambda: None, "void(int64)", "a test"))
    for _ in range(2):
        same(taken(session, state), wanted)
    assert len(used) == 2
    assert session._exact in _jit._failed


# ---------------------------------------------------------------- what members may have for themselves

XOR = fx.Network([2, 5, 1])
RATES = [0.3, 0.1, 1.0, 0.5, 0.01]


def random_data(network, m, seed=0):
    rng = np.random.default_rng(seed)
    x, n_y = rng.standard_normal((network.sizes[0], m)), network.sizes[-1]
    if network.output == "softmax":
        return x, np.eye(n_y)[:, rng.integers(n_y, size=m)]
    return x, (rng.random((n_y, m)) < 0.5).astype(float)


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("own", ["X", "Y", "XY"])
def test_data_of_their_own(own, batch_size):
    many = [random_data(XOR, 7, seed) for seed in range(MEMBERS)]
    xs, ys = zip(*many, strict=True)
    both = [np.stack(arrays) if name in own else arrays[0] for name, arrays in (("X", xs), ("Y", ys))]
    cohort = cohort_of(XOR, *both, [fx.SGD(rate) for rate in RATES], batch_size=batch_size)
    state = beginning(cohort)
    close(taken(in_lanes(cohort), state), taken(in_numpy(cohort), state), RUN["float64"])


def some_weights(m, seed=0):
    """Of five members, mean 1 over the samples that count: some or all of them."""
    rng = np.random.default_rng(seed)
    weights = rng.random((MEMBERS, m)) * (rng.random((MEMBERS, m)) < [[0.5], [1.0], [0.2], [0.9], [0.7]])
    weights[:, 1:4] = 0.5
    return weights / (weights.sum(axis=1) / (weights > 0).sum(axis=1))[:, None]


@pytest.mark.parametrize(("batch_size", "drop_last"), [(None, False), (3, False), (3, True)])
@pytest.mark.parametrize("m", [11, 700])
def test_weights_of_their_own(batch_size, drop_last, m):
    """Also epochs of different lengths."""
    x, y = random_data(XOR, m)
    settings = {"weights": some_weights(m), "batch_size": batch_size, "drop_last": drop_last}
    cohort = cohort_of(XOR, x, y, [fx.Adam(0.1 * rate) for rate in RATES], **settings)
    state = beginning(cohort)
    got = taken(in_lanes(cohort), state)
    close(got, taken(in_numpy(cohort), state), RUN["float64"])
    for i in range(MEMBERS):
        same(got, taken(in_lanes(cohort), state.take(np.array([i])), which=[i]), slice(i, i + 1))


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("hidden", ["tanh", "relu", "identity"])
def test_a_sample_that_does_not_count_spoils_nothing(hidden, batch_size):
    """Not by an infinite activation either."""
    network = fx.Network([2, 5, 3, 1], hidden=hidden)
    x, y = random_data(network, 6)
    weights = np.ones((MEMBERS, 6))
    weights[1:3, 4] = 0
    changed, settings = x.copy(), {"weights": weights, "batch_size": batch_size}
    changed[:, 4] = 1e308, -1e308
    results = []
    for data in (x, changed):
        cohort = cohort_of(network, data, y, [fx.SGD(rate) for rate in RATES], **settings)
        which = np.array([1, 2])
        results.append(taken(in_lanes(cohort), beginning(cohort).take(which), which=which))
    assert results[0].good.tolist() == [20, 20]
    same(results[1], results[0])


PENALTIES = [(0.1, 0, np.inf), (0, 0.05, np.inf), (0, 0, 0.2), (0.1, 0.01, 1e-3), NO_LIMIT]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", [fx.SGD(0.3), fx.Adam(0.05)], ids=["sgd", "adam"])
def test_penalties_of_their_own(optimizer, dtype):
    data = (array.astype(dtype) for array in (X, Y))
    cohort = cohort_of(XOR, *data, varied(optimizer), penalties=np.array(PENALTIES))
    state = beginning(cohort)
    close(taken(in_lanes(cohort), state, 60), taken(in_numpy(cohort), state, 60), RUN[dtype])


def test_numbers_of_their_own():
    optimizers = [fx.Adam(0.1 * rate, 0.9 - 0.1 * i, 0.99 - 0.1 * i, 10.0**-i) for i, rate in enumerate(RATES)]
    cohort = cohort_of(XOR, X, Y, optimizers)
    state = beginning(cohort)
    close(taken(in_lanes(cohort), state, 60), taken(in_numpy(cohort), state, 60), RUN["float64"])


def test_a_schedule_for_members_that_are_not_equally_far():
    optimizers = [fx.SGD(fx.schedules.cosine(0.5, steps=100))] * MEMBERS
    cohort = cohort_of(XOR, X, Y, optimizers, numbers=np.zeros((MEMBERS, 2)))
    state = beginning(cohort)
    state.completed[:] = 0, 30, 5, 99, 30
    close(taken(in_lanes(cohort), state), taken(in_numpy(cohort), state), RUN["float64"])


# ---------------------------------------------------------------- steps and records of their own, and an end


def test_steps_and_records_of_their_own():
    cohort = cohort_of(XOR, X, Y, [fx.Adam(0.1 * rate) for rate in RATES])
    state, settings = beginning(cohort), {"steps": [20, 0, 7, 1, 13], "first": [3, 0, 0, 5, 2], "interval": 4}
    got = taken(in_lanes(cohort), state, **settings)
    close(got, taken(in_numpy(cohort), state, **settings), RUN["float64"])
    np.testing.assert_array_equal(got.state.theta[1], state.theta[1])
    assert np.isfinite(got.costs).sum(axis=1).tolist() == [5, 0, 2, 0, 3]


@pytest.mark.parametrize("of", [in_lanes, lambda cohort: plain().Session(cohort, 1)], ids=["jitted", "unjitted"])
def test_some_that_wait_have_no_step_to_take(of):
    """They come into a group that takes its steps one by one."""
    steps = np.arange(3 * LANES["float64"]) % 4
    cohort = cohort_of(XOR, X, Y, [fx.Adam(0.01 * (i + 1)) for i in range(len(steps))], batch_size=1)
    state, settings = beginning(cohort), {"steps": steps, "first": 4, "interval": 8}
    close(taken(of(cohort), state, **settings), taken(in_numpy(cohort), state, **settings), RUN["float64"])


@pytest.mark.parametrize("batch_size", [None, 3])
def test_several_calls_are_one_run(batch_size):
    cohort = cohort_of(XOR, X, Y, [fx.Adam(0.1 * rate) for rate in RATES], batch_size=batch_size)
    state = beginning(cohort)
    whole = taken(in_lanes(cohort), state, 30, interval=1)
    parts = [taken(in_lanes(cohort), state, 17, interval=1)]
    parts.append(taken(in_lanes(cohort), parts[0].state, 13, interval=1))
    costs = np.concatenate([part.costs for part in parts], axis=1)
    same(whole, parts[1]._replace(good=np.full(MEMBERS, 30), costs=costs))


def test_nothing_that_is_given_is_changed():
    cohort = cohort_of(XOR, X, Y, [fx.Adam(0.1 * rate) for rate in RATES], batch_size=3)
    state = beginning(cohort)
    before = state.copy()
    taken(in_lanes(cohort), state)
    for name, array in vars(before).items():
        np.testing.assert_array_equal(getattr(state, name), array)


WILD = fx.Network([2, 4, 1], hidden="identity", output="identity")


@pytest.mark.parametrize("interval", [1, 7, 10_000])
@pytest.mark.parametrize("optimizer", [fx.SGD(30.0), fx.SGD(3.0, 0.9)], ids=["sgd", "momentum"])
def test_one_that_diverges_ends_and_spoils_nobody(optimizer, interval):
    """At the step and with the state of numpy's run; the others have the bits that they have among themselves."""
    calm = dataclasses.replace(optimizer, learning_rate=0.01)
    cohort = cohort_of(WILD, X, Y, [calm, optimizer, calm, dataclasses.replace(optimizer, learning_rate=2.0), calm])
    state = beginning(cohort)
    got = taken(in_lanes(cohort), state, 3000, interval=interval)
    wanted = taken(in_numpy(cohort), state, 3000, interval=interval)
    assert got.good[[0, 2, 4]].tolist() == [3000] * 3
    assert (got.good[[1, 3]] > 0).all()
    assert (got.good[[1, 3]] < 3000).all()
    assert np.abs(got.good - wanted.good).max() <= 1  # where it ends, rounding decides
    assert np.isfinite(got.state.theta).all()
    assert np.isfinite(got.state.memory).all()
    for i in (1, 3):
        good = int(got.good[i])
        again = taken(in_lanes(cohort), state.take(np.array([i])), good, which=[i], interval=interval)
        same(got._replace(costs=got.costs[:, : again.costs.shape[1]]), again, slice(i, i + 1))
        assert np.isfinite(got.costs[i]).sum() in (again.costs.size, again.costs.size + 1)
    which = np.array([0, 2, 4])
    same(got, taken(in_lanes(cohort), state.take(which), 3000, which=which, interval=interval), which)


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("optimizer", [fx.SGD(0.0), fx.SGD(fx.schedules.cosine(1.0, steps=2000))], ids=["all", "rates"])
@pytest.mark.parametrize("interval", [1, 7, 10_000])
def test_some_that_diverge_sooner_or_later_leave_the_others_together(monkeypatch, optimizer, interval, batch_size):
    """Those pause and go on in groups that are full, each with the bits and records that it has alone."""
    calls, take = [], population.Session._take

    def counted(self, state, which, *rest):
        calls.append(len(which))
        return take(self, state, which, *rest)

    monkeypatch.setattr(population.Session, "_take", counted)
    rates = np.random.RandomState(0).permutation(np.concatenate([np.linspace(0.5, 1.4, 9), 10.0 ** np.arange(9)]))
    optimizers = [dataclasses.replace(optimizer, momentum=0.0) for _ in rates]
    numbers = np.stack([rates, np.zeros(len(rates))], axis=1)
    x, y = X.astype("float32"), Y.astype("float32")
    cohort = cohort_of(fx.Network([2, 1], output="identity"), x, y, optimizers, numbers=numbers, batch_size=batch_size)
    state, settings = beginning(cohort), {"steps": 1500 + np.arange(len(rates)), "first": 2, "interval": interval}
    got = taken(in_lanes(cohort), state, **settings)
    together = len(calls)
    for i, steps in enumerate(settings["steps"]):
        alone = taken(in_lanes(cohort), state.take(np.array([i])), steps, [i], 2, interval)
        same(got, alone, slice(i, i + 1))
        assert not np.isfinite(got.costs[i, alone.costs.shape[1] :]).any()
    if optimizer.learning_rate == 0.0:
        diverged = got.good < settings["steps"]
        assert diverged.any()
        assert not diverged.all()
        assert together > 1
        assert calls[1] < len(rates)


@pytest.mark.parametrize("steps", [3, 5])
def test_whoever_takes_a_last_step_as_another_diverges_takes_none_again(steps):
    """Those that wait come in at once, and those that are left begin anew beside them."""
    k = 2 * LANES["float64"]
    cohort = cohort_of(WILD, X, Y, [fx.SGD(1e200 if i == 2 else 0.01 * (i + 1)) for i in range(k)])
    state = beginning(cohort)
    got = taken(in_lanes(cohort), state, steps, interval=100)
    assert got.good[2] < steps
    for i in range(0, k, 3):
        same(got, taken(in_lanes(cohort), state.take(np.array([i])), steps, [i], interval=100), slice(i, i + 1))


def test_a_cost_that_is_not_finite_ends_a_run():
    cohort = cohort_of(WILD, X, 1e200 * Y, [fx.SGD(0.0)] * MEMBERS)
    got = taken(in_lanes(cohort), beginning(cohort), 20, first=[5, 6, 7, 30, 5])
    assert got.good.tolist() == [5, 6, 7, 20, 5]
    assert np.isnan(got.costs).all()


def test_angles_of_any_size():
    network = fx.Network([2, 3, 1], hidden="sin", output="identity")
    cohort = cohort_of(network, np.array([[1, 1e7, 3e9, 1], [0, 1, 0.5, 2]]), Y, [fx.SGD(1e-3)] * MEMBERS)
    state = beginning(cohort)
    close(taken(in_lanes(cohort), state, 1), taken(in_numpy(cohort), state, 1), 1e-6)


def test_threads_take_a_share_each():
    k = 100
    cohort = cohort_of(XOR, X, Y, [fx.SGD(0.3)] * k)
    state = beginning(cohort)
    same(taken(in_lanes(cohort, threads=3), state), taken(in_lanes(cohort), state))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 40])
def test_numbers_are_dealt_out_once_each(count, threads):
    seen = []
    parallel_for(count, threads, seen.append)
    assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_ends_all_threads(threads):
    seen = []

    def work(number):
        seen.append(number)
        time.sleep(0.001)
        if number == 5:
            raise ValueError("five")

    before = threading.active_count()
    with pytest.raises(ValueError, match="five"):
        parallel_for(10_000, threads, work)
    assert len(seen) < 100
    assert threading.active_count() == before


def test_no_more_threads_are_to_be_had(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", raises(RuntimeError("can't start new thread")))
    seen = []
    parallel_for(7, 3, seen.append)
    assert seen == list(range(7))


def raises(error):
    def function(*arguments):
        raise error

    return function


# ---------------------------------------------------------------- a pass forward


def seen(network, k, m, own=False, dtype="float64"):
    """Parameters, X and Y of k networks, of data of their own or not."""
    many = [random_data(network, m, seed) for seed in range(k if own else 1)]
    x, y = (np.stack(arrays) if own else arrays[0] for arrays in zip(*many, strict=True))
    theta = np.random.default_rng(1).standard_normal((k, network.count))
    return theta.astype(dtype), x.astype(dtype), y.astype(dtype)


def compared(core, network, theta, x, y, weights, threads=1):
    """Outputs and losses, beside those of one network after the other by numpy."""
    rtol = RUN[str(theta.dtype)]
    got = core.outputs(network, theta, x, threads), core.losses(network, theta, x, y, weights, threads)
    wanted = sequential.outputs(reference, network, theta, x, 1)
    assert got[0].shape == (len(theta), network.sizes[-1], x.shape[-1])
    assert_close(
        {"outputs": got[0], "losses": got[1]},
        {"outputs": wanted, "losses": sequential.losses(reference, network, theta, x, y, weights, 1)},
        rtol,
    )
    return got


PASSES = [
    ([2, 2, 1], "tanh", "sigmoid", 4),
    ([3, 5, 4], "relu", "softmax", 37),
    ([17, 33, 3, 2], ("gelu", "sin"), "identity", 9),
    ([4, 40, 30, 1], "tanh", "sigmoid", 700),
]


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("k", [1, 8, 21])
@pytest.mark.parametrize(("sizes", "hidden", "output", "m"), PASSES, ids=lambda value: str(value).replace(" ", ""))
def test_outputs_and_losses(sizes, hidden, output, m, k, own):
    network = fx.Network(sizes, hidden=hidden, output=output)
    for dtype in LANES:
        theta, x, y = seen(network, k, m, own, dtype)
        outputs, losses = compared(population.forward, network, theta, x, y, None, threads=2)
        for i in (0, k - 1):  # the same bits alone
            one = theta[i : i + 1], x[i : i + 1] if own else x, y[i : i + 1] if own else y
            np.testing.assert_array_equal(population.forward.outputs(network, *one[:2], 1)[0], outputs[i])
            assert population.forward.losses(network, *one, None, 1)[0] == losses[i]


def test_losses_with_weights():
    theta, x, y = seen(XOR, MEMBERS, 9)
    x[:, 8] = 1e300  # of a sample that counts for nobody
    weights = some_weights(9)
    weights[:, 8] = 0
    wanted = sequential.losses(reference, XOR, theta, x, y, weights, 1)
    np.testing.assert_allclose(population.forward.losses(XOR, theta, x, y, weights, 1), wanted, rtol=1e-12)


@pytest.mark.parametrize("where", ["theta", "X"])
def test_what_is_not_finite_has_no_outputs(where):
    theta, x, y = seen(XOR, 11, 9)
    (theta if where == "theta" else x)[-1, -1] = np.inf
    assert population.forward.outputs(XOR, theta, x, 1) is None
    if where == "theta":
        losses = population.forward.losses(XOR, theta, x, y, None, 1)
        assert np.isinf(losses).tolist() == [False] * 10 + [True]


@pytest.mark.parametrize(("sizes", "hidden", "output", "m"), PASSES[:3], ids=lambda value: str(value).replace(" ", ""))
def test_a_pass_unjitted(sizes, hidden, output, m):
    network = fx.Network(sizes, hidden=hidden, output=output)
    compared(plain().forward, network, *seen(network, 9, m), None)


@pytest.mark.parametrize("is_small", [True, False])
def test_the_backend_chooses(monkeypatch, is_small):
    monkeypatch.setattr(choices, "MAX_LANE_PASS_WORK", 10**9 if is_small else 0)
    monkeypatch.setattr(choices, "MAX_LANE_STEP_WORK", 10**9 if is_small else 0)
    cohort = cohort_of(XOR, X, Y, [fx.SGD(rate) for rate in RATES])
    state, weights = beginning(cohort), some_weights(4)
    core = backends.resolve("numba")
    assert isinstance(core.open_cohort(cohort), population.Session) is is_small
    close(taken(core.open_cohort(cohort), state), taken(in_numpy(cohort), state), RUN["float64"])
    other = backends.resolve("numpy")
    got = core.cohort_outputs(XOR, state.theta, X, None)
    np.testing.assert_allclose(got, other.cohort_outputs(XOR, state.theta, X, None), rtol=1e-12)
    got = core.cohort_losses(XOR, state.theta, X, Y, weights, 2)
    np.testing.assert_allclose(got, other.cohort_losses(XOR, state.theta, X, Y, weights, 2), rtol=1e-12)


class Turned:
    """Orders that follow from the epoch alone, and are asked for in turn."""

    def __init__(self, samples, shift):
        self.samples, self.shift = samples, shift

    def orders(self, first, count):
        return np.stack([np.roll(np.arange(self.samples), self.shift * (first + i + 1)) for i in range(count)])


ENDS = [
    ("sigmoid", "binary_cross_entropy", 1),
    ("softmax", "cross_entropy", 3),
    ("identity", "squared_error", 2),
    ("exponential", "poisson", 1),
]


@pytest.mark.parametrize(("output", "loss", "n_y"), ENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_members_with_samples_and_orders_of_their_own(core_of_both, output, loss, n_y, dtype, l2):
    """As scikit-learn's estimators are trained: their batches' losses and penalties, in a lane as by itself."""
    rng = np.random.RandomState(0)
    x = rng.randn(3, 40).astype(dtype)
    y = np.eye(n_y)[rng.randint(n_y, size=40)].T if n_y == 3 else rng.randint(2, size=(n_y, 40))
    parts = [(0, 13), (13, 20), (0, 13), (5, 33), (33, 7)]
    optimizers = [fx.optimizers.EpsilonHatAdam(rate) for rate in np.linspace(0.001, 0.1, len(parts))]
    cohort = cohort_of(
        fx.Network([3, 4, n_y], "relu", output, loss),
        x,
        y.astype(dtype),
        optimizers,
        penalties=np.array([(i * l2, 0.0, np.inf) for i in range(len(parts))]),
        batch_size=8,
        own=[SampleRange(first, count, Turned(count, i + 1)) for i, (first, count) in enumerate(parts)],
        scikit=True,
    )
    assert cohort.sample_counts().tolist() == [13, 20, 13, 33, 7]
    state, steps = beginning(cohort), cohort.steps_per_epoch() * 3
    lanes = population.Session(cohort, 1)
    got = taken(lanes, state, steps, interval=1)
    wanted = taken(SequentialSession(cohort, core_of_both.open), state, steps, interval=1)
    tolerance = {"rtol": 1e-9, "atol": 1e-12} if dtype == "float64" else {"rtol": 2e-3, "atol": 2e-5}
    np.testing.assert_allclose(got.costs, wanted.costs, **tolerance)
    np.testing.assert_allclose(got.state.theta, wanted.state.theta, **tolerance)
    for i in (0, 3):  # by itself, and from where it was
        alone = taken(lanes, state.take([i]), [2], [i], interval=1)
        alone = taken(lanes, alone.state, steps[[i]] - 2, [i], interval=1)
        np.testing.assert_array_equal(alone.state.theta[0], got.state.theta[i])


@pytest.fixture(params=["numpy", "numba"])
def core_of_both(request):
    return backends.resolve(request.param)


# ---------------------------------------------------------------- targets


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("interval", [1, 7, 100])
def test_targets_end_members_where_their_records_say_so(monkeypatch, interval, exact):
    """As by the reference, one after the other; and with the bits that each has alone."""
    force(monkeypatch, population, exact)
    draw = np.random.RandomState(0)
    k = 3 * LANES["float64"] + 3
    cohort = cohort_of(XOR, X, Y, [fx.SGD(rate) for rate in 10 ** draw.uniform(-1, 0, k)])
    state, targets = beginning(cohort), draw.uniform(0.05, 0.69, k)
    targets[::5] = -np.inf
    steps, first = draw.randint(1, 900, k), draw.randint(0, interval, k)
    both = [
        session.advance(state, np.arange(k), steps, first, interval, targets)
        for session in (in_lanes(cohort, 2), in_numpy(cohort))
    ]
    got, wanted = both
    np.testing.assert_array_equal(got.finished, wanted.finished)
    assert 2 < got.finished.sum() < k - 2
    assert not got.finished[::5].any()
    close(got, wanted, 1e-6)
    for i in range(0, k, 4):
        alone = in_lanes(cohort).advance(
            state.take(np.array([i])), np.array([i]), steps[[i]], first[[i]], interval, targets[[i]]
        )
        same(got, alone, slice(i, i + 1))
        assert got.finished[i] == alone.finished[0]


@pytest.mark.parametrize("why", ["target", "divergence"])
def test_those_that_are_done_make_room(monkeypatch, why):
    """A group is full as long as networks wait: of three groups' members two of three are done at once."""
    force(monkeypatch, plain(), False)
    step = importlib.import_module(f"{plain().__name__}.step")
    counted, finish = [], step.finish
    monkeypatch.setattr(step, "finish", lambda *arguments: counted.append(1) or finish(*arguments))
    V, steps = LANES["float64"], np.full(3 * LANES["float64"], 120)
    out = np.arange(3 * V) % 3 > 0
    rates = np.where(out & (why == "divergence"), 1e200, 1e-3)
    cohort = cohort_of(WILD, X, Y, [fx.SGD(rate) for rate in rates])
    targets = np.where(out, 9.0, -np.inf) if why == "target" else None
    session = plain().Session(cohort, 1)
    got = session.advance(beginning(cohort), np.arange(3 * V), steps, 0 * steps, 100, targets)
    assert (got.good[~out] == 120).all()
    assert (got.good[out] < 9).all()
    assert np.isfinite(got.costs[~out]).all()
    assert 120 <= len(counted) < 180  # and not 360
