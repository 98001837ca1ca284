"""What the provider refuses for now makes the next job smaller, or wait for another one's end."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from batch_emulator import FailLines, FaultRule, Operation, Reply
from semantic_core.batches import BatchManager
from semantic_core.doctor import Finding, Trouble, examine
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import RateLimitError
from semantic_core.domain.failpoints import FailPoint, disarm
from semantic_core.domain.pricing import estimate_tokens
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from support.keys import OTHER_KEY
from support.setups import armed
from support.world import CONFIG, World, open_world

DAY = 24 * HOUR
TOKENS = 1000


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[World]:
    """A world whose jobs take an hour."""
    with open_world(tmp_path, pending_seconds=HOUR) as opened:
        yield opened


def text_of(number: int, tokens: int = TOKENS) -> str:
    """Return a text of so many tokens by estimate, and as the emulator counts them."""
    start = f"{number} "
    return start + "xxxx" * (tokens - estimate_tokens(start))


def save_texts(world: World, count: int, *, tokens: int = TOKENS) -> None:
    world.save(*[text_of(number, tokens) for number in range(count)])


def refuse(world: World, effect: Reply, *, times: int | None = 1) -> None:
    world.emulator.add_fault(FaultRule(operation=Operation.CREATE, effect=effect, times=times))


def why(world: World) -> str:
    (passed,) = world.store.stats().passed_over
    return passed.why


def is_ready(world: World) -> bool:
    return set(world.statuses().values()) == {EmbeddingStatus.READY}


def flushes_until_ready(world: World, manager: BatchManager, *, most: int) -> int:
    """Flush, wait and sync as cron does; return how many flushes it took."""
    for number in range(1, most + 1):
        with suppress(RateLimitError):
            manager.flush_queue()
        world.clock.advance(HOUR + 1)
        manager.sync_status()
        if is_ready(world):
            return number
    raise AssertionError(f"{most} flushes were not enough: {world.store.stats()}")


# --- smaller jobs ------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [TOKENS, 10])
def test_a_quota_for_a_third_of_the_texts_takes_few_flushes(tmp_path: Path, tokens: int) -> None:
    """Of short texts, too, whose tokens together are fewer than any quota."""
    with open_world(tmp_path, most_enqueued_tokens=100 * tokens) as world:
        save_texts(world, 300, tokens=tokens)
        assert flushes_until_ready(world, world.manager(), most=12) <= 9
        assert sorted(job.request_count for job in world.emulator.jobs()) == [75, 75, 75, 75]
        assert set(world.emulator.ledger.billed().values()) == {1}


def test_the_error_and_status_say_what_is_tried_next_and_when(world: World) -> None:
    save_texts(world, 200)
    refuse(world, Reply(code=429, message="Project spend cap of $250 reached for this month."))
    with pytest.raises(RateLimitError) as raised:
        world.manager().flush_queue()
    said = str(raised.value)
    assert "Project spend cap of $250 reached for this month." in said
    assert "Refused: 200 texts of about 200,000 tokens." in said
    assert "at most 100,000 tokens and 100 texts, from 2027-01-15 08:15 UTC on" in said
    assert "BatchConfig.max_tokens" in said
    assert raised.value.code == 429
    (job,) = world.manager().jobs()
    assert job.error_message == why(world) == said
    assert world.manager().flush_queue() is None
    assert why(world) == said
    world.clock.advance(CONFIG.rate_limit_delay)
    world.manager().flush_queue()
    assert [job.request_count for job in world.emulator.jobs()] == [100]
    assert world.store.stats().passed_over == ()


def test_retry_after_zero_is_no_wait(world: World) -> None:
    save_texts(world, 200)
    refuse(world, Reply(code=429, retry_after=0))
    with pytest.raises(RateLimitError, match="with the next flush") as raised:
        world.manager().flush_queue()
    assert raised.value.retry_after == 0
    assert world.manager().flush_queue() is not None
    assert [job.request_count for job in world.emulator.jobs()] == [100]


def test_a_quota_is_not_halved_below_what_any_project_has(world: World) -> None:
    save_texts(world, 200)
    refuse(world, Reply(code=429, retry_after=0), times=20)
    for _ in range(20):
        with pytest.raises(RateLimitError):
            world.manager().flush_queue()
    assert world.manager().flush_queue() is not None
    assert [job.request_count for job in world.emulator.jobs()] == [50]


def test_a_refused_key_or_model_lowers_no_other(world: World) -> None:
    save_texts(world, 100)
    world.store.collection("second", EmbeddingSpec(model="gemini-embedding-2"))
    world.store.save(
        [Chunk(id=f"{number}", text=text_of(number)) for number in range(100)], collection="second"
    )
    refuse(world, Reply(code=429))
    assert world.manager().flush_queue() is not None
    (job,) = world.emulator.jobs()
    assert (job.model, job.request_count) == ("gemini-embedding-2", 100)
    assert world.manager().flush_queue() is None
    assert world.manager(batch_key=OTHER_KEY).flush_queue() is not None
    assert [job.request_count for job in world.emulator.jobs()] == [100, 100]


def test_a_refusal_is_forgotten_after_a_day(world: World) -> None:
    save_texts(world, 200)
    refuse(world, Reply(code=429))
    with pytest.raises(RateLimitError):
        world.manager().flush_queue()
    world.clock.advance(DAY)
    world.manager().flush_queue()
    assert [job.request_count for job in world.emulator.jobs()] == [200]


# --- growing -----------------------------------------------------------------------------


def test_the_first_job_is_small_and_each_that_is_taken_doubles_what_may_be_open(
    slow: World,
) -> None:
    save_texts(slow, 60, tokens=100)
    config = dataclasses.replace(CONFIG, first_job_tokens=800, max_tokens=2000, max_open_jobs=5)
    slow.manager(config=config).drain_queue()
    assert [job.request_count for job in slow.emulator.jobs()] == [8, 8, 16, 20, 8]


def test_what_was_taken_is_remembered_when_nothing_is_open(slow: World) -> None:
    save_texts(slow, 60, tokens=100)
    config = dataclasses.replace(CONFIG, first_job_tokens=800, max_tokens=2000, max_open_jobs=2)
    manager = slow.manager(config=config)
    manager.drain_queue()
    slow.clock.advance(HOUR)
    manager.sync_status()
    manager.flush_queue()
    assert [job.request_count for job in slow.emulator.jobs()] == [8, 8, 20]


def test_small_jobs_show_nothing_about_large_ones(slow: World) -> None:
    manager = slow.manager(config=dataclasses.replace(CONFIG, first_job_tokens=800))
    for number in range(5):
        slow.store.save([Chunk(id=f"small {number}", text=f"small {number}")])
        assert manager.flush_queue() is not None
    slow.clock.advance(HOUR)
    manager.sync_status()
    save_texts(slow, 20, tokens=100)
    manager.flush_queue()
    assert slow.emulator.jobs()[-1].request_count == 8


def test_by_default_ten_jobs_are_open_at_most(slow: World) -> None:
    """However small they are."""
    sent = []
    for number in range(12):
        slow.store.save([Chunk(id=f"{number}", text=f"text {number}")])
        sent.append(slow.manager().flush_queue())
    assert None not in sent[:10]
    assert sent[10:] == [None, None]
    assert "max_open_jobs allows (10)" in why(slow)


# --- waiting for a job to end ------------------------------------------------------------


def test_a_refusal_beside_open_jobs_waits_for_one_of_them_to_end(tmp_path: Path) -> None:
    with open_world(tmp_path, pending_seconds=10 * HOUR, most_enqueued_tokens=150_000) as world:
        save_texts(world, 200)
        config = dataclasses.replace(CONFIG, max_requests=100)
        manager = world.manager(config=config)
        assert len(manager.drain_queue()) == 1
        assert "beside 1 open job of about 100,000" in why(world)
        assert "once one of the open jobs has ended." in why(world)
        asked = len(world.emulator.calls(Operation.CREATE))
        world.clock.advance(9 * HOUR)
        manager.sync_status()
        assert manager.flush_queue() is None, "not by time alone"
        assert len(world.emulator.calls(Operation.CREATE)) == asked
        world.clock.advance(HOUR)
        manager.sync_status()
        assert manager.flush_queue() is not None


def test_a_wait_that_the_provider_asks_for_holds_beside_open_jobs_too(slow: World) -> None:
    save_texts(slow, 2)
    manager = slow.manager(config=dataclasses.replace(CONFIG, max_requests=1))
    assert manager.flush_queue() is not None
    refuse(slow, Reply(code=429, retry_delay=2 * HOUR))
    with pytest.raises(RateLimitError, match="has ended and from"):
        manager.flush_queue()
    slow.clock.advance(HOUR)
    manager.sync_status()
    assert manager.flush_queue() is None
    slow.clock.advance(HOUR)
    assert manager.flush_queue() is not None


def test_a_drain_stays_below_a_quota_of_open_tokens(tmp_path: Path) -> None:
    """Refused as often as a job is taken, at most: what is open is known."""
    with open_world(tmp_path, pending_seconds=HOUR, most_enqueued_tokens=120_000) as world:
        save_texts(world, 300)
        manager = world.manager(config=dataclasses.replace(CONFIG, max_requests=60))
        for _ in range(20):
            manager.drain_queue()
            world.clock.advance(HOUR + 1)
            manager.sync_status()
            if is_ready(world):
                break
        assert is_ready(world)
        taken = len(world.emulator.jobs())
        assert len(world.emulator.calls(Operation.CREATE)) <= 2 * taken + 1
        assert set(world.emulator.ledger.billed().values()) == {1}


def test_two_flushes_at_once_share_what_may_be_open(world: World) -> None:
    """The second one claims while the first uploads: it may not count on the first's success."""
    save_texts(world, 60, tokens=100)
    config = dataclasses.replace(CONFIG, first_job_tokens=3000)
    others: list[str | None] = []

    def flush_too() -> None:
        disarm()
        others.append(world.manager(config=config).flush_queue())

    with armed(FailPoint.UPLOAD_DONE, flush_too):
        assert world.manager(config=config).flush_queue() is not None
    assert others == [None]
    assert "1 job of about 3,000 tokens" in why(world)
    assert [job.request_count for job in world.emulator.jobs()] == [30]


def test_two_refusals_at_once_do_not_wait_for_each_other(world: World) -> None:
    save_texts(world, 2, tokens=10)
    refuse(world, Reply(code=429), times=None)
    config = dataclasses.replace(CONFIG, max_requests=1)

    def flush_too() -> None:
        disarm()
        with pytest.raises(RateLimitError):
            world.manager(config=config).flush_queue()

    with armed(FailPoint.CREATE_REFUSED, flush_too), pytest.raises(RateLimitError):
        world.manager(config=config).flush_queue()
    world.emulator.clear_faults()
    world.clock.advance(CONFIG.rate_limit_delay + 1)
    assert len(world.manager(config=config).drain_queue()) == 2


def test_drains_at_once_pass_no_quota_twice(tmp_path: Path) -> None:
    with open_world(tmp_path, pending_seconds=HOUR, most_enqueued_tokens=100_000) as world:
        save_texts(world, 200)
        config = dataclasses.replace(CONFIG, max_requests=25)
        for _ in range(12):
            barrier = threading.Barrier(3)

            def drain(barrier: threading.Barrier = barrier) -> None:
                manager = world.manager(config=config)
                barrier.wait()
                manager.drain_queue()

            with ThreadPoolExecutor(3) as threads:
                for future in [threads.submit(drain) for _ in range(3)]:
                    future.result()
            world.clock.advance(HOUR + 1)
            world.manager().sync_status()
            if is_ready(world):
                break
        assert is_ready(world)
        assert set(world.emulator.ledger.billed().values()) == {1}


def test_a_text_larger_than_what_is_left_waits(slow: World) -> None:
    manager = slow.manager(config=dataclasses.replace(CONFIG, first_job_tokens=1000))
    save_texts(slow, 1, tokens=400)
    assert manager.flush_queue() is not None
    slow.store.save([Chunk(id="large", text=text_of(9, 1500))])
    assert manager.flush_queue() is None
    assert "1 job of about 400 tokens" in why(slow)
    slow.clock.advance(HOUR)
    manager.sync_status()
    assert manager.flush_queue() is not None, "alone it goes, whatever the limit"


def test_open_jobs_stay_below_the_file_storage(slow: World) -> None:
    """Their results are there before anybody has fetched them."""
    slow.store.collection(spec=EmbeddingSpec(dimensions=3072))
    save_texts(slow, 1)
    manager = slow.manager(config=dataclasses.replace(CONFIG, max_requests=10**6))
    assert manager.flush_queue() is not None
    slow.store.save([Chunk(id="later", text="later")])
    with slow.store.database.transaction() as connection:
        connection.execute("UPDATE batch_jobs SET request_count = 500000")
    assert manager.flush_queue() is None
    assert "file storage (20 GB" in why(slow)
    slow.clock.advance(HOUR)
    manager.sync_status()
    assert manager.flush_queue() is not None


def test_a_job_alone_stays_below_the_file_storage(world: World) -> None:
    world.store.collection(spec=EmbeddingSpec(dimensions=3072))
    world.save("a", "b", "c")
    with world.store.database.transaction() as connection:
        connection.execute(
            "INSERT INTO batch_jobs (id, provider, status, step, display_name, space_id, spec, "
            "model, fingerprint, request_count, byte_count, estimated_tokens, created_at) "
            "SELECT 'other', 'gemini', 'CREATED', 'creating', 'n', id, '{}', 'another', ?, 498304, "
            "0, 0, 0 FROM spaces",
            (world.manager().context().fingerprint,),
        )
    world.manager().flush_queue()
    assert [job.request_count for job in world.emulator.jobs()] == [1]


# --- pauses that are too long -------------------------------------------------------------


def test_a_refusal_noted_while_the_clock_was_ahead_stops_nothing(world: World) -> None:
    save_texts(world, 1)
    refuse(world, Reply(code=429))
    world.clock.advance(3650 * DAY)
    with pytest.raises(RateLimitError):
        world.manager().flush_queue()
    world.clock.advance(-3650 * DAY)
    assert world.manager().flush_queue() is not None


def test_a_back_off_noted_while_the_clock_was_ahead_stops_nothing(world: World) -> None:
    save_texts(world, 1)
    world.clock.advance(3650 * DAY)
    note_back_off(world)
    world.clock.advance(-3650 * DAY)
    assert world.store.stats().backing_off == 0
    assert world.manager().flush_queue() is not None


def test_nor_does_it_stop_another_chunk_with_the_same_text(world: World) -> None:
    world.store.collection("second", EmbeddingSpec())
    save_texts(world, 1)
    world.clock.advance(3650 * DAY)
    note_back_off(world)
    world.clock.advance(-3650 * DAY)
    world.store.save([Chunk(id="again", text=text_of(0))], collection="second")
    assert world.manager(collection="second").flush_queue() is not None
    assert world.store.stats().waiting == 0


def test_a_wait_of_many_days_is_cut_to_one(world: World) -> None:
    save_texts(world, 1)
    refuse(world, Reply(code=429, retry_delay=999_999))
    with pytest.raises(RateLimitError, match="2027-01-16"):
        world.manager().flush_queue()
    world.clock.advance(DAY)
    assert world.manager().flush_queue() is not None


def note_refusal(world: World) -> None:
    with pytest.raises(RateLimitError):
        world.manager().flush_queue()


def note_back_off(world: World) -> None:
    world.emulator.add_fault(FaultRule(effect=FailLines(code=503)))
    world.manager().flush_queue()
    world.manager().sync_status()


def be_paused_by_the_provider(world: World) -> None:
    refuse(world, Reply(code=429, retry_delay=999_999))
    note_refusal(world)


def be_paused_by_a_wrong_clock(world: World) -> None:
    world.clock.advance(5 * HOUR)
    note_back_off(world)
    world.clock.advance(-5 * HOUR)


def pauses_found(world: World, *, fix: bool = False) -> list[Finding]:
    found = examine(world.manager(), fix=fix).findings
    return [finding for finding in found if finding.trouble is Trouble.FAR_PAUSE]


PAUSES = (be_paused_by_the_provider, be_paused_by_a_wrong_clock)


@pytest.mark.parametrize("pause", PAUSES)
def test_a_long_pause_is_found_and_ended(world: World, pause: Callable[[World], None]) -> None:
    save_texts(world, 1)
    pause(world)
    assert world.manager().flush_queue() is None
    (finding,) = pauses_found(world)
    assert (finding.count, finding.is_fixable) == (1, True)
    (finding,) = pauses_found(world, fix=True)
    assert finding.is_fixed
    assert pauses_found(world) == []
    assert world.manager().flush_queue() is not None


@pytest.mark.parametrize("pause", PAUSES)
def test_a_retry_ends_a_pause(world: World, pause: Callable[[World], None]) -> None:
    save_texts(world, 1)
    pause(world)
    assert world.manager(collection="default").retry_failed() == 1
    assert world.manager().retry_failed() == 0
    assert world.store.stats().passed_over == ()
    assert world.manager().flush_queue() is not None


def test_a_retry_ends_the_wait_for_another_job(slow: World) -> None:
    save_texts(slow, 2)
    manager = slow.manager(config=dataclasses.replace(CONFIG, max_requests=1))
    assert manager.flush_queue() is not None
    refuse(slow, Reply(code=429))
    with pytest.raises(RateLimitError):
        manager.flush_queue()
    assert manager.retry_failed() == 1
    assert manager.flush_queue() is not None


def test_a_retry_of_one_collection_ends_no_other_ones_pause(world: World) -> None:
    world.store.collection("second", EmbeddingSpec(model="gemini-embedding-2"))
    save_texts(world, 1)
    refuse(world, Reply(code=429))
    note_refusal(world)
    assert world.manager(collection="second").retry_failed() == 0
    assert world.manager().flush_queue() is None


def test_usual_pauses_are_none_of_the_doctors_business(world: World) -> None:
    save_texts(world, 1)
    refuse(world, Reply(code=429))
    note_refusal(world)
    assert pauses_found(world) == []
