from collections.abc import Sequence

from langchain_core.embeddings import Embeddings

from langchain_semcore.embeddings import DeferredEmbeddings
from semantic_core.api import BaseVectorStore, Chunk, embed_foreign, save_embedded


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
        if embedding is not None:
            chunks = embed_foreign(store, chunks, embedder=embedding, collection=collection)
        saved = store.save(chunks, collection=collection, keep_refused=True)
    return list(saved.ids)
