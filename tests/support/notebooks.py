"""Running a notebook as a reader would, in a kernel of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_notebook(name: str, folder: Path) -> str:
    """Run every cell; return all that they printed and showed.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Free TCP ports are found first and taken later: kernels that start at once may collide.
        transport = {"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}
        client = nbclient.NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            config=Config(transport),
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
