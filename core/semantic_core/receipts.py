"""Money before and after: estimates of what waits, receipts of what was sent."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from semantic_core import notebook
from semantic_core.pricing import Cost, PriceTable
from semantic_core.queue.checks import spent_on_checks
from semantic_core.queue.costs import reused_vectors, spent_since, waiting_models, waiting_tokens
from semantic_core.queue.jobs import list_jobs
from semantic_core.statuses import FailureReason
from semantic_core.types import BatchJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What sending everything that waits would cost. Tokens are estimated by script.

    Attributes:
        chunks: waiting chunks.
        texts: distinct texts among them: what would be sent.
        tokens: of those texts.
        live_usd: their price at the live rate; None if a model has no known price.
        batch_usd: their price by batch; None likewise.
        repeated_tokens: what is not sent, because its text is among them already.
        priced_as_of: date of the prices.
        cautions: what is not known of a model, its price or its token limit, and what follows.
    """

    chunks: int
    texts: int
    tokens: int
    live_usd: float | None
    batch_usd: float | None
    repeated_tokens: int
    priced_as_of: str
    cautions: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return notebook.show_estimate(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What batch jobs cost, each at the price recorded when it was sent.

    Live embeddings are not in it: the provider does not count them.

    Attributes:
        jobs: the jobs created in that time, oldest first, each with its tokens.
        tokens: of jobs whose results are stored: as the provider counted them, and where it
            left texts out, as estimated.
        estimated_tokens: the estimated part of ``tokens``.
        open_tokens: of jobs that still run, or whose cost nobody knows, estimated.
        texts: texts embedded by these jobs.
        batch_usd: price of ``tokens`` by batch; None if a model has no known price.
        live_usd: what the same would have cost live; None likewise.
        priced: the part of ``tokens`` that has a known price, and what it cost.
        unpriced: the other part, as (model, tokens) pairs.
        reused_chunks: chunks of the whole database that share a paid vector with another.
        reused_tokens: what those would have cost again.
        reused_estimated_tokens: the estimated part of ``reused_tokens``.
        check_tokens: of texts that spot checks embedded live again, estimated.
        check_usd: their price at the live rate; None if a model has no known price.
    """

    jobs: tuple[BatchJob, ...]
    tokens: int
    estimated_tokens: int
    open_tokens: int
    texts: int
    batch_usd: float | None
    live_usd: float | None
    priced: Cost
    unpriced: tuple[tuple[str, int], ...]
    reused_chunks: int
    reused_tokens: int
    reused_estimated_tokens: int
    check_tokens: int = 0
    check_usd: float | None = 0.0

    def _repr_html_(self) -> str:
        return notebook.show_receipt(self)

    @property
    def cancelled_tokens(self) -> int:
        """Estimated tokens of cancelled jobs: what was embedded of them may have been billed."""
        return sum(
            job.estimated_tokens
            for job in self.jobs
            if job.failure_reason is FailureReason.CANCELLED and job.google_job_id is not None
        )

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
    known = Cost.sum(cost for cost in costs if cost is not None)
    is_known = None not in costs
    return Estimate(
        chunks=sum(part.chunks for part in waiting),
        texts=sum(part.texts for part in waiting),
        tokens=sum(part.tokens for part in waiting),
        live_usd=known.live_usd if is_known else None,
        batch_usd=known.batch_usd if is_known else None,
        repeated_tokens=sum(part.repeated_tokens for part in waiting),
        priced_as_of=prices.as_of,
        cautions=read_cautions(connection, collection_id=collection_id, prices=prices),
    )


def read_cautions(
    connection: sqlite3.Connection, *, collection_id: int | None, prices: PriceTable
) -> tuple[str, ...]:
    """Return what is not known of the models that texts wait for, a sentence each."""
    models = waiting_models(connection, collection_id=collection_id)
    return tuple(caution for model in models if (caution := prices.caution(model)) is not None)


def write_receipt(
    connection: sqlite3.Connection,
    *,
    since: float,
    until: float | None = None,
    prices: PriceTable,
) -> Receipt:
    """Sum up the jobs created since a moment, and before another one."""
    spent = spent_since(connection, since, until=until)
    known = [part for part in spent if part.is_known]
    costs: list[Cost] = []
    unpriced: Counter[str] = Counter()
    for part in known:
        cost = part.cost(prices)
        if cost is not None:
            costs.append(cost)
        elif part.tokens:
            unpriced[part.model] += part.tokens
    priced = Cost.sum(costs)
    jobs = tuple(
        job
        for job in list_jobs(connection)
        if job.created_at >= since and (until is None or job.created_at < until)
    )
    chunks, tokens, guessed = reused_vectors(connection)
    checks = spent_on_checks(connection, since, until=until)
    return Receipt(
        jobs=jobs,
        tokens=sum(part.tokens for part in known),
        estimated_tokens=sum(part.uncounted for part in known),
        open_tokens=sum(part.tokens for part in spent if not part.is_known),
        texts=sum(job.done_count for job in jobs if job.token_count is not None),
        batch_usd=None if unpriced else priced.batch_usd,
        live_usd=None if unpriced else priced.live_usd,
        priced=priced,
        unpriced=tuple(sorted(unpriced.items())),
        reused_chunks=chunks,
        reused_tokens=tokens,
        reused_estimated_tokens=guessed,
        check_tokens=checks.tokens,
        check_usd=checks.cost_usd,
    )


def spent_this_month(connection: sqlite3.Connection, *, now: float, prices: PriceTable) -> float:
    """Return what this month's jobs and spot checks cost, or may.

    Where nobody knows, they are taken as billed.

    A month is a calendar month in UTC.
    """
    moment = datetime.fromtimestamp(now, UTC)
    start = datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp()
    costs = [part.cost(prices) for part in spent_since(connection, start)]
    checks = spent_on_checks(connection, start).cost_usd or 0.0
    return checks + sum(cost.batch_usd for cost in costs if cost is not None)
