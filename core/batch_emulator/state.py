"""The emulator's memory: one SQLite file that survives kill -9 between any two requests."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from batch_emulator.errors import EmulatorError

# Marks the file as an emulator's, so that no database of a user is ever written to by mistake.
_APPLICATION_ID = 0x53454D55
_VERSION = 2

_TABLES = """
CREATE TABLE files (
    name TEXT PRIMARY KEY, project TEXT NOT NULL, display_name TEXT, mime_type TEXT,
    size INTEGER NOT NULL, sha256 TEXT NOT NULL, source TEXT NOT NULL, content INTEGER NOT NULL,
    created_at REAL NOT NULL, expires_at REAL NOT NULL
) STRICT;
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, display_name TEXT,
    mime_type TEXT, declared_size INTEGER, received INTEGER NOT NULL DEFAULT 0,
    is_final INTEGER NOT NULL DEFAULT 0, content INTEGER NOT NULL
) STRICT;
CREATE TABLE contents (id INTEGER PRIMARY KEY AUTOINCREMENT) STRICT;
CREATE TABLE parts (
    content INTEGER NOT NULL, start INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (content, start)
) STRICT;
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, project TEXT NOT NULL,
    model TEXT NOT NULL, display_name TEXT, input_file TEXT, content INTEGER NOT NULL,
    request_count INTEGER NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL,
    updated_at REAL NOT NULL, ended_at REAL, hidden_until REAL NOT NULL DEFAULT 0,
    label TEXT, spelling TEXT,
    succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    error_code INTEGER, error_message TEXT, result_file TEXT,
    is_downloaded INTEGER NOT NULL DEFAULT 0, is_deleted INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, text_sha256 TEXT NOT NULL,
    model TEXT NOT NULL, dimensions INTEGER NOT NULL, task_type TEXT, tokens INTEGER NOT NULL,
    media_tokens INTEGER NOT NULL,
    job TEXT, line INTEGER, submitted_at REAL NOT NULL, billed_at REAL,
    is_lost INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX ledger_job ON ledger (job, line);
CREATE TABLE faults (id INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL) STRICT;
CREATE TABLE fault_matches (
    fault INTEGER NOT NULL REFERENCES faults ON DELETE CASCADE, number INTEGER NOT NULL,
    subject TEXT NOT NULL, PRIMARY KEY (fault, number), UNIQUE (fault, subject)
) STRICT;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    operation TEXT, project TEXT, outcome TEXT
) STRICT;
CREATE TABLE violations (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE TABLE revoked_keys (fingerprint TEXT PRIMARY KEY, code INTEGER NOT NULL) STRICT;
"""


class State:
    """A connection to the state file, shared by all threads one transaction at a time.

    Several processes may have the same file open: a test can read the ledger of a server that
    runs elsewhere, and give it faults.

    Args:
        path: the state file; created if it does not exist.

    Raises:
        EmulatorError: the file is something else, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._is_closed = False
        # It holds uploaded texts. An existing file stays as it is.
        with suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            self._connection = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise EmulatorError(
                f"The emulator cannot open its state file {path} ({error}). Choose another path."
            ) from error
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a write transaction; committed, and so safe from kill -9, when the block ends."""
        with self._lock:
            connection = self._open_connection()
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._lock:
            return self._open_connection().execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        with self._lock:
            found: sqlite3.Row | None = self._open_connection().execute(sql, values).fetchone()
            return found

    def _open_connection(self) -> sqlite3.Connection:
        if self._is_closed:
            raise EmulatorError(
                f"The emulator on {self.path} was stopped. Read it before stop(), or open the "
                "file with a new Emulator."
            )
        return self._connection

    def _prepare(self) -> None:
        try:
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA busy_timeout = 30000")
            self._connection.execute("PRAGMA foreign_keys = ON")
            with self.transaction() as connection:
                self._create_or_check(connection)
            self._connection.execute("PRAGMA journal_mode = WAL")
            # A killed process loses nothing in WAL mode; a power cut may, and need not matter.
            self._connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.DatabaseError as error:
            raise EmulatorError(
                f"{self.path} cannot be used as the emulator's state file ({error}). "
                "Choose another path; nothing was changed in it."
            ) from error

    def _create_or_check(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        is_empty = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if is_empty and not application:
            for statement in _TABLES.strip().split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif application != _APPLICATION_ID:
            raise EmulatorError(
                f"{self.path} is not a state file of the emulator. Choose another path; nothing "
                "was changed in it."
            )
        elif version != _VERSION:
            raise EmulatorError(
                f"{self.path} was written by another version of the emulator ({version}, this is "
                f"{_VERSION}). Choose another path."
            )
