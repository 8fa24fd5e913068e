"""A network as JSON: what it is, and its numbers, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastxor.architecture import Architecture
from fastxor.views import Array


def content(network: Architecture, parameters: Mapping[str, Array], suffix: str) -> bytes:
    """W (n_out, n_in) is a list of its rows, b a list; a float32 is the same number with more digits."""
    import json  # most programs have no such file, and importing takes its time

    numbers = {name: (array.ravel() if name[0] == "b" else array).tolist() for name, array in parameters.items()}
    entry = description(network) | {"dtype": str(parameters["W1"].dtype), "parameters": numbers}
    return json.dumps(entry, allow_nan=False).encode()


def description(network: Architecture) -> dict[str, Any]:
    """What a network is, as `fastxor.Network` takes it."""
    return {name: getattr(network, name) for name in ("sizes", "hidden", "output", "loss")}


def metadata(network: Architecture) -> dict[str, str]:
    """The same where all values are text: output and loss are names, sizes and hidden are lists in JSON."""
    import json

    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in description(network).items()
    }
