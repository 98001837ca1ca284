"""Databases of either kind, for tests that say which one they want and how long they wait for it."""

from __future__ import annotations

from pathlib import Path

from semantic_core.database import Database as SqliteDatabase
from semantic_core.database.opening import is_on_server
from semantic_core.database.postgres.database import PostgresDatabase
from semantic_core.database.strategies import Database


def open_patiently(target: str | Path, seconds: float) -> Database:
    """Return a database that waits so long for another process's lock."""
    if is_on_server(target):
        return PostgresDatabase(str(target), patience=seconds)
    return SqliteDatabase(target, busy_timeout=seconds)
