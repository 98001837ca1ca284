"""Words of every language, through the public store and a real full-text index."""

from __future__ import annotations

import pytest

from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC
from support.invariants import check_full_text
from support.languages import FOUND, NOT_FOUND


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def _found(store: PeeweeVectorStore, text: str) -> list[str]:
    results = store.search(text=text, mode="keyword", limit=1000)
    return [hit.chunk.text for hit in results]


def test_each_example_is_found_and_the_text_is_as_it_was_given(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text=text) for text in dict.fromkeys(text for text, _ in FOUND)])
    check_full_text(store)
    missed = [(text, asked) for text, asked in FOUND if text not in _found(store, asked)]
    assert missed == []


@pytest.mark.parametrize(("text", "question"), NOT_FOUND)
def test_what_is_not_there_is_not_found(store: PeeweeVectorStore, text: str, question: str) -> None:
    store.save([Chunk(text=text)])
    assert _found(store, question) == []


def test_texts_that_hold_a_long_run_as_it_stands_come_first(store: PeeweeVectorStore) -> None:
    pairs = "数据 据库 库连 连接 " * 20
    store.save([Chunk(text=pairs), Chunk(text="很长的一段文字" * 50 + "数据库连接失败")])
    assert _found(store, "数据库连接")[0].endswith("数据库连接失败")
    assert len(_found(store, "数据库连接")) == 2


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("красные яблоки", "красное яблоко"),
        ("请用Python编写", "用Python编"),
        ("लाल किताब", "लाल किताब"),
    ],
)
def test_phrases_work_in_every_script(store: PeeweeVectorStore, text: str, phrase: str) -> None:
    store.save([Chunk(text=text), Chunk(text="яблоко красное 编用 Python किताब लाल")])
    assert _found(store, f'"{phrase}"') == [text]


def test_headings_are_found_and_count_less_than_the_text(store: PeeweeVectorStore) -> None:
    store.save(
        [
            Chunk(text="below it", vector_source="Установка > Zebra\n\nbelow it"),
            Chunk(text="a zebra eats"),
        ]
    )
    assert _found(store, "zebra") == ["a zebra eats", "below it"]
    assert _found(store, "установки") == ["below it"]
    store.save([Chunk(id="x", text="same", vector_source="Old\n\nsame")])
    store.save([Chunk(id="x", text="same", vector_source="New\n\nsame")])
    assert (_found(store, "old"), _found(store, "new")) == ([], ["same"])
    check_full_text(store)


def test_the_index_is_in_step_after_every_kind_of_change(store: PeeweeVectorStore) -> None:
    store.save(
        [Chunk(id="a", text="ключи"), Chunk(id="b", text="日本語"), Chunk(id="c", text="plain")]
    )
    store.save([Chunk(id="a", text="plain now"), Chunk(id="c", text="теперь нет")])
    check_full_text(store)
    assert (_found(store, "ключ"), _found(store, "plain")) == ([], ["plain now"])
    store.delete(ids=["b", "c"])
    check_full_text(store)


def test_a_collection_has_its_own_languages_and_keeps_them(
    store: PeeweeVectorStore, caplog: pytest.LogCaptureFixture
) -> None:
    made = store.collection("texts", SPEC, languages=["en", "de"])
    assert (made.languages, store.collection().languages) == (("en", "de"), ("en",))
    texts = ["die Häuser am Straßenrand", "running through houses"]
    for name in ("texts", "default"):
        store.save([Chunk(text=text) for text in texts], collection=name)
    check_full_text(store)

    def found(asked: str, collection: str) -> list[str]:
        hits = store.search(text=asked, mode="keyword", collection=collection)
        return [hit.chunk.text for hit in hits]

    assert found("Haus", "texts") == [texts[0]]
    assert found("Haus", "default") == []
    assert found("runs", "texts") == found("runs", "default") == [texts[1]]
    assert found('"die Häuser am"', "texts") == [texts[0]]
    assert store.collection("texts", languages=["fr"]).languages == ("en", "de")
    assert "keeps its languages, en, de; fr were asked for" in caplog.text
    with pytest.raises(InvalidInputError, match="languages"):
        store.collection("other", languages=["klingon"])
    assert store.find("other") is None


def _reindex_until(store: PeeweeVectorStore, languages: list[str], stop_after: int) -> None:
    """Reindex, and die after so many chunks."""

    def stop(done: int) -> None:
        if done >= stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.reindex(languages=languages, progress=stop)


def test_a_reindex_that_dies_goes_on_and_every_word_is_found_throughout(
    store: PeeweeVectorStore,
) -> None:
    texts = [f"Haus running {n}" for n in range(2500)]
    store.save([Chunk(id=text, text=text) for text in texts])
    store.save([Chunk(text="Häuser")], collection="other")

    def check() -> None:
        for asked in ("Haus", "runs", '"Haus running"'):
            assert len(store.search(text=asked, mode="keyword", limit=9999)) == len(texts), asked
        check_full_text(store)
        with store.database.transaction() as connection:
            store.database.keywords.check(connection)

    _reindex_until(store, ["de", "en"], 1000)
    found = store.find()
    assert found is not None
    assert (found.languages, found.former_languages) == (("de", "en"), ("en",))
    check()
    store.save([Chunk(id=text, text=f"{text} Gärten") for text in (texts[0], texts[2000])])
    store.delete(ids=[texts.pop(2400), texts.pop(500)])
    check()
    assert store.reindex(languages=["de", "en"]) == 1499
    check()
    assert len(_found(store, "Garten")) == 2
    assert store.reindex(languages=["de", "en"]) == 0
    assert store.search(text="Haus", mode="keyword", collection="other").hits == ()


def test_a_reindex_to_other_languages_first_ends_the_one_under_way(
    store: PeeweeVectorStore,
) -> None:
    store.save([Chunk(text=f"Häuser maisons {n}") for n in range(1100)])
    _reindex_until(store, ["de"], 1000)
    assert store.reindex(languages=["fr"]) == 100 + 1100
    found = store.find()
    assert found is not None
    assert (found.languages, found.former_languages) == (("fr",), None)
    assert len(store.search(text="maison", mode="keyword", limit=9999)) == 1100
    check_full_text(store)


def test_a_search_explains_which_words_counted(store: PeeweeVectorStore) -> None:
    store.save([Chunk(text=f"the Vögel {n}" + " ключами" * (n < 2)) for n in range(10)])
    words = store.search(text="the ключ nowhere vogel", mode="keyword").explanation
    assert (words.ranked, words.too_common, words.unknown) == (
        ("ключ",),
        ("the", "vogel"),
        ("nowhere",),
    )
    assert store.search(text="nowhere at").explanation.unknown == ("nowhere", "at")
    assert store.search(text="ключи").explain() == "Ranked by: ключи."
    assert store.search(text="!").explain() == "No word was looked for."
    asked = " ".join(f"word{n}" for n in range(200))
    store.save([Chunk(text=asked)])
    words = store.search(text=asked, mode="keyword").explanation
    assert (len(words.ranked), len(words.too_many)) == (128, 72)


def test_hits_can_be_highlighted(store: PeeweeVectorStore) -> None:
    store.collection("texts", SPEC, languages=["en", "de"])
    text = "Running through die HÄUSER: 请使用Python编写."
    store.save([Chunk(text=text)], collection="texts")
    for asked, passages in {
        "run Haus": ["Running", "HÄUSER"],
        "用 python": ["用", "Python"],
        '"die Häuser"': ["die HÄUSER"],
    }.items():
        results = store.search(text=asked, mode="keyword", collection="texts")
        found = results.explanation.passages(results[0].chunk.text)
        assert [text[start:end] for start, end in found] == passages
