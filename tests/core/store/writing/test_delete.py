"""Deleting: chunk, text and index entry at once; the paid vector stays as cache."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_core.domain.errors import InvalidFilterError, InvalidInputError
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import (
    SPEC,
    chunks_of,
    content_hash,
    count_vectors,
    embed,
    embed_all,
    only,
    vector_of,
)
from support.clock import ManualClock
from support.invariants import check_invariants
from support.jobs import carried, claim_job
from support.rows import run_sql

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _ids(store: PeeweeVectorStore) -> list[str]:
    return [chunk.id for chunk in store.chunks()]


def test_delete_by_ids(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("abc"))
    assert store.delete(ids=["a", "c", "unknown", "a"]) == 2
    assert _ids(store) == ["b"]
    assert store.delete(ids=["a"]) == 0
    assert store.delete(ids=[]) == 0


def test_delete_by_documents(store: PeeweeVectorStore) -> None:
    store.save([*chunks_of("ab", document_id="d"), *chunks_of("c", document_id="e")])
    store.save(chunks_of("f"))
    assert store.delete(document_ids=["d", "unknown"]) == 2
    assert _ids(store) == ["c", "f"]


def test_delete_by_filters(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id=str(n), text=str(n), metadata={"n": n}) for n in range(5)])
    assert store.delete(filters={"n": {"$gte": 3}}) == 2
    assert _ids(store) == ["0", "1", "2"]


def test_conditions_must_all_be_met(store: PeeweeVectorStore) -> None:
    store.save(
        [
            Chunk(id=f"{d}{n}", text=f"{d}{n}", document_id=d, metadata={"n": n})
            for d in "de"
            for n in range(2)
        ]
    )
    assert store.delete(ids=["d0", "d1", "e0"], document_ids=["d"], filters={"n": 1}) == 1
    assert _ids(store) == ["d0", "e0", "e1"]


def test_other_collections_are_untouched(store: PeeweeVectorStore) -> None:
    store.collection("other", SPEC)
    store.save(chunks_of("a"))
    store.save(chunks_of("a"), collection="other")
    store.delete(ids=["a"])
    assert len(store.chunks(collection="other")) == 1
    assert store.delete(ids=["a"], collection="missing") == 0


def test_delete_without_a_condition_is_refused(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    for filters in (None, {}):
        with pytest.raises(InvalidInputError, match=r"clear\(\)"):
            store.delete(filters=filters)
    with pytest.raises(InvalidFilterError):
        store.delete(filters={"n": {"$nope": 1}})
    assert _ids(store) == ["a"]


def test_one_string_for_ids_is_refused(store: PeeweeVectorStore) -> None:
    """It would delete the chunks that are named by its letters."""
    store.save(chunks_of("abc"))
    with pytest.raises(InvalidInputError, match=r"\['abc'\]"):
        store.delete(ids="abc")
    with pytest.raises(InvalidInputError, match="document_ids"):
        store.delete(document_ids="abc")
    with pytest.raises(InvalidInputError, match="int"):
        store.delete(ids=[1])  # type: ignore[list-item]
    assert _ids(store) == ["a", "b", "c"]


def test_id_that_goes_on_after_a_nul_names_nothing(store: PeeweeVectorStore) -> None:
    """SQLite's JSON ends a string at a NUL: 'a' must not go for it."""
    store.save(chunks_of("a", document_id="d"))
    assert store.delete(ids=["a\0b"]) == 0
    assert store.delete(document_ids=["d\0"]) == 0
    assert store.get(["a\0", "\ud800"]) == []
    assert _ids(store) == ["a"]


def test_deleted_chunk_is_found_by_nothing(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple", "pear"]))
    embed_all(store)
    assert len(store.search(text="apple", vector=vector_of("apple"))) == 2
    store.delete(ids=["apple"])
    assert [hit.chunk.id for hit in store.search(text="apple", vector=vector_of("apple"))] == [
        "pear"
    ]
    assert list(store.search(text="apple", mode="keyword")) == []


def test_deleted_and_added_again_is_free(store: PeeweeVectorStore) -> None:
    """As LlamaIndex upserts: delete, then add."""
    store.save(chunks_of("a"))
    embed(store, "a")
    store.delete(ids=["a"])
    assert count_vectors(store) == 1
    assert store.save(chunks_of("a")).ready == 1


def test_purge_deletes_the_vector_too(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("ab"))
    embed_all(store)
    assert store.delete(ids=["a"], purge=True) == 1
    assert count_vectors(store) == 1
    assert store.save(chunks_of("a")).pending == 1


def test_purge_keeps_a_vector_that_another_chunk_uses(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a"), Chunk(id="y", text="a")])
    embed(store, "a")
    store.delete(ids=["x"], purge=True)
    assert (count_vectors(store), only(store, "y").status) == (1, READY)
    store.delete(ids=["y"], purge=True)
    assert count_vectors(store) == 0


def test_purge_of_a_stale_chunk_deletes_the_vector_that_serves_it(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="b")])
    store.delete(ids=["x"], purge=True)
    assert count_vectors(store) == 0


def test_delete_in_flight_keeps_the_paid_vector_and_brings_no_chunk_back(
    store: PeeweeVectorStore,
) -> None:
    store.save(chunks_of("a"))
    job_id = claim_job(store)
    assert job_id is not None
    store.delete(ids=["a"])
    assert carried(store, job_id) == [content_hash("a")]
    report = embed(store, "a")
    assert (report.applied, report.chunks_ready) == (1, 0)
    assert store.chunks() == []
    assert store.save(chunks_of("a")).ready == 1


def test_deleted_and_added_again_with_new_text_in_flight(store: PeeweeVectorStore) -> None:
    """Matched by content hash, never by a row number that was used before."""
    store.save([Chunk(id="x", text="a")])
    claim_job(store)
    store.delete(ids=["x"])
    store.save([Chunk(id="x", text="b")])
    embed(store, "a")
    assert only(store, "x").status is PENDING


def test_row_keys_are_never_used_again(store: PeeweeVectorStore) -> None:
    def newest() -> int:
        return int(run_sql(store, "SELECT max(pk) FROM chunks")[0][0])

    store.save(chunks_of("a"))
    first = newest()
    store.clear()
    store.save(chunks_of("b"))
    assert newest() > first


def test_clear_empties_one_collection(store: PeeweeVectorStore) -> None:
    store.collection("other", SPEC)
    store.save(chunks_of("abc"))
    store.save(chunks_of("a"), collection="other")
    embed(store, "a")
    assert store.clear() == 3
    assert store.clear() == 0
    assert store.clear("missing") == 0
    assert store.chunks() == []
    assert count_vectors(store) == 1
    assert list(store.search(text="a")) == []


def test_many_chunks_are_deleted_in_one_call(store: PeeweeVectorStore) -> None:
    """More than one internal page."""
    store.save([Chunk(id=str(n), text=f"text {n}", metadata={"n": n}) for n in range(2500)])
    assert store.delete(filters={"n": {"$lt": 2400}}) == 2400
    assert len(store.chunks()) == 100


def test_prune_deletes_what_no_chunk_has_used_for_so_long(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    store.save(chunks_of("ab"))
    embed_all(store)
    store.delete(ids=["a"])
    clock.advance(100)
    assert store.prune(older_than=101) == 0
    assert store.prune(older_than=100) == 1
    assert store.prune(older_than=0) == 0
    assert only(store, "b").status is READY
    assert store.save(chunks_of("a")).pending == 1


def test_prune_keeps_what_came_back_into_use(store: PeeweeVectorStore, clock: ManualClock) -> None:
    store.save(chunks_of("a"))
    embed_all(store)
    store.delete(ids=["a"])
    store.save(chunks_of("a"))
    clock.advance(100)
    assert store.prune(older_than=0) == 0
    store.delete(ids=["a"])
    assert store.prune(older_than=1) == 0


def test_prune_reaches_the_vector_of_an_earlier_text(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    """While it serves on as stale it is in use; afterwards it is cache."""
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="b")])
    clock.advance(10)
    assert store.prune(older_than=0) == 0
    embed(store, "b")
    assert store.prune(older_than=1) == 0
    assert store.prune(older_than=0) == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(ready=st.sets(st.integers(0, 9)), gone=st.sets(st.integers(0, 9)), purge=st.booleans())
def test_any_deletion_keeps_the_invariants(
    store: PeeweeVectorStore, *, ready: set[int], gone: set[int], purge: bool
) -> None:
    store.clear()
    store.prune(older_than=0)
    store.save([Chunk(id=str(n), text=f"text {n // 2}") for n in range(10)])
    embed(store, *(f"text {n // 2}" for n in ready))
    store.delete(ids=[str(n) for n in gone], purge=purge)
    check_invariants(store)
    assert _ids(store) == [str(n) for n in range(10) if n not in gone]
