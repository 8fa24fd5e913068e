"""Pages in a headless browser, Chromium or Chrome: what stands in them when their scripts have run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

BROWSERS = (
    "chromium",
    "google-chrome",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
)


def command(*names: str) -> str:
    """The first of these programs that is here."""
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"this needs {' or '.join(names)} on the PATH"
    return found


def opened(address: str, profile: Path) -> str:
    """The page's document once its scripts have run; the browser keeps its own files in `profile`."""
    options = ["--headless", "--disable-gpu", "--window-size=1500,4000", "--virtual-time-budget=10000", "--dump-dom"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--no-sandbox")  # Chromium has none for root
    browser = command(*BROWSERS)
    done = subprocess.run(
        [browser, *options, f"--user-data-dir={profile}", address], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
