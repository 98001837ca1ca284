"""Contents whose file was changed on disk: their chunks get the hash of what is there now."""

from collections.abc import Callable

from semantic_core.database.conditions import IS_CACHED, WANTS
from semantic_core.database.port import Connection
from semantic_core.database.queries import first_column
from semantic_core.domain.media import StoredMedia, dump_media, load_media
from semantic_core.domain.spec import Hasher
from semantic_core.queue.contents import note_contents
from semantic_core.queue.counts import waiting_moves
from semantic_core.queue.items import carrying_job
from semantic_core.queue.vectors import serve_vectors


def wanted_media(connection: Connection, content: int) -> list[tuple[StoredMedia, ...]]:
    """Return the media of the chunks that want a content: equal bytes under several paths."""
    found = first_column(
        connection,
        f"SELECT DISTINCT media FROM chunks WHERE content_id = ? AND {WANTS} "
        "AND media IS NOT NULL ORDER BY media",
        (content,),
    )
    return [load_media(media) for media in found]


def renew_media(
    connection: Connection,
    content: int,
    hash_of: Hasher,
    renewed: Callable[[StoredMedia], StoredMedia],
    *,
    now: float,
) -> None:
    """Give the chunks that wait for a content its media as they are now.

    They wait on, for the job that carries what they want now, if one does; a vector that is stored
    serves them. Chunks that have the vector of the old content keep it: they were saved with it.
    """
    rows = connection.execute(
        "SELECT pk, coalesce(vector_source, text), media FROM chunks "
        "WHERE content_id = ? AND embedding_status = 'PENDING'",
        (content,),
    ).fetchall()
    for pk, source, media in rows:
        parts = tuple(map(renewed, load_media(media)))
        (wanted,) = note_contents(connection, [hash_of(source, parts)])[0].values()
        values = {"media": dump_media(parts), "wanted": wanted, "now": now, "pk": pk}
        with waiting_moves(connection, {content, wanted}):
            connection.execute(
                "UPDATE chunks SET media = :media, content_id = :wanted, not_before = NULL, "
                f"updated_at = :now, batch_job_id = {carrying_job(':wanted')} "
                "WHERE pk = :pk AND content_id = :old AND embedding_status = 'PENDING'",
                {**values, "old": content},
            )
        stored = first_column(
            connection,
            f"SELECT content_id FROM embeddings WHERE content_id = ? AND {IS_CACHED}",
            (wanted,),
        )
        serve_vectors(connection, stored, now=now)
