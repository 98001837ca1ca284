"""No text is saved that is not what the file holds: it is read exactly, or refused by name."""

from __future__ import annotations

import codecs
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semantic_core.documents.decode import decode
from semantic_core.domain.errors import UnreadableFileError

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n"
FRENCH = "Voix ambiguë d’un cœur qui, au zéphyr, préfère les jattes de kiwis.\n"
SPANISH = "El niño comió en la mañana y después salió al jardín con su compañero.\n"
POLISH = "Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig. Wszyscy ludzie.\n"
TURKISH = "Pijamalı hasta yağız şoföre çabucak güvendi.\n"
GREEK = "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.\n" * 3
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n"
CHINESE = "我能吞下玻璃而不伤身体。今天天气很好，我们去公园散步吧。\n"
KOREAN = "나는 유리를 먹을 수 있어요. 그래도 아프지 않아요. 모든 인간은 자유롭다.\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (RUSSIAN, "cp866"),
        (FRENCH, "windows-1252"),
        (SPANISH, "latin-1"),
        ("It’s “quoted” – for £5, at the café.", "windows-1252"),
        ("café", "windows-1252"),
        (POLISH, "windows-1250"),
        (TURKISH, "windows-1254"),
        (GREEK, "windows-1253"),
        (JAPANESE, "shift_jis"),
        ("猫です", "shift_jis"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gbk"),
        (KOREAN, "euc_kr"),
        *(
            (text, encoding)
            for text in (RUSSIAN, FRENCH, JAPANESE, CHINESE, KOREAN, "Hi", "Привет, мир")
            for encoding in ("utf-16-le", "utf-16-be", "utf-32-le")
        ),
        (JAPANESE.strip(), "utf-16-le"),
    ],
)
def test_a_text_without_a_mark_is_read_exactly(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding), name="x") == text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_mark_decides(encoding: str) -> None:
    text = "Nur ein Wort: Füße. Да."
    assert decode(text.encode(encoding), name="x") == text
    swapped = codecs.BOM_UTF16_BE + text.encode("utf-16-be")
    assert decode(swapped, name="x") == text


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [
        ('<meta charset="windows-1251">', "cp1251"),
        ("<META CHARSET=KOI8-R>", "koi8-r"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-5">', "iso8859-5"),
        ('<?xml version="1.0" encoding="windows-1251"?><html>', "cp1251"),
        ("<!-- <meta charset=utf-16> --><meta charset='cp866'>", "cp866"),
        ("<meta charset=utf-16>", "utf-8"),
        ("<meta charset=nobody-knows>", "utf-8"),
        ("<meta charset=unicode_escape>", "utf-8"),
        ("<meta charset=hex>", "utf-8"),
        ("<meta charset=windows-1251>", "utf-8"),
    ],
)
def test_what_a_page_declares_is_read_where_its_bytes_allow_it(
    declaration: str, encoding: str
) -> None:
    """A few letters, of which nobody could tell the encoding."""
    page = f"{declaration}<p>Да, мир</p>"
    assert decode(page.encode(encoding), name="x", is_html=True) == page


@pytest.mark.parametrize(
    ("label", "encoding", "text"),
    [
        ("iso-8859-1", "cp1252", "“It’s”"),
        ("us-ascii", "cp1252", "“It’s”"),
        ("shift_jis", "cp932", "①髙"),
        ("gb2312", "gb18030", "镕"),
        ("big5", "big5hkscs", "啫"),
        ("euc-kr", "cp949", "똠"),
        ("iso-2022-jp", "iso2022_jp", "日本"),
    ],
)
def test_a_declared_name_means_what_browsers_take_it_for(
    label: str, encoding: str, text: str
) -> None:
    page = f"<meta charset={label}><p>{text}</p>"
    assert decode(page.encode(encoding), name="x", is_html=True) == page


def test_what_declares_something_in_its_text_is_not_html() -> None:
    text = "Write <meta charset=windows-1251> there: Füße."
    assert decode(text.encode(), name="x") == text


def test_markup_does_not_hide_the_language_of_a_page() -> None:
    page = f"<div class='{'long ' * 99}'>{RUSSIAN}</div>"
    assert decode(page.encode("cp1251"), name="x", is_html=True) == page


def test_a_long_file_is_told_by_its_beginning_and_read_to_its_end() -> None:
    text = JAPANESE * 9_000
    assert decode(text.encode("cp932"), name="x") == text


@pytest.mark.parametrize(
    "data",
    [
        b"a\0b",
        b"plain \x00 text" * 20,
        "Füße, ".encode() * 20 + b"\xff",
        codecs.BOM_UTF8 + b"\xff",
        codecs.BOM_UTF16_LE + b"a",
        codecs.BOM_UTF16_LE + b"\x00\xd8a\0",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
        "Привет".encode("cp1251"),
        *(random.Random(seed).randbytes(300) for seed in range(40)),
    ],
    ids=lambda data: f"{len(data)}-bytes",
)
def test_what_nobody_can_tell_is_refused_by_name(data: bytes) -> None:
    """Broken UTF-8 too: read as anything else, all of its letters would be garbled."""
    with pytest.raises(UnreadableFileError, match=r"'x\.txt' is no text"):
        decode(data, name="'x.txt'")


# What makes a tenth of a file is no slip of the hand: then it is no text.
CONTROLS = "".join(map(chr, set(range(32)) - set(b"\b\t\n\v\f\r")))


@pytest.mark.parametrize("control", sorted(set(CONTROLS) - set("\0\x1b")))
def test_a_control_among_words_is_kept(control: str) -> None:
    text = f"Words before it, {control} and after it."
    assert decode(text.encode(), name="x") == text


@given(st.text(st.characters(codec="utf-8", exclude_characters=CONTROLS), min_size=1))
def test_any_utf_8_with_words_is_read_exactly(text: str) -> None:
    whole = f"Words before it, {text}"
    assert decode(whole.encode(), name="x") == whole


@given(st.binary(max_size=200), st.sampled_from([True, False]))
def test_any_bytes_are_a_text_or_refused(data: bytes, is_html: bool) -> None:  # noqa: FBT001
    try:
        text = decode(data, name="x", is_html=is_html)
    except UnreadableFileError:
        return
    assert "\0" not in text
    text.encode()
