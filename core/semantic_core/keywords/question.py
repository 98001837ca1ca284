"""What a question asks of the index, whichever database keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from semantic_core.keywords.folding import fold
from semantic_core.keywords.identifiers import signed_names
from semantic_core.keywords.scripts import bigrams, characters, is_unspaced, runs
from semantic_core.keywords.stems import DEFAULT_LANGUAGES, stems

# A run of more characters is no word: it is asked for what it holds.
_LONGEST_WORD = 3

# A longer run stands in a text as it is asked in no other than the one it was copied from.
_LONGEST_QUESTION = 64

# A longer one is a text without spaces, not a name.
_MOST_PARTS = 16


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words of the index that stand side by side.

    Attributes:
        words: which.
        is_prefix: whether the last one is only the beginning of a word.
    """

    words: tuple[str, ...]
    is_prefix: bool = False


Term = tuple[Phrase, ...]
"""The forms of one word of a question: a text holds it that holds any of them."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a text asks.

    Attributes:
        terms: what a text may hold, each once; the more the better.
        first: texts that hold this come before all others.
    """

    terms: tuple[Term, ...]
    first: Phrase | None = None


def ask(text: str, languages: tuple[str, ...] = DEFAULT_LANGUAGES) -> Question:
    """Return what a text asks; no terms where it holds no word.

    A text in double quotes as a whole is one phrase. A short run of a script without spaces is
    one, too. A longer run asks for each of its pairs of characters, and if it is the whole
    question, texts that hold it as it stands come first. Words joined by signs, as in
    ``postgresql.conf``, ask for each of them and for all side by side.
    """
    stripped = text.strip()
    if len(stripped) > 2 and stripped[0] == stripped[-1] == '"' and '"' not in stripped[1:-1]:
        phrase = _phrase(runs(fold(stripped, accents=True)), languages)
        return Question(((phrase,),)) if phrase.words else Question(())
    terms: dict[Term, None] = {}
    all_runs: list[str] = []
    for piece in stripped.split():
        parts = runs(fold(piece, accents=True))
        all_runs += parts
        terms |= dict.fromkeys((Phrase((name,)),) for name in signed_names(piece))
        if 1 < len(parts) <= _MOST_PARTS and not any(map(is_unspaced, parts)):
            terms[(_phrase(parts, languages),)] = None
        for run in parts:
            terms |= dict.fromkeys(_terms(run, languages))
    first = None
    if len(all_runs) == 1 and is_unspaced(all_runs[0]) and 1 < len(terms) <= _LONGEST_QUESTION:
        first = _phrase(all_runs, languages)
    return Question(tuple(terms), first)


def _terms(run: str, languages: tuple[str, ...]) -> list[Term]:
    if not is_unspaced(run):
        return [tuple(Phrase((form,)) for form in stems(run, languages))]
    if len(characters(run)) <= _LONGEST_WORD:
        return [(_phrase([run], languages),)]
    return [(Phrase((pair,)),) for pair in bigrams(run)[:-1]]


def _phrase(parts: list[str], languages: tuple[str, ...]) -> Phrase:
    """Return runs side by side, where the first and the last may go on in the text."""
    words: list[str] = []
    for run in parts:
        words += bigrams(run) if is_unspaced(run) else stems(run, languages)[:1]
    if not parts or not is_unspaced(parts[-1]):
        return Phrase(tuple(words))
    if len(characters(parts[-1])) == 1:
        return Phrase(tuple(words), is_prefix=True)
    return Phrase(tuple(words[:-1]))
