"""Every code block of the README and of the documentation runs as it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from batch_emulator import Emulator
from support.keys import canary
from support.pages import LANGUAGES, PAGES, ROOT, blocks, check_output, commands, page_in
from support.postgres_server import PostgresServer


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """The environment of a reader, whose Google is the emulator."""
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))


@pytest.fixture
def notes_on_a_server(
    monkeypatch: pytest.MonkeyPatch, postgres_server: PostgresServer
) -> Iterator[None]:
    """The database ``notes`` on the server that libpq's variables name."""
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", str(postgres_server.port))
    monkeypatch.setenv("PGUSER", "postgres")
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE notes")
        yield
        connection.execute("DROP DATABASE notes WITH (FORCE)")


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(
    page: Path, tmp_path: Path, emulator: Emulator, request: pytest.FixtureRequest
) -> None:
    found = blocks(page)
    if any("postgresql:///notes" in block.text for block in found):
        request.getfixturevalue("notes_on_a_server")
    assert {block.language for block in found} <= set(LANGUAGES)
    with page_in(tmp_path, page, emulator) as reader:
        reader.run()
    assert not emulator.ledger.overbilled()


def test_the_check_would_notice(tmp_path: Path, emulator: Emulator) -> None:
    """A block that fails, prints something else, or that nobody can try."""
    page = tmp_path / "page.md"
    for text in (
        "```python\nraise ValueError\n```",
        '```python\nprint(1)\n```\n\n```text title="Output"\n2\n```',
        "```console\n$ rm notes.db\n```",
        "```console\n$ semcore status --db nowhere.db\n```",
        '```console\n$ pip install "semcore[nothing]"\n```',
    ):
        page.write_text(text + "\n")
        assert blocks(page)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        with page_in(folder, page, emulator) as reader, pytest.raises((AssertionError, ValueError)):
            reader.run()


def test_every_console_block_has_a_command() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language != "console" or list(commands(block)), (page.name, block.line)


def test_code_fits_a_screen() -> None:
    """A line of 100 characters fits 1,280 pixels, as docs/stylesheets/extra.css sets code.

    One of a crontab cannot be broken; it wraps there.
    """
    for page in PAGES:
        for block in blocks(page):
            if not (block.title or "").startswith("crontab"):
                longest = max(block.text.splitlines(), key=len)
                assert len(longest) <= 100, (page.name, longest)


def test_output_may_leave_out_what_changes() -> None:
    check_output("Saved 2 documents in ...\n", "Saved 2 documents in 0.11 s.\n")
    with pytest.raises(AssertionError):
        check_output("Saved 3 documents in ...\n", "Saved 2 documents in 0.11 s.\n")
