"""One search: choose rows, ask both indexes within one snapshot, fuse, fetch the hits."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from threading import RLock

import numpy as np

from semantic_core.database import Database
from semantic_core.statuses import SearchMode
from semantic_core.store.collections import Collection
from semantic_core.store.fulltext import Restriction, search_rows
from semantic_core.store.indexes import IndexCache
from semantic_core.store.ranking import Ranked, by_both, by_keyword, by_vector
from semantic_core.store.reading import read_chunks, read_coverage, rows_by_key
from semantic_core.types import SearchResult, SearchResults, Vector
from semantic_core.vector_index import VectorIndex

# Fusion needs more of each list than is returned: a row in the middle of both can win.
_FUSION_DEPTH = 4
_LEAST_FUSION_DEPTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A checked search.

    Attributes:
        text: words to look for, or None.
        vector: where to look, or None.
        limit: how many hits at most.
        mode: what to rank by.
        restriction: which rows may be returned.
        is_restricted: whether that leaves out any row of the collection.
        alpha: weight of the vector list in hybrid mode.
        fill_pending: whether keyword hits without a vector join a vector search.
    """

    text: str | None
    vector: Vector | None
    limit: int
    mode: SearchMode
    restriction: Restriction
    is_restricted: bool
    alpha: float
    fill_pending: bool


def search(
    database: Database, indexes: IndexCache, lock: RLock, collection: Collection, query: Query
) -> SearchResults:
    """Answer a query from one snapshot of the database."""
    with database.snapshot() as connection:
        index: VectorIndex | None = None
        vectors: list[tuple[int, float]] = []
        with lock:
            index = indexes.current(connection, collection)
            indexed = 0 if index is None else len(index)
            if index is not None and query.vector is not None:
                vectors = _nearest(connection, index, query)
        coverage = read_coverage(connection, collection.id, indexed=indexed)
        degraded = None
        if query.mode is not SearchMode.KEYWORD and query.vector is None:
            degraded = "no query vector: answered by keyword alone"
        ranked = _rank(connection, query, vectors, coverage.total)
        chunks = read_chunks(connection, rows_by_key([hit.pk for hit in ranked]))
    return SearchResults(
        tuple(SearchResult(chunk=chunks[h.pk], score=h.score, match=h.match) for h in ranked),
        coverage,
        degraded,
    )


def _nearest(
    connection: sqlite3.Connection, index: VectorIndex, query: Query
) -> list[tuple[int, float]]:
    if query.mode is SearchMode.KEYWORD or query.vector is None:
        return []
    allowed = None
    if query.is_restricted:
        allowed = [
            row[0]
            for row in connection.execute(
                f"SELECT c.pk FROM chunks c WHERE {query.restriction.sql} "
                "AND c.vector_key IS NOT NULL",
                query.restriction.values,
            )
        ]
    ids, scores = index.search(query.vector, _depth(query), allowed=allowed)
    return list(zip(ids.tolist(), np.asarray(scores, dtype=float).tolist(), strict=True))


def _rank(
    connection: sqlite3.Connection, query: Query, vectors: list[tuple[int, float]], total: int
) -> list[Ranked]:
    def keyword(limit: int) -> list[int]:
        if query.text is None:
            return []
        return search_rows(
            connection, query.text, restriction=query.restriction, limit=limit, total=total
        )

    if query.mode is SearchMode.KEYWORD or query.vector is None:
        return by_keyword(keyword(query.limit), query.limit)
    if query.mode is SearchMode.HYBRID and query.text is not None:
        return by_both(
            [pk for pk, _ in vectors],
            keyword(_depth(query)),
            alpha=query.alpha,
            limit=query.limit,
        )
    pending = _without_vector(connection, keyword(query.limit)) if query.fill_pending else []
    return by_vector(vectors[: query.limit], pending, limit=query.limit)


def _without_vector(connection: sqlite3.Connection, pks: list[int]) -> list[tuple[int, int]]:
    bare = {
        row[0]
        for row in connection.execute(
            "SELECT pk FROM chunks WHERE vector_key IS NULL "
            "AND pk IN (SELECT value FROM json_each(?))",
            (json.dumps(pks),),
        )
    }
    return [(pk, rank) for rank, pk in enumerate(pks, start=1) if pk in bare]


def _depth(query: Query) -> int:
    if query.mode is SearchMode.HYBRID and query.text is not None:
        return max(_LEAST_FUSION_DEPTH, _FUSION_DEPTH * query.limit)
    return query.limit
