"""Counting the queue; every figure comes from an index over what is not READY."""

from __future__ import annotations

import sqlite3

from semantic_core.queue.jobs import list_jobs
from semantic_core.types import QueueStats

_SCOPE = "(:collection IS NULL OR collection_id = :collection)"


def read_stats(
    connection: sqlite3.Connection, *, collection_id: int | None, now: float
) -> QueueStats:
    """Return the state of the queue, of one collection or of the whole database."""
    values = {"collection": collection_id, "now": now}
    waiting, texts, backing_off, oldest = connection.execute(
        "SELECT count(*), count(DISTINCT content_hash), coalesce(sum(not_before > :now), 0), "
        "min(updated_at) FROM chunks WHERE embedding_status = 'PENDING' AND batch_job_id IS NULL "
        f"AND {_SCOPE}",
        values,
    ).fetchone()
    unready, pending, failed, stale = connection.execute(
        "SELECT count(*), coalesce(sum(embedding_status = 'PENDING'), 0), "
        "coalesce(sum(embedding_status = 'FAILED'), 0), coalesce(sum(vector_key IS NOT NULL), 0) "
        f"FROM chunks WHERE embedding_status <> 'READY' AND {_SCOPE}",
        values,
    ).fetchone()
    (total,) = connection.execute(f"SELECT count(*) FROM chunks WHERE {_SCOPE}", values).fetchone()
    failures = connection.execute(
        "SELECT error_message, count(*) FROM chunks WHERE embedding_status = 'FAILED' "
        f"AND {_SCOPE} GROUP BY error_message ORDER BY count(*) DESC, error_message",
        values,
    ).fetchall()
    jobs = tuple(list_jobs(connection, only_open=True))
    return QueueStats(
        waiting=waiting,
        waiting_texts=texts,
        backing_off=backing_off,
        in_flight=pending - waiting,
        ready=total - unready,
        failed=failed,
        stale=stale,
        oldest_waiting=oldest,
        open_jobs=jobs,
        held_jobs=tuple(job for job in jobs if job.hold_reason is not None),
        failures=tuple(failures),
    )
