"""Whatever stands in a column of a job's row, a person can end it, and no other job waits for it."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from semantic_core.batches import BatchManager
from semantic_core.doctor import examine
from semantic_core.domain.errors import TransitionError
from semantic_core.domain.statuses import EmbeddingStatus, HoldReason, JobStatus
from semantic_core.domain.types import BatchJob, Chunk
from semantic_core.views import notebook
from support.invariants import check_invariants
from support.rows import run_sql
from support.world import CONFIG, World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING

# No text in any encoding, no name, no number, no moment, no state.
VALUES = {
    "bytes": "x'ff00fe'",
    "broken text": "CAST(x'41ff42' AS TEXT)",
    "words": "'../../etc/passwd\x1b]0;'",
    "empty": "''",
    "large": "9e300",
    "negative": "-7",
}

# Those that no column of PostgreSQL takes.
UNTYPED = ("bytes", "broken text")

COLUMNS = [
    "provider",
    "google_job_id",
    "status",
    "step",
    "failure_reason",
    "hold_reason",
    "display_name",
    "input_file",
    "result_file",
    "space_id",
    "spec",
    "model",
    "collections",
    "fingerprint",
    "provider_state",
    "request_count",
    "byte_count",
    "estimated_tokens",
    *("token_count", "uncounted_tokens", "picture_count", "live_price", "batch_price"),
    "cost_usd",
    "done_count",
    "failed_count",
    "error_message",
    "lease_token",
    "lease_until",
    "absence",
    "cancel_requested_at",
    "is_adopted",
    "cleanup_tries",
    "created_at",
    "uploaded_at",
    "creating_at",
    "reopened_at",
    "submitted_at",
    "finished_at",
    "fetched_at",
    "applied_at",
    "cleaned_at",
]


def spoil(world: World, batch_id: str, column: str, value: str) -> bool:
    """Write what semcore never writes, as another program or a bad disk would.

    Returns:
        Whether the database takes it: a column of PostgreSQL has a type, and its text is UTF-8.
    """
    statement = f"UPDATE batch_jobs SET {column} = {value} WHERE id = '{batch_id}'"
    if isinstance(world.target, str):
        with psycopg.connect(world.target, autocommit=True) as server:
            for (name,) in server.execute(
                "SELECT conname FROM pg_constraint "
                "WHERE contype = 'c' AND conrelid = 'semcore.batch_jobs'::regclass"
            ):
                server.execute(f'ALTER TABLE semcore.batch_jobs DROP CONSTRAINT "{name}"')
            server.execute("SET search_path = semcore")
            try:
                server.execute(statement)
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
                return False
        return True
    with closing(sqlite3.connect(world.target)) as file:
        file.execute("PRAGMA ignore_check_constraints = ON")
        file.execute(statement)
        file.commit()
    return True


def some_jobs(world: World, number: int) -> list[Any]:
    """Send so many jobs of one text each; return the manager and their ids."""
    manager = world.manager(config=replace(CONFIG, max_open_jobs=number))
    found: list[Any] = [manager]
    for position in range(number):
        world.store.save([Chunk(id=f"c{position}", text=f"text {position}")])
        found.append(manager.flush_queue())
    return found


def two_jobs(world: World) -> tuple[BatchManager, str, str]:
    manager, first, second = some_jobs(world, 2)
    return manager, first, second


def look_at_everything(manager: BatchManager) -> None:
    """Show what there is: none of it may raise."""
    notebook.show_queue(manager.get_queue_stats())
    notebook.show_receipt(manager.receipt())
    for job in manager.jobs():
        notebook.show_job(job)
    manager.estimate()
    examine(manager)


def job_of(manager: BatchManager, batch_id: str) -> BatchJob:
    return {job.id: job for job in manager.jobs()}[batch_id]


@pytest.mark.sqlite_only("chunks refer to the id, and PostgreSQL lets nobody change it then")
@pytest.mark.parametrize("value", [v for n, v in VALUES.items() if n != "negative"])
def test_a_job_whose_id_is_damaged_is_synced_under_another(world: World, value: str) -> None:
    manager, bad, _ = two_jobs(world)
    spoil(world, bad, "id", value)
    look_at_everything(manager)
    manager.sync_status()
    look_at_everything(manager)
    assert world.statuses() == {"c0": READY, "c1": READY}
    assert world.creates() == 2
    assert {job.status for job in manager.jobs()} == {JobStatus.COMPLETED}


def test_every_column_is_tried(world: World) -> None:
    columns = world.store.tables.BatchJobModel._meta.columns
    assert set(columns) == {*COLUMNS, "id", "pk"}


@pytest.mark.parametrize("start", range(0, len(COLUMNS), 6))
def test_a_damaged_column_stops_no_other_job_and_is_no_dead_end(world: World, start: int) -> None:
    is_typed = isinstance(world.target, str)
    values = [value for name, value in VALUES.items() if not (is_typed and name in UNTYPED)]
    wrong = list(itertools.product(COLUMNS[start : start + 6], values))
    manager, *bad, good = some_jobs(world, len(wrong) + 1)
    spoiled = [
        spoil(world, batch_id, column, value)
        for batch_id, (column, value) in zip(bad, wrong, strict=True)
    ]
    assert sum(spoiled) > 6
    world.clock.advance(86_400)  # every honest lease and pause is over
    look_at_everything(manager)
    for _ in range(3):
        manager.sync_status()
        world.clock.advance(1000)
    look_at_everything(manager)
    assert job_of(manager, good).status is JobStatus.COMPLETED
    assert world.chunk(f"c{len(bad)}").status is READY
    for number, batch_id in enumerate(bad):
        job = job_of(manager, batch_id)
        if job.is_open:
            assert job.hold_reason is not None, job
            assert "accept_rebilling" in (job.error_message or "")
            assert world.chunk(f"c{number}").status is PENDING
            with pytest.raises(TransitionError, match="a second time"):
                manager.release(batch_id, accept_rebilling=False)
            manager.release(batch_id, accept_rebilling=True)
            assert not job_of(manager, batch_id).is_open
    look_at_everything(manager)
    manager.drain_queue()
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    # What the rows say of themselves stays wrong; what they did to others is gone.
    run_sql(world.store, "DELETE FROM batch_items")
    run_sql(world.store, "DELETE FROM batch_jobs")
    check_invariants(world.store)


@pytest.mark.parametrize("column", ["status", "step", "google_job_id"])
def test_a_damaged_job_can_be_ended_before_any_sync(world: World, column: str) -> None:
    end_before_any_sync(world, column, "'../../etc/passwd'")


@pytest.mark.sqlite_only("all text of PostgreSQL is UTF-8")
@pytest.mark.parametrize("column", ["status", "step", "google_job_id", "display_name"])
def test_a_job_without_a_text_can_be_ended_before_any_sync(world: World, column: str) -> None:
    end_before_any_sync(world, column, "CAST(x'ff' AS TEXT)")


def end_before_any_sync(world: World, column: str, value: str) -> None:
    manager, bad, _ = two_jobs(world)
    spoil(world, bad, column, value)
    with pytest.raises(TransitionError, match="release"):
        manager.cancel(bad)
    manager.release(bad, accept_rebilling=True)
    assert job_of(manager, bad).status is JobStatus.FAILED


def test_a_damaged_spec_is_read_from_the_collection_and_nothing_is_paid_again(world: World) -> None:
    manager, bad, _ = two_jobs(world)
    spoil(world, bad, "spec", "'no JSON'")
    manager.sync_status()
    assert world.statuses() == {"c0": READY, "c1": READY}
    assert world.creates() == 2


def test_a_spec_of_another_space_is_not_used(world: World) -> None:
    manager, bad, _ = two_jobs(world)
    spoil(world, bad, "spec", "replace(spec, '768', '128')")
    manager.sync_status()
    assert world.statuses() == {"c0": READY, "c1": READY}


def test_a_spec_that_stands_nowhere_holds_the_job_until_it_is_released(world: World) -> None:
    manager, bad, _ = two_jobs(world)
    spoil(world, bad, "spec", "'no JSON'")
    ((spec,),) = run_sql(world.store, "SELECT spec FROM collections")
    run_sql(world.store, "UPDATE collections SET spec = 'none either'")
    manager.sync_status()
    assert job_of(manager, bad).hold_reason is HoldReason.UNREADABLE
    manager.release(bad, accept_rebilling=True)
    assert job_of(manager, bad).status is JobStatus.FAILED
    run_sql(world.store, "UPDATE collections SET spec = ?", (spec,))


def test_what_is_damaged_is_named_where_the_job_is_shown(world: World) -> None:
    manager, bad, _ = two_jobs(world)
    spoil(world, bad, "created_at", "9e300")
    job = job_of(manager, bad)
    assert job.unreadable == ("created_at",)
    assert "created_at" in str(job.advice)
    assert "created_at" in notebook.show_job(job)


def test_an_ended_job_with_a_hostile_file_name_does_not_stop_cleaning_up(world: World) -> None:
    manager, bad, good = two_jobs(world)
    spoil(world, bad, "input_file", "'../../v1/models?key=x'")
    for _ in range(10):
        manager.sync_status()
    rows = dict(world.query("SELECT id, cleaned_at IS NOT NULL FROM batch_jobs"))
    assert rows == {bad: 0, good: 1}
