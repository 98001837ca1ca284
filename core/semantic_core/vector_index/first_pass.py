"""The first pass of a search: choose the rows to score, as many as recall needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from semantic_core.vector_index.arrays import Flags, Floats, Rows
from semantic_core.vector_index.cells import Cells, arranged, neighbours_of_some, with_margins
from semantic_core.vector_index.codes import FARTHEST, Codes, Distances
from semantic_core.vector_index.matrix import Matrix

# Below this many rows, scoring all of them is as fast.
LEAST_ROWS = 20_000

# Scoring one row again costs as much as scoring several in order: its memory is far away.
FETCH_COST = 5

# On 61,911 real text embeddings the best 1,500 by code contain 99.96 % of the true top 10. With
# the extra depth for more hits they contain 99.9 % of the true top 20, 30, 50 and 100. More rows
# need hardly more depth.
_LEAST_DEPTH = 1_500
_MORE_HITS = 12

# The depth that holds 99 of 100 neighbours is measured on the stored vectors themselves. Four
# times that depth misses about one neighbour in 2,000.
_SAMPLES = 32
_NEIGHBOURS = 10
_MEASURED_SHARE = 0.99
_SAFETY = 4

# In the nearest cells less depth is enough: codes are compared more closely there.
_LEAST_NEAR_DEPTH = 800
_NEAR_SAFETY = 3

# Chosen rows may all lie in one corner, where codes tell them apart less well.
_CORNER = 1.5

# Codes of chosen rows are fetched one by one: each costs as much as several in order.
CODE_FETCH_COST = 8

# The mean is taken over this many rows, not over all.
_MEAN_SAMPLE = 4096


@dataclass(slots=True)
class FirstPass:
    """Codes of a matrix, and how deep their order must be searched.

    Not every model's vectors suit one bit a dimension, so the depth is measured on the vectors
    themselves. Where the depth is too large to save time, every search is exact.

    Branches of a matrix share one: their common rows have the same codes. It may hold more rows
    than a branch has.

    Attributes:
        codes: one a row.
        depth: how many rows to score for ten hits or fewer.
        measured_at: the number of rows when mean and depth were measured.
        cells: which rows lie together; only a saved index has them.
    """

    codes: Codes
    depth: int
    measured_at: int
    cells: Cells | None = None

    @classmethod
    def of(cls, matrix: Matrix) -> FirstPass:
        """Code every row and measure the depth."""
        codes = Codes(_mean(matrix))
        for _, part in matrix.parts():
            codes.extend(part)
        return cls(codes, _measured_depth(matrix, codes), matrix.count)

    @property
    def has_cells(self) -> bool:
        """Whether rows lie in more than one cell."""
        return self.cells is not None and len(self.cells.centres) > 1

    def is_outdated(self, matrix: Matrix) -> bool:
        """Whether so many rows are new that mean and depth may have changed."""
        return matrix.count >= 2 * self.measured_at

    def catch_up(self, matrix: Matrix) -> None:
        """Code the rows that were added since."""
        for _, part in matrix.parts(self.codes.count):
            self.codes.extend(part)

    def moved(self, rows: Rows) -> FirstPass:
        """Return the first pass of a matrix that holds just these rows, in this order."""
        codes = Codes(self.codes.mean, self.codes.of(rows))
        cells = self.cells.moved(rows) if self.cells else None
        return FirstPass(codes, self.depth, len(rows), cells)

    def arranged(self, matrix: Matrix, is_hurried: Callable[[], bool]) -> tuple[Rows, FirstPass]:
        """Return the living rows in the order in which to save them, and the first pass then.

        With cells, if there are many rows, unless ``is_hurried`` before they are made.
        """
        rows, cells = arranged(matrix, self.cells, is_hurried) or (matrix.live_rows(), None)
        codes = Codes(self.codes.mean, self.codes.of(rows))
        if cells is not None and self.cells is None:
            queries, neighbours = neighbours_of_some(matrix, rows, is_hurried)
            if is_hurried():
                return rows, replace(self, codes=codes)
            cells = with_margins(cells, queries, neighbours)
            cells = replace(cells, depth=_near_depth(codes, cells, queries, neighbours))
        return rows, replace(self, codes=codes, cells=cells)

    def depth_for(self, limit: int, *, is_close: bool = False) -> int:
        """Return how many rows to score to find the ``limit`` nearest.

        Fewer where codes are compared closely, and how deep that goes was measured.
        """
        if is_close and self.cells is not None and self.has_cells:
            return _for(limit, min(self.depth, int(_CORNER * self.cells.depth)))
        return _for(limit, self.depth)

    def best(
        self, matrix: Matrix, query: Floats, limit: int, rows: Rows | None, *, is_shared: bool
    ) -> Rows:
        """Return the best rows by estimate to score for ``limit`` hits, ascending.

        As many as `depth_for` says, and any that equal the last. They are chosen from ``rows``,
        none of them dead, or else from all that are not; there are more of them than are chosen.
        ``is_shared`` says that other threads search meanwhile.
        """
        if rows is None and self.cells is not None:
            near = self._best_near(self.cells, matrix, query, limit, is_shared=is_shared)
            if near is not None:
                return near
        chosen = rows if rows is not None and is_few(len(rows), matrix.count) else None
        depth = self.depth_for(limit, is_close=chosen is not None)
        distances = self.codes.distances(query, matrix.count, rows=chosen, is_shared=is_shared)
        if rows is not None and chosen is None:
            distances = distances[rows]
        elif rows is None and matrix.dead_count:
            distances[matrix.dead] = FARTHEST
        last = np.partition(distances, depth - 1)[depth - 1]
        best = np.flatnonzero(distances <= last)
        return best if rows is None else rows[best]

    def _best_near(
        self, cells: Cells, matrix: Matrix, query: Floats, limit: int, *, is_shared: bool
    ) -> Rows | None:
        """Return the best rows of the nearest cells, and of those in none; None for too few."""
        depth = _for(limit, cells.depth)
        spans = cells.near(query, limit, depth)
        if spans is None:
            return None
        spans = np.concatenate((spans, [(cells.starts[-1], self.codes.base.shape[1])]))
        rows = self.codes.numbers(spans, matrix.count)
        lives = ~matrix.dead[rows]
        # So few more are scored as fast as compared first.
        if 2 * len(rows) <= 3 * depth:
            rows = rows[lives]
            return rows if len(rows) >= limit else None
        distances = self.codes.distances(query, matrix.count, spans=spans, is_shared=is_shared)
        distances, rows = distances[lives], rows[lives]
        if len(rows) <= depth:
            return rows if len(rows) >= limit else None
        last = np.partition(distances, depth - 1)[depth - 1]
        best: Rows = rows[distances <= last]
        return best


def is_few(chosen: int, count: int) -> bool:
    """Return whether to fetch the codes of so many chosen rows instead of comparing all."""
    return chosen * CODE_FETCH_COST <= count


def _for(limit: int, depth: int) -> int:
    return depth + depth * max(0, limit - _NEIGHBOURS) // _MORE_HITS


def _near_depth(codes: Codes, cells: Cells, queries: Floats, neighbours: Rows) -> int:
    """Measure how deep one must search in the nearest cells."""
    ranks = []
    for query, nearest in zip(queries, neighbours[:, :_NEIGHBOURS], strict=True):
        spans = cells.near(query, _NEIGHBOURS, 0)
        if spans is not None:
            distances = codes.distances(query, codes.count, spans=spans)
            is_near = np.isin(codes.numbers(spans, codes.count), nearest)
            ranks.append(_ranks(distances, is_near))
    if not ranks:
        return _LEAST_NEAR_DEPTH
    return max(_LEAST_NEAR_DEPTH, _NEAR_SAFETY * _holding_most(ranks))


def _mean(matrix: Matrix) -> Floats:
    rows = matrix.live_rows()
    some = np.linspace(0, len(rows) - 1, min(len(rows), _MEAN_SAMPLE)).astype(np.int64)
    mean: Floats = matrix.gather(rows[some]).mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def _measured_depth(matrix: Matrix, codes: Codes) -> int:
    """Measure how deep one must search, by estimate, to find the true neighbours of some vectors."""
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
        ranks.append(_ranks(distances, nearest))
    return max(_LEAST_DEPTH, _SAFETY * _holding_most(ranks))


def _ranks(distances: Distances, places: Rows | Flags) -> Rows:
    """Return how many distances are at most that of each of these places."""
    ranks: Rows = np.cumsum(np.bincount(distances))[distances[places]]
    return ranks


def _holding_most(ranks: Sequence[Rows]) -> int:
    return int(np.quantile(np.concatenate(ranks), _MEASURED_SHARE, method="higher"))
