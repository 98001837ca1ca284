"""PaidEmbeddings: what was paid for, for any vector store; never a new vector."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from batch_emulator import Operation
from langchain_semcore import DeferredEmbeddings, PaidEmbeddings, SemcoreVectorStore
from semantic_core import (
    Chunk,
    ConfigurationError,
    EmbeddingSpec,
    InvalidInputError,
    PeeweeVectorStore,
)
from support.langchain import CAR, CAT, DOCUMENTS, embed_all, ids
from support.world import World


@pytest.fixture
def paid(vector_store: SemcoreVectorStore) -> PaidEmbeddings:
    return PaidEmbeddings(vector_store.store, vector_store.embeddings)


async def test_a_paid_document_goes_into_any_store_for_nothing(
    world: World, vector_store: SemcoreVectorStore, paid: PaidEmbeddings
) -> None:
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    elsewhere = InMemoryVectorStore(paid)
    elsewhere.add_documents(DOCUMENTS)
    await elsewhere.aadd_documents(DOCUMENTS)
    assert world.creates() == 1
    assert world.emulator.calls(Operation.EMBED) == []
    for document in DOCUMENTS:
        (vector,) = world.store.vectors([str(document.id)]).values()
        assert elsewhere.store[str(document.id)]["vector"] == vector.tolist()
    assert ids(elsewhere.similarity_search(CAT.page_content, k=1)) == ["cat"]
    assert len(world.emulator.calls(Operation.EMBED)) == 1  # the query, live


def test_the_vector_outlives_its_document(
    world: World, vector_store: SemcoreVectorStore, paid: PaidEmbeddings
) -> None:
    vector_store.add_documents([CAT])
    embed_all(world)
    vector_store.delete(["cat"])
    assert len(paid.embed_documents([CAT.page_content] * 1001)) == 1001


@pytest.mark.parametrize("texts", [["unknown"], [CAT.page_content, "unknown"]])
def test_no_other_text_gets_a_vector(
    world: World, vector_store: SemcoreVectorStore, paid: PaidEmbeddings, texts: list[str]
) -> None:
    vector_store.add_documents([CAT, Document("unknown")])
    embed_all(world)
    elsewhere = InMemoryVectorStore(PaidEmbeddings(world.store, collection="another"))
    vector_store.store.collection("another", EmbeddingSpec(dimensions=16))
    with pytest.raises(InvalidInputError, match=r"in the collection 'another'.*never buys"):
        elsewhere.add_texts(texts)
    with pytest.raises(InvalidInputError, match="1 of 2 texts"):
        paid.embed_documents([CAT.page_content, "never added"])
    assert elsewhere.store == {}
    assert world.emulator.calls(Operation.EMBED) == []


def test_a_collection_that_does_not_exist_has_none(paid: PaidEmbeddings) -> None:
    with pytest.raises(InvalidInputError, match="1 of 1 texts"):
        paid.embed_documents(["text"])
    assert paid.embed_documents([]) == []


def test_a_store_may_probe_while_it_is_made_and_never_again(
    vector_store: SemcoreVectorStore, paid: PaidEmbeddings
) -> None:
    def probing(embeddings: Embeddings) -> list[list[float]]:
        return embeddings.embed_documents(["dummy_text"])

    with pytest.raises(ConfigurationError, match="has none yet"):
        paid.build(probing)
    vector_store.add_documents([CAT])
    (vector,) = paid.build(probing)
    assert (len(vector), np.linalg.norm(vector)) == (768, 1.0)
    with pytest.raises(InvalidInputError):
        probing(paid)
    with pytest.raises(InvalidInputError, match="2 of 2"):
        paid.build(lambda embeddings: embeddings.embed_documents(["two", "texts"]))


def test_prepared_vectors_come_in_order_each_for_its_text(paid: PaidEmbeddings) -> None:
    """Two texts alike may have vectors of their own."""
    vectors = list(np.eye(3, dtype=np.float32))
    with paid.prepared(["same", "same", "other"], vectors):
        first, second = paid.embed_documents(["same", "same"])
        (third,) = paid.embed_documents(["other"])
    assert [first, second, third] == np.eye(3).tolist()


@pytest.mark.parametrize("asked", [["other"], ["a", "b", "a"], ["b", "a"]])
def test_a_store_that_changes_texts_is_refused(paid: PaidEmbeddings, asked: list[str]) -> None:
    vectors = list(np.eye(2, dtype=np.float32))
    with pytest.raises(InvalidInputError, match="another text"), paid.prepared(["a", "b"], vectors):
        paid.embed_documents(asked)
    with pytest.raises(InvalidInputError):
        paid.embed_documents(["a"])  # what was prepared is gone


def test_a_store_that_leaves_documents_out_is_refused(paid: PaidEmbeddings) -> None:
    vectors = list(np.eye(2, dtype=np.float32))
    with (
        pytest.raises(ConfigurationError, match="asked for 1 of 2"),
        paid.prepared(["a", "b"], vectors),
    ):
        paid.embed_documents(["a"])


def test_deliveries_take_turns_and_other_threads_may_ask(paid: PaidEmbeddings) -> None:
    """Some stores embed in a thread of their own."""
    entered, let_go = threading.Event(), threading.Event()

    def deliver(text: str, number: float) -> list[list[float]]:
        with paid.prepared([text], [np.array([number], np.float32)]):
            entered.set()
            assert let_go.wait(30)
            with ThreadPoolExecutor(1) as own:
                return own.submit(paid.embed_documents, [text]).result()

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(deliver, f"text {number}", number) for number in (1, 2)]
        assert entered.wait(30)
        let_go.set()
        assert [one.result() for one in both] == [[[1.0]], [[2.0]]]


def test_queries_need_embeddings(vector_store: SemcoreVectorStore) -> None:
    with pytest.raises(ConfigurationError, match="DeferredEmbeddings"):
        PaidEmbeddings(vector_store.store).embed_query("cats")


def test_given_vectors_are_no_cache(
    store: PeeweeVectorStore, embeddings: DeferredEmbeddings
) -> None:
    store.save([Chunk(text=CAR.page_content, vector=np.ones(768))])
    with pytest.raises(InvalidInputError):
        PaidEmbeddings(store, embeddings).embed_documents([CAR.page_content])
