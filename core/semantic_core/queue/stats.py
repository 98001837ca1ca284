"""Counting the queue: numbers that are kept; only what rests or failed is looked at."""

from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from operator import itemgetter

from semantic_core.database.conditions import IS_FAILED, WAITING_ORDER, WAITS
from semantic_core.database.port import Connection
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, Obstacle
from semantic_core.domain.types import BatchJob, PassedOver, QueueStats, TargetStatus
from semantic_core.providers.facts import LIMITS
from semantic_core.queue.budget import LONGEST_PAUSE
from semantic_core.queue.counts import read_counts
from semantic_core.queue.jobs import list_jobs

_SCOPE = "(collection_id = :collection OR :collection IS NULL)"
_OF_COLLECTION = "(c.id = :collection OR :collection IS NULL)"

# A longer pause was noted while the clock was ahead, and is over.
_RESTS = f"(not_before > :now AND not_before <= :now + {LONGEST_PAUSE})"

_WAITING_OF = f"FROM chunks WHERE collection_id = c.id AND {WAITS} AND"
# Of what waits for no time, the first entry of the index is the oldest.
_LOOKED_AT = f"""SELECT coalesce(sum(resting), 0), min(since), min(next_try) FROM (
    SELECT (SELECT count(*) {_WAITING_OF} {_RESTS}) AS resting,
        (SELECT min(updated_at) {_WAITING_OF} not_before IS NOT NULL) AS since,
        (SELECT min(not_before) {_WAITING_OF} {_RESTS}) AS next_try
    FROM collections c WHERE {_OF_COLLECTION}
    UNION ALL SELECT 0, (SELECT updated_at {_WAITING_OF} not_before IS NULL
        ORDER BY {WAITING_ORDER} LIMIT 1), NULL
    FROM collections c WHERE {_OF_COLLECTION}) AS looked_at"""


def read_stats(connection: Connection, *, collection_id: int | None, now: float) -> QueueStats:
    values = {"collection": collection_id, "now": now}
    texts, waiting = connection.execute(
        "SELECT coalesce(sum(texts), 0), coalesce(sum(chunks), 0) FROM waiting_counts "
        "WHERE collection_id = coalesce(:collection, 0)",
        values,
    ).fetchone()
    backing_off, oldest, next_try = connection.execute(_LOOKED_AT, values).fetchone()
    failures = connection.execute(
        "SELECT error_message, count(*) FROM chunks "
        f"WHERE {IS_FAILED} AND {_SCOPE} GROUP BY error_message ORDER BY count(*) DESC, error_message",
        values,
    ).fetchall()
    counts = read_counts(connection, collection_id)
    in_status = {
        status: counts.get((status, True), 0) + counts.get((status, False), 0)
        for status in EmbeddingStatus
    }
    jobs = tuple(list_jobs(connection, only_open=True))
    return QueueStats(
        waiting=waiting,
        waiting_texts=texts,
        backing_off=backing_off,
        in_flight=in_status[EmbeddingStatus.PENDING] - waiting,
        ready=in_status[EmbeddingStatus.READY],
        failed=in_status[EmbeddingStatus.FAILED],
        stale=sum(
            count
            for (status, is_served), count in counts.items()
            if is_served and status is not EmbeddingStatus.READY
        ),
        oldest_waiting=oldest,
        open_jobs=jobs,
        held_jobs=tuple(job for job in jobs if job.hold_reason is not None),
        overdue_jobs=tuple(job for job in jobs if _is_overdue(job, now)),
        expiring_jobs=tuple(job for job in jobs if is_expiring(job, now)),
        failures=tuple(failures),
        next_try=next_try,
        passed_over=tuple(_passed_over(connection, collection_id)),
        targets=read_targets(connection, collection_id),
    )


def read_targets(
    connection: Connection, collection_id: int | None = None
) -> tuple[TargetStatus, ...]:
    """Return the targets of one collection, or of all, with what they lack, by name."""
    rows = connection.execute(
        "SELECT t.name, t.kind, k.name, count(o.seq), min(o.noted_at), count(o.error), "
        "coalesce(t.error, max(o.error)), t.filled_pk IS NOT NULL FROM targets t "
        "JOIN collections k ON k.id = t.collection_id LEFT JOIN outbox o ON o.target_id = t.id "
        f"WHERE {_SCOPE} GROUP BY t.id, t.name, t.kind, k.name, t.error, t.filled_pk ORDER BY t.name",
        {"collection": collection_id},
    )
    names = [field.name for field in fields(TargetStatus)]
    return tuple(
        TargetStatus(**dict(zip(names, (*row, bool(is_filling)), strict=True)))
        for *row, is_filling in rows
    )


def _passed_over(connection: Connection, collection_id: int | None) -> Iterator[PassedOver]:
    """Yield what flushes skip, the longest skipped first."""
    rows = connection.execute(
        "SELECT s.passed_at, s.id, s.model, s.obstacle, s.passed_over, c.name FROM spaces s "
        "JOIN collections c ON c.space_id = s.id "
        "JOIN waiting_counts w ON w.collection_id = c.id AND w.chunks > 0 "
        f"WHERE s.passed_over IS NOT NULL AND {_OF_COLLECTION} ORDER BY s.passed_at, s.id, c.name",
        {"collection": collection_id},
    )
    for (since, _, model, obstacle, why), group in groupby(rows, key=itemgetter(slice(5))):
        yield PassedOver(
            collections=tuple(row[5] for row in group),
            model=model,
            obstacle=Obstacle.read(obstacle),
            why=why,
            since=since,
        )


def _is_overdue(job: BatchJob, now: float) -> bool:
    return (
        job.hold_reason is None
        and job.finished_at is None
        and job.submitted_at is not None
        and now - job.submitted_at > LIMITS.job_target
    )


def is_expiring(job: BatchJob, now: float) -> bool:
    """Return whether an open job's results were to be had for a long time and are not stored."""
    return (
        job.is_open
        and job.hold_reason in (None, HoldReason.BAD_RESULTS)
        and job.finished_at is not None
        and now - job.finished_at > LIMITS.result_warning
    )
