"""Rows to StoredChunk values, and the conditions that choose rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from semantic_core.database.port import Connection
from semantic_core.database.sqlite.filters import compile_filter
from semantic_core.database.sqlite.keywords import Restriction
from semantic_core.domain.errors import DatabaseCorruptError, InvalidInputError
from semantic_core.domain.metadata import load_metadata
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Coverage, StoredChunk
from semantic_core.domain.validation import is_storable, listed, whole_number
from semantic_core.filters import parse_filter
from semantic_core.queue.counts import read_counts
from semantic_core.store.base import FilterLike

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
        InvalidInputError: ids or document ids that are no list of strings.
    """
    parts = ["c.collection_id = ?"]
    values: list[object] = [collection_id]
    for column, name, chosen in (
        ("chunk_id", "ids", ids),
        ("document_id", "document_ids", document_ids),
    ):
        if chosen is not None:
            parts.append(f"c.{column} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(checked_names(chosen, what=name)))
    tree = parse_filter(filters)
    if tree is not None:
        sql, bound = compile_filter(tree, column="c.metadata")
        parts.append(f"({sql})")
        values.extend(bound)
    return Restriction(" AND ".join(parts), tuple(values))


def checked_names(names: Iterable[str], *, what: str) -> list[str]:
    """Return the ids that can be stored at all.

    Raises:
        InvalidInputError: it is one string, or holds something that is no string.
    """
    if isinstance(names, str):
        raise InvalidInputError(f"{what} is one string: {names!r}. Pass a list: [{names!r}].")
    checked = listed(names, what=what)
    for name in checked:
        if not isinstance(name, str):
            raise InvalidInputError(f"{what} holds a {type(name).__name__}. Pass strings.")
    # No stored id has a NUL or a lone surrogate. SQLite's JSON ends a string at the one, so that it
    # would name another, and no statement takes the other.
    return [name for name in checked if is_storable(name)]


def read_chunks(
    connection: Connection, restriction: Restriction, *, limit: int | None = None
) -> dict[int, StoredChunk]:
    """Return the chunks that meet the restriction by row key, oldest first, at most ``limit``."""
    return {
        row[0]: _stored(row[1:])
        for row in connection.execute(
            f"SELECT {_COLUMNS} FROM chunks c JOIN collections k ON k.id = c.collection_id "
            f"WHERE {restriction.sql} ORDER BY c.pk LIMIT ?",
            (*restriction.values, -1 if limit is None else whole_number(limit)),
        )
    }


def read_failed(
    connection: Connection, *, collection_id: int | None, limit: int
) -> list[StoredChunk]:
    """Return FAILED chunks of one collection or of all, oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "WHERE c.embedding_status = 'FAILED' AND (:collection IS NULL OR k.id = :collection) "
        "ORDER BY c.pk LIMIT :limit",
        {"collection": collection_id, "limit": whole_number(limit)},
    )
    return [_stored(row[1:]) for row in rows]


def rows_by_key(pks: Sequence[int]) -> Restriction:
    """Return the condition that chooses these rows."""
    return Restriction("c.pk IN (SELECT value FROM json_each(?))", (json.dumps(list(pks)),))


def read_coverage(connection: Connection, collection_id: int) -> Coverage:
    """Return how many chunks of a collection are in which state."""
    counts = read_counts(connection, collection_id)
    pending, failed = EmbeddingStatus.PENDING, EmbeddingStatus.FAILED
    return Coverage(
        ready=counts.get((EmbeddingStatus.READY, True), 0),
        stale=counts.get((pending, True), 0) + counts.get((failed, True), 0),
        pending=counts.get((pending, False), 0),
        failed=counts.get((failed, False), 0),
    )


def _stored(row: tuple[Any, ...]) -> StoredChunk:
    status = EmbeddingStatus.read(row[8])
    kinds = (type(row[0]), type(row[2]), type(row[7]))
    if kinds != (str, str, bytes):
        found = ", ".join(kind.__name__ for kind in kinds)
        raise DatabaseCorruptError.unreadable(
            "A chunk", TypeError(f"its id, text and hash are {found}")
        )
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
