"""Cells: rows that lie together, so that the first pass reads the codes of the nearest ones only.

Each row is in the cell of the centre that is nearest to it, and the rows of a cell stand in a row.
A search reads the cells whose centres are nearly as near to the query as the nearest one. How much
is nearly is measured on the stored vectors; where it means most of them, there is one cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from semantic_core.vector_index.arrays import Floats, Rows
from semantic_core.vector_index.matrix import Matrix

# Below this many rows the codes of all are read nearly as fast.
LEAST_CLUSTERED = 50_000

# Cells for the square root of the number of rows.
_CELLS = 2

# Rows that the centres are found on, for each of them, and at most as numbers (256 MiB).
_TRAINED = 48
_MOST_TRAINED = 2**26
_ROUNDS = 6

# A margin is measured for as many hits as a page of results, and for many.
LIMITS = (10, 100)

# The margin holds so many of the neighbours of some stored vectors. Queries are less near to their
# neighbours than these are to each other, so that it is made wider.
_SAMPLES = 256
_HELD = 0.995
_ALLOWANCE = 0.08

# Reading cells here and there costs more than reading all codes in order.
_MOST_READ = 3

# Rows multiplied at once with all centres, or with the samples.
_MULTIPLIED = 4096


@dataclass(frozen=True, slots=True)
class Cells:
    """Which rows are in which cell.

    Attributes:
        centres: of length 1, shape (cells, dimensions).
        starts: the first row of each cell, and the first that is in none: it came later.
        margins: how much less near than the nearest centre that of a cell may be, for each of
            `LIMITS`.
        depth: how many rows of the nearest cells to score for ten hits or fewer.
    """

    centres: Floats
    starts: Rows
    margins: Floats
    depth: int = 0

    def near(self, query: Floats, limit: int, depth: int) -> Rows | None:
        """Return spans (first, end) of rows, ascending, or None where all codes are to be read.

        There are ``depth`` rows in them at least, if dead ones count.
        """
        if len(self.centres) == 1 or limit > LIMITS[-1]:
            return None
        scores = np.vecdot(self.centres, query)
        order = np.argsort(-scores)
        margin = self.margins[int(np.searchsorted(LIMITS, limit))]
        many = int(np.count_nonzero(scores >= scores[order[0]] - margin))
        rows = np.cumsum(np.diff(self.starts)[order])
        many = max(many, int(np.searchsorted(rows, depth)) + 1)
        if many > len(order) or rows[many - 1] * _MOST_READ > rows[-1]:
            return None
        chosen = np.sort(order[:many])
        return np.stack((self.starts[chosen], self.starts[chosen + 1]), axis=1)

    def moved(self, rows: Rows) -> Cells:
        """Return the cells of a matrix that holds just these rows, which ascend."""
        return replace(self, starts=np.searchsorted(rows, self.starts))


def arranged(
    matrix: Matrix, old: Cells | None, is_hurried: Callable[[], bool]
) -> tuple[Rows, Cells] | None:
    """Return the living rows, cell by cell, and the cells that they are then in.

    Centres and margins of ``old`` are kept. None where the rows are few or, as soon as that is so,
    ``is_hurried``. The depth is not measured.
    """
    rows = np.flatnonzero(~matrix.dead)
    if len(rows) < LEAST_CLUSTERED:
        return None
    centres = _centres(matrix, rows, is_hurried) if old is None else old.centres
    known = np.zeros(0, np.int64)
    if old is not None:
        known = np.searchsorted(old.starts, rows[rows < old.starts[-1]], side="right") - 1
    rest = rows[len(known) :]
    found = _nearest(len(rest), lambda page: matrix.gather(rest[page]), centres, is_hurried)
    cells = np.concatenate((known, found))
    if is_hurried():
        return None
    order = np.argsort(cells, kind="stable")
    ends = np.cumsum(np.bincount(cells, minlength=len(centres)))
    starts = np.concatenate((ends[:1] - ends[0], ends))
    if old is not None:
        return rows[order], replace(old, starts=starts)
    return rows[order], Cells(centres, starts, np.zeros(len(LIMITS), np.float32))


def in_one(cells: Cells) -> Cells:
    """Return one cell with all rows."""
    return replace(cells, centres=cells.centres[:1], starts=cells.starts[[0, -1]])


def with_margins(cells: Cells, queries: Floats, neighbours: Rows) -> Cells:
    """Return cells with the margins that hold the neighbours, nearest first, of some vectors."""
    of_centres = queries @ cells.centres.T
    nearest = of_centres.max(axis=1, keepdims=True)
    found = np.searchsorted(cells.starts, neighbours, side="right") - 1
    lacking = nearest - np.take_along_axis(of_centres, found, axis=1)
    held = [np.quantile(lacking[:, :limit], _HELD) + _ALLOWANCE for limit in LIMITS]
    cells = replace(cells, margins=np.array(held, dtype=np.float32))
    read = (of_centres >= nearest - cells.margins[0]) @ np.diff(cells.starts)
    return cells if read.mean() * _MOST_READ <= cells.starts[-1] else in_one(cells)


def neighbours_of_some(
    matrix: Matrix, rows: Rows, is_hurried: Callable[[], bool]
) -> tuple[Floats, Rows]:
    """Return some vectors and their nearest among ``rows``, nearest first, as places there."""
    some = np.linspace(0, len(rows) - 1, _SAMPLES).astype(np.int64)
    queries = matrix.gather(rows[some])
    places = np.zeros((len(queries), 0), dtype=np.int64)
    scores = np.zeros((len(queries), 0), dtype=np.float32)
    for start in range(0, len(rows), _MULTIPLIED):
        if is_hurried():
            break
        products = queries @ matrix.gather(rows[start : start + _MULTIPLIED]).T
        here = np.arange(start, start + products.shape[1])
        scores = np.concatenate((scores, products), axis=1)
        places = np.concatenate((places, np.broadcast_to(here, products.shape)), axis=1)
        # A vector is its own first neighbour.
        best = np.argpartition(-scores, LIMITS[-1], axis=1)[:, : LIMITS[-1] + 1]
        scores = np.take_along_axis(scores, best, axis=1)
        places = np.take_along_axis(places, best, axis=1)
    order = np.argsort(-scores, axis=1)
    return queries, np.take_along_axis(places, order, axis=1)[:, 1:]


def _centres(matrix: Matrix, rows: Rows, is_hurried: Callable[[], bool]) -> Floats:
    """Find the centres: spherical k-means on some of the rows."""
    count = _CELLS * int(len(rows) ** 0.5)
    chosen = np.random.default_rng(len(rows)).permutation(len(rows))
    chosen = chosen[: min(_TRAINED * count, _MOST_TRAINED // matrix.dimensions)]
    some = matrix.gather(rows[chosen])
    centres = some[:count].copy()
    for _ in range(_ROUNDS):
        cells = _nearest(len(some), some.__getitem__, centres, is_hurried)
        order = np.argsort(cells, kind="stable")
        there, firsts = np.unique(cells[order], return_index=True)
        # A cell without any row keeps its centre.
        centres[there] = np.add.reduceat(some[order], firsts, axis=0)
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-9)
    return centres


def _nearest(
    count: int, vectors: Callable[[slice], Floats], centres: Floats, is_hurried: Callable[[], bool]
) -> Rows:
    """Return the nearest centre of each vector, which are asked for page by page."""
    cells = np.zeros(count, dtype=np.int64)
    for start in range(0, count, _MULTIPLIED):
        if is_hurried():
            break
        page = slice(start, start + _MULTIPLIED)
        cells[page] = np.argmax(vectors(page) @ centres.T, axis=1)
    return cells
