"""SemcoreVectorStore: a LangChain vector store that is filled at once and embedded later."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from langchain_semcore.documents import (
    refuse_options,
    search_options,
    to_chunks,
    to_document,
    to_documents,
    to_scored,
    with_vectors,
)
from langchain_semcore.searcher import MetadataFilter, Searcher
from langchain_semcore.spaces import check_mode, choose_spec
from langchain_semcore.target import attach
from langchain_semcore.writing import save_chunks
from semantic_core import (
    DEFAULT_COLLECTION,
    BaseVectorStore,
    BatchConfig,
    BatchManager,
    ConfigurationError,
    EmbeddingSpec,
    Filter,
    GeminiBatchClient,
    GoogleKeyring,
    PeeweeVectorStore,
    VectorLike,
    text_ids,
)


class SemcoreVectorStore(VectorStore):
    """Vector store in one SQLite file: filled at once, embedded by the Batch API, always searched.

    Documents are found by keyword from the first second. The Batch API embeds them at half the
    price, and as vectors arrive, the same store and its retrievers find them by meaning.

    Setup:
        Saving and keyword search need no key; live queries and batches have one each.

        ```bash
        pip install -U "semcore[langchain]"
        export GEMINI_API_KEY="your-api-key"
        export GEMINI_BATCH_API_KEY="your-paid-api-key"
        ```

    Key init args:
        store: str | os.PathLike | BaseVectorStore
            Path or `sqlite:///` URL of the database, or a store that is open already.
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
        languages: Sequence[str] | None
            Those of words in Latin letters, such as `["en", "de"]`; a new collection keeps them.

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

        vector_store.add_documents([document_1, document_2])
        ```

    Embed in a batch:
        ```python
        manager = vector_store.batch_manager()
        manager.flush_queue()
        manager.sync_status()  # now and then, until the job has ended
        ```

    Search:
        ```python
        for doc in vector_store.similarity_search("thud", k=1, filter={"bar": {"$ne": "baz"}}):
            print(f"* {doc.page_content} [{doc.metadata}]")
        ```

        ```txt
        * foo [{'baz': 'bar'}]
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

        `SemcoreRetriever` searches by meaning and by keyword, and tells how it found a document.

    Searches for a text, while documents are PENDING, fuse the nearest ones with those that have
    no vector yet but are among the best keyword hits. Where the query cannot be embedded, they
    answer by keyword. Searches by vector, and with a score threshold, go by vector alone.

    Every search takes `k`, how many documents at most, and `filter`: a dict such as
    `{"lang": "en", "year": {"$gte": 2020}}` with the operators $eq, $ne, $gt, $gte, $lt, $lte,
    $in, $nin, $between, $exists, $like, $ilike, $and, $or and $not, or a function from a document
    to True or False, which is asked of every document; and `target_filter`, the same in the language
    of the store of `deliver_to`. `searcher` answers in the core's terms.

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
        languages: Sequence[str] | None = None,
    ) -> None:
        check_mode(mode, embedding)
        wanted = choose_spec(embedding, spec)
        self._owns_store = not isinstance(store, BaseVectorStore)
        self.store = store if isinstance(store, BaseVectorStore) else PeeweeVectorStore(store)
        self.collection = collection
        self.mode = mode
        self.searcher = Searcher(self.store, collection, embedding)
        self._embedding = embedding
        self._open = partial(self.store.collection, collection, wanted, languages=languages)
        try:
            if self.store.find(collection) is not None:  # the first save makes it
                self._open()
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

        `keyring`'s batch key pays (None: `GEMINI_BATCH_API_KEY`); `client` is for another endpoint.
        """
        return BatchManager(
            keyring or GoogleKeyring.from_env(),
            self.store,
            collection=self.collection,
            client=client,
            config=config,
        )

    def deliver_to(self, factory: Callable[[Embeddings], VectorStore], *, name: str) -> None:
        """Deliver the vectors to another vector store, too; it answers searches by vector.

        Args:
            factory: makes it of the embeddings that it is given, which are `PaidEmbeddings`.
            name: names it for good.

        Raises:
            ConfigurationError: it cannot be kept right, or its name is another store's.
        """
        self._open()
        attach(self.store, factory, name=name, collection=self.collection, made_by=self._embedding)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, or replace those of the same ids, in one transaction: all of them or none.

        Adding the same again changes nothing. A text that is blank or cannot fit the model, or
        whose vector cannot be used, is stored as FAILED with the reason, and found by keyword.

        Args:
            texts: what to add; a whole call is held in memory.
            metadatas: one dict of plain JSON values for each text.
            ids: one for each text; made where there is None.
            **kwargs: `batch_size` is taken, for the indexing API, and changes nothing.

        Returns:
            The ids, in the order of the texts.

        Raises:
            InvalidInputError: something that cannot be saved; the subclass says what.
            MissingDefaultKeyError: `mode="sync"` and no key for it.
            ProviderError: `mode="sync"` and embedding failed. No document was saved; vectors
                that came before are kept, and not paid for again.
            StorageError: the database could not be written.
        """
        kwargs.pop("batch_size", None)
        refuse_options("add_texts()", kwargs)
        self._open()
        embedding = self._embedding if self.mode == "sync" else None
        chunks = to_chunks(texts, metadatas, ids)
        return save_chunks(self.store, chunks, collection=self.collection, embedding=embedding)

    def add_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Iterable[VectorLike],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Add texts as `add_texts`, each with a vector that was made elsewhere, used as it is."""
        chunks = with_vectors(to_chunks(texts, metadatas, ids), embeddings)
        self._open()
        return save_chunks(self.store, chunks, collection=self.collection, embedding=None)

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
        """Open a vector store and add texts to it, as `add_texts` does.

        `kwargs` are arguments of the constructor; `store` is needed.

        Raises:
            ConfigurationError: there is no `store`.
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

    async def asimilarity_search_with_score_by_vector(
        self, embedding: VectorLike, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Async `similarity_search_with_score_by_vector`."""
        return await run_in_executor(
            None, self.similarity_search_with_score_by_vector, embedding, k, **kwargs
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

        They are chosen from the `fetch_k` most similar ones; `lambda_mult` is 1 for similarity
        alone, 0 for diversity alone. Documents without a vector keep their places.
        """
        refuse_options("max_marginal_relevance_search()", kwargs)
        return to_documents(
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
        return to_documents(
            self.searcher.diverse_by_vector(
                embedding, k, filter, fetch=fetch_k, relevance=lambda_mult
            )
        )

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return lambda cosine: (1.0 + cosine) / 2.0

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids, in the order asked; unknown ids are left out."""
        return [
            to_document(chunk)
            for chunk in self.store.get(text_ids(ids), collection=self.collection)
        ]

    def delete(
        self,
        ids: Sequence[str] | None = None,
        *,
        filter: Mapping[str, Any] | Filter | None = None,
        **kwargs: Any,
    ) -> bool:
        """Delete documents at once; without ids and filter, all of the collection.

        Vectors from Gemini stay as cache: the same text, added again, costs nothing.
        """
        refuse_options("delete()", kwargs)
        if ids is None and filter is None:
            self.store.clear(self.collection)
        else:
            self.store.delete(ids=text_ids(ids), filters=filter, collection=self.collection)
        return True
