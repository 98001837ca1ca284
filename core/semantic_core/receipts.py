"""Money before and after: estimates of what waits, receipts of what was sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from semantic_core import notebook
from semantic_core.pricing import PriceTable
from semantic_core.queue.costs import reused_vectors, spent_since, waiting_tokens
from semantic_core.queue.jobs import list_jobs
from semantic_core.types import BatchJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What sending everything that waits would cost. Tokens are estimated: 4 bytes each.

    Attributes:
        chunks: waiting chunks.
        texts: distinct texts among them: what would be sent.
        tokens: of those texts.
        live_usd: their price at the live rate; None if a model has no known price.
        batch_usd: their price by batch; None likewise.
        repeated_tokens: what is not sent, because its text is among them already.
        priced_as_of: date of the prices.
    """

    chunks: int
    texts: int
    tokens: int
    live_usd: float | None
    batch_usd: float | None
    repeated_tokens: int
    priced_as_of: str

    def _repr_html_(self) -> str:
        return notebook.show_estimate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What batch jobs cost. Live embeddings are not in it: the provider does not count them.

    Attributes:
        jobs: the jobs created in that time, oldest first, each with its tokens.
        tokens: of jobs that are done, as the provider counted them.
        open_tokens: of jobs that still run, or whose cost nobody knows, estimated.
        texts: texts embedded by these jobs.
        batch_usd: price of ``tokens`` by batch; None if a model has no known price.
        live_usd: what the same would have cost live; None likewise.
        reused_chunks: chunks of the whole database that share a paid vector with another.
        reused_tokens: what those would have cost again.
        priced_as_of: date of the prices.
    """

    jobs: tuple[BatchJob, ...]
    tokens: int
    open_tokens: int
    texts: int
    batch_usd: float | None
    live_usd: float | None
    reused_chunks: int
    reused_tokens: int
    priced_as_of: str

    def _repr_html_(self) -> str:
        return notebook.show_receipt(self)

    @property
    def saved_usd(self) -> float | None:
        """What batching saved against embedding live, or None if a price is not known."""
        if self.live_usd is None or self.batch_usd is None:
            return None
        return self.live_usd - self.batch_usd


def estimate_waiting(
    connection: sqlite3.Connection, *, collection_id: int | None, prices: PriceTable
) -> Estimate:
    """Estimate what sending everything that waits would cost."""
    waiting = waiting_tokens(connection, collection_id=collection_id)
    costs = [prices.cost(part.model, part.tokens) for part in waiting]
    return Estimate(
        chunks=sum(part.chunks for part in waiting),
        texts=sum(part.texts for part in waiting),
        tokens=sum(part.tokens for part in waiting),
        live_usd=_sum([None if cost is None else cost.live_usd for cost in costs]),
        batch_usd=_sum([None if cost is None else cost.batch_usd for cost in costs]),
        repeated_tokens=sum(part.repeated_tokens for part in waiting),
        priced_as_of=prices.as_of,
    )


def write_receipt(
    connection: sqlite3.Connection,
    *,
    since: float,
    until: float | None = None,
    prices: PriceTable,
) -> Receipt:
    """Sum up the jobs created since a moment, and before another one."""
    spent = spent_since(connection, since, until=until)
    counted = [part for part in spent if not part.is_estimated]
    costs = [prices.cost(part.model, part.tokens) for part in counted]
    jobs = tuple(
        job
        for job in list_jobs(connection)
        if job.created_at >= since and (until is None or job.created_at < until)
    )
    chunks, tokens = reused_vectors(connection)
    return Receipt(
        jobs=jobs,
        tokens=sum(part.tokens for part in counted),
        open_tokens=sum(part.tokens for part in spent if part.is_estimated),
        texts=sum(job.done_count for job in jobs if job.token_count is not None),
        batch_usd=_sum([None if cost is None else cost.batch_usd for cost in costs]),
        live_usd=_sum([None if cost is None else cost.live_usd for cost in costs]),
        reused_chunks=chunks,
        reused_tokens=tokens,
        priced_as_of=prices.as_of,
    )


def spent_this_month(
    connection: sqlite3.Connection, *, now: float, price: Callable[[str, int], float | None]
) -> float:
    """Return what this month's jobs cost, or may: where nobody knows, they are taken as billed.

    A month is a calendar month in UTC.
    """
    moment = datetime.fromtimestamp(now, UTC)
    start = datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()
    return sum(
        part.cost_usd if part.cost_usd is not None else price(part.model, part.tokens) or 0.0
        for part in spent_since(connection, start)
    )


def _sum(parts: list[float | None]) -> float | None:
    total = 0.0
    for part in parts:
        if part is None:
            return None
        total += part
    return total
