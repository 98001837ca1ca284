"""The words of chunks whose text is not indexed as it stands; see ``chunk_words``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from semantic_core.database.port import Connection
from semantic_core.database.sqlite.sets import among
from semantic_core.database.strategies import Sql
from semantic_core.keywords import IndexedWords, indexed_words

_PAGE = 1000

_AS_IT_STANDS = IndexedWords()


def add_words(connection: Connection, rows: Sql) -> None:
    """Keep the words of chunks.

    Args:
        connection: within a transaction.
        rows: a condition on ``chunks``.
    """
    for page in _pages(
        connection, f"SELECT pk, text, vector_source FROM chunks WHERE {rows.sql}", rows.values
    ):
        connection.executemany(
            "INSERT INTO chunk_words (chunk_pk, text, more) VALUES (?, ?, ?)",
            [(pk, *words) for pk, words in _made(page) if words != _AS_IT_STANDS],
        )


def remove_words(connection: Connection, pks: Sequence[int]) -> None:
    """Drop the words of chunks."""
    rows = among("chunk_pk", pks)
    connection.execute(f"DELETE FROM chunk_words WHERE {rows.sql}", rows.values)


def rebuild_words(connection: Connection) -> None:
    """Make the words of all chunks anew."""
    connection.execute("DELETE FROM chunk_words")
    add_words(connection, Sql("1"))


def count_wrong_words(connection: Connection) -> int:
    """Return for how many chunks other words are kept than are made of their text now."""
    wrong = 0
    for page in _pages(
        connection,
        "SELECT c.pk, c.text, c.vector_source, w.text, w.more FROM chunks c "
        "LEFT JOIN chunk_words w ON w.chunk_pk = c.pk",
    ):
        kept = [tuple(row[3:]) for row in page]
        wrong += sum(one != words for one, (_, words) in zip(kept, _made(page), strict=True))
    return wrong


def _made(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, IndexedWords]]:
    for pk, text, source, *_ in rows:
        words = indexed_words(text, headings=None if source is None else _headings(text, source))
        yield pk, words


def _headings(text: str, source: str) -> str | None:
    """Return what stands before the text in what is embedded for it, or None."""
    return source[: len(source) - len(text)] if source.endswith(text) else None


def _pages(
    connection: Connection, sql: str, values: Sequence[object] = ()
) -> Iterator[list[tuple[Any, ...]]]:
    rows = connection.execute(sql, values)
    while page := rows.fetchmany(_PAGE):
        yield page
