"""Stored vectors: a chunk becomes READY when its vector arrives, and drops its older one."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from semantic_core.database import IDS, id_set
from semantic_core.database.conditions import IS_CACHED, IS_PAID, IS_UNUSED, WAITS, WANTS
from semantic_core.database.port import Connection
from semantic_core.domain.statuses import EmbeddingStatus, VectorOrigin
from semantic_core.queue.changes import note_changed, note_wishes
from semantic_core.queue.counts import ChunkState, count_changes, count_waiting, read_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedVector:
    """A checked vector: float32 little-endian bytes, and the content that it belongs to."""

    content_id: int
    vector: bytes
    token_count: int | None = None


class _Wanting(NamedTuple):
    """A chunk that wants the vector of its text; one that waits is in no job."""

    pk: int
    collection_id: int
    content_id: int
    embedding_id: int | None
    status: str
    waits: bool


def store_vectors(
    connection: Connection,
    arrived: Sequence[ArrivedVector],
    *,
    space_id: int,
    origin: VectorOrigin,
    now: float,
) -> int:
    """Store vectors of noted contents and serve them; return how many chunks became READY.

    A vector that is already there stays as it is, and serves too.
    """
    wanting = _wanting(connection, {vector.content_id for vector in arrived})
    wanted = {chunk.content_id for chunk in wanting}
    # Written once: setting unreferenced_since later would write every vector a second time.
    stored = connection.insert(
        "embeddings",
        (
            *("content_id", "space_id", "vector", "origin", "token_count", "created_at"),
            "unreferenced_since",
        ),
        [
            (
                *(vector.content_id, space_id, vector.vector, origin, vector.token_count, now),
                None if vector.content_id in wanted else now,
            )
            for vector in arrived
        ],
        ending=f"ON CONFLICT (content_id) WHERE {IS_CACHED} DO NOTHING RETURNING id",
    )
    if len(stored) < len(arrived):
        use_vectors(connection, wanted)
    return _serve(connection, wanting, now=now)


def serve_vectors(connection: Connection, contents: Collection[int], *, now: float) -> int:
    """Make every chunk READY that wants a stored vector of these contents; return how many were."""
    wanting = _wanting(connection, contents)
    use_vectors(connection, {chunk.content_id for chunk in wanting})
    return _serve(connection, wanting, now=now)


def _wanting(connection: Connection, contents: Iterable[int]) -> list[_Wanting]:
    return [
        _Wanting(*row)
        for row in connection.execute(
            "SELECT pk, collection_id, content_id, embedding_id, embedding_status, "
            f"{WAITS} FROM chunks WHERE content_id IN {IDS} AND {WANTS}",
            id_set(contents),
        )
    ]


def _serve(connection: Connection, wanting: Sequence[_Wanting], *, now: float) -> int:
    """Give chunks the stored vector of the text they have now.

    Matched by content alone: a chunk whose text changed meanwhile wants another, and stays as it is.
    """
    if not wanting:
        return 0
    # None where a job brings them.
    waiting = {chunk.content_id for chunk in wanting if chunk.waits}
    count_waiting(connection, read_waiting(connection, waiting, sign=-1))
    made = connection.execute(
        "UPDATE chunks SET embedding_status = 'READY', embedding_id = (SELECT e.id "
        f"FROM embeddings e WHERE e.content_id = chunks.content_id AND e.{IS_CACHED}), "
        "batch_job_id = NULL, not_before = NULL, error_message = NULL, updated_at = :now "
        f"WHERE pk IN {IDS} AND {WANTS}",
        {"now": now, **id_set(chunk.pk for chunk in wanting)},
    ).rowcount
    note_changed(connection, [(chunk.collection_id, chunk.pk) for chunk in wanting])
    first = [chunk.pk for chunk in wanting if chunk.embedding_id is None]
    again = [chunk.pk for chunk in wanting if chunk.embedding_id is not None]
    note_wishes(connection, first, may_be_there=False, now=now)
    note_wishes(connection, again, may_be_there=True, now=now)
    changes: Counter[ChunkState] = Counter()
    for chunk in wanting:
        status = EmbeddingStatus.read(chunk.status)
        changes[ChunkState(chunk.collection_id, status, chunk.embedding_id is not None)] -= 1
        changes[ChunkState(chunk.collection_id, EmbeddingStatus.READY, True)] += 1
    count_changes(connection, changes)
    stale = [chunk.embedding_id for chunk in wanting if chunk.embedding_id is not None]
    release_vectors(connection, stale, now=now)
    return made


def use_vectors(connection: Connection, contents: Collection[int]) -> None:
    """Note that chunks use the vectors of these contents again, so that they are not pruned."""
    if not contents:
        return
    connection.execute(
        "UPDATE embeddings SET unreferenced_since = NULL "
        f"WHERE content_id IN {IDS} AND {IS_CACHED} AND unreferenced_since IS NOT NULL",
        id_set(contents),
    )


def release_vectors(connection: Connection, ids: Collection[int], *, now: float) -> None:
    """Note that chunks no longer use these vectors.

    A provider's vector was paid for and stays as cache; a given one goes with its last chunk, and
    so does what stands for those that only the targets have.
    """
    if not ids:
        return
    values = {**id_set(ids), "now": now}
    let_go = f"id IN {IDS} AND {IS_UNUSED}"
    connection.execute(f"DELETE FROM embeddings WHERE {let_go} AND NOT {IS_PAID}", values)
    connection.execute(
        "UPDATE embeddings SET unreferenced_since = :now "
        f"WHERE {let_go} AND unreferenced_since IS NULL",
        values,
    )
