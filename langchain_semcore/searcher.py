import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from langchain_semcore.documents import to_document
from langchain_semcore.embeddings import DeferredEmbeddings
from langchain_semcore.images import ImagePath, image_embedder
from semantic_core.api import (
    And,
    BaseVectorStore,
    Condition,
    ConfigurationError,
    EmbeddingSpec,
    Filter,
    InvalidInputError,
    Match,
    Operator,
    Or,
    SearchMode,
    SearchResult,
    SearchResults,
    Vector,
    VectorLike,
    diversify,
    fraction,
    parse_filter,
    query_vector,
    whole_number,
)

_log = logging.getLogger(__name__)

_LIST_HINT = (
    'Nothing was found. A list in a filter, such as {"key": ["a", "b"]}, asks for exactly that list. '
    'For any one of its values: {"key": {"$in": ["a", "b"]}}.'
)

MetadataFilter = Mapping[str, Any] | Filter | Callable[[Document], bool] | None
"""A dict of operators, a filter tree, or a function that picks the documents to look at."""


class Searcher:
    """Searches one collection. Raises InvalidInputError for an argument that cannot be used.

    A filter that is a function is asked of every document of the collection, before the search.
    Without an embedding, which makes the vectors of queries, texts are searched by keyword.
    """

    def __init__(
        self, store: BaseVectorStore, collection: str, embedding: Embeddings | None
    ) -> None:
        self._store = store
        self._collection = collection
        self._embedding = embedding

    def by_text(
        self,
        query: str,
        limit: int,
        filter: MetadataFilter = None,
        *,
        mode: SearchMode | str = SearchMode.VECTOR,
        alpha: float = 0.5,
        target_filter: Any = None,
    ) -> SearchResults:
        """Search for a text; where it cannot be embedded, by keyword, with the reason.

        By vector, chunks without one are fused in if they are among the best keyword hits.
        """
        options = {"alpha": alpha, "target_filter": target_filter}
        return self._by_text(query, limit, filter, mode=mode, **options)[1]

    def by_vector(
        self,
        vector: VectorLike,
        limit: int,
        filter: MetadataFilter = None,
        *,
        target_filter: Any = None,
    ) -> SearchResults:
        """Search by a vector and nothing else."""
        limit, choice = whole_number(limit, what="k"), self._choose(filter)
        options = {"mode": SearchMode.VECTOR, "target_filter": target_filter}
        return self._ask(None, vector=vector, limit=limit, **options, **choice)

    def by_image(
        self,
        uri: ImagePath,
        limit: int,
        filter: MetadataFilter = None,
        *,
        target_filter: Any = None,
    ) -> SearchResults:
        """Search for a picture, by vector alone: the collection's model has to take pictures."""
        # Before a query is paid for.
        limit, choice = whole_number(limit, what="k"), self._choose(filter)
        embed = image_embedder(self._embedding, uri)
        vector, reason = self._vector_of("", lambda *_: embed(), has_media=True)
        options = {"mode": SearchMode.VECTOR, "target_filter": target_filter}
        return self._ask(reason, vector=vector, limit=limit, **options, **choice)

    def diverse_by_text(
        self, query: str, limit: int, filter: MetadataFilter, *, fetch: int, relevance: float
    ) -> list[SearchResult]:
        """Search as `by_text`, with diversity among the hits that have a vector."""
        limit, fetch = whole_number(limit, what="k"), whole_number(fetch, what="fetch_k")
        relevance = fraction(relevance, what="lambda_mult")
        vector, found = self._by_text(query, fetch, filter)
        return self._diversify(vector, found, limit, relevance)

    def diverse_by_vector(
        self,
        vector: VectorLike,
        limit: int,
        filter: MetadataFilter,
        *,
        fetch: int,
        relevance: float,
    ) -> list[SearchResult]:
        """Search as `by_vector`, with diversity among the hits."""
        limit, fetch = whole_number(limit, what="k"), whole_number(fetch, what="fetch_k")
        relevance = fraction(relevance, what="lambda_mult")
        return self._diversify(vector, self.by_vector(vector, fetch, filter), limit, relevance)

    def vectors(self, ids: Sequence[str]) -> dict[str, Vector]:
        """Return the vectors that documents are found by, by id; who has none is left out."""
        return self._store.vectors(ids, collection=self._collection)

    def _by_text(
        self,
        query: str,
        limit: int,
        filter: MetadataFilter,
        *,
        mode: SearchMode | str = SearchMode.VECTOR,
        alpha: float = 0.5,
        target_filter: Any = None,
    ) -> tuple[VectorLike | None, SearchResults]:
        """Return the query's vector, if it has one, and what was found."""
        if not isinstance(query, str):
            raise InvalidInputError(f"The query is a {type(query).__name__}, not a string.")
        # Before a query is paid for.
        limit, alpha = whole_number(limit, what="k"), fraction(alpha, what="alpha")
        choice = self._choose(filter)
        if not query.strip() and any(chosen is not None for chosen in choice.values()):
            return None, self._by_filter(limit, choice)
        vector, reason = None, None
        if mode != SearchMode.KEYWORD:
            vector, reason = self._vector_of(query, self._embed)
        options = {"mode": mode, "alpha": alpha, "target_filter": target_filter}
        found = self._ask(reason, text=query, vector=vector, limit=limit, **options, **choice)
        return vector, found

    def _by_filter(self, limit: int, choice: dict[str, Any]) -> SearchResults:
        """Return what the filter lets through, oldest first: nothing else was asked for."""
        found = self._ask(None, text="", mode=SearchMode.KEYWORD, limit=0, **choice)
        chunks = self._store.chunks(collection=self._collection, limit=limit, **choice)
        hits = (SearchResult(chunk=chunk, score=1.0, match=Match.FILTER) for chunk in chunks)
        return replace(found, hits=tuple(hits))

    def _ask(self, reason: str | None, **options: Any) -> SearchResults:
        """Search the collection; log why nothing was found: LangChain's list has no place for it."""
        found = self._store.search(collection=self._collection, **options).because(reason)
        if not found and found.degraded is not None:
            _log.warning("Nothing was found: %s.", found.degraded)
        if not found and options["limit"] and _names_a_list(options.get("filters")):
            _log.warning(_LIST_HINT)
        return found

    def _vector_of(
        self,
        query: str,
        embed: Callable[[str, EmbeddingSpec], VectorLike],
        *,
        has_media: bool = False,
    ) -> tuple[VectorLike | None, str | None]:
        """Return a query's vector, or why it has none."""
        provenance, made_by = None, self._embedding
        if isinstance(made_by, DeferredEmbeddings):
            provenance = made_by.embedder.provenance if has_media else made_by.provenance
        return query_vector(
            self._store,
            query,
            collection=self._collection,
            embed=embed,
            provenance=provenance,
            log_level=logging.WARNING,
            has_media=has_media,
        )

    def _embed(self, query: str, _: EmbeddingSpec) -> list[float]:
        if self._embedding is None:
            raise ConfigurationError(
                "This vector store has no embedding for queries. Pass one, such as "
                "SemcoreVectorStore(..., embedding=DeferredEmbeddings())."
            )
        return self._embedding.embed_query(query)

    def _diversify(
        self, vector: VectorLike | None, found: SearchResults, limit: int, relevance: float
    ) -> list[SearchResult]:
        if vector is None:
            return list(found[:limit])
        vectors = self.vectors([hit.chunk.id for hit in found])
        return diversify(found, vectors, vector, limit=limit, relevance=relevance)

    def _choose(self, filter: MetadataFilter) -> dict[str, Any]:
        """Return a filter as arguments of the store's search; checked before money is spent."""
        if not callable(filter):
            return {"filters": parse_filter(filter)}
        chunks = self._store.chunks(collection=self._collection)
        return {"ids": [chunk.id for chunk in chunks if filter(to_document(chunk))]}


def _names_a_list(filters: Filter | None) -> bool:
    if isinstance(filters, And | Or):
        return any(map(_names_a_list, filters.parts))
    if not isinstance(filters, Condition):
        return False
    return filters.operator is Operator.EQ and isinstance(filters.value, tuple)
