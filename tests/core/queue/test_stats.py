"""What the queue says about itself equals what the rows say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from semantic_core.domain.errors import UnknownCollectionError
from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.queue.retries import retry_failed_chunks
from semantic_core.store import PeeweeVectorStore
from support.chunks import OTHER_SPEC, SPEC, chunks_of, content_hash, embed, only, vector_of
from support.clock import ManualClock
from support.invariants import check_invariants
from support.jobs import LIMITS, carried, claim_job, look, settle


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def test_empty_queue(store: PeeweeVectorStore) -> None:
    stats = store.stats()
    assert (stats.waiting, stats.waiting_texts, stats.backing_off, stats.in_flight) == (0, 0, 0, 0)
    assert (stats.ready, stats.failed, stats.stale, stats.oldest_waiting) == (0, 0, 0, None)
    assert stats.open_jobs == stats.held_jobs == stats.failures == ()


def test_every_chunk_is_counted_where_it_is(store: PeeweeVectorStore, clock: ManualClock) -> None:
    store.save(chunks_of(["flying", "late", "broken", "wrong"]))
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash("late")], BudgetUse.ATTEMPT)
    settle(store, job_id, [content_hash("broken")], BudgetUse.EVERYTHING, error="no")
    settle(store, job_id, [content_hash("wrong")], BudgetUse.EVERYTHING, error="bad")
    clock.advance(10)
    saved = clock.now()
    store.save([Chunk(id="x", text="new"), Chunk(id="y", text="new")])
    store.save(
        [Chunk(id=str(n), text="", embedding_status=EmbeddingStatus.FAILED) for n in range(2)]
    )
    store.save([Chunk(id="ready", text="ready", vector=vector_of("ready"))])
    store.save([Chunk(id="stale", text="stale", vector=vector_of("stale"))])
    store.save([Chunk(id="stale", text="edited")])
    stats = store.stats()
    assert (stats.waiting, stats.waiting_texts, stats.backing_off) == (4, 3, 1)
    assert (stats.in_flight, stats.ready, stats.failed, stats.stale) == (1, 1, 4, 1)
    assert stats.oldest_waiting == saved - 10
    assert stats.failures == (("saved as FAILED", 2), ("bad", 1), ("no", 1))
    assert [job.id for job in stats.open_jobs] == [job_id]


def test_one_collection_or_all(store: PeeweeVectorStore) -> None:
    store.collection("other", OTHER_SPEC)
    store.save(chunks_of("ab"))
    store.save(chunks_of("abc"), collection="other")
    embed(store, "a", spec=OTHER_SPEC)
    embed(store, "a", "b")
    assert (store.stats().ready, store.stats().waiting) == (3, 2)
    assert (store.stats("other").ready, store.stats("other").waiting) == (1, 2)
    assert (store.stats("default").ready, store.stats("default").waiting) == (2, 0)
    with pytest.raises(UnknownCollectionError, match="'missing'"):
        store.stats("missing")


def test_counts_follow_every_transition(store: PeeweeVectorStore, clock: ManualClock) -> None:
    """They are kept, not counted: each change must say so."""
    store.save(chunks_of("abcd"))
    check_invariants(store)
    embed(store, "a", "b")
    check_invariants(store)
    store.save([Chunk(id="a", text="e"), Chunk(id="b", text="f")])
    check_invariants(store)
    job_id = claim_job(store)
    assert job_id is not None
    check_invariants(store)
    settle(store, job_id, [content_hash("c"), content_hash("e")], BudgetUse.EVERYTHING)
    check_invariants(store)
    with store.database.transaction() as connection:
        assert retry_failed_chunks(connection, collection_id=None, now=clock.now()) == 2
    check_invariants(store)
    embed(store, "c", "f")
    check_invariants(store)
    store.delete(ids=["a", "c"])
    check_invariants(store)
    assert (store.stats().ready, store.stats().in_flight, store.stats().waiting) == (1, 1, 0)


def test_spent_texts_that_are_failed_by_a_flush_are_counted(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING)
    store.delete(ids=["a"])
    store.save(chunks_of("a"))
    assert look(store) is None
    assert only(store, "a").status is EmbeddingStatus.FAILED
    assert (store.stats().failed, store.stats().waiting) == (1, 0)


# --- cost ----------------------------------------------------------------------------------


@contextmanager
def _steps(connection: sqlite3.Connection) -> Iterator[list[int]]:
    """Count SQLite's instructions, which are the same on every machine."""
    counted = [0]

    def tick() -> int:
        counted[0] += 1
        return 0

    connection.set_progress_handler(tick, 1)
    yield counted
    connection.set_progress_handler(None, 0)


def _fill(store: PeeweeVectorStore, first: int, count: int) -> None:
    store.save([Chunk(id=f"{n}", text=f"filler {n}") for n in range(first, first + count)])


@pytest.mark.sqlite_only("counts the steps of SQLite's own machine")
def test_queue_and_search_cost_what_they_touch_not_what_is_stored(store: PeeweeVectorStore) -> None:
    """Ten times as many READY chunks change nothing about a claim, a count or a save."""
    connection = store.database.connection()
    store.save(chunks_of([f"pending {n}" for n in range(20)]))
    costs = []
    done = 0
    for stored in (300, 3000):
        _fill(store, done, stored - done)
        embed(store, *(f"filler {n}" for n in range(done, stored)))
        done = stored
        with _steps(connection) as counted:
            look(store)
            store.stats()
            coverage = store.search(text="").coverage
            store.save([Chunk(id=f"pending {n}", text=f"pending {n}") for n in range(20)])
            store.save([Chunk(id=f"new {stored}", text=f"new {stored}")])
            store.delete(ids=[f"new {stored}"])
        assert (coverage.ready, coverage.pending) == (stored, 20)
        costs.append(counted[0])
    assert costs[1] < 1.2 * costs[0], costs


@pytest.mark.sqlite_only("counts the steps of SQLite's own machine")
def test_a_claim_costs_what_it_takes_not_what_waits(store: PeeweeVectorStore) -> None:
    connection = store.database.connection()
    costs = []
    done = 0
    for waiting in (300, 3000):
        _fill(store, done, waiting - done)
        done = waiting
        with _steps(connection) as counted:
            job_id = claim_job(store, limits=replace(LIMITS, requests=10))
        assert job_id is not None
        assert len(carried(store, job_id)) == 10
        costs.append(counted[0])
    assert costs[1] < 1.2 * costs[0], costs


@pytest.mark.sqlite_only("counts the steps of SQLite's own machine")
def test_settling_costs_what_it_settles(store: PeeweeVectorStore) -> None:
    connection = store.database.connection()
    costs = []
    done = 0
    for stored in (300, 3000):
        _fill(store, done, stored - done)
        job_id = claim_job(store, limits=replace(LIMITS, requests=10**6))
        assert job_id is not None
        hashes = [content_hash(f"filler {n}") for n in range(done, done + 5)]
        done = stored
        with _steps(connection) as counted:
            assert settle(store, job_id, hashes[:3], BudgetUse.ATTEMPT) == 3
            assert settle(store, job_id, hashes[3:], BudgetUse.EVERYTHING) == 2
        costs.append(counted[0])
    assert costs[1] < 1.2 * costs[0], costs
