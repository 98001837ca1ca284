"""One vector index a collection, kept in step with the rows through the ``changes`` table."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semantic_core.store.collections import Collection
from semantic_core.vector_index import VectorIndex

_PAGE = 1000


@dataclass(slots=True)
class _Cached:
    index: VectorIndex
    seq: int


class IndexCache:
    """The indexes of one store. The rows are the truth; everything here can be thrown away.

    Not thread-safe: the store holds its lock from the start of the snapshot until the index
    has answered, so that an index is never ahead of the snapshot that asks it.
    """

    def __init__(self) -> None:
        self._cached: dict[int, _Cached] = {}

    def current(self, connection: sqlite3.Connection, collection: Collection) -> VectorIndex | None:
        """Return the index as of this snapshot, or None for a space without any vector yet."""
        if collection.spec.dimensions is None:
            return None
        newest, oldest = connection.execute(
            "SELECT coalesce(max(seq), 0), coalesce(min(seq), 0) FROM changes"
        ).fetchone()
        cached = self._cached.get(collection.id)
        # A gap means that changes were pruned before they were seen here.
        if cached is None or cached.seq > newest or cached.seq < oldest - 1:
            cached = _Cached(VectorIndex(collection.spec.dimensions), newest)
            self._cached[collection.id] = cached
            _load_all(connection, collection.id, cached.index)
        elif cached.seq < newest:
            _catch_up(connection, collection.id, cached.index, cached.seq)
            cached.seq = newest
        return cached.index

    def forget(self) -> None:
        """Throw every index away."""
        self._cached.clear()


def _load_all(connection: sqlite3.Connection, collection_id: int, index: VectorIndex) -> None:
    rows = connection.execute(
        "SELECT c.pk, e.vector FROM chunks c JOIN embeddings e ON e.key = c.vector_key "
        "WHERE c.collection_id = ?",
        (collection_id,),
    )
    while page := rows.fetchmany(_PAGE):
        _put(index, page)


def _catch_up(
    connection: sqlite3.Connection, collection_id: int, index: VectorIndex, seq: int
) -> None:
    changed = [
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT chunk_pk FROM changes WHERE seq > ? AND collection_id = ?",
            (seq, collection_id),
        )
    ]
    for start in range(0, len(changed), _PAGE):
        page = changed[start : start + _PAGE]
        rows = connection.execute(
            "SELECT c.pk, e.vector FROM chunks c JOIN embeddings e ON e.key = c.vector_key "
            "WHERE c.pk IN (SELECT value FROM json_each(?))",
            (json.dumps(page),),
        ).fetchall()
        served = {pk for pk, _ in rows}
        index.remove([pk for pk in page if pk not in served])
        if rows:
            _put(index, rows)


def _put(index: VectorIndex, rows: Sequence[tuple[int, bytes]]) -> None:
    vectors = np.frombuffer(b"".join(row[1] for row in rows), dtype="<f4")
    index.put([row[0] for row in rows], vectors.reshape(len(rows), index.dimensions))
