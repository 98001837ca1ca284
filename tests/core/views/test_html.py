from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.views import html
from semantic_core.views.html import Html, Share, Tone
from support.html import read_html

PIECES: list[Callable[[str], str]] = [
    html.block,
    lambda text: html.table((text,), [(text,)]),
    lambda text: html.facts([(text, text)]),
    lambda text: html.bar([Share(text, 1, Tone.GOOD)]),
    lambda text: html.dot(text, Tone.BAD),
    html.line,
    html.warning,
    html.prose,
    html.code,
]

# A parser reads these as line breaks and the like, escaped or not.
plain = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)


@pytest.mark.parametrize("piece", PIECES)
@given(text=plain)
def test_whatever_comes_in_is_text_and_never_markup(piece: Callable[[str], str], text: str) -> None:
    expected, page = read_html(piece("x")), read_html(piece(text))
    assert (page.tags, page.attributes) == (expected.tags, expected.attributes)
    assert text in page.text


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "&lt;b>"])
def test_markup_in_a_text_is_shown_as_it_is(piece: Callable[[str], str], text: str) -> None:
    page = read_html(piece(text))
    assert text in page.text
    assert not page.tags & {"script", "img", "b"}


def test_html_is_not_escaped_twice() -> None:
    assert read_html(html.line(html.code("a<b"))).texts == ["a<b"]
    assert read_html(html.block("t", Html("<br>"))).tags == {"div", "br"}


def test_numbers_are_grouped_and_flush_right() -> None:
    shown = html.table(("name", "count"), [("a", 1234567)], numbers="count")
    assert read_html(shown).texts == ["name", "count", "a", "1,234,567"]
    assert shown.count("text-align:right") == 2
    assert shown.count("text-align:left") == 2


def test_facts_without_a_value_are_left_out() -> None:
    assert read_html(html.facts([("a", 0), ("b", None), ("c", "")])).texts == ["a", "0", "c"]


def test_a_bar_says_in_numbers_what_it_shows() -> None:
    shown = html.bar([Share("ready", 3, Tone.GOOD), Share("failed", 1, Tone.BAD)])
    assert re.findall(r"width:(\d+\.\d\d)%", shown) == ["75.00", "25.00"]
    assert read_html(shown).texts[::2] == ["ready 3", "failed 1"]


def test_an_empty_bar_is_drawn_all_the_same() -> None:
    assert "ready 0" in read_html(html.bar([Share("ready", 0, Tone.GOOD)])).text


def test_nothing_is_loaded_and_no_colour_of_the_page_is_assumed() -> None:
    """Light and dark pages alike: text inherits its colour, surfaces let theirs through."""
    shown = "".join(piece("x") for piece in PIECES)
    page = read_html(shown)
    assert page.attributes <= {"style", "class", "dir"}
    assert "url(" not in shown
    colours = set(re.findall(r"[;\"]color:([^;\"]+)", shown))
    backgrounds = set(re.findall(r"background:([^;\"]+)", shown))
    assert colours == {"inherit"}
    assert backgrounds <= {"transparent", "rgba(128,128,128,.25)", *Tone}


@pytest.mark.parametrize("tone", Tone)
@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_every_tone_is_told_from_the_page(tone: Tone, page: str) -> None:
    """3 to 1 is what WCAG 2.2 asks of graphics (1.4.11)."""
    light, dark = sorted((_luminance(tone), _luminance(page)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
