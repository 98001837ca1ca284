"""Contents whose file was changed on disk: their chunks get the hash of what is there now."""

from collections.abc import Callable

from semantic_core.database.conditions import WANTS
from semantic_core.database.port import Connection
from semantic_core.domain.media import StoredMedia, dump_media, load_media
from semantic_core.domain.spec import Hasher


def renew_media(
    connection: Connection,
    content_hash: bytes,
    hash_of: Hasher,
    renewed: Callable[[StoredMedia], StoredMedia],
    *,
    now: float,
) -> None:
    """Give the chunks that want a content its media as they are now; they wait, unclaimed.

    Chunks that have its vector keep it: it is that of the content they were saved with.
    """
    rows = connection.execute(
        "SELECT pk, coalesce(vector_source, text), media FROM chunks "
        f"WHERE content_hash = ? AND {WANTS}",
        (content_hash,),
    ).fetchall()
    for pk, source, media in rows:
        parts = tuple(map(renewed, load_media(media)))
        connection.execute(
            "UPDATE chunks SET media = ?, content_hash = ?, batch_job_id = NULL, not_before = NULL, "
            f"updated_at = ? WHERE pk = ? AND content_hash = ? AND {WANTS}",
            (dump_media(parts), hash_of(source, parts), now, pk, content_hash),
        )
