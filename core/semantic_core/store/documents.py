"""Documents: which chunks they have now, so that the ones of an earlier version go."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.metadata import dump_metadata
from semantic_core.store.collections import Collection
from semantic_core.store.deleting import delete_chunks
from semantic_core.store.fulltext import Restriction
from semantic_core.types import Chunk, Document


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitDocument:
    """A document with all of its chunks; each chunk has an id and this document's id.

    Attributes:
        id: the document's id.
        document: what was split.
        chunks: its pieces, in order.
    """

    id: str
    document: Document
    chunks: tuple[Chunk, ...]


def save_documents(
    connection: sqlite3.Connection,
    documents: Sequence[SplitDocument],
    collection: Collection,
    *,
    now: float,
) -> int:
    """Record documents and delete chunks they no longer have; return how many went."""
    removed = 0
    for entry in documents:
        known = connection.execute(
            "SELECT 1 FROM documents WHERE collection_id = ? AND document_id = ?",
            (collection.id, entry.id),
        ).fetchone()
        connection.execute(
            "INSERT INTO documents (collection_id, document_id, source, content_hash, metadata, "
            "created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (collection_id, document_id) DO UPDATE SET source = excluded.source, "
            "content_hash = excluded.content_hash, metadata = excluded.metadata, "
            "updated_at = excluded.updated_at WHERE (source, content_hash, metadata) "
            "IS NOT (excluded.source, excluded.content_hash, excluded.metadata)",
            (
                collection.id,
                entry.id,
                entry.document.source,
                hashlib.sha256(entry.document.content.encode()).digest(),
                dump_metadata(dict(entry.document.metadata)),
                now,
                now,
            ),
        )
        if known:
            gone = Restriction(
                "c.collection_id = ? AND c.document_id = ? "
                "AND c.chunk_id NOT IN (SELECT value FROM json_each(?))",
                (collection.id, entry.id, json.dumps([chunk.id for chunk in entry.chunks])),
            )
            removed += delete_chunks(connection, gone, purge=False, now=now)
    return removed


def drop_documents(
    connection: sqlite3.Connection, collection_id: int, document_ids: Sequence[str]
) -> None:
    """Forget documents that no longer have any chunk."""
    connection.execute(
        "DELETE FROM documents WHERE collection_id = ? "
        "AND document_id IN (SELECT value FROM json_each(?)) AND NOT EXISTS (SELECT 1 FROM chunks "
        "c WHERE c.collection_id = documents.collection_id "
        "AND c.document_id = documents.document_id)",
        (collection_id, json.dumps(list(document_ids))),
    )
