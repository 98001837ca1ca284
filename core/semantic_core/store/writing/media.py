"""Bytes of pictures that were handed in: stored once, as long as a chunk has them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Database
from semantic_core.domain.errors import UnreadableFileError
from semantic_core.domain.media import (
    Media,
    MediaBytes,
    StoredMedia,
    load_media,
    look_at,
    read_file,
    stored_media,
)
from semantic_core.domain.pdf import page_of
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.providers.facts import check_media, check_sent


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
    uses = sorted(_uses(media).items())
    connection.executemany("DELETE FROM media WHERE sha256 = ? AND uses <= ?", uses)
    # Of what is left a chunk has more.
    connection.executemany(
        "UPDATE media SET uses = uses - ? WHERE sha256 = ?",
        [(count, sha256) for sha256, count in uses],
    )


def read_media(connection: Connection, digests: Iterable[str]) -> dict[str, bytes]:
    chosen = among("sha256", list(digests))
    return dict(
        connection.execute(
            f"SELECT sha256, data FROM media WHERE {chosen.sql}", chosen.values
        ).fetchall()
    )


def media_bytes(database: Database, part: StoredMedia) -> bytes:
    if part.path is not None:
        return read_file(part.path, what="the media")
    with database.snapshot() as connection:
        stored = read_media(connection, [part.sha256])
    if part.sha256 not in stored:
        raise UnreadableFileError("The bytes are not in the database any more: no chunk has them.")
    return stored[part.sha256]


class MediaChangedError(Exception):
    """A file is another one than when its chunk was saved; ``now`` is what it is."""

    def __init__(self, now: StoredMedia) -> None:
        super().__init__(now.path)
        self.now = now

    def renewed(self, part: StoredMedia) -> StoredMedia:
        """Return what is stored of a part, with the file as it is now."""
        return replace(self.now, page=part.page) if part.path == self.now.path else part


def sent_media(
    database: Database,
    parts: Sequence[StoredMedia],
    spec: EmbeddingSpec,
    *,
    given: Mapping[str, bytes] | None = None,
) -> tuple[MediaBytes, ...]:
    """Return a content's media as they are sent; files are read again.

    Args:
        database: has the bytes of chunks that are saved.
        parts: what its hash names.
        spec: the collection's.
        given: by digest, bytes of a chunk that is not saved yet.

    Raises:
        UnreadableFileError: a file is gone or may not be read, or the bytes are not in the database.
        InvalidInputError: a PDF has no such page, or cannot be read; a page is too large; or a
            file was changed into what the model does not take.
        MediaChangedError: a file was changed since its chunk was saved.
        MissingExtraError: a page without the ``media`` extra.
    """
    sent = tuple(_sent(database, part, spec, given or {}) for part in parts)
    check_sent(sent, spec, what="the chunk")
    return sent


def _sent(
    database: Database, part: StoredMedia, spec: EmbeddingSpec, given: Mapping[str, bytes]
) -> MediaBytes:
    what = "the chunk" if part.path is None else f"the file {part.path}"
    if part.path is None:
        data = given.get(part.sha256) or media_bytes(database, part)
    else:
        looked, data = look_at(Media(part.path, page=part.page), what=what)
        if looked.sha256 != part.sha256:
            now, _ = stored_media(looked, what=what)
            check_media([now], spec, what=what)
            raise MediaChangedError(now)
    return MediaBytes(part.mime_type, page_of(data, part.page, what=what))


def _uses(media: Iterable[str]) -> Counter[str]:
    return Counter(part.sha256 for text in media for part in load_media(text) if part.path is None)
