"""What embedding costs: prices by model, a token estimate, batch against live."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self
from zlib import adler32

from semantic_core.domain.errors import ConfigurationError
from semantic_core.domain.spec import PLACEHOLDER, EmbeddingSpec

# Tokens by the first byte of a UTF-8 character, in twentieths; the bytes that follow it are 0. Held
# against the tokenizers cl100k_base and o200k_base with each digit on its own, as Gemini's has it
# (tests/core/domain/test_pricing.py). What is not named is a token: digits, signs, ends of lines.
_TWENTIETHS = 20
_BY_FIRST_BYTE: tuple[tuple[int, int, float], ...] = (
    (0x20, 0x20, 0.1),  # a space is part of the next word
    (0x61, 0x7A, 0.25),  # a-z: four to a token, as in most prose
    (0x80, 0xC1, 0.0),  # what follows a first byte
    (0xC3, 0xC5, 2.0),  # letters with marks break words up
    (0xD0, 0xD3, 0.55),  # Cyrillic
    (0xD4, 0xD5, 1.9),  # Armenian
    (0xDC, 0xDF, 2.0),
    (0xE0, 0xE0, 1.3),  # scripts of India, Thai, Lao
    (0xE1, 0xE1, 2.0),  # Burmese, Georgian, Ethiopic, Khmer, Vietnamese vowels
    (0xE2, 0xE9, 1.5),  # typographic signs, Kana, Han: 1 to 1.5 was seen
    (0xEA, 0xED, 1.25),  # Hangul
    (0xEE, 0xEF, 2.0),
    (0xF0, 0xFF, 3.0),  # emoji, rare Han
)


def _byte_table() -> bytes:
    table = [_TWENTIETHS] * 256
    for first, last, tokens in _BY_FIRST_BYTE:
        table[first : last + 1] = [round(tokens * _TWENTIETHS)] * (last + 1 - first)
    return bytes(table)


_TABLE = _byte_table()

# So many bytes sum up to less than the modulus of Adler-32.
_AT_ONCE = 65_520 // max(_TABLE)


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has; the provider's own count is what is billed.

    Estimated by script, on the careful side. Prose, code and tables mostly have fewer tokens;
    random letters, as in hexadecimal digests, can have a quarter more.
    """
    return _tokens_of([text])[0]


def source_tokens(sources: Iterable[str], spec: EmbeddingSpec) -> list[int]:
    """Return the estimated tokens of vector sources as they are sent."""
    frame = spec.document_template.replace(PLACEHOLDER, "")
    more = estimate_tokens(frame) if frame else 0
    return [tokens + more for tokens in _tokens_of(sources)]


def _tokens_of(texts: Iterable[str]) -> list[int]:
    """Return about how many tokens each text has, on the careful side; at least one.

    Every number of tokens that is not the provider's own count is this one. Takes a microsecond for
    a paragraph: a save asks for thousands.
    """
    found = []
    for text in texts:
        weights = text.encode("utf-8", "surrogatepass").translate(_TABLE)
        # The lower half of Adler-32 is the sum of the bytes, and 1: nothing adds them up faster.
        if len(weights) <= _AT_ONCE:
            total = (adler32(weights) & 0xFFFF) - 1
        else:
            parts = range(0, len(weights), _AT_ONCE)
            total = sum((adler32(weights[at : at + _AT_ONCE]) & 0xFFFF) - 1 for at in parts)
        found.append(-(-total // _TWENTIETHS) or 1)
    return found


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

    def cost(self, tokens: int) -> Cost:
        """Return what embedding this many tokens costs."""
        millions = tokens / 1_000_000
        return Cost(tokens=tokens, live_usd=millions * self.live, batch_usd=millions * self.batch)


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

    @classmethod
    def sum(cls, costs: Iterable[Self]) -> Self:
        """Return the cost of all of them together."""
        parts = list(costs)
        return cls(
            tokens=sum(part.tokens for part in parts),
            live_usd=sum(part.live_usd for part in parts),
            batch_usd=sum(part.batch_usd for part in parts),
        )


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
        return None if price is None else price.cost(tokens)

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
