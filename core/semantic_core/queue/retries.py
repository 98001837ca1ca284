"""FAILED to PENDING, when a person asks for it."""

from __future__ import annotations

import sqlite3

from semantic_core.queue.budget import USES_BUDGET, forgive
from semantic_core.queue.counts import move_counts
from semantic_core.statuses import EmbeddingStatus

# Failed at the provider; what was saved as FAILED (a blank one, say) never reached it.
_FAILED_THERE = (
    "embedding_status = 'FAILED' AND EXISTS (SELECT 1 FROM batch_items i "
    f"WHERE i.content_hash = c.content_hash AND {USES_BUDGET})"
)


def count_failed_chunks(connection: sqlite3.Connection) -> int:
    """Return how many chunks `retry_failed_chunks` would let try again."""
    row = connection.execute(f"SELECT count(*) FROM chunks c WHERE {_FAILED_THERE}").fetchone()
    return int(row[0])


def retry_failed_chunks(
    connection: sqlite3.Connection, *, collection_id: int | None, now: float
) -> int:
    """Give every text that failed at the provider a new budget; return chunks made PENDING.

    A chunk that was saved as FAILED (a blank one, say) never reached the provider and stays.
    A chunk whose text an open job carries waits for that job.
    """
    hashes = [
        row[0]
        for row in connection.execute(
            f"SELECT DISTINCT content_hash FROM chunks c WHERE {_FAILED_THERE} "
            "AND (:collection IS NULL OR collection_id = :collection)",
            {"collection": collection_id},
        )
    ]
    changed = 0
    for content_hash in hashes:
        forgive(connection, content_hash)
        waiting = connection.execute(
            "UPDATE chunks SET embedding_status = 'PENDING', error_message = NULL, "
            "not_before = NULL, updated_at = :now, batch_job_id = (SELECT job_id FROM batch_items "
            "WHERE content_hash = :hash AND state = 'open') WHERE content_hash = :hash "
            "AND embedding_status <> 'READY' AND embedding_status = 'FAILED' "
            "AND (:collection IS NULL OR collection_id = :collection) "
            "RETURNING collection_id, vector_key IS NOT NULL",
            {"now": now, "collection": collection_id, "hash": content_hash},
        ).fetchall()
        move_counts(connection, waiting, to=EmbeddingStatus.PENDING)
        changed += len(waiting)
    return changed
