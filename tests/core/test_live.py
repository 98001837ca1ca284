"""Saving with live vectors: checked first, paid for once, and nothing lost to a later failure."""

from __future__ import annotations

import pytest

from semantic_core import (
    Chunk,
    DuplicateIdError,
    EmbeddingStatus,
    ProviderUnavailableError,
    save_embedded,
)
from semantic_core.emulator import FaultRule, Operation, Reply
from support.chunks import count_vectors
from support.world import World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def test_chunks_are_ready_at_once(world: World) -> None:
    report = save_embedded(
        world.store,
        [Chunk(id="a", text="one"), Chunk(id="b", text="two")],
        embedder=world.embedder(),
    )
    assert (report.ids, report.ready) == (("a", "b"), 2)


def test_a_known_text_costs_nothing(world: World) -> None:
    for chunk_id in ("a", "b"):
        save_embedded(world.store, [Chunk(id=chunk_id, text="one")], embedder=world.embedder())
    assert world.emulator.ledger.times_billed("one") == 1


def test_the_vector_source_is_what_is_embedded(world: World) -> None:
    """Be it given as a field or in the metadata."""
    chunks = [
        Chunk(text="one", vector_source="Title\n\none"),
        Chunk(text="two", metadata={"_vector_source": "Title\n\ntwo"}),
    ]
    assert save_embedded(world.store, chunks, embedder=world.embedder()).ready == 2
    assert world.emulator.ledger.times_billed("Title\n\none") == 1
    assert world.emulator.ledger.times_billed("Title\n\ntwo") == 1
    assert world.emulator.ledger.times_billed("one") == 0


def test_a_text_in_flight_waits_for_its_job(world: World) -> None:
    world.save("one")
    world.manager().flush_queue()
    report = save_embedded(world.store, [Chunk(id="b", text="one")], embedder=world.embedder())
    assert report.pending == 1
    assert world.emulator.calls(Operation.EMBED) == []


def test_given_vectors_and_failed_chunks_are_saved_as_they_are(world: World) -> None:
    chunks = [
        Chunk(text="given", vector=[1.0] * 768),
        Chunk(text="", embedding_status=EmbeddingStatus.FAILED, error_message="blank"),
    ]
    report = save_embedded(world.store, chunks, embedder=world.embedder())
    assert (report.ready, report.failed) == (1, 1)
    assert world.emulator.calls(Operation.EMBED) == []


def test_what_cannot_be_saved_is_not_sent(world: World) -> None:
    with pytest.raises(DuplicateIdError):
        save_embedded(
            world.store,
            [Chunk(id="a", text="one"), Chunk(id="a", text="two")],
            embedder=world.embedder(),
        )
    assert world.emulator.calls(Operation.EMBED) == []
    assert world.store.chunks() == []


def test_vectors_that_came_before_a_failure_are_kept(world: World) -> None:
    """The next try pays only for the rest."""
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=500), skip=1, times=None)
    )
    chunks = [Chunk(id=f"c{number}", text=f"text {number}") for number in range(150)]
    with pytest.raises(ProviderUnavailableError):
        save_embedded(world.store, chunks, embedder=world.embedder())
    assert world.store.chunks() == []
    assert count_vectors(world.store) == 100
    world.emulator.clear_faults()
    assert save_embedded(world.store, chunks, embedder=world.embedder()).ready == 150
    assert not world.emulator.ledger.overbilled()
