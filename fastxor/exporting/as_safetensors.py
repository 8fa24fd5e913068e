"""A network as safetensors: the arrays under their names, and what it is in the metadata."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fastxor.architecture import Architecture
from fastxor.exporting.as_json import metadata
from fastxor.views import Array


def content(network: Architecture, parameters: Mapping[str, Array], suffix: str) -> bytes:
    """The bytes that safetensors itself makes."""
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise ImportError("'.safetensors' needs safetensors: pip install 'fastxor-nn[safetensors]'") from error
    arrays = {name: np.ascontiguousarray(array) for name, array in parameters.items()}
    return save(arrays, {"format": "np"} | metadata(network))
