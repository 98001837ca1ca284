"""What a report rests on: how coverage came to be, and what the month has spent."""

from __future__ import annotations

import dataclasses

import pytest

from semantic_core.batches.overview import look_over
from semantic_core.domain.types import Chunk
from support.world import CONFIG, World

HOUR = 3600.0


def test_coverage_follows_chunks_and_vectors(world: World) -> None:
    world.clock.advance(100 * HOUR)
    assert look_over(world.manager()).coverage == ()
    began = world.clock.now()
    world.save("one", "two")
    world.clock.advance(10 * HOUR)
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    world.clock.advance(10 * HOUR)
    world.store.save([Chunk(id="late", text="three")], collection="side")
    world.clock.advance(20 * HOUR)
    coverage = look_over(manager).coverage
    assert (coverage[0][0], coverage[-1][0]) == (began, world.clock.now())
    # One moment an hour: two chunks at once, their vectors after ten hours, one more after twenty.
    assert [found[1:] for found in coverage] == [(2, 0)] * 10 + [(2, 2)] * 10 + [(3, 2)] * 21


def test_a_chunk_with_an_older_vector_counts_as_found(world: World) -> None:
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    world.clock.advance(HOUR)
    world.save("another text")
    assert look_over(manager).coverage[-1][1:] == (1, 1)
    # A clock that was set back makes no negative span.
    world.clock.step(-10 * HOUR)
    assert len({found[0] for found in look_over(manager).coverage}) == 1


def test_what_is_spent_is_what_the_budget_counts(world: World) -> None:
    config = dataclasses.replace(CONFIG, monthly_budget_usd=7.0)
    manager = world.manager(config=config)
    world.save("one", "two")
    manager.flush_queue()
    overview = look_over(manager)
    assert overview.budget_usd == 7.0
    assert overview.spent_usd > 0
    assert overview.receipt.tokens == 0
    manager.sync_status()
    overview = look_over(manager)
    assert overview.spent_usd == pytest.approx(overview.receipt.batch_usd)
    world.clock.advance(40 * 24 * HOUR)
    assert look_over(manager).spent_usd == 0
