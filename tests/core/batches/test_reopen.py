"""A job that was believed never created, and that the provider lists after all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from batch_emulator import EndJob, FaultRule, HideJob, Operation, Reply, StickJob
from semantic_core.batches import BatchManager
from semantic_core.domain.errors import SubmissionUncertainError
from semantic_core.domain.failpoints import FailPoint, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus, FailureReason, JobStatus
from semantic_core.domain.types import BatchJob, Chunk
from semantic_core.providers.facts import LIMITS
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.providers.types import EmbeddingRequest
from support.chunks import content_hash
from support.invariants import check_invariants, excused
from support.setups import armed, lose_answer, uncertain
from support.world import CONFIG, World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING

LATE = 5 * CONFIG.listing_grace


def given_up(world: World, *texts: str, late: float = LATE) -> BatchManager:
    """Flush texts in a job that is not listed for so long that it counts as never created."""
    world.emulator.add_fault(FaultRule(effect=HideJob(seconds=late)))
    manager = uncertain(world, *texts, arrives=True)
    for _ in range(3):
        manager.sync_status()
        world.clock.advance(CONFIG.listing_grace)
    assert manager.jobs()[0].failure_reason is FailureReason.NEVER_CREATED
    return manager


def first(manager: BatchManager) -> BatchJob:
    return manager.jobs()[0]


def is_cancelled(world: World, job: BatchJob) -> bool:
    return any(
        str(job.google_job_id) in call.path for call in world.emulator.calls(Operation.CANCEL)
    )


def test_a_flush_that_sees_it_sends_nothing_and_its_results_are_used(world: World) -> None:
    """B7: it is paid for already."""
    manager = given_up(world, "one", "two")
    world.clock.advance(LATE)
    assert manager.drain_queue() == []
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert (first(manager).status, first(manager).done_count) == (JobStatus.COMPLETED, 2)
    assert world.creates() == 1
    assert manager.receipt().tokens == world.emulator.ledger.tokens()


def test_a_sync_that_sees_it_takes_its_results(world: World) -> None:
    """B7"""
    manager = given_up(world, "one")
    world.clock.advance(LATE)
    assert set(manager.sync_status().values()) == {JobStatus.COMPLETED}
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_results_that_stand_are_used_first_and_the_other_job_is_cancelled(tmp_path: Path) -> None:
    """B7: its texts were sent again, and that job does not get on."""
    with open_world(tmp_path, running_seconds=CONFIG.listing_grace) as world:
        manager = given_up(world, "one", "two")
        world.emulator.jobs()  # the late one ends
        world.emulator.add_fault(FaultRule(effect=StickJob(), times=None))
        assert manager.flush_queue() is not None
        world.clock.advance(LATE)
        manager.sync_status()
        late, again = manager.jobs()
        assert set(world.statuses().values()) == {READY}
        assert (late.status, late.done_count) == (JobStatus.COMPLETED, 2)
        assert is_cancelled(world, again)
        assert not is_cancelled(world, late)
        world.emulator.clear_faults()
        manager.sync_status()
        again = manager.jobs()[1]
        assert again.failure_reason is FailureReason.CANCELLED
        assert "may be billed" in str(again.advice)
        assert manager.receipt().cancelled_tokens > 0
        assert world.emulator.ledger.overbilled() == {}
        check_invariants(world.store)


def test_of_two_that_run_the_younger_is_cancelled(tmp_path: Path) -> None:
    """B7"""
    with open_world(tmp_path, running_seconds=10 * LATE) as world:
        manager = given_up(world, "one", "two")
        assert manager.flush_queue() is not None
        world.clock.advance(LATE)
        manager.sync_status()
        late, again = manager.jobs()
        assert is_cancelled(world, again)
        assert not is_cancelled(world, late)
        assert world.chunk().batch_job_id == late.id
        check_invariants(world.store)
        world.clock.advance(10 * LATE)
        manager.sync_status()
        assert set(world.statuses().values()) == {READY}
        assert world.emulator.ledger.overbilled() == {}


class SlowStart(httpx2.HTTPTransport):
    """Lets something happen before the create call leaves the machine."""

    def __init__(self, happen: Callable[[], None]) -> None:
        super().__init__()
        self._happen = happen

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if "asyncBatchEmbedContent" in request.url.path:
            self._happen()
        return super().handle_request(request)


def test_one_created_after_the_other_was_sent_is_the_one_to_cancel(tmp_path: Path) -> None:
    """A4: its process woke in the middle of the create call, and was told the truth."""
    with open_world(tmp_path, running_seconds=10 * LATE) as world:
        world.save("one")

        def sleep_through_everything() -> None:
            other = world.manager()
            world.clock.advance(CONFIG.lease + 1)
            for _ in range(3):
                other.sync_status()
                world.clock.advance(CONFIG.listing_grace)
            assert other.flush_queue() is not None
            world.clock.advance(1)

        keyring = world.keyring()
        with GeminiBatchClient.from_keyring(
            keyring,
            endpoint=Endpoint(base_url=world.emulator.url),
            transport=SlowStart(sleep_through_everything),
        ) as client:
            zombie_manager = BatchManager(
                keyring, world.store, client=client, config=CONFIG, clock=world.clock
            )
            with pytest.raises(SubmissionUncertainError, match="may be billed twice"):
                zombie_manager.flush_queue()
        manager = world.manager()
        manager.sync_status()
        zombie, again = manager.jobs()
        assert is_cancelled(world, zombie)
        assert not is_cancelled(world, again)
        assert world.chunk().batch_job_id == again.id
        world.clock.advance(10 * LATE)
        manager.sync_status()
        assert world.chunk().status is READY
        assert world.emulator.ledger.overbilled() == {}


def test_a_job_that_brings_more_than_that_is_not_cancelled(tmp_path: Path) -> None:
    """Cancelling it would send its other texts a second time."""
    with open_world(tmp_path, running_seconds=10 * LATE) as world:
        manager = given_up(world, "one")
        world.store.save([Chunk(id="more", text="more")])
        assert manager.flush_queue() is not None
        world.clock.advance(LATE)
        manager.sync_status()
        assert world.emulator.calls(Operation.CANCEL) == []
        world.clock.advance(10 * LATE)
        manager.sync_status()
        assert set(world.statuses().values()) == {READY}
        assert world.creates() == 2
        check_invariants(world.store)


@pytest.mark.parametrize("is_running", [True, False])
def test_texts_of_a_job_that_failed_wait_for_the_late_one(
    tmp_path: Path,
    is_running: bool,  # noqa: FBT001  # pytest names it
) -> None:
    """They are not sent a third time: it runs, or its results cannot be fetched just now."""
    with open_world(tmp_path, running_seconds=10) as world:
        if is_running:
            world.emulator.add_fault(FaultRule(effect=StickJob()))
        manager = given_up(world, "one")
        world.emulator.jobs()
        world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_EXPIRED")))
        world.emulator.add_fault(
            FaultRule(operation=Operation.DOWNLOAD, effect=Reply(code=503), times=None)
        )
        world.store.save([Chunk(id="more", text="more")])
        assert manager.flush_queue() is not None
        world.clock.advance(LATE)
        manager.sync_status()
        late, again = manager.jobs()
        assert again.failure_reason is FailureReason.EXPIRED
        assert world.chunk().batch_job_id == late.id
        check_invariants(world.store)
        world.emulator.clear_faults()
        manager.sync_status()
        assert world.chunk().status is READY
        assert world.emulator.ledger.times_billed("one") == 1


def test_an_uncertain_job_does_not_keep_the_texts_of_one_that_is_there(tmp_path: Path) -> None:
    """B7: they were sent again, and nobody knows whether that arrived."""
    with open_world(tmp_path, running_seconds=10 * LATE) as world:
        manager = given_up(world, "one")
        lose_answer(world, manager, arrives=False)
        world.clock.advance(LATE)
        for _ in range(3):
            world.clock.advance(CONFIG.listing_grace)
            manager.sync_status()
            assert manager.flush_queue() is None
        assert world.chunk().batch_job_id == first(manager).id
        assert world.emulator.calls(Operation.CANCEL) == []
        world.clock.advance(10 * LATE)
        manager.sync_status()
        assert world.chunk().status is READY
        assert world.creates() == 1


def test_a_person_who_gave_it_up_gets_its_results(world: World) -> None:
    world.emulator.add_fault(FaultRule(effect=HideJob(seconds=LATE)))
    manager = uncertain(world, "one", arrives=True)
    manager.release(first(manager).id, accept_rebilling=True)
    world.clock.advance(LATE)
    assert manager.flush_queue() is None
    manager.sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_a_refusal_that_was_none_is_seen_through(world: World) -> None:
    """B11: the provider said no, and has the job all the same."""
    world.save("one")
    world.emulator.add_fault(
        FaultRule(operation=Operation.CREATE, effect=Reply(code=400, after=True))
    )
    manager = world.manager()
    with pytest.raises(Exception, match="invalid argument"):
        manager.flush_queue()
    assert manager.flush_queue() is None
    manager.sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_a_late_job_that_failed_is_left_alone(world: World) -> None:
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_FAILED")))
    manager = given_up(world, "one")
    world.clock.advance(LATE)
    assert manager.flush_queue() is not None
    assert first(manager).failure_reason is FailureReason.NEVER_CREATED


def test_results_that_are_gone_and_not_needed_reopen_nothing(world: World) -> None:
    manager = given_up(world, "one")
    assert manager.flush_queue() is not None
    manager.sync_status()
    world.clock.advance(LIMITS.result_lifetime + LATE)
    world.store.save([Chunk(id="more", text="more")])
    assert manager.flush_queue() is not None
    assert first(manager).failure_reason is FailureReason.NEVER_CREATED
    assert manager.get_queue_stats().held_jobs == ()


def test_one_that_still_runs_though_its_vectors_are_stored_is_cancelled(tmp_path: Path) -> None:
    """B7: the job that was sent again was quicker."""
    with open_world(tmp_path) as world:
        world.emulator.add_fault(FaultRule(effect=StickJob(), times=None, target="*"))
        manager = given_up(world, "one")
        world.emulator.jobs()
        world.emulator.clear_faults()
        world.emulator.add_fault(FaultRule(effect=StickJob(), target=first(manager).display_name))
        assert manager.flush_queue() is not None
        manager.sync_status()
        assert world.chunk().status is READY
        world.store.save([Chunk(id="more", text="more")])
        world.clock.advance(LATE)
        manager.sync_status()
        assert is_cancelled(world, first(manager))
        assert world.emulator.ledger.overbilled() == {}


@pytest.mark.parametrize("is_shown", [True, False])
def test_only_a_job_that_was_not_shown_excuses_a_second_bill(
    world: World,
    is_shown: bool,  # noqa: FBT001  # pytest names it
) -> None:
    """I2: how the state machine tells them apart."""
    manager = given_up(world, "one")
    if is_shown:
        world.clock.advance(LATE)
        manager.context().provider.jobs()
    # What this library never does once a listing showed the job.
    manager.context().provider.create_embedding_job(
        [EmbeddingRequest(key=content_hash("one", EmbeddingSpec()), text="one")],
        spec=EmbeddingSpec(),
        display_name="again",
        spool=world.folder / "again.jsonl",
    )
    assert world.emulator.ledger.overbilled().total() == 1
    assert excused(world.emulator, CONFIG.listing_grace).total() == (0 if is_shown else 1)


def test_it_goes_on_after_a_crash_in_the_middle(tmp_path: Path) -> None:
    with open_world(tmp_path, running_seconds=10 * LATE) as world:
        manager = given_up(world, "one")
        assert manager.flush_queue() is not None
        world.clock.advance(LATE)

        def interrupt() -> None:
            disarm()
            raise KeyboardInterrupt

        with armed(FailPoint.LATE_REOPENED, interrupt), pytest.raises(KeyboardInterrupt):
            manager.sync_status()
        check_invariants(world.store)
        manager.sync_status()
        assert is_cancelled(world, manager.jobs()[1])
        world.clock.advance(10 * LATE)
        manager.sync_status()
        assert world.chunk().status is READY
        assert world.emulator.ledger.overbilled() == {}
