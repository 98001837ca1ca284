"""What a question asks of the index, whichever database keeps it."""

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
    """Words of the index that stand side by side; of a prefix the last is a word's beginning."""

    words: tuple[str, ...]
    is_prefix: bool = False


Term = tuple[Phrase, ...]
"""The forms of one word of a question: a text holds it that holds any of them."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a text asks.

    Attributes:
        terms: what a text may hold, each once; the more the better.
        words: the same as it was written, for people.
        first: texts that hold this come before all others.
        languages: the sets of languages in which it is asked.
    """

    terms: tuple[Term, ...] = ()
    words: tuple[str, ...] = ()
    first: Phrase | None = None
    languages: tuple[tuple[str, ...], ...] = (DEFAULT_LANGUAGES,)


def ask(text: str, *languages: tuple[str, ...]) -> Question:
    """Return what a text asks; no terms where it holds no word.

    A text in double quotes as a whole is one phrase. A short run of a script without spaces is
    one, too. A longer run asks for each of its pairs of characters, and if it is the whole
    question, texts that hold it as it stands come first. Words joined by signs, as in
    ``postgresql.conf``, ask for each of them and for all side by side. There are several sets of
    languages where texts may be indexed by any of them.
    """
    sets = languages or (DEFAULT_LANGUAGES,)
    stripped = text.strip()
    if len(stripped) > 2 and stripped[0] == stripped[-1] == '"' and '"' not in stripped[1:-1]:
        parts = runs(fold(stripped, accents=True))
        return (
            Question((_phrase(parts, sets),), (stripped[1:-1],), None, sets)
            if parts
            else Question()
        )
    terms: dict[Term, str] = {}
    all_runs: list[str] = []
    for piece in stripped.split():
        parts = runs(fold(piece, accents=True))
        all_runs += parts
        terms |= {(Phrase((name.word,)),): piece for name in signed_names(piece)}
        if 1 < len(parts) <= _MOST_PARTS and not any(map(is_unspaced, parts)):
            terms[_phrase(parts, sets)] = piece
        for run in parts:
            terms |= _terms(run, sets)
    first = None
    if len(all_runs) == 1 and is_unspaced(all_runs[0]) and 1 < len(terms) <= _LONGEST_QUESTION:
        (first,) = _phrase(all_runs, sets)
    return Question(tuple(terms), tuple(terms.values()), first, sets)


def _terms(run: str, sets: tuple[tuple[str, ...], ...]) -> dict[Term, str]:
    if not is_unspaced(run):
        forms = dict.fromkeys(form for languages in sets for form in stems(run, languages))
        return {tuple(Phrase((form,)) for form in forms): run}
    if len(characters(run)) <= _LONGEST_WORD:
        return {_phrase([run], sets): run}
    return {(Phrase((pair,)),): pair for pair in bigrams(run)[:-1]}


def _phrase(parts: list[str], sets: tuple[tuple[str, ...], ...]) -> Term:
    """Return runs side by side, once for each different form they have."""
    return tuple(dict.fromkeys(_side_by_side(parts, languages) for languages in sets))


def _side_by_side(parts: list[str], languages: tuple[str, ...]) -> Phrase:
    """Return runs as they are indexed; the first and the last may go on in the text."""
    words: list[str] = []
    for run in parts:
        words += bigrams(run) if is_unspaced(run) else stems(run, languages)[:1]
    if not is_unspaced(parts[-1]):
        return Phrase(tuple(words))
    if len(characters(parts[-1])) == 1:
        return Phrase(tuple(words), is_prefix=True)
    return Phrase(tuple(words[:-1]))
