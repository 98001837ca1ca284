"""Running a notebook as a reader would, in a kernel of its own."""

from __future__ import annotations

from pathlib import Path

import nbclient
import nbformat

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_notebook(name: str, folder: Path) -> str:
    """Run every cell; return all that they printed and showed.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return shown(notebook)


def kept_outputs(name: str) -> str:
    """Return what the notebook shows to somebody who only reads it."""
    return shown(nbformat.read(EXAMPLES / name, as_version=4))


def shown(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in outputs
        if output.get("name") != "stderr"
    )
