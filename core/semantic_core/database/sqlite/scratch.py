import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from semantic_core.database.sqlite.failures import translated_errors


class Scratch:
    """A database in a file without a name, which goes with its connection. For one thread.

    Where there is no room for its tables, a StorageError says so.
    """

    def __init__(self, tables: str) -> None:
        self._folder = Path(tempfile.gettempdir())
        self._rows = sqlite3.connect("", isolation_level=None)
        with translated_errors(self._folder):
            self._rows.executescript(f"PRAGMA journal_mode = OFF; {tables} BEGIN;")

    def run(self, sql: str, *values: object) -> list[Any]:
        with translated_errors(self._folder):
            return self._rows.execute(sql, values).fetchall()

    def close(self) -> None:
        self._rows.close()
