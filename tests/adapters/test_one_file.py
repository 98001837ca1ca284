"""One database serves LlamaIndex and LangChain at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import Document as LlamaDocument
from llama_index.core import VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from langchain_semcore import DeferredEmbeddings, SemcoreRetriever
from langchain_semcore import SemcoreVectorStore as LangChainStore
from llamaindex_semcore import DeferredEmbedding
from llamaindex_semcore import SemcoreVectorStore as LlamaStore
from semantic_core import Endpoint, GeminiBatchClient, SpecMismatchError
from support.invariants import check_invariants
from support.world import World

CAT, DOG = "The cat sat on the mat.", "A dog barked at the postman."


class TwoFrameworks:
    """Each opens the file by itself, as two programs would."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keyring = world.keyring()
        self.llama = LlamaStore(world.target)
        self.langchain = LangChainStore(
            world.target, embedding=DeferredEmbeddings(self.keyring, embedder=world.embedder())
        )
        self.embed_model = DeferredEmbedding(self.keyring, embedder=world.embedder())
        self.client = GeminiBatchClient.from_keyring(
            self.keyring, endpoint=Endpoint(base_url=world.emulator.url), clock=world.clock
        )

    def close(self) -> None:
        self.client.close()
        self.llama.close()
        self.langchain.close()

    @property
    def index(self) -> VectorStoreIndex:
        return VectorStoreIndex.from_vector_store(self.llama, embed_model=self.embed_model)

    def embed_through(self, store: LlamaStore | LangChainStore) -> None:
        """Flush and sync with the manager of one framework's store."""
        manager = store.batch_manager(self.keyring, client=self.client)
        assert manager.flush_queue() is not None
        # These stores have the system's clock, and the emulator's stands still until moved.
        self.world.clock.advance(3600)
        manager.sync_status()
        assert manager.get_queue_stats().waiting == 0
        assert manager.get_queue_stats().open_jobs == ()


@pytest.fixture
def both(world: World) -> Iterator[TwoFrameworks]:
    frameworks = TwoFrameworks(world)
    yield frameworks
    frameworks.close()
    check_invariants(world.store)


def test_langchain_reads_flushes_and_searches_what_llamaindex_wrote(both: TwoFrameworks) -> None:
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), both.embed_model],
        vector_store=both.llama,
    )
    nodes = pipeline.run(
        documents=[
            LlamaDocument(text=CAT, metadata={"kind": "cat", "year": 2024}),
            LlamaDocument(text=DOG, metadata={"kind": "dog", "year": 2020}),
        ]
    )
    cat = LangChainDocument(
        id=nodes[0].node_id, page_content=CAT, metadata={"kind": "cat", "year": 2024}
    )
    assert both.langchain.get_by_ids([nodes[0].node_id]) == [cat]
    assert both.langchain.similarity_search("cats") == [cat]
    both.embed_through(both.langchain)
    assert both.langchain.similarity_search("a cat on a mat", k=1) == [cat]
    assert both.langchain.similarity_search("a mat", filter={"year": {"$gt": 2021}}) == [cat]
    [hit] = both.index.as_retriever(similarity_top_k=1).retrieve("a cat on a mat")
    [(_, score)] = both.langchain.similarity_search_with_score("a cat on a mat", k=1)
    assert (hit.node_id, hit.score) == (cat.id, pytest.approx(score))


def test_llamaindex_reads_flushes_and_searches_what_langchain_wrote(both: TwoFrameworks) -> None:
    both.langchain.add_texts(
        [CAT, DOG], [{"kind": "cat", "year": 2024}, {"kind": "dog", "year": 2020}], ids=["c", "d"]
    )
    [node] = both.llama.get_nodes(["c"])
    assert isinstance(node, TextNode)
    assert (node.text, node.metadata) == (CAT, {"kind": "cat", "year": 2024})
    retriever = both.index.as_retriever(similarity_top_k=1)
    assert [hit.node_id for hit in retriever.retrieve("cats")] == ["c"]
    both.embed_through(both.llama)
    [hit] = retriever.retrieve("a cat on a mat")
    assert (hit.node_id, hit.text) == ("c", CAT)
    assert hit.metadata["_semcore"]["match"] == "vector"
    filtered = both.index.as_retriever(
        filters=MetadataFilters(filters=[MetadataFilter(key="year", value=2021, operator="<")])
    )
    assert [found.node_id for found in filtered.retrieve("a cat on a mat")] == ["d"]
    [document] = SemcoreRetriever(vectorstore=both.langchain, k=1).invoke("a cat on a mat")
    assert (document.id, document.metadata["_semcore"]["match"]) == ("c", "both")


def test_a_paragraph_through_both_is_billed_once(both: TwoFrameworks) -> None:
    """Be it that the second one comes while it waits, while it is under way, or later."""
    ledger = both.world.emulator.ledger
    both.langchain.add_texts([CAT], ids=["langchain"])
    both.llama.add([TextNode(id_="llama", text=CAT)])
    manager = both.langchain.batch_manager(both.keyring, client=both.client)
    assert manager.flush_queue() is not None
    both.llama.add([TextNode(id_="on the way", text=CAT)])
    assert manager.flush_queue() is None
    both.world.clock.advance(3600)
    manager.sync_status()
    both.llama.add([TextNode(id_="late", text=CAT)])
    both.langchain.add_texts([CAT], ids=["later"])
    assert manager.flush_queue() is None
    assert {chunk.status for chunk in both.world.store.chunks()} == {"READY"}
    assert len(both.world.store.chunks()) == 5
    assert ledger.times_billed(CAT) == 1


def test_what_one_deletes_is_gone_for_the_other(both: TwoFrameworks) -> None:
    both.langchain.add_texts([CAT], ids=["c"])
    both.llama.add([TextNode(id_="d", text=DOG)])
    both.embed_through(both.llama)
    both.langchain.delete(["d"])
    both.llama.delete_nodes(["c"])
    assert both.llama.get_nodes(["c", "d"]) == []
    assert both.langchain.similarity_search("cat") == []
    assert both.index.as_retriever().retrieve("dog") == []


def test_what_one_changes_the_other_sees(both: TwoFrameworks) -> None:
    """The new text under the old id, with the vector of the old text until its own arrives."""
    both.llama.add([TextNode(id_="c", text=CAT, metadata={"kind": "cat"})])
    both.embed_through(both.llama)
    both.langchain.add_texts(["Kittens slept."], [{"kind": "kitten"}], ids=["c"])
    [hit] = both.index.as_retriever().retrieve("the cat sat on the mat")
    assert (hit.text, hit.metadata["kind"]) == ("Kittens slept.", "kitten")
    assert hit.metadata["_semcore"]["stale"] is True


def test_each_may_keep_a_collection_of_its_own(both: TwoFrameworks) -> None:
    """And a text that both of them hold is still billed once."""
    apart = LangChainStore(both.world.store, embedding=both.langchain.embeddings, collection="lc")
    apart.add_texts([CAT], ids=["c"])
    both.llama.add([TextNode(id_="c", text=CAT)])
    both.embed_through(both.llama)
    assert both.world.store.get(["c"], collection="lc")[0].status == "READY"
    assert both.world.emulator.ledger.times_billed(CAT) == 1
    apart.delete()
    assert len(both.llama.get_nodes(["c"])) == 1


def test_a_spec_that_differs_is_refused_by_either(both: TwoFrameworks) -> None:
    both.llama.add([TextNode(id_="c", text=CAT)])
    other = both.langchain.store.collection().spec.gemini_embedding_2()
    with pytest.raises(SpecMismatchError):
        LangChainStore(both.world.target, embedding=DeferredEmbeddings(both.keyring, spec=other))
    with pytest.raises(SpecMismatchError):
        LlamaStore(both.world.target, spec=other)
