"""Statements over sets: any number of values, of each type."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from semantic_core.database import among
from semantic_core.database.sqlite.connection import SqliteConnection


@pytest.fixture
def connection() -> Iterator[SqliteConnection]:
    with closing(sqlite3.connect(":memory:")) as opened:
        opened.execute("CREATE TABLE t (pk INTEGER NOT NULL PRIMARY KEY, value, note TEXT)")
        yield SqliteConnection(opened)


@pytest.mark.parametrize(
    "values",
    [
        ["a", "ä", 'with "quotes"'],
        [1, 2**62, -3],
        [7, 8, 9],
        [7, 9, 8, 10],
        [bytes([n]) * 32 for n in range(5)],
    ],
)
def test_a_column_is_among_values_of_each_type(
    connection: SqliteConnection, values: list[int | str | bytes]
) -> None:
    connection.insert("t", ["value"], [[value] for value in values], ending="RETURNING pk")
    for wanted in (values, values[:1], []):
        chosen = among("value", wanted)
        found = connection.execute(
            f"SELECT value FROM t WHERE {chosen.sql} ORDER BY pk", chosen.values
        )
        assert [value for (value,) in found] == wanted
        (left,) = connection.execute(
            f"SELECT count(*) FROM t WHERE NOT {chosen.sql}", chosen.values
        ).fetchone()
        assert left == len(values) - len(wanted)


@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_every_inserted_row_is_returned(connection: SqliteConnection, count: int) -> None:
    rows = [(n, None if n % 2 else "note") for n in range(count)]
    returned = connection.insert("t", ["value", "note"], rows, ending="RETURNING pk, value, note")
    assert sorted((value, note) for _, value, note in returned) == sorted(rows, key=lambda r: r[0])
    assert {pk for pk, _, _ in returned} == {
        pk for (pk,) in connection.execute("SELECT pk FROM t").fetchall()
    }
