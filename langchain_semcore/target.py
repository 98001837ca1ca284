from collections.abc import Callable, Sequence
from typing import Any, Unpack

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from langchain_semcore.paid import PaidEmbeddings
from semantic_core.api import (
    CHUNK_ID_KEY,
    BaseVectorStore,
    ConfigurationError,
    Filter,
    InvalidFilterError,
    Keep,
    RemoteIds,
    TargetItem,
    Vector,
    foreign_filter,
    is_of,
    store_kind,
)

# The package of a store, its class, and why it cannot be kept right.
_REFUSED = (
    ("langchain_community", "FAISS", "its delete() fails where one of the ids is not there"),
)


class LangChainTarget:
    """A LangChain vector store that a collection is delivered to. See `semantic_core.Target`.

    Raises:
        ConfigurationError: the store cannot be kept right; the message says why.
    """

    def __init__(
        self,
        factory: Callable[[Embeddings], VectorStore],
        embeddings: PaidEmbeddings,
        ids: RemoteIds,
    ) -> None:
        store = embeddings.build(factory)
        _check(store)
        self.kind = store_kind(store)
        self._store = store
        self._embeddings = embeddings
        self._ids = ids

    def put(self, items: Sequence[TargetItem]) -> None:
        """Add documents with their vectors."""
        texts = [item.chunk.caption for item in items]
        ids = self._ids.all_of([item.chunk.id for item in items])
        documents = [
            Document(
                id=id_,
                page_content=text,
                metadata=item.chunk.metadata | {CHUNK_ID_KEY: item.chunk.id},
            )
            for id_, text, item in zip(ids, texts, items, strict=True)
        ]
        with self._embeddings.prepared(texts, [item.vector for item in items]):
            added = self._store.add_documents(documents, ids=ids)
        if list(map(str, added)) != ids:
            self._store.delete(added)
            raise ConfigurationError(
                f"{self.kind} gives documents ids of its own, so that none could be replaced. They "
                "were taken out again. Build it so that it takes ids, such as with auto_id=False."
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Delete documents; unknown ids are no error."""
        if ids and self._store.delete(self._ids.all_of(ids)) is False:
            raise ConfigurationError(f"{self.kind} did not delete documents. Its log may say why.")

    def nearest(
        self, vector: Vector, *, limit: int, filters: Filter | None, target_filter: Any
    ) -> list[str]:
        """Return the ids of the nearest chunks, nearest first."""
        found = self._store.similarity_search_by_vector(
            vector.tolist(), k=limit, **self._condition(filters, target_filter)
        )
        return [document.metadata[CHUNK_ID_KEY] for document in found]

    def _condition(self, filters: Filter | None, target_filter: Any) -> dict[str, Any]:
        """Return a filter as the store's own argument."""
        store = self._store
        is_milvus = is_of(store, "langchain_milvus", "Milvus")
        name = "expr" if is_milvus else "filter"
        if target_filter is not None:
            return {name: target_filter}
        if filters is None:
            return {}
        if is_milvus:
            own = foreign_filter(filters, "milvus", taken=("pk", "text", "vector"))
        elif is_of(store, "langchain_chroma", "Chroma"):
            own = foreign_filter(filters, "chroma")
        elif is_of(store, "langchain_postgres", "PGVectorStore"):
            own = foreign_filter(filters, "pgvector")
        elif is_of(store, "langchain_qdrant", "QdrantVectorStore"):
            from qdrant_client.models import Filter as QdrantFilter  # noqa: PLC0415  # whose store it is has it

            prefix = f"{store.metadata_payload_key}."  # type: ignore[attr-defined]  # Qdrant's
            own = foreign_filter(filters, "qdrant", prefix=prefix)
            own = None if own is None else QdrantFilter.model_validate(own)
        else:
            raise InvalidFilterError(
                f"Nobody knows how to ask {self.kind} for a filter. Pass target_filter, the same "
                "in its own language, beside the filter; or search by keyword."
            )
        return {} if own is None else {name: own}


def attach(
    store: BaseVectorStore,
    factory: Callable[[Embeddings], VectorStore],
    name: str,
    collection: str,
    made_by: Embeddings | None,
    **keep: Unpack[Keep],
) -> None:
    """Deliver a collection to the vector store that a factory makes; queries are made by these."""
    embeddings = PaidEmbeddings(store, made_by, collection=collection)
    target = LangChainTarget(factory, embeddings, RemoteIds(store.meta("install_id"), collection))
    store.delivery.attach(target, name=name, collection=collection, **keep)


def _check(store: VectorStore) -> None:
    reason = next((why for package, name, why in _REFUSED if is_of(store, package, name)), None)
    if type(store).delete is VectorStore.delete:
        reason = "it cannot delete"
    if reason is not None:
        raise ConfigurationError(
            f"{type(store).__name__} cannot be delivered to: {reason}, so changed documents would "
            "stay as they were. Nothing was sent. Use another vector store."
        )
