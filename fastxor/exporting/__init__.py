"""`export`: a network and its parameters as a file for programs that know nothing of this package.

The module of a format has a function ``content(network, parameters, suffix)``, which is given parameters
``W1, b1, W2, b2, …``, float32 or float64 all of them, and returns the bytes of the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from numpy.typing import ArrayLike

from fastxor import suggestions, validation
from fastxor.architecture import Architecture
from fastxor.files import Path, named, place, whole

# The endings, and the module of each.
FORMATS = {
    ".py": "as_python",
    ".c": "as_c",
    ".h": "as_c",
    ".onnx": "as_onnx",
    ".safetensors": "as_safetensors",
    ".json": "as_json",
}


def export(
    run: Any, path: Path, *, parameters: Mapping[str, ArrayLike] | None = None, prefix: str | None = None
) -> None:
    """Write a trained network to a file that other programs read, without this package.

    The ending of `path` chooses the format:

    ``.py``
        A module that needs numpy alone and reads like the tutorial: ``forward(X)`` and ``predict(X)`` for X (n_x, m).
    ``.c``, ``.h``
        C99, which needs the standard library alone and allocates nothing: ``network_forward(x, a)`` for one sample,
        ``network_forward_many(samples, X, A)`` for many, and ``network_predict``. The header can be included by
        several files of a program.
    ``.onnx``
        For ONNX Runtime and its like, checked (``pip install 'fastxor-nn[onnx]'``). As its users expect it, rows are
        samples: the input "X" is (m, n_x) for any m, the output "A" (m, n_y).
    ``.safetensors``
        The arrays ``W1, b1, W2, b2, …`` (``pip install 'fastxor-nn[safetensors]'``). In the metadata, as in those of
        ONNX, "output" and "loss" are names, "sizes" and "hidden" lists in JSON.
    ``.json``
        Sizes, activations, loss and dtype, and under "parameters" the numbers, W1 as a list of its rows.

    All of them compute in the dtype of the parameters, Python in float64 where X is. `Result.save` is for runs that are
    to go on.

    Parameters
    ----------
    run : Result, Trained or Network
        A network alone needs `parameters`.
    path : str or path-like
        Taken as it is. A file that is there already is replaced in one go, by a whole one.
    parameters : dict, optional
        ``W1, b1, W2, b2, …`` of a network; finite.
    prefix : str, optional
        For C, what all names begin with, "network" by default: with two of them, two networks fit into one program.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong kind, shape or values, or the ending is unknown; the message names it.
    OSError
        If the file cannot be written.
    ImportError
        If what the format needs is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> import fastxor as fx
    >>> net = fx.Network([1, 1], output="identity")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "line.json")
    ...     fx.export(net, path, parameters={"W1": [[2.0]], "b1": [[1.0]]})
    ...     with open(path) as file:
    ...         print(file.read()[-43:])
    "parameters": {"W1": [[2.0]], "b1": [1.0]}}
    """
    network, parameters = _what(run, parameters)
    suffix = _suffix(path)
    if prefix is not None and suffix not in (".c", ".h"):
        raise TypeError(f"prefix is for names in C, '.c' and '.h', got {prefix!r} for {suffix!r}")
    theta = validation.parameters(parameters, network)
    parameters = network._views(theta)
    validation.check_values(parameters=parameters)
    place(path)  # or there is no such folder
    names = {} if prefix is None else {"prefix": prefix}
    content = import_module(f"fastxor.exporting.{FORMATS[suffix]}").content(network, parameters, suffix, **names)
    with whole(path) as file:
        file.write(content)


def _what(run: Any, parameters: Mapping[str, ArrayLike] | None) -> tuple[Architecture, Mapping[str, ArrayLike]]:
    """The network and the parameters, which come together or each by itself."""
    if parameters is None:
        return validation.trained("run", run)
    if not isinstance(run, Architecture):
        raise TypeError(f"parameters go with a Network, and a run has its own, got {type(run).__name__} and parameters")
    return run, parameters


def _suffix(path: Path) -> str:
    name = named(path)
    suffix = os.path.splitext(name)[1].lower()
    if suffix in FORMATS:
        return suffix
    if suffix == ".npz":
        hint = "; run.save(path) writes .npz, to be read by fx.load or numpy.load"
    else:
        near = suggestions.nearest(suffix, FORMATS)
        hint = f"; did you mean {near!r}?" if near else "; the ending chooses the format: see help(fx.export)"
    raise ValueError(f"path must end in {', '.join(map(repr, FORMATS))}, got {name!r}{hint}")
