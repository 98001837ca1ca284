"""Fusing ranked lists. Pure functions on row keys and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.statuses import Match

# Cormack, Clarke and Büttcher (SIGIR 2009), "Reciprocal Rank Fusion": k = 60.
RANK_OFFSET = 60


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row with its place in the list that is returned."""

    pk: int
    score: float
    match: Match


def by_keyword(pks: Sequence[int]) -> list[Ranked]:
    """Rank by keyword alone: without a cosine the score is 1 / (1 + position), from 0."""
    return [Ranked(pk, 1 / (1 + position), Match.KEYWORD) for position, pk in enumerate(pks)]


def by_both(
    vector_pks: Sequence[int], keyword_pks: Sequence[int], *, alpha: float, limit: int
) -> list[Ranked]:
    """Rank by ``alpha / (60 + vector rank) + (1 - alpha) / (60 + keyword rank)``, ranks from 1.

    Equal sums keep the order of the vector list, then of the keyword list.
    """
    scores: dict[int, float] = {}
    for rank, pk in enumerate(vector_pks, start=1):
        scores[pk] = alpha / (RANK_OFFSET + rank)
    for rank, pk in enumerate(keyword_pks, start=1):
        scores[pk] = scores.get(pk, 0.0) + (1 - alpha) / (RANK_OFFSET + rank)
    by_vector, by_words = set(vector_pks), set(keyword_pks)
    # sorted() is stable: ties stay in insertion order.
    order = sorted(scores, key=lambda pk: -scores[pk])[:limit]
    return [Ranked(pk, scores[pk], _match(pk, by_vector, by_words)) for pk in order]


def by_vector(
    vectors: Sequence[tuple[int, float]], pending_pks: Sequence[tuple[int, int]], *, limit: int
) -> list[Ranked]:
    """Rank by vector, with keyword hits that have no vector yet fused in by reciprocal rank.

    Args:
        vectors: (row, cosine), nearest first.
        pending_pks: (row, rank from 1 in the whole keyword list) of rows without a vector.
        limit: how many at most.

    Returns:
        Scores never rise down the list: a keyword hit takes the cosine of the next vector hit
        below it, of the last one if none is below, or 1 / (1 + position) if there is none.
    """
    if not vectors:
        return by_keyword([pk for pk, _ in pending_pks][:limit])
    # No row is in both lists, so the order of reciprocal ranks is the order of ranks.
    fused = [(rank, 0, pk) for rank, (pk, _) in enumerate(vectors, start=1)]
    fused += [(rank, 1, pk) for pk, rank in pending_pks]
    order = [pk for _, _, pk in sorted(fused)][:limit]
    cosines = dict(vectors)
    borrowed = next((cosines[pk] for pk in reversed(order) if pk in cosines), 0.0)
    ranked = []
    for pk in reversed(order):
        borrowed = cosines.get(pk, borrowed)
        ranked.append(Ranked(pk, borrowed, Match.VECTOR if pk in cosines else Match.KEYWORD))
    return ranked[::-1]


def _match(pk: int, by_vector: set[int], by_words: set[int]) -> Match:
    if pk in by_vector and pk in by_words:
        return Match.BOTH
    return Match.VECTOR if pk in by_vector else Match.KEYWORD
