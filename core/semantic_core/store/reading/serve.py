"""The vectors that chunks are found by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semantic_core.database import among
from semantic_core.database.port import Connection
from semantic_core.domain.types import Vector
from semantic_core.store.reading.read import checked_names


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
            "SELECT c.chunk_id, e.vector FROM chunks c JOIN embeddings e ON e.key = c.vector_key "
            f"WHERE c.collection_id = ? AND {named.sql}",
            (collection_id, *named.values),
        )
    }
    return {name: found[name] for name in names if name in found}
