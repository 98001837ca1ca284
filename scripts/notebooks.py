"""Run the example notebooks, and keep what they show, for those who only read them."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
from traitlets.config import Config

EXAMPLES = Path(__file__).parents[1] / "examples"

# Read in a file, a bar stands still at its beginning.
_WIDGET = "application/vnd.jupyter.widget-view+json"


def execute(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run every cell in a kernel of its own, as a reader would, from a folder.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Free TCP ports are found first and taken later: kernels that start at once may collide.
        transport = {"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}
        client = nbclient.NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
            config=Config(transport),
        )
        client.execute()
    return notebook


def keep(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook that was run, without what changes from machine to machine."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _is_kept(output)]
            for output in cell.outputs:
                # A value's repr says the same as its table, at ten times the length.
                if "text/html" in output.get("data", {}):
                    del output.data["text/plain"]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, path)


def _is_kept(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    # rich leaves an empty text beside a bar that has ended.
    is_empty = output.output_type == "display_data" and not data.get("text/plain", "-").strip()
    return output.get("name") != "stderr" and _WIDGET not in data and not is_empty


def main(names: list[str]) -> None:
    """Run the notebooks named, or all, and write them back."""
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        if not names or path.name in names:
            with tempfile.TemporaryDirectory() as folder:
                keep(execute(path, Path(folder)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
