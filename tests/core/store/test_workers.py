"""Stores in greenlets, and in processes of Ray, Dask, joblib and multiprocessing: by their path."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import peewee
import pytest

from semantic_core.domain.errors import DatabaseReadOnlyError, StorageError
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed_all
from support.processes import Python


def ids(store: PeeweeVectorStore) -> list[str]:
    return [chunk.id for chunk in store.chunks()]


def by_pickle(store: PeeweeVectorStore) -> PeeweeVectorStore:
    again: PeeweeVectorStore = pickle.loads(pickle.dumps(store))
    return again


def test_greenlets_that_come_and_go_leave_no_connection_open(
    python: Python, tmp_path: Path
) -> None:
    """As Celery -P gevent and a gevent server do it: one a task or request."""
    pytest.importorskip("gevent")
    child = python("""
        from gevent import monkey
        monkey.patch_all()
        import os
        import gevent
        from semantic_core import Chunk, EmbeddingSpec, PeeweeVectorStore

        store = PeeweeVectorStore(hear() + "/notes.db")
        store.collection(spec=EmbeddingSpec.external("own", dimensions=2))

        def request(number):
            store.save([Chunk(id=str(number), text="text", vector=[1.0, float(number)])])
            gevent.sleep(0)
            return len(store.search(text="text", vector=[1.0, 2.0], limit=3))

        def serve(turn):
            greenlets = [gevent.spawn(request, turn * 10 + n) for n in range(10)]
            gevent.joinall(greenlets, raise_error=True)
            return len(os.listdir("/proc/self/fd"))

        handles = [serve(turn) for turn in range(20)]
        say(f"{len(store.chunks())} saved, {max(handles[1:]) - handles[0]} more handles")
    """)
    assert child.ask(str(tmp_path)) == "200 saved, 0 more handles"
    child.end()


def test_a_store_is_sent_to_a_worker_as_its_path(store: PeeweeVectorStore) -> None:
    store.collection(spec=SPEC)
    store.save(chunks_of("abc"))
    embed_all(store)
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        found = pool.submit(store.search, text="b", mode="keyword").result()
    assert [hit.chunk.id for hit in found] == ["b"]


@pytest.mark.parametrize("again", [by_pickle, copy.copy, copy.deepcopy])
def test_a_copy_is_another_store_on_the_same_file(
    store: PeeweeVectorStore, again: Callable[[PeeweeVectorStore], PeeweeVectorStore]
) -> None:
    store.save(chunks_of("a"))
    with again(store) as other:
        assert other is not store
        assert other.database is not store.database
        assert other.clock.now() == store.clock.now()
        other.save(chunks_of("b"))
    assert ids(store) == ["a", "b"]


@pytest.mark.sqlite_only("the file is opened read only")
@pytest.mark.parametrize("again", [by_pickle, copy.deepcopy])
def test_a_copy_of_a_read_only_store_is_read_only(
    store: PeeweeVectorStore, again: Callable[[PeeweeVectorStore], PeeweeVectorStore]
) -> None:
    store.save(chunks_of("a"))
    with PeeweeVectorStore(f"file:{store.database.path}?mode=ro") as reader, again(reader) as other:
        assert ids(other) == ["a"]
        with pytest.raises(DatabaseReadOnlyError):
            other.save(chunks_of("b"))


def test_where_the_file_is_not_there_none_is_made(database_path: Path, tmp_path: Path) -> None:
    """On another machine, say: an empty database would answer, and find nothing."""
    with PeeweeVectorStore(database_path) as store:
        data = pickle.dumps(store)
    database_path.rename(tmp_path / "elsewhere.db")
    with pytest.raises(DatabaseReadOnlyError, match="Check that it exists"):
        pickle.loads(data)
    assert not database_path.exists()


def test_a_ready_database_says_how_to_open_it_in_a_worker(database_path: Path) -> None:
    with closing(peewee.SqliteDatabase(database_path)) as ready:
        store = PeeweeVectorStore(ready)
        store.save(chunks_of("a"))
        with pytest.raises(StorageError, match=r"Open it there: PeeweeVectorStore\('.*notes.db'\)"):
            pickle.dumps(store)
        assert ids(copy.deepcopy(store)) == ["a"]
