"""The words of a text as a tsvector in the server's own form, those of a question as a tsquery.

PostgreSQL's own parser has no part in it: it takes ``postgresql.conf``, a path or a URL for one
word.
"""

from semantic_core.keywords import IndexedWords, Phrase, stem

# Of ASCII, letters become small, and what is neither letter nor digit a space: in UTF-8 no other
# character has these bytes. A pattern takes three times as long.
_PLAIN = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)
) + bytes(range(128, 256))

# The limits of a tsvector, which would be refused beyond them
# (https://www.postgresql.org/docs/current/textsearch-limitations.html).
_MOST_BYTES_OF_WORD = 2_046
_MOST_BYTES = 1_000_000
_LAST_PLACE = 16_383
_MOST_PLACES_OF_WORD = 256

# Words whose form is remembered: a dictionary is three times as fast as a function with a cache.
_KEPT = 1 << 16

# The stack of the server ends at about 10,000.
_MOST_IN_PHRASE = 2_000

# How a tsvector is sent, after tsvectorsend() in src/backend/utils/adt/tsvector.c of PostgreSQL:
# words, each with a zero, how many places it has, and the places, which begin with a label. The
# server takes two thirds of the time that it takes to read text, and puts the words in order.
_PLACES = [place.to_bytes(2, "big") for place in range(1, _LAST_PLACE)]
_LATE = (2 << 14 | _LAST_PLACE).to_bytes(2, "big")
_COUNTS = [(size // 2).to_bytes(2, "big") for size in range(2 * _MOST_PLACES_OF_WORD + 1)]


def as_tsvector(text: str, indexed: IndexedWords) -> tuple[bytes, int]:
    """Return the words of a text with their places, and how many they are.

    The places of those of its headings, and of the parts of its identifiers, begin one later, so
    that no phrase goes over from the text. What is beyond the last place has the label B, each word
    once, as far as there is room.
    """
    own = _words(text if indexed.text is None else indexed.text)
    others = _words(indexed.more or "")
    found: dict[bytes, bytes] = {}
    for word, place in zip(own, _PLACES, strict=False):
        found[word] = found.get(word, b"") + place
    start = len(own) + 1
    for word, place in zip(others, _PLACES[start : start + len(others)], strict=False):
        found[word] = found.get(word, b"") + place
    count = len(own) + len(others)
    if count > _MOST_PLACES_OF_WORD:
        placed = max(0, _LAST_PLACE - start - 1)
        for word in dict.fromkeys(own[_LAST_PLACE - 1 :] + others[placed:]):
            found[word] = found.get(word, b"") + _LATE
        found = {word: places[: 2 * _MOST_PLACES_OF_WORD] for word, places in found.items()}
        found = _fitting(found)
    packed = [len(found).to_bytes(4, "big")]
    for word, places in found.items():
        packed += (word, _COUNTS[len(places)], places)
    return b"".join(packed), count


def _fitting(found: dict[bytes, bytes]) -> dict[bytes, bytes]:
    room = _MOST_BYTES
    for number, (word, places) in enumerate(found.items()):
        room -= len(word) + 2 + len(places)
        if room < 0:
            return dict(list(found.items())[:number])
    return found


def _words(text: str) -> list[bytes]:
    return [_lexemes[word] for word in text.encode().translate(_PLAIN).split()]


def lexeme(word: str) -> str:
    """Return the form in which an indexed word is kept."""
    return _lexemes[word.encode()][:-1].decode()


def as_tsquery(phrase: Phrase) -> str:
    """Return words side by side, or all where their places are not known any more."""
    words = [f"'{lexeme(word)}'" for word in phrase.words[:_MOST_IN_PHRASE]]
    end = "*" * phrase.is_prefix
    if len(words) == 1:
        return f"{words[0]}:{end}" if end else words[0]
    late = " & ".join(f"{word}:B" for word in words) + end
    return f"({' <-> '.join(words)}{':' * phrase.is_prefix}{end} | ({late}))"


class _Lexemes(dict[bytes, bytes]):
    """The form of an indexed word in which both sides of a search have it, and a zero.

    Words of other languages have theirs already. English is left to SQLite's tokenizer there,
    which makes the same of it.
    """

    def __missing__(self, word: bytes) -> bytes:
        if len(self) > _KEPT:
            self.clear()
        form = stem("porter", word.decode()).encode() if word.isascii() else word
        cut = form[:_MOST_BYTES_OF_WORD].decode(errors="ignore").encode()
        self[word] = made = cut + b"\0"
        return made


_lexemes = _Lexemes()
