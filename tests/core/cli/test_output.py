"""What the terminal shows: wide or narrow, with colours or without, to people and to scripts."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from batch_emulator import Emulator
from semantic_core import BatchManager, Chunk, GoogleKeyring, PeeweeVectorStore
from support.keys import canary

CONTROL = re.compile(r"\x1b")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]")


@pytest.fixture
def db(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with a job and a text that no plain terminal can show."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    path = tmp_path / "notes.db"
    keyring = GoogleKeyring(batch_key=canary("batch"))
    with PeeweeVectorStore(path) as store, BatchManager(keyring, store) as manager:
        store.save([Chunk(id="a", text="Die Katze saß auf der Matte. 猫")])
        manager.flush_queue()
    return str(path)


def piped(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "semantic_core", *arguments],
        capture_output=True,
        env={**os.environ, **environ},
        timeout=300,
        check=False,
    )


def in_a_terminal(*arguments: str, **environ: str) -> str:
    """Run a command on a terminal of its own; return what arrived there."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "semantic_core", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", **environ},
    ):
        os.close(theirs)
        shown = b""
        # A terminal that everybody has left raises EIO.
        try:
            while piece := os.read(ours, 4096):
                shown += piece
        except OSError:
            pass
        finally:
            os.close(ours)
    return shown.decode()


def test_a_terminal_gets_colours_unless_it_wants_none(tmp_path: Path) -> None:
    arguments = ("status", f"--db={tmp_path}")
    assert COLOUR.search(in_a_terminal(*arguments))
    plain = in_a_terminal(*arguments, NO_COLOR="1")
    assert "is a folder" in plain
    assert not COLOUR.search(plain)


@pytest.mark.parametrize("command", ["status", "jobs", "receipt", "estimate", "failed"])
def test_a_pipe_gets_no_control_codes(command: str, db: str) -> None:
    result = piped(command, f"--db={db}")
    assert result.returncode == 0, result.stderr
    assert not CONTROL.search((result.stdout + result.stderr).decode())


def test_a_narrow_terminal_cuts_nothing(db: str) -> None:
    with PeeweeVectorStore(db) as store:
        (job,) = store.stats().open_jobs
    for columns in ("20", "40", "200"):
        shown = piped("jobs", f"--db={db}", COLUMNS=columns).stdout.decode()
        assert job.id[:8] in shown
        assert "SUBMITTED" in shown
        assert "…" not in shown
    assert "│" not in piped("jobs", f"--db={db}", COLUMNS="20").stdout.decode()


def test_an_old_terminal_gets_what_it_can_show(db: str) -> None:
    shown = piped("search", "Katze", f"--db={db}", PYTHONIOENCODING="ascii")
    assert shown.returncode == 0, shown.stderr
    assert b"Die Katze sa? auf der Matte" in shown.stdout
    told = piped("search", "Katze", f"--db={db}", "--json", PYTHONIOENCODING="ascii").stdout
    assert json.loads(told)["hits"][0]["chunk"]["text"] == "Die Katze saß auf der Matte. 猫"


def test_a_reader_that_goes_away_is_no_crash(db: str) -> None:
    command = f"{sys.executable} -m semantic_core jobs --db {db} | true"
    result = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False)
    assert b"Traceback" not in result.stderr
