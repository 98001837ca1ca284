"""A connection that takes the statements which SQLite takes, too.

What is written once for both databases stays once. Where PostgreSQL has no function of that name,
`schema.FUNCTIONS` makes one; where a word differs, it is replaced here, once a statement.
"""

import itertools
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Self

import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format
from psycopg.types.string import StrDumperUnknown

from semantic_core.database.port import Cursor, Values
from semantic_core.domain.pages import pages

# Names the advisory locks of semcore among those of other programs: "SEMC".
LOCK = 0x53454D43

# Rows that a statement which may give more than fits in memory fetches at a time.
_FETCHED = 2_000

_WORDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bIS NOT (?!NULL\b)"), "IS DISTINCT FROM "),
    (re.compile(r"\bIS (?!NOT\b|NULL\b|DISTINCT\b)"), "IS NOT DISTINCT FROM "),
    (re.compile(r"CAST\((coalesce\([^()]*\)) AS BLOB\)"), r"convert_to(\1, 'UTF8')"),
    # SQLite is told in which order to join, and to sort before it does.
    (re.compile(r"\bCROSS JOIN (?=\w+ \w+ ON)"), "JOIN "),
    (re.compile(r"/\* (FOR UPDATE) \*/"), r"\1"),
    (re.compile(r" LIMIT -1\b"), ""),
    # A state in a condition. The server has no statistics of an expression: of one that differs it
    # expects nearly all rows, and of such a function half, so it looks up the few that are asked for.
    # By those of an hour when nothing waited it would read all that waits, and so on, each time.
    (
        re.compile(r"\b(WHERE|AND|OR|NOT) ((?:\w+\.)?embedding_status) (?=(<>|=) ')"),
        r"\1 (\2 || '') ",
    ),
    (re.compile(r"\b(WHERE|AND|OR|NOT) ((?:\w+\.)?state = '\w+')"), r"\1 coalesce(\2, FALSE)"),
)

# Rows of one INSERT: with a vector each, what they take is memory that both sides keep at hand.
_INSERTED = 250

_numbers = itertools.count()

_PARTS = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|::|:([a-z_]\w*)|\?|%")


class PostgresConnection:
    """Runs statements in the transaction of one thread, in which the raw connection is."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw

    def execute(self, sql: str, parameters: Values = (), /) -> Cursor:
        return self.raw.execute(translated(sql), parameters)

    def executemany(self, sql: str, parameters: Iterable[Values], /) -> Cursor:
        cursor = self.raw.cursor()
        cursor.executemany(translated(sql), parameters)
        return cursor

    def insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, ending: str = ""
    ) -> list[Any]:
        """Insert rows in their order, in pages of binary arrays.

        They take no more than COPY into a temporary table, which would write to the catalogs each
        time, and would lose the order.
        """
        some = pages(rows, _INSERTED)
        return [row for page in some for row in self._insert(table, columns, page, ending)]

    def _insert(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], ending: str
    ) -> list[Any]:
        alike, arrays = _by_column(columns, rows)
        cursor = self.raw.execute(
            f"INSERT INTO {table} ({', '.join([*alike, *arrays])}) SELECT {'%b, ' * len(alike)}* "
            f"FROM unnest({', '.join(['%b'] * len(arrays))}) {translated(ending)}",
            [*alike.values(), *arrays.values()],
        )
        return cursor.fetchall() if cursor.description else []

    def update(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Update rows in pages of binary arrays, in half the time that row by row takes."""
        for page in pages(rows, _INSERTED):
            alike, arrays = _by_column(columns, page)
            key, *changed = arrays
            values = dict.fromkeys(columns[1:], "NULL") | dict.fromkeys(alike, "%b")
            values |= {name: f"new.{name}" for name in changed}
            self.raw.execute(
                f"UPDATE {table} AS old SET "
                f"{', '.join(f'{name} = {value}' for name, value in values.items())} "
                f"FROM unnest({', '.join(['%b'] * len(arrays))}) AS new ({', '.join(arrays)}) "
                f"WHERE old.{key} = new.{key}",
                [*alike.values(), *arrays.values()],
            )

    def stream(self, sql: str, parameters: Values = (), /) -> Iterator[Any]:
        """Run a statement whose rows may not all fit in memory."""
        # Named, so that the server keeps the rows; each by another name, as several may be open. The
        # end of the transaction closes it: whoever reads on no more may be long past that.
        name = f"semcore_{next(_numbers)}"
        self.raw.execute(f"DECLARE {name} NO SCROLL CURSOR FOR {translated(sql)}", parameters)
        while rows := self.raw.execute(f"FETCH {_FETCHED} FROM {name}").fetchall():
            yield from rows


def _by_column(
    columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return what all rows have alike, which is sent once, and the others as an array a column.

    The first column, which has values, is among the arrays: one tells how many rows there are. A
    column without a value is in neither: its array would be of an unknown type.
    """
    alike: dict[str, Any] = {}
    arrays: dict[str, list[Any]] = {}
    for name, values in zip(columns, zip(*rows, strict=True), strict=True):
        if name != columns[0] and values.count(values[0]) == len(rows):
            if values[0] is not None:
                alike[name] = values[0]
        else:
            arrays[name] = list(values)
    return alike, arrays


@lru_cache(maxsize=1_000)
def translated(sql: str) -> str:
    """Return a statement as psycopg takes it."""
    for pattern, replacement in _WORDS:
        sql = pattern.sub(replacement, sql)
    return _PARTS.sub(_part, sql)


def _part(found: re.Match[str]) -> str:
    name = found[1]
    if name is not None:
        return f"%({name})s"
    return "%s" if found[0] == "?" else found[0].replace("%", "%%")


class _NumericLoader(Loader):
    """PostgreSQL's sums of whole numbers are of a type that may hold more than 64 bits."""

    def load(self, data: bytes | bytearray | memoryview) -> int | float:
        text = bytes(data).decode()
        return float(text) if "." in text or text == "NaN" else int(text)


class TsVectors(bytes):
    """An array of tsvectors as it is sent."""

    @classmethod
    def of(cls, count: int, packed: bytes) -> Self:
        """Return an array of so many that are packed as they are sent, each with its size."""
        # One dimension without NULLs, which begins at 1.
        return cls(struct.pack(">iiiii", 1, 0, _TSVECTOR.oid, count, 1) + packed)


_TSVECTOR = psycopg.adapters.types["tsvector"]


class _TsVectorsDumper(Dumper):
    format = Format.BINARY
    oid = _TSVECTOR.array_oid

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class _StatusDumper(StrDumperUnknown):
    def dump(self, obj: Any) -> bytes | bytearray | memoryview | None:
        return super().dump(str(obj))


def adapt(connection: psycopg.Connection[Any]) -> None:
    """Let values of a connection be those that SQLite gives and takes."""
    connection.adapters.register_loader("numeric", _NumericLoader)
    connection.adapters.register_dumper(StrEnum, _StatusDumper)
    connection.adapters.register_dumper(TsVectors, _TsVectorsDumper)
    # A pooler gives out a number of its own, and may run the next transaction in another session,
    # which does not know what was prepared in this one.
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        connection.prepare_threshold = None
