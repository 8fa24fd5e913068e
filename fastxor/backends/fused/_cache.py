"""Compiled kernels on disk: found by whoever needs the same one, never stale, never in the way.

A kernel is a file. Its name has a digest of all that the machine code depends on: every source of the fused core, the
kernel's name and types, the versions of what compiles it, the CPU. So it is right whenever it is there, processes that
differ do not get into each other's way, and no index has to be kept. Its first bytes are a checksum of that digest and
of all other bytes. Nothing that goes wrong here (no directory, a full disk, a damaged file) is an error: the kernel is
compiled again.

Files lie in ``NUMBA_CACHE_DIR`` or else in the user's cache directory, in a folder for each kind of CPU and width of a
vector, and there in one for each module, so that the generated kernels of many networks do not push out the engine. Of
each folder those used last are kept.

A directory that can only be read is read, and the next one is written: kernels may come from somebody else. They are
code, and the checksum does not say whose: share ``NUMBA_CACHE_DIR`` with those alone that you would run programs of.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config

from fastxor.backends import directory_at_import

from . import _machine_code

_LOGGER = logging.getLogger("fastxor")
_KERNEL, _DRAFT = ".kernel", ".draft"
_LONGEST = 60  # characters of a folder's name, which may be given by NUMBA_CPU_NAME
_DAY = 86_400  # seconds; nobody is that long at writing a file

# What a folder keeps: some versions of the fused core, or the generated kernels of a few hundred networks.
_MOST_FILES = 300
_MOST_BYTES = 100 * 1024 * 1024


class Cache:
    """The files for one kind of machine. What `settings` returns is, at that moment, what machine code depends on."""

    def __init__(self, machine: str, settings: Callable[[], tuple]) -> None:
        self._settings, self._settings_at_import = settings, settings()
        self._stamp, self._places = b"", []
        with suppress(OSError):  # no sources to be read: who knows what a kernel is compiled from
            self._stamp = _digest(resources.files(__package__), self._settings_at_import)
            folder = re.sub(r"[^a-zA-Z0-9_.-]", "_", machine)[-_LONGEST:]
            self._places = [place / "fastxor" / folder for place in _places()]

    @functools.cached_property
    def _folders(self) -> tuple[list[Path], Path | None]:
        """Where kernels are looked for, and where they are kept: the first place that can be written, if there is one.

        Places before it are looked at too; one after it would make a private ``NUMBA_CACHE_DIR`` less private.
        """
        for number, folder in enumerate(self._places, 1):
            with suppress(OSError, ValueError):  # ValueError: a null character in a name
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    return self._places[:number], folder
        return self._places, None

    @property
    def directory(self) -> Path | None:
        """Where kernels are kept; None if no place can be written."""
        return self._folders[1]

    def _key(self, function: Callable, signature: str) -> tuple[bytes, str]:
        """All that the kernel depends on, digested; and the name of its file."""
        name, module = function.__name__, function.__module__
        key = hashlib.sha256(self._stamp + repr((module, name, signature)).encode())
        return key.digest(), f"{module.rpartition('.')[2]}/{name}-{key.hexdigest()[:32]}{_KERNEL}"

    def has(self, function: Callable, signature: str) -> bool:
        """Whether there is a file; if it turns out damaged, the kernel is compiled again."""
        file = self._key(function, signature)[1]
        return any(os.path.exists(os.path.join(folder, file)) for folder in self._folders[0])

    def load(self, function: Callable, signature: str) -> Callable | None:
        """The kernel's machine code, if it is there."""
        key, file = self._key(function, signature)
        for path in [folder / file for folder in self._folders[0]]:
            if not os.path.exists(path):
                continue
            try:
                data = path.read_bytes()
                checksum, code = data[: len(key)], data[len(key) :]
                if checksum != _checksum(key, code):
                    raise ValueError("its checksum is wrong")
                loaded = _machine_code.from_bytes(code)
            except Exception as error:
                _LOGGER.debug("ignoring %s: %r", path, error)
                continue
            with suppress(OSError):  # it may be for reading only
                os.utime(path)  # used now: see _forget
            return loaded
        return None

    def save(self, function: Callable, signature: str, dispatcher: Any) -> None:
        """Keep what the dispatcher has just compiled: whole, or not at all."""
        if self.directory is None or self._settings() != self._settings_at_import:
            return
        key, file = self._key(function, signature)
        path = self.directory / file
        draft = path.with_suffix(f".{secrets.token_hex(8)}{_DRAFT}")
        try:
            code = _machine_code.to_bytes(dispatcher)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_bytes(_checksum(key, code) + code)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
            _forget(path.parent)
        except Exception as error:  # the next process will compile again, that is all
            _LOGGER.debug("could not save a kernel: %r", error)


def _checksum(key: bytes, code: bytes) -> bytes:
    return hashlib.sha256(key + code).digest()


def _digest(sources: Any, settings: tuple) -> bytes:
    """Of what every kernel depends on: the sources in that folder, as they are imported now, and what compiles them."""
    versions = sys.version, numba.__version__, llvmlite.__version__, np.__version__
    digest = hashlib.sha256(repr((versions, settings)).encode())
    files = dict(_sources(sources))
    if not files:
        raise FileNotFoundError(f"no sources in {sources}")
    for name in sorted(files):
        digest.update(b"\0" + name.encode() + b"\0" + files[name])
    return digest.digest()


def _sources(folder: Any, inside: str = "") -> Iterator[tuple[str, bytes]]:
    """Name and text of every Python file in the folder and below."""
    for entry in folder.iterdir():
        if entry.name.endswith(".py"):
            yield inside + entry.name, entry.read_bytes()
        elif entry.is_dir():
            yield from _sources(entry, f"{inside}{entry.name}/")


def _places() -> list[Path]:
    """Where the cache may lie, the best place first."""
    places = [config.CACHE_DIR] if config.CACHE_DIR else []
    if sys.platform == "win32":
        user, otherwise = os.environ.get("LOCALAPPDATA"), "AppData/Local"
    elif sys.platform == "darwin":
        user, otherwise = None, "Library/Caches"
    else:
        user, otherwise = os.environ.get("XDG_CACHE_HOME"), ".cache"
    with suppress(RuntimeError):  # there is no home
        places.append(user if user and os.path.isabs(user) else Path.home() / otherwise)
    return [place for place in (Path(directory_at_import, place) for place in places) if place.is_absolute()]


def _forget(folder: Path) -> None:
    """Delete the files that have not been used for longest, and what an interrupted process has left."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process may have deleted it
            files.append((path.stat(), path))
    kept = bytes_kept = 0
    for about, path in sorted(files, key=lambda file: file[0].st_mtime, reverse=True):
        if path.suffix == _KERNEL:
            kept, bytes_kept = kept + 1, bytes_kept + about.st_size
            unwanted = kept > _MOST_FILES or bytes_kept > _MOST_BYTES
        else:
            unwanted = path.suffix == _DRAFT and time.time() - about.st_mtime > _DAY
        if unwanted:
            with suppress(OSError):
                path.unlink()
