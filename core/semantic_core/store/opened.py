"""A store's database while it is open: opening, closing, copying, and what it says of itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Self

import peewee

from semantic_core.database import Database, open_to_others
from semantic_core.database.schema import SchemaOptions, ensure_schema_compatibility, read_meta
from semantic_core.database.sqlite.backup import back_up, remove_left_copies
from semantic_core.database.tables import build_tables
from semantic_core.domain.clock import Clock, SystemClock
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.types import QueueStats
from semantic_core.queue.stats import read_stats
from semantic_core.store.collections import (
    DEFAULT_COLLECTION,
    Collection,
    collection_id,
    find_collection,
    get_collection,
)
from semantic_core.store.indexes.cache import IndexCache
from semantic_core.store.indexes.compare import count_differences
from semantic_core.store.provenance import check_provenance, fix_provenance
from semantic_core.store.reading.read import read_coverage
from semantic_core.store.writing.vectors import known_vectors

_log = logging.getLogger(__name__)


class OpenStore:
    """The part of `PeeweeVectorStore` that is about the database as a whole."""

    def __init__(
        self,
        database: str | os.PathLike[str] | peewee.SqliteDatabase | Database,
        *,
        options: SchemaOptions | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.database = database if isinstance(database, Database) else Database(database)
        self.clock = clock or SystemClock()
        try:
            ensure_schema_compatibility(self.database, options or SchemaOptions())
        except BaseException:
            self.database.close()
            raise
        if others := open_to_others(self.database.path):
            _log.warning(
                "%s can be written by others than its owner: they could change what is found, and "
                "what is sent and paid for. chmod go-w, or `semcore doctor --fix`, ends that.",
                others[0],
            )
        remove_left_copies(self.database.path.parent)
        self.tables = build_tables(self.database.peewee)
        self._indexes = IndexCache(self.database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.database.path)!r})"

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[object, ...]]:
        """Pickle where the database is, for workers of Ray, Dask, joblib or multiprocessing.

        A copy, too, is another store on the same file, and is closed by itself.

        Raises:
            StorageError: the store was given a ready peewee database.
        """
        return partial(type(self), clock=self.clock), (self.database,)

    def __copy__(self) -> Self:
        return deepcopy(self)

    def close(self) -> None:
        """Close every connection this store opened, in whatever thread. Idempotent.

        Where vectors changed much since the index was saved, it is saved first, for the next one.
        """
        try:
            self._indexes.close()
        finally:
            self.database.close()

    def refresh_indexes(self) -> None:
        """Bring the vector indexes in memory up to date now, so that no search has to.

        Changes nothing in the database. Where nothing was searched yet there is nothing to do.
        """
        self._indexes.refresh()

    def compare_indexes(self) -> int:
        """Return for how many chunks vector search has another vector than the rows.

        Reads every vector, and changes nothing.
        """
        with self.database.snapshot() as connection:
            names = connection.execute("SELECT name FROM collections ORDER BY name").fetchall()
            found = [get_collection(connection, name) for (name,) in names]
        return sum(count_differences(self.database, self._indexes, one) for one in found)

    def rebuild_indexes(self) -> None:
        """Throw the vector indexes away, in memory and on disk; the next search reads the rows."""
        self._indexes.throw_away()

    def backup(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Copy the whole database to one file, while others read and write it.

        The copy is of one moment, and appears under its name whole or not at all, for its owner
        only. A store opened on it adopts the batch jobs that were sent after that moment.

        Args:
            path: the file; its folder must exist.
            overwrite: replace what is there, in one step.

        Raises:
            StorageError: the file exists, or could not be written.
        """
        try:
            os.fsencode(path)
        except (TypeError, UnicodeError) as error:
            raise InvalidInputError(f"The path of a backup names no file ({error}).") from error
        back_up(self.database, Path(path), overwrite=overwrite)

    def known_vectors(self, content_hashes: Sequence[str]) -> set[str]:
        """Return which of these content hashes (hex) have a stored vector or an open batch item."""
        with self.database.snapshot() as connection:
            return known_vectors(connection, content_hashes)

    def find(self, name: str = DEFAULT_COLLECTION) -> Collection | None:
        """Return a collection, or None if there is none of this name. Never creates one."""
        with self.database.snapshot() as connection:
            return find_collection(connection, name)

    def has_vectors(self, collection: str = DEFAULT_COLLECTION) -> bool:
        """Return whether a vector search of the collection could find anything."""
        with self.database.snapshot() as connection:
            target = find_collection(connection, collection)
            if target is None:
                return False
            coverage = read_coverage(connection, target.id)
            return coverage.ready + coverage.stale > 0

    def fix_provenance(self, provenance: str) -> None:
        """Bind the database to a provider endpoint, or check that it is bound to this one.

        Raises:
            ProvenanceError: it holds vectors of another endpoint.
        """
        with self.database.transaction() as connection:
            fix_provenance(connection, provenance, self.database.path)

    def check_provenance(self, provenance: str) -> None:
        """Check that the database is bound to no provider endpoint, or to this one.

        Raises:
            ProvenanceError: it holds vectors of another endpoint.
        """
        with self.database.snapshot() as connection:
            check_provenance(connection, provenance, self.database.path)

    def stats(self, collection: str | None = None) -> QueueStats:
        """Return what waits, what runs and what failed, in one collection or in all.

        Raises:
            UnknownCollectionError: there is no such collection; it names those there are.
        """
        with self.database.snapshot() as connection:
            target = None if collection is None else collection_id(connection, collection)
            return read_stats(connection, collection_id=target, now=self.clock.now())

    def meta(self, key: str) -> str | None:
        """Return a value of the meta table, such as ``install_id``, or None."""
        with self.database.snapshot() as connection:
            return read_meta(connection, key)
