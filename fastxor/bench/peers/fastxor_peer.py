"""fastxor itself: its fused core, and its numpy reference beside it."""

from __future__ import annotations

from functools import partial

import numba

import fastxor as fx
from fastxor.bench import tutorial_numpy
from fastxor.bench.problems import BETA1, BETA2, EPSILON, Contenders, Problem, Result

KINDS = ("train", "functions", "gradient", "predict")


def network(problem: Problem) -> fx.Network:
    return fx.Network(problem.sizes, hidden=problem.hidden, output=problem.output, loss=problem.loss)


def train(problem: Problem, net: fx.Network, backend: str, threads: int, iterations: int) -> Result:
    X, Y = problem.data
    rate = problem.learning_rate
    run = fx.train(
        net,
        X,
        Y,
        parameters=problem.start,
        optimizer=fx.Adam(rate, BETA1, BETA2, EPSILON) if problem.adam else fx.SGD(rate),
        iterations=iterations,
        batch_size=problem.batch,
        random_state=problem.generator(),
        backend=backend,
        interval=iterations,  # no peer works out costs on its way
        threads=threads,
    )
    return dict(run.parameters)


def functions(problem: Problem, net: fx.Network, backend: str, threads: int, iterations: int) -> Result:
    with fx.use_backend(backend):
        return tutorial_numpy.own_loop(fx, *problem.data, problem.start, iterations, problem.learning_rate)


def own(problem: Problem, net: fx.Network) -> Result:
    """The starting parameters as fastxor hands them out, views of one vector."""
    return fx.train(net, *problem.data, parameters=problem.start, iterations=0).parameters


def gradient_calls(problem: Problem, net: fx.Network, backend: str, threads: int, calls: int) -> Result:
    X, Y = problem.data
    parameters = own(problem, net)
    with fx.use_backend(backend):
        for _ in range(calls):
            cost, grads = net.gradient(parameters, X, Y)
    return {"cost": cost, **grads}


def predict_calls(problem: Problem, net: fx.Network, backend: str, threads: int, calls: int) -> Result:
    X, _ = problem.data
    parameters = own(problem, net)
    with fx.use_backend(backend):
        for _ in range(calls):
            outputs = net.predict(parameters, X)
    return {"outputs": outputs}


def contenders(problem: Problem, threads: int) -> Contenders:
    kinds = {"train": train, "functions": functions, "gradient": gradient_calls, "predict": predict_calls}
    fused, plain = (
        partial(kinds[problem.kind], problem, network(problem), backend, threads) for backend in ("numba", "numpy")
    )
    fx.warmup(network(problem), problem.m)  # what a long run would compile, as the other peers' compilers have done
    return {"fastxor": {"numba": fused}, "fastxor's numpy": {"numpy": plain}}


def version() -> str:
    return f"fastxor {fx.__version__}, numba {numba.__version__}"
