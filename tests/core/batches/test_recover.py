"""What an earlier process left undecided: found by its name, or absent by every clock."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from batch_emulator import EndJob, FaultRule, HideJob, Misdate, Operation, Relabel, Reply
from semantic_core.batches import BatchManager
from semantic_core.domain.errors import ProviderUnavailableError, TransitionError
from semantic_core.domain.failpoints import FailPoint, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, JobStatus, JobStep
from semantic_core.domain.types import Chunk
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.store import PeeweeVectorStore
from support.chunks import content_hash
from support.keys import OTHER_KEY, ROTATED_KEY
from support.setups import armed, lose_answer, uncertain
from support.world import CONFIG, World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def create_again(world: World, manager: BatchManager) -> None:
    """Do what this library never does: create a second job under the same name."""
    (job,) = manager.jobs()
    world.clock.advance(1)
    manager.context().provider.create_embedding_job(
        [EmbeddingRequest(key=content_hash("one", EmbeddingSpec()), text="one")],
        spec=EmbeddingSpec(),
        display_name=job.display_name,
        spool=world.folder / "again.jsonl",
    )


def remote_names(world: World) -> list[str]:
    return [job.name for job in sorted(world.emulator.jobs(), key=lambda job: job.created_at)]


def test_of_two_jobs_under_one_name_the_older_is_taken_and_the_other_cancelled(
    world: World,
) -> None:
    """B8"""
    manager = uncertain(world, "one", arrives=True)
    create_again(world, manager)
    older, newer = remote_names(world)
    manager.sync_status()
    assert manager.jobs()[0].google_job_id == older
    (cancel,) = world.emulator.calls(Operation.CANCEL)
    assert newer in cancel.path
    assert world.chunk().status is READY


def test_of_two_jobs_under_one_name_a_failed_one_is_not_taken(world: World) -> None:
    """B8"""
    manager = uncertain(world, "one", arrives=True)
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    world.emulator.jobs()
    create_again(world, manager)
    _, newer = remote_names(world)
    manager.sync_status()
    assert manager.jobs()[0].google_job_id == newer
    assert world.chunk().status is READY


# --- time that really passed ---------------------------------------------------------------


def test_a_clock_that_was_set_back_does_not_stop_the_recovery(world: World) -> None:
    """C25: the first empty listing lies in the future then."""
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    world.clock.step(-86_400)
    manager.sync_status()
    assert world.chunk().batch_job_id is not None
    manager.sync_status()
    world.clock.advance(CONFIG.listing_grace + 1)
    assert set(manager.sync_status().values()) == {JobStatus.FAILED}
    assert manager.flush_queue() is not None
    assert world.creates() == 1


def test_a_clock_that_was_set_back_does_not_lose_a_job(world: World) -> None:
    """C25: two listings that lacked a submitted job must lie apart in time that really passed."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.emulator.delete_job(str(manager.jobs()[0].google_job_id))
    manager.sync_status()
    world.clock.step(-86_400)
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs == ()
    world.clock.advance(CONFIG.listing_grace + 1)
    manager.sync_status()
    assert len(manager.get_queue_stats().held_jobs) == 1


def test_a_clock_that_jumps_ahead_shortens_no_claim(world: World) -> None:
    """C25: the job is there, and only hidden, however often it is listed after the jump."""
    world.emulator.add_fault(FaultRule(effect=HideJob(seconds=CONFIG.listing_grace + 60)))
    manager = uncertain(world, "one", arrives=True)
    manager.sync_status()
    world.clock.step(365 * 86_400)
    for _ in range(3):
        world.clock.advance(1)
        manager.sync_status()
        assert manager.flush_queue() is None
    assert world.chunk().batch_job_id is not None
    world.clock.advance(CONFIG.listing_grace + 60)
    manager.sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_a_clock_that_jumps_ahead_loses_no_job(world: World) -> None:
    """C25"""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.emulator.delete_job(str(manager.jobs()[0].google_job_id))
    manager.sync_status()
    world.clock.step(86_400)
    manager.sync_status()
    assert manager.get_queue_stats().held_jobs == ()


def test_a_provider_whose_clock_jumps_ahead_shortens_no_claim(world: World) -> None:
    """C25"""
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    world.emulator.add_fault(FaultRule(effect=Misdate(seconds=86_400), times=None))
    for _ in range(3):
        manager.sync_status()
    assert world.chunk().batch_job_id is not None


@pytest.mark.parametrize("is_dated", [True, False])
def test_after_a_reboot_the_providers_clock_bears_witness(world: World, is_dated: bool) -> None:  # noqa: FBT001  # pytest names it
    """C25: without it only the wall clock could tell, which alone is not believed."""
    if not is_dated:
        world.emulator.add_fault(FaultRule(effect=Misdate(seconds=None), times=None))
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    world.clock.reboot()
    world.clock.advance(CONFIG.listing_grace + 1)
    manager.sync_status()
    manager.sync_status()
    assert (world.chunk().batch_job_id is None) is is_dated


def test_without_the_providers_clock_the_two_of_the_machine_do(world: World) -> None:
    """C25"""
    world.emulator.add_fault(FaultRule(effect=Misdate(seconds=None), times=None))
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    manager.sync_status()
    world.clock.advance(CONFIG.listing_grace + 1)
    manager.sync_status()
    assert world.chunk().batch_job_id is None


def test_two_listings_however_far_apart_free_nothing(world: World) -> None:
    """B7"""
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    world.clock.advance(30 * CONFIG.listing_grace)
    manager.sync_status()
    assert world.chunk().batch_job_id is not None
    message = str(manager.jobs()[0].error_message)
    assert "2 complete listings of the provider over 27,000 s did not show it" in message


def test_a_nightly_cron_frees_such_texts_in_its_second_night(world: World) -> None:
    """B6: and says until then what it waits for."""
    manager = uncertain(world, "one", arrives=False)
    manager.sync_status()
    (job,) = manager.get_queue_stats().open_jobs
    assert "freed once 3 or more over 900 s did not" in str(job.error_message)
    assert "flush with the batch key finds out" in str(job.advice)
    world.clock.advance(86_400)
    assert world.manager().flush_queue() is None
    world.manager().sync_status()
    assert world.chunk().batch_job_id is None
    assert world.manager().flush_queue() is not None
    assert world.creates() == 1


def test_all_that_is_undecided_shares_one_listing(world: World) -> None:
    manager = uncertain(world, "one", arrives=False)
    for number in range(2):
        world.store.save([Chunk(id=f"x{number}", text=f"text {number}")])
        lose_answer(world, manager, arrives=False)
    before = len(world.emulator.calls(Operation.LIST))
    manager.sync_status()
    assert len(world.emulator.calls(Operation.LIST)) == before + 1
    assert [job.step for job in manager.jobs()] == [JobStep.CREATING] * 3


# --- by what a job is known ------------------------------------------------------------------


@pytest.mark.parametrize(
    "label",
    [
        Relabel(model="text-embedding-by-another-name"),
        Relabel(name_length=9),
        Relabel(name_length=0),
        Relabel(display_name="batch job 17"),
    ],
    ids=["model", "cut", "dropped", "changed"],
)
def test_a_job_is_known_by_our_name_or_by_our_file(world: World, label: Relabel) -> None:
    """B4: whatever else the provider says of it."""
    world.emulator.add_fault(FaultRule(effect=label))
    manager = uncertain(world, "one", arrives=True)
    for _ in range(3):
        manager.sync_status()
        world.clock.advance(CONFIG.listing_grace + 1)
        manager.flush_queue()
    assert world.chunk().status is READY
    assert world.creates() == 1


# --- rows of an older copy -------------------------------------------------------------------

BEFORE_CREATE = [
    FailPoint.CLAIM_COMMITTED,
    FailPoint.SPOOL_WRITTEN,
    FailPoint.UPLOAD_RECORDED,
    FailPoint.CREATE_INTENDED,
]


def copied_at(world: World, point: FailPoint, *, refused: bool = False) -> Path | str:
    """Flush, and copy the database meanwhile."""
    copies: list[Path | str] = []

    def back_up() -> None:
        disarm()
        copies.append(world.backup())

    refusal = pytest.raises(Exception, match="invalid argument") if refused else nullcontext()
    with armed(point, back_up), refusal:
        world.manager().flush_queue()
    return copies[0]


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.parametrize("point", BEFORE_CREATE)
def test_a_backup_taken_while_a_flush_uploads_pays_nothing_again(
    tmp_path: Path,
    point: FailPoint,
    is_done: bool,  # noqa: FBT001  # pytest names it
) -> None:
    """E14: its row says that nothing was sent, and the provider has the job."""
    with open_world(tmp_path, pending_seconds=0 if is_done else 7200) as world:
        world.save("one", "two")
        copy = copied_at(world, point)
        world.clock.advance(CONFIG.lease + 1)
        with PeeweeVectorStore(copy, clock=world.clock) as store:
            manager = world.manager(store=store)
            assert manager.drain_queue() == []
            world.clock.advance(7201)
            manager.sync_status()
            assert {chunk.status for chunk in store.chunks()} == {READY}
        assert world.creates() == 1


def test_a_copy_in_place_of_the_database_is_noticed_by_a_running_manager(world: World) -> None:
    """E14: nothing that a manager remembers may keep it from looking."""
    world.save("one", "two")
    manager = world.manager()
    manager.sync_status()
    assert manager.flush_queue(min_size=3) is None
    copy = world.backup()
    assert manager.flush_queue() is not None
    world.restore(copy)
    assert manager.jobs() == []
    assert manager.drain_queue() == []
    manager.sync_status()
    assert {chunk.status for chunk in world.store.chunks()} == {READY}
    assert world.creates() == 1


@pytest.mark.parametrize("point", BEFORE_CREATE[:3])
def test_what_was_never_sent_is_freed_by_one_listing(world: World, point: FailPoint) -> None:
    """A2: with the row's own key, and no other; without a listing not at all."""
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=400)))
    world.save("one")
    copy = copied_at(world, point, refused=True)
    world.clock.advance(CONFIG.lease + 1)
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store)
        fault = world.emulator.add_fault(
            FaultRule(operation=Operation.LIST, effect=Reply(code=503), times=None)
        )
        for call in (manager.sync_status, manager.flush_queue):
            with pytest.raises(ProviderUnavailableError):
                call()
        assert "503" in str(manager.jobs()[0].error_message)
        world.emulator.remove_fault(fault)

        other = world.manager(store=store, batch_key=OTHER_KEY)
        assert other.flush_queue() is None
        (held,) = other.get_queue_stats().held_jobs
        assert held.hold_reason is HoldReason.OTHER_PROJECT

        before = len(world.emulator.calls(Operation.LIST))
        assert manager.flush_queue() is not None
        assert len(world.emulator.calls(Operation.LIST)) == before + 1
    assert world.creates() == 1


def test_a_rotated_key_decides_about_what_the_old_one_left(world: World) -> None:
    """B16: it is shown a job that the old one sent, so that it is of the same project."""
    world.store.save([Chunk(id="before", text="before")])
    world.manager().flush_queue()
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=Reply(code=400)))
    world.save("one")
    copy = copied_at(world, FailPoint.UPLOAD_RECORDED, refused=True)
    world.clock.advance(CONFIG.lease + 1)
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store, batch_key=ROTATED_KEY)
        assert manager.flush_queue() is not None
        manager.sync_status()
        assert {chunk.status for chunk in store.chunks()} == {READY}
    assert world.creates() == 2


def test_a_job_is_not_cancelled_as_unsent_before_its_name_was_looked_for(world: World) -> None:
    """E14"""
    world.save("one")
    copy = copied_at(world, FailPoint.UPLOAD_RECORDED)
    world.clock.advance(CONFIG.lease + 1)
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store)
        manager.cancel(manager.jobs()[0].id)
        assert {chunk.status for chunk in store.chunks()} == {READY}
    assert world.creates() == 1


def test_an_unsent_job_whose_key_is_gone_is_given_up_by_a_person(world: World) -> None:
    world.save("one")
    copy = copied_at(world, FailPoint.UPLOAD_RECORDED)
    world.clock.advance(CONFIG.lease + 1)
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store, batch_key=OTHER_KEY)
        (job,) = manager.jobs()
        with pytest.raises(TransitionError, match="Nobody knows yet"):
            manager.cancel(job.id)
        manager.release(job.id, accept_rebilling=True)
        assert manager.flush_queue() is not None
