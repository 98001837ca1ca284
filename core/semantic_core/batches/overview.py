from semantic_core.batches.manager import BatchManager
from semantic_core.batches.receipts import spent_this_month
from semantic_core.database.port import Connection
from semantic_core.views.report import Overview

# Between the first chunk and now, as many as a curve shows at a glance.
_MOMENTS = 40


def look_over(manager: BatchManager) -> Overview:
    """Return what a report of a manager's database shows; it reads every chunk once. Needs no key."""
    now = manager.clock.now()
    with manager.store.database.snapshot() as connection:
        coverage = _coverage(connection, now=now)
        spent = spent_this_month(connection, now=now, prices=manager.config.prices)
    return Overview(
        database=manager.store.database.name,
        made_at=now,
        stats=manager.get_queue_stats(),
        coverage=coverage,
        receipt=manager.receipt(),
        spent_usd=spent,
        budget_usd=manager.config.monthly_budget_usd,
    )


def _coverage(connection: Connection, *, now: float) -> tuple[tuple[float, int, int], ...]:
    """Return how many chunks there were, by the time they came, and their vectors, likewise.

    A chunk that was changed since counts as found by vector from its last change on.
    """
    first = connection.execute("SELECT created_at FROM chunks ORDER BY pk LIMIT 1").fetchone()
    if first is None:
        return ()
    step = max(0.0, now - first[0]) / _MOMENTS
    moments = [now - step * back for back in range(_MOMENTS, -1, -1)]
    # All in one pass: what is grouped by time would be rounded in two ways by the two databases.
    sums = ", ".join(
        f"count(*) FILTER (WHERE created_at <= :t{number}), "
        f"count(*) FILTER (WHERE embedding_id IS NOT NULL AND updated_at <= :t{number})"
        for number in range(len(moments))
    )
    values = {f"t{number}": moment for number, moment in enumerate(moments)}
    row = connection.execute(f"SELECT {sums} FROM chunks", values).fetchone()
    return tuple(zip(moments, row[::2], row[1::2], strict=True))
