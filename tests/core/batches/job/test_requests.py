"""An input file is cut where the provider's limit is, by the bytes that are really written."""

from __future__ import annotations

import dataclasses

import pytest

from batch_emulator import FaultRule, Operation, Reply
from semantic_core.batches import BatchConfig
from semantic_core.domain.errors import ConfigurationError, RequestRefusedError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, FailureReason
from semantic_core.domain.types import Chunk
from semantic_core.providers.facts import LIMITS
from semantic_core.providers.gemini.requests import request_encoder
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.queue.budget import RetryBudget
from support.world import CONFIG, World

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED

KIB = dataclasses.replace(CONFIG, max_file_bytes=1024)


def line_size(text: str) -> int:
    return len(request_encoder(EmbeddingSpec())(EmbeddingRequest(key="0" * 64, text=text)))


def test_a_job_is_split_at_the_limit_by_measured_bytes(world: World) -> None:
    """A15"""
    # As text they have 200 bytes, as JSON each of them six times that.
    texts = [f"{number}" + "\x01" * 80 for number in range(6)]
    world.save(*texts)
    most = 2 * line_size(texts[0])
    manager = world.manager(config=dataclasses.replace(CONFIG, max_file_bytes=most))
    assert len(manager.drain_queue()) == 3
    assert [job.request_count for job in manager.jobs()] == [2, 2, 2]
    sizes = world.query("SELECT byte_count FROM batch_jobs")
    assert {size for (size,) in sizes} == {most}
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert set(world.emulator.ledger.billed(live=False).values()) == {1}


def test_what_does_not_fit_uses_up_no_try(world: World) -> None:
    """A15"""
    world.save(*[f"{number}" + "x" * 500 for number in range(3)])
    manager = world.manager(config=KIB)
    manager.flush_queue()
    waiting = [chunk for chunk in world.store.chunks() if chunk.batch_job_id is None]
    assert len(waiting) == 2
    assert world.query("SELECT DISTINCT budget_use FROM batch_items") == [("nothing",)]
    assert manager.get_queue_stats().backing_off == 0
    assert len(manager.drain_queue()) == 2


def test_a_text_that_no_file_can_hold_fails_alone(world: World) -> None:
    """A15"""
    world.save("x" * 1100, "short", "x" * 1200)
    manager = world.manager(config=KIB)
    manager.flush_queue()
    manager.sync_status()
    assert world.statuses() == {"c0": FAILED, "c1": READY, "c2": FAILED}
    assert "1,024" in (world.chunk("c0").error_message or "")
    assert manager.flush_queue() is None
    assert world.creates() == 1


def test_a_job_of_texts_that_no_file_can_hold_is_not_sent(world: World) -> None:
    world.save("x" * 2000)
    manager = world.manager(config=KIB)
    assert manager.flush_queue() is None
    assert world.chunk().status is FAILED
    assert manager.jobs()[0].failure_reason is FailureReason.ABANDONED
    assert world.emulator.calls(Operation.UPLOAD_START) == []


def test_a_template_counts(world: World) -> None:
    """Templates are written around each text, and no limit on texts knows of them."""
    spec = EmbeddingSpec(model="gemini-embedding-2", document_template="title: none | text: {text}")
    with_template = len(
        request_encoder(spec)(EmbeddingRequest(key="0" * 64, text=spec.document_text("one")))
    )
    world.store.collection("templated", spec)
    world.store.save([Chunk(id=text, text=text) for text in ("one", "two")], collection="templated")
    most = 2 * with_template - 1
    manager = world.manager(config=dataclasses.replace(CONFIG, max_file_bytes=most))
    assert len(manager.drain_queue()) == 2
    assert {job.request_count for job in manager.jobs()} == {1}


def test_an_upload_that_fails_after_a_split_leaves_nothing_claimed(world: World) -> None:
    world.save(*[f"{number}" + "x" * 500 for number in range(3)])
    world.emulator.add_fault(FaultRule(operation=Operation.UPLOAD_START, effect=Reply(code=400)))
    manager = world.manager(config=KIB)
    with pytest.raises(RequestRefusedError):
        manager.flush_queue()
    assert {chunk.batch_job_id for chunk in world.store.chunks()} == {None}


def test_more_texts_than_a_page_are_cut_in_the_right_place(world: World) -> None:
    """What is sent stays with its job, what is not goes with the next: each text once."""
    world.save(*[f"text {number}" for number in range(1234)])
    most = 1100 * line_size("text 1234")
    manager = world.manager(config=dataclasses.replace(CONFIG, max_file_bytes=most))
    assert len(manager.drain_queue()) == 2
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert set(world.emulator.ledger.billed(live=False).values()) == {1}


def test_the_default_is_what_the_provider_takes() -> None:
    assert BatchConfig().max_file_bytes == LIMITS.file_bytes <= 2 * 10**9
    assert BatchConfig().max_open_jobs <= LIMITS.open_jobs
    with pytest.raises(ConfigurationError, match="max_file_bytes"):
        BatchConfig(max_file_bytes=0)


def test_a_pause_that_would_count_as_one_of_a_wrong_clock_is_refused() -> None:
    for given in ({"rate_limit_delay": 86_401.0}, {"budget": RetryBudget(longest_delay=1e9)}):
        with pytest.raises(ConfigurationError, match="a day"):
            BatchConfig(**given)  # type: ignore[arg-type]


def test_a_text_let_go_of_before_the_upload_waits_for_no_job(world: World) -> None:
    """Deleted and added again meanwhile, it goes with the next job, once."""
    world.save("one", "two")
    arm(FailPoint.CLAIM_COMMITTED, lambda: world.store.delete(ids=["c0"]) and None)
    manager = world.manager()
    try:
        manager.flush_queue()
    finally:
        disarm()
    world.save("one")
    assert world.chunk("c0").batch_job_id is None
    assert manager.flush_queue() is not None
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert set(world.emulator.ledger.billed(live=False).values()) == {1}
