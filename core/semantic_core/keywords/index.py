"""What of a text is indexed."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import accumulate
from typing import NamedTuple, Self

from semantic_core.domain.media import load_media
from semantic_core.keywords.folding import fold
from semantic_core.keywords.identifiers import name_parts, signed_names
from semantic_core.keywords.scripts import bigrams, is_unspaced, runs
from semantic_core.keywords.stems import DEFAULT_LANGUAGES, stems

_ASCII = bytes(range(128))

# Bytes for a character: with more of them it is no English.
_MOST_FOREIGN = 1.15

# Longer ones seldom come again.
_LONGEST = 32


class IndexedWords(NamedTuple):
    """What is indexed of one text, as words with spaces between them; ``more`` with less weight.

    The text is None where that is indexed as it is; more are its headings, and parts of names.
    """

    text: str | None = None
    more: str | None = None


class Said(NamedTuple):
    """What a chunk says: row key, text, what is embedded if that is another, and languages."""

    pk: int
    text: str
    vector_source: str | None = None
    languages: tuple[str, ...] = DEFAULT_LANGUAGES

    @classmethod
    def of(
        cls,
        pk: int,
        text: str,
        vector_source: str | None,
        media: str | None,
        *,
        languages: tuple[str, ...],
    ) -> Self:
        """Return what a chunk says; the names of its files are its headings, too."""
        if media is not None:
            names = [part.name for part in load_media(media) if part.name is not None]
            vector_source = "\n\n".join([*names, vector_source or text])
        return cls(pk, text, vector_source, languages)

    @property
    def headings(self) -> str | None:
        """What stands before the text in what is embedded, or None."""
        source, text = self.vector_source, self.text
        if source is None or not source.endswith(text):
            return None
        return source[: len(source) - len(text)] or None


_AS_IT_STANDS = IndexedWords()


def indexed_words(page: Sequence[Said]) -> list[IndexedWords]:
    """Return what to index of each of several chunks."""
    words = [_AS_IT_STANDS] * len(page)
    headings = {
        number: before
        for number, said in enumerate(page)
        if said.vector_source is not None and (before := said.headings) is not None
    }
    more = _words_of_names(page, headings)
    for number, (_, text, _, languages) in enumerate(page):
        form = indexed_text(text, languages)
        others = more.get(number, [])
        if number in headings:
            others.append(indexed_text(headings[number], languages) or headings[number])
        if others or form is not None:
            words[number] = IndexedWords(form, " ".join(others) or None)
    return words


def _words_of_names(page: Sequence[Said], headings: dict[int, str]) -> dict[int, list[str]]:
    """Return the parts of names in each of several chunks, by number; most have none."""
    # Looked for in all of them at once: what a text costs by itself is more than looking.
    texts = [said.text for said in page] + list(headings.values())
    owners = [*range(len(page)), *headings]
    joined = "\n".join(texts)
    # Most texts are ASCII, and made into it in no time.
    plain = "\n".join([text.encode("ascii", "replace").decode() for text in texts])
    ends = list(accumulate([len(text) + 1 for text in texts]))
    found: dict[int, list[str]] = {}
    for start, parts in name_parts(plain):
        number = owners[bisect_right(ends, start)]
        found.setdefault(number, []).extend([part.word for part in parts])
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
    if is_english:
        written = text.encode(errors="replace")
        if len(written) < _MOST_FOREIGN * len(text):
            # English with typographic quotes and accents: the rest of it is as it should be.
            plain = text
            for char in dict.fromkeys(written.translate(None, _ASCII).decode()):
                plain = plain.replace(char, _fold_one(char))
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


_fold_one = cache(fold)


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
