"""Money before and after: estimates, budgets that cannot be passed, receipts that reconcile."""

from __future__ import annotations

import dataclasses

import pytest

from semantic_core.emulator import EndJob, FaultRule, Operation, Reply
from semantic_core.errors import BudgetExceededError, RequestRefusedError
from semantic_core.pricing import DEFAULT_PRICES, Price, PriceTable, estimate_tokens
from semantic_core.types import Chunk
from support.world import CONFIG, World

MONTH = 32 * 86_400.0
PER_TOKEN = DEFAULT_PRICES.prices["gemini-embedding-001"].batch / 1_000_000


def text_of(tokens: int, name: str) -> str:
    """Return a text of so many tokens by estimate."""
    start = name + " "
    return start + "xxxx" * (tokens - estimate_tokens(start))


# --- before ------------------------------------------------------------------------------


def test_an_estimate_counts_each_text_once(world: World) -> None:
    world.save(text_of(100, "a"), text_of(100, "a"), text_of(50, "b"))
    estimate = world.manager().estimate()
    assert (estimate.chunks, estimate.texts, estimate.tokens) == (3, 2, 150)
    assert estimate.repeated_tokens == 100
    assert estimate.batch_usd == pytest.approx(150 * PER_TOKEN)
    assert estimate.live_usd == pytest.approx(300 * PER_TOKEN)
    assert estimate.priced_as_of == DEFAULT_PRICES.as_of


def test_what_is_known_or_sent_is_not_estimated(world: World) -> None:
    world.save("one")
    world.manager().flush_queue()
    assert world.manager().estimate().chunks == 0


def test_a_model_without_a_price_has_no_estimate(world: World) -> None:
    world.save("one")
    empty = dataclasses.replace(CONFIG, prices=PriceTable(prices={}, source="s", as_of="today"))
    estimate = world.manager(config=empty).estimate()
    assert (estimate.texts, estimate.batch_usd, estimate.live_usd) == (1, None, None)


# --- limits ------------------------------------------------------------------------------


def test_max_cost_cuts_the_job_to_what_fits(world: World) -> None:
    world.save(*[text_of(100, f"t{number}") for number in range(5)])
    world.manager().flush_queue(max_cost=250 * PER_TOKEN)
    assert world.manager().jobs()[0].request_count == 2


def test_not_even_one_text_is_an_error_and_sends_nothing(world: World) -> None:
    world.save(text_of(100, "a"))
    with pytest.raises(BudgetExceededError, match="max_cost"):
        world.manager().flush_queue(max_cost=50 * PER_TOKEN, force=True)
    assert world.creates() == 0
    assert world.chunk().batch_job_id is None


def test_the_monthly_budget_is_kept_across_jobs_and_processes(world: World) -> None:
    world.save(*[text_of(100, f"t{number}") for number in range(6)])
    config = dataclasses.replace(CONFIG, max_requests=1, monthly_budget_usd=350 * PER_TOKEN)
    assert len(world.manager(config=config).drain_queue()) == 3
    with pytest.raises(BudgetExceededError, match="monthly_budget_usd"):
        world.manager(config=config).flush_queue()
    world.clock.advance(MONTH)
    assert world.manager(config=config).flush_queue() is not None


def test_a_refused_job_costs_nothing(world: World) -> None:
    world.save(text_of(100, "a"))
    config = dataclasses.replace(CONFIG, monthly_budget_usd=150 * PER_TOKEN)
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=400)))
    with pytest.raises(RequestRefusedError):
        world.manager(config=config).flush_queue()
    assert world.manager(config=config).flush_queue() is not None


def test_a_job_whose_cost_nobody_knows_counts_as_billed(world: World) -> None:
    world.save(text_of(100, "a"))
    config = dataclasses.replace(CONFIG, monthly_budget_usd=150 * PER_TOKEN)
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    manager = world.manager(config=config)
    manager.flush_queue()
    manager.sync_status()
    world.clock.advance(3601)
    with pytest.raises(BudgetExceededError):
        manager.flush_queue()


def test_a_budget_needs_a_price(world: World) -> None:
    world.save("one")
    config = dataclasses.replace(
        CONFIG,
        monthly_budget_usd=1.0,
        prices=PriceTable(prices={}, source="s", as_of="today"),
    )
    with pytest.raises(BudgetExceededError, match="No price"):
        world.manager(config=config).flush_queue()


# --- after -------------------------------------------------------------------------------


def test_a_receipt_reconciles_with_the_ledger(world: World) -> None:
    world.save("the first text", "the second text", "the first text")
    world.store.save([Chunk(id="x", text="the first text")], collection="side")
    manager = world.manager()
    manager.flush_queue()
    assert manager.receipt().open_tokens > 0
    manager.sync_status()

    receipt = manager.receipt()
    ledger = world.emulator.ledger
    assert receipt.tokens == ledger.tokens(live=False)
    assert receipt.texts == ledger.billed(live=False).total() == 2
    assert receipt.batch_usd == pytest.approx(ledger.tokens(live=False) * PER_TOKEN)
    assert receipt.saved_usd == pytest.approx(receipt.batch_usd)
    assert receipt.open_tokens == 0
    assert receipt.reused_chunks == 2
    (first,) = {entry.tokens for entry in ledger.entries() if entry.line == 0}
    assert receipt.reused_tokens == 2 * first


def test_a_receipt_since_a_moment_leaves_out_what_came_before(world: World) -> None:
    world.save("one")
    world.manager().flush_queue()
    world.manager().sync_status()
    world.clock.advance(10)
    since = world.clock.now()
    world.save("one", "another text")
    world.manager().flush_queue()
    world.manager().sync_status()
    assert world.manager().receipt(since).texts == 1
    assert world.manager().receipt().texts == 2


def test_prices_can_be_overridden(world: World) -> None:
    prices = PriceTable(
        prices={"gemini-embedding-001": Price(live=2.0, batch=1.0)}, source="mine", as_of="2030"
    )
    world.save("one")
    manager = world.manager(config=dataclasses.replace(CONFIG, prices=prices))
    manager.flush_queue()
    manager.sync_status()
    assert manager.receipt().batch_usd == pytest.approx(manager.receipt().tokens / 1_000_000)
