import math

import pytest

from semantic_core.errors import ConfigurationError
from semantic_core.pricing import (
    DEFAULT_PRICES,
    Cost,
    Price,
    PriceTable,
    estimate_tokens,
    tokens_in_bytes,
)
from semantic_core.spec import MODEL_TOKEN_LIMITS


def test_batch_costs_half_of_live() -> None:
    cost = DEFAULT_PRICES.cost("gemini-embedding-001", 2_000_000)
    assert cost == Cost(tokens=2_000_000, live_usd=0.30, batch_usd=0.15)
    assert cost.saved_usd == pytest.approx(0.15)


@pytest.mark.parametrize("model", MODEL_TOKEN_LIMITS)
def test_every_known_model_has_a_price(model: str) -> None:
    cost = DEFAULT_PRICES.cost(model, 1_000_000)
    assert cost is not None
    assert cost.batch_usd == cost.live_usd / 2


def test_unknown_model_has_no_cost_and_says_so() -> None:
    assert DEFAULT_PRICES.cost("gemini-embedding-9", 1_000) is None
    assert "No price is known here for 'gemini-embedding-9'" in DEFAULT_PRICES.describe(
        "gemini-embedding-9"
    )


def test_a_price_is_told_with_its_source_and_date() -> None:
    told = DEFAULT_PRICES.describe("gemini-embedding-001")
    assert "$0.15 live, $0.075 in batch" in told
    assert DEFAULT_PRICES.source in told
    assert DEFAULT_PRICES.as_of in told


def test_a_table_of_ones_own_replaces_the_default() -> None:
    table = PriceTable(prices={"mine": Price(live=1.0, batch=0.25)}, source="contract", as_of="now")
    cost = table.cost("mine", 1_000_000)
    assert cost is not None
    assert cost.saved_usd == 0.75
    assert table.cost("gemini-embedding-001", 1_000_000) is None


@pytest.mark.parametrize("amount", [-0.01, math.nan, math.inf])
def test_what_is_no_price_is_refused(amount: float) -> None:
    with pytest.raises(ConfigurationError, match=r"Price\.batch"):
        Price(live=0.15, batch=amount)


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("a", 1), ("abcd", 1), ("abcde", 2), ("漢字", 2), ("\ud800", 1)]
)
def test_tokens_are_estimated_from_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_both_estimates_agree() -> None:
    text = "Prosa mit Umlauten: äöü. " * 40
    assert estimate_tokens(text) == tokens_in_bytes(len(text.encode()))
