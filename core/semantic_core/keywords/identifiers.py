"""Identifiers: the parts of ``camelCase``, and names that end in a sign (``C++``, ``C#``)."""

from __future__ import annotations

import re
from functools import lru_cache

# Private-use characters, which stand in no folded text: a tokenizer takes them for letters.
_SIGNS = {"++": "\ue001", "#": "\ue002"}

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# A longer one, or one of more parts, is a number in base 64 or the like.
_LONGEST = 64
_MOST_PARTS = 8

# Capitals become A, other letters and digits a, and everything else a space: a search for two bytes
# in that is ten times as fast as a pattern, and each text that is saved is searched.
_CASES = (
    bytes(
        ord("A") if chr(code).isupper() else ord("a") if chr(code).isalnum() else ord(" ")
        for code in range(128)
    )
    + b" " * 128
)


def identifier_words(text: str) -> list[str]:
    """Return the words to index besides those of a text, for identifiers in it."""
    found: list[str] = []
    # "?" for what is not ASCII: as long as the text, so that places stay.
    cases = text.encode("ascii", "replace").translate(_CASES)
    place = cases.find(b"aA")
    while place >= 0:
        start, end = cases.rfind(b" ", 0, place) + 1, cases.find(b" ", place)
        end = len(text) if end < 0 else end
        if end - start <= _LONGEST:
            found += _parts(text[start:end])
        place = cases.find(b"aA", end)
    # One character is looked for at ten times the speed of two.
    return found + signed_names(text) if "+" in text or "#" in text else found


def signed_names(text: str) -> list[str]:
    """Return the names in a text that end in a sign, as they are indexed."""
    found = []
    for sign, letter in _SIGNS.items():
        place = text.find(sign, 1)
        while place > 0:
            name, before = text[place - 1 : place], text[max(place - 2, 0) : place - 1]
            # One letter that stands alone.
            if name.isascii() and name.isalpha() and not before.isalnum():
                found.append(name.lower() + letter)
            place = text.find(sign, place + len(sign))
    return found


@lru_cache(maxsize=1 << 14)
def _parts(name: str) -> tuple[str, ...]:
    parts = _PART.findall(name)
    if len(parts) > _MOST_PARTS:
        return ()
    return tuple(part.lower() for part in parts if len(part) > 1)
