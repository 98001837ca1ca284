"""The words of a text as a tsvector, and those of a question as a tsquery: both in text form.

PostgreSQL's own parser has no part in it: it takes ``postgresql.conf``, a path or a URL for one
word.
"""

from itertools import accumulate

from semantic_core.keywords import IndexedWords, Phrase, stem

# Of ASCII, letters become small, and what is neither letter nor digit a space: in UTF-8 no other
# character has these bytes. A pattern takes three times as long.
_PLAIN = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)
) + bytes(range(128, 256))

# The limits of a tsvector, whose text would be refused beyond them
# (https://www.postgresql.org/docs/current/textsearch-limitations.html).
_MOST_BYTES_OF_WORD = 2_046
_MOST_BYTES = 1_000_000
_LAST_PLACE = 16_383

# Words whose form is remembered: a dictionary is three times as fast as a function with a cache.
_KEPT = 1 << 16

# The stack of the server ends at about 10,000.
_MOST_IN_PHRASE = 2_000


def as_tsvector(text: str, indexed: IndexedWords) -> tuple[str, int]:
    """Return the words of a text with their places, and how many they are.

    Those of its headings, and the parts of its identifiers, have the label C. Their places begin
    one later, so that no phrase goes over from the text. What is beyond the last place has the
    label B, each word once, as far as there is room.
    """
    own = _words(text if indexed.text is None else indexed.text)
    others = _words(indexed.more or "")
    placed = [f"'{word}':{place}" for place, word in enumerate(own, 1)]
    placed += [f"'{word}':{place}C" for place, word in enumerate(others, len(own) + 2)]
    if len(placed) >= _LAST_PLACE:
        late = dict.fromkeys((own + others)[_LAST_PLACE - 1 :])
        placed[_LAST_PLACE - 1 :] = [f"'{word}':{_LAST_PLACE}B" for word in late]
    joined = " ".join(placed)
    # A character takes up to four bytes.
    if len(joined) > _MOST_BYTES // 4 and len(joined.encode()) > _MOST_BYTES:
        ends = accumulate(len(part.encode()) + 1 for part in placed)
        joined = " ".join(part for part, end in zip(placed, ends, strict=True) if end < _MOST_BYTES)
    return joined, len(own) + len(others)


def _words(text: str) -> list[str]:
    return [_lexemes[word] for word in text.encode().translate(_PLAIN).decode().split()]


def lexeme(word: str) -> str:
    """Return the form in which an indexed word is kept."""
    return _lexemes[word]


def as_tsquery(phrase: Phrase) -> str:
    """Return words side by side, or all where their places are not known any more."""
    words = [f"'{lexeme(word)}'" for word in phrase.words[:_MOST_IN_PHRASE]]
    end = "*" * phrase.is_prefix
    if len(words) == 1:
        return f"{words[0]}:{end}" if end else words[0]
    late = " & ".join(f"{word}:B" for word in words) + end
    return f"({' <-> '.join(words)}{':' * phrase.is_prefix}{end} | ({late}))"


class _Lexemes(dict[str, str]):
    """The form of an indexed word in which both sides of a search have it.

    Words of other languages have theirs already. English is left to SQLite's tokenizer there,
    which makes the same of it.
    """

    def __missing__(self, word: str) -> str:
        if len(self) > _KEPT:
            self.clear()
        form = stem("porter", word) if word.isascii() else word
        self[word] = cut = form.encode()[:_MOST_BYTES_OF_WORD].decode(errors="ignore")
        return cut


_lexemes = _Lexemes()
