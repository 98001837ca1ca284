"""Top-k over vectors in memory, exact, by cosine. Knows nothing about SQL or chunks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from semantic_core.types import Vector

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]

_FIRST_CAPACITY = 256


class VectorIndex:
    """Vectors of one size under integer ids. Not thread-safe: its owner locks.

    Rows are kept at length 1, so that a matrix product is the cosine.

    Args:
        dimensions: length of every vector.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._matrix = np.zeros((_FIRST_CAPACITY, dimensions), dtype=np.float32)
        self._ids = np.zeros(_FIRST_CAPACITY, dtype=np.int64)
        self._row_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._row_of)

    def __contains__(self, vector_id: int) -> bool:
        return vector_id in self._row_of

    def put(self, ids: list[int], vectors: npt.NDArray[np.float32]) -> None:
        """Add or replace vectors.

        Args:
            ids: one a vector; of one that stands twice the last counts.
            vectors: shape (len(ids), dimensions), finite, none of length zero.
        """
        self._reserve(len(self._row_of) + len(ids))
        rows = [self._row_of.setdefault(vector_id, len(self._row_of)) for vector_id in ids]
        self._ids[rows] = ids
        self._matrix[rows] = _unit(vectors)

    def remove(self, ids: list[int]) -> None:
        """Remove vectors; an id that is not there is no error."""
        for vector_id in ids:
            row = self._row_of.pop(vector_id, None)
            if row is None:
                continue
            last = len(self._row_of)
            if row != last:
                self._matrix[row] = self._matrix[last]
                moved = int(self._ids[last])
                self._ids[row] = moved
                self._row_of[moved] = row

    def search(
        self, vector: Vector, limit: int, *, allowed: list[int] | None = None
    ) -> tuple[Ids, Scores]:
        """Return the ids and cosines of the nearest vectors, nearest first.

        Equal scores are ordered by id, so that the same question has one answer.

        Args:
            vector: the query, of any length but zero.
            limit: how many at most.
            allowed: the only ids that may be returned; None for all.
        """
        count = len(self._row_of)
        query = _unit(np.asarray(vector, dtype=np.float32))
        if allowed is None:
            ids = self._ids[:count]
            scores = self._matrix[:count] @ query
        else:
            rows = [self._row_of[i] for i in allowed if i in self._row_of]
            ids = self._ids[rows]
            scores = self._matrix[rows] @ query
        # A product of rounded lengths can be a little more than 1.
        return _top(ids, np.clip(scores, -1.0, 1.0), limit)

    def _reserve(self, count: int) -> None:
        capacity = len(self._ids)
        if count <= capacity:
            return
        while capacity < count:
            capacity *= 2
        matrix = np.zeros((capacity, self.dimensions), dtype=np.float32)
        matrix[: len(self._matrix)] = self._matrix
        ids = np.zeros(capacity, dtype=np.int64)
        ids[: len(self._ids)] = self._ids
        self._matrix, self._ids = matrix, ids


def _unit(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return vectors with length 1; in float64, where no float32 over- or underflows."""
    exact = vectors.astype(np.float64)
    unit: npt.NDArray[np.float64] = exact / np.linalg.norm(exact, axis=-1, keepdims=True)
    return unit.astype(np.float32)


def _top(ids: Ids, scores: Scores, limit: int) -> tuple[Ids, Scores]:
    if limit <= 0 or not len(ids):
        return ids[:0], scores[:0]
    if limit < len(ids):
        threshold = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        # Every tie at the threshold takes part in the ordering by id.
        candidates = np.flatnonzero(scores >= threshold)
        ids, scores = ids[candidates], scores[candidates]
    order = np.lexsort((ids, -scores))[:limit]
    return ids[order], scores[order]
