"""Query texts to vectors, and what happens where that fails."""

from __future__ import annotations

import logging

from langchain_core.embeddings import Embeddings

from langchain_semcore.embeddings import DeferredEmbeddings
from semantic_core import (
    BaseVectorStore,
    BlankTextError,
    ConfigurationError,
    ProviderError,
    SemanticCoreError,
)

_log = logging.getLogger(__name__)

_KEYWORD_ALONE = "answered by keyword alone"


class QueryEmbedder:
    """Embeds the queries of one collection.

    Args:
        store: where the collection is.
        collection: its name.
        embedding: makes the vectors; without one, every search is by keyword.
    """

    def __init__(
        self, store: BaseVectorStore, collection: str, embedding: Embeddings | None
    ) -> None:
        self._store = store
        self._collection = collection
        self._embedding = embedding

    def vector_or_reason(self, query: str) -> tuple[list[float] | None, str | None]:
        """Embed a query, for a search that can answer by keyword instead.

        Returns:
            The vector, or None and the reason why there is none.

        Raises:
            InvalidInputError: a query that cannot be sent.
            StorageError: the database cannot be read, not even by keyword.
        """
        try:
            vector = self._vector(query)
        except BlankTextError:
            return None, f"the query is blank: {_KEYWORD_ALONE}"
        except (ProviderError, ConfigurationError) as error:
            _log.warning("A query could not be embedded, so it is %s: %s", _KEYWORD_ALONE, error)
            return None, f"{_KEYWORD_ALONE}: {error}"
        except SemanticCoreError:
            raise
        except Exception as error:  # noqa: BLE001  # nobody knows what a foreign embedding raises
            kind = type(error).__name__
            # Its message stays out of the log: it may quote the query, or a key.
            _log.warning("A query could not be embedded (%s), so it is %s.", kind, _KEYWORD_ALONE)
            return None, f"{_KEYWORD_ALONE}: {kind}: {error}"
        if vector is None:
            return None, f"no vector is stored yet: {_KEYWORD_ALONE}"
        return vector, None

    def _vector(self, query: str) -> list[float] | None:
        """Embed a query, unless no vector is stored that it could be compared with."""
        if not self._store.has_vectors(self._collection):
            # A live call would only cost time and money.
            return None
        if self._embedding is None:
            raise ConfigurationError(
                "This vector store has no embedding for queries. Pass one, such as "
                "SemcoreVectorStore(..., embedding=DeferredEmbeddings())."
            )
        if isinstance(self._embedding, DeferredEmbeddings) and self._embedding.is_live:
            self._store.check_provenance(self._embedding.embedder.provenance)
        return self._embedding.embed_query(query)
