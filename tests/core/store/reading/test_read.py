"""Reading chunks back, and counting them."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import InvalidFilterError, InvalidInputError
from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus
from semantic_core.domain.types import Chunk, Coverage
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, content_hash, embed, only
from support.clock import ManualClock
from support.jobs import claim_job, settle


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def test_get_returns_chunks_in_the_order_asked(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("abc"))
    assert [chunk.id for chunk in store.get(["c", "unknown", "a", "c"])] == ["c", "a", "c"]
    assert store.get([]) == []
    assert store.get(["a"], collection="missing") == []


def test_get_refuses_one_string(store: PeeweeVectorStore) -> None:
    with pytest.raises(InvalidInputError, match=r"\['ab'\]"):
        store.get("ab")


def test_chunks_are_returned_oldest_first(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("ba"))
    store.save(chunks_of("c"))
    store.save([Chunk(id="b", text="edited")])
    assert [chunk.id for chunk in store.chunks()] == ["b", "a", "c"]
    assert store.chunks(collection="missing") == []


def test_chunks_meet_every_condition(store: PeeweeVectorStore) -> None:
    store.save(
        [
            Chunk(id=f"{d}{n}", text="text", document_id=d, metadata={"n": n})
            for d in "de"
            for n in range(2)
        ]
    )
    chosen = store.chunks(ids=["d0", "d1", "e1"], document_ids=["d", "e"], filters={"n": 1})
    assert [chunk.id for chunk in chosen] == ["d1", "e1"]
    assert store.chunks(document_ids=[]) == []
    with pytest.raises(InvalidFilterError):
        store.chunks(filters={"n": {"$nope": 1}})


def test_times_tell_when_a_chunk_was_first_and_last_saved(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    started = clock.now()
    store.save(chunks_of("a"))
    clock.advance(5)
    store.save(chunks_of("a"))
    assert only(store, "a").updated_at == started
    store.save([Chunk(id="a", text="a", metadata={"k": 1})])
    assert (only(store, "a").created_at, only(store, "a").updated_at) == (started, started + 5)


def test_coverage_counts_each_chunk_once(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["ready", "stale", "pending", "failed"]))
    embed(store, "ready", "stale")
    store.save([Chunk(id="stale", text="new text")])
    settle(store, _claimed(store), [content_hash("failed")], BudgetUse.EVERYTHING)
    store.save(chunks_of(["elsewhere"]), collection="other")
    coverage = store.search(text="nothing").coverage
    assert coverage == Coverage(ready=1, stale=1, pending=1, failed=1)
    assert (coverage.total, coverage.by_vector) == (4, 0.5)


def test_failed_chunk_with_an_older_vector_is_stale(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="b")])
    settle(store, _claimed(store), [content_hash("b")], BudgetUse.EVERYTHING)
    assert (only(store, "x").status, only(store, "x").is_stale) == (EmbeddingStatus.FAILED, True)
    assert store.search(text="b").coverage == Coverage(stale=1)


def test_empty_collection_is_covered_whole(store: PeeweeVectorStore) -> None:
    assert store.search(text="a").coverage.by_vector == 1.0


def _claimed(store: PeeweeVectorStore) -> str:
    job_id = claim_job(store)
    assert job_id is not None
    return job_id
