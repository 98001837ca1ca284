"""Top-k over vectors: a disposable cache of rows that live elsewhere. Knows no SQL."""

from semantic_core.vectors.arrays import Floats, Ids
from semantic_core.vectors.index import Hits, VectorIndex
from semantic_core.vectors.layout import Identity
from semantic_core.vectors.metric import Metric
from semantic_core.vectors.sidecar import Sidecar

__all__ = ["Floats", "Hits", "Identity", "Ids", "Metric", "Sidecar", "VectorIndex"]
