"""One vector index a collection, kept in step with the rows through the ``changes`` table.

The rows are the truth. An index is read from them once, saved beside the database, and from then
on mapped and brought up to date; whatever is wrong with the saved one, the rows are read again.
"""

import glob
import logging
import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np

from semantic_core.database.port import Connection
from semantic_core.database.schema import database_uuid
from semantic_core.database.strategies import Collection, Database, Nearest, Rows
from semantic_core.domain.types import Vector
from semantic_core.queue.counts import read_served
from semantic_core.store.indexes.beside import Beside
from semantic_core.store.indexes.cached import FAR_BEHIND, CachedIndex
from semantic_core.store.indexes.compare import count_differences
from semantic_core.store.indexes.stored import catch_up, mark_at, read_all, state
from semantic_core.store.indexes.turns import Turns
from semantic_core.vector_index import NO_HITS, Hits, Identity, Moment, Sidecar, VectorIndex

_log = logging.getLogger(__name__)


# So many new vectors are read within a search; more are read when they are written.
_READ_WITHIN = 200

# Collections whose names share one are not brought up to date side by side.
_LOCKS = 64


class MappedVectors:
    """The vector search of one store: an index a collection, saved beside the database and mapped.

    Args:
        database: where the rows are; the saved indexes are beside it, as ``<name>.vectors-<n>``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unread = 0
        self._beside = Beside()
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
        now, oldest = state(connection)
        known = self._cached.get(collection.id)
        if known is not None and known.moment != now:
            before, ahead = self._ahead.pop(collection.id, (None, known))
            if before is known.index and ahead.moment == now:
                known = replace(known, index=ahead.index, moment=now)
        cached = None if known is None else known.caught_up(connection, now, oldest)
        if cached is None:
            # Kept only when it is whole: an error while loading must not leave half of it.
            cached = self._open(connection, collection, dimensions, oldest, now) or CachedIndex(
                collection, read_all(connection, collection.id, dimensions), now, None
            )
        self._keep(cached)
        return cached.index

    def turn(self, name: str, *, is_plain: bool) -> AbstractContextManager[None]:
        """Wait for a turn to search; one that ``is_plain`` is by vector alone, and brief with cells."""
        if self._sessions is not None:
            return self._sessions.one()
        return self._turns.one(is_brief=is_plain and name in self._brief)

    def lock(self, name: str) -> Lock:
        """Return what to hold from before a snapshot's first read until `at` has returned.

        Meanwhile nobody else brings the index of the collection to a later state than that
        snapshot's. Written in C, as all that an interrupt must not leave locked.
        """
        return self._locks[hash(name) % len(self._locks)]

    def at_once(self, connection: Connection, collection: Collection) -> Nearest | None:
        """Return what finds vectors as they are in a snapshot; None where `at` has to bring it there."""
        tables = self._database.vectors
        if tables is not None and (found := tables.nearest(connection, collection)) is not None:
            self._cached.pop(collection.id, None)
            return found
        now, _ = state(connection)
        cached = self._cached.get(collection.id)
        if cached is None or cached.moment != now:
            return None
        return partial(self._nearest, cached.index)

    def at(self, connection: Connection, collection: Collection) -> Nearest:
        """Return what finds vectors as they are in a snapshot that began under the `lock`."""
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
        chosen = rows.chosen
        is_brief = index.is_clustered and not exact
        # Where all else in a search waits for a server, only this needs a core.
        with nullcontext() if self._sessions is None else self._turns.one(is_brief=is_brief):
            return index.search_many(
                np.stack(vectors),
                limit,
                allowed=chosen,
                # Until the codes of many rows are made beside it.
                exact=exact or (index.is_uncoded and not self._beside.has_failed),
                is_shared=self._turns.are_shared or self._beside.is_busy,
            )

    def count_differences(self, collection: Collection) -> int:
        """Return for how many chunks another vector is searched than the rows have.

        Reads every vector. What was saved on disk is what is compared, brought up to date.
        """
        tables = self._database.vectors
        with self._database.snapshot() as connection:
            with self.lock(collection.name):
                if tables is not None and tables.nearest(connection, collection) is not None:
                    return len(tables.differing(connection, collection))
                index = self.current(connection, collection)
            return 0 if index is None else count_differences(connection, index, collection.id)

    def searched(self, collection: Collection) -> None:
        """Save an index that had to be read from the rows, so that it need not be again.

        Within a search, but only once: such a search has waited for the rows anyhow, and many a
        process never closes its store. A large one is made and saved beside the searches, and again
        whenever that pays.
        """
        cached = self._cached.get(collection.id)
        if cached is None:
            return
        if cached.index.is_large:
            if not cached.is_given_up and (cached.is_worth_saving or cached.index.is_unfinished):
                self._beside.start(partial(self._save, cached.collection, unfinished=True))
        elif cached.saved_seq is None:
            self._save(cached.collection)

    def written(self, count: int) -> None:
        """Bring large indexes in memory up to date, so that no search has to."""
        self._unread += count
        is_large = any(cached.index.is_large for cached in list(self._cached.values()))
        if is_large and self._unread >= _READ_WITHIN:
            self._unread = 0
            # What was written is written, whatever comes of this.
            self._beside.do(self._follow)

    @contextmanager
    def ahead(self, connection: Connection) -> Iterator[None]:
        """Read into large indexes in memory what a transaction writes, before it commits.

        The searches after it find that done, and those before it wait for nothing. Only where
        writers are alone: nobody else may branch an index meanwhile.
        """
        is_large = any(cached.index.is_large for cached in list(self._cached.values()))
        if not is_large or self._database.vectors is not None:
            yield
            return
        before, _ = state(connection)
        yield
        self._beside.do(partial(self._read_ahead, connection, before))

    def _read_ahead(self, connection: Connection, before: Moment) -> None:
        now, oldest = state(connection)
        for known in list(self._cached.values()):
            # One that lags may be branched by a search, too. What is rolled back has a mark that
            # no moment will ever have.
            if known.index.is_large and known.moment == before != now:
                ahead = known.caught_up(connection, now, oldest)
                if ahead is not None:
                    self._ahead[known.collection.id] = (known.index, ahead)

    def refresh(self) -> None:
        """Bring the indexes in memory up to date and save them, if that pays.

        For the end of long work, so that no search has to wait for it.
        """
        self._follow()
        self.save_changed()

    def _follow(self) -> None:
        for cached in list(self._cached.values()):
            with self.lock(cached.collection.name), self._database.snapshot() as connection:
                index = self.current(connection, cached.collection)
            if index is not None:
                index.code_new()

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
                self._change(collection_id, saved_seq=-FAR_BEHIND)

    def throw_away(self) -> None:
        """Forget every index, in memory and on disk: the next search reads the rows."""
        self._beside.finish()
        self.forget_deleted()
        self._forget()

    def close(self) -> None:
        """Save the indexes that are worth saving, and release the memory."""
        self._beside.finish(self.save_changed)
        self._forget()

    def _open(
        self,
        connection: Connection,
        collection: Collection,
        dimensions: int,
        oldest: int,
        now: Moment,
    ) -> CachedIndex | None:
        """Open the saved index and bring it up to date, or return None."""
        sidecar = self._sidecar(connection, collection, dimensions)
        found = sidecar.open(oldest=oldest - 1, newest=now.seq)
        if found is None:
            return None
        index, moment = found
        mark = mark_at(connection, moment.seq)
        if mark is None:
            return None  # that change is forgotten, so nobody can tell
        if mark != moment.mark:
            sidecar.ignore("is from another past of the database, which was restored")
            return None
        catch_up(connection, collection.id, index, moment.seq)
        served = read_served(connection, collection.id)
        if len(index) != served:
            sidecar.ignore(f"holds {len(index)} vectors, the rows hold {served}")
            return None
        return CachedIndex(collection, index, now, moment.seq)

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

    def _save(self, collection: Collection, *, unfinished: bool = False) -> None:
        """Save an index if that pays, or makes it faster, while searches go on in it."""
        with self.lock(collection.name):
            cached = self._cached.get(collection.id)
            if cached is None or not (
                cached.is_worth_saving or (unfinished and cached.index.is_unfinished)
            ):
                return
            seq = cached.moment.seq
            # By nobody else meanwhile. Without a file, too: once is enough to find out that there
            # is no room for one.
            self._change(collection.id, saved_seq=seq)
            sidecar = self._sidecars[collection.id]
        opened = None
        if sidecar.save(cached.index, cached.moment, is_hurried=self._beside.is_hurried):
            # Mapped instead of held: so it takes no memory of its own, and processes share it.
            opened = sidecar.open(oldest=seq, newest=seq)
            self._forget_deleted(cached, sidecar)
        if opened is not None and opened[1] == cached.moment:
            self._put_in_place(replace(cached, index=opened[0]))
        else:
            # Whoever may not write has the codes at least, and there is no second try for long.
            cached.index.first_pass()
            with self.lock(collection.name):
                self._change(collection.id, is_given_up=True)

    def _put_in_place(self, opened: CachedIndex) -> None:
        """Go on with an index that was saved, and with what has changed meanwhile."""
        with self._database.snapshot() as connection:
            current = opened.caught_up(connection, *state(connection))
        # What has changed since then is little: no search waits long for the lock.
        with self._database.snapshot() as connection, self.lock(opened.collection.name):
            current = current and current.caught_up(connection, *state(connection))
            if current is not None:
                self._change(opened.collection.id, index=current.index, moment=current.moment)

    def _forget_deleted(self, saved: CachedIndex, sidecar: Sidecar) -> None:
        """Remove the file again if vectors in it were deleted while it was written.

        A purge in another process may have looked for files just before.
        """
        with self._database.snapshot() as connection:
            gone = connection.execute(
                "SELECT 1 FROM changes LEFT JOIN chunks c ON c.pk = chunk_pk "
                "AND c.embedding_id IS NOT NULL "
                "WHERE seq > ? AND changes.collection_id = ? AND c.pk IS NULL LIMIT 1",
                (saved.moment.seq, saved.collection.id),
            ).fetchone()
        if gone is not None:
            sidecar.remove()

    def _change(self, collection_id: int, **changes: Any) -> None:
        """Put another version of a cached index in place of it, under its lock."""
        cached = self._cached.get(collection_id)
        if cached is not None:
            self._keep(replace(cached, **changes))

    def _keep(self, cached: CachedIndex) -> None:
        self._cached[cached.collection.id] = cached
        note = self._brief.add if cached.index.is_clustered else self._brief.discard
        note(cached.collection.name)

    def _forget(self) -> None:
        self._cached: dict[int, CachedIndex] = {}
        self._sidecars: dict[int, Sidecar] = {}
        # Collections of which a plain search is brief.
        self._brief: set[str] = set()
        # By collection: the index that each was made of, and what it is after the next commit.
        self._ahead: dict[int, tuple[VectorIndex | None, CachedIndex]] = {}

    def _start_over(self) -> None:
        self._forget()
        self._beside = Beside()
        # Not one for each name: nobody would remove those of names that no collection has.
        self._locks = [Lock() for _ in range(_LOCKS)]
        self._turns = Turns()
        sessions = self._database.sessions
        self._sessions = None if sessions is None else Turns(sessions)


# In a forked child the lock may be held, and an index be half changed, by a thread that is not
# there.
_caches: weakref.WeakSet[MappedVectors] = weakref.WeakSet()


def _start_over_after_fork() -> None:
    for cache in _caches:
        cache._start_over()  # noqa: SLF001  # of this very module


os.register_at_fork(after_in_child=_start_over_after_fork)
