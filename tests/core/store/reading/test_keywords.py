"""The full-text index: always in step, never a syntax error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from semantic_core.database.strategies import Where
from semantic_core.database.word_choice import MOST_WORDS
from semantic_core.domain.types import Chunk
from semantic_core.keywords import ask
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, embed_all, vector_of
from support.invariants import check_full_text


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _found(store: PeeweeVectorStore, text: str, collection: str = "default") -> list[str]:
    results = store.search(text=text, mode="keyword", limit=1000, collection=collection)
    return [hit.chunk.id for hit in results]


def _asked(store: PeeweeVectorStore, text: str) -> list[tuple[str, ...]]:
    """Return what is asked for a rank, then what fills up."""
    found = store.search(text=text, mode="keyword", limit=1000).explanation
    return [words for words in (found.ranked, found.too_common) if words]


def test_index_is_in_step_after_every_kind_of_change(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["one apple", "two pears", "three figs"], document_id="d"))
    check_full_text(store)
    store.save([Chunk(id="one apple", text="one orange"), *chunks_of(["four plums"])])
    check_full_text(store)
    store.save([Chunk(id="two pears", text="two pears", metadata={"k": 1})])
    check_full_text(store)
    embed_all(store)
    check_full_text(store)
    store.delete(ids=["three figs"])
    check_full_text(store)
    assert _found(store, "apple figs") == []
    assert _found(store, "orange") == ["one apple"]
    store.clear()
    check_full_text(store)
    assert _found(store, "orange pears plums") == []


def test_words_are_joined_by_or(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["red apple", "green pear", "blue sky"]))
    assert sorted(_found(store, "a red pear?")) == ["green pear", "red apple"]


def test_more_matching_words_rank_higher(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["red sky", "red apple pie", "apple tree"]))
    assert _found(store, "red apple")[0] == "red apple pie"


def test_words_match_by_stem_and_without_case_or_accents(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["running cafés"]))
    for text in ("RUN", "cafe", "Café", "cafe\u0301", "ca\u0301fe"):
        assert _found(store, text) == ["running cafés"], text


def test_query_in_quotes_is_a_phrase(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["the red apple", "apple, red", "red green apple"]))
    assert _found(store, '"red apple"') == ["the red apple"]
    assert _found(store, ' "red-apple!" ') == ["the red apple"]


def test_quotes_inside_a_query_are_no_phrase(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["red apple"]))
    assert _asked(store, '"red" "apple"') == [("red", "apple")]
    assert _asked(store, '"red apple') == [("red", "apple")]


@pytest.mark.parametrize("text", ["", "  ", "?!", '""', '"', "“”", "\0", "\u0301"])
def test_query_without_a_word_finds_nothing(store: PeeweeVectorStore, text: str) -> None:
    store.save(chunks_of(["apple"]))
    assert _asked(store, text) == []
    assert _found(store, text) == []


def test_a_common_word_has_no_part_in_the_ranking_when_others_remain(
    store: PeeweeVectorStore,
) -> None:
    store.save([Chunk(text=f"common word {n}" + " rare" * (n == 7)) for n in range(600)])
    assert _asked(store, "common rare") == [("rare",), ("common",)]
    assert _asked(store, "common rare missing") == [("rare",), ("common",)]
    assert _asked(store, "common word") == [("common", "word")]
    assert _asked(store, "common missing") == [("common",)]
    assert _asked(store, "missing nowhere") == []
    assert len(_found(store, "common")) == 600
    assert len(_found(store, "common rare")) == 600


def test_a_fifth_is_not_yet_common(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text="pie" + " apple" * (n < 2) + " pear" * (n < 3)) for n in range(10)])
    assert _asked(store, "pie apple pear") == [("apple",), ("pear", "pie")]


def test_what_is_common_is_counted_among_what_is_asked(store: PeeweeVectorStore) -> None:
    """The index is one for all collections, and a filter leaves few of its rows."""
    store.collection("small", SPEC)
    store.save(
        [Chunk(text=f"report {n}", metadata={"n": n % 40}) for n in range(400)]
        + [Chunk(id="zebra", text="zebra", metadata={"n": 0})]
    )
    store.save([Chunk(text=f"zebra {n}") for n in range(150)], collection="small")
    for filters in (None, {"n": 0}):
        results = store.search(text="report zebra", mode="keyword", filters=filters)
        assert results[0].chunk.id == "zebra"
        assert len(results) == 10


@pytest.mark.parametrize(
    "filters", [{"tags": {"$contains": "x"}}, {"n": {"$ne": 0}}, {"s": {"$like": "a%"}}]
)
def test_a_rank_is_the_same_in_every_mode(
    store: PeeweeVectorStore, filters: dict[str, Any]
) -> None:
    """Also under a filter that has to be asked of each row, which leaves few of them."""
    store.save(
        [
            Chunk(
                text=f"{'report' if n < 12 else 'zebra' if n < 24 else 'other'} apple {n}",
                metadata={"tags": ["x"] * (n < 15), "n": int(n < 15), "s": "a" if n < 15 else "b"},
            )
            for n in range(100)
        ]
    )
    store.save([Chunk(id="ready", text="no word of it", metadata={"n": 0}, vector=vector_of("r"))])
    asked = {"text": "report zebra", "filters": filters, "limit": 15}
    by_words = [hit.chunk.id for hit in store.search(mode="keyword", **asked)]
    assert len(by_words) == 15
    for mode in ("vector", "hybrid"):
        results = store.search(vector=vector_of("q"), mode=mode, **asked)
        assert [hit.chunk.id for hit in results] == by_words


def test_collections_do_not_see_each_other(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple"]))
    store.save(chunks_of(["apple pie"]), collection="other")
    assert _found(store, "apple") == ["apple"]
    assert _found(store, "apple", "other") == ["apple pie"]


def test_of_a_long_query_the_rarest_words_count(store: PeeweeVectorStore) -> None:
    """A pasted log with the question at its end, of which most words stand somewhere."""
    log = [f"w{n}" for n in range(1000)]
    store.save([Chunk(text=f"{word} line {n}") for word in log for n in range(2)])
    store.save([Chunk(id="answer", text="what zebra")])
    asked = " ".join([*log, *log, "what about the zebra"])
    results = store.search(text=asked, mode="keyword", limit=1500)
    assert results[0].chunk.id == "answer"
    assert len(results) == 1500
    assert results.degraded == "too many words: ranked by the 128 rarest, without 874 more"
    assert store.search(text="zebra " * 10_000, mode="keyword").degraded is None
    assert store.search(text=" ".join(log[:MOST_WORDS]), mode="keyword").degraded is None


def test_with_enough_rows_of_rare_words_others_are_not_ranked(
    store: PeeweeVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save([Chunk(id=str(n), text=("rare " * (n < 4)) + f"often t{n}") for n in range(10)])
    store.save([Chunk(text=f"other t{n}") for n in range(60)])
    monkeypatch.setattr(f"{type(store.database.keywords).__module__}._CANDIDATES", 4)
    with store.database.snapshot() as connection:
        rows = store.database.metadata.rows(connection, Where(collection_id=1))
        counted, returned = rows.scopes(70, by_vector=False)
        found = store.database.keywords.search(
            connection, ask("often rare"), counted=counted, returned=returned
        )
        assert found is not None
        assert sorted(found.best(4)) == [1, 2, 3, 4]
        assert sorted(found.best(5))[:4] == [1, 2, 3, 4]
        assert len(found.best(50)) == 10


def test_a_phrase_is_never_cut(store: PeeweeVectorStore) -> None:
    words = [f"w{n}" for n in range(2 * MOST_WORDS)]
    store.save([Chunk(id="whole", text=" ".join(words)), Chunk(text=" ".join(words[:-1]))])
    assert _found(store, '"' + " ".join(words) + '"') == ["whole"]


_WORDS = ["report", "zebra", "apple", "pear", "the", "rare", "nowhere"]
_TEXTS = st.lists(st.sampled_from(_WORDS[:-1]), min_size=1, max_size=4).map(" ".join)
_FILTERS: list[Any] = [None, {"n": 0}, {"n": {"$in": [0, 1]}}, {"n": {"$ne": 0}}]
_FILTERS += [{"tags": {"$contains": "x"}}, {"n": 0, "tags": {"$contains": "x"}}]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(data=st.data())
def test_one_more_word_never_leaves_fewer_hits(
    store: PeeweeVectorStore, data: st.DataObject
) -> None:
    """Whatever the collection, the filter, the way of asking, and what has a vector."""
    for name in ("default", "small"):
        store.collection(name, SPEC)
        store.clear(name)
        most = 60 if name == "default" else 6
        texts = data.draw(st.lists(_TEXTS, min_size=1, max_size=most), label=name)
        store.save(
            [
                Chunk(text=text, metadata={"n": n % 3, "tags": ["x"] if n % 2 else []})
                for n, text in enumerate(texts)
            ],
            collection=name,
        )
    embed(store, *data.draw(st.lists(_TEXTS, max_size=5), label="embedded"))
    words = data.draw(st.lists(st.sampled_from(_WORDS), min_size=1, max_size=6), label="words")
    arguments = data.draw(
        st.fixed_dictionaries(
            {
                "filters": st.sampled_from(_FILTERS),
                "collection": st.sampled_from(["default", "small"]),
                "limit": st.integers(1, 30),
                "mode": st.sampled_from(["keyword", "vector", "hybrid"]),
                "vector": st.sampled_from([None, vector_of("q")]),
            }
        ),
        label="arguments",
    )
    before = store.search(text=words[0], **arguments)
    for count in range(2, len(words) + 1):
        after = store.search(text=" ".join(words[:count]), **arguments)
        assert len(after) >= len(before)
        if len(after) < arguments["limit"]:
            assert {hit.chunk.id for hit in after} >= {hit.chunk.id for hit in before}
        before = after


def test_equal_ranks_keep_the_order_of_saving(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id=str(n), text="apple pie") for n in range(20)])
    assert _found(store, "pie") == [str(n) for n in range(20)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.text(st.characters(), max_size=40))
@example('NEAR(a b) AND text: x* ^y "z')
@example('"a" OR (b NOT c)')
@example("{chunks_fts} : -a + 'b'; DROP TABLE chunks --")
@example("_ __ ª ² ① 한국어 हिन्दी")
@example("a" * 5000)
@example("\ud800 \udfff \0")
def test_no_query_is_a_syntax_error(store: PeeweeVectorStore, text: str) -> None:
    store.save(chunks_of(["apple"]))
    embed(store, "apple")
    for query in (text, f'"{text}"'):
        results = store.search(text=query, mode="keyword")
        assert results.degraded is None
        assert results.coverage.total == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8))
@example("\u037f")  # a capital letter that the tokenizer takes for small
@example("\U0002f800")  # another form of a letter, which must not be normalised away
def test_a_word_finds_the_text_that_holds_it(store: PeeweeVectorStore, word: str) -> None:
    store.save([Chunk(id="x", text=f"before {word} after")])
    assert _found(store, word) == ["x"]
