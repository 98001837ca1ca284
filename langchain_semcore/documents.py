"""LangChain documents as chunks, and chunks as LangChain documents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, time
from pathlib import PurePath
from typing import Any

from langchain_core.documents import Document

from semantic_core.api import (
    RESULT_KEY,
    Chunk,
    FoundMetadata,
    InvalidInputError,
    SearchResult,
    StoredChunk,
    Vector,
    VectorLike,
    text_ids,
)

# Where the core finds the exact text to embed, if it is not the page content.
_VECTOR_SOURCE = "_vector_source"

_NOT_THE_USERS = (RESULT_KEY, _VECTOR_SOURCE)


def to_chunks(
    texts: Iterable[str],
    metadatas: Sequence[Mapping[str, Any]] | None,
    ids: Sequence[str | None] | None,
) -> list[Chunk]:
    """Return a chunk for each text, in order; what was handed in stays as it is."""
    if isinstance(texts, str):
        raise InvalidInputError(f"texts is one string: {texts[:40]!r}. Pass a list of strings.")
    contents = list(texts)
    check_length("metadatas", metadatas, len(contents))
    ids = text_ids(ids)
    check_length("ids", ids, len(contents))
    return [
        _to_chunk(text, metadata, chunk_id)
        for text, metadata, chunk_id in zip(
            contents,
            [{}] * len(contents) if metadatas is None else metadatas,
            [None] * len(contents) if ids is None else ids,
            strict=True,
        )
    ]


def check_length(name: str, values: Sequence[Any] | None, count: int, *, of: str = "texts") -> None:
    """Check that what comes along with the texts has one item for each of them."""
    if values is not None and len(values) != count:
        raise InvalidInputError(
            f"{name} has {len(values)} items for {count} {of}. Pass one for each, or leave them "
            "out. Nothing was saved."
        )


def refuse_options(call: str, options: Iterable[str]) -> None:
    """Refuse keyword arguments that nobody knows: a filter under another name would not filter."""
    if names := sorted(options):
        raise InvalidInputError(
            f"{call} does not know {', '.join(names)}. Leave it out; a metadata filter is "
            "passed as `filter`."
        )


def search_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a search that the core takes as they are; refuse any other."""
    refuse_options("The search", options.keys() - {"target_filter"})
    return options


def as_text(value: Any) -> Any:
    """Return metadata with dates, times and paths as text, however deep they are."""
    match value:
        case date() | time():  # a datetime is a date
            return value.isoformat()
        case PurePath():
            return str(value)
        case Mapping():
            return {key: as_text(item) for key, item in value.items()}
        case list():
            return list(map(as_text, value))
        case _:
            return value


def with_vectors(chunks: Sequence[Chunk], vectors: Iterable[VectorLike]) -> list[Chunk]:
    """Return the chunks with vectors that were made elsewhere, in the same order."""
    given = list(vectors)
    check_length("embeddings", given, len(chunks))
    return [replace(chunk, vector=vector) for chunk, vector in zip(chunks, given, strict=True)]


def to_document(chunk: StoredChunk) -> Document:
    """Return a stored chunk just as it was added, with its id; a bare picture by its file's name."""
    return Document(page_content=chunk.caption, id=chunk.id, metadata=chunk.metadata)


def to_explained_document(hit: SearchResult) -> Document:
    """Return a hit with how it was found under a key of its metadata that makes no difference.

    LangChain takes two documents for the same only where they are equal, metadata and all.
    """
    found = {
        "status": hit.status.value,
        "match": hit.match.value,
        "stale": hit.stale,
        "score": hit.score,
    }
    document = to_document(hit.chunk)
    # Not through the constructor, which would copy it as a plain dict.
    document.metadata = FoundMetadata(hit.chunk.metadata, found)
    return document


def to_documents(hits: Iterable[SearchResult]) -> list[Document]:
    """Return hits as documents."""
    return [to_document(hit.chunk) for hit in hits]


def to_scored(hits: Iterable[SearchResult]) -> list[tuple[Document, float]]:
    """Return hits as documents with their scores."""
    return [(to_document(hit.chunk), hit.score) for hit in hits]


def to_page(
    chunks: Sequence[StoredChunk], vectors: Mapping[str, Vector], include: Iterable[str]
) -> dict[str, list[Any] | None]:
    """Return stored chunks as lists, in the form of Chroma's."""
    documents = list(map(to_document, chunks))
    lists: dict[str, list[Any]] = {
        "metadatas": [document.metadata for document in documents],
        "documents": [document.page_content for document in documents],
        "embeddings": [vectors.get(chunk.id) for chunk in chunks],
    }
    wanted = set(include)
    if not wanted <= lists.keys():
        raise InvalidInputError(f"include={include!r}: use some of {list(lists)}.")
    kept = {name: values if name in wanted else None for name, values in lists.items()}
    return {"ids": [chunk.id for chunk in chunks], **kept}


def _to_chunk(text: str, metadata: Mapping[str, Any], chunk_id: str | None) -> Chunk:
    source = None
    if isinstance(metadata, Mapping) and not metadata.keys().isdisjoint(_NOT_THE_USERS):
        source = metadata.get(_VECTOR_SOURCE)
        metadata = {key: metadata[key] for key in metadata if key not in _NOT_THE_USERS}
    return Chunk(text=text, metadata=metadata, id=chunk_id, vector_source=source)
