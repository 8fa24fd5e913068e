"""``python -m fastxor``: the tutorial's main program, the truth table it learned, and the speed of each core.

``python -m fastxor bench`` is the benchmark, in `fastxor.bench`.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastxor as fx
from fastxor import files
from fastxor.names import BackendName
from fastxor.tutorial import Parameters

X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]])
Y = np.array([[0, 1, 1, 0]])

# How long each core is timed, at least, after a first run that is not counted.
_SECONDS = 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these command-line arguments (default: those of the process); the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["bench"]:
        from fastxor.bench.command import main as bench

        return bench(arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        options.backend = options.backend or fx.get_backend()
    except ValueError as error:  # FASTXOR_BACKEND
        parser.error(str(error))
    figure = None if options.plot is None else _figure(parser, options.plot)
    start = fx.initialize_parameters(2, options.hidden, 1, random_state=options.seed)
    parameters = fx.model(
        X,
        Y,
        2,
        options.hidden,
        1,
        options.iterations,
        options.learning_rate,
        print_cost=not options.quiet,
        parameters=start,
        backend=options.backend,
    )
    example = (1, 1)
    prediction = fx.predict([[example[0]], [example[1]]], parameters, backend=options.backend)
    print(f"Neural Network prediction for example ({example[0]:d}, {example[1]:d}) is {prediction:d}")

    A2, _cache = fx.forward_prop(X, parameters, backend=options.backend)
    print("\nx1  x2  xor  output  prediction")
    for (x1, x2), y, a in zip(X.T, Y[0], A2[0], strict=True):
        print(f"{x1:2d}  {x2:2d}  {y:3d}  {a:6.4f}  {int(a >= 0.5):10d}")

    print()
    for backend in ("numpy", "numba"):
        if backend in fx.available_backends():
            reached = _iterations_per_second(start, options.learning_rate, backend)
            speed = f"{reached:>12,.0f} iterations per second"
        else:
            speed = "not available: numba cannot be imported"
        print(f"{backend}: {speed}")
    if figure is not None:
        try:
            _draw(figure, options, start)
        except OSError as error:
            print(f"fastxor: {options.plot!r} cannot be written: {error}", file=sys.stderr)
            return 1
        print(f"\nThe run is drawn in {options.plot}")
    return 0


def program() -> int:
    """`main` for the command line: a reader that goes away, as in ``fastxor | head -1``, is no error."""
    try:
        status = main()
        print(end="", flush=True)  # sys.stdout may be None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to flush at exit
        return 1
    except KeyboardInterrupt:
        print("fastxor: interrupted", file=sys.stderr)
        return 130
    return status


def _iterations_per_second(start: Parameters, learning_rate: float, backend: BackendName) -> float:
    """Speed of whole training runs of the very network that was asked for."""
    network, optimizer = fx.Network((2, len(start["b1"]), 1)), fx.SGD(learning_rate)

    def steps_taken(iterations: int) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fx.DivergenceWarning)  # the first run has said so
            return fx.train(
                network, X, Y, parameters=start, optimizer=optimizer, iterations=iterations, backend=backend
            ).iterations

    iterations, steps, seconds = 100, 0, 0.0
    steps_taken(iterations)  # loads the core
    while seconds < _SECONDS:
        began = time.perf_counter()
        taken = steps_taken(iterations)
        seconds += time.perf_counter() - began
        steps += taken
        if taken == iterations:  # else it diverged, and would not get further in a longer run
            iterations *= 2
    return steps / seconds


def _figure(parser: argparse.ArgumentParser, path: str) -> Any:
    """An empty one, if it can be drawn and written; else that is said before there is anything to draw."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        parser.error("argument --plot: needs matplotlib: pip install 'fastxor-nn[plot]'")
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    known = [ending for ending in figure.canvas.get_supported_filetypes() if ending != "pgf"]  # which needs TeX
    if _ending(path) not in known:
        parser.error(f"argument --plot: must end in .{', .'.join(known)}, got {path!r}")
    try:
        files.place(path)
    except OSError as error:
        parser.error(f"argument --plot: {error}")
    return figure


def _ending(path: str) -> str:
    return os.path.splitext(path)[1].removeprefix(".").lower()


def _draw(figure: Any, options: argparse.Namespace, start: Parameters) -> None:
    """The same run once more, with the cost of every step, as pictures in a row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.DivergenceWarning)  # the first run has said so
        run = fx.train(
            fx.Network((2, options.hidden, 1)),
            X,
            Y,
            parameters=start,
            optimizer=fx.SGD(options.learning_rate),
            iterations=options.iterations + 1,
            interval=1,
            backend=options.backend,
        )
    costs, boundary, network = figure.subplots(1, 3)
    fx.plot.cost(run, ax=costs).set_title("Cost")
    fx.plot.decision_boundary(run, X, Y, ax=boundary).set_title("XOR, as learned")
    if options.hidden <= fx.plot.MOST_UNITS:
        fx.plot.network(run, ax=network).set_title("The network")
    else:
        network.remove()
    with files.whole(options.plot) as file:
        figure.savefig(file, format=_ending(options.plot), dpi=120)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastxor",
        description="Teach the XOR function to a network of one hidden layer, show what it learned, "
        "and how many training iterations per second the numpy core and the numba core reach.",
        epilog="fastxor bench: the benchmark, with the peers that are installed; see fastxor bench --help.",
    )
    parser.add_argument("--hidden", type=_integer(1), default=2, metavar="N", help="hidden units (default: 2)")
    parser.add_argument(
        "--iterations", type=_integer(0), default=1000, metavar="N", help="training iterations (default: 1000)"
    )
    parser.add_argument(
        "--learning-rate", type=_rate, default=0.3, metavar="RATE", help="gradient descent step (default: 0.3)"
    )
    parser.add_argument(
        "--seed", type=_integer(0, 2**32 - 1), default=2, metavar="N", help="seed of the first weights (default: 2)"
    )
    parser.add_argument(
        "--backend", choices=("numpy", "numba"), help="core that trains (default: FASTXOR_BACKEND, or numba)"
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the cost every 100 iterations")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw cost, decision boundary and network into this file, a .png or .svg, say",
    )
    parser.add_argument("--version", action="version", version=f"fastxor {fx.__version__}")
    return parser


def _integer(least: int, most: float = math.inf) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}") from None
        if not least <= value <= most:
            limit = f"at least {least}" if value < least else f"at most {most}"
            raise argparse.ArgumentTypeError(f"must be {limit}, got {value}")
        return value

    return convert


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite and not negative, got {text}")
    return value


if __name__ == "__main__":
    raise SystemExit(program())
