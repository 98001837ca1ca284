"""A backup is one whole moment of the database, or nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from semantic_core.domain.errors import StorageError
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, only
from support.clock import ManualClock
from support.disk import no_file_larger_than
from support.invariants import check_invariants
from support.processes import Child, Python
from support.world import World


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_backup_holds_everything(store: PeeweeVectorStore, tmp_path: Path) -> None:
    """E14"""
    store.save(chunks_of("ab"))
    embed(store, "a")
    copy = tmp_path / "copy.db"
    store.backup(copy)
    store.save(chunks_of("c"))
    with PeeweeVectorStore(copy) as restored:
        assert {chunk.id: chunk.status for chunk in restored.chunks()} == {
            "a": EmbeddingStatus.READY,
            "b": EmbeddingStatus.PENDING,
        }
        assert restored.meta("install_id") == store.meta("install_id")
        assert [hit.chunk.id for hit in restored.search(text="b", mode="keyword")] == ["b"]
        check_invariants(restored)
    connection = sqlite3.connect(copy)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_backup_is_one_private_file(store: PeeweeVectorStore, tmp_path: Path) -> None:
    store.save(chunks_of("a"))
    before = names(tmp_path)
    old = os.umask(0)
    try:
        store.backup(str(tmp_path / "copy.db"))
    finally:
        os.umask(old)
    assert names(tmp_path) - before == {"copy.db"}
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_what_is_there_is_overwritten_only_when_asked(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    store.save(chunks_of("a"))
    other = tmp_path / "precious.txt"
    other.write_text("mine")
    with pytest.raises(StorageError, match="overwrite=True"):
        store.backup(other)
    assert other.read_text() == "mine"
    store.backup(other, overwrite=True)
    with PeeweeVectorStore(other) as restored:
        assert len(restored.chunks()) == 1
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_database_is_no_backup_of_itself(store: PeeweeVectorStore, *, overwrite: bool) -> None:
    store.save(chunks_of("a"))
    link = store.database.path.with_name("link.db")
    link.symlink_to(store.database.path)
    for path in (store.database.path, link):
        with pytest.raises(StorageError, match="itself"):
            store.backup(path, overwrite=overwrite)
    link.unlink()
    assert only(store, "a").text == "a"


def test_a_link_in_its_place_is_replaced_not_followed(
    store: PeeweeVectorStore, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere.txt"
    target.write_text("mine")
    link = tmp_path / "copy.db"
    link.symlink_to(target)
    store.backup(link, overwrite=True)
    assert target.read_text() == "mine"
    assert not link.is_symlink()


def test_a_missing_folder_is_named(store: PeeweeVectorStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="missing"):
        store.backup(tmp_path / "missing" / "copy.db")


def test_a_name_that_is_too_long_is_refused(store: PeeweeVectorStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        store.backup(tmp_path / ("x" * 300))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_full_disk_leaves_nothing_and_what_was_there(
    store: PeeweeVectorStore, tmp_path: Path, *, overwrite: bool
) -> None:
    store.save([Chunk(id=str(n), text=f"text {n} " * 200) for n in range(200)])
    copy = tmp_path / "copy.db"
    if overwrite:
        copy.write_text("the backup of yesterday")
    before = names(tmp_path)
    size = store.database.path.stat().st_size
    with no_file_larger_than(size // 2), pytest.raises(StorageError) as caught:
        store.backup(copy, overwrite=overwrite)
    assert str(copy) in str(caught.value)
    assert names(tmp_path) == before
    if overwrite:
        assert copy.read_text() == "the backup of yesterday"
    assert len(store.chunks()) == 200


def test_a_copy_that_a_killed_process_left_is_removed_by_whoever_comes_next(
    store: PeeweeVectorStore, tmp_path: Path, clock: ManualClock, python: Python
) -> None:
    """It holds every text. A copy that a living process writes stays."""
    store.save(chunks_of("a"))
    folder = tmp_path / "backups"
    folder.mkdir()
    code = """
        from semantic_core import PeeweeVectorStore
        from semantic_core.domain.failpoints import FailPoint, arm

        def wait():
            say("written")
            hear()

        arm(FailPoint.BACKUP_WRITTEN, wait)
        PeeweeVectorStore(hear()).backup(hear())
    """

    def begin(name: str) -> Child:
        child = python(code)
        child.say(str(store.database.path))
        assert child.ask(str(folder / name)) == "written"
        return child

    killed, living = begin("one.db"), begin("two.db")
    assert len(names(folder)) == 2
    for name in names(folder):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    killed.kill()
    store.backup(folder / "three.db")
    assert len(names(folder) - {"three.db"}) == 1
    living.say("go on")
    living.end()
    assert names(folder) == {"two.db", "three.db"}

    killed = begin("four.db")
    assert len(names(folder)) == 3
    killed.kill()
    PeeweeVectorStore(folder / "two.db", clock=clock).close()
    assert names(folder) == {"two.db", "three.db"}


def test_others_write_while_it_is_made(
    store: PeeweeVectorStore, database_path: Path, tmp_path: Path, clock: ManualClock
) -> None:
    """And the copy is of one moment: all or nothing of each save."""
    done = threading.Event()

    def write() -> None:
        with PeeweeVectorStore(database_path, clock=clock) as other:
            number = 0
            while not done.is_set():
                other.save([Chunk(id=f"{number}-{half}", text=f"{number}") for half in "ab"])
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            copy = tmp_path / f"copy {number}.db"
            store.backup(copy)
            with PeeweeVectorStore(copy) as restored:
                check_invariants(restored)
                halves = [chunk.id.partition("-")[0] for chunk in restored.chunks()]
                assert all(halves.count(half) == 2 for half in set(halves))
    finally:
        done.set()
        writer.join()


def test_a_restored_backup_does_not_send_what_was_sent_since(world: World) -> None:
    """E14"""
    world.save("one", "two")
    copy = world.folder / "copy.db"
    world.store.backup(copy)
    world.manager().flush_queue()
    world.manager().sync_status()
    with PeeweeVectorStore(copy, clock=world.clock) as store:
        manager = world.manager(store=store)
        manager.drain_queue()
        manager.sync_status()
        manager.drain_queue()
        manager.sync_status()
        assert {chunk.status for chunk in store.chunks()} == {EmbeddingStatus.READY}
    assert world.creates() == 1
