"""Top-k search over vectors: a disposable cache of rows in the database. It uses no SQL."""

from semantic_core.vector_index.arrays import Floats, Ids
from semantic_core.vector_index.index import NO_HITS, Hits, VectorIndex
from semantic_core.vector_index.layout import Identity, Moment
from semantic_core.vector_index.sidecar import Sidecar

__all__ = ["NO_HITS", "Floats", "Hits", "Identity", "Ids", "Moment", "Sidecar", "VectorIndex"]
