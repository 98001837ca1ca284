"""The cost before and after: an estimate, a receipt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from semantic_core.domain.pricing import Cost
from semantic_core.domain.statuses import FailureReason
from semantic_core.domain.types import BatchJob


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
        pictures: pictures and pages of those texts.
        picture_tokens: the part of ``tokens`` that stands for them: text that costs as much.
        cautions: what is not known of a model, its price or its token limit, and what follows.
    """

    chunks: int
    texts: int
    tokens: int
    live_usd: float | None
    batch_usd: float | None
    repeated_tokens: int
    priced_as_of: str
    pictures: int = 0
    picture_tokens: int = 0
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptPart:
    """What the texts of one collection cost in one month.

    Attributes:
        month: the calendar month (UTC) in which their jobs were claimed, such as 2026-11.
        collection: its name; None for jobs that were found at the provider.
        tokens: of jobs whose results are stored. A job for several collections is shared out by
            the estimated tokens of each.
        batch_usd: their price; None if a model has no known price.
    """

    month: str
    collection: str | None
    tokens: int
    batch_usd: float | None


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
        pictures: pictures and pages that these jobs embedded.
        picture_tokens: the part of ``estimated_tokens`` that stands for them: text that costs as
            much.
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
    pictures: int = 0
    picture_tokens: int = 0

    @property
    def parts(self) -> tuple[ReceiptPart, ...]:
        """Its sums by month and collection; spot checks are of neither."""
        shares: dict[tuple[str, str], list[tuple[float, float | None]]] = {}
        for job in self.jobs:
            if job.token_count is None:
                continue
            month = f"{datetime.fromtimestamp(job.created_at, UTC):%Y-%m}"
            for name, share in _shares(job):
                cost = None if job.cost_usd is None else job.cost_usd * share
                shares.setdefault((month, name), []).append((job.token_count * share, cost))
        return tuple(
            ReceiptPart(
                month=month,
                collection=name or None,
                tokens=round(sum(tokens for tokens, _ in found)),
                batch_usd=_sum([usd for _, usd in found]),
            )
            for (month, name), found in sorted(shares.items())
        )

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


def _shares(job: BatchJob) -> list[tuple[str, float]]:
    """Return each collection's share of a job; all of it has no name where none is known."""
    whole = sum(tokens for _, tokens in job.collections)
    return [(name, tokens / whole) for name, tokens in job.collections] if whole else [("", 1.0)]


def _sum(dollars: Sequence[float | None]) -> float | None:
    known = [usd for usd in dollars if usd is not None]
    return sum(known) if len(known) == len(dollars) else None
