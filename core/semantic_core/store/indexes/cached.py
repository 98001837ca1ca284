"""An index in memory as it was at one moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection
from semantic_core.queue.changes import KEPT
from semantic_core.store.indexes.stored import catch_up
from semantic_core.vector_index import Moment, VectorIndex

# Fewer are read from the rows as fast as a file is opened.
LEAST_SAVED = 2000

# Saving writes every vector: it pays once one in five is another.
_CHANGED_SHARE = 5

# A file that is further behind than this will soon be of no use: older changes are forgotten.
FAR_BEHIND = KEPT // 2


@dataclass(frozen=True, slots=True)
class CachedIndex:
    """An index in memory, which is never changed: searches of other threads are under way in it.

    ``moment`` is the last change in it, and ``saved_seq`` the last one in the file that it was
    opened from, or None if it was read from the rows. ``is_given_up`` says that it could not be saved.
    """

    collection: Collection
    index: VectorIndex
    moment: Moment
    saved_seq: int | None
    is_given_up: bool = False

    @property
    def is_worth_saving(self) -> bool:
        """Whether opening it again would save much of what reading it did cost."""
        if len(self.index) < LEAST_SAVED:
            return False
        return (
            self.saved_seq is None
            or self.index.changed * _CHANGED_SHARE >= len(self.index)
            or self.moment.seq - self.saved_seq >= FAR_BEHIND
        )

    def caught_up(self, connection: Connection, now: Moment, oldest: int) -> CachedIndex | None:
        """Return it as of this snapshot; None if changes were forgotten before it saw them."""
        if self.moment.seq < oldest - 1:
            return None
        if self.moment.seq == now.seq:
            return self
        # Published only when it is whole.
        index = self.index.branch()
        catch_up(connection, self.collection.id, index, self.moment.seq)
        return replace(self, index=index, moment=now)
