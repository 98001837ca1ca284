"""The index: put, remove, search. Exact, or with a first pass over codes where that is faster."""

from collections.abc import Sequence
from copy import copy
from threading import Lock
from typing import NamedTuple, Self

import numpy as np

from semantic_core.domain.errors import InvalidVectorError
from semantic_core.domain.types import VectorLike
from semantic_core.vector_index.arrays import Floats, Ids, Rows
from semantic_core.vector_index.cells import LEAST_CLUSTERED
from semantic_core.vector_index.cosine import exact_scores, rank_error, unit_rows
from semantic_core.vector_index.first_pass import (
    CODE_FETCH_COST,
    FETCH_COST,
    LEAST_ROWS,
    FirstPass,
    is_few,
)
from semantic_core.vector_index.matrix import Matrix

# A row costs about this many times more to fetch and multiply than to compare by code.
_CODE_GAIN = 32

# Dead rows are read by every scan: beyond one in five the living are copied together.
_DEAD_SHARE = 5

# So many queries at once are multiplied with every row: that is at least as fast as a first pass
# for each, and exact.
_MANY = 32
_MOST = 64

# Ranks held at once by a search for many vectors: 64 MiB.
_RANKS = 2**24

# Rows whose true scores are computed at once.
_SCORED = 256


class Hits(NamedTuple):
    """The nearest vectors, nearest first: ids and cosines to the query, both of shape (n,)."""

    ids: Ids
    scores: Floats


NO_HITS = Hits(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))


class _Derived:
    """What is made of the rows when it is first needed, once for an index and its branches."""

    def __init__(self, first_pass: FirstPass | None = None) -> None:
        self.first_pass = first_pass
        # Searches that run at once must not both catch it up.
        self.lock = Lock()


class VectorIndex:
    """Vectors of one size under integer ids.

    Any number of threads may search one at once, as long as none of them puts or removes. To change
    an index that others search, change a `branch` of it. A search answers the same whatever the
    index has been through: rows, order of arrival, mapped or not, one query or many make no
    difference to a score. ``changed`` counts vectors put or removed since it was made or opened.
    """

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.matrix = Matrix(dimensions)
        self.changed = 0
        self._derived = _Derived()

    @classmethod
    def over(cls, matrix: Matrix, *, first_pass: FirstPass | None) -> Self:
        """Return an index over rows that have length 1."""
        index = cls(matrix.dimensions)
        index.matrix, index._derived = matrix, _Derived(first_pass)
        return index

    @property
    def is_large(self) -> bool:
        """Whether a search needs codes to be fast."""
        return self.matrix.count >= LEAST_ROWS

    @property
    def is_uncoded(self) -> bool:
        """Whether the next search would have to make them."""
        return self.is_large and self._derived.first_pass is None

    @property
    def is_unfinished(self) -> bool:
        """Whether saving it would make codes or cells that it does not have yet."""
        first_pass = self._derived.first_pass
        if first_pass is None:
            return self.is_large
        return first_pass.cells is None and len(self) >= LEAST_CLUSTERED

    @property
    def is_clustered(self) -> bool:
        """Whether a search reads the nearest cells alone, in many small steps."""
        first_pass = self._derived.first_pass
        return first_pass is not None and first_pass.has_cells

    def branch(self) -> Self:
        """Return an index of the same vectors, to be changed while this one stays as it is.

        It costs a byte a row. Only the newest of all that are in use may be branched, by one
        thread at a time; a branch that is given up half changed does no harm.
        """
        other = copy(self)
        other.matrix = self.matrix.branch()
        return other

    def __len__(self) -> int:
        return self.matrix.live_count

    def __contains__(self, vector_id: int) -> bool:
        return bool(self.matrix.find(np.array([vector_id], dtype=np.int64))[0] >= 0)

    # --- writing -------------------------------------------------------------------------

    def put(self, ids: Sequence[int] | Ids, vectors: Floats) -> None:
        """Add or replace vectors, shape (len(ids), dimensions); of an id given twice the last one.

        A vector that cannot be compared (not finite, or of no direction) leaves its id without
        any: the store refuses such vectors, and one bad row must not end search. Other shapes
        raise a ValueError.
        """
        named = np.asarray(ids, dtype=np.int64)
        if vectors.shape != (len(named), self.dimensions):
            raise ValueError(
                f"{len(named)} vectors of {self.dimensions} dimensions cannot have shape "
                f"{vectors.shape}."
            )
        if not len(named):
            return
        distinct, from_end = np.unique(named[::-1], return_index=True)
        if len(distinct) < len(named):
            last = len(named) - 1 - from_end
            named, vectors = named[last], vectors[last]
        self.remove(named)
        rows, usable = unit_rows(vectors)
        if not usable.all():
            named, rows = named[usable], rows[usable]
        self.matrix.append(named, rows)
        self.changed += len(named)

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """Remove vectors; an id that is not there is no error."""
        rows = self.matrix.find(np.unique(np.asarray(ids, dtype=np.int64)))
        rows = rows[rows >= 0]
        self.matrix.kill(rows)
        self.changed += len(rows)
        if self.matrix.dead_count * _DEAD_SHARE > self.matrix.count:
            self._compact()

    # --- searching -----------------------------------------------------------------------

    def search(
        self,
        vector: VectorLike,
        limit: int,
        *,
        allowed: Sequence[int] | Ids | None = None,
        exact: bool = False,
    ) -> Hits:
        """Return the nearest vectors; equal scores are ordered by id.

        Args:
            vector: the query, shape (dimensions,).
            limit: how many at most.
            allowed: the only ids that may be returned, fastest as an ascending int64 array; None
                for all.
            exact: never use the first pass, which may miss a neighbour (fewer than one in a
                thousand on real text embeddings). The scores are true either way.

        Raises:
            InvalidVectorError: the query cannot be compared.
        """
        queries = np.asarray(vector, dtype=np.float32)[None]
        return self.search_many(queries, limit, allowed=allowed, exact=exact)[0]

    def search_many(
        self,
        vectors: Floats,
        limit: int,
        *,
        allowed: Sequence[int] | Ids | None = None,
        exact: bool = False,
        is_shared: bool = False,
    ) -> list[Hits]:
        """Search for several vectors at once, shape (m, dimensions); otherwise as `search`.

        With ``is_shared`` other threads search meanwhile: each takes longer, and all get more done.
        """
        queries = self._queries(vectors)
        rows = None if allowed is None else self._living(allowed)
        pool = len(self) if rows is None else len(rows)
        if limit <= 0 or not pool:
            return [NO_HITS] * len(queries)
        group = max(1, min(_MOST, len(queries), _RANKS // self.matrix.count))
        exact = exact or group >= _MANY
        first_pass = None if exact else self._worthwhile(limit, pool)
        if first_pass is not None:
            best = (
                first_pass.best(self.matrix, query, limit, rows, is_shared=is_shared)
                for query in queries
            )
            return [
                self._by_products(query[None], limit, near, is_shared=is_shared)[0]
                for query, near in zip(queries, best, strict=True)
            ]
        return [
            hits
            for start in range(0, len(queries), group)
            for hits in self._by_products(
                queries[start : start + group], limit, rows, is_shared=is_shared
            )
        ]

    def vectors(self, ids: Sequence[int] | Ids) -> Floats:
        """Return the vectors with these ids, in the order asked, of length 1.

        Raises:
            KeyError: there is none under one of the ids.
        """
        rows = self.matrix.find(np.asarray(ids, dtype=np.int64))
        if (rows < 0).any():
            raise KeyError(int(np.asarray(ids)[rows < 0][0]))
        return self.matrix.gather(rows)

    def first_pass(self) -> FirstPass | None:
        """Return the codes of all rows, made or caught up now; None where they do not pay."""
        found = self._derived.first_pass
        if self.is_large and (found is None or found.is_outdated(self.matrix)):
            # Searches go on with the old one meanwhile.
            self._derived.first_pass = FirstPass.of(self.matrix)
        return self._ready()

    def code_new(self) -> None:
        """Code the rows that came since, so that no search has to; nothing where none is coded."""
        if not self.is_uncoded:
            self._ready()

    def _ready(self) -> FirstPass | None:
        """Return what `first_pass` does, but as deep as was measured last."""
        derived = self._derived
        if not self.is_large:
            return None
        with derived.lock:
            if derived.first_pass is None:
                derived.first_pass = FirstPass.of(self.matrix)
            derived.first_pass.catch_up(self.matrix)
            return derived.first_pass

    def _worthwhile(self, limit: int, pool: int) -> FirstPass | None:
        """Return the first pass if it saves time on a choice from so many rows."""
        if pool < LEAST_ROWS // _CODE_GAIN:
            return None
        first_pass = self._ready()
        if first_pass is None:
            return None
        count = self.matrix.count
        is_close = is_few(pool, count)
        depth = first_pass.depth_for(limit, is_close=is_close)
        beats_all = depth * FETCH_COST <= count
        codes = CODE_FETCH_COST * pool if is_close else count
        # Rows of a choice are closer together than the best by code, so fetching them costs half.
        beats_pool = 2 * (depth + codes // _CODE_GAIN) < pool
        return first_pass if beats_all and beats_pool else None

    def _by_products(
        self, queries: Floats, limit: int, rows: Rows | None, *, is_shared: bool
    ) -> list[Hits]:
        """Search every row, or these: exact within them."""
        matrix = self.matrix
        is_few = rows is not None and len(rows) * FETCH_COST <= matrix.count
        if rows is not None and is_few:
            ranks = matrix.products_of(rows, queries)
        else:
            ranks = matrix.products(queries, is_shared=is_shared)
        if rows is not None and not is_few:
            ranks = ranks[:, rows]
        elif rows is None and matrix.dead_count:
            ranks[:, matrix.dead] = -np.inf
        return [
            self._ranked(query, limit, rows, row) for query, row in zip(queries, ranks, strict=True)
        ]

    def _ranked(self, query: Floats, limit: int, rows: Rows | None, ranks: Floats) -> Hits:
        """Score what can be among the nearest by rank, and return the nearest by score."""
        if limit < len(ranks):
            last = float(np.partition(ranks, -limit)[-limit])
            near = np.flatnonzero(ranks >= last - rank_error(self.dimensions))
        else:
            near = np.arange(len(ranks))
        rows = near[~self.matrix.dead[near]] if rows is None else rows[near]
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _SCORED):
            page = slice(start, start + _SCORED)
            scores[page] = exact_scores(self.matrix.copies(rows[page]), query)
        ids = self.matrix.ids[rows]
        order = np.lexsort((ids, -scores))[:limit]
        return Hits(ids[order], scores[order])

    # --- inside --------------------------------------------------------------------------

    def _queries(self, vectors: Floats) -> Floats:
        if vectors.ndim != 2 or vectors.shape[1] != self.dimensions:
            raise InvalidVectorError(
                f"A query of shape {vectors.shape[1:]} does not fit vectors of "
                f"{self.dimensions} dimensions. Embed it with the model of its collection."
            )
        queries, usable = unit_rows(vectors)
        if not usable.all():
            raise InvalidVectorError("The query vector is zero or not finite. Embed it again.")
        return queries

    def _living(self, ids: Sequence[int] | Ids) -> Rows:
        """Return the rows of those ids that are here, ascending, none twice."""
        named = np.asarray(ids, dtype=np.int64)
        if not (named[1:] > named[:-1]).all():
            named = np.unique(named)
        rows = self.matrix.find(named)
        rows = rows[rows >= 0]
        rows.sort()
        return rows

    def _compact(self) -> None:
        matrix, rows = self.matrix, np.flatnonzero(~self.matrix.dead)
        with self._derived.lock:
            first_pass = self._derived.first_pass
            if first_pass is not None:
                first_pass.catch_up(matrix)
                first_pass = first_pass.moved(rows)
        self.matrix = Matrix(self.dimensions, matrix.ids[rows], matrix.gather(rows))
        self._derived = _Derived(first_pass)
