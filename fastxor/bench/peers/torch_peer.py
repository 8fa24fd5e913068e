"""PyTorch: modules with an optimizer, steps by hand without autograd, and torch.compile of a block of such steps."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

import numpy as np

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # its pool of compilers outlives what it compiles

import torch
from torch import Tensor, nn

from fastxor.bench.problems import BETA1, BETA2, EPSILON, Contenders, Problem, Result, Run, xor

KINDS = ("train", "gradient", "vjp", "jacobian", "predict", "population")
HIDDEN = {"tanh": torch.tanh, "relu": torch.relu}
MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU}


def tensors(problem: Problem) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """X and Y with samples down, as PyTorch has them, and the starting parameters."""
    X, Y = (torch.tensor(np.ascontiguousarray(array.T)) for array in problem.data)
    return X, Y, {key: torch.tensor(value) for key, value in problem.start.items()}


def batches(problem: Problem, iterations: int) -> list[Tensor] | None:
    return None if problem.batch is None else list(torch.from_numpy(problem.orders(iterations)))


# Modules


def modules(problem: Problem) -> nn.Sequential:
    parts: list[nn.Module] = []
    for layer, n, k in zip(problem.layers, problem.sizes[1:], problem.sizes, strict=False):
        parts += [nn.Linear(k, n, dtype=getattr(torch, problem.dtype)), MODULES[problem.hidden]()]
        with torch.no_grad():
            parts[-2].weight.copy_(torch.tensor(problem.start[f"W{layer}"]))
            parts[-2].bias.copy_(torch.tensor(problem.start[f"b{layer}"].ravel()))
    return nn.Sequential(*parts[:-1])


def loss_of(problem: Problem) -> Callable[[Tensor, Tensor], Tensor]:
    if problem.output == "sigmoid":
        return nn.BCEWithLogitsLoss()
    if problem.output == "softmax":
        return nn.CrossEntropyLoss()
    return lambda Z, Y: nn.functional.mse_loss(Z, Y) * (problem.sizes[-1] / 2)


def parameters_of(problem: Problem, tensors: list[Tensor]) -> Result:
    return {
        key: tensor.detach().numpy().reshape(start.shape)
        for (key, start), tensor in zip(problem.start.items(), tensors, strict=True)
    }


def with_modules(problem: Problem, fused: bool, compiled: bool) -> Run:
    X, Y, _ = tensors(problem)
    loss = loss_of(problem)

    def cost(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return loss(net(x), y)

    evaluate = torch.compile(cost) if compiled else cost

    def run(iterations: int) -> Result:
        net = modules(problem)
        if problem.adam:
            optimizer = torch.optim.Adam(net.parameters(), problem.learning_rate, (BETA1, BETA2), EPSILON, fused=fused)
        else:
            optimizer = torch.optim.SGD(net.parameters(), problem.learning_rate, fused=fused)
        orders = batches(problem, iterations)
        for t in range(iterations):
            x, y = (X, Y) if orders is None else (X[orders[t]], Y[orders[t]])
            optimizer.zero_grad()
            evaluate(net, x, y).backward()
            optimizer.step()
        return parameters_of(problem, list(net.parameters()))

    return run


# By hand


def forward(problem: Problem, parameters: list[Tensor], X: Tensor, multiply: Callable = torch.mm) -> list[Tensor]:
    A = [X]
    for W, b in zip(parameters[::2], parameters[1::2], strict=True):
        Z = multiply(A[-1], W.T) + b.T
        A.append(HIDDEN[problem.hidden](Z) if len(A) < len(problem.layers) else Z)
    return A


def gradient(problem: Problem, parameters: list[Tensor], X: Tensor, Y: Tensor, multiply: Callable) -> list[Tensor]:
    A = forward(problem, parameters, X, multiply)
    outputs = {"sigmoid": torch.sigmoid, "softmax": partial(torch.softmax, dim=1)}
    dZ = (outputs.get(problem.output, lambda Z: Z)(A[-1]) - Y) / len(X)
    grads: list[Tensor] = []
    for layer in reversed(problem.layers):
        a = A[layer - 1]
        grads = [multiply(dZ.T, a), dZ.sum(0).reshape(-1, 1), *grads]
        if layer > 1:
            dA = multiply(dZ, parameters[2 * layer - 2])
            dZ = dA * (1 - a * a) if problem.hidden == "tanh" else dA * (a > 0)
    return grads


def sums(A: Tensor, B: Tensor) -> Tensor:
    """A matrix product as a broadcast sum, which a compiler can fuse with what stands around it."""
    return (A[:, :, None] * B[None]).sum(1)


def step(problem: Problem, multiply: Callable, state: tuple, X: Tensor, Y: Tensor) -> tuple:
    P, M, V, powers = state
    G = gradient(problem, P, X, Y, multiply)
    if not problem.adam:
        return [p - problem.learning_rate * g for p, g in zip(P, G, strict=True)], M, V, powers
    powers = powers * powers.new_tensor([BETA1, BETA2])
    M = [BETA1 * m + (1 - BETA1) * g for m, g in zip(M, G, strict=True)]
    V = [BETA2 * v + (1 - BETA2) * g * g for v, g in zip(V, G, strict=True)]
    size, scale = problem.learning_rate / (1 - powers[0]), 1 / (1 - powers[1])
    P = [p - size * m / (torch.sqrt(v * scale) + EPSILON) for p, m, v in zip(P, M, V, strict=True)]
    return P, M, V, powers


def by_hand(problem: Problem, block: int = 1, compiled: bool = False, multiply: Callable = torch.mm) -> Run:
    """Whole blocks of steps in one compiled graph, and what is left over step by step."""
    X, Y, start = tensors(problem)

    def steps(count: int) -> Callable:
        def several(state: tuple, X: Tensor, Y: Tensor, orders: list[Tensor] | None) -> tuple:
            for i in range(count):
                x, y = (X, Y) if orders is None else (X[orders[i]], Y[orders[i]])
                state = step(problem, multiply, state, x, y)
            return state

        return torch.compile(several) if compiled else several

    one, many = steps(1), steps(block)

    def run(iterations: int) -> Result:
        P = list(start.values())
        zeros = [torch.zeros_like(p) for p in P] if problem.adam else []
        state = P, zeros, zeros, torch.ones(2, dtype=P[0].dtype)
        orders = batches(problem, iterations)
        t = 0
        with torch.no_grad():
            while t < iterations:
                count = block if iterations - t >= block else 1
                state = (many if count > 1 else one)(state, X, Y, None if orders is None else orders[t : t + count])
                t += count
        return parameters_of(problem, state[0])

    return run


# Calls


def gradient_calls(problem: Problem, calls: int) -> Result:
    X, Y, _ = tensors(problem)
    net, loss = modules(problem), loss_of(problem)
    for _ in range(calls):
        net.zero_grad()
        cost = loss(net(X), Y)
        cost.backward()
    grads = parameters_of(problem, [p.grad for p in net.parameters()])
    return {"cost": cost.detach().numpy(), **{f"d{key}": value for key, value in grads.items()}}


def hand_calls(problem: Problem, evaluate: Callable, calls: int) -> Result:
    X, Y, start = tensors(problem)
    P = list(start.values())
    with torch.no_grad():
        for _ in range(calls):
            cost, grads = evaluate(P, X, Y)
    found = parameters_of(problem, grads)
    return {"cost": cost.numpy(), **{f"d{key}": value for key, value in found.items()}}


def cost_and_gradient(problem: Problem, P: list[Tensor], X: Tensor, Y: Tensor) -> tuple[Tensor, list[Tensor]]:
    error = forward(problem, P, X)[-1] - Y
    return (error * error).sum() / (2 * len(X)), gradient(problem, P, X, Y, torch.mm)


def pullback_calls(problem: Problem, calls: int) -> Result:
    X, dA, start = tensors(problem)
    for _ in range(calls):
        A, back = torch.func.vjp(lambda P, X: forward(problem, P, X)[-1], list(start.values()), X)
        grads, dX = back(dA)
    found = parameters_of(problem, grads)
    return {"outputs": A.numpy().T, "dX": dX.numpy().T, **{f"d{key}": value for key, value in found.items()}}


def jacobian_calls(problem: Problem, transform: Callable, calls: int) -> Result:
    X, _, start = tensors(problem)
    P = list(start.values())
    every = torch.func.vmap(transform(lambda x: forward(problem, P, x[None])[-1][0]))
    for _ in range(calls):
        J = every(X)
    return {"jacobian": J.numpy().transpose(1, 2, 0)}


def predict_calls(problem: Problem, calls: int) -> Result:
    X, _, _ = tensors(problem)
    net = modules(problem)
    with torch.inference_mode():
        for _ in range(calls):
            outputs = net(X)
    return {"outputs": outputs.numpy().T}


# Populations, whose networks are the first axis


def populations(problem: Problem, gradient: Callable) -> Run:
    """Steps of all networks; the gradient is for parameters with that axis."""
    X, Y = map(torch.tensor, problem.data)
    rates = torch.tensor(problem.rates, dtype=X.dtype)[:, None, None]

    def run(iterations: int) -> Result:
        P = {key: torch.tensor(value) for key, value in problem.start.items()}
        M, V = ({key: torch.zeros_like(p) for key, p in P.items()} for _ in range(2))
        for t in range(1, iterations + 1):
            G = gradient(P, X, Y)
            for key, g in G.items():
                if not problem.adam:
                    P[key] = P[key] - rates * g
                    continue
                M[key].mul_(BETA1).add_(g, alpha=1 - BETA1)
                V[key].mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
                size, scale = rates / (1 - BETA1**t), 1 / (1 - BETA2**t)
                P[key] = P[key] - size * M[key] / (torch.sqrt(V[key] * scale) + EPSILON)
        return {key: p.numpy() for key, p in P.items()}

    return run


def population_gradient(problem: Problem, P: dict[str, Tensor], X: Tensor, Y: Tensor) -> dict[str, Tensor]:
    """By hand, with batched products."""
    A, G = [X], {}
    for layer in problem.layers:
        Z = P[f"W{layer}"] @ A[-1] + P[f"b{layer}"]
        A.append(torch.tanh(Z) if layer < len(problem.layers) else Z)
    dZ = ((torch.sigmoid(A[-1]) if problem.output == "sigmoid" else A[-1]) - Y) / problem.m
    for layer in reversed(problem.layers):
        a = A[layer - 1]
        G[f"W{layer}"], G[f"b{layer}"] = dZ @ a.mT, dZ.sum(-1, keepdim=True)
        if layer > 1:
            dZ = P[f"W{layer}"].mT @ dZ * (1 - a * a)
    return G


def mapped_gradient(problem: Problem) -> Callable:
    """torch.func's, of one network, mapped over all."""

    def cost(P: dict[str, Tensor], X: Tensor, Y: Tensor) -> Tensor:
        A = X
        for layer in problem.layers:
            Z = P[f"W{layer}"] @ A + P[f"b{layer}"]
            A = torch.tanh(Z) if layer < len(problem.layers) else Z
        if problem.output == "sigmoid":
            return nn.functional.binary_cross_entropy_with_logits(Z, Y)
        return ((Z - Y) ** 2).sum() / (2 * problem.m)

    return torch.func.vmap(torch.func.grad(cost), in_dims=(0, None, None))


def contenders(problem: Problem, threads: int) -> Contenders:
    torch.set_num_threads(threads)
    torch._dynamo.reset()  # one problem's graphs count towards the next one's limit of recompilations
    if problem.kind == "population":
        ours, mapped = partial(population_gradient, problem), mapped_gradient(problem)
        return {
            "PyTorch": {"by hand": populations(problem, ours)},
            "torch.func": {"vmap": populations(problem, mapped)},
        }
    if problem.kind == "predict":
        return {"PyTorch": {"modules": partial(predict_calls, problem)}}
    if problem.kind == "vjp":
        return {"PyTorch": {"torch.func.vjp": partial(pullback_calls, problem)}}
    if problem.kind == "jacobian":
        ways = {"jacrev": torch.func.jacrev, "jacfwd": torch.func.jacfwd}
        runs = {f"torch.func.{name}": partial(jacobian_calls, problem, way) for name, way in ways.items()}
        return {"PyTorch": runs}
    if problem.kind == "gradient":
        evaluate = partial(cost_and_gradient, problem)
        return {
            "PyTorch": {
                "modules": partial(gradient_calls, problem),
                "by hand": partial(hand_calls, problem, evaluate),
            },
            "torch.compile": {"by hand": partial(hand_calls, problem, torch.compile(evaluate))},
        }
    compiled = {
        "modules": with_modules(problem, fused=True, compiled=True),
        "by hand": by_hand(problem, compiled=True),
    }
    if problem.source is xor:
        compiled["by hand, sums, blocks of 10 steps"] = by_hand(problem, 10, compiled=True, multiply=sums)
    elif problem.batch:
        compiled["by hand, blocks of 5 steps"] = by_hand(problem, 5, compiled=True)
    return {
        "PyTorch": {
            "modules": with_modules(problem, fused=False, compiled=False),
            "modules, fused optimizer": with_modules(problem, fused=True, compiled=False),
            "by hand": by_hand(problem),
        },
        "torch.compile": compiled,
    }


def version() -> str:
    return f"torch {torch.__version__}"
