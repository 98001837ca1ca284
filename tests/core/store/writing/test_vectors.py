"""Back-filling vectors by content hash, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from semantic_core.domain.errors import NotBatchableError, UnknownCollectionError
from semantic_core.domain.pages import PAGE
from semantic_core.domain.reports import BulkReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import (
    OTHER_SPEC,
    SPEC,
    chunks_of,
    content_hash,
    count_vectors,
    embed,
    only,
    served_vector,
    vector_of,
)
from support.jobs import carried, claim_job
from support.rows import run_sql

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def test_vector_makes_every_chunk_ready_that_wants_it(store: PeeweeVectorStore) -> None:
    store.collection("questions", EmbeddingSpec(dimensions=8, query_task="QUESTION_ANSWERING"))
    store.save([Chunk(id="x", text="a"), Chunk(id="y", text="b", vector_source="a")])
    store.save([Chunk(id="x", text="a")], collection="questions")
    assert embed(store, "a") == BulkReport(applied=1, chunks_ready=3)
    assert only(store, "x").status is only(store, "x", "questions").status is READY


def test_a_vector_of_another_space_serves_nobody_here(store: PeeweeVectorStore) -> None:
    store.collection("other", OTHER_SPEC)
    store.save(chunks_of("a"))
    store.save(chunks_of("a"), collection="other")
    assert embed(store, "a", spec=OTHER_SPEC).chunks_ready == 1
    assert (only(store, "a").status, only(store, "a", "other").status) == (PENDING, READY)
    embed(store, "a")
    assert count_vectors(store) == 2


def test_vector_is_stored_even_if_nobody_wants_it(store: PeeweeVectorStore) -> None:
    assert embed(store, "a") == BulkReport(applied=1)
    assert store.save(chunks_of("a")).ready == 1


def test_applying_again_changes_nothing(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")

    def dump() -> list[Any]:
        return [
            run_sql(store, f"SELECT * FROM {table}")
            for table in ("chunks", "embeddings", "changes", "chunk_counts")
        ]

    before = dump()
    assert embed(store, "a") == BulkReport(applied=1)
    other = store.bulk_update_vectors([(content_hash("a"), vector_of("other"))], spec=SPEC)
    assert other == BulkReport(applied=1)
    assert dump() == before


@pytest.mark.parametrize(
    ("content_hash_", "vector", "reason"),
    [
        ("zz", vector_of("a"), "not a content hash"),
        ("ab" * 31, vector_of("a"), "32 bytes"),
        (b"ab" * 32, vector_of("a"), "not a content hash"),
        (None, vector_of("a"), "not a content hash"),
        (content_hash("a"), [1.0] * 7, "7 dimensions, not 8"),
        (content_hash("a"), [float("nan")] * 8, "NaN"),
        (content_hash("a"), [float("inf")] * 8, "infinity"),
        (content_hash("a"), [1e39] * 8, "infinity"),
        (content_hash("a"), [0.0] * 8, "all zero"),
        (content_hash("a"), ["1"] * 8, "not a number"),
        (content_hash("a"), [True] * 8, "not a number"),
        (content_hash("a"), [None] * 8, "number"),
        (content_hash("a"), [[1.0] * 8], "number|shape"),
        (content_hash("a"), np.ones((1, 8)), "shape"),
        (content_hash("a"), np.ones(8, dtype=object), "object"),
        (content_hash("a"), None, "number"),
        (content_hash("a"), "12345678", "number"),
    ],
)
def test_bad_vector_is_refused_with_a_reason_and_loses_nothing_else(
    store: PeeweeVectorStore, content_hash_: Any, vector: Any, reason: str
) -> None:
    store.save(chunks_of("ab"))
    report = store.bulk_update_vectors(
        [(content_hash_, vector), (content_hash("b"), vector_of("b"))], spec=SPEC
    )
    assert (report.applied, report.chunks_ready) == (1, 1)
    (refused,) = report.refused
    assert refused.content_hash == content_hash_
    assert re.search(reason, refused.reason), refused.reason
    assert (only(store, "a").status, only(store, "b").status) == (PENDING, READY)


def test_vectors_are_stored_with_length_one(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    store.bulk_update_vectors([(content_hash("a"), 5 * vector_of("a"))], spec=SPEC)
    served = served_vector(store, "a")
    assert served is not None
    np.testing.assert_allclose(served, vector_of("a"), atol=1e-7)


def test_vector_of_length_one_is_stored_bit_for_bit(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    embed(store, "a")
    served = served_vector(store, "a")
    assert served is not None
    assert served.tobytes() == vector_of("a").tobytes()


def test_space_without_normalisation_keeps_lengths(store: PeeweeVectorStore) -> None:
    spec = EmbeddingSpec(dimensions=8, normalized=False)
    store.collection("raw", spec)
    store.save(chunks_of("a"), collection="raw")
    store.bulk_update_vectors([(content_hash("a", spec), 5 * vector_of("a"))], spec=spec)
    served = served_vector(store, "a", "raw")
    assert served is not None
    np.testing.assert_array_equal(served, 5 * vector_of("a"))


def test_spec_that_no_collection_has_is_an_error(store: PeeweeVectorStore) -> None:
    with pytest.raises(UnknownCollectionError, match="gemini-embedding-2"):
        embed(store, "a", spec=OTHER_SPEC)
    with pytest.raises(UnknownCollectionError):
        store.bulk_update_vectors([], spec=OTHER_SPEC)


def test_external_space_has_no_content_hashes_to_serve(store: PeeweeVectorStore) -> None:
    """A vector stored under one would be a cache for chunks that came without a vector."""
    spec = EmbeddingSpec.external("foreign", 8)
    store.collection("f", spec)
    with pytest.raises(NotBatchableError, match="foreign"):
        embed(store, "a", spec=spec)


def test_pages_are_all_or_nothing_and_earlier_ones_stay(store: PeeweeVectorStore) -> None:
    texts = [f"text {n}" for n in range(PAGE + 10)]
    store.save(chunks_of(texts))

    def items() -> Iterator[tuple[str, Any]]:
        for text in texts[: PAGE + 5]:
            yield content_hash(text), vector_of(text)
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        store.bulk_update_vectors(items(), spec=SPEC)
    ready = [chunk for chunk in store.chunks() if chunk.status is READY]
    assert len(ready) == count_vectors(store) == PAGE
    assert embed(store, *texts) == BulkReport(applied=PAGE + 10, chunks_ready=10)


@pytest.mark.sqlite_only("asks SQLite's connection")
def test_no_transaction_is_held_while_the_next_vectors_are_fetched(
    store: PeeweeVectorStore,
) -> None:
    texts = [f"text {n}" for n in range(PAGE + 1)]

    def items() -> Iterator[tuple[str, Any]]:
        for text in texts:
            assert not store.database.connection().in_transaction
            yield content_hash(text), vector_of(text)

    assert store.bulk_update_vectors(items(), spec=SPEC).applied == PAGE + 1


def test_items_of_the_job_are_done_with_their_vectors(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("ab"))
    job_id = claim_job(store)
    assert job_id is not None
    store.bulk_update_vectors([(content_hash("a"), vector_of("a"))], spec=SPEC, job_id=job_id)
    assert carried(store, job_id) == [content_hash("b")]
    assert only(store, "a").batch_job_id is None
    assert only(store, "b").batch_job_id == job_id


def test_deleted_and_edited_in_flight(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["deleted", "edited", "tagged"]))
    claim_job(store)
    store.delete(ids=["deleted"])
    store.save(
        [Chunk(id="edited", text="new"), Chunk(id="tagged", text="tagged", metadata={"k": 1})]
    )
    assert embed(store, "deleted", "edited", "tagged") == BulkReport(applied=3, chunks_ready=1)
    assert [chunk.id for chunk in store.chunks()] == ["edited", "tagged"]
    assert (only(store, "edited").status, only(store, "edited").text) == (PENDING, "new")
    assert (only(store, "tagged").status, only(store, "tagged").metadata) == (READY, {"k": 1})


def test_origin_is_recorded(store: PeeweeVectorStore) -> None:
    embed(store, "a")
    store.bulk_update_vectors(
        [(content_hash("b"), vector_of("b"))], spec=SPEC, origin=VectorOrigin.LIVE
    )
    store.save([Chunk(text="c", vector=vector_of("c"))])
    origins = run_sql(store, "SELECT origin FROM embeddings ORDER BY id")
    assert [row[0] for row in origins] == ["batch", "live", "given"]


def test_known_vectors_are_stored_or_carried_by_an_open_job(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["stored", "carried"]))
    embed(store, "stored")
    claim_job(store)
    store.save(chunks_of(["waiting"]))
    hashes = [content_hash(text) for text in ("stored", "carried", "waiting", "unknown")]
    assert store.known_vectors(hashes) == set(hashes[:2])
    assert store.known_vectors([]) == set()
    assert store.known_vectors([content_hash(str(n)) for n in range(1200)]) == set()
