"""What an administrator or a server does to the database: dumps, no room, an old version, a standby."""

from __future__ import annotations

import subprocess

import psycopg
import pytest

from semantic_core.database.postgres import schema
from semantic_core.domain.errors import (
    DatabaseReadOnlyError,
    StorageFullError,
    UnsupportedDatabaseError,
)
from semantic_core.store import PeeweeVectorStore
from support.chunks import SPEC, chunks_of, embed, vector_of
from support.invariants import check_invariants
from support.postgres_server import PostgresServer, postgres_database

pytestmark = pytest.mark.postgres


def _run(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_a_dump_is_restored_as_it_was(postgres_server: PostgresServer, postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.collection(spec=SPEC)
        store.save(chunks_of(["zebra", "lion"], metadata={"big": 2**60, "float": 1e300, "x": [1]}))
        embed(store, "zebra")
        expected = store.chunks()
    dump = [postgres_server.programs / "pg_dump", "--schema=semcore", postgres_url]
    sql = subprocess.run(dump, check=True, capture_output=True).stdout
    with postgres_database(postgres_server.url, "template1") as restored:
        restore = [postgres_server.programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", restored]
        subprocess.run(restore, check=True, capture_output=True, input=sql)
        with PeeweeVectorStore(restored) as store:
            assert store.chunks() == expected
            assert [hit.chunk.id for hit in store.search(text="lion")] == ["lion"]
            assert [one.id for one in store.chunks(filters={"big": 2**60})] == ["zebra", "lion"]
            store.save(chunks_of(["new"]))
            check_invariants(store)


def test_a_server_that_only_reads_is_searched(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.collection(spec=SPEC)
        store.save(chunks_of(["zebra", "lion"]))
        embed(store, "zebra")
    name = postgres_url.rpartition("/")[2]
    _run(postgres_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with PeeweeVectorStore(postgres_url) as store:
        hits = store.search(text="lion", vector=vector_of("zebra"))
        assert {hit.chunk.id for hit in hits} == {"zebra", "lion"}
        for refused in (
            lambda: store.save(chunks_of(["new"])),
            lambda: store.delete(ids=["lion"]),
            lambda: embed(store, "lion"),
        ):
            with pytest.raises(DatabaseReadOnlyError, match="primary server"):
                refused()


def test_a_server_without_room_keeps_nothing_of_the_step(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store:
        store.save(chunks_of(["zebra"]))
        _run(
            postgres_url,
            "CREATE FUNCTION semcore.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; "
            "CREATE TRIGGER is_full BEFORE INSERT ON semcore.fulltext FOR EACH STATEMENT "
            "EXECUTE FUNCTION semcore.full()",
        )
        with pytest.raises(StorageFullError, match="Nothing of this step was kept"):
            store.save(chunks_of(["lion"]))
        check_invariants(store)
        _run(postgres_url, "DROP FUNCTION semcore.full() CASCADE")
        assert store.save(chunks_of(["lion"])).inserted == 1
        check_invariants(store)


def test_a_server_that_is_too_old_is_refused_before_anything_is_made(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "OLDEST_SERVER", 99)
    with pytest.raises(UnsupportedDatabaseError, match="needs 99 or newer"):
        PeeweeVectorStore(postgres_url)
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT to_regclass('semcore.chunks')").fetchone()
    assert row == (None,)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_server: PostgresServer, encoding: str
) -> None:
    name = f"semcore_test_{encoding.lower()}"
    of_c = "LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    _run(postgres_server.url, f"CREATE DATABASE {name} ENCODING '{encoding}' {of_c}")
    url = f"{postgres_server.url.rpartition('/')[0]}/{name}"
    try:
        with pytest.raises(UnsupportedDatabaseError, match=f"{encoding}.*ENCODING 'UTF8'"):
            PeeweeVectorStore(url)
        with psycopg.connect(url) as connection:
            row = connection.execute("SELECT to_regnamespace('semcore')").fetchone()
        assert row == (None,)
    finally:
        _run(postgres_server.url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("is_in_url", [False, True])
def test_a_clients_own_encoding_changes_no_text(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, *, is_in_url: bool
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    url = f"{postgres_url}?client_encoding=LATIN1" if is_in_url else postgres_url
    with PeeweeVectorStore(url) as store:
        store.collection(spec=SPEC)
        store.save(chunks_of(["жираф", "façade"]))
        for text in ("жираф", "façade"):
            assert [hit.chunk.text for hit in store.search(text=text)] == [text]
        check_invariants(store)
