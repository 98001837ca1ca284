"""How often one text may be tried, so that no fault becomes an endless bill."""

from collections.abc import Collection
from dataclasses import dataclass

from semantic_core.database import IDS, id_set
from semantic_core.database.conditions import USES_BUDGET
from semantic_core.database.port import Connection
from semantic_core.domain.statuses import BudgetUse

# Seconds. Whatever asks to wait for longer is not believed: a clock that was ahead, or a provider.
LONGEST_PAUSE = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """Limits per content, over all its jobs.

    Attributes:
        attempts: tries that the provider answered with a failure for this text or its job.
        job_failures: tries within a job that FAILED as a whole; 2 means one more by itself.
        expiries: jobs that expired at the provider, which cost nothing.
        first_delay: seconds before the first retry; doubled for each further one.
        longest_delay: most seconds between two tries; at most a day.
    """

    attempts: int = 3
    job_failures: int = 2
    expiries: int = 3
    first_delay: float = 60.0
    longest_delay: float = 3600.0

    def is_spent(self, uses: dict[str, int]) -> bool:
        """Return whether these uses leave no further try."""
        failures = uses.get(BudgetUse.JOB_FAILURE, 0)
        return (
            uses.get(BudgetUse.EVERYTHING, 0) > 0
            or uses.get(BudgetUse.ATTEMPT, 0) + failures >= self.attempts
            or failures >= self.job_failures
            or uses.get(BudgetUse.EXPIRY, 0) >= self.expiries
        )

    def delay(self, uses: dict[str, int]) -> float:
        """Return the seconds to wait before the next try."""
        tries = sum(uses.values())
        return min(self.longest_delay, self.first_delay * 2 ** max(0, tries - 1)) if tries else 0.0


def used_budgets(connection: Connection, contents: Collection[int]) -> dict[int, dict[str, int]]:
    """Return how often each kind of use stands against each of these contents."""
    found: dict[int, dict[str, int]] = {}
    for content, use, count in connection.execute(
        "SELECT content_id, budget_use, count(*) FROM batch_items "
        f"WHERE content_id IN {IDS} AND {USES_BUDGET} GROUP BY content_id, budget_use",
        id_set(contents),
    ):
        found.setdefault(content, {})[use] = count
    return found


def forgive(connection: Connection, contents: Collection[int]) -> None:
    connection.execute(
        "UPDATE batch_items SET budget_use = 'forgiven' "
        f"WHERE content_id IN {IDS} AND {USES_BUDGET}",
        id_set(contents),
    )
