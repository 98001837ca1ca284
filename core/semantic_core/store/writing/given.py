"""Vectors that the caller gives."""

from collections.abc import Mapping

from semantic_core.database import IDS, id_set
from semantic_core.database.conditions import IS_GIVEN
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection
from semantic_core.domain.errors import InvalidVectorError
from semantic_core.domain.statuses import VectorOrigin
from semantic_core.store.collections import fix_dimensions
from semantic_core.store.writing.known import Known
from semantic_core.store.writing.prepare import PreparedChunk


def store_given(
    connection: Connection,
    rows: list[PreparedChunk],
    known: Mapping[str, Known],
    collection: Collection,
    now: float,
) -> None:
    """Store the caller's vectors, each for its chunk alone: they never serve as cache."""
    size = len(rows[0].given or b"") // 4
    fix_dimensions(connection, collection.space_id, size)
    (dimensions,) = connection.execute(
        "SELECT dimensions FROM spaces WHERE id = ?", (collection.space_id,)
    ).fetchone()
    if size != dimensions:
        raise InvalidVectorError(
            f"The vectors have {size} dimensions, collection {collection.name!r} has "
            f"{dimensions}. Embed the texts with its model again. Nothing was saved."
        )
    stored = _given_before(connection, rows, known)
    waiting: dict[int, list[PreparedChunk]] = {}
    for row in rows:
        row.embedding_id = stored.get(row.chunk_id)
        if row.embedding_id is None:
            waiting.setdefault(row.content_id, []).append(row)
    while waiting:
        # The answer names contents, so that of two rows with one content each has a turn.
        turn = {content: left.pop() for content, left in waiting.items()}
        inserted = connection.insert(
            "embeddings",
            ("content_id", "space_id", "vector", "origin", "created_at"),
            [
                (content, collection.space_id, row.given, VectorOrigin.GIVEN, now)
                for content, row in turn.items()
            ],
            ending="RETURNING content_id, id",
        )
        for content, embedding_id in inserted:
            turn[content].embedding_id = embedding_id
        waiting = {content: left for content, left in waiting.items() if left}


def _given_before(
    connection: Connection, rows: list[PreparedChunk], known: Mapping[str, Known]
) -> dict[str, int]:
    """Return the vectors of chunks that are given the same one for the same content again."""
    again = {
        old.embedding_id: row
        for row in rows
        if (old := known.get(row.chunk_id)) is not None
        and old.embedding_id is not None
        and old.content_id == row.content_id
    }
    vectors = connection.execute(
        f"SELECT id, content_id, vector FROM embeddings WHERE id IN {IDS} AND {IS_GIVEN}",
        id_set(again),
    )
    return {
        again[key].chunk_id: key
        for key, content, vector in vectors
        if (content, vector) == (again[key].content_id, again[key].given)
    }
