"""The full-text index: kept in step once a transaction, asked with quoted words only."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from semantic_core.queue.counts import count_chunks

# A word found in more than about a fifth of the rows tells nothing apart and costs the most.
COMMON_SHARE = 5

# In a small store no word is common enough to cost anything, and every row counts.
NEVER_COMMON = 100

# SQLite limits the size of an expression; nobody types this many words.
MOST_WORDS = 128

# With accents that stand apart from their letter, which the tokenizer takes off itself.
_WORD = re.compile(r"\w[\w\u0300-\u036f]*")


@dataclass(frozen=True, slots=True)
class Restriction:
    """A SQL condition on ``chunks AS c`` with its bound values."""

    sql: str
    values: tuple[object, ...] = ()


def remove_rows(connection: sqlite3.Connection, pks: Sequence[int]) -> None:
    """Take rows out of the index; must come before their text changes or goes."""
    connection.execute(
        "INSERT INTO chunks_fts (chunks_fts, rowid, text) SELECT 'delete', pk, text FROM chunks "
        "WHERE pk IN (SELECT value FROM json_each(?))",
        (json.dumps(list(pks)),),
    )


def add_rows(connection: sqlite3.Connection, pks: Sequence[int]) -> None:
    """Put rows into the index, after their text was written."""
    connection.execute(
        "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks "
        "WHERE pk IN (SELECT value FROM json_each(?))",
        (json.dumps(list(pks)),),
    )


def add_rows_after(connection: sqlite3.Connection, pk: int) -> None:
    """Put all rows with a larger key into the index: the ones this transaction inserted."""
    connection.execute(
        "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks WHERE pk > ?", (pk,)
    )


def check_index(connection: sqlite3.Connection) -> None:
    """Compare the index with the texts. Changes nothing, but needs a write transaction.

    Raises:
        sqlite3.DatabaseError: SQLITE_CORRUPT: they differ.
    """
    # The 1 asks for a comparison with the content.
    connection.execute("INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)")


def rebuild_index(connection: sqlite3.Connection) -> None:
    """Build the index anew from the texts."""
    connection.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")


def search_rows(
    connection: sqlite3.Connection, text: str, *, restriction: Restriction | None, limit: int
) -> list[int]:
    """Return the keys of the rows that match best by BM25, best first.

    Words are joined by OR; a query that stands in double quotes as a whole is one phrase; a
    blank query matches nothing. No query text is a syntax error.

    Args:
        connection: within a transaction.
        text: what the user typed.
        restriction: which rows may be returned; None for all, which takes half the time, since
            then no row is looked at.
        limit: how many at most.
    """
    if limit <= 0:
        return []
    match = match_expression(connection, text)
    if match is None:
        return []
    chosen = restriction or Restriction("1")
    # CROSS JOIN keeps the order: the other way round each row would ask the index anew.
    join = "" if restriction is None else "CROSS JOIN chunks c ON c.pk = f.rowid "
    return [
        row[0]
        for row in connection.execute(
            f"SELECT f.rowid FROM chunks_fts f {join}"
            f"WHERE chunks_fts MATCH ? AND {chosen.sql} ORDER BY f.rank, f.rowid LIMIT ?",
            (match, *chosen.values, limit),
        )
    ]


def match_expression(connection: sqlite3.Connection, text: str) -> str | None:
    """Return the FTS5 expression for a user's text, or None if it holds no word."""
    stripped = text.strip()
    words = _WORD.findall(stripped)[:MOST_WORDS]
    if not words:
        return None
    if len(stripped) > 2 and stripped[0] == stripped[-1] == '"' and '"' not in stripped[1:-1]:
        return _quoted(" ".join(words))
    # As typed: the tokenizer folds case itself, for fewer letters than Python does.
    different = list({word.lower(): word for word in words}.values())
    return " OR ".join(_quoted(word) for word in _telling(connection, different))


def _telling(connection: sqlite3.Connection, words: list[str]) -> list[str]:
    """Drop words that stand in too many rows, unless no other is left."""
    if len(words) == 1:
        return words
    # The full-text index is one for all collections, and so is what counts as common.
    most = max(NEVER_COMMON, count_chunks(connection) // COMMON_SHARE)
    telling = []
    for word in words:
        # The LIMIT bounds the cost: counting stops where the word is known to be common.
        (count,) = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM chunks_fts WHERE chunks_fts MATCH ? LIMIT ?)",
            (_quoted(word), most + 1),
        ).fetchone()
        if 0 < count <= most:
            telling.append(word)
    return telling or words


def _quoted(word: str) -> str:
    # Words hold no double quote: they were cut out by a pattern of word characters.
    return f'"{word}"'
