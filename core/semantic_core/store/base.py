from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, runtime_checkable

from semantic_core.database.port import Connection
from semantic_core.database.strategies import Collection, Database
from semantic_core.domain.clock import Clock
from semantic_core.domain.media import StoredMedia
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
from semantic_core.filters import Filter
from semantic_core.keywords import check_languages
from semantic_core.store.collections import DEFAULT_COLLECTION
from semantic_core.store.delivery import Delivery
from semantic_core.store.indexes.server import drop_index, index
from semantic_core.store.writing.media import media_bytes
from semantic_core.store.writing.reindex import reindex

FilterLike = Filter | Mapping[str, Any] | None


@runtime_checkable
class BaseVectorStore(Protocol):
    """A store of chunks whose vectors may come later. It never embeds anything itself.

    Attributes:
        database: where chunks, vectors and the batch queue are.
        clock: where timestamps come from.
        delivery: other vector stores that get the vectors, too.
    """

    database: Database
    clock: Clock
    delivery: Delivery

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, name: str = DEFAULT_COLLECTION) -> Collection | None:
        """Return a collection, or None if there is none of this name. Never creates one."""

    def collection(
        self,
        name: str = DEFAULT_COLLECTION,
        spec: EmbeddingSpec | None = None,
        *,
        languages: Iterable[str] | None = None,
    ) -> Collection:
        """Create a collection, or open it.

        Args:
            name: which one.
            spec: how its texts become vectors; None takes what is there, or else the default.
            languages: those of words in Latin letters, such as ``("en", "de")``, so that a word
                is found in every form; None for English. One that exists keeps what it has until
                `reindex`. The letters of other scripts tell their language.

        Raises:
            SpecMismatchError: it exists with another spec; the message names both.
            InvalidInputError: there is no stemmer for a language.
        """

    def reindex(
        self,
        name: str = DEFAULT_COLLECTION,
        *,
        languages: Iterable[str],
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Change the languages of a collection, and index its words anew.

        Each page of 1,000 chunks is a transaction. Searches, which ask in both ways meanwhile,
        and saves go on. After an interrupt or a crash the same call goes on where it was, and
        with other languages once that is done. Where nothing is to be changed it does nothing.
        No vector is touched, so it costs nothing.

        Args:
            name: which collection.
            languages: those of words in Latin letters, as in `collection`.
            progress: is told after each page how many chunks this call has indexed; so is the caller.

        Raises:
            UnknownCollectionError, InvalidInputError: no such collection; no stemmer for a language.
        """
        return reindex(self.database, name, check_languages(languages), progress)

    def index(
        self, name: str = DEFAULT_COLLECTION, *, progress: Callable[[int], object] | None = None
    ) -> int:
        """Let a PostgreSQL server with pgvector 0.8 or newer search a collection's vectors.

        From the end of this on every process searches there. Others go on meanwhile, and after an
        interrupt the same call does. No vector is paid for; `drop_index` takes it back.

        Returns:
            How many vectors this call has put in; ``progress`` is told after each page.

        Raises:
            UnsupportedDatabaseError: there is no such server, or its user may not use pgvector.
            InvalidInputError: there is no vector yet, or they have more than 4,000 dimensions.
        """
        return index(self.database, name, progress)

    def drop_index(self, name: str = DEFAULT_COLLECTION) -> None:
        """Take back what `index` did: each machine searches an index file of its own again."""
        drop_index(self.database, name)

    def collections(self) -> list[Collection]:
        """Return every collection, by name."""

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

    def clear(self, collection: str = DEFAULT_COLLECTION) -> int:
        """Delete every chunk and document of a collection, in one transaction; return how many chunks.

        Provider vectors stay as cache, as after `delete`.
        """

    def prune(self, older_than: float) -> int:
        """Delete cached vectors that no chunk has used for ``older_than`` seconds.

        Returns:
            How many were deleted: they are paid for again when their text comes back.
        """

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

    def get(self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[StoredChunk]:
        """Return the chunks with these ids, in the order asked; unknown ids are left out."""

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
        """Return the chunks that meet every condition given, oldest first.

        At most ``limit`` of them, after the first ``offset``.
        """

    def vectors(
        self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION
    ) -> dict[str, Vector]:
        """Return the vectors (float32) that chunks are found by, by id, in the order asked.

        Stale chunks have that of their older text; chunks without a vector are left out.
        """

    def media(self, part: StoredMedia) -> bytes:
        """Return the bytes of a picture or PDF: from the database, or read from its path anew.

        Raises:
            UnreadableFileError: they are gone: the file, or the chunk that had them.
        """
        return media_bytes(self.database, part)

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
        """Search by text, by vector, or both, within one snapshot.

        Where a target is attached to the collection, it is asked for the nearest vectors.

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
                neighbour (fewer than one in a thousand on real text). No target is asked.
            target_filter: the same as ``filters``, in the language of the target's own store.

        Raises:
            InvalidInputError: an argument that cannot be used; the subclass says which.
        """

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

        Chunks without a vector are not found. An index file is asked for 32 or more exactly.

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

    def has_vectors(self, collection: str = DEFAULT_COLLECTION) -> bool:
        """Return whether a vector search of the collection could find anything."""

    def known_vectors(self, content_hashes: Sequence[str]) -> set[str]:
        """Return which of these content hashes (hex) have a stored vector or an open batch item."""

    def stats(self, collection: str | None = None) -> QueueStats:
        """Return what waits, what runs and what failed, in one collection or in all.

        Raises:
            UnknownCollectionError: there is no such collection; it names those there are.
        """

    def meta(self, key: str) -> str | None:
        """Return a value of the meta table, such as ``install_id``, or None."""

    def check_provenance(self, provenance: str) -> None:
        """Check that the database is bound to no provider endpoint, or to this one.

        Raises:
            ProvenanceError: it holds vectors of another endpoint.
        """

    def fix_provenance(self, provenance: str) -> None:
        """Bind the database to a provider endpoint, or check that it is bound to this one.

        Raises:
            ProvenanceError: it holds vectors of another endpoint.
        """

    def ahead(self, connection: Connection) -> AbstractContextManager[None]:
        """Within a write transaction: read what the block writes, so that no search has to later."""

    def refresh_indexes(self) -> None:
        """Bring the vector indexes in memory up to date now, so that no search has to."""

    def compare_indexes(self) -> int:
        """Return for how many chunks vector search has another vector than the rows; reads all."""

    def rebuild_indexes(self) -> None:
        """Throw the vector indexes of this machine away, and mend those that `index` has made."""

    def close(self) -> None:
        """Save an index that changed much, and close every connection, of any thread. Idempotent."""
