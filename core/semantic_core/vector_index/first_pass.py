"""Which rows are worth scoring: the best by their codes, as many as recall needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from semantic_core.vector_index.arrays import Floats, Rows
from semantic_core.vector_index.codes import FARTHEST, Codes
from semantic_core.vector_index.matrix import Matrix

# Below this many rows multiplying all of them is as fast.
LEAST_ROWS = 20_000

# Re-scoring a row costs as much as multiplying several: it is fetched from anywhere.
FETCH_COST = 5

# Of 61,911 real text embeddings the best 1,500 by code hold 99.96 % of the true top ten, and what
# more hits take keeps 99.9 % of the true top twenty, thirty, fifty and hundred. It takes hardly
# more among more rows.
_LEAST_DEPTH = 1_500
_MORE_HITS = 12

# What is measured on the stored vectors themselves: how deep 99 of 100 neighbours lie. Four times
# that depth holds the rest up to about one in 2,000.
_SAMPLES = 32
_NEIGHBOURS = 10
_MEASURED_SHARE = 0.99
_SAFETY = 4

# Rows whose mean stands for that of all.
_MEAN_SAMPLE = 4096


@dataclass(slots=True)
class FirstPass:
    """Codes of a matrix, and how deep their order must be searched.

    Not every model's vectors suit one bit a dimension, so the depth is measured on the vectors
    themselves. Where it comes out too deep to be worth it, `depth` says so by being so large
    that every search is exact.

    Branches of a matrix share one: their common rows have the same codes, and it may hold more than
    a branch has.

    Attributes:
        codes: one a row.
        depth: how many rows to score for the sake of ten or less.
        measured_at: rows there were when mean and depth were measured.
    """

    codes: Codes
    depth: int
    measured_at: int

    @classmethod
    def of(cls, matrix: Matrix) -> FirstPass:
        """Code every row and measure the depth."""
        codes = Codes(_mean(matrix))
        for _, part in matrix.parts():
            codes.extend(part)
        return cls(codes, _measured_depth(matrix, codes), matrix.count)

    def is_outdated(self, matrix: Matrix) -> bool:
        """Whether there are so many new rows that mean and depth may be others."""
        return matrix.count >= 2 * self.measured_at

    def catch_up(self, matrix: Matrix) -> None:
        """Code the rows that came since."""
        for _, part in matrix.parts(self.codes.count):
            self.codes.extend(part)

    def moved(self, rows: Rows) -> FirstPass:
        """Return the first pass of a matrix that holds just these rows, in this order."""
        return FirstPass(Codes(self.codes.mean, self.codes.of(rows)), self.depth, len(rows))

    def depth_for(self, limit: int) -> int:
        """Return how many rows to score for the sake of the ``limit`` nearest."""
        return self.depth + self.depth * max(0, limit - _NEIGHBOURS) // _MORE_HITS

    def best(self, matrix: Matrix, query: Floats, depth: int, rows: Rows | None) -> Rows:
        """Return the ``depth`` best rows by estimate, and any that equal the last, ascending.

        Args:
            matrix: the coded one.
            query: as the matrix holds its rows.
            depth: less than there are rows to choose from.
            rows: the only rows to choose from, living ones; None for all that live.
        """
        distances = self.codes.distances(query, matrix.count)
        if rows is not None:
            distances = distances[rows]
        elif matrix.dead_count:
            distances[matrix.dead] = FARTHEST
        last = np.partition(distances, depth - 1)[depth - 1]
        best = np.flatnonzero(distances <= last)
        return best if rows is None else rows[best]


def _mean(matrix: Matrix) -> Floats:
    rows = matrix.live_rows()
    some = np.linspace(0, len(rows) - 1, min(len(rows), _MEAN_SAMPLE)).astype(np.int64)
    mean: Floats = matrix.gather(rows[some]).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _measured_depth(matrix: Matrix, codes: Codes) -> int:
    """Measure how deep, by estimate, the true neighbours of some stored vectors lie."""
    rows = matrix.live_rows()
    some = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLES)).astype(np.int64)
    queries = matrix.gather(rows[some])
    products = matrix.products(queries)
    products[:, matrix.dead] = -np.inf
    ranks = []
    for query, scores in zip(queries, products, strict=True):
        # A vector is its own first neighbour.
        nearest = np.argpartition(scores, -_NEIGHBOURS - 1)[-_NEIGHBOURS - 1 :]
        distances = codes.distances(query, matrix.count)
        distances[matrix.dead] = FARTHEST
        ranks.append(np.cumsum(np.bincount(distances))[distances[nearest]])
    measured = np.quantile(np.concatenate(ranks), _MEASURED_SHARE, method="higher")
    return max(_LEAST_DEPTH, _SAFETY * int(measured))
