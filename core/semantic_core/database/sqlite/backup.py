"""A copy of the whole database while others work on it."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

from semantic_core.database.sqlite.connection import SqliteConnection
from semantic_core.database.sqlite.failures import translated_errors
from semantic_core.domain.errors import InvalidInputError, StorageError, StorageFullError
from semantic_core.domain.failpoints import FailPoint, reach
from semantic_core.domain.leftovers import new_file, remove_abandoned, sync

_FULL = "No room left to write the backup {path}. Nothing of it was kept."


# Backups that are written at once into one folder.
_MOST = 8


# A transaction of the database that is copied.
Snapshot = Callable[[], AbstractContextManager[SqliteConnection]]


def back_up(
    snapshot: Snapshot, path: str | os.PathLike[str], *, database: Path, overwrite: bool
) -> None:
    try:
        os.fsencode(path)
    except (TypeError, UnicodeError) as error:
        raise InvalidInputError(f"The path of a backup names no file ({error}).") from error
    target = Path(os.path.abspath(path))  # noqa: PTH100  # keeps symbolic links
    try:
        if target.exists() and target.samefile(database):
            raise StorageError(
                f"{target} is the database itself. Choose another path for a backup."
            )
        remove_left_copies(target.parent)
        if not overwrite and os.path.lexists(target):
            raise _exists(target)
        with _new_file(target.parent) as new:
            _copy(snapshot, new, target)
            reach(FailPoint.BACKUP_WRITTEN)
            sync(new)
            _name(new, target, overwrite=overwrite)
        sync(target.parent)
    except OSError as error:
        raise StorageError(
            f"The backup {target} cannot be written: {error.strerror}. Nothing of it was kept."
        ) from error


def remove_left_copies(folder: Path) -> None:
    """Remove copies of users' texts that were left by processes that were killed.

    Their names are few and known, so that this costs nothing where there are none.
    """
    for path in _places(folder):
        with suppress(OSError):
            remove_abandoned(path)


def _places(folder: Path) -> list[Path]:
    return [folder / f".semcore-backup-{number}.new" for number in range(_MOST)]


@contextmanager
def _new_file(folder: Path) -> Iterator[Path]:
    """Give a new file, which is gone afterwards if it still has this name.

    It will hold the user's text: nobody else may read it, not even while it grows. Who is killed
    leaves it unlocked, and the next backup removes it.
    """
    for path in _places(folder):
        with new_file(path) as descriptor:
            if descriptor is not None:
                yield path
                return
    raise StorageError(
        f"{_MOST} backups are being written into {folder} just now. Wait for one to end, and call "
        "again."
    )


def _name(new: Path, target: Path, *, overwrite: bool) -> None:
    """Give a complete copy its name, in one step that overwrites nothing unless that is wanted."""
    if not overwrite:
        try:
            target.hardlink_to(new)
        except FileExistsError as error:
            raise _exists(target) from error
        except OSError:
            # Of a file system without links. The name is taken first, so that nobody else's is.
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        else:
            return
    new.replace(target)


def _exists(target: Path) -> StorageError:
    return StorageError(
        f"{target} exists and was left as it is. Choose another path, or pass overwrite=True."
    )


def _copy(snapshot: Snapshot, new: Path, target: Path) -> None:
    # A snapshot: what others commit meanwhile is not in it, and makes it no longer.
    with snapshot() as source:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        try:
            with translated_errors(target), closing(sqlite3.connect(new)) as copy:
                # Half a copy is thrown away, so it needs no journal, which could be left behind.
                copy.execute("PRAGMA journal_mode = OFF")
                source.raw.backup(copy)
        except StorageFullError as error:
            raise StorageFullError(_FULL.format(path=target)) from error
