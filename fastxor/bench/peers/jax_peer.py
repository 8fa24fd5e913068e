"""JAX: the whole run in one jit, by every gradient, product, layout and vector width that fits the problem."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_ENABLE_X64", "1")

import jax
import jax.numpy as jnp

from fastxor.bench.problems import BETA1, BETA2, EPSILON, Contenders, Problem, Result, Run

KINDS = ("train", "gradient", "vjp", "jacobian", "predict", "population")
IDIOMATIC = ("autodiff, dot, columns", "autodiff, dot, rows")
MOST = {"autodiff": 100_000, "by hand": 10_000_000}  # elements of a product as a broadcast sum; more takes far longer
WIDE = {"xla_cpu_prefer_vector_width": 512}  # XLA's own choice is 256

# forward, the weights' gradient, back; o outputs, i inputs, m samples
LAYOUTS = {
    "columns": ("oi,im->om", "om,im->oi", "oi,om->im"),
    "rows": ("oi,mi->mo", "mo,mi->oi", "oi,mo->mi"),
}


def dot(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum(spec, a, b)


def sums(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """The same as a broadcast product, summed: XLA fuses it into one loop, with no call to a matrix library."""
    sources, target = spec.split("->")
    first, second = sources.split(",")
    every = target + "".join(set(first + second) - set(target))

    def spread(array: jax.Array, axes: str) -> jax.Array:
        array = jnp.transpose(array, [axes.index(axis) for axis in every if axis in axes])
        return jnp.expand_dims(array, [i for i, axis in enumerate(every) if axis not in axes])

    return (spread(a, first) * spread(b, second)).sum(axis=-1)


def network(problem: Problem, layout: str, multiply: Callable) -> tuple[Callable, Callable]:
    """The logits and the mean cost; and gradients by hand."""
    onward, across, back = LAYOUTS[layout]
    samples = 1 if layout == "columns" else 0
    last = len(problem.layers)

    def bias(b):
        return b if layout == "columns" else b.T

    def activations(parameters, X):
        A = [X]
        for layer in problem.layers:
            Z = multiply(onward, parameters[f"W{layer}"], A[-1]) + bias(parameters[f"b{layer}"])
            A.append(Z if layer == last else jnp.tanh(Z) if problem.hidden == "tanh" else jnp.maximum(Z, 0))
        return A

    def cost(parameters, X, Y):
        Z = activations(parameters, X)[-1]
        if problem.output == "sigmoid":
            return (jax.nn.softplus(Z) - Y * Z).sum() / X.shape[samples]
        if problem.output == "softmax":
            return -(Y * jax.nn.log_softmax(Z, axis=1 - samples)).sum() / X.shape[samples]
        return ((Z - Y) ** 2).sum() / (2 * X.shape[samples])

    def by_hand(parameters, X, Y):
        A = activations(parameters, X)
        outputs = {"sigmoid": jax.nn.sigmoid, "softmax": partial(jax.nn.softmax, axis=1 - samples)}
        dZ = (outputs.get(problem.output, lambda Z: Z)(A[-1]) - Y) / X.shape[samples]
        grads = {}
        for layer in reversed(problem.layers):
            grads[f"W{layer}"] = multiply(across, dZ, A[layer - 1])
            db = dZ.sum(axis=samples, keepdims=True)
            grads[f"b{layer}"] = db if layout == "columns" else db.T
            if layer > 1:
                dA, a = multiply(back, parameters[f"W{layer}"], dZ), A[layer - 1]
                dZ = dA * (1 - a * a) if problem.hidden == "tanh" else jnp.where(a > 0, dA, 0)
        return grads

    return cost, by_hand


def updated(problem: Problem, state: tuple, grads: Result) -> tuple:
    t, parameters, momentum, squares = state
    each = jax.tree.map
    if not problem.adam:
        return t, each(lambda p, g: p - problem.learning_rate * g, parameters, grads), momentum, squares
    t = t + 1
    momentum = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, momentum, grads)
    squares = each(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, grads)
    size, scale = problem.learning_rate / (1 - BETA1**t), 1 / (1 - BETA2**t)
    step = each(lambda m, v: size * m / (jnp.sqrt(v * scale) + EPSILON), momentum, squares)
    return t, each(jnp.subtract, parameters, step), momentum, squares


def training(problem: Problem, gradient: str, multiply: Callable, layout: str, options: dict) -> Run:
    cost, by_hand = network(problem, layout, multiply)
    grads_of = by_hand if gradient == "by hand" else jax.grad(cost)
    sideways = (lambda A: A) if layout == "columns" else np.transpose
    X, Y = (jnp.asarray(sideways(array)) for array in problem.data)
    start = {key: jnp.asarray(value) for key, value in problem.start.items()}
    axis = 1 if layout == "columns" else 0

    def begin(parameters):
        zeros = jax.tree.map(jnp.zeros_like, parameters) if problem.adam else ()
        return jnp.zeros((), problem.dtype), parameters, zeros, zeros

    @partial(jax.jit, compiler_options=options)
    def whole(parameters, X, Y, iterations):
        def once(_, state):
            return updated(problem, state, grads_of(state[1], X, Y))

        return jax.lax.fori_loop(0, iterations, once, begin(parameters))[1]

    @partial(jax.jit, compiler_options=options)
    def shuffled(parameters, X, Y, orders):
        def once(state, order):
            batch = (jnp.take(array, order, axis=axis, mode="clip") for array in (X, Y))
            return updated(problem, state, grads_of(state[1], *batch)), None

        return jax.lax.scan(once, begin(parameters), orders)[0][1]

    def run(iterations: int) -> Result:
        if problem.batch is None:
            parameters = whole(start, X, Y, iterations)
        else:
            parameters = shuffled(start, X, Y, problem.orders(iterations))
        return {key: np.asarray(parameters[key]) for key in problem.start}

    return run


def calls(problem: Problem, gradient: str, multiply: Callable) -> Run:
    cost, by_hand = network(problem, "columns", multiply)
    X, Y = (jnp.asarray(array) for array in problem.data)
    start = {key: jnp.asarray(value) for key, value in problem.start.items()}
    if gradient == "by hand":
        call = jax.jit(lambda parameters, X, Y: (cost(parameters, X, Y), by_hand(parameters, X, Y)))
    else:
        call = jax.jit(jax.value_and_grad(cost))

    def run(count: int) -> Result:
        for _ in range(count):
            value, grads = jax.block_until_ready(call(start, X, Y))
        return {"cost": np.asarray(value), **{f"d{key}": np.asarray(grads[key]) for key in problem.start}}

    return run


def outputs_of(problem: Problem, multiply: Callable) -> Callable:
    """Of tanh layers and an identity output."""

    def outputs(parameters, A):
        for layer in problem.layers:
            A = multiply("oi,im->om", parameters[f"W{layer}"], A) + parameters[f"b{layer}"]
            A = jnp.tanh(A) if layer < len(problem.layers) else A
        return A

    return outputs


def pullbacks(problem: Problem, multiply: Callable) -> Run:
    X, dA = (jnp.asarray(array) for array in problem.data)
    start = {key: jnp.asarray(value) for key, value in problem.start.items()}
    outputs = outputs_of(problem, multiply)

    @jax.jit
    def both_ways(parameters, X, dA):
        A, back = jax.vjp(outputs, parameters, X)
        return A, *back(dA)

    def run(count: int) -> Result:
        for _ in range(count):
            A, grads, dX = jax.block_until_ready(both_ways(start, X, dA))
        found = {f"d{key}": np.asarray(value) for key, value in grads.items()}
        return {"outputs": np.asarray(A), "dX": np.asarray(dX), **found}

    return run


def jacobians(problem: Problem, multiply: Callable, transform: Callable) -> Run:
    X = jnp.asarray(problem.data[0])
    start = {key: jnp.asarray(value) for key, value in problem.start.items()}
    outputs = outputs_of(problem, multiply)

    def of_one(parameters, x):
        return outputs(parameters, x[:, None])[:, 0]

    every = jax.jit(jax.vmap(transform(of_one, argnums=1), in_axes=(None, 1), out_axes=2))

    def run(count: int) -> Result:
        for _ in range(count):
            J = jax.block_until_ready(every(start, X))
        return {"jacobian": np.asarray(J)}

    return run


def predictions(problem: Problem, multiply: Callable) -> Run:
    X, _ = problem.data
    start = {key: jnp.asarray(value) for key, value in problem.start.items()}
    outputs = jax.jit(outputs_of(problem, multiply))

    def run(count: int) -> Result:
        for _ in range(count):
            A = np.asarray(outputs(start, X))
        return {"outputs": A}

    return run


def contenders(problem: Problem, threads: int) -> Contenders:
    size = (problem.batch or problem.m) * max(n * k for n, k in zip(problem.sizes[1:], problem.sizes, strict=False))
    if problem.kind == "population":
        from fastxor.bench.peers import jax_population

        return {"JAX": jax_population.ways(problem), "JAX idiomatic": jax_population.idiomatic(problem)}
    products = {"dot": dot, "sums": sums}
    pairs = [(gradient, name) for gradient in MOST for name in products if name == "dot" or size <= MOST[gradient]]
    if problem.kind == "predict":
        return {"JAX": {name: predictions(problem, multiply) for name, multiply in products.items()}}
    if problem.kind == "vjp":
        return {"JAX": {name: pullbacks(problem, multiply) for name, multiply in products.items()}}
    if problem.kind == "jacobian":
        ways = product(products, ("jacrev", "jacfwd"))
        return {"JAX": {f"{way}, {name}": jacobians(problem, products[name], getattr(jax, way)) for name, way in ways}}
    if problem.kind == "gradient":
        return {"JAX": {f"{gradient}, {name}": calls(problem, gradient, products[name]) for gradient, name in pairs}}
    runs = {
        f"{gradient}, {name}, {layout}{', 512 bits' if options else ''}": training(
            problem, gradient, products[name], layout, options
        )
        for (gradient, name), layout, options in product(pairs, LAYOUTS, ({}, WIDE))
    }
    return {"JAX": runs, "JAX idiomatic": {name: runs[name] for name in IDIOMATIC}}


def version() -> str:
    return f"jax {jax.__version__}"
