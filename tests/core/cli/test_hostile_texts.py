"""Whatever is stored, typed, answered or logged, the terminal shows it and obeys none of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from batch_emulator import Emulator, EndJob, FaultRule, Reply
from semantic_core.batches import BatchManager
from semantic_core.cli import main
from semantic_core.cli.app import app
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from semantic_core.views import html, notebook
from semantic_core.views.wording import visible
from support.keys import BATCH_KEY, DEFAULT_KEY

# The clipboard (OSC 52), a title, a colour, C1, turned text, a forged line, a bell, a line of its own.
HOSTILE = (
    "zebra\x1b]52;c;bWFsd2FyZQ==\x07\x9b31m\x90q\x9c\u202egnp.exe\u2066\u2069\r\x08\x7f\x0b"
    "\nError: pay here\u2028\x85[red]x[/red] :smile: "
)
# A file's name takes no slash.
FILE_NAME = HOSTILE.replace("/", "") + ".txt"

UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")


@pytest.fixture
def db(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database whose every text, id, name and reason is hostile, at a hostile path."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", BATCH_KEY)
    folder = tmp_path / HOSTILE.replace("/", "")
    folder.mkdir()
    path = folder / "notes.db"
    keyring = GoogleKeyring(DEFAULT_KEY, BATCH_KEY)
    client = GeminiBatchClient.from_keyring(keyring, endpoint=Endpoint(base_url=emulator.url))
    with PeeweeVectorStore(path) as store, client:
        manager = BatchManager(keyring, store, client=client)
        store.save(
            [
                Chunk(
                    id=f"{HOSTILE}{number}",
                    document_id=HOSTILE,
                    text=f"{HOSTILE} {number}",
                    metadata={HOSTILE: [HOSTILE]},
                )
                for number in range(3)
            ]
        )
        store.save([Chunk(text=HOSTILE)], collection=HOSTILE)
        manager.flush_queue()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(
                "UPDATE batch_jobs SET error_message = ?1, provider_state = ?1, "
                "hold_reason = 'lost', google_job_id = ?1, model = ?1",
                (HOSTILE,),
            )
            connection.execute(
                "UPDATE chunks SET embedding_status = 'FAILED', batch_job_id = NULL, "
                "error_message = ? WHERE pk = 1",
                (HOSTILE,),
            )
            connection.commit()
        store.save([Chunk(id="more", text="more")])
    return path


COMMANDS = (
    ("search", "zebra"),
    ("search", HOSTILE),
    ("search", "zebra", HOSTILE),
    ("status",),
    ("jobs",),
    ("failed",),
    ("estimate",),
    ("receipt",),
    ("doctor",),
    ("sync",),
    ("flush",),
    ("retry",),
    ("cancel", HOSTILE),
    ("release", HOSTILE),
    ("receipt", "--month", HOSTILE),
    ("search", "zebra", "--collection", f"{HOSTILE}typo"),
    ("search", "zebra", "--mode", HOSTILE),
    ("search", "zebra", f"--{HOSTILE}"),
    (HOSTILE,),
)


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command as a user does; return all that it said."""

    def in_here(db: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["semcore", *arguments, "--db", str(db)])
        with contextlib.suppress(SystemExit):
            main()
        return "".join(capsys.readouterr())

    return in_here


def in_a_process(db: Path, *arguments: str) -> str:
    """The same with what is logged."""
    done = subprocess.run(
        [sys.executable, "-m", "semantic_core", *arguments, "--db", str(db)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "300"},
        timeout=300,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: ascii(" ".join(words))[:40])
def test_nothing_that_is_stored_or_typed_is_obeyed(
    db: Path, run: Run, command: tuple[str, ...]
) -> None:
    shown = run(db, *command)
    assert shown
    assert not UNSEEN.search(shown), ascii(shown)
    assert "\nError: pay here" not in shown
    assert "\U0001f604" not in shown


def test_nothing_that_is_logged_is_obeyed(db: Path) -> None:
    with closing(sqlite3.connect(db)) as connection:
        connection.execute("UPDATE batch_jobs SET hold_reason = NULL")
        connection.commit()
    shown = in_a_process(db, "sync")
    assert "is held (unreadable)" in shown
    assert not UNSEEN.search(shown), ascii(shown)


@pytest.mark.parametrize("command", ["search zebra", "status", "jobs", "failed", "receipt"])
def test_json_stays_json_and_says_the_same(db: Path, command: str) -> None:
    result = CliRunner().invoke(app, [*shlex.split(command), "--json", "--db", str(db)])
    assert result.exit_code == 0, result.output
    assert not UNSEEN.search(result.output)
    assert len(result.output.splitlines()) == 1
    assert HOSTILE in ascii_of(json.loads(result.output))


def ascii_of(value: object) -> str:
    """Return all strings of a JSON value in one."""
    if isinstance(value, dict):
        return " ".join(map(ascii_of, [*value.keys(), *value.values()]))
    if isinstance(value, list):
        return " ".join(map(ascii_of, value))
    return str(value)


def test_names_of_files_are_not_obeyed(db: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / FILE_NAME).write_text("a paper")
    (folder / f"x{FILE_NAME}").write_bytes(b"\xff\xfe\x00\xd8")
    for options in ((), ("--json",)):
        shown = run(db, "ingest", str(folder), *options)
        assert not UNSEEN.search(shown), ascii(shown)
    assert not UNSEEN.search(run(db, "search", "paper"))


@pytest.mark.parametrize(
    "effect",
    [
        Reply(code=400, message=HOSTILE),
        Reply(code=404, message=HOSTILE, as_text=True),
        EndJob(state="BATCH_STATE_FAILED", message=HOSTILE),
    ],
)
def test_what_the_provider_says_is_not_obeyed(
    db: Path, run: Run, emulator: Emulator, effect: Reply | EndJob
) -> None:
    emulator.add_fault(FaultRule(effect=effect, times=None))
    said = ""
    for command in ("flush", "sync", "search more", "status", "jobs"):
        shown = run(db, *shlex.split(command))
        assert not UNSEEN.search(shown), ascii(shown)
        said += shown
    assert "zebra" in said


def test_a_notebook_turns_no_text_around(db: Path) -> None:
    with PeeweeVectorStore(db) as store:
        pages = [
            notebook.show_results(store.search(text="zebra")),
            notebook.show_queue(store.stats()),
            *(notebook.show_job(job) for job in store.stats().open_jobs),
            html.block(HOSTILE, html.line(HOSTILE), html.code(HOSTILE)),
        ]
    for page in pages:
        assert "gnp.exe" in page
        assert not UNSEEN.search(page)


@given(st.text())
def test_visible_text_is_seen_whole_and_once(text: str) -> None:
    shown = visible(text)
    assert not re.search("[\x00-\x1f]", shown)
    assert not UNSEEN.search(shown)
    assert visible(shown) == shown
    if shown == text:
        return
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text
