"""The spot check: a result under another text's key is noticed before anything serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batch_emulator import Drop, FaultRule, Operation, Reply, SwapResults
from semantic_core.batches import BatchConfig
from semantic_core.batches.job.check import CheckedText
from semantic_core.domain.errors import (
    AuthError,
    BudgetExceededError,
    ConfigurationError,
    MissingDefaultKeyError,
    ProviderUnavailableError,
)
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.media import Media
from semantic_core.domain.pricing import estimate_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, JobStatus
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini.keyring import GoogleKeyring
from support.chunks import count_vectors
from support.keys import BATCH_KEY
from support.pictures import picture
from support.world import CONFIG, World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING

CHECKED = replace(CONFIG, spot_check=2)

TEXTS = ("The cat sleeps on the mat.", "Interest rates rose again.", "How to boil an egg.")


def swap(world: World, first: int = 0, second: int = 1) -> None:
    world.emulator.add_fault(FaultRule(effect=SwapResults(first=first, second=second)))


def live_calls(world: World) -> int:
    return len(world.emulator.calls(Operation.EMBED))


def test_without_a_spot_check_swapped_results_are_not_noticed(world: World) -> None:
    """What is not promised: both lines are whole, and each has the key of the other."""
    swap(world)
    world.save(*TEXTS)
    manager = world.manager()
    manager.flush_queue()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert live_calls(world) == 0


def test_swapped_results_hold_the_job_and_none_is_used(world: World) -> None:
    swap(world)
    world.save(*TEXTS[:2])
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    manager.sync_status()
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.SPOT_CHECK
    assert "2 texts embedded live again, cosines" in (job.error_message or "")
    assert count_vectors(world.store) == 0
    assert set(world.statuses().values()) == {PENDING}
    assert manager.flush_queue() is None


def test_swapped_pictures_are_noticed(world: World) -> None:
    world.store.collection(spec=EmbeddingSpec.gemini_embedding_2(dimensions=256))
    world.store.save([Chunk(text="", media=Media(picture(number))) for number in range(2)])
    swap(world)
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    manager.sync_status()
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.SPOT_CHECK
    assert count_vectors(world.store) == 0


def test_good_pictures_pass_but_those_whose_file_is_gone(world: World, tmp_path: Path) -> None:
    world.store.collection(spec=EmbeddingSpec.gemini_embedding_2(dimensions=256))
    gone = tmp_path / "gone.png"
    gone.write_bytes(picture(1))
    media = [Media(gone), Media(picture(2))]
    world.store.save([Chunk(text="", media=one) for one in media])
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    gone.unlink()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert world.emulator.ledger.media_tokens(live=True) == 258
    assert manager.receipt().check_tokens == 581


def test_a_failed_check_is_not_paid_for_again(world: World) -> None:
    """Nor does a manager that checks nothing take the results: only a person ends it."""
    swap(world)
    world.save(*TEXTS[:2])
    batch_id = world.manager(config=CHECKED).flush_queue()
    for manager in (world.manager(config=CHECKED), world.manager()):
        manager.sync_status()
        world.clock.advance(CONFIG.refetch_delay * 2)
        manager.sync_status()
    assert live_calls(world) == 1
    assert count_vectors(world.store) == 0
    assert batch_id is not None
    manager.release(batch_id, accept_rebilling=True)
    assert manager.get_queue_stats().waiting == 2


def test_good_results_pass_and_are_stored_as_ever(world: World) -> None:
    world.save(*TEXTS)
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert live_calls(world) == 1
    assert world.emulator.ledger.billed().total() == 3 + 2
    assert world.query(
        "SELECT texts, CAST(100 * worst_cosine + 0.5 AS INTEGER), is_passed FROM spot_checks"
    ) == [(2, 100, 1)]


def test_the_check_is_in_receipt_and_budget(world: World) -> None:
    world.save(TEXTS[0])
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    manager.sync_status()
    receipt = manager.receipt()
    tokens = estimate_tokens(TEXTS[0])
    assert receipt.check_tokens == tokens
    assert receipt.check_usd == pytest.approx(tokens * 0.15 / 1_000_000)
    assert manager.receipt(since=world.clock.now() + 1).check_tokens == 0


def test_the_price_of_the_check_is_set_aside_when_a_job_is_claimed(world: World) -> None:
    """Else the budget would be spent on the job alone, and its results could not be checked."""
    world.save(*(f"Text number {number} of many." for number in range(50)))
    # Room for the checks of one job, which may be as long as the model takes, and some texts.
    aside = 2 * 2048 * 0.15 / 1_000_000
    budget = aside + 40 * 0.075 / 1_000_000
    manager = world.manager(config=replace(CHECKED, monthly_budget_usd=budget))
    manager.flush_queue()
    (job,) = manager.jobs()
    assert 0 < job.request_count < 10
    with pytest.raises(BudgetExceededError):
        manager.flush_queue()
    manager.sync_status()
    assert manager.jobs()[0].status is JobStatus.COMPLETED
    with pytest.raises(BudgetExceededError):
        world.manager(config=replace(CHECKED, monthly_budget_usd=aside / 2)).flush_queue()


def test_where_the_live_call_fails_nothing_is_stored_until_it_works(world: World) -> None:
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Reply(code=403), times=None)
    )
    world.save(*TEXTS)
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    with pytest.raises(AuthError):
        manager.sync_status()
    assert count_vectors(world.store) == 0
    assert manager.receipt().check_tokens == 0
    world.emulator.clear_faults()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert manager.receipt().check_tokens > 0


def test_a_lost_answer_counts_as_paid(world: World) -> None:
    world.emulator.add_fault(
        FaultRule(operation=Operation.EMBED, effect=Drop(after=True), times=None)
    )
    world.save(TEXTS[0])
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    with pytest.raises(ProviderUnavailableError):
        manager.sync_status()
    assert manager.receipt().check_tokens == estimate_tokens(TEXTS[0])


def test_a_job_that_passed_is_not_checked_again_after_a_crash(world: World) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    world.save(*TEXTS)
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    arm(FailPoint.APPLY_PAGE_WRITTEN, die)
    with pytest.raises(Killed):
        manager.sync_status()
    disarm()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert live_calls(world) == 1


def test_texts_that_are_gone_are_not_checked(world: World) -> None:
    world.save(*TEXTS)
    manager = world.manager(config=CHECKED)
    manager.flush_queue()
    world.store.delete(ids=["c0", "c1"])
    manager.sync_status()
    assert world.chunk("c2").status is READY
    assert world.query("SELECT texts FROM spot_checks") == [(1,)]


def test_a_job_of_a_restored_copy_is_checked_as_well(world: World) -> None:
    swap(world)
    world.save(*TEXTS[:2])
    backup = world.backup()
    world.manager().flush_queue()
    with type(world.store)(backup, clock=world.clock) as store:
        manager = world.manager(store=store, config=CHECKED)
        manager.sync_status()
        manager.sync_status()
        (job,) = manager.get_queue_stats().held_jobs
        assert job.hold_reason is HoldReason.SPOT_CHECK
        assert count_vectors(store) == 0


def test_it_needs_a_default_key_before_anything_is_sent(world: World) -> None:
    world.save(*TEXTS)
    manager = world.manager(config=CHECKED)
    manager.keyring = GoogleKeyring(batch_key=BATCH_KEY)
    with pytest.raises(MissingDefaultKeyError):
        manager.flush_queue()
    assert world.creates() == 0
    with pytest.raises(ConfigurationError, match="spot_check"):
        BatchConfig(spot_check=-1)


@pytest.mark.parametrize(
    ("cosine", "nearest", "is_good"),
    [
        (1.0, None, True),
        (0.9, None, True),
        (0.899, None, False),
        (0.95, 0.969, True),
        (0.95, 0.971, False),
        (0.2, 0.1, False),
    ],
)
def test_what_counts_as_wrong(cosine: float, nearest: float | None, is_good: bool) -> None:  # noqa: FBT001
    assert CheckedText(cosine=cosine, nearest=nearest).is_good is is_good
