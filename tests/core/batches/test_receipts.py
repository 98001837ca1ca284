"""A receipt by month and collection: every token and every dollar is in one part."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from semantic_core import PeeweeVectorStore, copy_store
from semantic_core.domain.receipts import ReceiptPart
from semantic_core.domain.types import Chunk
from support.world import World

SEPTEMBER = datetime(2027, 9, 30, 23, 59, 59, tzinfo=UTC).timestamp()


def send(world: World, **texts: str) -> None:
    """Save one text in each collection, and embed them in one job."""
    for collection, text in texts.items():
        world.store.save([Chunk(id=text, text=text)], collection=collection)
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()


def parts(world: World) -> dict[tuple[str, str | None], int]:
    return {(p.month, p.collection): p.tokens for p in world.manager().receipt().parts}


def test_each_collection_has_its_share_of_each_month(world: World) -> None:
    world.clock.advance(SEPTEMBER - world.clock.now())
    send(world, notes="one two three", mails="one two three")
    world.clock.advance(2)
    send(world, notes="a text", mails="something else, which is longer than that text")
    # The same text again is another collection's for nothing.
    send(world, copies="a text")
    receipt = world.manager().receipt()
    assert len(receipt.jobs) == 2
    found = parts(world)
    # Of a text in two collections, the one is asked first that waits for longer.
    assert set(found) == {("2027-09", "notes"), ("2027-10", "notes"), ("2027-10", "mails")}
    assert found["2027-10", "mails"] > found["2027-10", "notes"] > 0
    assert sum(found.values()) == pytest.approx(receipt.tokens, abs=1)
    assert sum(part.batch_usd or 0 for part in receipt.parts) == pytest.approx(receipt.batch_usd)


def test_a_job_of_one_collection_alone_is_all_of_it(world: World) -> None:
    world.store.save([Chunk(text="first")], collection="notes")
    world.store.save([Chunk(text="second"), Chunk(text="and third")], collection="mails")
    manager = world.manager(collection="mails")
    manager.flush_queue()
    assert manager.receipt().parts == ()  # nothing is counted before the results are here
    manager.sync_status()
    (job,) = manager.jobs()
    assert job.collections == (("mails", job.estimated_tokens),)
    assert [part.tokens for part in manager.receipt().parts] == [job.token_count]


def test_a_job_that_was_found_at_the_provider_is_of_no_collection(world: World) -> None:
    world.save("a text")
    copy = world.backup()
    world.manager().flush_queue()
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store)
        manager.sync_status()
        (part,) = manager.receipt().parts
        assert part.collection is None
        assert part.tokens == manager.receipt().tokens > 0


def test_a_model_without_a_price_has_no_sum(world: World) -> None:
    send(world, notes="a text")
    with world.store.database.transaction() as connection:
        connection.execute("UPDATE batch_jobs SET cost_usd = NULL")
    (part,) = world.manager().receipt().parts
    assert part == ReceiptPart(
        month="2027-01", collection="notes", tokens=part.tokens, batch_usd=None
    )


def test_the_parts_move_with_the_database(world: World) -> None:
    send(world, notes="a text", mails="another one")
    before = world.manager().receipt().parts
    with PeeweeVectorStore(world.folder / "moved.db", clock=world.clock) as store:
        copy_store(world.store, store)
        assert world.manager(store=store).receipt().parts == before
