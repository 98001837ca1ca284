"""What of a text is indexed."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from semantic_core.domain.media import load_media
from semantic_core.keywords.folding import fold
from semantic_core.keywords.identifiers import SPACED, name_parts, signed_names
from semantic_core.keywords.scripts import bigrams, is_unspaced, runs
from semantic_core.keywords.stems import DEFAULT_LANGUAGES, stems

_ASCII = bytes(range(128))

# Bytes for a character: with more of them it is no English.
_MOST_FOREIGN = 1.15

# Longer ones seldom come again.
_LONGEST = 32
_KEPT = 1 << 16


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
        # Of a damaged row it may be anything.
        if not isinstance(source, str) or not source.endswith(text):
            return None
        return source[: len(source) - len(text)] or None


# Han and Kana that stay as they are in every form and take no mark; the last is for what is beyond.
_PAIRED = np.zeros(0xA001, dtype=np.bool_)
for _chars in ("\u3041\u3096", "\u30a1\u30fa", "\u30fc\u30fc", "\u3400\u4dbf", "\u4e00\u9fff"):
    _PAIRED[ord(_chars[0]) : ord(_chars[1]) + 1] = True

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
    for number, before in headings.items():
        said = indexed_text(before, page[number].languages) or before
        more.setdefault(number, []).append(said)
    for number, (_, text, _, languages) in enumerate(page):
        form = indexed_text(text, languages)
        if form is not None or number in more:
            words[number] = IndexedWords(form, " ".join(more.get(number, ())) or None)
        elif not text:
            words[number] = IndexedWords("")
    return words


def _words_of_names(page: Sequence[Said], headings: dict[int, str]) -> dict[int, list[str]]:
    # Looked for in all of them at once: what a text costs by itself is more than looking.
    texts = [said.text for said in page] + list(headings.values())
    owners = [*range(len(page)), *headings]
    ends = list(accumulate([len(text) + 1 for text in texts]))
    found: dict[int, list[str]] = {}
    place = 0
    for start, parts in name_parts("\n".join([_plain(text) for text in texts])):
        while ends[place] <= start:
            place += 1
        found.setdefault(owners[place], []).extend([part.word for part in parts])
    for number, words in found.items():
        text = " ".join(words)
        found[number] = [indexed_text(text, page[number].languages) or text]
    for name in signed_names("\n".join(texts)):
        number = owners[bisect_right(ends, name.start)]
        found.setdefault(number, []).append(name.word)
    return found


def _plain(text: str) -> str:
    return text if text.isascii() else text.encode("ascii", "replace").decode()


def indexed_text(text: str, languages: tuple[str, ...] = DEFAULT_LANGUAGES) -> str | None:
    """Return the words of a text, or None where the database finds them itself.

    The words stand in their order, one for each. After them come the other forms of words that
    have several.
    """
    is_english = languages == DEFAULT_LANGUAGES
    if is_english and text.isascii():
        return None
    written = text.encode(errors="replace")
    if is_english:
        if len(written) < _MOST_FOREIGN * len(text):
            # English with typographic quotes and accents: the rest of it is as it should be.
            plain = text
            for char in dict.fromkeys(written.translate(None, _ASCII).decode()):
                plain = plain.replace(char, _fold_one(char))
            if plain.isascii():
                return plain
        if (paired := _with_pairs(text)) is not None:
            return paired
    known = _pieces(languages)
    # The fewer pieces differ, the fewer are looked into.
    found = [known[piece] for piece in written.translate(SPACED).decode().split()]
    return " ".join([words for words, _ in found if words] + [more for _, more in found if more])


_fold_one = cache(fold)


def _with_pairs(text: str) -> str | None:
    """Return a text of Han, Kana and English with the first two in pairs; None if it has others.

    As `bigrams` does it, which takes five times as long.
    """
    codes, is_paired = _codes(text)
    if not is_paired.any():
        return None
    for code in np.unique(codes[~is_paired & (codes > 127)]).tolist():
        folded = _fold_one(chr(code))
        if not folded.isascii():
            return None
        text = text.replace(chr(code), folded)
    codes, is_paired = _codes(text)
    # Three cells for each character: a space before it, itself, and what follows within its run.
    cells = np.zeros((len(codes), 3), dtype=np.uint32)
    cells[:, 1] = codes
    cells[is_paired, 0] = cells[1:][is_paired[:-1], 0] = ord(" ")
    cells[:-1, 2] = codes[1:] * (is_paired[:-1] & is_paired[1:])
    return cells[cells > 0].tobytes().decode("utf-32-le")


def _codes(text: str) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return codes, _PAIRED[np.minimum(codes, len(_PAIRED) - 1)]


class _Pieces(dict[str, tuple[str, str]]):
    """One word for each that a piece without white space holds, and their other forms."""

    def __init__(self, languages: tuple[str, ...]) -> None:
        self._languages = languages

    def __missing__(self, piece: str) -> tuple[str, str]:
        words: list[str] = []
        others: list[str] = []
        for run in runs(fold(piece, accents=self._languages != DEFAULT_LANGUAGES)):
            if is_unspaced(run):
                words += bigrams(run)
            else:
                form, *rest = stems(run, self._languages)
                words.append(form)
                others += rest
        made = " ".join(words), " ".join(others)
        if len(piece) <= _LONGEST:
            if len(self) >= _KEPT:
                self.clear()
            self[piece] = made
        return made


# A dictionary is three times as fast as a function with a cache.
_pieces = cache(_Pieces)
