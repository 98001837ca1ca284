"""Syncing delivers what it has stored, whatever becomes of the provider or the target."""

from pathlib import Path

import pytest

from batch_emulator import FaultRule, Operation, Reply
from semantic_core.domain.errors import ProviderUnavailableError
from support.targets import FileTarget, outbox, source
from support.world import World


def test_what_is_stored_is_delivered_even_while_the_provider_is_away(
    world: World, tmp_path: Path
) -> None:
    target = FileTarget(tmp_path / "target.db")
    world.store.delivery.attach(target, name="one")
    world.save("one", "two")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    assert target.held() == source(world.store)
    assert len(target.held()) == 2
    world.save("another one", "two")
    manager.flush_queue()
    world.store.delete(ids=["c1"])
    world.emulator.add_fault(FaultRule(operation=Operation.GET, effect=Reply(code=500), times=None))
    with pytest.raises(ProviderUnavailableError):
        manager.sync_status()
    assert len(target.held()) == 1
    assert outbox(world.store) == []


def test_a_target_that_is_down_does_not_stop_a_sync(world: World, tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "target.db")
    world.store.delivery.attach(target, name="one")
    target.is_down = True
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    (status,) = manager.get_queue_stats().targets
    assert (status.waiting, status.failed) == (1, 1)
