from dataclasses import dataclass, field

from semantic_core.domain.errors import ConfigurationError
from semantic_core.domain.pricing import PriceTable
from semantic_core.providers.facts import DEFAULT_PRICES, LIMITS
from semantic_core.queue.budget import LONGEST_PAUSE, RetryBudget
from semantic_core.queue.ceilings import CeilingBounds, Load


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchConfig:
    """How batches are cut and how long things may take. Times are seconds.

    Attributes:
        max_requests: texts in one job. Not every provider names a limit; people who batch cap themselves
            at 50,000, and a line of the result takes 10 kB at 768 dimensions.
        max_source_bytes: UTF-8 bytes of text in one job. JSON can make six times that of it,
            which stays below ``max_file_bytes`` unless a template is long.
        max_file_bytes: bytes of a job's input file as they are written; what does not fit goes
            with a later job.
        max_tokens: estimated tokens in one job. How many a project may have enqueued of a model
            is not told to programs; first-tier projects report 130,000 to 480,000, others
            millions.
        first_job_tokens: estimated tokens of the open jobs of a key and model together while
            nothing is known of its quota. A 429 lowers that; each job that is taken doubles it, up
            to ``max_tokens`` times ``max_open_jobs``. After a day it is forgotten.
        max_open_jobs: jobs at the provider at one time; beyond it, texts wait. Providers allow
            100 or more, but first-tier projects report 10.
        budget: how often one text may be tried.
        listing_grace: time between the first and the last of at least three complete listings
            that must lack a job before it counts as never created; the least that wall clock,
            monotonic clock and the provider's ``Date`` header say.
        lease: how long a process that stopped in the middle keeps others from its job.
        rate_limit_delay: wait after a 429 that does not say how long, while no job is open whose
            end could be waited for; users report 15 to 20 minutes until a new job is taken. At
            most a day.
        refetch_delay: wait before results that looked wrong are downloaded again.
        poll_interval: most time between two polls of ``wait()``, which begins with a second and
            doubles it.
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
    max_file_bytes: int = LIMITS.file_bytes
    max_tokens: int = 2_000_000
    first_job_tokens: int = 400_000
    max_open_jobs: int = 10
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
            *("max_requests", "max_source_bytes", "max_file_bytes"),
            *("max_tokens", "first_job_tokens", "max_open_jobs"),
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
        delays = {
            "rate_limit_delay": self.rate_limit_delay,
            "budget.longest_delay": self.budget.longest_delay,
        }
        for name, seconds in delays.items():
            if not 0 <= seconds <= LONGEST_PAUSE:
                raise ConfigurationError(
                    f"BatchConfig.{name} is {seconds:g} seconds. Give 0 to {LONGEST_PAUSE:g}, a "
                    "day: a longer pause counts as one that a wrong clock noted."
                )

    @property
    def ceiling_bounds(self) -> CeilingBounds:
        """What the open jobs of one key and model may carry together, at first and at most."""
        most = Load(
            jobs=self.max_open_jobs,
            requests=self.max_requests * self.max_open_jobs,
            tokens=self.max_tokens * self.max_open_jobs,
        )
        return CeilingBounds(first_tokens=self.first_job_tokens, most=most)

    @property
    def longest_pause(self) -> float:
        """The most seconds that a text or a model waits, unless the provider asks for more."""
        return max(self.rate_limit_delay, self.budget.longest_delay)
