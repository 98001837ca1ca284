"""The bytes of a text file as text: by its mark, as it declares, as UTF-8, else as it looks."""

import codecs
import re
from collections.abc import Iterator

from semantic_core.domain.errors import UnreadableFileError
from semantic_core.domain.extras import load_extra

# The longer ones first: UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# A page declares its encoding in its first kilobyte; some write more before it.
_HEAD = 4096
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_DECLARED = re.compile(
    rb"""^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)|<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)""",
    re.IGNORECASE,
)
# As browsers read what is declared (https://encoding.spec.whatwg.org/#names-and-labels): under
# the name of a standard stands its superset, and a page that can say so is not in UTF-16.
_MEANT = {
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    "utf-16": "utf-8",
    "utf-16-be": "utf-8",
    "utf-16-le": "utf-8",
}
# Codecs of Python's own that read any text, and change it.
_NO_CHARSETS = frozenset(("idna", "punycode", "raw_unicode_escape", "unicode_escape", "utf_7"))

# Looked for. The first two differ in the letters of Turkish, which has more texts than Icelandic;
# they are what a text in Latin script is in, as a rule.
_USUAL = ("cp1254", "cp1252")
_LEGACY = (
    *_USUAL,
    *("cp1250", "cp1251", "cp1253", "cp1255", "cp1256", "cp1257", "koi8_r", "cp866", "iso8859_2"),
    *("iso8859_5", "cp932", "euc_jp", "iso2022_jp", "gb18030", "big5hkscs", "cp949"),
)
_JAPANESE = ("cp932", "euc_jp")
_WIDE = ("utf_16_le", "utf_16_be", "utf_32_le", "utf_32_be")

# In no text, but for line ends, tabs, form feeds, backspaces and the escapes of a terminal.
_CONTROLS = bytes(set(range(32)) - set(b"\b\t\n\v\f\r\x1b"))
_HIGH = bytes(range(128, 256))
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TAG = re.compile(rb"<[^<>]*>")

# What is enough to tell, and quick.
_SAMPLE = 262_144
# Measured on 12 to 600 characters in 17 languages: readings closer than this are both possible,
# and fewer letters than this tell nothing.
_CLOSE, _CLOSE_IF_FEW, _CLOSE_LANGUAGE = 0.03, 0.1, 0.05
_FEWEST, _FEW = 12, 64

# An encoding, how garbled the text looks in it, and how much like a language.
_Reading = tuple[str, float, float]


def decode(data: bytes, *, name: str, is_html: bool = False) -> str:
    """Return the text of a file, or refuse it: never one with anything replaced.

    The encoding is that of its mark; or, in HTML, what is declared there or in XML's first line; or
    UTF-8; or the one that charset-normalizer finds, where no other one is as likely. Bytes that are
    UTF-8 are not taken for a declared encoding of one byte a character, since a page that says so
    was recoded.

    Raises:
        UnreadableFileError: it is not text, or nobody can tell in which encoding.
        MissingExtraError: it is not UTF-8, and the ``documents`` extra is not installed.
    """
    for encoding in _candidates(data, is_html=is_html):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text.removeprefix("\ufeff")
    raise UnreadableFileError(
        f"{name} is no text in an encoding that can be told from it. If it is one, convert it, "
        "e.g. with iconv -f WINDOWS-1251 -t UTF-8, and ingest it again. Nothing of it was saved."
    )


def _candidates(data: bytes, *, is_html: bool) -> Iterator[str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            yield encoding
            return
    declared = _declared(data) if is_html else None
    is_single = declared is not None and _is_single(declared)
    if declared is not None and not is_single:
        yield declared
    controls = _count(data, _CONTROLS)
    is_wide = b"\0" in data or controls * 10 > len(data)
    # Seven bits with shifts (ISO-2022-JP) are valid UTF-8, and read as nonsense.
    if not is_wide and b"\x1b$" not in data:
        yield "utf-8"
    if declared is not None and is_single:
        yield declared
    found = None
    if controls:
        found = _detect_wide(data)
    elif not _is_broken_utf_8(data):
        found = _detect_legacy(_TAG.sub(b" ", data) if is_html else data)
    if found is not None:
        yield found


def _is_single(encoding: str) -> bool:
    return len(bytes(range(256)).decode(encoding, "replace")) == 256


def _count(data: bytes, which: bytes) -> int:
    return len(data) - len(data.translate(None, which))


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(_COMMENT.sub(b"", data[:_HEAD]))
    if found is None:
        return None
    try:
        name = codecs.lookup((found[1] or found[2]).decode()).name
        name = _MEANT.get(name, name)
        b"-".decode(name, "replace")  # some codecs are not of texts
    except LookupError:
        return None
    return None if name.replace("-", "_") in _NO_CHARSETS else name


def _is_broken_utf_8(data: bytes) -> bool:
    """Return whether it is UTF-8 for the most part: any other reading would be garbled."""
    high = _count(data, _HIGH)
    valid = len(data.decode("utf-8", "ignore").encode()) - (len(data) - high)
    return valid * 2 > high


def _detect_wide(data: bytes) -> str | None:
    """Return in which order the bytes are of a text that has no mark."""
    readings = {
        text: reading
        for text, reading in _readings(data[:_SAMPLE], _WIDE).items()
        if all(one.isprintable() or one.isspace() for one in text)
    }
    # Spaces, line ends and plain letters are none, read in another order.
    plain = [
        encoding
        for text, (encoding, _, _) in readings.items()
        if any(one in " \n\t" for one in text) or sum(map(str.isascii, text)) * 2 > len(text)
    ]
    if len(plain) == 1:
        return plain[0]
    close = _closest(readings, _CLOSE)
    return close[0] if len(close) == 1 and len(data) >= 2 * _FEWEST else None


def _detect_legacy(data: bytes) -> str | None:
    sample = data[:_SAMPLE]
    if len(data) > _SAMPLE:
        # A cut within a character would rule its encoding out.
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    high = _count(sample, _HIGH)
    is_latin = _count(sample, _LETTERS) >= 2 * high
    distance = _CLOSE_IF_FEW if is_latin or high < _FEW else _CLOSE
    readings = _readings(sample, _LEGACY)
    close = _closest(readings, distance)
    for text, (encoding, _, _) in readings.items():
        # No other language is written with these, and no other encoding makes many of them.
        kana = sum("ぁ" <= one <= "ん" for one in text)
        if encoding in close and encoding in _JAPANESE and kana * 5 > high // 2 and kana > 1:
            return encoding
    if is_latin:
        for encoding in _USUAL:
            if encoding in close:
                return encoding
    elif high < _FEWEST and b"\x1b$" not in sample:
        return None
    return close[0] if len(close) == 1 else None


def _closest(readings: dict[str, _Reading], distance: float) -> list[str]:
    """Return the encodings of the readings that are as likely as the best one."""
    _, chaos, coherence = min(
        readings.values(), key=lambda one: (one[1], -one[2]), default=("", 0.0, 0.0)
    )
    return [
        encoding
        for encoding, one_chaos, one_coherence in readings.values()
        if one_chaos <= chaos + distance and one_coherence >= coherence - _CLOSE_LANGUAGE
    ]


def _readings(sample: bytes, encodings: tuple[str, ...]) -> dict[str, _Reading]:
    """Return as what it can be read: each text with its reading."""
    # Slow to import, rarely needed.
    library = load_extra("charset_normalizer", extra="documents", task="A file that is not UTF-8")
    found: dict[str, _Reading] = {}
    for match in library.from_bytes(sample, cp_isolation=list(encodings), enable_fallback=False):
        alike = {match.encoding, *match.could_be_from_charset}
        if str(match) in found:
            alike.add(found[str(match)][0])
        encoding = min(alike.intersection(encodings), key=encodings.index)
        found[str(match)] = (encoding, match.chaos, match.coherence)
    return found
