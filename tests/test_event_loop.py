"""Everything works while an event loop runs in the same thread, as one always does in a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import Document as LlamaDocument
from llama_index.core import StorageContext, VectorStoreIndex

import langchain_semcore
import llamaindex_semcore
from batch_emulator import Emulator, EmulatorConfig
from semantic_core import (
    BatchConfig,
    BatchManager,
    Document,
    Endpoint,
    GeminiBatchClient,
    GeminiEmbedder,
    GoogleKeyring,
    PeeweeVectorStore,
    SemanticCore,
)
from support.keys import canary

TEXT = "The cat sat on the mat."


class Desk:
    """All that a notebook's first cells open."""

    def __init__(self, folder: Path) -> None:
        config = EmulatorConfig(pending_seconds=0.05, running_seconds=0.05)
        self.emulator = Emulator(folder / "emulator.db", config=config).start()
        self.keyring = GoogleKeyring(default_key=canary("default"), batch_key=canary("batch"))
        endpoint = Endpoint(base_url=self.emulator.url)
        self.store = PeeweeVectorStore(folder / "notes.db")
        self.embedder = GeminiEmbedder(self.keyring, endpoint=endpoint)
        self.client = GeminiBatchClient.from_keyring(self.keyring, endpoint=endpoint)
        self.manager = BatchManager(
            self.keyring, self.store, client=self.client, config=BatchConfig(poll_interval=0.02)
        )

    def embed(self) -> None:
        assert self.manager.flush_queue() is not None
        assert self.manager.wait(timeout=300, progress=True).waiting == 0

    def close(self) -> None:
        self.client.close()
        self.embedder.close()
        self.store.close()
        self.emulator.stop()


async def use_core(desk: Desk) -> None:
    core = SemanticCore(desk.store, desk.keyring, embedder=desk.embedder)
    core.ingest([Document(content=TEXT)], progress=True)
    assert core.search("cat")[0].match == "keyword"
    desk.embed()
    assert core.search("cat")[0].match == "both"
    core.ingest(Document(content="A dog barked."), mode="sync")
    assert core.stats().ready == 2


async def use_llama_index(desk: Desk) -> None:
    vector_store = llamaindex_semcore.SemcoreVectorStore(desk.store)
    index = VectorStoreIndex.from_documents(
        [LlamaDocument(text=TEXT)],
        storage_context=StorageContext.from_defaults(vector_store=vector_store),
        embed_model=llamaindex_semcore.DeferredEmbedding(desk.keyring, embedder=desk.embedder),
    )
    retriever = index.as_retriever()
    for found_by in ("keyword", "vector"):
        for [hit] in (retriever.retrieve("cat"), await retriever.aretrieve("cat")):
            assert hit.metadata[llamaindex_semcore.RESULT_KEY]["match"] == found_by
        if found_by == "keyword":
            desk.embed()


async def use_langchain(desk: Desk) -> None:
    embeddings = langchain_semcore.DeferredEmbeddings(desk.keyring, embedder=desk.embedder)
    vector_store = langchain_semcore.SemcoreVectorStore(desk.store, embeddings)
    await vector_store.aadd_documents([LangChainDocument(TEXT)])
    retriever = langchain_semcore.SemcoreRetriever(vectorstore=vector_store, mode="vector")
    for found_by in ("keyword", "vector"):
        for [found] in (retriever.invoke("cat"), await retriever.ainvoke("cat")):
            assert found.metadata["_semcore"]["match"] == found_by
        if found_by == "keyword":
            desk.embed()


@pytest.mark.parametrize("use", [use_core, use_llama_index, use_langchain])
def test_the_whole_way_within_a_running_loop(
    use: Callable[[Desk], Awaitable[None]], tmp_path: Path
) -> None:
    async def cell() -> None:
        assert asyncio.get_running_loop().is_running()
        desk = Desk(tmp_path)
        try:
            await use(desk)
        finally:
            desk.close()

    asyncio.run(cell())
