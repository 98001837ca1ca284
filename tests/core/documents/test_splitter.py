import pydoc_data.topics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.documents.splitter import FORMATS, MOST_TITLE_CHARS, Piece, Splitter
from semantic_core.domain.errors import ConfigurationError, InvalidInputError, InvalidTextError
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.facts import model_facts

MARKDOWN = """\
Before any heading.

# Guide

Welcome.

## Install ##

Use pip.

```python
# no heading
x = 1
```

Setup
-----

> # quoted, no heading

Next
====

The end.
"""

RST = """\
******
Manual
******

Welcome.


Install
=======

Use pip::

   Not at the margin
   =================

On Linux
--------

apt.


Files
=====

The end.
"""

# Line by line, what headings, code, lists and rules are made of.
_LINES = st.sampled_from(
    [
        "# A",
        "## B ##",
        "#",
        "Title",
        "=====",
        "-----",
        "***",
        "```",
        "- item",
        "> quote",
        "    code",
        "",
        "",
        "A sentence. And one more!",
        "\t",
        "  ",
        "\x1c",
        "漢字" * 9,
        "e\u0301" * 20,
        "\u200b",
    ]
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
    st.lists(_LINES, max_size=30).flatmap(
        lambda lines: st.sampled_from(["\n", "\r\n"]).map(lambda newline: newline.join(lines))
    ),
)


def pieces(text: str, **options: str) -> list[Piece]:
    return list(Splitter(max_chars=60).split(text, **options))


def words(text: str) -> str:
    return "".join(filter(str.isalnum, text))


@given(text=texts, format=st.sampled_from(FORMATS), size=st.integers(1, 80))
def test_every_letter_and_digit_is_in_exactly_one_piece(text: str, format: str, size: int) -> None:  # noqa: A002  # as in the interface
    found = list(Splitter(max_chars=size).split(text, format=format))
    assert words("".join(piece.text for piece in found)) == words(text)
    end = 0
    for piece in found:
        assert piece.start >= end
        end = piece.start + len(piece.text)
        assert text[piece.start : end] == piece.text


@given(text=texts, format=st.sampled_from(FORMATS), size=st.integers(1, 80))
def test_no_piece_is_blank_or_too_long(text: str, format: str, size: int) -> None:  # noqa: A002  # as in the interface
    for piece in Splitter(max_chars=size).split(text, format=format):
        assert words(piece.text)
        assert len(piece.text) <= size


@given(text=texts, format=st.sampled_from(FORMATS))
def test_splitting_again_gives_the_same(text: str, format: str) -> None:  # noqa: A002  # as in the interface
    """Otherwise ingesting the same document twice would pay twice."""
    assert pieces(text, format=format) == pieces(text, format=format)


def test_markdown_pieces_know_their_headings() -> None:
    assert [(piece.heading_path, piece.text) for piece in pieces(MARKDOWN, format="markdown")] == [
        ((), "Before any heading."),
        ((), "# Guide\n\nWelcome."),
        (("Guide",), "## Install ##\n\nUse pip.\n\n```python\n# no heading\nx = 1\n```"),
        (("Guide",), "Setup\n-----\n\n> # quoted, no heading"),
        ((), "Next\n====\n\nThe end."),
    ]


def test_underlined_titles_are_headings_of_plain_text() -> None:
    assert [(piece.heading_path, piece.text) for piece in pieces(RST)] == [
        ((), "******\nManual\n******\n\nWelcome."),
        (("Manual",), "Install\n=======\n\nUse pip::"),
        (("Manual", "Install"), "Not at the margin\n   ================="),
        (("Manual", "Install"), "On Linux\n--------\n\napt."),
        (("Manual",), "Files\n=====\n\nThe end."),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Name\n----\nrow\n",
        "end of a paragraph\nlast line\n=========\n\nnext",
        "Much too long a title\n=====\n\nnext",
        "first\n\n-----\n\nsecond",
        "+++\n===\n\nnext and more",
        " indented\n=========\n\nnext",
    ],
)
def test_a_rule_that_may_mean_something_else_heads_nothing(text: str) -> None:
    found = list(Splitter(max_chars=9).split(text))
    assert len(found) > 1
    assert {piece.heading_path for piece in found} == {()}


def test_windows_newlines_do_not_hide_headings() -> None:
    text = RST.replace("\n", "\r\n")
    assert [piece.heading_path for piece in pieces(text)] == [
        piece.heading_path for piece in pieces(RST)
    ]


def test_headings_are_embedded_and_not_in_the_text() -> None:
    long = "One more sentence to fill the piece. " * 4
    first, *others = Splitter(max_chars=80).split(f"# A\n\n## B\n\n{long}", format="markdown")
    assert first.vector_source == first.text
    assert first.text.startswith("# A\n\n## B")
    for piece in others:
        assert piece.vector_source == f"A > B\n\n{piece.text}"


def test_a_heading_directly_above_a_deeper_one_stays_with_it() -> None:
    assert [piece.text for piece in pieces("# A\n## B\n# C\nc", format="markdown")] == [
        "# A\n## B",
        "# C\nc",
    ]


def test_an_endless_title_is_cut_in_the_path() -> None:
    title = "word " * 200
    found = list(Splitter(max_chars=1_200).split(f"# {title}\n\n{'x ' * 900}", format="markdown"))
    [path] = {piece.heading_path for piece in found if piece.heading_path}
    assert len(path[0]) == MOST_TITLE_CHARS


def test_no_vector_source_is_over_the_limit_of_the_spec() -> None:
    spec = EmbeddingSpec.gemini_embedding_001()
    limit = model_facts(spec.model).character_limit
    assert limit is not None
    text = f"# A title that takes its share\n\nText.\n\n## B\n\n{'All in one line, ' * 2_000}"
    found = list(Splitter(max_chars=100_000).split(text, format="markdown", spec=spec))
    assert len(found) > 1
    assert max(len(piece.vector_source) for piece in found) <= limit


def test_sentences_stay_whole_where_they_fit() -> None:
    text = "The first sentence is here. The second one follows. A third ends it."
    assert [piece.text for piece in Splitter(max_chars=55).split(text)] == [
        "The first sentence is here. The second one follows.",
        "A third ends it.",
    ]


def test_a_long_run_without_any_break_is_cut_all_the_same() -> None:
    text = "漢" * 100_000
    found = list(Splitter(max_chars=1_000).split(text))
    assert "".join(piece.text for piece in found) == text


def test_the_language_reference_splits_along_its_sections() -> None:
    text = pydoc_data.topics.topics["typesseq"]
    paths = {piece.heading_path for piece in Splitter().split(text)}
    assert ('Sequence Types — "list", "tuple", "range"', "Common Sequence Operations") in paths


@pytest.mark.parametrize("format", FORMATS)
def test_a_part_without_a_letter_or_digit_is_no_piece(format: str) -> None:  # noqa: A002  # as in the interface
    """It would be paid for as a text of its own."""
    text = f"{'First words. ' * 4}\n\n{'-' * 60}\n\n* * *\n\n{'Last words. ' * 5}"
    found = pieces(text, format=format)
    assert words("".join(piece.text for piece in found)) == words(text)
    assert all(words(piece.text) for piece in found)


@pytest.mark.parametrize("text", ["", " \n\t", "\x1c\u3000\n", "---", "* * *\n\n…!"])
def test_blank_text_has_no_pieces(text: str) -> None:
    assert pieces(text) == pieces(text, format="markdown") == []


def test_an_unknown_format_is_refused_before_anything_is_read() -> None:
    with pytest.raises(InvalidInputError, match="format='pdf': use one of text, markdown"):
        Splitter().split("text", format="pdf")


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_what_no_database_takes_is_refused(text: str) -> None:
    with pytest.raises(InvalidTextError, match="at character 1"):
        Splitter().split(text)


def test_pieces_without_size_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_chars is 0"):
        Splitter(max_chars=0)
