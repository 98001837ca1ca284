"""What embedding costs: one dated price table, a token estimate, batch against live."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from semantic_core.errors import ConfigurationError

PRICES_URL = "https://ai.google.dev/gemini-api/docs/pricing"
PRICES_DATE = "2026-11"

# A token of English prose is about four characters; nothing is billed by this number.
BYTES_PER_TOKEN = 4


def tokens_in_bytes(size: int) -> int:
    """Return about how many tokens a text of this many UTF-8 bytes has; at least one."""
    return max(1, -(-size // BYTES_PER_TOKEN))


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has; the provider's own count is what is billed."""
    return tokens_in_bytes(len(text.encode("utf-8", "surrogatepass")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model takes for a million input tokens, in US dollars.

    Attributes:
        live: embedded at once.
        batch: embedded by the Batch API.
    """

    live: float
    batch: float

    def __post_init__(self) -> None:
        for name in ("live", "batch"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(
                    f"Price.{name} is {value}. Give US dollars per million tokens, 0 or more."
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a number of tokens costs either way, in US dollars."""

    tokens: int
    live_usd: float
    batch_usd: float

    @property
    def saved_usd(self) -> float:
        """What batching saves."""
        return self.live_usd - self.batch_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTable:
    """Prices by model. A model that is not in it has no cost here: nothing is guessed.

    Attributes:
        prices: model id, such as ``gemini-embedding-001``, to price.
        source: where they are from.
        as_of: when they were read there.
    """

    prices: Mapping[str, Price]
    source: str
    as_of: str

    def cost(self, model: str, tokens: int) -> Cost | None:
        """Return what embedding this many tokens costs, or None for a model without a price."""
        price = self.prices.get(model)
        if price is None:
            return None
        millions = tokens / 1_000_000
        return Cost(tokens=tokens, live_usd=millions * price.live, batch_usd=millions * price.batch)

    def describe(self, model: str) -> str:
        """Return one sentence on a model's price, or that none is known."""
        price = self.prices.get(model)
        if price is None:
            return (
                f"No price is known here for {model!r}, so no cost is given. "
                f"Look it up at {self.source}."
            )
        return (
            f"{model}: ${price.live:g} live, ${price.batch:g} in batch for a million input tokens "
            f"({self.source}, {self.as_of})."
        )


DEFAULT_PRICES = PriceTable(
    prices={
        "gemini-embedding-001": Price(live=0.15, batch=0.075),
        "gemini-embedding-2": Price(live=0.20, batch=0.10),
    },
    source=PRICES_URL,
    as_of=PRICES_DATE,
)
"""Google's prices of the paid tier; the output of embedding models is free."""
