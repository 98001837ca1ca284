"""What waits is known without looking at it, and equals what the rows say after every change."""

from __future__ import annotations

import pytest

from semantic_core.domain.pricing import estimate_tokens
from semantic_core.domain.statuses import BudgetUse
from semantic_core.domain.types import Chunk
from semantic_core.queue.costs import WaitingTokens, waiting_tokens
from semantic_core.queue.retries import retry_failed_chunks
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.collections import collection_id
from support.chunks import OTHER_SPEC, SPEC, chunks_of, content_hash, embed
from support.clock import ManualClock
from support.invariants import check_invariants
from support.jobs import claim_job, settle
from support.rows import run_sql

LONG = "a text that has more than one token"
TOKENS = estimate_tokens(LONG)


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def waits(store: PeeweeVectorStore, name: str | None = None) -> list[WaitingTokens]:
    check_invariants(store)
    with store.database.snapshot() as connection:
        target = None if name is None else collection_id(connection, name)
        return waiting_tokens(connection, collection_id=target)


def test_a_text_that_two_collections_want_is_one_text(store: PeeweeVectorStore) -> None:
    store.collection("side", SPEC)
    for name in ("default", "side"):
        store.save([Chunk(id=one, text=LONG) for one in "ab"], collection=name)
        assert waits(store, name) == [WaitingTokens(SPEC.model, 2, 1, TOKENS, TOKENS, 0)]
    assert waits(store) == [WaitingTokens(SPEC.model, 4, 1, TOKENS, 3 * TOKENS, 0)]
    assert (store.stats().waiting, store.stats().waiting_texts) == (4, 1)


def test_each_space_has_its_own_texts(store: PeeweeVectorStore) -> None:
    store.collection("other", OTHER_SPEC)
    store.save(chunks_of([LONG]))
    store.save(chunks_of([LONG]), collection="other")
    assert sum(part.texts for part in waits(store)) == store.stats().waiting_texts == 2
    assert store.stats("other").waiting == 1


def test_a_collection_that_nobody_made_has_nothing_that_waits(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["a"]))
    run_sql(store, "UPDATE collections SET name = 'side'")
    assert store.stats("default").waiting == 0
    assert store.stats().waiting == 1


def test_what_moves_is_counted_at_every_step(store: PeeweeVectorStore, clock: ManualClock) -> None:
    store.save(chunks_of(["one", "two", "three", "four"]))
    assert waits(store)[0].texts == 4
    job_id = claim_job(store)
    assert job_id is not None
    assert waits(store) == []
    store.save([Chunk(id="again", text="one")])
    assert waits(store) == []
    settle(store, job_id, [content_hash("one")], BudgetUse.ATTEMPT)
    settle(store, job_id, [content_hash("two")], BudgetUse.EVERYTHING, error="no")
    assert waits(store)[0][1:3] == (2, 1)
    store.save([Chunk(id="other", text="two"), Chunk(id="new", text="new")])
    assert waits(store)[0][1:3] == (4, 3)
    with store.database.transaction() as connection:
        retry_failed_chunks(connection, collection_id=None, now=clock.now())
    assert waits(store)[0][1:3] == (5, 3)
    embed(store, "two", "three")
    assert waits(store)[0][1:3] == (3, 2)
    store.save([Chunk(id="new", text="one"), Chunk(id="again", text="newer")])
    assert waits(store)[0][1:3] == (3, 2)
    store.delete(ids=["new", "again"])
    assert waits(store)[0][1:3] == (1, 1)
    embed(store, "one")
    assert waits(store) == []


def test_results_of_a_job_touch_nothing_that_is_counted(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["one", "two"]))
    claim_job(store)
    store.save(chunks_of(["new"]))
    before = waits(store)
    embed(store, "one", "two")
    assert waits(store) == before


def test_the_oldest_is_found_among_all_that_waits(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    store.save(chunks_of(["resting"]))
    first = clock.now()
    job_id = claim_job(store)
    assert job_id is not None
    settle(store, job_id, [content_hash("resting")], BudgetUse.ATTEMPT)
    clock.advance(5)
    store.save(chunks_of(["edited", "waiting"]))
    assert store.stats().oldest_waiting == first
    embed(store, "resting")
    assert store.stats().oldest_waiting == first + 5
    clock.advance(5)
    store.save([Chunk(id="edited", text="edited", metadata={"a": 1}), Chunk(id="late", text="l")])
    assert store.stats().oldest_waiting == first + 5
    store.delete(ids=["waiting"])
    assert store.stats().oldest_waiting == first + 10
