"""Money before and after: estimates, budgets that cannot be passed, receipts that reconcile."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from batch_emulator import (
    Damage,
    DamageLines,
    EndJob,
    FailLines,
    FaultRule,
    Lines,
    Operation,
    Reply,
    SkipLines,
)
from semantic_core.domain.errors import (
    BudgetExceededError,
    RemoteNotFoundError,
    RequestRefusedError,
)
from semantic_core.domain.pricing import Price, PriceTable, estimate_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import BatchJob, Chunk
from semantic_core.providers.facts import DEFAULT_PRICES
from semantic_core.store import PeeweeVectorStore
from support.world import CONFIG, World, open_world

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
        CONFIG, monthly_budget_usd=1.0, prices=PriceTable(prices={}, source="s", as_of="today")
    )
    with pytest.raises(BudgetExceededError, match="No price"):
        world.manager(config=config).flush_queue()


@pytest.mark.parametrize(
    "text",
    [
        "人人生而自由,在尊严和权利上一律平等。",
        "すべての人間は生まれながらにして自由である",
        "모든 인간은 자유롭다",
    ],
)
def test_max_cost_is_kept_in_every_script(world: World, text: str) -> None:
    """A quarter of the bytes is 0.75 tokens a character; the bill came to much more than allowed."""
    world.save(*[f"{text} {letter}" for letter in "abcdefghijklmnop"])
    most = 100 * PER_TOKEN
    world.manager().flush_queue(max_cost=most)
    world.manager().sync_status()
    assert 0.4 * most < world.emulator.ledger.tokens(live=False) * PER_TOKEN <= most


def test_an_estimate_counts_what_surrounds_a_text(world: World) -> None:
    spec = EmbeddingSpec.gemini_embedding_2()
    world.store.collection("second", spec)
    world.store.save([Chunk(id=f"x{n}", text="cat") for n in range(1)], collection="second")
    manager = world.manager(collection="second")
    expected = 1 + estimate_tokens("title: none | text: ")
    assert manager.estimate().tokens == expected
    manager.flush_queue()
    assert manager.jobs()[0].estimated_tokens == expected


@pytest.mark.parametrize("way", ["flush", "estimate", "status"])
def test_a_model_that_nobody_knows_is_told_before_money(
    world: World, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.collection("odd", EmbeddingSpec(model="gemini-embedding-9"))
    world.store.save([Chunk(id="x", text="odd")], collection="odd")
    manager = world.manager()
    if way == "flush":
        for _ in range(2):
            with pytest.raises(RemoteNotFoundError):
                manager.flush_queue()
            world.clock.advance(3601)
        (told,) = [one.getMessage() for one in caplog.records if "is known" in one.getMessage()]
    else:
        holder = manager.estimate() if way == "estimate" else manager.get_queue_stats()
        (told,) = holder.cautions
    assert "No price and no token limit is known for the model 'gemini-embedding-9'" in told


def test_known_models_need_no_word(world: World) -> None:
    world.save("one")
    manager = world.manager()
    assert (manager.estimate().cautions, manager.get_queue_stats().cautions) == ((), ())


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


def uncounted(words: str | None = None) -> FaultRule:
    return FaultRule(
        effect=DamageLines(damage=Damage.UNCOUNTED, lines=Lines(containing=words)), times=None
    )


def applied(world: World) -> BatchJob:
    world.manager().flush_queue()
    world.manager().sync_status()
    return world.manager().jobs()[-1]


def test_a_job_without_counts_is_billed_by_estimate_and_says_so(world: World) -> None:
    """gemini-embedding-2 was seen to leave the counts out of all rows of a real run."""
    world.emulator.add_fault(uncounted())
    world.save(text_of(30, "a"), text_of(50, "b"), text_of(30, "a"))
    job = applied(world)
    assert (job.token_count, job.uncounted_tokens) == (80, 80)
    assert job.cost_usd == pytest.approx(80 * PER_TOKEN)
    receipt = world.manager().receipt()
    assert (receipt.tokens, receipt.estimated_tokens, receipt.open_tokens) == (80, 80, 0)
    assert receipt.batch_usd == pytest.approx(80 * PER_TOKEN)
    assert receipt.texts == 2
    assert (receipt.reused_tokens, receipt.reused_estimated_tokens) == (30, 30)


def test_rows_with_and_without_counts_are_billed_each_in_its_way(world: World) -> None:
    world.emulator.add_fault(uncounted("b"))
    world.save("the a text", text_of(50, "b"))
    job = applied(world)
    counted = next(one.tokens for one in world.emulator.ledger.entries() if one.line == 0)
    assert (job.token_count, job.uncounted_tokens) == (counted + 50, 50)


def test_an_estimated_bill_counts_against_the_month(world: World) -> None:
    world.emulator.add_fault(uncounted())
    config = dataclasses.replace(CONFIG, monthly_budget_usd=130 * PER_TOKEN)
    world.save(text_of(100, "a"))
    applied(world)
    world.store.save([Chunk(id="later", text=text_of(100, "b"))])
    with pytest.raises(BudgetExceededError):
        world.manager(config=config).flush_queue()


@pytest.mark.parametrize(
    ("effect", "billed"),
    [
        (DamageLines(damage=Damage.WRONG_DIMENSION, lines=Lines(containing="bad")), 2),
        (DamageLines(damage=Damage.DUPLICATE), 2),
        (DamageLines(damage=Damage.CONFLICT, lines=Lines(containing="bad")), 2),
        (FailLines(code=400, lines=Lines(containing="bad")), 1),
        (FailLines(code=400), 0),
    ],
)
def test_a_text_is_on_the_bill_once_if_it_was_embedded(
    world: World, effect: DamageLines | FailLines, billed: int
) -> None:
    """Whether its vector can be used or not, and however often its line stands."""
    world.emulator.add_fault(FaultRule(effect=effect))
    world.save("good", "bad")
    job = applied(world)
    paid = [one.tokens for one in world.emulator.ledger.entries() if one.billed_at is not None]
    assert len(paid) == billed
    # A spoiled line has lost its count, too: one token by estimate, as by count.
    assert (job.token_count, job.hold_reason) == (sum(paid), None)


def test_a_job_that_expired_half_way_is_billed_for_what_it_brought(world: World) -> None:
    world.emulator.add_fault(
        FaultRule(effect=EndJob(state="BATCH_STATE_EXPIRED", has_results=True))
    )
    world.emulator.add_fault(FaultRule(effect=SkipLines(lines=Lines(containing="later"))))
    world.save("first", "later")
    assert applied(world).token_count == world.emulator.ledger.tokens(live=False)


def test_a_receipt_keeps_the_price_at_which_a_job_was_sent(world: World) -> None:
    world.save(text_of(100, "a"))
    job = applied(world)
    table = PriceTable(
        prices={"gemini-embedding-001": Price(live=16_000.0, batch=8_000.0)},
        source="s",
        as_of="later",
    )
    dearer = dataclasses.replace(CONFIG, prices=table, monthly_budget_usd=1.0)
    receipt = world.manager(config=dearer).receipt()
    assert receipt.batch_usd == pytest.approx((job.token_count or 0) * PER_TOKEN)
    assert receipt.live_usd == pytest.approx(2 * (job.token_count or 0) * PER_TOKEN)
    # At the price of today the first job alone would have used 80 cents of the dollar.
    world.store.save([Chunk(id="later", text=text_of(100, "b"))])
    assert world.manager(config=dearer).flush_queue() is not None


def test_a_job_sent_without_a_price_is_priced_by_todays_table(world: World) -> None:
    """Nothing else is known of it."""
    nothing = PriceTable(prices={}, source="s", as_of="then")
    world.save("one")
    world.manager(config=dataclasses.replace(CONFIG, prices=nothing)).flush_queue()
    world.manager(config=dataclasses.replace(CONFIG, prices=nothing)).sync_status()
    unknown = world.manager(config=dataclasses.replace(CONFIG, prices=nothing)).receipt()
    assert (unknown.batch_usd, unknown.unpriced) == (None, (("gemini-embedding-001", 1),))
    assert world.manager().receipt().batch_usd == pytest.approx(PER_TOKEN)


# --- jobs that another copy of the database sent -----------------------------------------


@pytest.mark.parametrize(
    ("rule", "tokens", "estimated"),
    [
        # As the ledger has it; one text here is estimated as itself, one as the average of both.
        (None, 80, 0),
        (uncounted(), 80, 80),
        (uncounted("b"), 80, 50),
    ],
)
def test_an_adopted_job_is_on_the_receipt_and_in_the_budget(
    world: World, rule: FaultRule | None, tokens: int, estimated: int
) -> None:
    world.save(text_of(30, "a"), text_of(50, "b"))
    copy = world.backup()
    if rule is not None:
        world.emulator.add_fault(rule)
    world.manager().flush_queue()
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        config = dataclasses.replace(CONFIG, monthly_budget_usd=(tokens + 20) * PER_TOKEN)
        manager = world.manager(store=store, config=config)
        manager.sync_status()
        (job,) = manager.jobs()
        assert (job.token_count, job.uncounted_tokens) == (tokens, estimated)
        receipt = manager.receipt()
        assert (receipt.tokens, receipt.estimated_tokens) == (tokens, estimated)
        assert receipt.batch_usd == pytest.approx(tokens * PER_TOKEN)
        store.save([Chunk(id="later", text=text_of(40, "c"))])
        with pytest.raises(BudgetExceededError):
            manager.flush_queue()


def test_a_text_of_an_adopted_job_that_nobody_knows_costs_the_average(world: World) -> None:
    world.save(text_of(30, "a"), text_of(50, "b"))
    copy = world.backup()
    world.store.save([Chunk(id="new", text="a text that the copy does not have")])
    world.emulator.add_fault(uncounted())
    world.manager().flush_queue()
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store)
        manager.sync_status()
        assert manager.jobs()[0].token_count == 30 + 50 + 40


def test_a_found_job_that_still_runs_is_counted_by_estimate(tmp_path: Path) -> None:
    with open_world(tmp_path, pending_seconds=3600) as world:
        world.save(text_of(30, "a"), text_of(50, "b"))
        copy = world.backup()
        world.manager().flush_queue()
        with PeeweeVectorStore(copy, clock=world.clock) as store:
            manager = world.manager(store=store)
            manager.sync_status()
            assert manager.receipt().open_tokens == 80
