"""Whatever is typed, the command line answers with an exit code and words, never a traceback."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from semantic_core.cli.app import app
from semantic_core.domain.errors import SemanticCoreError
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore

# Those that run until they are stopped, or for long, are not for random arguments.
LONG = {"emulator", "demo", "watch"}

COMMANDS = sorted(
    command.name or command.callback.__name__
    for command in app.registered_commands
    if command.callback is not None and (command.name or command.callback.__name__) not in LONG
)

OPTIONS = [
    *("--db", "--collection", "-c", "--limit", "-n", "--json", "--mode", "--base-url", "--fix"),
    *("--min-size", "--max-cost", "--all", "--sync", "--wait", "--timeout", "--accept-rebilling"),
    *("--overwrite", "--since", "--help", "--version", "--", "-"),
]
VALUES = [
    *("notes.db", "missing.db", ".", "..", "/", "text.txt", "0", "-1", "1e9", "nan", "inf"),
    *("default", "keyword", "http://127.0.0.1:1", "https://x.invalid", "file:notes.db?mode=ro"),
    *(
        "",
        " ",
        "'; DROP TABLE chunks; --",
        '"',
        "NEAR(",
        "a:b*",
        "%",
        "\x00",
        "\n",
        "ä€😀",
        "x" * 5000,
    ),
]

words = st.sampled_from(VALUES) | st.text(max_size=12) | st.integers().map(str)
arguments = st.lists(st.sampled_from(OPTIONS) | words, max_size=6)


@contextmanager
def somewhere() -> Iterator[Path]:
    """A folder with a small database and a text, in which relative paths end."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        with PeeweeVectorStore(Path(folder) / "notes.db") as store:
            store.save([Chunk(id="a", text="The cat sat on the mat.")])
        (Path(folder) / "text.txt").write_text("A text.")
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def test_there_are_commands_to_try() -> None:
    assert {"search", "status", "flush", "sync", "doctor", "backup", "ingest"} <= set(COMMANDS)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(COMMANDS), arguments)
def test_any_arguments_end_with_an_exit_code(command: str, typed: list[str]) -> None:
    with somewhere() as folder:
        db = [] if "--db" in typed else ["--db", "notes.db"]
        # What would read or write outside of the folder is not tried.
        given_paths = [
            word for word in typed if word.startswith("/") or ".." in word or word == "."
        ]
        if given_paths or (command == "delete" and "a" in typed):
            return
        result = CliRunner().invoke(app, [command, *db, *typed])
        assert result.exit_code in (0, 1, 2), (result.exit_code, result.output)
        assert result.exception is None or isinstance(
            result.exception, (SystemExit, SemanticCoreError)
        ), repr(result.exception)
        with PeeweeVectorStore(folder / "notes.db") as store:
            assert [chunk.text for chunk in store.get(["a"])] == ["The cat sat on the mat."]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(words, max_size=4))
def test_what_is_no_command_is_wrong_usage(typed: list[str]) -> None:
    if typed and typed[0] in COMMANDS:
        return
    result = CliRunner().invoke(app, typed)
    assert result.exit_code in (0, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
