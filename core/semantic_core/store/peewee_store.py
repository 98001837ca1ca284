"""PeeweeVectorStore: the store on SQLite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from semantic_core.domain.errors import InvalidInputError
from semantic_core.domain.reports import BulkReport, SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import SearchMode, VectorOrigin
from semantic_core.domain.types import Chunk, SearchResults, StoredChunk, Vector, VectorLike
from semantic_core.domain.validation import listed, seconds, whole_number
from semantic_core.filters import parse_filter
from semantic_core.store.base import BaseVectorStore, FilterLike
from semantic_core.store.collections import (
    DEFAULT_COLLECTION,
    Collection,
    check_spec,
    describe_missing,
    find_collection,
    get_collection,
    open_collection,
)
from semantic_core.store.opened import OpenStore
from semantic_core.store.reading.read import checked_names, choose, read_chunks
from semantic_core.store.reading.search import check_query, checked_vector, search, search_many
from semantic_core.store.reading.serve import read_vectors
from semantic_core.store.writing.delete import delete_chunks, prune_vectors
from semantic_core.store.writing.documents import (
    SplitDocument,
    check_documents,
    drop_documents,
    save_documents,
)
from semantic_core.store.writing.prepare import prepare_chunks
from semantic_core.store.writing.save import save_rows
from semantic_core.store.writing.vectors import apply_vectors


class PeeweeVectorStore(OpenStore, BaseVectorStore):
    """Chunks, vectors and the batch queue in one SQLite file. Use it as a context manager.

    Opening creates the database, or brings an older schema forward, in one transaction. It may
    be shared between threads, and any number of processes may open the same file.

    Args:
        database: a path, a ``sqlite:///`` URL, a ``file:`` URI, or a ready peewee database.
        options: what a new or migrated database is made with.
        clock: where timestamps come from.

    Raises:
        StorageError: the subclass that says why the database cannot be used.
    """

    # --- collections ---------------------------------------------------------------------

    def collection(
        self, name: str = DEFAULT_COLLECTION, spec: EmbeddingSpec | None = None
    ) -> Collection:
        """Create a collection, or open it.

        Args:
            name: which one.
            spec: how its texts become vectors; None opens whatever is there, or creates it
                with the default spec.

        Raises:
            SpecMismatchError: it exists with another spec; the message names both.
        """
        with self.database.snapshot() as connection:
            found = find_collection(connection, name)
        if found is not None:
            if spec is not None:
                check_spec(found, spec)
            if spec is None or spec.dimensions in (None, found.spec.dimensions):
                return found
        with self.database.transaction() as connection:
            return open_collection(connection, name, spec, now=self.clock.now())

    def collections(self) -> list[Collection]:
        """Return every collection, by name."""
        with self.database.snapshot() as connection:
            names = connection.execute("SELECT name FROM collections ORDER BY name").fetchall()
            return [get_collection(connection, name) for (name,) in names]

    # --- writing -------------------------------------------------------------------------

    def save(
        self,
        chunks: Iterable[Chunk],
        *,
        collection: str = DEFAULT_COLLECTION,
        keep_refused: bool = False,
    ) -> SaveReport:
        """Save chunks in one transaction: all of them or, on any error, none.

        A chunk whose vector is known is READY at once, and free; one whose text a batch job
        carries waits for it; any other is PENDING. Saving the same again changes nothing. New
        text under a known id is PENDING while the vector of its older text serves on.

        Args:
            chunks: what to save; a whole call is held in memory.
            collection: created with the default spec if it does not exist.
            keep_refused: save as FAILED what is blank, too long, or has an unusable vector.

        Raises:
            InvalidInputError: the subclass for the first chunk that cannot be saved.
            NotBatchableError: a chunk without a vector for an external space.
            StorageError: the database could not be written.
        """
        spec = self._spec(collection)
        rows = prepare_chunks(chunks, spec, keep_refused=keep_refused)
        if not rows:
            return SaveReport()
        with self.database.transaction() as connection:
            now = self.clock.now()
            target = open_collection(connection, collection, spec, now=now)
            return save_rows(self.database, connection, rows, collection=target, now=now)

    def save_documents(
        self, documents: Iterable[SplitDocument], *, collection: str = DEFAULT_COLLECTION
    ) -> tuple[SaveReport, int]:
        """Save documents with their chunks in one transaction, replacing earlier versions.

        Args:
            documents: a page of them, each with all of its chunks.
            collection: created with the default spec if it does not exist.

        Returns:
            What was saved, and how many chunks of earlier versions are gone.

        Raises:
            InvalidInputError: as `save`; nothing of the page is saved.
        """
        spec = self._spec(collection)
        page = list(documents)
        checked = check_documents(page)
        rows = prepare_chunks((chunk for entry in page for chunk in entry.chunks), spec)
        with self.database.transaction() as connection:
            now = self.clock.now()
            target = open_collection(connection, collection, spec, now=now)
            report = save_rows(self.database, connection, rows, collection=target, now=now)
            removed = save_documents(
                self.database, connection, page, checked, collection=target, now=now
            )
        return report, removed

    def delete(
        self,
        *,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        filters: FilterLike = None,
        collection: str = DEFAULT_COLLECTION,
        purge: bool = False,
    ) -> int:
        """Delete the chunks that meet every condition given, in one transaction.

        Their provider vectors stay as cache; ``purge`` deletes those too, if no other chunk uses
        them, and adding the text again is paid for again.

        Returns:
            How many chunks were deleted; unknown ids are no error.

        Raises:
            InvalidInputError: no condition was given (`clear` empties a collection).
        """
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
            deleted = delete_chunks(self.database, connection, chosen, purge=purge, now=now)
            named = deleted.document_ids.union(where.document_ids or ())
            drop_documents(connection, target.id, named)
        if purge:
            self._indexes.remove_files()
        return deleted.chunks

    def clear(self, collection: str = DEFAULT_COLLECTION) -> int:
        """Delete every chunk and document of a collection, in one transaction.

        Provider vectors stay as cache, as after `delete`.

        Returns:
            How many chunks were deleted.
        """
        with self.database.transaction() as connection:
            target = find_collection(connection, collection)
            if target is None:
                return 0
            now = self.clock.now()
            chosen = self.database.metadata.condition(choose(target.id))
            deleted = delete_chunks(self.database, connection, chosen, purge=False, now=now)
            connection.execute("DELETE FROM documents WHERE collection_id = ?", (target.id,))
        return deleted.chunks

    def prune(self, older_than: float) -> int:
        """Delete cached vectors that no chunk has used for ``older_than`` seconds.

        Returns:
            How many were deleted: they are paid for again when their text comes back.
        """
        with self.database.transaction() as connection:
            before = self.clock.now() - seconds(older_than, what="older_than")
            pruned = prune_vectors(connection, before=before)
        if pruned:
            self._indexes.remove_files()
        return pruned

    def bulk_update_vectors(
        self,
        items: Iterable[tuple[str, VectorLike]],
        *,
        spec: EmbeddingSpec,
        job_id: str | None = None,
        origin: VectorOrigin = VectorOrigin.BATCH,
    ) -> BulkReport:
        """Store vectors by content hash and make every chunk READY that wants one.

        Pages of 1,000 are written in one transaction each, and doing it again changes nothing.
        A vector is stored even if no chunk wants it any more.

        Args:
            items: (content hash in hex, vector of shape (dimensions,)) pairs.
            spec: the spec the vectors were made with.
            job_id: the batch job that brought them; no job has to bring them any more.
            origin: how the vectors came to be.

        Returns:
            What was applied, and what was refused and why.

        Raises:
            UnknownCollectionError: no collection has this spec.
            NotBatchableError: the spec is of a foreign embedder.
        """
        report = apply_vectors(
            self.database, items, spec=spec, job_id=job_id, origin=origin, clock=self.clock
        )
        self.refresh_indexes()
        return report

    # --- reading -------------------------------------------------------------------------

    def get(self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[StoredChunk]:
        """Return the chunks with these ids, in the order asked; unknown ids are left out."""
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
    ) -> list[StoredChunk]:
        """Return the chunks that meet every condition given, oldest first, at most ``limit``."""
        with self.database.snapshot() as connection:
            target = find_collection(connection, collection)
            if target is None:
                return []
            where = choose(target.id, filters=filters, ids=ids, document_ids=document_ids)
            chosen = self.database.metadata.condition(where)
            return list(read_chunks(connection, chosen, limit=limit).values())

    def vectors(
        self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION
    ) -> dict[str, Vector]:
        """Return the vectors (float32) that chunks are found by, by id, in the order asked.

        Stale chunks have that of their older text; chunks without a vector are left out.
        """
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
    ) -> SearchResults:
        """Search by text, by vector, or both, within one snapshot.

        Args:
            text: words to look for; a query in double quotes as a whole is a phrase.
            vector: the query's vector, of shape (dimensions,); the store never makes one.
            collection: where to look; one that does not exist has no hits, and ``degraded`` says so.
            limit: how many hits at most.
            mode: ``hybrid`` fuses both lists by reciprocal rank; ``vector`` ranks by cosine; ``keyword``
                is BM25. Without a vector the first two answer by keyword, and ``degraded`` says so.
            filters: metadata filter, a tree or a dict such as ``{"year": {"$gte": 2020}}``;
                evaluated before the search.
            ids: only these chunks.
            document_ids: only chunks of these documents.
            alpha: weight of the vector list in hybrid mode, from 0 to 1.
            pending: ``keyword`` lets chunks without a vector into a vector search if they
                are among the best keyword hits; ``skip`` leaves them out.
            exact: compare every vector. By default a first pass over more than 20,000 may miss a
                neighbour (fewer than one in a thousand on real text); scores are true either way.

        Raises:
            InvalidInputError: an argument that cannot be used; the subclass says which.
        """
        limit = whole_number(limit)
        with self._indexes.turns.one():
            with self.database.snapshot() as connection:
                if (target := find_collection(connection, collection)) is None:
                    return SearchResults(degraded=describe_missing(connection, collection))
            query = check_query(
                target,
                text=text,
                vector=vector,
                limit=limit,
                mode=mode,
                filters=filters,
                ids=ids,
                document_ids=document_ids,
                alpha=alpha,
                pending=pending,
                exact=exact,
            )
            return search(self.database, self._indexes, target, query)

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
        """Search by several vectors at once, within one snapshot, several times as fast as one by one.

        Chunks without a vector are not found. 32 vectors or more are always searched for exactly.

        Args:
            vectors: the queries', each of shape (dimensions,).
            collection: where to look; one that does not exist has no hits, and ``degraded`` says so.
            limit: how many hits at most, for each.
            filters: as in `search`; so are the next three.
            ids: only these chunks.
            document_ids: only chunks of these documents.
            exact: compare every vector.

        Returns:
            One result a vector, in the order given.

        Raises:
            InvalidInputError: an argument that cannot be used; the subclass says which.
        """
        limit, vectors = whole_number(limit), listed(vectors, what="vectors")
        with self._indexes.turns.one():
            with self.database.snapshot() as connection:
                target = find_collection(connection, collection)
                if target is None:
                    reason = describe_missing(connection, collection)
                    return [SearchResults(degraded=reason)] * len(vectors)
            query = check_query(
                target,
                text=None,
                vector=None,
                limit=limit,
                mode=SearchMode.VECTOR,
                filters=filters,
                ids=ids,
                document_ids=document_ids,
                alpha=1.0,
                pending="skip",
                exact=exact,
            )
            queries = [checked_vector(vector, target) for vector in vectors]
            return search_many(self.database, self._indexes, target, query, queries)

    def _spec(self, collection: str) -> EmbeddingSpec:
        found = self.find(collection)
        return EmbeddingSpec() if found is None else found.spec
