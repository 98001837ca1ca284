import json
import math
from pathlib import Path

import pytest

from semantic_core.domain.errors import ConfigurationError
from semantic_core.domain.pricing import Cost, Price, PriceTable, estimate_tokens, source_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.facts import DEFAULT_PRICES


def test_batch_costs_half_of_live() -> None:
    cost = DEFAULT_PRICES.cost("gemini-embedding-001", 2_000_000)
    assert cost == Cost(tokens=2_000_000, live_usd=0.30, batch_usd=0.15)
    assert cost.saved_usd == pytest.approx(0.15)


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


# --- the estimate ------------------------------------------------------------------------

# Texts with their tokens by two public tokenizers (tiktoken 0.14), each digit counted on its own as
# Gemini's tokenizers have it. Google does not publish that of its embedding models; the newer of
# the two is the nearer in size.
SAMPLES = {
    name: (sample["text"], sample["cl100k_base"], sample["o200k_base"])
    for name, sample in json.loads(
        Path(__file__).with_name("token_samples.json").read_text("utf-8")
    ).items()
}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_estimate_is_on_the_careful_side(name: str) -> None:
    text, older, newer = SAMPLES[name]
    estimate = estimate_tokens(text)
    assert estimate >= 0.8 * newer
    if name not in ("hex digest", "amharic"):
        assert estimate >= 0.9 * newer
        assert estimate >= 0.7 * older
    assert estimate <= 2 * max(older, newer)


@pytest.mark.parametrize("text", ["\u4eba" * 100, "\u3059\u3079\u3066" * 30])
def test_chinese_and_japanese_cost_one_and_a_half_tokens_a_character(text: str) -> None:
    assert estimate_tokens(text) == 1.5 * len(text)


def test_english_prose_is_estimated_within_what_is_said_of_it() -> None:
    """`HOW_FAR_OFF` says: a fifth to a half fewer."""
    text, _, newer = SAMPLES["english"]
    assert 0.5 < newer / estimate_tokens(text) < 0.8


def test_random_letters_are_estimated_within_what_is_said_of_them() -> None:
    """`HOW_FAR_OFF` says: a quarter more."""
    text, _, newer = SAMPLES["hex digest"]
    assert newer / estimate_tokens(text) < 1.25


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("a", 1), ("abcd", 1), ("abcde", 2), ("2026", 4), ("\ud800", 2)]
)
def test_a_text_has_at_least_one_token(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@pytest.mark.parametrize("size", [1091, 1092, 1093, 3000, 70_000])
def test_a_long_text_has_as_many_tokens_as_its_pieces(size: int) -> None:
    """Characters of three tokens each, the most there is, and of four bytes."""
    assert estimate_tokens("\U0001f600" * size) == 3 * size


def test_what_surrounds_a_text_is_estimated_with_it() -> None:
    assert source_tokens(["cat"], EmbeddingSpec.gemini_embedding_001()) == [1]
    framed = 1 + estimate_tokens("title: none | text: ")
    assert source_tokens(["cat"], EmbeddingSpec.gemini_embedding_2()) == [framed]
