"""However a job ends and whatever its result file holds: each text is billed once, all is applied."""

from __future__ import annotations

from contextlib import suppress

import pytest

from batch_emulator import (
    CutResult,
    Damage,
    DamageLines,
    Drop,
    EndJob,
    FailLines,
    FaultRule,
    Lines,
    Operation,
    SkipLines,
    StickJob,
)
from semantic_core.batches import BatchManager
from semantic_core.domain.errors import ProviderError
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, JobStatus
from semantic_core.domain.types import BatchJob
from semantic_core.store import PeeweeVectorStore
from support.setups import copied
from support.world import World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING

TEXTS = ("first one", "first two", "later one", "later two", "later three")

ENDS = ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "EXPIRED", "CANCELLED", "CANCELLED_BY_US")
FILES = ("all_lines", "some_lines", "no_lines", "no_file")


def end_job(world: World, ending: str, file: str, *, is_counted: bool = True) -> None:
    """Let the next job end so."""
    state = f"BATCH_STATE_{ending.removesuffix('_BY_US')}"
    has_results = file != "no_file"
    world.emulator.add_fault(
        FaultRule(effect=EndJob(state=state, has_results=has_results, is_counted=is_counted))
    )
    if file in ("some_lines", "no_lines"):
        skipped = Lines(containing="later") if file == "some_lines" else Lines()
        world.emulator.add_fault(FaultRule(effect=SkipLines(lines=skipped)))


def flushed(world: World, ending: str) -> BatchManager:
    manager = world.manager()
    batch_id = manager.flush_queue()
    assert batch_id is not None
    if ending == "CANCELLED_BY_US":
        # The wish is on record, and the job ends before the call arrives.
        lost = world.emulator.add_fault(
            FaultRule(operation=Operation.CANCEL, effect=Drop(), times=None)
        )
        with suppress(ProviderError):
            manager.cancel(batch_id)
        world.emulator.remove_fault(lost)
    return manager


def as_cron(world: World, manager: BatchManager, rounds: int = 3) -> None:
    for _ in range(rounds):
        manager.sync_status()
        world.clock.advance(3601)
        manager.drain_queue()
    manager.sync_status()


def release_all(manager: BatchManager) -> list[BatchJob]:
    held = list(manager.get_queue_stats().held_jobs)
    for job in held:
        manager.release(job.id, accept_rebilling=True)
    return held


def is_held(ending: str, file: str) -> bool:
    """Whether the provider's own words leave it to a person: it says done, and names nothing."""
    return file in ("no_lines", "no_file") and ending in (
        "SUCCEEDED",
        "PARTIALLY_SUCCEEDED",
        "CANCELLED",
    )


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("ending", ENDS)
def test_what_a_file_holds_is_applied_and_only_the_rest_goes_again(
    world: World, ending: str, file: str
) -> None:
    end_job(world, ending, file)
    world.save(*TEXTS)
    manager = flushed(world, ending)
    manager.sync_status()
    served = {"all_lines": 5, "some_lines": 2}.get(file, 0)
    assert list(world.statuses().values()).count(READY) == served
    (job,) = manager.jobs()
    assert (job.hold_reason is not None) is is_held(ending, file)
    if served:
        assert (job.status, job.done_count) == (JobStatus.COMPLETED, served)
        billed = [entry.tokens for entry in world.emulator.ledger.entries() if entry.billed_at]
        assert (job.token_count, len(billed)) == (sum(billed), served)
    as_cron(world, manager)
    if release_all(manager):
        assert world.creates() == 1
        as_cron(world, manager)
    assert set(world.statuses().values()) == {READY}
    assert {world.emulator.ledger.times_billed(text) for text in TEXTS} == {1}
    assert world.creates() == (1 if served == len(TEXTS) else 2)
    assert world.emulator.violations == []


@pytest.mark.parametrize("ending", ENDS)
def test_a_file_with_fewer_lines_than_are_counted_holds_the_job(world: World, ending: str) -> None:
    """C10: what it lacks was billed."""
    end_job(world, ending, "all_lines")
    world.emulator.add_fault(
        FaultRule(effect=DamageLines(damage=Damage.MISSING, lines=Lines(containing="later three")))
    )
    world.save(*TEXTS)
    manager = flushed(world, ending)
    as_cron(world, manager)
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.BAD_RESULTS
    assert "counts 5 embedded texts, the file holds 4" in (job.error_message or "")
    assert list(world.statuses().values()).count(READY) == 4
    assert world.creates() == 1


def test_errors_in_a_file_make_up_for_no_vector_that_it_lacks(world: World) -> None:
    """C10: two lines were cut off, and two others hold errors."""
    world.emulator.add_fault(FaultRule(effect=FailLines(code=503, lines=Lines(containing="first"))))
    world.emulator.add_fault(
        FaultRule(effect=DamageLines(damage=Damage.MISSING, lines=Lines(containing="later three")))
    )
    world.save(*TEXTS)
    manager = flushed(world, "SUCCEEDED")
    # Both rules strike the job: the errors its first two texts, the cut its last one.
    as_cron(world, manager)
    (job,) = manager.get_queue_stats().held_jobs
    assert "counts 3 embedded texts, the file holds 2" in (job.error_message or "")
    assert world.creates() == 1


def test_a_line_that_stands_twice_makes_up_for_no_other(world: World) -> None:
    """C10, C13"""
    for damage, words in ((Damage.DUPLICATE, "first one"), (Damage.MISSING, "later one")):
        world.emulator.add_fault(
            FaultRule(effect=DamageLines(damage=damage, lines=Lines(containing=words)))
        )
    world.save(*TEXTS)
    manager = flushed(world, "SUCCEEDED")
    as_cron(world, manager)
    assert len(manager.get_queue_stats().held_jobs) == 1
    assert world.creates() == 1


@pytest.mark.parametrize(
    ("ending", "is_held"), [("SUCCEEDED", True), ("PARTIALLY_SUCCEEDED", True), ("EXPIRED", False)]
)
def test_a_short_file_that_nobody_counts_is_not_trusted_to_be_whole(
    world: World, ending: str, *, is_held: bool
) -> None:
    """C10: the texts that it lacks may have been billed. A job that expired did not get to all."""
    end_job(world, ending, "some_lines", is_counted=False)
    world.save(*TEXTS)
    manager = flushed(world, ending)
    manager.sync_status()
    assert (manager.jobs()[0].hold_reason is HoldReason.BAD_RESULTS) is is_held


def test_a_whole_file_that_nobody_counts_is_used(world: World) -> None:
    end_job(world, "SUCCEEDED", "all_lines", is_counted=False)
    world.save(*TEXTS)
    manager = flushed(world, "SUCCEEDED")
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}


def test_a_failed_job_that_counts_texts_but_names_no_file_is_held(world: World) -> None:
    """C3: what is counted was embedded, and may have been billed."""
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED", is_billed=True)))
    world.save(*TEXTS)
    manager = flushed(world, "FAILED")
    as_cron(world, manager)
    (job,) = manager.get_queue_stats().held_jobs
    assert "counts 5 embedded texts and names no result file" in (job.error_message or "")
    assert world.creates() == 1


def test_a_cut_file_of_an_expired_job_is_held(world: World) -> None:
    """C10"""
    end_job(world, "EXPIRED", "all_lines")
    world.emulator.add_fault(FaultRule(effect=CutResult(at=20_000)))
    world.save(*TEXTS)
    manager = flushed(world, "EXPIRED")
    as_cron(world, manager)
    assert len(manager.get_queue_stats().held_jobs) == 1
    assert world.creates() == 1


# --- a word not known here ---------------------------------------------------------------


@pytest.mark.parametrize("file", ["no_lines", "no_file"])
def test_an_end_under_a_word_not_known_here_is_held(world: World, file: str) -> None:
    """C2: nobody knows what it means for the bill."""
    end_job(world, "PONDERING", file)
    world.save(*TEXTS)
    manager = flushed(world, "PONDERING")
    as_cron(world, manager)
    (job,) = manager.get_queue_stats().held_jobs
    assert "in a state not known here (BATCH_STATE_PONDERING)" in (job.error_message or "")
    assert world.creates() == 1


def test_results_under_a_word_not_known_here_are_taken_and_nothing_is_sent_again(
    world: World,
) -> None:
    """C2"""
    end_job(world, "PONDERING", "some_lines")
    world.save(*TEXTS)
    manager = flushed(world, "PONDERING")
    manager.sync_status()
    assert list(world.statuses().values()).count(READY) == 2
    assert manager.jobs()[0].hold_reason is HoldReason.BAD_RESULTS
    as_cron(world, manager)
    assert world.creates() == 1


def test_whole_results_under_a_word_not_known_here_complete_the_job(world: World) -> None:
    """C2"""
    end_job(world, "PONDERING", "all_lines")
    world.save(*TEXTS)
    manager = flushed(world, "PONDERING")
    assert list(manager.sync_status().values()) == [JobStatus.COMPLETED]
    assert set(world.statuses().values()) == {READY}


# --- jobs that nobody here knows ---------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("ending", ENDS[:-1])
def test_a_found_job_is_decided_in_the_same_way(world: World, ending: str, file: str) -> None:
    """B19, E14"""
    end_job(world, ending, file)
    world.save(*TEXTS)
    with copied(world) as store:
        world.manager().flush_queue()
        world.emulator.jobs()
        manager = world.manager(store=store)
        as_cron(world, manager)
        if held := release_all(manager):
            assert world.creates() == (2 if ending == "CANCELLED" else 1), held
            as_cron(world, manager)
        check_all_ready(store)
    assert {world.emulator.ledger.times_billed(text) for text in TEXTS} == {1}


def test_a_found_job_with_fewer_lines_than_are_counted_stops_the_queue(world: World) -> None:
    """C10: nobody knows which text it lacks, so any that is sent may be paid for twice."""
    end_job(world, "PARTIALLY_SUCCEEDED", "all_lines")
    world.emulator.add_fault(
        FaultRule(effect=DamageLines(damage=Damage.MISSING, lines=Lines(containing="later")))
    )
    world.save(*TEXTS)
    with copied(world) as store:
        world.manager().flush_queue()
        manager = world.manager(store=store)
        as_cron(world, manager)
        (job,) = manager.get_queue_stats().held_jobs
        assert job.hold_reason is HoldReason.BAD_RESULTS
        assert world.creates() == 1
        manager.release(job.id, accept_rebilling=True)
        as_cron(world, manager)
        check_all_ready(store)


def test_a_found_job_that_may_still_run_is_waited_for(world: World) -> None:
    """C2, B19"""
    world.emulator.add_fault(FaultRule(effect=StickJob(state="BATCH_STATE_PONDERING")))
    world.save(*TEXTS)
    with copied(world) as store:
        world.manager().flush_queue()
        as_cron(world, world.manager(store=store))
    assert world.creates() == 1


def check_all_ready(store: PeeweeVectorStore) -> None:
    assert {chunk.status for chunk in store.chunks()} == {READY}
