"""Top-k over vectors: a disposable cache of rows that live elsewhere. Knows no SQL."""

from semantic_core.vector_index.arrays import Floats, Ids
from semantic_core.vector_index.index import Hits, VectorIndex
from semantic_core.vector_index.layout import Identity, Moment
from semantic_core.vector_index.sidecar import Sidecar

__all__ = ["Floats", "Hits", "Identity", "Ids", "Moment", "Sidecar", "VectorIndex"]
