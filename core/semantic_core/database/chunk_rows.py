from typing import NamedTuple

from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.domain.media import load_media
from semantic_core.domain.metadata import load_metadata
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import StoredChunk


class ChunkRow(NamedTuple):
    """A chunk as it is read: each name is that of its column in ``chunks AS c``, or is below."""

    pk: int
    chunk_id: str
    collection: str
    text: str
    metadata: str
    document_id: str | None
    vector_source: str | None
    payload: str | None
    content_hash: bytes
    embedding_status: str
    is_served: int
    batch_job_id: str | None
    error_message: str | None
    created_at: float
    updated_at: float
    media: str | None


_COMPUTED = {
    "collection": "k.name",
    "is_served": "c.embedding_id IS NOT NULL",
    "content_hash": "(SELECT hash FROM contents WHERE id = c.content_id)",
}
COLUMNS = ", ".join(_COMPUTED.get(name, f"c.{name}") for name in ChunkRow._fields)
SELECT_CHUNKS = f"SELECT {COLUMNS} FROM chunks c JOIN collections k ON k.id = c.collection_id"


def stored_chunk(row: ChunkRow) -> StoredChunk:
    """Return a chunk as users see it, or raise `DatabaseCorruptError`."""
    status = EmbeddingStatus.read(row.embedding_status)
    kinds = (type(row.chunk_id), type(row.text), type(row.content_hash))
    if kinds != (str, str, bytes):
        found = ", ".join(kind.__name__ for kind in kinds)
        raise DatabaseCorruptError.unreadable(
            "A chunk", TypeError(f"its id, text and hash are {found}")
        )
    return StoredChunk(
        id=row.chunk_id,
        collection=row.collection,
        text=row.text,
        metadata=load_metadata(row.metadata),
        document_id=row.document_id,
        vector_source=row.text if row.vector_source is None else row.vector_source,
        payload=row.payload,
        content_hash=row.content_hash.hex(),
        status=status,
        is_stale=bool(row.is_served) and status is not EmbeddingStatus.READY,
        batch_job_id=row.batch_job_id,
        error_message=row.error_message,
        created_at=row.created_at,
        updated_at=row.updated_at,
        media=load_media(row.media),
    )
