"""The full-text index: kept in step once a transaction, asked with quoted words only."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.domain.errors import ConfigurationError
from semantic_core.vector_index import Ids

# A word found in more than a fifth of what is asked tells nothing apart and costs the most.
COMMON_SHARE = 5

# Each word of an expression costs time in every row, and nobody types this many.
MOST_WORDS = 128

# Counted to the end below this; above it only as far as it takes to know that a word is common.
_COUNTED = 1000

# With accents that stand apart from their letter, which the tokenizer takes off itself.
_WORD = re.compile(r"\w[\w\u0300-\u036f]*")


@dataclass(frozen=True, slots=True)
class Restriction:
    """A SQL condition on ``chunks AS c`` with its bound values."""

    sql: str
    values: tuple[object, ...] = ()


def create_index(connection: Connection, tokenizer: str) -> None:
    """Make the index of a new database, over the texts of ``chunks``.

    Raises:
        ConfigurationError: SQLite does not know the tokenizer.
    """
    quoted = tokenizer.replace("'", "''")
    try:
        connection.execute(
            "CREATE VIRTUAL TABLE chunks_fts USING fts5(text, content = 'chunks', "
            f"content_rowid = 'pk', tokenize = '{quoted}')"
        )
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise
        raise ConfigurationError(
            f"SQLite cannot make a full-text index with the tokenizer {tokenizer!r} "
            f"({error}). Leave it out, or name one of FTS5's. Nothing was changed."
        ) from error


def remove_rows(connection: Connection, pks: Sequence[int]) -> None:
    """Take rows out of the index; must come before their text changes or goes."""
    connection.execute(
        "INSERT INTO chunks_fts (chunks_fts, rowid, text) SELECT 'delete', pk, text FROM chunks "
        "WHERE pk IN (SELECT value FROM json_each(?))",
        (json.dumps(list(pks)),),
    )


def add_rows(connection: Connection, pks: Sequence[int]) -> None:
    """Put rows into the index, after their text was written."""
    connection.execute(
        "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks "
        "WHERE pk IN (SELECT value FROM json_each(?))",
        (json.dumps(list(pks)),),
    )


def add_rows_after(connection: Connection, pk: int) -> None:
    """Put all rows with a larger key into the index: the ones this transaction inserted."""
    connection.execute(
        "INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks WHERE pk > ?", (pk,)
    )


def check_index(connection: Connection) -> None:
    """Compare the index with the texts. Changes nothing, but needs a write transaction.

    Raises:
        sqlite3.DatabaseError: SQLITE_CORRUPT: they differ.
    """
    # The 1 asks for a comparison with the content.
    connection.execute("INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)")


def rebuild_index(connection: Connection) -> None:
    """Build the index anew from the texts."""
    connection.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")


class Scope:
    """The rows among which words are looked for.

    Args:
        total: how many they are.
        keys: theirs, ascending; None for every row of the database.
    """

    def __init__(self, total: int, keys: Ids | None = None) -> None:
        self.total = total
        self.sql = "1"
        self.values: tuple[object, ...] = ()
        if keys is None:
            return
        if not len(keys):
            self.sql = "0"
            return
        low, high = int(keys[0]), int(keys[-1])
        # The full-text index skips what is outside of a range.
        self.sql, self.values = "f.rowid BETWEEN ? AND ?", (low, high)
        if len(keys) <= high - low:
            mask = np.zeros(high - low + 1, dtype=np.uint8)
            mask[keys - low] = 1
            # One byte to look at for each row that matches: a join would read the row itself, and
            # a list of keys be made a tree first.
            self.sql += " AND substr(?, f.rowid - ?, 1) = x'01'"
            self.values += (mask.tobytes(), low - 1)

    def meeting(self, restriction: Restriction) -> Scope:
        """Return those rows of it that meet a condition, which is asked of matching rows alone."""
        narrow = copy(self)
        narrow.sql += f" AND (SELECT {restriction.sql} FROM chunks c WHERE c.pk = f.rowid)"
        narrow.values += restriction.values
        return narrow


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a text asks of the index.

    Attributes:
        ranking: the FTS5 expression whose matches have a rank.
        filling: expressions whose matches come after those, in this order.
        left_out: how many words have no part in the ranking because there are too many.
    """

    ranking: str
    filling: tuple[str, ...] = ()
    left_out: int = 0


def choose_words(connection: Connection, text: str, scope: Scope) -> Words | None:
    """Return what to look for, or None if no row can hold it.

    Words are joined by OR. A word in more than a fifth of the rows has no part in the ranking
    unless no other is left, and of the others at most `MOST_WORDS` have one, the rarest. The rest
    is for where that finds too little: one more word never leaves fewer hits. A text in double
    quotes as a whole is one phrase. No text is a syntax error.
    """
    stripped = text.strip()
    words = _WORD.findall(stripped)
    if not words or not scope.total:
        return None
    if len(stripped) > 2 and stripped[0] == stripped[-1] == '"' and '"' not in stripped[1:-1]:
        return Words(ranking=_quoted(" ".join(words)))
    # As typed: the tokenizer folds case itself, for fewer letters than Python does.
    quoted = [_quoted(word) for word in {word.lower(): word for word in words}.values()]
    if len(quoted) == 1:
        return Words(ranking=quoted[0])
    most = scope.total // COMMON_SHARE
    counts = _count_words(connection, quoted, scope, bound=max(most, _COUNTED) + 1)
    # sorted() is stable: of equally rare words the first comes first.
    found = sorted((word for word in quoted if counts[word]), key=counts.__getitem__)
    telling = [word for word in found if counts[word] <= most] or found
    if not telling:
        return None
    pages = [telling[i : i + MOST_WORDS] for i in range(0, len(telling), MOST_WORDS)]
    rest = found[len(telling) :]
    pages += [rest[i : i + MOST_WORDS] for i in range(0, len(rest), MOST_WORDS)]
    ranking, *filling = (" OR ".join(page) for page in pages)
    return Words(
        ranking=ranking, filling=tuple(filling), left_out=max(0, len(telling) - MOST_WORDS)
    )


def search_rows(connection: Connection, expression: str, *, scope: Scope, limit: int) -> list[int]:
    """Return the keys of the rows that match best by BM25, best first, equals oldest first.

    Args:
        connection: within a transaction.
        expression: one of `Words`.
        scope: which rows may be returned.
        limit: how many at most.
    """
    if limit <= 0:
        return []
    return [
        row[0]
        for row in connection.execute(
            "SELECT f.rowid FROM chunks_fts f WHERE chunks_fts MATCH ? "
            f"AND {scope.sql} ORDER BY f.rank, f.rowid LIMIT ?",
            (expression, *scope.values, limit),
        )
    ]


def _count_words(
    connection: Connection, quoted: list[str], scope: Scope, *, bound: int
) -> dict[str, int]:
    """Return in how many rows each word stands, counted no further than ``bound``."""
    return dict(
        connection.execute(
            "SELECT w.value, (SELECT count(*) FROM (SELECT 1 FROM chunks_fts f "
            f"WHERE chunks_fts MATCH w.value AND {scope.sql} LIMIT ?)) FROM json_each(?) w",
            (*scope.values, bound, json.dumps(quoted)),
        ).fetchall()
    )


def _quoted(word: str) -> str:
    # Words hold no double quote: they were cut out by a pattern of word characters.
    return f'"{word}"'
