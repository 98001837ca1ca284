"""What a manager refuses before anything is claimed or sent."""

from __future__ import annotations

import pytest

from semantic_core.batches import BatchManager
from semantic_core.domain.errors import DatabaseReadOnlyError, ProvenanceError
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.store import PeeweeVectorStore
from support.world import World


def test_texts_of_one_endpoints_database_are_not_sent_to_another(world: World) -> None:
    """Vectors of a test would mix with those that were paid for."""
    world.save("one")
    world.manager().flush_queue()
    world.manager().sync_status()
    world.store.save([Chunk(id="later", text="two")])
    # This machine counts as one endpoint, whatever its name and port.
    with GeminiBatchClient.from_keyring(
        world.keyring(), endpoint=Endpoint(base_url="https://gemini.example")
    ) as client:
        manager = BatchManager(world.keyring(), world.store, client=client, clock=world.clock)
        with pytest.raises(ProvenanceError):
            manager.flush_queue()
    assert world.chunk("later").status is EmbeddingStatus.PENDING
    assert world.chunk("later").batch_job_id is None


@pytest.mark.sqlite_only("the file is opened read only")
def test_a_read_only_database_is_never_sent_from(world: World) -> None:
    """E6: it says so before anything is uploaded, and search goes on."""
    world.save("one")
    world.store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with PeeweeVectorStore(f"file:{world.path}?mode=ro", clock=world.clock) as store:
        manager = world.manager(store=store)
        with pytest.raises(DatabaseReadOnlyError):
            manager.flush_queue()
        assert [hit.chunk.id for hit in store.search(text="one")] == ["c0"]
        assert manager.get_queue_stats().waiting == 1
    assert world.creates() == 0
    assert not any(request.method == "POST" for request in world.emulator.requests)
