"""Compiled kernels on disk: found by whoever needs the same one, never stale, never in the way.

A kernel is a file. Its name has a digest of all that the machine code depends on: every source of the fused core, the
kernel's name and types, the versions of what compiles it, the CPU. So it is right whenever it is there, processes that
differ do not get into each other's way, and no index has to be kept. Its first bytes are a checksum of the others.
Nothing that goes wrong here (no directory, a full disk, a damaged file) is an error: the kernel is compiled again.

Files lie in ``NUMBA_CACHE_DIR`` or else in the user's cache directory, in a folder for each kind of CPU and width of a
vector. Of each folder those used last are kept.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config

from . import _machine_code

_LOGGER = logging.getLogger("fastxor")
_ENDING = ".kernel"
_CHECKSUM = hashlib.sha256().digest_size
_DAY = 86_400  # seconds; how exactly it is known when a file was last used

# What a folder keeps: some versions of the fused core, and the specialised kernels of a few hundred networks.
_MOST_FILES = 300
_MOST_BYTES = 100 * 1024 * 1024


class Cache:
    """The files for one kind of machine."""

    def __init__(self, folder: str, settings: tuple) -> None:
        self._folder, self._settings = folder, settings

    @functools.cached_property
    def directory(self) -> Path | None:
        """The first of the places that can be written; None without one."""
        for place in _places():
            try:
                path = place / "fastxor" / self._folder
                path.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=path):
                    return path
            except (OSError, ValueError):  # ValueError: a null character in a name
                continue
        return None

    @functools.cached_property
    def _stamp(self) -> bytes:
        digest = hashlib.sha256()
        for path in sorted(Path(__file__).parent.rglob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        versions = sys.version, numba.__version__, llvmlite.__version__, np.__version__
        digest.update(repr((versions, self._settings)).encode())
        return digest.digest()

    def _path(self, function: Callable, signature: str) -> Path | None:
        if self.directory is None:
            return None
        key = hashlib.sha256(self._stamp + repr((function.__module__, function.__name__, signature)).encode())
        return self.directory / f"{function.__name__}-{key.hexdigest()[:32]}{_ENDING}"

    def has(self, function: Callable, signature: str) -> bool:
        """Whether there is a file; if it turns out damaged, the kernel is compiled again."""
        path = self._path(function, signature)
        return path is not None and path.exists()

    def load(self, function: Callable, signature: str) -> Callable | None:
        """The kernel's machine code, if it is there."""
        path = self._path(function, signature)
        if path is None or not path.exists():
            return None
        try:
            data = path.read_bytes()
            if hashlib.sha256(data[_CHECKSUM:]).digest() != data[:_CHECKSUM]:
                raise ValueError("its checksum is wrong")
            code = _machine_code.from_bytes(data[_CHECKSUM:])
        except Exception as error:
            _LOGGER.debug("ignoring %s: %r", path, error)
            return None
        with suppress(OSError):  # elsewhere it may be for reading only
            if time.time() - path.stat().st_mtime > _DAY:
                os.utime(path)
        return code

    def save(self, function: Callable, signature: str, dispatcher: Any) -> None:
        """Keep what the dispatcher has just compiled: whole, or not at all."""
        path = self._path(function, signature)
        if path is None:
            return
        try:
            data = _machine_code.to_bytes(dispatcher)
            draft = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            try:
                draft.write_bytes(hashlib.sha256(data).digest() + data)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            _forget(path.parent)
        except Exception as error:  # the next process will compile again, that is all
            _LOGGER.debug("could not save a kernel: %r", error)


def _places() -> list[Path]:
    """Where the cache may lie, the best place first."""
    places = [Path(config.CACHE_DIR)] if config.CACHE_DIR else []
    with suppress(RuntimeError):  # there is no home
        if sys.platform == "win32":
            user = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        elif sys.platform == "darwin":
            user = Path.home() / "Library" / "Caches"
        else:
            user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        places.append(Path(user))
    return [place.absolute() for place in places]


def _forget(folder: Path) -> None:
    """Delete the files that have not been used for longest, and what an interrupted process has left."""
    kept = bytes_kept = 0
    files = [(path.stat(), path) for path in folder.iterdir() if path.is_file()]
    for about, path in sorted(files, key=lambda file: file[0].st_mtime, reverse=True):
        if path.suffix == _ENDING:
            kept, bytes_kept = kept + 1, bytes_kept + about.st_size
            unwanted = kept > _MOST_FILES or bytes_kept > _MOST_BYTES
        else:
            unwanted = time.time() - about.st_mtime > _DAY
        if unwanted:
            with suppress(OSError):  # another process may have deleted it
                path.unlink()
