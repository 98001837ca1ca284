"""The disk runs full at each write in turn: a typed error, nothing lost, nothing paid twice.

A sweep lets the disk hold one page more each time, until everything fits. SQLite's own limit of
pages gives the true SQLITE_FULL; the operating system's limit of a file's size reaches every
other file as well, and is an I/O error to SQLite.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from semantic_core.batches import BatchManager
from semantic_core.domain.errors import StorageError, StorageFullError, SubmissionUncertainError
from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.disk import no_file_larger_than
from support.invariants import check_invariants
from support.legacy import as_blob, write_legacy
from support.processes import Python
from support.world import CONFIG, World, open_world

READY, PENDING = EmbeddingStatus.READY, EmbeddingStatus.PENDING

# `make stress` tries every size, `make test` some of them.
STEP = 1 if "SEMCORE_TEST_STRESS" in os.environ else 3

NO_LIMIT = 1 << 30


def limit_pages(store: PeeweeVectorStore, more: int) -> None:
    """Let the database grow by so many pages."""
    connection = store.database.connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {min(NO_LIMIT, pages + more)}")


def recover(world: World, manager: BatchManager) -> None:
    """Go on as cron would, once there is room again."""
    for _ in range(4):
        world.clock.advance(max(CONFIG.lease, CONFIG.listing_grace) + 1)
        manager.flush_queue()
        manager.sync_status()


def check_all_paid_once(world: World, store: PeeweeVectorStore, texts: list[str]) -> None:
    check_invariants(store)
    assert {chunk.status for chunk in store.chunks()} == {READY}
    assert sorted(chunk.text for chunk in store.chunks()) == sorted(texts)
    assert {world.emulator.ledger.times_billed(text) for text in texts[:5]} == {1}
    assert not world.emulator.ledger.overbilled()
    assert world.emulator.violations == []
    leftovers = list(store.database.path.parent.glob("*-batches"))
    assert leftovers == []


def test_every_page_of_a_flush_and_of_its_results(world: World) -> None:
    """A7, D3, B14: full[claim], full[apply]"""
    spec = EmbeddingSpec(dimensions=128)
    failed: Counter[str] = Counter()
    for more in count(0, STEP):
        texts = [f"{more}: {'long ' * 20}text {number}" for number in range(250)]
        with PeeweeVectorStore(world.folder / f"{more}.db", clock=world.clock) as store:
            store.collection(spec=spec)
            store.save([Chunk(id=text, text=text) for text in texts])
            manager = world.manager(store=store)
            limit_pages(store, more)
            step = "flush"
            try:
                manager.flush_queue()
                step = "sync"
                manager.sync_status()
            except (StorageFullError, SubmissionUncertainError):
                failed[step] += 1
            is_done = {chunk.status for chunk in store.chunks()} == {READY}
            check_invariants(store)
            assert {chunk.text for chunk in store.chunks()} == set(texts)
            limit_pages(store, NO_LIMIT)
            recover(world, manager)
            check_all_paid_once(world, store, texts)
        if is_done:
            break
    assert failed["flush"] >= 1
    assert failed["sync"] >= 1


def test_a_claim_without_room_claims_nothing(world: World) -> None:
    """A7"""
    world.save(*[f"text {number}" for number in range(500)])
    limit_pages(world.store, 0)
    with pytest.raises(StorageFullError, match="No room left"):
        world.manager().flush_queue()
    assert {chunk.batch_job_id for chunk in world.store.chunks()} == {None}
    assert world.manager().jobs() == []
    assert world.creates() == 0
    limit_pages(world.store, NO_LIMIT)
    assert world.manager().flush_queue() is not None


def test_no_room_for_the_job_id_keeps_the_claim(world: World) -> None:
    """B14: full[store_job_id]: the job is at the provider, and its name leads back to it."""
    world.save("one")
    log = world.path.with_name(f"{world.path.name}-wal")
    with ExitStack() as limits:

        def fill() -> None:
            # Whatever is written next does not fit into the log any more.
            limits.enter_context(no_file_larger_than(log.stat().st_size))

        arm(FailPoint.CREATE_ANSWERED, fill)
        limits.callback(disarm)
        with pytest.raises(SubmissionUncertainError, match="could not be recorded") as caught:
            world.manager().flush_queue()
    (remote,) = world.emulator.jobs()
    assert remote.name in str(caught.value)
    assert world.chunk().batch_job_id == caught.value.batch_id
    world.clock.advance(CONFIG.lease + 1)
    world.manager().sync_status()
    assert world.chunk().status is READY
    assert world.creates() == 1


SWEEP = """
    from pathlib import Path
    from semantic_core.batches import BatchManager
    from semantic_core.domain.errors import SemanticCoreError, StorageError, SubmissionUncertainError
    from semantic_core.providers.gemini import Endpoint, GeminiBatchClient
    from semantic_core.domain.spec import EmbeddingSpec
    from semantic_core.store import PeeweeVectorStore
    from semantic_core.domain.types import Chunk
    from support.clock import ManualClock
    from support.disk import no_file_larger_than
    from support.invariants import check_invariants
    from support.world import CONFIG, make_keyring

    folder, url, step = Path({folder!r}), {url!r}, {step}
    padding, dimensions = {padding}, {dimensions}
    clock = ManualClock()
    keyring = make_keyring()
    client = GeminiBatchClient.from_keyring(keyring, endpoint=Endpoint(base_url=url), clock=clock)
    failures = {{}}
    more = 0
    while True:
        place = folder / str(more)
        place.mkdir()
        path = place / "notes.db"
        with PeeweeVectorStore(path, clock=clock) as store:
            store.collection(spec=EmbeddingSpec(dimensions=dimensions))
            # A control character takes six bytes in JSON.
            texts = [f"{{more}}: text {{number}}" + chr(1) * padding for number in range(40)]
            store.save([Chunk(id=text, text=text) for text in texts])
            manager = BatchManager(keyring, store, client=client, config=CONFIG, clock=clock)
            store.database.connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            was_trouble = False
            for work in (manager.flush_queue, manager.sync_status):
                try:
                    with no_file_larger_than(more * 4096):
                        work()
                except SemanticCoreError as error:
                    kind = type(error).__name__
                    assert isinstance(error, (StorageError, SubmissionUncertainError)), repr(error)
                    failures[kind] = failures.get(kind, 0) + 1
                    was_trouble = True
            was_trouble = was_trouble or {{c.status for c in store.chunks()}} != {{"READY"}}
            check_invariants(store)
            for _ in range(5):
                clock.advance(max(CONFIG.lease, CONFIG.listing_grace) + 1)
                manager.flush_queue()
                manager.sync_status()
            assert {{c.status for c in store.chunks()}} == {{"READY"}}, more
            assert {{c.text for c in store.chunks()}} == set(texts)
            assert not list(place.glob("*-batches")), list(place.rglob("*"))
            check_invariants(store)
        if not was_trouble:
            break
        more += step
    say(f"{{more}} {{failures}}")
    """


@pytest.mark.parametrize(
    ("padding", "dimensions", "step", "error"),
    [
        pytest.param(0, 128, 4 * STEP, "StorageError", id="log"),
        pytest.param(2000, 3072, 32 * STEP, "StorageFullError", id="spool and download"),
    ],
)
def test_every_file_that_a_flush_and_a_sync_write(
    tmp_path: Path, python: Python, *, padding: int, dimensions: int, step: int, error: str
) -> None:
    """A8, B14, C22, D3: full[jsonl], full[download]: whichever file is the first not to fit."""
    with open_world(tmp_path) as world:
        work = tmp_path / "work"
        work.mkdir()
        sweep = SWEEP.format(
            folder=str(work),
            url=world.emulator.url,
            step=step,
            padding=padding,
            dimensions=dimensions,
        )
        child = python(sweep)
        assert f"'{error}'" in child.hear()
        child.end()
        assert not world.emulator.ledger.overbilled()
        assert set(world.emulator.ledger.billed(live=False).values()) == {1}
        assert world.emulator.violations == []


def test_every_page_of_a_save(tmp_path: Path) -> None:
    """full[save]: all of a save or nothing of it."""
    with PeeweeVectorStore(tmp_path / "notes.db") as store:
        store.save([Chunk(id="before", text="before")])
        failures = 0
        for more in count():
            limit_pages(store, more)
            chunks = [Chunk(id=f"{n}", text=f"text {n} " * 300) for n in range(60)]
            try:
                store.save(chunks)
            except StorageFullError:
                failures += 1
                check_invariants(store)
                assert [chunk.id for chunk in store.chunks()] == ["before"]
                continue
            break
        assert failures > 3
        assert len(store.chunks()) == 61
        check_invariants(store)


def test_every_write_of_a_migration(tmp_path: Path) -> None:
    """full[migrate]: the old file stays as it was until the new one is whole."""
    old = tmp_path / "old.db"
    write_legacy(
        old,
        documents=[(1, "a document " * 50, "{}", "2020-01-01")],
        chunks=[
            (n, 1, n, f"chunk {n} " * 40, "{}", as_blob(0.5, n + 1.0), "2020-01-01")
            for n in range(150)
        ],
    )
    content = old.read_bytes()
    failures = 0
    for size in count(0, STEP * 4096):
        path = tmp_path / "notes.db"
        for stale in tmp_path.glob("notes.db*"):
            stale.unlink()
        shutil.copy(old, path)
        try:
            with no_file_larger_than(size):
                PeeweeVectorStore(path).close()
        except StorageError:
            failures += 1
            # Another program that still uses the old tables finds them as they were.
            with PeeweeVectorStore(path) as store:
                assert len(store.chunks()) == 150
            continue
        break
    assert failures > 3
    with PeeweeVectorStore(path) as store:
        assert {chunk.status for chunk in store.chunks()} == {READY}
        check_invariants(store)
    assert old.read_bytes() == content
