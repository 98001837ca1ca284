"""Bytes of pictures that were handed in: stored once, as long as a chunk has them."""

from collections import Counter
from collections.abc import Iterable, Mapping

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Database
from semantic_core.domain.errors import UnreadableFileError
from semantic_core.domain.media import StoredMedia, load_media, read_file


def keep_media(connection: Connection, given: Mapping[str, bytes], media: Iterable[str]) -> None:
    """Note that chunks have these media now, and store those bytes that are not there yet.

    Args:
        connection: in a transaction that writes the chunks.
        given: bytes that were handed in, by digest.
        media: the column of each such chunk.
    """
    uses = _uses(media)
    connection.executemany(
        "INSERT INTO media (sha256, data, uses) VALUES (?, ?, ?) "
        "ON CONFLICT (sha256) DO UPDATE SET uses = media.uses + excluded.uses",
        [(sha256, given[sha256], count) for sha256, count in sorted(uses.items())],
    )


def drop_media(connection: Connection, media: Iterable[str]) -> None:
    """Note that chunks have these media no more; bytes that no chunk has are deleted."""
    for sha256, count in sorted(_uses(media).items()):
        gone = connection.execute(
            "DELETE FROM media WHERE sha256 = ? AND uses <= ?", (sha256, count)
        )
        if not gone.rowcount:
            connection.execute("UPDATE media SET uses = uses - ? WHERE sha256 = ?", (count, sha256))


def read_media(connection: Connection, digests: Iterable[str]) -> dict[str, bytes]:
    """Return stored bytes by digest."""
    chosen = among("sha256", list(digests))
    return dict(
        connection.execute(
            f"SELECT sha256, data FROM media WHERE {chosen.sql}", chosen.values
        ).fetchall()
    )


def media_bytes(database: Database, part: StoredMedia) -> bytes:
    """Return the bytes of a part; see ``BaseVectorStore.media``."""
    if part.path is not None:
        return read_file(part.path, what="the media")
    with database.snapshot() as connection:
        stored = read_media(connection, [part.sha256])
    if part.sha256 not in stored:
        raise UnreadableFileError("The bytes are not in the database any more: no chunk has them.")
    return stored[part.sha256]


def _uses(media: Iterable[str]) -> Counter[str]:
    return Counter(part.sha256 for text in media for part in load_media(text) if part.path is None)
