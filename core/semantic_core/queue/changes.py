"""Which serving vectors came, went or were replaced, so that every process's index can follow."""

from __future__ import annotations

from semantic_core.database.port import Connection

# An index that is further behind than this is read again from the rows, which costs no more.
KEPT = 100_000


def note_changed(connection: Connection, chunks: list[tuple[int, int]]) -> None:
    """Note chunks, given as (collection, row key), whose serving vector is another one or gone."""
    if not chunks:
        return
    connection.executemany("INSERT INTO changes (collection_id, chunk_pk) VALUES (?, ?)", chunks)
    _forget_old(connection)


def _forget_old(connection: Connection) -> None:
    # The newest row always stays, so the sequence never seems to begin anew.
    connection.execute(
        "DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?", (KEPT,)
    )
