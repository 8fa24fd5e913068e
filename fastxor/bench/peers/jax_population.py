"""JAX on populations: gradients by hand with the networks last, or vmap over one network's; all at once or by blocks.

Networks last, so that they lie side by side, is how XLA vectorises them. A block that takes all its steps before the
next one (`lax.map`) stays in the nearest cache.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from fastxor.bench.problems import BETA1, BETA2, EPSILON, Problem, Result, Run

State = tuple
WIDE = {"xla_cpu_prefer_vector_width": 512}
BLOCKS = (16, 64, 256)
MOST = 2**24  # elements of a product as a broadcast sum; more takes far longer


def sums(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """A product of matrices with networks last, as a broadcast product that is summed: one loop, when fused."""
    (first, second), target = spec.split("->")[0].split(","), spec.split("->")[1]
    every = target + "".join(sorted(set(first + second) - set(target)))
    every = every.replace("n", "") + "n"  # networks stay last

    def spread(array: jax.Array, axes: str) -> jax.Array:
        order = [axes.index(axis) for axis in every if axis in axes]
        return jnp.expand_dims(jnp.transpose(array, order), [i for i, axis in enumerate(every) if axis not in axes])

    whole = spread(a, first) * spread(b, second)
    return whole.sum(axis=tuple(i for i, axis in enumerate(every) if axis not in target))


def by_hand(problem: Problem, multiply: Callable) -> Callable:
    """Gradients of parameters (n_out, n_in, networks); X (n_x, m) is shared."""
    last = len(problem.layers)

    def gradient(parameters: Result, X: jax.Array, Y: jax.Array) -> Result:
        A, first = [X], True
        for layer in problem.layers:
            W, b = parameters[f"W{layer}"], parameters[f"b{layer}"]
            Z = multiply("oin,im->omn" if first else "oin,imn->omn", W, A[-1]) + b
            A.append(Z if layer == last else jnp.tanh(Z))
            first = False
        outputs = jax.nn.sigmoid(A[-1]) if problem.output == "sigmoid" else A[-1]
        dZ, grads = (outputs - Y[:, :, None]) / X.shape[1], {}
        for layer in reversed(problem.layers):
            grads[f"W{layer}"] = multiply("omn,im->oin" if layer == 1 else "omn,imn->oin", dZ, A[layer - 1])
            grads[f"b{layer}"] = dZ.sum(axis=1, keepdims=True)
            if layer > 1:
                a = A[layer - 1]
                dZ = multiply("oin,omn->imn", parameters[f"W{layer}"], dZ) * (1 - a * a)
        return grads

    return gradient


def autodiff(problem: Problem) -> Callable:
    """That of one network's cost, for `vmap`."""

    def cost(parameters: Result, X: jax.Array, Y: jax.Array) -> jax.Array:
        A = X
        for layer in problem.layers:
            Z = parameters[f"W{layer}"] @ A + parameters[f"b{layer}"]
            A = jnp.tanh(Z) if layer < len(problem.layers) else Z
        if problem.output == "sigmoid":
            return (jax.nn.softplus(Z) - Y * Z).sum() / X.shape[1]
        return ((Z - Y) ** 2).sum() / (2 * X.shape[1])

    return jax.grad(cost)


def updated(problem: Problem, rates: jax.Array, state: State, grads: Result) -> State:
    t, parameters, momentum, squares = state
    each = jax.tree.map
    if not problem.adam:
        return t, each(lambda p, g: p - rates * g, parameters, grads), momentum, squares
    t = t + 1
    momentum = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, momentum, grads)
    squares = each(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, grads)
    size, scale = rates / (1 - BETA1**t), 1 / (1 - BETA2**t)
    step = each(lambda m, v: size * m / (jnp.sqrt(v * scale) + EPSILON), momentum, squares)
    return t, each(jnp.subtract, parameters, step), momentum, squares


def training(problem: Problem, gradient: Callable, block: int | None, options: dict, axis: int) -> Run:
    """The networks are the last axis of all arrays, or the first one for `vmap` (axis 0)."""
    X, Y = map(jnp.asarray, problem.data)
    order = (lambda a: np.moveaxis(a, 0, -1)) if axis else (lambda a: a)
    start = {key: jnp.asarray(order(value)) for key, value in problem.start.items()}
    rates = jnp.asarray(problem.rates, problem.dtype)

    def whole(iterations: int, rates: jax.Array, parameters: Result) -> Result:
        zeros = jax.tree.map(jnp.zeros_like, parameters) if problem.adam else ()
        begin = jnp.zeros((), problem.dtype), parameters, zeros, zeros

        def once(_: int, state: State) -> State:
            return updated(problem, rates, state, gradient(state[1], X, Y))

        return jax.lax.fori_loop(0, iterations, once, begin)[1]

    @partial(jax.jit, compiler_options=options)
    def train(iterations: int, rates: jax.Array, parameters: Result) -> Result:
        if not axis:
            return jax.vmap(whole, in_axes=(None, 0, 0))(iterations, rates, parameters)
        if block is None:
            return whole(iterations, rates, parameters)

        def cut(array: jax.Array) -> jax.Array:
            return jnp.moveaxis(array.reshape(*array.shape[:-1], -1, block), -2, 0)

        parts = jax.lax.map(lambda one: whole(iterations, *one), (cut(rates), jax.tree.map(cut, parameters)))
        return jax.tree.map(lambda array: jnp.moveaxis(array, 0, -2).reshape(*array.shape[1:-1], -1), parts)

    def run(iterations: int) -> Result:
        found = train(iterations, rates, start)
        return {
            key: np.asarray(found[key]) if not axis else np.moveaxis(np.asarray(found[key]), -1, 0) for key in start
        }

    return run


def ways(problem: Problem) -> dict[str, Run]:
    runs = {}
    terms = max(n * k for n, k in zip(problem.sizes[1:], problem.sizes, strict=False)) * problem.m
    products = {"sums": sums, "einsum": jnp.einsum}
    for (name, multiply), block, options in product(products.items(), (None, *BLOCKS), ({}, WIDE)):
        too_many = name == "sums" and terms * (block or problem.members) > MOST
        if too_many or (block and (problem.members % block > 0 or (name == "einsum" and block > BLOCKS[0]))):
            continue
        way = f"by hand, {name}, {f'blocks of {block}' if block else 'all at once'}{', 512 bits' if options else ''}"
        runs[way] = training(problem, by_hand(problem, multiply), block, options, -1)
    return runs


def idiomatic(problem: Problem) -> dict[str, Run]:
    gradient = autodiff(problem)
    return {
        f"vmap{', 512 bits' if options else ''}": training(problem, gradient, None, options, 0)
        for options in ({}, WIDE)
    }
