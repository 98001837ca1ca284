from typing import Any, NoReturn, Self

from langchain_core.embeddings import Embeddings

from semantic_core.api import (
    ConfigurationError,
    EmbeddingSpec,
    GeminiEmbedder,
    GoogleKeyring,
    NotBatchableError,
)


class DeferredEmbeddings(Embeddings):
    """Embeddings whose document vectors come from the Batch API, hours after they were added.

    Key init args:
        keyring: GoogleKeyring | None
            Its default key embeds queries; None reads it from the environment.
        spec: EmbeddingSpec | None
            Model, dimensions, tasks and templates; None for `gemini-embedding-001` with 768
            dimensions.
        query_embeddings: Embeddings | None
            Embeds queries in place of the default key. It has to use the spec's model and
            dimensions: of two vectors nobody can tell whether they belong together.
        embedder: GeminiEmbedder | None
            How live calls are made, for another endpoint than Google's.

    Instantiate:
        ```python
        from langchain_semcore import DeferredEmbeddings, EmbeddingSpec

        embeddings = DeferredEmbeddings(spec=EmbeddingSpec.gemini_embedding_2())
        ```

    Embed single text:
        ```python
        vector = embeddings.embed_query("How do I close a file?")
        ```

    Documents are embedded by the vector store's batch manager, and in its `mode="sync"`;
    `embed_documents` refuses.

    Raises:
        NotBatchableError: an external spec, whose vectors Gemini cannot make.
    """

    def __init__(
        self,
        keyring: GoogleKeyring | None = None,
        *,
        spec: EmbeddingSpec | None = None,
        query_embeddings: Embeddings | None = None,
        embedder: GeminiEmbedder | None = None,
    ) -> None:
        self.spec = spec or EmbeddingSpec()
        if self.spec.is_external:
            raise NotBatchableError(
                f"The space {self.spec.model!r} belongs to a foreign embedder, so Gemini cannot "
                'make its vectors. Pass that embedder to the vector store, with mode="sync".'
            )
        self.query_embeddings = query_embeddings
        self.embedder = embedder or GeminiEmbedder(keyring)
        self._owns_embedder = embedder is None

    @property
    def provenance(self) -> str | None:
        """Whose vectors queries get; None for those of ``query_embeddings``."""
        return self.embedder.provenance if self.query_embeddings is None else None

    def embed_query(self, text: str) -> list[float]:
        """Embed a query at once.

        Returns:
            As many floats as the spec has dimensions.

        Raises:
            MissingDefaultKeyError: there is no default key, and no ``query_embeddings``.
            InvalidInputError: the text is blank or cannot be sent.
            ProviderError: the provider refused it, or did not answer in time.
        """
        if self.query_embeddings is not None:
            return self.query_embeddings.embed_query(text)
        vector: list[float] = self.embedder.embed_query(text, spec=self.spec).tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> NoReturn:  # noqa: ARG002  # the interface's
        """Refuse: the vectors of documents do not exist yet, and none are made up.

        Raises:
            ConfigurationError: always; it names the two ways out.
        """
        raise ConfigurationError(
            "DeferredEmbeddings has no vectors for documents yet: they come from the Batch API, "
            "later. Add the documents to a langchain_semcore.SemcoreVectorStore, which saves "
            "them at once; for any other vector store use a live embedder, such as "
            "GoogleGenerativeAIEmbeddings of langchain-google-genai."
        )

    def __deepcopy__(self, memo: object) -> Self:
        # What makes the live calls is shared, and so is its key.
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_owns_embedder": True}

    def close(self) -> None:
        """Close the connection to the provider, if it was opened here. Idempotent."""
        if self._owns_embedder:
            self.embedder.close()
