import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peewee

from semantic_core.domain.errors import (
    DatabaseBusyError,
    DatabaseCorruptError,
    DatabaseReadOnlyError,
    InvalidInputError,
    InvalidTextError,
    NotASemcoreDatabaseError,
    StorageError,
    StorageFullError,
)

# What the system says where a process, or all of them, have as many files open as they may.
NO_HANDLES = (errno.EMFILE, errno.ENFILE)


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors, raw or wrapped by peewee, into semcore's typed ones."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidTextError.unstorable(error) from error
    except OverflowError as error:
        raise InvalidInputError(
            f"A number does not fit into 64 bits ({error}). Nothing was changed."
        ) from error
    except UnicodeDecodeError as error:
        # What SQLite says of a damaged schema holds the damage.
        raise DatabaseCorruptError.unreadable(str(path), error) from error
    except (sqlite3.Error, peewee.DatabaseError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__ or error.__context__
        typed = _typed(cause if isinstance(cause, BaseException) else error, path)
        if typed is None:
            raise
        raise typed from error


def _typed(error: BaseException, path: Path) -> StorageError | InvalidInputError | None:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code == sqlite3.SQLITE_MISMATCH or "rror binding parameter" in str(error):
        return InvalidInputError(f"An argument is of a type that does not fit ({error}).")
    if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
        return StorageError(f"The store on {path} was closed while it was in use. Open it again.")
    if isinstance(error, sqlite3.OperationalError) and "Could not decode" in str(error):
        return DatabaseCorruptError.unreadable(str(path), error)
    if code not in _ERRORS:
        return None
    if code == sqlite3.SQLITE_CANTOPEN and (refusal := _refusal_to_open()):
        return StorageError(f"{path} cannot be opened: {no_handles(refusal)}")
    kind, message = _ERRORS[code]
    typed = kind(message.format(path=path, error=error))
    if code == sqlite3.SQLITE_CONSTRAINT and isinstance(typed, DatabaseCorruptError):
        typed.broken_rule = str(error)
    return typed


def no_handles(error: OSError) -> str:
    """Say that there are too many open files, and what to do then."""
    return (
        f"{error.strerror}. Nothing was changed. Close stores and files that are no longer needed, "
        "or raise the limit (ulimit -n)."
    )


def _refusal_to_open() -> OSError | None:
    """Return the system's error if no file at all can be opened; SQLite does not hand it on."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error if error.errno in NO_HANDLES else None
    return None


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
    sqlite3.SQLITE_PROTOCOL: _BUSY,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: (
        DatabaseReadOnlyError,
        "{path} cannot be opened ({error}). Check that it exists and that you may read its folder.",
    ),
    sqlite3.SQLITE_FULL: (
        StorageFullError,
        "No room left to write {path}. Nothing of this step was kept; free some room, call again.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        DatabaseCorruptError,
        "{path} is damaged ({error}). Keep the file, restore a backup, do not write to it.",
    ),
    # What is asked is fixed and tested: where it makes no sense, the tables are not as they were.
    sqlite3.SQLITE_ERROR: (
        DatabaseCorruptError,
        "{path} is damaged, or another program changed it ({error}). Keep it, restore a backup.",
    ),
    # No step of ours breaks a rule of the tables: rows must contradict each other already.
    sqlite3.SQLITE_CONSTRAINT: (
        DatabaseCorruptError,
        (
            "{path} refuses what its own rules forbid ({error}): its rows are damaged, or another "
            "program changed them. Nothing of this step was kept; `semcore doctor` says what is wrong."
        ),
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
