"""What of a text is indexed."""

from __future__ import annotations

import re
from functools import lru_cache
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


def indexed_words(
    text: str, *, headings: str | None = None, languages: tuple[str, ...] = DEFAULT_LANGUAGES
) -> IndexedWords:
    """Return what to index of a text.

    Args:
        text: any text.
        headings: what it stands under.
        languages: those of words in Latin letters.
    """
    told = [] if headings is None else [headings]
    more = [part.word for said in (text, *told) for part in name_parts(said)]
    more = [indexed_text(said, languages) or said for said in (*more, *told)]
    more += [name.word for said in (text, *told) for name in signed_names(said)]
    return IndexedWords(indexed_text(text, languages), " ".join(more) or None)


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
