"""How many cores a run may take by itself: as many as the process has, less where somebody has set a limit."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

import numba
from numba import config

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores() -> int:
    """The least of the cores that this thread may run on, the limits set for Numba and OpenMP, and the CPU quota."""
    limits = [_affinity(), _numba(), _openmp(), _quota()]
    return max(1, min(limit for limit in limits if limit))


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _numba() -> int:
    """What `numba.set_num_threads` has set, or ``NUMBA_NUM_THREADS``."""
    try:
        numba.threading_layer()
    except ValueError:  # Numba has not started its threads, as that function does
        return config.NUMBA_NUM_THREADS
    return numba.get_num_threads()


def _openmp() -> int | None:
    """``OMP_NUM_THREADS``, which joblib and others set for their workers; of a list, the first."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else None


@cache
def _quota() -> int | None:
    """The CPUs that the control groups of the process grant it, as those of a container; rounded up."""
    quotas = []
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:  # not Linux
        return None
    for line in lines:
        _number, controllers, path = line.split(":", 2)
        if not controllers:
            root, read = _CGROUPS, _of_version_2
        elif "cpu" in controllers.split(","):
            root, read = _CGROUPS / "cpu", _of_version_1
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):  # in a container the path may be the host's, and the root the group
            if folder.is_relative_to(root):
                quotas.append(read(folder))
    cpus = min(filter(None, quotas), default=None)
    return cpus and math.ceil(cpus)


def _of_version_2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def _of_version_1(folder: Path) -> float | None:
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError):
        return None
