"""What a job cost, as its result file tells: by the provider's count, else by estimate."""

from __future__ import annotations

from dataclasses import dataclass, field

from semantic_core.domain.pricing import PriceTable
from semantic_core.providers.types import ResultLine
from semantic_core.queue.jobs import JobRecord


@dataclass(slots=True)
class Bill:
    """Tokens of the texts that were embedded, each text once, however many lines it has.

    A line whose vector cannot be used was embedded, too; one with the provider's error was not.

    Attributes:
        counted: by the provider, by content hash.
        estimated: here, of the lines without a count; some models give none.
    """

    counted: dict[bytes, int] = field(default_factory=dict)
    estimated: dict[bytes, int] = field(default_factory=dict)

    def add(self, key: bytes, line: ResultLine, *, estimate: int) -> None:
        """Take one line into the bill."""
        if line.is_refused or key in self.counted:
            return
        if line.token_count is None:
            self.estimated[key] = estimate
        else:
            self.counted[key] = line.token_count
            self.estimated.pop(key, None)

    @property
    def texts(self) -> int:
        """How many texts were embedded."""
        return len(self.counted) + len(self.estimated)

    def columns(self, record: JobRecord, prices: PriceTable) -> dict[str, int | float | None]:
        """Return the bill as columns of the job, at the price recorded with it."""
        uncounted = sum(self.estimated.values())
        tokens = sum(self.counted.values()) + uncounted
        price = record.batch_price
        if price is None and (known := prices.prices.get(record.model)) is not None:
            price = known.batch
        return {
            "token_count": tokens,
            "uncounted_tokens": uncounted,
            "cost_usd": None if price is None else tokens / 1_000_000 * price,
        }
