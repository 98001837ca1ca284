"""The words of chunks whose text is not indexed as it stands; see ``chunk_words``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from semantic_core.database.port import Connection
from semantic_core.database.sqlite.sets import among
from semantic_core.database.strategies import Said
from semantic_core.domain.pages import pages
from semantic_core.keywords import IndexedWords, indexed_words, read_languages

_AS_IT_STANDS = IndexedWords()


def add_words(connection: Connection, rows: Iterable[Said]) -> None:
    """Keep the words of chunks, within a transaction."""
    made = [(pk, *words) for pk, words in _made(rows) if words != _AS_IT_STANDS]
    if made:
        connection.executemany(
            "INSERT INTO chunk_words (chunk_pk, text, more) VALUES (?, ?, ?)", made
        )


def remove_words(connection: Connection, pks: Sequence[int]) -> None:
    """Drop the words of chunks."""
    rows = among("chunk_pk", pks)
    connection.execute(f"DELETE FROM chunk_words WHERE {rows.sql}", rows.values)


def rebuild_words(connection: Connection) -> None:
    """Make the words of all chunks anew."""
    connection.execute("DELETE FROM chunk_words")
    for page in _pages(connection):
        add_words(connection, [said for said, _ in page])


def count_wrong_words(connection: Connection) -> int:
    """Return for how many chunks other words are kept than are made of their text now."""
    return sum(
        words != kept
        for page in _pages(connection)
        for (_, words), (_, kept) in zip(_made(said for said, _ in page), page, strict=True)
    )


def _made(rows: Iterable[Said]) -> Iterator[tuple[int, IndexedWords]]:
    for pk, text, source, languages in rows:
        headings = None if source is None else _headings(text, source)
        yield pk, indexed_words(text, headings=headings, languages=languages)


def _headings(text: str, source: str) -> str | None:
    """Return what stands before the text in what is embedded for it, or None."""
    return source[: len(source) - len(text)] if source.endswith(text) else None


def _pages(connection: Connection) -> Iterator[list[tuple[Said, IndexedWords]]]:
    """Yield what chunks say, each with the words that are kept of it."""
    rows = connection.execute(
        "SELECT c.pk, c.text, c.vector_source, k.languages, w.text, w.more "
        "FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "LEFT JOIN chunk_words w ON w.chunk_pk = c.pk"
    )
    for page in pages(rows):
        yield [
            (Said(pk, text, source, read_languages(str(languages))), IndexedWords(*kept))
            for pk, text, source, languages, *kept in page
        ]
