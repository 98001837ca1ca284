"""Every block of the README runs as it stands there."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from semantic_core.cli import app
from semantic_core.emulator import Emulator

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def somewhere(
    tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """An empty folder, with the environment pointing at the emulator."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", "a-default-key")
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", "a-batch-key")
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_run(block: str, somewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    for name in ("manager", "core", "store"):
        names[name].close()  # type: ignore[attr-defined]
    assert "both" in capsys.readouterr().out


def test_terminal_commands_run_in_order(somewhere: Path) -> None:
    (somewhere / "docs").mkdir()
    (somewhere / "docs" / "cats.md").write_text("# Cats\n\nThe cat sat on the mat.\n")
    commands = [
        line.removeprefix("$ semcore ")
        for block in blocks("console")
        for line in block.splitlines()
        if line.startswith("$ semcore ")
    ]
    assert len(commands) >= 5
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command))
        assert result.exit_code == 0, (command, result.output)


def test_make_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z0-9]+)", README))
    assert targets >= {"demo", "test", "help", "e2e"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_paths_and_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / link).exists(), link
