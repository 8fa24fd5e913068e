"""fastxor itself: its fused core, and its numpy reference beside it."""

from __future__ import annotations

from functools import partial

import fastxor as fx
from benchmarks.peers.problem import BETA1, BETA2, EPSILON, Contenders, Problem, Result


def network(problem: Problem) -> fx.Network:
    return fx.Network(problem.sizes, hidden=problem.hidden, output=problem.output, loss=problem.loss)


def train(problem: Problem, net: fx.Network, backend: str, iterations: int) -> Result:
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
    )
    return dict(run.parameters)


def own(problem: Problem, net: fx.Network) -> Result:
    """The starting parameters as fastxor hands them out, views of one vector."""
    return fx.train(net, *problem.data, parameters=problem.start, iterations=0).parameters


def gradient_calls(problem: Problem, net: fx.Network, backend: str, calls: int) -> Result:
    X, Y = problem.data
    parameters = own(problem, net)
    with fx.use_backend(backend):
        for _ in range(calls):
            cost, grads = net.gradient(parameters, X, Y)
    return {"cost": cost, **grads}


def predict_calls(problem: Problem, net: fx.Network, backend: str, calls: int) -> Result:
    X, _ = problem.data
    parameters = own(problem, net)
    with fx.use_backend(backend):
        for _ in range(calls):
            outputs = net.predict(parameters, X)
    return {"outputs": outputs}


def contenders(problem: Problem, threads: int) -> Contenders:
    run = {"train": train, "gradient": gradient_calls, "predict": predict_calls}[problem.kind]
    net = network(problem)
    if threads > 1:
        return {}  # no threads yet
    found: Contenders = {"fastxor": {"numba": partial(run, problem, net, "numba")}}
    found["fastxor's reference"] = {"numpy": partial(run, problem, net, "numpy")}
    return found


def version() -> str:
    return f"fastxor {fx.__version__}"
