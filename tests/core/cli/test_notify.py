"""--notify: a command is told what became of jobs and of the budget, and cannot do any harm."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from batch_emulator import Emulator, EndJob, FailLines, FaultRule, Lines, StickJob
from semantic_core import PeeweeVectorStore
from semantic_core.cli.app import app
from semantic_core.cli.output import OVER_BUDGET
from semantic_core.domain.types import Chunk
from support.keys import canary

NOTE = """
import json, os, sys
event = {name: os.environ[name] for name in ("SEMCORE_EVENT", "SEMCORE_MESSAGE")}
with open(sys.argv[1], "a") as file:
    file.write(json.dumps([event, json.loads(sys.stdin.read())]) + "\\n")
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))


class Told:
    """A command that writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        (folder / "note.py").write_text(NOTE)
        self._file = folder / "it's told; $(echo none).jsonl"
        words = [sys.executable, str(folder / "note.py"), str(self._file)]
        self.command = shlex.join(words)

    def news(self) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Return what was told since this was asked last."""
        if not self._file.exists():
            return []
        lines = [tuple(json.loads(line)) for line in self._file.read_text().splitlines()]
        self._file.unlink()
        return lines

    def events(self) -> list[str]:
        return [environ["SEMCORE_EVENT"] for environ, _ in self.news()]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


@pytest.fixture
def db(tmp_path: Path) -> str:
    path = tmp_path / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.save([Chunk(id=str(n), text=f"Text number {n}.") for n in range(3)])
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_job_that_is_done_is_told_once(db: str, told: Told, emulator: Emulator) -> None:
    emulator.add_fault(
        FaultRule(effect=FailLines(code=400, message="rude", lines=Lines(containing="number 2")))
    )
    run("flush", "--db", db, "--notify", told.command)
    assert told.events() == []
    result = run("sync", "--db", db, "--notify", told.command)
    assert result.exit_code == 0
    ((environ, fact),) = told.news()
    job = fact["job"]
    assert environ["SEMCORE_EVENT"] == fact["event"] == "done"
    said = f"Batch job {job['id']}: COMPLETED, 2 texts embedded, 1 text failed."
    assert environ["SEMCORE_MESSAGE"] == fact["message"] == said
    assert (job["status"], job["failed_count"]) == ("COMPLETED", 1)
    run("sync", "--db", db, "--notify", told.command)
    assert told.events() == []


@pytest.mark.parametrize(
    ("state", "event"), [("BATCH_STATE_EXPIRED", "failed"), ("BATCH_STATE_CANCELLED", "held")]
)
def test_a_job_that_failed_or_is_held_is_told(
    db: str, told: Told, emulator: Emulator, state: str, event: str
) -> None:
    emulator.add_fault(FaultRule(effect=EndJob(state=state)))
    run("flush", "--db", db)
    run("wait", "--db", db, "--notify", told.command)
    ((environ, fact),) = told.news()
    assert environ["SEMCORE_EVENT"] == event
    assert fact["job"]["error_message"]


def test_a_used_up_budget_is_told_once_and_has_its_exit_code(
    db: str, told: Told, emulator: Emulator
) -> None:
    flush = ("flush", "--all", "--db", db, "--notify", told.command, "--monthly-budget")
    result = run(*flush, "0.00000001")
    assert result.exit_code == OVER_BUDGET
    assert "The budget is used up: the next batch job would pass --monthly-budget" in result.output
    ((environ, fact),) = told.news()
    assert environ["SEMCORE_EVENT"] == "budget"
    assert "would pass --monthly-budget $1e-08. Nothing was sent" in environ["SEMCORE_MESSAGE"]
    assert fact["passed_over"]["collections"] == ["default"]
    # Cron asks again every ten minutes, and nothing is new.
    assert run(*flush, "0.00000001").exit_code == OVER_BUDGET
    assert told.events() == []
    assert emulator.jobs() == []
    assert run(*flush, "10").exit_code == 0
    assert run("doctor", "--db", db).exit_code == 0
    with PeeweeVectorStore(db) as store:
        store.save([Chunk(id="more", text="One more text.")])
    assert run(*flush, "0.00000001").exit_code == OVER_BUDGET
    assert told.events() == ["budget"]
    # The morning's mail has it, too.
    found = run("doctor", "--db", db)
    assert found.exit_code == 1
    assert "budget that keeps texts back: Skipped since" in found.output


def test_a_budget_that_one_flush_cannot_keep_is_told(db: str, told: Told) -> None:
    """This one raises, where --all leaves the rest waiting."""
    result = run("flush", "--db", db, "--max-cost=0.0000000001", "--notify", told.command)
    assert "BudgetExceededError" in repr(result.exception)
    assert told.events() == ["budget"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("/no/such/command", "No such file"),
        (
            shlex.join(
                [sys.executable, "-c", "import os; os.write(2, b'\\xff\\x1b]0;'); os._exit(3)"]
            ),
            "it ended with code 3. \ufffd\\u001b]0;.",
        ),
        (shlex.join([sys.executable, "-c", "raise SystemExit('no mail today')"]), "no mail today"),
    ],
)
def test_a_command_that_fails_is_said_and_changes_nothing(db: str, command: str, why: str) -> None:
    run("flush", "--db", db)
    result = run("sync", "--json", "--db", db, "--notify", command)
    assert result.exit_code == 0
    assert "Nobody was told (Batch job" in result.stderr
    assert why in result.stderr
    assert json.loads(result.stdout)["jobs"][0]["status"] == "COMPLETED"


def test_a_command_that_is_none_is_wrong_usage_before_anything_is_done(
    db: str, emulator: Emulator
) -> None:
    assert run("flush", "--db", db, "--notify", "mail 'me").exit_code == 2
    assert emulator.jobs() == []


def test_what_is_done_is_told_although_the_wait_was_given_up(
    db: str, told: Told, emulator: Emulator
) -> None:
    jobs = []
    for text in ("This is soon done.", "This takes long."):
        with PeeweeVectorStore(db) as store:
            store.save([Chunk(text=text)])
        jobs.append(json.loads(run("flush", "--json", "--db", db).stdout)["jobs"][0])
    stuck = FaultRule(effect=StickJob(), target=jobs[1]["display_name"], times=None)
    emulator.add_fault(stuck)
    result = run("wait", "--db", db, "--timeout=0.1", "--notify", told.command)
    assert "WaitTimeoutError" in repr(result.exception)
    assert told.events() == ["done"]
