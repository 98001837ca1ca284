"""A query's embedding that still knows how it was made when it reaches the store."""

from __future__ import annotations

from collections.abc import Iterable

from llamaindex_semcore.placeholder import NoVector
from semantic_core import EmbeddingSpec


class QueryVector(list[float]):
    """A query's embedding.

    LlamaIndex embeds a query before it calls the store, and hands the list on as it is. So the
    store can check what two lists of floats do not show: that they are of one space.

    Attributes:
        spec: what it was made with; None for another embed model's.
        provenance: the endpoint it came from; None for another embed model's.
    """

    def __init__(
        self,
        values: Iterable[float] = (),
        *,
        spec: EmbeddingSpec | None = None,
        provenance: str | None = None,
    ) -> None:
        super().__init__(values)
        self.spec = spec
        self.provenance = provenance


class NoQueryVector(NoVector, QueryVector):
    """An empty list for a query that could not be embedded, with the reason."""

    def __init__(self, problem: str = "") -> None:
        super().__init__()
        self.problem = problem
