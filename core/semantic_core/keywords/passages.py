import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import accumulate
from typing import NamedTuple

from semantic_core.keywords.folding import fold
from semantic_core.keywords.identifiers import name_parts, signed_names
from semantic_core.keywords.question import Phrase, Question
from semantic_core.keywords.scripts import bigrams, characters, is_unspaced, runs
from semantic_core.keywords.stems import stem, stems

Passage = tuple[int, int]
"""Where it starts in a text, and where it ends."""


class _Word(NamedTuple):
    """Forms under which a word is indexed; where it, its first character and itself end."""

    forms: tuple[str, ...]
    start: int
    first_end: int
    end: int


def passages(question: Question, text: str) -> list[Passage]:
    """Return where in a text the words of a question stand, in order, with none in another.

    English words are stemmed nearly as the database does it, so a rare form may be missed.
    """
    folded, places = _folded(text)
    phrases = [phrase for term in question.terms for phrase in term]
    single = {_known(phrase.words)[0] for phrase in phrases if len(phrase.words) == 1}
    found: list[Passage] = []
    for languages in question.languages:
        words = list(_words(folded, places, languages))
        found += _side_by_side(words, phrases)
        words += [
            _Word(_known(stems(word, languages)), start + begins, start + ends, start + ends)
            for start, parts in name_parts(text)
            for word, begins, ends in parts
        ]
        found += [(word.start, word.end) for word in words if not single.isdisjoint(word.forms)]
    found += [(name.start, name.end) for name in signed_names(text) if name.word in single]
    return list(_apart(sorted(found)))


def _known(forms: Iterable[str]) -> tuple[str, ...]:
    """Return forms as the database knows them, English ones stemmed."""
    return tuple(stem("porter", form) if form.isascii() else form for form in forms)


def _folded(text: str) -> tuple[str, list[Passage]]:
    """Return a text folded, and where each of its characters comes from."""
    folded: list[str] = []
    places: list[Passage] = []
    start = 0
    for end in [*_beginnings(text), len(text)]:
        part = _fold(text[start:end])
        folded.append(part)
        places += [(start, end)] * len(part)
        start = end
    return "".join(folded), places


@lru_cache(maxsize=1 << 14)
def _fold(character: str) -> str:
    return fold(character, accents=True)


def _beginnings(text: str) -> Iterator[int]:
    """Yield where a character begins that nothing before it becomes one letter with."""
    for place, char in enumerate(text):
        if char <= "\x7f" or not _goes_on(char):
            yield place


@cache
def _goes_on(char: str) -> bool:
    # Marks, what is invisible, and the vowels and last consonants of Hangul written in parts.
    return (
        unicodedata.category(char) in ("Mn", "Mc", "Me", "Cf", "Co") or "\u1160" <= char <= "\u11ff"
    )


def _words(folded: str, places: list[Passage], languages: tuple[str, ...]) -> Iterator[_Word]:
    """Yield the words of a folded text in their order."""
    at = 0
    for run in runs(folded):
        at = folded.index(run, at)
        if is_unspaced(run):
            ends = list(accumulate(map(len, characters(run)), initial=at))
            for start, first_end, end, pair in zip(
                ends, ends[1:], [*ends[2:], ends[-1]], bigrams(run), strict=False
            ):
                yield _Word((pair,), places[start][0], places[first_end - 1][1], places[end - 1][1])
        else:
            start, end = places[at][0], places[at + len(run) - 1][1]
            yield _Word(_known(stems(run, languages)), start, end, end)
        at += len(run)


def _side_by_side(words: list[_Word], phrases: Iterable[Phrase]) -> Iterator[Passage]:
    """Yield where phrases stand: their words side by side, or the beginning of one."""
    forms = [word.forms[0] for word in words]
    text = f" {' '.join(forms)} "
    spaces = accumulate((len(form) + 1 for form in forms), initial=0)
    numbers = {space: number for number, space in enumerate(spaces)}
    for phrase in phrases:
        asked = " " + " ".join(_known(phrase.words)) + " " * (not phrase.is_prefix)
        place = text.find(asked)
        while place >= 0:
            first = numbers[place]
            last = words[first + len(phrase.words) - 1]
            yield words[first].start, last.first_end if phrase.is_prefix else last.end
            # One space may end a phrase and begin the next.
            place = text.find(asked, place + len(asked) - 1)


def _apart(found: list[Passage]) -> Iterator[Passage]:
    """Yield sorted passages, those that overlap as one."""
    start = end = 0
    for passage in found:
        if passage[0] >= end:
            if end > start:
                yield start, end
            start, end = passage
        end = max(end, passage[1])
    if end > start:
        yield start, end
