"""Splitter: text → pieces that each make one chunk, with the headings above them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from semantic_core.domain.errors import ConfigurationError, InvalidInputError
from semantic_core.domain.extras import load_extra
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.validation import check_text, has_words
from semantic_core.providers.facts import model_facts

FORMATS = ("text", "markdown")

# About 350 tokens of English: two or three paragraphs, well below every model's limit.
DEFAULT_CHARS = 1_400

# A longer title is told by its beginning: it is context for the text, not the text.
MOST_TITLE_CHARS = 120
# Markdown has no more; in plain text, a seventh style of underline is decoration.
MOST_LEVELS = 6

# The library takes quadratic time over a run without sentences or lines (encoded data, say).
_WINDOW = 32_768

_INK = re.compile(r"\S")
_NEWLINE = re.compile(r"\r\n?|\n")
# Below a line, so that it begins with one certain character, for which a pattern looks fast.
_UNDERLINE = re.compile(
    r"""\n(?P<line>(?P<style>[=\-~^"'*+#.:_`])(?P=style){2,}[ \t]*\r?$)""", re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a document, which begins at ``start``, without white space around it.

    ``heading_path`` are the headings above it, outermost first. A heading that opens the piece is
    in its text and therefore not here.
    """

    text: str
    heading_path: tuple[str, ...]
    start: int

    @property
    def vector_source(self) -> str:
        """What is embedded: the text, under its headings."""
        return _prefix(self.heading_path) + self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitter:
    """Cuts text at headings, and what is left too long at paragraphs, sentences or words.

    A piece has at most ``max_chars`` characters of text; fewer where a spec takes fewer.
    """

    max_chars: int = DEFAULT_CHARS

    def __post_init__(self) -> None:
        if self.max_chars < 1:
            raise ConfigurationError(f"Splitter.max_chars is {self.max_chars}. Give 1 or more.")

    def split(
        self,
        text: str,
        *,
        format: str = "text",  # noqa: A002  # the name it has in Document
        spec: EmbeddingSpec | None = None,
    ) -> Iterator[Piece]:
        """Return the pieces of a text, in order, without overlap.

        Every letter and digit is in exactly one piece. A part without any, such as a rule, is in
        none, and a text without any has none.

        Args:
            text: the document.
            format: ``markdown``, or ``text``, whose headings are titles alone on a line above
                a line of ``===``, ``---``, ``***`` and the like.
            spec: no vector source is made that is longer than this model's limit in plain English.

        Raises:
            InvalidInputError: an unknown format.
            InvalidTextError: the text holds a lone surrogate or a NUL.
            MissingExtraError: ``markdown`` without the ``documents`` extra.
        """
        if format not in FORMATS:
            raise InvalidInputError(f"format={format!r}: use one of {', '.join(FORMATS)}.")
        check_text(text, what="the text")
        limit = None if spec is None else model_facts(spec.model).character_limit
        if format == "markdown":
            return self._pieces(text, _markdown_titles(text), MarkdownSplitter, limit)
        return self._pieces(text, _underlined_titles(text), TextSplitter, limit)

    def _pieces(
        self,
        text: str,
        titles: Iterable[_Title],
        library: type[MarkdownSplitter | TextSplitter],
        limit: int | None,
    ) -> Iterator[Piece]:
        for section in _sections(text, titles):
            size = self.max_chars
            if limit is not None:
                size = max(1, min(size, limit - len(_prefix(section.path))))
            opening = _skip_blank(text, section.start, section.end)
            body = _skip_blank(text, section.body, section.end)
            # Left to itself, the library makes a piece of the heading alone.
            if body < section.end and body - opening <= size // 2:
                size -= body - opening
            else:
                body = opening
            splitter = library(size)
            for start, window in _windows(text, body, section.end, max(_WINDOW, 4 * size)):
                for offset, found in splitter.chunk_indices(window):
                    at, end = start + offset, start + offset + len(found)
                    if at == body:
                        at = opening
                    # A rule or a row of dots would be paid for as a text.
                    if has_words(text[at:end]):
                        path = section.above if at < section.body else section.path
                        yield Piece(text=text[at:end], heading_path=path, start=at)


@dataclass(frozen=True, slots=True)
class _Title:
    """A heading as it is found; its lines go from start to end."""

    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class _Section:
    """The text between two headings, with the heading above it.

    ``body`` is where its headings end; ``above`` are those over its first one, ``path`` those
    over the body.
    """

    start: int
    body: int
    end: int
    above: tuple[str, ...]
    path: tuple[str, ...]


def _sections(text: str, titles: Iterable[_Title]) -> Iterator[_Section]:
    """Cut at headings; one directly above a deeper one stays with it."""
    start = body = 0
    above: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    open_titles: list[_Title] = []
    for title in titles:
        is_subtitle = (
            bool(open_titles)
            and open_titles[-1].level < title.level
            and not text[body : title.start].strip()
        )
        if not is_subtitle:
            yield _Section(start, body, title.start, above, path)
        while open_titles and open_titles[-1].level >= title.level:
            open_titles.pop()
        if not is_subtitle:
            start, above = title.start, _path(open_titles)
        open_titles.append(title)
        body, path = title.end, _path(open_titles)
    yield _Section(start, body, len(text), above, path)


def _markdown_titles(text: str) -> Iterator[_Title]:
    """Yield the headings that CommonMark sees."""
    lines = [0, *(match.end() for match in _NEWLINE.finditer(text)), len(text)]
    for opening, inline in pairwise(_markdown().parse(text)):
        # A heading inside a list or a quotation heads nothing after it.
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            first, last = opening.map
            yield _Title(lines[first], lines[last], int(opening.tag[1:]), inline.content)


@cache
def _markdown() -> Any:
    library = load_extra("markdown_it", extra="documents", task="Splitting Markdown or HTML")
    # Only the headings; the content of other lines is not parsed.
    return library.MarkdownIt("commonmark").disable(["inline"])


def _underlined_titles(text: str) -> Iterator[_Title]:
    """Yield underlined titles, as reStructuredText has them.

    Only what is surely meant: a title at the margin, alone between blank lines, underlined in
    its full length. Styles get their level in the order in which they first appear.
    """
    levels: dict[tuple[str, bool], int] = {}
    for match in _UNDERLINE.finditer(text):
        underline = match["line"].rstrip()
        start, title = _line_before(text, match.start("line"))
        start_above, above = _line_before(text, start)
        has_overline = above.rstrip() == underline
        if has_overline:
            start, title = start_above, title.strip()
            above = _line_before(text, start)[1]
        is_alone = not above.strip() and not _line_after(text, match.end()).strip()
        is_title = title[:1].strip() and any(map(str.isalnum, title))
        if is_alone and is_title and len(title.rstrip()) <= len(underline):
            level = levels.setdefault((underline[0], has_overline), len(levels))
            if level < MOST_LEVELS:
                yield _Title(start, match.end(), level, title)


def _line_before(text: str, start: int) -> tuple[int, str]:
    """Return where the line before the one that starts here begins, and that line."""
    end = max(start - 1, 0)
    begin = text.rfind("\n", 0, end) + 1
    return begin, text[begin:end]


def _line_after(text: str, end: int) -> str:
    """Return the line after the one that ends here."""
    following = text.find("\n", end + 1)
    return text[end + 1 : following if following >= 0 else None]


def _windows(text: str, start: int, end: int, size: int) -> Iterator[tuple[int, str]]:
    """Yield (start, text) of parts of at most this size, cut where it hurts least."""
    while end - start > size:
        cut = start + size
        for separator in ("\n\n", "\n", " "):
            found = text.rfind(separator, start + size // 2, cut)
            if found >= 0:
                cut = found + len(separator)
                break
        yield start, text[start:cut]
        start = cut
    yield start, text[start:end]


def _skip_blank(text: str, start: int, end: int) -> int:
    """Return the position of the first character that is not white space, or the end."""
    found = _INK.search(text, start, end)
    return found.start() if found else end


def _path(titles: Iterable[_Title]) -> tuple[str, ...]:
    return tuple(name for title in titles if (name := _shortened(title.text)))


def _prefix(path: tuple[str, ...]) -> str:
    return " > ".join(path) + "\n\n" if path else ""


def _shortened(title: str) -> str:
    words = " ".join(title.split())
    return words if len(words) <= MOST_TITLE_CHARS else words[: MOST_TITLE_CHARS - 1] + "…"
