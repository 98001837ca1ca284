"""Where words stand in a text, for highlights."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.keywords.test_folding import ANY_TEXT
from core.keywords.test_index_and_question import PIECES
from semantic_core.keywords import ask, passages
from support.languages import FOUND, NOT_FOUND

LANGUAGES = st.sampled_from([("en",), ("de",), ("en", "fr")])


def found(text: str, question: str, *languages: tuple[str, ...]) -> list[str]:
    return [text[start:end] for start, end in passages(ask(question, *languages), text)]


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        ("He runs in Running shoes", "running shoe", ["runs", "Running", "shoes"]),
        ("a cafe\u0301, naïve", "café naive", ["cafe\u0301", "naïve"]),
        ("很长的一段数据库连接失败", "数据库连接", ["数据库连接"]),
        ("请使用Python编写", "用", ["用"]),
        ("파이썬을 \u1111\u1161이썬", "파이썬", ["파이썬", "\u1111\u1161이썬"]),
        ("a camelCase E1234 name", "camel 1234", ["camel", "1234"]),
        ("C++ or C, not D", "c++", ["C++", "C"]),
        ("the red, apples; red green apple", '"red apple"', ["red, apples"]),
        ("\u0301soft\u00adhyphen", "softhyphen", ["soft\u00adhyphen"]),
        ("nothing here", "other", []),
    ],
)
def test_words_are_found_where_they_stand(text: str, question: str, expected: list[str]) -> None:
    assert found(text, question) == expected


@pytest.mark.parametrize(("text", "question"), FOUND)
def test_what_is_found_has_a_passage(text: str, question: str) -> None:
    assert found(text, question)


@pytest.mark.parametrize(("text", "question"), NOT_FOUND)
def test_what_is_not_found_has_none(text: str, question: str) -> None:
    assert found(text, question) == []


def test_words_of_both_languages_are_found_during_a_reindex() -> None:
    assert found("die Häuser", '"die Haus"', ("de",), ("en",)) == ["die Häuser"]


@given(st.one_of(ANY_TEXT, PIECES), st.data(), LANGUAGES)
def test_whatever_word_of_a_text_is_asked_has_a_passage(
    text: str, data: st.DataObject, languages: tuple[str, ...]
) -> None:
    question = ask(data.draw(st.sampled_from(text.split() or [text])), languages)
    places = passages(question, text)
    assert bool(places) == bool(question.terms)
    ends = [0, *(place for passage in places for place in passage), len(text)]
    assert ends == sorted(ends)


@pytest.mark.parametrize("text", ["字", "กี", "aB", "a", "a ", "E1 ", "C++ ", "\u0301", "用Python"])
def test_a_long_text_takes_linear_time(text: str) -> None:
    def seconds(length: int) -> float:
        """Return the least time of three, of this process alone: others are at work, too."""
        times = []
        for _ in range(3):
            start = time.process_time()
            found((text * length)[:length], f"{text * 3} b")
            times.append(time.process_time() - start)
        return max(min(times), 0.001)

    assert seconds(50_000) < 50 * seconds(5_000)
