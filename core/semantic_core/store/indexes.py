"""One vector index a collection, kept in step with the rows through the ``changes`` table."""

from __future__ import annotations

import json
import os
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock

import numpy as np

from semantic_core.store.collections import Collection
from semantic_core.vector_index import VectorIndex

_PAGE = 1000


@dataclass(slots=True)
class _Cached:
    index: VectorIndex
    seq: int


class IndexCache:
    """The indexes of one store. The rows are the truth; everything here can be thrown away."""

    def __init__(self) -> None:
        self._start_over()
        _caches.add(self)

    @contextmanager
    def current(
        self, connection: sqlite3.Connection, collection: Collection
    ) -> Iterator[VectorIndex | None]:
        """Lend the index as of this snapshot, or None for a space without any vector yet.

        The connection must not have read anything yet: its snapshot has to begin under the
        lock, or another thread could bring the index to a later state than the snapshot's.
        """
        if collection.spec.dimensions is None:
            yield None
            return
        with self._lock:
            yield self._bring_up(connection, collection.id, collection.spec.dimensions)

    def _bring_up(
        self, connection: sqlite3.Connection, collection_id: int, dimensions: int
    ) -> VectorIndex:
        newest, oldest = connection.execute(
            "SELECT coalesce(max(seq), 0), coalesce(min(seq), 0) FROM changes"
        ).fetchone()
        cached = self._cached.get(collection_id)
        # A gap means that changes were forgotten before they were seen here.
        if cached is None or cached.seq < oldest - 1:
            # Kept only when it is whole: an error while loading must not leave half of it.
            index = VectorIndex(dimensions)
            _load_all(connection, collection_id, index)
            cached = self._cached[collection_id] = _Cached(index, newest)
        elif cached.seq < newest:
            _catch_up(connection, collection_id, cached.index, cached.seq)
            cached.seq = newest
        return cached.index

    def _start_over(self) -> None:
        self._cached: dict[int, _Cached] = {}
        self._lock = RLock()


# In a forked child the lock may be held, and an index be half changed, by a thread that is not
# there.
_caches: weakref.WeakSet[IndexCache] = weakref.WeakSet()


def _start_over_after_fork() -> None:
    for cache in _caches:
        cache._start_over()  # noqa: SLF001  # of this very module


os.register_at_fork(after_in_child=_start_over_after_fork)


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
