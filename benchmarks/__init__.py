"""The benchmarks of the repository: the table of jobs, timed by asv and by pytest-benchmark.

Importing this package before numpy holds BLAS to one thread, so that every implementation is timed on one core.
"""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")
