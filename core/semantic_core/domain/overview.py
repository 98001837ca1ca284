"""A database as a whole, at one moment: what a report shows."""

from dataclasses import dataclass

from semantic_core.domain.receipts import Receipt
from semantic_core.domain.types import QueueStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What waits, runs and failed, what it cost, and how coverage came to be.

    Attributes:
        database: its path or URL, without a password.
        made_at: epoch seconds.
        coverage: (moment, chunks by then, those found by vector by then), of the chunks that are
            here now, oldest first; empty where there is none.
        receipt: of all jobs of the database.
        spent_usd: what counts against this month's budget (UTC).
        budget_usd: this month's budget; None for no limit.
    """

    database: str
    made_at: float
    stats: QueueStats
    coverage: tuple[tuple[float, int, int], ...]
    receipt: Receipt
    spent_usd: float
    budget_usd: float | None
