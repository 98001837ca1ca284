from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from semantic_core.delivery.target import Target, TargetItem
from semantic_core.domain.certain_exit import certain_exit
from semantic_core.domain.errors import InvalidFilterError, TargetError
from semantic_core.domain.types import Vector
from semantic_core.filters import Filter

_NOTED = "Nothing is lost: what it was not told stays noted here, and goes with a later deliver()."

# Of what a store says: it may quote a whole request.
_MOST_SAID = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedTarget:
    """A target of a collection, attached in this process.

    Attributes:
        id: its row.
        name: what it is called here.
        collection: whose vectors it gets.
        target: what talks to the store.
    """

    id: int
    name: str
    collection: str
    target: Target

    def put(self, items: Sequence[TargetItem]) -> None:
        """Add chunks, or raise `TargetError`."""
        with self._named_errors(f"take {len(items)} chunks", _NOTED):
            self.target.put(items)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks, or raise `TargetError`."""
        with self._named_errors(f"delete {len(ids)} chunks", _NOTED):
            self.target.delete(ids)

    def nearest(
        self, vector: Vector, *, limit: int, filters: Filter | None, target_filter: Any
    ) -> Sequence[str]:
        """Return the ids of the nearest chunks, or raise `TargetError`."""
        with self._named_errors(
            "search", "Meanwhile searches go by keyword; exact ones compare the vectors here."
        ):
            return self.target.nearest(
                vector, limit=limit, filters=filters, target_filter=target_filter
            )

    @certain_exit
    def _named_errors(self, what: str, meaning: str) -> Generator[None]:
        try:
            yield
        except InvalidFilterError:
            raise
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:_MOST_SAID]
            raise TargetError(
                f"The target {self.name!r} could not {what} ({said}). {meaning}"
            ) from error
