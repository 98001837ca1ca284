"""Checking what is to be saved: everything, before anything is written."""

import logging
import uuid
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from semantic_core.domain.errors import (
    BlankTextError,
    DuplicateIdError,
    InvalidInputError,
    InvalidVectorError,
    NotBatchableError,
    SemanticCoreError,
    TextTooLongError,
)
from semantic_core.domain.media import StoredMedia, as_media, dump_media, stored_media
from semantic_core.domain.metadata import copy_metadata, dump_metadata
from semantic_core.domain.spec import EmbeddingSpec, Hasher
from semantic_core.domain.statuses import TOO_LONG, EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.domain.validation import (
    check_has_words,
    check_id,
    check_text,
    check_vector,
    listed,
)
from semantic_core.providers.facts import check_length, check_media, model_facts

_log = logging.getLogger(__name__)

VECTOR_SOURCE = "_vector_source"
EMBEDDING_STATUS = "embedding_status"
# To look a member up takes half as long as to check a text.
_READY, _FAILED = EmbeddingStatus.READY, EmbeddingStatus.FAILED
_OURS = frozenset({VECTOR_SOURCE, EMBEDDING_STATUS})


class Content(NamedTuple):
    """What the user gave of a chunk, by the names of its columns."""

    text: str
    metadata: str
    document_id: str | None
    vector_source: str | None
    payload: str | None
    media: str | None

    @property
    def source(self) -> str:
        """The text that is embedded."""
        return self.text if self.vector_source is None else self.vector_source


@dataclass(slots=True)
class PreparedChunk:
    """One checked chunk, and where it ends up.

    ``is_new_id`` says that no chunk has it yet, since it was made here. ``given`` is the caller's
    vector as float32 little-endian bytes, and ``refusal`` why it is saved as FAILED.
    ``media_bytes`` are pictures that were handed in as bytes, by digest.
    """

    chunk_id: str
    is_new_id: bool
    content: Content
    content_hash: bytes
    given: bytes | None
    refusal: str | None
    media_bytes: Mapping[str, bytes] | None = None
    status: EmbeddingStatus = EmbeddingStatus.PENDING
    content_id: int = 0
    tokens: int = 0
    embedding_id: int | None = None
    batch_job_id: str | None = None
    error: str | None = None


def prepare_chunks(
    chunks: Iterable[Chunk], spec: EmbeddingSpec, *, keep_refused: bool = False
) -> list[PreparedChunk]:
    """Check chunks and compute their hashes; nothing is written. See ``BaseVectorStore.save``."""
    hasher = spec.hasher()
    batch = listed(chunks, what="chunks", of=Chunk)
    given_sizes = [len(chunk.vector) for chunk in batch if isinstance(chunk.vector, Sized)]
    # Where no vector fits, it is the collection that is wrong, and nobody waits for these.
    has_fitting = bool(given_sizes) if spec.dimensions is None else spec.dimensions in given_sizes
    rows: list[PreparedChunk] = []
    kept: list[str] = []
    for position, chunk in enumerate(batch):
        try:
            rows.append(_checked(chunk, position, spec, hasher))
        except _REFUSALS as error:
            reason = _reason(error, chunk, position, spec, has_fitting=has_fitting)
            if not keep_refused or reason is None:
                raise
            failed = replace(
                chunk, vector=None, embedding_status=EmbeddingStatus.FAILED, error_message=reason
            )
            rows.append(_checked(failed, position, spec, hasher))
            kept.append(reason)
    if kept:
        _log.warning(
            "%d of %d chunks are saved as FAILED, the first for: %s", len(kept), len(rows), kept[0]
        )
    seen: set[str] = set()
    for row in rows:
        if row.chunk_id in seen:
            raise DuplicateIdError(
                f"The id {row.chunk_id!r} appears twice in one call. Give each chunk its own id, "
                "or save them in two calls. Nothing was saved."
            )
        seen.add(row.chunk_id)
    sizes = {len(row.given) // 4 for row in rows if row.given is not None}
    if len(sizes) > 1:
        raise InvalidVectorError(
            f"The vectors of one call have different sizes: {sorted(sizes)}. Nothing was saved."
        )
    return rows


# What makes one chunk FAILED, where those that are refused are kept: its text and id are good.
_REFUSALS = (BlankTextError, TextTooLongError, InvalidVectorError, NotBatchableError)


def _reason(
    error: SemanticCoreError, chunk: Chunk, position: int, spec: EmbeddingSpec, *, has_fitting: bool
) -> str | None:
    """Return why a chunk is FAILED, or None where all are wrong alike and it is to be refused.

    It names no chunk, so that equal reasons are counted together.
    """
    if isinstance(error, BlankTextError):
        return "blank text: nothing to embed"
    if isinstance(error, TextTooLongError):
        return (
            f"{TOO_LONG} for {spec.model}: more than {model_facts(spec.model).byte_limit:,} bytes"
        )
    if isinstance(error, NotBatchableError):
        return f"no vector, and {spec.model} is a foreign embedder" if has_fitting else None
    size = len(chunk.vector) if isinstance(chunk.vector, Sized) else None
    is_of_wrong_size = spec.dimensions is not None and size != spec.dimensions
    if is_of_wrong_size and not has_fitting:
        return None
    return str(error).replace(_what(chunk, position), "the chunk")


def _what(chunk: Chunk, position: int) -> str:
    return f"chunk number {position}" if chunk.id is None else f"chunk {chunk.id!r}"


def _checked(chunk: Chunk, position: int, spec: EmbeddingSpec, hasher: Hasher) -> PreparedChunk:
    """Return a chunk as it is saved, or raise an error that names it."""
    try:
        return _prepare(chunk, "the chunk", spec, hasher)
    except SemanticCoreError:
        # Names are made for errors alone: for each chunk they take as long as its checks.
        what = _what(chunk, position)
    return _prepare(chunk, what, spec, hasher)


def _prepare(chunk: Chunk, what: str, spec: EmbeddingSpec, hasher: Hasher) -> PreparedChunk:
    whose = f"the metadata of {what}"
    metadata, source, status = _take_ours(chunk, whose)
    for name, text in (("id", chunk.id), ("document_id", chunk.document_id)):
        if text is not None:
            check_id(text, what=f"the {name} of {what}")
            if text.isspace() or not text:
                raise InvalidInputError(
                    f"The {name} of {what} is blank. Give it one, or leave it out. "
                    "Nothing was saved."
                )
    check_text(chunk.text, what=what)
    if source is not None:
        check_text(source, what=f"the vector source of {what}")
    if chunk.payload is not None:
        check_text(chunk.payload, what=f"the payload of {what}")
    wanted = chunk.text if source is None else source
    given = refusal = None
    media, media_bytes = _look_at_media(chunk, spec, what) if chunk.media else ((), None)
    if status is _FAILED:
        refusal = _refusal(chunk, what)
    elif chunk.vector is not None:
        given = check_vector(chunk.vector, dimensions=spec.dimensions, what=what)
    else:
        if not media:
            check_has_words(chunk.text, what=what)
            if wanted is not chunk.text:
                check_has_words(wanted, what=f"the vector source of {what}")
        _check_embeddable(wanted, status, spec, what)
    return PreparedChunk(
        chunk_id=uuid.uuid4().hex if chunk.id is None else chunk.id,
        is_new_id=chunk.id is None,
        content=Content(
            chunk.text,
            dump_metadata(metadata, what=whose),
            chunk.document_id,
            None if source == chunk.text else source,
            chunk.payload,
            dump_media(media) if media else None,
        ),
        content_hash=hasher(wanted, media),
        media_bytes=media_bytes,
        given=given,
        refusal=refusal,
    )


def _look_at_media(
    chunk: Chunk, spec: EmbeddingSpec, what: str
) -> tuple[tuple[StoredMedia, ...], dict[str, bytes]]:
    """Return what is stored of a chunk's media, and the bytes among it that have no path."""
    looked = [stored_media(part, what=what) for part in as_media(chunk.media, what=what)]
    parts = tuple(part for part, _ in looked)
    if chunk.vector is None and not spec.is_external:
        check_media(parts, spec, what=what)
    return parts, {part.sha256: data for part, data in looked if data is not None}


def _take_ours(
    chunk: Chunk, whose: str
) -> tuple[Mapping[str, Any], str | None, EmbeddingStatus | None]:
    """Return the metadata without what is not the user's, and that; the chunk's fields come first."""
    metadata, source, status = chunk.metadata, chunk.vector_source, chunk.embedding_status
    if isinstance(metadata, dict) and _OURS.isdisjoint(metadata):
        return metadata, source, status
    metadata = copy_metadata(metadata, what=whose)
    taken = metadata.pop(VECTOR_SOURCE, None)
    found = metadata.get(EMBEDDING_STATUS)
    # A plain string of the same letters is the user's own value.
    if isinstance(found, EmbeddingStatus):
        del metadata[EMBEDDING_STATUS]
        status = status or found
    return metadata, taken if source is None else source, status


def _refusal(chunk: Chunk, what: str) -> str:
    """Return why a chunk is saved as FAILED."""
    if chunk.vector is not None:
        raise InvalidInputError(
            f"{what} says FAILED but has a vector. Leave one of them out. Nothing was saved."
        )
    if chunk.error_message is None:
        return "saved as FAILED"
    check_text(chunk.error_message, what=f"the error message of {what}")
    return chunk.error_message


def _check_embeddable(
    wanted: str, status: EmbeddingStatus | None, spec: EmbeddingSpec, what: str
) -> None:
    """Check that a chunk without a vector can get one."""
    check_length(wanted, spec, what=what)
    if spec.is_external:
        raise NotBatchableError(
            f"{what} has no vector, and its collection belongs to the foreign embedder "
            f"{spec.model!r}: the Batch API cannot make its vectors. Save it with its vector, "
            "or use a collection with the spec of a provider. Nothing was saved."
        )
    if status is _READY:
        raise InvalidInputError(
            f"{what} says READY but has no vector. Leave embedding_status out: it becomes "
            "READY by itself where its vector is known. Nothing was saved."
        )
