"""Deleting chunks: row, text, full-text and index entry at once; the paid vector stays cached."""

from collections import Counter

from semantic_core.database import IDS, among, id_set
from semantic_core.database.conditions import IS_CACHED, IS_UNUSED, WAITS
from semantic_core.database.port import Connection, MustBeAloneError
from semantic_core.database.strategies import Database, Sql
from semantic_core.domain.pages import pages
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.queue.changes import note_changed, note_wishes
from semantic_core.queue.contents import prune_contents
from semantic_core.queue.counts import ChunkState, count_changes, waiting_moves
from semantic_core.queue.vectors import release_vectors
from semantic_core.store.writing.media import drop_media


def delete_chunks(
    database: Database,
    connection: Connection,
    chosen: Sql,
    *,
    purge: bool,
    now: float,
    is_alone: bool = True,
) -> tuple[int, set[str]]:
    """Delete the chunks that meet a condition on ``chunks AS c``; return how many, and whose.

    ``purge`` deletes the vectors, too, that no other chunk uses. A MustBeAloneError is raised where
    there are chunks to delete while others save (``is_alone`` is not so).
    """
    rows = connection.execute(f"SELECT c.pk FROM chunks c WHERE {chosen.sql}", chosen.values)
    pks = [pk for (pk,) in rows]
    if pks and not is_alone:
        raise MustBeAloneError
    document_ids: set[str] = set()
    for page in pages(pks):
        document_ids |= _delete_page(database, connection, page, purge=purge, now=now)
    return len(pks), document_ids


def _delete_page(
    database: Database, connection: Connection, pks: list[int], *, purge: bool, now: float
) -> set[str]:
    page = among("pk", pks)
    rows = connection.execute(
        "SELECT pk, collection_id, document_id, content_id, embedding_id, embedding_status, media, "
        f"{WAITS} FROM chunks WHERE {page.sql}",
        page.values,
    ).fetchall()
    served_pks = [row[0] for row in rows if row[4] is not None]
    note_wishes(connection, served_pks, may_be_there=True, now=now)
    database.keywords.remove(connection, pks)
    database.metadata.remove(connection, pks)
    with waiting_moves(connection, {row[3] for row in rows if row[7]}):
        connection.execute(f"DELETE FROM chunks WHERE {page.sql}", page.values)
    note_changed(connection, [(row[1], row[0]) for row in rows if row[4] is not None])
    changes: Counter[ChunkState] = Counter()
    for _, collection_id, _, _, embedding_id, status, *_ in rows:
        changes[
            ChunkState(collection_id, EmbeddingStatus.read(status), embedding_id is not None)
        ] -= 1
    count_changes(connection, changes)
    drop_media(connection, [row[6] for row in rows if row[6] is not None])
    served = {row[4] for row in rows if row[4] is not None}
    release_vectors(connection, served, now=now)
    if purge:
        paid = f"content_id IN {IDS} AND {IS_CACHED}"
        connection.execute(
            f"DELETE FROM embeddings WHERE {paid} AND {IS_UNUSED}", id_set({row[3] for row in rows})
        )
        connection.execute(
            f"DELETE FROM embeddings WHERE id IN {IDS} AND {IS_UNUSED}", id_set(served)
        )
    return {row[2] for row in rows if row[2] is not None}


def prune_vectors(connection: Connection, *, before: float) -> int:
    """Delete cached vectors that no chunk has used since a moment; return how many.

    What is known of contents that nothing names any more, their hash, goes with them.
    """
    pruned = connection.execute(
        f"DELETE FROM embeddings WHERE unreferenced_since <= ? AND {IS_UNUSED}", (before,)
    ).rowcount
    prune_contents(connection)
    return pruned
