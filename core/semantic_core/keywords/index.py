"""What of a text is indexed."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from semantic_core.keywords.folding import fold
from semantic_core.keywords.identifiers import name_parts, signed_names
from semantic_core.keywords.scripts import bigrams, is_unspaced, runs
from semantic_core.keywords.stems import DEFAULT_LANGUAGES, stems

_FOREIGN = re.compile("[^\\x00-\\x7f]+")

# Bytes for a character: with more of them it is no English.
_MOST_FOREIGN = 1.15

# Longer ones seldom come again.
_LONGEST = 32


class IndexedWords(NamedTuple):
    """What is indexed of one text, as words with spaces between them.

    Attributes:
        text: in place of the text; None where that is indexed as it is.
        more: with less weight: its headings, and the parts of its identifiers; None if there are
            none.
    """

    text: str | None = None
    more: str | None = None


class Spoken(NamedTuple):
    """A text as it is to be indexed.

    Attributes:
        text: any text.
        headings: what it stands under.
        languages: those of words in Latin letters.
    """

    text: str
    headings: str | None = None
    languages: tuple[str, ...] = DEFAULT_LANGUAGES


_AS_IT_STANDS = IndexedWords()


def indexed_words(page: Sequence[Spoken]) -> list[IndexedWords]:
    """Return what to index of each of several texts."""
    words = [_AS_IT_STANDS] * len(page)
    more = _words_of_names(page)
    for number, (text, headings, languages) in enumerate(page):
        form = indexed_text(text, languages)
        others = more.get(number, [])
        if headings is not None:
            others.append(indexed_text(headings, languages) or headings)
        if others or form is not None:
            words[number] = IndexedWords(form, " ".join(others) or None)
    return words


def _words_of_names(page: Sequence[Spoken]) -> dict[int, list[str]]:
    """Return the parts of names in each of several texts, by number; most have none."""
    # Looked for in all of them at once: what a text costs by itself is more than looking.
    texts = [one.text for one in page]
    owners = [number for number, one in enumerate(page) if one.headings is not None]
    texts += [page[number].headings or "" for number in owners]
    owners = [*range(len(page)), *owners]
    joined = "\n".join(texts)
    ends = list(accumulate([len(text) + 1 for text in texts]))
    found: dict[int, list[str]] = {}
    for part in name_parts(joined):
        number = owners[bisect_right(ends, part.start)]
        found.setdefault(number, []).append(part.word)
    for number, words in found.items():
        text = " ".join(words)
        found[number] = [indexed_text(text, page[number].languages) or text]
    for name in signed_names(joined):
        number = owners[bisect_right(ends, name.start)]
        found.setdefault(number, []).append(name.word)
    return found


def indexed_text(text: str, languages: tuple[str, ...] = DEFAULT_LANGUAGES) -> str | None:
    """Return the words of a text, or None where the database finds them itself.

    The words stand in their order, one for each. After them come the other forms of words that
    have several.
    """
    is_english = languages == DEFAULT_LANGUAGES
    if is_english and text.isascii():
        return None
    if is_english and len(text.encode(errors="replace")) < _MOST_FOREIGN * len(text):
        # English with typographic quotes and accents: the rest of it is as it should be.
        plain = _FOREIGN.sub(_folded, text)
        if plain.isascii():
            return plain
    folded = fold(text, accents=not is_english)
    words: list[str] = []
    others: list[str] = []
    for piece in folded.split(" "):
        form, other = (_words if len(piece) <= _LONGEST else _words.__wrapped__)(piece, languages)
        words += form
        others += other
    return " ".join(words + others)


def _folded(match: re.Match[str]) -> str:
    return _fold_few(match[0]) if len(match[0]) <= _LONGEST else fold(match[0])


_fold_few = lru_cache(maxsize=1 << 12)(fold)


@lru_cache(maxsize=1 << 16)
def _words(piece: str, languages: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return one word for each that a piece without spaces holds, then their other forms."""
    words: list[str] = []
    others: list[str] = []
    for run in runs(piece):
        if is_unspaced(run):
            words += bigrams(run)
        else:
            form, *rest = stems(run, languages)
            words.append(form)
            others += rest
    return words, others
