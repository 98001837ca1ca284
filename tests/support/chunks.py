"""Chunks to save, and vectors for them that come from no provider."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from semantic_core.domain.reports import BulkReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk, StoredChunk, Vector
from semantic_core.queue.contents import note_contents
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore
from support.rows import run_sql

SPEC = EmbeddingSpec(dimensions=8)
OTHER_SPEC = EmbeddingSpec(model="gemini-embedding-2", dimensions=8)


def vector_of(text: str, dimensions: int = 8) -> Vector:
    """Return a vector of length 1 that depends on the text and on nothing else."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    values = np.random.default_rng(seed).normal(size=dimensions)
    return (values / np.linalg.norm(values)).astype(np.float32)


def chunks_of(texts: Iterable[str], **fields: object) -> list[Chunk]:
    """Return chunks whose ids are their texts."""
    return [Chunk(id=text, text=text, **fields) for text in texts]  # type: ignore[arg-type]


def content_hash(text: str, spec: EmbeddingSpec = SPEC) -> str:
    """Return the content hash of a text in hex."""
    return spec.hasher()(text).hex()


def hashes_of(store: PeeweeVectorStore, contents: Iterable[int]) -> list[str]:
    """Return the content hashes (hex) of contents."""
    hashes = dict(run_sql(store, "SELECT id, hash FROM contents"))
    return [hashes[content].hex() for content in contents]


def contents_of(
    store: PeeweeVectorStore, *texts: str, spec: EmbeddingSpec = SPEC
) -> dict[str, int]:
    """Return the numbers of texts, which are noted if they are new."""
    keys = {text: bytes.fromhex(content_hash(text, spec)) for text in texts}
    with store.database.transaction() as connection:
        noted, _ = note_contents(connection, list(keys.values()))
    return {text: noted[key] for text, key in keys.items()}


def embed(store: PeeweeVectorStore, *texts: str, spec: EmbeddingSpec = SPEC) -> BulkReport:
    """Let the vectors of these texts arrive."""
    return store.bulk_update_vectors(
        [(content_hash(text, spec), vector_of(text, spec.dimensions or 8)) for text in texts],
        spec=spec,
    )


def embed_all(
    store: PeeweeVectorStore, collection: str = DEFAULT_COLLECTION, spec: EmbeddingSpec = SPEC
) -> BulkReport:
    """Let the vector of every PENDING chunk arrive."""
    return embed(
        store,
        *(
            chunk.vector_source
            for chunk in store.chunks(collection=collection)
            if chunk.status is EmbeddingStatus.PENDING
        ),
        spec=spec,
    )


def only(
    store: PeeweeVectorStore, chunk_id: str, collection: str = DEFAULT_COLLECTION
) -> StoredChunk:
    """Return the one chunk of this id."""
    (chunk,) = store.get([chunk_id], collection=collection)
    return chunk


def served_vector(
    store: PeeweeVectorStore, chunk_id: str, collection: str = DEFAULT_COLLECTION
) -> Vector | None:
    """Return the vector that serves a chunk, as it is stored."""
    row = run_sql(
        store,
        "SELECT e.vector FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "LEFT JOIN embeddings e ON e.id = c.embedding_id WHERE c.chunk_id = ? AND k.name = ?",
        (chunk_id, collection),
    )[0]
    return None if row[0] is None else np.frombuffer(row[0], dtype="<f4")


def count_vectors(store: PeeweeVectorStore) -> int:
    """Return how many vectors are stored, used or cached."""
    return int(run_sql(store, "SELECT count(*) FROM embeddings")[0][0])
