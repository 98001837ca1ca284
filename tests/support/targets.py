"""A vector store elsewhere, in a file of its own: with the habits of the worst that there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from semantic_core.delivery.target import TargetItem
from semantic_core.domain.types import StoredChunk, Vector
from semantic_core.filters import Filter
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore
from support.chunks import vector_of
from support.rows import run_sql

Held = tuple[str, str, str, bytes]
"""Id, text, metadata and vector of a chunk that it holds."""


class FileTarget:
    """Keeps what it gets. An id that it has already doubles; before the first put it has no table.

    Args:
        path: its file.

    Attributes:
        calls: what was asked of it, as (method, ids).
        refused: ids with which no put succeeds.
        is_down: whether nothing succeeds.
        filters: what the last search was to filter by.
    """

    kind = "a file of the tests"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: list[tuple[str, list[str]]] = []
        self.refused: set[str] = set()
        self.is_down = False
        self.filters: tuple[Filter | None, Any] | None = None

    def put(self, items: Sequence[TargetItem]) -> None:
        self.calls.append(("put", [item.chunk.id for item in items]))
        with self._opened() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS held (id, text, metadata, vector)")
            for item in items:
                # What came before it stays, as where a store takes a page in several requests.
                self._check(item.chunk.id)
                row = (item.chunk.id, item.chunk.text, str(item.chunk.metadata))
                connection.execute("INSERT INTO held VALUES (?, ?, ?, ?)", (*row, item.vector))
                connection.commit()

    def delete(self, ids: Sequence[str]) -> None:
        self.calls.append(("delete", list(ids)))
        with self._opened() as connection:
            connection.executemany("DELETE FROM held WHERE id = ?", [(one,) for one in ids])
            connection.commit()

    def nearest(
        self, vector: Vector, *, limit: int, filters: Filter | None, target_filter: Any
    ) -> list[str]:
        self.filters = (filters, target_filter)
        with self._opened():
            held = self.held() if self.path.exists() else []
        return sorted(
            [row[0] for row in held],
            key={row[0]: -float(np.frombuffer(row[3], "<f4") @ vector) for row in held}.get,
        )[:limit]

    def held(self) -> list[Held]:
        """Return all that it holds, by id."""
        with closing(sqlite3.connect(self.path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
            query = "SELECT id, text, metadata, vector FROM held ORDER BY id"
            return connection.execute(query).fetchall() if tables else []

    def _check(self, chunk_id: str) -> None:
        if chunk_id in self.refused:
            raise ValueError(f"{chunk_id} cannot be taken")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if self.is_down:
            raise ConnectionError("nobody is there")
        with closing(sqlite3.connect(self.path)) as connection:
            yield connection


def held(chunk: StoredChunk) -> Held:
    """Return what a target should hold of a chunk, with the vector that tests give its text."""
    return (chunk.id, chunk.text, str(chunk.metadata), vector_of(chunk.vector_source).tobytes())


def source(store: PeeweeVectorStore, collection: str = DEFAULT_COLLECTION) -> list[Held]:
    """Return what a target of a collection should hold once everything has been delivered."""
    ready = [chunk for chunk in store.chunks(collection=collection) if chunk.status == "READY"]
    vectors = store.vectors([chunk.id for chunk in ready], collection=collection)
    return sorted(
        (chunk.id, chunk.text, str(chunk.metadata), vectors[chunk.id].tobytes()) for chunk in ready
    )


def outbox(store: PeeweeVectorStore) -> list[Any]:
    """Return the ids that a target is still to be told of, and whether it may hold them."""
    query = "SELECT chunk_id, may_be_there FROM outbox ORDER BY chunk_id"
    return [(chunk_id, bool(there)) for chunk_id, there in run_sql(store, query)]
