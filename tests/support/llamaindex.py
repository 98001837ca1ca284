"""What tests of the LlamaIndex adapter share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterCondition, MetadataFilter, MetadataFilters

from llamaindex_semcore import RESULT_KEY
from semantic_core.filters import Condition, Operator
from support.filter_oracle import matches
from support.world import World


def node(
    text: str,
    *,
    node_id: str | None = None,
    document_id: str | None = None,
    embedding: list[float] | None = None,
    **metadata: Any,
) -> TextNode:
    """Return a TextNode; its id is its text, if none is given."""
    relationships = {}
    if document_id is not None:
        relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=document_id)
    return TextNode(
        id_=node_id or text,
        text=text,
        embedding=embedding,
        metadata=metadata,
        relationships=relationships,
    )


def embed_all(world: World) -> None:
    """Send what waits, and wait until it is back."""
    manager = world.manager()
    assert manager.drain_queue()
    manager.wait()


def keeps(filters: MetadataFilters | None, metadata: Mapping[str, Any]) -> bool:
    """Return whether metadata passes LlamaIndex's filters, in plain Python."""
    if filters is None or not filters.filters:
        return True
    kept = [
        keeps(part, metadata) if isinstance(part, MetadataFilters) else _keeps(part, metadata)
        for part in filters.filters
    ]
    if filters.condition == FilterCondition.OR:
        return any(kept)
    if filters.condition == FilterCondition.NOT:
        return not any(kept)
    return all(kept)


def _keeps(part: MetadataFilter, metadata: Mapping[str, Any]) -> bool:
    operator = Operator[part.operator.name]
    value = True if operator is Operator.IS_EMPTY else part.value
    return matches(Condition(part.key, operator, value), metadata)


def found_by(hits: Sequence[NodeWithScore]) -> list[tuple[str, str, str]]:
    """Return (id, match, status) of each hit."""
    return [
        (hit.node_id, hit.metadata[RESULT_KEY]["match"], hit.metadata[RESULT_KEY]["status"])
        for hit in hits
    ]
