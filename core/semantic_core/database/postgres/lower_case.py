"""Lower case as Python has it: PostgreSQL's depends on how a database was made."""

from collections.abc import Iterable
from functools import cache
from itertools import chain

from semantic_core.database.strategies import Sql

# Every letter that has two cases is below this.
_LETTERS = range(0x20000)
# So is what a search for the end of a word passes over, but for tags and variation selectors.
_TAGS = range(0xE0000, 0xE1000)

_SMALL_SIGMAS = frozenset("\u03c2\u03c3")


def lowered(text: Sql, wanted: str) -> Sql:
    """Return ``str.lower()`` of a SQL text, as far as it matters to who looks for ``wanted`` in it.

    Letters that ``wanted``, in lower case, does not hold stay as they are: no search can tell.
    """
    letters = set(wanted)
    capitals = [pair for pair in _capitals() if pair[1] in letters]
    # The one capital letter that becomes two characters.
    sql, values = f"replace({text.sql}, '\u0130', 'i\u0307')", text.values
    if letters & _SMALL_SIGMAS:
        # At the end of a word it is written in another way.
        sql, values = f"regexp_replace({sql}, ?, '\u03c2', 'g')", (*values, _last_sigma())
    return Sql(
        f"translate({sql}, ?, ?)",
        (*values, "".join(big for big, _ in capitals), "".join(small for _, small in capitals)),
    )


@cache
def _capitals() -> tuple[tuple[str, str], ...]:
    """Return each letter that becomes another one in lower case, and that."""
    letters = map(chr, _LETTERS)
    pairs = ((big, big.lower()) for big in letters)
    return tuple((big, small) for big, small in pairs if small != big and len(small) == 1)


@cache
def _last_sigma() -> str:
    """Return a pattern: after a letter with two cases, before none, marks between passed over."""
    chars = map(chr, chain(_LETTERS, _TAGS))
    marks = [char for char in chars if f"a{char}\u03a3".lower()[-1] == "\u03c2"]
    cased = {char for char in marks if f"{char}\u03a3".lower()[-1] == "\u03c2"}
    between = f"[{_ranges(char for char in marks if char not in cased)}]*"
    letter = f"[{_ranges(sorted(cased))}]"
    return f"(?<={letter}{between})\u03a3(?!{between}{letter})"


def _ranges(chars: Iterable[str]) -> str:
    """Return ascending characters as they stand in the brackets of a pattern."""
    parts: list[list[str]] = []
    for char in chars:
        if parts and ord(char) == ord(parts[-1][-1]) + 1:
            parts[-1][1:] = [char]
        else:
            parts.append([char])
    return "".join("-".join(f"\\U{ord(char):08x}" for char in part) for part in parts)
