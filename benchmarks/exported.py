"""A sample forward: `fx.export`'s C beside the C peer, each compiled by gcc -O3 -march=native -ffast-math.

``python -m benchmarks.exported`` prints the times and their ratio, for the networks of `fastxor bench`. The peer is in
its fastest form for each. They take turns, in a loop in C, and each has the best of its rounds; results are compared
before.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

import fastxor as fx
from benchmarks.problems import PROBLEMS, Problem
from benchmarks.timing import interleaved
from fastxor.bench.peers import c_peer

NAMES = ("xor", "xor-wide-8", "xor-wide-32", "expm", "digits", "mid", "wide", "gradient")
SAMPLES = 64
ROUNDS, SAMPLE = 15, 0.005

# Both are called through a pointer, so that neither is taken apart and put into the loop.
LOOP = """
typedef void (*exported)(const REAL *x, REAL *a);
typedef void (*peer)(const REAL *x, const REAL *parameters, REAL *a);

void call_exported(exported forward, const REAL *X, REAL *A, long calls)
{
    for (long call = 0; call < calls; call++)
        forward(X + call % SAMPLES * N_X, A + call % SAMPLES * N_Y);
}

void call_peer(peer predict, const REAL *X, REAL *A, long calls, const REAL *parameters)
{
    for (long call = 0; call < calls; call++)
        predict(X + call % SAMPLES * N_X, parameters, A + call % SAMPLES * N_Y);
}
"""

Call = Callable[[int], None]


def pointer(thing: object) -> ctypes.c_void_p:
    return ctypes.c_void_p(thing.ctypes.data) if isinstance(thing, np.ndarray) else ctypes.cast(thing, ctypes.c_void_p)


def contenders(problem: Problem, folder: Path) -> dict[str, Call]:
    """What makes so many calls, by name, after a look at what comes out."""
    net = fx.Network(problem.sizes, problem.hidden, problem.output)
    theta = net.flatten(problem.start)
    X = np.random.default_rng(0).normal(size=(SAMPLES, net.sizes[0])).astype(problem.dtype)
    wanted = net.forward(problem.start, X.T).T
    macros = {"REAL": "double" if problem.dtype == "float64" else "float", "SAMPLES": SAMPLES}
    macros |= {"N_X": net.sizes[0], "N_Y": net.sizes[-1]}
    (folder / "loop.c").write_text(LOOP)
    loop = c_peer.build(folder / "loop.c", macros)
    fx.export(net, folder / "network.c", parameters=problem.start)

    def checked(call: Callable[..., None], function: object, *more: np.ndarray) -> Call:
        A = np.empty(wanted.shape, wanted.dtype)

        def run(calls: int) -> None:
            call(pointer(function), pointer(X), pointer(A), ctypes.c_long(calls), *map(pointer, more))

        run(SAMPLES)
        np.testing.assert_allclose(A, wanted, rtol=0, atol=1e-9 if problem.dtype == "float64" else 1e-4)
        return run

    ours = c_peer.build(folder / "network.c", {}, ("-std=c99",))
    found = {"exported": checked(loop.call_exported, ours.network_forward)}
    for name, library in c_peer.libraries(replace(problem, kind="predict")).items():
        found[name] = checked(loop.call_peer, library.predict, theta)
    return found


def main() -> None:
    print(f"{'case':12} {'sizes':>14} {'exported':>10} {'C peer':>10} {'ratio':>6}")
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            times = interleaved(contenders(PROBLEMS[name], Path(folder)), ROUNDS, SAMPLE)
        best = {key: float(values.min()) * 1e9 for key, values in times.items()}
        ours, peer = best.pop("exported"), min(best.values())
        sizes = "-".join(map(str, PROBLEMS[name].sizes))
        print(f"{name:12} {sizes:>14} {ours:7.1f} ns {peer:7.1f} ns {ours / peer:6.2f}", flush=True)


if __name__ == "__main__":
    main()
