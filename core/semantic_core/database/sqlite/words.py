"""The words of chunks whose text is not indexed as it stands; see ``chunk_words``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from semantic_core.database.port import Connection
from semantic_core.database.sets import among
from semantic_core.database.strategies import Said
from semantic_core.domain.pages import pages
from semantic_core.keywords import IndexedWords, read_languages

_AS_IT_STANDS = IndexedWords()


def add_words(connection: Connection, rows: Iterable[Said]) -> None:
    """Keep the words of chunks, within a transaction."""
    made = [(row.pk, *words) for row in rows if (words := row.indexed()) != _AS_IT_STANDS]
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
    for page in pages(_all(connection)):
        add_words(connection, [said for said, _, _ in page])


def count_wrong_words(connection: Connection) -> int:
    """Return for how many chunks other words are kept than are made of their text now.

    During a reindex they may be those of the former languages.
    """
    return sum(
        kept != said.indexed() and (former is None or kept != former.indexed())
        for said, former, kept in _all(connection)
    )


def _all(connection: Connection) -> Iterator[tuple[Said, Said | None, IndexedWords]]:
    """Yield what each chunk says, and in former languages, and the words that are kept of it."""
    for pk, text, source, languages, former, *kept in connection.execute(
        "SELECT c.pk, c.text, c.vector_source, k.languages, k.former_languages, w.text, w.more "
        "FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "LEFT JOIN chunk_words w ON w.chunk_pk = c.pk"
    ):
        said = Said(pk, text, source, read_languages(str(languages)))
        once = None if former is None else said._replace(languages=read_languages(str(former)))
        yield said, once, IndexedWords(*kept)
