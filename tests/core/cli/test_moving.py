"""Moving collections in the terminal: from a real Chroma, and through files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import chromadb
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from semantic_core.cli.app import app
from semantic_core.domain.errors import (
    InvalidInputError,
    MissingExtraError,
    ProvenanceError,
    SpecMismatchError,
    UnknownCollectionError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def vectors(count: int, dimensions: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, dimensions)).astype("<f4")


def fill_chroma(made: np.ndarray, texts: Sequence[str | None], name: str = "notes") -> None:
    # As semcore opens it: within a process, Chroma has one client a folder.
    settings = chromadb.config.Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(Path("chroma").resolve()), settings=settings)
    collection = client.create_collection(name, embedding_function=None)
    collection.add(
        ids=[f"id {n}" for n in range(len(made))],
        documents=list(texts),  # type: ignore[arg-type]  # Chroma takes None
        embeddings=made,
        metadatas=[{"n": n, "lang": "en"} for n in range(len(made))],
    )


@pytest.mark.parametrize("dimensions", [384, 1536])
def test_a_chroma_collection_comes_over_with_its_vectors_and_costs_nothing(dimensions: int) -> None:
    made = vectors(1100, dimensions)
    fill_chroma(made, [f"Text {n}." for n in range(1100)])
    typed = ("import", "chroma", "chroma", "notes", "--external", "minilm")
    said = run(*typed).output
    assert "Took 1,100 rows into 'notes': 1,100 new, 0 changed, 0 as they were." in said
    assert "1,100 have their vector, 0 wait for one, 0 failed. Nothing was billed." in said
    with PeeweeVectorStore("semcore.db") as store:
        spec = store.collection("notes").spec
        assert (spec.model, spec.dimensions, spec.is_external) == ("minilm", dimensions, True)
        found = store.vectors([f"id {n}" for n in range(1100)], collection="notes")
        assert np.array_equal(np.stack(list(found.values())), made)
        (hit,) = store.search(vector=made[700], collection="notes", limit=1, mode="vector")
        assert (hit.chunk.id, hit.chunk.metadata) == ("id 700", {"n": 700, "lang": "en"})
        assert store.stats().open_jobs == ()
    receipt = json.loads(run("receipt", "--json").output)
    assert (receipt["jobs"], receipt["batch_usd"], receipt["tokens"]) == ([], 0, 0)
    assert "0 new, 0 changed, 1,100 as they were" in run(*typed).output


def test_rows_without_a_text_are_counted_and_named_and_others_taken() -> None:
    fill_chroma(vectors(530, 4), [*[None] * 529, "Text."])
    done = run("import", "chroma", "chroma", "notes", "--external", "minilm")
    assert done.exit_code == 1
    assert "Took 1 row into 'notes'" in done.output
    assert "Refused id 'id 1': it has no text" in done.output
    assert "Refused 529 rows in all; the others are saved." in done.output


def test_what_is_no_chroma_collection_with_texts_is_refused_and_nothing_made() -> None:
    fill_chroma(vectors(3, 4), [None] * 3)
    with pytest.raises(InvalidInputError, match="'notes' of chroma has no texts"):
        run("import", "chroma", "chroma", "notes", "--external", "minilm")
    with pytest.raises(InvalidInputError, match=r"no collection 'nots' \(there is: 'notes'\)"):
        run("import", "chroma", "chroma", "nots", "--external", "minilm")
    Path("empty").mkdir()
    with pytest.raises(InvalidInputError, match="empty is no folder of Chroma"):
        run("import", "chroma", "empty", "notes", "--external", "minilm")
    assert [*Path("empty").iterdir()] == []
    Path("empty/chroma.sqlite3").write_bytes(b"no database" * 999)
    with pytest.raises(InvalidInputError, match="Chroma cannot read empty"):
        run("import", "chroma", "empty", "notes", "--external", "minilm")
    assert not Path("semcore.db").exists()


def test_without_the_package_of_chroma_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fill_chroma(vectors(1, 4), ["Text."])
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(MissingExtraError, match=r"pip install \"semcore\[chroma\]\""):
        run("import", "chroma", "chroma", "notes", "--external", "minilm")


def test_whose_vectors_they_are_has_to_be_said() -> None:
    Path("rows.jsonl").write_text('{"id": "a", "text": "A cat.", "vector": [0.5, 1]}')
    for typed in ((), ("--external", "a", "--model", "b")):
        done = run("import", "jsonl", "rows.jsonl", *typed)
        assert (done.exit_code, "whose vectors are they?" in done.output) == (2, True)
    done = run("import", "jsonl", "rows.jsonl", "--model", "text-embedding-3-small")
    assert (done.exit_code, "--external text-embedding-3-small" in done.output) == (2, True)
    done = run("import", "jsonl", "rows.jsonl", "notes", "--external", "a")
    assert done.exit_code == 2
    assert not Path("semcore.db").exists()


def test_a_file_of_something_else_is_refused_at_once_and_nothing_made() -> None:
    Path("rows.jsonl").write_bytes(b"\x9f\x00\n" * 3)
    with pytest.raises(
        InvalidInputError, match=r"None of the first 3 rows can be taken. line 1: it is no JSON"
    ):
        run("import", "jsonl", "rows.jsonl", "--external", "a")
    assert not Path("semcore.db").exists()


def test_vectors_of_geminis_fix_the_size_of_a_collection_that_goes_on_by_batch() -> None:
    rows: list[dict[str, object]] = [{"text": "New."}, {"text": "A cat.", "vector": [0.5] * 1536}]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = run("import", "jsonl", "rows.jsonl", "--model", "gemini-embedding-2").output
    assert "1 have their vector, 1 wait for one" in said
    assert "Next: semcore flush --db semcore.db" in said
    with PeeweeVectorStore("semcore.db") as store:
        assert store.collection().spec == EmbeddingSpec.gemini_embedding_2(dimensions=1536)


def test_an_export_says_itself_what_it_is() -> None:
    with PeeweeVectorStore("semcore.db") as store:
        store.collection("notes", EmbeddingSpec.external("minilm"), languages=["de"])
        store.save(
            [Chunk(id="a", text="Katzen.", vector=[0.1, 0.2], metadata={"year": 2026})],
            collection="notes",
        )
    said = run("export", "jsonl", "notes.jsonl", "-c", "notes").output
    assert said.startswith("Wrote 1 chunk of 'notes' to notes.jsonl (")
    assert "1 new" in run("import", "jsonl", "notes.jsonl", "--db", "other.db").output
    with PeeweeVectorStore("other.db") as store:
        found = store.collection("notes")
        assert (found.spec.model, found.spec.dimensions, found.languages) == ("minilm", 2, ("de",))
        assert store.get(["a"], collection="notes")[0].metadata == {"year": 2026}
    done = run("import", "jsonl", "notes.jsonl", "--external", "other")
    assert (done.exit_code, "the file says whose vectors it has" in done.output) == (2, True)


def test_an_export_replaces_only_an_earlier_one_and_only_when_asked() -> None:
    with PeeweeVectorStore("semcore.db") as store:
        store.save([Chunk(id="a", text="A cat.")])
    assert run("export", "jsonl", "a.jsonl").exit_code == 0
    assert run("export", "jsonl", "a.jsonl").exit_code == 2
    assert run("export", "jsonl", "a.jsonl", "--overwrite").exit_code == 0
    assert run("export", "jsonl", "semcore.db", "--overwrite").exit_code == 2
    assert run("export", "jsonl", "b.jsonl", "--db", "none.db").exit_code == 2
    with pytest.raises(UnknownCollectionError):
        run("export", "jsonl", "b.jsonl", "-c", "nots")
    assert not Path("b.jsonl").exists()


def test_vectors_of_another_space_or_endpoint_are_not_mixed_in() -> None:
    Path("rows.jsonl").write_text('{"id": "a", "text": "A cat.", "vector": [0.5, 1]}')
    assert run("import", "jsonl", "rows.jsonl", "--external", "one").exit_code == 0
    with pytest.raises(SpecMismatchError, match="was created with"):
        run("import", "jsonl", "rows.jsonl", "--external", "two")
    with pytest.raises(UnknownCollectionError, match="add --new"):
        run("import", "jsonl", "rows.jsonl", "--external", "two", "-c", "second")
    typed = ("import", "jsonl", "rows.jsonl", "--external", "two", "-c", "second", "--new")
    assert run(*typed).exit_code == 0
    with PeeweeVectorStore("tests.db") as store:
        store.fix_provenance("endpoint:localhost")
        store.save([Chunk(id="a", text="A cat.", vector=[1.0] * 768)])
    run("export", "jsonl", "tests.jsonl", "--db", "tests.db")
    with PeeweeVectorStore("semcore.db") as store:
        paid, spec = Chunk(id="p", text="A paid text."), EmbeddingSpec()
        store.save([paid], collection="default2")
        store.fix_provenance("google")
        hashed = spec.hasher()("A paid text.").hex()
        store.bulk_update_vectors([(hashed, [1.0] * 768)], spec=spec)
    with pytest.raises(ProvenanceError):
        run("import", "jsonl", "tests.jsonl", "-c", "third", "--new")
