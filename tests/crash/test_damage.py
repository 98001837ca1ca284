"""Damaged files: a typed error, or the right answer, and never a text paid for under a wrong hash.

SQLite keeps no checksum of its pages, so that a flipped bit within a text is a text. What is
promised: nothing but a typed error comes out, a changed text is never sent, a log that is cut or
flipped loses whole commits from its end and nothing else.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batch_emulator import CutDownload, CutResult, FaultRule, Operation
from semantic_core.batches import BatchManager
from semantic_core.doctor import examine
from semantic_core.domain.errors import (
    DatabaseCorruptError,
    NotASemcoreDatabaseError,
    SemanticCoreError,
)
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import BudgetUse, EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.providers.gemini.keyring import GoogleKeyring
from semantic_core.providers.gemini.results import read_results
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, content_hash, embed, vector_of
from support.invariants import check_invariants
from support.jobs import LIMITS, claim_job, settle
from support.world import World

READY, PENDING, FAILED = EmbeddingStatus.READY, EmbeddingStatus.PENDING, EmbeddingStatus.FAILED

IS_LONG = "SEMCORE_TEST_STRESS" in os.environ

PAGE = 512


def small_database(path: Path) -> None:
    """Make a database of small pages, with a row of every kind."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("VACUUM")
    with PeeweeVectorStore(path) as store:
        store.collection(spec=SPEC)
        store.save(
            [
                Chunk(id=f"c{n}", text=f"text number {n}", metadata={"n": n}, document_id="d")
                for n in range(6)
            ]
        )
        embed(store, *[f"text number {n}" for n in range(3)])
        job_id = claim_job(store, limits=dataclasses.replace(LIMITS, requests=2))
        assert job_id is not None
        settle(store, job_id, [content_hash("text number 3")], BudgetUse.EVERYTHING)


def uses(store: PeeweeVectorStore) -> Iterator[Callable[[], object]]:
    """Yield everything that a user may ask of it."""
    manager = BatchManager(GoogleKeyring(), store)
    yield store.chunks
    yield lambda: store.search(vector=vector_of("text number 1"), limit=5)
    yield lambda: store.search(text="number 1", limit=5)
    yield lambda: store.search(text="number", filters={"n": {"$gte": 2}})
    yield store.stats
    yield manager.receipt
    yield manager.jobs
    yield manager.failed_chunks
    yield lambda: examine(manager)
    yield lambda: store.save([Chunk(id="new", text="new text"), Chunk(id="c1", text="edited")])
    yield lambda: store.delete(ids=["c2"])
    yield lambda: claim_job(store)
    yield manager.retry_failed


def test_a_flipped_byte_of_the_database_is_a_typed_error_or_an_answer(tmp_path: Path) -> None:
    """E5: flip_db_bytes"""
    small = tmp_path / "small.db"
    small_database(small)
    content = small.read_bytes()
    flips = random.Random(5)
    # Every byte of the file's header and of the pages' own, and some of everything else.
    places = list(range(0, 100, 1 if IS_LONG else 4))
    headers = [start + n for start in range(PAGE, len(content), PAGE) for n in range(8)]
    places += headers[:: 1 if IS_LONG else 12]
    places += [flips.randrange(len(content)) for _ in range(3_000 if IS_LONG else 250)]
    seen: Counter[str] = Counter()
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= flips.randrange(1, 256)
        for stale in tmp_path.glob("notes.db*"):
            stale.unlink()
        path = tmp_path / "notes.db"
        path.write_bytes(damaged)
        try:
            with PeeweeVectorStore(path) as store:
                for use in uses(store):
                    try:
                        use()
                        seen["answer"] += 1
                    except SemanticCoreError:
                        seen["damaged"] += 1
        except SemanticCoreError:
            seen["not opened"] += 1
    assert seen["answer"] > 10 * seen["damaged"] > 0
    assert seen["not opened"] > 0


@pytest.mark.parametrize("size", [0, 1, 15, 16, 99, 100, 511, 512, 513, 4096, 30_000])
def test_a_database_cut_short_is_refused_or_empty(tmp_path: Path, size: int) -> None:
    """E5"""
    path = tmp_path / "notes.db"
    small_database(path)
    content = path.read_bytes()
    assert size < len(content)
    path.write_bytes(content[:size])
    try:
        with PeeweeVectorStore(path) as store:
            # SQLite takes a file without content for a new one, and nothing else for that.
            assert size <= 1
            assert store.chunks() == []
    except (DatabaseCorruptError, NotASemcoreDatabaseError):
        assert size > 1
        assert path.read_bytes() == content[:size]


def test_a_text_that_was_changed_is_not_sent_under_its_old_hash(world: World) -> None:
    """E5: its vector would be that of another text, for every chunk that ever asks for it."""
    world.save("one", "two", "three")
    connection = world.store.database.connection()
    connection.execute("UPDATE chunks SET text = 'ona' WHERE chunk_id = 'c0'")
    manager = world.manager()
    assert "another text" in " ".join(finding.message for finding in examine(manager).findings)
    manager.flush_queue()
    manager.sync_status()
    assert world.statuses() == {"c0": FAILED, "c1": READY, "c2": READY}
    assert "save the chunk again" in (world.chunk("c0").error_message or "")
    assert world.emulator.ledger.times_billed("ona") == 0

    world.store.save([Chunk(id="c0", text="ona")])
    manager.flush_queue()
    manager.sync_status()
    assert world.chunk("c0").status is READY
    assert world.emulator.ledger.times_billed("ona") == 1


# --- the log ----------------------------------------------------------------------------------


@pytest.fixture
def logged(tmp_path: Path) -> tuple[Path, list[set[str]]]:
    """A database and its log as a power cut leaves them, and what each commit made of it."""
    path = tmp_path / "live.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        connection.execute("VACUUM")
    states: list[set[str]] = []
    with PeeweeVectorStore(path) as store:
        store.collection(spec=SPEC)
        store.save([Chunk(id="first", text="first")])
        store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        states.append({"first"})
        for number in range(4):
            store.save([Chunk(id=f"{number}{half}", text=f"text {number}") for half in "ab"])
            states.append({chunk.id for chunk in store.chunks()})
        for name in ("live.db", "live.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / name.replace("live", "cut"))
    return tmp_path / "cut.db", states


def opened_after(path: Path, wal: bytes) -> set[str]:
    """Open a copy of the database with this log; return what is in it."""
    for stale in path.parent.glob("notes.db*"):
        stale.unlink()
    copy = path.with_name("notes.db")
    shutil.copy(path, copy)
    copy.with_name("notes.db-wal").write_bytes(wal)
    with PeeweeVectorStore(copy) as store:
        connection = store.database.connection()
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check_invariants(store)
        return {chunk.id for chunk in store.chunks()}


def test_a_log_cut_anywhere_loses_whole_commits_from_its_end(
    logged: tuple[Path, list[set[str]]],
) -> None:
    """D2: cut at every frame, and a byte before and after it."""
    path, states = logged
    wal = path.with_name("cut.db-wal").read_bytes()
    frame = PAGE + 24
    found = []
    for start in range(32, len(wal) + 1, frame * (1 if IS_LONG else 3)):
        for size in (start - 1, start, start + 1):
            found.append(opened_after(path, wal[:size]))
            assert found[-1] in states
    found.append(opened_after(path, wal))
    assert found == sorted(found, key=len)
    assert found[0] == states[0]
    assert found[-1] == states[-1]


def test_a_flipped_byte_of_the_log_loses_whole_commits_from_its_end(
    logged: tuple[Path, list[set[str]]],
) -> None:
    """D2"""
    path, states = logged
    wal = path.with_name("cut.db-wal").read_bytes()
    flips = random.Random(7)
    places = [*range(32), *[flips.randrange(len(wal)) for _ in range(1500 if IS_LONG else 60)]]
    for place in places:
        damaged = bytearray(wal)
        damaged[place] ^= flips.randrange(1, 256)
        assert opened_after(path, bytes(damaged)) in states, place


# --- results ----------------------------------------------------------------------------------


def three_lines(world: World) -> BatchManager:
    spec = EmbeddingSpec(dimensions=128)
    if not world.store.collections():
        world.store.collection(spec=spec)
    number = len(world.store.chunks())
    world.store.save([Chunk(id=f"{number + n}", text=f"text {number + n}") for n in range(3)])
    manager = world.manager()
    assert manager.flush_queue() is not None
    return manager


def test_a_download_cut_at_any_byte_stores_nothing(world: World) -> None:
    """C10: truncate[every byte]"""
    manager = three_lines(world)
    client = manager.context().provider
    remote = client.get_job_status(str(manager.jobs()[0].google_job_id))
    client.retrieve_results(remote, world.folder / "results")
    size = (world.folder / "results").stat().st_size
    for at in range(0, size, 13 if IS_LONG else 97):
        for tells_length in (True, False):
            world.emulator.add_fault(
                FaultRule(effect=CutDownload(at=at, tells_length=tells_length), times=None)
            )
            with pytest.raises(SemanticCoreError):
                manager.sync_status()
            world.emulator.clear_faults()
            assert world.query("SELECT count(*) FROM embeddings") == [(0,)]
            assert set(world.statuses().values()) == {PENDING}
    manager.sync_status()
    assert set(world.statuses().values()) == {READY}
    assert world.creates() == 1


def test_a_result_that_was_stored_short_is_not_paid_for_again(world: World) -> None:
    """C10: the file is whole for HTTP, but its last lines are missing or torn."""
    for at in range(1, 5000, 31 if IS_LONG else 397):
        world.emulator.add_fault(FaultRule(effect=CutResult(at=at)))
        manager = three_lines(world)
        creates = world.creates()
        manager.sync_status()
        world.emulator.clear_faults()
        open_jobs = manager.get_queue_stats().open_jobs
        if not open_jobs:
            # Nothing was cut off but the end of the last line.
            assert set(world.statuses().values()) == {READY}
            break
        assert {job.hold_reason for job in open_jobs} == {"bad results"}
        assert manager.flush_queue() is None
        assert world.creates() == creates
        manager.release(open_jobs[0].id, accept_rebilling=True)
        manager.flush_queue()
        manager.sync_status()
        assert set(world.statuses().values()) == {READY}
    assert len(world.emulator.calls(Operation.CREATE)) > 5


def test_a_flipped_byte_of_a_result_spoils_its_own_line_only(tmp_path: Path) -> None:
    """C11: every byte of a file of three lines"""
    spec = EmbeddingSpec(dimensions=4, normalized=False)
    lines = [
        b'{"key":"%s","response":{"embedding":{"values":[0.1%d,-0.5,1e-3,0.25]}}}\n'
        % (content_hash(f"text {n}").encode(), n)
        for n in range(3)
    ]
    content = b"".join(lines)
    path = tmp_path / "results"
    path.write_bytes(content)
    true = {
        line.key: line.vector.tobytes()
        for line in read_results(path, spec=spec)
        if line.vector is not None
    }
    assert len(true) == 3
    for place in range(len(content)):
        own = content[:place].count(b"\n")
        for flip in (0x01, 0x20, 0x80, content[place] ^ 0x0A):
            damaged = bytearray(content)
            damaged[place] ^= flip
            path.write_bytes(damaged)
            read = {
                line.key: line.vector.tobytes()
                for line in read_results(path, spec=spec)
                if line.vector is not None and line.key in true
            }
            for number, key in enumerate(true):
                # A lost line end joins a line with the next one.
                if number not in (own, own + 1):
                    assert read[key] == true[key], (place, flip)


# --- a hostile file ---------------------------------------------------------------------------

HOSTILE = {
    "bytes": "x'ff00fe'",
    "broken text": "CAST(x'41ff42' AS TEXT)",
    "words": "'../../x' || char(27, 0, 10)",
    "json": """'{"a": {"b": [1e999]}}'""",
    "empty": "''",
    "number": "-7.5e300",
    "whole": "9223372036854775807",
    "nothing": "NULL",
}


def test_whatever_stands_in_a_column_is_a_typed_error_or_an_answer(tmp_path: Path) -> None:
    """E33: a value that semcore never writes, in each column of each table in turn"""
    small = tmp_path / "small.db"
    small_database(small)
    with closing(sqlite3.connect(small)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        columns = connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c "
            "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND m.name NOT LIKE '%fts_%'"
        ).fetchall()
    assert len(columns) > 80
    tries = [(*column, value) for column in columns for value in HOSTILE.values()]
    if not IS_LONG:
        tries = random.Random(11).sample(tries, 120)
    seen: Counter[str] = Counter()
    for table, column, value in tries:
        for stale in tmp_path.glob("notes.db*"):
            stale.unlink()
        path = tmp_path / "notes.db"
        shutil.copy(small, path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            try:
                connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {value}")
            except sqlite3.Error:
                # Not even SQLite writes that.
                continue
            connection.commit()
        try:
            with PeeweeVectorStore(path) as store:
                for use in uses(store):
                    try:
                        use()
                        seen["answer"] += 1
                    except SemanticCoreError:
                        seen["typed"] += 1
                    except Exception as error:
                        error.add_note(f"{table}.{column} = {value}")
                        raise
        except SemanticCoreError:
            seen["not opened"] += 1
    assert seen["answer"] > 200
    assert seen["typed"] > 20


@pytest.mark.parametrize(
    ("plant", "what"),
    [
        ("CREATE TRIGGER spy AFTER INSERT ON chunks BEGIN DELETE FROM chunks; END", "spy"),
        ("CREATE TRIGGER spy AFTER UPDATE ON Batch_Jobs BEGIN DELETE FROM chunks; END", "spy"),
        (
            "ALTER TABLE changes RENAME TO hidden; CREATE VIEW changes AS SELECT * FROM hidden",
            "changes",
        ),
        ("DROP TABLE changes; CREATE VIRTUAL TABLE changes USING fts5(seq, mark)", "changes"),
    ],
)
def test_nothing_in_a_file_runs_when_it_is_written(tmp_path: Path, plant: str, what: str) -> None:
    """E33"""
    path = tmp_path / "notes.db"
    small_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(plant)
        before = connection.execute("SELECT count(*) FROM chunks").fetchone()
    with pytest.raises(DatabaseCorruptError, match=f"'{what}'"):
        PeeweeVectorStore(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM chunks").fetchone() == before


def test_a_users_own_table_may_have_a_trigger(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    small_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE mine (a); CREATE TABLE log (a);"
            "CREATE TRIGGER own AFTER INSERT ON mine BEGIN INSERT INTO log VALUES (new.a); END"
        )
    with PeeweeVectorStore(path) as store:
        assert store.search(text="number").hits


def test_what_a_schema_calls_is_not_ours(tmp_path: Path) -> None:
    """A column of a foreign file must not call a function that we registered."""
    path = tmp_path / "notes.db"
    small_database(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.create_function("unicode_lower", 1, str.lower, deterministic=True)
        connection.execute(
            "ALTER TABLE chunks ADD COLUMN planted TEXT AS (unicode_lower(text)) VIRTUAL"
        )
        connection.commit()
    with pytest.raises(DatabaseCorruptError, match="unsafe use of unicode_lower"):
        PeeweeVectorStore(path)
