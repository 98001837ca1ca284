"""Embedding with somebody else's Embeddings before anything is saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from langchain_core.embeddings import Embeddings

from semantic_core import Chunk, InvalidVectorError


def embed_chunks(chunks: Sequence[Chunk], embedding: Embeddings) -> list[Chunk]:
    """Return the chunks with their vectors, in the same order; FAILED ones have none.

    Raises:
        InvalidVectorError: the embedding returned more or fewer vectors than texts.
        Exception: whatever the embedding raises.
    """
    texts = [_embedded_text(chunk) for chunk in chunks if chunk.embedding_status is None]
    vectors = embedding.embed_documents(texts) if texts else []
    if len(vectors) != len(texts):
        raise InvalidVectorError(
            f"{type(embedding).__name__}.embed_documents() returned {len(vectors)} vectors for "
            f"{len(texts)} texts, so none can be told to be anyone's. Nothing was saved."
        )
    waiting = iter(vectors)
    return [
        chunk if chunk.embedding_status is not None else replace(chunk, vector=next(waiting))
        for chunk in chunks
    ]


def _embedded_text(chunk: Chunk) -> str:
    return chunk.text if chunk.vector_source is None else chunk.vector_source
