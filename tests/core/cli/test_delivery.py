"""Delivery from the terminal: what builds a store is named, and without it nothing is delivered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from semantic_core.cli.app import app
from semantic_core.cli.output import FAILED
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed_all
from support.keys import canary
from support.targets import FileTarget, source

MODULE = """
from pathlib import Path
from support.targets import FileTarget

def attach(store):
    target = FileTarget(Path("target.db"))
    target.refused = {"refused"}
    store.delivery.attach(target, name="[red]files")

def down(store):
    raise ConnectionError("nobody is there")
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_target.py").write_text(MODULE)
    with PeeweeVectorStore(tmp_path / "notes.db") as store:
        store.collection(spec=SPEC)
        store.save(chunks_of("abc"))
        embed_all(store)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--db", "notes.db"])


def test_the_whole_way(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Nothing is delivered elsewhere" in run("targets").output
    done = run("deliver", "--target", "my_target:attach")
    assert (done.exit_code, "0 chunks to tell" in done.output) == (0, True)
    target = FileTarget(notes / "target.db")
    with PeeweeVectorStore(notes / "notes.db") as store:
        assert target.held() == source(store)
        store.delete(ids=["a"])
        expected = source(store)
    # A process that does not know the store neither delivers nor fails.
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    assert "No batch job is open" in run("sync").output
    assert "Target [red]files" in run("status").output
    (status,) = json.loads(run("targets", "--json").output)["targets"]
    assert (status["name"], status["waiting"]) == ("[red]files", 1)
    assert json.loads(run("status", "--json").output)["targets"] == [status]
    assert "0 chunks to tell" in run("sync", "--target", "my_target:attach").output
    assert target.held() == expected
    target.delete(["b"])
    found = run("doctor", "--target", "my_target:attach")
    assert (found.exit_code, "1 chunks are not found at the target" in found.output) == (1, True)
    assert "--fix --db notes.db --target my_target:attach" in found.output
    assert run("deliver", "--target", "my_target:attach", "--again").exit_code == 0
    assert target.held() == expected
    target.delete(["b"])
    assert run("doctor", "--fix", "--target", "my_target:attach").exit_code == 0
    assert target.held() == expected
    assert "Nothing is delivered elsewhere" in run("targets", "--forget", "[red]files").output


def test_what_is_not_taken_ends_with_an_error(notes: Path) -> None:
    with PeeweeVectorStore(notes / "notes.db") as store:
        store.save(chunks_of(["refused"]))
        embed_all(store)
    done = run("deliver", "--target", "my_target:attach")
    assert (done.exit_code, "1 not taken" in done.output) == (FAILED, True)
    assert "refused cannot be taken" in done.output


def test_what_cannot_be_reached_stops_a_delivery_and_nothing_else(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run("deliver", "--target", "my_target:down")
    assert (done.exit_code, "ConnectionError: nobody is there" in done.output) == (FAILED, True)
    monkeypatch.setenv("GEMINI_BATCH_API_KEY", canary("batch"))
    done = run("sync", "--target", "my_target:down")
    assert (done.exit_code, "No batch job is open" in done.output) == (0, True)


@pytest.mark.parametrize(
    "wrong", ["no_such_module:attach", "my_target:no_such_name", "my_target", ":attach"]
)
def test_what_cannot_be_imported_is_wrong_usage(notes: Path, wrong: str) -> None:
    done = run("deliver", "--target", wrong)
    assert (done.exit_code, "cannot be imported" in done.output) == (2, True)
    assert run("deliver").exit_code == 2
