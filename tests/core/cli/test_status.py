"""What `semcore status` says of jobs that take too long, and when it is interrupted."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from batch_emulator import Emulator, EmulatorConfig, FaultRule, Operation, Reply
from semantic_core.cli.app import app
from semantic_core.cli.output import INTERRUPTED
from semantic_core.domain.clock import HOUR
from semantic_core.views.wording import moment
from support.keys import canary


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A database with one job, which the provider does not begin with."""
    config = EmulatorConfig(pending_seconds=1e9)
    with Emulator(tmp_path / "emulator.db", config=config) as emulator:
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
        monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
        (tmp_path / "cats.txt").write_text("The cat sat on the mat.")
        path = tmp_path / "notes.db"
        for command in (["ingest", str(tmp_path / "cats.txt")], ["flush"]):
            assert CliRunner().invoke(app, [*command, "--db", str(path)]).exit_code == 0
        yield path


def status(database: Path) -> str:
    result = CliRunner().invoke(app, ["status", "--db", str(database)])
    assert result.exit_code == 0, result.output
    return result.output


def change(database: Path, assignment: str) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(f"UPDATE batch_jobs SET {assignment}")
    connection.close()


# Whoever runs the tests in the background has its children ignore an interrupt.
INTERRUPTIBLE = """
import signal
from semantic_core.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def test_an_interrupt_says_what_it_means(database: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "status", f"--db={database}", "--watch=0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        while "in flight" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == INTERRUPTED
    assert errors == "Interrupted. What was saved or sent stays; run the command again to go on.\n"


def test_a_job_that_hangs_is_shown_with_its_age(database: Path) -> None:
    """C7"""
    assert "neither lost" not in status(database)
    submitted_at = time.time() - 72 * HOUR
    change(database, f"submitted_at = {submitted_at}")
    assert f"at the provider since {moment(submitted_at)}, which is long" in status(database)


def test_results_about_to_be_removed_are_shown_with_what_to_do(database: Path) -> None:
    """C9"""
    finished_at = time.time() - 36 * HOUR
    change(database, f"finished_at = {finished_at}")
    said = status(database)
    assert f"its results are there since {moment(finished_at)}" in said
    assert "semcore sync" in said


def test_what_is_passed_over_is_named_with_its_reason(database: Path, tmp_path: Path) -> None:
    (tmp_path / "dogs.txt").write_text("The dog barks.")
    for command in (["ingest", str(tmp_path / "dogs.txt")], ["flush", "--min-size=3"]):
        result = CliRunner().invoke(app, [*command, "--db", str(database)])
        assert result.exit_code == 0
    reason = "default (gemini-embedding-001): 1 text, fewer than --min-size 3."
    assert f"Nothing sent: 1 distinct text waiting.\n{reason}" in result.output
    assert re.search(f"Skipped since [^:]*:[^:]*: {re.escape(reason)}", status(database))


def test_a_pause_is_shown_and_ended_by_a_retry(
    database: Path, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=429)))
    path = tmp_path / "other.db"
    run = [["ingest", str(tmp_path / "cats.txt")], ["flush"], ["retry"], ["flush"]]
    outputs = []
    for command in run:
        outputs.append(CliRunner().invoke(app, [*command, "--db", str(path)]).output)
        if command == ["flush"] and len(outputs) == 2:
            assert "at most 200,000 tokens" in status(path)
    assert "1 chunk waits again" in outputs[2]
    assert "Sent 1 text" in outputs[3]
    assert "Skipped" not in status(path)
