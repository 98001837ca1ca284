"""What becomes of each text of a job, and of the chunks that wait for it."""

from __future__ import annotations

import pytest

from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus, ItemState
from semantic_core.domain.types import Chunk
from semantic_core.queue.budget import RetryBudget
from semantic_core.queue.counts import recount
from semantic_core.queue.items import (
    carried_texts,
    count_open,
    count_states,
    fail_chunks,
    finish_items,
    open_contents,
)
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, content_hash, contents_of, embed, only
from support.clock import ManualClock
from support.jobs import carried, claim_job, settle
from support.rows import run_sql

PENDING, FAILED, READY = EmbeddingStatus.PENDING, EmbeddingStatus.FAILED, EmbeddingStatus.READY


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _job(store: PeeweeVectorStore, *texts: str) -> str:
    store.save(chunks_of(texts))
    job_id = claim_job(store)
    assert job_id is not None
    return job_id


@pytest.mark.parametrize("use", [BudgetUse.ATTEMPT, BudgetUse.JOB_FAILURE, BudgetUse.EXPIRY])
def test_first_failure_sends_a_text_back_with_a_delay(
    store: PeeweeVectorStore, clock: ManualClock, use: BudgetUse
) -> None:
    job_id = _job(store, "a")
    assert settle(store, job_id, [content_hash("a")], use) == 1
    chunk = only(store, "a")
    assert (chunk.status, chunk.batch_job_id, chunk.error_message) == (PENDING, None, None)
    assert store.stats().backing_off == 1
    clock.advance(RetryBudget().first_delay)
    assert store.stats().backing_off == 0


def test_what_counts_nothing_has_no_delay_unless_it_is_given(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    """A rate limit (429), a quota, a cancellation."""
    job_id = _job(store, "a")
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    assert store.stats().backing_off == 0
    for _ in range(20):
        job_id = claim_job(store) or ""
        settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING, not_before=clock.now() + 30)
        assert store.stats().backing_off == 1
        clock.advance(30)
    assert only(store, "a").status is PENDING


@pytest.mark.parametrize(
    ("use", "tries"),
    [
        (BudgetUse.ATTEMPT, 3),
        (BudgetUse.JOB_FAILURE, 2),
        (BudgetUse.EXPIRY, 3),
        (BudgetUse.EVERYTHING, 1),
    ],
)
def test_last_try_fails_the_chunk_with_its_reason(
    store: PeeweeVectorStore, clock: ManualClock, use: BudgetUse, tries: int
) -> None:
    store.save(chunks_of("a"))
    for number in range(1, tries + 1):
        assert only(store, "a").status is PENDING
        clock.advance(10_000)
        job_id = claim_job(store)
        assert job_id is not None
        settle(store, job_id, [content_hash("a")], use, error=f"reason {number}")
    chunk = only(store, "a")
    assert (chunk.status, chunk.error_message) == (FAILED, f"reason {tries}")
    assert chunk.batch_job_id is None
    assert claim_job(store) is None


def test_a_reason_is_always_there(store: PeeweeVectorStore) -> None:
    job_id = _job(store, "a")
    settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING, error=None)
    assert only(store, "a").error_message == "no tries left"


def test_settling_twice_changes_nothing(store: PeeweeVectorStore) -> None:
    job_id = _job(store, "a")
    settle(store, job_id, [content_hash("a")], BudgetUse.ATTEMPT)
    before = run_sql(store, "SELECT * FROM batch_items")
    assert settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING) == 0
    assert run_sql(store, "SELECT * FROM batch_items") == before
    assert only(store, "a").status is PENDING


def test_settling_again_does_nothing_to_a_chunk_that_came_since(store: PeeweeVectorStore) -> None:
    job_id = _job(store, "a")
    settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING)
    store.delete(ids=["a"])
    store.save(chunks_of("a"))
    assert settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING) == 0
    assert only(store, "a").status is PENDING


def test_item_of_another_job_is_left_alone(store: PeeweeVectorStore) -> None:
    first = _job(store, "a")
    settle(store, first, [content_hash("a")], BudgetUse.NOTHING)
    second = claim_job(store)
    assert second is not None
    assert settle(store, first, [content_hash("a")], BudgetUse.EVERYTHING) == 0
    assert settle(store, "unknown", [content_hash("a")], BudgetUse.EVERYTHING) == 0
    assert only(store, "a").batch_job_id == second


def test_all_chunks_of_a_text_share_its_fate(store: PeeweeVectorStore) -> None:
    store.collection("other", SPEC)
    store.save([Chunk(id="x", text="a"), Chunk(id="y", text="a")])
    store.save([Chunk(id="z", text="a")], collection="other")
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING)
    assert [only(store, i).status for i in "xy"] == [FAILED, FAILED]
    assert only(store, "z", "other").status is FAILED


def test_chunk_that_was_edited_meanwhile_is_untouched(store: PeeweeVectorStore) -> None:
    job_id = _job(store, "a")
    store.save([Chunk(id="a", text="b")])
    settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING)
    assert only(store, "a").status is PENDING


def test_ready_chunk_is_never_failed(store: PeeweeVectorStore) -> None:
    job_id = _job(store, "a")
    embed(store, "a")
    settle(store, job_id, [content_hash("a")], BudgetUse.EVERYTHING)
    assert only(store, "a").status is READY


def test_waiting_since_is_when_the_chunk_was_saved(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    """A failed try does not make it younger."""
    saved = clock.now()
    job_id = _job(store, "a")
    clock.advance(3600)
    settle(store, job_id, [content_hash("a")], BudgetUse.ATTEMPT)
    assert store.stats().oldest_waiting == saved


def test_open_items_are_listed_counted_and_finished(store: PeeweeVectorStore) -> None:
    job_id = _job(store, *"abc")
    keys = [bytes.fromhex(content_hash(text)) for text in "abc"]
    contents = list(contents_of(store, *"abc").values())
    with store.database.transaction() as connection:
        assert open_contents(connection, job_id, 2) == contents[:2]
        assert count_open(connection, job_id) == 3
        assert finish_items(connection, [*contents[:1], 99]) == 1
        assert finish_items(connection, contents[:1]) == 0
        assert open_contents(connection, job_id, 10) == contents[1:]
        assert carried_texts(connection, job_id, [*keys, bytes(32)]).keys() == set(keys)
        assert carried_texts(connection, job_id, []) == {}
        assert carried_texts(connection, "another-job", keys) == {}
        assert count_states(connection, job_id) == {ItemState.DONE: 1, ItemState.OPEN: 2}
    embed(store, "a")


def test_failing_chunks_takes_pending_ones_only(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("ab"))
    embed(store, "b")
    contents = contents_of(store, "a", "b", "unknown")
    with store.database.transaction() as connection:
        for text, failed in (("a", 1), ("a", 0), ("b", 0), ("unknown", 0)):
            assert fail_chunks(connection, {contents[text]: "reason"}, now=0.0) == failed
    assert (only(store, "a").status, only(store, "a").error_message) == (FAILED, "reason")
    assert carried(store, "unknown") == []


def test_a_job_lets_go_of_its_own_chunks_only(store: PeeweeVectorStore) -> None:
    """Whatever put a chunk into another job's hands, that job decides about it."""
    job_id = _job(store, "a")
    other_id = _job(store, "b")
    run_sql(store, "UPDATE chunks SET batch_job_id = ? WHERE chunk_id = 'a'", (other_id,))
    settle(store, job_id, [content_hash("a")], BudgetUse.ATTEMPT)
    assert only(store, "a").batch_job_id == other_id
    # As it would have been, for the invariants.
    with store.database.transaction() as connection:
        connection.execute("UPDATE chunks SET batch_job_id = NULL WHERE chunk_id = 'a'")
        recount(connection, write=True)
