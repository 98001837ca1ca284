"""Jobs of another provider in the same database: this one neither asks nor removes anything."""

from __future__ import annotations

import pytest

from batch_emulator import FaultRule, Operation, Reply
from semantic_core import JobStatus, TransitionError
from support.setups import uncertain
from support.world import World


@pytest.fixture
def batch_id(world: World) -> str:
    """A job that was sent."""
    world.save("one")
    batch_id = world.manager().flush_queue()
    assert batch_id is not None
    assert world.query("SELECT provider FROM batch_jobs") == [("gemini",)]
    return batch_id


def give(world: World, provider: str) -> None:
    with world.store.database.transaction() as connection:
        connection.execute("UPDATE batch_jobs SET provider = ?", (provider,))


def test_it_is_not_polled_and_not_cancelled(world: World, batch_id: str) -> None:
    give(world, "other")
    before = len(world.emulator.calls(Operation.GET))
    assert world.manager().sync_status() == {batch_id: JobStatus.SUBMITTED}
    with pytest.raises(TransitionError, match=r"was sent to 'other'.*client of that provider"):
        world.manager().cancel(batch_id)
    assert len(world.emulator.calls(Operation.GET)) == before
    assert world.emulator.calls(Operation.CANCEL) == []
    give(world, "gemini")
    assert world.manager().sync_status() == {batch_id: JobStatus.COMPLETED}


def test_a_person_can_give_it_up(world: World, batch_id: str) -> None:
    give(world, "other")
    world.manager().release(batch_id, accept_rebilling=True)
    assert world.store.stats().waiting == 1


def test_its_files_stay(world: World, batch_id: str) -> None:
    rule = world.emulator.add_fault(
        FaultRule(operation=Operation.FILE_DELETE, effect=Reply(code=503), times=None)
    )
    assert world.manager().sync_status() == {batch_id: JobStatus.COMPLETED}
    world.emulator.remove_fault(rule)
    before = len(world.emulator.calls(Operation.FILE_DELETE))
    give(world, "other")
    world.manager().sync_status()
    assert len(world.emulator.calls(Operation.FILE_DELETE)) == before


def test_nothing_is_decided_about_one_that_may_not_have_arrived(world: World) -> None:
    uncertain(world, "one", arrives=False)
    give(world, "other")
    world.clock.advance(10_000)
    for _ in range(5):
        world.manager().sync_status()
        world.clock.advance(10_000)
    assert world.query("SELECT status, step FROM batch_jobs") == [("CREATED", "creating")]
    give(world, "gemini")
    for _ in range(3):
        world.manager().sync_status()
        world.clock.advance(10_000)
    assert world.query("SELECT status FROM batch_jobs") == [("FAILED",)]
