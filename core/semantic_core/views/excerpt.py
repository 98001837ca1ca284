"""The part of a text that answers: on one line, with the words of the question marked."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

Passages = Callable[[str], Sequence[tuple[int, int]]]

# What is shown before the first word that was asked, so that it is read as part of a sentence.
_LEAD = 24


class Excerpt(NamedTuple):
    """A line of text, and from where to where each word of the question stands in it."""

    line: str
    marked: list[tuple[int, int]]


def excerpt(text: str, passages: Passages, width: int) -> Excerpt:
    """Return the part of a text, at most ``width`` characters, that holds most of the passages."""
    line = " ".join(text.split())
    found = passages(line)
    if len(line) <= width:
        return Excerpt(line, list(found))

    def held(start: int) -> int:
        return sum(start <= one and end <= start + width - 2 for one, end in found)

    starts = [0, *(max(0, one - _LEAD) for one, _ in found)]
    start = min(max(starts, key=held), len(line) - width + 1)
    # Not within a word, where words have spaces between them.
    space = line.find(" ", start, start + _LEAD)
    start = space + 1 if start and space >= 0 else start
    cut = line[start : start + width - 2].rstrip()
    before, after = "…" * (start > 0), "…" * (start + len(cut) < len(line))
    shift = len(before) - start
    marked = [
        (one + shift, end + shift) for one, end in found if one >= start and end <= start + len(cut)
    ]
    return Excerpt(f"{before}{cut}{after}", marked)
