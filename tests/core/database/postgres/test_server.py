"""The server that the tests themselves bring."""

from __future__ import annotations

import shutil
import time

import psycopg
import pytest

from support.postgres_server import PostgresServer
from support.processes import Python

pytestmark = pytest.mark.postgres


def test_each_test_has_a_database_of_its_own(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE mine (number integer)")
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (0,)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_what_was_committed_outlives_the_server(
    own_postgres_server: PostgresServer, way: str
) -> None:
    server = own_postgres_server
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        getattr(server, way)()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    server.start()
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchone() == (1,)


def test_it_ends_with_the_process_that_started_it(python: Python) -> None:
    child = python(
        """
        from support.postgres_server import PostgresServer
        server = PostgresServer()
        say(server.folder)
        say(server.url)
        hear()
        """
    )
    folder, url = child.hear(), child.hear()
    psycopg.connect(url).close()
    child.kill()
    for _ in range(600):
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the server outlived the tests")
    shutil.rmtree(folder, ignore_errors=True)
