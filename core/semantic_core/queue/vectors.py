"""Stored vectors: a chunk becomes READY when its vector arrives, and drops its older one."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from semantic_core.database import HASHES, hash_set
from semantic_core.database.conditions import IS_PAID, WANTS
from semantic_core.database.port import Connection
from semantic_core.database.queries import json_set
from semantic_core.domain.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.queue.changes import note_changed, note_wishes
from semantic_core.queue.counts import ChunkState, count_changes


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedVector:
    """A checked vector: float32 little-endian bytes under the content hash it belongs to."""

    content_hash: bytes
    vector: bytes
    token_count: int | None = None


class _Wanting(NamedTuple):
    """A chunk that waits for the vector of its text."""

    pk: int
    collection_id: int
    content_hash: bytes
    vector_key: bytes | None
    status: str


def store_vectors(
    connection: Connection,
    arrived: Sequence[ArrivedVector],
    *,
    space_id: int,
    origin: VectorOrigin,
    now: float,
) -> int:
    """Store vectors under their content hash and serve them; return how many chunks became READY.

    A vector that is already there stays as it is, and serves too.
    """
    wanting = _wanting(connection, [vector.content_hash for vector in arrived])
    wanted = {chunk.content_hash for chunk in wanting}
    # Written once: setting unreferenced_since later would write every vector a second time.
    stored = connection.insert(
        "embeddings",
        (
            *("key", "space_id", "vector", "origin", "token_count", "created_at"),
            "unreferenced_since",
        ),
        [
            (
                vector.content_hash,
                space_id,
                vector.vector,
                origin,
                vector.token_count,
                now,
                None if vector.content_hash in wanted else now,
            )
            for vector in arrived
        ],
        ending="ON CONFLICT (key) DO NOTHING RETURNING id",
    )
    if len(stored) < len(arrived):
        use_vectors(connection, wanted)
    return _serve(connection, wanting, now=now)


def serve_vectors(connection: Connection, content_hashes: Sequence[bytes], *, now: float) -> int:
    """Make every chunk READY that wants one of these stored vectors; return how many were made."""
    wanting = _wanting(connection, content_hashes)
    use_vectors(connection, {chunk.content_hash for chunk in wanting})
    return _serve(connection, wanting, now=now)


def _wanting(connection: Connection, content_hashes: Sequence[bytes]) -> list[_Wanting]:
    return [
        _Wanting(*row)
        for row in connection.execute(
            "SELECT pk, collection_id, content_hash, vector_key, embedding_status FROM chunks "
            f"WHERE content_hash IN {HASHES} AND {WANTS}",
            hash_set(content_hashes),
        )
    ]


def _serve(connection: Connection, wanting: Sequence[_Wanting], *, now: float) -> int:
    """Give chunks the stored vector of the text they have now.

    Matched by hash alone: a chunk whose text changed meanwhile wants another, and stays as it is.
    """
    if not wanting:
        return 0
    made = connection.execute(
        "UPDATE chunks SET embedding_status = 'READY', vector_key = content_hash, "
        "batch_job_id = NULL, not_before = NULL, error_message = NULL, updated_at = :now "
        f"WHERE pk IN (SELECT CAST(value AS BIGINT) FROM json_each(:pks)) AND {WANTS}",
        {"now": now, "pks": json_set(chunk.pk for chunk in wanting)},
    ).rowcount
    note_changed(connection, [(chunk.collection_id, chunk.pk) for chunk in wanting])
    first = [chunk.pk for chunk in wanting if chunk.vector_key is None]
    again = [chunk.pk for chunk in wanting if chunk.vector_key is not None]
    note_wishes(connection, first, may_be_there=False, now=now)
    note_wishes(connection, again, may_be_there=True, now=now)
    changes: Counter[ChunkState] = Counter()
    for chunk in wanting:
        status = EmbeddingStatus.read(chunk.status)
        changes[ChunkState(chunk.collection_id, status, chunk.vector_key is not None)] -= 1
        changes[ChunkState(chunk.collection_id, EmbeddingStatus.READY, True)] += 1
    count_changes(connection, changes)
    stale = [chunk.vector_key for chunk in wanting if chunk.vector_key is not None]
    release_vectors(connection, stale, now=now)
    return made


def use_vectors(connection: Connection, keys: Collection[bytes]) -> None:
    """Note that chunks use these vectors again, so that they are not pruned."""
    if not keys:
        return
    connection.execute(
        "UPDATE embeddings SET unreferenced_since = NULL "
        f"WHERE key IN {HASHES} AND unreferenced_since IS NOT NULL",
        hash_set(keys),
    )


def release_vectors(connection: Connection, keys: Collection[bytes], *, now: float) -> None:
    """Note that chunks no longer use these vectors.

    A provider's vector was paid for and stays as cache; a given one goes with its last chunk, and
    so does what stands for those that only the targets have.
    """
    if not keys:
        return
    values = {**hash_set(keys), "now": now}
    let_go = f"key IN {HASHES} AND NOT EXISTS (SELECT 1 FROM chunks WHERE vector_key = key)"
    connection.execute(f"DELETE FROM embeddings WHERE {let_go} AND NOT {IS_PAID}", values)
    connection.execute(
        "UPDATE embeddings SET unreferenced_since = :now "
        f"WHERE {let_go} AND unreferenced_since IS NULL",
        values,
    )
