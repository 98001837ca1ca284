from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from itertools import pairwise

import numpy as np

from semantic_core.vector_index.arrays import Flags, Floats, Ids, Rows
from semantic_core.vector_index.ids import IdMap

_FIRST_CAPACITY = 256

# Rows gathered at once: of 768 dimensions they stay within a core's own cache, where multiplying
# them costs nothing beside fetching them. One gather of all takes five times as long.
_GATHERED = 512

# Rows that stand one after the other, so many at once, are multiplied where they are.
_RUN = 32

# Below this many queries the matrix is multiplied with each by itself: BLAS first copies a matrix
# into another order for a product of two, which takes as long as several products with a vector.
_BATCHED = 4

# Numbers (64 MiB of them) from which a second thread of BLAS is worth it: it saves a third of the
# time, but now and then is waited for milliseconds, where another program has its core.
_THREADED = 2**24


class Matrix:
    """Rows of float32 under ids. A row is never changed: it is added, and some day dead.

    The base of shape (len(ids), dimensions) is never written to. ``count`` includes the
    ``dead_count`` dead rows.
    """

    def __init__(
        self, dimensions: int, ids: Ids | None = None, vectors: Floats | None = None
    ) -> None:
        if ids is None or vectors is None:
            ids, vectors = np.empty(0, np.int64), np.empty((0, dimensions), np.float32)
        self.dimensions = dimensions
        self.count = len(ids)
        self.dead_count = 0
        self._base = vectors
        self._tail = np.empty((_FIRST_CAPACITY, dimensions), dtype=np.float32)
        self._ids = np.concatenate((ids, np.empty(_FIRST_CAPACITY, dtype=np.int64)))
        self._dead = np.zeros(len(self._ids), dtype=np.bool_)
        self._map = IdMap(ids)

    def branch(self) -> Matrix:
        """Return a matrix of the same rows; what is added or dead in it is not so in this one.

        They share memory, where a branch writes behind the rows that this one knows. So of all
        that are in use only the newest may be branched and changed.
        """
        other = copy(self)
        other._dead = self._dead.copy()  # noqa: SLF001  # of the same class
        other._map = self._map.branch()  # noqa: SLF001  # likewise
        return other

    @property
    def live_count(self) -> int:
        return self.count - self.dead_count

    @property
    def ids(self) -> Ids:
        """The id of every row; a dead row keeps the one it had."""
        return self._ids[: self.count]

    @property
    def dead(self) -> Flags:
        return self._dead[: self.count]

    def live_rows(self) -> Rows:
        """Return the rows that are not dead, in order of their ids."""
        rows = np.flatnonzero(~self.dead)
        return rows[np.argsort(self.ids[rows], kind="stable")]

    def find(self, ids: Ids) -> Rows:
        """Return the living row of each id, -1 where there is none."""
        return self._map.find(ids, self._dead)

    def append(self, ids: Ids, vectors: Floats) -> None:
        """Add rows under ids that no living row has; no id twice."""
        self.reserve(len(ids))
        rows = np.arange(self.count, self.count + len(ids), dtype=np.int64)
        start = self.count - len(self._base)
        self._tail[start : start + len(ids)] = vectors
        self._ids[rows] = ids
        self.count += len(ids)
        self._map.add(ids, rows, self._dead)

    def kill(self, rows: Rows) -> None:
        """Make living rows dead."""
        self._dead[rows] = True
        self.dead_count += len(rows)

    def parts(self, start: int = 0) -> Iterator[tuple[int, Floats]]:
        """Yield the rows from ``start`` on as (number of the first, rows), without copying."""
        base = len(self._base)
        if start < base:
            yield start, self._base[start:]
        if self.count > max(start, base):
            yield max(start, base), self._tail[max(start - base, 0) : self.count - base]

    def products(self, queries: Floats, *, is_shared: bool = False) -> Floats:
        """Return the inner products of queries with every row, dead ones too: shape (m, count).

        ``is_shared`` says that other threads multiply meanwhile.
        """
        products = np.empty((len(queries), self.count), dtype=np.float32)
        for start, part in self.parts():
            of_part = products[:, start : start + len(part)]
            if len(queries) < _BATCHED:
                # The threads of BLAS work for one of its callers at a time.
                is_threaded = part.size >= _THREADED and not is_shared
                multiply = np.matmul if is_threaded else np.vecdot
                for query, out in zip(queries, of_part, strict=True):
                    multiply(part, query, out=out)
            else:
                np.matmul(queries, part.T, out=of_part)
        return products

    def products_of(self, rows: Rows, queries: Floats) -> Floats:
        """Return the inner products of queries with some rows, ascending; shape (m, len(rows))."""
        products = np.empty((len(queries), len(rows)), dtype=np.float32)
        ends = [*(np.flatnonzero(np.diff(rows) > 1) + 1).tolist(), len(rows)]
        if len(ends) * _RUN <= len(rows) and rows[-1] < len(self._base):
            for start, end in pairwise([0, *ends]):
                part = self._base[rows[start] : rows[end - 1] + 1]
                for query, out in zip(queries, products[:, start:end], strict=True):
                    np.vecdot(part, query, out=out)
            return products
        buffer = np.empty((min(_GATHERED, len(rows)), self.dimensions), dtype=np.float32)
        for start in range(0, len(rows), _GATHERED):
            some = rows[start : start + _GATHERED]
            self._copy(some, buffer[: len(some)])
            for query, out in zip(queries, products[:, start : start + len(some)], strict=True):
                # Not matmul: waking a second thread takes longer than multiplying so few rows.
                np.vecdot(buffer[: len(some)], query, out=out)
        return products

    def gather(self, rows: Rows) -> Floats:
        """Return copies of some rows, in the order asked."""
        gathered = np.empty((len(rows), self.dimensions), dtype=np.float32)
        for start in range(0, len(rows), _GATHERED):
            some = rows[start : start + _GATHERED]
            order = np.argsort(some)
            gathered[start + order] = self.copies(some[order])
        return gathered

    def copies(self, rows: Rows) -> Floats:
        """Return copies of a few rows, ascending."""
        copied = np.empty((len(rows), self.dimensions), dtype=np.float32)
        self._copy(rows, copied)
        return copied

    def _copy(self, rows: Rows, out: Floats) -> None:
        base = len(self._base)
        # Mostly all of them: then there is nothing to look for.
        is_of_base = len(rows) > 0 and rows[-1] < base
        of_base = len(rows) if is_of_base else int(np.searchsorted(rows, base))
        # mode="clip" writes straight into ``out``; these rows exist, so nothing is clipped.
        if of_base:
            np.take(self._base, rows[:of_base], axis=0, out=out[:of_base], mode="clip")
        if of_base < len(rows):
            np.take(self._tail, rows[of_base:] - base, axis=0, out=out[of_base:], mode="clip")

    def reserve(self, count: int) -> None:
        """Make room for so many more rows at once."""
        base, used = len(self._base), self.count - len(self._base)
        if used + count <= len(self._tail):
            return
        capacity = max(2 * len(self._tail), used + count)
        tail = np.empty((capacity, self.dimensions), dtype=np.float32)
        tail[:used] = self._tail[:used]
        ids = np.empty(base + capacity, dtype=np.int64)
        ids[: self.count] = self.ids
        dead = np.zeros(base + capacity, dtype=np.bool_)
        dead[: self.count] = self.dead
        self._tail, self._ids, self._dead = tail, ids, dead
