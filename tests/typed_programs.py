"""Programs of users who check their types, right ones and wrong ones, for mypy and pyright at their strictest.

A wrong line bears a ``type: ignore``: a checker that accepts the line complains of the comment.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type, cast

import numpy as np
from numpy.typing import NDArray

import fastxor as fx
from fastxor.names import Activation, BackendName, Initialization, Loss, Output

X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
Y = np.array([[0, 1, 1, 0]])
LISTS = [[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]], [[0, 1, 1, 0]]


def learner() -> None:
    """The tutorial's functions, one by one and together."""
    np.random.seed(2)
    parameters = fx.initialize_parameters(2, 2, 1)
    for _ in range(3):
        A2, cache = fx.forward_prop(X, parameters)
        cost = fx.calculate_cost(A2, Y)
        grads = fx.backward_prop(X, Y, cache, parameters)
        parameters = fx.update_parameters(parameters, grads, 0.3)
        assert_type(A2, NDArray[Any])
        assert_type(cache, dict[str, NDArray[Any]])
        assert_type(cost, float)
        assert_type(grads, dict[str, NDArray[Any]])
    assert_type(parameters, dict[str, NDArray[Any]])
    parameters = fx.model(X, Y, 2, 2, 1, 100, 0.3, print_cost=False, parameters=parameters)
    labels = fx.predict(X, parameters)
    print((labels == Y).mean(), float((fx.predict(*LISTS[:1], parameters) == LISTS[1]).mean()), labels.shape)
    prediction = fx.predict([[1], [1]], parameters)
    print(f"Neural Network prediction for example (1, 1) is {prediction:d}")
    print(prediction == 1, int(prediction) + 1)


def practitioner() -> None:
    """Any dense network: train it, predict, and go on by hand."""
    net = fx.Network([2, 8, 8, 1], hidden=["relu", "tanh"], output="sigmoid", loss="binary_cross_entropy")
    assert_type(net.sizes, tuple[int, ...])
    assert_type(net.hidden, tuple[Activation, ...])
    assert_type(net.output, Output)
    assert_type(net.loss, Loss)
    assert_type(net.count, int)
    optimizers = fx.SGD(0.1, momentum=0.9, nesterov=True), fx.Adam(1e-3), fx.AdamW(weight_decay=0.1), fx.RMSprop()
    rates = fx.SGD(lambda step: 0.1 / (1 + step)), fx.Adam([0.1] * 20), fx.RMSprop(np.linspace(0.1, 0.0, 20))
    schedules = fx.AdamW(fx.schedules.cosine(0.1, 20)), fx.SGD(fx.schedules.warm_up(5, lambda step: 0.9**step))
    for optimizer in (*optimizers, *rates, *schedules):
        run = fx.train(net, X, Y, optimizer=optimizer, iterations=20, batch_size=2, random_state=0, threads=1)
        assert_type(run, fx.Result)
        print((run.predict(X) == Y).mean(), float((run.predict(LISTS[0]) == LISTS[1]).mean()))
        assert_type(run.history, fx.History)
        assert_type(run.history[0], float)
        assert_type(run.parameters, dict[str, NDArray[Any]])
        assert_type(run.iterations, int)
        assert_type(run.network, fx.Network)
        again = fx.train(net, X, Y, parameters=run.parameters, iterations=2, interval=1)
        assert_type(net.predict(again.parameters, X), NDArray[Any])
    theta = net.initialize(np.random.default_rng(0), initialization="glorot", dtype=np.float64)
    cost, grads = net.gradient(theta, X, Y)
    assert_type(cost, float)
    theta = {name: theta[name] - 0.1 * grads[f"d{name}"] for name in theta}
    assert_type(net.cost(theta, X, Y), float)
    assert_type(net.flatten(theta), NDArray[Any])
    A, pullback = net.vjp(theta, X)
    assert_type(A, NDArray[Any])
    assert_type(pullback(A - Y), tuple[dict[str, NDArray[Any]], NDArray[Any]])
    assert_type(net.jacobian(theta, X), NDArray[Any])
    assert_type(net.hvp(theta, X, Y, grads), dict[str, NDArray[Any]])
    outputs = np.empty(1)
    net.compile().forward(net.flatten(theta), np.ones(2), outputs)
    assert_type(net.unflatten(net.flatten(theta) - 0.1 * net.flatten(grads)), dict[str, NDArray[Any]])
    check = fx.check_gradient(net, theta, X, Y, entries=None)
    assert_type(check, fx.GradientCheck)
    assert_type((check.ok, check.error, check.parameter), tuple[bool, float, str])
    several = fx.Network([2, 3, 2], output="softmax")
    assert_type(fx.one_hot([0, 1, 1, 0], 2), NDArray[Any])
    fx.train(several, X, [0, 1, 1, 0], initialization="orthogonal", iterations=2, random_state=0)


def researcher(folder: Path) -> None:
    """Arrays whose type is known, lists, and parameters from a file."""

    def errors(A: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.float64]:
        return (A - targets) ** 2

    net = fx.Network([2, 1], output="identity")
    parameters: Mapping[str, list[list[float]]] = {"W1": [[1.0, 2.0]], "b1": [[0.5]]}
    print(errors(net.forward(parameters, X), Y.astype(np.float64)).mean())
    start = net.initialize(0, dtype="float32")
    np.savez(folder / "parameters.npz", W1=start["W1"], b1=start["b1"])
    with np.load(folder / "parameters.npz") as file:
        single: dict[str, NDArray[np.float32]] = dict(file)
    A: NDArray[np.float32] = net.forward(single, X.astype(np.float32))
    assert A.dtype == np.float32
    assert_type(fx.sigmoid(0), float)
    double: NDArray[np.float64] = fx.sigmoid(np.zeros((2, 3)))
    print(double.sum(), fx.sigmoid([1.0, 2.0]).shape, fx.sigmoid(np.float32(2)) + 1)


def patient(folder: Path) -> None:
    """Somebody who watches, keeps and goes on."""
    net = fx.Network([2, 3, 1])
    seen: list[float] = []

    def look(moment: fx.Moment) -> bool:
        assert_type(moment.iteration, int)
        assert_type(moment.parameters, dict[str, NDArray[Any]])
        seen.append(moment.cost)
        return moment.epoch > 3

    run = fx.train(net, X, Y, epochs=5, batch_size=2, shuffle=False, drop_last=True, callback=look, random_state=0)
    stop = fx.EarlyStopping(patience=3, min_delta=1e-3)
    run = fx.train(net, X, Y, resume=run, validation=(X, Y), early_stopping=stop, checkpoint=folder / "run.npz")
    rate = fx.schedules.warm_up(5, fx.schedules.cosine(0.1, steps=20, end=0.01))
    assert_type(rate(3), float)
    more = fx.train(net, X, Y, optimizer=fx.Adam(rate), l2=1e-3, clip_norm=1.0, iterations=9, class_weight="balanced")
    fx.train(net, X, Y, optimizer=fx.SGD([0.1] * 9), l1=1e-3, sample_weight=[1, 2, 3, 1], iterations=9)

    def falling(step: int) -> float:
        return 1 / (1 + step)

    fx.train(net, X, Y, optimizer=fx.SGD(falling), class_weight={0: 1, 1: 2.5}, iterations=9)
    assert_type(more, fx.Result)
    fx.train(net, X, Y, validation=0.5, target_cost=0.1, callback=lambda moment: seen.append(moment.validation_cost))
    run.save(folder / "run.npz")
    again = fx.load(str(folder / "run.npz"))
    assert_type(again, fx.Result)
    assert_type(again.cost(X, Y), float)
    assert_type(again.forward(X), NDArray[Any])
    assert_type(again.history.to_dict(), dict[str, NDArray[Any]])
    print(again.history.validation_cost.mean(), {iteration: cost for iteration, cost in run.history.items()})


def giver(folder: Path) -> None:
    """Networks for others, and pictures."""
    run = fx.train(fx.Network([2, 4, 1]), X, Y, iterations=20, random_state=0)
    run.export(folder / "xor.h", prefix="xor")
    fx.export(run.network, folder / "xor.json", parameters=run.parameters)
    trained = fx.Trained(run.network, run.parameters)
    trained.export(str(folder / "xor.py"))
    assert_type(trained.predict(X), NDArray[Any])
    assert_type(fx.Trained.cost(run, X, Y), float)
    fx.plot.cost({"first": run, "second": run})
    fx.plot.decision_boundary(trained, X, Y, points=20).set_title("XOR")


def populations(folder: Path) -> None:
    net = fx.Network([2, 4, 1])
    rates = np.array([0.1, 0.2])
    pop = fx.train_population(
        net, [[0, 1], [1, 0]], [[0, 1]], optimizer=fx.Adam(rates, beta1=[0.8, 0.9]), l2=[0.0, 0.1]
    )
    assert_type(pop, fx.Population)
    assert_type(pop.best, fx.Result)
    assert_type(pop[0], fx.Result)
    assert_type(pop[:1], fx.Population)
    assert_type(pop.forward(X), NDArray[Any])
    pop.save(folder / "population.npz")
    assert_type(fx.load(folder / "population.npz", fx.Population), fx.Population)
    table = fx.sweep(
        net, [[0, 1], [1, 0]], [[0, 1]], {"learning_rate": [0.1, 0.2], "hidden": [2, (3, 3)]}, iterations=3
    )
    assert_type(table, fx.Table)
    assert_type(table[0], dict[str, Any])
    assert_type(table[:2], list[dict[str, Any]])
    print(table.best["cost"], table.to_dict(), [run.iterations for run in pop.top(1)])


def names() -> None:
    """Names from a program, a command line or a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", default="relu")
    print(fx.Network([2, 3, 1], parser.parse_args([]).hidden))
    hidden: list[Activation] = ["relu", "sin"]
    print(fx.Network([2, 3, 3, 1], hidden), fx.Network((2, 3, 3, 1), ("gelu", "elu")), fx.Network([2, 3, 1], hidden[0]))
    anything = "".join(["ta", "nh"])
    print(fx.Network([2, 3, 1], cast(Activation, anything)))
    outputs: tuple[Output, ...] = ("sigmoid", "identity")
    losses: dict[Output, Loss] = {"sigmoid": "squared_error", "identity": "huber"}
    for output in outputs:
        print(fx.Network([2, 1], output=output, loss=losses[output]))
    initialization: Initialization
    for initialization in ("he", "glorot", "lecun", "normal", "orthogonal"):
        print(fx.Network([2, 1]).initialize(initialization=initialization))


def backends() -> None:
    """Every way to choose one."""
    assert_type(fx.get_backend(), BackendName)
    assert_type(fx.available_backends(), tuple[BackendName, ...])
    before = fx.get_backend()
    for backend in fx.available_backends():
        fx.set_backend(backend)
        with fx.use_backend(backend):
            print(fx.sigmoid(0.0, backend=backend))
    fx.set_backend(before)
    fx.warmup()


def endings() -> None:
    """What there is to catch."""
    try:
        raise fx.TrainingInterrupted(fx.Network([2, 1]).initialize(), 3)
    except fx.TrainingInterrupted as error:
        assert_type(error.parameters, dict[str, NDArray[Any]])
        assert_type(error.iterations, int)
        assert_type(error.result, fx.Result | None)
    assert issubclass(fx.DivergenceWarning, RuntimeWarning)


def wrong(text: str) -> None:
    """Never run."""
    net = fx.Network([2, 3, 1])
    fx.Network([2, 3, 1], "tahn")  # type: ignore[arg-type]
    fx.Network([2, 3, 1], hidden="softmax")  # type: ignore[arg-type]
    fx.Network([2, 3, 3, 1], ["tanh", "rellu"])  # type: ignore[list-item]
    fx.Network([2, 3, 1], text)  # type: ignore[arg-type]
    fx.Network([2, 3, 1], output="tanh")  # type: ignore[arg-type]
    fx.Network([2, 3, 1], loss="mse")  # type: ignore[arg-type]
    fx.Network("2, 3, 1")  # type: ignore[arg-type]
    net.initialize(initialization="xavier")  # type: ignore[arg-type]
    fx.train(net, X, Y, initialization="xavier")  # type: ignore[arg-type]
    fx.one_hot([0, 1], classes="2")  # type: ignore[arg-type]
    net.count = 3  # type: ignore[misc]
    net.forwards({}, X)  # type: ignore[attr-defined]
    net.forward({"W1": None}, X)  # type: ignore[dict-item]
    net.predict({}, X, engine="numpy")  # type: ignore[call-arg]
    net.cost({}, X, Y, backend="numpi")  # type: ignore[arg-type]
    net.gradient({}, X)  # type: ignore[call-arg]
    fx.set_backend("cuda")  # type: ignore[arg-type]
    with fx.use_backend("jax"):  # type: ignore[arg-type]
        pass
    fx.sigmoid(0.0, backend="Numba")  # type: ignore[call-overload]
    fx.predict(X, {}, backend="tpu")  # type: ignore[arg-type]
    fx.model(X, Y, 2, 2, 1, 100, "0.3")  # type: ignore[arg-type]
    fx.train(net, X, Y, optimizer="adam")  # type: ignore[arg-type]
    fx.train(net, X, Y, backend="torch")  # type: ignore[arg-type]
    fx.train(net, X, Y, resume="run.npz")  # type: ignore[arg-type]
    fx.train(net, X, Y, early_stopping=5)  # type: ignore[arg-type]
    fx.train(net, X, Y, callback=print, progress="yes")  # type: ignore[arg-type]
    fx.train(net, X, Y, learning_rate=0.3)  # type: ignore[arg-type]
    fx.train(net, X, Y).predict(X, backend=1)  # type: ignore[arg-type]
    fx.train(net, X, Y).iterations.real = 2  # type: ignore[misc]
    fx.train(net, X, Y).weights  # type: ignore[attr-defined]  # noqa: B018
    labels: str = fx.predict(X, {})  # type: ignore[assignment]
    cost: NDArray[Any] = net.cost({}, X, Y)  # type: ignore[assignment]
    print(labels, cost)
