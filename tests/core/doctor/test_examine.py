"""What is wrong is found and named; what is mended can neither lose nor cost anything."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from batch_emulator import EndJob, FailLines, FaultRule, Lines, Operation, Reply, StickJob
from semantic_core.batches import BatchManager
from semantic_core.doctor import Finding, Trouble, examine
from semantic_core.domain.clock import HOUR
from semantic_core.domain.errors import ProviderError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.types import EmbeddingRequest
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.indexes.cached import LEAST_SAVED
from support.chunks import chunks_of, embed, vector_of
from support.invariants import check_invariants
from support.setups import armed, lose_answer
from support.world import CONFIG, World

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING


def found(manager: BatchManager, *, fix: bool = False) -> dict[Trouble, Finding]:
    return {finding.trouble: finding for finding in examine(manager, fix=fix).findings}


def change(world: World, sql: str, *values: Any) -> None:
    """Do what semcore never does."""
    connection = world.store.database.connection()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(sql, values)
    connection.execute("PRAGMA foreign_keys = ON")


def rows(world: World) -> list[list[tuple[Any, ...]]]:
    tables = (
        *("chunks", "batch_jobs", "batch_items", "embeddings"),
        *("chunk_counts", "waiting_counts"),
    )
    return [world.query(f"SELECT * FROM {table}") for table in tables]


@pytest.fixture
def finished(world: World) -> World:
    """A world in which everything went well, twice."""
    world.save("one", "two")
    for _ in range(2):
        world.manager().flush_queue()
        world.manager().sync_status()
        world.store.save([Chunk(id="later", text="a later text")])
    return world


# --- nothing is wrong ------------------------------------------------------------------------


def test_a_healthy_database_is_healthy_and_stays_as_it_is(finished: World) -> None:
    before, accepted = rows(finished), finished.creates()
    for fix in (False, True):
        examination = examine(finished.manager(), fix=fix)
        assert examination.findings == ()
        assert examination.is_healthy
    assert rows(finished) == before
    assert finished.creates() == accepted
    assert {call.method for call in finished.emulator.requests[-2:]} == {"GET"}


def test_an_empty_database_is_healthy(world: World) -> None:
    assert examine(world.manager()).findings == ()


def test_without_a_batch_key_the_provider_is_not_asked(world: World) -> None:
    manager = BatchManager(GoogleKeyring(), world.store, clock=world.clock)
    (finding,) = examine(manager, fix=True).findings
    assert finding.trouble is Trouble.NOT_LOOKED
    assert "batch key" in finding.message
    assert examine(manager).is_healthy
    assert world.emulator.requests == []


def test_a_provider_that_is_away_does_not_hide_the_rest(finished: World) -> None:
    change(finished, "UPDATE chunk_counts SET chunks = chunks + 1")
    finished.emulator.add_fault(FaultRule(effect=Reply(code=503), times=None))
    seen = found(finished.manager())
    assert set(seen) == {Trouble.COUNTS, Trouble.NOT_LOOKED}
    assert "503" in seen[Trouble.NOT_LOOKED].message


# --- what follows from the rows ---------------------------------------------------------------


def test_wrong_counts_are_counted_anew(finished: World) -> None:
    change(finished, "UPDATE chunk_counts SET chunks = chunks + 5 WHERE embedding_status = 'READY'")
    change(finished, "INSERT INTO chunk_counts VALUES (1, 'FAILED', 0, 7)")
    change(finished, "DELETE FROM waiting_counts")
    change(finished, "INSERT INTO waiting_counts VALUES (1, 0, 0, 1, 9, 0, 0)")
    change(finished, "INSERT INTO waiting_counts VALUES (1, 1, 0, 0, 9, 0, 0)")
    manager = finished.manager()
    finding = found(manager)[Trouble.COUNTS]
    assert (finding.count, finding.is_fixable, finding.is_fixed) == (4, True, False)
    assert manager.get_queue_stats().ready == 8
    assert manager.estimate().tokens == 9
    assert found(manager, fix=True)[Trouble.COUNTS].is_fixed
    assert manager.get_queue_stats().ready == 3
    assert examine(manager).findings == ()
    check_invariants(finished.store)


def test_a_full_text_index_that_differs_is_built_anew(finished: World) -> None:
    change(finished, "INSERT INTO chunks_fts (chunks_fts) VALUES ('delete-all')")
    manager = finished.manager()
    assert found(manager)[Trouble.FULL_TEXT].is_fixable
    assert finished.store.search(text="one", mode="keyword").hits == ()
    assert found(manager, fix=True)[Trouble.FULL_TEXT].is_fixed
    assert examine(manager).findings == ()
    assert [hit.chunk.id for hit in finished.store.search(text="one", mode="keyword")] == ["c0"]


def test_tags_that_differ_from_the_metadata_are_written_anew(finished: World) -> None:
    finished.store.save([Chunk(id="c9", text="nine", metadata={"n": 9, "yes": True, "f": 0.5})])
    manager = finished.manager()
    manager.drain_queue()
    manager.sync_status()
    change(finished, "DELETE FROM tags WHERE key = 'n'")
    change(finished, "INSERT INTO tags VALUES (1, 'other', 'x', 1)")

    def nines() -> int:
        return len(finished.store.search(vector=[1.0] * 768, filters={"n": 9}))

    finding = found(manager)[Trouble.TAGS]
    assert (finding.count, finding.is_fixable, finding.is_fixed) == (2, True, False)
    assert nines() == 0
    assert found(manager, fix=True)[Trouble.TAGS].is_fixed
    assert nines() == 1
    assert examine(manager).findings == ()
    check_invariants(finished.store)


def test_chunks_that_the_provider_refused_are_told_of(finished: World) -> None:
    finished.store.save(
        [
            Chunk(id="bad", text="bad"),
            Chunk(id="ours", text="", error_message="x", embedding_status=EmbeddingStatus.FAILED),
        ]
    )
    finished.emulator.add_fault(
        FaultRule(effect=FailLines(code=400, message="No.", lines=Lines(containing="bad")))
    )
    manager = finished.manager()
    manager.drain_queue()
    manager.sync_status()
    assert finished.chunk("bad").status is EmbeddingStatus.FAILED
    finding = found(manager)[Trouble.FAILED_CHUNK]
    assert (finding.count, finding.is_fixable) == (1, False)
    assert not examine(manager).is_healthy
    finished.emulator.clear_faults()
    assert manager.retry_failed() == 1
    assert examine(manager).is_healthy


def test_a_stored_vector_is_used_instead_of_paid_for_again(finished: World) -> None:
    change(
        finished,
        "UPDATE chunks SET embedding_status = 'PENDING', embedding_id = NULL WHERE chunk_id = 'c0'",
    )
    manager = finished.manager()
    assert found(manager)[Trouble.FREE_VECTOR].count == 1
    assert found(manager, fix=True)[Trouble.FREE_VECTOR].is_fixed
    assert finished.chunk("c0").status is READY
    found(manager, fix=True)  # the counts, which were spoiled as well
    assert examine(manager).is_healthy


def test_a_vector_index_that_differs_is_thrown_away(finished: World) -> None:
    """E1, E2: whatever changed the rows did not say so."""
    query = finished.store.vectors(["c0"])["c0"]
    finished.store.search(vector=query)
    change(
        finished,
        "UPDATE embeddings SET vector = (SELECT e.vector FROM embeddings e JOIN chunks c "
        "ON c.embedding_id = e.id WHERE c.chunk_id = 'c1') "
        "WHERE id = (SELECT embedding_id FROM chunks WHERE chunk_id = 'c0')",
    )
    manager = finished.manager()
    assert found(manager)[Trouble.VECTOR_INDEX].count == 1
    assert finished.store.search(vector=query).hits[0].score == pytest.approx(1)
    assert found(manager, fix=True)[Trouble.VECTOR_INDEX].is_fixed
    assert finished.store.search(vector=query).hits[0].score < 0.99
    assert examine(manager).findings == ()


def test_a_saved_vector_index_that_differs_is_removed(world: World) -> None:
    """E2: as another process finds it"""
    spec = EmbeddingSpec(dimensions=8)
    world.store.collection(spec=spec)
    texts = [f"text {number}" for number in range(LEAST_SAVED)]
    world.store.save(chunks_of(texts))
    embed(world.store, *texts, spec=spec)
    world.store.search(vector=vector_of("text 1"))
    (saved,) = world.folder.glob("world.db.vectors-*")
    change(world, "UPDATE embeddings SET vector = ? WHERE id = 7", vector_of("other").tobytes())
    with PeeweeVectorStore(world.path, clock=world.clock) as store:
        manager = world.manager(store=store)
        assert found(manager)[Trouble.VECTOR_INDEX].count == 1
        assert found(manager, fix=True)[Trouble.VECTOR_INDEX].is_fixed
        assert not saved.exists()
        assert examine(manager).findings == ()


def test_a_reservation_without_an_end_is_ended(world: World) -> None:
    """C25: the clock was a year ahead when the job was taken."""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    far = world.clock.now() + 365 * 24 * HOUR
    change(world, "UPDATE batch_jobs SET lease_token = 'gone', lease_until = ?", far)
    manager.sync_status()
    assert world.chunk().status is PENDING
    assert found(manager)[Trouble.FAR_LEASE].is_fixable
    assert found(manager, fix=True)[Trouble.FAR_LEASE].is_fixed
    manager.sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


def test_a_living_reservation_is_left_alone(world: World) -> None:
    world.save("one")
    manager = world.manager()
    seen: list[dict[Trouble, Finding]] = []
    arm(FailPoint.UPLOAD_DONE, lambda: seen.append(found(world.manager(), fix=True)))
    try:
        manager.flush_queue()
    finally:
        disarm()
    assert seen == [{}]
    assert world.creates() == 1


# --- what nobody may mend ---------------------------------------------------------------------


def test_a_claim_that_may_have_been_sent_is_never_released(finished: World) -> None:
    change(
        finished,
        "INSERT INTO batch_items (job_pk, content_id, state, attempt, tokens) "
        "SELECT 1, content_id, 'open', 1, 1 FROM chunks",
    )
    change(
        finished,
        "UPDATE chunks SET embedding_status = 'PENDING', embedding_id = NULL, "
        "batch_job_id = (SELECT id FROM batch_jobs LIMIT 1) WHERE chunk_id = 'c0'",
    )
    change(
        finished,
        "DELETE FROM embeddings WHERE id NOT IN (SELECT embedding_id FROM chunks "
        "WHERE embedding_id IS NOT NULL)",
    )
    manager = finished.manager()
    finding = found(manager, fix=True)[Trouble.STUCK_CLAIM]
    assert not finding.is_fixable
    assert finding.count >= 2
    assert finished.chunk("c0").batch_job_id is not None
    assert not examine(manager).is_healthy


def test_rows_that_contradict_each_other_are_named(finished: World) -> None:
    change(
        finished,
        "UPDATE chunks SET embedding_id = (SELECT embedding_id FROM chunks WHERE chunk_id = 'c1') "
        "WHERE chunk_id = 'c0'",
    )
    change(finished, "UPDATE embeddings SET vector = x'00000000' WHERE id = 1")
    examination = examine(finished.manager(), fix=True)
    messages = [
        finding.message
        for finding in examination.findings
        if finding.trouble is Trouble.CONTRADICTION
    ]
    assert len(messages) == 2
    assert "another text" in messages[0]
    assert "another size" in messages[1]
    assert not examination.is_healthy


def test_a_damaged_file_is_not_written_to(finished: World, tmp_path: Path) -> None:
    """E5"""
    path = finished.folder / "damaged.db"
    finished.store.backup(path)
    content = bytearray(path.read_bytes())
    with PeeweeVectorStore(path) as store:
        page_size = store.database.connection().execute("PRAGMA page_size").fetchone()[0]
        (root,) = (
            store.database.connection()
            .execute("SELECT rootpage FROM sqlite_master WHERE name = 'chunks_wanting'")
            .fetchone()
        )
    start = (root - 1) * page_size
    content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)
    with PeeweeVectorStore(path, clock=finished.clock) as store:
        asked = len(finished.emulator.requests)
        (finding,) = examine(finished.manager(store=store), fix=True).findings
        assert finding.trouble is Trouble.DAMAGE
        assert "restore a backup" in finding.message
        assert len(finished.emulator.requests) == asked
    assert path.read_bytes() == bytes(content)


def test_a_reference_to_nothing_is_damage(finished: World) -> None:
    change(finished, "UPDATE chunks SET collection_id = 99 WHERE chunk_id = 'c0'")
    (finding,) = examine(finished.manager()).findings
    assert finding.trouble is Trouble.DAMAGE
    assert "chunks" in finding.message


# --- files ------------------------------------------------------------------------------------


def test_files_of_a_killed_process_are_removed_and_those_in_use_stay(world: World) -> None:
    world.save("one")
    manager = world.manager()
    left = world.folder / "world.db-batches" / "0b9d7d0e-0000-4000-8000-000000000000.x" / "results"
    left.parent.mkdir(parents=True)
    left.write_text("a user's text")
    seen: list[dict[Trouble, Finding]] = []

    def look() -> None:
        disarm()
        (spool,) = world.folder.glob("world.db-batches/*/requests")
        seen.append(found(world.manager(), fix=True))
        assert spool.exists()

    with armed(FailPoint.SPOOL_WRITTEN, look):
        manager.flush_queue()
    assert seen[0][Trouble.TEMPORARY_FILE].count == 1
    assert seen[0][Trouble.TEMPORARY_FILE].is_fixed
    assert not left.exists()


# --- the provider -----------------------------------------------------------------------------


def test_a_job_without_a_row_is_adopted(world: World) -> None:
    """B19"""
    world.save("one")
    copy = world.folder / "copy.db"
    world.store.backup(copy)
    world.manager().flush_queue()
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store)
        assert found(manager)[Trouble.UNKNOWN_JOB].is_fixable
        assert manager.jobs() == []
        assert found(manager, fix=True)[Trouble.UNKNOWN_JOB].is_fixed
        assert len(manager.jobs()) == 1
        manager.sync_status()
        assert {chunk.status for chunk in store.chunks()} == {READY}
    assert world.creates() == 1


def test_a_job_that_stands_twice_is_named(world: World) -> None:
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    (job,) = manager.jobs()
    manager.context().provider.create_embedding_job(
        [EmbeddingRequest(key="0" * 64, text="planted")],
        spec=EmbeddingSpec(),
        display_name=job.display_name,
        spool=world.folder / "planted.jsonl",
    )
    finding = found(manager, fix=True)[Trouble.DOUBLE_JOB]
    assert not finding.is_fixable
    assert "Cancel" in finding.message


def test_input_files_of_ended_jobs_are_removed_and_no_others(world: World) -> None:
    """D14"""
    world.emulator.add_fault(
        FaultRule(operation=Operation.FILE_DELETE, effect=Reply(code=503), times=None)
    )
    world.save("one")
    config = dataclasses.replace(CONFIG, max_cleanup_tries=1)
    manager = world.manager(config=config)
    manager.flush_queue()
    (ended,) = manager.jobs()
    manager.sync_status()
    world.store.save([Chunk(id="later", text="in flight")])
    world.emulator.add_fault(FaultRule(effect=StickJob(), times=None))
    manager.flush_queue()
    for name in ("somebody else's", f"{manager.context().prefix}of-another-copy"):
        manager.context().provider.stage([b"{}\n"], name=name, spool=world.folder / "theirs.jsonl")
    world.emulator.clear_faults()
    before = {file.display_name for file in manager.context().provider.staged_files()}
    assert found(manager)[Trouble.REMOTE_FILE].count == 1
    assert found(manager, fix=True)[Trouble.REMOTE_FILE].is_fixed
    assert Trouble.REMOTE_FILE not in found(manager)
    after = {file.display_name for file in manager.context().provider.staged_files()}
    assert before - after == {ended.display_name}


def test_a_file_whose_name_was_never_recorded_is_found_by_its_display_name(world: World) -> None:
    """B2: the process died right after the upload."""
    world.save("one")
    with armed(FailPoint.UPLOAD_DONE, sys.exit), pytest.raises(SystemExit):
        world.manager().flush_queue()
    world.clock.advance(CONFIG.lease + 1)
    manager = world.manager()
    manager.sync_status()
    assert found(manager, fix=True)[Trouble.REMOTE_FILE].is_fixed
    assert manager.context().provider.staged_files() == []


# --- jobs that wait ---------------------------------------------------------------------------


def test_jobs_that_wait_are_named_with_what_to_do(world: World) -> None:
    world.save("one")
    manager = world.manager()
    world.emulator.add_fault(FaultRule(effect=EndJob(state="BATCH_STATE_CANCELLED")))
    manager.flush_queue()
    manager.sync_status()
    world.store.save([Chunk(id="later", text="two")])
    lose_answer(world, manager, arrives=False)
    examination = examine(manager, fix=True)
    assert {finding.trouble for finding in examination.findings} == {
        Trouble.HELD_JOB,
        Trouble.UNCERTAIN_JOB,
    }
    assert not examination.is_healthy
    manager.release(manager.get_queue_stats().held_jobs[0].id, accept_rebilling=True)
    assert examine(manager).is_healthy


def test_results_about_to_be_removed_are_trouble_and_a_slow_job_is_none(world: World) -> None:
    """C7, C9"""
    world.save("one")
    manager = world.manager()
    manager.flush_queue()
    world.emulator.add_fault(
        FaultRule(operation=Operation.DOWNLOAD, effect=Reply(code=503), times=None)
    )
    with pytest.raises(ProviderError):
        manager.sync_status()
    world.clock.advance(25 * HOUR)
    assert Trouble.EXPIRING_RESULT in found(manager)
    assert not examine(manager).is_healthy
    change(world, "UPDATE batch_jobs SET finished_at = NULL")
    assert set(found(manager)) == {Trouble.OVERDUE_JOB}
    assert examine(manager).is_healthy


def test_a_job_that_a_process_left_is_a_note(world: World) -> None:
    """A2"""
    world.save("one")

    def die() -> None:
        raise SystemExit

    with armed(FailPoint.CLAIM_COMMITTED, die), pytest.raises(SystemExit):
        world.manager().flush_queue()
    world.clock.advance(CONFIG.lease + 1)
    assert set(found(world.manager())) == {Trouble.LEFT_JOB}
    assert world.manager().flush_queue() is not None


def test_files_that_others_may_write_are_named_and_tightened(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.save("one")
    assert Trouble.OPEN_FILE not in {one.trouble for one in examine(world.manager()).findings}
    index = world.path.with_name(f"{world.path.name}.vectors-1")
    index.write_bytes(b"planted")
    world.path.chmod(0o666)
    index.chmod(0o620)
    with PeeweeVectorStore(world.path):
        assert "can be written by others" in caplog.text
    found = {one.trouble: one for one in examine(world.manager()).findings}[Trouble.OPEN_FILE]
    assert found.count == 2
    assert found.is_fixable
    assert world.path.stat().st_mode & 0o777 == 0o666, "looking changes nothing"
    fixed = {one.trouble: one for one in examine(world.manager(), fix=True).findings}
    assert fixed[Trouble.OPEN_FILE].is_fixed
    assert world.path.stat().st_mode & 0o777 == 0o644
    assert not index.exists() or index.stat().st_mode & 0o777 == 0o600
    assert Trouble.OPEN_FILE not in {one.trouble for one in examine(world.manager()).findings}
