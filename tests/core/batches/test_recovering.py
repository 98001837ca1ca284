"""A create call whose outcome nobody knows: found by its name, or surely never there."""

from __future__ import annotations

import pytest

from semantic_core.batches import BatchManager
from semantic_core.emulator import Drop, EndJob, FaultRule, Operation
from semantic_core.errors import SubmissionUncertainError
from semantic_core.gemini import EmbeddingRequest
from semantic_core.queue import jobs
from semantic_core.spec import EmbeddingSpec
from semantic_core.statuses import EmbeddingStatus, JobStatus
from support.chunks import content_hash
from support.world import CONFIG, World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def uncertain(world: World, *, arrives: bool) -> BatchManager:
    """Flush one text so that the answer to the create call is lost."""
    world.save("one")
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop(after=arrives)))
    manager = world.manager()
    with pytest.raises(SubmissionUncertainError):
        manager.flush_queue()
    return manager


def create_again(world: World, manager: BatchManager) -> None:
    """Do what this library never does: create a second job under the same name."""
    (job,) = manager.jobs()
    world.clock.advance(1)
    manager.context().client.create_embedding_job(
        [EmbeddingRequest(key=content_hash("one", EmbeddingSpec()), text="one")],
        spec=EmbeddingSpec(),
        display_name=job.display_name,
        spool=world.folder / "again.jsonl",
    )


def remote_names(world: World) -> list[str]:
    return [job.name for job in sorted(world.emulator.jobs(), key=lambda job: job.created_at)]


def test_of_two_jobs_under_one_name_the_older_is_taken_and_the_other_cancelled(
    world: World,
) -> None:
    """B8"""
    manager = uncertain(world, arrives=True)
    create_again(world, manager)
    older, newer = remote_names(world)
    manager.sync_status()
    assert manager.jobs()[0].google_job_id == older
    (cancel,) = world.emulator.calls(Operation.CANCEL)
    assert newer in cancel.path
    assert world.chunk().status is READY


def test_of_two_jobs_under_one_name_a_failed_one_is_not_taken(world: World) -> None:
    """B8"""
    manager = uncertain(world, arrives=True)
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    world.emulator.jobs()
    create_again(world, manager)
    _, newer = remote_names(world)
    manager.sync_status()
    assert manager.jobs()[0].google_job_id == newer
    assert world.chunk().status is READY


def test_a_clock_that_was_set_back_does_not_stop_the_recovery(world: World) -> None:
    """C25: the first empty listing lies in the future then."""
    manager = uncertain(world, arrives=False)
    manager.sync_status()
    world.clock.advance(-86_400)
    manager.sync_status()
    assert world.chunk().batch_job_id is not None
    world.clock.advance(CONFIG.listing_grace + 1)
    assert set(manager.sync_status().values()) == {JobStatus.FAILED}
    assert manager.flush_queue() is not None
    assert world.creates() == 1


def test_a_clock_that_was_set_back_does_not_lose_a_job(world: World) -> None:
    """C25: two listings that lacked a submitted job must lie apart in time that really passed."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.emulator.delete_job(str(manager.jobs()[0].google_job_id))
    manager.sync_status()
    world.clock.advance(-86_400)
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs == ()
    world.clock.advance(CONFIG.listing_grace + 1)
    manager.sync_status()
    assert len(manager.get_queue_stats().held_jobs) == 1


def test_a_clock_that_jumps_ahead_shortens_no_claim(world: World) -> None:
    """C25: no claim that may have been sent ends by the local clock alone."""
    manager = uncertain(world, arrives=True)
    world.clock.advance(365 * 86_400)
    with world.store.database.snapshot() as connection:
        (job,) = jobs.list_jobs(connection, only_open=True)
    assert job.step == "creating"
    assert manager.flush_queue() is None
    assert world.creates() == 1
