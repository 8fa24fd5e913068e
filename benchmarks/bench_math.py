"""asv: elementary functions. A figure is the seconds of a million values: 1 ms is 1 ns for a value."""

import numpy as np

from benchmarks.elementary import NAMES, fused, in_numpy, libm, worst_ulp

DTYPES = ["float64", "float32"]
BLOCK, BLOCKS = 4000, 250  # values, which stay in the first-level cache; times over


class Elementary:
    """By the fused core, by the reference, and by the C library in a Numba loop."""

    makers = {"numpy": in_numpy, "libm": libm, "numba": fused}
    param_names = ["function", "dtype", "by"]
    params = (list(NAMES), DTYPES, list(makers))
    number = 1
    rounds = 2
    repeat = (5, 20, 2.0)
    warmup_time = 0.05
    timeout = 120

    def setup(self, name, dtype, by):
        """Before every sample, and cheap: what `makers` compile is kept."""
        self.fill = self.makers[by](name)
        self.x = np.random.default_rng(0).standard_normal(BLOCK).astype(dtype)
        self.y = np.empty_like(self.x)
        self.fill(self.x, self.y)

    def time_million_values(self, name, dtype, by):
        for _ in range(BLOCKS):
            self.fill(self.x, self.y)


class Accuracy:
    """The largest error of the fused core's functions against 40 digits."""

    param_names = ["function", "dtype"]
    params = (list(NAMES), DTYPES)
    timeout = 120
    unit = "ulp"

    def track_error(self, name, dtype):
        return worst_ulp(name, dtype)
