"""Queries are embedded live: by Gemini, or by any other LlamaIndex embed model."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding

from llamaindex_semcore.query_vector import QueryVector
from semantic_core import (
    EmbeddingSpec,
    Endpoint,
    GeminiEmbedder,
    GoogleKeyring,
    SemanticCoreError,
)


class LiveQueries:
    """Embeds queries. The key is asked for, and the connection opened, at the first one.

    Pickled without its keys: a copy in another process reads them from its environment. One in the
    same process shares them.

    Args:
        keyring: its default key is used; None for that of the environment.
        embedder: how Gemini is asked; made from the keyring if absent.
        embed_model: asked instead of Gemini.
    """

    def __init__(
        self,
        keyring: GoogleKeyring | None = None,
        *,
        embedder: GeminiEmbedder | None = None,
        embed_model: BaseEmbedding | None = None,
    ) -> None:
        self._keyring = keyring
        self._embedder = embedder
        self._owns_embedder = embedder is None
        self._embed_model = embed_model
        self._endpoint: Endpoint | None = None if embedder is None else embedder.endpoint
        self._lock = threading.Lock()

    @property
    def expected_errors(self) -> type[Exception]:
        """What a failing call raises. Nobody knows that of another embed model."""
        return SemanticCoreError if self._embed_model is None else Exception

    def embed(self, query: str, *, spec: EmbeddingSpec) -> QueryVector:
        """Embed one query; see ``GeminiEmbedder.embed_query`` for what is raised."""
        if self._embed_model is not None:
            return QueryVector(self._embed_model.get_query_embedding(query))
        embedder = self._gemini()
        vector = embedder.embed_query(query, spec=spec)
        return QueryVector(vector.tolist(), spec=spec, provenance=embedder.provenance)

    async def aembed(self, query: str, *, spec: EmbeddingSpec) -> QueryVector:
        """Embed one query without blocking the event loop."""
        if self._embed_model is not None:
            return QueryVector(await self._embed_model.aget_query_embedding(query))
        return await asyncio.to_thread(self.embed, query, spec=spec)

    def close(self) -> None:
        """Close the connection to Gemini, if it was opened here. A later query opens a new one."""
        if self._owns_embedder and self._embedder is not None:
            self._embedder.close()

    def _gemini(self) -> GeminiEmbedder:
        with self._lock:
            if self._embedder is None:
                self._embedder = GeminiEmbedder(
                    self._keyring or GoogleKeyring.from_env(), endpoint=self._endpoint
                )
            return self._embedder

    def __deepcopy__(self, memo: object) -> LiveQueries:
        embedder = None if self._owns_embedder else self._embedder
        other = LiveQueries(self._keyring, embedder=embedder, embed_model=self._embed_model)
        other._endpoint = self._endpoint
        return other

    def __getstate__(self) -> dict[str, Any]:
        return {"endpoint": self._endpoint, "embed_model": self._embed_model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(embed_model=state["embed_model"])  # type: ignore[misc]  # as LlamaIndex does
        self._endpoint = state["endpoint"]
