"""Words in the form in which both sides of a search have them, each with a number."""

from itertools import count
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semantic_core.keywords import stem

Numbers = NDArray[np.int64]

# Stands between a text and its headings: it takes a place and, as no UTF-8 has it, is no word.
GAP = b"\xff"

# As many spaces must follow the last of words that are looked up together.
PADDING = b" " * 16

# A lexeme's limit: https://www.postgresql.org/docs/current/textsearch-limitations.html
_MOST_BYTES_OF_WORD = 2_046

# Words whose form is remembered.
_KEPT = 1 << 16

# Of eight bytes, the first so many.
_FIRST = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
# The multipliers of MurmurHash3: https://github.com/aappleby/smhasher/wiki/MurmurHash3
_MIXED = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_BITS = 17


class Lexemes(dict[bytes, int]):
    """The number of each indexed word's form; what is not there yet gets one.

    Words of other languages have their form already. English is left to SQLite's tokenizer there,
    which makes the same of it.

    Attributes:
        forms: by their numbers, each with a zero; the gap has 0.
    """

    def __init__(self) -> None:
        self.forms: dict[int, bytes] = {}
        self._numbers: dict[bytes, int] = {}
        self._next = count()
        self[GAP]
        # Of words of up to 16 bytes, by a hash of them: the last one that had this place.
        self._seen = np.zeros((1 << _BITS, 3), dtype=np.uint64)
        self._lock = Lock()

    def __missing__(self, word: bytes) -> int:
        form = stem("porter", word.decode()).encode() if word.isascii() else word
        if len(form) > _MOST_BYTES_OF_WORD:
            form = form[:_MOST_BYTES_OF_WORD].decode(errors="ignore").encode()
        form += b"\0"
        # Another thread may be here, too: a number that is left over does no harm.
        number = self._numbers.setdefault(form, next(self._next))
        self.forms[number] = form
        self[word] = number
        return number

    def numbers(self, letters: bytes, starts: Numbers, ends: Numbers) -> Numbers:
        """Return the number of each word of ``letters``, by where they are.

        Most are found without an object for each word, in a fifth of the time.
        """
        sizes, eights = ends - starts, windows(letters, "<u8")
        first = eights[starts] & _FIRST[np.minimum(sizes, 8)]
        second = eights[starts + 8] & _FIRST[np.clip(sizes - 8, 0, 8)]
        places = (first * _MIXED[0] ^ second * _MIXED[1]) >> np.uint64(64 - _BITS)
        numbers, left = np.empty(len(starts), dtype=np.int64), np.arange(len(starts))
        # First one word for each place, which is mostly the same one wherever it comes again.
        for is_first in (True, False):
            # numpy lets other threads go on meanwhile, which may write there.
            with self._lock:
                seen = self._seen.take(places[left], axis=0)
            is_same = (seen[:, 0] == first[left]) & (seen[:, 1] == second[left])
            is_same &= sizes[left] <= len(PADDING)
            numbers[left[is_same]] = seen[is_same, 2]
            left = asked = left[~is_same]
            if is_first:
                asked = left[np.unique(places[left], return_index=True)[1]]
            limits = zip(starts[asked].tolist(), ends[asked].tolist(), strict=True)
            numbers[asked] = [self[letters[start:end]] for start, end in limits]
            short = asked[sizes[asked] <= len(PADDING)]
            new = np.stack([first[short], second[short], numbers[short].astype(np.uint64)], axis=1)
            with self._lock:
                self._seen[places[short]] = new
        return numbers


def windows(data: bytes | bytearray, kind: str) -> NDArray[Any]:
    """Return the numbers that begin at each byte."""
    size = np.dtype(kind).itemsize
    return np.ndarray((len(data) - size + 1,), kind, data, strides=(1,))


_lexemes = [Lexemes()]


def known_lexemes() -> Lexemes:
    """Return what is known of words. When it is much it begins anew; who has it, keeps it."""
    if len(_lexemes[0]) > _KEPT:
        _lexemes[0] = Lexemes()
    return _lexemes[0]
