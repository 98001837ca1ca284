"""Documentation that runs: the code blocks of a Markdown page, in order, as a reader would."""

from __future__ import annotations

import contextlib
import doctest
import gc
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from batch_emulator import Emulator
from semantic_core.cli.app import app
from semantic_core.cli.output import fail
from semantic_core.domain.errors import SemanticCoreError

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").rglob("*.md")))

# `text` is what cannot run: output, a crontab, a unit file.
LANGUAGES = ("python", "console", "text")

_FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')
_OUTPUT = "Output"
_SAME = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

# They go on until somebody stops them.
_SERVICES = ("watch", "emulator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        language: what stands behind the fence.
        title: what is shown above it, or None. Of Python it is the name of a file; of text,
            "Output" means what the block before prints.
        text: what is in it.
        line: where it begins.
    """

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(found, text) for found in _FENCE.finditer(text)]


def _block(found: re.Match[str], text: str) -> Block:
    indent, language, info, body = found.groups()
    title = _TITLE.search(info)
    return Block(
        language=language,
        title=title[1] if title else None,
        text=re.sub(rf"^{indent}", "", body, flags=re.MULTILINE),
        line=text.count("\n", 0, found.start(4)) + 1,
    )


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block, each with what it is said to print."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r"\\\n\s*", "", part).partition("\n")
        yield command, output


class PageRun:
    """Runs a page's blocks in the current folder, with the environment as it is."""

    def __init__(self, page: Path) -> None:
        self._page = page
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        self._services: list[subprocess.Popen[str]] = []

    def run(self) -> None:
        """Run every block; a block that fails, or prints another thing than told, raises."""
        for block in blocks(self._page):
            try:
                self._run(block)
            except Exception as error:
                error.add_note(f"in the block at {self._page.name}:{block.line}")
                raise

    def close(self) -> None:
        """Close what the page left open, as the end of a program would."""
        for name, value in reversed(self._names.items()):
            is_ours = type(value).__module__.startswith(
                ("semantic_core", "llamaindex_semcore", "langchain_semcore")
            )
            for closing in ("close", "stop"):
                if is_ours and name != "_" and hasattr(value, closing):
                    getattr(value, closing)()
        # What is left unclosed shows now, and on this page.
        self._names.clear()
        gc.collect()
        for service in self._services:
            service.send_signal(signal.SIGTERM)
            output, _ = service.communicate(timeout=300)
            # It may be stopped before it has taken the signal upon itself.
            assert service.returncode in (0, -signal.SIGTERM), output

    def _run(self, block: Block) -> None:
        if block.language == "python" and block.title is not None:
            path = Path(block.title)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            # Line numbers of a traceback are then those of the page.
            code = "\n" * (block.line - 1) + block.text
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(compile(code, str(self._page), "exec"), self._names)
            self._printed = printed.getvalue()
        elif block.language == "console":
            for command, output in commands(block):
                self._call(command, output)
        elif block.language == "text" and block.title == _OUTPUT:
            check_output(block.text, self._printed)

    def _call(self, command: str, output: str) -> None:
        words = shlex.split(command, comments=True)
        act = _COMMANDS.get(words[0])
        assert act is not None, f"nobody can try this: {command}"
        if words[0] == "semcore" and words[1] in _SERVICES:
            self._services.append(_start(words[1:]))
            return
        printed = act(words[1:])
        if output.strip():
            check_output(output, printed)
        self._printed = printed


def check_output(told: str, printed: str) -> None:
    """Compare what a page says with what came, where ``...`` stands for anything."""
    is_same = doctest.OutputChecker().check_output(told.strip(), printed.strip(), _SAME)
    assert is_same, f"the page says:\n{told}\nbut it printed:\n{printed}"


# --- commands ----------------------------------------------------------------------------


def _semcore(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments, prog_name="semcore")
    if isinstance(result.exception, SemanticCoreError):
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            fail(result.exception)
        return result.output + errors.getvalue()
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result.output


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    """Start a command that goes on; return once it says something."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "semantic_core", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def _python(arguments: list[str], **environ: str) -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        env={**os.environ, **environ},
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _pytest(arguments: list[str]) -> str:
    # A reader has no plugins; ours take longer to load than the page's tests take.
    return _python(
        ["-m", "pytest", "-p", "no:cacheprovider", *arguments], PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )


def _pip(arguments: list[str]) -> str:
    """Installing takes the network; that the extras exist can be seen without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert arguments[0] == "install"
    found = re.fullmatch(r"(?:semcore|\.)(?:\[([\w,-]+)\])?", arguments[-1])
    assert found, arguments
    extras = found[1].split(",") if found[1] else []
    assert set(extras) <= set(project["optional-dependencies"]), extras
    return ""


def _export(arguments: list[str]) -> str:
    """The test's own values stay: they point at the emulator."""
    for assignment in arguments:
        name, _, _ = assignment.partition("=")
        known = name in os.environ or name.startswith("SEMCORE_")
        assert known, f"semcore reads no {name}"
    return ""


def _make(arguments: list[str]) -> str:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{arguments[0]}:.*## ", makefile, re.MULTILINE), arguments
    return ""


_COMMANDS: dict[str, Callable[[list[str]], str]] = {
    "semcore": _semcore,
    "python": _python,
    "pytest": _pytest,
    "pip": _pip,
    "export": _export,
    "make": _make,
}


@contextlib.contextmanager
def page_in(folder: Path, page: Path, emulator: Emulator) -> Iterator[PageRun]:
    """Work in a folder with some texts, as a reader with a key would."""
    (folder / "docs").mkdir()
    (folder / "docs" / "cats.md").write_text("# Cats\n\nThe cat sat on the mat.\n")
    (folder / "docs" / "dogs.md").write_text("# Dogs\n\nThe dog sleeps in its basket.\n")
    run = PageRun(page)
    with contextlib.chdir(folder):
        try:
            yield run
        finally:
            run.close()
