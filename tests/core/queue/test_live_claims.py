"""Claims of live calls: apart from those of jobs, one at a time, and freed by their lease."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import TransitionError
from semantic_core.queue.live_claims import claim_live, free_live, keep_live
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.writing.vectors import space_of
from support.chunks import SPEC, chunks_of, content_hash, embed
from support.jobs import claim_job


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def take(
    store: PeeweeVectorStore, *texts: str, token: str = "a", lease: float = 100.0
) -> list[str]:
    """Claim texts live; return those that were free."""
    now = store.clock.now()
    named = {bytes.fromhex(content_hash(text)): text for text in texts}
    with store.database.transaction() as connection:
        claimed = claim_live(
            connection,
            list(named),
            space_id=space_of(connection, SPEC),
            token=token,
            now=now,
            until=now + lease,
        )
    return [named[key] for key in claimed]


def keep(store: PeeweeVectorStore, *, count: int, token: str = "a") -> None:
    with store.database.transaction() as connection:
        keep_live(connection, token=token, count=count, until=store.clock.now() + 100)


def test_what_is_stored_or_carried_is_not_claimed(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["carried"]))
    claim_job(store)
    store.save(chunks_of(["stored", "free"]))
    embed(store, "stored")
    assert take(store, "free", "stored", "carried", "new") == ["free", "new"]


def test_one_call_at_a_time_has_a_text(store: PeeweeVectorStore) -> None:
    assert take(store, "one") == ["one"]
    assert take(store, "one", "two", token="b") == ["two"]
    with store.database.transaction() as connection:
        free_live(connection, token="a")
        free_live(connection, token="a")
    assert take(store, "one", token="b") == ["one"]


def test_a_job_takes_what_is_free_in_the_order_of_the_queue(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["one", "two"]))
    take(store, "one")
    assert claim_job(store) is not None
    assert claim_job(store) is None
    assert [chunk.batch_job_id is None for chunk in store.chunks()] == [True, False]


def test_a_lease_that_is_over_keeps_nobody_away(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["one"]))
    take(store, "one", lease=-1.0)
    assert claim_job(store) is not None
    assert take(store, "two", lease=-1.0) == ["two"]
    assert take(store, "two", token="b") == ["two"]


def test_whoever_lost_a_claim_is_told_before_it_sends(store: PeeweeVectorStore) -> None:
    take(store, "one", "two")
    keep(store, count=2)
    take(store, "three", token="b")
    keep(store, count=2)
    with store.database.transaction() as connection:
        connection.execute(
            "DELETE FROM live_claims WHERE content_id = (SELECT id FROM contents WHERE hash = ?)",
            (bytes.fromhex(content_hash("two")),),
        )
    with pytest.raises(TransitionError, match="taken over"):
        keep(store, count=2)
