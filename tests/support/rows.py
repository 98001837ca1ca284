"""Statements on the database of a store, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from semantic_core.store import PeeweeVectorStore


def run_sql(store: PeeweeVectorStore, sql: str, values: Sequence[object] = ()) -> list[Any]:
    """Run a statement in a transaction of its own; return its rows, if it has any."""
    with store.database.transaction() as connection:
        cursor = connection.execute(sql, values)
        return cursor.fetchall() if cursor.description else []
