"""What stands for a vector in LlamaIndex: a placeholder, or a query's with what it was made with."""

from collections.abc import Iterable
from typing import Any, NoReturn, Self

from llama_index.core.schema import BaseNode

from semantic_core.api import ConfigurationError, EmbeddingSpec


class DeferredVectorError(ConfigurationError):
    """Something computes with the vector of a text that has none yet. Nothing was sent or billed."""

    @classmethod
    def of_text(cls) -> Self:
        """Return the error for a text that waits for the Batch API."""
        return cls(
            "This text has no vector yet: DeferredEmbedding leaves documents to the Batch API. "
            "Nothing was sent or billed. What computes with vectors at once, such as a semantic "
            "splitter or an evaluator, needs an embed model that embeds at once; and of vector "
            "stores only SemcoreVectorStore takes nodes without a vector."
        )

    @classmethod
    def of_query(cls, problem: str) -> Self:
        """Return the error for a query that could not be embedded."""
        return cls(
            "The query has no vector. SemcoreVectorStore answers such a query by keyword; nothing "
            "else can compute with it. Remove the cause, or let "
            f'DeferredEmbedding(on_query_error="raise") say it at once. The cause: {problem}'
        )


class NoVector(list[float]):
    """An empty list that no one computes with by mistake: neither Python nor numpy.

    It is empty, false, and equal to ``[]``, and pydantic writes it as ``[]``. Whoever goes through
    it computes, or sends it somewhere: a mean or a cosine of empty lists would silently be NaN.

    Attributes:
        problem: why there is no vector, or None: it comes later.
    """

    problem: str | None = None

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        if self.problem is None:
            raise DeferredVectorError.of_text()
        raise DeferredVectorError.of_query(self.problem)

    __array__ = _refuse
    __iter__ = _refuse
    __reversed__ = _refuse
    __getitem__ = _refuse
    __add__ = _refuse
    __mul__ = _refuse
    __rmul__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        # Without this, a copy would iterate.
        return type(self), (), self.__dict__


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


def restore(node: BaseNode) -> None:
    """Put the placeholder where pydantic or JSON has left a plain empty list."""
    if node.embedding is not None and not node.embedding:
        # Beside pydantic, which makes a new list of whatever is assigned.
        node.__dict__["embedding"] = NoVector()
