import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from semantic_core.database.port import Connection, Values
from semantic_core.domain.pages import pages
from semantic_core.vector_index import Ids

# Rows of one INSERT: more are no faster, and SQLite takes 32,766 values.
_INSERTED = 100

# Row keys that a connection keeps in memory, of all lists together: 8 MiB.
_MOST_KEPT = 2**20


class SqliteConnection:
    """Runs statements on the raw connection; see `semantic_core.database.port.Connection`."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw
        self.execute = raw.execute
        self.executemany = raw.executemany
        self._kept: dict[tuple[str, Sequence[object]], Ids] = {}
        self._kept_of: tuple[int, int] | None = None

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, ending: str = ""
    ) -> list[Any]:
        """Insert rows as fast as ``executemany``, which returns nothing."""
        returned: list[Any] = []
        row = f"({', '.join('?' * len(columns))})"
        for page in pages(rows, _INSERTED):
            returned += self.raw.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * len(page))} "
                f"{ending}",
                list(chain.from_iterable(page)),
            ).fetchall()
        return returned

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        changes = ", ".join(f"{name} = ?" for name in columns[1:])
        self.raw.executemany(
            f"UPDATE {table} SET {changes} WHERE {columns[0]} = ?",
            [(*values, key) for key, *values in rows],
        )

    def kept(self, sql: str, values: Sequence[object], read: Callable[[], Ids]) -> Ids:
        """Return the row keys that a statement gave before, where nothing was written since.

        SQLite says whether others have committed anything, and how many rows were changed here. A
        change that is taken back is not seen by that: whoever does so must `forget` them.
        """
        (version,) = self.raw.execute("PRAGMA data_version").fetchone()
        if self._kept_of != (version, self.raw.total_changes):
            self.forget()
            self._kept_of = version, self.raw.total_changes
        found = self._kept.get((sql, values))
        if found is None:
            found = read()
            if sum(map(len, self._kept.values())) + len(found) > _MOST_KEPT:
                self._kept.clear()
            if len(found) <= _MOST_KEPT:
                self._kept[sql, values] = found
        return found

    def forget(self) -> None:
        self._kept.clear()

    def stream(self, sql: str, parameters: Values = (), /) -> Iterator[Any]:
        """Yield rows: a cursor of SQLite reads as it goes."""
        return iter(self.raw.execute(sql, parameters))


@contextmanager
def any_text(connection: Connection, errors: str = "surrogateescape") -> Iterator[None]:
    """Read text that is no UTF-8 as well; by default with lone surrogates for what is not.

    Otherwise one damaged byte makes every row of a statement unreadable.
    """
    if not isinstance(connection, SqliteConnection):
        yield  # others take nothing in that is no UTF-8
        return
    raw = connection.raw
    factory = raw.text_factory
    raw.text_factory = lambda data: data.decode("utf-8", errors)
    try:
        yield
    finally:
        raw.text_factory = factory
