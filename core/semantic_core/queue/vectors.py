"""PENDING (or FAILED) to READY: a vector arrives for the exact text a chunk wants."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from semantic_core.statuses import VectorOrigin


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
    connection.executemany(
        "INSERT INTO embeddings (key, space_id, vector, origin, token_count, created_at, "
        "unreferenced_since) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        [(a.content_hash, space_id, a.vector, origin, a.token_count, now, now) for a in arrived],
    )


def serve_vectors(
    connection: sqlite3.Connection, content_hashes: Sequence[bytes], *, now: float
) -> int:
    """Make every chunk READY that wants one of these stored vectors; return how many were made.

    Matched by hash alone: a chunk whose text changed meanwhile wants another hash and stays
    as it is, and a vector nobody wants any more only waits in the cache.
    """
    keys = [(content_hash,) for content_hash in content_hashes]
    replaced = [
        row[0]
        for key in keys
        for row in connection.execute(
            "SELECT DISTINCT vector_key FROM chunks WHERE content_hash = ? "
            "AND embedding_status <> 'READY' AND vector_key IS NOT NULL",
            key,
        )
    ]
    connection.executemany(
        "INSERT INTO changes (collection_id, chunk_pk) SELECT collection_id, pk FROM chunks "
        "WHERE content_hash = ? AND embedding_status <> 'READY'",
        keys,
    )
    made = connection.executemany(
        "UPDATE chunks SET embedding_status = 'READY', vector_key = content_hash, "
        "batch_job_id = NULL, not_before = NULL, error_message = NULL, updated_at = ? "
        "WHERE content_hash = ? AND embedding_status <> 'READY'",
        [(now, content_hash) for content_hash in content_hashes],
    ).rowcount
    connection.executemany(
        "UPDATE embeddings SET unreferenced_since = NULL WHERE key = ? "
        "AND unreferenced_since IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM chunks WHERE vector_key = embeddings.key)",
        keys,
    )
    release_vectors(connection, replaced, now=now)
    return made


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
