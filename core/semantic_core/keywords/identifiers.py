"""Identifiers: the parts of ``camelCase``, and names that end in a sign (``C++``, ``C#``)."""

from __future__ import annotations

import re

# Private-use characters, which stand in no folded text: a tokenizer takes them for letters.
_PLUS, _SHARP = "\ue001", "\ue002"

_SIGNED = re.compile(r"(?<![A-Za-z0-9])([A-Za-z])(\+\+|#)(?![A-Za-z0-9+#])")
_CAMEL = re.compile(r"[A-Za-z0-9]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# A number in base 64 or the like is no name with parts.
_MOST_PARTS = 8

# Lower case becomes a, upper case A and everything else a space: a search for two bytes in that
# is ten times as fast as a pattern, and this is asked of every text.
_CASES = (
    bytes(
        ord("a") if chr(code).islower() else ord("A") if chr(code).isupper() else ord(" ")
        for code in range(128)
    )
    + b" " * 128
)


def identifier_words(text: str) -> list[str]:
    """Return the words to index besides those of a text, for identifiers in it."""
    found = []
    # "?" for what is not ASCII: as long as the text, so that positions stay.
    cases = text.encode("ascii", "replace").translate(_CASES)
    position = cases.find(b"aA")
    while position >= 0:
        match = _around(text, position)
        parts = _PART.findall(text, *match)
        if len(parts) <= _MOST_PARTS:
            found += [part.lower() for part in parts if len(part) > 1]
        position = cases.find(b"aA", match[1])
    if "++" in text or "#" in text:
        found += signed_names(text)
    return found


def signed_names(text: str) -> list[str]:
    """Return the names in a text that end in a sign, as they are indexed."""
    return [
        name.lower() + sign.replace("+", _PLUS).replace("#", _SHARP)
        for name, sign in _SIGNED.findall(text)
    ]


def _around(text: str, position: int) -> tuple[int, int]:
    """Return where the letters and digits around a position begin and end."""
    start = position
    while start and text[start - 1].isalnum() and text[start - 1].isascii():
        start -= 1
    match = _CAMEL.match(text, position)
    return start, match.end() if match else position + 1
