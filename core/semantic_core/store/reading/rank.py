"""Fusing ranked lists. Pure functions on row keys and scores."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from semantic_core.domain.statuses import Match

# Cormack, Clarke and Büttcher (SIGIR 2009), "Reciprocal Rank Fusion": k = 60.
RANK_OFFSET = 60

# Of a hit that has no cosine, and no hit above it to lend one: nothing that was found may fall to
# a threshold for want of a vector.
NO_COSINE = 1.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row with its place in the list that is returned."""

    pk: int
    score: float
    match: Match


def by_keyword(pks: Sequence[int]) -> list[Ranked]:
    """Rank by keyword alone: the order tells the rank, and no hit has a cosine."""
    return [Ranked(pk, NO_COSINE, Match.KEYWORD) for pk in pks]


def by_both(
    vector_pks: Sequence[int],
    keyword_pks: Sequence[int],
    *,
    waiting: AbstractSet[int],
    alpha: float,
    limit: int,
) -> list[Ranked]:
    """Rank by ``alpha / (60 + vector rank) + (1 - alpha) / (60 + keyword rank)``, ranks from 1.

    Both lists are best first. For rows that are ``waiting`` for a vector their keyword rank
    replaces the missing one, or they could collect only one of two shares. Equal sums keep the
    order of the keyword list, then of the vector list. Where nothing was found by vector it is the
    keyword list.
    """
    if not vector_pks:
        return by_keyword(keyword_pks[:limit])
    nearness = {pk: alpha / (RANK_OFFSET + rank) for rank, pk in enumerate(vector_pks, start=1)}
    scores: dict[int, float] = {}
    for rank, pk in enumerate(keyword_pks, start=1):
        missing = alpha / (RANK_OFFSET + rank) if pk in waiting else 0.0
        scores[pk] = nearness.get(pk, missing) + (1 - alpha) / (RANK_OFFSET + rank)
    by_words, both = set(scores), nearness.keys() & scores.keys()
    scores = {**scores, **{pk: near for pk, near in nearness.items() if pk not in by_words}}
    # sorted() is stable: ties stay in insertion order.
    order = sorted(scores, key=lambda pk: -scores[pk])[:limit]
    by_one = {True: Match.KEYWORD, False: Match.VECTOR}
    return [
        Ranked(pk, scores[pk], Match.BOTH if pk in both else by_one[pk in by_words]) for pk in order
    ]


def by_vector(
    vectors: Sequence[tuple[int, float]], waiting: Sequence[tuple[int, int]], *, limit: int
) -> list[Ranked]:
    """Rank by vector, with keyword hits that have no vector yet fused in by reciprocal rank.

    The former are (row, cosine), nearest first, the latter (row, rank from 1 in the whole keyword
    list). Ties go to the keyword hit. Scores never rise down the list: a keyword hit has the cosine
    of the vector hit above it, or 1 if there is none.
    """
    # No row is in both lists, so the order of reciprocal ranks is the order of ranks.
    fused = [(rank, 0, pk) for pk, rank in waiting]
    fused += [(rank, 1, pk) for rank, (pk, _) in enumerate(vectors, start=1)]
    cosines = dict(vectors)
    ranked, lent = [], NO_COSINE
    for _, _, pk in sorted(fused)[:limit]:
        lent = cosines.get(pk, lent)
        ranked.append(Ranked(pk, lent, Match.VECTOR if pk in cosines else Match.KEYWORD))
    return ranked


def filled(ranked: Sequence[Ranked], pks: Iterable[int], *, limit: int) -> list[Ranked]:
    """Return a list with keyword hits that have no rank put at its end, none twice."""
    known = {hit.pk for hit in ranked}
    lent = ranked[-1].score if ranked else NO_COSINE
    more = [Ranked(pk, lent, Match.KEYWORD) for pk in pks if pk not in known]
    return [*ranked, *more][:limit]
