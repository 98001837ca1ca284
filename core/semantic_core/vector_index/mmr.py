"""Maximal marginal relevance: hits near the query that differ from each other."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from semantic_core.domain.statuses import Match
from semantic_core.domain.types import SearchResult, VectorLike
from semantic_core.domain.validation import fraction, whole_number


def cosines(query: VectorLike, vectors: Sequence[VectorLike]) -> list[float]:
    """Return the cosine of a query to each vector, in [-1, 1]; that to a zero vector is 0.

    Args:
        query: of shape (dimensions,).
        vectors: each of shape (dimensions,).
    """
    if not len(vectors):
        return []
    similarity: list[float] = (_unit(vectors) @ _unit([query])[0]).clip(-1.0, 1.0).tolist()
    return similarity


def maximal_marginal_relevance(
    query: VectorLike, vectors: Sequence[VectorLike], *, limit: int, relevance: float = 0.5
) -> list[tuple[int, float]]:
    """Choose vectors one by one: near the query, and far from what is chosen already.

    The next one has the highest ``relevance * cosine to the query - (1 - relevance) * highest
    cosine to any chosen one``; the first is the nearest. Of equals the earlier one is chosen.

    Source: Carbonell and Goldstein (SIGIR 1998), "The Use of MMR, Diversity-Based Reranking".

    Args:
        query: of shape (dimensions,).
        vectors: the candidates, each of shape (dimensions,).
        limit: how many to choose at most.
        relevance: weight of the query against diversity; 1 is the order by cosine.

    Returns:
        (position among the candidates, cosine to the query), in the order of choice.

    Raises:
        InvalidInputError: ``limit`` is no whole number, or ``relevance`` is not from 0 to 1.
    """
    relevance = fraction(relevance, what="relevance")
    limit = whole_number(limit)
    if not len(vectors) or not limit:
        return []
    unit = _unit(vectors)
    similarity = (unit @ _unit([query])[0]).clip(-1.0, 1.0)
    position = int(np.argmax(similarity))
    chosen = [position]
    overlap = np.full(len(unit), -np.inf)
    while len(chosen) < min(limit, len(unit)):
        np.maximum(overlap, unit @ unit[position], out=overlap)
        merit = relevance * similarity - (1.0 - relevance) * overlap
        merit[chosen] = -np.inf
        position = int(np.argmax(merit))
        chosen.append(position)
    return [(position, float(similarity[position])) for position in chosen]


def diversify(
    hits: Sequence[SearchResult],
    vectors: Mapping[str, VectorLike],
    query: VectorLike,
    *,
    limit: int,
    relevance: float,
) -> list[SearchResult]:
    """Choose the vector hits again, among all that were found by vector.

    What has no vector to compare keeps its rank: keyword hits, and what only a target has.

    Args:
        hits: more than ``limit``, best first.
        vectors: by chunk id.
        query: of shape (dimensions,).
        limit: how many to return at most.
        relevance: see `maximal_marginal_relevance`.

    Raises:
        InvalidInputError: ``relevance`` is not from 0 to 1.
    """
    near = {
        place: hit
        for place, hit in enumerate(hits)
        if hit.match is Match.VECTOR and hit.chunk.id in vectors
    }
    places = range(min(whole_number(limit), len(hits)))
    picked = maximal_marginal_relevance(
        query,
        [vectors[hit.chunk.id] for hit in near.values()],
        limit=sum(place in near for place in places),
        relevance=relevance,
    )
    compared = list(near.values())
    chosen = iter([compared[position] for position, _ in picked])
    return [next(chosen) if place in near else hits[place] for place in places]


def _unit(vectors: Sequence[VectorLike]) -> npt.NDArray[np.float64]:
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.zeros_like(rows)
    np.divide(rows, lengths, out=unit, where=lengths > 0)
    return unit
