"""One job is worked on by one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from semantic_core.errors import TransitionError
from semantic_core.queue import jobs
from semantic_core.statuses import EmbeddingStatus, JobStatus
from support.world import CONFIG, World, open_world


def hold_lease(world: World, job_id: str) -> None:
    """Do as another process does that works on the job."""
    now = world.clock.now()
    with world.store.database.transaction() as connection:
        assert jobs.take_lease(
            connection, job_id, token="another process", now=now, until=now + CONFIG.lease
        )


def test_a_job_that_another_works_on_is_not_even_asked_about(world: World) -> None:
    """D6: its results would be downloaded twice for nothing."""
    world.save("one")
    manager = world.manager()
    batch_id = manager.flush_queue()
    assert batch_id is not None
    hold_lease(world, batch_id)
    before = len(world.emulator.requests)
    assert manager.sync_status() == {batch_id: JobStatus.SUBMITTED}
    assert len(world.emulator.requests) == before
    assert manager.jobs()[0].error_message is None

    world.clock.advance(CONFIG.lease + 1)
    assert manager.sync_status() == {batch_id: JobStatus.COMPLETED}
    assert world.chunk().status is EmbeddingStatus.READY


def test_a_person_is_told_that_another_works_on_it(tmp_path: Path) -> None:
    with open_world(tmp_path, pending_seconds=3600) as world:
        world.save("one")
        manager = world.manager()
        batch_id = manager.flush_queue()
        assert batch_id is not None
        hold_lease(world, batch_id)
        with pytest.raises(TransitionError, match="right now"):
            manager.cancel(batch_id)
        with pytest.raises(TransitionError, match="right now"):
            manager.release(batch_id, accept_rebilling=True)
        assert manager.jobs()[0].is_open
