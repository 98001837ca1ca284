"""Sending a job: claimed first, created once, released only where it surely was not created."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from batch_emulator import Drop, FaultRule, Garbage, HideJob, Operation, Reply
from semantic_core.batches import BatchManager
from semantic_core.database import Database
from semantic_core.database.postgres.database import PostgresDatabase
from semantic_core.domain.errors import (
    AuthError,
    MissingBatchKeyError,
    NotBatchableError,
    ProviderUnavailableError,
    RateLimitError,
    RemoteNotFoundError,
    RequestRefusedError,
    SubmissionUncertainError,
    TransitionError,
)
from semantic_core.domain.failpoints import FailPoint, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, FailureReason, JobStatus, JobStep
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.store import PeeweeVectorStore
from support.keys import canary
from support.setups import armed, interrupt, uncertain
from support.world import CONFIG, World

PENDING = EmbeddingStatus.PENDING


def test_flush_sends_every_distinct_text_once(world: World) -> None:
    world.save("one", "two", "one")
    batch_id = world.manager().flush_queue()

    (job,) = world.manager().jobs()
    assert job.id == batch_id
    assert (job.status, job.step, job.request_count) == (JobStatus.SUBMITTED, JobStep.SUBMITTED, 2)
    assert job.google_job_id is not None
    assert world.manager().get_queue_stats().in_flight == 3
    assert set(world.emulator.ledger.submitted().values()) == {1}


def test_flush_of_an_empty_queue_sends_nothing(world: World) -> None:
    assert world.manager().flush_queue() is None
    assert world.emulator.requests == []


def test_min_size_counts_distinct_texts_and_force_overrides_it(world: World) -> None:
    world.save("one", "one", "two")
    assert world.manager().flush_queue(min_size=3) is None
    assert {request.method for request in world.emulator.requests} <= {"GET"}
    assert world.manager().flush_queue(min_size=3, force=True) is not None


def test_a_full_job_is_enough_whatever_min_size_says(world: World) -> None:
    world.save("one", "two", "three")
    config = dataclasses.replace(CONFIG, max_requests=2)
    assert world.manager(config=config).flush_queue(min_size=1000) is not None
    assert world.manager(config=config).flush_queue(min_size=1000) is None


def test_drain_sends_jobs_until_nothing_is_left(world: World) -> None:
    world.save(*[f"text {number}" for number in range(5)])
    sent = world.manager(config=dataclasses.replace(CONFIG, max_requests=2)).drain_queue()
    assert sorted(job.request_count for job in world.manager().jobs()) == [1, 2, 2]
    assert len(sent) == 3


def test_no_batch_key_claims_nothing(world: World) -> None:
    world.save("one")
    manager = BatchManager(GoogleKeyring(default_key=canary("only-a-default")), world.store)
    with pytest.raises(MissingBatchKeyError, match="GEMINI_BATCH_API_KEY"):
        manager.flush_queue()
    assert manager.jobs() == []
    assert world.chunk().batch_job_id is None


def test_an_external_collection_cannot_be_flushed(world: World) -> None:
    world.store.collection("foreign", EmbeddingSpec.external("other", 3))
    with pytest.raises(NotBatchableError, match="other"):
        world.manager(collection="foreign").flush_queue()


def test_only_the_named_collection_is_sent(world: World) -> None:
    world.save("one")
    world.store.save([Chunk(id="x", text="two")], collection="side")
    world.manager(collection="side").flush_queue()
    assert world.chunk().batch_job_id is None
    assert world.store.get(["x"], collection="side")[0].batch_job_id is not None


@pytest.mark.parametrize(
    ("code", "error"), [(400, RequestRefusedError), (401, AuthError), (403, AuthError)]
)
def test_a_definite_refusal_releases_the_claim(
    world: World, code: int, error: type[Exception]
) -> None:
    """B9, B10"""
    world.save("one")
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=code)))
    with pytest.raises(error):
        world.manager().flush_queue()

    (job,) = world.manager().jobs()
    assert (job.status, job.failure_reason) == (JobStatus.FAILED, FailureReason.REFUSED)
    chunk = world.chunk()
    assert (chunk.status, chunk.batch_job_id) == (PENDING, None)
    assert world.creates() == 0
    assert world.manager().flush_queue() is not None


def test_a_429_releases_the_claim_and_waits_as_long_as_asked(world: World) -> None:
    """B11"""
    world.save("one")
    world.emulator.add_fault(
        FaultRule(operation=Operation.CREATE, effect=Reply(code=429, retry_delay=300))
    )
    with pytest.raises(RateLimitError) as raised:
        world.manager().flush_queue()
    assert raised.value.retry_after == 300

    (passed,) = world.manager().get_queue_stats().passed_over
    assert passed.why == str(raised.value)
    world.save("one", "a text that came later")
    assert world.manager().flush_queue() is None
    assert len(world.emulator.calls(Operation.CREATE)) == 1
    world.clock.advance(301)
    assert world.manager().flush_queue() is not None
    assert world.creates() == 1


def test_a_mistyped_model_keeps_no_other_collection_from_being_sent(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.collection("typo", EmbeddingSpec(model="gemini-embeding-001"))
    world.store.save([Chunk(id="first", text="one")], collection="typo")
    world.save("two")
    manager = world.manager()
    assert manager.flush_queue() is not None
    assert "gemini-embeding-001" in caplog.text
    assert world.chunk().batch_job_id is not None
    assert manager.flush_queue() is None
    world.clock.advance(CONFIG.rate_limit_delay + 1)
    with pytest.raises(RemoteNotFoundError):
        manager.flush_queue()


def test_drain_ends_at_a_429_without_an_error_and_says_so(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.save("one", "two")
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=429), skip=1))
    sent = world.manager(config=dataclasses.replace(CONFIG, max_requests=1)).drain_queue()
    assert len(sent) == 1
    assert "Stopped after 1 job: " in caplog.text
    assert world.manager().get_queue_stats().waiting == 1


@pytest.mark.parametrize(
    "effect", [Drop(after=True), Reply(code=503, after=True), Garbage()], ids=repr
)
def test_an_accepted_create_without_a_usable_answer_is_adopted(
    world: World, effect: Drop | Reply | Garbage
) -> None:
    """B4, B5, B12, B13"""
    world.save("one")
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=effect))
    with pytest.raises(SubmissionUncertainError) as raised:
        world.manager().flush_queue()

    chunk = world.chunk()
    assert (chunk.status, chunk.batch_job_id) == (PENDING, raised.value.batch_id)
    assert world.manager().flush_queue() is None
    world.manager().sync_status()
    assert world.chunk().status is EmbeddingStatus.READY
    assert world.creates() == 1


def test_a_create_that_never_arrived_is_released_after_three_listings_apart(world: World) -> None:
    """B6"""
    world.save("one")
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop()))
    manager = world.manager()
    with pytest.raises(SubmissionUncertainError) as raised:
        manager.flush_queue()
    batch_id = raised.value.batch_id

    assert manager.sync_status() == {batch_id: JobStatus.CREATED}
    world.clock.advance(CONFIG.listing_grace - 1)
    assert manager.sync_status() == {batch_id: JobStatus.CREATED}
    assert world.chunk().batch_job_id == batch_id
    world.clock.advance(2)
    assert manager.sync_status() == {batch_id: JobStatus.FAILED}
    assert manager.jobs()[0].failure_reason is FailureReason.NEVER_CREATED
    assert manager.flush_queue() is not None
    assert world.creates() == 1


def test_a_job_that_is_listed_late_is_still_adopted(world: World) -> None:
    """B7"""
    world.emulator.add_fault(FaultRule(effect=HideJob(seconds=600)))
    manager = uncertain(world, "one", arrives=True)
    manager.sync_status()
    world.clock.advance(601)
    manager.sync_status()
    assert world.chunk().status is EmbeddingStatus.READY
    assert world.creates() == 1


def test_a_listing_that_fails_decides_nothing(world: World) -> None:
    """B8"""
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    world.clock.advance(CONFIG.listing_grace + 1)
    world.emulator.add_fault(
        FaultRule(operation=Operation.LIST, effect=Reply(code=503), times=None)
    )
    with pytest.raises(ProviderUnavailableError):
        manager.sync_status()
    assert world.chunk().batch_job_id is not None
    assert "503" in (manager.jobs()[0].error_message or "")


def test_an_interrupt_in_the_create_call_keeps_the_claim(world: World) -> None:
    """B15"""
    world.save("one")
    with armed(FailPoint.CREATE_ANSWERED, interrupt), pytest.raises(KeyboardInterrupt):
        world.manager().flush_queue()
    assert world.chunk().batch_job_id is not None
    world.manager().sync_status()
    assert world.chunk().status is EmbeddingStatus.READY
    assert world.creates() == 1


def test_an_interrupt_before_the_create_call_releases_the_claim(world: World) -> None:
    world.save("one")
    world.emulator.add_fault(
        FaultRule(operation=Operation.UPLOAD_START, effect=Reply(code=400), times=None)
    )
    with pytest.raises(RequestRefusedError):
        world.manager().flush_queue()
    assert world.chunk().batch_job_id is None
    assert world.manager().jobs()[0].failure_reason is FailureReason.ABANDONED
    world.emulator.clear_faults()
    assert world.manager().flush_queue() is not None


@pytest.mark.parametrize(
    "point",
    [
        FailPoint.CLAIM_COMMITTED,
        FailPoint.SPOOL_WRITTEN,
        FailPoint.UPLOAD_DONE,
        FailPoint.UPLOAD_RECORDED,
        FailPoint.CREATE_INTENDED,
    ],
)
def test_a_zombie_that_lost_its_lease_does_not_create(world: World, point: FailPoint) -> None:
    """A4: asleep for so long that its job was given up and its texts went with another one."""
    world.save("one")
    # Where the input file is removed in time, the provider itself refuses the second create.
    world.emulator.add_fault(
        FaultRule(operation=Operation.FILE_DELETE, effect=Reply(code=503), times=None)
    )

    def sleep_through_everything() -> None:
        disarm()
        other = world.manager()
        for pause in (CONFIG.lease, CONFIG.listing_grace):
            world.clock.advance(pause + 1)
            other.sync_status()
        assert other.flush_queue() is not None

    with (
        armed(point, sleep_through_everything),
        pytest.raises(TransitionError, match=r"taken over|took the job over"),
    ):
        world.manager().flush_queue()
    assert world.creates() == 1
    world.manager().sync_status()
    assert world.chunk().status is EmbeddingStatus.READY
    assert not world.emulator.ledger.overbilled()


def test_two_flushers_that_find_the_same_dead_job_both_go_on(world: World) -> None:
    """A2, A3: the second one finds that it was released meanwhile."""
    world.save("one")
    with armed(FailPoint.UPLOAD_RECORDED, interrupt), pytest.raises(KeyboardInterrupt):
        world.manager().flush_queue()

    def let_another_go_first() -> None:
        disarm()
        assert world.manager().flush_queue() is not None

    with armed(FailPoint.LEFT_LISTED, let_another_go_first):
        assert world.manager().flush_queue() is None
    assert world.creates() == 1


def test_a_zombie_among_the_dead_jobs_goes_on(world: World) -> None:
    """A2: it took the lease of a dead job, slept, and another process released the job."""
    world.save("one")
    with armed(FailPoint.UPLOAD_RECORDED, interrupt), pytest.raises(KeyboardInterrupt):
        world.manager().flush_queue()

    def sleep_through_the_lease() -> None:
        disarm()
        world.clock.advance(CONFIG.lease + 1)
        assert world.manager().flush_queue() is not None

    with armed(FailPoint.LEASE_TAKEN, sleep_through_the_lease):
        assert world.manager().flush_queue() is None
    assert world.creates() == 1


def test_a_job_id_that_cannot_be_stored_is_told_and_found_again(world: World) -> None:
    """B14: the database is locked at just that moment."""
    world.save("one")
    with (
        _lockable_store(world) as (store, lock),
        armed(FailPoint.CREATE_ANSWERED, lock),
        pytest.raises(SubmissionUncertainError, match="created as batches/") as raised,
    ):
        world.manager(store=store).flush_queue()
    world.clock.advance(CONFIG.lease + 1)
    assert world.manager().sync_status() == {raised.value.batch_id: JobStatus.COMPLETED}
    assert world.creates() == 1


def test_an_interrupt_stays_one_where_the_claim_cannot_be_released(world: World) -> None:
    """B15: what fails while cleaning up must not hide why it was cleaned up."""
    world.save("one")
    with _lockable_store(world) as (store, lock):

        def lock_and_interrupt() -> None:
            lock()
            raise KeyboardInterrupt

        with armed(FailPoint.SPOOL_WRITTEN, lock_and_interrupt), pytest.raises(KeyboardInterrupt):
            world.manager(store=store).flush_queue()
    world.clock.advance(CONFIG.lease + 1)
    assert world.manager().flush_queue() is not None
    assert world.creates() == 1


def test_texts_deleted_before_the_upload_are_not_sent(world: World) -> None:
    world.save("one", "two")
    with armed(FailPoint.CLAIM_COMMITTED, lambda: world.store.delete(ids=["c0"]) and None):
        world.manager().flush_queue()
    assert world.manager().jobs()[0].request_count == 1
    world.manager().sync_status()
    assert world.statuses() == {"c1": EmbeddingStatus.READY}
    assert world.emulator.ledger.times_billed("one") == 0


def test_no_temporary_file_is_left(world: World) -> None:
    world.save("one")
    world.manager().flush_queue()
    world.manager().sync_status()
    assert {path.suffix for path in world.folder.iterdir() if path.is_dir()} == set()


def test_files_of_a_killed_process_are_gone_before_its_job_ends(world: World) -> None:
    """Killed twice: while uploading, and then while that was recovered from."""
    world.save("one")
    with pytest.raises(KeyboardInterrupt), armed(FailPoint.UPLOAD_RECORDED, interrupt):
        world.manager().flush_queue()
    left = (
        Path(f"{world.store.database.path}-batches")
        / f"{world.manager().jobs()[0].id}.left"
        / "requests"
    )
    left.parent.mkdir(parents=True)
    left.write_text("a user's text")
    with pytest.raises(KeyboardInterrupt), armed(FailPoint.END_RECORDED, interrupt):
        world.manager().flush_queue()
    assert not left.parent.parent.exists()


def test_the_limit_of_open_jobs_waits_instead_of_failing(world: World) -> None:
    world.save("one", "two")
    config = dataclasses.replace(CONFIG, max_open_jobs=1, max_requests=1)
    manager = world.manager(config=config)
    assert manager.flush_queue() is not None
    assert manager.flush_queue() is None
    manager.sync_status()
    assert manager.flush_queue() is not None


@contextmanager
def _lockable_store(world: World) -> Iterator[tuple[PeeweeVectorStore, Callable[[], None]]]:
    """A store that does not wait for locks, and what locks its database until the end."""
    blocker = world.store.database.transaction()
    locked = []

    def lock() -> None:
        locked.append(blocker.__enter__())

    with _impatient(world) as store:
        try:
            yield store, lock
        finally:
            if locked:
                blocker.__exit__(None, None, None)


def _impatient(world: World) -> PeeweeVectorStore:
    if isinstance(world.target, str):
        database: Any = PostgresDatabase(world.target, patience=0.05)
    else:
        database = Database(world.target, busy_timeout=0.05)
    return PeeweeVectorStore(database, clock=world.clock)
