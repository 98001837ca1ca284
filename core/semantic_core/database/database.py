"""Database: one connection a thread, transactions, typed errors."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import peewee

from semantic_core.database.connections import Connections
from semantic_core.database.failures import translated_errors
from semantic_core.database.targets import make_private_file, path_of, read_target
from semantic_core.errors import StorageError
from semantic_core.filters import register_functions

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

    Raises:
        UnsupportedDatabaseError: not SQLite, in memory, or in a folder that does not exist.
        DatabaseReadOnlyError: the file does not exist and cannot be created.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | peewee.SqliteDatabase,
        *,
        busy_timeout: float = DEFAULT_BUSY_TIMEOUT,
    ) -> None:
        self._busy_timeout = busy_timeout
        self._is_ours = not isinstance(target, peewee.Database)
        if isinstance(target, peewee.Database):
            self.path = path_of(target)
            self.peewee = target
        else:
            place = read_target(target)
            make_private_file(place)
            self.path = place.path
            self.peewee = peewee.SqliteDatabase(
                place.name, timeout=busy_timeout, uri=place.is_uri, check_same_thread=False
            )
        self._connections = Connections(are_ours=self._is_ours)
        self._local = threading.local()
        self._is_closed = False

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened and configured at the first call.

        Raises:
            StorageError: it cannot be opened; the subclass says why.
        """
        with translated_errors(self.path), self._connections.in_use(self.path):
            if self._is_closed:
                raise StorageError(f"The store on {self.path} is closed. Open it again.")
            generation = self._connections.generation
            if getattr(self._local, "generation", generation) != generation:
                # They were closed before a fork, in whatever thread.
                self.peewee._state.reset()  # type: ignore[attr-defined]  # noqa: SLF001  # peewee has no public way to forget a connection
            self._local.generation = generation
            self.peewee.connect(reuse_if_open=True)
            connection: sqlite3.Connection = self.peewee.connection()  # type: ignore[no-untyped-call]
            if getattr(self._local, "configured", None) is not connection:
                self._connections.add(connection)
                self._configure(connection)
                self._local.configured = connection
            return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a write transaction (BEGIN IMMEDIATE); commit at the end, roll back on any error.

        What it wrote is on disk when it ends, so it cannot be part of another transaction.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        with translated_errors(self.path), self._connections.in_use(self.path):
            connection = self.connection()
            if connection.in_transaction:
                raise StorageError(
                    f"A transaction on {self.path} is open in this thread. Call semcore outside "
                    "of it: what semcore writes must be on disk before it goes on."
                )
            with _begun(connection, "IMMEDIATE"):
                yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Open a read transaction, in which every statement sees the same state.

        Within a transaction it is that transaction's state.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        with translated_errors(self.path), self._connections.in_use(self.path):
            connection = self.connection()
            if connection.in_transaction:
                yield connection
                return
            with _begun(connection, "DEFERRED"):
                yield connection

    def use_write_ahead_log(self) -> None:
        """Let readers go on while one writes. Idempotent; lasts, since the file remembers it.

        Not done when connecting: nothing may change in a file that turns out not to be ours. A
        file that cannot be written, or a place where SQLite has no such log, stays as it is.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        with translated_errors(self.path), self._connections.in_use(self.path):
            connection = self.connection()
            _use_write_ahead_log(connection, self._busy_timeout)
            if self._is_ours:
                # SQLite has counted it in pages of the size that a new file had before.
                _limit_cache(connection)

    def close(self) -> None:
        """Close every connection this object opened, in whatever thread. Idempotent."""
        if self._is_closed or not self._is_ours:
            return
        self._is_closed = True
        if self._connections.is_unsafe:
            return
        self.peewee.close()
        self._connections.close()

    def _configure(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            raise StorageError(
                f"A transaction on {self.path} was open before semcore could set it up. Open the "
                "store outside of it."
            )
        connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000)}")
        connection.execute("PRAGMA foreign_keys = ON")
        if self._is_ours:
            # Whoever passes a database in may have reasons of their own for other sizes.
            _limit_cache(connection)
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        # The claim, the intent to create and the job id decide about money: a power cut must
        # not take them back.
        connection.execute("PRAGMA synchronous = FULL")
        register_functions(connection)


@contextmanager
def _begun(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Run one transaction."""
    # Not peewee's atomic(): when the disk is full SQLite rolls back by itself, and peewee's own
    # ROLLBACK then fails with an error that hides the reason.
    try:
        connection.execute(f"BEGIN {kind}")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


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
