"""A copy of the whole database while others work on it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from semantic_core.database import Database
from semantic_core.database.failures import translated_errors
from semantic_core.errors import StorageError, StorageFullError

_FULL = "No room left to write the backup {path}. Nothing of it was kept."


def back_up(database: Database, target: Path, *, overwrite: bool) -> None:
    """Copy a database; see ``PeeweeVectorStore.backup``."""
    target = Path(os.path.abspath(target))  # noqa: PTH100  # keeps symbolic links
    if target.exists() and target.samefile(database.path):
        raise StorageError(f"{target} is the database itself. Choose another path for its backup.")
    new = target.with_name(f"{target.name}.{secrets.token_hex(4)}.new")
    try:
        if not overwrite:
            _reserve(target)
        try:
            # It will hold the user's text: nobody else may read it, not even while it grows.
            os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            _copy(database, new)
            _sync(new)
            new.replace(target)
            _sync(target.parent)
        except BaseException:
            if not overwrite:
                target.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StorageError(
            f"The backup {target} cannot be written: {error.strerror}. Nothing of it was kept."
        ) from error
    finally:
        for left in (new, *(new.with_name(new.name + end) for end in ("-journal", "-wal", "-shm"))):
            with suppress(OSError):
                left.unlink()


def _reserve(target: Path) -> None:
    """Take a name that nobody has, so that nothing can be overwritten, not even just now."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise StorageError(
            f"{target} exists and was left as it is. Choose another path, or pass overwrite=True."
        ) from error


def _copy(database: Database, new: Path) -> None:
    # A snapshot: what others commit meanwhile is not in it, and makes it no longer.
    with database.snapshot() as source:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        try:
            with translated_errors(new), closing(sqlite3.connect(new)) as copy:
                source.backup(copy)
        except StorageFullError as error:
            raise StorageFullError(_FULL.format(path=new)) from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
