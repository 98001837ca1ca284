import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self, Unpack

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import run_in_executor
from langchain_core.vectorstores import VectorStore

from langchain_semcore.documents import (
    as_text,
    check_length,
    refuse_options,
    search_options,
    to_chunks,
    to_document,
    to_documents,
    to_page,
    to_scored,
    with_vectors,
)
from langchain_semcore.images import ImagePath, image_chunks
from langchain_semcore.searcher import MetadataFilter, Searcher
from langchain_semcore.spaces import check_mode, choose_spec
from langchain_semcore.target import attach
from langchain_semcore.twins import twin
from langchain_semcore.writing import save_chunks
from semantic_core.api import (
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
    Keep,
    PeeweeVectorStore,
    Vector,
    VectorLike,
    text_ids,
)


class SemcoreVectorStore(VectorStore):
    """Vector store in one SQLite file: filled at once, embedded by the Batch API, always searched.

    Documents are found by keyword from the first second. The Batch API embeds them at half the
    price, and as vectors arrive, the same store and its retrievers find them by meaning. Only live
    queries, which take `GEMINI_API_KEY`, and batches, `GEMINI_BATCH_API_KEY`, need a key.

    Args:
        store: path or `sqlite:///` URL of the database, or a store that is open already.
        embedding: `DeferredEmbeddings` for vectors from the Batch API. Any other embedding makes
            its vectors itself, in `mode="sync"`, in a space named after its class and model.
            Without one, texts are searched by keyword alone.
        collection: its name; the first save creates it, a search never does.
        mode: `"async"` saves documents PENDING, for the next batch; `"sync"` embeds them first.
        spec: what the collection's vectors are made with, where `embedding` does not tell.
        languages: as in `BaseVectorStore.collection`.
        relevance_score_fn: makes a relevance of a cosine (not of a distance); None for
            `(1 + cosine) / 2`.
        metadata_as_text: True saves datetimes, dates and times (ISO 8601) and paths in metadata as
            text, where they are refused otherwise; `TimeWeightedVectorStoreRetriever` needs it.

    Use:
        ```python
        from langchain_semcore import DeferredEmbeddings, SemcoreVectorStore

        vector_store = SemcoreVectorStore("notes.db", embedding=DeferredEmbeddings())
        vector_store.add_texts(["foo", "thud"], [{"baz": "bar"}, {"bar": "baz"}], ids=["1", "2"])
        manager = vector_store.batch_manager()
        manager.flush_queue()
        manager.sync_status()  # now and then, until the job has ended
        vector_store.similarity_search("thud", k=1, filter={"bar": "baz"})
        ```

        ```txt
        [Document(id='2', metadata={'bar': 'baz'}, page_content='thud')]
        ```

        `SemcoreRetriever` searches by meaning and by keyword, and tells how it found a document.
        `add_images` takes pictures, where the model embeds them, such as `gemini-embedding-2`.

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
        relevance_score_fn: Callable[[float], float] | None = None,
        metadata_as_text: bool = False,
    ) -> None:
        check_mode(mode, embedding)
        wanted = choose_spec(embedding, spec)
        self._owns_store = not isinstance(store, BaseVectorStore)
        self.store = store if isinstance(store, BaseVectorStore) else PeeweeVectorStore(store)
        self.collection = collection
        self.mode = mode
        self.searcher = Searcher(self.store, collection, embedding)
        self.metadata_as_text = metadata_as_text
        self._relevance_score_fn = relevance_score_fn
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

    def deliver_to(
        self, factory: Callable[[Embeddings], VectorStore], *, name: str, **keep: Unpack[Keep]
    ) -> None:
        """Deliver the vectors to another vector store, too; it answers searches by vector.

        Args:
            factory: makes it of the embeddings that it is given, which are `PaidEmbeddings`.
            name: names it for good.
            keep: `keep_text="until delivered"` keeps no words here of what was delivered, and
                `keep_vectors=False` no paid vectors: a re-ingest of the same text pays again.

        Raises:
            ConfigurationError: it cannot be kept right, or as `Delivery.attach` says.
        """
        self._open()
        attach(self.store, factory, name, self.collection, self._embedding, **keep)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, or replace those of the same ids, in one transaction: all of them or none.

        Returns the ids in order. Adding the same again changes nothing. A text that is blank or
        cannot fit the model, or whose vector cannot be used, is stored as FAILED with the reason,
        and found by keyword.

        Args:
            texts: what to add; a whole call is held in memory.
            metadatas: one dict of plain JSON values for each text.
            ids: one for each text; made where there is None.
            **kwargs: `batch_size` is taken, for the indexing API, and `current_time`, for
                `TimeWeightedVectorStoreRetriever`; they change nothing.

        Raises:
            InvalidInputError: something that cannot be saved; the subclass says what.
            MissingDefaultKeyError: `mode="sync"` and no key for it.
            ProviderError: `mode="sync"` and embedding failed; vectors that came before are kept.
            StorageError: the database could not be written.
        """
        refuse_options("add_texts()", kwargs.keys() - {"batch_size", "current_time"})
        return self._save(to_chunks(texts, metadatas, ids))

    def add_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Iterable[VectorLike],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Add texts as `add_texts`, each with a vector that was made elsewhere."""
        return self._save(with_vectors(to_chunks(texts, metadatas, ids), embeddings))

    def add_images(
        self,
        uris: Iterable[ImagePath],
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str | None] | None = None,
        *,
        captions: Sequence[str] | None = None,
    ) -> list[str]:
        """Add pictures as `add_texts` adds texts; the model must take them.

        Each is found by caption and file name at once, by meaning and by other pictures after its
        batch. Its document has the caption, or else the file's name, as content, and the path as
        `source` in the metadata, unless there is one. A text of the same id replaces it.

        Args:
            uris: paths of the pictures; no URL is fetched.
            metadatas: as in `add_texts`.
            ids: as in `add_texts`.
            captions: what each shows, embedded together with it.

        Raises:
            InvalidInputError: as `add_texts`, or the model takes no such picture.
            UnreadableFileError: there is no such file, or it may not be read.
            ConfigurationError: a foreign embedding without `embed_image`.
        """
        chunks = image_chunks(uris, metadatas, ids, captions=captions, embedding=self._embedding)
        return self._save(chunks)

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

        `kwargs` are arguments of the constructor; `store` is needed, else a ConfigurationError.
        """
        return cls._filled(to_chunks(texts, metadatas, ids), embedding, kwargs)

    @classmethod
    def from_embeddings(
        cls,
        text_embeddings: Iterable[tuple[str, VectorLike]],
        embedding: Embeddings | None,
        metadatas: Sequence[Mapping[str, Any]] | None = None,
        ids: Sequence[str | None] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Open a vector store and add texts with their vectors; else as `from_texts`."""
        pairs = list(text_embeddings)
        chunks = to_chunks([text for text, _ in pairs], metadatas, ids)
        return cls._filled(with_vectors(chunks, [one for _, one in pairs]), embedding, kwargs)

    @classmethod
    async def afrom_embeddings(cls, *args: Any, **kwargs: Any) -> Self:
        """Do as `from_embeddings`, beside the event loop."""
        return await run_in_executor(None, partial(cls.from_embeddings, *args, **kwargs))

    @classmethod
    def _filled(
        cls, chunks: Sequence[Chunk], embedding: Embeddings | None, options: dict[str, Any]
    ) -> Self:
        if "store" not in options:
            raise ConfigurationError(
                "There is no store to add to. Pass its path: from_texts(..., store='notes.db')."
            )
        vector_store = cls(embedding=embedding, **options)
        try:
            vector_store._save(chunks)
        except BaseException:
            vector_store.close()
            raise
        return vector_store

    def _save(self, chunks: Sequence[Chunk]) -> list[str]:
        self._open()
        if self.metadata_as_text:
            chunks = [replace(chunk, metadata=as_text(chunk.metadata)) for chunk in chunks]
        embedding = self._embedding if self.mode == "sync" else None
        return save_chunks(self.store, chunks, collection=self.collection, embedding=embedding)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids, in the order asked; unknown ids are left out."""
        chunks = self.store.get(text_ids(ids), collection=self.collection)
        return [to_document(chunk) for chunk in chunks]

    def get(
        self,
        ids: str | Sequence[str] | None = None,
        where: Mapping[str, Any] | Filter | None = None,
        limit: int | None = None,
        offset: int = 0,
        include: Sequence[str] = ("metadatas", "documents"),
    ) -> dict[str, list[Any] | None]:
        """Return a page of the documents, oldest first, as Chroma does.

        Args:
            ids: only these.
            where: metadata filter, as in the searches.
            limit: how many at most; None for all.
            offset: how many to pass over.
            include: what to return beside ids, of "metadatas", "documents" and "embeddings".

        Returns:
            Lists of "ids" and of what is included; a document without a vector has None for it.
        """
        chunks = self.store.chunks(
            ids=text_ids([ids] if isinstance(ids, str) else ids),
            filters=where,
            collection=self.collection,
            limit=limit,
            offset=offset,
        )
        names = [chunk.id for chunk in chunks] if "embeddings" in include else []
        return to_page(chunks, self.searcher.vectors(names), include)

    def update_document(self, document_id: str, document: Document) -> None:
        """Replace the document of an id, as `add_texts` does."""
        self.update_documents([document_id], [document])

    def update_documents(self, ids: Sequence[str], documents: Sequence[Document]) -> None:
        """Replace the documents of these ids, as `add_texts` does; an unknown id is added."""
        check_length("ids", ids, len(documents), of="documents")
        self.add_documents(list(documents), ids=ids)

    def delete_collection(self) -> None:
        """Delete all documents of the collection; its name and its spec stay."""
        self.delete()

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

    def similarity_search_by_image(
        self, uri: ImagePath, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[Document]:
        """Return the documents most similar to a picture, by vector alone; none before a batch.

        The picture is sent, and billed, live. It raises what `add_images` raises.
        """
        return to_documents(self.searcher.by_image(uri, k, filter, **search_options(kwargs)))

    def similarity_search_by_image_with_relevance_score(
        self, uri: ImagePath, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return documents as `similarity_search_by_image`, with relevance in [0, 1]: 1 is best."""
        found = to_scored(self.searcher.by_image(uri, k, filter, **search_options(kwargs)))
        relevance = self._select_relevance_score_fn()
        return [(document, relevance(cosine)) for document, cosine in found]

    def similarity_search_with_vectors(
        self, query: str, k: int = 4, filter: MetadataFilter = None, **kwargs: Any
    ) -> list[tuple[Document, Vector | None]]:
        """Return documents as `similarity_search`, each with its vector; None while it has none."""
        hits = self.searcher.by_text(query, k, filter, **search_options(kwargs))
        vectors = self.searcher.vectors([hit.chunk.id for hit in hits])
        return [(to_document(hit.chunk), vectors.get(hit.chunk.id)) for hit in hits]

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

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self._relevance_score_fn or (lambda cosine: (1.0 + cosine) / 2.0)

    # The twins that `VectorStore` does not make.
    aadd_embeddings = twin(add_embeddings)
    aadd_images = twin(add_images)
    aget = twin(get)
    aupdate_document = twin(update_document)
    aupdate_documents = twin(update_documents)
    adelete_collection = twin(delete_collection)
    asimilarity_search_with_score_by_vector = twin(similarity_search_with_score_by_vector)
    asimilarity_search_by_image = twin(similarity_search_by_image)
    asimilarity_search_by_image_with_relevance_score = twin(
        similarity_search_by_image_with_relevance_score
    )
    asimilarity_search_with_vectors = twin(similarity_search_with_vectors)
    amax_marginal_relevance_search_with_score = twin(max_marginal_relevance_search_with_score)
