"""Equal words are equal strings, however they are spelled."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from semantic_core.keywords.folding import fold, script, unaccented

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ＡＢＣ１", "abc1"),
        ("ﬁne oﬀer", "fine offer"),
        ("hy\u00adphen", "hyphen"),
        ("zero\u200bwidth", "zerowidth"),
        ("\uf0b7Item", "item"),
        ("Straße", "STRASSE"),
        ("Łódź", "lodz"),
        ("smørrebrød", "Smorrebrod"),
        ("Ærø", "aero"),
        ("ёлка Ёж", "елка еж"),
        ("за\u0301мок", "замок"),
        ("ΑΘΗΝΑ", "Αθήνα"),
        ("ΟΔΟΣ", "οδός"),
        ("مُحَمَّد", "محمد"),
        ("كتـــاب", "كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("ﾃﾞｰﾀ", "データ"),
        ("İstanbul ılık", "istanbul ilik"),
        ("٣٫١٤", "3 14"),
        ("x²", "x2"),
        ("ʻokina", "okina"),
    ],
)
def test_two_spellings_of_a_word_are_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)
    assert fold(unicodedata.normalize("NFD", one)) == fold(other)


@pytest.mark.parametrize("word", ["й", "ї", "किताबें", "ภาษาไทย", "が", "က္ခ", "ខ្មែរ", "한국어"])
def test_marks_that_make_another_letter_stay(word: str) -> None:
    assert fold(word) == word
    assert fold(unicodedata.normalize("NFD", word)) == word


def test_what_is_no_letter_or_digit_is_a_space() -> None:
    assert fold("a_b-c…d“e”\0f\ud800g🎉h\u2028i").split() == list("abcdefghi")
    assert fold("") == ""


def test_accents_can_be_kept_and_taken_off_later() -> None:
    assert fold("Häuser Łódź", accents=True) == "häuser łódź"
    assert unaccented(fold("Häuser Łódź Αθήνα", accents=True)) == "hauser lodz αθηνα"


def test_every_character_folds_and_folding_again_changes_nothing() -> None:
    far = 0x3400  # from here on mostly ideographs, of which some will do
    for code in [*range(far), *range(far, sys.maxunicode + 1, 17)]:
        once = fold(chr(code))
        assert fold(once) == once, hex(code)
        assert unaccented(fold(chr(code), accents=True)) == once, hex(code)


@given(ANY_TEXT)
@example("ᄀ\u200bᅡ")
@example("и\u0301\u0306")
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(fold(text, accents=True)) == fold(text)


def test_a_script_is_told_by_the_name_of_a_letter() -> None:
    assert [script(char) for char in "aжא\x00"] == ["LATIN", "CYRILLIC", "HEBREW", ""]
