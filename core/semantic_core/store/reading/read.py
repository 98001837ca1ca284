"""Reading chunks, their vectors and their counts, and the conditions that choose rows."""

from collections.abc import Iterable, Sequence

import numpy as np

from semantic_core.database import IDS, among, id_set
from semantic_core.database.chunk_rows import SELECT_CHUNKS, ChunkRow, stored_chunk
from semantic_core.database.conditions import IS_CACHED, IS_HERE
from semantic_core.database.port import Connection
from semantic_core.database.strategies import Sql, Where
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.pages import pages
from semantic_core.domain.statuses import EmbeddingStatus
from semantic_core.domain.types import Coverage, StoredChunk, Vector
from semantic_core.domain.validation import is_storable, listed, whole_number
from semantic_core.filters import parse_filter
from semantic_core.queue.contents import content_ids
from semantic_core.queue.counts import read_counts
from semantic_core.store.base import BaseVectorStore, FilterLike
from semantic_core.store.collections import DEFAULT_COLLECTION


def choose(
    collection_id: int,
    *,
    filters: FilterLike = None,
    ids: Sequence[str] | None = None,
    document_ids: Sequence[str] | None = None,
) -> Where:
    """Return which chunks all of these choose together, or raise an `InvalidInputError`."""
    return Where(
        collection_id=collection_id,
        ids=None if ids is None else tuple(checked_names(ids, what="ids")),
        document_ids=(
            None
            if document_ids is None
            else tuple(checked_names(document_ids, what="document_ids"))
        ),
        filters=parse_filter(filters),
    )


def checked_names(names: Iterable[str], *, what: str) -> list[str]:
    """Return the ids that can be stored at all, or an error for what is no list of strings."""
    if isinstance(names, str):
        raise InvalidInputError(f"{what} is one string: {names!r}. Pass a list: [{names!r}].")
    checked = listed(names, what=what)
    for name in checked:
        if not isinstance(name, str):
            raise InvalidInputError(f"{what} holds a {type(name).__name__}. Pass strings.")
    # No stored id has a NUL or a lone surrogate. SQLite's JSON ends a string at the one, so that it
    # would name another, and no statement takes the other.
    return [name for name in checked if is_storable(name)]


def read_chunks(
    connection: Connection, chosen: Sql, *, limit: int | None = None, offset: int = 0
) -> dict[int, StoredChunk]:
    """Return the chunks that meet the condition by row key, oldest first; a page of them."""
    page = ""
    if limit is not None or offset:
        # SQLite has no OFFSET without a LIMIT.
        most = whole_number(2**31 if limit is None else limit)
        page = f"LIMIT {most} OFFSET {whole_number(offset, what='offset')}"
    # All rows before the first is looked at: another thread that searches gets its turn with Python
    # once, and not between any two rows.
    rows = connection.execute(
        f"{SELECT_CHUNKS} WHERE {chosen.sql} ORDER BY c.pk {page}", chosen.values
    ).fetchall()
    return {row.pk: stored_chunk(row) for row in map(ChunkRow._make, rows)}


def read_failed(
    connection: Connection, *, collection_id: int | None, limit: int
) -> list[StoredChunk]:
    chosen = Sql("c.embedding_status = 'FAILED'")
    if collection_id is not None:
        chosen = Sql(f"{chosen.sql} AND c.collection_id = ?", (collection_id,))
    return list(read_chunks(connection, chosen, limit=whole_number(limit)).values())


def read_vectors(
    connection: Connection, collection_id: int, ids: Sequence[str]
) -> dict[str, Vector]:
    """Return the serving vectors of chunks by id, in the order asked.

    Chunks that do not exist, or are not found by any vector yet, are left out.
    """
    names = checked_names(ids, what="ids")
    named = among("c.chunk_id", names)
    found = {
        chunk_id: np.frombuffer(vector, dtype="<f4")
        for chunk_id, vector in connection.execute(
            "SELECT c.chunk_id, e.vector FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
            f"WHERE c.collection_id = ? AND e.{IS_HERE} AND {named.sql}",
            (collection_id, *named.values),
        )
    }
    return {name: found[name] for name in names if name in found}


def read_embedded(
    connection: Connection, collection_id: int, chosen: Sql, *, limit: int | None = None
) -> dict[int, tuple[StoredChunk, Vector | None]]:
    """Return chunks as `read_chunks`, each with the vector of its text, if there is one.

    A stale chunk is found by the vector of an older text, and has none here.
    """
    chunks = read_chunks(connection, chosen, limit=limit)
    ready = [chunk.id for chunk in chunks.values() if chunk.status is EmbeddingStatus.READY]
    vectors = read_vectors(connection, collection_id, ready)
    return {key: (chunk, vectors.get(chunk.id)) for key, chunk in chunks.items()}


def read_coverage(connection: Connection, collection_id: int) -> Coverage:
    counts = read_counts(connection, collection_id)
    pending, failed = EmbeddingStatus.PENDING, EmbeddingStatus.FAILED
    return Coverage(
        ready=counts.get((EmbeddingStatus.READY, True), 0),
        stale=counts.get((pending, True), 0) + counts.get((failed, True), 0),
        pending=counts.get((pending, False), 0),
        failed=counts.get((failed, False), 0),
    )


def paid_vectors(
    store: BaseVectorStore, texts: Sequence[str], *, collection: str = DEFAULT_COLLECTION
) -> list[Vector | None]:
    """Return the stored vector of each text, None for one that has none. Nothing is sent or billed.

    Args:
        store: whose cache to look in.
        texts: what was embedded: of a chunk its vector source, with headings or context.
        collection: the one whose spec the vectors are made with; one that does not exist has none.

    Raises:
        InvalidInputError: a text with a lone surrogate.
    """
    found = store.find(collection)
    if found is None:
        return [None] * len(texts)
    keys = list(map(found.spec.hasher(), texts))
    stored: dict[bytes, Vector] = {}
    with store.database.snapshot() as connection:
        for page in pages(dict.fromkeys(keys)):
            ids = {content: key for key, content in content_ids(connection, page).items()}
            rows = connection.execute(
                f"SELECT content_id, vector FROM embeddings WHERE content_id IN {IDS} AND {IS_CACHED}",
                id_set(ids),
            )
            stored |= {ids[content]: np.frombuffer(vector, dtype="<f4") for content, vector in rows}
    return [stored.get(key) for key in keys]
