import numpy as np

from semantic_core.database.conditions import IS_HERE
from semantic_core.database.port import Connection
from semantic_core.domain.pages import pages
from semantic_core.vector_index import VectorIndex

# Vectors are kept at length 1, as float32.
_TOLERANCE = 1e-5


def count_differences(connection: Connection, index: VectorIndex, collection_id: int) -> int:
    """Return for how many chunks the index of a collection holds another vector than the rows."""
    rows = connection.stream(
        "SELECT c.pk, e.vector FROM chunks c JOIN embeddings e ON e.id = c.embedding_id "
        f"WHERE c.collection_id = ? AND e.{IS_HERE}",
        (collection_id,),
    )
    differing = found = 0
    for page in pages(rows):
        there = [(pk, vector) for pk, vector in page if pk in index]
        found += len(there)
        differing += len(page) - len(there) + _count_other(index, there)
    return differing + len(index) - found


def _count_other(index: VectorIndex, rows: list[tuple[int, bytes]]) -> int:
    size = 4 * index.dimensions
    usable = [(pk, one) for pk, one in rows if isinstance(one, bytes) and len(one) == size]
    if not usable:
        return len(rows)
    true = np.frombuffer(b"".join(vector for _, vector in usable), dtype="<f4")
    true = true.reshape(len(usable), index.dimensions).astype(np.float64)
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    own = index.vectors([pk for pk, _ in usable])
    is_other = np.abs(own - true).max(axis=1) > _TOLERANCE
    return len(rows) - len(usable) + int(is_other.sum())
