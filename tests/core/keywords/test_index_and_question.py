"""What a question asks stands in what is indexed of the text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.keywords.test_folding import ANY_TEXT
from semantic_core.keywords import IndexedWords, Phrase, Said, ask, indexed_words
from semantic_core.keywords.scripts import characters
from support.languages import FOUND, NOT_FOUND

ENGLISH = ("en",)


def said(text: str, headings: str | None = None, languages: tuple[str, ...] = ENGLISH) -> Said:
    return Said(1, text, headings and headings + text, languages)


def words_of(text: str, headings: str | None = None) -> IndexedWords:
    (words,) = indexed_words([said(text, headings)])
    return words


def indexed(text: str, languages: tuple[str, ...] = ENGLISH, headings: str | None = None) -> str:
    """Return the words that a database has of a text, in lower case and unstemmed."""
    (words,) = indexed_words([said(text, headings, languages)])
    own = text if words.text is None else words.text
    # English is cut by the database's tokenizer.
    own = " ".join(re.findall("[a-z0-9\x80-\U0010ffff]+", own.lower()))
    return f" {' '.join(own.split())} | {words.more or ''} "


def holds(index: str, phrase: Phrase) -> bool:
    words = " ".join(phrase.words)
    return f" {words}" in index if phrase.is_prefix else f" {words} " in index


def is_found(text: str, question: str, languages: tuple[str, ...] = ENGLISH) -> bool:
    index = indexed(text, languages)
    return any(holds(index, form) for term in ask(question, languages).terms for form in term)


@pytest.mark.parametrize(("text", "question"), FOUND)
def test_a_word_is_found(text: str, question: str) -> None:
    assert is_found(text, question)


@pytest.mark.parametrize(("text", "question"), NOT_FOUND)
def test_a_word_that_is_not_there_is_not_found(text: str, question: str) -> None:
    assert not is_found(text, question)


def test_plain_english_is_indexed_as_it_is() -> None:
    words = words_of("The quick brown foxes, don't jump over snake_case 3.11.2.")
    assert (words.text, words.more) == (None, None)


def test_accented_english_is_left_to_the_tokenizer_too() -> None:
    assert str(words_of("It’s a naïve plan for cafés").text) == "It s a naive plan for cafes"


def test_a_run_is_indexed_as_pairs_and_its_last_character() -> None:
    assert indexed("东京都 x") == " 东京 京都 都 x |  "
    assert indexed("“东京ー。」Python２ é") == " 东京 京ー ー python2 e |  "
    assert indexed("东京ж京都") == " 东京 京 ж 京都 都 |  "
    assert characters("กี่ก") == ["กี่", "ก"]
    assert words_of("กี่ก").text == "กี่ก ก"


def test_a_short_run_is_asked_as_a_phrase_and_a_long_one_as_its_pairs() -> None:
    assert ask("京").terms == ((Phrase(("京",), is_prefix=True),),)
    assert ask("东京").terms == ((Phrase(("东京",)),),)
    assert ask("东京都").terms == ((Phrase(("东京", "京都")),),)
    asked = ask("东京都人")
    assert asked.terms == tuple((Phrase((pair,)),) for pair in ("东京", "京都", "都人"))
    assert asked.first == Phrase(("东京", "京都", "都人"))
    assert ask("东京都人 地图").first is None


def test_one_run_in_a_question_ends_where_the_script_changes() -> None:
    assert [form for term in ask("用Python写").terms for form in term] == [
        Phrase(("用",), is_prefix=True),
        Phrase(("python",)),
        Phrase(("写",), is_prefix=True),
    ]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("the red apple pie", "red apple"),
        ("красные яблоки здесь", "красное яблоко"),
        ("请使用Python编写程序", "用Python编"),
        ("请使用Python编写程序", "请使用Python编写"),
        ("파이썬을 사용합니다", "파이썬을 사용"),
        ("เขียนด้วยPython", "ด้วยPython"),
        ("लाल किताब यहाँ", "लाल किताब"),
    ],
)
def test_a_text_in_double_quotes_is_one_phrase(text: str, phrase: str) -> None:
    ((form,),) = ask(f'"{phrase}"').terms
    assert holds(indexed(text), form)
    assert not holds(indexed("яблоко red 写 编 किताब लाल 사용 파이썬을 ด้วย"), form)


def test_headings_are_indexed_with_less_weight() -> None:
    words = words_of("text", "Über > Ключи")
    assert (words.text, words.more) == (None, "uber ключ")


def test_with_several_languages_a_word_has_a_form_for_each() -> None:
    assert is_found("die Häuser", "Haus", ("de",))
    assert is_found("die Häuser", "hauser", ("de",))
    assert is_found("running Häuser", "Haus", ("en", "de"))
    assert ask("running", ("en", "de")).terms[0][0] == Phrase(("running",))
    form = ask('"die Häuser"', ("en", "de")).terms[0][0]
    assert holds(indexed("die Häuser dort", ("en", "de")), form)


def test_each_text_of_a_page_has_its_own_words() -> None:
    page = [
        said("plain"),
        said("a camelCase name", "of E1234"),
        said("C++"),
        said("die Häuser", None, ("de",)),
        said("plain", "Headings"),
        said("das PostgresHaus", None, ("de",)),
    ]
    words = indexed_words(page)
    assert words == [indexed_words([one])[0] for one in page]
    assert [one.more for one in words[:2]] == [None, "camel case 1234 of E1234"]
    assert is_found("das PostgresHaus", "haus", ("de",))


def test_a_number_without_end_is_no_name_with_parts() -> None:
    assert words_of("aB" * 20).more is None


PIECES = st.lists(
    st.sampled_from(
        [
            "请使用",
            "Python",
            "編集する",
            "ไทยกี่",
            "ключами",
            "한국어를",
            "किताबें",
            "camelCase",
            "É",
            "ี",
            "\u200b",
            "́",
            "-",
            "_",
            "3.11",
            "ß",
            "C++",
            "\ue000",
            "ﷺ",
            "ក្",
        ]
    )
    | st.just(" "),
    max_size=12,
).map("".join)


@given(st.one_of(ANY_TEXT, PIECES), st.data(), st.sampled_from([("en",), ("de",), ("en", "fr")]))
@example("각", None, ("en",))
def test_whatever_word_of_a_text_is_asked_is_found_in_it(
    text: str, data: st.DataObject | None, languages: tuple[str, ...]
) -> None:
    index = indexed(text, languages)
    words = text.split()
    question = text if data is None or not words else data.draw(st.sampled_from(words))
    for term in ask(question, languages).terms:
        assert any(holds(index, form) for form in term)


@given(st.text("东京都人口地图", min_size=1, max_size=12), st.data())
def test_any_part_of_a_run_is_found(run: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(run) - 1))
    part = run[start : data.draw(st.integers(start + 1, len(run)))]
    index = indexed(f"before{run}after")
    asked = ask(part)
    assert all(any(holds(index, form) for form in term) for term in asked.terms)
    assert asked.first is None or holds(index, asked.first)


@pytest.mark.parametrize(
    "text", ["字", "กี", "aB", "a" * 99 + "é", "\u0e35", "ж", "ﷺ", "C++ ", "a\u200b"]
)
def test_a_long_text_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        """Return the least time of three, of this process alone: others are at work, too."""
        times = []
        for _ in range(3):
            start = time.process_time()
            words_of((text * length)[:length])
            ask((text * length)[:length])
            times.append(time.process_time() - start)
        return max(min(times), 0.001)

    assert seconds(100_000) < 50 * seconds(10_000)
