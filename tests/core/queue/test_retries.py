"""FAILED to PENDING, when a person asks for it: of what failed at the provider, and of nothing else."""

from __future__ import annotations

import pytest

from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.queue.retries import retry_failed_chunks
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, content_hash, only
from support.clock import ManualClock
from support.jobs import claim_job, settle
from support.rows import run_sql

PENDING, FAILED = EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def retry(store: PeeweeVectorStore) -> int:
    with store.database.transaction() as connection:
        return retry_failed_chunks(connection, collection_id=None, now=store.clock.now())


def fail(store: PeeweeVectorStore, text: str) -> None:
    store.save(chunks_of([text]))
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash(text)], BudgetUse.EVERYTHING, error="blocked")


def test_only_what_failed_waits_again(store: PeeweeVectorStore, clock: ManualClock) -> None:
    """A chunk that was saved since with the same text waits already, and is not counted."""
    fail(store, "a")
    store.save([Chunk(id="again", text="a")])
    saved = only(store, "again").updated_at
    clock.advance(10)
    assert retry(store) == 1
    assert only(store, "a").status is PENDING
    assert only(store, "again").updated_at == saved
    assert retry(store) == 0


def test_what_never_reached_the_provider_stays(store: PeeweeVectorStore) -> None:
    fail(store, "a")
    store.save([Chunk(id="blank", text="", embedding_status=FAILED, error_message="blank")])
    assert retry(store) == 1
    assert only(store, "blank").status is FAILED


def test_tries_begin_anew(store: PeeweeVectorStore) -> None:
    fail(store, "a")
    assert claim_job(store) is None
    retry(store)
    assert claim_job(store) is not None
    settle(store, store.stats().open_jobs[0].id, [content_hash("a")], BudgetUse.NOTHING)


def test_a_text_that_a_job_carries_waits_for_that_job(store: PeeweeVectorStore) -> None:
    """It failed once, was added again, and sent with a new budget; the first chunk is FAILED still."""
    fail(store, "a")
    run_sql(store, "UPDATE batch_items SET budget_use = 'forgiven'")
    store.save([Chunk(id="again", text="a")])
    job_id = claim_job(store)
    run_sql(store, "UPDATE batch_items SET budget_use = 'attempt' WHERE state <> 'open'")
    assert retry(store) == 1
    assert only(store, "a").batch_job_id == job_id
