"""A network as safetensors: the arrays under their names, and what it is in the metadata."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastxor.architecture import Architecture
from fastxor.exporting.as_json import description
from fastxor.views import Array


def content(network: Architecture, parameters: Mapping[str, Array], suffix: str) -> bytes:
    """Metadata are text: numbers and names of several layers are JSON."""
    import json

    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError("'.safetensors' needs safetensors: pip install 'fastxor-nn[safetensors]'") from error
    words = {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in description(network).items()
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in parameters.items()}
    return save(arrays, {"format": "np"} | words)
