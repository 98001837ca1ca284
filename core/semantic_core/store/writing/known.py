"""What is stored under ids that are saved again."""

from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.database import LOCKED, among
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.queue.counts import absent_vector
from semantic_core.store.writing.prepare import Content, PreparedChunk


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored under an id that is saved again."""

    content: Content
    pk: int
    content_id: int
    embedding_id: int | None
    status: EmbeddingStatus
    batch_job_id: str | None
    not_before: float | None
    error: str | None


def read_known(connection: Connection, collection_id: int, ids: Sequence[str]) -> dict[str, Known]:
    if not ids:
        return {}
    named = among("chunk_id", ids)
    known = {}
    for row in connection.execute(
        "SELECT chunk_id, pk, content_id, embedding_id, embedding_status, batch_job_id, "
        f"not_before, error_message, {', '.join(Content._fields)} "
        f"FROM chunks WHERE collection_id = ? AND {named.sql} {LOCKED}",
        (collection_id, *named.values),
    ):
        chunk_id, pk, content_id, embedding_id, status, *rest = row[:8]
        known[chunk_id] = Known(
            Content._make(row[8:]),
            pk,
            content_id,
            embedding_id,
            EmbeddingStatus.read(status),
            *rest,
        )
    return known


def unchanged_absent(
    connection: Connection, collection: Collection, rows: Sequence[PreparedChunk]
) -> set[str]:
    """Return the ids of chunks that are stored as they are, with a vector that only targets have."""
    absent = absent_vector(connection, collection.id)
    if absent is None:
        return set()
    named = among("chunk_id", [row.chunk_id for row in rows])
    stored = set(
        connection.execute(
            f"SELECT chunk_id, k.hash, {', '.join(Content._fields)} FROM chunks c "
            "JOIN contents k ON k.id = c.content_id "
            f"WHERE c.embedding_id = ? AND embedding_status = 'READY' AND {named.sql}",
            (absent, *named.values),
        )
    )
    found = {row.chunk_id: (row.chunk_id, row.content_hash, *row.content) for row in rows}
    return {name for name, row in found.items() if row in stored}
