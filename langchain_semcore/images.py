"""Pictures: as chunks to save, and as vectors of what is looked for."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.embeddings import Embeddings

from langchain_semcore.documents import check_length, to_chunks, with_vectors
from langchain_semcore.embeddings import DeferredEmbeddings
from semantic_core.api import (
    Chunk,
    ConfigurationError,
    InvalidInputError,
    Media,
    VectorLike,
    query_media,
)

ImagePath = str | os.PathLike[str]


def image_chunks(
    uris: Iterable[ImagePath],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
    *,
    captions: Sequence[str] | None,
    embedding: Embeddings | None,
) -> list[Chunk]:
    """Return a chunk for each picture, in order, with its path as `source` in the metadata.

    A foreign embedding makes their vectors at once.
    """
    if isinstance(uris, str | os.PathLike):
        raise InvalidInputError(f"uris is one path: {uris!r}. Pass a list of paths.")
    paths = [_checked(uri) for uri in uris]
    check_length("captions", captions, len(paths), of="pictures")
    check_length("metadatas", metadatas, len(paths), of="pictures")
    chunks = to_chunks([""] * len(paths) if captions is None else captions, metadatas, ids)
    pictures = [
        replace(chunk, metadata=_with_source(chunk.metadata, path), media=Media(path))
        for chunk, path in zip(chunks, paths, strict=True)
    ]
    if isinstance(embedding, DeferredEmbeddings | None):
        return pictures
    return with_vectors(pictures, _embed_image(embedding)(uris=[os.fspath(path) for path in paths]))


def image_embedder(embedding: Embeddings | None, uri: ImagePath) -> Callable[[], VectorLike]:
    """Return what embeds a picture to look for; nothing is sent before it is called.

    Raises:
        ConfigurationError: there is no embedding, or it embeds no pictures.
        InvalidInputError: it is no path, or the model takes no such pictures.
        UnreadableFileError: there is no such file, or it may not be read.
    """
    path = _checked(uri)
    if embedding is None:
        raise ConfigurationError(
            "This vector store has no embedding for pictures. Pass one, such as SemcoreVectorStore("
            "..., embedding=DeferredEmbeddings(spec=EmbeddingSpec.gemini_embedding_2()))."
        )
    if not isinstance(embedding, DeferredEmbeddings):
        embed = _embed_image(embedding)
        return lambda: next(iter(embed(uris=[os.fspath(path)])))
    media = query_media(Media(path), embedding.spec)
    return lambda: embedding.embedder.embed_query("", spec=embedding.spec, media=media)


def _embed_image(embedding: Embeddings) -> Callable[..., Iterable[VectorLike]]:
    """Return the method that LangChain's embeddings of pictures have by convention."""
    embed: Callable[..., Iterable[VectorLike]] | None = getattr(embedding, "embed_image", None)
    if embed is None:
        raise ConfigurationError(
            f"{type(embedding).__name__} embeds no pictures: it has no embed_image(uris). Use one "
            "that has, or DeferredEmbeddings(spec=EmbeddingSpec.gemini_embedding_2()). Nothing "
            "was saved or sent."
        )
    return embed


def _with_source(metadata: Mapping[str, Any], path: ImagePath) -> Mapping[str, Any]:
    # What is no mapping is refused when it is saved.
    is_mapping = isinstance(metadata, Mapping)
    return {"source": os.fspath(path), **metadata} if is_mapping else metadata


def _checked(uri: object) -> ImagePath:
    if not isinstance(uri, str | os.PathLike):
        raise InvalidInputError(f"A picture is a {type(uri).__name__}. Pass its path.")
    return uri
