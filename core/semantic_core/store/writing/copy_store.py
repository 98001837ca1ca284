"""Moving a store to another database, page by page, so that at no moment both may send.

First the target is marked, then the source, and both marks are on disk before a row is copied. The
target sends nothing until it has all rows, and the source never again. Where the copy is stands in
the target, in the same transaction as the rows, so that whoever asks again goes on from there.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import peewee

from semantic_core.database.marks import (
    ARRIVED_UP_TO,
    ARRIVING_FROM,
    MOVED_TO,
    check_marks,
    read_marks,
)
from semantic_core.database.port import Connection
from semantic_core.database.schema import database_uuid, write_meta
from semantic_core.database.strategies import Database
from semantic_core.database.tables import TABLES
from semantic_core.domain.errors import DatabaseBusyError, InvalidInputError
from semantic_core.domain.pages import PAGE
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.keywords import Said, read_languages
from semantic_core.queue.changes import note_changed
from semantic_core.queue.counts import ChunkState, count_changes, read_counts, waiting_moves
from semantic_core.store.base import BaseVectorStore

# What follows from other rows, and claims of calls that have ended.
_NOT_COPIED = (
    *(TABLES.MetaModel, TABLES.ChunkCountModel, TABLES.WaitingCountModel),
    TABLES.LiveClaimModel,
)

# Of the meta table, what each database has of its own.
_OWN = ("schema_version", "database_uuid", MOVED_TO, ARRIVING_FROM, ARRIVED_UP_TO)

_CHUNKS = "chunks"

# Rows of tables with pictures in them that are held at once.
_PAGES = {"media": 10}


def copy_store(
    source: BaseVectorStore,
    target: BaseVectorStore,
    *,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Move a store to another database: SQLite's or PostgreSQL's, in either direction.

    Everything goes along: chunks, vectors, batch jobs, those that are open as well, and what was
    tried and paid for, so nothing is paid for again. From the first moment the source takes
    nothing new and sends nothing; it can be searched as before. Each page of 1,000 rows is a
    transaction. After an interrupt or a crash the same call goes on where it was, and where
    everything is copied it does nothing.

    Args:
        source: what to move.
        target: a store on a new database, or on one that holds a part of this copy.
        progress: is given after each step how many rows this call has copied.

    Returns:
        How many chunks the target has.

    Raises:
        StoreMovedError: the source was moved to another database, or is not whole itself.
        InvalidInputError: the target holds something else; nothing was changed.
        DatabaseBusyError: texts are being embedded live, or another process copies as well.
        StorageError: the subclass that says which database could not do it, and why.
    """
    report = progress or (lambda _: None)
    if _may_begin(source.database, target.database):
        _mark_target(source.database, target.database)
        report(0)
        _mark_source(source, target.database)
        copied = 0
        report(copied)
        while (stands := _stands(target.database)) is not None:
            copied += _copy_page(source.database, target.database, stands)
            report(copied)
    with target.database.snapshot() as connection:
        return sum(read_counts(connection, None).values())


def _may_begin(source: Database, target: Database) -> bool:
    with source.snapshot() as here, target.snapshot() as there:
        if database_uuid(here) == database_uuid(there):
            raise InvalidInputError(
                f"{source.name} and {target.name} are the same database, or one is a backup of the "
                "other. Copy into a new database. Nothing was changed."
            )
        is_marked = _leads_to(here, source.name, there)
        return not is_marked or ARRIVING_FROM in read_marks(there)


def _leads_to(here: Connection, name: str, there: Connection) -> bool:
    """Return whether a source is marked as moved to this target; to another is an error."""
    moved_to = read_marks(here).get(MOVED_TO, "")
    if moved_to.startswith(str(database_uuid(there))):
        return True
    check_marks(here, name)
    return False


def _mark_target(source: Database, target: Database) -> None:
    """Let the target wait for rows of this source, and of no other."""
    with source.snapshot() as here:
        value = f"{database_uuid(here)} {source.name}"
    with target.transaction(ignores_marks=True) as there:
        marks = read_marks(there)
        if marks.get(ARRIVING_FROM, "").startswith(value.partition(" ")[0]):
            return
        check_marks(there, target.name)
        for table in _tables():
            if there.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is not None:
                raise InvalidInputError(
                    f"{target.name} is in use already: its table {table.name} has rows. Copy into "
                    "a new database. Nothing was changed."
                )
        there.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?)",
            [(ARRIVING_FROM, value), (ARRIVED_UP_TO, json.dumps([_tables()[0].name]))],
        )


def _mark_source(source: BaseVectorStore, target: Database) -> None:
    """Let the source send nothing from now on."""
    database = source.database
    with target.snapshot() as there, database.transaction(ignores_marks=True) as here:
        if _leads_to(here, database.name, there):
            return
        (until,) = here.execute("SELECT max(lease_until) FROM live_claims").fetchone()
        if until is not None and until > source.clock.now():
            raise DatabaseBusyError(
                f"Texts of {database.name} are being embedded live, and their vectors would be paid "
                f"for again. Try again in {until - source.clock.now():.0f} s, or when the process "
                "that embeds them has ended. Nothing was copied."
            )
        here.execute(
            "INSERT INTO meta (key, value) VALUES (?, ?)",
            (MOVED_TO, f"{database_uuid(there)} {target.name}"),
        )


def _stands(target: Database) -> str | None:
    """Return up to which row the copy has come; None at its end."""
    with target.snapshot() as there:
        return read_marks(there).get(ARRIVED_UP_TO)


def _copy_page(source: Database, target: Database, stands: str) -> int:
    """Copy the rows after those that the target has; return how many they were."""
    name, *after = json.loads(stands)
    tables = _tables()
    place = next(place for place, table in enumerate(tables) if table.name == name)
    table = tables[place]
    with source.snapshot() as here:
        rows = table.read(here, after)
        facts = here.execute("SELECT key, value FROM meta").fetchall()
    goes_on = None
    if len(rows) == table.page:
        goes_on = json.dumps([name, *table.key_of(rows[-1])])
    elif place + 1 < len(tables):
        goes_on = json.dumps([tables[place + 1].name])
    named = [dict(zip(table.columns, row, strict=True)) for row in rows] if name == _CHUNKS else []
    waiting = {
        row["content_id"]
        for row in named
        if row["embedding_status"] == EmbeddingStatus.PENDING and row["batch_job_id"] is None
    }
    with target.transaction(ignores_marks=True) as there:
        # First of all: whoever comes second changes no row, and finds none that is there already.
        _pass_on(there, target.name, stands, goes_on)
        with waiting_moves(there, waiting):
            there.insert(name, table.columns, [table.fit(row) for row in rows])
        if named:
            _follow(target, there, named)
        if goes_on is None:
            _finish(target, there, [fact for fact in facts if fact[0] not in _OWN])
    return len(rows)


def _pass_on(connection: Connection, name: str, stands: str, goes_on: str | None) -> None:
    """Note where the copy goes on, if nobody has done so since."""
    noted = connection.execute(
        "UPDATE meta SET value = ? WHERE key = ? AND value = ?",
        (goes_on or "", ARRIVED_UP_TO, stands),
    )
    if noted.rowcount != 1:
        raise DatabaseBusyError(
            f"Another process copies into {name} as well, and is ahead. Let it go on, or run this "
            "again when it has ended. Nothing is copied twice."
        )


def _follow(database: Database, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Bring in step what follows from new chunks."""
    languages = {
        pk: read_languages(names)
        for pk, names in connection.execute("SELECT id, languages FROM collections")
    }
    database.keywords.add(
        connection,
        [
            Said.of(
                *(row[name] for name in ("pk", "text", "vector_source", "media")),
                languages=languages[row["collection_id"]],
            )
            for row in rows
        ],
    )
    database.metadata.add(connection, [row["pk"] for row in rows])
    states = Counter(
        ChunkState(
            row["collection_id"],
            EmbeddingStatus.read(row["embedding_status"]),
            row["embedding_id"] is not None,
        )
        for row in rows
    )
    count_changes(connection, states)
    # It may be searched already, and indexes in memory follow these.
    served = [row for row in rows if row["embedding_id"] is not None]
    note_changed(connection, [(row["collection_id"], row["pk"]) for row in served])


def _finish(database: Database, connection: Connection, facts: Sequence[tuple[str, str]]) -> None:
    """Let the target be used: under the names by which the provider knows its jobs and keys."""
    write_meta(connection, dict(facts))
    database.number_on(connection)
    connection.execute("DELETE FROM meta WHERE key IN (?, ?)", (ARRIVING_FROM, ARRIVED_UP_TO))


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of both databases; ``flags`` are its columns that SQLite keeps as numbers."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    flags: frozenset[str]

    @classmethod
    def of(cls, model: Any) -> Self:
        meta = model._meta  # noqa: SLF001  # peewee's documented place for it
        fields = meta.sorted_fields
        return cls(
            meta.table_name,
            tuple(field.column_name for field in fields),
            tuple(field.column_name for field in meta.get_primary_keys()),
            frozenset(one.column_name for one in fields if isinstance(one, peewee.BooleanField)),
        )

    @property
    def page(self) -> int:
        """How many of its rows are held at once."""
        return _PAGES.get(self.name, PAGE)

    def read(self, connection: Connection, after: Sequence[object]) -> list[Sequence[Any]]:
        """Return the rows that come after a key, or the first ones, a page at most."""
        key = ", ".join(self.key)
        beyond = f"WHERE ({key}) > ({', '.join('?' * len(after))})" if after else ""
        return connection.execute(
            f"SELECT {', '.join(self.columns)} FROM {self.name} {beyond} ORDER BY {key} LIMIT ?",
            (*after, self.page),
        ).fetchall()

    def key_of(self, row: Sequence[Any]) -> list[Any]:
        return [row[self.columns.index(name)] for name in self.key]

    def fit(self, row: Sequence[Any]) -> list[Any]:
        return [
            bool(value) if name in self.flags and value is not None else value
            for name, value in zip(self.columns, row, strict=True)
        ]


@cache
def _tables() -> tuple[_Table, ...]:
    """Return what is copied, referenced tables first."""
    return tuple(_Table.of(model) for model in TABLES.all() if model not in _NOT_COPIED)
