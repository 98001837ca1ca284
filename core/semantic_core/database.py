"""One SQLite database: opening it, one connection a thread, transactions, typed errors."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee
from playhouse.db_url import parse as parse_database_url

from semantic_core.errors import (
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseReadOnlyError,
    NotASemcoreDatabaseError,
    StorageError,
    StorageFullError,
    UnsupportedDatabaseError,
)
from semantic_core.filters import register_functions

DEFAULT_BUSY_TIMEOUT = 10.0

# A 768-dimension vector wastes a quarter of a 4 KiB page; an existing file keeps its size.
PAGE_SIZE = 16_384


class Database:
    """A peewee database with what semcore asks of it.

    Connections are per thread. The object owns, and `close` closes, only what it opened: a
    ready peewee database that was passed in stays open.

    Args:
        target: a path, a ``sqlite:///`` URL, a ``file:`` URI (``file:x.db?mode=ro`` opens read
            only), or a ready `peewee.SqliteDatabase`.
        busy_timeout: seconds to wait for another process's lock.

    Raises:
        UnsupportedDatabaseError: not SQLite, in memory, or in a folder that does not exist.
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
            if not isinstance(target, peewee.SqliteDatabase):
                raise UnsupportedDatabaseError(
                    f"{type(target).__name__} is not supported. Pass a SQLite path or database."
                )
            self.peewee = target
            name = str(target.database)
        else:
            name, is_uri = _file_name(target)
            if not is_uri:
                _make_private_file(Path(name))
            self.peewee = peewee.SqliteDatabase(
                name, timeout=busy_timeout, uri=is_uri, check_same_thread=False
            )
        self.path = _path_of(name)
        self._opened: list[tuple[int, sqlite3.Connection]] = []
        self._local = threading.local()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._is_closed = False

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, opened and configured at the first call."""
        if self._is_closed:
            raise StorageError(f"The store on {self.path} is closed. Open it again.")
        if os.getpid() != self._pid:
            self._start_over_after_fork()
        connection: sqlite3.Connection = self.peewee.connection()  # type: ignore[no-untyped-call]
        if getattr(self._local, "configured", None) is not connection:
            self._configure(connection)
            self._local.configured = connection
            if self._is_ours:
                with self._lock:
                    self._opened.append((self._pid, connection))
        return connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a write transaction (BEGIN IMMEDIATE); commit at the end, roll back on any error.

        Raises:
            StorageError: the subclass that says why the database could not do it.
        """
        with translated_errors(self.path):
            connection = self.connection()
            with self.peewee.atomic("IMMEDIATE"):
                yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Open a read transaction, in which every statement sees the same state."""
        with translated_errors(self.path):
            connection = self.connection()
            with self.peewee.atomic("DEFERRED"):
                yield connection

    def close(self) -> None:
        """Close every connection this object opened, in whatever thread. Idempotent."""
        if self._is_closed or not self._is_ours:
            return
        self._is_closed = True
        if os.getpid() == self._pid and not self.peewee.is_closed():
            self.peewee.close()
        with self._lock:
            for pid, connection in self._opened:
                if pid == os.getpid():
                    connection.close()
            self._opened.clear()

    def _configure(self, connection: sqlite3.Connection) -> None:
        with translated_errors(self.path):
            connection.execute(f"PRAGMA busy_timeout = {int(self._busy_timeout * 1000)}")
            connection.execute("PRAGMA foreign_keys = ON")
            # The claim, the intent to create and the job id decide about money: a power cut
            # must not take them back.
            connection.execute("PRAGMA synchronous = FULL")
            register_functions(connection)
            _use_write_ahead_log(connection, self._busy_timeout)

    def _start_over_after_fork(self) -> None:
        # SQLite forbids using, and even closing, a parent's connection in its child: keep the
        # objects alive and open new ones.
        self._inherited = self._opened
        self._opened = []
        self._local = threading.local()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self.peewee._state.reset()  # type: ignore[attr-defined]  # noqa: SLF001  # peewee has no public way to forget a connection


def _file_name(target: str | os.PathLike[str]) -> tuple[str, bool]:
    text = os.fspath(target)
    if "://" in text and not text.startswith("file:"):
        settings = parse_database_url(text)
        if not text.startswith("sqlite:"):
            raise UnsupportedDatabaseError(
                f"{text.split(':', 1)[0]} databases are not supported. Pass a SQLite path."
            )
        text = str(settings["database"])
    if text in ("", ":memory:") or "mode=memory" in text:
        raise UnsupportedDatabaseError(
            "An in-memory database cannot be used: each thread would see another, empty one. "
            "Pass the path of a file."
        )
    return text, text.startswith("file:")


def _make_private_file(path: Path) -> None:
    """Create a new database file that only its owner can read: it will hold the user's text."""
    if not path.parent.is_dir():
        raise UnsupportedDatabaseError(
            f"The folder {path.parent} does not exist. Create it, or choose another path."
        )
    if path.is_dir():
        raise UnsupportedDatabaseError(f"{path} is a folder. Pass the path of a file.")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise DatabaseReadOnlyError(
            f"Cannot create {path}: {error.strerror}. Check the permissions of its folder."
        ) from error


def _path_of(name: str) -> Path:
    if name.startswith("file:"):
        name = name.removeprefix("file:").split("?", 1)[0]
        if name.startswith("//"):
            name = "/" + name.lstrip("/")
    return Path(name)


def _use_write_ahead_log(connection: sqlite3.Connection, patience: float) -> None:
    """Switch a new file to WAL; a read-only one stays as it is."""
    deadline = time.monotonic() + patience
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            # page_size first: in WAL mode it can no longer change.
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


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors, raw or wrapped by peewee, into semcore's typed ones."""
    try:
        yield
    except (sqlite3.Error, peewee.DatabaseError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__ or error.__context__
        typed = _typed(cause if isinstance(cause, BaseException) else error, path)
        if typed is None:
            raise
        raise typed from error


def _typed(error: BaseException, path: Path) -> StorageError | None:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code not in _ERRORS:
        return None
    kind, message = _ERRORS[code]
    return kind(message.format(path=path, error=error))


_BUSY = (
    DatabaseBusyError,
    "Another process kept {path} locked for too long. Nothing was changed; try again.",
)
_READ_ONLY = (
    DatabaseReadOnlyError,
    "{path} cannot be written ({error}). Check the permissions of the file and its folder.",
)
_ERRORS: dict[int, tuple[type[StorageError], str]] = {
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_FULL: (
        StorageFullError,
        "No room left to write {path}. Nothing of this step was kept; free some room, call again.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        DatabaseCorruptError,
        "{path} is damaged ({error}). Keep the file, restore a backup, do not write to it.",
    ),
    sqlite3.SQLITE_NOTADB: (
        NotASemcoreDatabaseError,
        "{path} is not a SQLite database. Choose another path; nothing was changed in it.",
    ),
    sqlite3.SQLITE_IOERR: (
        StorageError,
        "Reading or writing {path} failed ({error}). Check the disk; nothing of this step was kept.",
    ),
}
