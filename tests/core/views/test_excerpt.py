"""The part of a hit that is shown."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from semantic_core.views.wording import Passages, excerpt


def words(asked: str) -> Passages:
    pattern = re.compile("|".join(map(re.escape, asked.split())) or "(?!)")
    return lambda text: [found.span() for found in pattern.finditer(text)]


def marked(asked: str, text: str, width: int) -> tuple[str, list[str]]:
    part = excerpt(text, words(asked), width)
    return part.line, [part.line[start:end] for start, end in part.marked]


def test_a_short_text_is_shown_whole_on_one_line() -> None:
    assert marked("cats", "Of\n cats  and dogs.", 40) == ("Of cats and dogs.", ["cats"])


def test_the_part_with_most_of_the_words_is_shown() -> None:
    text = f"one cat. {'filler ' * 40}here a cat and a dog sleep. {'more ' * 40}"
    line, found = marked("cat dog", text, 60)
    assert found == ["cat", "dog"]
    assert line.startswith("…")
    assert line.endswith("…")


def test_a_text_without_the_words_is_shown_from_its_beginning() -> None:
    line, found = marked("bird", "The beginning. " + "filler " * 40, 40)
    assert line.startswith("The beginning.")
    assert line.endswith("…")
    assert not found


def test_a_text_without_spaces_shows_the_words() -> None:
    line, found = marked("猫犬", "鳥" * 300 + "猫犬" + "魚" * 300, 50)
    assert found == ["猫犬"]
    assert len(line) <= 50


@given(st.text(), st.text(min_size=1), st.integers(20, 80))
def test_no_text_is_too_much(asked: str, text: str, width: int) -> None:
    part = excerpt(text * 5, words(asked), width)
    assert len(part.line) <= width
    for start, end in part.marked:
        assert 0 <= start < end <= len(part.line)
