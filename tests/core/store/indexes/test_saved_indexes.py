"""The saved index: it makes opening fast, and is believed only while it is right."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk, SearchResults, Vector
from semantic_core.queue import changes
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.indexes.cached import LEAST_SAVED
from support.disk import binding_permissions, no_file_larger_than
from support.processes import Python
from support.rows import run_sql

COUNT = LEAST_SAVED + 100
SPEC = EmbeddingSpec.external("foreign", 8)


def made(number: int) -> Vector:
    return np.random.default_rng(number).standard_normal(8).astype(np.float32)


def chunks(*numbers: int, seed: int = 0) -> list[Chunk]:
    return [Chunk(id=str(n), text=f"text {n}", vector=made(n + seed)) for n in numbers]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with many vectors, made once, that nobody has searched yet."""
    path = tmp_path_factory.mktemp("template") / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.collection(spec=SPEC)
        store.save(chunks(*range(COUNT)))
    return path


@pytest.fixture
def path(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(template, tmp_path / "notes.db"))


@pytest.fixture
def sidecar(path: Path) -> Path:
    return path.with_name("notes.db.vectors-1")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "semantic_core")
    return caplog


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    disarm()


def search(store: PeeweeVectorStore, number: int = 5, limit: int = 10) -> SearchResults:
    return store.search(vector=made(number), mode="vector", limit=limit)


def answers(results: SearchResults) -> list[tuple[str, float]]:
    return [(hit.chunk.id, hit.score) for hit in results]


def truth(store: PeeweeVectorStore, number: int = 5, limit: int = 10) -> list[str]:
    """Return the ids of the nearest, read from the rows."""
    query = made(number).astype(np.float64)
    scored = [
        (-float(v @ query / np.linalg.norm(v) / np.linalg.norm(query)), chunk_id)
        for chunk_id, v in (
            (chunk_id, np.frombuffer(data, "<f4").astype(np.float64))
            for chunk_id, data in run_sql(
                store,
                "SELECT c.chunk_id, e.vector FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
                "WHERE c.collection_id = 1",
            )
        )
    ]
    return [chunk_id for _, chunk_id in sorted(scored)[:limit]]


def is_mapped(store: PeeweeVectorStore) -> bool:
    (cached,) = store._vectors._cached.values()
    return len(cached.index.matrix._base) > 0


def check(path: Path) -> None:
    """Open the database anew; its answer is the rows'."""
    with PeeweeVectorStore(path) as store:
        assert [hit.chunk.id for hit in search(store)] == truth(store)


# --- when it is written, and used -------------------------------------------------------------


def test_the_first_search_saves_what_it_had_to_read(path: Path, sidecar: Path) -> None:
    with PeeweeVectorStore(path) as store:
        first = answers(search(store))
        assert sidecar.exists()
        assert is_mapped(store)
        assert answers(search(store)) == first
        assert [chunk_id for chunk_id, _ in first] == truth(store)
    written = sidecar.stat().st_mtime_ns
    with PeeweeVectorStore(path) as store:
        assert answers(search(store)) == first
        assert is_mapped(store)
    assert sidecar.stat().st_mtime_ns == written


def test_only_its_owner_can_read_it(path: Path, sidecar: Path) -> None:
    """Vectors tell about texts."""
    check(path)
    assert sidecar.stat().st_mode & 0o777 == 0o600


def test_few_vectors_are_not_worth_a_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.collection(spec=SPEC)
        store.save(chunks(*range(50)))
        search(store)
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_index_catches_up_with_every_kind_of_change(path: Path, sidecar: Path) -> None:
    check(path)
    written = sidecar.stat().st_mtime_ns
    with PeeweeVectorStore(path) as store:
        store.delete(ids=truth(store)[:3])
        store.save(chunks(7, 8, seed=10**6))
        store.save(chunks(COUNT, COUNT + 1))
        store.save([Chunk(id="near", text="near", vector=made(5))])
    with PeeweeVectorStore(path) as store:
        results = search(store, limit=40)
        assert is_mapped(store)
        assert [hit.chunk.id for hit in results] == truth(store, limit=40)
        assert results[0].chunk.id == "near"
    assert sidecar.stat().st_mtime_ns == written


def test_close_saves_after_many_changes(path: Path, sidecar: Path) -> None:
    with PeeweeVectorStore(path) as store:
        search(store)
        written = sidecar.stat().st_mtime_ns
        store.save(chunks(*range(COUNT, COUNT + COUNT // 3)))
        search(store)
        assert sidecar.stat().st_mtime_ns == written
    assert sidecar.stat().st_mtime_ns > written
    check(path)


def test_each_collection_has_its_own_file(path: Path, sidecar: Path) -> None:
    with PeeweeVectorStore(path) as store:
        store.collection("other", EmbeddingSpec.external("second", 3))
        other = [Chunk(id=f"o{n}", text="t", vector=[1.0, n, n * n]) for n in range(LEAST_SAVED)]
        store.save(other, collection="other")
        search(store)
        store.search(vector=[1.0, 2.0, 4.0], collection="other")
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == ["notes.db", "notes.db.vectors-1", "notes.db.vectors-2"]
    with PeeweeVectorStore(path) as store:
        assert store.search(vector=[1.0, 2.0, 4.0], collection="other")[0].chunk.id == "o2"
        assert search(store)[0].chunk.id == "5"


@pytest.mark.parametrize(
    "point", [FailPoint.INDEX_WRITTEN, FailPoint.INDEX_SYNCED, FailPoint.INDEX_REPLACED]
)
def test_a_search_interrupted_while_it_saves_leaves_nothing_wrong(
    path: Path, point: FailPoint
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with PeeweeVectorStore(path) as store:
        arm(point, interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(store)
        disarm()
        assert [hit.chunk.id for hit in search(store)] == truth(store)
    check(path)
    assert not list(path.parent.glob("*.new"))


def test_two_processes_share_the_file(path: Path, sidecar: Path, python: Python) -> None:
    check(path)
    child = python(
        f"""
        from semantic_core.store import PeeweeVectorStore
        import numpy as np
        store = PeeweeVectorStore({str(path)!r})
        query = np.random.default_rng(5).standard_normal(8).astype(np.float32)

        def found():
            hits = store.search(vector=query, mode="vector", limit=3)
            (cached,) = store._vectors._cached.values()
            return f"{{len(cached.index.matrix._base) > 0}} {{[hit.chunk.id for hit in hits]}}"

        say(found())
        while hear():
            say(found())
        """
    )
    with PeeweeVectorStore(path) as store:
        assert child.hear() == f"True {truth(store, limit=3)}"
        store.delete(ids=["5"])
        assert child.ask("search") == f"True {truth(store, limit=3)}"
        assert [hit.chunk.id for hit in search(store, limit=3)] == truth(store, limit=3)
        assert is_mapped(store)


# --- what cannot be believed ------------------------------------------------------------------


def refused(path: Path, said: pytest.LogCaptureFixture, reason: str) -> None:
    """Search answers from the rows, says so once, and all is well from then on."""
    said.clear()
    with PeeweeVectorStore(path) as store:
        for _ in range(3):
            assert [hit.chunk.id for hit in search(store)] == truth(store)
    assert len(said.records) == 1, said.text
    assert reason in said.text
    assert "Search answers from the rows" in said.text
    said.clear()
    check(path)
    assert not said.records


def spoilt(data: bytes, how: str) -> bytes:
    middle = len(data) // 2
    return {
        "truncated": data[:middle],
        "empty": b"",
        "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "planted": b"no index".ljust(len(data), b"\0"),
    }[how]


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("truncated", "bytes, not"),
        ("empty", "is cut off"),
        ("flipped", "is damaged"),
        ("planted", "is no index of semcore's"),
    ],
)
def test_a_spoilt_file_is_not_used(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture, how: str, reason: str
) -> None:
    check(path)
    sidecar.write_bytes(spoilt(sidecar.read_bytes(), how))
    refused(path, said, reason)


def test_the_file_of_another_database_is_not_used(
    path: Path, sidecar: Path, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.db"
    with PeeweeVectorStore(other) as store:
        store.collection(spec=SPEC)
        store.save(chunks(*range(COUNT), seed=77))
        search(store)
    shutil.copy(tmp_path / "other.db.vectors-1", sidecar)
    refused(path, said, "belongs to another database")


def test_the_file_of_another_size_is_not_used(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture
) -> None:
    """Collection 2 has other dimensions, and its file lies where that of collection 1 belongs."""
    with PeeweeVectorStore(path) as store:
        store.collection("other", EmbeddingSpec.external("second", 3))
        other = [Chunk(text="t", vector=[1.0, n, n * n]) for n in range(LEAST_SAVED)]
        store.save(other, collection="other")
        store.search(vector=[1.0, 2.0, 4.0], collection="other")
    shutil.copy(path.with_name("notes.db.vectors-2"), sidecar)
    refused(path, said, "is of another collection")


@pytest.mark.parametrize("more", [1, 50])
def test_the_file_of_a_lost_future_is_not_used(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture, more: int
) -> None:
    """A backup was restored, and moved on as far as the file, or farther, with other vectors."""
    backup = Path(shutil.copy(path, path.with_name("backup")))
    with PeeweeVectorStore(path) as store:
        store.save(chunks(5, seed=10**6))
        search(store)
    shutil.copy(backup, path)
    with PeeweeVectorStore(path) as store:
        store.save(chunks(*range(5, 5 + more), seed=2 * 10**6))
    refused(path, said, "another past of the database")


def test_the_file_of_a_future_that_never_came_is_not_used(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture
) -> None:
    backup = Path(shutil.copy(path, path.with_name("backup")))
    with PeeweeVectorStore(path) as store:
        store.save(chunks(5, seed=10**6))
        search(store)
    shutil.copy(backup, path)
    refused(path, said, "is newer than the database")


def test_a_file_that_lacks_rows_is_not_used(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture
) -> None:
    """Rows that somebody brought in by hand are in no list of changes."""
    check(path)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "INSERT INTO chunks (collection_id, chunk_id, text, metadata, content_id, embedding_id, "
            "embedding_status, created_at, updated_at) SELECT collection_id, 'by hand', text, "
            "metadata, content_id, embedding_id, embedding_status, 0, 0 FROM chunks "
            "WHERE chunk_id = '5'"
        )
        connection.execute("UPDATE chunk_counts SET chunks = chunks + 1")
        connection.execute(
            "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks "
            "WHERE chunk_id = 'by hand'"
        )
    connection.close()
    refused(path, said, f"holds {COUNT} vectors, the rows hold {COUNT + 1}")


def test_a_file_from_before_all_that_is_remembered_is_of_no_use(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture
) -> None:
    check(path)
    with PeeweeVectorStore(path) as store:
        run_sql(
            store, "UPDATE sqlite_sequence SET seq = ? WHERE name = 'changes'", (changes.KEPT * 2,)
        )
        store.save(chunks(5, seed=10**6))
    said.clear()
    check(path)
    assert not said.records


@pytest.mark.parametrize("damage", [b"", b"\0\0\xc0\x7f" * 8, b"\0" * 31, b"\0" * 32])
def test_a_damaged_vector_costs_only_its_own_row(
    path: Path, damage: bytes, said: pytest.LogCaptureFixture
) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            "UPDATE embeddings SET vector = ? "
            "WHERE id = (SELECT embedding_id FROM chunks WHERE chunk_id = '5')",
            (damage,),
        )
    connection.close()
    for _ in range(2):
        with PeeweeVectorStore(path) as store:
            ids = [hit.chunk.id for hit in search(store, limit=COUNT)]
            assert len(ids) == COUNT - 1
            assert "5" not in ids
    assert ("another size" in said.text) == (len(damage) != 32)


# --- what cannot be written -------------------------------------------------------------------


def test_a_full_disk_costs_the_file_and_nothing_else(
    path: Path, sidecar: Path, said: pytest.LogCaptureFixture
) -> None:
    with PeeweeVectorStore(path) as store:
        with no_file_larger_than(20_000):
            for _ in range(3):
                assert [hit.chunk.id for hit in search(store)] == truth(store)
        assert len(said.records) == 1
        assert "File too large" in said.text
    assert sidecar.exists()
    check(path)


def test_without_permission_search_works_and_says_so_once(
    path: Path, said: pytest.LogCaptureFixture
) -> None:
    path.chmod(0o444)
    path.parent.chmod(0o555)
    with binding_permissions(), PeeweeVectorStore(f"file:{path}?mode=ro&immutable=1") as store:
        for _ in range(3):
            assert [hit.chunk.id for hit in search(store)] == truth(store)
    path.parent.chmod(0o755)
    assert len(said.records) == 1
    assert "Permission denied" in said.text


# --- what must not stay -----------------------------------------------------------------------


def floats_in(sidecar: Path, number: int) -> bool:
    """Return whether the vector of a chunk stands in the file, as it is held there."""
    wide = made(number).astype(np.float64)
    unit = (wide / np.sqrt(wide @ wide)).astype("<f4").tobytes()
    return sidecar.exists() and unit in sidecar.read_bytes()


def test_purged_vectors_do_not_stay_in_the_file(path: Path, sidecar: Path) -> None:
    check(path)
    assert floats_in(sidecar, 5)
    with PeeweeVectorStore(path) as store:
        store.delete(ids=["5"], purge=True)
        assert not sidecar.exists()
        search(store)
    check(path)
    assert sidecar.exists()
    assert not floats_in(sidecar, 5)


def test_pruned_vectors_do_not_stay_in_the_file(path: Path, sidecar: Path) -> None:
    check(path)
    with PeeweeVectorStore(path) as store:
        spec = EmbeddingSpec(dimensions=8)
        store.collection("ours", spec)
        store.save([Chunk(id="x", text="x")], collection="ours")
        store.bulk_update_vectors([(spec.hasher()("x").hex(), made(1))], spec=spec)
        store.delete(ids=["x"], collection="ours")
        assert store.prune(older_than=-1) == 1
    assert not sidecar.exists()


def test_a_purge_while_another_process_saves_is_not_undone(path: Path, sidecar: Path) -> None:
    """The file is written of a state from before the purge, and put in place after it."""
    with PeeweeVectorStore(path) as store, PeeweeVectorStore(path) as other:

        def purge() -> None:
            other.delete(ids=["5"], purge=True)

        arm(FailPoint.INDEX_SYNCED, purge)
        search(store)
        disarm()
        assert not floats_in(sidecar, 5)


def test_an_index_from_before_a_purge_is_not_saved_after_it(path: Path, sidecar: Path) -> None:
    with PeeweeVectorStore(path) as store, PeeweeVectorStore(path) as other:
        store.save(chunks(*range(COUNT, COUNT + COUNT // 3)))
        search(store)
        store.save(chunks(*range(2 * COUNT, 2 * COUNT + COUNT // 3)))
        search(store)
        other.delete(ids=["5"], purge=True)
        store.close()
    assert not floats_in(sidecar, 5)
    check(path)


# --- asking for more --------------------------------------------------------------------------


def test_exact_search_finds_what_the_rows_say(path: Path) -> None:
    with PeeweeVectorStore(path) as store:
        results = store.search(vector=made(3), mode="vector", exact=True, limit=50)
        assert [hit.chunk.id for hit in results] == truth(store, 3, 50)


@pytest.mark.parametrize("arguments", [{}, {"ids": ["1", "7", "9"]}, {"exact": True}])
def test_many_vectors_at_once_are_answered_as_one_by_one(
    path: Path, arguments: dict[str, Any]
) -> None:
    with PeeweeVectorStore(path) as store:
        queries = [made(number) for number in range(40)]
        together = store.search_many(queries, limit=5, **arguments)
        for query, results in zip(queries, together, strict=True):
            alone = store.search(vector=query, mode="vector", pending="skip", limit=5, **arguments)
            assert answers(results) == answers(alone)
            assert results.coverage == alone.coverage


def test_many_vectors_of_nothing(path: Path) -> None:
    with PeeweeVectorStore(path) as store:
        assert store.search_many([]) == []
        assert [len(r) for r in store.search_many([made(1)] * 2, collection="unknown")] == [0, 0]
        store.collection("empty", EmbeddingSpec.external("nothing"))
        assert [len(r) for r in store.search_many([made(1)], collection="empty")] == [0]
        assert len(store.search_many([made(1)], limit=0)[0]) == 0


def test_a_forked_child_maps_the_file_anew(path: Path) -> None:
    with PeeweeVectorStore(path) as store:
        expected = answers(search(store))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if answers(search(store)) == expected and is_mapped(store) else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert answers(search(store)) == expected


def test_refreshing_leaves_nothing_to_do_for_the_next_search(path: Path) -> None:
    with PeeweeVectorStore(path) as store, PeeweeVectorStore(path) as other:
        store.refresh_indexes()  # nothing was searched yet
        assert not store._vectors._cached
        search(store)
        other.save(chunks(COUNT, COUNT + 1))
        store.refresh_indexes()
        (cached,) = store._vectors._cached.values()
        assert len(cached.index) == COUNT + 2
