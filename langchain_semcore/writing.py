"""Saving chunks, with the vectors that an Embeddings makes at once."""

from collections.abc import Sequence
from dataclasses import replace

from langchain_core.embeddings import Embeddings

from langchain_semcore.embeddings import DeferredEmbeddings
from semantic_core import BaseVectorStore, Chunk, InvalidVectorError, save_embedded


def save_chunks(
    store: BaseVectorStore,
    chunks: Sequence[Chunk],
    *,
    collection: str,
    embedding: Embeddings | None,
) -> list[str]:
    """Save chunks and return their ids; odd ones are kept as FAILED.

    ``embedding`` makes their vectors first; without one they wait for a batch.
    """
    if isinstance(embedding, DeferredEmbeddings):
        saved = save_embedded(
            store, chunks, embedder=embedding.embedder, collection=collection, keep_refused=True
        )
    else:
        made = chunks if embedding is None else embed_chunks(chunks, embedding)
        saved = store.save(made, collection=collection, keep_refused=True)
    return list(saved.ids)


def embed_chunks(chunks: Sequence[Chunk], embedding: Embeddings) -> list[Chunk]:
    """Return the chunks with their vectors, in the same order; FAILED ones have none.

    Those that have one keep it.
    """
    wanted = [_embedded_text(chunk) for chunk in chunks]
    texts = [text for text in wanted if text is not None]
    vectors = embedding.embed_documents(texts) if texts else []
    if len(vectors) != len(texts):
        raise InvalidVectorError(
            f"{type(embedding).__name__}.embed_documents() returned {len(vectors)} vectors for "
            f"{len(texts)} texts, so none can be told to be anyone's. Nothing was saved."
        )
    waiting = iter(vectors)
    return [
        chunk if text is None else replace(chunk, vector=next(waiting))
        for chunk, text in zip(chunks, wanted, strict=True)
    ]


def _embedded_text(chunk: Chunk) -> str | None:
    """Return what is embedded for a chunk, or None for a blank one, which the store makes FAILED."""
    if chunk.vector is not None:
        return None
    text = chunk.text if chunk.vector_source is None else chunk.vector_source
    has_words = all(any(map(str.isalnum, one)) for one in (chunk.text, text))
    return text if has_words else None
