"""Which SQLite there must be: Python brings its own, or takes the system's, however old that is."""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from functools import cache

from semantic_core.domain.errors import UnsupportedDatabaseError

# The tests of store, queue, batches, doctor and adapters pass on it. RETURNING needs 3.35; the
# emulator's STRICT tables need this one.
# https://sqlite.org/releaselog/3_37_0.html
OLDEST_SQLITE = (3, 37, 0)

_MODULES = ("fts5", "json_each")


def check_engine() -> None:
    """Check that this Python's SQLite can do what is asked of it; cheap after the first time.

    One that is too old, or lacks a part that is needed, is an UnsupportedDatabaseError.
    """
    if reason := what_is_missing(sqlite3.sqlite_version_info, _modules()):
        raise UnsupportedDatabaseError(
            f"This Python uses SQLite {sqlite3.sqlite_version}, which {reason}. No file was opened. "
            "Use a Python that brings a newer SQLite (those of python.org, conda and uv do), or "
            "upgrade the system's."
        )


def what_is_missing(version: tuple[int, ...], modules: Collection[str]) -> str | None:
    """Return why an SQLite of this version with these modules cannot be used, or None."""
    if version < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        return f"is older than {oldest}, the oldest that semcore works with"
    missing = [module for module in _MODULES if module not in modules]
    return f"was built without {' and '.join(missing)}" if missing else None


@cache
def _modules() -> frozenset[str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        return frozenset(row[0] for row in connection.execute("PRAGMA module_list"))
