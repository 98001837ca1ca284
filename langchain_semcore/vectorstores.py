"""SemcoreVectorStore: a LangChain vector store that is filled at once and embedded later."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor

from langchain_semcore.documents import refuse_options, to_chunks, to_document, with_vectors
from langchain_semcore.embeddings import DeferredEmbeddings
from langchain_semcore.searcher import Searcher
from langchain_semcore.searches import SearchableVectorStore
from langchain_semcore.spaces import check_mode, choose_spec
from langchain_semcore.synchronous import embed_chunks
from semantic_core import (
    DEFAULT_COLLECTION,
    BaseVectorStore,
    BatchConfig,
    BatchManager,
    Chunk,
    ConfigurationError,
    EmbeddingSpec,
    Filter,
    GeminiBatchClient,
    GoogleKeyring,
    PeeweeVectorStore,
    SaveReport,
    VectorLike,
    save_embedded,
)


class SemcoreVectorStore(SearchableVectorStore):
    """Vector store in one SQLite file: filled at once, embedded by the Batch API, always searched.

    Documents are saved without waiting for a vector and found by keyword from the first second.
    The Batch API embeds them at half the price, and as vectors arrive, the same store and its
    retrievers find them by meaning.

    Setup:
        Install `semcore` with its `langchain` extra. Saving and keyword search need no key;
        live queries and batches have one each.

        ```bash
        pip install -U "semcore[langchain]"
        export GEMINI_API_KEY="your-api-key"
        export GEMINI_BATCH_API_KEY="your-paid-api-key"
        ```

    Key init args — indexing params:
        embedding: Embeddings | None
            `DeferredEmbeddings` for vectors from the Batch API. Any other embedding makes its
            vectors itself, in `mode="sync"`, in a space named after its class and model.
            Without one, texts are searched by keyword alone.
        collection: str
            Name of the collection; the first save creates it, a search never does.
        mode: str
            `"async"` saves documents PENDING, for the next batch; `"sync"` embeds them first.
        spec: EmbeddingSpec | None
            What the collection's vectors are made with, where `embedding` does not tell.

    Key init args — client params:
        store: str | os.PathLike | BaseVectorStore
            Path or `sqlite:///` URL of the database, or a store that is open already.

    Instantiate:
        ```python
        from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore

        vector_store = SemcoreVectorStore("notes.db", embedding=DeferredEmbeddings())
        ```

    Add Documents:
        ```python
        from langchain_core.documents import Document

        document_1 = Document(id="1", page_content="foo", metadata={"baz": "bar"})
        document_2 = Document(id="2", page_content="thud", metadata={"bar": "baz"})
        document_3 = Document(id="3", page_content="i will be deleted :(")

        vector_store.add_documents([document_1, document_2, document_3])
        ```

    Delete Documents:
        ```python
        vector_store.delete(ids=["3"])
        ```

    Embed in a batch:
        ```python
        manager = vector_store.batch_manager()
        manager.flush_queue()
        manager.sync_status()  # now and then, until the job has ended
        ```

    Search:
        ```python
        for doc in vector_store.similarity_search("thud", k=1):
            print(f"* {doc.page_content} [{doc.metadata}]")
        ```

        ```txt
        * thud [{'bar': 'baz'}]
        ```

    Search with filter:
        ```python
        for doc in vector_store.similarity_search("thud", k=1, filter={"bar": {"$ne": "baz"}}):
            print(f"* {doc.page_content} [{doc.metadata}]")
        ```

        ```txt
        * foo [{'baz': 'bar'}]
        ```

    Search with score:
        ```python
        for doc, score in vector_store.similarity_search_with_score("thud", k=1):
            print(f"* [SIM={score:.3f}] {doc.page_content} [{doc.metadata}]")
        ```

        ```txt
        * [SIM=0.977] thud [{'bar': 'baz'}]
        ```

    Async:
        ```python
        await vector_store.aadd_documents([document_1])
        results = await vector_store.asimilarity_search("thud", k=1)
        ```

    Use as Retriever:
        ```python
        retriever = vector_store.as_retriever(
            search_type="mmr", search_kwargs={"k": 1, "fetch_k": 2, "lambda_mult": 0.5}
        )
        retriever.invoke("thud")
        ```

        ```txt
        [Document(id='2', metadata={'bar': 'baz'}, page_content='thud')]
        ```

        `SemcoreRetriever` searches by meaning and by keyword alike, and tells of each document
        how it was found.

    Searches for a text, while documents are PENDING, fuse the nearest ones with those that have
    no vector yet but are among the best keyword hits. Where the query cannot be embedded, they
    answer by keyword. Searches by vector, and with a score threshold, go by vector alone.

    Raises:
        SpecMismatchError: the collection exists with another spec.
        NotBatchableError: `mode="async"` with an embedding that makes its vectors itself.
        ConfigurationError: `mode="sync"` without an embedding, or a spec that does not fit it.
        StorageError: the database cannot be used.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | BaseVectorStore,
        embedding: Embeddings | None = None,
        *,
        collection: str = DEFAULT_COLLECTION,
        mode: str = "async",
        spec: EmbeddingSpec | None = None,
    ) -> None:
        check_mode(mode, embedding)
        wanted = choose_spec(embedding, spec)
        self._owns_store = not isinstance(store, BaseVectorStore)
        self.store = store if isinstance(store, BaseVectorStore) else PeeweeVectorStore(store)
        self.collection = collection
        self.mode = mode
        self.searcher = Searcher(self.store, collection, embedding)
        self._embedding = embedding
        self._wanted_spec = wanted
        try:
            # Only looked at: the first save makes it.
            if self.store.find(collection) is not None:
                self.store.collection(collection, wanted)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SemcoreVectorStore({self.store!r}, collection={self.collection!r})"

    def close(self) -> None:
        """Close the database, if it was opened here. Idempotent."""
        if self._owns_store:
            self.store.close()

    @property
    def embeddings(self) -> Embeddings | None:
        """What embeds queries and, in `mode="sync"`, documents."""
        return self._embedding

    def batch_manager(
        self,
        keyring: GoogleKeyring | None = None,
        *,
        client: GeminiBatchClient | None = None,
        config: BatchConfig | None = None,
    ) -> BatchManager:
        """Return what sends this collection's PENDING documents and brings their vectors.

        Args:
            keyring: holds the batch key, which is needed to send and to sync; None reads it from
                the environment.
            client: how the provider is asked; None for Google's endpoint, or the one that
                `GOOGLE_GEMINI_BASE_URL` names.
            config: limits and delays.
        """
        return BatchManager(
            keyring or GoogleKeyring.from_env(),
            self.store,
            collection=self.collection,
            client=client,
            config=config,
        )

    # --- adding --------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, or replace those of the same ids, in one transaction: all of them or none.

        Adding the same again changes nothing. One odd text refuses no other: a text that is blank
        or cannot fit the model, or whose vector cannot be used (all zero, say, or of another size
        than the others'), is stored as FAILED with the reason, and found by keyword.

        Args:
            texts: what to add; a whole call is held in memory.
            metadatas: one dict of plain JSON values for each text.
            ids: one for each text; made where there is None.
            **kwargs: `batch_size` is taken, for the indexing API, and changes nothing.

        Returns:
            The ids, in the order of the texts.

        Raises:
            InvalidInputError: lengths that differ, or a text, id or metadata that cannot be
                saved; the subclass says what. Nothing was saved.
            MissingDefaultKeyError: `mode="sync"` and no key for it. Nothing was saved.
            ProviderError: `mode="sync"` and embedding failed. No document was saved; vectors
                that came before are kept, and not paid for again.
            StorageError: the database could not be written.
        """
        kwargs.pop("batch_size", None)
        refuse_options("add_texts()", kwargs)
        return list(self._save(to_chunks(texts, metadatas, ids)).ids)

    def add_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Iterable[VectorLike],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Add texts with vectors that were made elsewhere, which are used as they are.

        A text whose vector cannot be used is stored as FAILED; see `add_texts`.

        Args:
            texts: what to add.
            embeddings: one vector of the collection's size for each text.
            metadatas: as in `add_texts`.
            ids: as in `add_texts`.

        Returns:
            The ids, in the order of the texts.

        Raises:
            InvalidInputError: as `add_texts`, or no vector fits. Nothing was saved.
            StorageError: the database could not be written.
        """
        chunks = with_vectors(to_chunks(texts, metadatas, ids), embeddings)
        self.store.collection(self.collection, self._wanted_spec)
        return list(self.store.save(chunks, collection=self.collection, keep_refused=True).ids)

    async def aadd_embeddings(
        self, texts: Iterable[str], embeddings: Iterable[VectorLike], **kwargs: Any
    ) -> list[str]:
        """Async `add_embeddings`."""
        return await run_in_executor(None, self.add_embeddings, texts, embeddings, **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Open a vector store and add texts to it.

        Args:
            texts: what to add.
            embedding: as in the constructor.
            metadatas: as in `add_texts`.
            ids: as in `add_texts`.
            **kwargs: arguments of the constructor; `store` is needed.

        Raises:
            ConfigurationError: there is no `store`.
            SemanticCoreError: as the constructor and `add_texts`.
        """
        if "store" not in kwargs:
            raise ConfigurationError(
                "There is no store to add to. Pass its path: from_texts(..., store='notes.db')."
            )
        vector_store = cls(embedding=embedding, **kwargs)
        try:
            vector_store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            vector_store.close()
            raise
        return vector_store

    # --- getting and deleting ------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids, in the order asked; unknown ids are left out."""
        return [to_document(chunk) for chunk in self.store.get(ids, collection=self.collection)]

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | Filter | None = None,
        **kwargs: Any,
    ) -> bool:
        """Delete documents at once; without ids and filter, all of the collection.

        Vectors from Gemini stay as cache: the same text, added again, costs nothing.

        Args:
            ids: which ones; unknown ones are no error.
            filter: only those whose metadata match.
            **kwargs: refused.

        Returns:
            True.

        Raises:
            InvalidInputError: an argument that cannot be used. Nothing was deleted.
        """
        refuse_options("delete()", kwargs)
        if ids is None and filter is None:
            self.store.clear(self.collection)
        else:
            self.store.delete(ids=ids, filters=filter, collection=self.collection)
        return True

    def _save(self, chunks: list[Chunk]) -> SaveReport:
        self.store.collection(self.collection, self._wanted_spec)
        if self.mode == "sync" and isinstance(self._embedding, DeferredEmbeddings):
            return save_embedded(
                self.store,
                chunks,
                embedder=self._embedding.embedder,
                collection=self.collection,
                keep_refused=True,
            )
        if self.mode == "sync" and self._embedding is not None:
            chunks = embed_chunks(chunks, self._embedding)
        return self.store.save(chunks, collection=self.collection, keep_refused=True)
