"""Spot checks: what was embedded live once more to see whether stored vectors can be trusted."""

from semantic_core.database.port import Connection
from semantic_core.database.queries import run
from semantic_core.database.tables import TABLES

_Check = TABLES.SpotCheckModel


def record_check(
    connection: Connection,
    *,
    job_id: str | None,
    model: str,
    texts: int,
    tokens: int,
    cost_usd: float | None,
    now: float,
) -> int:
    """Record a check before it is sent, so that no crash hides its price; return its number."""
    new = _Check.insert(
        job=job_id, model=model, texts=texts, tokens=tokens, cost_usd=cost_usd, created_at=now
    )
    ((number,),) = run(connection, new.returning(_Check.id)).fetchall()
    return int(number)


def forget_check(connection: Connection, number: int) -> None:
    """Remove a check that the provider refused: it cost nothing."""
    run(connection, _Check.delete().where(_Check.id == number))


def finish_check(
    connection: Connection, number: int, *, worst_cosine: float | None, is_passed: bool
) -> None:
    outcome = _Check.update(worst_cosine=worst_cosine, is_passed=is_passed)
    run(connection, outcome.where(_Check.id == number))


def has_passed(connection: Connection, job_id: str) -> bool:
    """Return whether a job was checked and found good, so that it is not paid for again."""
    passed = _Check.select(_Check.id).where(_Check.job == job_id, _Check.is_passed)
    return run(connection, passed.limit(1)).fetchone() is not None


def spent_on_checks(
    connection: Connection, since: float, *, until: float | None = None
) -> tuple[int, float | None]:
    """Return the tokens of the checks since then, and before ``until``, and their price.

    Both are estimated, since the provider does not count live calls. The price, at the live rate,
    is None if a model had no known one.
    """
    tokens, cost, unpriced = connection.execute(
        "SELECT coalesce(sum(tokens), 0), coalesce(sum(cost_usd), 0.0), "
        "count(*) FILTER (WHERE cost_usd IS NULL) FROM spot_checks "
        "WHERE created_at >= :since AND (created_at < :until OR :until IS NULL)",
        {"since": since, "until": until},
    ).fetchone()
    return tokens, None if unpriced else cost
