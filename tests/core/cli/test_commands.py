"""The commands a user and a crontab run, with their output, JSON and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batch_emulator import Emulator, FaultRule, Operation, Reply
from semantic_core.cli.app import app
from semantic_core.domain.errors import SemanticCoreError
from support.keys import canary

TEXT = "The cat sat on the mat.\n"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder with one readable file, and a database path beside it."""
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "cats.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))


def run(notes: Path, command: str, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [command, *arguments, "--db", str(notes / "notes.db")])
    if isinstance(result.exception, SemanticCoreError):
        raise result.exception
    return result


def as_json(notes: Path, command: str, *arguments: str) -> Any:
    result = run(notes, command, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def in_a_process(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "semantic_core", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        timeout=300,
        check=False,
    )


@pytest.mark.usefixtures("keys")
def test_the_whole_way(notes: Path) -> None:
    assert "1 document as 1 chunk" in run(notes, "ingest", str(notes / "docs")).output
    assert "[keyword" in run(notes, "search", "cat").output
    assert "1 distinct text," in run(notes, "status").output
    assert "Sent 1 text as batch job" in run(notes, "flush").output
    assert "COMPLETED" in run(notes, "sync", "--wait").output
    assert "COMPLETED" in run(notes, "jobs").output
    assert "No batch job is open" in run(notes, "sync").output
    assert "Nothing to send" in run(notes, "flush").output
    found = run(notes, "search", "where is the cat").output
    assert "[both" in found
    assert "100% of 1 chunk has a vector" in found


@pytest.mark.usefixtures("keys")
def test_json_is_one_line_that_a_script_can_read(notes: Path) -> None:
    report = as_json(notes, "ingest", str(notes / "docs"))
    assert report["chunks"]["pending"] == 1
    (job,) = as_json(notes, "flush")["jobs"]
    assert (job["status"], job["request_count"]) == ("SUBMITTED", 1)
    assert as_json(notes, "sync", "--wait", "--timeout", "30")["jobs"][0]["status"] == "COMPLETED"
    assert as_json(notes, "status")["ready"] == 1
    found = as_json(notes, "search", "cat")
    assert found["degraded"] is None
    assert found["hits"][0]["chunk"]["text"] == TEXT.strip()


@pytest.mark.usefixtures("keys")
def test_sync_mode_embeds_live(notes: Path) -> None:
    assert as_json(notes, "ingest", "--sync", str(notes / "docs"))["chunks"]["ready"] == 1


def test_saving_and_searching_need_no_key(notes: Path) -> None:
    run(notes, "ingest", str(notes / "docs"))
    assert "[keyword" in run(notes, "search", "cat").output
    assert as_json(notes, "status")["waiting"] == 1


def test_errors_go_to_stderr_with_what_to_do_next(notes: Path) -> None:
    run(notes, "ingest", str(notes / "docs"))
    result = in_a_process("flush", "--db", str(notes / "notes.db"))
    assert result.returncode == 1
    assert "GEMINI_BATCH_API_KEY" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "command",
    [
        ("report", "--html", "docs"),
        ("report", "--html", "no/x.html"),
        ("demo", "--folder", "notes.db/x"),
    ],
)
def test_a_path_that_cannot_be_used_is_named(notes: Path, command: tuple[str, ...]) -> None:
    database = str(notes / "notes.db")
    run(notes, "ingest", str(notes / "docs"))
    with contextlib.chdir(notes):
        result = in_a_process(*command, SEMCORE_DB=database)
    assert result.returncode == 1
    assert "Choose another path." in result.stderr
    assert "Traceback" not in result.stderr


def test_a_rate_limit_exits_with_75(notes: Path, emulator: Emulator) -> None:
    environ = {
        "GOOGLE_GEMINI_BASE_URL": emulator.url,
        "GEMINI_BATCH_API_KEY": canary("batch"),
        "SEMCORE_DB": str(notes / "notes.db"),
    }
    assert in_a_process("ingest", str(notes / "docs"), **environ).returncode == 0
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=429)))
    result = in_a_process("flush", **environ)
    assert result.returncode == 75, result.stderr
    assert "wait" in result.stderr.lower()


def test_output_without_a_terminal_has_no_control_codes(notes: Path) -> None:
    database = str(notes / "notes.db")
    in_a_process("ingest", str(notes / "docs"), "--db", database)
    for command in (["status"], ["search", "cat"]):
        result = in_a_process(*command, "--db", database, NO_COLOR="1", TERM="dumb")
        assert result.returncode == 0, result.stderr
        assert "\x1b" not in result.stdout + result.stderr


def test_a_file_that_is_no_database_is_refused_untouched(notes: Path) -> None:
    other = notes / "notes.db"
    other.write_text("my shopping list, which must survive " * 10)
    before = other.read_bytes()
    result = in_a_process("ingest", str(notes / "docs"), "--db", str(other))
    assert result.returncode == 1
    assert "not a" in result.stderr
    assert other.read_bytes() == before


@pytest.mark.parametrize("arguments", [["frobnicate"], ["search"], ["ingest", "no-such-folder"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert in_a_process(*arguments).returncode == 2


def test_a_question_without_quotes_is_told_of_them(notes: Path) -> None:
    run(notes, "ingest", str(notes / "docs"))
    result = run(notes, "search", "where", "is", "the", "cat")
    assert result.exit_code == 2
    assert 'Put the question in quotes: semcore search "where is the cat"' in result.output
    assert run(notes, "search", "where", "--frobnicate").exit_code == 2


def test_a_taken_port_is_told_with_what_takes_a_free_one(notes: Path) -> None:
    state = str(notes / "emulator.db")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        result = in_a_process("emulator", "--port", port, "--state", state)
    assert result.returncode == 1
    assert "Choose another port. --port 0 takes any free one." in result.stderr


def test_every_command_has_help() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.callback.__doc__
        name = command.name or command.callback.__name__
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0
