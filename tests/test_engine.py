"""The general engine: every activation, output, loss, optimizer, batch mode and dtype in both cores, by one table.

The reference is the oracle for the compiled core and for the same source run as plain Python. The reference is held
against central differences, against the losses written out, and against the textbook's training loop.
"""

import itertools
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from engine_cases import (
    DTYPES,
    ENDS,
    FULL_BATCHES,
    JOBS,
    OPTIMIZERS,
    RUN,
    SAMPLES,
    STEP,
    TABLES,
    assert_close,
    job_with,
    optimizers_with,
    small,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support import arrays_in, assert_no_alias, assert_same_dict, frozen, guises, pairwise

import fastxor as fx
from fastxor import validation
from fastxor.backends import resolve
from fastxor.backends.fused import kernels
from fastxor.bench.peers.numpy_peer import steps
from fastxor.bench.problems import batches
from fastxor.network import ACTIVATIONS
from fastxor.state import Job as Training
from fastxor.state import State

BY_NAME = {job.name: job for job in JOBS}


@pytest.mark.parametrize(("columns", "jobs"), TABLES, ids=["hidden layers", "no hidden layer"])
def test_every_two_values_meet_in_a_job(columns, jobs):
    for one, other in itertools.combinations(columns, 2):
        met = {(getattr(row, one), getattr(row, other)) for row in jobs}
        assert met == set(itertools.product(columns[one], columns[other])), (one, other)
    # Batches that fit in one vector and wider ones.
    narrow = {(row.optimizer, (job.batch or job.m) <= 3) for row, job in jobs.items()}
    assert narrow == set(itertools.product(OPTIMIZERS, (True, False)))


def test_the_jobs_are_those_of_the_rows():
    """With last batches that are smaller."""
    for row, job in (item for _columns, jobs in TABLES for item in jobs.items()):
        assert job.network.hidden == (getattr(row, "activation", None),) * len(getattr(row, "hidden", ()))
        assert (job.network.output, job.network.loss) == row.end
        assert job.optimizer == OPTIMIZERS[row.optimizer]
        is_full = row.is_full or row.optimizer in FULL_BATCHES
        assert (job.batch is None, job.dtype, job.m, job.sizes[0]) == (is_full, row.dtype, row.m, row.n_x)
        assert job.batch is None or row.m <= 3 or (row.m > job.batch and row.m % job.batch)
    assert {job.name for job in JOBS} == set(BY_NAME)
    assert len(BY_NAME) == len(JOBS) < 200
    assert {activation for job in JOBS for activation in job.network.hidden} == set(ACTIVATIONS)
    assert {(job.output, job.loss) for job in JOBS} == set(ENDS)


# ---------------------------------------------------------------- core against core


def every_function(job, backend):
    """forward, cost, gradient and predict, with everything checked that can be without a second core."""
    net, parameters = job.network, job.start
    X, Y = job.data
    before = frozen(parameters, X, Y)
    A = net.forward(parameters, X, backend=backend)
    cost, grads = net.gradient(parameters, X, Y, backend=backend)
    answers = net.predict(parameters, X, backend=backend)
    assert frozen(parameters, X, Y) == before
    assert_no_alias((A, grads, answers), parameters, X, Y)
    assert net.cost(parameters, X, Y, backend=backend) == cost
    assert type(cost) is float
    assert A.shape == (job.sizes[-1], job.m)
    assert list(grads) == ["d" + key for key in parameters]
    assert {a.dtype for a in arrays_in((A, grads))} == {np.dtype(job.dtype)}
    assert all(grads["d" + key].shape == value.shape for key, value in parameters.items())
    if job.output == "softmax":
        np.testing.assert_array_equal(answers, A.argmax(axis=0))
    else:
        np.testing.assert_array_equal(answers, A >= 0.5 if job.output == "sigmoid" else A)
        assert answers.dtype == (np.dtype(int) if job.output == "sigmoid" else A.dtype)
    return {"A": A, "cost": np.float64(cost), **grads}


def assert_pass_agrees(job, backend):
    assert_close(every_function(job, backend), every_function(job, "numpy"), STEP[job.dtype])


def checked_run(job, backend, **changes):
    """A whole run, likewise."""
    net, parameters = job.network, job.start
    X, Y = job.data
    before = frozen(parameters, X, Y)
    run = job.train(backend, parameters=parameters, **changes)
    assert frozen(parameters, X, Y) == before
    assert_no_alias(run.parameters, parameters, X, Y)
    assert run.network == net
    assert run.iterations == job.iterations
    assert list(run.history) == list(range(0, job.iterations, changes.get("interval", 3)))
    assert all(type(k) is int and type(v) is float and math.isfinite(v) for k, v in run.history.items())
    assert list(run.parameters) == list(parameters)
    for key, value in parameters.items():
        assert run.parameters[key].shape == value.shape
        assert run.parameters[key].dtype == np.dtype(job.dtype)
    return run


def assert_run_agrees(job, backend):
    got, wanted = checked_run(job, backend), checked_run(job, "numpy")
    assert_same_run(got, wanted, job)


def assert_same_run(got, wanted, job):
    assert_close(got.parameters, wanted.parameters, RUN[job.dtype])
    assert_close(got.history, wanted.history, RUN[job.dtype])


@pytest.mark.parametrize("name", BY_NAME)
def test_a_run_agrees(name):
    assert_run_agrees(BY_NAME[name], "numba")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_pass_agrees(name):
    assert_pass_agrees(BY_NAME[name], "numba")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SAMPLES)
def test_every_pair_of_layer_sizes(m, dtype):
    """Blocks of registers, and what is left over beside them: forward, backward and gradient, at every width."""
    for number, sizes in enumerate(itertools.product((1, 3, 5, 17, 33), repeat=2)):
        job = job_with((*sizes, 1 + number % 3), ("tanh",), "identity", "squared_error", "sgd", None, m, dtype, number)
        assert_pass_agrees(job, "numba")


@pytest.mark.parametrize("m", range(1, 301, 13))
def test_every_number_of_samples(m):
    for more in range(13):
        job = job_with((3, 6, 4, 2), ("relu", "tanh"), "softmax", "cross_entropy", "sgd", None, m + more, "float64", m)
        assert_pass_agrees(job, "numba")


# One and two hidden layers or none, of few neurons and samples.
UNJITTED = [
    job_with(
        (*sizes, n_y + (end[0] == "softmax")),
        (name,) * (len(sizes) - 1),
        *end,
        optimizer,
        None if optimizer in FULL_BATCHES else batch_size,
        *rest,
        iterations=3,
    )
    for name, sizes, end, n_y, optimizer, batch_size, *rest in pairwise(
        {
            "activation": ACTIVATIONS,
            "sizes": ((3,), (3, 5), (1, 4, 3)),
            "end": ENDS,
            "n_y": (1, 2),
            "optimizer": tuple(OPTIMIZERS),
            "batch_size": (None, 4),
            "m": (3, 9, 5, 8, 4),
            "dtype": DTYPES,
        }
    )
]


@pytest.mark.parametrize("job", UNJITTED, ids=lambda job: job.name)
def test_the_unjitted_source_agrees(job):
    assert small(job)
    assert_pass_agrees(job, "unjitted")
    assert_run_agrees(job, "unjitted")


def test_the_compiled_core_is_another_core():
    """The selector reaches two implementations: their last bits differ somewhere, or one was tested against itself."""
    job = job_with((5, 17, 3), ("gelu",), "softmax", "cross_entropy", "adam", 32, 129, "float64")
    one, other = job.train("numpy"), job.train("numba")
    assert any(not np.array_equal(one.parameters[key], other.parameters[key]) for key in one.parameters)


# ---------------------------------------------------------------- hypothesis

JOB = st.builds(
    lambda n_x, middle, n_y, end, pair, m, dtype, seed, iterations: job_with(
        (n_x, *(size for size, _ in middle), n_y + (end[0] == "softmax")),
        tuple(activation for _, activation in middle),
        *end,
        *pair,
        m,
        dtype,
        seed,
        iterations,
    ),
    n_x=st.integers(1, 20),
    middle=st.lists(st.tuples(st.integers(1, 24), st.sampled_from(ACTIVATIONS)), max_size=3),
    n_y=st.integers(1, 9),
    end=st.sampled_from(ENDS),
    pair=st.tuples(st.sampled_from(list(OPTIMIZERS)), st.none())
    | st.tuples(st.sampled_from([name for name in OPTIMIZERS if name not in FULL_BATCHES]), st.integers(1, 80)),
    m=st.integers(1, 70),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 10_000),
    iterations=st.integers(0, 12),
)


@settings(max_examples=150, deadline=None)
@given(job=JOB)
def test_a_pass_agrees_at_any_size(job):
    assert_pass_agrees(job, "numba")


def assert_run_agrees_or_both_diverge(job, backend):
    """Some of these jobs end well above where they began; then both cores have to say so."""
    job = replace(job, dtype="float64")
    runs, said = [], []
    for core in (backend, "numpy"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            runs.append(checked_run(job, core))
        said.append([(w.category, w.filename) for w in caught])
    assert said[0] == said[1]
    assert_same_run(*runs, job)


@settings(max_examples=150, deadline=None)
@given(job=JOB)
def test_a_run_agrees_at_any_size(job):
    assert_run_agrees_or_both_diverge(job, "numba")


@settings(max_examples=12, deadline=None)
@given(job=JOB.filter(small))
def test_the_unjitted_source_agrees_at_any_size(job):
    assert_pass_agrees(job, "unjitted")
    assert_run_agrees_or_both_diverge(replace(job, iterations=min(job.iterations, 3)), "unjitted")


# ---------------------------------------------------------------- the reference against mathematics


def inputs_of_layers(net, parameters, X):
    """Z1, Z2, …: what each activation is applied to, each the output of a shorter network."""
    for depth in range(1, len(net.sizes)):
        part = fx.Network(net.sizes[: depth + 1], net.hidden[: depth - 1], "identity")
        shorter = {key: parameters[key] for number in range(1, depth + 1) for key in (f"W{number}", f"b{number}")}
        yield part.forward(shorter, X, backend="numpy")


def away_from_kinks(job):
    """A start at which no unit of a piecewise activation is near zero, and no error near huber's threshold."""
    for seed in itertools.count(job.seed):
        job = replace(job, seed=seed)
        X, Y = job.data
        *Z, last = inputs_of_layers(job.network, job.start, X)
        error = job.network.forward(job.start, X, backend="numpy") - Y
        if min(np.abs(z).min() for z in Z or [last]) > 1e-3 and np.abs(np.abs(error) - 1).min() > 1e-3:
            return job


DIFFERENTIATED = [
    job_with((3, 4, 3, 2), (activation,) * 2, output, loss, "sgd", None, 5, "float64")
    for activation in ACTIVATIONS
    for output, loss in ENDS
] + [job_with((3, 2), (), output, loss, "sgd", None, 5, "float64") for output, loss in ENDS]


@pytest.mark.parametrize("job", DIFFERENTIATED, ids=lambda job: job.name)
def test_gradients_are_those_of_central_differences(job):
    job = away_from_kinks(job)
    net, parameters = job.network, job.start
    X, Y = job.data
    h = 1e-5
    for backend in ("numpy", "numba"):
        _, grads = net.gradient(parameters, X, Y, backend=backend)
        for key, value in parameters.items():
            for place in np.ndindex(value.shape):
                costs = []
                for step in (-h, h):
                    moved = {k: v.copy() for k, v in parameters.items()}
                    moved[key][place] += step
                    costs.append(net.cost(moved, X, Y, backend=backend))
                slope = (costs[1] - costs[0]) / (2 * h)
                assert grads["d" + key][place] == pytest.approx(slope, rel=1e-6, abs=2e-9), (backend, key, place)


def loss_written_out(loss, A, Y):
    """Each loss from the outputs, as the docstrings have it."""
    if loss == "binary_cross_entropy":
        terms = -(Y * np.log(A) + (1 - Y) * np.log(1 - A))
    elif loss == "cross_entropy":
        terms = -Y * np.log(A)
    elif loss == "squared_error":
        terms = (A - Y) ** 2 / 2
    elif loss == "poisson":
        terms = A - Y + Y * np.log(np.where(Y > 0, Y, 1) / A)
    else:
        d = np.abs(A - Y)
        terms = np.where(d <= 1, d**2 / 2, d - 0.5)
    return terms.sum(axis=0).mean()


@pytest.mark.parametrize(("output", "loss"), ENDS)
def test_the_cost_is_the_loss_of_the_outputs(backend, output, loss):
    job = job_with((3, 5, 4), ("tanh",), output, loss, "sgd", None, 9, "float64")
    X, Y = job.data
    A = job.network.forward(job.start, X, backend=backend)
    wanted = loss_written_out(loss, A, Y)
    assert job.network.cost(job.start, X, Y, backend=backend) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(("output", "loss"), ENDS)
def test_the_cost_alone_has_the_bits_of_that_with_a_gradient(backend, output, loss):
    for m in (3, 70, 1100):  # one vector of samples, one tile, several
        job = job_with((3, 5, 4), ("tanh",), output, loss, "sgd", None, m, "float32")
        arguments = job.start, *job.data
        cost = job.network.cost(*arguments, backend=backend)
        assert cost == job.network.gradient(*arguments, backend=backend)[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_the_cost_is_exact_where_the_output_saturates(backend, output, dtype):
    """Computed from the logits: z on the wrong side costs z, not infinity, and the right side nothing."""
    net = fx.Network([1, 2], output=output)
    parameters = {"W1": np.array([[1], [-1]], dtype), "b1": np.zeros((2, 1), dtype)}
    Y = np.array([[1.0], [0.0]], dtype)
    for z in (1000.0, 50_000.0, 1e30):
        X = np.array([[z]], dtype)
        z = float(X[0, 0])
        assert net.cost(parameters, X, Y, backend=backend) == 0
        cost, grads = net.gradient(parameters, -X, Y, backend=backend)
        assert cost == pytest.approx(2 * z, rel=1e-6)
        np.testing.assert_array_equal(grads["db1"], [[-1], [1]])


@pytest.mark.parametrize(("optimizer", "batch_size"), optimizers_with(None, 1, 4, 16, 17, 40))
def test_a_run_is_the_loop_written_out(backend, optimizer, batch_size):
    """Each optimizer, and batches in the order of each epoch's permutation, against the textbook's loop."""
    iterations = 7 if backend == "unjitted" else 40
    sizes, activations, end = (3, 5, 4, 2), ("tanh", "relu"), ("identity", "squared_error")
    job = job_with(sizes, activations, *end, optimizer, batch_size, 17, "float64", 11, iterations)
    chosen = list(itertools.islice(job.batches(), iterations))
    taken = list(steps(job, job.start, chosen))
    wanted, targets = taken[-1][0], [job.data[1] if batch is None else job.data[1][:, batch] for batch in chosen]
    costs = [loss_written_out(job.loss, A, Y) for (_, A), Y in zip(taken, targets, strict=True)]
    run = checked_run(job, backend, interval=1)
    assert_same_dict(run.parameters, wanted, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(list(run.history.values()), costs, rtol=1e-9)


# ---------------------------------------------------------------- batches and seeds


@pytest.mark.parametrize("kind", [np.random.RandomState, np.random.default_rng])
def test_first_the_weights_then_the_order_of_the_samples(core, kind):
    """One generator gives both, whether it is handed over, made from a seed, or numpy's own."""
    job = job_with((3, 4, 2), ("tanh",), "identity", "squared_error", "sgd", 5, 13, "float64")
    rng = kind(3)
    start = job.network.initialize(rng)
    *_, (wanted, _) = steps(job, start, itertools.islice(batches(13, 5, validation.seed(rng)), 9))
    run = job.train(core, parameters=None, random_state=kind(3), iterations=9)
    assert_same_dict(run.parameters, wanted, rtol=1e-9)
    if kind is np.random.RandomState:
        by_seed = job.train(core, parameters=None, random_state=3, iterations=9)
        assert_same_dict(by_seed.parameters, run.parameters, rtol=0)
        np.random.seed(3)
        by_global = job.train(core, parameters=None, random_state=None, iterations=9)
        assert_same_dict(by_global.parameters, run.parameters, rtol=0)
        drawn = np.random.RandomState(3)
        drawn.standard_normal(job.network.count - 6)
        validation.seed(drawn)
        assert np.random.rand() == drawn.random_sample()


def test_a_full_batch_draws_no_order(core):
    rng = np.random.RandomState(4)
    JOBS[0].train(core, batch_size=None, random_state=rng)
    assert rng.random_sample() == np.random.RandomState(4).random_sample()


def test_every_sample_once_an_epoch(core):
    """Seen in the costs: with a rate of zero, each batch's cost is the mean of its samples' own."""
    job = job_with((1, 1), (), "identity", "squared_error", "sgd", 4, 11, "float64")
    X = np.zeros((1, 11))
    Y = np.sqrt(2 * 2.0 ** np.arange(11))[None]  # the cost of sample k is 2**k
    zeros = {"W1": np.zeros((1, 1)), "b1": np.zeros((1, 1))}
    run = fx.train(
        job.network, X, Y, parameters=zeros, optimizer=fx.SGD(0.0), iterations=9, batch_size=4, random_state=5,
        interval=1, backend=core,
    )  # fmt: skip
    order = batches(11, 4, validation.seed(np.random.RandomState(5)))
    for (step, cost), batch in zip(run.history.items(), order, strict=False):
        assert batch.size == (4, 4, 3)[step % 3]
        assert cost * batch.size == pytest.approx(sum(2.0**k for k in batch.tolist()), rel=1e-12)


@pytest.mark.parametrize(("optimizer", "batch_size"), optimizers_with(None, 5))
def test_the_same_seed_gives_the_same_bits(core, optimizer, batch_size):
    job = job_with((5, 17, 3), ("gelu",), "softmax", "cross_entropy", optimizer, batch_size, 33, "float64")
    first, second = (job.train(core, parameters=None, random_state=8) for _ in range(2))
    assert_same_dict(second.parameters, first.parameters, rtol=0)
    assert first.history == second.history
    other = job.train(core, parameters=None, random_state=9)
    assert not np.array_equal(other.parameters["W1"], first.parameters["W1"])


@pytest.mark.parametrize("batch_size", [None, 5])
def test_the_interval_changes_what_is_recorded_and_nothing_else(core, batch_size):
    job = job_with((5, 17, 3), ("elu",), "sigmoid", "huber", "adam", batch_size, 33, "float64", iterations=25)
    every = job.train(core, interval=1)
    for interval in (2, 7, 24, 25, 100):
        run = job.train(core, interval=interval)
        assert run.history == {k: v for k, v in every.history.items() if k % interval == 0}
        assert_same_dict(run.parameters, every.parameters, rtol=0)


def test_the_default_interval_is_a_hundred(core):
    job = job_with((1, 1), (), "sigmoid", "squared_error", "sgd", None, 3, "float64")
    X, Y = job.data
    assert list(fx.train(job.network, X, Y, random_state=0, iterations=301, backend=core).history) == [
        0,
        100,
        200,
        300,
    ]


@pytest.mark.parametrize("batch_size", [None, 5])
def test_no_iterations(backend, batch_size):
    job = job_with((5, 7, 3), ("sin",), "sigmoid", "huber", "adam", batch_size, 33, "float32", iterations=0)
    run = job.train(backend)
    assert run.iterations == 0
    assert run.history == {}
    assert_same_dict(run.parameters, job.start, rtol=0)
    assert_no_alias(run.parameters, job.start)


@pytest.mark.parametrize("optimizer", [fx.Adam(1e-3), fx.SGD(0.1, momentum=0.9), fx.SGD(0.1, 0.9, nesterov=True)])
@pytest.mark.parametrize("m", [3, 60])
def test_a_moment_that_dies_away_arrives_at_zero(core, optimizer, m):
    """And does not stay at the smallest number there is, 0.9 of which is rounded to itself: that slows every step."""
    net = fx.Network([2, 2], output="identity")
    X, Y = np.zeros((2, m), np.float32), np.ones((2, m), np.float32)
    state = State.beginning(np.ones(net.count, np.float32), optimizer)
    rows = state.memory.rows.copy()
    rows[0] = 1e-30
    state = replace(state, memory=state.memory._replace(rows=rows))
    session = resolve(core).open(Training(net, X, Y, optimizer, 2000), state)
    assert session.advance(2000, 0, 2000)[0] == 2000
    weights = net.layers[0].weight  # the inputs are 0, and so are their gradients
    np.testing.assert_array_equal(session.state().memory.rows[0][weights], 0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("m", [1, 4, 40])
def test_gradients_among_the_smallest_numbers(dtype, m):
    """With the smallest epsilon there is, what is left of them decides on whole steps: both cores leave the same."""
    net = fx.Network([2, 2], output="identity")
    tiny = float(np.finfo(dtype).tiny)
    X, Y = np.full((2, m), tiny / 16, dtype), np.ones((2, m), dtype)
    start = {"W1": np.ones((2, 2), dtype), "b1": np.zeros((2, 1), dtype)}
    one, other = (
        fx.train(net, X, Y, parameters=start, optimizer=fx.Adam(0.1, epsilon=tiny), iterations=5, backend=core)
        for core in ("numpy", "numba")
    )
    assert_same_dict(other.parameters, one.parameters, rtol=1e-6)
    np.testing.assert_array_equal(one.parameters["W1"], 1)


def test_the_history_holds_the_cost_before_the_step(core):
    job = job_with((5, 7, 3), ("tanh",), "softmax", "cross_entropy", "momentum", None, 33, "float64")
    X, Y = job.data
    run = job.train(core, interval=1)
    for iteration in (0, 1, 7, 19):
        so_far = job.train(core, iterations=iteration)
        assert job.network.cost(so_far.parameters, X, Y, backend=core) == pytest.approx(
            run.history[iteration], rel=1e-12
        )


def test_no_layout_has_an_engine_of_its_own():
    """Read-only, misaligned, F-ordered: the kernels meet one kind of array, so that none is compiled a second time."""
    values = np.array([[-3.0, 0, 2, 5, 1], [7, -1, 4, -6, 3]])
    net = fx.Network([2, 3, 2], output="identity")
    parameters = dict(net.initialize(0))
    run = {"parameters": parameters, "iterations": 5, "batch_size": 2, "random_state": 0, "backend": "numba"}

    def results(X):
        cost, grads = net.gradient(parameters, X, X, backend="numba")
        trained = fx.train(net, X, X, **run).parameters
        return {**grads, **trained, "cost": np.float64(cost), "A": net.predict(parameters, X, backend="numba")}

    wanted = results(values)
    engines = len(kernels.engine._code)
    for form in guises(values).values():
        assert_same_dict(results(form), wanted, rtol=1e-12, atol=1e-12)
    assert len(kernels.engine._code) == engines


@pytest.mark.parametrize("order", ["F", "strided", "read-only", "big-endian", "ints", "lists"])
def test_data_in_any_layout(core, order):
    job = job_with((5, 7, 3), ("tanh",), "identity", "squared_error", "adam", 6, 33, "float64")
    X, Y = (np.rint(4 * array) for array in job.data)

    def laid_out(array):
        if order == "strided":
            room = np.full((2 * array.shape[0], 3 * array.shape[1]), 9.0)
            room[::2, ::3] = array
            return room[::2, ::3]
        if order == "read-only":
            array.setflags(write=False)
            return array
        forms = {"F": np.asfortranarray, "big-endian": lambda a: a.astype(">f8"), "ints": lambda a: a.astype(int)}
        return forms[order](array) if order in forms else array.tolist()

    def outcome(form):
        given_X, given_Y = form(X.copy()), form(Y.copy())
        start = {key: np.rint(8 * value) for key, value in job.start.items()}
        start = {key: form(value / 8) if order not in ("ints",) else value / 8 for key, value in start.items()}
        run = fx.train(
            job.network, given_X, given_Y, parameters=start, optimizer=fx.Adam(0.01), iterations=9, batch_size=6,
            random_state=0, backend=core,
        )  # fmt: skip
        cost, grads = job.network.gradient(start, given_X, given_Y, backend=core)
        A = job.network.forward(start, given_X, backend=core)
        return {**run.parameters, **grads, "A": A, "cost": np.float64(cost)}

    # BLAS may take another way through another layout; the kernels see only one.
    tolerance = 0 if core == "numba" else 1e-12
    assert_same_dict(outcome(laid_out), outcome(lambda array: array), rtol=tolerance, atol=tolerance)
