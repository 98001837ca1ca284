"""How many chunks are in which state: kept in a table, so that asking reads a handful of rows.

Whatever inserts, deletes or moves chunks says so here, in the same transaction.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from semantic_core.database import IDS, id_set
from semantic_core.database.conditions import IS_CACHED, WANTS
from semantic_core.database.counted import COUNTED, count_anew, waiting
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_value
from semantic_core.domain.spec import absent_vector_key
from semantic_core.domain.statuses import EmbeddingStatus

_SUMS = ("texts", "chunks", "tokens", "repeated_tokens", "pictures")
_ADD = (
    f"INSERT INTO waiting_counts (space_id, collection_id, {', '.join(_SUMS)}) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (space_id, collection_id) DO UPDATE SET "
    + ", ".join(f"{name} = waiting_counts.{name} + excluded.{name}" for name in _SUMS)
)


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


# What waits of some contents: a row of the table `waiting_counts`, its key first.
WaitingSums = tuple[int, ...]


def read_waiting(
    connection: Connection, contents: Collection[int], *, sign: int = 1
) -> list[WaitingSums]:
    """Return what waits of these contents; with the sign -1 as what takes it away."""
    if not contents:
        return []
    rows = connection.execute(waiting(f"AND {WANTS} AND content_id IN {IDS}"), id_set(contents))
    return [(*row[:2], *(sign * number for number in row[2:])) for row in rows]


def count_waiting(connection: Connection, sums: list[WaitingSums]) -> None:
    """Add to what waits."""
    if sums:
        connection.executemany(_ADD, sorted(sums))


@contextmanager
def waiting_moves(connection: Connection, contents: Collection[int]) -> Iterator[list[WaitingSums]]:
    """Count what a block lets wait of these contents, and what it lets wait no more.

    It is given a list for what it knows of others.
    """
    sums = read_waiting(connection, contents, sign=-1)
    yield sums
    count_waiting(connection, sums + read_waiting(connection, contents))


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
    differing = set()
    for table, (key, anew) in COUNTED.items():
        kept = {row for row in connection.execute(f"SELECT * FROM {table}") if any(row[key:])}
        differing |= {(table, *row[:key]) for row in kept ^ set(connection.execute(anew))}
    if write:
        count_anew(connection)
    return len(differing)


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
