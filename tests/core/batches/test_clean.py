"""What an ended job leaves at the provider: removed by its own key, later if not now, never early."""

from __future__ import annotations

import pytest

from batch_emulator import FaultRule, Operation, Reply
from semantic_core.domain.statuses import EmbeddingStatus, JobStep
from support.world import BATCH_KEY, CONFIG, OTHER_KEY, World


def step(world: World) -> JobStep:
    (job,) = world.manager().jobs()
    return job.step


def remote_files(world: World) -> int:
    context = world.manager().context()
    return len(context.provider.staged_files(context.prefix))


@pytest.fixture
def unclean(world: World) -> World:
    """A finished job whose input file could not be removed."""
    rule = world.emulator.add_fault(
        FaultRule(operation=Operation.FILE_DELETE, effect=Reply(code=503), times=None)
    )
    world.save("one")
    world.manager().flush_queue()
    world.manager().sync_status()
    world.emulator.remove_fault(rule)
    assert world.chunk().status is EmbeddingStatus.READY
    assert (step(world), remote_files(world)) == (JobStep.APPLIED, 1)
    return world


def test_what_could_not_be_removed_is_removed_later(unclean: World) -> None:
    """D11, D13"""
    unclean.manager().sync_status()
    assert (step(unclean), remote_files(unclean)) == (JobStep.CLEANED, 0)


def test_another_projects_key_removes_nothing_and_calls_nothing_removed(unclean: World) -> None:
    """D13: it would be told that there is nothing."""
    before = len(unclean.emulator.calls(Operation.FILE_DELETE))
    unclean.manager(batch_key=OTHER_KEY).sync_status()
    assert len(unclean.emulator.calls(Operation.FILE_DELETE)) == before
    assert step(unclean) is JobStep.APPLIED
    unclean.manager(batch_key=BATCH_KEY).sync_status()
    assert (step(unclean), remote_files(unclean)) == (JobStep.CLEANED, 0)


def test_removing_is_given_up_after_some_tries(unclean: World) -> None:
    """D13: the provider removes files by itself after two days."""
    unclean.emulator.add_fault(
        FaultRule(operation=Operation.FILE_DELETE, effect=Reply(code=429), times=None)
    )
    for _ in range(CONFIG.max_cleanup_tries + 3):
        unclean.manager().sync_status()
    assert len(unclean.emulator.calls(Operation.FILE_DELETE)) == CONFIG.max_cleanup_tries
    assert step(unclean) is JobStep.APPLIED
