"""Running an example notebook as a reader would, and looking at what it shows."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import nbformat

_ROOT = Path(__file__).parents[2]
EXAMPLES = _ROOT / "examples"


def run_notebook(name: str, folder: Path) -> nbformat.NotebookNode:
    """Run every cell as `scripts/notebooks.py` does, from a folder.

    Raises:
        CellExecutionError: a cell failed.
    """
    script = runpy.run_path(str(_ROOT / "scripts" / "notebooks.py"))
    return script["execute"](EXAMPLES / name, folder)


def read_notebook(name: str) -> nbformat.NotebookNode:
    """Return a notebook as somebody sees it who only reads it."""
    return nbformat.read(EXAMPLES / name, as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def printed(notebook: nbformat.NotebookNode, stream: str = "stdout") -> str:
    """Return all that its cells printed."""
    return "".join(output.text for output in outputs(notebook) if output.get("name") == stream)


def shown(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """Return what its cells showed of one MIME type."""
    found = [output.get("data", {}).get(kind) for output in outputs(notebook)]
    return [data for data in found if data is not None]
