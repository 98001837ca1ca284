"""Live embedding of what is saved: the expensive way to a vector, for those who cannot wait."""

from __future__ import annotations

from collections.abc import Iterable

from semantic_core.gemini import GROUP_SIZE, GeminiEmbedder
from semantic_core.spec import EmbeddingSpec
from semantic_core.statuses import VectorOrigin
from semantic_core.store import DEFAULT_COLLECTION, PeeweeVectorStore
from semantic_core.store.preparing import prepare_chunks
from semantic_core.types import Chunk, SaveReport


def save_embedded(
    store: PeeweeVectorStore,
    chunks: Iterable[Chunk],
    *,
    embedder: GeminiEmbedder,
    collection: str = DEFAULT_COLLECTION,
) -> SaveReport:
    """Embed live what has no vector yet, then save all chunks in one transaction.

    Everything is checked before anything is sent. A text whose vector is stored costs nothing;
    one that a batch job carries waits for it. Chunks with a vector, and FAILED ones, are saved
    as they are.

    Args:
        store: where to save.
        chunks: what to save; a whole call is held in memory.
        embedder: makes the vectors.
        collection: created with the default spec if it does not exist.

    Raises:
        InvalidInputError: as ``store.save``; nothing was sent or saved.
        MissingDefaultKeyError: there is no default key; nothing was saved.
        ProvenanceError: the database holds vectors of another endpoint; nothing was sent.
        ProviderError: live embedding failed; no chunk was saved, but every vector that came is.
        StorageError: the database could not be written.
    """
    batch = list(chunks)
    spec = store.collection(collection).spec
    wanted = [
        row.vector_source or row.text
        for row in prepare_chunks(batch, spec)
        if row.given is None and row.refusal is None
    ]
    embed_missing(store, wanted, spec=spec, embedder=embedder)
    return store.save(batch, collection=collection)


def embed_missing(
    store: PeeweeVectorStore,
    sources: Iterable[str],
    *,
    spec: EmbeddingSpec,
    embedder: GeminiEmbedder,
) -> None:
    """Embed texts that have no vector yet and are in no batch job; store the vectors.

    Each group is stored as it comes: what was paid for is in the cache, where the next try
    finds it, whatever fails after it.

    Args:
        store: has a collection with this spec.
        sources: exact texts to embed; the same one twice is embedded once.
        spec: how to embed them.
        embedder: makes the vectors.

    Raises:
        MissingDefaultKeyError: there is no default key; nothing was sent.
        ProvenanceError: the database holds vectors of another endpoint; nothing was sent.
        ProviderError: a group could not be embedded; earlier ones are stored.
    """
    hasher = spec.hasher()
    texts = {hasher(source).hex(): source for source in sources}
    known = store.known_vectors(list(texts))
    wanted = [key for key in texts if key not in known]
    if wanted:
        store.fix_provenance(embedder.provenance)
    for start in range(0, len(wanted), GROUP_SIZE):
        group = wanted[start : start + GROUP_SIZE]
        vectors = embedder.embed_documents([texts[key] for key in group], spec=spec)
        store.bulk_update_vectors(
            zip(group, vectors, strict=True), spec=spec, origin=VectorOrigin.LIVE
        )
