"""How many chunks are in which state: kept in a table, so that asking reads a handful of rows.

Whatever inserts, deletes or moves chunks says so here, in the same transaction.
"""

from collections import Counter
from typing import NamedTuple

from semantic_core.database.conditions import IS_CACHED
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_value
from semantic_core.domain.spec import absent_vector_key
from semantic_core.domain.statuses import EmbeddingStatus


class ChunkState(NamedTuple):
    """What is counted: a collection's chunks of one status, with or without a serving vector."""

    collection_id: int
    status: EmbeddingStatus
    is_served: bool


def count_changes(connection: Connection, changes: Counter[ChunkState]) -> None:
    """Add to the counts; a negative number takes away."""
    connection.executemany(
        "INSERT INTO chunk_counts (collection_id, embedding_status, is_served, chunks) "
        "VALUES (?, ?, ?, ?) ON CONFLICT (collection_id, embedding_status, is_served) "
        "DO UPDATE SET chunks = chunk_counts.chunks + excluded.chunks",
        # In one order, or two savers on PostgreSQL could each wait for a row that the other has.
        [(*state, number) for state, number in sorted(changes.items()) if number],
    )


def move_counts(
    connection: Connection, chunks: list[tuple[int, int | None]], *, to: EmbeddingStatus
) -> None:
    """Note that chunks, given as (collection, embedding), went between PENDING and FAILED.

    The number itself: SQLite takes every column for NOT NULL that a RETURNING asks IS NOT NULL of,
    where the first column of the table is.
    """
    came_from = EmbeddingStatus.FAILED if to is EmbeddingStatus.PENDING else EmbeddingStatus.PENDING
    changes: Counter[ChunkState] = Counter()
    for collection_id, embedding_id in chunks:
        is_served = embedding_id is not None
        changes[ChunkState(collection_id, to, is_served)] += 1
        changes[ChunkState(collection_id, came_from, is_served)] -= 1
    count_changes(connection, changes)


def read_counts(
    connection: Connection, collection_id: int | None
) -> dict[tuple[EmbeddingStatus, bool], int]:
    """Return how many chunks are in each (status, is served), in one collection or in all."""
    return {
        (EmbeddingStatus.read(status), bool(is_served)): count
        for status, is_served, count in connection.execute(
            "SELECT embedding_status, is_served, sum(chunks) FROM chunk_counts "
            "WHERE collection_id = :collection OR :collection IS NULL "
            "GROUP BY embedding_status, is_served",
            {"collection": collection_id},
        )
    }


def recount(connection: Connection, *, write: bool) -> int:
    """Return how many counts differ from the rows, and set them right if asked."""
    anew = (
        "SELECT collection_id, embedding_status, embedding_id IS NOT NULL, count(*) "
        "FROM chunks GROUP BY 1, 2, 3"
    )
    columns = "collection_id, embedding_status, is_served, chunks"
    kept = f"SELECT {columns} FROM chunk_counts WHERE chunks <> 0"
    differing = set(connection.execute(anew)) ^ set(connection.execute(kept))
    if write:
        connection.execute("DELETE FROM chunk_counts")
        connection.execute(f"INSERT INTO chunk_counts ({columns}) {anew}")
    return len({row[:3] for row in differing})


def read_served(connection: Connection, collection_id: int) -> int:
    """Return how many chunks of a collection have a serving vector that is here."""
    counts = read_counts(connection, collection_id)
    served = sum(count for (_, is_served), count in counts.items() if is_served)
    return served - count_absent(connection, collection_id)


def count_absent(connection: Connection, collection_id: int) -> int:
    """Return how many chunks of a collection have a vector that only its targets have."""
    absent = absent_vector(connection, collection_id)
    return int(
        first_value(connection, "SELECT count(*) FROM chunks WHERE embedding_id = ?", (absent,))
    )


def absent_vector(connection: Connection, collection_id: int) -> int | None:
    """Return what stands for the vectors that only the targets of a collection have, if any."""
    key = absent_vector_key(collection_id)
    sql = "SELECT e.id FROM embeddings e JOIN contents k ON k.id = e.content_id WHERE k.hash = ?"
    row = connection.execute(f"{sql} AND e.{IS_CACHED}", (key,)).fetchone()
    return None if row is None else int(row[0])
