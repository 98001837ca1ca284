"""One job is worked on by one process at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from batch_emulator import Operation
from semantic_core.batches import BatchManager
from semantic_core.domain.errors import TransitionError
from semantic_core.domain.failpoints import FailPoint, disarm
from semantic_core.domain.statuses import EmbeddingStatus, JobStatus, JobStep
from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
from semantic_core.queue import jobs
from support.clock import ManualClock
from support.jobs import TOKEN, claim_job
from support.setups import armed
from support.world import CONFIG, World, open_world


def hold_lease(world: World, job_id: str) -> None:
    """Do as another process does that works on the job."""
    now = world.clock.now()
    with world.store.database.transaction() as connection:
        assert jobs.take_lease(
            connection, job_id, token="another process", now=now, until=now + CONFIG.lease
        )


def test_a_job_that_another_works_on_is_not_even_asked_about(world: World) -> None:
    """D6: its results would be downloaded twice for nothing."""
    world.save("one")
    manager = world.manager()
    batch_id = manager.flush_queue()
    assert batch_id is not None
    hold_lease(world, batch_id)
    before = len(world.emulator.requests)
    assert manager.sync_status() == {batch_id: JobStatus.SUBMITTED}
    assert len(world.emulator.requests) == before
    assert manager.jobs()[0].error_message is None

    world.clock.advance(CONFIG.lease + 1)
    assert manager.sync_status() == {batch_id: JobStatus.COMPLETED}
    assert world.chunk().status is EmbeddingStatus.READY


def test_a_person_is_told_that_another_works_on_it(tmp_path: Path) -> None:
    with open_world(tmp_path, pending_seconds=3600) as world:
        world.save("one")
        manager = world.manager()
        batch_id = manager.flush_queue()
        assert batch_id is not None
        hold_lease(world, batch_id)
        with pytest.raises(TransitionError, match="right now"):
            manager.cancel(batch_id)
        with pytest.raises(TransitionError, match="right now"):
            manager.release(batch_id, accept_rebilling=True)
        assert manager.jobs()[0].is_open


def test_a_job_that_ended_meanwhile_is_not_asked_about(world: World) -> None:
    """D6: it was open when this sync listed it; another sync was quicker."""
    world.save("one")
    manager = world.manager()
    batch_id = manager.flush_queue()

    def be_overtaken() -> None:
        disarm()
        with world.store.database.transaction() as connection:
            (token,) = connection.execute("SELECT lease_token FROM batch_jobs").fetchone()
            jobs.drop_lease(connection, str(batch_id), token=token)
        assert world.manager().sync_status() == {batch_id: JobStatus.COMPLETED}
        with world.store.database.transaction() as connection:
            now = world.clock.now()
            jobs.take_lease(
                connection, str(batch_id), token=token, now=now, until=now + CONFIG.lease
            )

    with armed(FailPoint.LEASE_TAKEN, be_overtaken):
        assert manager.sync_status() == {batch_id: JobStatus.COMPLETED}
    assert len(world.emulator.calls(Operation.GET)) == 1
    assert len(world.emulator.calls(Operation.DOWNLOAD)) == 1


def test_a_job_that_was_sent_meanwhile_is_not_released(world: World) -> None:
    """A3: it was unsent when this flush looked for what dead processes left."""
    world.save("one")
    job_id = claim_job(world.store)
    assert job_id is not None

    def be_sent() -> None:
        disarm()
        with world.store.database.transaction() as connection:
            jobs.move(
                connection,
                job_id,
                token=TOKEN,
                steps=[JobStep.CLAIMED],
                step=JobStep.SUBMITTED,
                status=JobStatus.SUBMITTED,
                google_job_id="batches/sent-by-another",
            )
            jobs.drop_lease(connection, job_id, token=TOKEN)

    with armed(FailPoint.LEFT_LISTED, be_sent):
        assert world.manager().flush_queue() is None
    assert world.chunk().batch_job_id == job_id
    assert world.creates() == 0


class SlowClock:
    """Passes so much time whenever it is asked."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self._clock = clock
        self.seconds = seconds

    def now(self) -> float:
        self._clock.advance(self.seconds)
        return self._clock.now()

    def monotonic(self) -> float:
        self._clock.advance(self.seconds)
        return self._clock.monotonic()

    def boot_id(self) -> str:
        return self._clock.boot_id()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


def slow_manager(world: World) -> BatchManager:
    """A manager whose client waits for every piece of an answer."""
    keyring = world.keyring()
    client = GeminiBatchClient.from_keyring(
        keyring, endpoint=Endpoint(base_url=world.emulator.url), clock=SlowClock(world.clock, 20)
    )
    return BatchManager(keyring, world.store, client=client, config=CONFIG, clock=world.clock)


def test_a_download_longer_than_the_lease_is_left_alone(world: World) -> None:
    """D6: or on a slow line no process would ever finish before another one began again."""
    world.save(*[f"text {number}" for number in range(300)])
    world.manager().flush_queue()
    manager = slow_manager(world)
    others: list[dict[str, JobStatus]] = []

    def look() -> None:
        disarm()
        others.append(world.manager().sync_status())

    began = world.clock.now()
    with armed(FailPoint.DOWNLOAD_WRITTEN, look):
        (status,) = manager.sync_status().values()
        manager._client.close()  # type: ignore[union-attr]
    assert world.clock.now() - began > CONFIG.lease
    assert [list(found.values()) for found in others] == [[JobStatus.PROCESSING]]
    assert status is JobStatus.COMPLETED
    assert len(world.emulator.calls(Operation.DOWNLOAD)) == 1


class SlowLine(httpx2.HTTPTransport):
    """Takes so many seconds for each piece of an upload, and then looks around."""

    def __init__(self, clock: ManualClock, seconds: float, look: Callable[[], None]) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._look = look

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith("/upload/"):
            self._clock.advance(self._seconds)
            self._look()
        return super().handle_request(request)


def test_an_upload_longer_than_the_lease_is_left_alone(world: World) -> None:
    """A4: or on a slow line no process would ever send a large file."""
    world.save(*[f"{number} {'long ' * 1500}" for number in range(1900)])
    keyring = world.keyring()
    others: list[str | None] = []
    line = SlowLine(
        world.clock, CONFIG.lease / 2, lambda: others.append(world.manager().flush_queue())
    )
    with GeminiBatchClient.from_keyring(
        keyring, endpoint=Endpoint(base_url=world.emulator.url), transport=line
    ) as client:
        config = replace(CONFIG, max_tokens=10**8, first_job_tokens=10**8)
        manager = BatchManager(
            keyring, world.store, client=client, config=config, clock=world.clock
        )
        began = world.clock.now()
        assert manager.flush_queue() is not None
    assert world.clock.now() - began > CONFIG.lease
    assert set(others) == {None}
    assert world.creates() == 1
