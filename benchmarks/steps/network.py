"""What every step has to do: train the tutorial's network, one tanh layer and one sigmoid output, on all samples.

A step's kernel is ``train(X, Y, W1, b1, W2, b2, iterations, rate)``, which changes the parameters in place. X is
(n_x, m), Y is (m,), W1 is (n_h, n_x), b1 and W2 are (n_h,), b2 is (1,); all have one dtype.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.problems import Problem, Result, Run


def run_with(kernel: Callable, problem: Problem) -> Run:
    """The kernel on a problem: so many iterations from its start."""
    X, Y = problem.data

    def run(iterations: int) -> Result:
        W1, b1, W2, b2 = (problem.start[key].copy() for key in ("W1", "b1", "W2", "b2"))
        kernel(X, Y[0], W1, b1[:, 0], W2[0], b2[0], iterations, problem.learning_rate)
        return {"W1": W1, "b1": b1, "W2": W2, "b2": b2}

    return run
