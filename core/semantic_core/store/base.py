"""BaseVectorStore: what the batch manager and the adapters rely on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from semantic_core.domain.reports import BulkReport, SaveReport
from semantic_core.domain.spec import EmbeddingSpec
from semantic_core.domain.statuses import SearchMode
from semantic_core.domain.types import Chunk, SearchResults, StoredChunk, VectorLike
from semantic_core.filters import Filter
from semantic_core.store.collections import DEFAULT_COLLECTION, Collection

FilterLike = Filter | Mapping[str, Any] | None


class BaseVectorStore(ABC):
    """A store of chunks whose vectors may come later. It never embeds anything itself."""

    @abstractmethod
    def collection(
        self, name: str = DEFAULT_COLLECTION, spec: EmbeddingSpec | None = None
    ) -> Collection:
        """Create a collection (with the default spec), or open it.

        Raises:
            SpecMismatchError: it exists with another spec.
        """

    @abstractmethod
    def save(
        self,
        chunks: Iterable[Chunk],
        *,
        collection: str = DEFAULT_COLLECTION,
        keep_refused: bool = False,
    ) -> SaveReport:
        """Save chunks, with or without vectors, in one transaction: all or nothing.

        With ``keep_refused``, a chunk that cannot get a vector (it is blank, or too long), or whose
        vector cannot be used (it is all zero, or of another size than those of others in this
        call), is saved as FAILED with the reason, and refuses no other.
        """

    @abstractmethod
    def get(self, ids: Sequence[str], *, collection: str = DEFAULT_COLLECTION) -> list[StoredChunk]:
        """Return the chunks with these ids, in the order asked; unknown ids are left out."""

    @abstractmethod
    def delete(
        self,
        *,
        ids: Sequence[str] | None = None,
        document_ids: Sequence[str] | None = None,
        filters: FilterLike = None,
        collection: str = DEFAULT_COLLECTION,
        purge: bool = False,
    ) -> int:
        """Delete the chunks that meet every condition given; return how many."""

    @abstractmethod
    def clear(self, collection: str = DEFAULT_COLLECTION) -> int:
        """Delete every chunk and document of a collection; return how many chunks."""

    @abstractmethod
    def prune(self, older_than: float) -> int:
        """Delete cached vectors that no chunk has used for this many seconds; return how many."""

    @abstractmethod
    def bulk_update_vectors(
        self,
        items: Iterable[tuple[str, VectorLike]],
        *,
        spec: EmbeddingSpec,
        job_id: str | None = None,
    ) -> BulkReport:
        """Store vectors by content hash (hex) and make every chunk READY that wants one."""

    @abstractmethod
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
        """Search by text, by vector, or both."""
