"""What changes here while a job is at the provider, and results that are applied bit by bit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_emulator import Operation
from semantic_core.domain.failpoints import FailPoint
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.invariants import check_invariants, check_provider, check_vectors
from support.setups import armed
from support.world import World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def test_a_deleted_id_that_comes_back_with_another_text_waits_for_its_own(world: World) -> None:
    """D9: the arriving vector belongs to a text, not to a name or a place."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.store.delete(ids=["c0"])
    world.save("another")
    manager.sync_status()
    assert world.chunk().status is PENDING
    assert world.store.vectors(["c0"]) == {}
    manager.flush_queue()
    manager.sync_status()
    assert world.chunk().status is READY
    check_vectors(world.store, ["one", "another"], EmbeddingSpec())


def test_new_metadata_does_not_keep_a_vector_away(world: World) -> None:
    """D10"""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.store.save([Chunk(id="c0", text="one", metadata={"lang": "en"})])
    manager.sync_status()
    assert world.chunk().status is READY
    assert world.chunk().metadata == {"lang": "en"}
    assert world.creates() == 1


def test_results_stay_in_the_space_they_were_asked_for(world: World) -> None:
    """D15: the same text in another size is another vector, and another bill."""
    small = EmbeddingSpec(dimensions=256)
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.store.collection("small", small)
    world.store.save([Chunk(id="x", text="one")], collection="small")
    manager.sync_status()
    assert world.chunk().status is READY
    assert world.store.get(["x"], collection="small")[0].status is PENDING
    manager.flush_queue()
    manager.sync_status()
    assert world.store.get(["x"], collection="small")[0].status is READY
    assert {len(vector) for vector in world.store.vectors(["x"], collection="small").values()} == {
        256
    }
    assert sorted(key.dimensions for key in world.emulator.ledger.billed()) == [256, 768]


def test_two_copies_of_a_database_do_not_pay_for_the_same_text(tmp_path: Path) -> None:
    """E15: each finds the other's job, whose texts it does not know, and waits for its end."""
    with open_world(tmp_path, pending_seconds=60) as world:
        world.save("one")
        world.store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(world.path, tmp_path / "copy.db")
        assert world.manager().flush_queue() is not None
        with PeeweeVectorStore(tmp_path / "copy.db", clock=world.clock) as copy:
            copy.save([Chunk(id="own", text="two")])
            manager = world.manager(store=copy)
            assert manager.flush_queue() is None
            world.clock.advance(61)
            assert manager.flush_queue() is not None
            world.clock.advance(61)
            manager.sync_status()
            assert {chunk.status for chunk in copy.chunks()} == {READY}
            check_invariants(copy)
        world.manager().sync_status()
        assert world.chunk().status is READY
        assert sorted(world.emulator.ledger.billed().values()) == [1, 1]


@pytest.fixture(scope="module")
def many() -> list[str]:
    """More texts than two transactions hold."""
    return [f"text number {number}" for number in range(2100)]


def test_results_are_applied_page_by_page_however_often_it_is_interrupted(
    world: World, many: list[str]
) -> None:
    """D1: killed within and after each page."""
    spec = EmbeddingSpec(dimensions=8)
    world.store.collection(spec=spec)
    world.save(*many)
    manager = world.manager()
    manager.flush_queue()
    ready = []
    for page in (1, 2, 3):
        for point in (FailPoint.APPLY_PAGE_WRITTEN, FailPoint.APPLY_PAGE_COMMITTED):
            with armed(point, _interrupt_at(page)), pytest.raises(KeyboardInterrupt):
                manager.sync_status()
            check_invariants(world.store)
            ready.append(world.store.stats().ready)
    assert ready == [0, 1000, 1000, 2000, 2000, 2100]
    assert world.emulator.calls(Operation.FILE_DELETE) == []
    manager.sync_status()
    check_invariants(world.store)
    check_provider(world.emulator, world.store)
    check_vectors(world.store, many, spec)
    (job,) = manager.jobs()
    assert (job.done_count, job.failed_count) == (2100, 0)
    assert job.token_count == world.emulator.ledger.tokens()


def _interrupt_at(passing: int) -> Callable[[], None]:
    passed = 0

    def pass_by() -> None:
        nonlocal passed
        passed += 1
        if passed == passing:
            raise KeyboardInterrupt

    return pass_by
