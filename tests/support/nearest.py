"""The slow, obvious way to find the nearest vectors: the oracle for the index."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from semantic_core.vector_index import Floats, Hits


def nearest(
    vectors: dict[int, Floats], query: Floats, limit: int, *, allowed: Collection[int] | None = None
) -> list[tuple[int, float]]:
    """Score every vector by itself in float64, and sort: (id, score), nearest first."""
    chosen = [key for key in vectors if allowed is None or key in allowed]
    scored = [(key, _score(vectors[key], query)) for key in chosen]
    return sorted(scored, key=lambda hit: (-hit[1], hit[0]))[: max(limit, 0)]


def listed(hits: Hits) -> list[tuple[int, float]]:
    """Return hits as `nearest` does."""
    return list(zip(hits.ids.tolist(), hits.scores.tolist(), strict=True))


def recall(found: Hits, true: Hits) -> float:
    """Return the share of hits that are as near as the last true one: a tie is no miss."""
    return float((found.scores >= true.scores[-1]).sum() / len(true.scores))


def clustered(count: int, dimensions: int, *, seed: int, clusters: int = 100) -> Floats:
    """Return vectors in clusters. The same seed gives the same clusters, whatever the count."""
    centres = np.random.default_rng(seed).standard_normal((clusters, dimensions))
    rng = np.random.default_rng((seed, count))
    vectors = rng.standard_normal((count, dimensions)) + centres[rng.integers(0, clusters, count)]
    return vectors.astype(np.float32)


def _score(vector: Floats, query: Floats) -> float:
    score = np.sum(_unit(vector).astype(np.float64) * _unit(query).astype(np.float64))
    return float(np.float32(min(max(score, -1.0), 1.0)))


def _unit(vector: Floats) -> npt.NDArray[np.float32]:
    wide = vector.astype(np.float64)
    return (wide / np.sqrt(np.sum(wide * wide))).astype(np.float32)
