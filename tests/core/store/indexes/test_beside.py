"""Large indexes are made and saved beside the searches, which do not wait for them."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path

import numpy as np
import pytest

from semantic_core.domain.failpoints import FailPoint, arm, disarm
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import VectorOrigin
from semantic_core.domain.types import Chunk, Vector
from semantic_core.queue.contents import note_contents
from semantic_core.queue.vectors import ArrivedVector
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.indexes.beside import Beside
from semantic_core.store.indexes.cached import LEAST_SAVED
from semantic_core.store.writing.vectors import write_page
from semantic_core.vector_index import cells, index
from support.rows import run_sql

COUNT = LEAST_SAVED + 100
BATCHED = EmbeddingSpec(dimensions=8)


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So few rows count as many here."""
    monkeypatch.setattr(index, "LEAST_ROWS", 1000)
    monkeypatch.setattr(index, "LEAST_CLUSTERED", 1000)
    monkeypatch.setattr(cells, "LEAST_CLUSTERED", 1000)
    yield
    disarm()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "notes.db"
    with PeeweeVectorStore(path) as store:
        store.collection(spec=EmbeddingSpec.external("foreign", 8))
        store.save(chunks(*range(COUNT)))
    return path


def made(number: int) -> Vector:
    return np.random.default_rng(number).standard_normal(8).astype(np.float32)


def chunks(*numbers: int, seed: int = 0) -> list[Chunk]:
    return [Chunk(id=str(n), text=f"text {n}", vector=made(n + seed)) for n in numbers]


def first(store: PeeweeVectorStore, number: int) -> str:
    return store.search(vector=made(number), mode="vector", limit=3).hits[0].chunk.id


def wait(store: PeeweeVectorStore) -> None:
    store._vectors._beside.finish()


def is_mapped(store: PeeweeVectorStore) -> bool:
    (cached,) = store._vectors._cached.values()
    return len(cached.index.matrix._base) > 0


def sidecar(path: Path) -> Path:
    return path.with_name("notes.db.vectors-1")


class Gate:
    """Holds back whoever passes it until it is opened."""

    def __init__(self, point: FailPoint) -> None:
        self.is_reached, self._is_open = threading.Event(), threading.Event()
        arm(point, self._hold)

    def _hold(self) -> None:
        self.is_reached.set()
        self._is_open.wait()

    def open(self) -> None:
        disarm()
        self._is_open.set()


def test_searches_answer_while_the_index_is_saved(path: Path) -> None:
    with PeeweeVectorStore(path) as store:
        gate = Gate(FailPoint.INDEX_WRITTEN)
        try:
            assert first(store, 5) == "5"
            gate.is_reached.wait()
            assert not sidecar(path).exists()
            # Changed in every way meanwhile, and found as it is.
            store.delete(ids=["5"])
            store.save(chunks(6, seed=10**6))
            store.save(chunks(COUNT))
            assert first(store, 5) != "5"
            assert first(store, 6) != "6"
            assert first(store, 10**6 + 6) == "6"
            assert first(store, COUNT) == str(COUNT)
        finally:
            gate.open()
        store._vectors._beside._task.result()
        store._vectors._beside._task = None
        assert is_mapped(store)
        assert first(store, 5) != "5"
        assert first(store, 10**6 + 6) == "6"
        assert first(store, COUNT) == str(COUNT)
        assert store.compare_indexes() == 0


def test_an_error_beside_is_logged_once_and_costs_only_time(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("broken on purpose")

    with PeeweeVectorStore(path) as store:
        arm(FailPoint.INDEX_WRITTEN, fail)
        for number in range(5):
            assert first(store, number) == str(number)
            store.save(chunks(*range(COUNT + 400 * number, COUNT + 400 * number + 400)))
        wait(store)
        disarm()
        assert first(store, 7) == "7"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "broken on purpose" in caplog.text
    assert "Nothing is lost" in caplog.text


def test_what_is_written_is_read_before_anybody_searches(path: Path) -> None:
    with PeeweeVectorStore(path) as store:
        first(store, 5)
        wait(store)
        for start in (COUNT, COUNT + 150):
            store.save(chunks(*range(start, start + 150)))
        (cached,) = store._vectors._cached.values()
        assert [(cached.moment.seq,)] == run_sql(store, "SELECT max(seq) FROM changes")
        assert len(cached.index) == COUNT + 300
        assert cached.index._derived.first_pass.codes.count == cached.index.matrix.count
        assert first(store, COUNT + 7) == str(COUNT + 7)


@pytest.fixture
def batched(tmp_path: Path) -> Iterator[PeeweeVectorStore]:
    """A store whose index is in memory, of texts whose vectors come later."""
    with PeeweeVectorStore(tmp_path / "batched.db") as store:
        store.collection(spec=BATCHED)
        for start in range(0, COUNT, 1000):
            apply(store, *range(start, min(start + 1000, COUNT)))
        assert first(store, 5) == "5"
        wait(store)
        yield store


def apply(store: PeeweeVectorStore, *numbers: int, seed: int = 0) -> None:
    hashed = BATCHED.hasher()
    texts = [f"text {n}" for n in numbers]
    store.save(Chunk(id=str(n), text=text) for n, text in zip(numbers, texts, strict=True))
    items = [(hashed(text).hex(), made(n + seed)) for n, text in zip(numbers, texts, strict=True)]
    store.bulk_update_vectors(items, spec=BATCHED)


def test_a_search_beside_an_apply_reads_no_vectors(batched: PeeweeVectorStore) -> None:
    new, statements = COUNT + 7, list[str]()
    # As another thread finds it between two pages.
    batched.refresh_indexes = lambda: None  # type: ignore[method-assign]
    apply(batched, *range(COUNT, COUNT + 20))
    connection = batched.database.connection()  # type: ignore[attr-defined]  # SQLite's
    connection.set_trace_callback(statements.append)
    assert first(batched, new) == str(new)
    connection.set_trace_callback(None)
    assert statements
    assert not [one for one in statements if "e.vector" in one]


def test_what_an_apply_took_back_is_not_found(batched: PeeweeVectorStore) -> None:
    hashed, new = BATCHED.hasher(), COUNT + 3
    batched.save([Chunk(id=str(new), text="new")])

    def write() -> None:
        with batched.database.transaction() as connection:
            with batched.ahead(connection):
                ids, _ = note_contents(connection, [hashed("new")])
                vector = ArrivedVector(content_id=ids[hashed("new")], vector=made(new).tobytes())
                origin = VectorOrigin.BATCH
                write_page(connection, [vector], spec=BATCHED, origin=origin, job_id=None, now=0.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert first(batched, new) != str(new)
    apply(batched, COUNT + 4, seed=50)
    assert first(batched, COUNT + 54) == str(COUNT + 4)
    assert str(new) not in [hit.chunk.id for hit in batched.search(vector=made(new), limit=COUNT)]


def test_what_others_write_after_an_apply_is_read(batched: PeeweeVectorStore) -> None:
    batched.refresh_indexes = lambda: None  # type: ignore[method-assign]
    apply(batched, COUNT)
    with PeeweeVectorStore(batched.database.path) as other:
        apply(other, COUNT + 1)
    assert [first(batched, n) for n in (COUNT, COUNT + 1)] == [str(COUNT), str(COUNT + 1)]


def test_a_process_that_ends_without_closing_leaves_the_file(path: Path) -> None:
    code = f"""
from semantic_core.store import PeeweeVectorStore
from semantic_core.vector_index import index
import numpy as np
index.LEAST_ROWS = 1000
store = PeeweeVectorStore({str(path)!r})
store.search(vector=np.ones(8), mode="vector")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert sidecar(path).exists()
    assert not list(path.parent.glob("*.new"))
    with PeeweeVectorStore(path) as store:
        assert first(store, 5) == "5"
        assert is_mapped(store)


def test_vectors_purged_meanwhile_do_not_stay_in_the_file(path: Path) -> None:
    with PeeweeVectorStore(path) as store, PeeweeVectorStore(path) as other:
        gate = Gate(FailPoint.INDEX_SYNCED)
        first(store, 5)
        gate.is_reached.wait()
        other.delete(ids=["5"], purge=True)
        gate.open()
        wait(store)
        assert not sidecar(path).exists()
        assert first(store, 5) != "5"


def test_an_index_without_cells_gets_them_in_the_next_process(path: Path) -> None:
    written = []
    for _ in range(2):
        with PeeweeVectorStore(path) as store, store.database.snapshot() as connection:
            # Opened and closed at once: there is no time for cells.
            store._vectors.current(connection, store.collection())
        written.append(sidecar(path).stat().st_mtime_ns)
    assert written[0] == written[1], "it is written at each end"
    with PeeweeVectorStore(path) as store:
        assert first(store, 5) == "5"
        store._vectors._beside._task.result()
        store._vectors._beside._task = None
        (cached,) = store._vectors._cached.values()
        assert not cached.index.is_unfinished
        first(store, 5)
        assert store._vectors._beside._task is None, "it is made again and again"


def test_brief_searches_take_turns_and_others_run_beside_them(path: Path) -> None:
    with PeeweeVectorStore(path) as store, ThreadPoolExecutor(3) as pool:
        with store.database.snapshot() as connection:
            index = store._vectors.current(connection, store.collection())
        assert index is not None
        assert not index.is_clustered
        first(store, 5)
        store._vectors._beside._task.result()
        store._vectors._beside._task = None
        first(store, 5)
        with store._vectors.turn("default", is_plain=True):
            plain = pool.submit(first, store, 5)
            exact = pool.submit(store.search, vector=made(5), mode="vector", exact=True)
            words = pool.submit(store.search, text="text 5", mode="keyword")
            assert exact.result().hits[0].chunk.id == words.result().hits[0].chunk.id == "5"
            assert not wait_for([plain], timeout=0.05).done
        assert plain.result() == "5"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_waits_for_nothing_that_its_parent_does(path: Path) -> None:
    with PeeweeVectorStore(path) as store:
        gate = Gate(FailPoint.INDEX_WRITTEN)
        first(store, 5)
        gate.is_reached.wait()
        pid = os.fork()
        if pid == 0:
            # Nothing may escape into the test runner's copy.
            code = 1
            try:
                disarm()
                code = 0 if first(store, 6) == "6" else 2
                store.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        gate.open()
        assert first(store, 7) == "7"


# --- one piece at a time ------------------------------------------------------------------------


def test_whoever_finishes_hurries_what_is_under_way_and_waits() -> None:
    beside = Beside()
    done = []

    def work() -> None:
        while not beside.is_hurried():
            pass
        done.append("hurried")

    assert beside.start(work)
    assert not beside.start(lambda: done.append("second"))
    beside.finish()
    assert done == ["hurried"]
    assert not beside.is_hurried()
    assert beside.start(lambda: done.append("third"))
    beside.finish()
    beside.finish()
    assert done == ["hurried", "third"]
