"""Every command on a server, and what is shown of its URL."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from batch_emulator import Emulator
from semantic_core.cli.app import app
from semantic_core.cli.target import Target
from semantic_core.domain.errors import UnsupportedDatabaseError
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
        ["doctor"],
    ):
        url = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
        result = CliRunner().invoke(app, [*command, "--db", url])
        assert result.exit_code == 0, (command, result.output, result.exception)
        shown.append(result.output)
    assert "[keyword" in shown[1]
    assert "[vector" in shown[4] or "[both" in shown[4]
    assert PASSWORD not in "".join(shown)
    result = CliRunner().invoke(app, ["backup", str(tmp_path / "copy.db"), "--db", postgres_url])
    assert isinstance(result.exception, UnsupportedDatabaseError)


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
