"""What the providers say of their models and limits, without a key or a connection."""

from semantic_core.domain.errors import TextTooLongError
from semantic_core.domain.pricing import PriceTable
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.gemini.endpoint import way_back_to
from semantic_core.providers.gemini.models import (
    LIMITS,
    MODELS,
    PRICES_DATE,
    PRICES_URL,
    model_facts,
)

__all__ = [
    "DEFAULT_PRICES",
    "LIMITS",
    "LONGEST_LIMIT",
    "caution",
    "check_length",
    "model_facts",
    "way_back_to",
]

DEFAULT_PRICES = PriceTable(
    prices={name: facts.price for name, facts in MODELS.items() if facts.price is not None},
    source=PRICES_URL,
    as_of=PRICES_DATE,
)
"""Prices of the paid tier."""

# Of a model that is not known here, nobody knows better.
LONGEST_LIMIT = max(facts.token_limit or 0 for facts in MODELS.values())


def caution(model: str, *, prices: PriceTable, now: float) -> str | None:
    """Return why no texts should be sent to a model, or None.

    That it has been shut down, or what it means that it has no price or no token limit here.
    """
    facts = model_facts(model)
    if ended := facts.end(now):
        return ended
    missing = []
    if model not in prices.prices:
        missing.append("price")
    if facts.token_limit is None:
        missing.append("token limit")
    if not missing:
        return None
    means = {
        "price": "what its jobs cost is in no estimate, budget or receipt (pass "
        "BatchConfig(prices=...) to have it there)",
        "token limit": "no text is refused here as too long for it",
    }
    return (
        f"No {' and no '.join(missing)} is known for the model {model!r}: "
        f"{', and '.join(means[name] for name in missing)}. Check its spelling at {prices.source}."
    )


def check_length(text: str, spec: EmbeddingSpec, *, what: str) -> None:
    """Raise `TextTooLongError` for more UTF-8 bytes than the tokens of the model can hold.

    Whether what is shorter fits is the provider's call.
    """
    facts = model_facts(spec.model)
    limit = facts.byte_limit
    # No character has more than four bytes, so most texts need not be encoded.
    if limit is None or 4 * len(text) <= limit:
        return
    size = len(text.encode())
    if size > limit:
        raise TextTooLongError(
            f"{what} has {size:,} bytes; {spec.model} takes {facts.token_limit:,} tokens, which is "
            f"never more than {limit:,} bytes. Split it before saving."
        )
