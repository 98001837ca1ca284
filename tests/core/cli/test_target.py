"""Every command on a server, and what is shown of its URL."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from batch_emulator import Emulator
from semantic_core.cli.app import app
from semantic_core.cli.target import Target
from semantic_core.domain.errors import StoreMovedError, UnsupportedDatabaseError
from support.keys import canary

PASSWORD = "s3cret-of-the-database"


@pytest.mark.postgres
def test_a_folder_goes_its_whole_way_on_a_server(
    tmp_path: Path, postgres_url: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    (tmp_path / "cats.txt").write_text("The cat sat on the mat.\n")
    shown = []
    for command in (
        ["ingest", str(tmp_path)],
        ["search", "cat"],
        ["flush"],
        ["sync", "--wait"],
        ["search", "animal on a rug"],
        ["status"],
        ["receipt"],
        ["reindex", "en,de"],
        ["index"],
        ["search", "animal on a rug"],
        ["index", "default", "--drop"],
        ["doctor"],
    ):
        url = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
        result = CliRunner().invoke(app, [*command, "--db", url])
        assert result.exit_code == 0, (command, result.output, result.exception)
        shown.append(result.output)
    assert "[keyword" in shown[1]
    assert "[vector" in shown[4] or "[both" in shown[4]
    assert "Put 1 vector in: the server searches 'default'" in shown[8]
    assert shown[9] == shown[4]
    assert "by itself" in shown[10]
    assert PASSWORD not in "".join(shown)
    result = CliRunner().invoke(app, ["backup", str(tmp_path / "copy.db"), "--db", postgres_url])
    assert isinstance(result.exception, UnsupportedDatabaseError)


@pytest.mark.postgres
def test_a_file_moves_onto_a_server_and_another_file(tmp_path: Path, postgres_url: str) -> None:
    old, third = str(tmp_path / "notes.db"), str(tmp_path / "third.db")
    url = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
    (tmp_path / "cats.txt").write_text("The cat sat on the mat.\n")
    shown = []
    for command in (
        ["ingest", str(tmp_path), "--db", old],
        ["copy", old, url],
        ["copy", old, url],
        ["search", "cat", "--db", old],
        ["doctor", "--db", old],
        ["copy", url, third],
        ["search", "cat", "--db", third],
        ["status", "--db", url],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 0, (command, result.output, result.exception)
        shown.append(result.output)
    assert "has everything of" in shown[1]
    assert "cats.txt" in shown[6]
    assert "was moved to" in shown[7]
    assert PASSWORD not in "".join(shown)
    result = CliRunner().invoke(app, ["ingest", str(tmp_path), "--db", url])
    assert isinstance(result.exception, StoreMovedError)
    assert PASSWORD not in str(result.exception)
    result = CliRunner().invoke(app, ["copy", str(tmp_path / "typo.db"), third])
    assert result.exit_code == 2
    assert not (tmp_path / "typo.db").exists()


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("notes.db", "notes.db"),
        ("postgresql://me@host/notes", "postgresql://me@host/notes"),
        (f"postgresql://me:{PASSWORD}@host/notes", "postgresql://me@host/notes"),
        (f"postgresql://me:a@{PASSWORD}@host/notes", "postgresql://me@host/notes"),
        (f"postgresql://host/notes?password={PASSWORD}", "postgresql://host/notes?password=..."),
    ],
)
def test_no_password_is_shown(typed: str, shown: str) -> None:
    assert str(Target(typed)) == f"{Target(typed)}" == shown
