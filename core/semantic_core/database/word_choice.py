"""Which words of a question are looked for, whichever database counted them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from semantic_core.domain.explanation import Explanation
from semantic_core.domain.pages import pages
from semantic_core.keywords import Question, passages

# Each word of a search costs time in every row, and nobody types this many.
MOST_WORDS = 128

# A word found in more than a fifth of what is asked tells nothing apart and costs the most.
_COMMON_SHARE = 5

# Counted to the end below this; above it only as far as it takes to know that a word is common.
_COUNTED = 100


@dataclass(frozen=True, slots=True)
class WordChoice:
    """Words of a question, each as its place among the terms.

    Attributes:
        ranking: rows are ranked by these, the rarest first.
        candidates: the first of them: with enough rows that hold one of these, no others are ranked.
        filling: lists of others: rows that hold none but these come after, in this order.
        counts: how many rows hold each of all terms.
        explanation: the same, for people.
    """

    ranking: Sequence[int]
    candidates: Sequence[int]
    filling: Sequence[Sequence[int]]
    counts: Sequence[int]
    explanation: Explanation


def choose_words(
    question: Question, *, total: int, candidates: int, count: Callable[[int], Sequence[int]]
) -> WordChoice | None:
    """Return which words to look for, or None if no row holds one.

    Args:
        question: what is asked.
        total: how many rows are asked.
        candidates: how many of them are enough to rank.
        count: returns how many hold each term, up to a bound.
    """
    if not question.terms or not total:
        return None
    most = total // _COMMON_SHARE
    # Of one word there is nothing to choose.
    counts = count(max(most, _COUNTED) + 1) if len(question.terms) > 1 else [1]
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
    held = list(accumulate(counts[place] for place in ranking))
    enough = bisect_left(held, candidates)
    # To look at fewer than half of the rows is worth it. Of words that are all common, none is known
    # to be the rarest.
    is_worth_it = counts[ranking[-1]] <= most and 2 * held[min(enough, len(held) - 1)] < held[-1]
    chosen = ranking[: enough + 1] if is_worth_it else ranking
    return WordChoice(ranking, chosen, filling, counts, explanation)
