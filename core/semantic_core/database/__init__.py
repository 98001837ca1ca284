"""One SQLite database: where it is, its connections, its transactions, its errors."""

from semantic_core.database.sets import HASHES, LOCKED, among, hash_set, row_set, rows_of
from semantic_core.database.sqlite.connection import any_text
from semantic_core.database.sqlite.database import DEFAULT_BUSY_TIMEOUT, PAGE_SIZE, Database
from semantic_core.database.sqlite.scratch import Scratch
from semantic_core.database.sqlite.targets import open_to_others, tighten

__all__ = [
    "DEFAULT_BUSY_TIMEOUT",
    "HASHES",
    "LOCKED",
    "PAGE_SIZE",
    "Database",
    "Scratch",
    "among",
    "any_text",
    "hash_set",
    "open_to_others",
    "row_set",
    "rows_of",
    "tighten",
]
