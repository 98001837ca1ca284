"""LangChain's indexing API: what it adds, skips, updates and cleans up, while documents wait."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index

from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore
from semantic_core import EmbeddingStatus
from support.langchain import embed_all
from support.world import World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING

Index = Callable[..., Awaitable[dict[str, int]]]


async def _index(*args: Any, **options: Any) -> Any:
    return index(*args, **options)


@pytest.fixture(params=[_index, aindex], ids=["index", "aindex"])
def run(request: pytest.FixtureRequest, vector_store: SemcoreVectorStore) -> Index:
    """index() or aindex() with one record manager, into the vector store."""
    manager = InMemoryRecordManager("notes")
    manager.create_schema()

    async def run(documents: Iterable[Document], **options: Any) -> Any:
        options = {"key_encoder": "sha256", "source_id_key": "source", **options}
        return await request.param(
            list(documents), options.pop("records", manager), vector_store, **options
        )

    return run


def notes(*texts: str, source: str = "a.txt") -> list[Document]:
    return [Document(text, metadata={"source": source}) for text in texts]


def counted(added: int = 0, updated: int = 0, skipped: int = 0, deleted: int = 0) -> dict[str, int]:
    return {
        "num_added": added,
        "num_updated": updated,
        "num_skipped": skipped,
        "num_deleted": deleted,
    }


def texts(world: World) -> list[str]:
    return sorted(chunk.text for chunk in world.store.chunks())


CLEANUPS = ["incremental", "full", "scoped_full", None]


@pytest.mark.parametrize("cleanup", CLEANUPS)
async def test_pending_documents_are_skipped_when_nothing_changed(
    world: World, run: Index, cleanup: str | None
) -> None:
    documents = notes("one", "two", "three")
    assert await run(documents, cleanup=cleanup) == counted(added=3)
    assert await run(documents, cleanup=cleanup) == counted(skipped=3)
    assert set(world.statuses().values()) == {PENDING}
    embed_all(world)
    assert await run(documents, cleanup=cleanup) == counted(skipped=3)
    assert set(world.statuses().values()) == {READY}
    assert world.creates() == 1


@pytest.mark.parametrize("cleanup", CLEANUPS)
async def test_what_changed_is_replaced_while_it_waits(
    world: World, run: Index, cleanup: str | None
) -> None:
    await run([*notes("one", "two"), *notes("other", source="b.txt")], cleanup=cleanup)
    result = await run(notes("one", "TWO"), cleanup=cleanup)
    deleted = {"incremental": 1, "scoped_full": 1, "full": 2, None: 0}[cleanup]
    assert result == counted(added=1, skipped=1, deleted=deleted)
    left = {
        "incremental": ["TWO", "one", "other"],
        "scoped_full": ["TWO", "one", "other"],
        "full": ["TWO", "one"],
        None: ["TWO", "one", "other", "two"],
    }
    assert texts(world) == left[cleanup]
    embed_all(world)
    assert world.emulator.ledger.times_billed("two") == (1 if cleanup is None else 0)


async def test_a_document_that_is_gone_leaves_its_batch_job_alone(world: World, run: Index) -> None:
    """Its vector was paid for, so it is kept for when the text comes back."""
    await run(notes("one", "two"), cleanup="full")
    world.manager().flush_queue()
    assert await run(notes("one"), cleanup="full") == counted(skipped=1, deleted=1)
    embed_all(world)
    assert texts(world) == ["one"]
    assert await run(notes("one", "two"), cleanup="full") == counted(added=1, skipped=1)
    assert set(world.statuses().values()) == {READY}
    assert world.emulator.ledger.times_billed("two") == 1


async def test_indexing_everything_anew_costs_nothing(world: World, run: Index) -> None:
    """With a record manager that knows nothing, and when updates are forced."""
    documents = notes("one", "two")
    await run(documents)
    embed_all(world)
    assert await run(documents, force_update=True) == counted(updated=2)
    fresh = InMemoryRecordManager("fresh")
    assert await run(documents, records=fresh) == counted(added=2)
    assert await run([], cleanup="full") == counted(deleted=2)
    assert texts(world) == []
    assert await run(documents) == counted(added=2)
    assert set(world.statuses().values()) == {READY}
    embed_all(world)
    assert world.creates() == 1


async def test_batches_are_taken_in_any_size(world: World, run: Index) -> None:
    documents = notes(*(f"text {number}" for number in range(25)), "text 3")
    assert await run(documents, batch_size=4, cleanup="full") == counted(added=25, skipped=1)
    assert len(texts(world)) == 25
    assert await run(documents[:5], batch_size=2, cleanup="full", cleanup_batch_size=3) == counted(
        skipped=5, deleted=20
    )


async def test_documents_may_be_named_by_the_user(world: World, run: Index) -> None:
    """With a key of one's own a new text replaces the old one under the same id."""
    options = {"key_encoder": lambda document: document.metadata["source"]}
    await run(notes("one"), **options)
    embed_all(world)
    result = await run(notes("ONE, changed"), force_update=True, **options)
    assert result == counted(updated=1)
    [chunk] = world.store.chunks()
    assert (chunk.id, chunk.text, chunk.is_stale) == ("a.txt", "ONE, changed", True)


async def test_blank_documents_do_not_stop_it(world: World, run: Index) -> None:
    assert await run(notes("one", " "), cleanup="full") == counted(added=2)
    assert await run(notes("one", " "), cleanup="full") == counted(skipped=2)
    assert set(world.statuses().values()) == {PENDING, EmbeddingStatus.FAILED}


def test_in_sync_mode_unchanged_documents_cost_nothing(
    world: World, embeddings: DeferredEmbeddings
) -> None:
    """The record manager is asked first, and the vectors are known besides."""
    vector_store = SemcoreVectorStore(world.store, embedding=embeddings, mode="sync")
    manager = InMemoryRecordManager("notes")
    for force in (False, False, True):
        index(notes("one", "two"), manager, vector_store, key_encoder="sha256", force_update=force)
    assert set(world.statuses().values()) == {READY}
    assert world.emulator.ledger.times_billed("one") == 1
