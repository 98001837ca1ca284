import os
from collections.abc import Sequence
from typing import Any, Self

import fsspec
from llama_index.core.bridge.pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    DEFAULT_PERSIST_DIR,
    DEFAULT_PERSIST_FNAME,
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from llamaindex_semcore.filters import to_filter
from llamaindex_semcore.nodes import FOREIGN_EMBEDDER_HINT, all_fit, to_chunk, to_node
from llamaindex_semcore.persist import read_pointer, write_pointer
from llamaindex_semcore.queries import PendingRule, QueryOptions, QueryRun
from llamaindex_semcore.target import DeliverTo, attach
from llamaindex_semcore.twins import twin
from llamaindex_semcore.vectors import restore
from semantic_core.api import (
    DEFAULT_COLLECTION,
    BaseVectorStore,
    BatchConfig,
    BatchManager,
    EmbeddingSpec,
    GeminiBatchClient,
    GoogleKeyring,
    InvalidVectorError,
    Keep,
    KeepText,
    PeeweeVectorStore,
    takes_media,
    text_ids,
)


class SemcoreVectorStore(BasePydanticVectorStore):
    """A vector store that takes nodes at once and gets their vectors later, at half the price.

    A node without an embedding (None, or the ``[]`` of `DeferredEmbedding`) is saved PENDING and
    found by keyword at once; a `BatchManager` brings its vector through Google's Gemini Batch
    API. A node with an embedding is searched by it as it is.

    Every result tells in ``node.metadata["_semcore"]`` its ``status`` (READY, PENDING or FAILED),
    its ``match`` (what it was found by: vector, keyword, both, or filter), whether it is
    ``stale`` (found by the vector of its older text), and why the search was ``degraded`` to
    keywords, or None. No model sees this, and it is in no hash.

    Query modes: default, sparse and text_search (by keyword), hybrid (with ``alpha``), and mmr.

    Args:
        store (Union[str, Path, BaseVectorStore]): the path or URL of a database, created if
            it does not exist, or a store that is open. One file serves many collections.
        collection (str): the name of the collection. Defaults to "default".
        spec (Optional[EmbeddingSpec]): how its texts become vectors. Defaults to what the
            collection has; a new one gets gemini-embedding-001 with 768 dimensions. For nodes
            that come with the vectors of another embed model, of whatever size:
            ``EmbeddingSpec.external("its name")``.
        languages (Optional[Sequence[str]]): those of words in Latin letters, such as
            ``["en", "de"]``. Defaults to what the collection has; a new one gets English.
        pending (str): "keyword" lets nodes that have no vector yet be found by keyword in the
            modes default and mmr; "skip" leaves them out. Defaults to "keyword".
        deliver_to (Optional[BasePydanticVectorStore]): another vector store that gets the
            vectors, too, or ``("its name here", store)``. It answers queries by vector.
        keep_text (Optional[str]): "until delivered" keeps no words here of what was delivered,
            "always" does. Defaults to what it was; see ``Delivery.attach``.
        keep_vectors (Optional[bool]): False keeps no paid vectors of what was delivered: a
            re-ingest of the same text pays again. Defaults to what it was.

    Raises:
        ConfigurationError: ``deliver_to`` cannot be kept right, or its name is another store's.
        SpecMismatchError: the collection has another spec.
        StorageError: the database cannot be used; the subclass says why.

    Examples:
        `pip install "semcore[llama-index]"`

        ```python
        from llama_index.core import StorageContext, VectorStoreIndex
        from llamaindex_semcore import DeferredEmbedding, GoogleKeyring, SemcoreVectorStore

        keyring = GoogleKeyring.from_env()
        vector_store = SemcoreVectorStore("notes.db")
        index = VectorStoreIndex.from_documents(
            documents,
            storage_context=StorageContext.from_defaults(vector_store=vector_store),
            embed_model=DeferredEmbedding(keyring),
        )
        index.as_retriever().retrieve("found by keyword at once")

        manager = vector_store.batch_manager(keyring)
        manager.flush_queue()
        manager.sync_status()  # hours later; from then on found by meaning
        ```

    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False

    store: str = Field(description="The path of the database.")
    collection: str = Field(description="The name of the collection.")
    pending: PendingRule = Field(description="Whether nodes without a vector are found by keyword.")

    _client: BaseVectorStore = PrivateAttr()
    _owns_client: bool = PrivateAttr()
    _wanted_spec: EmbeddingSpec | None = PrivateAttr(default=None)
    _languages: Sequence[str] | None = PrivateAttr(default=None)

    def __init__(
        self,
        store: str | os.PathLike[str] | BaseVectorStore,
        collection: str = DEFAULT_COLLECTION,
        *,
        spec: EmbeddingSpec | None = None,
        languages: Sequence[str] | None = None,
        pending: PendingRule = "keyword",
        deliver_to: DeliverTo | None = None,
        keep_text: KeepText | None = None,
        keep_vectors: bool | None = None,
        **kwargs: Any,
    ) -> None:
        is_open = isinstance(store, BaseVectorStore)
        client = store if isinstance(store, BaseVectorStore) else PeeweeVectorStore(store)
        try:
            super().__init__(
                store=str(client.database.path),  # type: ignore[call-arg]  # as LlamaIndex's own do
                collection=collection,
                pending=pending,
                **kwargs,
            )
            # Only looked at: the first add makes it.
            if client.find(collection) is not None:
                client.collection(collection, spec, languages=languages)
            self._client = client
            self._owns_client = not is_open
            self._wanted_spec = spec
            self._languages = languages
            if deliver_to is not None:
                self._create()
                keep = Keep(keep_text=keep_text, keep_vectors=keep_vectors)
                attach(client, deliver_to, collection=collection, **keep)
        except BaseException:
            if not is_open:
                client.close()
            raise

    @classmethod
    def class_name(cls) -> str:
        """Class name."""
        return "SemcoreVectorStore"

    @property
    def client(self) -> BaseVectorStore:
        """Get client: the core's store, with all that it can do besides."""
        return self._client

    @property
    def spec(self) -> EmbeddingSpec:
        """How the texts of the collection become vectors, or will if it does not exist yet."""
        found = self._client.find(self.collection)
        return found.spec if found is not None else self._wanted_spec or EmbeddingSpec()

    def batch_manager(
        self,
        keyring: GoogleKeyring | None = None,
        *,
        client: GeminiBatchClient | None = None,
        config: BatchConfig | None = None,
    ) -> BatchManager:
        """Return what sends this collection's waiting texts and brings back their vectors.

        Args:
            keyring: its batch key pays; None for ``GEMINI_BATCH_API_KEY``. It is needed only
                to send or to sync.
            client: how the provider is asked, for another endpoint.
            config: limits and delays.
        """
        return BatchManager(
            keyring or GoogleKeyring.from_env(),
            self._client,
            collection=self.collection,
            client=client,
            config=config,
        )

    def close(self) -> None:
        """Close the database, unless an open store was passed in. Idempotent."""
        if self._owns_client:
            self._client.close()

    def add(self, nodes: Sequence[BaseNode], **add_kwargs: Any) -> list[str]:  # noqa: ARG002  # the base's signature
        """Add nodes in one transaction: all of them or, on any error, none.

        A node replaces that of the same id. Adding the same again changes nothing and costs
        nothing; a node without an embedding whose text was embedded before has its vector at
        once. One odd node refuses no other: a node that is blank or cannot fit the model, or
        whose embedding cannot be used (all zero, say, or of another size than the others'), is
        saved as FAILED with the reason and found by keyword.

        Returns:
            The ids of the nodes, in order.

        Raises:
            InvalidInputError: the subclass for the first node that cannot be saved: an id that
                appears twice, metadata that is not JSON, no vector of the collection's size.
            NotBatchableError: no node has an embedding, for an external spec.
            StorageError: the database could not be written.
        """
        chunks = [to_chunk(node, takes_media=takes_media(self.spec)) for node in nodes]
        for node in nodes:
            restore(node)
        self._create()
        try:
            return list(
                self._client.save(chunks, collection=self.collection, keep_refused=True).ids
            )
        except InvalidVectorError as error:
            if all_fit(chunks, self.spec):
                raise
            raise InvalidVectorError(f"{error} {FOREIGN_EMBEDDER_HINT}") from error

    async_add = twin(add)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:  # noqa: ARG002  # the base's signature
        """Delete the nodes of a document; an unknown id is not an error."""
        self._client.delete(document_ids=[ref_doc_id], collection=self.collection)

    adelete = twin(delete)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **delete_kwargs: Any,  # noqa: ARG002  # the base's signature
    ) -> None:
        """Delete the nodes that have one of the ids and match the filters; None is for any.

        Raises:
            InvalidInputError: neither is given (`clear` deletes every node).
        """
        self._client.delete(
            ids=text_ids(node_ids), filters=to_filter(filters), collection=self.collection
        )

    adelete_nodes = twin(delete_nodes)

    def clear(self) -> None:
        """Delete every node of the collection."""
        self._client.clear(self.collection)

    aclear = twin(clear)

    def get_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        *,
        limit: int | None = None,
        with_embeddings: bool = False,
    ) -> list[BaseNode]:
        """Get the nodes that have one of the ids and match the filters, as they were added.

        Args:
            node_ids: None for any; unknown ids are left out.
            filters: None for any.
            limit: how many at most, the oldest ones.
            with_embeddings: return the vectors that they are found by, too; None where none is yet.

        Returns:
            In the order of ``node_ids``, or else the oldest first.
        """
        node_ids = text_ids(node_ids)
        chunks = self._client.chunks(
            ids=node_ids, filters=to_filter(filters), collection=self.collection, limit=limit
        )
        if node_ids is not None:
            found = {chunk.id: chunk for chunk in chunks}
            chunks = [found[node_id] for node_id in node_ids if node_id in found]
        nodes = [to_node(chunk, read=self._client.media) for chunk in chunks]
        if with_embeddings:
            vectors = self._client.vectors(
                [chunk.id for chunk in chunks], collection=self.collection
            )
            for node in nodes:
                if node.node_id in vectors:
                    node.embedding = vectors[node.node_id].tolist()
        return nodes

    aget_nodes = twin(get_nodes)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Query the collection, within one snapshot.

        In mode default, results come by cosine. While nodes wait for their vectors, those that
        are among the best by keyword stand among them, with the score of the next one below.
        Without ``query_embedding`` (None, ``[]`` or all zero) the answer is by keyword, and by
        filter alone where ``query_str`` is blank too.

        Filters look at the user's own metadata; ``doc_ids`` chooses documents.

        Args:
            query: of mode default, sparse, text_search, hybrid or mmr.
            kwargs: ``pending``, ``exact``, ``mmr_threshold``, ``mmr_prefetch_k`` and ``target_filter``; see
                `QueryOptions`. A retriever passes them on from its ``vector_store_kwargs``.

        Raises:
            UnsupportedQueryError: a mode or an option that this store does not have.
            InvalidInputError: hybrid or sparse without ``query_str``, an embedding of another
                size than the collection's, a filter that cannot be understood.
            SpecMismatchError: the query was embedded for another space than the collection's.
            ProvenanceError: it was embedded at another endpoint than the collection's vectors, and
                there is no ``query_str`` that could be answered by keyword.
        """
        options = QueryOptions.read(kwargs, pending=self.pending)
        run = QueryRun(self._client, query, collection=self.collection, options=options)
        return run.result()

    aquery = twin(query)

    def persist(
        self,
        persist_path: str = os.path.join(DEFAULT_PERSIST_DIR, DEFAULT_PERSIST_FNAME),  # noqa: PTH118  # as the base has it
        fs: fsspec.AbstractFileSystem | None = None,
    ) -> None:
        """Write a small file that says where the database is; all nodes are in there already.

        Args:
            persist_path: where to write it; nothing happens if that is the database itself.
            fs: where that path is.
        """
        # The file tells the name of the collection, which tells how its vectors are made.
        self._create()
        fields = self.to_dict()
        del fields["class_name"]
        write_pointer(str(persist_path), fields, fs=fs)

    @classmethod
    def from_persist_path(
        cls, persist_path: str, fs: fsspec.AbstractFileSystem | None = None
    ) -> Self:
        """Open the store that `persist` was called on, or the database at the path.

        Raises:
            InvalidInputError: there is neither at the path.
        """
        return cls(**read_pointer(str(persist_path), fs=fs))

    @classmethod
    def from_persist_dir(
        cls,
        persist_dir: str = DEFAULT_PERSIST_DIR,
        namespace: str = "default",
        fs: fsspec.AbstractFileSystem | None = None,
    ) -> Self:
        """Open the store that ``StorageContext.persist(persist_dir)`` was called with."""
        # As StorageContext names its files.
        return cls.from_persist_path(f"{persist_dir}/{namespace}__{DEFAULT_PERSIST_FNAME}", fs=fs)

    def __getstate__(self) -> dict[str, Any]:
        # The client is pickled as where its database is, and opens that where it is loaded.
        state = BaseModel.__getstate__(self)
        state["__pydantic_private__"] = None
        state["__dict__"] |= {"spec": self._wanted_spec, "languages": self._languages}
        state["__dict__"]["store"] = self._client
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state["__dict__"])  # type: ignore[misc]  # as the base does
        self._owns_client = True

    def _create(self) -> None:
        self._client.collection(self.collection, self._wanted_spec, languages=self._languages)
