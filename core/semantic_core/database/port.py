"""What everything above asks of a database: a connection, a transaction, a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Values = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """Rows that were written: a guarded statement checks it."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchmany(self, size: int, /) -> list[Any]:
        """Return so many rows at most."""

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""


class Connection(Protocol):
    """Runs statements. It belongs to one thread, and to the transaction it came from."""

    def execute(self, sql: str, parameters: Values = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Values], /) -> Cursor:
        """Run one statement for each of several rows."""


class Transactions(Protocol):
    """Opens transactions."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Open a write transaction; what it wrote is on disk when it ends."""

    def snapshot(self) -> AbstractContextManager[Connection]:
        """Open a read transaction, in which every statement sees the same state."""
