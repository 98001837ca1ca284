"""Vectors of an external space, made at once by whatever embeds there."""

from collections.abc import Sequence
from dataclasses import replace

from semantic_core.domain.errors import ConfigurationError, InvalidVectorError
from semantic_core.domain.media import MediaBytes
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk, Vector, VectorLike
from semantic_core.domain.validation import has_words
from semantic_core.providers.port import Embedder, ForeignEmbedder
from semantic_core.store import BaseVectorStore
from semantic_core.store.collections import find_collection
from semantic_core.store.reading.read import choose, read_embedded
from semantic_core.store.writing.prepare import VECTOR_SOURCE


def embed_foreign(
    store: BaseVectorStore, chunks: Sequence[Chunk], *, embedder: ForeignEmbedder, collection: str
) -> list[Chunk]:
    """Return chunks with their vectors, to be saved; those with nothing to embed have none.

    What has its vector keeps it, and so does a chunk that is stored with that text: it is not
    embedded again. Neither is a text that comes twice.

    Raises:
        InvalidVectorError: there are not as many vectors as texts.
        Exception: whatever the embedder raises.
    """
    texts = [_embedded_text(chunk) for chunk in chunks]
    known = _known(store, [chunk.id for chunk in chunks if chunk.id is not None], collection)
    pairs = [(chunk.id or "", text) for chunk, text in zip(chunks, texts, strict=True)]
    wanted = [pair[1] for pair in pairs if pair[1] is not None and pair not in known]
    asked = list(dict.fromkeys(wanted))
    made = embedder.embed_documents(asked) if asked else []
    if len(made) != len(asked):
        raise InvalidVectorError(
            f"{type(embedder).__name__}.embed_documents() returned {len(made)} vectors for "
            f"{len(asked)} texts, so none can be told to be anyone's. Nothing was saved."
        )
    vectors = dict(zip(asked, made, strict=True))
    return [
        chunk
        if text is None
        else replace(chunk, vector=known.get((chunk_id, text), vectors.get(text)))
        for chunk, (chunk_id, text) in zip(chunks, pairs, strict=True)
    ]


def _known(
    store: BaseVectorStore, ids: list[str], collection: str
) -> dict[tuple[str, str | None], Vector]:
    """Return the vectors of stored chunks by id and embedded text, as of one moment."""
    with store.database.snapshot() as connection:
        found = find_collection(connection, collection)
        if found is None:
            return {}
        chosen = store.database.metadata.condition(choose(found.id, ids=ids))
        stored = read_embedded(connection, found.id, chosen).values()
    return {(one.id, one.vector_source): vector for one, vector in stored if vector is not None}


def _embedded_text(chunk: Chunk) -> str | None:
    """Return what is embedded of a chunk, or None where nothing is."""
    source = chunk.vector_source
    if source is None:
        source = chunk.metadata.get(VECTOR_SOURCE, chunk.text)
    are_words = all(isinstance(one, str) and has_words(one) for one in (chunk.text, source))
    return source if chunk.vector is None and are_words else None


def embed_query(
    embedder: Embedder | ForeignEmbedder,
    text: str,
    *,
    spec: EmbeddingSpec,
    media: Sequence[MediaBytes],
) -> VectorLike:
    """Return the vector of a query, of whichever kind the embedder is."""
    if isinstance(embedder, Embedder):
        return embedder.embed_query(text, spec=spec, media=media)
    check_external(embedder, spec)
    return embedder.embed_query(text)


def check_external(embedder: ForeignEmbedder, spec: EmbeddingSpec | None) -> None:
    """Check that an embedder does not mix its vectors with those of a provider's model."""
    if spec is None or not spec.is_external:
        raise ConfigurationError(
            f"{type(embedder).__name__} makes vectors of its own, which cannot be compared with "
            "those of a collection of Gemini's. Make one for them: "
            "store.collection(name, EmbeddingSpec.external('its name'))."
        )
