"""The port of delivery: what a vector store must do to get a collection's vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from semantic_core.domain.types import StoredChunk, Vector
from semantic_core.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetItem:
    """A chunk as it is delivered.

    Attributes:
        chunk: the chunk as it is stored; it is READY.
        vector: that of its content, float32.
    """

    chunk: StoredChunk
    vector: Vector


class Target(Protocol):
    """A vector store elsewhere. The ids are those of the chunks, of one collection.

    Where the store takes no such ids, the target makes others of them, always the same, and keeps
    the chunk's id beside. A method may raise whatever the store raises: delivery keeps it as the
    cause of a `TargetError`. No database transaction is open during a call, and no two calls that
    write come at the same time.
    """

    @property
    def kind(self) -> str:
        """What store it is, and where, such as ``Qdrant, collection 'docs'``; without a password.

        It is kept with the target's name, so that no other store takes its place by mistake.
        """

    def put(self, items: Sequence[TargetItem]) -> None:
        """Add chunks; all of them are there when it returns.

        A chunk that the store may hold was deleted just before, so that it need not replace any.
        """

    def delete(self, ids: Sequence[str]) -> None:
        """Delete chunks; ids that the store does not hold are no error."""

    def nearest(
        self, vector: Vector, *, limit: int, filters: Filter | None, target_filter: Any
    ) -> Sequence[str]:
        """Return the ids of the nearest chunks, nearest first.

        What comes back is looked up and filtered once more, so that it may be too much, or of
        chunks that are gone. It must not leave out what matches.

        Args:
            vector: of shape (dimensions,).
            limit: how many at most.
            filters: what the metadata must match, or None.
            target_filter: what the caller passed for this store alone, in its own language, or
                None. It is used in place of ``filters``.

        Raises:
            InvalidFilterError: the store cannot answer ``filters``, and there is no
                ``target_filter``.
        """
