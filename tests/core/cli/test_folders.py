"""Folders in the terminal: ingest, list, show, delete, collections, and what they say."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from semantic_core.cli.app import app
from semantic_core.cli.output import fail
from semantic_core.domain.errors import SemanticCoreError


class Said(NamedTuple):
    """What a command said, with its errors; and for JSON, without them."""

    exit_code: int
    output: str
    stdout: str


Run = Callable[..., Said]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command beside a folder ``docs``; what it says is in its output, errors included."""
    (tmp_path / "docs" / "guide").mkdir(parents=True)
    (tmp_path / "docs" / "cats.md").write_text("---\nyear: 2026\n---\n# Cats\n\nThe cat sat.")
    (tmp_path / "docs" / "guide" / "dogs.txt").write_text("The dog sleeps.")
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Said:
        result = CliRunner().invoke(app, arguments)
        code, output = result.exit_code, result.output
        if isinstance(result.exception, SemanticCoreError):
            with contextlib.redirect_stderr(io.StringIO()) as errors:
                code = fail(result.exception)
            output += errors.getvalue()
        return Said(code, output, result.stdout)

    return invoke


def test_what_is_passed_over_is_counted_by_kind(run: Run, tmp_path: Path) -> None:
    for name in ("one.pgm", "two.pgm", ".hidden", "node_modules", "cats.lnk"):
        (tmp_path / "docs" / name).touch()
    (tmp_path / "docs" / "link\x1b[2J.md").symlink_to("cats.md")
    said = run("ingest", "docs").output
    assert "Saved 2 documents as 2 chunks" in said
    assert "Passed over: 2 .pgm, 1 .lnk, 1 hidden, 1 link, 1 no suffix." in said


def test_a_folder_without_texts_says_what_could_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    said = run("ingest", "pictures").output
    assert "No .txt, .rst, .md, " in said


def test_an_empty_file_is_skipped_by_name_and_a_binary_one_refused(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "docs" / "empty.txt").write_text(" \n")
    done = run("ingest", str(tmp_path / "docs"))
    assert done.exit_code == 0
    assert "Skipped docs/empty.txt: nothing to search is in it." in done.output
    (tmp_path / "docs" / "photo.txt").write_bytes(bytes(range(256)))
    done = run("ingest", "docs")
    assert done.exit_code == 1
    assert "Refused document 'docs/photo.txt': docs/photo.txt is no text" in done.output
    assert "Saved 2 documents" in done.output


def test_latin_1_is_read(run: Run, tmp_path: Path) -> None:
    text = "Die Straße führt über die Brücke in den Süden."
    (tmp_path / "docs" / "old.txt").write_bytes(text.encode("latin-1"))
    run("ingest", "docs")
    assert text in run("show", "docs/old.txt").output


def test_what_is_gone_is_told_planned_and_removed(run: Run, tmp_path: Path) -> None:
    assert "Would read 2 files" in run("ingest", "docs", "--dry-run").output
    assert not (tmp_path / "semcore.db").exists()
    run("ingest", "docs")
    (tmp_path / "docs" / "cats.md").unlink()
    assert "1 document from there is gone, and still searched" in run("ingest", "docs").output
    assert "though it is gone, docs/cats.md" in run("ingest", "docs", "--dry-run").output
    planned = run("ingest", "docs", "--dry-run", "--prune").output
    assert "Would remove docs/cats.md\nNothing was changed." in planned
    assert "docs/cats.md" in run("list").output
    assert "Removed 1 document that is gone." in run("ingest", "docs", "--prune").output
    assert "docs/cats.md" not in run("list").output


def test_a_disk_that_is_missing_removes_nothing_and_fails(run: Run, tmp_path: Path) -> None:
    run("ingest", "docs")
    (tmp_path / "docs").rename(tmp_path / "away")
    (tmp_path / "docs").mkdir()
    done = run("ingest", "docs", "--prune")
    assert (done.exit_code, "Nothing was removed: all 2 documents" in done.output) == (1, True)
    assert run("delete", "docs/").exit_code == 0
    assert "0 documents" in run("list").output


def test_json_says_the_same(run: Run, tmp_path: Path) -> None:
    (tmp_path / "docs" / "one.pgm").touch()
    (tmp_path / "docs" / "empty.md").touch()
    report = json.loads(run("ingest", "docs", "--json").stdout)
    assert (report["documents"], report["skipped"]) == (2, ["docs/empty.md"])
    assert report["passed_over"] == {".pgm": 1}
    listed = json.loads(run("list", "--json").stdout)["documents"]
    assert [one["id"] for one in listed] == ["docs/cats.md", "docs/guide/dogs.txt"]
    shown = json.loads(run("show", "docs/cats.md", "--json").stdout)
    assert shown["chunks"][0]["metadata"]["title"] == "Cats"
    deleted = json.loads(run("delete", "docs/guide", "--json").stdout)
    assert deleted == {"documents": ["docs/guide/dogs.txt"], "chunks": 1}
    assert json.loads(run("collections", "--json").stdout)["collections"][0]["name"] == "default"


@pytest.mark.parametrize("named", ["docs/cats.md", "./docs/cats.md", "../{here}/docs/cats.md"])
def test_a_document_is_named_by_id_or_path(run: Run, tmp_path: Path, named: str) -> None:
    named = named.format(here=tmp_path.name)
    run("ingest", "docs", "--name", "handbook")
    assert "file_path: handbook/cats.md" in run("show", "handbook/cats.md").output
    (tmp_path / "docs" / "cats.md").unlink()
    assert "Deleted 1 document (1 chunk)." in run("delete", named).output
    assert run("show", named).exit_code == 1


def test_a_name_that_nothing_has_deletes_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ingest", "docs")
    monkeypatch.setenv("SEMCORE_DB", str(tmp_path / "semcore.db"))
    monkeypatch.chdir(tmp_path / "docs" / "guide")
    done = run("delete", "../cats.md", "../catz.md")
    assert done.exit_code == 1
    assert "2 documents" in run("list").output
    assert run("show", "docs/").exit_code == 2
    for typed in ("", " ", "/", "../..", "*", "%", "\x1b", "\0", "x" * 5000):
        assert run("delete", typed).exit_code == 1
        assert run("show", typed).exit_code == 1
    assert "2 documents" in run("list").output


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("file_name=cats.md", True),
        ("year=2026", True),
        ("title=Cats", True),
        ("title=cats", False),
        ("year=2025", False),
        ("year=2026.0", True),
        ("year=null", False),
        ("year=NaN", False),
        ("year=1e999", False),
        ("year=[2026]", False),
        ("=x", False),
    ],
)
def test_a_search_is_filtered(run: Run, condition: str, found: bool) -> None:  # noqa: FBT001
    run("ingest", "docs")
    said = run("search", "cat", "--filter", condition).output
    assert ("docs/cats.md" in said) is found


def test_a_filter_takes_what_show_says(run: Run, tmp_path: Path) -> None:
    (tmp_path / "docs" / "cats.md").write_text("---\nyear: 2026\ndraft: false\n---\nThe cat sat.")
    run("ingest", "docs")
    said = run("show", "docs/cats.md").output
    for line in ("   year: 2026", "   draft: false", "   file_type: text/markdown"):
        assert f"{line}\n" in said
        condition = line.strip().replace(": ", "=")
        assert "docs/cats.md" in run("search", "cat", "--filter", condition).output


def test_filters_are_met_together_and_are_pairs(run: Run) -> None:
    run("ingest", "docs")
    both = ("--filter", "year=2026", "--filter", "file_type=text/plain")
    assert "Nothing found" in run("search", "cat", *both).output
    done = run("search", "cat", "--filter", "year")
    assert (done.exit_code, "is no KEY=VALUE" in done.output) == (2, True)


# --- collections -----------------------------------------------------------------------------


def test_a_collection_is_made_when_that_is_asked_for(run: Run) -> None:
    done = run("ingest", "docs", "-c", "notes")
    assert (done.exit_code, "To make it, add --new." in done.output) == (1, True)
    made = ("--new", "--model", "gemini-embedding-2", "--dimensions", "256", "--languages", "de,en")
    assert run("ingest", "docs", "-c", "notes", *made).exit_code == 0
    done = run("ingest", "docs", "-c", "nots")
    assert (done.exit_code, "did you mean 'notes'" in done.output) == (1, True)
    assert "gemini-embedding-2" in run("collections").output
    assert "default" not in run("collections").output
    listed = json.loads(run("collections", "--json").stdout)["collections"][0]
    assert listed["spec"]["document_template"].startswith("title: none")
    assert (listed["spec"]["dimensions"], listed["languages"]) == (256, ["de", "en"])


def test_another_model_is_refused_in_words_of_the_terminal(run: Run) -> None:
    run("ingest", "docs")
    for asked in (("--model", "gemini-embedding-2"), ("--dimensions", "256")):
        done = run("ingest", "docs", *asked)
        assert done.exit_code == 1
        assert "Leave out --model and --dimensions to use it as it is" in done.output
    same = ("--model", "models/gemini-embedding-001", "--dimensions", "768")
    assert run("ingest", "docs", *same).exit_code == 0
