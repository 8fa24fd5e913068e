"""Hand-written numpy: the textbook's lines, and the tutorial's own program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

import fastxor as fx
from fastxor.bench import tutorial_numpy
from fastxor.bench.problems import Array, Contenders, Problem, Result, flat, views, xor

KINDS = ("train", "functions", "gradient", "vjp", "jacobian", "predict", "population")

LOOPED = 1024  # networks up to which the tutorial's program is asked to train one after the other

HIDDEN = {"tanh": np.tanh, "relu": lambda Z: np.maximum(Z, 0)}
SLOPES = {"tanh": lambda A: 1 - A * A, "relu": lambda A: A > 0}  # from the activation's value


def output(problem: Problem, Z: Array) -> Array:
    if problem.output == "sigmoid":
        return 1 / (1 + np.exp(-Z))
    if problem.output == "softmax":
        E = np.exp(Z - Z.max(axis=0))
        return E / E.sum(axis=0)
    return Z


def forward(problem: Problem, parameters: Result, X: Array) -> list[Array]:
    """X and every layer's activations."""
    A = [X]
    for layer, activation in enumerate(problem.network.hidden, 1):
        A.append(HIDDEN[activation](parameters[f"W{layer}"] @ A[-1] + parameters[f"b{layer}"]))
    last = len(A)
    return [*A, output(problem, parameters[f"W{last}"] @ A[-1] + parameters[f"b{last}"])]


def gradient(problem: Problem, parameters: Result, X: Array, Y: Array, grads: Result) -> Array:
    """Fill `grads`, by parameter, with the mean cost's gradient: every output here goes with a loss where dZ = A - Y.
    The outputs."""
    A = forward(problem, parameters, X)
    dZ = (A[-1] - Y) / X.shape[1]
    for layer in reversed(problem.layers):
        np.matmul(dZ, A[layer - 1].T, out=grads[f"W{layer}"])
        dZ.sum(axis=1, keepdims=True, out=grads[f"b{layer}"])
        if layer > 1:
            dZ = parameters[f"W{layer}"].T @ dZ * SLOPES[problem.network.hidden[layer - 2]](A[layer - 1])
    return A[-1]


def steps(problem: Problem, start: Result, batches: Iterable[Array | None]) -> Iterator[tuple[Result, Array]]:
    """Each optimizer as its paper has it: the parameters after each step, and the outputs that it began with."""
    X, Y = problem.data
    if problem.batch is not None:
        X, Y = np.asfortranarray(X), np.asfortranarray(Y)  # a sample in one piece is sooner read
    optimizer, theta = problem.optimizer, flat(start)
    slope, first, second = (np.zeros_like(theta) for _ in range(3))
    parameters, grads = views(theta, start), views(slope, start)
    if isinstance(optimizer, fx.Rprop):
        second += optimizer.learning_rate
    for t, batch in enumerate(batches, 1):
        x, y = (X, Y) if batch is None else (X[:, batch], Y[:, batch])
        outputs = gradient(problem, parameters, x, y, grads)
        if isinstance(optimizer, fx.AdamW):
            for layer in problem.layers:
                parameters[f"W{layer}"] *= 1 - optimizer.learning_rate * optimizer.weight_decay
        step, first, second = move(optimizer, t, slope, first, second)
        theta -= step
        yield parameters, outputs


def move(optimizer: fx.optimizers.Optimizer, t: int, slope: Array, first: Array, second: Array) -> list[Array]:
    """What step t takes from the parameters, and the optimizer's two memories after it."""
    if isinstance(optimizer, fx.Adam):
        first = optimizer.beta1 * first + (1 - optimizer.beta1) * slope
        second = optimizer.beta2 * second + (1 - optimizer.beta2) * slope**2
        mean, square = first / (1 - optimizer.beta1**t), second / (1 - optimizer.beta2**t)
        step = mean / (np.sqrt(square) + optimizer.epsilon)
    elif isinstance(optimizer, fx.RMSprop):
        second = optimizer.alpha * second + (1 - optimizer.alpha) * slope**2
        step = first = optimizer.momentum * first + slope / (np.sqrt(second) + optimizer.epsilon)
    elif isinstance(optimizer, fx.Rprop):
        up, down = slope * first > 0, slope * first < 0
        second = np.where(up, second * optimizer.eta_plus, np.where(down, second * optimizer.eta_minus, second))
        second = np.clip(second, optimizer.min_step, optimizer.max_step)
        first = np.where(down, 0, slope)
        return [second * np.sign(first), first, second]
    else:
        assert isinstance(optimizer, fx.SGD), "the others are no step by the gradient"
        step = slope
        if optimizer.momentum:
            first = optimizer.momentum * first + slope
            step = slope + optimizer.momentum * first if optimizer.nesterov else first
    return [optimizer.learning_rate * step, first, second]


def textbook(problem: Problem, iterations: int) -> Result:
    """The reference."""
    parameters = problem.start
    for parameters, _ in steps(problem, problem.start, islice(problem.batches(), iterations)):  # noqa: B007
        pass
    return parameters


def tutorial(problem: Problem, iterations: int) -> Result:
    """The tutorial's program, its cost in every iteration included; it makes one update more than it is asked for."""
    X, Y = problem.data
    return tutorial_numpy.model(
        X, Y, *problem.sizes, iterations - 1, problem.learning_rate, print_cost=False, parameters=problem.start
    )


def functions(problem: Problem, iterations: int) -> Result:
    return tutorial_numpy.own_loop(tutorial_numpy, *problem.data, problem.start, iterations, problem.learning_rate)


def gradient_calls(problem: Problem, calls: int) -> Result:
    X, Y = problem.data
    for _ in range(calls):
        grads = {key: np.empty_like(value) for key, value in problem.start.items()}
        A = gradient(problem, problem.start, X, Y, grads)
        cost = ((A - Y) ** 2).sum() / (2 * problem.m)
    return {"cost": cost, **{f"d{key}": value for key, value in grads.items()}}


def vjp_calls(problem: Problem, calls: int) -> Result:
    """From the targets, as any derivative by the outputs."""
    (X, dA), parameters = problem.data, problem.start
    for _ in range(calls):
        A, grads = forward(problem, parameters, X), {}
        dZ = dA
        for layer in reversed(problem.layers):
            grads[f"dW{layer}"], grads[f"db{layer}"] = dZ @ A[layer - 1].T, dZ.sum(axis=1, keepdims=True)
            dX = parameters[f"W{layer}"].T @ dZ
            if layer > 1:
                dZ = dX * SLOPES[problem.network.hidden[layer - 2]](A[layer - 1])
    return {"outputs": A[-1], "dX": dX, **grads}


def jacobian_calls(problem: Problem, calls: int) -> Result:
    """Back from each output, for there are fewer of them than inputs."""
    (X, _), parameters = problem.data, problem.start
    last = len(problem.layers)
    for _ in range(calls):
        A = forward(problem, parameters, X)
        J = np.broadcast_to(parameters[f"W{last}"][:, :, None], (problem.sizes[-1], problem.sizes[-2], problem.m))
        for layer in range(last - 1, 0, -1):
            slopes = J * SLOPES[problem.network.hidden[layer - 1]](A[layer])
            J = np.einsum("oim,ij->ojm", slopes, parameters[f"W{layer}"], optimize=True)
    return {"jacobian": J}


def predict_calls(problem: Problem, calls: int) -> Result:
    X, _ = problem.data
    for _ in range(calls):
        outputs = forward(problem, problem.start, X)[-1]
    return {"outputs": outputs}


CALLS = {"gradient": gradient_calls, "vjp": vjp_calls, "jacobian": jacobian_calls, "predict": predict_calls}


def population(problem: Problem, iterations: int) -> Result:
    """The textbook's lines on arrays with an axis in front for the networks."""
    X, Y = problem.data
    rates = problem.rates.astype(problem.dtype)[:, None, None]
    state = {key: (value.copy(), 0 * value, 0 * value) for key, value in problem.start.items()}
    for t in range(1, iterations + 1):
        A = [X]
        for layer in problem.layers:
            Z = state[f"W{layer}"][0] @ A[-1] + state[f"b{layer}"][0]
            A.append(np.tanh(Z) if layer < len(problem.layers) else output(problem, Z))
        dZ, grads = (A[-1] - Y) / problem.m, {}
        for layer in reversed(problem.layers):
            grads[f"W{layer}"] = dZ @ A[layer - 1].swapaxes(-1, -2)
            grads[f"b{layer}"] = dZ.sum(axis=-1, keepdims=True)
            if layer > 1:
                dZ = state[f"W{layer}"][0].swapaxes(-1, -2) @ dZ * SLOPES["tanh"](A[layer - 1])
        for key, (theta, first, second) in state.items():
            step, first, second = move(replace(problem.optimizer, learning_rate=1.0), t, grads[key], first, second)
            state[key] = theta - rates * step.astype(problem.dtype), first, second
    return {key: theta for key, (theta, _first, _second) in state.items()}


def one_by_one(problem: Problem, iterations: int) -> Result:
    """The tutorial's steps, one network after the other."""
    X, Y = problem.data
    ends = []
    for i, rate in enumerate(problem.rates.tolist()):
        start = {key: value[i] for key, value in problem.start.items()}
        ends.append(tutorial_numpy.own_loop(tutorial_numpy, X, Y, start, iterations, rate))
    return {key: np.stack([end[key] for end in ends]) for key in problem.start}


def contenders(problem: Problem, threads: int) -> Contenders:
    if problem.kind == "population":
        found: Contenders = {"numpy": {"textbook": partial(population, problem)}}
        if problem.source is xor and not problem.adam and problem.members <= LOOPED:
            found["tutorial"] = {"one by one": partial(one_by_one, problem)}
        return found
    if problem.kind in CALLS:
        return {"numpy": {"textbook": partial(CALLS[problem.kind], problem)}}
    if problem.kind == "functions":
        return {"tutorial": {"own loop": partial(functions, problem)}}
    runs: Contenders = {"numpy": {"textbook": partial(textbook, problem)}}
    if problem.source is xor:
        runs["tutorial"] = {"the tutorial's program": partial(tutorial, problem)}
    return runs


def version() -> str:
    return f"numpy {np.__version__}"


def reference(problem: Problem) -> Result:
    """What every run of `problem.iterations` iterations is compared with."""
    return (CALLS | {"population": population}).get(problem.kind, textbook)(problem, problem.iterations)
