"""What is in the memory that a workspace is given does not matter."""

import numpy as np
import pytest
from engine_cases import OPTIMIZERS, job_with
from support import assert_same_dict

import fastxor as fx
import fastxor.backends.fused as fused
from fastxor.backends.fused import choices, session, workspace
from fastxor.backends.fused.pool import Pool

SHAPES = (2, 2, 1), (3, 5, 2), (17, 33, 5, 3), (40, 9, 1)


@pytest.fixture(params=[np.nan, 3.7])
def spoilt(monkeypatch, request):
    """Every workspace begins with the remains of something else."""
    aligned, began = workspace._aligned, []

    def remains(make, length, dtype):
        work = aligned(make, length, dtype)
        if make is np.empty:
            work[:] = request.param
            began.append(length)
        return work

    def spoil():
        monkeypatch.setattr(choices, "MAX_CLEARED_BYTES", 0)
        monkeypatch.setattr(workspace, "_aligned", remains)
        clear()
        return began

    def clear():
        for pool in (session._pool, fused._pool):
            pool.clear()

    clear()
    return spoil


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_of_training(monkeypatch, spoilt, sizes, optimizer, dtype):
    monkeypatch.setattr(choices, "MIN_LOCKSTEP_OPERATIONS", 0.0)
    names = ("tanh", "gelu")[: len(sizes) - 2]
    output = ("softmax", "cross_entropy") if sizes[-1] > 1 else ("sigmoid", "binary_cross_entropy")
    jobs = [
        job_with(sizes, names, *output, optimizer, batch, m, dtype)
        for m, batch in ((3, None), (100, None), (100, 30), (1100, None), (1100, 700))
        if not (batch and optimizer == "rprop")
    ]
    runs = [(job.train("numba", threads=1), job.train("numba", threads=2)) for job in jobs]
    began = spoilt()
    for job, wanted in zip(jobs, runs, strict=True):
        for threads, run in enumerate(wanted, 1):
            again = job.train("numba", threads=threads)
            assert_same_dict(again.parameters, run.parameters, rtol=0)
            assert again.history == run.history
    assert began


@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("m", [1, 3, 100, 1100])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_of_a_pass(spoilt, sizes, m, dtype):
    net = fx.Network(sizes, "tanh", output="identity")
    draw = np.random.RandomState(0)
    X, Y = draw.randn(sizes[0], m).astype(dtype), draw.randn(sizes[-1], m).astype(dtype)
    theta = net.flatten(net.initialize(0)).astype(dtype)

    def all_of_them():
        outputs, pullback = fused.vjp(net, theta, X)
        passes = fused.forward(net, theta, X), fused.outputs(net, theta, X), fused.gradient(net, theta, X, Y)[1]
        residuals = fused.residuals(net, X, Y, None)
        parts = [part.copy() for part in residuals.parts(theta)]
        return [*passes, fused.loss(net, theta, X, Y), outputs, *pullback(Y), residuals.values(theta), *parts]

    wanted = all_of_them()
    began = spoilt()
    for found, expected in zip(all_of_them(), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert began


@pytest.mark.parametrize("threads", [None, 1, 2])
@pytest.mark.parametrize("sizes", [(2, 3, 1), (300, 128, 10)])
def test_a_run_has_that_of_the_last_one_of_its_kind(monkeypatch, sizes, threads):
    """However large: a short run would take several steps' time to have another one's pages from the system."""
    made = []
    monkeypatch.setattr(session, "_pool", Pool(lambda *kind: made.append(kind) or session._Buffers(*kind)))
    net, draw = fx.Network(sizes, "relu", "identity"), np.random.RandomState(0)
    X, Y = draw.randn(sizes[0], 200).astype(np.float32), draw.randn(sizes[-1], 200).astype(np.float32)
    runs = [
        fx.train(net, X, Y, optimizer=fx.Adam(rate), batch_size=128, iterations=3, random_state=0, threads=threads)
        for rate in (0.01, 0.01, 0.02, 0.01)
    ]
    assert len(made) == (2 if sizes[0] == 2 else 3)
    for run in runs[1::2]:
        assert_same_dict(run.parameters, runs[0].parameters, rtol=0)
