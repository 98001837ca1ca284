from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Unpack

from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from llamaindex_semcore.nodes import to_node
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

DeliverTo = BasePydanticVectorStore | tuple[str, BasePydanticVectorStore]

_PACKAGE = "llama_index.vector_stores."

# The package of a store, its class, and why it cannot be kept right.
_REFUSED = (
    ("lancedb", "LanceDBVectorStore", "its delete_nodes() quotes ids as if they were columns"),
)

# What LlamaIndex's stores write over the metadata's own.
_TAKEN = ("document_id", "doc_id", "ref_doc_id")


class LlamaIndexTarget:
    """A LlamaIndex vector store that a collection is delivered to. See `semantic_core.Target`.

    Raises:
        ConfigurationError: the store cannot be kept right; the message says why.
    """

    def __init__(self, store: BasePydanticVectorStore, ids: RemoteIds) -> None:
        _check(store)
        self.kind = store_kind(store)
        self._store = store
        self._ids = ids

    def put(self, items: Sequence[TargetItem]) -> None:
        """Add nodes with their embeddings."""
        ids = self._ids.all_of([item.chunk.id for item in items])
        added = self._store.add([_to_node(*one) for one in zip(items, ids, strict=True)])
        if list(map(str, added)) != ids:
            self._store.delete_nodes(added)
            raise ConfigurationError(
                f"{self.kind} gives nodes ids of its own, so that none could be replaced. They "
                "were taken out again. Use another vector store."
            )

    def delete(self, ids: Sequence[str]) -> None:
        """Delete nodes; unknown ids are no error."""
        if ids:
            self._store.delete_nodes(self._ids.all_of(ids))

    def nearest(
        self, vector: Vector, *, limit: int, filters: Filter | None, target_filter: Any
    ) -> list[str]:
        """Return the ids of the nearest chunks, nearest first."""
        wanted, options = self._condition(filters, target_filter)
        query = VectorStoreQuery(
            query_embedding=vector.tolist(), similarity_top_k=limit, filters=wanted
        )
        found = self._store.query(query, **options)
        return [node.metadata[CHUNK_ID_KEY] for node in found.nodes or ()]

    def _condition(
        self, filters: Filter | None, target_filter: Any
    ) -> tuple[MetadataFilters | None, dict[str, Any]]:
        """Return a filter as the store takes it: with the query, or beside it."""
        store = self._store
        if target_filter is not None:
            return target_filter, {}
        if filters is None:
            return None, {}
        if is_of(store, f"{_PACKAGE}qdrant", "QdrantVectorStore"):
            from qdrant_client.models import Filter as QdrantFilter  # noqa: PLC0415  # whose store it is has it

            own = foreign_filter(filters, "qdrant", taken=_TAKEN)
            return None, {} if own is None else {"qdrant_filters": QdrantFilter.model_validate(own)}
        if is_of(store, f"{_PACKAGE}chroma", "ChromaVectorStore"):
            own = foreign_filter(filters, "chroma", taken=_TAKEN)
            return None, {} if own is None else {"where": own}
        if is_of(store, f"{_PACKAGE}milvus", "MilvusVectorStore"):
            taken = (*_TAKEN, "id", "text", "embedding")
            own = foreign_filter(filters, "milvus", taken=taken)
            return None, {} if own is None else {"string_expr": own}
        if is_of(store, f"{_PACKAGE}postgres", "PGVectorStore"):
            own = foreign_filter(filters, "pgvector", taken=_TAKEN)
            return (None if own is None else _pgvector(own)), {}
        raise InvalidFilterError(
            f"Nobody knows how to ask {self.kind} for a filter. Pass target_filter, the store's own "
            "MetadataFilters, beside the filter; or search by keyword."
        )


def attach(
    store: BaseVectorStore, deliver_to: DeliverTo, *, collection: str, **keep: Unpack[Keep]
) -> None:
    """Deliver a collection to a vector store, named after its class where it has no other name."""
    name, given = (
        deliver_to if isinstance(deliver_to, tuple) else (type(deliver_to).__name__, deliver_to)
    )
    target = LlamaIndexTarget(given, RemoteIds(store.meta("install_id"), collection))
    store.delivery.attach(target, name=name, collection=collection, **keep)


def _to_node(item: TargetItem, node_id: str) -> BaseNode:
    """Return the node of a chunk under the target's id, with the chunk's own where no model sees it."""
    shown = replace(item.chunk, text=item.chunk.caption)
    fields = {"id_": node_id, "embedding": item.vector.tolist()}
    node = to_node(shown, **fields)
    if not isinstance(node, TextNode):
        # There are stores that read the text of no other node.
        node = to_node(replace(shown, payload=None), **fields)
    node.metadata[CHUNK_ID_KEY] = item.chunk.id
    node.excluded_embed_metadata_keys.append(CHUNK_ID_KEY)
    node.excluded_llm_metadata_keys.append(CHUNK_ID_KEY)
    return node


def _pgvector(own: dict[str, Any]) -> MetadataFilters:
    """Return a filter in the language of LangChain's PGVectorStore for LlamaIndex's."""
    ((key, value),) = own.items()
    if key in ("$and", "$or"):
        return MetadataFilters(
            filters=list(map(_pgvector, value)), condition=FilterCondition(key[1:])
        )
    ((operator, wanted),) = value.items()
    if operator == "$exists":
        leaf = MetadataFilter(key=key, operator=FilterOperator.IS_EMPTY, value=None)
    elif operator in ("$in", "$nin"):
        # The store writes values into SQL as they are; a colon would be a parameter's.
        texts = [text.replace("'", "''").replace(":", "\\:") for text in wanted]
        leaf = MetadataFilter(key=key, operator=FilterOperator(operator[1:]), value=texts)
    else:
        compared = {"$gte": FilterOperator.GTE, "$lte": FilterOperator.LTE}[operator]
        leaf = MetadataFilter(key=key, operator=compared, value=wanted)
    return MetadataFilters(filters=[leaf])


def _check(store: BasePydanticVectorStore) -> None:
    reason = next(
        (why for package, name, why in _REFUSED if is_of(store, _PACKAGE + package, name)), None
    )
    if type(store).delete_nodes is BasePydanticVectorStore.delete_nodes:
        reason = "it cannot delete nodes by their ids"
    elif not store.stores_text:
        reason = "it keeps no text and no metadata, so that nobody knows whose its ids are"
    if reason is not None:
        raise ConfigurationError(
            f"{type(store).__name__} cannot be delivered to: {reason}. Nothing was sent. Use "
            "another vector store."
        )
