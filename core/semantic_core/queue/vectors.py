"""Stored vectors: a chunk becomes READY when its own arrives, and others let go of theirs."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from semantic_core.queue.changes import note_changed
from semantic_core.queue.counts import ChunkState, count_changes
from semantic_core.statuses import EmbeddingStatus, VectorOrigin

_LOOKUP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedVector:
    """A checked vector: float32 little-endian bytes under the content hash it belongs to."""

    content_hash: bytes
    vector: bytes
    token_count: int | None = None


def store_vectors(
    connection: sqlite3.Connection,
    arrived: Sequence[ArrivedVector],
    *,
    space_id: int,
    origin: VectorOrigin,
    now: float,
) -> None:
    """Store vectors under their content hash; one that is already there stays as it is."""
    # Written once: setting unreferenced_since later would write every vector a second time.
    connection.executemany(
        "INSERT INTO embeddings (key, space_id, vector, origin, token_count, created_at, "
        "unreferenced_since) VALUES (?1, ?2, ?3, ?4, ?5, ?6, CASE WHEN EXISTS (SELECT 1 "
        "FROM chunks WHERE content_hash = ?1 AND embedding_status <> 'READY') "
        "THEN NULL ELSE ?6 END) ON CONFLICT (key) DO NOTHING",
        [(a.content_hash, space_id, a.vector, origin, a.token_count, now) for a in arrived],
    )


def serve_vectors(
    connection: sqlite3.Connection, content_hashes: Sequence[bytes], *, now: float
) -> int:
    """Make every chunk READY that wants one of these stored vectors; return how many were made.

    Matched by hash alone: a chunk whose text changed meanwhile wants another hash and stays
    as it is, and a vector nobody wants any more only waits in the cache.
    """
    wanting: list[tuple[int, int, bytes, bytes | None, str]] = []
    for start in range(0, len(content_hashes), _LOOKUP):
        page = content_hashes[start : start + _LOOKUP]
        wanting += connection.execute(
            "SELECT pk, collection_id, content_hash, vector_key, embedding_status FROM chunks "
            f"WHERE content_hash IN ({', '.join('?' * len(page))}) AND embedding_status <> 'READY'",
            page,
        ).fetchall()
    if not wanting:
        return 0
    made = connection.executemany(
        "UPDATE chunks SET embedding_status = 'READY', vector_key = content_hash, "
        "batch_job_id = NULL, not_before = NULL, error_message = NULL, updated_at = ? "
        "WHERE pk = ? AND embedding_status <> 'READY'",
        [(now, row[0]) for row in wanting],
    ).rowcount
    note_changed(connection, [(row[1], row[0]) for row in wanting])
    changes: Counter[ChunkState] = Counter()
    for _, collection_id, _, vector_key, status in wanting:
        changes[
            ChunkState(collection_id, EmbeddingStatus.read(status), vector_key is not None)
        ] -= 1
        changes[ChunkState(collection_id, EmbeddingStatus.READY, True)] += 1
    count_changes(connection, changes)
    use_vectors(connection, {row[2] for row in wanting})
    release_vectors(connection, [row[3] for row in wanting if row[3] is not None], now=now)
    return int(made)


def use_vectors(connection: sqlite3.Connection, keys: Iterable[bytes]) -> None:
    """Note that chunks use these vectors again, so that they are not pruned."""
    connection.executemany(
        "UPDATE embeddings SET unreferenced_since = NULL "
        "WHERE key = ? AND unreferenced_since IS NOT NULL",
        [(key,) for key in keys],
    )


def release_vectors(connection: sqlite3.Connection, keys: Iterable[bytes], *, now: float) -> None:
    """Note that chunks let go of these vectors.

    A provider's vector was paid for and stays as cache; a given one goes with its last chunk.
    """
    unserved = [
        (key,)
        for key in set(keys)
        if connection.execute(
            "SELECT 1 FROM chunks WHERE vector_key = ? LIMIT 1", (key,)
        ).fetchone()
        is None
    ]
    connection.executemany("DELETE FROM embeddings WHERE key = ? AND origin = 'given'", unserved)
    connection.executemany(
        "UPDATE embeddings SET unreferenced_since = ? WHERE key = ? AND unreferenced_since IS NULL",
        [(now, key[0]) for key in unserved],
    )
