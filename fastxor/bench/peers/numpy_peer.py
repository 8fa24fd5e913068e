"""Hand-written numpy: the textbook's lines, the same without temporaries, and the tutorial's own program."""

from __future__ import annotations

from functools import partial

import numpy as np

from fastxor.bench import tutorial_numpy
from fastxor.bench.problems import BETA1, BETA2, EPSILON, Array, Contenders, Problem, Result, flat, views

KINDS = ("train", "functions", "gradient", "predict")


def hidden(problem: Problem, Z: Array, out: Array | None = None) -> Array:
    return np.tanh(Z, out=out) if problem.hidden == "tanh" else np.maximum(Z, 0, out=out)


def slope(problem: Problem, A: Array) -> Array:
    """The hidden activation's derivative, from its value."""
    return 1 - A * A if problem.hidden == "tanh" else A > 0


def output(problem: Problem, Z: Array) -> Array:
    if problem.output == "sigmoid":
        return 1 / (1 + np.exp(-Z))
    if problem.output == "softmax":
        E = np.exp(Z - Z.max(axis=0))
        return E / E.sum(axis=0)
    return Z


def forward(problem: Problem, parameters: Result, X: Array) -> list[Array]:
    """X and every layer's activations."""
    activations = [X]
    for layer in problem.layers:
        Z = parameters[f"W{layer}"] @ activations[-1] + parameters[f"b{layer}"]
        activations.append(output(problem, Z) if layer == len(problem.layers) else hidden(problem, Z))
    return activations


def gradient(problem: Problem, parameters: Result, X: Array, Y: Array) -> tuple[Array, Result]:
    """The outputs and the mean cost's gradient, by parameter: every output here goes with a loss where dZ = A - Y."""
    activations = forward(problem, parameters, X)
    grads = {}
    dZ = (activations[-1] - Y) / X.shape[1]
    for layer in reversed(problem.layers):
        grads[f"W{layer}"] = dZ @ activations[layer - 1].T
        grads[f"b{layer}"] = dZ.sum(axis=1, keepdims=True)
        if layer > 1:
            dZ = parameters[f"W{layer}"].T @ dZ * slope(problem, activations[layer - 1])
    return activations[-1], {key: grads[key] for key in parameters}


def textbook(problem: Problem, iterations: int) -> Result:
    """The lines of the textbook, with new arrays all the time: the reference."""
    X, Y = problem.data
    parameters = {key: value.copy() for key, value in problem.start.items()}
    momentum = {key: np.zeros_like(value) for key, value in parameters.items()}
    squares = {key: np.zeros_like(value) for key, value in parameters.items()}
    orders = None if problem.batch is None else problem.orders(iterations)
    for t in range(1, iterations + 1):
        x, y = (X, Y) if orders is None else (X[:, orders[t - 1]], Y[:, orders[t - 1]])
        _, grads = gradient(problem, parameters, x, y)
        for key, grad in grads.items():
            if problem.adam:
                momentum[key] = BETA1 * momentum[key] + (1 - BETA1) * grad
                squares[key] = BETA2 * squares[key] + (1 - BETA2) * grad**2
                step = momentum[key] / (1 - BETA1**t) / (np.sqrt(squares[key] / (1 - BETA2**t)) + EPSILON)
            else:
                step = grad
            parameters[key] = parameters[key] - problem.learning_rate * step
    return parameters


def in_place(problem: Problem, iterations: int) -> Result:
    """The same with every array allocated once, and one flat vector for the optimizer."""
    X, Y = problem.data
    m = problem.batch or problem.m
    P = flat(problem.start)
    G, M, V, step = (np.zeros_like(P) for _ in range(4))
    parameters, grads = views(P, problem.start), views(G, problem.start)
    A = [X, *(np.empty((n, m), problem.dtype) for n in problem.sizes[1:])]
    D = [np.empty_like(a) for a in A]
    last = len(problem.layers)
    orders = None if problem.batch is None else problem.orders(iterations)
    rows = None if orders is None else (np.ascontiguousarray(X.T), np.ascontiguousarray(Y.T))
    y = Y
    for t in range(1, iterations + 1):
        if rows is not None:
            A[0], y = (array[orders[t - 1]].T for array in rows)
        for layer in problem.layers:
            np.matmul(parameters[f"W{layer}"], A[layer - 1], out=A[layer])
            A[layer] += parameters[f"b{layer}"]
            if layer < last:
                hidden(problem, A[layer], A[layer])
        A[last] = output(problem, A[last])
        np.subtract(A[last], y, out=D[last])
        D[last] *= 1 / m
        for layer in reversed(problem.layers):
            np.matmul(D[layer], A[layer - 1].T, out=grads[f"W{layer}"])
            np.sum(D[layer], axis=1, keepdims=True, out=grads[f"b{layer}"])
            if layer > 1:
                np.matmul(parameters[f"W{layer}"].T, D[layer], out=D[layer - 1])
                D[layer - 1] *= slope(problem, A[layer - 1])
        if problem.adam:
            M *= BETA1
            M += np.multiply(G, 1 - BETA1, out=step)
            V *= BETA2
            np.multiply(G, G, out=step)
            step *= 1 - BETA2
            V += step
            np.multiply(V, 1 / (1 - BETA2**t), out=step)
            np.sqrt(step, out=step)
            step += EPSILON
            np.divide(M, step, out=step)
            step *= problem.learning_rate / (1 - BETA1**t)
        else:
            np.multiply(G, problem.learning_rate, out=step)
        P -= step
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
        A, grads = gradient(problem, problem.start, X, Y)
        cost = ((A - Y) ** 2).sum() / (2 * problem.m)
    return {"cost": cost, **{f"d{key}": value for key, value in grads.items()}}


def predict_calls(problem: Problem, calls: int) -> Result:
    X, _ = problem.data
    for _ in range(calls):
        outputs = forward(problem, problem.start, X)[-1]
    return {"outputs": outputs}


def contenders(problem: Problem, threads: int) -> Contenders:
    if problem.kind == "gradient":
        return {"numpy": {"textbook": partial(gradient_calls, problem)}}
    if problem.kind == "predict":
        return {"numpy": {"textbook": partial(predict_calls, problem)}}
    if problem.kind == "functions":
        return {"tutorial": {"own loop": partial(functions, problem)}}
    runs: Contenders = {"numpy": {"textbook": partial(textbook, problem), "in place": partial(in_place, problem)}}
    if problem.name.startswith("xor"):
        runs["tutorial"] = {"the tutorial's program": partial(tutorial, problem)}
    return runs


def version() -> str:
    return f"numpy {np.__version__}"


def reference(problem: Problem) -> Result:
    """What every run of `problem.check` iterations is compared with."""
    calls = {"train": textbook, "functions": textbook, "gradient": gradient_calls, "predict": predict_calls}
    return calls[problem.kind](problem, problem.check)
