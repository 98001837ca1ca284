"""What became of each text of a job, and what follows for the chunks that wait for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.database.port import Connection
from semantic_core.domain.statuses import TOO_LONG, BudgetUse, EmbeddingStatus, ItemState
from semantic_core.queue.budget import RetryBudget, used_budget
from semantic_core.queue.counts import move_counts

_LOOKUP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one open item ends without a vector.

    Attributes:
        content_hash: whose item.
        state: failed, missing or released.
        use: what it takes from the retry budget.
        error: the reason, in the provider's words where there are any.
        not_before: epoch seconds before which it is not sent again, or None for the budget's
            own delay.
    """

    content_hash: bytes
    state: ItemState
    use: BudgetUse = BudgetUse.NOTHING
    error: str | None = None
    not_before: float | None = None


def open_hashes(connection: Connection, job_id: str, limit: int, *, after: int = 0) -> list[bytes]:
    """Return up to ``limit`` content hashes that the job still carries, after an item id."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT content_hash FROM batch_items WHERE job_id = ? AND state = 'open' AND id > ? "
            "ORDER BY id LIMIT ?",
            (job_id, after, limit),
        )
    ]


def count_open(connection: Connection, job_id: str) -> int:
    """Return how many texts the job still carries."""
    row = connection.execute(
        "SELECT count(*) FROM batch_items WHERE job_id = ? AND state = 'open'", (job_id,)
    ).fetchone()
    return int(row[0])


def carried_tokens(
    connection: Connection, job_id: str, content_hashes: Sequence[bytes]
) -> dict[bytes, int]:
    """Return which of these hashes the job carries or carried, each with its estimated tokens."""
    marks = ", ".join("?" * len(content_hashes))
    return dict(
        connection.execute(
            "SELECT content_hash, tokens FROM batch_items "
            f"WHERE job_id = ? AND content_hash IN ({marks})",
            (job_id, *content_hashes),
        ).fetchall()
    )


def count_states(connection: Connection, job_id: str) -> dict[ItemState, int]:
    """Return how many of the job's items are in each state."""
    return {
        ItemState.read(state): count
        for state, count in connection.execute(
            "SELECT state, count(*) FROM batch_items WHERE job_id = ? GROUP BY state", (job_id,)
        )
    }


def finish_items(
    connection: Connection, content_hashes: Sequence[bytes], *, job_id: str | None = None
) -> int:
    """Mark the open items of these hashes as done, in whichever job; return how many there were.

    Args:
        connection: in a transaction that stores their vectors.
        content_hashes: whose items.
        job_id: the job that brought them, if one did: its own count as done even where another
            job was to bring them.
    """
    finished = connection.executemany(
        "UPDATE batch_items SET state = 'done' WHERE content_hash = ? AND state = 'open'",
        [(content_hash,) for content_hash in content_hashes],
    ).rowcount
    if job_id is not None:
        connection.executemany(
            "UPDATE batch_items SET state = 'done' "
            "WHERE content_hash = ? AND state = 'released' AND job_id = ?",
            [(content_hash, job_id) for content_hash in content_hashes],
        )
    return finished


def settle_items(
    connection: Connection,
    job_id: str,
    outcomes: Sequence[Outcome],
    *,
    budget: RetryBudget,
    now: float,
) -> int:
    """End open items without a vector; their chunks go back to the queue or to FAILED.

    A text that another job at the provider was sent, too, waits for that one instead. An item that is no longer open is left alone, so settling twice changes nothing.

    Returns:
        How many items were settled.
    """
    settled = 0
    for outcome in outcomes:
        changed = connection.execute(
            "UPDATE batch_items SET state = ?, budget_use = ?, error = ? "
            "WHERE job_id = ? AND content_hash = ? AND state = 'open'",
            (outcome.state, outcome.use, outcome.error, job_id, outcome.content_hash),
        ).rowcount
        if not changed:
            continue
        settled += 1
        if _pass_on(connection, job_id, outcome.content_hash):
            continue
        uses = used_budget(connection, outcome.content_hash)
        if budget.is_spent(uses):
            fail_chunks(connection, outcome.content_hash, outcome.error or "no tries left", now=now)
            continue
        not_before = outcome.not_before
        if not_before is None and outcome.use is not BudgetUse.NOTHING:
            not_before = now + budget.delay(uses)
        # updated_at stays: the chunk has waited since it was saved.
        connection.execute(
            "UPDATE chunks SET batch_job_id = NULL, not_before = ? WHERE content_hash = ? "
            "AND embedding_status <> 'READY' AND batch_job_id = ?",
            (not_before, outcome.content_hash, job_id),
        )
    return settled


def _pass_on(connection: Connection, job_id: str, content_hash: bytes) -> bool:
    """Give a text to an open job that carried it before; return whether there is one.

    That is a job that was listed late, or one that such a job took the text from.
    """
    taker = connection.execute(
        "SELECT i.id, j.id FROM batch_items i JOIN batch_jobs j ON j.id = i.job_id "
        "WHERE i.content_hash = ? AND i.state = 'released' AND j.id <> ? "
        "AND j.status IN ('SUBMITTED', 'PROCESSING') AND j.hold_reason IS NULL "
        "AND j.cancel_requested_at IS NULL LIMIT 1",
        (content_hash, job_id),
    ).fetchone()
    if taker is None:
        return False
    connection.execute("UPDATE batch_items SET state = 'open' WHERE id = ?", (taker[0],))
    connection.execute(
        "UPDATE chunks SET batch_job_id = ?, not_before = NULL WHERE content_hash = ? "
        "AND embedding_status <> 'READY' AND batch_job_id = ?",
        (taker[1], content_hash, job_id),
    )
    return True


def fail_chunks(connection: Connection, content_hash: bytes, error: str, *, now: float) -> int:
    """PENDING to FAILED for every chunk that wants this hash; return how many."""
    failed = connection.execute(
        "UPDATE chunks SET embedding_status = 'FAILED', error_message = ?, batch_job_id = NULL, "
        "not_before = NULL, updated_at = ? WHERE content_hash = ? "
        "AND embedding_status <> 'READY' AND embedding_status = 'PENDING' "
        "RETURNING collection_id, vector_key IS NOT NULL",
        (error, now, content_hash),
    ).fetchall()
    move_counts(connection, failed, to=EmbeddingStatus.FAILED)
    return len(failed)


def known_too_long(connection: Connection, content_hashes: Sequence[bytes]) -> dict[bytes, str]:
    """Return which texts their model did not take whole, under whatever id, and the reason."""
    found: dict[bytes, str] = {}
    for start in range(0, len(content_hashes), _LOOKUP):
        page = content_hashes[start : start + _LOOKUP]
        found |= dict(
            connection.execute(
                "SELECT content_hash, error_message FROM chunks "
                f"WHERE content_hash IN ({', '.join('?' * len(page))}) "
                "AND embedding_status <> 'READY' AND embedding_status = 'FAILED' "
                f"AND error_message LIKE '{TOO_LONG}%'",
                page,
            ).fetchall()
        )
    return found
