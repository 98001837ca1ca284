"""Results that are not what was asked for: nothing of nobody's is stored, nothing is paid again."""

from __future__ import annotations

import json

from batch_emulator import Damage, DamageLines, EndJob, FaultRule, Lines, Operation, ReplaceLines
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason
from semantic_core.domain.types import Chunk
from support.chunks import content_hash
from support.world import CONFIG, OTHER_KEY, World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def line_of(key: str, dimensions: int = 768) -> str:
    """Return a good result line that nobody asked for."""
    return json.dumps({"key": key, "response": {"embedding": {"values": [0.5] * dimensions}}})


def test_a_vector_that_nobody_asked_for_is_not_stored(world: World) -> None:
    """C14: its key may be the hash of a text that waits here, and its vector anything."""
    foreign = content_hash("a text that waits", world.store.collection().spec)
    world.emulator.add_fault(
        FaultRule(effect=ReplaceLines(text=line_of(foreign), lines=Lines(containing="two")))
    )
    world.save("one", "two")
    manager = world.manager()
    manager.flush_queue()
    world.store.save([Chunk(id="waiting", text="a text that waits")])
    manager.sync_status()
    assert world.query("SELECT count(*) FROM embeddings") == [(1,)]
    assert world.chunk("waiting").status is PENDING


def test_results_of_nobody_hold_the_job(world: World) -> None:
    """C14: whatever the file is, its texts were billed."""
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_PARTIALLY_SUCCEEDED")))
    world.emulator.add_fault(FaultRule(effect=ReplaceLines(text=line_of("f" * 64))))
    world.save("one", "two")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.BAD_RESULTS
    assert "belongs to a text" in (job.error_message or "")
    assert manager.flush_queue() is None


def test_results_that_looked_wrong_are_fetched_again_later_not_at_once(world: World) -> None:
    """C16"""
    world.emulator.add_fault(FaultRule(effect=DamageLines(damage=Damage.WRONG_DIMENSION)))
    world.save("one", "two", "three")
    manager = world.manager()
    manager.flush_queue()
    for _ in range(3):
        manager.sync_status()
    assert len(world.emulator.calls(Operation.DOWNLOAD)) == 1
    world.clock.advance(CONFIG.refetch_delay + 1)
    manager.sync_status()
    assert len(world.emulator.calls(Operation.DOWNLOAD)) == 2


def test_a_job_that_is_seen_again_is_no_longer_held(tmp_path: object) -> None:
    """B17: the right key is back while the job still runs."""
    with open_world(tmp_path, pending_seconds=3600) as world:  # type: ignore[arg-type]
        world.save("one")
        world.manager().flush_queue()
        world.manager(batch_key=OTHER_KEY).sync_status()
        assert len(world.manager().get_queue_stats().held_jobs) == 1
        world.manager().sync_status()
        assert world.manager().get_queue_stats().held_jobs == ()
        assert world.manager().jobs()[0].error_message is None
