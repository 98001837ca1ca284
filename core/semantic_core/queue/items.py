"""What became of each text of a job, and what follows for the chunks that wait for it.

SQL over sets: a result file settles thousands of texts, and statement by statement would be three
to six times the work on PostgreSQL.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from semantic_core.database import IDS, among, id_set, row_set, rows_of
from semantic_core.database.conditions import IS_CARRIED, IS_FAILED, OF_JOB, WANTS
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column, first_value
from semantic_core.domain.statuses import TOO_LONG, BudgetUse, EmbeddingStatus, ItemState
from semantic_core.queue.budget import RetryBudget, used_budgets
from semantic_core.queue.contents import content_ids
from semantic_core.queue.counts import move_counts, waiting_moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one open item ends without a vector.

    Attributes:
        use: what it takes from the retry budget.
        error: the reason, in the provider's words where there are any.
        not_before: epoch seconds before which it is not sent again; None for the budget's delay.
    """

    content_id: int
    state: ItemState
    use: BudgetUse = BudgetUse.NOTHING
    error: str | None = None
    not_before: float | None = None


def carrying_job(content: str) -> str:
    """Return SQL for the id of the job that carries a content; NULL where none does."""
    return (
        "(SELECT j.id FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
        f"WHERE i.content_id = {content} AND i.{IS_CARRIED})"
    )


def open_contents(connection: Connection, job_id: str, limit: int, *, after: int = 0) -> list[int]:
    """Return up to ``limit`` contents that the job still carries, after an item id."""
    return first_column(
        connection,
        f"SELECT content_id FROM batch_items WHERE {OF_JOB} AND {IS_CARRIED} AND id > :after "
        "ORDER BY id LIMIT :limit",
        {"job": job_id, "after": after, "limit": limit},
    )


def count_open(connection: Connection, job_id: str) -> int:
    sql = f"SELECT count(*) FROM batch_items WHERE {OF_JOB} AND {IS_CARRIED}"
    return int(first_value(connection, sql, {"job": job_id}))


def carried_texts(
    connection: Connection, job_id: str, content_hashes: Sequence[bytes]
) -> dict[bytes, tuple[int, int]]:
    """Return (content, estimated tokens) of those hashes that the job carries or carried."""
    ids = content_ids(connection, content_hashes)
    tokens = dict(
        connection.execute(
            f"SELECT content_id, tokens FROM batch_items WHERE {OF_JOB} AND content_id IN {IDS}",
            {"job": job_id, **id_set(ids.values())},
        ).fetchall()
    )
    return {key: (one, tokens[one]) for key, one in ids.items() if one in tokens}


def count_states(connection: Connection, job_id: str) -> dict[ItemState, int]:
    return {
        ItemState.read(state): count
        for state, count in connection.execute(
            f"SELECT state, count(*) FROM batch_items WHERE {OF_JOB} GROUP BY state",
            {"job": job_id},
        )
    }


def finish_items(
    connection: Connection, contents: Collection[int], *, job_id: str | None = None
) -> int:
    """Mark the open items of these contents as done, in whichever job; return how many there were.

    Those of the job that brought them, if one did, count as done even where another was to.
    """
    values = {**id_set(contents), "job": job_id}
    finished = connection.execute(
        f"UPDATE batch_items SET state = 'done' WHERE {IS_CARRIED} AND content_id IN {IDS}", values
    ).rowcount
    if job_id is not None:
        connection.execute(
            f"UPDATE batch_items SET state = 'done' WHERE {OF_JOB} AND state = 'released' "
            f"AND content_id IN {IDS}",
            values,
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

    A text that another job at the provider was sent, too, waits for that one instead. An item that
    is no longer open is left alone, so settling twice changes nothing. Returns how many were.
    """
    # Of two outcomes for one text the first counts.
    by_content = {outcome.content_id: outcome for outcome in reversed(outcomes)}
    rows = [(key, one.state, one.use, one.error) for key, one in by_content.items()]
    settled = first_column(
        connection,
        "UPDATE batch_items SET state = o.end_state, budget_use = o.end_use, error = o.why "
        f"FROM {rows_of(content='BIGINT', end_state='TEXT', end_use='TEXT', why='TEXT')} o "
        # The plus keeps SQLite from walking all of the job's open items for each row.
        f"WHERE +{OF_JOB} AND content_id = o.content AND {IS_CARRIED} RETURNING content_id",
        {"job": job_id, **row_set(rows)},
    )
    left = set(settled) - _pass_on(connection, job_id, settled)
    uses = used_budgets(connection, left)
    failed: dict[int, str] = {}
    waiting: list[tuple[int, float | None]] = []
    for content in left:
        outcome, used = by_content[content], uses.get(content, {})
        if budget.is_spent(used):
            failed[content] = outcome.error or "no tries left"
            continue
        not_before = outcome.not_before
        if not_before is None and outcome.use is not BudgetUse.NOTHING:
            not_before = now + budget.delay(used)
        waiting.append((content, not_before))
    fail_chunks(connection, failed, now=now)
    # updated_at stays: a chunk has waited since it was saved.
    with waiting_moves(connection, [content for content, _ in waiting]):
        connection.execute(
            "UPDATE chunks SET batch_job_id = NULL, not_before = w.until "
            f"FROM {rows_of(content='BIGINT', until='DOUBLE PRECISION')} w "
            f"WHERE content_id = w.content AND {WANTS} AND batch_job_id = :job",
            {"job": job_id, **row_set(waiting)},
        )
    return len(settled)


def _pass_on(connection: Connection, job_id: str, contents: Collection[int]) -> set[int]:
    """Give texts to open jobs that carried them before; return which have one.

    That is a job that was listed late, or one that such a job took the text from.
    """
    takers = dict(
        connection.execute(
            "SELECT i.content_id, i.id FROM batch_items i JOIN batch_jobs j ON j.pk = i.job_pk "
            f"WHERE i.content_id IN {IDS} AND i.state = 'released' AND j.id <> :job "
            "AND j.status IN ('SUBMITTED', 'PROCESSING') AND j.hold_reason IS NULL "
            "AND j.cancel_requested_at IS NULL",
            {**id_set(contents), "job": job_id},
        ).fetchall()
    )
    if takers:
        taken = among("id", list(takers.values()))
        connection.execute(f"UPDATE batch_items SET state = 'open' WHERE {taken.sql}", taken.values)
        connection.execute(
            f"UPDATE chunks SET not_before = NULL, batch_job_id = {carrying_job('chunks.content_id')} "
            f"WHERE content_id IN {IDS} AND {WANTS} AND batch_job_id = :job",
            {**id_set(takers), "job": job_id},
        )
    return set(takers)


def fail_chunks(connection: Connection, errors: Mapping[int, str], *, now: float) -> int:
    """PENDING to FAILED, with the reason, for every chunk that wants a content; return how many."""
    with waiting_moves(connection, errors):
        failed = connection.execute(
            "UPDATE chunks SET embedding_status = 'FAILED', error_message = e.why, "
            "batch_job_id = NULL, not_before = NULL, updated_at = :now "
            f"FROM {rows_of(content='BIGINT', why='TEXT')} e "
            f"WHERE content_id = e.content AND {WANTS} AND embedding_status = 'PENDING' "
            "RETURNING collection_id, embedding_id",
            {"now": now, **row_set(errors.items())},
        ).fetchall()
    move_counts(connection, failed, to=EmbeddingStatus.FAILED)
    return len(failed)


def known_too_long(connection: Connection, content_hashes: Sequence[bytes]) -> dict[bytes, str]:
    """Return which texts their model did not take whole, under whatever id, and the reason."""
    named = among("k.hash", content_hashes)
    return dict(
        connection.execute(
            "SELECT k.hash, c.error_message FROM contents k JOIN chunks c ON c.content_id = k.id "
            f"WHERE {named.sql} AND c.{WANTS} AND c.{IS_FAILED} "
            f"AND c.error_message LIKE '{TOO_LONG}%'",
            named.values,
        ).fetchall()
    )
