"""Deleting chunks: row, text, full-text and index entry at once; the paid vector stays cached."""

from __future__ import annotations

import json
import sqlite3

from semantic_core.queue.vectors import release_vectors
from semantic_core.store.fulltext import Restriction, remove_rows

_PAGE = 1000


def delete_chunks(
    connection: sqlite3.Connection, restriction: Restriction, *, purge: bool, now: float
) -> int:
    """Delete the chunks that meet the restriction; return how many.

    Args:
        connection: within a transaction.
        restriction: a condition on ``chunks AS c``.
        purge: also delete the vectors that no other chunk uses.
        now: epoch seconds.
    """
    pks = [
        row[0]
        for row in connection.execute(
            f"SELECT c.pk FROM chunks c WHERE {restriction.sql}", restriction.values
        )
    ]
    for start in range(0, len(pks), _PAGE):
        _delete_page(connection, pks[start : start + _PAGE], purge=purge, now=now)
    return len(pks)


def _delete_page(
    connection: sqlite3.Connection, pks: list[int], *, purge: bool, now: float
) -> None:
    page = json.dumps(pks)
    wanted = connection.execute(
        "SELECT DISTINCT vector_key FROM chunks WHERE vector_key IS NOT NULL "
        "AND pk IN (SELECT value FROM json_each(?))",
        (page,),
    ).fetchall()
    hashes = connection.execute(
        "SELECT DISTINCT content_hash FROM chunks WHERE pk IN (SELECT value FROM json_each(?))",
        (page,),
    ).fetchall()
    remove_rows(connection, pks)
    connection.execute(
        "INSERT INTO changes (collection_id, chunk_pk) SELECT collection_id, pk FROM chunks "
        "WHERE vector_key IS NOT NULL AND pk IN (SELECT value FROM json_each(?))",
        (page,),
    )
    connection.execute("DELETE FROM chunks WHERE pk IN (SELECT value FROM json_each(?))", (page,))
    release_vectors(connection, [row[0] for row in wanted], now=now)
    if purge:
        connection.executemany(
            "DELETE FROM embeddings WHERE key = ? "
            "AND NOT EXISTS (SELECT 1 FROM chunks WHERE vector_key = embeddings.key)",
            {*wanted, *hashes},
        )
