"""Pictures and PDFs in the terminal: taken by folder where the model takes them, asked by picture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batch_emulator import Emulator
from semantic_core.cli.app import app
from support.keys import canary
from support.pictures import pdf, picture

MODEL = ("--model", "gemini-embedding-2")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a text, two pictures and a song; and a PDF beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", emulator.url)
    monkeypatch.setenv("GEMINI_API_KEY", canary("default"))
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "notes.md").write_text("# Notes\n\nThe shoe is red.\n")
    (folder / "shoe.png").write_bytes(picture(1))
    (folder / "lamp.JPG").write_bytes(picture(2, kind="JPEG"))
    (folder / "song.mp3").write_bytes(b"ID3")
    (tmp_path / "report.pdf").write_bytes(pdf("annual turnover", "mild weather"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_pictures_are_ingested_priced_and_found_by_picture(here: Path) -> None:
    done = run("ingest", "photos", "report.pdf", *MODEL)
    assert done.exit_code == 0
    assert "Saved 4 documents as 5 chunks" in done.stdout
    assert "Passed over: 1 .mp3." in done.stdout
    assert "5 chunks wait with 5 distinct texts" in done.stdout
    assert "By batch that is about $0.000" in done.stdout
    assert "1. [keyword] report.pdf, page 2\n   mild weather\n" in run("search", "weather").stdout
    assert "[keyword] photos/shoe.png\n" in run("search", "shoe").stdout

    assert "Sent 5 texts" in run("flush").stdout
    assert run("sync", "--wait").exit_code == 0

    (here / "wanted.jpg").write_bytes(picture(2, size=150, kind="JPEG"))
    found = run("search", "--image", "wanted.jpg")
    assert found.stdout.startswith("1. [vector] photos/lamp.JPG\n2. ")
    assert "[both] photos/shoe.png" in run("search", "shoe", "--image", "photos/shoe.png").stdout
    again = run("ingest", "photos")
    assert "3 ready, 0 waiting" in again.stdout
    assert "By batch" not in again.stdout


def test_a_text_model_passes_pictures_over_and_refuses_named_ones_by_its_name() -> None:
    done = run("ingest", "photos")
    assert done.exit_code == 0
    assert "Saved 1 document as 1 chunk" in done.stdout
    assert "Passed over: 1 .jpg, 1 .mp3, 1 .png." in done.stdout
    assert "gemini-embedding-001 takes only text." in done.stdout
    assert "--model gemini-embedding-2" in done.stdout
    assert "By batch" not in done.stdout
    for refused in (run("ingest", "photos/shoe.png"), run("search", "--image", "photos/shoe.png")):
        assert refused.exit_code == 1
        said = refused.stderr or str(refused.exception)
        assert "image/png, and gemini-embedding-001 takes only text" in said


def test_a_plan_counts_what_the_model_would_take() -> None:
    assert "Would read 1 file. Passed over: 1 .jpg" in run("ingest", "photos", "--dry-run").stdout
    planned = run("ingest", "photos", "--dry-run", *MODEL).stdout
    assert "Would read 3 files. Passed over: 1 .mp3." in planned
    assert run("ingest", "photos", *MODEL).exit_code == 0
    assert "Would read 3 files" in run("ingest", "photos", "--dry-run").stdout


def test_odd_pictures_are_refused_by_name_or_skipped_and_the_others_saved(here: Path) -> None:
    (here / "photos" / "broken.png").write_bytes(b"nothing")
    (here / "photos" / "empty.png").touch()
    Path(os.fsdecode(os.fsencode(here / "photos") + b"/sh\xffoe.png")).write_bytes(picture(3))
    (here / "photos" / "evil\x1b[31m.png").write_bytes(picture(4))
    done = run("ingest", "photos", *MODEL)
    assert done.exit_code == 1
    assert "Saved 4 documents" in done.stdout
    assert "Skipped photos/empty.png: nothing to search is in it." in done.stdout
    assert "Refused document 'photos/broken.png': these 7 bytes are no picture" in done.stderr
    assert "has a name that is no UTF-8" in done.stderr
    found = run("search", "evil")
    assert "photos/evil\\u001b[31m.png" in found.stdout
    assert "\x1b" not in found.stdout


def test_a_search_for_nothing_says_what_to_give() -> None:
    run("ingest", "photos")
    refused = run("search")
    assert refused.exit_code == 2
    assert "--image" in refused.stderr


def test_a_document_is_shown_with_its_pictures_and_pages(here: Path) -> None:
    run("ingest", "photos", "report.pdf", *MODEL)
    assert "\n1. [PENDING] photos/shoe.png\n" in run("show", "photos/shoe.png").stdout
    shown = run("show", "report.pdf").stdout
    assert "\n2. [PENDING] report.pdf, page 2\nmild weather\n" in shown
    assert "   page:" not in shown
    (here / "photos" / "shoe.png").unlink()
    run("flush")
    failed = run("failed").stdout
    assert f"why:  the file {here}/photos/shoe.png cannot be read: there is no such file." in failed
    assert "text: photos/shoe.png" in failed
