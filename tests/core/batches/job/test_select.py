"""The next job: whatever keeps some texts from being sent keeps no others, and status names it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from batch_emulator import FaultRule, Operation, Reply
from semantic_core.batches import Watch, WatchOptions
from semantic_core.domain.errors import (
    BudgetExceededError,
    ProviderError,
    RateLimitError,
    RequestRefusedError,
)
from semantic_core.domain.pricing import PriceTable
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, Obstacle
from semantic_core.domain.types import Chunk
from semantic_core.providers.facts import DEFAULT_PRICES
from support.world import CONFIG, World, open_world

OLD = EmbeddingSpec(model="gemini-embedding-2")
ONLY_NEW_HAS_A_PRICE = PriceTable(
    prices={"gemini-embedding-001": DEFAULT_PRICES.prices["gemini-embedding-001"]},
    source="s",
    as_of="today",
)


def save(world: World, *, old: int, new: int) -> None:
    """Save texts for two models, those for ``OLD`` first."""
    world.store.collection("old", OLD)
    world.store.save(
        [Chunk(id=f"o{number}", text=f"old {number}") for number in range(old)], collection="old"
    )
    world.clock.advance(1)
    world.save(*[f"new {number}" for number in range(new)])


def sent(world: World) -> list[tuple[str, int]]:
    """Return model and size of each job that the provider took."""
    return [(job.model, job.request_count) for job in world.emulator.jobs()]


def passed_over(world: World) -> dict[tuple[str, ...], str]:
    stats = world.store.stats()
    return {passed.collections: passed.why for passed in stats.passed_over}


def obstacles(world: World) -> list[Obstacle]:
    return [passed.obstacle for passed in world.store.stats().passed_over]


NEW_TEXTS = ("gemini-embedding-001", 5)


def test_too_few_old_texts_keep_no_others(world: World) -> None:
    save(world, old=3, new=5)
    assert world.manager().flush_queue(min_size=5) is not None
    assert sent(world) == [NEW_TEXTS]
    assert passed_over(world) == {
        ("old",): "3 texts, fewer than min_size=5. Next: once there are as many."
    }
    assert obstacles(world) == [Obstacle.LATER]
    assert world.manager().flush_queue(min_size=5) is None


def test_what_is_sent_is_no_longer_passed_over(world: World) -> None:
    save(world, old=3, new=5)
    world.manager().drain_queue(min_size=4)
    (passed,) = world.store.stats("old").passed_over
    assert (passed.model, passed.since) == (OLD.model, world.clock.now())
    assert world.store.stats("default").passed_over == ()
    world.clock.advance(60)
    world.manager().flush_queue(min_size=4)
    assert world.store.stats().passed_over == (passed,), "the moment is the first one"
    world.manager().flush_queue(min_size=3)
    assert world.store.stats().passed_over == ()


def test_what_waits_for_the_next_job_is_not_passed_over(world: World) -> None:
    save(world, old=0, new=5)
    manager = world.manager(config=dataclasses.replace(CONFIG, max_requests=2))
    with pytest.raises(BudgetExceededError):
        manager.flush_queue(max_cost=1e-12)
    assert set(passed_over(world)) == {("default",)}
    manager.flush_queue()
    assert (world.store.stats().waiting, passed_over(world)) == (3, {})


def test_texts_without_a_price_keep_no_others(world: World) -> None:
    save(world, old=3, new=5)
    config = dataclasses.replace(CONFIG, monthly_budget_usd=1.0, prices=ONLY_NEW_HAS_A_PRICE)
    manager = world.manager(config=config)
    assert manager.flush_queue() is not None
    assert sent(world) == [NEW_TEXTS]
    assert "No price is known for 'gemini-embedding-2'" in passed_over(world)["old",]
    assert obstacles(world) == [Obstacle.BUDGET]
    with pytest.raises(BudgetExceededError, match="gemini-embedding-2"):
        manager.flush_queue()


def test_drain_sends_all_that_a_budget_allows(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    save(world, old=3, new=5)
    config = dataclasses.replace(
        CONFIG, monthly_budget_usd=1.0, prices=ONLY_NEW_HAS_A_PRICE, max_requests=2
    )
    assert len(world.manager(config=config).drain_queue()) == 3
    assert "No price is known" in caplog.text


def test_a_text_that_is_too_dear_keeps_no_others(world: World) -> None:
    world.store.collection("old", OLD)
    world.store.save([Chunk(id="long", text="long " * 1000)], collection="old")
    world.save("short")
    assert world.manager().flush_queue(max_cost=0.00001) is not None
    assert sent(world) == [("gemini-embedding-001", 1)]
    assert "max_cost" in passed_over(world)["old",]


@pytest.mark.parametrize(
    ("code", "obstacle"), [(401, Obstacle.REFUSAL), (404, Obstacle.REFUSAL), (429, Obstacle.LATER)]
)
def test_what_keeps_texts_does_not_depend_on_the_words_for_it(
    world: World, code: int, obstacle: Obstacle
) -> None:
    save(world, old=3, new=0)
    words = "The budget is used up. Next: see the console."
    refused = FaultRule(operation=Operation.CREATE, effect=Reply(code=code, message=words))
    world.emulator.add_fault(refused)
    with pytest.raises(ProviderError):
        world.manager().flush_queue()
    (passed,) = world.store.stats().passed_over
    assert words in passed.why
    assert (passed.obstacle, passed.needs_somebody) == (obstacle, obstacle is not Obstacle.LATER)


@pytest.mark.parametrize("code", [400, 404, 429])
def test_a_refusal_of_one_model_keeps_no_other(
    world: World, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    save(world, old=3, new=5)
    refused = FaultRule(
        operation=Operation.CREATE, target=OLD.model, effect=Reply(code=code), times=None
    )
    world.emulator.add_fault(refused)
    assert world.manager().flush_queue() is not None
    assert sent(world) == [NEW_TEXTS]
    assert str(code) in caplog.text
    (waiting,) = {chunk.status for chunk in world.store.chunks(collection="old")}
    assert waiting is EmbeddingStatus.PENDING


def test_a_refusal_is_raised_where_nothing_else_goes(world: World) -> None:
    save(world, old=3, new=0)
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=429)))
    with pytest.raises(RateLimitError, match="Next: with what is open at most"):
        world.manager().flush_queue()
    assert world.manager().flush_queue() is None, "not before its time"
    assert "Next: with what is open at most" in passed_over(world)["old",]


def test_a_drain_sends_everything_else_and_uploads_what_is_refused_once(world: World) -> None:
    save(world, old=3, new=5)
    world.emulator.add_fault(
        FaultRule(
            operation=Operation.CREATE,
            target=OLD.model,
            effect=Reply(code=429, retry_after=0),
            times=None,
        )
    )
    manager = world.manager(config=dataclasses.replace(CONFIG, max_requests=2))
    assert len(manager.drain_queue()) == 3
    assert len(world.emulator.calls(Operation.UPLOAD_START)) == 4


def test_a_drain_raises_a_refusal_for_good_after_all_others_were_sent(world: World) -> None:
    save(world, old=3, new=5)
    world.emulator.add_fault(
        FaultRule(operation=Operation.CREATE, target=OLD.model, effect=Reply(code=400), times=None)
    )
    manager = world.manager(config=dataclasses.replace(CONFIG, max_requests=2))
    with pytest.raises(RequestRefusedError):
        manager.drain_queue()
    assert len(sent(world)) == 3
    assert len(world.emulator.calls(Operation.CREATE)) == 4


def test_one_space_waits_for_a_job_to_end_and_the_other_does_not(tmp_path: Path) -> None:
    with open_world(tmp_path, pending_seconds=3600, most_open_jobs=1) as world:
        save(world, old=3, new=5)
        manager = world.manager(config=dataclasses.replace(CONFIG, max_requests=2))
        assert len(manager.drain_queue()) == 2
        assert {model for model, _ in sent(world)} == {OLD.model, "gemini-embedding-001"}
        assert set(passed_over(world)) == {("old",), ("default",)}


def test_a_watch_waits_for_enough_of_each_model(world: World) -> None:
    """An old text that cannot go must not send others one by one."""
    save(world, old=3, new=2)
    world.emulator.add_fault(
        FaultRule(operation=Operation.CREATE, target=OLD.model, effect=Reply(code=429), times=None)
    )
    watching = Watch(world.manager(), WatchOptions(min_size=3, max_age=600))
    assert watching.round().sent == ()
    world.clock.advance(590)
    world.save("new 0", "new 1", "another")
    assert len(watching.round().sent) == 1
    world.store.save([Chunk(id="late", text="late")])
    world.clock.advance(100)
    assert watching.round().sent == ()
    world.clock.advance(600)
    assert len(watching.round().sent) == 1


def test_an_estimate_is_of_what_a_drain_sends(world: World) -> None:
    save(world, old=3, new=5)
    world.store.collection("side", EmbeddingSpec())
    world.store.save([Chunk(id="s", text="new 1"), Chunk(id="t", text="x")], collection="side")
    texts = world.manager().estimate().texts
    world.manager(config=dataclasses.replace(CONFIG, max_requests=2)).drain_queue()
    assert sum(size for _, size in sent(world)) == texts == 9
    assert world.manager().estimate().texts == 0
