"""Rows in and out: nothing is lost or billed, and what cannot be taken is named."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_core.documents import json_lines
from semantic_core.documents.json_lines import read_head, read_json_lines, write_json_lines
from semantic_core.documents.moving import PAGE, Row, import_rows
from semantic_core.domain.errors import InvalidInputError, StorageError
from semantic_core.domain.media import Media
from semantic_core.domain.reports import IngestReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore

SPEC = EmbeddingSpec.external("theirs")


def take(store: PeeweeVectorStore, *rows: Chunk | str, into: str = "notes") -> IngestReport:
    return import_rows(store, [Row(f"row {n}", row) for n, row in enumerate(rows)], collection=into)


def take_lines(store: PeeweeVectorStore, path: Path, *lines: Any) -> IngestReport:
    """Import a file of these lines; what is no text is written as JSON."""
    path.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    )
    store.collection("notes", SPEC)
    return import_rows(store, read_json_lines(path), collection="notes")


def refused(report: IngestReport) -> dict[str, str]:
    return {row.name: row.reason for row in report.rejected}


def export(store: PeeweeVectorStore, path: Path, name: str = "notes") -> tuple[int, int]:
    return write_json_lines(store, store.collection(name), path)


# --- in ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [384, 1536])
def test_vectors_come_over_bit_by_bit_and_the_same_again_changes_nothing(
    store: PeeweeVectorStore, dimensions: int
) -> None:
    vectors = np.random.default_rng(1).normal(size=(PAGE + 3, dimensions)).astype("<f4")
    rows = [Chunk(id=f"id {n}", text=f"Text {n}.", vector=one) for n, one in enumerate(vectors)]
    store.collection("notes", SPEC)
    report = take(store, *rows)
    assert (report.documents, report.chunks.inserted, report.chunks.ready) == (len(rows),) * 3
    found = store.vectors([f"id {n}" for n in range(len(rows))], collection="notes")
    assert np.array_equal(np.stack(list(found.values())), vectors)
    again = take(store, *rows)
    assert (again.chunks.unchanged, again.rejected_count) == (len(rows), 0)


def test_an_interrupted_import_goes_on_where_it_was(store: PeeweeVectorStore) -> None:
    store.collection("notes", SPEC)
    rows = [Row(f"{n}", Chunk(id=f"{n}", text=f"Text {n}.", vector=[n, 1.0])) for n in range(1200)]

    def stop(report: IngestReport) -> None:
        if report.documents > PAGE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_rows(store, rows, collection="notes", tell=stop)
    assert store.stats("notes").ready == 2 * PAGE
    report = import_rows(store, rows, collection="notes")
    assert (report.chunks.unchanged, report.chunks.inserted) == (2 * PAGE, 1200 - 2 * PAGE)


def test_a_text_without_a_vector_waits_where_a_batch_can_make_it(store: PeeweeVectorStore) -> None:
    report = take(
        store, Chunk(id="a", text="A cat."), Chunk(id="b", text="A dog.", vector=[1.0] * 768)
    )
    assert (report.chunks.pending, report.chunks.ready) == (1, 1)
    store.collection("theirs", SPEC)
    report = take(
        store,
        Chunk(id="a", text="A cat."),
        Chunk(id="b", text="A dog.", vector=[1.0]),
        into="theirs",
    )
    assert "belongs to the foreign embedder 'theirs'" in refused(report)["row 0"]
    assert report.documents == 1


def test_a_row_that_cannot_be_taken_costs_no_other_one(store: PeeweeVectorStore) -> None:
    store.collection("notes", EmbeddingSpec.external("theirs", 2))
    rows: list[Chunk | str] = [
        Chunk(id=f"id {n}", text=f"T {n}", vector=[n, 1.0]) for n in range(9)
    ]
    rows[1] = Chunk(id="nan", text="T", vector=[float("nan"), 1.0])
    rows[2] = Chunk(id="size", text="T", vector=[1.0])
    rows[3] = Chunk(id="nul", text="a\0b", vector=[1.0, 2.0])
    rows[4] = "it has no text"
    rows[5] = Chunk(id="id 0", text="another", vector=[1.0, 1.0])
    rows[6] = Chunk(id="meta", text="T", metadata={"a": {1, 2}}, vector=[1.0, 1.0])
    report = take(store, *rows)
    assert (report.documents, report.rejected_count) == (3, 6)
    reasons = refused(report)
    assert "holds NaN" in reasons["row 1"]
    assert "has 1 dimensions, not 2" in reasons["row 2"]
    assert "has a NUL" in reasons["row 3"]
    assert reasons["row 4"] == "it has no text"
    assert "An earlier row has the id 'id 0'" in reasons["row 5"]
    assert "is a set" in reasons["row 6"]
    assert [chunk.text for chunk in store.chunks(collection="notes")] == ["T 0", "T 7", "T 8"]


def test_rows_without_an_id_have_the_same_one_in_each_import(store: PeeweeVectorStore) -> None:
    store.collection("notes", SPEC)
    rows = [Chunk(text=text, vector=[1.0, 2.0]) for text in ("One.", "Two.", "One.")]
    assert take(store, *rows).chunks.inserted == 3
    assert take(store, *rows).chunks.unchanged == 3


# --- lines -----------------------------------------------------------------------------------


def test_lines_that_hold_no_row_are_named_and_cost_no_other(
    store: PeeweeVectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "_LONGEST", 300)
    report = take_lines(
        store,
        tmp_path / "rows.jsonl",
        {"id": "a", "text": "A cat.", "vector": [1, 2]},
        "",
        '{"id": "b", "text": "A dog.", "vector": [1, NaN]}',
        '{"id": "c", "te',
        "[1]",
        '"a string"',
        "[" * 100_000,
        {"id": "d", "text": "x" * 1000, "vector": [1, 2]},
        {"id": "e", "vector": [1, 2]},
        {"id": 7, "text": "A number as id.", "vector": [1, 2]},
        {"id": "f", "text": "Another name.", "embedding": [1, 2]},
        {"id": "g", "text": "Words.", "vector": ["1", 2]},
        {"id": "h", "text": "Words.", "metadata": [1], "vector": [1, 2]},
        {"id": "i", "text": "The last.", "vector": [3, 4], "metadata": None},
    )
    assert [chunk.id for chunk in store.chunks(collection="notes")] == ["a", "i"]
    reasons = refused(report)
    assert reasons.keys() == {f"line {n}" for n in range(3, 14)}
    assert "holds NaN" in reasons["line 3"]
    assert "it is no JSON, or was cut" in reasons["line 4"]
    assert reasons["line 5"] == "it holds a list, no object"
    assert reasons["line 6"] == "it holds a str, no object"
    assert "longer than 300 bytes" in reasons["line 7"]
    assert "longer than 300 bytes" in reasons["line 8"]
    assert reasons["line 9"] == "it has no text"
    assert "is a int, not a string" in reasons["line 10"]
    assert "its field 'embedding' is not known" in reasons["line 11"]


def test_a_deep_line_is_named(store: PeeweeVectorStore, tmp_path: Path) -> None:
    report = take_lines(store, tmp_path / "rows.jsonl", "[" * 100_000)
    assert "it is no JSON" in refused(report)["line 1"]


@pytest.mark.parametrize("keep", [0.3, 0.999])
def test_an_export_that_was_cut_says_so_and_gives_what_it_has(
    store: PeeweeVectorStore, tmp_path: Path, keep: float
) -> None:
    store.collection("notes", SPEC)
    take(store, *(Chunk(id=f"{n}", text=f"Text {n}.", vector=[n, 1.0]) for n in range(20)))
    whole = tmp_path / "whole.jsonl"
    assert export(store, whole) == (20, 0)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(whole.read_bytes()[: round(whole.stat().st_size * keep)])
    store.collection("again", SPEC)
    report = import_rows(store, read_json_lines(cut), collection="again")
    assert "it was cut or changed" in report.rejected[-1].reason
    lines = cut.read_bytes().count(b"\n") - 1
    assert report.documents == lines


def test_a_damaged_first_line_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = {"semcore": 1, "collection": "a", "languages": [], "provenance": None}
    for head in ({}, good, good | {"spec": 7}, good | {"spec": {"model": 7}}):
        path.write_text(json.dumps({"semcore": 1} | head))
        with pytest.raises(InvalidInputError, match="is damaged"):
            read_head(path)
    path.write_text('{"semcore": 2}')
    with pytest.raises(InvalidInputError, match="newer semcore"):
        read_head(path)
    for other in ("", "not JSON", "[]", '{"text": "x"}'):
        path.write_text(other)
        assert read_head(path) is None


# --- out -------------------------------------------------------------------------------------


def test_a_vector_of_an_older_text_does_not_go_along(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    take(store, Chunk(id="a", text="Old.", vector=[1.0] * 768), Chunk(id="b", text="B."))
    take(store, Chunk(id="a", text="New."))
    assert store.get(["a"], collection="notes")[0].is_stale
    export(store, tmp_path / "rows.jsonl")
    rows = [row.found for row in read_json_lines(tmp_path / "rows.jsonl")]
    assert [(row.text, row.vector) for row in rows if isinstance(row, Chunk)] == [
        ("New.", None),
        ("B.", None),
    ]


def test_what_failed_is_not_sent_again_elsewhere(store: PeeweeVectorStore, tmp_path: Path) -> None:
    failed = Chunk(
        id="a", text="A.", embedding_status=EmbeddingStatus.FAILED, error_message="too long"
    )
    take(store, failed)
    export(store, tmp_path / "rows.jsonl")
    import_rows(store, read_json_lines(tmp_path / "rows.jsonl"), collection="again")
    (chunk,) = store.get(["a"], collection="again")
    assert (chunk.status, chunk.error_message) == (EmbeddingStatus.FAILED, "too long")


def test_chunks_with_pictures_are_left_out_and_counted(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    store.collection("notes", EmbeddingSpec.gemini_embedding_2())
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    media = Media((tmp_path / "a.png").read_bytes(), mime_type="image/png")
    store.save([Chunk(id="a", text="", media=media), Chunk(id="b", text="B.")], collection="notes")
    assert export(store, tmp_path / "rows.jsonl") == (1, 1)


def test_a_file_that_cannot_be_written_leaves_the_earlier_one(
    store: PeeweeVectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(store, Chunk(id="a", text="A."))
    path = tmp_path / "rows.jsonl"
    export(store, path)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json_lines, "sync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        export(store, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.glob("rows*")] == ["rows.jsonl"]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
metadata = st.dictionaries(texts, plain | texts | st.lists(plain, max_size=3), max_size=4)
floats = st.floats(2**-40, 2**40, width=32) | st.floats(-(2**40), -(2**-40), width=32)
chunks = st.builds(
    Chunk,
    text=texts.map(lambda text: f"x{text}"),
    metadata=metadata,
    document_id=st.none() | texts.map(lambda text: f"d{text}"),
    vector_source=st.none() | texts.map(lambda text: f"y{text}"),
    payload=st.none() | texts,
    vector=st.none() | st.lists(floats, min_size=3, max_size=3),
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(chunks, max_size=8))
def test_what_goes_out_comes_in_again_as_it_was(
    store: PeeweeVectorStore, rows: list[Chunk]
) -> None:
    spec = EmbeddingSpec(dimensions=3)
    for name in ("notes", "again"):
        store.collection(name, spec)
        store.clear(name)
    take(store, *rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        export(store, path)
        head = read_head(path)
        assert head is not None
        assert (head.collection, head.spec) == ("notes", spec)
        report = import_rows(store, read_json_lines(path), collection="again")
    assert report.rejected == ()
    assert held(store, "again") == held(store, "notes")


def held(store: PeeweeVectorStore, name: str) -> list[tuple[Any, ...]]:
    found = store.chunks(collection=name)
    vectors = store.vectors([chunk.id for chunk in found], collection=name)
    return [
        (
            *(chunk.id, chunk.text, json.dumps(chunk.metadata), chunk.document_id),
            *(chunk.vector_source, chunk.payload, chunk.status, chunk.content_hash),
            vectors[chunk.id].tobytes() if chunk.id in vectors else None,
        )
        for chunk in found
    ]
