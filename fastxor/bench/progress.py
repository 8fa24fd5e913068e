"""A bar on a terminal; elsewhere a line for each case."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

WIDTH = 24


class Progress:
    """`case` names what comes next, `step` each of the expected pieces of work; `note` says something in between."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.total, self.done, self.began, self.live = 0, 0, time.monotonic(), self.stream.isatty()

    def expect(self, total: int) -> None:
        """So many pieces of work from here on."""
        self.total, self.done = total, 0

    def case(self, text: str) -> None:
        if not self.live:
            self.note(text)

    def step(self, text: str) -> None:
        if self.live:
            share = min(1.0, self.done / self.total) if self.total else 0.0
            bar = f"{'#' * round(WIDTH * share):.<{WIDTH}}"
            minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
            line = f"[{bar}] {share:4.0%}  {minutes}:{seconds:02d}  {text}"
            self._write(f"\r{line[: shutil.get_terminal_size().columns - 1]}\033[K")
        self.done += 1

    def note(self, text: str) -> None:
        self.clear()
        self._write(f"{text}\n")

    def clear(self) -> None:
        """Take the bar away, for other output or for good."""
        if self.live:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
