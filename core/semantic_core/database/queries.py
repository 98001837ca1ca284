"""Running what Peewee wrote, and reading one column."""

import json
from collections.abc import Iterable
from typing import Any

from semantic_core.database.port import Connection, Cursor, Values


def run(connection: Connection, query: Any, ending: str = "") -> Cursor:
    """Run a Peewee query of `tables.TABLES`; ``ending`` is SQL that Peewee has no word for."""
    sql, values = query.sql()
    return connection.execute(sql + ending, values)


def first_column(connection: Connection, sql: str, values: Values = ()) -> list[Any]:
    return [row[0] for row in connection.execute(sql, values)]


def first_value(connection: Connection, sql: str, values: Values = ()) -> Any:
    """Return the first value of the first row, which there must be."""
    return connection.execute(sql, values).fetchone()[0]


def json_set(values: Iterable[object]) -> str:
    """Return texts or numbers as the parameter of ``json_each``."""
    return json.dumps(list(values))
