"""What may be passed to the store beside a query."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from llamaindex_semcore.errors import UnsupportedQueryError

PendingRule = Literal["keyword", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What may be passed beside a query, such as by a retriever's ``vector_store_kwargs``.

    Attributes:
        pending: ``keyword`` lets nodes without a vector be found by keyword; ``skip`` does not.
        exact: compare every vector, where a search of a large collection may otherwise miss one.
        mmr_threshold: 1 is the order by similarity, 0 all diversity; before the query's own.
        mmr_prefetch_k: how many nodes MMR chooses from.
    """

    pending: PendingRule
    exact: bool = False
    mmr_threshold: float | None = None
    mmr_prefetch_k: int | None = None

    @classmethod
    def read(cls, given: dict[str, Any], *, pending: PendingRule) -> Self:
        """Return options, with the store's own ``pending`` where none is given.

        Raises:
            UnsupportedQueryError: an option that does not exist.
        """
        names = [field.name for field in fields(cls)]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise UnsupportedQueryError(
                f"Unknown query options: {', '.join(unknown)}. Use some of: {', '.join(names)}."
            )
        return cls(**({"pending": pending} | given))
