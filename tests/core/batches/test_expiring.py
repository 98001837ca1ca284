"""What takes too long is shown in time: results about to be removed, jobs that hang."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from batch_emulator import FaultRule, Operation, Reply, StickJob
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import ProviderUnavailableError
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, JobStatus
from semantic_core.providers.facts import LIMITS
from support.world import World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "provider keeps them" in record.getMessage()
    ]


def test_results_that_are_not_stored_are_warned_of_before_they_are_gone(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """C9"""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    rule = world.emulator.add_fault(
        FaultRule(operation=Operation.DOWNLOAD, effect=Reply(code=503), times=None)
    )
    with pytest.raises(ProviderUnavailableError):
        manager.sync_status()
    assert manager.get_queue_stats().expiring_jobs == ()
    assert warnings_of(caplog) == []

    world.clock.advance(25 * HOUR)
    (expiring,) = manager.get_queue_stats().expiring_jobs
    with pytest.raises(ProviderUnavailableError):
        manager.sync_status()
    (said,) = warnings_of(caplog)
    assert expiring.id in said
    assert "25 hours" in said
    assert "48" in said
    assert "503" in said

    world.emulator.remove_fault(rule)
    manager.sync_status()
    assert world.chunk().status is READY
    assert manager.get_queue_stats().expiring_jobs == ()


def test_results_that_are_gone_are_no_longer_warned_of(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """C9: by then the job is held, which says more."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.emulator.jobs()
    world.clock.advance(LIMITS.result_lifetime + HOUR)
    manager.sync_status()
    stats = manager.get_queue_stats()
    assert stats.held_jobs[0].hold_reason is HoldReason.RESULT_EXPIRED
    assert stats.expiring_jobs == ()
    assert warnings_of(caplog) == []


def test_a_job_that_hangs_is_shown_and_neither_lost_nor_sent_again(tmp_path: Path) -> None:
    """C7: stuck for 72 hours, by a provider that does not let it expire."""
    with open_world(tmp_path, job_lifetime=1000 * HOUR) as world:
        rule = world.emulator.add_fault(FaultRule(effect=StickJob()))
        world.save("one")
        manager = world.manager()
        batch_id = manager.flush_queue()
        for hours in range(0, 73, 8):
            assert manager.sync_status() == {batch_id: JobStatus.PROCESSING}
            assert manager.flush_queue() is None
            overdue = [job.id for job in manager.get_queue_stats().overdue_jobs]
            assert overdue == ([batch_id] if hours > 24 else [])
            world.clock.advance(8 * HOUR)
        assert world.chunk().status is PENDING
        assert world.creates() == 1
        world.emulator.remove_fault(rule)
        manager.sync_status()
        assert world.chunk().status is READY
        assert manager.get_queue_stats().overdue_jobs == ()


def test_what_waits_for_a_person_is_not_called_overdue(world: World) -> None:
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.emulator.add_fault(FaultRule(operation=Operation.GET, effect=Reply(code=404), times=None))
    for _ in range(3):
        manager.sync_status()
        world.clock.advance(20 * HOUR)
    stats = manager.get_queue_stats()
    assert [job.hold_reason for job in stats.held_jobs] == [HoldReason.LOST]
    assert stats.overdue_jobs == ()
