"""Search: one ranking rule, filters before the scan, and an answer in every state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from semantic_core.domain.errors import InvalidFilterError, InvalidInputError, InvalidVectorError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, Match
from semantic_core.domain.types import Chunk, Coverage, SearchResults
from semantic_core.filters import parse_filter
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, embed_all, served_vector, vector_of
from support.filter_oracle import matches


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore, request: pytest.FixtureRequest) -> None:
    store.collection(spec=SPEC)
    if "pgvector" in request.node.nodeid:
        store.index()


def _ids(results: SearchResults) -> list[str]:
    return [hit.chunk.id for hit in results]


def test_a_search_is_one_snapshot_of_few_statements(tmp_path: Path) -> None:
    """Threads that search hand Python's lock to each other at every statement."""
    asked: list[str] = []
    with PeeweeVectorStore(tmp_path / "few.db") as store:
        store.collection(spec=SPEC)
        store.save([Chunk(text="apple", vector=vector_of("apple"))])
        store.search(vector=vector_of("apple"))
        store.database.connection().set_trace_callback(asked.append)
        store.search(vector=vector_of("apple"))
        store.database.connection().set_trace_callback(None)
    assert [sql.split()[0] for sql in asked] == ["BEGIN", *["SELECT"] * 4, "COMMIT"]


# --- by keyword ----------------------------------------------------------------------------


def test_keyword_search_works_while_everything_is_pending(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["red apple", "green pear"]))
    results = store.search(text="apple", mode="keyword")
    assert _ids(results) == ["red apple"]
    assert (results[0].match, results[0].score) == (Match.KEYWORD, 1.0)
    assert (results[0].status, results[0].stale) == (EmbeddingStatus.PENDING, False)
    assert (results.degraded, results.coverage) == (None, Coverage(pending=2))


def test_failed_chunks_are_found_by_keyword(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="apple", embedding_status=EmbeddingStatus.FAILED)])
    assert _ids(store.search(text="apple", mode="keyword")) == ["x"]


@pytest.mark.parametrize("mode", ["hybrid", "vector"])
def test_without_a_query_vector_keywords_answer_and_say_so(
    store: PeeweeVectorStore, mode: str
) -> None:
    store.save(chunks_of(["red apple"]))
    embed_all(store)
    results = store.search(text="apple", mode=mode)
    assert _ids(results) == ["red apple"]
    assert results.degraded == "no query vector: answered by keyword alone"
    assert results[0].match is Match.KEYWORD


def test_keyword_mode_takes_no_notice_of_a_vector(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple", "pear"]))
    embed_all(store)
    results = store.search(text="apple", vector=vector_of("pear"), mode="keyword")
    assert (_ids(results), results.degraded) == (["apple"], None)


def test_blank_query_finds_nothing_by_keyword(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple"]))
    for text in ("", "  ", None):
        assert _ids(store.search(text=text, mode="keyword")) == []


# --- by vector -----------------------------------------------------------------------------


def test_vector_search_scores_by_cosine(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("abc"))
    embed_all(store)
    query = 7 * vector_of("a") + vector_of("b")
    results = store.search(vector=query, mode="vector")
    assert results.degraded is None
    for hit in results:
        expected = vector_of(hit.chunk.id) @ query / np.linalg.norm(query)
        assert hit.score == pytest.approx(float(expected), abs=1e-6)
        assert hit.match is Match.VECTOR


def test_a_vector_without_a_text_is_a_vector_search_in_hybrid_mode(
    store: PeeweeVectorStore,
) -> None:
    store.save(chunks_of("ab"))
    embed_all(store)
    hybrid = store.search(vector=vector_of("a"))
    assert hybrid == store.search(vector=vector_of("a"), mode="vector")
    assert hybrid[0].score == pytest.approx(1, abs=1e-6)


def test_pending_keyword_hit_joins_a_vector_search(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["near", "far", "apple pie"]))
    embed(store, "near", "far")
    results = store.search(text="apple", vector=vector_of("near"), mode="vector")
    assert _ids(results) == ["apple pie", "near", "far"]
    assert [hit.match for hit in results] == [Match.KEYWORD, Match.VECTOR, Match.VECTOR]
    assert results[0].score == 1.0
    skipped = store.search(text="apple", vector=vector_of("near"), mode="vector", pending="skip")
    assert _ids(skipped) == ["near", "far"]


def test_keyword_rank_counts_those_that_have_a_vector(store: PeeweeVectorStore) -> None:
    """The global keyword list is [ready, waiting]: the second place, not the first."""
    store.save([Chunk(id="ready", text="apple apple"), Chunk(id="waiting", text="apple and pear")])
    store.save(chunks_of(["other", "another"]))
    embed(store, "apple apple", "other", "another")
    assert _ids(store.search(text="apple", mode="keyword")) == ["ready", "waiting"]
    results = store.search(text="apple", vector=vector_of("other"), mode="vector")
    assert results[0].chunk.id == "other"
    assert results[1].chunk.id == "waiting"
    assert results[1].score == results[0].score


def test_stale_hit_says_so_and_is_not_filled_in_by_keyword(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="apple")])
    results = store.search(text="apple", vector=vector_of("a"), mode="vector")
    assert _ids(results) == ["x"]
    assert (results[0].stale, results[0].match) == (True, Match.VECTOR)
    assert results[0].score == pytest.approx(1, abs=1e-6)
    assert results.coverage == Coverage(stale=1)


def test_first_vectors_change_vector_search_from_keyword_to_cosine(
    store: PeeweeVectorStore,
) -> None:
    store.save(chunks_of(["apple one", "apple two"]))
    before = store.search(text="apple", vector=vector_of("q"), mode="vector")
    assert [hit.score for hit in before] == [1, 1]
    assert before.degraded is None
    embed(store, "apple two")
    after = store.search(text="apple", vector=vector_of("q"), mode="vector")
    assert _ids(after) == ["apple one", "apple two"]
    assert [hit.match for hit in after] == [Match.KEYWORD, Match.VECTOR]


def test_equal_matches_score_alike_so_that_no_threshold_keeps_one_of_them(
    store: PeeweeVectorStore,
) -> None:
    store.save([Chunk(text=f"apple {n}") for n in range(5)])
    for mode in ("keyword", "vector", "hybrid"):
        for vector in (None, vector_of("q")):
            results = store.search(text="apple", vector=vector, mode=mode)
            assert [hit.score for hit in results] == [1.0] * 5


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_an_empty_answer_says_why_where_nothing_can_be_compared(
    store: PeeweeVectorStore, mode: str
) -> None:
    def why(**arguments: Any) -> str | None:
        results = store.search(vector=vector_of("q"), mode=mode, **arguments)
        assert len(results) == 0
        return results.degraded

    assert why() is None, "there is nothing to find"
    store.save([Chunk(id=name, text="apple", metadata={"n": name}) for name in "ab"])
    reason = "nothing that was asked for has a vector to compare yet"
    assert str(why()).startswith(reason)
    assert str(why(text=" ")).startswith(reason)
    assert str(why(text="pear")).startswith(reason)
    assert str(why(ids=["a"])).startswith(reason)
    assert why(ids=["x"]) is None
    assert why(limit=0) is None
    (many,) = store.search_many([vector_of("q")])
    assert str(many.degraded).startswith(reason)
    store.save([Chunk(id="c", text="fig", vector=vector_of("c"))])
    assert str(why(filters={"n": "a"})).startswith(reason)


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_a_common_word_gives_what_waits_no_rank_but_a_place_where_there_is_room(
    store: PeeweeVectorStore, mode: str
) -> None:
    store.save(chunks_of(["apple 1", "apple 2", "pear 3", "pear 4", "fig 5"]))
    embed(store, "apple 2", "pear 3", "pear 4", "fig 5")
    asked = {"text": "apple fig", "vector": vector_of("q"), "mode": mode}
    assert "apple 1" not in _ids(store.search(**asked, limit=4))
    results = store.search(**asked, limit=5)
    assert _ids(results)[4] == "apple 1"
    assert results[4].score == results[3].score


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
@pytest.mark.parametrize("limit", [1, 4])
def test_what_is_new_is_found_among_much_that_is_ready(
    store: PeeweeVectorStore, mode: str, limit: int
) -> None:
    """The only one with the rare word comes first, for it alone and in a sentence."""
    store.save([Chunk(text=f"the settings of the report number {n}") for n in range(261)])
    embed_all(store)
    store.save([Chunk(id="new", text="zebrafish and the settings of its tank")])
    for text in ("zebrafish", "what are the settings of the zebrafish report"):
        results = store.search(text=text, vector=vector_of(text), mode=mode, limit=limit)
        assert results[0].chunk.id == "new"


# --- hybrid --------------------------------------------------------------------------------


def test_hybrid_fuses_both_lists_by_the_documented_formula(store: PeeweeVectorStore) -> None:
    texts = [f"apple {'pie ' * n}number{n}" for n in range(6)] + ["nothing", "else"]
    store.save(chunks_of(texts))
    embed(store, *texts[2:])
    query = vector_of("q")
    by_vector = _ids(store.search(vector=query, mode="vector", limit=100))
    by_words = _ids(store.search(text="apple pie", mode="keyword", limit=100))
    for alpha in (0.0, 0.3, 0.5, 1.0):
        results = store.search(text="apple pie", vector=query, alpha=alpha, limit=100)
        scores = {
            chunk_id: (
                alpha / (61 + by_vector.index(chunk_id))
                if chunk_id in by_vector
                else alpha / (61 + by_words.index(chunk_id))
            )
            + ((1 - alpha) / (61 + by_words.index(chunk_id)) if chunk_id in by_words else 0)
            for chunk_id in {*by_vector, *by_words}
        }
        assert sorted(_ids(results)) == sorted(scores)
        for hit in results:
            assert hit.score == pytest.approx(scores[hit.chunk.id], rel=1e-12)
        assert [hit.score for hit in results] == sorted(scores.values(), reverse=True)
        assert (
            store.search(text="apple pie", vector=query, alpha=alpha, limit=3).hits
            == (results.hits[:3])
        )


def test_hybrid_hits_tell_what_they_were_found_by(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple", "apple pie", "pear"]))
    embed(store, "apple", "pear")
    results = store.search(text="apple", vector=vector_of("apple"))
    assert {hit.chunk.id: hit.match for hit in results} == {
        "apple": Match.BOTH,
        "apple pie": Match.KEYWORD,
        "pear": Match.VECTOR,
    }
    assert results[0].chunk.id == "apple"


# --- filters -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
def test_filters_are_evaluated_before_the_scan(store: PeeweeVectorStore, mode: str) -> None:
    """The only match among a thousand nearer ones is found with a limit of one."""
    store.save([Chunk(id=str(n), text=f"apple {n}", metadata={"n": n}) for n in range(300)])
    embed_all(store)
    for n in (0, 150, 299):
        results = store.search(
            text="apple", vector=vector_of("apple 7"), mode=mode, filters={"n": n}, limit=1
        )
        assert _ids(results) == [str(n)]


def test_ids_and_documents_restrict_a_search(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id=c, text=f"apple {c}", document_id=c * 2) for c in "abc"])
    embed_all(store)

    def found(**conditions: Any) -> list[str]:
        return sorted(_ids(store.search(text="apple", vector=vector_of("q"), **conditions)))

    assert found() == ["a", "b", "c"]
    assert found(ids=["a", "c", "x"]) == ["a", "c"]
    assert found(document_ids=["bb"]) == ["b"]
    assert found(ids=["a", "b"], document_ids=["bb", "cc"]) == ["b"]
    assert found(ids=[]) == found(document_ids=[]) == []
    assert found(filters={}) == ["a", "b", "c"]


def test_coverage_is_that_of_the_whole_collection(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("abc"))
    embed(store, "a")
    assert store.search(text="a", ids=["b"]).coverage == Coverage(ready=1, pending=2)


_ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.integers(0, 3) | st.sampled_from([1.0, True, "1", None]),
            "lang": st.sampled_from(["en", "de", "", None]),
            "tags": st.lists(st.sampled_from(["x", "y", 1]), max_size=2),
        },
    ),
    min_size=1,
    max_size=12,
)
_CONDITIONS = st.one_of(
    st.builds(
        lambda operator, value: {"n": {operator: value}},
        st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]),
        st.integers(0, 3),
    ),
    st.builds(
        lambda operator, values: {"lang": {operator: values}},
        st.sampled_from(["$in", "$nin"]),
        st.lists(st.sampled_from(["en", "de", "fr"]), min_size=1, max_size=2),
    ),
    st.builds(lambda value: {"tags": {"$contains": value}}, st.sampled_from(["x", "y", 1])),
    st.builds(lambda key: {key: {"$exists": True}}, st.sampled_from(["n", "lang", "tags"])),
)
_FILTERS = st.recursive(
    _CONDITIONS,
    lambda inner: (
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=2))
        | st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=2))
        | st.builds(lambda part: {"$not": part}, inner)
    ),
    max_leaves=4,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None
)
@given(rows=_ROWS, filters=st.none() | _FILTERS, limit=st.integers(0, 15), data=st.data())
def test_search_equals_brute_force_over_the_rows(
    store: PeeweeVectorStore,
    rows: list[dict[str, Any]],
    filters: Any,
    limit: int,
    data: st.DataObject,
) -> None:
    """With nothing PENDING a vector search is exact cosine search, whatever the filter.

    With chunks PENDING their keyword hits are fused in by the documented rule.
    """
    store.clear()
    store.prune(older_than=0)
    words = ["apple", "pear", "fig"]
    store.save(
        [
            Chunk(id=str(n), text=f"{words[n % 3]} {n}", metadata=metadata)
            for n, metadata in enumerate(rows)
        ]
    )
    pending = data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=3))
    chunks = {chunk.id: chunk for chunk in store.chunks()}
    embed(store, *(chunk.text for chunk in chunks.values() if int(chunk.id) not in pending))
    waiting = {str(n) for n in pending}

    tree = parse_filter(filters)
    allowed = {key for key, chunk in chunks.items() if matches(tree, chunk.metadata)}
    query = vector_of("query")
    cosines = {
        key: float(vector_of(chunk.text).astype(np.float64) @ query.astype(np.float64))
        for key, chunk in chunks.items()
        if key in allowed and key not in waiting
    }
    nearest = sorted(cosines, key=lambda key: -cosines[key])[:limit]

    exact = store.search(vector=query, mode="vector", filters=filters, limit=limit)
    assert _ids(exact) == nearest
    np.testing.assert_allclose(
        [hit.score for hit in exact], [cosines[key] for key in nearest], atol=1e-6
    )

    keywords = _ids(store.search(text="apple", mode="keyword", filters=filters, limit=limit))
    assert set(keywords) <= allowed
    fused = {key: 1 / (60 + rank) for rank, key in enumerate(nearest, start=1)}
    for rank, key in enumerate(keywords, start=1):
        if key in waiting:
            fused[key] = 1 / (60 + rank)
    # Of equals the keyword hit comes first.
    expected = sorted(fused, key=lambda key: (-fused[key], key in cosines))[:limit]
    results = store.search(text="apple", vector=query, mode="vector", filters=filters, limit=limit)
    assert _ids(results) == expected
    scores = [hit.score for hit in results]
    assert scores == sorted(scores, reverse=True)
    lent = 1.0
    for hit in results:
        lent = cosines.get(hit.chunk.id, lent)
        assert hit.score == pytest.approx(lent, abs=1e-6)


# --- arguments -----------------------------------------------------------------------------


def test_limit_bounds_the_hits(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text=f"apple {n}") for n in range(20)])
    embed_all(store)
    for mode in ("keyword", "vector", "hybrid"):
        for limit in (0, 1, 15, 100):
            results = store.search(text="apple", vector=vector_of("q"), mode=mode, limit=limit)
            assert len(results) == min(limit, 20)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"mode": "both"}, r"'both'.*hybrid, vector, keyword"),
        ({"pending": "wait"}, r"'wait'.*keyword, skip"),
        ({"alpha": 1.5}, r"1\.5"),
        ({"alpha": float("nan")}, "nan"),
        ({"limit": -1}, "-1"),
        ({"ids": "abc"}, r"\['abc'\]"),
        ({"filters": {"n": {"$nope": 1}}}, "nope"),
        ({"collection": ["x"]}, "is a list, not a string"),
        ({"collection": " "}, "blank"),
    ],
)
def test_argument_that_cannot_be_used_is_refused(
    store: PeeweeVectorStore, arguments: dict[str, Any], says: str
) -> None:
    for asked in ({"mode": "keyword"}, {"mode": "vector"}, {"mode": "hybrid"}):
        vector = None if asked["mode"] == "keyword" else vector_of("q")
        with pytest.raises(InvalidInputError, match=says):
            store.search(text="a", vector=vector, **{**asked, **arguments})


def test_unknown_filter_operator_is_its_own_error(store: PeeweeVectorStore) -> None:
    with pytest.raises(InvalidFilterError):
        store.search(text="a", filters={"n": {"$nope": 1}})


@pytest.mark.parametrize("vector", [[1.0] * 7, [float("nan")] * 8, [0.0] * 8, ["a"] * 8, []])
def test_bad_query_vector_is_refused_and_names_the_collection(
    store: PeeweeVectorStore, vector: Any
) -> None:
    with pytest.raises(InvalidVectorError, match="'default'"):
        store.search(vector=vector)


def test_missing_collection_has_no_hits(store: PeeweeVectorStore) -> None:
    results = store.search(text="a", collection="missing")
    assert list(results) == []
    assert "no collection 'missing' (there is: 'default')" in str(results.degraded)


def test_exact_search_is_always_there(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("abc"))
    embed_all(store)
    query = vector_of("q")
    assert store.search(vector=query, exact=True) == store.search(vector=query)


def test_two_spaces_in_one_database_are_searched_apart(store: PeeweeVectorStore) -> None:
    store.collection("small", EmbeddingSpec.external("foreign"))
    store.save(chunks_of(["apple"]))
    embed_all(store)
    store.save([Chunk(id="x", text="apple", vector=[1.0, 0.0])], collection="small")
    assert _ids(store.search(text="apple", vector=vector_of("q"))) == ["apple"]
    assert _ids(store.search(text="apple", vector=[0.0, 1.0], collection="small")) == ["x"]
    with pytest.raises(InvalidVectorError, match="8 dimensions, not 2"):
        store.search(vector=vector_of("q"), collection="small")


def test_stored_vector_is_compared_as_it_is_served(store: PeeweeVectorStore) -> None:
    """Also where it is not of length one."""
    store.collection("f", EmbeddingSpec.external("foreign"))
    store.save([Chunk(id="x", text="a", vector=[3.0, 4.0])], collection="f")
    served = served_vector(store, "x", "f")
    assert served is not None
    assert served.tolist() == [3.0, 4.0]
    (hit,) = store.search(vector=[1.0, 0.0], collection="f")
    assert hit.score == pytest.approx(0.6, abs=1e-6)
