"""One vector index a collection, kept in step with the rows through the ``changes`` table.

The rows are the truth. An index is read from them once, saved beside the database, and from then
on mapped and brought up to date; whatever is wrong with the saved one, the rows are read again.
"""

import contextlib
import glob
import logging
import os
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.schema import database_uuid
from semantic_core.database.strategies import Collection, Database, Nearest, Rows
from semantic_core.domain.pages import pages
from semantic_core.domain.types import Vector
from semantic_core.queue.changes import KEPT
from semantic_core.queue.counts import read_served
from semantic_core.store.indexes.compare import count_differences
from semantic_core.store.indexes.turns import Turns
from semantic_core.vector_index import NO_HITS, Hits, Identity, Moment, Sidecar, VectorIndex

_log = logging.getLogger(__name__)


# Fewer are read from the rows as fast as a file is opened.
LEAST_SAVED = 2000

# Saving writes every vector: it pays once one in five is another.
_CHANGED_SHARE = 5

# Collections whose names share one are not brought up to date side by side.
_LOCKS = 64

# A file that is further behind than this will soon be of no use: older changes are forgotten.
_FAR_BEHIND = KEPT // 2


@dataclass(frozen=True, slots=True)
class _Cached:
    """An index in memory, which is never changed: searches of other threads are under way in it.

    ``moment`` is the last change in it, and ``saved_seq`` the last one in the file that it was
    opened from, or None if it was read from the rows.
    """

    collection: Collection
    index: VectorIndex
    moment: Moment
    saved_seq: int | None

    @property
    def is_worth_saving(self) -> bool:
        """Whether opening it again would save much of what reading it did cost."""
        if len(self.index) < LEAST_SAVED:
            return False
        return (
            self.saved_seq is None
            or self.index.changed * _CHANGED_SHARE >= len(self.index)
            or self.moment.seq - self.saved_seq >= _FAR_BEHIND
        )


class MappedVectors:
    """The vector search of one store: an index a collection, saved beside the database and mapped.

    Args:
        database: where the rows are; the saved indexes are beside it, as ``<name>.vectors-<n>``.

    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._start_over()
        _caches.add(self)

    def current(self, connection: Connection, collection: Collection) -> VectorIndex | None:
        """Return the index as of this snapshot, or None for a space without any vector yet.

        The snapshot has to begin under the lock, or another thread could bring the index to a later
        state than that. What is returned stays as it is, so that searches run side by side.
        """
        dimensions = collection.spec.dimensions
        if dimensions is None:
            return None
        # Each a lookup of its own: max() and min() in one SELECT would read every row of the table.
        newest, oldest, mark = connection.execute(
            "SELECT coalesce((SELECT max(seq) FROM changes), 0), "
            "coalesce((SELECT min(seq) FROM changes), 1), "
            "(SELECT mark FROM changes ORDER BY seq DESC LIMIT 1)"
        ).fetchone()
        now = Moment(newest, mark if isinstance(mark, int) else 0)
        cached = self._cached.get(collection.id)
        # A gap means that changes were forgotten before they were seen here.
        if cached is None or cached.moment.seq < oldest - 1:
            # Kept only when it is whole: an error while loading must not leave half of it.
            cached = self._open(connection, collection, dimensions, oldest, now) or _Cached(
                collection, _read_all(connection, collection.id, dimensions), now, None
            )
            self._cached[collection.id] = cached
        elif cached.moment.seq < newest:
            # Published only when it is whole, as above.
            index = cached.index.branch()
            _catch_up(connection, collection.id, index, cached.moment.seq)
            cached = replace(cached, index=index, moment=now)
            self._cached[collection.id] = cached
        return cached.index

    def turn(self) -> AbstractContextManager[None]:
        """Wait for a turn to search: as many threads at once as there are cores to run them."""
        return self._turns.one()

    def lock(self, name: str) -> Lock:
        """Return what to hold from before a snapshot's first read until `at` has returned.

        Meanwhile nobody else brings the index of the collection to a later state than that
        snapshot's. Written in C, as all that an interrupt must not leave locked.
        """
        return self._locks[hash(name) % len(self._locks)]

    def at(self, connection: Connection, collection: Collection) -> Nearest:
        """Return what finds vectors as they are in a snapshot that began under the `lock`."""
        tables = self._database.vectors
        if tables is not None and (found := tables.nearest(connection, collection)) is not None:
            self._cached.pop(collection.id, None)
            return found
        return partial(self._nearest, self.current(connection, collection))

    def _nearest(
        self,
        index: VectorIndex | None,
        vectors: Sequence[Vector],
        *,
        limit: int,
        rows: Rows,
        exact: bool,
    ) -> list[Hits]:
        if index is None or not vectors:
            return [NO_HITS] * len(vectors)
        return index.search_many(
            np.stack(vectors),
            limit,
            allowed=rows.chosen,
            exact=exact,
            is_shared=self._turns.are_shared,
        )

    def count_differences(self, collection: Collection) -> int:
        """Return for how many chunks another vector is searched than the rows have.

        Reads every vector. What was saved on disk is what is compared, brought up to date.
        """
        tables = self._database.vectors
        with self._database.snapshot() as connection:
            if tables is not None and tables.nearest(connection, collection) is not None:
                return len(tables.differing(connection, collection))
            with self.lock(collection.name):
                index = self.current(connection, collection)
            return 0 if index is None else count_differences(connection, index, collection.id)

    def searched(self, collection: Collection) -> None:
        """Save an index that had to be read from the rows, so that it need not be again.

        Within a search, but only once: such a search has waited for the rows anyhow, and many a
        process never closes its store.
        """
        cached = self._cached.get(collection.id)
        if cached is not None and cached.saved_seq is None:
            self._save(cached.collection)

    def refresh(self) -> None:
        """Bring the indexes in memory up to date and save them, if that pays.

        For the end of long work, so that no search has to wait for it.
        """
        for cached in list(self._cached.values()):
            with self._database.snapshot() as connection, self.lock(cached.collection.name):
                self.current(connection, cached.collection)
        self.save_changed()

    def save_changed(self) -> None:
        """Save the indexes in memory that differ much from their files."""
        for cached in list(self._cached.values()):
            self._save(cached.collection)

    def forget_deleted(self) -> None:
        """Remove all saved indexes of the database: vectors in them must not outlive a purge."""
        path = self._database.path
        for file in path.parent.glob(f"{glob.escape(path.name)}.vectors-*"):
            file.unlink(missing_ok=True)
        for collection_id, cached in list(self._cached.items()):
            with self.lock(cached.collection.name):
                # Written anew when there is time for it, which is not within the next search.
                self._change(collection_id, saved_seq=-_FAR_BEHIND)

    def throw_away(self) -> None:
        """Forget every index, in memory and on disk: the next search reads the rows."""
        self.forget_deleted()
        self._forget()

    def close(self) -> None:
        """Save the indexes that are worth saving, and release the memory."""
        self.save_changed()
        self._forget()

    def _open(
        self,
        connection: Connection,
        collection: Collection,
        dimensions: int,
        oldest: int,
        now: Moment,
    ) -> _Cached | None:
        """Open the saved index and bring it up to date, or return None."""
        sidecar = self._sidecar(connection, collection, dimensions)
        found = sidecar.open(oldest=oldest - 1, newest=now.seq)
        if found is None:
            return None
        index, moment = found
        mark = _mark_at(connection, moment.seq)
        if mark is None:
            return None  # that change is forgotten, so nobody can tell
        if mark != moment.mark:
            sidecar.ignore("is from another past of the database, which was restored")
            return None
        _catch_up(connection, collection.id, index, moment.seq)
        served = read_served(connection, collection.id)
        if len(index) != served:
            sidecar.ignore(f"holds {len(index)} vectors, the rows hold {served}")
            return None
        return _Cached(collection, index, now, moment.seq)

    def _sidecar(self, connection: Connection, collection: Collection, dimensions: int) -> Sidecar:
        """Return the file of a collection, the same object each time: it warns once."""
        sidecar = self._sidecars.get(collection.id)
        if sidecar is None:
            identity = Identity(
                database=database_uuid(connection),
                collection=collection.id,
                space=collection.spec.space_digest,
                dimensions=dimensions,
            )
            path = self._database.path
            sidecar = Sidecar(path.with_name(f"{path.name}.vectors-{collection.id}"), identity)
            self._sidecars[collection.id] = sidecar
        return sidecar

    def _save(self, collection: Collection) -> None:
        """Save an index if that pays, while searches go on in it."""
        with self.lock(collection.name):
            cached = self._cached.get(collection.id)
            if cached is None or not cached.is_worth_saving:
                return
            seq = cached.moment.seq
            # By nobody else meanwhile. Without a file, too: once is enough to find out that there
            # is no room for one.
            self._change(collection.id, saved_seq=seq)
            sidecar = self._sidecars[collection.id]
        if not sidecar.save(cached.index, cached.moment):
            return
        # Mapped instead of held: so it takes no memory of its own, and processes share it.
        opened = sidecar.open(oldest=seq, newest=seq)
        if opened is not None and opened[1] == cached.moment:
            with self.lock(collection.name):
                now = self._cached.get(collection.id)
                if now is not None and now.index is cached.index:
                    self._change(collection.id, index=opened[0])
        self._forget_deleted(cached, sidecar)

    def _forget_deleted(self, saved: _Cached, sidecar: Sidecar) -> None:
        """Remove the file again if vectors in it were deleted while it was written.

        A purge in another process may have looked for files just before.
        """
        with self._database.snapshot() as connection:
            gone = connection.execute(
                "SELECT 1 FROM changes LEFT JOIN chunks c ON c.pk = chunk_pk "
                "AND c.vector_key IS NOT NULL "
                "WHERE seq > ? AND changes.collection_id = ? AND c.pk IS NULL LIMIT 1",
                (saved.moment.seq, saved.collection.id),
            ).fetchone()
        if gone is not None:
            sidecar.remove()

    def _change(self, collection_id: int, **changes: Any) -> None:
        """Put another version of a cached index in place of it, under its lock."""
        cached = self._cached.get(collection_id)
        if cached is not None:
            self._cached[collection_id] = replace(cached, **changes)

    def _forget(self) -> None:
        self._cached: dict[int, _Cached] = {}
        self._sidecars: dict[int, Sidecar] = {}

    def _start_over(self) -> None:
        self._forget()
        # Not one for each name: nobody would remove those of names that no collection has.
        self._locks = [Lock() for _ in range(_LOCKS)]
        self._turns = Turns()


# In a forked child the lock may be held, and an index be half changed, by a thread that is not
# there.
_caches: weakref.WeakSet[MappedVectors] = weakref.WeakSet()


def _start_over_after_fork() -> None:
    for cache in _caches:
        cache._start_over()  # noqa: SLF001  # of this very module


os.register_at_fork(after_in_child=_start_over_after_fork)


def _mark_at(connection: Connection, seq: int) -> int | None:
    """Return the mark of a change, 0 from before the first one, None if it is forgotten."""
    if seq == 0:
        return 0
    row = connection.execute("SELECT mark FROM changes WHERE seq = ?", (seq,)).fetchone()
    # One that is no number is of nobody, like one that is forgotten: everything is read anew.
    return row[0] if row is not None and isinstance(row[0], int) else None


def _read_all(connection: Connection, collection_id: int, dimensions: int) -> VectorIndex:
    index = VectorIndex(dimensions)
    with contextlib.suppress(ValueError, MemoryError):
        # A count that cannot be reserves nothing: room is made as rows come.
        index.matrix.reserve(read_served(connection, collection_id))
    # In the order of their keys, so that most of both tables is read from front to back, but
    # sorted without the vectors, which take a file to sort. SQLite leaves an inner ORDER BY out
    # unless there is a LIMIT.
    rows = connection.stream(
        "SELECT c.pk, e.vector FROM (SELECT pk, vector_key FROM chunks WHERE collection_id = ? "
        "AND vector_key IS NOT NULL ORDER BY pk LIMIT -1) c "
        "CROSS JOIN embeddings e ON e.key = c.vector_key",
        (collection_id,),
    )
    for page in pages(rows):
        _put(index, page)
    return index


def _catch_up(connection: Connection, collection_id: int, index: VectorIndex, seq: int) -> None:
    rows = connection.stream(
        "SELECT g.chunk_pk, e.vector FROM (SELECT DISTINCT chunk_pk FROM changes "
        "WHERE seq > ? AND collection_id = ?) g LEFT JOIN chunks c ON c.pk = g.chunk_pk "
        "LEFT JOIN embeddings e ON e.key = c.vector_key",
        (seq, collection_id),
    )
    for page in pages(rows):
        index.remove([pk for pk, vector in page if vector is None])
        if served := [row for row in page if row[1] is not None]:
            _put(index, served)


def _put(index: VectorIndex, rows: Sequence[tuple[int, bytes]]) -> None:
    size = 4 * index.dimensions
    usable = [row for row in rows if isinstance(row[1], bytes) and len(row[1]) == size]
    if len(usable) < len(rows):
        # One damaged row must not end search.
        good = {pk for pk, _ in usable}
        misfits = [pk for pk, _ in rows if pk not in good]
        _log.warning(
            "%d stored vectors have another size than their space and are not searched (chunk "
            "rows %s, ...). Save these chunks again.",
            len(misfits),
            misfits[0],
        )
        index.remove(misfits)
    vectors = np.frombuffer(b"".join(row[1] for row in usable), dtype="<f4")
    index.put([row[0] for row in usable], vectors.reshape(len(usable), index.dimensions))
