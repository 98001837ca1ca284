import logging
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from typing import Self, TypeVar

import peewee

from semantic_core.database.marks import check_marks
from semantic_core.database.port import Connection
from semantic_core.database.sqlite.backup import back_up, remove_left_copies
from semantic_core.database.sqlite.connection import SqliteConnection
from semantic_core.database.sqlite.connections import Connections, Opened
from semantic_core.database.sqlite.engine import check_engine
from semantic_core.database.sqlite.failures import translated_errors
from semantic_core.database.sqlite.filters import register_functions
from semantic_core.database.sqlite.keywords import FullText
from semantic_core.database.sqlite.metadata import TaggedMetadata
from semantic_core.database.sqlite.place import Place
from semantic_core.database.sqlite.targets import (
    make_private_file,
    open_to_others,
    path_of,
    read_target,
)
from semantic_core.database.strategies import Keywords, MetadataIndex, VectorTables
from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.clock import Clock, SystemClock
from semantic_core.domain.errors import StorageError

_log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_BUSY_TIMEOUT = 10.0

# A 768-dimension vector wastes a quarter of a 4 KiB page; an existing file keeps its size.
PAGE_SIZE = 16_384

# KiB of pages that each connection, and so each thread, may keep in memory. SQLite's own 2,000 are
# 125 pages of this size: far fewer than a page of results changes, so that some are written twice.
CACHE_SIZE = 8_192

# Pages in the log before they are moved into the database (62 MiB; SQLite's own is a quarter of
# it): a page that several transactions change is moved once.
CHECKPOINT_PAGES = 4000


class Database:
    """A peewee database with what semcore asks of it.

    Connections are per thread. The object owns, and `close` closes, only what it opened: a
    ready peewee database that was passed in stays open. A process may fork while no call is
    running; parent and child then go on with connections of their own.

    Args:
        target: a path, a ``sqlite:///`` URL, a ``file:`` URI (``file:x.db?mode=ro`` opens read
            only), or a ready `peewee.SqliteDatabase`.
        busy_timeout: seconds to wait for another process's lock.

    Attributes:
        keywords: which chunks hold which words.
        metadata: which chunks have which metadata.

    Raises:
        UnsupportedDatabaseError: not SQLite, in memory, or in a folder that does not exist; or this
            Python's SQLite is too old.
        DatabaseReadOnlyError: the file does not exist and cannot be created.
    """

    keywords: Keywords = FullText()
    metadata: MetadataIndex = TaggedMetadata()
    vectors: VectorTables | None = None
    sessions: int | None = None

    def __init__(
        self,
        target: str | os.PathLike[str] | peewee.Database,
        *,
        busy_timeout: float = DEFAULT_BUSY_TIMEOUT,
    ) -> None:
        check_engine()
        self._busy_timeout = busy_timeout
        self._is_ours = not isinstance(target, peewee.Database)
        if isinstance(target, peewee.Database):
            self.path = path_of(target)
            self._place = Place(self.path, has_log=False)
            self._place.check_not_cut()
            self.peewee = target
            self._target: str | peewee.Database = target
        else:
            where = read_target(target)
            self.path = where.path
            self._place = Place(self.path, has_log=True)
            self._place.check_not_cut()
            make_private_file(where)
            self._target = where.uri
            self.peewee = peewee.SqliteDatabase(
                where.uri, timeout=busy_timeout, uri=True, check_same_thread=False
            )
        self.name = str(self.path)
        self._connections = Connections(are_ours=self._is_ours)
        # Of the same kind as what peewee keeps its connections in: one a greenlet, where gevent
        # was there before peewee, and gone with it.
        self._local = type(self.peewee._state)()  # type: ignore[attr-defined]  # noqa: SLF001  # not public
        self._is_closed = False

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...]]:
        """Pickle where the database is; whoever loads that opens it with connections of its own.

        Raises:
            StorageError: it is a ready peewee database, which nobody else could open.
        """
        if not self._is_ours:
            raise StorageError(
                f"{self!r} was given a ready peewee database, and cannot be sent to another process. "
                f"Open it there: PeeweeVectorStore({str(self.path)!r})."
            )
        return partial(type(self), busy_timeout=self._busy_timeout), (self._target,)

    def __deepcopy__(self, memo: object) -> Self:
        return type(self)(self._target, busy_timeout=self._busy_timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened and configured at the first call.

        Raises:
            StorageError: it cannot be opened; the subclass says why.
        """
        use = object()
        with translated_errors(self.path):
            try:
                self._connections.enter(use, self.path)
                return self._opened().connection
            finally:
                self._connections.leave(use)

    def transaction(
        self, *, ignores_marks: bool = False
    ) -> AbstractContextManager[SqliteConnection]:
        """Open a write transaction (BEGIN IMMEDIATE); commit at the end, roll back on any error.

        What it wrote is on disk when it ends, so it cannot be part of another transaction.

        Raises:
            StoreMovedError: the database was moved, or is not whole yet.
            StorageError: the subclass that says why the database could not do it.
        """
        return self._transaction("IMMEDIATE", ignores_marks=ignores_marks)

    def snapshot(self) -> AbstractContextManager[SqliteConnection]:
        """Open a read transaction, in which every statement sees the same state.

        Within a transaction it is that transaction's state.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        return self._transaction("DEFERRED")

    def save(self, work: Callable[[Connection, bool], T]) -> T:
        """Do work in a write transaction: on SQLite each is alone."""
        with self.transaction() as connection:
            return work(connection, True)  # a Callable has no keywords

    def number_on(self, connection: Connection) -> None:
        """Do nothing: SQLite counts on from the largest key."""

    def clock(self) -> Clock:
        """Return the machine's clock: all who work on a file are on one machine."""
        return SystemClock()

    @certain_exit
    def _transaction(self, kind: str, *, ignores_marks: bool = True) -> Generator[SqliteConnection]:
        # One generator with one `try`, since an interrupt may come between any two context managers.
        use = object()
        opened: Opened | None = None
        begun: sqlite3.Connection | None = None
        with translated_errors(self.path):
            try:
                self._connections.enter(use, self.path)
                opened = self._opened()
                if not opened.connection.in_transaction:
                    begun = opened.connection
                    # Not peewee's atomic(): when the disk is full SQLite rolls back by itself, and
                    # peewee's own ROLLBACK then fails with an error that hides the reason.
                    begun.execute(f"BEGIN {kind}")
                elif kind == "IMMEDIATE":
                    raise StorageError.within_transaction(self.path)  # noqa: TRY301  # where every step is undone
                if not ignores_marks:
                    check_marks(opened.port, self.name)
                yield opened.port
                if begun is not None:
                    begun.execute("COMMIT")
                    self._place.note_log(opened)
                    if kind == "IMMEDIATE":
                        # What went into a file without a name must not be called saved.
                        self._place.check(opened)
            except BaseException:
                if opened is not None:
                    opened.is_doubtful = True
                    opened.port.forget()
                raise
            finally:
                if begun is not None and begun.in_transaction:
                    begun.execute("ROLLBACK")
                self._connections.leave(use)

    def damage(self) -> list[str]:
        """Return what is wrong with the file, ten problems of a kind at most. Reads all of it.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        with self.snapshot() as connection:
            said = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
            broken = connection.execute("PRAGMA foreign_key_check").fetchmany(10)
        # Newer versions of SQLite look at the full-text index as well, which can be rebuilt.
        problems = [line for line in said if line != "ok" and "FTS5 table" not in line]
        return problems + [
            f"row {row[1]} of {row[0]} refers to no row of {row[2]}" for row in broken
        ]

    def back_up(self, path: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Copy it as it is at one moment; see ``PeeweeVectorStore.backup``."""
        back_up(self.snapshot, path, database=self.path, overwrite=overwrite)

    def look_around(self) -> None:
        """Warn of its files that others may write, and remove copies that killed backups left."""
        if others := open_to_others(self.path):
            _log.warning(
                "%s can be written by others than its owner: they could change what is found, and "
                "what is sent and paid for. chmod go-w, or `semcore doctor --fix`, ends that.",
                others[0],
            )
        remove_left_copies(self.path.parent)

    def use_write_ahead_log(self) -> None:
        """Let readers go on while one writes. Idempotent; lasts, since the file remembers it.

        Not done when connecting: nothing may change in a file that turns out not to be ours. A
        file that cannot be written, or a place where SQLite has no such log, stays as it is.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        use = object()
        with translated_errors(self.path):
            try:
                self._connections.enter(use, self.path)
                connection = self._opened().connection
                _use_write_ahead_log(connection, self._busy_timeout)
                if self._is_ours:
                    # SQLite has counted it in pages of the size that a new file had before.
                    _limit_cache(connection)
            finally:
                self._connections.leave(use)

    def close(self) -> None:
        """Close every connection this object opened, in whatever thread. Idempotent."""
        if self._is_closed or not self._is_ours:
            return
        self._is_closed = True
        if self._connections.is_unsafe:
            return
        self.peewee.close()
        self._connections.close()

    def _opened(self) -> Opened:
        """Return this thread's connection, or open it. Of each step the next call makes up."""
        if self._is_closed:
            raise StorageError.closed(self.path)
        opened: Opened | None = getattr(self._local, "opened", None)
        if opened is not None and opened.generation != self._connections.generation:
            # All were closed before a fork, in whatever thread.
            self._forget()
            opened = None
        self._place.check(opened)
        if opened is not None and opened.is_doubtful and self._is_ours and not _is_free(opened):
            self._forget()
            opened = None
        self.peewee.connect(reuse_if_open=True)
        connection: sqlite3.Connection = self.peewee.connection()  # type: ignore[no-untyped-call]
        if opened is None or opened.connection is not connection:
            opened = self._local.opened = self._connections.add(connection)
        if not opened.is_set_up:
            self._configure(connection)
            self._connections.set_up(opened)
        return opened

    def _forget(self) -> None:
        """Let this thread open another connection; the one that it had is closed by nobody else."""
        self.peewee._state.reset()  # type: ignore[attr-defined]  # noqa: SLF001  # peewee has no public way to forget a connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            raise StorageError(
                f"A transaction on {self.path} was open before semcore could set it up. Open the "
                "store outside of it."
            )
        if self._is_ours:
            # What a foreign file has in its tables' own expressions must not call what is registered
            # here. Both before SQLite reads the schema: it looks at that only once.
            connection.execute("PRAGMA trusted_schema = OFF")
        register_functions(connection)
        connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000)}")
        connection.execute("PRAGMA foreign_keys = ON")
        if self._is_ours:
            # Whoever passes a database in may have reasons of their own for other sizes.
            _limit_cache(connection)
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        # The claim, the intent to create and the job id decide about money: a power cut must
        # not take them back.
        connection.execute("PRAGMA synchronous = FULL")


def _is_free(opened: Opened) -> bool:
    """Return whether no statement is under way on a connection between two transactions.

    Whoever keeps the traceback of an error keeps the cursors in it. One that was not read to its
    end holds its snapshot: every later statement of the connection would see that old state.
    """
    try:
        # SQLite refuses to replace a function while any statement may call it.
        register_functions(opened.connection)
    except sqlite3.Error:
        return False
    opened.is_doubtful = False
    return True


def _limit_cache(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA cache_size = -{CACHE_SIZE}")


def _use_write_ahead_log(connection: sqlite3.Connection, patience: float) -> None:
    deadline = time.monotonic() + patience
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            # Before there is a table and before WAL: afterwards it can no longer change.
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            code = error.sqlite_errorcode & 0xFF
            if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
                return
            # SQLite does not call the busy handler for this switch.
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
