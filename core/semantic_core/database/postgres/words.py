"""The words of a text as a tsvector in the server's own form, those of a question as a tsquery.

PostgreSQL's own parser has no part in it: it takes ``postgresql.conf``, a path or a URL for one
word.
"""

from collections.abc import Iterable
from itertools import accumulate, groupby

import numpy as np

from semantic_core.database.postgres.lexemes import GAP, PADDING, Numbers, known_lexemes, windows
from semantic_core.keywords import IndexedWords, Phrase

# Of ASCII, letters become small, and what is neither letter nor digit a space: in UTF-8 no other
# character has these bytes. A pattern takes three times as long.
_PLAIN = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() else ord(" ") for code in range(128)
) + bytes(range(128, 256))

# The limits of a tsvector, which would be refused beyond them
# (https://www.postgresql.org/docs/current/textsearch-limitations.html).
_MOST_BYTES = 1_000_000
_LAST_PLACE = 16_383
_MOST_PLACES_OF_WORD = 256

# The stack of the server ends at about 10,000.
_MOST_IN_PHRASE = 2_000

# What is behind the last place has that one, with the label B.
_LATE = 2 << 14 | _LAST_PLACE

# So many bytes of texts are looked at together; as words they take some fifty times the memory.
_AT_ONCE = 1 << 20


def as_tsvectors(texts: Iterable[tuple[str, IndexedWords]]) -> tuple[bytes, list[int]]:
    """Return the words of texts with their places, as they are sent, and how many each text has.

    The places of those of its headings, and of the parts of its identifiers, begin one later, so
    that no phrase goes over from the text. What is beyond the last place has the label B, each word
    once, as far as there is room.
    """
    letters = [_letters(text, indexed) for text, indexed in texts]
    ends = accumulate(map(len, letters))
    packed: list[bytes] = []
    counts: list[int] = []
    for _, page in groupby(letters, lambda _: next(ends) // _AT_ONCE):
        some = list(page)
        found, of_each = _packed(some)
        packed.append(found)
        counts += [number - (GAP in one) for number, one in zip(of_each, some, strict=True)]
    return b"".join(packed), counts


def _letters(text: str, indexed: IndexedWords) -> bytes:
    own = (text if indexed.text is None else indexed.text).encode().translate(_PLAIN)
    if indexed.more is None:
        return own
    return b" ".join([own, GAP, indexed.more.encode().translate(_PLAIN)])


def _packed(texts: list[bytes]) -> tuple[bytes, list[int]]:
    """Return a tsvector of the words of each text, with its size before it, and how many they are.

    By numpy for all of them at once: a loop over the words takes twice as long. The server does not
    sort what comes in order.
    """
    joined = b" ".join([*texts, PADDING])
    bounds = np.flatnonzero(np.diff(np.frombuffer(joined, np.uint8) != ord(" "), prepend=False))
    begin_of = np.cumsum([len(text) + 1 for text in texts])
    counts = np.diff(np.searchsorted(bounds[::2], begin_of), prepend=0)
    known = known_lexemes()
    words = known.numbers(joined, bounds[::2], bounds[1::2])
    used = np.sort(words)
    used = used[np.diff(used, prepend=-1) > 0]
    forms = [known.forms[number] for number in used.tolist()]
    lengths = np.array([len(form) for form in forms], dtype=np.int64)
    begins = np.cumsum(lengths) - lengths
    letters = windows(b"".join([*forms, bytes(8)]), ">i8")
    # By the first eight bytes, which nearly always tell.
    order = np.argsort(letters[begins].astype(np.uint64))
    ranks = np.empty(used.max(initial=0) + 1, dtype=np.int64)
    ranks[used[order]] = np.arange(len(order))
    lengths, begins = lengths[order], begins[order]
    places = np.arange(1, len(words) + 1) - np.repeat(np.cumsum(counts) - counts, counts)
    places[places >= _LAST_PLACE] = _LATE
    # One number for a text, a word and a place, so that all are sorted in one go.
    keys = np.repeat(np.arange(len(texts)), counts) << 42 | ranks[words] << 16 | places
    keys = np.sort(keys[words > 0])
    if counts.max() > _MOST_PLACES_OF_WORD:
        keys = _fitting(keys, lengths)
    firsts, often, sizes = _groups(keys, lengths)
    rows, words = keys[firsts] >> 42, keys[firsts] >> 16 & 0x3FFFFFF
    lengths, begins = lengths[words], begins[words]
    # After tsvectorsend() in src/backend/utils/adt/tsvector.c of PostgreSQL: how many words there
    # are; then each with a zero, how many places it has, and these.
    totals = np.bincount(rows, sizes, len(texts)).astype(np.int64) + 8
    starts = 8 * (rows + 1) + np.cumsum(sizes) - sizes
    packed = bytearray(int(totals.sum()) + 8)
    eights, twos = windows(packed, ">i8"), windows(packed, ">u2")
    # Eight bytes at a time: what is too many of them is written over by what follows.
    for place in range(8, lengths.max(initial=0), 8):
        longer = np.flatnonzero(lengths > place)
        eights[starts[longer] + place] = letters[begins[longer] + place]
    eights[starts] = letters[begins]
    eights[np.cumsum(totals) - totals] = totals - 4 << 32 | np.bincount(rows, None, len(texts))
    starts += lengths
    twos[starts] = often
    twos[np.repeat(starts + 2 - 2 * firsts, often) + 2 * np.arange(len(keys))] = keys & 0xFFFF
    return bytes(packed[:-8]), counts.tolist()


def _groups(keys: Numbers, lengths: Numbers) -> tuple[Numbers, ...]:
    """Return of each word of a text where its places begin, how many they are, and its size."""
    firsts = np.flatnonzero(np.diff(keys >> 16, prepend=-1))
    often = np.diff(firsts, append=len(keys))
    return firsts, often, lengths[keys[firsts] >> 16 & 0x3FFFFFF] + 2 + 2 * often


def _fitting(keys: Numbers, lengths: Numbers) -> Numbers:
    """Return the places that there is room for."""
    keys = np.unique(keys)
    most = _MOST_PLACES_OF_WORD
    keys = np.append(keys[:most], keys[most:][keys[most:] >> 16 != keys[:-most] >> 16])
    firsts, often, sizes = _groups(keys, lengths)
    rows, fits = keys[firsts] >> 42, np.full(len(firsts), True)
    for row in np.flatnonzero(np.bincount(rows, sizes) > _MOST_BYTES):
        mine = np.flatnonzero(rows == row)
        mine = mine[np.argsort(keys[firsts[mine]] & 0xFFFF, kind="stable")]
        fits[mine[np.cumsum(sizes[mine]) > _MOST_BYTES]] = False
    fitting: Numbers = keys[np.repeat(fits, often)]
    return fitting


def lexeme(word: str) -> str:
    """Return the form in which an indexed word is kept."""
    known = known_lexemes()
    return known.forms[known[word.encode()]][:-1].decode()


def as_tsquery(phrase: Phrase) -> str:
    """Return words side by side, or all where their places are not known any more."""
    words = [f"'{lexeme(word)}'" for word in phrase.words[:_MOST_IN_PHRASE]]
    end = "*" * phrase.is_prefix
    if len(words) == 1:
        return f"{words[0]}:{end}" if end else words[0]
    late = " & ".join(f"{word}:B" for word in words) + end
    return f"({' <-> '.join(words)}{':' * phrase.is_prefix}{end} | ({late}))"
