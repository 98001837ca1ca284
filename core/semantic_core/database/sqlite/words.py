"""The words of chunks whose text is not indexed as it stands; see ``chunk_words``."""

from collections.abc import Iterator, Sequence

from semantic_core.database.conditions import MAY_LACK_WORDS
from semantic_core.database.port import Connection
from semantic_core.database.sets import among
from semantic_core.domain.pages import pages
from semantic_core.keywords import IndexedWords, Said, indexed_words, read_languages

_AS_IT_STANDS = IndexedWords()


def add_words(connection: Connection, rows: Sequence[Said]) -> None:
    words = indexed_words(rows)
    made = [(row.pk, *one) for row, one in zip(rows, words, strict=True) if one != _AS_IT_STANDS]
    if made:
        connection.executemany(
            "INSERT INTO chunk_words (chunk_pk, text, more) VALUES (?, ?, ?)", made
        )


def remove_words(connection: Connection, pks: Sequence[int]) -> None:
    rows = among("chunk_pk", pks)
    connection.execute(f"DELETE FROM chunk_words WHERE {rows.sql}", rows.values)


def rebuild_words(connection: Connection) -> None:
    connection.execute("DELETE FROM chunk_words")
    for page in pages(_all(connection)):
        add_words(connection, [said for _, (said, *_) in page])


def count_wrong_words(connection: Connection) -> int:
    """Return for how many chunks other words are kept than are made of their text now.

    During a reindex they may be those of the former languages; of what targets have, none.
    """
    return sum(kept not in indexed_words(ways) for kept, ways in _all(connection))


def _all(connection: Connection) -> Iterator[tuple[IndexedWords, list[Said]]]:
    """Yield the words that are kept of each chunk, and what it may say."""
    for pk, text, source, media, languages, former, may_lack, *kept in connection.execute(
        "SELECT c.pk, c.text, c.vector_source, c.media, k.languages, k.former_languages, "
        f"{MAY_LACK_WORDS}, w.text, w.more "
        "FROM chunks c JOIN collections k ON k.id = c.collection_id "
        "LEFT JOIN chunk_words w ON w.chunk_pk = c.pk"
    ):
        ways = [languages] if former is None else [languages, former]
        said = [
            Said.of(pk, text, source, media, languages=read_languages(str(way))) for way in ways
        ]
        if may_lack:
            said.append(Said(pk, ""))
        yield IndexedWords(*kept), said
