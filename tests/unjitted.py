"""A third backend, "unjitted": the fused core's very source, loaded a second time and not compiled."""

import importlib.util
import sys
from pathlib import Path

from numba import config

import fastxor.backends as backends

NAME = "unjitted"


def install() -> None:
    """Make the backend name known to fastxor; more than once does no harm."""
    if NAME in backends._loaded:
        return
    folder = Path(backends.__file__).parent / "fused"
    module_name = f"{backends.__name__}.{NAME}"
    spec = importlib.util.spec_from_file_location(
        module_name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    before, config.DISABLE_JIT = config.DISABLE_JIT, True
    try:
        spec.loader.exec_module(module)
    finally:
        config.DISABLE_JIT = before
    backends._MODULES[NAME] = module_name
    backends._loaded[NAME] = backends._Guarded(NAME, module)
