"""Folding: all spellings of a character become one, and what is no letter or digit a space."""

import re
import unicodedata
from functools import cache

# Format characters (Cf), private use (icon fonts) and variation selectors: invisible, or of
# meaning to one font only. They go before anything else, since they keep letters from combining.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890-\u0891\u08e2\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\ue000-\uf8ff\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\U000f0000-\U0010ffff]+"
)

# Marks that a reader may leave out: the generic blocks of combining marks, the points and accents
# of Hebrew, the vowel signs and Quranic marks of Arabic with its stretching character.
_OPTIONAL = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u0483-\u0489"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8"
    "\u06ea-\u06ed\u08d3-\u08e1\u08e3-\u08ff\u02b9-\u02c1]"
)

# Letters that have no decomposition, after Unicode CLDR's transform Latin-ASCII
# (common/transforms/Latin-ASCII.xml in github.com/unicode-org/cldr), as far as European languages
# use them. Russian writes ё as е at will; ѐ and ѝ only tell how a word is stressed.
_LETTERS = {
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i", "ĸ": "q",
    "ł": "l", "ŋ": "n", "ŧ": "t", "ƀ": "b", "ɓ": "b", "ƈ": "c", "ɖ": "d", "ɗ": "d", "ɛ": "e",
    "ƒ": "f", "ɠ": "g", "ɨ": "i", "ƙ": "k", "ƚ": "l", "ɲ": "n", "ɔ": "o", "ƥ": "p", "ƭ": "t",
    "ʈ": "t", "ʋ": "v", "ƴ": "y", "ƶ": "z", "ȥ": "z", "ɉ": "j", "ɍ": "r", "ɏ": "y", "ȼ": "c",
    "ɇ": "e", "ẜ": "s", "ẝ": "s", "ẟ": "d", "ё": "е", "ѐ": "е", "ѝ": "и",
}  # fmt: skip

_ACCENTED = ("LATIN", "GREEK")


def fold(text: str, *, accents: bool = False) -> str:
    """Return a text whose equal words are equal strings, with spaces between them.

    NFKC, full case folding, no invisible characters, no optional marks. Marks that make another
    letter stay with theirs. Digits of every script become 0 to 9. With ``accents`` Latin and Greek
    letters keep theirs, as a stemmer wants them.
    """
    if text.isascii():
        return text.translate(_PLAIN)
    # Composed first, since a mark is optional on some letters and part of others. NFKC and case
    # folding are done by character, in the table: for a text they take five times as long.
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", composed.translate(_WITH_ACCENTS if accents else _PLAIN))


def unaccented(word: str) -> str:
    """Return a word that was folded with accents as it is without."""
    return word if word.isascii() else word.translate(_PLAIN)


class _Table(dict[int, str]):
    """What each character becomes, worked out when a text first holds it."""

    def __init__(self, *, accents: bool) -> None:
        self._accents = accents

    def __missing__(self, code: int) -> str:
        char = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", chr(code)).casefold())
        self[code] = folded = "".join(_folded(part, accents=self._accents) for part in char)
        return folded


def _folded(char: str, *, accents: bool) -> str:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    if _OPTIONAL.match(char):
        return ""
    if kind[0] not in "LNM" or kind == "Me":
        return " "
    if char in _LETTERS and not (accents and script(char) == "LATIN"):
        return _LETTERS[char]
    if accents or script(char) not in _ACCENTED:
        return char
    bare = "".join(c for c in unicodedata.normalize("NFD", char) if not unicodedata.combining(c))
    return "".join(_LETTERS.get(c, c) for c in bare)


@cache
def script(char: str) -> str:
    """Return the script of a letter, as Unicode's names of characters begin."""
    return unicodedata.name(char, "").partition(" ")[0]


_PLAIN = _Table(accents=False)
_WITH_ACCENTS = _Table(accents=True)
