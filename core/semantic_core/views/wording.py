"""How numbers, moments and texts are written for people, in a terminal and in a notebook."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from semantic_core.domain.media import StoredMedia

# Dollars; what costs less costs something all the same.
_LEAST_SHOWN = 0.0001

# What a terminal obeys instead of showing (C0, DEL and C1: colours, the clipboard, the cursor), what
# ends a line, what turns the direction of the text behind it, and halves of characters.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u206f\ud800-\udfff]")


def money(dollars: float | None) -> str:
    """Return a price; embeddings are cheap enough to need more than cents."""
    if dollars is None:
        return "unknown"
    if dollars < 0:
        return f"-{money(-dollars)}"
    if dollars >= 1:
        return f"${dollars:,.2f}"
    if 0 < dollars < _LEAST_SHOWN:
        return f"<${_LEAST_SHOWN}"
    return f"${dollars:.4f}" if dollars else "$0"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, whose plural is regular."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def moment(epoch: float | None) -> str:
    """Return a moment in UTC to the minute; it stays true in a notebook that is opened later."""
    if epoch is None:
        return "-"
    try:
        return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):  # no moment of any calendar
        return "unknown"


def span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def media_name(part: StoredMedia) -> str:
    """Return how a picture or page is named to people: by its path as one would type it here."""
    name = f"{part.mime_type} of {part.size:,} bytes, in the database"
    if part.path is not None:
        name = from_here(part.path)
    return name if part.page is None else f"{name}, page {part.page}"


def from_here(text: str) -> str:
    """Return a text in which paths below the current folder are as one would type them here."""
    try:
        here = re.escape(f"{Path.cwd()}{os.sep}")
    except FileNotFoundError:  # the folder is gone
        return text
    return re.sub(rf"(?<![\w.~/-]){here}", "", text)


def visible(text: str) -> str:
    r"""Return a text from outside so that it is shown and nothing of it is obeyed.

    What a reader would not see is written as JSON escapes it, such as ``\\u001b``: within a string of
    JSON that is the same character still.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shorten(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1] + "…"


Passages = Callable[[str], Sequence[tuple[int, int]]]

# What is shown before the first word that was asked, so that it is read as part of a sentence.
_LEAD = 24


class Excerpt(NamedTuple):
    """A line of text, and from where to where each word of the question stands in it."""

    line: str
    marked: list[tuple[int, int]]

    def pieces(self) -> Iterator[tuple[str, bool]]:
        """Yield the line piece by piece, and of each whether it is marked."""
        shown = 0
        for start, end in self.marked:
            yield self.line[shown:start], False
            yield self.line[start:end], True
            shown = end
        yield self.line[shown:], False


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
