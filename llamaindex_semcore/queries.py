"""LlamaIndex's query modes as searches of the core."""

import logging
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

from llama_index.core.vector_stores.types import (
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from llamaindex_semcore.filters import to_filter
from llamaindex_semcore.nodes import is_copied, to_node
from llamaindex_semcore.vectors import QueryVector
from semantic_core.api import (
    BaseVectorStore,
    InvalidInputError,
    Match,
    ProvenanceError,
    SearchMode,
    SearchResult,
    SearchResults,
    SpecMismatchError,
    diversify,
    whole_number,
)

_log = logging.getLogger(__name__)

_DEFAULT_ALPHA = 0.5
_DEFAULT_MMR_THRESHOLD = 0.5

# LlamaIndex's stores choose from four times what they return; from a handful there is no choice.
_MMR_DEPTH = 4
_LEAST_MMR_DEPTH = 20

# Nodes that are looked at together; the first ones nearly always decide.
_PAGE = 100

_MODES = {
    VectorStoreQueryMode.DEFAULT: SearchMode.VECTOR,
    VectorStoreQueryMode.SPARSE: SearchMode.KEYWORD,
    VectorStoreQueryMode.TEXT_SEARCH: SearchMode.KEYWORD,
    VectorStoreQueryMode.HYBRID: SearchMode.HYBRID,
    VectorStoreQueryMode.MMR: SearchMode.VECTOR,
}

PendingRule = Literal["keyword", "skip"]


class UnsupportedQueryError(InvalidInputError, NotImplementedError):
    """The vector store cannot do what this query asks for. The message names what it can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOptions:
    """What may be passed beside a query, such as by a retriever's ``vector_store_kwargs``.

    Attributes:
        pending: ``keyword`` lets nodes without a vector be found by keyword; ``skip`` does not.
        exact: compare every vector, where a search of a large collection may otherwise miss one.
        mmr_threshold: 1 is the order by similarity, 0 all diversity; before the query's own.
        mmr_prefetch_k: how many nodes MMR chooses from.
        target_filter: the MetadataFilters of the store of ``deliver_to``, where it has no such
            filter as the query's, which is checked once more all the same.
    """

    pending: PendingRule
    exact: bool = False
    mmr_threshold: float | None = None
    mmr_prefetch_k: int | None = None
    target_filter: Any = None

    @classmethod
    def read(cls, given: dict[str, Any], *, pending: PendingRule) -> Self:
        """Return options, with the store's own ``pending`` where none is given.

        Raises:
            UnsupportedQueryError: an option that does not exist.
        """
        names = [field.name for field in fields(cls)]
        unknown = [name for name in given if name not in names]
        if unknown:
            raise UnsupportedQueryError(
                f"Unknown query options: {', '.join(unknown)}. Use some of: {', '.join(names)}."
            )
        return cls(**({"pending": pending} | given))


class QueryRun:
    """One query of one collection.

    Raises:
        InvalidInputError: the subclass says what of the query cannot be used.
    """

    def __init__(
        self,
        store: BaseVectorStore,
        query: VectorStoreQuery,
        *,
        collection: str,
        options: QueryOptions,
    ) -> None:
        if query.mode not in _MODES:
            name = getattr(query.mode, "value", query.mode)
            raise UnsupportedQueryError(
                f"SemcoreVectorStore has no query mode {name!r}. "
                f"Use one of: {', '.join(mode.value for mode in _MODES)}."
            )
        for name in ("output_fields", "embedding_field"):
            if getattr(query, name) is not None:
                raise UnsupportedQueryError(
                    f"SemcoreVectorStore cannot use the query's {name}: a node has one vector, and "
                    "is returned whole. Leave it out."
                )
        self._store = store
        self._query = query
        self._collection = collection
        self._options = options
        self._text = query.query_str or ""
        # A zero vector is how VectorIndexAutoRetriever asks for filters alone.
        vector = query.query_embedding
        self._vector = vector if vector is not None and len(vector) and any(vector) else None
        self._problem: str | None = getattr(vector, "problem", None)
        self._where: dict[str, Any] = {
            "collection": collection,
            "filters": to_filter(query.filters),
            "ids": self._node_ids(),
            "document_ids": query.doc_ids,
        }

    def result(self) -> VectorStoreQueryResult:
        """Return the nodes found, with what they rest on in their metadata.

        A query that was embedded for another space raises a SpecMismatchError, and one from another
        endpoint, without words to ask for instead, a ProvenanceError.
        """
        self._check_space()
        found = self._ask()
        if not found and found.degraded is not None:
            # LlamaIndex's result has no place for it but in its nodes.
            _log.warning("Nothing was found: %s.", found.degraded)
        read = self._store.media
        nodes = [to_node(hit.chunk, _info(hit, found.degraded), read=read) for hit in found]
        return VectorStoreQueryResult(
            nodes=nodes,
            similarities=[hit.score for hit in found],
            ids=[node.node_id for node in nodes],
        )

    def _ask(self) -> SearchResults:
        query, mode = self._query, _MODES[self._query.mode]
        if mode is SearchMode.VECTOR:
            if self._vector is None and not self._text.strip():
                return self._by_filter()
            if query.mode is VectorStoreQueryMode.MMR and self._vector is not None:
                return self._diverse(self._vector)
            return self._found(mode, query.similarity_top_k)
        if query.query_str is None:
            raise InvalidInputError(
                f"A query in mode {query.mode.value!r} needs query_str, the words to look for. Pass "
                "it, or use mode 'default' for a search by query_embedding alone."
            )
        top_k = query.sparse_top_k if mode is SearchMode.KEYWORD else query.hybrid_top_k
        return self._found(mode, top_k or query.similarity_top_k)

    def _diverse(self, vector: list[float]) -> SearchResults:
        """Rank by vector and by how little a hit repeats those before it.

        Hits without a vector cannot be compared: they keep the place that their rank gives them.
        """
        limit = whole_number(self._query.similarity_top_k, what="similarity_top_k")
        depth = whole_number(self._options.mmr_prefetch_k or 0, what="mmr_prefetch_k")
        depth = depth or max(_LEAST_MMR_DEPTH, _MMR_DEPTH * limit)
        found = self._found(SearchMode.VECTOR, max(limit, depth))
        vectors = self._store.vectors([hit.chunk.id for hit in found], collection=self._collection)
        threshold = self._options.mmr_threshold
        if threshold is None:
            threshold = self._query.mmr_threshold
        picked = diversify(
            found,
            vectors,
            vector,
            limit=limit,
            relevance=_DEFAULT_MMR_THRESHOLD if threshold is None else threshold,
        )
        return replace(found, hits=tuple(picked))

    def _check_space(self) -> None:
        vector = self._query.query_embedding
        if not isinstance(vector, QueryVector) or vector.spec is None:
            return
        found = self._store.find(self._collection)
        if found is not None and found.spec != vector.spec:
            raise SpecMismatchError(
                f"The query was embedded with {vector.spec}, but the collection "
                f"{self._collection!r} has {found.spec}. Give the embed model the store's own: "
                "DeferredEmbedding(spec=vector_store.spec)."
            )
        if vector.provenance is not None:
            try:
                self._store.check_provenance(vector.provenance)
            except ProvenanceError as error:
                if not self._text.strip():
                    raise
                self._vector, self._problem = None, str(error)

    def _found(self, mode: SearchMode, limit: int) -> SearchResults:
        alpha = self._query.alpha
        found = self._store.search(
            text=self._text,
            vector=None if mode is SearchMode.KEYWORD else self._vector,
            limit=limit,
            mode=mode,
            alpha=_DEFAULT_ALPHA if alpha is None else alpha,
            pending=self._options.pending,
            exact=self._options.exact,
            target_filter=self._options.target_filter,
            **self._where,
        )
        if found.degraded is None or self._problem is None:
            return found
        return found.because(f"answered by keyword alone: {self._problem}")

    def _by_filter(self) -> SearchResults:
        """Return what meets the restriction, oldest first; nothing if there is none."""
        if all(self._where[name] is None for name in ("filters", "ids", "document_ids")):
            return SearchResults()
        chunks = self._store.chunks(limit=self._query.similarity_top_k, **self._where)
        return SearchResults(
            tuple(SearchResult(chunk=chunk, score=1.0, match=Match.FILTER) for chunk in chunks)
        )

    def _node_ids(self) -> list[str] | None:
        """Return the only nodes that may be found, or None for all.

        A retriever of a VectorStoreIndex always names the nodes that the index keeps copies of.
        For a store that holds the text, these are none, or the Index and Image nodes alone; and
        all the others are in the store all the same.
        """
        node_ids = self._query.node_ids or []
        are_copied: set[bool] = set()
        for start in range(0, len(node_ids), _PAGE):
            page = node_ids[start : start + _PAGE]
            # An index goes on naming nodes that were deleted: they tell nothing.
            named = self._store.get(page, collection=self._collection)
            are_copied |= {is_copied(chunk) for chunk in named}
            if False in are_copied:
                break
        return None if not node_ids or are_copied == {True} else node_ids


def _info(hit: SearchResult, degraded: str | None) -> dict[str, Any]:
    return {
        "status": hit.status.value,
        "match": hit.match.value,
        "stale": hit.stale,
        "degraded": degraded,
    }
