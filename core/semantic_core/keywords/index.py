"""What of a text is indexed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from semantic_core.keywords.folding import fold
from semantic_core.keywords.identifiers import identifier_words
from semantic_core.keywords.scripts import bigrams, is_unspaced, runs
from semantic_core.keywords.stems import DEFAULT_LANGUAGES, stems

# Longer ones seldom come again.
_LONGEST = 32


@dataclass(frozen=True, slots=True)
class IndexedWords:
    """What is indexed of one text, as words with spaces between them.

    Attributes:
        text: in place of the text; None where that is indexed as it is.
        more: with less weight: its headings, and the parts of its identifiers; None if there are
            none.
    """

    text: str | None
    more: str | None


def indexed_words(
    text: str, *, headings: str | None = None, languages: tuple[str, ...] = DEFAULT_LANGUAGES
) -> IndexedWords:
    """Return what to index of a text.

    Args:
        text: any text.
        headings: what it stands under.
        languages: those of words in Latin letters.
    """
    more = identifier_words(text)
    if headings:
        more.append(indexed_text(headings, languages) or headings)
    return IndexedWords(indexed_text(text, languages), " ".join(more) or None)


def indexed_text(text: str, languages: tuple[str, ...] = DEFAULT_LANGUAGES) -> str | None:
    """Return the words of a text, or None where the database finds them itself.

    The words stand in their order, one for each. After them come the other forms of words that
    have several.
    """
    is_english = languages == DEFAULT_LANGUAGES
    if is_english and text.isascii():
        return None
    folded = fold(text, accents=not is_english)
    if is_english and folded.isascii():
        return folded
    words: list[str] = []
    others: list[str] = []
    for piece in folded.split(" "):
        form, other = (_words if len(piece) <= _LONGEST else _words.__wrapped__)(piece, languages)
        words += form
        others += other
    return " ".join(words + others)


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
