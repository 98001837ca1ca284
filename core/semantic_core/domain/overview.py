"""A database as a whole, at one moment: what a report shows."""

from dataclasses import dataclass

from semantic_core.domain.receipts import Receipt
from semantic_core.domain.types import QueueStats, StoredChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageAt:
    """Of the chunks that are here now: how many were, at a moment, and with a vector."""

    moment: float
    chunks: int
    by_vector: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What waits, runs and failed, what it cost, and how coverage came to be.

    Attributes:
        database: its path or URL, without a password.
        made_at: epoch seconds.
        coverage: oldest first; empty where there is no chunk.
        receipt: of all jobs of the database.
        failed: the first of the failed chunks.
        spent_usd: what counts against this month's budget (UTC).
        budget_usd: this month's budget; None for no limit.
    """

    database: str
    made_at: float
    stats: QueueStats
    coverage: tuple[CoverageAt, ...]
    receipt: Receipt
    failed: tuple[StoredChunk, ...]
    spent_usd: float
    budget_usd: float | None
