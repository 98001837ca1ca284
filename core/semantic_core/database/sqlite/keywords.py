"""The full-text index: kept in step once a transaction, asked with quoted words only."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column
from semantic_core.database.sets import among
from semantic_core.database.sqlite.words import (
    add_words,
    count_wrong_words,
    rebuild_words,
    remove_words,
)
from semantic_core.database.strategies import Scope, Sql
from semantic_core.database.word_choice import WordChoice, choose_words
from semantic_core.domain.errors import DatabaseCorruptError
from semantic_core.keywords import Question, Said, Term
from semantic_core.vector_index import Ids

# With so many rows that hold one of the rarest words, no others are ranked. On 62,000 real texts
# nDCG stays as it is, and a million rows take no longer.
_CANDIDATES = 4_000

VIEW = "indexed_words"
VIEW_SQL = f"""CREATE VIEW {VIEW} (pk, text, more) AS
    SELECT c.pk, coalesce(w.text, c.text), w.more
    FROM chunks c LEFT JOIN chunk_words w ON w.chunk_pk = c.pk"""

# The tokenizer takes every character outside of ASCII for part of a word: where these end was
# decided before. It cuts and stems plain English, and leaves the words of other languages alone.
_FULL_TEXT_SQL = f"""CREATE VIRTUAL TABLE chunks_fts USING fts5(
    text, more, content = '{VIEW}', content_rowid = 'pk', tokenize = 'porter ascii')"""


def create_index(connection: Connection) -> None:
    """Make the index of a new database, over the words of ``chunks``."""
    connection.execute(VIEW_SQL)
    connection.execute(_FULL_TEXT_SQL)


class FullText:
    """The FTS5 index over the words of ``chunks``; see `Keywords`."""

    def remove(self, connection: Connection, pks: Sequence[int]) -> None:
        rows = among("pk", pks)
        connection.execute(
            "INSERT INTO chunks_fts (chunks_fts, rowid, text, more) "
            f"SELECT 'delete', pk, text, more FROM {VIEW} WHERE {rows.sql}",
            rows.values,
        )
        remove_words(connection, pks)

    def add(self, connection: Connection, rows: Sequence[Said]) -> None:
        add_words(connection, rows)
        added = among("pk", [row.pk for row in rows])
        connection.execute(
            "INSERT INTO chunks_fts (rowid, text, more) "
            f"SELECT pk, text, more FROM {VIEW} WHERE {added.sql}",
            added.values,
        )

    def search(
        self, connection: Connection, question: Question, *, counted: Scope, returned: Scope
    ) -> FoundWords | None:
        terms = [_expression(term) for term in question.terms]
        asked = _rows_of(counted)
        choice = choose_words(
            question,
            total=counted.total,
            candidates=_CANDIDATES,
            count=lambda bound: _count_words(connection, terms, asked, bound=bound),
        )
        if choice is None:
            return None
        rows = asked if returned is counted else _rows_of(returned)
        return FoundWords(connection, question, choice, rows)

    def check(self, connection: Connection) -> None:
        # The 1 asks for a comparison with the content.
        connection.execute(
            "INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)"
        )
        if count := count_wrong_words(connection):
            raise DatabaseCorruptError.wrong_words(count)

    def rebuild(self, connection: Connection) -> None:
        rebuild_words(connection)
        connection.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")


class FoundWords:
    """The matches of chosen words, in rows that meet a condition; see `KeywordHits`."""

    def __init__(
        self, connection: Connection, question: Question, choice: WordChoice, rows: Sql
    ) -> None:
        self.explanation = choice.explanation
        self._connection = connection
        self._question = question
        self._choice = choice
        self._rows = rows

    def best(self, limit: int) -> list[int]:
        choice = self._choice
        others = self._any_of(choice.ranking[len(choice.candidates) :])
        found: list[int] = []
        if others:
            # Every word stands there twice, so that none counts for more than another: FTS5 cannot
            # rank by a word without looking for it.
            rare = self._any_of(choice.candidates)
            found = self._find(f"({rare}) AND ({rare} OR {others} OR {others})", limit)
        if not others or len(found) < limit:
            found = self._find(self._any_of(choice.ranking), limit)
        if self._question.first is None:
            return found
        first = self._find(_expression((self._question.first,)), limit)
        return list(dict.fromkeys([*first, *found]))[:limit]

    def rest(self, limit: int) -> Iterator[list[int]]:
        for places in self._choice.filling:
            yield self._find(self._any_of(places), limit)

    def _any_of(self, places: Iterable[int]) -> str:
        return " OR ".join(_expression(self._question.terms[place]) for place in places)

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


def _count_words(connection: Connection, terms: list[str], rows: Sql, *, bound: int) -> list[int]:
    """Return how many rows contain each word, counted up to ``bound``."""
    return first_column(
        connection,
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM chunks_fts f "
        f"WHERE chunks_fts MATCH w.value AND {rows.sql} LIMIT ?)) FROM json_each(?) w ORDER BY w.key",
        (*rows.values, bound, json.dumps(terms)),
    )


def _expression(term: Term) -> str:
    # Words hold no double quote: they are letters, digits and marks.
    forms = [f'"{" ".join(form.words)}"' + "*" * form.is_prefix for form in term]
    return forms[0] if len(forms) == 1 else f"({' OR '.join(forms)})"
