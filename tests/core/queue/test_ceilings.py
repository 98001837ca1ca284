"""What the open jobs of one key and model may carry together: lowered by a 429, raised by a success."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semantic_core.queue.ceilings import (
    Ceiling,
    CeilingBounds,
    Load,
    QuotaKey,
    pause_until,
    read_ceiling,
    read_enqueued,
    write_ceiling,
)
from semantic_core.queue.counts import recount
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of
from support.clock import ManualClock
from support.jobs import LIMITS, claim_job

DAY = 86_400.0
KEY = QuotaKey(fingerprint="fingerprint", model=SPEC.model)
BOUNDS = CeilingBounds(
    first_tokens=400_000, most=Load(jobs=10, requests=200_000, tokens=20_000_000)
)
FIRST = Ceiling(requests=200_000, tokens=400_000)
REFUSED = Load(jobs=1, requests=300, tokens=300_000)


def lowered(ceiling: Ceiling, refused: Load, enqueued: Load) -> tuple[int, int]:
    after = ceiling.lowered(refused, enqueued, not_before=0.0)
    assert after.open_jobs == enqueued.jobs
    return after.tokens, after.requests


def raised(ceiling: Ceiling, enqueued: Load, most: Load = BOUNDS.most) -> tuple[int, int]:
    after = ceiling.raised(enqueued, most)
    assert (after.open_jobs, after.not_before, after.message) == (0, None, None)
    return after.tokens, after.requests


def read(store: PeeweeVectorStore, key: QuotaKey = KEY, bounds: CeilingBounds = BOUNDS) -> Ceiling:
    with store.database.snapshot() as connection:
        return read_ceiling(connection, key, bounds=bounds, now=store.clock.now())


def write(store: PeeweeVectorStore, ceiling: Ceiling, key: QuotaKey = KEY) -> None:
    with store.database.transaction() as connection:
        write_ceiling(connection, key, ceiling, now=store.clock.now())


def claim_some(store: PeeweeVectorStore, count: int) -> list[str]:
    """Claim jobs of one text and one token each."""
    store.collection(spec=SPEC)
    store.save(chunks_of("abcdefgh"[:count]))
    jobs = [claim_job(store, limits=replace(LIMITS, requests=1)) for _ in range(count)]
    return [job for job in jobs if job is not None]


# --- moving ------------------------------------------------------------------------------


def test_a_refusal_with_nothing_open_halves_what_was_refused() -> None:
    assert lowered(FIRST, REFUSED, Load()) == (150_000, 150)
    assert lowered(Ceiling(requests=100, tokens=90_000), REFUSED, Load()) == (50_000, 50)


def test_a_job_smaller_than_any_quota_halves_the_ceiling() -> None:
    """It was not refused for its size; a second such refusal is no reason for tiny jobs."""
    assert lowered(FIRST, Load(jobs=1, requests=1, tokens=10), Load()) == (200_000, 100_000)


def test_a_refusal_beside_open_jobs_sets_the_ceiling_to_them() -> None:
    enqueued = Load(jobs=2, requests=130, tokens=130_000)
    assert lowered(FIRST, REFUSED, enqueued) == (130_000, 130)
    assert lowered(FIRST, REFUSED, Load(jobs=1, requests=1, tokens=9)) == (50_000, 50)


def test_a_refusal_never_raises_a_ceiling() -> None:
    small = Ceiling(requests=10, tokens=1000)
    assert lowered(small, REFUSED, Load()) == (1000, 10)
    assert lowered(small, REFUSED, Load(jobs=1, requests=20, tokens=2000)) == (1000, 10)


def test_a_job_that_is_taken_doubles_what_it_filled_up_to_the_most() -> None:
    full = Load(jobs=1, requests=100, tokens=50_000)
    assert raised(Ceiling(requests=100, tokens=50_000), full) == (100_000, 200)
    most = Load(jobs=1, requests=150, tokens=60_000)
    assert raised(Ceiling(requests=100, tokens=50_000), full, most) == (60_000, 150)
    assert raised(FIRST, Load(jobs=1, requests=1, tokens=1)) == (400_000, 200_000)


def test_it_is_closed_until_its_time_and_while_no_job_has_ended() -> None:
    ceiling = replace(FIRST, open_jobs=2, not_before=100.0)
    two, one = Load(jobs=2), Load(jobs=1)
    assert ceiling.is_closed(two, now=100.0)
    assert ceiling.is_closed(one, now=99.0)
    assert not ceiling.is_closed(one, now=100.0)
    assert not FIRST.is_closed(Load(jobs=9), now=0.0)


def test_no_pause_is_longer_than_a_day() -> None:
    assert pause_until(100.0, 60.0) == 160.0
    assert pause_until(100.0, 999_999.0) == 100.0 + DAY


# --- kept in the database ----------------------------------------------------------------


def test_nothing_noted_is_the_first_ceiling(store: PeeweeVectorStore) -> None:
    assert read(store) == FIRST
    small = replace(BOUNDS, most=Load(jobs=1, requests=5, tokens=7))
    assert read(store, bounds=small) == Ceiling(requests=5, tokens=7)


def test_it_is_kept_for_its_key_and_model_and_for_a_day(
    store: PeeweeVectorStore, clock: ManualClock
) -> None:
    noted = Ceiling(requests=50, tokens=60_000, open_jobs=2, not_before=5.0, message="refused")
    write(store, Ceiling(requests=1, tokens=1))
    write(store, noted)
    assert read(store) == noted
    assert read(store, QuotaKey(fingerprint="other", model=SPEC.model)) == FIRST
    assert read(store, QuotaKey(fingerprint="fingerprint", model="other")) == FIRST
    clock.advance(DAY - 1)
    assert read(store) == noted
    clock.advance(1)
    assert read(store) == FIRST


def test_one_of_the_future_is_none(store: PeeweeVectorStore, clock: ManualClock) -> None:
    clock.advance(1)
    write(store, Ceiling(requests=50, tokens=60_000))
    clock.advance(-1)
    assert read(store) == FIRST


def test_a_setting_that_was_lowered_holds_at_once(store: PeeweeVectorStore) -> None:
    write(store, Ceiling(requests=50, tokens=60_000))
    small = replace(BOUNDS, most=Load(jobs=1, requests=5, tokens=7))
    assert read(store, bounds=small) == Ceiling(requests=5, tokens=7)


def test_a_setting_of_any_size_can_be_kept(store: PeeweeVectorStore) -> None:
    write(store, Ceiling(requests=1 << 80, tokens=1 << 80))
    assert read(store, bounds=CeilingBounds(first_tokens=1, most=Load(requests=9, tokens=9))) == (
        Ceiling(requests=9, tokens=9)
    )


@pytest.mark.parametrize(
    ("change", "counted"),
    [
        ("status = 'SUBMITTED', google_job_id = 'g'", 3),
        ("hold_reason = 'lost'", 2),
        ("finished_at = 1.0", 2),
        ("status = 'FAILED', failure_reason = 'cancelled'", 2),
    ],
    ids=["sent", "held", "finished", "ended"],
)
def test_only_what_the_provider_still_has_in_its_queue_is_enqueued(
    store: PeeweeVectorStore, change: str, counted: int
) -> None:
    job_id, *_ = claim_some(store, 3)
    with store.database.transaction() as connection:
        connection.execute(f"UPDATE batch_jobs SET {change} WHERE id = ?", (job_id,))
        if "FAILED" in change:
            connection.execute(
                "UPDATE batch_items SET state = 'released' WHERE job_pk = (SELECT pk FROM batch_jobs WHERE id = ?)",
                (job_id,),
            )
            connection.execute(
                "UPDATE chunks SET batch_job_id = NULL WHERE batch_job_id = ?", (job_id,)
            )
            recount(connection, write=True)
    with store.database.snapshot() as connection:
        assert read_enqueued(connection, KEY) == Load(
            jobs=counted, requests=counted, tokens=counted
        )
        other = QuotaKey(fingerprint="other", model=SPEC.model)
        assert read_enqueued(connection, other) == Load()


def test_beside_a_job_are_those_that_may_have_been_sent(store: PeeweeVectorStore) -> None:
    first, second, _ = claim_some(store, 3)
    with store.database.transaction() as connection:
        for job_id in (first, second):
            connection.execute(
                "UPDATE batch_jobs SET step = 'creating', input_file = 'f' WHERE id = ?", (job_id,)
            )
    with store.database.snapshot() as connection:
        assert read_enqueued(connection, KEY, beside=first).jobs == 1


def test_what_is_open_was_taken_once(store: PeeweeVectorStore) -> None:
    """So that a forgotten ceiling does not stop a queue that runs; a claim shows nothing."""
    job_id, *_ = claim_some(store, 2)
    bounds = replace(BOUNDS, first_tokens=1)
    assert read(store, bounds=bounds).tokens == 1
    with store.database.transaction() as connection:
        connection.execute(
            "UPDATE batch_jobs SET status = 'SUBMITTED', step = 'submitted', google_job_id = 'g', "
            "input_file = 'f', estimated_tokens = 30 WHERE id = ?",
            (job_id,),
        )
    assert read(store, bounds=bounds).tokens == 60
