"""The placeholder of a vector passes through LlamaIndex, and raises for who computes with it."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from llama_index.core.evaluation import SemanticSimilarityEvaluator
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SemanticSplitterNodeParser
from llama_index.core.schema import Document, TextNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery

from llamaindex_semcore import DeferredEmbedding, DeferredVectorError, SemcoreVectorStore
from llamaindex_semcore.vectors import NoQueryVector, NoVector
from semantic_core import ConfigurationError, GoogleKeyring

TEXT = "A cat sat. It rained all day. The dog barked at it. Cars need fuel. Birds sing."


@pytest.fixture
def deferred() -> DeferredEmbedding:
    return DeferredEmbedding(GoogleKeyring())


# --- what raises ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compute",
    [
        np.array,
        np.linalg.norm,
        lambda vector: np.asarray(vector, dtype=np.float32),
        lambda vector: np.dot(vector, vector),
        lambda vector: np.mean([vector, vector], axis=0),
        lambda vector: np.stack([vector]),
        sum,
        list,
        lambda vector: [x * x for x in vector],
        lambda vector: vector[0],
        lambda vector: vector[:256],
        lambda vector: [*vector],
        lambda vector: vector.__add__([1.0]),
        json.dumps,
        lambda vector: vector * 2,
        lambda vector: 2 * vector,
        lambda vector: dict(zip("ab", vector, strict=False)),
        reversed,
    ],
)
@pytest.mark.parametrize("vector", [NoVector(), NoQueryVector("no key")], ids=["text", "query"])
def test_computing_with_it_raises_with_the_way_out(
    vector: NoVector, compute: Callable[[NoVector], Any]
) -> None:
    with pytest.raises(DeferredVectorError, match=r"SemcoreVectorStore") as caught:
        compute(vector)
    assert isinstance(caught.value, ConfigurationError)
    assert ("no key" in str(caught.value)) == isinstance(vector, NoQueryVector)


async def test_a_semantic_splitter_does_not_make_one_chunk_of_all(
    deferred: DeferredEmbedding,
) -> None:
    splitter = SemanticSplitterNodeParser(embed_model=deferred, buffer_size=1)
    with pytest.raises(DeferredVectorError, match="semantic splitter"):
        splitter.get_nodes_from_documents([Document(text=TEXT)])
    with pytest.raises(DeferredVectorError, match="semantic splitter"):
        await splitter.aget_nodes_from_documents([Document(text=TEXT)])


async def test_an_evaluator_does_not_answer_nan(deferred: DeferredEmbedding) -> None:
    evaluator = SemanticSimilarityEvaluator(embed_model=deferred)
    with pytest.raises(DeferredVectorError, match="evaluator"):
        await evaluator.aevaluate(response="a cat", reference="a dog")


def test_neither_does_the_model_itself_of_what_json_left(deferred: DeferredEmbedding) -> None:
    for vector in ([], deferred.get_text_embedding("a"), json.loads("[]")):
        with pytest.raises(DeferredVectorError):
            deferred.similarity([1.0, 0.0], vector)
    assert deferred.similarity([1.0, 0.0], [2.0, 0.0]) == pytest.approx(1.0)


def test_another_vector_store_does_not_answer_from_it(deferred: DeferredEmbedding) -> None:
    other = SimpleVectorStore()
    other.add(list(deferred([TextNode(text="a")])))
    with pytest.raises(DeferredVectorError):
        other.query(VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=1))


# --- what passes ------------------------------------------------------------------------------


def test_it_is_an_empty_list(deferred: DeferredEmbedding) -> None:
    vector = deferred.get_text_embedding("a")
    assert isinstance(vector, list)
    assert (vector, len(vector), bool(vector), repr(vector)) == ([], 0, False, "[]")


@pytest.mark.parametrize("vector", [NoVector(), NoQueryVector("no key")], ids=["text", "query"])
@pytest.mark.parametrize(
    "again",
    [copy.copy, copy.deepcopy, lambda vector: pickle.loads(pickle.dumps(vector))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_of_it_raises_too(vector: NoVector, again: Callable[[NoVector], NoVector]) -> None:
    made = again(vector)
    assert (type(made), made.problem) == (type(vector), vector.problem)
    with pytest.raises(DeferredVectorError):
        list(made)


async def test_it_passes_through_nodes(deferred: DeferredEmbedding) -> None:
    """Pydantic writes it as an empty list, and makes one of it where it validates a node."""
    for node in [*deferred([TextNode(text="a")]), *await deferred.acall([TextNode(text="b")])]:
        for same in (node, node.model_copy(), node.model_copy(deep=True)):
            assert isinstance(same.embedding, NoVector)
            assert same.model_dump()["embedding"] == []
            assert json.loads(same.to_json())["embedding"] == []
            assert json.loads(same.model_dump_json())["embedding"] == []
            assert same.hash == node.hash
        for plain in (pickle.loads(pickle.dumps(node)), TextNode.from_json(node.to_json())):
            assert plain.embedding == []


def test_what_comes_from_the_cache_is_restored(
    deferred: DeferredEmbedding, offline_store: SemcoreVectorStore
) -> None:
    pipeline = IngestionPipeline(transformations=[deferred], vector_store=offline_store)
    for _ in range(2):
        [node] = pipeline.run(nodes=[TextNode(id_="a", text="a")])
        assert isinstance(node.embedding, NoVector)
    plain = TextNode(text="b", embedding=[])
    offline_store.add([plain])
    assert isinstance(plain.embedding, NoVector)
    [again] = deferred([TextNode(text="c", embedding=[])])
    assert isinstance(again.embedding, NoVector)
