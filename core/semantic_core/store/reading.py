"""Rows to StoredChunk values, and the conditions that choose rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from semantic_core.filters import compile_filter, parse_filter
from semantic_core.metadata import load_metadata
from semantic_core.statuses import EmbeddingStatus
from semantic_core.store.base import FilterLike
from semantic_core.store.fulltext import Restriction
from semantic_core.types import Coverage, StoredChunk

_COLUMNS = (
    "c.pk, c.chunk_id, k.name, c.text, c.metadata, c.document_id, c.vector_source, c.payload, "
    "c.content_hash, c.embedding_status, c.vector_key IS NOT NULL, c.batch_job_id, "
    "c.error_message, c.created_at, c.updated_at"
)


def restrict(
    collection_id: int,
    *,
    filters: FilterLike = None,
    ids: Sequence[str] | None = None,
    document_ids: Sequence[str] | None = None,
) -> Restriction:
    """Return the condition on ``chunks AS c`` that all of these make together.

    Raises:
        InvalidFilterError: the filter has an unknown operator or a value that does not fit.
    """
    parts = ["c.collection_id = ?"]
    values: list[object] = [collection_id]
    for column, chosen in (("chunk_id", ids), ("document_id", document_ids)):
        if chosen is not None:
            parts.append(f"c.{column} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(list(chosen)))
    tree = parse_filter(filters)
    if tree is not None:
        sql, bound = compile_filter(tree, column="c.metadata")
        parts.append(f"({sql})")
        values.extend(bound)
    return Restriction(" AND ".join(parts), tuple(values))


def read_chunks(connection: sqlite3.Connection, restriction: Restriction) -> dict[int, StoredChunk]:
    """Return the chunks that meet the restriction by row key."""
    return {
        row[0]: _stored(row[1:])
        for row in connection.execute(
            f"SELECT {_COLUMNS} FROM chunks c JOIN collections k ON k.id = c.collection_id "
            f"WHERE {restriction.sql}",
            restriction.values,
        )
    }


def rows_by_key(pks: Sequence[int]) -> Restriction:
    """Return the condition that chooses these rows."""
    return Restriction("c.pk IN (SELECT value FROM json_each(?))", (json.dumps(list(pks)),))


def read_coverage(connection: sqlite3.Connection, collection_id: int, *, indexed: int) -> Coverage:
    """Count states from the index over what is not READY, and the size of the vector index."""
    pending, failed, stale = connection.execute(
        "SELECT coalesce(sum(embedding_status = 'PENDING' AND vector_key IS NULL), 0), "
        "coalesce(sum(embedding_status = 'FAILED' AND vector_key IS NULL), 0), "
        "coalesce(sum(vector_key IS NOT NULL), 0) "
        "FROM chunks WHERE collection_id = ? AND embedding_status <> 'READY'",
        (collection_id,),
    ).fetchone()
    return Coverage(ready=indexed - stale, stale=stale, pending=pending, failed=failed)


def _stored(row: tuple[Any, ...]) -> StoredChunk:
    status = EmbeddingStatus(row[8])
    return StoredChunk(
        id=row[0],
        collection=row[1],
        text=row[2],
        metadata=load_metadata(row[3]),
        document_id=row[4],
        vector_source=row[2] if row[5] is None else row[5],
        payload=row[6],
        content_hash=row[7].hex(),
        status=status,
        is_stale=bool(row[9]) and status is not EmbeddingStatus.READY,
        batch_job_id=row[10],
        error_message=row[11],
        created_at=row[12],
        updated_at=row[13],
    )
