from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import IndexNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from llamaindex_semcore import (
    RESULT_KEY,
    DeferredEmbedding,
    EmbeddingSpec,
    SemcoreVectorStore,
    UnsupportedQueryError,
)
from llamaindex_semcore.vectors import NoQueryVector, QueryVector
from semantic_core import (
    InvalidInputError,
    InvalidVectorError,
    PeeweeVectorStore,
    ProvenanceError,
    SpecMismatchError,
)
from support.languages import FOUND
from support.llamaindex import embed_all, keeps, node
from support.world import World

CAT, DOG, CAR = "the cat sat", "the dog barked", "cars need fuel"
EAST, NORTH, NORTHEAST = [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]

O = FilterOperator  # noqa: E741  # as short as the strategies need it


def ask(vector_store: SemcoreVectorStore, **query: Any) -> VectorStoreQueryResult:
    options = query.pop("options", {})
    query.setdefault("similarity_top_k", 10)
    return vector_store.query(VectorStoreQuery(**query), **options)


def infos(result: VectorStoreQueryResult) -> list[dict[str, Any]]:
    return [one.metadata[RESULT_KEY] for one in result.nodes or ()]


def test_pending_nodes_are_found_by_words_of_every_language(
    vector_store: SemcoreVectorStore,
) -> None:
    vector_store.add([node(text) for text in dict.fromkeys(text for text, _ in FOUND)])
    for text, asked in FOUND:
        found = ask(
            vector_store,
            query_str=asked,
            mode=VectorStoreQueryMode.TEXT_SEARCH,
            similarity_top_k=99,
        )
        assert text in [one.get_content() for one in found.nodes or ()], asked


@pytest.fixture
def compass(external_store: SemcoreVectorStore) -> SemcoreVectorStore:
    external_store.add(
        [
            node("east", embedding=EAST, document_id="x", n=1),
            node("north", embedding=NORTH, document_id="y", n=2),
            node("northeast", embedding=NORTHEAST, document_id="y", n=3),
        ]
    )
    return external_store


@pytest.fixture
def mixed(world: World, vector_store: SemcoreVectorStore) -> SemcoreVectorStore:
    """Cat and dog have vectors, the car waits for its own."""
    vector_store.add([node(CAT), node(DOG)])
    embed_all(world)
    vector_store.add([node(CAR)])
    return vector_store


# --- the default mode -----------------------------------------------------------------------


def test_a_query_by_vector_is_ordered_by_cosine(compass: SemcoreVectorStore) -> None:
    result = ask(compass, query_embedding=[2.0, 0.5])
    assert result.ids == ["east", "northeast", "north"]
    assert result.similarities == pytest.approx([4 / 17**0.5, 5 / 34**0.5, 1 / 17**0.5])
    assert infos(result)[0] == {
        "status": "READY",
        "match": "vector",
        "stale": False,
        "degraded": None,
    }


def test_nodes_come_no_more_than_asked(compass: SemcoreVectorStore) -> None:
    assert ask(compass, query_embedding=EAST, similarity_top_k=1).ids == ["east"]


def test_what_waits_is_found_by_keyword_among_the_vectors(
    mixed: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    """Scores never rise down the list, and no hit is without one."""
    words = "what fuel do cars need"
    vector = embed_model.get_query_embedding(words)
    result = ask(mixed, query_embedding=vector, query_str=words)
    assert set(result.ids or ()) == {CAT, DOG, CAR}
    assert result.ids is not None
    assert infos(result)[result.ids.index(CAR)]["match"] == "keyword"
    assert infos(result)[result.ids.index(CAR)]["status"] == "PENDING"
    assert result.similarities == sorted(result.similarities or (), reverse=True)


@pytest.mark.parametrize("where", ["store", "query"])
def test_what_waits_can_be_left_out(
    mixed: SemcoreVectorStore, embed_model: DeferredEmbedding, where: str
) -> None:
    words = "what fuel do cars need"
    vector = embed_model.get_query_embedding(words)
    skipping = SemcoreVectorStore(mixed.client, pending="skip") if where == "store" else mixed
    options = {"pending": "skip"} if where == "query" else {}
    result = ask(skipping, query_embedding=vector, query_str=words, options=options)
    assert set(result.ids or ()) == {CAT, DOG}


def test_a_stale_vector_serves_and_says_so(
    mixed: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    mixed.add([node("a bird sang", node_id=CAT)])
    result = ask(mixed, query_embedding=embed_model.get_query_embedding(CAT))
    assert result.ids == [CAT, DOG]
    assert infos(result)[0] == {
        "status": "PENDING",
        "match": "vector",
        "stale": True,
        "degraded": None,
    }


@pytest.mark.parametrize("embedding", [None, [], [0, 0, 0]], ids=["none", "empty", "zero"])
def test_without_a_vector_the_answer_is_by_keyword(
    offline_store: SemcoreVectorStore, embedding: list[float] | None
) -> None:
    offline_store.add([node(CAT), node(DOG)])
    result = ask(offline_store, query_embedding=embedding, query_str="dog")
    assert result.ids == [DOG]
    [info] = infos(result)
    assert info["match"] == "keyword"
    assert info["degraded"] == "no query vector: answered by keyword alone"


def test_the_reason_of_the_embed_model_is_passed_on(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([node(CAT)])
    result = ask(offline_store, query_embedding=NoQueryVector("no key"), query_str="cat")
    assert infos(result)[0]["degraded"] == "answered by keyword alone: no key"


@pytest.mark.parametrize("query", [{"query_str": ""}, {"query_str": " "}, {}])
def test_a_query_of_filters_alone_lists_what_meets_them(
    compass: SemcoreVectorStore, query: dict[str, Any]
) -> None:
    """VectorIndexAutoRetriever asks so where a question is all filter."""
    late = MetadataFilters(filters=[MetadataFilter(key="n", value=1, operator=O.GT)])
    result = ask(compass, filters=late, **query)
    assert result.ids == ["north", "northeast"]
    assert result.similarities == [1.0, 1.0]
    assert [info["match"] for info in infos(result)] == ["filter", "filter"]
    assert ask(compass, filters=late, similarity_top_k=1, **query).ids == ["north"]
    assert ask(compass, **query).ids == []


def test_an_unknown_collection_has_no_hits(store: PeeweeVectorStore) -> None:
    """And asking it does not create it: its spec may still be chosen."""
    ask(SemcoreVectorStore(store, "new"), query_embedding=EAST, query_str="words")
    assert store.collections() == []


# --- restrictions ---------------------------------------------------------------------------


def test_only_these_nodes(compass: SemcoreVectorStore) -> None:
    result = ask(compass, query_embedding=EAST, node_ids=["north", "unknown"])
    assert result.ids == ["north"]
    assert ask(compass, query_embedding=EAST, node_ids=["unknown"]).ids == []


def test_only_these_documents(compass: SemcoreVectorStore) -> None:
    result = ask(compass, query_embedding=EAST, doc_ids=["y"])
    assert result.ids == ["northeast", "north"]
    assert ask(compass, query_embedding=EAST, doc_ids=[]).ids == []


def test_an_empty_list_of_nodes_is_what_an_index_passes_always(compass: SemcoreVectorStore) -> None:
    assert len(ask(compass, query_embedding=EAST, node_ids=[]).ids or ()) == 3


def test_so_is_a_list_of_index_nodes_alone(compass: SemcoreVectorStore) -> None:
    compass.add([IndexNode(id_="i", text="i", index_id="x", embedding=NORTH)])
    for named in (["i"], ["deleted before", "i"]):
        assert len(ask(compass, query_embedding=EAST, node_ids=named).ids or ()) == 4
    assert ask(compass, query_embedding=EAST, node_ids=["i", "east"]).ids == ["east", "i"]


@pytest.mark.parametrize("mode", ["default", "sparse", "text_search", "hybrid", "mmr"])
def test_every_mode_keeps_to_every_restriction(compass: SemcoreVectorStore, mode: str) -> None:
    query = {
        "mode": VectorStoreQueryMode(mode),
        "query_embedding": EAST,
        "query_str": "east north northeast",
    }
    few = MetadataFilters(filters=[MetadataFilter(key="n", value=[1, 2], operator=O.IN)])
    assert set(ask(compass, **query).ids or ()) == {"east", "north", "northeast"}
    assert set(ask(compass, filters=few, **query).ids or ()) == {"east", "north"}
    assert set(ask(compass, doc_ids=["y"], **query).ids or ()) == {"north", "northeast"}
    assert ask(compass, filters=few, doc_ids=["y"], node_ids=["north"], **query).ids == ["north"]


@pytest.mark.parametrize("mode", ["default", "hybrid", "mmr"])
def test_what_is_new_is_found_within_a_small_limit(
    mixed: SemcoreVectorStore, embed_model: DeferredEmbedding, mode: str
) -> None:
    words = "what fuel do the cat and the dog need"
    vector = embed_model.get_query_embedding(words)
    query = {"mode": VectorStoreQueryMode(mode), "query_embedding": vector, "query_str": words}
    assert ask(mixed, similarity_top_k=1, **query).ids == [CAR]


def test_an_empty_answer_says_why(
    offline_store: SemcoreVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A result without nodes has no place for it."""
    offline_store.add([node(CAT)])
    assert ask(offline_store, query_embedding=[1.0] * 768).ids == []
    assert "Nothing was found: nothing that was asked for has a vector" in caplog.text


# --- against brute force --------------------------------------------------------------------

SIZE = 6
LANGUAGES = ["en", "de", ""]


@pytest.fixture(scope="module")
def corpus(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[SemcoreVectorStore, dict[str, tuple[dict[str, Any], Any]]]]:
    """Fifty nodes with vectors and metadata of which some is missing or null."""
    random = np.random.default_rng(7)
    rows: dict[str, tuple[dict[str, Any], Any]] = {}
    for number in range(50):
        metadata: dict[str, Any] = {"n": number % 7, "lang": LANGUAGES[number % 3]}
        if number % 4 == 0:
            metadata = {"tags": ["a", "b"][: number % 3], "lang": None}
        rows[str(number)] = (metadata, random.normal(size=SIZE))
    path: Path = tmp_path_factory.mktemp("corpus") / "notes.db"
    with PeeweeVectorStore(path) as opened:
        vector_store = SemcoreVectorStore(opened, spec=EmbeddingSpec.external("random"))
        vector_store.add(
            [
                node(name, embedding=vector.tolist(), **metadata)
                for name, (metadata, vector) in rows.items()
            ]
        )
        yield vector_store, rows


conditions = st.one_of(
    st.builds(
        lambda operator, value: MetadataFilter(key="n", value=value, operator=operator),
        st.sampled_from([O.EQ, O.NE, O.GT, O.GTE, O.LT, O.LTE]),
        st.integers(-1, 7) | st.floats(-1, 7),
    ),
    st.builds(
        lambda operator, value: MetadataFilter(key="lang", value=value, operator=operator),
        st.sampled_from([O.IN, O.NIN]),
        st.lists(st.sampled_from(LANGUAGES), min_size=1, max_size=2),
    ),
    st.builds(
        lambda operator, value: MetadataFilter(key="tags", value=value, operator=operator),
        st.sampled_from([O.ANY, O.ALL]),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=2),
    ),
    st.builds(
        lambda operator, value: MetadataFilter(key="lang", value=value, operator=operator),
        st.sampled_from([O.TEXT_MATCH, O.TEXT_MATCH_INSENSITIVE, O.CONTAINS, O.EQ]),
        st.sampled_from(["e", "E", "en"]),
    ),
    st.builds(
        lambda key: MetadataFilter(key=key, value=None, operator=O.IS_EMPTY),
        st.sampled_from(["n", "lang", "tags", "nowhere"]),
    ),
)
trees = st.recursive(
    conditions,
    lambda inner: st.builds(
        lambda parts, condition: MetadataFilters(filters=parts, condition=condition),
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from(FilterCondition),
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), top_k=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
def test_with_nothing_waiting_the_answer_is_exact_cosine_search(
    corpus: tuple[SemcoreVectorStore, dict[str, tuple[dict[str, Any], Any]]],
    data: st.DataObject,
    top_k: int,
    seed: int,
) -> None:
    """Whatever the filters are, and whatever the words of the query would find."""
    vector_store, rows = corpus
    tree = data.draw(st.none() | trees)
    filters = MetadataFilters(filters=[tree]) if isinstance(tree, MetadataFilter) else tree
    query = np.random.default_rng(seed).normal(size=SIZE)
    expected = sorted(
        (
            (float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)), name)
            for name, (metadata, vector) in rows.items()
            if keeps(filters, metadata)
        ),
        reverse=True,
    )[:top_k]
    result = ask(
        vector_store,
        query_embedding=query.tolist(),
        query_str=data.draw(st.sampled_from(["", "7", "1 2 3 4 5"])),
        similarity_top_k=top_k,
        filters=filters,
        options={"exact": data.draw(st.booleans())},
    )
    assert result.ids == [name for _, name in expected]
    assert result.similarities == pytest.approx([score for score, _ in expected], abs=1e-5)


# --- other modes ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["sparse", "text_search"])
def test_keyword_modes_need_no_vector(mixed: SemcoreVectorStore, mode: str) -> None:
    result = ask(mixed, mode=VectorStoreQueryMode(mode), query_str="the dog or the fuel")
    assert set(result.ids or ()) == {DOG, CAR, CAT}
    assert {info["match"] for info in infos(result)} == {"keyword"}
    assert {info["degraded"] for info in infos(result)} == {None}
    few = ask(mixed, mode=VectorStoreQueryMode(mode), query_str="dog fuel", sparse_top_k=1)
    assert len(few.ids or ()) == 1


def test_hybrid_fuses_by_rank_and_alpha(compass: SemcoreVectorStore) -> None:
    query = {
        "mode": VectorStoreQueryMode.HYBRID,
        "query_embedding": EAST,
        "query_str": "north",
        "hybrid_top_k": 3,
        "similarity_top_k": 1,
    }
    result = ask(compass, **query)
    assert result.ids == ["north", "east", "northeast"]
    assert infos(result)[0]["match"] == "both"
    assert result.similarities == pytest.approx([0.5 / 63 + 0.5 / 61, 0.5 / 61, 0.5 / 62])
    assert ask(compass, alpha=1.0, **query).ids == ["east", "northeast", "north"]
    assert (ask(compass, alpha=0.0, **query).ids or ())[0] == "north"


def test_hybrid_without_a_vector_answers_by_keyword(compass: SemcoreVectorStore) -> None:
    result = ask(compass, mode=VectorStoreQueryMode.HYBRID, query_embedding=[], query_str="north")
    assert result.ids == ["north"]
    assert infos(result)[0]["degraded"] == "no query vector: answered by keyword alone"


def test_mmr_avoids_what_says_the_same(external_store: SemcoreVectorStore) -> None:
    external_store.add(
        [
            node("best", embedding=[1.0, 0.1]),
            node("its twin", embedding=[1.0, 0.11]),
            node("other", embedding=[1.0, -0.9]),
        ]
    )

    def ids(**options: Any) -> list[str] | None:
        threshold = options.pop("threshold", None)
        return ask(
            external_store,
            mode=VectorStoreQueryMode.MMR,
            query_embedding=EAST,
            similarity_top_k=2,
            mmr_threshold=threshold,
            options=options,
        ).ids

    assert ids() == ["best", "other"]
    assert ids(threshold=1.0) == ["best", "its twin"]
    assert ids(threshold=0.0) == ["best", "other"]
    assert ids(mmr_threshold=1.0, threshold=0.0) == ["best", "its twin"], "the option wins"
    assert ids(mmr_prefetch_k=2) == ["best", "its twin"], "there is nothing else to choose from"


def test_mmr_reports_cosines(compass: SemcoreVectorStore) -> None:
    result = ask(compass, mode=VectorStoreQueryMode.MMR, query_embedding=EAST, mmr_threshold=0.1)
    assert result.ids == ["east", "north", "northeast"]
    assert result.similarities == pytest.approx([1.0, 0.0, 0.5**0.5])


def test_mmr_keeps_the_place_of_what_has_no_vector(
    mixed: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    words = "fuel"
    query = {
        "mode": VectorStoreQueryMode.MMR,
        "query_embedding": embed_model.get_query_embedding(words),
        "query_str": words,
    }
    assert (ask(mixed, **query).ids or ())[0] == CAR
    assert len(ask(mixed, similarity_top_k=2, **query).ids or ()) == 2
    assert ask(mixed, similarity_top_k=1, **query).ids == [CAR]
    assert set(ask(mixed, options={"pending": "skip"}, **query).ids or ()) == {CAT, DOG}


def test_mmr_without_a_vector_answers_by_keyword(offline_store: SemcoreVectorStore) -> None:
    offline_store.add([node(CAT), node(DOG)])
    result = ask(offline_store, mode=VectorStoreQueryMode.MMR, query_embedding=[], query_str="dog")
    assert result.ids == [DOG]


# --- what cannot be asked -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "error", "match"),
    [
        ({"mode": "nonsense"}, UnsupportedQueryError, "no query mode 'nonsense'.*default, sparse"),
        ({"mode": VectorStoreQueryMode.SVM}, UnsupportedQueryError, "no query mode 'svm'"),
        (
            {"mode": VectorStoreQueryMode.SEMANTIC_HYBRID},
            UnsupportedQueryError,
            "no query mode 'semantic_hybrid'",
        ),
        ({"output_fields": ["text"]}, UnsupportedQueryError, "output_fields.*Leave it out"),
        ({"embedding_field": "other"}, UnsupportedQueryError, "embedding_field"),
        ({"options": {"colour": 1}}, UnsupportedQueryError, "Unknown query options: colour"),
        ({"options": {"pending": "maybe"}}, InvalidInputError, "pending='maybe'"),
        ({"mode": VectorStoreQueryMode.HYBRID}, InvalidInputError, "'hybrid' needs query_str"),
        ({"mode": VectorStoreQueryMode.SPARSE}, InvalidInputError, "'sparse' needs query_str"),
        (
            {"mode": VectorStoreQueryMode.HYBRID, "query_str": "x", "alpha": 2.0},
            InvalidInputError,
            "alpha=2",
        ),
        (
            {"mode": VectorStoreQueryMode.MMR, "mmr_threshold": 7.0},
            InvalidInputError,
            "relevance=7",
        ),
        ({"query_embedding": [1.0, 2.0, 3.0]}, InvalidVectorError, "3 dimensions, not 2"),
        ({"query_embedding": [float("nan"), 1.0]}, InvalidVectorError, "NaN"),
    ],
)
def test_what_cannot_be_asked_says_so(
    compass: SemcoreVectorStore, query: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        ask(compass, **({"query_embedding": EAST} | query))


def test_a_query_of_another_space_is_refused(
    world: World, vector_store: SemcoreVectorStore
) -> None:
    """Two lists of 768 floats look alike; comparing them would be noise."""
    vector_store.add([node(CAT)])
    second = EmbeddingSpec.gemini_embedding_2()
    embed_model = DeferredEmbedding(world.keyring(), spec=second, embedder=world.embedder())
    with pytest.raises(SpecMismatchError, match=r"spec=vector_store\.spec"):
        ask(vector_store, query_embedding=embed_model.get_query_embedding("cat"))


def test_a_query_from_another_endpoint_is_refused(
    mixed: SemcoreVectorStore, embed_model: DeferredEmbedding
) -> None:
    vector = embed_model.get_query_embedding("cat")
    ask(mixed, query_embedding=vector)
    assert isinstance(vector, QueryVector)
    vector.provenance = "google"
    with pytest.raises(ProvenanceError, match="google"):
        ask(mixed, query_embedding=vector)
