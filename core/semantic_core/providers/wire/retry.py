"""Trying again what costs nothing to try again. Creating a job never goes through here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import ProviderUnavailableError, RateLimitError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a call is tried, and how long is waited in between. Times are seconds.

    The wait doubles each time. A provider that asks for more than the longest gets no other try.
    """

    attempts: int
    first_wait: float
    longest_wait: float

    def run(self, call: Callable[[], T], *, clock: Clock) -> T:
        """Return what ``call`` returns, trying again while the provider is busy or unreachable.

        A wait that the provider asks for is kept. What the last try raised is raised; so is at once
        anything but a `RateLimitError` and a `ProviderUnavailableError`.
        """
        for attempt in range(self.attempts - 1):
            try:
                return call()
            except (RateLimitError, ProviderUnavailableError) as error:
                wait = min(self.first_wait * 2**attempt, self.longest_wait)
                if isinstance(error, RateLimitError) and error.retry_after is not None:
                    wait = max(wait, error.retry_after)
                if wait > self.longest_wait:
                    raise
                clock.sleep(wait)
        return call()
