"""Back-filling: pages of vectors, each written in one bounded transaction."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from reprlib import repr as short

import numpy as np

from semantic_core.database import IDS, id_set
from semantic_core.database.conditions import IS_CACHED, IS_CARRIED
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column
from semantic_core.database.strategies import Database
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import (
    InvalidInputError,
    InvalidVectorError,
    NotBatchableError,
    UnknownCollectionError,
)
from semantic_core.domain.pages import pages
from semantic_core.domain.reports import BulkReport, RefusedVector
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import VectorOrigin
from semantic_core.domain.types import VectorLike
from semantic_core.domain.validation import check_vector, listed
from semantic_core.queue.contents import content_ids, note_contents
from semantic_core.queue.items import finish_items
from semantic_core.queue.vectors import ArrivedVector, store_vectors

_HASH_BYTES = 32

# A vector is stored as it arrived where its length is 1 within float32 rounding.
_UNIT_TOLERANCE = 1e-3


def apply_vectors(
    database: Database,
    items: Iterable[tuple[str, VectorLike]],
    *,
    spec: EmbeddingSpec,
    job_id: str | None,
    origin: VectorOrigin,
    clock: Clock,
    ahead: Callable[[Connection], AbstractContextManager[None]],
) -> BulkReport:
    """Check and write vectors page by page; see ``BaseVectorStore``, `ahead` too."""
    if spec.is_external:
        raise NotBatchableError(
            f"The vectors of the foreign embedder {spec.model!r} cannot be stored by content hash. "
            "Save its chunks with their vectors."
        )
    with database.snapshot() as connection:
        space_of(connection, spec)
    applied = ready = 0
    refused: list[RefusedVector] = []
    if not isinstance(items, Iterable):
        raise InvalidInputError(f"items is a {type(items).__name__}. Pass (hash, vector) pairs.")
    for page in pages(items):
        vectors: list[tuple[bytes, bytes]] = []
        for item in page:
            if not isinstance(item, tuple | list) or len(item) != 2:
                raise InvalidInputError("items holds what is no (content hash, vector) pair.")
            content_hash, vector = item
            try:
                vectors.append(_checked(content_hash, vector, spec))
            except InvalidVectorError as error:
                refused.append(RefusedVector(content_hash=content_hash, reason=str(error)))
        with database.transaction() as connection, ahead(connection):
            contents, _ = note_contents(connection, [key for key, _ in vectors])
            arrived = [ArrivedVector(content_id=contents[key], vector=one) for key, one in vectors]
            ready += write_page(
                connection, arrived, spec=spec, origin=origin, job_id=job_id, now=clock.now()
            )
        applied += len(arrived)
    return BulkReport(applied=applied, chunks_ready=ready, refused=tuple(refused))


def write_page(
    connection: Connection,
    arrived: Sequence[ArrivedVector],
    *,
    spec: EmbeddingSpec,
    origin: VectorOrigin,
    job_id: str | None,
    now: float,
) -> int:
    """Store a page of checked vectors, serve them, finish their items; return chunks made READY.

    Items of their texts are done in every job that carries them, wherever the vectors come from.
    """
    space_id = space_of(connection, spec)
    ready = store_vectors(connection, arrived, space_id=space_id, origin=origin, now=now)
    finish_items(connection, [vector.content_id for vector in arrived], job_id=job_id)
    return ready


def known_vectors(connection: Connection, content_hashes: Sequence[str]) -> set[str]:
    """Return which hashes (hex) have a stored vector or are carried by an open batch item."""
    hashes = [_key(text) for text in listed(content_hashes, what="content_hashes")]
    ids = content_ids(connection, hashes)
    known = set(
        first_column(
            connection,
            f"SELECT content_id FROM embeddings WHERE content_id IN {IDS} AND {IS_CACHED} UNION "
            f"SELECT content_id FROM batch_items WHERE {IS_CARRIED} AND content_id IN {IDS}",
            id_set(ids.values()),
        )
    )
    return {key.hex() for key, content in ids.items() if content in known}


def space_of(connection: Connection, spec: EmbeddingSpec) -> int:
    """Return the vector space of a spec; where no collection has it, an UnknownCollectionError."""
    row = connection.execute(
        "SELECT id FROM spaces WHERE digest = ?", (spec.space_digest,)
    ).fetchone()
    if row is None:
        raise UnknownCollectionError(
            f"No collection has the spec of these vectors (model {spec.model!r}, "
            f"{spec.dimensions} dimensions). Open one with store.collection(name, spec) first."
        )
    return int(row[0])


def _checked(content_hash: str, vector: VectorLike, spec: EmbeddingSpec) -> tuple[bytes, bytes]:
    key = _key(content_hash)
    data = check_vector(vector, dimensions=spec.dimensions, what=f"vector {content_hash[:12]}")
    if spec.normalized:
        values = np.frombuffer(data, dtype="<f4").astype(np.float64)
        norm = float(np.linalg.norm(values))
        if abs(norm - 1.0) > _UNIT_TOLERANCE:
            data = (values / norm).astype("<f4").tobytes()
    return key, data


def _key(content_hash: str) -> bytes:
    try:
        key = bytes.fromhex(content_hash)
    except (ValueError, TypeError) as error:
        raise InvalidVectorError(f"{short(content_hash)} is not a content hash in hex.") from error
    if len(key) != _HASH_BYTES:
        raise InvalidVectorError(f"{short(content_hash)} is not a content hash of 32 bytes.")
    return key
