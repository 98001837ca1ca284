"""The full-text index: always in step, never a syntax error."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from semantic_core.schema import SchemaOptions
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.fulltext import MOST_WORDS, match_expression
from semantic_core.types import Chunk
from support.chunks import SPEC, chunks_of, embed, embed_all
from support.invariants import check_full_text


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _found(store: PeeweeVectorStore, text: str, collection: str = "default") -> list[str]:
    results = store.search(text=text, mode="keyword", limit=1000, collection=collection)
    return [hit.chunk.id for hit in results]


def _expression(store: PeeweeVectorStore, text: str) -> str | None:
    with store.database.snapshot() as connection:
        return match_expression(connection, text)


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


def test_a_save_that_fails_leaves_the_index_in_step(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple"]))
    store.database.connection().execute(
        "CREATE TEMP TRIGGER refuse AFTER UPDATE ON main.chunks "
        "BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )
    with pytest.raises(Exception, match="refused"):
        store.save([*chunks_of(["pear"]), Chunk(id="apple", text="orange")])
    check_full_text(store)
    assert _found(store, "apple pear orange") == ["apple"]


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
    assert _expression(store, '"red" "apple"') == '"red" OR "apple"'
    assert _expression(store, '"red apple') == '"red" OR "apple"'


@pytest.mark.parametrize("text", ["", "  ", "?!", '""', '"', "“”", "\0", "\u0301"])
def test_query_without_a_word_finds_nothing(store: PeeweeVectorStore, text: str) -> None:
    store.save(chunks_of(["apple"]))
    assert _expression(store, text) is None
    assert _found(store, text) == []


def test_common_words_are_dropped_when_others_remain(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text=f"common word {n}" + " rare" * (n == 7)) for n in range(600)])
    assert _expression(store, "common rare") == '"rare"'
    assert _expression(store, "common rare missing") == '"rare"'
    assert _expression(store, "common word") == '"common" OR "word"'
    assert _expression(store, "common missing") == '"common" OR "missing"'
    assert len(_found(store, "common")) == 600


def test_no_word_is_common_in_a_small_store(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text=f"common {n}") for n in range(50)])
    assert _expression(store, "common 7") == '"common" OR "7"'


def test_what_is_common_is_counted_over_all_collections(store: PeeweeVectorStore) -> None:
    """The index is one for all: a word in all rows of a small collection may be a rare one."""
    store.collection("small", SPEC)
    store.save([Chunk(text=f"filler {n}") for n in range(2000)])
    store.save([Chunk(text=f"topic {n}") for n in range(150)], collection="small")
    assert _expression(store, "topic 7") == '"topic" OR "7"'


def test_collections_do_not_see_each_other(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["apple"]))
    store.save(chunks_of(["apple pie"]), collection="other")
    assert _found(store, "apple") == ["apple"]
    assert _found(store, "apple", "other") == ["apple pie"]


def test_long_query_is_cut(store: PeeweeVectorStore) -> None:
    store.save(chunks_of(["w0", f"w{MOST_WORDS}"]))
    words = [f"w{n}" for n in range(10_000)]
    assert _found(store, " ".join(words)) == ["w0"]
    assert _found(store, '"' + " ".join(words) + '"') == []


def test_another_tokenizer_may_be_chosen(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("db") / "plain.db"
    options = SchemaOptions(tokenizer="unicode61")
    with PeeweeVectorStore(path, options=options) as store:
        store.save(chunks_of(["running"]))
        assert _found(store, "run") == []
        assert _found(store, "running") == ["running"]


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
