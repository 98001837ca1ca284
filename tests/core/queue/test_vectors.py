"""Stored vectors: matched by content hash alone, and let go of."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus, VectorOrigin
from semantic_core.domain.types import Chunk
from semantic_core.queue.contents import note_contents
from semantic_core.queue.vectors import (
    ArrivedVector,
    release_vectors,
    serve_vectors,
    store_vectors,
    use_vectors,
)
from semantic_core.store import PeeweeVectorStore
from support.chunks import (
    OTHER_SPEC,
    SPEC,
    chunks_of,
    content_hash,
    contents_of,
    embed,
    only,
    vector_of,
)
from support.invariants import check_invariants
from support.jobs import claim_job, settle
from support.rows import run_sql

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _key(text: str, spec: EmbeddingSpec = SPEC) -> bytes:
    return bytes.fromhex(content_hash(text, spec))


def _arrive(store: PeeweeVectorStore, *texts: str, tokens: int | None = None) -> int:
    space_id, now = store.collection().space_id, store.clock.now()
    with store.database.transaction() as connection:
        contents, _ = note_contents(connection, list(map(_key, texts)))
        arrived = [
            ArrivedVector(
                content_id=contents[_key(text)],
                vector=vector_of(text).tobytes(),
                token_count=tokens,
            )
            for text in texts
        ]
        return store_vectors(
            connection, arrived, space_id=space_id, origin=VectorOrigin.BATCH, now=now
        )


def test_pending_claimed_and_failed_chunks_become_ready(store: PeeweeVectorStore) -> None:
    store.save([*chunks_of(["claimed", "failed"])])
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash("failed")], BudgetUse.EVERYTHING)
    store.save(chunks_of(["pending", "other"]))
    assert _arrive(store, "claimed", "failed", "pending", "unknown") == 3
    for chunk_id in ("claimed", "failed", "pending"):
        chunk = only(store, chunk_id)
        assert (chunk.status, chunk.batch_job_id, chunk.error_message) == (READY, None, None)
    assert only(store, "other").status is PENDING
    settle(store, job_id, [content_hash("claimed")], BudgetUse.NOTHING)


def test_serving_again_makes_nothing(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    assert _arrive(store, "a") == 1
    assert _arrive(store, "a", "a") == 0


def test_only_collections_of_the_same_space_are_served(store: PeeweeVectorStore) -> None:
    """The space is part of the content hash, so no other chunk can want it."""
    store.collection("other", OTHER_SPEC)
    store.collection("larger", EmbeddingSpec(dimensions=9))
    for name in ("other", "larger"):
        store.save(chunks_of("a"), collection=name)
    assert _arrive(store, "a") == 0
    assert only(store, "a", "other").status is only(store, "a", "larger").status is PENDING


def test_a_vector_that_is_not_stored_serves_nobody(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    with (
        pytest.raises(DatabaseCorruptError, match=r"CHECK|check constraint"),
        store.database.transaction() as connection,
    ):
        serve_vectors(connection, [1], now=0.0)
    assert only(store, "a").status is PENDING


def test_more_texts_than_one_lookup_takes(store: PeeweeVectorStore) -> None:
    texts = [f"text {n}" for n in range(1234)]
    store.save(chunks_of(texts))
    assert _arrive(store, *texts) == 1234


def test_a_text_that_comes_twice_is_counted_once(store: PeeweeVectorStore) -> None:
    texts = [f"text {n}" for n in range(600)]
    store.save(chunks_of(texts))
    assert _arrive(store, *texts, *texts[:100]) == 600
    check_invariants(store)


def test_a_vector_that_nobody_used_is_used_when_it_arrives_again(store: PeeweeVectorStore) -> None:
    """Or it would be pruned under the chunk that has come to want it."""
    store.save(chunks_of(["wanted"]))
    _arrive(store, "nobody's")
    with store.database.transaction() as connection:
        connection.execute("UPDATE embeddings SET content_id = (SELECT content_id FROM chunks)")
    assert _arrive(store, "wanted") == 1
    row = run_sql(store, "SELECT unreferenced_since FROM embeddings")
    assert row == [(None,)]


def test_what_the_provider_counted_is_kept(store: PeeweeVectorStore) -> None:
    _arrive(store, "a", tokens=7)
    row = run_sql(store, "SELECT token_count, origin FROM embeddings")
    assert row == [(7, "batch")]


def test_vectors_are_unused_until_a_chunk_uses_them(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    _arrive(store, "a", "b")

    def unused() -> list[bytes]:
        rows = run_sql(
            store,
            "SELECT k.hash FROM embeddings e JOIN contents k ON k.id = e.content_id "
            "WHERE e.unreferenced_since IS NOT NULL",
        )
        return [row[0] for row in rows]

    assert unused() == [_key("b")]
    ((of_a,),) = run_sql(store, "SELECT embedding_id FROM chunks")
    store.save(chunks_of("b"))
    assert unused() == []
    with store.database.transaction() as transaction:
        release_vectors(transaction, [of_a], now=5.0)
    assert unused() == []  # a chunk still uses it
    store.delete(ids=["a"])
    assert unused() == [_key("a")]
    contents = contents_of(store, "a")
    with store.database.transaction() as transaction:
        use_vectors(transaction, contents.values())
    assert unused() == []
    store.save(chunks_of("a"))


def test_released_vector_keeps_the_time_it_was_first_let_go(store: PeeweeVectorStore) -> None:
    _arrive(store, "a")
    first = store.clock.now()
    with store.database.transaction() as connection:
        release_vectors(connection, [1], now=first + 50)
        row = connection.execute("SELECT unreferenced_since FROM embeddings").fetchone()
    assert row == (first,)


@pytest.mark.parametrize(
    "change",
    [
        "embedding_status = 'READY', embedding_id = NULL",
        "embedding_status = 'DONE'",
        "embedding_status = 'FAILED'",
        "error_message = 'error'",
        "embedding_status = 'READY', embedding_id = 1, batch_job_id = 'job'",
        "content_id = NULL",
        "embedding_id = 99",
        "batch_job_id = 'unknown'",
        "chunk_id = 'b'",
    ],
)
def test_database_refuses_chunks_that_cannot_be(store: PeeweeVectorStore, change: str) -> None:
    store.save(chunks_of("abc"))
    embed(store, "c")
    with pytest.raises(DatabaseCorruptError), store.database.transaction() as connection:
        connection.execute(f"UPDATE chunks SET {change} WHERE chunk_id = 'a'")


def test_given_and_served_rows_stay_what_they_are(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("given"))])
    assert _arrive(store, "a") == 0
    assert only(store, "x").status is READY
