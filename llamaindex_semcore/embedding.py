import asyncio
import logging
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Literal, Self

from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding, SimilarityMode, mean_agg
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding
from llama_index.core.schema import BaseNode, ImageType

from llamaindex_semcore.vectors import (
    DeferredVectorError,
    NoQueryVector,
    NoVector,
    QueryVector,
    restore,
)
from semantic_core.api import (
    ConfigurationError,
    EmbeddingSpec,
    GeminiEmbedder,
    GoogleKeyring,
    Media,
    NotBatchableError,
    SemanticCoreError,
    query_media,
)

_log = logging.getLogger(__name__)

# The most that LlamaIndex allows: a group costs nothing here but the events that tell of it.
_GROUP = 2048


class DeferredEmbedding(MultiModalEmbedding):
    """Leaves documents to the Gemini Batch API, and embeds queries live.

    It goes wherever LlamaIndex takes an embed model: into ``VectorStoreIndex``, ``Settings``,
    or an ``IngestionPipeline`` as its last transformation. For documents it makes no call and
    needs no key: it returns an empty list, which `SemcoreVectorStore` reads as "no vector yet".
    (Not None: a pipeline silently drops nodes whose embedding is None.) Whoever computes with it,
    such as a semantic splitter, an evaluator or another vector store, gets a
    `DeferredVectorError`; they need an embed model that embeds at once. Where LlamaIndex validates
    a node or reads it from JSON, a plain ``[]`` is left until this class or the store has the node
    again: what computes with it in between finds it empty.

    It is pickled without its keys. A copy, such as one in a spawned worker of a pipeline, takes
    them from its environment, and needs them only to embed a query.

    Args:
        keyring (Optional[GoogleKeyring]): holds the default key, for queries. Defaults to what
            ``GEMINI_API_KEY`` holds at the first query.
        spec (Optional[EmbeddingSpec]): model, size and tasks; that of the store's collection.
            Defaults to gemini-embedding-001 with 768 dimensions.
        query_embed_model (Optional[BaseEmbedding]): embeds queries in place of Gemini. It has
            to make vectors of the spec's space.
        on_query_error (str): "degrade" makes a query that cannot be embedded a keyword search,
            and every result says why; "raise" raises. Defaults to "degrade".
        embedder (Optional[GeminiEmbedder]): how Gemini is asked, for another endpoint.

    Raises:
        NotBatchableError: an external spec, whose vectors Gemini cannot make.

    Examples:
        `pip install "semcore[llama-index]"`

        ```python
        from llamaindex_semcore import DeferredEmbedding, GoogleKeyring

        embed_model = DeferredEmbedding(keyring=GoogleKeyring(default_key="..."))
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(), embed_model],
            vector_store=SemcoreVectorStore("notes.db"),
        )
        ```

    """

    spec: EmbeddingSpec = Field(
        default_factory=EmbeddingSpec, description="How texts become vectors."
    )
    on_query_error: Literal["degrade", "raise"] = Field(
        default="degrade", description="What to do where a query cannot be embedded."
    )

    _embedder: GeminiEmbedder = PrivateAttr()
    _owns_embedder: bool = PrivateAttr()
    _query_embed_model: BaseEmbedding | None = PrivateAttr(default=None)

    def __init__(
        self,
        keyring: GoogleKeyring | None = None,
        *,
        spec: EmbeddingSpec | None = None,
        query_embed_model: BaseEmbedding | None = None,
        on_query_error: Literal["degrade", "raise"] = "degrade",
        embedder: GeminiEmbedder | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("embed_batch_size", _GROUP)
        super().__init__(
            spec=spec or EmbeddingSpec(),  # type: ignore[call-arg]  # the base hides pydantic's own
            on_query_error=on_query_error,
            **kwargs,
        )
        self.model_name = self.spec.model
        if self.spec.is_external:
            raise NotBatchableError(
                f"The space {self.spec.model!r} is another embedder's: Gemini cannot make its "
                "vectors. Use that embedder as the embed model, or a Gemini spec here."
            )
        if self.embeddings_cache is not None:
            # It would hand the placeholder of a text to a query of the same words.
            raise ConfigurationError(
                "DeferredEmbedding takes no embeddings_cache: the store keeps every vector, and "
                "uses it for the same text again. Give the cache to the query_embed_model."
            )
        self._embedder = embedder or GeminiEmbedder(keyring)
        self._owns_embedder = embedder is None
        self._query_embed_model = query_embed_model

    @classmethod
    def class_name(cls) -> str:
        """Class name."""
        return "DeferredEmbedding"

    def close(self) -> None:
        """Close the connection to Gemini, if it was opened here. Idempotent."""
        if self._owns_embedder:
            self._embedder.close()

    def get_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., Embedding] | None = None
    ) -> Embedding:
        """Embed several wordings of one query as one vector; none if one of them has none."""
        return _aggregate([self.get_query_embedding(query) for query in queries], agg_fn)

    async def aget_agg_embedding_from_queries(
        self, queries: list[str], agg_fn: Callable[..., Embedding] | None = None
    ) -> Embedding:
        """Embed several wordings of one query as one vector; none if one of them has none."""
        return _aggregate([await self.aget_query_embedding(query) for query in queries], agg_fn)

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Give each node the placeholder for its vector."""
        return _restored(super().__call__(nodes, **kwargs))

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        """Give each node the placeholder for its vector."""
        return _restored(await super().acall(nodes, **kwargs))

    def similarity(
        self,
        embedding1: Embedding,
        embedding2: Embedding,
        mode: SimilarityMode = SimilarityMode.DEFAULT,
    ) -> float:
        """Compare two vectors.

        Raises:
            DeferredVectorError: one of them is to come yet.
        """
        if len(embedding1) and len(embedding2):
            return super().similarity(embedding1, embedding2, mode)
        # Of a plain empty list, which JSON has made of a placeholder, the cosine would be NaN.
        raise DeferredVectorError.of_text()

    # --- documents: nothing is embedded here -----------------------------------------------

    def _get_text_embedding(self, text: str) -> Embedding:  # noqa: ARG002  # the store has the text
        return NoVector()

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return [NoVector() for _ in texts]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._get_text_embeddings(texts)

    def _get_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        return [NoVector() for _ in img_file_paths]

    async def _aget_image_embeddings(self, img_file_paths: list[ImageType]) -> list[Embedding]:
        return self._get_image_embeddings(img_file_paths)

    # --- queries: embedded live ------------------------------------------------------------

    def _get_query_embedding(self, query: str) -> Embedding:
        if self._query_embed_model is not None:
            try:
                return QueryVector(self._query_embed_model.get_query_embedding(query))
            except Exception as error:  # noqa: BLE001  # nobody knows what another model raises
                return self._degrade(error)
        try:
            vector = self._embedder.embed_query(query, spec=self.spec)
        except SemanticCoreError as error:
            return self._degrade(error)
        return QueryVector(vector.tolist(), spec=self.spec, provenance=self._embedder.provenance)

    def _get_image_embedding(self, img_file_path: ImageType) -> Embedding:
        # LlamaIndex asks for pictures that are stored by the list, and for one alone to look for it.
        try:
            given = (
                img_file_path.getvalue() if isinstance(img_file_path, BytesIO) else img_file_path
            )
            media = query_media(Media(given), self.spec)
            vector = self._embedder.embed_query("", spec=self.spec, media=media)
        except SemanticCoreError as error:
            return self._degrade(error)
        return QueryVector(vector.tolist(), spec=self.spec, provenance=self._embedder.provenance)

    async def _aget_image_embedding(self, img_file_path: ImageType) -> Embedding:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)

    async def _aget_query_embedding(self, query: str) -> Embedding:
        if self._query_embed_model is None:
            return await asyncio.to_thread(self._get_query_embedding, query)
        try:
            return QueryVector(await self._query_embed_model.aget_query_embedding(query))
        except Exception as error:  # noqa: BLE001  # nobody knows what another model raises
            return self._degrade(error)

    def _degrade(self, error: Exception) -> NoQueryVector:
        """Return no vector and the reason, unless errors are to be raised."""
        if self.on_query_error == "raise":
            raise error
        # Another embed model's message may quote the query, or a key.
        reason = str(error) if isinstance(error, SemanticCoreError) else type(error).__name__
        _log.warning("A query is answered by keyword alone, it could not be embedded: %s", reason)
        return NoQueryVector(reason)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # What embeds queries is shared, and so is its key.
        return self.__copy__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # The base makes a new one of the public fields alone.
        for name, value in (state["__pydantic_private__"] or {}).items():
            setattr(self, name, value)
        self._owns_embedder = True


def _restored(nodes: Sequence[BaseNode]) -> Sequence[BaseNode]:
    for node in nodes:
        restore(node)
    return nodes


def _aggregate(vectors: list[Embedding], agg_fn: Callable[..., Embedding] | None) -> Embedding:
    for vector in vectors:
        if not vector:
            return vector
    made = (agg_fn or mean_agg)(vectors)
    first = vectors[0]
    if not isinstance(first, QueryVector):
        return made
    return QueryVector(made, spec=first.spec, provenance=first.provenance)
