"""How the tests of batching get to where something can go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from batch_emulator import Drop, FaultRule, Operation
from semantic_core.batches import BatchManager
from semantic_core.domain.errors import SubmissionUncertainError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.store import PeeweeVectorStore
from support.world import World


@contextmanager
def armed(point: FailPoint, action: Callable[[], object]) -> Iterator[None]:
    """Do something whenever the block passes this point."""
    arm(point, action)
    try:
        yield
    finally:
        disarm()


def interrupt() -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


def flushed(world: World, *texts: str) -> BatchManager:
    """Send these texts in one job."""
    world.save(*texts)
    manager = world.manager()
    assert manager.flush_queue() is not None
    return manager


def uncertain(world: World, *texts: str, arrives: bool) -> BatchManager:
    """Send texts in a job of which nobody knows whether it was created: its answer is lost."""
    world.save(*texts)
    manager = world.manager()
    lose_answer(world, manager, arrives=arrives)
    return manager


def lose_answer(world: World, manager: BatchManager, *, arrives: bool) -> None:
    """Flush what waits; the call arrives or not, and its answer never does."""
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Drop(after=arrives)))
    with pytest.raises(SubmissionUncertainError):
        manager.flush_queue()


@contextmanager
def copied(world: World) -> Iterator[PeeweeVectorStore]:
    """Give a copy of the database as it is now, to be used as if it was restored later."""
    with PeeweeVectorStore(world.backup(), clock=world.clock) as store:
        yield store
