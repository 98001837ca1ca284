"""Saving chunks: validate everything first, then write in one transaction."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from semantic_core.errors import (
    DuplicateIdError,
    InvalidInputError,
    InvalidVectorError,
    NotBatchableError,
)
from semantic_core.metadata import dump_metadata
from semantic_core.queue.vectors import release_vectors
from semantic_core.spec import ContentHasher, EmbeddingSpec, given_vector_key
from semantic_core.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.store.collections import Collection, fix_dimensions
from semantic_core.store.fulltext import add_rows, add_rows_after, remove_rows
from semantic_core.types import Chunk, SaveReport
from semantic_core.validation import check_length, check_not_blank, check_text, check_vector

VECTOR_SOURCE = "_vector_source"
EMBEDDING_STATUS = "embedding_status"

_STATUSES = frozenset(EmbeddingStatus)
_LOOKUP = 500


@dataclass(slots=True)
class _Row:
    """One validated chunk, and where it ends up."""

    chunk_id: str
    is_new_id: bool
    document_id: str | None
    text: str
    metadata: str
    vector_source: str | None
    payload: str | None
    content_hash: bytes
    given: bytes | None
    refusal: str | None
    status: EmbeddingStatus = EmbeddingStatus.PENDING
    vector_key: bytes | None = None
    batch_job_id: str | None = None
    error: str | None = None

    @property
    def content(self) -> tuple[object, ...]:
        return (self.text, self.metadata, self.document_id, self.vector_source, self.payload)


def prepare_chunks(chunks: Iterable[Chunk], spec: EmbeddingSpec) -> list[_Row]:
    """Check chunks and compute their hashes; nothing is written.

    Raises:
        InvalidInputError: the subclass for the first chunk that cannot be saved.
        NotBatchableError: a chunk without a vector for an external space.
    """
    hasher = spec.hasher()
    rows = [_prepare(chunk, position, spec, hasher) for position, chunk in enumerate(chunks)]
    seen: set[str] = set()
    for row in rows:
        if row.chunk_id in seen:
            raise DuplicateIdError(
                f"The id {row.chunk_id!r} stands twice in one call. Give each chunk its own id, "
                "or save them in two calls. Nothing was saved."
            )
        seen.add(row.chunk_id)
    sizes = {len(row.given) // 4 for row in rows if row.given is not None}
    if len(sizes) > 1:
        raise InvalidVectorError(
            f"The vectors of one call have different sizes: {sorted(sizes)}. Nothing was saved."
        )
    return rows


def save_rows(
    connection: sqlite3.Connection, rows: list[_Row], *, collection: Collection, now: float
) -> SaveReport:
    """Write prepared chunks; the caller's transaction makes it all or nothing."""
    given = [row for row in rows if row.given is not None]
    if given:
        _store_given(connection, given, collection, now)
    _decide(connection, rows)
    known = _known(connection, collection.id, [row.chunk_id for row in rows if not row.is_new_id])
    inserts = [row for row in rows if row.chunk_id not in known]
    updates, unchanged = [], []
    for row in rows:
        if row.chunk_id in known:
            old = known[row.chunk_id]
            (unchanged if _keep_what_stands(row, old) else updates).append((old, row))
    _update(connection, updates, collection.id, now)
    _insert(connection, inserts, collection.id, now)
    statuses = [row.status for row in rows]
    return SaveReport(
        ids=tuple(row.chunk_id for row in rows),
        inserted=len(inserts),
        updated=len(updates),
        unchanged=len(unchanged),
        ready=statuses.count(EmbeddingStatus.READY),
        pending=statuses.count(EmbeddingStatus.PENDING),
        failed=statuses.count(EmbeddingStatus.FAILED),
    )


def _prepare(chunk: Chunk, position: int, spec: EmbeddingSpec, hasher: ContentHasher) -> _Row:
    what = f"chunk {chunk.id!r}" if chunk.id is not None else f"chunk number {position}"
    metadata: dict[str, Any] = dict(chunk.metadata)
    source = chunk.vector_source
    if VECTOR_SOURCE in metadata:
        taken = metadata.pop(VECTOR_SOURCE)
        source = taken if source is None else source
    status = chunk.embedding_status
    if metadata.get(EMBEDDING_STATUS) in _STATUSES:
        taken = EmbeddingStatus(metadata.pop(EMBEDDING_STATUS))
        status = taken if status is None else status
    for name, text in (("id", chunk.id), ("document_id", chunk.document_id)):
        if text is not None:
            check_text(text, what=f"the {name} of {what}")
            check_not_blank(text, what=f"the {name} of {what}")
    check_text(chunk.text, what=what)
    if source is not None:
        check_text(source, what=f"the vector source of {what}")
    if chunk.payload is not None:
        check_text(chunk.payload, what=f"the payload of {what}")
    given = None
    if chunk.vector is not None:
        given = check_vector(chunk.vector, dimensions=spec.dimensions, what=what)
    refusal = None
    if status is EmbeddingStatus.FAILED:
        refusal = chunk.error_message or "saved as FAILED"
    elif given is None:
        check_not_blank(chunk.text if source is None else source, what=what)
        check_length(chunk.text if source is None else source, spec, what=what)
        if spec.is_external:
            raise NotBatchableError(
                f"{what} has no vector, and its collection belongs to the foreign embedder "
                f"{spec.model!r}: the Batch API cannot make its vectors. Save it with its vector, "
                "or use a collection with a Gemini spec. Nothing was saved."
            )
        if status is EmbeddingStatus.READY:
            raise InvalidInputError(
                f"{what} says READY but has no vector. Leave embedding_status out: it becomes "
                "READY by itself where its vector is known. Nothing was saved."
            )
    return _Row(
        chunk_id=uuid.uuid4().hex if chunk.id is None else chunk.id,
        is_new_id=chunk.id is None,
        document_id=chunk.document_id,
        text=chunk.text,
        metadata=dump_metadata(metadata),
        vector_source=None if source == chunk.text else source,
        payload=chunk.payload,
        content_hash=hasher(chunk.text if source is None else source),
        given=given,
        refusal=refusal,
    )


def _store_given(
    connection: sqlite3.Connection, rows: list[_Row], collection: Collection, now: float
) -> None:
    """Store the caller's vectors under keys of their own: they never serve as cache."""
    size = len(rows[0].given or b"") // 4
    fix_dimensions(connection, collection.space_id, size)
    (dimensions,) = connection.execute(
        "SELECT dimensions FROM spaces WHERE id = ?", (collection.space_id,)
    ).fetchone()
    if size != dimensions:
        raise InvalidVectorError(
            f"The vectors have {size} dimensions, collection {collection.name!r} has "
            f"{dimensions}. Embed the texts with its model again. Nothing was saved."
        )
    for row in rows:
        row.vector_key = given_vector_key(row.content_hash, row.given or b"")
    connection.executemany(
        "INSERT INTO embeddings (key, space_id, vector, origin, created_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (key) DO NOTHING",
        [(row.vector_key, collection.space_id, row.given, VectorOrigin.GIVEN, now) for row in rows],
    )


def _decide(connection: sqlite3.Connection, rows: list[_Row]) -> None:
    """Give each row the status a new chunk of its content has."""
    wanted = list({row.content_hash for row in rows if row.given is None and row.refusal is None})
    cached: set[bytes] = set()
    carried: dict[bytes, str] = {}
    for start in range(0, len(wanted), _LOOKUP):
        page = wanted[start : start + _LOOKUP]
        marks = ", ".join("?" * len(page))
        cached |= {
            row[0]
            for row in connection.execute(
                f"SELECT key FROM embeddings WHERE key IN ({marks})", page
            )
        }
        carried |= dict(
            connection.execute(
                "SELECT content_hash, job_id FROM batch_items "
                f"WHERE state = 'open' AND content_hash IN ({marks})",
                page,
            ).fetchall()
        )
    for row in rows:
        if row.refusal is not None:
            row.status, row.error, row.vector_key = EmbeddingStatus.FAILED, row.refusal, None
        elif row.given is not None:
            row.status = EmbeddingStatus.READY
        elif row.content_hash in cached:
            row.status, row.vector_key = EmbeddingStatus.READY, row.content_hash
        else:
            row.batch_job_id = carried.get(row.content_hash)


@dataclass(frozen=True, slots=True)
class _Known:
    """What stands in the store under an id that is saved again."""

    pk: int
    content: tuple[object, ...]
    content_hash: bytes
    vector_key: bytes | None
    status: EmbeddingStatus
    batch_job_id: str | None
    not_before: float | None
    error: str | None


def _known(
    connection: sqlite3.Connection, collection_id: int, ids: Sequence[str]
) -> dict[str, _Known]:
    if not ids:
        return {}
    return {
        row[0]: _Known(row[1], row[2:7], row[7], row[8], EmbeddingStatus(row[9]), *row[10:])
        for row in connection.execute(
            "SELECT chunk_id, pk, text, metadata, document_id, vector_source, payload, "
            "content_hash, vector_key, embedding_status, batch_job_id, not_before, error_message "
            "FROM chunks WHERE collection_id = ? AND chunk_id IN (SELECT value FROM json_each(?))",
            (collection_id, json.dumps(ids)),
        )
    }


def _keep_what_stands(row: _Row, old: _Known) -> bool:
    """Carry over what the same content keeps; return whether nothing changes at all."""
    asks_same = row.content_hash == old.content_hash and (
        row.given is None or row.vector_key == old.vector_key
    )
    if asks_same and row.refusal is None and (row.given is None or old.status == row.status):
        row.status, row.vector_key, row.error = old.status, old.vector_key, old.error
        row.batch_job_id = old.batch_job_id
        return row.content == old.content
    if row.status is not EmbeddingStatus.READY:
        # The vector of the older text serves on as stale until the new one arrives.
        row.vector_key = old.vector_key
    return (
        row.content == old.content
        and row.content_hash == old.content_hash
        and (row.status, row.error) == (old.status, old.error)
        and row.vector_key == old.vector_key
    )


def _update(
    connection: sqlite3.Connection,
    updates: list[tuple[_Known, _Row]],
    collection_id: int,
    now: float,
) -> None:
    if not updates:
        return
    retold = [old.pk for old, row in updates if row.text != old.content[0]]
    moved = [(old, row) for old, row in updates if row.vector_key != old.vector_key]
    if retold:
        remove_rows(connection, retold)
    connection.executemany(
        "UPDATE chunks SET text = ?, metadata = ?, document_id = ?, vector_source = ?, "
        "payload = ?, content_hash = ?, vector_key = ?, embedding_status = ?, batch_job_id = ?, "
        "not_before = ?, error_message = ?, updated_at = ? WHERE pk = ?",
        [
            (
                *row.content,
                row.content_hash,
                row.vector_key,
                row.status,
                row.batch_job_id,
                old.not_before if row.content_hash == old.content_hash else None,
                row.error,
                now,
                old.pk,
            )
            for old, row in updates
        ],
    )
    if retold:
        add_rows(connection, retold)
    _note_served(connection, [old.pk for old, _ in moved], [r for _, r in moved], collection_id)
    release_vectors(
        connection, [old.vector_key for old, _ in moved if old.vector_key is not None], now=now
    )


def _insert(
    connection: sqlite3.Connection, rows: list[_Row], collection_id: int, now: float
) -> None:
    if not rows:
        return
    (last,) = connection.execute("SELECT coalesce(max(pk), 0) FROM chunks").fetchone()
    connection.executemany(
        "INSERT INTO chunks (text, metadata, document_id, vector_source, payload, content_hash, "
        "vector_key, embedding_status, batch_job_id, error_message, created_at, updated_at, "
        "collection_id, chunk_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *row.content,
                row.content_hash,
                row.vector_key,
                row.status,
                row.batch_job_id,
                row.error,
                now,
                now,
                collection_id,
                row.chunk_id,
            )
            for row in rows
        ],
    )
    add_rows_after(connection, last)
    served = [row for row in rows if row.vector_key is not None]
    if served:
        connection.execute(
            "INSERT INTO changes (collection_id, chunk_pk) SELECT collection_id, pk FROM chunks "
            "WHERE pk > ? AND vector_key IS NOT NULL",
            (last,),
        )
        _mark_used(connection, served)


def _note_served(
    connection: sqlite3.Connection, pks: list[int], rows: list[_Row], collection_id: int
) -> None:
    connection.executemany(
        "INSERT INTO changes (collection_id, chunk_pk) VALUES (?, ?)",
        [(collection_id, pk) for pk in pks],
    )
    _mark_used(connection, [row for row in rows if row.vector_key is not None])


def _mark_used(connection: sqlite3.Connection, rows: list[_Row]) -> None:
    connection.executemany(
        "UPDATE embeddings SET unreferenced_since = NULL "
        "WHERE key = ? AND unreferenced_since IS NOT NULL",
        [(row.vector_key,) for row in rows],
    )
