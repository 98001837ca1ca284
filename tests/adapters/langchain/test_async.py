"""The asynchronous twins do what the others do, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from langchain_semcore import SemcoreRetriever, SemcoreVectorStore
from support.langchain import CAT, DOCUMENTS, ids

VECTOR = [1.0, 0.5]


class GatedEmbeddings(Embeddings):
    """Waits for the event loop to open the gate: for ever, if it is what the loop waits for."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._embed() for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        return self._embed()

    def _embed(self) -> list[float]:
        if not self.gate.wait(timeout=120):
            raise TimeoutError("The event loop was blocked.")
        return VECTOR


@pytest.fixture
def gated() -> GatedEmbeddings:
    return GatedEmbeddings()


@pytest.fixture
def gated_store(path: Path, gated: GatedEmbeddings) -> Any:
    with SemcoreVectorStore(path, embedding=gated, mode="sync") as store:
        store.add_documents(DOCUMENTS)
        yield store


Call = Callable[[SemcoreVectorStore], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "aadd_texts": lambda s: s.aadd_texts(["text"], ids=["new"]),
    "aadd_documents": lambda s: s.aadd_documents([Document("text", id="new")]),
    "asimilarity_search": lambda s: s.asimilarity_search("q", k=1),
    "asimilarity_search_with_score": lambda s: s.asimilarity_search_with_score("q", k=1),
    "asimilarity_search_with_relevance_scores": lambda s: (
        s.asimilarity_search_with_relevance_scores("q", k=1)
    ),
    "with a threshold": lambda s: s.asimilarity_search_with_relevance_scores(
        "q", k=1, score_threshold=0.5
    ),
    "amax_marginal_relevance_search": lambda s: s.amax_marginal_relevance_search("q", k=1),
    "asearch": lambda s: s.asearch("q", "mmr", k=1),
    "as_retriever": lambda s: s.as_retriever(search_kwargs={"k": 1}).ainvoke("q"),
    "retriever": lambda s: SemcoreRetriever(vectorstore=s, k=1).ainvoke("q"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_the_loop_runs_on_while_something_is_embedded(
    gated: GatedEmbeddings, gated_store: SemcoreVectorStore, call: Call
) -> None:
    gated.gate.clear()
    task = asyncio.ensure_future(call(gated_store))
    await asyncio.sleep(0.01)
    assert not task.done()
    gated.gate.set()
    assert len(await task) == 1


async def test_every_twin_answers_like_its_sibling(gated_store: SemcoreVectorStore) -> None:
    store = gated_store
    assert await store.aget_by_ids(["cat"]) == store.get_by_ids(["cat"]) == [CAT]
    for name, arguments in {
        "similarity_search": ("q",),
        "similarity_search_with_score": ("q",),
        "similarity_search_with_relevance_scores": ("q",),
        "max_marginal_relevance_search": ("q",),
        "similarity_search_by_vector": (VECTOR,),
        "similarity_search_with_score_by_vector": (VECTOR,),
        "max_marginal_relevance_search_by_vector": (VECTOR,),
    }.items():
        options = {"k": 2, "filter": {"kind": "animal"}}
        expected = getattr(store, name)(*arguments, **options)
        assert len(expected) == 2
        assert await getattr(store, f"a{name}")(*arguments, **options) == expected
    assert await store.aadd_embeddings(["text"], [VECTOR], metadatas=[{"n": 1}], ids=["given"]) == [
        "given"
    ]
    assert ids(await store.aget_by_ids(["given"])) == ["given"]
    assert await store.adelete(filter={"n": 1}) is True
    assert await store.adelete(["dog"]) is True
    assert ids(await store.aget_by_ids(["cat", "dog", "given"])) == ["cat"]


async def test_many_at_once(path: Path) -> None:
    """Writers in threads wait for each other, searches do not."""
    with SemcoreVectorStore(path) as store:
        await asyncio.gather(
            *(store.aadd_texts([f"word number {n}"], ids=[str(n)]) for n in range(30)),
            *(store.asimilarity_search("word") for _ in range(30)),
        )
        assert len(await store.asimilarity_search("word", k=99)) == 30


def test_an_async_twin_calls_what_a_subclass_has(path: Path) -> None:
    class Own(SemcoreVectorStore):
        def add_images(self, *_: Any, **__: Any) -> list[str]:
            return ["own"]

    with Own(path) as store:
        assert asyncio.run(store.aadd_images(["shoe.png"])) == ["own"]
