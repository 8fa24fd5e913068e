"""The notebook, run from a fresh kernel: does it still say what stands in it? `pytest notebooks/executed.py`

Not part of the ordinary tests: it wants a kernel (extra `docs`). `python notebooks/executed.py` writes the notebook
anew, with what its cells say now.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parent / "xor.ipynb"


def executed() -> Any:
    """The notebook as its cells make it; a cell that raises ends it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, record_timing=False).execute()
    return notebook


def said(notebook: Any) -> list[list[str]]:
    """By cell, the text of what it printed and returned, and of its pictures."""
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    return [[output.get("text") or output["data"]["text/plain"] for output in found] for found in outputs]


def test_the_notebook_says_what_stands_in_it():
    before, after = (said(notebook) for notebook in (nbformat.read(NOTEBOOK, as_version=4), executed()))
    assert sum(map(len, before)) >= 5
    assert after == before


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
