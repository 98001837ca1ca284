"""VectorStoreIndex, as its users use it, on a store whose vectors come later."""

import copy
import json
import pickle
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from llama_index.core import (
    MockEmbedding,
    StorageContext,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.retrievers import VectorIndexRetriever
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    NodeWithScore,
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStoreQuery

from batch_emulator import FaultRule, Operation, Reply
from llamaindex_semcore import RESULT_KEY, DeferredEmbedding, EmbeddingSpec, SemcoreVectorStore
from semantic_core import InvalidVectorError, StorageError
from support.llamaindex import embed_all, found_by, node
from support.world import DEFAULT_KEY, World

CAT = Document(id_="cat", text="The cat sat on the mat.")
DOG = Document(id_="dog", text="A dog barked at the postman.")
CAR = Document(id_="car", text="Cars need fuel and roads.")


def build(
    vector_store: BasePydanticVectorStore,
    embed_model: BaseEmbedding,
    documents: Sequence[Document] = (CAT, DOG, CAR),
) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        documents,
        storage_context=StorageContext.from_defaults(vector_store=vector_store),
        embed_model=embed_model,
    )


def documents_of(hits: Sequence[NodeWithScore]) -> list[str]:
    return [hit.node.ref_doc_id or "" for hit in hits]


def ask(index: VectorStoreIndex, query: str) -> list[str]:
    return documents_of(index.as_retriever(similarity_top_k=3).retrieve(query))


# --- from the first second to the last vector -----------------------------------------------


def test_the_same_index_finds_by_keyword_and_then_by_vector(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    retriever = build(vector_store, embed_model).as_retriever(similarity_top_k=3)
    [early] = retriever.retrieve("postman")
    assert early.node.ref_doc_id == "dog"
    assert [hit[1:] for hit in found_by([early])] == [("keyword", "PENDING")]
    embed_all(world)
    late = retriever.retrieve("dogs bark at postmen")
    assert late[0].node.ref_doc_id == "dog"
    assert [hit[1:] for hit in found_by(late)] == [("vector", "READY")] * 3


async def test_so_does_it_async(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    index = VectorStoreIndex.from_vector_store(vector_store, embed_model=embed_model)
    await index.ainsert_nodes(SentenceSplitter()([CAT, DOG, CAR]))
    retriever = index.as_retriever(similarity_top_k=3)
    assert documents_of(await retriever.aretrieve("postman")) == ["dog"]
    embed_all(world)
    assert documents_of(await retriever.aretrieve("dogs bark at postmen"))[0] == "dog"


def test_documents_cost_nothing_and_queries_one_live_call(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    index = build(vector_store, embed_model)
    assert world.emulator.requests == []
    ask(index, "postman")
    assert len(world.emulator.calls(Operation.EMBED)) == 1


def test_a_query_that_cannot_be_embedded_is_answered_by_keyword(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    index = build(vector_store, embed_model)
    embed_all(world)
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=503), times=None)
    )
    [hit] = index.as_retriever().retrieve("postman")
    assert hit.node.ref_doc_id == "dog"
    assert "503" in hit.metadata[RESULT_KEY]["degraded"]


def test_without_any_key_search_works(offline_store: SemcoreVectorStore) -> None:
    index = build(offline_store, DeferredEmbedding())
    [hit] = index.as_retriever().retrieve("postman")
    assert hit.node.ref_doc_id == "dog"
    assert "GEMINI_API_KEY" in hit.metadata[RESULT_KEY]["degraded"]


@pytest.mark.parametrize("use_async", [False, True])
def test_building_from_nodes_sync_and_async(
    offline_store: SemcoreVectorStore, *, use_async: bool
) -> None:
    nodes = [node(f"words {number}") for number in range(30)]
    index = VectorStoreIndex(
        nodes,
        storage_context=StorageContext.from_defaults(vector_store=offline_store),
        embed_model=DeferredEmbedding(),
        use_async=use_async,
        insert_batch_size=7,
    )
    assert len(offline_store.get_nodes()) == 30
    assert len(index.as_retriever(similarity_top_k=50).retrieve("words")) == 30


# --- changing documents ---------------------------------------------------------------------


def test_insert_and_delete(offline_store: SemcoreVectorStore) -> None:
    index = build(offline_store, DeferredEmbedding(), [CAT])
    index.insert(DOG)
    index.insert_nodes([node("A bird sang.", document_id="bird")])
    assert sorted(ask(index, "cat dog bird")) == ["bird", "cat", "dog"]
    index.delete_ref_doc("dog")
    index.delete_nodes(["A bird sang."])
    assert ask(index, "cat dog bird") == ["cat"]


async def test_insert_and_delete_async(offline_store: SemcoreVectorStore) -> None:
    index = build(offline_store, DeferredEmbedding(), [CAT])
    await index.ainsert(DOG)
    await index.ainsert_nodes([node("A bird sang.", document_id="bird")])
    assert sorted(ask(index, "cat dog bird")) == ["bird", "cat", "dog"]
    await index.adelete_ref_doc("dog")
    await index.adelete_nodes(["A bird sang."])
    assert ask(index, "cat dog bird") == ["cat"]


def test_update_and_refresh(offline_store: SemcoreVectorStore) -> None:
    index = build(offline_store, DeferredEmbedding())
    index.update_ref_doc(Document(id_="cat", text="A lion roared."))
    assert ask(index, "lion cat") == ["cat"]
    assert [hit.get_content() for hit in index.as_retriever().retrieve("lion cat")] == [
        "A lion roared."
    ]
    wet = Document(id_="dog", text="A whale dived.")
    new = Document(id_="bird", text="A bird sang.")
    assert index.refresh_ref_docs([CAR, wet, new]) == [False, True, True]
    assert sorted(ask(index, "barked whale bird")) == ["bird", "dog"]


def test_a_document_that_comes_back_costs_nothing(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    index = build(vector_store, embed_model)
    embed_all(world)
    index.delete_ref_doc("cat")
    index.insert(CAT)
    assert vector_store.client.stats().ready == 3
    assert index.as_retriever(similarity_top_k=1).retrieve("cat")[0].metadata[RESULT_KEY] == {
        "status": "READY",
        "match": "vector",
        "stale": False,
        "degraded": None,
    }


# --- coming back ----------------------------------------------------------------------------


def test_from_vector_store(database_path: Path) -> None:
    with closing(SemcoreVectorStore(database_path)) as vector_store:
        build(vector_store, DeferredEmbedding())
    with closing(SemcoreVectorStore(database_path)) as vector_store:
        index = VectorStoreIndex.from_vector_store(vector_store, embed_model=DeferredEmbedding())
        assert ask(index, "postman") == ["dog"]


def test_a_persisted_storage_context(offline_store: SemcoreVectorStore, tmp_path: Path) -> None:
    folder = str(tmp_path / "storage")
    index = build(offline_store, DeferredEmbedding())
    index.storage_context.persist(folder)
    with closing(SemcoreVectorStore.from_persist_dir(folder)) as vector_store:
        context = StorageContext.from_defaults(persist_dir=folder, vector_store=vector_store)
        again = load_index_from_storage(context, embed_model=DeferredEmbedding())
        assert ask(again, "postman") == ["dog"]


# --- nodes of other kinds -------------------------------------------------------------------


def test_an_index_of_nodes_of_all_kinds_finds_them_all(offline_store: SemcoreVectorStore) -> None:
    """LlamaIndex restricts the retriever to the kinds that it keeps copies of."""
    nodes: list[BaseNode] = [
        TextNode(id_="text", text="words of a text"),
        IndexNode(id_="index", text="words of an index", index_id="elsewhere"),
        ImageNode(id_="image", text="words of an image", image="aGVsbG8="),
        Document(id_="document", text="words of a document"),
    ]
    index = VectorStoreIndex(
        nodes,
        storage_context=StorageContext.from_defaults(vector_store=offline_store),
        embed_model=DeferredEmbedding(),
    )
    hits = {
        hit.node_id: hit.node for hit in index.as_retriever(similarity_top_k=9).retrieve("words")
    }
    assert set(hits) == {"text", "index", "image", "document"}
    assert isinstance(hits["index"], IndexNode)
    assert isinstance(hits["image"], ImageNode)
    assert hits["image"].image == "aGVsbG8="
    assert RESULT_KEY in hits["text"].metadata
    assert RESULT_KEY not in hits["image"].metadata, "LlamaIndex puts its own copy in its place"
    restricted = VectorIndexRetriever(index, node_ids=["text"], similarity_top_k=9)
    assert [hit.node_id for hit in restricted.retrieve("words")] == ["text"]


def test_the_store_itself_tells_of_index_nodes_too(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([IndexNode(id_="index", text="words", index_id="elsewhere")])
    result = offline_store.query(VectorStoreQuery(query_str="words"))
    assert result.nodes
    assert result.nodes[0].metadata[RESULT_KEY]["status"] == "PENDING"


def test_an_index_node_leads_to_its_object(offline_store: SemcoreVectorStore) -> None:
    inner = build(SemcoreVectorStore(offline_store.client, "inner"), DeferredEmbedding())
    index = VectorStoreIndex(
        objects=[IndexNode(text="animals", index_id="animals", obj=inner.as_retriever())],
        storage_context=StorageContext.from_defaults(vector_store=offline_store),
        embed_model=DeferredEmbedding(),
    )
    # The inner retriever is asked the same question.
    assert documents_of(index.as_retriever().retrieve("animals such as a dog")) == ["dog"]


# --- other embed models ---------------------------------------------------------------------


def test_an_index_with_another_embed_model(external_store: SemcoreVectorStore) -> None:
    """Its vectors are used as they are, whatever their size."""
    index = build(external_store, MockEmbedding(embed_dim=8))
    assert external_store.spec == EmbeddingSpec.external("mock", dimensions=8)
    hits = index.as_retriever(similarity_top_k=3).retrieve("anything")
    assert [(match, status) for _, match, status in found_by(hits)] == [("vector", "READY")] * 3
    assert [hit.score for hit in hits] == pytest.approx([1.0] * 3)


def test_another_embed_model_without_a_spec_is_told_what_to_do(
    offline_store: SemcoreVectorStore,
) -> None:
    with pytest.raises(InvalidVectorError, match=r"spec=EmbeddingSpec\.external"):
        build(offline_store, MockEmbedding(embed_dim=8))
    assert offline_store.get_nodes() == []


# --- a drop-in ------------------------------------------------------------------------------


def test_nothing_but_two_names_changes_in_a_pipeline_of_a_thousand_documents(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    documents = [
        Document(id_=str(number), text=f"Part {number} fits model {number * 7}.", metadata={"n": 1})
        for number in range(1000)
    ]

    def run(store: BasePydanticVectorStore, model: BaseEmbedding) -> list[str]:
        index = VectorStoreIndex(
            [], storage_context=StorageContext.from_defaults(vector_store=store), embed_model=model
        )
        pipeline = IngestionPipeline(transformations=[SentenceSplitter(), model])
        index.insert_nodes(pipeline.run(documents=documents))
        found = index.as_retriever(similarity_top_k=5).retrieve("Part 123")
        json.dumps([hit.to_dict() for hit in found])
        index.delete_ref_doc("500")
        index.refresh_ref_docs([*documents[:10], Document(id_="0", text="Part zero.")])
        return documents_of(found)

    assert len(run(SimpleVectorStore(), MockEmbedding(embed_dim=8))) == 5
    assert "123" in run(vector_store, embed_model)
    embed_all(world)
    assert vector_store.client.stats().ready == len(vector_store.get_nodes())
    index = VectorStoreIndex.from_vector_store(vector_store, embed_model=embed_model)
    assert "123" in ask(index, "Part 123 fits model 861.")


# --- in workers, and copied --------------------------------------------------------------------


@pytest.mark.parametrize("again", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_an_index_is_copied_and_pickled_with_its_store(
    again: Callable[[VectorStoreIndex], VectorStoreIndex],
    world: World,
    vector_store: SemcoreVectorStore,
    embed_model: DeferredEmbedding,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A copy shares the key, which no pickle holds: a worker has it in its environment."""
    monkeypatch.setenv("GEMINI_API_KEY", DEFAULT_KEY)
    index = build(vector_store, embed_model)
    embed_all(world)
    other = again(index)
    assert isinstance(other.vector_store, SemcoreVectorStore)
    assert other.vector_store.client is not vector_store.client
    hits = other.as_retriever(similarity_top_k=3).retrieve("dogs bark at postmen")
    assert [hit[1:] for hit in found_by(hits)] == [("vector", "READY")] * 3
    assert isinstance(other._embed_model, DeferredEmbedding)
    other._embed_model.close()
    other.vector_store.client.close()
    assert len(ask(index, "dogs bark at postmen")) == 3


def test_a_copy_where_the_database_is_not_makes_no_other(tmp_path: Path) -> None:
    with closing(SemcoreVectorStore(tmp_path / "other.db")) as other:
        data = pickle.dumps(other)
    (tmp_path / "other.db").unlink()
    with pytest.raises(StorageError, match="Check that it exists"):
        pickle.loads(data)
    assert not (tmp_path / "other.db").exists()
