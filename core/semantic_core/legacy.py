"""Taking over a database from before batching: documents and chunks with inline vectors."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import numpy as np

from semantic_core.errors import SpecMismatchError
from semantic_core.spec import EmbeddingSpec, given_vector_key
from semantic_core.statuses import EmbeddingStatus, VectorOrigin

LEGACY_COLUMNS = {
    "documents": {"id", "content", "metadata", "created_at"},
    "chunks": {
        "id",
        "document_id",
        "chunk_index",
        "content",
        "metadata",
        "vector",
        "created_at",
    },
}

LEGACY_SPACE = "legacy"
_PAGE = 1000


def is_legacy(connection: sqlite3.Connection, tables: set[str]) -> bool:
    """Return whether these are the tables from before batching, and nothing else."""
    if tables != set(LEGACY_COLUMNS):
        return False
    return all(
        {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} == columns
        for table, columns in LEGACY_COLUMNS.items()
    )


def set_legacy_aside(connection: sqlite3.Connection) -> bool:
    """Rename the old tables out of the way; return whether there were any."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    if "chunks" not in names:
        return False
    for table in LEGACY_COLUMNS:
        connection.execute(f"ALTER TABLE {table} RENAME TO legacy_{table}")
    # An index keeps its name when its table is renamed, and could collide with a new one.
    for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall():
        quoted = name.replace('"', '""')
        connection.execute(f'DROP INDEX "{quoted}"')
    return True


def move_legacy_rows(
    connection: sqlite3.Connection, legacy_spec: EmbeddingSpec | None, now: float
) -> None:
    """Copy the old rows into collection ``default`` and drop the old tables.

    Rows with a vector become READY, rows without PENDING. Without ``legacy_spec`` nobody knows
    which model made the vectors: they become given vectors of an external space.
    """
    dimensions = _dimensions(connection)
    spec = legacy_spec
    if spec is None:
        spec = EmbeddingSpec() if dimensions is None else EmbeddingSpec.external(LEGACY_SPACE)
    if dimensions is not None and spec.dimensions not in (None, dimensions):
        raise SpecMismatchError(
            f"legacy_spec has {spec.dimensions} dimensions, the stored vectors have {dimensions}. "
            "Pass the spec of the model that made them. Nothing was changed."
        )
    connection.execute(
        "INSERT INTO spaces (id, digest, model, dimensions, is_external) VALUES (1, ?, ?, ?, ?)",
        (spec.space_digest, spec.model, spec.dimensions or dimensions, spec.is_external),
    )
    connection.execute(
        "INSERT INTO collections (id, name, space_id, spec, created_at) "
        "VALUES (1, 'default', 1, ?, ?)",
        (spec.to_json(), now),
    )
    hasher = spec.hasher()
    connection.executemany(
        "INSERT INTO documents (collection_id, document_id, content_hash, metadata, created_at, "
        "updated_at) VALUES (1, ?, ?, ?, ?, ?)",
        [
            (str(row[0]), hasher(row[1] or ""), _metadata(row[2]), _time(row[3], now), now)
            for row in connection.execute(
                "SELECT id, content, metadata, created_at FROM legacy_documents"
            )
        ],
    )
    rows = connection.execute(
        "SELECT id, document_id, content, metadata, vector, created_at FROM legacy_chunks "
        "ORDER BY id"
    )
    while page := rows.fetchmany(_PAGE):
        _move_page(connection, page, spec, dimensions, now)
    connection.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")
    for table in ("legacy_chunks", "legacy_documents"):
        connection.execute(f"DROP TABLE {table}")


def _dimensions(connection: sqlite3.Connection) -> int | None:
    """Return the vector size most rows have, or None if there is no usable vector."""
    row = connection.execute(
        "SELECT length(vector) / 4 FROM legacy_chunks WHERE length(vector) > 0 "
        "AND length(vector) % 4 = 0 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    ).fetchone()
    return None if row is None else int(row[0])


def _move_page(
    connection: sqlite3.Connection,
    page: list[tuple[Any, ...]],
    spec: EmbeddingSpec,
    dimensions: int | None,
    now: float,
) -> None:
    hasher = spec.hasher()
    vectors, chunks = [], []
    for chunk_id, document_id, content, metadata, vector, created_at in page:
        text = content or ""
        content_hash = hasher(text)
        key = None
        status, error = EmbeddingStatus.PENDING, None
        if vector is not None and _is_usable(vector, dimensions):
            # With the model named, the vector is the one its text asks for: also a cache.
            key = given_vector_key(content_hash, vector) if spec.is_external else content_hash
            vectors.append((key, vector, VectorOrigin.GIVEN, now))
            status = EmbeddingStatus.READY
        elif not text.strip():
            status, error = EmbeddingStatus.FAILED, "blank text: nothing to embed"
        chunks.append(
            (
                str(chunk_id),
                None if document_id is None else str(document_id),
                text,
                _metadata(metadata),
                content_hash,
                key,
                status,
                error,
                _time(created_at, now),
                now,
            )
        )
    connection.executemany(
        "INSERT INTO embeddings (key, space_id, vector, origin, created_at) VALUES (?, 1, ?, ?, ?) "
        "ON CONFLICT (key) DO NOTHING",
        vectors,
    )
    connection.executemany(
        "INSERT INTO chunks (collection_id, chunk_id, document_id, text, metadata, content_hash, "
        "vector_key, embedding_status, error_message, created_at, updated_at) "
        "VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        chunks,
    )


def _is_usable(vector: bytes, dimensions: int | None) -> bool:
    if dimensions is None or len(vector) != 4 * dimensions:
        return False
    values = np.frombuffer(vector, dtype="<f4")
    return bool(np.isfinite(values).all() and values.any())


def _metadata(text: str | None) -> str:
    """Return the row's metadata as a JSON object, keeping what is not one under a key."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = {"metadata": text}
    return json.dumps(value if isinstance(value, dict) else {"metadata": value}, ensure_ascii=False)


def _time(value: object, now: float) -> float:
    return float(value) if isinstance(value, int | float) else now
