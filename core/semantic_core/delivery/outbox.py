"""What a target is still to be told: one row a chunk, with the newest wish."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from semantic_core.database import among
from semantic_core.database.chunk_rows import COLUMNS, ChunkRow, stored_chunk
from semantic_core.database.conditions import IS_SERVED
from semantic_core.database.port import Connection
from semantic_core.delivery.target import TargetItem
from semantic_core.domain.pages import PAGE

# A row that fails alone is tried again after this many seconds, doubled each time up to a day.
_FIRST_PAUSE = 60.0
_LONGEST_PAUSE = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a target is to be told of one chunk.

    Attributes:
        seq: which wish: a later change of the chunk is another one.
        may_be_there: whether the target may hold the chunk.
        item: the chunk as it is now; None if the target is to have none of this id.
    """

    seq: int
    chunk_id: str
    may_be_there: bool
    tries: int
    item: TargetItem | None

    def handed_over(self) -> Self:
        """Return the same wish of a chunk that the target may hold now."""
        return replace(self, may_be_there=True)


def read_wishes(connection: Connection, target_id: int, *, now: float) -> list[Wish]:
    """Return a page of what is due, oldest first, each chunk as it is in this snapshot.

    A stale chunk is not due: the target keeps what it has until the vector of the new text is here.
    """
    rows = connection.execute(
        f"SELECT o.seq, o.chunk_id, o.may_be_there, o.tries, e.vector, {COLUMNS} FROM outbox o "
        "JOIN targets t ON t.id = o.target_id JOIN collections k ON k.id = t.collection_id "
        "LEFT JOIN chunks c ON c.collection_id = k.id AND c.chunk_id = o.chunk_id "
        "LEFT JOIN embeddings e ON e.id = c.embedding_id "
        "WHERE o.target_id = ? AND (o.not_before IS NULL OR o.not_before <= ?) AND "
        "(c.pk IS NULL OR c.embedding_id IS NULL OR c.embedding_status = 'READY') "
        "ORDER BY o.seq LIMIT ?",
        (target_id, now, PAGE),
    ).fetchall()
    return [
        Wish(
            seq=seq,
            chunk_id=chunk_id,
            may_be_there=bool(may_be_there),
            tries=tries,
            item=None
            if vector is None
            else TargetItem(
                chunk=stored_chunk(ChunkRow._make(chunk)), vector=np.frombuffer(vector, dtype="<f4")
            ),
        )
        for seq, chunk_id, may_be_there, tries, vector, *chunk in rows
    ]


def fill_page(connection: Connection, target_id: int, *, now: float) -> bool:
    """Note the next page of chunks that had a vector before; return whether it was the last."""
    collection_id, filled_pk, delivered_at = connection.execute(
        "SELECT collection_id, filled_pk, delivered_at FROM targets WHERE id = ?", (target_id,)
    ).fetchone()
    if filled_pk is None:
        return True
    # The plus keeps SQLite from an index by which it would sort the collection.
    served = f"FROM chunks WHERE +collection_id = ? AND pk > ? AND {IS_SERVED}"
    page = (collection_id, filled_pk, PAGE)
    found, last_pk = connection.execute(
        f"SELECT count(*), max(pk) FROM (SELECT pk {served} ORDER BY pk LIMIT ?) AS page", page
    ).fetchone()
    connection.execute(
        "INSERT INTO outbox (target_id, chunk_id, may_be_there, noted_at) "
        f"SELECT ?, chunk_id, ?, ? {served} ORDER BY pk LIMIT ? "
        "ON CONFLICT (target_id, chunk_id) DO NOTHING",
        (target_id, delivered_at is not None, now, *page),
    )
    is_done: bool = found < PAGE
    connection.execute(
        "UPDATE targets SET filled_pk = ? WHERE id = ?", (None if is_done else last_pk, target_id)
    )
    return is_done


def note_handing_over(connection: Connection, target_id: int, wishes: Sequence[Wish]) -> None:
    """Note, before a target gets chunks, that it may hold them from now on."""
    named = among("chunk_id", [wish.chunk_id for wish in wishes if not wish.may_be_there])
    connection.execute(
        f"UPDATE outbox SET may_be_there = TRUE WHERE target_id = ? AND {named.sql}",
        (target_id, *named.values),
    )


def forget_wishes(connection: Connection, target_id: int, wishes: Iterable[Wish]) -> None:
    """Forget what a target was told. What changed meanwhile is another wish, and stays."""
    named = among("seq", [wish.seq for wish in wishes])
    connection.execute(
        f"DELETE FROM outbox WHERE target_id = ? AND {named.sql}", (target_id, *named.values)
    )


def wish_again(connection: Connection, target_id: int, ids: Sequence[str], *, now: float) -> None:
    """Note that nobody knows what a target holds of these chunks."""
    connection.insert(
        "outbox",
        ("chunk_id", "target_id", "may_be_there", "noted_at"),
        [(chunk_id, target_id, True, now) for chunk_id in ids],
        ending="ON CONFLICT (target_id, chunk_id) "
        "DO UPDATE SET seq = excluded.seq, may_be_there = TRUE",
    )


def note_failure(connection: Connection, wish: Wish, error: str, *, now: float) -> None:
    """Note why a chunk alone was not taken, and when it is tried again."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(wish.tries, 20))
    connection.execute(
        "UPDATE outbox SET tries = tries + 1, not_before = ?, error = ? WHERE seq = ?",
        (now + pause, error, wish.seq),
    )
