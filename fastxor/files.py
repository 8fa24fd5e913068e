"""Files that are written whole or not at all; those of arrays and one entry of JSON, plain ``.npz``, and how they are
read: with suspicion.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

from fastxor.time_slice import run_interruptible
from fastxor.views import Array

Path = str | os.PathLike[str]

# The name of the entry of JSON, which is an array of text without axes.
ENTRY = "fastxor"

# What a reader of this package understands. To be raised when a file has something that it would go wrong without.
FORMAT = 1


def write(path: Path, arrays: dict[str, Array], entry: dict[str, Any]) -> None:
    """Put them into a file. Whoever reads it meanwhile, or after a crash, finds the old one or the new one, whole."""
    import json  # most programs have no such file, and importing takes its time

    text = json.dumps({"format": FORMAT} | entry)
    with whole(path) as file:  # zipfile, broken off by Ctrl-C, might raise another error in its stead
        run_interruptible(lambda: np.savez(file, **{ENTRY: np.array(text)}, **arrays))  # type: ignore[arg-type]


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to be written that takes its name, and the place of another one, when all is in it; else it is gone."""
    folder, name = place(path)
    last = os.path.join(folder, name)
    # Of a long name a part, for that of the passing file may not be too long where its own is not.
    passing = os.path.join(folder, f".{name[:32]}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        with open(passing, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):  # who may read the old one may read the new one
            os.chmod(passing, stat.S_IMODE(os.stat(last).st_mode))
        os.replace(passing, last)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(passing)
        if isinstance(error, OSError) and error.filename == passing:  # which nobody has heard of
            error.filename = named(path)
        raise
    _sync(folder)


def named(path: Path) -> str:
    """The path as text."""
    if not isinstance(path, str | bytes | os.PathLike):
        raise TypeError(f"path must be a path, got {path!r}")
    return os.fsdecode(path)


def place(path: Path) -> tuple[str, str]:
    """The folder, which must be there, and the name of a file to be written; where a link leads."""
    where = os.path.realpath(named(path))
    if os.path.isdir(where):
        raise IsADirectoryError(f"{os.fsdecode(path)!r} is a folder: name a file in it to save in")
    folder, name = os.path.split(where)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder!r} to save {os.fsdecode(path)!r} in")
    if os.path.exists(where) and not os.path.isfile(where):  # a device, whose name would go to the file for good
        raise OSError(f"{os.fsdecode(path)!r} is no ordinary file, whose place another one may take")
    return folder, name


def _sync(folder: str) -> None:
    """Let the name of a new file outlive a power cut, where a system can be asked to."""
    with suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the entry of a file that `write` has written. Nothing in it is ever unpickled.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be opened.
    ValueError
        If it is damaged, of another kind, or of a newer format; the message names it.
    """
    import json  # see `write`

    named(path)  # or it is refused: a number would be taken for an open file's
    with open(path, "rb") as file:
        try:
            arrays = _arrays(file)
        except Exception as error:  # the damaged and the forged raise all kinds
            raise ValueError(f"{refusal(path)}: {error or type(error).__name__}") from error
    try:
        entry = json.loads(str(arrays.pop(ENTRY, "")))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{refusal(path)}: its entry {ENTRY!r} is missing or is no JSON") from error
    version = entry.get("format") if isinstance(entry, dict) else None
    if type(version) is not int or version < 1:
        raise ValueError(f"{refusal(path)}: its entry {ENTRY!r} names no format")
    if version > FORMAT:
        raise ValueError(f"{os.fsdecode(path)!r} is of format {version}, of a newer fastxor; this one reads {FORMAT}")
    return arrays, entry


def refusal(path: Path) -> str:
    """How the message of what is wrong with a file begins."""
    return f"{os.fsdecode(path)!r} is not a whole run of fastxor"


def _arrays(file: Any) -> dict[str, Array]:
    import zipfile  # see `write`

    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"it has {name!r} twice")
            content = BytesIO(archive.read(info))  # which looks at its checksum
            arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
            if content.read(1):
                raise ValueError(f"there is more in {name!r} than its array")
    return arrays
