"""What a server may refuse, and the error that says so: its class, what it means, what to do next."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from semantic_core.domain.errors import (
    DatabaseBusyError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    SemanticCoreError,
    StorageFullError,
)
from semantic_core.store import PeeweeVectorStore
from support.chunks import chunks_of
from support.invariants import check_invariants
from support.postgres_server import PostgresServer

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("setting", "statement", "kind", "says"),
    [
        ("statement_timeout", "SELECT pg_sleep(5)", DatabaseBusyError, "took longer.+try again"),
        ("lock_timeout", "LOCK TABLE semcore.batch_items", DatabaseBusyError, "locked.+try again"),
        (
            "idle_in_transaction_session_timeout",
            None,
            DatabaseUnavailableError,
            "idle-in-transaction.+repeated without harm",
        ),
        ("temp_file_limit", None, StorageFullError, "temp_file_limit.+call again"),
    ],
)
def test_a_limit_that_is_passed(
    postgres_url: str, setting: str, statement: str | None, kind: type[SemanticCoreError], says: str
) -> None:
    with PeeweeVectorStore(postgres_url) as store, psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE semcore.batch_items")

        def pass_it() -> None:
            with store.database.transaction() as connection:
                connection.execute(f"SET LOCAL {setting} = '60'")
                if setting == "idle_in_transaction_session_timeout":
                    time.sleep(1)
                connection.execute(statement or _MANY_SORTED)

        with pytest.raises(kind, match=says):
            pass_it()
        other.rollback()
        assert store.save(chunks_of("a")).inserted == 1


def test_a_database_that_cannot_be_opened_says_what_to_do(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    with pytest.raises(DatabaseUnavailableError, match=r"does not exist.+Check the URL"):
        PeeweeVectorStore(postgres_url + "_none")
    with pytest.raises(DatabaseUnavailableError, match=r"nobody_there.+Check the URL"):
        PeeweeVectorStore(postgres_url.replace("postgres@", "nobody_there@"))
    with psycopg.connect(postgres_url, autocommit=True) as server:
        server.execute("DROP ROLE IF EXISTS semcore_without")
        server.execute("CREATE ROLE semcore_without LOGIN")
        theirs = postgres_url.replace("postgres@", "semcore_without@")
        with pytest.raises(DatabaseReadOnlyError, match="GRANT CREATE ON DATABASE"):
            PeeweeVectorStore(theirs)
        server.execute(f"GRANT CREATE ON DATABASE {name} TO semcore_without")
        with PeeweeVectorStore(theirs) as store:
            assert store.save(chunks_of("a")).inserted == 1
        server.execute("DROP OWNED BY semcore_without")
        server.execute("DROP ROLE semcore_without")


_MANY_SORTED = "SELECT count(DISTINCT repeat('x', 100) || n) FROM generate_series(1, 99999) n"


def test_a_server_without_a_connection_left(postgres_url: str) -> None:
    with PeeweeVectorStore(postgres_url) as store, psycopg.connect(postgres_url) as other:
        other.execute("DROP ROLE IF EXISTS semcore_limited")
        other.execute("CREATE ROLE semcore_limited LOGIN CONNECTION LIMIT 0")
        other.commit()
        try:
            with pytest.raises(DatabaseUnavailableError, match=r"too many connections.+has room"):
                PeeweeVectorStore(postgres_url.replace("postgres@", "semcore_limited@"))
        finally:
            other.execute("DROP ROLE semcore_limited")
        assert store.save(chunks_of("a")).inserted == 1


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount no disk")
    try:
        yield
    finally:
        # The server still has files open in it.
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(own_postgres_server: PostgresServer) -> None:
    """D3: what was saved stays, nothing is half saved, and once there is room it goes on."""
    disk = own_postgres_server.folder / "disk"
    with small_disk(disk, 24):
        filler = disk / "filler"
        with psycopg.connect(own_postgres_server.url, autocommit=True) as server:
            tables = disk / "tables"
            tables.mkdir()
            status = own_postgres_server.folder.stat()
            os.chown(tables, status.st_uid, status.st_gid)
            server.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
            server.execute("CREATE DATABASE small TABLESPACE small")
        with PeeweeVectorStore(own_postgres_server.url.rpartition("/")[0] + "/small") as store:
            saved = 0
            filler.write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize - 2**20))

            def page() -> list[str]:
                return [f"{saved} {number} {'word ' * 50}" for number in range(100)]

            def fill() -> None:
                nonlocal saved
                for _ in range(100):
                    store.save(chunks_of(page()))
                    saved += 100

            with pytest.raises(StorageFullError, match=r"no room left.+call again"):
                fill()
            assert saved
            filler.unlink()
            assert store.stats().waiting == saved
            assert store.save(chunks_of(page())).inserted == 100
            check_invariants(store)
