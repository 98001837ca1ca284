"""SearchableVectorStore: the searches of LangChain's VectorStore, each a translation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from langchain_semcore.documents import refuse_options, to_document
from langchain_semcore.searcher import MetadataFilter, Searcher
from semantic_core import SearchResult, VectorLike


class SearchableVectorStore(VectorStore):
    """The searching half of `SemcoreVectorStore`.

    Every search takes ``k``, how many documents at most, and ``filter``: a dict such as
    ``{"lang": "en", "year": {"$gte": 2020}}`` with the operators $eq, $ne, $gt, $gte, $lt, $lte,
    $in, $nin, $between, $exists, $like, $ilike, $and, $or and $not, or a function from a document
    to True or False, which is asked of every document. Each raises InvalidInputError for
    arguments that cannot be used.

    Attributes:
        searcher: answers in the core's terms, with what the answer rests on.
    """

    searcher: Searcher

    def similarity_search(
        self, query: str, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents most similar to a text; works while documents are PENDING."""
        refuse_options("similarity_search()", kwargs)
        return _documents(self.searcher.by_text(query, k, filter))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a text with their cosine, in [-1, 1].

        Scores never rise down the list. A document without a vector was found by keyword and
        has no cosine: it has that of the one above it, and 1 where there is none.
        """
        refuse_options("similarity_search_with_score()", kwargs)
        return _scored(self.searcher.by_text(query, k, filter))

    def similarity_search_by_vector(
        self, embedding: VectorLike, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents most similar to a vector, by vector alone."""
        refuse_options("similarity_search_by_vector()", kwargs)
        return _documents(self.searcher.by_vector(embedding, k, filter))

    def similarity_search_with_score_by_vector(
        self, embedding: VectorLike, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a vector with their cosine, by vector alone."""
        refuse_options("similarity_search_with_score_by_vector()", kwargs)
        return _scored(self.searcher.by_vector(embedding, k, filter))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: VectorLike, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Async `similarity_search_with_score_by_vector`."""
        return await run_in_executor(
            None, self.similarity_search_with_score_by_vector, embedding, k, **kwargs
        )

    def similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        filter: MetadataFilter = None,
        *,
        score_threshold: float | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a text with (1 + cosine) / 2, in [0, 1].

        Args:
            query: what to look for.
            k: how many at most.
            filter: where to look.
            score_threshold: only documents of at least this relevance. It drops none for having
                no vector yet, unless it drops one above it.
            **kwargs: refused.
        """
        refuse_options("similarity_search_with_relevance_scores()", kwargs)
        least = float("-inf") if score_threshold is None else score_threshold
        return [
            (document, relevance)
            for document, score in _scored(self.searcher.by_text(query, k, filter))
            if (relevance := _relevance(score)) >= least
        ]

    async def asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Async `similarity_search_with_relevance_scores`."""
        return await run_in_executor(
            None, self.similarity_search_with_relevance_scores, query, k, **kwargs
        )

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: MetadataFilter = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents that are similar to a text and different from each other.

        Documents without a vector cannot be compared: those that `similarity_search` would
        return keep their places, and diversity is sought among the others.

        Args:
            query: what to look for.
            k: how many at most.
            fetch_k: how many of the most similar ones to choose from.
            lambda_mult: 1 for similarity alone, 0 for diversity alone.
            filter: where to look.
            **kwargs: refused.
        """
        refuse_options("max_marginal_relevance_search()", kwargs)
        return _documents(
            self.searcher.diverse_by_text(query, k, filter, fetch=fetch_k, relevance=lambda_mult)
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: VectorLike,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: MetadataFilter = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return documents that are similar to a vector and different from each other."""
        refuse_options("max_marginal_relevance_search_by_vector()", kwargs)
        return _documents(
            self.searcher.diverse_by_vector(
                embedding, k, filter, fetch=fetch_k, relevance=lambda_mult
            )
        )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return _relevance


def _relevance(cosine: float) -> float:
    return (1.0 + cosine) / 2.0


def _documents(hits: Iterable[SearchResult]) -> list[Document]:
    return [to_document(hit.chunk) for hit in hits]


def _scored(hits: Iterable[SearchResult]) -> list[tuple[Document, float]]:
    return [(to_document(hit.chunk), hit.score) for hit in hits]
