"""Nodes that a search found: LlamaIndex's own, with what they rest on in their metadata.

The information is in no text that a model sees, and in no hash: retrievers tell nodes apart by
their hash, and the same node may be found by keyword and by vector.
"""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    Node,
    TextNode,
)

RESULT_KEY = "_semcore"
"""Where the metadata of a retrieved node tells its status, its match, and more."""


class FoundNode(BaseNode):
    """Leaves the result information out of the hash."""

    @property
    def hash(self) -> str:
        """The hash of the node as it was added."""
        added = self.model_copy(update={"metadata": _without(self.metadata)})
        return super(FoundNode, added).hash  # type: ignore[safe-super]  # each class below has one


class FoundTextNode(FoundNode, TextNode):
    """A TextNode that a search found."""


class FoundImageNode(FoundNode, ImageNode):
    """An ImageNode that a search found."""


class FoundIndexNode(FoundNode, IndexNode):
    """An IndexNode that a search found."""


class FoundPlainNode(FoundNode, Node):
    """A Node that a search found."""


class FoundDocument(FoundNode, Document):
    """A Document that a search found."""


class FoundImageDocument(FoundNode, ImageDocument):
    """An ImageDocument that a search found."""


_FOUND: dict[type[BaseNode], type[BaseNode]] = {
    TextNode: FoundTextNode,
    ImageNode: FoundImageNode,
    IndexNode: FoundIndexNode,
    Node: FoundPlainNode,
    Document: FoundDocument,
    ImageDocument: FoundImageDocument,
}


def found_kind(kind: type[BaseNode]) -> type[BaseNode]:
    """Return the class of a node of LlamaIndex's when it was found by a search."""
    return _FOUND[kind]


def unmark(node: BaseNode) -> BaseNode:
    """Return a node without result information; the node itself stays as it is."""
    by_embed, by_llm = node.excluded_embed_metadata_keys, node.excluded_llm_metadata_keys
    if not any(RESULT_KEY in keys for keys in (node.metadata, by_embed, by_llm)):
        return node
    return node.model_copy(
        update={
            "metadata": _without(node.metadata),
            "excluded_embed_metadata_keys": [key for key in by_embed if key != RESULT_KEY],
            "excluded_llm_metadata_keys": [key for key in by_llm if key != RESULT_KEY],
        }
    )


def _without(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != RESULT_KEY}
