"""Which words of a question are looked for, whichever database counted them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from semantic_core.domain.explanation import Explanation
from semantic_core.domain.pages import pages
from semantic_core.keywords import Question, passages

# Each word of a search costs time in every row, and nobody types this many.
MOST_WORDS = 128

# A word found in more than a fifth of what is asked tells nothing apart and costs the most.
_COMMON_SHARE = 5

# Counted to the end below this; above it only as far as it takes to know that a word is common.
COUNTED = 1000


@dataclass(frozen=True, slots=True)
class WordChoice:
    """Words of a question, each as its place among the terms.

    Attributes:
        ranking: rows are ranked by these, the rarest first.
        filling: lists of others: rows that hold none but these come after, in this order.
        counts: how many rows hold each of all terms.
        explanation: the same, for people.
    """

    ranking: Sequence[int]
    filling: Sequence[Sequence[int]]
    counts: Sequence[int]
    explanation: Explanation


def choose_words(
    question: Question, *, total: int, count: Callable[[int], Sequence[int]]
) -> WordChoice | None:
    """Return which words to look for, or None if no row holds one.

    ``total`` rows are asked, of which ``count`` returns how many hold each term, up to a bound.
    """
    if not question.terms or not total:
        return None
    most = total // _COMMON_SHARE
    # Of one word there is nothing to choose.
    counts = count(max(most, COUNTED) + 1) if len(question.terms) > 1 else [1]
    # sorted() is stable: of equally rare words the first comes first.
    found = sorted((place for place, rows in enumerate(counts) if rows), key=counts.__getitem__)
    telling = [place for place in found if counts[place] <= most] or found
    if not telling:
        return None
    common = found[len(telling) :]
    ranking, *filling = *pages(telling, MOST_WORDS), *pages(common, MOST_WORDS)

    def written(places: Iterable[int]) -> tuple[str, ...]:
        return tuple(question.words[place] for place in places)

    explanation = Explanation(
        ranked=written(ranking),
        too_many=written(telling[MOST_WORDS:]),
        too_common=written(common),
        unknown=written(place for place, rows in enumerate(counts) if not rows),
        passages=partial(passages, question),
    )
    return WordChoice(ranking, filling, counts, explanation)
