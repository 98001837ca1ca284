"""Take the terminal's picture for the README: real commands, on real prose, against the emulator."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from batch_emulator import Emulator, EmulatorConfig
from semantic_core import pydoc_topics

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "terminal.svg"
COLUMNS = 96

TITLE = "A terminal: ingest, search by keyword, flush, sync, search by meaning, status."

# A page must not fetch a font from elsewhere.
_FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
_FORMAT = _FORMAT.replace(">", f"><title>{TITLE}</title>", 1)

# The emulator takes seconds for what takes Google hours.
JOB_SECONDS = 4.0

QUESTION = '"make my object callable like a function"'
COMMANDS = (
    "semcore ingest docs/",
    f"semcore search -n 2 {QUESTION}",
    "semcore flush",
    "# hours later",
    "semcore sync",
    f"semcore search -n 2 {QUESTION}",
    "semcore status",
)


def run(command: str, folder: Path, environ: dict[str, str]) -> str:
    """Run one command as in a terminal; return what it showed there."""
    shell = f'"{sys.executable}" -m semantic_core {command.removeprefix("semcore ")}'
    result = subprocess.run(  # noqa: S602  # our own commands, as a reader types them
        shell, shell=True, cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    return result.stdout


def take(folder: Path) -> str:
    """Run the commands in a folder; return the picture."""
    (folder / "docs").mkdir()
    for topic in pydoc_topics():
        name = str(topic.id).removeprefix("python/")
        (folder / "docs" / f"{name}.txt").write_text(topic.content, encoding="utf-8")
    config = EmulatorConfig(running_seconds=JOB_SECONDS)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    with Emulator(folder / "emulator.db", config=config) as emulator:
        environ = {
            **os.environ,
            "COLUMNS": str(COLUMNS),
            "FORCE_COLOR": "1",
            "GEMINI_API_KEY": "any-key",
            "GEMINI_BATCH_API_KEY": "any-other-key",
            "GOOGLE_GEMINI_BASE_URL": emulator.url,
        }
        for command in COMMANDS:
            if command.startswith("#"):
                time.sleep(JOB_SECONDS)
                console.print(Text(f"{command}\n", style="dim"))
                continue
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            console.print(Text.from_ansi(run(command, folder, environ)))
    return console.export_svg(title="semcore", code_format=_FORMAT, unique_id="semcore")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PICTURE.write_text(take(Path(made).resolve()), encoding="utf-8")
