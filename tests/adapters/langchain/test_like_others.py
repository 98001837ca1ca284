"""Methods that other vector stores of LangChain have, under the same names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from langchain_chroma import Chroma
from langchain_classic.retrievers import TimeWeightedVectorStoreRetriever
from langchain_core.documents import Document

from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore
from semantic_core import (
    ConfigurationError,
    EmbeddingStatus,
    InvalidInputError,
    InvalidMetadataError,
    NotBatchableError,
)
from support.langchain import CAR, CAT, DOCUMENTS, DOG, TableEmbeddings, embed_all, ids
from support.real_stores import chroma_client
from support.world import World

TABLE = {"north": [1.0, 0.0], "north-east": [0.9, 0.1], "east": [0.0, 1.0], "query": [1.0, 0.2]}


@pytest.fixture
def table(path: Path) -> Iterator[SemcoreVectorStore]:
    """Three texts, embedded by a table; two of them are much the same."""
    made = list(TABLE.items())[:3]
    metadatas = [{"n": 1}, {"n": 2}, {"n": 3}]
    with SemcoreVectorStore.from_embeddings(
        made, TableEmbeddings(TABLE), metadatas, ["1", "2", "3"], store=path, mode="sync"
    ) as store:
        yield store


def test_a_store_is_filled_from_vectors_and_nothing_is_embedded(table: SemcoreVectorStore) -> None:
    embedding = table.embeddings
    assert isinstance(embedding, TableEmbeddings)
    assert embedding.documents == []
    assert table.store.stats("default").ready == 3
    assert ids(table.similarity_search("query", k=2)) == ["2", "1"]


def test_what_cannot_be_filled_says_why(path: Path) -> None:
    pairs = [("north", [1.0, 0.0])]
    with pytest.raises(ConfigurationError, match="no store"):
        SemcoreVectorStore.from_embeddings(pairs, TableEmbeddings(TABLE))
    with pytest.raises(NotBatchableError, match="sync"):
        SemcoreVectorStore.from_embeddings(pairs, TableEmbeddings(TABLE), store=path)
    with pytest.raises(InvalidInputError, match="metadatas has 2 items"):
        SemcoreVectorStore.from_embeddings(pairs, None, [{}, {}], store=path)
    assert not path.exists()


async def test_or_beside_the_event_loop(path: Path) -> None:
    store = await SemcoreVectorStore.afrom_embeddings(
        [("north", [1.0, 0.0])], TableEmbeddings(TABLE), ids=["1"], store=path, mode="sync"
    )
    with store:
        assert ids(await store.asimilarity_search("query")) == ["1"]


# --- get ---------------------------------------------------------------------------------


def test_get_answers_as_chroma_does(table: SemcoreVectorStore) -> None:
    chroma = Chroma("like-others", TableEmbeddings(TABLE), client=chroma_client())
    chroma.add_texts(list(TABLE)[:3], [{"n": 1}, {"n": 2}, {"n": 3}], ids=["1", "2", "3"])
    for options in (
        {},
        {"ids": "2"},
        {"ids": ["2", "3"]},
        {"where": {"n": {"$gte": 2}}},
        {"limit": 2},
        {"limit": 2, "offset": 1},
        {"offset": 2},
        {"where": {"n": {"$gte": 2}}, "limit": 1, "offset": 1},
        {"ids": ["unknown"]},
        {"include": ["metadatas"]},
    ):
        expected = chroma.get(**options)
        found = table.get(**options)
        assert found == {name: expected[name] for name in found}, options
    with_vectors = table.get(include=["embeddings"])
    assert np.array_equal(
        with_vectors["embeddings"] or [], np.float32([TABLE[x] for x in list(TABLE)[:3]])
    )
    assert with_vectors["documents"] is None


def test_get_refuses_what_it_does_not_have(table: SemcoreVectorStore) -> None:
    with pytest.raises(InvalidInputError, match="uris"):
        table.get(include=["uris"])
    with pytest.raises(InvalidInputError, match="offset=-1"):
        table.get(offset=-1)


def test_who_has_no_vector_yet_has_none(world: World, vector_store: SemcoreVectorStore) -> None:
    vector_store.add_documents([CAT])
    embed_all(world)
    vector_store.add_documents([DOG])
    cat, dog = vector_store.get(include=["embeddings"])["embeddings"] or []
    assert cat.shape == (768,)
    assert dog is None
    both = vector_store.similarity_search_with_vectors("the cat and a dog")
    found = {document.id: vector for document, vector in both}
    assert np.array_equal(found["cat"], cat)
    assert found["dog"] is None


# --- updating and deleting ---------------------------------------------------------------


def test_documents_are_updated(world: World, vector_store: SemcoreVectorStore) -> None:
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    vector_store.update_document("cat", Document("The cat is gone.", metadata={"new": True}))
    vector_store.update_documents(["dog", "car"], [DOG, Document("No cars.", id="other")])
    assert world.statuses() == {
        "cat": EmbeddingStatus.PENDING,
        "dog": EmbeddingStatus.READY,
        "car": EmbeddingStatus.PENDING,
    }
    cat, car = vector_store.get_by_ids(["cat", "car"])
    assert (cat.page_content, cat.metadata) == ("The cat is gone.", {"new": True})
    assert car.page_content == "No cars."
    with pytest.raises(InvalidInputError, match="ids has 1 items for 2 documents"):
        vector_store.update_documents(["cat"], [CAT, CAR])


def test_a_collection_is_deleted_and_its_vectors_are_not_paid_again(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    other = SemcoreVectorStore(world.store, collection="other")
    other.add_texts(["stays"])
    vector_store.delete_collection()
    assert vector_store.get()["ids"] == []
    assert other.get()["documents"] == ["stays"]
    vector_store.add_documents(DOCUMENTS)
    assert set(world.statuses().values()) == {EmbeddingStatus.READY}


# --- scores and vectors ------------------------------------------------------------------


def test_relevance_is_made_by_the_function_given(path: Path, table: SemcoreVectorStore) -> None:
    mine = SemcoreVectorStore(
        path, TableEmbeddings(TABLE), mode="sync", relevance_score_fn=lambda cosine: cosine / 2
    )
    [(_, cosine)] = mine.similarity_search_with_score("query", k=1)
    assert mine.similarity_search_with_relevance_scores("query", k=1)[0][1] == cosine / 2
    found = table.similarity_search_with_relevance_scores("query", k=1)
    assert found[0][1] == pytest.approx((1 + cosine) / 2)
    mine.close()


def test_diverse_documents_come_with_their_cosine(table: SemcoreVectorStore) -> None:
    options = {"k": 2, "lambda_mult": 0.1}
    found = table.max_marginal_relevance_search_with_score("query", **options)
    assert ids([document for document, _ in found]) == ["2", "3"]
    assert ids(table.similarity_search("query", k=2)) == ["2", "1"]
    cosines = {d.id: cosine for d, cosine in table.similarity_search_with_score("query")}
    assert {d.id: cosine for d, cosine in found} == {"2": cosines["2"], "3": cosines["3"]}
    only = {"filter": {"n": 1}, **options}
    assert len(table.max_marginal_relevance_search_with_score("query", **only)) == 1


async def test_each_has_its_twin(table: SemcoreVectorStore) -> None:
    assert await table.aget(ids=["1"]) == table.get(ids=["1"])
    search = table.similarity_search_with_vectors("query", 1)
    [(document, vector)] = await table.asimilarity_search_with_vectors("query", 1)
    assert document == search[0][0]
    assert np.array_equal(vector, np.float32(TABLE["north-east"]))
    assert await table.amax_marginal_relevance_search_with_score(
        "query"
    ) == table.max_marginal_relevance_search_with_score("query")
    await table.aupdate_document("1", Document("east"))
    await table.aupdate_documents(["2"], [Document("east")])
    assert table.get()["documents"] == ["east"] * 3
    await table.adelete_collection()
    assert table.get()["ids"] == []


# --- metadata that JSON does not have ----------------------------------------------------


def test_dates_and_paths_are_saved_as_text_where_that_is_asked_for(path: Path) -> None:
    when = datetime(2024, 5, 6, 7, 8, 9)  # noqa: DTZ001  # as the frameworks make them
    metadata = {"at": when, "in": [{"day": date(2024, 5, 6), "path": Path("a/b")}], "n": 1}
    with SemcoreVectorStore(path, metadata_as_text=True) as store:
        store.add_texts(["text"], [metadata], ids=["a"])
        [found] = store.similarity_search("text", filter={"at": {"$gte": "2024-05"}})
    assert found.metadata == {
        "at": "2024-05-06T07:08:09",
        "in": [{"day": "2024-05-06", "path": str(Path("a/b"))}],
        "n": 1,
    }
    assert metadata["at"] is when
    with (
        SemcoreVectorStore(path) as plain,
        pytest.raises(InvalidMetadataError, match="is a datetime"),
    ):
        plain.add_texts(["text"], [metadata])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_time_weighted_retriever_works(
    world: World, embeddings: DeferredEmbeddings, *, is_async: bool
) -> None:
    store = SemcoreVectorStore(world.store, embeddings, metadata_as_text=True)
    retriever = TimeWeightedVectorStoreRetriever(vectorstore=store, decay_rate=0.5, k=1)
    now = datetime.now()  # noqa: DTZ005  # as the retriever does
    yesterday = now - timedelta(days=1)
    if is_async:
        asyncio.run(retriever.aadd_documents([CAT], current_time=yesterday))
        asyncio.run(retriever.aadd_documents([DOG], current_time=now))
    else:
        retriever.add_documents([CAT], current_time=yesterday)
        retriever.add_documents([DOG], current_time=now)
    embed_all(world)
    query = "a cat sat on a mat"
    [found] = asyncio.run(retriever.ainvoke(query)) if is_async else retriever.invoke(query)
    assert found.page_content == DOG.page_content  # less alike, but newer
    saved = store.get(where={"last_accessed_at": yesterday.isoformat()})
    assert saved["documents"] == [CAT.page_content]
