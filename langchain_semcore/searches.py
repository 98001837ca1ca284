from collections.abc import Callable
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_semcore.documents import (
    refuse_options,
    search_options,
    to_document,
    to_documents,
    to_scored,
)
from langchain_semcore.images import ImagePath
from langchain_semcore.searcher import MetadataFilter, Searcher
from langchain_semcore.twins import twin
from semantic_core.api import Vector, VectorLike


class Searches(VectorStore):
    """What a vector store is asked; `searcher` answers in the core's terms."""

    searcher: Searcher
    _relevance_score_fn: Callable[[float], float] | None

    def similarity_search(
        self, query: str, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents most similar to a text; works while documents are PENDING."""
        return to_documents(self.searcher.by_text(query, k, filter, **search_options(kwargs)))

    def similarity_search_with_score(
        self, query: str, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a text with their cosine, in [-1, 1].

        Scores never rise down the list. A document without a vector was found by keyword and
        has no cosine: it has that of the one above it, and 1 where there is none.
        """
        return to_scored(self.searcher.by_text(query, k, filter, **search_options(kwargs)))

    def similarity_search_by_vector(
        self, embedding: VectorLike, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents most similar to a vector, by vector alone."""
        return to_documents(self.searcher.by_vector(embedding, k, filter, **search_options(kwargs)))

    def similarity_search_with_score_by_vector(
        self, embedding: VectorLike, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the documents most similar to a vector with their cosine, by vector alone."""
        return to_scored(self.searcher.by_vector(embedding, k, filter, **search_options(kwargs)))

    asimilarity_search_with_score_by_vector = twin(similarity_search_with_score_by_vector)

    def similarity_search_by_image(
        self, uri: ImagePath, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents most similar to a picture, by vector alone; none before a batch.

        The picture is sent, and billed, live. It raises what `add_images` raises.
        """
        return to_documents(self.searcher.by_image(uri, k, filter, **search_options(kwargs)))

    asimilarity_search_by_image = twin(similarity_search_by_image)

    def similarity_search_by_image_with_relevance_score(
        self, uri: ImagePath, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return documents as `similarity_search_by_image`, with relevance in [0, 1]: 1 is best."""
        found = to_scored(self.searcher.by_image(uri, k, filter, **search_options(kwargs)))
        relevance = self._select_relevance_score_fn()
        return [(document, relevance(cosine)) for document, cosine in found]

    asimilarity_search_by_image_with_relevance_score = twin(
        similarity_search_by_image_with_relevance_score
    )

    def similarity_search_with_vectors(
        self, query: str, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, Vector | None]]:
        """Return documents as `similarity_search`, each with its vector; None while it has none."""
        hits = self.searcher.by_text(query, k, filter, **search_options(kwargs))
        vectors = self.searcher.vectors([hit.chunk.id for hit in hits])
        return [(to_document(hit.chunk), vectors.get(hit.chunk.id)) for hit in hits]

    asimilarity_search_with_vectors = twin(similarity_search_with_vectors)

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

        They are chosen from the `fetch_k` most similar ones; `lambda_mult` is 1 for similarity
        alone, 0 for diversity alone. Documents without a vector keep their places.
        """
        search = self.max_marginal_relevance_search_with_score
        return [found for found, _ in search(query, k, fetch_k, lambda_mult, filter, **kwargs)]

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
        search = self.searcher.diverse_by_vector
        return to_documents(search(embedding, k, filter, fetch=fetch_k, relevance=lambda_mult))

    def max_marginal_relevance_search_with_score(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: MetadataFilter = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """Return documents as `max_marginal_relevance_search`, with their cosine, in [-1, 1]."""
        refuse_options("max_marginal_relevance_search()", kwargs)
        search = self.searcher.diverse_by_text
        return to_scored(search(query, k, filter, fetch=fetch_k, relevance=lambda_mult))

    amax_marginal_relevance_search_with_score = twin(max_marginal_relevance_search_with_score)

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self._relevance_score_fn or (lambda cosine: (1.0 + cosine) / 2.0)
