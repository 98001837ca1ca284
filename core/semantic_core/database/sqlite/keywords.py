"""The full-text index: kept in step once a transaction, asked with quoted words only."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.sqlite.sets import among
from semantic_core.database.strategies import MOST_WORDS, Scope, Sql
from semantic_core.domain.errors import ConfigurationError
from semantic_core.vector_index import Ids

# A word found in more than a fifth of what is asked tells nothing apart and costs the most.
COMMON_SHARE = 5

# Counted to the end below this; above it only as far as it takes to know that a word is common.
_COUNTED = 1000

# Accents as separate characters: the tokenizer removes those itself.
_WORD = re.compile(r"\w[\w\u0300-\u036f]*")


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


class FullText:
    """The FTS5 index over the texts of ``chunks``."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        """Take rows out; must come before their text changes or goes."""
        rows = among("pk", pks)
        connection.execute(
            "INSERT INTO chunks_fts (chunks_fts, rowid, text) "
            f"SELECT 'delete', pk, text FROM chunks WHERE {rows.sql}",
            rows.values,
        )

    def add(self, connection: Connection, pks: Sequence[int]) -> None:
        """Put rows in, after their text was written."""
        rows = among("pk", pks)
        connection.execute(
            f"INSERT INTO chunks_fts (rowid, text) SELECT pk, text FROM chunks WHERE {rows.sql}",
            rows.values,
        )

    def search(
        self, connection: Connection, text: str, *, counted: Scope, returned: Scope
    ) -> FoundWords | None:
        """Return what holds words of a text, or None if no row can; see `Keywords.search`."""
        asked = _rows_of(counted)
        words = choose_words(connection, text, asked, total=counted.total)
        if words is None:
            return None
        rows = asked if returned is counted else _rows_of(returned)
        return FoundWords(connection, words, rows)

    def check(self, connection: Connection) -> None:
        """Compare the index with the texts. Changes nothing, but needs a write transaction."""
        # The 1 asks for a comparison with the content.
        connection.execute(
            "INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)"
        )

    def rebuild(self, connection: Connection) -> None:
        """Build the index anew from the texts."""
        connection.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")


class FoundWords:
    """The matches of chosen words, asked for one list after the other.

    Args:
        connection: within a transaction.
        words: what is looked for.
        rows: a condition on the index: the rows that may be returned.
    """

    def __init__(self, connection: Connection, words: Words, rows: Sql) -> None:
        self.left_out = words.left_out
        self._connection = connection
        self._words = words
        self._rows = rows

    def best(self, limit: int) -> list[int]:
        """Return the row keys that match best by BM25, best first, equals oldest first."""
        return self._find(self._words.ranking, limit)

    def rest(self, limit: int) -> Iterator[list[int]]:
        """Yield row keys that come after those, one list for each page of words."""
        for expression in self._words.filling:
            yield self._find(expression, limit)

    def _find(self, expression: str, limit: int) -> list[int]:
        found = self._connection.execute(
            "SELECT f.rowid FROM chunks_fts f WHERE chunks_fts MATCH ? "
            f"AND {self._rows.sql} ORDER BY f.rank, f.rowid LIMIT ?",
            (expression, *self._rows.values, max(limit, 0)),
        )
        return [pk for (pk,) in found]


EVERY_ROW = Sql("1")


def _rows_of(scope: Scope) -> Sql:
    """Return a scope as a condition on ``chunks_fts AS f``."""
    rows = EVERY_ROW if scope.keys is None else _listed(scope.keys)
    if scope.condition is None:
        return rows
    return Sql(
        f"{rows.sql} AND (SELECT {scope.condition.sql} FROM chunks c WHERE c.pk = f.rowid)",
        (*rows.values, *scope.condition.values),
    )


def _listed(keys: Ids) -> Sql:
    if not len(keys):
        return Sql("0")
    low, high = int(keys[0]), int(keys[-1])
    # The full-text index skips what is outside of a range.
    sql, values = "f.rowid BETWEEN ? AND ?", (low, high)
    if len(keys) > high - low:
        return Sql(sql, values)
    mask = np.zeros(high - low + 1, dtype=np.uint8)
    mask[keys - low] = 1
    # One byte to look at for each row that matches: a join would read the row itself, and a list
    # of keys be made a tree first.
    return Sql(f"{sql} AND substr(?, f.rowid - ?, 1) = x'01'", (*values, mask.tobytes(), low - 1))


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


def choose_words(
    connection: Connection, text: str, rows: Sql = EVERY_ROW, *, total: int
) -> Words | None:
    """Return what to look for among these many rows, or None if none can hold it."""
    stripped = text.strip()
    words = _WORD.findall(stripped)
    if not words or not total:
        return None
    if len(stripped) > 2 and stripped[0] == stripped[-1] == '"' and '"' not in stripped[1:-1]:
        return Words(ranking=_quoted(" ".join(words)))
    # As typed: the tokenizer folds case itself, for fewer letters than Python does.
    quoted = [_quoted(word) for word in {word.lower(): word for word in words}.values()]
    if len(quoted) == 1:
        return Words(ranking=quoted[0])
    most = total // COMMON_SHARE
    counts = _count_words(connection, quoted, rows, bound=max(most, _COUNTED) + 1)
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


def _count_words(
    connection: Connection, quoted: list[str], rows: Sql, *, bound: int
) -> dict[str, int]:
    """Return how many rows contain each word, counted up to ``bound``."""
    return dict(
        connection.execute(
            "SELECT w.value, (SELECT count(*) FROM (SELECT 1 FROM chunks_fts f "
            f"WHERE chunks_fts MATCH w.value AND {rows.sql} LIMIT ?)) FROM json_each(?) w",
            (*rows.values, bound, json.dumps(quoted)),
        ).fetchall()
    )


def _quoted(word: str) -> str:
    # Words hold no double quote: they were cut out by a pattern of word characters.
    return f'"{word}"'
