import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from langchain_core.embeddings import Embeddings

from semantic_core.api import (
    DEFAULT_COLLECTION,
    BaseVectorStore,
    ConfigurationError,
    InvalidInputError,
    Vector,
    paid_vectors,
)

T = TypeVar("T")


class PaidEmbeddings(Embeddings):
    """Embeddings for any vector store that hand out the vectors which are here, and buy none.

    A document that was embedded through `SemcoreVectorStore` gets its vector from the database,
    whatever store it is added to. Any other text is refused: nothing can be billed by accident.
    Queries go to `embedding`, live. Use it from as many threads as you like.

    Key init args:
        store: BaseVectorStore
            Where the vectors are: `vector_store.store`.
        embedding: Embeddings | None
            Embeds queries, such as `DeferredEmbeddings`; without one they are refused.
        collection: str
            The collection whose spec the vectors were made with.

    Instantiate:
        ```python
        from langchain_core.vectorstores import InMemoryVectorStore
        from langchain_semcore import PaidEmbeddings

        paid = PaidEmbeddings(vector_store.store, vector_store.embeddings)
        elsewhere = paid.build(InMemoryVectorStore)
        elsewhere.add_texts(["foo", "thud"])  # costs nothing
        ```
    """

    def __init__(
        self,
        store: BaseVectorStore,
        embedding: Embeddings | None = None,
        *,
        collection: str = DEFAULT_COLLECTION,
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._collection = collection
        self._prepared: deque[tuple[str, Vector]] | None = None
        self._is_building = False
        self._turn = threading.Lock()
        self._lock = threading.Lock()

    def build(self, factory: Callable[[Embeddings], T]) -> T:
        """Return the vector store that a function makes of these embeddings.

        Some stores embed a text of their own while they are made, to learn the size of a vector.
        They get one of length 1 that means nothing; at any other time such a text is refused.
        """
        self._is_building = True
        try:
            return factory(self)
        finally:
            self._is_building = False

    @contextmanager
    def prepared(self, texts: Sequence[str], vectors: Sequence[Vector]) -> Generator[None]:
        """Within the block, hand out these vectors alone: in this order, each for its text.

        By order, since two texts that are alike may have been embedded with other headings.

        Raises:
            ConfigurationError: at the end, not every vector was asked for.
        """
        with self._turn:
            self._prepared = deque(zip(texts, vectors, strict=True))
            try:
                yield
                left = len(self._prepared)
            finally:
                self._prepared = None
        if left:
            raise ConfigurationError(
                f"The vector store asked for {len(texts) - left:,} of {len(texts):,} vectors that "
                "it was to get, so it did not take every document. They stay here, and nothing "
                "was billed. Use another vector store."
            )

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors that these texts were paid for.

        Raises:
            InvalidInputError: a text has none. Nothing was sent or billed.
        """
        with self._lock:
            if self._prepared is not None:
                return [self._next(self._prepared, text).tolist() for text in texts]
        vectors = paid_vectors(self._store, texts, collection=self._collection)
        missing = sum(vector is None for vector in vectors)
        if missing and self._is_building and len(texts) == 1:
            return [self._unit_vector()]
        if missing:
            raise InvalidInputError(
                f"{missing:,} of {len(texts):,} texts have no vector in the collection "
                f"{self._collection!r}. PaidEmbeddings never buys one: nothing was sent or billed. "
                "Add them to the SemcoreVectorStore, and let a batch embed them."
            )
        return [vector.tolist() for vector in vectors if vector is not None]

    def embed_query(self, text: str) -> list[float]:
        """Embed a query at once, with the embeddings that were passed in.

        Raises:
            ConfigurationError: there are none.
        """
        if self._embedding is None:
            raise ConfigurationError(
                "PaidEmbeddings has vectors of documents only. Pass what embeds queries: "
                "PaidEmbeddings(store, DeferredEmbeddings())."
            )
        return self._embedding.embed_query(text)

    @staticmethod
    def _next(prepared: deque[tuple[str, Vector]], text: str) -> Vector:
        if not prepared or prepared[0][0] != text:
            raise InvalidInputError(
                "The vector store asked for the vector of another text than the next one that it "
                "was given, so it changes texts or their order, and would keep wrong vectors. "
                "Nothing was sent or billed. Use another vector store."
            )
        return prepared.popleft()[1]

    def _unit_vector(self) -> list[float]:
        found = self._store.find(self._collection)
        if found is None or found.spec.dimensions is None:
            raise ConfigurationError(
                f"The vector store wants to know the size of a vector, but the collection "
                f"{self._collection!r} has none yet. Add documents first, or let the vector store "
                "not ask, such as with QdrantVectorStore(..., validate_collection_config=False)."
            )
        vector = np.zeros(found.spec.dimensions)
        vector[0] = 1.0
        return list(vector.tolist())
