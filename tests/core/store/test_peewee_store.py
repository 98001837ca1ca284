"""The store as a whole: opening and closing, threads, processes."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import peewee
import pytest

from semantic_core.domain.errors import StorageError
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk
from semantic_core.store import BaseVectorStore, PeeweeVectorStore
from support.chunks import SPEC, chunks_of, count_vectors, embed, embed_all, only, vector_of
from support.clock import ManualClock
from support.invariants import check_invariants
from support.jobs import claim_job
from support.processes import Python


def test_store_keeps_what_was_saved(database_path: Path) -> None:
    with PeeweeVectorStore(database_path) as store:
        store.collection(spec=SPEC)
        store.save(chunks_of("ab"))
        embed(store, "a")
    with PeeweeVectorStore(database_path) as store:
        assert store.collection().spec == SPEC
        assert [chunk.id for chunk in store.chunks()] == ["a", "b"]
        assert [hit.chunk.id for hit in store.search(vector=vector_of("a"))] == ["a"]


def test_closing_is_final_and_may_be_repeated(database_path: Path) -> None:
    store = PeeweeVectorStore(database_path)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="closed"):
        store.chunks()


def test_close_closes_the_connections_of_all_threads(database_path: Path) -> None:
    store = PeeweeVectorStore(database_path)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: store.save(chunks_of([f"text {n}"])), range(8)))
    store.close()
    # SQLite removes the log with the last connection.
    assert not database_path.with_name("notes.db-wal").exists()


def test_store_on_a_ready_database_leaves_it_open(database_path: Path) -> None:
    database = peewee.SqliteDatabase(str(database_path))
    with PeeweeVectorStore(database) as store:
        store.save(chunks_of("a"))
    assert database.execute_sql("SELECT count(*) FROM chunks").fetchone() == (1,)
    database.close()


def test_models_read_what_the_store_wrote(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("a"))
    chunk = store.tables.ChunkModel.get()
    assert (chunk.chunk_id, chunk.collection.name) == ("a", "default")
    (count,) = store.tables.ChunkCountModel.select()
    assert (count.embedding_status, count.is_served, count.chunks) == ("PENDING", False, 1)


def test_repr_names_the_database(store: PeeweeVectorStore) -> None:
    assert repr(store) == f"PeeweeVectorStore({store.database.name!r})"
    assert isinstance(store, BaseVectorStore)


def test_meta_is_made_once(store: PeeweeVectorStore, database_target: Path | str) -> None:
    with PeeweeVectorStore(database_target) as again:
        for key in ("database_uuid", "install_id", "hmac_salt"):
            assert again.meta(key) == store.meta(key) is not None
    assert store.meta("missing") is None


def test_has_vectors_tells_whether_a_vector_search_can_find_anything(
    store: PeeweeVectorStore,
) -> None:
    store.collection(spec=SPEC)
    store.collection("other", SPEC)
    assert not store.has_vectors()
    assert not store.has_vectors("missing")
    store.save(chunks_of("a"))
    assert not store.has_vectors()
    embed(store, "a")
    assert store.has_vectors()
    assert not store.has_vectors("other")
    store.save([Chunk(id="a", text="b")])
    assert store.has_vectors()
    store.clear()
    assert not store.has_vectors()


def test_eight_threads_on_one_store(store: PeeweeVectorStore) -> None:
    """Saves, edits, arriving vectors, deletes, claims and searches at once lose nothing."""
    store.collection(spec=SPEC)
    start = threading.Barrier(8)

    def work(worker: int) -> set[str]:
        rng = random.Random(worker)
        mine: set[str] = set()
        start.wait()
        for step in range(25):
            ids = [f"{worker}-{rng.randrange(10)}" for _ in range(3)]
            action = rng.randrange(5)
            if action == 0:
                store.delete(ids=ids)
                mine -= set(ids)
            elif action == 1:
                embed(store, *(f"text {rng.randrange(20)}" for _ in range(5)))
            elif action == 2:
                claim_job(store)
            elif action == 3:
                hits = store.search(text="text", vector=vector_of("q"), limit=50)
                # Reads its own writes: what this thread deleted is not found.
                found = {hit.chunk.id for hit in hits if hit.chunk.id.startswith(f"{worker}-")}
                assert found <= mine
            else:
                chunks = {i: Chunk(id=i, text=f"text {rng.randrange(20)}") for i in ids}
                store.save(list(chunks.values()))
                mine |= set(chunks)
                assert {chunk.id for chunk in store.get(ids)} == set(ids), step
        return mine

    with ThreadPoolExecutor(8) as threads:
        kept = set().union(*threads.map(work, range(8)))
    assert {chunk.id for chunk in store.chunks()} == kept
    check_invariants(store)
    embed_all(store)
    found = store.search(vector=vector_of("q"), mode="vector", limit=1000)
    assert {hit.chunk.id for hit in found} == kept


def test_two_processes_save_at_once(
    store: PeeweeVectorStore, database_target: Path | str, python: Python
) -> None:
    """Overlapping ids and texts; each save is there as a whole."""
    store.collection(spec=SPEC)
    code = f"""
        from semantic_core.store import PeeweeVectorStore
        from support.chunks import embed
        from semantic_core.domain.types import Chunk
        name = NAME
        store = PeeweeVectorStore({str(database_target)!r})
        say("ready")
        hear()
        for number in range(20):
            store.save(
                [Chunk(id=f"{{name}}-{{number}}-{{n}}", text=f"text {{n}}") for n in range(20)]
                + [Chunk(id="shared", text=f"{{name}} {{number}}")]
            )
            embed(store, f"text {{number}}")
        store.close()
        say("done")
        """
    children = [python(code.replace("NAME", repr(name))) for name in ("one", "two")]
    for child in children:
        assert child.hear() == "ready"
    for child in children:
        child.say("go")
    for child in children:
        assert child.hear() == "done"
        child.end()
    chunks = {chunk.id: chunk for chunk in store.chunks()}
    assert len(chunks) == 2 * 20 * 20 + 1
    assert chunks["shared"].text in ("one 19", "two 19")
    ready = [chunk for chunk in chunks.values() if chunk.status is EmbeddingStatus.READY]
    assert len(ready) == 2 * 20 * 20
    assert count_vectors(store) == 20


def test_a_killed_process_leaves_whole_saves_only(
    store: PeeweeVectorStore, database_target: Path | str, python: Python
) -> None:
    store.collection(spec=SPEC)
    child = python(
        f"""
        from semantic_core.store import PeeweeVectorStore
        from semantic_core.domain.types import Chunk
        store = PeeweeVectorStore({str(database_target)!r})
        for number in range(10**6):
            store.save([Chunk(id=f"{{number}}-{{n}}", text=f"text {{n}}") for n in range(50)])
            say(str(number))
        """
    )
    while int(child.hear()) < 5:
        pass
    child.kill()
    saved = len(store.chunks())
    assert saved % 50 == 0
    assert saved >= 6 * 50
    check_invariants(store)


def test_times_come_from_the_stores_clock(store: PeeweeVectorStore, clock: ManualClock) -> None:
    clock.advance(1000)
    store.save(chunks_of("a"))
    assert only(store, "a").created_at == clock.now()


@pytest.mark.sqlite_only("its write-ahead log")
def test_the_log_stays_small_however_much_is_written(
    store: PeeweeVectorStore, database_path: Path
) -> None:
    """E13: no call leaves a read transaction open behind it, which would keep all of the log."""
    log = database_path.with_name(f"{database_path.name}-wal")
    largest = 0
    # SQLite's own limit, a quarter of ours: so a quarter as much is written here.
    store.database.connection().execute("PRAGMA wal_autocheckpoint = 1000")
    with PeeweeVectorStore(database_path) as reader:
        for page in range(40):
            texts = [f"{page}: {number} {'words ' * 100}" for number in range(200)]
            store.save([Chunk(id=text, text=text) for text in texts])
            reader.search(text=f"words {page}")
            list(reader.chunks(limit=5))
            reader.stats()
            largest = max(largest, log.stat().st_size)
    written = database_path.stat().st_size
    assert written > 12_000_000
    # One transaction may pass the limit.
    assert largest < 1000 * 16_384 * 1.5
