"""What the figures were measured on: the machine, its limits as seen in the run, and everybody's version."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


def processor() -> str:
    """The CPU's own name where the system tells it."""
    if sys.platform == "linux":
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    if sys.platform == "darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True).strip()
    return platform.processor() or platform.machine()


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


@dataclass
class Machine:
    """The clock in Hz and the peaks in operations a second, by dtype, are a core's, as seen; None or empty: unknown."""

    clock: float | None = None
    peaks: dict[str, float] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    processor: str = field(default_factory=processor)
    cores: int = field(default_factory=lambda: len(cores()))
    system: str = f"{platform.system()} {platform.machine()}"
    python: str = platform.python_version()
    date: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d}")

    def floor(self, multiply_adds: int, dtype: str, threads: int) -> float | None:
        """Seconds that so many multiply-adds take at least, at the peak."""
        peak = self.peaks.get(dtype)
        return 2 * multiply_adds / (peak * threads) if peak else None

    def __str__(self) -> str:
        cores = f"{self.cores} core{'s' * (self.cores > 1)}"
        clock = "" if self.clock is None else f"{self.clock / 1e9:.2f} GHz seen, "
        peaks = ", ".join(f"{peak / 1e9:.0f} GFLOP/s in {dtype}" for dtype, peak in self.peaks.items())
        limit = f"a core's peak {peaks}" if peaks else "peak unknown"
        versions = ", ".join([f"Python {self.python}", *self.versions])
        return f"{self.processor}, {cores}, {self.system}, {clock}{limit}; {versions}; {self.date}"
