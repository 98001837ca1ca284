from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semantic_core.domain.errors import SpecMismatchError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk, StoredChunk
from semantic_core.store import PeeweeVectorStore
from support.clock import ManualClock
from support.invariants import check_invariants
from support.legacy import as_blob, write_legacy

SPEC = EmbeddingSpec(dimensions=2)
READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED

Open = Callable[..., PeeweeVectorStore]


@pytest.fixture
def migrated(database_path: Path, clock: ManualClock) -> Iterator[Open]:
    """Write an old database of these rows, and open it."""
    opened: list[PeeweeVectorStore] = []

    def write_and_open(
        *chunks: tuple[Any, ...],
        documents: tuple[tuple[Any, ...], ...] = (),
        spec: EmbeddingSpec | None = None,
    ) -> PeeweeVectorStore:
        write_legacy(database_path, documents=documents, chunks=chunks)
        opened.append(PeeweeVectorStore(database_path, legacy_spec=spec, clock=clock))
        return opened[-1]

    yield write_and_open
    for store in opened:
        check_invariants(store)
        store.close()


def chunk(
    number: int, content: object, vector: object = None, metadata: object = None
) -> tuple[Any, ...]:
    return (number, 1, number, content, metadata, vector, 100.0)


def get(store: PeeweeVectorStore, *ids: str) -> list[StoredChunk]:
    return store.get(ids)


# --- vectors and states ------------------------------------------------------------------------


def test_rows_with_a_vector_are_ready_and_rows_without_are_pending(migrated: Open) -> None:
    store = migrated(chunk(1, "with", as_blob(1, 0)), chunk(2, "without"), spec=SPEC)
    assert [row.status for row in get(store, "1", "2")] == [READY, PENDING]
    assert store.collection().spec == SPEC
    found = store.search(vector=[1, 0], mode="vector", pending="skip")
    assert [(hit.chunk.id, round(hit.score, 6)) for hit in found] == [("1", 1.0)]
    assert [hit.chunk.id for hit in store.search(text="without", mode="keyword")] == ["2"]


def test_with_the_model_named_old_vectors_serve_as_cache(migrated: Open) -> None:
    """The same text is not paid for again, neither a new chunk's nor an old one's."""
    store = migrated(
        chunk(1, "same", as_blob(1, 0)), chunk(2, "same"), chunk(3, "other"), spec=SPEC
    )
    assert [row.status for row in get(store, "1", "2", "3")] == [READY, READY, PENDING]
    assert store.save([Chunk(text="same", id="new")]).ready == 1
    store.clear()
    assert store.save([Chunk(text="same", id="again")]).ready == 1


def test_without_a_name_they_are_given_vectors_of_an_external_space(migrated: Open) -> None:
    """They are searched with as they are, and never stand in for a vector of a known model."""
    store = migrated(chunk(1, "same", as_blob(3, 4)), chunk(2, "same"))
    assert [row.status for row in get(store, "1", "2")] == [READY, PENDING]
    spec = store.collection().spec
    assert spec.is_external
    assert spec.model == "legacy"
    vectors = store.database.connection().execute("SELECT vector, origin FROM embeddings")
    assert vectors.fetchall() == [(as_blob(3, 4), "given")]
    store.collection("other", SPEC)
    assert store.save([Chunk(text="same", id="1")], collection="other").pending == 1


def test_a_database_without_vectors_gets_the_default_spec(migrated: Open) -> None:
    """All of it can be sent to the Batch API at once."""
    store = migrated(chunk(1, "one"), chunk(2, "two"))
    assert store.collection().spec == EmbeddingSpec()
    assert store.stats().waiting == 2


def test_vectors_of_a_normalized_spec_are_stored_with_length_one(migrated: Open) -> None:
    store = migrated(chunk(1, "text", as_blob(3, 4)), spec=SPEC)
    (blob,) = store.database.connection().execute("SELECT vector FROM embeddings").fetchone()
    assert np.frombuffer(blob, dtype="<f4").tolist() == pytest.approx([0.6, 0.8])


def test_a_spec_of_another_size_is_refused(database_path: Path) -> None:
    write_legacy(database_path, chunks=[chunk(1, "text", as_blob(1, 0))])
    says = "legacy_spec has 768 dimensions, the stored vectors have 2.*Nothing was changed"
    with pytest.raises(SpecMismatchError, match=says):
        PeeweeVectorStore(database_path, legacy_spec=EmbeddingSpec())


@pytest.mark.parametrize(
    "vector",
    [
        b"",
        b"abc",
        as_blob(1, 0, 0),
        as_blob(0, 0),
        as_blob(float("nan"), 1),
        as_blob(float("inf"), 1),
        "[1.0, 0.0]",
        7,
    ],
    ids=repr,
)
def test_a_vector_that_cannot_be_searched_with_is_made_again(
    migrated: Open, vector: object
) -> None:
    good = [chunk(number, f"good {number}", as_blob(1, 0)) for number in (1, 2, 3)]
    store = migrated(*good, chunk(4, "bad", vector), spec=SPEC)
    assert [row.status for row in get(store, "1", "4")] == [READY, PENDING]


# --- texts, metadata, times --------------------------------------------------------------------


def test_everything_of_a_row_comes_along(migrated: Open) -> None:
    store = migrated(
        (7, 3, 0, "Zürich 😀", '{"lang":"de","n":[1,2.5,null,true]}', None, 1_600_000_000),
        documents=((3, "Zürich 😀 and more", '{"source":"a.txt"}', 1_500_000_000.5),),
    )
    (row,) = get(store, "7")
    assert row.text == "Zürich 😀"
    assert row.metadata == {"lang": "de", "n": [1, 2.5, None, True]}
    assert (row.document_id, row.created_at) == ("3", 1_600_000_000)
    found = store.search(text="zurich", filters={"lang": "de", "n": {"$contains": 2.5}})
    assert [hit.chunk.id for hit in found] == ["7"]
    recorded = store.tables.DocumentModel.get()
    assert (recorded.document_id, recorded.metadata) == ("3", '{"source":"a.txt"}')
    assert recorded.created_at == 1_500_000_000.5


def test_a_document_that_was_never_cut_becomes_a_chunk(migrated: Open) -> None:
    """Its text would be gone otherwise."""
    store = migrated(
        chunk(1, "of document 1"),
        documents=(
            (1, "cut", None, 1),
            (2, "never cut", '{"k":1}', 5),
            (3, "  ", None, 1),
            (4, None, None, 1),
        ),
    )
    (row,) = get(store, "document-2")
    assert (row.text, row.metadata, row.document_id) == ("never cut", {"k": 1}, "2")
    assert (row.status, row.created_at) == (PENDING, 5)
    assert store.stats().waiting == 2


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_blank_chunk_has_nothing_to_embed(migrated: Open, content: str | None) -> None:
    (row,) = get(migrated(chunk(1, content)), "1")
    assert (row.text, row.status) == (content or "", FAILED)
    assert row.error_message == "blank text: nothing to embed"


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, {}),
        ("", {}),
        ("{}", {}),
        ("null", {"metadata": None}),
        ("[1, 2]", {"metadata": [1, 2]}),
        ('"text"', {"metadata": "text"}),
        ("not json", {"metadata": "not json"}),
        ("{'a': 1}", {"metadata": "{'a': 1}"}),
        ('{"score": NaN, "far": [-Infinity]}', {"score": None, "far": [None]}),
        ('{"k": "\\ud800"}', {"metadata": '{"k": "\\ud800"}'}),
        ('{"k": "\\u0000"}', {"metadata": '{"k": "\\u0000"}'}),
        ("[" * 5000, {"metadata": "[" * 5000}),
        ('{"k":' * 100 + "1" + "}" * 100, {"metadata": '{"k":' * 100 + "1" + "}" * 100}),
        (5, {"metadata": 5}),
        (b'{"a": 1}', {"a": 1}),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_metadata_becomes_an_object_that_can_be_filtered(
    migrated: Open, stored: object, expected: dict[str, Any]
) -> None:
    """What is none is kept under a key, and never breaks the filters of the other rows."""
    store = migrated(chunk(1, "text", metadata=stored), chunk(2, "text", metadata='{"a":2}'))
    assert get(store, "1")[0].metadata == expected
    assert [hit.chunk.id for hit in store.search(text="text", filters={"a": 2})] == ["2"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (123, "123"),
        (1.5, "1.5"),
        (b"as bytes", "as bytes"),
        (b"latin \xe9", "latin \ufffd"),
        ("nul \0 inside", "nul \0 inside"),
    ],
)
def test_content_of_any_type_becomes_text(migrated: Open, content: object, text: str) -> None:
    (row,) = get(migrated(chunk(1, content)), "1")
    assert row.text == text


def test_text_that_is_no_utf8_does_not_stop_the_others(
    database_path: Path, clock: ManualClock
) -> None:
    write_legacy(database_path, chunks=[chunk(1, "good"), chunk(2, "x")])
    with closing(sqlite3.connect(database_path)) as connection:
        connection.execute("UPDATE chunks SET content = CAST(x'62C3' AS TEXT) WHERE id = 2")
        connection.commit()
    with PeeweeVectorStore(database_path, clock=clock) as store:
        assert [row.text for row in get(store, "1", "2")] == ["good", "b\ufffd"]
        check_invariants(store)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (1_600_000_000, 1_600_000_000.0),
        (1_600_000_000.25, 1_600_000_000.25),
        ("2020-09-13 12:26:40", 1_600_000_000.0),
        ("2020-09-13T12:26:40.25+00:00", 1_600_000_000.25),
        ("2020-09-13T14:26:40+02:00", 1_600_000_000.0),
    ],
)
def test_times_come_along_as_they_were_written(
    migrated: Open, stored: object, expected: float
) -> None:
    store = migrated((1, 1, 0, "text", None, None, stored))
    assert get(store, "1")[0].created_at == expected


@pytest.mark.parametrize("stored", [None, "yesterday", b"x"])
def test_a_time_that_is_none_is_the_migrations(migrated: Open, stored: object) -> None:
    (row,) = get(migrated((1, 1, 0, "text", None, None, stored)), "1")
    assert row.created_at == row.updated_at > 1_700_000_000


def test_an_empty_old_database_becomes_an_empty_new_one(migrated: Open) -> None:
    store = migrated()
    assert len(store.search(text="anything")) == 0
    assert store.save([Chunk(text="first", id="1")]).inserted == 1


def test_more_rows_than_a_page_come_along_in_order(migrated: Open) -> None:
    store = migrated(*[chunk(number, f"text {number}") for number in range(1, 2502)])
    rows = store.database.connection().execute("SELECT chunk_id FROM chunks ORDER BY pk")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 2502)]
