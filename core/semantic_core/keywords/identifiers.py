"""Identifiers: the parts of ``camelCase``, and names that end in a sign (``C++``, ``C#``)."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# With a space for what is neither letter nor digit in ASCII.
SPACED = bytes(code if code > 127 or chr(code).isalnum() else ord(" ") for code in range(256))

# Private-use characters, which stand in no folded text: a tokenizer takes them for letters.
_SIGNS = {"++": "\ue001", "#": "\ue002"}

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# A longer one, or one of more parts, is a number in base 64 or the like.
_LONGEST = 64
_MOST_PARTS = 8

# So many characters are looked at together that they stay in the processor's cache.
_SLICE = 1 << 17


class Part(NamedTuple):
    """A word as it is indexed, and where it stands."""

    word: str
    start: int
    end: int


def name_parts(text: str) -> Iterator[tuple[int, tuple[Part, ...]]]:
    """Yield where names such as ``camelCase`` and ``E1234`` begin, and the parts of each.

    Each text that is saved is looked through, so it is done by numpy: a pattern takes ten times
    as long.
    """
    # "?" for what is not ASCII, so that places stay.
    letters = text.encode("ascii", "replace")
    borders = list(_borders(np.frombuffer(letters, dtype=np.uint8)))
    if not borders:
        return
    end = 0
    spaced = letters.translate(SPACED) + b" "
    for border in np.concatenate(borders).tolist():
        if border < end:
            continue
        start, end = spaced.rfind(b" ", 0, border) + 1, spaced.find(b" ", border)
        if end - start <= _LONGEST and (parts := _parts(text[start:end])):
            yield start, parts


def _borders(letters: NDArray[np.uint8]) -> Iterator[NDArray[np.intp]]:
    """Yield where a small letter is before a capital, or a letter before a digit."""
    for start in range(0, len(letters), _SLICE):
        part = letters[start : start + _SLICE + 1]
        # Below zero a byte goes on from 255.
        capital, small, digit = part - 65 < 26, part - 97 < 26, part - 48 < 10
        border = small[:-1] & capital[1:] | (small | capital)[:-1] & digit[1:]
        if border.any():
            yield np.flatnonzero(border) + start


def signed_names(text: str) -> Iterator[Part]:
    """Yield the names in a text that end in a sign."""
    for sign, letter in _SIGNS.items():
        # One character is looked for at ten times the speed of two.
        place = text.find(sign[0], 1)
        while place > 0:
            name, before = text[place - 1 : place], text[max(place - 2, 0) : place - 1]
            # One letter that stands alone.
            is_name = name.isascii() and name.isalpha() and not before.isalnum()
            if is_name and text.startswith(sign, place):
                yield Part(name.lower() + letter, place - 1, place + len(sign))
            place = text.find(sign[0], place + 1)


@lru_cache(maxsize=1 << 14)
def _parts(name: str) -> tuple[Part, ...]:
    """Return the parts of a name but for single characters."""
    found = list(_PART.finditer(name))
    if len(found) > _MOST_PARTS:
        return ()
    return tuple(Part(m[0].lower(), *m.span()) for m in found if len(m[0]) > 1)
