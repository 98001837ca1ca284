"""Vectors read from the rows into an index."""

import contextlib
import logging
from collections.abc import Sequence

import numpy as np

from semantic_core.database.conditions import IS_HERE
from semantic_core.database.port import Connection
from semantic_core.domain.pages import pages
from semantic_core.queue.counts import read_served
from semantic_core.vector_index import Moment, VectorIndex

_log = logging.getLogger(__name__)


def state(connection: Connection) -> tuple[Moment, int]:
    """Return the last change that there is, and the number of the oldest that is kept."""
    # Each a lookup of its own: max() and min() in one SELECT would read every row of the table.
    newest, oldest, mark = connection.execute(
        "SELECT coalesce((SELECT max(seq) FROM changes), 0), "
        "coalesce((SELECT min(seq) FROM changes), 1), "
        "(SELECT mark FROM changes ORDER BY seq DESC LIMIT 1)"
    ).fetchone()
    return Moment(newest, mark if isinstance(mark, int) else 0), oldest


def mark_at(connection: Connection, seq: int) -> int | None:
    """Return the mark of a change, 0 from before the first one, None if it is forgotten."""
    if seq == 0:
        return 0
    row = connection.execute("SELECT mark FROM changes WHERE seq = ?", (seq,)).fetchone()
    # One that is no number is of nobody, like one that is forgotten: everything is read anew.
    return row[0] if row is not None and isinstance(row[0], int) else None


def read_all(connection: Connection, collection_id: int, dimensions: int) -> VectorIndex:
    """Return an index of all vectors of a collection."""
    index = VectorIndex(dimensions)
    with contextlib.suppress(ValueError, MemoryError):
        # A count that cannot be reserves nothing: room is made as rows come.
        index.matrix.reserve(read_served(connection, collection_id))
    # In the order of their keys, so that most of both tables is read from front to back, but
    # sorted without the vectors, which take a file to sort. SQLite leaves an inner ORDER BY out
    # unless there is a LIMIT.
    rows = connection.stream(
        "SELECT c.pk, e.vector FROM (SELECT pk, embedding_id FROM chunks WHERE collection_id = ? "
        "AND embedding_id IS NOT NULL ORDER BY pk LIMIT -1) c "
        f"CROSS JOIN embeddings e ON e.id = c.embedding_id AND e.{IS_HERE}",
        (collection_id,),
    )
    for page in pages(rows):
        _put(index, page)
    return index


def catch_up(connection: Connection, collection_id: int, index: VectorIndex, seq: int) -> None:
    """Bring an index up from a change to the present."""
    rows = connection.stream(
        "SELECT g.chunk_pk, e.vector FROM (SELECT DISTINCT chunk_pk FROM changes "
        "WHERE seq > ? AND collection_id = ?) g LEFT JOIN chunks c ON c.pk = g.chunk_pk "
        f"LEFT JOIN embeddings e ON e.id = c.embedding_id AND e.{IS_HERE}",
        (seq, collection_id),
    )
    for page in pages(rows):
        index.remove([pk for pk, vector in page if vector is None])
        if served := [row for row in page if row[1] is not None]:
            _put(index, served)


def _put(index: VectorIndex, rows: Sequence[tuple[int, bytes]]) -> None:
    size = 4 * index.dimensions
    usable = [row for row in rows if isinstance(row[1], bytes) and len(row[1]) == size]
    if len(usable) < len(rows):
        # One damaged row must not end search.
        good = {pk for pk, _ in usable}
        misfits = [pk for pk, _ in rows if pk not in good]
        _log.warning(
            "%d stored vectors have another size than their space and are not searched (chunk "
            "rows %s, ...). Save these chunks again.",
            len(misfits),
            misfits[0],
        )
        index.remove(misfits)
    vectors = np.frombuffer(b"".join(row[1] for row in usable), dtype="<f4")
    index.put([row[0] for row in usable], vectors.reshape(len(usable), index.dimensions))
