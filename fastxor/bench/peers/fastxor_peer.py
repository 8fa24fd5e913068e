"""fastxor itself: its fused core, and its numpy reference beside it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numba

import fastxor as fx
from fastxor.bench import tutorial_numpy
from fastxor.bench.problems import Contenders, Problem, Result

KINDS = ("train", "stopping", "functions", "gradient", "vjp", "jacobian", "predict", "population")


def train(problem: Problem, backend: str, threads: int, iterations: int) -> Result:
    """No peer works out costs on its way."""
    return dict(problem.train(backend, iterations=iterations, interval=iterations, threads=threads).parameters)


def stopping(problem: Problem, backend: str, threads: int, iterations: int) -> Result:
    """With a patience without end, so that it is known how long it takes."""
    epochs = -(-iterations // problem.per_epoch)
    rule = fx.EarlyStopping(10**9, restore_best=False)
    arguments = {"iterations": None, "interval": None, "validation": problem.held, "early_stopping": rule}
    return dict(problem.train(backend, epochs=epochs, threads=threads, **arguments).parameters)


def functions(problem: Problem, backend: str, threads: int, iterations: int) -> Result:
    with fx.use_backend(backend):
        return tutorial_numpy.own_loop(fx, *problem.data, problem.start, iterations, problem.learning_rate)


def own(problem: Problem) -> Result:
    """The starting parameters as fastxor hands them out, views of one vector."""
    return problem.train("numpy", iterations=0).parameters


def gradient_calls(problem: Problem, backend: str, threads: int, calls: int) -> Result:
    X, Y = problem.data
    net, parameters = problem.network, own(problem)
    with fx.use_backend(backend):
        for _ in range(calls):
            cost, grads = net.gradient(parameters, X, Y)
    return {"cost": cost, **grads}


def vjp_calls(problem: Problem, backend: str, threads: int, calls: int) -> Result:
    X, dA = problem.data
    net, parameters = problem.network, own(problem)
    with fx.use_backend(backend):
        for _ in range(calls):
            outputs, pullback = net.vjp(parameters, X)
            grads, dX = pullback(dA)
    return {"outputs": outputs, "dX": dX, **grads}


def jacobian_calls(problem: Problem, backend: str, threads: int, calls: int) -> Result:
    X, _ = problem.data
    net, parameters = problem.network, own(problem)
    with fx.use_backend(backend):
        for _ in range(calls):
            J = net.jacobian(parameters, X)
    return {"jacobian": J}


def predict_calls(problem: Problem, backend: str, threads: int, calls: int) -> Result:
    X, _ = problem.data
    net, parameters = problem.network, own(problem)
    with fx.use_backend(backend):
        for _ in range(calls):
            outputs = net.predict(parameters, X)
    return {"outputs": outputs}


def population(problem: Problem, backend: str, threads: int, iterations: int) -> Result:
    pop = fx.train_population(
        problem.network,
        *problem.data,
        parameters=problem.start,
        optimizer=replace(problem.optimizer, learning_rate=problem.rates),  # type: ignore[arg-type]  # a dataclass
        iterations=iterations,
        interval=iterations,
        backend=backend,
        threads=threads,
    )
    return dict(pop.parameters)


def contenders(problem: Problem, threads: int) -> Contenders:
    if problem.kind == "population":
        fx.warmup(problem.network, problem.m, problem.members, problem.optimizer)
        return {"fastxor": {"numba": partial(population, problem, "numba", threads)}}
    calls = {"gradient": gradient_calls, "vjp": vjp_calls, "jacobian": jacobian_calls, "predict": predict_calls}
    kinds = {"train": train, "stopping": stopping, "functions": functions, **calls}
    fused, plain = (partial(kinds[problem.kind], problem, backend, threads) for backend in ("numba", "numpy"))
    fx.warmup(problem.network, problem.m)  # what a long run would compile, as the other peers' compilers have done
    return {"fastxor": {"numba": fused}, "fastxor's numpy": {"numpy": plain}}


def version() -> str:
    return f"fastxor {fx.__version__}, numba {numba.__version__}"
