"""Leases, and each step of a job's way: guarded, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from semantic_core.domain.errors import BatchNotFoundError, DatabaseCorruptError, TransitionError
from semantic_core.domain.statuses import (
    BudgetUse,
    FailureReason,
    HoldReason,
    ItemState,
    JobStatus,
    JobStep,
)
from semantic_core.queue import jobs
from semantic_core.queue.items import count_states
from semantic_core.queue.jobs import JobRecord
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, content_hash, only
from support.clock import ManualClock
from support.jobs import TOKEN, claim_job, settle
from support.rows import run_sql


@pytest.fixture
def job_id(store: PeeweeVectorStore) -> str:
    """A job at step claimed that carries the text "a"."""
    store.collection(spec=SPEC)
    store.save(chunks_of("a"))
    claimed = claim_job(store)
    assert claimed is not None
    return claimed


def _do(store: PeeweeVectorStore, what: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    with store.database.transaction() as connection:
        return what(connection, *args, **options)


def _row(store: PeeweeVectorStore) -> list[tuple[Any, ...]]:
    return run_sql(store, "SELECT * FROM batch_jobs")


# --- leases --------------------------------------------------------------------------------


def test_living_lease_keeps_others_out(
    store: PeeweeVectorStore, job_id: str, clock: ManualClock
) -> None:
    now = clock.now()
    take = {"token": "other", "until": now + 500}
    assert not _do(store, jobs.take_lease, job_id, now=now + 99, **take)
    assert _do(store, jobs.take_lease, job_id, now=now + 100, **take)
    with pytest.raises(TransitionError, match="taken over"):
        _do(store, jobs.keep_lease, job_id, token=TOKEN, until=now + 1000)


def test_lease_that_was_given_back_is_free(
    store: PeeweeVectorStore, job_id: str, clock: ManualClock
) -> None:
    _do(store, jobs.drop_lease, job_id, token=TOKEN)
    now = clock.now()
    assert _do(store, jobs.take_lease, job_id, token="other", now=now, until=now + 1)


def test_lease_can_only_be_given_back_by_its_holder(
    store: PeeweeVectorStore, job_id: str, clock: ManualClock
) -> None:
    _do(store, jobs.drop_lease, job_id, token="other")
    now = clock.now()
    assert not _do(store, jobs.take_lease, job_id, token="other", now=now, until=now + 1)


def test_lease_is_extended(store: PeeweeVectorStore, job_id: str, clock: ManualClock) -> None:
    now = clock.now()
    _do(store, jobs.keep_lease, job_id, token=TOKEN, until=now + 1000)
    assert not _do(store, jobs.take_lease, job_id, token="other", now=now + 999, until=now + 2000)


def test_unknown_job_has_no_lease(store: PeeweeVectorStore) -> None:
    assert not _do(store, jobs.take_lease, "unknown", token="t", now=0, until=1)
    with pytest.raises(TransitionError):
        _do(store, jobs.keep_lease, "unknown", token="t", until=1)


# --- transitions ---------------------------------------------------------------------------


def _submit(store: PeeweeVectorStore, job_id: str) -> None:
    _do(
        store,
        jobs.move,
        job_id,
        token=TOKEN,
        steps=[JobStep.CLAIMED],
        step=JobStep.SUBMITTED,
        status=JobStatus.SUBMITTED,
        google_job_id="batches/1",
    )


def test_move_changes_the_job_at_an_expected_step(store: PeeweeVectorStore, job_id: str) -> None:
    _submit(store, job_id)
    record = _do(store, JobRecord.read, job_id)
    assert (record.step, record.status) == (JobStep.SUBMITTED, JobStatus.SUBMITTED)
    assert record.google_job_id == "batches/1"


@pytest.mark.parametrize(
    ("token", "steps"),
    [("other", [JobStep.CLAIMED]), (TOKEN, [JobStep.UPLOADED, JobStep.CREATING])],
)
@pytest.mark.parametrize(
    ("what", "options"),
    [
        (jobs.move, {"step": JobStep.UPLOADED}),
        (jobs.move, {"hold_reason": HoldReason.LOST, "error_message": "lost"}),
        (jobs.fail_job, {"reason": FailureReason.REFUSED, "error": "refused"}),
    ],
)
def test_wrong_lease_or_step_changes_nothing(
    store: PeeweeVectorStore,
    job_id: str,
    *,
    what: Callable[..., Any],
    options: dict[str, Any],
    token: str,
    steps: list[JobStep],
) -> None:
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    before = _row(store)
    with pytest.raises(TransitionError, match=job_id) as raised:
        _do(store, what, job_id, token=token, steps=steps, **options)
    assert raised.value.batch_id == job_id
    assert _row(store) == before


def _fail(store: PeeweeVectorStore, job_id: str, **options: Any) -> None:
    defaults = {"token": TOKEN, "steps": [JobStep.CLAIMED]}
    _do(
        store,
        jobs.fail_job,
        job_id,
        reason=FailureReason.ABANDONED,
        error="stopped",
        **{**defaults, **options},
    )


def test_job_that_carries_texts_cannot_end(store: PeeweeVectorStore, job_id: str) -> None:
    with pytest.raises(TransitionError, match="still carries"):
        _fail(store, job_id)
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    _fail(store, job_id)
    job = _do(store, JobRecord.read, job_id)
    assert (job.status, job.failure_reason) == (JobStatus.FAILED, FailureReason.ABANDONED)
    assert (job.error_message, job.is_open) == ("stopped", False)


def test_ended_job_is_never_reopened(store: PeeweeVectorStore, job_id: str) -> None:
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    _fail(store, job_id)
    before = _row(store)
    with pytest.raises(TransitionError):
        _submit(store, job_id)
    with pytest.raises(TransitionError):
        _fail(store, job_id)
    assert _row(store) == before


def test_held_job_keeps_its_claims_and_can_go_on(store: PeeweeVectorStore, job_id: str) -> None:
    _submit(store, job_id)
    steps = [JobStep.SUBMITTED]
    hold = {
        "token": TOKEN,
        "steps": steps,
        "hold_reason": HoldReason.LOST,
        "error_message": "not listed",
    }
    _do(store, jobs.move, job_id, **hold)
    (held,) = store.stats().held_jobs
    assert (held.hold_reason, held.error_message, held.is_open) == (
        HoldReason.LOST,
        "not listed",
        True,
    )
    assert only(store, "a").batch_job_id == job_id
    assert claim_job(store) is None
    _do(store, jobs.move, job_id, token=TOKEN, steps=steps, hold_reason=None)
    assert store.stats().held_jobs == ()


def test_failing_a_held_job_ends_the_hold(store: PeeweeVectorStore, job_id: str) -> None:
    _submit(store, job_id)
    steps = [JobStep.SUBMITTED]
    hold = {"token": TOKEN, "steps": steps, "hold_reason": HoldReason.LOST, "error_message": "lost"}
    _do(store, jobs.move, job_id, **hold)
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    _fail(store, job_id, steps=steps)
    assert _do(store, JobRecord.read, job_id).hold_reason is None


@pytest.mark.parametrize(
    "values",
    [
        {"status": "LOST"},
        {"step": "sent"},
        {"status": "FAILED"},
        {"failure_reason": FailureReason.CANCELLED},
        {"status": "FAILED", "failure_reason": "cancelled", "hold_reason": "lost"},
        {"status": "SUBMITTED"},
        {"status": "COMPLETED", "google_job_id": "batches/1"},
        {"step": "applied"},
    ],
)
def test_database_refuses_states_that_cannot_be(
    store: PeeweeVectorStore, job_id: str, values: dict[str, Any]
) -> None:
    with pytest.raises(DatabaseCorruptError, match=r"CHECK|check constraint"):
        _do(store, jobs.move, job_id, token=TOKEN, steps=[JobStep.CLAIMED], **values)


def test_two_jobs_never_share_a_remote_one(store: PeeweeVectorStore, job_id: str) -> None:
    _submit(store, job_id)
    store.save(chunks_of("b"))
    other = claim_job(store)
    assert other is not None
    with pytest.raises(DatabaseCorruptError, match="google_job_id"):
        _submit(store, other)


# --- reading -------------------------------------------------------------------------------


def test_unknown_job_is_an_error_that_names_it(store: PeeweeVectorStore) -> None:
    with pytest.raises(BatchNotFoundError, match="'nope'") as raised:
        _do(store, JobRecord.read, "nope")
    assert raised.value.batch_id == "nope"


def test_jobs_are_listed_oldest_first(
    store: PeeweeVectorStore, job_id: str, clock: ManualClock
) -> None:
    clock.advance(1)
    store.save(chunks_of("b"))
    second = claim_job(store)
    assert [job.id for job in _do(store, jobs.list_jobs)] == [job_id, second]
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    _fail(store, job_id)
    assert [job.id for job in _do(store, jobs.list_jobs, only_open=True)] == [second]


def test_jobs_at_the_provider_are_counted_without_held_and_ended_ones(
    store: PeeweeVectorStore, job_id: str
) -> None:
    assert _do(store, jobs.count_at_provider) == 1
    _submit(store, job_id)
    hold = {
        "token": TOKEN,
        "steps": [JobStep.SUBMITTED],
        "hold_reason": HoldReason.LOST,
        "error_message": "e",
    }
    _do(store, jobs.move, job_id, **hold)
    assert _do(store, jobs.count_at_provider) == 0


# --- cleaning ------------------------------------------------------------------------------


def test_ended_jobs_with_remote_files_are_cleaned_once(
    store: PeeweeVectorStore, job_id: str
) -> None:
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    _do(store, jobs.move, job_id, token=TOKEN, steps=[JobStep.CLAIMED], input_file="files/a")
    assert _do(store, jobs.jobs_to_clean, most_tries=3) == []
    for is_clean in (True, False):
        _do(store, jobs.mark_cleaned, job_id, now=1.0, is_clean=is_clean)
    _fail(store, job_id)
    assert _do(store, jobs.jobs_to_clean, most_tries=3) == [job_id]
    for _ in range(2):
        _do(store, jobs.mark_cleaned, job_id, now=1.0, is_clean=False)
    assert _do(store, jobs.jobs_to_clean, most_tries=3) == [job_id]
    assert _do(store, jobs.jobs_to_clean, most_tries=2) == []
    _do(store, jobs.mark_cleaned, job_id, now=2.0, is_clean=True)
    _do(store, jobs.mark_cleaned, job_id, now=3.0, is_clean=True)
    assert _do(store, jobs.jobs_to_clean, most_tries=3) == []
    (row,) = run_sql(store, "SELECT cleaned_at, step FROM batch_jobs")
    assert row == (2.0, "claimed")


def test_cleaning_a_completed_job_is_its_last_step(store: PeeweeVectorStore, job_id: str) -> None:
    _submit(store, job_id)
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    done = {"step": JobStep.APPLIED, "status": JobStatus.COMPLETED, "input_file": "files/a"}
    _do(store, jobs.move, job_id, token=TOKEN, steps=[JobStep.SUBMITTED], **done)
    _do(store, jobs.mark_cleaned, job_id, now=2.0, is_clean=True)
    assert _do(store, JobRecord.read, job_id).step is JobStep.CLEANED


@pytest.mark.parametrize(("use", "kept"), [(BudgetUse.NOTHING, 0), (BudgetUse.ATTEMPT, 1)])
def test_a_clean_job_forgets_its_texts_but_for_used_tries(
    store: PeeweeVectorStore, job_id: str, use: BudgetUse, kept: int
) -> None:
    _submit(store, job_id)
    settle(store, job_id, [content_hash("a")], use)
    _fail(store, job_id, steps=[JobStep.SUBMITTED])
    _do(store, jobs.mark_cleaned, job_id, now=1.0, is_clean=False)
    assert _do(store, count_states, job_id) == {ItemState.FAILED: 1}
    _do(store, jobs.mark_cleaned, job_id, now=2.0, is_clean=True)
    assert sum(_do(store, count_states, job_id).values()) == kept


def test_a_job_that_may_be_listed_late_knows_its_texts(
    store: PeeweeVectorStore, job_id: str
) -> None:
    settle(store, job_id, [content_hash("a")], BudgetUse.NOTHING)
    _fail(store, job_id)
    _do(store, jobs.mark_cleaned, job_id, now=1.0, is_clean=True)
    assert _do(store, count_states, job_id) == {ItemState.FAILED: 1}
