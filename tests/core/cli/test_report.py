"""`semcore report`: one file, written in one step, over nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batch_emulator import Emulator
from semantic_core import PeeweeVectorStore
from semantic_core.cli.app import app
from semantic_core.cli.output import OVER_BUDGET
from semantic_core.domain.types import Chunk
from semantic_core.views.report import MARK
from support.keys import canary


@pytest.fixture
def db(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.save([Chunk(id="a", text="The text of a chunk is in no report.")])
    return path


def report(db: Path, file: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["report", "--html", str(file), "--db", str(db), *more])


def test_it_needs_no_key_and_may_be_written_again(db: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    for _ in range(2):
        result = report(db, file, "--monthly-budget=20")
        assert result.exit_code == 0, result.output
        assert f"Wrote {file}" in result.output
    page = file.read_text(encoding="utf-8")
    assert page.startswith(MARK)
    assert "What waits goes with the next flush" in page
    assert "the budget is $20.00" in page
    assert "The text of a chunk" not in page
    assert sorted(one.name for one in tmp_path.glob("*.html*")) == ["report.html"]


def test_it_speaks_as_the_terminal_does(
    db: Path, tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    flush = ["flush", "--all", "--monthly-budget=0.00000001", "--db", str(db)]
    assert CliRunner().invoke(app, flush).exit_code == OVER_BUDGET
    assert report(db, tmp_path / "report.html").exit_code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The budget is used up: the next batch job would pass --monthly-budget $1e-08" in page


def test_it_replaces_no_other_file(db: Path, tmp_path: Path) -> None:
    before = db.read_bytes()
    result = report(db, db)
    assert result.exit_code == 2
    assert "is no report. Nothing was written" in result.output
    assert db.read_bytes() == before


def test_a_database_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert report(tmp_path / "none.db", tmp_path / "report.html").exit_code == 2
    assert not (tmp_path / "report.html").exists()
