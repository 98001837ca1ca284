"""Identifiers: the parts of ``camelCase``, and names that end in a sign (``C++``, ``C#``)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

# Private-use characters, which stand in no folded text: a tokenizer takes them for letters.
_SIGNS = {"++": "\ue001", "#": "\ue002"}

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# A longer one, or one of more parts, is a number in base 64 or the like.
_LONGEST = 64
_MOST_PARTS = 8

# Capitals become A, other letters a, digits 0, and everything else a space: a search for two bytes
# in that is ten times as fast as a pattern, and each text that is saved is searched.
_KINDS = (
    bytes(
        ord("A" if char.isupper() else "a" if char.isalpha() else "0" if char.isdigit() else " ")
        for char in map(chr, range(128))
    )
    + b" " * 128
)
_BORDERS = (b"aA", b"a0", b"A0")


class Part(NamedTuple):
    """A word within a name, as it is indexed, and where it stands in the text."""

    word: str
    start: int
    end: int


def name_parts(text: str) -> Iterator[Part]:
    """Yield the parts of names such as ``camelCase`` and ``E1234``, but for single characters."""
    # "?" for what is not ASCII: as long as the text, so that places stay.
    kinds = text.encode("ascii", "replace").translate(_KINDS)
    seen: set[int] = set()
    for border in _BORDERS:
        place = kinds.find(border)
        while place >= 0:
            start, end = kinds.rfind(b" ", 0, place) + 1, kinds.find(b" ", place)
            end = len(text) if end < 0 else end
            if end - start <= _LONGEST and start not in seen:
                seen.add(start)
                for word, begins, ends in _parts(text[start:end]):
                    yield Part(word, start + begins, start + ends)
            place = kinds.find(border, end)


def signed_names(text: str) -> Iterator[Part]:
    """Yield the names in a text that end in a sign."""
    for sign, letter in _SIGNS.items():
        place = text.find(sign, 1)
        while place > 0:
            end = place + len(sign)
            name, before = text[place - 1 : place], text[max(place - 2, 0) : place - 1]
            # One letter that stands alone.
            if name.isascii() and name.isalpha() and not before.isalnum():
                yield Part(name.lower() + letter, place - 1, end)
            place = text.find(sign, end)


@lru_cache(maxsize=1 << 14)
def _parts(name: str) -> tuple[Part, ...]:
    found = list(_PART.finditer(name))
    if len(found) > _MOST_PARTS:
        return ()
    return tuple(Part(m[0].lower(), *m.span()) for m in found if len(m[0]) > 1)
