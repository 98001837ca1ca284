"""What LlamaIndex builds upon a retriever works while vectors are still missing."""

import json
from typing import Any

import pytest
from llama_index.core import QueryBundle, StorageContext, VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata, MockLLM
from llama_index.core.node_parser import (
    HierarchicalNodeParser,
    SentenceWindowNodeParser,
    get_leaf_nodes,
)
from llama_index.core.postprocessor import (
    LLMRerank,
    MetadataReplacementPostProcessor,
    SimilarityPostprocessor,
)
from llama_index.core.retrievers import (
    AutoMergingRetriever,
    QueryFusionRetriever,
    VectorIndexAutoRetriever,
    VectorIndexRetriever,
)
from llama_index.core.schema import Document, NodeWithScore
from llama_index.core.vector_stores.types import MetadataInfo, VectorStoreInfo

from llamaindex_semcore import RESULT_KEY, DeferredEmbedding, SemcoreVectorStore
from support.llamaindex import embed_all, node
from support.world import World

ROWS = {
    "cat": "The cat sat on the mat.",
    "dog": "A dog barked at the postman.",
    "car": "Cars need fuel and roads.",
    "bird": "A bird sang to the postman.",
}


class ScriptedLLM(CustomLLM):
    """Says the same whatever it is asked, and remembers what that was."""

    answer: str
    asked: list[str] = []  # noqa: RUF012  # pydantic copies it

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:  # noqa: FBT001, FBT002  # the base's
        self.asked.append(prompt)
        return CompletionResponse(text=self.answer)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002  # the base's
        raise NotImplementedError


@pytest.fixture
def index(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> VectorStoreIndex:
    """Half of its nodes have vectors, the other half waits."""
    index = VectorStoreIndex.from_vector_store(vector_store, embed_model=embed_model)
    names = list(ROWS)
    for some in (names[:2], names[2:]):
        index.insert_nodes(
            [node(ROWS[name], node_id=name, document_id=f"{name} doc", kind=name) for name in some]
        )
        if some == names[:2]:
            embed_all(world)
    return index


def names(hits: list[NodeWithScore]) -> list[str]:
    return [hit.node_id for hit in hits]


def matches(hits: list[NodeWithScore]) -> dict[str, str]:
    return {hit.node_id: hit.metadata[RESULT_KEY]["match"] for hit in hits}


# --- query engines and postprocessors -------------------------------------------------------


def test_a_query_engine_answers_from_both_halves_and_shows_no_model_our_information(
    index: VectorStoreIndex,
) -> None:
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=4)
    answer = engine.query("Who needs fuel, and who barked at the postman?")
    shown = str(answer)
    assert ROWS["dog"] in shown
    assert ROWS["car"] in shown
    assert "kind: dog" in shown
    for ours in (RESULT_KEY, "PENDING", "READY", "degraded"):
        assert ours not in shown
    assert {source.metadata[RESULT_KEY]["status"] for source in answer.source_nodes} == {
        "READY",
        "PENDING",
    }


async def test_an_async_query_engine_does_too(index: VectorStoreIndex) -> None:
    answer = await index.as_query_engine(llm=MockLLM(), similarity_top_k=4).aquery("fuel")
    assert ROWS["car"] in str(answer)
    assert RESULT_KEY not in str(answer)


def test_a_cutoff_drops_no_node_for_having_no_vector(index: VectorStoreIndex) -> None:
    """A hit by keyword goes with the vector hit above it, and stays where there is none."""
    hits = index.as_retriever(similarity_top_k=4).retrieve("A bird sang to the barking dog.")
    scores = {hit.node_id: hit.score or -1.0 for hit in hits}
    assert list(scores)[:3] == ["bird", "dog", "cat"]
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert scores["bird"] == 1.0
    kept = SimilarityPostprocessor(similarity_cutoff=scores["dog"]).postprocess_nodes(hits)
    assert matches(kept) == {"bird": "keyword", "dog": "vector"}


def test_a_reranker_sees_the_texts_and_nothing_else(index: VectorStoreIndex) -> None:
    llm = ScriptedLLM(answer="Doc: 2, Relevance: 9\nDoc: 1, Relevance: 3")
    hits = index.as_retriever(similarity_top_k=4).retrieve("fuel for the postman")
    reranked = LLMRerank(llm=llm, top_n=2).postprocess_nodes(hits, query_str="fuel")
    assert names(reranked) == [names(hits)[1], names(hits)[0]]
    assert RESULT_KEY not in "".join(llm.asked)
    assert reranked[0].metadata[RESULT_KEY] == hits[1].metadata[RESULT_KEY]


# --- retrievers of retrievers ---------------------------------------------------------------


@pytest.mark.parametrize(
    "mode", ["reciprocal_rerank", "relative_score", "dist_based_score", "simple"]
)
@pytest.mark.parametrize("use_async", [True, False])
def test_fusion_counts_a_node_once_however_it_was_found(
    index: VectorStoreIndex, mode: Any, *, use_async: bool
) -> None:
    """It tells nodes apart by hash: what they were found by must not be in it."""
    by_vector = index.as_retriever(similarity_top_k=4)
    by_words = index.as_retriever(similarity_top_k=4, vector_store_query_mode="text_search")
    question = "the dog and the postman"
    assert matches(by_vector.retrieve(question))["dog"] == "vector"
    assert matches(by_words.retrieve(question))["dog"] == "keyword"
    fusion = QueryFusionRetriever(
        [by_vector, by_words],
        llm=MockLLM(),
        num_queries=1,
        mode=mode,
        use_async=use_async,
        similarity_top_k=9,
    )
    hits = fusion.retrieve(question)
    assert sorted(names(hits)) == ["bird", "car", "cat", "dog"]
    if mode == "reciprocal_rerank":
        # Of two ranks from 0: more than a node can have from one list.
        assert {hit.node_id: hit.score or 0.0 for hit in hits}["dog"] > 1 / 60


def test_fusion_over_several_wordings(index: VectorStoreIndex) -> None:
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=2)],
        llm=ScriptedLLM(answer="fuel\nroads"),
        num_queries=3,
        similarity_top_k=4,
    )
    assert "car" in names(fusion.retrieve("What do machines need?"))


def test_several_strings_for_one_query(index: VectorStoreIndex) -> None:
    """As query transformations, such as HyDE, make them."""
    bundle = QueryBundle("fuel", custom_embedding_strs=["Cars burn fuel.", "fuel"])
    assert "car" in names(index.as_retriever(similarity_top_k=4).retrieve(bundle))


def test_leaves_are_merged_into_their_parents(
    offline_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    words = " ".join(f"Sentence {number} is about bridges." for number in range(60))
    nodes = HierarchicalNodeParser.from_defaults(chunk_sizes=[256, 64])(
        [Document(id_="d", text=words)]
    )
    context = StorageContext.from_defaults(vector_store=offline_store)
    context.docstore.add_documents(nodes)
    leaves = get_leaf_nodes(nodes)
    index = VectorStoreIndex(leaves, storage_context=context, embed_model=embed_model)
    retriever = index.as_retriever(similarity_top_k=len(leaves))
    assert isinstance(retriever, VectorIndexRetriever)
    merged = AutoMergingRetriever(retriever, context).retrieve("bridges")
    assert len(merged) < len(leaves)
    parents = {one.node_id for one in nodes} - {leaf.node_id for leaf in leaves}
    assert set(names(merged)) <= parents


def test_a_sentence_is_found_and_its_window_shown(
    world: World, vector_store: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    """The window is metadata that is not embedded, and large."""
    text = "It rained. A cat slept. The sun rose. Cars need fuel. Night fell."
    nodes = SentenceWindowNodeParser.from_defaults(window_size=1)([Document(text=text)])
    index = VectorStoreIndex(
        nodes,
        storage_context=StorageContext.from_defaults(vector_store=vector_store),
        embed_model=embed_model,
    )
    replace = MetadataReplacementPostProcessor(target_metadata_key="window")
    for _ in ("by keyword", "by vector"):
        [hit] = index.as_retriever(similarity_top_k=1).retrieve("fuel for cars")
        assert hit.get_content().strip() == "Cars need fuel."
        [shown] = replace.postprocess_nodes([hit])
        assert " ".join(shown.get_content().split()) == "The sun rose. Cars need fuel. Night fell."
        if world.store.stats().waiting:
            embed_all(world)


# --- filters that a model writes ------------------------------------------------------------


def auto_retriever(index: VectorStoreIndex, spec: dict[str, Any], **options: Any) -> BaseRetriever:
    info = VectorStoreInfo(
        content_info="animals and machines",
        metadata_info=[MetadataInfo(name="kind", type="str", description="what it is about")],
    )
    return VectorIndexAutoRetriever(
        index,
        vector_store_info=info,
        llm=ScriptedLLM(answer=f"```json\n{json.dumps(spec)}\n```"),
        similarity_top_k=4,
        **options,
    )


def test_an_auto_retriever_filters(index: VectorStoreIndex) -> None:
    spec = {
        "query": "postman",
        "filters": [{"key": "kind", "value": ["bird", "cat"], "operator": "in"}],
    }
    assert set(names(auto_retriever(index, spec).retrieve("Who sang?"))) == {"bird", "cat"}


@pytest.mark.parametrize("options", [{}, {"default_empty_query_vector": [0.0] * 768}])
def test_an_auto_retriever_that_only_filters(
    index: VectorStoreIndex, options: dict[str, Any]
) -> None:
    spec = {"query": "", "filters": [{"key": "kind", "value": "car", "operator": "!="}]}
    hits = auto_retriever(index, spec, **options).retrieve("Everything but cars.")
    assert names(hits) == ["cat", "dog", "bird"]
    assert set(matches(hits).values()) == {"filter"}


# --- modes and options through a retriever --------------------------------------------------


@pytest.mark.parametrize("mode", ["default", "hybrid", "sparse", "text_search", "mmr"])
async def test_every_mode_finds_what_has_a_vector_and_what_waits(
    index: VectorStoreIndex, mode: str
) -> None:
    retriever = index.as_retriever(similarity_top_k=4, vector_store_query_mode=mode, alpha=0.5)
    question = "fuel for the dog"
    assert {"dog", "car"} <= set(names(retriever.retrieve(question)))
    assert {"dog", "car"} <= set(names(await retriever.aretrieve(question)))


def test_options_go_through_a_retriever(index: VectorStoreIndex) -> None:
    def found(**options: Any) -> list[str]:
        retriever = index.as_retriever(similarity_top_k=4, vector_store_kwargs=options)
        return names(retriever.retrieve("fuel"))

    assert "car" in found()
    assert "car" not in found(pending="skip")


def test_documents_can_be_chosen_through_a_retriever(index: VectorStoreIndex) -> None:
    retriever = index.as_retriever(similarity_top_k=4, doc_ids=["cat doc", "bird doc"])
    assert set(names(retriever.retrieve("the postman"))) == {"cat", "bird"}
