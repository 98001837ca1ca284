"""What is asked for once more: FAILED or READY to PENDING, and an end to waiting for a time."""

from collections import Counter

from semantic_core.database.conditions import IS_CACHED, IS_FAILED, USES_BUDGET, WAITS
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column, first_value
from semantic_core.database.strategies import Sql
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.queue.budget import forgive
from semantic_core.queue.claims import forget_passed
from semantic_core.queue.counts import (
    ChunkState,
    absent_vector,
    count_changes,
    move_counts,
    waiting_moves,
)
from semantic_core.queue.items import carrying_job
from semantic_core.queue.vectors import serve_vectors

# Failed at the provider; what was saved as FAILED (a blank one, say) never reached it.
_FAILED_THERE = (
    f"{IS_FAILED} AND EXISTS (SELECT 1 FROM batch_items i "
    f"WHERE i.content_id = c.content_id AND {USES_BUDGET})"
)


def count_failed_chunks(connection: Connection) -> int:
    """Return how many chunks `retry_failed_chunks` would let try again."""
    return int(first_value(connection, f"SELECT count(*) FROM chunks c WHERE {_FAILED_THERE}"))


def retry_failed_chunks(connection: Connection, *, collection_id: int | None, now: float) -> int:
    """Give every text that failed at the provider a new budget; return chunks made PENDING.

    A chunk that was saved as FAILED (a blank one, say) never reached the provider and stays.
    A chunk whose text an open job carries waits for that job.
    """
    values = {"now": now, "collection": collection_id}
    chosen = f"{_FAILED_THERE} AND (collection_id = :collection OR :collection IS NULL)"
    contents = set(
        first_column(connection, f"SELECT content_id FROM chunks c WHERE {chosen}", values)
    )
    with waiting_moves(connection, contents):
        changed = connection.execute(
            "UPDATE chunks AS c SET embedding_status = 'PENDING', error_message = NULL, "
            f"not_before = NULL, updated_at = :now, batch_job_id = {carrying_job('c.content_id')} "
            f"WHERE {chosen} RETURNING collection_id, embedding_id",
            values,
        ).fetchall()
    forgive(connection, contents)
    move_counts(connection, changed, to=EmbeddingStatus.PENDING)
    return len(changed)


def ask_again(connection: Connection, collection_id: int, chosen: Sql, *, now: float) -> None:
    """Let chunks ``c`` whose vectors only targets have wait for new ones.

    One whose vector came back meanwhile is READY with it. The others stay served as stale.
    """
    taken = (
        f"c.collection_id = ? AND {chosen.sql} AND c.embedding_status = 'READY' "
        "AND c.embedding_id = ?"
    )
    values = (collection_id, *chosen.values, absent_vector(connection, collection_id))
    contents = set(
        first_column(connection, f"SELECT c.content_id FROM chunks c WHERE {taken}", values)
    )
    with waiting_moves(connection, contents):
        waiting = connection.execute(
            "UPDATE chunks AS c SET embedding_status = 'PENDING', updated_at = ?, "
            f"batch_job_id = {carrying_job('c.content_id')} WHERE {taken}",
            (now, *values),
        ).rowcount
    ready, pending = EmbeddingStatus.READY, EmbeddingStatus.PENDING
    was, is_now = (ChunkState(collection_id, state, is_served=True) for state in (ready, pending))
    count_changes(connection, Counter({was: -waiting, is_now: waiting}))
    stored = first_column(
        connection,
        "SELECT DISTINCT e.content_id FROM chunks c JOIN embeddings e "
        f"ON e.content_id = c.content_id AND e.{IS_CACHED} "
        f"WHERE c.collection_id = ? AND {chosen.sql} AND c.embedding_status = 'PENDING'",
        (collection_id, *chosen.values),
    )
    serve_vectors(connection, stored, now=now)


_CLOSES = (
    "(not_before > :after OR (open_jobs > 0 AND :after <= :now)) "
    "AND model IN (SELECT s.model FROM spaces s JOIN collections c ON c.space_id = s.id "
    "WHERE c.id = :collection OR :collection IS NULL)"
)
_RESTS = f"{WAITS} AND not_before > :after AND (collection_id = :collection OR :collection IS NULL)"


def count_pauses(connection: Connection, *, now: float, beyond: float) -> tuple[int, int]:
    """Return how many chunks, and how many models, wait for longer than so many seconds."""
    values = {"collection": None, "now": now, "after": now + beyond}
    chunks = first_value(connection, f"SELECT count(*) FROM chunks WHERE {_RESTS}", values)
    models = first_value(connection, f"SELECT count(*) FROM ceilings WHERE {_CLOSES}", values)
    return chunks, models


def end_pauses(
    connection: Connection, *, collection_id: int | None, now: float, beyond: float = 0.0
) -> int:
    """Let what waits for a time, or after a 429 for a job to end, be sent at once.

    Only pauses that last ``beyond`` so many seconds from now. Returns how many chunks that frees.
    """
    values = {"collection": collection_id, "now": now, "after": now + beyond}
    models = connection.execute(
        "UPDATE ceilings SET not_before = NULL, open_jobs = 0, message = NULL, "
        f"noted_at = min(noted_at, :now) WHERE {_CLOSES} RETURNING model",
        values,
    ).fetchall()
    freed = 0
    for (model,) in set(models):
        # What a text of its own waits for is counted below.
        freed += first_value(
            connection,
            "SELECT count(*) FROM chunks k JOIN collections c ON c.id = k.collection_id "
            f"JOIN spaces s ON s.id = c.space_id AND s.model = :model WHERE {WAITS} "
            "AND (k.not_before IS NULL OR k.not_before <= :after) "
            "AND (c.id = :collection OR :collection IS NULL)",
            {**values, "model": model},
        )
        forget_passed(connection, model)
    ended = connection.execute(f"UPDATE chunks SET not_before = NULL WHERE {_RESTS}", values)
    return int(freed + ended.rowcount)
