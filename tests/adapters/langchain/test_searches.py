"""The searches: what they rest on while documents wait, and what they refuse."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

from batch_emulator import FaultRule, Operation, Reply
from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore
from semantic_core import (
    GoogleKeyring,
    InvalidFilterError,
    InvalidInputError,
    InvalidVectorError,
    PeeweeVectorStore,
    StorageError,
)
from support.langchain import CAT, DOCUMENTS, TableEmbeddings, embed_all, ids
from support.languages import FOUND
from support.world import World

LION = Document(id="lion", page_content="A lion is a very large cat.", metadata={"kind": "animal"})


@pytest.fixture
def half(world: World, vector_store: SemcoreVectorStore) -> SemcoreVectorStore:
    """Three documents with vectors, and one that waits for its own."""
    vector_store.add_documents(DOCUMENTS)
    embed_all(world)
    vector_store.add_documents([LION])
    return vector_store


@pytest.fixture
def broken(world: World, half: SemcoreVectorStore) -> SemcoreVectorStore:
    """The same, while live calls fail."""
    rule = FaultRule(operation=Operation.EMBED, effect=Reply(code=503), times=None)
    world.emulator.add_fault(rule)
    return half


# --- while documents are PENDING ---------------------------------------------------------


def test_pending_documents_are_found_by_keyword(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    """And nobody is asked for a vector that could be compared with nothing."""
    vector_store.add_documents([*DOCUMENTS, LION])
    found = vector_store.similarity_search_with_score("cat", k=4)
    assert {document.id for document, _ in found} == {"cat", "lion"}
    assert [score for _, score in found] == [1.0, 1.0]
    assert world.emulator.calls(Operation.EMBED) == []


def test_pending_documents_are_found_by_words_of_every_language(
    vector_store: SemcoreVectorStore,
) -> None:
    texts = list(dict.fromkeys(text for text, _ in FOUND))
    vector_store.add_texts(texts)
    for text, asked in FOUND:
        found = [document.page_content for document in vector_store.similarity_search(asked, k=99)]
        assert text in found, asked


def test_a_pending_document_joins_the_nearest_by_its_rank(half: SemcoreVectorStore) -> None:
    found = half.similarity_search_with_score("large lion", k=4)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert found[0][0].id == "lion"
    assert scores[0] == 1.0
    assert ids(half.similarity_search("large lion", k=1)) == ["lion"]


def test_with_everything_embedded_every_score_is_a_cosine(
    world: World, half: SemcoreVectorStore
) -> None:
    embed_all(world)
    found = half.similarity_search_with_score("large lion", k=4)
    assert len({score for _, score in found}) == 4
    assert found == half.similarity_search_with_score_by_vector(
        half.embeddings.embed_query("large lion"), k=4
    )


def test_relevance_without_a_threshold_follows_the_same_rule(half: SemcoreVectorStore) -> None:
    scored = half.similarity_search_with_score("large lion", k=4)
    assert half.similarity_search_with_relevance_scores("large lion", k=4) == [
        (document, (1 + score) / 2) for document, score in scored
    ]


def test_by_vector_only_vectors_count(half: SemcoreVectorStore) -> None:
    vector = half.embeddings.embed_query("large lion")
    assert sorted(ids(half.similarity_search_by_vector(vector, k=4))) == ["car", "cat", "dog"]
    diverse = half.max_marginal_relevance_search_by_vector(vector, k=4)
    assert sorted(ids(diverse)) == ["car", "cat", "dog"]


def test_a_threshold_drops_no_document_for_having_no_vector(half: SemcoreVectorStore) -> None:
    plain = half.similarity_search_with_relevance_scores("large lion", k=4)
    for threshold in (0.0, 0.53, 0.99):
        assert half.similarity_search_with_relevance_scores(
            "large lion", k=4, score_threshold=threshold
        ) == [pair for pair in plain if pair[1] >= threshold]
    [(only, _)] = half.similarity_search_with_relevance_scores("large lion", score_threshold=0.99)
    assert only.id == "lion"


def test_mmr_keeps_the_place_of_a_pending_document(half: SemcoreVectorStore) -> None:
    plain = ids(half.similarity_search("large lion", k=3))
    diverse = ids(half.max_marginal_relevance_search("large lion", k=3, lambda_mult=0.0))
    assert diverse.index("lion") == plain.index("lion")
    assert len(set(diverse)) == 3


def test_mmr_answers_by_keyword_while_nothing_is_embedded(vector_store: SemcoreVectorStore) -> None:
    vector_store.add_documents([*DOCUMENTS, LION])
    assert sorted(ids(vector_store.max_marginal_relevance_search("cat"))) == ["cat", "lion"]


def test_a_threshold_finds_by_keyword_while_nothing_is_embedded(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    vector_store.add_documents([*DOCUMENTS, LION])
    found = vector_store.similarity_search_with_relevance_scores("cat", score_threshold=0.9)
    assert {document.id for document, _ in found} == {"cat", "lion"}
    assert world.emulator.calls(Operation.EMBED) == []


def test_an_empty_answer_by_vector_says_why(
    vector_store: SemcoreVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A list of documents has no place for it."""
    vector_store.add_documents(DOCUMENTS)
    assert vector_store.similarity_search_by_vector([1.0] * 768) == []
    assert "Nothing was found: nothing that was asked for has a vector" in caplog.text


def test_filters_hold_for_pending_documents_too(half: SemcoreVectorStore) -> None:
    assert ids(half.similarity_search("lion", filter={"kind": "machine"})) == ["car"]
    found = half.similarity_search("lion", k=9, filter={"kind": {"$in": ["animal"]}})
    assert set(ids(found)) == {"cat", "dog", "lion"}
    assert ids(half.similarity_search("lion", filter=lambda d: d.id == "lion")) == ["lion"]
    assert half.similarity_search("lion", filter=lambda _: False) == []


def test_plain_search_adds_nothing_to_metadata(half: SemcoreVectorStore) -> None:
    for document in half.similarity_search("lion", k=4):
        assert document.metadata.keys() == {"kind"}


# --- search types ------------------------------------------------------------------------


async def test_every_search_type(half: SemcoreVectorStore) -> None:
    assert half.search("lion", "similarity", k=2) == half.similarity_search("lion", k=2)
    assert half.search("lion", "mmr", k=2) == half.max_marginal_relevance_search("lion", k=2)
    near = half.search("lion", "similarity_score_threshold", k=2, score_threshold=0.1)
    assert len(near) == 2
    assert near == await half.asearch(
        "lion", "similarity_score_threshold", k=2, score_threshold=0.1
    )
    with pytest.raises(ValueError, match="not allowed"):
        half.search("lion", "telepathy")


@pytest.mark.parametrize(
    ("search_type", "options"),
    [
        ("similarity", {}),
        ("mmr", {"fetch_k": 10, "lambda_mult": 0.3}),
        ("similarity_score_threshold", {"score_threshold": 0.1}),
    ],
)
async def test_retrievers_of_every_type_take_filters(
    half: SemcoreVectorStore, search_type: str, options: dict[str, Any]
) -> None:
    retriever = half.as_retriever(
        search_type=search_type, search_kwargs={"k": 2, "filter": {"kind": "animal"}, **options}
    )
    assert retriever.tags == ["SemcoreVectorStore", "DeferredEmbeddings"]
    found = retriever.invoke("cats and dogs")
    assert len(found) == 2
    assert {document.metadata["kind"] for document in found} == {"animal"}
    assert await retriever.ainvoke("cats and dogs") == found
    assert ids(retriever.invoke("cats", k=1)) == ["cat"]
    retriever.add_documents([Document("Another cat.", id="new", metadata={"kind": "animal"})])
    assert ids(half.get_by_ids(["new"])) == ["new"]


# --- where the query cannot be embedded --------------------------------------------------


def test_a_failing_query_embedding_degrades_to_keyword(
    broken: SemcoreVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="langchain_semcore"):
        found = broken.similarity_search_with_score("cat", k=4)
    assert {document.id for document, _ in found} == {"cat", "lion"}
    assert [score for _, score in found] == [1.0, 1.0]
    assert "answered by keyword alone" in caplog.text
    assert {d.id for d in broken.max_marginal_relevance_search("cat")} == {"cat", "lion"}
    assert [s for _, s in broken.similarity_search_with_relevance_scores("cat")] == [1.0, 1.0]


def test_a_threshold_does_not_hide_what_a_search_without_one_finds(
    broken: SemcoreVectorStore,
) -> None:
    """An empty list would say that nothing is relevant."""
    found = broken.similarity_search_with_relevance_scores("cat", score_threshold=0.5)
    assert {document.id for document, _ in found} == {"cat", "lion"}


def test_without_a_key_the_answer_comes_by_keyword(world: World, half: SemcoreVectorStore) -> None:
    embeddings = DeferredEmbeddings(embedder=world.embedder(GoogleKeyring()))
    keyless = SemcoreVectorStore(world.store, embedding=embeddings)
    assert set(ids(keyless.similarity_search("cat"))) == {"cat", "lion"}
    assert "GEMINI_API_KEY" in str(keyless.searcher.by_text("cat", 4).degraded)


def test_without_an_embedding_the_answer_comes_by_keyword(
    world: World, half: SemcoreVectorStore
) -> None:
    plain = SemcoreVectorStore(world.store)
    assert plain.embeddings is None
    assert set(ids(plain.similarity_search("cat"))) == {"cat", "lion"}
    assert "DeferredEmbeddings" in str(plain.searcher.by_text("cat", 4).degraded)


def test_whatever_a_foreign_embedding_raises_degrades_too(
    store: PeeweeVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    table = TableEmbeddings({CAT.page_content: [1.0, 0.0]})
    vector_store = SemcoreVectorStore(store, embedding=table, mode="sync")
    vector_store.add_documents([CAT])
    assert ids(vector_store.similarity_search("secret cat")) == ["cat"]
    assert "KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_another_embedding_may_embed_the_queries(world: World, half: SemcoreVectorStore) -> None:
    table = TableEmbeddings({"?": half.embeddings.embed_query("cars and fuel")})
    embeddings = DeferredEmbeddings(GoogleKeyring(), query_embeddings=table)
    vector_store = SemcoreVectorStore(world.store, embedding=embeddings)
    assert ids(vector_store.similarity_search("?", k=1)) == ["car"]
    assert table.queries == ["?"]


def test_another_endpoint_is_never_asked(world: World, half: SemcoreVectorStore) -> None:
    """Its vectors would be compared with those of the first one."""
    googles = SemcoreVectorStore(world.store, embedding=DeferredEmbeddings(world.keyring()))
    calls = len(world.emulator.calls(Operation.EMBED))
    assert "cat" in googles.similarity_search("cat")[0].page_content
    assert "endpoint:" in str(googles.searcher.by_text("cat", 4).degraded)
    assert len(world.emulator.calls(Operation.EMBED)) == calls


def test_a_database_that_cannot_be_read_is_not_answered_from(path: Path) -> None:
    """Keyword search lies in the same file."""
    table = TableEmbeddings({CAT.page_content: [1.0, 0.0], "cat": [1.0, 0.0]})
    with SemcoreVectorStore(path, embedding=table, mode="sync") as vector_store:
        vector_store.add_documents([CAT])
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError):
        vector_store.similarity_search("cat")
    vector_store.close()


def test_a_blank_query_finds_nothing_and_asks_nobody(
    world: World, half: SemcoreVectorStore
) -> None:
    calls = len(world.emulator.calls(Operation.EMBED))
    assert half.similarity_search("  ") == []
    assert len(world.emulator.calls(Operation.EMBED)) == calls


def test_a_filter_alone_chooses_documents(world: World, half: SemcoreVectorStore) -> None:
    """Nothing is embedded; a self-querying retriever asks like that."""
    calls = len(world.emulator.calls(Operation.EMBED))
    chosen = {"kind": {"$exists": True}}
    assert ids(half.similarity_search(" ", k=2, filter=chosen)) == ["cat", "dog"]
    assert half.similarity_search(
        " ", filter=lambda document: document.id == "car"
    ) == half.get_by_ids(["car"])
    assert half.similarity_search(" ", filter={"kind": "none"}) == []
    assert half.similarity_search(" ", filter={}) == []
    assert half.searcher.by_text("", 1, chosen).coverage == half.searcher.by_text("a", 1).coverage
    assert len(world.emulator.calls(Operation.EMBED)) == calls + 1


@pytest.mark.parametrize(
    "filters", [{"kind": ["animal"]}, {"$or": [{"kind": ["animal"]}, {"n": 1}]}]
)
def test_a_list_that_nothing_equals_is_explained(
    half: SemcoreVectorStore, caplog: pytest.LogCaptureFixture, filters: dict[str, Any]
) -> None:
    assert half.similarity_search("cat", filter={"kind": {"$in": ["animal"]}})
    assert half.similarity_search("cat", filter={"kind": {"$in": ["none"]}}) == []
    assert "$in" not in caplog.text
    assert half.similarity_search("cat", filter=filters) == []
    assert '{"key": {"$in"' in caplog.text
    assert "animal" not in caplog.text


# --- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filters",
    [
        {"kind": {"$regex": "a"}},
        {"$nor": [{"kind": "a"}]},
        {"$.kind": "animal"},
        {"kind": {"$in": "animal"}},
        {"kind": {"$between": [1]}},
        {"kind": {"$gt": None}},
        {"kind": {}},
        {"$and": []},
        {1: 2},
        "kind = 'animal'",
        [("kind", "animal")],
    ],
)
def test_filters_that_cannot_be_used_are_refused_before_the_query_is_paid(
    world: World, half: SemcoreVectorStore, filters: Any
) -> None:
    calls = len(world.emulator.calls(Operation.EMBED))
    for search in (
        half.similarity_search,
        half.similarity_search_with_score,
        half.similarity_search_with_relevance_scores,
        half.max_marginal_relevance_search,
    ):
        with pytest.raises(InvalidFilterError):
            search("cat", filter=filters)
    with pytest.raises(InvalidFilterError):
        half.similarity_search_with_relevance_scores("cat", filter=filters, score_threshold=0.5)
    with pytest.raises(InvalidFilterError):
        half.similarity_search_by_vector([1.0] * 768, filter=filters)
    assert len(world.emulator.calls(Operation.EMBED)) == calls


@pytest.mark.parametrize(
    "key",
    ["' OR 1=1 --", "kind') OR 1=1 --", "x$.kind", 'kind"', "kind\\", "kind; DROP TABLE chunks"],
)
def test_a_filter_key_that_tries_to_be_sql_is_a_key_nobody_has(
    half: SemcoreVectorStore, key: str
) -> None:
    assert half.similarity_search("cat", filter={key: "animal"}) == []
    assert half.similarity_search("cat", filter={"kind": f"{key} animal"}) == []
    half.add_texts(["A cat with a strange key."], [{key: "animal"}], ids=["strange"])
    assert ids(half.similarity_search("cat", filter={key: "animal"})) == ["strange"]
    assert len(half.get_by_ids(["cat", "dog", "car", "lion"])) == 4


@pytest.mark.parametrize("vector", [[1.0] * 6, [], [float("nan")] * 768, ["1"] * 768, "vector"])
def test_a_query_vector_that_does_not_fit_is_refused(half: SemcoreVectorStore, vector: Any) -> None:
    for search in (
        half.similarity_search_by_vector,
        half.similarity_search_with_score_by_vector,
        half.max_marginal_relevance_search_by_vector,
    ):
        with pytest.raises(InvalidVectorError):
            search(vector)


def test_an_embedding_of_another_size_is_refused(path: Path) -> None:
    table = TableEmbeddings({"text": [1.0, 0.0], "query": [1.0, 0.0, 0.0]})
    with SemcoreVectorStore(path, embedding=table, mode="sync") as vector_store:
        vector_store.add_texts(["text"])
        with pytest.raises(InvalidVectorError, match="3 dimensions, not 2"):
            vector_store.similarity_search("query")


@pytest.mark.parametrize("options", [{"filters": {"kind": "animal"}}, {"where": {}}, {"k": -1}])
def test_options_that_nobody_knows_are_refused(
    half: SemcoreVectorStore, options: dict[str, Any]
) -> None:
    """Ignoring a misspelled filter would return what was to be left out."""
    for search in (
        half.similarity_search,
        half.similarity_search_with_score,
        half.similarity_search_with_relevance_scores,
        half.max_marginal_relevance_search,
    ):
        with pytest.raises(InvalidInputError):
            search("cat", **options)


@pytest.mark.parametrize("lambda_mult", [-0.1, 1.1])
def test_mmr_weights_are_from_0_to_1(half: SemcoreVectorStore, lambda_mult: float) -> None:
    with pytest.raises(InvalidInputError, match="0 to 1"):
        half.max_marginal_relevance_search("cat", lambda_mult=lambda_mult)


def test_nothing_is_asked_for(half: SemcoreVectorStore) -> None:
    assert half.similarity_search("cat", k=0) == []
    assert half.max_marginal_relevance_search("cat", k=0) == []


def test_an_empty_filter_is_no_filter(half: SemcoreVectorStore) -> None:
    assert half.similarity_search("cat", filter={}) == half.similarity_search("cat")
