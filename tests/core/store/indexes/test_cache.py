"""The vector index follows the rows: in this store, in another one, in another process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection, Database
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.types import Chunk
from semantic_core.queue import changes
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.indexes.cache import MappedVectors
from semantic_core.store.reading.search import Query, check_query
from semantic_core.store.reading.searcher import Searcher
from semantic_core.vector_index import VectorIndex
from support.chunks import SPEC, chunks_of, embed, embed_all, vector_of
from support.clock import ManualClock
from support.processes import Python
from support.rows import run_sql


@pytest.fixture(autouse=True)
def collection(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)


@pytest.fixture
def other(
    store: PeeweeVectorStore, database_target: Path | str, clock: ManualClock
) -> Iterator[PeeweeVectorStore]:
    """A second store on the same file."""
    with PeeweeVectorStore(database_target, clock=clock) as opened:
        yield opened


def _found(store: PeeweeVectorStore, near: str = "a", collection: str = "default") -> list[str]:
    results = store.search(
        vector=vector_of(near), mode="vector", limit=10_000, collection=collection
    )
    return sorted(hit.chunk.id for hit in results)


def test_store_reads_its_own_writes(store: PeeweeVectorStore) -> None:
    assert _found(store) == []
    store.save(chunks_of("abc"))
    assert _found(store) == []
    embed(store, "a", "b")
    assert _found(store) == ["a", "b"]
    store.save([Chunk(id="d", text="d", vector=vector_of("d"))])
    assert _found(store) == ["a", "b", "d"]
    store.delete(ids=["a"])
    assert _found(store) == ["b", "d"]
    store.save([Chunk(id="b", text="edited")])
    assert _found(store) == ["b", "d"]
    store.clear()
    assert _found(store) == []


def test_another_store_follows_every_change(
    store: PeeweeVectorStore, other: PeeweeVectorStore
) -> None:
    assert _found(other) == []
    store.save(chunks_of("ab"))
    embed_all(store)
    assert _found(other) == ["a", "b"]
    other.delete(ids=["a"])
    assert _found(store) == ["b"]
    store.save([Chunk(id="b", text="c", vector=vector_of("c"))])
    (hit,) = other.search(vector=vector_of("c"), mode="vector")
    assert hit.score == pytest.approx(1.0, abs=1e-6)
    assert hit.chunk.text == "c"


def test_replaced_vector_is_the_one_that_is_compared(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a", vector=vector_of("a"))])
    assert store.search(vector=vector_of("a")).hits[0].score == pytest.approx(1, abs=1e-6)
    store.save([Chunk(id="x", text="a", vector=vector_of("b"))])
    assert store.search(vector=vector_of("b")).hits[0].score == pytest.approx(1, abs=1e-6)
    assert store.search(vector=vector_of("a")).hits[0].score < 0.99


def test_stale_vector_serves_until_the_new_one_arrives(store: PeeweeVectorStore) -> None:
    store.save([Chunk(id="x", text="a")])
    embed(store, "a")
    store.save([Chunk(id="x", text="b")])
    (hit,) = store.search(vector=vector_of("a"), mode="vector")
    assert (hit.stale, hit.chunk.text) == (True, "b")
    assert hit.score == pytest.approx(1, abs=1e-6)
    embed(store, "b")
    (hit,) = store.search(vector=vector_of("b"), mode="vector")
    assert (hit.stale, hit.score) == (False, pytest.approx(1, abs=1e-6))


def test_collections_and_spaces_have_their_own_index(store: PeeweeVectorStore) -> None:
    store.collection("same space", SPEC)
    store.collection("small", EmbeddingSpec.external("foreign"))
    store.save(chunks_of("a"))
    store.save(chunks_of("b"), collection="same space")
    store.save([Chunk(id="c", text="c", vector=[1.0, 2.0])], collection="small")
    embed(store, "a", "b")
    assert _found(store) == ["a"]
    assert _found(store, collection="same space") == ["b"]
    (hit,) = store.search(vector=[1.0, 2.0], collection="small")
    assert hit.chunk.id == "c"


def test_external_space_without_a_vector_has_no_hits(store: PeeweeVectorStore) -> None:
    store.collection("f", EmbeddingSpec.external("foreign"))
    assert list(store.search(vector=[1.0, 2.0, 3.0], collection="f")) == []


@pytest.mark.sqlite_only("sets SQLite's own sequence")
def test_changes_are_forgotten_and_who_missed_them_reads_the_rows(
    store: PeeweeVectorStore, other: PeeweeVectorStore
) -> None:

    def kept() -> tuple[int, int, int]:
        row = run_sql(store, "SELECT count(*), min(seq), max(seq) FROM changes")[0]
        return (row[0], row[1], row[2])

    store.save([Chunk(id="first", text="first", vector=vector_of("first"))])
    assert _found(other) == ["first"]
    store.delete(ids=["first"])
    # As if more changes had been made meanwhile than are kept.
    seq = changes.KEPT + 2
    run_sql(store, "UPDATE sqlite_sequence SET seq = ? WHERE name = 'changes'", (seq,))
    store.save([Chunk(id="x", text="x", vector=vector_of("x"))])
    assert kept() == (1, seq + 1, seq + 1)
    assert _found(other) == ["x"]
    store.save([Chunk(id="y", text="y", vector=vector_of("y"))])
    assert kept() == (2, seq + 1, seq + 2)
    assert _found(other) == _found(store) == ["x", "y"]


def test_changes_do_not_grow_without_bound(store: PeeweeVectorStore) -> None:
    run_sql(
        store,
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
        "WHERE n < ?) INSERT INTO changes (collection_id, chunk_pk) SELECT 1, n FROM numbers",
        (changes.KEPT + 500,),
    )
    store.save([Chunk(id="x", text="x", vector=vector_of("x"))])
    assert run_sql(store, "SELECT count(*) FROM changes")[0] == (changes.KEPT,)


def test_two_processes_see_each_other(
    store: PeeweeVectorStore, database_target: Path | str, python: Python
) -> None:
    """Add here, search there; delete there, search here: never a deleted chunk."""
    child = python(
        f"""
        from semantic_core.store import PeeweeVectorStore
        from support.chunks import vector_of
        store = PeeweeVectorStore({str(database_target)!r})

        def found():
            hits = store.search(vector=vector_of("a"), mode="vector", limit=100)
            return " ".join(sorted(hit.chunk.id for hit in hits))

        say(found())
        while True:
            command, *ids = hear().split()
            if command == "delete":
                store.delete(ids=ids)
            say(found())
        """
    )
    assert child.hear() == ""
    store.save(chunks_of("abc"))
    embed_all(store)
    assert child.ask("search") == "a b c"
    assert child.ask("delete b") == "a c"
    assert _found(store) == ["a", "c"]
    store.delete(ids=["a"])
    store.save([Chunk(id="c", text="d")])
    embed(store, "d")
    assert child.ask("search") == "c"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_child_waits_for_no_thread_of_its_parent(store: PeeweeVectorStore) -> None:
    store.save(chunks_of("ab"))
    embed_all(store)
    assert _found(store) == ["a", "b"]
    is_held, is_forked = threading.Event(), threading.Event()

    def hold() -> None:
        with store._vectors.lock(store.collection().name):
            is_held.set()
            is_forked.wait()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(hold)
        is_held.wait()
        pid = os.fork()
        if pid == 0:
            # Nothing may escape into the test runner's copy.
            code = 1
            signal.alarm(20)
            try:
                store.delete(ids=["a"])
                code = 0 if _found(store) == ["b"] else 2
            finally:
                os._exit(code)
        is_forked.set()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert _found(store) == ["b"]


# --- side by side ------------------------------------------------------------------------------


def test_a_search_does_not_wait_for_a_longer_one(store: PeeweeVectorStore) -> None:
    spec = EmbeddingSpec.external("foreign", dimensions=128)
    store.collection("large", spec)
    vectors = np.random.default_rng(1).normal(size=(3000, 128)).astype(np.float32)
    store.save(
        [Chunk(id=str(n), text="text", vector=vector) for n, vector in enumerate(vectors)],
        collection="large",
    )
    store.search(vector=vectors[0], collection="large")
    ends = []

    def search_long() -> None:
        ends.append(time.perf_counter())
        store.search_many(list(vectors) * 2, collection="large", limit=1)

    with ThreadPoolExecutor(1) as threads:
        long = threads.submit(search_long)
        while not long.done():
            store.search(vector=vectors[len(ends) % 3000], collection="large", limit=1)
            ends.append(time.perf_counter())
    ends.sort()
    pauses = np.diff(ends)
    assert pauses.max() < (ends[-1] - ends[0]) / 2, "one waited for most of the other"


def test_answers_of_searches_side_by_side_are_each_of_one_snapshot(
    store: PeeweeVectorStore,
) -> None:
    """A hit has the score of the text that it shows; what is gone is never found again."""
    store.save([Chunk(id=f"{n}", text=f"0 {n}", vector=vector_of(f"0 {n}")) for n in range(40)])
    is_over = threading.Event()

    def search(seed: int) -> int:
        rounds = 0
        while not is_over.is_set() or not rounds:
            query = vector_of(f"query {seed} {rounds}")
            hits = store.search(vector=query, mode="vector", limit=100).hits
            assert len({hit.chunk.id for hit in hits}) == len(hits) in (39, 40)
            for hit in hits:
                score = float(query @ vector_of(hit.chunk.text))
                assert hit.score == pytest.approx(score, abs=1e-5), hit.chunk.text
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as threads:
        searches = [threads.submit(search, seed) for seed in range(4)]
        try:
            for turn in range(1, 60):
                name, text = str(turn % 40), f"{turn} {turn % 40}"
                store.delete(ids=[name])
                assert name not in found_ids(store)
                store.save([Chunk(id=name, text=text, vector=vector_of(text))])
                (hit,) = store.search(vector=vector_of(text), mode="vector", limit=1).hits
                assert hit.chunk.text == text
        finally:
            is_over.set()
        assert all(done.result() for done in searches)


class Waiting(MappedVectors):
    """Vectors whose first search waits before it brings an index to the state of its snapshot."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.is_reached, self.may_go = threading.Event(), threading.Event()

    def current(self, connection: Connection, collection: Collection) -> VectorIndex | None:
        if not self.is_reached.is_set():
            self.is_reached.set()
            self.may_go.wait()
        return super().current(connection, collection)


def test_no_search_is_answered_from_a_later_state_than_its_own(store: PeeweeVectorStore) -> None:
    vectors = Waiting(store.database)
    searcher = Searcher(store.database, vectors, store.delivery)
    store.save([Chunk(id=name, text=name, vector=vector_of(name)) for name in "ab"])

    def found() -> list[str]:
        results = searcher.search("default", any_of_two, by_vector=True, is_plain=False)
        return sorted(hit.chunk.id for hit in results)

    def any_of_two(collection: Collection) -> Query:
        query = vector_of("a")
        options = {"limit": 10, "filters": None, "ids": None, "document_ids": None, "exact": False}
        return check_query(collection, vector=query, **options)

    with ThreadPoolExecutor(2) as threads:
        earlier = threads.submit(found)
        vectors.is_reached.wait()
        store.save([Chunk(id="c", text="c", vector=vector_of("c"))])
        later = threads.submit(found)
        went_on = wait([later], timeout=0.2).done
        vectors.may_go.set()
        assert not went_on, "the index went on without the earlier search"
        assert (earlier.result(), later.result()) == (["a", "b"], ["a", "b", "c"])
    assert found() == ["a", "b", "c"]


def found_ids(store: PeeweeVectorStore) -> set[str]:
    return {hit.chunk.id for hit in store.search(vector=vector_of("any"), mode="vector", limit=100)}
