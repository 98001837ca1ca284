"""The crontab line and the unit file of the guide, as a shell and a service manager run them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batch_emulator import Drop, Emulator, FaultRule, Operation
from semantic_core import Document, PeeweeVectorStore, SemanticCore
from support.pages import ROOT, blocks

BY_TITLE = {block.title: block.text for block in blocks(ROOT / "docs" / "how-to" / "cron.md")}
KEYS = BY_TITLE["~/.semcore"]
CRONTAB = BY_TITLE["crontab -e"]
UNIT = BY_TITLE["~/.config/systemd/user/semcore.service"]
BIN = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path: Path, emulator: Emulator) -> Path:
    """A home with the file of keys, filled in, and a database where something waits."""
    keys = KEYS.replace("...", "a-key", 1).replace("...", "a-batch-key", 1)
    keys = keys.replace("/srv/notes", str(tmp_path))
    (tmp_path / ".semcore").write_text(keys + f"GOOGLE_GEMINI_BASE_URL={emulator.url}\n")
    with PeeweeVectorStore(tmp_path / "notes.db") as store:
        SemanticCore(store).ingest(Document(content="The cat sat on the mat."))
    return tmp_path


def environ(home: Path) -> dict[str, str]:
    """As little as cron gives; a PATH that leads to semcore, as the guide asks for."""
    return {"HOME": str(home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def cron(home: Path, when: str = "*/10 * * * *") -> subprocess.CompletedProcess[str]:
    (line,) = re.findall(rf"^{re.escape(when)} (.*)$", CRONTAB, re.MULTILINE)
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=home,
        env=environ(home),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def ready(home: Path) -> int:
    with PeeweeVectorStore(home / "notes.db") as store:
        return store.stats().ready


def test_the_crontab_line_works_in_silence(home: Path) -> None:
    for _ in range(2):
        done = cron(home)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ready(home) == 1


def test_what_passes_by_itself_is_not_mailed(home: Path, emulator: Emulator) -> None:
    emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop(after=True)))
    done = cron(home)
    assert (done.stdout, done.stderr) == ("", "")
    assert "may or may not" in (home / ".semcore.log").read_text()
    assert cron(home).stdout == ""
    assert ready(home) == 1
    assert not emulator.ledger.overbilled()


def test_what_needs_somebody_is_mailed(home: Path, emulator: Emulator) -> None:
    emulator.revoke_key("a-batch-key")
    done = cron(home)
    assert "refused the batch key" in done.stdout


def test_the_unit_runs_and_stops(home: Path, emulator: Emulator) -> None:
    settings = dict(line.split("=", 1) for line in UNIT.splitlines() if "=" in line)
    assert settings["EnvironmentFile"] == "%h/.semcore"
    file = dict(line.split("=", 1) for line in (home / ".semcore").read_text().splitlines())
    process = subprocess.Popen(
        shlex.split(settings["ExecStart"].replace("/path/to/env/bin", str(BIN))),
        cwd=settings["WorkingDirectory"].replace("%h", str(home)),
        env={**environ(home), **file},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert f"Watching {home / 'notes.db'}" in process.stdout.readline()
    # Its first round is over, so it has taken the signals upon itself.
    while "jobs open" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "Stopped" in output


def test_a_used_up_budget_is_mailed_every_morning_and_not_at_each_run(home: Path) -> None:
    keys = (home / ".semcore").read_text()
    assert "SEMCORE_MONTHLY_BUDGET=20" in keys
    (home / ".semcore").write_text(keys.replace("BUDGET=20", "BUDGET=0.00000001"))
    assert cron(home).stdout == ""
    assert "The budget is used up" in (home / ".semcore.log").read_text()
    assert "The budget is used up" in cron(home, "30 7 * * *").stdout


def test_the_script_is_told(home: Path) -> None:
    (home / "mail").write_text('#!/bin/sh\necho "$*" >>mailed\ncat >>mailed\n')
    (home / "tell").write_text(BY_TITLE["/srv/notes/tell"])
    for script in ("mail", "tell"):
        (home / script).chmod(0o755)
    file = dict(line.split("=", 1) for line in (home / ".semcore").read_text().splitlines())
    path = f"{home}{os.pathsep}{environ(home)['PATH']}"
    for command in (["flush"], ["sync", "--notify", f"{home}/tell"]):
        subprocess.run(
            [BIN / "semcore", *command],
            cwd=home,
            env={**environ(home), **file, "PATH": path},
            check=True,
            timeout=300,
        )
    mailed = (home / "mailed").read_text()
    assert mailed.startswith("-s semcore: done you@example.com\nBatch job ")
    assert '"status": "COMPLETED"' in mailed
