"""`semcore doctor` and `semcore backup`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batch_emulator import Emulator
from semantic_core.cli.app import app
from semantic_core.domain.errors import SemanticCoreError, UnsupportedDatabaseError
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.keys import canary


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.save([Chunk(id="a", text="The cat sat on the mat.")])
    return path


def run(database: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments, "--db", str(database)])
    if isinstance(result.exception, SemanticCoreError):
        raise result.exception
    return result


def spoil(database: Path) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE chunk_counts SET chunks = 9")
    connection.close()


def test_a_healthy_database(database: Path) -> None:
    result = run(database, "doctor")
    assert result.exit_code == 0
    assert "Nothing is wrong" in result.output
    assert "no batch key" in result.output


def test_what_is_wrong_is_shown_fixed_and_gone(database: Path) -> None:
    spoil(database)
    result = run(database, "doctor")
    assert result.exit_code == 1
    assert "[WRONG] counts" in result.output
    assert "semcore doctor --fix" in result.output
    result = run(database, "doctor", "--fix")
    assert result.exit_code == 0
    assert "[fixed] counts" in result.output
    assert run(database, "doctor").exit_code == 0


def test_json_says_the_same(database: Path) -> None:
    spoil(database)
    result = run(database, "doctor", "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["is_healthy"] is False
    (counts,) = [one for one in said["findings"] if one["trouble"] == "counts"]
    assert (counts["is_fixable"], counts["is_fixed"]) == (True, False)
    assert "[" not in result.stdout[:1]


def test_with_a_key_the_provider_is_asked(
    database: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    result = run(database, "doctor", "--base-url", emulator.url)
    assert result.exit_code == 0
    assert "no batch key" not in result.output
    assert emulator.requests != []


def test_a_sample_is_embedded_again_and_told(
    database: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    assert run(database, "flush", "--base-url", emulator.url).exit_code == 0
    assert run(database, "sync", "--base-url", emulator.url).exit_code == 0
    result = run(database, "doctor", "--sample", "3", "--base-url", emulator.url)
    assert result.exit_code == 0
    assert "[note] spot check: 1 text embedded live again" in result.output
    result = run(database, "receipt")
    assert "Spot checks embedded about" in result.output
    result = run(
        database, "doctor", "--sample", "3", "--monthly-budget", "0", "--base-url", emulator.url
    )
    assert "would pass --monthly-budget" in result.output


@pytest.mark.parametrize(
    "command", [["doctor"], ["backup", "copy.db"], ["reindex", "de"], ["index"]]
)
def test_a_database_that_is_not_there_is_not_made(tmp_path: Path, command: list[str]) -> None:
    missing = tmp_path / "typo.db"
    result = run(missing, *command)
    assert result.exit_code == 2
    assert "typo.db" in result.output
    assert list(tmp_path.iterdir()) == []


def test_backup_copies_and_does_not_overwrite(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert "Saved a copy" in run(database, "backup", str(copy)).output
    with PeeweeVectorStore(copy) as store:
        assert [chunk.id for chunk in store.chunks()] == ["a"]
    with pytest.raises(SemanticCoreError, match="exists"):
        run(database, "backup", str(copy))
    assert run(database, "backup", str(copy), "--overwrite").exit_code == 0


def test_a_file_has_no_index_on_a_server(database: Path) -> None:
    with pytest.raises(UnsupportedDatabaseError, match="keep the store on a PostgreSQL server"):
        run(database, "index")
    assert "by itself" in run(database, "index", "--drop").output


def test_reindex_changes_the_languages_of_a_collection(tmp_path: Path) -> None:
    text, database = tmp_path / "a.txt", tmp_path / "notes.db"
    text.write_text("Die H\u00e4user am Rand.", encoding="utf-8")
    made = run(database, "ingest", str(text), "-c", "texts", "--new", "--languages", "en")
    assert made.exit_code == 0
    assert "Nothing found." in run(database, "search", "Haus", "-c", "texts").output
    done = run(database, "reindex", "de,en", "-c", "texts")
    assert "Indexed 1 chunk of 'texts' anew, in de, en." in done.output
    assert "1. [keyword" in run(database, "search", "Haus", "-c", "texts").output
    again = run(database, "reindex", "de,en", "-c", "texts")
    assert "Indexed 0 chunks" in again.output
    with pytest.raises(SemanticCoreError, match="klingon"):
        run(database, "reindex", "klingon")
