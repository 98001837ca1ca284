"""BatchConfig: the limits and delays of batching."""

from __future__ import annotations

from dataclasses import dataclass, field

from semantic_core.errors import ConfigurationError
from semantic_core.limits import GEMINI_LIMITS
from semantic_core.pricing import DEFAULT_PRICES, PriceTable
from semantic_core.queue.budget import RetryBudget
from semantic_core.queue.claims import ClaimLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How batches are cut and how long things may take. Times are seconds.

    Attributes:
        max_requests: texts in one job. Google names no limit; others that batch cap themselves
            at 50,000, and a line of the result takes 10 kB at 768 dimensions.
        max_source_bytes: UTF-8 bytes of text in one job. JSON can make six times that of it,
            which stays below ``max_file_bytes`` unless a template is long.
        max_file_bytes: bytes of a job's input file as they are written; what does not fit goes
            with a later job.
        max_tokens: estimated tokens in one job; users report about 2 million on the first paid
            tier (the figures a project has are in AI Studio).
        max_open_jobs: jobs at the provider at one time; beyond it, texts wait.
        budget: how often one text may be tried.
        listing_grace: time between the two listings that must both lack a job before it counts
            as never created.
        lease: how long a process that stopped in the middle keeps others from its job.
        rate_limit_delay: wait after a 429 that does not say how long; users report 15 to 20
            minutes until a new job is taken.
        refetch_delay: wait before results that looked wrong are downloaded again.
        poll_interval: time between two polls of ``wait()``.
        wrong_size_share: a job of whose result lines more than this share have another
            dimension is held instead of paid for again.
        monthly_budget_usd: most that the jobs of one calendar month (UTC) may cost, by the
            provider's count where it is known and by the estimate where not; None for no limit.
        spot_check: texts of each finished job that are embedded live once more, with the default
            key, before any of its vectors is used; it is held where one is not that of its
            text. They are paid for again, at the live price; 0 checks nothing.
        prices: what tokens cost.
        max_cleanup_tries: how often removing remote files is tried; they expire by themselves
            after 48 hours.
    """

    max_requests: int = 20_000
    max_source_bytes: int = 300_000_000
    max_file_bytes: int = GEMINI_LIMITS.file_bytes
    max_tokens: int = 2_000_000
    max_open_jobs: int = GEMINI_LIMITS.open_jobs
    budget: RetryBudget = field(default_factory=RetryBudget)
    listing_grace: float = 900.0
    lease: float = 600.0
    rate_limit_delay: float = 900.0
    refetch_delay: float = 3600.0
    poll_interval: float = 30.0
    wrong_size_share: float = 0.1
    monthly_budget_usd: float | None = None
    spot_check: int = 0
    prices: PriceTable = DEFAULT_PRICES
    max_cleanup_tries: int = 10

    def __post_init__(self) -> None:
        for name in (
            "max_requests",
            "max_source_bytes",
            "max_file_bytes",
            "max_tokens",
            "max_open_jobs",
        ):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"BatchConfig.{name} is below 1: no text could be sent.")
        for name in ("listing_grace", "lease", "poll_interval"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"BatchConfig.{name} must be above 0 seconds.")
        if self.spot_check < 0:
            raise ConfigurationError("BatchConfig.spot_check is below 0: give a number of texts.")
        if self.monthly_budget_usd is not None and self.monthly_budget_usd < 0:
            raise ConfigurationError("BatchConfig.monthly_budget_usd is below 0.")

    @property
    def limits(self) -> ClaimLimits:
        """What one job may carry."""
        return ClaimLimits(
            requests=self.max_requests,
            source_bytes=self.max_source_bytes,
            tokens=self.max_tokens,
        )
