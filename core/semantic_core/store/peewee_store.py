"""PeeweeVectorStore: the store on SQLite. What its methods do stands at `BaseVectorStore`."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import partial
from typing import Any, Self

import peewee

from semantic_core.database.opening import ensure_schema_compatibility, open_database
from semantic_core.database.port import Connection
from semantic_core.database.schema import read_meta, write_meta
from semantic_core.database.strategies import Collection, Database
from semantic_core.database.tables import build_tables
from semantic_core.domain.clock import Clock
from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.reports import BulkReport, SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import SearchMode, VectorOrigin
from semantic_core.domain.types import (
    Chunk,
    QueueStats,
    SearchResults,
    SplitDocument,
    StoredChunk,
    Vector,
    VectorLike,
)
from semantic_core.domain.validation import listed, seconds, whole_number
from semantic_core.filters import parse_filter
from semantic_core.keywords import check_languages
from semantic_core.queue.stats import read_stats
from semantic_core.store.base import BaseVectorStore, FilterLike
from semantic_core.store.collections import (
    DEFAULT_COLLECTION,
    check_asked,
    collection_id,
    find_collection,
    open_collection,
    read_collections,
)
from semantic_core.store.delivery import Delivery
from semantic_core.store.indexes.cache import MappedVectors
from semantic_core.store.indexes.server import mend
from semantic_core.store.provenance import check_provenance
from semantic_core.store.reading.read import (
    checked_names,
    choose,
    read_chunks,
    read_coverage,
    read_vectors,
)
from semantic_core.store.reading.search import check_query
from semantic_core.store.reading.searcher import Searcher
from semantic_core.store.writing.delete import delete_chunks, prune_vectors
from semantic_core.store.writing.documents import drop_documents, save_documents
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.save import save_chunks
from semantic_core.store.writing.vectors import apply_vectors, known_vectors


class PeeweeVectorStore(BaseVectorStore):
    """Chunks, vectors and the batch queue in one SQLite file. Use it as a context manager.

    Opening creates the database, or brings an older schema forward, in one transaction. It may
    be shared between threads, and any number of processes may open the same file.

    Args:
        database: a path, a ``sqlite:///`` URL, a ``file:`` URI, or a ready peewee database.
        legacy_spec: the spec of the vectors in a database from before batching; without it they
            become given vectors of an external space.
        clock: where timestamps come from.

    Attributes:
        tables: the tables as Peewee models, to read from.

    Raises:
        StorageError: the subclass that says why the database cannot be used.
    """

    def __init__(
        self,
        database: str | os.PathLike[str] | peewee.Database | Database,
        *,
        legacy_spec: EmbeddingSpec | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.database: Database = open_database(database)
        try:
            ensure_schema_compatibility(self.database, legacy_spec)
        except BaseException:
            self.database.close()
            raise
        self.clock = clock or self.database.clock()
        self.database.look_around()
        self.tables = build_tables(self.database.peewee)
        self.delivery = Delivery(self.database, self.clock)
        self._vectors = MappedVectors(self.database)
        self._searcher = Searcher(self.database, self._vectors, self.delivery)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.database.name!r})"

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
        try:
            self._vectors.close()
        finally:
            self.database.close()

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
        self.database.back_up(path, overwrite=overwrite)

    def collection(
        self,
        name: str = DEFAULT_COLLECTION,
        spec: EmbeddingSpec | None = None,
        *,
        languages: Iterable[str] | None = None,
    ) -> Collection:
        asked = None if languages is None else check_languages(languages)
        with self.database.snapshot() as connection:
            found = find_collection(connection, name)
        if found is not None:
            check_asked(found, spec, asked)
            if spec is None or spec.dimensions in (None, found.spec.dimensions):
                return found
        with self.database.transaction() as connection:
            return open_collection(connection, name, spec, now=self.clock.now(), languages=asked)

    def collections(self) -> list[Collection]:
        with self.database.snapshot() as connection:
            return read_collections(connection)

    def find(self, name: str = DEFAULT_COLLECTION) -> Collection | None:
        with self.database.snapshot() as connection:
            return find_collection(connection, name)

    def save(
        self,
        chunks: Iterable[Chunk],
        *,
        collection: str = DEFAULT_COLLECTION,
        keep_refused: bool = False,
    ) -> SaveReport:
        spec = self._spec(collection)
        rows = prepare_chunks(chunks, spec, keep_refused=keep_refused)
        if not rows:
            return SaveReport()
        report = save_chunks(self.database, rows, name=collection, spec=spec, clock=self.clock)
        self._vectors.written(len(rows))
        return report

    def save_documents(
        self, documents: Iterable[SplitDocument], *, collection: str = DEFAULT_COLLECTION
    ) -> tuple[SaveReport, int]:
        spec = self._spec(collection)
        page = list(documents)
        return save_documents(self.database, page, name=collection, spec=spec, clock=self.clock)

    def delete(
        self,
        *,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        filters: FilterLike = None,
        collection: str = DEFAULT_COLLECTION,
        purge: bool = False,
    ) -> int:
        if ids is None and document_ids is None and parse_filter(filters) is None:
            raise InvalidInputError(
                "delete() needs ids, document_ids or filters. Use clear() to empty a collection."
            )
        with self.database.snapshot() as connection:
            target = find_collection(connection, collection)
        if target is None:
            return 0
        where = choose(target.id, filters=filters, ids=ids, document_ids=document_ids)
        chosen = self.database.metadata.condition(where)
        with self.database.transaction() as connection:
            now = self.clock.now()
            deleted, owners = delete_chunks(self.database, connection, chosen, purge=purge, now=now)
            drop_documents(connection, target.id, owners.union(where.document_ids or ()))
        if purge:
            self._vectors.forget_deleted()
        return deleted

    def clear(self, collection: str = DEFAULT_COLLECTION) -> int:
        with self.database.transaction() as connection:
            target = find_collection(connection, collection)
            if target is None:
                return 0
            now = self.clock.now()
            chosen = self.database.metadata.condition(choose(target.id))
            deleted, _ = delete_chunks(self.database, connection, chosen, purge=False, now=now)
            connection.execute("DELETE FROM documents WHERE collection_id = ?", (target.id,))
        return deleted

    def prune(self, older_than: float) -> int:
        with self.database.transaction() as connection:
            before = self.clock.now() - seconds(older_than, what="older_than")
            pruned = prune_vectors(connection, before=before)
        if pruned:
            self._vectors.forget_deleted()
        return pruned

    def bulk_update_vectors(
        self,
        items: Iterable[tuple[str, VectorLike]],
        *,
        spec: EmbeddingSpec,
        job_id: str | None = None,
        origin: VectorOrigin = VectorOrigin.BATCH,
    ) -> BulkReport:
        report = apply_vectors(
            self.database,
            items,
            spec=spec,
            job_id=job_id,
            origin=origin,
            clock=self.clock,
            ahead=self.ahead,
        )
        self.refresh_indexes()
        return report

    def get(self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[StoredChunk]:
        names = checked_names(ids, what="ids")
        found = {chunk.id: chunk for chunk in self.chunks(ids=names, collection=collection)}
        return [found[chunk_id] for chunk_id in names if chunk_id in found]

    def chunks(
        self,
        *,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        filters: FilterLike = None,
        collection: str = DEFAULT_COLLECTION,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[StoredChunk]:
        with self.database.snapshot() as connection:
            target = find_collection(connection, collection)
            if target is None:
                return []
            where = choose(target.id, filters=filters, ids=ids, document_ids=document_ids)
            chosen = self.database.metadata.condition(where)
            return list(read_chunks(connection, chosen, limit=limit, offset=offset).values())

    def vectors(
        self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION
    ) -> dict[str, Vector]:
        with self.database.snapshot() as connection:
            target = find_collection(connection, collection)
            return {} if target is None else read_vectors(connection, target.id, ids)

    def search(
        self,
        *,
        text: str | None = None,
        vector: VectorLike | None = None,
        collection: str = DEFAULT_COLLECTION,
        limit: int = 10,
        mode: SearchMode | str = SearchMode.HYBRID,
        filters: FilterLike = None,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        alpha: float = 0.5,
        pending: str = "keyword",
        exact: bool = False,
        target_filter: Any = None,
    ) -> SearchResults:
        by_vector = vector is not None and mode != SearchMode.KEYWORD
        is_plain = by_vector and mode == SearchMode.VECTOR and filters is None and not exact
        check = partial(
            check_query,
            text=text,
            vector=vector,
            limit=whole_number(limit),
            mode=mode,
            filters=filters,
            ids=ids,
            document_ids=document_ids,
            alpha=alpha,
            pending=pending,
            exact=exact,
        )
        return self._searcher.search(
            collection, check, by_vector=by_vector, is_plain=is_plain, target_filter=target_filter
        )

    def search_many(
        self,
        vectors: Sequence[VectorLike],
        *,
        collection: str = DEFAULT_COLLECTION,
        limit: int = 10,
        filters: FilterLike = None,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        exact: bool = False,
    ) -> list[SearchResults]:
        check = partial(
            check_query,
            limit=whole_number(limit),
            filters=filters,
            ids=ids,
            document_ids=document_ids,
            exact=exact,
        )
        return self._searcher.search_many(collection, check, listed(vectors, what="vectors"))

    def has_vectors(self, collection: str = DEFAULT_COLLECTION) -> bool:
        with self.database.snapshot() as connection:
            target = find_collection(connection, collection)
            if target is None:
                return False
            coverage = read_coverage(connection, target.id)
            return coverage.ready + coverage.stale > 0

    def known_vectors(self, content_hashes: Sequence[str]) -> set[str]:
        with self.database.snapshot() as connection:
            return known_vectors(connection, content_hashes)

    def stats(self, collection: str | None = None) -> QueueStats:
        with self.database.snapshot() as connection:
            target = None if collection is None else collection_id(connection, collection)
            return read_stats(connection, collection_id=target, now=self.clock.now())

    def meta(self, key: str) -> str | None:
        with self.database.snapshot() as connection:
            return read_meta(connection, key)

    def check_provenance(self, provenance: str) -> None:
        with self.database.snapshot() as connection:
            check_provenance(connection, provenance, self.database.name)

    def fix_provenance(self, provenance: str) -> None:
        with self.database.transaction() as connection:
            check_provenance(connection, provenance, self.database.name)
            write_meta(connection, {"provenance": provenance})

    def ahead(self, connection: Connection) -> AbstractContextManager[None]:
        return self._vectors.ahead(connection)

    def refresh_indexes(self) -> None:
        self._vectors.refresh()

    def compare_indexes(self) -> int:
        return sum(self._vectors.count_differences(one) for one in self.collections())

    def rebuild_indexes(self) -> None:
        self._vectors.throw_away()
        for one in self.collections():
            mend(self.database, one)

    def _spec(self, collection: str) -> EmbeddingSpec:
        found = self.find(collection)
        return EmbeddingSpec() if found is None else found.spec
