"""From how many random starts does a tiny network learn XOR? A picture, by learning rate and hidden units.

The tutorial's network has two hidden units, and whether it learns is a matter of luck. Here 10,000 of them begin at
random and are trained at each of 20 learning rates, and fewer of some wider ones beside them, all members of a
population: a lane of the processor's vector unit holds a network.

    python examples/convergence.py                 # writes convergence.svg; needs matplotlib
    python examples/convergence.py --help
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

import fastxor as fx

X, Y = [[0, 0, 1, 1], [0, 1, 0, 1]], [[0, 1, 1, 0]]
LEARNED = 0.1  # a cost that says so: each answer is right by far
ITERATIONS = 1000


def converged(hidden: int, starts: int, rates: np.ndarray) -> np.ndarray:
    """The share of the random starts, the same ones at each learning rate, from which XOR is learned, (rates,)."""
    net = fx.Network([2, hidden, 1])
    first = fx.train_population(net, X, Y, members=starts, initialization="normal", random_state=hidden, iterations=0)
    parameters = {name: np.tile(array, (len(rates), 1, 1)) for name, array in first.parameters.items()}
    optimizer = fx.SGD(np.repeat(rates, starts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fx.DivergenceWarning)  # at the largest rates, many do
        population = fx.train_population(
            net, X, Y, parameters=parameters, optimizer=optimizer, iterations=ITERATIONS, target_cost=LEARNED
        )
    return population.converged.reshape(len(rates), starts).mean(axis=1)


def draw(shares: dict[int, np.ndarray], rates: np.ndarray, starts: dict[int, int], path: str) -> None:
    """The picture: a line for each number of hidden units."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "fastxor"  # the same picture is the same file
    from matplotlib import pyplot

    figure, ax = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for hidden, share in shares.items():
        ax.plot(rates, 100 * share, marker="o", markersize=3, label=f"2-{hidden}-1, {starts[hidden]:,} starts")
    ax.set_xscale("log")
    ax.set_ylim(0, 103)
    ax.set_xlabel("learning rate")
    ax.set_ylabel(f"learned XOR in {ITERATIONS:,} steps, %")
    ax.set_title("From how many random starts a tiny network learns XOR")
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10_000, help="random 2-2-1 networks (default: 10,000)")
    parser.add_argument("--rates", type=int, default=20, help="learning rates, from 0.03 to 30 (default: 20)")
    parser.add_argument("--hidden", type=int, nargs="*", default=[3, 4, 8], help="other widths, a tenth of the starts")
    parser.add_argument("--output", default="convergence.svg", help="the picture (default: convergence.svg)")
    asked = parser.parse_args(arguments)
    if min(asked.starts, asked.rates, *asked.hidden) < 1:
        parser.error("--starts, --rates and --hidden must be at least 1")
    if find_spec("matplotlib") is None:  # said before the networks are trained, not after
        parser.error("the picture needs matplotlib: pip install matplotlib")
    rates = np.geomspace(0.03, 30, asked.rates)
    began = time.perf_counter()
    starts = {2: asked.starts}
    for hidden in asked.hidden:
        starts.setdefault(hidden, max(1, asked.starts // 10))
    shares = {hidden: converged(hidden, count, rates) for hidden, count in starts.items()}
    seconds = time.perf_counter() - began
    for hidden, share in shares.items():
        best = int(share.argmax())
        print(f"2-{hidden}-1: at most {share[best]:.1%} learn XOR, at a learning rate of {rates[best]:.3g}")
    draw(shares, rates, starts, asked.output)
    print(f"{asked.rates * sum(starts.values()):,} networks trained in {seconds:.1f} s; {asked.output} shows them")


if __name__ == "__main__":
    main()
