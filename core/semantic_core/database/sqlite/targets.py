"""What a user may call a database: a path, a URL, a URI, a ready peewee database."""

import glob
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import peewee

from semantic_core.database.sqlite.failures import NO_HANDLES, no_handles
from semantic_core.domain.errors import (
    DatabaseReadOnlyError,
    StorageError,
    UnsupportedDatabaseError,
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a database is: its file, absolute, and the options of a ``file:`` URI, if it is one.

    Absolute, since a thread may connect after the process changed its folder.
    """

    path: Path
    query: str | None = None

    @property
    def uri(self) -> str:
        """What SQLite is told to open: never a new file, since `make_private_file` makes that."""
        query = f"{self.query}&mode=rw" if self.may_be_created and self.query else self.query
        return f"file:{quote(os.fsencode(self.path))}?{query or 'mode=rw'}"

    @property
    def may_be_created(self) -> bool:
        """Whether opening it makes a new file where there is none."""
        options = parse_qs(self.query or "")
        return options.get("mode", ["rwc"])[-1] == "rwc" and "immutable" not in options


def read_target(target: str | os.PathLike[str]) -> Target:
    """Return where a path, a ``sqlite:///`` URL or a ``file:`` URI points.

    What is in memory, or no SQLite database, is an UnsupportedDatabaseError; so it is below.
    """
    try:
        text = os.fsdecode(target)
        os.fsencode(text)
    except (TypeError, UnicodeError) as error:
        raise UnsupportedDatabaseError(
            f"A {type(target).__name__} like this names no file ({error}). Pass a path."
        ) from error
    query = None
    if text.startswith("file:"):
        parts = urlsplit(text)
        text, query = unquote(parts.path), parts.query
        if parse_qs(query).get("mode", [""])[-1] == "memory":
            text = ":memory:"
    elif "://" in text:
        text = _path_in_url(text)
    _check_name(text)
    return Target(Path(os.path.abspath(text)), query)  # noqa: PTH100  # keeps symbolic links


def path_of(database: peewee.Database) -> Path:
    """Return the file of a ready peewee database."""
    if not isinstance(database, peewee.SqliteDatabase):
        raise UnsupportedDatabaseError(
            f"{type(database).__name__} is not supported. Pass a SQLite path or database."
        )
    if database.database is None:
        raise UnsupportedDatabaseError(
            "The peewee database has no file yet. Call its init(path) first."
        )
    return read_target(database.database).path


def make_private_file(target: Target) -> None:
    """Create a new database file that only its owner can read: it will hold the user's text.

    A folder that does not exist, or one itself, is an UnsupportedDatabaseError.
    """
    if not target.may_be_created:
        return
    path = target.path
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError as error:
        if path.is_dir():
            raise UnsupportedDatabaseError(
                f"{path} is a folder. Pass the path of a file."
            ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnsupportedDatabaseError(
            f"The folder {path.parent} does not exist. Create it, or choose another path."
        ) from error
    except OSError as error:
        if error.errno in NO_HANDLES:
            raise StorageError(f"{path} cannot be created: {no_handles(error)}") from error
        raise DatabaseReadOnlyError(
            f"Cannot create {path}: {error.strerror}. Check the permissions of its folder."
        ) from error


def open_to_others(path: Path) -> list[Path]:
    """Return the files of a database that somebody else may write: it, its log, its indexes.

    Whoever writes one decides what search answers, and what is sent and paid for.
    """
    beside = [f"{path.name}{end}" for end in ("", "-wal", "-shm", "-journal")]
    files = [path.with_name(name) for name in beside]
    files += sorted(path.parent.glob(f"{glob.escape(path.name)}.vectors-*"))
    return [file for file in files if _is_open_to_others(file)]


def _is_open_to_others(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def tighten(path: Path) -> bool:
    """Let only its owner write a file; return whether that could be done."""
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
    except OSError:
        return False
    return True


def _path_in_url(url: str) -> str:
    """Return the path of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
    scheme, _, rest = url.partition("://")
    if scheme.lower() != "sqlite":
        # Nothing more of it: it may hold a password.
        raise UnsupportedDatabaseError(f"{scheme} databases are not supported. Pass a SQLite path.")
    if "?" in rest:
        raise UnsupportedDatabaseError(
            "A sqlite:// URL takes no options here. Pass a file: URI, such as file:x.db?mode=ro."
        )
    return rest.removeprefix("/")


def _check_name(text: str) -> None:
    if text.strip() in ("", ":memory:"):
        raise UnsupportedDatabaseError(
            "An in-memory database cannot be used: each thread would see another, empty one. "
            "Pass the path of a file."
        )
    if "\0" in text:
        raise UnsupportedDatabaseError("The path has a NUL in it. Pass the path of a file.")
