"""Claims: which texts a job gets, and that no text is ever in two jobs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.queue.budget import RetryBudget
from semantic_core.queue.claims import claim, claimed_texts
from semantic_core.store import PeeweeVectorStore
from support.chunks import (
    OTHER_SPEC,
    SPEC,
    chunks_of,
    content_hash,
    embed,
    hashes_of,
    only,
    vector_of,
)
from support.clock import ManualClock
from support.jobs import LIMITS, carried, claim_job, look, new_job, settle
from support.processes import Python
from support.rows import run_sql


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _hashes(*texts: str, spec: EmbeddingSpec = SPEC) -> list[str]:
    return [content_hash(text, spec) for text in texts]


def _claim(store: PeeweeVectorStore, **options: object) -> str:
    job_id = claim_job(store, **options)  # type: ignore[arg-type]
    assert job_id is not None
    return job_id


# --- what a job gets -----------------------------------------------------------------------


def test_nothing_waits_nothing_is_claimed(store: PeeweeVectorStore) -> None:
    assert claim_job(store) is None
    store.save(chunks_of("a"))
    embed(store, "a")
    store.save([Chunk(text="b", vector=vector_of("b"))])
    store.save([Chunk(text="c", embedding_status=EmbeddingStatus.FAILED)])
    assert claim_job(store) is None


def test_job_gets_distinct_texts_oldest_first(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("ba"))
    store.save([Chunk(id="again", text="b"), Chunk(id="source", text="x", vector_source="c")])
    waiting = look(store)
    assert waiting is not None
    assert hashes_of(store, waiting.contents) == _hashes("b", "a", "c")
    assert (waiting.spec, waiting.source_bytes, waiting.tokens) == (SPEC, 3, 3)
    assert not waiting.is_full
    job_id = _claim(store)
    assert carried(store, job_id) == _hashes("b", "a", "c")
    assert {chunk.batch_job_id for chunk in store.chunks()} == {job_id}
    assert claim_job(store) is None


def test_looking_claims_nothing(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    look(store)
    assert only(store, "a").batch_job_id is None
    assert claim_job(store) is not None


def test_job_row_says_what_it_holds(store: PeeweeVectorStore, clock: ManualClock) -> None:
    store.save([Chunk(text="four"), Chunk(text="äöü")])
    job_id = _claim(store)
    (job,) = store.stats().open_jobs
    assert (job.id, job.status, job.step) == (job_id, "CREATED", "claimed")
    assert (job.request_count, job.estimated_tokens) == (2, 1 + 6)
    assert (job.model, job.created_at) == (SPEC.model, clock.now())
    row = run_sql(store, "SELECT byte_count, spec FROM batch_jobs")[0]
    assert row == (4 + 6, SPEC.to_json())


@pytest.mark.parametrize(
    "limits",
    [replace(LIMITS, requests=2), replace(LIMITS, source_bytes=10), replace(LIMITS, tokens=5)],
)
def test_limits_cut_a_job(store: PeeweeVectorStore, limits: object) -> None:
    """Each text has 5 bytes, about 2 tokens."""
    texts = [f"text{n}" for n in range(5)]
    store.save(chunks_of(texts))
    waiting = look(store, limits=limits)  # type: ignore[arg-type]
    assert waiting is not None
    assert waiting.is_full
    jobs = [_claim(store, limits=limits) for _ in range(3)]
    assert [carried(store, job_id) for job_id in jobs] == [
        _hashes("text0", "text1"),
        _hashes("text2", "text3"),
        _hashes("text4"),
    ]


def test_text_over_a_limit_goes_alone(store: PeeweeVectorStore) -> None:
    """The provider decides about it; it must not block the queue for ever."""
    store.save(chunks_of(["long text", "short"]))
    limits = replace(LIMITS, source_bytes=5)
    assert carried(store, _claim(store, limits=limits)) == _hashes("long text")
    assert carried(store, _claim(store, limits=limits)) == _hashes("short")


def test_a_job_has_one_space_that_of_the_oldest_chunk(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    questions = EmbeddingSpec(dimensions=8, query_task="QUESTION_ANSWERING")
    store.collection("other", OTHER_SPEC)
    store.collection("same space", questions)
    store.save(chunks_of("ab"), collection="other")
    clock.advance(1)
    store.save(chunks_of("cd"))
    store.save(chunks_of("ca"), collection="same space")
    assert carried(store, _claim(store)) == _hashes("a", "b", spec=OTHER_SPEC)
    assert carried(store, _claim(store)) == _hashes("c", "d", "a")
    assert claim_job(store) is None


def test_one_collection_may_be_asked_for(store: PeeweeVectorStore) -> None:
    """Its texts; a chunk of another collection that wants one of them waits for the same job."""
    store.collection("other", SPEC)
    store.save(chunks_of("ab"))
    store.save(chunks_of("bc"), collection="other")
    job_id = _claim(store, collection="other")
    assert carried(store, job_id) == _hashes("b", "c")
    assert only(store, "b").batch_job_id == job_id
    assert only(store, "a").batch_job_id is None
    assert claim_job(store, collection="missing") is None


def test_external_spaces_are_never_sent(store: PeeweeVectorStore) -> None:
    """Even if a row says PENDING there: an old database, say."""
    store.collection("f", EmbeddingSpec.external("foreign"))
    store.save([Chunk(id="x", text="a", vector=[1.0])], collection="f")
    run_sql(store, "UPDATE chunks SET embedding_status = 'PENDING' WHERE chunk_id = 'x'")
    assert claim_job(store) is None
    run_sql(store, "UPDATE chunks SET embedding_status = 'READY' WHERE chunk_id = 'x'")


# --- waiting and giving up -----------------------------------------------------------------


def test_text_that_backs_off_is_not_due(store: PeeweeVectorStore, clock: ManualClock) -> None:
    store.save(chunks_of("ab"))
    settle(store, _claim(store), _hashes("a"), BudgetUse.ATTEMPT, not_before=clock.now() + 60)
    assert claim_job(store) is None
    clock.advance(59)
    assert claim_job(store) is None
    clock.advance(1)
    assert carried(store, _claim(store)) == _hashes("a")


def test_chunk_saved_while_its_text_backs_off_waits_with_it(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    """A re-ingest under another id must not get round the delay."""
    store.save(chunks_of("a"))
    settle(store, _claim(store), _hashes("a"), BudgetUse.ATTEMPT, not_before=clock.now() + 60)
    store.save([Chunk(id="again", text="a"), Chunk(id="b", text="b")])
    assert carried(store, _claim(store)) == _hashes("b")
    clock.advance(60)
    job_id = _claim(store)
    assert carried(store, job_id) == _hashes("a")
    assert only(store, "a").batch_job_id == only(store, "again").batch_job_id == job_id


def test_what_was_sent_before_comes_first(store: PeeweeVectorStore, clock: ManualClock) -> None:
    store.save(chunks_of("a"))
    settle(store, _claim(store), _hashes("a"), BudgetUse.ATTEMPT, not_before=clock.now() + 60)
    store.save(chunks_of("bc"))
    clock.advance(60)
    limits = replace(LIMITS, requests=2)
    assert carried(store, _claim(store, limits=limits)) == _hashes("a", "b")


def test_spent_text_that_was_deleted_and_added_again_fails_instead(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    store.save(chunks_of("a"))
    settle(store, _claim(store), _hashes("a"), BudgetUse.EVERYTHING, error="blocked")
    store.delete(ids=["a"])
    store.save(chunks_of("ab"))
    assert only(store, "a").status is EmbeddingStatus.PENDING
    assert carried(store, _claim(store)) == _hashes("b")
    chunk = only(store, "a")
    assert (chunk.status, chunk.error_message) == (EmbeddingStatus.FAILED, "blocked")


def test_a_space_of_spent_texts_does_not_hide_the_next_one(store: PeeweeVectorStore) -> None:
    store.collection("other", OTHER_SPEC)
    store.save(chunks_of("a"))
    settle(store, _claim(store), _hashes("a"), BudgetUse.EVERYTHING)
    store.delete(ids=["a"])
    store.save(chunks_of("a"))
    store.save(chunks_of("b"), collection="other")
    assert carried(store, _claim(store)) == _hashes("b", spec=OTHER_SPEC)
    assert only(store, "a").status is EmbeddingStatus.FAILED


def test_attempts_are_counted_per_text_over_all_jobs(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    store.save(chunks_of("a"))
    for use in (BudgetUse.ATTEMPT, BudgetUse.NOTHING, BudgetUse.EXPIRY, BudgetUse.ATTEMPT):
        settle(store, _claim(store), _hashes("a"), use)
        clock.advance(10_000)
    _claim(store)
    rows = run_sql(store, "SELECT attempt FROM batch_items ORDER BY id")
    assert [row[0] for row in rows] == [1, 2, 2, 3, 4]


def test_endless_failure_ends_after_three_attempts(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    """Deleting and adding again changes nothing about that."""
    store.save(chunks_of("a"))
    sent = 0
    for round_number in range(10):
        job_id = claim_job(store)
        if job_id is not None:
            sent += 1
            settle(store, job_id, _hashes("a"), BudgetUse.ATTEMPT)
        if round_number % 2:
            store.delete(ids=["a"])
            store.save(chunks_of("a"))
        clock.advance(10_000)
    assert sent == RetryBudget().attempts == 3


# --- the texts a job carries ---------------------------------------------------------------


def test_claimed_texts_come_in_pages_and_without_what_nobody_wants(
    store: PeeweeVectorStore,
) -> None:
    store.save([*chunks_of("abcd"), Chunk(id="s", text="shown", vector_source="embedded")])
    job_id = _claim(store)
    store.delete(ids=["a"])
    store.save([Chunk(id="b", text="edited"), Chunk(id="c", text="c", metadata={"k": 1})])
    found: list[tuple[str, str | None]] = []
    after = 0
    while True:
        with store.database.snapshot() as connection:
            page = list(claimed_texts(connection, job_id, after=after, limit=2))
        if not page:
            break
        found += [(key.hex(), source) for _, _, key, source, _ in page]
        after = page[-1][0]
    assert found == list(
        zip(
            _hashes("a", "b", "c", "d", "embedded"), [None, None, "c", "d", "embedded"], strict=True
        )
    )


def test_texts_whose_end_is_known_are_not_sent(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("abc"))
    job_id = _claim(store)
    settle(store, job_id, _hashes("b"), BudgetUse.NOTHING)
    with store.database.snapshot() as connection:
        found = list(claimed_texts(connection, job_id, after=0, limit=10))
    assert [key.hex() for _, _, key, _, _ in found] == _hashes("a", "c")


# --- never in two jobs ---------------------------------------------------------------------


def test_open_items_are_unique_by_constraint(store: PeeweeVectorStore) -> None:
    """Whatever the code does, the database refuses a text in two jobs."""
    store.save(chunks_of("a"))
    waiting = look(store)
    assert waiting is not None
    with store.database.transaction() as connection:
        claim(connection, waiting, **new_job())
    with (
        pytest.raises(DatabaseCorruptError, match=r"content_id|batch_items_open"),
        store.database.transaction() as connection,
    ):
        claim(connection, waiting, **new_job())
    assert len(store.stats().open_jobs) == 1


def test_claims_of_two_threads_are_disjoint(store: PeeweeVectorStore) -> None:
    for round_number in range(10):
        texts = [f"{round_number} {n}" for n in range(40)]
        store.save(chunks_of(texts))
        barrier = threading.Barrier(2)

        def flush(barrier: threading.Barrier = barrier) -> list[str]:
            barrier.wait()
            claimed: list[str] = []
            while (job_id := claim_job(store, limits=replace(LIMITS, requests=7))) is not None:
                claimed += carried(store, job_id)
            return claimed

        with ThreadPoolExecutor(2) as threads:
            futures = [threads.submit(flush) for _ in range(2)]
            claimed = [key for future in futures for key in future.result()]
        assert sorted(claimed) == sorted(_hashes(*texts))


def test_claims_of_two_processes_are_disjoint(
    store: PeeweeVectorStore, database_target: Path | str, python: Python
) -> None:
    code = f"""
        from dataclasses import replace
        from semantic_core.store import PeeweeVectorStore
        from support.jobs import LIMITS, carried, claim_job
        store = PeeweeVectorStore({str(database_target)!r})
        say("ready")
        while True:
            hear()
            claimed = []
            while (job_id := claim_job(store, limits=replace(LIMITS, requests=7))) is not None:
                claimed += carried(store, job_id)
            say(" ".join(claimed))
        """
    children = [python(code), python(code)]
    for child in children:
        assert child.hear() == "ready"
    for round_number in range(5):
        texts = [f"{round_number} {n}" for n in range(40)]
        store.save(chunks_of(texts))
        for child in children:
            child.say("go")
        claimed = [key for child in children for key in child.hear().split()]
        assert sorted(claimed) == sorted(_hashes(*texts))
