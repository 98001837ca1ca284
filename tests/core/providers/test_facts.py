"""What the providers say of their models: limits, prices, and the end of some."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from batch_emulator import Operation
from semantic_core import SemanticCore
from semantic_core.domain.errors import RemoteNotFoundError, TextTooLongError
from semantic_core.domain.pricing import Price, PriceTable
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Document
from semantic_core.providers.facts import DEFAULT_PRICES, caution, check_length, model_facts
from semantic_core.providers.gemini.models import MODELS
from semantic_core.providers.terms import ModelFacts
from semantic_core.providers.types import Staged
from support.world import World

ENDED = "gemini-embedding-2-preview"
SPEC = EmbeddingSpec(model=ENDED, document_task=None, query_task=None)
LAST_SECOND = datetime(2026, 11, 5, 23, 59, 59, tzinfo=UTC).timestamp()
FIRST_DAY = LAST_SECOND + 1


# --- limits ----------------------------------------------------------------------------------


def test_limits_are_those_of_the_model() -> None:
    assert model_facts("gemini-embedding-001").token_limit == 2048
    assert model_facts("gemini-embedding-001").character_limit == 8192
    assert model_facts("gemini-embedding-001").byte_limit == 131_072
    assert model_facts("gemini-embedding-2").token_limit == 8192
    assert model_facts("another") == ModelFacts(name="another")
    assert model_facts("another").character_limit is None
    assert model_facts("another").byte_limit is None


def test_only_a_text_that_cannot_fit_is_refused() -> None:
    spec = EmbeddingSpec()
    check_length("x" * 131_072, spec, what="the text")
    with pytest.raises(TextTooLongError, match=r"131,073 bytes.*2,048 tokens.*Split it"):
        check_length("x" * 131_073, spec, what="the text")


def test_length_is_counted_in_bytes() -> None:
    check_length("ы" * 65_536, EmbeddingSpec(), what="the text")
    with pytest.raises(TextTooLongError, match="131,074 bytes"):
        check_length("ы" * 65_537, EmbeddingSpec(), what="the text")


def test_a_model_without_a_known_limit_takes_any_length() -> None:
    check_length("x" * 1_000_000, EmbeddingSpec(model="some-model"), what="the text")
    check_length("x" * 1_000_000, EmbeddingSpec.external("other"), what="the text")


# --- prices ----------------------------------------------------------------------------------


def test_every_model_that_is_served_has_a_price_of_half_in_batch() -> None:
    for facts in MODELS.values():
        if facts.shutdown is None:
            cost = DEFAULT_PRICES.cost(facts.name, 1_000_000)
            assert cost is not None
            assert cost.batch_usd == cost.live_usd / 2


def test_what_is_not_known_of_a_model_is_said() -> None:
    def said(model: str, prices: PriceTable = DEFAULT_PRICES) -> str | None:
        return caution(model, prices=prices, now=0.0)

    assert said("gemini-embedding-001") is None
    unknown = said("gemini-embedding-9") or ""
    assert "No price and no token limit is known for the model 'gemini-embedding-9'" in unknown
    mine = PriceTable(prices={"mine": Price(live=1.0, batch=0.25)}, source="s", as_of="now")
    assert "No token limit is known" in (said("mine", mine) or "")
    assert "No price is known" in (said("gemini-embedding-001", mine) or "")


# --- the end of a model ----------------------------------------------------------------------


def test_a_model_is_served_until_its_last_second() -> None:
    facts = model_facts(ENDED)
    assert (facts.shutdown, facts.successor) == (date(2026, 11, 6), "gemini-embedding-2")
    facts.check_served(LAST_SECOND)
    assert facts.end(LAST_SECOND) is None
    with pytest.raises(RemoteNotFoundError) as caught:
        facts.check_served(FIRST_DAY)
    assert caught.value.is_definite
    for words in (
        ENDED,
        "2026-11-06",
        "'gemini-embedding-2'",
        "new collection",
        "Nothing was sent",
    ):
        assert words in str(caught.value)


@pytest.fixture
def ended(world: World) -> World:
    """A world after the last day, in which a text waits for the model that ended."""
    assert world.clock.now() > FIRST_DAY
    world.store.collection("old", SPEC)
    world.save("a text that waits", collection="old")
    return world


def test_a_flush_says_so_before_anything_is_staged(ended: World) -> None:
    with pytest.raises(RemoteNotFoundError, match=r"2026-11-06.*'gemini-embedding-2'"):
        ended.manager().flush_queue()
    assert ended.emulator.calls(Operation.UPLOAD_START) == []
    assert ended.emulator.calls(Operation.CREATE) == []
    assert ended.manager().jobs() == []
    assert [chunk.status for chunk in ended.store.chunks(collection="old")] == [
        EmbeddingStatus.PENDING
    ]
    (passed,) = ended.manager().get_queue_stats().passed_over
    assert "2026-11-06" in passed.why


def test_it_keeps_no_other_model_from_being_sent(ended: World) -> None:
    ended.save("a text for another model", "and one more")
    assert ended.manager().flush_queue() is not None
    ended.save("a later one")
    with pytest.raises(RemoteNotFoundError, match="2026-11-06"):
        ended.manager().drain_queue()
    assert ended.creates() == 2


def test_an_estimate_and_the_queue_say_so(ended: World) -> None:
    for said in (ended.manager().estimate(), ended.manager().get_queue_stats()):
        assert "shut down the model" in " ".join(said.cautions)


def test_live_embedding_says_so_before_it_sends(ended: World) -> None:
    embedder = ended.embedder()
    with pytest.raises(RemoteNotFoundError, match="2026-11-06"):
        embedder.embed_query("a query", spec=SPEC)
    with pytest.raises(RemoteNotFoundError, match="2026-11-06"):
        embedder.embed_documents(["a text"], spec=SPEC)
    core = SemanticCore(ended.store, ended.keyring(), collection="old", embedder=embedder)
    with pytest.raises(RemoteNotFoundError, match="2026-11-06"):
        core.ingest(Document(content="a document"), mode="sync")
    assert ended.emulator.calls(Operation.EMBED) == []


def test_a_client_that_is_used_alone_says_so(ended: World) -> None:
    provider = ended.manager().context().provider
    with pytest.raises(RemoteNotFoundError, match="2026-11-06"):
        provider.line(SPEC)
    with pytest.raises(RemoteNotFoundError, match="2026-11-06"):
        provider.create(Staged(name="files/x", request_count=1, byte_count=1), spec=SPEC, name="x")
    assert ended.emulator.calls(Operation.CREATE) == []
    assert ended.emulator.calls(Operation.UPLOAD_START) == []
