"""How rows go in and come out of a PostgreSQL connection."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from semantic_core.database.postgres.connection import PostgresConnection, adapt
from semantic_core.domain.statuses import EmbeddingStatus

pytestmark = pytest.mark.postgres


@pytest.fixture
def connection(postgres_url: str) -> Iterator[PostgresConnection]:
    with psycopg.connect(postgres_url, autocommit=True) as raw:
        adapt(raw)
        raw.execute(
            "CREATE TABLE t (pk bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint, "
            "key bytea, status text, at float8 DEFAULT 7, note text, CHECK (number >= 0))"
        )
        yield PostgresConnection(raw)


@pytest.mark.parametrize("count", [0, 1, 1_000, 2_500])
def test_every_inserted_row_is_returned(connection: PostgresConnection, count: int) -> None:
    """Of each type, with values that are missing in some rows, and in all."""
    columns = ("number", "key", "status", "at", "note")
    rows = [
        (n << 40, bytes([n % 256]) * 32, EmbeddingStatus.READY, None if n % 2 else n / 2, None)
        for n in range(count)
    ]
    returned = connection.insert("t", columns, rows, ending=f"RETURNING {', '.join(columns)}")
    assert sorted(returned) == rows
    assert connection.insert("t", columns, rows) == []


@pytest.mark.parametrize("count", [0, 1, 1_000])
def test_every_row_is_updated_and_no_other(connection: PostgresConnection, count: int) -> None:
    """Of each type, with values that are missing in some rows, in all, or alike in all."""
    connection.insert("t", ("number", "note"), [(n, "before") for n in range(count + 10)])
    columns = ("number", "key", "status", "at", "note")
    rows = [
        (n, bytes([n % 256]) * 32, EmbeddingStatus.READY, None if n % 2 else n / 2, None)
        for n in range(count)
    ]
    connection.update("t", columns, rows)
    found = connection.execute(f"SELECT {', '.join(columns)} FROM t ORDER BY number").fetchall()
    assert found == [*rows, *((count + n, None, None, 7.0, "before") for n in range(10))]


def test_an_ending_is_translated_as_all_else_is(connection: PostgresConnection) -> None:
    connection.execute("CREATE UNIQUE INDEX ON t (number)")
    for note in (None, "100 % new"):
        connection.insert(
            "t",
            ("number", "note"),
            [(1, note), (2, "the same")],
            ending="ON CONFLICT (number) DO UPDATE SET note = excluded.note, at = 8 "
            "WHERE t.note IS NOT excluded.note",
        )
    found = connection.execute("SELECT number, note, at FROM t ORDER BY number").fetchall()
    assert found == [(1, "100 % new", 8), (2, "the same", 7)]


def test_rows_get_their_keys_in_order(connection: PostgresConnection) -> None:
    """What waits longest is sent first, wherever the table had room for it."""
    rows = [(n, "x" * 500) for n in range(2_000)]
    connection.insert("t", ("number", "note"), rows)
    connection.execute("DELETE FROM t WHERE number % 3 > 0")
    connection.execute("VACUUM t")
    connection.insert("t", ("number", "note"), [(n + 10_000, note) for n, note in rows])
    found = connection.execute("SELECT number FROM t WHERE number >= 10000 ORDER BY pk").fetchall()
    assert [number for (number,) in found] == list(range(10_000, 12_000))
