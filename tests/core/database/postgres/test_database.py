"""What PostgreSQL does in a way of its own: locks between machines, lost connections, other schemas."""

from __future__ import annotations

import pickle
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from semantic_core import SemanticCore
from semantic_core.database.port import Connection
from semantic_core.database.postgres.database import PostgresDatabase
from semantic_core.domain.errors import (
    DatabaseBusyError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    NotASemcoreDatabaseError,
    SchemaTooNewError,
    StorageError,
    UnsupportedDatabaseError,
)
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Chunk, Document
from semantic_core.queue.claims import _due_texts, candidates
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, vector_of
from support.invariants import check_invariants
from support.jobs import claim_job
from support.pooler import pooled
from support.postgres_server import PostgresServer, end_sessions
from support.world import make_keyring

pytestmark = pytest.mark.postgres

PASSWORD = "s3cret-of-the-database"


def _held(waiting: threading.Event, go_on: threading.Event, connection: Connection) -> None:
    connection.execute("SELECT 1")
    waiting.set()
    assert go_on.wait(30)


# --- locks -------------------------------------------------------------------------------


def test_savers_go_side_by_side_and_who_moves_states_waits_for_them(postgres_url: str) -> None:
    """A mover that went beside a saver could end the job for which the saver's chunk then waits."""
    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(2) as threads:
        inside, go_on = threading.Event(), threading.Event()
        saver = threads.submit(
            store.database.save, lambda connection, _: _held(inside, go_on, connection)
        )
        assert inside.wait(30)
        assert store.save(chunks_of(["beside"])).inserted == 1
        impatient = PeeweeVectorStore(PostgresDatabase(postgres_url, patience=0.1))
        with impatient, pytest.raises(DatabaseBusyError, match="Nothing was changed"):
            claim_job(impatient)
        go_on.set()
        saver.result(30)
        assert claim_job(store) is not None


def test_a_saver_waits_for_who_moves_states(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        impatient = PeeweeVectorStore(PostgresDatabase(postgres_url, patience=0.1))
        with impatient:
            with store.database.transaction(), pytest.raises(DatabaseBusyError):
                impatient.save(chunks_of("a"))
            assert impatient.save(chunks_of("a")).inserted == 1


def test_no_chunk_waits_for_a_vector_that_is_stored(postgres_url: str) -> None:
    """The lost wake-up: a saver looks, the vector comes and the job ends, the saver writes."""
    texts = [f"text {number}" for number in range(120)]
    with PeeweeVectorStore(postgres_url) as store:
        store.collection(spec=SPEC)
        ended = threading.Event()

        def save(number: int) -> None:
            for start in range(0, len(texts), 5):
                store.save([Chunk(id=f"{number} {t}", text=t) for t in texts[start : start + 5]])

        def work() -> None:
            while not ended.is_set():
                if claim_job(store) is not None:
                    with store.database.snapshot() as connection:
                        rows = connection.execute(
                            "SELECT DISTINCT c.text FROM chunks c JOIN batch_items i "
                            "ON i.content_id = c.content_id WHERE i.state = 'open'"
                        ).fetchall()
                    embed(store, *(text for (text,) in rows))

        with ThreadPoolExecutor(5) as threads:
            worker = threads.submit(work)
            for saved in [threads.submit(save, number) for number in range(4)]:
                saved.result(120)
            ended.set()
            worker.result(120)
        with store.database.snapshot() as connection:
            stuck = connection.execute(
                "SELECT count(*) FROM chunks c JOIN embeddings e ON e.content_id = c.content_id "
                "WHERE c.embedding_status = 'PENDING'"
            ).fetchone()
        assert stuck == (0,)
        check_invariants(store)


def test_savers_that_meet_in_the_same_rows_all_succeed(postgres_url: str) -> None:
    """Two insert the same id, or the same new collection; one of them begins again, alone."""
    with PeeweeVectorStore(postgres_url) as store:
        start = threading.Barrier(4, timeout=30)

        def save(number: int) -> None:
            for turn in range(10):
                start.wait()
                store.save(
                    [Chunk(id=f"{turn} {n}", text=f"{number} {n}") for n in range(20)],
                    collection=f"c{turn}",
                )

        with ThreadPoolExecutor(4) as threads:
            for saved in [threads.submit(save, number) for number in range(4)]:
                saved.result(60)
        assert len(store.collections()) == 10
        check_invariants(store)


def test_a_saver_that_lets_go_of_a_vector_is_alone(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.collection(spec=SPEC)
        store.save([Chunk(id="x", text="x", vector=vector_of("x"))])
        store.save([Chunk(id="x", text="x", vector=vector_of("y"))])
        with store.database.snapshot() as connection:
            assert connection.execute("SELECT count(*) FROM embeddings").fetchone() == (1,)
        check_invariants(store)


def test_changes_are_numbered_in_the_order_of_their_commits(postgres_url: str) -> None:
    """Or a process that has seen the second number would never look for the first."""
    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(1) as threads:
        store.collection(spec=SPEC)
        inside, go_on = threading.Event(), threading.Event()

        def first(connection: Connection, _: object) -> None:
            connection.execute("INSERT INTO changes (collection_id, chunk_pk) VALUES (1, 1)")
            _held(inside, go_on, connection)

        holder = threads.submit(store.database.save, first)
        assert inside.wait(30)
        impatient = PeeweeVectorStore(PostgresDatabase(postgres_url, patience=0.1))
        with impatient, pytest.raises(DatabaseBusyError):
            impatient.save([Chunk(id="x", text="x", vector=vector_of("x"))])
        go_on.set()
        holder.result(30)


def test_eight_may_open_a_new_database_at_once(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS semcore CASCADE")
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(PeeweeVectorStore, [postgres_url] * 8))
    assert len({store.meta("database_uuid") for store in stores}) == 1
    for store in stores:
        store.close()


# --- connections -------------------------------------------------------------------------


def test_a_restarted_server_is_found_again(own_postgres_server: PostgresServer) -> None:
    with PeeweeVectorStore(own_postgres_server.url) as store:
        store.save(chunks_of("ab"))
        own_postgres_server.stop()
        with pytest.raises(DatabaseUnavailableError, match="can be repeated"):
            store.stats()
        own_postgres_server.start()
        assert store.stats().waiting == 2
        own_postgres_server.kill()
        own_postgres_server.start()
        assert store.save(chunks_of("c")).inserted == 1
        check_invariants(store)


def test_a_connection_that_is_cut_leaves_nothing_half_done(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:

        def cut(connection: Connection, _: object) -> None:
            connection.execute("INSERT INTO meta (key, value) VALUES ('half', 'done')")
            (pid,) = connection.execute("SELECT pg_backend_pid()").fetchone()
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s)", (pid,))
            connection.execute("SELECT 1")

        with pytest.raises(DatabaseUnavailableError):
            store.database.save(cut)
        assert store.meta("half") is None


def test_a_connection_that_was_cut_hides_no_error(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:

        def fail(*_: object) -> None:
            end_sessions(postgres_url)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            store.database.save(fail)
        assert store.save(chunks_of("a")).inserted == 1


def test_a_commit_that_the_server_did_not_make_is_no_success(postgres_url: str) -> None:
    """The connection is lost within COMMIT: only the server knows what became of it."""
    _run(
        postgres_url,
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
    )
    with PeeweeVectorStore(postgres_url) as store:
        _run(
            postgres_url,
            "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON semcore.chunks "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()",
        )
        with pytest.raises(DatabaseUnavailableError):
            store.save(chunks_of("a"))
        _run(postgres_url, "DROP TRIGGER cut ON semcore.chunks")
        assert store.stats().waiting == 0


def test_connections_are_used_again_and_closed(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store, ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: store.stats(), range(200)))
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        with psycopg.connect(postgres_url) as connection:
            assert connection.execute(count).fetchone()[0] <= 1 + 16  # type: ignore[index]
    with pytest.raises(StorageError, match="is closed"):
        store.stats()


def test_no_password_is_in_any_text(postgres_server: PostgresServer) -> None:
    urls = [
        f"postgresql://nobody:{PASSWORD}@127.0.0.1:{postgres_server.port}/none",
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:{postgres_server.port}/none",
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:1/none",
        f"postgresql://postgres:{PASSWORD}@127.0.0.1:port/none?a",
        f"postgresql://postgres:{PASSWORD}@[1/none",
    ]
    for url in urls:
        with pytest.raises(StorageError) as raised:
            PeeweeVectorStore(url)
        assert isinstance(raised.value, DatabaseUnavailableError | UnsupportedDatabaseError)
        shown = "".join(traceback.format_exception(raised.value))
        assert PASSWORD not in shown


def test_a_notebook_shows_a_database_on_a_server_without_its_password(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")) as store:
        core = SemanticCore(store, make_keyring())
        report = core.ingest(Document(content="a zebra"))
        cells = [report, store.stats(), store.search(text="zebra"), store.search(text="lion")]
        shown = [cell._repr_html_() for cell in cells]  # type: ignore[attr-defined]  # see `hook_in`
        assert "zebra" in shown[2]
        assert PASSWORD not in "".join([*shown, repr(core), repr(store), repr(store.database)])


def test_a_password_is_in_no_pickle(postgres_url: str) -> None:
    with_password = postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
    with PeeweeVectorStore(with_password) as store:
        assert PASSWORD not in repr(store)
        with pytest.raises(StorageError, match="PGPASSFILE"):
            pickle.dumps(store)
    with PeeweeVectorStore(postgres_url) as store:
        store.save(chunks_of("a"))
        with pickle.loads(pickle.dumps(store)) as copy:
            assert [chunk.text for chunk in copy.chunks()] == ["a"]


# --- whose database ----------------------------------------------------------------------


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


def test_tables_of_another_program_are_left_alone(postgres_url: str) -> None:
    _run(
        postgres_url,
        "DROP SCHEMA IF EXISTS semcore CASCADE",
        "CREATE TABLE public.chunks (theirs int)",
        "INSERT INTO public.chunks VALUES (1)",
    )
    with PeeweeVectorStore(postgres_url) as store:
        store.save(chunks_of("a"))
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT * FROM public.chunks").fetchall() == [(1,)]
    _run(postgres_url, "DROP SCHEMA semcore CASCADE", "CREATE SCHEMA semcore")
    _run(postgres_url, "CREATE TABLE semcore.theirs (n int)")
    with pytest.raises(NotASemcoreDatabaseError, match="theirs"):
        PeeweeVectorStore(postgres_url)


def test_a_newer_schema_is_refused(postgres_url: str) -> None:
    PeeweeVectorStore(postgres_url).close()
    _run(postgres_url, "UPDATE semcore.meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(SchemaTooNewError, match="Nothing was changed"):
        PeeweeVectorStore(postgres_url)


def test_who_may_only_read_may_search(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.save(chunks_of(["zebra", "lion"]))
    _run(
        postgres_url,
        "DROP ROLE IF EXISTS semcore_reader",
        "CREATE ROLE semcore_reader LOGIN",
        "GRANT USAGE ON SCHEMA semcore TO semcore_reader",
        "GRANT SELECT ON ALL TABLES IN SCHEMA semcore TO semcore_reader",
    )
    try:
        with PeeweeVectorStore(postgres_url.replace("postgres@", "semcore_reader@")) as store:
            assert [hit.chunk.text for hit in store.search(text="zebra")] == ["zebra"]
            with pytest.raises(DatabaseReadOnlyError, match="GRANT"):
                store.save(chunks_of("c"))
    finally:
        _run(postgres_url, "DROP OWNED BY semcore_reader", "DROP ROLE semcore_reader")


def test_users_read_through_the_models(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.save(chunks_of("ab"))
        model: Any = store.tables.ChunkModel
        waiting = model.select().where(model.embedding_status == EmbeddingStatus.PENDING)
        assert sorted(row.text for row in waiting) == ["a", "b"]


def test_leases_are_by_the_clock_of_the_server(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store, psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        assert row is not None
        assert abs(store.clock.now() - float(row[0])) < 5


def test_rows_that_may_not_fit_in_memory_stay_on_the_server(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.save(chunks_of("abc"))
        with store.database.transaction() as connection:
            (candidate,) = candidates(connection, collection=None, now=store.clock.now())
            due = _due_texts(connection, candidate, store.clock.now())
            next(due)
            assert connection.execute("SELECT count(*) FROM pg_cursors").fetchone()[0] > 0
        with store.database.transaction() as connection:
            due.close()  # of an earlier transaction: it must not disturb this one
            assert connection.execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)


# --- poolers -----------------------------------------------------------------------------


def test_behind_a_pooler_nothing_is_left_in_a_session_for_the_next_transaction(
    postgres_url: str,
) -> None:
    """Which may run in another session: what was prepared in this one is not known there."""
    with pooled(postgres_url) as url, PeeweeVectorStore(url) as store:
        direct = PeeweeVectorStore(postgres_url)
        with direct:
            for opened, is_left in ((store, False), (direct, True)):
                for number in range(7):
                    opened.save(chunks_of([f"the cat {number}"]))
                    opened.search(text="cat")
                with opened.database.snapshot() as connection:
                    left = connection.execute(
                        "SELECT (SELECT count(*) FROM pg_prepared_statements), "
                        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                        "AND pid = pg_backend_pid())"
                    ).fetchone()
                assert (left[0] > 0) is is_left
                assert left[1] == 0
