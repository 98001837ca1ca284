"""Whether a path still names the file that was opened there.

SQLite goes on writing to a file that has no name any more, and calls that success.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from semantic_core.database.sqlite.connections import Opened
from semantic_core.domain.errors import DatabaseCorruptError, DatabaseMovedError


class Place:
    """One database file by its path, where a symbolic link is followed anew each time.

    Each check costs a few microseconds. The log is not looked at where others may end its use.
    """

    def __init__(self, path: Path, *, has_log: bool) -> None:
        self._path = path
        self._has_log = has_log
        self._log = Path(f"{path}-wal")
        self._file: tuple[int, int] | None = None
        self._size = 0

    def check_not_cut(self) -> None:
        """Check, before anything opens it, that it is no remains of a database.

        A log with changes, and nothing that they belong to, raises `DatabaseCorruptError`.
        """
        # The log first: a process that makes a database writes the file before there is a log.
        log = _status(self._log)
        if log is None or not log.st_size:
            return
        file = _status(self._path)
        if file is None or not file.st_size:
            raise DatabaseCorruptError(
                f"{self._path} is {'empty' if file else 'gone'}, although its log {self._log} holds "
                "changes, which SQLite would throw away. Restore a backup; to begin with an empty "
                "database, move the log away. Nothing was changed."
            )

    def check(self, opened: Opened | None) -> None:
        """Check that it is there, the same file as ever, and not cut; nor is a connection's log.

        Raises:
            DatabaseMovedError: it is not, or its log is not.
            DatabaseCorruptError: it has been cut.
        """
        status = _status(self._path)
        if status is None:
            if self._file is None:
                return  # never seen: SQLite says what it makes of it
            raise self._moved("was deleted or renamed")
        if self._file is None:
            self._file = _identity(status)
        if _identity(status) != self._file:
            raise self._moved("was replaced by another file")
        if status.st_size < self._size:
            self._check_whole(status.st_size)
        self._size = status.st_size
        if opened is not None and opened.log is not None:
            log = _status(self._log)
            if log is None or _identity(log) != opened.log:
                raise DatabaseMovedError(
                    f"The log {self._log} was deleted, renamed or replaced while it was in use. "
                    "Nothing of this step was accepted. Close the store: that brings what was "
                    "saved before into the database. Then open it again."
                )

    def note_log(self, opened: Opened) -> None:
        """Note which log a connection uses, once it has read or written."""
        if self._has_log and opened.log is None and (status := _status(self._log)):
            opened.log = _identity(status)

    def _check_whole(self, size: int) -> None:
        # Another program may have made it smaller by VACUUM.
        problem = f"{size} bytes are left" if not size else None
        try:
            if problem is None:
                uri = f"file:{quote(os.fsencode(self._path))}?mode=ro"
                with closing(sqlite3.connect(uri, uri=True)) as connection:
                    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                problem = None if answer == "ok" else str(answer)
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem is not None:
            raise DatabaseCorruptError(
                f"{self._path} was cut off while it was open ({problem}). Nothing of this step was "
                "accepted. Keep the file and its log, restore a backup."
            )

    def _moved(self, what: str) -> DatabaseMovedError:
        return DatabaseMovedError(
            f"{self._path} {what} while it was open. Nothing of this step was accepted. Put the "
            "file back and go on, or close the store and open it again."
        )


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116  # for every transaction, and a third faster
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
