"""A document replaces the earlier one of the same id, in one transaction."""

from __future__ import annotations

from typing import Any

import pytest

from semantic_core.domain.errors import (
    BlankTextError,
    DuplicateIdError,
    InvalidInputError,
    InvalidMetadataError,
    InvalidTextError,
)
from semantic_core.domain.types import Chunk, Document, SplitDocument
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed
from support.clock import ManualClock
from support.rows import run_sql


def _split(document_id: str, *texts: str, **fields: Any) -> SplitDocument:
    return SplitDocument(
        id=document_id,
        document=Document(content="\n".join(texts), **fields),
        chunks=tuple(
            Chunk(id=f"{document_id}#{number}", document_id=document_id, text=text)
            for number, text in enumerate(texts)
        ),
    )


def _documents(store: PeeweeVectorStore) -> list[tuple[Any, ...]]:
    return run_sql(
        store,
        "SELECT document_id, source, metadata, created_at, updated_at FROM documents "
        "ORDER BY document_id",
    )


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def test_document_is_recorded_with_its_chunks(store: PeeweeVectorStore, clock: ManualClock) -> None:
    report, removed = store.save_documents(
        [_split("d", "a", "b", source="notes/d.md", metadata={"k": 1})]
    )
    assert (report.inserted, removed) == (2, 0)
    assert _documents(store) == [("d", "notes/d.md", '{"k":1}', clock.now(), clock.now())]
    assert [chunk.id for chunk in store.chunks(document_ids=["d"])] == ["d#0", "d#1"]


def test_chunks_that_a_new_version_no_longer_has_are_gone(store: PeeweeVectorStore) -> None:
    store.save_documents([_split("d", "a", "b", "c"), _split("e", "x")])
    embed(store, "a")
    report, removed = store.save_documents([_split("d", "a", "new")])
    assert (report.unchanged, report.updated, removed) == (1, 1, 1)
    assert (report.ready, report.pending) == (1, 1)
    assert [chunk.text for chunk in store.chunks(document_ids=["d"])] == ["a", "new"]
    assert [chunk.text for chunk in store.chunks(document_ids=["e"])] == ["x"]
    assert list(store.search(text="c", mode="keyword")) == []


def test_chunks_saved_without_the_document_belong_to_it(store: PeeweeVectorStore) -> None:
    """A framework saves nodes with a document id; the document itself comes later."""
    store.save(chunks_of(["old"], document_id="d"))
    assert store.save_documents([_split("d", "a")])[1] == 1
    assert [chunk.text for chunk in store.chunks()] == ["a"]


def test_the_same_document_again_changes_no_row(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    store.save_documents([_split("d", "a")])
    before = _documents(store)
    clock.advance(5)
    report, removed = store.save_documents([_split("d", "a")])
    assert (report.unchanged, removed) == (1, 0)
    assert _documents(store) == before
    store.save_documents([_split("d", "a", metadata={"k": 2})])
    assert _documents(store)[0][4] == clock.now()


def test_nothing_of_a_page_is_saved_if_one_chunk_is_bad(store: PeeweeVectorStore) -> None:
    store.save_documents([_split("d", "a", "b")])
    with pytest.raises(BlankTextError, match="e#1"):
        store.save_documents([_split("d", "new"), _split("e", "x", " ")])
    assert [chunk.text for chunk in store.chunks()] == ["a", "b"]
    assert [row[0] for row in _documents(store)] == ["d"]


@pytest.mark.parametrize(
    ("error", "document"),
    [
        (InvalidTextError, _split("d\ud800", "a")),
        (InvalidTextError, _split("d", "a", source="\ud800")),
        (InvalidTextError, SplitDocument(id="d", document=Document(content="\ud800"), chunks=())),
        (InvalidMetadataError, _split("d", "a", metadata={"k": float("nan")})),
        (InvalidMetadataError, _split("d", "a", metadata=None)),
    ],
)
def test_bad_document_is_refused_before_anything_is_written(
    store: PeeweeVectorStore, error: type[InvalidInputError], document: SplitDocument
) -> None:
    with pytest.raises(error, match="document"):
        store.save_documents([_split("good", "a"), document])
    assert _documents(store) == []
    assert store.chunks() == []


def test_same_document_twice_in_one_call_is_an_error(store: PeeweeVectorStore) -> None:
    other = SplitDocument(id="d", document=Document(content="x"), chunks=())
    with pytest.raises(DuplicateIdError, match="'d'"):
        store.save_documents([_split("d", "a"), other])


@pytest.mark.parametrize(
    "chunk", [Chunk(text="a", id="x"), Chunk(text="a", document_id="d"), Chunk(text="a")]
)
def test_chunk_of_a_document_names_it(store: PeeweeVectorStore, chunk: Chunk) -> None:
    split = SplitDocument(id="d", document=Document(content="a"), chunks=(chunk,))
    with pytest.raises(InvalidInputError, match="'d'"):
        store.save_documents([split])


def test_document_is_forgotten_with_its_last_chunk(store: PeeweeVectorStore) -> None:
    store.save_documents([_split("d", "a", "b"), _split("e", "x")])
    store.delete(ids=["d#0"])
    assert [row[0] for row in _documents(store)] == ["d", "e"]
    store.delete(ids=["d#1"])
    assert [row[0] for row in _documents(store)] == ["e"]
    store.delete(document_ids=["e"])
    assert _documents(store) == []


def test_clear_forgets_the_documents_of_its_collection_only(store: PeeweeVectorStore) -> None:
    store.save_documents([_split("d", "a")])
    store.save_documents([_split("d", "a")], collection="other")
    assert store.clear() == 1
    assert len(_documents(store)) == 1
    assert len(store.chunks(collection="other")) == 1
