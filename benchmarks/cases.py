"""The one table of cases, in numpy alone: the equivalence tests and every benchmark take their jobs from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

RTOL = {"float64": 1e-9, "float32": 1e-3}  # what "the same answer" means after a whole run
ATOL = {"float64": 0.0, "float32": 1e-5}  # a float32 weight that ends near zero keeps few exact digits


@dataclass(frozen=True)
class Case:
    """One training job. It fixes every input to the bit and leaves numpy's global random state alone."""

    name: str
    n_x: int
    n_h: int
    n_y: int
    m: int
    dtype: str
    iterations: int = 1000  # as `num_of_iters`: the run makes one update more
    learning_rate: float = 0.1
    seed: int = 0
    scale: float = 1.0  # of the starting weights; small for wide layers, which would start saturated

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.n_x, self.n_h, self.n_y

    @property
    def rtol(self) -> float:
        return RTOL[self.dtype]

    @property
    def atol(self) -> float:
        return ATOL[self.dtype]

    def data(self) -> tuple[Array, Array]:
        """New arrays X (n_x, m) and Y (n_y, m): normal features and random labels, or XOR's own four samples."""
        if self.name.startswith("xor"):
            X = np.array([[0, 0, 1, 1], [0, 1, 0, 1]], self.dtype)
            return X, (X[:1] != X[1:]).astype(self.dtype)
        random = np.random.RandomState([self.seed, self.m])
        X = random.standard_normal((self.n_x, self.m)).astype(self.dtype)
        Y = (random.random_sample((self.n_y, self.m)) < 0.5).astype(self.dtype)
        return X, Y

    def parameters(self) -> dict[str, Array]:
        """New starting parameters, drawn as the tutorial draws them after `np.random.seed(seed)`, times `scale`."""
        random = np.random.RandomState(self.seed)
        drawn = {
            "W1": self.scale * random.standard_normal((self.n_h, self.n_x)),
            "b1": np.zeros((self.n_h, 1)),
            "W2": self.scale * random.standard_normal((self.n_y, self.n_h)),
            "b2": np.zeros((self.n_y, 1)),
        }
        return {key: value.astype(self.dtype) for key, value in drawn.items()}

    def assert_same(self, actual: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
        """Both runs ended on the same keys, shapes, dtype and, within this case's tolerance, values."""
        assert set(actual) == set(expected)
        for key, value in expected.items():
            assert actual[key].dtype == self.dtype
            assert actual[key].shape == value.shape
            np.testing.assert_allclose(actual[key], value, rtol=self.rtol, atol=self.atol, err_msg=key)


# sizes: the numbers of samples, then what differs from the defaults. No run is chaotic: plain numpy stays within a
# tenth of the tolerance of the same run in the next wider precision (which the last row's seed is chosen for: of its
# 6,400 weights none ends at zero).
_GRID: dict[tuple[int, int, int], tuple[tuple[int, ...], dict[str, Any]]] = {
    (2, 2, 1): ((1, 2, 3, 5, 7, 1000), {}),
    (1, 1, 1): ((1, 2, 4, 9, 100, 1000), {}),
    (3, 5, 2): ((1, 3, 4, 8, 17, 129), {}),
    (7, 13, 3): ((2, 5, 7, 9, 100, 1000), {}),
    (64, 100, 10): ((1, 3, 8, 17, 129), {"scale": 0.1, "learning_rate": 0.05, "seed": 7}),
}


def _table() -> tuple[Case, ...]:
    cases = [Case("xor-2-2-1-m4-float64", 2, 2, 1, 4, "float64", learning_rate=0.3, seed=2)]  # the golden run
    for (n_x, n_h, n_y), (samples, options) in _GRID.items():
        cases += [Case(f"{n_x}-{n_h}-{n_y}-m{m}-float64", n_x, n_h, n_y, m, "float64", **options) for m in samples]
    single = [replace(case, name=case.name.replace("float64", "float32"), dtype="float32") for case in cases]
    return (*cases, *single)


CASES = _table()

_BY_NAME = {case.name: case for case in CASES}

# The jobs that are timed, small to large, each long enough for one call to be timed by itself.
TIMED = tuple(
    replace(_BY_NAME[name], iterations=iterations)
    for name, iterations in {
        "xor-2-2-1-m4-float64": 100_000,
        "xor-2-2-1-m4-float32": 100_000,
        "3-5-2-m17-float64": 10_000,
        "7-13-3-m100-float64": 2_000,
        "64-100-10-m129-float64": 500,
        "64-100-10-m129-float32": 500,
    }.items()
)
