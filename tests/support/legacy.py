"""A database from before batching."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

_TABLES = """
    CREATE TABLE documents (id INTEGER PRIMARY KEY, content, metadata, created_at);
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY, document_id, chunk_index, content, metadata, vector BLOB NULL,
        created_at
    );
    CREATE INDEX chunks_document ON chunks (document_id);
"""


def write_legacy(
    path: Path, *, documents: Iterable[Sequence[Any]] = (), chunks: Iterable[Sequence[Any]] = ()
) -> None:
    """Make one: rows as the columns stand in the tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_TABLES)
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", documents)
        connection.executemany("INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?)", chunks)
        connection.commit()


def as_blob(*values: float) -> bytes:
    """Return a vector as the old tables held it."""
    return np.array(values, dtype="<f4").tobytes()
