"""Bringing results back: by hash, at any time, twice, and with whatever the provider does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from batch_emulator import (
    CutDownload,
    CutResult,
    Damage,
    DamageLines,
    EndJob,
    FailLines,
    FaultRule,
    Garbage,
    Lines,
    Operation,
    Reply,
    SkipLines,
    StickJob,
    fake_embed,
)
from semantic_core.batches import BatchManager
from semantic_core.domain.errors import (
    AuthError,
    BatchNotFoundError,
    ProviderUnavailableError,
    StorageFullError,
    TransitionError,
    WaitTimeoutError,
)
from semantic_core.domain.failpoints import FailPoint
from semantic_core.domain.statuses import (
    EmbeddingStatus,
    FailureReason,
    HoldReason,
    JobStatus,
    JobStep,
    SearchMode,
)
from semantic_core.domain.types import Chunk, QueueStats
from support.setups import armed, flushed
from support.world import BATCH_KEY, CONFIG, OTHER_KEY, ROTATED_KEY, World, open_world

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED


def sync_until_quiet(world: World, manager: BatchManager, rounds: int = 12) -> None:
    """Flush and sync with time passing, as cron would."""
    for _ in range(rounds):
        world.clock.advance(3601)
        manager.sync_status()
        manager.drain_queue()
    manager.sync_status()


# --- the good way ------------------------------------------------------------------------


def test_results_become_the_vectors_of_exactly_their_texts(world: World) -> None:
    """C15: result lines come back in another order."""
    texts = [f"text number {number}" for number in range(50)]
    manager = flushed(world, *texts)
    manager.sync_status()
    for number, text in enumerate(texts):
        expected = np.asarray(
            fake_embed(
                text, model="gemini-embedding-001", dimensions=768, task_type="RETRIEVAL_DOCUMENT"
            ),
            dtype=np.float64,
        )
        expected /= np.linalg.norm(expected)
        (hit,) = world.store.search(
            vector=expected, ids=[f"c{number}"], mode=SearchMode.VECTOR, limit=1
        )
        assert hit.score == pytest.approx(1.0, abs=1e-5)


def test_a_completed_job_is_recorded_billed_once_and_cleaned(world: World) -> None:
    manager = flushed(world, "one", "two")
    batch_id = manager.jobs()[0].id
    assert manager.sync_status() == {batch_id: JobStatus.COMPLETED}
    (job,) = manager.jobs()
    assert (job.step, job.done_count, job.failed_count) == (JobStep.CLEANED, 2, 0)
    assert job.token_count == world.emulator.ledger.tokens(live=False)
    assert world.emulator.violations == []
    assert not world.emulator.ledger.overbilled()


def test_syncing_again_changes_no_row_and_sends_nothing(world: World) -> None:
    """I8"""
    manager = flushed(world, "one")
    manager.sync_status()
    before = world.query("SELECT * FROM batch_jobs"), world.query("SELECT * FROM chunks")
    requests = len(world.emulator.requests)
    assert manager.sync_status() == {}
    assert manager.flush_queue() is None
    assert (world.query("SELECT * FROM batch_jobs"), world.query("SELECT * FROM chunks")) == before
    assert len(world.emulator.requests) == requests


def test_status_follows_the_provider(tmp_path: object) -> None:
    with open_world(tmp_path, pending_seconds=60, running_seconds=60) as world:  # type: ignore[arg-type]
        manager = flushed(world, "one")
        batch_id = manager.jobs()[0].id
        assert manager.sync_status() == {batch_id: JobStatus.SUBMITTED}
        world.clock.advance(61)
        assert manager.sync_status() == {batch_id: JobStatus.PROCESSING}
        world.clock.advance(61)
        assert manager.sync_status() == {batch_id: JobStatus.COMPLETED}


# --- texts that change meanwhile ---------------------------------------------------------


def test_delete_in_flight(world: World) -> None:
    """D7: the paid vector is kept as cache, and the chunk does not come back."""
    manager = flushed(world, "one", "two")
    world.store.delete(ids=["c0"])
    manager.sync_status()
    assert world.statuses() == {"c1": READY}
    world.save("one")
    assert world.chunk().status is READY
    assert manager.flush_queue() is None


def test_edit_in_flight(world: World) -> None:
    """D8: the arriving vector serves nobody; A to B to A is READY and free."""
    manager = flushed(world, "version A")
    world.save("version B")
    manager.sync_status()
    assert world.chunk().status is PENDING
    world.save("version A")
    assert world.chunk().status is READY
    assert world.emulator.ledger.times_billed("version A") == 1
    assert manager.flush_queue() is None


def test_a_new_chunk_with_a_text_in_flight_waits_for_that_job(world: World) -> None:
    manager = flushed(world, "one")
    world.store.save([Chunk(id="later", text="one")])
    assert manager.flush_queue() is None
    manager.sync_status()
    assert world.statuses() == {"c0": READY, "later": READY}


def test_one_text_in_two_collections_is_billed_once(world: World) -> None:
    world.save("one")
    world.store.save([Chunk(id="x", text="one")], collection="side")
    world.manager().flush_queue()
    world.manager().sync_status()
    assert world.store.get(["x"], collection="side")[0].status is READY
    assert world.emulator.ledger.times_billed("one") == 1


# --- lines that are wrong ----------------------------------------------------------------


def test_a_permanent_line_error_fails_that_text_with_the_providers_words(world: World) -> None:
    """C19"""
    world.emulator.add_fault(
        FaultRule(effect=FailLines(code=400, message="too rude", lines=Lines(containing="bad")))
    )
    manager = flushed(world, "good", "bad")
    manager.sync_status()
    assert world.statuses() == {"c0": READY, "c1": FAILED}
    assert "too rude" in (world.chunk("c1").error_message or "")
    sync_until_quiet(world, manager)
    assert world.creates() == 1


def test_a_transient_line_error_is_tried_again_within_the_budget(world: World) -> None:
    """C18"""
    world.emulator.add_fault(
        FaultRule(effect=FailLines(code=503, lines=Lines(containing="shy")), times=None)
    )
    manager = flushed(world, "good", "shy")
    manager.sync_status()
    assert world.chunk("c1").status is PENDING
    assert manager.flush_queue() is None  # backing off
    sync_until_quiet(world, manager)
    assert world.chunk("c1").status is FAILED
    assert world.creates() == 3
    assert world.emulator.ledger.times_billed("good") == 1

    world.emulator.clear_faults()
    assert manager.retry_failed() == 1
    assert world.chunk("c1").status is PENDING
    manager.flush_queue()
    manager.sync_status()
    assert world.chunk("c1").status is READY


def test_quota_line_errors_do_not_use_up_the_budget(world: World) -> None:
    world.emulator.add_fault(FaultRule(effect=FailLines(code=429), times=5))
    manager = flushed(world, "one")
    sync_until_quiet(world, manager)
    assert world.chunk().status is READY
    assert world.creates() == 6


@pytest.mark.parametrize(
    "damage",
    [
        Damage.NAN,
        Damage.INFINITE,
        Damage.ZERO,
        Damage.OVERFLOW,
        Damage.TEXT_NUMBERS,
        Damage.BOOLEANS,
        Damage.MALFORMED,
        Damage.EMPTY,
        Damage.MISSING,
        Damage.WRONG_DIMENSION,
        Damage.CONFLICT,
        Damage.NO_KEY,
    ],
)
def test_a_bad_line_costs_only_its_own_row(world: World, damage: Damage) -> None:
    """C11, C13, C16, C17"""
    world.emulator.add_fault(
        FaultRule(effect=DamageLines(damage=damage, lines=Lines(containing="bad")))
    )
    manager = flushed(world, *[f"good {number}" for number in range(20)], "bad")
    manager.sync_status()
    held = manager.get_queue_stats().held_jobs
    if held:  # a file that holds less than the provider counts is not trusted to be whole
        assert held[0].hold_reason is HoldReason.BAD_RESULTS
        assert damage in (Damage.MISSING, Damage.NO_KEY, Damage.MALFORMED)
        manager.release(held[0].id, accept_rebilling=True)
    assert [status for name, status in world.statuses().items() if name != "c20"] == [READY] * 20
    assert world.chunk("c20").status is PENDING
    sync_until_quiet(world, manager, rounds=2)
    assert world.chunk("c20").status is READY
    assert not world.emulator.ledger.overbilled()


@pytest.mark.parametrize("damage", [Damage.DUPLICATE, Damage.FOREIGN_KEY])
def test_repeated_and_unknown_lines_are_ignored(world: World, damage: Damage) -> None:
    """C13, C14"""
    world.emulator.add_fault(FaultRule(effect=DamageLines(damage=damage)))
    manager = flushed(world, "one", "two")
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert world.query("SELECT count(*) FROM embeddings") == [(2,)]


def test_vectors_of_another_size_hold_the_job(world: World) -> None:
    """C16: paying again would buy the same."""
    world.emulator.add_fault(FaultRule(effect=DamageLines(damage=Damage.WRONG_DIMENSION)))
    manager = flushed(world, "one", "two", "three")
    manager.sync_status()
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.BAD_RESULTS
    sync_until_quiet(world, manager)
    assert world.creates() == 1
    assert set(world.statuses().values()) == {PENDING}


def test_a_result_cut_short_is_not_paid_for_again(world: World) -> None:
    """C10: the provider counts more embedded texts than the file holds."""
    world.emulator.add_fault(FaultRule(effect=CutResult(at=20_000)))
    manager = flushed(world, *[f"text {number}" for number in range(10)])
    manager.sync_status()
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.BAD_RESULTS
    sync_until_quiet(world, manager, rounds=3)
    assert world.creates() == 1


def test_an_empty_result_file_holds_the_job(world: World) -> None:
    """C20: asking for it again and again would never end the job."""
    world.emulator.add_fault(FaultRule(effect=DamageLines(damage=Damage.MISSING)))
    manager = flushed(world, "one", "two")
    assert list(manager.sync_status().values()) == [JobStatus.PROCESSING]
    assert manager.get_queue_stats().held_jobs[0].hold_reason is HoldReason.BAD_RESULTS
    assert set(world.statuses().values()) == {PENDING}
    sync_until_quiet(world, manager, rounds=2)
    assert world.creates() == 1


def test_success_without_a_result_file_holds_the_job(world: World) -> None:
    """C20"""
    world.emulator.add_fault(
        FaultRule(effect=EndJob(state="BATCH_STATE_SUCCEEDED", has_results=False))
    )
    manager = flushed(world, "one")
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs[0].hold_reason is HoldReason.BAD_RESULTS
    assert world.chunk().status is PENDING


# --- jobs that end badly -----------------------------------------------------------------


def test_a_failed_job_is_sent_again_once_by_itself(world: World) -> None:
    """C3"""
    world.emulator.add_fault(
        FaultRule(effect=EndJob(state="BATCH_STATE_FAILED", message="no luck"), times=None)
    )
    manager = flushed(world, "one")
    sync_until_quiet(world, manager)
    assert world.creates() == 2
    assert world.chunk().status is FAILED
    assert "no luck" in (world.chunk().error_message or "")
    assert {job.failure_reason for job in manager.jobs()} == {FailureReason.PROVIDER_FAILED}


def test_an_expired_job_is_sent_again_and_gives_up_after_three(world: World) -> None:
    """C4"""
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_EXPIRED"), times=None))
    manager = flushed(world, "one")
    sync_until_quiet(world, manager)
    assert world.creates() == 3
    assert world.chunk().status is FAILED


def test_a_partly_successful_job_sends_only_the_rest_again(world: World) -> None:
    """C6"""
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_PARTIALLY_SUCCEEDED")))
    world.emulator.add_fault(FaultRule(effect=SkipLines(lines=Lines(containing="left out"))))
    manager = flushed(world, "one", "left out")
    manager.sync_status()
    assert world.statuses() == {"c0": READY, "c1": PENDING}
    sync_until_quiet(world, manager, rounds=2)
    assert world.statuses() == {"c0": READY, "c1": READY}
    assert world.emulator.ledger.times_billed("one") == 1


def test_a_job_cancelled_elsewhere_is_held_until_it_is_released(world: World) -> None:
    """C5"""
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
    manager = flushed(world, "one")
    sync_until_quiet(world, manager, rounds=3)
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.CANCELLED_ELSEWHERE
    assert world.creates() == 1
    with pytest.raises(TransitionError, match="second time"):
        manager.release(job.id, accept_rebilling=False)
    manager.release(job.id, accept_rebilling=True)
    assert manager.flush_queue() is not None
    manager.sync_status()
    assert world.chunk().status is READY


def test_a_state_from_the_future_is_waited_for(world: World) -> None:
    """C2"""
    rule = world.emulator.add_fault(FaultRule(effect=StickJob(state="BATCH_STATE_PONDERING")))
    manager = flushed(world, "one")
    (batch_id,) = manager.sync_status()
    assert manager.jobs()[0].is_open
    assert "PONDERING" in str(manager.jobs()[0].provider_state)
    world.emulator.remove_fault(rule)
    assert manager.sync_status() == {batch_id: JobStatus.COMPLETED}


def test_one_jobs_fault_does_not_stop_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """C1"""
    world.save("one", "two", "three")
    manager = world.manager(config=dataclasses.replace(CONFIG, max_requests=1))
    manager.drain_queue()
    middle = manager.jobs()[1]
    world.emulator.add_fault(
        FaultRule(
            operation=Operation.GET,
            effect=Reply(code=503),
            target=str(middle.google_job_id),
            times=None,
        )
    )
    statuses = manager.sync_status()
    assert sorted(statuses.values()) == ["COMPLETED", "COMPLETED", "SUBMITTED"]
    assert "503" in (manager.jobs()[1].error_message or "")
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert middle.id in warning
    assert "503" in warning
    world.emulator.clear_faults()
    manager.sync_status()
    assert manager.jobs()[1].error_message is None
    assert set(world.statuses().values()) == {READY}


def test_a_listing_that_fails_does_not_stop_the_polling(world: World) -> None:
    """C1: looking for jobs without a row is one thing, polling those with one another."""
    flushed(world, "one")
    world.store.save([Chunk(id="later", text="two")])
    world.emulator.add_fault(
        FaultRule(operation=Operation.LIST, effect=Reply(code=503), times=None)
    )
    (status,) = world.manager().sync_status().values()
    assert status is JobStatus.COMPLETED
    with pytest.raises(ProviderUnavailableError):
        world.manager().sync_status()
    with pytest.raises(ProviderUnavailableError):
        world.manager().flush_queue()
    assert world.creates() == 1


def test_no_fault_takes_the_place_of_an_interrupt(world: World) -> None:
    """Or wait() takes it for one more fault of the provider, and goes on waiting."""
    busy = FaultRule(operation=Operation.FILE_DELETE, effect=Reply(code=503), times=None)
    world.emulator.add_fault(busy)
    flushed(world, "one").sync_status()
    manager = flushed(world, "two")
    world.emulator.clear_faults()
    world.emulator.add_fault(FaultRule(operation=Operation.GET, effect=Reply(code=500), times=None))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with armed(FailPoint.CLEANUP_STARTED, interrupt), pytest.raises(KeyboardInterrupt):
        manager.wait(timeout=1.0)


def test_when_nothing_can_be_polled_it_raises_the_common_cause(world: World) -> None:
    manager = flushed(world, "one")
    world.emulator.add_fault(FaultRule(operation=Operation.GET, effect=Reply(code=500), times=None))
    with pytest.raises(ProviderUnavailableError):
        manager.sync_status()
    assert manager.jobs()[0].is_open


@pytest.mark.sqlite_only("a limit of pages")
def test_when_the_disk_is_full_it_says_so_and_loses_nothing(world: World) -> None:
    """D3: a caller that waits must not wait for ever."""
    manager = flushed(world, *[f"text {number}" for number in range(50)])
    pages = world.store.database.connection().execute("PRAGMA page_count").fetchone()[0]
    world.store.database.connection().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError):
        manager.wait(timeout=3600)
    world.store.database.connection().execute("PRAGMA max_page_count = 1000000")
    assert set(world.statuses().values()) == {PENDING}
    assert manager.wait(timeout=3600).ready == 50
    assert world.creates() == 1


# --- downloads ---------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [CutDownload(at=5000), Garbage(), Reply(code=500)], ids=repr)
def test_a_download_that_fails_loses_nothing(
    world: World, effect: CutDownload | Garbage | Reply
) -> None:
    """C10, C22, C23"""
    manager = flushed(world, "one", "two")
    operation = None if isinstance(effect, CutDownload) else Operation.DOWNLOAD
    world.emulator.add_fault(FaultRule(effect=effect, operation=operation, times=None))
    with pytest.raises(Exception, match=r".") as raised:
        manager.sync_status()
    assert raised.typename in ("ProviderUnavailableError", "ProviderProtocolError")
    assert set(world.statuses().values()) == {PENDING}
    world.emulator.clear_faults()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert world.creates() == 1
    assert world.emulator.violations == []


def test_expired_results_hold_the_job(world: World) -> None:
    """C9"""
    manager = flushed(world, "one")
    world.emulator.jobs()
    world.clock.advance(49 * 3600)
    manager.sync_status()
    (job,) = manager.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.RESULT_EXPIRED
    sync_until_quiet(world, manager, rounds=2)
    assert world.creates() == 1


# --- keys --------------------------------------------------------------------------------


def test_a_rotated_key_of_the_same_project_goes_on(world: World) -> None:
    """B16"""
    flushed(world, "one")
    world.manager(batch_key=ROTATED_KEY).sync_status()
    assert world.chunk().status is READY


def test_another_projects_key_holds_the_job_and_requeues_nothing(world: World) -> None:
    """B17"""
    flushed(world, "one")
    other = world.manager(batch_key=OTHER_KEY)
    other.sync_status()
    (job,) = other.get_queue_stats().held_jobs
    assert job.hold_reason is HoldReason.OTHER_PROJECT
    assert other.flush_queue() is None
    world.manager(batch_key=BATCH_KEY).sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_another_projects_empty_list_is_no_sign_of_absence(world: World) -> None:
    """B17"""
    world.save("one")
    world.emulator.add_fault(
        FaultRule(operation=Operation.CREATE, effect=Reply(code=503, after=True))
    )
    with pytest.raises(Exception, match="may or may not"):
        world.manager().flush_queue()
    other = world.manager(batch_key=OTHER_KEY)
    for _ in range(3):
        other.sync_status()
        world.clock.advance(CONFIG.listing_grace + 1)
    assert other.get_queue_stats().held_jobs[0].hold_reason is HoldReason.OTHER_PROJECT
    world.manager().sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_a_refused_key_changes_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """B18: and whoever gets the error is not told a second time by the log."""
    manager = flushed(world, "one")
    world.emulator.add_fault(FaultRule(effect=Reply(code=401), times=None))
    for _ in range(3):
        world.clock.advance(CONFIG.listing_grace + 1)
        with pytest.raises(AuthError):
            manager.sync_status()
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    assert manager.get_queue_stats().held_jobs == ()
    world.emulator.clear_faults()
    manager.sync_status()
    assert world.chunk().status is READY


def test_a_job_deleted_at_the_provider_is_lost_only_after_a_second_look(world: World) -> None:
    """C8"""
    manager = flushed(world, "one")
    world.emulator.add_fault(FaultRule(operation=Operation.GET, effect=Reply(code=404), times=None))
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs == ()
    world.clock.advance(CONFIG.listing_grace + 1)
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs[0].hold_reason is HoldReason.LOST
    assert manager.flush_queue() is None
    world.emulator.clear_faults()
    manager.sync_status()  # found again
    assert world.chunk().status is READY


# --- steering ----------------------------------------------------------------------------


def test_cancel_puts_the_texts_back(tmp_path: object) -> None:
    with open_world(tmp_path, pending_seconds=3600) as world:  # type: ignore[arg-type]
        manager = flushed(world, "one")
        batch_id = manager.jobs()[0].id
        assert manager.cancel(batch_id) is JobStatus.FAILED
        assert manager.jobs()[0].failure_reason is FailureReason.CANCELLED
        assert (world.chunk().status, world.chunk().batch_job_id) == (PENDING, None)
        with pytest.raises(TransitionError, match="ended already"):
            manager.cancel(batch_id)
        with pytest.raises(BatchNotFoundError, match="no-such-job"):
            manager.cancel("no-such-job")


def test_release_of_a_running_job_is_refused(tmp_path: object) -> None:
    with open_world(tmp_path, pending_seconds=3600) as world:  # type: ignore[arg-type]
        manager = flushed(world, "one")
        with pytest.raises(TransitionError, match="cancel"):
            manager.release(manager.jobs()[0].id, accept_rebilling=True)


def test_a_job_whose_key_is_refused_for_ever_can_be_given_up(world: World) -> None:
    """B18: nobody can cancel it with that key; its texts go again with a key that is taken."""
    manager = flushed(world, "one")
    (job,) = manager.jobs()
    rule = world.emulator.add_fault(FaultRule(effect=Reply(code=401), times=None))
    with pytest.raises(AuthError):
        manager.sync_status()
    with pytest.raises(AuthError):
        manager.cancel(job.id)
    with pytest.raises(TransitionError, match="second time"):
        manager.release(job.id, accept_rebilling=False)
    manager.release(job.id, accept_rebilling=True)
    assert world.chunk().batch_job_id is None
    world.emulator.remove_fault(rule)
    assert manager.flush_queue() is not None
    manager.sync_status()
    assert world.chunk().status is READY


def test_a_provider_out_of_reach_is_no_refusal(world: World) -> None:
    manager = flushed(world, "one")
    (job,) = manager.jobs()
    world.emulator.add_fault(FaultRule(effect=Reply(code=503), times=None))
    with pytest.raises(ProviderUnavailableError):
        manager.release(job.id, accept_rebilling=True)
    assert world.chunk().batch_job_id == job.id


def test_cancelling_a_held_job_does_not_free_its_texts(world: World) -> None:
    """It may have been billed: only release(accept_rebilling=True) says that this is accepted."""
    manager = flushed(world, "one")
    (job,) = manager.jobs()
    world.emulator.cancel_job(str(job.google_job_id))
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs[0].hold_reason is HoldReason.CANCELLED_ELSEWHERE
    with pytest.raises(TransitionError, match=r"held.*--accept-rebilling"):
        manager.cancel(job.id)
    assert world.chunk().batch_job_id == job.id
    assert manager.flush_queue() is None
    assert world.creates() == 1


def test_wait_reports_progress_until_everything_is_done(tmp_path: object) -> None:
    with open_world(tmp_path, pending_seconds=60, running_seconds=60) as world:  # type: ignore[arg-type]
        manager = flushed(world, "one", "two")
        seen: list[QueueStats] = []
        assert manager.wait(progress=seen.append).ready == 2
        assert len(seen) >= 3
        # Soon at first: a small job may be done within seconds.
        assert world.clock.slept[:6] == [1, 2, 4, 8, 16, 30]
        assert set(world.clock.slept[6:-1]) == {30}
        assert world.clock.slept[-1] == 0


def test_wait_gives_up_and_the_job_goes_on(tmp_path: object) -> None:
    with open_world(tmp_path, pending_seconds=3600) as world:  # type: ignore[arg-type]
        manager = flushed(world, "one")
        with pytest.raises(WaitTimeoutError, match="go on"):
            manager.wait(timeout=100)
        world.clock.advance(3600)
        assert manager.wait(timeout=100).ready == 1


def test_wait_outlasts_a_provider_that_is_away(world: World) -> None:
    manager = flushed(world, "one")
    world.emulator.add_fault(FaultRule(operation=Operation.GET, effect=Reply(code=503), times=9))
    assert manager.wait(timeout=3600).ready == 1


def test_retry_failed_leaves_blank_chunks_alone(world: World) -> None:
    world.store.save(
        [Chunk(id="blank", text="", embedding_status=FAILED, error_message="blank text")]
    )
    assert world.manager().retry_failed() == 0
    assert world.chunk("blank").status is FAILED
