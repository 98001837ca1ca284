"""What the locks of PostgreSQL keep: each test is red without one of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from types import FrameType

import psycopg
import pytest

from semantic_core.database.port import Connection
from semantic_core.database.postgres.database import PostgresDatabase
from semantic_core.domain.errors import DatabaseBusyError
from semantic_core.domain.types import Chunk, Document, SplitDocument
from semantic_core.queue.contents import note_contents
from semantic_core.store import PeeweeVectorStore
from semantic_core.store.collections import get_collection
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.save import save_rows
from support.chunks import SPEC, chunks_of, vector_of
from support.invariants import check_invariants
from support.postgres_server import wait_for_waiting

pytestmark = pytest.mark.postgres


@contextmanager
def _another_saves(url: str) -> Iterator[PeeweeVectorStore]:
    """Yield an impatient store while another process is within a save."""
    inside, go_on = threading.Event(), threading.Event()

    def work(connection: Connection, _: object) -> None:
        connection.execute("SELECT 1")
        inside.set()
        assert go_on.wait(30)

    impatient = PeeweeVectorStore(PostgresDatabase(url, patience=0.1))
    with impatient, PeeweeVectorStore(url) as other, ThreadPoolExecutor(1) as threads:
        saver = threads.submit(other.database.save, work)
        assert inside.wait(30)
        try:
            yield impatient
        finally:
            go_on.set()
            saver.result(30)


def _new_vector(store: PeeweeVectorStore) -> object:
    return store.save([Chunk(id="x", text="x", vector=vector_of("y"))])


def _no_chunk(store: PeeweeVectorStore) -> object:
    document = Document(content="x")
    return store.save_documents([SplitDocument(id="d", document=document, chunks=[])])


@pytest.mark.parametrize("takes_away", [_new_vector, _no_chunk])
def test_who_takes_something_away_waits_for_savers(
    postgres_url: str, takes_away: Callable[[PeeweeVectorStore], object]
) -> None:
    """Another saver may just have taken that vector up for a chunk of its own."""
    with PeeweeVectorStore(postgres_url) as store:
        store.collection(spec=SPEC)
        first = Chunk(id="x", text="x", vector=vector_of("x"), document_id="d")
        store.save_documents(
            [SplitDocument(id="d", document=Document(content="x"), chunks=[first])]
        )
        with _another_saves(postgres_url) as impatient:
            with pytest.raises(DatabaseBusyError):
                takes_away(impatient)
            assert impatient.save(chunks_of("a")).inserted == 1
        takes_away(store)
        check_invariants(store)


def test_who_saves_a_chunk_again_sees_what_another_makes_of_it(postgres_url: str) -> None:
    """What is read and then changed is locked, or chunks would be counted by an old state."""
    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(1) as threads:
        store.save([Chunk(id="x", text="first")])
        with psycopg.connect(postgres_url) as other:
            other.execute(
                "UPDATE semcore.chunks SET embedding_status = 'FAILED', error_message = 'no'"
            )
            other.execute("UPDATE semcore.chunk_counts SET embedding_status = 'FAILED'")
            other.execute("DELETE FROM semcore.waiting_counts")
            saver = threads.submit(store.save, [Chunk(id="x", text="second")])
            wait_for_waiting(postgres_url)
        assert saver.result(30).updated == 1
        check_invariants(store)


def test_two_who_save_a_text_at_once_count_it_once(postgres_url: str) -> None:
    """It is known, and waits nowhere: each would find it new to what waits."""
    inside, go_on = threading.Event(), threading.Event()
    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(2) as threads:
        store.save([Chunk(text="other")])
        spec = store.collection("one").spec
        store.collection("two", spec)
        with store.database.transaction() as connection:
            note_contents(connection, [spec.hasher()("x")])
        rows = prepare_chunks([Chunk(text="x")], spec)

        def work(connection: Connection, _: object) -> None:
            one = get_collection(connection, "one")
            save_rows(store.database, connection, rows, collection=one, now=0.0, is_alone=False)
            inside.set()
            assert go_on.wait(30)

        first = threads.submit(store.database.save, work)
        assert inside.wait(30)
        second = threads.submit(store.save, [Chunk(text="x")], collection="two")
        wait_for_waiting(postgres_url)
        go_on.set()
        first.result(30)
        second.result(30)
        check_invariants(store)
        assert (store.stats().waiting, store.stats().waiting_texts) == (3, 2)


def test_an_interrupt_of_a_beginning_costs_no_later_transaction(postgres_url: str) -> None:
    """psycopg remembers a statement before it knows that it cannot be prepared."""
    PeeweeVectorStore(postgres_url).close()

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        is_next = event == "call" and frame.f_code.co_qualname == "PrepareManager.validate"
        if is_next and len(frame.f_locals["results"]) > 1:
            raise KeyboardInterrupt

    with closing(PostgresDatabase(postgres_url)) as database:
        for number in range(10):
            sys.setprofile(interrupt if number == 0 else None)
            with suppress(KeyboardInterrupt), database.transaction() as connection:
                assert number, "it was not interrupted"
                assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_snapshot_stays_as_it_was(postgres_url: str) -> None:
    """A search reads vectors, words and chunks one after the other."""
    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(1) as threads:
        store.save(chunks_of("a"))
        count = "SELECT count(*) FROM chunks"
        with store.database.snapshot() as connection:
            assert connection.execute(count).fetchone() == (1,)
            threads.submit(store.save, chunks_of("bc")).result(30)
            assert connection.execute(count).fetchone() == (1,)


def test_a_step_about_money_is_on_disk_whatever_the_server_is_told(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = off")
    with PeeweeVectorStore(postgres_url) as store, store.database.transaction() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
