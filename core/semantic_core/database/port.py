"""What everything above asks of a connection to a database."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Values = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    @property
    def rowcount(self) -> int:
        """Rows that were written: a guarded statement checks it."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> list[Any]:
        """Return all rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows that are left."""


class MustBeAloneError(Exception):
    """What is to be saved takes something away, which nobody may do beside others."""


class Connection(Protocol):
    """Runs statements. It belongs to one thread, and to the transaction it came from."""

    def execute(self, sql: str, parameters: Values = ..., /) -> Cursor:
        """Run one statement."""

    def executemany(self, sql: str, parameters: Iterable[Values], /) -> Cursor:
        """Run one statement for each of several rows."""

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, ending: str = ""
    ) -> list[Any]:
        """Insert rows; return what the statement's ending asks for with RETURNING, in no order.

        RETURNING takes bare columns: where the key is NOT NULL, SQLite 3.40 says of every other
        that it IS NOT NULL.
        """

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Give rows other values; the first column is their key, and none comes twice."""

    def stream(self, sql: str, parameters: Values = ..., /) -> Iterator[Any]:
        """Yield rows that may not all fit in memory; whoever has enough of them stops."""
