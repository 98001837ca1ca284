"""Stems by script and by language, in a form that the database's tokenizer leaves alone."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from semantic_core.domain.errors import InvalidInputError
from semantic_core.keywords import check_languages
from semantic_core.keywords.stems import LANGUAGES, STEMMED, stems

_ENDINGS = ["", "s", "e", "ing", "ed", "ation", "y", "ll", "ness", "ement", "ies", "sses", "ful"]
_BEGINNINGS = ["a", "hau", "stra", "über", "fall", "komm", "été", "relat", "happ", "ñand"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ключ", "ключами"),
        ("кот", "коты"),
        ("ανθρωποι", "ανθρωποσ"),
        ("किताब", "किताबों"),
        ("الكتاب", "كتاب"),
    ],
)
def test_a_script_tells_the_language(one: str, other: str) -> None:
    assert stems(one, ("en",)) == stems(other, ("en",))


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_the_tokenizer_leaves_stems_alone(language: str) -> None:
    words = [beginning + ending for beginning in _BEGINNINGS for ending in _ENDINGS]
    made = {form for word in words for form in stems(word, (language,))}
    assert all(form.endswith(STEMMED) for form in made)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE f USING fts5(t, tokenize = 'porter ascii')")
        connection.execute("CREATE VIRTUAL TABLE v USING fts5vocab(f, 'row')")
        connection.execute("INSERT INTO f VALUES (?)", (" ".join(made),))
        assert {row[0] for row in connection.execute("SELECT term FROM v")} == made


def test_english_is_left_to_the_tokenizer() -> None:
    assert stems("running", ("en",)) == ("running",)
    assert stems("running", ("en", "de")) == ("running", "running" + STEMMED)


def test_a_word_without_accents_has_the_stem_of_the_one_with_them() -> None:
    assert set(stems("aimee", ("fr",))) <= set(stems("aimée", ("fr",)))


def test_an_unknown_language_is_refused() -> None:
    assert check_languages(["de", "en", "de"]) == ("de", "en")
    assert check_languages("de") == ("de",)
    for wrong in ([], ["klingon"], ["en", ""]):
        with pytest.raises(InvalidInputError, match=r"use one or more of ca, cs"):
            check_languages(wrong)


def test_many_threads_stem_at_once() -> None:
    words = [f"ключами{chr(0x430 + n % 30)}" for n in range(2000)]
    alone = [stems(word, ("en",)) for word in words]
    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(lambda _: [stems(word, ("en",)) for word in words], range(8)):
            assert made == alone
